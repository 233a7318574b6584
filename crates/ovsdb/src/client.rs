//! Calls to a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::connection::{self, Call, Ending};
use crate::{OvsdbError, Remote};

/// Updates of one monitor that wait to be taken.
const MAX_UPDATES: usize = 256;
/// Calls that wait to be sent.
const MAX_CALLS: usize = 16;

/// What a connection to an `ssl:` remote needs.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Our certificate, and how the server's is verified.
    pub config: Arc<ClientConfig>,
    /// The name that the server's certificate must carry. It need not be the host that is connected to.
    pub name: ServerName<'static>,
}

/// A connection to a server. It ends when the client is dropped.
#[derive(Debug)]
pub struct Client {
    remote: String,
    timeout: Duration,
    calls: mpsc::Sender<Call>,
    ending: Ending,
    monitors: AtomicU64,
}

impl Client {
    /// Connects to a unix socket or by plain TCP. The timeout holds for this and for each later call. Needs a tokio
    /// runtime.
    pub async fn connect(remote: &Remote, limit: Duration) -> Result<Self, OvsdbError> {
        Self::connect_with(remote, limit, None).await
    }

    /// The same, to `ssl:` remotes too.
    pub async fn connect_with(remote: &Remote, limit: Duration, tls: Option<&Tls>) -> Result<Self, OvsdbError> {
        let name = remote.to_string();
        let fail = |detail: String| OvsdbError::Connect { remote: name.clone(), detail };
        let late = |_| OvsdbError::Timeout { remote: name.clone(), call: "connect", after: limit };
        let (calls, receiver) = mpsc::channel(MAX_CALLS);
        let ending = Ending::default();
        match remote {
            Remote::Unix(path) => {
                let stream = timeout(limit, UnixStream::connect(path)).await.map_err(late)?;
                let (read, write) = stream.map_err(|e| fail(e.to_string()))?.into_split();
                tokio::spawn(connection::run(read, write, name.clone(), receiver, Arc::clone(&ending)));
            }
            Remote::Tcp(host, port) | Remote::Ssl(host, port) => {
                let stream = timeout(limit, TcpStream::connect((host.as_str(), *port))).await.map_err(late)?;
                let stream = stream.map_err(|e| fail(e.to_string()))?;
                stream.set_nodelay(true).map_err(|e| fail(e.to_string()))?;
                if matches!(remote, Remote::Tcp(..)) {
                    let (read, write) = stream.into_split();
                    tokio::spawn(connection::run(read, write, name.clone(), receiver, Arc::clone(&ending)));
                } else {
                    let refuse = |detail: String| OvsdbError::Tls { remote: name.clone(), detail };
                    let tls = tls.ok_or_else(|| refuse("no certificate was given to connect with".into()))?;
                    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&tls.config));
                    let shaken = timeout(limit, connector.connect(tls.name.clone(), stream)).await.map_err(late)?;
                    let (read, write) = tokio::io::split(shaken.map_err(|e| refuse(e.to_string()))?);
                    tokio::spawn(connection::run(read, write, name.clone(), receiver, Arc::clone(&ending)));
                }
            }
        }
        Ok(Self { remote: name, timeout: limit, calls, ending, monitors: AtomicU64::new(0) })
    }

    /// How long each call may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Why the connection ended, once it has.
    pub fn ending(&self) -> Option<&OvsdbError> {
        self.ending.get()
    }

    async fn call(
        &self,
        method: &'static str,
        params: Value,
        updates: Option<(String, mpsc::Sender<Value>)>,
    ) -> Result<Value, OvsdbError> {
        let ended = || {
            let unknown = || OvsdbError::Closed { remote: self.remote.clone(), detail: "its task is gone".into() };
            self.ending.get().cloned().unwrap_or_else(unknown)
        };
        let (reply, answer) = oneshot::channel();
        let work = async {
            self.calls.send(Call { method, params, updates, reply }).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?
        };
        let late = OvsdbError::Timeout { remote: self.remote.clone(), call: method, after: self.timeout };
        timeout(self.timeout, work).await.unwrap_or(Err(late))
    }

    /// The names of the server's databases (RFC 7047, 4.1.1).
    pub async fn list_dbs(&self) -> Result<Vec<String>, OvsdbError> {
        let answer = self.call("list_dbs", json!([]), None).await?;
        let wrong = || OvsdbError::Answer { call: "list_dbs".into(), what: "an array of names" };
        let names = answer.as_array().ok_or_else(wrong)?;
        names.iter().map(|n| n.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    /// The schema of a database (RFC 7047, 4.1.2).
    pub async fn get_schema(&self, db: &str) -> Result<Value, OvsdbError> {
        self.call("get_schema", json!([db]), None).await
    }

    /// Runs operations as one transaction (RFC 7047, 4.1.3 and 5.2); returns one result for each.
    ///
    /// When an operation or the commit fails, nothing was done, and the error says which it was.
    pub async fn transact(&self, db: &str, ops: &[Value]) -> Result<Vec<Value>, OvsdbError> {
        let params = std::iter::once(Value::from(db)).chain(ops.iter().cloned()).collect();
        let answer = self.call("transact", params, None).await?;
        let Value::Array(mut results) = answer else {
            return Err(OvsdbError::Answer { call: "transact".into(), what: "an array of results" });
        };
        if let Some((index, failed)) = results.iter().enumerate().find(|(_, r)| r.get("error").is_some()) {
            let (error, details) = connection::explain(failed);
            return Err(match ops.get(index).map(|op| op.get("op").and_then(Value::as_str).unwrap_or("?")) {
                Some(op) => OvsdbError::Operation { index, op: op.into(), error, details },
                None => OvsdbError::Commit { error, details },
            });
        }
        if results.len() < ops.len() {
            return Err(OvsdbError::Answer { call: "transact".into(), what: "a result for each operation" });
        }
        results.truncate(ops.len());
        Ok(results)
    }

    /// Watches tables (RFC 7047, 4.1.5). `requests` maps table names to monitor requests, as in
    /// `{"Interface": {"columns": ["name", "ofport"]}}`.
    pub async fn monitor(&self, db: &str, requests: Value) -> Result<Monitor, OvsdbError> {
        let id = format!("fseg-{}", self.monitors.fetch_add(1, Ordering::Relaxed));
        let (sender, updates) = mpsc::channel(MAX_UPDATES);
        let initial = self.call("monitor", json!([db, id, requests]), Some((id.clone(), sender))).await?;
        Ok(Monitor { id, initial, updates })
    }

    /// Ends a monitor (RFC 7047, 4.1.7).
    pub async fn cancel(&self, monitor: Monitor) -> Result<(), OvsdbError> {
        self.call("monitor_cancel", json!([monitor.id]), None).await.map(drop)
    }
}

/// Tables being watched.
#[derive(Debug)]
pub struct Monitor {
    id: String,
    initial: Value,
    updates: mpsc::Receiver<Value>,
}

impl Monitor {
    /// The rows as they were when the monitor began (RFC 7047, 4.1.5 `<table-updates>`).
    pub fn initial(&self) -> &Value {
        &self.initial
    }

    /// Waits for the next change (RFC 7047, 4.1.6 `<table-updates>`). Fails when changes were lost, because they came
    /// faster than they were taken or the connection ended. Cancel-safe.
    pub async fn next(&mut self) -> Result<Value, OvsdbError> {
        self.updates.recv().await.ok_or(OvsdbError::MonitorLost)
    }
}
