//! REST types of FSEG, version 1, and their OpenAPI document.
//!
//! Everything a node says or takes over HTTP is a type of this crate; every route is a line of [`OPERATIONS`]. The node
//! builds its router from that table, the command line finds its paths in it, and [`document`] is made from it, so the
//! three cannot differ.
//!
//! Pure types: times are RFC 3339 text ([`Timestamp`]), cookies and datapath ids are hexadecimal text because JSON
//! numbers lose precision beyond 2^53, and names are plain text that the node has checked.

mod account;
mod apply;
mod certificate;
mod change;
mod device;
mod document;
mod endpoint;
mod error;
mod explain;
mod health;
mod log;
mod operation;
mod outside;
mod policy;
mod proof;
mod role;
mod secret;
mod switch;
mod timestamp;
mod token;

pub use account::{AccountChange, AccountNew, AccountView};
pub use apply::{
    DiagnosticView, PolicyApply, PolicyResult, PolicyView, SeverityView, SwitchChange, SwitchRefusal, TestView,
};
pub use certificate::{
    CertificateState, CertificateView, EnrolNew, Enrolled, EnrolledView, Enrolments, TurnedAwayView,
};
pub use change::{
    DiffRequest, DiffView, PlanRequest, PlanView, ReachSide, ReachView, SectionChange, TalkView, VersionView,
};
pub use device::{DevicePut, DeviceView};
pub use document::document;
pub use endpoint::{EndpointState, EndpointView, MethodView, PostureView, SessionView, WatchView};
pub use error::{ApiError, ErrorCode};
pub use explain::{
    DecisionView, ExplainRequest, Explanation, PacketAge, PartyView, RowView, TraceHop, TraceRequest, TraceStep,
    TraceView, WhyView,
};
pub use health::{Health, HealthPart};
pub use log::{AuditEntry, LogEntry, LogKind};
pub use operation::{Body, HttpMethod, OPERATIONS, Operation, OperationId};
pub use outside::{ExternalView, LearnedName, LearnedView, ServiceView, StreamView};
pub use policy::{GroupView, PermitState, PermitView};
pub use proof::{BlameView, FindingView, ProofView};
pub use role::{Role, UnknownRole};
pub use secret::Secret;
pub use switch::{LackingView, PortView, SwitchView, TableView};
pub use timestamp::{Timestamp, TimestampError};
pub use token::{TokenCreated, TokenNew, TokenView};
