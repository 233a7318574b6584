//! A network in memory: switches that do what OpenFlow 1.3 and Open vSwitch's extensions say, connection tracking,
//! cables, and the frames of ordinary clients. Nothing here knows FSEG's tables: rows go in as messages, packets as
//! bytes, so whatever comes out was said by the rows.
//!
//! For tests only: what a test got wrong, or what this kit does not simulate, is a panic that says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conntrack;
pub mod dhcp;
pub mod frames;
mod interpret;
mod network;
mod packet;
mod switch;
mod tables;

pub use conntrack::{Connection, Conntrack, Tuple};
pub use network::{Arrival, Network};
pub use packet::Packet;
pub use switch::{Cut, FakeSwitch, Out};
pub use tables::{Refused, Stored, Tables};
