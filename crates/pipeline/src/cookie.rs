//! Cookies: every row leads back to its owner.
//!
//! ```text
//!  63..56   55..48   47..32   31..0
//!  0xf5     kind     round    number
//! ```
//! The first octet tells our rows from foreign ones; the round counts starts of the node, so that leftovers are found.

use std::fmt;

use fseg_model::EndpointId;

/// Who a row exists for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The pipeline itself.
    System(SystemRow),
    /// An endpoint's guard and locate rows.
    Endpoint(EndpointId),
    /// The row that catches an endpoint's forged source addresses.
    Spoof(EndpointId),
    /// A permit, by its durable number.
    Permit(u32),
    /// An external network's rows, by the number of its class.
    External(u32),
    /// An outside address that was learned by a name, as a number.
    Learned(u32),
    /// A stream's multicast address, as a number.
    Stream(u32),
}

/// Rows that exist on every switch of a role, whatever the policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum SystemRow {
    /// The skeleton: table misses and the way from table to table.
    Frame = 1,
    /// Frames between switches of a site.
    FabricLink = 2,
    /// DHCP requests to the node.
    Dhcp = 3,
    /// The first packet of an unknown device.
    FirstPacket = 4,
    /// Answers to ARP requests.
    AddressResolution = 5,
    /// What strangers may reach: DNS and the portal.
    Onboarding = 6,
    /// The node's own services.
    NodeService = 7,
    /// Connection state.
    Tracking = 8,
    /// Default deny: what no permit allowed.
    DefaultDeny = 9,
    /// An inner address that nobody has.
    UnknownDestination = 10,
    /// Frames that no endpoint may send: multicast, IPv6 (not admitted yet), empty ARP probes.
    Unwanted = 11,
    /// The neighbours at an exit.
    ExitNeighbour = 12,
    /// Inner addresses claimed from outside.
    OutsideSpoof = 13,
    /// What is observed and not enforced.
    Observe = 14,
    /// Questions by multicast, and what answers them.
    Discovery = 20,
    /// Which streams endpoints want.
    Memberships = 21,
    /// Magic packets.
    Wake = 22,
}

impl SystemRow {
    const ALL: [SystemRow; 17] = [
        Self::Frame,
        Self::FabricLink,
        Self::Dhcp,
        Self::FirstPacket,
        Self::AddressResolution,
        Self::Onboarding,
        Self::NodeService,
        Self::Tracking,
        Self::DefaultDeny,
        Self::UnknownDestination,
        Self::Unwanted,
        Self::ExitNeighbour,
        Self::OutsideSpoof,
        Self::Observe,
        Self::Discovery,
        Self::Memberships,
        Self::Wake,
    ];

    /// One sentence that says why such rows exist.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Frame => "part of every switch's skeleton: what happens when nothing else matches",
            Self::FabricLink => "carries frames between the switches of this site, and refuses others on these ports",
            Self::Dhcp => "brings address requests to the node, metered per port",
            Self::FirstPacket => "shows the node the first packet of a device it does not know, metered per port",
            Self::AddressResolution => "answers ARP requests with the virtual router, so that nobody floods",
            Self::Onboarding => "what a device without a name may reach: the node's DNS and the login page",
            Self::NodeService => "the node's own services: DNS, login page, echo",
            Self::Tracking => "connection state, and replies turned back to the direction that asked",
            Self::DefaultDeny => "no permit allows it",
            Self::UnknownDestination => "nobody has this address, or nobody may be reached by it",
            Self::Unwanted => "frames that are never forwarded: multicast, IPv6, empty probes",
            Self::ExitNeighbour => "answers and learns the neighbours of an outside network",
            Self::Observe => {
                "observe-only: what no permit allows passes here, and new connections are shown to the node"
            }
            Self::Discovery => {
                "shows the node questions by multicast and their answers: a permit passes them on, metered per port"
            }
            Self::Memberships => "shows the node which streams an endpoint wants, metered per port",
            Self::Wake => {
                "shows the node packets that wake sleeping endpoints: a permit passes them on, metered per port"
            }
            Self::OutsideSpoof => "an address of the inside that came in from the outside",
        }
    }
}

/// A cookie, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie {
    /// Who the row exists for.
    pub owner: Owner,
    /// In which round (start of the node) it was written.
    pub round: u16,
}

const MAGIC: u64 = 0xf5;
/// Selects the first octet: what makes a cookie ours.
pub const MAGIC_MASK: u64 = 0xff << 56;
/// A cookie value that, with [`MAGIC_MASK`], covers all our rows.
pub const MAGIC_VALUE: u64 = MAGIC << 56;

impl Cookie {
    /// The number on the wire.
    pub fn to_u64(self) -> u64 {
        let (kind, number) = match self.owner {
            Owner::System(s) => (1, s as u32),
            Owner::Endpoint(e) => (2, e.0),
            Owner::Spoof(e) => (3, e.0),
            Owner::Permit(n) => (4, n),
            Owner::External(n) => (5, n),
            Owner::Learned(n) => (6, n),
            Owner::Stream(n) => (7, n),
        };
        MAGIC << 56 | kind << 48 | u64::from(self.round) << 32 | u64::from(number)
    }

    /// `None` for a foreign cookie.
    pub fn from_u64(cookie: u64) -> Option<Self> {
        if cookie >> 56 != MAGIC {
            return None;
        }
        let number = cookie as u32;
        let owner = match cookie >> 48 & 0xff {
            1 => Owner::System(SystemRow::ALL.into_iter().find(|s| *s as u32 == number)?),
            2 => Owner::Endpoint(EndpointId(number)),
            3 => Owner::Spoof(EndpointId(number)),
            4 => Owner::Permit(number),
            5 => Owner::External(number),
            6 => Owner::Learned(number),
            7 => Owner::Stream(number),
            _ => return None,
        };
        Some(Self { owner, round: (cookie >> 32) as u16 })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(s) => write!(f, "system: {}", s.sentence()),
            Self::Endpoint(e) => write!(f, "endpoint {e}"),
            Self::Spoof(e) => write!(f, "forged sources of endpoint {e}"),
            Self::Permit(n) => write!(f, "permit number {n}"),
            Self::External(n) => write!(f, "external network of class {n}"),
            Self::Learned(n) => write!(f, "outside address {} learned by name", std::net::Ipv4Addr::from(*n)),
            Self::Stream(n) => write!(f, "stream {}", std::net::Ipv4Addr::from(*n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_round_trip() {
        let owners = SystemRow::ALL.into_iter().map(Owner::System).chain([
            Owner::Endpoint(EndpointId(7)),
            Owner::Spoof(EndpointId(u32::MAX)),
            Owner::Permit(0),
            Owner::External(16),
            Owner::Learned(0xc633_640a),
            Owner::Stream(0xef0a_0101),
        ]);
        for owner in owners {
            let c = Cookie { owner, round: 0xabcd };
            assert_eq!(Cookie::from_u64(c.to_u64()), Some(c));
        }
        for foreign in [0, 1, u64::MAX, 0xf509_0000_0000_0001, 0xf501_0000_0000_00ff] {
            assert_eq!(Cookie::from_u64(foreign), None, "{foreign:#x}");
        }
    }
}
