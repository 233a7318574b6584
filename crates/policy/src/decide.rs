//! The reference answer.
//!
//! Deliberately without any cleverness: what is compiled into switches is tested against this.

use std::fmt;

use fseg_model::{Flow, MemberSet, Name, Wall};
use serde::Serialize;

use crate::{Mode, Policy};

/// Whether a connection is permitted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// It is.
    Permit {
        /// The first permit of the policy that permits it.
        id: Name,
    },
    /// It passes, and is logged: it would be denied if what is observed were enforced.
    Observe {
        /// The observed permit by which it passes; without one, the network or a group is observed.
        permit: Option<Name>,
        /// Why it would be denied.
        reason: DenyReason,
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
    /// It will be permitted, once these have started.
    NotStarted {
        /// Permits that cover it.
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
    /// of an outside address instead. `now` is compared with the permits' times. Both sides are admitted, or outside: a
    /// stranger is denied whatever the policy says, and is not asked about here.
    pub fn decide(&self, from: &MemberSet, to: &MemberSet, flow: Flow, now: Wall) -> Decision {
        match self.decide_enforced(from, to, flow, now) {
            Decision::Deny { reason } if self.observed.covers(from, to) => Decision::Observe { permit: None, reason },
            decision => decision,
        }
    }

    /// The same as if neither the network nor a group were only observed: what the tests in a policy judge by, since they
    /// say what must be so once it is enforced.
    pub fn decide_enforced(&self, from: &MemberSet, to: &MemberSet, flow: Flow, now: Wall) -> Decision {
        match self.decide_without_trials(from, to, flow, now) {
            Decision::Deny { reason } => {
                let on_trial = |p: &&crate::Permit| {
                    p.mode == Mode::Observe && p.in_force(now) && p.terms.iter().any(|term| term.covers(flow))
                };
                match self.permits_between(from, to).find(on_trial) {
                    Some(permit) => Decision::Observe { permit: Some(permit.id.clone()), reason },
                    None => Decision::Deny { reason },
                }
            }
            decision => decision,
        }
    }

    /// As if the observed permits were not there.
    fn decide_without_trials(&self, from: &MemberSet, to: &MemberSet, flow: Flow, now: Wall) -> Decision {
        let deny = |reason| Decision::Deny { reason };
        if from.is_empty() {
            return deny(DenyReason::SourceInNoGroup);
        }
        if to.is_empty() {
            return deny(DenyReason::DestinationInNoGroup);
        }
        let (mut expired, mut coming, mut other_services) = (Vec::new(), Vec::new(), Vec::new());
        for permit in self.permits_between(from, to).filter(|p| p.mode == Mode::Enforce) {
            let covers = permit.terms.iter().any(|term| term.covers(flow));
            match (covers, permit.in_force(now)) {
                (true, true) => return Decision::Permit { id: permit.id.clone() },
                (true, false) if permit.has_expired(now) => expired.push(permit.id.clone()),
                (true, false) => coming.push(permit.id.clone()),
                (false, true) => other_services.push(permit.id.clone()),
                (false, false) => {}
            }
        }
        if !expired.is_empty() {
            deny(DenyReason::Expired { permits: expired })
        } else if !coming.is_empty() {
            deny(DenyReason::NotStarted { permits: coming })
        } else if !other_services.is_empty() {
            deny(DenyReason::ServiceNotPermitted { permits: other_services })
        } else {
            deny(DenyReason::NoPermit)
        }
    }
}

impl Decision {
    /// True when the connection passes, be it only observed.
    pub fn is_permit(&self) -> bool {
        !matches!(self, Self::Deny { .. })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permit { id } => write!(f, "permitted by `{id}`"),
            Self::Observe { permit: Some(id), reason } => {
                write!(f, "passes by `{id}`, which is on trial (observe); would be denied without it: {reason}")
            }
            Self::Observe { permit: None, reason } => write!(f, "passes, observed only; would be denied: {reason}"),
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
            Self::NotStarted { permits } => {
                write!(f, "it will be permitted by {}, which has not started", listed(permits))
            }
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
