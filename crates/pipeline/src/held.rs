//! The rows of [`crate::Desired`], packed: keys and instructions as the bytes of the wire, one allocation for each row.

use std::collections::HashMap;
use std::hash::BuildHasher;

use fseg_openflow::packed::{pack_match, unpack_instructions, unpack_match};
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::cookie::Owner;
use crate::desired::{Row, RowKey};
use crate::table::Table;

/// Stands for one row while it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(u32);

const NONE: u32 = u32::MAX;

/// ```text
/// bytes:  table 1 | priority 2 | match fields (OXM) … | instructions …
///         <----------- key_len ------------------->
/// ```
#[derive(Debug, Clone)]
struct Slot {
    owner: Owner,
    /// The next row of this owner; of a free slot, the next free one.
    next: u32,
    /// The turn that last said it stays.
    turn: u32,
    key_len: u16,
    bytes: Box<[u8]>,
}

impl Slot {
    fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.key_len)).unwrap_or_default()
    }

    fn actions(&self) -> &[u8] {
        self.bytes.get(usize::from(self.key_len)..).unwrap_or_default()
    }
}

/// Appends a key.
pub(crate) fn pack_key(key: &RowKey, out: &mut Vec<u8>) {
    out.push(key.table.number());
    out.extend_from_slice(&key.priority.to_be_bytes());
    pack_match(&key.matches, out);
}

/// What became of a row that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was there already.
    Same,
    /// It is new, or does something else now.
    Written,
    /// It replaces one of the same turn.
    Again,
    /// Another owner has its key.
    Foreign,
}

/// An owner's rows being replaced.
#[derive(Debug)]
pub(crate) struct Turn {
    owner: Owner,
    number: u32,
    /// The rows it had before.
    before: Vec<SlotId>,
    head: u32,
}

/// Rows by key and by owner.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    slots: Vec<Slot>,
    free: u32,
    by_key: HashTable<u32>,
    /// The first row of each owner.
    heads: HashMap<Owner, u32>,
    turn: u32,
    /// Seeded anew in each process: keys hold what endpoints choose.
    hasher: DefaultHashBuilder,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            by_key: HashTable::new(),
            heads: HashMap::new(),
            turn: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn slot(&self, id: u32) -> Option<&Slot> {
        self.slots.get(id as usize)
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<SlotId> {
        self.find_hashed(self.hasher.hash_one(key), key)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<SlotId> {
        self.by_key.find(hash, |id| self.slot(*id).is_some_and(|s| s.key() == key)).map(|id| SlotId(*id))
    }

    pub(crate) fn owner(&self, id: SlotId) -> Option<Owner> {
        self.slot(id.0).map(|s| s.owner)
    }

    pub(crate) fn actions(&self, id: SlotId) -> &[u8] {
        self.slot(id.0).map_or(&[], Slot::actions)
    }

    /// The row, unpacked.
    pub(crate) fn row(&self, id: SlotId) -> Option<Row> {
        let slot = self.slot(id.0)?;
        let (&[table, high, low], matches) = slot.key().split_first_chunk::<3>()?;
        let key = RowKey {
            table: Table::from_number(table)?,
            priority: u16::from_be_bytes([high, low]),
            matches: unpack_match(matches).ok()?,
        };
        Some(Row { key, owner: slot.owner, instructions: unpack_instructions(slot.actions()).ok()? })
    }

    /// Everything that is held, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SlotId> + '_ {
        (0..).zip(&self.slots).filter(|(_, s)| s.key_len > 0).map(|(id, _)| SlotId(id))
    }

    pub(crate) fn of_owner(&self, owner: Owner) -> impl Iterator<Item = SlotId> + '_ {
        let first = self.heads.get(&owner).copied();
        std::iter::successors(first, |id| self.slot(*id).map(|s| s.next).filter(|next| *next != NONE)).map(SlotId)
    }

    pub(crate) fn owners(&self) -> impl Iterator<Item = Owner> + '_ {
        self.heads.keys().copied()
    }

    /// From here to [`Held::finish`], rows are put that `owner` shall have.
    pub(crate) fn begin(&mut self, owner: Owner) -> Turn {
        let before = self.of_owner(owner).collect();
        self.turn = self.turn.wrapping_add(1).max(1);
        Turn { owner, number: self.turn, before, head: NONE }
    }

    pub(crate) fn put(&mut self, turn: &mut Turn, packed: &[u8], key_len: usize) -> Put {
        let (key, actions) = packed.split_at_checked(key_len).unwrap_or((packed, &[]));
        let hash = self.hasher.hash_one(key);
        let Some(id) = self.find_hashed(hash, key) else {
            turn.head = self.write(hash, turn.owner, packed, key_len, turn.head, turn.number);
            return Put::Written;
        };
        let Some(slot) = self.slots.get_mut(id.0 as usize) else { return Put::Same };
        if slot.owner != turn.owner {
            return Put::Foreign;
        }
        let again = slot.turn == turn.number;
        if !again {
            slot.turn = turn.number;
            slot.next = turn.head;
            turn.head = id.0;
        }
        if slot.actions() == actions {
            return Put::Same;
        }
        slot.bytes = packed.into();
        if again { Put::Again } else { Put::Written }
    }

    /// The owner's rows that were not put; they are its no more, and must be removed.
    pub(crate) fn finish(&mut self, turn: Turn) -> Vec<SlotId> {
        if turn.head == NONE {
            self.heads.remove(&turn.owner);
        } else {
            self.heads.insert(turn.owner, turn.head);
        }
        let stale = |id: &SlotId| self.slot(id.0).is_some_and(|s| s.turn != turn.number);
        turn.before.into_iter().filter(stale).collect()
    }

    /// One more row of an owner.
    pub(crate) fn insert(&mut self, owner: Owner, packed: &[u8], key_len: usize) {
        let head = self.heads.get(&owner).copied().unwrap_or(NONE);
        let hash = self.hasher.hash_one(packed.get(..key_len).unwrap_or_default());
        let id = self.write(hash, owner, packed, key_len, head, 0);
        self.heads.insert(owner, id);
    }

    fn write(&mut self, hash: u64, owner: Owner, packed: &[u8], key_len: usize, next: u32, turn: u32) -> u32 {
        // Keys are a few dozen bytes: table, priority, and at most a handful of fields.
        let slot = Slot { owner, next, turn, key_len: key_len as u16, bytes: packed.into() };
        let id = match self.slots.get_mut(self.free as usize) {
            Some(place) => {
                let id = self.free;
                self.free = place.next;
                *place = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |id: &u32| hasher.hash_one(slots.get(*id as usize).map_or(&[][..], Slot::key));
        self.by_key.insert_unique(hash, id, rehash);
        id
    }

    /// Takes a row out whose owner no longer counts it among its own.
    pub(crate) fn remove(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get(id.0 as usize) else { return };
        let hash = self.hasher.hash_one(slot.key());
        if let Ok(entry) = self.by_key.find_entry(hash, |other| *other == id.0) {
            entry.remove();
        }
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            slot.bytes = Box::default();
            slot.key_len = 0;
            slot.next = self.free;
            self.free = id.0;
        }
    }
}
