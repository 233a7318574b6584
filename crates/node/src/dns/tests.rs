//! The forwarder over real UDP and TCP, with a resolver on loopback that the tests script.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use super::{Client, DnsConfig, DnsPolicy, serve};

/// Looks out for names below `office.example`; refuses addresses that end in 66; on `slow.office.example` it gives up.
struct Fake(Mutex<Client>, Mutex<Vec<Taught>>);

/// A name with its addresses and their times.
type Taught = (String, Vec<(Ipv4Addr, u32)>);

impl DnsPolicy for Fake {
    fn who(&self, client: IpAddr) -> Client {
        assert_eq!(client, IpAddr::from([127, 0, 0, 1]));
        *self.0.lock().unwrap()
    }
    fn lookup(&self, name: &str) -> Option<Vec<IpAddr>> {
        match name {
            "anna" => Some(vec![[10, 0, 0, 5].into(), "fd00::5".parse().unwrap()]),
            "営業-1" => Some(vec![[10, 0, 0, 6].into()]),
            "away" => Some(vec![]),
            _ => None,
        }
    }
    fn reverse(&self, address: IpAddr) -> Option<String> {
        (address == IpAddr::from([10, 0, 0, 5])).then(|| "anna".to_owned())
    }
    fn is_watched(&self, name: &str) -> bool {
        name.ends_with(".office.example")
    }
    fn learn(
        &self,
        client: IpAddr,
        name: String,
        addresses: Vec<(Ipv4Addr, u32)>,
    ) -> futures::future::BoxFuture<'_, Option<Vec<Ipv4Addr>>> {
        assert_eq!(client, IpAddr::from([127, 0, 0, 1]));
        Box::pin(async move {
            // The answer must wait for this.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let refused = addresses.iter().map(|(a, _)| *a).filter(|a| a.octets()[3] == 66).collect();
            let slow = name.starts_with("slow.");
            self.1.lock().unwrap().push((name, addresses));
            (!slow).then_some(refused)
        })
    }
}

/// How the scripted resolver behaves.
#[derive(Clone, Copy)]
enum Script {
    /// Answers 192.0.2.1 with TTL 60.
    Honest,
    /// SERVFAIL.
    Broken,
    /// First answers with a wrong id, a wrong question and garbage, then honestly.
    Noisy,
    /// Only wrong ids.
    Forged,
    /// Truncated by UDP, a long text by TCP.
    Truncated,
    /// An alias, and behind it 192.0.2.1, 192.0.2.66, and an address of another name.
    Alias,
    /// Nothing.
    Silent,
}

/// UDP and TCP on one free port. The kernel chooses a port that is free for UDP; another test may have it for TCP.
async fn sockets() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        if let Ok(tcp) = TcpListener::bind(address).await {
            return (udp, tcp, address);
        }
    }
}

/// A resolver; counts the questions it got.
async fn resolver(script: Script) -> (SocketAddr, Arc<AtomicUsize>) {
    let (udp, tcp, address) = sockets().await;
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 2000];
        loop {
            let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
            seen.fetch_add(1, Ordering::SeqCst);
            let query = Message::from_vec(&buffer[..length]).unwrap();
            for answer in answers(script, &query) {
                udp.send_to(&answer, peer).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut bytes = vec![0; length.into()];
            stream.read_exact(&mut bytes).await.unwrap();
            let mut answer = reply(&Message::from_vec(&bytes).unwrap());
            let text = TXT::new(vec!["x".repeat(250); 8]);
            answer.add_answer(Record::from_rdata(answer.queries[0].name.clone(), 60, RData::TXT(text)));
            let bytes = answer.to_vec().unwrap();
            stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    });
    (address, count)
}

fn reply(query: &Message) -> Message {
    assert!(query.metadata.recursion_desired);
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.add_queries(query.queries.clone());
    answer
}

fn answers(script: Script, query: &Message) -> Vec<Vec<u8>> {
    let mut honest = reply(query);
    let record = |a: [u8; 4]| Record::from_rdata(query.queries[0].name.clone(), 60, RData::A(A(a.into())));
    let mut forged = honest.clone();
    forged.metadata.id ^= 1;
    forged.add_answer(record([203, 0, 113, 66]));
    let mut other = honest.clone();
    other.queries[0].name = Name::from_str("other.example.").unwrap();
    other.add_answer(record([203, 0, 113, 66]));
    honest.add_answer(record([192, 0, 2, 1]));
    let bytes = |m: &Message| m.to_vec().unwrap();
    match script {
        Script::Honest => vec![bytes(&honest)],
        Script::Broken => {
            let mut broken = reply(query);
            broken.metadata.response_code = ResponseCode::ServFail;
            vec![bytes(&broken)]
        }
        Script::Noisy => vec![bytes(&forged), bytes(&other), b"garbage".to_vec(), bytes(query), bytes(&honest)],
        Script::Forged => vec![bytes(&forged); 20],
        Script::Silent => vec![],
        Script::Alias => {
            let mut chain = reply(query);
            let edge = Name::from_str("edge.example.").unwrap();
            let alias = RData::CNAME(hickory_proto::rr::rdata::CNAME(edge.clone()));
            chain.add_answer(Record::from_rdata(query.queries[0].name.clone(), 40, alias));
            for last in [1, 66] {
                chain.add_answer(Record::from_rdata(edge.clone(), 300_000, RData::A(A([192, 0, 2, last].into()))));
            }
            let beside = Name::from_str("beside.example.").unwrap();
            chain.add_answer(Record::from_rdata(beside, 60, RData::A(A([192, 0, 2, 99].into()))));
            vec![bytes(&chain)]
        }
        Script::Truncated => {
            let mut cut = reply(query);
            cut.metadata.truncation = true;
            vec![bytes(&cut)]
        }
    }
}

struct Running {
    address: SocketAddr,
    fake: Arc<Fake>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(client: Client, upstreams: Vec<SocketAddr>) -> Self {
        Self::with_domain("fseg.internal", client, upstreams).await
    }

    async fn with_domain(domain: &str, client: Client, upstreams: Vec<SocketAddr>) -> Self {
        let (udp, tcp, address) = sockets().await;
        let fake = Arc::new(Fake(Mutex::new(client), Mutex::default()));
        let config = DnsConfig {
            domain: Name::from_str(domain).unwrap(),
            portal_name: Some(Name::from_str("portal.fseg.internal").unwrap()),
            portal: Ipv4Addr::new(10, 0, 0, 1),
            upstreams,
        };
        let (stop, shutdown) = watch::channel(false);
        let task = tokio::spawn(serve(udp, tcp, fake.clone(), config, shutdown));
        Self { address, fake, stop, task }
    }

    async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(bytes, self.address).await.unwrap();
        let mut buffer = vec![0; 2000];
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!(from, self.address);
        buffer.truncate(length);
        buffer
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Message {
        let query = query(name, kind);
        let answer = Message::from_vec(&self.raw(&query.to_vec().unwrap()).await).unwrap();
        assert_eq!((answer.metadata.id, &answer.queries), (query.metadata.id, &query.queries));
        assert!(answer.metadata.recursion_available || answer.metadata.response_code != ResponseCode::NoError);
        answer
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_utf8(name).unwrap(), kind));
    message
}

fn data(answer: &Message) -> Vec<String> {
    answer.answers.iter().map(|r| format!("{} {}", r.ttl, r.data)).collect()
}

#[tokio::test]
async fn strangers_are_told_that_everything_is_the_portal_and_nothing_leaves() {
    let (upstream, asked) = resolver(Script::Honest).await;
    let dns = Running::start(Client::Stranger, vec![upstream]).await;
    for name in ["www.example.com.", "anna.fseg.internal.", "a.very.long.tunnel.example.", "."] {
        assert_eq!(data(&dns.ask(name, RecordType::A).await), ["1 10.0.0.1"], "{name}");
        for kind in
            [RecordType::AAAA, RecordType::TXT, RecordType::NULL, RecordType::HTTPS, RecordType::Unknown(65_000)]
        {
            let answer = dns.ask(name, kind).await;
            assert_eq!(
                (answer.metadata.response_code, data(&answer).len()),
                (ResponseCode::NoError, 0),
                "{name} {kind}"
            );
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    *dns.fake.0.lock().unwrap() = Client::Admitted;
    assert_eq!(data(&dns.ask("www.example.com.", RecordType::A).await), ["60 192.0.2.1"], "nothing was kept");
    *dns.fake.0.lock().unwrap() = Client::Stranger;
    assert_eq!(data(&dns.ask("www.example.com.", RecordType::A).await), ["1 10.0.0.1"], "not from the cache");
}

#[tokio::test]
async fn unknown_clients_are_refused() {
    let dns = Running::start(Client::Unknown, vec![]).await;
    assert_eq!(dns.ask("www.example.com.", RecordType::A).await.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn endpoints_are_known_by_name_and_address() {
    let dns = Running::start(Client::Admitted, vec![]).await;
    for (name, kind, code, expected) in [
        ("anna.fseg.internal.", RecordType::A, ResponseCode::NoError, vec!["10 10.0.0.5"]),
        ("ANNA.FSEG.internal.", RecordType::AAAA, ResponseCode::NoError, vec!["10 fd00::5"]),
        ("営業-1.fseg.internal.", RecordType::A, ResponseCode::NoError, vec!["10 10.0.0.6"]),
        ("anna.fseg.internal.", RecordType::MX, ResponseCode::NoError, vec![]),
        ("away.fseg.internal.", RecordType::A, ResponseCode::NoError, vec![]),
        ("nobody.fseg.internal.", RecordType::A, ResponseCode::NXDomain, vec![]),
        ("x.anna.fseg.internal.", RecordType::A, ResponseCode::NXDomain, vec![]),
        ("fseg.internal.", RecordType::A, ResponseCode::NoError, vec![]),
        ("portal.fseg.internal.", RecordType::A, ResponseCode::NoError, vec!["10 10.0.0.1"]),
        ("5.0.0.10.in-addr.arpa.", RecordType::PTR, ResponseCode::NoError, vec!["10 anna.fseg.internal."]),
        ("1.0.0.10.in-addr.arpa.", RecordType::PTR, ResponseCode::NoError, vec!["10 portal.fseg.internal."]),
        ("9.0.0.10.in-addr.arpa.", RecordType::PTR, ResponseCode::NXDomain, vec![]),
        ("8.8.8.8.in-addr.arpa.", RecordType::PTR, ResponseCode::ServFail, vec![]),
        ("10.in-addr.arpa.", RecordType::PTR, ResponseCode::ServFail, vec![]),
        ("www.example.com.", RecordType::A, ResponseCode::ServFail, vec![]),
    ] {
        let answer = dns.ask(name, kind).await;
        assert_eq!(
            (answer.metadata.response_code, data(&answer)),
            (code, expected.iter().map(|s| s.to_string()).collect()),
            "{name}"
        );
        let ours = code != ResponseCode::ServFail;
        assert_eq!(answer.metadata.authoritative, ours, "{name}");
    }
    let soa = dns.ask("fseg.internal.", RecordType::SOA).await;
    assert_eq!(soa.answers[0].record_type(), RecordType::SOA);
}

#[tokio::test]
async fn the_root_as_domain_hides_no_name() {
    let (upstream, _) = resolver(Script::Honest).await;
    let dns = Running::with_domain(".", Client::Admitted, vec![upstream]).await;
    assert_eq!(data(&dns.ask("www.example.com.", RecordType::A).await), ["60 192.0.2.1"]);
    assert_eq!(data(&dns.ask("anna.", RecordType::A).await), ["60 192.0.2.1"]);
    let answer = dns.ask("5.0.0.10.in-addr.arpa.", RecordType::PTR).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn one_client_has_a_bounded_number_of_questions_open() {
    let (upstream, asked) = resolver(Script::Silent).await;
    let dns = Running::start(Client::Admitted, vec![upstream]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..60 {
        let query = query(&format!("n{n}.example."), RecordType::A).to_vec().unwrap();
        socket.send_to(&query, dns.address).await.unwrap();
    }
    // Queries are read in order: once this one is answered, all sixty have been taken or dropped.
    dns.ask("anna.fseg.internal.", RecordType::A).await;
    while asked.load(Ordering::SeqCst) < 32 {
        tokio::task::yield_now().await;
    }
    dns.ask("anna.fseg.internal.", RecordType::A).await;
    assert_eq!(asked.load(Ordering::SeqCst), 32);
}

#[tokio::test]
async fn questions_upstream_cannot_be_guessed() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = Running::start(Client::Admitted, vec![udp.local_addr().unwrap()]).await;
    let mut seen = std::collections::HashSet::new();
    let (mut ids, mut ports) = (std::collections::HashSet::new(), std::collections::HashSet::new());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..20 {
        let mut bytes = query(&format!("n{n}.example."), RecordType::A).to_vec().unwrap();
        bytes[..2].fill(0);
        socket.send_to(&bytes, dns.address).await.unwrap();
        let mut buffer = [0; 2000];
        let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        ids.insert(question.metadata.id);
        ports.insert(peer.port());
        seen.insert(question.queries[0].name.to_string());
    }
    assert_eq!(seen.len(), 20);
    assert!(ids.len() >= 18 && ports.len() >= 15, "{ids:?} {ports:?}");
}

#[tokio::test]
async fn the_second_question_is_answered_from_the_cache() {
    let (upstream, asked) = resolver(Script::Honest).await;
    let dns = Running::start(Client::Admitted, vec![upstream]).await;
    for name in ["www.example.com.", "www.example.com.", "WWW.example.com."] {
        let answer = dns.ask(name, RecordType::A).await;
        assert_eq!(answer.answers.len(), 1);
        assert!(!answer.metadata.authoritative);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    dns.ask("www.example.com.", RecordType::AAAA).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_broken_resolver_is_passed_over_and_then_asked_last() {
    let (broken, asked_broken) = resolver(Script::Broken).await;
    let (honest, asked_honest) = resolver(Script::Honest).await;
    let dns = Running::start(Client::Admitted, vec![broken, honest]).await;
    for name in ["a.example.", "b.example.", "c.example."] {
        assert_eq!(data(&dns.ask(name, RecordType::A).await), ["60 192.0.2.1"]);
    }
    assert_eq!((asked_broken.load(Ordering::SeqCst), asked_honest.load(Ordering::SeqCst)), (1, 3));
    let dns = Running::start(Client::Admitted, vec![broken]).await;
    assert_eq!(dns.ask("a.example.", RecordType::A).await.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn forged_answers_are_not_believed() {
    let (noisy, _) = resolver(Script::Noisy).await;
    let dns = Running::start(Client::Admitted, vec![noisy]).await;
    assert_eq!(data(&dns.ask("a.example.", RecordType::A).await), ["60 192.0.2.1"]);
    let (forged, _) = resolver(Script::Forged).await;
    let dns = Running::start(Client::Admitted, vec![forged]).await;
    assert_eq!(dns.ask("a.example.", RecordType::A).await.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn truncated_answers_are_fetched_by_tcp_and_given_by_tcp() {
    let (upstream, _) = resolver(Script::Truncated).await;
    let dns = Running::start(Client::Admitted, vec![upstream]).await;
    let short = dns.ask("long.example.", RecordType::TXT).await;
    assert!(short.metadata.truncation && short.answers.is_empty(), "2000 bytes do not fit into 512");
    let mut stream = TcpStream::connect(dns.address).await.unwrap();
    // Two queries on one connection, the second in pieces.
    for cut in [0, 5] {
        let bytes = query("long.example.", RecordType::TXT).to_vec().unwrap();
        let mut framed = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(bytes);
        stream.write_all(&framed[..cut]).await.unwrap();
        stream.write_all(&framed[cut..]).await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        let answer = Message::from_vec(&bytes).unwrap();
        assert!(!answer.metadata.truncation && bytes.len() > 2000 && answer.answers.len() == 1);
    }
}

#[tokio::test]
async fn hostile_packets_do_no_harm() {
    let dns = Running::start(Client::Admitted, vec![]).await;
    let good = query("anna.fseg.internal.", RecordType::A).to_vec().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for end in 0..good.len() {
        socket.send_to(&good[..end], dns.address).await.unwrap();
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            socket.send_to(&bytes, dns.address).await.unwrap();
        }
    }
    // A name that points at itself (RFC 1035, section 4.1.4), and a packet larger than any query.
    let mut looped = good[..12].to_vec();
    looped.extend([0xc0, 12, 0, 1, 0, 1]);
    assert_eq!(Message::from_vec(&dns.raw(&looped).await).unwrap().metadata.response_code, ResponseCode::FormErr);
    socket.send_to(&vec![0x20; 9000], dns.address).await.unwrap();
    assert_eq!(data(&dns.ask("anna.fseg.internal.", RecordType::A).await), ["10 10.0.0.5"]);
    // By TCP, what is not DNS ends the connection.
    let mut stream = TcpStream::connect(dns.address).await.unwrap();
    stream.write_all(&[0, 2, 1, 2]).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    dns.stop.send(true).unwrap();
    dns.task.await.unwrap();
}

#[tokio::test]
async fn watched_names_are_learned_before_they_are_told() {
    let (upstream, asked) = resolver(Script::Alias).await;
    let dns = Running::start(Client::Admitted, vec![upstream]).await;
    let taught = |n: usize| {
        let all = dns.fake.1.lock().unwrap();
        assert_eq!(all.len(), n, "{all:?}");
        all.last().cloned()
    };
    // Twice: from the resolver, and from the cache.
    for round in 1..=2 {
        let answer = dns.ask("Login.Office.Example.", RecordType::A).await;
        let addresses: Vec<String> = data(&answer).into_iter().filter(|d| d.contains("192.0.2.")).collect();
        // What was refused is left out, and nothing may be kept for longer than it is open.
        assert_eq!(addresses, ["86400 192.0.2.1", "60 192.0.2.99"]);
        let (name, learned) = taught(round).unwrap();
        assert_eq!(name, "login.office.example");
        assert_eq!(learned, [([192, 0, 2, 1].into(), 40), ([192, 0, 2, 66].into(), 40)]);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Other names and other kinds of questions teach nothing.
    dns.ask("www.elsewhere.example.", RecordType::A).await;
    dns.ask("login.office.example.", RecordType::AAAA).await;
    taught(2);
    // When the switches take too long, the client is told to ask again.
    let late = dns.ask("slow.office.example.", RecordType::A).await;
    assert_eq!((late.metadata.response_code, late.answers.len()), (ResponseCode::ServFail, 0));
    // By TCP too.
    let mut stream = TcpStream::connect(dns.address).await.unwrap();
    let bytes = query("tcp.office.example.", RecordType::A).to_vec().unwrap();
    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(taught(4).unwrap().0, "tcp.office.example");
}

#[tokio::test]
async fn strangers_teach_nothing() {
    let (upstream, asked) = resolver(Script::Alias).await;
    let dns = Running::start(Client::Stranger, vec![upstream]).await;
    assert_eq!(data(&dns.ask("login.office.example.", RecordType::A).await), ["1 10.0.0.1"]);
    assert_eq!((dns.fake.1.lock().unwrap().len(), asked.load(Ordering::SeqCst)), (0, 0));
}
