//! `learn(...)` (`struct nx_action_learn`): a row that adds rows.

use crate::error::DecodeError;
use crate::oxm;
use crate::subfield::Subfield;
use crate::wire::{Reader, Result, Writer};

/// Adds or changes a row when a packet comes by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LearnAction {
    /// Seconds without packets after which the new row goes; 0 never.
    pub idle_timeout: u16,
    /// Seconds after which the new row goes; 0 never.
    pub hard_timeout: u16,
    /// Priority of the new row.
    pub priority: u16,
    /// Cookie of the new row.
    pub cookie: u64,
    /// `NX_LEARN_F_*`: 1 send flow-removed, 2 delete the learned rows with this one. Bit 4, which announces a result
    /// on the wire, follows from `result`.
    pub flags: u16,
    /// Table of the new row.
    pub table: u8,
    /// Idle timeout after a TCP FIN or RST, 0 unchanged.
    pub fin_idle_timeout: u16,
    /// Hard timeout after a TCP FIN or RST, 0 unchanged.
    pub fin_hard_timeout: u16,
    /// How many rows it may learn; 0 for any number.
    pub limit: u32,
    /// The bit that says afterwards whether there was room: 1 if the row is there, 0 if the limit is reached.
    pub result: Option<Subfield>,
    /// What the new row matches and does.
    pub specs: Vec<LearnSpec>,
}

/// One statement about the new row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    /// How many bits, 1 to 1023.
    pub bits: u16,
    /// Where the bits come from.
    pub source: LearnSource,
    /// What they are for.
    pub destination: LearnDestination,
}

/// Where the bits of a [`LearnSpec`] come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LearnSource {
    /// The packet.
    Field(Subfield),
    /// A constant: `bits` rounded up to 16, in bytes, right-justified.
    Immediate(Vec<u8>),
}

/// What the bits of a [`LearnSpec`] are for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LearnDestination {
    /// The new row matches them.
    Match(Subfield),
    /// The new row loads them.
    Load(Subfield),
    /// The new row outputs to that port.
    Output,
}

impl LearnAction {
    /// Whether only the action's second form (`NXAST_LEARN2`) can say it.
    pub(super) const fn is_second_form(&self) -> bool {
        self.limit != 0 || self.result.is_some()
    }
}

const WRITE_RESULT: u16 = 4;
const SOURCE_IMMEDIATE: u16 = 1 << 13;
const DESTINATION: u16 = 3 << 11;
const DESTINATION_MATCH: u16 = 0 << 11;
const DESTINATION_LOAD: u16 = 1 << 11;
const DESTINATION_OUTPUT: u16 = 2 << 11;
const BITS: u16 = 0x3ff;

pub(super) fn encode(action: &LearnAction, out: &mut Vec<u8>) {
    out.u16(action.idle_timeout);
    out.u16(action.hard_timeout);
    out.u16(action.priority);
    out.u64(action.cookie);
    let result = if action.result.is_some() { WRITE_RESULT } else { 0 };
    out.u16(action.flags & !WRITE_RESULT | result);
    out.u8(action.table);
    out.zeros(1);
    out.u16(action.fin_idle_timeout);
    out.u16(action.fin_hard_timeout);
    if action.is_second_form() {
        out.u32(action.limit);
        out.u16(action.result.map_or(0, |result| result.offset));
        out.zeros(2);
        if let Some(result) = action.result {
            oxm::encode_header(result.field, out);
        }
    }
    for spec in &action.specs {
        let source = match spec.source {
            LearnSource::Field(_) => 0,
            LearnSource::Immediate(_) => SOURCE_IMMEDIATE,
        };
        let destination = match spec.destination {
            LearnDestination::Match(_) => DESTINATION_MATCH,
            LearnDestination::Load(_) => DESTINATION_LOAD,
            LearnDestination::Output => DESTINATION_OUTPUT,
        };
        out.u16(source | destination | spec.bits & BITS);
        match &spec.source {
            LearnSource::Field(subfield) => encode_subfield(*subfield, out),
            LearnSource::Immediate(bytes) => {
                let len = immediate_len(spec.bits & BITS);
                out.zeros(len.saturating_sub(bytes.len()));
                out.bytes(bytes.get(bytes.len().saturating_sub(len)..).unwrap_or_default());
            }
        }
        match spec.destination {
            LearnDestination::Match(subfield) | LearnDestination::Load(subfield) => encode_subfield(subfield, out),
            LearnDestination::Output => {}
        }
    }
}

fn immediate_len(bits: u16) -> usize {
    2 * usize::from(bits).div_ceil(16)
}

fn encode_subfield(subfield: Subfield, out: &mut Vec<u8>) {
    oxm::encode_header(subfield.field, out);
    out.u16(subfield.offset);
}

fn decode_subfield(reader: &mut Reader<'_>, bits: u16) -> Result<Subfield> {
    let at = reader.at();
    let field = oxm::decode_header(reader)?;
    Subfield::new(field, reader.u16("learn offset")?, bits).checked(at)
}

pub(super) fn decode(reader: &mut Reader<'_>, second_form: bool) -> Result<LearnAction> {
    let mut action = LearnAction {
        idle_timeout: reader.u16("learn idle timeout")?,
        hard_timeout: reader.u16("learn hard timeout")?,
        priority: reader.u16("learn priority")?,
        cookie: reader.u64("learn cookie")?,
        flags: reader.u16("learn flags")?,
        table: reader.u8("learn table")?,
        ..LearnAction::default()
    };
    reader.skip(1, "learn padding")?;
    action.fin_idle_timeout = reader.u16("learn idle timeout after FIN")?;
    action.fin_hard_timeout = reader.u16("learn hard timeout after FIN")?;
    if second_form {
        action.limit = reader.u32("learn limit")?;
        let offset = reader.u16("learn result bit")?;
        reader.skip(2, "learn padding")?;
        if action.flags & WRITE_RESULT != 0 {
            let at = reader.at();
            action.result = Some(Subfield::new(oxm::decode_header(reader)?, offset, 1).checked(at)?);
            action.flags &= !WRITE_RESULT;
        }
    }
    while reader.left() >= 2 {
        let at = reader.at();
        let header = reader.u16("learn specification")?;
        if header == 0 {
            break; // padding begins
        }
        let bits = header & BITS;
        if bits == 0 || header & !(SOURCE_IMMEDIATE | DESTINATION | BITS) != 0 {
            return Err(DecodeError::Unknown { what: "learn specification", at, value: header.into() });
        }
        let source = if header & SOURCE_IMMEDIATE != 0 {
            LearnSource::Immediate(reader.take(immediate_len(bits), "learn constant")?.to_vec())
        } else {
            LearnSource::Field(decode_subfield(reader, bits)?)
        };
        let destination = match header & DESTINATION {
            DESTINATION_MATCH => LearnDestination::Match(decode_subfield(reader, bits)?),
            DESTINATION_LOAD => LearnDestination::Load(decode_subfield(reader, bits)?),
            DESTINATION_OUTPUT => LearnDestination::Output,
            _ => return Err(DecodeError::Unknown { what: "learn specification", at, value: header.into() }),
        };
        action.specs.push(LearnSpec { bits, source, destination });
    }
    Ok(action)
}
