//! What the pipeline makes of facts is proved right; what a compiler might get wrong is found, each kind once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod site;

use fseg_model::WatchLevel;
use fseg_openflow::{Field, FlowStats};
use fseg_pipeline::Owner;
use fseg_pipeline::profile::Capabilities;
use fseg_verify::{Report, Verifier};
use proptest::prelude::*;
use site::{NODE, SW1, SW2, Site, TELEVISION, all_held, office, office_with, office_with_streams};

fn verify(site: &Site, dpid: fseg_model::Dpid, rows: &[FlowStats]) -> Report {
    Verifier::new().verify(&site.facts, dpid, rows, Some(&site.desired(dpid)))
}

#[test]
fn what_the_pipeline_makes_is_proved() {
    for more in ["", "mode: observe\n", "observe: [sales, team3]\n"] {
        let site = office_with(more);
        for dpid in [NODE, SW1, SW2] {
            let desired = site.desired(dpid);
            let rows = all_held(&desired);
            let mut verifier = Verifier::new();
            let report = verifier.verify(&site.facts, dpid, &rows, Some(&desired));
            assert!(report.is_proved(), "{more} {dpid}: {:#?}", report.findings);
            assert_eq!((report.extra.len(), report.foreign.len()), (0, 0));
            let again = verifier.verify(&site.facts, dpid, &rows, Some(&desired));
            assert_eq!(again.remembered, again.parts, "nothing changed, so nothing is proved again");
        }
    }
}

#[test]
fn switches_without_extensions_are_proved() {
    use fseg_openflow::Instruction;
    let poor = Capabilities { meters: false, ..Capabilities::default() };
    for can in [Capabilities::default(), poor] {
        for more in ["", "mode: observe\n", "observe: [sales, team3]\n"] {
            let site = office_with(more).plain(&[SW1, SW2], &can);
            for dpid in [SW1, SW2] {
                let desired = site.desired(dpid);
                let rows = all_held(&desired);
                assert!(rows.iter().any(|r| r.instructions.iter().any(|i| matches!(i, Instruction::WriteActions(_)))));
                let mut verifier = Verifier::new();
                let report = verifier.verify(&site.facts, dpid, &rows, Some(&desired));
                assert!(report.is_proved(), "{more} {dpid}: {:#?}", report.findings);
                assert!(report.extra.is_empty());
                let again = verifier.verify(&site.facts, dpid, &rows, Some(&desired));
                assert_eq!(again.remembered, again.parts, "nothing changed, so nothing is proved again");
            }
        }
    }
}

#[test]
fn streams_are_proved() {
    for plain in [false, true] {
        let mut site = office_with_streams();
        if plain {
            site = site.plain(&[SW1, SW2], &Capabilities::default());
        }
        for dpid in [NODE, SW1, SW2] {
            let desired = site.desired(dpid);
            let copied = desired.iter().filter(|r| matches!(r.owner, Owner::Stream(_))).count();
            assert!(copied > 0 || dpid == NODE, "{dpid}");
            let report = verify(&site, dpid, &all_held(&desired));
            assert!(report.is_proved(), "{plain} {dpid}: {:#?}", report.findings);
        }
    }
}

#[test]
fn a_stream_to_somebody_who_did_not_join_or_may_not_is_found() {
    let site = office_with_streams();
    let rows = all_held(&site.desired(SW1));
    type Other = fn(&mut Site);
    let others: [(&str, Other); 5] = [
        ("a receiver left", |s| {
            s.facts.joined.get_mut(&TELEVISION).unwrap().remove(&fseg_model::EndpointId(1));
        }),
        ("a receiver lost its groups", |s| s.facts.endpoints[0].class = s.facts.endpoints[1].class),
        ("a sender lost its groups", |s| s.facts.endpoints[1].class = s.facts.endpoints[0].class),
        ("a receiver is elsewhere", |s| s.facts.endpoints[0].location.port = fseg_model::PortNo(3)),
        ("everybody left", |s| s.facts.joined.clear()),
    ];
    for (what, change) in others {
        let mut site = office_with_streams();
        let mut verifier = Verifier::new();
        assert!(verifier.verify(&site.facts, SW1, &rows, None).is_proved());
        change(&mut site);
        let report = verifier.verify(&site.facts, SW1, &rows, None);
        let located = |f: &&fseg_verify::Finding| f.part == fseg_verify::Part::Locate(Some(u32::from(TELEVISION) >> 8));
        let finding = report.findings.iter().find(located).unwrap_or_else(|| panic!("{what}: {:#?}", report.findings));
        let after = all_held(&site.desired(SW1));
        let report = verifier.verify(&site.facts, SW1, &after, None);
        assert!(report.is_proved(), "{what}: {:#?}", report.findings);
        // Sent by somebody who is there, where anybody may send at all.
        let packet = finding.packet.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(packet.contains("nw_dst=239.10.1.1"), "{what}: {finding:#?}");
    }
}

#[test]
fn an_exit_without_its_next_hop_denies_and_no_shorter_prefix_takes_over() {
    let mut site = office();
    let node = site.facts.fabric.switches.get_mut(&NODE).unwrap();
    node.ports[2].exit.as_mut().unwrap().gateway_mac = None;
    let rows = all_held(&site.desired(NODE));
    let report = verify(&site, NODE, &rows);
    assert!(report.is_proved(), "{:#?}", report.findings);
    // Without the rows that deny, the Internet's exit would get it.
    let mut fewer = rows;
    fewer.retain(|r| {
        !(r.table == 3
            && r.priority >= 124
            && matches!(r.matches.get(Field::Ipv4Dst), Some(v) if v.value >> 8 == 0xc0a832))
    });
    let report = verify(&site, NODE, &fewer);
    assert!(!report.is_proved());
    assert!(
        report.findings[0].found.contains("on to track") && report.findings[0].expected.contains("shown to the node")
    );
}

#[test]
fn a_change_of_facts_alone_is_found_and_of_both_is_proved_in_its_parts_only() {
    let mut site = office();
    let mut verifier = Verifier::new();
    let before = all_held(&site.desired(SW1));
    assert!(verifier.verify(&site.facts, SW1, &before, None).is_proved());
    // Somebody gets the groups of another, and the rows do not follow.
    site.facts.endpoints[0].class = site.facts.endpoints[1].class;
    let report = verifier.verify(&site.facts, SW1, &before, None);
    assert_eq!(report.different, 2, "its guard and its address: {:#?}", report.findings);
    let after = all_held(&site.desired(SW1));
    let report = verifier.verify(&site.facts, SW1, &after, None);
    assert!(report.is_proved(), "{:#?}", report.findings);
    assert!(report.parts - report.remembered <= 4, "{} of {}", report.parts - report.remembered, report.parts);
}

#[test]
fn mistakes_of_a_compiler_are_found() {
    type Mistake = fn(&mut Vec<FlowStats>);
    let mistakes: [(&str, Mistake); 5] = [
        ("a port range that ends one too early", |rows| {
            let last =
                rows.iter().rposition(|r| r.matches.get(Field::Reg(5)).is_some_and(|v| v.value == 5100)).unwrap();
            rows.remove(last);
        }),
        ("later fragments forgotten", |rows| rows.retain(|r| r.matches.get(Field::Reg(3)).is_none())),
        ("permits look at the watch level", |rows| {
            for r in rows.iter_mut().filter(|r| r.table == 6) {
                if let Some(v) = r.matches.get(Field::Metadata).copied() {
                    let mask = v.mask.unwrap_or(u64::MAX.into()) | 3 << 46;
                    r.matches = std::mem::take(&mut r.matches).with_masked(Field::Metadata, v.value | 1 << 46, mask);
                }
            }
        }),
        ("an inside address believed from a cable", |rows| {
            rows.retain(|r| !(r.table == 0 && r.priority == 320 + 8 && r.matches.exact(Field::InPort) == Some(24)));
        }),
        ("a permit's rows twice, at the priority of another", |rows| {
            let deny = rows.iter().find(|r| r.table == 6 && r.priority == 0).unwrap().clone();
            let row = rows.iter().find(|r| r.table == 6 && r.matches.get(Field::Reg(5)).is_some()).unwrap().clone();
            rows.push(FlowStats {
                instructions: deny.instructions,
                matches: row.matches.without(Field::Reg(5)),
                ..row
            });
        }),
    ];
    let site = office();
    for (what, make) in mistakes {
        let mut rows = all_held(&site.desired(SW1));
        make(&mut rows);
        let report = verify(&site, SW1, &rows);
        assert!(!report.is_proved(), "{what} was not found");
        assert!(report.findings.iter().all(|f| !f.blamed.is_empty()), "{what}: {:#?}", report.findings);
    }
}

#[test]
fn rows_of_others_are_named_and_harmless_ones_told_apart() {
    let site = office();
    let mut rows = all_held(&site.desired(SW2));
    let mut foreign = rows.iter().find(|r| r.table == 6 && r.priority == 0).unwrap().clone();
    foreign.cookie = 7;
    foreign.priority = 1;
    foreign.hard_timeout = 60;
    // It says what the row below says.
    rows.push(foreign.clone());
    let report = verify(&site, SW2, &rows);
    assert!(report.is_proved(), "{:#?}", report.findings);
    assert_eq!((report.foreign.len(), report.extra.len(), report.temporary.len()), (1, 1, 1));
    // Above the permits it is not harmless any more.
    rows.last_mut().unwrap().priority = 60_000;
    let report = verify(&site, SW2, &rows);
    let blamed = report.findings.iter().flat_map(|f| &f.blamed);
    assert!(blamed.clone().count() > 0 && blamed.clone().any(|b| b.owner.is_none()), "{:#?}", report.findings);
}

#[test]
fn who_is_blamed_has_a_name() {
    let site = office();
    let mut rows = all_held(&site.desired(SW1));
    let lost = rows.iter().position(|r| r.table == 6 && r.priority == 1001).unwrap();
    rows.remove(lost);
    let report = verify(&site, SW1, &rows);
    let finding = &report.findings[0];
    assert_eq!(finding.blamed[0].owner, Some(Owner::Permit(1)), "{finding:#?}");
    assert!(finding.blamed[0].missing);
    let packet = finding.packet.as_ref().unwrap().to_string();
    assert!(packet.contains("nw_src=10.1.0.1") && packet.contains("nw_dst=10.1.0.2"), "{packet}");
    assert!(packet.ends_with("--ct-next trk,new"), "{packet}");
}

#[test]
fn a_watched_endpoint_is_permitted_alike() {
    let mut site = office();
    site.facts.endpoints[0].watch = WatchLevel::Inline;
    let report = verify(&site, SW1, &all_held(&site.desired(SW1)));
    assert!(report.is_proved(), "{:#?}", report.findings);
}

/// What a permit of two groups may say.
fn terms() -> impl Strategy<Value = Vec<String>> {
    let term = prop_oneof![
        Just("any".to_owned()),
        Just("ip/47".to_owned()),
        (0_u8..20).prop_map(|kind| format!("icmp/{kind}")),
        (prop_oneof![Just("tcp"), Just("udp"), Just("sctp")], 0_u16..12, 0_u16..6)
            .prop_map(|(protocol, first, more)| format!("{protocol}/{first}-{}", first + more)),
        prop_oneof![Just("tcp/0-65535".to_owned()), Just("udp/0-65535".to_owned())],
    ];
    proptest::collection::vec(term, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two descriptions of the same thing, made apart, come to the same for every packet; and a row of a permit that is gone
    /// is missed, unless another one says the same.
    #[test]
    fn random_policies_are_proved_on_both_kinds(
        permits in proptest::collection::vec((0..3_usize, 0..3_usize, terms(), any::<bool>()), 0..5),
        mode in prop_oneof![Just(""), Just("mode: observe\n"), Just("observe: [b]\n")],
        plain in any::<bool>(),
        lost in any::<prop::sample::Index>(),
    ) {
        let groups = ["a", "b", "c"];
        let mut text = format!("{mode}groups:\n");
        for g in groups {
            text.push_str(&format!("  {g}: {{ members: [user:{g}] }}\n"));
        }
        text.push_str(if permits.is_empty() { "permits: []\n" } else { "permits:\n" });
        for (n, (from, to, terms, trial)) in permits.iter().enumerate() {
            let trial = if *trial { ", mode: observe" } else { "" };
            let (from, to) = (groups[*from], groups[*to]);
            text.push_str(&format!("  - {{ id: p{n}, from: {from}, to: {to}, services: [{}]{trial} }}\n", terms.join(", ")));
        }
        let mut site = Site::new(&text);
        site.endpoint(1, SW1, 1, Some("a")).endpoint(2, SW1, 2, Some("b c")).endpoint(3, SW2, 1, Some("c"));
        site.endpoint(4, SW1, 3, None);
        if plain {
            site = site.plain(&[SW1], &Capabilities::default());
        }
        let mut rows = all_held(&site.desired(SW1));
        let mut verifier = Verifier::new();
        let report = verifier.verify(&site.facts, SW1, &rows, None);
        prop_assert!(report.is_proved(), "{}\n{:#?}", text, report.findings);
        let of_permits: Vec<usize> = (0..rows.len()).filter(|i| (1000..65_000).contains(&rows[*i].priority)).collect();
        if !of_permits.is_empty() {
            let key = |r: &FlowStats| (r.matches.clone(), r.instructions.clone());
            let gone = rows.remove(of_permits[lost.index(of_permits.len())]);
            let twice = rows.iter().any(|r| r.table == 6 && key(r) == key(&gone));
            let report = verifier.verify(&site.facts, SW1, &rows, None);
            // What is observed passes anyway; a wider row may say the same.
            let wider = twice || !mode.is_empty() || permits.len() > 1 || permits[0].2.len() > 1;
            prop_assert!(wider || !report.is_proved(), "{}\n{} is not missed", text, gone);
        }
    }
}
