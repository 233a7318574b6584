//! Policy, bindings and topology compiled into flow tables by name.
//!
//! Pure. The tables are declared once ([`table`]); the functions in [`rows`] turn facts into rows, each with an owner
//! carried in its cookie ([`cookie`]); [`desired`] keeps what a switch should hold, by owner, and says what to change;
//! [`repair`] compares it with what a switch says it holds.

pub mod bits;
pub mod cookie;
pub mod desired;
pub mod fabric;
mod held;
pub mod meter;
pub mod profile;
pub mod repair;
pub mod rows;
pub mod table;

pub use cookie::{Cookie, Owner};
pub use desired::{Delta, Desired, Row, RowKey, Unsent};
pub use fabric::{
    EndpointFacts, Exit, ExternalFacts, Fabric, NatMode, PermitFacts, PortFacts, SwitchFacts, SwitchRole,
};
pub use profile::{Capabilities, Misfit, Profile};
pub use table::Table;
