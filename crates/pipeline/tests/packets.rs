//! What becomes of packets that policies do not speak of: answers after a withdrawal, strangers, forgeries, the node's own
//! services, ICMP errors, translation, broadcasts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod site;

use fseg_model::{Flow, Mac};
use fseg_openflow::{Body, Field};
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::fabric::{REDIRECT_PORT, ROUTER_MAC, SERVICE_MAC};
use fseg_pipeline::{Cookie, Owner};
use fseg_test_kit::frames::{self, tcp_flags};
use fseg_test_kit::{Packet, dhcp};
use site::{
    EXIT_ADDRESS, Fate, Host, INTERNET, INTERNET_GATEWAY, LEGACY, LOCAL, NODE, NODE_MAC, ROUTER, SW1, SW2, Site, at,
};

const OPEN: &str = "
groups:
  a: { members: [] }
  b: { members: [] }
externals:
  old: { cidr: [192.168.50.0/24] }
  net: { cidr: [0.0.0.0/0] }
permits:
  - { id: a-b, from: a, to: b, services: [tcp/80, udp/53, icmp/echo] }
  - { id: a-net, from: a, to: net, services: [tcp/443, icmp/echo] }
  - { id: old-a, from: old, to: a, services: [tcp/22] }
";
const CLOSED: &str = "
groups:
  a: { members: [] }
  b: { members: [] }
permits: []
";

/// 0 and 1 on one switch, 2 on the other; 3 a stranger, 4 in no group; 5 legacy, 6 Internet.
fn office(text: &str) -> Site {
    let hosts = vec![
        Host::inside(1, at(SW1, 1), "a"),
        Host::inside(2, at(SW1, 2), "b"),
        Host::inside(3, at(SW2, 1), "b"),
        Host::stranger(4, at(SW2, 2)),
        Host::inside(5, at(SW2, 3), ""),
        Host::legacy(9),
        Host::internet(10),
    ];
    Site::new(hosts, text)
}

fn delivered(fate: Fate) -> Vec<u8> {
    match fate {
        Fate::Delivered(frame) => frame,
        other => panic!("{other:?}"),
    }
}

fn at_node(fate: Fate) -> Vec<u8> {
    match fate {
        Fate::Node(frame) => frame,
        other => panic!("{other:?}"),
    }
}

fn answer(site: &Site, who: usize, frame: &[u8]) -> Vec<u8> {
    Site::from_host(&site.hosts[who], frames::answer_to(frame, ROUTER_MAC))
}

/// Which owners' rows showed the node packets since the last send.
fn shown(site: &Site) -> Vec<Owner> {
    site.net
        .said
        .iter()
        .filter_map(|(_, m)| match &m.body {
            Body::PacketIn(p) => Some(Cookie::from_u64(p.cookie).unwrap().owner),
            _ => None,
        })
        .collect()
}

#[test]
fn an_answer_after_the_withdrawal_is_dropped() {
    for (to, flow) in [1, 2].into_iter().flat_map(|to| [Flow::tcp(80), Flow::udp(53), Flow::PING].map(|f| (to, f))) {
        let mut site = office(OPEN);
        let first = site.first(0, to, flow);
        let there = delivered(site.send(0, to, &first));
        let back = answer(&site, to, &there);
        delivered(site.send(to, 0, &back));
        site.apply(CLOSED);
        assert_eq!(site.send(to, 0, &back), Fate::Dropped, "{flow}: the answer of a withdrawn permit");
        assert_eq!(site.send(0, to, &first), Fate::Dropped, "{flow}: the request of a withdrawn permit");
        assert!(shown(&site).contains(&Owner::System(SystemRow::DefaultDeny)));
        site.apply(OPEN);
        delivered(site.send(to, 0, &back));
    }
}

#[test]
fn who_may_only_answer_cannot_ask() {
    let mut site = office(OPEN);
    let first = site.first(0, 1, Flow::tcp(80));
    let there = delivered(site.send(0, 1, &first));
    let back = answer(&site, 1, &there);
    delivered(site.send(1, 0, &back));
    // The same two addresses, but another connection: from port 80 to a port that nobody asked from.
    let (a, b) = (site.hosts[0].clone(), site.hosts[1].clone());
    let other = frames::tcp(b.mac, ROUTER_MAC, b.address, a.address, 80, 50_000, tcp_flags::SYN);
    assert_eq!(site.send(1, 0, &other), Fate::Dropped);
    // An answer that nobody asked for.
    site.forget();
    assert_eq!(site.send(1, 0, &back), Fate::Dropped);
}

#[test]
fn a_lost_connection_table_interrupts_nothing_that_is_permitted() {
    let mut site = office(OPEN);
    let (a, b) = (site.hosts[0].clone(), site.hosts[2].clone());
    site.forget();
    let middle = frames::tcp(a.mac, ROUTER_MAC, a.address, b.address, 40_000, 80, tcp_flags::ACK);
    delivered(site.send(0, 2, &middle));
}

#[test]
fn icmp_errors_follow_the_connection_they_speak_of() {
    for to in [1, 2] {
        let mut site = office(OPEN);
        let first = site.first(0, to, Flow::udp(53));
        let there = delivered(site.send(0, to, &first));
        let b = site.hosts[to].clone();
        let error = frames::unreachable(&there, b.mac, ROUTER_MAC, b.address);
        delivered(site.send(to, 0, &error));
        // About a connection that does not exist.
        site.forget();
        assert_eq!(site.send(to, 0, &error), Fate::Dropped);
    }
}

#[test]
fn strangers_reach_dns_and_the_portal_and_nothing_else() {
    let mut site = office(OPEN);
    let who = site.hosts[3].clone();
    let to_router = |flow| frames::first_of(flow, who.mac, ROUTER_MAC, who.address, ROUTER);
    for flow in [Flow::udp(53), Flow::tcp(53), Flow::PING] {
        let asked = at_node(site.send(3, 3, &to_router(flow)));
        // And the node's answer comes back, from whom the stranger asked.
        let reply = frames::answer_to(&asked, ROUTER_MAC);
        site.net.arrived.clear();
        site.net.send(LOCAL, &reply);
        let [back] = &site.net.arrived[..] else { panic!("{flow}: {:?}", site.net.arrived) };
        assert_eq!(back.place, who.place);
        assert_eq!(Packet::new(&back.frame, 0).get(Field::Ipv4Src), Some(u32::from(ROUTER).into()));
    }
    for flow in [Flow::tcp(22), Flow::udp(123), Flow::tcp(6653), Flow::tcp(8443)] {
        assert_eq!(site.send(3, 3, &to_router(flow)), Fate::Dropped, "{flow} to the node");
    }
    for to in [0, 1, 2, 4, 5, 6] {
        for flow in [Flow::tcp(22), Flow::udp(53), Flow::PING] {
            let frame = site.first(3, to, flow);
            assert_eq!(site.send(3, to, &frame), Fate::Dropped, "{flow} to host {to}");
        }
        let knock = site.first(to, 3, Flow::tcp(80));
        assert_eq!(site.send(to, 3, &knock), Fate::Dropped, "host {to} to the stranger");
    }
}

#[test]
fn a_strangers_web_request_meets_the_portal_under_the_name_it_asked_for() {
    for place in [at(SW1, 5), at(SW2, 5)] {
        let mut site = Site::new(vec![Host::stranger(9, place), Host::internet(10)], OPEN);
        let request = site.first(0, 1, Flow::tcp(80));
        let asked = at_node(site.send(0, 1, &request));
        assert_eq!(Packet::new(&asked, 0).get(Field::TcpDst), Some(REDIRECT_PORT.into()));
        site.net.arrived.clear();
        site.net.send(LOCAL, &frames::answer_to(&asked, ROUTER_MAC));
        let [back] = &site.net.arrived[..] else { panic!("{:?}", site.net.arrived) };
        assert_eq!(back.place, place);
        let packet = Packet::new(&back.frame, 0);
        assert_eq!(
            packet.get(Field::Ipv4Src),
            Some(u32::from(site.hosts[1].address).into()),
            "as if the site had answered"
        );
        assert_eq!(packet.get(Field::TcpSrc), Some(80));
        // TLS meets a port that is closed.
        let tls = site.first(0, 1, Flow::tcp(443));
        let asked = at_node(site.send(0, 1, &tls));
        assert!(![80, 443].contains(&Packet::new(&asked, 0).get(Field::TcpDst).unwrap()));
    }
}

#[test]
fn the_node_is_reached_by_all_and_only_for_its_services() {
    let mut site = office(CLOSED);
    for who in [0, 2, 4] {
        let host = site.hosts[who].clone();
        for flow in [Flow::udp(53), Flow::tcp(53), Flow::tcp(80), Flow::PING] {
            let asked =
                at_node(site.send(who, who, &frames::first_of(flow, host.mac, ROUTER_MAC, host.address, ROUTER)));
            site.net.arrived.clear();
            site.net.send(LOCAL, &frames::answer_to(&asked, ROUTER_MAC));
            let [back] = &site.net.arrived[..] else { panic!("{flow}: {:?}", site.net.arrived) };
            assert_eq!(back.place, host.place);
        }
        for flow in [Flow::tcp(22), Flow::tcp(6653), Flow::udp(161)] {
            let frame = frames::first_of(flow, host.mac, ROUTER_MAC, host.address, ROUTER);
            assert_eq!(site.send(who, who, &frame), Fate::Dropped, "{flow}");
        }
    }
}

#[test]
fn unknown_addresses_and_what_nobody_may_send_to_are_dropped() {
    let mut site = office(OPEN);
    let a = site.hosts[0].clone();
    let to = |address: [u8; 4], flow| frames::first_of(flow, a.mac, ROUTER_MAC, a.address, address.into());
    for address in [[10, 9, 9, 9], [10, 0, 0, 0], [10, 255, 255, 255]] {
        assert_eq!(site.send(0, 1, &to(address, Flow::tcp(443))), Fate::Dropped, "{address:?}");
        assert_eq!(shown(&site), [Owner::System(SystemRow::UnknownDestination)], "{address:?}");
    }
    for address in [[224, 0, 0, 251], [255, 255, 255, 255], [127, 0, 0, 1], [0, 0, 0, 0], [169, 254, 1, 1]] {
        assert_eq!(site.send(0, 1, &to(address, Flow::tcp(443))), Fate::Dropped, "{address:?}");
        assert_eq!(shown(&site), [], "{address:?} is nothing to log");
    }
}

#[test]
fn forged_sources_are_dropped_and_told_to_the_node() {
    let mut site = office(OPEN);
    let (a, b, c) = (site.hosts[0].clone(), site.hosts[1].clone(), site.hosts[2].clone());
    let spoof = Owner::Spoof(site.facts(0).id);
    // Another's address, from the own MAC address.
    let frame = frames::first_of(Flow::tcp(80), a.mac, ROUTER_MAC, c.address, b.address);
    assert_eq!(site.send(0, 1, &frame), Fate::Dropped);
    assert_eq!(shown(&site), [spoof]);
    assert_eq!(site.send(0, 0, &frames::who_has(a.mac, b.address, ROUTER)), Fate::Dropped);
    assert_eq!(shown(&site), [spoof]);
    // Another's MAC and address, at the own port.
    let frame = frames::first_of(Flow::tcp(80), b.mac, ROUTER_MAC, b.address, c.address);
    assert_eq!(site.send(0, 2, &frame), Fate::Dropped);
    assert_eq!(shown(&site), [Owner::System(SystemRow::FirstPacket)]);
    // Frames that only switches and the node send.
    let (one, two) = (site.fabric.switch(SW1).unwrap().fabric_mac(), site.fabric.switch(SW2).unwrap().fabric_mac());
    for from in [one, two, SERVICE_MAC, ROUTER_MAC] {
        for to in [one, two, ROUTER_MAC, Mac::BROADCAST] {
            let frame = frames::first_of(Flow::tcp(80), from, to, a.address, b.address);
            assert_eq!(site.send(0, 1, &frame), Fate::Dropped, "{from} to {to}");
        }
    }
}

#[test]
fn inner_addresses_from_outside_are_dropped() {
    let mut site = office(OPEN);
    let (a, b) = (site.hosts[0].clone(), site.hosts[1].clone());
    for (place, gateway) in [(LEGACY, site.hosts[5].mac), (INTERNET, INTERNET_GATEWAY)] {
        for source in [a.address, ROUTER] {
            site.net.arrived.clear();
            site.net.send(place, &frames::first_of(Flow::tcp(80), gateway, ROUTER_MAC, source, b.address));
            assert_eq!(site.net.arrived, []);
        }
    }
    // Nor by an uplink from a switch that is none of ours.
    site.net.arrived.clear();
    let foreign = Mac([2, 0xf5, 0xe6, 1, 0, 77]);
    let to = site.fabric.switch(NODE).unwrap().fabric_mac();
    site.net.send(at(NODE, 1), &frames::first_of(Flow::tcp(80), foreign, to, a.address, b.address));
    assert_eq!(site.net.arrived, []);
}

#[test]
fn the_internet_sees_one_address_and_answers_find_back() {
    let mut site = office(OPEN);
    let first = site.first(0, 6, Flow::tcp(443));
    let there = delivered(site.send(0, 6, &first));
    let packet = Packet::new(&there, 0);
    assert_eq!(packet.get(Field::Ipv4Src), Some(u32::from(EXIT_ADDRESS).into()));
    assert_eq!(packet.get(Field::IpTtl), Some(63));
    let back = answer(&site, 6, &there);
    delivered(site.send(6, 0, &back));
    // Withdrawn: not a packet more, in either direction.
    site.apply(CLOSED);
    assert_eq!(site.send(6, 0, &back), Fate::Dropped);
    assert_eq!(site.send(0, 6, &first), Fate::Dropped);
}

#[test]
fn the_outside_cannot_ask_through_the_translation() {
    let mut site = office(OPEN);
    for flow in [Flow::tcp(443), Flow::tcp(80), Flow::udp(53), Flow::PING] {
        site.net.arrived.clear();
        let from = site.hosts[6].clone();
        site.net.send(INTERNET, &frames::first_of(flow, from.mac, ROUTER_MAC, from.address, EXIT_ADDRESS));
        assert_eq!(site.net.arrived, [], "{flow}");
    }
}

#[test]
fn arp_is_answered_for_everybody_with_the_router() {
    let mut site = office(CLOSED);
    let a = site.hosts[0].clone();
    for target in [ROUTER, site.hosts[1].address, [10, 77, 0, 1].into()] {
        site.net.arrived.clear();
        site.net.send(a.place, &frames::who_has(a.mac, a.address, target));
        let [back] = &site.net.arrived[..] else { panic!("{:?}", site.net.arrived) };
        let frame = fseg_wire::Frame::parse(&back.frame).unwrap();
        let fseg_wire::Payload::Arp(arp) = frame.payload else { panic!("{frame:?}") };
        assert_eq!((back.place, frame.destination, frame.source), (a.place, a.mac, ROUTER_MAC));
        assert_eq!(arp, fseg_wire::ArpPacket::request(a.mac, a.address, target).reply(ROUTER_MAC));
    }
    // Probes for the own address and announcements get no answer: it would mean that the address is taken.
    for quiet in [frames::who_has(a.mac, [0, 0, 0, 0].into(), a.address), frames::who_has(a.mac, a.address, a.address)]
    {
        assert_eq!(site.send(0, 0, &quiet), Fate::Dropped);
        assert_eq!(shown(&site), []);
    }
}

#[test]
fn dhcp_reaches_only_the_node() {
    let mut site = office(OPEN);
    for who in 0..5 {
        let mac = site.hosts[who].mac;
        assert_eq!(site.send(who, who, &dhcp::discover(mac)), Fate::Dropped);
        assert_eq!(shown(&site), [Owner::System(SystemRow::Dhcp)]);
    }
    // A server's answers from an endpoint go nowhere.
    let a = site.hosts[0].clone();
    let rogue = frames::udp(a.mac, Mac::BROADCAST, a.address, [255, 255, 255, 255].into(), 67, 68, b"offer");
    assert_eq!(site.send(0, 1, &rogue), Fate::Dropped);
    assert_eq!(shown(&site), []);
}

#[test]
fn the_node_cannot_be_impersonated_on_its_own_port() {
    let mut site = office(OPEN);
    let b = site.hosts[1].clone();
    site.net.arrived.clear();
    site.net.send(LOCAL, &frames::first_of(Flow::tcp(80), NODE_MAC, ROUTER_MAC, site.hosts[0].address, b.address));
    assert_eq!(site.net.arrived, [], "the node speaks with the router's address only");
}

#[test]
fn two_behind_one_shared_port_talk_if_permitted() {
    let hosts =
        vec![Host::inside(1, at(SW1, 10), "a"), Host::inside(2, at(SW1, 10), "b"), Host::inside(3, at(SW1, 10), "")];
    let mut site = Site::new(hosts, OPEN);
    let permitted = site.check_all(&[Flow::tcp(80), Flow::tcp(22), Flow::PING]);
    assert_eq!(permitted, 2);
}
