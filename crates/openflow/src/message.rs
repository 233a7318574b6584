//! Messages: the header of OpenFlow 1.3.5 section 7.1.1 and what can follow it.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! | version  0x04 |     type      |     length, with header       |
//! +---------------+---------------+-------------------------------+
//! |                       transaction id                          |
//! +---------------------------------------------------------------+
//! ```

use crate::action::NICIRA_EXPERIMENTER;
use crate::bundle::{self, BundleAdd, BundleControl};
use crate::error::DecodeError;
use crate::field::ONF_EXPERIMENTER;
use crate::flow::{FlowMod, FlowRemoved};
use crate::group::GroupMod;
use crate::meter::MeterMod;
use crate::multipart::{MultipartReply, MultipartRequest};
use crate::nicira::{CtFlush, TlvTable, TlvTableMod};
use crate::packet::{NxPacketIn2, PacketIn, PacketOut};
use crate::port::{PortMod, PortStatus};
use crate::queue::QueueConfig;
use crate::switch::{AsyncConfig, Features, Hello, RoleMessage, RoleStatus, SwitchConfig};
use crate::table::TableMod;
use crate::wire::{Reader, Result, Writer};

/// The wire version of OpenFlow 1.3.
pub const VERSION: u8 = 4;
/// Length of a message's header in bytes.
pub const HEADER_LEN: usize = 8;
/// The longest message in bytes: its length has 16 bits.
pub const MAX_LEN: usize = 0xffff;

/// One OpenFlow message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message {
    /// Transaction id: a reply carries its request's.
    pub xid: u32,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// Which versions the sender speaks.
    Hello(Hello),
    /// A request was refused.
    Error(ErrorMessage),
    /// Are you there?
    EchoRequest(Vec<u8>),
    /// Yes; the same bytes.
    EchoReply(Vec<u8>),
    /// An experimenter's message this library has no name for.
    Experimenter(Experimenter),
    /// Who are you?
    FeaturesRequest,
    /// Who the switch is.
    FeaturesReply(Features),
    /// Asks for the configuration.
    GetConfigRequest,
    /// The configuration.
    GetConfigReply(SwitchConfig),
    /// Changes the configuration.
    SetConfig(SwitchConfig),
    /// A packet for the controller.
    PacketIn(PacketIn),
    /// A row went.
    FlowRemoved(FlowRemoved),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A packet from the controller.
    PacketOut(PacketOut),
    /// Adds, changes or deletes rows.
    FlowMod(FlowMod),
    /// Adds, changes or deletes a group.
    GroupMod(GroupMod),
    /// Configures a port.
    PortMod(PortMod),
    /// Configures a table.
    TableMod(TableMod),
    /// A question with a long answer.
    MultipartRequest(MultipartRequest),
    /// A part of the answer.
    MultipartReply(MultipartReply),
    /// Answer when all before this is done.
    BarrierRequest,
    /// All before that is done.
    BarrierReply,
    /// Asks for the queues of a port.
    QueueGetConfigRequest(u32),
    /// The queues of a port.
    QueueGetConfigReply(QueueConfig),
    /// Asks for a role.
    RoleRequest(RoleMessage),
    /// The role given.
    RoleReply(RoleMessage),
    /// Asks which messages come unasked.
    GetAsyncRequest,
    /// Which messages come unasked.
    GetAsyncReply(AsyncConfig),
    /// Chooses which messages come unasked.
    SetAsync(AsyncConfig),
    /// Adds, changes or deletes a meter.
    MeterMod(MeterMod),
    /// The switch changed this controller's role.
    RoleStatus(RoleStatus),
    /// Opens, closes, commits or discards a bundle.
    BundleControl(BundleControl),
    /// Adds a message to a bundle.
    BundleAdd(BundleAdd),
    /// Chooses the form of packet-ins; see [`crate::nicira`].
    NxSetPacketInFormat(u32),
    /// A packet for the controller, in Open vSwitch's second form.
    NxPacketIn2(Box<NxPacketIn2>),
    /// Lets a paused packet go on.
    NxResume(Box<NxPacketIn2>),
    /// The id that `controller(id=...)` means.
    NxSetControllerId(u16),
    /// Forgets all connections of a zone.
    NxCtFlushZone(u16),
    /// Forgets some connections.
    NxCtFlush(Box<CtFlush>),
    /// Maps tunnel options to fields.
    NxTlvTableMod(TlvTableMod),
    /// Asks for the mapping of tunnel options.
    NxTlvTableRequest,
    /// The mapping of tunnel options.
    NxTlvTableReply(TlvTable),
    /// A message type this library has no name for.
    Unknown {
        /// Message type.
        type_: u8,
        /// Everything behind the header.
        body: Vec<u8>,
    },
}

/// `OFPT_ERROR`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ErrorMessage {
    /// Kind of error (`OFPET_*`); 0xffff means an experimenter's, whose id begins the data.
    pub type_: u16,
    /// The error within its kind.
    pub code: u16,
    /// At least the first 64 bytes of the message that was refused, or a text for a failed hello.
    pub data: Vec<u8>,
}

/// `OFPT_EXPERIMENTER`, and the body of an experimenter's multipart messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Experimenter {
    /// Whose.
    pub experimenter: u32,
    /// Which of theirs.
    pub exp_type: u32,
    /// What it says.
    pub data: Vec<u8>,
}

impl Experimenter {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        experimenter(out, self.experimenter, self.exp_type);
        out.bytes(&self.data);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Experimenter {
            experimenter: reader.u32("experimenter")?,
            exp_type: reader.u32("experimenter type")?,
            data: reader.rest().to_vec(),
        })
    }
}

/// A message that does not fit into OpenFlow's 16-bit length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message takes {length} bytes, OpenFlow allows 65535: split it")]
pub struct TooLong {
    /// Its length in bytes.
    pub length: usize,
}

impl Message {
    /// The message as bytes. See [`Message::encode_into`] for messages that are too long.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.encode_into(&mut out);
        out
    }

    /// Appends the message. One that is longer than [`MAX_LEN`] bytes cannot be said in OpenFlow: it is cut there, so
    /// that the peer refuses this message and the stream goes on; [`Message::try_encode`] tells beforehand.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.encode_version(VERSION, out);
        if out.len() - start > MAX_LEN {
            out.truncate(start + MAX_LEN);
        }
    }

    /// The message as bytes, or an error where it is too long to be said.
    pub fn try_encode(&self) -> std::result::Result<Vec<u8>, TooLong> {
        let mut out = Vec::with_capacity(128);
        self.encode_version(VERSION, &mut out);
        if out.len() > MAX_LEN { Err(TooLong { length: out.len() }) } else { Ok(out) }
    }

    pub(crate) fn encode_version(&self, version: u8, out: &mut Vec<u8>) {
        let start = out.len();
        let version = if let Body::Hello(hello) = &self.body { hello.highest() } else { version };
        out.u8(version);
        out.u8(self.body.type_());
        out.u16(0);
        out.u32(self.xid);
        self.body.encode(version, out);
        out.patch_length(start + 2, start);
    }

    /// Reads one whole message. A hello or an error may be of any version; everything else must be OpenFlow 1.3, except
    /// for bundle messages, which may be OpenFlow 1.4's.
    ///
    /// # Errors
    /// [`DecodeError::Short`] and [`DecodeError::Trailing`] where `bytes` are not exactly one message, otherwise what
    /// is wrong within it. Offsets count from the first byte of the header.
    pub fn decode(bytes: &[u8]) -> Result<Message> {
        decode(&mut Reader::new(bytes), false)
    }
}

/// Reads one message that fills the reader; `nested` within a bundle, where the outer message's version counts.
pub(crate) fn decode(reader: &mut Reader<'_>, nested: bool) -> Result<Message> {
    let start = reader.at();
    let whole = reader.left();
    let version = reader.u8("header")?;
    let type_ = reader.u8("header")?;
    let at = reader.at();
    let length = usize::from(reader.u16("header")?);
    let xid = reader.u32("header")?;
    if length < HEADER_LEN {
        return Err(DecodeError::Length { what: "message", at, value: length });
    }
    if length > whole {
        return Err(DecodeError::Short { what: "message", at: start, needed: length, had: whole });
    }
    if length < whole {
        return Err(DecodeError::Trailing { what: "message", at: start + length, extra: whole - length });
    }
    let any_version = matches!(type_, 0 | 1);
    let bundle = matches!(type_, bundle::TYPE_CONTROL | bundle::TYPE_ADD);
    if version != VERSION && !any_version && !(version == VERSION + 1 && (bundle || nested)) {
        return Err(DecodeError::Version { found: version });
    }
    let body = Body::decode(version, type_, nested, reader)?;
    reader.end("message")?;
    Ok(Message { xid, body })
}

/// The ONF's number of the role status in OpenFlow 1.3.
const EXPERIMENTER_ROLE_STATUS: u32 = 1911;

/// Experimenter types of Nicira (`enum ofp_raw` with `NXT_`).
mod nxt {
    pub(super) const SET_PACKET_IN_FORMAT: u32 = 16;
    pub(super) const SET_CONTROLLER_ID: u32 = 20;
    pub(super) const TLV_TABLE_MOD: u32 = 24;
    pub(super) const TLV_TABLE_REQUEST: u32 = 25;
    pub(super) const TLV_TABLE_REPLY: u32 = 26;
    pub(super) const RESUME: u32 = 28;
    pub(super) const CT_FLUSH_ZONE: u32 = 29;
    pub(super) const PACKET_IN2: u32 = 30;
    pub(super) const CT_FLUSH: u32 = 32;
}

impl Body {
    /// The type in the message's header.
    pub(crate) const fn type_(&self) -> u8 {
        match self {
            Body::Hello(_) => 0,
            Body::Error(_) => 1,
            Body::EchoRequest(_) => 2,
            Body::EchoReply(_) => 3,
            Body::Experimenter(_)
            | Body::RoleStatus(_)
            | Body::BundleControl(_)
            | Body::BundleAdd(_)
            | Body::NxSetPacketInFormat(_)
            | Body::NxPacketIn2(_)
            | Body::NxResume(_)
            | Body::NxSetControllerId(_)
            | Body::NxCtFlushZone(_)
            | Body::NxCtFlush(_)
            | Body::NxTlvTableMod(_)
            | Body::NxTlvTableRequest
            | Body::NxTlvTableReply(_) => 4,
            Body::FeaturesRequest => 5,
            Body::FeaturesReply(_) => 6,
            Body::GetConfigRequest => 7,
            Body::GetConfigReply(_) => 8,
            Body::SetConfig(_) => 9,
            Body::PacketIn(_) => 10,
            Body::FlowRemoved(_) => 11,
            Body::PortStatus(_) => 12,
            Body::PacketOut(_) => 13,
            Body::FlowMod(_) => 14,
            Body::GroupMod(_) => 15,
            Body::PortMod(_) => 16,
            Body::TableMod(_) => 17,
            Body::MultipartRequest(_) => 18,
            Body::MultipartReply(_) => 19,
            Body::BarrierRequest => 20,
            Body::BarrierReply => 21,
            Body::QueueGetConfigRequest(_) => 22,
            Body::QueueGetConfigReply(_) => 23,
            Body::RoleRequest(_) => 24,
            Body::RoleReply(_) => 25,
            Body::GetAsyncRequest => 26,
            Body::GetAsyncReply(_) => 27,
            Body::SetAsync(_) => 28,
            Body::MeterMod(_) => 29,
            Body::Unknown { type_, .. } => *type_,
        }
    }

    fn encode(&self, version: u8, out: &mut Vec<u8>) {
        match self {
            Body::FeaturesRequest
            | Body::GetConfigRequest
            | Body::BarrierRequest
            | Body::BarrierReply
            | Body::GetAsyncRequest => {}
            Body::Hello(hello) => hello.encode(out),
            Body::Error(error) => {
                out.u16(error.type_);
                out.u16(error.code);
                out.bytes(&error.data);
            }
            Body::EchoRequest(bytes) | Body::EchoReply(bytes) | Body::Unknown { body: bytes, .. } => out.bytes(bytes),
            Body::Experimenter(message) => message.encode(out),
            Body::FeaturesReply(features) => features.encode(out),
            Body::GetConfigReply(config) | Body::SetConfig(config) => config.encode(out),
            Body::PacketIn(packet) => packet.encode(out),
            Body::FlowRemoved(flow) => flow.encode(out),
            Body::PortStatus(status) => status.encode(out),
            Body::PacketOut(packet) => packet.encode(out),
            Body::FlowMod(flow) => flow.encode(out),
            Body::GroupMod(group) => group.encode(out),
            Body::PortMod(port) => port.encode(out),
            Body::TableMod(table) => table.encode(out),
            Body::MultipartRequest(request) => request.encode(out),
            Body::MultipartReply(reply) => reply.encode(out),
            Body::QueueGetConfigRequest(port) => {
                out.u32(*port);
                out.zeros(4);
            }
            Body::QueueGetConfigReply(config) => config.encode(out),
            Body::RoleRequest(role) | Body::RoleReply(role) => role.encode(out),
            Body::GetAsyncReply(config) | Body::SetAsync(config) => config.encode(out),
            Body::MeterMod(meter) => meter.encode(out),
            Body::RoleStatus(status) => {
                experimenter(out, ONF_EXPERIMENTER, EXPERIMENTER_ROLE_STATUS);
                status.encode(out);
            }
            Body::BundleControl(control) => {
                experimenter(out, ONF_EXPERIMENTER, bundle::EXPERIMENTER_CONTROL);
                control.encode(out);
            }
            Body::BundleAdd(add) => {
                experimenter(out, ONF_EXPERIMENTER, bundle::EXPERIMENTER_ADD);
                add.encode(version, out);
            }
            Body::NxSetPacketInFormat(format) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::SET_PACKET_IN_FORMAT);
                out.u32(*format);
            }
            Body::NxPacketIn2(packet) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::PACKET_IN2);
                packet.encode(out);
            }
            Body::NxResume(packet) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::RESUME);
                packet.encode(out);
            }
            Body::NxSetControllerId(id) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::SET_CONTROLLER_ID);
                out.zeros(6);
                out.u16(*id);
            }
            Body::NxCtFlushZone(zone) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::CT_FLUSH_ZONE);
                out.zeros(6);
                out.u16(*zone);
            }
            Body::NxCtFlush(flush) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::CT_FLUSH);
                flush.encode(out);
            }
            Body::NxTlvTableMod(table) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::TLV_TABLE_MOD);
                table.encode(out);
            }
            Body::NxTlvTableRequest => experimenter(out, NICIRA_EXPERIMENTER, nxt::TLV_TABLE_REQUEST),
            Body::NxTlvTableReply(table) => {
                experimenter(out, NICIRA_EXPERIMENTER, nxt::TLV_TABLE_REPLY);
                table.encode(out);
            }
        }
    }

    fn decode(version: u8, type_: u8, nested: bool, reader: &mut Reader<'_>) -> Result<Body> {
        Ok(match type_ {
            0 => Body::Hello(Hello::decode(version, reader)?),
            1 => Body::Error(ErrorMessage {
                type_: reader.u16("error type")?,
                code: reader.u16("error code")?,
                data: reader.rest().to_vec(),
            }),
            2 => Body::EchoRequest(reader.rest().to_vec()),
            3 => Body::EchoReply(reader.rest().to_vec()),
            4 => return Body::decode_experimenter(nested, reader),
            5 => Body::FeaturesRequest,
            6 => Body::FeaturesReply(Features::decode(reader)?),
            7 => Body::GetConfigRequest,
            8 => Body::GetConfigReply(SwitchConfig::decode(reader)?),
            9 => Body::SetConfig(SwitchConfig::decode(reader)?),
            10 => Body::PacketIn(PacketIn::decode(reader)?),
            11 => Body::FlowRemoved(FlowRemoved::decode(reader)?),
            12 => Body::PortStatus(PortStatus::decode(reader)?),
            13 => Body::PacketOut(PacketOut::decode(reader)?),
            14 => Body::FlowMod(FlowMod::decode(reader)?),
            15 => Body::GroupMod(GroupMod::decode(reader)?),
            16 => Body::PortMod(PortMod::decode(reader)?),
            17 => Body::TableMod(TableMod::decode(reader)?),
            18 => Body::MultipartRequest(MultipartRequest::decode(reader)?),
            19 => Body::MultipartReply(MultipartReply::decode(reader)?),
            20 => Body::BarrierRequest,
            21 => Body::BarrierReply,
            22 => {
                let port = reader.u32("port number")?;
                reader.skip(4, "queue request padding")?;
                Body::QueueGetConfigRequest(port)
            }
            23 => Body::QueueGetConfigReply(QueueConfig::decode(reader)?),
            24 => Body::RoleRequest(RoleMessage::decode(reader)?),
            25 => Body::RoleReply(RoleMessage::decode(reader)?),
            26 => Body::GetAsyncRequest,
            27 => Body::GetAsyncReply(AsyncConfig::decode(reader)?),
            28 => Body::SetAsync(AsyncConfig::decode(reader)?),
            29 => Body::MeterMod(MeterMod::decode(reader)?),
            bundle::TYPE_CONTROL if !nested => Body::BundleControl(BundleControl::decode(reader)?),
            bundle::TYPE_ADD if !nested => Body::BundleAdd(BundleAdd::decode(reader)?),
            _ => Body::Unknown { type_, body: reader.rest().to_vec() },
        })
    }

    fn decode_experimenter(nested: bool, reader: &mut Reader<'_>) -> Result<Body> {
        let experimenter = reader.u32("experimenter")?;
        let exp_type = reader.u32("experimenter type")?;
        Ok(match (experimenter, exp_type) {
            (ONF_EXPERIMENTER, bundle::EXPERIMENTER_CONTROL) if !nested && bundle::is_plain_control(reader) => {
                Body::BundleControl(BundleControl::decode(reader)?)
            }
            (ONF_EXPERIMENTER, bundle::EXPERIMENTER_ADD) if !nested && bundle::is_plain_add(reader) => {
                Body::BundleAdd(BundleAdd::decode(reader)?)
            }
            (ONF_EXPERIMENTER, EXPERIMENTER_ROLE_STATUS) => Body::RoleStatus(RoleStatus::decode(reader)?),
            (NICIRA_EXPERIMENTER, nxt::SET_PACKET_IN_FORMAT) => {
                Body::NxSetPacketInFormat(reader.u32("packet-in format")?)
            }
            (NICIRA_EXPERIMENTER, nxt::PACKET_IN2) => Body::NxPacketIn2(Box::new(NxPacketIn2::decode(reader)?)),
            (NICIRA_EXPERIMENTER, nxt::RESUME) => Body::NxResume(Box::new(NxPacketIn2::decode(reader)?)),
            (NICIRA_EXPERIMENTER, nxt::SET_CONTROLLER_ID) => {
                reader.skip(6, "controller id padding")?;
                Body::NxSetControllerId(reader.u16("controller id")?)
            }
            (NICIRA_EXPERIMENTER, nxt::CT_FLUSH_ZONE) => {
                reader.skip(6, "flush padding")?;
                Body::NxCtFlushZone(reader.u16("zone")?)
            }
            (NICIRA_EXPERIMENTER, nxt::CT_FLUSH) => {
                let mut whole = reader.clone();
                match CtFlush::decode(reader)? {
                    Some(flush) => Body::NxCtFlush(Box::new(flush)),
                    // Half understood it would forget more connections than was said.
                    None => Body::Experimenter(Experimenter { experimenter, exp_type, data: whole.rest().to_vec() }),
                }
            }
            (NICIRA_EXPERIMENTER, nxt::TLV_TABLE_MOD) => Body::NxTlvTableMod(TlvTableMod::decode(reader)?),
            (NICIRA_EXPERIMENTER, nxt::TLV_TABLE_REQUEST) => Body::NxTlvTableRequest,
            (NICIRA_EXPERIMENTER, nxt::TLV_TABLE_REPLY) => Body::NxTlvTableReply(TlvTable::decode(reader)?),
            _ => Body::Experimenter(Experimenter { experimenter, exp_type, data: reader.rest().to_vec() }),
        })
    }
}

fn experimenter(out: &mut Vec<u8>, experimenter: u32, exp_type: u32) {
    out.u32(experimenter);
    out.u32(exp_type);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_too_long_is_told_and_cut() {
        let message = Message { xid: 1, body: Body::EchoRequest(vec![0; MAX_LEN]) };
        assert_eq!(message.try_encode(), Err(TooLong { length: MAX_LEN + HEADER_LEN }));
        let bytes = message.encode();
        assert_eq!((bytes.len(), bytes[2], bytes[3]), (MAX_LEN, 0xff, 0xff));
    }

    #[test]
    fn other_versions_are_named_but_a_hello_of_any_is_read() {
        let hello = Message::decode(&[6, 0, 0, 8, 0, 0, 0, 1]).unwrap();
        assert_eq!(hello.body, Body::Hello(Hello { versions: 0b111_1110 }));
        assert_eq!(Message::decode(&[1, 5, 0, 8, 0, 0, 0, 1]), Err(DecodeError::Version { found: 1 }));
        assert_eq!(
            Message::decode(&[4, 20, 0, 9, 0, 0, 0, 1, 0]),
            Err(DecodeError::Trailing { what: "message", at: 8, extra: 1 })
        );
    }
}
