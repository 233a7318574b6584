//! Actions and instructions that Open vSwitch accepts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fseg_openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Fields that can be written.
fn writable() -> impl Strategy<Value = Field> {
    select(vec![
        Field::Metadata,
        Field::EthDst,
        Field::EthSrc,
        Field::Reg(1),
        Field::Reg(15),
        Field::XReg(2),
        Field::XxReg(1),
        Field::TunnelId,
        Field::TunIpv4Dst,
        Field::TunIpv6Src,
        Field::TunGbpId,
        Field::TunGbpFlags,
        Field::PktMark,
        Field::CtMark,
        Field::CtLabel,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::Ipv6Src,
        Field::Ipv6Dst,
        Field::Ipv6Flabel,
        Field::IpDscp,
        Field::IpEcn,
        Field::IpTtl,
        Field::TcpSrc,
        Field::TcpDst,
        Field::UdpSrc,
        Field::UdpDst,
        Field::SctpSrc,
        Field::SctpDst,
        Field::Icmpv4Type,
        Field::Icmpv4Code,
        Field::Icmpv6Type,
        Field::Icmpv6Code,
        Field::Ipv6NdTarget,
        Field::Ipv6NdSll,
        Field::Ipv6NdTll,
        Field::ArpOp,
        Field::ArpSpa,
        Field::ArpTpa,
        Field::ArpSha,
        Field::ArpTha,
        Field::MplsLabel,
        Field::MplsTc,
        Field::MplsTtl,
        Field::VlanVid,
        Field::VlanPcp,
    ])
}

fn register() -> impl Strategy<Value = Subfield> {
    (0u8..16, 0u16..32, 1u16..=32)
        .prop_map(|(register, offset, bits)| Subfield::new(Field::Reg(register), offset, bits.min(32 - offset)))
}

fn readable() -> impl Strategy<Value = Subfield> {
    (writable(), any::<u16>(), any::<u16>()).prop_map(|(field, offset, bits)| {
        let width = Subfield::whole(field).bits;
        let offset = offset % width;
        Subfield::new(field, offset, 1 + bits % (width - offset).min(64))
    })
}

fn short_port() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 1u16..0xff00, 1 => Just(0xfffe)]
}

fn output_port() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 1u32..0xff00,
        1 => select(vec![port::IN_PORT, port::LOCAL, port::NORMAL, port::FLOOD, port::ALL, port::TABLE])
    ]
}

pub(crate) fn v4() -> impl Strategy<Value = IpAddr> {
    (1u32..0xf000_0000).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
}

fn v6() -> impl Strategy<Value = IpAddr> {
    any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits | 0x2001 << 112)))
}

fn nat() -> impl Strategy<Value = NatAction> {
    let addresses = prop_oneof![(v4(), v4()), (v6(), v6())];
    (
        prop_oneof![Just(NatKind::Src), Just(NatKind::Dst)],
        option::of((addresses, any::<bool>(), option::of((1u16..60_000, option::of(60_000u16..))))),
        0u8..4,
        any::<bool>(),
    )
        .prop_map(|(kind, range, way, persistent)| {
            let Some(((a, b), two, ports)) = range else {
                return NatAction { kind: Some(kind), ..NatAction::default() };
            };
            let (min, max) = if a <= b { (a, b) } else { (b, a) };
            NatAction {
                kind: Some(kind),
                min: Some(min),
                max: (two && min != max).then_some(max),
                proto_min: ports.map(|ports| ports.0),
                proto_max: ports.and_then(|ports| ports.1),
                persistent,
                hash: way == 1,
                random: way == 2,
            }
        })
}

fn ct() -> impl Strategy<Value = Action> {
    let exec = prop_oneof![
        any::<u32>().prop_map(|mark| Action::set_field(Field::CtMark, mark)),
        any::<(u128, u128)>().prop_map(|(label, mask)| Action::set_field_masked(Field::CtLabel, label, mask | 1)),
        (register()).prop_map(|src| Action::Move { src, dst: Subfield::new(Field::CtMark, 0, src.bits) }),
        any::<u16>().prop_map(|value| Action::Load { dst: Subfield::new(Field::CtMark, 3, 16), value: value.into() }),
    ];
    let zone = prop_oneof![
        any::<u16>().prop_map(CtZone::Immediate),
        (0u8..16, 0u16..=16).prop_map(|(n, offset)| CtZone::Field(Subfield::new(Field::Reg(n), offset, 16)))
    ];
    (
        any::<bool>(),
        any::<bool>(),
        zone,
        option::of(0u8..254),
        select(vec![0u16, 21, 69]),
        option::of(nat()),
        vec(exec, 0..3),
    )
        .prop_map(|(commit, force, zone, table, alg, nat, exec)| {
            let nat = if commit { nat } else { nat.map(|_| NatAction::default()) };
            let exec = nat.map(Action::Nat).into_iter().chain(if commit { exec } else { vec![] }).collect();
            Action::Ct(CtAction {
                commit,
                force: force && commit,
                zone,
                table,
                alg: if commit { alg } else { 0 },
                exec,
            })
        })
}

fn learn() -> impl Strategy<Value = Action> {
    let spec = (register(), register(), any::<u64>(), 0u8..5).prop_map(|(a, b, value, kind)| {
        let bits = a.bits.min(b.bits);
        let (a, b) = (Subfield { bits, ..a }, Subfield { bits, ..b });
        let value = value & (1u64 << bits).wrapping_sub(1);
        let len = 2 * usize::from(bits).div_ceil(16);
        let constant = LearnSource::Immediate(value.to_be_bytes()[8 - len..].to_vec());
        let (source, destination) = match kind {
            0 => (LearnSource::Field(a), LearnDestination::Match(b)),
            1 => (constant, LearnDestination::Match(b)),
            2 => (LearnSource::Field(a), LearnDestination::Load(b)),
            3 => (constant, LearnDestination::Load(b)),
            _ => (LearnSource::Field(a), LearnDestination::Output),
        };
        LearnSpec { bits, source, destination }
    });
    let result = register().prop_map(|dst| Subfield { bits: 1, ..dst });
    let numbers = any::<(u16, u16, u16, u64, u16, u16)>();
    (numbers, 0u16..4, 0u8..254, vec(spec, 0..4), prop_oneof![Just(0), any::<u32>()], option::of(result)).prop_map(
        |((idle_timeout, hard_timeout, priority, cookie, fin_idle, fin_hard), flags, table, specs, limit, result)| {
            Action::Learn(LearnAction {
                idle_timeout,
                hard_timeout,
                priority,
                cookie,
                flags,
                table,
                fin_idle_timeout: fin_idle,
                fin_hard_timeout: fin_hard,
                limit,
                result: if limit == 0 { None } else { result },
                specs,
            })
        },
    )
}

fn leaf() -> impl Strategy<Value = Action> {
    let directions = vec![SampleDirection::Default, SampleDirection::Ingress, SampleDirection::Egress];
    let first = prop_oneof![
        output_port().prop_map(Action::output),
        any::<u16>().prop_map(|max_len| Action::Output { port: port::CONTROLLER, max_len }),
        (0u32..0xffff_ff00).prop_map(Action::Group),
        any::<u32>().prop_map(Action::SetQueue),
        select(vec![0x8100u16, 0x88a8]).prop_map(Action::PushVlan),
        Just(Action::PopVlan),
        select(vec![0x8847u16, 0x8848]).prop_map(Action::PushMpls),
        any::<u16>().prop_map(Action::PopMpls),
        any::<u8>().prop_map(Action::SetMplsTtl),
        Just(Action::DecMplsTtl),
        any::<u8>().prop_map(Action::SetNwTtl),
        Just(Action::DecNwTtl),
        vec(any::<u16>(), 1..4).prop_map(Action::DecNwTtlFor),
        (writable(), any::<u128>()).prop_map(|(field, value)| {
            let value = match field {
                Field::VlanVid => value & 0xfff | 0x1000,
                Field::ArpOp => value & 0xff,
                _ => value,
            };
            Action::set_field(field, value)
        }),
        (writable(), any::<u128>(), any::<u128>()).prop_map(|(field, value, mask)| {
            let whole = matches!(field, Field::VlanVid | Field::ArpOp);
            let mask = if whole { u128::MAX } else { mask | 1 };
            let value = match field {
                Field::VlanVid => value & 0xfff | 0x1000,
                Field::ArpOp => value & 0xff,
                _ => value,
            };
            Action::set_field_masked(field, value, mask)
        }),
        (readable(), register()).prop_map(|(src, dst)| {
            let bits = src.bits.min(dst.bits);
            Action::Move { src: Subfield { bits, ..src }, dst: Subfield { bits, ..dst } }
        }),
        (readable(), any::<u64>()).prop_map(|(dst, value)| {
            let value = if dst.bits == 64 { value } else { value & ((1 << dst.bits) - 1) };
            Action::Load { dst, value }
        }),
        readable().prop_map(Action::Push),
        readable().prop_map(Action::Pop),
        register().prop_map(|src| Action::OutputReg { src, max_len: 0xffff }),
    ];
    let second = prop_oneof![
        (option::of(short_port()), option::of(0u8..255)).prop_map(|(port, table)| Action::Resubmit { port, table }),
        (option::of(short_port()), 0u8..255).prop_map(|(port, table)| Action::ResubmitCt { port, table }),
        (any::<u16>(), any::<u16>(), 0u8..6, vec(any::<u8>(), 0..20), any::<bool>(), option::of(any::<u32>()))
            .prop_map(|(max_len, controller_id, reason, userdata, pause, meter_id)| {
                Action::Controller(ControllerAction { max_len, controller_id, reason, userdata, pause, meter_id })
            }),
        ct(),
        Just(Action::CtClear),
        learn(),
        (1u16.., any::<(u32, u32, u32)>()).prop_map(|(probability, (collector_set, domain, point))| {
            Action::Sample { probability, collector_set, domain, point }
        }),
        (1u16.., any::<(u32, u32, u32)>(), 1u16..0xff00, select(directions)).prop_map(
            |(probability, (collector_set, domain, point), port, direction)| Action::SampleAt {
                probability,
                collector_set,
                domain,
                point,
                port,
                direction
            }
        ),
        (0usize..3).prop_map(|words| Action::Note(vec![7; 6 + 8 * words])),
        Just(Action::PopQueue),
        Just(Action::Exit),
        (any::<u16>(), register())
            .prop_map(|(len, dst)| Action::CheckPktLarger { len, dst: Subfield { bits: 1, ..dst } }),
        (0u16..7, any::<u16>(), 0u16..4, 0u16..300, any::<u32>(), 0u8..16).prop_map(
            |(fields, basis, algorithm, max_link, arg, n)| Action::Multipath(MultipathAction {
                fields,
                basis,
                algorithm,
                max_link,
                arg,
                dst: Subfield::new(Field::Reg(n), 3, 16)
            })
        ),
        (0u16..7, any::<u16>(), 0u16..2, option::of(0u8..16), vec(1u16..0xff00, 1..5)).prop_map(
            |(fields, basis, algorithm, dst, members)| Action::Members(MembersAction {
                fields,
                basis,
                algorithm,
                dst: dst.map(|n| Subfield::new(Field::Reg(n), 0, 16)),
                members
            })
        ),
        any::<(u16, u16)>().prop_map(|(idle, hard)| Action::FinTimeout { idle, hard }),
        (short_port(), 14u32..).prop_map(|(port, max_len)| Action::OutputTrunc { port, max_len }),
        (0u8..64).prop_map(|option| Action::DeleteField(Field::TunMetadata(option))),
    ];
    prop_oneof![first, second]
}

pub(crate) fn sane_actions() -> impl Strategy<Value = Vec<Action>> {
    let clone = vec(leaf(), 1..3).prop_map(Action::Clone);
    vec(prop_oneof![12 => leaf(), 1 => clone], 1..4)
}

pub(crate) fn sane_instructions() -> impl Strategy<Value = Vec<Instruction>> {
    let written = prop_oneof![
        (1u32..0xff00).prop_map(Action::output),
        Just(Action::PopVlan),
        (0u32..99).prop_map(Action::Group),
        any::<u64>().prop_map(|mac| Action::set_field(Field::EthDst, mac)),
    ];
    let conjunctions = vec((any::<u32>(), 1u8..=5), 1..3).prop_map(|list| {
        let clauses = list.into_iter().map(|(id, clause)| Action::Conjunction { id, clause, of: 5 });
        vec![Instruction::ApplyActions(clauses.collect())]
    });
    let usual = (
        option::of(1u32..0xffff_0000),
        option::of(sane_actions()),
        any::<bool>(),
        option::of(vec(written, 1..3)),
        option::of(any::<(u64, u64)>()),
        option::of(200u8..254),
    )
        .prop_map(|(meter, apply, clear, write, metadata, goto)| {
            let mut list = Vec::new();
            list.extend(meter.map(Instruction::Meter));
            list.extend(apply.map(Instruction::ApplyActions));
            list.extend(clear.then_some(Instruction::ClearActions));
            list.extend(write.map(Instruction::WriteActions));
            list.extend(metadata.map(|(value, mask)| Instruction::WriteMetadata { value: value & mask, mask }));
            list.extend(goto.map(Instruction::GotoTable));
            list
        });
    prop_oneof![9 => usual, 1 => conjunctions]
}

/// Whether a field is written in part anywhere within.
pub(crate) fn writes_in_part(action: &Action) -> bool {
    match action {
        Action::SetField { mask, .. } => mask.is_some(),
        Action::Ct(ct) => ct.exec.iter().any(writes_in_part),
        Action::Clone(actions) => actions.iter().any(writes_in_part),
        _ => false,
    }
}

/// Whether an action needs nothing of the match but what it has.
pub(crate) fn fits(action: &Action, tcp: bool) -> bool {
    let free = |field: &Field| {
        let of_tcp = matches!(field, Field::Ipv4Src | Field::Ipv4Dst | Field::TcpSrc | Field::TcpDst | Field::IpEcn);
        // Marks and labels of connections are written within ct only.
        let vlan = matches!(field, Field::VlanVid | Field::VlanPcp | Field::CtMark | Field::CtLabel);
        !vlan && (field.prerequisites().is_empty() || tcp && of_tcp)
    };
    match action {
        Action::SetField { field, .. } => free(field),
        Action::Move { src, dst } => free(&src.field) && free(&dst.field),
        Action::Load { dst, .. } => free(&dst.field),
        Action::Push(subfield) | Action::Pop(subfield) => free(&subfield.field),
        Action::PushMpls(_) | Action::PopMpls(_) | Action::SetMplsTtl(_) | Action::DecMplsTtl => false,
        Action::PushVlan(_) | Action::PopVlan => false,
        Action::SetNwTtl(_) | Action::DecNwTtl | Action::DecNwTtlFor(_) => tcp,
        Action::FinTimeout { .. } | Action::Ct(_) | Action::ResubmitCt { .. } | Action::CtClear => tcp,
        Action::Clone(actions) => actions.iter().all(|action| fits(action, tcp)),
        // ovs-ofctl prints what it does not read: resubmit(,).
        Action::Resubmit { port: None, table: None } | Action::DeleteField(_) => false,
        _ => true,
    }
}
