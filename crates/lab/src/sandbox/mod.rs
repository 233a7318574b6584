//! The sandbox: fresh mount, network and process namespaces in which a lab runs.
//!
//! The program is executed three times. The *outer* process (the one a person started) stays on the host, holds one
//! end of a pipe and waits. The *init* process is number 1 of the new process namespace: it prepares the mounts and
//! reaps orphans. The *inside* process is its child and does the work. When the outer process ends for whatever
//! reason, SIGKILL included, the pipe ends, init exits, and the kernel ends everything else in the namespace:
//! processes, interfaces, mounts. Nothing depends on a destructor having run.

mod init;
mod outer;
pub mod testing;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::LabError;

/// Which of the three processes this is.
const STAGE: &str = "FSEG_LAB_STAGE";
/// The state folder, for init and inside.
const DIR: &str = "FSEG_LAB_DIR";
/// Whether init removes the state folder when the outer process vanished.
const KEEP: &str = "FSEG_LAB_KEEP";
/// Exists only on the sandbox's private `/run`.
const MARKER: &str = "/run/fseg-lab/inside";

/// The longest path of a state folder, in bytes: unix socket paths end at 107 (`unix(7)`), and the lab adds up to 46
/// (`/ovs/NAME/db.sock`).
const LONGEST_DIR: usize = 56;

/// When the state folder (logs, sockets, captures) survives the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Removed in any case.
    Never,
    /// Kept where the lab ended with an exit code other than 0 and was not interrupted.
    #[default]
    OnFailure,
    /// Kept in any case.
    Always,
}

/// How to enter the sandbox.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The state folder: absolute, absent or empty, at most 56 bytes long, not below `/run`, `/etc`, `/proc`, `/sys` or
    /// `/dev`. `None`: a fresh one below `/tmp`.
    pub dir: Option<PathBuf>,
    /// When it is kept.
    pub keep: Keep,
}

/// Where [`enter`] returned.
#[derive(Debug)]
pub enum Entered {
    /// In the sandbox: build a [`crate::Lab`] on this state folder, then exit.
    Inside(PathBuf),
    /// On the host, after the sandbox has ended: end with this exit code.
    Ended(u8),
}

/// What `lab.json` in the state folder says, for other terminals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// Process number, on the host, of the sandbox's process 1.
    pub pid: u32,
}

impl Handle {
    /// The file's place in the state folder `dir`.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("lab.json")
    }
}

/// Re-executes this program, with `args`, in fresh namespaces.
///
/// Called as early as possible, before threads exist. On the host it returns only after the sandbox has ended
/// ([`Entered::Ended`], 130 if interrupted); in the sandbox it returns at once ([`Entered::Inside`]), and the caller
/// does its work. The same call serves all processes, so the caller needs no logic of its own.
pub fn enter(options: &Options, args: &[OsString]) -> Result<Entered, LabError> {
    match std::env::var(STAGE).as_deref() {
        Ok("init") if std::process::id() == 1 => init::run(args),
        Ok("inside") if inside() => Ok(Entered::Inside(
            std::env::var_os(DIR).map(PathBuf::from).ok_or_else(|| LabError::Usage(format!("{DIR} is not set")))?,
        )),
        Err(std::env::VarError::NotPresent) => outer::run(options, args).map(Entered::Ended),
        _ => Err(LabError::Usage(format!("{STAGE} is set, but this is not a lab's sandbox: unset it"))),
    }
}

/// Whether this process runs in a lab's sandbox.
#[must_use]
pub fn inside() -> bool {
    Path::new(MARKER).exists()
}

/// One sentence on why a lab cannot run here; `None` if it can.
#[must_use]
pub fn obstacle() -> Option<String> {
    outer::obstacle()
}
