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

fn unhex(text: &str) -> Result<Vec<u8>, Failure> {
    let mut digits = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || c == ':') {
        for c in word.strip_prefix("0x").unwrap_or(word).chars() {
            let digit = c.to_digit(16).and_then(|d| u8::try_from(d).ok());
            digits.push(digit.ok_or_else(|| Failure::usage(format!("`{c}` is not a hexadecimal digit")))?);
        }
    }
    if digits.is_empty() || digits.len() % 2 == 1 {
        return Err(Failure::usage(format!("{} hexadecimal digits are not whole bytes", digits.len())));
    }
    Ok(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |n, d| (n << 4) | d)).collect())
}

fn decode(bytes: &[u8]) -> (String, Outcome) {
    let (mut out, mut outcome) = (String::new(), Outcome::Yes);
    let mut framer = Framer::new();
    framer.push(bytes);
    loop {
        match framer.next() {
            Ok(Some(message)) => {
                let _ = writeln!(out, "{message}");
            }
            Ok(None) if framer.waiting() == 0 => break,
            Ok(None) => {
                let _ = writeln!(out, "cut off: {} bytes of an unfinished message", framer.waiting());
                outcome = Outcome::Wrong;
                break;
            }
            Err(error) => {
                let _ = writeln!(out, "malformed: {error}");
                outcome = Outcome::Wrong;
                if framer.is_lost() {
                    break;
                }
            }
        }
    }
    (out, outcome)
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
    }
}
