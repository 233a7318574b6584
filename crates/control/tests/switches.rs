//! Switches that restart, disconnect, refuse, dawdle, and hold what they should not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use std::time::Duration;

use fseg_control::{Answer, ApplyOptions, EventKind, Input, LinkPhase};
use fseg_model::{Flow, IpProtocol};
use fseg_openflow::{Action, FlowMod, Instruction};
use kit::{Client, NODE, POLICY, SW1, SW2, SWITCHES, World, at};

const WEB: Flow = Flow { protocol: IpProtocol::TCP, port: 80 };

/// The office with Anna on sw1 and crm-1 on sw2.
fn story() -> (World, Client, Client) {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    assert!(w.reaches(&anna, &crm, WEB));
    w.events.clear();
    (w, anna, crm)
}

fn status(w: &World, dpid: fseg_model::Dpid) -> (LinkPhase, usize) {
    let (_, s) = w.controller.switches().find(|(d, _)| *d == dpid).unwrap();
    (s.phase, s.pending)
}

#[test]
fn a_switch_that_lost_everything_gets_everything_back() {
    let (mut w, anna, crm) = story();
    for dpid in SWITCHES {
        let rows = w.net.switches[&dpid].tables.len();
        w.disconnect(dpid);
        w.net.switch(dpid).restart();
        assert!(!w.reaches(&anna, &crm, WEB), "without {dpid}");
        w.connect(dpid);
        assert_eq!(w.net.switches[&dpid].tables.len(), rows);
        assert!(w.reaches(&anna, &crm, WEB));
        w.check();
    }
}

#[test]
fn a_reconnection_changes_nothing() {
    let (mut w, anna, crm) = story();
    let touched = w.touched();
    for dpid in SWITCHES {
        w.disconnect(dpid);
        assert!(w.reaches(&anna, &crm, WEB), "tables stay when the controller is gone");
        w.connect(dpid);
    }
    assert_eq!(w.touched(), touched);
    w.check();
}

#[test]
fn a_new_connection_without_the_end_of_the_old_one() {
    let (mut w, anna, crm) = story();
    // The switch restarted so fast that the old connection was not missed yet.
    let old = w.connected[&SW1];
    w.net.switch(SW1).restart();
    w.connect(SW1);
    // The end of the old one comes late and means nothing.
    w.handle(Input::Disconnected { dpid: SW1, connection: old });
    assert_eq!(status(&w, SW1), (LinkPhase::Up, 0));
    assert!(w.reaches(&anna, &crm, WEB));
    w.check();
}

#[test]
fn what_happened_while_a_switch_was_away_is_made_up_for() {
    let (mut w, anna, crm) = story();
    w.disconnect(SW2);
    w.apply(
        &POLICY
            .replace("services: [web] }\n  - { id: staff-print", "services: [tcp/22] }\n  - { id: staff-print")
            .replace("service: web, expect: permit", "service: web, expect: deny"),
    );
    // sw1 knows already, and that is enough to deny.
    assert!(!w.reaches(&anna, &crm, WEB));
    w.connect(SW2);
    assert!(w.reaches(&anna, &crm, Flow::tcp(22)));
    w.check();
}

#[test]
fn a_connection_cut_at_any_message_converges() {
    // As many as a policy change sends: each cut leaves another half behind, and a bundle leaves none.
    for after in 0..12 {
        let (mut w, anna, crm) = story();
        w.net.switch(SW1).cut_after = Some(after);
        let more = POLICY.replace(
            "tests:",
            "  - { id: x, from: sales, to: crm, services: [tcp/22] }\n  - { id: y, from: dev, to: crm, services: [tcp/23] }\ntests:",
        );
        let before = w.net.switches[&SW1].tables.len();
        let others = w.net.switches[&SW2].tables.len();
        let answer = w.try_apply(&more, false);
        let cut = !w.connected.contains_key(&SW1);
        if cut {
            let now = w.net.switches[&SW1].tables.len();
            assert!([before, before + 2].contains(&now), "cut after {after}: a bundle is all or nothing");
            // All other switches are as before, and it is when it is back.
            assert!(matches!(answer, Answer::NotApplied(_)), "cut after {after}: {answer:?}");
            assert_eq!(w.net.switches[&SW2].tables.len(), others);
            w.connect(SW1);
            assert_eq!(w.net.switches[&SW1].tables.len(), before);
        } else {
            assert!(matches!(answer, Answer::Applied(_)), "cut after {after}: {answer:?}");
            w.net.switch(SW1).cut_after = None;
        }
        assert_eq!(w.reaches(&anna, &crm, Flow::tcp(22)), !cut, "cut after {after}");
        w.check();
    }
}

#[test]
fn a_switch_cut_while_it_is_read_converges() {
    for after in 0..3 {
        let (mut w, ..) = story();
        w.disconnect(SW1);
        w.net.switch(SW1).restart();
        w.net.switch(SW1).cut_after = Some(after);
        w.connect(SW1);
        assert!(!w.connected.contains_key(&SW1));
        w.connect(SW1);
        w.check();
    }
}

#[test]
fn a_refused_change_is_tried_again_later_each_time() {
    let (mut w, anna, crm) = story();
    w.net.switch(SW1).refuse_bundles = 3;
    let more = POLICY.replace("tests:", "  - { id: x, from: sales, to: crm, services: [tcp/22] }\ntests:");
    let ticket = w.submit_policy(&more, ApplyOptions { partial: true, ..ApplyOptions::default() });
    // 1. It is not said to be in force there.
    let Some(Answer::Applied(applied)) = w.answers.remove(&ticket) else { panic!("{:?}", w.answers) };
    assert_eq!(applied.unconfirmed, [kit::name("sw1")]);
    assert_eq!(w.said(EventKind::Switch).iter().filter(|m| m.contains("refused a change")).count(), 1);
    assert!(!w.reaches(&anna, &crm, Flow::tcp(22)));
    // 2. Each time it waits longer: refusals at 0, about 1 and about 3 seconds, success at about 7.
    let mut tries = Vec::new();
    for tenth in 0..100 {
        let left = w.net.switches[&SW1].refuse_bundles;
        w.now.wall = w.now.wall.plus(Duration::from_millis(100));
        w.now.mono = w.now.mono.plus(Duration::from_millis(100));
        w.handle(Input::Tick);
        if w.net.switches[&SW1].refuse_bundles < left {
            tries.push(tenth);
        }
    }
    assert_eq!(tries.len(), 2, "{tries:?}");
    assert!(tries[0] < 15 && (15..=35).contains(&(tries[1] - tries[0])), "{tries:?}");
    // 3. In the end it is there.
    assert!(w.reaches(&anna, &crm, Flow::tcp(22)));
    assert_eq!(status(&w, SW1), (LinkPhase::Up, 0));
    w.check();
}

#[test]
fn counters_that_come_late_are_not_taken_for_a_reading() {
    let (mut w, ..) = story();
    let touched = w.touched();
    // 1. Polls are under way, and then the switch refuses something.
    w.hold(SW1);
    w.pass(Duration::from_secs(3));
    let connection = w.connected[&SW1];
    let error = fseg_openflow::ErrorMessage { type_: 1, code: 1, data: vec![] };
    let message = Box::new(fseg_openflow::Message { xid: 3, body: fseg_openflow::Body::Error(error) });
    w.handle(Input::Message { dpid: SW1, connection, message });
    // 2. So it is read again, while the answers to the polls still come in.
    w.pass(Duration::from_secs(3));
    w.release(SW1);
    assert_eq!(status(&w, SW1), (LinkPhase::Up, 0));
    assert_eq!(w.touched(), touched, "nothing was wrong, nothing is changed");
    w.check();
}

#[test]
fn foreign_and_wrong_rows_are_found_and_counted() {
    let (mut w, anna, crm) = story();
    w.disconnect(SW1);
    let tables = &mut w.net.switch(SW1).tables;
    // 1. Somebody lets everything through, in a table of ours and in one that is not.
    for table in [0, 42] {
        let mut open = FlowMod::add(table, 65_000);
        open.cookie = 7;
        open.instructions = vec![Instruction::ApplyActions(vec![Action::output(24)])];
        tables.apply(&open).unwrap();
    }
    // 2. Two rows are gone, one does something else.
    let rows: Vec<_> =
        tables.iter().filter(|(t, ..)| *t == 6 || *t == 3).map(|(t, p, m, _)| (t, p, m.clone())).collect();
    for (t, p, m) in &rows[..2] {
        tables.apply(&FlowMod::delete_strict(*t, *p, m.clone())).unwrap();
    }
    let (t, p, m) = rows[2].clone();
    let mut wrong = FlowMod::add(t, p);
    wrong.matches = m;
    tables.apply(&wrong).unwrap();
    // 3. Reconnected, exactly that is mended.
    let touched = w.touched();
    w.connect(SW1);
    assert_eq!(w.touched() - touched, 5);
    let said = w.said(EventKind::Switch);
    assert!(said.iter().any(|m| m.contains("3 added, 2 removed, 3 of them foreign")), "{said:?}");
    let (_, s) = w.controller.switches().find(|(d, _)| *d == SW1).unwrap();
    assert_eq!(s.foreign, 3);
    assert!(w.reaches(&anna, &crm, WEB));
    w.check();
}

#[test]
fn meters_are_there_before_rows_that_use_them() {
    let (mut w, ..) = story();
    for dpid in [SW1, SW2, NODE] {
        assert!(!w.net.switches[&dpid].meters.is_empty());
        w.disconnect(dpid);
        // The fake switch refuses rows with meters that it does not have.
        w.net.switch(dpid).restart();
        w.connect(dpid);
        assert!(w.said(EventKind::Switch).iter().all(|m| !m.contains("refused")));
    }
    // A meter of another rate is set right.
    w.disconnect(SW1);
    let meter = w.net.switch(SW1).meters.values_mut().next().unwrap();
    let right = meter.bands.clone();
    let id = meter.meter_id;
    meter.bands = vec![fseg_openflow::Band::Drop { rate: 1, burst: 1 }];
    w.connect(SW1);
    assert_eq!(w.net.switches[&SW1].meters[&id].bands, right);
    w.check();
}

#[test]
fn an_answer_waits_for_every_connected_switch() {
    let (mut w, anna, _) = story();
    let address = anna.ip();
    // 1. One switch dawdles.
    w.hold(SW2);
    let ticket = w.submit(|ticket| Input::Logout { ticket, address });
    assert!(!w.answers.contains_key(&ticket), "not before sw2 has confirmed");
    // 2. It does its work, and the answer is given.
    w.release(SW2);
    assert_eq!(w.answers.remove(&ticket), Some(Answer::Done("logged out".into())));
    // 3. It dawdles again, and then its connection breaks: nobody waits for it.
    w.login(&anna, "anna");
    w.hold(SW2);
    let ticket = w.submit(|ticket| Input::Logout { ticket, address });
    assert!(!w.answers.contains_key(&ticket));
    w.disconnect(SW2);
    assert_eq!(w.answers.remove(&ticket), Some(Answer::Done("logged out".into())));
    // 4. A switch that is not connected is not waited for at all.
    w.login(&anna, "anna");
    let ticket = w.submit(|ticket| Input::Logout { ticket, address });
    assert!(w.answers.contains_key(&ticket));
    w.connect(SW2);
    w.check();
}

#[test]
fn a_silent_switch_is_waited_for_five_seconds() {
    let more = POLICY.replace("tests:", "  - { id: x, from: sales, to: crm, services: [tcp/22] }\ntests:");
    for partial in [false, true] {
        let (mut w, anna, crm) = story();
        w.hold(SW2);
        let ticket = w.submit_policy(&more, ApplyOptions { partial, ..ApplyOptions::default() });
        w.pass(Duration::from_secs(3));
        assert!(!w.answers.contains_key(&ticket));
        w.pass(Duration::from_secs(3));
        if partial {
            // It goes on without it, and waits once more for the confirmation.
            w.pass(Duration::from_secs(6));
            let Some(Answer::Applied(applied)) = w.answers.remove(&ticket) else { panic!("{:?}", w.answers) };
            assert_eq!(applied.unconfirmed, [kit::name("sw2")]);
        } else {
            let Some(Answer::NotApplied(not)) = w.answers.remove(&ticket) else { panic!("{:?}", w.answers) };
            assert_eq!((not.version, not.undone), (1, false));
            assert!(not.switches[0].1.contains("within 5 s"), "{not:?}");
        }
        w.release(SW2);
        assert_eq!(w.reaches(&anna, &crm, Flow::tcp(22)), partial);
        w.check();
    }
}

#[test]
fn a_switch_that_never_confirms_is_not_flooded() {
    let (mut w, anna, _) = story();
    w.hold(SW2);
    for _ in 0..1500 {
        // Each is a change of rows on every switch.
        w.link(anna.place, false);
        w.link(anna.place, true);
        w.speak(&anna);
    }
    let waiting = w.held[&SW2].len();
    w.link(anna.place, false);
    w.link(anna.place, true);
    w.speak(&anna);
    assert_eq!(w.held[&SW2].len(), waiting, "nothing more is sent until it confirms");
    w.release(SW2);
    w.check();
}

#[test]
fn one_policy_at_a_time() {
    let (mut w, ..) = story();
    w.hold(SW2);
    let text = POLICY.replace("tests:", "  - { id: x, from: sales, to: crm, services: [tcp/22] }\ntests:");
    let first = w.submit_policy(&text, ApplyOptions::default());
    let second = w.submit_policy(&text, ApplyOptions::default());
    let refused = w.answers.remove(&second);
    assert!(matches!(&refused, Some(Answer::Refused(fseg_control::Refusal::Conflict(_)))), "{refused:?}");
    assert!(!w.answers.contains_key(&first));
    w.release(SW2);
    assert!(matches!(w.answers.remove(&first), Some(Answer::Applied(_))));
    w.check();
}

#[test]
fn the_way_out_is_known_from_the_first_moment_after_a_restart() {
    let mut w = World::empty();
    w.put_account(kit::account("anna", &[]));
    w.apply(POLICY);
    let anna = w.joined(1, at(SW1, 1));
    w.login(&anna, "anna");
    let website = Client { mac: kit::GATEWAY_MAC, place: kit::GATEWAY, address: Some(kit::WEBSITE) };
    // 1. Nobody knows the next hop: the node asks for it, and nothing is sent into the void.
    assert!(!w.reaches(&anna, &website, WEB));
    w.net.arrived.clear();
    w.pass(Duration::from_secs(2));
    assert!(w.net.arrived.iter().any(|a| a.place == kit::GATEWAY), "it is asked for");
    // 2. It answers.
    w.learn_gateway();
    assert!(w.reaches(&anna, &website, WEB));
    assert!(!w.reaches(&anna, &website, Flow::tcp(22)));
    w.check();
    // 3. A restart asks again, and meanwhile sends.
    let touched = w.touched();
    w.restart();
    assert_eq!(w.touched(), touched);
    assert!(w.reaches(&anna, &website, WEB));
    // 4. Somebody else claims to be the next hop at an access port: nothing.
    let thief = w.joined(2, at(SW1, 2));
    let claim =
        fseg_wire::ArpPacket::request(fseg_pipeline::fabric::ROUTER_MAC, [203, 0, 113, 2].into(), kit::GATEWAY_ADDRESS)
            .reply(thief.mac);
    w.send(&thief, &claim.to_frame(thief.mac, fseg_pipeline::fabric::ROUTER_MAC));
    assert_eq!(w.touched() - touched, w.rows_of(&thief));
    assert!(w.reaches(&anna, &website, WEB));
    w.check();
}
