//! Switches and their ports, as listed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// A port of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortView {
    /// Its OpenFlow number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What is behind it: access, shared, uplink, tunnel, service, legacy.
    pub kind: String,
    /// True when its link is up.
    pub up: bool,
    /// True when endpoints behind this port reach each other without passing any FSEG switch, so that traffic between
    /// them is neither seen nor filtered (row F14): an ordinary switch is behind it.
    pub uncontrolled: bool,
}

/// A switch that the node's configuration names, or that has connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchView {
    /// Its name.
    pub name: String,
    /// Its datapath id, 16 hexadecimal digits.
    pub dpid: String,
    /// What it does: access switch or node bridge.
    pub role: String,
    /// True while its control connection stands.
    pub connected: bool,
    /// True when its tables have been read and it is told every change.
    pub ready: bool,
    /// Since when the connection has stood, or been away.
    pub since: Option<Timestamp>,
    /// The connection's far end, `address:port`.
    pub peer: Option<String>,
    /// Its ports.
    pub ports: Vec<PortView>,
    /// Rows of FSEG in its tables.
    pub rows: u64,
    /// Rows that somebody else put there.
    pub foreign_rows: u64,
    /// Changes sent or waiting, not confirmed yet.
    pub pending: u64,
    /// The last thing it refused or that failed.
    pub last_error: Option<String>,
    /// Which rows it is given: `ovs`, or `openflow13` for switches without Open vSwitch's extensions.
    pub profile: String,
    /// How full its tables are, where it tells their sizes.
    pub tables: Vec<TableView>,
    /// Whose rows are not all there, and why.
    pub lacking: Vec<LackingView>,
    /// Why it cannot be used at all; it then passes nothing.
    pub unfit: Option<String>,
}

/// How full a table of a switch is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TableView {
    /// Its number.
    pub number: u8,
    /// What FSEG calls it.
    pub name: String,
    /// Rows that it should hold.
    pub rows: u64,
    /// Rows that it takes, by the switch's own words.
    pub size: u64,
}

/// Rows that a switch does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LackingView {
    /// What kind of owner they have: permit, endpoint, external, system.
    pub kind: String,
    /// Which one.
    pub owner: String,
    /// The table of the first of them.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// What the switch said, or what its tables lack.
    pub why: String,
}
