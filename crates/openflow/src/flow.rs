//! Rows: flow modification, flow statistics, flow removed (OpenFlow 1.3.5 sections 7.3.4.1, 7.3.5.2, 7.4.2).

use crate::error::DecodeError;
use crate::instruction::{self, Instruction};
use crate::oxm::Match;
use crate::wire::{Reader, Result, Writer};

/// `OFPTT_ALL`: every table, in deletions and statistics requests.
pub const TABLE_ALL: u8 = 0xff;
/// `OFP_NO_BUFFER`: no packet waits in the switch.
pub const NO_BUFFER: u32 = 0xffff_ffff;
/// `OFPG_ANY`: rows are not selected by output group.
pub const GROUP_ANY: u32 = 0xffff_ffff;

/// `OFPFF_SEND_FLOW_REM`: the switch tells when the row goes.
pub const FLAG_SEND_FLOW_REMOVED: u16 = 1 << 0;
/// `OFPFF_CHECK_OVERLAP`: refuse a row that overlaps another of its priority.
pub const FLAG_CHECK_OVERLAP: u16 = 1 << 1;
/// `OFPFF_RESET_COUNTS`: a modification or replacement sets the counters to zero.
pub const FLAG_RESET_COUNTS: u16 = 1 << 2;
/// `OFPFF_NO_PKT_COUNTS`: the switch need not count packets.
pub const FLAG_NO_PACKET_COUNTS: u16 = 1 << 3;
/// `OFPFF_NO_BYT_COUNTS`: the switch need not count bytes.
pub const FLAG_NO_BYTE_COUNTS: u16 = 1 << 4;

/// What a [`FlowMod`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowCommand {
    /// Adds a row; one of equal match and priority is replaced.
    Add,
    /// Changes the instructions of all rows within the match.
    Modify,
    /// Changes the instructions of the row of exactly this match and priority.
    ModifyStrict,
    /// Deletes all rows within the match.
    Delete,
    /// Deletes the row of exactly this match and priority.
    DeleteStrict,
}

impl FlowCommand {
    const ALL: [FlowCommand; 5] = [
        FlowCommand::Add,
        FlowCommand::Modify,
        FlowCommand::ModifyStrict,
        FlowCommand::Delete,
        FlowCommand::DeleteStrict,
    ];
}

/// `OFPT_FLOW_MOD`: adds, changes or deletes rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowMod {
    /// Of the row; in changes and deletions, with `cookie_mask`, a restriction.
    pub cookie: u64,
    /// Bits of the cookie that restrict changes and deletions; 0 for none.
    pub cookie_mask: u64,
    /// The table; [`TABLE_ALL`] in deletions.
    pub table: u8,
    /// What to do.
    pub command: FlowCommand,
    /// Seconds without packets after which the row goes; 0 never.
    pub idle_timeout: u16,
    /// Seconds after which the row goes; 0 never.
    pub hard_timeout: u16,
    /// Higher wins.
    pub priority: u16,
    /// A packet in the switch to apply the row to, or [`NO_BUFFER`].
    pub buffer_id: u32,
    /// In deletions: only rows that output here, or [`crate::port::ANY`].
    pub out_port: u32,
    /// In deletions: only rows that use this group, or [`GROUP_ANY`].
    pub out_group: u32,
    /// `FLAG_*` of this module.
    pub flags: u16,
    /// Which packets.
    pub matches: Match,
    /// What happens to them; nothing means drop.
    pub instructions: Vec<Instruction>,
}

impl FlowMod {
    fn new(table: u8, priority: u16, command: FlowCommand) -> Self {
        FlowMod {
            cookie: 0,
            cookie_mask: 0,
            table,
            command,
            idle_timeout: 0,
            hard_timeout: 0,
            priority,
            buffer_id: NO_BUFFER,
            out_port: crate::port::ANY,
            out_group: GROUP_ANY,
            flags: 0,
            matches: Match::new(),
            instructions: Vec::new(),
        }
    }

    /// A row that matches every packet and drops it: fill in the rest.
    pub fn add(table: u8, priority: u16) -> Self {
        FlowMod::new(table, priority, FlowCommand::Add)
    }

    /// Deletes the row of exactly this match and priority.
    pub fn delete_strict(table: u8, priority: u16, matches: Match) -> Self {
        FlowMod { matches, ..FlowMod::new(table, priority, FlowCommand::DeleteStrict) }
    }

    /// Deletes every row of a table ([`TABLE_ALL`]: of all tables) whose cookie agrees in the bits of `cookie_mask`.
    pub fn delete_all(table: u8, cookie: u64, cookie_mask: u64) -> Self {
        FlowMod { cookie, cookie_mask, ..FlowMod::new(table, 0, FlowCommand::Delete) }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u64(self.cookie);
        out.u64(self.cookie_mask);
        out.u8(self.table);
        out.u8(self.command as u8);
        out.u16(self.idle_timeout);
        out.u16(self.hard_timeout);
        out.u16(self.priority);
        out.u32(self.buffer_id);
        out.u32(self.out_port);
        out.u32(self.out_group);
        out.u16(self.flags);
        out.zeros(2);
        self.matches.encode(out);
        instruction::encode_list(&self.instructions, out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let cookie = reader.u64("cookie")?;
        let cookie_mask = reader.u64("cookie mask")?;
        let table = reader.u8("table")?;
        let at = reader.at();
        let command = reader.u8("flow command")?;
        let Some(command) = FlowCommand::ALL.get(usize::from(command)).copied() else {
            return Err(DecodeError::Unknown { what: "flow command", at, value: command.into() });
        };
        let mut flow = FlowMod { cookie, cookie_mask, ..FlowMod::new(table, 0, command) };
        flow.idle_timeout = reader.u16("idle timeout")?;
        flow.hard_timeout = reader.u16("hard timeout")?;
        flow.priority = reader.u16("priority")?;
        flow.buffer_id = reader.u32("buffer id")?;
        flow.out_port = reader.u32("out port")?;
        flow.out_group = reader.u32("out group")?;
        flow.flags = reader.u16("flow flags")?;
        reader.skip(2, "flow-mod padding")?;
        flow.matches = Match::decode(reader)?;
        flow.instructions = instruction::decode_list(reader)?;
        Ok(flow)
    }
}

/// One row as the switch has it (`struct ofp_flow_stats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FlowStats {
    /// The table.
    pub table: u8,
    /// Seconds since the row was added.
    pub duration_sec: u32,
    /// Nanoseconds beyond those.
    pub duration_nsec: u32,
    /// Higher wins.
    pub priority: u16,
    /// Seconds without packets after which the row goes; 0 never.
    pub idle_timeout: u16,
    /// Seconds after which the row goes; 0 never.
    pub hard_timeout: u16,
    /// `FLAG_*` of this module.
    pub flags: u16,
    /// As given by the controller.
    pub cookie: u64,
    /// Packets that matched.
    pub packet_count: u64,
    /// Bytes of those.
    pub byte_count: u64,
    /// Which packets.
    pub matches: Match,
    /// What happens to them.
    pub instructions: Vec<Instruction>,
}

impl FlowStats {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(0);
        out.u8(self.table);
        out.zeros(1);
        out.u32(self.duration_sec);
        out.u32(self.duration_nsec);
        out.u16(self.priority);
        out.u16(self.idle_timeout);
        out.u16(self.hard_timeout);
        out.u16(self.flags);
        out.zeros(4);
        out.u64(self.cookie);
        out.u64(self.packet_count);
        out.u64(self.byte_count);
        self.matches.encode(out);
        instruction::encode_list(&self.instructions, out);
        out.patch_length(start, start);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let length = usize::from(reader.u16("flow statistics length")?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(DecodeError::Length { what: "flow statistics", at, value: length });
        };
        let mut body = reader.sub(rest, "flow statistics")?;
        let table = body.u8("table")?;
        body.skip(1, "flow statistics padding")?;
        let duration_sec = body.u32("duration")?;
        let duration_nsec = body.u32("duration")?;
        let priority = body.u16("priority")?;
        let idle_timeout = body.u16("idle timeout")?;
        let hard_timeout = body.u16("hard timeout")?;
        let flags = body.u16("flow flags")?;
        body.skip(4, "flow statistics padding")?;
        Ok(FlowStats {
            table,
            duration_sec,
            duration_nsec,
            priority,
            idle_timeout,
            hard_timeout,
            flags,
            cookie: body.u64("cookie")?,
            packet_count: body.u64("packet count")?,
            byte_count: body.u64("byte count")?,
            matches: Match::decode(&mut body)?,
            instructions: instruction::decode_list(&mut body)?,
        })
    }
}

/// Why a row went (`enum ofp_flow_removed_reason`); other numbers come from later versions.
pub mod removed {
    /// No packet for `idle_timeout` seconds.
    pub const IDLE_TIMEOUT: u8 = 0;
    /// `hard_timeout` seconds went by.
    pub const HARD_TIMEOUT: u8 = 1;
    /// Deleted by a flow-mod.
    pub const DELETE: u8 = 2;
    /// Its group was deleted.
    pub const GROUP_DELETE: u8 = 3;
    /// Its meter was deleted.
    pub const METER_DELETE: u8 = 4;
    /// Evicted for want of room.
    pub const EVICTION: u8 = 5;
}

/// `OFPT_FLOW_REMOVED`: a row went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FlowRemoved {
    /// Of the row.
    pub cookie: u64,
    /// Of the row.
    pub priority: u16,
    /// Why; see [`removed`].
    pub reason: u8,
    /// The table it was in.
    pub table: u8,
    /// Seconds it lived.
    pub duration_sec: u32,
    /// Nanoseconds beyond those.
    pub duration_nsec: u32,
    /// Of the row.
    pub idle_timeout: u16,
    /// Of the row.
    pub hard_timeout: u16,
    /// Packets that matched.
    pub packet_count: u64,
    /// Bytes of those.
    pub byte_count: u64,
    /// Which packets it matched.
    pub matches: Match,
}

impl FlowRemoved {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u64(self.cookie);
        out.u16(self.priority);
        out.u8(self.reason);
        out.u8(self.table);
        out.u32(self.duration_sec);
        out.u32(self.duration_nsec);
        out.u16(self.idle_timeout);
        out.u16(self.hard_timeout);
        out.u64(self.packet_count);
        out.u64(self.byte_count);
        self.matches.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(FlowRemoved {
            cookie: reader.u64("cookie")?,
            priority: reader.u16("priority")?,
            reason: reader.u8("flow-removed reason")?,
            table: reader.u8("table")?,
            duration_sec: reader.u32("duration")?,
            duration_nsec: reader.u32("duration")?,
            idle_timeout: reader.u16("idle timeout")?,
            hard_timeout: reader.u16("hard timeout")?,
            packet_count: reader.u64("packet count")?,
            byte_count: reader.u64("byte count")?,
            matches: Match::decode(reader)?,
        })
    }
}
