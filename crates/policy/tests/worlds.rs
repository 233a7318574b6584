//! The policy against an evaluator that is even more naive: it knows no index, no merging and no resolved services, and
//! works on the description from which the file was written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use common::{NOW, checked};
use fseg_model::{Flow, Identity, IpProtocol, MemberSet, Name, ServiceTerm};
use fseg_policy::{Decision, DenyReason, Expect, Policy};
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

/// A policy as the tests think of it. Groups are `g0`, `g1`…, services `s0`…, externals `x0`…, permits `p0`….
#[derive(Debug, Clone, Default)]
struct World {
    groups: Vec<Vec<Who>>,
    /// Terms, and other services by a lower number.
    services: Vec<(Vec<String>, Vec<usize>)>,
    externals: Vec<Vec<Ipv4Net>>,
    permits: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq)]
enum Who {
    User(u8),
    Device(u8),
    Role(u8),
    /// Switch and port; `None` is `*`.
    Place(Option<u8>, Option<u8>),
    /// A group with a lower number, so that there is no cycle.
    Group(usize),
}

#[derive(Debug, Clone)]
struct Rule {
    from: Vec<Side>,
    to: Vec<Side>,
    services: Vec<usize>,
    terms: Vec<String>,
    expired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Group(usize),
    External(usize),
}

/// An identity as the tests think of it.
#[derive(Debug, Clone)]
struct Someone {
    subject: Who,
    roles: Vec<u8>,
}

impl Someone {
    fn identity(&self) -> Identity {
        let subject = match &self.subject {
            Who::User(n) => format!("user:u{n}"),
            Who::Device(n) => format!("device:d{n}"),
            Who::Place(Some(switch), Some(port)) => format!("location:site/sw{switch}/{port}"),
            other => panic!("{other:?} is nobody"),
        };
        let roles = self.roles.iter().map(|n| format!("r{n}").parse().unwrap()).collect();
        Identity { subject: subject.parse().unwrap(), roles }
    }
}

impl World {
    fn text(&self) -> String {
        let mut out = String::from("groups:\n");
        for (n, members) in self.groups.iter().enumerate() {
            let members: Vec<String> = members.iter().map(Who::text).collect();
            writeln!(out, "  g{n}: {{ members: [{}] }}", members.join(", ")).unwrap();
        }
        out += "services:\n";
        for (n, (terms, others)) in self.services.iter().enumerate() {
            let all: Vec<String> = terms.iter().cloned().chain(others.iter().map(|o| format!("s{o}"))).collect();
            writeln!(out, "  s{n}: [{}]", all.join(", ")).unwrap();
        }
        out += "externals:\n";
        for (n, prefixes) in self.externals.iter().enumerate() {
            let all: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
            writeln!(out, "  x{n}: {{ cidr: [{}] }}", all.join(", ")).unwrap();
        }
        out += if self.permits.is_empty() { "permits: []\n" } else { "permits:\n" };
        for (n, rule) in self.permits.iter().enumerate() {
            let side = |sides: &[Side]| sides.iter().map(|s| name_of(*s).to_string()).collect::<Vec<_>>().join(", ");
            let services = rule.services.iter().map(|s| format!("s{s}")).chain(rule.terms.iter().cloned());
            let expires = if rule.expired { "2026-11-19" } else { "2026-11-20" };
            writeln!(
                out,
                "  - {{ id: p{n}, from: [{}], to: [{}], services: [{}], expires: {expires} }}",
                side(&rule.from),
                side(&rule.to),
                services.collect::<Vec<_>>().join(", ")
            )
            .unwrap();
        }
        out
    }

    fn policy(&self) -> Policy {
        let text = self.text();
        let result = checked(&text);
        result.policy.unwrap_or_else(|| panic!("{text}\n{:#?}", result.diagnostics))
    }

    /// By following every nested group anew.
    fn is_in(&self, who: &Someone, group: usize) -> bool {
        self.groups[group].iter().any(|member| match (member, &who.subject) {
            (Who::Role(role), _) => who.roles.contains(role),
            (Who::Group(inner), _) => self.is_in(who, *inner),
            (Who::Place(a, b), Who::Place(x, y)) => (a.is_none() || a == x) && (b.is_none() || b == y),
            (Who::Place(..), _) | (_, Who::Place(..)) => false,
            (member, subject) => member == subject,
        })
    }

    fn sides_of(&self, who: &Someone) -> Vec<Side> {
        (0..self.groups.len()).filter(|g| self.is_in(who, *g)).map(Side::Group).collect()
    }

    /// By trying every length from the longest.
    fn sides_of_address(&self, address: Ipv4Addr) -> Vec<Side> {
        for length in (0..=32).rev() {
            let prefix = Ipv4Net::new(address, length).unwrap().trunc();
            let found: Vec<Side> = (0..self.externals.len())
                .filter(|x| self.externals[*x].contains(&prefix))
                .map(Side::External)
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    fn service_covers(&self, service: usize, flow: Flow) -> bool {
        let (terms, others) = &self.services[service];
        covers(terms, flow) || others.iter().any(|o| self.service_covers(*o, flow))
    }

    fn permits(&self, from: &[Side], to: &[Side], flow: Flow) -> Option<usize> {
        self.permits.iter().position(|rule| {
            !rule.expired
                && rule.from.iter().any(|s| from.contains(s))
                && rule.to.iter().any(|s| to.contains(s))
                && (covers(&rule.terms, flow) || rule.services.iter().any(|s| self.service_covers(*s, flow)))
        })
    }
}

fn covers(terms: &[String], flow: Flow) -> bool {
    terms.iter().any(|t| t.parse::<ServiceTerm>().unwrap().covers(flow))
}

fn name_of(side: Side) -> Name {
    match side {
        Side::Group(n) => format!("g{n}"),
        Side::External(n) => format!("x{n}"),
    }
    .parse()
    .unwrap()
}

fn names(sides: &[Side]) -> MemberSet {
    sides.iter().map(|s| name_of(*s)).collect()
}

impl Who {
    fn text(&self) -> String {
        let star = |n: &Option<u8>, before: &str| n.map_or("*".to_owned(), |n| format!("{before}{n}"));
        match self {
            Self::User(n) => format!("user:u{n}"),
            Self::Device(n) => format!("device:d{n}"),
            Self::Role(n) => format!("role:r{n}"),
            Self::Place(a, b) => format!("\"location:site/{}/{}\"", star(a, "sw"), star(b, "")),
            Self::Group(n) => format!("group:g{n}"),
        }
    }
}

/// The answer must be right, and a denial must say the truth.
fn agree(world: &World, policy: &Policy, from: &[Side], to: &[Side], flow: Flow) {
    let decision = policy.decide(&names(from), &names(to), flow, NOW);
    match (&decision, world.permits(from, to, flow)) {
        (Decision::Permit { id }, Some(rule)) => assert_eq!(id.as_str(), format!("p{rule}")),
        (Decision::Deny { reason }, None) => {
            let told_true = match reason {
                DenyReason::SourceInNoGroup => from.is_empty(),
                DenyReason::DestinationInNoGroup => to.is_empty(),
                DenyReason::Expired { permits } => {
                    !permits.is_empty() && permits.iter().all(|p| world.permits[number(p)].expired)
                }
                DenyReason::ServiceNotPermitted { permits } => {
                    !permits.is_empty() && permits.iter().all(|p| !world.permits[number(p)].expired)
                }
                DenyReason::NotStarted { permits } => panic!("nothing starts later here: {permits:?}"),
                DenyReason::NoPermit => true,
            };
            assert!(told_true, "{decision} is not the reason\n{}", world.text());
        }
        (_, expected) => panic!("{from:?} to {to:?}, {flow}: {decision}, expected {expected:?}\n{}", world.text()),
    }
}

fn number(name: &Name) -> usize {
    name.as_str()[1..].parse().unwrap()
}

fn flows() -> Vec<Flow> {
    let mut flows: Vec<Flow> = [0, 79, 80, 81, 90, 99, 100, 443, 65535].map(Flow::tcp).to_vec();
    flows.extend([Flow::udp(53), Flow::udp(80), Flow::PING, Flow { protocol: IpProtocol(47), port: 0 }]);
    flows
}

/// Two groups, every subset of member kinds in each, with and without nesting, every permit between them: all answers.
#[test]
fn every_small_world_is_answered_rightly() {
    let kinds = [Who::User(0), Who::Role(0), Who::Place(Some(0), None)];
    let subset =
        |bits: usize| kinds.iter().enumerate().filter(move |(i, _)| bits >> i & 1 == 1).map(|(_, w)| w.clone());
    let mut people = Vec::new();
    for subject in
        [Who::User(0), Who::User(1), Who::Device(0), Who::Place(Some(0), Some(7)), Who::Place(Some(1), Some(7))]
    {
        for roles in [vec![], vec![0], vec![1]] {
            people.push(Someone { subject: subject.clone(), roles });
        }
    }
    let (mut worlds, mut permitted, mut denied) = (0, 0, 0);
    for (first, second, nested) in (0..8).flat_map(|a| (0..8).flat_map(move |b| [(a, b, false), (a, b, true)])) {
        let mut groups = vec![subset(first).collect::<Vec<_>>(), subset(second).collect()];
        groups[1].extend(nested.then_some(Who::Group(0)));
        for (from, to, expired) in [(0, 0, false), (0, 1, false), (1, 0, false), (1, 1, false), (0, 1, true)] {
            let rule = Rule {
                from: vec![Side::Group(from)],
                to: vec![Side::Group(to)],
                services: vec![],
                terms: vec!["tcp/80".into()],
                expired,
            };
            let world = World { groups: groups.clone(), permits: vec![rule], ..World::default() };
            let policy = world.policy();
            worlds += 1;
            for source in &people {
                let from = world.sides_of(source);
                assert_eq!(policy.groups_of(&source.identity()), names(&from), "{source:?}\n{}", world.text());
                for destination in &people {
                    let to = world.sides_of(destination);
                    for flow in [Flow::tcp(80), Flow::tcp(81), Flow::udp(80)] {
                        agree(&world, &policy, &from, &to, flow);
                        *(if world.permits(&from, &to, flow).is_some() { &mut permitted } else { &mut denied }) += 1;
                    }
                }
            }
        }
    }
    assert_eq!(worlds, 640);
    assert!(permitted > 10_000 && denied > 10_000, "{permitted} permitted, {denied} denied");
}

fn who(groups_below: usize) -> impl Strategy<Value = Who> {
    let part = || proptest::option::of(0_u8..3);
    let leaf = prop_oneof![
        (0_u8..4).prop_map(Who::User),
        (0_u8..4).prop_map(Who::Device),
        (0_u8..3).prop_map(Who::Role),
        (part(), part()).prop_map(|(a, b)| Who::Place(a, b)),
    ];
    if groups_below == 0 {
        leaf.boxed()
    } else {
        prop_oneof![3 => leaf, 1 => (0..groups_below).prop_map(Who::Group)].boxed()
    }
}

fn term() -> impl Strategy<Value = String> {
    let words = [
        "any",
        "tcp/80",
        "tcp/80-90",
        "tcp/81-100",
        "tcp/443",
        "tcp/0-79",
        "udp/53",
        "udp/0-65535",
        "icmp/echo",
        "icmp",
        "ip/47",
    ];
    // `any` is rare: it makes everything else irrelevant.
    (0_usize..60).prop_map(move |n| words[if n == 0 { 0 } else { 1 + n % 10 }].to_owned())
}

fn world() -> impl Strategy<Value = World> {
    let groups: Vec<_> = (0..5).map(|n| proptest::collection::vec(who(n), 0..4)).collect();
    let services: Vec<_> = (0..3_usize)
        .map(|n| (proptest::collection::vec(term(), 1..3), proptest::collection::vec(0..n.max(1), 0..=n.min(2))))
        .collect();
    let prefix = (0_u32..8, 0_u8..=4).prop_map(|(bits, more)| {
        let address = Ipv4Addr::from(0xc000_0200 | bits << 5);
        Ipv4Net::new(address, if more == 0 { 0 } else { 24 + more }).unwrap().trunc()
    });
    let externals = proptest::collection::vec(proptest::collection::vec(prefix, 1..4), 3);
    let side = || {
        let one = prop_oneof![3 => (0_usize..5).prop_map(Side::Group), 1 => (0_usize..3).prop_map(Side::External)];
        proptest::collection::vec(one, 1..3)
    };
    let list = (proptest::collection::vec(0_usize..3, 0..2), proptest::collection::vec(term(), 1..3));
    let rule = (side(), side(), list, proptest::bool::weighted(0.2))
        .prop_map(|(from, to, (services, terms), expired)| Rule { from, to, services, terms, expired });
    (groups, services, externals, proptest::collection::vec(rule, 0..6))
        .prop_map(|(groups, services, externals, permits)| World { groups, services, externals, permits })
}

fn someone() -> impl Strategy<Value = Someone> {
    let subject = prop_oneof![
        (0_u8..4).prop_map(Who::User),
        (0_u8..4).prop_map(Who::Device),
        (0_u8..3, 0_u8..3).prop_map(|(a, b)| Who::Place(Some(a), Some(b))),
    ];
    (subject, proptest::collection::vec(0_u8..3, 0..2)).prop_map(|(subject, roles)| Someone { subject, roles })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_worlds_are_answered_rightly(
        world in world(),
        people in proptest::collection::vec(someone(), 4),
        hosts in proptest::collection::vec(0_u32..320, 4),
    ) {
        let policy = world.policy();
        let mut parties: Vec<Vec<Side>> = Vec::new();
        for person in &people {
            let sides = world.sides_of(person);
            prop_assert_eq!(policy.groups_of(&person.identity()), names(&sides));
            parties.push(sides);
        }
        for host in hosts {
            let address = Ipv4Addr::from(0xc000_0200 + host);
            let sides = world.sides_of_address(address);
            prop_assert_eq!(policy.externals_of(IpAddr::V4(address)), names(&sides));
            // The same answer by way of the table of prefixes.
            let table = policy.external_prefixes();
            let longest = table.iter().filter(|(p, _)| p.contains(&IpAddr::V4(address))).max_by_key(|(p, _)| p.prefix_len());
            prop_assert_eq!(longest.map(|(_, set)| set.clone()).unwrap_or_default(), names(&sides));
            parties.push(sides);
        }
        for from in &parties {
            for to in &parties {
                flows().into_iter().for_each(|flow| agree(&world, &policy, from, to, flow));
            }
        }
        prop_assert!(policy.diff(&policy.clone()).is_empty());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// A test in the file passes exactly when trying every single port says so.
    #[test]
    fn tests_in_the_file_speak_for_every_port(
        terms in proptest::collection::vec(term(), 1..4),
        tested in term(),
        permit in any::<bool>(),
    ) {
        let expect = if permit { Expect::Permit } else { Expect::Deny };
        let text = format!(
            "groups: {{ a: {{ members: [user:x] }} }}\npermits:\n  - {{ id: p, from: a, to: a, services: [{}] }}\n\
             tests:\n  - {{ from: user:x, to: user:x, service: {tested}, expect: {expect} }}\n",
            terms.join(", ")
        );
        let policy = checked(&text).policy.unwrap();
        let tested: ServiceTerm = tested.parse().unwrap();
        let answers: BTreeSet<bool> = every_flow().filter(|f| tested.covers(*f)).map(|f| covers(&terms, f)).collect();
        let outcomes = policy.run_tests(NOW);
        prop_assert_eq!(outcomes[0].passed, answers == BTreeSet::from([permit]), "{}", text);
        prop_assert!(tested.covers(outcomes[0].flow));
    }
}

/// Every connection of five protocols, one of which nobody names.
fn every_flow() -> impl Iterator<Item = Flow> {
    let with = |protocol, last| (0..=last).map(move |port| Flow { protocol, port });
    with(IpProtocol::TCP, u16::MAX)
        .chain(with(IpProtocol::UDP, u16::MAX))
        .chain(with(IpProtocol::ICMP, 255))
        .chain(with(IpProtocol(47), 0))
        .chain(with(IpProtocol(89), 0))
}

#[test]
fn equal_prefixes_of_two_externals_count_for_both() {
    let text = "externals:\n  a: { cidr: [192.0.2.0/24] }\n  b: { cidr: [192.0.2.0/24, 192.0.2.128/25, \"2001:db8::/32\"] }\n  c: { cidr: 0.0.0.0/0 }\n";
    let policy = checked(text).policy.unwrap();
    let of = |address: &str| {
        policy.externals_of(address.parse().unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("192.0.2.1"), "a b");
    assert_eq!(of("192.0.2.129"), "b");
    assert_eq!(of("198.51.100.1"), "c");
    assert_eq!(of("2001:db8::1"), "b");
    assert_eq!(of("2001:db9::1"), "");
    let prefix: IpNet = "192.0.2.0/24".parse().unwrap();
    assert_eq!(policy.external_prefixes()[&prefix].len(), 2);
    assert_eq!(policy.external_prefixes().len(), 4);
}
