//! `fseg plan` and `fseg policy …`: what a change would do, what was changed, and back again.

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use fseg_api::{
    DiffRequest, DiffView, OperationId, PlanRequest, PlanView, PolicyView, ReachView, SectionChange, SeverityView,
    TalkView, VersionView,
};

use crate::args::{ApplyHow, PolicyCommand};
use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::output::{Rows, Screen, Tone, printable};
use crate::policy::{self, Tested};
use crate::when::{now, relative};

/// `fseg plan FILE`
pub(crate) async fn plan(
    client: &Client,
    file: &Path,
    offset: u64,
    limit: u16,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let (text, file_name) = policy::text_of(file)?;
    let view = ask_plan(client, text, file_name, offset, limit.into()).await?;
    if screen.json {
        screen.value(&view, false)?;
    } else {
        screen.text(&planned(&view, offset, screen))?;
    }
    Ok(outcome(&view))
}

async fn ask_plan(
    client: &Client,
    text: String,
    file_name: String,
    offset: u64,
    limit: u64,
) -> Result<PlanView, Failure> {
    let body = PlanRequest { text, file_name, offset, limit: Some(limit) };
    client.call(OperationId::PolicyPlan, At::default(), Some(&body)).await
}

/// Yes when it would be accepted, no when a test fails or a switch cannot hold it, wrong when the file has errors.
fn outcome(view: &PlanView) -> Outcome {
    let errors = view.diagnostics.iter().any(|d| d.severity == SeverityView::Error && d.line > 0);
    match (view.accepted, errors) {
        (true, _) => Outcome::Yes,
        (false, true) => Outcome::Wrong,
        (false, false) => Outcome::No,
    }
}

/// On a terminal: shows the plan and asks. The version that it was made against; `None` when nothing is to be applied.
pub(crate) async fn confirm(
    client: &Client,
    text: &str,
    file_name: &str,
    how: &ApplyHow,
    screen: &Screen,
) -> Result<Result<Option<u64>, Outcome>, Failure> {
    if screen.json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Ok(Ok(how.if_version));
    }
    let view = ask_plan(client, text.to_owned(), file_name.to_owned(), 0, 50).await?;
    screen.text(&planned(&view, 0, screen))?;
    if !view.accepted {
        return Ok(Err(outcome(&view)));
    }
    if !how.yes {
        screen.text("Apply this? [y/N] ")?;
        std::io::stdout().flush().map_err(Failure::output)?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map_err(Failure::output)?;
        if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            screen.text("nothing is changed\n")?;
            return Ok(Err(Outcome::No));
        }
    }
    Ok(Ok(how.if_version.or(Some(view.version))))
}

fn planned(view: &PlanView, offset: u64, screen: &Screen) -> String {
    let mut out = String::new();
    for d in &view.diagnostics {
        let tone = if d.severity == SeverityView::Error { Tone::Bad } else { Tone::Warning };
        let _ = writeln!(out, "{}", screen.toned(tone, &printable(&d.rendered)));
    }
    policy::tested(&view.tests.iter().map(Tested::from).collect::<Vec<_>>(), &mut out, screen);
    sections(&view.changes, &mut out, screen);
    reaches(&view.reach, &mut out, screen);
    let shown = offset + view.reach.len() as u64;
    if shown < view.reach_total {
        let _ = writeln!(out, "… {} more gains and losses: --offset {shown}", view.reach_total - shown);
    }
    if view.reach_total == 0 && view.reach_complete {
        out.push_str("nobody who is known gains or loses anything\n");
    }
    if !view.reach_complete {
        out.push_str("there are too many pairs: not all of them were compared\n");
    }
    for t in &view.ending {
        let _ = writeln!(out, "{}", screen.toned(Tone::Warning, &printable(&talk(t))));
    }
    for s in &view.rows {
        let name = printable(&s.switch);
        let _ = writeln!(out, "switch {name}: {} rows added, {} changed, {} removed", s.added, s.changed, s.removed);
    }
    for name in &view.not_connected {
        let text = format!("switch {} is not connected: it gets the policy when it is back", printable(name));
        let _ = writeln!(out, "{}", screen.toned(Tone::Warning, &text));
    }
    let (tone, verdict) = match view.accepted {
        true => (Tone::Good, format!("would be accepted; version {} is in force", view.version)),
        false => (Tone::Bad, format!("would be refused; version {} stays in force", view.version)),
    };
    out + &screen.toned(tone, &verdict) + "\n"
}

fn sections(changes: &[SectionChange], out: &mut String, screen: &Screen) {
    for s in changes {
        for (what, tone, names) in [
            ("added", Tone::Plain, &s.added),
            ("changed", Tone::Plain, &s.changed),
            ("removed", Tone::Plain, &s.removed),
        ] {
            if !names.is_empty() {
                let line = format!("{} {what}: {}", s.section, names.join(", "));
                let _ = writeln!(out, "{}", screen.toned(tone, &printable(&line)));
            }
        }
    }
}

fn named(side: &fseg_api::ReachSide) -> String {
    match side.count {
        1 if side.members.first() == Some(&side.label) => side.label.clone(),
        n => format!("{} ({n})", side.label),
    }
}

fn reaches(list: &[ReachView], out: &mut String, screen: &Screen) {
    for r in list {
        let pair = format!("{} -> {}", named(&r.from), named(&r.to));
        if !r.gained.is_empty() {
            let line = format!("+ {pair}: gains {}", r.gained.join(", "));
            let _ = writeln!(out, "{}", screen.toned(Tone::Good, &printable(&line)));
        }
        if !r.lost.is_empty() {
            let line = format!("- {pair}: loses {}", r.lost.join(", "));
            let _ = writeln!(out, "{}", screen.toned(Tone::Bad, &printable(&line)));
        }
    }
}

fn talk(t: &TalkView) -> String {
    let one = |s: &fseg_api::ReachSide| match s.count {
        1 => named(s),
        _ => format!("one or more of {}", named(s)),
    };
    let doubt = if t.precise { "" } else { ", or others of this permit" };
    format!(
        "ends: {} with {} by permit {} ({}){doubt}; seen within the last {} s",
        one(&t.from),
        one(&t.to),
        t.permit,
        t.lost.join(", "),
        t.seconds + 2
    )
}

/// `fseg policy …`
pub(crate) async fn policy(
    client: &Client,
    command: Option<PolicyCommand>,
    watch: Option<u64>,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    match command {
        None | Some(PolicyCommand::Show { version: None }) => policy::show(client, None, screen).await,
        Some(PolicyCommand::Show { version: Some(n) }) => policy::show(client, Some(n), screen).await,
        Some(PolicyCommand::Log { limit }) => log(client, limit, watch, screen).await,
        Some(PolicyCommand::Diff { from, to, text }) => diff(client, from, to, text, screen).await,
        Some(PolicyCommand::Rollback { version, how }) => rollback(client, version, &how, screen).await,
    }
}

async fn log(client: &Client, limit: u16, watch: Option<u64>, screen: &Screen) -> Result<Outcome, Failure> {
    crate::listing::rounds(watch, screen, async || {
        let query = format!("limit={limit}");
        let at = At { query: Some(&query), ..At::default() };
        let versions: Vec<VersionView> = client.get(OperationId::PolicyVersions, at).await?;
        let mut rows = Rows::new(
            &["VERSION#", "STATE", "WHEN", "BY", "FILE", "CHANGES", "MESSAGE"],
            "No policy was applied yet. `fseg apply FILE` puts one in force.",
        );
        for v in &versions {
            let (tone, state) = match (v.in_force, v.state.as_str()) {
                (true, _) => (Tone::Good, "in force"),
                (false, "applied") => (Tone::Plain, "replaced"),
                (false, other) => (Tone::Warning, other),
            };
            let when = relative(v.at, now());
            let message = v.message.clone().unwrap_or_default();
            let cells = [
                v.version.to_string(),
                state.to_owned(),
                when,
                v.by.clone(),
                v.file_name.clone(),
                v.summary.clone(),
                message,
            ];
            rows.add(tone, cells);
        }
        crate::listing::print(screen, watch.is_some(), &versions, rows.render(screen))
    })
    .await
}

async fn diff(
    client: &Client,
    from: Option<u64>,
    to: Option<u64>,
    text: bool,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let view: DiffView = client.call(OperationId::PolicyDiff, At::default(), Some(&DiffRequest { from, to })).await?;
    let same = if text { view.from_text == view.to_text } else { view.changes.is_empty() && view.reach_total == 0 };
    if screen.json {
        screen.value(&view, false)?;
    } else {
        let mut out = format!("version {} -> version {}\n", view.from, view.to);
        if text {
            lines(&view.from_text, &view.to_text, &mut out, screen);
        } else {
            sections(&view.changes, &mut out, screen);
            reaches(&view.reach, &mut out, screen);
            let shown = view.reach.len() as u64;
            if shown < view.reach_total {
                let _ = writeln!(out, "… and {} more gains and losses", view.reach_total - shown);
            }
        }
        if same {
            out.push_str("no difference\n");
        }
        screen.text(&out)?;
    }
    Ok(if same { Outcome::Yes } else { Outcome::No })
}

async fn rollback(client: &Client, version: u64, how: &ApplyHow, screen: &Screen) -> Result<Outcome, Failure> {
    let at = version.to_string();
    let at = At { item: Some(&at), ..At::default() };
    let old: PolicyView = client.get(OperationId::PolicyVersion, at).await?;
    let mut how = how.clone();
    how.message = Some(match &how.message {
        Some(text) => format!("rollback to version {version}: {text}"),
        None => format!("rollback to version {version}"),
    });
    let file_name = old.file_name.unwrap_or_default();
    policy::apply_text(client, old.text, file_name, false, &how, screen).await
}

/// The most lines of either side that are compared one by one; longer middles are shown as replaced.
const MOST_LINES: usize = 3_000;
/// Lines around a difference.
const CONTEXT: usize = 3;

/// A difference of lines, with a few lines around each: `-` only in the older, `+` only in the newer.
fn lines(old: &str, new: &str, out: &mut String, screen: &Screen) {
    let marks = compare(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let near = |at: usize| {
        let (from, to) = (at.saturating_sub(CONTEXT), (at + CONTEXT + 1).min(marks.len()));
        marks[from..to].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut skipped = false;
    for (at, (mark, line)) in marks.iter().enumerate() {
        if !near(at) {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) {
            out.push_str("…\n");
        }
        let tone = match mark {
            '+' => Tone::Good,
            '-' => Tone::Bad,
            _ => Tone::Plain,
        };
        let _ = writeln!(out, "{}", screen.toned(tone, &printable(&format!("{mark} {line}"))));
    }
}

/// Every line of both with its mark. By the longest common subsequence of what is left between a common head and tail.
fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(char, &'t str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out: Vec<(char, &str)> = old[..head].iter().map(|l| (' ', *l)).collect();
    if a.len() > MOST_LINES || b.len() > MOST_LINES {
        out.extend(a.iter().map(|l| ('-', *l)));
        out.extend(b.iter().map(|l| ('+', *l)));
    } else {
        let width = b.len() + 1;
        let mut longest = vec![0_u16; (a.len() + 1) * width];
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                longest[i * width + j] = if a[i] == b[j] {
                    longest[(i + 1) * width + j + 1] + 1
                } else {
                    longest[(i + 1) * width + j].max(longest[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < a.len() || j < b.len() {
            if i < a.len() && j < b.len() && a[i] == b[j] {
                out.push((' ', a[i]));
                (i, j) = (i + 1, j + 1);
            } else if j >= b.len() || (i < a.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1]) {
                out.push(('-', a[i]));
                i += 1;
            } else {
                out.push(('+', b[j]));
                j += 1;
            }
        }
    }
    out.extend(old[old.len() - tail..].iter().map(|l| (' ', *l)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_compared() {
        let marked = |old: &str, new: &str| -> String {
            let (old, new): (Vec<_>, Vec<_>) = (old.split(' ').collect(), new.split(' ').collect());
            compare(&old, &new).iter().map(|(mark, line)| format!("{mark}{line}")).collect()
        };
        assert_eq!(marked("a b c", "a b c"), " a b c");
        assert_eq!(marked("a b c", "a x c"), " a-b+x c");
        assert_eq!(marked("a b c d e", "b c x e f"), "-a b c-d+x e+f");
        assert_eq!(marked("a", "b"), "-a+b");
    }
}
