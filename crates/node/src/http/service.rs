//! What the API needs of the node behind it.

use fseg_api::{
    AccountChange, AccountNew, AccountView, ApiError, AuditEntry, DevicePut, DeviceView, DiffRequest, DiffView,
    EndpointView, EnrolNew, Enrolled, Enrolments, ExplainRequest, Explanation, GroupView, Health, LogEntry, PermitView,
    PlanRequest, PlanView, PolicyApply, PolicyResult, PolicyView, SessionView, SwitchView, TokenNew, TokenView,
    VersionView, WhyView,
};
use fseg_model::Name;
use futures::future::BoxFuture;
use tokio::sync::broadcast;

use super::auth::{Caller, TokenHash};

/// An answer that may take a while; the API gives up after its request timeout and drops the future, so whatever has
/// been committed by then stays committed.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ApiError>>;

/// Which part of a log is wanted, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only entries with a smaller number; `None` for the newest.
    pub before: Option<u64>,
    /// At most this many entries, 1 to [`Page::MAX`].
    pub limit: usize,
}

impl Page {
    /// The most entries that one answer carries.
    pub const MAX: usize = 1000;
}

/// The node as the API sees it: one method per operation. The caller's role has been checked already; its name is for
/// the audit log.
pub trait NodeService: Send + Sync + 'static {
    /// Whose token has this hash; `None` when unknown, revoked or expired.
    fn authenticate(&self, token: TokenHash) -> BoxFuture<'_, Option<Caller>>;
    /// The node's health, for `/readyz` and `/api/v1/health`. Cheap: probes ask often, without a token.
    fn health(&self) -> BoxFuture<'_, Health>;
    /// Metrics in the text format of Prometheus.
    fn metrics(&self, caller: Caller) -> Answer<'_, String>;
    /// Every endpoint that is known.
    fn endpoints(&self, caller: Caller) -> Answer<'_, Vec<EndpointView>>;
    /// Every admission that holds now.
    fn sessions(&self, caller: Caller) -> Answer<'_, Vec<SessionView>>;
    /// Groups of the policy in force.
    fn groups(&self, caller: Caller) -> Answer<'_, Vec<GroupView>>;
    /// See [`fseg_api::OPERATIONS`].
    fn externals(&self, caller: Caller) -> Answer<'_, Vec<fseg_api::ExternalView>>;
    /// See [`fseg_api::OPERATIONS`].
    fn services(&self, caller: Caller) -> Answer<'_, Vec<fseg_api::ServiceView>>;
    /// See [`fseg_api::OPERATIONS`].
    fn streams(&self, caller: Caller) -> Answer<'_, Vec<fseg_api::StreamView>>;
    /// Permits of the policy in force.
    fn permits(&self, caller: Caller) -> Answer<'_, Vec<PermitView>>;
    /// Switches and their ports.
    fn switches(&self, caller: Caller) -> Answer<'_, Vec<SwitchView>>;
    /// Reads a switch and proves its rows.
    fn switch_proof(&self, caller: Caller, name: Name) -> Answer<'_, fseg_api::ProofView>;
    /// Certificates of switches, and connections that were turned away.
    fn enrolments(&self, caller: Caller) -> Answer<'_, Enrolments>;
    /// Issues a certificate for a switch; not found when the configuration does not name it.
    fn switch_enrol(&self, caller: Caller, name: Name, enrol: EnrolNew) -> Answer<'_, Enrolled>;
    /// Revokes every certificate of a switch; not found when it has none that counts.
    fn switch_revoke(&self, caller: Caller, name: Name) -> Answer<'_, ()>;
    /// May this open a connection to that, why, and by which rows?
    fn explain(&self, caller: Caller, question: ExplainRequest) -> Answer<'_, Explanation>;
    /// What do the tables do with this packet?
    fn trace(&self, caller: Caller, question: fseg_api::TraceRequest) -> Answer<'_, fseg_api::TraceView>;
    /// Why rows with this cookie exist.
    fn why(&self, caller: Caller, cookie: u64) -> Answer<'_, WhyView>;
    /// The policy in force.
    fn policy(&self, caller: Caller) -> Answer<'_, PolicyView>;
    /// Puts a policy in force, or with `dry_run` says what that would do. A policy with errors or failed tests is an
    /// `Ok` with `accepted: false`.
    fn policy_apply(&self, caller: Caller, policy: PolicyApply, dry_run: bool) -> Answer<'_, PolicyResult>;
    /// What applying a policy would do. A policy with errors or failed tests is an `Ok` with `accepted: false`.
    fn policy_plan(&self, caller: Caller, request: PlanRequest) -> Answer<'_, PlanView>;
    /// Versions of the policy, newest first.
    fn policy_versions(&self, caller: Caller, page: Page) -> Answer<'_, Vec<VersionView>>;
    /// One version of the policy.
    fn policy_version(&self, caller: Caller, version: u64) -> Answer<'_, PolicyView>;
    /// What differs between two versions.
    fn policy_diff(&self, caller: Caller, request: DiffRequest) -> Answer<'_, DiffView>;
    /// Accounts of people.
    fn accounts(&self, caller: Caller) -> Answer<'_, Vec<AccountView>>;
    /// Makes an account; conflict when it exists.
    fn account_create(&self, caller: Caller, account: AccountNew) -> Answer<'_, AccountView>;
    /// Changes an account; not found when it does not exist.
    fn account_change(&self, caller: Caller, name: Name, change: AccountChange) -> Answer<'_, AccountView>;
    /// Deletes an account and ends its sessions.
    fn account_delete(&self, caller: Caller, name: Name) -> Answer<'_, ()>;
    /// The device list.
    fn devices(&self, caller: Caller) -> Answer<'_, Vec<DeviceView>>;
    /// Adds or replaces a device.
    fn device_put(&self, caller: Caller, name: Name, device: DevicePut) -> Answer<'_, DeviceView>;
    /// Takes a device off the list and ends its sessions.
    fn device_delete(&self, caller: Caller, name: Name) -> Answer<'_, ()>;
    /// What happened, newest first.
    fn log(&self, caller: Caller, page: Page) -> Answer<'_, Vec<LogEntry>>;
    /// What happens from now on. The channel's capacity is how far a reader may fall behind before it is cut off.
    fn events(&self, caller: Caller) -> Answer<'_, broadcast::Receiver<LogEntry>>;
    /// Who changed what, newest first.
    fn audit(&self, caller: Caller, page: Page) -> Answer<'_, Vec<AuditEntry>>;
    /// API tokens.
    fn tokens(&self, caller: Caller) -> Answer<'_, Vec<TokenView>>;
    /// Keeps a new token's hash; conflict when the name is taken. The token itself never reaches the service.
    fn token_create(&self, caller: Caller, token: TokenNew, hash: TokenHash) -> Answer<'_, TokenView>;
    /// Revokes a token at once.
    fn token_revoke(&self, caller: Caller, name: Name) -> Answer<'_, ()>;
}
