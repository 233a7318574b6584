//! What a check of a policy found, as the API shows it.

use fseg_api::{DiagnosticView, PolicyResult, SeverityView, TestView};
use fseg_model::Wall;
use fseg_policy::Checked;
use fseg_yaml::Severity;

pub(super) fn of(checked: &Checked, now: Wall) -> PolicyResult {
    let tests: Vec<TestView> = checked
        .policy
        .iter()
        .flat_map(|p| p.run_tests(now))
        .map(|o| TestView {
            from: o.test.from.to_string(),
            to: o.test.to.to_string(),
            service: o.test.service.to_string(),
            expect: o.test.expect.to_string(),
            passed: o.passed,
            reason: o.decision.to_string(),
        })
        .collect();
    PolicyResult {
        accepted: checked.policy.is_some() && tests.iter().all(|t| t.passed),
        applied: false,
        version: 0,
        diagnostics: checked
            .diagnostics
            .iter()
            .map(|d| DiagnosticView {
                severity: match d.severity {
                    Severity::Error => SeverityView::Error,
                    Severity::Warning => SeverityView::Warning,
                },
                message: d.message.clone(),
                help: d.help.clone(),
                file: d.file.clone(),
                line: d.span.line,
                column: d.span.column,
                rendered: d.to_string(),
            })
            .collect(),
        added: vec![],
        removed: vec![],
        changed: vec![],
        rows: vec![],
        unconfirmed: vec![],
        refused_by: vec![],
        tests,
    }
}

/// A message of the controller that has no place in the file.
pub(super) fn plain(message: String) -> DiagnosticView {
    DiagnosticView {
        severity: SeverityView::Error,
        rendered: message.clone(),
        message,
        help: None,
        file: String::new(),
        line: 0,
        column: 0,
    }
}
