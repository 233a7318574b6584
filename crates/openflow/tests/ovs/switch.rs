//! A private Open vSwitch with one bridge, in namespaces of its own, and a connection to its management socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fseg_openflow::{Body, Framer, Hello, Message};
use tempfile::TempDir;

use crate::oracle::skip;

/// Prints `ready` when both daemons are; ends with its standard input, and everything it started with it.
const SCRIPT: &str = r#"
set -e
export OVS_RUNDIR="$1" OVS_LOGDIR="$1" OVS_DBDIR="$1"
ip link set lo up
ip link add dev0 type veth peer name dev1
ip link set dev0 up; ip link set dev1 up
ovsdb-tool create "$1/conf.db" /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server "$1/conf.db" --remote="punix:$1/db.sock" --unixctl="$1/db.ctl" --pidfile="$1/db.pid" --detach --log-file="$1/db.log"
ovs-vsctl --db="unix:$1/db.sock" --no-wait init
ovs-vswitchd "unix:$1/db.sock" --unixctl="$1/vs.ctl" --pidfile="$1/vs.pid" --detach --log-file="$1/vs.log"
ovs-vsctl --db="unix:$1/db.sock" --timeout=60 add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure \
    protocols=OpenFlow13,OpenFlow14 other_config:datapath-id=0000f5e600000001 other_config:hwaddr=02:f5:e6:00:00:01 \
    -- add-port br0 dev0 -- set interface dev0 ofport_request=7
echo ready
cat
"#;

pub(crate) struct Switch {
    dir: TempDir,
    /// `unshare`; with it goes the process namespace, and so both daemons.
    child: Child,
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Switch {
    /// `None` where it cannot run, after saying why.
    pub(crate) fn start() -> Option<Self> {
        let tools = ["unshare", "ip", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl"];
        let has =
            |tool: &str| ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|d| Path::new(d).join(tool).exists());
        let missing: Vec<_> = tools.into_iter().filter(|tool| !has(tool)).collect();
        let uid = Command::new("id").arg("-u").output().unwrap().stdout;
        if !missing.is_empty() || uid != b"0\n" {
            skip(&format!("a switch needs root (uid is {}) and {missing:?}", String::from_utf8_lossy(&uid).trim()));
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"])
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(dir.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            let mut why = String::new();
            child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            panic!("Open vSwitch did not start: {why}");
        }
        Some(Switch { dir, child })
    }

    pub(crate) fn connect(&self) -> Connection {
        let socket = UnixStream::connect(self.dir.path().join("br0.mgmt")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut connection = Connection { socket, framer: Framer::new(), next_xid: 1, log: Vec::new() };
        connection.send(Body::Hello(Hello::default()));
        connection.wait("a hello", |message| matches!(message.body, Body::Hello(_)));
        connection
    }

    /// Runs ovs-ofctl on the bridge and hands back what it prints.
    pub(crate) fn ofctl(&self, options: &[&str], command: &str) -> String {
        let target = format!("unix:{}/br0.mgmt", self.dir.path().display());
        let output = Command::new("ovs-ofctl")
            .args(["-O", "OpenFlow13"])
            .args(options)
            .args([command, &target])
            .output()
            .unwrap();
        assert!(output.status.success(), "ovs-ofctl {command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs ovs-vsctl on the switch's database.
    pub(crate) fn vsctl(&self, arguments: &[&str]) {
        let database = format!("--db=unix:{}/db.sock", self.dir.path().display());
        let output = Command::new("ovs-vsctl").arg(database).arg("--timeout=60").args(arguments).output().unwrap();
        assert!(output.status.success(), "ovs-vsctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// An OpenFlow 1.3 connection that remembers every message that came, as bytes.
pub(crate) struct Connection {
    socket: UnixStream,
    framer: Framer,
    next_xid: u32,
    pub(crate) log: Vec<Vec<u8>>,
}

impl Connection {
    /// Sends a message and hands back its transaction id.
    pub(crate) fn send(&mut self, body: Body) -> u32 {
        self.next_xid += 1;
        self.send_bytes(&Message { xid: self.next_xid, body }.encode());
        self.next_xid
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Reads until a message fits; what came before it is handed back as well.
    pub(crate) fn wait(&mut self, what: &str, fits: impl Fn(&Message) -> bool) -> Vec<Message> {
        let until = Instant::now() + Duration::from_secs(60);
        let mut seen = Vec::new();
        loop {
            while let Some(bytes) = self.framer.next_bytes().unwrap() {
                self.log.push(bytes.to_vec());
                let message = Message::decode(bytes).unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"));
                if let Body::EchoRequest(data) = &message.body {
                    let reply = Message { xid: message.xid, body: Body::EchoReply(data.clone()) };
                    self.socket.write_all(&reply.encode()).unwrap();
                }
                seen.push(message);
                if fits(seen.last().unwrap()) {
                    return seen;
                }
            }
            assert!(Instant::now() < until, "{what} did not come within a minute; what came: {seen:#?}");
            let mut chunk = [0; 65_536];
            match self.socket.read(&mut chunk) {
                Ok(0) => panic!("the switch closed the connection before {what} came"),
                Ok(count) => self.framer.push(chunk.get(..count).unwrap()),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends a question and waits for everything up to the end of its answer.
    pub(crate) fn ask(&mut self, body: Body) -> Vec<Message> {
        let xid = self.send(body);
        let more = |message: &Message| matches!(&message.body, Body::MultipartReply(reply) if reply.more);
        self.wait("an answer", |message| message.xid == xid && !more(message))
    }

    /// Waits until the switch has dealt with everything sent so far; hands back what came.
    pub(crate) fn barrier(&mut self) -> Vec<Message> {
        self.ask(Body::BarrierRequest)
    }
}
