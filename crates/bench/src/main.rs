//! `fseg-bench`: the figures of FSEG, measured on this machine, side by side with what people use today.
// A measuring program, not shipped: what goes wrong ends it and names the place, rather than yield a wrong figure. Nothing
// from outside comes in but what its own processes print.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod core;
mod generator;
mod proof;
mod report;
mod shim;
mod site;
mod wire;

/// As in `fsegd`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = fseg_lab::hidden_subcommand(&args) {
        return code;
    }
    let args: Vec<String> = args.into_iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let number = |at: usize, default: usize| args.get(at).map_or(default, |a| a.parse().expect("a number"));
    let good = match args.first().map(String::as_str) {
        Some("core") => {
            core::run(number(1, 100_000), number(2, 1_000), number(3, 1_000));
            true
        }
        Some("million") => {
            core::million(number(1, 1_000_000));
            true
        }
        Some("verify") if args.len() >= 2 => proof::run(&args[1], number(2, 100_000)),
        Some("report") if args.len() == 2 => {
            print!("{}", report::page(&std::fs::read_to_string(&args[1]).expect("a file of figures")));
            true
        }
        Some("shim") if args.len() == 4 => shim::run(&args[1], &args[2], args[3].parse().expect("an address")),
        Some("wire") if args.len() >= 2 => wire::run(&args[1], number(2, 10_000)),
        _ => {
            eprintln!("fseg-bench core [ENDPOINTS [GROUPS [PERMITS]]]");
            eprintln!("fseg-bench million [ENDPOINTS]");
            eprintln!("fseg-bench wire login|withdraw|throughput|restart|packet-in|dhcp|dhcp-disk|faucet [ENDPOINTS]");
            false
        }
    };
    std::process::ExitCode::from(u8::from(!good))
}
