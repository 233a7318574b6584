//! An endpoint's rows: guarded where it is, believed from there elsewhere, found from everywhere.

use std::net::IpAddr;

use fseg_model::{ClassId, PortKind};
use fseg_openflow::{Field, Instruction};

use super::{FULL, Rows, arp, guard, ip, locate, metered, send_by};
use crate::bits;
use crate::cookie::Owner;
use crate::desired::Row;
use crate::fabric::{EndpointFacts, Fabric, ROUTER_MAC, SwitchFacts};
use crate::meter;
use crate::table::Table;

/// The rows of one endpoint on one switch.
pub fn endpoint_rows(fabric: &Fabric, switch: &SwitchFacts, who: &EndpointFacts) -> Vec<Row> {
    let rows = full_rows(fabric, switch, who);
    let Some(can) = switch.profile.plain() else { return rows };
    let mut plain = super::plain::lowered(switch, can, rows);
    plain.extend(super::plain::endpoint_rows(can, who));
    plain
}

fn full_rows(fabric: &Fabric, switch: &SwitchFacts, who: &EndpointFacts) -> Vec<Row> {
    let mut rows = Rows::of(Owner::Endpoint(who.id));
    let here = who.location.switch == switch.dpid;
    let stranger = who.class == ClassId::STRANGER;
    let next = if stranger { Table::Onboard } else { Table::Locate };
    let name = [
        Instruction::WriteMetadata { value: bits::source(who.slice, who.watch, who.class), mask: bits::SOURCE_MASK },
        Instruction::GotoTable(next.number()),
    ];
    for address in &who.addresses {
        let IpAddr::V4(v4) = address else { continue };
        let v4 = u32::from(*v4);
        let destination =
            Instruction::WriteMetadata { value: bits::destination(who.watch, who.class), mask: bits::DESTINATION_MASK };
        let goto_track = Instruction::GotoTable(Table::Track.number());
        let way = if here {
            let port = who.location.port;
            let source = || ip().with(Field::InPort, port.0).with(Field::EthSrc, who.mac.to_u64());
            let resolution = || {
                arp()
                    .with(Field::InPort, port.0)
                    .with(Field::EthSrc, who.mac.to_u64())
                    .with(Field::ArpSha, who.mac.to_u64())
                    .with(Field::ArpSpa, v4)
            };
            let mut named = name.to_vec();
            if stranger {
                named.insert(0, Instruction::Meter(meter::stranger(port).id));
            }
            rows.add(Table::Guard, guard::ENDPOINT, source().with(Field::Ipv4Src, v4), named);
            // An announcement asks nothing, and an answer would look like a conflict (RFC 5227).
            rows.add(Table::Guard, guard::ANNOUNCE, resolution().with(Field::ArpTpa, v4), vec![]);
            let answer = vec![Instruction::GotoTable(Table::Answer.number())];
            rows.add(Table::Guard, guard::ENDPOINT, resolution(), answer);
            Some(send_by(port, ROUTER_MAC, who.mac))
        } else {
            if let Some(home) = fabric.switch(who.location.switch) {
                for port in switch.ports_of(PortKind::Uplink) {
                    let m = ip()
                        .with(Field::InPort, port.number.0)
                        .with(Field::EthSrc, home.fabric_mac().to_u64())
                        .with(Field::EthDst, switch.fabric_mac().to_u64())
                        .with(Field::Ipv4Src, v4);
                    rows.add(Table::Guard, guard::REMOTE, m, name.to_vec());
                }
            }
            fabric.way(switch.dpid, who.location.switch).map(|(port, mac)| send_by(port, switch.fabric_mac(), mac))
        };
        if let Some(actions) = way {
            rows.add(
                Table::Locate,
                locate::ENDPOINT,
                ip().with(Field::Ipv4Dst, v4),
                vec![Instruction::ApplyActions(actions), destination, goto_track],
            );
        }
    }
    rows.done()
}

/// What catches an endpoint's MAC address with a source address that is not its own, where it is attached.
pub fn spoof_rows(switch: &SwitchFacts, who: &EndpointFacts) -> Vec<Row> {
    let mut rows = Rows::of(Owner::Spoof(who.id));
    if who.location.switch == switch.dpid {
        for m in [ip(), arp()] {
            let m = m.with(Field::InPort, who.location.port.0).with(Field::EthSrc, who.mac.to_u64());
            rows.add(Table::Guard, guard::FORGED, m, metered(meter::control(who.location.port).id, FULL));
        }
    }
    rows.done()
}
