//! One switch as the controller sees it: what it should hold, what it was told, what it confirmed.
//!
//! After a connection is made the switch is read (ports, meters, rows), compared, and only the difference is sent. From
//! then on every change is one bundle; its barrier's reply is the confirmation.

mod change;
mod learn;
mod prepare;
mod prove;
mod read;
mod refusal;

use std::collections::{BTreeMap, HashMap};

use fseg_model::{Mono, PortNo, Wall};
use fseg_openflow::{Body, FlowStats, Message, PortReason};
use fseg_pipeline::meter::Meter;
use fseg_pipeline::{Desired, Misfit, Owner, Profile, Row, RowKey, Table, Unsent};

use change::Flight;
pub(crate) use prepare::RowChanges;
use read::Reading;
pub use refusal::Lacking;
use refusal::TurnedDown;

use crate::config::Protocol;

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
    /// What the switch is, and so which rows it gets.
    Learned(Profile),
    /// The switch refused something.
    Failed { message: String },
    /// The switch refused a row, for the first time lately.
    Refused { owner: Owner, table: Table, error: String },
    /// A port came or went, or its link did.
    Port { number: PortNo, up: bool },
    /// Counters of rows.
    Counted(Vec<FlowStats>),
    /// All its rows, read to be proved; whether nothing changed meanwhile.
    Proof { rows: Vec<FlowStats>, quiet: bool },
    /// A change is held ready.
    Prepared,
    /// A change cannot be held ready; with the row that is to blame and its owner, where the switch said which.
    Unprepared { message: String, owner: Option<Owner>, row: Option<Box<Row>> },
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
    /// Repairs are sent in parts, since one as a whole was refused.
    split: bool,
    poll_round: u32,
    protocol: Protocol,
    /// It has no bundles, nor any other extension.
    plain: bool,
    /// It has meters.
    pub(crate) metered: bool,
    /// What each port may still show the node, and since when: where the switch has no meters.
    pub(crate) budgets: HashMap<PortNo, (u32, Mono)>,
    learning: Option<learn::Learning>,
    /// Rows that it refused.
    turned_down: BTreeMap<RowKey, TurnedDown>,
    /// Rows that its tables cannot have, by owner.
    misfits: BTreeMap<Owner, Vec<Misfit>>,
    /// Why it cannot be used at all.
    pub(crate) unfit: Option<String>,
    /// A change that waits for its second step.
    prepared: Option<prepare::Prepared>,
    /// How many changes were sent.
    edits: u64,
    /// A reading of all rows that is to be proved.
    proof: Option<prove::Proof>,
}

/// A switch that does not confirm this many changes is not sent more until it does.
pub(crate) const MAX_UNCONFIRMED: usize = 1024;

impl Link {
    pub(crate) fn new(protocol: Protocol) -> Self {
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
            split: false,
            poll_round: 0,
            protocol,
            plain: protocol == Protocol::OpenFlow13,
            metered: true,
            budgets: HashMap::new(),
            learning: None,
            turned_down: BTreeMap::new(),
            misfits: BTreeMap::new(),
            unfit: None,
            prepared: None,
            edits: 0,
            proof: None,
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

    /// Whether changes can be given to it in bundles.
    pub(crate) fn has_bundles(&self) -> bool {
        !self.plain
    }

    /// True while a change waits here for its second step.
    pub(crate) fn has_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    /// How many changes wait for their confirmation.
    pub(crate) fn pending(&self) -> usize {
        self.unconfirmed.len() + self.refused.len() + usize::from(!self.unsent.is_empty())
    }

    /// The barrier after which everything that was sent so far is in force; `None` when it is already.
    pub(crate) fn awaited(&self) -> Option<u32> {
        self.unconfirmed.last_key_value().map(|(barrier, _)| *barrier).or(self.refused.last().copied())
    }

    /// Every barrier of changes that are not in force yet.
    pub(crate) fn awaited_all(&self) -> impl Iterator<Item = u32> + '_ {
        self.unconfirmed.keys().chain(&self.refused).copied()
    }

    /// A new connection: ask what it is, where that is not known, and then read it.
    pub(crate) fn connected(&mut self, connection: u64, now: Wall) -> Vec<Message> {
        self.connection = connection;
        self.since = Some(now);
        self.unconfirmed.clear();
        self.refused.clear();
        self.turned_down.clear();
        self.split = false;
        self.phase = LinkPhase::Reading;
        self.learn().unwrap_or_else(|| self.read())
    }

    /// It cannot be used: whatever rows it has are taken away, so that nothing passes, and it gets no others.
    pub(crate) fn shut(&mut self, why: String) -> Vec<Message> {
        self.phase = LinkPhase::Reading;
        self.resync_at = None;
        self.unsent = Unsent::default();
        self.unfit = Some(why);
        let mut all = fseg_openflow::FlowMod::add(fseg_openflow::flow::TABLE_ALL, 0);
        all.command = fseg_openflow::FlowCommand::Delete;
        vec![self.message(Body::FlowMod(all)), self.message(Body::BarrierRequest)]
    }

    /// The connection is gone. Rows stay on the switch; what was unconfirmed will be seen at the next reading.
    pub(crate) fn disconnected(&mut self) {
        self.phase = LinkPhase::Down;
        self.since = None;
        self.unsent = Unsent::default();
        self.prepared = None;
        self.proof = None;
        self.learning = None;
        self.unconfirmed.clear();
        self.refused.clear();
        self.reading = Reading::default();
    }

    /// Takes in a message that is not a packet.
    pub(crate) fn receive(&mut self, message: &Message, now: Mono, round: u16) -> (Vec<LinkNews>, Vec<Message>) {
        let mut news = Vec::new();
        let mut out = Vec::new();
        if let Some(heard) = self.hear_prepared(message) {
            return (vec![heard], out);
        }
        if let Some(heard) = self.hear_learning(message) {
            return (heard, out);
        }
        match &message.body {
            Body::MultipartReply(reply) => self.multipart(message.xid, reply, now, round, &mut news, &mut out),
            Body::BarrierReply => self.confirmed(message.xid, &mut news),
            Body::PortStatus(status) => {
                self.port(&status.port, status.reason != PortReason::Delete, &mut news);
            }
            Body::Error(e) => self.failed(message.xid, e, now, round, &mut news, &mut out),
            _ => {}
        }
        (news, out)
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
        self.packet_by(from, vec![fseg_openflow::Action::output(to)], data)
    }

    /// A packet that goes through these actions, as if it came in by a port.
    pub(crate) fn packet_by(&mut self, from: PortNo, actions: Vec<fseg_openflow::Action>, data: Vec<u8>) -> Message {
        let buffer_id = fseg_openflow::flow::NO_BUFFER;
        self.message(Body::PacketOut(fseg_openflow::PacketOut { buffer_id, in_port: from.0, actions, data }))
    }
}

/// An error as people read it.
fn error_text(e: &fseg_openflow::ErrorMessage) -> String {
    match e.name() {
        Some(name) => format!("{name} (OpenFlow error type {}, code {})", e.type_, e.code),
        None => format!("OpenFlow error type {}, code {}", e.type_, e.code),
    }
}
