//! What happened lately, bounded: for `fseg logs`, the event stream and the process log.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use fseg_api::{LogEntry, LogKind};
use fseg_control::{Event, EventKind};
use tokio::sync::broadcast;
use tracing::{info, warn};

use crate::http::Page;

/// How many of what happened to endpoints, switches and policies is kept.
const KEPT: usize = 20_000;
/// How many denied and observed connections are kept. They have a place of their own: anybody can cause as many as he likes, and would
/// wash everything else away.
const KEPT_DENIED: usize = 10_000;
const BEHIND: usize = 1024;

/// The log of events.
pub struct EventLog {
    kept: Mutex<Kept>,
    live: broadcast::Sender<LogEntry>,
}

/// Both in the order of their numbers, which they share.
#[derive(Default)]
struct Kept {
    last: u64,
    denied: VecDeque<LogEntry>,
    others: VecDeque<LogEntry>,
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
        EventKind::Observed => LogKind::Observed,
        EventKind::Verify => LogKind::Verify,
        EventKind::System => LogKind::System,
    }
}

impl EventLog {
    /// Takes in one event.
    pub fn add(&self, event: &Event) {
        let kind = kind(event.kind);
        match kind {
            LogKind::Refused | LogKind::Spoofed | LogKind::System | LogKind::Verify => {
                warn!(kind = kind.as_str(), "{}", event.message);
            }
            LogKind::Denied | LogKind::Observed => tracing::debug!(kind = kind.as_str(), "{}", event.message),
            _ => info!(kind = kind.as_str(), "{}", event.message),
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        let entry = LogEntry {
            seq: kept.last,
            at: event.at.into(),
            kind,
            message: event.message.clone(),
            endpoint: event.endpoint.clone(),
            peer: event.peer.clone(),
            service: event.service.clone(),
            mac: event.mac.clone(),
            place: event.place.as_ref().map(ToString::to_string),
        };
        let (ring, room) = if matches!(kind, LogKind::Denied | LogKind::Observed) {
            (&mut kept.denied, KEPT_DENIED)
        } else {
            (&mut kept.others, KEPT)
        };
        if ring.len() >= room {
            ring.pop_front();
        }
        ring.push_back(entry.clone());
        let _ = self.live.send(entry); // nobody may be listening
    }

    /// A page, newest first.
    pub fn page(&self, page: Page) -> Vec<LogEntry> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = page.before.unwrap_or(u64::MAX);
        let [mut denied, mut others] = [&kept.denied, &kept.others]
            .map(|ring| ring.range(..ring.partition_point(|e| e.seq < before)).rev().peekable());
        let newest = std::iter::from_fn(|| {
            let number = |e: Option<&&LogEntry>| e.map_or(0, |e| e.seq); // real ones begin at 1
            if number(denied.peek()) > number(others.peek()) { denied.next() } else { others.next() }
        });
        newest.take(page.limit).cloned().collect()
    }

    /// What happens from now on.
    pub fn live(&self) -> broadcast::Receiver<LogEntry> {
        self.live.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use fseg_model::Wall;

    use super::*;

    fn add(log: &EventLog, kind: EventKind, message: &str) {
        let (endpoint, peer, service, mac, place) = Default::default();
        log.add(&Event { at: Wall(0), kind, message: message.into(), endpoint, peer, service, mac, place });
    }

    fn seqs(log: &EventLog, before: Option<u64>, limit: usize) -> Vec<u64> {
        log.page(Page { before, limit }).iter().map(|e| e.seq).collect()
    }

    #[test]
    fn a_port_scan_washes_nothing_else_away() {
        let log = EventLog::default();
        add(&log, EventKind::Admitted, "crm-1 was admitted");
        for _ in 0..3 * KEPT {
            add(&log, EventKind::Denied, "x");
        }
        add(&log, EventKind::Spoofed, "crm-2 used crm-1's address");
        let all = log.page(Page { before: None, limit: usize::MAX });
        assert_eq!(all.len(), KEPT_DENIED + 2);
        assert_eq!((all[0].kind, all[1].kind), (LogKind::Spoofed, LogKind::Denied));
        assert_eq!(all.last().map(|e| (e.kind, e.seq)), Some((LogKind::Admitted, 1)));
        assert!(all.windows(2).all(|w| w[0].seq > w[1].seq), "newest first");
    }

    #[test]
    fn everything_else_is_bounded_too() {
        let log = EventLog::default();
        for _ in 0..KEPT + 5 {
            add(&log, EventKind::Moved, "x");
        }
        assert_eq!(seqs(&log, None, usize::MAX), (6..=KEPT as u64 + 5).rev().collect::<Vec<_>>());
    }

    #[test]
    fn pages_of_both_follow_each_other_without_gaps() {
        let log = EventLog::default();
        for n in 0..100 {
            let kind = if n % 3 == 0 || n > 80 { EventKind::Denied } else { EventKind::Admitted };
            add(&log, kind, "x");
        }
        for limit in [1, 7, 99, 100, 1000] {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let page = seqs(&log, before, limit);
                let Some(last) = page.last() else { break };
                assert!(page.len() <= limit);
                before = Some(*last);
                seen.extend(page);
            }
            assert_eq!(seen, (1..=100).rev().collect::<Vec<_>>(), "pages of {limit}");
        }
        assert!(seqs(&log, Some(1), 10).is_empty());
    }
}
