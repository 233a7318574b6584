//! What can happen.

use std::net::Ipv4Addr;

use fseg_admission::{Account, Attempt, Device};
use fseg_model::{Dpid, EndpointId, Name};
use fseg_openflow::Message;

use crate::effect::Ticket;

/// One thing that happened. Everything that changes the world comes in by here.
#[derive(Debug)]
pub enum Input {
    /// A switch finished its handshake.
    Connected {
        /// Which.
        dpid: Dpid,
        /// A number for this connection, never reused.
        connection: u64,
    },
    /// A connection is gone.
    Disconnected {
        /// Which switch.
        dpid: Dpid,
        /// Which connection.
        connection: u64,
    },
    /// A message from a switch.
    Message {
        /// Which switch.
        dpid: Dpid,
        /// Which connection.
        connection: u64,
        /// What it says.
        message: Box<Message>,
    },
    /// A password was checked.
    LoginFinished {
        /// Who waits.
        ticket: Ticket,
        /// From which address.
        address: Ipv4Addr,
        /// Which attempt.
        attempt: Attempt,
        /// Whether it was right.
        verified: bool,
    },
    /// Somebody logs out at the portal.
    Logout {
        /// Who waits.
        ticket: Ticket,
        /// From which address.
        address: Ipv4Addr,
    },
    /// An operator ends a session.
    EndSession {
        /// Who waits.
        ticket: Ticket,
        /// Which operator.
        who: String,
        /// Whose.
        endpoint: EndpointId,
    },
    /// An operator applies a policy.
    ApplyPolicy {
        /// Who waits.
        ticket: Ticket,
        /// Which operator.
        who: String,
        /// Where it came from.
        file: String,
        /// The policy.
        text: String,
        /// Only say what would change.
        dry_run: bool,
    },
    /// An operator adds or changes an account.
    PutAccount {
        /// Who waits.
        ticket: Ticket,
        /// Which operator.
        who: String,
        /// The account.
        account: Box<Account>,
    },
    /// An operator removes an account.
    DeleteAccount {
        /// Who waits.
        ticket: Ticket,
        /// Which operator.
        who: String,
        /// Which.
        name: Name,
    },
    /// An operator adds or changes a device.
    PutDevice {
        /// Who waits.
        ticket: Ticket,
        /// Which operator.
        who: String,
        /// The device.
        device: Box<Device>,
    },
    /// An operator removes a device.
    DeleteDevice {
        /// Who waits.
        ticket: Ticket,
        /// Which operator.
        who: String,
        /// Which.
        name: Name,
    },
    /// Time passed; sent about every 200 ms.
    Tick,
}
