//! Streams: multicast to those who joined it and may have it.
//!
//! The node is the querier (RFC 3376, section 4.1; RFC 2236): it asks who wants what, keeps the answer of each endpoint by
//! itself, and writes rows that name the receivers. Reports are never passed on, so no host keeps silent because of
//! another's, and a leave counts at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_model::{ClassId, EndpointId, IpProtocol, Location, MemberSet, Mono, PortRange};
use fseg_pipeline::Owner;
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::rows::{StreamFacts, StreamReceiver, StreamSender, stream_rows};
use fseg_policy::merge_terms;
use fseg_wire::{Frame, IgmpMessage, Payload, Transport, igmp_query};

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::record::{Record, RecordKey};

/// Between two rounds of questions (RFC 3376, 8.2).
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// Between the first two (8.6).
const STARTUP_INTERVAL: Duration = Duration::from_secs(31);
/// How long hosts may take to answer, in tenths of a second (8.3).
const RESPONSE_TENTHS: u8 = 50;
/// Without a report for this long, an endpoint no longer wants a stream (8.4: twice the interval, and the time to answer).
const MEMBERSHIP: Duration = Duration::from_secs(2 * 125 + 10);
/// The most streams that one endpoint may want at a time.
const PER_ENDPOINT: usize = 64;
/// The most receivers of one address.
const PER_ADDRESS: usize = 1000;
/// The most memberships in all.
const IN_ALL: usize = 65_536;

/// One stream's address as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamView {
    /// The multicast address.
    pub group: Ipv4Addr,
    /// The streams it belongs to.
    pub streams: MemberSet,
    /// Who may send it now.
    pub senders: Vec<EndpointId>,
    /// Who wants it and gets it.
    pub receivers: Vec<EndpointId>,
    /// Who wants it and may not.
    pub denied: Vec<EndpointId>,
    /// Packets that came from its senders.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Who wants what.
#[derive(Debug, Default)]
pub(crate) struct Memberships {
    by_group: BTreeMap<Ipv4Addr, BTreeMap<EndpointId, Mono>>,
    by_endpoint: BTreeMap<EndpointId, BTreeSet<Ipv4Addr>>,
    /// Addresses whose rows are to be made anew with the next flush.
    dirty: BTreeSet<Ipv4Addr>,
    /// Endpoints that are to be asked with the next flush.
    ask: BTreeSet<EndpointId>,
    /// Where each was, and as what, when rows were last made for it.
    seen: HashMap<EndpointId, (Location, ClassId)>,
    next_query: Mono,
    rounds: u32,
    next_sweep: Mono,
    count: usize,
}

impl Memberships {
    fn of(&self, id: EndpointId) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.by_endpoint.get(&id).into_iter().flatten().copied()
    }

    /// True when it is new.
    fn join(&mut self, id: EndpointId, group: Ipv4Addr, until: Mono) -> bool {
        let new = self.by_group.entry(group).or_default().insert(id, until).is_none();
        if new {
            self.by_endpoint.entry(id).or_default().insert(group);
            self.count += 1;
            self.dirty.insert(group);
        }
        new
    }

    /// True when it was there.
    fn leave(&mut self, id: EndpointId, group: Ipv4Addr) -> bool {
        let Some(members) = self.by_group.get_mut(&group) else { return false };
        if members.remove(&id).is_none() {
            return false;
        }
        if members.is_empty() {
            self.by_group.remove(&group);
        }
        if let Some(groups) = self.by_endpoint.get_mut(&id) {
            groups.remove(&group);
            if groups.is_empty() {
                self.by_endpoint.remove(&id);
            }
        }
        self.count -= 1;
        self.dirty.insert(group);
        true
    }
}

impl Controller {
    /// An endpoint says which streams it wants.
    pub(crate) fn membership(&mut self, place: Location, frame: &Frame) {
        let Payload::Ipv4(packet) = &frame.payload else { return };
        let Transport::Other(_, bytes) = &packet.transport else { return };
        let Some(known) = self.endpoints.by_v4(packet.source) else { return };
        let id = known.endpoint.id;
        let there = known.endpoint.binding.as_ref().is_some_and(|b| b.location == place);
        if !there || known.endpoint.session.is_none() {
            return;
        }
        let records = match IgmpMessage::parse(bytes) {
            Ok(IgmpMessage::Membership(records)) => records,
            Ok(IgmpMessage::Query) => {
                if self.denied.first_seen((id, "querier"), self.now.mono) {
                    let label = self.label(id);
                    let text = format!("{label} asks for memberships as a router does (IGMP query); it is ignored");
                    self.event(EventKind::Refused, text, |e| e.endpoint = Some(label.clone()));
                }
                return;
            }
            Ok(IgmpMessage::Other(_)) => return,
            Err(e) => {
                if self.denied.first_seen((id, "igmp"), self.now.mono) {
                    let label = self.label(id);
                    let text = format!("unreadable membership report of {label}: {e}");
                    self.event(EventKind::Refused, text, |e| e.endpoint = Some(label.clone()));
                }
                return;
            }
        };
        let mut changed = false;
        for record in records {
            if !record.wanted {
                changed |= self.memberships.leave(id, record.group);
            } else if !self.policy.streams_of(record.group).is_empty() {
                changed |= self.wants(id, record.group);
            }
        }
        if changed {
            self.save_memberships(id);
        }
    }

    fn wants(&mut self, id: EndpointId, group: Ipv4Addr) -> bool {
        let m = &self.memberships;
        let members = m.by_group.get(&group);
        let already = members.is_some_and(|members| members.contains_key(&id));
        let room = m.by_endpoint.get(&id).map_or(0, BTreeSet::len) < PER_ENDPOINT
            && members.map_or(0, BTreeMap::len) < PER_ADDRESS
            && m.count < IN_ALL;
        if already || room {
            let until = self.now.mono.plus(MEMBERSHIP);
            return self.memberships.join(id, group, until);
        }
        if self.denied.first_seen((id, "memberships"), self.now.mono) {
            let label = self.label(id);
            let text = format!("{label} wants {group}, and there is no room for one more receiver or stream of it");
            self.event(EventKind::Refused, text, |e| e.endpoint = Some(label.clone()));
        }
        false
    }

    fn save_memberships(&mut self, id: EndpointId) {
        let groups: Vec<Ipv4Addr> = self.memberships.of(id).collect();
        if groups.is_empty() {
            self.delete(RecordKey::Memberships(id));
        } else {
            self.put(Record::Memberships { endpoint: id, groups });
        }
    }

    /// Memberships from an earlier start: streams go on while hosts are asked again.
    pub(crate) fn restore_memberships(&mut self, id: EndpointId, groups: Vec<Ipv4Addr>) {
        let until = self.now.mono.plus(MEMBERSHIP);
        if self.endpoints.get(id).is_none() {
            return self.delete(RecordKey::Memberships(id));
        }
        for group in groups.into_iter().take(PER_ENDPOINT).filter(|g| g.is_multicast()) {
            self.memberships.join(id, group, until);
        }
    }

    /// An endpoint came, went, moved or changed its groups.
    pub(crate) fn stream_party_changed(&mut self, id: EndpointId) {
        if self.policy.streams.is_empty() && self.memberships.count == 0 {
            return;
        }
        let now = self
            .endpoints
            .get(id)
            .and_then(|k| Some((k.endpoint.binding.as_ref()?.location, k.class.filter(|c| *c >= ClassId::FIRST)?)));
        let before = match now {
            Some(now) => self.memberships.seen.insert(id, now),
            None => self.memberships.seen.remove(&id),
        };
        if before == now {
            return;
        }
        if now.is_some() {
            self.memberships.ask.insert(id);
        }
        let own: Vec<Ipv4Addr> = self.memberships.of(id).collect();
        self.memberships.dirty.extend(own);
        let sends = |class: ClassId| {
            let all: MemberSet = self.policy.streams.keys().cloned().collect();
            self.classes.get(class).is_some_and(|c| self.policy.may_send(&c.members, &all))
        };
        if before.into_iter().chain(now).any(|(_, class)| sends(class)) {
            self.streams_changed();
        }
        if self.endpoints.get(id).is_none() {
            for group in self.memberships.of(id).collect::<Vec<_>>() {
                self.memberships.leave(id, group);
            }
            self.save_memberships(id);
        }
    }

    /// The policy, or a permit's time, changed.
    pub(crate) fn streams_changed(&mut self) {
        let all: Vec<Ipv4Addr> = self.memberships.by_group.keys().copied().collect();
        self.memberships.dirty.extend(all);
    }

    /// The policy may have its first streams: whoever is there is asked at once.
    pub(crate) fn streams_replaced(&mut self) {
        self.streams_changed();
        let gone: Vec<(EndpointId, Ipv4Addr)> = self
            .memberships
            .by_group
            .iter()
            .filter(|(group, _)| self.policy.streams_of(**group).is_empty())
            .flat_map(|(group, members)| members.keys().map(|id| (*id, *group)))
            .collect();
        for (id, group) in gone {
            self.memberships.leave(id, group);
            self.save_memberships(id);
        }
        self.memberships.next_query = self.now.mono;
        self.memberships.rounds = 0;
    }

    /// What an endpoint of these groups may receive of these streams: UDP ports.
    fn receivable(&self, groups: &MemberSet, streams: &MemberSet) -> Vec<PortRange> {
        let wall = self.now.wall;
        let permits = self.policy.permits.iter().filter(|p| p.in_force(wall) && p.joins(groups, streams));
        let udp = |t: &fseg_model::ServiceTerm| t.protocol.is_none_or(|p| p == IpProtocol::UDP);
        let terms = permits
            .flat_map(|p| &p.terms)
            .filter(|t| udp(t))
            .map(|t| fseg_model::ServiceTerm { protocol: Some(IpProtocol::UDP), ..*t });
        merge_terms(terms).into_iter().map(|t| t.ports).collect()
    }

    fn stream_facts(&self, group: Ipv4Addr) -> StreamFacts {
        let streams = self.policy.streams_of(group);
        let mut senders = Vec::new();
        let mut by_class: HashMap<ClassId, bool> = HashMap::new();
        let members = self.memberships.by_group.get(&group);
        if members.is_some_and(|m| !m.is_empty()) && !streams.is_empty() {
            for known in self.endpoints.iter() {
                let e = &known.endpoint;
                let (Some(class), Some(binding)) = (known.class, &e.binding) else { continue };
                let may = *by_class.entry(class).or_insert_with(|| {
                    class >= ClassId::FIRST && self.policy.may_send(&self.members_of(e.id), &streams)
                });
                let address = binding.addresses.iter().find_map(|a| match a {
                    std::net::IpAddr::V4(v4) => Some(*v4),
                    std::net::IpAddr::V6(_) => None,
                });
                if let Some(address) = address.filter(|_| may) {
                    let (slice, watch) = (e.slice, e.watch);
                    senders.push(StreamSender { location: binding.location, address, slice, class, watch });
                }
            }
        }
        let receivers = members
            .into_iter()
            .flat_map(BTreeMap::keys)
            .filter_map(|id| {
                let known = self.endpoints.get(*id)?;
                let location = known.endpoint.binding.as_ref()?.location;
                known.class.filter(|c| *c >= ClassId::FIRST)?;
                let ports = self.receivable(&self.members_of(*id), &streams);
                (!ports.is_empty()).then_some(StreamReceiver { location, mac: known.endpoint.mac, ports })
            })
            .collect();
        StreamFacts { group, senders, receivers }
    }

    /// Makes the rows of every address that something changed for, and asks those who came. Called before each flush.
    pub(crate) fn refresh_streams(&mut self) {
        for group in std::mem::take(&mut self.memberships.dirty) {
            let facts = self.stream_facts(group);
            for dpid in self.dpids() {
                let Some(switch) = self.fabric.switch(dpid) else { continue };
                let rows = stream_rows(&self.fabric, switch, &facts);
                self.set_rows(dpid, Owner::Stream(group.into()), rows);
            }
        }
        for id in std::mem::take(&mut self.memberships.ask) {
            self.ask_for_streams(id);
        }
    }

    /// Asks one endpoint which streams it wants, if it may receive any.
    fn ask_for_streams(&mut self, id: EndpointId) {
        let Some(known) = self.endpoints.get(id).filter(|k| k.endpoint.session.is_some()) else { return };
        let (mac, binding) = (known.endpoint.mac, known.endpoint.binding.as_ref());
        let Some(place) = binding.map(|b| b.location) else { return };
        let all: MemberSet = self.policy.streams.keys().cloned().collect();
        if all.is_empty() || self.receivable(&self.members_of(id), &all).is_empty() {
            return;
        }
        if let Some(frame) = igmp_query(ROUTER_MAC, mac, self.config.router, RESPONSE_TENTHS) {
            self.send_to(place, frame);
        }
    }

    /// Asks in rounds, and forgets who has not said for long that it still wants a stream.
    pub(crate) fn sweep_memberships(&mut self) {
        let mono = self.now.mono;
        if self.memberships.next_query <= mono && !self.policy.streams.is_empty() {
            let first = self.memberships.rounds == 0;
            self.memberships.rounds = self.memberships.rounds.saturating_add(1);
            self.memberships.next_query = mono.plus(if first { STARTUP_INTERVAL } else { QUERY_INTERVAL });
            let attached = self.endpoints.iter().filter(|k| k.endpoint.binding.is_some()).map(|k| k.endpoint.id);
            let attached: Vec<EndpointId> = attached.collect();
            self.memberships.ask.extend(attached);
        }
        if self.memberships.next_sweep > mono {
            return;
        }
        self.memberships.next_sweep = mono.plus(Duration::from_secs(1));
        let over: Vec<(EndpointId, Ipv4Addr)> = self
            .memberships
            .by_group
            .iter()
            .flat_map(|(group, members)| members.iter().map(move |(id, until)| (*id, *group, *until)))
            .filter(|(_, _, until)| *until <= mono)
            .map(|(id, group, _)| (id, group))
            .collect();
        for (id, group) in over {
            self.memberships.leave(id, group);
            self.save_memberships(id);
        }
    }

    /// Who wants which multicast address.
    pub(crate) fn joined(&self) -> BTreeMap<Ipv4Addr, BTreeSet<EndpointId>> {
        let members = self.memberships.by_group.iter();
        members.map(|(group, members)| (*group, members.keys().copied().collect())).collect()
    }

    /// Every stream's address that somebody wants.
    pub fn streams(&self) -> impl Iterator<Item = StreamView> {
        self.memberships.by_group.iter().map(|(group, members)| {
            let facts = self.stream_facts(*group);
            let streams = self.policy.streams_of(*group);
            let may = |id: &EndpointId| !self.receivable(&self.members_of(*id), &streams).is_empty();
            let (receivers, denied) = members.keys().partition(|id| may(id));
            let of = |address| self.endpoints.by_v4(address).map(|k| k.endpoint.id);
            let owner = Owner::Stream((*group).into());
            let homes: BTreeSet<_> = facts.senders.iter().map(|s| (s.location.switch, s.location.port)).collect();
            let (mut packets, mut bytes) = (0, 0);
            for (dpid, link) in &self.links {
                let rows = link.desired.of_owner(owner).filter(|r| r.key.table == fseg_pipeline::Table::Locate);
                for row in rows {
                    let port = row.key.matches.get(fseg_openflow::Field::InPort).map(|v| v.value as u32);
                    let home = port.is_some_and(|p| homes.contains(&(*dpid, fseg_model::PortNo(p))));
                    if let Some(counter) = link.counters.get(&row.key).filter(|_| home) {
                        packets += counter.packets;
                        bytes += counter.bytes;
                    }
                }
            }
            let senders = facts.senders.iter().filter_map(|s| of(s.address)).collect();
            StreamView { group: *group, streams, senders, receivers, denied, packets, bytes }
        })
    }
}
