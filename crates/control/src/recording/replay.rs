//! Living through a recording again.

use std::collections::BTreeMap;

use fseg_admission::{Attempt, LoginStart};

use super::digest::EffectDigest;
use super::read::{Reader, RecordingError, Start, Step};
use crate::controller::{Controller, Now, StartError};
use crate::effect::Effect;
use crate::input::Input;

/// Why a replay cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file.
    #[error("{0}")]
    Recording(#[from] RecordingError),
    /// The controller does not start with what the recording begins with.
    #[error("the controller does not start: {0}")]
    Start(#[from] StartError),
    /// A login ends that never began.
    #[error("step {step}: a login ends whose beginning is not in the recording, or was refused this time")]
    NoAttempt {
        /// Which step.
        step: u64,
    },
}

/// Where a replay and its recording part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which effect of the flush, from 0.
    pub effect: usize,
    /// What was recorded; `None` when there is one more now.
    pub recorded: Option<EffectDigest>,
    /// What came out now; `None` when there is one less.
    pub replayed: Option<EffectDigest>,
}

/// A step that was taken.
#[derive(Debug)]
pub struct Done {
    /// Its number, from 1.
    pub number: u64,
    /// When it was, as far as it says.
    pub now: Now,
    /// What it was, for people.
    pub what: String,
    /// Whether it was a flush.
    pub flushed: bool,
    /// What came out of it then.
    pub effects: Vec<Effect>,
    /// The first effect that is not as recorded.
    pub difference: Option<Difference>,
}

/// A recording and a controller that lives through it.
pub struct Replay<'a> {
    reader: Reader<'a>,
    /// Read already, not taken yet.
    next: Option<Step>,
    controller: Controller,
    program: String,
    attempts: BTreeMap<u64, Attempt>,
    number: u64,
    now: Now,
    ended: Option<String>,
}

impl<'a> Replay<'a> {
    /// The controller as it began.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ReplayError> {
        let (Start { program, now, config, records }, reader) = Reader::new(bytes)?;
        let controller = Controller::new(config, records, now)?;
        Ok(Self { reader, next: None, controller, program, attempts: BTreeMap::new(), number: 0, now, ended: None })
    }

    /// The controller as it is now.
    pub fn controller(&mut self) -> &mut Controller {
        &mut self.controller
    }

    /// The version of the program that wrote the recording.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// When the last step was.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Why the recording was ended, when it was ended on purpose.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Octets of an unfinished frame at the end. Meaningful when there are no more steps.
    pub fn torn(&self) -> usize {
        self.reader.torn()
    }

    fn peek(&mut self) -> Result<&mut Option<Step>, ReplayError> {
        if self.next.is_none() {
            self.next = self.reader.next().transpose()?;
        }
        Ok(&mut self.next)
    }

    /// When the next step is to be, as far as it says; `None` when there are no more steps.
    pub fn next_time(&mut self) -> Result<Option<Now>, ReplayError> {
        let now = self.now;
        Ok(self.peek()?.as_ref().map(|step| match step {
            Step::Input(now, _) | Step::LoginStart { now, .. } | Step::LoginFinished { now, .. } => *now,
            Step::Flush(_) | Step::End(_) => now,
        }))
    }

    /// Takes the next step; `None` when there are no more.
    pub fn step(&mut self) -> Result<Option<Done>, ReplayError> {
        let Some(step) = self.peek()?.take() else { return Ok(None) };
        self.number += 1;
        let mut done = Done {
            number: self.number,
            now: self.now,
            what: String::new(),
            flushed: false,
            effects: Vec::new(),
            difference: None,
        };
        match step {
            Step::Input(now, input) => {
                done.what = describe(&input);
                self.handle(*input, now);
            }
            Step::LoginStart { now, address, account } => {
                self.now = now;
                let start = self.controller.login_start(address, &account, now);
                let how = match start {
                    Some(LoginStart::Check { attempt, .. }) => {
                        let how = format!("attempt {}", attempt.id());
                        self.attempts.insert(attempt.id(), attempt);
                        how
                    }
                    Some(LoginStart::Locked { .. }) => "locked".into(),
                    Some(LoginStart::Busy) => "busy".into(),
                    None => "nobody is known there".into(),
                };
                done.what = format!("login as {account} from {address} begins: {how}");
            }
            Step::LoginFinished { now, ticket, address, attempt, verified } => {
                let is = if verified { "right" } else { "wrong" };
                done.what = format!("attempt {attempt} from {address}: the password is {is}");
                let attempt = self.attempts.remove(&attempt).ok_or(ReplayError::NoAttempt { step: self.number })?;
                self.handle(Input::LoginFinished { ticket, address, attempt, verified }, now);
            }
            Step::Flush(recorded) => {
                done.effects = self.controller.flush();
                done.flushed = true;
                done.what = format!("{} effects", done.effects.len());
                done.difference = difference(recorded, &done.effects);
            }
            Step::End(why) => {
                done.what = format!("the recording was ended: {why}");
                self.ended = Some(why);
            }
        }
        done.now = self.now;
        Ok(Some(done))
    }

    fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        self.controller.handle(input, now);
    }
}

fn difference(recorded: Vec<EffectDigest>, effects: &[Effect]) -> Option<Difference> {
    let mut recorded = recorded.into_iter();
    let mut replayed = effects.iter().map(EffectDigest::of);
    for effect in 0.. {
        match (recorded.next(), replayed.next()) {
            (None, None) => return None,
            (recorded, replayed) if recorded != replayed => {
                return Some(Difference { effect, recorded, replayed });
            }
            _ => {}
        }
    }
    None
}

/// The longest description in characters.
const LONGEST: usize = 200;

/// An input in a line.
fn describe(input: &Input) -> String {
    let text = match input {
        Input::Message { dpid, message, .. } => format!("{dpid} says {message}"),
        Input::Tick => return "tick".into(),
        other => format!("{other:?}"),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
