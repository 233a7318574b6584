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
    /// What it says of itself; when it is not ok, what to do.
    pub detail: String,
}

/// The node as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// True when every part does its work.
    pub ok: bool,
    /// The node's name.
    pub node: String,
    /// The node's version.
    pub version: String,
    /// Its parts.
    pub parts: Vec<HealthPart>,
}
