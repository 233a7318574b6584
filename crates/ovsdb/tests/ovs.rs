//! Against a real ovsdb-server and ovs-vswitchd: a private pair in namespaces of its own, userspace datapath.
//!
//! Needs root, util-linux, iproute2 and openvswitch-switch; says so and passes where they are missing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, their helpers included")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fseg_ovsdb::{Applied, BridgeSpec, Client, OvsdbError, PortSpec, Remote, ensure_bridge, remove_bridge};
use serde_json::json;
use tempfile::TempDir;

/// Prints `ready` when both daemons are; ends with its standard input, and everything it started with it.
const SCRIPT: &str = r#"
set -e
export OVS_RUNDIR="$1" OVS_LOGDIR="$1" OVS_DBDIR="$1"
ip link set lo up
ip link add dev0 type veth peer name dev1
ovsdb-tool create "$1/conf.db" /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server "$1/conf.db" --remote="punix:$1/db.sock" --unixctl="$1/db.ctl" --pidfile="$1/db.pid" --detach --log-file="$1/db.log"
ovs-vsctl --db="unix:$1/db.sock" --no-wait init
ovs-vswitchd "unix:$1/db.sock" --unixctl="$1/vs.ctl" --pidfile="$1/vs.pid" --detach --log-file="$1/vs.log"
echo ready
cat
"#;

struct Ovs {
    dir: TempDir,
    /// `unshare`; with it goes the process namespace, and so both daemons.
    child: Child,
}

impl Drop for Ovs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ovs {
    /// `None` where it cannot run, after saying why.
    fn start() -> Option<Self> {
        let tools = ["unshare", "ip", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl"];
        let has =
            |tool: &str| ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|d| Path::new(d).join(tool).exists());
        let missing: Vec<_> = tools.into_iter().filter(|t| !has(t)).collect();
        let uid = Command::new("id").arg("-u").output().unwrap().stdout;
        if !missing.is_empty() || uid != b"0\n" {
            eprintln!("SKIPPED: needs root (uid is {}) and {missing:?}", String::from_utf8_lossy(&uid).trim());
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child=SIGKILL",
                "--mount-proc",
                "sh",
                "-c",
                SCRIPT,
                "sh",
            ])
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
        Some(Self { dir, child })
    }

    async fn client(&self, limit: Duration) -> Client {
        Client::connect(&Remote::Unix(self.dir.path().join("db.sock")), limit).await.unwrap()
    }

    /// Runs ovs-vsctl, the oracle.
    fn vsctl(&self, args: &[&str]) -> String {
        let db = format!("--db=unix:{}/db.sock", self.dir.path().display());
        let output = Command::new("ovs-vsctl").arg(db).args(["--timeout=20"]).args(args).output().unwrap();
        assert!(output.status.success(), "ovs-vsctl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends ovs-vswitchd, and returns when it has ended.
    fn stop_vswitchd(&self) {
        let ctl = self.dir.path().join("vs.ctl");
        let status = Command::new("ovs-appctl").arg("-t").arg(&ctl).arg("exit").status().unwrap();
        assert!(status.success());
    }
}

fn port(name: &str, number: u32, kind: &str) -> PortSpec {
    PortSpec { name: name.into(), number, interface_type: kind.into(), ..PortSpec::default() }
}

fn spec() -> BridgeSpec {
    BridgeSpec {
        name: "sw1".into(),
        datapath_type: "netdev".into(),
        datapath_id: 0xf5e6_0001,
        protocols: vec!["OpenFlow13".into(), "OpenFlow15".into()],
        fail_mode_secure: true,
        controllers: vec!["tcp:127.0.0.1:6653".into(), "tcp:127.0.0.1:6654".into()],
        mac: Some("02:f5:e6:00:00:01".into()),
        ports: vec![port("dev0", 7, ""), port("int0", 8, "internal"), port("later", 9, "")],
        ..BridgeSpec::default()
    }
}

fn shown(applied: &[Applied]) -> Vec<String> {
    applied.iter().map(ToString::to_string).collect()
}

fn changes(applied: &[Applied]) -> Vec<String> {
    applied.iter().filter(|a| a.is_change()).map(ToString::to_string).collect()
}

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_bridge_is_made_kept_changed_and_removed() {
    let Some(ovs) = Ovs::start() else { return };
    let client = ovs.client(LIMIT).await;
    assert!(client.list_dbs().await.unwrap().contains(&"Open_vSwitch".to_owned()));
    assert_eq!(client.get_schema("Open_vSwitch").await.unwrap()["name"], "Open_vSwitch");

    let applied = ensure_bridge(&client, &spec(), "node1").await.unwrap();
    let said = shown(&applied);
    for part in ["bridge sw1 created", "port sw1 added", "port dev0 added", "controller tcp:127.0.0.1:6654 added"] {
        assert!(said.iter().any(|s| s == part), "{part} is missing in {said:#?}");
    }
    // Only the port whose device is not there is reported.
    let failed: Vec<_> = applied.iter().filter(|a| !a.is_change()).collect();
    assert!(matches!(failed[..], [Applied::InterfaceFailed { port, .. }] if port == "later"), "{failed:?}");

    for (table, row, column, expected) in [
        ("bridge", "sw1", "datapath_id", "\"00000000f5e60001\""),
        ("bridge", "sw1", "datapath_type", "netdev"),
        ("bridge", "sw1", "fail_mode", "secure"),
        ("bridge", "sw1", "protocols", "[OpenFlow13, OpenFlow15]"),
        ("bridge", "sw1", "other_config:disable-in-band", "\"true\""),
        ("bridge", "sw1", "external_ids:fseg-owner", "node1"),
        ("interface", "dev0", "ofport", "7"),
        ("interface", "int0", "ofport", "8"),
        ("interface", "later", "ofport", "-1"),
        ("interface", "sw1", "ofport", "65534"),
        ("interface", "sw1", "mac_in_use", "\"02:f5:e6:00:00:01\""),
        ("port", "dev0", "external_ids:fseg-owner", "node1"),
    ] {
        assert_eq!(ovs.vsctl(&["get", table, row, column]), expected, "{table} {row} {column}");
    }
    let controllers = ovs.vsctl(&[
        "--columns=target,connection_mode,inactivity_probe",
        "--format=csv",
        "--data=bare",
        "--no-headings",
        "list",
        "controller",
    ]);
    let mut controllers: Vec<_> = controllers.lines().collect();
    controllers.sort_unstable();
    assert_eq!(controllers, ["tcp:127.0.0.1:6653,out-of-band,5000", "tcp:127.0.0.1:6654,out-of-band,5000"]);

    // Again: nothing. Not even the configuration number moves.
    let number = ovs.vsctl(&["get", "Open_vSwitch", ".", "next_cfg"]);
    assert_eq!(changes(&ensure_bridge(&client, &spec(), "node1").await.unwrap()), [""; 0]);
    assert_eq!(ovs.vsctl(&["get", "Open_vSwitch", ".", "next_cfg"]), number);

    // Another hand added a port and changed a setting; we drop a port and a controller, and renumber.
    ovs.vsctl(&["add-port", "sw1", "theirs", "--", "set", "interface", "theirs", "type=internal"]);
    ovs.vsctl(&["set", "bridge", "sw1", "other_config:disable-in-band=false", "other_config:mac-table-size=500"]);
    let mut changed = spec();
    changed.controllers.pop();
    changed.ports = vec![port("int0", 11, "internal")];
    let applied = ensure_bridge(&client, &changed, "node1").await.unwrap();
    let mut said = changes(&applied);
    said.sort();
    assert_eq!(
        said,
        [
            "controller tcp:127.0.0.1:6654 removed",
            "other_config:disable-in-band: false → true",
            "port dev0 removed",
            "port int0, ofport_request: 8 → 11",
            "port later removed",
        ]
    );
    assert!(applied.iter().any(|a| matches!(a, Applied::PortLeft(port, _) if port == "theirs")), "{applied:?}");
    assert_eq!(ovs.vsctl(&["list-ports", "sw1"]), "int0\ntheirs");
    assert_eq!(ovs.vsctl(&["get", "interface", "int0", "ofport"]), "11");
    assert_eq!(ovs.vsctl(&["get", "bridge", "sw1", "other_config:mac-table-size"]), "\"500\"");

    let refused = remove_bridge(&client, "sw1", "node1").await.unwrap_err();
    assert!(matches!(&refused, OvsdbError::ForeignPort { port, .. } if port == "theirs"), "{refused}");
    ovs.vsctl(&["del-port", "theirs"]);
    assert_eq!(shown(&remove_bridge(&client, "sw1", "node1").await.unwrap()), ["bridge sw1 removed"]);
    assert_eq!(remove_bridge(&client, "sw1", "node1").await, Ok(vec![]));
    assert_eq!(ovs.vsctl(&["list-br"]), "");
    assert_eq!(ovs.vsctl(&["list", "controller"]), "", "controllers were left behind");
}

#[tokio::test]
async fn bridges_of_others_are_refused_and_adopted_on_demand() {
    let Some(ovs) = Ovs::start() else { return };
    let client = ovs.client(LIMIT).await;
    ovs.vsctl(&["add-br", "sw1", "--", "set", "bridge", "sw1", "datapath_type=netdev", "external_ids:who=them"]);
    // A bond of the name of one of our ports: it cannot stay what it is.
    ovs.vsctl(&["add-bond", "sw1", "dev0", "dev0", "dev1"]);
    let before = ovs.vsctl(&["show"]);
    let refused = ensure_bridge(&client, &spec(), "node1").await.unwrap_err();
    assert!(matches!(refused, OvsdbError::Foreign { .. }), "{refused}");
    assert!(matches!(remove_bridge(&client, "sw1", "node1").await, Err(OvsdbError::Foreign { .. })));
    assert_eq!(ovs.vsctl(&["show"]), before);

    let adopt = BridgeSpec { adopt: true, ..spec() };
    let said = changes(&ensure_bridge(&client, &adopt, "node1").await.unwrap());
    assert!(said.iter().any(|s| s.starts_with("bridge sw1 taken over from")), "{said:#?}");
    assert_eq!(ovs.vsctl(&["get", "interface", "dev0", "ofport"]), "7");
    assert_eq!(ovs.vsctl(&["list-ifaces", "sw1"]), "dev0\nint0\nlater");
    assert_eq!(ovs.vsctl(&["get", "bridge", "sw1", "external_ids:who"]), "them");
    assert_eq!(changes(&ensure_bridge(&client, &spec(), "node1").await.unwrap()), [""; 0]);

    // A port that is on another bridge is not stolen from it.
    let second = BridgeSpec { name: "sw2".into(), datapath_id: 2, mac: None, ..spec() };
    let refused = ensure_bridge(&client, &second, "node1").await.unwrap_err();
    assert!(matches!(&refused, OvsdbError::ForeignPort { bridge, .. } if bridge == "sw1"), "{refused}");
}

#[tokio::test]
async fn patch_ports_join_two_bridges() {
    let Some(ovs) = Ovs::start() else { return };
    let client = ovs.client(LIMIT).await;
    let patch = |name: &str, peer: &str| PortSpec {
        options: [("peer".to_owned(), peer.to_owned())].into(),
        ..port(name, 1, "patch")
    };
    let bridge = |name: &str, id, ports| BridgeSpec {
        name: name.into(),
        datapath_type: "netdev".into(),
        datapath_id: id,
        ports,
        ..BridgeSpec::default()
    };
    // The first has no peer yet, and says so; the second completes it.
    ensure_bridge(&client, &bridge("a", 1, vec![patch("a-b", "b-a")]), "node1").await.unwrap();
    let applied = ensure_bridge(&client, &bridge("b", 2, vec![patch("b-a", "a-b")]), "node1").await.unwrap();
    assert!(applied.iter().all(Applied::is_change), "{applied:?}");
    let applied = ensure_bridge(&client, &bridge("a", 1, vec![patch("a-b", "b-a")]), "node1").await.unwrap();
    assert_eq!(shown(&applied), [""; 0]);
}

#[tokio::test]
async fn a_switch_that_does_not_answer_is_reported() {
    let Some(ovs) = Ovs::start() else { return };
    ovs.stop_vswitchd();
    let client = ovs.client(Duration::from_millis(500)).await;
    let outcome = ensure_bridge(&client, &spec(), "node1").await;
    assert!(matches!(outcome, Err(OvsdbError::NotApplied { .. })), "{outcome:?}");
    // The database has it all the same; still nobody took it over.
    assert_eq!(ovs.vsctl(&["--no-wait", "list-br"]), "sw1");
    assert!(matches!(ensure_bridge(&client, &spec(), "node1").await, Err(OvsdbError::NotApplied { .. })));
}

#[tokio::test]
async fn real_errors_and_real_updates_are_understood() {
    let Some(ovs) = Ovs::start() else { return };
    let client = ovs.client(LIMIT).await;
    let select = json!({ "op": "select", "table": "Bridge", "where": [] });
    let bad = json!({ "op": "select", "table": "Nonsense", "where": [] });
    let error = client.transact("Open_vSwitch", &[select.clone(), bad]).await.unwrap_err();
    assert!(
        matches!(&error, OvsdbError::Operation { index: 1, op, details, .. } if op == "select" && details.contains("Nonsense")),
        "{error}"
    );
    let error = client.transact("nothing", &[select]).await.unwrap_err();
    assert!(matches!(error, OvsdbError::Refused { call: "transact", .. }), "{error}");
    // A bridge without the ports that its row refers to: all operations succeed, the commit does not.
    let dangling = json!({ "op": "insert", "table": "Bridge", "uuid-name": "b", "row": { "name": "x", "ports": ["uuid", "00000000-0000-0000-0000-000000000001"] } });
    let root = json!({ "op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["bridges", "insert", ["set", [["named-uuid", "b"]]]]] });
    let error = client.transact("Open_vSwitch", &[dangling, root]).await.unwrap_err();
    assert!(matches!(error, OvsdbError::Commit { .. }), "{error}");

    let mut monitor =
        client.monitor("Open_vSwitch", json!({ "Open_vSwitch": { "columns": ["external_ids"] } })).await.unwrap();
    assert!(monitor.initial()["Open_vSwitch"].is_object());
    ovs.vsctl(&["set", "Open_vSwitch", ".", "external_ids:hello=world"]);
    let update = monitor.next().await.unwrap();
    assert!(update.to_string().contains("[\"hello\",\"world\"]"), "{update}");
    client.cancel(monitor).await.unwrap();
}
