//! Messages as text. The first line is ovs-ofctl's for every message; so is the rest for those that a controller sees
//! daily, while rare statistics are written as plain `name=value` lines.

use std::fmt::{self, Display};

use crate::bundle::{self, BundleControl};
use crate::flow;
use crate::group::{self, Bucket, GroupCommand, GroupMod, GroupType};
use crate::message::{Body, ErrorMessage, Message};
use crate::meter::{self, Band, MeterCommand, MeterMod};
use crate::multipart::{Answer, FlowQuery, MultipartReply, MultipartRequest, Query};
use crate::nicira::{TlvCommand, TlvMap};
use crate::oxm::Match;
use crate::packet::{NxPacketIn2, PacketIn, PacketOut};
use crate::port::{self, Port, PortReason, PortStats};
use crate::switch::{Features, Hello, Role, RoleMessage, SwitchConfig};
use crate::text::actions::{Actions, Reason};
use crate::text::{Dotted, Hex, PortName};

impl Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match &self.body {
            Body::Hello(hello) => hello.highest(),
            _ => crate::message::VERSION,
        };
        let version = match version {
            1..=6 => format!("OF1.{}", version - 1),
            other => format!("OF version {other:#04x}"),
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
            Body::EchoRequest(bytes) | Body::EchoReply(bytes) => write!(f, " {} bytes of payload", bytes.len()),
            Body::Experimenter(message) => write!(
                f,
                " experimenter={:#x} type={} data={}",
                message.experimenter,
                message.exp_type,
                Dotted(&message.data)
            ),
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
            Body::PortMod(port) => write!(
                f,
                " port: {}: addr:{}\n     config: {}\n     mask:   {}\n     advertise: {}",
                PortName(port.port_no),
                Mac(port.hw_addr),
                Hex(port.config.into()),
                Hex(port.mask.into()),
                Hex(port.advertise.into())
            ),
            Body::TableMod(table) => write!(f, " table_id={} config={}", table.table, Hex(table.config.into())),
            Body::MultipartRequest(request) => request.fmt(f),
            Body::MultipartReply(reply) => reply.fmt(f),
            Body::QueueGetConfigRequest(port) => write!(f, " port={}", PortName(*port)),
            Body::QueueGetConfigReply(config) => {
                write!(f, " port={}", PortName(config.port_no))?;
                lines(f, &config.queues)
            }
            Body::RoleRequest(role) | Body::RoleReply(role) => fmt_role(*role, f),
            Body::GetAsyncReply(config) | Body::SetAsync(config) => write!(f, " {config:?}"),
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
                crate::nicira::PACKET_IN_STANDARD => f.write_str(" format=openflow10"),
                crate::nicira::PACKET_IN_NXT2 => f.write_str(" format=nxt_packet_in2"),
                other => write!(f, " format={other}"),
            },
            Body::NxPacketIn2(packet) | Body::NxResume(packet) => fmt_packet_in2(packet, f),
            Body::NxSetControllerId(id) => write!(f, " id={id}"),
            Body::NxCtFlushZone(zone) => write!(f, " zone_id={zone}"),
            Body::NxCtFlush(flush) => write!(f, " {flush:?}"),
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

struct Mac([u8; 6]);

impl Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

fn fmt_hello(hello: &Hello, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let versions: Vec<String> =
        (0..32).filter(|bit| hello.versions >> bit & 1 == 1).map(|bit| format!("{bit:#04x}")).collect();
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
    f.write_str("\ncapabilities:")?;
    for (_, name) in CAPABILITIES.iter().filter(|(bit, _)| features.capabilities & bit != 0) {
        write!(f, " {name}")?;
    }
    Ok(())
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

fn fmt_role(role: RoleMessage, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = match role.role {
        Role::NoChange => "nochange",
        Role::Equal => "equal",
        Role::Master => "primary",
        Role::Slave => "secondary",
    };
    write!(f, " role={name}")?;
    if role.generation_id == u64::MAX { Ok(()) } else { write!(f, " generation_id={}", role.generation_id) }
}

fn fmt_tlv_maps(maps: &[TlvMap], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\n  class  type  length  match field\n ------  ----  ------  --------------")?;
    for map in maps {
        write!(f, "\n {:#6x}  {:#4x}  {:6}  tun_metadata{}", map.class, map.type_, map.len, map.index)?;
    }
    Ok(())
}

impl Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn bits(f: &mut fmt::Formatter<'_>, label: &str, value: u32, names: &[(u32, &str)]) -> fmt::Result {
            let mut words: Vec<String> =
                names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
            let rest = names.iter().fold(value, |rest, (bit, _)| rest & !bit);
            if rest != 0 || words.is_empty() {
                words.push(Hex(rest.into()).to_string());
            }
            write!(f, "\n     {label:<11} {}", words.join(" "))
        }
        write!(f, " {}({}): addr:{}", PortName(self.port_no), self.name, Mac(self.hw_addr))?;
        bits(
            f,
            "config:",
            self.config,
            &[
                (port::CONFIG_PORT_DOWN, "PORT_DOWN"),
                (port::CONFIG_NO_RECV, "NO_RECV"),
                (port::CONFIG_NO_FWD, "NO_FWD"),
                (port::CONFIG_NO_PACKET_IN, "NO_PACKET_IN"),
            ],
        )?;
        bits(
            f,
            "state:",
            self.state,
            &[(port::STATE_LINK_DOWN, "LINK_DOWN"), (port::STATE_BLOCKED, "BLOCKED"), (port::STATE_LIVE, "LIVE")],
        )?;
        write!(f, "\n     speed: {} Mbps now, {} Mbps max", self.curr_speed / 1000, self.max_speed / 1000)
    }
}

impl Display for PortStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Count(u64);
        impl Display for Count {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if self.0 == u64::MAX { f.write_str("?") } else { self.0.fmt(f) }
            }
        }
        write!(
            f,
            "  port {:>2}: rx pkts={}, bytes={}, drop={}, errs={}, frame={}, over={}, crc={}\n           \
             tx pkts={}, bytes={}, drop={}, errs={}, coll={}\n           duration={}.{:03}s",
            PortName(self.port_no).to_string(),
            Count(self.rx_packets),
            Count(self.rx_bytes),
            Count(self.rx_dropped),
            Count(self.rx_errors),
            Count(self.rx_frame_err),
            Count(self.rx_over_err),
            Count(self.rx_crc_err),
            Count(self.tx_packets),
            Count(self.tx_bytes),
            Count(self.tx_dropped),
            Count(self.tx_errors),
            Count(self.collisions),
            self.duration_sec,
            self.duration_nsec / 1_000_000
        )
    }
}

impl Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupType::All => "all",
            GroupType::Select => "select",
            GroupType::Indirect => "indirect",
            GroupType::FastFailover => "ff",
        })
    }
}

impl Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bucket=")?;
        if self.weight != 0 {
            write!(f, "weight:{},", self.weight)?;
        }
        if self.watch_port != port::ANY {
            write!(f, "watch_port:{},", PortName(self.watch_port))?;
        }
        if self.watch_group != flow::GROUP_ANY {
            write!(f, "watch_group:{},", self.watch_group)?;
        }
        write!(f, "actions={}", Actions(&self.actions))
    }
}

fn fmt_group(group_id: u32, type_: GroupType, buckets: &[Bucket], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match group_id {
        group::ALL => f.write_str("group_id=all")?,
        id => write!(f, "group_id={id}")?,
    }
    write!(f, ",type={type_}")?;
    buckets.iter().try_for_each(|bucket| write!(f, ",{bucket}"))
}

impl Display for GroupMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.command {
            GroupCommand::Add => "ADD ",
            GroupCommand::Modify => "MOD ",
            GroupCommand::Delete => "DEL ",
        })?;
        fmt_group(self.group_id, self.type_, &self.buckets, f)
    }
}

fn fmt_meter(id: u32, flags: u16, bands: &[Band], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const FLAGS: [(u16, &str); 4] = [
        (meter::FLAG_KBPS, "kbps"),
        (meter::FLAG_PACKETS, "pktps"),
        (meter::FLAG_BURST, "burst"),
        (meter::FLAG_STATS, "stats"),
    ];
    match id {
        meter::ALL => f.write_str("meter=all")?,
        meter::CONTROLLER => f.write_str("meter=controller")?,
        id => write!(f, "meter={id}")?,
    }
    FLAGS.iter().filter(|(bit, _)| flags & bit != 0).try_for_each(|(_, name)| write!(f, " {name}"))?;
    f.write_str(" bands=")?;
    bands.iter().try_for_each(|band| match band {
        Band::Drop { rate, burst } => write!(f, "\ntype=drop rate={rate}{}", Burst(flags, *burst)),
        Band::DscpRemark { rate, burst, precedence } => {
            write!(f, "\ntype=dscp_remark rate={rate}{} prec_level={precedence}", Burst(flags, *burst))
        }
        Band::Unknown { type_, rate, burst, .. } => {
            write!(f, "\ntype={type_} rate={rate}{}", Burst(flags, *burst))
        }
    })
}

struct Burst(u16, u32);

impl Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & meter::FLAG_BURST == 0 { Ok(()) } else { write!(f, " burst_size={}", self.1) }
    }
}

impl Display for MeterMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.command {
            MeterCommand::Add => "ADD ",
            MeterCommand::Modify => "MOD ",
            MeterCommand::Delete => "DEL ",
        })?;
        fmt_meter(self.meter_id, self.flags, &self.bands, f)
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

impl Display for FlowQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.table != flow::TABLE_ALL {
            write!(f, " table={}", self.table)?;
        }
        if self.out_port != port::ANY {
            write!(f, " out_port={}", PortName(self.out_port))?;
        }
        if self.out_group != flow::GROUP_ANY {
            write!(f, " out_group={}", self.out_group)?;
        }
        if self.cookie_mask != 0 {
            write!(f, " cookie={}/{}", Hex(self.cookie.into()), Hex(self.cookie_mask.into()))?;
        }
        write!(f, " {}", self.matches)
    }
}

impl Display for MultipartRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.more {
            f.write_str(" (more follows)")?;
        }
        match &self.query {
            Query::Flow(query) | Query::Aggregate(query) => query.fmt(f),
            Query::PortStats(port) => write!(f, " port_no={}", PortName(*port)),
            // In OpenFlow 1.3 it is always about all ports.
            Query::PortDesc => f.write_str(" port=ANY"),
            Query::Queue { port_no, queue_id } => write!(f, " port={} queue={queue_id}", PortName(*port_no)),
            Query::Group(id) => write!(f, " group_id={id}"),
            Query::Meter(id) | Query::MeterConfig(id) => write!(f, " meter={id}"),
            Query::TableFeatures(tables) => lines(f, tables),
            Query::Unknown { type_, body } => write!(f, " type={type_:#x} body={}", Dotted(body)),
            _ => Ok(()),
        }
    }
}

impl Display for MultipartReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.more {
            f.write_str(" (more follows)")?;
        }
        match &self.answer {
            Answer::Desc(desc) => write!(
                f,
                "\nManufacturer: {}\nHardware: {}\nSoftware: {}\nSerial Num: {}\nDP Description: {}",
                desc.manufacturer, desc.hardware, desc.software, desc.serial, desc.datapath
            ),
            Answer::Flow(rows) => rows.iter().try_for_each(|row| write!(f, "\n {row:#}")),
            Answer::Aggregate(sums) => write!(
                f,
                " packet_count={} byte_count={} flow_count={}",
                sums.packet_count, sums.byte_count, sums.flow_count
            ),
            Answer::Table(tables) => tables.iter().try_for_each(|table| {
                let (active, lookup, matched) = (table.active_count, table.lookup_count, table.matched_count);
                write!(f, "\n  table {}:\n    active={active}, lookup={lookup}, matched={matched}", table.table)
            }),
            Answer::PortStats(ports) => {
                write!(f, " {} ports", ports.len())?;
                ports.iter().try_for_each(|port| write!(f, "\n{port}"))
            }
            Answer::PortDesc(ports) => {
                let mut ports: Vec<&Port> = ports.iter().collect();
                ports.sort_by_key(|port| port.port_no);
                ports.iter().try_for_each(|port| write!(f, "\n{port}"))
            }
            Answer::GroupDesc(groups) => groups.iter().try_for_each(|group| {
                f.write_str("\n ")?;
                fmt_group(group.group_id, group.type_, &group.buckets, f)
            }),
            Answer::MeterConfig(meters) => meters.iter().try_for_each(|meter| {
                f.write_str("\n")?;
                fmt_meter(meter.meter_id, meter.flags, &meter.bands, f)
            }),
            Answer::Queue(queues) => lines(f, queues),
            Answer::Group(groups) => lines(f, groups),
            Answer::GroupFeatures(features) => lines(f, std::slice::from_ref(features)),
            Answer::Meter(meters) => lines(f, meters),
            Answer::MeterFeatures(features) => lines(f, std::slice::from_ref(features)),
            Answer::TableFeatures(tables) => lines(f, tables),
            Answer::Unknown { type_, body } => write!(f, " type={type_:#x} body={}", Dotted(body)),
        }
    }
}

/// Rare statistics: their names and values, a line each.
fn lines(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Debug]) -> fmt::Result {
    items.iter().try_for_each(|item| write!(f, "\n {item:?}"))
}
