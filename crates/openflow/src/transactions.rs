//! What was asked and what was said to it: answers, errors and barriers matched by transaction id (OpenFlow 1.3.5
//! sections 6.2, 7.1.1 and 7.3.8).
//!
//! A switch acknowledges a change only by the barrier behind it: when the barrier's reply comes, every change sent before
//! that barrier has taken effect, but for those that an error named. [`Transactions`] keeps that book. It sends nothing
//! and reads no clock.

use std::collections::BTreeMap;

use crate::message::{Body, ErrorMessage, Message};
use crate::session::SESSION_XID;

/// The open transactions of one connection. `T` is what the caller knows a change or a question by.
#[derive(Debug, Clone)]
pub struct Transactions<T> {
    /// By transaction id, in the order of sending as long as the ids have not wrapped around.
    open: BTreeMap<u64, Open<T>>,
    /// Ids counted without wrapping: the lower 32 bits go out.
    next: u64,
    limit: usize,
}

#[derive(Debug, Clone)]
enum Open<T> {
    Change(T),
    Question(T),
    Barrier,
}

/// What a message from the switch means for what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// A barrier was answered: these changes are in force, in the order of sending.
    Confirmed(Vec<T>),
    /// A change or a question was refused.
    Refused {
        /// Which.
        token: T,
        /// Why.
        error: ErrorMessage,
    },
    /// The answer to a question. With `more`, another part follows and the question stays open.
    Answered {
        /// Which.
        token: T,
        /// Whether more parts follow.
        more: bool,
    },
    /// A reply or an error whose transaction is not open: a peer's mistake, or an answer to something given up.
    Unexpected,
    /// The message answers nothing.
    Unasked,
}

/// There are as many open transactions as allowed: wait for a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} transactions are open, which is the limit: wait for a barrier's reply before sending more")]
pub struct TooManyOpen {
    /// The limit.
    pub limit: usize,
}

impl<T: Clone> Transactions<T> {
    /// No open transactions; at most `limit` (at least 1) at a time. Ids begin at 1, since [`SESSION_XID`] is the
    /// session's own.
    pub fn new(limit: usize) -> Self {
        Transactions { open: BTreeMap::new(), next: 1, limit: limit.max(1) }
    }

    /// Number of open transactions.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    fn begin(&mut self, open: Open<T>) -> Result<u32, TooManyOpen> {
        if self.open.len() >= self.limit {
            return Err(TooManyOpen { limit: self.limit });
        }
        let mut id = self.next;
        // The lower bits of an id must be neither the session's nor those of one that is open still.
        while id as u32 == SESSION_XID || self.key(id as u32).is_some() {
            id += 1;
        }
        self.next = id + 1;
        self.open.insert(id, open);
        Ok(id as u32)
    }

    /// The transaction id for a change, which is confirmed by the next barrier.
    ///
    /// # Errors
    /// [`TooManyOpen`] at the limit.
    pub fn change(&mut self, token: T) -> Result<u32, TooManyOpen> {
        self.begin(Open::Change(token))
    }

    /// The transaction id for a question, which is answered by a message of its own.
    ///
    /// # Errors
    /// [`TooManyOpen`] at the limit.
    pub fn question(&mut self, token: T) -> Result<u32, TooManyOpen> {
        self.begin(Open::Question(token))
    }

    /// The transaction id for a barrier behind everything so far. A barrier is always possible: it is what makes room.
    pub fn barrier(&mut self) -> u32 {
        let limit = std::mem::replace(&mut self.limit, usize::MAX);
        let id = self.begin(Open::Barrier);
        self.limit = limit;
        id.unwrap_or(SESSION_XID)
    }

    /// The full id of the open transaction with these lower bits.
    fn key(&self, xid: u32) -> Option<u64> {
        let newest = self.next;
        // Of the ids with these bits only the last two before `next` can be open: more would need 2³² transactions.
        let base = newest & !u64::from(u32::MAX) | u64::from(xid);
        [Some(base), base.checked_sub(1 << 32)].into_iter().flatten().find(|id| self.open.contains_key(id))
    }

    /// Takes in a message from the switch.
    pub fn handle(&mut self, message: &Message) -> Outcome<T> {
        let (reply, more) = match &message.body {
            Body::Error(_) | Body::BarrierReply => (true, false),
            Body::MultipartReply(reply) => (true, reply.more),
            Body::EchoReply(_)
            | Body::FeaturesReply(_)
            | Body::GetConfigReply(_)
            | Body::QueueGetConfigReply(_)
            | Body::RoleReply(_)
            | Body::GetAsyncReply(_)
            | Body::NxTlvTableReply(_)
            | Body::BundleControl(_) => (true, false),
            _ => (false, false),
        };
        let key = self.key(message.xid);
        match (key, &message.body) {
            (None, _) if reply => Outcome::Unexpected,
            (None, _) => Outcome::Unasked,
            (Some(key), Body::BarrierReply) => self.confirm(key),
            (Some(key), Body::Error(error)) => match self.open.remove(&key) {
                Some(Open::Change(token) | Open::Question(token)) => Outcome::Refused { token, error: error.clone() },
                // A refused barrier confirms nothing; its changes wait for the next one.
                Some(Open::Barrier) | None => Outcome::Unexpected,
            },
            (Some(key), _) => self.answer(key, reply, more),
        }
    }

    fn answer(&mut self, key: u64, reply: bool, more: bool) -> Outcome<T> {
        let Some(Open::Question(token)) = self.open.get(&key).filter(|_| reply) else {
            // A packet-in or the like may carry any id.
            return if reply { Outcome::Unexpected } else { Outcome::Unasked };
        };
        let token = token.clone();
        if !more {
            self.open.remove(&key);
        }
        Outcome::Answered { token, more }
    }

    /// Everything sent before the barrier is done, earlier barriers included: a switch answers them in order.
    fn confirm(&mut self, barrier: u64) -> Outcome<T> {
        if !matches!(self.open.get(&barrier), Some(Open::Barrier)) {
            return Outcome::Unexpected;
        }
        let later = self.open.split_off(&(barrier + 1));
        let before = std::mem::replace(&mut self.open, later);
        let mut confirmed = Vec::new();
        for (key, open) in before {
            match open {
                Open::Change(token) => confirmed.push(token),
                // A long answer may come after the barrier's reply.
                Open::Question(token) => drop(self.open.insert(key, Open::Question(token))),
                Open::Barrier => {}
            }
        }
        Outcome::Confirmed(confirmed)
    }

    /// Gives up everything that is open, as when the connection ends: what the caller must send again, in the order of
    /// sending.
    pub fn give_up(&mut self) -> Vec<T> {
        let open = std::mem::take(&mut self.open);
        open.into_values()
            .filter_map(|open| match open {
                Open::Change(token) | Open::Question(token) => Some(token),
                Open::Barrier => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multipart::{Aggregate, Answer, MultipartReply};

    fn message(xid: u32, body: Body) -> Message {
        Message { xid, body }
    }

    fn part(xid: u32, more: bool) -> Message {
        let answer = Answer::Aggregate(Aggregate::default());
        message(xid, Body::MultipartReply(MultipartReply { more, answer }))
    }

    fn error() -> ErrorMessage {
        ErrorMessage { type_: 5, code: 1, data: Vec::new() }
    }

    #[test]
    fn a_barrier_confirms_what_was_sent_before_it_and_no_error_named() {
        let mut book = Transactions::new(100);
        let [a, b, c] = ["a", "b", "c"].map(|token| book.change(token).unwrap());
        let first = book.barrier();
        let d = book.change("d").unwrap();
        let second = book.barrier();
        assert_eq!((a, b, c, first, d, second), (1, 2, 3, 4, 5, 6));
        let refused = Outcome::Refused { token: "b", error: error() };
        assert_eq!(book.handle(&message(b, Body::Error(error()))), refused);
        assert_eq!(book.handle(&message(first, Body::BarrierReply)), Outcome::Confirmed(vec!["a", "c"]));
        assert_eq!(book.handle(&message(first, Body::BarrierReply)), Outcome::Unexpected, "once only");
        assert_eq!(book.handle(&message(second, Body::BarrierReply)), Outcome::Confirmed(vec!["d"]));
        assert_eq!(book.open(), 0);
    }

    #[test]
    fn a_later_barrier_confirms_for_an_earlier_one() {
        let mut book = Transactions::new(100);
        book.change("a").unwrap();
        let first = book.barrier();
        book.change("b").unwrap();
        let second = book.barrier();
        assert_eq!(book.handle(&message(second, Body::BarrierReply)), Outcome::Confirmed(vec!["a", "b"]));
        assert_eq!(book.handle(&message(first, Body::BarrierReply)), Outcome::Unexpected);
    }

    #[test]
    fn questions_outlive_barriers_and_end_with_their_last_part() {
        let mut book = Transactions::new(100);
        let question = book.question("rows").unwrap();
        let barrier = book.barrier();
        assert_eq!(book.handle(&part(question, true)), Outcome::Answered { token: "rows", more: true });
        assert_eq!(book.handle(&message(barrier, Body::BarrierReply)), Outcome::Confirmed(Vec::new()));
        assert_eq!(book.handle(&part(question, false)), Outcome::Answered { token: "rows", more: false });
        assert_eq!(book.handle(&part(question, false)), Outcome::Unexpected);
        let echo = message(77, Body::EchoRequest(Vec::new()));
        assert_eq!(book.handle(&echo), Outcome::Unasked);
    }

    #[test]
    fn there_is_a_limit_and_a_barrier_makes_room() {
        let mut book = Transactions::new(2);
        book.change(1).unwrap();
        book.change(2).unwrap();
        assert_eq!(book.change(3), Err(TooManyOpen { limit: 2 }));
        let barrier = book.barrier();
        assert_eq!(book.handle(&message(barrier, Body::BarrierReply)), Outcome::Confirmed(vec![1, 2]));
        book.change(3).unwrap();
        assert_eq!(book.give_up(), [3]);
        assert_eq!(book.open(), 0);
    }

    #[test]
    fn ids_wrap_around_without_meeting_the_session_s_or_an_open_one() {
        let mut book = Transactions::new(100);
        let old = book.question("old").unwrap();
        book.next = u64::from(u32::MAX);
        assert_eq!(book.change("last").unwrap(), u32::MAX);
        // 0 is the session's, 1 is open still.
        assert_eq!((old, book.change("first").unwrap()), (1, 2));
        let barrier = book.barrier();
        assert_eq!(book.handle(&message(barrier, Body::BarrierReply)), Outcome::Confirmed(vec!["last", "first"]));
        assert_eq!(book.handle(&part(old, false)), Outcome::Answered { token: "old", more: false });
    }

    #[test]
    fn a_refused_barrier_confirms_nothing() {
        let mut book = Transactions::new(100);
        book.change("a").unwrap();
        let first = book.barrier();
        assert_eq!(book.handle(&message(first, Body::Error(error()))), Outcome::Unexpected);
        let second = book.barrier();
        assert_eq!(book.handle(&message(second, Body::BarrierReply)), Outcome::Confirmed(vec!["a"]));
    }
}
