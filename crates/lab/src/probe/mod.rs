//! Who can reach what: a prober that runs inside endpoints, and the table of every source against every destination.
//!
//! Three commands, in any endpoint: `serve` answers its own name on the ports it is told; `run` reads [`Target`]s as JSON
//! from standard input, tries all of them at once, and prints [`Outcome`]s; [`matrix`] runs both everywhere. `send` puts
//! raw frames on the wire, malformed ones too.

mod attempt;
mod matrix;
mod send;
mod serve;
mod table;

pub use matrix::{Server, matrix, reach, serve};
pub use send::send_frames;
pub use table::{Cell, Diff, Table};

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::LabError;

/// How long one attempt may take where the caller does not say. TCP repeats a lost first packet after one second
/// (RFC 6298 section 2), so take two or more where a packet may be lost without meaning "no".
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// What `send` prints before the number of frames.
const SENT: &str = "sent";

/// Names the prober's program where it is not found by itself.
pub const PROGRAM: &str = "FSEG_LAB_PROBE";

/// A service to try: `tcp/443`, `udp/53` or `icmp/echo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Service {
    /// An ICMP echo request.
    Echo,
    /// A TCP port.
    Tcp(u16),
    /// A UDP port.
    Udp(u16),
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.pad("icmp/echo"),
            Self::Tcp(port) => f.pad(&format!("tcp/{port}")),
            Self::Udp(port) => f.pad(&format!("udp/{port}")),
        }
    }
}

impl FromStr for Service {
    type Err = LabError;
    fn from_str(text: &str) -> Result<Self, LabError> {
        let port = |digits: &str| digits.parse::<u16>().ok().filter(|port| *port != 0);
        let service = match text.split_once('/') {
            Some(("icmp", "echo")) => Some(Self::Echo),
            Some(("tcp", digits)) => port(digits).map(Self::Tcp),
            Some(("udp", digits)) => port(digits).map(Self::Udp),
            _ => None,
        };
        service.ok_or_else(|| {
            LabError::Usage(format!("`{text}` is not a service to probe: tcp/PORT, udp/PORT or icmp/echo"))
        })
    }
}

impl TryFrom<String> for Service {
    type Error = LabError;
    fn try_from(text: String) -> Result<Self, LabError> {
        text.parse()
    }
}

impl From<Service> for String {
    fn from(service: Service) -> Self {
        service.to_string()
    }
}

/// Somebody to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name it is expected to answer.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// What to try there.
    pub services: Vec<Service>,
}

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The right one answered.
    Pass,
    /// Nothing came back in time, or the network said unreachable.
    Blocked,
    /// Somebody said no: a TCP reset, or ICMP port unreachable.
    Refused,
    /// Somebody else answered, or something unexpected.
    WrongAnswer,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::WrongAnswer => "wrong-answer",
        })
    }
}

/// One attempt and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The target's name.
    pub target: String,
    /// What was tried.
    pub service: Service,
    /// The result.
    pub outcome: Verdict,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// The prober's `main`: `serve --name NAME [--tcp P,P] [--udp P,P]`, `run [--timeout-ms N]`, or
/// `send --interface IF [--times N] [--pause-us N]`.
#[must_use]
pub fn main(args: &[OsString]) -> ExitCode {
    let args: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-probe: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(args: &[&str]) -> Result<(), LabError> {
    const USAGE: &str = "expected `serve --name NAME [--tcp PORTS] [--udp PORTS]`, `run [--timeout-ms N]` or \
                         `send --interface IF [--times N] [--pause-us N]`";
    let usage = |what: &str| LabError::Usage(format!("{what}: {USAGE}"));
    let (verb, options) = args.split_first().ok_or_else(|| usage("no command"))?;
    let (mut name, mut services, mut timeout) = (String::new(), Vec::new(), DEFAULT_TIMEOUT);
    let (mut interface, mut times, mut pause) = ("", 1, Duration::ZERO);
    for pair in options.chunks(2) {
        match pair {
            ["--name", value] => name = (*value).to_owned(),
            ["--tcp", ports] => services.extend(parse_ports("tcp", ports)?),
            ["--udp", ports] => services.extend(parse_ports("udp", ports)?),
            ["--timeout-ms", millis] => {
                timeout = millis.parse().map(Duration::from_millis).map_err(|_| usage("--timeout-ms"))?;
            }
            ["--interface", value] => interface = value,
            ["--times", number] => times = number.parse().map_err(|_| usage("--times"))?,
            ["--pause-us", micros] => {
                pause = micros.parse().map(Duration::from_micros).map_err(|_| usage("--pause-us"))?;
            }
            other => return Err(usage(&other.join(" "))),
        }
    }
    match *verb {
        "serve" => serve::serve(&name, &services),
        "send" => {
            let sent = send::send(interface, times, pause)?;
            writeln!(io::stdout(), "{SENT} {sent}").map_err(LabError::file("standard output"))
        }
        "run" => {
            let mut input = String::new();
            io::stdin().take(8 << 20).read_to_string(&mut input).map_err(LabError::file("standard input"))?;
            let targets: Vec<Target> = serde_json::from_str(&input)
                .map_err(|error| LabError::Usage(format!("the targets are not valid: {error}")))?;
            let outcomes = attempt::all(&targets, timeout);
            let text = serde_json::to_string(&outcomes).map_err(|error| LabError::Usage(error.to_string()))?;
            writeln!(io::stdout(), "{text}").map_err(LabError::file("standard output"))
        }
        other => Err(usage(other)),
    }
}

fn parse_ports(protocol: &str, ports: &str) -> Result<Vec<Service>, LabError> {
    ports.split(',').map(|port| format!("{protocol}/{port}").parse()).collect()
}

static SELF: AtomicBool = AtomicBool::new(false);

pub(crate) fn this_program_can_probe() {
    SELF.store(true, Ordering::Relaxed);
}

/// The command line's beginning that runs the prober: this program itself if it can, else `fseg-lab-probe` beside it or
/// one folder up (test executables live in `target/debug/deps`), unless the variable `FSEG_LAB_PROBE` names one.
pub fn program() -> Result<Vec<String>, LabError> {
    if let Some(path) = std::env::var_os(PROGRAM) {
        return Ok(vec![path.to_string_lossy().into_owned()]);
    }
    let this = std::env::current_exe().map_err(LabError::file("this program's own file"))?;
    if SELF.load(Ordering::Relaxed) {
        return Ok(vec![this.to_string_lossy().into_owned(), crate::PROBE.to_owned()]);
    }
    let beside: Vec<PathBuf> = this.ancestors().skip(1).take(2).map(|folder| folder.join("fseg-lab-probe")).collect();
    beside.iter().find(|path| path.is_file()).map(|path| vec![path.to_string_lossy().into_owned()]).ok_or_else(|| {
        LabError::Usage(format!(
            "there is no fseg-lab-probe near {}: run `cargo build -p fseg-lab`, or set {PROGRAM}",
            this.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_one_text_each() {
        for text in ["tcp/80", "udp/65535", "icmp/echo"] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), text);
        }
        for bad in ["", "tcp", "tcp/", "tcp/0", "tcp/65536", "udp/x", "icmp/8", "sctp/80", "TCP/80"] {
            assert!(bad.parse::<Service>().unwrap_err().to_string().contains(bad), "{bad}");
        }
    }

    #[test]
    fn the_protocol_between_lab_and_prober_is_stable() {
        let targets: Vec<Target> =
            serde_json::from_str(r#"[{"name":"a","ip":"10.0.0.1","services":["tcp/80","icmp/echo"]}]"#).unwrap();
        assert_eq!(targets[0].services, [Service::Tcp(80), Service::Echo]);
        let outcome =
            Outcome { target: "a".into(), service: Service::Udp(53), outcome: Verdict::WrongAnswer, millis: 3 };
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(text, r#"{"target":"a","service":"udp/53","outcome":"wrong-answer","millis":3}"#);
        assert!(serde_json::from_str::<Vec<Target>>(r#"[{"name":"a","ip":"10.0.0.1","services":["tcp/0"]}]"#).is_err());
    }

    #[test]
    fn wrong_arguments_say_what_is_expected() {
        for bad in [
            &["dance"][..],
            &[],
            &["run", "--timeout-ms"],
            &["run", "--timeout-ms", "x"],
            &["serve", "--tcp", "0"],
            &["send", "--times", "x"],
            &["send", "--pause-us", "-1"],
        ] {
            let error = dispatch(bad).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{bad:?}: {error}");
        }
    }
}
