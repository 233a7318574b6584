//! What can be wrong with what an operator puts in. Passwords and hashes never appear in any of these.

use std::net::Ipv4Addr;

use fseg_model::Name;
use thiserror::Error;

use crate::MacMatcher;

/// A password or password hash that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PasswordError {
    /// Fewer than [`crate::PasswordHash::MIN_CHARS`] characters.
    #[error("the password is too short: use at least {min} characters")]
    TooShort {
        /// The fewest characters allowed.
        min: usize,
    },
    /// More than [`crate::PasswordHash::MAX_BYTES`] bytes.
    #[error("the password is too long: use at most {max} bytes")]
    TooLong {
        /// The most bytes allowed.
        max: usize,
    },
    /// Cost parameters argon2id cannot run with, or which would let one login take too much memory or time.
    #[error(
        "argon2id cannot be used with {memory_kib} KiB, {passes} passes, {lanes} lanes: keep to 8 KiB per lane up to 1 GiB, 1 to 16 passes, 1 to 16 lanes"
    )]
    Params {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Not a PHC string of argon2id.
    #[error("this is not an argon2id password hash ($argon2id$v=19$m=…,t=…,p=…$salt$hash): set the password again")]
    NotAHash,
}

/// A text that is not a MAC matcher.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{value}` does not say which MAC addresses: {reason} (write 52:54:00:00:00:01, 52:54:00:* or 52:54:00:00:00:00/24)"
)]
pub struct MatcherError {
    /// What was given, cut to 40 characters.
    pub value: String,
    /// Why it is refused.
    pub reason: &'static str,
}

/// A text that is not a name template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{value}` is not a name template: {reason}")]
pub struct TemplateError {
    /// What was given, cut to 80 characters.
    pub value: String,
    /// Why it is refused.
    pub reason: &'static str,
}

/// A change to accounts, devices or rules that is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManageError {
    /// A limit of [`crate::Limits`] is reached.
    #[error("there are already {max} {what}: remove some, or raise the limit in the node's configuration")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// No account of this name.
    #[error("there is no account `{0}`")]
    NoSuchAccount(Name),
    /// No device of this name.
    #[error("there is no device `{0}`")]
    NoSuchDevice(Name),
    /// A display name that is too long or has control characters.
    #[error("the display name of `{0}` is refused: at most 128 characters, no control characters")]
    DisplayName(Name),
    /// Two device entries for the same MAC addresses.
    #[error("device `{name}`: {matcher} already belongs to device `{owner}`; remove or change that one first")]
    MatcherTaken {
        /// The entry that is refused.
        name: Name,
        /// What both claim.
        matcher: MacMatcher,
        /// The entry that has it.
        owner: Name,
    },
    /// Two device entries with the same address.
    #[error("device `{name}`: {address} already belongs to device `{owner}`; choose another address")]
    AddressTaken {
        /// The entry that is refused.
        name: Name,
        /// The address.
        address: Ipv4Addr,
        /// The entry that has it.
        owner: Name,
    },
    /// One address for a range of MAC addresses.
    #[error("device `{name}`: {matcher} may be many devices, so it cannot have the one address {address}")]
    AddressOfMany {
        /// The entry that is refused.
        name: Name,
        /// Its matcher.
        matcher: MacMatcher,
        /// The address.
        address: Ipv4Addr,
    },
    /// An address no device can have.
    #[error("device `{name}`: {address} is not an address a device can have")]
    AddressUnusable {
        /// The entry that is refused.
        name: Name,
        /// The address.
        address: Ipv4Addr,
    },
    /// Marked static, but no address given.
    #[error("device `{0}` is marked static but has no address: give the address it is set to")]
    StaticWithoutAddress(Name),
}

/// Every number for this base is taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no name is left for `{base}`: remove endpoints that are gone, or use another name in the rule")]
pub struct NamesExhausted {
    /// The base of the wish.
    pub base: Name,
}
