//! Committed state: one trait, SQLite embedded, and a store in memory for tests.
//!
//! State is small and typed by its owners; here it is JSON under a key in a table, so that people can read it with the
//! tool they know (`sqlite3 fseg.db 'select * from account'`). The audit log is the one table that only grows.
//!
//! A commit is all or nothing, and durable when it returns: nothing may be acknowledged before that.

mod change;
mod error;
mod memory;
mod schema;
mod sqlite;

pub use change::{AuditEntry, AuditRecord, Change, Record, Table};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// Where committed state is kept.
pub trait Store: Send {
    /// Reads all tables but the audit log: the tables in the order of [`Table::ALL`], each by key.
    fn load(&mut self) -> Result<Vec<Record>, StoreError>;

    /// Writes the batch, in its order. When this returns `Ok` all of it is durable; when it returns an error nothing of it
    /// was written ([`StoreError::Io`] excepted, which says what to do).
    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError>;

    /// Reads the audit log backwards: at most `limit` entries (and at most [`AuditRecord::PAGE`]) older than `before`, the
    /// newest first. Without `before` it begins at the end; the smallest `seq` of a page is the `before` of the next.
    fn audit(&mut self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError>;
}
