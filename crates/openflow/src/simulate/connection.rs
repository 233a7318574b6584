//! Connection tracking: what a packet's connection is, asked from whoever simulates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::action::{NatAction, NatKind};
use crate::field::Field;
use crate::simulate::packet::Packet;

/// Bits of `ct_state` (ovs-fields(7)).
pub mod state {
    /// The connection is not remembered yet, or nobody has answered.
    pub const NEW: u32 = 0x01;
    /// An answer was seen.
    pub const ESTABLISHED: u32 = 0x02;
    /// It belongs to another connection, as ICMP errors do.
    pub const RELATED: u32 = 0x04;
    /// It goes against the direction of the first packet.
    pub const REPLY: u32 = 0x08;
    /// It is of no connection.
    pub const INVALID: u32 = 0x10;
    /// It has been through connection tracking.
    pub const TRACKED: u32 = 0x20;
}

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP6: u8 = 58;
pub(super) const SCTP: u8 = 132;

/// One direction of a connection. For ICMP the ports are the identifier and the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// From whom.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Source port; for ICMP the identifier.
    pub from: u16,
    /// Destination port; for ICMP the type.
    pub to: u16,
}

impl Tuple {
    /// The tuple of a packet's own headers; `None` when it has none that begins or continues a connection.
    pub fn of(packet: &Packet) -> Option<Self> {
        let (network, at) = packet.transport()?;
        let (from, to) = match network.version {
            4 => (Field::Ipv4Src, Field::Ipv4Dst),
            _ => (Field::Ipv6Src, Field::Ipv6Dst),
        };
        let address = |field| address(network.version, packet.value(field));
        let transport = packet.bytes().get(at..network.end)?;
        Self::new(address(from), address(to), network.protocol, transport)
    }

    fn new(source: IpAddr, destination: IpAddr, protocol: u8, transport: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*transport.get(at)?, *transport.get(at + 1)?]));
        let (from, to) = match protocol {
            TCP | UDP | SCTP => (word(0)?, word(2)?),
            ICMP if matches!(transport.first()?, 0 | 8) => (word(4)?, u16::from(*transport.first()?)),
            ICMP6 if matches!(transport.first()?, 128 | 129) => (word(4)?, u16::from(*transport.first()?)),
            ICMP | ICMP6 => return None,
            _ => (0, 0),
        };
        Some(Self { source, destination, protocol, from, to })
    }

    /// The addresses of a packet that has no ports; nothing else of it is written back.
    fn addresses(packet: &Packet) -> Option<Self> {
        let version = packet.network()?.version;
        let (from, to) = if version == 4 { (Field::Ipv4Src, Field::Ipv4Dst) } else { (Field::Ipv6Src, Field::Ipv6Dst) };
        let address = |field| address(version, packet.value(field));
        Some(Self { source: address(from), destination: address(to), protocol: 0, from: 0, to: 0 })
    }

    /// The tuple quoted in an ICMP error (RFC 792); IPv4 only.
    pub fn quoted(packet: &Packet) -> Option<Self> {
        let (network, at) = packet.transport()?;
        let bytes = packet.bytes();
        if network.version != 4 || network.protocol != ICMP || !matches!(bytes.get(at)?, 3 | 11 | 12) {
            return None;
        }
        let inner = bytes.get(at + 8..)?;
        let four = |at: usize| {
            let octets: [u8; 4] = inner.get(at..at + 4)?.try_into().ok()?;
            Some(IpAddr::V4(octets.into()))
        };
        let header = usize::from(inner.first()? & 15) * 4;
        Self::new(four(12)?, four(16)?, *inner.get(9)?, inner.get(header..)?)
    }

    /// The tuple of the answer.
    #[must_use]
    pub fn inverse(self) -> Self {
        let (from, to) = match (self.protocol, self.to) {
            (ICMP, 8) => (self.from, 0),
            (ICMP, 0) => (self.from, 8),
            (ICMP6, 128) => (self.from, 129),
            (ICMP6, 129) => (self.from, 128),
            _ => (self.to, self.from),
        };
        Self { source: self.destination, destination: self.source, protocol: self.protocol, from, to }
    }

    /// Gives a packet these addresses and ports.
    pub(super) fn write_to(&self, packet: &mut Packet) {
        let mut put = |field, value: u128| packet.set(field, value, u128::MAX);
        for (v4, v6, address) in
            [(Field::Ipv4Src, Field::Ipv6Src, self.source), (Field::Ipv4Dst, Field::Ipv6Dst, self.destination)]
        {
            match address {
                IpAddr::V4(address) => put(v4, address.to_bits().into()),
                IpAddr::V6(address) => put(v6, address.to_bits()),
            };
        }
        let (from, to) = match self.protocol {
            TCP => (Field::TcpSrc, Field::TcpDst),
            UDP => (Field::UdpSrc, Field::UdpDst),
            SCTP => (Field::SctpSrc, Field::SctpDst),
            _ => return,
        };
        put(from, self.from.into());
        put(to, self.to.into());
    }

    /// Gives a packet's connection fields this original direction. For ICMP the ports are type and code (ovs-fields(7),
    /// "ct_tp_src").
    pub(super) fn describe(&self, packet: &mut Packet) {
        let icmp = matches!(self.protocol, ICMP | ICMP6);
        let (from, to) = if icmp { (self.to, 0) } else { (self.from, self.to) };
        let mut put = |field, value: u128| packet.set(field, value, u128::MAX);
        put(Field::CtNwProto, self.protocol.into());
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                put(Field::CtNwSrc, source.to_bits().into());
                put(Field::CtNwDst, destination.to_bits().into());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                put(Field::CtIpv6Src, source.to_bits());
                put(Field::CtIpv6Dst, destination.to_bits());
            }
            _ => {}
        }
        put(Field::CtTpSrc, from.into());
        put(Field::CtTpDst, to.into());
    }
}

fn address(version: u8, bits: u128) -> IpAddr {
    if version == 4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() }
}

/// What `ct(...)` asks.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// In which zone.
    pub zone: u16,
    /// The connection is to be remembered.
    pub commit: bool,
    /// … anew, if the packet goes against its direction.
    pub force: bool,
    /// A copy goes on in another table, which sees the answer.
    pub goes_on: bool,
    /// The translation wished for; without a kind: the one the connection has.
    pub nat: Option<&'a NatAction>,
}

/// What is known about a packet's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tracked {
    /// Bits of [`state`].
    pub state: u32,
    /// The connection's mark; `None` leaves what the packet carries.
    pub mark: Option<u32>,
    /// The connection's label; `None` leaves what the packet carries.
    pub label: Option<u128>,
    /// Its original direction, as `ct_nw_src` and its kin show it.
    pub original: Option<Tuple>,
    /// Addresses and ports that the packet gets.
    pub translated: Option<Tuple>,
}

/// Knows connections.
pub trait Tracker {
    /// What is known about a packet's connection.
    fn track(&mut self, packet: &Packet, question: Question<'_>) -> Tracked;

    /// A connection was to be remembered: it has this mark and label now.
    fn remember(&mut self, tracked: &Tracked, zone: u16, mark: u32, label: u128) {
        let _ = (tracked, zone, mark, label);
    }

    /// Translation that shows in the copy that goes on in another table only, as in Open vSwitch's own `ofproto/trace`.
    /// A real switch translates the packet itself.
    fn translates_copies_only(&self) -> bool {
        false
    }
}

/// Every packet is the first of its connection, and nothing is remembered. Addresses are translated as the action says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoConnections;

impl Tracker for NoConnections {
    fn track(&mut self, packet: &Packet, question: Question<'_>) -> Tracked {
        Given::default().track(packet, question)
    }
}

/// The state of each packet is given, one for each time a copy goes on after connection tracking; the last one stays. Other
/// things are as in Open vSwitch's `ofproto/trace --ct-next`: mark and label are what the packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Bits of [`state`], in the order of use; `TRACKED` is always set.
    pub states: Vec<u32>,
    /// The connection's original direction is known: that of the packet, or the inverse for a reply.
    pub original: bool,
    /// See [`Tracker::translates_copies_only`].
    pub copies_only: bool,
    /// How many states were used.
    pub used: usize,
}

impl Default for Given {
    fn default() -> Self {
        Self { states: vec![state::NEW], original: true, copies_only: false, used: 0 }
    }
}

impl Tracker for Given {
    fn track(&mut self, packet: &Packet, question: Question<'_>) -> Tracked {
        let last = self.states.last().copied().unwrap_or(state::NEW);
        let state = self.states.get(self.used).copied().unwrap_or(last) | state::TRACKED;
        self.used += usize::from(question.goes_on);
        let own = Tuple::of(packet);
        let direction = |tuple: Tuple| if state & state::REPLY == 0 { tuple } else { tuple.inverse() };
        let known = state & state::INVALID == 0 && self.original;
        let original = own.or_else(|| Tuple::quoted(packet)).map(direction).filter(|_| known);
        let addresses = || Tuple::addresses(packet);
        let translated = own.or_else(addresses).zip(question.nat).and_then(|(own, nat)| wished(own, nat));
        Tracked { state, mark: None, label: None, original, translated }
    }

    fn translates_copies_only(&self) -> bool {
        self.copies_only
    }
}

/// The tuple of a packet after a translation, with the first address and port of each range; `None` when nothing is
/// wished.
pub(super) fn wished(tuple: Tuple, nat: &NatAction) -> Option<Tuple> {
    let mut out = tuple;
    let ported = matches!(tuple.protocol, TCP | UDP | SCTP);
    match nat.kind? {
        NatKind::Src => {
            out.source = nat.min.unwrap_or(out.source);
            out.from = nat.proto_min.filter(|_| ported).unwrap_or(out.from);
        }
        NatKind::Dst => {
            out.destination = nat.min.unwrap_or(out.destination);
            out.to = nat.proto_min.filter(|_| ported).unwrap_or(out.to);
        }
    }
    Some(out)
}
