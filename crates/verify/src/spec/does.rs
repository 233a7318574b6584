//! Writing down a treatment that is expected.

use std::net::Ipv4Addr;

use fseg_model::Mac;
use fseg_openflow::{Action, ControllerAction, CtAction, Field, NatAction, NatKind, Subfield};
use fseg_pipeline::Table;

use crate::treatment::{ActionSet, Bit, Live, State, Step, Tracking, Treatment};

/// A treatment under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Does {
    steps: Vec<Step>,
    state: State,
    set: ActionSet,
}

const WHOLE: u16 = 0xffff;

/// Dropped, unseen.
pub(crate) fn dropped() -> Treatment {
    Treatment::default()
}

impl Does {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn meter(mut self, id: u32) -> Self {
        self.steps.push(Step::Meter(id));
        self
    }

    pub(crate) fn set(mut self, field: Field, value: impl Into<u128>) -> Self {
        self.state.set(field, value.into(), u128::MAX);
        self
    }

    pub(crate) fn set_bits(mut self, field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Self {
        self.state.set(field, value.into(), mask.into());
        self
    }

    pub(crate) fn macs(self, source: Mac, destination: Mac) -> Self {
        self.set(Field::EthSrc, source.to_u64()).set(Field::EthDst, destination.to_u64())
    }

    /// Copies bits of the packet as it came in, whatever was written before.
    pub(crate) fn copy(mut self, from: Subfield, to: Subfield) -> Self {
        let bits: Vec<Bit> = State::default().read(from);
        self.state.write(to, &bits);
        self
    }

    fn wire(&self, metadata: bool) -> State {
        let mut out = self.state.clone();
        out.0.retain(|f, _| !matches!(f, Field::Reg(_)) && (metadata || *f != Field::Metadata));
        out
    }

    pub(crate) fn out(mut self, port: u32) -> Self {
        let state = self.wire(false);
        self.steps.push(Step::Output(port, state));
        self
    }

    pub(crate) fn out_of(mut self, port: Field) -> Self {
        let bits = State::default().read(Subfield::whole(port));
        let state = self.wire(false);
        self.steps.push(Step::OutputBits(bits, state));
        self
    }

    pub(crate) fn shown_to_node(mut self) -> Self {
        let state = self.wire(true);
        self.steps.push(Step::Controller(WHOLE, state));
        self
    }

    /// A metered copy to the node; the packet itself goes on.
    pub(crate) fn copy_to_node(mut self, meter: u32) -> Self {
        let copy = ControllerAction { meter_id: Some(meter), ..ControllerAction::default() };
        self.steps.push(Step::Other(format!("{:?}", Action::Controller(copy))));
        self
    }

    pub(crate) fn hop(mut self) -> Self {
        self.steps.push(Step::DecTtl);
        self
    }

    /// Through the connection tracker. `mark` is copied into the connection's mark.
    pub(crate) fn track(mut self, zone: u16, how: Track, live: &Live) -> Self {
        let mut marks = State::default();
        if let Some(from) = how.mark {
            marks.write(Subfield::new(Field::CtMark, 0, from.bits), &State::default().read(from));
        }
        let mut state = self.state.clone();
        match how.next {
            Some(_) => live.filter(&mut state),
            None => state = self.wire(false),
        }
        let zone = (0..16).map(|i| Bit::Is(zone >> i & 1 != 0)).collect();
        let translation = how.translation.iter().map(ToString::to_string).collect();
        self.steps.push(Step::Track(Tracking {
            commit: how.commit,
            force: false,
            zone,
            table: how.next.map(Table::number),
            helper: CtAction::default().alg,
            translation,
            marks,
            state,
        }));
        self
    }

    /// To be set when the packet leaves.
    pub(crate) fn leaving_with(mut self, field: Field, value: impl Into<u128>) -> Self {
        self.set.fields.set(field, value.into(), u128::MAX);
        self
    }

    /// To lose a hop when it leaves.
    pub(crate) fn leaving_older(mut self) -> Self {
        self.set.hop = true;
        self
    }

    /// The port to leave by, at the end of its way.
    pub(crate) fn leaving_by(mut self, port: u32) -> Self {
        self.set.output = Some(port);
        self
    }

    /// It goes no further, and nothing leaves but what was sent.
    pub(crate) fn ends(self) -> Treatment {
        Treatment { steps: self.steps, ..Treatment::default() }
    }

    /// It goes no further, and leaves as it was told before.
    pub(crate) fn leaves(self) -> Treatment {
        Treatment { steps: self.steps, set: self.set, leaves: true, ..Treatment::default() }
    }

    pub(crate) fn goto(mut self, table: Table, live: &Live) -> Treatment {
        live.filter(&mut self.state);
        Treatment { steps: self.steps, next: Some(table.number()), state: self.state, set: self.set, leaves: false }
    }
}

/// How a packet passes the connection tracker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Track {
    pub(crate) commit: bool,
    pub(crate) next: Option<Table>,
    pub(crate) translation: Vec<NatAction>,
    pub(crate) mark: Option<Subfield>,
}

/// A new translation.
pub(crate) fn translation(kind: NatKind, address: Ipv4Addr, port: Option<u16>) -> NatAction {
    NatAction { kind: Some(kind), min: Some(address.into()), proto_min: port, ..NatAction::default() }
}
