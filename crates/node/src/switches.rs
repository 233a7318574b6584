//! OpenFlow connections: one task each, in which reading and writing do not wait for each other, bounded both ways. Over
//! TLS a switch shows its certificate before it says anything, and is that switch only.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fseg_control::Input;
use fseg_model::Dpid;
use fseg_openflow::session::{self, Session, SessionConfig};
use fseg_openflow::{Body, Framer, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::core::{Core, NoAnswer};
use crate::http::{Shutdown, Slot, Slots, stopped};
use crate::outlets::{Feed, Outlet};
use crate::trust::{Enrolment, Refused, Trust};

/// Connections that have not said which switch they are. Of those that have there is one for each switch of the site.
const HANDSHAKES: usize = 256;
/// The same from one address, so that no machine keeps the others out.
const HANDSHAKES_EACH: usize = 64;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many of the session's own messages may wait to be written: answers to echo requests, mostly, of at most 64 KiB.
/// Only who asks that often without reading the answers is no longer read.
const OWN: usize = 16;
/// Bytes that are encoded ahead of what the switch has read.
const AHEAD: usize = 256 * 1024;
/// How long a switch may read nothing of what it is sent.
const STUCK: Duration = Duration::from_secs(30);

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

type Known = Arc<dyn Fn(Dpid) -> bool + Send + Sync>;

/// How switches connect.
#[derive(Clone)]
pub enum Transport {
    /// With a certificate.
    Tls(Arc<Trust>),
    /// As anybody. The refusals and who is connected are noted all the same.
    Plain(Arc<Trust>),
}

impl Transport {
    fn trust(&self) -> &Arc<Trust> {
        let (Self::Tls(trust) | Self::Plain(trust)) = self;
        trust
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Tls(_) => "tls",
            Self::Plain(_) => "tcp",
        }
    }
}

/// Serves switches until told to stop. `known` says which datapath ids are part of the site.
pub async fn serve(listener: TcpListener, transport: Transport, core: Core, known: Known, shutdown: Shutdown) {
    let room = Slots::new(HANDSHAKES, HANDSHAKES_EACH);
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
        let Some(slot) = room.take(peer.ip()) else {
            let reason = "too many switch connections at a time; refused";
            if transport.trust().refused(core.clock.now().wall, peer, reason) {
                warn!(%peer, "{reason}");
            }
            continue;
        };
        let (transport, core, known, shutdown) = (transport.clone(), core.clone(), known.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = greet(stream, peer, transport, core, known, slot) => {}
                () = stopped(shutdown) => {}
            }
        });
    }
}

/// From the connection to the first message: the handshake, if there is one.
async fn greet(stream: TcpStream, peer: SocketAddr, transport: Transport, core: Core, known: Known, slot: Slot) {
    let _ = stream.set_nodelay(true); // only a matter of speed
    let shaken = match &transport {
        Transport::Plain(_) => {
            let (from, to) = stream.into_split();
            return connection(from, to, Visitor { peer, transport, enrolment: None }, core, known, slot).await;
        }
        Transport::Tls(trust) => match tokio::time::timeout(HANDSHAKE, shake(trust, stream, &core)).await {
            Ok(shaken) => shaken,
            Err(_) => Err(Refused::Handshake(format!("it took longer than {} s", HANDSHAKE.as_secs()))),
        },
    };
    match shaken {
        Ok((stream, enrolment)) => {
            let (from, to) = tokio::io::split(stream);
            let visitor = Visitor { peer, transport, enrolment: Some(enrolment) };
            connection(from, to, visitor, core, known, slot).await;
        }
        Err(refused) => turn_away(&transport, &core, peer, &refused.to_string()),
    }
}

type Shaken = (tokio_rustls::server::TlsStream<TcpStream>, Enrolment);

async fn shake(trust: &Arc<Trust>, stream: TcpStream, core: &Core) -> Result<Shaken, Refused> {
    let handshake = trust.handshake(core.clock.now().wall).map_err(|e| Refused::Handshake(e.to_string()))?;
    let accepted = TlsAcceptor::from(handshake.config.clone()).accept(stream).await;
    let stream = accepted.map_err(|e| handshake.explain(&e))?;
    Ok((stream, handshake.enrolment()?))
}

/// Says that a connection was not a switch's; the same again not each time.
fn turn_away(transport: &Transport, core: &Core, peer: SocketAddr, reason: &str) {
    if transport.trust().refused(core.clock.now().wall, peer, reason) {
        warn!(%peer, reason, "a connection ended before it was a switch's");
    } else {
        debug!(%peer, reason, "a connection ended before it was a switch's");
    }
}

/// Who is at the other end.
struct Visitor {
    peer: SocketAddr,
    transport: Transport,
    /// The switch's certificate, over TLS.
    enrolment: Option<Enrolment>,
}

async fn connection(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    visitor: Visitor,
    core: Core,
    known: Known,
    slot: Slot,
) {
    let number = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
    let (outlet, feed) = Outlet::new(number, visitor.peer);
    let (own, own_feed) = mpsc::channel(OWN);
    let mut reading = Reading {
        visitor: &visitor,
        number,
        core: &core,
        known,
        own,
        waiting: Some((outlet, slot)),
        dpid: None,
        session: Session::new(core.clock.now().mono.0, SessionConfig::default()),
    };
    let Feed { batches, cut } = feed;
    let revoked = async {
        match &visitor.enrolment {
            Some(e) => visitor.transport.trust().ended(&e.fingerprint).await.to_string(),
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        biased; // so that the reader's reason counts when it gives up and takes the rest with it
        why = reading.run(from) => why,
        // Before the switch is known the outlet's end means that the reader is about to say why.
        _ = cut => "it did not take its messages in time".into(),
        why = revoked => why,
        why = write(to, own_feed, batches) => why,
    };
    let peer = visitor.peer;
    match reading.dpid {
        Some(dpid) => {
            info!(%dpid, %peer, reason = %why, "switch disconnected");
            core.outlets.disconnect(dpid, number);
            if core.outlets.peer(dpid).is_none() {
                visitor.transport.trust().connected(dpid, None);
            }
            // When the core is gone nobody needs to know.
            let _ = core.input(Input::Disconnected { dpid, connection: number }).await;
        }
        None => turn_away(&visitor.transport, &core, peer, &why),
    }
}

/// The reading side, which leads: it holds the session and speaks to the controller.
struct Reading<'a> {
    visitor: &'a Visitor,
    number: u64,
    core: &'a Core,
    known: Known,
    own: mpsc::Sender<Vec<u8>>,
    /// What a connection holds until it is known which switch it is.
    waiting: Option<(Outlet, Slot)>,
    dpid: Option<Dpid>,
    session: (Session, Vec<session::Effect>),
}

impl Reading<'_> {
    /// Runs until the connection must end, and says why.
    async fn run(&mut self, mut from: impl AsyncRead + Unpin) -> String {
        let core = self.core;
        let now = || core.clock.now().mono.0;
        let mut framer = Framer::new();
        let mut incoming = vec![0_u8; 64 * 1024];
        loop {
            for effect in std::mem::take(&mut self.session.1) {
                if let Err(why) = self.carry_out(effect).await {
                    return why;
                }
            }
            let session = &mut self.session.0;
            let wait = session.poll_timeout().map_or(1000, |at| at.saturating_sub(now()).clamp(1, 1000));
            let mut effects = Vec::new();
            tokio::select! {
                biased; // a sign of life that is there already counts before silence does
                read = from.read(&mut incoming) => match read {
                    Ok(0) => return "it closed the connection".into(),
                    Ok(n) => {
                        framer.push(&incoming[..n]);
                        loop {
                            let input = match framer.next_bytes() {
                                Ok(Some(bytes)) => match Message::decode(bytes) {
                                    Ok(message) => session::Input::Message(message),
                                    Err(error) => {
                                        debug!(peer = %self.visitor.peer, %error, "a message was not understood");
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
                () = tokio::time::sleep(Duration::from_millis(wait)) => {
                    effects.extend(session.handle(session::Input::Timeout, now()));
                }
            }
            self.session.1 = effects;
        }
    }

    async fn carry_out(&mut self, effect: session::Effect) -> Result<(), String> {
        let input = match effect {
            session::Effect::Send(message) => {
                return self.own.send(message.encode()).await.map_err(|_| "the connection is ending".into());
            }
            session::Effect::Ready(features) => {
                let dpid = Dpid(features.datapath_id);
                if !(self.known)(dpid) {
                    return Err(format!("datapath id {dpid} is not in this node's configuration"));
                }
                if let Some(enrolment) = &self.visitor.enrolment {
                    enrolment.check(dpid).map_err(|e| e.to_string())?;
                }
                let Some((outlet, _slot)) = self.waiting.take() else { return Ok(()) };
                self.core
                    .outlets
                    .claim(dpid, outlet)
                    .map_err(|first| format!("datapath id {dpid} is connected already from {first}; refused"))?;
                self.dpid = Some(dpid);
                let (peer, transport) = (self.visitor.peer, self.visitor.transport.name());
                info!(%dpid, %peer, transport, "switch connected");
                let trust = self.visitor.transport.trust();
                trust.connected(dpid, Some(transport));
                if let Some(enrolment) = &self.visitor.enrolment {
                    trust.used(self.core, enrolment).await;
                }
                Input::Connected { dpid, connection: self.number }
            }
            session::Effect::Deliver(message) => {
                let Some(dpid) = self.dpid else { return Ok(()) };
                if let Body::Error(e) = &message.body {
                    warn!(%dpid, error = %e, "switch reports an error");
                }
                Input::Message { dpid, connection: self.number, message: Box::new(message) }
            }
            session::Effect::Close(reason) => return Err(reason.to_string()),
        };
        self.core.input(input).await.map_err(|_| NoAnswer::Stopping.to_string())
    }
}

/// The writing side: the session's own messages first, then the controller's. Runs until the switch takes no more, and
/// says why.
async fn write(
    to: impl AsyncWrite + Unpin,
    own: mpsc::Receiver<Vec<u8>>,
    batches: mpsc::Receiver<Vec<Message>>,
) -> String {
    match pass_on(to, own, batches).await {
        Err(why) => why,
    }
}

async fn pass_on(
    mut to: impl AsyncWrite + Unpin,
    mut own: mpsc::Receiver<Vec<u8>>,
    mut batches: mpsc::Receiver<Vec<Message>>,
) -> Result<Infallible, String> {
    let mut bytes = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(own) = own.recv() => send(&mut to, &own).await?,
            Some(batch) = batches.recv() => {
                for message in batch {
                    message.encode_into(&mut bytes);
                    if bytes.len() >= AHEAD {
                        send(&mut to, &bytes).await?;
                        bytes.clear();
                    }
                }
                send(&mut to, &bytes).await?;
                bytes.clear();
            }
            // These ends are the reader's and the outlets' to close, and theirs to explain.
            else => std::future::pending().await,
        }
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> Result<(), String> {
    let stuck = || format!("it did not read what it was sent for {} s", STUCK.as_secs());
    while !bytes.is_empty() {
        match tokio::time::timeout(STUCK, to.write(bytes)).await {
            Ok(Ok(0)) => return Err("it takes nothing any more".into()),
            Ok(Ok(n)) => bytes = bytes.get(n..).unwrap_or_default(),
            Ok(Err(e)) => return Err(e.to_string()),
            Err(_) => return Err(stuck()),
        }
    }
    // TLS keeps back what the socket did not take at once.
    match tokio::time::timeout(STUCK, to.flush()).await {
        Ok(flushed) => flushed.map_err(|e| e.to_string()),
        Err(_) => Err(stuck()),
    }
}

#[cfg(test)]
mod tests;
