//! Leases: the records that are stored.

use std::fmt;
use std::net::Ipv4Addr;

use fseg_model::{Mac, PlacePath, Wall};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a lease is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// Acknowledged and running.
    Bound,
    /// Refused by the client because somebody else uses the address, which therefore rests.
    Declined,
    /// Ended; the address stays this client's until another needs it.
    Former,
    /// Offered, not asked for yet. Never stored: an offer that a crash forgets harms nobody.
    Offered,
}

impl fmt::Display for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bound => "bound",
            Self::Declined => "declined",
            Self::Former => "former",
            Self::Offered => "offered",
        })
    }
}

/// A lease: one per MAC address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose.
    pub mac: Mac,
    /// The address.
    pub address: Ipv4Addr,
    /// What it is at the moment.
    pub state: LeaseState,
    /// The client identifier it last showed (option 61), at most 255 octets. Informative: the MAC decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Vec<u8>>,
    /// The host name it last showed (option 12), at most 63 printable characters. Informative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Where it last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlacePath>,
    /// It was admitted when it last asked.
    #[serde(default)]
    pub admitted: bool,
    /// Since when it has this address without a break.
    pub since: Wall,
    /// For how many seconds it was last given, as the client was told; 0 for an offer.
    #[serde(default)]
    pub seconds: u32,
    /// When it ends or ended; for a declined address, when its rest ends.
    pub until: Wall,
}

/// A change to the stored leases, whose key is the MAC address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseChange {
    /// Write this record over whatever is stored for its MAC address.
    Put(Lease),
    /// Remove the record of this MAC address.
    Delete(Mac),
}

/// Who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// The network itself: router, server, resolver, network or broadcast address.
    Network,
    /// Reserved for a device.
    Reserved(Mac),
    /// Set on a device itself.
    Static(Mac),
    /// Leased, or offered, to an endpoint.
    Leased(Mac),
    /// Somebody unknown: a client found it in use, so it rests.
    Unknown,
}

impl Holder {
    /// The holder's MAC address, if it has one.
    pub fn mac(self) -> Option<Mac> {
        match self {
            Self::Reserved(m) | Self::Static(m) | Self::Leased(m) => Some(m),
            Self::Network | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network => f.pad("belongs to the network itself"),
            Self::Reserved(m) => write!(f, "is reserved for {m}"),
            Self::Static(m) => write!(f, "is set on {m}"),
            Self::Leased(m) => write!(f, "is leased to {m}"),
            Self::Unknown => f.pad("is used by a device nobody knows"),
        }
    }
}

/// Two want one address: the first stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{address} {holder}")]
pub struct Conflict {
    /// The address.
    pub address: Ipv4Addr,
    /// Who has it.
    pub holder: Holder,
}
