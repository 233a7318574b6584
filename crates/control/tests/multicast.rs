//! Discovery, streams and waking: who hears whom, and nobody else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod kit;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_control::EventKind;
use fseg_model::{Location, Mac};
use fseg_wire::{Discovery, Frame, IgmpMessage, Payload, Transport, build_udp_v4, igmp_query, multicast_mac};
use kit::*;
use proptest::prelude::*;

const FIND: &str = "
groups:
  sales:    { members: [user:anna] }
  ops:      { members: [user:bert] }
  dev:      { members: [user:dora] }
  crm:      { members: [device:crm-1] }
  printers: { members: [\"location:tokyo/*/p6\"] }
permits:
  - { id: sales-find, from: sales, to: printers, services: [mdns, ssdp, ipp] }
  - { id: ops-wake, from: ops, to: crm, services: [wake-on-lan] }
";

struct Cast {
    anna: Client,
    bert: Client,
    printers: [Client; 2],
    crm: Client,
    stranger: Client,
}

fn cast(world: &mut World) -> Cast {
    let anna = world.joined(1, at(SW1, 1));
    let bert = world.joined(2, at(SW2, 1));
    world.login(&anna, "anna");
    world.login(&bert, "bert");
    let cast = Cast {
        anna,
        bert,
        printers: [world.joined(3, at(SW1, NAMED)), world.joined(4, at(SW2, NAMED))],
        crm: world.joined(101, at(SW1, 3)),
        stranger: world.joined(5, at(SW2, 5)),
    };
    world.events.clear();
    cast
}

fn found() -> (World, Cast) {
    let mut world = World::office();
    world.apply(FIND);
    let cast = cast(&mut world);
    (world, cast)
}

/// A UDP datagram of a client.
fn datagram(from: &Client, port: u16, to: Ipv4Addr, to_port: u16, payload: &[u8]) -> Vec<u8> {
    let mac = if to.is_multicast() { multicast_mac(to) } else { Mac::BROADCAST };
    build_udp_v4(from.mac, mac, from.ip(), to, port, to_port, payload).unwrap()
}

const QUESTION: [u8; 12] = [0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const STATEMENT: [u8; 12] = [0, 7, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];

fn mdns(from: &Client, payload: &[u8]) -> Vec<u8> {
    datagram(from, 5353, Discovery::Mdns.group(), 5353, payload)
}

/// Sends a frame; where UDP comes out: place, destination MAC address, payload.
fn heard(world: &mut World, from: &Client, frame: &[u8]) -> BTreeSet<(Location, Mac)> {
    world.net.arrived.clear();
    world.net.send(from.place, frame);
    world.settle();
    let sent = Frame::parse(frame).unwrap();
    let mut out = BTreeSet::new();
    for arrival in std::mem::take(&mut world.net.arrived) {
        let Ok(got) = Frame::parse(&arrival.frame) else { continue };
        if got.payload == sent.payload {
            assert!(out.insert((arrival.place, got.destination)), "twice at {:?}", arrival.place);
            assert_eq!(got.source, fseg_pipeline::fabric::ROUTER_MAC);
        }
    }
    out
}

fn places(of: &[&Client]) -> BTreeSet<(Location, Mac)> {
    of.iter().map(|c| (c.place, c.mac)).collect()
}

#[test]
fn questions_go_to_those_who_may_be_found_and_statements_to_those_who_may_find() {
    let (mut world, c) = found();
    let [p1, p2] = &c.printers;
    assert_eq!(heard(&mut world, &c.anna, &mdns(&c.anna, &QUESTION)), places(&[p1, p2]));
    assert_eq!(heard(&mut world, p2, &mdns(p2, &STATEMENT)), places(&[&c.anna]));
    for nobody in [&c.bert, &c.crm, &c.stranger] {
        for payload in [QUESTION, STATEMENT] {
            assert_eq!(heard(&mut world, nobody, &mdns(nobody, &payload)), places(&[]), "{nobody:?}");
        }
    }
    assert_eq!(heard(&mut world, p1, &mdns(p1, &QUESTION)), places(&[]), "printers find nobody");
    assert_eq!(heard(&mut world, &c.anna, &mdns(&c.anna, &STATEMENT)), places(&[]));
    assert_eq!(heard(&mut world, &c.anna, &mdns(&c.anna, &[7; 5])), places(&[]), "not DNS");
    let search = b"M-SEARCH * HTTP/1.1\r\n\r\n";
    let ssdp = |port| datagram(&c.anna, 40_000, Discovery::Ssdp.group(), port, search);
    assert_eq!(heard(&mut world, &c.anna, &ssdp(1900)), places(&[p1, p2]));
    assert_eq!(heard(&mut world, &c.anna, &ssdp(3702)), places(&[]), "no permit for WS-Discovery");
    assert_eq!(heard(&mut world, &c.anna, &ssdp(1901)), places(&[]));
    let llmnr = datagram(&c.anna, 40_000, Discovery::Llmnr.group(), 5355, &QUESTION);
    assert_eq!(heard(&mut world, &c.anna, &llmnr), places(&[]));
}

#[test]
fn an_answer_to_one_passes_while_its_question_is_fresh() {
    let (mut world, c) = found();
    let [p1, _] = &c.printers;
    let ok = b"HTTP/1.1 200 OK\r\n\r\n";
    let answer = |to: &Client, port| datagram(p1, 1900, to.ip(), port, ok);
    assert_eq!(heard(&mut world, p1, &answer(&c.anna, 40_000)), places(&[]), "nobody asked");
    heard(
        &mut world,
        &c.anna,
        &datagram(&c.anna, 40_000, Discovery::Ssdp.group(), 1900, b"M-SEARCH * HTTP/1.1\r\n\r\n"),
    );
    assert_eq!(heard(&mut world, p1, &answer(&c.anna, 40_000)), places(&[&c.anna]));
    assert_eq!(heard(&mut world, p1, &answer(&c.anna, 40_001)), places(&[]), "another port");
    assert_eq!(heard(&mut world, p1, &answer(&c.bert, 40_000)), places(&[]), "another asker");
    assert_eq!(heard(&mut world, &c.crm, &datagram(&c.crm, 1900, c.anna.ip(), 40_000, ok)), places(&[]), "no printer");
    let wrong = datagram(p1, 1900, c.anna.ip(), 40_000, b"GET / HTTP/1.1\r\n");
    assert_eq!(heard(&mut world, p1, &wrong), places(&[]), "no answer");
    assert!(world.said(EventKind::Denied).iter().any(|e| e.contains("printer-1") && e.contains("anna")));
    world.pass(Duration::from_secs(11));
    assert_eq!(heard(&mut world, p1, &answer(&c.anna, 40_000)), places(&[]), "too late");
    // mDNS with the unicast bit: from port 5353 to port 5353.
    heard(&mut world, &c.anna, &mdns(&c.anna, &QUESTION));
    assert_eq!(heard(&mut world, p1, &datagram(p1, 5353, c.anna.ip(), 5353, &STATEMENT)), places(&[&c.anna]));
}

#[test]
fn a_withdrawn_permit_hides_at_once() {
    let (mut world, c) = found();
    assert_eq!(heard(&mut world, &c.anna, &mdns(&c.anna, &QUESTION)).len(), 2);
    world.apply(&FIND.replace("services: [mdns, ssdp, ipp]", "services: [ipp]"));
    assert_eq!(heard(&mut world, &c.anna, &mdns(&c.anna, &QUESTION)), places(&[]));
    let cookie = |n: u64| 0xf501 << 48 | n;
    for row in [20, 21] {
        assert_eq!(
            world.controller.why(cookie(row)).unwrap().rows.len(),
            0,
            "nothing is shown that no permit speaks of"
        );
    }
}

#[test]
fn who_asks_too_often_is_not_passed_on_and_others_are() {
    let (mut world, c) = found();
    let mut passed = 0;
    for _ in 0..500 {
        passed += heard(&mut world, &c.anna, &mdns(&c.anna, &QUESTION)).len();
    }
    assert_eq!(passed, 100, "fifty packets at once, to two");
    assert_eq!(world.said(EventKind::Refused).len(), 1);
    assert_eq!(heard(&mut world, &c.printers[0], &mdns(&c.printers[0], &STATEMENT)).len(), 1);
    world.pass(Duration::from_secs(1));
    assert_eq!(heard(&mut world, &c.anna, &mdns(&c.anna, &QUESTION)).len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Every pair of groups, permitted or not: exactly whom `decide` names hears a question and a statement.
    #[test]
    fn copies_follow_the_reference_answer(permits in proptest::collection::vec((0_usize..4, 0_usize..4, any::<bool>()), 0..5)) {
        let names = ["sales", "ops", "crm", "printers"];
        let mut text = FIND[..FIND.find("permits:").unwrap()].to_owned() + "permits:\n";
        for (n, (from, to, covers)) in permits.iter().enumerate() {
            let service = if *covers { "discovery" } else { "udp/5354" };
            text += &format!("  - {{ id: p{n}, from: {}, to: {}, services: [{service}] }}\n", names[*from], names[*to]);
        }
        if permits.is_empty() {
            text += "  []\n";
        }
        let mut world = World::office();
        world.apply(&text);
        let c = cast(&mut world);
        let all = [(&c.anna, 0), (&c.bert, 1), (&c.crm, 2), (&c.printers[0], 3), (&c.printers[1], 3)];
        let may = |a: usize, b: usize| permits.contains(&(a, b, true));
        for (who, group) in all {
            let asked: BTreeSet<_> =
                all.iter().filter(|(o, g)| o.mac != who.mac && may(group, *g)).map(|(o, _)| (o.place, o.mac)).collect();
            prop_assert_eq!(heard(&mut world, who, &mdns(who, &QUESTION)), asked);
            let told: BTreeSet<_> =
                all.iter().filter(|(o, g)| o.mac != who.mac && may(*g, group)).map(|(o, _)| (o.place, o.mac)).collect();
            prop_assert_eq!(heard(&mut world, who, &mdns(who, &STATEMENT)), told);
        }
    }
}

// Waking.

fn magic(mac: Mac) -> Vec<u8> {
    let mut out = vec![0xff; 6];
    (0..16).for_each(|_| out.extend(mac.0));
    out
}

#[test]
fn a_sleeper_is_woken_at_its_last_place_by_those_who_may() {
    let (mut world, c) = found();
    let broadcast = |from: &Client, port| datagram(from, 4000, Ipv4Addr::BROADCAST, port, &magic(c.crm.mac));
    assert_eq!(heard(&mut world, &c.bert, &broadcast(&c.bert, 9)), places(&[&c.crm]), "awake");
    world.link(c.crm.place, false);
    world.link(c.crm.place, true);
    assert_eq!(heard(&mut world, &c.bert, &broadcast(&c.bert, 9)), places(&[&c.crm]));
    assert_eq!(heard(&mut world, &c.bert, &broadcast(&c.bert, 7)), places(&[&c.crm]));
    assert!(world.said(EventKind::System).iter().any(|e| e.contains("bert wakes crm-1 at tokyo/sw1/p3")));
    // To the address it had.
    let unicast = datagram(&c.bert, 4000, c.crm.ip(), 9, &magic(c.crm.mac));
    assert_eq!(heard(&mut world, &c.bert, &unicast), places(&[&c.crm]));
    // Without IP.
    let mut bare = [c.crm.mac.0, c.bert.mac.0].concat();
    bare.extend([0x08, 0x42]);
    bare.extend(magic(c.crm.mac));
    assert_eq!(heard(&mut world, &c.bert, &bare), places(&[&c.crm]));
    for nobody in [&c.anna, &c.stranger, &c.printers[0]] {
        assert_eq!(heard(&mut world, nobody, &broadcast(nobody, 9)), places(&[]), "{nobody:?}");
    }
    assert!(world.said(EventKind::Denied).iter().any(|e| e.contains("anna does not wake crm-1")));
    let other = datagram(&c.bert, 4000, Ipv4Addr::BROADCAST, 9, &magic(c.printers[0].mac));
    assert_eq!(heard(&mut world, &c.bert, &other), places(&[]), "no permit for printers");
    let unknown = datagram(&c.bert, 4000, Ipv4Addr::BROADCAST, 9, &magic(mac(77)));
    assert_eq!(heard(&mut world, &c.bert, &unknown), places(&[]));
    let no_magic = datagram(&c.bert, 4000, Ipv4Addr::BROADCAST, 9, b"hello");
    assert_eq!(heard(&mut world, &c.bert, &no_magic), places(&[]));
    world.restart();
    assert_eq!(heard(&mut world, &c.bert, &broadcast(&c.bert, 9)), places(&[&c.crm]), "the place outlives the process");
}

// Streams.

const STREAMS: &str = "
groups:
  encoders: { members: [device:crm-1] }
  lobby:    { members: [user:anna, \"location:tokyo/*/p6\"] }
  ops:      { members: [user:bert] }
streams:
  tv:    { addresses: [239.10.0.0/16], from: encoders }
  radio: { addresses: [239.10.9.9], from: ops }
permits:
  - { id: lobby-tv, from: lobby, to: tv, services: [rtp] }
  - { id: ops-radio, from: ops, to: [radio], services: [any] }
";
const TV: Ipv4Addr = Ipv4Addr::new(239, 10, 1, 1);
const RADIO: Ipv4Addr = Ipv4Addr::new(239, 10, 9, 9);

/// A report of version 3 (`kind` 4 joins, 3 leaves) or 2 (0x16 joins, 0x17 leaves).
fn report(from: &Client, kind: u8, group: Ipv4Addr) -> Vec<u8> {
    let mut message = if kind < 8 { vec![0x22, 0, 0, 0, 0, 0, 0, 1, kind, 0, 0, 0] } else { vec![kind, 0, 0, 0] };
    message.extend(group.octets());
    let sum: u32 = message.chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    // The frame of a query, with another message in it.
    let to = if kind < 8 { Ipv4Addr::new(224, 0, 0, 22) } else { group };
    let mut out = igmp_query(from.mac, multicast_mac(to), from.ip(), 10).unwrap();
    out.truncate(14 + 24);
    out[16..18].copy_from_slice(&(24 + message.len() as u16).to_be_bytes());
    out[30..34].copy_from_slice(&to.octets());
    out[24..26].fill(0);
    let sum: u32 = out[14..38].chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    out[24..26].copy_from_slice(&sum.to_be_bytes());
    out.extend(message);
    assert!(Frame::parse(&out).is_ok());
    out
}

fn streaming() -> (World, Cast) {
    let mut world = World::office();
    world.apply(STREAMS);
    let cast = cast(&mut world);
    (world, cast)
}

/// Who gets a packet of a stream: places, once each.
fn audience(world: &mut World, from: &Client, group: Ipv4Addr, port: u16) -> BTreeSet<Location> {
    let got = heard(world, from, &datagram(from, 5000, group, port, b"picture"));
    for (place, mac) in &got {
        let shared = place.port.0 == SHARED;
        assert!(shared || *mac == multicast_mac(group), "{mac} at {place:?}");
    }
    got.into_iter().map(|(place, _)| place).collect()
}

fn at_places(of: &[&Client]) -> BTreeSet<Location> {
    of.iter().map(|c| c.place).collect()
}

#[test]
fn a_stream_goes_to_those_who_joined_and_may() {
    let (mut world, c) = streaming();
    let [p1, p2] = &c.printers;
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[]), "nobody joined");
    for who in [&c.anna, p2, &c.bert, &c.stranger] {
        world.send(who, &report(who, 4, TV));
    }
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna, p2]));
    assert_eq!(audience(&mut world, &c.crm, TV, 5005), at_places(&[&c.anna, p2]));
    assert_eq!(audience(&mut world, &c.crm, TV, 5006), at_places(&[]), "another service");
    assert_eq!(audience(&mut world, &c.crm, Ipv4Addr::new(239, 10, 1, 2), 5004), at_places(&[]), "another address");
    for nobody in [&c.anna, &c.bert, &c.stranger, p1] {
        assert_eq!(audience(&mut world, nobody, TV, 5004), at_places(&[]), "{nobody:?} may not send");
    }
    world.send(p1, &report(p1, 0x16, TV));
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna, p1, p2]));
    // Who sends and receives one, by the longer prefix.
    for who in [&c.bert, &c.anna] {
        world.send(who, &report(who, 4, RADIO));
    }
    assert_eq!(audience(&mut world, &c.bert, RADIO, 7), at_places(&[]));
    assert_eq!(audience(&mut world, &c.crm, RADIO, 5004), at_places(&[]));
    let view = world.controller.streams().find(|s| s.group == TV).unwrap();
    assert_eq!((view.senders.len(), view.receivers.len(), view.denied.len()), (1, 3, 1));
}

#[test]
fn leaving_moving_and_withdrawing_take_effect_at_once() {
    let (mut world, mut c) = streaming();
    let [p1, p2] = &c.printers;
    for who in [&c.anna, p1, p2] {
        world.send(who, &report(who, 4, TV));
    }
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna, p1, p2]));
    world.send(p1, &report(p1, 3, TV));
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna, p2]));
    world.send(p2, &report(p2, 0x17, TV));
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna]));
    // Anna moves to the other switch; her stream follows before she reports again.
    world.link(c.anna.place, false);
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[]));
    c.anna.place = at(SW2, 2);
    assert!(world.speak(&c.anna));
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna]));
    // The sender moves.
    world.link(c.crm.place, false);
    c.crm.place = at(SW2, 3);
    assert!(world.speak(&c.crm));
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna]));
    world.restart();
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna]), "it goes on over a restart");
    world.apply(&STREAMS.replace("from: lobby, to: tv", "from: ops, to: tv"));
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[]));
    world.apply(STREAMS);
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna]), "the wish stayed");
    world.logout(&c.anna);
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[]));
    world.apply(POLICY);
    assert_eq!(world.controller.streams().count(), 0);
}

#[test]
fn behind_a_shared_port_only_the_receiver_gets_it() {
    let (mut world, c) = streaming();
    let two = [world.joined(21, at(SW2, SHARED)), world.joined(22, at(SW2, SHARED))];
    world.login(&two[0], "anna");
    for who in &two {
        world.send(who, &report(who, 4, TV));
    }
    let got = heard(&mut world, &c.crm, &datagram(&c.crm, 5000, TV, 5004, b"picture"));
    assert_eq!(got, places(&[&two[0]]));
}

#[test]
fn who_is_silent_for_long_is_forgotten_and_who_came_is_asked() {
    let (mut world, c) = streaming();
    world.send(&c.anna, &report(&c.anna, 4, TV));
    world.send(&c.printers[0], &report(&c.printers[0], 4, TV));
    world.net.arrived.clear();
    let mut asked: BTreeMap<Location, usize> = BTreeMap::new();
    for step in 0..60 {
        world.pass(Duration::from_secs(5));
        for arrival in std::mem::take(&mut world.net.arrived) {
            let Ok(frame) = Frame::parse(&arrival.frame) else { continue };
            let Payload::Ipv4(ip) = &frame.payload else { continue };
            let Transport::Other(_, bytes) = &ip.transport else { continue };
            assert_eq!(IgmpMessage::parse(bytes), Ok(IgmpMessage::Query));
            *asked.entry(arrival.place).or_default() += 1;
        }
        if step % 10 == 0 {
            world.send(&c.anna, &report(&c.anna, 2, TV));
        }
    }
    assert_eq!(audience(&mut world, &c.crm, TV, 5004), at_places(&[&c.anna]));
    // bert may receive the radio; crm and strangers may receive nothing.
    let expected = at_places(&[&c.anna, &c.bert, &c.printers[0], &c.printers[1]]);
    assert_eq!(asked.keys().copied().collect::<BTreeSet<_>>(), expected);
    assert!(asked.values().all(|n| (2..=5).contains(n)), "{asked:?}");
    let late = world.joined(9, at(SW1, 5));
    world.net.arrived.clear();
    world.put_account(account("late", &[]));
    world.login(&late, "anna");
    assert!(world.controller.streams().count() == 1);
}

#[test]
fn memberships_are_bounded_and_only_of_streams() {
    let (mut world, c) = streaming();
    for n in 0..200 {
        world.send(&c.anna, &report(&c.anna, 4, Ipv4Addr::new(239, 10, 2, n)));
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.controller.streams().count(), 64);
    assert_eq!(world.said(EventKind::Refused).len(), 2, "said once in a while");
    for group in [[239, 11, 1, 1], [224, 0, 0, 251], [239, 255, 255, 250], [10, 0, 0, 1]] {
        world.send(&c.printers[0], &report(&c.printers[0], 4, group.into()));
    }
    assert_eq!(world.controller.streams().count(), 64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    /// Joins, leaves and cable pulls in any order: after each, exactly those who joined, are there and may, get one copy.
    #[test]
    fn the_audience_is_who_joined_and_may(steps in proptest::collection::vec((0_usize..5, 0_u8..4), 1..25)) {
        let (mut world, c) = streaming();
        let all = [&c.anna, &c.printers[0], &c.printers[1], &c.bert, &c.stranger];
        let mut joined: BTreeSet<usize> = BTreeSet::new();
        let mut there: BTreeSet<usize> = (0..5).collect();
        for (who, what) in steps {
            let client = all[who];
            match what {
                0 if there.contains(&who) => {
                    world.send(client, &report(client, 4, TV));
                    joined.insert(who);
                }
                1 if there.contains(&who) => {
                    world.send(client, &report(client, 3, TV));
                    joined.remove(&who);
                }
                2 => {
                    world.link(client.place, false);
                    there.remove(&who);
                }
                _ => {
                    world.link(client.place, true);
                    if there.insert(who) {
                        world.speak(client);
                    }
                }
            }
            world.pass(Duration::from_millis(40));
            let expected: BTreeSet<Location> =
                joined.iter().filter(|n| **n < 3 && there.contains(n)).map(|n| all[*n].place).collect();
            prop_assert_eq!(audience(&mut world, &c.crm, TV, 5004), expected);
        }
    }
}
