//! The controller's brain: inputs and state to decisions, decisions to effects.
//!
//! Pure. [`Controller::handle`] takes one [`Input`] and the time, changes the world in memory and returns nothing;
//! [`Controller::flush`] then hands out the [`Effect`]s of everything since the last flush, in the order in which the
//! shell must carry them out: commits first, then rows, then whatever may only be said once both are done.

mod arrive;
mod config;
mod controller;
mod denied;
mod effect;
mod explain;
mod external;
mod input;
mod link;
mod login;
mod manage;
mod queries;
mod record;
mod rules;
mod sessions;
mod world;

pub use config::{ExitConfig, PortConfig, SiteConfig, SwitchConfig};
pub use controller::{Controller, Now, StartError, Usage};
pub use effect::{Answer, Applied, Effect, Event, EventKind, Presence, Refusal, Ticket};
pub use explain::{Explained, Party, PathRow, Why};
pub use input::Input;
pub use link::{Counter, LinkPhase};
pub use queries::{Standing, SwitchStatus};
pub use record::{Change, NumberKind, PolicyVersion, Record, RecordKey};
