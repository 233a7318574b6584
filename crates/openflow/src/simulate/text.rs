//! Packets from text: a frame in hexadecimal, or field values in ovs-ofctl's spelling.

use crate::field::Field;
use crate::oxm::Match;
use crate::parse_match;
use crate::simulate::connection::{ICMP, ICMP6, SCTP, TCP, UDP};
use crate::simulate::packet::{ARP, IPV4, IPV6, Packet, VLAN};
use crate::text::TextError;

/// Longest frame that is read, in octets.
const LONGEST: usize = 0x1_0000;

/// A text that is no packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// It is no text of fields.
    #[error("{0}")]
    Text(#[from] TextError),
    /// Hexadecimal digits that are no frame.
    #[error("{0} hexadecimal digits are no frame: an even number from 28 to {max} was expected", max = 2 * LONGEST)]
    Digits(usize),
    /// A field with a mask: a packet has one value.
    #[error("{0} has a mask: a packet has one value, write {0}=VALUE")]
    Masked(Field),
    /// A field whose prerequisites are missing.
    #[error("{0} needs {1} as well, such as the protocol in front: tcp, udp, icmp, arp")]
    Prerequisite(Field, Field),
    /// A field that no packet can be given.
    #[error("a packet cannot be given {0}")]
    NotWritable(Field),
}

impl Packet {
    /// A frame in hexadecimal (blanks, colons and dots are passed over), or fields as in `in_port=1,tcp,nw_src=10.0.0.1,tp_dst=80`.
    ///
    /// What the text does not say is 0, but for a time to live of 64 and TCP's SYN flag: the first packet of a connection.
    pub fn from_text(text: &str) -> Result<Self, PacketError> {
        let text = text.trim();
        let (port, rest) =
            match text.strip_prefix("in_port=").map(|rest| rest.split_once([',', ' ']).unwrap_or((rest, ""))) {
                Some((port, rest)) if is_hex(rest) => (parse_match(&format!("in_port={port}"))?, rest),
                _ => (Match::new(), text),
            };
        if !is_hex(rest) {
            return Self::from_match(&parse_match(text)?);
        }
        let digits: Vec<u8> = rest.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        if !digits.len().is_multiple_of(2) || digits.len() < 28 || digits.len() > 2 * LONGEST {
            return Err(PacketError::Digits(digits.len()));
        }
        let octets: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect();
        Ok(Packet::new(&octets, port.exact(Field::InPort).unwrap_or(0) as u32))
    }

    /// A packet with these fields, each of one value.
    pub fn from_match(fields: &Match) -> Result<Self, PacketError> {
        if let Some((field, required)) = fields.missing_prerequisite().filter(|(field, _)| *field != Field::VlanPcp) {
            return Err(PacketError::Prerequisite(field, required));
        }
        let any_tag = |field: Field, mask: u128| field == Field::VlanVid && mask == 0x1000;
        let masked =
            |(field, value): &&(Field, crate::oxm::Value)| value.mask.is_some_and(|mask| !any_tag(*field, mask));
        if let Some((field, _)) = fields.iter().find(|field| masked(field) && !is_flags(field.0)) {
            return Err(PacketError::Masked(*field));
        }
        let exact = |field: Field| fields.exact(field).unwrap_or(0);
        let mut packet = Packet::new(&frame(fields), exact(Field::InPort) as u32);
        for (field, value) in fields.iter() {
            match field {
                Field::InPort | Field::EthType | Field::IpProto | Field::IpFrag => {}
                Field::VlanVid if value.value & 0x1000 == 0 => {}
                _ => {
                    if !packet.set(*field, value.value, u128::MAX) || packet.value(*field) != value.value {
                        return Err(PacketError::NotWritable(*field));
                    }
                }
            }
        }
        Ok(packet)
    }
}

/// Flags are written with signs, which makes a mask; those without are 0.
fn is_flags(field: Field) -> bool {
    matches!(field, Field::TcpFlags | Field::CtState | Field::TunFlags | Field::IpFrag)
}

fn is_hex(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_hexdigit() || matches!(c, ' ' | ':' | '.' | '\n');
    text.chars().filter(char::is_ascii_hexdigit).count() >= 12 && text.chars().all(plain)
}

/// The headers that these fields need, with zeros in them.
fn frame(fields: &Match) -> Vec<u8> {
    let exact = |field: Field| fields.exact(field).unwrap_or(0);
    let kind = exact(Field::EthType) as u16;
    let protocol = exact(Field::IpProto) as u8;
    let fragment = fields.get(Field::IpFrag).map_or(0, |value| value.value as u8);
    let mut out = vec![0; 12];
    if fields.get(Field::VlanVid).is_some_and(|vlan| vlan.value & 0x1000 != 0) {
        out.extend(VLAN.to_be_bytes());
        out.extend([0, 0]);
    }
    out.extend(kind.to_be_bytes());
    let transport = if fragment & 2 != 0 { vec![0; 8] } else { transport(fields, protocol) };
    let length = transport.len() as u16;
    match kind {
        IPV4 => {
            out.extend([0x45, 0]);
            out.extend((20 + length).to_be_bytes());
            // A first fragment has more to come; a later one has an offset.
            let offset: u16 = if fragment & 2 != 0 { 185 } else { u16::from(fragment & 1) << 13 };
            out.extend([0, 0]);
            out.extend(offset.to_be_bytes());
            out.extend([64, protocol]);
            out.resize(out.len() + 10, 0);
        }
        IPV6 => {
            out.extend([0x60, 0, 0, 0]);
            out.extend(length.to_be_bytes());
            out.extend([protocol, 64]);
            out.resize(out.len() + 32, 0);
        }
        ARP | 0x8035 => {
            out.extend([0, 1, 8, 0, 6, 4]);
            out.resize(out.len() + 22, 0);
        }
        _ => out.resize(out.len() + 46, 0),
    }
    if matches!(kind, IPV4 | IPV6) {
        out.extend(transport);
    }
    out
}

fn transport(fields: &Match, protocol: u8) -> Vec<u8> {
    match protocol {
        TCP => {
            let mut out = vec![0; 20];
            let flags = fields.get(Field::TcpFlags).map_or(2, |value| value.value as u8);
            if let Some(place) = out.get_mut(12..14) {
                place.copy_from_slice(&[0x50, flags]);
            }
            out
        }
        UDP => vec![0, 0, 0, 0, 0, 8, 0xff, 0xff],
        SCTP => vec![0; 12],
        ICMP => vec![0; 8],
        // Neighbour discovery has an address and an option (RFC 4861, 4.3).
        ICMP6 => {
            let mut out = vec![0; 32];
            if let (Some(place), Some(kind)) = (out.get_mut(24..26), fields.exact(Field::Icmpv6Type)) {
                place.copy_from_slice(&[if kind == 136 { 2 } else { 1 }, 1]);
            }
            out
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_bytes_make_the_same_packet() {
        let text = "in_port=3,tcp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_vlan=5,nw_src=10.0.0.1,\
                    nw_dst=10.0.0.2,tp_src=40000,tp_dst=80";
        let packet = Packet::from_text(text).unwrap();
        let hex: String = packet.frame().iter().map(|byte| format!("{byte:02x}")).collect();
        let again = Packet::from_text(&format!("in_port=3,{hex}")).unwrap();
        for field in [Field::InPort, Field::EthSrc, Field::VlanVid, Field::Ipv4Dst, Field::TcpDst, Field::TcpFlags] {
            assert_eq!(packet.get(field), again.get(field), "{field}");
        }
        assert_eq!(again.get(Field::TcpDst), Some(80));
        assert_eq!(again.get(Field::VlanVid), Some(0x1005));
        assert_eq!(again.get(Field::UdpDst), None);
        assert_eq!(again.frame(), packet.frame(), "what is not touched stays as it is");
    }

    #[test]
    fn every_protocol_has_room_for_its_fields() {
        for text in [
            "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_sha=02:00:00:00:00:01",
            "icmp,icmp_type=8,icmp_code=0,nw_ttl=7,nw_tos=32",
            "udp6,ipv6_src=2001:db8::1,tp_dst=53,ipv6_label=0x5",
            "icmp6,icmp_type=135,nd_target=fe80::1,nd_sll=02:00:00:00:00:09",
            "sctp,tp_dst=5",
            "udp,nw_frag=later",
            "dl_type=0x88cc,metadata=7,reg3=9",
            "ct_state=+trk+est,ip,ct_mark=4",
        ] {
            let fields = parse_match(text).unwrap();
            let packet = Packet::from_match(&fields).unwrap();
            for (field, value) in fields.iter() {
                assert!(value.matches(packet.value(*field)), "{text}: {field} is {:#x}", packet.value(*field));
            }
        }
    }

    #[test]
    fn wrong_texts_are_named() {
        let error = |text| Packet::from_text(text).unwrap_err().to_string();
        assert!(error("tcp,nw_src=10.0.0.0/8").starts_with("nw_src has a mask"));
        assert!(error("tcp,nw_sorc=1").contains("no field of this name"));
        assert!(error("ip,tcp_dst=80").contains("needs nw_proto"));
        assert!(error("0200000000010").contains("13 hexadecimal digits"), "{}", error("0200000000010"));
    }
}
