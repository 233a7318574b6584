//! Tables of rows, changed exactly as OpenFlow 1.3.5 (6.4) says, and searched as Open vSwitch searches them.
//!
//! Rows of one table that match the same bits of the same fields share a *shape*: one look into a hash map finds those of
//! a shape that a packet meets. Shapes are tried in the order of their highest priority, and no further than the priority
//! of what was found (Srinivasan, Suri, Varghese: "Packet classification using tuple space search").

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::action::Action;
use crate::field::Field;
use crate::flow::{FlowCommand, FlowMod, FlowStats, GROUP_ANY, TABLE_ALL};
use crate::instruction::Instruction;
use crate::oxm::Match;
use crate::port;
use crate::simulate::packet::Packet;

/// Why a change is refused: error type and code (OpenFlow 1.3.5, 7.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub u16, pub u16);

/// Stands for a row of [`Tables`] until it is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(u32);

/// A row as a switch keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// As given.
    pub cookie: u64,
    /// As given.
    pub instructions: Vec<Instruction>,
    /// As given.
    pub idle_timeout: u16,
    /// As given.
    pub hard_timeout: u16,
    /// Packets that met it.
    pub packets: u64,
    /// Bytes of those.
    pub bytes: u64,
}

type Key = (u8, Reverse<u16>, Match);

/// A clause of a conjunction: id, clause from 1, number of clauses.
type Clause = (u32, u8, u8);

#[derive(Debug, Clone)]
struct Entry {
    key: Key,
    stored: Stored,
    /// Empty for a row that acts by itself.
    clauses: Vec<Clause>,
}

/// Rows that match the same bits of the same fields.
#[derive(Debug, Clone)]
struct Shape {
    fields: Vec<(Field, u128)>,
    /// No row of it has a higher one.
    highest: u16,
    /// Rows by the values of `fields`, highest priority first.
    rows: HashMap<Box<[u128]>, Vec<RowId>>,
}

/// All tables of one switch.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    entries: Vec<Option<Entry>>,
    free: Vec<RowId>,
    by_key: BTreeMap<Key, RowId>,
    /// Of each table, highest first.
    shapes: BTreeMap<u8, Vec<Shape>>,
}

const FLOW_MOD_FAILED: u16 = 5;
const OVERLAP: u16 = 3;
const BAD_MATCH: u16 = 4;
const BAD_PREREQ: u16 = 9;

impl Tables {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Every row: table, priority, match, content; highest priority first within a table.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u16, &Match, &Stored)> {
        self.by_key.values().filter_map(|id| self.row(*id))
    }

    /// The row of exactly this table, priority and match.
    pub fn get(&self, table: u8, priority: u16, matches: &Match) -> Option<&Stored> {
        let id = self.by_key.get(&(table, Reverse(priority), matches.clone()))?;
        self.entry(*id).map(|entry| &entry.stored)
    }

    /// A row by its number: table, priority, match, content.
    pub fn row(&self, id: RowId) -> Option<(u8, u16, &Match, &Stored)> {
        let Entry { key: (table, Reverse(priority), matches), stored, .. } = self.entry(id)?;
        Some((*table, *priority, matches, stored))
    }

    fn entry(&self, id: RowId) -> Option<&Entry> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    /// Counts a packet that met a row.
    pub fn count(&mut self, id: RowId, bytes: usize) {
        if let Some(Some(entry)) = self.entries.get_mut(id.0 as usize) {
            entry.stored.packets += 1;
            entry.stored.bytes += bytes as u64;
        }
    }

    /// Changes rows as told; says how many rows were added, changed or taken away.
    pub fn apply(&mut self, change: &FlowMod) -> Result<usize, Refused> {
        if change.matches.missing_prerequisite().is_some() {
            return Err(Refused(BAD_MATCH, BAD_PREREQ));
        }
        let key = (change.table, Reverse(change.priority), change.matches.clone());
        match change.command {
            FlowCommand::Add => {
                if change.flags & crate::flow::FLAG_CHECK_OVERLAP != 0 && self.overlaps(&key) {
                    return Err(Refused(FLOW_MOD_FAILED, OVERLAP));
                }
                self.insert(key, change);
                Ok(1)
            }
            FlowCommand::DeleteStrict => {
                let found = self.by_key.get(&key).copied().filter(|id| self.selected(*id, change));
                found.into_iter().for_each(|id| self.remove(id));
                Ok(usize::from(found.is_some()))
            }
            FlowCommand::Delete => {
                let found = self.within(change);
                found.iter().for_each(|id| self.remove(*id));
                Ok(found.len())
            }
            FlowCommand::ModifyStrict => {
                let found = self.by_key.get(&key).copied().filter(|id| self.selected(*id, change));
                found.into_iter().for_each(|id| self.modify(id, change));
                Ok(usize::from(found.is_some()))
            }
            FlowCommand::Modify => {
                let found = self.within(change);
                found.iter().for_each(|id| self.modify(*id, change));
                Ok(found.len())
            }
        }
    }

    fn overlaps(&self, key: &Key) -> bool {
        let same = |other: &&Key| other.0 == key.0 && other.1 == key.1;
        self.by_key.keys().filter(same).any(|other| *other != *key && meet(&other.2, &key.2))
    }

    fn insert(&mut self, key: Key, change: &FlowMod) {
        if let Some(old) = self.by_key.get(&key).copied() {
            self.remove(old);
        }
        let stored = Stored {
            cookie: change.cookie,
            instructions: change.instructions.clone(),
            idle_timeout: change.idle_timeout,
            hard_timeout: change.hard_timeout,
            packets: 0,
            bytes: 0,
        };
        let clauses = clauses(&stored.instructions);
        let id = self.free.pop().unwrap_or(RowId(self.entries.len() as u32));
        let (table, priority, values) = (key.0, key.1.0, values_of(&key.2));
        let fields = fields_of(&key.2);
        let entry = Some(Entry { key: key.clone(), stored, clauses });
        match self.entries.get_mut(id.0 as usize) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        self.by_key.insert(key, id);
        let shapes = self.shapes.entry(table).or_default();
        let at = shapes.iter().position(|shape| shape.fields == fields).unwrap_or_else(|| {
            shapes.push(Shape { fields, highest: 0, rows: HashMap::new() });
            shapes.len() - 1
        });
        let Some(shape) = shapes.get_mut(at) else { return };
        let entries = &self.entries;
        let priority_of =
            |id: &RowId| entries.get(id.0 as usize).and_then(Option::as_ref).map_or(0, |entry| entry.key.1.0);
        let rows = shape.rows.entry(values).or_default();
        let place = rows.iter().position(|other| priority_of(other) <= priority).unwrap_or(rows.len());
        rows.insert(place, id);
        if priority > shape.highest || shape.rows.len() == 1 {
            shape.highest = shape.highest.max(priority);
            shapes.sort_by_key(|shape| Reverse(shape.highest));
        }
    }

    fn remove(&mut self, id: RowId) {
        let Some(entry) = self.entries.get_mut(id.0 as usize).and_then(Option::take) else { return };
        self.by_key.remove(&entry.key);
        self.free.push(id);
        let (fields, values) = (fields_of(&entry.key.2), values_of(&entry.key.2));
        let Some(shapes) = self.shapes.get_mut(&entry.key.0) else { return };
        let Some(at) = shapes.iter().position(|shape| shape.fields == fields) else { return };
        let Some(shape) = shapes.get_mut(at) else { return };
        if let Some(rows) = shape.rows.get_mut(&values) {
            rows.retain(|other| *other != id);
            if rows.is_empty() {
                shape.rows.remove(&values);
            }
        }
        if shape.rows.is_empty() {
            shapes.remove(at);
        }
    }

    fn modify(&mut self, id: RowId, change: &FlowMod) {
        if let Some(Some(entry)) = self.entries.get_mut(id.0 as usize) {
            entry.stored.instructions = change.instructions.clone();
            entry.clauses = clauses(&change.instructions);
        }
    }

    /// Whether a change speaks of a row, by cookie and by what the row uses (OpenFlow 1.3.5, 6.4).
    fn selected(&self, id: RowId, change: &FlowMod) -> bool {
        let Some(Entry { stored, .. }) = self.entry(id) else { return false };
        let deletes = matches!(change.command, FlowCommand::Delete | FlowCommand::DeleteStrict);
        let uses = |wanted: &dyn Fn(&Action) -> bool| {
            stored.instructions.iter().any(|instruction| match instruction {
                Instruction::ApplyActions(list) | Instruction::WriteActions(list) => list.iter().any(wanted),
                _ => false,
            })
        };
        let port = |action: &Action| matches!(action, Action::Output { port, .. } if *port == change.out_port);
        let group = |action: &Action| matches!(action, Action::Group(group) if *group == change.out_group);
        (stored.cookie ^ change.cookie) & change.cookie_mask == 0
            && (!deletes || change.out_port == port::ANY || uses(&port))
            && (!deletes || change.out_group == GROUP_ANY || uses(&group))
    }

    fn within(&self, change: &FlowMod) -> Vec<RowId> {
        let here = |key: &Key| change.table == TABLE_ALL || key.0 == change.table;
        let inside = |(key, id): (&Key, &RowId)| {
            (here(key) && within(&key.2, &change.matches) && self.selected(*id, change)).then_some(*id)
        };
        self.by_key.iter().filter_map(inside).collect()
    }

    /// What a statistics request for a table, a cookie and a match is answered with.
    pub fn stats(&self, table: u8, cookie: u64, mask: u64, wanted: &Match) -> Vec<FlowStats> {
        self.iter()
            .filter(|(t, _, m, row)| {
                (table == TABLE_ALL || *t == table) && (row.cookie ^ cookie) & mask == 0 && within(m, wanted)
            })
            .map(|(table, priority, matches, row)| FlowStats {
                table,
                priority,
                cookie: row.cookie,
                idle_timeout: row.idle_timeout,
                hard_timeout: row.hard_timeout,
                packet_count: row.packets,
                byte_count: row.bytes,
                matches: matches.clone(),
                instructions: row.instructions.clone(),
                ..FlowStats::default()
            })
            .collect()
    }

    /// The row a packet meets in a table. Of several rows of one priority any may be the one (OpenFlow 1.3.5, 5.3).
    ///
    /// Conjunctions are resolved as ovs-fields(7) says: of the rows above the best row that acts by itself, those of one
    /// priority are looked at together; when all clauses of a conjunction are met among them, the table is searched again
    /// with its id in `conj_id`, and without conjunctions.
    pub fn find(&self, table: u8, packet: &Packet) -> Option<RowId> {
        let (alone, joined) = self.candidates(table, packet, None);
        let floor = alone.map(|(priority, _)| priority);
        let mut levels: BTreeMap<Reverse<u16>, BTreeMap<u32, (u64, u8)>> = BTreeMap::new();
        for (priority, id) in joined.into_iter().filter(|(priority, _)| floor.is_none_or(|floor| *priority > floor)) {
            for (conjunction, clause, of) in self.entry(id).map_or(&[][..], |entry| &entry.clauses) {
                let met = levels.entry(Reverse(priority)).or_default().entry(*conjunction).or_insert((0, *of));
                met.0 |= 1_u64.checked_shl(u32::from(*clause).saturating_sub(1)).unwrap_or(0);
            }
        }
        for (_, conjunctions) in levels {
            let complete = |(seen, of): &(u64, u8)| seen.count_ones() >= u32::from(*of);
            if let Some((id, _)) = conjunctions.iter().find(|(_, met)| complete(met))
                && let (Some((_, row)), _) = self.candidates(table, packet, Some(*id))
            {
                return Some(row);
            }
        }
        alone.map(|(_, row)| row)
    }

    /// The best row that acts by itself, and the rows of conjunctions above it, with priorities. With a conjunction's id
    /// `conj_id` has that value, and rows of conjunctions are passed over.
    #[expect(clippy::type_complexity, reason = "used once, just above")]
    fn candidates(
        &self,
        table: u8,
        packet: &Packet,
        conjunction: Option<u32>,
    ) -> (Option<(u16, RowId)>, Vec<(u16, RowId)>) {
        let mut best: Option<(u16, RowId)> = None;
        let mut joined = Vec::new();
        let mut values = Vec::new();
        for shape in self.shapes.get(&table).into_iter().flatten() {
            if best.is_some_and(|(priority, _)| shape.highest < priority) {
                break;
            }
            values.clear();
            values.extend(shape.fields.iter().map(|(field, mask)| {
                let value = match (field, conjunction) {
                    (Field::ConjId, Some(id)) => id.into(),
                    _ => packet.seen(*field),
                };
                value & mask
            }));
            for id in shape.rows.get(values.as_slice()).into_iter().flatten() {
                let Some(entry) = self.entry(*id) else { continue };
                let priority = entry.key.1.0;
                if best.is_some_and(|(best, _)| best >= priority) {
                    break;
                }
                if entry.clauses.is_empty() {
                    best = Some((priority, *id));
                    break;
                }
                if conjunction.is_none() {
                    joined.push((priority, *id));
                }
            }
        }
        (best, joined)
    }
}

fn fields_of(matches: &Match) -> Vec<(Field, u128)> {
    matches.iter().map(|(field, value)| (*field, value.mask.unwrap_or(field.full_mask()))).collect()
}

fn values_of(matches: &Match) -> Box<[u128]> {
    matches.iter().map(|(_, value)| value.value).collect()
}

/// Whether every packet of `matches` is one of `wanted` (OpenFlow 1.3.5, 6.4: non-strict).
fn within(matches: &Match, wanted: &Match) -> bool {
    wanted.iter().all(|(field, want)| {
        matches.get(*field).is_some_and(|have| {
            let full = field.full_mask();
            let (want_mask, have_mask) = (want.mask.unwrap_or(full), have.mask.unwrap_or(full));
            have_mask & want_mask == want_mask && have.value & want_mask == want.value
        })
    })
}

/// Whether some packet could satisfy both.
fn meet(one: &Match, other: &Match) -> bool {
    one.iter().all(|(field, value)| {
        other.get(*field).is_none_or(|against| {
            let full = field.full_mask();
            let mask = value.mask.unwrap_or(full) & against.mask.unwrap_or(full);
            (value.value ^ against.value) & mask == 0
        })
    })
}

fn clauses(instructions: &[Instruction]) -> Vec<Clause> {
    instructions
        .iter()
        .filter_map(|i| if let Instruction::ApplyActions(actions) = i { Some(actions) } else { None })
        .flatten()
        .filter_map(|action| match action {
            Action::Conjunction { id, clause, of } => Some((*id, *clause, *of)),
            _ => None,
        })
        .collect()
}
