//! The exact words of every error and warning, and how diagnostics behave together.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod common;

use common::{check_page, checked, repository};
use fseg_policy::check;
use fseg_yaml::Source;

#[test]
fn every_error_says_what_where_and_what_to_do() {
    let blocks = check_page(repository("crates/policy/tests/errors.md"));
    assert!(blocks.len() > 50, "only {} cases were found", blocks.len());
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let text = format!("permits: []\n#{}", "x".repeat(8 << 20));
    let result = check(&Source::new("policy.yaml", text));
    assert!(result.policy.is_none());
    assert_eq!(
        result.diagnostics[0].to_string(),
        "policy.yaml: error: the file has 8388621 bytes; at most 8388608 are accepted"
    );
}

#[test]
fn expiry_is_looked_at_only_when_the_time_is_given() {
    let text = "groups: { a: { members: [user:x] } }\npermits:\n  - { id: p, from: a, to: a, services: any, expires: 2020-01-01 }\n";
    assert!(check(&Source::new("policy.yaml", text)).diagnostics.is_empty());
    let warned = checked(text);
    assert!(warned.policy.is_some());
    assert_eq!(warned.diagnostics.len(), 1);
}

#[test]
fn a_flood_of_errors_ends_soon() {
    let mut text = String::from("groups:\n");
    (0..2_000).for_each(|n| text += &format!("  group-{n}: {{ members: [group:grouq-{n}] }}\n"));
    text += "permits:\n";
    (0..2_000).for_each(|n| text += &format!("  - {{ id: p{n}, from: gruop-{n}, to: x, services: [tcp/0] }}\n"));
    let result = checked(&text);
    assert!(result.policy.is_none());
    assert_eq!(result.diagnostics.len(), fseg_yaml::MAX_DIAGNOSTICS + 1);
    assert_eq!(result.diagnostics[50].to_string(), "policy.yaml: error: 5950 more are not shown; correct these first");
}

#[test]
fn services_that_list_each_other_in_a_ladder_do_not_explode() {
    let mut text = String::from("services:\n  s0: [tcp/1]\n");
    (1..5000).for_each(|n| text += &format!("  s{n}: [s{0}, s{0}, tcp/{1}]\n", n - 1, n * 2));
    let result = checked(&text);
    assert!(result.policy.is_none());
    assert!(result.diagnostics[0].message.contains("257 separate port ranges; at most 256 are accepted"));
}

#[test]
fn a_large_policy_is_checked_and_tested() {
    let mut text = String::from("groups:\n");
    for group in 0..1000 {
        let users: Vec<String> = (0..20).map(|n| format!("user:u{}", group * 20 + n)).collect();
        text += &format!("  g{group}: {{ members: [{}, \"location:site/sw{group}/*\"] }}\n", users.join(", "));
    }
    text += "  all: { members: [";
    (0..1000).for_each(|group| text += &format!("group:g{group}, "));
    text += "] }\npermits:\n  - { id: mail, from: all, to: all, services: [tcp/25] }\ntests:\n";
    (0..500).for_each(|n| {
        text += &format!("  - {{ from: user:u{n}, to: location:site/sw{n}/p1, service: tcp/25, expect: permit }}\n")
    });
    text += "  - { from: group:all, to: user:u1, service: tcp/25, expect: permit }\n";
    text += "  - { from: group:all, to: user:u1, service: tcp/26, expect: deny }\n";
    assert_eq!(common::printed(&text), "");
    assert_eq!(checked(&text).policy.unwrap().tests.len(), 502);
}
