//! Facts to rows. One file per concern; nothing here keeps state.

mod endpoint;
mod external;
mod multicast;
mod observe;
mod permit;
pub(crate) mod plain;
mod system;

pub use endpoint::{endpoint_rows, spoof_rows};
pub use external::{exit_rows, external_rows, learned_rows};
pub use multicast::{ShownFacts, StreamFacts, StreamReceiver, StreamSender, shown_rows, stream_rows};
pub use observe::{ObserveFacts, observe_rows};
pub use permit::{MOST_TRIALS, PermitShape, permit_rows, permit_rows_on, shape, trial_places};
pub use plain::MOST_ROWS;
pub use system::system_rows;

use std::net::Ipv4Addr;

use fseg_model::{Mac, PortNo};
use fseg_openflow::{Action, Field, Instruction, Match, NatAction, NatKind};

use crate::cookie::Owner;
use crate::desired::{Row, RowKey};
use crate::table::Table;

pub(crate) const ETH_IPV4: u16 = 0x0800;
pub(crate) const ETH_ARP: u16 = 0x0806;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;

/// How much of a packet the node wants to see.
pub(crate) const FULL: u16 = 0xffff;

pub(crate) fn ip() -> Match {
    Match::new().with(Field::EthType, ETH_IPV4)
}

pub(crate) fn arp() -> Match {
    Match::new().with(Field::EthType, ETH_ARP)
}

pub(crate) fn transport(m: Match, protocol: u8) -> Match {
    m.with(Field::IpProto, protocol)
}

pub(crate) fn set(field: Field, value: impl Into<u128>) -> Action {
    Action::SetField { field, value: value.into(), mask: None }
}

pub(crate) fn set_mac(field: Field, mac: Mac) -> Action {
    set(field, mac.to_u64())
}

pub(crate) fn prefix(m: Match, field: Field, address: Ipv4Addr, len: u8) -> Match {
    let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
    m.with_masked(field, u32::from(address), mask)
}

/// `nat(src=ADDRESS)`, `nat(dst=ADDRESS:PORT)`.
pub(crate) fn nat(kind: NatKind, address: Ipv4Addr, port: Option<u16>) -> Action {
    Action::Nat(NatAction { kind: Some(kind), min: Some(address.into()), proto_min: port, ..NatAction::default() })
}

pub(crate) fn to_node(max_len: u16) -> Action {
    Action::Output { port: PortNo::CONTROLLER.0, max_len }
}

/// A metered copy to the node.
pub(crate) fn metered(meter: u32, max_len: u16) -> Vec<Instruction> {
    vec![Instruction::Meter(meter), Instruction::ApplyActions(vec![to_node(max_len)])]
}

/// Collects rows of one owner.
pub(crate) struct Rows {
    pub(crate) owner: Owner,
    list: Vec<Row>,
}

impl Rows {
    pub(crate) fn of(owner: Owner) -> Self {
        Self { owner, list: Vec::new() }
    }

    pub(crate) fn add(&mut self, table: Table, priority: u16, matches: Match, instructions: Vec<Instruction>) {
        self.list.push(Row { key: RowKey { table, priority, matches }, owner: self.owner, instructions });
    }

    pub(crate) fn done(self) -> Vec<Row> {
        self.list
    }
}

/// Priorities in `guard`, highest first. Ports that carry other people's addresses are settled before endpoints'.
pub(crate) mod guard {
    pub(crate) const TAGGED: u16 = 500;
    pub(crate) const TRANSIT: u16 = 410;
    pub(crate) const SERVICE: u16 = 400;
    pub(crate) const REMOTE: u16 = 390;
    /// Plus the prefix length.
    pub(crate) const OUTSIDE: u16 = 320;
    pub(crate) const PORT_REST: u16 = 300;
    pub(crate) const DHCP: u16 = 200;
    pub(crate) const ANNOUNCE: u16 = 110;
    pub(crate) const PROBE: u16 = 105;
    pub(crate) const ENDPOINT: u16 = 100;
    pub(crate) const FORGED: u16 = 50;
}

/// Priorities in `locate`.
pub(crate) mod locate {
    /// What endpoints ask by multicast and broadcast, as far as a permit speaks of it.
    pub(crate) const SHOWN: u16 = 510;
    /// Multicast with receivers.
    pub(crate) const STREAM: u16 = 505;
    pub(crate) const NEVER: u16 = 500;
    pub(crate) const SERVICE: u16 = 400;
    pub(crate) const ROUTER_REST: u16 = 390;
    pub(crate) const ENDPOINT: u16 = 300;
    /// Magic packets to inside addresses that nobody has now.
    pub(crate) const ASLEEP: u16 = 290;
    /// Plus the prefix length.
    pub(crate) const PREFIX: u16 = 100;
}

/// A packet to the port in [`crate::bits::OUT_PORT`], with the frame's addresses set.
pub(crate) fn send_by(port: PortNo, source: Mac, destination: Mac) -> Vec<Action> {
    vec![set_mac(Field::EthSrc, source), set_mac(Field::EthDst, destination), set(crate::bits::OUT_PORT, port.0)]
}
