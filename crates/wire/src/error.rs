//! Why bytes are not a frame.

use std::fmt;

use thiserror::Error;

/// The protocol whose header was being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Ethernet II, IEEE 802.3.
    Ethernet,
    /// A VLAN tag, IEEE 802.1Q.
    Vlan,
    /// ARP, RFC 826.
    Arp,
    /// IPv4, RFC 791.
    Ipv4,
    /// IPv6, RFC 8200.
    Ipv6,
    /// UDP, RFC 768.
    Udp,
    /// TCP, RFC 9293.
    Tcp,
    /// ICMP, RFC 792.
    Icmp,
    /// IGMP, RFC 3376.
    Igmp,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ethernet => "Ethernet",
            Self::Vlan => "VLAN tag",
            Self::Arp => "ARP",
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Icmp => "ICMP",
            Self::Igmp => "IGMP",
        })
    }
}

/// Bytes that are not what they claim to be. `offset` counts octets from the start of what was given to the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes end too early: cut off on the way, or a length field that promises too much.
    #[error("{layer} at octet {offset}: {needed} octets needed, {present} present")]
    Short {
        /// The protocol.
        layer: Layer,
        /// Where its header starts.
        offset: usize,
        /// Octets needed from there on.
        needed: usize,
        /// Octets present from there on.
        present: usize,
    },
    /// The bytes go on after the end.
    #[error("{layer}: {extra} octets too many from octet {offset} on")]
    Trailing {
        /// The protocol.
        layer: Layer,
        /// Where it should have ended.
        offset: usize,
        /// How many octets follow.
        extra: usize,
    },
    /// A field has a value that the protocol forbids, or that this decoder does not know.
    #[error("{layer} at octet {offset}: {field} is {value}, expected {expected}")]
    Bad {
        /// The protocol.
        layer: Layer,
        /// Where the field is.
        offset: usize,
        /// The field.
        field: &'static str,
        /// What it says.
        value: u64,
        /// What it may say.
        expected: &'static str,
    },
    /// The checksum does not fit the bytes: damaged on the way, or forged.
    #[error("{layer} at octet {offset}: checksum is {found:#06x}, the bytes sum up to {computed:#06x}")]
    Checksum {
        /// The protocol.
        layer: Layer,
        /// Where the checksum is.
        offset: usize,
        /// What it says.
        found: u16,
        /// What it should say.
        computed: u16,
    },
}

impl WireError {
    /// The same error, seen from `by` octets further out.
    pub(crate) fn moved(mut self, by: usize) -> Self {
        match &mut self {
            Self::Short { offset, .. }
            | Self::Trailing { offset, .. }
            | Self::Bad { offset, .. }
            | Self::Checksum { offset, .. } => *offset += by,
        }
        self
    }
}

/// The first `needed` octets, or the error that says how many are missing. `offset` is where `bytes` starts.
pub(crate) fn take(bytes: &[u8], needed: usize, layer: Layer, offset: usize) -> Result<(&[u8], &[u8]), WireError> {
    bytes.split_at_checked(needed).ok_or(WireError::Short { layer, offset, needed, present: bytes.len() })
}
