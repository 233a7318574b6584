//! Random corruptions of single rows.

use fseg_openflow::{Action, Field, FlowStats, Instruction, Value};

/// A small generator of numbers, so that a failure can be repeated by its seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }
}

/// What was done to which row.
#[derive(Debug, Clone)]
pub(crate) struct Corruption {
    pub(crate) kind: &'static str,
    /// The row before; `None` when one was added.
    pub(crate) before: Option<FlowStats>,
    /// The row after; `None` when one was deleted.
    pub(crate) after: Option<FlowStats>,
}

/// Picks a table first, so that small tables are corrupted as often as large ones.
fn pick<'a>(rows: &'a [FlowStats], dice: &mut Dice) -> &'a FlowStats {
    let mut tables: Vec<u8> = rows.iter().map(|r| r.table).collect();
    tables.sort_unstable();
    tables.dedup();
    let table = tables[dice.roll(tables.len())];
    let there: Vec<&FlowStats> = rows.iter().filter(|r| r.table == table).collect();
    there[dice.roll(there.len())]
}

/// One corruption of one row; `None` when the dice chose one that cannot be.
pub(crate) fn corrupt(rows: &[FlowStats], dice: &mut Dice) -> Option<Corruption> {
    let row = pick(rows, dice);
    let mut after = row.clone();
    let (kind, before, after) = match dice.roll(6) {
        0 => ("deleted", Some(row.clone()), None),
        1 => {
            // A copy of a row, more general or more special than it, at another priority.
            field(&mut after, dice)?;
            after.priority = (after.priority as usize + dice.roll(60)).saturating_sub(30) as u16;
            ("added", None, Some(after))
        }
        2 => {
            after.priority = [1, 60, 105, 250, 395, 900, 1001][dice.roll(7)];
            ("priority", Some(row.clone()), Some(after))
        }
        3 => {
            field(&mut after, dice)?;
            ("match", Some(row.clone()), Some(after))
        }
        4 => {
            actions(&mut after, dice)?;
            ("actions", Some(row.clone()), Some(after))
        }
        _ => {
            metadata(&mut after, dice)?;
            ("class", Some(row.clone()), Some(after))
        }
    };
    let same_key =
        |r: &FlowStats, a: &FlowStats| (r.table, r.priority, &r.matches) == (a.table, a.priority, &a.matches);
    if let Some(a) = &after {
        let unchanged = before.as_ref().is_some_and(|b| same_key(b, a) && b.instructions == a.instructions);
        let taken = rows.iter().any(|r| same_key(r, a) && !before.as_ref().is_some_and(|b| same_key(b, a)));
        // The switch refuses what lacks a prerequisite.
        if unchanged || taken || a.matches.missing_prerequisite().is_some() {
            return None;
        }
    }
    Some(Corruption { kind, before, after })
}

fn field(row: &mut FlowStats, dice: &mut Dice) -> Option<()> {
    let fields: Vec<(Field, Value)> = row.matches.iter().copied().collect();
    let (field, value) = *fields.get(dice.roll(fields.len()))?;
    if matches!(field, Field::EthType | Field::ConjId) {
        return None;
    }
    let bits = usize::from(field.width());
    let mask = value.mask.unwrap_or(field.full_mask());
    let maskable = !matches!(field, Field::InPort | Field::IpProto | Field::Icmpv4Type | Field::ArpOp);
    let bit = 1_u128 << dice.roll(bits);
    let matches = std::mem::take(&mut row.matches);
    row.matches = match dice.roll(3) {
        0 => matches.with_masked(field, value.value ^ (bit & mask), mask),
        1 if maskable => matches.with_masked(field, value.value, mask & !bit),
        1 => matches.without(field),
        _ => matches.without(field),
    };
    Some(())
}

fn actions(row: &mut FlowStats, dice: &mut Dice) -> Option<()> {
    match dice.roll(3) {
        0 => {
            let goto = row.instructions.iter_mut().find_map(|i| match i {
                Instruction::GotoTable(n) => Some(n),
                _ => None,
            })?;
            *goto = (*goto + 1 + dice.roll(2) as u8).min(9);
            (*goto > row.table).then_some(())
        }
        1 => {
            let list = row.instructions.iter_mut().find_map(|i| match i {
                Instruction::ApplyActions(list) | Instruction::WriteActions(list) => Some(list),
                _ => None,
            })?;
            let at = dice.roll(list.len());
            match list.get_mut(at)? {
                Action::SetField { value, mask: None, field } => {
                    *value ^= 1 << dice.roll(usize::from(field.width().min(4)))
                }
                Action::Output { port, .. } if *port < 100 => *port += 1,
                _ => drop(list.remove(at)),
            }
            Some(())
        }
        _ => {
            row.instructions = vec![];
            Some(())
        }
    }
}

fn metadata(row: &mut FlowStats, dice: &mut Dice) -> Option<()> {
    for i in &mut row.instructions {
        if let Instruction::WriteMetadata { value, mask } = i {
            *value = (*value ^ 1 << dice.roll(48)) & *mask;
            return Some(());
        }
    }
    let v = *row.matches.get(Field::Metadata)?;
    let matches = std::mem::take(&mut row.matches);
    let mask = v.mask.unwrap_or(u64::MAX.into());
    row.matches = matches.with_masked(Field::Metadata, v.value ^ (1 << dice.roll(46)) & mask, mask);
    Some(())
}
