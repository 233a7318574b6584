//! The sandbox from outside: nothing is left, however it ends. Needs root and the lab's tools.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fseg_lab::sandbox::testing::in_sandbox;
use fseg_lab::sandbox::{self, Handle};
use fseg_lab::{DEFAULT_LIMIT, Lab, LabError, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tells the sandbox's tests below where to note what they saw.
const NOTES: &str = "FSEG_LAB_TEST_NOTES";

fn namespaces(process: &Path) -> Vec<PathBuf> {
    ["pid", "net", "mnt"].iter().filter_map(|kind| fs::read_link(process.join("ns").join(kind)).ok()).collect()
}

/// The processes, seen from here, in any of these namespaces.
fn living(wanted: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|process| namespaces(process).iter().any(|one| wanted.contains(one))).collect()
}

fn host() -> String {
    let links = fs::read_dir("/sys/class/net").unwrap().flatten().map(|entry| entry.file_name());
    let netns = fs::read_dir("/run/netns").into_iter().flatten().flatten().map(|entry| entry.file_name());
    format!(
        "{:?} {:?} {:?}",
        links.collect::<BTreeSet<_>>(),
        netns.collect::<BTreeSet<_>>(),
        fs::read("/etc/resolv.conf").ok()
    )
}

/// Not a test of its own: the others start it, in a sandbox, and watch from outside.
#[test]
fn victim() {
    let Some(notes) = std::env::var_os(NOTES).map(PathBuf::from) else { return };
    in_sandbox("victim", |lab| {
        let ovs = lab.ovs("office")?;
        ovs.add_bridge("sw1")?;
        let endpoint = lab.endpoint("desk", "02:00:00:00:00:01")?;
        endpoint.plug("sw1-p1")?;
        let _sleeper = endpoint.spawn(&["sleep", "1000"])?;
        // An orphan that left every process group, as daemons do.
        endpoint.exec(&["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"])?;
        fs::write("/etc/resolv.conf", "nameserver 192.0.2.1\n").map_err(|e| LabError::Usage(e.to_string()))?;
        let mut seen: Vec<String> = Vec::new();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            seen.extend(namespaces(&process.path()).iter().map(|one| one.to_string_lossy().into_owned()));
        }
        seen.push(lab.dir().to_string_lossy().into_owned());
        let unfinished = notes.with_extension("new");
        fs::write(&unfinished, seen.join("\n")).unwrap();
        fs::rename(&unfinished, &notes).unwrap();
        if std::env::var_os("FSEG_LAB_TEST_HOLD").is_some() {
            lab.root().exec_within(&["sleep", "600"], std::time::Duration::from_secs(600))?;
        }
        Ok(())
    });
}

struct Seen {
    namespaces: BTreeSet<PathBuf>,
    dir: PathBuf,
}

fn seen(notes: &Path) -> Seen {
    let text = fs::read_to_string(notes).unwrap();
    let (namespaces, dir): (Vec<_>, Vec<_>) = text.lines().map(PathBuf::from).partition(|line| !line.is_absolute());
    let own = namespaces_of_this_process();
    let namespaces: BTreeSet<_> = namespaces.into_iter().filter(|one| !own.contains(one)).collect();
    assert!(namespaces.len() >= 4, "the lab had its own process, mount and two network namespaces: {namespaces:?}");
    Seen { namespaces, dir: dir[0].clone() }
}

fn namespaces_of_this_process() -> Vec<PathBuf> {
    namespaces(Path::new("/proc/self"))
}

fn victim_command(notes: &Path, hold: bool) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["victim", "--exact", "--nocapture"]).env(NOTES, notes).stdin(Stdio::null()).stdout(Stdio::null());
    if hold {
        command.env("FSEG_LAB_TEST_HOLD", "1");
    }
    command
}

fn notes(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("fseg-lab-notes-{name}-{}", std::process::id()))
}

fn skipped(name: &str) -> bool {
    let obstacle = sandbox::obstacle();
    if let Some(reason) = &obstacle {
        assert!(std::env::var_os(sandbox::testing::REQUIRED).is_none(), "{name} cannot run: {reason}");
        eprintln!("SKIPPED {name}: {reason}");
    }
    obstacle.is_some()
}

/// Waits until no process is in the namespaces and the folder is gone.
fn wait_until_gone(seen: &Seen) {
    until("the end of the lab's processes", DEFAULT_LIMIT, || match living(&seen.namespaces).as_slice() {
        [] => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .unwrap();
    until("the end of the state folder", DEFAULT_LIMIT, || match seen.dir.exists() {
        false => Ok(()),
        true => Err(format!("{} exists", seen.dir.display())),
    })
    .unwrap();
}

#[test]
fn nothing_is_left_after_a_lab() {
    if skipped("nothing_is_left_after_a_lab") {
        return;
    }
    let (notes, before) = (notes("ordinary"), host());
    let status = victim_command(&notes, false).status().unwrap();
    assert!(status.success(), "{status}");
    let seen = seen(&notes);
    fs::remove_file(&notes).unwrap();
    assert_eq!(living(&seen.namespaces), Vec::<PathBuf>::new());
    assert!(!seen.dir.exists(), "{} was left", seen.dir.display());
    assert_eq!(host(), before, "the host's network or resolver changed");
}

fn interrupted_by(signal: Signal) {
    let notes = notes(signal.as_str());
    let mut child = victim_command(&notes, true).stderr(Stdio::null()).spawn().unwrap();
    until("the lab", DEFAULT_LIMIT, || if notes.exists() { Ok(()) } else { Err("no notes yet".into()) }).unwrap();
    let seen = seen(&notes);
    fs::remove_file(&notes).unwrap();
    assert!(!living(&seen.namespaces).is_empty());

    // Another terminal can look in.
    let attached = fseg_lab::attach::command(&seen.dir, Some("desk"), &["ip", "-br", "link"].map(str::to_owned))
        .unwrap()
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&attached.stdout);
    assert!(text.contains("eth0") && text.contains("02:00:00:00:00:01"), "{attached:?}");

    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    child.wait().unwrap();
    wait_until_gone(&seen);
    assert!(!Handle::path(&seen.dir).exists());
}

#[test]
fn nothing_is_left_after_sigkill() {
    if !skipped("nothing_is_left_after_sigkill") {
        interrupted_by(Signal::SIGKILL);
    }
}

#[test]
fn nothing_is_left_after_sigterm() {
    if !skipped("nothing_is_left_after_sigterm") {
        interrupted_by(Signal::SIGTERM);
    }
}

#[test]
fn a_lab_outside_its_sandbox_is_refused() {
    let error = Lab::new(&std::env::temp_dir()).err().expect("it was built on the host").to_string();
    assert!(error.contains("sandbox::enter"), "{error}");
    assert!(!sandbox::inside());
}

#[test]
fn entering_something_that_is_no_lab_is_refused() {
    let nowhere = notes("nowhere");
    assert!(fseg_lab::attach::command(&nowhere, None, &[]).unwrap_err().to_string().contains("lab.json"));
    fs::create_dir(&nowhere).unwrap();
    fs::write(Handle::path(&nowhere), "{").unwrap();
    let error = fseg_lab::attach::command(&nowhere, None, &[]).unwrap_err();
    fs::remove_dir_all(&nowhere).unwrap();
    assert!(error.to_string().contains("not the handle"), "{error}");
}
