//! The policy in the world: classes of endpoints, rows of endpoints and permits, applying and expiry.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fseg_model::{ClassId, Dpid, EndpointId, MemberSet, Name, SliceId};
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::rows::{endpoint_rows, exit_rows, observe_rows, spoof_rows, system_rows, trial_places};
use fseg_pipeline::{EndpointFacts, Owner, PermitFacts, meter};
use fseg_policy::{Mode, Permit, Policy};

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::record::{NumberKind, Record};

impl Controller {
    /// The groups of an endpoint, or the externals of an address; `None` for what belongs to neither.
    pub(crate) fn members_of_address(&self, address: IpAddr) -> Option<MemberSet> {
        if let Some(id) = self.endpoints.by_address(address) {
            return Some(self.members_of(id));
        }
        if let IpAddr::V4(v4) = address
            && self.config.inner.iter().any(|n| n.contains(&v4))
        {
            return None;
        }
        let members = match address {
            IpAddr::V4(v4) if !v4.is_multicast() => {
                self.policy.externals_of_learned(address, self.learned.names_of(v4))
            }
            _ => self.policy.named_by(address),
        };
        Some(members).filter(|m| !m.is_empty())
    }

    pub(crate) fn members_of(&self, id: EndpointId) -> MemberSet {
        let session = self.endpoints.get(id).and_then(|k| k.endpoint.session.as_ref());
        session.map(|s| self.policy.groups_of(&s.identity)).unwrap_or_default()
    }

    /// Brings an endpoint's class and rows on all switches up to date with its session, binding and the policy.
    pub(crate) fn refresh_endpoint(&mut self, id: EndpointId) {
        self.touched.insert(id);
        let Some(known) = self.endpoints.get(id) else { return };
        let before = known.class;
        let slice = known.endpoint.slice;
        let (bound, admitted) = (known.endpoint.binding.is_some(), known.endpoint.session.is_some());
        let class = match (bound, admitted) {
            (false, _) => None,
            (true, false) => Some(ClassId::STRANGER),
            (true, true) => {
                let members = self.members_of(id);
                self.class_of(slice, &members)
            }
        };
        if class != before {
            if let Some(k) = self.endpoints.touch(id) {
                k.class = class;
            }
            // One bundle carries the permits' rows of both classes and the endpoint's: it never falls between.
            self.hold_instead(before, class);
        }
        self.remember_place(id);
        self.stream_party_changed(id);
        let Some(known) = self.endpoints.get(id) else { return };
        let facts = match (&known.endpoint.binding, class) {
            (Some(binding), Some(class)) => Some(EndpointFacts {
                id,
                slice,
                mac: known.endpoint.mac,
                addresses: binding.addresses.clone(),
                location: binding.location,
                class,
                watch: known.endpoint.watch,
            }),
            _ => None,
        };
        for dpid in self.dpids() {
            let (rows, spoof) = match (&facts, self.fabric.switch(dpid)) {
                (Some(f), Some(s)) => (endpoint_rows(&self.fabric, s, f), spoof_rows(s, f)),
                _ => (vec![], vec![]),
            };
            self.set_rows(dpid, Owner::Endpoint(id), rows);
            self.set_rows(dpid, Owner::Spoof(id), spoof);
        }
    }

    /// One more user of a class and one less of another: permits follow where it was the first or the last.
    pub(crate) fn hold_instead(&mut self, before: Option<ClassId>, after: Option<ClassId>) {
        if before == after {
            return;
        }
        if let Some(new) = after.filter(|c| *c >= ClassId::FIRST)
            && self.classes.hold(new)
        {
            self.refresh_permits_of(new);
        }
        if let Some(old) = before.filter(|c| *c >= ClassId::FIRST)
            && self.classes.release(old)
        {
            self.refresh_permits_of(old);
        }
    }

    /// The class of a set of names, made and committed when it is new. Without a number left: no class, no rights.
    pub(crate) fn class_of(&mut self, slice: SliceId, members: &MemberSet) -> Option<ClassId> {
        match self.classes.obtain(slice, members) {
            Some((id, new)) => {
                if let Some(class) = new {
                    self.put(Record::Class(class));
                }
                Some(id)
            }
            None => {
                self.event(EventKind::System, "no class number is left; the endpoint gets no rights", |_| {});
                Some(ClassId::STRANGER)
            }
        }
    }

    pub(crate) fn dpids(&self) -> Vec<Dpid> {
        self.links.keys().copied().collect()
    }

    /// Rows and meters that depend on the configuration only.
    pub(crate) fn refresh_system(&mut self, dpid: Dpid) {
        let Some(switch) = self.fabric.switch(dpid) else { return };
        let mut owned = system_rows(&self.fabric, switch);
        owned.extend(exit_rows(&self.fabric, switch));
        let mut meters = vec![meter::DENIED, meter::OBSERVED];
        for port in &switch.ports {
            if port.kind.admits() {
                meters.push(meter::stranger(port.number));
                meters.push(meter::discovery(port.number));
            }
            if port.kind.admits() || port.exit.is_some() {
                let rate = self.config.switch(dpid).and_then(|s| s.port(port.number)).and_then(|p| p.requests);
                meters.push(meter::control_at(port.number, rate));
                if switch.profile.plain().is_some() {
                    meters.push(meter::resolution(port.number));
                }
            }
        }
        if let Some(link) = self.links.get_mut(&dpid) {
            link.meters = meters;
        }
        for (owner, rows) in owned {
            self.set_rows(dpid, owner, rows);
        }
    }

    fn permit_facts(&self, permit: &Permit, number: u32) -> PermitFacts {
        let side = |names: &[Name]| self.classes.with_any(names);
        let expired = !permit.in_force(self.now.wall);
        PermitFacts {
            number,
            slice: SliceId::DEFAULT,
            from: if expired { vec![] } else { side(&permit.from) },
            to: if expired { vec![] } else { side(&permit.to) },
            terms: permit.terms.clone(),
            trial: self.trial_places.get(&number).copied(),
        }
    }

    fn refresh_permits_of(&mut self, class: ClassId) {
        if self.all_permits_follow {
            return;
        }
        let Some(class) = self.classes.get(class) else { return };
        let touched: BTreeSet<usize> =
            class.members.iter().filter_map(|n| self.permits_of.get(n)).flatten().copied().collect();
        let observed = class.members.iter().any(|name| self.policy.observed.groups.contains(name));
        for at in touched {
            self.refresh_permit(at);
        }
        if observed {
            self.refresh_observed();
        }
    }

    /// The permit at this position of the policy.
    fn refresh_permit(&mut self, at: usize) {
        let Some(permit) = self.policy.permits.get(at) else { return };
        let Some(&number) = self.permit_numbers.get(&permit.id) else { return };
        // Whenever its rows are made, its times are looked at: the wall clock may have been set back since the last time.
        for at in [permit.starts, permit.expires].into_iter().flatten().filter(|at| *at > self.now.wall) {
            self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
        }
        let facts = self.permit_facts(permit, number);
        for dpid in self.dpids() {
            let Some(switch) = self.fabric.switch(dpid) else { continue };
            let (rows, misfits) = Self::permit_rows_at(switch, &facts);
            self.set_rows(dpid, Owner::Permit(number), rows);
            if let Some(link) = self.links.get_mut(&dpid) {
                link.set_misfits(Owner::Permit(number), misfits);
            }
        }
    }

    pub(crate) fn refresh_all_permits(&mut self) {
        self.all_permits_follow = false;
        for at in 0..self.policy.permits.len() {
            self.refresh_permit(at);
        }
        self.next_expiry = self.next_permit_change();
        self.refresh_observed();
        self.streams_changed();
    }

    /// When the next permit starts or expires.
    pub(crate) fn next_permit_change(&self) -> Option<fseg_model::Wall> {
        let times = self.policy.permits.iter().flat_map(|p| [p.starts, p.expires]).flatten();
        times.filter(|at| *at > self.now.wall).min()
    }

    /// Brings the rows of what is only observed up to date with the policy and the classes in use.
    pub(crate) fn refresh_observed(&mut self) {
        let groups: Vec<Name> = self.policy.observed.groups.iter().cloned().collect();
        let facts = crate::change::observed_facts(&self.policy, self.classes.with_any(&groups), self.now.wall);
        for dpid in self.dpids() {
            let Some(switch) = self.fabric.switch(dpid) else { continue };
            let rows = switch.profile.fit(observe_rows(switch, SliceId::DEFAULT, &facts)).0;
            self.set_rows(dpid, Owner::System(SystemRow::Observe), rows);
        }
    }

    /// Permits start and stop at their moment.
    pub(crate) fn expire_permits(&mut self) {
        let Some(since) = self.next_expiry.filter(|at| *at <= self.now.wall) else { return };
        let wall = self.now.wall;
        let reached = |at: Option<fseg_model::Wall>| at.is_some_and(|at| at >= since && at <= wall);
        let of = |when: fn(&Permit) -> Option<fseg_model::Wall>| -> Vec<Name> {
            self.policy.permits.iter().filter(|p| reached(when(p))).map(|p| p.id.clone()).collect()
        };
        let (started, over) = (of(|p| p.starts), of(|p| p.expires));
        self.refresh_all_permits();
        for id in started {
            self.audit("system", "permit.started", serde_json::json!({ "permit": id }));
            self.event(EventKind::Policy, format!("permit {id} has started"), |_| {});
        }
        for id in over {
            self.audit("system", "permit.expired", serde_json::json!({ "permit": id }));
            self.event(EventKind::Policy, format!("permit {id} expired; it permits nothing any more"), |_| {});
        }
    }

    pub(crate) fn number_permits(&mut self) {
        self.permits_of.clear();
        for (at, permit) in self.policy.permits.iter().enumerate() {
            for name in permit.from.iter().chain(&permit.to) {
                self.permits_of.entry(name.clone()).or_default().push(at);
            }
        }
        let mut next = self.permit_numbers.values().max().map_or(1, |n| n + 1);
        for id in self.policy.permits.iter().map(|p| p.id.clone()).collect::<Vec<_>>() {
            if !self.permit_numbers.contains_key(&id) {
                self.permit_numbers.insert(id.clone(), next);
                self.put(Record::Number { kind: NumberKind::Permit, name: id.to_string(), number: next });
                next += 1;
            }
        }
        let number = |id: &Name| self.permit_numbers.get(id).copied();
        self.trial_places = trials(&self.policy, number);
    }
}

/// The place of each of a policy's permits on trial, by number.
pub(crate) fn trials(policy: &Policy, number: impl Fn(&Name) -> Option<u32>) -> BTreeMap<u32, u16> {
    let on_trial = policy.permits.iter().filter(|p| p.mode == Mode::Observe);
    trial_places(on_trial.filter_map(|p| number(&p.id)))
}
