//! The pages: links lead somewhere, tables agree with the code, no requirement is forgotten.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use fseg_documents::page::{links, pages, repository, tables, target};
use fseg_pipeline::table::{Miss, PIPELINE};
use fseg_policy::check_at;
use fseg_yaml::Source;

#[test]
fn links_lead_to_files() {
    let (mut seen, mut dead) = (0, Vec::new());
    for page in pages().unwrap() {
        for link in links(&std::fs::read_to_string(&page).unwrap()) {
            seen += 1;
            if !target(&page, &link).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(seen > 20, "only {seen} links were found");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_page_of_the_guide_is_in_its_index() {
    let index = std::fs::read_to_string(repository("docs/guide/README.md")).unwrap();
    let told: BTreeSet<String> = links(&index).into_iter().collect();
    for page in pages().unwrap().iter().filter(|p| p.parent().is_some_and(|d| d.ends_with("guide"))) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || told.contains(name), "docs/guide/README.md does not name {name}");
    }
}

#[test]
fn every_decision_is_in_the_index() {
    let index = std::fs::read_to_string(repository("docs/decisions/README.md")).unwrap();
    let told: BTreeSet<String> = links(&index).into_iter().collect();
    for page in pages().unwrap().iter().filter(|p| p.parent().is_some_and(|d| d.ends_with("decisions"))) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || told.contains(name), "docs/decisions/README.md does not name {name}");
    }
}

#[test]
fn the_tables_of_the_pipeline_are_told_as_they_are() {
    let page = std::fs::read_to_string(repository("docs/pipeline.md")).unwrap();
    let told: Vec<Vec<String>> = tables(&page)["Tables"].iter().skip(1).cloned().collect();
    let real: Vec<Vec<String>> = PIPELINE
        .iter()
        .map(|d| {
            let miss = match d.miss {
                Miss::Drop => "drop".to_owned(),
                Miss::DropLogged => "drop, shown to the node".to_owned(),
                Miss::Goto(t) => format!("`{t}`"),
                Miss::Leave => "leaves".to_owned(),
            };
            let next: Vec<String> = d.next.iter().map(|t| format!("`{t}`")).collect();
            let next = if next.is_empty() { "–".to_owned() } else { next.join(", ") };
            vec![d.table.number().to_string(), format!("`{}`", d.table), d.question.to_owned(), next, miss]
        })
        .collect();
    assert_eq!(told, real);
}

#[test]
fn every_requirement_has_a_state() {
    let page = std::fs::read_to_string(repository("docs/rows.md")).unwrap();
    let mut states = Vec::new();
    for row in tables(&page).values().flatten() {
        let [id, _, state, _] = row.as_slice() else { continue };
        if id != "row" {
            assert!(["done", "partly", "being shown", "open"].contains(&state.as_str()), "{id}: {state}");
            states.push(id.clone());
        }
    }
    let expected: Vec<String> = [('F', 17), ('R', 5), ('V', 10), ('A', 8), ('T', 11)]
        .into_iter()
        .flat_map(|(letter, n)| (1..=n).map(move |i| format!("{letter}{i}")))
        .collect();
    let told: BTreeSet<&String> = states.iter().collect();
    assert_eq!(told.len(), states.len(), "a row is there twice");
    assert_eq!(told, expected.iter().collect(), "rows.md and the requirements differ");
}

/// The guide's chapter on policy is checked where the policy language is.
#[test]
fn the_policy_of_the_readme_is_right() {
    let page = std::fs::read_to_string(repository("README.md")).unwrap();
    let text = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let checked = check_at(&Source::new("README.md", text), fseg_model::Wall(0));
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
    let policy = checked.policy.unwrap();
    let outcomes = policy.run_tests(fseg_model::Wall(0));
    assert!(!outcomes.is_empty(), "it shows no tests");
    for outcome in outcomes {
        assert!(outcome.passed, "{outcome}");
    }
}
