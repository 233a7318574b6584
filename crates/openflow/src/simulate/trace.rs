//! What became of a packet.

use crate::action::Action;
use crate::field::Field;
use crate::flow::FlowMod;
use crate::simulate::packet::Packet;
use crate::simulate::tables::RowId;

/// What a switch did with one packet.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Tables in the order in which they were searched.
    pub steps: Vec<Step>,
    /// What left the switch, in order; nothing means dropped.
    pub departures: Vec<Departure>,
    /// The packet at the beginning of each pass.
    pub starts: Vec<Packet>,
    /// The packet at the end of each pass: at first, and after each time it came back from connection tracking.
    pub ends: Vec<Packet>,
    /// Rows that `learn` would add, in order.
    pub learned: Vec<FlowMod>,
    /// Why the whole was given up: nothing leaves then.
    pub abandoned: Option<Abandoned>,
}

/// One search in a table, and what its row did.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which pass through the tables: 0 the first, then one for each copy that connection tracking let go on, in the
    /// order in which they were made.
    pub pass: usize,
    /// How deep in `resubmit` actions.
    pub depth: usize,
    /// The table.
    pub table: u8,
    /// The row; `None` when none matched.
    pub row: Option<RowId>,
    /// Priority and cookie of the row.
    pub priority: u16,
    /// The row's cookie.
    pub cookie: u64,
    /// What was done, in order.
    pub events: Vec<Event>,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A field got another value.
    Changed {
        /// Which.
        field: Field,
        /// From.
        from: u128,
        /// To.
        to: u128,
    },
    /// A VLAN tag was pushed.
    TagPushed,
    /// A VLAN tag was removed.
    TagPopped,
    /// The packet passed a meter; rates need a clock and are not simulated.
    Metered(u32),
    /// The packet went through connection tracking and its copy goes on in a table.
    Tracked {
        /// In which zone.
        zone: u16,
        /// Its `ct_state`.
        state: u32,
        /// Where it goes on; `None`: nowhere.
        table: Option<u8>,
        /// The connection was remembered.
        committed: bool,
    },
    /// It left.
    Departed(To),
    /// An action was handed to the action set.
    Written(Action),
    /// The action set was emptied.
    Cleared,
    /// A group's bucket was used.
    Bucket {
        /// The group.
        group: u32,
        /// Which bucket, from 0.
        index: usize,
    },
    /// A row was learned.
    Learned,
    /// An action did nothing.
    Idle(Idle),
}

/// Why an action did nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idle {
    /// The packet has no such field.
    NoField(Field),
    /// A packet does not leave by the port it came in by unless told so by name.
    InPort(u32),
    /// There is no such port.
    NoPort(u64),
    /// There is no such group, or none of its buckets is alive.
    NoGroup(u32),
    /// Nothing was on the stack.
    EmptyStack,
    /// Its time to live was used up.
    TtlUsedUp,
    /// The action set says nowhere to go.
    NoOutput,
    /// This simulator does not know what the action does.
    NotSimulated(String),
}

/// Where a packet went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Out of a port.
    Port(u32),
    /// To the controller.
    Controller {
        /// `REASON_*` of [`crate::packet`].
        reason: u8,
        /// How many bytes of it.
        max_len: u16,
        /// Which controller; 0 is everyone's.
        controller: u16,
        /// What the row gave it.
        userdata: Vec<u8>,
    },
    /// To wherever the switch knows the destination to be (`NORMAL`), which is not simulated.
    Normal,
    /// Out of all ports but the one it came in by, where the ports are not known.
    Flood,
}

/// A packet that left the switch.
#[derive(Debug, Clone, PartialEq)]
pub struct Departure {
    /// Where it went.
    pub to: To,
    /// As it was then.
    pub packet: Packet,
    /// Only so many octets of it left; `None`: all.
    pub octets: Option<u32>,
    /// Table of the row that sent it.
    pub table: u8,
    /// Cookie of that row.
    pub cookie: u64,
}

/// Limits that real switches have too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// `resubmit` led deeper than 64 levels.
    TooDeep,
    /// More than 4,096 searches.
    TooLong,
    /// More than 4,096 values on the stack.
    StackFull,
    /// It went through connection tracking more than 64 times.
    GoesRound,
}

/// Why nothing left the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// No row of this table matched.
    Miss(u8),
    /// The last row it met, in this table, does nothing more.
    Row(u8),
    /// A limit was reached.
    Abandoned(Abandoned),
}

impl Trace {
    /// What was met and is not simulated: what follows it in the trace may differ from what a switch does.
    pub fn not_simulated(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| &step.events).filter_map(|event| match event {
            Event::Idle(Idle::NotSimulated(what)) => Some(what.as_str()),
            _ => None,
        })
    }

    /// Ports the packet left by, with the packet as it was then.
    pub fn outputs(&self) -> impl Iterator<Item = (u32, &Packet)> {
        self.departures.iter().filter_map(|departure| match departure.to {
            To::Port(port) => Some((port, &departure.packet)),
            _ => None,
        })
    }

    /// Why nothing left by a port; `None` when something did.
    pub fn dropped(&self) -> Option<Dropped> {
        if let Some(why) = self.abandoned {
            return Some(Dropped::Abandoned(why));
        }
        if self.departures.iter().any(|departure| !matches!(departure.to, To::Controller { .. })) {
            return None;
        }
        let last = self.steps.last()?;
        Some(if last.row.is_some() { Dropped::Row(last.table) } else { Dropped::Miss(last.table) })
    }
}
