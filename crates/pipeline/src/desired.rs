//! What a switch should hold, by owner; changes as differences.

use std::collections::{BTreeMap, HashMap};

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
    /// Rows whose key another owner holds: they take its place when it lets go.
    waiting: HashMap<RowKey, BTreeMap<Owner, Row>>,
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

    /// Makes `rows` all that `owner` has, and says what must change on the switch. Rows that stay are untouched.
    ///
    /// Two owners never write one row in turns: a key that another owner holds stays with that owner, and the row waits
    /// until it lets go (as when a prefix changes from one external to another, whichever of the two is replaced first).
    pub fn replace(&mut self, owner: Owner, rows: Vec<Row>) -> Delta {
        let mut delta = Delta::default();
        let mut fresh: HashMap<RowKey, Row> = HashMap::with_capacity(rows.len());
        for row in rows {
            debug_assert_eq!(row.owner, owner);
            debug_assert_eq!(crate::table::violation(&row), None, "{row:?}");
            fresh.insert(row.key.clone(), row); // the same key twice in one list: the last one counts
        }
        self.waiting.retain(|_, rows| {
            rows.remove(&owner);
            !rows.is_empty()
        });
        for key in self.by_owner.remove(&owner).unwrap_or_default() {
            if !fresh.contains_key(&key) {
                self.let_go(key, &mut delta);
            }
        }
        let mut keys = Vec::with_capacity(fresh.len());
        for (key, row) in fresh {
            match self.rows.get(&key) {
                Some(there) if there.owner != owner => {
                    self.waiting.entry(key).or_default().insert(owner, row);
                    continue;
                }
                Some(there) if there.instructions == row.instructions => {}
                _ => {
                    self.rows.insert(key.clone(), row.clone());
                    delta.add.push(row);
                }
            }
            keys.push(key);
        }
        if !keys.is_empty() {
            // In an order of their own, so that the same changes give the same messages.
            keys.sort_unstable();
            self.by_owner.insert(owner, keys);
        }
        delta.add.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        delta
    }

    /// Takes a row away, or hands its key to an owner that waits for it.
    fn let_go(&mut self, key: RowKey, delta: &mut Delta) {
        let heir = self.waiting.get_mut(&key).and_then(BTreeMap::pop_first);
        if self.waiting.get(&key).is_some_and(BTreeMap::is_empty) {
            self.waiting.remove(&key);
        }
        match heir {
            Some((owner, row)) => {
                self.by_owner.entry(owner).or_default().push(key.clone());
                self.rows.insert(key, row.clone());
                delta.add.push(row);
            }
            None => {
                self.rows.remove(&key);
                delta.remove.push(key);
            }
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
