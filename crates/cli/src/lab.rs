//! `fseg lab`: whole networks on this machine, in namespaces of their own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use fseg_lab::sandbox::{self, Entered, Keep, Options};
use fseg_lab::{Lab, Story, attach, requirements};
use fseg_scenes::office;

/// What the lab is asked to do.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Lists the scenes
    List,
    /// Builds a scene, tells what happens in it, and takes it down again
    Run {
        /// The scene
        scene: String,
        /// Leave everything running until Ctrl-C, and say how to play with it
        #[arg(long)]
        keep: bool,
        /// The state folder (logs, sockets); it must be empty or absent
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Runs a command inside an endpoint of a running scene
    Exec {
        /// The endpoint
        endpoint: String,
        /// The scene's state folder, where it is not the usual one
        #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
        dir: PathBuf,
        /// The command
        #[arg(required = true, last = true)]
        words: Vec<String>,
    },
    /// Opens a shell inside an endpoint of a running scene
    Shell {
        /// The endpoint
        endpoint: String,
        /// The scene's state folder, where it is not the usual one
        #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
        dir: PathBuf,
    },
    /// Ends a scene that was left running
    Stop {
        /// The scene's state folder, where it is not the usual one
        #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
        dir: PathBuf,
    },
}

const DEFAULT_DIR: &str = "/tmp/fseg-lab";

/// Runs a lab command.
pub(crate) fn run(args: LabArgs) -> ExitCode {
    match args.command {
        LabCommand::List => {
            println!(
                "office   two access switches, a node, people, servers, printers, a stranger, old network, Internet"
            );
            ExitCode::SUCCESS
        }
        LabCommand::Run { scene, keep, dir } => scene_run(&scene, keep, dir),
        LabCommand::Exec { endpoint, dir, words } => enter(&dir, &endpoint, &words),
        LabCommand::Shell { endpoint, dir } => enter(&dir, &endpoint, &[]),
        LabCommand::Stop { dir } => stop(&dir),
    }
}

fn fail(code: u8, text: impl std::fmt::Display) -> ExitCode {
    eprintln!("fseg: {text}");
    ExitCode::from(code)
}

fn scene_run(scene: &str, keep: bool, dir: Option<PathBuf>) -> ExitCode {
    if scene != "office" {
        return fail(2, format_args!("there is no scene `{scene}`; `fseg lab list` lists them"));
    }
    if !sandbox::inside() {
        if let Some(why) = sandbox::obstacle() {
            return fail(2, why);
        }
        if let Some(advice) = requirements::advice(&requirements::missing()) {
            return fail(2, advice);
        }
    }
    let dir = dir.or_else(|| keep.then(|| PathBuf::from(DEFAULT_DIR)));
    let options = Options { dir, keep: Keep::OnFailure };
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let dir = match sandbox::enter(&options, &words) {
        Ok(Entered::Ended(code)) => return ExitCode::from(code),
        Ok(Entered::Inside(dir)) => dir,
        Err(e) => return fail(e.exit_code(), e),
    };
    let lab = match Lab::new(&dir) {
        Ok(lab) => lab,
        Err(e) => return fail(e.exit_code(), e),
    };
    let mut story = Story::stdout();
    let office = office::tell(&lab, &mut story);
    let verdict = story.finish();
    if let (true, Some(office)) = (keep, &office) {
        say_how(&office.node.url(), &dir);
        loop {
            std::thread::park(); // Ctrl-C ends the sandbox, and this with it
        }
    }
    drop(office);
    ExitCode::from(verdict)
}

/// How to play with a scene that stays: commands that work as they are printed.
fn say_how(url: &str, dir: &std::path::Path) {
    let fseg = std::env::current_exe().map_or_else(|_| "fseg".to_owned(), |p| p.display().to_string());
    let at = if dir == std::path::Path::new(DEFAULT_DIR) { String::new() } else { format!(" --dir {}", dir.display()) };
    println!("\nEverything keeps running until Ctrl-C here. In another terminal, as root:\n");
    println!("  alias fseg={fseg}");
    println!("  export FSEG_NODE={url}");
    println!("  fseg endpoints               who is there            fseg logs --follow");
    println!("  fseg permits                 what is used            fseg switches");
    println!("  fseg explain sales-1 crm-1 web");
    println!("  fseg lab shell{at} sales-1       a shell inside an endpoint");
    println!("  fseg lab exec{at} sales-1 -- ping -c 1 crm-1.office.example");
    println!("  fseg lab stop{at}                ends it, as Ctrl-C does here");
    println!("\nPasswords of sales-1, sales-2, dev-1 and dev-2: {}", office::PASSWORD);
}

fn enter(dir: &std::path::Path, endpoint: &str, words: &[String]) -> ExitCode {
    let mut command = match attach::command(dir, Some(endpoint), words) {
        Ok(command) => command,
        Err(e) => return fail(e.exit_code(), e),
    };
    match command.status() {
        Ok(status) => ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)),
        Err(e) => fail(2, format_args!("cannot enter {endpoint}: {e}")),
    }
}

fn stop(dir: &std::path::Path) -> ExitCode {
    let path = sandbox::Handle::path(dir);
    let handle = std::fs::read(&path).map_err(|e| e.to_string());
    let handle = handle.and_then(|b| serde_json::from_slice::<sandbox::Handle>(&b).map_err(|e| e.to_string()));
    match handle {
        Ok(handle) => {
            // The sandbox is the child of `unshare`, which is the child of the process that tears everything down.
            let Some(outer) = parent(handle.pid).and_then(parent) else {
                return fail(2, format_args!("no scene runs in {} any more", dir.display()));
            };
            let pid = nix::unistd::Pid::from_raw(outer.cast_signed());
            match nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM) {
                Ok(()) => ended(&path),
                Err(e) => fail(2, format_args!("the scene in {} cannot be ended: {e}", dir.display())),
            }
        }
        Err(e) => fail(2, format_args!("no scene runs in {}: {}: {e}", dir.display(), path.display())),
    }
}

/// Waits until the scene has taken its folder away, or its handle in it.
fn ended(handle: &std::path::Path) -> ExitCode {
    for _ in 0..100 {
        if !handle.exists() {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    fail(1, format_args!("the scene was told to end, but {} is still there", handle.display()))
}

/// A process's parent; `None` when there is no such process, or its parent is the first of all.
fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("PPid:"))?;
    line.trim().parse().ok().filter(|p| *p > 1)
}
