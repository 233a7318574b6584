//! Bundles: several messages that take effect together or not at all (OpenFlow 1.4.0 sections 6.8 and 7.3.9; for
//! OpenFlow 1.3 the ONF extension EXT-230, which wraps the same bodies into experimenter messages).
//!
//! Open, add, commit: each control message is answered by one of the type after it. All messages of a bundle carry the
//! flags it was opened with, and each added message the transaction id of the message that adds it.

use crate::message::{self, Body, Message};
use crate::wire::{Reader, Result, Writer};

/// `OFPBCT_OPEN_REQUEST` and the seven other types of [`BundleControl`].
pub mod control {
    /// Opens a bundle.
    pub const OPEN_REQUEST: u16 = 0;
    /// It is open.
    pub const OPEN_REPLY: u16 = 1;
    /// Closes a bundle: nothing can be added any more.
    pub const CLOSE_REQUEST: u16 = 2;
    /// It is closed.
    pub const CLOSE_REPLY: u16 = 3;
    /// Puts a bundle into effect.
    pub const COMMIT_REQUEST: u16 = 4;
    /// It is in effect.
    pub const COMMIT_REPLY: u16 = 5;
    /// Throws a bundle away.
    pub const DISCARD_REQUEST: u16 = 6;
    /// It is gone.
    pub const DISCARD_REPLY: u16 = 7;
}

/// `OFPBF_ATOMIC`: packets see all of the bundle or nothing of it.
pub const FLAG_ATOMIC: u16 = 1 << 0;
/// `OFPBF_ORDERED`: the messages take effect in their order.
pub const FLAG_ORDERED: u16 = 1 << 1;

/// EXT-230's number of the control message.
pub(crate) const EXPERIMENTER_CONTROL: u32 = 2300;
/// EXT-230's number of the adding message.
pub(crate) const EXPERIMENTER_ADD: u32 = 2301;
/// OpenFlow 1.4's number of the control message.
pub(crate) const TYPE_CONTROL: u8 = 33;
/// OpenFlow 1.4's number of the adding message.
pub(crate) const TYPE_ADD: u8 = 34;

/// `struct ofp_bundle_ctrl_msg`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct BundleControl {
    /// Chosen by the controller.
    pub bundle_id: u32,
    /// One of [`control`].
    pub type_: u16,
    /// `FLAG_*` bits.
    pub flags: u16,
}

impl BundleControl {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.bundle_id);
        out.u16(self.type_);
        out.u16(self.flags);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (bundle_id, type_) = (reader.u32("bundle id")?, reader.u16("bundle control type")?);
        let control = BundleControl { bundle_id, type_, flags: reader.u16("bundle flags")? };
        reader.rest(); // properties, of which only experimenters' exist, in the form of 1.4
        Ok(control)
    }
}

/// `struct ofp_bundle_add_msg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BundleAdd {
    /// The bundle.
    pub bundle_id: u32,
    /// The flags it was opened with.
    pub flags: u16,
    /// What is added; its transaction id should be that of the message around it.
    pub message: Box<Message>,
}

impl BundleAdd {
    pub(crate) fn encode(&self, version: u8, out: &mut Vec<u8>) {
        out.u32(self.bundle_id);
        out.zeros(2);
        out.u16(self.flags);
        self.message.encode_version(version, out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let bundle_id = reader.u32("bundle id")?;
        reader.skip(2, "bundle padding")?;
        let flags = reader.u16("bundle flags")?;
        let mut peek = reader.clone();
        peek.skip(2, "message within a bundle")?;
        let length = usize::from(peek.u16("message within a bundle")?);
        let mut inner = reader.sub(length, "message within a bundle")?;
        reader.rest(); // properties, of which only experimenters' exist, in the form of 1.4
        // A bundle within the bundle stays undecoded, so that nothing nests.
        let message = Box::new(message::decode(&mut inner, true)?);
        Ok(BundleAdd { bundle_id, flags, message })
    }
}

/// Whether no properties follow. A message with properties stays as it came.
pub(crate) fn is_plain_control(reader: &Reader<'_>) -> bool {
    reader.left() <= 8
}

/// Whether no properties follow the message that is added.
pub(crate) fn is_plain_add(reader: &Reader<'_>) -> bool {
    let mut peek = reader.clone();
    if peek.skip(10, "bundle").is_err() {
        return true;
    }
    let length = peek.u16("message within a bundle").map_or(0, usize::from);
    reader.left() <= 8 + length.next_multiple_of(8)
}

/// A bundle message in OpenFlow 1.4's own form (wire version 0x05), for a peer that agreed on 1.4 for this purpose:
/// flow-mods have the same layout in both versions. `None` for any other message.
pub fn encode_1_4(message: &Message) -> Option<Vec<u8>> {
    const VERSION_1_4: u8 = 5;
    let mut out = Vec::new();
    let type_ = match &message.body {
        Body::BundleControl(_) => TYPE_CONTROL,
        Body::BundleAdd(_) => TYPE_ADD,
        _ => return None,
    };
    out.bytes(&[VERSION_1_4, type_, 0, 0]);
    out.u32(message.xid);
    match &message.body {
        Body::BundleControl(control) => control.encode(&mut out),
        Body::BundleAdd(add) => add.encode(VERSION_1_4, &mut out),
        _ => return None,
    }
    out.patch_length(2, 0);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DecodeError;
    use crate::flow::FlowMod;

    fn add(inner: Body) -> Message {
        let message = Box::new(Message { xid: 5, body: inner });
        Message { xid: 5, body: Body::BundleAdd(BundleAdd { bundle_id: 3, flags: FLAG_ATOMIC, message }) }
    }

    #[test]
    fn the_form_of_1_4_says_the_same() {
        let control = BundleControl { bundle_id: 3, type_: control::COMMIT_REQUEST, flags: FLAG_ORDERED };
        for message in [add(Body::FlowMod(FlowMod::add(1, 2))), Message { xid: 9, body: Body::BundleControl(control) }]
        {
            let bytes = encode_1_4(&message).unwrap();
            assert_eq!(bytes[0], 5);
            assert_eq!(Message::decode(&bytes), Ok(message));
        }
        assert_eq!(encode_1_4(&Message { xid: 1, body: Body::BarrierRequest }), None);
    }

    #[test]
    fn a_bundle_within_a_bundle_stays_undecoded() {
        let control = Body::BundleControl(BundleControl::default());
        let inner = Message::decode(&add(control).encode()).unwrap();
        // The inner message is kept as an experimenter's that is not understood, never as a bundle.
        let Body::BundleAdd(add) = inner.body else { unreachable!() };
        assert!(matches!(add.message.body, Body::Experimenter(_)));
    }

    #[test]
    fn a_nested_message_of_the_wrong_length_is_refused() {
        let mut bytes = add(Body::BarrierRequest).encode();
        let inner_length = bytes.len() - 5;
        bytes[inner_length] += 1;
        assert!(matches!(Message::decode(&bytes), Err(DecodeError::Short { .. })));
    }
}
