//! Numbers, addresses and field values from text.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::field::{Field, Format};
use crate::port;
use crate::subfield::Subfield;
use crate::text::{CT_STATE, TCP_FLAGS, TUNNEL_FLAGS};

/// A row's text that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{culprit}`, at character {at}: {problem}")]
pub struct TextError {
    /// The part that is wrong.
    pub culprit: String,
    /// Where it begins, in characters from 1; 0 if it is not part of the text.
    pub at: usize,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

pub(super) type Result<T> = std::result::Result<T, TextError>;

/// An error about `culprit`. Its place is found at the end, when the whole text is known.
pub(super) fn wrong<T>(culprit: &str, problem: impl Into<String>) -> Result<T> {
    let mut culprit = culprit.to_owned();
    if let Some((end, _)) = culprit.char_indices().nth(200) {
        culprit.truncate(end);
    }
    Err(TextError { culprit, at: 0, problem: problem.into() })
}

impl TextError {
    /// Fills in the place of the culprit within `text`.
    pub(super) fn placed(mut self, text: &str) -> Self {
        if let Some(offset) = text.find(&self.culprit) {
            self.at = text.get(..offset).map_or(0, |before| before.chars().count() + 1);
        }
        self
    }
}

/// A number in decimal or, with `0x`, in hexadecimal.
pub(super) fn number(text: &str) -> Result<u128> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    };
    parsed.map_or_else(|| wrong(text, "a number was expected here: decimal, or hexadecimal with 0x"), Ok)
}

/// A number that fits.
pub(super) fn small<T: TryFrom<u128>>(text: &str) -> Result<T> {
    let value = number(text)?;
    T::try_from(value).or_else(|_| wrong(text, format!("at most {} bits fit here", 8 * size_of::<T>())))
}

/// `value/mask` in two parts.
pub(super) fn masked(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((value, mask)) => (value, Some(mask)),
        None => (text, None),
    }
}

/// A port number or a reserved port's name.
pub(super) fn port_number(text: &str) -> Result<u32> {
    if let Some((number, _)) = port::NAMES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)) {
        return Ok(*number);
    }
    match number(text) {
        // The reserved ports of OpenFlow 1.0 had 16 bits; ovs-ofctl takes them still.
        Ok(number @ 0xff00..=0xffff) => Ok(number as u32 | 0xffff_0000),
        Ok(number) => u32::try_from(number).or_else(|_| wrong(text, "a port number has 32 bits")),
        Err(_) => wrong(text, "a port number, or a name such as LOCAL, NORMAL, CONTROLLER, was expected here"),
    }
}

fn ethernet(text: &str) -> Result<u128> {
    let mut value = 0u128;
    let mut count = 0;
    for part in text.split(':') {
        let digits = matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(byte) = digits.then(|| u8::from_str_radix(part, 16).ok()).flatten() else { break };
        value = value << 8 | u128::from(byte);
        count += 1;
    }
    if count == 6 && text.split(':').count() == 6 {
        return Ok(value);
    }
    wrong(text, "an Ethernet address was expected here, such as 02:00:00:00:00:01")
}

fn address(field: Field, text: &str) -> Result<u128> {
    match field.format() {
        Format::Ipv4 => match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.to_bits().into()),
            Err(_) => wrong(text, "an IPv4 address was expected here, such as 10.0.0.1"),
        },
        _ => match text.parse::<Ipv6Addr>() {
            Ok(address) => Ok(address.to_bits()),
            Err(_) => wrong(text, "an IPv6 address was expected here, such as 2001:db8::1"),
        },
    }
}

/// `+new-est`, `new|trk`, or numbers.
fn flags(field: Field, text: &str, names: &[&str]) -> Result<(u128, u128)> {
    let bit = |name: &str| match names.iter().position(|known| *known == name) {
        Some(index) => Ok(1u128 << index),
        None => wrong(name, format!("no flag of {field}: these are {}", names.join(", "))),
    };
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        let (value, mask) = masked(text);
        return Ok((number(value)?, mask.map_or(Ok(u128::MAX), number)?));
    }
    if !text.starts_with(['+', '-']) {
        let value = text.split('|').try_fold(0, |value, name| Ok(value | bit(name)?))?;
        return Ok((value, u128::MAX));
    }
    let (mut value, mut mask) = (0, 0);
    let mut rest = text;
    while let Some(sign) = rest.chars().next() {
        let tail = rest.get(1..).unwrap_or_default();
        let end = tail.find(['+', '-']).unwrap_or(tail.len());
        let (name, next) = tail.split_at(end);
        let bit = bit(name)?;
        if mask & bit != 0 {
            return wrong(text, format!("{name} stands here twice"));
        }
        mask |= bit;
        value |= if sign == '+' { bit } else { 0 };
        rest = next;
    }
    Ok((value, mask))
}

/// The value of a field with its mask (all ones for none).
pub(super) fn field_value(field: Field, text: &str) -> Result<(u128, u128)> {
    let (value_text, mask_text) = masked(text);
    let (value, mask) = match field.format() {
        Format::Decimal | Format::Hexadecimal => (number(value_text)?, mask_text.map_or(Ok(u128::MAX), number)?),
        Format::Port => (port_number(value_text)?.into(), mask_text.map_or(Ok(u128::MAX), number)?),
        Format::Ethernet => (ethernet(value_text)?, mask_text.map_or(Ok(u128::MAX), ethernet)?),
        Format::Ipv4 | Format::Ipv6 => {
            let bits = u32::from(field.width());
            let mask = match mask_text {
                None => u128::MAX,
                Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => match prefix.parse::<u32>() {
                    Ok(0) => 0,
                    Ok(len) if len <= bits => u128::MAX << (bits - len),
                    _ => return wrong(prefix, format!("a prefix length is at most {bits} here")),
                },
                Some(mask) => address(field, mask)?,
            };
            (address(field, value_text)?, mask)
        }
        Format::CtState => flags(field, text, &CT_STATE)?,
        Format::TcpFlags => flags(field, text, &TCP_FLAGS)?,
        Format::TunnelFlags => flags(field, text, &TUNNEL_FLAGS)?,
        Format::Fragment => match text {
            "no" => (0, 3),
            "first" => (1, 3),
            "later" => (3, 3),
            "yes" => (1, 1),
            "not_later" => (0, 2),
            _ => return wrong(text, "one of no, yes, first, later, not_later was expected here"),
        },
    };
    let wide = value & !field.full_mask() != 0 && !(field == Field::InPort16 && value >= 0xffff_ff00);
    if wide || mask != u128::MAX && mask & !field.full_mask() & !high_bits(field) != 0 {
        return wrong(text, format!("{field} has only {} bits", field.width()));
    }
    Ok((value & mask & field.full_mask(), mask))
}

/// Bits beyond an address's width, which the shift of a prefix leaves set.
fn high_bits(field: Field) -> u128 {
    if matches!(field.format(), Format::Ipv4 | Format::Ipv6) { !field.full_mask() } else { 0 }
}

/// Other names under which fields are known: OXM's where ovs-ofctl writes NXM's, and older ones.
const ALIASES: [(&str, Field); 38] = [
    ("OXM_OF_ETH_DST", Field::EthDst),
    ("OXM_OF_ETH_SRC", Field::EthSrc),
    ("OXM_OF_ETH_TYPE", Field::EthType),
    ("OXM_OF_IP_ECN", Field::IpEcn),
    ("OXM_OF_IP_PROTO", Field::IpProto),
    ("OXM_OF_IPV4_SRC", Field::Ipv4Src),
    ("OXM_OF_IPV4_DST", Field::Ipv4Dst),
    ("OXM_OF_TCP_SRC", Field::TcpSrc),
    ("OXM_OF_TCP_DST", Field::TcpDst),
    ("OXM_OF_UDP_SRC", Field::UdpSrc),
    ("OXM_OF_UDP_DST", Field::UdpDst),
    ("OXM_OF_ICMPV4_TYPE", Field::Icmpv4Type),
    ("OXM_OF_ICMPV4_CODE", Field::Icmpv4Code),
    ("OXM_OF_ARP_OP", Field::ArpOp),
    ("OXM_OF_ARP_SPA", Field::ArpSpa),
    ("OXM_OF_ARP_TPA", Field::ArpTpa),
    ("OXM_OF_ARP_SHA", Field::ArpSha),
    ("OXM_OF_ARP_THA", Field::ArpTha),
    ("OXM_OF_IPV6_SRC", Field::Ipv6Src),
    ("OXM_OF_IPV6_DST", Field::Ipv6Dst),
    ("OXM_OF_IPV6_FLABEL", Field::Ipv6Flabel),
    ("OXM_OF_ICMPV6_TYPE", Field::Icmpv6Type),
    ("OXM_OF_ICMPV6_CODE", Field::Icmpv6Code),
    ("OXM_OF_IPV6_ND_TARGET", Field::Ipv6NdTarget),
    ("OXM_OF_IPV6_ND_SLL", Field::Ipv6NdSll),
    ("OXM_OF_IPV6_ND_TLL", Field::Ipv6NdTll),
    ("OXM_OF_TUNNEL_ID", Field::TunnelId),
    ("OXM_OF_TCP_FLAGS", Field::TcpFlags),
    ("OXM_OF_ACTSET_OUTPUT", Field::ActsetOutput),
    ("ip_proto", Field::IpProto),
    ("ip_ecn", Field::IpEcn),
    ("ip_ttl", Field::IpTtl),
    ("ipv4_src", Field::Ipv4Src),
    ("ipv4_dst", Field::Ipv4Dst),
    ("tunnel_id", Field::TunnelId),
    ("icmpv4_type", Field::Icmpv4Type),
    ("icmpv4_code", Field::Icmpv4Code),
    ("in_port", Field::InPort),
];

/// The field of a name in a match, in `set_field`, or in a subfield. Names that several protocols share are not known
/// here.
pub(super) fn field_named(name: &str) -> Option<Field> {
    if let Some((_, field)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Some(*field);
    }
    let shared = |field: &Field| Field::NAMED.iter().any(|other| other != field && other.name() == field.name());
    let named = |field: &&Field| {
        field.full_name() == name || field.reference() == name || field.name() == name && !shared(field)
    };
    Field::NAMED.iter().find(named).copied().or_else(|| numbered(name))
}

/// A name before a number, how many numbers there are, and the field they make.
type Stem = (&'static str, u8, fn(u8) -> Field);

fn numbered(name: &str) -> Option<Field> {
    const STEMS: [Stem; 8] = [
        ("reg", 16, Field::Reg),
        ("xreg", 8, Field::XReg),
        ("xxreg", 4, Field::XxReg),
        ("tun_metadata", 64, Field::TunMetadata),
        ("NXM_NX_REG", 16, Field::Reg),
        ("OXM_OF_PKT_REG", 8, Field::XReg),
        ("NXM_NX_XXREG", 4, Field::XxReg),
        ("NXM_NX_TUN_METADATA", 64, Field::TunMetadata),
    ];
    STEMS.iter().find_map(|(stem, count, make)| {
        let digits = name.strip_prefix(stem).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        let index: u8 = digits.parse().ok()?;
        (index < *count).then(|| make(index))
    })
}

/// `NXM_NX_REG0[]`, `NXM_NX_REG0[5]`, `NXM_NX_REG0[0..15]`; the bare name means the whole field.
pub(super) fn subfield(text: &str) -> Result<Subfield> {
    let (name, bits) = match text.split_once('[') {
        Some((name, rest)) => match rest.strip_suffix(']') {
            Some(bits) => (name, bits),
            None => return wrong(text, "the closing ] is missing"),
        },
        None => (text, ""),
    };
    let Some(field) = field_named(name) else {
        return wrong(name, "no field of this name; a subfield looks like NXM_NX_REG0[0..15]");
    };
    let whole = Subfield::whole(field);
    let (first, last) = match bits.split_once("..") {
        None if bits.is_empty() => return Ok(whole),
        None => (small::<u16>(bits)?, small::<u16>(bits)?),
        Some((first, last)) => (small::<u16>(first)?, small::<u16>(last)?),
    };
    if first > last || last >= whole.bits {
        return wrong(text, format!("{name} has the bits 0 to {}", whole.bits - 1));
    }
    Ok(Subfield::new(field, first, last - first + 1))
}
