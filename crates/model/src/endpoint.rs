//! Endpoints, their sessions and bindings.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Identity, Location, Mac, Name, SliceId, Wall};

/// A number for an endpoint: what cookies of rows carry. Never reused while rows or logs may refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(pub u32);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// How an endpoint was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A person typed an account and password into the captive portal.
    Portal,
    /// The device list knows its MAC address.
    Device,
    /// A location rule names whatever is plugged in there.
    Location,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Portal => "portal",
            Self::Device => "device",
            Self::Location => "location",
        })
    }
}

/// How far an endpoint is trusted at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Posture {
    /// Nothing known against it.
    #[default]
    White,
    /// Watched more closely until the given time.
    Grey {
        /// When it falls back to white.
        until: Wall,
    },
    /// Quarantined.
    Black,
}

/// How closely an endpoint's traffic is inspected. Two bits in the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum WatchLevel {
    /// Connections are logged.
    #[default]
    Log = 0,
    /// A copy goes to the sensors.
    Mirror = 1,
    /// The traffic goes through the functions.
    Inline = 2,
}

/// A device on the network, known by one MAC address, from the first frame it was allowed to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its number.
    pub id: EndpointId,
    /// The slice it is in.
    pub slice: SliceId,
    /// Its MAC address: one endpoint per MAC and slice.
    pub mac: Mac,
    /// Its name; strangers have none yet.
    pub name: Option<Name>,
    /// Its admission, if it has one now.
    pub session: Option<Session>,
    /// Its place and addresses, if it has them now.
    pub binding: Option<Binding>,
    /// How far it is trusted.
    #[serde(default)]
    pub posture: Posture,
    /// How closely it is watched.
    #[serde(default)]
    pub watch: WatchLevel,
}

/// An endpoint's admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// How it was admitted.
    pub method: Method,
    /// Who or what it is.
    pub identity: Identity,
    /// When it was admitted.
    pub since: Wall,
    /// When it must authenticate again; `None` for devices and locations that need not.
    pub until: Option<Wall>,
    /// After how many seconds without traffic it ends; 0 for never.
    pub idle_seconds: u32,
}

/// Where an endpoint is and which addresses it has, for a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Where it is attached.
    pub location: Location,
    /// Its addresses, at least one.
    pub addresses: Vec<IpAddr>,
    /// Since when.
    pub since: Wall,
}
