//! Whatever can be said survives bytes and text; whatever comes in, nothing panics.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fseg_openflow::action::ControllerAction;
use fseg_openflow::group::{GroupDesc, GroupFeatures, GroupStats};
use fseg_openflow::meter::{MeterConfig, MeterFeatures, MeterStats};
use fseg_openflow::nicira::{CtFlush, CtTuple, TlvCommand, TlvMap, TlvTable, TlvTableMod};
use fseg_openflow::queue::{Queue, QueueConfig, QueueStats};
use fseg_openflow::switch::Description;
use fseg_openflow::table::{TableFeatures, TableMod, TableProperty, TableStats};
use fseg_openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn field() -> impl Strategy<Value = Field> {
    prop_oneof![
        6 => proptest::sample::select(Field::NAMED),
        1 => (0u8..16).prop_map(Field::Reg),
        1 => (0u8..8).prop_map(Field::XReg),
        1 => (0u8..4).prop_map(Field::XxReg),
        1 => (0u8..64).prop_map(Field::TunMetadata),
    ]
}

fn matches() -> impl Strategy<Value = Match> {
    vec((field(), any::<u128>(), option::of(any::<u128>())), 0..6).prop_map(|fields| {
        fields.into_iter().fold(Match::new(), |matches, (field, value, mask)| match mask {
            // An exact tunnel option means all its bytes: 16 here.
            Some(mask) => matches.with_masked(field, value, mask),
            None => matches.with(field, value),
        })
    })
}

fn subfield() -> impl Strategy<Value = Subfield> {
    (field(), any::<u16>(), any::<u16>()).prop_map(|(field, offset, bits)| {
        let width = Subfield::whole(field).bits.min(128);
        let offset = offset % width;
        Subfield::new(field, offset, 1 + bits % (width - offset).min(64))
    })
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits | 1 << 127))),
    ]
}

fn nat() -> impl Strategy<Value = NatAction> {
    (option::of(any::<bool>()), option::of(address()), option::of(any::<(u16, u16)>()), any::<(bool, bool, bool)>())
        .prop_map(|(kind, min, ports, (persistent, hash, random))| {
            let kind = kind.map(|src| if src { NatKind::Src } else { NatKind::Dst });
            let min = kind.and(min);
            let ports = min.and(ports);
            NatAction {
                kind,
                min,
                max: min,
                proto_min: ports.map(|(min, _)| min),
                proto_max: ports.map(|(_, max)| max),
                persistent,
                hash,
                random,
            }
        })
}

fn leaf() -> impl Strategy<Value = Action> {
    prop_oneof![
        (any::<u32>(), any::<u16>()).prop_map(|(port, max_len)| Action::Output { port, max_len }),
        any::<u32>().prop_map(Action::Group),
        any::<u32>().prop_map(Action::SetQueue),
        any::<u16>().prop_map(Action::PushVlan),
        Just(Action::PopVlan),
        any::<u16>().prop_map(Action::PushMpls),
        any::<u16>().prop_map(Action::PopMpls),
        any::<u8>().prop_map(Action::SetMplsTtl),
        Just(Action::DecMplsTtl),
        any::<u8>().prop_map(Action::SetNwTtl),
        Just(Action::DecNwTtl),
        Just(Action::CopyTtlOut),
        Just(Action::CopyTtlIn),
        any::<u16>().prop_map(Action::PushPbb),
        Just(Action::PopPbb),
        (field(), any::<u128>()).prop_map(|(field, value)| Action::set_field(field, value)),
        (field(), any::<u128>(), any::<u128>())
            .prop_map(|(field, value, mask)| Action::set_field_masked(field, value, mask)),
        (subfield(), subfield()).prop_map(|(src, dst)| {
            let bits = src.bits.min(dst.bits);
            Action::Move { src: Subfield { bits, ..src }, dst: Subfield { bits, ..dst } }
        }),
        // Loads of experimenter fields do not exist: the action has room for a short header only.
        (subfield().prop_filter("short header", |dst| dst.field.experimenter().is_none()), any::<u64>()).prop_map(
            |(dst, value)| Action::Load {
                dst,
                value: value & dst.mask().checked_shr(dst.offset.into()).unwrap_or(0) as u64
            }
        ),
        subfield().prop_map(Action::Push),
        subfield().prop_map(Action::Pop),
        subfield().prop_map(|src| Action::OutputReg { src, max_len: 0xffff }),
        (option::of(0u16..0xff00), option::of(0u8..0xff)).prop_map(|(port, table)| Action::Resubmit { port, table }),
        (any::<u32>(), 1u8..=64).prop_map(|(id, clause)| Action::Conjunction { id, clause, of: 64 }),
        (any::<u16>(), any::<u16>(), 0u8..6, vec(any::<u8>(), 0..20), any::<bool>(), option::of(any::<u32>()))
            .prop_map(|(max_len, controller_id, reason, userdata, pause, meter_id)| {
                Action::Controller(ControllerAction { max_len, controller_id, reason, userdata, pause, meter_id })
            }),
        nat().prop_map(Action::Nat),
        Just(Action::CtClear),
        Just(Action::Exit),
        (1u16.., any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(probability, collector_set, domain, point)| {
            Action::Sample { probability, collector_set, domain, point }
        }),
        // As padded as it comes back from the wire.
        (0usize..4).prop_map(|words| Action::Note(vec![7; 6 + 8 * words])),
        learn().prop_map(Action::Learn),
    ]
}

fn learn() -> impl Strategy<Value = LearnAction> {
    let spec = (subfield(), any::<u64>(), 0u8..5).prop_map(|(dst, value, kind)| {
        let bytes = (u128::from(value) & (dst.mask() >> dst.offset)).to_be_bytes();
        let constant = LearnSource::Immediate(bytes[16 - 2 * usize::from(dst.bits).div_ceil(16)..].to_vec());
        let (source, destination) = match kind {
            0 => (LearnSource::Field(dst), LearnDestination::Match(dst)),
            1 => (constant, LearnDestination::Match(dst)),
            2 => (LearnSource::Field(dst), LearnDestination::Load(dst)),
            3 => (constant, LearnDestination::Load(dst)),
            _ => (LearnSource::Field(dst), LearnDestination::Output),
        };
        LearnSpec { bits: dst.bits, source, destination }
    });
    (any::<(u16, u16, u16, u64)>(), 0u16..4, any::<u8>(), any::<(u16, u16)>(), vec(spec, 0..4)).prop_map(
        |(
            (idle_timeout, hard_timeout, priority, cookie),
            flags,
            table,
            (fin_idle_timeout, fin_hard_timeout),
            specs,
        )| {
            LearnAction {
                idle_timeout,
                hard_timeout,
                priority,
                cookie,
                flags,
                table,
                fin_idle_timeout,
                fin_hard_timeout,
                specs,
            }
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        let zone = prop_oneof![
            any::<u16>().prop_map(CtZone::Immediate),
            // A zone field has a short header; the one of all zeros would read as a number.
            subfield().prop_filter("short header", |zone| zone.field.experimenter().is_none()).prop_map(CtZone::Field)
        ];
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Action::Clone),
            (any::<(bool, bool)>(), zone, option::of(0u8..0xff), any::<u16>(), vec(inner, 0..3)).prop_map(
                |((commit, force), zone, table, alg, exec)| Action::Ct(CtAction {
                    commit,
                    force,
                    zone,
                    table,
                    alg,
                    exec
                })
            ),
        ]
    })
}

fn instructions() -> impl Strategy<Value = Vec<Instruction>> {
    let metadata = any::<(u64, u64)>().prop_map(|(value, mask)| (value & mask, mask));
    (
        option::of(any::<u32>()),
        option::of(vec(action(), 1..4)),
        any::<bool>(),
        option::of(vec(action(), 0..3)),
        option::of(metadata),
        option::of(any::<u8>()),
    )
        .prop_map(|(meter, apply, clear, write, metadata, goto)| {
            let mut list = Vec::new();
            list.extend(meter.map(Instruction::Meter));
            list.extend(apply.map(Instruction::ApplyActions));
            list.extend(clear.then_some(Instruction::ClearActions));
            list.extend(write.map(Instruction::WriteActions));
            list.extend(metadata.map(|(value, mask)| Instruction::WriteMetadata { value, mask }));
            list.extend(goto.map(Instruction::GotoTable));
            list
        })
}

fn flow_mod() -> impl Strategy<Value = FlowMod> {
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

fn flow_stats() -> impl Strategy<Value = FlowStats> {
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

fn port() -> impl Strategy<Value = Port> {
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

fn bucket() -> impl Strategy<Value = Bucket> {
    (any::<(u16, u32, u32)>(), vec(action(), 0..3)).prop_map(|((weight, watch_port, watch_group), actions)| Bucket {
        weight,
        watch_port,
        watch_group,
        actions,
    })
}

fn band() -> impl Strategy<Value = Band> {
    let body = vec(any::<u8>(), 0..8);
    (0u8..3, any::<(u32, u32, u8)>(), body).prop_map(|(kind, (rate, burst, precedence), body)| match kind {
        0 => Band::Drop { rate, burst },
        1 => Band::DscpRemark { rate, burst, precedence },
        _ => Band::Unknown { type_: 0xffff, rate, burst, body },
    })
}

fn table_features() -> impl Strategy<Value = TableFeatures> {
    let fields = || {
        vec((field().prop_filter("fixed length", |field| !matches!(field, Field::TunMetadata(_))), any::<bool>()), 0..4)
    };
    let property = prop_oneof![
        (any::<bool>(), vec(0u16..7, 0..4)).prop_map(|(miss, types)| TableProperty::Instructions { miss, types }),
        (any::<bool>(), vec(any::<u8>(), 0..9)).prop_map(|(miss, tables)| TableProperty::NextTables { miss, tables }),
        (any::<bool>(), vec(any::<u16>(), 0..4)).prop_map(|(miss, types)| TableProperty::WriteActions { miss, types }),
        (any::<bool>(), vec(any::<u16>(), 0..4)).prop_map(|(miss, types)| TableProperty::ApplyActions { miss, types }),
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

fn pairs() -> impl Strategy<Value = Vec<(u64, u64)>> {
    vec(any::<(u64, u64)>(), 0..4)
}

fn answer() -> impl Strategy<Value = Answer> {
    let group_type = || {
        proptest::sample::select(vec![GroupType::All, GroupType::Select, GroupType::Indirect, GroupType::FastFailover])
    };
    prop_oneof![
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
        vec(any::<u8>(), 0..20).prop_map(|body| Answer::Unknown { type_: 0xffff, body }),
    ]
}

fn flow_query() -> impl Strategy<Value = FlowQuery> {
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

fn query() -> impl Strategy<Value = Query> {
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

fn packet_in2() -> impl Strategy<Value = Box<NxPacketIn2>> {
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
            Box::new(NxPacketIn2 { data, full_len, buffer_id, table, cookie, reason, matches, userdata, continuation })
        })
}

fn tuple() -> impl Strategy<Value = CtTuple> {
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

fn tlv_maps() -> impl Strategy<Value = Vec<TlvMap>> {
    vec(any::<(u16, u8, u8, u16)>().prop_map(|(class, type_, len, index)| TlvMap { class, type_, len, index }), 0..4)
}

fn simple_body() -> impl Strategy<Value = Body> {
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
                .map(|(queue_id, port_no, min_rate, max_rate)| Queue { queue_id, port_no, min_rate, max_rate })
                .collect();
            Body::QueueGetConfigReply(QueueConfig { port_no, queues })
        }),
        role().prop_map(Body::RoleRequest),
        role().prop_map(Body::RoleReply),
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

fn message() -> impl Strategy<Value = Message> {
    let bundled = (any::<(u32, u16, u32)>(), flow_mod()).prop_map(|((bundle_id, flags, xid), flow)| {
        let message = Box::new(Message { xid, body: Body::FlowMod(flow) });
        Body::BundleAdd(BundleAdd { bundle_id, flags, message })
    });
    let hello = (1u32..).prop_map(|versions| Body::Hello(Hello { versions: versions | 1 << 4 }));
    (any::<u32>(), prop_oneof![12 => simple_body(), 1 => bundled, 1 => hello])
        .prop_map(|(xid, body)| Message { xid, body })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn bytes_keep_every_message(message in message()) {
        let bytes = message.encode();
        prop_assert_eq!(Message::decode(&bytes), Ok(message.clone()));
        let mut after = vec![1, 2, 3];
        message.encode_into(&mut after);
        prop_assert_eq!(&after[3..], &bytes[..]);
        prop_assert_eq!(bytes.len(), usize::from(u16::from_be_bytes([bytes[2], bytes[3]])));
        prop_assert!(!message.to_string().is_empty());
    }

    #[test]
    fn a_cut_message_is_refused_at_every_length(message in message()) {
        let bytes = message.encode();
        for len in 0..bytes.len() {
            prop_assert!(Message::decode(&bytes[..len]).is_err(), "at {len}");
            // Also with a header that admits to the shorter length: then anything may come of it but a panic.
            if len >= 8 {
                let mut cut = bytes[..len].to_vec();
                cut[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                if let Ok(message) = Message::decode(&cut) {
                    let _ = message.to_string();
                }
            }
        }
    }

    #[test]
    fn a_changed_byte_never_panics(message in message(), changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = message.encode();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(message) = Message::decode(&bytes) {
            // What was accepted can be said again and reads the same.
            let again = message.encode();
            prop_assert_eq!(Message::decode(&again).map(|message| message.encode()), Ok(again));
            let _ = message.to_string();
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}") {
        let _ = parse_flow(&text);
        let _ = parse_flow(&format!("{text},actions={text}"));
        let _ = parse_flow(&format!("ip,actions=ct({text}),learn({text}),{text}"));
    }
}

/// Fields whose text stands for exactly one field whatever else is matched.
fn plain_matches() -> impl Strategy<Value = Match> {
    let plain = vec![
        Field::InPort,
        Field::Metadata,
        Field::EthDst,
        Field::EthSrc,
        Field::Reg(3),
        Field::XReg(5),
        Field::XxReg(2),
        Field::TunnelId,
        Field::TunIpv4Src,
        Field::TunIpv6Dst,
        Field::CtMark,
        Field::CtLabel,
        Field::PktMark,
        Field::TunGbpId,
        Field::CtZone,
        Field::ConjId,
    ];
    let protocol = proptest::sample::select(vec![
        Match::new(),
        Match::new().with(Field::EthType, 0x88ccu16),
        Match::new().with(Field::EthType, 0x0800u16).with_masked(Field::Ipv4Src, 0x0a01_0000u32, 0xffff_0000u32),
        Match::new().with(Field::EthType, 0x0800u16).with(Field::IpProto, 6u8).with(Field::TcpDst, 80u8),
        Match::new().with(Field::EthType, 0x86ddu16).with(Field::IpProto, 17u8).with_masked(
            Field::UdpSrc,
            80u8,
            0xf0u8,
        ),
        Match::new().with(Field::EthType, 0x86ddu16).with(Field::IpProto, 58u8).with(Field::Icmpv6Type, 135u8),
        Match::new().with(Field::EthType, 0x0806u16).with(Field::ArpOp, 1u8).with(Field::ArpSpa, 5u8),
        Match::new().with(Field::EthType, 0x0800u16).with(Field::IpDscp, 40u8).with(Field::CtState, 0x21u8),
        Match::new().with(Field::VlanVid, 0x1005u16).with(Field::VlanPcp, 3u8),
        Match::new().with_masked(Field::VlanVid, 0x1000u16, 0x1000u16).with_masked(Field::CtState, 0x20u8, 0x29u8),
    ]);
    let maskable = |field: Field| !matches!(field, Field::InPort | Field::CtZone | Field::ConjId);
    (protocol, vec((proptest::sample::select(plain), any::<u128>(), option::of(any::<u128>())), 0..4)).prop_map(
        move |(protocol, fields)| {
            fields.into_iter().fold(protocol, |matches, (field, value, mask)| match mask {
                Some(mask) if maskable(field) => matches.with_masked(field, value, mask),
                _ => matches.with(field, value),
            })
        },
    )
}

/// Actions whose text says everything about them.
fn plain_action() -> impl Strategy<Value = Action> {
    action().prop_map(tell_all).prop_filter_map("text says less", |action| action)
}

fn tell_all(action: Action) -> Option<Action> {
    Some(match action {
        Action::Output { port, .. } => Action::output(port),
        Action::SetField { field: Field::ActsetOutput | Field::InPort | Field::InPort16, .. } => return None,
        // The text of these is a choice of words that not every pattern of bits has.
        Action::SetField { field, .. }
            if matches!(
                field,
                Field::CtState | Field::TcpFlags | Field::TunFlags | Field::IpFrag | Field::InPhyPort
            ) =>
        {
            return None;
        }
        Action::SetField { mask: Some(0), .. } => return None,
        Action::Controller(controller) => {
            let plain = ControllerAction { max_len: controller.max_len, ..ControllerAction::default() };
            if controller == plain {
                Action::Output { port: port::CONTROLLER, max_len: plain.max_len }
            } else {
                Action::Controller(controller)
            }
        }
        Action::Nat(_) | Action::Learn(_) => return None,
        Action::Clone(actions) => Action::Clone(actions.into_iter().filter_map(tell_all).collect()),
        Action::Ct(ct) => {
            // Text puts translation first.
            let exec: Vec<Action> = ct.exec.iter().cloned().filter_map(tell_all).collect();
            let nat = ct.exec.into_iter().filter(|action| matches!(action, Action::Nat(_)));
            Action::Ct(CtAction { exec: nat.chain(exec).collect(), ..ct })
        }
        action => action,
    })
}

fn by_port(matches: &Match) -> bool {
    // Some reserved numbers have no name, and those of 16 bits mean reserved ports in text.
    matches.exact(Field::InPort).is_none_or(|port| !(0xff00..0x1_0000).contains(&port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn text_keeps_matches_and_actions(
        matches in plain_matches().prop_filter("ports", by_port),
        actions in vec(plain_action(), 1..4),
        (cookie, table, priority, idle_timeout) in any::<(u64, u8, u16, u16)>(),
        flags in 0u16..32,
    ) {
        let instructions = vec![Instruction::ApplyActions(actions), Instruction::GotoTable(9)];
        let row = FlowStats { cookie, table, priority, idle_timeout, flags, matches, instructions, ..FlowStats::default() };
        for text in [format!("{row}"), format!("{row:#}")] {
            let flow = parse_flow(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert_eq!(&flow.matches, &row.matches, "{}", text);
            prop_assert_eq!(&flow.instructions, &row.instructions, "{}", text);
            prop_assert_eq!((flow.cookie, flow.table, flow.priority), (cookie, table, priority), "{}", text);
            prop_assert_eq!((flow.idle_timeout, flow.flags), (idle_timeout, flags), "{}", text);
        }
    }

    #[test]
    fn text_keeps_translations_and_learning(nat in nat(), learn in learn()) {
        let ct = Action::Ct(CtAction { commit: true, exec: vec![Action::Nat(nat)], ..CtAction::default() });
        let learn = LearnAction {
            specs: learn
                .specs
                .into_iter()
                // A constant for a whole field is written in the field's own way, which not every constant has.
                .filter(|spec| !matches!((&spec.source, &spec.destination), (LearnSource::Immediate(_), LearnDestination::Match(_))))
                .collect(),
            ..learn
        };
        for action in [ct, Action::Learn(learn)] {
            let text = format!("actions={action}");
            let flow = parse_flow(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert_eq!(flow.instructions, vec![Instruction::ApplyActions(vec![action])], "{}", text);
        }
    }
}
