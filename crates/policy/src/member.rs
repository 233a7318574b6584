//! Who belongs to a group.

use std::fmt;
use std::str::FromStr;

use fseg_model::{ModelError, Name, PlacePattern};
use thiserror::Error;

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// `user:NAME`: whoever logged in with this account.
    User(Name),
    /// `role:NAME`: every account or device that has the role.
    Role(Name),
    /// `device:NAME`: this device of the device list.
    Device(Name),
    /// `location:SITE/SWITCH/PORT`, each part a name or `*`: what is named by its place. Somebody who logs in at that
    /// place is named by the account instead and is no member.
    Location(PlacePattern),
    /// `group:NAME`: every member of another group.
    Group(Name),
}

/// Text that is not a member.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MemberError {
    /// The part before the colon is missing or unknown.
    #[error(
        "{0} is not a member (expected user:NAME, role:NAME, device:NAME, location:SITE/SWITCH/PORT or group:NAME)"
    )]
    Form(String),
    /// The part behind the colon is not acceptable.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(n) => f.pad(&format!("user:{n}")),
            Self::Role(n) => f.pad(&format!("role:{n}")),
            Self::Device(n) => f.pad(&format!("device:{n}")),
            Self::Location(p) => f.pad(&format!("location:{p}")),
            Self::Group(n) => f.pad(&format!("group:{n}")),
        }
    }
}

impl FromStr for Member {
    type Err = MemberError;
    fn from_str(s: &str) -> Result<Self, MemberError> {
        match s.split_once(':') {
            Some(("user", n)) => Ok(Self::User(Name::new(n)?)),
            Some(("role", n)) => Ok(Self::Role(Name::new(n)?)),
            Some(("device", n)) => Ok(Self::Device(Name::new(n)?)),
            Some(("location", p)) => Ok(Self::Location(p.parse()?)),
            Some(("group", n)) => Ok(Self::Group(Name::new(n)?)),
            _ => Err(MemberError::Form(fseg_yaml::quote(s))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_refuses() {
        for ok in ["user:anna", "role:営業", "device:crm-1", "location:tokyo/sw3/*", "group:sales"] {
            assert_eq!(ok.parse::<Member>().unwrap().to_string(), ok);
        }
        for bad in ["", "anna", "user:", "user:*", "users:anna", "location:tokyo", "User:anna", "*", ":x"] {
            assert!(bad.parse::<Member>().is_err(), "{bad:?} was accepted");
        }
    }
}
