//! `fseg lab`.

use std::process::ExitCode;

use clap::Args;

/// What the lab is asked to do.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// A lab command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// Runs a lab command.
pub(crate) fn run(args: LabArgs) -> ExitCode {
    eprintln!("fseg: this build has no lab ({})", args.words.join(" "));
    ExitCode::from(2)
}
