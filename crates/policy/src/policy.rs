//! A policy that has been checked, and who belongs to what in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fseg_model::{Identity, MemberSet, Name, PlacePattern, ServiceTerm, Subject, Wall};
use fseg_yaml::Span;
use ipnet::IpNet;

use crate::{Member, PolicyTest, Stream};

/// A group of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name; no external has the same.
    pub name: Name,
    /// Its members; none means nobody.
    pub members: Vec<Member>,
    /// What it is for.
    pub description: Option<String>,
    /// Where it is defined.
    pub span: Span,
}

/// A named list of protocols and ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// What it covers, services it lists included; sorted, without overlaps.
    pub terms: Vec<ServiceTerm>,
    /// The services it lists by name.
    pub lists: Vec<Name>,
    /// Where it is defined.
    pub span: Span,
}

/// A named network outside FSEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// Its name; no group has the same.
    pub name: Name,
    /// Its prefixes, without host bits, sorted; none means nobody.
    pub prefixes: Vec<IpNet>,
    /// Its domain names in lower case, each perhaps with a leading `*.`. Their addresses are learned from answers to questions for them.
    pub domains: Vec<String>,
    /// Where it is defined.
    pub span: Span,
}

/// One statement: these may use these services of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Its name, unique in the policy.
    pub id: Name,
    /// Groups or externals that may open connections; at least one.
    pub from: Vec<Name>,
    /// Groups or externals that may be connected to; at least one.
    pub to: Vec<Name>,
    /// The services it names; terms written in place are in `terms` only.
    pub services: Vec<Name>,
    /// All that it covers: services resolved, terms merged, sorted, without overlaps; at least one.
    pub terms: Vec<ServiceTerm>,
    /// The protection its traffic passes through.
    pub protect: Option<Name>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it exists.
    pub reason: Option<String>,
    /// The first instant at which it holds; from the beginning when absent.
    pub starts: Option<Wall>,
    /// The first instant at which it no longer holds.
    pub expires: Option<Wall>,
    /// Whether it is on trial: what it alone permits passes, and is logged.
    pub mode: Mode,
    /// Where it is written.
    pub span: Span,
}

impl Permit {
    /// True from its start until it expires.
    pub fn in_force(&self, now: Wall) -> bool {
        self.has_started(now) && !self.has_expired(now)
    }

    /// True once it has begun, whether it has ended since or not.
    pub fn has_started(&self, now: Wall) -> bool {
        self.starts.is_none_or(|start| start <= now)
    }

    /// True when its time is over.
    pub fn has_expired(&self, now: Wall) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// True when it joins a source in these groups to a destination in those, whatever the service and time.
    pub fn joins(&self, from: &MemberSet, to: &MemberSet) -> bool {
        self.from.iter().any(|name| from.contains(name)) && self.to.iter().any(|name| to.contains(name))
    }
}

/// Whether something is enforced, or only observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// As written.
    #[default]
    Enforce,
    /// What would be denied passes and is logged.
    Observe,
}

impl Mode {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "observe" => Ok(Self::Observe),
            other => Err(format!("`mode` must be `enforce` or `observe`, not {}", fseg_yaml::quote(other))),
        }
    }
}

/// What is only observed: denials there are said, and the packets pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The whole network.
    pub everything: bool,
    /// Everything from or to members of these groups.
    pub groups: BTreeSet<Name>,
}

impl Observed {
    /// True when everything is enforced.
    pub fn is_nothing(&self) -> bool {
        !self.everything && self.groups.is_empty()
    }

    /// True when a denial between the two would only be said. Whoever is not admitted is never asked about here.
    pub fn covers(&self, from: &MemberSet, to: &MemberSet) -> bool {
        self.everything || self.groups.iter().any(|group| from.contains(group) || to.contains(group))
    }
}

/// A checked policy: every name in it exists, nothing is circular, nothing is ambiguous.
///
/// Made by [`check`](crate::check) or [`Policy::empty`]. The fields are for reading; membership is indexed when the
/// policy is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Groups by name.
    pub groups: BTreeMap<Name, Group>,
    /// Services by name.
    pub services: BTreeMap<Name, Service>,
    /// Externals by name.
    pub externals: BTreeMap<Name, External>,
    /// Streams by name.
    pub streams: BTreeMap<Name, Stream>,
    /// Permits in the order of the file.
    pub permits: Vec<Permit>,
    /// Tests in the order of the file.
    pub tests: Vec<PolicyTest>,
    /// What is only observed.
    pub observed: Observed,
    memberships: Memberships,
}

/// From a member to the groups that list it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Memberships {
    exact: BTreeMap<Member, BTreeSet<Name>>,
    /// Locations with stars: these have to be tried one by one.
    patterns: Vec<(PlacePattern, Name)>,
}

/// True when a pattern fits more than one place.
pub(crate) fn has_star(pattern: &PlacePattern) -> bool {
    pattern.to_string().contains('*')
}

impl Policy {
    /// The policy that permits nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn new(
        groups: BTreeMap<Name, Group>,
        services: BTreeMap<Name, Service>,
        externals: BTreeMap<Name, External>,
        streams: BTreeMap<Name, Stream>,
        permits: Vec<Permit>,
        tests: Vec<PolicyTest>,
        observed: Observed,
    ) -> Self {
        let mut memberships = Memberships::default();
        for group in groups.values() {
            for member in &group.members {
                memberships.exact.entry(member.clone()).or_default().insert(group.name.clone());
                if let Member::Location(pattern) = member
                    && has_star(pattern)
                {
                    memberships.patterns.push((pattern.clone(), group.name.clone()));
                }
            }
        }
        Self { groups, services, externals, streams, permits, tests, observed, memberships }
    }

    /// The groups an endpoint is in: those that list its subject or one of its roles, and those that contain such a
    /// group, at any depth.
    pub fn groups_of(&self, who: &Identity) -> MemberSet {
        let mut direct = match &who.subject {
            Subject::User(name) => self.listing(&Member::User(name.clone())),
            Subject::Device(name) => self.listing(&Member::Device(name.clone())),
            Subject::Location(place) => {
                let fitting = self.memberships.patterns.iter().filter(|(pattern, _)| pattern.matches(place));
                let exact = place.to_string().parse().map(|p| self.listing(&Member::Location(p))).unwrap_or_default();
                exact.into_iter().chain(fitting.map(|(_, group)| group.clone())).collect()
            }
        };
        for role in &who.roles {
            direct.extend(self.listing(&Member::Role(role.clone())));
        }
        self.upwards(direct)
    }

    /// The groups that list exactly this member.
    pub(crate) fn listing(&self, member: &Member) -> MemberSet {
        self.memberships.exact.get(member).cloned().unwrap_or_default()
    }

    /// These groups and all groups that contain one of them.
    pub(crate) fn upwards(&self, groups: MemberSet) -> MemberSet {
        let mut todo: Vec<Name> = groups.iter().cloned().collect();
        let mut all = groups;
        while let Some(group) = todo.pop() {
            for parent in self.listing(&Member::Group(group)) {
                if all.insert(parent.clone()) {
                    todo.push(parent);
                }
            }
        }
        all
    }

    /// What a service covers: one of this policy, or else one that comes with FSEG.
    pub fn service_terms(&self, name: &Name) -> Option<&[ServiceTerm]> {
        let own = self.services.get(name).map(|s| s.terms.as_slice());
        own.or_else(|| crate::shipped_services().get(name).map(|s| s.terms.as_slice()))
    }

    /// The externals an address belongs to: those that list the longest prefix that contains it.
    pub fn externals_of(&self, address: IpAddr) -> MemberSet {
        let mut longest = None;
        let mut found = MemberSet::new();
        for external in self.externals.values() {
            for prefix in external.prefixes.iter().filter(|p| p.contains(&address)) {
                let length = Some(prefix.prefix_len());
                if length > longest {
                    longest = length;
                    found.clear();
                }
                if length == longest {
                    found.insert(external.name.clone());
                }
            }
        }
        found
    }

    /// Every prefix of any external with the externals that list exactly it. An address belongs to the set of its
    /// longest prefix.
    pub fn external_prefixes(&self) -> BTreeMap<IpNet, MemberSet> {
        let mut all: BTreeMap<IpNet, MemberSet> = BTreeMap::new();
        for external in self.externals.values() {
            for prefix in &external.prefixes {
                all.entry(*prefix).or_default().insert(external.name.clone());
            }
        }
        all
    }

    /// The permits that join the two, in the order of the file, whatever their services and whether expired or not.
    pub fn permits_between<'a>(&'a self, from: &MemberSet, to: &MemberSet) -> impl Iterator<Item = &'a Permit> {
        self.permits.iter().filter(move |permit| permit.joins(from, to))
    }
}
