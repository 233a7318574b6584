//! Gains and losses against the reference answer: every pair, every connection.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod common;

use std::collections::BTreeSet;

use common::{NOW, checked};
use fseg_model::{Flow, IpProtocol, MemberSet};
use fseg_policy::{Decision, PartyKind, Policy, Services, reach_changes};
use proptest::prelude::*;

/// Members of groups `g0`…, permits, whether the network or `g0` is observed.
#[derive(Debug, Clone)]
struct World {
    members: Vec<Vec<u8>>,
    /// From, to, terms, when (0 expired, 1 in force, 2 not started), on trial.
    permits: Vec<(usize, usize, Vec<String>, u8, bool)>,
    observe: u8,
}

const GROUPS: usize = 4;
const PEOPLE: u8 = 6;

fn policy(world: &World) -> Policy {
    let mut text = String::new();
    match world.observe {
        1 => text += "mode: observe\n",
        2 => text += "observe: [g0]\n",
        _ => {}
    }
    text += "groups:\n";
    for (n, members) in world.members.iter().enumerate() {
        let members: Vec<String> = members.iter().map(|m| format!("user:u{m}")).collect();
        text += &format!("  g{n}: {{ members: [{}] }}\n", members.join(", "));
    }
    text += "permits:\n  - { id: last, from: g3, to: g3, services: [sctp/1] }\n";
    for (n, (from, to, terms, when, trial)) in world.permits.iter().enumerate() {
        let time = ["expires: 2026-11-19", "expires: 2026-11-20", "starts: 2026-11-21"][usize::from(*when)];
        let mode = if *trial { "observe" } else { "enforce" };
        text += &format!(
            "  - {{ id: p{n}, from: g{from}, to: g{to}, services: [{}], {time}, mode: {mode} }}\n",
            terms.join(", ")
        );
    }
    checked(&text).policy.unwrap_or_else(|| panic!("{text}\n{:?}", checked(&text).diagnostics))
}

fn world() -> impl Strategy<Value = World> {
    let term = prop_oneof![
        Just("any".to_owned()),
        (0_u16..8, 0_u16..4).prop_map(|(a, n)| format!("tcp/{a}-{}", a + n)),
        (0_u16..8).prop_map(|a| format!("udp/{a}")),
        Just("icmp".to_owned()),
        Just("ip/47".to_owned()),
    ];
    let permit = (0..GROUPS, 0..GROUPS, prop::collection::vec(term, 1..3), 0_u8..3, any::<bool>());
    let members = prop::collection::vec(prop::collection::vec(0..PEOPLE, 0..4), GROUPS);
    (members, prop::collection::vec(permit, 0..6), prop_oneof![4 => Just(0_u8), 1 => Just(1), 1 => Just(2)])
        .prop_map(|(members, permits, observe)| World { members, permits, observe })
}

fn sets(policy: &Policy, person: u8) -> MemberSet {
    let who = fseg_model::Identity::plain(format!("user:u{person}").parse().unwrap());
    policy.groups_of(&who)
}

fn flows() -> Vec<Flow> {
    let ports = (0..12).flat_map(|p| [Flow::tcp(p), Flow::udp(p)]);
    ports
        .chain([Flow::PING, Flow { protocol: IpProtocol(47), port: 0 }, Flow { protocol: IpProtocol(99), port: 0 }])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn gains_and_losses_are_what_decide_says(old in world(), new in world(), keep in any::<bool>()) {
        // Half of the time the policies share their permits, as versions of one policy do.
        let new = if keep { World { permits: old.permits.clone(), ..new } } else { new };
        let (before, after) = (policy(&old), policy(&new));
        let mut kinds: Vec<PartyKind> = Vec::new();
        for person in 0..PEOPLE {
            let kind = PartyKind { before: sets(&before, person), after: sets(&after, person), ..PartyKind::default() };
            let name = person.to_string();
            match kinds.iter_mut().find(|k| k.before == kind.before && k.after == kind.after) {
                Some(known) => known.parties.push(name),
                None => kinds.push(PartyKind { parties: vec![name], ..kind }),
            }
        }
        let (changes, complete) = reach_changes(&before, &after, &kinds, NOW, usize::MAX);
        prop_assert!(complete);
        let kind_of = |person: u8| kinds.iter().position(|k| k.parties.contains(&person.to_string())).unwrap();
        for from in 0..PEOPLE {
            for to in (0..PEOPLE).filter(|to| *to != from) {
                let change = changes.iter().find(|c| (c.from, c.to) == (kind_of(from), kind_of(to)));
                for flow in flows() {
                    let was = before.decide(&sets(&before, from), &sets(&before, to), flow, NOW).is_permit();
                    let is = after.decide(&sets(&after, from), &sets(&after, to), flow, NOW).is_permit();
                    let gained = change.is_some_and(|c| c.gained.covers(flow));
                    let lost = change.is_some_and(|c| c.lost.covers(flow));
                    prop_assert_eq!((gained, lost), (is && !was, was && !is), "u{} to u{}, {}", from, to, flow);
                }
            }
        }
    }

    /// What observing lets pass is exactly what enforcing denies, and it says why.
    #[test]
    fn observing_passes_what_enforcing_denies(world in world()) {
        let observed = policy(&World { observe: 1, ..world.clone() });
        let enforced = policy(&World { observe: 0, ..world });
        for (from, to) in (0..PEOPLE).flat_map(|f| (0..PEOPLE).map(move |t| (f, t))) {
            let (f, t) = (sets(&observed, from), sets(&observed, to));
            for flow in flows() {
                let shown = observed.decide(&f, &t, flow, NOW);
                prop_assert!(shown.is_permit());
                match enforced.decide(&f, &t, flow, NOW) {
                    Decision::Deny { reason } => {
                        prop_assert_eq!(shown, Decision::Observe { permit: None, reason });
                    }
                    other => prop_assert_eq!(shown, other),
                }
            }
        }
    }
}

#[test]
fn services_are_named_as_the_policy_names_them() {
    let policy = checked(
        "
services: { web: [tcp/80, tcp/443], all-web: [web, tcp/8080], ssh: [tcp/22] }
groups: { a: { members: [user:a] }, b: { members: [user:b, group:a] } }
permits: [{ id: p, from: a, to: b, services: [all-web, ssh] }]
",
    )
    .policy
    .unwrap();
    let names = |terms: &[&str], all_but| {
        let terms: Vec<_> = terms.iter().map(|t| t.parse().unwrap()).collect();
        policy.service_names(&Services { all_but, terms: fseg_policy::merge_terms(terms) })
    };
    assert_eq!(names(&["tcp/80", "tcp/443", "udp/1"], false), ["web", "udp/1"]);
    assert_eq!(names(&["tcp/80", "tcp/443", "tcp/8080"], false), ["all-web"]);
    assert_eq!(names(&["tcp/80"], false), ["tcp/80"]);
    assert_eq!(names(&[], true), ["any"]);
    assert_eq!(names(&["tcp/22"], true), ["any but ssh"]);
    let set: MemberSet = BTreeSet::from(["a".parse().unwrap(), "b".parse().unwrap()]);
    assert_eq!(policy.leaf_groups(&set), ["a".parse().unwrap()]);
}

#[test]
fn pairs_are_bounded() {
    let group = |n: usize| -> MemberSet { [format!("g{n}").parse().unwrap()].into() };
    let world = World { members: vec![vec![0], vec![1], vec![2], vec![3]], permits: vec![], observe: 0 };
    let (old, new) = (policy(&world), policy(&World { observe: 1, ..world.clone() }));
    let kinds: Vec<PartyKind> = (0..4)
        .map(|n| PartyKind { before: group(n), after: group(n), outside: false, parties: vec![n.to_string()] })
        .collect();
    let (changes, complete) = reach_changes(&old, &new, &kinds, NOW, 5);
    assert_eq!((changes.len(), complete), (5, false));
    assert_eq!(reach_changes(&old, &new, &kinds, NOW, 100).0.len(), 12);
}
