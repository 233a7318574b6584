//! The same rows for a switch that speaks OpenFlow 1.3 and nothing else.
//!
//! What needs no extension is taken as it is. The way out, which Open vSwitch keeps in a register, is written into the
//! action set by `locate` and carried out when `permit` lets the packet through; `permit` looks at the packet itself,
//! since there is no connection to ask, and so has rows for the answers too. Who denies after `locate` must clear the
//! action set: a row without instructions would send the packet.

use std::collections::HashSet;

use fseg_model::{IpProtocol, PortKind, PortNo, PortRange, ServiceTerm};
use fseg_openflow::{Action, Field, Instruction, Match};

use super::{FULL, ICMP, Rows, TCP, UDP, arp, ip, metered, set, set_mac, transport};
use crate::bits;
use crate::cookie::{Owner, SystemRow};
use crate::desired::{Row, RowKey};
use crate::fabric::{EndpointFacts, Fabric, PermitFacts, ROUTER_MAC, SwitchFacts};
use crate::meter;
use crate::profile::Capabilities;
use crate::table::Table;

const SCTP: u8 = 132;
const UNREACHABLE: u8 = 3;
const REDIRECT: u8 = 5;

/// Above every permit: what the node sends, and what nobody may send.
const SYSTEM: u16 = 65_100;
/// An address that is answered for, in `answer`.
const KNOWN_ADDRESS: u16 = 100;
/// Any other address, in `answer`: the node is asked.
const ASK_NODE: u16 = 50;

/// A permit that would need more rows than this on a plain switch is refused: port ranges are one row for each port there.
pub const MOST_ROWS: usize = 16_384;

/// Rows for Open vSwitch, for whatever kind of switch this is.
pub(super) fn as_needed(switch: &SwitchFacts, rows: Vec<Row>) -> Vec<Row> {
    match switch.profile.plain() {
        Some(can) => lowered(switch, can, rows),
        None => rows,
    }
}

/// Rows for Open vSwitch, as far as they are needed here, in the plain profile. What cannot be said without extensions is
/// left as it is; [`extension`] finds it.
pub(super) fn lowered(switch: &SwitchFacts, can: &Capabilities, rows: Vec<Row>) -> Vec<Row> {
    rows.into_iter().flat_map(|row| lower(switch, can, row)).flat_map(|row| without_masks(can, row)).collect()
}

/// A block of ports larger than this is not written out: the row stays as it is, and is found not to fit.
const LARGEST_BLOCK: u32 = 1_024;

/// A row for each port where the switch cannot match ports under a mask.
fn without_masks(can: &Capabilities, row: Row) -> Vec<Row> {
    for field in [Field::TcpDst, Field::TcpSrc, Field::UdpDst, Field::UdpSrc] {
        let Some(value) = row.key.matches.get(field).filter(|v| v.mask.is_some()) else { continue };
        let free = !value.mask.unwrap_or_default() as u16;
        // Blocks of a range: the free bits are the lowest ones.
        let size = u32::from(free) + 1;
        if can.masks(row.key.table, field) || !size.is_power_of_two() || size > LARGEST_BLOCK {
            continue;
        }
        let first = value.value as u32;
        let each = (first..first + size).map(|port| {
            let mut one = row.clone();
            one.key.matches = one.key.matches.with(field, port);
            one
        });
        return each.collect();
    }
    vec![row]
}

fn lower(switch: &SwitchFacts, can: &Capabilities, mut row: Row) -> Vec<Row> {
    match row.key.table {
        Table::Guard | Table::Onboard => {
            without_registers(&mut row);
            if leads_to(&row, Table::Answer) && can.answers_arp() {
                answer_here(&mut row);
            }
            vec![row]
        }
        Table::Answer => {
            row.instructions = vec![Instruction::ClearActions];
            if row.key.priority == 0 { vec![row] } else { vec![] }
        }
        Table::Locate => locate(switch, row),
        // Only what is passed on without a connection's state: the node's own packets.
        Table::Track => {
            if row.key.matches.is_empty() || extension(&row).is_some() {
                return vec![];
            }
            let passed = leads_to(&row, Table::Emit);
            row.key = RowKey { table: Table::Permit, priority: SYSTEM + row.key.priority, matches: row.key.matches };
            row.instructions = if passed { pass() } else { vec![Instruction::ClearActions] };
            vec![row]
        }
        Table::Permit => {
            row.instructions.push(Instruction::ClearActions);
            vec![row]
        }
        // The end: what `locate` wrote is carried out.
        Table::Inspect => {
            row.instructions.retain(|i| !matches!(i, Instruction::GotoTable(_)));
            vec![row]
        }
        Table::Turn | Table::Deliver | Table::Emit => vec![],
    }
}

fn pass() -> Vec<Instruction> {
    vec![Instruction::GotoTable(Table::Inspect.number())]
}

fn leads_to(row: &Row, table: Table) -> bool {
    row.instructions.contains(&Instruction::GotoTable(table.number()))
}

/// Nobody here asks whether a packet came from outside.
fn without_registers(row: &mut Row) {
    for instruction in &mut row.instructions {
        if let Instruction::ApplyActions(actions) = instruction {
            actions.retain(|a| !matches!(a, Action::SetField { field, .. } if *field == bits::OUTSIDE));
        }
    }
    row.instructions.retain(|i| !matches!(i, Instruction::ApplyActions(actions) if actions.is_empty()));
}

/// A guarded request for an address becomes its own answer but for the address asked for, which `answer` fills in. All of it
/// waits in the action set, so that a request which `answer` does not know reaches the node as it was.
fn answer_here(row: &mut Row) {
    let known = |field| row.key.matches.exact(field);
    let (Some(mac), Some(address)) = (known(Field::ArpSha), known(Field::ArpSpa)) else { return };
    let reply = vec![
        set(Field::EthDst, mac),
        set_mac(Field::EthSrc, ROUTER_MAC),
        set(Field::ArpOp, 2_u16),
        set_mac(Field::ArpSha, ROUTER_MAC),
        set(Field::ArpTha, mac),
        set(Field::ArpTpa, address),
        Action::Output { port: PortNo::IN_PORT.0, max_len: 0 },
    ];
    row.instructions.insert(0, Instruction::WriteActions(reply));
}

/// The way out goes into the action set.
fn locate(switch: &SwitchFacts, mut row: Row) -> Vec<Row> {
    let mut out = None;
    for instruction in &mut row.instructions {
        if let Instruction::ApplyActions(actions) = instruction {
            let port = actions.iter().find_map(|a| match a {
                Action::SetField { field, value, .. } if *field == bits::OUT_PORT => Some(*value as u32),
                _ => None,
            });
            let Some(port) = port else { continue };
            let mut way = std::mem::take(actions);
            way.retain(|a| !matches!(a, Action::SetField { field, .. } if *field == bits::OUT_PORT));
            way.push(Action::Output { port, max_len: FULL });
            *instruction = Instruction::WriteActions(way);
            out = Some(port);
        }
        if *instruction == Instruction::GotoTable(Table::Track.number()) {
            *instruction = Instruction::GotoTable(Table::Permit.number());
        }
    }
    row.instructions.retain(|i| *i != Instruction::GotoTable(Table::Emit.number()));
    let shared = out.filter(|port| switch.port(PortNo(*port)).is_some_and(|p| p.kind == PortKind::Shared));
    let Some(port) = shared else { return vec![row] };
    // A packet does not leave by the port it came in by unless it is told so by name (OpenFlow 1.3.5, 7.2.5).
    let mut back = row.clone();
    back.key.priority += 1;
    back.key.matches = back.key.matches.with(Field::InPort, port);
    for instruction in &mut back.instructions {
        if let Instruction::WriteActions(actions) = instruction {
            for action in actions {
                if let Action::Output { port, .. } = action {
                    *port = PortNo::IN_PORT.0;
                }
            }
        }
    }
    vec![row, back]
}

/// Rows that only plain switches need.
pub(super) fn system_rows(fabric: &Fabric, switch: &SwitchFacts, can: &Capabilities) -> Vec<Row> {
    let mut rows = Rows::of(Owner::System(SystemRow::AddressResolution));
    for port in switch.ports.iter().filter(|p| p.kind.admits() || p.exit.is_some()) {
        let mut ask = metered(meter::resolution(port.number).id, FULL);
        ask.push(Instruction::ClearActions);
        let m = arp().with(Field::ArpOp, 1_u16).with(Field::InPort, port.number.0);
        rows.add(Table::Answer, ASK_NODE, m, ask);
    }
    if can.answers_arp() {
        rows.add(
            Table::Answer,
            KNOWN_ADDRESS,
            asked_for(u32::from(fabric.router)),
            answer_for(u32::from(fabric.router)),
        );
    }
    rows.done()
}

/// Redirects would have endpoints believe in other routers; there is one.
pub(super) fn unwanted_rows() -> Vec<Row> {
    let mut rows = Rows::of(Owner::System(SystemRow::Unwanted));
    let redirect = transport(ip(), ICMP).with(Field::Icmpv4Type, REDIRECT);
    rows.add(Table::Permit, u16::MAX, redirect, vec![Instruction::ClearActions]);
    rows.done()
}

/// Everybody's neighbour is the virtual router, whoever has the address and wherever.
pub(super) fn endpoint_rows(can: &Capabilities, who: &EndpointFacts) -> Vec<Row> {
    let mut rows = Rows::of(Owner::Endpoint(who.id));
    if can.answers_arp() {
        for address in &who.addresses {
            let std::net::IpAddr::V4(v4) = address else { continue };
            rows.add(Table::Answer, KNOWN_ADDRESS, asked_for(u32::from(*v4)), answer_for(u32::from(*v4)));
        }
    }
    rows.done()
}

fn asked_for(address: u32) -> Match {
    arp().with(Field::ArpOp, 1_u16).with(Field::ArpTpa, address)
}

fn answer_for(address: u32) -> Vec<Instruction> {
    vec![Instruction::WriteActions(vec![set(Field::ArpSpa, address)])]
}

/// A permit without connections: a row for each source class, target class and port, and one for its answers, which have
/// the classes and the port the other way round. `Err` with the number of rows when they are more than [`MOST_ROWS`].
pub(super) fn permit_rows(can: &Capabilities, permit: &PermitFacts) -> Result<Vec<Row>, usize> {
    let services = services(can, &permit.terms);
    let pairs = permit.from.len() * permit.to.len();
    let needed = pairs * services.iter().map(|s| 1 + usize::from(s.answer.is_some())).sum::<usize>();
    if needed > MOST_ROWS {
        return Err(needed);
    }
    let priority = super::permit::priority(permit);
    let mut rows = Rows::of(Owner::Permit(permit.number));
    let mut seen = HashSet::new();
    let slice = u64::from(permit.slice.0) << 48;
    let mask = bits::PERMIT_SOURCE_MASK | bits::PERMIT_DESTINATION_MASK;
    for from in &permit.from {
        for to in &permit.to {
            let (from, to) = (u64::from(from.get()), u64::from(to.get()));
            for service in &services {
                let asked =
                    service.asked.clone().map(|m| m.with_masked(Field::Metadata, slice | from << 24 | to, mask));
                let answer =
                    service.answer.clone().map(|m| m.with_masked(Field::Metadata, slice | to << 24 | from, mask));
                for m in asked.into_iter().chain(answer) {
                    if seen.insert(m.clone()) {
                        rows.add(Table::Permit, priority, m, pass());
                    }
                }
            }
        }
    }
    Ok(rows.done())
}

/// What is asked, and what answers look like.
struct Service {
    asked: Option<Match>,
    answer: Option<Match>,
}

fn services(can: &Capabilities, terms: &[ServiceTerm]) -> Vec<Service> {
    let mut out: Vec<Service> = Vec::new();
    let mut errors = false;
    for term in terms {
        let both = |m: Match| Service { asked: Some(m.clone()), answer: Some(m) };
        let Some(protocol) = term.protocol else {
            return vec![both(ip())]; // any service: nothing else matters
        };
        let m = transport(ip(), protocol.0);
        let fields = match protocol.0 {
            TCP => Some((Field::TcpDst, Field::TcpSrc)),
            UDP => Some((Field::UdpDst, Field::UdpSrc)),
            SCTP => Some((Field::SctpDst, Field::SctpSrc)),
            _ => None,
        };
        match fields {
            Some((to, from)) if term.ports != PortRange::ALL => {
                errors = true;
                let masked = can.masks(Table::Permit, to) && can.masks(Table::Permit, from);
                for (value, mask) in if masked { term.ports.masks() } else { each(term.ports) } {
                    out.push(Service {
                        asked: Some(m.clone().with_masked(to, value, u32::from(mask))),
                        answer: Some(m.clone().with_masked(from, value, u32::from(mask))),
                    });
                }
            }
            _ if protocol == IpProtocol::ICMP && term.ports != PortRange::ALL => {
                for kind in term.ports.first()..=term.ports.last().min(255) {
                    let typed = |kind: u16| m.clone().with(Field::Icmpv4Type, kind);
                    out.push(Service { asked: Some(typed(kind)), answer: reply_type(kind).map(typed) });
                }
            }
            _ => out.push(both(m)),
        }
    }
    // "Nobody listens there" and "too large" must find back, or whoever asked would wait for nothing.
    if errors {
        let unreachable = transport(ip(), ICMP).with(Field::Icmpv4Type, UNREACHABLE);
        out.push(Service { asked: None, answer: Some(unreachable) });
    }
    out
}

/// One row for each port: OpenFlow 1.3 has no masks for them (7.2.3.7, table 11).
fn each(ports: PortRange) -> Vec<(u16, u16)> {
    (ports.first()..=ports.last()).map(|port| (port, u16::MAX)).collect()
}

/// The ICMP type that answers another (RFC 792).
fn reply_type(kind: u16) -> Option<u16> {
    match kind {
        8 => Some(0),
        13 => Some(14),
        15 => Some(16),
        17 => Some(18),
        _ => None,
    }
}

/// What of a row is not OpenFlow 1.3, for people; `None` when all of it is.
pub(crate) fn extension(row: &Row) -> Option<String> {
    let foreign = |field: &Field| {
        // OFPXMC_OPENFLOW_BASIC up to OXM_OF_IPV6_EXTHDR (7.2.3.7).
        let (class, code) = field.header();
        class != 0x8000 || code > 39
    };
    if let Some((field, _)) = row.key.matches.iter().find(|(field, _)| foreign(field)) {
        return Some(format!("it would match {}, which only Open vSwitch has", field.name()));
    }
    for instruction in &row.instructions {
        let (Instruction::ApplyActions(actions) | Instruction::WriteActions(actions)) = instruction else { continue };
        for action in actions {
            let plain = match action {
                Action::Output { .. } | Action::Group(_) | Action::SetQueue(_) => true,
                Action::PushVlan(_) | Action::PopVlan | Action::SetNwTtl(_) | Action::DecNwTtl => true,
                Action::SetField { field, mask, .. } => mask.is_none() && !foreign(field),
                _ => false,
            };
            if !plain {
                return Some(
                    "it would need connection tracking, registers or another action that only Open vSwitch has".into(),
                );
            }
        }
    }
    None
}
