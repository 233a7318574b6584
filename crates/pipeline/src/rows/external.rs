//! The outside: which class an outside address has, and the way there and back.

use fseg_model::{PortKind, WatchLevel};
use fseg_openflow::{Action, Field, Instruction, Match};
use fseg_openflow::{CtAction, CtZone, NatAction, NatKind};
use ipnet::IpNet;

use super::{FULL, Rows, arp, guard, ip, locate, metered, nat, prefix, send_by, set, set_mac};
use crate::bits;
use crate::cookie::{Owner, SystemRow};
use crate::desired::Row;
use crate::fabric::{Exit, ExternalFacts, Fabric, NatMode, PortFacts, ROUTER_MAC, SwitchFacts};
use crate::meter;
use crate::table::Table;

/// The rows of all prefixes of one class on one switch.
pub fn external_rows(fabric: &Fabric, switch: &SwitchFacts, class: u32, externals: &[ExternalFacts]) -> Vec<Row> {
    owned_rows(fabric, switch, Owner::External(class), externals)
}

/// The rows of one outside address that was learned by a name, on one switch.
pub fn learned_rows(fabric: &Fabric, switch: &SwitchFacts, learned: &ExternalFacts) -> Vec<Row> {
    let IpNet::V4(net) = learned.prefix else { return vec![] };
    owned_rows(fabric, switch, Owner::Learned(net.network().into()), std::slice::from_ref(learned))
}

fn owned_rows(fabric: &Fabric, switch: &SwitchFacts, owner: Owner, externals: &[ExternalFacts]) -> Vec<Row> {
    let rows = full_rows(fabric, switch, owner, externals);
    super::plain::as_needed(switch, rows)
}

fn full_rows(fabric: &Fabric, switch: &SwitchFacts, owner: Owner, externals: &[ExternalFacts]) -> Vec<Row> {
    let mut rows = Rows::of(owner);
    for external in externals {
        let (IpNet::V4(net), Some(place)) = (external.prefix, external.exit) else { continue };
        let Some(home) = fabric.switch(place.switch) else { continue };
        let Some(exit) = home.port(place.port).and_then(|p| p.exit.as_ref()) else { continue };
        let source = bits::source(external.slice, WatchLevel::Log, external.class);
        let len = u16::from(net.prefix_len());
        let from = |m| prefix(m, Field::Ipv4Src, net.network(), net.prefix_len());
        let way = if place.switch == switch.dpid {
            let m = from(ip().with(Field::InPort, place.port.0));
            rows.add(Table::Guard, guard::OUTSIDE + len, m, arrive(exit, source));
            exit.gateway_mac.map(|gateway| leave(exit, place.port.0, gateway))
        } else {
            for port in switch.ports_of(PortKind::Uplink) {
                let m = from(ip().with(Field::InPort, port.number.0))
                    .with(Field::EthSrc, home.fabric_mac().to_u64())
                    .with(Field::EthDst, switch.fabric_mac().to_u64());
                rows.add(Table::Guard, guard::OUTSIDE + len, m, known(source));
            }
            fabric.way(switch.dpid, place.switch).map(|(port, mac)| send_by(port, switch.fabric_mac(), mac))
        };
        // A way that leads nowhere yet denies: a shorter prefix may lead elsewhere.
        let instructions = match way {
            Some(actions) => vec![
                Instruction::ApplyActions(actions),
                Instruction::WriteMetadata {
                    value: bits::destination(WatchLevel::Log, external.class),
                    mask: bits::DESTINATION_MASK,
                },
                Instruction::GotoTable(Table::Track.number()),
            ],
            None => metered(meter::DENIED.id, FULL),
        };
        let to = prefix(ip(), Field::Ipv4Dst, net.network(), net.prefix_len());
        rows.add(Table::Locate, locate::PREFIX + len, to, instructions);
    }
    rows.done()
}

/// A packet from outside, with its class.
fn known(source: u64) -> Vec<Instruction> {
    vec![
        Instruction::ApplyActions(vec![set(bits::OUTSIDE, 1_u8)]),
        Instruction::WriteMetadata { value: source, mask: bits::SOURCE_MASK },
        Instruction::GotoTable(Table::Locate.number()),
    ]
}

fn arrive(exit: &Exit, source: u64) -> Vec<Instruction> {
    match exit.mode {
        NatMode::Route => known(source),
        // Translated back first; what has no translation keeps the exit's own address as destination and ends there.
        NatMode::Nat => vec![Instruction::ApplyActions(vec![
            set(bits::OUTSIDE, 1_u8),
            set(Field::Metadata, source),
            Action::Ct(CtAction {
                zone: CtZone::Immediate(bits::zone_exit(exit.number)),
                table: Some(Table::Locate.number()),
                exec: vec![Action::Nat(NatAction::default())],
                ..CtAction::default()
            }),
        ])],
    }
}

fn leave(exit: &Exit, port: u32, gateway: fseg_model::Mac) -> Vec<Action> {
    let mut actions = send_by(fseg_model::PortNo(port), ROUTER_MAC, gateway);
    actions.push(Action::DecNwTtl);
    if exit.mode == NatMode::Nat {
        actions.push(set(bits::EXIT, exit.number));
    }
    actions
}

/// Rows of the exits of one switch that do not depend on the policy: neighbours, translation, refusal of inner
/// addresses.
pub fn exit_rows(fabric: &Fabric, switch: &SwitchFacts) -> Vec<(Owner, Vec<Row>)> {
    let mut neighbours = Rows::of(Owner::System(SystemRow::ExitNeighbour));
    let mut refused = Rows::of(Owner::System(SystemRow::OutsideSpoof));
    for (port, exit) in exits(switch) {
        let ask = arp().with(Field::InPort, port.number.0);
        let asked = ask.clone().with(Field::ArpOp, 1_u16).with(Field::ArpTpa, u32::from(exit.address));
        let answer = vec![Instruction::GotoTable(Table::Answer.number())];
        neighbours.add(Table::Guard, guard::SERVICE, asked, answer);
        let learned = ask.with(Field::ArpOp, 2_u16).with(Field::ArpSpa, u32::from(exit.gateway));
        neighbours.add(Table::Guard, guard::SERVICE, learned, metered(meter::control(port.number).id, FULL));
        if exit.mode == NatMode::Nat {
            neighbours.add(
                Table::Emit,
                200,
                ip().with(bits::EXIT, exit.number),
                vec![Instruction::ApplyActions(vec![
                    Action::Ct(CtAction {
                        commit: true,
                        zone: CtZone::Immediate(bits::zone_exit(exit.number)),
                        exec: vec![nat(NatKind::Src, exit.address, None)],
                        ..CtAction::default()
                    }),
                    set_mac(Field::EthSrc, ROUTER_MAC),
                    Action::Output { port: port.number.0, max_len: FULL },
                ])],
            );
        }
        // The node's services are for endpoints.
        let router = ip().with(Field::InPort, port.number.0).with(Field::Ipv4Dst, u32::from(fabric.router));
        refused.add(Table::Guard, guard::SERVICE - 1, router, vec![]);
        for net in &fabric.inner {
            let m = prefix(ip().with(Field::InPort, port.number.0), Field::Ipv4Src, net.network(), net.prefix_len());
            refused.add(Table::Guard, guard::SERVICE - 1, m, vec![]);
        }
        refused.add(Table::Guard, guard::PORT_REST, Match::new().with(Field::InPort, port.number.0), vec![]);
    }
    let lower = |rows| super::plain::as_needed(switch, rows);
    vec![
        (Owner::System(SystemRow::ExitNeighbour), lower(neighbours.done())),
        (Owner::System(SystemRow::OutsideSpoof), lower(refused.done())),
    ]
}

// The exits of a switch.
fn exits(switch: &SwitchFacts) -> impl Iterator<Item = (&PortFacts, &Exit)> {
    switch.ports_of(PortKind::Legacy).filter_map(|p| p.exit.as_ref().map(|e| (p, e)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use fseg_model::{ClassId, Dpid, Location, Mac, PortNo, SliceId};
    use fseg_openflow::port;

    use super::*;
    use crate::fabric::SwitchRole;
    use crate::profile::{Capabilities, Profile};

    /// The node bridge with two exits, the first without its next hop, and a switch behind it.
    fn fabric(profile: Profile) -> Fabric {
        let place = |number, kind, exit| PortFacts { number: PortNo(number), kind, mac: None, exit };
        let exit = |number, gateway_mac| {
            let (address, gateway) = (Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(192, 0, 2, 1));
            Some(Exit { number, address, gateway, gateway_mac, mode: NatMode::Route })
        };
        let ports = vec![
            place(1, PortKind::Uplink, None),
            place(11, PortKind::Legacy, exit(1, None)),
            place(12, PortKind::Legacy, exit(2, Some(Mac([2, 0, 0, 0, 0, 9])))),
        ];
        let switch = |dpid, number, ports, via: &[(Dpid, PortNo)]| SwitchFacts {
            dpid,
            number,
            role: SwitchRole::Access,
            ports,
            via: via.iter().copied().collect(),
            profile: profile.clone(),
        };
        let switches: BTreeMap<_, _> = [
            (Dpid(1), switch(Dpid(1), 1, ports, &[(Dpid(2), PortNo(1))])),
            (Dpid(2), switch(Dpid(2), 2, vec![place(8, PortKind::Uplink, None)], &[(Dpid(1), PortNo(8))])),
            // Nothing leads from here to the others.
            (Dpid(3), switch(Dpid(3), 3, vec![place(8, PortKind::Uplink, None)], &[])),
        ]
        .into();
        Fabric { router: Ipv4Addr::new(10, 0, 0, 1), inner: vec![], switches, node: Dpid(1) }
    }

    /// The row of `locate` that decides for an address: of the rows that match, the one of the highest priority.
    fn decides(fabric: &Fabric, dpid: u64, address: Ipv4Addr) -> Row {
        let external = |prefix: &str, class, port| ExternalFacts {
            prefix: prefix.parse().unwrap(),
            class: ClassId::new(class).unwrap(),
            slice: SliceId::DEFAULT,
            exit: Some(Location { switch: Dpid(1), port: PortNo(port) }),
        };
        let all = [external("198.51.100.0/24", 16, 11), external("0.0.0.0/0", 17, 12)];
        let switch = fabric.switch(Dpid(dpid)).unwrap();
        let rows = all.iter().flat_map(|e| external_rows(fabric, switch, e.class.get(), std::slice::from_ref(e)));
        let target = u128::from(u32::from(address));
        rows.filter(|r| r.key.table == Table::Locate)
            .filter(|r| r.key.matches.get(Field::Ipv4Dst).is_none_or(|v| v.matches(target)))
            .max_by_key(|r| r.key.priority)
            .unwrap()
    }

    #[test]
    fn a_way_that_leads_nowhere_denies_and_no_shorter_prefix_takes_over() {
        let shown = |row: &Row| {
            row.instructions.iter().any(|i| match i {
                Instruction::ApplyActions(list) => {
                    list.iter().any(|a| matches!(a, Action::Output { port: port::CONTROLLER, .. }))
                }
                _ => false,
            })
        };
        let goes_on = |row: &Row| row.instructions.iter().any(|i| matches!(i, Instruction::GotoTable(_)));
        let [server, elsewhere] = [Ipv4Addr::new(198, 51, 100, 7), Ipv4Addr::new(203, 0, 113, 7)];
        for profile in [Profile::Ovs, Profile::OpenFlow13(Capabilities::default())] {
            let fabric = fabric(profile);
            for (dpid, address, leads) in [
                // The next hop is unknown.
                (1, server, false),
                (1, elsewhere, true),
                // Here it is brought to the exit's switch, which denies.
                (2, server, true),
                (2, elsewhere, true),
                // There is no way to the exit's switch.
                (3, server, false),
                (3, elsewhere, false),
            ] {
                let row = decides(&fabric, dpid, address);
                assert_eq!((goes_on(&row), shown(&row)), (leads, !leads), "switch {dpid}, {address}: {row:?}");
                assert_eq!(crate::table::violation(&row), None);
            }
        }
    }
}
