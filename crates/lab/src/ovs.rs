//! Private Open vSwitch instances with the userspace datapath.

use std::fmt;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::command::{self, DEFAULT_LIMIT, Proc};
use crate::lab::{Made, Shared};
use crate::namespace::{Namespace, check_interface, check_name};
use crate::{LabError, cable};

/// Where Debian's package puts the database's schema.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// How long a daemon may take to end after SIGTERM before it is killed.
const STOPPING: Duration = Duration::from_secs(5);

/// Where a switch instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Site {
    Root,
    Namespace(String),
}

/// One Open vSwitch instance: a database server and a switch daemon with their own folder. Cheap to clone.
#[derive(Clone)]
pub struct Ovs {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    namespace: Namespace,
    dir: PathBuf,
    daemons: Mutex<Daemons>,
}

#[derive(Default)]
struct Daemons {
    database: Option<Proc>,
    switch: Option<Proc>,
    starts: u32,
}

impl fmt::Debug for Ovs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ovs({})", self.inner.name)
    }
}

impl Ovs {
    pub(crate) fn make(shared: &Arc<Shared>, name: &str, site: Site) -> Result<Self, LabError> {
        check_name(name)?;
        let (namespace, key) = match site {
            Site::Root => (Namespace::root(shared), None),
            Site::Namespace(site) => (Namespace::existing(shared, &site), Some(site)),
        };
        if !shared.state().sites.insert(key) {
            let why = format!(
                "{namespace:?} has an Open vSwitch already, and the userspace datapath allows one per namespace: add bridges to it, or use ovs_in"
            );
            return Err(LabError::Usage(why));
        }
        let dir = shared.dir.join("ovs").join(name);
        fs::create_dir(&dir).map_err(LabError::file(&dir))?;
        let database = dir.join("conf.db");
        command::checked(&["ovsdb-tool", "create", &database.to_string_lossy(), SCHEMA])?;
        let inner = Inner { name: name.to_owned(), namespace, dir, daemons: Mutex::default() };
        let ovs = Self { inner: Arc::new(inner) };
        shared.state().made.push(Made::Ovs(ovs.clone()));
        ovs.start()?;
        Ok(ovs)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The namespace it runs in.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.inner.namespace
    }

    /// Its folder: database, logs, sockets (`NAME.mgmt` and `NAME.snoop` of each bridge).
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// The database's remote, as OVSDB clients take it: `unix:DIR/db.sock`.
    #[must_use]
    pub fn db_remote(&self) -> String {
        format!("unix:{}", self.file("db.sock"))
    }

    /// Starts what does not run, and waits until the switch has taken over the database's content.
    pub fn start(&self) -> Result<(), LabError> {
        let mut daemons = self.daemons();
        if daemons.database.as_mut().is_none_or(|proc| !proc.running()) {
            let socket = self.file("db.sock");
            let database = [
                "ovsdb-server".to_owned(),
                self.file("conf.db"),
                format!("--remote=punix:{socket}"),
                // As Debian's package starts it: managers, and what TLS needs for them, stand in the database.
                "--remote=db:Open_vSwitch,Open_vSwitch,manager_options".to_owned(),
                "--private-key=db:Open_vSwitch,SSL,private_key".to_owned(),
                "--certificate=db:Open_vSwitch,SSL,certificate".to_owned(),
                "--ca-cert=db:Open_vSwitch,SSL,ca_cert".to_owned(),
                format!("--unixctl={}", self.file("db.ctl")),
                format!("--pidfile={}", self.file("db.pid")),
                format!("--log-file={}", self.file("db.log")),
            ];
            daemons.database = Some(self.daemon(&database, &socket)?);
            self.vsctl(&["--no-wait", "init"])?;
        }
        if daemons.switch.as_mut().is_none_or(|proc| !proc.running()) {
            let control = self.file("vs.ctl");
            let switch = [
                "ovs-vswitchd".to_owned(),
                self.db_remote(),
                format!("--unixctl={control}"),
                format!("--pidfile={}", self.file("vs.pid")),
                format!("--log-file={}", self.file("vs.log")),
            ];
            daemons.switch = Some(self.daemon(&switch, &control)?);
            daemons.starts += 1;
            // Without --no-wait the tool returns when the daemon has applied this and everything before it; it waits
            // only for what changes the database, hence the number.
            let round = format!("external_ids:fseg-lab-start={}", daemons.starts);
            self.vsctl(&["set", "Open_vSwitch", ".", &round])?;
        }
        Ok(())
    }

    fn daemon(&self, args: &[String], socket: &str) -> Result<Proc, LabError> {
        // A socket left by a killed predecessor would refuse connections, or worse, answer for a moment.
        let _ = fs::remove_file(socket);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut proc = Proc::spawn(self.environment(self.inner.namespace.command(&args)?))?;
        let what = format!("{} of {}", args.first().unwrap_or(&""), self.inner.name);
        command::until(&what, DEFAULT_LIMIT, || match UnixStream::connect(socket) {
            Ok(_) => Ok(()),
            Err(error) if proc.running() => {
                Err(format!("{socket}: {error}; its log is in {}", self.inner.dir.display()))
            }
            Err(_) => Err(format!("it ended: {}", proc.stderr().trim())),
        })?;
        Ok(proc)
    }

    /// Stops both daemons in order, as a reboot would; the database stays, the flow tables do not.
    pub fn stop(&self) -> Result<(), LabError> {
        let mut daemons = self.daemons();
        let (switch, database) = (daemons.switch.take(), daemons.database.take());
        for proc in [switch, database].into_iter().flatten() {
            proc.signal(Signal::SIGTERM);
            proc.wait(STOPPING)?;
        }
        Ok(())
    }

    /// Kills both daemons with SIGKILL, as a power cut would.
    pub fn kill9(&self) {
        let mut daemons = self.daemons();
        for mut proc in [daemons.switch.take(), daemons.database.take()].into_iter().flatten() {
            proc.kill();
        }
    }

    /// Whether both daemons run.
    #[must_use]
    pub fn running(&self) -> bool {
        let mut daemons = self.daemons();
        let Daemons { database, switch, .. } = &mut *daemons;
        [database, switch].into_iter().all(|proc| proc.as_mut().is_some_and(Proc::running))
    }

    /// `ovs-vsctl` on this instance; answers what it printed.
    pub fn vsctl(&self, args: &[&str]) -> Result<String, LabError> {
        let db = format!("--db={}", self.db_remote());
        self.tool(&[&["ovs-vsctl", "--timeout=10", &db], args].concat())
    }

    /// `ovs-ofctl` on this instance, OpenFlow 1.3 and 1.4; bridges are given by name.
    pub fn ofctl(&self, args: &[&str]) -> Result<String, LabError> {
        self.tool(&[&["ovs-ofctl", "-O", "OpenFlow13,OpenFlow14", "--timeout=10"], args].concat())
    }

    /// `ovs-appctl` to the switch daemon.
    pub fn appctl(&self, args: &[&str]) -> Result<String, LabError> {
        self.tool(&[&["ovs-appctl", "--timeout=10", "-t", &self.file("vs.ctl")], args].concat())
    }

    /// The rows of a bridge with their counters, one per line, without the heading.
    pub fn dump_flows(&self, bridge: &str) -> Result<String, LabError> {
        let text = self.ofctl(&["--no-names", "dump-flows", bridge])?;
        Ok(text.lines().filter(|line| line.contains("table=")).map(|line| format!("{}\n", line.trim())).collect())
    }

    /// Adds a bridge with the userspace datapath and no rows: whoever is to control it decides.
    pub fn add_bridge(&self, bridge: &str) -> Result<(), LabError> {
        check_interface(bridge)?;
        let set = ["datapath_type=netdev", "fail_mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"];
        self.vsctl(&[&["add-br", bridge, "--", "set", "bridge", bridge], &set[..]].concat()).map(drop)
    }

    /// Adds a port of this OpenFlow number, with its jack.
    pub fn add_port(&self, bridge: &str, port: &str, number: u16) -> Result<(), LabError> {
        let namespace = &self.inner.namespace;
        cable::ensure_jack(&namespace.shared, &cable::Jack::at(namespace, port))?;
        let request = format!("ofport_request={number}");
        self.vsctl(&["add-port", bridge, port, "--", "set", "interface", port, &request]).map(drop)
    }

    /// Adds a row in `ovs-ofctl` syntax.
    pub fn add_flow(&self, bridge: &str, flow: &str) -> Result<(), LabError> {
        self.ofctl(&["add-flow", bridge, flow]).map(drop)
    }

    /// Waits until the switch sees carrier on `port`, or sees none.
    pub fn wait_for_link(&self, port: &str, up: bool) -> Result<(), LabError> {
        let wanted = if up { "up" } else { "down" };
        command::until(&format!("link {wanted} on {port}"), DEFAULT_LIMIT, || {
            let state = self.vsctl(&["get", "interface", port, "link_state"]).map_err(|error| error.to_string())?;
            if state.trim() == wanted { Ok(()) } else { Err(format!("it is {}", state.trim())) }
        })
    }

    /// The lines of its logs at level ERR or EMER.
    pub fn errors(&self) -> Result<Vec<String>, LabError> {
        let mut errors = Vec::new();
        for log in ["db.log", "vs.log"] {
            let path = self.inner.dir.join(log);
            let text = fs::read_to_string(&path).map_err(LabError::file(path))?;
            errors.extend(
                text.lines().filter(|line| line.contains("|ERR|") || line.contains("|EMER|")).map(str::to_owned),
            );
        }
        Ok(errors)
    }

    fn tool(&self, args: &[&str]) -> Result<String, LabError> {
        let command = self.environment(command::command(args)?);
        Ok(command::run(command, DEFAULT_LIMIT)?.check()?.stdout)
    }

    fn environment(&self, mut command: Command) -> Command {
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, &self.inner.dir);
        }
        command
    }

    fn file(&self, name: &str) -> String {
        self.inner.dir.join(name).to_string_lossy().into_owned()
    }

    fn daemons(&self) -> MutexGuard<'_, Daemons> {
        self.inner.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
