//! What a switch is, asked before it is told anything: whether it has Open vSwitch's extensions, and what its tables can do.
//!
//! `auto` decides by the switch's own answers: a bundle is opened, a row that needs registers, connection tracking and a
//! conjunction is put into it, and the bundle is thrown away. Nothing of it ever takes effect. Who opens, takes and discards
//! it without an error has the extensions; any error, or silence until the barrier, means that it has not.

use std::collections::HashSet;

use fseg_openflow::bundle::{FLAG_ATOMIC, FLAG_ORDERED, control};
use fseg_openflow::multipart::{Answer, Query};
use fseg_openflow::table::TableFeatures;
use fseg_openflow::{
    Action, Body, BundleAdd, BundleControl, CtAction, CtZone, Field, FlowMod, Instruction, Match, Message,
};
use fseg_pipeline::{Capabilities, Profile, Table, bits};

use super::{Link, LinkNews};
use crate::config::Protocol;

/// Questions under way.
#[derive(Debug, Default)]
pub(super) struct Learning {
    /// Transactions of the trial.
    trial: HashSet<u32>,
    opened: bool,
    discarded: bool,
    refused: bool,
    tables: Vec<TableFeatures>,
    meters: Option<u32>,
    /// The end of all answers.
    barrier: u32,
}

impl Link {
    /// The questions, where the configuration leaves something open.
    pub(super) fn learn(&mut self) -> Option<Vec<Message>> {
        if self.protocol == Protocol::Ovs {
            return None;
        }
        let mut learning = Learning::default();
        let mut out = Vec::new();
        if self.protocol == Protocol::Auto {
            out = self.trial();
            learning.trial = out.iter().map(|m| m.xid).collect();
        }
        out.push(self.ask(Query::TableFeatures(vec![])));
        out.push(self.ask(Query::MeterFeatures));
        let barrier = self.message(Body::BarrierRequest);
        learning.barrier = barrier.xid;
        out.push(barrier);
        self.learning = Some(learning);
        Some(out)
    }

    fn trial(&mut self) -> Vec<Message> {
        let bundle_id = self.xid();
        let flags = FLAG_ATOMIC | FLAG_ORDERED;
        let step = |xid, type_| Message { xid, body: Body::BundleControl(BundleControl { bundle_id, type_, flags }) };
        let ct = CtAction {
            zone: CtZone::Immediate(1),
            table: Some(Table::Turn.number()),
            exec: vec![],
            ..CtAction::default()
        };
        let mut registers = FlowMod::add(Table::Track.number(), 1);
        registers.matches = Match::new().with(Field::EthType, 0x0800_u16).with(bits::OUTSIDE, 1_u8);
        registers.instructions = vec![Instruction::ApplyActions(vec![Action::Ct(ct)])];
        let mut conjunction = FlowMod::add(Table::Permit.number(), 1);
        conjunction.matches = Match::new().with(Field::EthType, 0x0800_u16);
        conjunction.instructions =
            vec![Instruction::ApplyActions(vec![Action::Conjunction { id: 1, clause: 1, of: 2 }])];
        let mut out = vec![step(bundle_id, control::OPEN_REQUEST)];
        for row in [registers, conjunction] {
            let xid = self.xid();
            let message = Box::new(Message { xid, body: Body::FlowMod(row) });
            out.push(Message { xid, body: Body::BundleAdd(BundleAdd { bundle_id, flags, message }) });
        }
        let discard = self.xid();
        out.push(step(discard, control::DISCARD_REQUEST));
        out
    }

    /// Takes in an answer; `None` when the message is about something else.
    pub(super) fn hear_learning(&mut self, message: &Message) -> Option<Vec<LinkNews>> {
        let learning = self.learning.as_mut()?;
        match &message.body {
            Body::Error(_) if learning.trial.contains(&message.xid) => learning.refused = true,
            // It does not answer one of the questions; what it does not tell is found out by its refusals.
            Body::Error(_) => {}
            Body::BundleControl(c) if learning.trial.contains(&message.xid) => {
                learning.opened |= c.type_ == control::OPEN_REPLY;
                learning.discarded |= c.type_ == control::DISCARD_REPLY;
            }
            Body::MultipartReply(reply) => match &reply.answer {
                Answer::TableFeatures(tables) => learning.tables.extend(tables.iter().cloned()),
                Answer::MeterFeatures(meters) => learning.meters = Some(meters.max_meter),
                _ => return None,
            },
            Body::BarrierReply if message.xid == learning.barrier => {
                let Learning { trial, opened, discarded, refused, tables, meters, .. } = self.learning.take()?;
                let extended = !trial.is_empty() && opened && discarded && !refused;
                let profile =
                    if extended { Profile::Ovs } else { Profile::OpenFlow13(Capabilities::read(&tables, meters)) };
                self.plain = !extended;
                return Some(vec![LinkNews::Learned(profile)]);
            }
            _ => return None,
        }
        Some(vec![])
    }
}
