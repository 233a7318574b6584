//! Instructions: what a row does (OpenFlow 1.3.5 section 7.2.4).

use crate::action::{self, Action};
use crate::error::DecodeError;
use crate::wire::{Reader, Result, Writer};

/// What a row does with a packet that matches it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Continues in a later table.
    GotoTable(u8),
    /// Writes metadata: `metadata = metadata & !mask | value & mask`.
    WriteMetadata {
        /// The bits.
        value: u64,
        /// Which bits are written.
        mask: u64,
    },
    /// Adds to the action set, executed at the end of the pipeline.
    WriteActions(Vec<Action>),
    /// Executes now, in this order.
    ApplyActions(Vec<Action>),
    /// Empties the action set.
    ClearActions,
    /// Sends the packet through a meter first.
    Meter(u32),
    /// An instruction this library has no name for: everything behind its type and length.
    Unknown {
        /// Instruction type.
        type_: u16,
        /// The rest of the instruction; encoded with zeros up to a multiple of eight bytes.
        body: Vec<u8>,
    },
}

impl Instruction {
    /// Position among a row's instructions: the order in which a switch executes them, which Open vSwitch also demands
    /// on the wire.
    const fn rank(&self) -> u8 {
        match self {
            Instruction::Meter(_) => 0,
            Instruction::ApplyActions(_) => 1,
            Instruction::ClearActions => 2,
            Instruction::WriteActions(_) => 3,
            Instruction::WriteMetadata { .. } => 4,
            Instruction::Unknown { .. } => 5,
            Instruction::GotoTable(_) => 6,
        }
    }
}

/// The instructions in the order of execution, as they are sent and written.
pub(crate) fn in_order(instructions: &[Instruction]) -> impl Iterator<Item = &Instruction> {
    (0..=6).flat_map(move |rank| instructions.iter().filter(move |instruction| instruction.rank() == rank))
}

/// Appends the instructions in the order of execution.
pub(crate) fn encode_list(instructions: &[Instruction], out: &mut Vec<u8>) {
    for instruction in in_order(instructions) {
        let start = out.len();
        let type_ = match instruction {
            Instruction::GotoTable(_) => 1,
            Instruction::WriteMetadata { .. } => 2,
            Instruction::WriteActions(_) => 3,
            Instruction::ApplyActions(_) => 4,
            Instruction::ClearActions => 5,
            Instruction::Meter(_) => 6,
            Instruction::Unknown { type_, .. } => *type_,
        };
        out.u16(type_);
        out.u16(0);
        match instruction {
            Instruction::GotoTable(table) => {
                out.u8(*table);
                out.zeros(3);
            }
            Instruction::WriteMetadata { value, mask } => {
                out.zeros(4);
                out.u64(*value & *mask);
                out.u64(*mask);
            }
            Instruction::WriteActions(actions) | Instruction::ApplyActions(actions) => {
                out.zeros(4);
                action::encode_list(actions, out);
            }
            Instruction::ClearActions => out.zeros(4),
            Instruction::Meter(meter) => out.u32(*meter),
            Instruction::Unknown { body, .. } => {
                out.bytes(body);
                out.pad_from(start);
            }
        }
        out.patch_length(start + 2, start);
    }
}

/// Reads instructions until the reader is empty; the order received is kept.
pub(crate) fn decode_list(reader: &mut Reader<'_>) -> Result<Vec<Instruction>> {
    let mut instructions = Vec::new();
    while !reader.is_empty() {
        let at = reader.at();
        let (type_, mut body) = reader.type_length("instruction")?;
        let length = body.left() + 4;
        if length < 8 || length % 8 != 0 {
            return Err(DecodeError::Length { what: "instruction", at, value: length });
        }
        let instruction = match type_ {
            1 => {
                let table = body.u8("goto table")?;
                body.skip(3, "goto padding")?;
                Instruction::GotoTable(table)
            }
            2 => {
                body.skip(4, "write-metadata padding")?;
                let value = body.u64("metadata")?;
                let mask = body.u64("metadata mask")?;
                Instruction::WriteMetadata { value: value & mask, mask }
            }
            3..=5 => {
                body.skip(4, "instruction padding")?;
                let actions = action::decode_list(&mut body)?;
                match type_ {
                    3 => Instruction::WriteActions(actions),
                    4 => Instruction::ApplyActions(actions),
                    _ if actions.is_empty() => Instruction::ClearActions,
                    _ => return Err(DecodeError::Length { what: "clear-actions", at, value: length }),
                }
            }
            6 => Instruction::Meter(body.u32("meter")?),
            _ => Instruction::Unknown { type_, body: body.rest().to_vec() },
        };
        body.end("instruction")?;
        instructions.push(instruction);
    }
    Ok(instructions)
}
