//! The row that `learn` adds (ovs-actions(7), "learn").

use crate::action::{Action, LearnAction, LearnDestination, LearnSource};
use crate::field::Field;
use crate::flow::{FLAG_SEND_FLOW_REMOVED, FlowMod};
use crate::instruction::Instruction;
use crate::oxm::Match;
use crate::simulate::packet::Packet;

/// The row that a packet teaches.
pub(super) fn row(learn: &LearnAction, packet: &Packet) -> FlowMod {
    let mut row = FlowMod::add(learn.table, learn.priority);
    row.cookie = learn.cookie;
    (row.idle_timeout, row.hard_timeout) = (learn.idle_timeout, learn.hard_timeout);
    row.flags = learn.flags & FLAG_SEND_FLOW_REMOVED;
    let mut actions = Vec::new();
    for spec in &learn.specs {
        let value = match &spec.source {
            LearnSource::Field(from) => packet.read(*from),
            LearnSource::Immediate(bytes) => bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)),
        };
        match spec.destination {
            LearnDestination::Match(to) => {
                let before = row.matches.get(to.field).copied();
                let (old, mask) = before.map_or((0, 0), |v| (v.value, v.mask.unwrap_or(to.field.full_mask())));
                let value = old | value.checked_shl(to.offset.into()).unwrap_or(0);
                row.matches = with(std::mem::take(&mut row.matches), to.field, value, mask | to.mask());
            }
            LearnDestination::Load(to) => actions.push(Action::Load { dst: to, value: value as u64 }),
            LearnDestination::Output => actions.push(Action::output(value as u32)),
        }
    }
    if !actions.is_empty() {
        row.instructions = vec![Instruction::ApplyActions(actions)];
    }
    row
}

/// A tag's control information is matched as its parts.
fn with(matches: Match, field: Field, value: u128, mask: u128) -> Match {
    match field {
        Field::VlanTci => {
            let matches = matches.with_masked(Field::VlanVid, value & 0x1fff, mask & 0x1fff);
            if mask >> 13 == 7 { matches.with(Field::VlanPcp, value >> 13) } else { matches }
        }
        Field::InPort16 => matches.with_masked(Field::InPort, value, mask),
        _ => matches.with_masked(field, value, mask),
    }
}
