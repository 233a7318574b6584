//! Any message.

use fseg_openflow::group::{GroupDesc, GroupFeatures, GroupStats};
use fseg_openflow::meter::{MeterConfig, MeterFeatures, MeterStats};
use fseg_openflow::nicira::{CtFlush, CtTuple, TlvCommand, TlvMap, TlvTable, TlvTableMod};
use fseg_openflow::queue::{Queue, QueueConfig, QueueStats};
use fseg_openflow::switch::Description;
use fseg_openflow::table::{SupportedType, TableFeatures, TableMod, TableProperty, TableStats};
use fseg_openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::actions::*;

pub(crate) fn flow_mod() -> impl Strategy<Value = FlowMod> {
    let commands = [
        FlowCommand::Add,
        FlowCommand::Modify,
        FlowCommand::ModifyStrict,
        FlowCommand::Delete,
        FlowCommand::DeleteStrict,
    ];
    (
        any::<(u64, u64, u8, u16, u16, u16)>(),
        proptest::sample::select(commands.to_vec()),
        any::<(u32, u32, u32)>(),
        0u16..32,
        matches(),
        instructions(),
    )
        .prop_map(
            |((cookie, cookie_mask, table, idle, hard, priority), command, (b, p, g), flags, matches, instructions)| {
                FlowMod {
                    cookie,
                    cookie_mask,
                    table,
                    command,
                    idle_timeout: idle,
                    hard_timeout: hard,
                    priority,
                    buffer_id: b,
                    out_port: p,
                    out_group: g,
                    flags,
                    matches,
                    instructions,
                }
            },
        )
}

pub(crate) fn flow_stats() -> impl Strategy<Value = FlowStats> {
    (any::<(u8, u32, u16, u16, u16)>(), 0u16..32, any::<(u64, u64, u64)>(), matches(), instructions()).prop_map(
        |((table, sec, priority, idle, hard), flags, (cookie, packets, bytes), matches, instructions)| FlowStats {
            table,
            duration_sec: sec,
            duration_nsec: 5,
            priority,
            idle_timeout: idle,
            hard_timeout: hard,
            flags,
            cookie,
            packet_count: packets,
            byte_count: bytes,
            matches,
            instructions,
        },
    )
}

pub(crate) fn port() -> impl Strategy<Value = Port> {
    (any::<(u32, [u8; 6])>(), "[a-z0-9-]{0,15}", any::<[u32; 8]>()).prop_map(|((port_no, hw_addr), name, n)| Port {
        port_no,
        hw_addr,
        name,
        config: n[0],
        state: n[1],
        curr: n[2],
        advertised: n[3],
        supported: n[4],
        peer: n[5],
        curr_speed: n[6],
        max_speed: n[7],
    })
}

pub(crate) fn bucket() -> impl Strategy<Value = Bucket> {
    (any::<(u16, u32, u32)>(), vec(action(), 0..3)).prop_map(|((weight, watch_port, watch_group), actions)| Bucket {
        weight,
        watch_port,
        watch_group,
        actions,
    })
}

pub(crate) fn band() -> impl Strategy<Value = Band> {
    let body = vec(any::<u8>(), 0..8);
    (0u8..3, any::<(u32, u32, u8)>(), body).prop_map(|(kind, (rate, burst, precedence), body)| match kind {
        0 => Band::Drop { rate, burst },
        1 => Band::DscpRemark { rate, burst, precedence },
        _ => Band::Unknown { type_: 0xffff, rate, burst, body },
    })
}

pub(crate) fn table_features() -> impl Strategy<Value = TableFeatures> {
    let fields = || vec((field(), any::<bool>()), 0..4);
    let types = || {
        let experimenter =
            vec(any::<u8>(), 4..9).prop_map(|experimenter| SupportedType { type_: 0xffff, experimenter });
        vec(prop_oneof![4 => (0u16..30).prop_map(SupportedType::from), 1 => experimenter], 0..4)
    };
    let property = prop_oneof![
        (any::<bool>(), types()).prop_map(|(miss, types)| TableProperty::Instructions { miss, types }),
        (any::<bool>(), vec(any::<u8>(), 0..9)).prop_map(|(miss, tables)| TableProperty::NextTables { miss, tables }),
        (any::<bool>(), types()).prop_map(|(miss, types)| TableProperty::WriteActions { miss, types }),
        (any::<bool>(), types()).prop_map(|(miss, types)| TableProperty::ApplyActions { miss, types }),
        fields().prop_map(TableProperty::Match),
        fields().prop_map(TableProperty::Wildcards),
        (any::<bool>(), fields()).prop_map(|(miss, fields)| TableProperty::WriteSetField { miss, fields }),
        (any::<bool>(), fields()).prop_map(|(miss, fields)| TableProperty::ApplySetField { miss, fields }),
        vec(any::<u8>(), 0..9).prop_map(|body| TableProperty::Unknown { type_: 0xfffe, body }),
    ];
    (any::<(u8, u64, u64, u32, u32)>(), "[a-z]{0,31}", vec(property, 0..5)).prop_map(
        |((table, metadata_match, metadata_write, config, max_entries), name, properties)| TableFeatures {
            table,
            name,
            metadata_match,
            metadata_write,
            config,
            max_entries,
            properties,
        },
    )
}

pub(crate) fn pairs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    vec(any::<(u64, u64)>(), 0..4)
}

pub(crate) fn answer() -> impl Strategy<Value = Answer> {
    let group_type = || {
        proptest::sample::select(vec![
            GroupType::All,
            GroupType::Select,
            GroupType::Indirect,
            GroupType::FastFailover,
            GroupType::Other(200),
        ])
    };
    prop_oneof![
        (any::<(u32, u32)>(), vec(any::<u8>(), 0..30)).prop_map(|((experimenter, exp_type), data)| {
            Answer::Experimenter(Experimenter { experimenter, exp_type, data })
        }),
        "[ -~]{0,40}".prop_map(|text| Answer::Desc(Box::new(Description {
            manufacturer: text.clone(),
            hardware: text.clone(),
            software: text.clone(),
            serial: text.chars().take(31).collect(),
            datapath: text,
        }))),
        vec(flow_stats(), 0..3).prop_map(Answer::Flow),
        any::<(u64, u64, u32)>().prop_map(|(packet_count, byte_count, flow_count)| Answer::Aggregate(Aggregate {
            packet_count,
            byte_count,
            flow_count
        })),
        vec(any::<(u8, u32, u64, u64)>(), 0..4).prop_map(|tables| Answer::Table(
            tables
                .into_iter()
                .map(|(table, active_count, lookup_count, matched_count)| TableStats {
                    table,
                    active_count,
                    lookup_count,
                    matched_count
                })
                .collect()
        )),
        vec(any::<(u32, [u64; 12], u32)>(), 0..4).prop_map(|ports| Answer::PortStats(
            ports
                .into_iter()
                .map(|(port_no, n, duration_sec)| PortStats {
                    port_no,
                    rx_packets: n[0],
                    tx_packets: n[1],
                    rx_bytes: n[2],
                    tx_bytes: n[3],
                    rx_dropped: n[4],
                    tx_dropped: n[5],
                    rx_errors: n[6],
                    tx_errors: n[7],
                    rx_frame_err: n[8],
                    rx_over_err: n[9],
                    rx_crc_err: n[10],
                    collisions: n[11],
                    duration_sec,
                    duration_nsec: 1,
                })
                .collect()
        )),
        vec(any::<(u32, u32, u64, u64, u64)>(), 0..4).prop_map(|queues| Answer::Queue(
            queues
                .into_iter()
                .map(|(port_no, queue_id, tx_bytes, tx_packets, tx_errors)| QueueStats {
                    port_no,
                    queue_id,
                    tx_bytes,
                    tx_packets,
                    tx_errors,
                    duration_sec: 1,
                    duration_nsec: 2
                })
                .collect()
        )),
        vec((any::<(u32, u32, u64, u64)>(), pairs()), 0..3).prop_map(|groups| Answer::Group(
            groups
                .into_iter()
                .map(|((group_id, ref_count, packet_count, byte_count), buckets)| GroupStats {
                    group_id,
                    ref_count,
                    packet_count,
                    byte_count,
                    duration_sec: 1,
                    duration_nsec: 2,
                    buckets
                })
                .collect()
        )),
        vec((group_type(), any::<u32>(), vec(bucket(), 0..3)), 0..3).prop_map(|groups| Answer::GroupDesc(
            groups.into_iter().map(|(type_, group_id, buckets)| GroupDesc { type_, group_id, buckets }).collect()
        )),
        any::<(u32, u32, [u32; 4], [u32; 4])>().prop_map(|(types, capabilities, max_groups, actions)| {
            Answer::GroupFeatures(GroupFeatures { types, capabilities, max_groups, actions })
        }),
        vec((any::<(u32, u32, u64, u64)>(), pairs()), 0..3).prop_map(|meters| Answer::Meter(
            meters
                .into_iter()
                .map(|((meter_id, flow_count, packet_in_count, byte_in_count), bands)| MeterStats {
                    meter_id,
                    flow_count,
                    packet_in_count,
                    byte_in_count,
                    duration_sec: 1,
                    duration_nsec: 2,
                    bands
                })
                .collect()
        )),
        vec((any::<u16>(), any::<u32>(), vec(band(), 0..3)), 0..3).prop_map(|meters| Answer::MeterConfig(
            meters.into_iter().map(|(flags, meter_id, bands)| MeterConfig { flags, meter_id, bands }).collect()
        )),
        any::<(u32, u32, u32, u8, u8)>().prop_map(|(max_meter, band_types, capabilities, max_bands, max_color)| {
            Answer::MeterFeatures(MeterFeatures { max_meter, band_types, capabilities, max_bands, max_color })
        }),
        vec(table_features(), 0..3).prop_map(Answer::TableFeatures),
        vec(port(), 0..4).prop_map(Answer::PortDesc),
        vec(any::<u8>(), 0..20).prop_map(|body| Answer::Unknown { type_: 99, body }),
    ]
}

pub(crate) fn flow_query() -> impl Strategy<Value = FlowQuery> {
    (any::<(u8, u32, u32, u64, u64)>(), matches()).prop_map(
        |((table, out_port, out_group, cookie, cookie_mask), matches)| FlowQuery {
            table,
            out_port,
            out_group,
            cookie,
            cookie_mask,
            matches,
        },
    )
}

pub(crate) fn query() -> impl Strategy<Value = Query> {
    prop_oneof![
        Just(Query::Desc),
        flow_query().prop_map(Query::Flow),
        flow_query().prop_map(Query::Aggregate),
        Just(Query::Table),
        any::<u32>().prop_map(Query::PortStats),
        any::<(u32, u32)>().prop_map(|(port_no, queue_id)| Query::Queue { port_no, queue_id }),
        any::<u32>().prop_map(Query::Group),
        Just(Query::GroupDesc),
        Just(Query::GroupFeatures),
        any::<u32>().prop_map(Query::Meter),
        any::<u32>().prop_map(Query::MeterConfig),
        Just(Query::MeterFeatures),
        vec(table_features(), 0..2).prop_map(Query::TableFeatures),
        Just(Query::PortDesc),
    ]
}

pub(crate) fn packet_in2() -> impl Strategy<Value = Box<NxPacketIn2>> {
    let data = || vec(any::<u8>(), 0..40);
    (
        data(),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        any::<(u8, u8)>(),
        option::of(any::<u64>()),
        matches(),
        data(),
        data(),
    )
        .prop_map(|(data, full_len, buffer_id, (table, reason), cookie, matches, userdata, continuation)| {
            let others =
                if table % 4 == 0 { vec![UnknownProperty { type_: 77, body: vec![table; 5] }] } else { vec![] };
            Box::new(NxPacketIn2 {
                data,
                full_len,
                buffer_id,
                table,
                cookie,
                reason,
                matches,
                userdata,
                continuation,
                others,
            })
        })
}

pub(crate) fn tuple() -> impl Strategy<Value = CtTuple> {
    (option::of(address()), option::of(address()), option::of(any::<(u16, u16)>()), option::of(any::<(u16, u8, u8)>()))
        .prop_map(|(src, dst, ports, icmp)| CtTuple {
            src,
            dst,
            src_port: ports.map(|ports| ports.0),
            dst_port: ports.map(|ports| ports.1),
            icmp_id: icmp.map(|icmp| icmp.0),
            icmp_type: icmp.map(|icmp| icmp.1),
            icmp_code: icmp.map(|icmp| icmp.2),
        })
}

pub(crate) fn tlv_maps() -> impl Strategy<Value = Vec<TlvMap>> {
    vec(any::<(u16, u8, u8, u16)>().prop_map(|(class, type_, len, index)| TlvMap { class, type_, len, index }), 0..4)
}

pub(crate) fn simple_body() -> impl Strategy<Value = Body> {
    let data = || vec(any::<u8>(), 0..80);
    let role = || {
        (proptest::sample::select(vec![Role::NoChange, Role::Equal, Role::Master, Role::Slave]), any::<u64>())
            .prop_map(|(role, generation_id)| RoleMessage { role, generation_id })
    };
    let config = || any::<(u16, u16)>().prop_map(|(flags, miss_send_len)| SwitchConfig { flags, miss_send_len });
    let asynchronous = || {
        any::<([u32; 2], [u32; 2], [u32; 2])>().prop_map(|(packet_in, port_status, flow_removed)| AsyncConfig {
            packet_in,
            port_status,
            flow_removed,
        })
    };
    let first = prop_oneof![
        (any::<u16>(), any::<u16>(), data()).prop_map(|(type_, code, data)| Body::Error(ErrorMessage {
            type_,
            code,
            data
        })),
        data().prop_map(Body::EchoRequest),
        data().prop_map(Body::EchoReply),
        (any::<u32>(), data()).prop_map(|(exp_type, data)| Body::Experimenter(Experimenter {
            experimenter: 0x1234,
            exp_type,
            data
        })),
        Just(Body::FeaturesRequest),
        any::<(u64, u32, u8, u8, u32)>().prop_map(|(datapath_id, n_buffers, n_tables, auxiliary_id, capabilities)| {
            Body::FeaturesReply(Features { datapath_id, n_buffers, n_tables, auxiliary_id, capabilities })
        }),
        Just(Body::GetConfigRequest),
        config().prop_map(Body::GetConfigReply),
        config().prop_map(Body::SetConfig),
        Just(Body::BarrierRequest),
        Just(Body::BarrierReply),
        any::<u32>().prop_map(Body::QueueGetConfigRequest),
        (any::<u32>(), vec(any::<(u32, u32, Option<u16>, Option<u16>)>(), 0..4)).prop_map(|(port_no, queues)| {
            let queues = queues
                .into_iter()
                .map(|(queue_id, port_no, min_rate, max_rate)| {
                    let others = vec![UnknownProperty { type_: 0xffff, body: vec![1; queue_id as usize % 19] }];
                    Queue { queue_id, port_no, min_rate, max_rate, others }
                })
                .collect();
            Body::QueueGetConfigReply(QueueConfig { port_no, queues })
        }),
        role().prop_map(Body::RoleRequest),
        role().prop_map(Body::RoleReply),
        (role(), 0u8..3).prop_map(|(RoleMessage { role, generation_id }, reason)| {
            Body::RoleStatus(RoleStatus { role, reason, generation_id })
        }),
        Just(Body::GetAsyncRequest),
        asynchronous().prop_map(Body::GetAsyncReply),
        asynchronous().prop_map(Body::SetAsync),
        any::<(u32, u16, u16)>().prop_map(|(bundle_id, type_, flags)| Body::BundleControl(BundleControl {
            bundle_id,
            type_,
            flags
        })),
        any::<(u8, u32)>().prop_map(|(table, config)| Body::TableMod(TableMod { table, config })),
    ];
    let second = prop_oneof![
        any::<u32>().prop_map(Body::NxSetPacketInFormat),
        packet_in2().prop_map(Body::NxPacketIn2),
        packet_in2().prop_map(Body::NxResume),
        any::<u16>().prop_map(Body::NxSetControllerId),
        any::<u16>().prop_map(Body::NxCtFlushZone),
        (any::<u8>(), option::of(any::<u16>()), tuple(), tuple()).prop_map(|(ip_proto, zone, original, reply)| {
            Body::NxCtFlush(Box::new(CtFlush { ip_proto, zone, original, reply }))
        }),
        (proptest::sample::select(vec![TlvCommand::Add, TlvCommand::Delete, TlvCommand::Clear]), tlv_maps())
            .prop_map(|(command, maps)| Body::NxTlvTableMod(TlvTableMod { command, maps })),
        Just(Body::NxTlvTableRequest),
        (any::<u32>(), any::<u16>(), tlv_maps()).prop_map(|(max_option_space, max_fields, maps)| {
            Body::NxTlvTableReply(TlvTable { max_option_space, max_fields, maps })
        }),
        data().prop_map(|body| Body::Unknown { type_: 99, body }),
        (any::<(u32, u16, u8, u8, u64)>(), matches(), data()).prop_map(
            |((buffer_id, total_len, reason, table, cookie), matches, data)| Body::PacketIn(PacketIn {
                buffer_id,
                total_len,
                reason,
                table,
                cookie,
                matches,
                data
            })
        ),
        (any::<u32>(), any::<u32>(), vec(action(), 0..4), data()).prop_map(|(buffer_id, in_port, actions, data)| {
            Body::PacketOut(PacketOut { buffer_id, in_port, actions, data })
        }),
        (any::<(u64, u16, u8, u8, u32, u16, u16, u64)>(), matches()).prop_map(
            |((cookie, priority, reason, table, duration_sec, idle_timeout, hard_timeout, packet_count), matches)| {
                Body::FlowRemoved(FlowRemoved {
                    cookie,
                    priority,
                    reason,
                    table,
                    duration_sec,
                    duration_nsec: 7,
                    idle_timeout,
                    hard_timeout,
                    packet_count,
                    byte_count: 8,
                    matches,
                })
            }
        ),
        (proptest::sample::select(vec![PortReason::Add, PortReason::Delete, PortReason::Modify]), port())
            .prop_map(|(reason, port)| Body::PortStatus(PortStatus { reason, port })),
        any::<(u32, [u8; 6], u32, u32, u32)>().prop_map(|(port_no, hw_addr, config, mask, advertise)| {
            Body::PortMod(PortMod { port_no, hw_addr, config, mask, advertise })
        }),
        (
            proptest::sample::select(vec![GroupCommand::Add, GroupCommand::Modify, GroupCommand::Delete]),
            any::<u32>(),
            vec(bucket(), 0..3)
        )
            .prop_map(|(command, group_id, buckets)| Body::GroupMod(GroupMod {
                command,
                type_: GroupType::Select,
                group_id,
                buckets
            })),
        (
            proptest::sample::select(vec![MeterCommand::Add, MeterCommand::Modify, MeterCommand::Delete]),
            any::<(u16, u32)>(),
            vec(band(), 0..3)
        )
            .prop_map(|(command, (flags, meter_id), bands)| Body::MeterMod(MeterMod {
                command,
                flags,
                meter_id,
                bands
            })),
        (any::<bool>(), query()).prop_map(|(more, query)| Body::MultipartRequest(MultipartRequest { more, query })),
        (any::<bool>(), answer()).prop_map(|(more, answer)| Body::MultipartReply(MultipartReply { more, answer })),
        flow_mod().prop_map(Body::FlowMod),
    ];
    prop_oneof![first, second]
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let bundled = (any::<(u32, u16, u32)>(), flow_mod()).prop_map(|((bundle_id, flags, xid), flow)| {
        let message = Box::new(Message { xid, body: Body::FlowMod(flow) });
        Body::BundleAdd(BundleAdd { bundle_id, flags, message })
    });
    let hello = (1u32..).prop_map(|versions| Body::Hello(Hello { versions: versions | 1 << 4 }));
    (any::<u32>(), prop_oneof![12 => simple_body(), 1 => bundled, 1 => hello])
        .prop_map(|(xid, body)| Message { xid, body })
}
