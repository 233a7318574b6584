//! A private Open vSwitch with one bridge, in namespaces of its own, and a connection to its management socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fseg_openflow::{Body, Framer, Hello, Message};
use tempfile::TempDir;

/// Prints `ready` when both daemons are; ends with its standard input, and everything it started with it.
const SCRIPT: &str = r#"
set -e
export OVS_RUNDIR="$1" OVS_LOGDIR="$1" OVS_DBDIR="$1"
ip link set lo up
ovsdb-tool create "$1/conf.db" /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server "$1/conf.db" --remote="punix:$1/db.sock" --unixctl="$1/db.ctl" --pidfile="$1/db.pid" --detach --log-file="$1/db.log"
ovs-vsctl --db="unix:$1/db.sock" --no-wait init
ovs-vswitchd "unix:$1/db.sock" --unixctl="$1/vs.ctl" --pidfile="$1/vs.pid" --detach --log-file="$1/vs.log"
ovs-vsctl --db="unix:$1/db.sock" --timeout=60 add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure \
    protocols=OpenFlow13,OpenFlow14 other_config:datapath-id=0000f5e600000001 other_config:hwaddr=02:f5:e6:00:00:01
shift
for n in "$@"; do
    ip link add "dev$n" type veth peer name "far$n"
    ip link set "dev$n" up; ip link set "far$n" up
    ovs-vsctl --db="unix:$OVS_RUNDIR/db.sock" --timeout=60 add-port br0 "dev$n" -- set interface "dev$n" ofport_request="$n"
done
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
    pub(crate) fn start(ports: &[u32]) -> Option<Self> {
        let tools = ["unshare", "ip", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl"];
        let has =
            |tool: &str| ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|d| Path::new(d).join(tool).exists());
        let missing: Vec<_> = tools.into_iter().filter(|tool| !has(tool)).collect();
        let uid = Command::new("id").arg("-u").output().unwrap().stdout;
        if !missing.is_empty() || uid != b"0\n" {
            let why = format!("a switch needs root (uid is {}) and {missing:?}", String::from_utf8_lossy(&uid).trim());
            assert!(std::env::var_os("FSEG_LAB_REQUIRED").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"])
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(dir.path())
            .args(ports.iter().map(ToString::to_string))
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
        let mut connection = Connection { socket, framer: Framer::new(), next_xid: 1 };
        connection.send(Body::Hello(Hello::default()));
        connection.wait("a hello", |message| matches!(message.body, Body::Hello(_)));
        connection
    }

    /// What `ovs-appctl ofproto/trace` says of a packet, or why it does not take it.
    pub(crate) fn trace(&self, flow: &str, state: Option<&str>) -> Result<String, String> {
        let mut params = vec!["br0", flow];
        if let Some(state) = state {
            params.extend(["--ct-next", state]);
        }
        let mut socket = UnixStream::connect(self.dir.path().join("vs.ctl")).map_err(|e| e.to_string())?;
        let request = serde_json::json!({ "id": 0, "method": "ofproto/trace", "params": params });
        socket.write_all(request.to_string().as_bytes()).map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(Duration::from_secs(60))).map_err(|e| e.to_string())?;
        let mut answer = serde_json::Deserializer::from_reader(socket).into_iter::<serde_json::Value>();
        let answer = answer.next().ok_or("no answer")?.map_err(|e| e.to_string())?;
        match (answer["result"].as_str(), answer["error"].as_str()) {
            (Some(text), _) => Ok(text.to_owned()),
            (None, why) => Err(why.unwrap_or("no answer").to_owned()),
        }
    }
}

/// An OpenFlow 1.3 connection.
pub(crate) struct Connection {
    socket: UnixStream,
    framer: Framer,
    next_xid: u32,
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
