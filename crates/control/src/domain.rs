//! Outside addresses that are learned by name.
//!
//! An external may list domain names. When the node's resolver answers a question for such a name, the addresses become
//! part of that external for as long as the answer holds, and a little longer while they are in use. Rows for them are in
//! force before the answer is given (see [`crate::Input::Resolved`]).
//!
//! Who may teach the node an address is bounded on every side: only admitted endpoints that a permit joins with the
//! external, only by the name they asked for, only addresses outside, only so many.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fseg_model::{ClassId, Dpid, Location, MemberSet, Mono, Name, SliceId, Wall};
use fseg_pipeline::rows::learned_rows;
use fseg_pipeline::{ExternalFacts, Owner};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::controller::Controller;
use crate::effect::{Answer, EventKind, Ticket};
use crate::record::{Record, RecordKey};

/// The shortest time an address is kept, whatever the answer says: clients take a moment to connect.
const SHORTEST: Duration = Duration::from_secs(60);
/// The longest time an answer counts.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long an address stays after its time, used or not.
const GRACE: Duration = Duration::from_secs(30);
/// How long it stays after its last packet, once its time is over.
const UNUSED: Duration = Duration::from_secs(120);
/// How long use can keep an address whose name was not asked for again.
const LONGEST_USE: Duration = Duration::from_secs(24 * 3600);
/// The most addresses of one external.
const PER_EXTERNAL: usize = 4096;
/// The most addresses in all.
const IN_ALL: usize = 16_384;
/// The most names of one address.
const NAMES: usize = 16;
/// The most addresses of one answer.
const PER_ANSWER: usize = 64;

/// What is committed of a learned address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// By which names, each until when its answer holds.
    pub names: BTreeMap<String, Wall>,
}

/// A learned address as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedView {
    /// The address.
    pub address: Ipv4Addr,
    /// The externals it belongs to by its names.
    pub externals: MemberSet,
    /// Its names, each with the time for which its answer still holds; zero when only its use keeps it.
    pub names: BTreeMap<String, Duration>,
    /// Packets to and from it, at its exit.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

#[derive(Debug)]
struct Learned {
    /// Until when each name's answer holds.
    names: BTreeMap<String, Mono>,
    /// The externals by name, and all externals.
    named: MemberSet,
    class: Option<ClassId>,
    exit: Location,
    /// When it was last learned or used.
    used: Mono,
    packets: u64,
    bytes: u64,
    /// Until when, as it is committed.
    committed: BTreeMap<String, Mono>,
}

/// All learned addresses.
#[derive(Debug, Default)]
pub(crate) struct LearnedAddresses {
    all: BTreeMap<Ipv4Addr, Learned>,
    /// How many addresses each external has by its names.
    count: BTreeMap<Name, usize>,
    next_sweep: Mono,
}

impl LearnedAddresses {
    pub(crate) fn names_of(&self, address: Ipv4Addr) -> impl Iterator<Item = &str> {
        self.all.get(&address).into_iter().flat_map(|l| l.names.keys().map(String::as_str))
    }

    pub(crate) fn class_of(&self, address: Ipv4Addr) -> Option<ClassId> {
        self.all.get(&address)?.class
    }

    /// The addresses that a name was answered with.
    pub(crate) fn of_name(&self, name: &str) -> Vec<Ipv4Addr> {
        self.all.iter().filter(|(_, l)| l.names.contains_key(name)).map(|(a, _)| *a).collect()
    }

    /// Its rows counted.
    pub(crate) fn counted(&mut self, address: Ipv4Addr, dpid: Dpid, packets: u64, bytes: u64, now: Mono) {
        if let Some(learned) = self.all.get_mut(&address) {
            learned.used = now;
            if learned.exit.switch == dpid {
                learned.packets += packets;
                learned.bytes += bytes;
            }
        }
    }

    /// Counts an address for other externals than before.
    fn recount(&mut self, before: &MemberSet, after: &MemberSet) {
        for name in after.difference(before) {
            *self.count.entry(name.clone()).or_default() += 1;
        }
        for name in before.difference(after) {
            if let Some(count) = self.count.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.count.remove(name);
                }
            }
        }
    }

    /// Who has to go so that there is room: the one that was used longest ago.
    fn oldest(&self, external: Option<&Name>, most: usize) -> Option<Ipv4Addr> {
        let count = external.map_or(self.all.len(), |name| self.count.get(name).copied().unwrap_or_default());
        if count <= most {
            return None;
        }
        let of = |l: &Learned| external.is_none_or(|name| l.named.contains(name));
        self.all.iter().filter(|(_, l)| of(l)).min_by_key(|(_, l)| l.used).map(|(address, _)| *address)
    }
}

/// Addresses that are never outside: unspecified, own, link-local, multicast, reserved (RFC 6890).
fn is_special(a: Ipv4Addr) -> bool {
    a.octets()[0] == 0 || a.is_loopback() || a.is_link_local() || a.octets()[0] >= 224
}

/// Networks of one's own (RFC 1918, RFC 6598).
fn is_private(a: Ipv4Addr) -> bool {
    let [first, second, ..] = a.octets();
    a.is_private() || first == 100 && second & 0xc0 == 64
}

impl Controller {
    /// The way to an address that an answer names, or why nobody may be led there by a name.
    fn way_to(&self, address: Ipv4Addr) -> Result<Option<Location>, &'static str> {
        if is_special(address) {
            return Err("which is no address of a host");
        }
        let own = |e: &crate::config::ExitConfig| e.address == address;
        if self.config.inner.iter().any(|n| n.contains(&address))
            || self.config.router == address
            || self.config.switches.iter().flat_map(|s| &s.ports).filter_map(|p| p.exit.as_ref()).any(own)
        {
            return Err("which is inside");
        }
        let net = Ipv4Net::from(address);
        let exit = self.exit_for(net);
        let named = |l: &Location| {
            let port = self.config.switch(l.switch).and_then(|s| s.port(l.port));
            port.and_then(|p| p.exit.as_ref())
                .is_some_and(|e| e.networks.iter().any(|n| n.contains(&address) && n.prefix_len() >= 8))
        };
        if is_private(address) && !exit.as_ref().is_some_and(named) {
            return Err("which is private, and no exit leads there but the one to everywhere");
        }
        Ok(exit)
    }

    /// The resolver has an answer for an endpoint: its addresses become those of the name's externals, in force on every
    /// switch before the answer is given.
    pub(crate) fn resolved(&mut self, ticket: Ticket, asker: Ipv4Addr, name: &str, answered: &[(Ipv4Addr, u32)]) {
        let externals = self.policy.externals_named(name);
        let mut refused = Vec::new();
        let mut ways = Vec::new();
        if !externals.is_empty() {
            for (address, ttl) in answered.iter().take(PER_ANSWER) {
                match self.way_to(*address) {
                    Ok(way) => ways.extend(way.map(|exit| (*address, *ttl, exit))),
                    Err(why) => {
                        refused.push(*address);
                        if self.denied.first_seen(("rebinding", name, address), self.now.mono) {
                            let who = self.label_of_address(asker.into());
                            let text = format!(
                                "the answer to {who} for {name} names {address}, {why}; that address was left out"
                            );
                            self.event(EventKind::Refused, text, |e| e.endpoint = Some(who.clone()));
                        }
                    }
                }
            }
        }
        if self.may_teach(asker, &externals) {
            for (address, ttl, exit) in ways {
                self.learn(name, address, ttl, exit, &externals);
            }
        }
        self.in_force.push((ticket, Answer::Resolved { refused }));
    }

    /// Only who is joined with an external by a permit has reason to ask for its names.
    fn may_teach(&self, asker: Ipv4Addr, externals: &MemberSet) -> bool {
        let Some(known) = self.endpoints.by_v4(asker).filter(|k| k.endpoint.session.is_some()) else { return false };
        let groups = self.members_of(known.endpoint.id);
        let wall = self.now.wall;
        self.policy
            .permits
            .iter()
            .any(|p| p.in_force(wall) && (p.joins(&groups, externals) || p.joins(externals, &groups)))
    }

    fn learn(&mut self, name: &str, address: Ipv4Addr, ttl: u32, exit: Location, externals: &MemberSet) {
        let mono = self.now.mono;
        let until = mono.plus(Duration::from_secs(ttl.into()).clamp(SHORTEST, LONGEST));
        let learned = self.learned.all.entry(address).or_insert_with(|| Learned {
            names: BTreeMap::new(),
            named: MemberSet::new(),
            class: None,
            exit,
            used: mono,
            packets: 0,
            bytes: 0,
            committed: BTreeMap::new(),
        });
        learned.used = mono;
        learned.exit = exit;
        let end = learned.names.entry(name.to_owned()).or_insert(until);
        *end = (*end).max(until);
        if learned.names.len() > NAMES {
            let first = learned.names.iter().filter(|(n, _)| *n != name).min_by_key(|(_, end)| **end);
            if let Some(first) = first.map(|(n, _)| n.clone()) {
                learned.names.remove(&first);
            }
        }
        self.refresh_learned(address);
        self.commit_learned(address);
        for external in externals {
            while let Some(old) = self.learned.oldest(Some(external), PER_EXTERNAL) {
                self.unlearn(old);
            }
        }
        while let Some(old) = self.learned.oldest(None, IN_ALL) {
            self.unlearn(old);
        }
    }

    /// Commits what would be missed after a restart: new names, and those whose time has grown by half. What comes back a
    /// little too early goes a little too early.
    fn commit_learned(&mut self, address: Ipv4Addr) {
        let now = self.now;
        let Some(learned) = self.learned.all.get_mut(&address) else { return };
        let left = |end: &Mono| end.since(now.mono);
        let stale = |(name, end): (&String, &Mono)| {
            learned.committed.get(name).is_none_or(|before| left(before) * 2 < left(end))
        };
        let gone = learned.committed.keys().any(|name| !learned.names.contains_key(name));
        if !gone && !learned.names.iter().any(stale) {
            return;
        }
        learned.committed = learned.names.clone();
        let names = learned.names.iter().map(|(name, end)| (name.clone(), now.wall.plus(left(end)))).collect();
        self.put(Record::Learned(LearnedAddress { address, names }));
    }

    /// A learned address from an earlier start; its rows follow with the externals'.
    pub(crate) fn restore_learned(&mut self, stored: LearnedAddress) {
        let now = self.now;
        let Ok(Some(exit)) = self.way_to(stored.address) else {
            return self.delete(RecordKey::Learned(stored.address));
        };
        let names: BTreeMap<String, Mono> = stored
            .names
            .into_iter()
            .map(|(name, end)| (name, now.mono.plus(end.since(now.wall).min(LONGEST))))
            .collect();
        let learned = Learned {
            committed: names.clone(),
            names,
            named: MemberSet::new(),
            class: None,
            exit,
            used: now.mono,
            packets: 0,
            bytes: 0,
        };
        self.learned.all.insert(stored.address, learned);
    }

    /// What every learned address is under a policy; nothing for those that no external lists any more. `class` says which
    /// class a set of externals has.
    pub(crate) fn learned_facts(
        &self,
        policy: &fseg_policy::Policy,
        mut class: impl FnMut(&MemberSet) -> ClassId,
    ) -> Vec<(Owner, Option<ExternalFacts>)> {
        let facts = |(address, learned): (&Ipv4Addr, &Learned)| {
            let names: Vec<&str> = learned.names.keys().map(String::as_str).collect();
            let listed = names.iter().any(|name| !policy.externals_named(name).is_empty());
            let facts = listed.then(|| ExternalFacts {
                prefix: Ipv4Net::from(*address).into(),
                class: class(&policy.externals_of_learned(IpAddr::V4(*address), names)),
                slice: SliceId::DEFAULT,
                exit: Some(learned.exit),
            });
            (Owner::Learned((*address).into()), facts)
        };
        self.learned.all.iter().map(facts).collect()
    }

    /// Another policy holds: names, discovery and streams follow it.
    pub(crate) fn names_replaced(&mut self) {
        self.domains_changed = true;
        self.refresh_all_learned();
        self.refresh_shown();
        self.streams_replaced();
    }

    /// Brings the class and rows of a learned address up to date. Without a name that an external lists, it goes.
    fn refresh_learned(&mut self, address: Ipv4Addr) {
        let Some(learned) = self.learned.all.get_mut(&address) else { return };
        learned.names.retain(|name, _| !self.policy.externals_named(name).is_empty());
        if learned.names.is_empty() {
            return self.unlearn(address);
        }
        let (before, exit) = (learned.class, learned.exit);
        let named: MemberSet = learned.names.keys().flat_map(|name| self.policy.externals_named(name)).collect();
        let former = std::mem::replace(&mut learned.named, named.clone());
        let names: Vec<&str> = learned.names.keys().map(String::as_str).collect();
        let members = self.policy.externals_of_learned(IpAddr::V4(address), names);
        self.learned.recount(&former, &named);
        let class = self.class_of(SliceId::DEFAULT, &members);
        if let Some(learned) = self.learned.all.get_mut(&address) {
            learned.class = class;
        }
        self.hold_instead(before, class);
        let facts = class.map(|class| ExternalFacts {
            prefix: Ipv4Net::from(address).into(),
            class,
            slice: SliceId::DEFAULT,
            exit: Some(exit),
        });
        for dpid in self.dpids() {
            let rows = match (&facts, self.fabric.switch(dpid)) {
                (Some(facts), Some(switch)) => learned_rows(&self.fabric, switch, facts),
                _ => vec![],
            };
            self.set_rows(dpid, Owner::Learned(address.into()), rows);
        }
    }

    /// The same for all: the policy, or the way out, has changed.
    pub(crate) fn refresh_all_learned(&mut self) {
        for address in self.learned.all.keys().copied().collect::<Vec<_>>() {
            match self.way_to(address) {
                Ok(Some(exit)) => {
                    if let Some(learned) = self.learned.all.get_mut(&address) {
                        learned.exit = exit;
                    }
                    self.refresh_learned(address);
                }
                _ => self.unlearn(address),
            }
        }
    }

    fn unlearn(&mut self, address: Ipv4Addr) {
        let Some(learned) = self.learned.all.remove(&address) else { return };
        self.learned.recount(&learned.named, &MemberSet::new());
        for dpid in self.dpids() {
            self.set_rows(dpid, Owner::Learned(address.into()), vec![]);
        }
        self.hold_instead(learned.class, None);
        self.delete(RecordKey::Learned(address));
    }

    /// Forgets names whose time is over and addresses without names, but not under a connection that is in use.
    pub(crate) fn sweep_learned(&mut self) {
        let mono = self.now.mono;
        if self.learned.next_sweep > mono {
            return;
        }
        self.learned.next_sweep = mono.plus(Duration::from_secs(1));
        let over = |l: &Learned, end: Mono| {
            let past = mono.since(end);
            past >= GRACE && (mono.since(l.used) >= UNUSED || past >= LONGEST_USE)
        };
        let due: BTreeSet<Ipv4Addr> = self
            .learned
            .all
            .iter()
            .filter(|(_, l)| l.names.values().any(|end| over(l, *end)))
            .map(|(a, _)| *a)
            .collect();
        for address in due {
            if let Some(mut learned) = self.learned.all.remove(&address) {
                let ends = std::mem::take(&mut learned.names);
                learned.names = ends.into_iter().filter(|(_, end)| !over(&learned, *end)).collect();
                self.learned.all.insert(address, learned);
            }
            self.refresh_learned(address);
            self.commit_learned(address);
        }
    }

    /// Every learned address.
    pub fn learned_addresses(&self) -> impl Iterator<Item = LearnedView> {
        let mono = self.now.mono;
        self.learned.all.iter().map(move |(address, l)| LearnedView {
            address: *address,
            externals: l.named.clone(),
            names: l.names.iter().map(|(name, end)| (name.clone(), end.since(mono))).collect(),
            packets: l.packets,
            bytes: l.bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_special_address_is_outside() {
        for special in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.1.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"] {
            assert!(is_special(special.parse().unwrap()), "{special}");
        }
        for outside in ["1.1.1.1", "10.0.0.1", "223.255.255.255", "198.51.100.10"] {
            assert!(!is_special(outside.parse().unwrap()), "{outside}");
        }
        for (address, private) in [("10.1.1.1", true), ("100.64.0.1", true), ("100.128.0.1", false), ("8.8.8.8", false)]
        {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
