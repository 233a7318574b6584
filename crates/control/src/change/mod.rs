//! A policy's way into force: checked, compiled, held ready on every switch, then put into effect on all of them, or on none.

mod commit;
mod compile;
mod plan;
mod room;
mod versions;

pub(crate) use commit::Applying;
pub(crate) use compile::observed_facts;
pub use plan::{Plan, PlanPair, PlanSide, Talk};
pub use versions::{MOST_BYTES, MOST_VERSIONS, Versions};

use fseg_model::{Dpid, Name};
use fseg_policy::{Policy, PolicyDiff};
use fseg_yaml::Source;

use crate::controller::Controller;
use crate::effect::{Answer, Applied, EventKind, Refusal, RowsTouched, Ticket};
use crate::input::ApplyOptions;
use crate::record::PolicyVersion;
use compile::{Compiled, preview};

/// Somebody wants a policy in force.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) ticket: Ticket,
    pub(crate) who: String,
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) options: ApplyOptions,
}

impl Controller {
    pub(crate) fn apply(&mut self, request: Request, dry_run: bool) {
        let ticket = request.ticket;
        match self.checked(&request) {
            Err(refusal) => self.answer(ticket, Answer::Refused(refusal)),
            Ok(policy) => {
                let compiled = self.compile(&policy);
                let misfits = self.obstacles(&compiled);
                if !misfits.is_empty() {
                    return self.answer(ticket, Answer::Refused(Refusal::Invalid(misfits)));
                }
                let applied = self.report(&self.policy.diff(&policy), &compiled);
                if dry_run {
                    return self.answer(ticket, Answer::Applied(applied));
                }
                self.prepare_policy(request, compiled, applied);
            }
        }
    }

    fn checked(&self, request: &Request) -> Result<Policy, Refusal> {
        let in_force = self.version.as_ref().map_or(0, |v| v.version);
        if let Some(wanted) = request.options.if_version.filter(|v| *v != in_force) {
            return Err(Refusal::Conflict(format!(
                "version {in_force} is in force and not {wanted}: somebody changed the policy meanwhile; look at \
                 `fseg policy log`, plan again, then apply"
            )));
        }
        if let Some(other) = &self.applying {
            return Err(Refusal::Conflict(format!("{} is just now applying a policy; try again", other.who())));
        }
        let checked = fseg_policy::check_at(&Source::new(&request.file, &request.text), self.now.wall);
        let rendered: Vec<String> =
            checked.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
        let policy = checked.policy.ok_or(Refusal::Invalid(rendered))?;
        let overlap = crate::external::overlap(&self.config, &policy);
        if !overlap.is_empty() {
            return Err(Refusal::Invalid(overlap));
        }
        let outcomes = policy.run_tests(self.now.wall);
        let failed: Vec<String> = outcomes.iter().filter(|o| !o.passed).map(ToString::to_string).collect();
        if failed.is_empty() { Ok(policy) } else { Err(Refusal::Invalid(failed)) }
    }

    /// Why a compiled policy cannot be put in force here.
    fn obstacles(&self, compiled: &Compiled) -> Vec<String> {
        let mut out = self.misfit_texts(compiled);
        out.extend(self.shortages(compiled));
        out
    }

    /// Which switch cannot hold which part of a compiled policy.
    fn misfit_texts(&self, compiled: &Compiled) -> Vec<String> {
        let text = |(dpid, misfit): &(Dpid, fseg_pipeline::profile::Misfit)| {
            let (kind, id) = match misfit.owner {
                fseg_pipeline::Owner::Permit(n) => ("permit", self.permit_called(compiled, n)),
                owner => self.owner_label(owner),
            };
            format!("switch {} cannot hold {kind} `{id}` (table {}): {}", self.name_of(*dpid), misfit.table, misfit.why)
        };
        compiled.misfits.iter().map(text).collect()
    }

    fn permit_called(&self, compiled: &Compiled, number: u32) -> String {
        let named = |p: &&fseg_policy::Permit| compiled.number_of(&self.permit_numbers, &p.id) == Some(number);
        compiled.policy.permits.iter().find(named).map_or_else(|| number.to_string(), |p| p.id.to_string())
    }

    fn report(&self, diff: &PolicyDiff, compiled: &Compiled) -> Applied {
        Applied {
            version: 0,
            added: diff.permits.added.clone(),
            removed: diff.permits.removed.clone(),
            changed: diff.permits.changed.clone(),
            rows: self.rows_touched(compiled),
            unconfirmed: vec![],
        }
    }

    fn rows_touched(&self, compiled: &Compiled) -> Vec<RowsTouched> {
        let touched = |(dpid, link): (&Dpid, &crate::link::Link)| {
            let owned = compiled.rows.get(dpid).map_or(&[][..], Vec::as_slice);
            let p = preview(&link.desired, owned);
            RowsTouched { switch: self.name_of(*dpid), added: p.added, changed: p.changed, removed: p.removed }
        };
        self.links.iter().map(touched).collect()
    }

    pub(crate) fn name_of(&self, dpid: Dpid) -> Name {
        self.config.switch(dpid).map_or_else(
            || Name::new(&dpid.to_string()).unwrap_or_else(|_| self.config.site.clone()),
            |s| s.name.clone(),
        )
    }

    /// A committed policy, at start. One that cannot be read permits nothing, loudly.
    pub(crate) fn load_policy(&mut self, version: PolicyVersion) {
        let checked = fseg_policy::check_at(&Source::new(&version.file, &version.text), self.now.wall);
        match checked.policy {
            Some(policy) => match crate::external::overlap(&self.config, &policy).first() {
                None => self.policy = policy,
                Some(why) => self.policy_unusable(why.clone()),
            },
            None => {
                let why = checked.diagnostics.iter().find(|d| d.is_error()).map(ToString::to_string);
                self.policy_unusable(why.unwrap_or_default());
            }
        }
        self.version = Some(version);
        self.number_permits();
    }

    fn policy_unusable(&mut self, why: String) {
        let text = format!("the committed policy cannot be used, so nothing is permitted: {why}");
        self.event(EventKind::System, text, |_| {});
        self.policy_broken = Some(why);
    }
}

impl Compiled {
    fn number_of(&self, known: &std::collections::BTreeMap<Name, u32>, id: &Name) -> Option<u32> {
        known.get(id).copied().or_else(|| self.new_number(id))
    }
}

/// What changed, in a few words: `+2 permits, ~1 group`.
fn summary(diff: &PolicyDiff) -> String {
    let mut parts = Vec::new();
    let sections = [
        ("permit", &diff.permits),
        ("group", &diff.groups),
        ("service", &diff.services),
        ("external", &diff.externals),
    ];
    for (what, changes) in sections {
        for (sign, list) in [('+', &changes.added), ('~', &changes.changed), ('-', &changes.removed)] {
            if !list.is_empty() {
                let plural = if list.len() == 1 { "" } else { "s" };
                parts.push(format!("{sign}{} {what}{plural}", list.len()));
            }
        }
    }
    if diff.observed {
        parts.push("mode".into());
    }
    if parts.is_empty() { "no change in meaning".into() } else { parts.join(", ") }
}
