//! What is different on a switch without extensions: the way out waits in the action set, `permit` looks at the packet
//! itself, and answers are known by their port (docs/pipeline.md, "Plain switches").

use std::net::Ipv4Addr;

use fseg_model::{ClassId, Mac, PortKind, PortNo};
use fseg_openflow::{Field, Match, port};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{Table, bits, meter};

use super::does::{Does, dropped};
use super::{Case, ICMP, SCTP, Spec, TCP, UDP, arp, case};
use crate::diagram::{Diagrams, Node, leaf};
use crate::treatment::{Step, Treatment};

/// The ICMP type "unreachable" (RFC 792).
const UNREACHABLE: u8 = 3;
/// The ICMP type "redirect".
const REDIRECT: u8 = 5;

/// What a packet itself must be like to use services, or to answer who uses them: IP protocols with ranges of ports (ICMP: of
/// types).
pub(super) struct Asked<'a> {
    pub(super) any: bool,
    pub(super) by_protocol: &'a std::collections::BTreeMap<u8, Vec<(u16, u16)>>,
}

const ALL: (u16, u16) = (0, u16::MAX);

impl Asked<'_> {
    /// Packets that ask.
    pub(super) fn asks(&self, d: &mut Diagrams, pass: Node, deny: Node) -> Node {
        self.over(d, pass, deny, |protocol| match protocol {
            TCP => Some(Field::TcpDst),
            UDP => Some(Field::UdpDst),
            SCTP => Some(Field::SctpDst),
            _ => None,
        })
    }

    /// Packets that answer, as far as they can be told: from the port that was asked, of the type that answers the type, and
    /// "unreachable" where ports are named.
    pub(super) fn answers(&self, d: &mut Diagrams, pass: Node, deny: Node) -> Node {
        self.over(d, pass, deny, |protocol| match protocol {
            TCP => Some(Field::TcpSrc),
            UDP => Some(Field::UdpSrc),
            SCTP => Some(Field::SctpSrc),
            _ => None,
        })
    }

    fn over(&self, d: &mut Diagrams, pass: Node, deny: Node, port: impl Fn(u8) -> Option<Field>) -> Node {
        if self.any {
            return pass;
        }
        let answers = port(TCP) == Some(Field::TcpSrc);
        let (mut cases, mut types, mut named) = (Vec::new(), Vec::new(), false);
        for (protocol, ranges) in self.by_protocol {
            let all = ranges.contains(&ALL);
            match port(*protocol) {
                Some(field) if !all => cases.push((u128::from(*protocol), d.ranges(field, ranges, pass, deny))),
                None if *protocol == ICMP && !all => {
                    let asked = (0..=255_u16).filter(|t| ranges.iter().any(|(a, b)| (a..=b).contains(&t)));
                    types.extend(asked.filter_map(|t| if answers { answered_by(t) } else { Some(t) }));
                }
                _ => cases.push((u128::from(*protocol), pass)),
            }
            named |= port(*protocol).is_some() && ranges.iter().any(|r| *r != ALL);
        }
        if answers && named {
            types.push(UNREACHABLE.into());
        }
        if !cases.iter().any(|(p, _)| *p == u128::from(ICMP)) {
            let types: Vec<(u128, Node)> = types.into_iter().map(|t| (t.into(), pass)).collect();
            cases.push((ICMP.into(), d.cases(Field::Icmpv4Type, 0, 8, &types, deny)));
        }
        d.cases(Field::IpProto, 0, 8, &cases, deny)
    }
}

/// The type of the ICMP message that answers one (RFC 792, RFC 950).
fn answered_by(kind: u16) -> Option<u16> {
    [(8, 0), (13, 14), (15, 16), (17, 18)].into_iter().find(|(asked, _)| *asked == kind).map(|(_, answer)| answer)
}

/// Stands for "nothing decided yet" while a function is made.
const OPEN: u32 = u32::MAX >> 1;

/// Redirects are dropped whoever sends them; of the rest, what the node and the portal send is not for permits to judge.
/// `judged` is the function of all others; the numbers are those of "passes" and of "dropped".
pub(super) fn above_permits(d: &mut Diagrams, from: ClassId, judged: Node, passes: u32, dropped: u32) -> Node {
    let redirect = d.cases(Field::Icmpv4Type, 0, 8, &[(REDIRECT.into(), leaf(dropped))], leaf(OPEN));
    let redirect = d.cases(Field::IpProto, 0, 8, &[(ICMP.into(), redirect)], leaf(OPEN));
    let redirect = d.cases(Field::EthType, 0, 16, &[(0x0800, redirect)], leaf(OPEN));
    let rest = match from {
        ClassId::NODE => leaf(passes),
        ClassId::PORTAL => {
            d.cases(Field::Metadata, 0, 22, &[(ClassId::STRANGER.get().into(), leaf(passes))], leaf(dropped))
        }
        _ => judged,
    };
    d.otherwise(redirect, OPEN, rest)
}

impl Spec<'_> {
    /// A guarded question for an address: on to `answer`, and where the switch can write addresses, with the answer made
    /// but for the address asked for.
    pub(super) fn asks(&self, mac: Mac, address: Ipv4Addr) -> Treatment {
        let does = match self.plain.filter(|can| can.answers_arp()) {
            None => Does::new(),
            Some(_) => Does::new()
                .leaving_with(Field::EthDst, mac.to_u64())
                .leaving_with(Field::EthSrc, ROUTER_MAC.to_u64())
                .leaving_with(Field::ArpOp, 2_u16)
                .leaving_with(Field::ArpSha, ROUTER_MAC.to_u64())
                .leaving_with(Field::ArpTha, mac.to_u64())
                .leaving_with(Field::ArpTpa, u32::from(address))
                .leaving_by(port::IN_PORT),
        };
        does.goto(Table::Answer, self.live)
    }

    /// The address asked for is filled in; of any other the node is asked.
    pub(super) fn plain_answer(&self) -> Vec<Case> {
        let asked = || arp().with(Field::ArpOp, 1_u16);
        let mut out = Vec::new();
        if self.plain.is_some_and(|can| can.answers_arp()) {
            let everybody = self.by_address.keys().map(|a| u32::from(*a));
            for address in everybody.chain([self.router()]) {
                let answered = Does::new().leaving_with(Field::ArpSpa, address).leaves();
                out.push(case(asked().with(Field::ArpTpa, address), answered));
            }
        }
        for p in self.switch.ports.iter().filter(|p| p.kind.admits() || p.exit.is_some()) {
            let node = Does::new().meter(meter::resolution(p.number).id).shown_to_node().ends();
            out.push(case(asked().with(Field::InPort, p.number.0), node));
        }
        out.push(case(Match::new(), dropped()));
        out
    }

    /// What `permit` let through leaves as `locate` said.
    pub(super) fn plain_inspect(&self) -> Vec<Case> {
        vec![case(Match::new(), Does::new().leaves())]
    }

    /// Addressed to `mac` and on to `permit`, to leave by a port: for packets in `m` that come in by another port, and, where
    /// several are behind it, for those that come in by this one. `hop`: it leaves the fabric.
    pub(super) fn plain_way(&self, m: &Match, out: PortNo, macs: (Mac, Mac), class: u64, hop: bool) -> Vec<Case> {
        let way = |by: u32| {
            let mut does = Does::new()
                .leaving_with(Field::EthSrc, macs.0.to_u64())
                .leaving_with(Field::EthDst, macs.1.to_u64())
                .leaving_by(by);
            if hop {
                does = does.leaving_older();
            }
            does.set_bits(Field::Metadata, class, bits::DESTINATION_MASK).goto(Table::Permit, self.live)
        };
        let mut cases = Vec::new();
        if self.switch.port(out).is_some_and(|p| p.kind == PortKind::Shared) {
            cases.push(case(m.clone().with(Field::InPort, out.0), way(port::IN_PORT)));
        }
        cases.push(case(m.clone(), way(out.0)));
        cases
    }

    /// A treatment as this switch can give it: without meters where it has none, without registers, with the bits of
    /// metadata that it has. For Open vSwitch, as it is.
    pub fn fitted(&self, treatment: &Treatment) -> Treatment {
        let mut out = treatment.clone();
        let Some(can) = self.plain else {
            out.tidy();
            return out;
        };
        if !can.meters {
            out.steps.retain(|s| !matches!(s, Step::Meter(_)));
        }
        out.state.0.retain(|field, _| !matches!(field, Field::Reg(_)));
        if let Some(written) = out.state.0.get_mut(&Field::Metadata) {
            written.mask &= u128::from(can.metadata());
        }
        out.tidy();
        out
    }
}
