//! Changes on their way to a switch, and what became of them.
//!
//! Open vSwitch gets a change as one bundle: all of it or nothing. A plain switch has no bundles: it gets what takes rights
//! away, a barrier, what gives rights from the last table to the first, and another barrier. So nobody is let in before the
//! tables behind know what he may.

use std::cmp::Reverse;

use fseg_model::PortNo;
use fseg_openflow::{Action, Body, BundleAdd, BundleControl, FlowMod, Instruction, Message};
use fseg_pipeline::{Delta, Owner, Row, RowKey, Table};

use super::{Link, LinkNews, LinkPhase, MAX_UNCONFIRMED};

const BUNDLE_OPEN: u16 = 0;
const BUNDLE_COMMIT: u16 = 4;
const BUNDLE_ATOMIC_ORDERED: u16 = 3;

/// A change under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The transaction id of its first message; its last is the barrier's.
    pub(super) first: u32,
    /// The switch refused a part of it: of a bundle, and so all of it.
    pub(super) refused: bool,
    /// It puts right what a reading found wrong.
    pub(super) repair: bool,
    /// What it consists of.
    pub(super) sent: Sent,
}

/// The changes of a flight, in the order of their messages.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The transaction id of the first change.
    base: u32,
    /// How many removals of rows outside our tables there are before all others.
    strangers: usize,
    pub(super) delta: Delta,
    /// After how many changes a barrier stands in between.
    gap: Option<usize>,
}

/// What a transaction was to change.
pub(super) enum Changed {
    /// A row was to go.
    Removal,
    /// A row was to be there.
    Row(RowKey, Owner),
}

impl Flight {
    /// A bundle that was filled before: its rows follow its opening, removals first.
    pub(super) fn prepared(bundle: u32, delta: Delta) -> Self {
        let sent = Sent { base: bundle.wrapping_add(1), delta, ..Sent::default() };
        Self { first: bundle, sent, ..Self::default() }
    }
}

impl Sent {
    /// What the message of that transaction id was to change.
    pub(super) fn change(&self, xid: u32) -> Option<Changed> {
        let mut index = usize::try_from(xid.checked_sub(self.base)?).ok()?;
        match self.gap {
            Some(gap) if index == gap => return None,
            Some(gap) if index > gap => index -= 1,
            _ => {}
        }
        let removals = self.strangers + self.delta.remove.len();
        if index < removals {
            return Some(Changed::Removal);
        }
        self.delta.add.get(index - removals).map(|row| Changed::Row(row.key.clone(), row.owner))
    }

    /// The owner of all rows that were to be there, if they have one.
    pub(super) fn only_owner(&self) -> Option<Owner> {
        let first = self.delta.add.first()?.owner;
        self.delta.add.iter().all(|row| row.owner == first).then_some(first)
    }

    pub(super) fn denials(&self) -> Delta {
        super::refusal::denials(&self.delta)
    }
}

/// A row that lets nobody through: it drops, shows the node, or sends to where strangers are.
pub(super) fn denies(row: &Row) -> bool {
    let passes = |instruction: &Instruction| match instruction {
        Instruction::GotoTable(n) => *n != Table::Onboard.number(),
        Instruction::WriteActions(_) => true,
        Instruction::ApplyActions(actions) => {
            actions.iter().any(|a| !matches!(a, Action::Output { port, .. } if *port == PortNo::CONTROLLER.0))
        }
        _ => false,
    };
    !row.instructions.iter().any(passes)
}

impl Link {
    /// Rows to change, sent at the next [`Link::take`].
    pub(crate) fn change(&mut self, delta: Delta) {
        for key in delta.remove.iter().chain(delta.add.iter().map(|row| &row.key)) {
            if self.turned_down.is_empty() {
                break;
            }
            self.turned_down.remove(key);
        }
        if self.phase == LinkPhase::Up && !delta.is_empty() {
            for key in &delta.remove {
                self.counters.remove(key);
            }
            self.unsent.push(delta);
        }
    }

    /// The messages with everything that changed since the last call.
    pub(crate) fn take(&mut self, round: u16) -> Option<Vec<Message>> {
        if self.phase != LinkPhase::Up || self.unsent.is_empty() || self.unconfirmed.len() >= MAX_UNCONFIRMED {
            return None;
        }
        let delta = self.unsent.take();
        Some(self.send(vec![], delta, round, false))
    }

    /// A change in the way this switch takes it. `strangers` remove rows outside our tables.
    pub(super) fn send(&mut self, strangers: Vec<FlowMod>, delta: Delta, round: u16, repair: bool) -> Vec<Message> {
        if self.plain {
            self.in_order(strangers, delta, round, repair)
        } else {
            self.bundle(strangers, delta, round, repair)
        }
    }

    pub(super) fn bundle(&mut self, strangers: Vec<FlowMod>, delta: Delta, round: u16, repair: bool) -> Vec<Message> {
        let control = |bundle_id, kind| {
            Body::BundleControl(BundleControl { bundle_id, type_: kind, flags: BUNDLE_ATOMIC_ORDERED })
        };
        let mut out = Vec::with_capacity(strangers.len() + delta.len() + 3);
        let open = self.xid();
        out.push(Message { xid: open, body: control(open, BUNDLE_OPEN) });
        let outside = strangers.len();
        let mut base = None;
        for m in strangers.into_iter().chain(delta.flow_mods(round)) {
            // The inner message and the one that carries it have the same transaction id (OpenFlow 1.4, 7.3.9.7).
            let xid = self.xid();
            base.get_or_insert(xid);
            let inner = Message { xid, body: Body::FlowMod(m) };
            out.push(Message {
                xid,
                body: Body::BundleAdd(BundleAdd {
                    bundle_id: open,
                    flags: BUNDLE_ATOMIC_ORDERED,
                    message: Box::new(inner),
                }),
            });
        }
        out.push(self.message(control(open, BUNDLE_COMMIT)));
        let sent = Sent { base: base.unwrap_or(open), strangers: outside, delta, gap: None };
        self.confirm(Flight { first: open, refused: false, repair, sent }, &mut out);
        out
    }

    fn in_order(&mut self, strangers: Vec<FlowMod>, mut delta: Delta, round: u16, repair: bool) -> Vec<Message> {
        delta.add.sort_by_key(|row| (!denies(row), Reverse(row.key.table)));
        let outside = strangers.len();
        let denials = outside + delta.remove.len() + delta.add.iter().take_while(|row| denies(row)).count();
        let total = outside + delta.len();
        let gap = Some(denials).filter(|n| *n > 0 && *n < total);
        let mut out = Vec::with_capacity(total + 2);
        for (index, m) in strangers.into_iter().chain(delta.flow_mods(round)).enumerate() {
            if gap == Some(index) {
                out.push(self.message(Body::BarrierRequest));
            }
            out.push(self.message(Body::FlowMod(m)));
        }
        let first = out.first().map_or(0, |m| m.xid);
        let sent = Sent { base: first, strangers: outside, delta, gap };
        self.confirm(Flight { first, refused: false, repair, sent }, &mut out);
        out
    }

    /// The barrier at the end of a flight.
    fn confirm(&mut self, flight: Flight, out: &mut Vec<Message>) {
        let barrier = self.message(Body::BarrierRequest);
        self.edits += 1;
        self.unconfirmed.insert(barrier.xid, flight);
        out.push(barrier);
    }

    pub(super) fn confirmed(&mut self, barrier: u32, news: &mut Vec<LinkNews>) {
        let Some(flight) = self.unconfirmed.remove(&barrier) else { return };
        if flight.refused {
            // The barrier says only that the switch has dealt with it. The repair that follows makes it true.
            self.refused.push(barrier);
            return;
        }
        if !self.turned_down.is_empty() {
            for row in &flight.sent.delta.add {
                self.turned_down.remove(&row.key);
            }
        }
        self.failures = 0;
        if self.turned_down.is_empty() {
            self.last_error = None;
        }
        news.push(LinkNews::Confirmed { xid: barrier });
        self.settled(news);
    }
}
