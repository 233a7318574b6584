//! The table of crates in `docs/architecture.md`.

use std::collections::{BTreeMap, BTreeSet};

/// What a crate may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No runtime, socket, file, clock or random numbers of its own.
    Pure,
    /// Touches the world.
    Shell,
    /// Helps tests, and is linked into nothing else.
    Test,
}

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crate {
    /// What it is.
    pub kind: Kind,
    /// Which crates of the workspace it may depend on.
    pub may_use: BTreeSet<String>,
}

/// The whole table, by crate name without `fseg-`.
pub type Plan = BTreeMap<String, Crate>;

/// Reads the table below the heading `## Crates`. Its columns are crate, kind, purpose, may use; "everything" stands for
/// all crates but those for tests.
///
/// # Errors
/// Names the line that cannot be read.
pub fn read(page: &str) -> Result<Plan, String> {
    let section = page.split("\n## Crates\n").nth(1).ok_or("there is no heading `## Crates`")?;
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut plan = Plan::new();
    let mut all_of = Vec::new();
    for line in section.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, _, may_use] = cells.as_slice() else {
            return Err(format!("expected four columns: {line}"));
        };
        let name = name.trim_matches('`').to_owned();
        let kind = match *kind {
            "pure" => Kind::Pure,
            "shell" => Kind::Shell,
            "test" => Kind::Test,
            other => return Err(format!("`{other}` is not `pure`, `shell` or `test`: {line}")),
        };
        let mut used = BTreeSet::new();
        match *may_use {
            "–" => {}
            "everything" => all_of.push(name.clone()),
            list => {
                for word in list.split(',').map(str::trim) {
                    used.insert(word.to_owned());
                }
            }
        }
        if plan.insert(name, Crate { kind, may_use: used }).is_some() {
            return Err(format!("the crate has two rows: {line}"));
        }
    }
    if plan.is_empty() {
        return Err("the table below `## Crates` is empty".into());
    }
    let linked: BTreeSet<String> = plan.iter().filter(|(_, c)| c.kind != Kind::Test).map(|(n, _)| n.clone()).collect();
    for name in all_of {
        if let Some(c) = plan.get_mut(&name) {
            c.may_use = linked.iter().filter(|n| **n != name).cloned().collect();
        }
    }
    for (name, c) in &plan {
        if let Some(unknown) = c.may_use.iter().find(|n| !plan.contains_key(*n)) {
            return Err(format!("`{name}` may use `{unknown}`, which has no row"));
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# x\n\n## Crates\n\n| crate | kind | purpose | may use |\n| --- | --- | --- | --- |\n\
        | `model` | pure | nouns | – |\n| `policy` | pure | rules | model |\n| `node` | shell | sockets | everything |\n\
        | `kit` | test | helpers | model |\n\n## Next\n\n| `other` | pure | no | – |\n";

    #[test]
    fn the_table_is_read() {
        let plan = read(PAGE).unwrap();
        assert_eq!(plan.len(), 4);
        assert_eq!(plan["policy"].may_use, ["model".to_owned()].into());
        assert_eq!(plan["node"].may_use, ["model".to_owned(), "policy".to_owned()].into());
        assert_eq!(plan["kit"].kind, Kind::Test);
    }

    #[test]
    fn a_wrong_table_is_refused() {
        for (from, to, expected) in [
            ("## Crates", "## Kates", "no heading"),
            ("| pure | nouns", "| clean | nouns", "`clean`"),
            ("| pure | rules | model |", "| pure | rules | nobody |", "`nobody`"),
            ("| `policy` | pure | rules | model |", "| `policy` | pure | model |", "four columns"),
            ("| `policy`", "| `model`", "two rows"),
        ] {
            let error = read(&PAGE.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
