//! The exact words of every refusal, from `refusals.md`, and hostile input.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use fseg_yaml::{Diagnostic, Kind, Limits, Node, Reader, Source, parse};
use proptest::prelude::*;

/// Runs every YAML block of a page through `answer` and compares with the text block behind it. With `UPDATE=1` in the
/// environment the page is rewritten instead.
fn check_page(path: &str, answer: impl Fn(&str) -> String) {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(&path).unwrap();
    let (mut rest, mut fresh, mut cases) = (page.as_str(), String::new(), 0);
    while let Some((before, after)) = rest.split_once("```yaml\n") {
        let (input, after) = after.split_once("```\n").unwrap();
        let (_, after) = after.strip_prefix("```text\n").unwrap().split_once("```\n").unwrap();
        fresh += &format!("{before}```yaml\n{input}```\n```text\n{}```\n", answer(input));
        rest = after;
        cases += 1;
    }
    fresh += rest;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
        return;
    }
    assert!(cases > 15, "only {cases} cases were found");
    assert_eq!(fresh, page);
}

#[test]
fn every_refusal_says_what_and_where() {
    check_page("tests/refusals.md", |input| {
        format!("{}\n", parse(&Source::new("t.yaml", input), Limits::default()).unwrap_err())
    });
}

/// A text with a bit of everything.
const SAMPLE: &str = "# comment\na: [x, 'y', \"z\\n\"]\nb:\n  - { c: 1, d: ~ }\n  - e: |\n      text\n    f: >-\n      more\n? g\n: h\n営業: 42\n";

/// Everything a diagnostic shows can be shown, and points into the text.
fn presentable(diagnostic: &Diagnostic) {
    let shown = diagnostic.to_string();
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    assert!(diagnostic.line_text.chars().count() <= 162);
}

/// Children lie within their parents, and every span is in order.
fn well_formed(node: &Node) {
    let start = (node.span.line, node.span.column);
    assert!(start <= (node.span.end_line, node.span.end_column), "{node:?}");
    match &node.value {
        Kind::Null | Kind::Scalar { .. } => {}
        Kind::List(items) => items.iter().for_each(|item| {
            assert!(start <= (item.span.line, item.span.column), "{node:?}");
            well_formed(item);
        }),
        Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
            assert!(start <= (key.span.line, key.span.column), "{node:?}");
            well_formed(value);
        }),
    }
}

fn survive(text: &str) {
    let source = Source::new("t.yaml", text);
    match parse(&source, Limits::default()) {
        Ok(node) => {
            well_formed(&node);
            let reader = Reader::new(&source);
            let value = reader.value(&node);
            let _ = (value.as_bool(), value.as_u64(), value.as_duration(), value.as_list(), value.as_str());
            if let Some(mut map) = value.as_map() {
                let _ = map.required("a");
                map.finish();
            }
            reader.into_diagnostics().iter().for_each(presentable);
        }
        Err(diagnostic) => presentable(&diagnostic),
    }
}

#[test]
fn the_sample_is_accepted_and_its_beginnings_are_survived() {
    assert!(parse(&Source::new("t", SAMPLE), Limits::default()).is_ok());
    for (at, _) in SAMPLE.char_indices() {
        survive(&SAMPLE[..at]);
    }
}

#[test]
fn flipped_bits_are_survived() {
    for at in 0..SAMPLE.len() {
        for bit in 0..8 {
            let mut bytes = SAMPLE.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            match Source::from_bytes("t.yaml", bytes) {
                Ok(source) => survive(&source.text),
                Err(diagnostic) => presentable(&diagnostic),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn any_mix_of_indicators_is_survived(text in r#"[-?:,\[\]{}#&*!|>'"%@` \t\r\nab~\.0\u{feff}\u{3042}]{0,60}"#) {
        survive(&text);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        match Source::from_bytes("t.yaml", bytes) {
            Ok(source) => survive(&source.text),
            Err(diagnostic) => presentable(&diagnostic),
        }
    }
}
