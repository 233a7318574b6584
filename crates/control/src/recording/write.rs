//! Writing a recording.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use fseg_admission::{Account, PasswordHash};
use serde::Serialize;

use super::digest::{self, EffectDigest};
use super::format::{Fnv, MAGIC, VERSION, chain, kind};
use super::read::{LoginBegun, LoginEnded, RecordingError, Timed};
use crate::config::SiteConfig;
use crate::controller::Now;
use crate::effect::Effect;
use crate::input::Input;
use crate::record::Record;

/// Turns what comes into a controller, and what comes out, into the octets of a recording.
///
/// Pure: it keeps the octets until [`Recorder::take`] is called, which whoever writes them does after every flush.
pub struct Recorder {
    out: Vec<u8>,
    chain: Fnv,
    /// The chain where `out` begins.
    taken: Fnv,
    /// Hashes met so far, with the numbers of what stands for them.
    hashes: BTreeMap<String, u32>,
}

#[derive(Serialize)]
struct StartOut<'a> {
    program: &'a str,
    now: Now,
    config: &'a SiteConfig,
    records: Vec<Record>,
}

impl Recorder {
    /// Begins a recording. All arguments are those that the controller is made with; `program` is the version of the
    /// program that runs it.
    pub fn begin(program: &str, config: &SiteConfig, records: &[Record], now: Now) -> Result<Self, RecordingError> {
        let mut new = Self { out: MAGIC.to_vec(), chain: Fnv::NEW, taken: Fnv::NEW, hashes: BTreeMap::new() };
        new.out.extend(VERSION.to_be_bytes());
        let records = records
            .iter()
            .map(|r| match r {
                Record::Account(a) => Record::Account(new.stand_in(a)),
                other => other.clone(),
            })
            .collect();
        let body = serde_json::to_vec(&StartOut { program, now, config, records });
        new.frame(kind::START, &body.map_err(|e| RecordingError::Unwritable(e.to_string()))?);
        Ok(new)
    }

    /// The account with a stand-in for its password's hash: another one for another hash.
    fn stand_in(&mut self, account: &Account) -> Account {
        let next = u32::try_from(self.hashes.len()).unwrap_or(u32::MAX);
        let number = *self.hashes.entry(account.password.clone().into()).or_insert(next);
        let password: PasswordHash = account.password.stand_in(number);
        Account { password, ..account.clone() }
    }

    fn frame(&mut self, kind: u8, body: &[u8]) {
        self.chain = chain(self.chain, kind, body);
        self.out.push(kind);
        self.out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.out.extend(body);
        self.out.extend(self.chain.0.to_be_bytes());
    }

    fn json(&mut self, kind: u8, value: &impl Serialize) {
        // Inputs are plain values; one that cannot be written leaves a gap that the replay's digests show.
        if let Ok(body) = serde_json::to_vec(value) {
            self.frame(kind, &body);
        }
    }

    /// An input, before it is handled.
    pub fn input(&mut self, input: &Input, now: Now) {
        match input {
            Input::Message { dpid, connection, message } => {
                let mut body = Vec::new();
                for number in [now.wall.0, now.mono.0, dpid.0, *connection] {
                    body.extend(number.to_be_bytes());
                }
                body.extend(digest::bytes(message));
                self.frame(kind::MESSAGE, &body);
            }
            Input::LoginFinished { ticket, address, attempt, verified } => {
                let what =
                    LoginEnded { ticket: *ticket, address: *address, attempt: attempt.id(), verified: *verified };
                self.json(kind::LOGIN_FINISHED, &Timed { now, what });
            }
            Input::PutAccount { ticket, who, account } => {
                let account = Box::new(self.stand_in(account));
                let what = Input::PutAccount { ticket: *ticket, who: who.clone(), account };
                self.json(kind::INPUT, &Timed { now, what });
            }
            other => self.json(kind::INPUT, &Timed { now, what: other }),
        }
    }

    /// [`crate::Controller::login_start`] is about to be called.
    pub fn login_start(&mut self, address: Ipv4Addr, account: &str, now: Now) {
        self.json(kind::LOGIN_START, &Timed { now, what: LoginBegun { address, account: account.into() } });
    }

    /// What a flush gave.
    pub fn flushed(&mut self, effects: &[Effect]) {
        let mut body = Vec::new();
        for effect in effects {
            let EffectDigest { kind, digest } = EffectDigest::of(effect);
            body.push(u8::try_from(kind.len()).unwrap_or(u8::MAX));
            body.extend(kind.bytes().take(usize::from(u8::MAX)));
            body.extend(digest.to_be_bytes());
        }
        self.frame(kind::FLUSH, &body);
    }

    /// Ends the recording on purpose.
    pub fn end(&mut self, why: &str) {
        self.frame(kind::END, why.as_bytes());
    }

    /// The octets since the last call, to be appended to the file.
    pub fn take(&mut self) -> Vec<u8> {
        self.taken = self.chain;
        std::mem::take(&mut self.out)
    }

    /// How many octets [`Recorder::take`] would give.
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Forgets everything since [`Recorder::take`]: for a recording that has no room left and is about to be ended.
    pub fn discard(&mut self) {
        self.chain = self.taken;
        self.out.clear();
    }
}
