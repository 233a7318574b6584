//! What the comparison with Open vSwitch cannot say: many rows, limits, changes of rows, connections.

use super::*;
use crate::field::Field;
use crate::flow::{FlowCommand, FlowMod};
use crate::parse_flow;

fn tables(rows: &[&str]) -> Tables {
    let mut tables = Tables::new();
    for row in rows {
        tables.apply(&parse_flow(row).unwrap()).unwrap();
    }
    tables
}

fn ports(tables: &Tables, packet: &str) -> Vec<u32> {
    let trace = Simulator::new(tables).run(Packet::from_text(packet).unwrap(), &mut NoConnections);
    trace.outputs().map(|(port, _)| port).collect()
}

#[test]
fn a_search_among_100_000_rows_looks_at_few() {
    let mut tables = Tables::new();
    let mut row = FlowMod::add(0, 100);
    for n in 0..100_000_u32 {
        row.matches = crate::Match::new().with(Field::EthType, 0x0800_u16).with(Field::Ipv4Dst, 0x0a00_0000 + n);
        row.instructions = vec![crate::Instruction::ApplyActions(vec![crate::Action::output(1 + n % 9)])];
        row.cookie = n.into();
        tables.apply(&row).unwrap();
    }
    let mut packet = Packet::from_text("in_port=20,udp,nw_dst=10.0.0.0").unwrap();
    // 50,000 searches: minutes if each looked at every row.
    for n in (0..100_000_u32).step_by(2) {
        packet.set(Field::Ipv4Dst, (0x0a00_0000 + n).into(), u128::MAX);
        let id = tables.find(0, &packet).unwrap();
        assert_eq!(tables.row(id).unwrap().3.cookie, u64::from(n));
    }
}

#[test]
fn endless_ways_are_given_up() {
    let round = tables(&["table=0,actions=output:2,resubmit(,0)"]);
    let trace = Simulator::new(&round).run(Packet::from_text("in_port=1,arp").unwrap(), &mut NoConnections);
    assert_eq!(trace.abandoned, Some(Abandoned::TooDeep));
    assert!(trace.departures.is_empty() && trace.dropped() == Some(Dropped::Abandoned(Abandoned::TooDeep)));
    let wide = tables(&["table=0,actions=resubmit(,1),resubmit(,1)", "table=1,actions=resubmit(,0),resubmit(,0)"]);
    let trace = Simulator::new(&wide).run(Packet::from_text("in_port=1,arp").unwrap(), &mut NoConnections);
    assert!(trace.abandoned.is_some());
    let tracked = tables(&["table=0,ip,actions=ct(table=0)"]);
    let trace = Simulator::new(&tracked).run(Packet::from_text("in_port=1,tcp").unwrap(), &mut NoConnections);
    assert_eq!(trace.abandoned, Some(Abandoned::GoesRound));
    // All tables after each other, and deep nesting, fit into the stack of a thread.
    let mut forward: Vec<String> = (0..250).map(|n| format!("table={n},actions=resubmit(,{})", n + 1)).collect();
    forward.push("table=250,actions=output:2".into());
    let forward = tables(&forward.iter().map(String::as_str).collect::<Vec<_>>());
    let trace = Simulator::new(&forward).run(Packet::from_text("in_port=1,arp").unwrap(), &mut NoConnections);
    assert_eq!(trace.abandoned, Some(Abandoned::TooDeep));
}

#[test]
fn rows_change_as_told() {
    let mut tables =
        tables(&["priority=5,cookie=0x1,ip,actions=output:2", "priority=9,cookie=0x2,tcp,actions=output:3"]);
    assert_eq!(ports(&tables, "in_port=1,tcp"), [3]);
    let change = FlowMod { command: FlowCommand::Modify, ..parse_flow("ip,actions=output:4").unwrap() };
    assert_eq!(tables.apply(&change), Ok(2));
    assert_eq!(ports(&tables, "in_port=1,tcp"), [4]);
    let delete = FlowMod { cookie: 2, cookie_mask: u64::MAX, ..FlowMod::delete_all(0, 0, 0) };
    assert_eq!(tables.apply(&delete), Ok(1));
    assert_eq!(tables.len(), 1);
    let none = FlowMod { out_port: 7, ..FlowMod::delete_all(0, 0, 0) };
    assert_eq!(tables.apply(&none), Ok(0), "no row sends to port 7");
    let overlap = parse_flow("check_overlap,priority=5,tcp,actions=drop").unwrap();
    assert_eq!(tables.apply(&overlap), Err(Refused(5, 3)));
    let missing = FlowMod { matches: crate::Match::new().with(Field::TcpDst, 80_u16), ..FlowMod::add(0, 1) };
    assert_eq!(tables.apply(&missing), Err(Refused(4, 9)));
}

#[test]
fn connections_are_remembered_translated_and_answered() {
    let tables = tables(&[
        "table=0,priority=9,in_port=1,ip,actions=ct(commit,zone=5,nat(src=192.0.2.1),exec(set_field:0x7->ct_mark)),output:2",
        "table=0,priority=9,in_port=2,ip,actions=ct(zone=5,nat,table=1)",
        "table=1,priority=9,ct_state=+trk+est+rpl,ct_mark=0x7,ip,actions=output:1",
    ]);
    let mut connections = Connections::default();
    let mut run = |text: &str| {
        let packet = Packet::from_text(text).unwrap();
        let trace = Simulator::new(&tables).run(packet, &mut connections);
        trace.outputs().map(|(port, p)| (port, p.value(Field::Ipv4Src), p.value(Field::Ipv4Dst))).collect::<Vec<_>>()
    };
    let reply = "in_port=2,tcp,nw_src=198.51.100.1,nw_dst=192.0.2.1,tp_src=80,tp_dst=5000,tcp_flags=0x12";
    assert_eq!(run(reply), [], "nobody asked yet");
    assert_eq!(
        run("in_port=1,tcp,nw_src=10.0.0.1,nw_dst=198.51.100.1,tp_src=5000,tp_dst=80"),
        [(2, 0xc000_0201, 0xc633_6401)]
    );
    assert_eq!(run(reply), [(1, 0xc633_6401, 0x0a00_0001)]);
}

#[test]
fn learned_rows_are_returned() {
    let tables = tables(&[
        "table=0,actions=learn(table=1,priority=7,cookie=0x9,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    ]);
    let packet = Packet::from_text("in_port=3,dl_src=02:00:00:00:00:07,arp").unwrap();
    let trace = Simulator::new(&tables).run(packet, &mut NoConnections);
    let learned: Vec<String> = trace.learned.iter().map(|row| row.to_string()).collect();
    assert_eq!(learned, ["ADD table:1 priority=7,dl_dst=02:00:00:00:00:07 cookie:0x9 actions=output:3"]);
}

#[test]
fn damaged_frames_are_no_reason_to_stop() {
    let tables = tables(&[
        "table=0,priority=9,tcp,tp_dst=80,actions=set_field:81->tcp_dst,dec_ttl,ct(commit,table=1,zone=1)",
        "table=0,priority=5,ip,actions=set_field:10.0.0.9->ip_dst,ct(table=1)",
        "table=0,priority=4,ipv6,actions=set_field:::1->ipv6_dst,output:2",
        "table=0,priority=3,arp,actions=set_field:2->arp_op,output:2",
        "table=1,actions=output:2",
    ]);
    let whole = [
        "in_port=1,tcp,tp_dst=80",
        "in_port=1,icmp,icmp_type=3",
        "in_port=1,icmp6,icmp_type=135",
        "in_port=1,arp",
        "in_port=1,dl_vlan=5,udp",
    ];
    let mut seed = 1_u32;
    for text in whole {
        let frame = Packet::from_text(text).unwrap().frame();
        for length in 0..frame.len() {
            Simulator::new(&tables).run(Packet::new(&frame[..length], 1), &mut Connections::default());
        }
        for _ in 0..2000 {
            let mut bad = frame.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = seed as usize / 7 % bad.len();
                bad[at] = (seed >> 24) as u8;
            }
            let trace = Simulator::new(&tables).run(Packet::new(&bad, 1), &mut Connections::default());
            trace.outputs().for_each(|(_, packet)| assert_eq!(packet.frame().len(), packet.len()));
        }
    }
}
