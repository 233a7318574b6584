//! Pages whose YAML blocks are checked.

use std::path::PathBuf;

use fseg_model::Wall;
use fseg_policy::{Checked, check_at};
use fseg_yaml::Source;

/// 2026-11-20T00:00:00Z: the time at which pages and examples are checked.
pub(crate) const NOW: Wall = Wall(1_795_132_800_000);

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub(crate) fn checked(text: &str) -> Checked {
    check_at(&Source::new("policy.yaml", text), NOW)
}

/// What `fseg check` prints of a policy: diagnostics, then tests that fail.
pub(crate) fn printed(text: &str) -> String {
    let checked = checked(text);
    let mut out: String = checked.diagnostics.iter().map(|d| format!("{d}\n")).collect();
    for outcome in checked.policy.iter().flat_map(|p| p.run_tests(NOW)).filter(|o| !o.passed) {
        out += &format!("{outcome}\n");
    }
    out
}

/// Compares every YAML block of a page with the text block behind it, which is exactly what is printed; without a text
/// block, nothing is. With `UPDATE=1` in the environment the page is rewritten instead. Gives back the YAML blocks.
pub(crate) fn check_page(path: PathBuf) -> Vec<String> {
    let page = std::fs::read_to_string(&path).unwrap();
    let (mut rest, mut fresh, mut blocks) = (page.as_str(), String::new(), Vec::new());
    while let Some((before, after)) = rest.split_once("```yaml\n") {
        let (input, after) = after.split_once("```\n").unwrap();
        fresh += &format!("{before}```yaml\n{input}```\n");
        let output = printed(input);
        rest = match after.trim_start_matches('\n').strip_prefix("```text\n") {
            Some(text) => text.split_once("```\n").unwrap().1,
            None => after,
        };
        if !output.is_empty() {
            fresh += &format!("```text\n{output}```\n");
        }
        blocks.push(input.to_owned());
    }
    fresh += rest;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
    } else {
        assert_eq!(fresh, page, "{} does not say what is printed", path.display());
    }
    blocks
}
