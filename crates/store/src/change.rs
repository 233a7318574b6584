//! What is stored, and changes to it.

use fseg_model::Wall;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StoreError;

/// A table of keys and values. The names are those of the SQL tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// What must be known before anything else, such as the node's own identity.
    Meta,
    /// Class and endpoint numbers that were given out.
    Number,
    /// Classes and the sets of names they stand for.
    Class,
    /// Policy versions.
    Policy,
    /// Accounts of persons.
    Account,
    /// The device list.
    Device,
    /// Location rules.
    Rule,
    /// API tokens, hashed.
    Token,
    /// Certificates of switches: which was issued for whom, and which no longer counts. No keys.
    Certificate,
    /// Endpoints with their sessions and bindings.
    Endpoint,
    /// Address leases.
    Lease,
}

impl Table {
    /// All tables, in the order in which they are loaded: what others refer to comes first.
    pub const ALL: [Table; 11] = [
        Table::Meta,
        Table::Number,
        Table::Class,
        Table::Policy,
        Table::Account,
        Table::Device,
        Table::Rule,
        Table::Token,
        Table::Certificate,
        Table::Endpoint,
        Table::Lease,
    ];

    /// The SQL table's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Number => "number",
            Self::Class => "class",
            Self::Policy => "policy",
            Self::Account => "account",
            Self::Device => "device",
            Self::Rule => "rule",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Endpoint => "endpoint",
            Self::Lease => "lease",
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The value of this key is now this.
    Put {
        /// The table.
        table: Table,
        /// The key, at most [`Change::MAX_KEY`] bytes.
        key: String,
        /// The value, at most [`Change::MAX_VALUE`] bytes as JSON text.
        value: Value,
    },
    /// This key is gone; it need not have been there.
    Delete {
        /// The table.
        table: Table,
        /// The key.
        key: String,
    },
    /// A new entry at the end of the audit log.
    Append(AuditEntry),
}

impl Change {
    /// The longest key in bytes.
    pub const MAX_KEY: usize = 1024;
    /// The longest value in bytes of JSON text: above the largest policy file the API takes.
    pub const MAX_VALUE: usize = 64 << 20;

    /// The value as it is written, or why it is too large. The place is its table (or `audit`) and key.
    pub(crate) fn text(table: &'static str, key: &str, value: &Value) -> Result<String, StoreError> {
        let too_big = |what, bytes, max| {
            let key = key.chars().take(80).collect();
            Err(StoreError::TooBig { table, key, what, bytes, max })
        };
        if key.len() > Self::MAX_KEY {
            return too_big("key", key.len(), Self::MAX_KEY);
        }
        let text = value.to_string();
        if text.len() > Self::MAX_VALUE { too_big("value", text.len(), Self::MAX_VALUE) } else { Ok(text) }
    }
}

/// One row of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// When it was last put.
    pub changed: Wall,
}

/// Who did what, when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Wall,
    /// Who: an operator's name, or the part of the node that acted by itself.
    pub who: String,
    /// What, in a word or two: `policy.apply`, `account.disable`.
    pub what: String,
    /// The particulars.
    pub detail: Value,
}

/// An entry of the audit log with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its number: grows by time of commit and is never reused.
    pub seq: u64,
    /// The entry.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

impl AuditRecord {
    /// The most entries of one page.
    pub const PAGE: usize = 1000;
}
