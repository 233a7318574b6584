//! `onboard`, `answer`, `track`: strangers, address resolution, and what needs no connection.

use fseg_model::{ClassId, SliceId, WatchLevel};
use fseg_openflow::{Field, Match, NatKind, Subfield, port};
use fseg_pipeline::fabric::{CLOSED_PORT, REDIRECT_PORT, ROUTER_MAC, SERVICE_MAC};
use fseg_pipeline::{SwitchRole, Table, bits, meter};

use super::does::{Does, Track, dropped, translation};
use super::{Case, Spec, arp, case, dhcp_request, echo, ip, tcp_to, udp_to};
use crate::treatment::{Bit, State, Step, Treatment};

/// A packet whose source has this class, at whatever watch level.
fn from_class(m: Match, class: ClassId) -> Match {
    m.with_masked(Field::Metadata, bits::source(SliceId::DEFAULT, WatchLevel::Log, class), bits::PERMIT_SOURCE_MASK)
}

impl Spec<'_> {
    pub(crate) fn onboard(&self) -> Vec<Case> {
        let mut out = Vec::new();
        for p in self.admitting() {
            let asks = dhcp_request(ip().with(Field::InPort, p.number.0));
            out.push(case(asks, Does::new().meter(meter::control(p.number).id).shown_to_node().ends()));
        }
        let stranger = || from_class(ip(), ClassId::STRANGER);
        for m in self.services(stranger()) {
            out.push(case(m, Does::new().goto(Table::Locate, self.live)));
        }
        for (asked, served) in [(80, REDIRECT_PORT), (443, CLOSED_PORT)] {
            if let Some(treatment) = self.portal(served) {
                out.push(case(tcp_to(stranger(), asked), treatment));
            }
        }
        out.push(case(stranger(), dropped()));
        for p in self.admitting() {
            let seen = Does::new().meter(meter::control(p.number).id).shown_to_node().ends();
            for m in [ip(), arp()] {
                out.push(case(m.with(Field::InPort, p.number.0), seen.clone()));
            }
        }
        out.push(case(Match::new(), dropped()));
        out
    }

    /// The node's services under the virtual router's address.
    pub(crate) fn services(&self, m: Match) -> Vec<Match> {
        let m = m.with(Field::Ipv4Dst, self.router());
        vec![udp_to(m.clone(), 53), tcp_to(m.clone(), 53), tcp_to(m.clone(), 80), tcp_to(m.clone(), 443), echo(m)]
    }

    /// To the portal: translated at the node's bridge, brought there from everywhere else.
    fn portal(&self, served: u16) -> Option<Treatment> {
        if self.switch.role == SwitchRole::Access {
            let (port, mac) = self.facts.fabric.way(self.switch.dpid, self.facts.fabric.node)?;
            return Some(Does::new().macs(self.switch.fabric_mac(), mac).out(port.0).ends());
        }
        let local = self.service_port()?;
        let redirected = Track {
            commit: true,
            translation: vec![translation(NatKind::Dst, self.facts.fabric.router, Some(served))],
            ..Track::default()
        };
        let does = Does::new().track(bits::ZONE_PORTAL, redirected, self.live);
        Some(does.macs(ROUTER_MAC, local.mac?).out(local.number.0).ends())
    }

    /// A question becomes the answer "it is the virtual router", and goes back.
    pub(crate) fn answer(&self) -> Vec<Case> {
        if self.plain.is_some() {
            return self.plain_answer();
        }
        let whole = Subfield::whole;
        let mut state = State::default();
        let came = State::default();
        for (from, to) in [
            (Field::EthSrc, Field::EthDst),
            (Field::ArpSha, Field::ArpTha),
            (Field::ArpTpa, Field::ArpSpa),
            (Field::ArpSpa, Field::ArpTpa),
        ] {
            let bits: Vec<Bit> = came.read(whole(from));
            state.write(whole(to), &bits);
        }
        for field in [Field::EthSrc, Field::ArpSha] {
            state.set(field, ROUTER_MAC.to_u64().into(), u128::MAX);
        }
        state.set(Field::ArpOp, 2, u128::MAX);
        let answered = Treatment { steps: vec![Step::Output(port::IN_PORT, state)], ..Treatment::default() };
        vec![case(arp().with(Field::ArpOp, 1_u16), answered), case(Match::new(), dropped())]
    }

    pub(crate) fn track(&self) -> Vec<Case> {
        let node = match self.switch.role {
            SwitchRole::Node => Does::new().set(Field::EthSrc, SERVICE_MAC.to_u64()),
            SwitchRole::Access => Does::new(),
        };
        let portal = |to: Option<ClassId>| {
            let (value, mask) =
                to.map_or((0, 0), |c| (bits::destination(WatchLevel::Log, c), bits::PERMIT_DESTINATION_MASK));
            let source = bits::source(SliceId::DEFAULT, WatchLevel::Log, ClassId::PORTAL);
            Match::new().with_masked(Field::Metadata, source | value, bits::PERMIT_SOURCE_MASK | mask)
        };
        let asked = Track { next: Some(Table::Turn), ..Track::default() };
        let does = Does::new().track(bits::zone(SliceId::DEFAULT), asked, self.live);
        vec![
            case(from_class(Match::new(), ClassId::NODE), node.goto(Table::Emit, self.live)),
            case(portal(Some(ClassId::STRANGER)), Does::new().goto(Table::Emit, self.live)),
            case(portal(None), dropped()),
            case(ip().with_masked(Field::Metadata, 0_u64, bits::SLICE_MASK), does.ends()),
            case(Match::new(), dropped()),
        ]
    }
}
