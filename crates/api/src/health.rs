//! How the node is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One part of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthPart {
    /// Which part: `store`, `switches`, `dhcp`, `dns`, `portal`, `clock`.
    pub name: String,
    /// True when it does its work.
    pub ok: bool,
    /// True when something about it should not stay as it is, though it does its work.
    #[serde(default)]
    pub warning: bool,
    /// What it says of itself; when it is not ok, what to do.
    pub detail: String,
}

impl HealthPart {
    /// A part that does its work, or does not.
    pub fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), ok, warning: false, detail: detail.into() }
    }

    /// A part that does its work, and something about it should not stay as it is.
    pub fn warning(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { warning: true, ..Self::new(name, true, detail) }
    }

    /// In one word: `ok`, `warning` or `down`.
    pub fn state(&self) -> &'static str {
        match (self.ok, self.warning) {
            (true, false) => "ok",
            (true, true) => "warning",
            (false, _) => "down",
        }
    }
}

/// The node as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// True when every part does its work.
    pub ok: bool,
    /// True when every part does its work, and at least one warns.
    #[serde(default)]
    pub warning: bool,
    /// The node's name.
    pub node: String,
    /// The node's version.
    pub version: String,
    /// Its parts.
    pub parts: Vec<HealthPart>,
}

impl Health {
    /// The node as what its parts make it.
    pub fn of(node: impl Into<String>, version: impl Into<String>, parts: Vec<HealthPart>) -> Self {
        let ok = parts.iter().all(|p| p.ok);
        let warning = ok && parts.iter().any(|p| p.warning);
        Self { ok, warning, node: node.into(), version: version.into(), parts }
    }
}
