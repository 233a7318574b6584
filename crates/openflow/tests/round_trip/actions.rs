//! Any match, action and instruction.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fseg_openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn field() -> impl Strategy<Value = Field> {
    prop_oneof![
        6 => proptest::sample::select(Field::NAMED),
        1 => (0u8..16).prop_map(Field::Reg),
        1 => (0u8..8).prop_map(Field::XReg),
        1 => (0u8..4).prop_map(Field::XxReg),
        1 => (0u8..64).prop_map(Field::TunMetadata),
    ]
}

pub(crate) fn matches() -> impl Strategy<Value = Match> {
    vec((field(), any::<u128>(), option::of(any::<u128>())), 0..6).prop_map(|fields| {
        fields.into_iter().fold(Match::new(), |matches, (field, value, mask)| match mask {
            // An exact tunnel option means all its bytes: 16 here.
            Some(mask) => matches.with_masked(field, value, mask),
            None => matches.with(field, value),
        })
    })
}

pub(crate) fn subfield() -> impl Strategy<Value = Subfield> {
    (field(), any::<u16>(), any::<u16>()).prop_map(|(field, offset, bits)| {
        let width = Subfield::whole(field).bits.min(128);
        let offset = offset % width;
        Subfield::new(field, offset, 1 + bits % (width - offset).min(64))
    })
}

pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits | 1 << 127))),
    ]
}

pub(crate) fn nat() -> impl Strategy<Value = NatAction> {
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

pub(crate) fn leaf() -> impl Strategy<Value = Action> {
    prop_oneof![3 => old_leaf(), 1 => choosing_leaf()]
}

/// Bits of a field with a short header, for the actions that have no room for an experimenter's id.
pub(crate) fn short_subfield() -> impl Strategy<Value = Subfield> {
    subfield().prop_filter("short header", |dst| dst.field.experimenter().is_none())
}

pub(crate) fn choosing_leaf() -> impl Strategy<Value = Action> {
    let bit = || subfield().prop_map(|dst| Subfield { bits: 1, ..dst });
    let directions = [SampleDirection::Default, SampleDirection::Ingress, SampleDirection::Egress];
    prop_oneof![
        (option::of(0u16..0xff00), any::<u8>()).prop_map(|(port, table)| Action::ResubmitCt { port, table }),
        (1u16.., any::<[u32; 3]>(), 0u16..0xff00, proptest::sample::select(directions.to_vec())).prop_map(
            |(probability, [collector_set, domain, point], port, direction)| Action::SampleAt {
                probability,
                collector_set,
                domain,
                point,
                port,
                direction
            }
        ),
        vec(any::<u16>(), 1..5).prop_map(Action::DecNwTtlFor),
        (any::<u16>(), bit()).prop_map(|(len, dst)| Action::CheckPktLarger { len, dst }),
        (0u16..7, any::<u16>(), 0u16..4, any::<u16>(), any::<u32>(), short_subfield()).prop_map(
            |(fields, basis, algorithm, max_link, arg, dst)| Action::Multipath(MultipathAction {
                fields,
                basis,
                algorithm,
                max_link,
                arg,
                dst
            })
        ),
        (0u16..7, any::<u16>(), 0u16..2, option::of(short_subfield()), vec(0u16..0xff00, 0..5)).prop_map(
            |(fields, basis, algorithm, dst, members)| Action::Members(MembersAction {
                fields,
                basis,
                algorithm,
                dst,
                members
            })
        ),
        any::<(u16, u16)>().prop_map(|(idle, hard)| Action::FinTimeout { idle, hard }),
        (0u16..0xff00, any::<u32>()).prop_map(|(port, max_len)| Action::OutputTrunc { port, max_len }),
        (0u8..64).prop_map(|option| Action::DeleteField(Field::TunMetadata(option))),
    ]
}

pub(crate) fn old_leaf() -> impl Strategy<Value = Action> {
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
        Just(Action::PopQueue),
        (1u16.., any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(probability, collector_set, domain, point)| {
            Action::Sample { probability, collector_set, domain, point }
        }),
        // As padded as it comes back from the wire.
        (0usize..4).prop_map(|words| Action::Note(vec![7; 6 + 8 * words])),
        learn().prop_map(Action::Learn),
    ]
}

pub(crate) fn learn() -> impl Strategy<Value = LearnAction> {
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
    let result = option::of(subfield().prop_map(|dst| Subfield { bits: 1, ..dst }));
    let limit = (prop_oneof![Just(0), any::<u32>()], result);
    (any::<(u16, u16, u16, u64)>(), 0u16..4, any::<u8>(), any::<(u16, u16)>(), vec(spec, 0..4), limit).prop_map(
        |(
            (idle_timeout, hard_timeout, priority, cookie),
            flags,
            table,
            (fin_idle_timeout, fin_hard_timeout),
            specs,
            (limit, result),
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
                limit,
                result,
                specs,
            }
        },
    )
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
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

pub(crate) fn instructions() -> impl Strategy<Value = Vec<Instruction>> {
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
