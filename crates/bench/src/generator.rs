//! Switches that load a controller with packet-ins, over TCP. They answer what a controller asks at first as a switch with
//! empty tables does, take its rows, and then send.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fseg_model::{Dpid, PortNo};
use fseg_openflow::table::{TableFeatures, TableProperty};
use fseg_openflow::{Body, Features, Field, Framer, Hello, Message, PacketIn};
use fseg_test_kit::{FakeSwitch, Out};

/// One loaded connection.
pub(crate) struct Generator {
    stream: TcpStream,
    switch: FakeSwitch,
    framer: Framer,
    buffer: Vec<u8>,
    /// What is sent, in turns.
    packets: Vec<Vec<u8>>,
    next: usize,
    sent: VecDeque<Instant>,
    /// What is taken for the answer to a packet-in.
    answers: fn(u8) -> bool,
    /// Whose requests are sent, in turns, when the answers are to be looked at.
    askers: Vec<[u8; 6]>,
    /// Answers that were not for anybody who asked.
    pub(crate) misled: usize,
}

/// Whether a PACKET_OUT carries an ARP answer to this MAC address.
fn is_answer_to(bytes: &[u8], asker: [u8; 6]) -> bool {
    // Header 8, buffer 4, port 4, length of the actions 2, padding 6 (OpenFlow 1.3.5 section 7.3.7).
    let Some(&[high, low]) = bytes.get(16..18) else { return false };
    let frame = bytes.get(24 + usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default();
    frame.get(..6) == Some(&asker[..]) && frame.get(12..14) == Some(&[8, 6]) && frame.get(20..22) == Some(&[0, 2])
}

/// What a run led to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    pub(crate) answered: u64,
    pub(crate) seconds: f64,
    pub(crate) latencies: Vec<Duration>,
}

pub(crate) const PACKET_OUT: u8 = 13;
pub(crate) const FLOW_MOD: u8 = 14;

impl Generator {
    /// Connects, and answers until the controller has asked nothing for `quiet`.
    pub(crate) fn connect(
        to: &str,
        mut switch: FakeSwitch,
        quiet: Duration,
        answers: fn(u8) -> bool,
    ) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        switch.tables.clear();
        let mut this = Self {
            stream,
            switch,
            framer: Framer::new(),
            buffer: vec![0; 256 << 10],
            packets: Vec::new(),
            next: 0,
            sent: VecDeque::new(),
            answers,
            askers: Vec::new(),
            misled: 0,
        };
        this.say(&Message { xid: 1, body: Body::Hello(Hello::default()) })?;
        let mut last = Instant::now();
        while last.elapsed() < quiet {
            if this.receive(Duration::from_millis(50))?.0 > 0 {
                last = Instant::now();
            }
        }
        Ok(this)
    }

    /// The packet-ins to send, as the tables of the switch would send these frames; or, without rows that do, as a table
    /// miss.
    pub(crate) fn load(&mut self, frames: &[(u32, Vec<u8>)], from_rows: bool) {
        for (port, frame) in frames {
            let bodies: Vec<Body> = if from_rows {
                let said = self.switch.frame_in(*port, frame).into_iter();
                said.filter_map(|o| if let Out::Message(body @ Body::PacketIn(_)) = o { Some(body) } else { None })
                    .collect()
            } else {
                vec![Body::PacketIn(PacketIn {
                    buffer_id: self.packets.len() as u32,
                    total_len: frame.len() as u16,
                    reason: 0,
                    table: 0,
                    cookie: 0,
                    matches: fseg_openflow::Match::new().with(fseg_openflow::Field::InPort, *port),
                    data: frame.clone(),
                })]
            };
            if from_rows {
                self.askers.extend(frame[6..12].first_chunk::<6>());
            }
            self.packets.extend(bodies.into_iter().map(|body| Message { xid: 0, body }.encode()));
        }
    }

    /// Forgets what was loaded.
    pub(crate) fn unload(&mut self) {
        self.packets.clear();
        self.askers.clear();
        self.next = 0;
    }

    pub(crate) fn loaded(&self) -> usize {
        self.packets.len()
    }

    pub(crate) fn rows(&self) -> usize {
        self.switch.tables.len()
    }

    fn say(&mut self, message: &Message) -> std::io::Result<()> {
        self.stream.write_all(&message.encode())
    }

    /// Reads what is there; how many messages came, and how many of them are answers.
    fn receive(&mut self, wait: Duration) -> std::io::Result<(usize, usize)> {
        self.stream.set_read_timeout(Some(wait))?;
        let n = match self.stream.read(&mut self.buffer) {
            Ok(0) => return Err(std::io::Error::other("the controller hung up")),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                return Ok((0, 0));
            }
            Err(e) => return Err(e),
        };
        self.framer.push(&self.buffer[..n]);
        let (mut all, mut answers) = (0, 0);
        let mut replies = Vec::new();
        while let Some(bytes) = self.framer.next_bytes().map_err(std::io::Error::other)? {
            all += 1;
            let kind = bytes[1];
            if !self.packets.is_empty() && (self.answers)(kind) {
                answers += 1;
                if !self.askers.is_empty() {
                    self.misled += usize::from(!self.askers.iter().any(|asker| is_answer_to(bytes, *asker)));
                }
                continue;
            }
            let Ok(message) = Message::decode(bytes) else { continue };
            let body = match &message.body {
                Body::Hello(_) => continue,
                Body::FeaturesRequest => Body::FeaturesReply(Features {
                    datapath_id: self.switch.dpid.0,
                    n_buffers: 256,
                    n_tables: 254,
                    auxiliary_id: 0,
                    capabilities: 0x4f,
                }),
                Body::GetConfigRequest => Body::GetConfigReply(Default::default()),
                Body::SetConfig(_) | Body::Error(_) | Body::EchoReply(_) => continue,
                Body::RoleRequest(r) => Body::RoleReply(*r),
                Body::GetAsyncRequest | Body::SetAsync(_) => continue,
                Body::PacketOut(_) | Body::FlowMod(_) if !self.packets.is_empty() => continue,
                _ => {
                    let out = self.switch.receive(&message).unwrap_or_default();
                    for o in out {
                        match o {
                            Out::Message(body) => replies.push(Message { xid: message.xid, body }),
                            Out::Late { xid, body } => replies.push(Message { xid, body }),
                            Out::Frame { .. } => {}
                        }
                    }
                    continue;
                }
            };
            replies.push(Message { xid: message.xid, body });
        }
        for r in replies {
            self.say(&r)?;
        }
        Ok((all, answers))
    }

    /// Sends for so long, with at most `window` packet-ins unanswered; `rate` packet-ins a second at most.
    pub(crate) fn run(&mut self, time: Duration, window: usize, rate: Option<f64>) -> std::io::Result<Outcome> {
        let begun = Instant::now();
        let mut out = Outcome::default();
        let mut batch = Vec::new();
        let mut count = 0_u64;
        let mut heard = Instant::now();
        self.sent.clear();
        loop {
            let elapsed = begun.elapsed();
            let over = elapsed >= time;
            if over && self.sent.is_empty() {
                break;
            }
            if !over {
                batch.clear();
                let due = rate.map_or(u64::MAX, |r| (elapsed.as_secs_f64() * r) as u64);
                while self.sent.len() < window && count < due {
                    batch.extend_from_slice(&self.packets[self.next]);
                    self.next = (self.next + 1) % self.packets.len();
                    self.sent.push_back(Instant::now());
                    count += 1;
                }
                if !batch.is_empty() {
                    self.stream.write_all(&batch)?;
                }
            }
            let (_, answers) = self.receive(Duration::from_micros(if rate.is_some() { 200 } else { 100_000 }))?;
            for _ in 0..answers {
                if let Some(at) = self.sent.pop_front() {
                    out.latencies.push(at.elapsed());
                    out.answered += 1;
                }
                heard = Instant::now();
            }
            if heard.elapsed() > Duration::from_secs(2) && begun.elapsed() > Duration::from_secs(2) {
                // Some were not answered: dropped by a full queue, say.
                break;
            }
        }
        out.seconds = begun.elapsed().as_secs_f64();
        Ok(out)
    }
}

/// A plain switch with `ports` ports and large tables. It cannot write ARP fields, so the node answers ARP in its place.
pub(crate) fn switch(dpid: u64, ports: u32) -> FakeSwitch {
    let written = [
        Field::EthDst,
        Field::EthSrc,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::TcpSrc,
        Field::TcpDst,
        Field::UdpSrc,
        Field::UdpDst,
    ];
    let table = |table| TableFeatures {
        table,
        max_entries: 1_000_000,
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        properties: vec![TableProperty::WriteSetField {
            miss: false,
            fields: written.iter().map(|f| (*f, false)).collect(),
        }],
        ..TableFeatures::default()
    };
    let mut switch = FakeSwitch::new(Dpid(dpid), (1..=ports).map(PortNo));
    switch.plain = Some((0..16).map(table).collect());
    switch
}
