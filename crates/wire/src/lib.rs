//! Frames and small protocols to values and back.
//!
//! [`Frame::parse`] checks a whole Ethernet frame once — lengths, header checksums, UDP checksums — and gives a value
//! that borrows the payload. What arrives here was sent by endpoints nobody knows yet, so every refusal says which
//! layer it is about and at which octet of the frame. Header arithmetic is `etherparse`'s; the decisions are made here.
//!
//! Padding: Ethernet pads short frames to 60 octets, so octets after the length that an inner header states are cut
//! off silently. Decoders of a single packet ([`ArpPacket::decode`]) take exactly their octets and refuse more.

mod arp;
mod discovery;
mod error;
mod frame;
mod igmp;
mod ipv4;
mod ipv6;
mod tcp;
mod udp;
mod wake;

pub use arp::{ArpOperation, ArpPacket};
pub use discovery::{Discovery, Purpose};
pub use error::{Layer, WireError};
pub use frame::{EtherType, Frame, Payload, Vlan};
pub use igmp::{IGMP, IgmpMessage, IgmpRecord, igmp_query, multicast_mac};
pub use ipv4::{Fragment, IcmpMessage, Ipv4Packet, TcpFlags, TcpSegment, Transport, UdpDatagram};
pub use ipv6::Ipv6Packet;
pub use tcp::build_tcp_v4;
pub use udp::build_udp_v4;
pub use wake::{WAKE_ETHER_TYPE, WAKE_PORTS, woken};

/// The shortest Ethernet frame, without its check sequence (IEEE 802.3, 4A.2.3.2.3). Builders pad to it.
pub const MIN_FRAME: usize = 60;

/// The octets of an Ethernet header without a tag.
pub(crate) const ETHERNET_HEADER: usize = 14;

#[cfg(test)]
mod hostile;
