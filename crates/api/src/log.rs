//! The audit log, and the log of what happens on the network.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// Who changed what: one line of the audit log, which only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: a token's name, `root` or `local:UID` for the local socket, `system` for the node itself.
    pub who: String,
    /// What was done: `policy.apply`, `account.disable`.
    pub what: String,
    /// To what, and how.
    pub detail: serde_json::Value,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// An endpoint was admitted.
    Admitted,
    /// A login or device was refused.
    Refused,
    /// A session ended.
    Ended,
    /// An endpoint was found at another place.
    Moved,
    /// A port, MAC or address was used by somebody whose it is not.
    Spoofed,
    /// A connection was denied.
    Denied,
    /// An address was leased or given back.
    Address,
    /// A switch came, went or was repaired.
    Switch,
    /// A policy came into force or a permit expired.
    Policy,
    /// A connection passed that would be denied if what is observed were enforced.
    Observed,
    /// A switch does not treat packets as the policy says.
    Verify,
    /// Anything about the node itself.
    System,
}

impl std::str::FromStr for LogKind {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

impl LogKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Admitted,
        Self::Refused,
        Self::Ended,
        Self::Moved,
        Self::Spoofed,
        Self::Denied,
        Self::Address,
        Self::Switch,
        Self::Policy,
        Self::Observed,
        Self::Verify,
        Self::System,
    ];

    /// The word used in JSON, and as the event's name in the event stream.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::Ended => "ended",
            Self::Moved => "moved",
            Self::Spoofed => "spoofed",
            Self::Denied => "denied",
            Self::Address => "address",
            Self::Switch => "switch",
            Self::Policy => "policy",
            Self::Observed => "observed",
            Self::Verify => "verify",
            Self::System => "system",
        }
    }
}

/// One thing that happened, by name where names are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// Its number; later entries have larger ones.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: LogKind,
    /// One sentence for people.
    pub message: String,
    /// The endpoint it is about (for a denied connection, the asking side).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The other side of a denied connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The service of a denied connection, `tcp/443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The MAC address it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The place it is about, `site/switch/port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}
