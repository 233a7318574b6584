//! The proof of admission.

use std::time::Duration;

use fseg_model::{Identity, Method, Name, Session, Wall};

/// The name an endpoint should get; [`crate::Names`] makes it unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameWish {
    /// The name, or its part before the counter.
    pub base: Name,
    /// True when the counter is always there (`guest-1`); otherwise only from the second endpoint on (`anna`, `anna-2`).
    pub numbered: bool,
}

/// The proof that an endpoint was authenticated. Only this crate can make one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a grant that is not made a session admits nobody"]
pub struct Grant {
    pub(crate) identity: Identity,
    pub(crate) method: Method,
    pub(crate) name: NameWish,
    pub(crate) until: Option<Duration>,
    pub(crate) idle: Duration,
}

impl Grant {
    /// Who or what was authenticated, with its roles.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// How.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The name to ask [`crate::Names`] for.
    pub fn name(&self) -> &NameWish {
        &self.name
    }

    /// After how long it must authenticate again; `None` for never.
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// After how long without traffic it ends; zero for never.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// The session this grant makes when it begins now.
    pub fn session(&self, now: Wall) -> Session {
        Session {
            method: self.method,
            identity: self.identity.clone(),
            since: now,
            until: self.until.map(|d| now.plus(d)),
            idle_seconds: u32::try_from(self.idle.as_secs()).unwrap_or(u32::MAX),
        }
    }
}
