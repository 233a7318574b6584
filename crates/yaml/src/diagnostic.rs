//! One error or warning, with its place, in the form people read.

use std::fmt;

use crate::{Source, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works, but probably not as meant.
    Warning,
    /// The file is refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// The most characters of a source line that a message keeps.
const LINE_WIDTH: usize = 160;
/// How many of them stand before the culprit when the line has to be cut.
const LEAD: usize = 60;

/// One thing that is wrong, where, and what to do about it.
///
/// Printed, it names file, line and column, shows the line, and marks the culprit. Control characters from the file
/// never reach the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The source's name.
    pub file: String,
    /// Where; [`Span::FILE`] for the file as a whole.
    pub span: Span,
    /// The line the span starts in, cut to 160 characters around the culprit.
    pub line_text: String,
    /// Where the culprit starts in `line_text`, in characters from 0.
    pub caret: u32,
}

impl Diagnostic {
    /// A diagnostic about a place in a source.
    pub fn new(severity: Severity, source: &Source, span: Span, message: impl Into<String>) -> Self {
        let (line_text, caret) = excerpt(source, span);
        let message = printable(&message.into());
        Self { severity, message, help: None, file: source.name.clone(), span, line_text, caret }
    }

    /// An error.
    pub fn error(source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, source, span, message)
    }

    /// A warning.
    pub fn warning(source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, source, span, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(printable(&help.into()));
        self
    }

    /// True for errors.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    /// Several lines without a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.span == Span::FILE {
            write!(f, "{}: {}: {}", self.file, self.severity, self.message)?;
        } else {
            let Span { line, column, end_line, end_column } = self.span;
            let caret = self.caret as usize;
            writeln!(f, "{}:{line}:{column}: {}: {}", self.file, self.severity, self.message)?;
            writeln!(f, "{line:>5} | {}", self.line_text)?;
            let before: usize = self.line_text.chars().take(caret).map(cells).sum();
            let wanted = if end_line == line { end_column.saturating_sub(column) as usize } else { usize::MAX };
            let marked: usize = self.line_text.chars().skip(caret).take(wanted).map(cells).sum();
            write!(f, "      | {:before$}{}", "", "^".repeat(marked.max(1)))?;
        }
        match &self.help {
            Some(help) => write!(f, "\n   help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Text from a file in the form messages show it: in backquotes, cut to 80 characters, on one line.
pub fn quote(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("`{}{dots}`", printable(&cut))
}

/// Escapes what would move the cursor or change colours.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Control characters, and the marks that reorder what a terminal shows (Unicode TR 36, section 3.4).
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The part of the line that is worth showing, and where the culprit starts in it.
fn excerpt(source: &Source, span: Span) -> (String, u32) {
    let line = source.line(span.line).unwrap_or_default();
    let shown = |c: char| match c {
        '\t' => ' ',
        c if is_hidden(c) => '\u{fffd}',
        c => c,
    };
    let start = span.column.saturating_sub(1) as usize;
    // Never counts a huge line to its end.
    if line.chars().nth(LINE_WIDTH).is_none() {
        let text: String = line.chars().map(shown).collect();
        let caret = start.min(text.chars().count());
        return (text.trim_end().to_owned(), caret as u32);
    }
    let first = start.saturating_sub(LEAD);
    let mut text = String::from(if first > 0 { "…" } else { "" });
    text.extend(line.chars().skip(first).take(LINE_WIDTH).map(shown));
    if line.chars().nth(first + LINE_WIDTH).is_some() {
        text.push('…');
    }
    (text, (start - first + usize::from(first > 0)) as u32)
}

/// How many cells of a terminal a character fills: two for East Asian wide ones (Unicode TR 11), else one.
fn cells(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_cells() {
        let source = Source::new("p.yaml", "営業: crmm\n");
        let span = Span { line: 1, column: 5, end_line: 1, end_column: 9 };
        let shown = Diagnostic::error(&source, span, "no such group").to_string();
        assert_eq!(shown, "p.yaml:1:5: error: no such group\n    1 | 営業: crmm\n      |       ^^^^");
    }

    #[test]
    fn the_file_as_a_whole_has_no_line() {
        let source = Source::new("p.yaml", "x");
        let shown = Diagnostic::warning(&source, Span::FILE, "too large").with_help("split it").to_string();
        assert_eq!(shown, "p.yaml: warning: too large\n   help: split it");
    }

    #[test]
    fn a_span_over_several_lines_is_marked_to_the_end_of_the_first() {
        let source = Source::new("p.yaml", "a: [1,\n  2]\n");
        let span = Span { line: 1, column: 4, end_line: 2, end_column: 5 };
        assert_eq!(
            Diagnostic::error(&source, span, "m").to_string(),
            "p.yaml:1:4: error: m\n    1 | a: [1,\n      |    ^^^"
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_culprit() {
        let source = Source::new("p.yaml", format!("{}BAD{}", "a".repeat(500), "b".repeat(500)));
        let span = Span { line: 1, column: 501, end_line: 1, end_column: 504 };
        let d = Diagnostic::error(&source, span, "m");
        assert_eq!(d.line_text.chars().count(), LINE_WIDTH + 2);
        assert_eq!(d.line_text.chars().skip(d.caret as usize).take(3).collect::<String>(), "BAD");
        assert!(d.to_string().ends_with(&format!("{}^^^", " ".repeat(LEAD + 1))));
    }

    #[test]
    fn nothing_from_the_file_controls_the_terminal() {
        let source = Source::new("p.yaml", "a: \u{1b}[31mred\u{202e}\n");
        let d = Diagnostic::error(&source, Span::point(1, 4), format!("bad {}", quote("\u{1b}[2J")))
            .with_help("not\u{1b} this\nor that");
        assert!(!d.to_string().contains(['\u{1b}', '\u{202e}']));
        assert_eq!(d.message, "bad `\\u{1b}[2J`");
        assert_eq!(d.help.as_deref(), Some("not\\u{1b} this\\nor that"));
    }
}
