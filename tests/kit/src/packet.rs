//! A packet on its way through tables: its bytes, read and written by field, and what travels with it.

use std::collections::BTreeMap;

use fseg_openflow::{Field, Match, Subfield};

const IPV4: u128 = 0x0800;
const ARP: u128 = 0x0806;
/// First octet behind an untagged Ethernet header.
const L3: usize = 14;

/// A packet with its metadata, registers and connection state.
#[derive(Debug, Clone)]
pub struct Packet {
    bytes: Vec<u8>,
    beside: BTreeMap<Field, u128>,
    stack: Vec<u128>,
}

impl Packet {
    /// A frame that came in by a port.
    pub fn new(bytes: &[u8], in_port: u32) -> Self {
        assert!(bytes.len() >= L3, "a frame has at least an Ethernet header");
        Self { bytes: bytes.to_vec(), beside: BTreeMap::from([(Field::InPort, in_port.into())]), stack: Vec::new() }
    }

    fn number(&self, at: usize, len: usize) -> Option<u128> {
        Some(self.bytes.get(at..at + len)?.iter().fold(0, |n, b| n << 8 | u128::from(*b)))
    }

    fn ip_header_len(&self) -> Option<usize> {
        let first = *self.bytes.get(L3)?;
        (first >> 4 == 4 && first & 15 >= 5).then_some(usize::from(first & 15) * 4)
    }

    /// First octet of the transport header; `None` for later fragments and what is no IPv4.
    pub(crate) fn transport_at(&self) -> Option<usize> {
        let whole = self.get(Field::EthType)? == IPV4 && self.number(L3 + 6, 2)? & 0x1fff == 0;
        whole.then_some(L3 + self.ip_header_len()?)
    }

    /// Where a header field is: first octet and length. `None` when the packet does not have it.
    fn place(&self, field: Field) -> Option<(usize, usize)> {
        let ether_type = self.number(12, 2);
        let arp = |at, len| (ether_type == Some(ARP)).then_some((L3 + at, len));
        let ip = |at, len| (ether_type == Some(IPV4) && self.ip_header_len().is_some()).then_some((L3 + at, len));
        let transport = |protocol: u8, at: usize, len| {
            let is = self.bytes.get(L3 + 9) == Some(&protocol);
            is.then(|| self.transport_at()).flatten().map(|start| (start + at, len))
        };
        match field {
            Field::EthDst => Some((0, 6)),
            Field::EthSrc => Some((6, 6)),
            Field::EthType => Some((12, 2)),
            Field::ArpOp => arp(6, 2),
            Field::ArpSha => arp(8, 6),
            Field::ArpSpa => arp(14, 4),
            Field::ArpTha => arp(18, 6),
            Field::ArpTpa => arp(24, 4),
            Field::IpTtl => ip(8, 1),
            Field::IpProto => ip(9, 1),
            Field::Ipv4Src => ip(12, 4),
            Field::Ipv4Dst => ip(16, 4),
            Field::TcpSrc => transport(6, 0, 2),
            Field::TcpDst => transport(6, 2, 2),
            Field::UdpSrc => transport(17, 0, 2),
            Field::UdpDst => transport(17, 2, 2),
            Field::SctpSrc => transport(132, 0, 2),
            Field::SctpDst => transport(132, 2, 2),
            Field::Icmpv4Type => transport(1, 0, 1),
            Field::Icmpv4Code => transport(1, 1, 1),
            _ => None,
        }
    }

    fn is_beside(field: Field) -> bool {
        matches!(
            field,
            Field::InPort
                | Field::Metadata
                | Field::Reg(_)
                | Field::ConjId
                | Field::CtState
                | Field::CtZone
                | Field::CtMark
                | Field::CtNwProto
                | Field::CtNwSrc
                | Field::CtNwDst
                | Field::CtTpSrc
                | Field::CtTpDst
        )
    }

    /// The value of a field; `None` when the packet does not have it.
    pub fn get(&self, field: Field) -> Option<u128> {
        if Self::is_beside(field) {
            return Some(self.beside.get(&field).copied().unwrap_or(0));
        }
        let (at, len) = self.place(field)?;
        self.number(at, len)
    }

    /// Writes the bits of `mask`.
    pub fn set(&mut self, field: Field, value: u128, mask: u128) {
        let old = self.get(field).unwrap_or_else(|| panic!("the packet has no {field:?} to write"));
        let new = old & !mask | value & mask;
        if Self::is_beside(field) {
            self.beside.insert(field, new);
            return;
        }
        let (at, len) = self.place(field).unwrap();
        self.bytes[at..at + len].copy_from_slice(&new.to_be_bytes()[16 - len..]);
    }

    pub(crate) fn read(&self, from: Subfield) -> u128 {
        // Moving out of a field the packet does not have reads zeros (ovs-actions(7), "move").
        (self.get(from.field).unwrap_or(0) & from.mask()) >> from.offset
    }

    pub(crate) fn write(&mut self, to: Subfield, value: u128) {
        self.set(to.field, value << to.offset, to.mask());
    }

    pub(crate) fn push(&mut self, from: Subfield) {
        let value = self.read(from);
        self.stack.push(value);
    }

    pub(crate) fn pop(&mut self, to: Subfield) {
        let value = self.stack.pop().expect("pop from an empty stack");
        self.write(to, value);
    }

    /// Whether it satisfies every requirement.
    pub fn matches(&self, matches: &Match) -> bool {
        matches.iter().all(|(field, value)| self.get(*field).is_some_and(|actual| value.matches(actual)))
    }

    /// The packet's bytes with its checksums made right.
    pub fn frame(&self) -> Vec<u8> {
        let mut out = self.bytes.clone();
        let (Some(IPV4), Some(header)) = (self.get(Field::EthType), self.ip_header_len()) else { return out };
        let total = usize::from(u16::from_be_bytes([out[L3 + 2], out[L3 + 3]]));
        let (Some(end), Some(start)) = (out.get(..L3 + total).map(<[u8]>::len), self.transport_at()) else {
            return out;
        };
        out[L3 + 10..L3 + 12].fill(0);
        let sum = checksum(0, &out[L3..L3 + header]);
        out[L3 + 10..L3 + 12].copy_from_slice(&sum.to_be_bytes());
        let more_fragments = out[L3 + 6] & 0x20 != 0;
        let at = match out[L3 + 9] {
            6 => start + 16,
            17 if out.get(start + 6..start + 8).is_some_and(|c| c != [0, 0]) => start + 6,
            _ => return out,
        };
        if more_fragments || at + 2 > end {
            return out;
        }
        let mut pseudo = out[L3 + 12..L3 + 20].to_vec();
        pseudo.extend([0, out[L3 + 9]]);
        pseudo.extend(u16::try_from(end - start).unwrap().to_be_bytes());
        out[at..at + 2].fill(0);
        let sum = checksum(!checksum(0, &pseudo), &out[start..end]);
        out[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        out
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The Internet checksum (RFC 1071) of `data`, on top of the sum of what came before.
pub(crate) fn checksum(before: u16, data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = u32::from(before) + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use fseg_model::Mac;
    use fseg_wire::{Frame, Payload};

    use super::*;
    use crate::frames;

    #[test]
    fn a_rewritten_packet_has_right_checksums() {
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let frame = frames::udp(a, b, [10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 1000, 53, b"odd");
        let mut packet = Packet::new(&frame, 1);
        packet.set(Field::Ipv4Dst, 0xc000_0201, u128::MAX);
        packet.set(Field::UdpDst, 5353, u128::MAX);
        let out = packet.frame();
        // The reader checks both checksums.
        let read = Frame::parse(&out).unwrap();
        let Payload::Ipv4(ip) = read.payload else { panic!("{read:?}") };
        assert_eq!(ip.destination.to_string(), "192.0.2.1");
        assert_eq!(Packet::new(&out, 1).get(Field::UdpDst), Some(5353));
        assert_eq!(Packet::new(&out, 1).get(Field::TcpDst), None);
    }
}
