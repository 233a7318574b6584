//! Who joins, how, and what they reach.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use std::time::Duration;

use fseg_admission::LoginRefused;
use fseg_control::{Answer, EventKind, Input, Refusal, Standing};
use fseg_model::{Flow, Method};
use fseg_test_kit::{dhcp, frames};
use kit::{Client, NAMED, ROUTER, SHARED, SW1, SW2, World, account, at, device, mac, name};

const WEB: Flow = Flow { protocol: fseg_model::IpProtocol::TCP, port: 80 };

#[test]
fn a_device_of_the_list_is_admitted_with_its_address() {
    let mut w = World::office();
    // 1. crm-1 asks for an address.
    let crm = w.joined(101, at(SW1, 4));
    // 2. It is admitted by the list, under its name, at its place.
    let (e, standing) = w.endpoint(crm.mac).unwrap();
    assert_eq!((standing, e.name.clone()), (Standing::Admitted, Some(name("crm-1"))));
    assert_eq!(e.session.as_ref().unwrap().method, Method::Device);
    assert_eq!(e.binding.as_ref().unwrap().location, crm.place);
    assert_eq!(w.groups(&crm), [name("crm")].into());
    assert!(w.said(EventKind::Admitted)[0].contains("crm-1"));
    // 3. The lease is that of somebody admitted.
    let reply = dhcp::read(&w.send(&crm, &dhcp::reboot(crm.mac, crm.ip()))[0]).unwrap();
    assert_eq!(reply.seconds, Some(3600));
    w.check();
}

#[test]
fn whatever_stands_at_a_place_is_admitted_by_the_place() {
    let mut w = World::office();
    // 1. Two printers at two places.
    let (one, two) = (w.joined(1, at(SW1, NAMED)), w.joined(2, at(SW2, NAMED)));
    let names: Vec<_> = [&one, &two].map(|c| w.endpoint(c.mac).unwrap().0.name.clone().unwrap().to_string()).into();
    assert_eq!(names, ["printer-1", "printer-2"]);
    // 2. Staff may print, printers reach nobody.
    let anna = w.joined(3, at(SW1, 1));
    w.login(&anna, "anna");
    let print = Flow::tcp(9100);
    assert!(w.reaches(&anna, &one, print) && w.reaches(&anna, &two, print));
    assert!(!w.reaches(&one, &anna, print) && !w.reaches(&one, &two, print));
    // 3. Elsewhere the same device is nobody: the place's session does not move with it.
    w.link(one.place, false);
    let moved = Client { place: at(SW1, 2), ..one };
    assert!(w.speak(&moved));
    assert_eq!(w.standing(&moved), Some(Standing::Stranger));
    assert!(!w.reaches(&anna, &moved, print));
    w.check();
}

#[test]
fn a_person_logs_in_and_out() {
    let mut w = World::office();
    let crm = w.joined(101, at(SW2, 4));
    // 1. Anna's laptop has an address and no rights.
    let anna = w.joined(1, at(SW1, 1));
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    assert!(!w.reaches(&anna, &crm, WEB));
    // 2. A wrong password changes nothing.
    let touched = w.touched();
    assert_eq!(w.login_as(&anna, "anna", false), Answer::LoginRefused(LoginRefused::WrongPassword { left: 4 }));
    assert_eq!(w.touched(), touched);
    assert_eq!(w.said(EventKind::Refused).len(), 1);
    // 3. An account that does not exist is answered the same.
    assert_eq!(w.login_as(&anna, "nobody", true), Answer::LoginRefused(LoginRefused::WrongPassword { left: 4 }));
    // 4. The right one gives her name, and what sales may.
    assert_eq!(w.login(&anna, "anna"), name("anna"));
    assert!(w.reaches(&anna, &crm, WEB) && !w.reaches(&crm, &anna, WEB) && !w.reaches(&anna, &crm, Flow::tcp(22)));
    // 5. Her second device has a name of its own.
    let phone = w.joined(2, at(SW1, 2));
    assert_eq!(w.login(&phone, "anna"), name("anna-2"));
    // 6. She logs out: a stranger again, at once.
    assert_eq!(w.logout(&anna), Answer::Done("logged out".into()));
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    assert!(!w.reaches(&anna, &crm, WEB) && w.reaches(&phone, &crm, WEB));
    // 7. Twice is once too often.
    assert!(matches!(w.logout(&anna), Answer::Refused(Refusal::NotFound(_))));
    w.check();
}

#[test]
fn too_many_wrong_passwords_lock_the_account_for_a_while() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    for left in (1..5).rev() {
        assert_eq!(w.login_as(&anna, "anna", false), Answer::LoginRefused(LoginRefused::WrongPassword { left }));
    }
    assert!(matches!(w.login_as(&anna, "anna", false), Answer::LoginRefused(LoginRefused::Locked { .. })));
    // The right one is not even looked at.
    assert!(matches!(w.login_as(&anna, "anna", true), Answer::LoginRefused(LoginRefused::Locked { .. })));
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    w.pass(Duration::from_secs(601));
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    w.check();
}

#[test]
fn a_login_belongs_to_the_device_that_typed_it() {
    let mut w = World::office();
    // 1. Anna types her password; the check takes a while.
    let anna = w.joined(1, at(SW1, 1));
    let address = anna.ip();
    let Some(fseg_admission::LoginStart::Check { attempt, .. }) = w.login_start(address, "anna") else {
        panic!("no check");
    };
    // 2. Meanwhile her address becomes somebody else's.
    w.send(&anna, &dhcp::release(anna.mac, fseg_pipeline::fabric::ROUTER_MAC, ROUTER, address));
    w.put_device(fseg_admission::Device { address: Some(address), ..device("other", mac(9)) });
    let other = w.joined(9, at(SW2, 1));
    assert_eq!(other.ip(), address);
    // 3. The login is nobody's: the other device does not become Anna.
    let answer = w.ask(|ticket| Input::LoginFinished { ticket, address, attempt, verified: true });
    assert!(matches!(answer, Answer::Refused(_)), "{answer:?}");
    assert_eq!(w.endpoint(other.mac).unwrap().0.name, Some(name("other")));
    w.check();
}

#[test]
fn a_session_expires() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    let crm = w.joined(101, at(SW2, 4));
    w.login(&anna, "anna");
    // She works all day: renews and speaks.
    for _ in 0..23 {
        w.pass(Duration::from_secs(1790));
        w.renew(&anna);
        w.renew(&crm);
    }
    assert!(w.reaches(&anna, &crm, WEB));
    w.events.clear();
    w.pass(Duration::from_secs(2100));
    assert_eq!(w.said(EventKind::Ended), ["the session of anna ended: its time was over"]);
    assert!(!w.reaches(&anna, &crm, WEB));
    w.check();
}

#[test]
fn an_idle_session_ends_and_traffic_keeps_it() {
    let mut config = kit::config();
    config.address.lease = Duration::from_secs(100_000);
    let mut w = World::with(config);
    for who in ["anna", "bert"] {
        w.put_account(account(who, &[]));
    }
    w.apply(kit::POLICY);
    let (anna, bert) = (w.joined(1, at(SW1, 1)), w.joined(2, at(SW1, 2)));
    w.login(&anna, "anna");
    w.login(&bert, "bert");
    // Both may ping each other; only Anna does.
    for _ in 0..10 {
        w.pass(Duration::from_secs(900));
        let ping = frames::first_of(Flow::PING, anna.mac, fseg_pipeline::fabric::ROUTER_MAC, anna.ip(), bert.ip());
        w.send(&anna, &ping);
    }
    assert_eq!(w.standing(&anna), Some(Standing::Admitted));
    assert_eq!(w.standing(&bert), Some(Standing::Stranger));
    assert_eq!(w.said(EventKind::Ended), ["the session of bert ended: it was idle for too long"]);
    w.check();
}

#[test]
fn an_access_port_takes_one_device() {
    let mut w = World::office();
    let first = w.joined(1, at(SW1, 1));
    let mut second = Client::new(2, at(SW1, 1));
    assert_eq!(w.join(&mut second), None);
    let said = w.said(EventKind::Refused);
    assert!(said.len() == 1 && said[0].contains("is attached here already"), "{said:?}");
    // When the first is gone, there is room.
    w.link(first.place, false);
    w.link(first.place, true);
    assert!(w.join(&mut second).is_some());
    w.check();
}

#[test]
fn a_shared_port_takes_so_many_strangers() {
    let mut w = World::office();
    let guests: Vec<_> = (1..=3).map(|n| w.joined(n, at(SW1, SHARED))).collect();
    let mut fourth = Client::new(4, at(SW1, SHARED));
    assert_eq!(w.join(&mut fourth), None);
    assert_eq!(w.said(EventKind::Refused).len(), 1);
    // Who is admitted does not count.
    w.login(&guests[0], "anna");
    assert!(w.join(&mut fourth).is_some());
    w.check();
}

#[test]
fn strangers_that_left_without_a_word_make_room() {
    let mut w = World::office();
    for n in 1..=3 {
        w.joined(n, at(SW1, SHARED));
    }
    // The ordinary switch behind the port keeps its link; their leases end.
    w.pass(Duration::from_secs(200));
    for n in 1..=3 {
        assert_eq!(w.standing(&Client::new(n, at(SW1, SHARED))), Some(Standing::Away));
    }
    w.joined(4, at(SW1, SHARED));
    // In the end they are forgotten.
    w.pass(Duration::from_secs(400));
    assert!(w.endpoint(mac(1)).is_none());
    w.check();
}

#[test]
fn an_address_given_back_is_gone_at_once() {
    let mut w = World::office();
    let crm = w.joined(101, at(SW1, 4));
    assert!(w.rows_of(&crm) > 0);
    w.send(&crm, &dhcp::release(crm.mac, fseg_pipeline::fabric::ROUTER_MAC, ROUTER, crm.ip()));
    assert_eq!((w.standing(&crm), w.rows_of(&crm)), (Some(Standing::Away), 0));
    w.check();
    // And comes back with the next request.
    let again = w.joined(101, at(SW1, 4));
    assert_eq!(again.ip(), crm.ip());
    w.check();
}

#[test]
fn a_declined_address_is_given_to_nobody_for_a_while() {
    let mut w = World::office();
    let one = w.joined(1, at(SW1, 1));
    w.send(&one, &dhcp::decline(one.mac, ROUTER, one.ip()));
    assert_eq!(w.standing(&one), Some(Standing::Away));
    assert!(w.said(EventKind::Address).iter().any(|m| m.contains("in use already")));
    let again = w.joined(1, at(SW1, 1));
    assert_ne!(again.ip(), one.ip());
    let other = w.joined(2, at(SW1, 2));
    assert_ne!(other.ip(), one.ip());
    w.check();
}

#[test]
fn a_static_device_needs_no_dhcp() {
    let mut w = World::office();
    let address = [10, 7, 0, 1].into();
    w.put_device(fseg_admission::Device { address: Some(address), is_static: true, ..device("plc", mac(50)) });
    let plc = Client { address: Some(address), ..Client::new(50, at(SW1, 3)) };
    assert!(w.speak(&plc), "its first packet is answered");
    assert_eq!(w.standing(&plc), Some(Standing::Admitted));
    // Nobody else may use it.
    let thief = Client { address: Some(address), ..Client::new(51, at(SW2, 3)) };
    assert!(!w.speak(&thief));
    let said = w.said(EventKind::Refused);
    assert!(said.len() == 1 && said[0].contains("belongs to plc"), "{said:?}");
    w.check();
    // It comes back by itself after its link was down, and after a restart.
    w.link(plc.place, false);
    assert_eq!(w.standing(&plc), Some(Standing::Away));
    w.link(plc.place, true);
    assert!(w.speak(&plc));
    w.restart();
    assert_eq!(w.standing(&plc), Some(Standing::Admitted));
    w.check();
}

#[test]
fn a_second_device_with_the_address_of_another_is_refused() {
    let mut w = World::office();
    let one = w.joined(1, at(SW1, 1));
    // From its own port with its own MAC address.
    let thief = Client { address: one.address, ..Client::new(2, at(SW2, 1)) };
    assert!(!w.speak(&thief));
    let said = w.said(EventKind::Refused);
    assert!(said.len() == 1 && said[0].contains(&one.ip().to_string()), "{said:?}");
    // As somebody who has joined: a forgery.
    let mut thief = w.joined(2, at(SW2, 1));
    thief.address = one.address;
    assert!(!w.speak(&thief));
    assert_eq!(w.said(EventKind::Spoofed).len(), 1);
    w.check();
}

#[test]
fn a_thousand_mac_addresses_on_one_port_fill_nothing() {
    let mut w = World::office();
    let records = w.records.len();
    w.events.clear();
    for n in 0..1000_u16 {
        let [hi, lo] = n.to_be_bytes();
        let guest = Client { mac: fseg_model::Mac([2, 0, 0, 7, hi, lo]), ..Client::new(0, at(SW1, SHARED)) };
        w.dhcp(&guest, &dhcp::discover(guest.mac));
    }
    assert_eq!(w.controller.endpoint_count(), 0, "who has no address is nobody yet");
    assert_eq!(w.records.len(), records);
    // Another port is served.
    w.joined(1, at(SW1, 1));
    w.check();
}
