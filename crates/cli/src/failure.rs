//! How a command ends.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use fseg_api::{ApiError, ErrorCode};

/// A command that did its work: what did it find?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Yes, or done: exit code 0.
    Yes,
    /// No, denied, or a test failed: exit code 1.
    No,
    /// The input is wrong, and has been shown to be: exit code 2.
    Wrong,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Yes => Self::from(0),
            Outcome::No => Self::from(1),
            Outcome::Wrong => Self::from(2),
        }
    }
}

/// A command that did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What went wrong.
    pub(crate) message: String,
    /// What to try.
    pub(crate) help: Option<String>,
    code: u8,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, code }
    }
    /// A wrong command line or input.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }
    /// The node cannot be reached, or does not answer sensibly.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }
    /// A file that cannot be read.
    pub(crate) fn file(path: &Path, error: impl Display) -> Self {
        Self::usage(format!("{}: {error}", path.display()))
    }
    /// Standard output cannot be written.
    pub(crate) fn output(error: impl Display) -> Self {
        Self::usage(format!("cannot write the output: {error}"))
    }
    /// Adds what to try.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
    /// For the shell.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl From<ApiError> for Failure {
    fn from(e: ApiError) -> Self {
        let code = match e.code {
            ErrorCode::Unauthenticated
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::Refused => 1,
            ErrorCode::BadRequest | ErrorCode::MethodNotAllowed | ErrorCode::TooLarge => 2,
            ErrorCode::TooMany | ErrorCode::Internal | ErrorCode::Unavailable | ErrorCode::Timeout => 3,
        };
        Self { message: e.message, help: e.help, code }
    }
}
