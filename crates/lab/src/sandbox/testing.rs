//! Ordinary `#[test]` functions that run in a sandbox of their own.

use std::ffi::OsString;

use super::{Entered, Options, STAGE, enter, inside, obstacle};
use crate::{Lab, LabError};

/// Set to any value, a test that cannot run here fails instead of being skipped.
pub const REQUIRED: &str = "FSEG_LAB_REQUIRED";

/// The exit code of a body that ran to its end. A harness that found no such test would exit with 0 as well, so 0 proves
/// nothing.
pub(super) const PROVEN: u8 = 86;

/// Runs `body` in a fresh sandbox with a fresh [`Lab`].
///
/// `name` is the test's full name as the harness prints it (`module::function`): the test binary is executed again
/// with `--exact NAME`. Where the machine cannot hold a lab the test says so and passes, unless `FSEG_LAB_REQUIRED`
/// is set. On failure the state folder with all logs is kept and named.
///
/// # Panics
/// If the body panicked, returned an error, or did not run at all: that is how a test fails.
#[expect(clippy::panic, reason = "a panic is how a test fails")]
pub fn in_sandbox(name: &str, body: impl FnOnce(&Lab) -> Result<(), LabError>) {
    let outside = !inside() && std::env::var_os(STAGE).is_none();
    if outside && let Some(reason) = obstacle() {
        assert!(std::env::var_os(REQUIRED).is_none(), "{name} cannot run: {reason}");
        eprintln!("SKIPPED {name}: {reason}");
        return;
    }
    let args: Vec<OsString> = [name, "--exact", "--nocapture"].iter().map(OsString::from).collect();
    match enter(&Options::default(), &args) {
        Ok(Entered::Ended(PROVEN)) => {}
        Ok(Entered::Ended(0)) => panic!("the harness found no test called `{name}`: pass the name that it prints"),
        Ok(Entered::Ended(code)) => panic!("{name} failed in its sandbox with code {code} (its output is above)"),
        Ok(Entered::Inside(dir)) => match Lab::new(&dir).and_then(|lab| body(&lab)) {
            Ok(()) => std::process::exit(i32::from(PROVEN)),
            Err(error) => panic!("{name}: {error}"),
        },
        Err(error) => panic!("{name}: {error}"),
    }
}
