//! Rows every switch of a role has, whatever the policy says.

use fseg_model::{ClassId, PortKind, PortNo, SliceId, WatchLevel};
use fseg_openflow::{Action, Field, Instruction, Subfield};
use fseg_openflow::{CtAction, CtZone, NatAction, NatKind};

use super::{
    FULL, ICMP, Rows, TCP, UDP, arp, guard, ip, locate, metered, nat, prefix, send_by, set, set_mac, transport,
};
use crate::bits;
use crate::cookie::{Owner, SystemRow};
use crate::desired::Row;
use crate::fabric::{
    CLOSED_PORT, Fabric, NEVER_FORWARDED, REDIRECT_PORT, ROUTER_MAC, SERVICE_MAC, SwitchFacts, SwitchRole,
};
use crate::meter;
use crate::table::{Miss, PIPELINE, Table};

const NEW: u32 = 0x01;
const ESTABLISHED: u32 = 0x02;
const RELATED: u32 = 0x04;
const LATER_FRAGMENT: u8 = 0x02;
const REPLY: u32 = 0x08;
const INVALID: u32 = 0x10;
const TRACKED: u32 = 0x20;

type Maker = fn(&Fabric, &SwitchFacts, &mut Rows);

/// Rows of one part of the system on one switch. Each [`SystemRow`] is an owner of its own, so that changes of one part
/// leave the others alone.
pub fn system_rows(fabric: &Fabric, switch: &SwitchFacts) -> Vec<(Owner, Vec<Row>)> {
    let parts: [(SystemRow, Maker); 10] = [
        (SystemRow::Frame, frame),
        (SystemRow::DefaultDeny, default_deny),
        (SystemRow::UnknownDestination, unknown_destination),
        (SystemRow::FabricLink, fabric_link),
        (SystemRow::Dhcp, dhcp),
        (SystemRow::FirstPacket, first_packet),
        (SystemRow::AddressResolution, address_resolution),
        (SystemRow::Onboarding, onboarding),
        (SystemRow::NodeService, node_service),
        (SystemRow::Tracking, tracking),
    ];
    let mut out: Vec<_> = parts
        .into_iter()
        .map(|(part, make)| {
            let owner = Owner::System(part);
            let mut rows = Rows::of(owner);
            make(fabric, switch, &mut rows);
            (owner, rows.done())
        })
        .collect();
    let owner = Owner::System(SystemRow::Unwanted);
    let mut rows = Rows::of(owner);
    unwanted(&mut rows);
    out.push((owner, rows.done()));
    let Some(can) = switch.profile.plain() else { return out };
    for (owner, rows) in &mut out {
        *rows = super::plain::lowered(switch, can, std::mem::take(rows));
        match owner {
            Owner::System(SystemRow::AddressResolution) => rows.extend(super::plain::system_rows(fabric, switch, can)),
            Owner::System(SystemRow::Unwanted) => rows.extend(super::plain::unwanted_rows()),
            _ => {}
        }
    }
    out
}

/// Table misses, and the last step.
fn frame(_: &Fabric, _: &SwitchFacts, rows: &mut Rows) {
    for d in &PIPELINE {
        match d.miss {
            Miss::Drop => rows.add(d.table, 0, Default::default(), vec![]),
            Miss::Goto(t) => rows.add(d.table, 0, Default::default(), vec![Instruction::GotoTable(t.number())]),
            // These two have owners of their own: default deny and unknown destination.
            Miss::DropLogged | Miss::Leave => {}
        }
    }
    // Clearing the ingress port lets a packet leave by the port it came in by: two endpoints behind one shared port.
    rows.add(
        Table::Emit,
        100,
        ip(),
        vec![Instruction::ApplyActions(vec![
            Action::Load { dst: Subfield::whole(Field::InPort), value: 0 },
            Action::OutputReg { src: Subfield::whole(bits::OUT_PORT), max_len: FULL },
        ])],
    );
}

fn default_deny(_: &Fabric, _: &SwitchFacts, rows: &mut Rows) {
    rows.add(Table::Permit, 0, Default::default(), metered(meter::DENIED.id, FULL));
}

fn unknown_destination(fabric: &Fabric, _: &SwitchFacts, rows: &mut Rows) {
    rows.add(Table::Locate, 0, Default::default(), metered(meter::DENIED.id, FULL));
    for net in &fabric.inner {
        rows.add(
            Table::Locate,
            locate::PREFIX + u16::from(net.prefix_len()),
            prefix(ip(), Field::Ipv4Dst, net.network(), net.prefix_len()),
            metered(meter::DENIED.id, FULL),
        );
    }
}

/// Frames between switches: for others of the site, passed on; for this one, believed only from its peers (their rows
/// are the endpoints' and externals'); everything else refused.
fn fabric_link(fabric: &Fabric, switch: &SwitchFacts, rows: &mut Rows) {
    let known = |class| {
        vec![
            Instruction::WriteMetadata {
                value: bits::source(SliceId::DEFAULT, WatchLevel::Log, class),
                mask: bits::SOURCE_MASK,
            },
            Instruction::GotoTable(Table::Locate.number()),
        ]
    };
    for port in switch.ports_of(PortKind::Uplink) {
        let from = || ip().with(Field::InPort, port.number.0);
        for (other, out) in &switch.via {
            if *out == port.number {
                continue; // never back to where it came from
            }
            if let Some(peer) = fabric.switch(*other) {
                rows.add(
                    Table::Guard,
                    guard::TRANSIT,
                    from().with(Field::EthDst, peer.fabric_mac().to_u64()),
                    vec![Instruction::ApplyActions(vec![Action::Output { port: out.0, max_len: FULL }])],
                );
            }
        }
        if switch.role == SwitchRole::Access {
            let service =
                || from().with(Field::EthDst, switch.fabric_mac().to_u64()).with(Field::EthSrc, SERVICE_MAC.to_u64());
            let node = service().with(Field::Ipv4Src, u32::from(fabric.router));
            rows.add(Table::Guard, guard::SERVICE, node, known(ClassId::NODE));
            // In the name of whatever a stranger asked for, the portal answers; and nobody but strangers.
            for asked in [80_u16, 443] {
                let portal = transport(service(), TCP).with(Field::TcpSrc, asked);
                rows.add(Table::Guard, guard::SERVICE - 2, portal, known(ClassId::PORTAL));
            }
        }
        for net in &fabric.inner {
            rows.add(
                Table::Guard,
                guard::OUTSIDE + u16::from(net.prefix_len()),
                prefix(from(), Field::Ipv4Src, net.network(), net.prefix_len()),
                vec![],
            );
        }
        rows.add(
            Table::Guard,
            guard::PORT_REST,
            fseg_openflow::Match::new().with(Field::InPort, port.number.0),
            vec![],
        );
    }
}

fn dhcp(_: &Fabric, switch: &SwitchFacts, rows: &mut Rows) {
    let request = |m| transport(m, UDP).with(Field::UdpSrc, 68_u16).with(Field::UdpDst, 67_u16);
    rows.add(Table::Guard, guard::DHCP, request(ip()), vec![Instruction::GotoTable(Table::Onboard.number())]);
    for port in switch.ports.iter().filter(|p| p.kind.admits()) {
        let m = request(ip().with(Field::InPort, port.number.0));
        rows.add(Table::Onboard, 300, m, metered(meter::control(port.number).id, FULL));
    }
}

fn first_packet(_: &Fabric, switch: &SwitchFacts, rows: &mut Rows) {
    for port in switch.ports.iter().filter(|p| p.kind.admits()) {
        for m in [ip(), arp()] {
            let m = m.with(Field::InPort, port.number.0);
            rows.add(Table::Onboard, 100, m, metered(meter::control(port.number).id, FULL));
        }
    }
}

/// Everybody's neighbour is the virtual router.
fn address_resolution(_: &Fabric, _: &SwitchFacts, rows: &mut Rows) {
    let whole = Subfield::whole;
    rows.add(
        Table::Answer,
        100,
        arp().with(Field::ArpOp, 1_u16),
        vec![Instruction::ApplyActions(vec![
            Action::Move { src: whole(Field::EthSrc), dst: whole(Field::EthDst) },
            set_mac(Field::EthSrc, ROUTER_MAC),
            set(Field::ArpOp, 2_u16),
            Action::Move { src: whole(Field::ArpSha), dst: whole(Field::ArpTha) },
            // The two addresses change places; the stack holds one of them meanwhile.
            Action::Push(whole(Field::ArpTpa)),
            Action::Move { src: whole(Field::ArpSpa), dst: whole(Field::ArpTpa) },
            Action::Pop(whole(Field::ArpSpa)),
            set_mac(Field::ArpSha, ROUTER_MAC),
            Action::Output { port: PortNo::IN_PORT.0, max_len: 0 },
        ])],
    );
    // Empty probes (RFC 5227) of a device that checks its own address: an answer would make it give the address up.
    rows.add(Table::Guard, guard::PROBE, arp().with(Field::ArpSpa, 0_u32), vec![]);
}

/// What strangers may reach. Their web requests go to the portal whatever the destination; their attempts at TLS meet a
/// closed port of the node, whose reset makes browsers give up at once and show the portal instead.
fn onboarding(fabric: &Fabric, switch: &SwitchFacts, rows: &mut Rows) {
    let stranger = ip().with_masked(
        Field::Metadata,
        bits::source(SliceId::DEFAULT, WatchLevel::Log, ClassId::STRANGER),
        bits::PERMIT_SOURCE_MASK,
    );
    let to_locate = vec![Instruction::GotoTable(Table::Locate.number())];
    let router = |m: fseg_openflow::Match| m.with(Field::Ipv4Dst, u32::from(fabric.router));
    let m = || stranger.clone();
    rows.add(Table::Onboard, 250, router(transport(m(), UDP)).with(Field::UdpDst, 53_u16), to_locate.clone());
    rows.add(Table::Onboard, 250, router(transport(m(), TCP)).with(Field::TcpDst, 53_u16), to_locate.clone());
    // The portal over TLS; without a certificate nobody listens there, and the node's own stack refuses.
    rows.add(Table::Onboard, 250, router(transport(m(), TCP)).with(Field::TcpDst, 80_u16), to_locate.clone());
    rows.add(Table::Onboard, 250, router(transport(m(), TCP)).with(Field::TcpDst, 443_u16), to_locate.clone());
    rows.add(Table::Onboard, 250, router(transport(m(), ICMP)).with(Field::Icmpv4Type, 8_u8), to_locate);
    for (asked, served) in [(80, REDIRECT_PORT), (443, CLOSED_PORT)] {
        if let Some(actions) = to_portal(fabric, switch, served) {
            let m = transport(m(), TCP).with(Field::TcpDst, asked as u16);
            rows.add(Table::Onboard, 240, m, vec![Instruction::ApplyActions(actions)]);
        }
    }
    rows.add(Table::Onboard, 230, m(), vec![]);
}

fn to_portal(fabric: &Fabric, switch: &SwitchFacts, served: u16) -> Option<Vec<Action>> {
    if switch.role == SwitchRole::Access {
        let (port, mac) = fabric.way(switch.dpid, fabric.node)?;
        return Some(vec![
            set_mac(Field::EthSrc, switch.fabric_mac()),
            set_mac(Field::EthDst, mac),
            Action::Output { port: port.0, max_len: FULL },
        ]);
    }
    let local = switch.ports_of(PortKind::Service).next()?;
    Some(vec![
        Action::Ct(CtAction {
            commit: true,
            zone: CtZone::Immediate(bits::ZONE_PORTAL),
            exec: vec![nat(NatKind::Dst, fabric.router, Some(served))],
            ..CtAction::default()
        }),
        set_mac(Field::EthSrc, ROUTER_MAC),
        set_mac(Field::EthDst, local.mac?),
        Action::Output { port: local.number.0, max_len: FULL },
    ])
}

/// The node's own services: reachable by every endpoint whatever its class, and answering without connection state.
fn node_service(fabric: &Fabric, switch: &SwitchFacts, rows: &mut Rows) {
    let emit = |actions: Vec<Action>| {
        let goto = Instruction::GotoTable(Table::Emit.number());
        if actions.is_empty() { vec![goto] } else { vec![Instruction::ApplyActions(actions), goto] }
    };
    let from_node = fseg_openflow::Match::new().with_masked(
        Field::Metadata,
        bits::source(SliceId::DEFAULT, WatchLevel::Log, ClassId::NODE),
        bits::PERMIT_SOURCE_MASK,
    );
    let local = switch.ports_of(PortKind::Service).next();
    let way = match (switch.role, local) {
        (SwitchRole::Node, Some(port)) => port.mac.map(|mac| send_by(port.number, ROUTER_MAC, mac)),
        _ => fabric.way(switch.dpid, fabric.node).map(|(port, mac)| send_by(port, switch.fabric_mac(), mac)),
    };
    let router = || ip().with(Field::Ipv4Dst, u32::from(fabric.router));
    if let Some(actions) = way {
        let services = [
            transport(router(), UDP).with(Field::UdpDst, 53_u16),
            transport(router(), TCP).with(Field::TcpDst, 53_u16),
            transport(router(), TCP).with(Field::TcpDst, 80_u16),
            transport(router(), TCP).with(Field::TcpDst, 443_u16),
            transport(router(), ICMP).with(Field::Icmpv4Type, 8_u8),
        ];
        for m in services {
            rows.add(Table::Locate, locate::SERVICE, m, emit(actions.clone()));
        }
    }
    rows.add(Table::Locate, locate::ROUTER_REST, router(), vec![]);
    // Between switches the node's frames carry its service address, by which the far switch knows the class.
    let mark = if switch.role == SwitchRole::Node { vec![set_mac(Field::EthSrc, SERVICE_MAC)] } else { vec![] };
    rows.add(Table::Track, 200, from_node, emit(mark));
    let portal = |m: fseg_openflow::Match, to: Option<ClassId>| {
        let source = bits::source(SliceId::DEFAULT, WatchLevel::Log, ClassId::PORTAL);
        let (value, mask) = match to {
            Some(to) => (bits::destination(WatchLevel::Log, to), bits::PERMIT_DESTINATION_MASK),
            None => (0, 0),
        };
        m.with_masked(Field::Metadata, source | value, bits::PERMIT_SOURCE_MASK | mask)
    };
    rows.add(Table::Track, 200, portal(Default::default(), Some(ClassId::STRANGER)), emit(vec![]));
    rows.add(Table::Track, 190, portal(Default::default(), None), vec![]);

    let Some(local) = local else { return };
    let source = bits::source(SliceId::DEFAULT, WatchLevel::Log, ClassId::NODE);
    let from_local = || ip().with(Field::InPort, local.number.0).with(Field::Ipv4Src, u32::from(fabric.router));
    // Answers of the portal are turned back to the address the stranger had asked for.
    for served in [REDIRECT_PORT, CLOSED_PORT] {
        rows.add(
            Table::Guard,
            guard::SERVICE + 1,
            transport(from_local(), TCP).with(Field::TcpSrc, served),
            vec![Instruction::ApplyActions(vec![
                set(Field::Metadata, source),
                Action::Ct(CtAction {
                    zone: CtZone::Immediate(bits::ZONE_PORTAL),
                    table: Some(Table::Locate.number()),
                    exec: vec![Action::Nat(NatAction::default())],
                    ..CtAction::default()
                }),
            ])],
        );
    }
    rows.add(
        Table::Guard,
        guard::SERVICE,
        from_local(),
        vec![
            Instruction::WriteMetadata { value: source, mask: bits::SOURCE_MASK },
            Instruction::GotoTable(Table::Locate.number()),
        ],
    );
    let ask = arp().with(Field::InPort, local.number.0);
    rows.add(Table::Guard, guard::SERVICE, ask, vec![Instruction::GotoTable(Table::Answer.number())]);
    let rest = fseg_openflow::Match::new().with(Field::InPort, local.number.0);
    rows.add(Table::Guard, guard::PORT_REST, rest, vec![]);
}

/// Connection state. Every packet, of whatever age, is judged by the service its connection's first packet asked for,
/// and in that direction, against the permits of this moment.
fn tracking(_: &Fabric, _: &SwitchFacts, rows: &mut Rows) {
    let slice = SliceId::DEFAULT;
    let zone = CtZone::Immediate(bits::zone(slice));
    let in_slice = ip().with_masked(Field::Metadata, u64::from(slice.0) << 48, bits::SLICE_MASK);
    rows.add(
        Table::Track,
        100,
        in_slice.clone(),
        vec![Instruction::ApplyActions(vec![Action::Ct(CtAction {
            zone,
            table: Some(Table::Turn.number()),
            ..CtAction::default()
        })])],
    );
    let whole = Subfield::whole;
    let port = Subfield::new(bits::SERVICE_PORT, 0, 16);
    let protocol = Subfield::new(bits::SERVICE_PROTOCOL, 0, 8);
    let swap = || {
        let scratch = Subfield::new(bits::SCRATCH, 0, 24);
        vec![
            Action::Move { src: bits::SOURCE, dst: scratch },
            Action::Move { src: bits::DESTINATION, dst: bits::SOURCE },
            Action::Move { src: scratch, dst: bits::DESTINATION },
        ]
    };
    let from_connection = |port_field| {
        vec![
            Action::Move { src: whole(Field::CtNwProto), dst: protocol },
            Action::Move { src: whole(port_field), dst: port },
        ]
    };
    // An ICMP error from outside may come from a router on the way: the connection remembers whom it is about. Inside there
    // are no routers, so whoever sends one is judged as itself.
    let class_from_mark = Action::Move { src: Subfield::new(Field::CtMark, 0, 22), dst: bits::DESTINATION_CLASS };
    let mut add = |priority, m, mut actions: Vec<Action>, more: Vec<Action>| {
        actions.extend(more);
        let goto = Instruction::GotoTable(Table::Permit.number());
        rows.add(Table::Turn, priority, m, vec![Instruction::ApplyActions(actions), goto]);
    };
    let state =
        |m: fseg_openflow::Match, value: u32, mask: u32| m.with_masked(Field::CtState, value | TRACKED, mask | TRACKED);
    let ports_from_packet = |protocol_number: u8, field| {
        vec![set(bits::SERVICE_PROTOCOL, protocol_number), Action::Move { src: whole(field), dst: port }]
    };
    let icmp_type = Subfield::new(bits::SERVICE_PORT, 0, 8);

    let outside = || ip().with(bits::OUTSIDE, 1_u8);
    let mut related_reply = swap();
    related_reply.push(class_from_mark.clone());
    let error_reply = |m| state(m, RELATED | REPLY, RELATED | REPLY);
    let error = |m| state(m, RELATED, RELATED | REPLY);
    add(85, error_reply(outside()), related_reply, from_connection(Field::CtTpDst));
    add(85, error(outside()), vec![class_from_mark], from_connection(Field::CtTpDst));
    add(80, error_reply(ip()), swap(), from_connection(Field::CtTpDst));
    add(80, error(ip()), vec![], from_connection(Field::CtTpDst));
    // A later fragment has no ports to be judged by, nor does Open vSwitch show it those of its connection; its first
    // fragment has, and without that one it is worth nothing. It passes where a permit for its protocol joins the two.
    let later = |value| state(ip(), value, REPLY).with_masked(Field::IpFrag, LATER_FRAGMENT, LATER_FRAGMENT);
    let protocol_of_packet = Action::Move { src: whole(Field::IpProto), dst: protocol };
    let fragment = || vec![set(bits::FRAGMENT, 1_u8), protocol_of_packet.clone()];
    add(79, later(REPLY), swap(), fragment());
    add(78, later(0), vec![], fragment());
    add(75, state(transport(ip(), ICMP), REPLY, REPLY), swap(), from_connection(Field::CtTpSrc));
    add(70, state(ip(), REPLY, REPLY), swap(), from_connection(Field::CtTpDst));
    // What is under way is judged by how it began.
    let established = |m| state(m, ESTABLISHED, ESTABLISHED | REPLY);
    add(68, established(transport(ip(), ICMP)), vec![], from_connection(Field::CtTpSrc));
    add(67, established(ip()), vec![], from_connection(Field::CtTpDst));
    add(60, state(transport(ip(), TCP), 0, REPLY), vec![], ports_from_packet(TCP, Field::TcpDst));
    add(60, state(transport(ip(), UDP), 0, REPLY), vec![], ports_from_packet(UDP, Field::UdpDst));
    add(60, state(transport(ip(), 132), 0, REPLY), vec![], ports_from_packet(132, Field::SctpDst));
    add(
        60,
        state(transport(ip(), ICMP), 0, REPLY),
        vec![],
        vec![set(bits::SERVICE_PROTOCOL, ICMP), Action::Move { src: whole(Field::Icmpv4Type), dst: icmp_type }],
    );
    add(50, state(ip(), 0, REPLY), vec![], vec![protocol_of_packet]);
    // Redirects would have endpoints believe in other routers; there is one.
    let redirect = transport(ip(), ICMP).with(Field::Icmpv4Type, 5_u8);
    rows.add(Table::Turn, 95, redirect, vec![]);
    rows.add(Table::Turn, 90, state(ip(), INVALID, INVALID), vec![]);

    rows.add(
        Table::Deliver,
        100,
        state(in_slice, NEW, NEW),
        vec![
            Instruction::ApplyActions(vec![Action::Ct(CtAction {
                commit: true,
                zone,
                exec: vec![Action::Move { src: bits::DESTINATION_CLASS, dst: Subfield::new(Field::CtMark, 0, 22) }],
                ..CtAction::default()
            })]),
            Instruction::GotoTable(Table::Emit.number()),
        ],
    );
}

fn unwanted(rows: &mut Rows) {
    // A frame with a VLAN tag (bit OFPVID_PRESENT) would match the rows below as if it had none.
    let tagged = fseg_openflow::Match::new().with_masked(Field::VlanVid, 0x1000_u16, 0x1000_u16);
    rows.add(Table::Guard, guard::TAGGED, tagged, vec![]);
    for (net, len) in NEVER_FORWARDED {
        rows.add(Table::Locate, locate::NEVER, prefix(ip(), Field::Ipv4Dst, net, len), vec![]);
    }
    // The address a device gives itself when it gets none (RFC 3927) is not a forgery, and of no use here.
    let own = prefix(ip(), Field::Ipv4Src, [169, 254, 0, 0].into(), 16);
    rows.add(Table::Guard, guard::PROBE, own, vec![]);
}
