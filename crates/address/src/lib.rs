//! Address management: the DHCPv4 server, pools, reservations and static addresses, as one pure machine.
//!
//! [`AddressBook`] is told what arrived and what time it is, and answers with effects: records to store, then a reply
//! to send. It follows RFC 2131 (states and fields), RFC 2132 (options), RFC 3396 (long options), RFC 3046 (option 82),
//! RFC 6842 (client identifier in replies) and RFC 8910 (captive portal). Addresses do not depend on the place: there
//! is one flat network, its mask is told to everybody, and a lease moves with its endpoint.
//!
//! # Rules
//! - One address per MAC address, whatever client identifiers it shows. The MAC is what the switch port vouches for; a
//!   client identifier is free text.
//! - An address is sticky: after its lease ended it stays its last holder's until nobody else's need can be met by an
//!   address never used. Then the one longest free goes first.
//! - Endpoints nobody has admitted get short leases, and only
//!   [`max_strangers_per_place`](AddressConfig::max_strangers_per_place) of them per port, so that a starvation attack
//!   ends at its own port. Declined addresses rest, a bounded number per port, for the same reason.
//! - Only what is stored is acknowledged: a `Bound` or `Renewed` reply always comes with a record, which the caller
//!   commits *before* sending. When the commit fails, it sends nothing; the client repeats its request and gets the
//!   same answer.
//!
//! # Two clocks
//! Within the process a lease ends by monotonic time only, so a jump of the wall clock ends no lease. Stored records
//! carry wall time, because monotonic time means nothing after a restart. At a restart what remains of a lease is
//! computed once from the wall clock, and never trusted beyond sense: not longer than the client was told (clock set
//! back), and not shorter than [`RESTART_GRACE`] for a lease that had not ended when the process stopped (clock set
//! forward, or a long outage).

mod answer;
mod book;
mod config;
mod dhcp;
mod lease;
mod places;
mod reply;
mod request;
mod space;
mod table;

#[cfg(test)]
mod tests;

pub use answer::{DhcpAnswer, DhcpContext, DhcpError, DhcpEvent, DhcpReply, NakReason, ReplyTo};
pub use book::{AddressBook, PoolUse, Wake};
pub use config::{AddressConfig, ConfigError, Pool};
pub use lease::{Conflict, Holder, Lease, LeaseChange, LeaseState};

use std::time::Duration;

/// How long an offer is kept for the client that got it.
pub const OFFER_HOLD: Duration = Duration::from_secs(30);
/// How many offers may be open at once.
pub const MAX_OFFERS: usize = 16_384;
/// How long an address rests after a client said that somebody else uses it.
pub const DECLINE_REST: Duration = Duration::from_secs(600);
/// How many declined addresses may rest because of one place; one more goes straight back to the free ones.
pub const MAX_RESTING_PER_PLACE: u32 = 8;
/// What a lease that was running when the process stopped has at least after the restart.
pub const RESTART_GRACE: Duration = Duration::from_secs(120);
/// How many deadlines one call of [`AddressBook::expire`] handles at most; the next call goes on.
pub const MAX_EXPIRED_PER_CALL: usize = 4096;
