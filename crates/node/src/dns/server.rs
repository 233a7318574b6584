//! The listeners, and the way of one query through the forwarder.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::http::{Shutdown, Slots, next, stopped};

use super::answer::local;
use super::cache::{Cache, Kept};
use super::learn;
use super::policy::{DnsConfig, DnsPolicy};
use super::rate::{Rates, Verdict};
use super::request::{Received, Request, TCP_MAX, read, write};
use super::upstream::Upstreams;

/// Questions with upstream resolvers at once: in all, and of one client.
const ASKING: (usize, usize) = (512, 32);
/// TCP connections at once: in all, and of one client.
const CONNECTIONS: (usize, usize) = (128, 8);
/// How long a TCP client may take for its next query (RFC 7766, section 6.2.3 asks for seconds).
const IDLE: Duration = Duration::from_secs(10);
/// How long a TCP connection may live.
const LIFE: Duration = Duration::from_secs(120);
/// Answers kept.
const CACHE: usize = 4096;
/// The largest query that is read by UDP, in bytes.
const QUERY: usize = 4096;

struct Forwarder {
    config: DnsConfig,
    policy: Arc<dyn DnsPolicy>,
    cache: Mutex<Cache>,
    upstreams: Upstreams,
    asking: Slots,
}

/// Serves DNS by UDP and TCP until the node stops.
pub async fn serve(
    udp: UdpSocket,
    tcp: TcpListener,
    policy: Arc<dyn DnsPolicy>,
    config: DnsConfig,
    shutdown: Shutdown,
) {
    let config = config.qualified();
    let forwarder = Arc::new(Forwarder {
        upstreams: Upstreams::new(config.upstreams.clone()),
        config,
        policy,
        cache: Mutex::new(Cache::new(CACHE)),
        asking: Slots::new(ASKING.0, ASKING.1),
    });
    tokio::join!(serve_udp(udp, forwarder.clone(), shutdown.clone()), serve_tcp(tcp, forwarder, shutdown));
}

async fn serve_udp(socket: UdpSocket, forwarder: Arc<Forwarder>, shutdown: Shutdown) {
    let socket = Arc::new(socket);
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; QUERY];
    let mut rates = Rates::default();
    loop {
        let (length, peer) = tokio::select! {
            () = stopped(shutdown.clone()) => break,
            Some(_) = tasks.join_next() => continue,
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                Err(e) => {
                    // Linux reports here that an earlier answer found nobody: nothing to do with the next query.
                    tracing::debug!(error = %e, "DNS socket");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let client = peer.ip().to_canonical();
        match rates.query(client, Instant::now()) {
            Verdict::Pass => {}
            Verdict::Drop => continue,
            Verdict::FirstDrop => {
                tracing::warn!(%client, "DNS queries beyond 200 a second are dropped");
                continue;
            }
        }
        match forwarder.own_answer(client, buffer.get(..length).unwrap_or_default()) {
            Own::Drop => {}
            Own::Reply(reply, limit) => {
                if let Some(bytes) = write(&reply, limit) {
                    let _ = socket.try_send_to(&bytes, peer);
                }
            }
            Own::Ask(request, kept) => {
                // No place left: silence makes the client try again later, an error would make it give up.
                let Some(place) = forwarder.asking.take(client) else { continue };
                let (forwarder, socket) = (forwarder.clone(), socket.clone());
                tasks.spawn(async move {
                    let reply = forwarder.ask(client, &request, kept).await;
                    if let Some(bytes) = write(&reply, request.udp_limit) {
                        let _ = socket.send_to(&bytes, peer).await;
                    }
                    drop(place);
                });
            }
        }
    }
    tasks.shutdown().await;
}

async fn serve_tcp(listener: TcpListener, forwarder: Arc<Forwarder>, shutdown: Shutdown) {
    let slots = Slots::new(CONNECTIONS.0, CONNECTIONS.1);
    let mut tasks = JoinSet::new();
    while let Some((stream, peer)) = next(&shutdown, &mut tasks, || listener.accept()).await {
        let client = peer.ip().to_canonical();
        let Some(slot) = slots.take(client) else { continue };
        let forwarder = forwarder.clone();
        tasks.spawn(async move {
            let _ = timeout(LIFE, serve_stream(stream, client, &forwarder)).await;
            drop(slot);
        });
    }
    tasks.shutdown().await;
}

/// One TCP connection: queries one after the other, until it errs, idles, or sends something that is not DNS.
async fn serve_stream(mut stream: TcpStream, client: IpAddr, forwarder: &Forwarder) -> Option<()> {
    loop {
        let query = async {
            let length = usize::from(stream.read_u16().await.ok()?);
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).await.ok()?;
            Some(bytes)
        };
        let bytes = timeout(IDLE, query).await.ok()??;
        let reply = match forwarder.own_answer(client, &bytes) {
            Own::Drop => return None,
            Own::Reply(reply, _) => reply,
            Own::Ask(request, kept) => match forwarder.asking.take(client) {
                Some(_place) => forwarder.ask(client, &request, kept).await,
                None => request.reply(ResponseCode::ServFail),
            },
        };
        let bytes = write(&reply, TCP_MAX)?;
        let mut framed = u16::try_from(bytes.len()).ok()?.to_be_bytes().to_vec();
        framed.extend(bytes);
        timeout(IDLE, stream.write_all(&framed)).await.ok()?.ok()?;
    }
}

/// What can be said without asking anybody.
enum Own {
    /// Nothing.
    Drop,
    /// This, in at most so many bytes by UDP.
    Reply(Message, usize),
    /// An upstream resolver must be asked, or what it said lately must be learned first.
    Ask(Request, Option<Kept>),
}

impl Forwarder {
    fn own_answer(&self, client: IpAddr, bytes: &[u8]) -> Own {
        let request = match read(bytes) {
            Received::Drop => return Own::Drop,
            Received::Reply(reply) => return Own::Reply(reply, 512),
            Received::Request(request) => request,
        };
        if let Some(reply) = local(&self.config, &*self.policy, client, &request) {
            return Own::Reply(reply, request.udp_limit);
        }
        let (name, kind) = (&request.query.name, request.query.query_type);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        match cache.get(name, kind, Instant::now()) {
            Some(kept) if self.watched(&request).is_none() => Own::Reply(filled(&request, kept), request.udp_limit),
            kept => Own::Ask(request, kept),
        }
    }

    /// The name that a question is for, if an external lists it.
    fn watched(&self, request: &Request) -> Option<String> {
        if request.query.query_type != RecordType::A {
            return None;
        }
        learn::forms(&request.query.name).into_iter().find(|name| self.policy.is_watched(name))
    }

    async fn ask(&self, client: IpAddr, request: &Request, kept: Option<Kept>) -> Message {
        if let Some(kept) = kept {
            return self.told(client, request, kept).await;
        }
        match self.upstreams.ask(&request.query).await {
            Ok(answer) => {
                let kept = Kept::of(answer);
                let (name, kind) = (request.query.name.clone(), request.query.query_type);
                {
                    let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                    cache.put(name, kind, kept.clone(), Instant::now());
                }
                self.told(client, request, kept).await
            }
            Err(error) => {
                tracing::debug!(%error, "a DNS question found no answer");
                request.reply(ResponseCode::ServFail)
            }
        }
    }

    /// The answer, after the switches know the addresses in it: whoever connects at once gets through.
    async fn told(&self, client: IpAddr, request: &Request, mut kept: Kept) -> Message {
        let Some(name) = self.watched(request) else { return filled(request, kept) };
        let addresses = learn::addresses(&request.query.name, &kept.answers);
        if addresses.is_empty() {
            return filled(request, kept);
        }
        let Some(refused) = self.policy.learn(client, name, addresses).await else {
            // The client asks again, and nobody was led anywhere.
            return request.reply(ResponseCode::ServFail);
        };
        kept.answers.retain(|r| !matches!(&r.data, RData::A(a) if refused.contains(&a.0)));
        for record in &mut kept.answers {
            record.ttl = record.ttl.min(learn::LONGEST);
        }
        filled(request, kept)
    }
}

fn filled(request: &Request, kept: Kept) -> Message {
    let mut reply = request.reply(kept.code);
    reply.add_answers(kept.answers);
    reply.add_authorities(kept.authorities);
    reply
}
