//! The asking side: many attempts at once, each bounded in time.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::{Outcome, Service, Target, Verdict};

/// Attempts under way at the same time; each is a thread that mostly sleeps.
const PARALLEL: usize = 400;
/// A thread of an attempt needs little.
const STACK: usize = 128 << 10;
/// A datagram may be lost (a switch that learns, a neighbour not yet known), so it is sent this often within the
/// timeout.
const TRIES: u32 = 3;
/// The longest answer looked at, in bytes.
const LONGEST: u64 = 512;

/// Tries every service of every target; answers in the order of asking.
pub(super) fn all(targets: &[Target], timeout: Duration) -> Vec<Outcome> {
    let jobs: Vec<(&Target, Service)> =
        targets.iter().flat_map(|target| target.services.iter().map(move |service| (target, *service))).collect();
    let queue = Mutex::new(jobs.iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, (target, service))) = next else { return };
            let outcome = one(target, *service, timeout);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.len().min(PARALLEL) {
            // Where the machine has no more threads, those that exist do the rest.
            if thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn one(target: &Target, service: Service, timeout: Duration) -> Outcome {
    let begun = Instant::now();
    let until = begun + timeout;
    let result = match service {
        Service::Tcp(port) => tcp(SocketAddr::from((target.ip, port)), &target.name, until),
        Service::Udp(port) => udp(SocketAddr::from((target.ip, port)), &target.name, until),
        Service::Echo => echo(target.ip, until),
    };
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Outcome { target: target.name.clone(), service, outcome: result.unwrap_or_else(|error| judge(&error)), millis }
}

/// Silence and unreachable are the network's no; a reset or a closed port is the other side's.
fn judge(error: &io::Error) -> Verdict {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Verdict::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            Verdict::Blocked
        }
        // EPERM and EACCES are what a local filter or an ICMP "administratively prohibited" become.
        ErrorKind::PermissionDenied => Verdict::Blocked,
        _ => Verdict::WrongAnswer,
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn tcp(address: SocketAddr, name: &str, until: Instant) -> io::Result<Verdict> {
    let mut stream = TcpStream::connect_timeout(&address, left(until)?)?;
    let wanted = format!("{name}\n");
    let mut answer = Vec::new();
    let mut chunk = [0u8; 128];
    loop {
        stream.set_read_timeout(Some(left(until)?))?;
        let read = stream.read(&mut chunk)?;
        answer.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if read == 0 || answer.len() as u64 > LONGEST || answer == wanted.as_bytes() {
            break;
        }
    }
    Ok(if answer == wanted.as_bytes() { Verdict::Pass } else { Verdict::WrongAnswer })
}

fn udp(address: SocketAddr, name: &str, until: Instant) -> io::Result<Verdict> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(address)?;
    let question = format!("who {}", std::process::id());
    let wanted = format!("{question} {name}");
    ask(
        &socket,
        until,
        |_| question.clone().into_bytes(),
        |answer| Some(if answer == wanted.as_bytes() { Verdict::Pass } else { Verdict::WrongAnswer }),
    )
}

/// ICMP echo (RFC 792) by an unprivileged ICMP socket (icmp(7)): the kernel sets identifier and checksum, and delivers
/// only the answers to this socket's identifier.
fn echo(ip: Ipv4Addr, until: Instant) -> io::Result<Verdict> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)?;
    let socket = UdpSocket::from(socket);
    socket.connect((ip, 0))?;
    let content = *b"fseg-lab-probe--";
    let request = |attempt: u8| {
        let mut packet = vec![8, 0, 0, 0, 0, 0, 0, attempt];
        packet.extend_from_slice(&content);
        packet
    };
    // Type 0 is the reply; anything else here belongs to somebody else's conversation.
    ask(&socket, until, request, |answer| match answer {
        [0, 0, _, _, _, _, _, _, rest @ ..] if rest == content => Some(Verdict::Pass),
        _ => None,
    })
}

/// Sends a question up to [`TRIES`] times, evenly spread, and waits for an answer that `judge` accepts.
fn ask(
    socket: &UdpSocket,
    until: Instant,
    question: impl Fn(u8) -> Vec<u8>,
    judge: impl Fn(&[u8]) -> Option<Verdict>,
) -> io::Result<Verdict> {
    let share = left(until)? / TRIES;
    let mut answer = [0u8; LONGEST as usize];
    let mut last = io::Error::from(ErrorKind::TimedOut);
    for attempt in 1..=TRIES {
        let slot = if attempt == TRIES { until } else { until.min(Instant::now() + share) };
        match socket.send(&question(attempt as u8)) {
            Ok(_) => {}
            // The answer to an earlier datagram (port unreachable) is reported here.
            Err(error) => {
                if error.kind() == ErrorKind::ConnectionRefused {
                    return Err(error);
                }
                last = error;
            }
        }
        while let Ok(wait) = left(slot) {
            socket.set_read_timeout(Some(wait))?;
            match socket.recv(&mut answer) {
                Ok(length) => {
                    if let Some(verdict) = judge(answer.get(..length).unwrap_or_default()) {
                        return Ok(verdict);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Err(error),
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    fn target(port: u16, udp: bool) -> Target {
        let service = if udp { Service::Udp(port) } else { Service::Tcp(port) };
        Target { name: "me".into(), ip: Ipv4Addr::LOCALHOST, services: vec![service] }
    }

    fn tcp_server(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.write_all(answer);
            }
        });
        port
    }

    fn verdict(target: Target) -> Verdict {
        all(&[target], Duration::from_secs(5)).remove(0).outcome
    }

    #[test]
    fn tcp_tells_right_from_wrong_from_closed() {
        assert_eq!(verdict(target(tcp_server(b"me\n"), false)), Verdict::Pass);
        assert_eq!(verdict(target(tcp_server(b"you\n"), false)), Verdict::WrongAnswer);
        assert_eq!(verdict(target(tcp_server(b""), false)), Verdict::WrongAnswer);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(verdict(target(closed, false)), Verdict::Refused);
    }

    #[test]
    fn udp_tells_right_from_wrong_from_closed() {
        let server = |name: &'static str| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    let answer = [&buffer[..length], b" ", name.as_bytes()].concat();
                    let _ = socket.send_to(&answer, peer);
                }
            });
            port
        };
        assert_eq!(verdict(target(server("me"), true)), Verdict::Pass);
        assert_eq!(verdict(target(server("you"), true)), Verdict::WrongAnswer);
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(verdict(target(closed, true)), Verdict::Refused);
    }

    #[test]
    fn silence_is_blocked() {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = target(silent.local_addr().unwrap().port(), true);
        assert_eq!(all(&[target], Duration::from_millis(50)).remove(0).outcome, Verdict::Blocked);
        let mut buffer = [0; 64];
        silent.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let received = (0..TRIES).filter(|_| silent.recv(&mut buffer).is_ok()).count();
        assert_eq!(received, TRIES as usize, "each try is a datagram");
    }

    #[test]
    fn hundreds_at_once_keep_their_order() {
        let port = tcp_server(b"me\n");
        let targets: Vec<Target> = (0..600).map(|_| target(port, false)).collect();
        let outcomes = all(&targets, Duration::from_secs(20));
        assert_eq!(outcomes.len(), 600);
        assert!(outcomes.iter().all(|outcome| outcome.outcome == Verdict::Pass));
    }
}
