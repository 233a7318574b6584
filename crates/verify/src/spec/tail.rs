//! `inspect`, `deliver`, `emit`: what happens to what is permitted.

use fseg_model::SliceId;
use fseg_openflow::{Field, Match, NatKind};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{NatMode, Table, bits, meter};

use super::does::{Does, Track, dropped, translation};
use super::{Case, Spec, case, ip};

impl Spec<'_> {
    /// Whether anything passes that is only observed, so that new connections are shown.
    fn observes(&self) -> bool {
        let policy = &self.facts.policy;
        let observed = self.facts.classes.values().any(|set| policy.observed.groups.iter().any(|g| set.contains(g)));
        let trial = |p: &fseg_policy::Permit| p.mode == fseg_policy::Mode::Observe && p.in_force(self.facts.now);
        policy.observed.everything || observed || policy.permits.iter().any(trial)
    }

    pub(crate) fn inspect(&self) -> Vec<Case> {
        let mut out = Vec::new();
        if self.observes() {
            let new = ip().with_masked(Field::CtState, 0x21_u32, 0x21_u32).with(bits::OBSERVED, 1_u8);
            out.push(case(new, Does::new().copy_to_node(meter::OBSERVED.id).goto(Table::Deliver, self.live)));
        }
        out.push(case(Match::new(), Does::new().goto(Table::Deliver, self.live)));
        out
    }

    pub(crate) fn deliver(&self) -> Vec<Case> {
        let begins =
            ip().with_masked(Field::Metadata, 0_u64, bits::SLICE_MASK).with_masked(Field::CtState, 0x21_u32, 0x21_u32);
        let remembered = Track { commit: true, mark: Some(bits::DESTINATION_CLASS), ..Track::default() };
        let does = Does::new().track(bits::zone(SliceId::DEFAULT), remembered, self.live);
        vec![
            case(begins, does.goto(Table::Emit, self.live)),
            case(Match::new(), Does::new().goto(Table::Emit, self.live)),
        ]
    }

    pub(crate) fn emit(&self) -> Vec<Case> {
        let mut out = Vec::new();
        for port in &self.switch.ports {
            let Some(exit) = port.exit.as_ref().filter(|e| e.mode == NatMode::Nat) else { continue };
            let translated = Track {
                commit: true,
                translation: vec![translation(NatKind::Src, exit.address, None)],
                ..Track::default()
            };
            let does = Does::new()
                .track(bits::zone_exit(exit.number), translated, self.live)
                .set(Field::EthSrc, ROUTER_MAC.to_u64())
                .out(port.number.0);
            out.push(case(ip().with(bits::EXIT, exit.number), does.ends()));
        }
        // By whichever port, the one it came in by included: two endpoints may be behind one.
        out.push(case(ip(), Does::new().set(Field::InPort, 0_u8).out_of(bits::OUT_PORT).ends()));
        out.push(case(Match::new(), dropped()));
        out
    }

    /// The exits whose translation a packet may leave through here, and 0.
    pub fn exits(&self) -> Vec<u16> {
        let here = self.switch.ports.iter().filter_map(|p| p.exit.as_ref());
        std::iter::once(0).chain(here.filter(|e| e.mode == NatMode::Nat).map(|e| e.number)).collect()
    }
}
