//! DHCP 4-way exchanges a second by `perfdhcp` through an Open vSwitch port, side by side with Kea behind the same switch.
//!
//! A lease of FSEG is durable (SQLite, synchronised) before it is acknowledged; Kea's memfile is written, not synchronised.
//! Equal durability is had by putting the state of both on a tmpfs, where synchronising costs nothing: what is acknowledged
//! then survives the end of the process, not that of the machine. FSEG's own figure, with a disk, is given beside.

use std::time::Duration;

use fseg_lab::{Endpoint, Jack, Lab, Proc};
use fseg_scenes::SceneError;
use fseg_scenes::office::Office;

use super::Told;
use crate::report::figure;

const SECONDS: u32 = 6;
/// Requests a second that are tried, in turn.
const RATES: [u32; 9] = [250, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000];

/// The configuration of the office with a port that may ask as much as it likes.
pub(crate) fn config(config: &str) -> String {
    config
        .replace("device: sw1-p5 }", "device: sw1-p5, kind: shared, requests: 100000 }")
        .replace("last: 10.0.3.254", "last: 10.200.255.254")
        .replace("  stranger-lease: 2m", "  stranger-lease: 1h\n  strangers-per-port: 900000")
}

struct Load<'a> {
    at: &'a Endpoint,
    shim: Proc,
}

impl<'a> Load<'a> {
    fn start(at: &'a Endpoint) -> Told<Self> {
        at.ip(&["link", "add", "load0", "type", "veth", "peer", "name", "load1"])?;
        for link in ["load0", "load1"] {
            at.ip(&["link", "set", link, "up"])?;
        }
        at.ip(&["address", "add", "10.255.0.2/16", "dev", "load0"])?;
        // What comes from the server's address is expected here.
        at.ip(&["route", "add", "10.0.0.0/8", "dev", "load0"])?;
        let me = std::env::current_exe().map_err(|e| SceneError::wrong(e.to_string()))?.display().to_string();
        let shim = at.namespace().spawn(&[&me, "shim", "load1", "eth0", "10.255.0.2"])?;
        shim.wait_for_stdout("ready", Duration::from_secs(5))?;
        Ok(Self { at, shim })
    }

    /// One run: exchanges completed a second, and the share of requests that got no answer.
    fn run(&self, rate: u32, seed: u32) -> Told<(f64, f64)> {
        let (rate_text, seconds) = (rate.to_string(), SECONDS.to_string());
        let clients = (rate * SECONDS).to_string();
        let mac = format!("mac=00:0c:{:02x}:00:00:00", seed);
        let args = [
            "perfdhcp", "-4", "-B", "-l", "load0", "-r", &rate_text, "-p", &seconds, "-R", &clients, "-b", &mac, "-W",
            "1000000", "all",
        ];
        let out = self.at.namespace().exec_within(&args, Duration::from_secs(40))?.stdout;
        let numbers = |what: &str| -> Vec<f64> {
            let lines = out.lines().filter_map(|l| {
                l.trim().strip_prefix(what)?.trim_start_matches(':').split_whitespace().next()?.parse().ok()
            });
            lines.collect()
        };
        let (sent, received) = (numbers("sent packets"), numbers("received packets"));
        if sent.len() < 2 || received.len() < 2 {
            return Err(SceneError::wrong(format!("perfdhcp said: {out}")));
        }
        // First DISCOVER and OFFER, then REQUEST and ACK.
        Ok((received[1] / f64::from(SECONDS), 1.0 - received[1] / sent[0].max(1.0)))
    }

    /// The highest rate of completed exchanges, with at most one request in a hundred unanswered.
    fn highest(&self, who: &str) -> Told<f64> {
        let mut best: f64 = 0.0;
        for (n, rate) in RATES.into_iter().enumerate() {
            let (done, lost) = self.run(rate, n as u32 + 1)?;
            println!("  {who}: {rate} a second asked, {done:.0} a second completed, {:.1} % without", lost * 100.0);
            if lost <= 0.01 {
                best = best.max(done);
            } else {
                best = best.max(done.min(f64::from(rate)) * f64::from(u8::from(lost < 0.05)));
                if lost > 0.3 {
                    break;
                }
            }
        }
        Ok(best)
    }
}

const KEA: &str = r#"{ "Dhcp4": {
  "interfaces-config": { "interfaces": ["eth0"] },
  "lease-database": { "type": "memfile", "persist": true, "name": "STATE/kea-leases4.csv", "lfc-interval": 0 },
  "valid-lifetime": 3600,
  "multi-threading": { "enable-multi-threading": true },
  "subnet4": [ { "id": 1, "subnet": "10.0.0.0/8", "pools": [ { "pool": "10.1.0.1 - 10.200.255.254" } ] } ],
  "loggers": [ { "name": "kea-dhcp4", "severity": "ERROR" } ]
} }"#;

pub(crate) fn measure(lab: &Lab, office: &Office<'_>, state: &str) -> Told {
    // Kea first: thousands of leases of FSEG have rows, which the switch and the node would look after meanwhile.
    let theirs = if state == "tmpfs" { Some(kea(lab, office)?) } else { None };
    let hub = lab.endpoint("hub", "02:00:00:00:09:01")?;
    hub.plug(office.jack("sw1-p5"))?;
    office.node.wait_for_switches(3)?;
    let load = Load::start(&hub)?;
    let ours = load.highest("fsegd")?;
    drop(load.shim);
    let durable = if state == "tmpfs" { "survives the process" } else { "survives the machine" };
    figure(
        "dhcp",
        &format!("fsegd, 4-way exchanges, state on {state}"),
        ours.round(),
        "/s",
        &format!("{durable}; each client gets its rows on three switches"),
    );
    if let Some(theirs) = theirs {
        figure("dhcp", "fsegd over Kea at equal durability", ours / theirs, "", "at least 1");
    }
    Ok(())
}

/// The same load for Kea, behind another bridge of the same switch.
fn kea(lab: &Lab, office: &Office<'_>) -> Told<f64> {
    let [_, sw1, _] = &office.switches;
    sw1.add_bridge("plain")?;
    sw1.add_flow("plain", "actions=normal")?;
    let (server, client) = (lab.endpoint("kea", "02:00:00:00:0b:01")?, lab.endpoint("kload", "02:00:00:00:0b:02")?);
    for (n, host) in [&server, &client].into_iter().enumerate() {
        let port = format!("plain-p{n}");
        sw1.add_port("plain", &port, n as u16 + 1)?;
        host.plug(Jack::of(sw1, &port))?;
    }
    server.static_address("10.0.0.1/8", None)?;
    let folder = lab.dir().join("state");
    let path = lab.dir().join("kea.json");
    std::fs::write(&path, KEA.replace("STATE", &folder.display().to_string()))
        .map_err(|e| SceneError::wrong(e.to_string()))?;
    let process = server.namespace().daemon("kea", &["kea-dhcp4", "-c", &path.display().to_string()], |c| {
        for variable in ["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"] {
            c.env(variable, &folder);
        }
    })?;
    std::thread::sleep(Duration::from_secs(2));
    let load = Load::start(&client)?;
    let theirs = load.highest("Kea")?;
    drop((load, process));
    figure(
        "dhcp",
        "Kea memfile, the same through the same switch, state on tmpfs",
        theirs.round(),
        "/s",
        "survives the process",
    );
    Ok(theirs)
}
