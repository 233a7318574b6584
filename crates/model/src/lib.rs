//! The nouns of FSEG and their invariants: names, places, subjects, classes, bindings, services.
//!
//! Pure: no clock, no socket, no file. Whatever can be invalid is checked once, when the value is made, so
//! that the crates above never check it again.

mod class;
mod endpoint;
mod error;
mod mac;
mod name;
mod place;
mod service;
mod subject;
mod time;

pub use class::{Class, ClassId, MemberSet, SliceId};
pub use endpoint::{Binding, Endpoint, EndpointId, Method, Posture, Session, WatchLevel};
pub use error::ModelError;
pub use mac::Mac;
pub use name::Name;
pub use place::{Dpid, Location, PlacePath, PlacePattern, PortKind, PortNo};
pub use service::{Flow, IpProtocol, PortRange, ServiceTerm};
pub use subject::{Identity, Subject};
pub use time::{Mono, Wall};
