//! Denied packets as events, each kind said once in a while.

use std::collections::{HashSet, VecDeque};

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use fseg_model::{Flow, Location, Mono};
use fseg_wire::{Frame, Payload, Transport};

use crate::controller::Controller;
use crate::effect::EventKind;

/// What was said lately: the same thing is said again only after a while. Bounded.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    said: HashSet<u64>,
    order: VecDeque<(Mono, u64)>,
}

const QUIET: Duration = Duration::from_secs(10);
const REMEMBERED: usize = 20_000;

impl Recent {
    /// True when this was not said lately.
    pub(crate) fn first_seen(&mut self, what: impl Hash, now: Mono) -> bool {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= QUIET) || self.order.len() > REMEMBERED {
            if let Some((_, old)) = self.order.pop_front() {
                self.said.remove(&old);
            }
        }
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        let new = self.said.insert(hash);
        if new {
            self.order.push_back((now, hash));
        }
        new
    }
}

impl Controller {
    pub(crate) fn denied_packet(&mut self, place: Location, frame: &Frame, _metadata: Option<u64>) {
        let Payload::Ipv4(packet) = &frame.payload else { return };
        let Some(flow) = packet.flow() else { return };
        let back = match &packet.transport {
            Transport::Tcp(t) => Flow::tcp(t.source_port),
            Transport::Udp(u) => Flow::udp(u.source_port),
            _ => flow,
        };
        let (source, destination) = (IpAddr::V4(packet.source), IpAddr::V4(packet.destination));
        // One end's low port tells who asked, well enough for not saying both halves of one conversation.
        if !self.denied.first_seen((source, destination, flow), self.now.mono)
            || (flow.port > back.port && self.denied.knows((destination, source, back)))
        {
            return;
        }
        let from = self.label_of_address(source);
        let to = self.label_of_address(destination);
        let why = self.why_denied(source, destination, flow);
        let path = self.config.place(place);
        self.event(EventKind::Denied, format!("{from} to {to}, {flow}: {why}"), |e| {
            e.endpoint = Some(from.clone());
            e.peer = Some(to.clone());
            e.service = Some(flow.to_string());
            e.place = path;
        });
    }

    /// A new connection that passes only because something is observed and not enforced.
    pub(crate) fn observed_packet(&mut self, place: Location, frame: &Frame) {
        let Payload::Ipv4(packet) = &frame.payload else { return };
        let Some(flow) = packet.flow() else { return };
        let (source, destination) = (IpAddr::V4(packet.source), IpAddr::V4(packet.destination));
        if !self.denied.first_seen((source, destination, flow, "observed"), self.now.mono) {
            return;
        }
        let from = self.label_of_address(source);
        let to = self.label_of_address(destination);
        let decision = match (self.members_of_address(source), self.members_of_address(destination)) {
            (Some(from), Some(to)) => self.policy.decide(&from, &to, flow, self.now.wall),
            _ => return, // whose it was has left meanwhile
        };
        let why = match decision {
            fseg_policy::Decision::Observe { permit: Some(id), reason } => {
                format!("would have been denied without permit {id}, which is on trial: {reason}")
            }
            fseg_policy::Decision::Observe { permit: None, reason } => format!("would have been denied: {reason}"),
            // Decided anew in between.
            fseg_policy::Decision::Deny { reason } => format!("passed, and is denied now: {reason}"),
            fseg_policy::Decision::Permit { .. } => return,
        };
        let path = self.config.place(place);
        self.event(EventKind::Observed, format!("{from} to {to}, {flow}: {why}"), |e| {
            e.endpoint = Some(from.clone());
            e.peer = Some(to.clone());
            e.service = Some(flow.to_string());
            e.place = path;
        });
    }

    fn why_denied(&self, source: IpAddr, destination: IpAddr, flow: Flow) -> String {
        let from = self.members_of_address(source);
        let to = self.members_of_address(destination);
        match (from, to) {
            (Some(from), Some(to)) => match self.policy.decide(&from, &to, flow, self.now.wall) {
                fseg_policy::Decision::Deny { reason } | fseg_policy::Decision::Observe { reason, .. } => {
                    reason.to_string()
                }
                // Denied a moment ago, permitted now, or the packet was of a connection that is judged otherwise.
                fseg_policy::Decision::Permit { id } => {
                    format!("permit {id} now allows it; the packet was before that, or out of its connection's state")
                }
            },
            (None, _) => format!("{source} belongs to nobody here"),
            (_, None) => format!("{destination} belongs to nobody here"),
        }
    }
}

impl Recent {
    pub(crate) fn knows(&self, what: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.said.contains(&hasher.finish())
    }
}
