//! The process on the host: checks the machine, starts the sandbox, waits, cleans up.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, geteuid, mkdtemp};

use super::testing::PROVEN;
use super::{DIR, Handle, KEEP, Keep, LONGEST_DIR, Options, STAGE};
use crate::command::{self, DEFAULT_LIMIT};
use crate::{LabError, requirements};

/// The exit code after Ctrl-C, by the shell's convention (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// How long an interrupted sandbox may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(8);

const UNSHARE: &[&str] =
    &["--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--propagation", "private"];

enum Event {
    Ended(io::Result<ExitStatus>),
    Signal,
}

pub(super) fn obstacle() -> Option<String> {
    if !geteuid().is_root() {
        return Some("the lab makes network namespaces, which needs root: run it with sudo".into());
    }
    if let Some(advice) = requirements::advice(&requirements::missing()) {
        return Some(advice);
    }
    let mut trial = vec!["unshare"];
    trial.extend_from_slice(UNSHARE);
    trial.push("true");
    match command::checked(&trial) {
        Ok(_) => None,
        Err(error) => Some(format!(
            "namespaces cannot be made on this machine (in a container? it needs CAP_SYS_ADMIN and its own /proc): {error}"
        )),
    }
}

pub(super) fn run(options: &Options, args: &[OsString]) -> Result<u8, LabError> {
    if let Some(text) = obstacle() {
        return Err(LabError::Machine(text));
    }
    let dir = state_dir(options.dir.as_deref())?;
    let outcome = supervise(options, args, &dir);
    let keep = match (options.keep, &outcome) {
        (Keep::Always, _) => true,
        (Keep::Never, _) | (Keep::OnFailure, Ok(0 | INTERRUPTED | PROVEN)) => false,
        (Keep::OnFailure, _) => true,
    };
    if keep {
        // The process number in it is no longer the lab's.
        let _ = fs::remove_file(Handle::path(&dir));
        eprintln!("the lab's logs are in {}", dir.display());
    } else if let Err(source) = fs::remove_dir_all(&dir)
        && source.kind() != io::ErrorKind::NotFound
    {
        return Err(LabError::File { path: dir, source });
    }
    outcome
}

fn supervise(options: &Options, args: &[OsString], dir: &Path) -> Result<u8, LabError> {
    let program = std::env::current_exe().map_err(LabError::file("this program's own file"))?;
    let mut child = Command::new("unshare")
        .args(UNSHARE)
        .arg("--")
        .arg(program)
        .args(args)
        .env(STAGE, "init")
        .env(DIR, dir)
        .env(KEEP, if options.keep == Keep::Always { "yes" } else { "no" })
        .env("PATH", requirements::SEARCH)
        .stdin(Stdio::piped())
        // Its own group: Ctrl-C reaches this process only, which then ends the sandbox in order.
        .process_group(0)
        .spawn()
        .map_err(|source| LabError::Start { command: "unshare".into(), source })?;
    // Signals are blocked only now, because a child inherits the mask. They stay blocked: a second Ctrl-C must not stop
    // the cleaning up, and this process ends soon after.
    let mut watched = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        watched.add(signal);
    }
    let blocked = watched.thread_block().is_ok();
    let lifeline = child.stdin.take();
    let unshare = child.id();
    let (events, inbox) = mpsc::channel();
    if blocked {
        let events = events.clone();
        // Ends when a send fails: the receiver is gone once the sandbox has ended.
        thread::spawn(move || while watched.wait().is_ok() && events.send(Event::Signal).is_ok() {});
    }
    thread::spawn(move || events.send(Event::Ended(child.wait())));
    // Waits until process 1 exists; if the sandbox ends before that, the event says so.
    command::until("the sandbox", DEFAULT_LIMIT, || match child_of(unshare) {
        Some(pid) => write_handle(dir, pid).map_err(|error| error.to_string()),
        None if Path::new("/proc").join(unshare.to_string()).exists() => Err("it has no process 1 yet".into()),
        None => Ok(()),
    })?;
    wait(&inbox, lifeline, unshare)
}

fn wait(inbox: &mpsc::Receiver<Event>, lifeline: Option<impl Sized>, unshare: u32) -> Result<u8, LabError> {
    let lost = || LabError::Machine("the sandbox's supervisor ended unexpectedly".into());
    match inbox.recv().map_err(|_| lost())? {
        Event::Ended(status) => return status.map(exit_code).map_err(LabError::file("unshare")),
        Event::Signal => drop(lifeline),
    }
    // Whoever asks twice, or waits too long, gets the short way: unshare passes its own death on (--kill-child).
    if !matches!(inbox.recv_timeout(GRACE), Ok(Event::Ended(_))) {
        let _ = kill(Pid::from_raw(unshare.cast_signed()), Signal::SIGKILL);
        while !matches!(inbox.recv_timeout(GRACE), Ok(Event::Ended(_)) | Err(_)) {}
    }
    Ok(INTERRUPTED)
}

fn exit_code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, signal) => u8::try_from(128 + signal.unwrap_or(0)).unwrap_or(1),
    }
}

fn write_handle(dir: &Path, pid: u32) -> Result<(), LabError> {
    let path = Handle::path(dir);
    let text = serde_json::to_string(&Handle { pid }).map_err(|error| LabError::Usage(error.to_string()))?;
    fs::write(&path, text + "\n").map_err(LabError::file(path))
}

/// The first child of `parent`, found in `/proc` (the file `children` needs a kernel option; `stat` does not).
fn child_of(parent: u32) -> Option<u32> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold spaces and parentheses: fields are counted from the last one.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
        (fields.nth(1)?.parse() == Ok(parent)).then_some(pid)
    })
}

fn state_dir(wanted: Option<&Path>) -> Result<PathBuf, LabError> {
    let Some(dir) = wanted else {
        return mkdtemp("/tmp/fseg-lab-XXXXXX").map_err(io::Error::from).map_err(LabError::file("/tmp"));
    };
    let refuse = |why: &str| Err(LabError::Usage(format!("the lab's folder {} {why}", dir.display())));
    if !dir.is_absolute() {
        return refuse("must be an absolute path");
    }
    if dir.as_os_str().as_bytes().len() > LONGEST_DIR {
        return refuse("is too long for unix sockets in it: use at most 56 bytes");
    }
    fs::create_dir_all(dir).map_err(LabError::file(dir))?;
    let real = dir.canonicalize().map_err(LabError::file(dir))?;
    if ["/run", "/proc", "/sys", "/dev", "/etc"].iter().any(|hidden| real.starts_with(hidden)) {
        return refuse("is hidden inside the sandbox: choose one below /tmp or /var");
    }
    if fs::read_dir(dir).map_err(LabError::file(dir))?.next().is_some() {
        return refuse("is not empty: choose another, or remove what is in it");
    }
    Ok(dir.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_cannot_work_are_refused_with_the_reason() {
        for (dir, reason) in [
            ("relative/dir", "absolute"),
            (&format!("/tmp/{}", "x".repeat(80)), "56 bytes"),
            ("/etc", "hidden inside"),
            ("/tmp/..", "not empty"),
        ] {
            let error = state_dir(Some(Path::new(dir))).unwrap_err();
            assert!(error.to_string().contains(reason), "{dir}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn a_child_is_found_by_its_parent() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let found = child_of(std::process::id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.is_some());
        assert_eq!(child_of(u32::MAX), None);
    }
}
