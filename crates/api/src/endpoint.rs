//! Endpoints and their sessions, as listed.

use std::net::IpAddr;

use fseg_model::{Method, Posture, WatchLevel};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// How an endpoint was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MethodView {
    /// Account and password in the captive portal.
    Portal,
    /// The device list.
    Device,
    /// A location rule.
    Location,
}

impl From<Method> for MethodView {
    fn from(m: Method) -> Self {
        match m {
            Method::Portal => Self::Portal,
            Method::Device => Self::Device,
            Method::Location => Self::Location,
        }
    }
}

/// How far an endpoint is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PostureView {
    /// Nothing known against it.
    #[default]
    White,
    /// Watched more closely for a time.
    Grey,
    /// Quarantined.
    Black,
}

impl From<Posture> for PostureView {
    fn from(p: Posture) -> Self {
        match p {
            Posture::White => Self::White,
            Posture::Grey { .. } => Self::Grey,
            Posture::Black => Self::Black,
        }
    }
}

/// How closely an endpoint's traffic is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WatchView {
    /// Connections are logged.
    #[default]
    Log,
    /// A copy goes to the sensors.
    Mirror,
    /// The traffic goes through the functions.
    Inline,
}

impl From<WatchLevel> for WatchView {
    fn from(w: WatchLevel) -> Self {
        match w {
            WatchLevel::Log => Self::Log,
            WatchLevel::Mirror => Self::Mirror,
            WatchLevel::Inline => Self::Inline,
        }
    }
}

/// Where an endpoint stands on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// Present, not authenticated: it reaches DHCP, DNS and the portal only.
    Stranger,
    /// Present and admitted.
    Admitted,
    /// Admitted earlier, not attached anywhere now.
    Away,
}

/// A device on the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndpointView {
    /// Its number, which the cookies of its rows carry.
    pub id: u32,
    /// Its name; strangers have none.
    pub name: Option<String>,
    /// Its MAC address, `aa:bb:cc:dd:ee:ff`.
    pub mac: String,
    /// Its addresses now.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// Where it is attached, `site/switch/port`.
    pub place: Option<String>,
    /// Who or what authentication established: `user:anna`, `device:crm-1`, `location:tokyo/sw3/7`.
    pub subject: Option<String>,
    /// Roles of the account or device.
    pub roles: Vec<String>,
    /// Groups it is in by today's policy.
    pub groups: Vec<String>,
    /// The class number that the data plane matches.
    pub class: Option<u32>,
    /// How it was admitted.
    pub method: Option<MethodView>,
    /// How far it is trusted.
    pub posture: PostureView,
    /// When posture grey falls back to white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posture_until: Option<Timestamp>,
    /// How closely it is inspected.
    pub watch: WatchView,
    /// When it was admitted; for strangers, when it was first seen.
    pub since: Option<Timestamp>,
    /// When it must authenticate again.
    pub until: Option<Timestamp>,
    /// Seconds since its last traffic, where that is known.
    pub idle_seconds: Option<u64>,
    /// Where it stands.
    pub state: EndpointState,
    /// Packets dropped because they used its port, MAC or addresses wrongly.
    pub spoofed_packets: u64,
}

/// An admission that holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// The endpoint's name.
    pub endpoint: String,
    /// The endpoint's number.
    pub endpoint_id: u32,
    /// Its MAC address.
    pub mac: String,
    /// Where it is attached, `site/switch/port`; nothing while it is away.
    pub place: Option<String>,
    /// Who or what it is.
    pub subject: String,
    /// Roles of the account or device.
    pub roles: Vec<String>,
    /// How it was admitted.
    pub method: MethodView,
    /// When it was admitted.
    pub since: Timestamp,
    /// When it must authenticate again; nothing for devices and locations that need not.
    pub until: Option<Timestamp>,
    /// After how many seconds without traffic it ends; 0 for never.
    pub idle_limit_seconds: u32,
}
