//! Accounts: persons who may log in at the portal.

use std::collections::BTreeSet;

use fseg_model::{Name, Wall};
use serde::{Deserialize, Serialize};

use crate::PasswordHash;

/// A person who may log in at the portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name to log in with, and the base of the names of this person's endpoints.
    pub name: Name,
    /// The password's hash; `Debug` does not show it.
    pub password: PasswordHash,
    /// Roles, to which `role:` members of groups refer.
    #[serde(default)]
    pub roles: BTreeSet<Name>,
    /// True while nobody may log in with it.
    #[serde(default)]
    pub disabled: bool,
    /// How the person is called, for pages and listings; at most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// When it was made.
    pub created: Wall,
    /// When it was last changed.
    pub changed: Wall,
}

impl Account {
    /// An enabled account without roles.
    pub fn new(name: Name, password: PasswordHash, now: Wall) -> Self {
        Self { name, password, roles: BTreeSet::new(), disabled: false, display_name: None, created: now, changed: now }
    }
}
