//! Multicast by policy: what endpoints ask by multicast is shown to the node, and streams go to their receivers only.
//!
//! Nothing here floods. Discovery, memberships and magic packets end in a metered copy to the node, which decides by the
//! policy and sends copies itself. A stream's rows name each receiver's port; who is not named gets nothing. Only standard
//! OpenFlow 1.3 matches and actions are used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use fseg_model::{ClassId, Location, Mac, PortKind, PortNo, PortRange, SliceId, WatchLevel};
use fseg_openflow::{Action, Field, Instruction, Match};

use super::{FULL, Rows, UDP, guard, ip, locate, metered, set_mac, transport};
use crate::bits;
use crate::cookie::{Owner, SystemRow};
use crate::desired::Row;
use crate::fabric::{Fabric, ROUTER_MAC, STREAM_MAC, SwitchFacts};
use crate::meter;
use crate::table::Table;

/// The IP protocol number of IGMP (RFC 3376).
const IGMP: u8 = 2;
/// The EtherType of magic packets without IP, by convention.
const WAKE: u16 = 0x0842;
/// Their UDP ports, by convention.
const WAKE_PORTS: [u16; 2] = [7, 9];

/// What the node wants to see of what endpoints send to many, since some permit speaks of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownFacts {
    /// Discovery: multicast address and UDP port of each protocol.
    pub discovery: Vec<(Ipv4Addr, u16)>,
    /// Which streams endpoints want.
    pub memberships: bool,
    /// Magic packets.
    pub wake: bool,
}

/// The rows that show it, of one switch. An owner without rows is listed too, so that former rows go.
pub fn shown_rows(fabric: &Fabric, switch: &SwitchFacts, shown: &ShownFacts) -> Vec<(Owner, Vec<Row>)> {
    let owner = Owner::System;
    let mut discovery = Rows::of(owner(SystemRow::Discovery));
    let mut memberships = Rows::of(owner(SystemRow::Memberships));
    let mut wake = Rows::of(owner(SystemRow::Wake));
    for port in switch.ports.iter().filter(|p| p.kind.admits()) {
        let here = || ip().with(Field::InPort, port.number.0);
        let udp = || transport(here(), UDP);
        let show = || metered(meter::discovery(port.number).id, FULL);
        for (group, number) in &shown.discovery {
            let asked = udp().with(Field::Ipv4Dst, u32::from(*group)).with(Field::UdpDst, *number);
            discovery.add(Table::Locate, locate::SHOWN, asked, show());
            // What answers a question comes from the protocol's port. No permit opens that way: the node knows who asked.
            discovery.add(Table::Permit, ANSWERS, udp().with(Field::UdpSrc, *number), show());
        }
        if shown.memberships {
            memberships.add(Table::Locate, locate::SHOWN, transport(here(), IGMP), show());
        }
        if shown.wake {
            let everybody = Ipv4Addr::BROADCAST;
            for number in WAKE_PORTS {
                let m = udp().with(Field::UdpDst, number);
                wake.add(Table::Locate, locate::SHOWN, m.clone().with(Field::Ipv4Dst, u32::from(everybody)), show());
                for net in &fabric.inner {
                    // To the address that a sleeper had, or to its network's broadcast address.
                    let m = super::prefix(m.clone(), Field::Ipv4Dst, net.network(), net.prefix_len());
                    wake.add(Table::Locate, locate::ASLEEP, m, show());
                }
            }
            let bare = Match::new().with(Field::InPort, port.number.0).with(Field::EthType, WAKE);
            wake.add(Table::Guard, guard::DHCP, bare, show());
        }
    }
    [discovery, memberships, wake].map(|rows| (rows.owner, super::plain::as_needed(switch, rows.done()))).into()
}

/// Below every permit and below what is only observed, above what denies.
const ANSWERS: u16 = 5;

/// Somebody who may send a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSender {
    /// Where it is.
    pub location: Location,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its slice.
    pub slice: SliceId,
    /// Its class.
    pub class: ClassId,
    /// How closely it is watched.
    pub watch: WatchLevel,
}

/// Somebody who wants a stream and may have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReceiver {
    /// Where it is.
    pub location: Location,
    /// Its MAC address.
    pub mac: Mac,
    /// The UDP ports it may receive; sorted, without overlaps.
    pub ports: Vec<PortRange>,
}

/// One multicast address with all who send and receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// The multicast address.
    pub group: Ipv4Addr,
    /// Who may send.
    pub senders: Vec<StreamSender>,
    /// Who receives.
    pub receivers: Vec<StreamReceiver>,
}

/// The Ethernet address of a multicast group (RFC 1112, 6.4).
fn group_mac(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

/// The rows of one stream's address on one switch.
///
/// Between switches a packet travels as one copy for each uplink that leads to receivers, under the stream MAC address and
/// with the source address of the switch where it began; the far switch knows by that, and by the port, that it came the
/// right way (reverse path), judges the sender again, and passes it on. This needs uplinks that form a tree, as `via` does.
pub fn stream_rows(fabric: &Fabric, switch: &SwitchFacts, stream: &StreamFacts) -> Vec<Row> {
    let mut rows = Rows::of(Owner::Stream(stream.group.into()));
    let mut written = BTreeSet::new();
    for sender in &stream.senders {
        let home = sender.location.switch;
        let at_home = home == switch.dpid;
        let Some(from) = (if at_home { Some(sender.location.port) } else { switch.via.get(&home).copied() }) else {
            continue;
        };
        let parts = parts(switch, stream, from);
        if parts.is_empty() {
            continue;
        }
        if let Some(origin) = fabric.switch(home).filter(|_| !at_home) {
            let m = ip()
                .with(Field::InPort, from.0)
                .with(Field::EthSrc, origin.fabric_mac().to_u64())
                .with(Field::EthDst, STREAM_MAC.to_u64())
                .with(Field::Ipv4Src, u32::from(sender.address))
                .with(Field::Ipv4Dst, u32::from(stream.group));
            let value = bits::source(sender.slice, sender.watch, sender.class);
            let known = Instruction::WriteMetadata { value, mask: bits::SOURCE_MASK };
            rows.add(Table::Guard, guard::REMOTE, m, vec![known, Instruction::GotoTable(Table::Locate.number())]);
        }
        // Senders of one class that come in by one port share a row.
        if !written.insert((from, sender.slice, sender.class)) {
            continue;
        }
        let class = bits::source(sender.slice, WatchLevel::Log, sender.class);
        let base = transport(ip().with(Field::InPort, from.0), UDP)
            .with_masked(Field::Metadata, class, bits::PERMIT_SOURCE_MASK)
            .with(Field::Ipv4Dst, u32::from(stream.group));
        for (range, targets) in parts {
            let actions = vec![Instruction::ApplyActions(copies(switch, stream.group, at_home, &targets))];
            if range == PortRange::ALL {
                rows.add(Table::Locate, locate::STREAM, base.clone(), actions);
                continue;
            }
            for (value, mask) in range.masks() {
                let m = match mask {
                    u16::MAX => base.clone().with(Field::UdpDst, value),
                    _ => base.clone().with_masked(Field::UdpDst, value, u32::from(mask)),
                };
                rows.add(Table::Locate, locate::STREAM, m, actions.clone());
            }
        }
    }
    super::plain::as_needed(switch, rows.done())
}

/// Where copies go: uplinks, ports with one endpoint, and endpoints behind shared ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Targets {
    uplinks: BTreeSet<PortNo>,
    ports: BTreeSet<PortNo>,
    behind: BTreeSet<(PortNo, Mac)>,
}

/// Who gets what, seen from one switch for packets that come in by one port: ranges of UDP ports without overlaps.
fn parts(switch: &SwitchFacts, stream: &StreamFacts, from: PortNo) -> Vec<(PortRange, Targets)> {
    let mut edges: BTreeSet<u32> = BTreeSet::new();
    for range in stream.receivers.iter().flat_map(|r| &r.ports) {
        edges.extend([u32::from(range.first()), u32::from(range.last()) + 1]);
    }
    let edges: Vec<u32> = edges.into_iter().collect();
    let mut out: Vec<(PortRange, Targets)> = Vec::new();
    for pair in edges.windows(2) {
        let &[first, end] = pair else { continue };
        let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(end - 1)) else { continue };
        let mut targets = Targets::default();
        for r in stream.receivers.iter().filter(|r| r.ports.iter().any(|p| p.contains(first))) {
            let place = r.location;
            if place.switch != switch.dpid {
                // Never back to where it came from: who is on that side is served there.
                targets.uplinks.extend(switch.via.get(&place.switch).copied().filter(|out| *out != from));
            } else if place.port == from {
                // It hears the sender by itself.
            } else if switch.port(place.port).is_some_and(|p| p.kind == PortKind::Shared) {
                targets.behind.insert((place.port, r.mac));
            } else {
                targets.ports.insert(place.port);
            }
        }
        if targets == Targets::default() {
            continue;
        }
        match out.last_mut() {
            Some((range, same)) if *same == targets && u32::from(range.last()) + 1 == u32::from(first) => {
                *range = PortRange::new(range.first(), last).unwrap_or(*range);
            }
            _ => out.extend(PortRange::new(first, last).map(|range| (range, targets))),
        }
    }
    out
}

fn copies(switch: &SwitchFacts, group: Ipv4Addr, at_home: bool, targets: &Targets) -> Vec<Action> {
    let output = |port: PortNo| Action::Output { port: port.0, max_len: FULL };
    let mut actions = Vec::new();
    if at_home && !targets.uplinks.is_empty() {
        actions.extend([set_mac(Field::EthSrc, switch.fabric_mac()), set_mac(Field::EthDst, STREAM_MAC)]);
    }
    actions.extend(targets.uplinks.iter().copied().map(output));
    if !targets.ports.is_empty() || !targets.behind.is_empty() {
        actions.extend([set_mac(Field::EthSrc, ROUTER_MAC), set_mac(Field::EthDst, group_mac(group))]);
    }
    actions.extend(targets.ports.iter().copied().map(output));
    // Behind an ordinary switch a multicast address would reach everybody.
    let mut by_port: BTreeMap<PortNo, Vec<Mac>> = BTreeMap::new();
    for (port, mac) in &targets.behind {
        by_port.entry(*port).or_default().push(*mac);
    }
    for (port, macs) in by_port {
        actions.extend(macs.into_iter().flat_map(|mac| [set_mac(Field::EthDst, mac), output(port)]));
    }
    actions
}

#[cfg(test)]
mod tests {
    use fseg_model::Dpid;
    use proptest::prelude::*;

    use super::*;
    use crate::fabric::{PortFacts, SwitchRole};
    use crate::profile::Profile;
    use crate::table::violation;

    const TV: Ipv4Addr = Ipv4Addr::new(239, 10, 1, 1);

    /// A line of three: `1 – 2 – 3`, each with two access ports, a shared one (3), and uplinks 8 (down) and 9 (up).
    fn line() -> Fabric {
        let port = |number, kind| PortFacts { number: PortNo(number), kind, mac: None, exit: None };
        let switch = |n: u16| SwitchFacts {
            dpid: Dpid(n.into()),
            number: n,
            role: SwitchRole::Access,
            ports: vec![
                port(1, PortKind::Access),
                port(2, PortKind::Access),
                port(3, PortKind::Shared),
                port(8, PortKind::Uplink),
                port(9, PortKind::Uplink),
            ],
            via: (1..=3)
                .filter(|other| *other != n)
                .map(|other| (Dpid(other.into()), PortNo(if other < n { 8 } else { 9 })))
                .collect(),
            profile: Profile::Ovs,
        };
        Fabric {
            router: Ipv4Addr::new(10, 0, 0, 1),
            inner: vec!["10.0.0.0/8".parse().unwrap()],
            switches: (1..=3).map(|n| (Dpid(n.into()), switch(n))).collect(),
            node: Dpid(2),
        }
    }

    fn at(switch: u64, port: u32) -> Location {
        Location { switch: Dpid(switch), port: PortNo(port) }
    }

    fn sender(switch: u64, port: u32, class: u32) -> StreamSender {
        let class = ClassId::new(class).unwrap();
        let address = Ipv4Addr::new(10, 0, switch as u8, port as u8);
        StreamSender { location: at(switch, port), address, slice: SliceId::DEFAULT, class, watch: WatchLevel::Log }
    }

    /// Carries a packet of a sender through the rows of all switches: who gets it, and how many frames crossed cables.
    fn carried(fabric: &Fabric, stream: &StreamFacts, who: &StreamSender, port: u16) -> (Vec<(Location, Mac)>, usize) {
        let class = bits::source(who.slice, who.watch, who.class);
        let home = who.location;
        let mut todo = vec![(home.switch, home.port, 0x0200_0000_0001_u64, group_mac(TV).to_u64())];
        let (mut out, mut crossed) = (Vec::new(), 0);
        while let Some((dpid, port_in, source, destination)) = todo.pop() {
            let switch = fabric.switch(dpid).unwrap();
            let rows = stream_rows(fabric, switch, stream);
            let field = |f: Field| match f {
                Field::InPort => Some(u128::from(port_in.0)),
                Field::EthSrc => Some(source.into()),
                Field::EthDst => Some(destination.into()),
                Field::EthType => Some(0x0800),
                Field::IpProto => Some(17),
                Field::Ipv4Src => Some(u32::from(who.address).into()),
                Field::Ipv4Dst => Some(u32::from(TV).into()),
                Field::UdpDst => Some(port.into()),
                Field::Metadata => Some(class.into()),
                _ => None,
            };
            let hits = |table| {
                rows.iter()
                    .filter(move |r| r.key.table == table)
                    .filter(|r| r.key.matches.iter().all(|(f, v)| field(*f).is_some_and(|have| v.matches(have))))
            };
            if dpid != home.switch && hits(Table::Guard).next().is_none() {
                continue;
            }
            let located: Vec<_> = hits(Table::Locate).collect();
            assert!(located.len() <= 1, "two rows of one priority match");
            let Some(Instruction::ApplyActions(actions)) = located.first().and_then(|r| r.instructions.first()) else {
                continue;
            };
            let (mut from, mut to) = (source, destination);
            for action in actions {
                match action {
                    Action::SetField { field: Field::EthSrc, value, .. } => from = *value as u64,
                    Action::SetField { field: Field::EthDst, value, .. } => to = *value as u64,
                    Action::Output { port, .. } => {
                        let port = PortNo(*port);
                        assert_ne!(port, port_in, "back to where it came from");
                        if switch.port(port).unwrap().kind == PortKind::Uplink {
                            crossed += 1;
                            let up = port.0 == 9;
                            let next = if up { dpid.0 + 1 } else { dpid.0 - 1 };
                            todo.push((Dpid(next), PortNo(if up { 8 } else { 9 }), from, to));
                        } else {
                            out.push((Location { switch: dpid, port }, Mac::from_u64(to)));
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        out.sort();
        (out, crossed)
    }

    #[test]
    fn rows_keep_to_the_declaration() {
        let fabric = line();
        let all = |shown: &ShownFacts| shown_rows(&fabric, fabric.switch(Dpid(1)).unwrap(), shown);
        let nothing = all(&ShownFacts::default());
        assert!(
            nothing.len() == 3 && nothing.iter().all(|(_, rows)| rows.is_empty()),
            "owners without rows are listed"
        );
        let discovery = vec![(Ipv4Addr::new(224, 0, 0, 251), 5353)];
        for (owner, rows) in all(&ShownFacts { discovery, memberships: true, wake: true }) {
            assert!(!rows.is_empty(), "{owner}");
            for row in &rows {
                assert_eq!(violation(row), None);
                assert!(row.instructions.iter().any(|i| matches!(i, Instruction::Meter(_))), "metered");
                let port = row.key.matches.exact(Field::InPort).unwrap();
                assert!(port <= 3, "only where endpoints are");
            }
        }
    }

    proptest! {
        /// Any senders and receivers on a line of switches: each receiver of the port gets exactly one copy, nobody else
        /// gets one, and no cable carries two.
        #[test]
        fn one_copy_for_each_receiver_and_cable(
            senders in proptest::collection::btree_map((1_u64..4, 1_u32..4), 16_u32..18, 1..4),
            receivers in proptest::collection::btree_set((1_u64..4, 1_u32..4, 0_u8..2), 0..8),
            ranges in proptest::collection::vec((5000_u16..5010, 0_u16..6), 8),
            probe in 4998_u16..5018,
        ) {
            let fabric = line();
            let mac = |(switch, port, n): (u64, u32, u8)| Mac([2, 0, 9, switch as u8, port as u8, n]);
            let receivers: Vec<StreamReceiver> = receivers
                .into_iter()
                .filter(|(_, port, n)| *port == 3 || *n == 0)
                .zip(ranges)
                .map(|(who, (first, more))| StreamReceiver {
                    location: at(who.0, who.1),
                    mac: mac(who),
                    ports: vec![PortRange::new(first, first + more).unwrap()],
                })
                .collect();
            let senders: Vec<StreamSender> = senders.into_iter().map(|((s, p), class)| sender(s, p, class)).collect();
            let stream = StreamFacts { group: TV, senders: senders.clone(), receivers: receivers.clone() };
            for switch in fabric.switches.values() {
                let rows = stream_rows(&fabric, switch, &stream);
                prop_assert_eq!(rows.iter().filter_map(violation).next(), None);
                let mut keys: Vec<_> = rows.iter().map(|r| &r.key).collect();
                keys.sort();
                let count = keys.len();
                keys.dedup();
                prop_assert_eq!(keys.len(), count, "one row twice");
            }
            for who in &senders {
                let (got, crossed) = carried(&fabric, &stream, who, probe);
                let wants = receivers.iter().filter(|r| r.ports[0].contains(probe) && r.location != who.location);
                let mut expected: Vec<_> = wants
                    .map(|r| (r.location, if r.location.port.0 == 3 { r.mac } else { group_mac(TV) }))
                    .collect();
                expected.sort();
                let far: BTreeSet<u64> = expected.iter().map(|(l, _)| l.switch.0).collect();
                let home = who.location.switch.0;
                let crossing = |a: u64, b: u64| far.iter().any(|f| home.min(*f) <= a && b <= home.max(*f));
                prop_assert_eq!(crossed, [(1, 2), (2, 3)].iter().filter(|(a, b)| crossing(*a, *b)).count());
                prop_assert_eq!(got, expected);
            }
        }
    }
}
