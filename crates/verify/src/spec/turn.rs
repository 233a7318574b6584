//! `turn`: which service, in the direction of the one who asked?

use fseg_openflow::{Field, Match, Subfield};
use fseg_pipeline::{Table, bits};

use super::does::{Does, dropped};
use super::{Case, ICMP, SCTP, Spec, TCP, UDP, case, ip};

const NEW: u32 = 0x01;
const ESTABLISHED: u32 = 0x02;
const RELATED: u32 = 0x04;
const REPLY: u32 = 0x08;
const INVALID: u32 = 0x10;
const TRACKED: u32 = 0x20;

/// A tracked packet with exactly these of the bits in `mask`.
fn state(m: Match, set: u32, mask: u32) -> Match {
    m.with_masked(Field::CtState, set | TRACKED, mask | TRACKED)
}

/// Where the service of a packet is read.
#[derive(Clone, Copy)]
enum From {
    /// Protocol and port of the packet.
    Packet(u8, Field),
    /// Protocol of the packet; it has no port.
    Protocol,
    /// A later fragment: the protocol, and that it is one.
    Fragment,
    /// The connection's first packet: its protocol, and this of its ports.
    Connection(Field),
}

impl Spec<'_> {
    fn turned(&self, turn: bool, mark: bool, from: From) -> crate::treatment::Treatment {
        let port = Subfield::new(bits::SERVICE_PORT, 0, 16);
        let protocol = Subfield::new(bits::SERVICE_PROTOCOL, 0, 8);
        let whole = Subfield::whole;
        let mut does = Does::new();
        if turn {
            does = does.copy(bits::SOURCE, bits::DESTINATION).copy(bits::DESTINATION, bits::SOURCE);
        }
        if mark {
            does = does.copy(Subfield::new(Field::CtMark, 0, 22), bits::DESTINATION_CLASS);
        }
        let does = match from {
            From::Packet(number, Field::Icmpv4Type) => does
                .set(bits::SERVICE_PROTOCOL, number)
                .copy(whole(Field::Icmpv4Type), Subfield::new(bits::SERVICE_PORT, 0, 8)),
            From::Packet(number, field) => does.set(bits::SERVICE_PROTOCOL, number).copy(whole(field), port),
            From::Protocol => does.copy(whole(Field::IpProto), protocol),
            From::Fragment => does.set(bits::FRAGMENT, 1_u8).copy(whole(Field::IpProto), protocol),
            From::Connection(field) => does.copy(whole(Field::CtNwProto), protocol).copy(whole(field), port),
        };
        does.goto(Table::Permit, self.live)
    }

    pub(crate) fn turn(&self) -> Vec<Case> {
        let icmp = || ip().with(Field::IpProto, ICMP);
        let outside = || ip().with(bits::OUTSIDE, 1_u8);
        let later = || ip().with_masked(Field::IpFrag, 2_u8, 2_u8);
        let first_port = From::Connection(Field::CtTpDst);
        // The type of an ICMP message stands where the source port stands.
        let first_type = From::Connection(Field::CtTpSrc);
        let mut out = vec![
            // Nobody may tell endpoints of another router.
            case(icmp().with(Field::Icmpv4Type, 5_u8), dropped()),
            case(state(ip(), INVALID, INVALID), dropped()),
        ];
        // Errors that belong to a connection; from outside they may come from a router on the way.
        for (turn, bit) in [(true, REPLY), (false, 0)] {
            out.push(case(state(outside(), RELATED | bit, RELATED | REPLY), self.turned(turn, true, first_port)));
        }
        for (turn, bit) in [(true, REPLY), (false, 0)] {
            out.push(case(state(ip(), RELATED | bit, RELATED | REPLY), self.turned(turn, false, first_port)));
        }
        for (turn, bit) in [(true, REPLY), (false, 0)] {
            out.push(case(state(later(), bit, REPLY), self.turned(turn, false, From::Fragment)));
        }
        out.push(case(state(icmp(), REPLY, REPLY), self.turned(true, false, first_type)));
        out.push(case(state(ip(), REPLY, REPLY), self.turned(true, false, first_port)));
        out.push(case(state(icmp(), ESTABLISHED, ESTABLISHED | REPLY), self.turned(false, false, first_type)));
        out.push(case(state(ip(), ESTABLISHED, ESTABLISHED | REPLY), self.turned(false, false, first_port)));
        for (number, field) in
            [(TCP, Field::TcpDst), (UDP, Field::UdpDst), (SCTP, Field::SctpDst), (ICMP, Field::Icmpv4Type)]
        {
            let m = state(ip().with(Field::IpProto, number), 0, REPLY);
            out.push(case(m, self.turned(false, false, From::Packet(number, field))));
        }
        out.push(case(state(ip(), 0, REPLY), self.turned(false, false, From::Protocol)));
        out.push(case(Match::new(), dropped()));
        out
    }

    /// The connection states that Open vSwitch gives packets: what is new is no reply.
    pub fn connection_states() -> Vec<u32> {
        let known = [NEW, ESTABLISHED, RELATED, RELATED | NEW, RELATED | ESTABLISHED];
        let replies = [ESTABLISHED | REPLY, RELATED | REPLY, RELATED | ESTABLISHED | REPLY];
        known.into_iter().chain(replies).map(|s| TRACKED | s).chain([TRACKED | INVALID]).collect()
    }
}
