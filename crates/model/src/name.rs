//! Names: of endpoints, groups, permits, services, accounts, devices, switches and sites.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A name: 1 to 63 characters, letters, digits, `-`, `_`, `.`, starting with a letter or digit; compared as lower case.
///
/// One type serves all named things, because people use the same word for an account and its endpoint. Letters beyond
/// ASCII are allowed (Japanese group names are common); control characters, spaces, `:`, `/` and `*` are not, since
/// subjects and places use them as separators.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

impl Name {
    /// The longest name, in characters (a DNS label's length, so that an endpoint's name can be one).
    pub const MAX: usize = 63;

    /// Checks and folds to lower case.
    pub fn new(text: &str) -> Result<Self, ModelError> {
        let refuse = |reason| ModelError::Name { value: text.chars().take(80).collect(), reason };
        let mut count = 0;
        for c in text.chars() {
            if count == 0 && !c.is_alphanumeric() {
                return Err(refuse("it must start with a letter or a digit"));
            }
            if !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                return Err(refuse("only letters, digits, '-', '_' and '.' are allowed"));
            }
            count += 1;
            if count > Self::MAX {
                return Err(refuse("it is longer than 63 characters"));
            }
        }
        if count == 0 {
            return Err(refuse("it is empty"));
        }
        let folded = text.to_lowercase();
        // Folding can make a letter two (İ), or longer than it was: what is kept must itself be a name.
        if folded != text {
            return Self::new(&folded);
        }
        Ok(Self(folded.into()))
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl FromStr for Name {
    type Err = ModelError;
    fn from_str(s: &str) -> Result<Self, ModelError> {
        Self::new(s)
    }
}

impl TryFrom<String> for Name {
    type Error = ModelError;
    fn try_from(s: String) -> Result<Self, ModelError> {
        Self::new(&s)
    }
}

impl From<Name> for String {
    fn from(n: Name) -> String {
        n.0.into()
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_and_refuse() {
        assert_eq!(Name::new("Sales-1").unwrap().as_str(), "sales-1");
        assert_eq!(Name::new("営業").unwrap().as_str(), "営業");
        for bad in ["İ", "", "-a", "a b", "a/b", "a:b", "a*", "a\n", &"x".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
