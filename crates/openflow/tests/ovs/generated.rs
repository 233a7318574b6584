//! Thousands of messages and rows that nobody wrote: Open vSwitch must read them as we do.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use fseg_openflow::{Body, Field, FlowStats, Message, parse_flow};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::oracle::{hex, print_all, skip, tidy};
use crate::sane::{sane_message, sane_row, usual_row};

/// How many; `FSEG_OPENFLOW_MESSAGES` asks for more, which are then others every time.
const MESSAGES: usize = 3_000;

/// As many values as wanted: the same ones in every ordinary run.
pub(crate) fn some<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, usual: usize) -> Vec<T> {
    let wanted = std::env::var("FSEG_OPENFLOW_MESSAGES").ok().and_then(|text| text.parse().ok());
    let mut runner = match wanted {
        None => TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
        Some(_) => TestRunner::default(),
    };
    (0..wanted.unwrap_or(usual)).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Whether both say the same. ovs-ofctl goes on with the frame within a packet-in or packet-out, and does not tell the
/// port of no queues.
pub(crate) fn same(message: &Message, ours: &str, theirs: &str) -> bool {
    match &message.body {
        Body::PacketIn(_) | Body::PacketOut(_) | Body::NxPacketIn2(_) => {
            theirs.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with('\n'))
        }
        Body::QueueGetConfigReply(config) if config.queues.is_empty() => ours.starts_with(theirs),
        _ => ours == theirs,
    }
}

#[test]
fn generated_messages_read_the_same_here_and_there() {
    let messages = some(sane_message(), MESSAGES);
    let bytes: Vec<Vec<u8>> = messages.iter().map(Message::encode).collect();
    let Some(texts) = print_all(&bytes) else { return };
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut refused = 0;
    for ((message, bytes), theirs) in messages.iter().zip(&bytes).zip(&texts) {
        assert_eq!(Message::decode(bytes).as_ref(), Ok(message));
        if theirs.contains("decode error") {
            refused += 1;
            continue;
        }
        let ours = tidy(&message.to_string());
        assert!(same(message, &ours, theirs), "{}\nours:\n{ours}\novs-ofctl:\n{theirs}", hex(bytes));
        *kinds.entry(message.body.name()).or_default() += 1;
    }
    println!("{kinds:#?}, {refused} refused");
    assert!(refused * 50 < messages.len(), "Open vSwitch refused {refused} of {} messages", messages.len());
    assert!(kinds.len() >= 50, "only {} kinds of messages were compared", kinds.len());
}

/// Rows as `ovs-ofctl parse-flows` reads them, one line each.
fn parse_flows(rows: &[String]) -> Result<Vec<String>, String> {
    let mut child = Command::new("ovs-ofctl")
        .args(["-O", "OpenFlow13", "--no-names", "-voff", "parse-flows", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let text: String = rows.iter().flat_map(|row| [row.as_str(), "\n"]).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let lines = String::from_utf8(output.stdout).unwrap();
    Ok(lines.lines().filter(|line| line.starts_with("OFPT_FLOW_MOD")).map(|line| line.trim_end().to_owned()).collect())
}

#[test]
fn rows_we_print_are_read_by_ovs_ofctl_as_we_read_them() {
    if Command::new("ovs-ofctl").arg("--version").output().is_err() {
        return skip("ovs-ofctl cannot be started");
    }
    // A tunnel option is as long as a switch says, and there is none here.
    let needs_a_switch = |row: &FlowStats| row.matches.iter().any(|(field, _)| matches!(field, Field::TunMetadata(_)));
    let rows = some(usual_row(false).prop_filter("no switch", move |row| !needs_a_switch(row)), 1_000);
    let mut rows: Vec<(FlowStats, String)> = rows.into_iter().map(|row| (row.clone(), row.to_string())).collect();
    let most = rows.len() / 20;
    // ovs-ofctl stops at the first row whose actions do not fit its match, such as a translation to IPv6 of IPv4.
    let mut unfit = 0;
    let read = loop {
        let texts: Vec<String> = rows.iter().map(|(_, text)| text.clone()).collect();
        match parse_flows(&texts) {
            Ok(read) => break read,
            Err(error) => {
                let inconsistent = error.contains("OFPBAC_MATCH_INCONSISTENT");
                let line = error.split(':').nth(2).and_then(|line| line.parse::<usize>().ok()).filter(|_| inconsistent);
                let (_, text) = rows.remove(line.unwrap_or_else(|| panic!("{error}")) - 1);
                unfit += 1;
                assert!(unfit <= most, "too many rows are refused, the last was {text}: {error}");
            }
        }
    };
    assert_eq!(read.len(), rows.len());
    for (((row, text), theirs), xid) in rows.iter().zip(&read).zip(1..) {
        let flow = parse_flow(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((&flow.matches, &flow.instructions), (&row.matches, &row.instructions), "{text}");
        assert_eq!(Message { xid, body: Body::FlowMod(flow) }.to_string().trim_end(), theirs, "{text}");
    }
}

#[test]
fn what_one_prints_the_other_reads_back() {
    for row in some(sane_row(), 1_000) {
        let text = row.to_string();
        let flow = parse_flow(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let again = FlowStats {
            cookie: flow.cookie,
            table: flow.table,
            priority: flow.priority,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            flags: flow.flags,
            matches: flow.matches,
            instructions: flow.instructions,
            ..FlowStats::default()
        };
        assert_eq!(again.to_string(), text);
    }
}
