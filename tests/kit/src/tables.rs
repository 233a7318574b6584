//! Tables of rows, changed exactly as OpenFlow 1.3 (6.4) says.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fseg_openflow::flow::TABLE_ALL;
use fseg_openflow::{Action, Field, FlowCommand, FlowMod, FlowStats, Instruction, Match};

use crate::packet::Packet;

/// Why a change is refused: error type and code (OpenFlow 1.3, 7.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub u16, pub u16);

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

/// All tables of one switch.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    rows: BTreeMap<Key, Stored>,
}

impl Tables {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Every row: table, priority, match, content.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u16, &Match, &Stored)> {
        self.rows.iter().map(|((table, Reverse(priority), m), row)| (*table, *priority, m, row))
    }

    /// The row of exactly this table, priority and match.
    pub fn get(&self, table: u8, priority: u16, matches: &Match) -> Option<&Stored> {
        self.rows.get(&(table, Reverse(priority), matches.clone()))
    }

    /// Changes rows as told; says how many rows were added, changed or taken away.
    pub fn apply(&mut self, change: &FlowMod) -> Result<usize, Refused> {
        const BAD_MATCH: u16 = 4;
        const BAD_PREREQ: u16 = 9;
        if change.matches.missing_prerequisite().is_some() {
            return Err(Refused(BAD_MATCH, BAD_PREREQ));
        }
        let key = (change.table, Reverse(change.priority), change.matches.clone());
        match change.command {
            FlowCommand::Add => {
                self.rows.insert(
                    key,
                    Stored {
                        cookie: change.cookie,
                        instructions: change.instructions.clone(),
                        idle_timeout: change.idle_timeout,
                        hard_timeout: change.hard_timeout,
                        packets: 0,
                        bytes: 0,
                    },
                );
                Ok(1)
            }
            FlowCommand::DeleteStrict => Ok(usize::from(self.rows.remove(&key).is_some())),
            FlowCommand::Delete => {
                let before = self.rows.len();
                self.rows.retain(|(table, _, matches), row| {
                    let here = change.table == TABLE_ALL || *table == change.table;
                    let cookie = (row.cookie ^ change.cookie) & change.cookie_mask == 0;
                    !(here && cookie && within(matches, &change.matches))
                });
                Ok(before - self.rows.len())
            }
            FlowCommand::Modify | FlowCommand::ModifyStrict => panic!("{:?} is not simulated", change.command),
        }
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

    /// The row a packet meets in a table, with its cookie and instructions; counted.
    pub(crate) fn lookup(&mut self, table: u8, packet: &mut Packet, length: usize) -> Option<(u64, Vec<Instruction>)> {
        let key = self.find(table, packet)?;
        let row = self.rows.get_mut(&key)?;
        row.packets += 1;
        row.bytes += length as u64;
        Some((row.cookie, row.instructions.clone()))
    }

    /// Conjunctions are resolved as ovs-fields(7) says: when all clauses of one are met at a priority, the table is
    /// searched again with its id. A row that matches by itself goes first at the same priority.
    fn find(&self, table: u8, packet: &mut Packet) -> Option<Key> {
        let first = (table, Reverse(u16::MAX), Match::new());
        let mut met: BTreeMap<u32, (u64, u8)> = BTreeMap::new();
        let mut level = u16::MAX;
        for (key, row) in self.rows.range(first..).take_while(|((t, _, _), _)| *t == table) {
            if key.1.0 != level {
                if let Some(hit) = self.complete(table, packet, &mut met) {
                    return Some(hit);
                }
                level = key.1.0;
            }
            if !packet.matches(&key.2) {
                continue;
            }
            let parts = conjunctions(&row.instructions);
            if parts.is_empty() {
                return Some(key.clone());
            }
            for (id, clause, of) in parts {
                met.entry(id).or_insert((0, of)).0 |= 1 << clause;
            }
        }
        self.complete(table, packet, &mut met)
    }

    /// The row of a conjunction all of whose clauses were met at one priority.
    fn complete(&self, table: u8, packet: &mut Packet, met: &mut BTreeMap<u32, (u64, u8)>) -> Option<Key> {
        for (id, (seen, of)) in std::mem::take(met) {
            if seen.count_ones() == u32::from(of) {
                packet.set(Field::ConjId, id.into(), u128::MAX);
                let hit = self.find_with_id(table, packet, id);
                packet.set(Field::ConjId, 0, u128::MAX);
                if hit.is_some() {
                    return hit;
                }
            }
        }
        None
    }

    fn find_with_id(&self, table: u8, packet: &Packet, id: u32) -> Option<Key> {
        let first = (table, Reverse(u16::MAX), Match::new());
        self.rows
            .range(first..)
            .take_while(|((t, _, _), _)| *t == table)
            .find(|((_, _, m), row)| {
                let by_id = m.exact(Field::ConjId) == Some(id.into());
                by_id && conjunctions(&row.instructions).is_empty() && packet.matches(m)
            })
            .map(|(key, _)| key.clone())
    }
}

/// Whether every packet of `matches` is one of `wanted` (OpenFlow 1.3, 6.4: non-strict).
fn within(matches: &Match, wanted: &Match) -> bool {
    wanted.iter().all(|(field, want)| {
        matches.get(*field).is_some_and(|have| {
            let full = field.full_mask();
            let (want_mask, have_mask) = (want.mask.unwrap_or(full), have.mask.unwrap_or(full));
            have_mask & want_mask == want_mask && have.value & want_mask == want.value
        })
    })
}

fn conjunctions(instructions: &[Instruction]) -> Vec<(u32, u8, u8)> {
    instructions
        .iter()
        .filter_map(|i| if let Instruction::ApplyActions(actions) = i { Some(actions) } else { None })
        .flatten()
        .filter_map(|a| match a {
            Action::Conjunction { id, clause, of } => Some((*id, *clause, *of)),
            _ => None,
        })
        .collect()
}
