//! API tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Role, Secret, Timestamp};

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenNew {
    /// Its name, which the audit log shows.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// After how many seconds it stops working; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_seconds: Option<u64>,
}

/// A token, without the token itself: the node keeps only its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it stops working.
    pub expires: Option<Timestamp>,
}

/// A new token: the only time that it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// What it is.
    pub view: TokenView,
    /// The token, for `Authorization: Bearer …`.
    pub token: Secret,
}
