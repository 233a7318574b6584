//! Packet-in → decision → answer over TCP, with generated switches, side by side with `ovs-testcontroller`.
//!
//! The packets are ARP requests of admitted endpoints for the virtual router, as plain OpenFlow 1.3 switches show them to the
//! node: it looks who asks, from where, and whether that is the asker's own address, and answers by packet-out. The peer, a
//! learning switch, learns where the sender is and floods, by packet-out as well.

use std::time::Duration;

use fseg_lab::Lab;
use fseg_scenes::SceneError;
use fseg_scenes::office::Office;

use super::{Told, crowd};
use crate::generator::{FLOW_MOD, Generator, Outcome, PACKET_OUT, switch};
use crate::report::{figure, percentile, us};
use crate::site;

/// Datapath ids of generated switches begin here.
pub(crate) const FIRST: u64 = 0x1000;
pub(crate) const SWITCHES: usize = 16;
/// Endpoints behind each.
pub(crate) const EACH: usize = 100;
const TIME: Duration = Duration::from_secs(4);

/// The configuration of the office with the generated switches.
pub(crate) fn config(config: &str) -> String {
    let mut out = config.replacen(
        "openflow: [\"0.0.0.0:6653\"]",
        "openflow: [{ listen: \"0.0.0.0:6653\" }, { listen: \"127.0.0.1:6654\", transport: tcp }]",
        1,
    );
    out = out.replace("last: 10.0.3.254", "last: 10.200.255.254");
    let names: Vec<String> = (0..SWITCHES).map(|n| format!("gen{n}")).collect();
    out = out.replacen("to: [sw1]", &format!("to: [sw1, {}]", names.join(", ")), 1);
    for (n, name) in names.iter().enumerate() {
        out.push_str(&format!(
            "  - {{ name: {name}, dpid: {:x}, protocol: openflow13, ports: [{{ number: 1, name: p1, kind: shared }}, \
             {{ number: 2, name: up, kind: uplink }}] }}\n",
            FIRST + n as u64
        ));
    }
    out
}

fn frames(n: usize) -> Vec<(u32, Vec<u8>)> {
    let of = |i: usize| {
        let i = n * EACH + i;
        let mac = crowd::crowd_mac(site::mac(i));
        (1, fseg_test_kit::frames::who_has(mac, site::address(i), site::ROUTER))
    };
    (0..EACH).map(of).collect()
}

/// The same requests, addressed to one station whose place is known: a learning switch writes a row then.
fn known(n: usize) -> Vec<(u32, Vec<u8>)> {
    let mut list = frames(n);
    for (_, frame) in &mut list {
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    }
    list
}

fn all(generators: &mut [Generator], window: usize, rate: Option<f64>) -> Told<Outcome> {
    let each = rate.map(|r| r / generators.len() as f64);
    let outcomes: Vec<std::io::Result<Outcome>> = std::thread::scope(|scope| {
        let threads: Vec<_> = generators.iter_mut().map(|g| scope.spawn(move || g.run(TIME, window, each))).collect();
        threads.into_iter().map(|t| t.join().expect("a generator")).collect()
    });
    let mut sum = Outcome::default();
    for outcome in outcomes {
        let outcome = outcome.map_err(|e| SceneError::wrong(e.to_string()))?;
        sum.answered += outcome.answered;
        sum.seconds = outcome.seconds.max(sum.seconds);
        sum.latencies.extend(outcome.latencies);
    }
    if sum.answered == 0 {
        return Err(SceneError::wrong("no packet-in was answered"));
    }
    Ok(sum)
}

fn together(count: usize, connect: impl Fn(usize) -> std::io::Result<Generator> + Sync) -> Told<Vec<Generator>> {
    let made: Vec<std::io::Result<Generator>> = std::thread::scope(|scope| {
        let connect = &connect;
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || connect(n))).collect();
        threads.into_iter().map(|t| t.join().expect("a generator")).collect()
    });
    made.into_iter().collect::<Result<_, _>>().map_err(|e| SceneError::wrong(e.to_string()))
}

fn series(who: &str, what: &str, count: usize, generators: &mut [Generator]) -> Told<f64> {
    let wide = all(generators, 128, None)?;
    let rate = wide.answered as f64 / wide.seconds;
    let label = format!("{who}, {count} switch{}", if count == 1 { "" } else { "es" });
    figure(
        "packet-in",
        &format!("{label}: answered"),
        rate.round(),
        "/s",
        &format!("{what}; 128 under way for each switch"),
    );
    let mut one = all(generators, 1, None)?;
    let single = one.answered as f64 / one.seconds;
    let p99 = us(percentile(&mut one.latencies, 99));
    figure("packet-in", &format!("{label}: one at a time"), single.round(), "/s", &format!("p99 {p99} µs"));
    let mut steady = all(generators, 4096, Some(50_000.0))?;
    let lag = us(percentile(&mut steady.latencies, 50));
    figure(
        "packet-in",
        &format!("{label}: p99 at 50,000 a second"),
        us(percentile(&mut steady.latencies, 99)),
        "µs",
        &format!("median {lag} µs"),
    );
    let mut half = all(generators, 4096, Some(rate / 2.0))?;
    let lag = us(percentile(&mut half.latencies, 50));
    figure(
        "packet-in",
        &format!("{label}: p99 at half load"),
        us(percentile(&mut half.latencies, 99)),
        "µs",
        &format!("median {lag} µs"),
    );
    Ok(rate)
}

pub(crate) fn measure(lab: &Lab, _office: &Office<'_>) -> Told {
    let failed = |e: std::io::Error| SceneError::wrong(e.to_string());
    let quiet = Duration::from_millis(1500);
    for count in [1, SWITCHES] {
        // All at once: whoever is silent for long loses its connection.
        let mut ours = together(count, |n| {
            Generator::connect("127.0.0.1:6654", switch(FIRST + n as u64, 2), quiet, |k| k == PACKET_OUT)
        })?;
        for (n, g) in ours.iter_mut().enumerate() {
            g.load(&frames(n), true);
            if g.loaded() < EACH {
                let rows = g.rows();
                let text = format!("gen{n}: {} of {EACH} requests reach the node; {rows} rows", g.loaded());
                return Err(SceneError::wrong(text));
            }
        }
        let mine = series("fsegd", "ARP of admitted endpoints", count, &mut ours)?;
        let misled: usize = ours.iter().map(|g| g.misled).sum();
        figure(
            "packet-in",
            &format!("{count}: answers that were not right"),
            misled as u64,
            "",
            "each looked at: an ARP answer, to the one who asked",
        );
        drop(ours);
        for learned in [false, true] {
            let port = format!("{}", 7000 + count * 2 + usize::from(learned));
            let peer = lab.root().daemon(
                "testcontroller",
                &["ovs-testcontroller", "-O", "OpenFlow13", &format!("ptcp:{port}:127.0.0.1")],
                |_| {},
            )?;
            std::thread::sleep(Duration::from_millis(500));
            let mut theirs = together(count, |n| {
                let quiet = Duration::from_millis(500);
                let to = format!("127.0.0.1:{port}");
                Generator::connect(&to, switch(FIRST + n as u64, 2), quiet, |k| k == PACKET_OUT || k == FLOW_MOD)
            })?;
            for (n, g) in theirs.iter_mut().enumerate() {
                if learned {
                    // Where the station is that everybody writes to.
                    let mut hello = frames(n)[0].1.clone();
                    hello[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
                    g.load(&[(2, hello)], false);
                    g.run(Duration::from_millis(1), 1, None).map_err(failed)?;
                    g.unload();
                }
                g.load(&if learned { known(n) } else { frames(n) }, false);
            }
            let what = if learned { "rows for known stations" } else { "the same packets, flooded" };
            let theirs = series(
                &format!("ovs-testcontroller{}", if learned { " (rows)" } else { "" }),
                what,
                count,
                &mut theirs,
            )?;
            drop(peer);
            figure(
                "packet-in",
                &format!("{count}: fsegd over ovs-testcontroller, {what}"),
                mine / theirs,
                "",
                "at least 1, aim at 2",
            );
        }
    }
    Ok(())
}
