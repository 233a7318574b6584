//! What a switch should hold, by owner; changes as differences.

use std::collections::HashMap;

use fseg_openflow::{FlowMod, Instruction, Match};

use crate::cookie::{Cookie, Owner};
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

    /// One after the other: the later one wins where both touch a row.
    pub fn then(&mut self, later: Delta) {
        if self.is_empty() {
            *self = later;
            return;
        }
        for key in &later.remove {
            self.add.retain(|r| r.key != *key);
        }
        for row in &later.add {
            self.add.retain(|r| r.key != row.key);
            self.remove.retain(|k| *k != row.key);
        }
        self.remove.extend(later.remove);
        self.add.extend(later.add);
    }

    /// The changes in order: first what takes rights away.
    pub fn flow_mods(&self, round: u16) -> Vec<FlowMod> {
        self.remove.iter().map(to_delete).chain(self.add.iter().map(|r| r.to_add(round))).collect()
    }
}

/// What one switch should hold.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    rows: HashMap<RowKey, Row>,
    by_owner: HashMap<Owner, Vec<RowKey>>,
}

impl Desired {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No rows at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a key.
    pub fn get(&self, key: &RowKey) -> Option<&Row> {
        self.rows.get(key)
    }

    /// All rows, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// The rows of an owner.
    pub fn of_owner(&self, owner: Owner) -> impl Iterator<Item = &Row> {
        self.by_owner.get(&owner).into_iter().flatten().filter_map(|k| self.rows.get(k))
    }

    /// All owners that have rows.
    pub fn owners(&self) -> impl Iterator<Item = Owner> + '_ {
        self.by_owner.keys().copied()
    }

    /// Makes `rows` all that `owner` has, and says what must change on the switch. Rows that stay are untouched. A key
    /// that another owner holds stays with that owner: two owners never write one row in turns.
    pub fn replace(&mut self, owner: Owner, rows: Vec<Row>) -> Delta {
        let mut delta = Delta::default();
        let mut keys = Vec::with_capacity(rows.len());
        let mut fresh: HashMap<&RowKey, &Row> = HashMap::with_capacity(rows.len());
        for row in &rows {
            debug_assert_eq!(row.owner, owner);
            debug_assert_eq!(crate::table::violation(row), None, "{row:?}");
            fresh.insert(&row.key, row);
        }
        for key in self.by_owner.remove(&owner).unwrap_or_default() {
            if !fresh.contains_key(&key) {
                self.rows.remove(&key);
                delta.remove.push(key);
            }
        }
        for row in &rows {
            if !fresh.get(&row.key).is_some_and(|last| std::ptr::eq(*last, row)) {
                continue; // the same key twice in one list: the last one counts
            }
            match self.rows.get(&row.key) {
                Some(there) if there.owner != owner => continue,
                Some(there) if there.instructions == row.instructions => {}
                _ => {
                    self.rows.insert(row.key.clone(), row.clone());
                    delta.add.push(row.clone());
                }
            }
            keys.push(row.key.clone());
        }
        if !keys.is_empty() {
            self.by_owner.insert(owner, keys);
        }
        delta
    }
}
