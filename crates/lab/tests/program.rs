//! A program that enters the sandbox, as `fseg lab` does: exit codes, interruption, and probing with itself. Needs root
//! and the lab's tools.
//!
//! It has its own `main`, which plays three parts: the prober (hidden subcommand), the program under test (argument
//! `play`), and the test harness, which speaks just enough of libtest's command line for cargo and nextest.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails, in its helpers too")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use fseg_lab::probe::{self, Service};
use fseg_lab::sandbox::{self, Entered, Handle, Keep, Options};
use fseg_lab::{DEFAULT_LIMIT, Lab, LabError, Story, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NAME: &str = "a_program_in_the_sandbox";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = fseg_lab::hidden_subcommand(&args) {
        return code;
    }
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    match words.as_slice() {
        ["play", part, dir] => play(part, Path::new(dir), &args),
        words if words.contains(&"--list") => {
            // Nothing is ignored, so the list of ignored tests is empty.
            if !words.contains(&"--ignored") {
                println!("{NAME}: test");
            }
            ExitCode::SUCCESS
        }
        _ => {
            test();
            println!("test {NAME} ... ok");
            ExitCode::SUCCESS
        }
    }
}

fn play(part: &str, dir: &Path, args: &[OsString]) -> ExitCode {
    let keep = if part == "keep" { Keep::Always } else { Keep::OnFailure };
    match sandbox::enter(&Options { dir: Some(dir.to_owned()), keep }, args) {
        Ok(Entered::Ended(code)) => ExitCode::from(code),
        Ok(Entered::Inside(dir)) => {
            let mut story = Story::stdout();
            story.step(part, || act(part, &dir));
            ExitCode::from(story.finish())
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn act(part: &str, dir: &Path) -> Result<(), LabError> {
    let lab = Lab::new(dir)?;
    match part {
        "probe" => {
            let (a, b) = (lab.endpoint("a", "02:00:00:00:00:01")?, lab.endpoint("b", "02:00:00:00:00:02")?);
            lab.veth_between(&a, "eth1", &b, "eth1")?;
            for (endpoint, address) in [(&a, "10.9.0.1/24"), (&b, "10.9.0.2/24")] {
                endpoint.add_address("eth1", address)?;
                let plain = address.trim_end_matches("/24");
                endpoint.static_address(&format!("{plain}/32"), None)?;
            }
            let diff = probe::matrix(&[a, b], &[Service::Tcp(80), Service::Echo], DEFAULT_LIMIT)?.diff(|_, _, _| true);
            if diff.is_right() { Ok(()) } else { Err(LabError::Usage(diff.to_string())) }
        }
        "hold" => lab.root().exec_within(&["sleep", "600"], DEFAULT_LIMIT * 100).map(drop),
        "keep" => {
            let configure = |command: &mut Command| {
                command.env("WORD", "tick");
            };
            let log = lab.root().daemon("clock", &["sh", "-c", "echo $WORD"], configure)?;
            log.wait(DEFAULT_LIMIT)?.check().map(drop)
        }
        "fail" => Err(LabError::Usage("the plot failed".into())),
        other => Err(LabError::Usage(format!("no part {other}"))),
    }
}

struct Stage {
    dir: PathBuf,
    child: Child,
}

fn begin(part: &str) -> Stage {
    let dir = PathBuf::from(format!("/tmp/fseg-lab-play-{}-{part}", std::process::id()));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["play", part]).arg(&dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Stage { child: command.spawn().unwrap(), dir }
}

impl Stage {
    fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn test() {
    if let Some(reason) = sandbox::obstacle() {
        assert!(std::env::var_os(sandbox::testing::REQUIRED).is_none(), "{NAME} cannot run: {reason}");
        eprintln!("SKIPPED {NAME}: {reason}");
        return;
    }
    let mut stage = begin("probe");
    assert_eq!(stage.code(), Some(0), "a good story, probed with the program itself");
    assert!(!stage.dir.exists(), "a good lab leaves nothing");

    let mut stage = begin("fail");
    assert_eq!(stage.code(), Some(1));
    assert!(stage.dir.join("logs").is_dir(), "a failed lab keeps its logs");
    assert!(!Handle::path(&stage.dir).exists(), "an ended lab cannot be entered");
    fs::remove_dir_all(&stage.dir).unwrap();

    let mut stage = begin("keep");
    assert_eq!(stage.code(), Some(0));
    assert_eq!(fs::read_to_string(stage.dir.join("logs/clock.log")).unwrap(), "tick\n");
    // A folder that is in use is not taken over.
    assert_eq!(begin("keep").code(), Some(2), "a folder with content was taken");
    assert!(stage.dir.join("logs/clock.log").exists());
    fs::remove_dir_all(&stage.dir).unwrap();

    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut stage = begin("hold");
        let ready = || {
            if stage.dir.join("logs").is_dir() && Handle::path(&stage.dir).exists() {
                Ok(())
            } else {
                Err("not yet".into())
            }
        };
        until("the lab", DEFAULT_LIMIT, ready).unwrap();
        kill(Pid::from_raw(stage.child.id().cast_signed()), signal).unwrap();
        assert_eq!(stage.code(), Some(130), "{signal}");
        assert!(!stage.dir.exists(), "{signal}: {} is left", stage.dir.display());
    }
}
