//! Packets and messages that nobody sensible sends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use std::time::Duration;

use fseg_control::Input;
use fseg_model::{Flow, Mac, PortNo};
use fseg_openflow::{Body, Field, Match, Message, PacketIn};
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{Cookie, Owner};
use fseg_test_kit::{dhcp, frames};
use kit::{Client, ROUTER, SHARED, SW1, World, at, mac};
use proptest::prelude::*;

const SHOWN: [SystemRow; 6] = [
    SystemRow::Dhcp,
    SystemRow::FirstPacket,
    SystemRow::DefaultDeny,
    SystemRow::UnknownDestination,
    SystemRow::ExitNeighbour,
    SystemRow::Frame,
];

fn shown(w: &mut World, owner: Owner, port: u32, data: Vec<u8>) {
    let dpid = if port == 12 { kit::NODE } else { SW1 };
    let connection = w.connected[&dpid];
    let packet = PacketIn {
        buffer_id: u32::MAX,
        total_len: data.len() as u16,
        reason: 1,
        table: 0,
        cookie: Cookie { owner, round: 1 }.to_u64(),
        matches: Match::new().with(Field::InPort, port),
        data,
    };
    let message = Box::new(Message { xid: 0, body: Body::PacketIn(packet) });
    w.handle(Input::Message { dpid, connection, message });
}

/// One frame of each kind that the node is shown.
fn samples() -> Vec<Vec<u8>> {
    let (a, b) = (mac(1), mac(2));
    let (x, y) = ([10, 0, 1, 1].into(), [10, 0, 1, 2].into());
    let mut tagged = frames::first_of(Flow::tcp(80), a, b, x, y);
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    vec![
        dhcp::discover(a),
        dhcp::select(a, ROUTER, x),
        dhcp::renew(a, ROUTER_MAC, ROUTER, x),
        dhcp::release(a, ROUTER_MAC, ROUTER, x),
        dhcp::decline(a, ROUTER, x),
        frames::who_has(a, x, ROUTER),
        frames::first_of(Flow::tcp(80), a, b, x, y),
        frames::first_of(Flow::udp(53), a, b, x, y),
        frames::first_of(Flow::PING, a, b, x, y),
        frames::unreachable(&frames::first_of(Flow::udp(53), a, b, x, y), b, a, y),
        tagged,
        vec![0xff; 60],
        vec![],
    ]
}

#[test]
fn frames_cut_at_every_length_do_no_harm() {
    let mut w = World::office();
    w.events.clear();
    let mut sent = 0;
    for frame in samples() {
        for length in 0..=frame.len() {
            for owner in SHOWN.map(Owner::System) {
                shown(&mut w, owner, 1, frame[..length].to_vec());
                sent += 1;
            }
        }
    }
    assert!(sent > 4000);
    assert!(w.events.len() < 40, "{} events of {sent} broken packets", w.events.len());
    w.check();
}

#[test]
fn a_flood_of_the_same_is_said_once_in_a_while() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.events.clear();
    for _ in 0..500 {
        let frame = frames::first_of(Flow::tcp(22), anna.mac, ROUTER_MAC, anna.ip(), [10, 0, 9, 9].into());
        shown(&mut w, Owner::System(SystemRow::UnknownDestination), 1, frame);
    }
    assert_eq!(w.events.len(), 1);
    w.pass(Duration::from_secs(11));
    w.events.clear();
    let frame = frames::first_of(Flow::tcp(22), anna.mac, ROUTER_MAC, anna.ip(), [10, 0, 9, 9].into());
    shown(&mut w, Owner::System(SystemRow::UnknownDestination), 1, frame);
    assert_eq!(w.events.len(), 1);
}

#[test]
fn mac_addresses_that_no_device_has_are_refused() {
    let mut w = World::office();
    for bad in [Mac::BROADCAST, Mac::ZERO, Mac([1, 0, 0, 0, 0, 1]), ROUTER_MAC, Mac([2, 0xf5, 0xe6, 1, 0, 2])] {
        let mut client = Client { mac: bad, ..Client::new(1, at(SW1, 1)) };
        assert_eq!(w.join(&mut client), None, "{bad}");
    }
    assert_eq!(w.controller.endpoint_count(), 0);
    w.check();
}

#[test]
fn packets_from_places_that_do_not_exist_do_nothing() {
    let mut w = World::office();
    let records = w.records.len();
    for port in [0, 99, 24, 12, u32::MAX] {
        for frame in samples() {
            for owner in SHOWN.map(Owner::System) {
                shown(&mut w, owner, port, frame.clone());
            }
        }
    }
    assert_eq!((w.controller.endpoint_count(), w.records.len()), (0, records));
    w.check();
}

#[test]
fn a_client_that_claims_another_in_its_message_is_refused() {
    let mut w = World::office();
    let crm = w.joined(101, at(SW1, 4));
    // Its own MAC address in the frame, crm-1's in the message: release, decline, discover.
    let thief = Client::new(1, at(SW1, 1));
    for mut frame in [dhcp::release(crm.mac, ROUTER_MAC, ROUTER, crm.ip()), dhcp::decline(crm.mac, ROUTER, crm.ip())] {
        frame[6..12].copy_from_slice(&thief.mac.0);
        w.dhcp(&thief, &frame);
    }
    assert!(w.rows_of(&crm) > 0);
    // crm-1's own frame, from another port.
    let twin = Client { place: at(SW1, 2), ..crm.clone() };
    w.dhcp(&twin, &dhcp::release(crm.mac, ROUTER_MAC, ROUTER, crm.ip()));
    assert!(w.rows_of(&crm) > 0);
    assert_eq!(w.standing(&crm), Some(fseg_control::Standing::Admitted));
    w.check();
}

#[test]
fn messages_of_an_older_connection_are_ignored() {
    let mut w = World::office();
    let old = w.connected[&SW1];
    w.disconnect(SW1);
    w.connect(SW1);
    let before = w.controller.endpoint_count();
    let packet = PacketIn {
        buffer_id: u32::MAX,
        total_len: 0,
        reason: 1,
        table: 0,
        cookie: Cookie { owner: Owner::System(SystemRow::Dhcp), round: 1 }.to_u64(),
        matches: Match::new().with(Field::InPort, 1_u32),
        data: dhcp::discover(mac(1)),
    };
    let message = Box::new(Message { xid: 0, body: Body::PacketIn(packet) });
    w.handle(Input::Message { dpid: SW1, connection: old, message });
    assert_eq!(w.controller.endpoint_count(), before);
    w.net.switch(SW1).set_link(PortNo(1), true);
    w.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_do_no_harm(
        flips in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec((0..400_usize, 0..8_u32), 1..4),
            prop::sample::select(SHOWN.to_vec()), prop::sample::select(vec![1, 2, SHARED, 12])), 100),
    ) {
        let mut w = World::office();
        let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW1, 4)));
        w.login(&anna, "anna");
        w.events.clear();
        let samples = samples();
        for (which, bits, row, port) in flips {
            let mut frame = which.get(&samples).clone();
            for (at, bit) in bits {
                let length = frame.len().max(1);
                if let Some(byte) = frame.get_mut(at % length) {
                    *byte ^= 1 << bit;
                }
            }
            shown(&mut w, Owner::System(row), port, frame);
        }
        prop_assert!(w.events.len() <= 300);
        // Whoever was refused: those who were here first are where they were, unless they gave their address back.
        if w.standing(&crm) == Some(fseg_control::Standing::Admitted) {
            prop_assert_eq!(w.endpoint(crm.mac).unwrap().0.binding.as_ref().unwrap().location, crm.place);
        }
        w.check();
    }
}

#[test]
fn a_denied_connection_is_told_by_name() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW1, 4)));
    w.login(&anna, "anna");
    w.events.clear();
    w.send(&anna, &frames::first_of(Flow::tcp(22), anna.mac, ROUTER_MAC, anna.ip(), crm.ip()));
    let said = w.said(fseg_control::EventKind::Denied);
    assert!(said.len() == 1 && said[0].starts_with("anna to crm-1, tcp/22: "), "{said:?}");
    // An address that nobody has, and one outside without a way there.
    for (address, what) in [([10, 0, 9, 9], "belongs to nobody here"), ([198, 51, 100, 10], "")] {
        w.send(&anna, &frames::first_of(Flow::tcp(22), anna.mac, ROUTER_MAC, anna.ip(), address.into()));
        let said = w.said(fseg_control::EventKind::Denied);
        assert!(said.len() == 1 && said[0].contains(what), "{said:?}");
    }
}
