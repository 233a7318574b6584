//! Printing: plain tables, JSON, colours only where somebody looks.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use serde::Serialize;

use crate::args::Output;
use crate::failure::{Failure, Outcome};

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Plain,
    /// Good news worth seeing.
    Good,
    /// Look at this.
    Warning,
    /// Something is wrong.
    Bad,
    /// Not important now.
    Faint,
    /// Headings.
    Strong,
}

impl Tone {
    /// The SGR parameters (ECMA-48, section 8.3.117).
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
            Self::Strong => Some("1"),
        }
    }
}

/// Where output goes and how.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) json: bool,
    colour: bool,
    terminal: bool,
}

impl Screen {
    pub(crate) fn new(output: Output) -> Self {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org: set and not empty means no.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self { json: output == Output::Json, colour: terminal && !refused, terminal }
    }

    /// A line in a tone.
    pub(crate) fn toned(&self, tone: Tone, line: &str) -> String {
        match tone.code().filter(|_| self.colour) {
            Some(code) => format!("\x1b[{code}m{line}\x1b[0m"),
            None => line.to_owned(),
        }
    }

    /// Prints a text. A reader who has gone away (`fseg … | head`) is no failure.
    pub(crate) fn text(&self, text: &str) -> Result<Outcome, Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(e)),
            _ => Ok(Outcome::Yes),
        }
    }

    /// Prints JSON: indented for a single answer, one line each where there are several.
    pub(crate) fn value<T: Serialize>(&self, value: &T, lines: bool) -> Result<Outcome, Failure> {
        let text = if lines { serde_json::to_string(value) } else { serde_json::to_string_pretty(value) };
        self.text(&(text.map_err(Failure::output)? + "\n"))
    }

    /// Before each round of `--watch`.
    pub(crate) fn next_round(&self) -> Result<Outcome, Failure> {
        match (self.json, self.terminal) {
            (true, _) => Ok(Outcome::Yes),
            (false, true) => self.text("\x1b[H\x1b[2J\x1b[3J"),
            (false, false) => self.text("\n"),
        }
    }

    /// Says on standard error what went wrong.
    pub(crate) fn failure(&self, failure: &Failure) {
        let mut text = format!("fseg: {}\n", printable(&failure.message));
        if let Some(help) = &failure.help {
            let _ = writeln!(text, "  help: {}", printable(help));
        }
        // Nobody is left to tell when this fails.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Text without control characters: what endpoints and switches say must not steer the operator's terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{b7}' } else { c }).collect()
}

/// A table under construction.
#[derive(Debug)]
pub(crate) struct Rows {
    headers: &'static [&'static str],
    rows: Vec<(Tone, Vec<String>)>,
    empty: &'static str,
}

impl Rows {
    /// A table with these headers; those that end in `#` are numbers and stand right. `empty` is said of no rows.
    pub(crate) fn new(headers: &'static [&'static str], empty: &'static str) -> Self {
        Self { headers, rows: Vec::new(), empty }
    }

    /// Adds a row.
    pub(crate) fn add<const N: usize>(&mut self, tone: Tone, cells: [String; N]) {
        let cell = |c: String| {
            let text = printable(&c).replace('\n', " ");
            if text.is_empty() { "-".to_owned() } else { text }
        };
        self.rows.push((tone, cells.map(cell).into()));
    }

    /// The finished table.
    pub(crate) fn render(&self, screen: &Screen) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.empty);
        }
        let mut table = Table::new();
        table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.headers.iter().map(|h| h.trim_end_matches('#')));
        table.add_rows(self.rows.iter().map(|(_, cells)| cells));
        for (index, header) in self.headers.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, 2));
                if header.ends_with('#') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        let tones = std::iter::once(Tone::Strong).chain(self.rows.iter().map(|(tone, _)| *tone));
        table.lines().zip(tones).fold(String::new(), |mut out, (line, tone)| {
            out.push_str(&screen.toned(tone, line.trim_end()));
            out.push('\n');
            out
        })
    }
}

/// A list in one cell, cut so that a row stays a line.
pub(crate) fn list(items: &[String]) -> String {
    const MOST: usize = 4;
    let shown = items.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} +{more}"),
    }
}

/// Bytes or packets with a unit: `1.2k`, `34M`.
pub(crate) fn count(n: u64) -> String {
    const UNITS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if n < 10_000 {
        return n.to_string();
    }
    let mut tenths = u128::from(n) * 10;
    let mut unit = "";
    for next in UNITS {
        if tenths < 10_000 {
            break;
        }
        tenths /= 1000;
        unit = next;
    }
    if tenths < 1000 { format!("{}.{}{unit}", tenths / 10, tenths % 10) } else { format!("{}{unit}", tenths / 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(colour: bool) -> Screen {
        Screen { json: false, colour, terminal: colour }
    }

    #[test]
    fn tables_are_aligned_without_borders_and_never_steer_the_terminal() {
        let mut rows = Rows::new(&["NAME", "PACKETS#", "PLACE"], "Nobody is here.");
        assert_eq!(rows.render(&screen(false)), "Nobody is here.\n");
        rows.add(Tone::Plain, ["anna".into(), "7".into(), "tokyo/sw3/p7".into()]);
        rows.add(Tone::Bad, ["営業\x1b[2J\n1".into(), "123456".into(), String::new()]);
        let expected = "NAME        PACKETS  PLACE\nanna              7  tokyo/sw3/p7\n営業·[2J 1   123456  -\n";
        assert_eq!(rows.render(&screen(false)), expected);
        assert!(rows.render(&screen(true)).contains("\x1b[31m営業·[2J 1   123456  -\x1b[0m\n"));
    }

    #[test]
    fn numbers_and_lists_are_short() {
        for (n, text) in [
            (0, "0"),
            (9999, "9999"),
            (10_000, "10.0k"),
            (99_999, "99.9k"),
            (999_999, "999k"),
            (1_000_000, "1.0M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(count(n), text);
        }
        let items: Vec<String> = (1..=6).map(|n| n.to_string()).collect();
        assert_eq!(list(&items), "1, 2, 3, 4 +2");
        assert_eq!(list(&items[..4]), "1, 2, 3, 4");
    }
}
