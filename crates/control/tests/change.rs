//! A policy's way into force: on every switch or on none, whatever happens in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use std::time::Duration;

use fseg_control::{Answer, ApplyOptions, EventKind, Refusal, VersionState};
use fseg_model::{Dpid, Flow, IpProtocol};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_yaml::Source;
use kit::{Client, POLICY, SHARED, START, SW1, SW2, SWITCHES, World, at, name};

const WEB: Flow = Flow { protocol: IpProtocol::TCP, port: 80 };
const SSH: Flow = Flow { protocol: IpProtocol::TCP, port: 22 };

/// The policy with one permit more.
fn more() -> String {
    POLICY.replace("tests:", "  - { id: sales-ssh, from: sales, to: crm, services: [tcp/22] }\ntests:")
}

/// The office with Anna on sw1 and crm-1 on sw2.
fn story() -> (World, Client, Client) {
    let mut w = World::office();
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    w.events.clear();
    (w, anna, crm)
}

fn tables(w: &World) -> Vec<(Dpid, usize)> {
    SWITCHES.iter().map(|d| (*d, w.net.switches[d].tables.len())).collect()
}

fn versions(w: &World) -> Vec<(u64, VersionState)> {
    w.controller.versions().newest_first().map(|v| (v.version, v.state)).collect()
}

/// The policy of before holds, everywhere.
fn as_before(w: &mut World, anna: &Client, crm: &Client, before: &[(Dpid, usize)]) {
    assert_eq!(tables(w), before);
    assert_eq!(w.controller.policy_version().unwrap().version, 1);
    assert!(w.reaches(anna, crm, WEB) && !w.reaches(anna, crm, SSH));
    w.check();
}

#[test]
fn a_switch_that_refuses_the_first_step_ends_it_before_anything_changes() {
    let (mut w, anna, crm) = story();
    let (before, touched) = (tables(&w), w.touched());
    w.net.switch(SW2).refuse_closings = 1;
    let Answer::NotApplied(not) = w.try_apply(&more(), false) else { panic!("{:?}", w.answers) };
    assert_eq!((not.version, not.undone, not.switches[0].0.clone()), (1, false, name("sw2")));
    assert_eq!(w.touched(), touched, "not one row was touched");
    assert_eq!(versions(&w), [(1, VersionState::Applied)]);
    assert!(w.audit.iter().any(|a| a == "op: policy.refused"), "{:?}", w.audit);
    as_before(&mut w, &anna, &crm, &before);
    // The next time it is taken.
    assert_eq!(w.apply(&more()).version, 2);
    assert!(w.reaches(&anna, &crm, SSH));
    w.check();
}

#[test]
fn a_switch_that_refuses_the_second_step_takes_all_others_back() {
    for refusing in SWITCHES {
        let (mut w, anna, crm) = story();
        let before = tables(&w);
        w.net.switch(refusing).refuse_bundles = 1;
        let Answer::NotApplied(not) = w.try_apply(&more(), false) else { panic!("{:?}", w.answers) };
        assert!(not.undone && not.switches.len() == 1 && not.switches[0].1.contains("refuses"), "{not:?}");
        w.pass(Duration::from_secs(4)); // it is read again
        as_before(&mut w, &anna, &crm, &before);
        assert_eq!(versions(&w), [(2, VersionState::Undone), (1, VersionState::Applied)]);
        // What was undone keeps its number, also over a restart.
        w.restart();
        as_before(&mut w, &anna, &crm, &before);
        assert_eq!(w.apply(&more()).version, 3);
        assert!(w.reaches(&anna, &crm, SSH));
        w.check();
    }
}

#[test]
fn partial_goes_on_without_the_switch_that_fails() {
    let (mut w, anna, crm) = story();
    w.net.switch(SW2).refuse_bundles = 1;
    let ticket = w.submit_policy(&more(), ApplyOptions { partial: true, ..ApplyOptions::default() });
    let Some(Answer::Applied(applied)) = w.answers.remove(&ticket) else { panic!("{:?}", w.answers) };
    assert_eq!((applied.version, applied.unconfirmed), (2, vec![name("sw2")]));
    w.pass(Duration::from_secs(4));
    assert!(w.reaches(&anna, &crm, SSH), "it has it when it was read again");
    w.check();
}

/// Hands a held switch what waits for it, and holds on to what comes then.
fn let_through(w: &mut World, dpid: Dpid) {
    let waiting = std::mem::take(w.held.get_mut(&dpid).unwrap());
    for message in waiting {
        w.net.message(dpid, &message).unwrap();
    }
    w.settle();
}

#[test]
fn a_switch_that_goes_away_in_between_ends_it() {
    for step in 0..2 {
        let (mut w, anna, crm) = story();
        let before = tables(&w);
        w.hold(SW2);
        let ticket = w.submit_policy(&more(), ApplyOptions::default());
        if step == 1 {
            let_through(&mut w, SW2);
            assert_eq!(versions(&w)[0], (2, VersionState::Pending));
            assert!(!w.answers.contains_key(&ticket));
        }
        w.disconnect(SW2);
        let Some(Answer::NotApplied(not)) = w.answers.remove(&ticket) else { panic!("{:?}", w.answers) };
        assert_eq!((not.undone, not.unconfirmed.len()), (step == 1, step));
        assert!(not.switches[0].1.contains("disconnected"), "{not:?}");
        w.connect(SW2);
        as_before(&mut w, &anna, &crm, &before);
    }
}

#[test]
fn a_node_that_stops_in_the_middle_undoes_what_was_not_acknowledged() {
    for step in 0..2 {
        let (mut w, anna, crm) = story();
        let before = tables(&w);
        w.hold(SW2);
        let ticket = w.submit_policy(&more(), ApplyOptions::default());
        if step == 1 {
            let_through(&mut w, SW2);
            assert_ne!(w.net.switches[&SW1].tables.len(), before[1].1, "sw1 has it already");
        }
        assert!(!w.answers.contains_key(&ticket));
        w.restart();
        as_before(&mut w, &anna, &crm, &before);
        let undone = w.said(EventKind::Policy);
        assert_eq!(undone.iter().filter(|m| m.contains("it is undone, version 1 holds")).count(), step, "{undone:?}");
        assert_eq!(w.apply(&more()).version, 2 + step as u64);
        w.check();
    }
}

#[test]
fn who_comes_and_goes_between_the_steps_is_judged_by_the_new_policy() {
    let (mut w, anna, crm) = story();
    let bert = w.joined(2, at(SW1, 2));
    w.hold(SW2);
    // The new policy gives everybody other groups, and so other classes.
    let other =
        more().replace("sales:    { members: [user:anna, user:bert] }", "sales:    { members: [user:bert, role:dev] }");
    let other = other.replace(
        "{ from: user:anna, to: device:crm-1, service: web, expect: permit }",
        "{ from: user:bert, to: device:crm-1, service: web, expect: permit }",
    );
    let ticket = w.submit_policy(&other, ApplyOptions::default());
    // Meanwhile Bert logs in, Dora joins and logs in with a set of groups that nobody had, Anna leaves and is back.
    let address = bert.ip();
    let Some(fseg_admission::LoginStart::Check { attempt, .. }) = w.controller.login_start(address, "bert", w.now)
    else {
        panic!()
    };
    w.submit(|ticket| fseg_control::Input::LoginFinished { ticket, address, attempt, verified: true });
    let dora = w.joined(3, at(SW1, 3));
    let address = dora.ip();
    let Some(fseg_admission::LoginStart::Check { attempt, .. }) = w.controller.login_start(address, "dora", w.now)
    else {
        panic!()
    };
    w.submit(|ticket| fseg_control::Input::LoginFinished { ticket, address, attempt, verified: true });
    w.link(anna.place, false);
    w.link(anna.place, true);
    w.speak(&anna);
    assert!(!w.answers.contains_key(&ticket));
    w.release(SW2);
    assert!(matches!(w.answers.remove(&ticket), Some(Answer::Applied(_))));
    w.check();
    assert!(!w.reaches(&anna, &crm, WEB) && !w.reaches(&anna, &crm, SSH));
    for who in [&bert, &dora] {
        assert!(w.reaches(who, &crm, WEB) && w.reaches(who, &crm, SSH));
    }
}

#[test]
fn a_precondition_on_the_version_is_kept() {
    let (mut w, ..) = story();
    let on = |if_version| ApplyOptions { if_version: Some(if_version), ..ApplyOptions::default() };
    let ticket = w.submit_policy(&more(), on(0));
    let refused = w.answers.remove(&ticket);
    assert!(
        matches!(&refused, Some(Answer::Refused(Refusal::Conflict(text))) if text.contains("version 1 is in force"))
    );
    let ticket = w.submit_policy(&more(), on(1));
    assert!(matches!(w.answers.remove(&ticket), Some(Answer::Applied(a)) if a.version == 2));
}

#[test]
fn a_plan_says_what_applying_does_and_changes_nothing() {
    let (mut w, anna, crm) = story();
    let other = more().replace("  - { id: staff-print, from: staff, to: printers, services: [tcp/9100] }\n", "");
    let policy = |text: &str| fseg_policy::check_at(&Source::new("p", text), w.now.wall).policy.unwrap();
    let new = policy(&other);
    let (touched, before) = (w.touched(), tables(&w));
    let plan = w.controller.plan(&new);
    assert_eq!((w.touched(), tables(&w)), (touched, before), "a plan changes nothing");
    assert_eq!((plan.version, plan.complete, plan.missing.len()), (1, true, 0));
    let said: Vec<String> = plan
        .pairs
        .iter()
        .map(|p| format!("{} -> {}: +{:?} -{:?}", p.from.label, p.to.label, p.gained, p.lost))
        .collect();
    // Anna is here, Bert is not; they are alike. Of the two servers one is here.
    let sales = plan.pairs.iter().find(|p| p.from.members.contains(&"anna".to_owned()) && p.gained == ["tcp/22"]);
    let sales = sales.unwrap_or_else(|| panic!("{said:#?}"));
    assert_eq!((sales.from.label.as_str(), sales.to.label.as_str()), ("sales", "crm"));
    assert_eq!(sales.from.members, ["anna", "user:bert"]);
    assert_eq!(sales.to.members, ["crm-1", "device:crm-2"]);
    let applied = w.apply(&other);
    assert_eq!(plan.rows, applied.rows);
    assert!(applied.rows.iter().any(|r| r.added > 0), "{applied:?}");
    assert!(w.reaches(&anna, &crm, SSH));
    // Nobody gains or loses by the same policy.
    let again = w.controller.plan(&new);
    assert!(again.pairs.is_empty() && again.rows.iter().all(|r| (r.added, r.changed, r.removed) == (0, 0, 0)));
}

#[test]
fn permits_hold_from_their_start_to_their_end() {
    let (mut w, anna, crm) = story();
    let time = |seconds: u64| {
        let at = (w.now.wall.0 / 1000 + seconds) as i64;
        // 2027-01-15T08:00:00Z is the story's beginning.
        let into = at - START.0 as i64 / 1000;
        format!("2027-01-15T08:{:02}:{:02}Z", into / 60, into % 60)
    };
    let id = "sales-ssh, from: sales, to: crm, services: [tcp/22]";
    let timed = more().replace(id, &format!("{id}, starts: {}, expires: {}", time(60), time(120)));
    w.apply(&timed);
    assert!(!w.reaches(&anna, &crm, SSH));
    w.pass(Duration::from_secs(55));
    assert!(!w.reaches(&anna, &crm, SSH), "{:?}", w.messages());
    w.pass(Duration::from_secs(10));
    assert!(w.reaches(&anna, &crm, SSH), "{:?}", w.messages());
    w.pass(Duration::from_secs(60));
    assert!(!w.reaches(&anna, &crm, SSH));
    let said = w.said(EventKind::Policy);
    assert!(said.iter().any(|m| m == "permit sales-ssh has started") && said.iter().any(|m| m.contains("expired")));
    w.check();
}

#[test]
fn observing_lets_the_admitted_pass_says_so_and_keeps_strangers_out() {
    let (mut w, anna, crm) = story();
    let stranger = w.joined(9, at(SW2, SHARED));
    assert!(!w.reaches(&anna, &crm, SSH));
    w.apply(&format!("mode: observe\n{POLICY}"));
    // 1. Everything passes between the admitted, and between them and the outside; nothing to or from a stranger.
    assert!(w.reaches(&anna, &crm, SSH) && w.reaches(&crm, &anna, SSH) && w.reaches(&anna, &crm, WEB));
    assert!(!w.reaches(&anna, &stranger, SSH) && !w.reaches(&stranger, &crm, SSH));
    // 2. What would be denied is said once, by name; what is permitted is not.
    w.events.clear();
    for (from, to, port) in [(&anna, &crm, 22), (&anna, &crm, 80)] {
        let frame = fseg_test_kit::frames::first_of(Flow::tcp(port), from.mac, ROUTER_MAC, from.ip(), to.ip());
        w.send(from, &frame);
    }
    let said = w.said(EventKind::Observed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("anna to crm-1, tcp/22: would have been denied: "), "{said:?}");
    w.check();
    // 3. Enforced again, it stops.
    w.apply(POLICY);
    assert!(!w.reaches(&anna, &crm, SSH) && w.reaches(&anna, &crm, WEB));
    w.check();
}

#[test]
fn a_permit_on_trial_and_an_observed_group() {
    let (mut w, anna, crm) = story();
    let dora = w.joined(3, at(SW1, 3));
    w.login(&dora, "dora");
    // 1. A permit on trial passes, and is missed when nothing else permits it.
    let trial = more().replace("services: [tcp/22] }", "services: [tcp/22, tcp/80], mode: observe }");
    w.apply(&trial);
    assert!(w.reaches(&anna, &crm, SSH) && w.reaches(&anna, &crm, WEB));
    assert!(!w.reaches(&dora, &crm, SSH));
    w.events.clear();
    for port in [22, 80] {
        let frame = fseg_test_kit::frames::first_of(Flow::tcp(port), anna.mac, ROUTER_MAC, anna.ip(), crm.ip());
        w.send(&anna, &frame);
    }
    let said = w.said(EventKind::Observed);
    assert_eq!(said.len(), 1, "another permit covers port 80: {said:?}");
    assert!(said[0].contains("would have been denied without permit sales-ssh"), "{said:?}");
    // 2. A group that is observed: its members only, in both directions.
    w.apply(&format!("observe: dev\n{POLICY}"));
    assert!(w.reaches(&dora, &crm, SSH) && w.reaches(&crm, &dora, SSH) && !w.reaches(&anna, &crm, SSH));
    w.check();
    // 3. Also for who comes later.
    w.logout(&dora);
    assert!(!w.reaches(&dora, &crm, SSH));
    w.login(&dora, "dora");
    assert!(w.reaches(&dora, &crm, SSH));
    w.restart();
    assert!(w.reaches(&dora, &crm, SSH) && !w.reaches(&anna, &crm, SSH));
    w.check();
}
