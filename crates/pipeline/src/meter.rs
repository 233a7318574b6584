//! Meters: how much one port may ask of the node.

use fseg_model::PortNo;

/// A meter a switch should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meter {
    /// Its number on the switch.
    pub id: u32,
    /// Packets a second.
    pub rate: u32,
    /// Packets at once.
    pub burst: u32,
}

/// Denied packets shown to the node, for the whole switch.
pub const DENIED: Meter = Meter { id: 60_001, rate: 200, burst: 200 };

/// What one port may send to the controller: DHCP, first packets, forged sources.
pub fn control(port: PortNo) -> Meter {
    Meter { id: port.0 & 0x3fff, rate: 60, burst: 120 }
}

/// What a stranger's port may send to the node's DNS and portal.
pub fn stranger(port: PortNo) -> Meter {
    Meter { id: 0x4000 | port.0 & 0x3fff, rate: 500, burst: 1000 }
}
