//! What is compiled permits exactly what `Policy::decide` permits: every small policy, then random larger ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod site;

use fseg_model::{Flow, IpProtocol};
use fseg_pipeline::rows::{PermitShape, shape};
use proptest::prelude::*;
use site::{Host, SW1, SW2, Site, at};

const FLOWS: [Flow; 4] = [
    Flow { protocol: IpProtocol::TCP, port: 80 },
    Flow { protocol: IpProtocol::UDP, port: 80 },
    Flow::PING,
    Flow { protocol: IpProtocol(47), port: 0 },
];

/// Groups without members of their own: the tests say which endpoint is in which.
fn groups(names: &[&str]) -> String {
    let list: Vec<_> = names.iter().map(|n| format!("  {n}: {{ members: [] }}\n")).collect();
    format!("groups:\n{}", list.concat())
}

fn permits(list: &[(String, String, String)]) -> String {
    if list.is_empty() {
        return "permits: []\n".into();
    }
    let lines: Vec<_> = list
        .iter()
        .enumerate()
        .map(|(n, (from, to, service))| {
            format!("  - {{ id: p{n}, from: [{from}], to: [{to}], services: [{service}] }}\n")
        })
        .collect();
    format!("permits:\n{}", lines.concat())
}

/// Every set of statements over the given sources, destinations and services, one policy for each.
fn every_policy(head: &str, names: &[&str], services: &[&str]) -> Vec<String> {
    let mut statements = Vec::new();
    for from in names {
        for to in names {
            for service in services {
                statements.push(((*from).to_owned(), (*to).to_owned(), (*service).to_owned()));
            }
        }
    }
    (0..1_usize << statements.len())
        .map(|chosen| {
            let some: Vec<_> =
                statements.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, s)| s.clone()).collect();
            format!("{head}{}", permits(&some))
        })
        .collect()
}

#[test]
fn every_policy_of_two_groups_and_two_services() {
    let hosts = vec![
        Host::inside(1, at(SW1, 1), "a"),
        Host::inside(2, at(SW1, 2), "b"),
        Host::inside(3, at(SW2, 1), "a b"),
        Host::inside(4, at(SW1, 3), ""),
    ];
    let head = groups(&["a", "b"]);
    let mut site = Site::new(hosts, &format!("{head}permits: []\n"));
    let mut permitted = 0;
    for text in every_policy(&head, &["a", "b"], &["tcp/80", "icmp/echo"]) {
        site.apply(&text);
        permitted += site.check_all(&FLOWS[..3]);
    }
    assert!(permitted > 1000, "the test must see both answers, saw {permitted} permits");
}

#[test]
fn every_policy_of_three_groups() {
    let hosts = vec![
        Host::inside(1, at(SW1, 1), "a"),
        Host::inside(2, at(SW1, 2), "b"),
        Host::inside(3, at(SW2, 1), "c"),
        Host::inside(4, at(SW2, 2), "a c"),
    ];
    let head = groups(&["a", "b", "c"]);
    let mut site = Site::new(hosts, &format!("{head}permits: []\n"));
    let mut permitted = 0;
    for text in every_policy(&head, &["a", "b", "c"], &["udp/80"]) {
        site.apply(&text);
        permitted += site.check_all(&FLOWS[1..2]);
    }
    assert!(permitted > 2000, "saw {permitted} permits");
}

#[test]
fn every_policy_of_a_group_and_two_externals() {
    let head =
        format!("{}externals:\n  old: {{ cidr: [192.168.50.0/24] }}\n  net: {{ cidr: [0.0.0.0/0] }}\n", groups(&["a"]));
    let hosts =
        vec![Host::inside(1, at(SW1, 1), "a"), Host::inside(2, at(SW2, 2), ""), Host::legacy(7), Host::internet(9)];
    let mut site = Site::new(hosts, &format!("{head}permits: []\n"));
    let mut permitted = 0;
    for text in every_policy(&head, &["a", "old", "net"], &["tcp/80"]) {
        site.apply(&text);
        // From the Internet to inside nobody can even be addressed through the translation; by inner address it is
        // judged like any other.
        permitted += site.check_all(&FLOWS[..2]);
    }
    assert!(permitted > 500, "saw {permitted} permits");
}

#[test]
fn a_longer_prefix_is_another_external() {
    let head = format!(
        "{}externals:\n  all: {{ cidr: [198.51.100.0/24] }}\n  part: {{ cidr: [198.51.100.64/26] }}\n",
        groups(&["a"])
    );
    let text = format!("{head}permits:\n  - {{ id: p, from: a, to: all, services: [any] }}\n");
    let hosts = vec![Host::inside(1, at(SW1, 1), "a"), Host::internet(1), Host::internet(70), Host::internet(200)];
    let mut site = Site::new(hosts, &text);
    assert!(site.decide(0, 1, FLOWS[0]) && !site.decide(0, 2, FLOWS[0]) && site.decide(0, 3, FLOWS[0]));
    site.check_all(&FLOWS);
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn services() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "tcp/80",
        "tcp/1-1023",
        "udp/80",
        "icmp/echo",
        "icmp",
        "any",
        "tcp/79-81",
        "ip/47",
        "udp/5000-5100",
    ])
}

fn some_names() -> impl Strategy<Value = String> {
    prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_map(|v| v.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Many classes on both sides force conjunctions.
    #[test]
    fn random_policies(
        statements in prop::collection::vec((some_names(), some_names(), services()), 0..8),
        sets in prop::collection::vec(prop::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len()), 4..9),
        stranger in any::<bool>(),
        flows in prop::collection::vec(prop::sample::select(vec![
            Flow::tcp(80), Flow::tcp(1023), Flow::tcp(1024), Flow::udp(80), Flow::udp(5100), Flow::udp(5101), Flow::PING,
            Flow { protocol: IpProtocol(47), port: 0 }, Flow { protocol: IpProtocol(132), port: 80 },
        ]), 2),
    ) {
        let list: Vec<_> = statements.into_iter().map(|(a, b, s)| (a, b, s.to_owned())).collect();
        let hosts = sets.iter().enumerate().map(|(n, set)| {
            let n = n as u8;
            let place = at(if n.is_multiple_of(2) { SW1 } else { SW2 }, u32::from(n) / 2 + 1);
            if stranger && n == 0 { Host::stranger(1, place) } else { Host::inside(n + 1, place, &set.join(" ")) }
        });
        let mut site = Site::new(hosts.collect(), &format!("{}{}", groups(&NAMES), permits(&list)));
        site.check_all(&flows);
    }
}

#[test]
fn a_policy_with_conjunctions_permits_exactly_what_it_says() {
    // Ten classes, two services with several masks each: far beyond what a product is used for.
    let hosts: Vec<_> = (1..=10_u8)
        .map(|n| {
            let set: Vec<_> = NAMES.iter().enumerate().filter(|(i, _)| n >> i & 1 == 1).map(|(_, g)| *g).collect();
            Host::inside(n, at(if n.is_multiple_of(2) { SW1 } else { SW2 }, u32::from(n) / 2 + 1), &set.join(" "))
        })
        .collect();
    let both = [
        ("a, b".to_owned(), "b, c".to_owned(), "tcp/80-90, udp/80".to_owned()),
        ("c, d".to_owned(), "a".to_owned(), "tcp/1000-1999, icmp".to_owned()),
    ];
    let mut site = Site::new(hosts, &format!("{}{}", groups(&NAMES), permits(&both)));
    for (n, permit) in site.policy.permits.clone().iter().enumerate() {
        let shape = shape(&site.permit_facts(n as u32 + 1, permit));
        assert!(matches!(shape, PermitShape::Conjunction(_)), "{}: {shape:?}", permit.id);
    }
    let permitted = site.check_all(&[Flow::tcp(80), Flow::tcp(91), Flow::udp(80), Flow::tcp(1999), Flow::PING]);
    assert!(permitted > 50, "saw {permitted} permits");
}

/// Two permits on trial whose numbers have the same rest, and which share their source classes: each keeps all its rows.
#[test]
fn conjunctions_on_trial_do_not_disturb_each_other() {
    let hosts = || -> Vec<_> {
        (1..=10_u8)
            .map(|n| {
                let set: Vec<_> = NAMES.iter().enumerate().filter(|(i, _)| n >> i & 1 == 1).map(|(_, g)| *g).collect();
                Host::inside(n, at(if n.is_multiple_of(2) { SW1 } else { SW2 }, u32::from(n) / 2 + 1), &set.join(" "))
            })
            .collect()
    };
    let both = [
        ("a, b".to_owned(), "b, c".to_owned(), "tcp/80-90, udp/80".to_owned()),
        ("a, b".to_owned(), "a, d".to_owned(), "tcp/80-90, tcp/1000-1999".to_owned()),
    ];
    let on_trial = permits(&both).replace("id:", "mode: observe, id:");
    let apart = u32::from(fseg_pipeline::rows::MOST_TRIALS);
    let mut site = Site::with_numbers_apart(hosts(), &format!("{}{on_trial}", groups(&NAMES)), apart);
    assert!(site.policy.permits.iter().all(|p| p.mode == fseg_policy::Mode::Observe));
    for (n, permit) in site.policy.permits.clone().iter().enumerate() {
        let facts = site.permit_facts(n as u32 * apart + 1, permit);
        assert!(facts.trial.is_some());
        assert!(matches!(shape(&facts), PermitShape::Conjunction(_)), "{}: {:?}", permit.id, shape(&facts));
    }
    let passing = site.check_all(&[Flow::tcp(80), Flow::tcp(91), Flow::udp(80), Flow::tcp(1999)]);
    assert!(passing > 50, "saw {passing} that pass");
}
