//! Messages as text, in the words of `ovs-ofctl ofp-print`. What ovs-ofctl cannot decode (message types, experimenters
//! it does not know) is written with its bytes; so are experimenters' parts of a message.

use std::fmt::{self, Display};
use std::net::IpAddr;

use crate::bundle::{self, BundleControl};
use crate::flow;
use crate::message::{Body, ErrorMessage, Experimenter, Message};
use crate::multipart::{Answer, Query};
use crate::nicira::{CtFlush, CtTuple, TlvCommand, TlvMap};
use crate::oxm::Match;
use crate::packet::{NxPacketIn2, PacketIn, PacketOut};
use crate::port::PortReason;
use crate::switch::{Features, Hello, Role, RoleMessage, RoleStatus, SwitchConfig};
use crate::text::actions::{Actions, Reason};
use crate::text::statistics::lines;
use crate::text::{Dotted, Dump, Hex, PortName, Words};

impl Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match &self.body {
            Body::Hello(hello) => hello.highest(),
            _ => crate::message::VERSION,
        };
        let version = match version {
            1..=6 => format!("OF1.{}", version - 1),
            other => format!("OF {other:#04x}"),
        };
        write!(f, "{} ({version}) (xid={:#x}):", self.body.name(), self.xid)?;
        self.body.fmt(f)
    }
}

impl Body {
    /// The message's name as ovs-ofctl writes it, such as `OFPT_FLOW_MOD` or `OFPST_FLOW reply`.
    pub fn name(&self) -> &'static str {
        match self {
            Body::Hello(_) => "OFPT_HELLO",
            Body::Error(_) => "OFPT_ERROR",
            Body::EchoRequest(_) => "OFPT_ECHO_REQUEST",
            Body::EchoReply(_) => "OFPT_ECHO_REPLY",
            Body::Experimenter(_) => "OFPT_EXPERIMENTER",
            Body::FeaturesRequest => "OFPT_FEATURES_REQUEST",
            Body::FeaturesReply(_) => "OFPT_FEATURES_REPLY",
            Body::GetConfigRequest => "OFPT_GET_CONFIG_REQUEST",
            Body::GetConfigReply(_) => "OFPT_GET_CONFIG_REPLY",
            Body::SetConfig(_) => "OFPT_SET_CONFIG",
            Body::PacketIn(_) => "OFPT_PACKET_IN",
            Body::FlowRemoved(_) => "OFPT_FLOW_REMOVED",
            Body::PortStatus(_) => "OFPT_PORT_STATUS",
            Body::PacketOut(_) => "OFPT_PACKET_OUT",
            Body::FlowMod(_) => "OFPT_FLOW_MOD",
            Body::GroupMod(_) => "OFPT_GROUP_MOD",
            Body::PortMod(_) => "OFPT_PORT_MOD",
            Body::TableMod(_) => "OFPT_TABLE_MOD",
            Body::MultipartRequest(request) => match request.query {
                Query::Desc => "OFPST_DESC request",
                Query::Flow(_) => "OFPST_FLOW request",
                Query::Aggregate(_) => "OFPST_AGGREGATE request",
                Query::Table => "OFPST_TABLE request",
                Query::PortStats(_) => "OFPST_PORT request",
                Query::Queue { .. } => "OFPST_QUEUE request",
                Query::Group(_) => "OFPST_GROUP request",
                Query::GroupDesc => "OFPST_GROUP_DESC request",
                Query::GroupFeatures => "OFPST_GROUP_FEATURES request",
                Query::Meter(_) => "OFPST_METER request",
                Query::MeterConfig(_) => "OFPST_METER_CONFIG request",
                Query::MeterFeatures => "OFPST_METER_FEATURES request",
                Query::TableFeatures(_) => "OFPST_TABLE_FEATURES request",
                Query::PortDesc => "OFPST_PORT_DESC request",
                Query::Experimenter(_) => "OFPST_EXPERIMENTER request",
                Query::Unknown { .. } => "OFPST_UNKNOWN request",
            },
            Body::MultipartReply(reply) => match reply.answer {
                Answer::Desc(_) => "OFPST_DESC reply",
                Answer::Flow(_) => "OFPST_FLOW reply",
                Answer::Aggregate(_) => "OFPST_AGGREGATE reply",
                Answer::Table(_) => "OFPST_TABLE reply",
                Answer::PortStats(_) => "OFPST_PORT reply",
                Answer::Queue(_) => "OFPST_QUEUE reply",
                Answer::Group(_) => "OFPST_GROUP reply",
                Answer::GroupDesc(_) => "OFPST_GROUP_DESC reply",
                Answer::GroupFeatures(_) => "OFPST_GROUP_FEATURES reply",
                Answer::Meter(_) => "OFPST_METER reply",
                Answer::MeterConfig(_) => "OFPST_METER_CONFIG reply",
                Answer::MeterFeatures(_) => "OFPST_METER_FEATURES reply",
                Answer::TableFeatures(_) => "OFPST_TABLE_FEATURES reply",
                Answer::PortDesc(_) => "OFPST_PORT_DESC reply",
                Answer::Experimenter(_) => "OFPST_EXPERIMENTER reply",
                Answer::Unknown { .. } => "OFPST_UNKNOWN reply",
            },
            Body::BarrierRequest => "OFPT_BARRIER_REQUEST",
            Body::BarrierReply => "OFPT_BARRIER_REPLY",
            Body::QueueGetConfigRequest(_) => "OFPT_QUEUE_GET_CONFIG_REQUEST",
            Body::QueueGetConfigReply(_) => "OFPT_QUEUE_GET_CONFIG_REPLY",
            Body::RoleRequest(_) => "OFPT_ROLE_REQUEST",
            Body::RoleReply(_) => "OFPT_ROLE_REPLY",
            Body::GetAsyncRequest => "OFPT_GET_ASYNC_REQUEST",
            Body::GetAsyncReply(_) => "OFPT_GET_ASYNC_REPLY",
            Body::SetAsync(_) => "OFPT_SET_ASYNC",
            Body::MeterMod(_) => "OFPT_METER_MOD",
            Body::RoleStatus(_) => "ONFT_ROLE_STATUS",
            Body::BundleControl(_) => "ONFT_BUNDLE_CONTROL",
            Body::BundleAdd(_) => "ONFT_BUNDLE_ADD_MESSAGE",
            Body::NxSetPacketInFormat(_) => "NXT_SET_PACKET_IN_FORMAT",
            Body::NxPacketIn2(_) => "NXT_PACKET_IN2",
            Body::NxResume(_) => "NXT_RESUME",
            Body::NxSetControllerId(_) => "NXT_SET_CONTROLLER_ID",
            Body::NxCtFlushZone(_) => "NXT_CT_FLUSH_ZONE",
            Body::NxCtFlush(_) => "NXT_CT_FLUSH",
            Body::NxTlvTableMod(_) => "NXT_TLV_TABLE_MOD",
            Body::NxTlvTableRequest => "NXT_TLV_TABLE_REQUEST",
            Body::NxTlvTableReply(_) => "NXT_TLV_TABLE_REPLY",
            Body::Unknown { .. } => "OFPT_UNKNOWN",
        }
    }
}

/// What stands behind the colon of the first line.
impl Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::FeaturesRequest
            | Body::GetConfigRequest
            | Body::BarrierRequest
            | Body::BarrierReply
            | Body::GetAsyncRequest
            | Body::NxTlvTableRequest => Ok(()),
            Body::Hello(hello) => fmt_hello(hello, f),
            Body::Error(error) => fmt_error(error, f),
            Body::EchoRequest(bytes) | Body::EchoReply(bytes) => {
                write!(f, " {} bytes of payload{}", bytes.len(), Dump(bytes))
            }
            Body::Experimenter(message) => message.fmt(f),
            Body::FeaturesReply(features) => fmt_features(features, f),
            Body::GetConfigReply(config) | Body::SetConfig(config) => fmt_config(*config, f),
            Body::PacketIn(packet) => fmt_packet_in(packet, f),
            Body::FlowRemoved(flow) => write!(f, " {flow}"),
            Body::PortStatus(status) => {
                let reason = match status.reason {
                    PortReason::Add => "ADD",
                    PortReason::Delete => "DEL",
                    PortReason::Modify => "MOD",
                };
                write!(f, " {reason}:{}", status.port)
            }
            Body::PacketOut(packet) => fmt_packet_out(packet, f),
            Body::FlowMod(flow) => write!(f, " {flow}"),
            Body::GroupMod(group) => write!(f, "\n {group}"),
            Body::PortMod(port) => write!(f, " {port}"),
            Body::TableMod(table) if table.table == flow::TABLE_ALL => f.write_str(" table_id: ALL_TABLES"),
            Body::TableMod(table) => write!(f, " table_id={}", table.table),
            Body::MultipartRequest(request) => request.fmt(f),
            Body::MultipartReply(reply) => reply.fmt(f),
            Body::QueueGetConfigRequest(port) => write!(f, " port={}", PortName(*port)),
            Body::QueueGetConfigReply(config) => {
                write!(f, " port={}", PortName(config.port_no))?;
                let mut queues = config.queues.clone();
                queues.sort_by_key(|queue| queue.queue_id);
                lines(f, "", &queues)
            }
            Body::RoleRequest(role) => fmt_role(*role, role.role != Role::NoChange, f),
            Body::RoleReply(role) => fmt_role(*role, true, f),
            Body::RoleStatus(status) => {
                const REASONS: [&str; 3] = ["primary_request", "configuration_changed", "experimenter_data_changed"];
                let RoleStatus { role, reason, generation_id } = *status;
                fmt_role(RoleMessage { role, generation_id }, true, f)?;
                match REASONS.get(usize::from(reason)) {
                    Some(name) => write!(f, " reason={name}"),
                    None => write!(f, " reason={reason}"),
                }
            }
            Body::GetAsyncReply(config) | Body::SetAsync(config) => write!(f, "{config}"),
            Body::MeterMod(meter) => write!(f, " {meter}"),
            Body::BundleControl(control) => write!(f, "\n {control}"),
            Body::BundleAdd(add) => {
                write!(
                    f,
                    "\n bundle_id={} flags={}\n{}",
                    Hex(add.bundle_id.into()),
                    bundle_flags(add.flags),
                    add.message
                )
            }
            Body::NxSetPacketInFormat(format) => match *format {
                crate::nicira::PACKET_IN_STANDARD => f.write_str(" format=standard"),
                crate::nicira::PACKET_IN_NXT2 => f.write_str(" format=nxt_packet_in2"),
                other => write!(f, " format={other}"),
            },
            Body::NxPacketIn2(packet) | Body::NxResume(packet) => fmt_packet_in2(packet, f),
            Body::NxSetControllerId(id) => write!(f, " id={id}"),
            Body::NxCtFlushZone(zone) => write!(f, " zone_id={zone}"),
            Body::NxCtFlush(flush) => write!(f, " {flush}"),
            Body::NxTlvTableMod(table) => {
                f.write_str(match table.command {
                    TlvCommand::Add => "\n ADD mapping table:",
                    TlvCommand::Delete => "\n DEL mapping table:",
                    TlvCommand::Clear => return f.write_str("\n CLEAR"),
                })?;
                fmt_tlv_maps(&table.maps, f)
            }
            Body::NxTlvTableReply(table) => {
                let used: u32 = table.maps.iter().map(|map| u32::from(map.len)).sum();
                write!(
                    f,
                    "\n max option space={} max fields={}\n allocated option space={used}\n",
                    table.max_option_space, table.max_fields
                )?;
                f.write_str(" mapping table:")?;
                fmt_tlv_maps(&table.maps, f)
            }
            Body::Unknown { type_, body } => write!(f, " type={type_} body={}", Dotted(body)),
        }
    }
}

fn fmt_hello(hello: &Hello, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let versions: Vec<String> =
        (1..32).filter(|bit| hello.versions >> bit & 1 == 1).map(|bit| format!("{bit:#04x}")).collect();
    write!(f, "\n version bitmap: {}", versions.join(", "))
}

fn fmt_error(error: &ErrorMessage, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, " {error}")?;
    let offender = error.data.get(if error.type_ == 0xffff { 4.. } else { 0.. }).unwrap_or_default();
    match Message::decode(offender) {
        Ok(message) => write!(f, "\n{message}"),
        Err(_) if offender.is_empty() => Ok(()),
        Err(_) if error.type_ == 0 => write!(f, "\n{}", String::from_utf8_lossy(offender).trim_end_matches('\0')),
        Err(_) => write!(f, "\n(cut off message) {}", Dotted(offender)),
    }
}

impl Display for Experimenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (experimenter, data) = (self.experimenter, Dotted(&self.data));
        write!(f, " experimenter={experimenter:#x} type={} data={data}", self.exp_type)
    }
}

fn fmt_features(features: &Features, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const CAPABILITIES: [(u32, &str); 7] = [
        (1 << 0, "FLOW_STATS"),
        (1 << 1, "TABLE_STATS"),
        (1 << 2, "PORT_STATS"),
        (1 << 3, "GROUP_STATS"),
        (1 << 5, "IP_REASM"),
        (1 << 6, "QUEUE_STATS"),
        (1 << 8, "PORT_BLOCKED"),
    ];
    write!(f, " dpid:{:016x}\nn_tables:{}, n_buffers:{}", features.datapath_id, features.n_tables, features.n_buffers)?;
    if features.auxiliary_id != 0 {
        write!(f, ", auxiliary_id:{}", features.auxiliary_id)?;
    }
    write!(f, "\ncapabilities: {}", Words(features.capabilities, &CAPABILITIES, "0"))
}

fn fmt_config(config: SwitchConfig, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fragments = ["normal", "drop", "reassemble"].get(usize::from(config.flags & 3)).unwrap_or(&"?");
    write!(f, " frags={fragments} miss_send_len={}", config.miss_send_len)
}

/// The fields of a packet-in's metadata, with blanks in between.
fn fmt_metadata(matches: &Match, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if matches.is_empty() { Ok(()) } else { write!(f, " {matches}") }
}

fn fmt_packet_in(packet: &PacketIn, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if packet.table != 0 {
        write!(f, " table_id={}", packet.table)?;
    }
    write!(f, " cookie={} total_len={}", Hex(packet.cookie.into()), packet.total_len)?;
    fmt_metadata(&packet.matches, f)?;
    write!(f, " (via {}) data_len={}", Reason(packet.reason), packet.data.len())?;
    match packet.buffer_id {
        flow::NO_BUFFER => f.write_str(" (unbuffered)"),
        buffer => write!(f, " buffer={buffer:#010x}"),
    }
}

fn fmt_packet_in2(packet: &NxPacketIn2, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if packet.table != 0 {
        write!(f, " table_id={}", packet.table)?;
    }
    let total = packet.full_len.map_or(packet.data.len(), |len| len as usize);
    write!(f, " cookie={} total_len={total}", Hex(packet.cookie.unwrap_or(u64::MAX).into()))?;
    fmt_metadata(&packet.matches, f)?;
    write!(f, " (via {}) data_len={}", Reason(packet.reason), packet.data.len())?;
    match packet.buffer_id {
        None => f.write_str(" (unbuffered)")?,
        Some(buffer) => write!(f, " buffer={buffer:#010x}")?,
    }
    if !packet.userdata.is_empty() {
        write!(f, "\n userdata={}", Dotted(&packet.userdata))?;
    }
    Ok(())
}

fn fmt_packet_out(packet: &PacketOut, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, " in_port={} actions={}", PortName(packet.in_port), Actions(&packet.actions))?;
    match packet.buffer_id {
        flow::NO_BUFFER => write!(f, " data_len={}", packet.data.len()),
        buffer => write!(f, " buffer={buffer:#010x}"),
    }
}

fn fmt_role(role: RoleMessage, with_generation: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = match role.role {
        Role::NoChange => "nochange",
        Role::Equal => "equal",
        Role::Master => "primary",
        Role::Slave => "secondary",
    };
    write!(f, " role={name}")?;
    if !with_generation || role.generation_id == u64::MAX {
        Ok(())
    } else {
        write!(f, " generation_id={}", role.generation_id)
    }
}

fn fmt_tlv_maps(maps: &[TlvMap], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\n  class  type  length  match field\n ------  ----  ------  --------------")?;
    for map in maps {
        let (class, type_) = (Hex(map.class.into()).to_string(), Hex(map.type_.into()).to_string());
        write!(f, "\n {class:>6}  {type_:>4}  {:6}  tun_metadata{}", map.len, map.index)?;
    }
    Ok(())
}

impl Display for CtFlush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = [self.original.src, self.original.dst, self.reply.src, self.reply.dst];
        let family = if addresses.iter().flatten().any(|address| address.is_ipv4()) { "nw" } else { "ipv6" };
        let icmp = matches!(self.ip_proto, 1 | 58);
        let tuple = |tuple: &CtTuple, f: &mut fmt::Formatter<'_>| {
            let address = |address: Option<IpAddr>| address.map_or_else(|| "::".to_owned(), |ip| ip.to_string());
            write!(f, "ct_{family}_src={},ct_{family}_dst={}", address(tuple.src), address(tuple.dst))?;
            if icmp {
                let (id, type_) = (tuple.icmp_id.unwrap_or(0), tuple.icmp_type.unwrap_or(0));
                return write!(f, ",icmp_id={id},icmp_type={type_},icmp_code={}", tuple.icmp_code.unwrap_or(0));
            }
            let port = |port: Option<u16>| port.unwrap_or(0);
            write!(f, ",ct_tp_src={},ct_tp_dst={}", port(tuple.src_port), port(tuple.dst_port))
        };
        write!(f, "zone={} '", self.zone.unwrap_or(0))?;
        tuple(&self.original, f)?;
        write!(f, ",ct_nw_proto={}' '", self.ip_proto)?;
        tuple(&self.reply, f)?;
        f.write_str("'")
    }
}

fn bundle_flags(flags: u16) -> String {
    const FLAGS: [(u16, &str); 2] = [(bundle::FLAG_ATOMIC, "atomic"), (bundle::FLAG_ORDERED, "ordered")];
    let words: Vec<&str> = FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if words.is_empty() { Hex(flags.into()).to_string() } else { words.join(" ") }
}

impl Display for BundleControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TYPES: [&str; 8] = [
            "OPEN_REQUEST",
            "OPEN_REPLY",
            "CLOSE_REQUEST",
            "CLOSE_REPLY",
            "COMMIT_REQUEST",
            "COMMIT_REPLY",
            "DISCARD_REQUEST",
            "DISCARD_REPLY",
        ];
        write!(f, "bundle_id={} type=", Hex(self.bundle_id.into()))?;
        match TYPES.get(usize::from(self.type_)) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.type_)?,
        }
        write!(f, " flags={}", bundle_flags(self.flags))
    }
}
