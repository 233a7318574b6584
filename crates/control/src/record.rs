//! Committed state: small, typed, one record per thing.

use std::net::Ipv4Addr;

use fseg_address::Lease;
use fseg_admission::{Account, Device};
use fseg_model::{Class, ClassId, Endpoint, EndpointId, Location, Mac, Name, Wall};
use serde::{Deserialize, Serialize};

use crate::controller::Usage;
use crate::domain::LearnedAddress;

/// What durable numbers are given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberKind {
    /// Permits, by id.
    Permit,
    /// Endpoints: the next free number.
    Endpoint,
    /// Starts of the node.
    Round,
}

/// One version of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// From 1.
    pub version: u64,
    /// Where it came from.
    pub file: String,
    /// As it was written.
    pub text: String,
    /// Who applied it.
    pub who: String,
    /// When.
    pub at: Wall,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What became of it.
    #[serde(default)]
    pub state: VersionState,
    /// What it changed, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

/// What became of a version of the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// It came into force.
    #[default]
    Applied,
    /// It is being put in force. Found at start: the node stopped in the middle, and it is undone.
    Pending,
    /// It was undone, since not every switch took it or the node stopped meanwhile.
    Undone,
}

/// One committed thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// An endpoint with its session and binding.
    Endpoint(Box<Endpoint>),
    /// A lease.
    Lease(Lease),
    /// An account.
    Account(Account),
    /// A device.
    Device(Device),
    /// A policy.
    Policy(PolicyVersion),
    /// A class.
    Class(Class),
    /// The next hop of an exit: known from the first moment after a restart, so that nothing is interrupted.
    Neighbour {
        /// The exit's port.
        place: Location,
        /// Its address.
        address: Ipv4Addr,
        /// Its MAC address when last seen.
        mac: Mac,
    },
    /// An outside address that was learned by name.
    Learned(LearnedAddress),
    /// Which streams an endpoint wants.
    Memberships {
        /// Who.
        endpoint: EndpointId,
        /// Multicast addresses.
        groups: Vec<Ipv4Addr>,
    },
    /// Where an endpoint was last, for waking it there.
    LastPlace {
        /// Who.
        endpoint: EndpointId,
        /// Where.
        place: Location,
    },
    /// How much a permit was used: the evidence for keeping or deleting it.
    Usage {
        /// The permit's durable number.
        permit: u32,
        /// Until now.
        usage: Usage,
    },
    /// A durable number.
    Number {
        /// What kind of thing.
        kind: NumberKind,
        /// Which.
        name: String,
        /// Its number.
        number: u32,
    },
}

/// What identifies a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// By number.
    Endpoint(EndpointId),
    /// By MAC address.
    Lease(Mac),
    /// By name.
    Account(Name),
    /// By name.
    Device(Name),
    /// By version.
    Policy(u64),
    /// By number.
    Class(ClassId),
    /// By port and address.
    Neighbour(Location, Ipv4Addr),
    /// By address.
    Learned(Ipv4Addr),
    /// By the endpoint's number.
    Memberships(EndpointId),
    /// By the endpoint's number.
    LastPlace(EndpointId),
    /// By the permit's number.
    Usage(u32),
    /// By kind and name.
    Number(NumberKind, String),
}

impl Record {
    /// What identifies it.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Endpoint(e) => RecordKey::Endpoint(e.id),
            Self::Lease(l) => RecordKey::Lease(l.mac),
            Self::Account(a) => RecordKey::Account(a.name.clone()),
            Self::Device(d) => RecordKey::Device(d.name.clone()),
            Self::Policy(p) => RecordKey::Policy(p.version),
            Self::Class(c) => RecordKey::Class(c.id),
            Self::Neighbour { place, address, .. } => RecordKey::Neighbour(*place, *address),
            Self::Learned(l) => RecordKey::Learned(l.address),
            Self::Memberships { endpoint, .. } => RecordKey::Memberships(*endpoint),
            Self::LastPlace { endpoint, .. } => RecordKey::LastPlace(*endpoint),
            Self::Usage { permit, .. } => RecordKey::Usage(*permit),
            Self::Number { kind, name, .. } => RecordKey::Number(*kind, name.clone()),
        }
    }
}

/// A change to committed state.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Make it so.
    Put(Record),
    /// Take it away.
    Delete(RecordKey),
    /// One line of the audit log.
    Audit {
        /// When.
        at: Wall,
        /// Who.
        who: String,
        /// What.
        what: String,
        /// To what, and how.
        detail: serde_json::Value,
    },
}
