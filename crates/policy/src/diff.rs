//! What changed between two policies.

use std::collections::BTreeMap;
use std::fmt;

use fseg_model::Name;
use serde::Serialize;

use crate::{External, Group, Permit, Policy, Service, Stream};

/// What changed in one section, as sorted names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Only in the newer policy.
    pub added: Vec<Name>,
    /// Only in the older policy.
    pub removed: Vec<Name>,
    /// In both, with another meaning.
    pub changed: Vec<Name>,
}

/// What changed between two policies. Where things stand in the file, and in which order, does not count. A permit
/// counts as changed when a service it names has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PolicyDiff {
    /// Groups, compared by their own members: a change inside a nested group is that group's.
    pub groups: Changes,
    /// Services, compared by what they cover.
    pub services: Changes,
    /// Externals.
    pub externals: Changes,
    /// Streams.
    pub streams: Changes,
    /// Permits.
    pub permits: Changes,
    /// True when something else is only observed than before: the network, or groups.
    pub observed: bool,
}

impl Policy {
    /// What has to change in this policy to make it the newer one.
    pub fn diff(&self, newer: &Policy) -> PolicyDiff {
        let by_id = |policy: &'_ Policy| -> BTreeMap<Name, Permit> {
            policy.permits.iter().map(|permit| (permit.id.clone(), permit.clone())).collect()
        };
        PolicyDiff {
            groups: changes(&self.groups, &newer.groups, same_group),
            services: changes(&self.services, &newer.services, |a, b: &Service| a.terms == b.terms),
            externals: changes(&self.externals, &newer.externals, |a, b: &External| {
                a.prefixes == b.prefixes && a.domains == b.domains
            }),
            streams: changes(&self.streams, &newer.streams, |a, b: &Stream| {
                a.addresses == b.addresses && sorted(&a.from) == sorted(&b.from)
            }),
            permits: changes(&by_id(self), &by_id(newer), same_permit),
            observed: self.observed != newer.observed,
        }
    }
}

fn same_group(a: &Group, b: &Group) -> bool {
    sorted(&a.members) == sorted(&b.members) && a.description == b.description
}

fn same_permit(a: &Permit, b: &Permit) -> bool {
    // Every field is named here, so that a new one cannot be forgotten.
    let Permit { id: _, from, to, services, terms, protect, owner, reason, starts, expires, mode, span: _ } = a;
    sorted(from) == sorted(&b.from)
        && sorted(to) == sorted(&b.to)
        && sorted(services) == sorted(&b.services)
        && (terms, protect, owner, reason) == (&b.terms, &b.protect, &b.owner, &b.reason)
        && (starts, expires, mode) == (&b.starts, &b.expires, &b.mode)
}

fn sorted<T: Ord>(list: &[T]) -> Vec<&T> {
    let mut sorted: Vec<&T> = list.iter().collect();
    sorted.sort();
    sorted.dedup();
    sorted
}

fn changes<T>(old: &BTreeMap<Name, T>, new: &BTreeMap<Name, T>, same: impl Fn(&T, &T) -> bool) -> Changes {
    Changes {
        added: new.keys().filter(|name| !old.contains_key(*name)).cloned().collect(),
        removed: old.keys().filter(|name| !new.contains_key(*name)).cloned().collect(),
        changed: old
            .iter()
            .filter(|(name, before)| new.get(*name).is_some_and(|after| !same(before, after)))
            .map(|(name, _)| name.clone())
            .collect(),
    }
}

impl Changes {
    /// True when nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl PolicyDiff {
    /// True when nothing changed.
    pub fn is_empty(&self) -> bool {
        [&self.groups, &self.services, &self.externals, &self.streams, &self.permits].iter().all(|c| c.is_empty())
            && !self.observed
    }
}

impl fmt::Display for PolicyDiff {
    /// One line for each change: `+ permit sales-crm`, `- group old`, `~ service web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sections = [
            ("group", &self.groups),
            ("service", &self.services),
            ("external", &self.externals),
            ("stream", &self.streams),
            ("permit", &self.permits),
        ];
        if self.observed {
            writeln!(f, "~ mode")?;
        }
        for (what, changes) in sections {
            for (sign, names) in [('-', &changes.removed), ('~', &changes.changed), ('+', &changes.added)] {
                for name in names {
                    writeln!(f, "{sign} {what} {name}")?;
                }
            }
        }
        Ok(())
    }
}
