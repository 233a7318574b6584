//! Process 1 of the sandbox: prepares what the others see, starts the inside process, reaps orphans, and ends.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{DIR, Entered, KEEP, MARKER, STAGE};
use crate::{LabError, command};

/// How long processes have between SIGTERM and the end of the namespace.
const GRACE: Duration = Duration::from_secs(2);

/// Set once the lifeline is cut: from then on [`watch_lifeline`] ends this process, when it has cleaned up.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Never returns: ends with the inside process's exit code.
pub(super) fn run(args: &[OsString]) -> Result<Entered, LabError> {
    match attempt(args) {
        Ok(code) => std::process::exit(code),
        Err(error) => {
            eprintln!("the lab's sandbox could not be prepared: {error}");
            std::process::exit(2)
        }
    }
}

fn attempt(args: &[OsString]) -> Result<i32, LabError> {
    thread::spawn(watch_lifeline);
    prepare()?;
    let program = std::env::current_exe().map_err(LabError::file("this program's own file"))?;
    let inside = Command::new(program)
        .args(args)
        .env(STAGE, "inside")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|source| LabError::Start { command: "the lab's own program".into(), source })?;
    let inside = Pid::from_raw(inside.id().cast_signed());
    loop {
        let ended = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == inside => Some(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == inside => Some(128 + signal as i32),
            Ok(_) | Err(Errno::EINTR) => None,
            Err(Errno::ECHILD) if ENDING.load(Ordering::SeqCst) => {
                thread::park();
                None
            }
            Err(errno) => return Err(LabError::Machine(format!("waiting for the lab failed: {errno}"))),
        };
        if let Some(code) = ended
            && !ENDING.load(Ordering::SeqCst)
        {
            return Ok(code);
        }
    }
}

/// Ends the namespace when the outer process closes its end of the pipe, by intent or by dying.
fn watch_lifeline() {
    let mut byte = [0u8; 1];
    loop {
        match io::stdin().lock().read(&mut byte) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    ENDING.store(true, Ordering::SeqCst);
    // From process 1, -1 means everything in this namespace but itself.
    let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
    let _ = command::until("the end of all processes", GRACE, alone);
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    if std::env::var(KEEP).as_deref() != Ok("yes")
        && let Some(dir) = std::env::var_os(DIR)
    {
        // The outer process does this too, unless it was killed.
        let _ = fs::remove_dir_all(PathBuf::from(dir));
    }
    std::process::exit(130)
}

fn alone() -> Result<(), String> {
    let entries = fs::read_dir("/proc").map_err(|error| error.to_string())?;
    let others =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| *pid != 1);
    match others.count() {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    }
}

fn prepare() -> Result<(), LabError> {
    let none: Option<&Path> = None;
    // A private /run: names of network namespaces, /run/openvswitch and pid files of the host are out of sight and
    // reach.
    mount(none, "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=755"))
        .map_err(mounting("/run"))?;
    for dir in ["/run/netns", "/run/openvswitch", "/run/lock", "/run/fseg-lab/etc", "/run/fseg-lab/work"] {
        fs::create_dir_all(dir).map_err(LabError::file(dir))?;
    }
    private_etc()?;
    // A real file instead of what may be a link into the hidden /run: `ip netns exec` binds each endpoint's own
    // over it.
    let resolv = Path::new("/etc/resolv.conf");
    let _ = fs::remove_file(resolv);
    fs::write(resolv, "").map_err(LabError::file(resolv))?;
    fs::create_dir_all("/etc/netns").map_err(LabError::file("/etc/netns"))?;
    // IPv6 is off on every interface made from here on, or the machine's own chatter would reach the switches.
    let sysctl = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    if Path::new(sysctl).exists() {
        fs::write(sysctl, "1").map_err(LabError::file(sysctl))?;
    }
    command::checked(&["ip", "link", "set", "lo", "up"])?;
    fs::write(MARKER, "").map_err(LabError::file(MARKER))
}

/// Writes below /etc go to the private /run: by overlay, or by a copy where the kernel has none.
fn private_etc() -> Result<(), LabError> {
    let layers = "lowerdir=/etc,upperdir=/run/fseg-lab/etc,workdir=/run/fseg-lab/work";
    if mount(Some("overlay"), "/etc", Some("overlay"), MsFlags::empty(), Some(layers)).is_ok() {
        return Ok(());
    }
    command::checked(&["cp", "-a", "/etc/.", "/run/fseg-lab/etc"])?;
    let none: Option<&str> = None;
    mount(Some("/run/fseg-lab/etc"), "/etc", none, MsFlags::MS_BIND, none).map_err(mounting("/etc"))
}

fn mounting(place: &'static str) -> impl FnOnce(Errno) -> LabError {
    move |errno| LabError::File { path: place.into(), source: errno.into() }
}
