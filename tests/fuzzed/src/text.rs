//! Files that operators write.

use fseg_policy::check;
use fseg_yaml::{Limits, MAX_DIAGNOSTICS, Source, parse};

/// YAML: a tree, or one refusal with its place.
pub fn yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let source = Source::new("fuzzed.yaml", text);
    if let Err(diagnostic) = parse(&source, Limits::default()) {
        assert!(!diagnostic.to_string().is_empty());
    }
}

/// A policy: either errors with places, not too many, or a policy.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let checked = check(&Source::new("fuzzed.yaml", text));
    assert!(checked.diagnostics.len() <= MAX_DIAGNOSTICS + 1);
    assert_eq!(checked.policy.is_none(), checked.diagnostics.iter().any(|diagnostic| diagnostic.is_error()));
    checked.diagnostics.iter().for_each(|diagnostic| assert!(!diagnostic.to_string().is_empty()));
}
