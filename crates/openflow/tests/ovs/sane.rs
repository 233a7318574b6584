//! Messages that Open vSwitch accepts: values within their ranges, matches with what they require.

use fseg_openflow::nicira::{CtFlush, CtTuple, TlvCommand, TlvMap, TlvTableMod};
use fseg_openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::messages;
use crate::sane_actions::{fits, sane_actions, sane_instructions, v4, writes_in_part};

fn masked(field: Field, masks: bool) -> impl Strategy<Value = (Field, u128, u128)> {
    let mask = prop_oneof![
        3 => Just(u128::MAX),
        1 => any::<u128>(),
        1 => (0u32..=u32::from(field.width())).prop_map(move |len| {
            let full = field.full_mask();
            full & !(full.checked_shr(len).unwrap_or(0))
        }),
    ];
    (any::<u128>(), mask).prop_map(move |(value, mask)| (field, value, if masks { mask } else { u128::MAX }))
}

/// Fields that a match of this protocol may have, each with whether a mask is allowed.
fn of_protocol(protocol: u8) -> Vec<(Field, bool)> {
    const ANY: [(Field, bool); 20] = [
        (Field::Metadata, true),
        (Field::EthDst, true),
        (Field::EthSrc, true),
        (Field::Reg(0), true),
        (Field::Reg(7), true),
        (Field::Reg(13), true),
        (Field::TunnelId, true),
        (Field::TunIpv4Src, true),
        (Field::TunIpv4Dst, true),
        (Field::TunIpv6Src, true),
        (Field::TunIpv6Dst, true),
        (Field::TunGbpId, true),
        (Field::TunGbpFlags, false),
        (Field::TunMetadata(0), true),
        (Field::TunMetadata(17), true),
        (Field::PktMark, true),
        (Field::CtMark, true),
        (Field::CtLabel, true),
        (Field::CtZone, false),
        (Field::ConjId, false),
    ];
    const IP: [(Field, bool); 4] =
        [(Field::IpDscp, false), (Field::IpEcn, false), (Field::IpTtl, false), (Field::IpFrag, false)];
    let mut fields = ANY.to_vec();
    if matches!(protocol, 1..=8) {
        fields.extend(IP);
    }
    fields.extend(match protocol {
        1..=4 => vec![(Field::Ipv4Src, true), (Field::Ipv4Dst, true)],
        5..=8 => vec![(Field::Ipv6Src, true), (Field::Ipv6Dst, true), (Field::Ipv6Flabel, true)],
        9 => vec![
            (Field::ArpOp, false),
            (Field::ArpSpa, true),
            (Field::ArpTpa, true),
            (Field::ArpSha, true),
            (Field::ArpTha, true),
        ],
        10 => vec![(Field::MplsLabel, false), (Field::MplsTc, false), (Field::MplsBos, false), (Field::MplsTtl, false)],
        _ => vec![],
    });
    fields.extend(match protocol {
        2 | 6 => vec![(Field::TcpSrc, true), (Field::TcpDst, true), (Field::TcpFlags, true)],
        3 | 7 => vec![(Field::UdpSrc, true), (Field::UdpDst, true)],
        4 => vec![(Field::Icmpv4Type, false), (Field::Icmpv4Code, false)],
        8 => vec![(Field::Icmpv6Code, false), (Field::Ipv6NdTarget, true), (Field::Ipv6NdSll, true)],
        _ => vec![],
    });
    fields
}

/// What makes a match one of that protocol.
fn frame(protocol: u8) -> Match {
    let eth = |number: u16| Match::new().with(Field::EthType, number);
    match protocol {
        1 => eth(0x0800),
        2 => eth(0x0800).with(Field::IpProto, 6u8),
        3 => eth(0x0800).with(Field::IpProto, 17u8),
        4 => eth(0x0800).with(Field::IpProto, 1u8),
        5 => eth(0x86dd),
        6 => eth(0x86dd).with(Field::IpProto, 6u8),
        7 => eth(0x86dd).with(Field::IpProto, 132u8),
        8 => eth(0x86dd).with(Field::IpProto, 58u8).with(Field::Icmpv6Type, 135u8),
        9 => eth(0x0806),
        10 => eth(0x8847),
        11 => eth(0x88cc),
        12 => Match::new().with(Field::VlanVid, 0x1007u16).with(Field::VlanPcp, 3u8),
        13 => Match::new().with_masked(Field::VlanVid, 0x1000u16, 0x1000u16),
        14 => eth(0x0800)
            .with_masked(Field::CtState, 0x22u8, 0x2fu8)
            .with(Field::CtNwProto, 6u8)
            .with(Field::CtTpDst, 80u8),
        15 => eth(0x86dd).with_masked(Field::CtState, 0x20u8, 0x30u8).with(Field::CtNwProto, 17u8),
        _ => Match::new(),
    }
}

pub(crate) fn sane_match() -> impl Strategy<Value = Match> {
    (0u8..17).prop_flat_map(|protocol| {
        let fields = of_protocol(if protocol == 7 { 5 } else { protocol });
        let port = option::of(prop_oneof![0u32..0xff00, Just(port::LOCAL)]);
        let some = proptest::sample::subsequence(fields.clone(), 0..fields.len().min(5));
        (port, some).prop_flat_map(move |(port, fields)| {
            let values: Vec<_> = fields.into_iter().map(|(field, masks)| masked(field, masks).boxed()).collect();
            values.prop_map(move |values| {
                let start = frame(protocol);
                let start = if let Some(port) = port { start.with(Field::InPort, port) } else { start };
                values.into_iter().fold(start, |matches, (field, value, mask)| match field {
                    Field::IpFrag => matches.with(field, [0u8, 1][value as usize % 2]),
                    Field::ArpOp => matches.with(field, value & 0xff),
                    // Neighbour discovery has code 0.
                    Field::Icmpv6Code => matches.with(field, 0u8),
                    _ => matches.with_masked(field, value, mask),
                })
            })
        })
    })
}

pub(crate) fn sane_row() -> impl Strategy<Value = FlowStats> {
    let numbers = any::<(u32, u16, u16, u16)>();
    (numbers, 0u8..254, 0u16..32, any::<(u64, u32, u32)>(), 0u32..1_000_000_000, sane_match(), sane_instructions())
        .prop_map(
            |((sec, priority, idle, hard), table, flags, (cookie, packets, bytes), nsec, matches, instructions)| {
                FlowStats {
                    table,
                    duration_sec: sec,
                    duration_nsec: if sec % 2 == 0 { nsec } else { nsec / 1_000_000 * 1_000_000 },
                    priority,
                    idle_timeout: idle,
                    hard_timeout: hard,
                    flags,
                    cookie,
                    packet_count: packets.into(),
                    byte_count: bytes.into(),
                    matches,
                    instructions,
                }
            },
        )
}

fn sane_group() -> impl Strategy<Value = (GroupType, u32, Vec<Bucket>)> {
    let bucket = (sane_actions(), any::<u16>(), 1u32..0xff00, option::of(0u32..0xff00));
    (
        select(vec![GroupType::All, GroupType::Select, GroupType::Indirect, GroupType::FastFailover]),
        0u32..0xffff_ff00,
        vec(bucket, 1..4),
    )
        .prop_map(|(type_, id, buckets)| {
            let few = if type_ == GroupType::Indirect { 1 } else { 4 };
            let buckets = buckets.into_iter().take(few).map(|(actions, weight, watch, group)| Bucket {
                weight: if type_ == GroupType::Select { weight } else { 0 },
                watch_port: if type_ == GroupType::FastFailover { watch } else { port::ANY },
                watch_group: if type_ == GroupType::FastFailover {
                    group.unwrap_or(flow::GROUP_ANY)
                } else {
                    flow::GROUP_ANY
                },
                actions,
            });
            (type_, id, buckets.collect())
        })
}

/// What a broad generator made, cut to the ranges that Open vSwitch accepts; `None` where it knows no such message.
pub(crate) fn within_ranges(body: Body) -> Option<Body> {
    let small = |port: u32| port % 0xff00;
    Some(match body {
        Body::Unknown { .. } | Body::Experimenter(_) | Body::Error(_) => return None,
        Body::BundleAdd(_) | Body::FlowMod(_) | Body::GroupMod(_) | Body::PacketOut(_) | Body::PacketIn(_) => {
            return None;
        }
        Body::NxPacketIn2(_) | Body::NxResume(_) | Body::FlowRemoved(_) | Body::NxTlvTableReply(_) => return None,
        Body::NxTlvTableMod(_) | Body::NxCtFlush(_) => return None,
        Body::NxSetPacketInFormat(format) => Body::NxSetPacketInFormat(format % 2 * 2),
        Body::SetConfig(config) => Body::SetConfig(SwitchConfig { flags: config.flags % 3, ..config }),
        Body::GetConfigReply(config) => Body::GetConfigReply(SwitchConfig { flags: config.flags % 3, ..config }),
        Body::GetAsyncReply(config) | Body::SetAsync(config) => Body::SetAsync(AsyncConfig {
            packet_in: config.packet_in.map(|mask| mask & 0x7),
            port_status: config.port_status.map(|mask| mask & 0x7),
            flow_removed: config.flow_removed.map(|mask| mask & 0xf),
        }),
        Body::PortMod(port) => Body::PortMod(PortMod {
            port_no: small(port.port_no),
            config: port.config & port.mask & 0x65,
            mask: port.mask & 0x65,
            advertise: port.advertise & 0xffff,
            ..port
        }),
        Body::PortStatus(status) => Body::PortStatus(PortStatus { port: sane_port(status.port), ..status }),
        Body::QueueGetConfigRequest(port) => Body::QueueGetConfigRequest(small(port)),
        Body::QueueGetConfigReply(mut config) => {
            config.port_no = small(config.port_no);
            for queue in &mut config.queues {
                queue.port_no = config.port_no;
                queue.others.clear();
                // Open vSwitch itself does not tell a missing rate from others.
                queue.min_rate = queue.min_rate.map(|rate| rate % 1100);
                queue.max_rate = queue.max_rate.map(|rate| rate % 1100);
            }
            Body::QueueGetConfigReply(config)
        }
        Body::MeterMod(meter) => Body::MeterMod(MeterMod {
            flags: if meter.flags & 1 == 1 { meter.flags & 0xd } else { 2 | meter.flags & 0xe },
            meter_id: 1 + meter.meter_id % 0xffff,
            bands: bands(meter.bands),
            ..meter
        }),
        Body::BundleControl(control) => {
            Body::BundleControl(BundleControl { type_: control.type_ % 8, flags: control.flags % 4, ..control })
        }
        Body::FeaturesReply(features) => {
            Body::FeaturesReply(Features { capabilities: features.capabilities & 0x16f, ..features })
        }
        Body::TableMod(table) => Body::TableMod(table),
        Body::MultipartRequest(request) => {
            let query = match request.query {
                Query::Unknown { .. }
                | Query::Experimenter(_)
                | Query::Flow(_)
                | Query::Aggregate(_)
                | Query::TableFeatures(_) => return None,
                Query::PortStats(port) => Query::PortStats(small(port)),
                Query::Queue { port_no, queue_id } => Query::Queue { port_no: small(port_no), queue_id },
                other => other,
            };
            Body::MultipartRequest(MultipartRequest { more: false, query })
        }
        Body::MultipartReply(reply) => {
            let answer = match reply.answer {
                Answer::Unknown { .. }
                | Answer::Experimenter(_)
                | Answer::Flow(_)
                | Answer::TableFeatures(_)
                | Answer::GroupDesc(_) => return None,
                Answer::PortStats(mut ports) => {
                    ports.iter_mut().for_each(|port| port.port_no = small(port.port_no));
                    Answer::PortStats(ports)
                }
                Answer::Queue(mut queues) => {
                    queues.iter_mut().for_each(|queue| queue.port_no = small(queue.port_no));
                    Answer::Queue(queues)
                }
                Answer::PortDesc(ports) => Answer::PortDesc(ports.into_iter().map(sane_port).collect()),
                Answer::MeterConfig(mut meters) => {
                    for meter in &mut meters {
                        meter.flags = if meter.flags & 1 == 1 { meter.flags & 0xd } else { 2 | meter.flags & 0xe };
                        meter.bands = bands(std::mem::take(&mut meter.bands));
                    }
                    Answer::MeterConfig(meters)
                }
                Answer::GroupFeatures(mut features) => {
                    features.actions = features.actions.map(|bits| bits & 0x03ff_8001);
                    Answer::GroupFeatures(features)
                }
                other => other,
            };
            Body::MultipartReply(MultipartReply { more: false, answer })
        }
        other => other,
    })
}

fn bands(bands: Vec<Band>) -> Vec<Band> {
    bands.into_iter().filter(|band| !matches!(band, Band::Unknown { .. })).collect()
}

fn sane_port(port: Port) -> Port {
    Port {
        port_no: 1 + port.port_no % 0xfeff,
        config: port.config & 0x65,
        state: port.state & 7,
        curr: port.curr & 0xffff,
        advertised: port.advertised & 0xffff,
        supported: port.supported & 0xffff,
        peer: port.peer & 0xffff,
        name: format!("p{}", port.name.chars().take(9).collect::<String>()),
        ..port
    }
}

pub(crate) fn sane_message() -> impl Strategy<Value = Message> {
    let broad = messages::simple_body().prop_filter_map("known to Open vSwitch", within_ranges);
    let rows = || vec(sane_row(), 0..3);
    // ovs-ofctl keeps silent about a restriction to a group, and about one to cookies in requests.
    let query = || {
        (0u8..=255, option::of(1u32..0xff00), sane_match()).prop_map(|(table, out_port, matches)| FlowQuery {
            table,
            out_port: out_port.unwrap_or(port::ANY),
            matches,
            ..FlowQuery::default()
        })
    };
    let reply = |answer| Body::MultipartReply(MultipartReply { more: false, answer });
    let request = |query| Body::MultipartRequest(MultipartRequest { more: false, query });
    let metadata = || {
        (1u32..0xff00, any::<(u64, u32)>()).prop_map(|(port, (metadata, register))| {
            Match::new().with(Field::InPort, port).with(Field::Metadata, metadata | 1).with(Field::Reg(3), register | 1)
        })
    };
    let data = || vec(any::<u8>(), 14..60);
    let maps = vec((any::<u16>(), any::<u8>(), 1u8..=31), 1..4).prop_map(|maps| {
        maps.into_iter()
            .enumerate()
            .map(|(index, (class, type_, words))| TlvMap { class, type_, len: 4 * words, index: index as u16 })
            .collect::<Vec<_>>()
    });
    let removed = (any::<(u64, u16, u32, u16, u16, u64)>(), 0u8..6, 0u8..254, sane_match()).prop_map(
        |((cookie, priority, duration_sec, idle_timeout, hard_timeout, packet_count), reason, table, matches)| {
            Body::FlowRemoved(FlowRemoved {
                cookie,
                priority,
                reason,
                table,
                duration_sec,
                duration_nsec: 7_000_000,
                idle_timeout,
                hard_timeout,
                packet_count,
                byte_count: 8,
                matches,
            })
        },
    );
    let tuple = || {
        (option::of(v4()), option::of(v4()), option::of(any::<(u16, u16)>())).prop_map(|(src, dst, ports)| CtTuple {
            src,
            dst,
            src_port: ports.map(|ports| ports.0),
            dst_port: ports.map(|ports| ports.1),
            ..CtTuple::default()
        })
    };
    let commands = [FlowCommand::Modify, FlowCommand::ModifyStrict, FlowCommand::Delete, FlowCommand::DeleteStrict];
    let delete = (query(), any::<(u16, u64, u64)>(), select(commands.to_vec())).prop_map(
        |(query, (priority, cookie, cookie_mask), command)| {
            let deletes = matches!(command, FlowCommand::Delete | FlowCommand::DeleteStrict);
            Body::FlowMod(FlowMod {
                command,
                cookie,
                cookie_mask,
                priority,
                out_port: if deletes { query.out_port } else { port::ANY },
                out_group: if deletes { query.out_group } else { flow::GROUP_ANY },
                matches: query.matches,
                ..FlowMod::add(query.table.min(253), 0)
            })
        },
    );
    let body = prop_oneof![
        12 => broad,
        8 => rows().prop_map(move |rows| reply(Answer::Flow(rows))),
        1 => query().prop_map(move |query| request(Query::Flow(query))),
        1 => query().prop_map(move |query| request(Query::Aggregate(query))),
        1 => delete,
        1 => removed,
        1 => (sane_group(), select(vec![GroupCommand::Add, GroupCommand::Modify])).prop_map(|((type_, group_id, buckets), command)| Body::GroupMod(GroupMod { command, type_, group_id, buckets })),
        1 => vec(sane_group(), 0..3).prop_map(move |groups| reply(Answer::GroupDesc(groups.into_iter().map(|(type_, group_id, buckets)| group::GroupDesc { type_, group_id, buckets }).collect()))),
        1 => (sane_actions(), data(), 1u32..0xff00).prop_map(|(actions, data, in_port)| Body::PacketOut(PacketOut { buffer_id: flow::NO_BUFFER, in_port, actions, data })),
        1 => (metadata(), data(), 0u8..3, any::<(u64, u8)>()).prop_map(|(matches, data, reason, (cookie, table))| Body::PacketIn(PacketIn { buffer_id: flow::NO_BUFFER, total_len: data.len() as u16, reason, table: table.min(253), cookie, matches, data })),
        1 => (metadata(), data(), 0u8..6, any::<(u64, u8)>(), vec(any::<u8>(), 0..9)).prop_map(|(matches, data, reason, (cookie, table), userdata)| Body::NxPacketIn2(Box::new(NxPacketIn2 { data, reason, table: table.min(253), cookie: Some(cookie), matches, userdata, ..NxPacketIn2::default() }))),
        1 => maps.prop_map(|maps| Body::NxTlvTableMod(TlvTableMod { command: TlvCommand::Add, maps })),
        1 => (select(vec![0u8, 6, 17]), option::of(any::<u16>()), tuple(), tuple()).prop_map(|(ip_proto, zone, original, reply)| Body::NxCtFlush(Box::new(CtFlush { ip_proto, zone, original, reply }))),
    ];
    (any::<u32>(), body).prop_map(|(xid, body)| Message { xid: xid % 0x7000_0000, body })
}

/// A row that Open vSwitch accepts as a whole: its actions fit its match. With `masks` also fields written in part, of
/// which ovs-ofctl makes loads when it reads them.
pub(crate) fn usual_row(masks: bool) -> impl Strategy<Value = FlowStats> {
    (sane_row(), sane_match(), any::<u16>()).prop_map(move |(row, matches, seed)| {
        let tcp = seed % 2 == 0;
        let keep = |field: &Field| {
            matches!(field, Field::Reg(_) | Field::Metadata | Field::EthSrc | Field::EthDst | Field::TunnelId)
                || matches!(field, Field::InPort | Field::PktMark | Field::CtMark | Field::TunIpv4Dst)
        };
        let matches = if tcp {
            let own = matches.iter().filter(|(field, _)| keep(field)).copied().collect::<Match>();
            own.with(Field::EthType, 0x0800u16).with(Field::IpProto, 6u8).with_masked(Field::CtState, 0x22u8, 0x32u8)
        } else {
            matches
        };
        // ovs-ofctl does not read the IPv6 masks it prints unless they are prefixes.
        let readable = |field: &Field, value: &Value| {
            let gaps = value.mask.is_some_and(|mask| mask.leading_ones() != mask.count_ones());
            let long = [Field::Ipv6Src, Field::Ipv6Dst, Field::TunIpv6Src, Field::TunIpv6Dst, Field::Ipv6NdTarget];
            !(gaps && long.contains(field))
        };
        let matches: Match = matches.iter().filter(|(field, value)| readable(field, value)).copied().collect();
        let instructions = row.instructions.into_iter().filter_map(|instruction| match instruction {
            Instruction::ApplyActions(actions) => {
                let few = |action| if let Action::Group(id) = action { Action::Group(id % 100) } else { action };
                let actions: Vec<Action> = actions
                    .into_iter()
                    .filter(|action| fits(action, tcp) && (masks || !writes_in_part(action)))
                    .map(few)
                    .collect();
                (!actions.is_empty()).then_some(Instruction::ApplyActions(actions))
            }
            Instruction::GotoTable(_) if row.table >= 200 => None,
            Instruction::Meter(_) => Some(Instruction::Meter(1)),
            Instruction::WriteMetadata { mask: 0, .. } => None,
            other => Some(other),
        });
        let instructions: Vec<Instruction> = instructions.collect();
        FlowStats { matches, instructions, ..row }
    })
}
