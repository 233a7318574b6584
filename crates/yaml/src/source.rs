//! A text with a name, and places in it.

use crate::Diagnostic;

/// A file's text and the name to show in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What messages call it: usually the path as the user wrote it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// A text that is known to be UTF-8.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// A file's bytes. Bytes that are not UTF-8 are refused with the place of the first bad one.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        let name = name.into();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let readable = String::from_utf8_lossy(error.as_bytes()).into_owned();
                // The valid prefix is unchanged in `readable`, so the offset still fits.
                let span = Span::at_byte(&readable, good);
                let source = Self { name, text: readable };
                Err(Diagnostic::error(&source, span, "the file is not UTF-8 text")
                    .with_help("save it with the encoding UTF-8"))
            }
        }
    }

    /// The text of a line, counted from 1, without its line break.
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let line = self.text.split('\n').nth(index)?;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
}

/// A range of characters in a source. Lines and columns count from 1, columns in characters (not bytes, not cells of a
/// terminal). The end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First line; 0 when the message concerns the file as a whole.
    pub line: u32,
    /// First column.
    pub column: u32,
    /// Line of the first character behind the range.
    pub end_line: u32,
    /// Column of the first character behind the range.
    pub end_column: u32,
}

impl Span {
    /// No place: the message concerns the file as a whole.
    pub const FILE: Span = Span { line: 0, column: 0, end_line: 0, end_column: 0 };

    /// One character.
    pub fn point(line: u32, column: u32) -> Self {
        Self { line, column, end_line: line, end_column: column.saturating_add(1) }
    }

    /// From the start of this range to the end of another.
    pub fn to(self, last: Span) -> Self {
        Self { end_line: last.end_line, end_column: last.end_column, ..self }
    }

    /// The character at a byte offset; offsets inside a character count as its start.
    pub(crate) fn at_byte(text: &str, offset: usize) -> Self {
        let before = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= offset);
        let (mut line, mut column) = (1_u32, 1_u32);
        for (_, c) in before {
            (line, column) = if c == '\n' { (line.saturating_add(1), 1) } else { (line, column.saturating_add(1)) };
        }
        Self::point(line, column)
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::FILE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one_and_lose_their_breaks() {
        let source = Source::new("x", "a\r\nb\n");
        assert_eq!(source.line(1), Some("a"));
        assert_eq!(source.line(2), Some("b"));
        assert_eq!(source.line(3), Some(""));
        assert_eq!(source.line(4), None);
        assert_eq!(source.line(0), None);
    }

    #[test]
    fn bytes_that_are_not_text_are_refused_with_their_place() {
        assert_eq!(Source::from_bytes("x", "営業".into()).unwrap().text, "営業");
        let error = Source::from_bytes("x.yaml", b"groups:\n  \xe5\x96\xb6\xff: 1\n".to_vec()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x.yaml:2:4: error: the file is not UTF-8 text\n    2 |   営\u{fffd}: 1\n      |     ^\n   help: save it with the encoding UTF-8"
        );
    }
}
