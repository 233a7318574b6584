//! Questions with long answers (OpenFlow 1.3.5 section 7.3.5). An answer may come in several messages of the same
//! transaction id; all but the last have `more` set.

use crate::flow::{FlowStats, GROUP_ANY, TABLE_ALL};
use crate::group::{GroupDesc, GroupFeatures, GroupStats};
use crate::message::Experimenter;
use crate::meter::{MeterConfig, MeterFeatures, MeterStats};
use crate::oxm::Match;
use crate::port::{Port, PortStats};
use crate::queue::QueueStats;
use crate::switch::Description;
use crate::table::{TableFeatures, TableStats};
use crate::wire::{Reader, Result, Writer};

/// `OFPT_MULTIPART_REQUEST`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MultipartRequest {
    /// More of the same question follows.
    pub more: bool,
    /// What is asked.
    pub query: Query,
}

/// `OFPT_MULTIPART_REPLY`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MultipartReply {
    /// More of the same answer follows.
    pub more: bool,
    /// What is answered.
    pub answer: Answer,
}

/// Which rows are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FlowQuery {
    /// Of this table, or [`TABLE_ALL`].
    pub table: u8,
    /// That output here, or [`crate::port::ANY`].
    pub out_port: u32,
    /// That use this group, or [`GROUP_ANY`].
    pub out_group: u32,
    /// Whose cookie agrees with this one in the bits of `cookie_mask`.
    pub cookie: u64,
    /// See `cookie`; 0 for all rows.
    pub cookie_mask: u64,
    /// That lie within this match.
    pub matches: Match,
}

impl Default for FlowQuery {
    /// All rows of all tables.
    fn default() -> Self {
        let (out_port, out_group) = (crate::port::ANY, GROUP_ANY);
        FlowQuery { table: TABLE_ALL, out_port, out_group, cookie: 0, cookie_mask: 0, matches: Match::new() }
    }
}

impl FlowQuery {
    fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.table);
        out.zeros(3);
        out.u32(self.out_port);
        out.u32(self.out_group);
        out.zeros(4);
        out.u64(self.cookie);
        out.u64(self.cookie_mask);
        self.matches.encode(out);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let table = reader.u8("table")?;
        reader.skip(3, "flow query padding")?;
        let out_port = reader.u32("out port")?;
        let out_group = reader.u32("out group")?;
        reader.skip(4, "flow query padding")?;
        Ok(FlowQuery {
            table,
            out_port,
            out_group,
            cookie: reader.u64("cookie")?,
            cookie_mask: reader.u64("cookie mask")?,
            matches: Match::decode(reader)?,
        })
    }
}

/// What is asked.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Query {
    /// What kind of switch it is.
    Desc,
    /// Rows with their counters.
    Flow(FlowQuery),
    /// Sums over rows.
    Aggregate(FlowQuery),
    /// Counters of all tables.
    Table,
    /// Counters of a port, or of all ([`crate::port::ANY`]).
    PortStats(u32),
    /// Counters of queues.
    Queue {
        /// A port, or [`crate::port::ANY`].
        port_no: u32,
        /// A queue, or [`crate::queue::ALL`].
        queue_id: u32,
    },
    /// Counters of a group, or of all ([`crate::group::ALL`]).
    Group(u32),
    /// All groups with their buckets.
    GroupDesc,
    /// What groups can do.
    GroupFeatures,
    /// Counters of a meter, or of all ([`crate::meter::ALL`]).
    Meter(u32),
    /// A meter with its bands, or all ([`crate::meter::ALL`]).
    MeterConfig(u32),
    /// What meters can do.
    MeterFeatures,
    /// What tables can do; a list changes them, where the switch allows it.
    TableFeatures(Vec<TableFeatures>),
    /// All ports.
    PortDesc,
    /// An experimenter's question.
    Experimenter(Experimenter),
    /// A question this library has no name for.
    Unknown {
        /// Multipart type.
        type_: u16,
        /// The rest of the message.
        body: Vec<u8>,
    },
}

/// What is answered.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// What kind of switch it is.
    Desc(Box<Description>),
    /// Rows with their counters.
    Flow(Vec<FlowStats>),
    /// Sums over rows.
    Aggregate(Aggregate),
    /// Counters of tables.
    Table(Vec<TableStats>),
    /// Counters of ports.
    PortStats(Vec<PortStats>),
    /// Counters of queues.
    Queue(Vec<QueueStats>),
    /// Counters of groups.
    Group(Vec<GroupStats>),
    /// Groups with their buckets.
    GroupDesc(Vec<GroupDesc>),
    /// What groups can do.
    GroupFeatures(GroupFeatures),
    /// Counters of meters.
    Meter(Vec<MeterStats>),
    /// Meters with their bands.
    MeterConfig(Vec<MeterConfig>),
    /// What meters can do.
    MeterFeatures(MeterFeatures),
    /// What tables can do.
    TableFeatures(Vec<TableFeatures>),
    /// Ports.
    PortDesc(Vec<Port>),
    /// An experimenter's answer.
    Experimenter(Experimenter),
    /// An answer this library has no name for.
    Unknown {
        /// Multipart type.
        type_: u16,
        /// The rest of the message.
        body: Vec<u8>,
    },
}

/// Sums over rows (`struct ofp_aggregate_stats_reply`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Aggregate {
    /// Packets.
    pub packet_count: u64,
    /// Bytes.
    pub byte_count: u64,
    /// Rows.
    pub flow_count: u32,
}

const MORE: u16 = 1;
/// `OFPMP_EXPERIMENTER`.
const EXPERIMENTER: u16 = 0xffff;

fn header(out: &mut Vec<u8>, type_: u16, more: bool) {
    out.u16(type_);
    out.u16(u16::from(more));
    out.zeros(4);
}

fn decode_header(reader: &mut Reader<'_>) -> Result<(u16, bool)> {
    let type_ = reader.u16("multipart type")?;
    let more = reader.u16("multipart flags")? & MORE != 0;
    reader.skip(4, "multipart padding")?;
    Ok((type_, more))
}

fn number_padded(out: &mut Vec<u8>, number: u32) {
    out.u32(number);
    out.zeros(4);
}

impl MultipartRequest {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let type_ = match &self.query {
            Query::Desc => 0,
            Query::Flow(_) => 1,
            Query::Aggregate(_) => 2,
            Query::Table => 3,
            Query::PortStats(_) => 4,
            Query::Queue { .. } => 5,
            Query::Group(_) => 6,
            Query::GroupDesc => 7,
            Query::GroupFeatures => 8,
            Query::Meter(_) => 9,
            Query::MeterConfig(_) => 10,
            Query::MeterFeatures => 11,
            Query::TableFeatures(_) => 12,
            Query::PortDesc => 13,
            Query::Experimenter(_) => EXPERIMENTER,
            Query::Unknown { type_, .. } => *type_,
        };
        header(out, type_, self.more);
        match &self.query {
            Query::Desc
            | Query::Table
            | Query::GroupDesc
            | Query::GroupFeatures
            | Query::MeterFeatures
            | Query::PortDesc => {}
            Query::Flow(query) | Query::Aggregate(query) => query.encode(out),
            Query::PortStats(number) | Query::Group(number) | Query::Meter(number) | Query::MeterConfig(number) => {
                number_padded(out, *number);
            }
            Query::Queue { port_no, queue_id } => {
                out.u32(*port_no);
                out.u32(*queue_id);
            }
            Query::TableFeatures(tables) => tables.iter().for_each(|table| table.encode(out)),
            Query::Experimenter(message) => message.encode(out),
            Query::Unknown { body, .. } => out.bytes(body),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (type_, more) = decode_header(reader)?;
        let mut number = |what| -> Result<u32> {
            let number = reader.u32(what)?;
            reader.skip(4, "multipart padding")?;
            Ok(number)
        };
        let query = match type_ {
            0 => Query::Desc,
            1 => Query::Flow(FlowQuery::decode(reader)?),
            2 => Query::Aggregate(FlowQuery::decode(reader)?),
            3 => Query::Table,
            4 => Query::PortStats(number("port number")?),
            5 => Query::Queue { port_no: reader.u32("port number")?, queue_id: reader.u32("queue id")? },
            6 => Query::Group(number("group id")?),
            7 => Query::GroupDesc,
            8 => Query::GroupFeatures,
            9 => Query::Meter(number("meter id")?),
            10 => Query::MeterConfig(number("meter id")?),
            11 => Query::MeterFeatures,
            12 => Query::TableFeatures(list(reader, TableFeatures::decode)?),
            13 => Query::PortDesc,
            EXPERIMENTER => Query::Experimenter(Experimenter::decode(reader)?),
            _ => Query::Unknown { type_, body: reader.rest().to_vec() },
        };
        Ok(MultipartRequest { more, query })
    }
}

impl MultipartReply {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let type_ = match &self.answer {
            Answer::Desc(_) => 0,
            Answer::Flow(_) => 1,
            Answer::Aggregate(_) => 2,
            Answer::Table(_) => 3,
            Answer::PortStats(_) => 4,
            Answer::Queue(_) => 5,
            Answer::Group(_) => 6,
            Answer::GroupDesc(_) => 7,
            Answer::GroupFeatures(_) => 8,
            Answer::Meter(_) => 9,
            Answer::MeterConfig(_) => 10,
            Answer::MeterFeatures(_) => 11,
            Answer::TableFeatures(_) => 12,
            Answer::PortDesc(_) => 13,
            Answer::Experimenter(_) => EXPERIMENTER,
            Answer::Unknown { type_, .. } => *type_,
        };
        header(out, type_, self.more);
        match &self.answer {
            Answer::Desc(description) => description.encode(out),
            Answer::Flow(rows) => rows.iter().for_each(|row| row.encode(out)),
            Answer::Aggregate(sums) => {
                out.u64(sums.packet_count);
                out.u64(sums.byte_count);
                number_padded(out, sums.flow_count);
            }
            Answer::Table(tables) => tables.iter().for_each(|table| table.encode(out)),
            Answer::PortStats(ports) => ports.iter().for_each(|port| port.encode(out)),
            Answer::Queue(queues) => queues.iter().for_each(|queue| queue.encode(out)),
            Answer::Group(groups) => groups.iter().for_each(|group| group.encode(out)),
            Answer::GroupDesc(groups) => groups.iter().for_each(|group| group.encode(out)),
            Answer::GroupFeatures(features) => features.encode(out),
            Answer::Meter(meters) => meters.iter().for_each(|meter| meter.encode(out)),
            Answer::MeterConfig(meters) => meters.iter().for_each(|meter| meter.encode(out)),
            Answer::MeterFeatures(features) => features.encode(out),
            Answer::TableFeatures(tables) => tables.iter().for_each(|table| table.encode(out)),
            Answer::PortDesc(ports) => ports.iter().for_each(|port| port.encode(out)),
            Answer::Experimenter(message) => message.encode(out),
            Answer::Unknown { body, .. } => out.bytes(body),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (type_, more) = decode_header(reader)?;
        let answer = match type_ {
            0 => Answer::Desc(Box::new(Description::decode(reader)?)),
            1 => Answer::Flow(list(reader, FlowStats::decode)?),
            2 => {
                let packet_count = reader.u64("packet count")?;
                let byte_count = reader.u64("byte count")?;
                let flow_count = reader.u32("row count")?;
                reader.skip(4, "aggregate padding")?;
                Answer::Aggregate(Aggregate { packet_count, byte_count, flow_count })
            }
            3 => Answer::Table(list(reader, TableStats::decode)?),
            4 => Answer::PortStats(list(reader, PortStats::decode)?),
            5 => Answer::Queue(list(reader, QueueStats::decode)?),
            6 => Answer::Group(list(reader, GroupStats::decode)?),
            7 => Answer::GroupDesc(list(reader, GroupDesc::decode)?),
            8 => Answer::GroupFeatures(GroupFeatures::decode(reader)?),
            9 => Answer::Meter(list(reader, MeterStats::decode)?),
            10 => Answer::MeterConfig(list(reader, MeterConfig::decode)?),
            11 => Answer::MeterFeatures(MeterFeatures::decode(reader)?),
            12 => Answer::TableFeatures(list(reader, TableFeatures::decode)?),
            13 => Answer::PortDesc(list(reader, Port::decode)?),
            EXPERIMENTER => Answer::Experimenter(Experimenter::decode(reader)?),
            _ => Answer::Unknown { type_, body: reader.rest().to_vec() },
        };
        Ok(MultipartReply { more, answer })
    }
}

/// Reads items until the reader is empty. Every item takes at least one byte, so this ends.
fn list<'a, T>(reader: &mut Reader<'a>, item: impl Fn(&mut Reader<'a>) -> Result<T>) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while !reader.is_empty() {
        items.push(item(reader)?);
    }
    Ok(items)
}
