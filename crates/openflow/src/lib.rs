//! OpenFlow 1.3 with the Open vSwitch extensions: bytes, values and text.
//!
//! Pure: no socket, clock or thread. [`Message`] is the whole protocol as a value; [`Message::encode`] and
//! [`Message::decode`] are its bytes, `Display` and [`parse_flow`] its text in ovs-ofctl's spelling; [`Framer`] cuts a
//! byte stream into messages and [`Session`] keeps one connection alive.
//!
//! ```
//! use fseg_openflow::{Action, Body, Field, FlowMod, Instruction, Match, Message};
//!
//! let mut row = FlowMod::add(0, 100);
//! row.matches = Match::new().with(Field::EthType, 0x0800u16).with(Field::Ipv4Dst, 0x0a00_0001u32);
//! row.instructions = vec![Instruction::ApplyActions(vec![Action::output(2)])];
//! let message = Message { xid: 1, body: Body::FlowMod(row) };
//! assert_eq!(Message::decode(&message.encode()), Ok(message.clone()));
//! assert_eq!(message.to_string(), "OFPT_FLOW_MOD (OF1.3) (xid=0x1): ADD priority=100,ip,nw_dst=10.0.0.1 actions=output:2");
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod action;
pub mod bundle;
pub mod error;
pub mod field;
pub mod flow;
pub mod framing;
pub mod group;
pub mod instruction;
pub mod message;
pub mod meter;
pub mod multipart;
pub mod nicira;
pub mod oxm;
pub mod packed;
pub mod packet;
pub mod port;
pub mod property;
pub mod queue;
pub mod roles;
pub mod session;
pub mod simulate;
pub mod subfield;
pub mod switch;
pub mod table;
mod text;
pub mod transactions;
mod wire;

pub use action::{
    Action, ControllerAction, CtAction, CtZone, LearnAction, LearnDestination, LearnSource, LearnSpec, MembersAction,
    MultipathAction, NatAction, NatKind, SampleDirection,
};
pub use bundle::{BundleAdd, BundleControl};
pub use error::DecodeError;
pub use field::Field;
pub use flow::{FlowCommand, FlowMod, FlowRemoved, FlowStats};
pub use framing::Framer;
pub use group::{Bucket, GroupCommand, GroupMod, GroupType};
pub use instruction::Instruction;
pub use message::{Body, ErrorMessage, Experimenter, Message};
pub use meter::{Band, MeterCommand, MeterMod};
pub use multipart::{Aggregate, Answer, FlowQuery, MultipartReply, MultipartRequest, Query};
pub use oxm::{Match, UnnamedField, Value};
pub use packet::{NxPacketIn2, PacketIn, PacketOut};
pub use port::{Port, PortMod, PortReason, PortStats, PortStatus};
pub use property::UnknownProperty;
pub use roles::{RoleClaim, RoleOutcome};
pub use session::{CloseReason, Effect, Input, Session, SessionConfig};
pub use subfield::Subfield;
pub use switch::{AsyncConfig, Features, Hello, Role, RoleMessage, RoleStatus, SwitchConfig};
pub use text::{TextError, parse_flow, parse_match};
pub use transactions::{Outcome, TooManyOpen, Transactions};
