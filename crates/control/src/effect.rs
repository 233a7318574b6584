//! What the controller wants done.

use fseg_admission::LoginRefused;
use std::net::IpAddr;

use fseg_model::{Dpid, EndpointId, Name, PlacePath, Wall};
use fseg_openflow::Message;

use serde::{Deserialize, Serialize};

use crate::record::Change;

/// Stands for somebody who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// One thing to do. The order matters: see [`crate::Controller::flush`].
#[derive(Debug)]
pub enum Effect {
    /// Make these durable, atomically, before anything that follows.
    Commit(Vec<Change>),
    /// Send to a switch.
    Send {
        /// The switch.
        dpid: Dpid,
        /// The connection it is for; dropped when that one is gone.
        connection: u64,
        /// In this order.
        messages: Vec<Message>,
    },
    /// Send to a switch, but only if every commit before it succeeded: it tells an endpoint something.
    Reply {
        /// The switch.
        dpid: Dpid,
        /// The connection it is for.
        connection: u64,
        /// The packet.
        message: Message,
    },
    /// Answer somebody, if every commit before it succeeded.
    Answer(Ticket, Answer),
    /// Say what happened.
    Event(Event),
    /// The rows of a switch, to be proved; the result comes back as [`crate::Input::Proved`].
    Tables(Box<crate::prove::Tables>),
    /// The domain names to look out for in answers to endpoints: patterns as externals list them.
    Domains(Vec<String>),
    /// Somebody came, went, or became somebody else: for those who answer by address without asking (DNS).
    Presence(Presence),
}

/// Who is where, as those need it who serve endpoints by their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The endpoint.
    pub id: EndpointId,
    /// Its name.
    pub name: Option<Name>,
    /// Its addresses; none when it is not attached.
    pub addresses: Vec<IpAddr>,
    /// Whether it is admitted.
    pub admitted: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The login is in force on every connected switch.
    LoggedIn {
        /// The endpoint's name.
        name: Name,
        /// Until when.
        until: Option<Wall>,
    },
    /// The login was refused.
    LoginRefused(LoginRefused),
    /// The policy is in force on every connected switch.
    Applied(Applied),
    /// The policy is not in force: a switch does not take it, and all others are as they were.
    NotApplied(NotApplied),
    /// An answer for a name may be given, without these addresses: nobody may be led there by a name.
    Resolved {
        /// What must be left out.
        refused: Vec<std::net::Ipv4Addr>,
    },
    /// Done.
    Done(String),
    /// Not done.
    Refused(Refusal),
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Applied {
    /// Its version; 0 for a dry run.
    pub version: u64,
    /// Permits that are new.
    pub added: Vec<Name>,
    /// Permits that are gone.
    pub removed: Vec<Name>,
    /// Permits that changed.
    pub changed: Vec<Name>,
    /// How many rows it touches on each switch, or would touch.
    pub rows: Vec<RowsTouched>,
    /// Switches that have not confirmed: not connected, or slow. They hold the former rows until they are back.
    pub unconfirmed: Vec<Name>,
}

/// How many rows of a switch change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsTouched {
    /// The switch.
    pub switch: Name,
    /// Rows that appear.
    pub added: usize,
    /// Rows that do something else than before.
    pub changed: usize,
    /// Rows that go.
    pub removed: usize,
}

/// A policy that switches did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplied {
    /// The version that stays in force; 0 for none.
    pub version: u64,
    /// Each switch with the reason.
    pub switches: Vec<(Name, String)>,
    /// True when some had it in force for a moment, and it was taken back.
    pub undone: bool,
    /// Switches that have not confirmed that they are as before.
    pub unconfirmed: Vec<Name>,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What was given is wrong; rendered messages.
    Invalid(Vec<String>),
    /// There is no such thing.
    NotFound(String),
    /// It contradicts something that exists.
    Conflict(String),
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// An endpoint was admitted.
    Admitted,
    /// A login or device was refused.
    Refused,
    /// A session ended.
    Ended,
    /// An endpoint was found at another place, or left.
    Moved,
    /// A MAC or address was used by somebody whose it is not.
    Spoofed,
    /// A connection was denied.
    Denied,
    /// An address was leased or given back.
    Address,
    /// A switch came, went or was repaired.
    Switch,
    /// A policy came into force or a permit expired.
    Policy,
    /// A connection passed that would be denied if what is observed were enforced.
    Observed,
    /// A switch does not treat packets as the policy says.
    Verify,
    /// Anything else.
    System,
}

/// One thing that happened, by name where names are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Wall,
    /// What kind.
    pub kind: EventKind,
    /// One sentence for people.
    pub message: String,
    /// The endpoint it is about.
    pub endpoint: Option<String>,
    /// The other side of a denied connection.
    pub peer: Option<String>,
    /// The service of a denied connection.
    pub service: Option<String>,
    /// The MAC address it is about.
    pub mac: Option<String>,
    /// The place it is about.
    pub place: Option<PlacePath>,
}

impl Event {
    pub(crate) fn new(at: Wall, kind: EventKind, message: impl Into<String>) -> Self {
        Self { at, kind, message: message.into(), endpoint: None, peer: None, service: None, mac: None, place: None }
    }
}
