//! What an effect was, in few octets.

use std::borrow::Cow;

use fseg_openflow::{Body, Message};

use super::format::{Fnv, blank};
use crate::effect::Effect;

/// An effect's kind and a number that another effect is unlikely to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectDigest {
    /// As in [`Effect`]: `Commit`, `Send`, and so on.
    pub kind: Cow<'static, str>,
    /// FNV-1a of what is in it, without secrets and packets' contents.
    pub digest: u64,
}

impl EffectDigest {
    /// The digest of one effect.
    pub fn of(effect: &Effect) -> Self {
        let mut digest = Fnv::NEW;
        let kind = match effect {
            Effect::Send { dpid, connection, messages } => {
                digest.add(&dpid.0.to_be_bytes());
                digest.add(&connection.to_be_bytes());
                messages.iter().for_each(|m| digest.add(&bytes(m)));
                "Send".into()
            }
            Effect::Reply { dpid, connection, message } => {
                digest.add(&dpid.0.to_be_bytes());
                digest.add(&connection.to_be_bytes());
                digest.add(&bytes(message));
                "Reply".into()
            }
            other => {
                // `Debug` of a password hash shows its cost only.
                let text = format!("{other:?}");
                digest.add(text.as_bytes());
                let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
                Cow::Owned(text[..end].to_owned())
            }
        };
        Self { kind, digest: digest.0 }
    }
}

/// A message as it is recorded: packets without what they carried.
pub(super) fn bytes(message: &Message) -> Vec<u8> {
    match &message.body {
        Body::PacketIn(packet) => {
            let mut packet = packet.clone();
            blank(&mut packet.data);
            Message { xid: message.xid, body: Body::PacketIn(packet) }.encode()
        }
        Body::PacketOut(packet) => {
            let mut packet = packet.clone();
            blank(&mut packet.data);
            Message { xid: message.xid, body: Body::PacketOut(packet) }.encode()
        }
        _ => message.encode(),
    }
}
