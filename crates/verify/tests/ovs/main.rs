//! On a real switch: what it holds is proved; every corruption of a row that changes what happens to a packet is found, with
//! a packet for which Open vSwitch itself (`ofproto/trace`) then does something else; and where nothing is found, thousands
//! of packets are treated as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#[path = "../site/mod.rs"]
mod site;
mod switch;

use fseg_model::{ClassId, Dpid, PortKind};
use fseg_openflow::multipart::{Answer, FlowQuery, Query};
use fseg_openflow::{Body, Field, FlowMod, FlowStats, Match, MeterMod, MultipartReply, MultipartRequest};
use fseg_pipeline::Capabilities;
use fseg_pipeline::fabric::{ROUTER_MAC, STREAM_MAC};
use fseg_verify::Verifier;
use site::mutate::{Corruption, Dice, corrupt};
use site::{NODE, SW1, SW2, Site, all_held, office, office_with_streams};
use switch::{Connection, Switch};

fn add(row: &FlowStats) -> Body {
    let mut m = FlowMod::add(row.table, row.priority);
    m.cookie = row.cookie;
    m.matches = row.matches.clone();
    m.instructions = row.instructions.clone();
    Body::FlowMod(m)
}

fn delete(row: &FlowStats) -> Body {
    Body::FlowMod(FlowMod::delete_strict(row.table, row.priority, row.matches.clone()))
}

fn read(c: &mut Connection) -> Vec<FlowStats> {
    let query = Query::Flow(FlowQuery::default());
    let mut out = Vec::new();
    for m in c.ask(Body::MultipartRequest(MultipartRequest { more: false, query })) {
        if let Body::MultipartReply(MultipartReply { answer: Answer::Flow(rows), .. }) = m.body {
            out.extend(rows);
        }
    }
    out
}

/// Refused by the switch, which then is as before.
fn refused(c: &mut Connection) -> bool {
    c.barrier().iter().any(|m| matches!(m.body, Body::Error(_)))
}

/// What a packet's way comes to: what leaves, what is asked, with which headers.
fn outcome(s: &Switch, flow: &str, state: Option<&str>) -> Result<Vec<String>, String> {
    let text = s.trace(flow, state)?;
    // The scratch register is nobody's; and it is the same to be shown to the node by one row or by another.
    let tidy = |line: &str| {
        let parts: Vec<&str> = line
            .split(',')
            .filter(|p| ["reg4=", "rule_cookie="].iter().all(|k| !p.starts_with(k)) && !p.contains("recirc_id="))
            .collect();
        parts.join(",")
    };
    let lines =
        text.lines().map(str::trim).filter(|l| l.starts_with("Datapath actions:") || l.starts_with("Final flow:"));
    // Recirculation numbers are new each time.
    Ok(lines.map(|l| tidy(l).split("recirc(").next().unwrap_or_default().to_owned()).collect())
}

/// Packets of everybody to everybody, tagged, forged, of every service that a permit or the node has, in all states.
fn packets(
    site: &Site,
    dpid: Dpid,
    c: &Corruption,
    dice: &mut Dice,
    count: usize,
) -> Vec<(String, Option<&'static str>)> {
    let f = &site.facts;
    let own = f.fabric.switch(dpid).unwrap();
    let mut senders: Vec<Match> = Vec::new();
    let frame = |port: u32, source: u64, to: u64, address: u32| {
        Match::new()
            .with(Field::InPort, port)
            .with(Field::EthSrc, source)
            .with(Field::EthDst, to)
            .with(Field::EthType, 0x0800_u16)
            .with(Field::IpTtl, 64_u8)
            .with(Field::Ipv4Src, address)
    };
    let mut addresses: Vec<u32> =
        vec![0x0a00_0001, 0xc0a8_3208, 0xc0a8_3264, 0x0101_0101, 0xe000_00fb, 0x0a09_0909, 0xef0a_0101];
    for e in &f.endpoints {
        let std::net::IpAddr::V4(a) = e.addresses[0] else { continue };
        addresses.push(a.into());
        if e.location.switch == dpid {
            senders.push(frame(e.location.port.0, e.mac.to_u64(), ROUTER_MAC.to_u64(), a.into()));
        } else if let Some(by) = own.via.get(&e.location.switch) {
            let home = f.fabric.switch(e.location.switch).unwrap().fabric_mac();
            senders.push(frame(by.0, home.to_u64(), own.fabric_mac().to_u64(), a.into()));
            if !f.joined.is_empty() {
                senders.push(frame(by.0, home.to_u64(), STREAM_MAC.to_u64(), a.into()));
            }
        }
    }
    for p in own.ports.iter().filter(|p| p.kind == PortKind::Legacy) {
        for a in [0xc0a8_3208_u32, 0xc0a8_3264, 0x0808_0808, 0x0a01_0001] {
            senders.push(frame(p.number.0, 0x0200_0000_0801, ROUTER_MAC.to_u64(), a));
        }
    }
    for p in own.ports.iter().filter(|p| p.kind == PortKind::Service) {
        senders.push(frame(p.number.0, 0x0200_0000_0909, ROUTER_MAC.to_u64(), 0x0a00_0001));
    }
    if let Some(p) = own.ports.iter().find(|p| p.kind == PortKind::Uplink) {
        let service = fseg_pipeline::fabric::SERVICE_MAC.to_u64();
        senders.push(frame(p.number.0, service, own.fabric_mac().to_u64(), 0x0a00_0001));
        senders.push(frame(p.number.0, service, own.fabric_mac().to_u64(), 0x0101_0101));
    }
    let ports = [53_u16, 80, 81, 443, 4, 67, 8000, 8080, 9100, 5000, 5004, 5100, 22, 100, 200];
    let states = [
        None,
        Some("trk,new"),
        Some("trk,est"),
        Some("trk,est,rpl"),
        Some("trk,rel"),
        Some("trk,rel,rpl"),
        Some("trk,inv"),
    ];
    let near: Vec<Match> = [&c.before, &c.after].into_iter().flatten().map(|r| r.matches.clone()).collect();
    let mut out = Vec::new();
    for _ in 0..count {
        let mut m = senders[dice.roll(senders.len())].clone();
        m = m.with(Field::Ipv4Dst, addresses[dice.roll(addresses.len())]);
        let protocol = [6_u8, 17, 1, 132, 47, 6, 17][dice.roll(7)];
        let port = ports[dice.roll(ports.len())];
        m = m.with(Field::IpProto, protocol);
        m = match protocol {
            6 => m.with(Field::TcpDst, port).with(Field::TcpSrc, ports[dice.roll(ports.len())]),
            17 => m.with(Field::UdpDst, port).with(Field::UdpSrc, [68_u16, 5353, 40_000][dice.roll(3)]),
            132 => m.with(Field::SctpDst, port),
            1 => m.with(Field::Icmpv4Type, [8_u8, 0, 3, 5][dice.roll(4)]),
            _ => m,
        };
        match dice.roll(16) {
            0 => m = m.with(Field::IpFrag, 3_u8),
            1 => m = m.with(Field::Ipv4Src, addresses[dice.roll(addresses.len())]),
            2 => {
                // A question for an address instead.
                let (mac, a) = (m.exact(Field::EthSrc).unwrap(), m.exact(Field::Ipv4Src).unwrap());
                m = Match::new()
                    .with(Field::InPort, m.exact(Field::InPort).unwrap())
                    .with(Field::EthSrc, mac)
                    .with(Field::EthDst, u128::from(u64::MAX >> 16))
                    .with(Field::EthType, 0x0806_u16)
                    .with(Field::ArpOp, [1_u8, 2][dice.roll(2)])
                    .with(Field::ArpSha, mac)
                    .with(Field::ArpSpa, a)
                    .with(Field::ArpTpa, addresses[dice.roll(addresses.len())]);
            }
            _ => {}
        }
        // As the corrupted row asks for it, where that is about the packet itself.
        if dice.roll(2) == 0
            && let Some(wanted) = near.get(dice.roll(near.len()))
        {
            let arp = m.exact(Field::EthType) == Some(0x0806);
            for (field, value) in wanted.iter() {
                let inner = matches!(
                    field,
                    Field::Metadata | Field::Reg(_) | Field::CtState | Field::ConjId | Field::VlanVid | Field::IpFrag
                );
                if *field == Field::InPort && !own.ports.iter().any(|p| u128::from(p.number.0) == value.value) {
                    continue;
                }
                let is_arp = matches!(field, Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha);
                if !inner
                    && (is_arp == arp || matches!(field, Field::InPort | Field::EthSrc | Field::EthDst))
                    && *field != Field::EthType
                {
                    let kept = m.exact(*field).unwrap_or(0) & !value.mask.unwrap_or(u128::MAX);
                    m = m.with(*field, value.value | kept);
                }
            }
            if m.missing_prerequisite().is_some() {
                continue;
            }
        }
        if m.exact(Field::IpFrag) == Some(3) {
            for f in [Field::TcpSrc, Field::TcpDst, Field::UdpSrc, Field::UdpDst, Field::SctpDst, Field::Icmpv4Type] {
                m = m.without(f);
            }
        }
        out.push((fseg_verify::packet::flow_text(&m), states[dice.roll(states.len())]));
    }
    out
}

#[test]
fn corruptions_of_single_rows_are_found() {
    corrupted(&office(), &[(SW1, 3), (NODE, 2)], 200, 75);
}

#[test]
fn corruptions_without_extensions_are_found() {
    corrupted(&office_with_streams().plain(&[SW1], &Capabilities::default()), &[(SW1, 1)], 60, 60);
}

#[test]
fn corruptions_with_streams_are_found() {
    corrupted(&office_with_streams(), &[(SW2, 1)], 40, 60);
}

/// So many corruptions, or as many as the environment asks for, shared out among the switches. Of those found, at least so many
/// percent must come with a packet that Open vSwitch then treats otherwise.
fn corrupted(site: &Site, switches: &[(Dpid, usize)], usual: usize, least: usize) {
    let count: usize = std::env::var("FSEG_VERIFY_CORRUPTIONS").ok().and_then(|v| v.parse().ok()).unwrap_or(usual);
    let all: usize = switches.iter().map(|(_, part)| part).sum();
    let mut total = (0, 0, 0);
    for &(dpid, part) in switches {
        let share = count * part / all;
        let own = site.facts.fabric.switch(dpid).unwrap();
        let ports: Vec<u32> = own.ports.iter().map(|p| p.number.0).collect();
        let Some(switch) = Switch::start(&ports) else { return };
        let mut c = switch.connect();
        for id in [60_001_u32, 60_002]
            .into_iter()
            .chain(ports.iter().flat_map(|p| [*p, 0x4000 | p, 0x8000 | p, 0x1_0000 | p]))
        {
            let bands = vec![fseg_openflow::Band::Drop { rate: 1000, burst: 1000 }];
            let flags = fseg_openflow::meter::FLAG_PACKETS | fseg_openflow::meter::FLAG_BURST;
            c.send(Body::MeterMod(MeterMod { command: fseg_openflow::MeterCommand::Add, flags, meter_id: id, bands }));
        }
        let desired = site.desired(dpid);
        for row in all_held(&desired) {
            c.send(add(&row));
        }
        assert!(!refused(&mut c), "the switch refused a row");
        let rows = read(&mut c);
        assert_eq!(rows.len(), desired.len());
        let mut verifier = Verifier::new();
        let report = verifier.verify(&site.facts, dpid, &rows, Some(&desired));
        assert!(report.is_proved() && report.extra.is_empty(), "{dpid}: {:#?} {:#?}", report.findings, report.extra);

        let mut dice = Dice(0x5eed ^ dpid.0);
        let (mut found, mut harmless, mut told) = (0, 0, 0);
        while found + harmless < share {
            let Some(corruption) = corrupt(&rows, &mut dice) else { continue };
            let samples = packets(site, dpid, &corruption, &mut dice, 60);
            let before: Vec<_> = samples.iter().map(|(p, s)| outcome(&switch, p, *s)).collect();
            assert!(before.iter().filter(|b| b.is_err()).count() * 10 < before.len(), "{before:#?}");
            let same_key = match (&corruption.before, &corruption.after) {
                (Some(b), Some(a)) => (b.priority, &b.matches) == (a.priority, &a.matches),
                _ => false,
            };
            if let Some(row) = corruption.before.as_ref().filter(|_| !same_key) {
                c.send(delete(row));
            }
            if let Some(row) = &corruption.after {
                c.send(add(row));
            }
            let mend = |c: &mut Connection| {
                if let Some(row) = corruption.after.as_ref().filter(|_| !same_key) {
                    c.send(delete(row));
                }
                if let Some(row) = &corruption.before {
                    c.send(add(row));
                }
                assert!(!refused(c));
            };
            if refused(&mut c) {
                // It is no row that a switch can hold.
                if let Some(row) = &corruption.before {
                    c.send(add(row));
                }
                assert!(!refused(&mut c));
                continue;
            }
            let report = verifier.verify(&site.facts, dpid, &read(&mut c), Some(&desired));
            let after: Vec<_> = samples.iter().map(|(p, s)| outcome(&switch, p, *s)).collect();
            let text = || {
                let show = |r: &Option<FlowStats>| r.as_ref().map(ToString::to_string);
                format!("{dpid} {}: {:?} -> {:?}", corruption.kind, show(&corruption.before), show(&corruption.after))
            };
            if report.is_proved() {
                harmless += 1;
                for ((sample, b), a) in samples.iter().zip(&before).zip(&after) {
                    assert_eq!(b, a, "{}\nwas not found, but {sample:?} is treated otherwise", text());
                }
                assert!(!report.extra.is_empty() || corruption.after.is_none(), "{}\nis not even mentioned", text());
            } else {
                found += 1;
                let finding = &report.findings[0];
                assert!(!finding.blamed.is_empty(), "{}\n{finding:#?}", text());
                let blames = |row: &Option<FlowStats>| {
                    row.as_ref().is_some_and(|r| {
                        report.findings.iter().flat_map(|f| &f.blamed).any(|b| b.row.contains(&r.matches.to_string()))
                    })
                };
                assert!(
                    blames(&corruption.before) || blames(&corruption.after),
                    "{}\nblames others: {finding:#?}",
                    text()
                );
                if let Some(packet) = &finding.packet {
                    let (flow, state) = packet.parts();
                    let bad = outcome(&switch, &flow, state.as_deref());
                    mend(&mut c);
                    let good = outcome(&switch, &flow, state.as_deref());
                    assert!(bad.is_ok(), "{}\nOpen vSwitch does not take the packet {packet}: {bad:?}", text());
                    // What a connection's first packet asked for, a trace cannot be told; and of two rows that disagree at one
                    // priority the switch may choose the right one.
                    if bad == good {
                        println!("alike: {packet}: {} instead of {}\n  {}", finding.found, finding.expected, text());
                        continue;
                    }
                    told += 1;
                    continue;
                }
            }
            mend(&mut c);
        }
        println!(
            "{dpid}: {found} found, {told} of them with a packet that Open vSwitch treats otherwise, {harmless} harmless"
        );
        assert!(verifier.verify(&site.facts, dpid, &read(&mut c), Some(&desired)).is_proved(), "all is restored");
        total = (total.0 + found, total.1 + told, total.2 + harmless);
    }
    assert!(total.0 * 2 > count && total.1 * 100 > total.0 * least, "{total:?}: too few to mean anything");
    assert!(site.facts.classes.keys().all(|c| *c >= ClassId::FIRST));
}
