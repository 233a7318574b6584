//! What must always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fseg_control::{Controller, Effect, Input, Now, Record, RecordKey, Standing};
use fseg_model::{Flow, Mono};
use fseg_openflow::Field;
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::repair;
use fseg_test_kit::{Network, Packet, frames};

use super::{Client, NODE, SWITCHES, World, at};

impl World {
    // What must always hold once nothing is under way.

    pub(crate) fn check(&mut self) {
        self.handle(Input::Tick);
        self.check_identities();
        self.check_tables();
        if self.backlog.is_empty() && !self.jumped {
            self.check_records();
        }
    }

    fn check_identities(&self) {
        let (mut macs, mut addresses, mut names) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for (e, standing, class) in self.controller.endpoints() {
            assert!(macs.insert(e.mac), "two endpoints have {}", e.mac);
            assert!(e.name.iter().all(|n| names.insert(n.clone())), "two endpoints are called {:?}", e.name);
            for a in e.binding.iter().flat_map(|b| &b.addresses) {
                if let Some(other) = addresses.insert(*a, e.mac) {
                    panic!("{a} belongs to {other} and {}", e.mac);
                }
            }
            assert_eq!(class.is_some(), standing != Standing::Away, "{e:?}");
            assert!(standing != Standing::Admitted || e.name.is_some(), "{e:?}");
            if !self.backlog.is_empty() {
                continue;
            }
            let stored = self.records.get(&RecordKey::Endpoint(e.id));
            let same = matches!(stored, Some(Record::Endpoint(s)) if s.as_ref() == e);
            assert!(
                same || (stored.is_none() && e.name.is_none() && e.binding.is_none()),
                "{e:?} is stored as {stored:?}"
            );
        }
    }

    /// Every connected switch holds exactly what it should.
    fn check_tables(&self) {
        for dpid in self.connected.keys().filter(|d| !self.held.contains_key(d)) {
            let switch = &self.net.switches[dpid];
            let stats = switch.tables.stats(0xff, 0, 0, &fseg_openflow::Match::new());
            let desired = self.controller.desired(*dpid).unwrap();
            let found = repair::compare(desired, &stats);
            assert!(
                found.delta.is_empty() && found.strangers.is_empty(),
                "{dpid}: {:?} {:?}",
                found.delta,
                found.strangers
            );
        }
    }

    /// A controller that knows only the records wants the same rows.
    fn check_records(&self) {
        let records = self.records.values().cloned().collect();
        let fresh = Controller::new(self.config.clone(), records, Now { wall: self.now.wall, mono: Mono(0) }).unwrap();
        for dpid in SWITCHES {
            let rows = |c: &Controller| -> Vec<_> {
                let mut rows: Vec<_> = c.desired(dpid).unwrap().iter().collect();
                rows.sort_by(|a, b| a.key.cmp(&b.key));
                rows
            };
            let (here, there) = (rows(&self.controller), rows(&fresh));
            for row in &here {
                assert!(there.contains(row), "{dpid}: after a restart this row would be gone: {row:?}");
            }
            for row in &there {
                assert!(here.contains(row), "{dpid}: after a restart this row would be new: {row:?}");
            }
        }
    }

    /// Everybody to everybody: delivered exactly if the policy permits it.
    pub(crate) fn check_delivery(&mut self, clients: &[Client], flows: &[Flow]) -> usize {
        let mut net = self.net.clone();
        let attached: Vec<&Client> = clients
            .iter()
            .filter(|c| {
                let bound = self.endpoint(c.mac).and_then(|(e, _)| e.binding.as_ref());
                bound
                    .is_some_and(|b| b.location == c.place && c.address.is_some_and(|a| b.addresses == [IpAddr::V4(a)]))
            })
            .collect();
        let mut permitted = 0;
        for from in &attached {
            for to in attached.iter().filter(|to| to.mac != from.mac) {
                for flow in flows {
                    let admitted = [from, to].iter().all(|c| self.standing(c) == Some(Standing::Admitted));
                    let decision =
                        self.controller.policy().decide(&self.groups(from), &self.groups(to), *flow, self.now.wall);
                    let wanted = admitted && decision.is_permit();
                    let got = reaches(&mut net, from, to, *flow);
                    assert_eq!(got, wanted, "{from:?} to {to:?}, {flow}: {decision}");
                    permitted += usize::from(wanted);
                }
            }
        }
        permitted
    }
}

pub(super) fn reaches(net: &mut Network, from: &Client, to: &Client, flow: Flow) -> bool {
    for switch in net.switches.values_mut() {
        switch.conntrack.clear();
    }
    net.arrived.clear();
    net.send(from.place, &frames::first_of(flow, from.mac, ROUTER_MAC, from.ip(), to.ip()));
    net.said.clear();
    let arrived: Vec<_> = net.arrived.drain(..).filter(|a| a.place != at(NODE, 10)).collect();
    match arrived.as_slice() {
        [] => false,
        [one] => {
            let packet = Packet::new(&one.frame, 0);
            let to_it = (one.place, packet.get(Field::EthDst)) == (to.place, Some(to.mac.to_u64().into()));
            assert!(to_it, "{from:?} to {to:?}, {flow}: came out at {:?}", one.place);
            true
        }
        many => panic!("{} frames came out of one", many.len()),
    }
}

/// Commits, presence, rows, replies, answers, events: in this order, on every flush.
pub(super) fn check_order(effects: &[Effect]) {
    let rank = |e: &Effect| match e {
        Effect::Commit(_) => 0,
        Effect::Domains(_) | Effect::Presence(_) => 1,
        Effect::Send { .. } => 2,
        Effect::Reply { .. } => 3,
        Effect::Answer(..) => 4,
        Effect::Event(_) => 5,
        Effect::Tables(_) => 6,
    };
    let ranks: Vec<u8> = effects.iter().map(rank).collect();
    assert!(ranks.is_sorted(), "effects in the wrong order: {effects:?}");
    assert!(ranks.iter().filter(|r| **r == 0).count() <= 1, "two commits in one flush");
}
