//! The port for switches, attacked by who reaches it, and closed to who must not.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, POLICY};

use crate::support::{Case, Told, bring, check, eventually, plug, unnoticed, workers};

/// OpenFlow 1.3 (wire version 4) message types, OpenFlow 1.3.5 section 7.1.
const HELLO: u8 = 0;
const ECHO_REQUEST: u8 = 2;
const PACKET_IN: u8 = 10;
const FEATURES_REPLY: u8 = 6;

fn message(version: u8, kind: u8, length: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![version, kind];
    out.extend(length.to_be_bytes());
    out.extend([0, 0, 0, 9]);
    out.extend(body);
    out
}

fn hello() -> Vec<u8> {
    message(4, HELLO, 8, &[])
}

/// A switch that introduces itself with this datapath id.
fn introduction(dpid: u64) -> Vec<u8> {
    let mut body = dpid.to_be_bytes().to_vec();
    body.extend([0, 0, 1, 0, 254, 0, 0, 0, 0, 0, 0, 0x4f, 0, 0, 0, 0]);
    [hello(), message(4, FEATURES_REPLY, 32, &body)].concat()
}

/// Where switches connect by TLS.
const TLS: u16 = 6653;
/// Where they connect by plain TCP, in the tests that choose it with [`with_plain_port`].
const PLAIN: u16 = 6654;

/// The configuration with a second port for switches, for who speaks plain TCP.
fn with_plain_port(config: String) -> String {
    config.replace(
        r#"openflow: ["0.0.0.0:6653"]"#,
        r#"openflow: ["0.0.0.0:6653", { listen: "127.0.0.1:6654", transport: tcp }]"#,
    )
}

fn connect(port: u16) -> Told<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| SceneError::wrong(format!("port {port}: {e}")))?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|e| SceneError::wrong(e.to_string()))?;
    Ok(stream)
}

/// Sends these bytes and no more; true when the node ended the connection after them.
fn attack(bytes: &[u8], then_close: bool) -> Told {
    attack_at(PLAIN, bytes, then_close)
}

fn attack_at(port: u16, bytes: &[u8], then_close: bool) -> Told {
    let mut stream = connect(port)?;
    // The node may hang up before it has read everything.
    let _ = stream.write_all(bytes);
    if then_close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(e) => {
                let start: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
                return Err(SceneError::wrong(format!(
                    "the node keeps a connection that began with {}: {e}",
                    start.join(" ")
                )));
            }
        }
    }
}

/// Bytes without any meaning, the same in every run.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    (0..length).map(|_| next()).collect()
}

fn connections(office: &Office<'_>) -> Told<Vec<String>> {
    let list = office.node.json(&["switches"])?;
    let line = |s: &serde_json::Value| format!("{} {} {}", s["name"], s["connected"], s["since"]);
    Ok(list.as_array().map(|l| l.iter().map(line).collect()).unwrap_or_default())
}

#[test]
fn malformed_openflow_changes_nothing() {
    Case::new("openflow::malformed_openflow_changes_nothing").config(with_plain_port).run(|office| {
        workers(office)?;
        let before = connections(office)?;
        unnoticed(office, || {
            attack(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false)?;
            attack(&message(1, HELLO, 8, &[]), false)?;
            attack(&message(0x7f, HELLO, 8, &[]), true)?;
            for seed in 1..20 {
                attack(&noise(4096, seed), true)?;
            }
            // Lengths that cannot be: shorter than the header, and longer than what follows.
            for length in [0, 3, 7] {
                attack(&message(4, HELLO, length, &[]), false)?;
                attack(&[hello(), message(4, FEATURES_REPLY, length, &[])].concat(), false)?;
            }
            attack(&message(4, HELLO, 0xffff, &[0; 64]), true)?;
            // Cut off at every length.
            let whole = introduction(11);
            for length in 0..whole.len() {
                attack(&whole[..length], true)?;
            }
            // Whole, but nobody's: this node has no such switch.
            attack(&introduction(0xdead_beef), false)?;
            // Features that are too short, and messages before the hello.
            attack(&[hello(), message(4, FEATURES_REPLY, 16, &[0; 8])].concat(), true)?;
            attack(&message(4, ECHO_REQUEST, 8, &[]), true)?;
            attack(&introduction(11)[8..], false)?;
            attack(&message(4, PACKET_IN, 32, &[0xff; 24]), true)?;
            // Where TLS is asked for: plain text, noise, a handshake that breaks off, and one that never was.
            attack_at(TLS, &introduction(11), false)?;
            attack_at(TLS, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false)?;
            for seed in 1..20 {
                attack_at(TLS, &noise(4096, seed), true)?;
            }
            for length in 0..6 {
                attack_at(TLS, &[0x16, 3, 1, 0x40, 0, 1][..length], true)?;
            }
            attack_at(TLS, &[&[0x16, 3, 1, 0x40, 0][..], &noise(0x4000, 7)].concat(), true)?;
            // Somebody who says that he is sw1 does not take its place.
            attack(&introduction(0x11), false)?;
            Ok(())
        })?;
        let log = office.node.log();
        for reason in [
            "is not in this node's configuration",
            "is connected already from",
            "unreadable: ",
            "versions with bits",
            "before its",
            "plain text where TLS is asked for",
            "no TLS handshake",
        ] {
            check(log.contains(reason), || format!("the log never says `{reason}`"))?;
        }
        let after = connections(office)?;
        check(before == after, || format!("the real switches were disturbed: {before:?} became {after:?}"))
    });
}

/// More half-open connections than the node has room for; then they go, and a switch that was away comes back.
#[test]
fn silent_connections_do_not_keep_switches_out() {
    Case::new("openflow::silent_connections_do_not_keep_switches_out").run(|office| {
        workers(office)?;
        unnoticed(office, || {
            let silent = (0..400).map(|_| connect(TLS)).collect::<Told<Vec<_>>>()?;
            check(office.node.log().contains("too many switch connections"), || "400 connections all had room".into())?;
            let gone = office.switches[2].vsctl(&["get-controller", "sw2"])?;
            // Not `del-controller`: without any controller Open vSwitch empties its tables.
            office.switches[2].vsctl(&["set-controller", "sw2", "tcp:192.0.2.5:1"])?;
            eventually("the end of sw2's connection", || {
                let lost = office.node.log_with("switch", &["sw2 is disconnected"])?;
                check(lost.is_some(), || "sw2 is connected".into())
            })?;
            // Its own place goes as well.
            let more = (0..8).map(|_| connect(TLS)).collect::<Told<Vec<_>>>()?;
            office.switches[2].vsctl(&["set-controller", "sw2", gone.trim()])?;
            // The node ends those that never say who they are, and sw2 gets one of their places.
            eventually("sw2's return", || office.node.wait_for_switches(3))?;
            drop((silent, more));
            Ok(())
        })
    });
}

/// A switch's rows without their counters.
fn rows(office: &Office<'_>) -> Told<BTreeSet<String>> {
    let text = office.switches[1].ofctl(&["--no-stats", "--no-names", "dump-flows", "sw1"])?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|l| l.contains("table=") || l.contains("priority="))
        .map(ToOwned::to_owned)
        .collect())
}

#[test]
fn a_switch_that_comes_back_wrong_is_repaired_by_the_difference() {
    Case::new("openflow::a_switch_that_comes_back_wrong_is_repaired_by_the_difference").run(|office| {
        workers(office)?;
        bring(office, &["printer-1"])?;
        let before = rows(office)?;
        let cookie = cookie_of(office, &["printer-1", "git-1", "udp/514"])?;
        unnoticed(office, || {
            let sw1 = &office.switches[1];
            // Rows of one permit are gone; one row stands that nobody made, and would let everything pass.
            sw1.ofctl(&["del-flows", "sw1", &format!("cookie={cookie}/-1")])?;
            sw1.add_flow("sw1", "table=4,priority=60000,ip,actions=normal")?;
            let broken = rows(office)?;
            let (missing, foreign) = (before.difference(&broken).count(), broken.difference(&before).count());
            check(missing > 0 && foreign == 1, || {
                format!("{missing} rows are missing, {foreign} are foreign: {broken:#?}")
            })?;
            let controller = sw1.vsctl(&["get-controller", "sw1"])?;
            // To a port where nobody listens; not `del-controller`, which makes Open vSwitch empty its tables.
            sw1.vsctl(&["set-controller", "sw1", "tcp:192.0.2.1:1"])?;
            // What is changed while it is away reaches it when it is back.
            office
                .apply_where_possible(&POLICY.replace("services: [print], owner", "services: [print, web], owner"))?;
            office.apply_where_possible(POLICY)?;
            sw1.vsctl(&["set-controller", "sw1", controller.trim()])?;
            eventually("the repair", || {
                let after = rows(office)?;
                let wrong: Vec<_> = before.symmetric_difference(&after).collect();
                check(wrong.is_empty(), || format!("rows that should not be, or are not: {wrong:#?}"))
            })?;
            let said = format!("{missing} added, 1 removed, 1 of them foreign");
            office.node.wait_for_log("switch", &["sw1 is connected", &said])?;
            office.node.wait_for_switches(3)
        })
    });
}

/// The cookie of the permit row by which this may pass.
fn cookie_of(office: &Office<'_>, question: &[&str]) -> Told<String> {
    let answer = office.node.json(&[&["explain"], question].concat())?;
    let row = answer["rows"].as_array().and_then(|l| l.iter().find(|r| r["table_name"] == "permit"));
    let cookie = row.and_then(|r| r["cookie"].as_str()).map(ToOwned::to_owned);
    cookie.ok_or_else(|| SceneError::wrong(format!("no permit row explains {question:?}: {answer:#}")))
}

#[test]
fn endpoints_do_not_reach_the_nodes_own_ports() {
    Case::new("openflow::endpoints_do_not_reach_the_nodes_own_ports").run(|office| {
        workers(office)?;
        plug(office, "stranger")?;
        plug(office, "internet")?;
        for name in ["stranger", "sales-1", "crm-1"] {
            for port in ["6653", "8443", "22", "443"] {
                let out = office.endpoint(name)?.exec(&["nc", "-z", "-w", "1", "10.0.0.1", port])?;
                check(!out.ok(), || format!("{name} reaches the node's port {port}"))?;
            }
            // The portal answers, so the silence above means something.
            eventually("the portal", || {
                let out = office.endpoint(name)?.exec(&["nc", "-z", "-w", "1", "10.0.0.1", "80"])?;
                check(out.ok(), || format!("{name} does not reach the portal"))
            })?;
        }
        for port in ["6653", "80", "53"] {
            let out = office.endpoint("internet")?.exec(&["nc", "-z", "-w", "1", "203.0.113.2", port])?;
            check(!out.ok(), || format!("the Internet reaches the node's port {port}"))?;
        }
        Ok(())
    });
}
