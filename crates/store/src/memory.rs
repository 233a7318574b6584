//! A store in memory, for tests: what it is told to fail, fails.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fseg_model::Wall;
use serde_json::Value;

use crate::{AuditEntry, AuditRecord, Change, Record, Store, StoreError, Table};

#[derive(Debug, Default)]
struct Inner {
    rows: BTreeMap<(usize, String), (Value, Wall)>,
    audit: Vec<AuditEntry>,
    failures: VecDeque<StoreError>,
    commits: u64,
}

/// A store in memory. Clones share it, so that a test can look into the one it gave away, and give it to the next "start".
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next call fail with this error and change nothing; called again, the call after that, and so on.
    pub fn fail_next(&self, error: StoreError) {
        self.inner().failures.push_back(error);
    }

    /// How many commits succeeded.
    pub fn commits(&self) -> u64 {
        self.inner().commits
    }

    /// The value of a key.
    pub fn get(&self, table: Table, key: &str) -> Option<Value> {
        self.inner().rows.get(&(order(table), key.to_owned())).map(|(value, _)| value.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked elsewhere must not hide what this one is about.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        let mut inner = self.inner();
        match inner.failures.pop_front() {
            Some(error) => Err(error),
            None => Ok(inner),
        }
    }
}

fn order(table: Table) -> usize {
    Table::ALL.iter().position(|t| *t == table).unwrap_or(usize::MAX)
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let inner = self.ready()?;
        let records = inner.rows.iter().filter_map(|((table, key), (value, changed))| {
            Some(Record { table: *Table::ALL.get(*table)?, key: key.clone(), value: value.clone(), changed: *changed })
        });
        Ok(records.collect())
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        let mut inner = self.ready()?;
        for change in batch {
            match change {
                Change::Put { table, key, value } => Change::text(table.name(), key, value).map(drop)?,
                Change::Append(entry) => Change::text("audit", &entry.what, &entry.detail).map(drop)?,
                Change::Delete { .. } => {}
            }
        }
        inner.commits += 1;
        let now = Wall(inner.commits);
        for change in batch.iter().cloned() {
            match change {
                Change::Put { table, key, value } => {
                    inner.rows.insert((order(table), key), (value, now));
                }
                Change::Delete { table, key } => {
                    inner.rows.remove(&(order(table), key));
                }
                Change::Append(entry) => inner.audit.push(entry),
            }
        }
        Ok(())
    }

    fn audit(&mut self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        let inner = self.ready()?;
        let numbered = inner.audit.iter().enumerate().rev().map(|(i, entry)| (i as u64 + 1, entry));
        let page = numbered.filter(|(seq, _)| before.is_none_or(|b| *seq < b)).take(limit.min(AuditRecord::PAGE));
        Ok(page.map(|(seq, entry)| AuditRecord { seq, entry: entry.clone() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::SqliteStore;

    fn batches() -> Vec<Vec<Change>> {
        let put = |table, key: &str, n: u32| Change::Put { table, key: key.into(), value: json!({ "n": n }) };
        let delete = |table, key: &str| Change::Delete { table, key: key.into() };
        let note =
            |n: u64| Change::Append(AuditEntry { at: Wall(n), who: "a".into(), what: "b".into(), detail: json!(n) });
        vec![
            vec![],
            vec![put(Table::Lease, "b", 1), put(Table::Meta, "z", 1), note(1), note(2)],
            vec![put(Table::Lease, "a", 2), delete(Table::Meta, "z"), put(Table::Lease, "b", 2)],
            vec![put(Table::Meta, "y", 3), put(Table::Meta, &"k".repeat(2000), 3), note(3)],
            vec![note(4), put(Table::Endpoint, "c", 4), delete(Table::Lease, "b"), put(Table::Lease, "b", 5)],
        ]
    }

    #[test]
    fn it_answers_as_the_file_does() {
        let dir = tempfile::tempdir().unwrap();
        let mut stores: [Box<dyn Store>; 2] =
            [Box::new(MemoryStore::new()), Box::new(SqliteStore::open(&dir.path().join("s.db")).unwrap())];
        for batch in batches() {
            let [a, b] = stores.each_mut().map(|s| {
                let outcome = s.commit(&batch);
                let rows = s.load().unwrap().into_iter().map(|r| (r.table, r.key, r.value)).collect::<Vec<_>>();
                let pages = [(None, 2), (None, 9), (Some(3), 9), (Some(1), 9), (None, 0)];
                (outcome, rows, pages.map(|(before, limit)| s.audit(before, limit).unwrap()))
            });
            assert_eq!(a, b);
        }
    }

    #[test]
    fn told_failures_change_nothing_and_pass() {
        let handle = MemoryStore::new();
        let mut store: Box<dyn Store> = Box::new(handle.clone());
        let full = StoreError::DiskFull { path: "test".into() };
        handle.fail_next(full.clone());
        let batch = [Change::Put { table: Table::Meta, key: "a".into(), value: json!(1) }];
        assert_eq!(store.commit(&batch), Err(full));
        assert_eq!((handle.get(Table::Meta, "a"), handle.commits()), (None, 0));
        assert_eq!(store.commit(&batch), Ok(()));
        assert_eq!((handle.get(Table::Meta, "a"), handle.commits()), (Some(json!(1)), 1));
    }
}
