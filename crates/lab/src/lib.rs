//! Networks in namespaces on one Linux machine: private switches, endpoints with real clients, a prober and a
//! storyteller.
//!
//! For `fseg lab`, for tests that need real switches, and for benches. Everything happens in a [`sandbox`]: the host's
//! network, switches and services are neither seen nor touched, and all is gone when it ends, however it ends.
//!
//! ```no_run
//! use fseg_lab::{Client, Lab, LabError};
//!
//! fn build(lab: &Lab) -> Result<(), LabError> {
//!     let ovs = lab.ovs("office")?;
//!     ovs.add_bridge("sw1")?;
//!     ovs.add_port("sw1", "sw1-p1", 1)?;
//!     let desk = lab.endpoint("desk", "02:00:00:00:00:01")?;
//!     desk.plug("sw1-p1")?;
//!     let lease = desk.dhcp(Client::Udhcpc)?;
//!     println!("{} has {}", desk.name(), lease.address);
//!     Ok(())
//! }
//! ```

pub mod attach;
mod cable;
mod command;
mod dhcp;
mod endpoint;
mod error;
mod lab;
mod namespace;
mod ovs;
pub mod probe;
pub mod relay;
pub mod requirements;
pub mod sandbox;
pub mod story;

pub use cable::Jack;
pub use command::{DEFAULT_LIMIT, Output, Proc, run, until};
pub use dhcp::{Client, Lease, Running as DhcpClient};
pub use endpoint::Endpoint;
pub use error::LabError;
pub use lab::Lab;
pub use namespace::Namespace;
pub use nix::sys::signal::Signal;
pub use ovs::Ovs;
pub use story::Story;

use std::ffi::OsString;
use std::process::ExitCode;

/// The subcommand by which a program offers the prober.
const PROBE: &str = "lab-probe";

/// For programs that use the lab (`fseg`): call it first in `main` with the arguments after the program's name. If
/// they begin with `lab-probe`, it does that and answers the exit code; else it answers `None`.
#[must_use]
pub fn hidden_subcommand(args: &[OsString]) -> Option<ExitCode> {
    probe::this_program_can_probe();
    match args.split_first() {
        Some((first, rest)) if first == PROBE => Some(probe::main(rest)),
        _ => None,
    }
}
