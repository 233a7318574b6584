//! What is true, as far as the proof needs it: the site, who is where and in which groups, what is outside, and the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use fseg_model::{ClassId, Dpid, EndpointId, MemberSet, Wall};
use fseg_pipeline::rows::ShownFacts;
use fseg_pipeline::{EndpointFacts, ExternalFacts, Fabric, SwitchFacts};
use fseg_policy::{Permit, Policy};

/// The facts of one moment.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The site's switches.
    pub fabric: Fabric,
    /// Every endpoint that is attached somewhere. Its class must be the number of its set of groups.
    pub endpoints: Vec<EndpointFacts>,
    /// Every prefix of the outside.
    pub externals: Vec<ExternalFacts>,
    /// Which set of groups or externals each class number stands for.
    pub classes: BTreeMap<ClassId, MemberSet>,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// The moment: permits may have expired.
    pub now: Wall,
    /// What endpoints send to many that the node is to be shown.
    pub shown: ShownFacts,
    /// Who has joined which multicast address, whether it may have it or not.
    pub joined: BTreeMap<Ipv4Addr, BTreeSet<EndpointId>>,
}

impl Facts {
    /// Why a switch cannot be proved; `None` when it can.
    pub fn beyond(&self, dpid: Dpid) -> Option<String> {
        let complaint = self.switch(dpid)?.profile.plain()?.complaint()?;
        Some(format!("it has no rows, since {complaint}"))
    }

    /// A switch of the site.
    pub fn switch(&self, dpid: Dpid) -> Option<&SwitchFacts> {
        self.fabric.switch(dpid)
    }

    /// The permits in force that join two classes, in the order of the policy.
    pub fn permits(&self, from: ClassId, to: ClassId) -> Vec<&Permit> {
        match (self.classes.get(&from), self.classes.get(&to)) {
            (Some(from), Some(to)) => self.policy.permits_between(from, to).filter(|p| p.in_force(self.now)).collect(),
            _ => vec![],
        }
    }
}
