//! Finding each other, and waking each other: what endpoints ask by multicast or broadcast is passed on by the node, as
//! copies to those whom a permit joins with the asker, and to nobody else.
//!
//! A question goes to all that the asker may use the protocol of; a statement (an answer, an announcement) to all that may
//! use it of the one who states. An answer to one asker passes only while its question is remembered. Copies are sent out
//! of the receiver's port and never come in again, so nothing can go round.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use fseg_model::{ClassId, EndpointId, Flow, Location, Mac, Mono};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::rows::{ShownFacts, shown_rows};
use fseg_policy::{Decision, Permit};
use fseg_wire::{
    Discovery, Frame, Ipv4Packet, Payload, Purpose, Transport, UdpDatagram, WAKE_ETHER_TYPE, WAKE_PORTS, woken,
};

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::record::{Record, RecordKey};

/// How long an answer to one asker may take. Devices answer SSDP within five seconds.
const ANSWER: Duration = Duration::from_secs(10);
/// The most questions that are remembered; the oldest goes first.
const QUESTIONS: usize = 4096;
/// Packets of one endpoint that are passed on: a second, and at once.
const EACH: Rate = Rate { each_second: 10, at_once: 50 };
/// Copies for all endpoints together: a second, and at once.
const COPIES: Rate = Rate { each_second: 2000, at_once: 4000 };
/// The most copies of one packet.
const RECEIVERS: usize = 1000;

/// A token bucket's size, in packets.
#[derive(Debug, Clone, Copy)]
struct Rate {
    each_second: u64,
    at_once: u64,
}

/// Tokens in thousandths, so that milliseconds count.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    at: Mono,
}

impl Bucket {
    fn full(rate: Rate, now: Mono) -> Self {
        Self { left: rate.at_once * 1000, at: now }
    }

    /// Takes so many; false when there are fewer.
    fn take(&mut self, rate: Rate, count: u64, now: Mono) -> bool {
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.at = now;
        self.left = self.left.saturating_add(millis.saturating_mul(rate.each_second)).min(rate.at_once * 1000);
        let enough = self.left >= count * 1000;
        if enough {
            self.left -= count * 1000;
        }
        enough
    }
}

/// What is remembered of questions, and how much may still be passed on.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// Who asked from which port, and until when an answer may come.
    open: BTreeMap<(EndpointId, u16, Discovery), Mono>,
    order: VecDeque<(EndpointId, u16, Discovery)>,
    buckets: HashMap<EndpointId, Bucket>,
    copies: Option<Bucket>,
}

impl Questions {
    fn asked(&mut self, who: EndpointId, port: u16, by: Discovery, now: Mono) {
        if self.open.insert((who, port, by), now.plus(ANSWER)).is_none() {
            self.order.push_back((who, port, by));
        }
        while let Some(first) = self.order.front().copied() {
            let over = self.open.get(&first).is_none_or(|until| *until <= now);
            if !over && self.order.len() <= QUESTIONS {
                break;
            }
            self.order.pop_front();
            self.open.remove(&first);
        }
    }

    fn awaited(&self, who: EndpointId, port: u16, by: Discovery, now: Mono) -> bool {
        self.open.get(&(who, port, by)).is_some_and(|until| *until > now)
    }

    fn may_speak(&mut self, who: EndpointId, now: Mono) -> bool {
        if self.buckets.len() > QUESTIONS {
            // Who has been silent for long has a full bucket anyway.
            self.buckets.retain(|_, b| now.since(b.at) < Duration::from_secs(60));
        }
        self.buckets.entry(who).or_insert_with(|| Bucket::full(EACH, now)).take(EACH, 1, now)
    }

    fn may_copy(&mut self, count: usize, now: Mono) -> bool {
        self.copies.get_or_insert_with(|| Bucket::full(COPIES, now)).take(COPIES, count as u64, now)
    }
}

/// A frame with other Ethernet addresses.
fn addressed(data: &[u8], to: Mac) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len());
    out.extend(to.0);
    out.extend(ROUTER_MAC.0);
    out.extend(data.get(12..)?);
    Some(out)
}

impl Controller {
    /// What the policy's permits speak of, and so what the node wants to be shown.
    pub(crate) fn shown(&self) -> ShownFacts {
        let inside = |p: &&Permit| {
            let group = |names: &[fseg_model::Name]| names.iter().any(|n| self.policy.groups.contains_key(n));
            group(&p.from) && group(&p.to)
        };
        let covered = |port| {
            let flow = Flow::udp(port);
            self.policy.permits.iter().filter(inside).any(|p| p.terms.iter().any(|t| t.covers(flow)))
        };
        ShownFacts {
            discovery: Discovery::ALL
                .into_iter()
                .filter(|d| covered(d.port()))
                .map(|d| (d.group(), d.port()))
                .collect(),
            memberships: !self.policy.streams.is_empty(),
            wake: WAKE_PORTS.into_iter().any(covered),
        }
    }

    /// Brings the rows that show such packets up to date with the policy.
    pub(crate) fn refresh_shown(&mut self) {
        let shown = self.shown();
        for dpid in self.dpids() {
            let Some(switch) = self.fabric.switch(dpid) else { continue };
            for (owner, rows) in shown_rows(&self.fabric, switch, &shown) {
                self.set_rows(dpid, owner, rows);
            }
        }
    }

    /// True when the first may open this to the second: both admitted, and a permit says so.
    fn may(&self, from: EndpointId, to: EndpointId, flow: Flow) -> bool {
        let decision = self.policy.decide(&self.members_of(from), &self.members_of(to), flow, self.now.wall);
        !matches!(decision, Decision::Deny { .. })
    }

    /// Who sent a packet that came in at a place: an admitted endpoint that is there, within its bounds.
    fn speaker(&mut self, place: Location, found: Option<EndpointId>) -> Option<EndpointId> {
        let known = self.endpoints.get(found?)?;
        let id = known.endpoint.id;
        let there = known.endpoint.binding.as_ref().is_some_and(|b| b.location == place);
        if !there || known.endpoint.session.is_none() {
            return None;
        }
        if !self.questions.may_speak(id, self.now.mono) {
            if self.denied.first_seen((id, "discovery"), self.now.mono) {
                let label = self.label(id);
                let text = format!(
                    "{label} asks by multicast more than {} times a second; the rest is not passed on",
                    EACH.each_second
                );
                self.event(EventKind::Refused, text, |e| e.endpoint = Some(label.clone()));
            }
            return None;
        }
        Some(id)
    }

    /// Sends a frame out of the port where an endpoint is.
    pub(crate) fn send_to(&mut self, place: Location, frame: Vec<u8>) {
        if let Some(link) = self.links.get_mut(&place.switch) {
            let message = link.packet_out(place.port, frame);
            let connection = link.connection;
            self.replies.push((place.switch, connection, message));
        }
    }

    /// A packet of a discovery protocol: a question, a statement, or an answer that no permit lets through by itself.
    pub(crate) fn discovered(&mut self, place: Location, frame: &Frame, data: &[u8], metadata: Option<u64>) {
        let Payload::Ipv4(packet) = &frame.payload else { return };
        let Transport::Udp(udp) = &packet.transport else { return };
        if !packet.destination.is_multicast() {
            if !self.answered(place, packet, udp, data) {
                self.denied_packet(place, frame, metadata);
            }
            return;
        }
        let Some(protocol) = Discovery::of_port(udp.destination_port).filter(|d| d.group() == packet.destination)
        else {
            return;
        };
        let Some(purpose) = protocol.purpose(udp.payload) else { return };
        let found = self.endpoints.by_v4(packet.source).map(|k| k.endpoint.id);
        let Some(speaker) = self.speaker(place, found) else { return };
        if purpose == Purpose::Question {
            self.questions.asked(speaker, udp.source_port, protocol, self.now.mono);
        }
        let receivers = self.concerned(speaker, purpose, Flow::udp(protocol.port()));
        self.copy(data, speaker, &receivers);
    }

    /// Everybody attached whom a question or statement is meant for, with their places.
    fn concerned(&self, speaker: EndpointId, purpose: Purpose, flow: Flow) -> Vec<(Location, Mac)> {
        // All of one class are in the same groups: one answer for all of them.
        let mut by_class: HashMap<ClassId, bool> = HashMap::new();
        let mut out = Vec::new();
        for known in self.endpoints.iter() {
            let e = &known.endpoint;
            let (Some(class), Some(binding)) = (known.class, &e.binding) else { continue };
            if e.id == speaker || class < ClassId::FIRST {
                continue;
            }
            let meant = *by_class.entry(class).or_insert_with(|| match purpose {
                Purpose::Question => self.may(speaker, e.id, flow),
                Purpose::Statement => self.may(e.id, speaker, flow),
            });
            if meant {
                out.push((binding.location, e.mac));
            }
        }
        out
    }

    fn copy(&mut self, data: &[u8], speaker: EndpointId, receivers: &[(Location, Mac)]) {
        let count = receivers.len().min(RECEIVERS);
        let enough = self.questions.may_copy(count, self.now.mono);
        if (!enough || count < receivers.len()) && self.denied.first_seen((speaker, "copies"), self.now.mono) {
            let label = self.label(speaker);
            let text = format!(
                "{label} asks {} endpoints at once by multicast; not all are asked, since the node sends at most {} copies a second",
                receivers.len(),
                COPIES.each_second
            );
            self.event(EventKind::Refused, text, |e| e.endpoint = Some(label.clone()));
        }
        if !enough {
            return;
        }
        for (place, mac) in receivers.iter().take(RECEIVERS) {
            if let Some(frame) = addressed(data, *mac) {
                self.send_to(*place, frame);
            }
        }
    }

    /// An answer to one who asked a moment ago, and may.
    fn answered(&mut self, place: Location, packet: &Ipv4Packet<'_>, udp: &UdpDatagram<'_>, data: &[u8]) -> bool {
        let Some(protocol) = Discovery::of_port(udp.source_port) else { return false };
        let Some(asker) = self.endpoints.by_v4(packet.destination) else { return false };
        let (asker, mac) = (asker.endpoint.id, asker.endpoint.mac);
        if protocol.purpose(udp.payload) != Some(Purpose::Statement)
            || !self.questions.awaited(asker, udp.destination_port, protocol, self.now.mono)
        {
            return false;
        }
        let found = self.endpoints.by_v4(packet.source).map(|k| k.endpoint.id);
        let Some(speaker) = self.speaker(place, found) else { return true };
        if !self.may(asker, speaker, Flow::udp(protocol.port())) {
            return false;
        }
        let home = self.endpoints.get(asker).and_then(|k| k.endpoint.binding.as_ref()).map(|b| b.location);
        if let (Some(home), Some(frame)) = (home, addressed(data, mac)) {
            self.send_to(home, frame);
        }
        true
    }

    /// A packet that may be meant to wake somebody.
    pub(crate) fn wake(&mut self, place: Location, frame: &Frame, data: &[u8], metadata: Option<u64>) {
        let (payload, found, flow) = match &frame.payload {
            Payload::Ipv4(packet) => {
                let Transport::Udp(udp) = &packet.transport else { return };
                let found = self.endpoints.by_v4(packet.source).map(|k| k.endpoint.id);
                (udp.payload, found, Flow::udp(udp.destination_port))
            }
            Payload::Other(kind, bytes) if kind.0 == WAKE_ETHER_TYPE => {
                let [_, port] = WAKE_PORTS;
                (*bytes, self.endpoints.by_mac(frame.source), Flow::udp(port))
            }
            _ => return,
        };
        let Some(target) = woken(payload) else { return self.denied_packet(place, frame, metadata) };
        let Some(speaker) = self.speaker(place, found) else { return };
        let Some(sleeper) = self.endpoints.by_mac(target) else {
            return self.not_woken(speaker, &target.to_string(), "nobody here has this MAC address", place);
        };
        let name = self.label(sleeper);
        if !self.may(speaker, sleeper, flow) {
            return self.not_woken(speaker, &name, "no permit for waking joins the two", place);
        }
        let bound = self.endpoints.get(sleeper).and_then(|k| k.endpoint.binding.as_ref()).map(|b| b.location);
        let Some(last) = bound.or(self.last_place.get(&sleeper).copied()) else {
            return self.not_woken(speaker, &name, "nobody knows where it was last", place);
        };
        let admits =
            |l: Location| self.config.switch(l.switch).and_then(|s| s.port(l.port)).is_some_and(|p| p.kind.admits());
        if !admits(last) {
            return self.not_woken(speaker, &name, "its last place is no place for endpoints any more", place);
        }
        if let Some(frame) = addressed(data, target) {
            self.send_to(last, frame);
        }
        if self.denied.first_seen((speaker, sleeper, "woken"), self.now.mono) {
            let (who, path) = (self.label(speaker), self.config.place(last));
            let at = self.place_text(last);
            self.event(EventKind::System, format!("{who} wakes {name} at {at}"), |e| {
                e.endpoint = Some(who.clone());
                e.peer = Some(name.clone());
                e.place = path;
            });
        }
    }

    fn not_woken(&mut self, speaker: EndpointId, target: &str, why: &str, place: Location) {
        if !self.denied.first_seen((speaker, target.to_owned(), "not woken"), self.now.mono) {
            return;
        }
        let (who, path) = (self.label(speaker), self.config.place(place));
        self.event(EventKind::Denied, format!("{who} does not wake {target}: {why}"), |e| {
            e.endpoint = Some(who.clone());
            e.peer = Some(target.to_owned());
            e.service = Some("wake-on-lan".into());
            e.place = path;
        });
    }

    /// Remembers where an admitted endpoint is, beyond its going to sleep and the node's restarts.
    pub(crate) fn remember_place(&mut self, id: EndpointId) {
        let Some(known) = self.endpoints.get(id).filter(|k| k.endpoint.session.is_some()) else { return };
        let Some(place) = known.endpoint.binding.as_ref().map(|b| b.location) else { return };
        if self.places.insert(id, place) != Some(place) {
            self.put(Record::LastPlace { endpoint: id, place });
        }
    }

    pub(crate) fn forget_place(&mut self, id: EndpointId) {
        if self.places.remove(&id).is_some() {
            self.delete(RecordKey::LastPlace(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_came_in_and_no_more() {
        let rate = Rate { each_second: 10, at_once: 3 };
        let mut bucket = Bucket::full(rate, Mono(0));
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(rate, 1, Mono(now))).count();
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 1_000_000), 3);
        assert!(!bucket.take(rate, 4, Mono(2_000_000)), "more than fits never comes");
    }

    #[test]
    fn questions_are_remembered_for_a_while_and_bounded() {
        let mut questions = Questions::default();
        let ask = |q: &mut Questions, n: u32, now| q.asked(EndpointId(n), 5353, Discovery::Mdns, Mono(now));
        ask(&mut questions, 1, 0);
        assert!(questions.awaited(EndpointId(1), 5353, Discovery::Mdns, Mono(9_999)));
        assert!(!questions.awaited(EndpointId(1), 5353, Discovery::Mdns, Mono(10_000)));
        assert!(!questions.awaited(EndpointId(1), 5354, Discovery::Mdns, Mono(0)));
        assert!(!questions.awaited(EndpointId(1), 5353, Discovery::Ssdp, Mono(0)));
        ask(&mut questions, 1, 5_000);
        assert!(questions.awaited(EndpointId(1), 5353, Discovery::Mdns, Mono(14_999)), "asked again");
        for n in 2..10_000 {
            ask(&mut questions, n, 6_000);
            assert!(questions.open.len() <= QUESTIONS && questions.order.len() == questions.open.len());
        }
        ask(&mut questions, 1, 60_000);
        assert_eq!(questions.open.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn only_the_ethernet_addresses_change() {
        let data: Vec<u8> = (0..60).collect();
        let out = addressed(&data, Mac([9; 6])).unwrap();
        assert_eq!((&out[..6], &out[6..12], &out[12..]), (&[9; 6][..], &ROUTER_MAC.0[..], &data[12..]));
        assert_eq!(addressed(&[0; 11], Mac([9; 6])), None);
    }
}
