//! The store in one SQLite file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fseg_model::Wall;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use crate::schema::{self, APPLICATION, MIGRATIONS};
use crate::{AuditEntry, AuditRecord, Change, Record, Store, StoreError, Table};

/// How long another program may hold a lock before a commit gives up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store in one SQLite file (with `-wal` and `-shm` beside it, and `.lock`, which marks the one writer).
///
/// Others may read the file while it is open.
#[derive(Debug)]
pub struct SqliteStore {
    db: Connection,
    path: PathBuf,
    /// Held as long as this lives; `None` when opened for reading.
    lock: Option<File>,
}

impl SqliteStore {
    /// Opens the store for writing, makes it if it is not there (mode 0600), upgrades its schema, and checks it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let fresh = create(path)?;
        let mut db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let fail = |e| explain(path, e);
        let found = identify(&db, path)?;
        let known = known();
        if found > known {
            return Err(StoreError::TooNew { path: path.into(), found, known });
        }
        // WAL with FULL: a commit is on the disk when it returns, and readers never wait for it.
        db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(fail)?;
        db.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        db.pragma_update(None, "journal_size_limit", 64 << 20).map_err(fail)?;
        check(&db, path)?;
        schema::migrate(&mut db, MIGRATIONS).map_err(fail)?;
        if fresh {
            sync_folder(path)?;
        }
        Ok(Self { db, path: path.into(), lock: Some(lock) })
    }

    /// Opens an existing store for reading, also while a node has it open.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let db = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let (found, known) = (identify(&db, path)?, known());
        match found.cmp(&known) {
            std::cmp::Ordering::Greater => Err(StoreError::TooNew { path: path.into(), found, known }),
            std::cmp::Ordering::Less => Err(StoreError::TooOld { path: path.into(), found, known }),
            std::cmp::Ordering::Equal => Ok(Self { db, path: path.into(), lock: None }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, batch: &[Change], now: i64) -> Result<(), StoreError> {
        let path = &self.path;
        let fail = |e| explain(path, e);
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        for change in batch {
            match change {
                Change::Put { table, key, value } => {
                    let name = table.name();
                    let text = Change::text(name, key, value)?;
                    let sql = format!(
                        "INSERT INTO {name} (key, value, changed) VALUES (?1, ?2, ?3)
                         ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed = excluded.changed"
                    );
                    tx.prepare_cached(&sql).and_then(|mut s| s.execute(params![key, text, now])).map_err(fail)?;
                }
                Change::Delete { table, key } => {
                    let sql = format!("DELETE FROM {} WHERE key = ?1", table.name());
                    tx.prepare_cached(&sql).and_then(|mut s| s.execute([key])).map_err(fail)?;
                }
                Change::Append(AuditEntry { at, who, what, detail }) => {
                    let text = Change::text("audit", what, detail)?;
                    let at = i64::try_from(at.0).unwrap_or(i64::MAX);
                    let sql = "INSERT INTO audit (at, who, what, detail) VALUES (?1, ?2, ?3, ?4)";
                    let values = params![at, who, what, text];
                    tx.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(fail)?;
                }
            }
        }
        tx.commit().map_err(fail)
    }

    fn json(&self, table: &'static str, key: &str, text: &str) -> Result<serde_json::Value, StoreError> {
        serde_json::from_str(text).map_err(|e| StoreError::BadRow {
            path: self.path.clone(),
            table,
            key: key.into(),
            detail: format!("its JSON cannot be read: {e}"),
        })
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let fail = |e| explain(&self.path, e);
        let mut records = Vec::new();
        // One transaction, so that a reader beside the writer sees one state and not parts of two.
        let tx = self.db.unchecked_transaction().map_err(fail)?;
        for table in Table::ALL {
            let sql = format!("SELECT key, value, changed FROM {} ORDER BY key", table.name());
            let mut query = tx.prepare(&sql).map_err(fail)?;
            let mut rows = query.query([]).map_err(fail)?;
            while let Some(row) = rows.next().map_err(fail)? {
                let (key, text): (String, String) = row.get(0).and_then(|k| Ok((k, row.get(1)?))).map_err(fail)?;
                let changed = wall(row.get(2).map_err(fail)?);
                let value = self.json(table.name(), &key, &text)?;
                records.push(Record { table, key, value, changed });
            }
        }
        Ok(records)
    }

    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly { path: self.path.clone() });
        }
        // The time of change is for people who read the tables; nothing is decided by it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        self.write(batch, i64::try_from(now).unwrap_or(i64::MAX))
    }

    fn audit(&mut self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        let fail = |e| explain(&self.path, e);
        let before = before.and_then(|b| i64::try_from(b).ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.min(AuditRecord::PAGE)).unwrap_or(0);
        let sql = "SELECT seq, at, who, what, detail FROM audit WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2";
        let mut query = self.db.prepare_cached(sql).map_err(fail)?;
        let rows = query
            .query_map([before, limit], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))
            .map_err(fail)?;
        rows.map(|row| {
            let (seq, at, who, what, detail): (i64, i64, String, String, String) = row.map_err(fail)?;
            let detail = self.json("audit", &seq.to_string(), &detail)?;
            let entry = AuditEntry { at: wall(at), who, what, detail };
            Ok(AuditRecord { seq: u64::try_from(seq).unwrap_or(0), entry })
        })
        .collect()
    }
}

fn wall(ms: i64) -> Wall {
    Wall(u64::try_from(ms).unwrap_or(0))
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What the system says of opening or making a file.
fn explain_io(path: &Path, e: &std::io::Error) -> StoreError {
    let path = path.to_owned();
    match e.kind() {
        std::io::ErrorKind::PermissionDenied => StoreError::Permission { path },
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
        _ => StoreError::Open { path, detail: e.to_string() },
    }
}

/// What SQLite says of anything.
fn explain(path: &Path, e: rusqlite::Error) -> StoreError {
    let detail = e.to_string();
    let path = path.to_owned();
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Busy { path }
        }
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { path, detail },
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path, detail },
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
        Some(ErrorCode::CannotOpen) => StoreError::Open { path, detail },
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => StoreError::Permission { path },
        Some(_) => StoreError::Io { path, detail },
        // Not from SQLite itself: a column of another type or an odd schema, which only other hands can have made.
        None => StoreError::Corrupt { path, detail },
    }
}

/// Marks this process as the one writer. On a file of its own: closing any handle of a database file drops SQLite's locks.
fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let fail = |e: std::io::Error| explain_io(&lock_path, &e);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Who it is helps, but not knowing changes nothing.
            let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
            let known = !pid.is_empty() && pid.trim().bytes().all(|b| b.is_ascii_digit());
            let holder = if known { format!("process {}", pid.trim()) } else { "another process".to_owned() };
            return Err(StoreError::Locked { path: path.into(), holder });
        }
        Err(TryLockError::Error(e)) => return Err(fail(e)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
    writeln!(file, "{}", std::process::id()).map_err(fail)?;
    Ok(file)
}

/// Makes the file with mode 0600, or narrows the mode it has; true when it is new. SQLite gives `-wal` and `-shm` the same.
fn create(path: &Path) -> Result<bool, StoreError> {
    let fail = |e: std::io::Error| explain_io(path, &e);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let metadata = fs::metadata(path).map_err(fail)?;
            if !metadata.is_file() {
                return Err(StoreError::Foreign { path: path.into(), detail: "it is not a regular file".into() });
            }
            let header = header(path).map_err(fail)?;
            if header == Header::Foreign {
                let detail = "it does not begin as a SQLite database does".into();
                return Err(StoreError::Foreign { path: path.into(), detail });
            }
            // Hashes of passwords and tokens are in it. Only for what is ours: a foreign file is left as it is.
            if header != Header::Other && metadata.permissions().mode() & 0o077 != 0 {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
            }
            Ok(false)
        }
        Err(e) => Err(fail(e)),
    }
}

/// What a file's first 100 bytes say.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    Empty,
    Ours,
    /// Another program's SQLite database, or one of ours that never came to its first commit.
    Other,
    /// No SQLite database. SQLite itself would take a file of a few bytes for an empty one and write over it.
    Foreign,
}

/// SQLite file format, 1.3: the header is 100 bytes; `application_id` is big-endian at offset 68.
fn header(path: &Path) -> std::io::Result<Header> {
    let mut bytes = Vec::with_capacity(100);
    File::open(path)?.take(100).read_to_end(&mut bytes)?;
    let id = bytes.get(68..72).map(|b| b.iter().fold(0i64, |n, &b| (n << 8) | i64::from(b)));
    Ok(match (bytes.len(), id) {
        (0, _) => Header::Empty,
        (100, Some(id)) if bytes.starts_with(b"SQLite format 3\0") => {
            if id == APPLICATION {
                Header::Ours
            } else {
                Header::Other
            }
        }
        _ => Header::Foreign,
    })
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, StoreError> {
    let fail = |e| explain(path, e);
    let db = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fail)?;
    db.busy_timeout(PATIENCE).map_err(fail)?;
    Ok(db)
}

/// The schema version of a store of ours, 0 for an empty file; anything else is foreign.
fn identify(db: &Connection, path: &Path) -> Result<i64, StoreError> {
    let fail = |e| explain(path, e);
    let id: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(fail)?;
    let version = schema::version(db).map_err(fail)?;
    let objects: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if id == APPLICATION || (id == 0 && version == 0 && objects == 0) {
        return Ok(version);
    }
    let detail = format!("a SQLite database with application id {id:#x} and {objects} tables, indexes and the like");
    Err(StoreError::Foreign { path: path.into(), detail })
}

/// The whole file is read once: state is small, and damage is best found before anything is decided by it.
fn check(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let answer: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|e| explain(path, e))?;
    if answer == "ok" { Ok(()) } else { Err(StoreError::Corrupt { path: path.into(), detail: answer }) }
}

/// Makes the new file's name durable.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| explain_io(path, &e))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn put(table: Table, key: &str, value: serde_json::Value) -> Change {
        Change::Put { table, key: key.into(), value }
    }

    fn audit(n: u64) -> Change {
        Change::Append(AuditEntry { at: Wall(n), who: "anna".into(), what: "test".into(), detail: json!({ "n": n }) })
    }

    fn dump(store: &mut SqliteStore) -> Vec<(Table, String, serde_json::Value)> {
        store.load().unwrap().into_iter().map(|r| (r.table, r.key, r.value)).collect()
    }

    fn place() -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fseg.db");
        (dir, path)
    }

    #[test]
    fn what_is_committed_is_there_after_reopening() {
        let (_dir, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        assert!(store.load().unwrap().is_empty());
        for table in Table::ALL {
            store.commit(&[put(table, "k", json!({ "in": table }))]).unwrap();
        }
        let batch = [
            put(Table::Device, "b", json!(1)),
            put(Table::Device, "b", json!("二")),
            put(Table::Device, "a", json!(null)),
            Change::Delete { table: Table::Lease, key: "k".into() },
            Change::Delete { table: Table::Lease, key: "never was".into() },
            audit(1),
        ];
        store.commit(&batch).unwrap();
        let before = dump(&mut store);
        drop(store);
        let mut store = SqliteStore::open(&path).unwrap();
        assert_eq!(dump(&mut store), before);
        let devices: Vec<_> = before.into_iter().filter(|r| r.0 == Table::Device).map(|r| (r.1, r.2)).collect();
        let expected = [("a", json!(null)), ("b", json!("二")), ("k", json!({ "in": "device" }))];
        assert_eq!(devices, expected.map(|(k, v)| (k.to_owned(), v)));
        assert_eq!(store.load().unwrap().len(), Table::ALL.len() + 1, "two more devices, one lease less");
        assert!(store.load().unwrap().iter().all(|r| r.changed.0 > 1_600_000_000_000), "no time of change");
    }

    #[test]
    fn a_batch_is_all_or_nothing() {
        let (_dir, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        let long = "x".repeat(Change::MAX_KEY + 1);
        let error = store.commit(&[put(Table::Meta, "a", json!(1)), put(Table::Meta, &long, json!(1))]).unwrap_err();
        assert!(matches!(&error, StoreError::TooBig { table: "meta", what: "key", .. }), "{error}");
        assert!(store.load().unwrap().is_empty());
    }

    #[test]
    fn the_audit_log_is_paged_and_append_only() {
        let (_dir, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        assert!(store.audit(None, 10).unwrap().is_empty());
        let batch: Vec<_> = (1..=25).map(audit).collect();
        store.commit(&batch).unwrap();
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = store.audit(before, 10).unwrap();
            assert!(page.len() <= 10);
            let Some(last) = page.last() else { break };
            before = Some(last.seq);
            seen.extend(page.iter().map(|r| r.entry.at.0));
        }
        assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
        for sql in ["DELETE FROM audit", "UPDATE audit SET who = 'nobody'"] {
            assert!(store.db.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
        }
    }

    #[test]
    fn the_file_is_for_its_owner_only() {
        let (dir, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        store.commit(&[audit(1)]).unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        }
        drop(store);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn there_is_one_writer_and_any_readers() {
        let (_dir, path) = place();
        let mut writer = SqliteStore::open(&path).unwrap();
        let error = SqliteStore::open(&path).unwrap_err();
        let holder = format!("process {}", std::process::id());
        assert_eq!(error, StoreError::Locked { path: path.clone(), holder });
        writer.commit(&[put(Table::Meta, "a", json!(1))]).unwrap();
        let mut reader = SqliteStore::open_read_only(&path).unwrap();
        assert_eq!(dump(&mut reader), [(Table::Meta, "a".into(), json!(1))]);
        writer.commit(&[put(Table::Meta, "a", json!(2))]).unwrap();
        assert_eq!(dump(&mut reader), [(Table::Meta, "a".into(), json!(2))]);
        assert_eq!(reader.commit(&[]), Err(StoreError::ReadOnly { path: path.clone() }));
        drop(writer);
        drop(SqliteStore::open(&path).unwrap());
    }

    #[test]
    fn foreign_files_are_refused_and_left_alone() {
        let (dir, path) = place();
        fs::write(&path, "my diary, which is longer than a header of SQLite ".repeat(10)).unwrap();
        let other = dir.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE recipes (x)").unwrap();
        for file in [&path, &other] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
            let before = fs::read(file).unwrap();
            let error = SqliteStore::open(file).unwrap_err();
            assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
            assert_eq!(fs::read(file).unwrap(), before);
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o644);
        }
        assert!(matches!(SqliteStore::open(dir.path()), Err(StoreError::Foreign { .. })));
        assert!(matches!(SqliteStore::open(&dir.path().join("no/such.db")), Err(StoreError::Open { .. })));
        assert!(matches!(SqliteStore::open_read_only(&dir.path().join("none.db")), Err(StoreError::Open { .. })));
    }

    #[test]
    fn other_versions_are_told_apart() {
        let (_dir, path) = place();
        drop(SqliteStore::open(&path).unwrap());
        let set = |v: i64| Connection::open(&path).unwrap().pragma_update(None, "user_version", v).unwrap();
        set(known() + 1);
        let too_new = StoreError::TooNew { path: path.clone(), found: known() + 1, known: known() };
        assert_eq!(SqliteStore::open(&path).unwrap_err(), too_new);
        assert_eq!(SqliteStore::open_read_only(&path).unwrap_err(), too_new);
        set(known() - 1);
        assert!(matches!(SqliteStore::open_read_only(&path), Err(StoreError::TooOld { .. })));
    }

    #[test]
    fn damage_is_found_at_start_wherever_it_is() {
        let (_dir, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        let batch: Vec<_> =
            (0..500).map(|n| put(Table::Endpoint, &format!("key {n}"), json!("x".repeat(50)))).collect();
        store.commit(&batch).unwrap();
        drop(store);
        let whole = fs::read(&path).unwrap();
        let (mut corrupt, mut foreign) = (0, 0);
        for page in 0..whole.len() / 4096 {
            let mut bytes = whole.clone();
            bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
            fs::write(&path, &bytes).unwrap();
            match SqliteStore::open(&path) {
                Err(StoreError::Corrupt { .. }) => corrupt += 1,
                Err(StoreError::Foreign { .. }) => foreign += 1,
                other => panic!("page {page}: {other:?}"),
            }
        }
        assert!(corrupt > 5 && foreign == 1, "{corrupt} corrupt, {foreign} foreign");
        for cut in [1, 99, 100, 4096, whole.len() / 2] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(SqliteStore::open(&path).is_err(), "opened although cut to {cut} bytes");
        }
    }

    #[test]
    fn a_full_disk_commits_nothing_and_heals() {
        let (_dir, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        store.commit(&[put(Table::Meta, "a", json!(1))]).unwrap();
        let pages: i64 = store.db.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
        let limit =
            |db: &Connection, n: i64| db.query_row(&format!("PRAGMA max_page_count = {n}"), [], |_| Ok(())).unwrap();
        limit(&store.db, pages + 1);
        let batch = [put(Table::Meta, "a", json!(2)), put(Table::Meta, "b", json!("x".repeat(100_000)))];
        assert_eq!(store.commit(&batch), Err(StoreError::DiskFull { path: path.clone() }));
        assert_eq!(dump(&mut store), [(Table::Meta, "a".into(), json!(1))]);
        limit(&store.db, 1_000_000);
        store.commit(&batch).unwrap();
        assert_eq!(store.load().unwrap().len(), 2);
    }

    #[test]
    fn a_row_made_by_other_hands_is_named() {
        let (_dir, path) = place();
        let mut store = SqliteStore::open(&path).unwrap();
        store.db.execute_batch("PRAGMA ignore_check_constraints = 1; INSERT INTO lease VALUES ('x', '{', 0)").unwrap();
        let error = store.load().unwrap_err();
        assert!(matches!(&error, StoreError::BadRow { table: "lease", key, .. } if key == "x"), "{error}");
    }
}
