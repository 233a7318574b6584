//! Typed reading that reports everything that is wrong.
//!
//! Each method that asks for something returns an `Option`: `None` means that the reason has been reported. Callers go
//! on with `?` or by skipping the value, and look at [`Reader::has_errors`] at the end. Nothing is ever replaced by a
//! default because it could not be read.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::{Diagnostic, Key, Kind, Limits, Node, Severity, Source, Span, did_you_mean, parse, parse_duration, quote};

/// The most diagnostics of one file; more are counted but not kept.
pub const MAX_DIAGNOSTICS: usize = 50;

/// Collects what is wrong with one source while its values are read.
#[derive(Debug)]
pub struct Reader<'s> {
    source: &'s Source,
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    kept: Vec<Diagnostic>,
    dropped: usize,
    errors: bool,
}

impl<'s> Reader<'s> {
    /// A reader that has found nothing yet.
    pub fn new(source: &'s Source) -> Self {
        Self { source, found: RefCell::default() }
    }

    /// What is read.
    pub fn source(&self) -> &'s Source {
        self.source
    }

    /// Parses the source; `None` when it is not acceptable YAML, which is then reported.
    pub fn parse(&self, limits: Limits) -> Option<Node> {
        parse(self.source, limits).map_err(|d| self.report(d)).ok()
    }

    /// The root of a tree, as a value to ask.
    pub fn value<'a>(&'a self, root: &'a Node) -> Value<'a> {
        Value { reader: self, node: root, label: Label::File }
    }

    /// Reports something.
    pub fn report(&self, diagnostic: Diagnostic) {
        let mut found = self.found.borrow_mut();
        found.errors |= diagnostic.is_error();
        if found.kept.len() < MAX_DIAGNOSTICS { found.kept.push(diagnostic) } else { found.dropped += 1 }
    }

    /// Reports an error at a place.
    pub fn error(&self, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), None::<String>);
    }

    /// Reports an error at a place, with what to do about it.
    pub fn error_with_help(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), Some(help));
    }

    /// Reports a warning at a place, with what to do about it.
    pub fn warn(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, span, message.into(), Some(help));
    }

    fn add(&self, severity: Severity, span: Span, message: String, help: Option<impl Into<String>>) {
        // Finding the line costs a walk through the text: not for what is only counted.
        if self.is_full() {
            let mut found = self.found.borrow_mut();
            found.errors |= severity == Severity::Error;
            found.dropped += 1;
            return;
        }
        let diagnostic = Diagnostic::new(severity, self.source, span, message);
        self.report(match help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        });
    }

    /// True when further diagnostics are only counted: time to skip expensive advice.
    pub fn is_full(&self) -> bool {
        self.found.borrow().kept.len() >= MAX_DIAGNOSTICS
    }

    /// True when an error was reported.
    pub fn has_errors(&self) -> bool {
        self.found.borrow().errors
    }

    /// Everything found, in the order of the file, with a last line for what was not kept.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let Found { mut kept, dropped, errors } = self.found.into_inner();
        kept.sort_by_key(|d| d.span);
        if dropped > 0 {
            let severity = if errors { Severity::Error } else { Severity::Warning };
            let message = format!("{dropped} more are not shown; correct these first");
            kept.push(Diagnostic::new(severity, self.source, Span::FILE, message));
        }
        kept
    }
}

/// How messages call a value.
#[derive(Debug, Clone, Copy)]
enum Label<'a> {
    File,
    Key(&'a str),
    Item(&'a str),
    Root,
}

impl Display for Label<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Key(key) => f.write_str(&quote(key)),
            Self::Item(key) => write!(f, "an item of {}", quote(key)),
            Self::Root => f.write_str("an item"),
        }
    }
}

/// A value that can be asked for its type.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    reader: &'a Reader<'a>,
    node: &'a Node,
    label: Label<'a>,
}

impl<'a> Value<'a> {
    /// Where it stands.
    pub fn span(&self) -> Span {
        self.node.span
    }

    /// The node itself.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Its reader.
    pub fn reader(&self) -> &'a Reader<'a> {
        self.reader
    }

    /// True for nothing: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        self.node.value == Kind::Null
    }

    /// Reports an error at this value.
    pub fn error(&self, message: impl Into<String>) {
        self.reader.error(self.span(), message);
    }

    /// Reports an error at this value, with what to do about it.
    pub fn error_with_help(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reader.error_with_help(self.span(), message, help);
    }

    /// Reports a warning at this value, with what to do about it.
    pub fn warn(&self, message: impl Into<String>, help: impl Into<String>) {
        self.reader.warn(self.span(), message, help);
    }

    fn must_be<T>(&self, wanted: &str) -> Option<T> {
        let (label, found) = (self.label, &self.node.value);
        match found {
            Kind::Scalar { text, .. } => self.error(format!("{label} must be {wanted}, not {}", quote(text))),
            other => self.error(format!("{label} must be {wanted}, not {}", other.describe())),
        }
        None
    }

    fn scalar(&self, wanted: &str) -> Option<(&'a str, bool)> {
        match &self.node.value {
            Kind::Scalar { text, plain } => Some((text, *plain)),
            _ => self.must_be(wanted),
        }
    }

    /// Text; numbers and truth values count as text too.
    pub fn as_str(&self) -> Option<&'a str> {
        self.scalar("text").map(|(text, _)| text)
    }

    /// Text that is more than white space.
    pub fn as_text(&self) -> Option<String> {
        let text = self.as_str()?;
        if text.trim().is_empty() { self.must_be("text that is not empty") } else { Some(text.to_owned()) }
    }

    /// `true` or `false`, without quotes.
    pub fn as_bool(&self) -> Option<bool> {
        match self.scalar("`true` or `false`")? {
            ("true", true) => Some(true),
            ("false", true) => Some(false),
            _ => self.must_be("`true` or `false` (without quotes)"),
        }
    }

    /// A whole number that is not negative, in decimal digits without quotes.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_u64_in(0..=u64::MAX)
    }

    /// A whole number within bounds, in decimal digits without quotes.
    pub fn as_u64_in(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let wanted = match (*bounds.start(), *bounds.end()) {
            (0, u64::MAX) => "a whole number".to_owned(),
            (low, u64::MAX) => format!("a whole number of at least {low}"),
            (low, high) => format!("a whole number from {low} to {high}"),
        };
        let (text, plain) = self.scalar(&wanted)?;
        let digits = plain && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(number) if digits && bounds.contains(&number) => Some(number),
            _ if !plain => self.must_be(&(wanted + " (without quotes)")),
            _ => self.must_be(&wanted),
        }
    }

    /// A duration: `500ms`, `90s`, `30m`, `12h` or `7d`.
    pub fn as_duration(&self) -> Option<Duration> {
        let (text, _) = self.scalar("a duration such as 90s, 30m, 12h or 7d")?;
        parse_duration(text).map_err(|e| self.error(e.to_string())).ok()
    }

    /// Text that becomes a `T`; the message is that of the type's own error.
    pub fn parse<T: FromStr<Err: Display>>(&self) -> Option<T> {
        self.as_str()?.parse().map_err(|e: T::Err| self.error(e.to_string())).ok()
    }

    /// A list's items.
    pub fn as_list(&self) -> Option<Vec<Value<'a>>> {
        match &self.node.value {
            Kind::List(items) => Some(items.iter().map(|node| self.item(node)).collect()),
            Kind::Scalar { text, .. } => {
                let message = format!("{} must be a list, not {}", self.label, quote(text));
                self.error_with_help(message, format!("write [{}]", text.chars().take(40).collect::<String>()));
                None
            }
            _ => self.must_be("a list"),
        }
    }

    /// A list's items, or the value itself where a single one may stand without brackets.
    pub fn as_one_or_many(&self) -> Option<Vec<Value<'a>>> {
        match &self.node.value {
            Kind::List(items) => Some(items.iter().map(|node| self.item(node)).collect()),
            Kind::Scalar { .. } => Some(vec![*self]),
            _ => self.must_be("text or a list"),
        }
    }

    /// A list, each item of which becomes a `T`. `None` when one or more cannot be read; all of them are reported.
    pub fn parse_list<T: FromStr<Err: Display>>(&self) -> Option<Vec<T>> {
        let read: Vec<Option<T>> = self.as_list()?.iter().map(Value::parse).collect();
        read.into_iter().collect()
    }

    fn item(&self, node: &'a Node) -> Value<'a> {
        let label = match self.label {
            Label::Key(key) | Label::Item(key) => Label::Item(key),
            Label::File | Label::Root => Label::Root,
        };
        Value { reader: self.reader, node, label }
    }

    /// A mapping with known keys.
    pub fn as_map(&self) -> Option<MapReader<'a>> {
        match &self.node.value {
            Kind::Map(entries) => Some(MapReader { of: *self, entries, asked: Vec::new() }),
            _ => self.must_be("a mapping (`key: value`)"),
        }
    }

    /// A mapping whose keys are the user's own names.
    pub fn as_entries(&self) -> Option<Vec<Entry<'a>>> {
        let Kind::Map(entries) = &self.node.value else { return self.must_be("a mapping (`name: …`)") };
        let entry = |(key, node): &'a (Key, Node)| {
            let value = Value { reader: self.reader, node, label: Label::Key(&key.text) };
            Entry { key, value }
        };
        Some(entries.iter().map(entry).collect())
    }
}

/// One entry of a mapping whose keys are the user's own names.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The key.
    pub key: &'a Key,
    /// The value.
    pub value: Value<'a>,
}

impl Entry<'_> {
    /// The key as a `T`.
    pub fn parse_key<T: FromStr<Err: Display>>(&self) -> Option<T> {
        self.key.text.parse().map_err(|e: T::Err| self.value.reader.error(self.key.span, e.to_string())).ok()
    }
}

/// Reads a mapping with known keys. Ask for every key, then call [`finish`](Self::finish): keys nobody asked for are
/// errors, with the nearest known one as advice.
#[derive(Debug)]
#[must_use = "call finish(), or unknown keys go unnoticed"]
pub struct MapReader<'a> {
    of: Value<'a>,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
}

impl<'a> MapReader<'a> {
    /// Where the mapping stands.
    pub fn span(&self) -> Span {
        self.of.span()
    }

    /// Its reader.
    pub fn reader(&self) -> &'a Reader<'a> {
        self.of.reader
    }

    fn find(&mut self, key: &'static str) -> Option<(Span, Value<'a>)> {
        self.asked.push(key);
        let (found, node) = self.entries.iter().find(|(k, _)| k.text == key)?;
        Some((found.span, Value { reader: self.of.reader, node, label: Label::Key(&found.text) }))
    }

    /// A key that must be there and have a value.
    pub fn required(&mut self, key: &'static str) -> Option<Value<'a>> {
        match self.find(key) {
            Some((at, value)) if value.is_null() => {
                self.of.reader.error(at, format!("`{key}` has no value"));
                None
            }
            Some((_, value)) => Some(value),
            None => {
                self.of.error(format!("the key `{key}` is missing"));
                None
            }
        }
    }

    /// A key that may be absent. A key without a value is an error: whoever wrote it had something in mind.
    pub fn optional(&mut self, key: &'static str) -> Option<Value<'a>> {
        let (at, value) = self.find(key)?;
        if value.is_null() {
            self.of.reader.error_with_help(at, format!("`{key}` has no value"), "give it one, or remove the key");
            return None;
        }
        Some(value)
    }

    /// A key that may be absent or empty, for sections in which everything may be commented out.
    pub fn section(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.find(key).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// A key that may be absent, but not without a value: that is an error with this advice.
    pub fn required_value(&mut self, key: &'static str, help: &str) -> Option<Value<'a>> {
        let (at, value) = self.find(key)?;
        if value.is_null() {
            self.of.reader.error_with_help(at, format!("`{key}` has no value"), help);
            return None;
        }
        Some(value)
    }

    /// True when the key is there, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(k, _)| k.text == key)
    }

    /// Reports the keys nobody asked for.
    pub fn finish(self) {
        for (key, value) in self.entries {
            if self.asked.contains(&key.text.as_str()) {
                continue;
            }
            let known = self.asked.join(", ");
            let help = match did_you_mean(&key.text, self.asked.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                // In `{ text: one, two }` the comma ends the text, and `two` becomes a key without a value.
                None if value.value == Kind::Null => {
                    format!("text with a comma in it needs quotes inside `{{ }}`; known keys: {known}")
                }
                None => format!("known keys: {known}"),
            };
            self.of.reader.error_with_help(key.span, format!("the key {} is unknown here", quote(&key.text)), help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text with `read` and gives back what is printed.
    fn found(text: &str, read: impl Fn(Value<'_>)) -> String {
        let source = Source::new("n.yaml", text);
        let reader = Reader::new(&source);
        let root = reader.parse(Limits::default()).unwrap();
        read(reader.value(&root));
        reader.into_diagnostics().iter().map(|d| format!("{d}\n")).collect()
    }

    #[test]
    fn good_values_are_read() {
        let text =
            "n: 42\nb: true\nt: 12h\ns: \"42\"\nl: [1, 2]\none: x\nm: { k: v }\nempty:\naddr: 127.0.0.1\nz: 00\n";
        let shown = found(text, |root| {
            let mut map = root.as_map().unwrap();
            assert_eq!(map.required("n").unwrap().as_u64(), Some(42));
            assert_eq!(map.required("n").unwrap().as_str(), Some("42"));
            assert_eq!(map.required("b").unwrap().as_bool(), Some(true));
            assert_eq!(map.required("t").unwrap().as_duration(), Some(Duration::from_secs(43_200)));
            assert_eq!(map.required("s").unwrap().as_text().as_deref(), Some("42"));
            assert_eq!(map.required("l").unwrap().parse_list::<u8>(), Some(vec![1, 2]));
            assert_eq!(map.required("one").unwrap().as_one_or_many().unwrap().len(), 1);
            let entries = map.required("m").unwrap().as_entries().unwrap();
            assert_eq!(entries[0].parse_key::<char>(), Some('k'));
            assert!(map.section("empty").is_none() && map.has("empty"));
            assert!(map.optional("absent").is_none() && !map.has("absent"));
            assert_eq!(map.required("z").unwrap().as_u64_in(0..=9), Some(0));
            let address: Option<std::net::IpAddr> = map.optional("addr").and_then(|v| v.parse());
            assert!(address.is_some());
            map.finish();
        });
        assert_eq!(shown, "");
    }

    #[test]
    fn everything_wrong_is_reported_in_the_order_of_the_file() {
        let text = "port: 70000\nquoted: \"80\"\nyes: yes\nidel: 12h\nttl: 5 minutes\nlist: x\nwho: [1, {}]\naddr: 1.2.3\nname: ' '\n";
        let shown = found(text, |root| {
            let mut map = root.as_map().unwrap();
            assert!(map.required("name").unwrap().as_text().is_none());
            assert!(map.required("port").unwrap().as_u64_in(1..=65535).is_none());
            assert!(map.required("quoted").unwrap().as_u64_in(1..=65535).is_none());
            assert!(map.required("yes").unwrap().as_bool().is_none());
            assert!(map.optional("idle").is_none());
            assert!(map.required("ttl").unwrap().as_duration().is_none());
            assert!(map.required("list").unwrap().as_list().is_none());
            assert!(map.required("who").unwrap().parse_list::<String>().is_none());
            assert!(map.required("addr").unwrap().parse::<std::net::IpAddr>().is_none());
            map.finish();
        });
        let messages: Vec<&str> = shown.lines().filter(|l| l.starts_with("n.yaml") || l.contains("help:")).collect();
        assert_eq!(
            messages,
            [
                "n.yaml:1:7: error: `port` must be a whole number from 1 to 65535, not `70000`",
                "n.yaml:2:9: error: `quoted` must be a whole number from 1 to 65535 (without quotes), not `80`",
                "n.yaml:3:6: error: `yes` must be `true` or `false` (without quotes), not `yes`",
                "n.yaml:4:1: error: the key `idel` is unknown here",
                "   help: did you mean `idle`?",
                "n.yaml:5:6: error: `5 minutes` is not a duration (expected a whole number and a unit: 500ms, 90s, 30m, 12h or 7d)",
                "n.yaml:6:7: error: `list` must be a list, not `x`",
                "   help: write [x]",
                "n.yaml:7:10: error: an item of `who` must be text, not a mapping",
                "n.yaml:8:7: error: invalid IP address syntax",
                "n.yaml:9:7: error: `name` must be text that is not empty, not ` `",
            ]
        );
    }

    #[test]
    fn missing_and_empty_keys_are_told_apart() {
        let shown = found("a:\nb:\nc: 1\n", |root| {
            let mut map = root.as_map().unwrap();
            assert!(map.required("a").is_none());
            assert!(map.optional("b").is_none());
            assert!(map.required("d").is_none());
            map.finish();
        });
        assert_eq!(
            shown,
            "n.yaml:1:1: error: `a` has no value\n    1 | a:\n      | ^\n\
             n.yaml:1:1: error: the key `d` is missing\n    1 | a:\n      | ^^\n\
             n.yaml:2:1: error: `b` has no value\n    2 | b:\n      | ^\n   help: give it one, or remove the key\n\
             n.yaml:3:1: error: the key `c` is unknown here\n    3 | c: 1\n      | ^\n   help: known keys: a, b, d\n"
        );
    }

    #[test]
    fn a_flood_of_errors_is_counted_not_kept() {
        let source = Source::new("n.yaml", "- x\n".repeat(1000));
        let reader = Reader::new(&source);
        let root = reader.parse(Limits::default()).unwrap();
        assert!(reader.value(&root).parse_list::<u8>().is_none());
        assert!(reader.is_full() && reader.has_errors());
        let all = reader.into_diagnostics();
        assert_eq!(all.len(), MAX_DIAGNOSTICS + 1);
        assert_eq!(all[50].to_string(), "n.yaml: error: 950 more are not shown; correct these first");
    }

    #[test]
    fn warnings_are_not_errors() {
        let source = Source::new("n.yaml", "a: 1");
        let reader = Reader::new(&source);
        reader.warn(Span::point(1, 1), "m", "h");
        assert!(!reader.has_errors());
        assert_eq!(reader.into_diagnostics()[0].severity, Severity::Warning);
    }
}
