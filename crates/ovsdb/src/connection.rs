//! The task that owns a connection: reads, writes, answers echo, and hands answers and updates to whom they belong.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, warn};

use crate::OvsdbError;
use crate::framing::{Framer, MAX_MESSAGE};

/// Where the answer to a call goes.
pub(crate) type Reply = oneshot::Sender<Result<Value, OvsdbError>>;

/// A call to be made.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
    /// For `monitor`: its id and where its updates go; in place before the call is sent, so that none is missed.
    pub(crate) updates: Option<(String, mpsc::Sender<Value>)>,
    pub(crate) reply: Reply,
}

/// Why a connection ended, for calls that come later.
pub(crate) type Ending = Arc<OnceLock<OvsdbError>>;

/// Calls waiting for an answer.
const MAX_PENDING: usize = 256;

struct Connection {
    remote: String,
    framer: Framer,
    out: Vec<u8>,
    next: u64,
    /// The method of each call that waits, and who waits.
    pending: HashMap<u64, (&'static str, Reply)>,
    monitors: HashMap<String, mpsc::Sender<Value>>,
}

/// Runs a connection until it ends or all clients are gone.
pub(crate) async fn run(
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    remote: String,
    mut calls: mpsc::Receiver<Call>,
    ending: Ending,
) {
    let mut connection = Connection {
        remote,
        framer: Framer::default(),
        out: Vec::new(),
        next: 0,
        pending: HashMap::new(),
        monitors: HashMap::new(),
    };
    let error = connection.serve(&mut read, &mut write, &mut calls).await;
    debug!(remote = connection.remote, %error, "OVSDB connection ended");
    // First the reason, then the news: whoever is told of the end finds the reason.
    let error = ending.get_or_init(|| error).clone();
    for (_, (_, reply)) in connection.pending.drain() {
        // A caller that gave up meanwhile needs no answer; the same holds for every reply below.
        let _ = reply.send(Err(error.clone()));
    }
    calls.close();
    while let Ok(call) = calls.try_recv() {
        let _ = call.reply.send(Err(error.clone()));
    }
}

impl Connection {
    async fn serve(
        &mut self,
        read: &mut (impl AsyncRead + Unpin),
        write: &mut (impl AsyncWrite + Unpin),
        calls: &mut mpsc::Receiver<Call>,
    ) -> OvsdbError {
        let mut chunk = vec![0; 64 << 10];
        // TLS keeps back what the socket did not take at once, until it is flushed.
        let mut kept_back = false;
        loop {
            // A peer that asks without reading the answers is not read from until it does.
            let room = self.out.len() < MAX_MESSAGE;
            tokio::select! {
                got = read.read(&mut chunk), if room => match got {
                    Ok(0) => return self.closed("the server closed it"),
                    Ok(n) => {
                        self.framer.push(chunk.get(..n).unwrap_or_default());
                        loop {
                            match self.framer.next() {
                                Ok(Some(message)) => self.message(message),
                                Ok(None) => break,
                                Err(detail) => return OvsdbError::Protocol { remote: self.remote.clone(), detail },
                            }
                        }
                    }
                    Err(e) => return self.closed(&e.to_string()),
                },
                wrote = pass_on(write, &self.out), if kept_back || !self.out.is_empty() => match wrote {
                    Ok(Some(0)) => return self.closed("the server takes nothing any more"),
                    Ok(Some(n)) => {
                        drop(self.out.drain(..n));
                        kept_back = true;
                    }
                    Ok(None) => kept_back = false,
                    Err(e) => return self.closed(&e.to_string()),
                },
                call = calls.recv(), if room => match call {
                    Some(call) => self.call(call),
                    None => return self.closed("its client is gone"),
                },
            }
        }
    }

    fn closed(&self, detail: &str) -> OvsdbError {
        OvsdbError::Closed { remote: self.remote.clone(), detail: detail.into() }
    }

    fn send(&mut self, message: &Value) {
        self.out.extend_from_slice(message.to_string().as_bytes());
    }

    fn call(&mut self, call: Call) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.retain(|_, (_, reply)| !reply.is_closed());
        }
        if self.pending.len() >= MAX_PENDING {
            let _ = call.reply.send(Err(self.closed("too many calls wait for an answer")));
            return;
        }
        let id = self.next;
        self.next += 1;
        if let Some((name, sender)) = call.updates {
            self.monitors.insert(name, sender);
        }
        self.pending.insert(id, (call.method, call.reply));
        self.send(&json!({ "id": id, "method": call.method, "params": call.params }));
    }

    fn message(&mut self, message: Value) {
        let Value::Object(mut message) = message else { return };
        match message.remove("method") {
            Some(Value::String(method)) => self.request(&method, message),
            Some(_) => warn!(remote = self.remote, "a request whose method is no string was ignored"),
            None => self.answer(message),
        }
    }

    fn answer(&mut self, mut message: Map<String, Value>) {
        let id = message.get("id").and_then(Value::as_u64);
        let Some((call, reply)) = id.and_then(|id| self.pending.remove(&id)) else {
            // RFC 7047, 4: an error with id null answers something the server could not even read.
            warn!(remote = self.remote, error = ?message.get("error"), "an answer to nothing that was asked");
            return;
        };
        let answer = match message.remove("error") {
            None | Some(Value::Null) => message
                .remove("result")
                .ok_or_else(|| OvsdbError::Answer { call: call.into(), what: "result and error" }),
            Some(error) => {
                let (error, details) = explain(&error);
                Err(OvsdbError::Refused { call, error, details })
            }
        };
        let _ = reply.send(answer);
    }

    fn request(&mut self, method: &str, mut message: Map<String, Value>) {
        let params = message.remove("params").unwrap_or(Value::Null);
        let id = message.remove("id").unwrap_or(Value::Null);
        match method {
            "echo" => self.send(&json!({ "id": id, "result": params, "error": null })),
            "update" => self.update(params),
            _ if id.is_null() => debug!(remote = self.remote, method, "a notification was ignored"),
            _ => self.send(&json!({ "id": id, "result": null, "error": "unknown method" })),
        }
    }

    fn update(&mut self, mut params: Value) {
        let Some([name, updates]) = params.as_array_mut().map(Vec::as_mut_slice) else { return };
        let Some(name) = name.as_str() else { return };
        let Some(sender) = self.monitors.get(name) else { return };
        // Waiting for a slow reader would hold up everybody's answers, and skipping an update would make it believe in a
        // past state: so it loses its monitor, and notices.
        if sender.try_send(updates.take()).is_err() {
            self.monitors.remove(name);
            let params = json!([name]);
            let (reply, _) = oneshot::channel();
            self.call(Call { method: "monitor_cancel", params, updates: None, reply });
        }
    }
}

/// Writes some of this, and answers how much; when there is nothing to write, flushes what was kept back. Cancel-safe.
async fn pass_on(write: &mut (impl AsyncWrite + Unpin), out: &[u8]) -> std::io::Result<Option<usize>> {
    if out.is_empty() { write.flush().await.map(|()| None) } else { write.write(out).await.map(Some) }
}

/// The server's error as text and details (RFC 7047, 3.1 `<error>`), whatever its form.
pub(crate) fn explain(error: &Value) -> (String, String) {
    let text = |v: Option<&Value>| match v {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(s)) => s.chars().take(500).collect(),
        Some(other) => other.to_string().chars().take(500).collect(),
    };
    match error {
        Value::Object(fields) if fields.contains_key("error") => {
            (text(fields.get("error")), text(fields.get("details")))
        }
        other => (text(Some(other)), String::new()),
    }
}
