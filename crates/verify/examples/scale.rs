//! How long the proof of one switch takes: `cargo run --release -p fseg-verify --example scale -- 100000`.
//!
//! A site of two access switches and a node bridge is made so large that one access switch holds about so many rows; then
//! one endpoint changes groups.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../tests/site/mod.rs"]
mod site;

use std::time::Instant;

use fseg_verify::Verifier;
use site::{SW1, SW2, Site, all_held};

fn main() {
    let wanted: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(100_000);
    let groups = 1_000.min(wanted / 100).max(10);
    let permits = groups;
    // An endpoint here has five rows, one elsewhere three (two uplinks).
    let endpoints = wanted.saturating_sub(permits * 6) / 4;
    let mut text = String::from("groups:\n");
    for g in 0..groups {
        text.push_str(&format!("  g{g}: {{ members: [user:u{g}] }}\n"));
    }
    text.push_str("externals:\n  internet: { cidr: [0.0.0.0/0] }\npermits:\n");
    for p in 0..permits {
        let (a, b, c) = (p % groups, (p * 7 + 1) % groups, (p * 13 + 5) % groups);
        let to = if p % 10 == 0 { "internet".to_owned() } else { format!("[g{b}, g{c}]") };
        text.push_str(&format!(
            "  - {{ id: p{p}, from: [g{a}], to: {to}, services: [tcp/{}, udp/5000-5010] }}\n",
            1000 + p % 5000
        ));
    }
    let mut site = Site::new(&text);
    for n in 0..endpoints {
        let (switch, port) = if n % 2 == 0 { (SW1, 1 + n as u32 / 2 % 4) } else { (SW2, 1 + n as u32 / 2 % 4) };
        site.endpoint(n as u16, switch, port, Some(&format!("g{}", n % groups)));
        // Addresses and numbers of their own beyond 65,536.
        let who = site.facts.endpoints.last_mut().unwrap();
        who.id = fseg_model::EndpointId(n as u32 + 1);
        let [a, b, c, d] = (n as u32).to_be_bytes();
        who.mac = fseg_model::Mac([2, 0, a, b, c, d]);
        who.addresses = vec![std::net::Ipv4Addr::from(0x0a10_0000 + n as u32).into()];
    }
    let desired = site.desired(SW1);
    let mut rows = all_held(&desired);
    println!("endpoints {endpoints}, groups {groups}, permits {permits}, rows on the switch {}", rows.len());

    let mut verifier = Verifier::new();
    let start = Instant::now();
    let report = verifier.verify(&site.facts, SW1, &rows, None);
    println!(
        "proved from nothing: {:?}, {} parts, {} pairs of classes, different {}",
        start.elapsed(),
        report.parts,
        report.pairs,
        report.different
    );
    for f in report.findings.iter().take(3) {
        println!("  {}: {} expected {} found {}", f.part, f.inputs, f.expected, f.found);
    }

    // One endpoint changes groups, in facts and rows.
    let class = site.facts.endpoints[1].class;
    site.facts.endpoints[0].class = class;
    let changed = site.desired(SW1);
    rows = all_held(&changed);
    let mut times = Vec::new();
    let start = Instant::now();
    let report = verifier.verify(&site.facts, SW1, &rows, None);
    times.push(start.elapsed());
    println!(
        "after one change: {:?}, {} of {} parts proved again, different {}",
        times[0],
        report.parts - report.remembered,
        report.parts,
        report.different
    );

    // A row in the middle is lost.
    let lost = rows.iter().position(|r| r.table == 6).unwrap();
    let row = rows.remove(lost);
    let start = Instant::now();
    let report = verifier.verify(&site.facts, SW1, &rows, None);
    println!("after a lost row: {:?}, different {} ({row})", start.elapsed(), report.different);
    if let Some(f) = report.findings.first() {
        println!("  {}: {:?}", f.part, f.packet.as_ref().map(ToString::to_string));
    }
}
