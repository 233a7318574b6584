//! Which switches come in: those that this node has enrolled, each as itself. Real Open vSwitch on the other side.

use fseg_lab::sandbox::testing::in_sandbox;
use fseg_lab::{Lab, LabError};
use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};
use serde_json::Value;

use crate::support::{Told, check, eventually, fseg, unnoticed, workers, wrong};

/// Where sw2's node listens, seen from sw2.
const NODE: &str = "ssl:192.0.2.5:6653";

/// sw2 is on another machine: its database is reached by TLS.
fn sw2_elsewhere(config: String) -> String {
    let is_sw2 = |line: &&str| line.contains("ovsdb: unix:") && line.contains("/sw2/");
    let line = config.lines().find(is_sw2).unwrap_or_default().to_owned();
    config.replace(&line, "    ovsdb: \"ssl:192.0.2.6:6640\"")
}

fn in_office(name: &'static str, test: impl FnOnce(&Lab, &Office<'_>) -> Told) {
    in_sandbox(name, |lab| {
        let told = || -> Told {
            let office = Office::build_with(lab, sw2_elsewhere)?;
            office.node.start()?;
            // Two of this machine, which the node enrols itself.
            office.node.wait_for_switches(2)?;
            test(lab, &office)?;
            let log = office.node.log();
            check(!log.contains("PRIVATE KEY"), || "the log holds a key".into())?;
            let bad = log.lines().find(|l| l.contains("panicked") || l.contains(" ERROR "));
            bad.map_or(Ok(()), |line| wrong(format!("the node logged: {line}")))
        };
        told().map_err(|e| LabError::Usage(e.to_string()))
    });
}

/// Runs on sw2 what `fseg switch enroll` printed, in a folder of the lab's instead of the machine's own.
fn run_on_sw2(lab: &Lab, office: &Office<'_>, script: &str) -> Told {
    let folder = lab.dir().join("sw2-tls").display().to_string();
    let path = lab.dir().join("enroll.sh");
    let text = script.replace("/etc/openvswitch/fseg", &folder);
    std::fs::write(&path, text).map_err(|e| SceneError::wrong(e.to_string()))?;
    let sw2 = &office.switches[2];
    let rundir = format!("OVS_RUNDIR={}", sw2.dir().display());
    sw2.namespace().exec(&["env", &rundir, "sh", &path.display().to_string()])?.check()?;
    Ok(())
}

fn enroll_sw2(lab: &Lab, office: &Office<'_>) -> Told {
    let script = office.node.run(&["switch", "enroll", "sw2"])?;
    run_on_sw2(lab, office, &script)?;
    eventually("sw2 over TLS", || office.node.wait_for_switches(3))
}

/// What `fseg switch list` shows of a switch.
fn shown(office: &Office<'_>, name: &str) -> Told<Value> {
    let list = office.node.json(&["switch", "list"])?;
    let found = list["switches"].as_array().and_then(|l| l.iter().find(|s| s["name"] == name));
    found.cloned().ok_or_else(|| SceneError::wrong(format!("no {name} in {list}")))
}

/// Waits until somebody was turned away for this reason, as the operator is shown it and as the log has it.
fn turned_away(office: &Office<'_>, reason: &str) -> Told {
    eventually(reason, || {
        let list = office.node.json(&["switch", "list"])?;
        let found = list["turned_away"]
            .as_array()
            .is_some_and(|l| l.iter().any(|t| t["reason"].as_str().is_some_and(|r| r.contains(reason))));
        check(found, || format!("nobody was turned away: {list}"))
    })?;
    check(office.node.log().contains(reason), || format!("the log does not say `{reason}`"))
}

fn connected(office: &Office<'_>, name: &str, wanted: bool) -> Told {
    eventually(&format!("{name} connected: {wanted}"), || {
        let by = shown(office, name)?["transport"].clone();
        check((by == "tls") == wanted, || format!("{name} is connected by {by}"))
    })
}

/// Makes a key, and a certificate for it that ended years ago, signed by the node's own authority for switches.
const EXPIRED: &str = r#"
set -e
mkdir -p "$1"; cd "$1"; ca=$2
: >index.txt; echo 77 >serial
cat >cnf <<END
[ca]
default_ca = d
[d]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = p
x509_extensions = e
[p]
commonName = supplied
[e]
extendedKeyUsage = clientAuth,serverAuth
END
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout expired.key -out csr -subj /CN=sw2
openssl ca -batch -notext -config cnf -cert "$ca/switch-ca.crt" -keyfile "$ca/switch-ca.key" -in csr -out expired.crt \
  -startdate 20200101000000Z -enddate 20200201000000Z
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout other.key -out other.crt -days 2 -subj /CN=sw2
"#;

#[test]
fn a_switch_comes_in_as_itself_and_nobody_else_does() {
    in_office("tls::a_switch_comes_in_as_itself_and_nobody_else_does", |lab, office| {
        let node = &office.node;
        check(shown(office, "sw1")?["certificate"]["automatic"] == true, || "sw1 was not enrolled by the node".into())?;
        check(shown(office, "sw2")?["certificate"].is_null(), || "sw2 has a certificate already".into())?;
        enroll_sw2(lab, office)?;
        connected(office, "sw2", true)?;
        office.apply(POLICY)?;
        office.register()?;
        workers(office)?;
        let sw2 = &office.switches[2];
        let tls = lab.dir().join("state/tls");
        let made = lab.dir().join("made").display().to_string();
        let authority = tls.join("node-ca.crt").display().to_string();
        let own = lab.dir().join("sw2-tls");
        let file = |name: &str| own.join(name).display().to_string();
        sw2.namespace().exec(&["sh", "-c", EXPIRED, "sh", &made, &tls.display().to_string()])?.check()?;
        let sw1 = shown(office, "sw1")?["certificate"]["serial"].as_str().unwrap_or_default().to_owned();
        let of_sw1 = |kind: &str| tls.join("switches").join(format!("{sw1}.{kind}")).display().to_string();

        // The database goes with the certificate, so the keeper cannot put anything right in between.
        let show = |key: &str, certificate: &str, reason: &str| -> Told {
            sw2.vsctl(&["set-controller", "sw2", "tcp:192.0.2.5:1"])?;
            connected(office, "sw2", false)?;
            sw2.vsctl(&["set-ssl", key, certificate, &authority])?;
            sw2.vsctl(&["set-controller", "sw2", NODE])?;
            turned_away(office, reason)?;
            connected(office, "sw2", false)
        };
        unnoticed(office, || {
            show(&of_sw1("key"), &of_sw1("crt"), "and its certificate is for sw1")?;
            let made = |name: &str| format!("{made}/{name}");
            show(&made("other.key"), &made("other.crt"), "was not issued by this node")?;
            show(&made("expired.key"), &made("expired.crt"), "has expired")?;
            // Plain text, and no certificate at all.
            sw2.vsctl(&["set-controller", "sw2", "tcp:192.0.2.5:6653"])?;
            turned_away(office, "speaks plain text where TLS is asked for")?;
            let out = sw2.namespace().curl(&["-k", "-m", "5", "https://192.0.2.5:6653/"])?;
            check(!out.ok(), || "somebody without a certificate was answered".into())?;
            turned_away(office, "shows no certificate")?;
            // Itself again.
            sw2.vsctl(&["set-ssl", &file("fseg.key"), &file("fseg.crt"), &authority])?;
            sw2.vsctl(&["set-controller", "sw2", NODE])?;
            eventually("sw2 as itself", || node.wait_for_switches(3))?;
            connected(office, "sw2", true)?;
            connected(office, "sw1", true)
        })
    });
}

#[test]
fn revoked_is_out_at_once_and_enrolled_is_in_again() {
    in_office("tls::revoked_is_out_at_once_and_enrolled_is_in_again", |lab, office| {
        let node = &office.node;
        enroll_sw2(lab, office)?;
        office.apply(POLICY)?;
        office.register()?;
        workers(office)?;
        let first = shown(office, "sw2")?["certificate"]["serial"].clone();
        unnoticed(office, || {
            node.run(&["switch", "revoke", "sw2"])?;
            connected(office, "sw2", false)?;
            turned_away(office, "was revoked by")?;
            fseg(office, &["switch", "revoke", "sw2"], 1)?;
            check(shown(office, "sw2")?["certificate"]["state"] == "revoked", || "it is not shown".into())?;
            // The node's restart does not let it in again.
            node.stop()?;
            node.start()?;
            node.wait_for_switches(2)?;
            turned_away(office, "was revoked by")?;
            Ok(())
        })
        .or_else(|e| {
            // The process is another one after a restart, which is what `unnoticed` would complain about last.
            if e.to_string().contains("the node was process") { Ok(()) } else { Err(e) }
        })?;
        enroll_sw2(lab, office)?;
        connected(office, "sw2", true)?;
        check(shown(office, "sw2")?["certificate"]["serial"] != first, || "the old certificate".into())?;
        // One that the node installs itself: out, and not back by itself; in again by command alone.
        node.run(&["switch", "revoke", "sw1"])?;
        connected(office, "sw1", false)?;
        let said = fseg(office, &["switch", "enroll", "sw1"], 0)?;
        check(said.stdout.contains("installs the certificate of sw1 itself"), || said.stdout.clone())?;
        eventually("sw1 again", || node.wait_for_switches(3))?;
        fseg(office, &["switch", "enroll", "sw9"], 1)?;
        fseg(office, &["switch", "enroll", "sw2", "--valid", "5m"], 2).map(drop)
    });
}

#[test]
fn files_for_a_switch_renew_its_certificate_while_it_runs() {
    in_office("tls::files_for_a_switch_renew_its_certificate_while_it_runs", |lab, office| {
        enroll_sw2(lab, office)?;
        let first = shown(office, "sw2")?["certificate"]["serial"].clone();
        let folder = lab.dir().join("renewed").display().to_string();
        let said = office.node.run(&["switch", "enroll", "sw2", "--out", &folder])?;
        check(!said.contains("PRIVATE KEY") && said.contains("set-ssl"), || said.clone())?;
        // The old one goes on until the new one is used.
        connected(office, "sw2", true)?;
        let commands: String = said.lines().map(|l| l.replace("/etc/openvswitch/fseg", &folder) + "\n").collect();
        run_on_sw2(lab, office, &commands)?;
        office.switches[2].appctl(&["exit"])?;
        office.switches[2].stop()?;
        office.switches[2].start()?;
        eventually("sw2 with its new certificate", || office.node.wait_for_switches(3))?;
        let second = shown(office, "sw2")?["certificate"].clone();
        check(second["serial"] != first && second["state"] == "valid", || format!("{second}"))?;
        eventually("the end of the old certificate", || {
            let audit = office.node.run(&["audit"])?;
            check(audit.contains("switch.replace"), || audit)
        })
    });
}
