//! Connection tracking and address translation (`struct nx_action_conntrack`, `struct nx_action_nat`).

use std::net::IpAddr;

use crate::action::{Action, decode, encode};
use crate::error::DecodeError;
use crate::oxm;
use crate::subfield::Subfield;
use crate::wire::{Reader, Result, Writer};

const COMMIT: u16 = 1;
const FORCE: u16 = 2;
const NO_RECIRCULATION: u8 = 0xff;

/// `ct(...)`: sends the packet through the connection tracker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CtAction {
    /// Remembers the connection beyond this packet.
    pub commit: bool,
    /// Starts the connection anew if the packet is of its reply direction.
    pub force: bool,
    /// The zone.
    pub zone: CtZone,
    /// Where the tracked copy of the packet continues; `None`: nowhere.
    pub table: Option<u8>,
    /// Port number of a helper's protocol: 21 for FTP, 69 for TFTP, 0 for none.
    pub alg: u16,
    /// Actions on the connection: `set_field` of `ct_mark` and `ct_label`, and [`Action::Nat`].
    pub exec: Vec<Action>,
}

/// The zone of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CtZone {
    /// A number.
    Immediate(u16),
    /// The 16 bits of a field.
    Field(Subfield),
}

impl Default for CtZone {
    fn default() -> Self {
        CtZone::Immediate(0)
    }
}

/// Which address is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

/// `nat(...)`: everything `None` and `false` for plain `nat`, which applies what the connection already has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NatAction {
    /// Which address is translated.
    pub kind: Option<NatKind>,
    /// First address.
    pub min: Option<IpAddr>,
    /// Last address; of the same family as `min`.
    pub max: Option<IpAddr>,
    /// First port.
    pub proto_min: Option<u16>,
    /// Last port.
    pub proto_max: Option<u16>,
    /// The same mapping again after a restart of the system.
    pub persistent: bool,
    /// Ports chosen by hash.
    pub hash: bool,
    /// Ports chosen at random.
    pub random: bool,
}

pub(super) fn encode_ct(action: &CtAction, out: &mut Vec<u8>) {
    out.u16(if action.commit { COMMIT } else { 0 } | if action.force { FORCE } else { 0 });
    match action.zone {
        CtZone::Immediate(zone) => {
            out.u32(0);
            out.u16(zone);
        }
        CtZone::Field(subfield) => {
            oxm::encode_header(subfield.field, out);
            out.u16(subfield.packed());
        }
    }
    out.u8(action.table.unwrap_or(NO_RECIRCULATION));
    out.zeros(3);
    out.u16(action.alg);
    encode::encode_list(&action.exec, out);
}

pub(super) fn decode_ct(reader: &mut Reader<'_>, depth: usize) -> Result<CtAction> {
    let at = reader.at();
    let flags = reader.u16("ct flags")?;
    if flags & !(COMMIT | FORCE) != 0 {
        return Err(DecodeError::Unknown { what: "ct flags", at, value: flags.into() });
    }
    let zone = {
        let mut immediate = reader.clone();
        if immediate.u32("ct zone source")? == 0 {
            *reader = immediate;
            CtZone::Immediate(reader.u16("ct zone")?)
        } else {
            let at = reader.at();
            let field = oxm::decode_header(reader)?;
            CtZone::Field(Subfield::unpack(field, reader.u16("ct zone bits")?).checked(at)?)
        }
    };
    let table = reader.u8("ct table")?;
    reader.skip(3, "ct padding")?;
    let alg = reader.u16("ct alg")?;
    let exec = decode::decode_nested(reader, depth)?;
    let table = (table != NO_RECIRCULATION).then_some(table);
    Ok(CtAction { commit: flags & COMMIT != 0, force: flags & FORCE != 0, zone, table, alg, exec })
}

const NAT_SRC: u16 = 1;
const NAT_DST: u16 = 2;
const NAT_PERSISTENT: u16 = 4;
const NAT_HASH: u16 = 8;
const NAT_RANDOM: u16 = 16;
const RANGE_V4_MIN: u16 = 1;
const RANGE_V4_MAX: u16 = 2;
const RANGE_V6_MIN: u16 = 4;
const RANGE_V6_MAX: u16 = 8;
const RANGE_PROTO_MIN: u16 = 16;
const RANGE_PROTO_MAX: u16 = 32;

pub(super) fn encode_nat(action: &NatAction, out: &mut Vec<u8>) {
    let flag = |set: bool, bit: u16| if set { bit } else { 0 };
    let kind = match action.kind {
        None => 0,
        Some(NatKind::Src) => NAT_SRC,
        Some(NatKind::Dst) => NAT_DST,
    };
    out.zeros(2);
    out.u16(
        kind | flag(action.persistent, NAT_PERSISTENT) | flag(action.hash, NAT_HASH) | flag(action.random, NAT_RANDOM),
    );
    let v4 = |address: Option<IpAddr>| match address {
        Some(IpAddr::V4(address)) => Some(address.to_bits()),
        _ => None,
    };
    let v6 = |address: Option<IpAddr>| match address {
        Some(IpAddr::V6(address)) => Some(address.to_bits()),
        _ => None,
    };
    out.u16(
        flag(v4(action.min).is_some(), RANGE_V4_MIN)
            | flag(v4(action.max).is_some(), RANGE_V4_MAX)
            | flag(v6(action.min).is_some(), RANGE_V6_MIN)
            | flag(v6(action.max).is_some(), RANGE_V6_MAX)
            | flag(action.proto_min.is_some(), RANGE_PROTO_MIN)
            | flag(action.proto_max.is_some(), RANGE_PROTO_MAX),
    );
    [v4(action.min), v4(action.max)].into_iter().flatten().for_each(|address| out.u32(address));
    [v6(action.min), v6(action.max)].into_iter().flatten().for_each(|address| out.u128(address));
    [action.proto_min, action.proto_max].into_iter().flatten().for_each(|port| out.u16(port));
}

pub(super) fn decode_nat(reader: &mut Reader<'_>) -> Result<NatAction> {
    reader.skip(2, "nat padding")?;
    let at = reader.at();
    let flags = reader.u16("nat flags")?;
    let kind = match flags & (NAT_SRC | NAT_DST) {
        0 => None,
        NAT_SRC => Some(NatKind::Src),
        NAT_DST => Some(NatKind::Dst),
        _ => return Err(DecodeError::Unknown { what: "nat flags", at, value: flags.into() }),
    };
    let at = reader.at();
    let present = reader.u16("nat range")?;
    let both_families = present & (RANGE_V4_MIN | RANGE_V4_MAX) != 0 && present & (RANGE_V6_MIN | RANGE_V6_MAX) != 0;
    if both_families || present & !0x3f != 0 || flags & !0x1f != 0 {
        return Err(DecodeError::Unknown { what: "nat range", at, value: present.into() });
    }
    let mut v4 = |bit: u16| -> Result<Option<IpAddr>> {
        let there = present & bit != 0;
        if there { reader.u32("nat address").map(|bits| Some(IpAddr::V4(bits.into()))) } else { Ok(None) }
    };
    let (min4, max4) = (v4(RANGE_V4_MIN)?, v4(RANGE_V4_MAX)?);
    let mut v6 = |bit: u16| -> Result<Option<IpAddr>> {
        let there = present & bit != 0;
        if there { reader.u128("nat address").map(|bits| Some(IpAddr::V6(bits.into()))) } else { Ok(None) }
    };
    let (min6, max6) = (v6(RANGE_V6_MIN)?, v6(RANGE_V6_MAX)?);
    let mut port = |bit: u16| -> Result<Option<u16>> {
        if present & bit != 0 { reader.u16("nat port").map(Some) } else { Ok(None) }
    };
    let (proto_min, proto_max) = (port(RANGE_PROTO_MIN)?, port(RANGE_PROTO_MAX)?);
    Ok(NatAction {
        kind,
        min: min4.or(min6),
        max: max4.or(max6),
        proto_min,
        proto_max,
        persistent: flags & NAT_PERSISTENT != 0,
        hash: flags & NAT_HASH != 0,
        random: flags & NAT_RANDOM != 0,
    })
}
