//! What can be wrong with a value on its way in.

use thiserror::Error;

/// A value that does not keep the invariant of its type. Every variant carries the offending text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModelError {
    /// A name with a forbidden character, or of a forbidden length.
    #[error("`{value}` is not a name: {reason}")]
    Name {
        /// What was given, cut to 80 characters.
        value: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// Not six hexadecimal octets.
    #[error("`{0}` is not a MAC address (expected aa:bb:cc:dd:ee:ff)")]
    Mac(String),
    /// Not a datapath id.
    #[error("`{0}` is not a datapath id (expected up to 16 hexadecimal digits)")]
    Dpid(String),
    /// Not a place such as `tokyo/sw3/p7`.
    #[error("`{0}` is not a place (expected site/switch/port)")]
    Place(String),
    /// Not a service term such as `tcp/80`.
    #[error("`{value}` is not a service: {reason}")]
    Service {
        /// What was given.
        value: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// Not a subject such as `user:anna`.
    #[error("`{0}` is not a subject (expected user:NAME, device:NAME or location:SITE/SWITCH/PORT)")]
    Subject(String),
    /// A number outside its field's width.
    #[error("{what} {value} does not fit its field (at most {max})")]
    Range {
        /// The field.
        what: &'static str,
        /// The number.
        value: u64,
        /// The largest that fits.
        max: u64,
    },
}
