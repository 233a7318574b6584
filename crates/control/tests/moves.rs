//! Endpoints that leave, come back, and turn up elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use std::time::Duration;

use fseg_control::{EventKind, Standing};
use fseg_model::{Flow, IpProtocol};
use kit::{Client, NAMED, SHARED, SW1, SW2, World, at};

const WEB: Flow = Flow { protocol: IpProtocol::TCP, port: 80 };

#[test]
fn a_short_loss_of_the_link_ends_no_session() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    // 1. The cable is out: no rows, no place, but still a session.
    w.events.clear();
    w.link(anna.place, false);
    assert_eq!((w.standing(&anna), w.rows_of(&anna)), (Some(Standing::Away), 0));
    assert_eq!(w.said(EventKind::Moved), ["anna left tokyo/sw1/p1: the link is down"]);
    w.check();
    // 2. In again within the time, with the old lease: the first packet is answered, nobody is asked for a password.
    w.pass(Duration::from_secs(300));
    w.link(anna.place, true);
    assert!(w.speak(&anna));
    assert_eq!(w.standing(&anna), Some(Standing::Admitted));
    assert!(w.reaches(&anna, &crm, WEB));
    assert_eq!(w.said(EventKind::Moved), Vec::<String>::new(), "it is where it was");
    w.check();
}

#[test]
fn who_is_away_too_long_must_log_in_again() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    w.link(anna.place, false);
    w.pass(Duration::from_secs(601));
    assert_eq!(w.said(EventKind::Ended), ["the session of anna ended: it was away for too long"]);
    w.link(anna.place, true);
    assert!(w.speak(&anna));
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    w.check();
}

#[test]
fn a_device_comes_back_however_long_it_was_away() {
    let mut w = World::office();
    let crm = w.joined(101, at(SW2, 4));
    w.link(crm.place, false);
    w.pass(Duration::from_secs(20_000));
    w.link(crm.place, true);
    let again = w.joined(101, at(SW2, 4));
    assert_eq!((again.ip(), w.standing(&again)), (crm.ip(), Some(Standing::Admitted)));
    w.check();
}

#[test]
fn an_endpoint_moves_with_its_address_and_session() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW1, 4)));
    w.login(&anna, "anna");
    // 1. Out here, in there: its first packet there is enough.
    w.link(anna.place, false);
    let moved = Client { place: at(SW2, 3), ..anna.clone() };
    w.events.clear();
    assert!(w.speak(&moved));
    assert_eq!(w.said(EventKind::Moved), ["anna moved from tokyo/sw1/p1 to tokyo/sw2/p3"]);
    // 2. It talks from there, and is found there; the old port is nobody's.
    assert!(w.reaches(&moved, &crm, WEB));
    assert!(!w.reaches(&anna, &crm, WEB));
    assert!(w.check_delivery(&[moved.clone(), crm], &[WEB, Flow::PING]) > 0);
    w.check();
    // 3. And after a restart it is still there.
    w.restart();
    assert_eq!(w.endpoint(moved.mac).unwrap().0.binding.as_ref().unwrap().location, moved.place);
    w.check();
}

#[test]
fn a_mac_address_that_is_attached_elsewhere_is_refused() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    // 1. The same MAC and address at another port, while the first is still there.
    let twin = Client { place: at(SW2, 1), ..anna.clone() };
    w.events.clear();
    let touched = w.touched();
    assert!(!w.speak(&twin));
    let said = w.said(EventKind::Refused);
    assert!(said.len() == 1 && said[0].contains("still attached at tokyo/sw1/p1"), "{said:?}");
    // 2. Nor does it get an address by asking.
    let mut asking = Client::new(1, at(SW2, 1));
    assert_eq!(w.join(&mut asking), None);
    assert_eq!(w.touched(), touched, "nothing changed for the first one");
    // 3. Said once in a while, not for every packet.
    for _ in 0..50 {
        w.speak(&twin);
    }
    assert_eq!(w.said(EventKind::Refused), Vec::<String>::new());
    w.check();
}

#[test]
fn a_port_that_is_gone_when_its_switch_comes_back_holds_nobody() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    // 1. While nobody listens the port is taken out of the switch.
    w.disconnect(SW1);
    w.net.switch(SW1).ports.remove(&anna.place.port);
    w.connect(SW1);
    assert_eq!(w.standing(&anna), Some(Standing::Away));
    // 2. So she may be elsewhere.
    let moved = Client { place: at(SW2, 1), ..anna };
    assert!(w.speak(&moved));
    assert_eq!(w.standing(&moved), Some(Standing::Admitted));
    w.check();
}

#[test]
fn a_link_that_was_lost_while_the_switch_was_away_is_noticed() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    for restart in [false, true] {
        if restart {
            w.stop()
        } else {
            w.disconnect(SW1)
        }
        w.link(anna.place, false);
        for dpid in kit::SWITCHES {
            if !w.connected.contains_key(&dpid) {
                w.connect(dpid);
            }
        }
        assert_eq!((w.standing(&anna), w.rows_of(&anna)), (Some(Standing::Away), 0));
        w.check();
        w.link(anna.place, true);
        assert!(w.speak(&anna));
    }
}

#[test]
fn names_given_by_place_are_free_again_and_roles_do_not_travel() {
    let mut w = World::office();
    let one = w.joined(1, at(SW1, NAMED));
    assert_eq!(w.endpoint(one.mac).unwrap().0.name.as_ref().unwrap().as_str(), "printer-1");
    // Moved to a port where people log in, somebody logs in with it.
    w.link(one.place, false);
    let mut moved = Client { place: at(SW2, 1), ..one };
    w.join(&mut moved);
    assert_eq!(w.standing(&moved), Some(Standing::Stranger));
    assert_eq!(w.login(&moved, "bert").as_str(), "bert");
    // Back at its place it is whatever stands there only when nobody is logged in.
    w.check();
}

#[test]
fn endpoints_behind_one_shared_port_leave_together() {
    let mut w = World::office();
    let (one, two) = (w.joined(1, at(SW1, SHARED)), w.joined(2, at(SW1, SHARED)));
    w.login(&one, "anna");
    w.login(&two, "bert");
    assert!(w.reaches(&one, &two, Flow::PING));
    w.link(one.place, false);
    assert_eq!((w.standing(&one), w.standing(&two)), (Some(Standing::Away), Some(Standing::Away)));
    w.check();
}
