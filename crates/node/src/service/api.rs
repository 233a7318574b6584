//! The API's operations.

use fseg_admission::{Account, Device, HashParams, MacMatcher, PasswordHash, hash_password};
use fseg_api::{
    AccountChange, AccountNew, AccountView, ApiError, AuditEntry, DevicePut, DeviceView, DiffRequest, DiffView,
    EndpointView, EnrolNew, Enrolled, Enrolments, ExplainRequest, Explanation, GroupView, Health, HealthPart, LogEntry,
    PermitView, PlanRequest, PlanView, PolicyApply, PolicyResult, PolicyView, Secret, SessionView, SwitchRefusal,
    SwitchView, TokenNew, TokenView, VersionView, WhyView,
};
use fseg_control::{Answer as CoreAnswer, ApplyOptions, Controller, Input, LinkPhase, Now, Refusal};
use fseg_model::Name;
use fseg_yaml::Source;
use futures::future::BoxFuture;
use tokio::sync::broadcast;

use super::{Node, metrics, no_answer, outside, refused, trace, views};
use crate::http::{Answer, Caller, NodeService, Page, TokenHash};

impl Node {
    fn view<T: Send + 'static>(&self, f: impl FnOnce(&Controller, Now) -> T + Send + 'static) -> Answer<'_, T> {
        Box::pin(async move { self.core.ask(move |c, now| f(c, now)).await.map_err(no_answer) })
    }

    async fn done(&self, input: impl FnOnce(fseg_control::Ticket) -> Input) -> Result<(), ApiError> {
        match self.core.submit(input).await.map_err(no_answer)? {
            CoreAnswer::Done(_) => Ok(()),
            other => Err(refused(other)),
        }
    }

    async fn account_view(&self, name: Name) -> Result<AccountView, ApiError> {
        let found = self.core.ask({
            let name = name.clone();
            move |c, _| c.admission().account(&name).map(|a| views::account(c, a))
        });
        found.await.map_err(no_answer)?.ok_or_else(|| ApiError::not_found("account", name))
    }

    async fn hash(&self, password: Secret) -> Result<PasswordHash, ApiError> {
        let params: HashParams = self.core.ask(|c, _| c.admission().config().hash).await.map_err(no_answer)?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|e| ApiError::internal(format!("no random numbers: {e}")))?;
        let work = tokio::task::spawn_blocking(move || hash_password(password.expose(), salt, params));
        let hash = work.await.map_err(|e| ApiError::internal(e.to_string()))?;
        hash.map_err(|e| ApiError::bad_request(e.to_string()))
    }
}

fn roles(list: Vec<String>) -> Result<std::collections::BTreeSet<Name>, ApiError> {
    list.iter().map(|r| Name::new(r).map_err(|e| ApiError::bad_request(e.to_string()))).collect()
}

impl NodeService for Node {
    fn authenticate(&self, token: TokenHash) -> BoxFuture<'_, Option<Caller>> {
        Box::pin(async move { self.tokens.authenticate(token, self.core.clock.now().wall) })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            let store_ok = self.core.store_ok();
            let said = match store_ok {
                true => "changes are durable",
                false => "changes are not accepted: look at the disk and the process log; traffic goes on",
            };
            let mut parts = vec![HealthPart::new("store", store_ok, said)];
            let asked = self.core.ask(|c, _| {
                let mut parts: Vec<HealthPart> = c
                    .switches()
                    .map(|(dpid, s)| {
                        let phase = match s.phase {
                            LinkPhase::Up => "connected",
                            LinkPhase::Reading => "connected, its tables are being read",
                            LinkPhase::Down => "not connected; it keeps its tables",
                        };
                        let trouble = s.last_error.map(|e| format!("; last error: {e}")).unwrap_or_default();
                        let (whole, lacks) = super::fit::sentence(c, dpid);
                        let detail = format!("{phase}, {} rows, {} changes pending{trouble}{lacks}", s.rows, s.pending);
                        let name = format!("switch {}", c.config().switch_name(dpid));
                        HealthPart::new(name, s.phase == LinkPhase::Up && whole, detail)
                    })
                    .collect();
                parts.push(match (c.policy_broken(), c.policy_version()) {
                    (Some(why), _) => {
                        let detail = format!("the committed policy cannot be used, nothing is permitted: {why}");
                        HealthPart::new("policy", false, detail)
                    }
                    (None, Some(v)) => {
                        let observed = &c.policy().observed;
                        let version = v.version;
                        match (observed.everything, observed.groups.len()) {
                            (true, _) => HealthPart::warning(
                                "policy",
                                format!("version {version}; OBSERVE-ONLY: nothing is enforced"),
                            ),
                            (false, 0) => HealthPart::new("policy", true, format!("version {version}")),
                            (false, n) => HealthPart::warning(
                                "policy",
                                format!("version {version}; observe-only for {n} groups: nothing is denied there"),
                            ),
                        }
                    }
                    (None, None) => {
                        HealthPart::new("policy", true, "none applied yet, so nothing is permitted: `fseg apply FILE`")
                    }
                });
                parts
            });
            parts.extend(self.connection_health());
            parts.extend(self.proof_health().await);
            match asked.await {
                Ok(more) => parts.extend(more),
                Err(e) => parts.push(HealthPart::new("controller", false, e.to_string())),
            }
            Health::of(self.name.to_string(), env!("CARGO_PKG_VERSION"), parts)
        })
    }

    fn metrics(&self, _: Caller) -> Answer<'_, String> {
        let store_ok = self.core.store_ok();
        let proofs = self.core.proofs.last();
        self.view(move |c, _| metrics::encode(&metrics::collect(c, store_ok, &proofs)))
    }

    fn endpoints(&self, _: Caller) -> Answer<'_, Vec<EndpointView>> {
        self.view(views::endpoints)
    }

    fn sessions(&self, _: Caller) -> Answer<'_, Vec<SessionView>> {
        self.view(views::sessions)
    }

    fn externals(&self, _: Caller) -> Answer<'_, Vec<fseg_api::ExternalView>> {
        self.view(outside::externals)
    }

    fn services(&self, _: Caller) -> Answer<'_, Vec<fseg_api::ServiceView>> {
        self.view(outside::services)
    }

    fn streams(&self, _: Caller) -> Answer<'_, Vec<fseg_api::StreamView>> {
        self.view(outside::streams)
    }

    fn groups(&self, _: Caller) -> Answer<'_, Vec<GroupView>> {
        self.view(views::groups)
    }

    fn permits(&self, _: Caller) -> Answer<'_, Vec<PermitView>> {
        self.view(views::permits)
    }

    fn switches(&self, _: Caller) -> Answer<'_, Vec<SwitchView>> {
        let outlets = self.core.outlets.clone();
        self.view(move |c, _| views::switches(c, &outlets))
    }

    fn switch_proof(&self, _: Caller, name: Name) -> Answer<'_, fseg_api::ProofView> {
        Box::pin(self.prove(name))
    }

    fn enrolments(&self, _: Caller) -> Answer<'_, Enrolments> {
        Box::pin(async move { Ok(self.enrolment_views()) })
    }

    fn switch_enrol(&self, caller: Caller, name: Name, enrol: EnrolNew) -> Answer<'_, Enrolled> {
        Box::pin(self.enrol_switch(caller, name, enrol))
    }

    fn switch_revoke(&self, caller: Caller, name: Name) -> Answer<'_, ()> {
        Box::pin(self.revoke_switch(caller, name))
    }

    fn explain(&self, _: Caller, question: ExplainRequest) -> Answer<'_, Explanation> {
        Box::pin(async move {
            let answer = self.core.ask(move |c, now| {
                let (from, to) = (trace::party(c, &question.from)?, trace::party(c, &question.to)?);
                let flows = trace::flows(c, &question.service)?;
                // A service is permitted when all of it is: the first part that is not is the answer.
                let mut answers = flows.into_iter().map(|flow| c.explain(from.clone(), to.clone(), flow));
                let first = answers.next().ok_or_else(|| ApiError::internal("a service without ports"))?;
                let denied = |e: &fseg_control::Explained| !e.is_permit() || e.defect.is_some();
                let answer = if denied(&first) { first } else { answers.find(denied).unwrap_or(first) };
                Ok(views::explanation(c, &answer, now))
            });
            answer.await.map_err(no_answer)?
        })
    }

    fn trace(&self, _: Caller, question: fseg_api::TraceRequest) -> Answer<'_, fseg_api::TraceView> {
        Box::pin(async move { self.core.ask(move |c, _| trace::trace(c, &question)).await.map_err(no_answer)? })
    }

    fn why(&self, _: Caller, cookie: u64) -> Answer<'_, WhyView> {
        Box::pin(async move {
            let answer = self.core.ask(move |c, _| c.why(cookie).map(|w| views::why(c, cookie, &w)));
            answer.await.map_err(no_answer)?.ok_or_else(|| {
                ApiError::not_found("row with the cookie", format!("{cookie:#x}"))
                    .help("cookies of this network begin with 0xf5; any other row is foreign")
            })
        })
    }

    fn policy(&self, _: Caller) -> Answer<'_, PolicyView> {
        self.view(|c, _| match c.policy_version() {
            Some(v) => super::change::policy_view(v),
            None => {
                let (applied, by, file_name, message) = Default::default();
                PolicyView { version: 0, applied, by, file_name, text: String::new(), message }
            }
        })
    }

    fn policy_apply(&self, caller: Caller, policy: PolicyApply, dry_run: bool) -> Answer<'_, PolicyResult> {
        Box::pin(async move {
            let PolicyApply { text, file_name, message, if_version, partial } = policy;
            let wall = self.core.clock.now().wall;
            // Checked here, off the controller's thread, for the report; the controller checks what it is given again.
            let (source_text, source_name) = (text.clone(), file_name.clone());
            let plain = self.core.ask(|c, _| c.plain_switches()).await.map_err(no_answer)?;
            let work = tokio::task::spawn_blocking(move || {
                let source = Source::new(source_name, source_text);
                let mut checked = fseg_policy::check_at(&source, wall);
                checked.warn_of_missing_protection(&source);
                checked.warn_of_plain_switches(&source, &plain);
                super::report::of(&checked, wall)
            });
            let mut result = work.await.map_err(|e| ApiError::internal(e.to_string()))?;
            let in_force =
                self.core.ask(|c, _| c.policy_version().map_or(0, |v| v.version)).await.map_err(no_answer)?;
            result.version = in_force;
            if !result.accepted {
                return Ok(result);
            }
            let who = caller.name;
            let options = ApplyOptions { message, if_version, partial };
            let input = |ticket| Input::ApplyPolicy { ticket, who, file: file_name, text, dry_run, options };
            match self.core.submit(input).await.map_err(no_answer)? {
                CoreAnswer::Applied(a) => {
                    let strings = |list: &[Name]| list.iter().map(ToString::to_string).collect();
                    result.applied = !dry_run;
                    if result.applied {
                        result.version = a.version;
                    }
                    result.added = strings(&a.added);
                    result.removed = strings(&a.removed);
                    result.changed = strings(&a.changed);
                    result.unconfirmed = strings(&a.unconfirmed);
                    result.rows = a.rows.iter().map(super::change::switch_change).collect();
                    Ok(result)
                }
                CoreAnswer::NotApplied(not) => {
                    result.accepted = false;
                    let refusal = |(switch, reason): &(Name, String)| SwitchRefusal {
                        switch: switch.to_string(),
                        reason: reason.clone(),
                    };
                    result.refused_by = not.switches.iter().map(refusal).collect();
                    result.unconfirmed = not.unconfirmed.iter().map(ToString::to_string).collect();
                    Ok(result)
                }
                CoreAnswer::Refused(Refusal::Invalid(lines)) => {
                    result.accepted = false;
                    result.diagnostics.extend(lines.into_iter().map(super::report::plain));
                    Ok(result)
                }
                other => Err(refused(other)),
            }
        })
    }

    fn policy_plan(&self, _: Caller, request: PlanRequest) -> Answer<'_, PlanView> {
        Box::pin(async move { self.plan_of(request).await })
    }

    fn policy_versions(&self, _: Caller, page: Page) -> Answer<'_, Vec<VersionView>> {
        Box::pin(async move { self.versions_of(page).await })
    }

    fn policy_version(&self, _: Caller, version: u64) -> Answer<'_, PolicyView> {
        Box::pin(async move { self.version_of(version).await })
    }

    fn policy_diff(&self, _: Caller, request: DiffRequest) -> Answer<'_, DiffView> {
        Box::pin(async move { self.diff_of(request).await })
    }

    fn accounts(&self, _: Caller) -> Answer<'_, Vec<AccountView>> {
        self.view(|c, _| c.admission().accounts().map(|a| views::account(c, a)).collect())
    }

    fn account_create(&self, caller: Caller, account: AccountNew) -> Answer<'_, AccountView> {
        Box::pin(async move {
            let name = Name::new(&account.name).map_err(|e| ApiError::bad_request(e.to_string()))?;
            if self.account_view(name.clone()).await.is_ok() {
                return Err(ApiError::conflict(format!("there is already an account `{name}`")));
            }
            let roles = roles(account.roles)?;
            let hash = self.hash(account.password).await?;
            let mut new = Account::new(name.clone(), hash, self.core.clock.now().wall);
            new.roles = roles;
            new.display_name = account.display_name;
            let who = caller.name;
            self.done(|ticket| Input::PutAccount { ticket, who, account: Box::new(new) }).await?;
            self.account_view(name).await
        })
    }

    fn account_change(&self, caller: Caller, name: Name, change: AccountChange) -> Answer<'_, AccountView> {
        Box::pin(async move {
            let wanted = name.clone();
            let found = self.core.ask(move |c, _| c.admission().account(&wanted).cloned()).await.map_err(no_answer)?;
            let mut account = found.ok_or_else(|| ApiError::not_found("account", &name))?;
            if let Some(password) = change.password {
                account.password = self.hash(password).await?;
            }
            if let Some(list) = change.roles {
                account.roles = roles(list)?;
            }
            if let Some(text) = change.display_name {
                account.display_name = (!text.is_empty()).then_some(text);
            }
            if let Some(disabled) = change.disabled {
                account.disabled = disabled;
            }
            let who = caller.name;
            self.done(|ticket| Input::PutAccount { ticket, who, account: Box::new(account) }).await?;
            self.account_view(name).await
        })
    }

    fn account_delete(&self, caller: Caller, name: Name) -> Answer<'_, ()> {
        Box::pin(async move { self.done(|ticket| Input::DeleteAccount { ticket, who: caller.name, name }).await })
    }

    fn devices(&self, _: Caller) -> Answer<'_, Vec<DeviceView>> {
        self.view(|c, _| c.admission().devices().map(|d| views::device(c, d)).collect())
    }

    fn device_put(&self, caller: Caller, name: Name, device: DevicePut) -> Answer<'_, DeviceView> {
        Box::pin(async move {
            let matcher: MacMatcher =
                device.mac.parse().map_err(|e: fseg_admission::MatcherError| ApiError::bad_request(e.to_string()))?;
            let mut new = Device::new(name.clone(), matcher);
            new.roles = roles(device.roles)?;
            new.address = device.address;
            new.is_static = device.is_static;
            new.disabled = device.disabled;
            let who = caller.name;
            self.done(|ticket| Input::PutDevice { ticket, who, device: Box::new(new) }).await?;
            let found = self.core.ask(move |c, _| c.admission().device(&name).map(|d| views::device(c, d)));
            found.await.map_err(no_answer)?.ok_or_else(|| ApiError::internal("the device is gone again"))
        })
    }

    fn device_delete(&self, caller: Caller, name: Name) -> Answer<'_, ()> {
        Box::pin(async move { self.done(|ticket| Input::DeleteDevice { ticket, who: caller.name, name }).await })
    }

    fn log(&self, _: Caller, page: Page) -> Answer<'_, Vec<LogEntry>> {
        Box::pin(async move { Ok(self.events.page(page)) })
    }

    fn events(&self, _: Caller) -> Answer<'_, broadcast::Receiver<LogEntry>> {
        Box::pin(async move { Ok(self.events.live()) })
    }

    fn audit(&self, _: Caller, page: Page) -> Answer<'_, Vec<AuditEntry>> {
        Box::pin(async move {
            let rows = self.core.store(move |store| store.audit(page.before, page.limit)).await.map_err(no_answer)?;
            let rows = rows.map_err(|e| ApiError::unavailable(e.to_string()))?;
            Ok(rows
                .into_iter()
                .map(|r| AuditEntry {
                    seq: r.seq,
                    at: r.entry.at.into(),
                    who: r.entry.who,
                    what: r.entry.what,
                    detail: r.entry.detail,
                })
                .collect())
        })
    }

    fn tokens(&self, _: Caller) -> Answer<'_, Vec<TokenView>> {
        Box::pin(async move { Ok(self.tokens.list()) })
    }

    fn token_create(&self, caller: Caller, token: TokenNew, hash: TokenHash) -> Answer<'_, TokenView> {
        Box::pin(async move { self.tokens.create(&self.core, caller.name, token, hash).await })
    }

    fn token_revoke(&self, caller: Caller, name: Name) -> Answer<'_, ()> {
        Box::pin(async move { self.tokens.revoke(&self.core, caller.name, &name).await })
    }
}
