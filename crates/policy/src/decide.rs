//! The reference answer.
//!
//! Deliberately without any cleverness: what is compiled into switches is tested against this.

use std::fmt;

use fseg_model::{Flow, MemberSet, Name, Wall};
use serde::Serialize;

use crate::Policy;

/// Whether a connection is permitted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// It is.
    Permit {
        /// The first permit of the policy that permits it.
        id: Name,
    },
    /// It is not.
    Deny {
        /// Why not.
        reason: DenyReason,
    },
}

/// Why a connection is denied: the first of these that applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DenyReason {
    /// The source is in no group and no external.
    SourceInNoGroup,
    /// The destination is in no group and no external.
    DestinationInNoGroup,
    /// It would be permitted, had these not expired.
    Expired {
        /// Expired permits that cover it.
        permits: Vec<Name>,
    },
    /// The two are joined, but for other services.
    ServiceNotPermitted {
        /// Permits in force that join the two.
        permits: Vec<Name>,
    },
    /// No permit in force joins the two.
    NoPermit,
}

impl Policy {
    /// May an endpoint in the groups `from` open this connection to one in the groups `to`? Either may be the externals
    /// of an outside address instead. `now` is compared with the permits' expiry.
    pub fn decide(&self, from: &MemberSet, to: &MemberSet, flow: Flow, now: Wall) -> Decision {
        let deny = |reason| Decision::Deny { reason };
        if from.is_empty() {
            return deny(DenyReason::SourceInNoGroup);
        }
        if to.is_empty() {
            return deny(DenyReason::DestinationInNoGroup);
        }
        let (mut expired, mut other_services) = (Vec::new(), Vec::new());
        for permit in self.permits_between(from, to) {
            let covers = permit.terms.iter().any(|term| term.covers(flow));
            match (covers, permit.in_force(now)) {
                (true, true) => return Decision::Permit { id: permit.id.clone() },
                (true, false) => expired.push(permit.id.clone()),
                (false, true) => other_services.push(permit.id.clone()),
                (false, false) => {}
            }
        }
        if !expired.is_empty() {
            deny(DenyReason::Expired { permits: expired })
        } else if !other_services.is_empty() {
            deny(DenyReason::ServiceNotPermitted { permits: other_services })
        } else {
            deny(DenyReason::NoPermit)
        }
    }
}

impl Decision {
    /// True when the connection is permitted.
    pub fn is_permit(&self) -> bool {
        matches!(self, Self::Permit { .. })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permit { id } => write!(f, "permitted by `{id}`"),
            Self::Deny { reason } => write!(f, "denied: {reason}"),
        }
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceInNoGroup => f.write_str("the source is in no group, so it may reach nothing"),
            Self::DestinationInNoGroup => f.write_str("the destination is in no group, so nothing may reach it"),
            Self::Expired { permits } => write!(f, "it was permitted by {}, which has expired", listed(permits)),
            Self::ServiceNotPermitted { permits } => {
                write!(f, "this service is not permitted; {} joins the two, but for other services", listed(permits))
            }
            Self::NoPermit => f.write_str("no permit joins the two"),
        }
    }
}

/// The first three names, and how many more there are.
fn listed(names: &[Name]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|n| format!("`{n}`")).collect();
    match names.len().saturating_sub(3) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
