//! What the tables do with a packet, asked of the controller; and that it tells when tables and policy differ.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use fseg_control::{Age, End, Explained};
use fseg_model::Flow;
use fseg_openflow::simulate::Packet;
use kit::{Client, NODE, SW1, SW2, World, at};

/// Anna and Dora at one switch, Bert and a device at the other, and a stranger.
fn office() -> (World, Vec<Client>) {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    let dora = w.joined(2, at(SW1, 2));
    let bert = w.joined(3, at(SW2, 1));
    let crm = w.joined(101, at(SW2, 4));
    let stranger = w.joined(9, at(SW2, 2));
    for (client, who) in [(&anna, "anna"), (&dora, "dora"), (&bert, "bert")] {
        w.login(client, who);
    }
    (w, vec![anna, dora, bert, crm, stranger])
}

fn explain(w: &World, from: &str, to: &str, service: &str) -> Explained {
    let party = |text: &str| w.controller.party(text).unwrap_or_else(|| panic!("who is {text}?"));
    let flow = w.controller.flows_of(service).unwrap()[0];
    w.controller.explain(party(from), party(to), flow)
}

#[test]
fn the_tables_do_what_the_policy_says_and_what_packets_meet() {
    let (mut w, clients) = office();
    let mut permitted = 0;
    for from in &clients {
        for to in &clients {
            for flow in [Flow::tcp(80), Flow::tcp(22), Flow::tcp(9100), Flow::PING] {
                if from.mac == to.mac {
                    continue;
                }
                let party = |c: &Client| w.controller.party(&c.ip().to_string()).unwrap();
                let told = w.controller.explain(party(from), party(to), flow);
                assert_eq!(told.defect, None, "{} to {}, {flow}", told.from.name, told.to.name);
                let traced = told.traced.clone().unwrap();
                // The same packet on the switches of the network in memory, whose tables were told by messages.
                assert_eq!(
                    told.is_permit(),
                    w.reaches(from, to, flow),
                    "{} to {}, {flow}",
                    told.from.name,
                    told.to.name
                );
                if told.is_permit() {
                    permitted += 1;
                    let wanted = to.place;
                    assert!(
                        traced.ends.iter().all(|end| matches!(end, End::Delivered { place, .. } if *place == wanted))
                    );
                    let switches: Vec<_> = traced.hops.iter().map(|hop| hop.at.switch).collect();
                    let way = if from.place.switch == to.place.switch {
                        vec![from.place.switch]
                    } else {
                        vec![from.place.switch, NODE, to.place.switch]
                    };
                    assert_eq!(switches, way);
                }
            }
        }
    }
    assert!(permitted >= 8, "{permitted}");
}

#[test]
fn answers_and_later_packets_are_traced_through_translation() {
    let (w, _) = office();
    let party = |text: &str| w.controller.party(text).unwrap();
    for (to, at_end) in [("crm-1", at(SW1, 1)), ("net", at(SW1, 1)), ("198.51.100.10", at(SW1, 1))] {
        let first = w.controller.trace_connection(&party("anna"), &party(to), Flow::tcp(80), Age::First).unwrap();
        if to == "net" {
            continue; // its first address is one that is never forwarded
        }
        assert!(first.delivered(), "{to}: {:?}", first.ends);
        let reply = w.controller.trace_connection(&party("anna"), &party(to), Flow::tcp(80), Age::Reply).unwrap();
        assert!(
            matches!(&reply.ends[..], [End::Delivered { place, to, .. }] if *place == at_end && to == "anna"),
            "{to}: {:?}",
            reply.ends
        );
        let later = w.controller.trace_connection(&party("anna"), &party(to), Flow::tcp(80), Age::Established).unwrap();
        assert!(later.delivered());
    }
    // An answer that nobody asked for, as a packet: the connection is said to exist, and it is judged by its asker.
    let (anna, crm) = (party("anna"), party("crm-1"));
    let text = |from: &fseg_control::Party, to: &fseg_control::Party, ports: &str| {
        format!("tcp,nw_src={},nw_dst={},{ports}", from.addresses[0], to.addresses[0])
    };
    let run = |text: &str, age| {
        let mut packet = Packet::from_text(text).unwrap();
        w.controller.complete(&mut packet);
        let place = w.controller.place_of(&packet).unwrap();
        w.controller.trace(place, packet, age)
    };
    assert!(run(&text(&anna, &crm, "tp_src=5,tp_dst=80"), Age::First).delivered());
    assert!(!run(&text(&anna, &crm, "tp_src=5,tp_dst=22"), Age::First).delivered());
    assert!(!run(&text(&crm, &anna, "tp_src=80,tp_dst=5"), Age::First).delivered());
    assert!(run(&text(&crm, &anna, "tp_src=80,tp_dst=5"), Age::Reply).delivered());
}

#[test]
fn addresses_that_are_never_forwarded_are_not_permitted() {
    let (w, _) = office();
    assert!(w.controller.party("224.0.0.9").is_none(), "a multicast address that no stream has is nobody");
    for address in ["255.255.255.255", "127.0.0.1", "169.254.3.4", "0.0.0.0"] {
        let told = explain(&w, "anna", address, "tcp/80");
        assert!(!told.is_permit() && told.unreachable.is_some() || !told.decision.is_permit(), "{address}: {told:?}");
        assert_eq!(told.defect, None, "{address}");
    }
    let told = explain(&w, "anna", "198.51.100.10", "tcp/80");
    assert!(told.is_permit() && told.defect.is_none(), "{told:?}");
}

#[test]
fn people_and_devices_who_are_not_here_are_answered_by_the_policy() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    // Neither Bert nor any CRM device has come.
    for (from, to) in [("anna", "crm-1"), ("user:bert", "device:crm-2"), ("bert", "crm-1")] {
        let told = explain(&w, from, to, "web");
        assert!(told.is_permit() && told.defect.is_none(), "{from} to {to}: {told:?}");
        assert!(told.notes.iter().any(|note| note.contains("not connected now")), "{:?}", told.notes);
        assert!(told.traced.is_err());
        assert!(!explain(&w, from, to, "tcp/22").is_permit());
    }
    assert!(w.controller.party("user:nobody").is_none() && w.controller.party("nobody").is_none());
}
