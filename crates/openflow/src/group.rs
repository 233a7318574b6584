//! Groups (OpenFlow 1.3.5 sections 5.6, 7.3.4.2, 7.3.5.8 to 7.3.5.10).

use crate::action::{self, Action};
use crate::error::DecodeError;
use crate::wire::{Reader, Result, Writer};

/// `OFPG_ALL`: every group, in deletions and statistics requests.
pub const ALL: u32 = 0xffff_fffc;

/// What a [`GroupMod`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupCommand {
    /// Adds a group.
    Add,
    /// Changes a group.
    Modify,
    /// Deletes a group, and the rows that use it.
    Delete,
}

/// How a group uses its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupType {
    /// All of them, each on a copy.
    All,
    /// One, chosen by the switch by weight.
    Select,
    /// The only one.
    Indirect,
    /// The first that is alive.
    FastFailover,
    /// An experimenter's, from 128, or one of a later version.
    Other(u8),
}

impl GroupType {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match reader.u8("group type")? {
            0 => GroupType::All,
            1 => GroupType::Select,
            2 => GroupType::Indirect,
            3 => GroupType::FastFailover,
            other => GroupType::Other(other),
        })
    }

    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            GroupType::All => 0,
            GroupType::Select => 1,
            GroupType::Indirect => 2,
            GroupType::FastFailover => 3,
            GroupType::Other(number) => number,
        }
    }
}

/// `struct ofp_bucket`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// Share in a group of type select.
    pub weight: u16,
    /// Alive while this port is; [`crate::port::ANY`] for none.
    pub watch_port: u32,
    /// Alive while this group is; [`crate::flow::GROUP_ANY`] for none.
    pub watch_group: u32,
    /// What happens to the packet.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// A bucket that watches nothing and has no weight.
    pub fn new(actions: Vec<Action>) -> Self {
        Bucket { weight: 0, watch_port: crate::port::ANY, watch_group: crate::flow::GROUP_ANY, actions }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(0);
        out.u16(self.weight);
        out.u32(self.watch_port);
        out.u32(self.watch_group);
        out.zeros(4);
        action::encode_list(&self.actions, out);
        out.patch_length(start, start);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let length = usize::from(reader.u16("bucket length")?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(DecodeError::Length { what: "bucket", at, value: length });
        };
        let mut body = reader.sub(rest, "bucket")?;
        let weight = body.u16("bucket weight")?;
        let watch_port = body.u32("watched port")?;
        let watch_group = body.u32("watched group")?;
        body.skip(4, "bucket padding")?;
        Ok(Bucket { weight, watch_port, watch_group, actions: action::decode_list(&mut body)? })
    }
}

fn decode_buckets(reader: &mut Reader<'_>) -> Result<Vec<Bucket>> {
    let mut buckets = Vec::new();
    while !reader.is_empty() {
        buckets.push(Bucket::decode(reader)?);
    }
    Ok(buckets)
}

/// `OFPT_GROUP_MOD`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// How the group uses its buckets.
    pub type_: GroupType,
    /// The group; [`ALL`] in deletions.
    pub group_id: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

impl GroupMod {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.command as u16);
        out.u8(self.type_.number());
        out.zeros(1);
        out.u32(self.group_id);
        self.buckets.iter().for_each(|bucket| bucket.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let command = match reader.u16("group command")? {
            0 => GroupCommand::Add,
            1 => GroupCommand::Modify,
            2 => GroupCommand::Delete,
            other => return Err(DecodeError::Unknown { what: "group command", at, value: other.into() }),
        };
        let type_ = GroupType::decode(reader)?;
        reader.skip(1, "group padding")?;
        Ok(GroupMod { command, type_, group_id: reader.u32("group id")?, buckets: decode_buckets(reader)? })
    }
}

/// `struct ofp_group_desc`: a group as the switch has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupDesc {
    /// How it uses its buckets.
    pub type_: GroupType,
    /// Its number.
    pub group_id: u32,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
}

impl GroupDesc {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(0);
        out.u8(self.type_.number());
        out.zeros(1);
        out.u32(self.group_id);
        self.buckets.iter().for_each(|bucket| bucket.encode(out));
        out.patch_length(start, start);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let length = usize::from(reader.u16("group description length")?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(DecodeError::Length { what: "group description", at, value: length });
        };
        let mut body = reader.sub(rest, "group description")?;
        let type_ = GroupType::decode(&mut body)?;
        body.skip(1, "group padding")?;
        Ok(GroupDesc { type_, group_id: body.u32("group id")?, buckets: decode_buckets(&mut body)? })
    }
}

/// `struct ofp_group_stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GroupStats {
    /// The group.
    pub group_id: u32,
    /// Rows and groups that use it.
    pub ref_count: u32,
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// Seconds it has been there.
    pub duration_sec: u32,
    /// Nanoseconds beyond those.
    pub duration_nsec: u32,
    /// Packets and bytes of each bucket.
    pub buckets: Vec<(u64, u64)>,
}

impl GroupStats {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.zeros(4);
        out.u32(self.group_id);
        out.u32(self.ref_count);
        out.zeros(4);
        out.u64(self.packet_count);
        out.u64(self.byte_count);
        out.u32(self.duration_sec);
        out.u32(self.duration_nsec);
        for (packets, bytes) in &self.buckets {
            out.u64(*packets);
            out.u64(*bytes);
        }
        out.patch_length(start, start);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let length = usize::from(reader.u16("group statistics length")?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(DecodeError::Length { what: "group statistics", at, value: length });
        };
        let mut body = reader.sub(rest, "group statistics")?;
        body.skip(2, "group statistics padding")?;
        let group_id = body.u32("group id")?;
        let ref_count = body.u32("reference count")?;
        body.skip(4, "group statistics padding")?;
        let mut stats = GroupStats {
            group_id,
            ref_count,
            packet_count: body.u64("packet count")?,
            byte_count: body.u64("byte count")?,
            duration_sec: body.u32("duration")?,
            duration_nsec: body.u32("duration")?,
            buckets: Vec::new(),
        };
        while !body.is_empty() {
            stats.buckets.push((body.u64("bucket packet count")?, body.u64("bucket byte count")?));
        }
        Ok(stats)
    }
}

/// `struct ofp_group_features`. Arrays are indexed by group type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct GroupFeatures {
    /// Bit `n`: groups of type `n` exist.
    pub types: u32,
    /// `OFPGFC_*` bits: 1 weights, 2 liveness, 4 chaining, 8 checks for loops.
    pub capabilities: u32,
    /// How many groups.
    pub max_groups: [u32; 4],
    /// Bit `n`: action type `n` can be used.
    pub actions: [u32; 4],
}

impl GroupFeatures {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.types);
        out.u32(self.capabilities);
        self.max_groups.iter().chain(&self.actions).for_each(|value| out.u32(*value));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let types = reader.u32("group types")?;
        let capabilities = reader.u32("group capabilities")?;
        let mut four = |what| -> Result<[u32; 4]> {
            Ok([reader.u32(what)?, reader.u32(what)?, reader.u32(what)?, reader.u32(what)?])
        };
        Ok(GroupFeatures {
            types,
            capabilities,
            max_groups: four("number of groups")?,
            actions: four("group actions")?,
        })
    }
}
