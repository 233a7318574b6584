//! `node.yaml`: the reader, its schema, its reference page and its examples say the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use fseg_documents::page::{repository, tables};
use fseg_documents::schema::{Schema, properties};
use fseg_node::config::NodeConfig;
use fseg_yaml::{Diagnostic, Limits, Node, Source, parse};

const NETWORK: &str = "network: { prefix: 10.0.0.0/8, router: 10.0.0.1, pools: [] }";
const NODE: &str = "{ name: node, role: node, dpid: 1, ports: [] }";

/// Each mapping of the file: the schema's part, the reference page's heading, and a file in which it has one key, which
/// nobody knows.
fn places() -> [(&'static str, &'static str, String); 11] {
    let file = |rest: &str| format!("site: tokyo\n{rest}\n");
    let full = |rest: &str| file(&format!("{NETWORK}\nswitches: [{NODE}]\n{rest}"));
    let switch =
        |ports: &str| file(&format!("{NETWORK}\nswitches: [{NODE}, {{ name: s, dpid: 2, ports: [{ports}] }}]"));
    [
        ("#", "The file", "\"@@@@\": 1\n".into()),
        ("#/$defs/listener", "`openflow`", full("openflow: { \"@@@@\": 1 }")),
        ("#/$defs/api", "`api`", full("api: { \"@@@@\": 1 }")),
        ("#/$defs/portal", "`portal`", full("portal: { \"@@@@\": 1 }")),
        ("#/$defs/network", "`network`", file(&format!("network: {{ \"@@@@\": 1 }}\nswitches: [{NODE}]"))),
        (
            "#/$defs/pool",
            "`pools`",
            file(&format!("{}\nswitches: [{NODE}]", NETWORK.replace("[]", "[{ \"@@@@\": 1 }]"))),
        ),
        ("#/$defs/admission", "`admission`", full("admission: { \"@@@@\": 1 }")),
        ("#/$defs/location", "`locations`", full("locations: [{ \"@@@@\": 1 }]")),
        ("#/$defs/switch", "`switches`", file(&format!("{NETWORK}\nswitches: [{NODE}, {{ \"@@@@\": 1 }}]"))),
        ("#/$defs/plain-port", "`ports`", switch("{ \"@@@@\": 1 }")),
        ("#/$defs/legacy-port", "Ports of kind `legacy`", switch("{ kind: legacy, \"@@@@\": 1 }")),
    ]
}

fn complaints(text: &str) -> Vec<Diagnostic> {
    NodeConfig::parse(&Source::new("node.yaml", text)).err().unwrap_or_default()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn schema() -> Schema {
    Schema::read(&read("schema/node.schema.json")).unwrap()
}

fn yaml(text: &str) -> Node {
    parse(&Source::new("node.yaml", text), Limits::default()).unwrap_or_else(|d| panic!("{d:?}"))
}

/// The keys that the reader knows at the place of the unknown one.
fn known(text: &str) -> BTreeSet<String> {
    let all = complaints(text);
    let help = all.iter().find(|d| d.message.contains("`@@@@`")).and_then(|d| d.help.clone());
    let help = help.unwrap_or_else(|| panic!("nobody minds the unknown key in\n{text}"));
    help.strip_prefix("known keys: ").unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_has_the_keys_that_the_reader_accepts() {
    let schema = schema();
    for (part, _, text) in places() {
        let object = schema.part(part).and_then(|v| v.as_object()).unwrap_or_else(|| panic!("{part} is not there"));
        let keys: BTreeSet<String> = properties(object).keys().cloned().collect();
        assert_eq!(keys, known(&text), "{part}");
        assert_eq!(object["additionalProperties"], false, "{part}");
    }
}

#[test]
fn the_schema_requires_what_the_reader_misses() {
    let schema = schema();
    for (part, _, text) in places() {
        let missing: BTreeSet<String> = complaints(&text)
            .iter()
            .filter_map(|d| d.message.strip_prefix("the key `")?.strip_suffix("` is missing").map(str::to_owned))
            .collect();
        let required_by = |part: &str| -> BTreeSet<String> {
            let list = schema.part(part).and_then(|v| v["required"].as_array().cloned()).unwrap_or_default();
            list.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let mut required = required_by(part);
        if part.ends_with("-port") {
            required.extend(required_by("#/$defs/port"));
        }
        assert_eq!(required, missing, "{part}");
    }
}

#[test]
fn the_reference_page_has_the_same_keys() {
    let tables = tables(&read("docs/guide/node.md"));
    let mut earlier = BTreeMap::new();
    for (part, heading, text) in places() {
        let rows = tables.get(heading).unwrap_or_else(|| panic!("docs/guide/node.md has no table below {heading}"));
        let told = rows.iter().filter_map(|r| r.first()?.strip_prefix('`')?.strip_suffix('`').map(str::to_owned));
        let told: BTreeSet<String> = told.collect();
        let mut expected = known(&text);
        earlier.insert(part, expected.clone());
        if let ("#/$defs/legacy-port", Some(plain)) = (part, earlier.get("#/$defs/plain-port")) {
            expected.retain(|k| !plain.contains(k)); // these are told with the other ports
        }
        assert_eq!(told, expected, "{heading}");
    }
}

#[test]
fn the_examples_are_right() {
    let schema = schema();
    for path in ["docs/examples/node.yaml", "crates/scenes/src/office/node.yaml"] {
        let text = read(path);
        let shown: Vec<String> = complaints(&text).iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{path}:\n{}", shown.join("\n"));
        assert_eq!(schema.check(&yaml(&text)), Ok(()), "{path}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let good = read("docs/examples/node.yaml");
    let schema = schema();
    for (from, to) in [
        ("site: tokyo\n", "site:\n"),
        ("site: tokyo\n", "sites: tokyo\n"),
        ("role: node", "role: nodes"),
        ("mode: nat", "mode: masquerade"),
        ("mode: nat,", ""),
        ("kind: shared", "kind: legacy"),
        ("kind: shared", "kind: trunk"),
        ("kind: shared", "kind: shared, mode: nat"),
        ("number: 24", "number: 0"),
        ("number: 24", "number: \"24\""),
        ("number: 24", "number: 65280"),
        ("number: 24, ", ""),
        ("strangers-per-port: 16", "strangers-per-port: 0"),
        ("lease: 12h", "lease:"),
        ("openflow: [\"192.0.2.1:6653\"]", "openflow: \"192.0.2.1:6653\""),
        ("  router: 10.0.0.1", "  gateway: 10.0.0.1"),
        ("lockout-attempts: 5", "lockout-attempts: 5000"),
    ] {
        assert!(good.contains(from), "the example has no {from}");
        let bad = good.replacen(from, to, 1);
        assert!(!complaints(&bad).is_empty(), "the reader accepts {to}");
        assert!(schema.check(&yaml(&bad)).is_err(), "the schema accepts {to}");
    }
}
