//! `fseg check`, `fseg apply` and `fseg policy show`.

use std::fmt::Write as _;
use std::path::Path;

use fseg_api::{OperationId, PolicyApply, PolicyResult, PolicyView, SeverityView, TestView};
use fseg_yaml::{Diagnostic, Source};
use serde_json::json;

use crate::args::ApplyHow;
use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::output::{Screen, Tone, printable};
use crate::when::{now, relative_or};

/// The largest policy file, in bytes: what the node takes, less room for JSON's escapes.
const LARGEST: u64 = 8 << 20;

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let length = std::fs::metadata(file).map_err(|e| Failure::file(file, e))?.len();
    if length > LARGEST {
        return Err(Failure::file(file, format!("{length} bytes are more than a policy may have ({LARGEST})")));
    }
    std::fs::read(file).map_err(|e| Failure::file(file, e))
}

/// Checks a file here, and runs its tests: exits with 2 on errors, with 1 when a test fails.
pub(crate) fn check(file: &Path, screen: &Screen) -> Result<Outcome, Failure> {
    let name = file.display().to_string();
    let source = Source::from_bytes(&name, read(file)?).map_err(|d| Failure::usage(d.to_string()))?;
    let mut checked = fseg_policy::check_at(&source, now());
    checked.warn_of_missing_protection(&source);
    let outcomes = checked.policy.as_ref().map(|p| p.run_tests(now())).unwrap_or_default();
    let errors = checked.diagnostics.iter().filter(|d| d.is_error()).count();
    let failed = outcomes.iter().filter(|o| !o.passed).count();
    let outcome = match (errors, failed) {
        (0, 0) if checked.policy.is_some() => Outcome::Yes,
        (0, 1..) => Outcome::No,
        _ => Outcome::Wrong,
    };
    let tests = outcomes.iter().map(|o| Tested {
        from: o.test.from.to_string(),
        to: o.test.to.to_string(),
        service: o.test.service.to_string(),
        expect: o.test.expect.to_string(),
        passed: o.passed,
        reason: o.decision.to_string(),
    });
    let tests: Vec<Tested> = tests.collect();
    if screen.json {
        let diagnostic = |d: &Diagnostic| {
            json!({ "severity": d.severity.to_string(), "message": d.message, "help": d.help, "file": d.file,
                    "line": d.span.line, "column": d.span.column })
        };
        let diagnostics: Vec<_> = checked.diagnostics.iter().map(diagnostic).collect();
        let ok = outcome == Outcome::Yes;
        screen.value(&json!({ "ok": ok, "diagnostics": diagnostics, "tests": tests }), false)?;
        return Ok(outcome);
    }
    let mut out = String::new();
    for d in &checked.diagnostics {
        let _ = writeln!(out, "{d}");
    }
    tested(&tests, &mut out, screen);
    if let Some(policy) = checked.policy.as_ref().filter(|_| errors == 0) {
        let text = format!(
            "{name}: {} groups, {} services, {} externals, {} permits",
            policy.groups.len(),
            policy.services.len(),
            policy.externals.len(),
            policy.permits.len()
        );
        let _ = writeln!(out, "{text}");
    } else {
        let _ = writeln!(out, "{}", screen.toned(Tone::Bad, &format!("{name}: {errors} errors")));
    }
    screen.text(&out)?;
    Ok(outcome)
}

impl From<&TestView> for Tested {
    fn from(t: &TestView) -> Self {
        Self {
            from: t.from.clone(),
            to: t.to.clone(),
            service: t.service.clone(),
            expect: t.expect.clone(),
            passed: t.passed,
            reason: t.reason.clone(),
        }
    }
}

/// One of a policy's tests, here or from the node.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Tested {
    from: String,
    to: String,
    service: String,
    expect: String,
    passed: bool,
    reason: String,
}

/// Failed tests one by one, passed ones as a number.
pub(crate) fn tested(tests: &[Tested], out: &mut String, screen: &Screen) {
    for t in tests.iter().filter(|t| !t.passed) {
        let line = format!("test failed: {} -> {} {}: expected {}", t.from, t.to, t.service, t.expect);
        let _ = writeln!(out, "{}\n   {}", screen.toned(Tone::Bad, &printable(&line)), printable(&t.reason));
    }
    let passed = tests.iter().filter(|t| t.passed).count();
    match tests.len() {
        0 => out.push_str("the policy has no tests\n"),
        all => {
            let _ = writeln!(out, "{passed} of {all} tests passed");
        }
    }
}

/// A policy file's text and name, as the node is given them.
pub(crate) fn text_of(file: &Path) -> Result<(String, String), Failure> {
    let file_name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let source = Source::from_bytes(&file_name, read(file)?).map_err(|d| Failure::usage(d.to_string()))?;
    Ok((source.text, file_name))
}

/// Sends a file to the node.
pub(crate) async fn apply(
    client: &Client,
    file: &Path,
    dry_run: bool,
    how: &ApplyHow,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let (text, file_name) = text_of(file)?;
    apply_text(client, text, file_name, dry_run, how, screen).await
}

/// The same with a text.
pub(crate) async fn apply_text(
    client: &Client,
    text: String,
    file_name: String,
    dry_run: bool,
    how: &ApplyHow,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    let if_version = if dry_run {
        how.if_version
    } else {
        match crate::change::confirm(client, &text, &file_name, how, screen).await? {
            Ok(version) => version,
            Err(outcome) => return Ok(outcome),
        }
    };
    let id = if dry_run { OperationId::PolicyCheck } else { OperationId::PolicyApply };
    let body = PolicyApply { text, file_name, message: how.message.clone(), if_version, partial: how.partial };
    let result: PolicyResult = client.call(id, At::default(), Some(&body)).await?;
    if screen.json {
        screen.value(&result, false)?;
    } else {
        screen.text(&applied(&result, screen))?;
    }
    let errors = result.diagnostics.iter().any(|d| d.severity == SeverityView::Error);
    Ok(match (result.accepted, errors) {
        (true, _) if result.applied && !result.unconfirmed.is_empty() && !how.allow_missing => Outcome::No,
        (true, _) => Outcome::Yes,
        (false, true) => Outcome::Wrong,
        (false, false) => Outcome::No,
    })
}

fn applied(result: &PolicyResult, screen: &Screen) -> String {
    let mut out = String::new();
    for d in &result.diagnostics {
        let _ = writeln!(out, "{}", printable(&d.rendered));
    }
    tested(&result.tests.iter().map(Tested::from).collect::<Vec<_>>(), &mut out, screen);
    for (what, permits) in [("added", &result.added), ("changed", &result.changed), ("removed", &result.removed)] {
        if !permits.is_empty() {
            let _ = writeln!(out, "permits {what}: {}", printable(&permits.join(", ")));
        }
    }
    for s in &result.rows {
        let name = printable(&s.switch);
        let _ = writeln!(out, "switch {name}: {} rows added, {} changed, {} removed", s.added, s.changed, s.removed);
    }
    for name in &result.unconfirmed {
        let name = printable(name);
        let text = format!("switch {name} has not confirmed: it holds the former rows until it does (`fseg switches`)");
        let _ = writeln!(out, "{}", screen.toned(Tone::Bad, &text));
    }
    for r in &result.refused_by {
        let text = format!("switch {}: {}", printable(&r.switch), printable(&r.reason));
        let _ = writeln!(out, "{}", screen.toned(Tone::Bad, &text));
    }
    let except = result.unconfirmed.join(", ");
    let (tone, verdict) = match (result.accepted, result.applied) {
        (_, true) if !except.is_empty() => {
            (Tone::Warning, format!("in force as version {} except on {}", result.version, printable(&except)))
        }
        (_, true) => (Tone::Good, format!("in force as version {}", result.version)),
        (false, _) if !result.refused_by.is_empty() => (
            Tone::Bad,
            format!(
                "not in force on any switch that is connected; version {} stays in force (--partial goes on without \
                 switches that fail)",
                result.version
            ),
        ),
        (true, false) => (Tone::Good, format!("would be accepted; version {} stays in force", result.version)),
        (false, false) => (Tone::Bad, format!("refused; version {} stays in force", result.version)),
    };
    out + &screen.toned(tone, &verdict) + "\n"
}

/// Prints a version of the policy as it was written; the one in force without a number.
pub(crate) async fn show(client: &Client, version: Option<u64>, screen: &Screen) -> Result<Outcome, Failure> {
    let view: PolicyView = match version {
        None => client.get(OperationId::Policy, At::default()).await?,
        Some(n) => {
            let n = n.to_string();
            client.get(OperationId::PolicyVersion, At { item: Some(&n), ..At::default() }).await?
        }
    };
    if screen.json {
        return screen.value(&view, false);
    }
    let head = format!(
        "# version {}, from {}, applied {} by {}\n",
        view.version,
        view.file_name.as_deref().unwrap_or("nowhere"),
        relative_or(view.applied, now(), "never"),
        view.by.as_deref().unwrap_or("nobody"),
    );
    screen.text(&(printable(&head) + &printable(&view.text)))
}
