//! `ovs-ofctl` over many messages at once.

use std::process::{Command, Stdio};

use fseg_openflow::{Body, Message};

/// The transaction id of the messages that separate the others.
const SEPARATOR: u32 = 0x7fff_ff01;

/// Whether a test that cannot run may be passed over: prints why.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("FSEG_LAB_REQUIRED").is_none_or(|v| v != "1"), "this test must run here, but {why}");
    println!("SKIPPED: {why}; install openvswitch-switch to run this test");
}

/// What `ovs-ofctl ofp-parse` says about each message, in their order; `None` where there is no ovs-ofctl.
pub(crate) fn print_all(messages: &[Vec<u8>]) -> Option<Vec<String>> {
    let separator = Message { xid: SEPARATOR, body: Body::BarrierRequest }.encode();
    let mut stream = Vec::new();
    for message in messages {
        stream.extend_from_slice(message);
        stream.extend_from_slice(&separator);
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("messages");
    std::fs::write(&file, stream).unwrap();
    let child = Command::new("ovs-ofctl")
        .args(["-O", "OpenFlow13", "--no-names", "-voff", "ofp-parse"])
        .arg(&file)
        .stdin(Stdio::null())
        .output();
    let output = match child {
        Ok(output) => output,
        Err(error) => {
            skip(&format!("ovs-ofctl cannot be started ({error})"));
            return None;
        }
    };
    assert!(output.status.success(), "ofp-parse: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = format!("OFPT_BARRIER_REQUEST (OF1.3) (xid={SEPARATOR:#x}):");
    let mut texts: Vec<String> = text.split(&format!("{line}\n")).map(tidy).collect();
    assert_eq!(texts.pop().as_deref(), Some(""), "nothing follows the last separator");
    assert_eq!(texts.len(), messages.len());
    Some(texts)
}

/// Without the blanks at the ends of lines, and without empty lines.
pub(crate) fn tidy(text: &str) -> String {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
