//! What can be wrong with bytes, and where.

use thiserror::Error;

/// A byte string that is not the OpenFlow it claims to be. `at` is the offset from the start of what was decoded: for
/// [`Message::decode`](crate::Message::decode) the first byte of the message's header.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside something.
    #[error("{what} at byte {at} needs {needed} bytes, but only {had} are left")]
    Short {
        /// What was being read.
        what: &'static str,
        /// Offset in bytes.
        at: usize,
        /// Bytes the thing needs.
        needed: usize,
        /// Bytes that were there.
        had: usize,
    },
    /// Bytes are left after the end of something.
    #[error("{extra} bytes are left over behind {what}, from byte {at}")]
    Trailing {
        /// What had ended.
        what: &'static str,
        /// Offset of the first byte too many.
        at: usize,
        /// How many.
        extra: usize,
    },
    /// A length that cannot be.
    #[error("{what} at byte {at} says its length is {value}, which cannot be")]
    Length {
        /// What carries the length.
        what: &'static str,
        /// Offset in bytes.
        at: usize,
        /// The length as given.
        value: usize,
    },
    /// A number that has no meaning where it stands.
    #[error("{what} at byte {at} is {value:#x}, which has no meaning here")]
    Unknown {
        /// What carries the number.
        what: &'static str,
        /// Offset in bytes.
        at: usize,
        /// The number.
        value: u64,
    },
    /// The message is of an OpenFlow version this library does not speak.
    #[error("OpenFlow wire version {found:#04x}; this library speaks 0x04 (OpenFlow 1.3): ask the peer to offer it")]
    Version {
        /// The version byte of the header.
        found: u8,
    },
    /// More fields in a match than there are fields in any standard: to read them would only cost time.
    #[error("the match at byte {at} has more than {limit} fields")]
    TooMany {
        /// Offset of the field too many, in bytes.
        at: usize,
        /// The limit.
        limit: usize,
    },
    /// Actions nested deeper than any sensible switch accepts.
    #[error("actions at byte {at} are nested deeper than {limit} levels")]
    TooDeep {
        /// Offset in bytes.
        at: usize,
        /// The limit.
        limit: usize,
    },
}
