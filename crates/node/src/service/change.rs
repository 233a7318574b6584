//! Plans, versions and differences of the policy, as the API shows them.

use fseg_api::{
    ApiError, DiffRequest, DiffView, PlanRequest, PlanView, PolicyView, ReachSide, ReachView, SectionChange,
    SwitchChange, TalkView, VersionView,
};
use fseg_control::{Controller, Plan, PlanPair, PlanSide, PolicyVersion, RowsTouched, VersionState};
use fseg_model::Name;
use fseg_policy::{Changes, Policy, PolicyDiff};
use fseg_yaml::Source;

use super::{Node, no_answer, report};
use crate::http::Page;

/// The most entries of a listing in one answer, and the most names of one side.
const MOST: usize = 1_000;

fn strings(list: &[Name]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn sections(diff: &PolicyDiff) -> Vec<SectionChange> {
    let section = |(name, changes): (&str, &Changes)| SectionChange {
        section: name.to_owned(),
        added: strings(&changes.added),
        removed: strings(&changes.removed),
        changed: strings(&changes.changed),
    };
    let all = [
        ("permits", &diff.permits),
        ("groups", &diff.groups),
        ("services", &diff.services),
        ("externals", &diff.externals),
    ];
    let mut out: Vec<SectionChange> = all.into_iter().filter(|(_, c)| !c.is_empty()).map(section).collect();
    if diff.observed {
        let (added, removed) = Default::default();
        out.push(SectionChange { section: "mode".into(), added, removed, changed: vec!["observe".into()] });
    }
    out
}

fn side(s: &PlanSide) -> ReachSide {
    let members = s.members.iter().take(MOST).cloned().collect();
    ReachSide { label: s.label.clone(), count: s.members.len() as u64, members }
}

fn reach(p: &PlanPair) -> ReachView {
    ReachView { from: side(&p.from), to: side(&p.to), gained: p.gained.clone(), lost: p.lost.clone() }
}

pub(super) fn switch_change(r: &RowsTouched) -> SwitchChange {
    SwitchChange {
        switch: r.switch.to_string(),
        added: r.added as u64,
        changed: r.changed as u64,
        removed: r.removed as u64,
    }
}

fn version(v: &PolicyVersion, in_force: Option<u64>) -> VersionView {
    VersionView {
        version: v.version,
        at: v.at.into(),
        by: v.who.clone(),
        file_name: v.file.clone(),
        summary: v.summary.clone(),
        message: v.message.clone(),
        state: match v.state {
            VersionState::Applied => "applied",
            VersionState::Pending => "pending",
            VersionState::Undone => "undone",
        }
        .to_owned(),
        in_force: in_force == Some(v.version),
    }
}

pub(super) fn policy_view(v: &PolicyVersion) -> PolicyView {
    PolicyView {
        version: v.version,
        applied: Some(v.at.into()),
        by: Some(v.who.clone()),
        file_name: Some(v.file.clone()),
        text: v.text.clone(),
        message: v.message.clone(),
    }
}

fn unknown(version: u64) -> ApiError {
    ApiError::not_found("version", version).help("`fseg policy log` lists the versions that are kept")
}

impl Node {
    pub(super) async fn plan_of(&self, request: PlanRequest) -> Result<PlanView, ApiError> {
        let PlanRequest { text, file_name, offset, limit } = request;
        let wall = self.core.clock.now().wall;
        let plain = self.core.ask(|c, _| c.plain_switches()).await.map_err(no_answer)?;
        let work = tokio::task::spawn_blocking(move || {
            let source = Source::new(file_name, text);
            let mut checked = fseg_policy::check_at(&source, wall);
            checked.warn_of_missing_protection(&source);
            checked.warn_of_plain_switches(&source, &plain);
            (report::of(&checked, wall), checked.policy)
        });
        let (result, policy) = work.await.map_err(|e| ApiError::internal(e.to_string()))?;
        let mut view = PlanView {
            accepted: result.accepted,
            version: 0,
            diagnostics: result.diagnostics,
            tests: result.tests,
            changes: vec![],
            rows: vec![],
            not_connected: vec![],
            reach: vec![],
            reach_total: 0,
            reach_complete: true,
            ending: vec![],
        };
        // A policy whose tests fail is planned all the same: what it would do helps to see why.
        let Some(policy) = policy else {
            let asked = self.core.ask(|c, _| c.policy_version().map_or(0, |v| v.version));
            view.version = asked.await.map_err(no_answer)?;
            return Ok(view);
        };
        let plan: Plan = self.core.ask(move |c, _| c.plan(&policy)).await.map_err(no_answer)?;
        view.accepted &= plan.misfits.is_empty();
        view.diagnostics.extend(plan.misfits.into_iter().map(report::plain));
        view.version = plan.version;
        view.changes = sections(&plan.diff);
        view.rows = plan.rows.iter().map(switch_change).collect();
        view.not_connected = strings(&plan.missing);
        view.reach_total = plan.pairs.len() as u64;
        view.reach_complete = plan.complete;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let limit = limit.map_or(100, |l| usize::try_from(l).unwrap_or(MOST).min(MOST));
        view.reach = plan.pairs.iter().skip(offset).take(limit).map(reach).collect();
        let talk = |t: &fseg_control::Talk| TalkView {
            permit: t.permit.to_string(),
            from: side(&t.from),
            to: side(&t.to),
            lost: t.lost.clone(),
            seconds: t.idle.as_secs(),
            precise: t.precise,
        };
        view.ending = plan.ending.iter().map(talk).collect();
        Ok(view)
    }

    pub(super) async fn versions_of(&self, page: Page) -> Result<Vec<VersionView>, ApiError> {
        let list = move |c: &Controller, _| {
            let in_force = c.policy_version().map(|v| v.version);
            let older = c.versions().newest_first().filter(|v| page.before.is_none_or(|b| v.version < b));
            older.take(page.limit).map(|v| version(v, in_force)).collect()
        };
        self.core.ask(list).await.map_err(no_answer)
    }

    pub(super) async fn version_of(&self, number: u64) -> Result<PolicyView, ApiError> {
        let found = self.core.ask(move |c, _| c.versions().get(number).map(policy_view));
        found.await.map_err(no_answer)?.ok_or_else(|| unknown(number))
    }

    pub(super) async fn diff_of(&self, request: DiffRequest) -> Result<DiffView, ApiError> {
        let found = self.core.ask(move |c, _| {
            let to = request.to.or(c.policy_version().map(|v| v.version)).unwrap_or(0);
            let before = |n: u64| {
                let earlier = c.versions().newest_first().filter(|v| v.state == VersionState::Applied);
                earlier.map(|v| v.version).find(|v| *v < n).unwrap_or(0)
            };
            let from = request.from.unwrap_or_else(|| before(to));
            let text = |n: u64| match n {
                0 => Ok(None),
                n => c.versions().get(n).cloned().map(Some).ok_or(n),
            };
            Ok((text(from)?, text(to)?, from, to))
        });
        let (old, new, from, to) = found.await.map_err(no_answer)?.map_err(unknown)?;
        let text = |v: &Option<PolicyVersion>| v.as_ref().map(|v| v.text.clone()).unwrap_or_default();
        let (from_text, to_text) = (text(&old), text(&new));
        let wall = self.core.clock.now().wall;
        let work = tokio::task::spawn_blocking(move || {
            let read = |v: Option<PolicyVersion>, n: u64| match v {
                None => Ok(Policy::empty()),
                Some(v) => fseg_policy::check_at(&Source::new(v.file, v.text), wall)
                    .policy
                    .ok_or_else(|| ApiError::refused(format!("version {n} cannot be read by this version of FSEG"))),
            };
            Ok((read(old, from)?, read(new, to)?))
        });
        let (old, new) = work.await.map_err(|e| ApiError::internal(e.to_string()))??;
        let changes = sections(&old.diff(&new));
        let pairs = self.core.ask(move |c, _| c.compare(&old, &new).0).await.map_err(no_answer)?;
        let reach_total = pairs.len() as u64;
        let reach = pairs.iter().take(MOST).map(reach).collect();
        Ok(DiffView { from, to, changes, reach, reach_total, from_text, to_text })
    }
}
