//! Throughput through the pipeline, against one `normal` row in the same Open vSwitch, turn by turn.

use std::time::Duration;

use fseg_lab::{Jack, Lab, Namespace};
use fseg_scenes::SceneError;
use fseg_scenes::office::Office;
use serde_json::Value;

use super::{Told, crowd};
use crate::report::{figure, percentile};

const TURNS: usize = 5;
const SECONDS: &str = "3";

/// Mbit/s and packets a second that arrived.
fn iperf(server: &Namespace, client: &Namespace, address: &str, small: bool) -> Told<(f64, f64)> {
    let listening = server.spawn(&["iperf3", "-s", "-1", "--forceflush"])?;
    listening.wait_for_stdout("listening", Duration::from_secs(10))?;
    let mut args = vec!["iperf3", "-J", "-c", address, "-t", SECONDS];
    if small {
        args.extend(["-u", "-b", "0", "-l", "22"]); // 64 bytes of Ethernet frame, without the check sequence's four
    }
    let out = client.exec_within(&args, Duration::from_secs(30))?;
    let json: Value =
        serde_json::from_str(&out.stdout).map_err(|e| SceneError::wrong(format!("{e}: {}", out.stderr)))?;
    let end = &json["end"];
    let (bits, packets) = if small {
        let sum = &end["sum"];
        let arrived = sum["packets"].as_f64().unwrap_or(0.0) - sum["lost_packets"].as_f64().unwrap_or(0.0);
        let seconds = sum["seconds"].as_f64().unwrap_or(1.0);
        (0.0, arrived / seconds)
    } else {
        (end["sum_received"]["bits_per_second"].as_f64().unwrap_or(0.0), 0.0)
    };
    if bits == 0.0 && packets == 0.0 {
        return Err(SceneError::wrong(format!("iperf3: {}", json["error"])));
    }
    Ok((bits / 1e6, packets))
}

pub(crate) fn measure(lab: &Lab, office: &Office<'_>) -> Told {
    let policy = crowd::policy(1).replace("bulk:   [tcp/5201]", "bulk:   [tcp/5201, udp/5201]");
    office.apply(&policy)?;
    let [_, sw1, _] = &office.switches;
    // The peer: a bridge with one row in the same switch.
    sw1.add_bridge("plain")?;
    sw1.add_flow("plain", "actions=normal")?;
    let mut pair = Vec::new();
    for (n, name) in ["plain-a", "plain-b"].into_iter().enumerate() {
        let host = lab.endpoint(name, &format!("02:00:00:00:0a:0{}", n + 1))?;
        let port = format!("plain-p{n}");
        sw1.add_port("plain", &port, n as u16 + 1)?;
        host.plug(Jack::of(sw1, &port))?;
        host.static_address(&format!("172.30.0.{}/24", n + 1), None)?;
        pair.push(host);
    }
    let ours = (
        office.endpoint("crm-1")?.namespace(),
        office.endpoint("sales-1")?.namespace(),
        super::address(office, "crm-1")?,
    );
    let plain = (pair[1].namespace(), pair[0].namespace(), "172.30.0.2".to_owned());
    for small in [false, true] {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            for (list, (server, client, address)) in [(&mut a, &ours), (&mut b, &plain)] {
                let (mbit, packets) = iperf(server, client, address, small)?;
                list.push(if small { packets } else { mbit });
            }
        }
        let (mine, theirs) = (percentile(&mut a, 50), percentile(&mut b, 50));
        let (what, unit) = if small { ("UDP, 64-byte frames", "packet/s") } else { ("TCP", "Mbit/s") };
        let note = format!("median of {TURNS} turns of {SECONDS} s");
        figure("throughput", &format!("{what}, permitted endpoints of one switch"), mine.round(), unit, &note);
        figure("throughput", &format!("{what}, one normal row in the same switch"), theirs.round(), unit, &note);
        figure("throughput", &format!("{what}, ratio"), mine / theirs, "", "");
    }
    Ok(())
}
