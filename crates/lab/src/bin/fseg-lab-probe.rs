//! The prober as a program of its own, for tests (whose harness owns their `main`).

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    fseg_lab::probe::main(&args)
}
