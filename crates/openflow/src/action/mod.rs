//! Actions: OpenFlow 1.3.5 section 7.2.5 and the Nicira actions of Open vSwitch (`ovs-actions`(7)).

mod choose;
mod ct;
mod decode;
mod encode;
mod learn;

pub use choose::{BUNDLE_ALGORITHMS, HASH_FIELDS, MULTIPATH_ALGORITHMS, MembersAction, MultipathAction};
pub use ct::{CtAction, CtZone, NatAction, NatKind};
pub use learn::{LearnAction, LearnDestination, LearnSource, LearnSpec};

use crate::field::Field;
use crate::subfield::Subfield;

pub(crate) use choose::name as choice_name;
pub(crate) use decode::decode_list;
pub(crate) use encode::encode_list;

/// `OFPCML_NO_BUFFER`: send the whole packet to the controller.
pub const MAX_LEN_WHOLE: u16 = 0xffff;
/// Nicira's experimenter id, of Open vSwitch's extensions.
pub const NICIRA_EXPERIMENTER: u32 = 0x0000_2320;

/// Something done to a packet.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sends the packet out of a port. `max_len` bytes of it where the port is the controller.
    Output {
        /// Port number; see [`crate::port`] for the reserved ones.
        port: u32,
        /// Bytes for the controller.
        max_len: u16,
    },
    /// Hands the packet to a group.
    Group(u32),
    /// Chooses a queue of the port for later outputs.
    SetQueue(u32),
    /// Pushes a VLAN tag with this Ethernet type (0x8100 or 0x88a8).
    PushVlan(u16),
    /// Removes the outer VLAN tag.
    PopVlan,
    /// Pushes an MPLS shim header with this Ethernet type.
    PushMpls(u16),
    /// Removes the outer MPLS shim header; what follows has this Ethernet type.
    PopMpls(u16),
    /// Sets the MPLS time to live.
    SetMplsTtl(u8),
    /// Decrements the MPLS time to live.
    DecMplsTtl,
    /// Sets the IP time to live.
    SetNwTtl(u8),
    /// Decrements the IP time to live.
    DecNwTtl,
    /// Copies the time to live outwards.
    CopyTtlOut,
    /// Copies the time to live inwards.
    CopyTtlIn,
    /// Pushes a PBB header with this Ethernet type.
    PushPbb(u16),
    /// Removes the PBB header.
    PopPbb,
    /// Writes a field. OpenFlow 1.3 cannot say a mask: a masked write becomes Nicira's `reg_load2`.
    SetField {
        /// What is written.
        field: Field,
        /// The bits.
        value: u128,
        /// Which bits are written; `None` means all.
        mask: Option<u128>,
    },
    /// Copies bits from field to field (`move`). Both have the same number of bits.
    Move {
        /// From.
        src: Subfield,
        /// To.
        dst: Subfield,
    },
    /// Writes a constant of up to 64 bits (`load`).
    Load {
        /// To.
        dst: Subfield,
        /// The bits, right-justified.
        value: u64,
    },
    /// Pushes bits onto the switch's stack.
    Push(Subfield),
    /// Pops bits from the switch's stack.
    Pop(Subfield),
    /// Sends the packet out of the port whose number a field holds.
    OutputReg {
        /// The port number.
        src: Subfield,
        /// Bytes for the controller.
        max_len: u16,
    },
    /// Searches a table and executes what is found, then goes on here.
    Resubmit {
        /// The ingress port to search with; `None` keeps it.
        port: Option<u16>,
        /// The table; `None` means the current one.
        table: Option<u8>,
    },
    /// Like `Resubmit`, with source and destination exchanged for those of the connection's original direction.
    ResubmitCt {
        /// The ingress port to search with; `None` keeps it.
        port: Option<u16>,
        /// The table.
        table: u8,
    },
    /// Makes the row one clause of a conjunction.
    Conjunction {
        /// Id of the conjunction, matched by `conj_id`.
        id: u32,
        /// Which clause, counted from 1.
        clause: u8,
        /// Number of clauses, 2 to 64.
        of: u8,
    },
    /// Sends the packet to a chosen controller, with options.
    Controller(ControllerAction),
    /// Connection tracking.
    Ct(CtAction),
    /// Address translation, within [`Action::Ct`].
    Nat(NatAction),
    /// Forgets the packet's connection.
    CtClear,
    /// Adds a row when a packet comes by.
    Learn(LearnAction),
    /// Sends one packet in `65536 / probability` to the collectors.
    Sample {
        /// Probability in units of 1/65536.
        probability: u16,
        /// Collector set.
        collector_set: u32,
        /// IPFIX observation domain.
        domain: u32,
        /// IPFIX observation point.
        point: u32,
    },
    /// [`Action::Sample`] with the port and the direction that the record names.
    SampleAt {
        /// Probability in units of 1/65536.
        probability: u16,
        /// Collector set.
        collector_set: u32,
        /// IPFIX observation domain.
        domain: u32,
        /// IPFIX observation point.
        point: u32,
        /// The port of the record, in 16 bits; [`crate::port::NONE_16`] for none.
        port: u16,
        /// As the record says it.
        direction: SampleDirection,
    },
    /// Decrements the IP time to live; packets whose time is out go to the controllers of these ids.
    DecNwTtlFor(Vec<u16>),
    /// Writes 1 into a bit if the packet, from its Ethernet header on, is longer than `len` bytes, otherwise 0.
    CheckPktLarger {
        /// Length in bytes.
        len: u16,
        /// The bit.
        dst: Subfield,
    },
    /// Writes the number of a link chosen by hash into a field.
    Multipath(MultipathAction),
    /// Sends the packet to one of several ports chosen by hash, or writes that port's number into a field.
    Members(MembersAction),
    /// Lowers the row's timeouts when a TCP FIN or RST comes by.
    FinTimeout {
        /// Idle timeout in seconds from then on; 0 unchanged.
        idle: u16,
        /// Hard timeout in seconds from then on; 0 unchanged.
        hard: u16,
    },
    /// Sends at most `max_len` bytes of the packet out of a port.
    OutputTrunc {
        /// Port number in 16 bits; the reserved ones sit at the end.
        port: u16,
        /// Bytes, from 14.
        max_len: u32,
    },
    /// Removes a tunnel option from the packet.
    DeleteField(Field),
    /// Bytes without effect.
    Note(Vec<u8>),
    /// Undoes [`Action::SetQueue`].
    PopQueue,
    /// Stops processing of the pipeline here.
    Exit,
    /// Executes actions on a copy of the packet.
    Clone(Vec<Action>),
    /// An action this library has no name for: everything behind its type and length.
    Unknown {
        /// Action type; 0xffff means an experimenter's.
        type_: u16,
        /// The rest of the action with its padding; encoded with zeros up to a multiple of eight bytes.
        body: Vec<u8>,
    },
}

impl Action {
    /// Sends the packet out of `port`, whole where the port is the controller.
    pub const fn output(port: u32) -> Action {
        Action::Output { port, max_len: if port == crate::port::CONTROLLER { MAX_LEN_WHOLE } else { 0 } }
    }

    /// Writes all bits of `field`.
    pub fn set_field(field: Field, value: impl Into<u128>) -> Action {
        Action::SetField { field, value: value.into() & field.full_mask(), mask: None }
    }

    /// Writes the bits of `field` that are in `mask`.
    pub fn set_field_masked(field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Action {
        let mask = mask.into() & field.full_mask();
        let mask_or_whole = (mask != field.full_mask()).then_some(mask);
        Action::SetField { field, value: value.into() & mask, mask: mask_or_whole }
    }
}

/// Which direction the record of a sampled packet names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SampleDirection {
    /// As the ports say: the sampled packet comes in, or goes out of the sampling port.
    #[default]
    Default,
    /// In.
    Ingress,
    /// Out.
    Egress,
}

/// `controller(...)`: a packet for a chosen controller, with what it needs to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControllerAction {
    /// Bytes of the packet to send; [`MAX_LEN_WHOLE`] for all.
    pub max_len: u16,
    /// Which controller, by the id it gave itself ([`crate::Body::NxSetControllerId`]); 0 is everyone's.
    pub controller_id: u16,
    /// Reason in the packet-in; see [`crate::packet`].
    pub reason: u8,
    /// Bytes returned in the packet-in (Nicira's second packet-in format only).
    pub userdata: Vec<u8>,
    /// Holds the pipeline until the controller resumes it.
    pub pause: bool,
    /// Meter for these packets.
    pub meter_id: Option<u32>,
}

impl Default for ControllerAction {
    /// The whole packet to every controller, because an action said so.
    fn default() -> Self {
        let reason = crate::packet::REASON_ACTION;
        ControllerAction {
            max_len: MAX_LEN_WHOLE,
            controller_id: 0,
            reason,
            userdata: Vec::new(),
            pause: false,
            meter_id: None,
        }
    }
}
