//! What can go wrong with a store, each with the file and what to do.

use std::path::PathBuf;

use thiserror::Error;

/// What can go wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The file, or its folder, cannot be used by this user.
    #[error("{}: permission denied; the file and its folder must belong to the user fsegd runs as", path.display())]
    Permission {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or made, or its folder is missing.
    #[error("{}: cannot be opened ({detail}); does the folder exist?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The file is no store of FSEG's. It was not touched.
    #[error(
        "{}: this is not a store of FSEG ({detail}); give another path, or move the file away", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that was noticed.
        detail: String,
    },
    /// Another process has the store open for writing.
    #[error("{}: in use by {holder}; end that one first, two writers are never right", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// The other process, as far as known.
        holder: String,
    },
    /// Another program holds a lock on the database for longer than a few seconds.
    #[error("{}: locked by another program for too long; close what has it open (sqlite3, a backup)", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{}: the store is damaged ({detail}); keep a copy, then restore a backup, or try `sqlite3 FILE .recover`",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Written by a newer FSEG. It was not touched.
    #[error(
        "{}: written by a newer FSEG (schema {found}, this one knows {known}); use that version, or restore the backup made before the upgrade", path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// Opened for reading, but it was never written or has an older schema.
    #[error("{}: schema {found} is older than this FSEG's ({known}); start fsegd once to upgrade it", path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: i64,
        /// The schema this program needs.
        known: i64,
    },
    /// No space is left. Nothing of the batch was written.
    #[error("{}: the disk is full, nothing was written; free some space", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// A commit to a store that was opened for reading.
    #[error("{}: opened for reading only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A row that this program did not write so.
    #[error("{}: table {table}, key `{key}`: {detail}; correct or delete that row with sqlite3", path.display())]
    BadRow {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The row's key.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// A key or value over its bound. Nothing of the batch was written.
    #[error("table {table}, key `{key}`: the {what} has {bytes} bytes, at most {max} are allowed")]
    TooBig {
        /// The table.
        table: &'static str,
        /// The key, cut to 80 characters.
        key: String,
        /// Key or value.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The disk failed. Whether the last batch was written is unknown: open the store again and load it.
    #[error("{}: {detail}; check the disk, then restart so that the store is read again", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}
