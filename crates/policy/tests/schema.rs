//! The JSON Schema for editors says the same as the parser.
//!
//! JSON is YAML, so the project's own parser reads the schema. The validator below knows only the keywords that the
//! schema uses, and fails at any other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{checked, repository};
use fseg_yaml::{Kind, Limits, Node, Source, parse};

fn load(path: &str) -> Node {
    let text = std::fs::read_to_string(repository(path)).unwrap();
    parse(&Source::new(path, text), Limits::default()).unwrap()
}

fn text(node: &Node) -> &str {
    match &node.value {
        Kind::Scalar { text, .. } => text,
        other => panic!("{other:?} is no text"),
    }
}

fn list(node: &Node) -> &[Node] {
    match &node.value {
        Kind::List(items) => items,
        other => panic!("{other:?} is no list"),
    }
}

fn entries(node: &Node) -> &[(fseg_yaml::Key, Node)] {
    match &node.value {
        Kind::Map(entries) => entries,
        other => panic!("{other:?} is no mapping"),
    }
}

struct Schema(Node);

impl Schema {
    fn resolve(&self, reference: &str) -> &Node {
        let path = reference.strip_prefix("#/").unwrap().split('/');
        path.fold(&self.0, |node, step| node.get(step).unwrap_or_else(|| panic!("{reference} does not exist")))
    }

    /// Structural validation: everything but patterns and lengths of text.
    fn validate(&self, schema: &Node, value: &Node) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}:{}: {what}", value.span.line, value.span.column));
        for (keyword, rule) in entries(schema) {
            match keyword.text.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" | "pattern" => {}
                "propertyNames" | "maxLength" => {}
                "$ref" => self.validate(self.resolve(text(rule)), value)?,
                "minLength" => assert_eq!(text(rule), "1"),
                "type" => {
                    let wanted = match &rule.value {
                        Kind::List(items) => items.iter().map(text).collect(),
                        _ => vec![text(rule)],
                    };
                    let is = match value.value {
                        Kind::Null => "null",
                        Kind::Scalar { .. } => "string",
                        Kind::List(_) => "array",
                        Kind::Map(_) => "object",
                    };
                    if !wanted.contains(&is) {
                        return wrong(&format!("{is} instead of {wanted:?}"));
                    }
                }
                "enum" => {
                    if !list(rule).iter().any(|allowed| text(allowed) == text(value)) {
                        return wrong("not one of the allowed words");
                    }
                }
                "oneOf" => {
                    if list(rule).iter().filter(|s| self.validate(s, value).is_ok()).count() != 1 {
                        return wrong("not exactly one alternative");
                    }
                }
                "required" => {
                    if let Some(key) = list(rule).iter().find(|key| value.get(text(key)).is_none()) {
                        return wrong(&format!("{} is missing", text(key)));
                    }
                }
                "properties" if matches!(value.value, Kind::Map(_)) => {
                    for (key, inner) in entries(rule) {
                        value.get(&key.text).map_or(Ok(()), |v| self.validate(inner, v))?;
                    }
                }
                "additionalProperties" if matches!(value.value, Kind::Map(_)) => {
                    let known = schema.get("properties").map(entries).unwrap_or_default();
                    for (key, inner) in
                        entries(value).iter().filter(|(k, _)| known.iter().all(|(p, _)| p.text != k.text))
                    {
                        match &rule.value {
                            Kind::Scalar { text, .. } if text == "false" => {
                                return wrong(&format!("unknown key {}", key.text));
                            }
                            _ => self.validate(rule, inner)?,
                        }
                    }
                }
                "items" => {
                    if let Kind::List(items) = &value.value {
                        items.iter().try_for_each(|item| self.validate(rule, item))?;
                    }
                }
                "minItems" => {
                    if matches!(&value.value, Kind::List(items) if items.is_empty()) {
                        return wrong("an empty list");
                    }
                }
                "minProperties" => {
                    if matches!(&value.value, Kind::Map(entries) if entries.is_empty()) {
                        return wrong("an empty mapping");
                    }
                }
                "properties" | "additionalProperties" => {}
                other => panic!("the validator does not know {other}"),
            }
        }
        Ok(())
    }
}

fn schema() -> Schema {
    Schema(load("schema/policy.schema.json"))
}

/// What the parser itself says it knows: the advice at an unknown key lists the known ones.
fn accepted_keys(policy: &str) -> BTreeSet<String> {
    let result = checked(policy);
    let help = result.diagnostics.iter().find(|d| d.message.contains("`@@@@`")).unwrap().help.clone().unwrap();
    help.strip_prefix("known keys: ").unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_has_the_keys_that_the_parser_accepts() {
    let schema = schema();
    let places = BTreeMap::from([
        ("#/", "\"@@@@\": 1\n"),
        ("#/$defs/group", "groups: { g: { \"@@@@\": 1, members: [] } }\n"),
        ("#/$defs/external", "externals: { x: { \"@@@@\": 1, cidr: [] } }\n"),
        ("#/$defs/permit", "permits: [{ \"@@@@\": 1 }]\n"),
        ("#/$defs/test", "tests: [{ \"@@@@\": 1 }]\n"),
    ]);
    for (place, policy) in places {
        let node = if place == "#/" { &schema.0 } else { schema.resolve(place) };
        let keys: BTreeSet<String> =
            entries(node.get("properties").unwrap()).iter().map(|(k, _)| k.text.clone()).collect();
        assert_eq!(keys, accepted_keys(policy), "{place}");
        assert_eq!(text(node.get("additionalProperties").unwrap()), "false", "{place}");
        // What the parser calls missing is what the schema requires.
        let missing: BTreeSet<String> = checked(&policy.replace(", members: []", ""))
            .diagnostics
            .iter()
            .filter_map(|d| d.message.strip_prefix("the key `")?.strip_suffix("` is missing").map(str::to_owned))
            .collect();
        let required = node.get("required").map(list).unwrap_or_default();
        assert_eq!(missing, required.iter().map(|r| text(r).to_owned()).collect(), "{place}");
    }
}

#[test]
fn every_example_fits_the_schema() {
    let schema = schema();
    let mut seen = 0;
    for entry in std::fs::read_dir(repository("policies")).unwrap() {
        let path = entry.unwrap().path();
        let value = load(&format!("policies/{}", path.file_name().unwrap().to_str().unwrap()));
        assert_eq!(schema.validate(&schema.0, &value), Ok(()), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    let schema = schema();
    for bad in [
        "- a",
        "colour: red",
        "groups: [a]",
        "groups: { g: { } }",
        "groups: { g: { members: user:x } }",
        "groups: { g: { members: [], x: 1 } }",
        "services: { s: [] }",
        "services: { s: { port: 1 } }",
        "externals: { x: {} }",
        "externals: { x: { cidr: } }",
        "permits: [{ id: p, from: a, to: b }]",
        "permits: [{ id: p, from: [], to: b, services: any }]",
        "permits: [{ id: p, from: a, to: b, services: any, owner: [x] }]",
        "tests: [{ from: user:a, to: user:b, service: any, expect: perhaps }]",
    ] {
        let value = parse(&Source::new("t", bad), Limits::default()).unwrap();
        assert!(schema.validate(&schema.0, &value).is_err(), "the schema accepts {bad}");
        assert!(checked(bad).policy.is_none(), "the parser accepts {bad}");
    }
}
