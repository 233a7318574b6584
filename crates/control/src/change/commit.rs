//! Two steps over all switches. First each connected switch is given its rows and holds them ready; one that refuses, is
//! silent or goes away ends it, and nothing has changed anywhere. Then the version is committed as *pending*, every switch
//! puts its rows into effect, and when all have confirmed the version is committed as *applied*. A switch that fails in the
//! second step takes all others back to the version before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fseg_model::{Dpid, Mono, Name};
use fseg_pipeline::{Owner, Row};
use fseg_policy::Policy;

use super::compile::{Compiled, preview};
use super::{Request, summary};
use crate::controller::Controller;
use crate::effect::{Answer, Applied, EventKind, NotApplied};
use crate::link::LinkPhase;
use crate::record::{PolicyVersion, VersionState};

/// How long switches have for each of the steps: holding ready, putting into effect, and taking back.
const STEP: Duration = Duration::from_secs(5);

/// A policy on its way into force.
pub(crate) struct Applying {
    request: Request,
    policy: Policy,
    report: Applied,
    since: Mono,
    stage: Stage,
}

enum Stage {
    Preparing {
        /// Switches that have not said yet whether they hold it ready.
        asked: BTreeSet<Dpid>,
        ready: BTreeSet<Dpid>,
        refused: BTreeMap<Dpid, String>,
    },
    Committing {
        /// What must still be confirmed; `None` until it is sent.
        on: Option<BTreeSet<(Dpid, u32)>>,
        version: PolicyVersion,
        before: Box<(Policy, Option<PolicyVersion>)>,
        /// Switches without it, by explicit wish or since they were not connected.
        without: BTreeSet<Dpid>,
        failed: BTreeMap<Dpid, String>,
    },
    Undoing {
        on: Option<BTreeSet<(Dpid, u32)>>,
        failed: BTreeSet<Dpid>,
        answer: NotApplied,
    },
}

impl Applying {
    pub(super) fn who(&self) -> &str {
        &self.request.who
    }
}

impl Controller {
    /// The first step.
    pub(super) fn prepare_policy(&mut self, request: Request, compiled: Compiled, report: Applied) {
        // Whatever the outcome: numbers that are on switches must not mean something else a moment later.
        self.adopt_numbers(&compiled);
        let round = self.round;
        let mut asked = BTreeSet::new();
        for (dpid, link) in &mut self.links {
            let Some(owned) = compiled.rows.get(dpid) else { continue };
            let changes = preview(&link.desired, owned).rows;
            if changes.is_empty() {
                continue;
            }
            if let Some(messages) = link.prepare(changes, round) {
                self.outgoing.push((*dpid, link.connection, messages));
                asked.insert(*dpid);
            }
        }
        let stage = Stage::Preparing { asked, ready: BTreeSet::new(), refused: BTreeMap::new() };
        let policy = compiled.policy;
        self.applying = Some(Applying { request, policy, report, since: self.now.mono, stage });
        self.preparation_step();
    }

    pub(crate) fn switch_prepared(&mut self, dpid: Dpid) {
        if let Some(Applying { stage: Stage::Preparing { asked, ready, .. }, .. }) = &mut self.applying
            && asked.remove(&dpid)
        {
            ready.insert(dpid);
            self.preparation_step();
        }
    }

    pub(crate) fn switch_unprepared(&mut self, dpid: Dpid, message: &str, owner: Option<Owner>, row: Option<&Row>) {
        let whose = owner.map(|owner| {
            let (kind, id) = self.owner_label(owner);
            let table = row.map(|r| format!(" in table {}", r.key.table)).unwrap_or_default();
            format!(" a row of {kind} {id}{table}")
        });
        let round = self.round;
        let text = row.map(|r| format!(": {}", r.to_add(round))).unwrap_or_default();
        let why = format!("it refuses{}: {message}{text}", whose.unwrap_or_default());
        self.not_prepared(dpid, why);
    }

    fn not_prepared(&mut self, dpid: Dpid, why: String) {
        if let Some(Applying { stage: Stage::Preparing { asked, ready, refused }, .. }) = &mut self.applying
            && (asked.remove(&dpid) | ready.remove(&dpid))
        {
            refused.entry(dpid).or_insert(why);
            self.preparation_step();
        }
    }

    /// All have answered: on to the second step, or back.
    fn preparation_step(&mut self) {
        let Some(Applying { stage: Stage::Preparing { asked, refused, .. }, request, .. }) = &self.applying else {
            return;
        };
        let (waiting, refusals, partial) = (!asked.is_empty(), refused.clone(), request.options.partial);
        if !refusals.is_empty() && !partial {
            let Some(applying) = self.applying.take() else { return };
            for (dpid, link) in &mut self.links {
                let messages = link.discard();
                if !messages.is_empty() {
                    self.outgoing.push((*dpid, link.connection, messages));
                }
            }
            let version = self.version.as_ref().map_or(0, |v| v.version);
            let switches = self.named(refusals);
            self.say_not_applied(&applying.request.who, version, &switches, false);
            let answer = NotApplied { version, switches, undone: false, unconfirmed: vec![] };
            self.answer(applying.request.ticket, Answer::NotApplied(answer));
        } else if !waiting {
            self.commit_policy();
        }
    }

    fn named(&self, switches: impl IntoIterator<Item = (Dpid, String)>) -> Vec<(Name, String)> {
        switches.into_iter().map(|(dpid, why)| (self.name_of(dpid), why)).collect()
    }

    fn say_not_applied(&mut self, who: &str, kept: u64, switches: &[(Name, String)], undone: bool) {
        let list: Vec<String> = switches.iter().map(|(name, why)| format!("switch {name}: {why}")).collect();
        let what = if undone { "was taken back" } else { "is not applied" };
        let text = format!("the policy of {who} {what}, version {kept} holds; {}", list.join("; "));
        self.event(EventKind::Policy, text, |_| {});
        let detail = serde_json::json!({ "in_force": kept, "switches": list });
        self.audit(who, if undone { "policy.undone" } else { "policy.refused" }, detail);
    }

    /// The second step: the version is pending in the same commit that precedes the switches' messages.
    fn commit_policy(&mut self) {
        // Permits whose time has come meanwhile: first under the policy that they belong to.
        self.expire_permits();
        let Some(Applying { request, policy, mut report, stage, .. }) = self.applying.take() else { return };
        let refused = if let Stage::Preparing { refused, .. } = stage { refused } else { BTreeMap::new() };
        // Compiled again: who came or went since the first step is in it. What differs from what was prepared follows
        // directly behind it.
        let compiled = self.compile(&policy);
        let diff = self.policy.diff(&policy);
        report.rows = self.rows_touched(&compiled);
        let version = PolicyVersion {
            version: self.versions.next(),
            file: request.file.clone(),
            text: request.text.clone(),
            who: request.who.clone(),
            at: self.now.wall,
            message: request.options.message.clone(),
            state: VersionState::Pending,
            summary: summary(&diff),
        };
        report.version = version.version;
        self.keep_version(version.clone());
        let old_policy = self.policy.clone();
        let old_version = self.version.replace(version.clone());
        self.install(compiled);
        let mut without = BTreeSet::new();
        for (dpid, link) in &mut self.links {
            if link.phase != LinkPhase::Up {
                without.insert(*dpid);
            }
            let messages = link.commit();
            if !messages.is_empty() {
                self.outgoing.push((*dpid, link.connection, messages));
            }
        }
        let before = Box::new((old_policy, old_version));
        let stage = Stage::Committing { on: None, version, before, without, failed: refused };
        self.applying = Some(Applying { request, policy: Policy::empty(), report, since: self.now.mono, stage });
    }

    /// Called when everything has been handed out for sending: from here on the switches' confirmations count.
    pub(crate) fn change_sent(&mut self) {
        let (on, failed) = match &mut self.applying {
            Some(Applying { stage: Stage::Committing { on, .. }, .. }) => (on, BTreeSet::new()),
            // Who failed is read again before it is given anything; it has not confirmed, and is said not to have.
            Some(Applying { stage: Stage::Undoing { on, failed, .. }, .. }) => (on, failed.clone()),
            _ => return,
        };
        if on.is_some() {
            return;
        }
        let there = self.links.iter().filter(|(dpid, l)| l.phase == LinkPhase::Up && !failed.contains(dpid));
        *on = Some(there.flat_map(|(dpid, link)| link.awaited_all().map(|barrier| (*dpid, barrier))).collect());
        self.change_settled();
    }

    pub(crate) fn change_confirmed(&mut self, dpid: Dpid, barrier: u32) {
        if let Some(Applying {
            stage: Stage::Committing { on: Some(on), .. } | Stage::Undoing { on: Some(on), .. },
            ..
        }) = &mut self.applying
            && on.remove(&(dpid, barrier))
        {
            self.change_settled();
        }
    }

    /// A switch refused something; perhaps this.
    pub(crate) fn change_refused(&mut self, dpid: Dpid, message: &str) {
        let Some(link) = self.links.get(&dpid) else { return };
        if let Some(Applying { stage: Stage::Committing { on: Some(on), .. }, .. }) = &self.applying
            && on.iter().any(|(d, barrier)| *d == dpid && link.is_refused(*barrier))
        {
            self.change_failed(dpid, format!("it refuses the change: {message}"));
        }
    }

    /// A switch is gone.
    pub(crate) fn change_lost(&mut self, dpid: Dpid) {
        self.not_prepared(dpid, "it disconnected while it was given the rows".into());
        match &mut self.applying {
            Some(Applying { stage: Stage::Committing { on: Some(on), .. }, .. })
                if on.iter().any(|(d, _)| *d == dpid) =>
            {
                self.change_failed(dpid, "it disconnected while the policy was put in force".into());
            }
            Some(Applying { stage: Stage::Undoing { on: Some(on), answer, .. }, .. }) => {
                let before = on.len();
                on.retain(|(d, _)| *d != dpid);
                if on.len() < before {
                    let name = self.config.switch(dpid).map(|s| s.name.clone());
                    answer.unconfirmed.extend(name);
                }
                self.change_settled();
            }
            _ => {}
        }
    }

    fn change_failed(&mut self, dpid: Dpid, why: String) {
        let Some(Applying { stage: Stage::Committing { on: Some(on), failed, .. }, request, .. }) = &mut self.applying
        else {
            return;
        };
        on.retain(|(d, _)| *d != dpid);
        failed.insert(dpid, why);
        if request.options.partial { self.change_settled() } else { self.undo_policy() }
    }

    /// Deadlines.
    pub(crate) fn change_tick(&mut self) {
        let now = self.now.mono;
        let Some(applying) = &mut self.applying else { return };
        let late = now.since(applying.since) >= STEP;
        match &mut applying.stage {
            Stage::Preparing { asked, ready, .. } => {
                let waits: Vec<Dpid> = asked.iter().chain(ready.iter()).copied().collect();
                let asked = asked.clone();
                for dpid in waits {
                    let there = self.links.get(&dpid).is_some_and(|l| l.has_prepared());
                    if !there {
                        self.not_prepared(dpid, "its tables had to be read again meanwhile; try again".into());
                    } else if late && asked.contains(&dpid) {
                        let text = format!("it did not answer within {} s (`fseg switches`)", STEP.as_secs());
                        self.not_prepared(dpid, text);
                    }
                }
            }
            Stage::Committing { on: Some(on), .. } if late => {
                let silent: BTreeSet<Dpid> = on.iter().map(|(dpid, _)| *dpid).collect();
                for dpid in silent {
                    let text = format!("it did not confirm within {} s (`fseg switches`)", STEP.as_secs());
                    self.change_failed(dpid, text);
                }
            }
            Stage::Undoing { on: Some(on), answer, .. } if late => {
                let silent: BTreeSet<Dpid> = std::mem::take(on).into_iter().map(|(dpid, _)| dpid).collect();
                let names = silent.iter().filter_map(|d| self.config.switch(*d)).map(|s| s.name.clone());
                answer.unconfirmed.extend(names);
                self.change_settled();
            }
            _ => {}
        }
    }

    /// Everybody has confirmed who will.
    fn change_settled(&mut self) {
        let done = matches!(
            &self.applying,
            Some(Applying { stage: Stage::Committing { on: Some(on), .. } | Stage::Undoing { on: Some(on), .. }, .. })
                if on.is_empty()
        );
        if !done {
            return;
        }
        let Some(Applying { request, mut report, stage, .. }) = self.applying.take() else { return };
        match stage {
            Stage::Preparing { .. } => {}
            Stage::Committing { version, without, failed, .. } => {
                let applied = PolicyVersion { state: VersionState::Applied, ..version };
                self.version = Some(applied.clone());
                self.keep_version(applied);
                let missing: BTreeSet<Dpid> = without.into_iter().chain(failed.keys().copied()).collect();
                report.unconfirmed = missing.into_iter().map(|dpid| self.name_of(dpid)).collect();
                let detail = serde_json::json!({
                    "version": report.version, "added": report.added, "removed": report.removed,
                    "changed": report.changed, "unconfirmed": report.unconfirmed,
                    "message": request.options.message,
                });
                self.audit(&request.who, "policy.apply", detail);
                let except: Vec<&str> = report.unconfirmed.iter().map(Name::as_str).collect();
                let except =
                    if except.is_empty() { String::new() } else { format!(", except on {}", except.join(", ")) };
                let text = format!("policy version {} by {}{except}", report.version, request.who);
                self.event(EventKind::Policy, text, |_| {});
                if self.policy.observed.everything {
                    self.event(EventKind::Policy, "observe-only: nothing is enforced", |_| {});
                }
                self.answer(request.ticket, Answer::Applied(report));
            }
            Stage::Undoing { answer, .. } => self.answer(request.ticket, Answer::NotApplied(answer)),
        }
    }

    /// Back to the version before, on every switch, as an ordinary change: a switch that never had the new rows is left as
    /// it is by its next reading.
    fn undo_policy(&mut self) {
        let Some(Applying { request, report, stage, .. }) = self.applying.take() else { return };
        let Stage::Committing { version, before, failed, .. } = stage else { return };
        let (policy, old_version) = *before;
        let compiled = self.compile(&policy);
        self.install(compiled);
        self.keep_version(PolicyVersion { state: VersionState::Undone, ..version });
        let kept = old_version.as_ref().map_or(0, |v| v.version);
        self.version = old_version;
        let lost: Vec<Name> = failed.keys().map(|dpid| self.name_of(*dpid)).collect();
        let gone: BTreeSet<Dpid> = failed.keys().copied().collect();
        let switches = self.named(failed);
        self.say_not_applied(&request.who, kept, &switches, true);
        let answer = NotApplied { version: kept, switches, undone: true, unconfirmed: lost };
        let stage = Stage::Undoing { on: None, failed: gone, answer };
        self.applying = Some(Applying { request, policy: Policy::empty(), report, since: self.now.mono, stage });
    }
}
