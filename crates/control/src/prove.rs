//! What a proof of a switch's rows needs: the rows, as the switch says, and the facts of the same moment.
//!
//! The proof itself is the shell's work ([`fseg_verify`]), since it takes longer than an input may. Its result comes back as
//! an input; a difference is said, and the switch is read and put right.

use std::collections::BTreeMap;
use std::sync::Arc;

use fseg_model::{ClassId, Dpid, SliceId};
use fseg_openflow::FlowStats;
use fseg_pipeline::{Desired, EndpointFacts};
use fseg_verify::Facts;

use crate::controller::Controller;
use crate::effect::{Effect, EventKind};

/// What a switch holds and what should follow from the facts.
pub struct Tables {
    /// The switch.
    pub dpid: Dpid,
    /// What it holds, with the facts; or why that cannot be said now.
    pub read: Result<TablesRead, String>,
}

impl std::fmt::Debug for Tables {
    /// How much, not what: recordings write this.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let read = self.read.as_ref().map(|r| (r.rows.len(), r.facts.endpoints.len(), r.desired.len()));
        write!(f, "Tables {{ {:?}, {read:?} }}", self.dpid)
    }
}

/// A reading.
pub struct TablesRead {
    /// Every row.
    pub rows: Vec<FlowStats>,
    /// What is true.
    pub facts: Facts,
    /// What the node believes to be there; for naming what is missing.
    pub desired: Desired,
}

impl Controller {
    /// Begins to read a switch for a proof.
    pub(crate) fn prove(&mut self, dpid: Dpid) {
        let asked = match self.links.get_mut(&dpid) {
            None => Err("there is no such switch".to_owned()),
            Some(link) => {
                let connection = link.connection;
                match link.prove() {
                    Some(message) => Ok((connection, message)),
                    None if link.phase == crate::link::LinkPhase::Up => Err("changes are under way".to_owned()),
                    None => Err("it is not connected, or is being read".to_owned()),
                }
            }
        };
        match asked {
            Ok((connection, message)) => self.push_outgoing(dpid, connection, vec![message]),
            Err(why) => self.tables.push(Tables { dpid, read: Err(why) }),
        }
    }

    /// All rows of a switch were read.
    pub(crate) fn tables_read(&mut self, dpid: Dpid, rows: Vec<FlowStats>, quiet: bool) {
        let desired = self.links.get(&dpid).map(|l| l.desired.clone());
        let read = match desired {
            Some(desired) if quiet => Ok(TablesRead { rows, facts: self.proof_facts(), desired }),
            _ => Err("changes are under way".to_owned()),
        };
        self.tables.push(Tables { dpid, read });
    }

    /// What came of a proof: a difference is said, and put right.
    pub(crate) fn proved(&mut self, dpid: Dpid, different: usize, first: Option<String>) {
        if different == 0 {
            return;
        }
        let name = self.config.switch_name(dpid);
        let first = first.map(|f| format!(": {f}")).unwrap_or_default();
        let text = format!(
            "switch {name} treats packets otherwise than the policy says, in {different} places{first}; it is read and put right"
        );
        self.event(EventKind::Verify, text, |_| {});
        self.compare_tables(dpid);
    }

    /// The switch is read, compared with what it should hold, and put right.
    pub(crate) fn compare_tables(&mut self, dpid: Dpid) {
        let mono = self.now.mono;
        if let Some(link) = self.links.get_mut(&dpid).filter(|l| l.phase == crate::link::LinkPhase::Up) {
            link.resync_at = Some(link.resync_at.map_or(mono, |at| at.min(mono)));
        }
    }

    pub(crate) fn take_tables(&mut self) -> impl Iterator<Item = Effect> + use<> {
        std::mem::take(&mut self.tables).into_iter().map(|t| Effect::Tables(Box::new(t)))
    }

    /// The facts of this moment. Each class is looked up anew from who somebody is, not from what was compiled.
    pub fn proof_facts(&self) -> Facts {
        let slice = SliceId::DEFAULT;
        let mut endpoints = Vec::new();
        for known in self.endpoints.iter() {
            let e = &known.endpoint;
            let Some(binding) = &e.binding else { continue };
            let class = match &e.session {
                None => ClassId::STRANGER,
                // A set without a number, when all are used, has no rights: a stranger's.
                Some(s) => self.classes.find(e.slice, &self.policy.groups_of(&s.identity)).unwrap_or(ClassId::STRANGER),
            };
            endpoints.push(EndpointFacts {
                id: e.id,
                slice: e.slice,
                mac: e.mac,
                addresses: binding.addresses.clone(),
                location: binding.location,
                class,
                watch: e.watch,
            });
        }
        let mut externals: Vec<_> = self
            .external_facts(&self.policy, |names| self.classes.find(slice, names))
            .into_values()
            .flatten()
            .collect();
        let learned = self.learned_facts(&self.policy, |set| self.classes.find(slice, set).unwrap_or(ClassId::NONE));
        externals.extend(learned.into_iter().filter_map(|(_, facts)| facts.filter(|f| f.class != ClassId::NONE)));
        let classes: BTreeMap<_, _> = self.classes.in_use().map(|c| (c.id, c.members.clone())).collect();
        Facts {
            fabric: self.fabric.clone(),
            endpoints,
            externals,
            classes,
            policy: Arc::new(self.policy.clone()),
            now: self.now.wall,
            shown: self.shown(),
            joined: self.joined(),
        }
    }
}
