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
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_test_kit::frames::{self, CLIENT_PORT};
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

#[test]
fn who_leaves_a_shared_port_is_asked_for_there_and_may_go() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, SHARED)), w.joined(101, at(SW1, 4)));
    w.login(&anna, "anna");
    // 1. Out at the ordinary switch, in at another port: no link of ours went down. Her first packet has to wait.
    let mut moved = Client { place: at(SW2, 3), ..anna.clone() };
    w.events.clear();
    assert!(!w.speak(&moved));
    assert_eq!(w.said(EventKind::Refused), Vec::<String>::new());
    // 2. Nobody answers at the old place: she has moved, with address and session, and without another packet of hers.
    w.pass(Duration::from_secs(3));
    assert_eq!(
        w.said(EventKind::Moved),
        ["anna left tokyo/sw1/p8: it does not answer there any more", "anna moved from tokyo/sw1/p8 to tokyo/sw2/p3"]
    );
    assert!(w.speak(&moved) && w.reaches(&moved, &crm, WEB));
    w.check();
    // 3. Back, and asking for an address instead.
    w.link(moved.place, false);
    moved.place = at(SW1, SHARED);
    assert!(w.speak(&moved));
    let mut asking = Client { place: at(SW2, 1), ..moved.clone() };
    assert_eq!(w.join(&mut asking), None);
    w.pass(Duration::from_secs(3));
    assert_eq!(w.join(&mut asking), Some(anna.ip()));
    w.check();
}

#[test]
fn who_answers_at_a_shared_port_stays_there() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, SHARED));
    w.login(&anna, "anna");
    // 1. Somebody with her MAC address elsewhere, while she answers where she is.
    let twin = Client { place: at(SW2, 3), ..anna.clone() };
    w.answering.insert(anna.mac, (anna.place, anna.ip()));
    w.events.clear();
    for _ in 0..3 {
        assert!(!w.speak(&twin));
        w.pass(Duration::from_secs(3));
    }
    let said = w.said(EventKind::Refused);
    assert!(said[0].contains("anna has this MAC address and is still heard at tokyo/sw1/p8"), "{said:?}");
    assert_eq!(w.endpoint(anna.mac).unwrap().0.binding.as_ref().unwrap().location, anna.place);
    // 2. A switch that tells no counters has not said that she left.
    w.answering.clear();
    w.hold(SW1);
    assert!(!w.speak(&twin));
    w.pass(Duration::from_secs(8));
    w.release(SW1);
    assert_eq!(w.endpoint(anna.mac).unwrap().0.binding.as_ref().unwrap().location, anna.place);
    w.check();
}

#[test]
fn who_jumps_to_and_fro_is_held_and_said() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    let places = [at(SW1, 1), at(SW2, 1)];
    // 1. Moves within a second are moves.
    let mut here = anna.clone();
    for n in 1..=6 {
        w.link(here.place, false);
        w.link(here.place, true);
        here.place = places[n % 2];
        assert!(w.speak(&here), "move {n}");
    }
    // 2. Six in ten seconds are too many: said once, and held where she is.
    let said = w.said(EventKind::Spoofed);
    assert!(said.len() == 1 && said[0].contains("moved 6 times within 10 s"), "{said:?}");
    w.events.clear();
    let away = Client { place: places[1], ..here.clone() };
    assert!(!w.speak(&away));
    let said = w.said(EventKind::Refused);
    assert!(said.len() == 1 && said[0].contains("jumped too often and is held at tokyo/sw1/p1"), "{said:?}");
    assert_eq!(w.standing(&here), Some(Standing::Admitted));
    // 3. Later she may move again.
    w.pass(Duration::from_secs(25));
    w.link(here.place, false);
    assert!(w.speak(&away));
    w.check();
}

#[test]
fn a_flapping_link_ends_no_session() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    for _ in 0..20 {
        w.link(anna.place, false);
        w.link(anna.place, true);
        assert!(w.speak(&anna));
    }
    assert!(w.reaches(&anna, &crm, WEB));
    assert_eq!(w.said(EventKind::Spoofed), Vec::<String>::new(), "it never moved");
    w.check();
}

#[test]
fn a_loop_is_said_and_its_port_takes_nobody() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    // 1. What the switch answered to Anna comes back by another port: only this network sends as the router.
    let back = Client { mac: fseg_pipeline::fabric::ROUTER_MAC, place: at(SW1, 2), address: Some(anna.ip()) };
    w.events.clear();
    for _ in 0..50 {
        let frame = fseg_test_kit::frames::who_has(back.mac, anna.ip(), kit::ROUTER);
        w.send(&back, &frame);
    }
    let said = w.said(EventKind::Spoofed);
    assert!(said.len() == 1 && said[0].contains("come back at tokyo/sw1/p2"), "{said:?}");
    // 2. Nobody new there; Anna is where she was.
    let mut new = Client::new(9, at(SW1, 2));
    assert_eq!(w.join(&mut new), None);
    assert_eq!(w.endpoint(anna.mac).unwrap().0.binding.as_ref().unwrap().location, anna.place);
    // 3. Her own frames that come back by that port change nothing either.
    let mirror = Client { place: at(SW1, 2), ..anna.clone() };
    assert!(!w.speak(&mirror));
    // 4. Without the loop the port is a port again.
    w.pass(Duration::from_secs(11));
    assert!(w.join(&mut new).is_some());
    w.check();
}

#[test]
fn a_stranger_that_logged_out_has_no_name() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    w.logout(&anna);
    assert_eq!(w.endpoint(anna.mac).unwrap().0.name, None);
    assert!(w.said(EventKind::Ended)[0].contains("the session of anna ended"));
    // The name is kept for it: a second device of hers gets another one, and it gets its own again.
    let second = w.joined(2, at(SW1, 2));
    assert_eq!(w.login(&second, "anna").as_str(), "anna-2");
    assert_eq!(w.login(&anna, "anna").as_str(), "anna");
    w.check();
}

#[test]
fn logins_during_a_lock_out_are_in_the_log_once_in_a_while() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    for _ in 0..5 {
        w.login_as(&anna, "bert", false);
    }
    w.events.clear();
    for _ in 0..100 {
        w.login_as(&anna, "bert", true);
        w.handle(fseg_control::Input::Tick);
    }
    let said = w.said(EventKind::Refused);
    assert!(
        said.len() == 1 && said[0].contains("login as bert from") && said[0].contains("locked for another"),
        "{said:?}"
    );
    w.pass(Duration::from_secs(11));
    w.login_as(&anna, "bert", true);
    w.handle(fseg_control::Input::Tick);
    assert_eq!(w.said(EventKind::Refused).len(), 1);
}

#[test]
fn an_address_that_is_leased_is_not_given_to_a_device() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    let printer = fseg_admission::Device { address: Some(anna.ip()), ..kit::device("cam", kit::mac(9)) };
    let fseg_control::Answer::Refused(why) = w.put_device(printer.clone()) else { panic!("taken away from anna") };
    assert!(
        format!("{why:?}").contains(&format!("{} is leased to anna ({}) for another", anna.ip(), anna.mac)),
        "{why:?}"
    );
    assert_eq!(w.standing(&anna), Some(Standing::Admitted));
    // To the one that has it, it may be given.
    let own = fseg_admission::Device { address: Some(anna.ip()), ..kit::device("annas", anna.mac) };
    assert!(matches!(w.put_device(own), fseg_control::Answer::Done(_)));
    w.check();
}

/// What a server sends in the midst of a connection that a client opened to port 80.
fn midstream(w: &mut World, server: &Client, client: &Client, udp: bool) -> bool {
    let (from, to) = (server.ip(), client.ip());
    let frame = match udp {
        true => frames::udp(server.mac, ROUTER_MAC, from, to, 514, CLIENT_PORT, b"more"),
        false => frames::tcp(server.mac, ROUTER_MAC, from, to, 80, CLIENT_PORT, frames::tcp_flags::ACK),
    };
    w.net.arrived.clear();
    w.net.send(server.place, &frame);
    w.settle();
    std::mem::take(&mut w.net.arrived).iter().any(|a| {
        a.place == client.place && a.frame[..6] == client.mac.0 && a.frame.len() >= 34 && a.frame[23] == frame[23]
    })
}

const LOG: Flow = Flow { protocol: IpProtocol::UDP, port: 514 };
const DOWNLOADS: &str = "groups:\n  people: { members: [user:anna] }\n  crm: { members: [device:crm-1] }\npermits:\n  \
                         - { id: web, from: people, to: crm, services: [tcp/80] }\n  \
                         - { id: log, from: people, to: crm, services: [udp/514] }\n";

/// Anna with a connection to the crm at the same switch, and herself after her move to another one.
fn downloading(mut w: World, flow: Flow) -> (World, Client, Client, Client) {
    w.apply(DOWNLOADS);
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW1, 4)));
    w.login(&anna, "anna");
    let first = frames::first_of(flow, anna.mac, ROUTER_MAC, anna.ip(), crm.ip());
    w.send(&anna, &first);
    assert!(midstream(&mut w, &crm, &anna, flow == LOG), "it runs before the move");
    w.link(anna.place, false);
    let moved = Client { place: at(SW2, 3), ..anna.clone() };
    (w, anna, moved, crm)
}

#[test]
fn a_download_goes_on_when_its_receiver_moved_and_is_silent() {
    for (flow, udp) in [(WEB, false), (LOG, true)] {
        let (mut w, _, moved, crm) = downloading(World::office(), flow);
        assert!(!midstream(&mut w, &crm, &moved, udp), "it is nowhere");
        assert!(w.speak(&moved));
        w.events.clear();
        // 1. The very packet that shows it passes, and so do those behind it, without the node.
        assert!(midstream(&mut w, &crm, &moved, udp));
        assert_eq!(
            w.said(EventKind::Moved),
            [format!("anna moved while it used {flow} of crm-1: its new switch knows that connection now")]
        );
        assert!(midstream(&mut w, &crm, &moved, udp));
        assert_eq!(w.said(EventKind::Moved), Vec::<String>::new());
        assert_eq!(w.said(EventKind::Denied), Vec::<String>::new());
        // 2. Withdrawn is withdrawn.
        w.apply(&DOWNLOADS.replace("udp/514", "udp/515").replace("tcp/80", "tcp/81"));
        assert!(!midstream(&mut w, &crm, &moved, udp));
        w.check();
        w.check_replay();
    }
}

#[test]
fn nobody_opens_a_connection_by_pretending_to_go_on_with_one() {
    // 1. The client moved, and never opened anything: the sender's own switch knows of no connection.
    for udp in [false, true] {
        let mut w = World::office();
        w.apply(DOWNLOADS);
        let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW1, 4)));
        w.login(&anna, "anna");
        w.link(anna.place, false);
        let moved = Client { place: at(SW2, 3), ..anna.clone() };
        assert!(w.speak(&moved));
        assert!(!midstream(&mut w, &crm, &moved, udp));
        assert!(!midstream(&mut w, &crm, &moved, udp));
        w.check();
    }
    // 2. The sender comes to the switch of the client at the same time: nobody is left who saw the connection begin.
    let (mut w, _, moved, crm) = downloading(World::office(), WEB);
    assert!(w.speak(&moved));
    w.link(crm.place, false);
    let crm = Client { place: at(SW2, 4), ..crm };
    assert!(w.speak(&crm));
    assert!(!midstream(&mut w, &crm, &moved, false));
    // 3. Another port than the permitted one, an opening, and the answer to one.
    let (mut w, _, moved, crm) = downloading(World::office(), WEB);
    assert!(w.speak(&moved));
    let (from, to) = (crm.ip(), moved.ip());
    for (port, flags) in
        [(81, frames::tcp_flags::ACK), (80, frames::tcp_flags::SYN), (80, frames::tcp_flags::SYN_ACK), (80, 4)]
    {
        let frame = frames::tcp(crm.mac, ROUTER_MAC, from, to, port, 9, flags);
        w.net.arrived.clear();
        w.net.send(crm.place, &frame);
        w.settle();
        assert!(w.net.arrived.iter().all(|a| a.place != moved.place), "port {port}, flags {flags:#x}");
    }
    // 4. A minute later it is too late.
    w.pass(Duration::from_secs(61));
    assert!(!midstream(&mut w, &crm, &moved, false));
    w.check();
}

#[test]
fn a_switch_without_connection_tracking_vouches_for_nobody() {
    let mut config = kit::config();
    for s in config.switches.iter_mut().filter(|s| s.dpid == SW1) {
        s.protocol = fseg_control::Protocol::OpenFlow13;
    }
    let world = World::with_switches(config, |s| s.plain = (s.dpid == SW1).then(|| kit::features(10, 4000)));
    let (mut w, _, moved, crm) = downloading(World::furnished(world), WEB);
    assert!(w.speak(&moved));
    assert!(!midstream(&mut w, &crm, &moved, false));
    w.check();
}

#[test]
fn a_move_takes_up_so_many_connections_and_no_more() {
    let (mut w, anna, moved, crm) = downloading(World::office(), WEB);
    // Forty connections that her old switch knows; it is the server's as well.
    w.link(anna.place, true);
    assert!(w.speak(&anna));
    for n in 0..40_u16 {
        let frame = frames::tcp(anna.mac, ROUTER_MAC, anna.ip(), crm.ip(), 2000 + n, 80, frames::tcp_flags::SYN);
        w.send(&anna, &frame);
    }
    w.link(anna.place, false);
    assert!(w.speak(&moved));
    let arrives = |w: &mut World, n: u16| {
        let frame = frames::tcp(crm.mac, ROUTER_MAC, crm.ip(), moved.ip(), 80, 2000 + n, frames::tcp_flags::ACK);
        w.net.arrived.clear();
        w.net.send(crm.place, &frame);
        w.settle();
        w.net.arrived.iter().any(|a| a.place == moved.place)
    };
    let count = (0..40).filter(|n| arrives(&mut w, *n)).count();
    assert_eq!(count, 32);
    w.check();
}
