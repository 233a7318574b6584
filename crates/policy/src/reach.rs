//! Who gains and who loses what when one policy takes the place of another.
//!
//! Endpoints that are in the same groups before, and in the same groups afterwards, are one *kind*: what holds for one holds
//! for all. Pairs of kinds are looked at only where something can have changed, so that the work grows with the change
//! and not with the network.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fseg_model::{MemberSet, Name, PortRange, ServiceTerm, Wall};

use crate::{Permit, Policy, merge_terms};

/// A set of services.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Services {
    /// True for all services but `terms`; false for `terms` alone.
    pub all_but: bool,
    /// Sorted, merged.
    pub terms: Vec<ServiceTerm>,
}

impl Services {
    /// Every service.
    pub const ALL: Self = Self { all_but: true, terms: Vec::new() };

    fn of(terms: Vec<ServiceTerm>) -> Self {
        let terms = merge_terms(terms);
        if terms.contains(&ServiceTerm::ANY) { Self::ALL } else { Self { all_but: false, terms } }
    }

    /// No service at all.
    pub fn is_empty(&self) -> bool {
        !self.all_but && self.terms.is_empty()
    }

    /// True when the connection is among them.
    pub fn covers(&self, flow: fseg_model::Flow) -> bool {
        self.all_but != self.terms.iter().any(|term| term.covers(flow))
    }

    /// What is in this set and not in the other.
    pub fn minus(&self, other: &Self) -> Self {
        match (self.all_but, other.all_but) {
            (false, false) => Self { all_but: false, terms: subtract(&self.terms, &other.terms) },
            (false, true) => Self { all_but: false, terms: intersect(&self.terms, &other.terms) },
            (true, false) => Self { all_but: true, terms: union(&self.terms, &other.terms) },
            // What the other lacks and this one does not.
            (true, true) => Self { all_but: false, terms: subtract(&other.terms, &self.terms) },
        }
    }

    /// What is in both.
    pub fn and(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }
}

fn union(a: &[ServiceTerm], b: &[ServiceTerm]) -> Vec<ServiceTerm> {
    merge_terms(a.iter().chain(b).copied())
}

fn intersect(a: &[ServiceTerm], b: &[ServiceTerm]) -> Vec<ServiceTerm> {
    subtract(a, &subtract(a, b))
}

/// Terms without `any`: ranges of one protocol each.
fn subtract(from: &[ServiceTerm], away: &[ServiceTerm]) -> Vec<ServiceTerm> {
    let mut left = from.to_vec();
    for gone in away {
        let cut = |term: ServiceTerm| -> Vec<ServiceTerm> {
            let apart = term.ports.last() < gone.ports.first() || gone.ports.last() < term.ports.first();
            if term.protocol != gone.protocol || apart {
                return vec![term];
            }
            let below = gone.ports.first().checked_sub(1).and_then(|last| PortRange::new(term.ports.first(), last));
            let above = gone.ports.last().checked_add(1).and_then(|first| PortRange::new(first, term.ports.last()));
            [below, above].into_iter().flatten().map(|ports| ServiceTerm { ports, ..term }).collect()
        };
        left = left.into_iter().flat_map(cut).collect();
    }
    merge_terms(left)
}

/// Parties that are alike before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartyKind {
    /// Their groups, or externals, under the older policy.
    pub before: MemberSet,
    /// The same under the newer one.
    pub after: MemberSet,
    /// True for addresses outside.
    pub outside: bool,
    /// Who they are.
    pub parties: Vec<String>,
}

/// What changes from parties of one kind to those of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindChange {
    /// Index of the kind that asks.
    pub from: usize,
    /// Index of the kind that is asked.
    pub to: usize,
    /// Services that pass only afterwards.
    pub gained: Services,
    /// Services that pass only before.
    pub lost: Services,
}

impl Policy {
    /// The services that pass between the two at a time, observed or not.
    pub fn reach(&self, from: &MemberSet, to: &MemberSet, now: Wall) -> Services {
        if self.observed.covers(from, to) {
            return Services::ALL;
        }
        let permits = self.permits_between(from, to).filter(|permit| permit.in_force(now));
        Services::of(permits.flat_map(|permit| permit.terms.iter().copied()).collect())
    }

    /// Services as people call them: names of this policy where they fit exactly inside, the largest first, then terms.
    pub fn service_names(&self, services: &Services) -> Vec<String> {
        let mut left = services.terms.clone();
        let mut out = Vec::new();
        let mut named: Vec<_> = self.services.values().filter(|s| !s.terms.is_empty()).collect();
        let ports = |terms: &[ServiceTerm]| -> u64 {
            terms.iter().map(|t| u64::from(t.ports.last()) - u64::from(t.ports.first()) + 1).sum()
        };
        named.sort_by_key(|s| (std::cmp::Reverse(ports(&s.terms)), s.name.clone()));
        for service in named {
            if left.is_empty() {
                break;
            }
            if !service.terms.contains(&ServiceTerm::ANY) && subtract(&service.terms, &left).is_empty() {
                out.push(service.name.to_string());
                left = subtract(&left, &service.terms);
            }
        }
        out.extend(left.iter().map(ToString::to_string));
        match (services.all_but, out.is_empty()) {
            (true, true) => vec!["any".to_owned()],
            (true, false) => vec![format!("any but {}", out.join(" and "))],
            (false, _) => out,
        }
    }

    /// The groups of a set that no other group of the set stands in: how people would name it.
    pub fn leaf_groups(&self, members: &MemberSet) -> Vec<Name> {
        let inside = |name: &Name| {
            let above = self.upwards([name.clone()].into());
            members.iter().any(|other| {
                other != name && !above.contains(other) && { self.upwards([other.clone()].into()).contains(name) }
            })
        };
        members.iter().filter(|name| !inside(name)).cloned().collect()
    }
}

/// What counts of a permit here: two that are equal in it permit the same.
fn meaning(permit: &Permit, now: Wall) -> Option<(BTreeSet<&Name>, BTreeSet<&Name>, &[ServiceTerm])> {
    permit.in_force(now).then(|| (permit.from.iter().collect(), permit.to.iter().collect(), permit.terms.as_slice()))
}

/// Every pair of kinds that gains or loses something, in the order of the kinds. Looks at no more than `most` pairs; the
/// second value is false when there would have been more.
pub fn reach_changes(
    old: &Policy,
    new: &Policy,
    kinds: &[PartyKind],
    now: Wall,
    most: usize,
) -> (Vec<KindChange>, bool) {
    let mut pairs = Pairs { kinds, seen: BTreeSet::new(), most, complete: true };
    if old.observed == new.observed {
        let before: BTreeMap<&Name, &Permit> = old.permits.iter().map(|p| (&p.id, p)).collect();
        let after: BTreeMap<&Name, &Permit> = new.permits.iter().map(|p| (&p.id, p)).collect();
        let moved: BTreeSet<usize> = (0..kinds.len()).filter(|k| kinds[*k].before != kinds[*k].after).collect();
        for (policy, other, set) in [
            (old, &after, (|k| &k.before) as fn(&PartyKind) -> &MemberSet),
            (new, &before, (|k| &k.after) as fn(&PartyKind) -> &MemberSet),
        ] {
            let mut inside: HashMap<&Name, Vec<usize>> = HashMap::new();
            for (index, kind) in kinds.iter().enumerate() {
                for name in set(kind) {
                    inside.entry(name).or_default().push(index);
                }
            }
            for permit in &policy.permits {
                let same = other.get(&permit.id).is_some_and(|o| meaning(o, now) == meaning(permit, now));
                let side = |names: &[Name]| -> BTreeSet<usize> {
                    names.iter().filter_map(|n| inside.get(n)).flatten().copied().collect()
                };
                let (from, to) = (side(&permit.from), side(&permit.to));
                for &f in &from {
                    for &t in &to {
                        if !same || moved.contains(&f) || moved.contains(&t) {
                            pairs.add(f, t);
                        }
                    }
                }
            }
        }
        // Who comes into an observed group, or leaves it, gains or loses without any permit.
        if !old.observed.groups.is_empty() {
            for &f in &moved {
                (0..kinds.len()).for_each(|t| {
                    pairs.add(f, t);
                    pairs.add(t, f);
                });
            }
        }
    } else {
        for f in 0..kinds.len() {
            (0..kinds.len()).for_each(|t| pairs.add(f, t));
        }
    }
    let complete = pairs.complete;
    let change = |(from, to): (usize, usize)| {
        let (f, t) = (&kinds[from], &kinds[to]);
        let before = old.reach(&f.before, &t.before, now);
        let after = new.reach(&f.after, &t.after, now);
        let (gained, lost) = (after.minus(&before), before.minus(&after));
        (!gained.is_empty() || !lost.is_empty()).then_some(KindChange { from, to, gained, lost })
    };
    (pairs.seen.into_iter().filter_map(change).collect(), complete)
}

struct Pairs<'k> {
    kinds: &'k [PartyKind],
    seen: BTreeSet<(usize, usize)>,
    most: usize,
    complete: bool,
}

impl Pairs<'_> {
    fn add(&mut self, from: usize, to: usize) {
        // Outside networks among themselves are not FSEG's, and nobody needs a permit to talk to itself.
        let both_outside = self.kinds[from].outside && self.kinds[to].outside;
        if both_outside || (from == to && self.kinds[from].parties.len() < 2) {
            return;
        }
        if self.seen.len() < self.most {
            self.seen.insert((from, to));
        } else if !self.seen.contains(&(from, to)) {
            self.complete = false;
        }
    }
}
