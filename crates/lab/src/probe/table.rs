//! Every source against every destination: what was seen, what was expected, and a picture of the difference.

use std::collections::BTreeMap;
use std::fmt;

use super::{Service, Verdict};

/// One cell's place: source, destination, service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Who asks.
    pub source: String,
    /// Who should answer.
    pub target: String,
    /// What is asked for.
    pub service: Service,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    cells: BTreeMap<Cell, Verdict>,
}

impl Table {
    /// Notes one result.
    pub fn insert(&mut self, cell: Cell, verdict: Verdict) {
        self.cells.insert(cell, verdict);
    }

    /// The result in one place; `None` if that was not tried.
    #[must_use]
    pub fn get(&self, source: &str, target: &str, service: Service) -> Option<Verdict> {
        let cell = Cell { source: source.to_owned(), target: target.to_owned(), service };
        self.cells.get(&cell).copied()
    }

    /// All results, by source, then target, then service.
    pub fn iter(&self) -> impl Iterator<Item = (&Cell, Verdict)> {
        self.cells.iter().map(|(cell, verdict)| (cell, *verdict))
    }

    /// How many results there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether nothing was tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Compares with what should be: `expected(source, target, service)` says whether it may pass.
    ///
    /// A wrong answer is wrong in any case; refused is as good as blocked where nothing may pass.
    #[must_use]
    pub fn diff(&self, expected: impl Fn(&str, &str, Service) -> bool) -> Diff {
        let judged = self.cells.iter().map(|(cell, seen)| {
            let may = expected(&cell.source, &cell.target, cell.service);
            let right = match seen {
                Verdict::Pass => may,
                Verdict::Blocked | Verdict::Refused => !may,
                Verdict::WrongAnswer => false,
            };
            (cell.clone(), Judged { seen: *seen, may, right })
        });
        Diff { cells: judged.collect() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    seen: Verdict,
    may: bool,
    right: bool,
}

/// A table held against its expectation. Its text is a grid per service that has a wrong cell, and a line per
/// wrong cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    cells: BTreeMap<Cell, Judged>,
}

impl Diff {
    /// Whether every cell is as expected. An empty table is not: it would prove nothing.
    #[must_use]
    pub fn is_right(&self) -> bool {
        !self.cells.is_empty() && self.cells.values().all(|judged| judged.right)
    }

    /// The wrong cells with what was seen there.
    pub fn wrong(&self) -> impl Iterator<Item = (&Cell, Verdict)> {
        self.cells.iter().filter(|(_, judged)| !judged.right).map(|(cell, judged)| (cell, judged.seen))
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = self.wrong().count();
        if self.cells.is_empty() {
            return writeln!(f, "nothing was probed");
        }
        writeln!(f, "{wrong} of {} cells are wrong", self.cells.len())?;
        let mut services: Vec<Service> = self.wrong().map(|(cell, _)| cell.service).collect();
        services.sort_unstable();
        services.dedup();
        for service in services {
            self.grid(f, service)?;
        }
        for (cell, judged) in self.cells.iter().filter(|(_, judged)| !judged.right) {
            let expected = if judged.may { "pass" } else { "blocked" };
            writeln!(f, "{} → {} {}: {}, expected {expected}", cell.source, cell.target, cell.service, judged.seen)?;
        }
        Ok(())
    }
}

impl Diff {
    /// Sources down, targets across; `+` passes, `·` does not; a wrong cell shows what was seen, after a `!`.
    fn grid(&self, f: &mut fmt::Formatter<'_>, service: Service) -> fmt::Result {
        let here = || self.cells.iter().filter(move |(cell, _)| cell.service == service);
        let mut sources: Vec<&str> = here().map(|(cell, _)| cell.source.as_str()).collect();
        let mut targets: Vec<&str> = here().map(|(cell, _)| cell.target.as_str()).collect();
        for names in [&mut sources, &mut targets] {
            names.sort_unstable();
            names.dedup();
        }
        let first = sources.iter().map(|name| name.len()).max().unwrap_or(0).max(9);
        write!(f, "\n{service:<first$}")?;
        for target in &targets {
            write!(f, "  {target:>width$}", width = target.len().max(2))?;
        }
        for source in sources {
            write!(f, "\n{source:<first$}")?;
            for target in &targets {
                let cell = Cell { source: source.to_owned(), target: (*target).to_owned(), service };
                let text = match self.cells.get(&cell) {
                    None => " ",
                    Some(judged) => match (judged.seen, judged.right) {
                        (Verdict::Pass, true) => "+",
                        (_, true) => "·",
                        (Verdict::Pass, false) => "!+",
                        (Verdict::Blocked, false) => "!·",
                        (Verdict::Refused, false) => "!r",
                        (Verdict::WrongAnswer, false) => "!?",
                    },
                };
                write!(f, "  {text:>width$}", width = target.len().max(2))?;
            }
        }
        writeln!(f, "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::default();
        for (source, target, verdict) in [
            ("desk", "crm", Verdict::Pass),
            ("crm", "desk", Verdict::Refused),
            ("camera", "crm", Verdict::Pass),
            ("camera", "desk", Verdict::Blocked),
            ("crm", "camera", Verdict::WrongAnswer),
        ] {
            table.insert(Cell { source: source.into(), target: target.into(), service: Service::Tcp(80) }, verdict);
        }
        table
    }

    #[test]
    fn exactly_the_wrong_cells_are_shown() {
        let diff = table().diff(|source, target, _| source == "desk" && target == "crm" || target == "camera");
        assert!(!diff.is_right());
        let wrong: Vec<_> = diff.wrong().map(|(cell, _)| (cell.source.as_str(), cell.target.as_str())).collect();
        assert_eq!(wrong, [("camera", "crm"), ("crm", "camera")]);
        let text = diff.to_string();
        let expected = "\
2 of 5 cells are wrong

tcp/80     camera  crm  desk
camera              !+     ·
crm            !?          ·
desk                 +      

camera → crm tcp/80: pass, expected blocked
crm → camera tcp/80: wrong-answer, expected pass
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_right_table_is_right_and_an_empty_one_is_not() {
        let mut table = table();
        table.insert(
            Cell { source: "crm".into(), target: "camera".into(), service: Service::Tcp(80) },
            Verdict::Blocked,
        );
        assert!(table.diff(|source, _, _| source != "crm" && source != "x").wrong().count() == 1);
        let diff = table.diff(|_, target, _| target == "crm");
        assert!(diff.is_right(), "{diff}");
        assert!(!Table::default().diff(|_, _, _| true).is_right());
    }
}
