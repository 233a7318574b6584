//! `fsegd --config node.yaml`: one node.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fseg_node::config::NodeConfig;
use fseg_node::recording::RecordTo;
use fseg_yaml::Source;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// Rows, records and packets are many small allocations (docs/decisions/0022-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The FSEG node: authenticates endpoints, compiles the policy into the switches, and answers for both.
#[derive(Parser)]
#[command(name = "fsegd", version)]
struct Arguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/fseg/node.yaml")]
    config: PathBuf,
    /// Check the configuration and exit: 0 when it is right, 2 when it is not.
    #[arg(long)]
    check_config: bool,
    /// Record everything that comes in, for `fseg replay`; a former file becomes FILE.1.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The most the recording may have, in MiB; then it ends.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    record_limit: u32,
    /// Write the log as JSON, one event a line.
    #[arg(long)]
    json_log: bool,
    /// What to log, as in `info,fseg_node::switches=debug`.
    #[arg(long, env = "FSEG_LOG", default_value = "info")]
    log: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let name = arguments.config.display().to_string();
    let source = match std::fs::read(&arguments.config) {
        Ok(bytes) => Source::from_bytes(name, bytes),
        Err(e) => {
            eprintln!("fsegd: {name}: {e}");
            return ExitCode::from(2);
        }
    };
    let config = match source.map_err(|d| vec![d]).and_then(|s| NodeConfig::parse(&s)) {
        Ok(config) => config,
        Err(list) => {
            for d in list {
                eprintln!("{d}");
            }
            return ExitCode::from(2);
        }
    };
    if arguments.check_config {
        println!("{}: right ({} switches)", arguments.config.display(), config.site.switches.len());
        return ExitCode::SUCCESS;
    }
    let filter = EnvFilter::try_new(&arguments.log).unwrap_or_else(|e| {
        eprintln!("fsegd: --log {}: {e}; using `info`", arguments.log);
        EnvFilter::new("info")
    });
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if arguments.json_log {
        log.json().init();
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).init();
    }
    let record = arguments.record.map(|file| RecordTo { file, limit: u64::from(arguments.record_limit) * (1 << 20) });
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("fsegd: no runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let (stop, _) = watch::channel(false);
        let signals = stop.clone();
        tokio::spawn(async move {
            let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
                return;
            };
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            let _ = signals.send(true); // nobody listens any more: we are stopping already
        });
        match fseg_node::run::run(config, record, stop).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                eprintln!("fsegd: {e}");
                tracing::error!(error = %e, "the node does not start");
                ExitCode::FAILURE
            }
        }
    })
}
