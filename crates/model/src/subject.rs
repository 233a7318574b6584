//! What authentication established about an endpoint.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ModelError, Name, PlacePath};

/// What authentication established: a person's account, a known device, or a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// A person logged in with this account.
    User(Name),
    /// The device list knows this device.
    Device(Name),
    /// Whatever is plugged in here, by a location rule.
    Location(PlacePath),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(n) => f.pad(&format!("user:{n}")),
            Self::Device(n) => f.pad(&format!("device:{n}")),
            Self::Location(p) => f.pad(&format!("location:{p}")),
        }
    }
}
impl FromStr for Subject {
    type Err = ModelError;
    fn from_str(s: &str) -> Result<Self, ModelError> {
        let refuse = || ModelError::Subject(s.chars().take(200).collect());
        match s.split_once(':') {
            Some(("user", n)) => Ok(Self::User(Name::new(n)?)),
            Some(("device", n)) => Ok(Self::Device(Name::new(n)?)),
            Some(("location", p)) => Ok(Self::Location(p.parse()?)),
            _ => Err(refuse()),
        }
    }
}
impl TryFrom<String> for Subject {
    type Error = ModelError;
    fn try_from(s: String) -> Result<Self, ModelError> {
        s.parse()
    }
}
impl From<Subject> for String {
    fn from(s: Subject) -> String {
        s.to_string()
    }
}

/// A subject with what its directory says of it: all that a policy's group membership may depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Who or what it is.
    pub subject: Subject,
    /// Roles of the account or device; `role:` members of groups refer to them.
    #[serde(default)]
    pub roles: BTreeSet<Name>,
}

impl Identity {
    /// A subject without roles.
    pub fn plain(subject: Subject) -> Self {
        Self { subject, roles: BTreeSet::new() }
    }
}
