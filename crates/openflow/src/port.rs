//! Ports: numbers, descriptions, status, statistics, modification (OpenFlow 1.3.5 sections 7.2.1, 7.3.4.3, 7.3.5.6,
//! 7.4.3).

use crate::error::DecodeError;
use crate::wire::{Reader, Result, Writer};

/// `OFPP_MAX`: the highest number of an ordinary port is below this one.
pub const MAX: u32 = 0xffff_ff00;
/// `OFPP_IN_PORT`: back out of the ingress port.
pub const IN_PORT: u32 = 0xffff_fff8;
/// `OFPP_TABLE`: through the tables; in packet-outs only.
pub const TABLE: u32 = 0xffff_fff9;
/// `OFPP_NORMAL`: as an ordinary switch would.
pub const NORMAL: u32 = 0xffff_fffa;
/// `OFPP_FLOOD`: as an ordinary switch would flood.
pub const FLOOD: u32 = 0xffff_fffb;
/// `OFPP_ALL`: every port but the ingress port.
pub const ALL: u32 = 0xffff_fffc;
/// `OFPP_CONTROLLER`: to the controller.
pub const CONTROLLER: u32 = 0xffff_fffd;
/// `OFPP_LOCAL`: the switch's own interface.
pub const LOCAL: u32 = 0xffff_fffe;
/// `OFPP_ANY`: no restriction.
pub const ANY: u32 = 0xffff_ffff;
/// `OFPP_IN_PORT` where a port number has 16 bits (Nicira's `resubmit`).
pub const IN_PORT_16: u16 = 0xfff8;
/// `OFPP_NONE` where a port number has 16 bits (Nicira's `sample`).
pub const NONE_16: u16 = 0xffff;

/// `OFPPC_PORT_DOWN`: switched off by the administrator.
pub const CONFIG_PORT_DOWN: u32 = 1 << 0;
/// `OFPPC_NO_RECV`: drops what it receives.
pub const CONFIG_NO_RECV: u32 = 1 << 2;
/// `OFPPC_NO_FWD`: drops what is sent to it.
pub const CONFIG_NO_FWD: u32 = 1 << 5;
/// `OFPPC_NO_PACKET_IN`: sends no packet-ins.
pub const CONFIG_NO_PACKET_IN: u32 = 1 << 6;
/// `OFPPS_LINK_DOWN`: no carrier.
pub const STATE_LINK_DOWN: u32 = 1 << 0;
/// `OFPPS_BLOCKED`: blocked by a protocol such as spanning tree.
pub const STATE_BLOCKED: u32 = 1 << 1;
/// `OFPPS_LIVE`: alive for fast failover groups.
pub const STATE_LIVE: u32 = 1 << 2;

/// The names of the reserved ports, as ovs-ofctl writes them.
pub(crate) const NAMES: [(u32, &str); 9] = [
    (IN_PORT, "IN_PORT"),
    (TABLE, "TABLE"),
    (NORMAL, "NORMAL"),
    (FLOOD, "FLOOD"),
    (ALL, "ALL"),
    (CONTROLLER, "CONTROLLER"),
    (LOCAL, "LOCAL"),
    (ANY, "ANY"),
    (ANY, "NONE"),
];

/// `struct ofp_port`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Port {
    /// Its number.
    pub port_no: u32,
    /// Its Ethernet address.
    pub hw_addr: [u8; 6],
    /// Its name, at most 15 bytes on the wire.
    pub name: String,
    /// `CONFIG_*` bits.
    pub config: u32,
    /// `STATE_*` bits.
    pub state: u32,
    /// `OFPPF_*` bits: what it does now.
    pub curr: u32,
    /// What it advertises.
    pub advertised: u32,
    /// What it could do.
    pub supported: u32,
    /// What its peer advertises.
    pub peer: u32,
    /// Present speed in kbit/s.
    pub curr_speed: u32,
    /// Highest speed in kbit/s.
    pub max_speed: u32,
}

impl Port {
    /// Whether packets can pass: neither switched off nor without carrier.
    pub const fn is_up(&self) -> bool {
        self.config & CONFIG_PORT_DOWN == 0 && self.state & STATE_LINK_DOWN == 0
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.port_no);
        out.zeros(4);
        out.bytes(&self.hw_addr);
        out.zeros(2);
        out.text(&self.name, 16);
        for value in [
            self.config,
            self.state,
            self.curr,
            self.advertised,
            self.supported,
            self.peer,
            self.curr_speed,
            self.max_speed,
        ] {
            out.u32(value);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let port_no = reader.u32("port number")?;
        reader.skip(4, "port padding")?;
        let hw_addr = reader.mac("port address")?;
        reader.skip(2, "port padding")?;
        Ok(Port {
            port_no,
            hw_addr,
            name: reader.text(16, "port name")?,
            config: reader.u32("port config")?,
            state: reader.u32("port state")?,
            curr: reader.u32("port features")?,
            advertised: reader.u32("port features")?,
            supported: reader.u32("port features")?,
            peer: reader.u32("port features")?,
            curr_speed: reader.u32("port speed")?,
            max_speed: reader.u32("port speed")?,
        })
    }
}

/// Why a port status was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortReason {
    /// The port is new.
    Add,
    /// The port is gone.
    Delete,
    /// Something about the port changed.
    Modify,
}

/// `OFPT_PORT_STATUS`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortStatus {
    /// What happened.
    pub reason: PortReason,
    /// The port afterwards.
    pub port: Port,
}

impl PortStatus {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.reason as u8);
        out.zeros(7);
        self.port.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let reason = match reader.u8("port status reason")? {
            0 => PortReason::Add,
            1 => PortReason::Delete,
            2 => PortReason::Modify,
            other => return Err(DecodeError::Unknown { what: "port status reason", at, value: other.into() }),
        };
        reader.skip(7, "port status padding")?;
        Ok(PortStatus { reason, port: Port::decode(reader)? })
    }
}

/// `OFPT_PORT_MOD`: changes the configuration of a port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PortMod {
    /// The port.
    pub port_no: u32,
    /// Its Ethernet address, which must be right.
    pub hw_addr: [u8; 6],
    /// `CONFIG_*` bits.
    pub config: u32,
    /// Which of them change.
    pub mask: u32,
    /// `OFPPF_*` bits to advertise; 0 changes nothing.
    pub advertise: u32,
}

impl PortMod {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.port_no);
        out.zeros(4);
        out.bytes(&self.hw_addr);
        out.zeros(2);
        out.u32(self.config);
        out.u32(self.mask);
        out.u32(self.advertise);
        out.zeros(4);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let port_no = reader.u32("port number")?;
        reader.skip(4, "port-mod padding")?;
        let hw_addr = reader.mac("port address")?;
        reader.skip(2, "port-mod padding")?;
        let config = reader.u32("port config")?;
        let mask = reader.u32("port config mask")?;
        let advertise = reader.u32("port features")?;
        reader.skip(4, "port-mod padding")?;
        Ok(PortMod { port_no, hw_addr, config, mask, advertise })
    }
}

/// `struct ofp_port_stats`. A counter the switch does not keep is `u64::MAX`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PortStats {
    /// The port.
    pub port_no: u32,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped on receipt.
    pub rx_dropped: u64,
    /// Packets dropped on sending.
    pub tx_dropped: u64,
    /// Errors on receipt.
    pub rx_errors: u64,
    /// Errors on sending.
    pub tx_errors: u64,
    /// Frame alignment errors.
    pub rx_frame_err: u64,
    /// Overruns.
    pub rx_over_err: u64,
    /// CRC errors.
    pub rx_crc_err: u64,
    /// Collisions.
    pub collisions: u64,
    /// Seconds the port has been there.
    pub duration_sec: u32,
    /// Nanoseconds beyond those.
    pub duration_nsec: u32,
}

impl PortStats {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.port_no);
        out.zeros(4);
        for value in [
            self.rx_packets,
            self.tx_packets,
            self.rx_bytes,
            self.tx_bytes,
            self.rx_dropped,
            self.tx_dropped,
            self.rx_errors,
            self.tx_errors,
            self.rx_frame_err,
            self.rx_over_err,
            self.rx_crc_err,
            self.collisions,
        ] {
            out.u64(value);
        }
        out.u32(self.duration_sec);
        out.u32(self.duration_nsec);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let port_no = reader.u32("port number")?;
        reader.skip(4, "port statistics padding")?;
        let what = "port counter";
        Ok(PortStats {
            port_no,
            rx_packets: reader.u64(what)?,
            tx_packets: reader.u64(what)?,
            rx_bytes: reader.u64(what)?,
            tx_bytes: reader.u64(what)?,
            rx_dropped: reader.u64(what)?,
            tx_dropped: reader.u64(what)?,
            rx_errors: reader.u64(what)?,
            tx_errors: reader.u64(what)?,
            rx_frame_err: reader.u64(what)?,
            rx_over_err: reader.u64(what)?,
            rx_crc_err: reader.u64(what)?,
            collisions: reader.u64(what)?,
            duration_sec: reader.u32("port duration")?,
            duration_nsec: reader.u32("port duration")?,
        })
    }
}
