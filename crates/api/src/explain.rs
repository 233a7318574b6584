//! Answers to "may this talk to that?" and "why is this row here?".

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::PermitView;

/// A question: may `from` open a connection of `service` to `to`?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// An endpoint's name, MAC or IP address, a subject (`user:anna`), or a place.
    pub from: String,
    /// The same forms, or any outside address.
    pub to: String,
    /// A service of the policy, or a protocol and port such as `tcp/443`.
    pub service: String,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DecisionView {
    /// It may.
    Permit,
    /// It passes, and would be denied if what is observed were enforced.
    Observe,
    /// It may not.
    Deny,
}

/// One side of a connection, as the network knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartyView {
    /// The endpoint's name, or what was asked for when no endpoint stands behind it.
    pub name: String,
    /// Its groups, or the externals its address belongs to.
    pub groups: Vec<String>,
    /// Its class number.
    pub class: Option<u32>,
    /// Where it is attached, `site/switch/port`.
    pub place: Option<String>,
    /// Its addresses.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
}

/// A row in a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowView {
    /// The switch's name.
    pub switch: String,
    /// The table's number.
    pub table: u8,
    /// The table's name.
    pub table_name: String,
    /// The row's priority.
    pub priority: u16,
    /// The row as `ovs-ofctl dump-flows --no-stats` writes it.
    pub text: String,
    /// Its cookie, `0x` and 16 hexadecimal digits.
    pub cookie: String,
    /// What it is there for: `permit sales-crm`, `endpoint anna`, `system: virtual router`.
    pub owner: String,
    /// Packets it matched.
    pub packets: u64,
    /// Bytes it matched.
    pub bytes: u64,
}

/// Whether a connection is permitted, why, and by which rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The answer.
    pub decision: DecisionView,
    /// The permit that permits it.
    pub permit: Option<PermitView>,
    /// One sentence that says why.
    pub reason: String,
    /// The asking side.
    pub from: PartyView,
    /// The other side.
    pub to: PartyView,
    /// The protocol and port that was judged, `tcp/443`.
    pub service: String,
    /// The rows that a first packet would meet, in path order.
    pub rows: Vec<RowView>,
    /// What the tables do with that packet, in one sentence.
    #[serde(default)]
    pub tables: String,
    /// The tables do not do what the policy says: a defect, to be reported.
    #[serde(default)]
    pub defect: Option<String>,
    /// What else is to be known, such as that a side is not connected now.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Which packet of its connection a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PacketAge {
    /// The first.
    #[default]
    First,
    /// A later one in the direction of the first, after an answer.
    Established,
    /// An answer.
    Reply,
}

/// A packet to be run through the rows that switches should hold: of a connection by names, or as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// Who opens the connection, as in `explain`.
    #[serde(default)]
    pub from: Option<String>,
    /// To whom.
    #[serde(default)]
    pub to: Option<String>,
    /// A service of the policy, or `tcp/443`.
    #[serde(default)]
    pub service: Option<String>,
    /// Instead of the three: a frame in hexadecimal, or fields as in `in_port=1,tcp,nw_src=10.0.0.1`.
    #[serde(default)]
    pub packet: Option<String>,
    /// The switch the packet comes to; where its sender is, when absent.
    #[serde(default)]
    pub switch: Option<String>,
    /// The port it comes in by, by name or number.
    #[serde(default)]
    pub port: Option<String>,
    /// Which packet of its connection it is.
    #[serde(default)]
    pub age: PacketAge,
}

/// One table that a packet went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceStep {
    /// The table's number.
    pub table: u8,
    /// The table's name.
    pub table_name: String,
    /// The row it met; none when no row matched.
    pub row: Option<RowView>,
    /// What changed and what was done.
    pub events: Vec<String>,
}

/// One switch that a packet came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceHop {
    /// The switch's name.
    pub switch: String,
    /// The port it came in by, `site/switch/port` where it has a name.
    pub port: String,
    /// Whether the switch is connected: otherwise it may hold older rows.
    pub connected: bool,
    /// The tables, in order.
    pub steps: Vec<TraceStep>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceView {
    /// The packet, as `ovs-ofctl` writes fields.
    pub packet: String,
    /// Whether it is delivered to anybody.
    pub delivered: bool,
    /// Where it ended and why, in one sentence for each copy.
    pub ends: Vec<String>,
    /// The switches, in order.
    pub hops: Vec<TraceHop>,
}

/// Why rows with a cookie exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhyView {
    /// The cookie, `0x` and 16 hexadecimal digits.
    pub cookie: String,
    /// What kind of thing owns the rows: `permit`, `endpoint`, `system`.
    pub owner_kind: String,
    /// Which one.
    pub owner_id: String,
    /// One sentence that says why.
    pub sentence: String,
    /// The rows with this cookie.
    pub rows: Vec<RowView>,
}
