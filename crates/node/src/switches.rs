//! OpenFlow connections: one task each, bounded both ways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fseg_control::Input;
use fseg_model::Dpid;
use fseg_openflow::session::{self, Session, SessionConfig};
use fseg_openflow::{Body, Framer, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use crate::core::{Core, NoAnswer};
use crate::http::{Shutdown, stopped};

/// How many batches may wait for a switch. One batch is one bundle.
const OUTGOING: usize = 256;
/// Connections that have not said which switch they are.
const HANDSHAKES: usize = 256;

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// Serves switches until told to stop. `known` says which datapath ids are part of the site.
pub async fn serve(
    listener: TcpListener,
    core: Core,
    known: Arc<dyn Fn(Dpid) -> bool + Send + Sync>,
    shutdown: Shutdown,
) {
    let room = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES));
    loop {
        let accepted = tokio::select! {
            a = listener.accept() => a,
            () = stopped(shutdown.clone()) => return,
        };
        let (stream, peer) = match accepted {
            Ok(a) => a,
            Err(e) => {
                warn!(error = %e, "cannot accept a switch's connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            warn!(%peer, "too many switch connections at a time; refused");
            continue;
        };
        let (core, known, shutdown) = (core.clone(), known.clone(), shutdown.clone());
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = connection(stream, peer, core, known) => {}
                () = stopped(shutdown) => {}
            }
        });
    }
}

struct Ready {
    dpid: Dpid,
    connection: u64,
    outgoing: mpsc::Receiver<Vec<Message>>,
}

async fn connection(stream: TcpStream, peer: SocketAddr, core: Core, known: Arc<dyn Fn(Dpid) -> bool + Send + Sync>) {
    let _ = stream.set_nodelay(true); // only a matter of speed
    let mut ready: Option<Ready> = None;
    let why = run(stream, peer, &core, known, &mut ready).await;
    match &ready {
        Some(r) => {
            info!(dpid = %r.dpid, %peer, reason = %why, "switch disconnected");
            core.outlets.disconnect(r.dpid, r.connection);
            let gone = Input::Disconnected { dpid: r.dpid, connection: r.connection };
            let _ = core.input(gone).await; // when the core is gone nobody needs to know
        }
        None => warn!(%peer, reason = %why, "a connection ended before it said which switch it is"),
    }
}

async fn run(
    mut stream: TcpStream,
    peer: SocketAddr,
    core: &Core,
    known: Arc<dyn Fn(Dpid) -> bool + Send + Sync>,
    ready: &mut Option<Ready>,
) -> String {
    let (mut reader, mut writer) = stream.split();
    let mut framer = Framer::new();
    let now = || core.clock.now().mono.0;
    let (mut session, mut effects) = Session::new(now(), SessionConfig::default());
    let mut incoming = vec![0_u8; 64 * 1024];
    let mut bytes = Vec::new();
    loop {
        for effect in effects.drain(..) {
            match effect {
                session::Effect::Send(message) => message.encode_into(&mut bytes),
                session::Effect::Ready(features) => {
                    let dpid = Dpid(features.datapath_id);
                    if !known(dpid) {
                        return format!("datapath id {dpid} is not in this node's configuration");
                    }
                    let connection = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
                    let (tx, rx) = mpsc::channel(OUTGOING);
                    core.outlets.connect(dpid, connection, peer, tx);
                    *ready = Some(Ready { dpid, connection, outgoing: rx });
                    info!(%dpid, %peer, "switch connected");
                    if core.input(Input::Connected { dpid, connection }).await.is_err() {
                        return NoAnswer::Stopping.to_string();
                    }
                }
                session::Effect::Deliver(message) => {
                    let Some(r) = ready.as_ref() else { continue };
                    if let Body::Error(e) = &message.body {
                        warn!(dpid = %r.dpid, error = %e, "switch reports an error");
                    }
                    let input = Input::Message { dpid: r.dpid, connection: r.connection, message: Box::new(message) };
                    if core.input(input).await.is_err() {
                        return NoAnswer::Stopping.to_string();
                    }
                }
                session::Effect::Close(reason) => return reason.to_string(),
            }
        }
        if !bytes.is_empty() {
            let write = tokio::time::timeout(Duration::from_secs(30), writer.write_all(&bytes));
            match write.await {
                Ok(Ok(())) => bytes.clear(),
                Ok(Err(e)) => return e.to_string(),
                Err(_) => return "it did not read what it was sent for 30 s".into(),
            }
        }
        let wait = session.poll_timeout().map_or(1000, |at| at.saturating_sub(now()).clamp(1, 1000));
        let outgoing = async {
            match ready.as_mut() {
                Some(r) => r.outgoing.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = reader.read(&mut incoming) => match read {
                Ok(0) => return "it closed the connection".into(),
                Ok(n) => {
                    framer.push(&incoming[..n]);
                    loop {
                        let input = match framer.next_bytes() {
                            Ok(Some(bytes)) => match Message::decode(bytes) {
                                Ok(message) => session::Input::Message(message),
                                Err(error) => {
                                    debug!(%peer, %error, "a message was not understood");
                                    session::Input::Undecodable { bytes: bytes.to_vec(), error }
                                }
                            },
                            Ok(None) => break,
                            Err(e) => return format!("unreadable: {e}"),
                        };
                        effects.extend(session.handle(input, now()));
                    }
                }
                Err(e) => return e.to_string(),
            },
            messages = outgoing => match messages {
                Some(messages) => {
                    for m in messages {
                        m.encode_into(&mut bytes);
                    }
                }
                None => return "it did not take its messages in time, or connected anew".into(),
            },
            () = tokio::time::sleep(Duration::from_millis(wait)) => {
                effects.extend(session.handle(session::Input::Timeout, now()));
            }
        }
    }
}
