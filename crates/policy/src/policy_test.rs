//! Tests that stand in the policy itself.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use fseg_model::{Flow, Identity, IpProtocol, MemberSet, Name, PortRange, ServiceTerm, Subject, Wall};
use fseg_yaml::Span;
use thiserror::Error;

use crate::{Decision, Member, Policy};

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
    /// `group:NAME`: somebody in this group, and so in those that contain it.
    Group(Name),
    /// An address outside.
    Address(IpAddr),
}

/// The outcome of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome<'a> {
    /// The test.
    pub test: &'a PolicyTest,
    /// The connection that contradicts the expectation, or the first one tried.
    pub flow: Flow,
    /// What the policy says of it.
    pub decision: Decision,
    /// True when every connection came out as expected.
    pub passed: bool,
}

/// Text that is not a party of a test.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0} is not a party of a test (expected user:NAME, device:NAME, location:SITE/SWITCH/PORT, role:NAME, group:NAME or an IP address)"
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
            write!(f, "{} – passed", self.test)
        } else {
            write!(f, "{} – FAILED: {} is {}", self.test, self.flow, self.decision)
        }
    }
}

impl Policy {
    /// The groups or externals that a party of a test is in.
    pub fn members_of(&self, party: &Party) -> MemberSet {
        match party {
            Party::Subject(subject) => self.groups_of(&Identity::plain(subject.clone())),
            Party::Role(role) => self.upwards(self.listing(&Member::Role(role.clone()))),
            Party::Group(name) => self.upwards(MemberSet::from([name.clone()])),
            Party::Address(address) => self.externals_of(*address),
        }
    }

    /// Runs the tests of this policy, in the order of the file, as at the time `now`.
    pub fn run_tests(&self, now: Wall) -> Vec<TestOutcome<'_>> {
        self.tests.iter().map(|test| self.run_test(test, now)).collect()
    }

    fn run_test<'a>(&self, test: &'a PolicyTest, now: Wall) -> TestOutcome<'a> {
        let (from, to) = (self.members_of(&test.from), self.members_of(&test.to));
        let mut first = None;
        for flow in self.probes(test, &from, &to) {
            let decision = self.decide(&from, &to, flow, now);
            if decision.is_permit() != (test.expect == Expect::Permit) {
                return TestOutcome { test, flow, decision, passed: false };
            }
            first.get_or_insert((flow, decision));
        }
        // A checked test has at least one term and so one probe; a hand-made one without passes nothing.
        let passed = first.is_some();
        let (flow, decision) = first.unwrap_or_else(|| (Flow::PING, self.decide(&from, &to, Flow::PING, now)));
        TestOutcome { test, flow, decision, passed }
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
        let mut seen = std::collections::BTreeSet::new();
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
