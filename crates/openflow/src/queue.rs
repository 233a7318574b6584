//! Queues (OpenFlow 1.3.5 sections 7.2.2, 7.3.6, 7.3.5.7).

use crate::error::DecodeError;
use crate::property::UnknownProperty;
use crate::wire::{Reader, Result, Writer};

/// `OFPQ_ALL`: every queue, in statistics requests.
pub const ALL: u32 = 0xffff_ffff;

/// `struct ofp_queue_stats`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct QueueStats {
    /// The port.
    pub port_no: u32,
    /// The queue of that port.
    pub queue_id: u32,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets dropped.
    pub tx_errors: u64,
    /// Seconds it has been there.
    pub duration_sec: u32,
    /// Nanoseconds beyond those.
    pub duration_nsec: u32,
}

impl QueueStats {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.port_no);
        out.u32(self.queue_id);
        out.u64(self.tx_bytes);
        out.u64(self.tx_packets);
        out.u64(self.tx_errors);
        out.u32(self.duration_sec);
        out.u32(self.duration_nsec);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(QueueStats {
            port_no: reader.u32("port number")?,
            queue_id: reader.u32("queue id")?,
            tx_bytes: reader.u64("byte count")?,
            tx_packets: reader.u64("packet count")?,
            tx_errors: reader.u64("error count")?,
            duration_sec: reader.u32("duration")?,
            duration_nsec: reader.u32("duration")?,
        })
    }
}

/// One queue of a port (`struct ofp_packet_queue`). Rates are in tenths of a percent of the port's speed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Queue {
    /// Its number.
    pub queue_id: u32,
    /// Its port.
    pub port_no: u32,
    /// What it is guaranteed; above 1000 means nothing.
    pub min_rate: Option<u16>,
    /// What it is limited to; above 1000 means no limit.
    pub max_rate: Option<u16>,
    /// Properties this library has no name for; an experimenter's have type 0xffff.
    pub others: Vec<UnknownProperty>,
}

/// `OFPT_QUEUE_GET_CONFIG_REPLY`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct QueueConfig {
    /// The port asked for.
    pub port_no: u32,
    /// Its queues.
    pub queues: Vec<Queue>,
}

impl QueueConfig {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.port_no);
        out.zeros(4);
        for queue in &self.queues {
            let start = out.len();
            out.u32(queue.queue_id);
            out.u32(queue.port_no);
            out.zeros(8);
            for (type_, rate) in [(1, queue.min_rate), (2, queue.max_rate)] {
                if let Some(rate) = rate {
                    out.u16(type_);
                    out.u16(16);
                    out.zeros(4);
                    out.u16(rate);
                    out.zeros(6);
                }
            }
            for property in &queue.others {
                let start = out.len();
                out.u16(property.type_);
                out.u16(0);
                out.bytes(&property.body);
                out.patch_length(start + 2, start);
                out.pad_from(start);
            }
            out.patch_length(start + 8, start);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let port_no = reader.u32("port number")?;
        reader.skip(4, "queue configuration padding")?;
        let mut queues = Vec::new();
        while !reader.is_empty() {
            let mut queue =
                Queue { queue_id: reader.u32("queue id")?, port_no: reader.u32("port number")?, ..Queue::default() };
            let at = reader.at();
            let length = usize::from(reader.u16("queue length")?);
            let Some(rest) = length.checked_sub(10) else {
                return Err(DecodeError::Length { what: "queue", at, value: length });
            };
            let mut body = reader.sub(rest, "queue")?;
            body.skip(6, "queue padding")?;
            while !body.is_empty() {
                let (type_, mut property) = body.type_length("queue property")?;
                let length = property.left() + 4;
                body.skip_up_to(length.next_multiple_of(8) - length);
                match type_ {
                    1 | 2 => {
                        property.skip(4, "queue property padding")?;
                        let rate = Some(property.u16("queue rate")?);
                        *(if type_ == 1 { &mut queue.min_rate } else { &mut queue.max_rate }) = rate;
                    }
                    _ => queue.others.push(UnknownProperty { type_, body: property.rest().to_vec() }),
                }
            }
            queues.push(queue);
        }
        Ok(QueueConfig { port_no, queues })
    }
}
