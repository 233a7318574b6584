//! `fseg`: the operator's command line.
//!
//! Exit codes: 0 yes or done, 1 no (denied, refused, a test failed), 2 a wrong command line or input, 3 the node cannot
//! be reached or cannot answer.

mod args;
mod change;
mod client;
mod decode;
mod explain;
mod failure;
mod follow;
mod keep;
mod lab;
mod listing;
mod output;
mod outside;
mod policy;
mod replay;
mod switch;
mod target;
mod trace;
mod verify;
mod when;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use fseg_api::OperationId as Id;

use args::{Arguments, Command, DeviceCommand, TokenCommand, UserCommand};
use client::Client;
use failure::{Failure, Outcome};
use output::Screen;

fn main() -> ExitCode {
    // The lab's prober runs as this program inside endpoints.
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(code) = fseg_lab::hidden_subcommand(&words) {
        return code;
    }
    let arguments = Arguments::parse();
    let screen = Screen::new(arguments.global.output);
    // The lab brings its own processes and needs no node.
    let result = match arguments.command {
        Command::Lab(lab) => return lab::run(lab),
        command => run(command, &arguments.global, &screen),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            screen.failure(&failure);
            failure.exit_code()
        }
    }
}

fn run(command: Command, global: &args::Global, screen: &Screen) -> Result<Outcome, Failure> {
    match command {
        Command::Check { file } => policy::check(&file, screen),
        Command::Decode { hex } => decode::run(&hex, screen),
        Command::Replay(args) => replay::run(&args, screen),
        Command::Version => screen.text(&format!("fseg {} (API v1, OpenFlow 1.3)\n", env!("CARGO_PKG_VERSION"))),
        Command::Completion { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "fseg", &mut out);
            screen.text(&String::from_utf8_lossy(&out))
        }
        Command::Man => {
            let mut out = Vec::new();
            clap_mangen::Man::new(Arguments::command()).render(&mut out).map_err(Failure::output)?;
            screen.text(&String::from_utf8_lossy(&out))
        }
        command => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|e| Failure::unreachable(format!("the runtime did not start: {e}")))?.block_on(async {
                let client = Client::new(global)?;
                online(command, &client, global.watch, screen).await
            })
        }
    }
}

/// Commands that ask a node.
async fn online(command: Command, client: &Client, watch: Option<u64>, screen: &Screen) -> Result<Outcome, Failure> {
    use listing::show;
    match command {
        Command::Plan { file, limit, offset } => change::plan(client, &file, offset, limit, screen).await,
        Command::Apply { file, dry_run, how } => policy::apply(client, &file, dry_run, &how, screen).await,
        Command::Policy { command } => change::policy(client, command, watch, screen).await,
        Command::Explain { from, to, service } => explain::explain(client, from, to, service, screen).await,
        Command::Trace(question) => trace::trace(client, question, screen).await,
        Command::Verify { switch } => verify::verify(client, switch, screen).await,
        Command::Why { cookie } => explain::why(client, &cookie, screen).await,
        Command::Endpoints => show(client, Id::Endpoints, watch, screen, listing::endpoints).await,
        Command::Sessions => show(client, Id::Sessions, watch, screen, listing::sessions).await,
        Command::Externals => show(client, Id::Externals, watch, screen, outside::externals).await,
        Command::Services => show(client, Id::Services, watch, screen, outside::services).await,
        Command::Streams => show(client, Id::Streams, watch, screen, outside::streams).await,
        Command::Groups => show(client, Id::Groups, watch, screen, listing::groups).await,
        Command::Permits => show(client, Id::Permits, watch, screen, listing::permits).await,
        Command::Switches => show(client, Id::Switches, watch, screen, listing::switches).await,
        Command::Health => listing::health(client, watch, screen).await,
        Command::Logs { follow: true, limit, kinds, about } => {
            follow::follow(client, limit, &listing::Filter { kinds, about }, screen).await
        }
        Command::Logs { follow: false, limit, kinds, about } => {
            listing::logs(client, limit, &listing::Filter { kinds, about }, watch, screen).await
        }
        Command::Audit { limit } => listing::audit(client, limit, watch, screen).await,
        Command::Switch(command) => switch::run(client, command, watch, screen).await,
        Command::User(UserCommand::List) => show(client, Id::Accounts, watch, screen, listing::accounts).await,
        Command::User(change) => keep::user(client, change, screen).await,
        Command::Device(DeviceCommand::List) => show(client, Id::Devices, watch, screen, listing::devices).await,
        Command::Device(change) => keep::device(client, change, screen).await,
        Command::Token(TokenCommand::List) => show(client, Id::Tokens, watch, screen, listing::tokens).await,
        Command::Token(change) => keep::token(client, change, screen).await,
        Command::Check { .. }
        | Command::Decode { .. }
        | Command::Replay(_)
        | Command::Version
        | Command::Completion { .. }
        | Command::Man
        | Command::Lab(_) => Err(Failure::usage("this command needs no node")),
    }
}
