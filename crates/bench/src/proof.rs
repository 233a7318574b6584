//! `fseg verify` at a size: runs the example of its crate, in release mode, and reads what it says.

use std::process::Command;

use crate::report::{figure, ms};

/// A duration as Rust's `{:?}` writes it, in milliseconds.
fn milliseconds(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches(',');
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let seconds = number.parse::<f64>().ok()?
        * match unit {
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" => 1e-6,
            _ => return None,
        };
    Some(ms(std::time::Duration::from_secs_f64(seconds)))
}

/// True when the program was there, and proved what it should.
pub(crate) fn run(program: &str, rows: usize) -> bool {
    let out = match Command::new(program).arg(rows.to_string()).output() {
        Ok(out) => String::from_utf8_lossy(&out.stdout).into_owned(),
        Err(e) => {
            eprintln!("{program}: {e}");
            return false;
        }
    };
    let size = out.lines().find(|l| l.contains("rows on the switch")).unwrap_or_default().to_owned();
    let mut good = true;
    for (prefix, what, note) in [
        ("proved from nothing:", "all rows of a switch proved, from nothing", "at most 10,000"),
        ("after one change:", "proved again after one change", "at most 100"),
        ("after a lost row:", "a lost row found", ""),
    ] {
        let line = out.lines().find_map(|l| l.strip_prefix(prefix));
        match line.and_then(|l| milliseconds(l.split(',').next()?)) {
            Some(time) => {
                figure("verify", what, time, "ms", &format!("{note}{}{size}", if note.is_empty() { "" } else { "; " }))
            }
            None => good = false,
        }
    }
    if !good {
        eprintln!("{program} said: {out}");
    }
    good
}
