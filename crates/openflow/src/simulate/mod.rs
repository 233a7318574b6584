//! What a switch does with a packet: rows, groups and connection state in; every step, and what leaves, out.
//!
//! Pure, and without any notion of whose rows they are. It follows OpenFlow 1.3.5 (5.1 to 5.10) and, for what that leaves
//! open and for Nicira's extensions, Open vSwitch; the tests of the test kit compare it with `ovs-appctl ofproto/trace`.
//!
//! ```
//! use fseg_openflow::parse_flow;
//! use fseg_openflow::simulate::{NoConnections, Packet, Simulator, Tables};
//!
//! let mut tables = Tables::new();
//! for row in ["table=0,priority=9,tcp,tp_dst=80,actions=dec_ttl,resubmit(,1)", "table=1,actions=output:2"] {
//!     tables.apply(&parse_flow(row).unwrap()).unwrap();
//! }
//! let packet = Packet::from_text("in_port=1,tcp,nw_dst=10.0.0.1,tp_dst=80").unwrap();
//! let trace = Simulator::new(&tables).run(packet, &mut NoConnections);
//! assert_eq!(trace.outputs().map(|(port, _)| port).collect::<Vec<_>>(), [2]);
//! assert_eq!(trace.steps.len(), 2);
//! ```
//!
//! Not simulated, and said so in the trace: meters' rates, `NORMAL`, MPLS and PBB headers pushed or popped, the choice
//! of a select group.

mod checksum;
mod connection;
mod connections;
mod learn;
mod packet;
mod said;
mod set;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod walk;

pub use checksum::checksum;
pub use connection::{Given, NoConnections, Question, Tracked, Tracker, Tuple, state};
pub use connections::{Connection, Connections};
pub use packet::Packet;
pub use tables::{Refused, RowId, Stored, Tables};
pub use text::PacketError;
pub use trace::{Abandoned, Departure, Dropped, Event, Idle, Step, To, Trace};
pub use walk::{Group, Simulator};
