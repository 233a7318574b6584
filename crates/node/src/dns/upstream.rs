//! Asking the upstream resolvers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::request::{TCP_MAX, UDP_MAX};

/// How long one resolver may take.
const EACH: Duration = Duration::from_secs(2);
/// How many packets that are not the answer are looked at before a resolver is given up: a flood of forged answers ends
/// the question rather than getting more guesses.
const STRAYS: usize = 8;

/// Why there is no answer from a resolver.
#[derive(Debug, Error)]
pub(super) enum UpstreamError {
    #[error("no resolver is configured")]
    None,
    #[error("{server} did not answer within {} seconds", EACH.as_secs())]
    Silent { server: SocketAddr },
    #[error("{server}: {error}")]
    Io { server: SocketAddr, error: io::Error },
    #[error("{server} sent {STRAYS} packets that are not the answer: somebody may be forging answers")]
    Strays { server: SocketAddr },
    #[error("{server} sent an answer that does not fit the question")]
    Wrong { server: SocketAddr },
    #[error("no random numbers from the operating system")]
    Random,
}

/// The resolvers, and which of them answered last.
#[derive(Debug)]
pub(super) struct Upstreams {
    servers: Vec<SocketAddr>,
    preferred: AtomicUsize,
}

impl Upstreams {
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, preferred: AtomicUsize::new(0) }
    }

    /// Asks one after the other, each once, beginning with the one that answered last. An answer of SERVFAIL or REFUSED
    /// counts as none while there is another resolver to ask.
    pub(super) async fn ask(&self, query: &Query) -> Result<Message, UpstreamError> {
        let count = self.servers.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut last = Err(UpstreamError::None);
        for offset in 0..count {
            let index = (first + offset) % count;
            let Some(server) = self.servers.get(index).copied() else { break };
            match ask_one(server, query).await {
                Ok(answer) if answered(&answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(answer) => last = Ok(answer),
                Err(error) => {
                    tracing::debug!(%error, "a DNS resolver failed");
                    if last.is_err() {
                        last = Err(error);
                    }
                }
            }
        }
        last
    }
}

fn answered(answer: &Message) -> bool {
    !matches!(answer.metadata.response_code, ResponseCode::ServFail | ResponseCode::Refused)
}

async fn ask_one(server: SocketAddr, query: &Query) -> Result<Message, UpstreamError> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|_| UpstreamError::Random)?;
    let id = u16::from_be_bytes(id);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(query.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_MAX).set_version(0);
    message.set_edns(edns);
    let bytes = message.to_vec().map_err(|e| UpstreamError::Io { server, error: io::Error::other(e) })?;
    let silent = |_| UpstreamError::Silent { server };
    let answer = timeout(EACH, by_udp(server, id, query, &bytes)).await.map_err(silent)??;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    timeout(EACH, by_tcp(server, id, query, &bytes)).await.map_err(silent)?
}

/// RFC 5452, section 9: a socket of its own per question (so a random port, chosen by the kernel), connected (so only
/// the resolver's address is heard), a random id, and the question compared.
async fn by_udp(server: SocketAddr, id: u16, query: &Query, bytes: &[u8]) -> Result<Message, UpstreamError> {
    let io = |error| UpstreamError::Io { server, error };
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(io)?;
    socket.connect(server).await.map_err(io)?;
    socket.send(bytes).await.map_err(io)?;
    let mut buffer = vec![0; 4096];
    for _ in 0..STRAYS {
        let length = socket.recv(&mut buffer).await.map_err(io)?;
        if let Some(answer) = buffer.get(..length).and_then(|b| matching(b, id, query)) {
            return Ok(answer);
        }
    }
    Err(UpstreamError::Strays { server })
}

/// RFC 7766: length, then message.
async fn by_tcp(server: SocketAddr, id: u16, query: &Query, bytes: &[u8]) -> Result<Message, UpstreamError> {
    let io = |error| UpstreamError::Io { server, error };
    let length = u16::try_from(bytes.len()).map_err(|e| io(io::Error::other(e)))?;
    let mut stream = TcpStream::connect(server).await.map_err(io)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await.map_err(io)?;
    let length = usize::from(stream.read_u16().await.map_err(io)?).min(TCP_MAX);
    let mut buffer = vec![0; length];
    stream.read_exact(&mut buffer).await.map_err(io)?;
    matching(&buffer, id, query).ok_or(UpstreamError::Wrong { server })
}

/// The message, if it is the answer to this very question.
fn matching(bytes: &[u8], id: u16, query: &Query) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let fits = message.metadata.message_type == MessageType::Response
        && message.metadata.id == id
        && message.metadata.op_code == OpCode::Query
        && matches!(message.queries.as_slice(), [q] if q == query);
    fits.then_some(message)
}
