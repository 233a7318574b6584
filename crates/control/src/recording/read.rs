//! Reading a recording.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use fseg_model::{Dpid, Mono, Wall};
use fseg_openflow::Message;
use serde::{Deserialize, Serialize};

use super::digest::EffectDigest;
use super::format::{Fnv, HEADER, MAGIC, OVERHEAD, VERSION, chain, kind};
use crate::config::SiteConfig;
use crate::controller::Now;
use crate::effect::Ticket;
use crate::input::Input;
use crate::record::Record;

/// What is wrong with a recording. Places are octets from the beginning of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// Something else.
    #[error("this is not a recording: it does not begin with `FSEGREC`")]
    Foreign,
    /// Of another program version.
    #[error("the recording has format {found}, this program reads format {VERSION}; use the program that wrote it")]
    Version {
        /// What it has.
        found: u16,
    },
    /// A frame does not follow from what is before it.
    #[error("octet {at}: the file was altered or damaged here (its chain of checksums breaks)")]
    Altered {
        /// Where the frame begins.
        at: usize,
    },
    /// A frame is whole, but does not say what this program knows.
    #[error("octet {at}: {reason}; the file was written by another version of the program")]
    Unknown {
        /// Where the frame begins.
        at: usize,
        /// What is not known.
        reason: String,
    },
    /// Nothing but the header, or less.
    #[error("the recording ends before its beginning was written")]
    Empty,
    /// The configuration or a record cannot be written.
    #[error("the beginning of the recording cannot be written: {0}")]
    Unwritable(String),
}

/// How a recording begins.
#[derive(Debug, Deserialize)]
pub struct Start {
    /// The version of the program that wrote it.
    pub program: String,
    /// When.
    pub now: Now,
    /// The site's configuration.
    pub config: SiteConfig,
    /// What was committed before.
    pub records: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Timed<T> {
    pub(super) now: Now,
    pub(super) what: T,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LoginBegun {
    pub(super) address: Ipv4Addr,
    pub(super) account: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LoginEnded {
    pub(super) ticket: Ticket,
    pub(super) address: Ipv4Addr,
    pub(super) attempt: u64,
    pub(super) verified: bool,
}

/// One frame after the start.
#[derive(Debug)]
pub enum Step {
    /// An input, all but the end of a login.
    Input(Now, Box<Input>),
    /// A login was taken up.
    LoginStart {
        /// When.
        now: Now,
        /// From which address.
        address: Ipv4Addr,
        /// The account as typed.
        account: String,
    },
    /// A login's password was checked.
    LoginFinished {
        /// When.
        now: Now,
        /// Who waited.
        ticket: Ticket,
        /// From which address.
        address: Ipv4Addr,
        /// The number of the attempt, counted by the starts of logins.
        attempt: u64,
        /// Whether the password was right.
        verified: bool,
    },
    /// The effects were handed out.
    Flush(Vec<EffectDigest>),
    /// The recording was ended on purpose.
    End(String),
}

/// Where a frame begins, its kind and its body.
type Frame<'a> = (usize, u8, &'a [u8]);

/// Reads steps one by one.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    chain: Fnv,
    failed: bool,
}

impl<'a> Reader<'a> {
    /// Reads the beginning of a recording that is all in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Result<(Start, Self), RecordingError> {
        let whole = bytes.get(..HEADER).ok_or(if MAGIC.starts_with(&bytes[..bytes.len().min(MAGIC.len())]) {
            RecordingError::Empty
        } else {
            RecordingError::Foreign
        })?;
        if !whole.starts_with(MAGIC) {
            return Err(RecordingError::Foreign);
        }
        let found = u16::from_be_bytes([whole[MAGIC.len()], whole[MAGIC.len() + 1]]);
        if found != VERSION {
            return Err(RecordingError::Version { found });
        }
        let mut reader = Self { bytes, at: HEADER, chain: Fnv::NEW, failed: false };
        let (at, kind, body) = reader.frame()?.ok_or(RecordingError::Empty)?;
        if kind != kind::START {
            return Err(RecordingError::Unknown { at, reason: format!("the first frame is of kind {kind}") });
        }
        Ok((json(at, body)?, reader))
    }

    /// Octets at the end that are no whole frame: what a crash left behind. Meaningful when there are no more steps.
    pub fn torn(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Octets read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    fn frame(&mut self) -> Result<Option<Frame<'a>>, RecordingError> {
        let at = self.at;
        let Some(rest) = self.bytes.get(at..) else { return Ok(None) };
        let &[kind, a, b, c, d, ref rest @ ..] = rest else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let (Some(body), Some(sum)) = (rest.get(..length), rest.get(length..length.saturating_add(8))) else {
            return Ok(None);
        };
        let chain = chain(self.chain, kind, body);
        if chain.0.to_be_bytes() != sum {
            return Err(RecordingError::Altered { at });
        }
        self.chain = chain;
        self.at = at + OVERHEAD + length;
        Ok(Some((at, kind, body)))
    }

    fn step(&mut self) -> Result<Option<Step>, RecordingError> {
        let Some((at, kind, body)) = self.frame()? else { return Ok(None) };
        let step = match kind {
            kind::MESSAGE => message(body).map_err(|reason| RecordingError::Unknown { at, reason })?,
            kind::INPUT => {
                let Timed { now, what } = json(at, body)?;
                Step::Input(now, Box::new(what))
            }
            kind::LOGIN_START => {
                let Timed { now, what: LoginBegun { address, account } } = json(at, body)?;
                Step::LoginStart { now, address, account }
            }
            kind::LOGIN_FINISHED => {
                let Timed { now, what: LoginEnded { ticket, address, attempt, verified } } = json(at, body)?;
                Step::LoginFinished { now, ticket, address, attempt, verified }
            }
            kind::FLUSH => {
                let digests = digests(body);
                Step::Flush(digests.ok_or(RecordingError::Unknown { at, reason: "effects cut off".into() })?)
            }
            kind::END => Step::End(String::from_utf8_lossy(body).into_owned()),
            other => return Err(RecordingError::Unknown { at, reason: format!("frames of kind {other}") }),
        };
        Ok(Some(step))
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Step, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

fn json<T: for<'de> Deserialize<'de>>(at: usize, body: &[u8]) -> Result<T, RecordingError> {
    serde_json::from_slice(body).map_err(|e| RecordingError::Unknown { at, reason: e.to_string() })
}

fn message(body: &[u8]) -> Result<Step, String> {
    let number = |n: usize| -> Result<u64, String> {
        let bytes: Option<[u8; 8]> = body.get(8 * n..8 * n + 8).and_then(|b| b.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or_else(|| "a message cut off".into())
    };
    let now = Now { wall: Wall(number(0)?), mono: Mono(number(1)?) };
    let (dpid, connection) = (Dpid(number(2)?), number(3)?);
    let message = Message::decode(body.get(32..).unwrap_or_default()).map_err(|e| format!("OpenFlow: {e}"))?;
    Ok(Step::Input(now, Box::new(Input::Message { dpid, connection, message: Box::new(message) })))
}

fn digests(mut body: &[u8]) -> Option<Vec<EffectDigest>> {
    let mut out = Vec::new();
    while let Some((length, rest)) = body.split_first() {
        let (kind, rest) = rest.split_at_checked(usize::from(*length))?;
        let (digest, rest) = rest.split_first_chunk::<8>()?;
        let kind = Cow::Owned(String::from_utf8_lossy(kind).into_owned());
        out.push(EffectDigest { kind, digest: u64::from_be_bytes(*digest) });
        body = rest;
    }
    Some(out)
}
