//! A permit is withdrawn under running flows: when did the last packet arrive?

use std::time::{Duration, Instant};

use fseg_scenes::SceneError;
use fseg_scenes::office::Office;

use super::{Told, crowd};
use crate::report::{figure, ms, percentile};

const TIMES: usize = 5;

/// Bytes received by a process's namespace so far, on its `eth0`.
pub(super) fn received(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/net/dev")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.trim().strip_prefix("eth0:").map(ToOwned::to_owned));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Runs a flow between two namespaces, calls `cut` under it, and says how long after the call the last packet arrived.
pub(super) fn last_packet(
    server: &fseg_lab::Namespace,
    client: &fseg_lab::Namespace,
    address: &str,
    udp: bool,
    cut: impl FnOnce() -> Told,
) -> Told<Duration> {
    let listening = server.spawn(&["iperf3", "-s", "-1", "--forceflush"])?;
    listening.wait_for_stdout("listening", Duration::from_secs(10))?;
    let process = listening.id();
    let mut args = vec!["iperf3", "-c", address, "-t", "20"];
    if udp {
        args.extend(["-u", "-b", "40M", "-l", "200"]);
    }
    let sending = client.spawn(&args)?;
    let begun = Instant::now();
    let start = received(process);
    while received(process) < start + 3_000_000 {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err(SceneError::wrong("the flow did not get going"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    let watcher = std::thread::spawn(move || {
        let (mut last, mut seen) = (received(process), Instant::now());
        while seen.elapsed() < Duration::from_millis(1500) && begun.elapsed() < Duration::from_secs(15) {
            let now = received(process);
            // A lone small packet is ARP or the like.
            if now > last + 199 {
                (last, seen) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        seen.duration_since(begun)
    });
    cut()?;
    let last = watcher.join().map_err(|_| SceneError::wrong("the watcher failed"))?;
    drop((sending, listening));
    Ok(last)
}

pub(crate) fn measure(office: &Office<'_>, present: usize) -> Told {
    let with = crowd::policy(crowd::groups(present)).replace("bulk:   [tcp/5201]", "bulk:   [tcp/5201, udp/5201]");
    // The control connection of a UDP test is TCP: withdraw both.
    let without: String =
        with.lines().filter(|l| !l.contains("id: sales-crm-bulk")).map(|l| format!("{l}\n")).collect();
    let crm = super::address(office, "crm-1")?;
    let (server, client) = (office.endpoint("crm-1")?.namespace(), office.endpoint("sales-1")?.namespace());
    for udp in [false, true] {
        let mut took = Vec::new();
        for _ in 0..TIMES {
            office.apply(&with)?;
            took.push(ms(last_packet(server, client, &crm, udp, || office.apply(&without).map(drop))?));
        }
        let what = if udp { "UDP" } else { "TCP" };
        let note = format!("{present} endpoints present; {TIMES} times, longest {:.1} ms", percentile(&mut took, 100));
        let label = format!("permit withdrawn: last packet of a running {what} flow, median");
        figure("withdraw", &label, percentile(&mut took, 50), "ms", &note);
    }
    office.apply(&with)?;
    Ok(())
}
