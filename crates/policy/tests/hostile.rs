//! Hostile files: no panic, no policy out of nonsense, messages that can be shown.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "each test file uses a part of it")]
mod common;

use common::{NOW, checked, repository};
use fseg_yaml::{MAX_DIAGNOSTICS, Source};
use proptest::prelude::*;

fn survive(text: &str) {
    let result = checked(text);
    assert!(result.diagnostics.len() <= MAX_DIAGNOSTICS + 1);
    for diagnostic in &result.diagnostics {
        assert!(!diagnostic.message.is_empty());
        assert!(!diagnostic.to_string().chars().any(|c| c.is_control() && c != '\n'));
    }
    let errors = result.diagnostics.iter().any(|d| d.is_error());
    assert_eq!(result.policy.is_none(), errors, "{text}");
    if let Some(policy) = result.policy {
        policy.run_tests(NOW);
        // What came out keeps its promises.
        for permit in &policy.permits {
            assert!(!permit.from.is_empty() && !permit.to.is_empty() && !permit.terms.is_empty());
            let known = |n| policy.groups.contains_key(n) || policy.externals.contains_key(n);
            assert!(permit.from.iter().chain(&permit.to).all(known));
        }
    }
}

fn hospital() -> String {
    std::fs::read_to_string(repository("policies/hospital.yaml")).unwrap()
}

#[test]
fn every_beginning_of_a_policy_is_survived() {
    let text = hospital();
    // Every cut of the whole file would repeat its long beginning thousands of times.
    for (at, _) in text.char_indices().filter(|(at, _)| at % 7 == 0 || *at < 1000) {
        survive(&text[..at]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn changed_policies_are_survived(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
    ) {
        let mut bytes = hospital().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, b"\n\t :[]{},-#&*!|>'\"%@"[usize::from(byte) % 20]),
                _ => drop(bytes.drain(at..(at + usize::from(byte % 16)).min(bytes.len()))),
            }
        }
        if let Ok(source) = Source::from_bytes("policy.yaml", bytes) {
            survive(&source.text);
        }
    }

    #[test]
    fn any_values_in_the_right_places_are_survived(
        words in proptest::collection::vec("[a-c]|user:a|group:[abc]|\"[ -~]{0,6}\"|tcp/[0-9]{1,5}|[0-9.]{1,8}/[0-9]{1,2}|\\[\\]|\\{\\}|~|any", 12),
    ) {
        let w = |n: usize| words[n].as_str();
        survive(&format!(
            "groups:\n  a: {{ members: [{}, {}] }}\n  b: {{ members: {} }}\nservices:\n  c: [{}]\nexternals:\n  x: {{ cidr: [{}] }}\n\
             permits:\n  - {{ id: {}, from: {}, to: [{}], services: [{}], expires: {} }}\ntests:\n  - {{ from: {}, to: {}, service: tcp/1, expect: deny }}\n",
            w(0), w(1), w(2), w(3), w(4), w(5), w(6), w(7), w(8), w(9), w(10), w(11)
        ));
    }
}
