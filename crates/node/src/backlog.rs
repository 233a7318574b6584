//! Changes that the store did not take: what must be written when it is well again.
//!
//! Records are replaced whole, so only the last change of each matters, and recovery writes the state as it is then. The
//! audit log is a sequence; of it the newest entries are kept.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fseg_control::{Change, RecordKey};
use fseg_model::Mono;

/// The most records that wait.
const RECORDS: usize = 250_000;
/// The most audit entries that wait.
const AUDIT: usize = 10_000;
/// How long to wait before trying again.
const RETRY: Duration = Duration::from_secs(1);

/// Changes that wait for the store.
#[derive(Default)]
pub struct Backlog {
    records: BTreeMap<RecordKey, Change>,
    audit: VecDeque<Change>,
    given_up: GivenUp,
    next: Mono,
}

/// What was too much to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GivenUp {
    /// Changes of records, each of a record that had no change waiting.
    pub records: u64,
    /// Audit entries.
    pub audit: u64,
}

impl Backlog {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.audit.is_empty()
    }

    /// Whether it is time to try again.
    pub fn is_due(&self, now: Mono) -> bool {
        now >= self.next
    }

    /// A try failed at `now`: the next is due one second later.
    pub fn failed(&mut self, now: Mono) {
        self.next = now.plus(RETRY);
    }

    /// Takes in changes, in their order.
    pub fn extend(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            let key = match &change {
                Change::Put(record) => record.key(),
                Change::Delete(key) => key.clone(),
                Change::Audit { .. } => {
                    if self.audit.len() >= AUDIT {
                        self.audit.pop_front();
                        self.given_up.audit += 1;
                    }
                    self.audit.push_back(change);
                    continue;
                }
            };
            if self.records.len() >= RECORDS && !self.records.contains_key(&key) {
                self.given_up.records += 1;
            } else {
                self.records.insert(key, change);
            }
        }
    }

    /// Everything that waits: each record once, then the audit entries in their order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.records.values().chain(&self.audit)
    }

    /// All of it is written. Says what had been too much.
    pub fn written(&mut self) -> GivenUp {
        std::mem::take(self).given_up
    }
}

#[cfg(test)]
mod tests {
    use fseg_control::{NumberKind, Record};
    use fseg_model::Wall;

    use super::*;

    fn put(name: &str, number: u32) -> Change {
        Change::Put(Record::Number { kind: NumberKind::Permit, name: name.into(), number })
    }

    fn delete(name: &str) -> Change {
        Change::Delete(RecordKey::Number(NumberKind::Permit, name.into()))
    }

    fn audit(n: usize) -> Change {
        Change::Audit { at: Wall(n as u64), who: "root".into(), what: "x".into(), detail: n.into() }
    }

    #[test]
    fn only_the_last_change_of_a_record_waits() {
        let mut backlog = Backlog::default();
        assert!(backlog.is_empty());
        backlog.extend([put("a", 1), put("b", 1), audit(1), put("a", 2), delete("b"), put("c", 1)]);
        backlog.extend([delete("c"), put("c", 5), audit(2)]);
        let waiting: Vec<_> = backlog.changes().cloned().collect();
        assert_eq!(waiting, [put("a", 2), delete("b"), put("c", 5), audit(1), audit(2)]);
        assert_eq!(backlog.written(), GivenUp::default());
        assert!(backlog.is_empty() && backlog.changes().next().is_none());
    }

    #[test]
    fn the_newest_audit_entries_are_kept_and_the_lost_are_counted() {
        let mut backlog = Backlog::default();
        backlog.extend((0..AUDIT + 7).map(audit));
        assert_eq!(backlog.changes().count(), AUDIT);
        assert_eq!(backlog.changes().next(), Some(&audit(7)));
        assert_eq!(backlog.changes().last(), Some(&audit(AUDIT + 6)));
        assert_eq!(backlog.written(), GivenUp { records: 0, audit: 7 });
    }

    #[test]
    fn records_are_bounded_and_those_that_wait_still_change() {
        let mut backlog = Backlog::default();
        backlog.extend((0..RECORDS + 3).map(|n| put(&format!("{n:07}"), 1)));
        backlog.extend([put("0000000", 2)]);
        assert_eq!(backlog.changes().count(), RECORDS);
        assert_eq!(backlog.changes().next(), Some(&put("0000000", 2)));
        assert_eq!(backlog.written(), GivenUp { records: 3, audit: 0 });
    }

    #[test]
    fn it_is_tried_again_once_per_second() {
        let mut backlog = Backlog::default();
        assert!(backlog.is_due(Mono(0)));
        backlog.failed(Mono(100));
        assert!(!backlog.is_due(Mono(1099)) && backlog.is_due(Mono(1100)));
        backlog.written();
        assert!(backlog.is_due(Mono(0)), "a new failure is tried at once");
    }
}
