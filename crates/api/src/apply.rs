//! Putting a policy in force, or asking what that would do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Timestamp;

/// A policy to check or to put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyApply {
    /// The policy file's text.
    pub text: String,
    /// Its name, for messages and the audit log.
    pub file_name: String,
    /// What is to be remembered with the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Only if this version is in force, 0 for none yet; else it is a conflict. The header `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
    /// Go on without switches that refuse it, are silent or go away meanwhile, instead of taking everything back.
    #[serde(default)]
    pub partial: bool,
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Its number: 0 is the empty policy of a new node.
    pub version: u64,
    /// When it was put in force.
    pub applied: Option<Timestamp>,
    /// By whom.
    pub by: Option<String>,
    /// The file's name.
    pub file_name: Option<String>,
    /// The file's text.
    pub text: String,
    /// What was said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeverityView {
    /// The policy cannot be used.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One thing said about a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiagnosticView {
    /// How bad it is.
    pub severity: SeverityView,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The file's name.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// The whole message with place and source line, for people.
    pub rendered: String,
}

/// How one of the policy's own tests came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestView {
    /// The asking side.
    pub from: String,
    /// The other side.
    pub to: String,
    /// The service.
    pub service: String,
    /// What the test expects: `permit` or `deny`.
    pub expect: String,
    /// True when it came out so.
    pub passed: bool,
    /// Why the policy decides as it does.
    pub reason: String,
}

/// How many rows of a switch change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchChange {
    /// The switch's name.
    pub switch: String,
    /// Rows that appear.
    pub added: u64,
    /// Rows whose actions change.
    pub changed: u64,
    /// Rows that go.
    pub removed: u64,
}

/// A switch that did not take a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SwitchRefusal {
    /// The switch's name.
    pub switch: String,
    /// Why, and which row where that is known.
    pub reason: String,
}

/// What a policy did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyResult {
    /// True when the policy may be in force: no errors, every test passed. A policy that is not accepted is answered
    /// with status 422, and changes nothing.
    pub accepted: bool,
    /// True when it is in force now; false for a check.
    pub applied: bool,
    /// The number of the policy in force after this.
    pub version: u64,
    /// Errors and warnings.
    pub diagnostics: Vec<DiagnosticView>,
    /// Permits that appear.
    pub added: Vec<String>,
    /// Permits that go.
    pub removed: Vec<String>,
    /// Permits that change.
    pub changed: Vec<String>,
    /// Row changes per switch.
    pub rows: Vec<SwitchChange>,
    /// Switches that have not confirmed: not connected, or slow. They hold the former rows until they are back.
    #[serde(default)]
    pub unconfirmed: Vec<String>,
    /// Switches that did not take it, for which it is not in force anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_by: Vec<SwitchRefusal>,
    /// Outcomes of the policy's own tests.
    pub tests: Vec<TestView>,
}
