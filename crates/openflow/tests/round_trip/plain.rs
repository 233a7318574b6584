//! What text says completely: some matches share names or shorthands, some actions say less in text than in bytes.

use fseg_openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::actions::action;

/// Fields whose text stands for exactly one field whatever else is matched.
pub(crate) fn plain_matches() -> impl Strategy<Value = Match> {
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
pub(crate) fn plain_action() -> impl Strategy<Value = Action> {
    action().prop_map(tell_all).prop_filter_map("text says less", |action| action)
}

pub(crate) fn tell_all(action: Action) -> Option<Action> {
    Some(match action {
        Action::Output { port, .. } => Action::output(port),
        Action::SetField { field: Field::ActsetOutput | Field::InPort | Field::InPort16, .. } => return None,
        // The text of these is a choice of words that not every pattern of bits has.
        Action::SetField {
            field: Field::CtState | Field::TcpFlags | Field::TunFlags | Field::IpFrag | Field::InPhyPort,
            ..
        } => return None,
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

pub(crate) fn by_port(matches: &Match) -> bool {
    // Some reserved numbers have no name, and those of 16 bits mean reserved ports in text.
    matches.exact(Field::InPort).is_none_or(|port| !(0xff00..0x1_0000).contains(&port))
}
