//! The policy language: parse, check, test, diff, and the reference answer.
//!
//! A policy says by name who may use what of whom. This crate reads it ([`check`]), says what is wrong with it, runs the
//! tests that stand in it ([`Policy::run_tests`]), compares two of them ([`Policy::diff`]) and answers what it permits
//! ([`Policy::decide`]). It knows nothing of switches; whatever is compiled from a policy must agree with `decide`.
//!
//! Two rules hold everywhere. What is not permitted is denied. An empty list means nobody, never everybody.
//!
//! ```
//! use fseg_model::{Flow, Identity, Wall};
//! use fseg_yaml::Source;
//!
//! let text = "
//! groups:
//!   sales: { members: [user:anna] }
//!   crm: { members: [device:crm-1] }
//! permits:
//!   - { id: sales-crm, from: sales, to: crm, services: [tcp/443] }
//! ";
//! let policy = fseg_policy::check(&Source::new("p.yaml", text)).policy.ok_or("refused")?;
//! let anna = policy.groups_of(&Identity::plain("user:anna".parse()?));
//! let crm = policy.groups_of(&Identity::plain("device:crm-1".parse()?));
//! assert!(policy.decide(&anna, &crm, Flow::tcp(443), Wall(0)).is_permit());
//! assert!(!policy.decide(&crm, &anna, Flow::tcp(443), Wall(0)).is_permit());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod decide;
mod diff;
mod domain;
mod expiry;
mod member;
mod policy;
mod policy_test;
mod reach;
mod shipped;
mod stream;
mod terms;

pub use check::{Checked, check, check_at};
pub use decide::{Decision, DenyReason};
pub use diff::{Changes, PolicyDiff};
pub use domain::{domain_covers, is_domain};
pub use expiry::{ExpiryError, expiry_text, parse_expiry, parse_start};
pub use member::{Member, MemberError};
pub use policy::{External, Group, Mode, Observed, Permit, Policy, Service};
pub use policy_test::{Expect, Party, PartyError, PolicyTest, TestOutcome};
pub use reach::{KindChange, PartyKind, Services, reach_changes};
pub use shipped::{ShippedService, shipped_services};
pub use stream::Stream;
pub use terms::merge_terms;
