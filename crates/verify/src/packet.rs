//! From the bits of a difference to a packet somebody can send.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use fseg_model::{ClassId, Flow, IpProtocol, Mac, PortKind};
use fseg_openflow::{Field, Match};
use fseg_pipeline::fabric::{ROUTER_MAC, SERVICE_MAC, STREAM_MAC};
use fseg_pipeline::{SwitchRole, Table, bits};

use fseg_policy::Decision;

use crate::diagram::Path;
use crate::facts::Facts;
use crate::space::{self, Demand, Rank};
use crate::spec::{Spec, source_of, v4};
use crate::verifier::Part;

/// One point of a table's input: field values, as far as they matter.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// Left-justified value and mask, by rank.
    bits: BTreeMap<Rank, (u128, u128)>,
}

/// A packet as it comes in, in the text that `ovs-appctl ofproto/trace` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The packet.
    pub flow: Match,
    /// What connection tracking is taken to say (`--ct-next`), where it is asked.
    pub state: Option<u32>,
}

impl Witness {
    /// The packet, and the argument of `--ct-next` where connection tracking is asked.
    pub fn parts(&self) -> (String, Option<String>) {
        (flow_text(&self.flow), self.state.map(state_text))
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&flow_text(&self.flow))?;
        if let Some(state) = self.state {
            write!(f, " --ct-next {}", state_text(state))?;
        }
        Ok(())
    }
}

/// A packet as `ofproto/trace` reads it, which takes `tp_dst` for TCP's alone.
pub fn flow_text(flow: &Match) -> String {
    let name = match flow.exact(Field::IpProto) {
        Some(17) => "udp_",
        Some(132) => "sctp_",
        _ => "tcp_",
    };
    flow.to_string().replace("tp_src=", &format!("{name}src=")).replace("tp_dst=", &format!("{name}dst="))
}

fn state_text(state: u32) -> String {
    let names = [(0x20, "trk"), (0x01, "new"), (0x02, "est"), (0x04, "rel"), (0x08, "rpl"), (0x10, "inv")];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| state & bit != 0).map(|(_, n)| *n).collect();
    set.join(",")
}

const NEW: u32 = 0x21;
const ESTABLISHED_REPLY: u32 = 0x2a;

impl Point {
    pub(crate) fn new(part: Part, path: &Path) -> Self {
        let mut bits: BTreeMap<Rank, (u128, u128)> = BTreeMap::new();
        for d in part.known() {
            bits.insert(d.rank, (d.value, d.mask));
        }
        for (level, one) in path {
            let (rank, bit) = space::at(*level);
            let here = 1_u128 << (127 - bit.min(127));
            let entry = bits.entry(rank).or_default();
            entry.1 |= here;
            if *one {
                entry.0 |= here;
            }
        }
        Self { bits }
    }

    /// A field's value, right-justified; what does not matter is 0.
    fn get(&self, field: Field) -> u128 {
        let value = self.bits.get(&space::rank(field)).map_or(0, |(v, _)| *v);
        value >> (128 - u32::from(field.width()))
    }

    fn matters(&self, field: Field) -> bool {
        self.bits.contains_key(&space::rank(field))
    }

    /// Whether the packet meets a demand; what does not matter is taken as it suits an ordinary packet.
    pub(crate) fn meets(&self, demand: &Demand) -> bool {
        let value = match self.bits.get(&demand.rank) {
            Some((value, _)) => *value,
            None if demand.field == Field::EthType => Demand::new(Field::EthType, 0x0800, u128::MAX).value,
            None => 0,
        };
        (value ^ demand.value) & demand.mask == 0
    }

    /// The fields of the packet itself.
    fn fields(&self) -> Match {
        let mut out = Match::new();
        for rank in self.bits.keys() {
            let Some(field) = space::field(*rank) else { continue };
            let inner = matches!(field, Field::Metadata | Field::Reg(_) | Field::CtState | Field::CtMark);
            let nothing = field == Field::VlanVid && self.get(field) & 0x1000 == 0
                || field == Field::IpFrag && self.get(field) == 0;
            if !inner && !nothing {
                out = out.with(field, self.get(field));
            }
        }
        ordinary(out)
    }

    /// A packet that comes into this table like this, if somebody here can send it.
    pub(crate) fn witness(&self, table: Table, facts: &Facts, spec: &Spec<'_>) -> Option<Witness> {
        let metadata = self.get(Field::Metadata) as u64;
        if table == Table::Answer {
            return asking(spec, self.fields());
        }
        if table == Table::Onboard && metadata == 0 {
            return Some(Witness { flow: unknown(spec, self.fields()), state: None });
        }
        if table == Table::Guard {
            return Some(Witness { flow: self.fields(), state: None });
        }
        let upper = metadata & bits::SOURCE_MASK;
        let lower = metadata & bits::DESTINATION_MASK;
        match table {
            Table::Onboard | Table::Locate => {
                let port = self.matters(Field::InPort).then(|| self.get(Field::InPort) as u32);
                let from = sender(facts, spec, upper, port)?;
                let flow = ordinary(joined(from, self.fields()));
                Some(Witness { flow: streamed(spec, flow), state: None })
            }
            Table::Permit if spec.plain.is_some() => {
                let port = self.matters(Field::InPort).then(|| self.get(Field::InPort) as u32);
                let from = sender(facts, spec, upper, port)?;
                let to = u32::from(receiver(facts, spec, lower)?);
                let flow = ordinary(joined(from.with(Field::Ipv4Dst, to), self.fields()));
                Some(Witness { flow, state: None })
            }
            Table::Track | Table::Turn => {
                let from =
                    sender(facts, spec, upper, None)?.with(Field::Ipv4Dst, u32::from(receiver(facts, spec, lower)?));
                let state = self.matters(Field::CtState).then(|| self.get(Field::CtState) as u32);
                let state = state.filter(|s| *s != 0).unwrap_or(NEW);
                Some(Witness { flow: ordinary(joined(from, self.fields())), state: Some(state) })
            }
            Table::Permit => {
                let service = self.service();
                let port = self.matters(Field::InPort).then(|| self.get(Field::InPort) as u32);
                if let Some((from, to)) = sender(facts, spec, upper, port).zip(receiver(facts, spec, lower)) {
                    let service = if self.matters(Field::UdpSrc) && service.exact(Field::IpProto) == Some(17) {
                        service.with(Field::UdpSrc, self.get(Field::UdpSrc))
                    } else {
                        service
                    };
                    let flow = ordinary(joined(from.with(Field::Ipv4Dst, u32::from(to)), service));
                    return Some(Witness { flow, state: Some(NEW) });
                }
                // Only the answer passes here.
                let from = sender(facts, spec, lower << 24, port)?;
                let to = receiver(facts, spec, upper >> 24 & bits::DESTINATION_MASK)?;
                let flow = ordinary(from.with(Field::Ipv4Dst, u32::from(to)));
                Some(Witness { flow, state: Some(ESTABLISHED_REPLY) })
            }
            _ if spec.plain.is_some() => self.permitted(facts, spec).map(|w| Witness { state: None, ..w }),
            _ => self.permitted(facts, spec),
        }
    }

    /// Protocol, port and fragment of the service registers.
    fn service(&self) -> Match {
        let (protocol, port) = (self.get(bits::SERVICE_PROTOCOL) as u8, self.get(bits::SERVICE_PORT) as u16);
        let mut out = Match::new().with(Field::EthType, 0x0800_u16).with(Field::IpProto, protocol);
        let field = match protocol {
            6 => Some(Field::TcpDst),
            17 => Some(Field::UdpDst),
            132 => Some(Field::SctpDst),
            1 => Some(Field::Icmpv4Type),
            _ => None,
        };
        if self.get(bits::FRAGMENT) == 1 {
            out = out.with(Field::IpFrag, 3_u8);
        } else if let Some(field) = field {
            out = out.with(field, port);
        }
        out
    }

    /// Any permitted packet that leaves in the way that matters here.
    fn permitted(&self, facts: &Facts, spec: &Spec<'_>) -> Option<Witness> {
        let exit = self.get(bits::EXIT) as u16;
        let observed = self.get(bits::OBSERVED) == 1;
        let state = if self.matters(Field::CtState) { self.get(Field::CtState) as u32 } else { NEW };
        for who in facts.endpoints.iter().filter(|e| e.class != ClassId::STRANGER).take(200) {
            let Some(from) = sender(facts, spec, source_of(who), None) else { continue };
            let inside = facts
                .endpoints
                .iter()
                .filter(|_| exit == 0)
                .take(500)
                .filter_map(|e| Some((e.class, v4(e.addresses.first()?)?)));
            let outside = spec.outside.iter().filter(|o| exit == 0 || o.exit.number == exit).filter_map(|o| {
                let free = |a: &Ipv4Addr| nobody_else(spec, a, o.net.prefix_len());
                samples(o.net).find(free).map(|a| (o.facts.class, a))
            });
            for (class, to) in inside.chain(outside) {
                let (Some(a), Some(b)) = (facts.classes.get(&who.class), facts.classes.get(&class)) else { continue };
                let permits = facts.permits(who.class, class);
                let terms = permits.iter().flat_map(|p| &p.terms);
                let flows =
                    terms.map(|t| Flow { protocol: t.protocol.unwrap_or(IpProtocol::UDP), port: t.ports.first() });
                let fits = |flow: &Flow| match facts.policy.decide(a, b, *flow, facts.now) {
                    Decision::Permit { .. } => !observed,
                    Decision::Observe { .. } => observed,
                    Decision::Deny { .. } => false,
                };
                let Some(flow) = flows.chain([Flow::tcp(9)]).find(fits) else { continue };
                let mut point = Point { bits: BTreeMap::new() };
                for (field, value) in
                    [(bits::SERVICE_PROTOCOL, u128::from(flow.protocol.0)), (bits::SERVICE_PORT, flow.port.into())]
                {
                    let d = Demand::new(field, value, u128::MAX);
                    point.bits.insert(d.rank, (d.value, d.mask));
                }
                let flow = ordinary(joined(from.with(Field::Ipv4Dst, u32::from(to)), point.service()));
                return Some(Witness { flow, state: Some(state) });
            }
        }
        None
    }
}

/// A packet to a stream's address, as it crosses cables when its sender is elsewhere.
fn streamed(spec: &Spec<'_>, flow: Match) -> Match {
    let exact = |field| flow.exact(field).unwrap_or_default();
    let group = Ipv4Addr::from(exact(Field::Ipv4Dst) as u32);
    let arrives = spec.streams.get(&group).is_some_and(|stream| {
        let of = |(port, home, address, _): &(u32, Mac, Ipv4Addr, u64)| {
            (u128::from(*port), u128::from(home.to_u64()), u128::from(u32::from(*address)))
        };
        let own = (exact(Field::InPort), exact(Field::EthSrc), exact(Field::Ipv4Src));
        stream.arriving.iter().any(|a| of(a) == own)
    });
    if arrives { flow.with(Field::EthDst, STREAM_MAC.to_u64()) } else { flow }
}

/// `a` with everything that `b` says beyond it.
fn joined(a: Match, b: Match) -> Match {
    let mut out = b;
    for (field, value) in a.iter() {
        out = out.with_masked(*field, value.value, value.mask.unwrap_or(u128::MAX));
    }
    out
}

/// Fills in what an ordinary packet has, so that every field has what it requires.
fn ordinary(m: Match) -> Match {
    let mut out = m;
    let has = |m: &Match, list: &[Field]| list.iter().any(|f| m.get(*f).is_some());
    if out.get(Field::EthType).is_none() {
        let arp = [Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha];
        let kind = if has(&out, &arp) { 0x0806_u16 } else { 0x0800 };
        out = out.with(Field::EthType, kind);
    }
    let ip = out.exact(Field::EthType) == Some(0x0800);
    let protocol = out.exact(Field::IpProto);
    let fields: Vec<(Field, fseg_openflow::Value)> = out
        .iter()
        .copied()
        .filter(|(f, _)| match f {
            Field::TcpSrc | Field::TcpDst | Field::TcpFlags => ip && protocol == Some(6),
            Field::UdpSrc | Field::UdpDst => ip && protocol.is_none_or(|p| p == 17),
            Field::SctpSrc | Field::SctpDst => ip && protocol == Some(132),
            Field::Icmpv4Type | Field::Icmpv4Code => ip && protocol == Some(1),
            Field::IpProto
            | Field::Ipv4Src
            | Field::Ipv4Dst
            | Field::IpFrag
            | Field::IpDscp
            | Field::IpEcn
            | Field::IpTtl => ip,
            Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha | Field::ArpTha => {
                out.exact(Field::EthType) == Some(0x0806)
            }
            _ => true,
        })
        .collect();
    out = fields.into_iter().collect();
    if ip && out.get(Field::IpProto).is_none() {
        out = out.with(Field::IpProto, 17_u8);
    }
    if ip && out.get(Field::IpTtl).is_none() {
        out = out.with(Field::IpTtl, 64_u8);
    }
    if out.exact(Field::EthType) == Some(0x0806) && out.get(Field::ArpOp).is_none() {
        out = out.with(Field::ArpOp, 1_u8);
    }
    if out.get(Field::EthDst).is_none() {
        out = out.with(Field::EthDst, ROUTER_MAC.to_u64());
    }
    out
}

/// The packet as a device sends it that nobody knows.
fn unknown(spec: &Spec<'_>, fields: Match) -> Match {
    let address = u32::from(Ipv4Addr::new(198, 51, 100, 99));
    let mac = Mac([0x02, 0, 0, 0x99, 0x99, 0x99]).to_u64();
    let mut own = Match::new().with(Field::EthSrc, mac);
    if let Some(port) = spec.admitting().next() {
        own = own.with(Field::InPort, port.number.0);
    }
    own = match fields.exact(Field::EthType) {
        Some(0x0806) => own.with(Field::ArpSpa, address).with(Field::ArpSha, mac),
        Some(0x0800) => own.with(Field::Ipv4Src, address),
        _ => own,
    };
    ordinary(joined(fields, own))
}

/// An endpoint here that asks for an address.
fn asking(spec: &Spec<'_>, fields: Match) -> Option<Witness> {
    let by = fields.exact(Field::InPort);
    let there = spec.here.iter().filter(|((port, _), _)| by.is_none_or(|by| by == u128::from(*port)));
    let ((port, mac), known) = there.min_by_key(|(k, _)| **k)?;
    let address = known.first()?.addresses.iter().find_map(v4)?;
    let own = Match::new()
        .with(Field::InPort, *port)
        .with(Field::EthSrc, mac.to_u64())
        .with(Field::EthType, 0x0806_u16)
        .with(Field::ArpSha, mac.to_u64())
        .with(Field::ArpSpa, u32::from(address));
    let target = if fields.get(Field::ArpTpa).is_none() { own.with(Field::ArpTpa, spec.router()) } else { own };
    Some(Witness { flow: ordinary(joined(target, fields)), state: None })
}

/// The headers of a packet that comes in here with this metadata (upper bits in place).
fn sender(facts: &Facts, spec: &Spec<'_>, upper: u64, port: Option<u32>) -> Option<Match> {
    let class = bits::classes(upper).0;
    let own = spec.switch();
    let frame = |port: u32, mac: Mac, to: Mac, address: Ipv4Addr| {
        Match::new()
            .with(Field::InPort, port)
            .with(Field::EthSrc, mac.to_u64())
            .with(Field::EthDst, to.to_u64())
            .with(Field::EthType, 0x0800_u16)
            .with(Field::Ipv4Src, u32::from(address))
    };
    let uplink = own.ports.iter().find(|p| p.kind == PortKind::Uplink).map(|p| p.number.0);
    if class == ClassId::NODE.get() {
        return match own.role {
            SwitchRole::Node => {
                let p = spec.service_port()?;
                Some(frame(p.number.0, p.mac?, ROUTER_MAC, facts.fabric.router))
            }
            SwitchRole::Access => Some(frame(uplink?, SERVICE_MAC, own.fabric_mac(), facts.fabric.router)),
        };
    }
    if class == ClassId::PORTAL.get() {
        let portal = frame(uplink?, SERVICE_MAC, own.fabric_mac(), Ipv4Addr::new(198, 51, 100, 1));
        return Some(portal.with(Field::IpProto, 6_u8).with(Field::TcpSrc, 80_u16));
    }
    for who in facts.endpoints.iter().filter(|e| source_of(e) == upper) {
        let Some(address) = who.addresses.iter().find_map(v4) else { continue };
        if who.location.switch == own.dpid {
            if port.is_none_or(|p| p == who.location.port.0) {
                return Some(frame(who.location.port.0, who.mac, ROUTER_MAC, address));
            }
        } else if let (Some(home), Some(by)) = (facts.switch(who.location.switch), own.via.get(&who.location.switch))
            && port.is_none_or(|p| p == by.0)
        {
            return Some(frame(by.0, home.fabric_mac(), own.fabric_mac(), address));
        }
    }
    let from = spec.outside.iter().find(|o| o.facts.class.get() == class)?;
    let address = samples(from.net).find(|a| nobody_else(spec, a, from.net.prefix_len()))?;
    let by = if from.home.dpid == own.dpid { from.port } else { *own.via.get(&from.home.dpid)? };
    if port.is_some_and(|p| p != by.0) {
        return None;
    }
    if from.home.dpid == own.dpid {
        return Some(frame(from.port.0, from.exit.gateway_mac.unwrap_or(ROUTER_MAC), ROUTER_MAC, address));
    }
    Some(frame(own.via.get(&from.home.dpid)?.0, from.home.fabric_mac(), own.fabric_mac(), address))
}

/// An address that is in no longer prefix and nobody's inside.
fn nobody_else(spec: &Spec<'_>, address: &Ipv4Addr, length: u8) -> bool {
    let first = address.octets()[0];
    !spec.outside.iter().any(|o| o.net.prefix_len() > length && o.net.contains(address))
        && !spec.inner.iter().any(|n| n.contains(address))
        && !matches!(first, 0 | 127 | 224..)
        && address.octets()[..2] != [169, 254]
}

/// An address that is located with this watch level and class.
fn receiver(facts: &Facts, spec: &Spec<'_>, lower: u64) -> Option<Ipv4Addr> {
    let inside =
        facts.endpoints.iter().find(|e| bits::destination(e.watch, e.class) == lower && !e.addresses.is_empty());
    if let Some(who) = inside {
        return who.addresses.iter().find_map(v4);
    }
    let class = bits::classes(lower).1;
    let to = spec.outside.iter().find(|o| o.facts.class.get() == class)?;
    samples(to.net).find(|a| nobody_else(spec, a, to.net.prefix_len()))
}

/// Addresses from all over a prefix: at most 65,536.
fn samples(net: ipnet::Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let size = 1_u64 << (32 - u32::from(net.prefix_len()));
    let step = (size >> 16).max(1);
    let first = u64::from(u32::from(net.network()));
    let last = u64::from(u32::from(net.broadcast()));
    (0..size.min(1 << 16)).map(move |k| Ipv4Addr::from((first + k * step + 1).min(last) as u32))
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Match::new();
        for (rank, (value, mask)) in &self.bits {
            if let Some(field) = space::field(*rank) {
                let shift = 128 - u32::from(field.width());
                // What is 0 in every packet says nothing.
                let inner = matches!(field, Field::Reg(_) | Field::CtState | Field::VlanVid | Field::IpFrag);
                if *value == 0 && (inner || field == Field::Metadata) {
                    continue;
                }
                out = out.with_masked(field, value >> shift, mask >> shift);
            }
        }
        write!(f, "{out}")
    }
}
