//! What a switch and a controller say about themselves: hello, features, configuration, roles, subscriptions (OpenFlow
//! 1.3.5 sections 7.3.1, 7.3.2, 7.3.9, 7.3.10, 7.5.1).

use crate::error::DecodeError;
use crate::wire::{Reader, Result, Writer};

/// `OFPT_HELLO`: which versions the sender speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Bit `n` stands for wire version `n`; OpenFlow 1.3 is bit 4.
    pub versions: u32,
}

impl Default for Hello {
    /// OpenFlow 1.3 and nothing else.
    fn default() -> Self {
        Hello { versions: 1 << crate::message::VERSION }
    }
}

impl Hello {
    /// The highest version offered.
    pub const fn highest(&self) -> u8 {
        match self.versions.checked_ilog2() {
            Some(version) => version as u8,
            None => 0,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u16(1); // OFPHET_VERSIONBITMAP
        out.u16(8);
        out.u32(self.versions);
    }

    /// Without a bitmap a hello offers its header's version and, as the rule is to take the smaller of two, all below.
    pub(crate) fn decode(version: u8, reader: &mut Reader<'_>) -> Result<Self> {
        let highest = u32::from(version.min(31));
        let mut versions = (u32::MAX >> (31 - highest)) & !1;
        while !reader.is_empty() {
            let (type_, mut element) = reader.type_length("hello element")?;
            let length = element.left() + 4;
            if type_ == 1 {
                versions = element.u32("version bitmap")?;
            }
            reader.skip_up_to(length.next_multiple_of(8) - length);
        }
        Ok(Hello { versions })
    }
}

/// `OFPC_FLOW_STATS`: counts per row.
pub const CAPABILITY_FLOW_STATS: u32 = 1 << 0;
/// `OFPC_TABLE_STATS`: counts per table.
pub const CAPABILITY_TABLE_STATS: u32 = 1 << 1;
/// `OFPC_PORT_STATS`: counts per port.
pub const CAPABILITY_PORT_STATS: u32 = 1 << 2;
/// `OFPC_GROUP_STATS`: counts per group.
pub const CAPABILITY_GROUP_STATS: u32 = 1 << 3;
/// `OFPC_IP_REASM`: reassembles fragments.
pub const CAPABILITY_IP_REASSEMBLY: u32 = 1 << 5;
/// `OFPC_QUEUE_STATS`: counts per queue.
pub const CAPABILITY_QUEUE_STATS: u32 = 1 << 6;
/// `OFPC_PORT_BLOCKED`: blocks looping ports.
pub const CAPABILITY_PORT_BLOCKED: u32 = 1 << 8;

/// `OFPT_FEATURES_REPLY`: who the switch is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// The switch's identity; the lower 48 bits are usually a MAC address.
    pub datapath_id: u64,
    /// Packets it can keep.
    pub n_buffers: u32,
    /// Number of tables.
    pub n_tables: u8,
    /// Which connection of the switch this is; 0 is the main one.
    pub auxiliary_id: u8,
    /// `CAPABILITY_*` bits.
    pub capabilities: u32,
}

impl Features {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u64(self.datapath_id);
        out.u32(self.n_buffers);
        out.u8(self.n_tables);
        out.u8(self.auxiliary_id);
        out.zeros(2);
        out.u32(self.capabilities);
        out.u32(0);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let datapath_id = reader.u64("datapath id")?;
        let n_buffers = reader.u32("number of buffers")?;
        let n_tables = reader.u8("number of tables")?;
        let auxiliary_id = reader.u8("auxiliary id")?;
        reader.skip(2, "features padding")?;
        let capabilities = reader.u32("capabilities")?;
        reader.skip(4, "features padding")?;
        Ok(Features { datapath_id, n_buffers, n_tables, auxiliary_id, capabilities })
    }
}

/// Fragments: `OFPT_GET_CONFIG_REPLY`, `OFPT_SET_CONFIG`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SwitchConfig {
    /// Fragments: 0 as they come, 1 dropped, 2 reassembled.
    pub flags: u16,
    /// Bytes of a packet in a packet-in caused by an invalid TTL; 0xffff for all.
    pub miss_send_len: u16,
}

impl SwitchConfig {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.flags);
        out.u16(self.miss_send_len);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(SwitchConfig { flags: reader.u16("config flags")?, miss_send_len: reader.u16("miss_send_len")? })
    }
}

/// What a controller may do at a switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// As it is.
    #[default]
    NoChange,
    /// Everything, like other equals.
    Equal,
    /// Everything, as the only one.
    Master,
    /// Read only.
    Slave,
}

impl Role {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        Ok(match reader.u32("role")? {
            0 => Role::NoChange,
            1 => Role::Equal,
            2 => Role::Master,
            3 => Role::Slave,
            other => return Err(DecodeError::Unknown { what: "role", at, value: other.into() }),
        })
    }
}

/// `OFPT_ROLE_REQUEST`, `OFPT_ROLE_REPLY`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RoleMessage {
    /// The role wanted or given.
    pub role: Role,
    /// Number of the election; a switch refuses older ones.
    pub generation_id: u64,
}

impl RoleMessage {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.role as u32);
        out.zeros(4);
        out.u64(self.generation_id);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let role = Role::decode(reader)?;
        reader.skip(4, "role padding")?;
        Ok(RoleMessage { role, generation_id: reader.u64("generation id")? })
    }
}

/// The switch changed this controller's role (`struct ofp_role_status` of OpenFlow 1.4; for 1.3 an extension of the ONF
/// with the same body).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RoleStatus {
    /// The role now.
    pub role: Role,
    /// Why: 0 another controller asked to be master, 1 configuration, 2 an experimenter.
    pub reason: u8,
    /// Number of the election.
    pub generation_id: u64,
}

impl RoleStatus {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.role as u32);
        out.u8(self.reason);
        out.zeros(3);
        out.u64(self.generation_id);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let role = Role::decode(reader)?;
        let reason = reader.u8("role status reason")?;
        reader.skip(3, "role status padding")?;
        Ok(RoleStatus { role, reason, generation_id: reader.u64("generation id")? })
    }
}

/// Which messages a switch sends unasked: `OFPT_GET_ASYNC_REPLY`, `OFPT_SET_ASYNC`. Each pair is bits of reasons, first
/// as master or equal, then as slave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AsyncConfig {
    /// Bit `n`: packet-ins of reason `n`.
    pub packet_in: [u32; 2],
    /// Bit `n`: port status of reason `n`.
    pub port_status: [u32; 2],
    /// Bit `n`: flow-removed of reason `n`.
    pub flow_removed: [u32; 2],
}

impl AsyncConfig {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        [self.packet_in, self.port_status, self.flow_removed].iter().flatten().for_each(|mask| out.u32(*mask));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut pair = |what| -> Result<[u32; 2]> { Ok([reader.u32(what)?, reader.u32(what)?]) };
        Ok(AsyncConfig {
            packet_in: pair("packet-in mask")?,
            port_status: pair("port status mask")?,
            flow_removed: pair("flow-removed mask")?,
        })
    }
}

/// `struct ofp_desc`: what kind of switch it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Description {
    /// Who made it.
    pub manufacturer: String,
    /// Which hardware.
    pub hardware: String,
    /// Which software.
    pub software: String,
    /// Its serial number.
    pub serial: String,
    /// What people call the datapath.
    pub datapath: String,
}

impl Description {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.text(&self.manufacturer, 256);
        out.text(&self.hardware, 256);
        out.text(&self.software, 256);
        out.text(&self.serial, 32);
        out.text(&self.datapath, 256);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Description {
            manufacturer: reader.text(256, "manufacturer")?,
            hardware: reader.text(256, "hardware description")?,
            software: reader.text(256, "software description")?,
            serial: reader.text(32, "serial number")?,
            datapath: reader.text(256, "datapath description")?,
        })
    }
}
