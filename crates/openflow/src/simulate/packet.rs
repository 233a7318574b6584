//! A packet on its way through tables: its headers, read and written by field, and what travels with it.
//!
//! Fields mean what ovs-fields(7) says. Two things differ from the plain bytes: VLAN tags are kept apart, so that the
//! Ethernet type is that of what they wrap; and a field whose prerequisites hold but whose bytes are not there (ports of a
//! later fragment) reads 0, as it does in Open vSwitch.

use std::collections::BTreeMap;

use crate::field::Field;
use crate::port;
use crate::simulate::checksum::mend;
use crate::subfield::Subfield;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
pub(super) const IPV6: u16 = 0x86dd;
/// Ethernet type of a VLAN tag (IEEE 802.1Q).
pub(super) const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
/// `OFPVID_PRESENT`: a tag is there.
const TAGGED: u16 = 0x1000;
/// First octet behind an untagged Ethernet header.
pub(super) const ETHERNET: usize = 14;
/// Tags that are read as tags; what is behind them is payload. Open vSwitch's default (`vlan-limit`).
const READ_TAGS: usize = 1;
/// `OFPP_UNSET`: no output in the action set yet.
const UNSET: u128 = 0xffff_fff7;

/// A VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// Its Ethernet type.
    kind: u16,
    /// Priority and id, with [`TAGGED`] set.
    control: u16,
    /// The bit of the frame in whose place [`TAGGED`] is kept.
    drop_eligible: bool,
}

/// What an IP header says about the rest of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    /// First octet of the header.
    pub(super) at: usize,
    /// 4 or 6.
    pub(super) version: u8,
    /// First octet behind the header and its extensions.
    pub(super) payload: usize,
    /// End of the datagram; padding follows.
    pub(super) end: usize,
    /// Protocol of the payload.
    pub(super) protocol: u8,
    /// Bit 0: a fragment; bit 1: a later one.
    pub(super) fragment: u8,
}

/// Where a field is: `bits` bits, `shift` bits from the end of `len` octets at `at`.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    len: usize,
    shift: u32,
    bits: u32,
}

/// A packet with metadata, registers, connection state and stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The frame without the tags that were read.
    bytes: Vec<u8>,
    tags: Vec<Tag>,
    registers: [u32; 16],
    beside: BTreeMap<Field, u128>,
    /// Fields that were written although the packet has no bytes for them.
    absent: BTreeMap<Field, u128>,
    stack: Vec<(u128, u16)>,
    written: bool,
}

impl Packet {
    /// A frame that came in by a port. One shorter than an Ethernet header is filled up with zeros.
    pub fn new(frame: &[u8], in_port: u32) -> Self {
        let mut bytes = frame.to_vec();
        if bytes.len() < ETHERNET {
            bytes.resize(ETHERNET, 0);
        }
        let mut tags = Vec::new();
        while let (true, Some([a, b, c, d])) = (tags.len() < READ_TAGS, bytes.get(12..16)) {
            let (kind, control) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            // A tag with nothing behind it is none.
            if !matches!(kind, VLAN | SERVICE_VLAN) || bytes.len() < ETHERNET + 4 {
                break;
            }
            tags.push(Tag { kind, control: control | TAGGED, drop_eligible: control & TAGGED != 0 });
            bytes.drain(12..16);
        }
        let beside = BTreeMap::from([(Field::InPort, in_port.into()), (Field::ActsetOutput, UNSET)]);
        Packet { bytes, tags, registers: [0; 16], beside, absent: BTreeMap::new(), stack: Vec::new(), written: false }
    }

    /// The port it came in by.
    pub fn in_port(&self) -> u32 {
        self.value(Field::InPort) as u32
    }

    /// Length of the frame in octets.
    pub fn len(&self) -> usize {
        self.bytes.len() + 4 * self.tags.len()
    }

    /// Never: a frame has at least an Ethernet header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The frame. Where header fields were written, the checksums of IPv4, TCP, UDP and ICMP are made right.
    pub fn frame(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if let (true, Some(network)) = (self.written, self.network()) {
            mend(&mut bytes, network);
        }
        let mut at = 12;
        for tag in &self.tags {
            let control = tag.control & !TAGGED | if tag.drop_eligible { TAGGED } else { 0 };
            let [[a, b], [c, d]] = [tag.kind.to_be_bytes(), control.to_be_bytes()];
            bytes.splice(at..at, [a, b, c, d]);
            at += 4;
        }
        bytes
    }

    /// The same packet with right checksums, whatever they were.
    #[must_use]
    pub fn with_right_checksums(mut self) -> Self {
        self.written = true;
        self
    }

    fn number(&self, at: usize, len: usize) -> Option<u128> {
        let end = at.checked_add(len)?;
        Some(self.bytes.get(at..end)?.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    fn word(&self, at: usize) -> Option<u16> {
        self.number(at, 2).map(|word| word as u16)
    }

    /// The Ethernet type, and where the payload begins.
    fn payload(&self) -> (u16, usize) {
        let kind = self.word(12).unwrap_or(0);
        if kind >= 0x600 {
            return (kind, ETHERNET);
        }
        // IEEE 802.2 with SNAP has a type behind its header; without, the type is 0x05ff (ovs-fields(7), "eth_type").
        match self.bytes.get(ETHERNET..ETHERNET + 8) {
            Some([0xaa, 0xaa, 3, 0, 0, 0, a, b]) if u16::from_be_bytes([*a, *b]) >= 0x600 => {
                (u16::from_be_bytes([*a, *b]), ETHERNET + 8)
            }
            _ => (0x05ff, ETHERNET),
        }
    }

    /// What the IP header says; `None` without a whole one.
    pub(super) fn network(&self) -> Option<Network> {
        match self.payload() {
            (IPV4, at) => self.network_4(at),
            (IPV6, at) => self.network_6(at),
            _ => None,
        }
    }

    fn network_4(&self, at: usize) -> Option<Network> {
        let header = usize::from(self.bytes.get(at)? & 15) * 4;
        let total = usize::from(self.word(at + 2)?);
        if header < 20 || total < header || self.bytes.len() < at + total {
            return None;
        }
        let (flags, protocol) = (self.word(at + 6)?, *self.bytes.get(at + 9)?);
        let later = flags & 0x1fff != 0;
        let fragment = u8::from(later || flags & 0x2000 != 0) | u8::from(later) << 1;
        Some(Network { at, version: 4, payload: at + header, end: at + total, protocol, fragment })
    }

    fn network_6(&self, at: usize) -> Option<Network> {
        let end = at + 40 + usize::from(self.word(at + 4)?);
        if self.bytes.len() < end {
            return None;
        }
        let (mut protocol, mut payload, mut fragment) = (*self.bytes.get(at + 6)?, at + 40, 0);
        loop {
            let next = *self.bytes.get(payload).unwrap_or(&0);
            let length = usize::from(*self.bytes.get(payload + 1).unwrap_or(&0));
            payload += match protocol {
                // Hop-by-hop, routing, destination options (RFC 8200, 4.1).
                0 | 43 | 60 => 8 + 8 * length,
                // Authentication (RFC 4302, 2.2).
                51 => 8 + 4 * length,
                44 => {
                    let offset = self.word(payload + 2)?;
                    if offset & 0xfff8 != 0 {
                        return Some(Network { at, version: 6, payload: payload + 8, end, protocol, fragment: 3 });
                    }
                    fragment = u8::from(offset != 0);
                    8
                }
                _ => return Some(Network { at, version: 6, payload, end, protocol, fragment }),
            };
            if payload > end {
                return None;
            }
            protocol = next;
        }
    }

    /// First octet of the transport header and the end of the datagram; `None` where there is none, as in later fragments.
    pub(super) fn transport(&self) -> Option<(Network, usize)> {
        let network = self.network().filter(|network| network.fragment & 2 == 0)?;
        // Open vSwitch reads ports only where the whole header is there.
        let shortest = match network.protocol {
            6 => 20,
            17 | 1 => 8,
            132 => 12,
            58 => 4,
            _ => 0,
        };
        (network.payload + shortest <= network.end).then_some((network, network.payload))
    }

    /// Offset of the transport header in the frame without its VLAN tags; `None` for later fragments and what has none.
    pub fn transport_at(&self) -> Option<usize> {
        self.transport().map(|(_, at)| at)
    }

    /// The frame without its VLAN tags, as it is now, checksums untouched.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn place(&self, field: Field) -> Option<Place> {
        let octets = |at: usize, len: usize| Some(Place { at, len, shift: 0, bits: len as u32 * 8 });
        let (kind, payload) = self.payload();
        let arp = |at: usize, len: usize| {
            // Ethernet and IPv4 addresses (RFC 826).
            let whole = self.bytes.get(payload..payload + 6) == Some(&[0, 1, 8, 0, 6, 4][..])
                && self.bytes.len() >= payload + 28
                && matches!(kind, ARP | RARP);
            if whole { octets(payload + at, len) } else { None }
        };
        let header = |version: u8, at: usize, len: usize| {
            self.network().filter(|network| network.version == version).and_then(|network| octets(network.at + at, len))
        };
        let either = |four: Place, six: Place| {
            let network = self.network()?;
            let place = if network.version == 4 { four } else { six };
            Some(Place { at: network.at + place.at, ..place })
        };
        let transport = |at: usize, len: usize| self.transport().and_then(|(_, start)| octets(start + at, len));
        match field {
            Field::EthDst => octets(0, 6),
            Field::EthSrc => octets(6, 6),
            Field::ArpOp => arp(6, 2),
            Field::ArpSha => arp(8, 6),
            Field::ArpSpa => arp(14, 4),
            Field::ArpTha => arp(18, 6),
            Field::ArpTpa => arp(24, 4),
            Field::IpDscp => {
                either(Place { at: 1, len: 1, shift: 2, bits: 6 }, Place { at: 0, len: 4, shift: 22, bits: 6 })
            }
            Field::IpEcn => {
                either(Place { at: 1, len: 1, shift: 0, bits: 2 }, Place { at: 0, len: 4, shift: 20, bits: 2 })
            }
            Field::IpTtl => {
                either(Place { at: 8, len: 1, shift: 0, bits: 8 }, Place { at: 7, len: 1, shift: 0, bits: 8 })
            }
            Field::Ipv4Src => header(4, 12, 4),
            Field::Ipv4Dst => header(4, 16, 4),
            Field::Ipv6Src => header(6, 8, 16),
            Field::Ipv6Dst => header(6, 24, 16),
            Field::Ipv6Flabel => header(6, 0, 4).map(|place| Place { bits: 20, ..place }),
            Field::TcpSrc | Field::UdpSrc | Field::SctpSrc => transport(0, 2),
            Field::TcpDst | Field::UdpDst | Field::SctpDst => transport(2, 2),
            Field::TcpFlags => transport(12, 2).map(|place| Place { bits: 12, ..place }),
            Field::Icmpv4Type | Field::Icmpv6Type => transport(0, 1),
            Field::Icmpv4Code | Field::Icmpv6Code => transport(1, 1),
            Field::Ipv6NdTarget => transport(8, 16),
            Field::Ipv6NdSll => self.discovery_option(1),
            Field::Ipv6NdTll => self.discovery_option(2),
            Field::MplsLabel => octets(payload, 4).map(|place| Place { shift: 12, bits: 20, ..place }),
            Field::MplsTc => octets(payload, 4).map(|place| Place { shift: 9, bits: 3, ..place }),
            Field::MplsBos => octets(payload, 4).map(|place| Place { shift: 8, bits: 1, ..place }),
            Field::MplsTtl => octets(payload, 4).map(|place| Place { bits: 8, ..place }),
            _ => None,
        }
    }

    /// A link-layer address option of neighbour discovery (RFC 4861, 4.6.1).
    fn discovery_option(&self, wanted: u8) -> Option<Place> {
        let (network, start) = self.transport()?;
        let mut at = start + 24;
        while at + 8 <= network.end {
            let (kind, length) = (*self.bytes.get(at)?, usize::from(*self.bytes.get(at + 1)?) * 8);
            if length == 0 {
                return None;
            }
            if kind == wanted && length == 8 {
                return Some(Place { at: at + 2, len: 6, shift: 0, bits: 48 });
            }
            at += length;
        }
        None
    }

    /// Whether the packet has what a field requires (ovs-fields(7), "Prerequisites").
    pub fn has(&self, field: Field) -> bool {
        field.prerequisites().iter().all(|(required, values)| match required {
            Field::CtState => {
                const TRACKED_INVALID: u128 = 0x30;
                self.value(Field::CtState) & TRACKED_INVALID == 0x20
            }
            Field::VlanVid => !self.tags.is_empty(),
            _ => values.is_empty() || values.contains(&self.value(*required)),
        })
    }

    /// The value of a field; `None` when the packet does not have it.
    pub fn get(&self, field: Field) -> Option<u128> {
        let register = |number: usize| u128::from(*self.registers.get(number).unwrap_or(&0));
        let joined = |first: usize, count: usize| (first..first + count).fold(0, |all, n| all << 32 | register(n));
        match field {
            Field::Reg(n) => return Some(register(usize::from(n))),
            Field::XReg(n) => return Some(joined(2 * usize::from(n), 2)),
            Field::XxReg(n) => return Some(joined(4 * usize::from(n), 4)),
            Field::InPort16 => return Some(self.value(Field::InPort) & 0xffff),
            Field::InPhyPort => return self.get(Field::InPort),
            _ if travels_beside(field) => return Some(self.beside.get(&field).copied().unwrap_or(0)),
            _ => {}
        }
        if !self.has(field) {
            return None;
        }
        let control = self.tags.first().map_or(0, |tag| tag.control);
        Some(match field {
            Field::EthType => self.payload().0.into(),
            Field::VlanVid => (control & 0x1fff).into(),
            Field::VlanPcp => (control >> 13).into(),
            Field::VlanTci => control.into(),
            Field::IpProto => self.network().map_or(0, |network| network.protocol.into()),
            Field::IpFrag => self.network().map_or(0, |network| network.fragment.into()),
            Field::IpTos => self.value(Field::IpDscp) << 2,
            // Only operations of one octet are known (ovs-fields(7), "arp_op").
            Field::ArpOp => self.bits_of(field).filter(|operation| *operation < 256).unwrap_or(0),
            _ => self.bits_of(field).or_else(|| self.absent.get(&field).copied()).unwrap_or(0),
        })
    }

    fn bits_of(&self, field: Field) -> Option<u128> {
        let place = self.place(field)?;
        Some(self.number(place.at, place.len)? >> place.shift & ((1 << place.bits.min(127)) - 1) | self.top(place))
    }

    /// The highest bit of a field of 128 bits, which the mask above leaves out.
    fn top(&self, place: Place) -> u128 {
        if place.bits < 128 { 0 } else { self.number(place.at, place.len).unwrap_or(0) & 1 << 127 }
    }

    /// The value of a field as matches see it: 0 when the packet does not have it, and for ports and ICMP's type and code
    /// of every fragment, even of the first (fragment handling `normal`, ovs-fields(7), "Fragments").
    pub fn seen(&self, field: Field) -> u128 {
        let of_transport = matches!(
            field,
            Field::TcpSrc
                | Field::TcpDst
                | Field::UdpSrc
                | Field::UdpDst
                | Field::SctpSrc
                | Field::SctpDst
                | Field::Icmpv4Type
                | Field::Icmpv4Code
                | Field::Icmpv6Type
                | Field::Icmpv6Code
        );
        if of_transport && self.network().is_some_and(|network| network.fragment != 0) {
            return 0;
        }
        self.value(field)
    }

    /// The value of a field, 0 when the packet does not have it.
    pub fn value(&self, field: Field) -> u128 {
        self.get(field).unwrap_or(0)
    }

    /// Writes the bits of `mask`; `false`, and nothing changes, when the packet does not have the field.
    pub fn set(&mut self, field: Field, value: u128, mask: u128) -> bool {
        let Some(old) = self.get(field) else { return false };
        let new = (old & !mask | value & mask) & field.full_mask();
        match field {
            Field::Reg(n) => self.set_registers(usize::from(n), 1, new),
            Field::XReg(n) => self.set_registers(2 * usize::from(n), 2, new),
            Field::XxReg(n) => self.set_registers(4 * usize::from(n), 4, new),
            Field::InPort16 | Field::InPhyPort => {
                let port = crate::text::widen_port(new as u16);
                self.beside.insert(Field::InPort, port.into());
            }
            _ if travels_beside(field) => {
                self.beside.insert(field, new);
            }
            Field::VlanVid | Field::VlanTci | Field::VlanPcp => self.set_tag(field, new as u16),
            Field::IpTos => return self.set(Field::IpDscp, new >> 2, u128::MAX),
            _ => self.write(field, new),
        }
        true
    }

    fn set_registers(&mut self, first: usize, count: usize, value: u128) {
        for (place, register) in self.registers.iter_mut().skip(first).take(count).enumerate() {
            *register = (value >> (32 * (count - 1 - place))) as u32;
        }
    }

    fn set_tag(&mut self, field: Field, value: u16) {
        let old = self.tags.first().map_or(0, |tag| tag.control);
        let control = match field {
            Field::VlanVid => old & 0xe000 | value & 0x1fff,
            Field::VlanPcp => old & 0x1fff | value << 13 | TAGGED,
            _ => value,
        };
        if control & TAGGED == 0 {
            self.pop_tag();
        } else if let Some(tag) = self.tags.first_mut() {
            tag.control = control;
        } else {
            self.tags.push(Tag { kind: VLAN, control, drop_eligible: false });
        }
    }

    fn write(&mut self, field: Field, value: u128) {
        if matches!(field, Field::EthType | Field::IpProto | Field::IpFrag) {
            return; // what the packet is cannot be written
        }
        let Some(place) = self.place(field) else {
            self.absent.insert(field, value);
            return;
        };
        self.written = true;
        let ones = if place.bits >= 128 { u128::MAX } else { (1 << place.bits) - 1 };
        let old = self.number(place.at, place.len).unwrap_or(0);
        let new = old & !(ones << place.shift) | (value & ones) << place.shift;
        let octets = new.to_be_bytes();
        let (Some(to), Some(from)) = (self.bytes.get_mut(place.at..place.at + place.len), octets.get(16 - place.len..))
        else {
            return;
        };
        to.copy_from_slice(from);
    }

    /// Pushes a VLAN tag of this Ethernet type, with id and priority 0.
    pub fn push_tag(&mut self, kind: u16) {
        self.tags.insert(0, Tag { kind, control: TAGGED, drop_eligible: false });
    }

    /// Removes the outer VLAN tag.
    pub fn pop_tag(&mut self) {
        if !self.tags.is_empty() {
            self.tags.remove(0);
        }
    }

    /// The bits of a subfield, right-justified.
    pub fn read(&self, from: Subfield) -> u128 {
        (self.value(from.field) & from.mask()).checked_shr(from.offset.into()).unwrap_or(0)
    }

    /// Writes the bits of a subfield; `false` when the packet does not have the field.
    pub fn write_bits(&mut self, to: Subfield, value: u128) -> bool {
        self.set(to.field, value.checked_shl(to.offset.into()).unwrap_or(0), to.mask())
    }

    /// Pushes the bits of a subfield on the packet's stack.
    pub(super) fn push(&mut self, from: Subfield) {
        let value = self.read(from);
        self.stack.push((value, from.bits));
    }

    /// What was pushed last; `None` when nothing is there.
    pub(super) fn pop(&mut self) -> Option<u128> {
        self.stack.pop().map(|(value, _)| value)
    }

    /// How many values are on the stack.
    pub(super) fn stacked(&self) -> usize {
        self.stack.len()
    }

    /// Makes it a packet of no known connection.
    pub(super) fn forget_connection(&mut self) {
        self.beside.retain(|field, _| !is_of_connection(*field));
    }

    /// What travels with the packet and is not 0: registers, metadata, connection state. Not the ingress port.
    pub fn luggage(&self) -> Vec<(Field, u128)> {
        let registers = self.registers.iter().enumerate().map(|(n, value)| (Field::Reg(n as u8), u128::from(*value)));
        let usual = |field: &Field| matches!(field, Field::InPort | Field::ActsetOutput);
        let beside = self.beside.iter().filter(|(field, _)| !usual(field)).map(|(field, value)| (*field, *value));
        beside.chain(registers).filter(|(_, value)| *value != 0).collect()
    }

    /// Whether the packet may leave by that port: a packet does not leave by the port it came in by unless that is said
    /// by name (OpenFlow 1.3.5, section 7.2.5).
    pub(super) fn may_leave_by(&self, port: u32) -> bool {
        port != self.in_port() && port != port::ANY
    }
}

fn is_of_connection(field: Field) -> bool {
    matches!(
        field,
        Field::CtState
            | Field::CtZone
            | Field::CtMark
            | Field::CtLabel
            | Field::CtNwProto
            | Field::CtNwSrc
            | Field::CtNwDst
            | Field::CtIpv6Src
            | Field::CtIpv6Dst
            | Field::CtTpSrc
            | Field::CtTpDst
    )
}

/// Fields that are not in the packet's bytes.
fn travels_beside(field: Field) -> bool {
    is_of_connection(field)
        || matches!(
            field,
            Field::InPort
                | Field::Metadata
                | Field::ConjId
                | Field::TunnelId
                | Field::TunIpv4Src
                | Field::TunIpv4Dst
                | Field::TunIpv6Src
                | Field::TunIpv6Dst
                | Field::TunFlags
                | Field::TunGbpId
                | Field::TunGbpFlags
                | Field::TunMetadata(_)
                | Field::PktMark
                | Field::DpHash
                | Field::RecircId
                | Field::ActsetOutput
        )
}
