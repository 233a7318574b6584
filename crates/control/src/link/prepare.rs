//! Changes in two steps: filled and closed first, so that the switch has looked at every row, and put into effect later, or
//! never. A switch throws a bundle away that waits for long (Open vSwitch: ten seconds), so the second step follows soon.

use std::collections::BTreeMap;

use fseg_openflow::bundle::{FLAG_ATOMIC, FLAG_ORDERED, control};
use fseg_openflow::{Body, BundleAdd, BundleControl, Message};
use fseg_pipeline::desired::to_delete;
use fseg_pipeline::{Delta, Owner, Row, RowKey};

use super::change::Flight;
use super::{Link, LinkNews, LinkPhase, MAX_UNCONFIRMED};

/// What becomes of each row: as given, or gone.
pub(crate) type RowChanges = BTreeMap<RowKey, Option<Row>>;

/// A change that a switch has, or is being given, and that is not in effect.
#[derive(Debug)]
pub(crate) struct Prepared {
    bundle: u32,
    /// The transaction id of its closing; those of its rows are between this and the bundle's.
    close: u32,
    rows: RowChanges,
    /// By the transaction that adds it.
    by_xid: BTreeMap<u32, RowKey>,
}

const FLAGS: u16 = FLAG_ATOMIC | FLAG_ORDERED;

impl Link {
    /// Gives the switch a change to hold ready: removals first. `None` when it cannot be prepared here, and will be sent in
    /// the usual way: the switch is not there, has no bundles, or is behind with confirmations.
    pub(crate) fn prepare(&mut self, rows: RowChanges, round: u16) -> Option<Vec<Message>> {
        if self.phase != LinkPhase::Up || !self.has_bundles() || self.unconfirmed.len() >= MAX_UNCONFIRMED {
            return None;
        }
        let mut out = self.discard();
        let bundle = self.xid();
        out.push(control_message(bundle, bundle, control::OPEN_REQUEST));
        let mut by_xid = BTreeMap::new();
        let (gone, there): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| row.is_none());
        for (key, row) in gone.into_iter().chain(there) {
            let xid = self.xid();
            by_xid.insert(xid, key.clone());
            let change = row.as_ref().map_or_else(|| to_delete(key), |row| row.to_add(round));
            let message = Box::new(Message { xid, body: Body::FlowMod(change) });
            let body = Body::BundleAdd(BundleAdd { bundle_id: bundle, flags: FLAGS, message });
            out.push(Message { xid, body });
        }
        let close = self.xid();
        out.push(control_message(close, bundle, control::CLOSE_REQUEST));
        self.prepared = Some(Prepared { bundle, close, rows, by_xid });
        Some(out)
    }

    /// Throws away what was prepared.
    pub(crate) fn discard(&mut self) -> Vec<Message> {
        let Some(prepared) = self.prepared.take() else { return vec![] };
        let xid = self.xid();
        vec![control_message(xid, prepared.bundle, control::DISCARD_REQUEST)]
    }

    /// Puts what was prepared into effect. `desired` has the new rows already, and whatever changed since the preparation:
    /// the difference stays to be sent behind it.
    pub(crate) fn commit(&mut self) -> Vec<Message> {
        let Some(prepared) = self.prepared.take() else { return vec![] };
        let mut delta = Delta::default();
        for (key, done) in prepared.rows {
            let wanted = self.desired.get(&key);
            if done == wanted {
                self.unsent.forget(&key);
            } else {
                self.unsent.set(key.clone(), wanted);
            }
            match done {
                Some(row) => delta.add.push(row),
                None => delta.remove.push(key),
            }
        }
        let commit = self.xid();
        let barrier = self.message(Body::BarrierRequest);
        self.edits += 1;
        self.unconfirmed.insert(barrier.xid, Flight::prepared(prepared.bundle, delta));
        vec![control_message(commit, prepared.bundle, control::COMMIT_REQUEST), barrier]
    }

    /// What a message means for the change that is being prepared; `None` when it is about something else.
    pub(super) fn hear_prepared(&mut self, message: &Message) -> Option<LinkNews> {
        let prepared = self.prepared.as_ref()?;
        if !(prepared.bundle..=prepared.close).contains(&message.xid) {
            return None;
        }
        match &message.body {
            Body::BundleControl(c) if c.type_ == control::CLOSE_REPLY => Some(LinkNews::Prepared),
            Body::Error(e) => {
                let message_text = super::error_text(e);
                let key = prepared.by_xid.get(&message.xid);
                let row = key.and_then(|key| prepared.rows.get(key).cloned().flatten());
                let owner: Option<Owner> =
                    row.as_ref().map(|r| r.owner).or_else(|| Some(self.desired.get(key?)?.owner));
                Some(LinkNews::Unprepared { message: message_text, owner, row: row.map(Box::new) })
            }
            _ => None,
        }
    }

    /// True when the switch refused the change that this barrier confirms.
    pub(crate) fn is_refused(&self, barrier: u32) -> bool {
        self.refused.contains(&barrier) || self.unconfirmed.get(&barrier).is_some_and(|flight| flight.refused)
    }
}

fn control_message(xid: u32, bundle_id: u32, type_: u16) -> Message {
    Message { xid, body: Body::BundleControl(BundleControl { bundle_id, type_, flags: FLAGS }) }
}
