//! Tests that stand in the policy itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use fseg_model::{
    Flow, Identity, IpProtocol, MemberSet, Name, PlacePath, PlacePattern, PortRange, ServiceTerm, Subject, Wall,
};
use fseg_yaml::Span;
use thiserror::Error;

use crate::policy::has_star;
use crate::{Decision, DenyReason, Member, Policy};

/// One expectation about what the policy permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTest {
    /// Who opens the connection.
    pub from: Party,
    /// Whom it goes to.
    pub to: Party,
    /// The service as it is written.
    pub service: String,
    /// What the service covers.
    pub terms: Vec<ServiceTerm>,
    /// What must come out.
    pub expect: Expect,
    /// Where it is written.
    pub span: Span,
}

/// What a test expects of every connection its service covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// All are permitted.
    Permit,
    /// None is permitted.
    Deny,
}

/// One side of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// An endpoint, without any roles.
    Subject(Subject),
    /// `role:NAME`: somebody of whom nothing is known but this role.
    Role(Name),
    /// `group:NAME`: every member of this group that the policy knows of, and somebody of whom nothing else is known.
    Group(Name),
    /// An address outside, or a multicast one.
    Address(IpAddr),
    /// A domain name outside: an address of which nothing is known but this name.
    Domain(String),
    /// `stream:NAME`: whoever receives this stream.
    Stream(Name),
}

/// The outcome of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome<'a> {
    /// The test.
    pub test: &'a PolicyTest,
    /// The groups or externals of the source in the case that contradicts the expectation, or in the first one tried.
    pub from: MemberSet,
    /// Those of the destination.
    pub to: MemberSet,
    /// The connection in that case.
    pub flow: Flow,
    /// What the policy says of it.
    pub decision: Decision,
    /// True when every connection of every such source and destination came out as expected.
    pub passed: bool,
}

/// Text that is not a party of a test.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0} is not a party of a test (expected user:NAME, device:NAME, location:SITE/SWITCH/PORT, role:NAME, group:NAME, stream:NAME, a domain name or an IP address)"
)]
pub struct PartyError(String);

impl FromStr for Party {
    type Err = PartyError;
    fn from_str(s: &str) -> Result<Self, PartyError> {
        let refuse = || PartyError(fseg_yaml::quote(s));
        if let Ok(address) = s.parse() {
            return Ok(Self::Address(address));
        }
        match s.split_once(':') {
            Some(("role", name)) => Name::new(name).map(Self::Role).map_err(|_| refuse()),
            Some(("group", name)) => Name::new(name).map(Self::Group).map_err(|_| refuse()),
            Some(("stream", name)) => Name::new(name).map(Self::Stream).map_err(|_| refuse()),
            None if s.contains('.') && crate::is_domain(s) => Ok(Self::Domain(s.to_lowercase())),
            _ => s.parse().map(Self::Subject).map_err(|_| refuse()),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(subject) => subject.fmt(f),
            Self::Role(name) => f.pad(&format!("role:{name}")),
            Self::Group(name) => f.pad(&format!("group:{name}")),
            Self::Address(address) => address.fmt(f),
            Self::Domain(name) => f.pad(name),
            Self::Stream(name) => f.pad(&format!("stream:{name}")),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permit => "permit",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for PolicyTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, {}: {}", self.from, self.to, self.service, self.expect)
    }
}

impl fmt::Display for TestOutcome<'_> {
    /// `user:anna to device:crm-1, web: permit – passed`, or what came out instead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed {
            return write!(f, "{} – passed", self.test);
        }
        write!(f, "{} – FAILED: {}", self.test, self.flow)?;
        // A group is tried as each of its members: say as which.
        for (word, party, set) in [("from", &self.test.from, &self.from), ("to", &self.test.to, &self.to)] {
            if matches!(party, Party::Group(_)) {
                let names: Vec<&str> = set.iter().map(Name::as_str).collect();
                write!(f, " {word} a member of {}", names.join(" + "))?;
            }
        }
        write!(f, " is {}", self.decision)
    }
}

impl Policy {
    /// The groups or externals that a party of a test is in. For a group: those of somebody of whom nothing else is known.
    pub fn members_of(&self, party: &Party) -> MemberSet {
        match party {
            Party::Subject(subject) => self.groups_of(&Identity::plain(subject.clone())),
            Party::Role(role) => self.upwards(self.listing(&Member::Role(role.clone()))),
            Party::Group(name) => self.upwards(MemberSet::from([name.clone()])),
            Party::Address(address) => self.named_by(*address),
            Party::Domain(name) => self.externals_of_name(name),
            Party::Stream(name) => MemberSet::from([name.clone()]),
        }
    }

    /// Runs the tests of this policy, in the order of the file, as at the time `now`.
    pub fn run_tests(&self, now: Wall) -> Vec<TestOutcome<'_>> {
        let mut everybody = Everybody::new(self);
        self.tests.iter().map(|test| self.run_test(test, &mut everybody, now)).collect()
    }

    fn run_test<'a>(&self, test: &'a PolicyTest, everybody: &mut Everybody<'_>, now: Wall) -> TestOutcome<'a> {
        let (sources, destinations) = (everybody.sets(&test.from), everybody.sets(&test.to));
        let mut first = None;
        for (from, to) in sources.iter().flat_map(|from| destinations.iter().map(move |to| (from, to))) {
            for flow in self.probes(test, from, to) {
                let decision = self.decide_enforced(from, to, flow, now);
                let passed = decision.is_permit() == (test.expect == Expect::Permit);
                let outcome = || TestOutcome { test, from: from.clone(), to: to.clone(), flow, decision, passed };
                if !passed {
                    return outcome();
                }
                if first.is_none() {
                    first = Some(outcome());
                }
            }
        }
        // A checked test covers something; one that covers nothing has shown nothing.
        first.unwrap_or_else(|| TestOutcome {
            test,
            from: MemberSet::new(),
            to: MemberSet::new(),
            flow: Flow::PING,
            decision: Decision::Deny { reason: DenyReason::NoPermit },
            passed: false,
        })
    }

    /// Connections that stand for all that a test's service covers: the answer can change only where a term of a permit
    /// between the two begins or ends, so it is enough to try these ports.
    fn probes(&self, test: &PolicyTest, from: &MemberSet, to: &MemberSet) -> Vec<Flow> {
        let edges: Vec<ServiceTerm> = self.permits_between(from, to).flat_map(|p| p.terms.iter().copied()).collect();
        let mut probes = Vec::new();
        for term in &test.terms {
            let protocols: Vec<IpProtocol> = match term.protocol {
                Some(protocol) => vec![protocol],
                // 255 is reserved (IANA), so only `any` speaks of it: it stands for all protocols nobody names.
                None => edges.iter().filter_map(|e| e.protocol).chain([IpProtocol(255)]).collect(),
            };
            for protocol in protocols {
                let ports = ports_of(protocol, term.ports);
                let near = edges.iter().filter(|e| e.protocol.is_none_or(|p| p == protocol));
                let starts = near.flat_map(|e| [Some(e.ports.first()), e.ports.last().checked_add(1)]).flatten();
                let inside = starts.filter(|port| ports.contains(*port));
                probes.extend(std::iter::once(ports.first()).chain(inside).map(|port| Flow { protocol, port }));
            }
        }
        // Stable: the service's own first port stays first, as the one that is reported when all is well.
        let mut seen = BTreeSet::new();
        probes.retain(|flow| seen.insert(*flow));
        probes
    }
}

/// The ports that connections of a protocol can have, within a range.
fn ports_of(protocol: IpProtocol, ports: PortRange) -> PortRange {
    let highest = match protocol {
        IpProtocol::ICMP | IpProtocol::ICMPV6 => 255,
        p if p.has_ports() => u16::MAX,
        _ => 0,
    };
    PortRange::new(ports.first(), ports.last().min(highest)).unwrap_or(ports)
}

/// Everybody whom the policy mentions, as the sets of groups they are in.
///
/// Without this, a test of a group would say nothing about what its members may do by way of other groups, or of the
/// groups nested in it: it would pass for the wrong reason.
struct Everybody<'p> {
    policy: &'p Policy,
    /// For each location of any group one place that fits it and, where it has stars, no narrower one. Made when needed.
    places: Option<Vec<(PlacePath, MemberSet)>>,
    groups: BTreeMap<Name, BTreeSet<MemberSet>>,
}

impl<'p> Everybody<'p> {
    fn new(policy: &'p Policy) -> Self {
        Self { policy, places: None, groups: BTreeMap::new() }
    }

    /// The sets that a party may have; at least one.
    fn sets(&mut self, party: &Party) -> BTreeSet<MemberSet> {
        let Party::Group(name) = party else { return BTreeSet::from([self.policy.members_of(party)]) };
        if let Some(sets) = self.groups.get(name) {
            return sets.clone();
        }
        let mut sets = BTreeSet::new();
        let mut seen = BTreeSet::from([name]);
        let mut todo = vec![name];
        while let Some(group) = todo.pop() {
            sets.insert(self.policy.members_of(&Party::Group(group.clone())));
            for member in self.policy.groups.get(group).into_iter().flat_map(|g| &g.members) {
                let party = match member {
                    Member::User(user) => Party::Subject(Subject::User(user.clone())),
                    Member::Device(device) => Party::Subject(Subject::Device(device.clone())),
                    Member::Role(role) => Party::Role(role.clone()),
                    Member::Location(pattern) => {
                        sets.extend(self.at(pattern));
                        continue;
                    }
                    Member::Group(nested) => {
                        if seen.insert(nested) {
                            todo.push(nested);
                        }
                        continue;
                    }
                };
                sets.insert(self.policy.members_of(&party));
            }
        }
        self.groups.insert(name.clone(), sets.clone());
        sets
    }

    /// The sets of what may be at a place that fits.
    fn at(&mut self, pattern: &PlacePattern) -> Vec<MemberSet> {
        let policy = self.policy;
        let groups_of = |place: PlacePath| policy.groups_of(&Identity::plain(Subject::Location(place)));
        if !has_star(pattern) {
            return pattern.to_string().parse().map(groups_of).into_iter().collect();
        }
        let places = self.places.get_or_insert_with(|| {
            let members = policy.groups.values().flat_map(|group| &group.members);
            let patterns = members.filter_map(|m| if let Member::Location(pattern) = m { Some(pattern) } else { None });
            let samples: BTreeSet<PlacePath> = patterns.filter_map(sample).collect();
            samples.into_iter().map(|place| (place.clone(), groups_of(place))).collect()
        });
        places.iter().filter(|(place, _)| pattern.matches(place)).map(|(_, set)| set.clone()).collect()
    }
}

/// A place that fits a pattern, with a name where the pattern has a star.
fn sample(pattern: &PlacePattern) -> Option<PlacePath> {
    pattern.to_string().replace('*', "some-other-one").parse().ok()
}
