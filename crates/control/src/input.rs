//! What can happen.

use std::net::Ipv4Addr;

use fseg_admission::{Account, Attempt, Device};
use fseg_model::{Dpid, EndpointId, Name};
use fseg_openflow::Message;
use serde::{Deserialize, Serialize};

use crate::effect::Ticket;

/// How a policy is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyOptions {
    /// What is to be remembered with the version.
    pub message: Option<String>,
    /// Only if this version is in force; 0 for none yet.
    pub if_version: Option<u64>,
    /// Go on without switches that refuse, are silent or go away, instead of taking everything back.
    pub partial: bool,
}

/// One thing that happened. Everything that changes the world comes in by here.
///
/// Serialised for recordings (see [`crate::recording`]); a switch's message and the end of a login, which stand for more
/// than their fields say, are written by the recording itself.
#[derive(Debug, Serialize, Deserialize)]
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
    #[serde(skip)]
    Message {
        /// Which switch.
        dpid: Dpid,
        /// Which connection.
        connection: u64,
        /// What it says.
        message: Box<Message>,
    },
    /// A password was checked.
    #[serde(skip)]
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
        /// How.
        options: ApplyOptions,
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
    /// The node's resolver is about to answer an endpoint's question for a name with these addresses. Its answer waits until
    /// this one is answered.
    Resolved {
        /// Who waits.
        ticket: Ticket,
        /// Which endpoint asked.
        asker: Ipv4Addr,
        /// For which name: in lower case, without the final dot, as an external lists it.
        name: String,
        /// The addresses, each with the seconds for which it may be kept.
        addresses: Vec<(Ipv4Addr, u32)>,
    },
    /// A switch whose rows cannot be proved is at least compared.
    Compare {
        /// Which switch is read, compared with what it should hold, and put right.
        dpid: Dpid,
    },
    /// The rows of a switch are to be read for a proof.
    Prove {
        /// Which switch.
        dpid: Dpid,
    },
    /// What came of a proof.
    Proved {
        /// Which switch.
        dpid: Dpid,
        /// In how many places it treats packets otherwise than it should.
        different: usize,
        /// The first of them, in a sentence.
        first: Option<String>,
    },
    /// Time passed; sent about every 200 ms.
    Tick,
}
