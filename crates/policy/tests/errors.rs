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

#[test]
fn switches_without_connection_tracking_are_warned_of() {
    let text = "groups: { a: { members: [user:x] } }\npermits:\n  - { id: ping, from: a, to: a, services: icmp/echo }\n  \
                - { id: web, from: a, to: a, services: tcp/80 }\n  - { id: all, from: a, to: a, services: any }\n  \
                - { id: tcp, from: a, to: a, services: tcp/1-65535 }\n";
    let source = Source::new("policy.yaml", text);
    let warned = |plain: &[&str]| -> Vec<(u32, String)> {
        let mut checked = check(&source);
        let plain: Vec<_> = plain.iter().map(|n| n.parse().unwrap()).collect();
        checked.warn_of_plain_switches(&source, &plain);
        assert!(checked.policy.is_some());
        checked.diagnostics.iter().map(|d| (d.span.line, d.to_string())).collect()
    };
    assert!(warned(&[]).is_empty());
    let said = warned(&["sw1", "sw2"]);
    let (lines, texts): (Vec<u32>, Vec<String>) = said.into_iter().unzip();
    assert_eq!(lines, [4, 5, 6], "once in general, then each permit without ports: {texts:#?}");
    assert!(texts[0].contains("without connection tracking (sw1, sw2)"), "{}", texts[0]);
    assert!(
        texts[1].contains("permit `all` names no ports: on sw1, sw2 it is open in both directions"),
        "{}",
        texts[1]
    );
}

#[test]
fn too_many_permits_on_trial_are_refused() {
    let policy = |count: usize| {
        let mut text = String::from("groups: { a: { members: [user:x] } }\npermits:\n");
        (0..count).for_each(|n| text += &format!("  - {{ id: p{n}, from: a, to: a, services: any, mode: observe }}\n"));
        check(&Source::new("policy.yaml", text))
    };
    assert!(policy(900).policy.is_some());
    let refused = policy(901);
    assert!(refused.policy.is_none());
    let said = refused.diagnostics[0].to_string();
    assert!(said.contains("permit `p900` is one too many on trial; at most 900 may have `mode: observe`"), "{said}");
}
