//! Choosing one of several links by a hash of the packet: `multipath` and `bundle` (`struct nx_action_multipath`,
//! `struct nx_action_bundle` of Open vSwitch).
//!
//! Fields and algorithms are numbers, so that later ones survive; their names stand in [`HASH_FIELDS`],
//! [`MULTIPATH_ALGORITHMS`] and [`BUNDLE_ALGORITHMS`].

use crate::error::DecodeError;
use crate::oxm;
use crate::subfield::Subfield;
use crate::wire::{Reader, Result, Writer};

/// What is hashed (`enum nx_hash_fields`), by number.
pub const HASH_FIELDS: [&str; 7] =
    ["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3"];
/// How [`MultipathAction`] makes a link number from the hash (`enum nx_mp_algorithm`), by number.
pub const MULTIPATH_ALGORITHMS: [&str; 4] = ["modulo_n", "hash_threshold", "hrw", "iter_hash"];
/// How [`MembersAction`] chooses (`enum nx_bd_algorithm`), by number.
pub const BUNDLE_ALGORITHMS: [&str; 2] = ["active_backup", "hrw"];

/// `multipath(...)`: writes the number of a link, from 0, into a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MultipathAction {
    /// What is hashed; a number of [`HASH_FIELDS`].
    pub fields: u16,
    /// Start of the hash.
    pub basis: u16,
    /// A number of [`MULTIPATH_ALGORITHMS`].
    pub algorithm: u16,
    /// The highest link number: the number of links less one.
    pub max_link: u16,
    /// Argument of the algorithm.
    pub arg: u32,
    /// Where the link number goes.
    pub dst: Subfield,
}

/// `bundle(...)` and `bundle_load(...)`: sends the packet out of one of several ports that are alive, or writes the
/// number of that port into a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MembersAction {
    /// What is hashed; a number of [`HASH_FIELDS`].
    pub fields: u16,
    /// Start of the hash.
    pub basis: u16,
    /// A number of [`BUNDLE_ALGORITHMS`].
    pub algorithm: u16,
    /// Where the port number goes; `None` sends the packet there.
    pub dst: Option<Subfield>,
    /// The ports, in 16 bits.
    pub members: Vec<u16>,
}

/// `NXM_OF_IN_PORT`: the only kind of member there is.
pub(super) const MEMBERS_ARE_PORTS: u32 = 0x0000_0002;

pub(super) fn encode_multipath(action: &MultipathAction, out: &mut Vec<u8>) {
    out.u16(action.fields);
    out.u16(action.basis);
    out.zeros(2);
    out.u16(action.algorithm);
    out.u16(action.max_link);
    out.u32(action.arg);
    out.zeros(2);
    out.u16(action.dst.packed());
    oxm::encode_header(action.dst.field, out);
}

pub(super) fn decode_multipath(reader: &mut Reader<'_>) -> Result<MultipathAction> {
    let (fields, basis) = (reader.u16("hash fields")?, reader.u16("hash basis")?);
    reader.skip(2, "multipath padding")?;
    let algorithm = reader.u16("multipath algorithm")?;
    let max_link = reader.u16("multipath links")?;
    let arg = reader.u32("multipath argument")?;
    reader.skip(2, "multipath padding")?;
    let packed = reader.u16("multipath bits")?;
    let at = reader.at();
    let dst = Subfield::unpack(oxm::decode_header(reader)?, packed).checked(at)?;
    Ok(MultipathAction { fields, basis, algorithm, max_link, arg, dst })
}

pub(super) fn encode_members(action: &MembersAction, out: &mut Vec<u8>) {
    out.u16(action.algorithm);
    out.u16(action.fields);
    out.u16(action.basis);
    out.u32(MEMBERS_ARE_PORTS);
    out.u16(u16::try_from(action.members.len()).unwrap_or(u16::MAX));
    match action.dst {
        Some(dst) => {
            out.u16(dst.packed());
            oxm::encode_header(dst.field, out);
        }
        None => out.zeros(6),
    }
    out.zeros(4);
    action.members.iter().for_each(|port| out.u16(*port));
}

/// `None` where the members are not ports.
pub(super) fn decode_members(reader: &mut Reader<'_>, load: bool) -> Result<Option<MembersAction>> {
    let algorithm = reader.u16("bundle algorithm")?;
    let (fields, basis) = (reader.u16("hash fields")?, reader.u16("hash basis")?);
    if reader.u32("kind of bundle members")? != MEMBERS_ARE_PORTS {
        return Ok(None);
    }
    let at = reader.at();
    let count = reader.u16("number of bundle members")?;
    let packed = reader.u16("bundle bits")?;
    let dst = if load {
        let at = reader.at();
        Some(Subfield::unpack(oxm::decode_header(reader)?, packed).checked(at)?)
    } else {
        reader.skip(4, "bundle padding")?;
        None
    };
    reader.skip(4, "bundle padding")?;
    if 2 * usize::from(count) > reader.left() {
        return Err(DecodeError::Length { what: "number of bundle members", at, value: count.into() });
    }
    let members = (0..count).map(|_| reader.u16("bundle member")).collect::<Result<_>>()?;
    Ok(Some(MembersAction { fields, basis, algorithm, dst, members }))
}

/// The name of a number, or the number.
pub(crate) fn name(names: &'static [&'static str], number: u16) -> std::borrow::Cow<'static, str> {
    match names.get(usize::from(number)) {
        Some(name) => (*name).into(),
        None => number.to_string().into(),
    }
}
