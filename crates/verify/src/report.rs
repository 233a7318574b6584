//! What a proof led to.

use fseg_model::Dpid;
use fseg_pipeline::Owner;

use crate::packet::Witness;
use crate::verifier::Part;

/// The result for one switch.
#[derive(Debug, Clone)]
pub struct Report {
    /// The switch.
    pub dpid: Dpid,
    /// Rows read.
    pub rows: usize,
    /// Pairs of classes that permits in force join.
    pub pairs: usize,
    /// Parts of tables looked at.
    pub parts: usize,
    /// Of these, unchanged since they were last proved.
    pub remembered: usize,
    /// Parts in which a packet is treated otherwise than it should be.
    pub different: usize,
    /// The first of them.
    pub findings: Vec<Finding>,
    /// Rows that are not of this network, as text.
    pub foreign: Vec<String>,
    /// Rows that will go by themselves: no row of this network does.
    pub temporary: Vec<String>,
    /// Rows that the node did not write, or not like this. Harmless as long as nothing differs.
    pub extra: Vec<String>,
}

impl Report {
    pub(crate) fn new(dpid: Dpid, rows: usize) -> Self {
        Self {
            dpid,
            rows,
            pairs: 0,
            parts: 0,
            remembered: 0,
            different: 0,
            findings: Vec::new(),
            foreign: Vec::new(),
            temporary: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Whether every packet is treated as it should be.
    pub fn is_proved(&self) -> bool {
        self.different == 0
    }
}

/// A packet that is treated otherwise than it should be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Where.
    pub part: Part,
    /// The packet as it comes into the switch; `None` when no sender for it is known.
    pub packet: Option<Witness>,
    /// What matters of it in this table.
    pub inputs: String,
    /// What should happen to it in this table.
    pub expected: String,
    /// What does.
    pub found: String,
    /// The rows to blame.
    pub blamed: Vec<Blame>,
}

/// A row to blame.
#[derive(Debug, Clone)]
pub struct Blame {
    /// The row, as ovs-ofctl writes it.
    pub row: String,
    /// Its cookie.
    pub cookie: u64,
    /// Whose it is; `None` for a row that is not of this network.
    pub owner: Option<Owner>,
    /// It should be there and is not (or not like this).
    pub missing: bool,
}
