//! What a switch should hold, by owner; changes as differences.

use std::collections::{BTreeMap, HashMap, HashSet};

use fseg_openflow::packed::pack_instructions;
use fseg_openflow::{FlowMod, Instruction, Match};

use crate::cookie::{Cookie, Owner};
use crate::held::{Held, Put, SlotId, pack_key};
use crate::table::Table;

/// What makes a row one row: table, priority and match (OpenFlow 1.3, 6.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// The table.
    pub table: Table,
    /// The priority.
    pub priority: u16,
    /// The match.
    pub matches: Match,
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it is.
    pub key: RowKey,
    /// Who it exists for.
    pub owner: Owner,
    /// What it does.
    pub instructions: Vec<Instruction>,
}

impl Row {
    /// The change that puts the row there.
    pub fn to_add(&self, round: u16) -> FlowMod {
        let mut m = FlowMod::add(self.key.table.number(), self.key.priority);
        m.cookie = Cookie { owner: self.owner, round }.to_u64();
        m.matches = self.key.matches.clone();
        m.instructions = self.instructions.clone();
        m
    }
}

/// The change that takes a row away.
pub fn to_delete(key: &RowKey) -> FlowMod {
    FlowMod::delete_strict(key.table.number(), key.priority, key.matches.clone())
}

/// What to change on one switch. Taking away comes first: a denial is never later than a permit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Rows to take away.
    pub remove: Vec<RowKey>,
    /// Rows to put there, new or over an older one of the same key.
    pub add: Vec<Row>,
}

impl Delta {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// How many rows are touched.
    pub fn len(&self) -> usize {
        self.remove.len() + self.add.len()
    }

    /// The changes in order: first what takes rights away.
    pub fn flow_mods(&self, round: u16) -> Vec<FlowMod> {
        self.remove.iter().map(to_delete).chain(self.add.iter().map(|r| r.to_add(round))).collect()
    }
}

/// What [`Desired::agrees`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Nobody has this key.
    Absent,
    /// Another owner has it, or it does something else.
    Different,
    /// It is as it should be.
    Same(SlotId),
}

/// What one switch should hold.
///
/// Rows are kept packed, about 150 bytes each: a large site has hundreds of thousands on every switch.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    held: Held,
    /// Rows whose key another owner holds: they take its place when it lets go.
    waiting: HashMap<RowKey, BTreeMap<Owner, Row>>,
    scratch: Vec<u8>,
}

impl Desired {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// No rows at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of a key.
    pub fn get(&self, key: &RowKey) -> Option<Row> {
        let mut packed = Vec::new();
        pack_key(key, &mut packed);
        self.held.row(self.held.find(&packed)?)
    }

    /// Whether a key has exactly this owner and these instructions.
    pub fn agrees(&self, key: &RowKey, owner: Owner, instructions: &[Instruction], scratch: &mut Vec<u8>) -> Agreement {
        scratch.clear();
        pack_key(key, scratch);
        let Some(slot) = self.held.find(scratch) else { return Agreement::Absent };
        let key_len = scratch.len();
        pack_instructions(instructions, scratch);
        match scratch.get(key_len..) {
            Some(actions) if self.held.owner(slot) == Some(owner) && self.held.actions(slot) == actions => {
                Agreement::Same(slot)
            }
            _ => Agreement::Different,
        }
    }

    /// The rows that are not among `seen`, as [`Desired::agrees`] told them, in no order.
    pub fn missing<'a>(&'a self, seen: &'a HashSet<SlotId>) -> impl Iterator<Item = Row> + 'a {
        self.held.ids().filter(|id| !seen.contains(id)).filter_map(|id| self.held.row(id))
    }

    /// All rows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.held.ids().filter_map(|id| self.held.row(id))
    }

    /// The rows of an owner, in order.
    pub fn of_owner(&self, owner: Owner) -> impl Iterator<Item = Row> + use<> {
        let mut rows: Vec<Row> = self.held.of_owner(owner).filter_map(|id| self.held.row(id)).collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rows.into_iter()
    }

    /// All owners that have rows.
    pub fn owners(&self) -> impl Iterator<Item = Owner> + '_ {
        self.held.owners()
    }

    /// Makes `rows` all that `owner` has, and says what must change on the switch. Rows that stay are untouched.
    ///
    /// Two owners never write one row in turns: a key that another owner holds stays with that owner, and the row waits
    /// until it lets go (as when a prefix changes from one external to another, whichever of the two is replaced first).
    pub fn replace(&mut self, owner: Owner, rows: Vec<Row>) -> Delta {
        let mut delta = Delta::default();
        if !self.waiting.is_empty() {
            self.waiting.retain(|_, rows| {
                rows.remove(&owner);
                !rows.is_empty()
            });
        }
        let mut turn = self.held.begin(owner);
        let mut packed = std::mem::take(&mut self.scratch);
        for row in rows {
            debug_assert_eq!(row.owner, owner);
            debug_assert_eq!(crate::table::violation(&row), None, "{row:?}");
            packed.clear();
            pack_key(&row.key, &mut packed);
            let key_len = packed.len();
            pack_instructions(&row.instructions, &mut packed);
            match self.held.put(&mut turn, &packed, key_len) {
                Put::Same => {}
                Put::Written => delta.add.push(row),
                // The same key twice in one list: the last one counts.
                Put::Again => {
                    delta.add.retain(|r| r.key != row.key);
                    delta.add.push(row);
                }
                Put::Foreign => {
                    self.waiting.entry(row.key.clone()).or_default().insert(owner, row);
                }
            }
        }
        self.scratch = packed;
        for slot in self.held.finish(turn) {
            let Some(row) = self.held.row(slot) else { continue };
            self.held.remove(slot);
            self.let_go(row.key, &mut delta);
        }
        // In an order of their own, so that the same changes give the same messages.
        delta.add.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        delta.remove.sort_unstable();
        delta
    }

    /// Hands a key that became free to an owner that waits for it, or says that it is to be removed.
    fn let_go(&mut self, key: RowKey, delta: &mut Delta) {
        let heir = self.waiting.get_mut(&key).and_then(BTreeMap::pop_first);
        if self.waiting.get(&key).is_some_and(BTreeMap::is_empty) {
            self.waiting.remove(&key);
        }
        match heir {
            Some((_, row)) => {
                let mut packed = Vec::new();
                pack_key(&row.key, &mut packed);
                let key_len = packed.len();
                pack_instructions(&row.instructions, &mut packed);
                self.held.insert(row.owner, &packed, key_len);
                delta.add.push(row);
            }
            None => delta.remove.push(key),
        }
    }
}

/// Changes that wait to be sent, one per row: the latest counts.
#[derive(Debug, Clone, Default)]
pub struct Unsent(BTreeMap<RowKey, Option<Row>>);

impl Unsent {
    /// Takes in a later change.
    pub fn push(&mut self, delta: Delta) {
        self.0.extend(delta.remove.into_iter().map(|key| (key, None)));
        self.0.extend(delta.add.into_iter().map(|row| (row.key.clone(), Some(row))));
    }

    /// What becomes of one row, instead of what was to become of it.
    pub fn set(&mut self, key: RowKey, row: Option<Row>) {
        self.0.insert(key, row);
    }

    /// This row needs no change any more.
    pub fn forget(&mut self, key: &RowKey) {
        self.0.remove(key);
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows are to be added (or changed), and how many removed.
    pub fn counts(&self) -> (usize, usize) {
        let added = self.0.values().filter(|row| row.is_some()).count();
        (added, self.0.len() - added)
    }

    /// Hands out everything that waits.
    pub fn take(&mut self) -> Delta {
        let mut delta = Delta::default();
        for (key, row) in std::mem::take(&mut self.0) {
            match row {
                Some(row) => delta.add.push(row),
                None => delta.remove.push(key),
            }
        }
        delta
    }
}
