//! Frames, and small packets on their own.

use fseg_wire::{ArpPacket, Discovery, Frame, IgmpMessage, woken};

/// A whole Ethernet frame.
pub fn frame(bytes: &[u8]) {
    match Frame::parse(bytes) {
        Ok(frame) => assert!(!format!("{frame:?}").is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Packets without their frame: ARP, IGMP, wake-on-LAN, discovery.
pub fn packets(bytes: &[u8]) {
    if let Ok(arp) = ArpPacket::decode(bytes) {
        assert!(!format!("{arp:?}").is_empty());
    }
    if let Ok(igmp) = IgmpMessage::parse(bytes) {
        assert!(!format!("{igmp:?}").is_empty());
    }
    let _ = woken(bytes);
    for discovery in [Discovery::Mdns, Discovery::Ssdp, Discovery::Llmnr, Discovery::WsDiscovery] {
        let _ = discovery.purpose(bytes);
    }
}
