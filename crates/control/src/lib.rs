//! The controller's brain: inputs and state to decisions, decisions to effects.
//!
//! Pure. [`Controller::handle`] takes one [`Input`] and the time, changes the world in memory and returns nothing;
//! [`Controller::flush`] then hands out the [`Effect`]s of everything since the last flush, in the order in which the
//! shell must carry them out: commits first, then rows, then whatever may only be said once both are done.

mod arrive;
mod change;
mod config;
mod controller;
mod denied;
mod discovery;
mod domain;
mod effect;
mod explain;
mod external;
mod input;
mod link;
mod login;
mod manage;
mod moves;
mod multicast;
mod plain;
mod prove;
mod queries;
mod record;
pub mod recording;
mod resume;
mod rules;
mod sessions;
mod trace;
mod world;

pub use change::{MOST_BYTES, MOST_VERSIONS, Plan, PlanPair, PlanSide, Talk, Versions};
pub use config::{ExitConfig, PortConfig, Protocol, SiteConfig, SwitchConfig};
pub use controller::{Controller, Now, StartError, Usage};
pub use domain::{LearnedAddress, LearnedView};
pub use effect::{Answer, Applied, Effect, Event, EventKind, NotApplied, Presence, Refusal, RowsTouched, Ticket};
pub use explain::{Explained, Party, PathRow, Why};
pub use input::{ApplyOptions, Input};
pub use link::{Counter, Lacking, LinkPhase};
pub use multicast::StreamView;
pub use plain::{SwitchFit, TableUse};
pub use prove::{Tables, TablesRead};
pub use queries::{Standing, SwitchStatus};
pub use record::{Change, NumberKind, PolicyVersion, Record, RecordKey, VersionState};
pub use trace::{Age, End, Hop, Traced, TracedStep};
