//! Connection tracking with address translation, as far as `ct()` of ovs-actions(7) describes it.

use std::collections::HashMap;

use fseg_openflow::{Action, CtAction, CtZone, Field, NatAction, NatKind};

use crate::packet::Packet;

/// Bits of `ct_state` (ovs-fields(7)).
pub(crate) mod state {
    pub(crate) const NEW: u32 = 0x01;
    pub(crate) const ESTABLISHED: u32 = 0x02;
    pub(crate) const RELATED: u32 = 0x04;
    pub(crate) const REPLY: u32 = 0x08;
    pub(crate) const INVALID: u32 = 0x10;
    pub(crate) const TRACKED: u32 = 0x20;
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// One direction of a connection. For ICMP the ports are the identifier and the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// From whom.
    pub source: u32,
    /// To whom.
    pub destination: u32,
    /// IP protocol.
    pub protocol: u8,
    /// Source port; for ICMP the identifier.
    pub from: u16,
    /// Destination port; for ICMP the type.
    pub to: u16,
}

impl Tuple {
    /// The tuple of a packet's own headers; `None` when it has none that begins or continues a connection.
    fn of(packet: &Packet) -> Option<Self> {
        let transport = packet.transport_at()?;
        Self::read(packet.bytes().get(26..34)?, packet.get(Field::IpProto)? as u8, packet.bytes().get(transport..)?)
    }

    fn read(addresses: &[u8], protocol: u8, transport: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*transport.get(at)?, *transport.get(at + 1)?]));
        let (from, to) = match protocol {
            TCP | UDP | SCTP => (word(0)?, word(2)?),
            ICMP if matches!(transport.first()?, 0 | 8) => (word(4)?, u16::from(transport[0])),
            ICMP => return None,
            _ => (0, 0),
        };
        let address =
            |at: usize| u32::from_be_bytes([addresses[at], addresses[at + 1], addresses[at + 2], addresses[at + 3]]);
        Some(Self { source: address(0), destination: address(4), protocol, from, to })
    }

    /// The tuple quoted in an ICMP error (RFC 792).
    fn quoted(packet: &Packet) -> Option<Self> {
        let at = packet.transport_at()?;
        if packet.get(Field::IpProto)? != u128::from(ICMP) || !matches!(packet.bytes().get(at)?, 3 | 11 | 12) {
            return None;
        }
        let inner = packet.bytes().get(at + 8..)?;
        let header = usize::from(inner.first()? & 15) * 4;
        Self::read(inner.get(12..20)?, *inner.get(9)?, inner.get(header..)?)
    }

    /// The tuple of the answer.
    fn inverse(self) -> Self {
        let (from, to) = match (self.protocol, self.to) {
            (ICMP, 8) => (self.from, 0),
            (ICMP, 0) => (self.from, 8),
            _ => (self.to, self.from),
        };
        Self { source: self.destination, destination: self.source, protocol: self.protocol, from, to }
    }
}

/// A connection that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its zone.
    pub zone: u16,
    /// As its first packet was.
    pub original: Tuple,
    /// As answers are.
    pub reply: Tuple,
    /// Its mark.
    pub mark: u32,
    /// An answer was seen.
    pub answered: bool,
}

/// All connections of one switch.
#[derive(Debug, Clone, Default)]
pub struct Conntrack {
    connections: Vec<Connection>,
    by_tuple: HashMap<(u16, Tuple), (usize, bool)>,
}

impl Conntrack {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// All connections, oldest first.
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Whether a TCP segment may begin a connection: anything but an answer or an end.
    fn may_begin(packet: &Packet) -> bool {
        let Some(at) = packet.transport_at().filter(|_| packet.get(Field::IpProto) == Some(TCP.into())) else {
            return true;
        };
        let flags = packet.bytes().get(at + 13).copied().unwrap_or(0);
        let (fin, syn, rst, ack) = (1, 2, 4, 16);
        flags & (fin | rst) == 0 && flags & (syn | ack) != syn | ack
    }

    /// Sends the packet through the tracker: what it returns continues in the action's table, the packet itself goes on
    /// with the next action.
    pub(crate) fn ct(&mut self, packet: &mut Packet, action: &CtAction) -> Packet {
        let zone = match action.zone {
            CtZone::Immediate(zone) => zone,
            CtZone::Field(from) => packet.read(from) as u16,
        };
        let nat = action.exec.iter().find_map(|a| if let Action::Nat(nat) = a { Some(nat) } else { None });
        let own = Tuple::of(packet);
        let mut flags = state::TRACKED;
        let found = match (own, Tuple::quoted(packet)) {
            (Some(tuple), _) => self.by_tuple.get(&(zone, tuple)).copied(),
            (None, Some(quoted)) => {
                flags |= state::RELATED;
                // The error goes against the packet it quotes.
                self.by_tuple.get(&(zone, quoted)).map(|(i, reply)| (*i, !reply))
            }
            (None, None) => None,
        };
        match (found, own) {
            (Some((_, reply)), None) => flags |= if reply { state::REPLY } else { 0 },
            (Some((i, reply)), Some(_)) => {
                let connection = &mut self.connections[i];
                connection.answered |= reply;
                flags |= if reply { state::REPLY } else { 0 };
                flags |= if connection.answered { state::ESTABLISHED } else { state::NEW };
            }
            (None, Some(_)) if Self::may_begin(packet) => flags |= state::NEW,
            (None, _) => flags = state::TRACKED | state::INVALID,
        }
        let mut original = found.map(|(i, _)| self.connections[i].original).or(own);
        if let (Some((i, reply)), Some(_), Some(_)) = (found, nat, own) {
            translate(packet, &self.connections[i], reply);
        }
        if action.commit && found.is_none() && flags & state::NEW != 0 {
            let tuple = own.unwrap();
            let connection = self.begin(zone, tuple, nat.filter(|n| n.kind.is_some()));
            translate(packet, &connection, false);
            let index = self.connections.len();
            self.by_tuple.insert((zone, connection.original), (index, false));
            self.by_tuple.insert((zone, connection.reply), (index, true));
            self.connections.push(connection);
            original = Some(tuple);
        }
        let index = original.and_then(|t| self.by_tuple.get(&(zone, t))).map(|(i, _)| *i);
        let mut copy = packet.clone();
        let mut put = |field, value: u32| copy.set(field, value.into(), u128::MAX);
        put(Field::CtState, flags);
        put(Field::CtZone, zone.into());
        put(Field::CtMark, index.map_or(0, |i| self.connections[i].mark));
        if let Some(t) = original.filter(|_| flags & state::INVALID == 0) {
            put(Field::CtNwProto, t.protocol.into());
            put(Field::CtNwSrc, t.source);
            put(Field::CtNwDst, t.destination);
            // For ICMP these are type and code (ovs-fields(7), "ct_tp_src").
            let (from, to) = if t.protocol == ICMP { (t.to, 0) } else { (t.from, t.to) };
            put(Field::CtTpSrc, from.into());
            put(Field::CtTpDst, to.into());
        }
        for inner in &action.exec {
            match inner {
                Action::Nat(_) => {}
                Action::Move { src, dst } => {
                    let value = copy.read(*src);
                    copy.write(*dst, value);
                }
                Action::SetField { field, value, mask } => copy.set(*field, *value, mask.unwrap_or(u128::MAX)),
                other => panic!("ct(exec({other:?})) is not simulated"),
            }
        }
        if let Some(i) = index.filter(|_| action.commit) {
            self.connections[i].mark = copy.get(Field::CtMark).unwrap() as u32;
        }
        copy
    }

    fn begin(&self, zone: u16, original: Tuple, nat: Option<&NatAction>) -> Connection {
        let mut reply = original.inverse();
        if let Some(nat) = nat {
            let address = match nat.min {
                Some(std::net::IpAddr::V4(a)) => u32::from(a),
                other => panic!("translation to {other:?} is not simulated"),
            };
            match nat.kind {
                Some(NatKind::Dst) => {
                    reply.source = address;
                    reply.from = nat.proto_min.unwrap_or(reply.from);
                }
                _ => {
                    reply.destination = address;
                    // Two inner connections must not look alike from outside.
                    while self.by_tuple.contains_key(&(zone, reply)) {
                        let port = if reply.protocol == ICMP { &mut reply.from } else { &mut reply.to };
                        *port = port.wrapping_add(1).max(1024);
                    }
                }
            }
        }
        Connection { zone, original, reply, mark: 0, answered: false }
    }
}

/// Gives a packet of a connection the addresses that its other side knows.
fn translate(packet: &mut Packet, connection: &Connection, reply: bool) {
    let wanted = if reply { connection.original.inverse() } else { connection.reply.inverse() };
    let mut put = |field, value: u32| packet.set(field, value.into(), u128::MAX);
    put(Field::Ipv4Src, wanted.source);
    put(Field::Ipv4Dst, wanted.destination);
    let (from, to) = match wanted.protocol {
        TCP => (Field::TcpSrc, Field::TcpDst),
        UDP => (Field::UdpSrc, Field::UdpDst),
        SCTP => (Field::SctpSrc, Field::SctpDst),
        _ => return,
    };
    put(from, wanted.from.into());
    put(to, wanted.to.into());
}
