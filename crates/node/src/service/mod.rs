//! The node behind its HTTP interfaces: API, portal and DNS ask here, and here the controller is asked.

mod api;
mod change;
mod events;
mod fit;
mod metrics;
mod names;
mod outside;
mod portal;
mod report;
mod switch;
mod tokens;
mod trace;
mod verify;
mod views;

use std::sync::Arc;

use fseg_api::{ApiError, ErrorCode};
use fseg_control::{Answer, Refusal};

pub use events::EventLog;
pub use names::{NodeNames, Resolving};
pub use tokens::Tokens;

use crate::config::NodeConfig;
use crate::core::{Core, NoAnswer};
use crate::trust::Trust;

/// What the interfaces share.
#[derive(Clone)]
pub struct Node {
    /// The controller.
    pub core: Core,
    /// What happened lately.
    pub events: Arc<EventLog>,
    /// API tokens.
    pub tokens: Arc<Tokens>,
    /// Certificates of switches.
    pub trust: Arc<Trust>,
    /// What the administrator decided.
    pub config: Arc<NodeConfig>,
    /// How this node is called.
    pub name: Arc<str>,
}

fn no_answer(e: NoAnswer) -> ApiError {
    ApiError::unavailable(e.to_string())
}

/// What an answer that is not the hoped-for one means to a caller of the API.
fn refused(answer: Answer) -> ApiError {
    match answer {
        Answer::Refused(Refusal::Invalid(lines)) => ApiError::refused(lines.join("\n")),
        Answer::Refused(Refusal::NotFound(text)) => ApiError::new(ErrorCode::NotFound, text),
        Answer::Refused(Refusal::Conflict(text)) => ApiError::conflict(text),
        other => ApiError::internal(format!("unexpected answer of the controller: {other:?}")),
    }
}
