//! The session against recorded steps: every file in `tests/session` is one conversation.
//!
//! `@` sets the time in milliseconds, `<` brings bytes from the switch, `timeout` says that a timer may be due; `>` and
//! `=` are what must follow, exactly that and nothing else: a message to the switch, or what the controller is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use fseg_openflow::{Effect, Framer, Input, Session, SessionConfig};

fn told(effect: &Effect) -> String {
    let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    match effect {
        Effect::Send(message) => line(format!("> {message}")),
        Effect::Ready(features) => format!("= ready {:016x}", features.datapath_id),
        Effect::Deliver(message) => line(format!("= deliver {message}")),
        Effect::Close(reason) => line(format!("= close {reason}")),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Cuts what came into messages, as a connection does.
fn receive(session: &mut Session, framer: &mut Framer, bytes: &[u8], now: u64) -> Vec<String> {
    framer.push(bytes);
    let mut seen = Vec::new();
    loop {
        let whole = match framer.next_bytes() {
            Ok(Some(whole)) => whole.to_vec(),
            Ok(None) => return seen,
            Err(error) => {
                seen.push(format!("= lost {error}"));
                return seen;
            }
        };
        let input = match fseg_openflow::Message::decode(&whole) {
            Ok(message) => Input::Message(message),
            Err(error) => Input::Undecodable { bytes: whole, error },
        };
        seen.extend(session.handle(input, now).iter().map(told));
    }
}

#[test]
fn conversations_go_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/session");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 13);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let place = |line: usize| format!("{}:{}", file.display(), line + 1);
        let mut framer = Framer::new();
        let mut now = 0;
        let (mut session, effects) = Session::new(0, SessionConfig::default());
        let mut due: std::collections::VecDeque<String> = effects.iter().map(told).collect();
        for (index, line) in text.lines().enumerate() {
            let expects = line.starts_with(['>', '=']);
            if expects {
                let came = due.pop_front().unwrap_or_else(|| panic!("{}: {line}: nothing came", place(index)));
                assert_eq!(came, line.split_whitespace().collect::<Vec<_>>().join(" "), "{}", place(index));
                continue;
            }
            if !line.starts_with('#') && !line.starts_with('@') {
                assert!(due.is_empty(), "{}: also came: {due:?}", place(index));
            }
            if let Some(hex) = line.strip_prefix("< ") {
                due.extend(receive(&mut session, &mut framer, &bytes(hex), now));
            } else if let Some(time) = line.strip_prefix("@ ") {
                now = time.parse().unwrap();
            } else if line == "timeout" {
                due.extend(session.handle(Input::Timeout, now).iter().map(told));
            } else {
                assert!(line.starts_with('#') || line.is_empty(), "{}: no such step", place(index));
            }
        }
        assert!(due.is_empty(), "{}: also came: {due:?}", file.display());
    }
}
