//! The schema and its history.

use rusqlite::{Connection, TransactionBehavior};

/// `application_id` of SQLite's header: "FSEG".
pub(crate) const APPLICATION: i64 = 0x4653_4547;

/// One script per version, each leading from the one before. Never change one that was released: add another.
///
/// The triggers make the audit log append-only for everybody, `sqlite3` at the prompt included.
pub(crate) const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta     (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE number   (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE class    (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE policy   (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE account  (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE device   (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE rule     (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE token    (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE endpoint (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE lease    (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL CHECK (json_valid(detail))
    ) STRICT;
    CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
","
    CREATE TABLE certificate (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL CHECK (json_valid(value)), changed INTEGER NOT NULL) STRICT;
"];

pub(crate) fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the schema to the last version, all steps or none.
pub(crate) fn migrate(db: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(version(&tx)?).unwrap_or(0);
    if done < migrations.len() {
        for script in migrations.iter().skip(done) {
            tx.execute_batch(script)?;
        }
        tx.pragma_update(None, "application_id", APPLICATION)?;
        tx.pragma_update(None, "user_version", i64::try_from(migrations.len()).unwrap_or(i64::MAX))?;
    }
    tx.commit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    fn tables(db: &Connection) -> Vec<String> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        db.prepare(sql).unwrap().query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn the_schema_has_exactly_the_declared_tables() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, MIGRATIONS).unwrap();
        let mut declared: Vec<_> = Table::ALL.iter().map(|t| t.name().to_owned()).chain(["audit".to_owned()]).collect();
        declared.sort();
        assert_eq!(tables(&db), declared);
    }

    #[test]
    fn versions_are_climbed_once_each_and_all_or_none() {
        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, &["CREATE TABLE a (x)"]).unwrap();
        assert_eq!(version(&db).unwrap(), 1);
        assert!(migrate(&mut db, &["", "CREATE TABLE b (x)", "CREATE TABLE b (x)"]).is_err());
        assert_eq!((version(&db).unwrap(), tables(&db)), (1, vec!["a".to_owned()]), "half an upgrade remained");
        migrate(&mut db, &["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x)"]).unwrap();
        migrate(&mut db, &["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x)"]).unwrap();
        assert_eq!((version(&db).unwrap(), tables(&db).len()), (3, 3));
    }
}
