//! What is asked from outside. None of these change anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use fseg_address::AddressBook;
use fseg_admission::Admission;
use fseg_model::{ClassId, Dpid, Endpoint, EndpointId, Identity, MemberSet, Name, Wall};
use fseg_policy::Policy;

use crate::config::SiteConfig;
use crate::controller::{Controller, Usage};
use crate::link::LinkPhase;
use crate::record::PolicyVersion;
use crate::world::Known;

/// Where an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Attached, without a name.
    Stranger,
    /// Attached and admitted.
    Admitted,
    /// Not attached.
    Away,
}

impl Controller {
    /// The configuration.
    pub fn config(&self) -> &SiteConfig {
        &self.config
    }

    /// The policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its version, with its text.
    pub fn policy_version(&self) -> Option<&PolicyVersion> {
        self.version.as_ref()
    }

    /// Why the committed policy cannot be used, if it cannot: then nothing is permitted.
    pub fn policy_broken(&self) -> Option<&str> {
        self.policy_broken.as_deref()
    }

    /// Who may join.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Addresses.
    pub fn addresses(&self) -> &AddressBook {
        &self.book
    }

    /// Every endpoint with where it stands and its class.
    pub fn endpoints(&self) -> impl Iterator<Item = (&Endpoint, Standing, Option<ClassId>)> {
        self.endpoints.iter().map(|k| (&k.endpoint, standing(k), k.class))
    }

    /// How many endpoints are known.
    pub fn endpoint_count(&self) -> usize {
        self.endpoints.len()
    }

    /// One endpoint by its address.
    pub fn endpoint_by_address(&self, address: IpAddr) -> Option<(&Endpoint, Standing)> {
        let known = self.endpoints.get(self.endpoints.by_address(address)?)?;
        Some((&known.endpoint, standing(known)))
    }

    /// One endpoint by its name.
    pub fn endpoint_by_name(&self, name: &Name) -> Option<&Endpoint> {
        Some(&self.endpoints.get(self.endpoints.by_name(name)?)?.endpoint)
    }

    /// Packets with forged sources, and how long ago it was last active.
    pub fn endpoint_counters(&self, id: EndpointId) -> Option<(u64, Duration)> {
        self.endpoints.get(id).map(|k| (k.forged, self.now.mono.since(k.active)))
    }

    /// The groups of an identity under the policy in force.
    pub fn groups_of(&self, identity: &Identity) -> MemberSet {
        self.policy.groups_of(identity)
    }

    /// How much a permit was used.
    pub fn usage(&self, permit: &Name) -> Usage {
        self.permit_numbers.get(permit).and_then(|n| self.usage.get(n)).copied().unwrap_or_default()
    }

    /// Every switch: phase, since, rows it should hold, foreign rows found, changes not confirmed yet, last error.
    pub fn switches(&self) -> impl Iterator<Item = (Dpid, SwitchStatus<'_>)> {
        self.links.iter().map(|(dpid, l)| {
            (
                *dpid,
                SwitchStatus {
                    phase: l.phase,
                    since: l.since,
                    rows: l.desired.len(),
                    foreign: l.foreign,
                    pending: l.pending(),
                    last_error: l.last_error.as_deref(),
                    ports_up: &l.port_up,
                },
            )
        })
    }

    /// The rows a switch should hold; `None` for a switch that the configuration does not have.
    pub fn desired(&self, dpid: Dpid) -> Option<&fseg_pipeline::Desired> {
        self.links.get(&dpid).map(|l| &l.desired)
    }

    /// In which start of the node this is.
    pub fn round(&self) -> u16 {
        self.round
    }
}

/// A switch's state, for listings.
#[derive(Debug, Clone, Copy)]
pub struct SwitchStatus<'a> {
    /// How far it is.
    pub phase: LinkPhase,
    /// Connected since.
    pub since: Option<Wall>,
    /// Rows it should hold.
    pub rows: usize,
    /// Rows of others found at the last reading.
    pub foreign: usize,
    /// Changes not confirmed yet.
    pub pending: usize,
    /// What it last refused.
    pub last_error: Option<&'a str>,
    /// Its ports and whether they have a link.
    pub ports_up: &'a BTreeMap<fseg_model::PortNo, bool>,
}

fn standing(k: &Known) -> Standing {
    match (&k.endpoint.binding, &k.endpoint.session) {
        (None, _) => Standing::Away,
        (Some(_), None) => Standing::Stranger,
        (Some(_), Some(_)) => Standing::Admitted,
    }
}
