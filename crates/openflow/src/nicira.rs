//! Messages that only Open vSwitch knows (`nicira-ext.h`): mapping of tunnel options, flushing of connections.

use std::net::{IpAddr, Ipv4Addr};

use crate::error::DecodeError;
use crate::wire::{Reader, Result, Writer, properties, property};

/// How the body of a [`crate::Body::NxSetPacketInFormat`] asks for OpenFlow's own packet-ins.
pub const PACKET_IN_STANDARD: u32 = 0;
/// How it asks for [`crate::NxPacketIn2`].
pub const PACKET_IN_NXT2: u32 = 2;

/// One tunnel option (Geneve) as a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlvMap {
    /// Option class.
    pub class: u16,
    /// Option type.
    pub type_: u8,
    /// Length of the option's data in bytes, a multiple of 4, at most 124.
    pub len: u8,
    /// Number of the field: `tun_metadata<index>`.
    pub index: u16,
}

impl TlvMap {
    fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.class);
        out.u8(self.type_);
        out.u8(self.len);
        out.u16(self.index);
        out.zeros(2);
    }

    fn decode_list(reader: &mut Reader<'_>) -> Result<Vec<TlvMap>> {
        let mut maps = Vec::new();
        while !reader.is_empty() {
            maps.push(TlvMap {
                class: reader.u16("option class")?,
                type_: reader.u8("option type")?,
                len: reader.u8("option length")?,
                index: reader.u16("field number")?,
            });
            reader.skip(2, "option padding")?;
        }
        Ok(maps)
    }
}

/// What a [`TlvTableMod`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlvCommand {
    /// Adds mappings.
    Add,
    /// Deletes mappings.
    Delete,
    /// Deletes all mappings.
    Clear,
}

/// `NXT_TLV_TABLE_MOD`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvCommand,
    /// With which mappings.
    pub maps: Vec<TlvMap>,
}

impl TlvTableMod {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.command as u16);
        out.zeros(6);
        self.maps.iter().for_each(|map| map.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let command = match reader.u16("TLV table command")? {
            0 => TlvCommand::Add,
            1 => TlvCommand::Delete,
            2 => TlvCommand::Clear,
            other => return Err(DecodeError::Unknown { what: "TLV table command", at, value: other.into() }),
        };
        reader.skip(6, "TLV table padding")?;
        Ok(TlvTableMod { command, maps: TlvMap::decode_list(reader)? })
    }
}

/// `NXT_TLV_TABLE_REPLY`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlvTable {
    /// Bytes that all options together may have.
    pub max_option_space: u32,
    /// How many mappings there can be.
    pub max_fields: u16,
    /// The mappings.
    pub maps: Vec<TlvMap>,
}

impl TlvTable {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.max_option_space);
        out.u16(self.max_fields);
        out.zeros(10);
        self.maps.iter().for_each(|map| map.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let max_option_space = reader.u32("option space")?;
        let max_fields = reader.u16("number of fields")?;
        reader.skip(10, "TLV table padding")?;
        Ok(TlvTable { max_option_space, max_fields, maps: TlvMap::decode_list(reader)? })
    }
}

/// `NXT_CT_FLUSH` (Open vSwitch 3.1): forgets the connections that agree with all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CtFlush {
    /// IP protocol, 0 for any.
    pub ip_proto: u8,
    /// Only in this zone.
    pub zone: Option<u16>,
    /// The original direction.
    pub original: CtTuple,
    /// The reply direction.
    pub reply: CtTuple,
}

/// One direction of a connection; `None` means any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CtTuple {
    /// Source address.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// Source port.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// ICMP identifier.
    pub icmp_id: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code.
    pub icmp_code: Option<u8>,
}

impl CtTuple {
    fn is_empty(&self) -> bool {
        *self == CtTuple::default()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for (type_, address) in [(0, self.src), (1, self.dst)] {
            if let Some(address) = address {
                let bits = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
                    IpAddr::V6(address) => address.to_bits(),
                };
                property(out, type_, |out| out.u128(bits));
            }
        }
        for (type_, number) in [(2, self.src_port), (3, self.dst_port), (4, self.icmp_id)] {
            if let Some(number) = number {
                property(out, type_, |out| out.u32(u32::from(number) << 16));
            }
        }
        for (type_, number) in [(5, self.icmp_type), (6, self.icmp_code)] {
            if let Some(number) = number {
                property(out, type_, |out| out.u32(u32::from(number) << 24));
            }
        }
    }

    /// `None` where there is a property without a name.
    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let mut tuple = CtTuple::default();
        let mut known = true;
        // The nested properties begin after four bytes of padding that keep them aligned.
        reader.skip_up_to(4);
        properties(reader, |_, type_, value| {
            match type_ {
                0 => tuple.src = Some(address(value)?),
                1 => tuple.dst = Some(address(value)?),
                2 => tuple.src_port = Some(value.u16("port")?),
                3 => tuple.dst_port = Some(value.u16("port")?),
                4 => tuple.icmp_id = Some(value.u16("ICMP identifier")?),
                5 => tuple.icmp_type = Some(value.u8("ICMP type")?),
                6 => tuple.icmp_code = Some(value.u8("ICMP code")?),
                _ => {
                    known = false;
                    value.rest();
                }
            }
            Ok(())
        })?;
        Ok(known.then_some(tuple))
    }
}

impl CtFlush {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.ip_proto);
        out.zeros(7);
        for (type_, tuple) in [(0, &self.original), (1, &self.reply)] {
            if !tuple.is_empty() {
                property(out, type_, |out| {
                    out.zeros(4);
                    tuple.encode(out);
                });
            }
        }
        if let Some(zone) = self.zone {
            property(out, 2, |out| out.u32(u32::from(zone) << 16));
        }
    }

    /// `None` where there is a property without a name.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let mut known = true;
        let mut flush = CtFlush { ip_proto: reader.u8("IP protocol")?, ..CtFlush::default() };
        reader.skip(7, "flush padding")?;
        properties(reader, |_, type_, value| {
            match type_ {
                0 | 1 => match CtTuple::decode(value)? {
                    Some(tuple) => *(if type_ == 0 { &mut flush.original } else { &mut flush.reply }) = tuple,
                    None => known = false,
                },
                2 => flush.zone = Some(value.u16("zone")?),
                _ => {
                    known = false;
                    value.rest();
                }
            }
            Ok(())
        })?;
        Ok(known.then_some(flush))
    }
}

fn address(reader: &mut Reader<'_>) -> Result<IpAddr> {
    let bits = std::net::Ipv6Addr::from_bits(reader.u128("address")?);
    Ok(bits.to_ipv4_mapped().map_or(IpAddr::V6(bits), |v4: Ipv4Addr| IpAddr::V4(v4)))
}
