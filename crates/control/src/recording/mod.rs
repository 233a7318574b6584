//! Recordings: everything that came into a controller, with both times, so that it can be lived through again.
//!
//! A recording begins with the configuration and the committed records, and then holds every input in order, and for every
//! [`crate::Controller::flush`] a digest of each effect. [`Replay`] hands the same inputs to the same core and compares: so
//! a recording proves that nothing but its inputs decided, and points at the first step where that is not so.
//!
//! # The file
//!
//! ```text
//! "FSEGREC\n"  version (16 bit)   then frames:
//! kind (8)  length (32)  body (length octets)  chain (64)
//! ```
//!
//! Numbers are big-endian. The *chain* is the FNV-1a digest of the previous chain, kind, length and body: a frame that was
//! changed, left out or put elsewhere is noticed. It is no seal: who wants to can compute it. An unfinished frame at the
//! end is what a crash leaves behind; what is before it stands.
//!
//! # What is not in it
//!
//! Passwords never reach the controller. In place of each password hash stands another one that no password is known to
//! have, the same for the same hash. What TCP, and UDP apart from the protocols that the node itself speaks, carried in
//! the packets that were shown to the node is overwritten with zeros.

mod digest;
mod format;
mod read;
mod replay;
mod write;

pub use digest::EffectDigest;
pub use read::{Reader, RecordingError, Start, Step};
pub use replay::{Difference, Done, Replay, ReplayError};
pub use write::Recorder;

#[cfg(test)]
mod tests;
