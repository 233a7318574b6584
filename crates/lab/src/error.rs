//! What can go wrong in the lab, always naming the command or file at fault.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// A failure of the lab itself: of the machine, of a tool it runs, or of how it was called.
#[derive(Debug, Error)]
pub enum LabError {
    /// The machine cannot hold a lab: not root, no namespaces, a tool missing. The text says what to do.
    #[error("{0}")]
    Machine(String),
    /// The lab was called in a way that cannot work: a bad name, a port in use, code outside the sandbox.
    #[error("{0}")]
    Usage(String),
    /// A tool could not be started.
    #[error("`{command}` did not start: {source}")]
    Start {
        /// The command line.
        command: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A tool ended with an error.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status in words.
        status: String,
        /// The end of what it wrote to its error output.
        stderr: String,
    },
    /// A tool was stopped because it took too long.
    #[error("`{command}` did not end within {} ms and was stopped; it wrote: {written}", after.as_millis())]
    TimedOut {
        /// The command line.
        command: String,
        /// The limit.
        after: Duration,
        /// The end of what it had written by then.
        written: String,
    },
    /// Something started did not become ready in time.
    #[error("{what} was not ready within {} ms: {detail}", after.as_millis())]
    NotReady {
        /// The daemon, client or file waited for.
        what: String,
        /// The limit.
        after: Duration,
        /// The last thing known about it, or where its log is.
        detail: String,
    },
    /// A file or socket of the lab could not be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A tool answered with something the lab does not understand.
    #[error("`{command}` answered `{answer}`, which is not {expected}")]
    Answer {
        /// The command line.
        command: String,
        /// What it wrote, cut.
        answer: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl LabError {
    /// An error about `path`, for use with `map_err`.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// The exit code a program should end with: 2 where the machine or the call is at fault, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Machine(_) | Self::Usage(_) => 2,
            _ => 1,
        }
    }
}
