//! Access switches that speak OpenFlow 1.3 only: what passes is what `Policy::decide` permits, and what looks like its
//! answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod site;

use fseg_model::{Dpid, Flow, IpProtocol};
use fseg_openflow::Field;
use fseg_openflow::table::{TableFeatures, TableProperty};
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::fabric::{REDIRECT_PORT, ROUTER_MAC};
use fseg_pipeline::rows::{MOST_ROWS, permit_rows_on};
use fseg_pipeline::{Capabilities, Cookie, Owner, Profile};
use fseg_test_kit::frames::{self, tcp_flags};
use fseg_test_kit::{Packet, dhcp};
use proptest::prelude::*;
use site::{Fate, Host, LOCAL, ROUTER, SW1, SW2, Site, at};

const OPEN: &str = "
groups:
  a: { members: [] }
  b: { members: [] }
externals:
  old: { cidr: [192.168.50.0/24] }
  net: { cidr: [0.0.0.0/0] }
permits:
  - { id: a-b, from: a, to: b, services: [tcp/80, udp/53, icmp/echo] }
  - { id: a-net, from: a, to: net, services: [tcp/444, icmp/echo] }
  - { id: old-a, from: old, to: a, services: [tcp/22] }
";

/// Switches that have all of OpenFlow 1.3, and switches that can neither write ARP fields nor meter.
fn kinds() -> [Capabilities; 2] {
    let tables: Vec<_> = (0..8)
        .map(|table| TableFeatures {
            table,
            metadata_match: u64::MAX >> 16,
            metadata_write: u64::MAX >> 16,
            max_entries: 4000,
            properties: vec![TableProperty::WriteSetField {
                miss: false,
                fields: vec![(Field::EthSrc, false), (Field::EthDst, false)],
            }],
            ..TableFeatures::default()
        })
        .collect();
    [Capabilities::default(), Capabilities::read(&tables, Some(0))]
}

fn both(can: &Capabilities) -> Vec<(Dpid, Capabilities)> {
    vec![(SW1, can.clone()), (SW2, can.clone())]
}

/// 0 and 1 on one switch, 2 on the other; 3 a stranger, 4 in no group; 5 legacy, 6 Internet.
fn hosts() -> Vec<Host> {
    vec![
        Host::inside(1, at(SW1, 1), "a"),
        Host::inside(2, at(SW1, 2), "b"),
        Host::inside(3, at(SW2, 1), "b"),
        Host::stranger(4, at(SW2, 2)),
        Host::inside(5, at(SW2, 3), ""),
        Host::legacy(9),
        Host::internet(10),
    ]
}

/// May this packet pass a switch without connections? If it asks for what is permitted, or looks like an answer to what the
/// other side may ask.
fn passes(site: &Site, from: usize, to: usize, flow: Flow, source_port: u16) -> bool {
    let asked = match flow.protocol {
        IpProtocol::TCP | IpProtocol::UDP => Some(Flow { port: source_port, ..flow }),
        IpProtocol::ICMP => [(0, 8), (14, 13), (16, 15), (18, 17)]
            .into_iter()
            .find(|(reply, _)| *reply == flow.port)
            .map(|(_, kind)| Flow { port: kind, ..flow })
            // All of ICMP is both ways.
            .or(Some(Flow { port: 200, ..flow })),
        _ => Some(flow),
    };
    site.decide(from, to, flow) || asked.is_some_and(|asked| site.decide(to, from, asked))
}

fn is_plain(site: &Site, host: usize) -> bool {
    site.fabric.switch(site.hosts[host].place.switch).unwrap().profile.plain().is_some()
}

/// Every connection from everybody to everybody: the first packet passes exactly if it may, and its answer comes back.
fn check_all(site: &mut Site, flows: &[Flow]) -> (usize, usize) {
    let (mut permitted, mut weaker) = (0, 0);
    for from in 0..site.hosts.len() {
        for to in (0..site.hosts.len()).filter(|to| *to != from) {
            if site.hosts[from].outside && site.hosts[to].outside {
                continue;
            }
            for flow in flows {
                let frame = site.first(from, to, *flow);
                let port = Packet::new(&frame, 0).get(if flow.protocol == IpProtocol::TCP {
                    Field::TcpSrc
                } else {
                    Field::UdpSrc
                });
                let exact = site.decide(from, to, *flow);
                // One switch with connections on the way is enough to tell a question from an answer.
                let weak = is_plain(site, from) && is_plain(site, to);
                let wanted = exact || weak && passes(site, from, to, *flow, port.unwrap_or(0) as u16);
                permitted += usize::from(exact);
                weaker += usize::from(wanted && !exact);
                site.check_one(from, to, *flow, wanted);
            }
        }
    }
    (permitted, weaker)
}

#[test]
fn everybody_and_everybody_with_plain_switches_and_mixed() {
    let flows = [
        Flow::tcp(80),
        Flow::tcp(22),
        Flow::tcp(444),
        Flow::udp(53),
        Flow::PING,
        Flow { protocol: IpProtocol(47), port: 0 },
    ];
    for can in kinds() {
        for plain in [both(&can), vec![(SW1, can.clone())], vec![(SW2, can.clone())]] {
            let mut site = Site::plain(&plain, hosts(), OPEN);
            let (permitted, weaker) = check_all(&mut site, &flows);
            // a→b twice three, a→net twice (Internet and, since `old` is longer, not legacy), old→a once.
            assert_eq!((permitted, weaker), (2 * 3 + 2 + 1, 0));
        }
    }
}

#[test]
fn every_policy_of_two_groups_and_two_services() {
    let hosts = vec![
        Host::inside(1, at(SW1, 1), "a"),
        Host::inside(2, at(SW1, 2), "b"),
        Host::inside(3, at(SW2, 1), "a b"),
        Host::inside(4, at(SW1, 3), ""),
    ];
    let head = "groups:\n  a: { members: [] }\n  b: { members: [] }\n";
    let mut site = Site::plain(&both(&Capabilities::default()), hosts, &format!("{head}permits: []\n"));
    let mut seen = 0;
    for chosen in 0..256_u32 {
        let mut text = format!("{head}permits:\n");
        for bit in 0..8 {
            if chosen >> bit & 1 == 1 {
                let (from, to) = (["a", "b"][bit & 1], ["a", "b"][bit >> 1 & 1]);
                let service = ["tcp/80", "icmp/echo"][bit >> 2];
                text.push_str(&format!("  - {{ id: p{bit}, from: {from}, to: {to}, services: [{service}] }}\n"));
            }
        }
        if chosen == 0 {
            text = format!("{head}permits: []\n");
        }
        site.apply(&text);
        let (permitted, weaker) = check_all(&mut site, &[Flow::tcp(80), Flow::udp(80), Flow::PING]);
        assert_eq!(weaker, 0, "first packets of these services never look like answers");
        seen += permitted;
    }
    assert!(seen > 1000, "the test must see both answers, saw {seen} permits");
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn some_names() -> impl Strategy<Value = String> {
    prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_map(|v| v.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Ranges, whole protocols and everything, where answers and questions can look alike; and sites with one plain switch.
    #[test]
    fn random_policies(
        statements in prop::collection::vec((some_names(), some_names(), prop::sample::select(vec![
            "tcp/80", "tcp/79-90", "udp/80", "icmp/echo", "icmp", "any", "tcp/0-65535", "ip/47", "udp/5000-5020",
        ])), 0..6),
        sets in prop::collection::vec(prop::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len()), 3..7),
        stranger in any::<bool>(),
        mixed in any::<bool>(),
        flows in prop::collection::vec(prop::sample::select(vec![
            Flow::tcp(80), Flow::tcp(90), Flow::tcp(91), Flow::udp(80), Flow::udp(5020), Flow::udp(5021), Flow::PING,
            Flow { protocol: IpProtocol(47), port: 0 },
        ]), 2),
    ) {
        let groups: Vec<_> = NAMES.iter().map(|n| format!("  {n}: {{ members: [] }}\n")).collect();
        let permits: Vec<_> = statements.iter().enumerate().map(|(n, (from, to, service))| {
            format!("  - {{ id: p{n}, from: [{from}], to: [{to}], services: [{service}] }}\n")
        }).collect();
        let permits = if permits.is_empty() { "permits: []\n".to_owned() } else { format!("permits:\n{}", permits.concat()) };
        let text = format!("groups:\n{}{permits}", groups.concat());
        let hosts = sets.iter().enumerate().map(|(n, set)| {
            let n = n as u8;
            let place = at(if n.is_multiple_of(2) { SW1 } else { SW2 }, u32::from(n) / 2 + 1);
            if stranger && n == 0 { Host::stranger(1, place) } else { Host::inside(n + 1, place, &set.join(" ")) }
        });
        let can = Capabilities::default();
        let plain = if mixed { vec![(SW2, can)] } else { both(&can) };
        let mut site = Site::plain(&plain, hosts.collect(), &text);
        check_all(&mut site, &flows);
    }
}

#[test]
fn what_answers_may_look_like() {
    for can in kinds() {
        let mut site = Site::plain(&both(&can), hosts(), OPEN);
        let (a, b) = (site.hosts[0].clone(), site.hosts[2].clone());
        let tcp = |from: u16, to: u16, flags| frames::tcp(b.mac, ROUTER_MAC, b.address, a.address, from, to, flags);
        // From the service's port b reaches a, and a switch without connections cannot tell who asked: the weaker promise.
        assert!(matches!(site.send(2, 0, &tcp(80, 50_000, tcp_flags::SYN)), Fate::Delivered(_)));
        // From any other port it does not, nor to the service's port.
        assert_eq!(site.send(2, 0, &tcp(81, 50_000, tcp_flags::SYN)), Fate::Dropped);
        assert_eq!(site.send(2, 0, &tcp(50_000, 80, tcp_flags::SYN)), Fate::Dropped);
        // Withdrawn: neither direction.
        site.apply("groups:\n  a: { members: [] }\n  b: { members: [] }\npermits: []\n");
        assert_eq!(site.send(2, 0, &tcp(80, 50_000, tcp_flags::ACK)), Fate::Dropped);
    }
}

#[test]
fn errors_find_back_and_redirects_do_not() {
    let mut site = Site::plain(&both(&Capabilities::default()), hosts(), OPEN);
    let b = site.hosts[2].clone();
    let first = site.first(0, 2, Flow::udp(53));
    let Fate::Delivered(there) = site.send(0, 2, &first) else { panic!() };
    let error = frames::unreachable(&there, b.mac, ROUTER_MAC, b.address);
    assert!(matches!(site.send(2, 0, &error), Fate::Delivered(_)));
    // In a whole-ICMP permit too, redirects stay out.
    site.apply("groups:\n  a: { members: [] }\n  b: { members: [] }\npermits:\n  - { id: x, from: b, to: a, services: [any] }\n");
    let mut redirect = Packet::new(&error, 0);
    redirect.set(Field::Icmpv4Type, 5, u128::MAX);
    assert_eq!(site.send(2, 0, &redirect.frame()), Fate::Dropped);
}

#[test]
fn arp_is_answered_in_the_switch_where_it_can_write_it_and_else_shown_to_the_node() {
    for (can, in_switch) in kinds().into_iter().zip([true, false]) {
        let mut site = Site::plain(&both(&can), hosts(), OPEN);
        let a = site.hosts[0].clone();
        let owners = |site: &Site| -> Vec<Owner> {
            let of = |m: &fseg_openflow::Message| match &m.body {
                fseg_openflow::Body::PacketIn(p) => Some(Cookie::from_u64(p.cookie).unwrap().owner),
                _ => None,
            };
            site.net.said.iter().filter_map(|(_, m)| of(m)).collect()
        };
        for (target, known) in [(ROUTER, true), (site.hosts[2].address, true), ([10, 77, 0, 1].into(), false)] {
            (site.net.arrived, site.net.said) = (vec![], vec![]);
            site.net.send(a.place, &frames::who_has(a.mac, a.address, target));
            if !(known && in_switch) {
                assert_eq!(site.net.arrived, []);
                assert_eq!(owners(&site), [Owner::System(SystemRow::AddressResolution)], "{target}");
                continue;
            }
            let [back] = &site.net.arrived[..] else { panic!("{target}: {:?}", site.net.arrived) };
            let frame = fseg_wire::Frame::parse(&back.frame).unwrap();
            let fseg_wire::Payload::Arp(arp) = frame.payload else { panic!("{frame:?}") };
            assert_eq!((back.place, frame.destination, frame.source), (a.place, a.mac, ROUTER_MAC));
            assert_eq!(arp, fseg_wire::ArpPacket::request(a.mac, a.address, target).reply(ROUTER_MAC));
        }
        // Probes, announcements and answers get none.
        let [zero, own] = [[0, 0, 0, 0].into(), a.address];
        let answer = fseg_wire::ArpPacket::request(a.mac, a.address, ROUTER).reply(a.mac);
        for quiet in [
            frames::who_has(a.mac, zero, own),
            frames::who_has(a.mac, own, own),
            Site::from_host(&a, answer.to_frame(a.mac, ROUTER_MAC)),
        ] {
            let fate = site.send(0, 0, &quiet);
            assert_eq!(fate, Fate::Dropped);
        }
        // Somebody else's address is not answered for either.
        assert_eq!(site.send(0, 0, &frames::who_has(a.mac, site.hosts[1].address, ROUTER)), Fate::Dropped);
        assert_eq!(owners(&site), [Owner::Spoof(site.facts(0).id)]);
    }
}

#[test]
fn strangers_reach_dns_and_the_portal_and_nothing_else() {
    for can in kinds() {
        let mut site = Site::plain(&both(&can), hosts(), OPEN);
        let who = site.hosts[3].clone();
        for flow in [Flow::udp(53), Flow::tcp(53), Flow::tcp(80), Flow::tcp(443), Flow::PING] {
            let asked = frames::first_of(flow, who.mac, ROUTER_MAC, who.address, ROUTER);
            let Fate::Node(asked) = site.send(3, 3, &asked) else { panic!("{flow}") };
            site.net.arrived.clear();
            site.net.send(LOCAL, &frames::answer_to(&asked, ROUTER_MAC));
            let [back] = &site.net.arrived[..] else { panic!("{flow}: {:?}", site.net.arrived) };
            assert_eq!((back.place, &back.frame[..6]), (who.place, &who.mac.0[..]));
        }
        // A page elsewhere is the portal's, under the name that was asked for.
        let request = site.first(3, 6, Flow::tcp(80));
        let Fate::Node(asked) = site.send(3, 6, &request) else { panic!() };
        assert_eq!(Packet::new(&asked, 0).get(Field::TcpDst), Some(REDIRECT_PORT.into()));
        site.net.arrived.clear();
        site.net.send(LOCAL, &frames::answer_to(&asked, ROUTER_MAC));
        let [back] = &site.net.arrived[..] else { panic!("{:?}", site.net.arrived) };
        let packet = Packet::new(&back.frame, 0);
        assert_eq!(back.place, who.place);
        assert_eq!(packet.get(Field::Ipv4Src), Some(u32::from(site.hosts[6].address).into()));
        for to in [0, 1, 2, 4, 5, 6] {
            for flow in [Flow::tcp(22), Flow::udp(53), Flow::PING] {
                let frame = site.first(3, to, flow);
                assert_eq!(site.send(3, to, &frame), Fate::Dropped, "{flow} to host {to}");
            }
        }
        assert_eq!(site.send(3, 3, &dhcp::discover(who.mac)), Fate::Dropped);
    }
}

#[test]
fn forgeries_unknown_addresses_and_multicast_go_nowhere() {
    for can in kinds() {
        let mut site = Site::plain(&both(&can), hosts(), OPEN);
        let (a, b) = (site.hosts[0].clone(), site.hosts[2].clone());
        let frame = frames::first_of(Flow::tcp(80), a.mac, ROUTER_MAC, b.address, site.hosts[1].address);
        assert_eq!(site.send(0, 1, &frame), Fate::Dropped);
        for address in [[10, 9, 9, 9], [224, 0, 0, 251], [255, 255, 255, 255], [127, 0, 0, 1], [169, 254, 1, 1]] {
            let frame = frames::first_of(Flow::tcp(80), a.mac, ROUTER_MAC, a.address, address.into());
            assert_eq!(site.send(0, 1, &frame), Fate::Dropped, "{address:?}");
        }
        for from in [site.fabric.switch(SW1).unwrap().fabric_mac(), site.fabric.switch(SW2).unwrap().fabric_mac()] {
            for to in [from, ROUTER_MAC] {
                let frame = frames::first_of(Flow::tcp(80), from, to, a.address, b.address);
                assert_eq!(site.send(0, 2, &frame), Fate::Dropped);
            }
        }
    }
}

#[test]
fn two_behind_one_shared_port_talk_if_permitted() {
    let hosts =
        vec![Host::inside(1, at(SW1, 10), "a"), Host::inside(2, at(SW1, 10), "b"), Host::inside(3, at(SW1, 10), "")];
    let mut site = Site::plain(&both(&Capabilities::default()), hosts, OPEN);
    assert_eq!(check_all(&mut site, &[Flow::tcp(80), Flow::tcp(22), Flow::PING]), (2, 0));
}

#[test]
fn a_range_is_counted_before_it_is_made() {
    let site = Site::plain(&both(&Capabilities::default()), hosts(), OPEN);
    let text = "groups:\n  a: { members: [] }\n  b: { members: [] }\npermits:\n  - { id: x, from: [a, b], to: [a, b], services: [tcp/1-1023, udp/20000-20009] }\n";
    let policy = site::policy(text);
    let facts = site.permit_facts(1, &policy.permits[0]);
    let pairs = facts.from.len() * facts.to.len();
    let rows = permit_rows_on(site.fabric.switch(SW1).unwrap(), &facts).unwrap();
    // Each port both ways, and errors back.
    assert_eq!(rows.len(), pairs * (2 * 1033 + 1));
    let wide = text.replace("tcp/1-1023", "tcp/1-65000");
    let facts = site.permit_facts(1, &site::policy(&wide).permits[0]);
    let refused = permit_rows_on(site.fabric.switch(SW1).unwrap(), &facts).unwrap_err();
    assert!(refused.why.contains(&format!("more than {MOST_ROWS}")), "{}", refused.why);
    // With masks it is few.
    let masks = TableFeatures {
        table: 6,
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        properties: vec![TableProperty::Match(vec![
            (Field::TcpDst, true),
            (Field::TcpSrc, true),
            (Field::UdpDst, true),
            (Field::UdpSrc, true),
        ])],
        ..TableFeatures::default()
    };
    let mut masking = site.fabric.switch(SW1).unwrap().clone();
    masking.profile = Profile::OpenFlow13(Capabilities::read(&[masks], None));
    assert!(permit_rows_on(&masking, &facts).unwrap().len() < pairs * 80);
}
