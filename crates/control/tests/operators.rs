//! What operators change: accounts, devices, policies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use std::time::Duration;

use fseg_admission::Account;
use fseg_control::{Answer, EventKind, Input, Refusal, Standing};
use fseg_model::{Flow, IpProtocol};
use kit::{Client, POLICY, SW1, SW2, World, account, at, device, mac, name};

const WEB: Flow = Flow { protocol: IpProtocol::TCP, port: 80 };

#[test]
fn a_disabled_account_is_out_at_once() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    let phone = w.joined(2, at(SW2, 2));
    w.login(&anna, "anna");
    w.login(&phone, "anna");
    // One of them is away at that moment.
    w.link(phone.place, false);
    w.put_account(Account { disabled: true, ..account("anna", &[]) });
    assert_eq!(w.said(EventKind::Ended).len(), 2);
    assert!(!w.reaches(&anna, &crm, WEB));
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    w.link(phone.place, true);
    w.speak(&phone);
    assert_eq!(w.standing(&phone), Some(Standing::Stranger));
    assert!(matches!(w.login_as(&anna, "anna", true), Answer::LoginRefused(fseg_admission::LoginRefused::Disabled)));
    w.check();
}

#[test]
fn a_deleted_account_is_out_at_once() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    let gone = w.ask(|ticket| Input::DeleteAccount { ticket, who: "op".into(), name: name("anna") });
    assert!(matches!(gone, Answer::Done(_)), "{gone:?}");
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    let again = w.ask(|ticket| Input::DeleteAccount { ticket, who: "op".into(), name: name("anna") });
    assert!(matches!(again, Answer::Refused(Refusal::NotFound(_))), "{again:?}");
    w.check();
}

#[test]
fn another_role_is_another_group_at_once() {
    let mut w = World::office();
    let (bert, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&bert, "bert");
    assert_eq!(w.groups(&bert), ["sales", "staff"].map(name).into());
    w.put_account(account("bert", &["dev"]));
    assert_eq!(w.groups(&bert), ["dev", "sales", "staff"].map(name).into());
    assert_eq!(w.standing(&bert), Some(Standing::Admitted));
    assert!(w.reaches(&bert, &crm, WEB));
    w.check();
}

#[test]
fn an_operator_ends_a_session() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    let endpoint = w.endpoint(anna.mac).unwrap().0.id;
    let answer = w.ask(|ticket| Input::EndSession { ticket, who: "op".into(), endpoint });
    assert_eq!(answer, Answer::Done("the session of anna is ended".into()));
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    let answer = w.ask(|ticket| Input::EndSession { ticket, who: "op".into(), endpoint });
    assert!(matches!(answer, Answer::Refused(Refusal::NotFound(_))));
    w.check();
}

#[test]
fn a_device_put_on_the_list_is_admitted_where_it_is_and_taken_off_is_out() {
    let mut w = World::office();
    let guest = w.joined(7, at(SW1, 1));
    assert_eq!(w.standing(&guest), Some(Standing::Stranger));
    w.put_device(device("crm-9", guest.mac));
    assert_eq!(w.standing(&guest), Some(Standing::Admitted));
    w.put_device(fseg_admission::Device { disabled: true, ..device("crm-9", guest.mac) });
    assert_eq!(w.standing(&guest), Some(Standing::Stranger));
    // A barred device gets in by no login.
    assert!(matches!(w.login_as(&guest, "anna", true), Answer::LoginRefused(fseg_admission::LoginRefused::Disabled)));
    w.put_device(device("crm-9", guest.mac));
    assert!(matches!(w.delete_device("crm-9"), Answer::Done(_)));
    assert_eq!(w.standing(&guest), Some(Standing::Stranger));
    w.check();
}

#[test]
fn a_fixed_address_takes_the_place_of_the_lease() {
    let mut w = World::office();
    let crm = w.joined(101, at(SW2, 4));
    let fixed = [10, 0, 1, 25].into();
    assert_ne!(crm.ip(), fixed);
    w.put_device(fseg_admission::Device { address: Some(fixed), ..device("crm-1", crm.mac) });
    w.check();
    // Its old address is not its any more; it gets the new one as soon as it asks.
    assert!(!w.speak(&crm));
    assert_eq!(w.joined(101, at(SW2, 4)).ip(), fixed);
    // Two devices with one address: refused.
    let taken = w.put_device(fseg_admission::Device { address: Some(fixed), ..device("other", mac(77)) });
    assert!(matches!(taken, Answer::Refused(Refusal::Conflict(_))), "{taken:?}");
    w.check();
}

#[test]
fn a_policy_says_what_changed() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    let less = POLICY
        .replace("  - { id: sales-crm, from: sales, to: crm, services: [web] }\n", "")
        .replace("services: [tcp/9100]", "services: [tcp/9100, tcp/631]")
        .replace("tests:", "  - { id: crm-net, from: crm, to: net, services: [web] }\ntests:")
        .replace("expect: permit", "expect: deny");
    // 1. A dry run says it and does nothing.
    let touched = w.touched();
    let Answer::Applied(would) = w.try_apply(&less, true) else { panic!() };
    assert_eq!((would.version, w.touched()), (0, touched));
    assert!(w.reaches(&anna, &crm, WEB));
    // 2. In force.
    let applied = w.apply(&less);
    assert_eq!(applied.version, 2);
    assert_eq!((applied.added.clone(), applied.removed.clone()), (vec![name("crm-net")], vec![name("sales-crm")]));
    assert_eq!(applied.changed, [name("staff-print")]);
    assert_eq!((would.added, would.removed, would.changed), (applied.added, applied.removed, applied.changed));
    assert!(!w.reaches(&anna, &crm, WEB));
    // 3. The same again changes nothing on any switch.
    let touched = w.touched();
    let again = w.apply(&less);
    assert_eq!((again.version, w.touched()), (3, touched));
    assert!(again.rows.iter().all(|r| (r.added, r.changed, r.removed) == (0, 0, 0)), "{again:?}");
    w.check();
}

#[test]
fn a_change_of_policy_touches_only_its_own_rows() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    assert!(w.reaches(&anna, &crm, WEB));
    let before = w.touched();
    let applied =
        w.apply(&POLICY.replace("tests:", "  - { id: new, from: sales, to: crm, services: [tcp/22] }\ntests:"));
    // Two rows on each of three switches: the service's, and that of later fragments.
    assert_eq!(w.touched() - before, 6);
    assert!(applied.rows.iter().all(|r| (r.added, r.changed, r.removed) == (2, 0, 0)), "{applied:?}");
    w.check();
}

#[test]
fn a_wrong_policy_is_refused_and_changes_nothing() {
    let mut w = World::office();
    let touched = w.touched();
    let wrong = [
        // Its own test fails.
        (POLICY.replace("expect: permit", "expect: deny"), "deny"),
        // An external that claims the network's own addresses.
        (POLICY.replace("cidr: [0.0.0.0/0]", "cidr: [0.0.0.0/0, 10.0.0.0/24]"), "belongs to this network's own"),
        (POLICY.replace("to: crm,", "to: nowhere,"), "nowhere"),
        ("permits: [".to_owned(), ""),
        (String::new(), ""),
    ];
    for (text, why) in wrong {
        match w.try_apply(&text, false) {
            Answer::Refused(Refusal::Invalid(list)) => {
                assert!(list.iter().any(|l| l.contains(why)), "{list:?}");
            }
            // An empty policy permits nothing and is none the less one.
            Answer::Applied(a) if text.is_empty() => {
                assert!(!a.removed.is_empty());
                w.apply(POLICY);
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(w.controller.policy_version().map(|v| v.text.as_str()), Some(POLICY));
    let _ = touched;
    w.check();
}

#[test]
fn a_permit_ends_at_its_moment() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    // The story begins at 2027-01-15T08:00:00Z.
    let until = "2027-01-15T08:30:00Z";
    let text = POLICY.replace("to: crm, services: [web] }", &format!("to: crm, services: [web], expires: {until} }}"));
    w.apply(&text);
    let left = Duration::from_secs(1800).saturating_sub(w.now.wall.since(kit::START));
    w.pass(left - Duration::from_secs(1));
    assert!(w.reaches(&anna, &crm, WEB));
    w.events.clear();
    w.pass(Duration::from_secs(2));
    assert!(!w.reaches(&anna, &crm, WEB));
    assert_eq!(w.said(EventKind::Policy), ["permit sales-crm expired; it permits nothing any more"]);
    assert!(w.audit.iter().any(|a| a.contains("permit.expired")));
    w.check();
    // Said once, and not again after a restart.
    w.pass(Duration::from_secs(60));
    w.restart();
    w.pass(Duration::from_secs(60));
    assert_eq!(w.said(EventKind::Policy), Vec::<String>::new());
    assert!(!w.reaches(&anna, &crm, WEB));
}

#[test]
fn everything_survives_a_restart() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    let guest = w.joined(5, at(SW2, 1));
    w.login(&anna, "anna");
    let clients = [anna.clone(), crm.clone(), guest];
    let permitted = w.check_delivery(&clients, &[WEB, Flow::PING]);
    assert!(permitted > 0);
    // 1. The node's process ends: traffic flows.
    let touched = w.touched();
    w.stop();
    assert!(w.reaches(&anna, &crm, WEB));
    // 2. It is back, and changes not one row.
    w.restart();
    assert_eq!(w.touched(), touched, "a restart touches no row");
    assert_eq!(w.check_delivery(&clients, &[WEB, Flow::PING]), permitted);
    w.check();
    // 3. Twice, with something in between.
    w.logout(&anna);
    w.restart();
    assert_eq!(w.standing(&anna), Some(Standing::Stranger));
    w.check();
}

#[test]
fn a_configuration_without_a_rule_admits_nobody_by_it() {
    let mut w = World::office();
    let printer = w.joined(1, at(SW1, kit::NAMED));
    assert_eq!(w.standing(&printer), Some(Standing::Admitted));
    w.config.locations.clear();
    w.restart();
    assert_eq!(w.standing(&printer), Some(Standing::Stranger));
    w.check();
}

#[test]
fn a_port_that_is_for_switches_now_has_no_endpoint() {
    let mut w = World::office();
    let printer = w.joined(1, at(SW1, 3));
    let port = w.config.switches[1].ports.iter_mut().find(|p| p.number == printer.place.port).unwrap();
    port.kind = fseg_model::PortKind::Tunnel;
    w.restart();
    assert_eq!((w.standing(&printer), w.rows_of(&printer)), (Some(Standing::Away), 0));
    w.check();
}

#[test]
fn usage_of_permits_is_counted() {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW1, 4)));
    w.login(&anna, "anna");
    for _ in 0..3 {
        let frame =
            fseg_test_kit::frames::first_of(WEB, anna.mac, fseg_pipeline::fabric::ROUTER_MAC, anna.ip(), crm.ip());
        w.send(&Client { place: anna.place, ..anna.clone() }, &frame);
    }
    w.pass(Duration::from_secs(20));
    assert_eq!(w.controller.usage(&name("sales-crm")).packets, 3);
    assert_eq!(w.controller.usage(&name("staff-print")).packets, 0);
    assert!(w.controller.usage(&name("sales-crm")).last.is_some());
}

#[test]
fn a_session_that_ended_while_the_node_was_down_is_over() {
    let mut w = World::office();
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    w.now.wall = w.now.wall.plus(Duration::from_secs(13 * 3600));
    w.events.clear();
    w.restart();
    assert_eq!(w.said(EventKind::Ended), ["the session of anna ended: its time was over"]);
    assert_ne!(w.standing(&anna), Some(Standing::Admitted));
    w.check();
}
