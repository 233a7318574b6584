//! Streams: who may send, who has joined and may receive, and which way copies go (docs/pipeline.md, "Multicast").

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use fseg_model::{ClassId, IpProtocol, Mac, MemberSet, PortKind, PortNo, PortRange};
use fseg_openflow::{Field, Match};
use fseg_pipeline::fabric::{ROUTER_MAC, STREAM_MAC};
use fseg_pipeline::{EndpointFacts, Table, bits};

use super::does::Does;
use super::{Case, Spec, UDP, case, ip, source_of, v4};
use crate::facts::Facts;
use crate::treatment::Treatment;

/// A stream's address as one switch has to do with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    /// Senders elsewhere whose packets are to come here: port, MAC address of their switch, address, metadata.
    pub(crate) arriving: BTreeSet<(u32, Mac, Ipv4Addr, u64)>,
    /// By port and class of senders: for which UDP ports copies go where.
    copied: BTreeMap<(u32, u64), Vec<(PortRange, Copies)>>,
}

/// Where copies of a packet leave: port and MAC addresses (source and target), where they are changed.
type Copies = BTreeSet<(u32, Option<(Mac, Mac)>)>;

/// The Ethernet address of a multicast address (RFC 1112, 6.4): its lowest 23 bits.
fn group_mac(group: Ipv4Addr) -> Mac {
    Mac::from_u64(0x0100_5e00_0000 | u64::from(u32::from(group) & 0x7f_ffff))
}

impl Facts {
    fn members(&self, class: ClassId) -> Option<&MemberSet> {
        self.classes.get(&class).filter(|_| class >= ClassId::FIRST)
    }

    /// The UDP ports on which somebody of this class may receive these streams.
    fn may_receive(&self, class: ClassId, streams: &MemberSet) -> Vec<PortRange> {
        let Some(groups) = self.members(class) else { return vec![] };
        let permits = self.policy.permits.iter().filter(|p| p.in_force(self.now));
        let joining =
            permits.filter(|p| p.from.iter().any(|n| groups.contains(n)) && p.to.iter().any(|n| streams.contains(n)));
        let terms = joining.flat_map(|p| &p.terms).filter(|t| t.protocol.is_none_or(|p| p == IpProtocol::UDP));
        terms.map(|t| t.ports).collect()
    }

    fn may_send(&self, class: ClassId, streams: &MemberSet) -> bool {
        let lists = self.policy.streams.values().filter(|s| streams.contains(&s.name)).flat_map(|s| &s.from);
        self.members(class).is_some_and(|groups| lists.into_iter().any(|n| groups.contains(n)))
    }
}

impl Spec<'_> {
    /// Every joined address, seen from this switch.
    pub(super) fn streams_of(facts: &Facts, here: &fseg_pipeline::SwitchFacts) -> BTreeMap<Ipv4Addr, Stream> {
        let mut out = BTreeMap::new();
        let by_id: BTreeMap<_, &EndpointFacts> = facts.endpoints.iter().map(|e| (e.id, e)).collect();
        for (group, joined) in &facts.joined {
            let streams = facts.policy.streams_of(*group);
            if streams.is_empty() {
                continue;
            }
            let receivers: Vec<(&EndpointFacts, Vec<PortRange>)> = joined
                .iter()
                .filter_map(|id| by_id.get(id).map(|e| (*e, facts.may_receive(e.class, &streams))))
                .filter(|(_, ports)| !ports.is_empty())
                .collect();
            let mut stream = Stream::default();
            let mut classes: BTreeMap<ClassId, bool> = BTreeMap::new();
            for sender in &facts.endpoints {
                let may = *classes.entry(sender.class).or_insert_with(|| facts.may_send(sender.class, &streams));
                let Some(address) = sender.addresses.iter().find_map(v4).filter(|_| may) else { continue };
                let home = sender.location.switch;
                let from = if home == here.dpid { Some(sender.location.port) } else { here.via.get(&home).copied() };
                let Some(from) = from else { continue };
                let copied = copies(here, *group, home == here.dpid, from, &receivers);
                if copied.is_empty() {
                    continue;
                }
                if let Some(origin) = facts.switch(home).filter(|_| home != here.dpid) {
                    stream.arriving.insert((from.0, origin.fabric_mac(), address, source_of(sender)));
                }
                let class = bits::source(sender.slice, fseg_model::WatchLevel::Log, sender.class);
                stream.copied.insert((from.0, class), copied);
            }
            if !stream.copied.is_empty() {
                out.insert(*group, stream);
            }
        }
        out
    }

    /// Frames of streams that come by a cable from the switch where they began.
    pub(super) fn streams_arriving(&self, port: PortNo, mac: Option<u64>, out: &mut Vec<Case>) {
        for (group, stream) in &self.streams {
            for (by, home, address, source) in &stream.arriving {
                if *by == port.0 && Some(home.to_u64()) == mac {
                    let m = ip()
                        .with(Field::EthDst, STREAM_MAC.to_u64())
                        .with(Field::Ipv4Src, u32::from(*address))
                        .with(Field::Ipv4Dst, u32::from(*group));
                    let known = Does::new().set_bits(Field::Metadata, *source, bits::SOURCE_MASK);
                    out.push(case(m, known.goto(Table::Locate, self.live)));
                }
            }
        }
    }

    /// Copies of what senders send, to those who receive it.
    pub(super) fn streams_copied(&self, touches: &impl Fn(&ipnet::Ipv4Net) -> bool, out: &mut Vec<Case>) {
        for (group, stream) in self.streams.iter().filter(|(g, _)| touches(&ipnet::Ipv4Net::from(**g))) {
            for ((port, class), parts) in &stream.copied {
                let base: Match = ip()
                    .with(Field::InPort, *port)
                    .with_masked(Field::Metadata, *class, bits::PERMIT_SOURCE_MASK)
                    .with(Field::Ipv4Dst, u32::from(*group))
                    .with(Field::IpProto, UDP);
                for (range, copies) in parts {
                    let treatment = sent(copies);
                    for (value, mask) in range.masks() {
                        let m = base.clone().with_masked(Field::UdpDst, value, u32::from(mask));
                        out.push(case(m, treatment.clone()));
                    }
                }
            }
        }
    }
}

fn sent(copies: &Copies) -> Treatment {
    let steps = copies.iter().flat_map(|(port, macs)| {
        let does = match macs {
            Some((from, to)) => Does::new().macs(*from, *to),
            None => Does::new(),
        };
        does.out(*port).ends().steps
    });
    Treatment { steps: steps.collect(), ..Treatment::default() }
}

/// Who gets copies of what comes in by a port, for each range of UDP ports for which these are the same.
fn copies(
    here: &fseg_pipeline::SwitchFacts,
    group: Ipv4Addr,
    begins: bool,
    from: PortNo,
    receivers: &[(&EndpointFacts, Vec<PortRange>)],
) -> Vec<(PortRange, Copies)> {
    let mut starts: BTreeSet<u32> = BTreeSet::new();
    for range in receivers.iter().flat_map(|(_, ports)| ports) {
        starts.extend([u32::from(range.first()), u32::from(range.last()) + 1]);
    }
    let starts: Vec<u32> = starts.into_iter().collect();
    let mut out = Vec::new();
    for pair in starts.windows(2) {
        let [first, end] = pair else { continue };
        let (Ok(first), Ok(last)) = (u16::try_from(*first), u16::try_from(end - 1)) else { continue };
        let mut copies = Copies::new();
        for (who, _) in receivers.iter().filter(|(_, ports)| ports.iter().any(|p| p.contains(first))) {
            let place = who.location;
            let way = if place.switch != here.dpid {
                // Marked where it begins, for whoever gets it over cables; then left as it is.
                let marked = begins.then(|| (here.fabric_mac(), STREAM_MAC));
                here.via.get(&place.switch).map(|port| (*port, marked))
            } else if here.port(place.port).is_some_and(|p| p.kind == PortKind::Shared) {
                // An ordinary switch would bring a multicast address to everybody behind that port.
                Some((place.port, Some((ROUTER_MAC, who.mac))))
            } else {
                Some((place.port, Some((ROUTER_MAC, group_mac(group)))))
            };
            copies.extend(way.filter(|(port, _)| *port != from).map(|(port, macs)| (port.0, macs)));
        }
        if let Some(range) = PortRange::new(first, last).filter(|_| !copies.is_empty()) {
            out.push((range, copies));
        }
    }
    out
}
