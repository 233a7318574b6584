//! Meters (OpenFlow 1.3.5 sections 5.7, 7.3.4.4, 7.3.5.11 to 7.3.5.13).

use crate::error::DecodeError;
use crate::wire::{Reader, Result, Writer};

/// `OFPM_CONTROLLER`: the meter of the connection to the controller.
pub const CONTROLLER: u32 = 0xffff_fffe;
/// `OFPM_SLOWPATH`: the meter of packets that the switch's software handles.
pub const SLOW_PATH: u32 = 0xffff_fffd;
/// `OFPM_ALL`: every meter, in deletions and statistics requests.
pub const ALL: u32 = 0xffff_ffff;

/// `OFPMF_KBPS`: rates in kbit/s.
pub const FLAG_KBPS: u16 = 1 << 0;
/// `OFPMF_PKTPS`: rates in packets per second.
pub const FLAG_PACKETS: u16 = 1 << 1;
/// `OFPMF_BURST`: bursts are given.
pub const FLAG_BURST: u16 = 1 << 2;
/// `OFPMF_STATS`: counts are kept.
pub const FLAG_STATS: u16 = 1 << 3;

/// What a [`MeterMod`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MeterCommand {
    /// Adds a meter.
    Add,
    /// Changes a meter.
    Modify,
    /// Deletes a meter, and the rows that use it.
    Delete,
}

/// What happens beyond a rate. Rates and bursts are in kbit/s and kbit, or packets per second and packets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Band {
    /// The packet is dropped.
    Drop {
        /// Rate from which the band applies.
        rate: u32,
        /// Burst let through.
        burst: u32,
    },
    /// The packet's drop precedence rises.
    DscpRemark {
        /// Rate from which the band applies.
        rate: u32,
        /// Burst let through.
        burst: u32,
        /// By how many levels.
        precedence: u8,
    },
    /// Something this library has no name for.
    Unknown {
        /// Band type; 0xffff means an experimenter's.
        type_: u16,
        /// Rate from which the band applies.
        rate: u32,
        /// Burst let through.
        burst: u32,
        /// The rest of the band.
        body: Vec<u8>,
    },
}

impl Band {
    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let (type_, rate, burst) = match self {
            Band::Drop { rate, burst } => (1, rate, burst),
            Band::DscpRemark { rate, burst, .. } => (2, rate, burst),
            Band::Unknown { type_, rate, burst, .. } => (*type_, rate, burst),
        };
        out.u16(type_);
        out.u16(0);
        out.u32(*rate);
        out.u32(*burst);
        match self {
            Band::Drop { .. } => out.zeros(4),
            Band::DscpRemark { precedence, .. } => {
                out.u8(*precedence);
                out.zeros(3);
            }
            Band::Unknown { body, .. } => out.bytes(body),
        }
        out.patch_length(start + 2, start);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (type_, mut body) = reader.type_length("meter band")?;
        let rate = body.u32("meter rate")?;
        let burst = body.u32("meter burst")?;
        Ok(match type_ {
            1 => Band::Drop { rate, burst },
            2 => Band::DscpRemark { rate, burst, precedence: body.u8("drop precedence")? },
            _ => Band::Unknown { type_, rate, burst, body: body.rest().to_vec() },
        })
    }
}

fn decode_bands(reader: &mut Reader<'_>) -> Result<Vec<Band>> {
    let mut bands = Vec::new();
    while !reader.is_empty() {
        bands.push(Band::decode(reader)?);
    }
    Ok(bands)
}

/// `OFPT_METER_MOD`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeterMod {
    /// What to do.
    pub command: MeterCommand,
    /// `FLAG_*` bits.
    pub flags: u16,
    /// The meter; [`ALL`] in deletions.
    pub meter_id: u32,
    /// What happens beyond which rate.
    pub bands: Vec<Band>,
}

impl MeterMod {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u16(self.command as u16);
        out.u16(self.flags);
        out.u32(self.meter_id);
        self.bands.iter().for_each(|band| band.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let command = match reader.u16("meter command")? {
            0 => MeterCommand::Add,
            1 => MeterCommand::Modify,
            2 => MeterCommand::Delete,
            other => return Err(DecodeError::Unknown { what: "meter command", at, value: other.into() }),
        };
        let flags = reader.u16("meter flags")?;
        Ok(MeterMod { command, flags, meter_id: reader.u32("meter id")?, bands: decode_bands(reader)? })
    }
}

/// `struct ofp_meter_config`: a meter as the switch has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MeterConfig {
    /// `FLAG_*` bits.
    pub flags: u16,
    /// The meter.
    pub meter_id: u32,
    /// What happens beyond which rate.
    pub bands: Vec<Band>,
}

impl MeterConfig {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(0);
        out.u16(self.flags);
        out.u32(self.meter_id);
        self.bands.iter().for_each(|band| band.encode(out));
        out.patch_length(start, start);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let length = usize::from(reader.u16("meter configuration length")?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(DecodeError::Length { what: "meter configuration", at, value: length });
        };
        let mut body = reader.sub(rest, "meter configuration")?;
        Ok(MeterConfig {
            flags: body.u16("meter flags")?,
            meter_id: body.u32("meter id")?,
            bands: decode_bands(&mut body)?,
        })
    }
}

/// `struct ofp_meter_stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MeterStats {
    /// The meter.
    pub meter_id: u32,
    /// Rows that use it.
    pub flow_count: u32,
    /// Packets that came.
    pub packet_in_count: u64,
    /// Bytes of those.
    pub byte_in_count: u64,
    /// Seconds it has been there.
    pub duration_sec: u32,
    /// Nanoseconds beyond those.
    pub duration_nsec: u32,
    /// Packets and bytes that each band took.
    pub bands: Vec<(u64, u64)>,
}

impl MeterStats {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u32(self.meter_id);
        out.zeros(8);
        out.u32(self.flow_count);
        out.u64(self.packet_in_count);
        out.u64(self.byte_in_count);
        out.u32(self.duration_sec);
        out.u32(self.duration_nsec);
        for (packets, bytes) in &self.bands {
            out.u64(*packets);
            out.u64(*bytes);
        }
        out.patch_length(start + 4, start);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let meter_id = reader.u32("meter id")?;
        let length = usize::from(reader.u16("meter statistics length")?);
        let Some(rest) = length.checked_sub(6) else {
            return Err(DecodeError::Length { what: "meter statistics", at, value: length });
        };
        let mut body = reader.sub(rest, "meter statistics")?;
        body.skip(6, "meter statistics padding")?;
        let mut stats = MeterStats {
            meter_id,
            flow_count: body.u32("flow count")?,
            packet_in_count: body.u64("packet count")?,
            byte_in_count: body.u64("byte count")?,
            duration_sec: body.u32("duration")?,
            duration_nsec: body.u32("duration")?,
            bands: Vec::new(),
        };
        while !body.is_empty() {
            stats.bands.push((body.u64("band packet count")?, body.u64("band byte count")?));
        }
        Ok(stats)
    }
}

/// `struct ofp_meter_features`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MeterFeatures {
    /// How many meters.
    pub max_meter: u32,
    /// Bit `n`: bands of type `n` exist.
    pub band_types: u32,
    /// `FLAG_*` bits that can be used.
    pub capabilities: u32,
    /// Bands per meter.
    pub max_bands: u8,
    /// Colours.
    pub max_color: u8,
}

impl MeterFeatures {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.max_meter);
        out.u32(self.band_types);
        out.u32(self.capabilities);
        out.u8(self.max_bands);
        out.u8(self.max_color);
        out.zeros(2);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let features = MeterFeatures {
            max_meter: reader.u32("number of meters")?,
            band_types: reader.u32("band types")?,
            capabilities: reader.u32("meter capabilities")?,
            max_bands: reader.u8("number of bands")?,
            max_color: reader.u8("number of colours")?,
        };
        reader.skip(2, "meter features padding")?;
        Ok(features)
    }
}
