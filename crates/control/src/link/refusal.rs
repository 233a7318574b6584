//! Rows that a switch refuses: singled out, so that one of them holds up no other, and tried again later each time.

use std::collections::BTreeMap;
use std::time::Duration;

use fseg_model::Mono;
use fseg_openflow::{Body, ErrorMessage, Message};
use fseg_pipeline::desired::to_delete;
use fseg_pipeline::{Delta, Misfit, Owner, RowKey, Table};

use super::change::{Changed, denies};
use super::{Link, LinkNews, LinkPhase};

/// A row that the switch refused.
#[derive(Debug)]
pub(super) struct TurnedDown {
    pub(super) owner: Owner,
    error: String,
    /// How often.
    tries: u32,
    /// When it is tried again.
    pub(super) at: Mono,
}

/// Why an owner's rows are not, or not all, on a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// Whose rows.
    pub owner: Owner,
    /// In which table the first of them would be.
    pub table: Table,
    /// How many.
    pub rows: usize,
    /// What the switch said, or what its tables lack.
    pub why: String,
}

/// The longest pause before a refused row is tried again: 256 s.
const LONGEST: u32 = 8;

impl Link {
    /// Takes in an error.
    pub(super) fn failed(
        &mut self,
        xid: u32,
        error: &ErrorMessage,
        now: Mono,
        round: u16,
        news: &mut Vec<LinkNews>,
        out: &mut Vec<Message>,
    ) {
        let text = super::error_text(error);
        self.last_error = Some(text.clone());
        let concerned = self.unconfirmed.iter_mut().find(|(barrier, f)| (f.first..=**barrier).contains(&xid));
        let Some((_, flight)) = concerned else {
            news.push(LinkNews::Failed { message: text });
            return;
        };
        let first = !std::mem::replace(&mut flight.refused, true);
        let changed = flight.sent.change(xid);
        if self.plain {
            match changed {
                Some(Changed::Row(key, owner)) => {
                    // An older row of the same key would stay in force in its place, with the rights that it gives.
                    let gone = self.message(Body::FlowMod(to_delete(&key)));
                    out.push(gone);
                    self.counters.remove(&key);
                    self.turn_down(key, owner, &text, now, news);
                }
                Some(Changed::Removal) | None => self.read_later(first, now),
            }
            news.push(LinkNews::Failed { message: text });
            return;
        }
        let repair = flight.repair;
        let alone = flight.sent.only_owner();
        let rescue = if first { flight.sent.denials() } else { Delta::default() };
        let all: Vec<RowKey> = match (&changed, alone) {
            (None, Some(_)) if first && repair => flight.sent.delta.add.iter().map(|r| r.key.clone()).collect(),
            _ => vec![],
        };
        if first {
            self.split |= repair;
            out.extend(self.rescue(rescue, round));
            news.push(LinkNews::Failed { message: text.clone() });
        }
        match changed {
            Some(Changed::Row(key, owner)) => self.turn_down(key, owner, &text, now, news),
            _ if !all.is_empty() => {
                let Some(owner) = alone else { return };
                for key in all {
                    self.turn_down(key, owner, &text, now, news);
                }
            }
            // The error for the bundle as a whole comes after that for the row.
            _ if !first => {}
            _ => self.read_later(first, now),
        }
    }

    /// What the switch holds is unknown: it is read again, later each time.
    fn read_later(&mut self, count: bool, now: Mono) {
        // One refused bundle may bring several errors; they count once.
        self.failures += u32::from(count);
        let wait = Duration::from_secs(1 << self.failures.clamp(1, 6).saturating_sub(1));
        self.resync_by(now.plus(wait));
    }

    fn resync_by(&mut self, at: Mono) {
        self.resync_at = Some(self.resync_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn turn_down(&mut self, key: RowKey, owner: Owner, error: &str, now: Mono, news: &mut Vec<LinkNews>) {
        let table = key.table;
        let known = self.turned_down.values().any(|t| t.owner == owner);
        let entry =
            self.turned_down.entry(key).or_insert(TurnedDown { owner, error: String::new(), tries: 0, at: now });
        entry.tries = (entry.tries + 1).min(LONGEST);
        entry.at = now.plus(Duration::from_secs(1 << entry.tries));
        error.clone_into(&mut entry.error);
        let at = entry.at;
        self.resync_by(at);
        if !known {
            news.push(LinkNews::Refused { owner, table, error: error.to_owned() });
        }
    }

    /// What a refused bundle would have taken away: in a bundle of its own, since denials wait for nobody.
    fn rescue(&mut self, mut denials: Delta, round: u16) -> Vec<Message> {
        denials.remove.retain(|key| self.desired.get(key).is_none());
        denials.add.retain(|row| self.desired.get(&row.key).as_ref() == Some(row));
        if denials.is_empty() { vec![] } else { self.bundle(vec![], denials, round, false) }
    }

    /// Confirms what was refused once everything is as it should be.
    pub(super) fn settled(&mut self, news: &mut Vec<LinkNews>) {
        let quiet = self.phase == LinkPhase::Up && self.resync_at.is_none() && self.turned_down.is_empty();
        if quiet && !self.unconfirmed.values().any(|flight| flight.repair) {
            news.extend(std::mem::take(&mut self.refused).into_iter().map(|xid| LinkNews::Confirmed { xid }));
        }
    }

    /// What the switch's tables cannot have of an owner's rows; empty when all of them fit.
    pub(crate) fn set_misfits(&mut self, owner: Owner, misfits: Vec<Misfit>) {
        if misfits.is_empty() {
            self.misfits.remove(&owner);
        } else {
            self.misfits.insert(owner, misfits);
        }
    }

    /// Whose rows are not all there, and why.
    pub(crate) fn lacking(&self) -> Vec<Lacking> {
        let mut by_owner: BTreeMap<Owner, Lacking> = BTreeMap::new();
        let misfits = self.misfits.values().flatten().map(|m| (m.owner, m.table, &m.why));
        let refused = self.turned_down.iter().map(|(key, t)| (t.owner, key.table, &t.error));
        for (owner, table, why) in misfits.chain(refused) {
            let entry = by_owner.entry(owner);
            entry.or_insert_with(|| Lacking { owner, table, rows: 0, why: why.clone() }).rows += 1;
        }
        by_owner.into_values().collect()
    }
}

/// What of a change takes rights away.
pub(super) fn denials(delta: &Delta) -> Delta {
    if delta.add.iter().all(denies) {
        return Delta::default(); // nothing else was in it: it would be refused again
    }
    Delta { remove: delta.remove.clone(), add: delta.add.iter().filter(|row| denies(row)).cloned().collect() }
}
