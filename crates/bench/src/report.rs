//! Figures: gathered as JSON lines, shown as a table.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// One figure, said on the terminal and kept.
pub(crate) fn figure(group: &str, what: &str, value: impl Into<Value>, unit: &str, note: &str) {
    let value = value.into();
    println!("{group:<12} {what:<58} {:>14} {unit:<8} {note}", shown(&value));
    if let Some(path) = std::env::var_os("FSEG_BENCH_OUT") {
        let line = json!({ "group": group, "what": what, "value": value, "unit": unit, "note": note });
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        if let Err(e) = file.and_then(|mut f| writeln!(f, "{line}")) {
            eprintln!("the figure is not kept: {e}");
        }
    }
}

fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(n) if n.fract() != 0.0 && n.abs() < 1000.0 => format!("{n:.2}"),
        Some(n) => format!("{n:.0}"),
        None => value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned),
    }
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// Microseconds.
pub(crate) fn us(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

/// What so many hundredths of the list do not exceed.
pub(crate) fn percentile<T: Copy + PartialOrd>(list: &mut [T], hundredths: usize) -> T {
    list.sort_by(|a, b| a.partial_cmp(b).expect("comparable"));
    list[(list.len() * hundredths / 100).min(list.len() - 1)]
}

/// The kept figures as a page.
pub(crate) fn page(lines: &str) -> String {
    let figures: Vec<Value> = lines.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    let mut out = String::from(
        "# Benchmarks\n\nMade by `make bench`, side by side with what people use today, in one run on one machine. Everything runs on \
         the same few cores, clients and load generators included, so rates are lower and times longer than with machines of their \
         own. How each is measured stands at the head of its file in `crates/bench/src`.\n\n",
    );
    out.push_str(&format!("Machine: {}.\n", machine()));
    let mut group = String::new();
    for f in &figures {
        if text(f, "group") != group {
            group = text(f, "group");
            out.push_str(&format!("\n## {}\n\n| what | figure | | |\n| --- | ---: | --- | --- |\n", heading(&group)));
        }
        out.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            text(f, "what"),
            shown(&f["value"]),
            text(f, "unit"),
            text(f, "note")
        ));
    }
    out
}

fn heading(group: &str) -> &str {
    match group {
        "core" => "The controller alone",
        "login" => "Login to traffic in force",
        "withdraw" => "A withdrawn permit",
        "throughput" => "Throughput between permitted endpoints",
        "restart" => "The controller starts again",
        "packet-in" => "Packet-in to answer",
        "dhcp" => "DHCP",
        "verify" => "Proof",
        other => other,
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model =
        cpu.lines().find_map(|l| l.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown").to_owned();
    let cores = cpu.lines().filter(|l| l.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores ({model}), Linux {}", kernel.trim())
}
