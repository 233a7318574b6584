//! `fsegd --record FILE`: what comes into the controller goes into a file, for `fseg replay`.
//!
//! A thread of its own writes, so that a slow disk does not slow the controller down. When it does not keep up, when
//! the file has its full size, or when the disk refuses, the recording ends there and the node goes on without.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use fseg_control::recording::{Recorder, RecordingError};
use fseg_control::{Effect, Input, Now, Record, SiteConfig};
use thiserror::Error;
use tracing::{error, info, warn};

/// Octets that may wait for the disk.
const WAITING: usize = 64 << 20;

/// Where to, and how much.
#[derive(Debug, Clone)]
pub struct RecordTo {
    /// The file. One that is there already is renamed to `FILE.1`, and `FILE.1` to `FILE.2`.
    pub file: PathBuf,
    /// The most octets it may have.
    pub limit: u64,
}

/// Why there is no recording.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The file.
    #[error("recording {file}: {error}")]
    File {
        /// Its path.
        file: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The configuration or a record.
    #[error("{0}")]
    Start(#[from] RecordingError),
}

/// A recording that is being made.
pub struct Recording {
    recorder: Recorder,
    to: RecordTo,
    size: u64,
    /// `None` once the recording has ended.
    pipe: Option<(Sender<Vec<u8>>, JoinHandle<()>)>,
    waiting: Arc<AtomicUsize>,
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let older = |n: u8| PathBuf::from(format!("{}.{n}", path.display()));
    for (from, to) in [(older(1), older(2)), (path.to_owned(), older(1))] {
        match std::fs::rename(from, to) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    // It tells who was where and when: for the node's own user only.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

impl Recording {
    /// Begins with what the controller begins with.
    pub fn begin(to: RecordTo, config: &SiteConfig, records: &[Record], now: Now) -> Result<Self, RecordError> {
        let recorder = Recorder::begin(env!("CARGO_PKG_VERSION"), config, records, now)?;
        let file = open(&to.file).map_err(|error| RecordError::File { file: to.file.clone(), error })?;
        Self::write_to(file, recorder, to)
    }

    fn write_to(mut file: File, recorder: Recorder, to: RecordTo) -> Result<Self, RecordError> {
        let wrong = |error| RecordError::File { file: to.file.clone(), error };
        let waiting = Arc::new(AtomicUsize::new(0));
        let (tx, rx): (_, Receiver<Vec<u8>>) = channel();
        let (path, left) = (to.file.clone(), waiting.clone());
        let writer = move || {
            for bytes in rx {
                let written = file.write_all(&bytes);
                left.fetch_sub(bytes.len(), Ordering::Relaxed);
                if let Err(e) = written {
                    // The sender notices that nobody listens.
                    return error!(file = %path.display(), error = %e, "the recording cannot be written; it ends here");
                }
            }
        };
        let thread = std::thread::Builder::new().name("recording".into()).spawn(writer).map_err(wrong)?;
        info!(file = %to.file.display(), limit = to.limit, "recording");
        Ok(Self { recorder, to, size: 0, pipe: Some((tx, thread)), waiting })
    }

    /// An input, before it is handled.
    pub fn input(&mut self, input: &Input, now: Now) {
        if self.pipe.is_some() {
            self.recorder.input(input, now);
        }
    }

    /// A login is about to be taken up.
    pub fn login_start(&mut self, address: Ipv4Addr, account: &str, now: Now) {
        if self.pipe.is_some() {
            self.recorder.login_start(address, account, now);
        }
    }

    /// What a flush gave. Everything since the last one goes to the disk.
    pub fn flushed(&mut self, effects: &[Effect]) {
        if self.pipe.is_none() {
            return;
        }
        self.recorder.flushed(effects);
        let pending = self.recorder.pending();
        if self.size + pending as u64 > self.to.limit {
            warn!(file = %self.to.file.display(), limit = self.to.limit, "the recording has its full size; it ends here");
            self.end("it has its full size");
        } else if self.waiting.load(Ordering::Relaxed) + pending > WAITING {
            error!(file = %self.to.file.display(), "the disk does not keep up with the recording; it ends here");
            self.end("the disk did not keep up");
        } else {
            let bytes = self.recorder.take();
            self.send(bytes);
        }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        let Some((pipe, _)) = &self.pipe else { return };
        self.size += bytes.len() as u64;
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        if pipe.send(bytes).is_err() {
            self.pipe = None; // the writer has said why
        }
    }

    /// Ends it here, and says so in the file. What did not fit any more is left out. The writer ends by itself once it
    /// has written everything.
    fn end(&mut self, why: &str) -> Option<JoinHandle<()>> {
        self.recorder.discard();
        self.recorder.end(why);
        let bytes = self.recorder.take();
        self.send(bytes);
        self.pipe.take().map(|(_, thread)| thread)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(thread) = self.end("the node was stopped") {
            let _ = thread.join(); // a writer that panicked has said so
        }
    }
}

#[cfg(test)]
mod tests;
