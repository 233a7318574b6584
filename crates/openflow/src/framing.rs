//! Cuts a byte stream into messages. TCP keeps no boundaries; the length in each header does.

use crate::error::DecodeError;
use crate::message::{HEADER_LEN, MAX_LEN, Message};

/// Collects bytes and hands out whole messages.
///
/// Keeps at most one message (64 KiB) beyond what the last [`Framer::push`] brought, provided that the caller takes out
/// all messages after each push. A message that cannot be decoded is skipped and reported; the stream goes on behind it.
/// Only a length below that of a header loses the stream: then every further call reports the same error.
#[derive(Debug, Clone, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    taken: usize,
}

impl Framer {
    /// An empty framer.
    pub const fn new() -> Self {
        Framer { buffer: Vec::new(), taken: 0 }
    }

    /// Adds bytes received.
    pub fn push(&mut self, bytes: &[u8]) {
        // Moving what is left to the front costs at most one partial message per push.
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.capacity() > 4 * MAX_LEN && self.buffer.len() < MAX_LEN {
            self.buffer.shrink_to(MAX_LEN);
        }
    }

    /// The bytes of the next whole message, or `None` until more arrive.
    ///
    /// # Errors
    /// [`DecodeError::Length`] when the header's length is shorter than a header: the connection must be closed.
    pub fn next_bytes(&mut self) -> Result<Option<&[u8]>, DecodeError> {
        let rest = self.buffer.get(self.taken..).unwrap_or_default();
        let [_, _, high, low, ..] = rest else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length < HEADER_LEN {
            return Err(DecodeError::Length { what: "message", at: 2, value: length });
        }
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += length;
        Ok(self.buffer.get(start..self.taken))
    }

    /// The next message, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// What [`Message::decode`] says about a message, which is skipped; [`Framer::is_lost`] tells whether the stream
    /// itself is lost.
    #[allow(clippy::should_implement_trait, reason = "an iterator would end for good at the first None")]
    pub fn next(&mut self) -> Result<Option<Message>, DecodeError> {
        self.next_bytes()?.map(Message::decode).transpose()
    }

    /// Bytes waiting for the rest of their message.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Whether the next header is impossible, so that no further message can be found.
    pub fn is_lost(&self) -> bool {
        match self.buffer.get(self.taken..) {
            Some([_, _, high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])) < HEADER_LEN,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Body;

    fn message(xid: u32) -> Message {
        Message { xid, body: Body::EchoRequest(vec![7; 3]) }
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let stream: Vec<u8> = (0..5).flat_map(|xid| message(xid).encode()).collect();
        for chunk in 1..stream.len() {
            let mut framer = Framer::new();
            let mut seen = Vec::new();
            for bytes in stream.chunks(chunk) {
                framer.push(bytes);
                while let Some(message) = framer.next().unwrap() {
                    seen.push(message.xid);
                }
            }
            assert_eq!(seen, [0, 1, 2, 3, 4], "in chunks of {chunk} bytes");
            assert_eq!(framer.waiting(), 0);
        }
    }

    #[test]
    fn a_bad_message_does_not_lose_the_stream() {
        let mut framer = Framer::new();
        framer.push(&[4, 6, 0, 9, 0, 0, 0, 1, 0]); // a features reply of one byte
        framer.push(&message(2).encode());
        assert!(matches!(framer.next(), Err(DecodeError::Short { .. })));
        assert!(!framer.is_lost());
        assert_eq!(framer.next(), Ok(Some(message(2))));
        assert_eq!(framer.next(), Ok(None));
    }

    #[test]
    fn an_impossible_length_loses_the_stream() {
        let mut framer = Framer::new();
        framer.push(&[4, 0, 0, 7, 0, 0, 0, 1]);
        for _ in 0..2 {
            assert_eq!(framer.next(), Err(DecodeError::Length { what: "message", at: 2, value: 7 }));
            assert!(framer.is_lost());
        }
    }
}
