//! One switch as the controller sees it: what it should hold, what it was told, what it confirmed.
//!
//! After a connection is made the switch is read (ports, meters, rows), compared, and only the difference is sent. From
//! then on every change is one bundle; its barrier's reply is the confirmation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use fseg_model::{Mono, PortNo, Wall};
use fseg_openflow::meter::{self, Band, MeterCommand};
use fseg_openflow::multipart::{Answer, FlowQuery, Query};
use fseg_openflow::{
    Body, BundleAdd, BundleControl, FlowMod, FlowStats, Message, MeterMod, MultipartReply, MultipartRequest, Port,
    PortReason,
};
use fseg_pipeline::cookie::{MAGIC_MASK, MAGIC_VALUE};
use fseg_pipeline::meter::Meter;
use fseg_pipeline::repair::{self, Repair};
use fseg_pipeline::{Delta, Desired, RowKey, Table, Unsent};

/// How far a switch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPhase {
    /// Not connected.
    Down,
    /// Connected; its tables are being read.
    Reading,
    /// Connected; it holds what it should, or is being told.
    Up,
}

/// What a row counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What a reading or a confirmation led to.
#[derive(Debug)]
pub(crate) enum LinkNews {
    /// The tables were compared; this much was wrong.
    Repaired { intact: usize, added: usize, removed: usize, foreign: usize },
    /// A change is in force.
    Confirmed { xid: u32 },
    /// The switch refused something.
    Failed { message: String },
    /// A port came or went, or its link did.
    Port { number: PortNo, up: bool },
    /// Counters of rows.
    Counted(Vec<FlowStats>),
}

/// A change under way.
#[derive(Debug)]
struct Flight {
    /// The transaction id of its first message; its last is the barrier's.
    first: u32,
    /// The switch refused a part of it, and so all of it.
    refused: bool,
    /// Refused changes that this one, a repair, puts right.
    also: Vec<u32>,
}

#[derive(Debug, Default)]
struct Reading {
    /// The transactions that ask: answers to older questions, such as of counters, are not part of the reading.
    asked: HashSet<u32>,
    ports: HashSet<PortNo>,
    rows: Vec<FlowStats>,
    rows_done: bool,
    meters: HashMap<u32, (u32, u32)>,
    meters_done: bool,
    ports_done: bool,
}

/// One switch.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) phase: LinkPhase,
    pub(crate) connection: u64,
    pub(crate) since: Option<Wall>,
    pub(crate) desired: Desired,
    pub(crate) meters: Vec<Meter>,
    pub(crate) counters: HashMap<RowKey, Counter>,
    pub(crate) port_up: BTreeMap<PortNo, bool>,
    pub(crate) port_names: BTreeMap<PortNo, String>,
    pub(crate) foreign: usize,
    pub(crate) last_error: Option<String>,
    pub(crate) resync_at: Option<Mono>,
    unsent: Unsent,
    reading: Reading,
    next_xid: u32,
    /// Changes under way, by the barrier that will confirm them.
    unconfirmed: BTreeMap<u32, Flight>,
    /// Barriers of changes that the switch refused: in force once a repair is.
    refused: Vec<u32>,
    failures: u32,
    poll_round: u32,
}

const BUNDLE_OPEN: u16 = 0;
const BUNDLE_COMMIT: u16 = 4;
const BUNDLE_ATOMIC_ORDERED: u16 = 3;
/// A switch that does not confirm this many changes is not sent more until it does.
pub(crate) const MAX_UNCONFIRMED: usize = 1024;

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            phase: LinkPhase::Down,
            connection: 0,
            since: None,
            desired: Desired::new(),
            meters: Vec::new(),
            counters: HashMap::new(),
            port_up: BTreeMap::new(),
            port_names: BTreeMap::new(),
            foreign: 0,
            last_error: None,
            resync_at: None,
            unsent: Unsent::default(),
            reading: Reading::default(),
            next_xid: 1,
            unconfirmed: BTreeMap::new(),
            refused: Vec::new(),
            failures: 0,
            poll_round: 0,
        }
    }

    fn xid(&mut self) -> u32 {
        // The low numbers are the session machine's (hello, features, echo).
        self.next_xid = if self.next_xid >= 0x7fff_ffff { 1 } else { self.next_xid + 1 };
        0x8000_0000 | self.next_xid
    }

    fn message(&mut self, body: Body) -> Message {
        Message { xid: self.xid(), body }
    }

    /// How many changes wait for their confirmation.
    pub(crate) fn pending(&self) -> usize {
        self.unconfirmed.len() + self.refused.len() + usize::from(!self.unsent.is_empty())
    }

    /// The barrier after which everything that was sent so far is in force; `None` when it is already.
    pub(crate) fn awaited(&self) -> Option<u32> {
        self.unconfirmed.last_key_value().map(|(barrier, _)| *barrier).or(self.refused.last().copied())
    }

    /// How many rows are to be added (or changed) and removed with the next bundle.
    pub(crate) fn unsent_rows(&self) -> (usize, usize) {
        self.unsent.counts()
    }

    /// A new connection: read it.
    pub(crate) fn connected(&mut self, connection: u64, now: Wall) -> Vec<Message> {
        self.connection = connection;
        self.since = Some(now);
        self.unconfirmed.clear();
        self.refused.clear();
        self.read()
    }

    /// Starts reading the switch's tables; whatever was to be sent will come out of the comparison.
    pub(crate) fn read(&mut self) -> Vec<Message> {
        self.phase = LinkPhase::Reading;
        self.resync_at = None;
        self.unsent = Unsent::default();
        let questions: Vec<Message> =
            [Query::PortDesc, Query::MeterConfig(meter::ALL), Query::Flow(FlowQuery::default())]
                .into_iter()
                .map(|query| self.ask(query))
                .collect();
        self.reading = Reading { asked: questions.iter().map(|m| m.xid).collect(), ..Reading::default() };
        questions
    }

    fn ask(&mut self, query: Query) -> Message {
        self.message(Body::MultipartRequest(MultipartRequest { more: false, query }))
    }

    /// The connection is gone. Rows stay on the switch; what was unconfirmed will be seen at the next reading.
    pub(crate) fn disconnected(&mut self) {
        self.phase = LinkPhase::Down;
        self.since = None;
        self.unsent = Unsent::default();
        self.unconfirmed.clear();
        self.refused.clear();
        self.reading = Reading::default();
    }

    /// Rows to change, sent at the next [`Link::take`].
    pub(crate) fn change(&mut self, delta: Delta) {
        if self.phase == LinkPhase::Up && !delta.is_empty() {
            for key in &delta.remove {
                self.counters.remove(key);
            }
            self.unsent.push(delta);
        }
    }

    /// The bundle with everything that changed since the last call.
    pub(crate) fn take(&mut self, round: u16) -> Option<Vec<Message>> {
        if self.phase != LinkPhase::Up || self.unsent.is_empty() || self.unconfirmed.len() >= MAX_UNCONFIRMED {
            return None;
        }
        let delta = self.unsent.take();
        Some(self.bundle(delta.flow_mods(round)).0)
    }

    fn bundle(&mut self, flow_mods: Vec<FlowMod>) -> (Vec<Message>, u32) {
        let control = |bundle_id, kind| {
            Body::BundleControl(BundleControl { bundle_id, type_: kind, flags: BUNDLE_ATOMIC_ORDERED })
        };
        let mut out = Vec::with_capacity(flow_mods.len() + 3);
        let open = self.xid();
        out.push(Message { xid: open, body: control(open, BUNDLE_OPEN) });
        for m in flow_mods {
            // The inner message and the one that carries it have the same transaction id (OpenFlow 1.4, 7.3.9.7).
            let xid = self.xid();
            let inner = Message { xid, body: Body::FlowMod(m) };
            out.push(Message {
                xid,
                body: Body::BundleAdd(BundleAdd {
                    bundle_id: open,
                    flags: BUNDLE_ATOMIC_ORDERED,
                    message: Box::new(inner),
                }),
            });
        }
        out.push(self.message(control(open, BUNDLE_COMMIT)));
        let barrier = self.message(Body::BarrierRequest);
        let confirms = barrier.xid;
        self.unconfirmed.insert(confirms, Flight { first: open, refused: false, also: Vec::new() });
        out.push(barrier);
        (out, confirms)
    }

    /// Takes in a message that is not a packet.
    pub(crate) fn receive(&mut self, message: &Message, now: Mono, round: u16) -> (Vec<LinkNews>, Vec<Message>) {
        let mut news = Vec::new();
        let mut out = Vec::new();
        match &message.body {
            Body::MultipartReply(reply) => self.multipart(message.xid, reply, round, &mut news, &mut out),
            Body::BarrierReply => self.confirmed(message.xid, &mut news),
            Body::PortStatus(status) => {
                self.port(&status.port, status.reason != PortReason::Delete, &mut news);
            }
            Body::Error(e) => {
                let text = match e.name() {
                    Some(name) => format!("{name} (OpenFlow error type {}, code {})", e.type_, e.code),
                    None => format!("OpenFlow error type {}, code {}", e.type_, e.code),
                };
                self.last_error = Some(text.clone());
                let concerned =
                    |(barrier, flight): &(&u32, &mut Flight)| (flight.first..=**barrier).contains(&message.xid);
                if let Some((_, flight)) = self.unconfirmed.iter_mut().find(concerned) {
                    // One refused bundle may bring several errors; they count once.
                    if !std::mem::replace(&mut flight.refused, true) {
                        self.failures += 1;
                    }
                    // What the switch holds now is unknown: read it again, later each time.
                    let wait = Duration::from_secs(1 << self.failures.min(6).saturating_sub(1));
                    self.resync_at = Some(now.plus(wait));
                }
                news.push(LinkNews::Failed { message: text });
            }
            _ => {}
        }
        (news, out)
    }

    fn confirmed(&mut self, barrier: u32, news: &mut Vec<LinkNews>) {
        let Some(flight) = self.unconfirmed.remove(&barrier) else { return };
        if flight.refused {
            // The barrier says only that the switch has dealt with it. The repair that follows makes it true.
            self.refused.push(barrier);
            self.refused.extend(flight.also);
            return;
        }
        self.failures = 0;
        self.last_error = None;
        news.extend(std::iter::once(barrier).chain(flight.also).map(|xid| LinkNews::Confirmed { xid }));
    }

    fn multipart(
        &mut self,
        xid: u32,
        reply: &MultipartReply,
        round: u16,
        news: &mut Vec<LinkNews>,
        out: &mut Vec<Message>,
    ) {
        let reading = self.phase == LinkPhase::Reading && self.reading.asked.contains(&xid);
        let more = reply.more;
        match &reply.answer {
            Answer::PortDesc(ports) if reading => {
                for port in ports {
                    self.reading.ports.insert(PortNo(port.port_no));
                    self.port(port, true, news);
                }
                if !more {
                    self.reading.ports_done = true;
                    // Ports that went while nobody could say so.
                    let gone: Vec<PortNo> =
                        self.port_up.keys().copied().filter(|p| !self.reading.ports.contains(p)).collect();
                    for number in gone {
                        self.port_up.remove(&number);
                        self.port_names.remove(&number);
                        news.push(LinkNews::Port { number, up: false });
                    }
                }
            }
            Answer::MeterConfig(meters) if reading => {
                for m in meters {
                    let band = match m.bands.first() {
                        Some(Band::Drop { rate, burst }) if m.flags & meter::FLAG_PACKETS != 0 => (*rate, *burst),
                        _ => (0, 0),
                    };
                    self.reading.meters.insert(m.meter_id, band);
                }
                self.reading.meters_done |= !more;
            }
            Answer::Flow(flows) if reading => {
                self.reading.rows.extend(flows.iter().cloned());
                self.reading.rows_done |= !more;
            }
            Answer::Flow(flows) if self.phase == LinkPhase::Up => news.push(LinkNews::Counted(flows.clone())),
            _ => {}
        }
        if reading && self.reading.rows_done && self.reading.meters_done && self.reading.ports_done {
            let read = std::mem::take(&mut self.reading);
            self.repair(read, round, news, out);
        }
    }

    fn repair(&mut self, read: Reading, round: u16, news: &mut Vec<LinkNews>, out: &mut Vec<Message>) {
        for meter in self.meters.clone() {
            let there = read.meters.get(&meter.id);
            if there != Some(&(meter.rate, meter.burst)) {
                let body = MeterMod {
                    command: if there.is_some() { MeterCommand::Modify } else { MeterCommand::Add },
                    flags: meter::FLAG_PACKETS | meter::FLAG_BURST,
                    meter_id: meter.id,
                    bands: vec![Band::Drop { rate: meter.rate, burst: meter.burst }],
                };
                let m = self.message(Body::MeterMod(body));
                out.push(m);
            }
        }
        let Repair { delta, intact, strangers, foreign } = repair::compare(&self.desired, &read.rows);
        self.counters = read
            .rows
            .iter()
            .filter_map(|s| {
                let table = Table::from_number(s.table)?;
                let key = RowKey { table, priority: s.priority, matches: s.matches.clone() };
                Some((key, Counter { packets: s.packet_count, bytes: s.byte_count }))
            })
            .collect();
        self.phase = LinkPhase::Up;
        self.foreign = foreign;
        let (added, removed) = (delta.add.len(), delta.remove.len() + strangers.len());
        let mut mods: Vec<FlowMod> =
            strangers.iter().map(|s| FlowMod::delete_strict(s.table, s.priority, s.matches.clone())).collect();
        mods.extend(delta.flow_mods(round));
        if self.failures > 0 && (1..mods.len()).contains(&removed) {
            // The switch refuses something. What takes rights away must not wait for that to be mended.
            let additions = mods.split_off(removed);
            let (messages, _) = self.bundle(std::mem::replace(&mut mods, additions));
            out.extend(messages);
        }
        let refused = std::mem::take(&mut self.refused);
        if !mods.is_empty() {
            let (messages, barrier) = self.bundle(mods);
            out.extend(messages);
            if let Some(flight) = self.unconfirmed.get_mut(&barrier) {
                flight.also = refused;
            }
        } else {
            news.extend(refused.into_iter().map(|xid| LinkNews::Confirmed { xid }));
        }
        news.push(LinkNews::Repaired { intact, added, removed, foreign });
    }

    fn port(&mut self, port: &Port, there: bool, news: &mut Vec<LinkNews>) {
        let number = PortNo(port.port_no);
        let up = there && port.is_up();
        self.port_names.insert(number, port.name.clone());
        if self.port_up.insert(number, up) != Some(up) {
            news.push(LinkNews::Port { number, up });
        }
    }

    /// Asks for the counters of permits often, of endpoints less often.
    pub(crate) fn poll(&mut self) -> Vec<Message> {
        if self.phase != LinkPhase::Up {
            return vec![];
        }
        self.poll_round = self.poll_round.wrapping_add(1);
        const KIND_MASK: u64 = MAGIC_MASK | 0xff << 48;
        let kinds: &[u64] = if self.poll_round % 4 == 1 { &[4, 2, 3, 1] } else { &[4] };
        kinds
            .iter()
            .map(|kind| {
                let cookie = MAGIC_VALUE | kind << 48;
                self.ask(Query::Flow(FlowQuery { cookie, cookie_mask: KIND_MASK, ..FlowQuery::default() }))
            })
            .collect()
    }

    /// True when the port is known to have no link.
    pub(crate) fn port_is_down(&self, port: PortNo) -> bool {
        self.phase == LinkPhase::Up && self.port_up.get(&port) != Some(&true)
    }

    /// A packet for one port.
    pub(crate) fn packet_out(&mut self, port: PortNo, data: Vec<u8>) -> Message {
        self.packet(PortNo::CONTROLLER, port.0, data)
    }

    /// A packet as if it came in by a port now.
    pub(crate) fn packet_again(&mut self, from: PortNo, data: Vec<u8>) -> Message {
        self.packet(from, fseg_openflow::port::TABLE, data)
    }

    fn packet(&mut self, from: PortNo, to: u32, data: Vec<u8>) -> Message {
        let actions = vec![fseg_openflow::Action::output(to)];
        let buffer_id = fseg_openflow::flow::NO_BUFFER;
        self.message(Body::PacketOut(fseg_openflow::PacketOut { buffer_id, in_port: from.0, actions, data }))
    }
}
