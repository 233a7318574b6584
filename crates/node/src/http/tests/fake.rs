//! A node that remembers who asked for what, and answers with little.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use fseg_api::*;
use fseg_model::{Name, Wall};
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use tokio::sync::broadcast;

use crate::http::{Answer, Caller, NodeService, Page, TokenHash};

pub(super) struct Fake {
    pub(super) calls: Mutex<Vec<(OperationId, String)>>,
    pub(super) tokens: Mutex<HashMap<TokenHash, Caller>>,
    pub(super) events: broadcast::Sender<LogEntry>,
    pub(super) healthy: Mutex<bool>,
}

pub(super) const NOW: Timestamp = Timestamp(Wall(1_795_167_000_000));

pub(super) fn entry(seq: u64) -> LogEntry {
    LogEntry {
        seq,
        at: NOW,
        kind: LogKind::Admitted,
        message: "anna was admitted".into(),
        endpoint: Some("anna".into()),
        peer: None,
        service: None,
        mac: None,
        place: None,
    }
}

impl Fake {
    /// With one token for each role, whose text is the role's word.
    pub(super) fn new() -> Arc<Self> {
        let caller = |role: Role| Caller { name: format!("the {role}"), role };
        let tokens = Role::ALL.map(|r| (TokenHash::of(r.as_str()), caller(r)));
        Arc::new(Self {
            calls: Mutex::default(),
            tokens: Mutex::new(tokens.into()),
            events: broadcast::channel(4).0,
            healthy: Mutex::new(true),
        })
    }

    fn give<T: Send + 'static>(&self, id: OperationId, caller: Caller, value: T) -> Answer<'_, T> {
        self.calls.lock().unwrap().push((id, caller.name));
        ready(Ok(value)).boxed()
    }

    fn account(name: &str) -> AccountView {
        AccountView {
            name: name.into(),
            display_name: None,
            roles: vec![],
            disabled: false,
            created: NOW,
            changed: NOW,
            endpoints: vec![],
        }
    }

    fn result(accepted: bool, dry_run: bool) -> PolicyResult {
        PolicyResult {
            accepted,
            applied: accepted && !dry_run,
            version: 1,
            diagnostics: vec![],
            added: vec![],
            removed: vec![],
            changed: vec![],
            rows: vec![],
            unconfirmed: vec![],
            refused_by: vec![],
            tests: vec![],
        }
    }
}

use OperationId as Id;

impl NodeService for Fake {
    fn authenticate(&self, token: TokenHash) -> BoxFuture<'_, Option<Caller>> {
        ready(self.tokens.lock().unwrap().get(&token).cloned()).boxed()
    }
    fn health(&self) -> BoxFuture<'_, Health> {
        let ok = *self.healthy.lock().unwrap();
        ready(Health { ok, warning: false, node: "tokyo-1".into(), version: "0".into(), parts: vec![] }).boxed()
    }
    fn metrics(&self, c: Caller) -> Answer<'_, String> {
        self.give(Id::Metrics, c, "fseg_up 1\n# EOF\n".to_owned())
    }
    fn endpoints(&self, c: Caller) -> Answer<'_, Vec<EndpointView>> {
        self.give(Id::Endpoints, c, vec![])
    }
    fn sessions(&self, c: Caller) -> Answer<'_, Vec<SessionView>> {
        self.give(Id::Sessions, c, vec![])
    }
    fn externals(&self, c: Caller) -> Answer<'_, Vec<fseg_api::ExternalView>> {
        self.give(Id::Externals, c, vec![])
    }
    fn services(&self, c: Caller) -> Answer<'_, Vec<fseg_api::ServiceView>> {
        self.give(Id::Services, c, vec![])
    }
    fn streams(&self, c: Caller) -> Answer<'_, Vec<fseg_api::StreamView>> {
        self.give(Id::Streams, c, vec![])
    }
    fn groups(&self, c: Caller) -> Answer<'_, Vec<GroupView>> {
        self.give(Id::Groups, c, vec![])
    }
    fn permits(&self, c: Caller) -> Answer<'_, Vec<PermitView>> {
        self.give(Id::Permits, c, vec![])
    }
    fn switches(&self, c: Caller) -> Answer<'_, Vec<SwitchView>> {
        self.give(Id::Switches, c, vec![])
    }
    fn switch_proof(&self, c: Caller, name: Name) -> Answer<'_, fseg_api::ProofView> {
        let proof = fseg_api::ProofView {
            switch: name.to_string(),
            at: fseg_model::Wall(0).into(),
            proved: true,
            unknown: None,
            rows: 1,
            pairs: 0,
            parts: 1,
            remembered: 0,
            milliseconds: 0,
            different: 0,
            findings: vec![],
            foreign: vec![],
            temporary: vec![],
            harmless: vec![],
        };
        self.give(Id::SwitchProof, c, proof)
    }
    fn enrolments(&self, c: Caller) -> Answer<'_, Enrolments> {
        self.give(Id::Enrolments, c, Enrolments { switches: vec![], turned_away: vec![] })
    }
    fn switch_enrol(&self, c: Caller, name: Name, _: EnrolNew) -> Answer<'_, Enrolled> {
        let view = CertificateView {
            serial: "1".into(),
            fingerprint: "f".into(),
            dpids: vec![],
            issued: NOW,
            issued_by: c.name.clone(),
            expires: NOW,
            state: CertificateState::Valid,
            automatic: false,
        };
        let enrolled = Enrolled {
            name: name.to_string(),
            view,
            key: None,
            certificate: None,
            authority: String::new(),
            commands: vec![],
        };
        self.give(Id::SwitchEnrol, c, enrolled)
    }
    fn switch_revoke(&self, c: Caller, _: Name) -> Answer<'_, ()> {
        self.give(Id::SwitchRevoke, c, ())
    }
    fn explain(&self, c: Caller, q: ExplainRequest) -> Answer<'_, Explanation> {
        let party = |name| PartyView { name, groups: vec![], class: None, place: None, addresses: vec![] };
        let answer = Explanation {
            decision: DecisionView::Deny,
            permit: None,
            reason: "no permit joins them".into(),
            from: party(q.from),
            to: party(q.to),
            service: q.service,
            rows: vec![],
            tables: String::new(),
            defect: None,
            notes: vec![],
        };
        self.give(Id::Explain, c, answer)
    }
    fn trace(&self, c: Caller, q: fseg_api::TraceRequest) -> Answer<'_, fseg_api::TraceView> {
        let packet = q.packet.unwrap_or_default();
        self.give(Id::Trace, c, fseg_api::TraceView { packet, delivered: false, ends: vec![], hops: vec![] })
    }
    fn why(&self, c: Caller, cookie: u64) -> Answer<'_, WhyView> {
        let answer = WhyView {
            cookie: format!("{cookie:#018x}"),
            owner_kind: "permit".into(),
            owner_id: "sales-crm".into(),
            sentence: "it carries a permit".into(),
            rows: vec![],
        };
        self.give(Id::Why, c, answer)
    }
    fn policy(&self, c: Caller) -> Answer<'_, PolicyView> {
        let view =
            PolicyView { version: 0, applied: None, by: None, file_name: None, text: String::new(), message: None };
        self.give(Id::Policy, c, view)
    }
    fn policy_apply(&self, c: Caller, policy: PolicyApply, dry_run: bool) -> Answer<'_, PolicyResult> {
        let id = if dry_run { Id::PolicyCheck } else { Id::PolicyApply };
        self.give(id, c, Self::result(!policy.text.contains("broken"), dry_run))
    }
    fn policy_plan(&self, c: Caller, request: PlanRequest) -> Answer<'_, PlanView> {
        let plan = PlanView {
            accepted: !request.text.contains("broken"),
            version: 1,
            diagnostics: vec![],
            tests: vec![],
            changes: vec![],
            rows: vec![],
            not_connected: vec![],
            reach: vec![],
            reach_total: 0,
            reach_complete: true,
            ending: vec![],
        };
        self.give(Id::PolicyPlan, c, plan)
    }
    fn policy_versions(&self, c: Caller, _: Page) -> Answer<'_, Vec<VersionView>> {
        self.give(Id::PolicyVersions, c, vec![])
    }
    fn policy_version(&self, c: Caller, version: u64) -> Answer<'_, PolicyView> {
        let (applied, by, file_name, message) = Default::default();
        self.give(Id::PolicyVersion, c, PolicyView { version, applied, by, file_name, text: String::new(), message })
    }
    fn policy_diff(&self, c: Caller, _: DiffRequest) -> Answer<'_, DiffView> {
        let view = DiffView {
            from: 1,
            to: 2,
            changes: vec![],
            reach: vec![],
            reach_total: 0,
            from_text: String::new(),
            to_text: String::new(),
        };
        self.give(Id::PolicyDiff, c, view)
    }
    fn accounts(&self, c: Caller) -> Answer<'_, Vec<AccountView>> {
        self.give(Id::Accounts, c, vec![Self::account("anna")])
    }
    fn account_create(&self, c: Caller, account: AccountNew) -> Answer<'_, AccountView> {
        if account.name == "taken" {
            return ready(Err(ApiError::conflict("the account `taken` exists"))).boxed();
        }
        self.give(Id::AccountCreate, c, Self::account(&account.name))
    }
    fn account_change(&self, c: Caller, name: Name, _: AccountChange) -> Answer<'_, AccountView> {
        self.give(Id::AccountChange, c, Self::account(name.as_str()))
    }
    fn account_delete(&self, c: Caller, _: Name) -> Answer<'_, ()> {
        self.give(Id::AccountDelete, c, ())
    }
    fn devices(&self, c: Caller) -> Answer<'_, Vec<DeviceView>> {
        self.give(Id::Devices, c, vec![])
    }
    fn device_put(&self, c: Caller, name: Name, put: DevicePut) -> Answer<'_, DeviceView> {
        let view = DeviceView {
            name: name.to_string(),
            mac: put.mac,
            roles: put.roles,
            address: put.address,
            is_static: put.is_static,
            disabled: put.disabled,
            endpoints: vec![],
        };
        self.give(Id::DevicePut, c, view)
    }
    fn device_delete(&self, c: Caller, _: Name) -> Answer<'_, ()> {
        self.give(Id::DeviceDelete, c, ())
    }
    fn log(&self, c: Caller, page: Page) -> Answer<'_, Vec<LogEntry>> {
        let newest = page.before.unwrap_or(5001);
        self.give(Id::Log, c, (1..newest).rev().take(page.limit).map(entry).collect())
    }
    fn events(&self, c: Caller) -> Answer<'_, broadcast::Receiver<LogEntry>> {
        self.give(Id::Events, c, self.events.subscribe())
    }
    fn audit(&self, c: Caller, _: Page) -> Answer<'_, Vec<AuditEntry>> {
        self.give(Id::Audit, c, vec![])
    }
    fn tokens(&self, c: Caller) -> Answer<'_, Vec<TokenView>> {
        self.give(Id::Tokens, c, vec![])
    }
    fn token_create(&self, c: Caller, new: TokenNew, hash: TokenHash) -> Answer<'_, TokenView> {
        let caller = Caller { name: new.name.clone(), role: new.role };
        self.tokens.lock().unwrap().insert(hash, caller);
        let view =
            TokenView { name: new.name, role: new.role, created: NOW, created_by: c.name.clone(), expires: None };
        self.give(Id::TokenCreate, c, view)
    }
    fn token_revoke(&self, c: Caller, name: Name) -> Answer<'_, ()> {
        self.tokens.lock().unwrap().retain(|_, caller| caller.name != name.as_str());
        self.give(Id::TokenRevoke, c, ())
    }
}
