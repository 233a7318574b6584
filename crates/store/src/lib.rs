//! Committed state: one trait, SQLite embedded
