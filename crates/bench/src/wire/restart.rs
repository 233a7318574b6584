//! The node is killed and started again with a full switch; and how long `ovs-ofctl` needs to write as many rows.

use std::time::{Duration, Instant};

use fseg_scenes::SceneError;
use fseg_scenes::office::Office;

use super::Told;
use crate::report::{figure, ms};

pub(crate) fn measure(office: &Office<'_>, present: usize) -> Told {
    let [_, sw1, _] = &office.switches;
    office.node.wait_for_switches(3)?;
    let crm = super::address(office, "crm-1")?;
    let file = office.lab().dir().join("rows.txt");
    let socket = sw1.dir().join("sw1.mgmt");
    // Into a file: the lab keeps only the beginning of what a command prints.
    let dump = format!(
        "ovs-ofctl -O OpenFlow14 --no-stats --no-names dump-flows unix:{} > {}",
        socket.display(),
        file.display()
    );
    sw1.namespace().exec(&["sh", "-c", &dump])?.check()?;
    let text = std::fs::read_to_string(&file).map_err(|e| SceneError::wrong(e.to_string()))?;
    let rows = text.lines().filter(|l| l.contains("actions=")).count();
    let ping = office.endpoint("sales-1")?.namespace().spawn(&["ping", "-n", "-i", "0.002", &crm])?;
    ping.wait_for_stdout("icmp_seq=3 ", Duration::from_secs(20))?;
    office.node.kill()?;
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    office.node.start()?;
    let answering = begun.elapsed();
    office.node.wait_for_switches(3)?;
    let ready = begun.elapsed();
    std::thread::sleep(Duration::from_millis(300));
    ping.signal(fseg_lab::Signal::SIGINT);
    let said = ping.wait(Duration::from_secs(10))?.stdout;
    let summary = said.lines().find(|l| l.contains("packets transmitted")).unwrap_or_default().to_owned();
    let number = |word: usize| summary.split_whitespace().nth(word).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let (sent, back) = (number(0), number(3));
    figure("restart", "rows on the switch", rows as u64, "", &format!("{present} endpoints"));
    figure("restart", "node started: its API answers", ms(answering), "ms", "");
    figure("restart", "node started: every switch read, compared and confirmed", ms(ready), "ms", "three switches");
    // The last request may be under way when ping ends.
    figure(
        "restart",
        "packets lost meanwhile",
        sent.saturating_sub(back + 1),
        "",
        &format!("of {sent}, one each 2 ms"),
    );

    let said = office.node.log_with("switch", &["sw1 is connected"])?.unwrap_or_default();
    figure("restart", "what the node found", said, "", "");

    // As many rows, as ovs-ofctl writes them.
    let lines: String = text.lines().filter(|l| l.contains("actions=")).map(without_meter).collect();
    std::fs::write(&file, lines).map_err(|e| SceneError::wrong(e.to_string()))?;
    sw1.add_bridge("copy")?;
    let begun = Instant::now();
    let path = file.display().to_string();
    sw1.ofctl(&["-O", "OpenFlow14", "--bundle", "add-flows", "copy", &path])?;
    let bundle = begun.elapsed();
    let copied = sw1.ofctl(&["-O", "OpenFlow13", "dump-aggregate", "copy"])?;
    let copied = copied.split("flow_count=").nth(1).unwrap_or_default().trim().to_owned();
    figure("restart", "ovs-ofctl --bundle add-flows, as many rows", ms(bundle), "ms", &format!("{copied} rows"));
    figure("restart", "ratio", ready.as_secs_f64() / bundle.as_secs_f64(), "", "at most 2");
    Ok(())
}

/// A row without its meter, which the copy does not have.
fn without_meter(line: &str) -> String {
    let Some((head, tail)) = line.trim().split_once("meter:") else { return format!("{}\n", line.trim()) };
    let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(',');
    format!("{head}{}\n", if rest.is_empty() { "drop" } else { rest })
}
