//! The API's operations.

use fseg_admission::{Account, Device, HashParams, MacMatcher, PasswordHash, hash_password};
use fseg_api::{
    AccountChange, AccountNew, AccountView, ApiError, AuditEntry, DevicePut, DeviceView, EndpointView, ExplainRequest,
    Explanation, GroupView, Health, HealthPart, LogEntry, PermitView, PolicyApply, PolicyResult, PolicyView, Secret,
    SessionView, SwitchChange, SwitchView, TokenNew, TokenView, WhyView,
};
use fseg_control::{Answer as CoreAnswer, Controller, Input, LinkPhase, Now, Refusal};
use fseg_model::Name;
use fseg_yaml::Source;
use futures::future::BoxFuture;
use tokio::sync::broadcast;

use super::{Node, metrics, no_answer, refused, views};
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
            let mut parts = vec![HealthPart {
                name: "store".into(),
                ok: store_ok,
                detail: if store_ok {
                    "changes are durable".into()
                } else {
                    "changes are not accepted: look at the disk and the process log; traffic goes on".into()
                },
            }];
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
                        HealthPart {
                            name: format!("switch {}", c.config().switch_name(dpid)),
                            ok: s.phase == LinkPhase::Up,
                            detail: format!("{phase}, {} rows, {} changes pending{trouble}", s.rows, s.pending),
                        }
                    })
                    .collect();
                parts.push(match (c.policy_broken(), c.policy_version()) {
                    (Some(why), _) => HealthPart {
                        name: "policy".into(),
                        ok: false,
                        detail: format!("the committed policy cannot be used, nothing is permitted: {why}"),
                    },
                    (None, Some(v)) => {
                        HealthPart { name: "policy".into(), ok: true, detail: format!("version {}", v.version) }
                    }
                    (None, None) => HealthPart {
                        name: "policy".into(),
                        ok: true,
                        detail: "none applied yet, so nothing is permitted: `fseg apply FILE`".into(),
                    },
                });
                parts
            });
            match asked.await {
                Ok(more) => parts.extend(more),
                Err(e) => parts.push(HealthPart { name: "controller".into(), ok: false, detail: e.to_string() }),
            }
            Health {
                ok: parts.iter().all(|p| p.ok),
                node: self.name.to_string(),
                version: env!("CARGO_PKG_VERSION").into(),
                parts,
            }
        })
    }

    fn metrics(&self, _: Caller) -> Answer<'_, String> {
        let store_ok = self.core.store_ok();
        self.view(move |c, _| metrics::encode(&metrics::collect(c, store_ok)))
    }

    fn endpoints(&self, _: Caller) -> Answer<'_, Vec<EndpointView>> {
        self.view(views::endpoints)
    }

    fn sessions(&self, _: Caller) -> Answer<'_, Vec<SessionView>> {
        self.view(views::sessions)
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

    fn explain(&self, _: Caller, question: ExplainRequest) -> Answer<'_, Explanation> {
        Box::pin(async move {
            let answer = self.core.ask(move |c, now| {
                let party = |text: &str| {
                    c.party(text).ok_or_else(|| {
                        ApiError::not_found("endpoint, external or address", text)
                            .help("`fseg endpoints` lists who is known; an endpoint that never came has no name yet")
                    })
                };
                let (from, to) = (party(&question.from)?, party(&question.to)?);
                let flows = c.flows_of(&question.service).ok_or_else(|| {
                    ApiError::not_found("service", &question.service).help("write a service of the policy, or tcp/443")
                })?;
                // A service is permitted when all of it is: the first part that is not is the answer.
                let mut answers = flows.into_iter().map(|flow| c.explain(from.clone(), to.clone(), flow));
                let first = answers.next().ok_or_else(|| ApiError::internal("a service without ports"))?;
                let denied = |e: &fseg_control::Explained| !e.decision.is_permit();
                let answer = if denied(&first) { first } else { answers.find(denied).unwrap_or(first) };
                Ok(views::explanation(c, &answer, now))
            });
            answer.await.map_err(no_answer)?
        })
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
            Some(v) => PolicyView {
                version: v.version,
                applied: Some(v.at.into()),
                by: Some(v.who.clone()),
                file_name: Some(v.file.clone()),
                text: v.text.clone(),
            },
            None => PolicyView { version: 0, applied: None, by: None, file_name: None, text: String::new() },
        })
    }

    fn policy_apply(&self, caller: Caller, policy: PolicyApply, dry_run: bool) -> Answer<'_, PolicyResult> {
        Box::pin(async move {
            let PolicyApply { text, file_name } = policy;
            let wall = self.core.clock.now().wall;
            // Checked here, off the controller's thread, for the report; the controller checks what it is given again.
            let (source_text, source_name) = (text.clone(), file_name.clone());
            let work = tokio::task::spawn_blocking(move || {
                let source = Source::new(source_name, source_text);
                let mut checked = fseg_policy::check_at(&source, wall);
                checked.warn_of_missing_protection(&source);
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
            let input = |ticket| Input::ApplyPolicy { ticket, who, file: file_name, text, dry_run };
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
                    result.rows = a
                        .rows
                        .iter()
                        .map(|(switch, added, removed)| SwitchChange {
                            switch: switch.to_string(),
                            added: *added as u64,
                            changed: 0,
                            removed: *removed as u64,
                        })
                        .collect();
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
