//! What arrives with a DHCP message, and what is to be done about it.

use std::fmt;
use std::net::Ipv4Addr;

use fseg_model::{Mac, PlacePath};
use thiserror::Error;

use crate::{LeaseChange, MAX_OFFERS};

/// What the network knows about a message's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhcpContext<'a> {
    /// The Ethernet source.
    pub mac: Mac,
    /// The port it came in by: what option 82's circuit id would say.
    pub place: &'a PlacePath,
    /// The sender is admitted; otherwise it is a stranger.
    pub admitted: bool,
}

/// What to do about a DHCP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DhcpAnswer {
    /// Commit `store`, and only when that is durable send `reply`.
    Reply {
        /// What to send.
        reply: DhcpReply,
        /// What to commit first; never empty when a lease is acknowledged.
        store: Vec<LeaseChange>,
        /// What happened.
        event: DhcpEvent,
    },
    /// Commit `store`, send nothing.
    Silent {
        /// What to commit.
        store: Vec<LeaseChange>,
        /// What happened.
        event: DhcpEvent,
    },
    /// Nothing changed and nothing is sent; count and log the reason.
    Refused(DhcpError),
}

/// A reply: UDP from port 67 to port 68.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpReply {
    /// The UDP payload.
    pub payload: Vec<u8>,
    /// To whom.
    pub to: ReplyTo,
}

/// To whom a reply goes (RFC 2131, 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplyTo {
    /// Everybody, which on the wire means the port the request came in by.
    Broadcast,
    /// One client, which may not answer ARP for the address yet.
    Unicast {
        /// Its MAC address.
        mac: Mac,
        /// Its address.
        address: Ipv4Addr,
    },
}

impl DhcpReply {
    /// The server's port.
    pub const SERVER_PORT: u16 = dhcproto::v4::SERVER_PORT;
    /// The client's port.
    pub const CLIENT_PORT: u16 = dhcproto::v4::CLIENT_PORT;

    /// The whole Ethernet frame, from the node's MAC address and the server's address. `None` only for a payload beyond
    /// what one packet holds, which the machine never makes.
    pub fn to_frame(&self, source_mac: Mac, server: Ipv4Addr) -> Option<Vec<u8>> {
        let (mac, address) = match self.to {
            ReplyTo::Broadcast => (Mac::BROADCAST, Ipv4Addr::BROADCAST),
            ReplyTo::Unicast { mac, address } => (mac, address),
        };
        fseg_wire::build_udp_v4(source_mac, mac, server, address, Self::SERVER_PORT, Self::CLIENT_PORT, &self.payload)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DhcpEvent {
    /// An address was offered.
    Offered {
        /// To whom.
        mac: Mac,
        /// The address.
        address: Ipv4Addr,
    },
    /// A lease begins, or begins anew after a reboot of the client.
    Bound {
        /// Whose.
        mac: Mac,
        /// The address.
        address: Ipv4Addr,
        /// The host name the client showed.
        hostname: Option<String>,
    },
    /// A running lease was extended.
    Renewed {
        /// Whose.
        mac: Mac,
        /// The address.
        address: Ipv4Addr,
        /// The host name the client showed.
        hostname: Option<String>,
    },
    /// The client gave its address back.
    Released {
        /// Who.
        mac: Mac,
        /// The address.
        address: Ipv4Addr,
    },
    /// The client found somebody else using the address.
    Declined {
        /// Who found it.
        mac: Mac,
        /// The address.
        address: Ipv4Addr,
        /// The address rests; false when this place has too many resting already, or the address is fixed.
        rests: bool,
    },
    /// The client must begin anew.
    Nak {
        /// Who.
        mac: Mac,
        /// The address it wanted.
        wanted: Ipv4Addr,
        /// Why it does not get it.
        reason: NakReason,
    },
    /// A client with an address of its own asked for the other parameters.
    Informed {
        /// Who.
        mac: Mac,
        /// Its address, as it claims.
        address: Ipv4Addr,
    },
    /// The client chose, or talks to, another server.
    OtherServer {
        /// Who.
        mac: Mac,
        /// That server.
        server: Ipv4Addr,
    },
    /// A client unknown here asked for an address back, and this server is not the only one
    /// ([`authoritative`](crate::AddressConfig::authoritative) is off).
    NotKnown {
        /// Who.
        mac: Mac,
        /// The address it wanted.
        wanted: Ipv4Addr,
    },
}

/// Why a client does not get the address it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NakReason {
    /// The address is not of this network: the client comes from elsewhere.
    WrongNetwork,
    /// The client has another address here.
    HasAnother(Ipv4Addr),
    /// The address is not free, or not to be given away.
    NotAvailable,
}

impl fmt::Display for NakReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongNetwork => f.pad("the address is not of this network"),
            Self::HasAnother(a) => write!(f, "this client's address is {a}"),
            Self::NotAvailable => f.pad("the address is not available"),
        }
    }
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DhcpError {
    /// The bytes are not a DHCP message.
    #[error("malformed DHCP message at octet {offset}: {what}")]
    Malformed {
        /// Where, from the start of the UDP payload.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A message that must have an option or field and has not.
    #[error("a DHCP {kind} without {what}")]
    Missing {
        /// The kind of message.
        kind: &'static str,
        /// The option or field.
        what: &'static str,
    },
    /// A message that clients do not send to servers.
    #[error("DHCP message type {0} is not a client's")]
    UnexpectedKind(u8),
    /// The client speaks for another MAC address.
    #[error("{sender} asks in the name of {claimed}: refused as forged")]
    Spoofed {
        /// The Ethernet source.
        sender: Mac,
        /// The client hardware address in the message.
        claimed: Mac,
    },
    /// A MAC address that no device can have.
    #[error("{0} cannot be the address of a device")]
    BadSource(Mac),
    /// The message claims to come through a relay. Clients are attached directly here, so it is forged or from a loop.
    #[error("the message claims to come through the relay {0}; this server has none")]
    Relayed(Ipv4Addr),
    /// Somebody gives back or declines an address that is not its own.
    #[error("{mac} at {place} does not hold {address}")]
    NotHolder {
        /// Who.
        mac: Mac,
        /// Where.
        place: PlacePath,
        /// The address.
        address: Ipv4Addr,
    },
    /// No address is left.
    #[error("no address left in any pool; add a pool or shorten the lease time")]
    Exhausted,
    /// Too many endpoints without a name at one place: a starvation attack, or a crowd behind one port.
    #[error("{place} has {max} strangers with an address already; admit them or raise max_strangers_per_place")]
    TooManyStrangers {
        /// The place.
        place: PlacePath,
        /// The limit.
        max: u32,
    },
    /// Too many open offers.
    #[error("{MAX_OFFERS} offers are open; the client will ask again")]
    TooManyOffers,
    /// The codec refused the reply.
    #[error("the reply cannot be encoded: {0}")]
    Encode(String),
}
