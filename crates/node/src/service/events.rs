//! What happened lately, bounded: for `fseg logs`, the event stream and the process log.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use fseg_api::{LogEntry, LogKind};
use fseg_control::{Event, EventKind};
use tokio::sync::broadcast;
use tracing::{info, warn};

use crate::http::Page;

const KEPT: usize = 20_000;
const BEHIND: usize = 1024;

/// The log of events.
pub struct EventLog {
    kept: Mutex<(u64, VecDeque<LogEntry>)>,
    live: broadcast::Sender<LogEntry>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { kept: Mutex::default(), live: broadcast::Sender::new(BEHIND) }
    }
}

fn kind(k: EventKind) -> LogKind {
    match k {
        EventKind::Admitted => LogKind::Admitted,
        EventKind::Refused => LogKind::Refused,
        EventKind::Ended => LogKind::Ended,
        EventKind::Moved => LogKind::Moved,
        EventKind::Spoofed => LogKind::Spoofed,
        EventKind::Denied => LogKind::Denied,
        EventKind::Address => LogKind::Address,
        EventKind::Switch => LogKind::Switch,
        EventKind::Policy => LogKind::Policy,
        EventKind::System => LogKind::System,
    }
}

impl EventLog {
    /// Takes in one event.
    pub fn add(&self, event: &Event) {
        let kind = kind(event.kind);
        match kind {
            LogKind::Refused | LogKind::Spoofed | LogKind::System => {
                warn!(kind = kind.as_str(), "{}", event.message);
            }
            LogKind::Denied => tracing::debug!(kind = kind.as_str(), "{}", event.message),
            _ => info!(kind = kind.as_str(), "{}", event.message),
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0 += 1;
        let entry = LogEntry {
            seq: kept.0,
            at: event.at.into(),
            kind,
            message: event.message.clone(),
            endpoint: event.endpoint.clone(),
            peer: event.peer.clone(),
            service: event.service.clone(),
            mac: event.mac.clone(),
            place: event.place.as_ref().map(ToString::to_string),
        };
        if kept.1.len() >= KEPT {
            kept.1.pop_front();
        }
        kept.1.push_back(entry.clone());
        let _ = self.live.send(entry); // nobody may be listening
    }

    /// A page, newest first.
    pub fn page(&self, page: Page) -> Vec<LogEntry> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = page.before.unwrap_or(u64::MAX);
        kept.1.iter().rev().filter(|e| e.seq < before).take(page.limit).cloned().collect()
    }

    /// What happens from now on.
    pub fn live(&self) -> broadcast::Receiver<LogEntry> {
        self.live.subscribe()
    }
}
