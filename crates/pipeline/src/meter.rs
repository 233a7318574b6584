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

/// First packets of connections that are only observed, shown to the node: for the whole switch. It meters the copies; the
/// packets themselves pass.
pub const OBSERVED: Meter = Meter { id: 60_002, rate: 200, burst: 400 };

/// What one port may send to the controller: DHCP, first packets, forged sources.
pub fn control(port: PortNo) -> Meter {
    Meter { id: port.0 & 0x3fff, rate: 60, burst: 120 }
}

/// The same for a port that may send another number of packets a second.
pub fn control_at(port: PortNo, rate: Option<u32>) -> Meter {
    let usual = control(port);
    rate.map_or(usual, |rate| Meter { rate, burst: rate.saturating_mul(2), ..usual })
}

/// What one port may show the node of discovery, memberships and magic packets.
pub fn discovery(port: PortNo) -> Meter {
    Meter { id: 0x8000 | port.0 & 0x3fff, rate: 100, burst: 200 }
}

/// What a stranger's port may send to the node's DNS and portal.
pub fn stranger(port: PortNo) -> Meter {
    Meter { id: 0x4000 | port.0 & 0x3fff, rate: 500, burst: 1000 }
}

/// What one port of a plain switch may ask the node about addresses that the switch does not answer for itself.
pub fn resolution(port: PortNo) -> Meter {
    Meter { id: 0x1_0000 | port.0 & 0x3fff, rate: 50, burst: 100 }
}

/// The highest number of a meter here. A switch that has fewer is taken for one without meters.
pub const HIGHEST: u32 = 0x1_3fff;
