//! The workspace as it is, and with faults put in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::sync::OnceLock;

use cargo_metadata::{Metadata, MetadataCommand};
use fseg_layering::plan::{Kind, Plan};
use fseg_layering::{graph, plan, source};
use serde_json::{Value, json};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn planned() -> Plan {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    plan::read(&page).unwrap_or_else(|e| panic!("docs/architecture.md: {e}"))
}

/// What `cargo metadata` prints. For one platform only: nothing is downloaded that the build did not need.
fn printed() -> Value {
    static PRINTED: OnceLock<Value> = OnceLock::new();
    let ask = || {
        let mut command = MetadataCommand::new();
        command.manifest_path(root().join("Cargo.toml"));
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        command.other_options(["--locked", "--filter-platform", &platform].map(String::from).to_vec());
        let out = command.cargo_command().output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    };
    PRINTED.get_or_init(ask).clone()
}

fn metadata(value: Value) -> Metadata {
    serde_json::from_value(value).unwrap()
}

#[test]
fn every_crate_keeps_to_its_layer() {
    let violations = graph::violations(&metadata(printed()), &planned());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn pure_crates_touch_nothing() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for package in metadata(printed()).workspace_packages() {
        let name = package.name.trim_start_matches("fseg-").to_owned();
        if planned().get(&name).is_some_and(|c| c.kind == Kind::Pure) {
            let folder = package.manifest_path.with_file_name("src");
            let found = source::scan_folder(folder.as_std_path()).unwrap();
            wrong.extend(found.into_iter().map(|f| format!("{name}/src/{f}")));
            seen += 1;
        }
    }
    assert!(seen >= 9, "only {seen} pure crates were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_takes_the_lints() {
    for package in metadata(printed()).workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(graph::takes_lints(&manifest), "{}: add `[lints]` with `workspace = true`", package.manifest_path);
    }
}

/// The entry of one package in a part of what Cargo printed.
fn entry<'a>(list: &'a mut Value, key: &str, id: &str) -> &'a mut Value {
    list.as_array_mut().unwrap().iter_mut().find(|v| v[key] == id).unwrap()
}

fn id_of(value: &Value, name: &str) -> String {
    let found = value["packages"].as_array().unwrap().iter().find(|p| p["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is no package"))["id"].as_str().unwrap().to_owned()
}

/// Adds a dependency that is not there, as Cargo would print it.
fn depend(value: &mut Value, from: &str, to: &str, kind: Value) {
    let (from_id, to_id) = (id_of(value, from), id_of(value, to));
    let declared = json!({
        "name": to, "source": null, "req": "*", "kind": kind, "rename": null, "optional": false,
        "uses_default_features": true, "features": [], "target": null, "registry": null,
    });
    entry(&mut value["packages"], "id", &from_id)["dependencies"].as_array_mut().unwrap().push(declared);
    let linked = json!({ "name": to.replace('-', "_"), "pkg": to_id, "dep_kinds": [{ "kind": kind, "target": null }] });
    entry(&mut value["resolve"]["nodes"], "id", &from_id)["deps"].as_array_mut().unwrap().push(linked);
}

fn complaints(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut value = printed();
    change(&mut value);
    graph::violations(&metadata(value), &planned())
}

#[test]
fn a_forbidden_arrow_is_found() {
    let found = complaints(|v| depend(v, "fseg-policy", "fseg-openflow", Value::Null));
    assert_eq!(found, ["policy: it uses fseg-openflow, which its layer may not"]);
    let found = complaints(|v| depend(v, "fseg-openflow", "fseg-model", json!("build")));
    assert_eq!(found, ["openflow: it uses fseg-model, which its layer may not"]);
}

#[test]
fn a_runtime_in_a_pure_crate_is_found_also_behind_another() {
    let found = complaints(|v| depend(v, "fseg-wire", "tokio", Value::Null));
    for expected in
        ["wire: it is pure, but tokio is linked into it", "address: it is pure, but tokio is linked into it"]
    {
        assert!(found.iter().any(|f| f == expected), "{found:?}");
    }
    assert!(!found.iter().any(|f| f.starts_with("openflow")), "{found:?}");
    let found = complaints(|v| depend(v, "fseg-model", "getrandom", Value::Null));
    assert_eq!(found, ["model: it is pure, but depends on getrandom"]);
}

#[test]
fn tests_of_pure_crates_use_no_shell() {
    let found = complaints(|v| depend(v, "fseg-control", "fseg-store", json!("dev")));
    assert_eq!(found, ["control: its tests use the shell fseg-store"]);
    let none = complaints(|v| depend(v, "fseg-address", "fseg-test-kit", json!("dev")));
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn a_crate_without_a_row_or_license_is_found() {
    let mut plan = planned();
    plan.remove("yaml");
    let found = graph::violations(&metadata(printed()), &plan);
    assert!(found.contains(&"yaml: it has no row in the table of docs/architecture.md".to_owned()), "{found:?}");
    let found = complaints(|v| {
        let id = id_of(v, "fseg-model");
        entry(&mut v["packages"], "id", &id)["license"] = json!("GPL-2.0-only");
    });
    assert!(found.iter().any(|f| f.starts_with("model: its license is")), "{found:?}");
}
