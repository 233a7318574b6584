//! `fseg decode`: OpenFlow bytes as text.

use std::fmt::Write as _;
use std::io::Read as _;

use fseg_openflow::Framer;

use crate::failure::{Failure, Outcome};
use crate::output::Screen;

/// The most text that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Prints every message in the digits; what cannot be decoded is said, and the exit code is 2.
pub(crate) fn run(hex: &[String], screen: &Screen) -> Result<Outcome, Failure> {
    let text = if hex == ["-"] {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
        read.map_err(|e| Failure::usage(format!("standard input: {e}")))?;
        text
    } else {
        hex.join(" ")
    };
    let bytes = unhex(&text)?;
    let (text, outcome) = decode(&bytes);
    if screen.json {
        let lines: Vec<&str> = text.lines().collect();
        screen.value(&lines, false)?;
    } else {
        screen.text(&text)?;
    }
    Ok(outcome)
}

/// The bytes of hexadecimal digits. Blanks, colons and `0x` may stand between them, and the columns of a hex dump's
/// left side are the caller's to leave out.
fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    let mut digits: Vec<u8> = Vec::new();
    let mut place = 0;
    for word in text.split_inclusive(|c: char| c.is_whitespace() || c == ':') {
        let start = if word.starts_with("0x") || word.starts_with("0X") { 2 } else { 0 };
        for (offset, c) in word.chars().enumerate().skip(start) {
            if c.is_whitespace() || c == ':' {
                continue;
            }
            let digit = c.to_digit(16).and_then(|d| u8::try_from(d).ok());
            let at = place + offset + 1;
            digits.push(digit.ok_or_else(|| {
                Failure::usage(format!("`{c}`, at character {at}, is not a hexadecimal digit")).help(
                    "give the bytes of a message, such as 0402000800000001; blanks and colons may stand between them",
                )
            })?);
        }
        place += word.chars().count();
    }
    if digits.is_empty() {
        return Err(Failure::usage("there are no hexadecimal digits").help("fseg decode 0402000800000001"));
    }
    if digits.len() % 2 == 1 {
        let count = digits.len();
        return Err(Failure::usage(format!("{count} hexadecimal digits are not whole bytes: one is missing")));
    }
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |n, d| (n << 4) | d)).collect())
}

/// Message by message. Every complaint says at which byte of the input its message begins, and at which byte of that
/// message the trouble is.
fn decode(bytes: &[u8]) -> (String, Outcome) {
    let (mut out, mut outcome) = (String::new(), Outcome::Yes);
    let mut framer = Framer::new();
    framer.push(bytes);
    let mut start = 0;
    loop {
        match framer.next() {
            Ok(Some(message)) => {
                let _ = writeln!(out, "{message}");
            }
            Ok(None) if framer.waiting() == 0 => break,
            Ok(None) => {
                let _ = writeln!(out, "{}", cut_off(bytes.get(start..).unwrap_or_default(), start));
                outcome = Outcome::Wrong;
                break;
            }
            Err(error) => {
                let _ = writeln!(out, "malformed: {error}, in the message that begins at byte {start}");
                outcome = Outcome::Wrong;
                if framer.is_lost() {
                    break;
                }
            }
        }
        start = bytes.len() - framer.waiting();
    }
    (out, outcome)
}

/// What is there of the last message, and what is missing.
fn cut_off(rest: &[u8], start: usize) -> String {
    let have = rest.len();
    match rest {
        [_, _, high, low, ..] => {
            let needed = u16::from_be_bytes([*high, *low]);
            format!("cut off: the message that begins at byte {start} has {needed} bytes, but only {have} are there")
        }
        _ => format!(
            "cut off: the message that begins at byte {start} needs 8 bytes for its header, but only {have} are there"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_follow_each_other() {
        // OFPT_ECHO_REQUEST and OFPT_BARRIER_REQUEST (OpenFlow 1.3, A.1).
        let bytes = unhex("0x04 02 00 08 00:00:00:01\n0414000800000002").unwrap();
        let (text, outcome) = decode(&bytes);
        assert_eq!((text.lines().count(), outcome), (2, Outcome::Yes), "{text}");
        assert!(text.contains("OFPT_ECHO_REQUEST") && text.contains("OFPT_BARRIER_REQUEST"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for end in 1..8 {
            let (text, outcome) = decode(&[4, 2, 0, 8, 0, 0, 0, 1][..end]);
            assert_eq!(outcome, Outcome::Wrong, "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        assert_eq!(decode(&[4, 2, 0, 0, 0, 0, 0, 1]).1, Outcome::Wrong);
        for bad in ["", "0x", "0", "0g", "é0"] {
            assert!(unhex(bad).is_err(), "{bad:?}");
        }
        let wrong = unhex("0x04 02:0g").unwrap_err();
        assert_eq!(wrong.message, "`g`, at character 10, is not a hexadecimal digit");
    }

    #[test]
    fn every_complaint_says_where() {
        // A barrier request, then a features reply of one byte, then the beginning of an echo request.
        let bytes = unhex("0414000800000001 0406000900000002ff 0402000c00000003aa").unwrap();
        let (text, outcome) = decode(&bytes);
        assert_eq!(outcome, Outcome::Wrong);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "OFPT_BARRIER_REQUEST (OF1.3) (xid=0x1):",
                "malformed: datapath id at byte 8 needs 8 bytes, but only 1 are left, in the message that begins at byte 8",
                "cut off: the message that begins at byte 17 has 12 bytes, but only 9 are there",
            ]
        );
        let (text, _) = decode(&[4, 2, 0]);
        assert_eq!(
            text,
            "cut off: the message that begins at byte 0 needs 8 bytes for its header, but only 3 are there\n"
        );
    }
}
