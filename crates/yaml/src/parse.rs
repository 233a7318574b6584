//! From text to tree, within limits.
//!
//! YAML 1.2.2 less what makes it dangerous or surprising: no anchors and aliases (section 7.1; a few lines can stand for
//! gigabytes), no tags (6.9.1), one document (9.2), no duplicate keys (3.2.1.3), keys are text.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use crate::{Diagnostic, Key, Kind, Node, Source, Span, quote};

/// What a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest text, in bytes; checked before parsing.
    pub bytes: usize,
    /// The most values.
    pub nodes: usize,
    /// The deepest nesting of lists and mappings.
    pub depth: usize,
}

impl Default for Limits {
    /// 8 MiB, a million values, 32 levels.
    fn default() -> Self {
        Self { bytes: 8 << 20, nodes: 1_000_000, depth: 32 }
    }
}

/// Parses a text. An empty one is [`Kind::Null`]. The first error ends it, since what follows a broken line is guesswork.
pub fn parse(source: &Source, limits: Limits) -> Result<Node, Diagnostic> {
    if source.text.len() > limits.bytes {
        let message = format!("the file has {} bytes; at most {} are accepted", source.text.len(), limits.bytes);
        return Err(Diagnostic::error(source, Span::FILE, message));
    }
    let mut builder = Builder { source, limits, open: Vec::new(), root: None, nodes: 0 };
    // A byte order mark is legal at the start only (5.2) and says nothing in UTF-8.
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut parser = Parser::new_from_str(text);
    while let Some(step) = parser.next_event() {
        let (event, span) = step.map_err(|error| explain(source, &error, builder.bracket()))?;
        builder.take(event, convert(span.start, span.end))?;
    }
    Ok(builder.root.unwrap_or(Node { value: Kind::Null, span: Span::point(1, 1) }))
}

/// A list or mapping whose end has not come yet.
enum Open {
    List { start: Span, items: Vec<Node> },
    Map { start: Span, entries: Vec<(Key, Node)>, key: Option<Key>, seen: HashMap<String, Span> },
}

/// Builds the tree with its own stack, so that the input cannot exhaust the thread's.
struct Builder<'s> {
    source: &'s Source,
    limits: Limits,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.source, span, message)
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => Err(self
                .error(span, "a second document starts here; a file holds one")
                .with_help("remove the line `---`, or put the second document into a file of its own")),
            Event::DocumentStart(_) => Ok(()),
            Event::Alias(_) => Err(no_aliases(self.source, span)),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_decoration(span, anchor, tag.is_some())?;
                self.count(span)?;
                let plain = style == ScalarStyle::Plain;
                if self.wants_key() {
                    return self.take_key(text.into_owned(), plain, span);
                }
                let value = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Kind::Null
                } else {
                    Kind::Scalar { text: text.into_owned(), plain }
                };
                self.put(Node { value, span })
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.is_some())?;
                self.open.push(Open::List { start: span, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(anchor, tag) => {
                self.open(span, anchor, tag.is_some())?;
                self.open.push(Open::Map { start: span, entries: Vec::new(), key: None, seen: HashMap::new() });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop() {
                    Some(Open::List { start, items }) => {
                        let span = closed(start, span, items.last());
                        Node { value: Kind::List(items), span }
                    }
                    Some(Open::Map { start, entries, .. }) => {
                        let span = closed(start, span, entries.last().map(|(_, v)| v));
                        Node { value: Kind::Map(entries), span }
                    }
                    None => return Err(self.error(span, "this closes nothing")),
                };
                self.put(node)
            }
        }
    }

    /// The innermost bracket that is still open, and where it stands.
    fn bracket(&self) -> Option<(char, Span)> {
        let (Open::List { start, .. } | Open::Map { start, .. }) = self.open.last()?;
        let column = usize::try_from(start.column.checked_sub(1)?).ok()?;
        let first = self.source.line(start.line)?.chars().nth(column)?;
        matches!(first, '[' | '{').then_some((first, *start))
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Map { key: None, .. }))
    }

    fn refuse_decoration(&self, span: Span, anchor: usize, tagged: bool) -> Result<(), Diagnostic> {
        if anchor != 0 {
            return Err(no_aliases(self.source, span));
        }
        if tagged {
            return Err(self
                .error(span, "tags (`!name`) are not accepted")
                .with_help("remove the tag; write text that starts with `!` in quotes"));
        }
        Ok(())
    }

    fn count(&mut self, span: Span) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(self.error(span, format!("more than {} values; split the file", self.limits.nodes)));
        }
        Ok(())
    }

    fn open(&mut self, span: Span, anchor: usize, tagged: bool) -> Result<(), Diagnostic> {
        self.refuse_decoration(span, anchor, tagged)?;
        self.count(span)?;
        if self.wants_key() {
            return Err(self
                .error(span, "a key must be text, not a list or a mapping")
                .with_help("write text that starts with `{` or `[` in quotes"));
        }
        if self.open.len() >= self.limits.depth {
            return Err(self.error(span, format!("nested deeper than {} levels", self.limits.depth)));
        }
        Ok(())
    }

    fn take_key(&mut self, text: String, plain: bool, span: Span) -> Result<(), Diagnostic> {
        if plain && text.is_empty() {
            return Err(self.error(span, "a key is missing before the `:`"));
        }
        let Some(Open::Map { key, seen, .. }) = self.open.last_mut() else {
            return Err(self.error(span, "a key outside a mapping"));
        };
        if let Some(first) = seen.insert(text.clone(), span) {
            let message = format!("the key {} is given twice; the first is in line {}", quote(&text), first.line);
            return Err(self
                .error(span, format!("{message}, column {}", first.column))
                .with_help("join the two, or rename one"));
        }
        *key = Some(Key { text, span });
        Ok(())
    }

    fn put(&mut self, node: Node) -> Result<(), Diagnostic> {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => return Err(self.error(node.span, "a value without a key")),
            },
        }
        Ok(())
    }
}

/// The extent of a collection. Only the flow style has a closing bracket; the block style ends with its last value.
fn closed(start: Span, end: Span, last: Option<&Node>) -> Span {
    let bracket = (end.line, end.column) != (end.end_line, end.end_column);
    match last {
        _ if bracket => start.to(end),
        Some(last) => start.to(last.span),
        None => start,
    }
}

fn convert(start: Marker, end: Marker) -> Span {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: number(start.line()),
        column: number(start.col()).saturating_add(1),
        end_line: number(end.line()),
        end_column: number(end.col()).saturating_add(1),
    }
}

fn no_aliases(source: &Source, span: Span) -> Diagnostic {
    Diagnostic::error(source, span, "anchors (`&name`) and aliases (`*name`) are not accepted")
        .with_help("write the value out; text that starts with `&` or `*` needs quotes: \"*.example.com\"")
}

/// The scanner's complaint in words that help, at the place that has to be changed.
fn explain(source: &Source, error: &ScanError, bracket: Option<(char, Span)>) -> Diagnostic {
    let at = convert(*error.marker(), *error.marker());
    let span = Span::point(at.line, at.column);
    let info = error.info();
    // The scanner notices a tab now and then one line early or late, and calls it many things.
    for line in [at.line, at.line.saturating_sub(1), at.line.saturating_add(1)] {
        let indent = source.line(line).unwrap_or_default().chars().take_while(|c| matches!(c, ' ' | '\t'));
        if let Some(column) = indent.zip(1_u32..).find_map(|(c, column)| (c == '\t').then_some(column)) {
            return Diagnostic::error(source, Span::point(line, column), "a tab in the indentation")
                .with_help("indent with spaces");
        }
    }
    if info.contains("unknown anchor") || info.contains("anchor or alias") {
        return no_aliases(source, span);
    }
    let plain = Diagnostic::error(source, span, format!("this is not valid YAML: {info}"));
    let help = if info.contains("recursion limit") {
        return Diagnostic::error(source, span, "nested too deeply");
    } else if let Some((open, start)) = bracket {
        let close = if open == '[' { ']' } else { '}' };
        return plain.with_help(format!(
            "is the `{open}` of line {}, column {} closed by a `{close}`, with a comma between its items?",
            start.line, start.column
        ));
    } else if info.contains("mapping values are not allowed") {
        "is the indentation right? text that contains `: ` needs quotes"
    } else if info.contains("handle wasn't declared") || info.contains("parsing a tag") {
        "text that starts with `!` needs quotes"
    } else if info.contains("end of stream") || info.contains("quoted scalar") {
        "is a closing quote missing?"
    } else if ["expected key", "expected '-'", "indentation", "simple key"].iter().any(|part| info.contains(part)) {
        "is the indentation right, and does the key end with `:`?"
    } else if info.contains("character") {
        "write text that starts with a special character in quotes"
    } else {
        return plain;
    };
    plain.with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Node {
        parse(&Source::new("t.yaml", text), Limits::default()).unwrap()
    }
    fn span(line: u32, column: u32, end_line: u32, end_column: u32) -> Span {
        Span { line, column, end_line, end_column }
    }
    fn get<'a>(node: &'a Node, key: &str) -> &'a Node {
        node.get(key).unwrap()
    }

    #[test]
    fn values_know_their_type_and_place() {
        let root = tree("a: one\n営業: { b: [x, \"~\"], c: }\nd:\n  - 1\n  - ~\n");
        assert_eq!(get(&root, "a").value, Kind::Scalar { text: "one".into(), plain: true });
        assert_eq!(get(&root, "a").span, span(1, 4, 1, 7));
        let flow = get(&root, "営業");
        assert_eq!(flow.span, span(2, 5, 2, 24));
        assert_eq!(get(flow, "c").value, Kind::Null);
        let Kind::List(items) = &get(flow, "b").value else { panic!() };
        assert_eq!(items[1], Node { value: Kind::Scalar { text: "~".into(), plain: false }, span: span(2, 14, 2, 17) });
        assert_eq!(get(flow, "b").span, span(2, 10, 2, 18));
        let block = get(&root, "d");
        assert_eq!(block.span, span(4, 3, 5, 6));
        assert_eq!(block.value.describe(), "a list");
    }

    #[test]
    fn an_empty_text_is_nothing() {
        for text in ["", "\n\n", "# only a comment\n", "---\n", "\u{feff}", "~"] {
            assert_eq!(tree(text).value, Kind::Null, "{text:?}");
        }
        assert_eq!(tree("\u{feff}a: b\n").get("a").unwrap().span, span(1, 4, 1, 5));
    }

    #[test]
    fn limits_hold() {
        let at = |text: &str, limits| parse(&Source::new("t", text), limits).map(|_| ()).map_err(|d| d.message);
        let limits = Limits { bytes: 8, nodes: 4, depth: 2 };
        assert_eq!(at("[1,2,3] ", limits), Ok(()));
        assert_eq!(at("[1,2,3]  ", limits), Err("the file has 9 bytes; at most 8 are accepted".into()));
        assert_eq!(at("[1,2,3,4", limits), Err("more than 4 values; split the file".into()));
        assert_eq!(at("[[1]]", limits), Ok(()));
        assert_eq!(at("[[[1]]]", limits), Err("nested deeper than 2 levels".into()));
        for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(1000)] {
            assert!(at(&deep, Limits::default()).is_err());
        }
        let huge = "a: 1 #".to_owned() + &"x".repeat(8 << 20);
        assert!(at(&huge, Limits::default()).unwrap_err().starts_with("the file has 8388614 bytes"));
    }
}
