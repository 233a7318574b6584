use fseg_control::Controller;
use fseg_openflow::{Features, Hello};
use fseg_store::MemoryStore;
use fseg_yaml::Source;
use tokio::sync::watch;

use super::*;
use crate::config::NodeConfig;
use crate::config::tests::SMALL;
use crate::core::Clock;
use crate::outlets::Outgoing;

const SW1: Dpid = Dpid(2);

/// A node's port for switches, by plain TCP, with everything behind it.
struct Port {
    core: Core,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
    _state: tempfile::TempDir,
}

async fn port() -> Port {
    let config = NodeConfig::parse(&Source::new("node.yaml", SMALL)).unwrap_or_else(|e| panic!("{e:?}"));
    let clock = Clock::start();
    let controller = Controller::new(config.site, vec![], clock.now()).unwrap();
    let store = Box::new(MemoryStore::default());
    let (core, _) = Core::start(controller, store, clock, Box::new(|_| {}), Box::new(|_| {}), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = watch::channel(false);
    let state = tempfile::tempdir().unwrap();
    let (trust, _) = Trust::open(state.path(), &[], core.clock.now().wall).unwrap();
    tokio::spawn(serve(
        listener,
        Transport::Plain(Arc::new(trust)),
        core.clone(),
        Arc::new(|dpid| dpid.0 <= 2),
        shutdown,
    ));
    Port { core, address, _stop: stop, _state: state }
}

/// A switch as the node sees it.
struct Switch {
    stream: TcpStream,
    framer: Framer,
}

impl Switch {
    /// Connects and says who it is.
    async fn connect(port: &Port, dpid: Dpid) -> Self {
        let stream = TcpStream::connect(port.address).await.unwrap();
        let mut switch = Self { stream, framer: Framer::new() };
        switch.say(1, Body::Hello(Hello::default())).await;
        switch.say(2, Body::FeaturesReply(Features { datapath_id: dpid.0, ..Features::default() })).await;
        switch
    }

    async fn say(&mut self, xid: u32, body: Body) {
        // The node may have hung up.
        let _ = self.stream.write_all(&Message { xid, body }.encode()).await;
    }

    /// The next message; `None` when the node has hung up.
    async fn hear(&mut self) -> Option<Message> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.framer.next().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut bytes).await {
                Ok(n) if n > 0 => self.framer.push(&bytes[..n]),
                _ => return None,
            }
        }
    }

    /// Whether the node takes it: then it asks for its tables, else it hangs up.
    async fn is_taken(&mut self) -> bool {
        loop {
            match self.hear().await {
                None => return false,
                Some(Message { body: Body::MultipartRequest(_), .. }) => return true,
                Some(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn a_datapath_id_that_is_connected_is_not_taken_over() {
    let port = port().await;
    let mut first = Switch::connect(&port, SW1).await;
    assert!(first.is_taken().await);
    let place = first.stream.local_addr().unwrap();
    for _ in 0..3 {
        assert!(!Switch::connect(&port, SW1).await.is_taken().await);
        assert_eq!(port.core.outlets.peer(SW1), Some(place));
    }
    // The first has noticed nothing: it is still answered.
    first.say(77, Body::EchoRequest(vec![1])).await;
    while first.hear().await.expect("still connected").xid != 77 {}
    assert!(Switch::connect(&port, Dpid(1)).await.is_taken().await, "another switch has its own place");
    // Once the first is gone it may come back, from wherever.
    drop(first);
    while !Switch::connect(&port, SW1).await.is_taken().await {}
}

#[tokio::test]
async fn who_is_ready_takes_no_room_from_those_who_are_not() {
    let port = port().await;
    let mut switch = Switch::connect(&port, SW1).await;
    assert!(switch.is_taken().await);
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_EACH {
        let stream = TcpStream::connect(port.address).await.unwrap();
        let mut one = Switch { stream, framer: Framer::new() };
        assert!(matches!(one.hear().await, Some(Message { body: Body::Hello(_), .. })), "room for {}", silent.len());
        silent.push(one);
    }
    let stream = TcpStream::connect(port.address).await.unwrap();
    assert!(Switch { stream, framer: Framer::new() }.hear().await.is_none(), "and for no more");
}

/// A switch that itself sends a lot before it reads: had reading to wait for writing, both would wait for ever.
#[tokio::test]
async fn reading_goes_on_while_much_is_written() {
    const MESSAGES: u32 = 1500;
    let port = port().await;
    let mut switch = Switch::connect(&port, SW1).await;
    assert!(switch.is_taken().await);
    let much = |xid: u32| Message { xid, body: Body::EchoReply(vec![xid as u8; 32 * 1024]) };
    // Both directions carry more than the sockets can hold.
    for connection in 1..NEXT_CONNECTION.load(Ordering::Relaxed) {
        let mut outgoing = Outgoing::default();
        outgoing.rows(SW1, connection, (1..=MESSAGES).map(|n| much(0x1000_0000 + n)).collect());
        port.core.outlets.deliver(outgoing);
    }
    for n in 1..=MESSAGES {
        switch.say(n, much(n).body).await;
    }
    let mut next = 0x1000_0001;
    while next <= 0x1000_0000 + MESSAGES {
        let message = switch.hear().await.expect("still connected");
        if message.xid == next {
            assert_eq!(message, much(next));
            next += 1;
        }
    }
}

#[tokio::test]
async fn a_switch_that_does_not_keep_up_is_let_go_at_once() {
    let port = port().await;
    let mut switch = Switch::connect(&port, SW1).await;
    assert!(switch.is_taken().await);
    while port.core.outlets.peer(SW1).is_some() {
        for connection in 1..NEXT_CONNECTION.load(Ordering::Relaxed) {
            let mut outgoing = Outgoing::default();
            let body = Body::EchoReply(vec![0; 60_000]);
            outgoing.rows(SW1, connection, vec![Message { xid: 5, body }]);
            port.core.outlets.deliver(outgoing);
        }
        tokio::task::yield_now().await;
    }
    // What was under way may still come; then it is over.
    while switch.hear().await.is_some() {}
}
