//! The example policies and the guide's chapter: nothing to complain about, all tests pass.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod common;

use common::{NOW, check_page, checked, printed, repository};
use fseg_model::{Flow, Wall};
use fseg_policy::{Expect, Party};

#[test]
fn every_example_is_without_fault() {
    let mut seen = 0;
    for entry in std::fs::read_dir(repository("policies")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(printed(&text), "", "{}", path.display());
        let policy = checked(&text).policy.unwrap();
        let expected = |e| policy.tests.iter().filter(move |t| t.expect == e).count();
        assert!(expected(Expect::Permit) > 0 && expected(Expect::Deny) > 0, "{} tests one side only", path.display());
        seen += 1;
    }
    assert!(seen >= 3, "only {seen} examples");
}

fn example(name: &str) -> fseg_policy::Policy {
    let path = repository("policies").join(name);
    checked(&std::fs::read_to_string(path).unwrap()).policy.unwrap()
}

#[test]
fn the_hospitals_maintenance_ends_at_its_hour() {
    let policy = example("hospital.yaml");
    let decide = |now| {
        let maker = policy.members_of(&Party::Address("198.51.100.17".parse().unwrap()));
        let scanner = policy.members_of(&"device:ct-1".parse().unwrap());
        policy.decide(&maker, &scanner, Flow::tcp(443), now)
    };
    // 2026-12-31T09:00:00Z, the same as 18:00 in Japan.
    let end = Wall(1_798_707_600_000);
    assert_eq!(decide(Wall(end.0 - 1)).to_string(), "permitted by `maker-scanners`");
    assert_eq!(decide(end).to_string(), "denied: it was permitted by `maker-scanners`, which has expired");
}

#[test]
fn the_town_halls_nested_service_is_merged() {
    let policy = example("town-hall.yaml");
    let office = &policy.services[&"office".parse().unwrap()];
    let terms: Vec<String> = office.terms.iter().map(ToString::to_string).collect();
    assert_eq!(terms, ["tcp/80", "tcp/443", "tcp/445", "tcp/587", "tcp/993"]);
    assert_eq!(office.lists.len(), 2);
}

#[test]
fn the_factorys_nested_groups_reach_all_their_members() {
    let policy = example("factory.yaml");
    let groups = policy.members_of(&"device:plc-2a".parse().unwrap());
    let groups: Vec<&str> = groups.iter().map(|g| g.as_str()).collect();
    assert_eq!(groups, ["controllers", "plc-line-2", "shop-floor"]);
    assert!(policy.tests.iter().all(|test| policy.run_tests(NOW).iter().any(|o| o.test == test && o.passed)));
}

#[test]
fn differences_are_named() {
    let old = example("factory.yaml");
    let text = std::fs::read_to_string(repository("policies/factory.yaml")).unwrap();
    let newer = text
        .replace("modbus:       [tcp/502]", "modbus:       [tcp/502, tcp/802]")
        .replace("role:planning]", "role:planning, user:sato]")
        .replace("198.51.100.64/29, ", "")
        .replace("  - { id: planning,", "  - { id: planning-web,")
        .replace("# Inside line 1.", "# Line numbers change, nothing else does.\n");
    let newer = checked(&newer).policy.unwrap();
    assert!(old.diff(&old.clone()).is_empty());
    assert_eq!(
        old.diff(&newer).to_string(),
        "~ group planners\n~ service modbus\n~ external drive-maker\n- permit planning\n\
         ~ permit historian-reads\n~ permit panel2-plc\n~ permit plc2-plc2\n+ permit planning-web\n"
    );
}

#[test]
fn the_guide_shows_what_really_happens() {
    let blocks = check_page(repository("docs/guide/policy.md"));
    assert!(blocks.len() >= 10, "only {} examples were found", blocks.len());
}
