//! What another policy would make of this network, without changing anything: classes, numbers, and the rows of every owner
//! that it concerns. A plan counts them, a preparation sends them, and putting the policy in force installs them: they
//! cannot differ.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fseg_model::{Class, ClassId, Dpid, EndpointId, MemberSet, Name, SliceId};
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::profile::Misfit;
use fseg_pipeline::rows::{
    ObserveFacts, endpoint_rows, external_rows, learned_rows, observe_rows, permit_rows_on, spoof_rows,
};
use fseg_pipeline::{Desired, EndpointFacts, Owner, PermitFacts, Row, RowKey, SwitchFacts};
use fseg_policy::{Mode, Permit, Policy};

use crate::controller::Controller;
use crate::link::RowChanges;
use crate::record::{NumberKind, Record};
use crate::world::{Classes, Known};

/// Rows of each owner that is concerned, by switch.
type OwnerRows = BTreeMap<Dpid, Vec<(Owner, Vec<Row>)>>;

/// A policy, compiled for this network at this moment.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) policy: Policy,
    /// Endpoints whose class changes.
    classes: BTreeMap<EndpointId, ClassId>,
    new_classes: Vec<Class>,
    new_numbers: Vec<(Name, u32)>,
    external: BTreeSet<ClassId>,
    pub(super) rows: OwnerRows,
    /// What switches cannot hold.
    pub(super) misfits: Vec<(Dpid, Misfit)>,
}

/// Classes as they would be: those that exist, and new ones that nobody has been given yet.
struct Scratch<'c> {
    real: &'c Classes,
    new: HashMap<MemberSet, ClassId>,
    next: u32,
}

impl Scratch<'_> {
    fn class(&mut self, members: &MemberSet) -> ClassId {
        if let Some(known) = self.real.find(SliceId::DEFAULT, members).or_else(|| self.new.get(members).copied()) {
            return known;
        }
        match ClassId::new(self.next) {
            Ok(id) => {
                self.next += 1;
                self.new.insert(members.clone(), id);
                id
            }
            Err(_) => ClassId::STRANGER, // no number is left: no rights
        }
    }
}

/// From a group or external to the classes in use that contain it.
struct Index<'c>(HashMap<&'c Name, Vec<ClassId>>);

impl<'c> Index<'c> {
    fn new(classes: impl Iterator<Item = (ClassId, &'c MemberSet)>) -> Self {
        let mut by_name: HashMap<&Name, Vec<ClassId>> = HashMap::new();
        for (id, members) in classes {
            for name in members {
                by_name.entry(name).or_default().push(id);
            }
        }
        Self(by_name)
    }

    fn classes_of<'n>(&self, names: impl IntoIterator<Item = &'n Name>) -> Vec<ClassId> {
        let all: BTreeSet<ClassId> = names.into_iter().filter_map(|n| self.0.get(n)).flatten().copied().collect();
        all.into_iter().collect()
    }
}

impl Compiled {
    pub(super) fn new_number(&self, id: &Name) -> Option<u32> {
        self.new_numbers.iter().find(|(name, _)| name == id).map(|(_, number)| *number)
    }
}

impl Controller {
    fn facts_of(&self, permit: &Permit, number: u32, index: &Index<'_>, trials: &BTreeMap<u32, u16>) -> PermitFacts {
        let holds = permit.in_force(self.now.wall);
        PermitFacts {
            number,
            slice: SliceId::DEFAULT,
            from: if holds { index.classes_of(&permit.from) } else { vec![] },
            to: if holds { index.classes_of(&permit.to) } else { vec![] },
            terms: permit.terms.clone(),
            trial: trials.get(&number).copied(),
        }
    }

    /// The rows of a permit on one switch as that switch can hold them, and what it cannot.
    pub(crate) fn permit_rows_at(switch: &SwitchFacts, facts: &PermitFacts) -> (Vec<Row>, Vec<Misfit>) {
        let (mut rows, mut misfits) = match permit_rows_on(switch, facts) {
            Ok(rows) => switch.profile.fit(rows),
            Err(misfit) => (vec![], vec![misfit]),
        };
        if !misfits.is_empty() {
            rows.clear(); // half a permit is worse than none
            misfits.truncate(1);
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        (rows, misfits)
    }

    pub(super) fn compile(&self, policy: &Policy) -> Compiled {
        let slice = SliceId::DEFAULT;
        let mut scratch = Scratch { real: &self.classes, new: HashMap::new(), next: self.classes.next_free() };
        let mut classes = BTreeMap::new();
        let mut in_use: BTreeSet<ClassId> = BTreeSet::new();
        for known in self.endpoints.iter() {
            let (Some(_), Some(session)) = (&known.endpoint.binding, &known.endpoint.session) else { continue };
            let class = scratch.class(&policy.groups_of(&session.identity));
            if known.class != Some(class) {
                classes.insert(known.endpoint.id, class);
            }
            in_use.insert(class);
        }
        let by_class = self.external_facts(policy, |names| Some(scratch.class(names)));
        let external: BTreeSet<ClassId> = by_class.keys().copied().collect();
        in_use.extend(&external);
        let learned = self.learned_facts(policy, |names| scratch.class(names));
        in_use.extend(learned.iter().filter_map(|(_, facts)| Some(facts.as_ref()?.class)));
        in_use.retain(|class| *class >= ClassId::FIRST);

        let new_sets: HashMap<ClassId, &MemberSet> = scratch.new.iter().map(|(set, id)| (*id, set)).collect();
        let set_of = |id: ClassId| self.classes.get(id).map(|c| &c.members).or_else(|| new_sets.get(&id).copied());
        let before = Index::new(self.classes.in_use().map(|c| (c.id, &c.members)));
        let after = Index::new(in_use.iter().filter_map(|id| Some((*id, set_of(*id)?))));

        let mut new_numbers = Vec::new();
        let mut next = self.permit_numbers.values().max().map_or(1, |n| n + 1);
        // What each permit was made of; those that are made of the same keep their rows.
        let old: HashMap<&Name, &Permit> = self.policy.permits.iter().map(|p| (&p.id, p)).collect();
        let mut permits = Vec::new();
        let mut numbers: HashMap<&Name, u32> = HashMap::new();
        for permit in &policy.permits {
            let number = self.permit_numbers.get(&permit.id).copied().unwrap_or_else(|| {
                new_numbers.push((permit.id.clone(), next));
                next += 1;
                next - 1
            });
            numbers.insert(&permit.id, number);
        }
        let trials = crate::rules::trials(policy, |id| numbers.get(id).copied());
        for permit in &policy.permits {
            let Some(number) = numbers.get(&permit.id).copied() else { continue };
            let facts = self.facts_of(permit, number, &after, &trials);
            let was = |p: &&Permit| self.facts_of(p, number, &before, &self.trial_places);
            if old.get(&permit.id).map(was).is_none_or(|was| was != facts) {
                permits.push(facts);
            }
        }
        let stays: HashSet<&Name> = policy.permits.iter().map(|p| &p.id).collect();
        let gone = self.policy.permits.iter().filter(|p| !stays.contains(&p.id));
        let gone: Vec<u32> = gone.filter_map(|p| self.permit_numbers.get(&p.id).copied()).collect();
        let observed = observed_facts(policy, after.classes_of(&policy.observed.groups), self.now.wall);

        let mut rows: OwnerRows = BTreeMap::new();
        let mut misfits = Vec::new();
        for dpid in self.dpids() {
            let Some(switch) = self.fabric.switch(dpid) else { continue };
            let mut owned: Vec<(Owner, Vec<Row>)> = Vec::new();
            owned.extend(gone.iter().map(|number| (Owner::Permit(*number), vec![])));
            for class in self.external_classes.difference(&external) {
                owned.push((Owner::External(class.get()), vec![]));
            }
            for (id, class) in &classes {
                let Some(facts) = self.endpoints.get(*id).and_then(|k| endpoint_facts(k, *class)) else { continue };
                owned.push((Owner::Endpoint(*id), endpoint_rows(&self.fabric, switch, &facts)));
                owned.push((Owner::Spoof(*id), spoof_rows(switch, &facts)));
            }
            for (class, facts) in &by_class {
                let rows = external_rows(&self.fabric, switch, class.get(), facts);
                owned.push((Owner::External(class.get()), rows));
            }
            for (owner, facts) in &learned {
                let rows = facts.as_ref().map(|facts| learned_rows(&self.fabric, switch, facts));
                owned.push((*owner, rows.unwrap_or_default()));
            }
            for facts in &permits {
                let (rows, found) = Self::permit_rows_at(switch, facts);
                misfits.extend(found.into_iter().map(|m| (dpid, m)));
                owned.push((Owner::Permit(facts.number), rows));
            }
            let observing = observe_rows(switch, slice, &observed);
            owned.push((Owner::System(SystemRow::Observe), observing));
            if switch.profile.plain().is_some() {
                for (_, rows) in &mut owned {
                    *rows = switch.profile.fit(std::mem::take(rows)).0;
                }
            }
            rows.insert(dpid, owned);
        }
        let mut new_classes: Vec<Class> =
            scratch.new.into_iter().map(|(members, id)| Class { id, slice, members }).collect();
        new_classes.sort_by_key(|c| c.id);
        Compiled { policy: policy.clone(), classes, new_classes, new_numbers, external, rows, misfits }
    }

    /// Makes the numbers of a compiled policy durable. They stay given, whatever becomes of the policy.
    pub(super) fn adopt_numbers(&mut self, compiled: &Compiled) {
        for class in &compiled.new_classes {
            self.classes.load(class.clone());
            self.put(Record::Class(class.clone()));
        }
        for (id, number) in &compiled.new_numbers {
            self.permit_numbers.insert(id.clone(), *number);
            self.put(Record::Number { kind: NumberKind::Permit, name: id.to_string(), number: *number });
        }
    }

    /// Makes a compiled policy the one that holds.
    pub(super) fn install(&mut self, compiled: Compiled) {
        self.adopt_numbers(&compiled);
        self.policy = compiled.policy;
        self.number_permits();
        self.policy_broken = None;
        self.number_permits(); // they have their numbers: this renews the index from groups to permits
        for (id, class) in compiled.classes {
            self.touched.insert(id);
            let Some(known) = self.endpoints.touch(id) else { continue };
            let before = known.class.replace(class);
            if class >= ClassId::FIRST {
                self.classes.hold(class);
            }
            if let Some(before) = before.filter(|c| *c >= ClassId::FIRST) {
                self.classes.release(before);
            }
        }
        for class in compiled.external.difference(&self.external_classes) {
            self.classes.hold(*class);
        }
        for class in self.external_classes.difference(&compiled.external) {
            self.classes.release(*class);
        }
        self.external_classes = compiled.external;
        for (dpid, owned) in compiled.rows {
            for (owner, rows) in owned {
                self.set_rows(dpid, owner, rows);
            }
        }
        self.next_expiry = self.next_permit_change();
        self.names_replaced();
    }
}

fn endpoint_facts(known: &Known, class: ClassId) -> Option<EndpointFacts> {
    let binding = known.endpoint.binding.as_ref()?;
    Some(EndpointFacts {
        id: known.endpoint.id,
        slice: known.endpoint.slice,
        mac: known.endpoint.mac,
        addresses: binding.addresses.clone(),
        location: binding.location,
        class,
        watch: known.endpoint.watch,
    })
}

/// What is observed, as classes. Externals and endpoints of observed groups only: strangers have no class here.
pub(crate) fn observed_facts(policy: &Policy, classes: Vec<ClassId>, now: fseg_model::Wall) -> ObserveFacts {
    ObserveFacts {
        everything: policy.observed.everything,
        classes,
        trials: policy.permits.iter().any(|p| p.mode == Mode::Observe && p.in_force(now)),
    }
}

/// How rows of a switch would change.
#[derive(Debug, Default)]
pub(super) struct Preview {
    pub(super) rows: RowChanges,
    pub(super) added: usize,
    pub(super) changed: usize,
    pub(super) removed: usize,
}

/// What replacing these owners' rows would change, without doing it. A row that two owners want belongs to one of them and
/// is handed on when that one lets go: see [`Desired::replace`].
pub(super) fn preview(desired: &Desired, owned: &[(Owner, Vec<Row>)]) -> Preview {
    let mut rows: RowChanges = BTreeMap::new();
    for (owner, fresh) in owned {
        let keys: HashSet<&RowKey> = fresh.iter().map(|r| &r.key).collect();
        for gone in desired.of_owner(*owner).filter(|r| !keys.contains(&r.key)) {
            rows.insert(gone.key, None);
        }
    }
    for (owner, fresh) in owned {
        for row in fresh {
            let taken = rows.get(&row.key);
            let changes = match (desired.get(&row.key), taken) {
                (None, taken) => taken.is_none(),
                (Some(there), _) if there.owner == *owner => there.instructions != row.instructions,
                (Some(_), taken) => taken == Some(&None),
            };
            if changes {
                rows.insert(row.key.clone(), Some(row.clone()));
            }
        }
    }
    let mut out = Preview { rows, ..Preview::default() };
    for (key, row) in &out.rows {
        match (row, desired.get(key)) {
            (None, _) => out.removed += 1,
            (Some(_), Some(_)) => out.changed += 1,
            (Some(_), None) => out.added += 1,
        }
    }
    out
}
