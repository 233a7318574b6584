//! A private real Open vSwitch as an oracle: the same rows, the same packet, and whether it says the same as the simulator.
//!
//! Its datapath is Open vSwitch's own dummy, which needs no privileges and no devices; the translation of rows, which is
//! what is asked, is the real one. Questions go to its control socket, since starting `ovs-appctl` for each takes longer than
//! the answer.

mod compare;
mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fseg_openflow::simulate::{Group, Tables};
use fseg_openflow::{
    Band, Body, FlowMod, Framer, GroupCommand, GroupMod, GroupType, Message, MeterCommand, MeterMod, meter,
};
use serde_json::{Deserializer, Value, json};
use tempfile::TempDir;

pub use compare::Question;

/// How long Open vSwitch may take for anything: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A private Open vSwitch with one bridge; ends when it is dropped.
pub struct Oracle {
    dir: TempDir,
    daemons: Vec<Child>,
    control: UnixStream,
    openflow: UnixStream,
    framer: Framer,
    next: u32,
    /// OpenFlow port numbers by the datapath's.
    ports: BTreeMap<u32, u32>,
    meters: BTreeSet<u32>,
    /// Rows that Open vSwitch took.
    pub tables: Tables,
    /// Groups that it took.
    pub groups: BTreeMap<u32, Group>,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Oracle {
    /// Starts one whose bridge has these ports and these meters. `None`, after saying so, where Open vSwitch is not installed;
    /// `FSEG_LAB_REQUIRED=1` makes that a failure.
    pub fn start(ports: impl IntoIterator<Item = u32>, meters: &[u32]) -> Option<Self> {
        let missing = ["ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl"].into_iter().find(|tool| {
            !["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(tool).exists())
        });
        if let Some(tool) = missing {
            let required = std::env::var_os("FSEG_LAB_REQUIRED").is_some_and(|value| value == "1");
            assert!(!required, "this test must run here, but {tool} is not installed");
            eprintln!("SKIPPED: {tool} is not installed");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("fseg-ovs").tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let command = |name: &str| {
            let mut command = Command::new(name);
            for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
                command.env(variable, dir.path());
            }
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        let made = command("ovsdb-tool").args(["create", &path("conf.db"), schema]).status().unwrap();
        assert!(made.success(), "ovsdb-tool create: {made}");
        let quiet = ["-vconsole:off", "-vsyslog:off", "-vfile:emer", "--log-file"];
        let mut daemons = Vec::new();
        let server = command("ovsdb-server")
            .args([path("conf.db"), format!("--remote=punix:{}", path("db.sock"))])
            .arg(format!("--unixctl={}", path("db.ctl")))
            .args(quiet)
            .spawn();
        daemons.push(server.unwrap());
        wait_for(&path("db.sock"));
        let database = format!("unix:{}", path("db.sock"));
        let switch = command("ovs-vswitchd")
            .args([&database, "--enable-dummy", "--disable-system"])
            .arg(format!("--unixctl={}", path("vs.ctl")))
            .args(quiet)
            .spawn();
        daemons.push(switch.unwrap());
        let mut vsctl = command("ovs-vsctl");
        vsctl.arg(format!("--db={database}")).args(["--timeout=60", "add-br", "br0", "--", "set", "bridge", "br0"]);
        vsctl.args(["datapath_type=dummy", "protocols=OpenFlow13,OpenFlow14", "fail-mode=secure"]);
        for port in ports {
            let name = format!("p{port}");
            vsctl.args(["--", "add-port", "br0", &name, "--", "set", "interface", &name, "type=dummy"]);
            vsctl.arg(format!("ofport_request={port}"));
        }
        let told = vsctl.status().unwrap();
        assert!(told.success(), "ovs-vsctl: {told}");
        wait_for(&path("br0.mgmt"));
        let connect = |name: &str| {
            let stream = UnixStream::connect(path(name)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        };
        let (control, openflow) = (connect("vs.ctl"), connect("br0.mgmt"));
        let mut oracle = Self {
            dir,
            daemons,
            control,
            openflow,
            framer: Framer::new(),
            next: 1,
            ports: BTreeMap::new(),
            meters: BTreeSet::new(),
            tables: Tables::new(),
            groups: BTreeMap::new(),
        };
        oracle.tell(Body::Hello(fseg_openflow::Hello::default()));
        oracle.ports = said::ports(&oracle.ask("dpif/show", &[]));
        oracle.add_meters(meters.iter().copied());
        Some(oracle)
    }

    /// Where its sockets are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn tell(&mut self, body: Body) -> u32 {
        self.next += 1;
        let message = Message { xid: self.next, body };
        self.openflow.write_all(&message.try_encode().unwrap()).unwrap();
        self.next
    }

    /// Waits until everything told is done; what was refused, by transaction.
    fn settle(&mut self) -> BTreeMap<u32, String> {
        let barrier = self.tell(Body::BarrierRequest);
        let mut refused = BTreeMap::new();
        let mut buffer = [0; 0x1_0000];
        loop {
            while let Some(message) = self.framer.next().unwrap() {
                match message.body {
                    Body::BarrierReply if message.xid == barrier => return refused,
                    Body::Error(error) => {
                        refused.insert(message.xid, error.to_string());
                    }
                    Body::EchoRequest(data) => {
                        let reply = Message { xid: message.xid, body: Body::EchoReply(data) };
                        self.openflow.write_all(&reply.try_encode().unwrap()).unwrap();
                    }
                    _ => {}
                }
            }
            let count = self.openflow.read(&mut buffer).unwrap();
            assert!(count > 0, "Open vSwitch closed the OpenFlow connection");
            self.framer.push(&buffer[..count]);
        }
    }

    /// Adds meters that it does not have yet.
    pub fn add_meters(&mut self, meters: impl IntoIterator<Item = u32>) {
        for meter_id in meters {
            if self.meters.insert(meter_id) {
                self.tell(Body::MeterMod(MeterMod {
                    command: MeterCommand::Add,
                    flags: meter::FLAG_PACKETS,
                    meter_id,
                    bands: vec![Band::Drop { rate: 1000, burst: 0 }],
                }));
            }
        }
        let refused = self.settle();
        assert!(refused.is_empty(), "meters are refused: {refused:?}");
    }

    /// Puts these rows and groups in place of all others. Rows that Open vSwitch refuses are left out on our side too, and
    /// returned with the reason.
    pub fn replace(&mut self, groups: &[(u32, Group)], rows: &[FlowMod]) -> Vec<(FlowMod, String)> {
        self.tell(Body::FlowMod(FlowMod::delete_all(fseg_openflow::flow::TABLE_ALL, 0, 0)));
        let group = |command, group_id, group: &Group| {
            let (type_, buckets) = (group.type_, group.buckets.clone());
            Body::GroupMod(GroupMod { command, type_, group_id, buckets })
        };
        let none = Group { type_: GroupType::All, buckets: vec![] };
        self.tell(group(GroupCommand::Delete, fseg_openflow::group::ALL, &none));
        for (number, made) in groups {
            self.tell(group(GroupCommand::Add, *number, made));
        }
        let told: Vec<(u32, &FlowMod)> = rows.iter().map(|row| (self.tell(Body::FlowMod(row.clone())), row)).collect();
        let refused = self.settle();
        self.groups = groups.iter().cloned().collect();
        self.tables.clear();
        let mut out = Vec::new();
        for (xid, row) in told {
            match refused.get(&xid) {
                Some(why) => out.push((row.clone(), why.clone())),
                None => {
                    self.tables.apply(row).unwrap();
                }
            }
        }
        out
    }

    /// One command of `ovs-appctl`.
    pub fn ask(&mut self, method: &str, parameters: &[&str]) -> String {
        let request = json!({ "id": 0, "method": method, "params": parameters });
        self.control.write_all(request.to_string().as_bytes()).unwrap();
        let mut answers = Deserializer::from_reader(&self.control).into_iter::<Value>();
        let Some(answer) = answers.next() else {
            std::thread::sleep(Duration::from_secs(1));
            let ended: Vec<_> = self.daemons.iter_mut().map(|daemon| daemon.try_wait()).collect();
            let log = std::fs::read_to_string(self.dir.path().join("ovs-vswitchd.log")).unwrap_or_default();
            panic!("no answer to {method} {parameters:?}; daemons: {ended:?}\n{log}");
        };
        let answer = answer.unwrap();
        assert_eq!(answer["error"], Value::Null, "{method} {parameters:?}");
        answer["result"].as_str().unwrap().to_owned()
    }
}

fn wait_for(path: &str) {
    let until = Instant::now() + PATIENCE;
    while !Path::new(path).exists() {
        assert!(Instant::now() < until, "{path} does not appear");
        std::thread::sleep(Duration::from_millis(10));
    }
}
