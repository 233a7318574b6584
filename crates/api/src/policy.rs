//! Groups and permits in force, as listed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// A group of the policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// What the policy says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its members as the policy writes them: `user:anna`, `role:sales`, `location:tokyo/sw3/*`, `group:staff`.
    pub members: Vec<String>,
    /// Names of the endpoints that are in it now.
    pub endpoints: Vec<String>,
    /// Permits that name it.
    pub permits: Vec<String>,
}

/// Whether a permit counts at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PermitState {
    /// It permits.
    Active,
    /// Its expiry has passed: it permits nothing.
    Expired,
    /// It has not started yet: it permits nothing.
    Waiting,
    /// It is on trial: it permits, and what only it permits is logged.
    Trial,
}

/// A permit of the policy in force, with its use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PermitView {
    /// Its id.
    pub id: String,
    /// Groups or externals that may open connections.
    pub from: Vec<String>,
    /// Groups or externals that they may reach.
    pub to: Vec<String>,
    /// Services as the policy names them.
    pub services: Vec<String>,
    /// The protection asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Why it exists.
    pub reason: Option<String>,
    /// When it starts permitting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// When it stops permitting.
    pub expires: Option<Timestamp>,
    /// Whether it counts now.
    pub state: PermitState,
    /// Packets it let through, on all switches, since its rows exist.
    pub packets: u64,
    /// Bytes it let through.
    pub bytes: u64,
    /// Connections it let through, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// When it last let a packet through; nothing when it never did.
    pub last_used: Option<Timestamp>,
}
