//! Changing the policy with care: what it would do, what was done, and what differs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DiagnosticView, SwitchChange, TestView, Timestamp};

/// A policy, to be told what applying it would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The policy file's text.
    pub text: String,
    /// Its name, for messages.
    pub file_name: String,
    /// How many entries of `reach` to leave out at its beginning.
    #[serde(default)]
    pub offset: u64,
    /// How many entries of `reach` to give: at most 1,000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// What changes in one section of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SectionChange {
    /// `permits`, `groups`, `services` or `externals`.
    pub section: String,
    /// Names that appear.
    pub added: Vec<String>,
    /// Names that go.
    pub removed: Vec<String>,
    /// Names whose meaning changes.
    pub changed: Vec<String>,
}

/// Endpoints, members or externals for which the same changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReachSide {
    /// How people would call them: the one name, or their groups.
    pub label: String,
    /// How many they are.
    pub count: u64,
    /// Who they are: endpoints by name, `user:anna` for a member that is not here now, networks of externals. At most 1,000.
    pub members: Vec<String>,
}

/// Who gains or loses which services of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReachView {
    /// Who asks.
    pub from: ReachSide,
    /// Who is asked.
    pub to: ReachSide,
    /// Services that pass only afterwards.
    pub gained: Vec<String>,
    /// Services that pass only before.
    pub lost: Vec<String>,
}

/// Traffic that was seen a moment ago and would end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TalkView {
    /// The permit by which it passes.
    pub permit: String,
    /// Who asked: one or more of these.
    pub from: ReachSide,
    /// Who was asked: one or more of these.
    pub to: ReachSide,
    /// Services that end.
    pub lost: Vec<String>,
    /// How many seconds ago its rows last counted, at most. Counters are read every two seconds.
    pub seconds: u64,
    /// True when the row counts for exactly these two sides; false when it counts for all sides of the permit together.
    pub precise: bool,
}

/// What applying a policy would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanView {
    /// True when it would be accepted: no errors, every test passed, every switch can hold it.
    pub accepted: bool,
    /// The version in force: give it back as `if_version` to apply only what was planned.
    pub version: u64,
    /// Errors and warnings.
    pub diagnostics: Vec<DiagnosticView>,
    /// Outcomes of the policy's own tests.
    pub tests: Vec<TestView>,
    /// What the file says otherwise; sections without change are left out.
    pub changes: Vec<SectionChange>,
    /// Row changes per switch, compiled for this network as it is now.
    pub rows: Vec<SwitchChange>,
    /// Switches that are not connected; they would get the policy when they are back.
    pub not_connected: Vec<String>,
    /// Who gains and loses what, from `offset` on.
    pub reach: Vec<ReachView>,
    /// How many entries there are in all.
    pub reach_total: u64,
    /// False when there are so many that not all were looked for.
    pub reach_complete: bool,
    /// Traffic of the last ten seconds that would end. From counters of rows: a connection that is silent is not seen.
    pub ending: Vec<TalkView>,
}

/// One version of the policy, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its number.
    pub version: u64,
    /// When it was applied.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The file's name.
    pub file_name: String,
    /// What it changed, in a few words.
    pub summary: String,
    /// What was said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `applied`, `undone` (a switch did not take it) or `pending`.
    pub state: String,
    /// True for the one in force.
    pub in_force: bool,
}

/// Which versions to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    /// The older: the one before `to` when absent. 0 is the empty policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The newer: the one in force when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// What differs between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// The older.
    pub from: u64,
    /// The newer.
    pub to: u64,
    /// What the newer says otherwise; sections without change are left out.
    pub changes: Vec<SectionChange>,
    /// Who gains and loses what, for those who are known now; at most 1,000 entries.
    pub reach: Vec<ReachView>,
    /// How many entries there are in all.
    pub reach_total: u64,
    /// The older's text.
    pub from_text: String,
    /// The newer's text.
    pub to_text: String,
}
