//! The lab: the state folder, the patch panel, and everything started, ended in reverse order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cable::{self, Jack};
use crate::command::{self, Proc};
use crate::namespace::{self, Namespace};
use crate::ovs::{Ovs, Site};
use crate::{Endpoint, LabError, requirements, sandbox};

/// Folders inside the state folder.
const FOLDERS: &[&str] = &["logs", "ovs", "captures", "scripts", "leases"];

/// A network under construction. Dropping it stops its switches and removes its namespaces, in reverse order of making.
///
/// It exists only inside a sandbox ([`sandbox::enter`]): nothing here can touch the host's network.
pub struct Lab {
    pub(crate) shared: Arc<Shared>,
}

/// What the handles (endpoints, switches) share with the lab.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) made: Vec<Made>,
    pub(crate) names: BTreeSet<String>,
    pub(crate) cables: u32,
    pub(crate) captures: u32,
    /// Jacks that exist, each with the panel end of the cable that is in it.
    pub(crate) jacks: BTreeMap<Jack, Option<String>>,
    /// The site whose namespace already holds a switch instance.
    pub(crate) sites: BTreeSet<Option<String>>,
}

pub(crate) enum Made {
    Namespace(String),
    Ovs(Ovs),
}

impl Shared {
    // A panic while holding the lock leaves at worst a name taken; the lab is still worth tearing down.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lab {
    /// Begins a lab whose logs, sockets and captures live in `dir`. Fails outside a sandbox.
    pub fn new(dir: &Path) -> Result<Self, LabError> {
        if !sandbox::inside() {
            let why = "a lab can be built only inside its sandbox: call fseg_lab::sandbox::enter first";
            return Err(LabError::Usage(why.into()));
        }
        for folder in FOLDERS {
            let path = dir.join(folder);
            fs::create_dir_all(&path).map_err(LabError::file(path))?;
        }
        crate::dhcp::write_scripts(dir)?;
        let lab = Self { shared: Arc::new(Shared { dir: dir.to_owned(), state: Mutex::default() }) };
        cable::build_panel(&lab)?;
        Ok(lab)
    }

    /// The state folder; the same path on the host and inside.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The lab's own namespace, where the switch instance of [`Lab::ovs`] and usually the node run.
    #[must_use]
    pub fn root(&self) -> Namespace {
        Namespace::root(&self.shared)
    }

    /// A new namespace without interfaces but `lo`: a router, a server, a site. `name` as for [`Lab::endpoint`].
    pub fn namespace(&self, name: &str) -> Result<Namespace, LabError> {
        Namespace::make(&self.shared, name)
    }

    /// A new endpoint that forwards IPv4 between its interfaces: `eth0`, to be plugged into a switch, and those that
    /// [`Lab::veth_between`] adds (for example a legacy network's router).
    pub fn router(&self, name: &str, mac: &str) -> Result<Endpoint, LabError> {
        let router = self.endpoint(name, mac)?;
        router.sysctl("net/ipv4/ip_forward", "1")?;
        Ok(router)
    }

    /// A new endpoint: a namespace of this name with one network card, `eth0`, of this MAC address, not yet plugged in.
    ///
    /// `name`: 1 to 32 characters `a-z0-9-_.`, unique in the lab. `mac`: six octets, `02:00:00:00:00:01`.
    pub fn endpoint(&self, name: &str, mac: &str) -> Result<Endpoint, LabError> {
        Endpoint::make(&self.shared, name, mac)
    }

    /// Starts a private Open vSwitch instance in the lab's own namespace. There can be one there: the userspace
    /// datapath takes the interface name `ovs-netdev`. More switches are more bridges in it, or [`Lab::ovs_in`].
    pub fn ovs(&self, name: &str) -> Result<Ovs, LabError> {
        Ovs::make(&self.shared, name, Site::Root)
    }

    /// Starts a private Open vSwitch instance in `site`, one per namespace.
    pub fn ovs_in(&self, name: &str, site: &Namespace) -> Result<Ovs, LabError> {
        Ovs::make(&self.shared, name, site.site())
    }

    /// Makes a switch port's jack before anything is plugged into it: the interface appears, without carrier.
    ///
    /// The interface name must be unique in the whole lab, whatever the namespace.
    pub fn jack(&self, jack: impl Into<Jack>) -> Result<(), LabError> {
        cable::ensure_jack(&self.shared, &jack.into())
    }

    /// Joins two jacks by a cable, switch to switch. Both get carrier.
    pub fn patch(&self, a: impl Into<Jack>, b: impl Into<Jack>) -> Result<(), LabError> {
        cable::patch(&self.shared, &a.into(), &b.into())
    }

    /// Pulls whatever cable is in this jack, an endpoint's or one from [`Lab::patch`]: both ends lose carrier.
    pub fn unpatch(&self, jack: impl Into<Jack>) -> Result<(), LabError> {
        cable::unplug(&self.shared, jack.into().name())
    }

    /// A direct link between two namespaces: `if_a` in `a`, `if_b` in `b`, both up.
    ///
    /// Not for switch ports: on such an interface the namespace's own stack listens too. For those see [`Lab::jack`].
    pub fn veth_between(&self, a: &Namespace, if_a: &str, b: &Namespace, if_b: &str) -> Result<(), LabError> {
        namespace::check_interface(if_a)?;
        namespace::check_interface(if_b)?;
        let panel = cable::panel(&self.shared);
        // Made in the panel under free names and moved: `ip` cannot name two foreign namespaces at once.
        let (x, y) = {
            let mut state = self.shared.state();
            state.cables += 1;
            (format!("x{}", state.cables), format!("y{}", state.cables))
        };
        panel.ip(&["link", "add", &x, "type", "veth", "peer", "name", &y])?;
        for (temporary, name, target) in [(&x, if_a, a), (&y, if_b, b)] {
            // Process 1 is in the lab's own namespace.
            panel.ip(&["link", "set", temporary, "netns", target.name().unwrap_or("1"), "name", name])?;
            target.ip(&["link", "set", name, "up"])?;
            target.checksum_in_software(name)?;
        }
        Ok(())
    }

    /// Records what passes `interface` of `namespace` into `captures/NAMESPACE-INTERFACE-N.pcap`, until the value
    /// is dropped.
    pub fn capture(&self, namespace: &Namespace, interface: &str) -> Result<Proc, LabError> {
        namespace::check_interface(interface)?;
        if !requirements::installed("tcpdump") {
            return Err(LabError::Machine("capturing needs tcpdump: `apt-get install tcpdump`".into()));
        }
        let number = {
            let mut state = self.shared.state();
            state.captures += 1;
            state.captures
        };
        let place = namespace.name().unwrap_or("root");
        let file = self.shared.dir.join("captures").join(format!("{place}-{interface}-{number}.pcap"));
        let file = file.to_string_lossy();
        let proc = namespace.spawn(&[
            "tcpdump",
            "--immediate-mode",
            "-U",
            "-n",
            "-Z",
            "root",
            "-i",
            interface,
            "-w",
            &file,
        ])?;
        proc.wait_for_stderr("listening on", Duration::from_secs(10))?;
        Ok(proc)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let made = std::mem::take(&mut self.shared.state().made);
        for made in made.into_iter().rev() {
            // What cannot be ended here ends with the sandbox.
            match made {
                Made::Ovs(ovs) => drop(ovs.stop()),
                Made::Namespace(name) => drop(remove_namespace(&name)),
            }
        }
    }
}

fn remove_namespace(name: &str) -> Result<(), LabError> {
    let pids = command::checked(&["ip", "netns", "pids", name])?;
    for pid in pids.stdout.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        // It may have ended by itself since.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    command::checked(&["ip", "netns", "del", name]).map(drop)
}
