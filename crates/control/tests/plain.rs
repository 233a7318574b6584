//! Switches without extensions, and rows that switches refuse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod kit;

use std::time::Duration;

use fseg_control::{EventKind, LinkPhase, Protocol};
use fseg_model::{Dpid, Flow, IpProtocol};
use fseg_openflow::simulate::Refused;
use fseg_openflow::{Body, FlowMod};
use fseg_test_kit::{FakeSwitch, frames};
use kit::{Client, NODE, POLICY, ROUTER, SW1, SW2, SWITCHES, World, at, features};

const WEB: Flow = Flow { protocol: IpProtocol::TCP, port: 80 };
const SSH: Flow = Flow { protocol: IpProtocol::TCP, port: 22 };
const TABLE_FULL: Refused = Refused(5, 1);

fn is_access(switch: &FakeSwitch) -> bool {
    switch.dpid != NODE
}

/// The office, whose access switches are plain: as the configuration says or as they are asked.
fn office(protocol: Protocol) -> (World, Client, Client) {
    let mut config = kit::config();
    for s in config.switches.iter_mut().filter(|s| s.dpid != NODE) {
        s.protocol = protocol;
    }
    let plain = |s: &mut FakeSwitch| s.plain = is_access(s).then(|| features(10, 4000));
    furnish(World::with_switches(config, plain))
}

fn furnish(world: World) -> (World, Client, Client) {
    let mut w = World::furnished(world);
    let (anna, crm) = (w.joined(1, at(SW1, 1)), w.joined(101, at(SW2, 4)));
    w.login(&anna, "anna");
    w.events.clear();
    (w, anna, crm)
}

fn more(permits: &str) -> String {
    POLICY.replace("tests:", &format!("{permits}\ntests:"))
}

fn pending(w: &World, dpid: Dpid) -> (LinkPhase, usize) {
    let (_, s) = w.controller.switches().find(|(d, _)| *d == dpid).unwrap();
    (s.phase, s.pending)
}

fn lacking(w: &World, dpid: Dpid) -> Vec<(String, String)> {
    let fit = w.controller.switch_fit(dpid).unwrap();
    fit.lacking.into_iter().map(|(kind, id, l)| (format!("{kind} {id}"), l.why)).collect()
}

#[test]
fn plain_switches_do_all_that_matters_and_are_never_asked_for_more() {
    for (protocol, trial) in [(Protocol::OpenFlow13, 0), (Protocol::Auto, 4)] {
        let (mut w, anna, crm) = office(protocol);
        assert!(w.reaches(&anna, &crm, WEB));
        assert!(!w.reaches(&anna, &crm, SSH));
        w.apply(&more("  - { id: x, from: sales, to: crm, services: [tcp/22] }"));
        assert!(w.reaches(&anna, &crm, SSH));
        w.apply("groups: {}\npermits: []\n");
        assert!(!w.reaches(&anna, &crm, WEB));
        w.apply(POLICY);
        if protocol == Protocol::OpenFlow13 {
            w.check(); // which looks at a controller that has not asked anybody yet
        }
        for dpid in [SW1, SW2] {
            assert_eq!(w.net.switches[&dpid].extensions, trial, "{protocol:?}");
            assert_eq!(w.controller.switch_fit(dpid).unwrap().profile, "openflow13");
        }
        // Nothing is touched by a reconnection or a restart, although it asks again.
        let touched = w.touched();
        w.disconnect(SW1);
        w.connect(SW1);
        w.restart();
        assert_eq!(w.touched(), touched);
        assert!(w.reaches(&anna, &crm, WEB));
    }
}

#[test]
fn auto_finds_open_vswitch_and_changes_nothing_there() {
    let mut config = kit::config();
    for s in &mut config.switches {
        s.protocol = if s.dpid == NODE { Protocol::Ovs } else { Protocol::Auto };
    }
    let (mut w, anna, crm) = furnish(World::with(config));
    assert!(w.reaches(&anna, &crm, WEB));
    for dpid in SWITCHES {
        assert_eq!(w.controller.switch_fit(dpid).unwrap().profile, "ovs");
    }
    let touched = w.touched();
    w.disconnect(SW1);
    w.connect(SW1);
    assert_eq!(w.touched(), touched, "the trial is thrown away");
    w.check();
}

#[test]
fn the_node_answers_for_addresses_that_a_plain_switch_does_not() {
    let (mut w, anna, crm) = office(Protocol::OpenFlow13);
    for target in [ROUTER, crm.ip(), [10, 9, 9, 9].into()] {
        let back = w.send(&anna, &frames::who_has(anna.mac, anna.ip(), target));
        let frame = fseg_wire::Frame::parse(&back[0]).unwrap();
        let fseg_wire::Payload::Arp(arp) = frame.payload else { panic!("{frame:?}") };
        let answer =
            fseg_wire::ArpPacket::request(anna.mac, anna.ip(), target).reply(fseg_pipeline::fabric::ROUTER_MAC);
        assert_eq!((back.len(), arp), (1, answer), "{target}");
    }
    assert!(w.send(&anna, &frames::who_has(anna.mac, anna.ip(), anna.ip())).is_empty(), "its own");
    assert!(w.send(&anna, &frames::who_has(anna.mac, crm.ip(), ROUTER)).is_empty(), "in another's name");
}

#[test]
fn denials_go_first_and_guard_rows_last_with_barriers_between() {
    let (mut w, anna, crm) = office(Protocol::OpenFlow13);
    // Anna's class vanishes with her login, and a new policy gives and takes at once.
    w.hold(SW1);
    w.apply_partly(
        &POLICY
            .replace("services: [web] }\n  - { id: staff-print", "services: [tcp/22] }\n  - { id: staff-print")
            .replace("service: web, expect: permit", "service: web, expect: deny"),
    );
    let address = anna.ip();
    w.submit(|ticket| fseg_control::Input::Logout { ticket, address });
    let mut steps = Vec::new();
    for m in &w.held[&SW1] {
        match &m.body {
            Body::FlowMod(m) if m.command == fseg_openflow::FlowCommand::Add => {
                // To the strangers' table is a denial too.
                let onboard = m.instructions.contains(&fseg_openflow::Instruction::GotoTable(1));
                steps.push(if onboard { "deny".into() } else { format!("add {}", m.table) });
            }
            Body::FlowMod(_) => steps.push("deny".into()),
            Body::BarrierRequest => steps.push("barrier".into()),
            _ => {}
        }
    }
    steps.dedup();
    for change in steps.split(|s| s == "barrier").filter(|part| !part.is_empty()) {
        let denies = change.iter().filter(|s| *s == "deny").count();
        assert!(denies == 0 || denies == change.len(), "denials and permits in one step: {steps:?}");
        let tables: Vec<u8> = change.iter().filter_map(|s| s.strip_prefix("add ")?.parse().ok()).collect();
        assert!(tables.windows(2).all(|w| w[0] > w[1]), "rights from the last table to the first: {steps:?}");
    }
    assert!(steps.first().is_some_and(|s| s == "deny"), "{steps:?}");
    w.release(SW1);
    assert!(!w.reaches(&anna, &crm, SSH));
    w.check();
}

#[test]
fn one_refused_row_holds_up_nobody_and_is_said_with_its_owner() {
    for plain in [true, false] {
        let (mut w, anna, crm) = if plain { office(Protocol::OpenFlow13) } else { furnish(World::empty()) };
        // Whatever has to do with port 99 is refused at sw1, in every form.
        let refuse = |m: &FlowMod| {
            let named = m.matches.iter().any(|(_, v)| v.value == 99);
            (m.table == 6 && named).then_some(TABLE_FULL)
        };
        w.net.switch(SW1).refuse_rows = Some(refuse);
        w.apply_partly(&more(
            "  - { id: bad, from: sales, to: crm, services: [tcp/99] }\n  - { id: good, from: sales, to: crm, services: [tcp/22] }",
        ));
        w.pass(Duration::from_secs(8));
        assert!(w.reaches(&anna, &crm, SSH), "plain {plain}: the other permit is in force");
        let missing = lacking(&w, SW1);
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert_eq!(missing[0].0, "permit bad");
        assert_eq!(lacking(&w, SW2), []);
        let said = w.said(EventKind::Switch);
        let named = said.iter().filter(|m| m.contains("refused a row of permit bad in its table permit")).count();
        assert_eq!(named, 1, "{said:?}");
        // Later changes pass, denials at once.
        w.apply_partly(&more("  - { id: bad, from: sales, to: crm, services: [tcp/99] }"));
        assert!(!w.reaches(&anna, &crm, SSH), "plain {plain}: a denial waits for nothing");
        let dora = w.joined(3, at(SW1, 3));
        w.login(&dora, "dora");
        assert!(w.rows_of(&dora) > 0);
        // It is tried again, later each time, and in the end it is there.
        w.net.switch(SW1).refuse_rows = None;
        w.pass(Duration::from_secs(600));
        assert_eq!(lacking(&w, SW1), []);
        assert_eq!(pending(&w, SW1), (LinkPhase::Up, 0));
        assert!(w.reaches(&anna, &crm, Flow::tcp(99)));
        w.check();
    }
}

#[test]
fn what_a_refused_bundle_takes_away_is_taken_away_at_once() {
    let (mut w, anna, crm) = furnish(World::empty());
    assert!(w.reaches(&anna, &crm, WEB));
    w.net.switch(SW1).refuse_rows = Some(|m: &FlowMod| (m.table == 6 && m.priority >= 1000).then_some(TABLE_FULL));
    w.net.switch(SW2).refuse_rows = w.net.switches[&SW1].refuse_rows;
    // The permit for the web goes, another one comes and is refused.
    w.apply_partly(
        &POLICY
            .replace("services: [web] }\n  - { id: staff-print", "services: [tcp/22] }\n  - { id: staff-print")
            .replace("service: web, expect: permit", "service: web, expect: deny"),
    );
    assert!(!w.reaches(&anna, &crm, WEB), "before any time has passed");
}

#[test]
fn a_refused_row_of_an_endpoint_leaves_no_older_row_with_more_rights() {
    let (mut w, anna, crm) = office(Protocol::OpenFlow13);
    assert!(w.reaches(&anna, &crm, WEB));
    // Her guard row is to say another class, and the switch refuses that.
    w.net.switch(SW1).refuse_rows = Some(|m: &FlowMod| (m.table == 0 && m.priority == 100).then_some(TABLE_FULL));
    let address = anna.ip();
    w.submit(|ticket| fseg_control::Input::Logout { ticket, address });
    assert!(!w.reaches(&anna, &crm, WEB));
}

#[test]
fn a_switch_with_too_few_tables_is_refused_and_passes_nothing() {
    let mut config = kit::config();
    for s in config.switches.iter_mut().filter(|s| s.dpid != NODE) {
        s.protocol = Protocol::Auto;
    }
    let few = |s: &mut FakeSwitch| {
        if is_access(s) {
            s.plain = Some(features(4, 1000));
            let mut open = FlowMod::add(0, 1);
            open.instructions = vec![fseg_openflow::Instruction::ApplyActions(vec![fseg_openflow::Action::output(1)])];
            s.tables.apply(&open).unwrap();
        }
    };
    let mut w = World::with_switches(config, few);
    w.pass(Duration::from_secs(20));
    for dpid in [SW1, SW2] {
        let fit = w.controller.switch_fit(dpid).unwrap();
        let why = fit.unfit.unwrap();
        assert!(why.contains("it has no table 6 (permit)") && why.contains("it has 0, 1, 2 and 3"), "{why}");
        assert!(w.net.switches[&dpid].tables.is_empty(), "what was there let everything pass");
    }
    let said = w.said(EventKind::Switch);
    assert_eq!(said.iter().filter(|m| m.contains("cannot be used, and passes nothing")).count(), 2, "{said:?}");
}

#[test]
fn tables_are_listed_with_what_they_hold_and_take() {
    let (w, ..) = office(Protocol::Auto);
    let fit = w.controller.switch_fit(SW1).unwrap();
    let held = |n: u8| w.net.switches[&SW1].tables.iter().filter(|(t, ..)| *t == n).count();
    let listed: Vec<_> = fit.tables.iter().map(|t| (t.table.number(), t.rows, t.size)).collect();
    assert_eq!(listed, [0, 1, 2, 3, 6, 7].map(|n| (n, held(n), 4000)).to_vec());
    assert_eq!(w.controller.switch_fit(NODE).unwrap().tables, []);
}

#[test]
fn a_policy_that_does_not_fit_is_refused_before_anything_is_sent() {
    let mut config = kit::config();
    for s in config.switches.iter_mut().filter(|s| s.dpid != NODE) {
        s.protocol = Protocol::OpenFlow13;
    }
    let small =
        |s: &mut FakeSwitch| s.plain = is_access(s).then(|| features(10, if s.dpid == SW1 { 120 } else { 4000 }));
    let (mut w, anna, crm) = furnish(World::with_switches(config, small));
    let touched = w.touched();
    let text = more(
        "  - { id: wide, from: sales, to: crm, services: [tcp/1000-1099] }\n  - { id: narrow, from: sales, to: crm, services: [tcp/22] }",
    );
    for dry_run in [true, false] {
        let fseg_control::Answer::Refused(fseg_control::Refusal::Invalid(why)) = w.try_apply(&text, dry_run) else {
            panic!("it does not fit")
        };
        // Each port both ways, and errors back.
        let [why] = &why[..] else { panic!("{why:?}") };
        assert!(why.starts_with("switch sw1: its table 6 (permit) takes 120 rows, and "), "{why}");
        assert!(why.contains("without room: `wide` (201 rows); "), "{why}");
    }
    assert_eq!(w.touched(), touched, "nothing was sent to anybody");
    assert!(w.reaches(&anna, &crm, WEB));
    // Without the wide one it fits.
    w.apply(&more("  - { id: narrow, from: sales, to: crm, services: [tcp/22] }"));
    assert!(w.reaches(&anna, &crm, SSH));
    w.check();
}

#[test]
fn a_plain_switch_that_refuses_a_policy_leaves_everybody_on_the_old_one() {
    let (mut w, anna, crm) = office(Protocol::OpenFlow13);
    w.net.switch(SW1).refuse_rows = Some(|m: &FlowMod| {
        let named = m.matches.iter().any(|(_, v)| v.value == 99);
        (m.table == 6 && named).then_some(TABLE_FULL)
    });
    let text = more("  - { id: bad, from: sales, to: crm, services: [tcp/99, tcp/22] }");
    let ticket = w.submit_policy(&text, fseg_control::ApplyOptions::default());
    w.pass(Duration::from_secs(12));
    let answer = w.answers.remove(&ticket);
    assert!(!matches!(answer, Some(fseg_control::Answer::Applied(_)) | None), "{answer:?}");
    assert!(w.reaches(&anna, &crm, WEB));
    assert!(!w.reaches(&anna, &crm, SSH), "nowhere a part of it");
    w.pass(Duration::from_secs(60));
    assert_eq!(lacking(&w, SW1), []);
    w.check();
}

#[test]
fn without_meters_the_node_has_a_budget_for_each_port() {
    let mut config = kit::config();
    for s in config.switches.iter_mut().filter(|s| s.dpid != NODE) {
        s.protocol = Protocol::OpenFlow13;
    }
    let bare = |s: &mut FakeSwitch| {
        if is_access(s) {
            s.plain = Some(features(10, 4000));
            s.most_meters = 0;
        }
    };
    let (mut w, anna, crm) = furnish(World::with_switches(config, bare));
    assert!(w.net.switches[&SW1].meters.is_empty());
    let question = frames::who_has(anna.mac, anna.ip(), [10, 9, 9, 9].into());
    w.pass(Duration::from_secs(4));
    let answered = (0..500).filter(|_| !w.send(&anna, &question).is_empty()).count();
    assert_eq!(answered, 120, "the burst, and no more at one moment");
    // Another port has its own.
    assert!(w.speak(&crm));
    w.pass(Duration::from_secs(1));
    assert!(!w.send(&anna, &question).is_empty(), "with time there is more");
}
