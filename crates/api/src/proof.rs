//! Proofs that switches treat packets as the policy says.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// What came of proving one switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProofView {
    /// The switch.
    pub switch: String,
    /// When it was read.
    pub at: Timestamp,
    /// True when it treats every packet as facts and policy say.
    pub proved: bool,
    /// Why there is no answer: it is not connected, or changes were under way. Then the rest says nothing.
    pub unknown: Option<String>,
    /// Rows read.
    pub rows: u64,
    /// Pairs of classes that permits in force join.
    pub pairs: u64,
    /// Parts of its tables.
    pub parts: u64,
    /// Of these, unchanged since they were last proved.
    pub remembered: u64,
    /// Milliseconds for the comparison.
    pub milliseconds: u64,
    /// Parts in which a packet is treated otherwise.
    pub different: u64,
    /// The first of them, each with a packet.
    pub findings: Vec<FindingView>,
    /// Rows that are not of this network.
    pub foreign: Vec<String>,
    /// Rows that go by themselves; the node writes none.
    pub temporary: Vec<String>,
    /// Rows that the node did not write like this and that change no packet's treatment.
    pub harmless: Vec<String>,
}

/// A packet that is treated otherwise than it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// Where: the table, and the part of it.
    pub place: String,
    /// The packet, as `ovs-appctl ofproto/trace BRIDGE` takes it; nothing when nobody is known who could send it.
    pub packet: Option<String>,
    /// What matters of it in this table.
    pub inputs: String,
    /// What should happen to it there.
    pub expected: String,
    /// What does.
    pub found: String,
    /// The rows to blame.
    pub rows: Vec<BlameView>,
}

/// A row to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlameView {
    /// True when it should be there, and is not or not like this.
    pub missing: bool,
    /// Its cookie.
    pub cookie: String,
    /// Whose it is, by name; `foreign` when it is nobody's here.
    pub owner: String,
    /// The row, as ovs-ofctl writes it.
    pub row: String,
}
