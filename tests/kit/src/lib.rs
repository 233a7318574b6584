//! A network in memory: switches that answer messages and run packets through their rows by the simulator of
//! `fseg-openflow`, cables, and the frames of ordinary clients. Nothing here knows FSEG's tables: rows go in as messages, packets as
//! bytes, so whatever comes out was said by the rows.
//!
//! For tests only: what a test got wrong, or what this kit does not simulate, is a panic that says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod dhcp;
pub mod frames;
mod interpret;
mod network;
pub mod oracle;
mod switch;

pub use fseg_openflow::simulate::{Connection, Connections as Conntrack, Packet, Refused, Stored, Tables, Tuple};
pub use network::{Arrival, Network};
pub use switch::{Cut, FakeSwitch, Out};
