//! The routes: every operation, its path and who may use it, declared once.

use crate::Role;

/// An HTTP method of this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpMethod {
    /// Reads.
    Get,
    /// Makes something, or asks a question that needs a body.
    Post,
    /// Adds or replaces under a name.
    Put,
    /// Changes some fields.
    Patch,
    /// Removes.
    Delete,
}

impl HttpMethod {
    /// The method's name as HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a request or a successful answer carries. Texts are names of schemas in the OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// One JSON value of this type.
    Json(&'static str),
    /// A JSON array of values of this type.
    List(&'static str),
    /// Plain text.
    Text,
    /// Server-sent events whose data is JSON of this type.
    Events(&'static str),
    /// The OpenAPI document.
    Document,
}

/// Every operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each line of OPERATIONS says what its operation does")]
pub enum OperationId {
    Healthz,
    Readyz,
    Metrics,
    Document,
    Health,
    Endpoints,
    Sessions,
    Groups,
    Permits,
    Externals,
    Services,
    Streams,
    Switches,
    SwitchProof,
    Enrolments,
    SwitchEnrol,
    SwitchRevoke,
    Explain,
    Trace,
    Why,
    Policy,
    PolicyCheck,
    PolicyApply,
    PolicyPlan,
    PolicyVersions,
    PolicyVersion,
    PolicyDiff,
    Accounts,
    AccountCreate,
    AccountChange,
    AccountDelete,
    Devices,
    DevicePut,
    DeviceDelete,
    Log,
    Events,
    Audit,
    Tokens,
    TokenCreate,
    TokenRevoke,
}

impl OperationId {
    /// Its line of [`OPERATIONS`].
    pub const fn operation(self) -> &'static Operation {
        // A loop that always ends on some line: a test shows that it is the right one for every id.
        let mut at = 0;
        while at + 1 < OPERATIONS.len() && OPERATIONS[at].id as u8 != self as u8 {
            at += 1;
        }
        &OPERATIONS[at]
    }
}

/// One operation of the API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Which one.
    pub id: OperationId,
    /// Its method.
    pub method: HttpMethod,
    /// Its path, with parameters as `{name}`.
    pub path: &'static str,
    /// The least role that may use it; `None` needs no token.
    pub role: Option<Role>,
    /// What the request carries.
    pub request: Body,
    /// What success carries.
    pub response: Body,
    /// The largest request body, in bytes.
    pub limit: usize,
    /// True when `?before=SEQ&limit=COUNT` page through the listing, newest first.
    pub paged: bool,
    /// What it does, in one sentence.
    pub summary: &'static str,
}

/// What most requests may carry, in bytes.
const SMALL: usize = 64 << 10;
/// What a policy may carry, in bytes.
const LARGE: usize = 16 << 20;

const fn get(id: OperationId, path: &'static str, role: Role, response: Body, summary: &'static str) -> Operation {
    let role = Some(role);
    Operation {
        id,
        method: HttpMethod::Get,
        path,
        role,
        request: Body::Empty,
        response,
        limit: SMALL,
        paged: false,
        summary,
    }
}

const fn public(id: OperationId, path: &'static str, response: Body, summary: &'static str) -> Operation {
    Operation { role: None, ..get(id, path, Role::Viewer, response, summary) }
}

const fn paged(id: OperationId, path: &'static str, role: Role, response: Body, summary: &'static str) -> Operation {
    Operation { paged: true, ..get(id, path, role, response, summary) }
}

const fn change(
    id: OperationId,
    method: HttpMethod,
    path: &'static str,
    role: Role,
    request: Body,
    response: Body,
    summary: &'static str,
) -> Operation {
    Operation { method, request, ..get(id, path, role, response, summary) }
}

use Body::{Empty, Events, Json, List, Text};
use HttpMethod::{Delete, Patch, Post, Put};
use OperationId as Id;
use Role::{Admin, Operator, Viewer};

/// Every operation, in the order of the documentation.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    public(Id::Healthz, "/healthz", Text, "Says `ok` while the process answers"),
    public(Id::Readyz, "/readyz", Text, "Says `ready`, or 503 and `not ready` while a part of the node is down"),
    get(Id::Metrics, "/metrics", Viewer, Text, "Metrics in the text format of Prometheus"),
    public(Id::Document, "/api/v1/openapi.json", Body::Document, "This document"),
    get(Id::Health, "/api/v1/health", Viewer, Json("Health"), "How the node and its parts are"),
    get(Id::Endpoints, "/api/v1/endpoints", Viewer, List("EndpointView"), "Every endpoint that is known"),
    get(Id::Sessions, "/api/v1/sessions", Viewer, List("SessionView"), "Every admission that holds now"),
    get(Id::Groups, "/api/v1/groups", Viewer, List("GroupView"), "Groups of the policy in force, with who is in them now"),
    get(Id::Permits, "/api/v1/permits", Viewer, List("PermitView"), "Permits of the policy in force, with their use"),
    get(Id::Externals, "/api/v1/externals", Viewer, List("ExternalView"), "Externals of the policy in force, with the addresses that were learned by their names"),
    get(Id::Services, "/api/v1/services", Viewer, List("ServiceView"), "Services that a policy can name: its own, and those that come with FSEG"),
    get(Id::Streams, "/api/v1/streams", Viewer, List("StreamView"), "Multicast addresses that endpoints joined, with senders and receivers"),
    get(Id::Switches, "/api/v1/switches", Viewer, List("SwitchView"), "Switches and their ports"),
    get(Id::SwitchProof, "/api/v1/switches/{name}/proof", Viewer, Json("ProofView"), "Reads a switch and proves that it treats every packet as the policy says"),
    get(Id::Enrolments, "/api/v1/certificates", Viewer, Json("Enrolments"), "Certificates of switches, and connections that were turned away"),
    change(Id::SwitchEnrol, Post, "/api/v1/switches/{name}/certificate", Admin, Json("EnrolNew"), Json("Enrolled"), "Issues a certificate for a switch and shows its key, this once"),
    change(Id::SwitchRevoke, Delete, "/api/v1/switches/{name}/certificate", Admin, Empty, Empty, "Revokes every certificate of a switch and ends its connection"),
    change(Id::Explain, Post, "/api/v1/explain", Viewer, Json("ExplainRequest"), Json("Explanation"), "May this open a connection to that, why, and by which rows?"),
    change(Id::Trace, Post, "/api/v1/trace", Viewer, Json("TraceRequest"), Json("TraceView"), "What do the tables do with this packet, switch by switch?"),
    get(Id::Why, "/api/v1/why/{cookie}", Viewer, Json("WhyView"), "Why rows with this cookie exist"),
    get(Id::Policy, "/api/v1/policy", Viewer, Json("PolicyView"), "The policy in force, as text"),
    Operation { limit: LARGE, ..change(Id::PolicyCheck, Post, "/api/v1/policy/check", Operator, Json("PolicyApply"), Json("PolicyResult"), "What applying this policy would do") },
    Operation { limit: LARGE, ..change(Id::PolicyApply, Post, "/api/v1/policy", Admin, Json("PolicyApply"), Json("PolicyResult"), "Puts this policy in force") },
    Operation { limit: LARGE, ..change(Id::PolicyPlan, Post, "/api/v1/policy/plan", Operator, Json("PlanRequest"), Json("PlanView"), "What applying this policy would do: who gains and loses what, which rows change, who is cut off") },
    paged(Id::PolicyVersions, "/api/v1/policy/versions", Viewer, List("VersionView"), "Versions of the policy, newest first"),
    get(Id::PolicyVersion, "/api/v1/policy/versions/{name}", Viewer, Json("PolicyView"), "One version of the policy, as text"),
    change(Id::PolicyDiff, Post, "/api/v1/policy/diff", Operator, Json("DiffRequest"), Json("DiffView"), "What differs between two versions"),
    get(Id::Accounts, "/api/v1/accounts", Operator, List("AccountView"), "Accounts of people"),
    change(Id::AccountCreate, Post, "/api/v1/accounts", Operator, Json("AccountNew"), Json("AccountView"), "Makes an account"),
    change(Id::AccountChange, Patch, "/api/v1/accounts/{name}", Operator, Json("AccountChange"), Json("AccountView"), "Changes an account; disabling it ends its sessions"),
    change(Id::AccountDelete, Delete, "/api/v1/accounts/{name}", Operator, Empty, Empty, "Deletes an account and ends its sessions"),
    get(Id::Devices, "/api/v1/devices", Operator, List("DeviceView"), "The device list"),
    change(Id::DevicePut, Put, "/api/v1/devices/{name}", Operator, Json("DevicePut"), Json("DeviceView"), "Adds a device, or replaces the one of this name"),
    change(Id::DeviceDelete, Delete, "/api/v1/devices/{name}", Operator, Empty, Empty, "Takes a device off the list and ends its sessions"),
    paged(Id::Log, "/api/v1/log", Viewer, List("LogEntry"), "What happened, newest first"),
    get(Id::Events, "/api/v1/events", Viewer, Events("LogEntry"), "What happens, as it happens; a reader that falls behind is cut off"),
    paged(Id::Audit, "/api/v1/audit", Operator, List("AuditEntry"), "Who changed what, newest first"),
    get(Id::Tokens, "/api/v1/tokens", Admin, List("TokenView"), "API tokens, without the tokens themselves"),
    change(Id::TokenCreate, Post, "/api/v1/tokens", Admin, Json("TokenNew"), Json("TokenCreated"), "Makes a token and shows it, this once"),
    change(Id::TokenRevoke, Delete, "/api/v1/tokens/{name}", Admin, Empty, Empty, "Revokes a token at once"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn operations_differ_in_id_and_in_route() {
        let ids: HashSet<_> = OPERATIONS.iter().map(|o| o.id).collect();
        let routes: HashSet<_> = OPERATIONS.iter().map(|o| (o.method.as_str(), o.path)).collect();
        assert_eq!((ids.len(), routes.len()), (OPERATIONS.len(), OPERATIONS.len()));
        assert!(ids.iter().all(|id| id.operation().id == *id));
    }

    #[test]
    fn whatever_changes_something_needs_more_than_a_viewer() {
        for op in OPERATIONS
            .iter()
            .filter(|o| o.method != HttpMethod::Get && !matches!(o.id, OperationId::Explain | OperationId::Trace))
        {
            assert!(op.role >= Some(Role::Operator), "{:?} is open to {:?}", op.id, op.role);
        }
        let open: Vec<_> = OPERATIONS.iter().filter(|o| o.role.is_none()).map(|o| o.id).collect();
        assert_eq!(open, [OperationId::Healthz, OperationId::Readyz, OperationId::Document]);
    }
}
