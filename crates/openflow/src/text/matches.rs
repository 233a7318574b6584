//! Matches as text, in the order and with the shorthands of ovs-ofctl.

use std::fmt;

use crate::field::{Field, Format};
use crate::oxm::{Match, UnnamedField, Value};
use crate::subfield::Subfield;
use crate::text::{Dotted, FieldValue, Hex};

/// Fields in the order in which they are written; those that are not here follow in their own order.
const BEFORE_PROTOCOL: [Field; 16] = [
    Field::PktMark,
    Field::RecircId,
    Field::DpHash,
    Field::ConjId,
    Field::ActsetOutput,
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtNwSrc,
    Field::CtNwDst,
    Field::CtIpv6Src,
    Field::CtIpv6Dst,
    Field::CtNwProto,
    Field::CtTpSrc,
    Field::CtTpDst,
];
const TUNNEL: [Field; 7] = [
    Field::TunnelId,
    Field::TunIpv4Src,
    Field::TunIpv4Dst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunGbpId,
    Field::TunGbpFlags,
];
const LINK: [Field; 9] = [
    Field::Metadata,
    Field::InPort,
    Field::InPhyPort,
    Field::InPort16,
    Field::VlanVid,
    Field::VlanPcp,
    Field::VlanTci,
    Field::EthSrc,
    Field::EthDst,
];
const NETWORK: [Field; 37] = [
    Field::EthType,
    Field::Ipv6Src,
    Field::Ipv6Dst,
    Field::Ipv6Flabel,
    Field::Ipv4Src,
    Field::Ipv4Dst,
    Field::ArpSpa,
    Field::ArpTpa,
    Field::IpProto,
    Field::ArpOp,
    Field::ArpSha,
    Field::ArpTha,
    Field::IpTos,
    Field::IpDscp,
    Field::IpEcn,
    Field::IpTtl,
    Field::MplsLabel,
    Field::MplsTc,
    Field::MplsTtl,
    Field::MplsBos,
    Field::IpFrag,
    Field::Icmpv4Type,
    Field::Icmpv4Code,
    Field::Icmpv6Type,
    Field::Icmpv6Code,
    Field::Ipv6NdTarget,
    Field::Ipv6NdSll,
    Field::Ipv6NdTll,
    Field::TcpSrc,
    Field::TcpDst,
    Field::UdpSrc,
    Field::UdpDst,
    Field::SctpSrc,
    Field::SctpDst,
    Field::TcpFlags,
    Field::PbbIsid,
    Field::Ipv6Exthdr,
];

/// Shorthands by Ethernet type and IP protocol: the protocol is `None` for the type alone.
pub(crate) const PROTOCOLS: [(&str, u128, Option<u128>); 14] = [
    ("tcp", 0x0800, Some(6)),
    ("udp", 0x0800, Some(17)),
    ("icmp", 0x0800, Some(1)),
    ("sctp", 0x0800, Some(132)),
    ("tcp6", 0x86dd, Some(6)),
    ("udp6", 0x86dd, Some(17)),
    ("icmp6", 0x86dd, Some(58)),
    ("sctp6", 0x86dd, Some(132)),
    ("ip", 0x0800, None),
    ("ipv6", 0x86dd, None),
    ("arp", 0x0806, None),
    ("rarp", 0x8035, None),
    ("mpls", 0x8847, None),
    ("mplsm", 0x8848, None),
];

/// Writes items with commas between them.
struct List<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    any: bool,
}

impl List<'_, '_> {
    fn item(&mut self, item: fmt::Arguments<'_>) -> fmt::Result {
        if std::mem::replace(&mut self.any, true) {
            self.f.write_str(",")?;
        }
        self.f.write_fmt(item)
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_match(self, None, f)
    }
}

/// Writes a match, with the priority in front of it where one is given.
pub(crate) fn fmt_match(matches: &Match, priority: Option<u16>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut list = List { f, any: false };
    if let Some(priority) = priority {
        list.item(format_args!("priority={priority}"))?;
    }
    let shorthand = shorthand(matches);
    let mut done: Vec<Field> = Vec::with_capacity(matches.len());
    if let Some((_, _, protocol)) = shorthand {
        done.push(Field::EthType);
        if protocol.is_some() {
            done.push(Field::IpProto);
        }
    }
    let registers: Vec<Field> = matches.iter().map(|(field, _)| *field).filter(is_register).collect();
    let options = matches.iter().map(|(field, _)| *field).filter(|field| matches!(field, Field::TunMetadata(_)));
    let before = BEFORE_PROTOCOL.iter().copied();
    let after = registers
        .into_iter()
        .chain(TUNNEL)
        .chain([Field::TunFlags])
        .chain(options)
        .chain(LINK)
        .chain(NETWORK)
        .chain(matches.iter().map(|(field, _)| *field));
    for field in before {
        write_once(matches, field, &mut done, &mut list)?;
    }
    if let Some((name, ..)) = shorthand {
        list.item(format_args!("{name}"))?;
    }
    for field in after {
        write_once(matches, field, &mut done, &mut list)?;
    }
    for UnnamedField { class, code, experimenter, masked, bytes } in matches.unnamed() {
        let (value, mask) = bytes.split_at_checked(bytes.len() / 2).filter(|_| *masked).unwrap_or((bytes, &[]));
        list.item(format_args!("field_{class:#x}_{code}"))?;
        if let Some(experimenter) = experimenter {
            list.f.write_fmt(format_args!("_{experimenter:#x}"))?;
        }
        list.f.write_fmt(format_args!("={}", Dotted(value)))?;
        if *masked {
            list.f.write_fmt(format_args!("/{}", Dotted(mask)))?;
        }
    }
    Ok(())
}

fn is_register(field: &Field) -> bool {
    matches!(field, Field::Reg(_) | Field::XReg(_) | Field::XxReg(_))
}

/// The shorthand that says the most about the match.
fn shorthand(matches: &Match) -> Option<(&'static str, u128, Option<u128>)> {
    let eth_type = matches.exact(Field::EthType)?;
    let protocol = matches.exact(Field::IpProto);
    let fits =
        |wanted: &(&str, u128, Option<u128>)| wanted.1 == eth_type && (wanted.2.is_none() || wanted.2 == protocol);
    PROTOCOLS.iter().find(|wanted| fits(wanted)).copied()
}

fn write_once(matches: &Match, field: Field, done: &mut Vec<Field>, list: &mut List<'_, '_>) -> fmt::Result {
    let Some(value) = matches.get(field) else { return Ok(()) };
    if done.contains(&field) {
        return Ok(());
    }
    // A priority says by itself that there is a tag.
    let any_tag = Value { value: 0x1000, mask: Some(0x1000) };
    if field == Field::VlanVid && *value == any_tag && matches.exact(Field::VlanPcp).is_some() {
        return Ok(());
    }
    done.push(field);
    write_field(field, *value, list)
}

fn write_field(field: Field, Value { value, mask }: Value, list: &mut List<'_, '_>) -> fmt::Result {
    match (field, mask) {
        (Field::VlanVid, None) if value & 0x1000 != 0 => list.item(format_args!("dl_vlan={}", value & 0xfff)),
        (Field::VlanVid, mask) => {
            list.item(format_args!("vlan_tci={value:#06x}/{:#06x}", mask.unwrap_or(Field::VlanVid.full_mask())))
        }
        (Field::VlanTci, None) => list.item(format_args!("vlan_tci={value:#06x}")),
        (Field::VlanTci, Some(mask)) => list.item(format_args!("vlan_tci={value:#06x}/{mask:#06x}")),
        (Field::EthType, None) => list.item(format_args!("dl_type={value:#06x}")),
        (Field::IpDscp, None) => list.item(format_args!("nw_tos={}", value << 2)),
        (Field::Ipv6Flabel, None) => list.item(format_args!("ipv6_label={value:#07x}")),
        (Field::Ipv6Flabel, Some(mask)) => list.item(format_args!("ipv6_label={value:#07x}/{mask:#07x}")),
        // 16-bit numbers have their prefix even where they are 0.
        (_, Some(mask)) if field.format() == Format::Decimal && field.bytes() == 2 => {
            list.item(format_args!("{field}={value:#x}/{mask:#x}"))
        }
        (Field::CtZone, None) => list.item(format_args!("ct_zone={value}")),
        (Field::Other { .. }, None) => list.item(format_args!("{field}={}", Hex(value))),
        _ => list.item(format_args!("{field}={}", FieldValue { field, value, mask })),
    }
}

impl fmt::Display for Subfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field.reference())?;
        match (self.is_whole(), self.bits) {
            (true, _) => f.write_str("[]"),
            (false, 1) => write!(f, "[{}]", self.offset),
            (false, bits) => write!(f, "[{}..{}]", self.offset, u32::from(self.offset) + u32::from(bits) - 1),
        }
    }
}
