//! One OpenFlow connection as a state machine: hello, features, configuration, then messages, with echoes to notice a
//! dead peer (OpenFlow 1.3.5 sections 6.3.1 to 6.3.3).
//!
//! ```text
//! new ── hello ──▶ AwaitHello ── FEATURES_REQUEST ──▶ AwaitFeatures ── SET_CONFIG, Ready ──▶ Up
//!                      └──────────── wrong version, timeout, error ────────┴──▶ Closed ◀─────┘
//! ```
//!
//! The machine reads no clock: time is milliseconds of any clock that never goes back.

use crate::error::DecodeError;
use crate::message::{Body, ErrorMessage, Message, VERSION};
use crate::switch::{Features, Hello, SwitchConfig};

/// How long a session waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Milliseconds from the start until features must be there.
    pub handshake_timeout: u64,
    /// Milliseconds of silence after which an echo request is sent.
    pub echo_interval: u64,
    /// Milliseconds of silence after which the peer counts as dead.
    pub dead_after: u64,
    /// Bytes of a packet in packet-ins that no row asked for; 0xffff for all.
    pub miss_send_len: u16,
    /// Messages in a row that cannot be decoded until the connection is closed.
    pub max_decode_errors: u32,
}

impl Default for SessionConfig {
    /// 10 s for the handshake, echo after 5 s, dead after 15 s, whole packets, 100 bad messages.
    fn default() -> Self {
        SessionConfig {
            handshake_timeout: 10_000,
            echo_interval: 5_000,
            dead_after: 15_000,
            miss_send_len: 0xffff,
            max_decode_errors: 100,
        }
    }
}

/// What comes to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the switch.
    Message(Message),
    /// A message that could not be decoded, with its first bytes (at least the header, 64 or more if there are).
    Undecodable {
        /// The message's beginning.
        bytes: Vec<u8>,
        /// What was wrong.
        error: DecodeError,
    },
    /// The time of [`Session::poll_timeout`] has come.
    Timeout,
}

/// What a session wants done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send this to the switch.
    Send(Message),
    /// The switch has introduced itself: from now on messages are delivered.
    Ready(Features),
    /// A message for the controller.
    Deliver(Message),
    /// Close the connection; nothing follows.
    Close(CloseReason),
}

/// Why a session ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The switch does not speak OpenFlow 1.3.
    #[error(
        "the switch offers OpenFlow versions with bits {offered:#x}, not 1.3 (bit 4): allow OpenFlow13 on its bridge"
    )]
    NoCommonVersion {
        /// Bit `n` stands for wire version `n`.
        offered: u32,
    },
    /// The switch did not introduce itself in time.
    #[error("the switch sent no {awaited} within {milliseconds} ms")]
    HandshakeTimeout {
        /// What was missing.
        awaited: &'static str,
        /// The time allowed.
        milliseconds: u64,
    },
    /// The switch fell silent.
    #[error("the switch has been silent for {milliseconds} ms, echo requests included")]
    Dead {
        /// The length of the silence.
        milliseconds: u64,
    },
    /// The switch refused the connection.
    #[error("the switch refused the hello: {0}")]
    Refused(ErrorMessage),
    /// Something came before the hello or the features that may not.
    #[error("the switch sent {name} before its {awaited}")]
    OutOfOrder {
        /// The message that came.
        name: &'static str,
        /// What had to come first.
        awaited: &'static str,
    },
    /// Too many messages could not be decoded.
    #[error("{count} messages in a row could not be decoded, the last because: {last}")]
    Undecodable {
        /// How many.
        count: u32,
        /// What was wrong with the last.
        last: DecodeError,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitHello,
    AwaitFeatures,
    Up,
    Closed,
}

/// The transaction id of everything a session asks by itself. The controller's own should begin at 1.
pub const SESSION_XID: u32 = 0;

/// One connection to a switch.
#[derive(Debug, Clone)]
pub struct Session {
    config: SessionConfig,
    state: State,
    started: u64,
    heard: u64,
    echo_sent: Option<u64>,
    undecodable: u32,
}

impl Session {
    /// A session that starts at `now` (milliseconds), and what to do first: say hello.
    pub fn new(now: u64, config: SessionConfig) -> (Self, Vec<Effect>) {
        let session =
            Session { config, state: State::AwaitHello, started: now, heard: now, echo_sent: None, undecodable: 0 };
        (session, vec![send(Body::Hello(Hello::default()))])
    }

    /// Whether the switch has introduced itself and the connection stands.
    pub fn is_ready(&self) -> bool {
        self.state == State::Up
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// When (in milliseconds) [`Input::Timeout`] is due at the latest; `None` once closed.
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.state {
            State::AwaitHello | State::AwaitFeatures => Some(self.started + self.config.handshake_timeout),
            State::Up => {
                let dead = self.heard + self.config.dead_after;
                Some(dead.min(self.echo_sent.unwrap_or(self.heard) + self.config.echo_interval))
            }
            State::Closed => None,
        }
    }

    /// Takes in what happened at `now` (milliseconds) and says what follows from it.
    pub fn handle(&mut self, input: Input, now: u64) -> Vec<Effect> {
        if self.state == State::Closed {
            return Vec::new();
        }
        match input {
            Input::Timeout => self.handle_timeout(now),
            Input::Undecodable { bytes, error } => {
                self.hear(now);
                self.undecodable += 1;
                self.handle_undecodable(&bytes, error)
            }
            Input::Message(message) => {
                self.hear(now);
                self.undecodable = 0;
                self.handle_message(message)
            }
        }
    }

    fn hear(&mut self, now: u64) {
        self.heard = self.heard.max(now);
        self.echo_sent = None;
    }

    fn close(&mut self, reason: CloseReason) -> Vec<Effect> {
        self.state = State::Closed;
        vec![Effect::Close(reason)]
    }

    fn awaited(&self) -> &'static str {
        if self.state == State::AwaitHello { "hello" } else { "features" }
    }

    fn handle_timeout(&mut self, now: u64) -> Vec<Effect> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Vec::new();
        }
        if self.state != State::Up {
            let milliseconds = self.config.handshake_timeout;
            return self.close(CloseReason::HandshakeTimeout { awaited: self.awaited(), milliseconds });
        }
        let silence = now - self.heard;
        if silence >= self.config.dead_after {
            return self.close(CloseReason::Dead { milliseconds: silence });
        }
        self.echo_sent = Some(now);
        vec![send(Body::EchoRequest(Vec::new()))]
    }

    /// Answers with the error that the specification wants, so that the peer's log says what is wrong.
    fn handle_undecodable(&mut self, bytes: &[u8], error: DecodeError) -> Vec<Effect> {
        // An answer to an error message could go on for ever, and no answer is due to a reply.
        let is_request = !matches!(bytes.get(1), None | Some(1 | 3 | 6 | 8 | 10..=12 | 19 | 21 | 23 | 25 | 27));
        let xid = match bytes.get(4..8) {
            Some([a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]),
            _ => SESSION_XID,
        };
        let code = match error {
            DecodeError::Version { .. } => 0,
            DecodeError::Unknown { .. } => 1,
            _ => 6,
        };
        let mut effects = Vec::new();
        if is_request {
            let data = bytes.get(..bytes.len().min(64)).unwrap_or_default().to_vec();
            effects.push(Effect::Send(Message { xid, body: Body::Error(ErrorMessage { type_: 1, code, data }) }));
        }
        if self.undecodable >= self.config.max_decode_errors || self.state == State::AwaitHello {
            effects.extend(self.close(CloseReason::Undecodable { count: self.undecodable, last: error }));
        }
        effects
    }

    fn handle_message(&mut self, message: Message) -> Vec<Effect> {
        let xid = message.xid;
        match (self.state, message.body) {
            (State::AwaitHello, Body::Hello(hello)) if hello.versions >> VERSION & 1 == 1 => {
                self.state = State::AwaitFeatures;
                vec![send(Body::FeaturesRequest)]
            }
            (State::AwaitHello, Body::Hello(hello)) => {
                let data = b"this controller speaks OpenFlow 1.3 only".to_vec();
                let error = Body::Error(ErrorMessage { type_: 0, code: 0, data });
                let mut effects = vec![Effect::Send(Message { xid, body: error })];
                effects.extend(self.close(CloseReason::NoCommonVersion { offered: hello.versions }));
                effects
            }
            (_, Body::EchoRequest(data)) => vec![Effect::Send(Message { xid, body: Body::EchoReply(data) })],
            (_, Body::EchoReply(_)) if xid == SESSION_XID => Vec::new(),
            (State::AwaitHello | State::AwaitFeatures, Body::Error(error)) if error.type_ == 0 => {
                self.close(CloseReason::Refused(error))
            }
            (State::AwaitFeatures, Body::FeaturesReply(features)) => {
                self.state = State::Up;
                let config = SwitchConfig { flags: 0, miss_send_len: self.config.miss_send_len };
                vec![send(Body::SetConfig(config)), Effect::Ready(features)]
            }
            // A switch may tell of its ports before it has answered; the controller asks for them anyway.
            (State::AwaitFeatures, _) => Vec::new(),
            (State::AwaitHello, body) => self.close(CloseReason::OutOfOrder { name: body.name(), awaited: "hello" }),
            (State::Up, body) => vec![Effect::Deliver(Message { xid, body })],
            (State::Closed, _) => Vec::new(),
        }
    }
}

fn send(body: Body) -> Effect {
    Effect::Send(Message { xid: SESSION_XID, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: Body) -> Input {
        Input::Message(Message { xid: 9, body })
    }

    fn up(now: u64) -> Session {
        let (mut session, _) = Session::new(now, SessionConfig::default());
        session.handle(message(Body::Hello(Hello::default())), now);
        session.handle(message(Body::FeaturesReply(Features::default())), now);
        assert!(session.is_ready());
        session
    }

    #[test]
    fn the_handshake_goes_hello_features_config() {
        let (mut session, effects) = Session::new(0, SessionConfig::default());
        assert_eq!(effects, [send(Body::Hello(Hello { versions: 0x10 }))]);
        let effects = session.handle(message(Body::Hello(Hello { versions: 0x32 })), 1);
        assert_eq!(effects, [send(Body::FeaturesRequest)]);
        let features = Features { datapath_id: 0xabc, ..Features::default() };
        let effects = session.handle(message(Body::FeaturesReply(features)), 2);
        let config = SwitchConfig { flags: 0, miss_send_len: 0xffff };
        assert_eq!(effects, [send(Body::SetConfig(config)), Effect::Ready(features)]);
        let barrier = Message { xid: 4, body: Body::BarrierReply };
        assert_eq!(session.handle(Input::Message(barrier.clone()), 3), [Effect::Deliver(barrier)]);
    }

    #[test]
    fn a_switch_without_1_3_is_told_so() {
        let (mut session, _) = Session::new(0, SessionConfig::default());
        let effects = session.handle(message(Body::Hello(Hello { versions: 0x02 })), 1);
        assert!(matches!(&effects[0], Effect::Send(Message { xid: 9, body: Body::Error(error) }) if error.type_ == 0));
        assert_eq!(effects[1], Effect::Close(CloseReason::NoCommonVersion { offered: 2 }));
        assert_eq!(session.poll_timeout(), None);
        assert!(session.handle(message(Body::BarrierReply), 2).is_empty());
    }

    #[test]
    fn silence_is_answered_by_echoes_and_then_by_closing() {
        let mut session = up(1_000);
        assert_eq!(session.poll_timeout(), Some(6_000));
        assert!(session.handle(Input::Timeout, 5_999).is_empty());
        assert_eq!(session.handle(Input::Timeout, 6_000), [send(Body::EchoRequest(Vec::new()))]);
        assert_eq!(session.handle(Input::Timeout, 11_000), [send(Body::EchoRequest(Vec::new()))]);
        assert_eq!(session.poll_timeout(), Some(16_000));
        let effects = session.handle(Input::Timeout, 16_000);
        assert_eq!(effects, [Effect::Close(CloseReason::Dead { milliseconds: 15_000 })]);
    }

    #[test]
    fn any_message_is_a_sign_of_life() {
        let mut session = up(0);
        session.handle(Input::Timeout, 5_000);
        let reply = Input::Message(Message { xid: SESSION_XID, body: Body::EchoReply(Vec::new()) });
        assert!(session.handle(reply, 5_100).is_empty());
        assert_eq!(session.poll_timeout(), Some(10_100));
    }

    #[test]
    fn echo_requests_are_answered_with_the_same_bytes() {
        let mut session = up(0);
        let effects = session.handle(message(Body::EchoRequest(vec![1, 2])), 1);
        assert_eq!(effects, [Effect::Send(Message { xid: 9, body: Body::EchoReply(vec![1, 2]) })]);
    }

    #[test]
    fn no_features_in_time_closes() {
        let (mut session, _) = Session::new(50, SessionConfig::default());
        session.handle(message(Body::Hello(Hello::default())), 60);
        let effects = session.handle(Input::Timeout, 10_050);
        let reason = CloseReason::HandshakeTimeout { awaited: "features", milliseconds: 10_000 };
        assert_eq!(effects, [Effect::Close(reason)]);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused_and_after_too_many_ends() {
        let mut session = up(0);
        let error = DecodeError::Length { what: "match", at: 8, value: 1 };
        let bad = |type_: u8| Input::Undecodable { bytes: vec![4, type_, 0, 9, 0, 0, 0, 7, 1], error: error.clone() };
        let effects = session.handle(bad(14), 1);
        let expected = ErrorMessage { type_: 1, code: 6, data: vec![4, 14, 0, 9, 0, 0, 0, 7, 1] };
        assert_eq!(effects, [Effect::Send(Message { xid: 7, body: Body::Error(expected) })]);
        for _ in 0..98 {
            assert!(session.handle(bad(1), 1).is_empty(), "an error is never answered by an error");
        }
        let effects = session.handle(bad(10), 1);
        assert_eq!(effects, [Effect::Close(CloseReason::Undecodable { count: 100, last: error.clone() })]);
    }

    #[test]
    fn a_good_message_forgives_the_bad_ones() {
        let mut session = up(0);
        let error = DecodeError::Length { what: "match", at: 8, value: 1 };
        for _ in 0..500 {
            session.handle(Input::Undecodable { bytes: vec![4, 10, 0, 8, 0, 0, 0, 1], error: error.clone() }, 1);
            session.handle(message(Body::BarrierReply), 1);
        }
        assert!(session.is_ready());
    }
}
