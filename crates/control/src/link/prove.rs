//! Reading all rows of a switch to have them proved, beside the polling of counters.

use fseg_openflow::multipart::{Answer, FlowQuery, Query};
use fseg_openflow::{FlowStats, Message, MultipartReply};

use super::{Link, LinkNews, LinkPhase};

/// A reading under way.
#[derive(Debug)]
pub(super) struct Proof {
    asked: u32,
    rows: Vec<FlowStats>,
    /// How many changes had been sent when it began.
    edits: u64,
}

impl Link {
    /// Asks for all rows; `None` while changes are under way, since their rows would be taken for wrong.
    pub(crate) fn prove(&mut self) -> Option<Message> {
        if self.phase != LinkPhase::Up || self.pending() > 0 || self.prepared.is_some() {
            return None;
        }
        let question = self.ask(Query::Flow(FlowQuery::default()));
        self.proof = Some(Proof { asked: question.xid, rows: Vec::new(), edits: self.edits });
        Some(question)
    }

    /// Takes in what belongs to the reading; false for everything else.
    pub(super) fn hear_proof(&mut self, xid: u32, reply: &MultipartReply, news: &mut Vec<LinkNews>) -> bool {
        let (Some(proof), Answer::Flow(rows)) = (&mut self.proof, &reply.answer) else { return false };
        if proof.asked != xid {
            return false;
        }
        proof.rows.extend(rows.iter().cloned());
        if !reply.more
            && let Some(proof) = self.proof.take()
        {
            let quiet = proof.edits == self.edits && self.pending() == 0 && self.phase == LinkPhase::Up;
            news.push(LinkNews::Proof { rows: proof.rows, quiet });
        }
        true
    }
}
