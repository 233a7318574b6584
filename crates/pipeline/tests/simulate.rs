//! The rows of a site on a real Open vSwitch and in the simulator: packets of endpoints, strangers, switches and the outside meet
//! the same rows and leave alike.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "a panic is how a test fails, in its helpers too; not every test uses all of the site"
)]

mod site;

use std::collections::BTreeSet;

use fseg_model::{Flow, Mac};
use fseg_openflow::Instruction;
use fseg_openflow::simulate::state;
use fseg_pipeline::fabric::{ROUTER_MAC, SERVICE_MAC};
use fseg_test_kit::frames;
use fseg_test_kit::oracle::{Oracle, Question};
use site::{Host, NODE, NODE_MAC, ROUTER, SW1, SW2, Site, at};

const POLICY: &str = "
groups:
  a: { members: [] }
  b: { members: [] }
  c: { members: [] }
externals:
  old: { cidr: [192.168.50.0/24] }
  net: { cidr: [0.0.0.0/0] }
permits:
  - { id: a-b, from: a, to: [b, c], services: [tcp/80, tcp/8000-8099, udp/53, icmp/echo] }
  - { id: many, from: [a, b, c], to: [a, b, c, old], services: [tcp/22, tcp/1000-1999, udp/5000-6001] }
  - { id: a-net, from: a, to: net, services: [tcp/443, icmp/echo] }
  - { id: old-a, from: old, to: a, services: [tcp/22] }
";

#[test]
fn the_rows_of_a_site_do_on_open_vswitch_what_they_do_here() {
    let Some(mut oracle) = Oracle::start((1..=12).chain([24]), &[]) else { return };
    let hosts = vec![
        Host::inside(1, at(SW1, 1), "a"),
        Host::inside(2, at(SW1, 2), "b"),
        Host::inside(3, at(SW2, 1), "b c"),
        Host::stranger(4, at(SW2, 2)),
        Host::inside(5, at(SW2, 3), ""),
        Host::legacy(9),
        Host::internet(10),
    ];
    let site = Site::new(hosts, POLICY);
    let mut compared = 0;
    let mut met = BTreeSet::new();
    for dpid in [NODE, SW1, SW2] {
        let rows: Vec<_> = site.desired[&dpid].iter().map(|row| row.to_add(1)).collect();
        let meter = |i: &Instruction| if let Instruction::Meter(n) = i { Some(*n) } else { None };
        let meters: BTreeSet<u32> = rows.iter().flat_map(|row| row.instructions.iter().filter_map(meter)).collect();
        oracle.add_meters(meters);
        let refused = oracle.replace(&[], &rows);
        assert!(refused.is_empty(), "{refused:?}");
        let macs = || {
            let fabric = site.fabric.switches.values().map(|switch| switch.fabric_mac());
            site.hosts.iter().map(|host| host.mac).chain(fabric).chain([SERVICE_MAC, ROUTER_MAC, NODE_MAC])
        };
        let ports: Vec<u32> = site.fabric.switch(dpid).unwrap().ports.iter().map(|port| port.number.0).collect();
        let addresses: Vec<_> =
            site.hosts.iter().map(|h| h.address).chain([ROUTER, [10, 9, 9, 9].into(), [224, 0, 0, 1].into()]).collect();
        let flows =
            [Flow::tcp(80), Flow::tcp(22), Flow::tcp(443), Flow::udp(53), Flow::udp(67), Flow::PING, Flow::tcp(1500)];
        let states =
            [state::NEW, state::ESTABLISHED, state::ESTABLISHED | state::REPLY, state::RELATED, state::INVALID];
        let mut number = 0_usize;
        let mut pick = |count: usize| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % count
        };
        let all: Vec<Mac> = macs().collect();
        for turn in 0..400 {
            let who = pick(site.hosts.len());
            // Half of them are what hosts send; the others are put together at random, as forgers do.
            let honest = turn % 2 == 0 && site.hosts[who].place.switch == dpid;
            let host = &site.hosts[who];
            let (in_port, mac, source) = match honest {
                true => (host.place.port.0, host.mac, host.address),
                false => (ports[pick(ports.len())], all[pick(all.len())], addresses[pick(addresses.len())]),
            };
            let to = if honest { ROUTER_MAC } else { all[pick(all.len())] };
            let destination = addresses[pick(addresses.len())];
            let frame = match pick(6) {
                0 => frames::who_has(mac, source, destination),
                _ => frames::first_of(flows[pick(flows.len())], mac, to, source, destination),
            };
            let states = vec![states[pick(states.len())], states[pick(states.len())]];
            let question = Question { in_port, frame, states };
            let trace = oracle.compare(&question).unwrap_or_else(|what| panic!("{dpid}, {question:x?}: {what}"));
            met.extend(trace.steps.iter().filter(|step| step.row.is_some()).map(|step| (dpid, step.table)));
            compared += 1;
        }
    }
    println!("{compared} packets compared, in {} tables of three switches", met.len());
    assert!(met.len() >= 24, "too few tables were reached: {met:?}");
}
