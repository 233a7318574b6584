//! The policy in the world: classes of endpoints, rows of endpoints and permits, applying and expiry.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fseg_model::{ClassId, Dpid, EndpointId, MemberSet, Name, SliceId};
use fseg_pipeline::rows::{endpoint_rows, exit_rows, permit_rows, spoof_rows, system_rows};
use fseg_pipeline::{EndpointFacts, Owner, PermitFacts, meter};
use fseg_policy::{Permit, Policy};
use fseg_yaml::Source;

use crate::controller::Controller;
use crate::effect::{Answer, Applied, EventKind, Refusal, Ticket};
use crate::record::{NumberKind, PolicyVersion, Record};

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
        Some(self.policy.externals_of(address)).filter(|m| !m.is_empty())
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
            if let Some(new) = class.filter(|c| *c >= ClassId::FIRST)
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
        let mut meters = vec![meter::DENIED];
        for port in &switch.ports {
            if port.kind.admits() {
                meters.push(meter::stranger(port.number));
            }
            if port.kind.admits() || port.exit.is_some() {
                meters.push(meter::control(port.number));
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
        let side = |names: &[Name]| -> Vec<ClassId> {
            self.classes.in_use().filter(|c| names.iter().any(|n| c.members.contains(n))).map(|c| c.id).collect()
        };
        let expired = permit.expires.is_some_and(|at| at <= self.now.wall);
        PermitFacts {
            number,
            slice: SliceId::DEFAULT,
            from: if expired { vec![] } else { side(&permit.from) },
            to: if expired { vec![] } else { side(&permit.to) },
            terms: permit.terms.clone(),
        }
    }

    fn refresh_permits_of(&mut self, class: ClassId) {
        let Some(members) = self.classes.get(class).map(|c| c.members.clone()) else { return };
        let touched: Vec<_> = self
            .policy
            .permits
            .iter()
            .filter(|p| p.from.iter().chain(&p.to).any(|n| members.contains(n)))
            .map(|p| p.id.clone())
            .collect();
        for id in touched {
            self.refresh_permit(&id);
        }
    }

    fn refresh_permit(&mut self, id: &Name) {
        let Some(permit) = self.policy.permits.iter().find(|p| p.id == *id) else { return };
        let Some(&number) = self.permit_numbers.get(id) else { return };
        // Whenever its rows are made, its end is looked at: the wall clock may have been set back since the last time.
        if let Some(at) = permit.expires.filter(|at| *at > self.now.wall) {
            self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
        }
        let mut rows = permit_rows(&self.permit_facts(permit, number));
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        for dpid in self.dpids() {
            self.set_rows(dpid, Owner::Permit(number), rows.clone());
        }
    }

    pub(crate) fn refresh_all_permits(&mut self) {
        let ids: Vec<_> = self.policy.permits.iter().map(|p| p.id.clone()).collect();
        for id in ids {
            self.refresh_permit(&id);
        }
        let wall = self.now.wall;
        self.next_expiry = self.policy.permits.iter().filter_map(|p| p.expires).filter(|at| *at > wall).min();
    }

    /// Permits stop at the moment they expire.
    pub(crate) fn expire_permits(&mut self) {
        if self.next_expiry.is_none_or(|at| at > self.now.wall) {
            return;
        }
        let wall = self.now.wall;
        let since = self.next_expiry;
        let over: Vec<_> = self
            .policy
            .permits
            .iter()
            .filter(|p| p.expires.is_some_and(|at| at <= wall && Some(at) >= since))
            .map(|p| p.id.clone())
            .collect();
        self.refresh_all_permits();
        for id in over {
            self.audit("system", "permit.expired", serde_json::json!({ "permit": id }));
            self.event(EventKind::Policy, format!("permit {id} expired; it permits nothing any more"), |_| {});
        }
    }

    /// A committed policy, at start. One that cannot be read permits nothing, loudly.
    pub(crate) fn load_policy(&mut self, version: PolicyVersion) {
        let checked = fseg_policy::check_at(&Source::new(&version.file, &version.text), self.now.wall);
        match checked.policy {
            Some(policy) => match crate::external::overlap(&self.config, &policy).first() {
                None => self.policy = policy,
                Some(why) => self.policy_unusable(why.clone()),
            },
            None => {
                let why = checked.diagnostics.first().map(ToString::to_string).unwrap_or_default();
                self.policy_unusable(why);
            }
        }
        self.version = Some(version);
        self.number_permits();
    }

    fn policy_unusable(&mut self, why: String) {
        let text = format!("the committed policy cannot be used, so nothing is permitted: {why}");
        self.event(EventKind::System, text, |_| {});
        self.policy_broken = Some(why);
    }

    fn number_permits(&mut self) {
        let mut next = self.permit_numbers.values().max().map_or(1, |n| n + 1);
        for id in self.policy.permits.iter().map(|p| p.id.clone()).collect::<Vec<_>>() {
            if !self.permit_numbers.contains_key(&id) {
                self.permit_numbers.insert(id.clone(), next);
                self.put(Record::Number { kind: NumberKind::Permit, name: id.to_string(), number: next });
                next += 1;
            }
        }
    }

    pub(crate) fn apply(&mut self, ticket: Ticket, who: String, file: String, text: String, dry_run: bool) {
        let checked = fseg_policy::check_at(&Source::new(&file, &text), self.now.wall);
        let rendered: Vec<String> = checked.diagnostics.iter().map(ToString::to_string).collect();
        let Some(policy) = checked.policy else {
            return self.answer(ticket, Answer::Refused(Refusal::Invalid(rendered)));
        };
        let overlap = crate::external::overlap(&self.config, &policy);
        if !overlap.is_empty() {
            return self.answer(ticket, Answer::Refused(Refusal::Invalid(overlap)));
        }
        let outcomes = policy.run_tests(self.now.wall);
        let failed: Vec<String> = outcomes.iter().filter(|o| !o.passed).map(ToString::to_string).collect();
        if !failed.is_empty() {
            return self.answer(ticket, Answer::Refused(Refusal::Invalid(failed)));
        }
        let diff = self.policy.diff(&policy);
        let mut applied = Applied {
            version: 0,
            added: diff.permits.added.clone(),
            removed: diff.permits.removed.clone(),
            changed: diff.permits.changed.clone(),
            rows: vec![],
            unconfirmed: vec![],
        };
        if dry_run {
            return self.answer(ticket, Answer::Applied(applied));
        }
        let version = self.version.as_ref().map_or(1, |v| v.version + 1);
        let record = PolicyVersion { version, file, text, who: who.clone(), at: self.now.wall };
        self.put(Record::Policy(record.clone()));
        self.audit(
            &who,
            "policy.apply",
            serde_json::json!({
                "version": version, "added": applied.added, "removed": applied.removed, "changed": applied.changed,
            }),
        );
        self.version = Some(record);
        self.policy_broken = None;
        let rows = self.replace_policy(policy);
        applied.version = version;
        applied.rows = rows.into_iter().map(|(dpid, (added, removed))| (self.name_of(dpid), added, removed)).collect();
        self.event(EventKind::Policy, format!("policy version {version} by {who}"), |_| {});
        self.in_force.push((ticket, Answer::Applied(applied)));
    }

    pub(crate) fn name_of(&self, dpid: Dpid) -> Name {
        self.config.switch(dpid).map_or_else(
            || Name::new(&dpid.to_string()).unwrap_or_else(|_| self.config.site.clone()),
            |s| s.name.clone(),
        )
    }

    /// Puts another policy in force: rows of permits that are gone first, then classes, then permits. Says how many rows
    /// are added and removed on each switch.
    fn replace_policy(&mut self, policy: Policy) -> BTreeMap<Dpid, (usize, usize)> {
        let gone: Vec<u32> = self
            .policy
            .permits
            .iter()
            .filter(|p| !policy.permits.iter().any(|q| q.id == p.id))
            .filter_map(|p| self.permit_numbers.get(&p.id).copied())
            .collect();
        self.policy = policy;
        let before: BTreeMap<Dpid, (usize, usize)> = self.links.iter().map(|(d, l)| (*d, l.unsent_rows())).collect();
        for dpid in self.dpids() {
            for number in &gone {
                self.set_rows(dpid, Owner::Permit(*number), vec![]);
            }
        }
        self.number_permits();
        for id in self.endpoints.iter().map(|k| k.endpoint.id).collect::<Vec<_>>() {
            self.refresh_endpoint(id);
        }
        self.refresh_externals();
        self.refresh_all_permits();
        let touched = |(dpid, link): (&Dpid, &crate::link::Link)| {
            let (added, removed) = link.unsent_rows();
            let (a, r) = before.get(dpid).copied().unwrap_or_default();
            (*dpid, (added.saturating_sub(a), removed.saturating_sub(r)))
        };
        self.links.iter().map(touched).collect()
    }
}
