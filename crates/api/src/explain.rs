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
