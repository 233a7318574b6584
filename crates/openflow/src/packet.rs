//! Packets between switch and controller (OpenFlow 1.3.5 sections 7.3.7 and 7.4.1; Nicira's `NXT_PACKET_IN2`).

use crate::action::{self, Action};
use crate::oxm::Match;
use crate::property::UnknownProperty;
use crate::wire::{Reader, Result, Writer, properties, property};

/// `OFPR_NO_MATCH`: the table's row for misses sent it.
pub const REASON_NO_MATCH: u8 = 0;
/// `OFPR_ACTION`: an action sent it.
pub const REASON_ACTION: u8 = 1;
/// `OFPR_INVALID_TTL`: its time to live ran out.
pub const REASON_INVALID_TTL: u8 = 2;

/// `OFPT_PACKET_IN`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PacketIn {
    /// Where the switch keeps the packet, or [`crate::flow::NO_BUFFER`].
    pub buffer_id: u32,
    /// Length of the whole packet in bytes.
    pub total_len: u16,
    /// `REASON_*` of this module.
    pub reason: u8,
    /// Table of the row that sent it.
    pub table: u8,
    /// Cookie of the row that sent it; all ones if there is none.
    pub cookie: u64,
    /// What the packet carried beside its bytes: ingress port, metadata, registers.
    pub matches: Match,
    /// The packet's first bytes.
    pub data: Vec<u8>,
}

impl PacketIn {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.buffer_id);
        out.u16(self.total_len);
        out.u8(self.reason);
        out.u8(self.table);
        out.u64(self.cookie);
        self.matches.encode(out);
        out.zeros(2); // puts the IP header of an Ethernet frame on a multiple of four bytes
        out.bytes(&self.data);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let packet = PacketIn {
            buffer_id: reader.u32("buffer id")?,
            total_len: reader.u16("packet length")?,
            reason: reader.u8("packet-in reason")?,
            table: reader.u8("table")?,
            cookie: reader.u64("cookie")?,
            matches: Match::decode(reader)?,
            data: Vec::new(),
        };
        reader.skip(2, "packet-in padding")?;
        Ok(PacketIn { data: reader.rest().to_vec(), ..packet })
    }
}

/// `OFPT_PACKET_OUT`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PacketOut {
    /// A packet the switch keeps, or [`crate::flow::NO_BUFFER`].
    pub buffer_id: u32,
    /// Which port it counts as having come from.
    pub in_port: u32,
    /// What happens to it; nothing means drop.
    pub actions: Vec<Action>,
    /// The packet, where `buffer_id` is [`crate::flow::NO_BUFFER`].
    pub data: Vec<u8>,
}

impl PacketOut {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.buffer_id);
        out.u32(self.in_port);
        let length_at = out.len();
        out.zeros(8);
        let start = out.len();
        action::encode_list(&self.actions, out);
        out.patch_length(length_at, start);
        out.bytes(&self.data);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let buffer_id = reader.u32("buffer id")?;
        let in_port = reader.u32("ingress port")?;
        let length = usize::from(reader.u16("actions length")?);
        reader.skip(6, "packet-out padding")?;
        let actions = action::decode_list(&mut reader.sub(length, "actions")?)?;
        Ok(PacketOut { buffer_id, in_port, actions, data: reader.rest().to_vec() })
    }
}

/// `NXT_PACKET_IN2`: a packet-in with the bytes the row gave it. Sent after
/// [`Body::NxSetPacketInFormat`](crate::Body::NxSetPacketInFormat)`(2)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NxPacketIn2 {
    /// The packet's first bytes.
    pub data: Vec<u8>,
    /// Length of the whole packet in bytes, where `data` is only a part.
    pub full_len: Option<u32>,
    /// Where the switch keeps the packet.
    pub buffer_id: Option<u32>,
    /// Table of the row that sent it.
    pub table: u8,
    /// Cookie of the row that sent it; `None` if there is none.
    pub cookie: Option<u64>,
    /// `REASON_*` of this module.
    pub reason: u8,
    /// What the packet carried beside its bytes.
    pub matches: Match,
    /// What `controller(userdata=...)` said.
    pub userdata: Vec<u8>,
    /// State of a paused pipeline, to be returned as it is.
    pub continuation: Vec<u8>,
    /// Properties this library has no name for.
    pub others: Vec<UnknownProperty>,
}

const PACKET: u16 = 0;
const FULL_LEN: u16 = 1;
const BUFFER_ID: u16 = 2;
const TABLE_ID: u16 = 3;
const COOKIE: u16 = 4;
const REASON: u16 = 5;
const METADATA: u16 = 6;
const USERDATA: u16 = 7;
const CONTINUATION: u16 = 8;

impl NxPacketIn2 {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        property(out, PACKET, |out| out.bytes(&self.data));
        if let Some(len) = self.full_len {
            property(out, FULL_LEN, |out| out.u32(len));
        }
        if let Some(buffer) = self.buffer_id {
            property(out, BUFFER_ID, |out| out.u32(buffer));
        }
        property(out, TABLE_ID, |out| out.u8(self.table));
        if let Some(cookie) = self.cookie {
            property(out, COOKIE, |out| {
                out.zeros(4);
                out.u64(cookie);
            });
        }
        property(out, REASON, |out| out.u8(self.reason));
        property(out, METADATA, |out| self.matches.encode_fields(out));
        for (type_, bytes) in [(USERDATA, &self.userdata), (CONTINUATION, &self.continuation)] {
            if !bytes.is_empty() {
                property(out, type_, |out| out.bytes(bytes));
            }
        }
        self.others.iter().for_each(|other| property(out, other.type_, |out| out.bytes(&other.body)));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut packet = NxPacketIn2::default();
        properties(reader, |_, type_, value| {
            match type_ {
                PACKET => packet.data = value.rest().to_vec(),
                FULL_LEN => packet.full_len = Some(value.u32("packet length")?),
                BUFFER_ID => packet.buffer_id = Some(value.u32("buffer id")?),
                TABLE_ID => packet.table = value.u8("table")?,
                COOKIE => {
                    value.skip(4, "cookie padding")?;
                    packet.cookie = Some(value.u64("cookie")?);
                }
                REASON => packet.reason = value.u8("packet-in reason")?,
                METADATA => packet.matches = Match::decode_fields(value)?,
                USERDATA => packet.userdata = value.rest().to_vec(),
                CONTINUATION => packet.continuation = value.rest().to_vec(),
                _ => packet.others.push(UnknownProperty { type_, body: value.rest().to_vec() }),
            }
            Ok(())
        })?;
        Ok(packet)
    }
}
