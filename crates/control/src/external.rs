//! The outside: which exit leads to which prefix, which class it has, and who is the next hop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use fseg_model::{ClassId, Dpid, Location, Mac, MemberSet, Mono, PortKind, PortNo, SliceId};
use fseg_pipeline::fabric::{Exit, PortFacts, ROUTER_MAC, SwitchFacts};
use fseg_pipeline::rows::external_rows;
use fseg_pipeline::{Capabilities, ExternalFacts, Fabric, Owner, Profile, SwitchRole};
use fseg_policy::Policy;
use fseg_wire::{ArpPacket, Frame, Payload};
use ipnet::{IpNet, Ipv4Net};

use crate::config::{Protocol, SiteConfig, SwitchConfig};
use crate::controller::Controller;
use crate::effect::EventKind;
use crate::record::Record;
use std::time::Duration;

const ASK_AGAIN: Duration = Duration::from_secs(30);
const ASK_UNKNOWN: Duration = Duration::from_secs(1);

/// The facts of the configuration as the pipeline wants them.
pub(crate) fn fabric(config: &SiteConfig) -> Fabric {
    let mut exits = 0;
    let mut switches = BTreeMap::new();
    for (index, s) in config.switches.iter().enumerate() {
        let ports = s
            .ports
            .iter()
            .map(|p| PortFacts {
                number: p.number,
                kind: p.kind,
                mac: p.mac,
                exit: p.exit.as_ref().map(|e| {
                    exits += 1;
                    Exit { number: exits, address: e.address, gateway: e.gateway, gateway_mac: None, mode: e.mode }
                }),
            })
            .collect();
        let profile = match s.protocol {
            Protocol::OpenFlow13 => Profile::OpenFlow13(Capabilities::default()),
            // What has to be asked is taken for Open vSwitch until it has answered.
            Protocol::Ovs | Protocol::Auto => Profile::Ovs,
        };
        let facts =
            SwitchFacts { dpid: s.dpid, number: index as u16 + 1, role: s.role, ports, via: via(config, s), profile };
        switches.insert(s.dpid, facts);
    }
    let node = config.switches.iter().find(|s| s.role == SwitchRole::Node).map_or(Dpid(0), |s| s.dpid);
    Fabric { router: config.router, inner: config.inner.clone(), switches, node }
}

fn via(config: &SiteConfig, switch: &SwitchConfig) -> BTreeMap<Dpid, PortNo> {
    let uplinks: Vec<PortNo> = switch.ports.iter().filter(|p| p.kind == PortKind::Uplink).map(|p| p.number).collect();
    config
        .switches
        .iter()
        .filter(|other| other.dpid != switch.dpid)
        .filter_map(|other| {
            let named = switch.via.iter().find(|(name, _)| *name == other.name).map(|(_, port)| *port);
            let only = match uplinks.as_slice() {
                [one] => Some(*one),
                _ => None,
            };
            Some((other.dpid, named.or(only)?))
        })
        .collect()
}

/// A next hop from before a restart.
pub(crate) fn known_neighbour(fabric: &mut Fabric, place: Location, address: Ipv4Addr, mac: Mac) {
    let port = fabric.switches.get_mut(&place.switch).and_then(|s| s.ports.iter_mut().find(|p| p.number == place.port));
    if let Some(exit) = port.and_then(|p| p.exit.as_mut()).filter(|e| e.gateway == address) {
        exit.gateway_mac = Some(mac);
    }
}

/// What is known of an exit's next hop.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NextHop {
    /// When it last answered.
    answered: Mono,
    /// Since when another MAC address claims to be it.
    doubted: Option<Mono>,
}

/// How long the known next hop has for an answer before another one is believed.
const DOUBT: Duration = Duration::from_secs(3);

/// Externals that claim inner addresses: refused, since such an address could be two things at once.
pub(crate) fn overlap(config: &SiteConfig, policy: &Policy) -> Vec<String> {
    let mut out = Vec::new();
    for (prefix, names) in policy.external_prefixes() {
        let IpNet::V4(net) = prefix else { continue };
        if let Some(inner) = config.inner.iter().find(|i| i.contains(&net)) {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            out.push(format!(
                "external `{}` lists {net}, but {inner} belongs to this network's own endpoints: take it out of the external, or out of `networks` in the node's configuration",
                names.join("`, `")
            ));
        }
    }
    out
}

impl Controller {
    /// Where an outside prefix is reached: the exit with the longest network that covers it.
    pub(crate) fn exit_for(&self, net: Ipv4Net) -> Option<Location> {
        self.config
            .switches
            .iter()
            .flat_map(|s| s.ports.iter().map(move |p| (s.dpid, p)))
            .filter_map(|(dpid, p)| {
                let best =
                    p.exit.as_ref()?.networks.iter().filter(|n| n.contains(&net)).map(Ipv4Net::prefix_len).max()?;
                Some((best, Location { switch: dpid, port: p.number }))
            })
            .max_by_key(|(len, _)| *len)
            .map(|(_, place)| place)
    }

    /// The prefixes of a policy's externals by class; `class` says which class a set of externals has.
    pub(crate) fn external_facts(
        &self,
        policy: &Policy,
        mut class: impl FnMut(&MemberSet) -> Option<ClassId>,
    ) -> BTreeMap<ClassId, Vec<ExternalFacts>> {
        let slice = SliceId::DEFAULT;
        let mut by_class: BTreeMap<ClassId, Vec<ExternalFacts>> = BTreeMap::new();
        for (prefix, names) in policy.external_prefixes() {
            let exit = match prefix {
                IpNet::V4(net) => self.exit_for(net),
                IpNet::V6(_) => None,
            };
            if let Some(class) = class(&names) {
                by_class.entry(class).or_default().push(ExternalFacts { prefix, class, slice, exit });
            }
        }
        by_class
    }

    /// Brings the rows of all outside prefixes up to date with the policy and the next hops.
    pub(crate) fn refresh_externals(&mut self) {
        let slice = SliceId::DEFAULT;
        let sets: BTreeSet<_> = self.policy.external_prefixes().into_values().collect();
        let classes: BTreeMap<_, _> =
            sets.into_iter().filter_map(|names| self.class_of(slice, &names).map(|class| (names, class))).collect();
        let by_class = self.external_facts(&self.policy, |names| classes.get(names).copied());
        let now: BTreeSet<ClassId> = by_class.keys().copied().collect();
        for class in now.difference(&self.external_classes).copied().collect::<Vec<_>>() {
            self.classes.hold(class);
        }
        let gone: Vec<ClassId> = self.external_classes.difference(&now).copied().collect();
        for class in &gone {
            self.classes.release(*class);
        }
        for dpid in self.dpids() {
            for class in &gone {
                self.set_rows(dpid, Owner::External(class.get()), vec![]);
            }
            for (class, facts) in &by_class {
                let Some(switch) = self.fabric.switch(dpid) else { continue };
                let rows = external_rows(&self.fabric, switch, class.get(), facts);
                self.set_rows(dpid, Owner::External(class.get()), rows);
            }
        }
        self.external_classes = now;
        self.refresh_all_learned();
    }

    /// Asks next hops for their MAC address: often until it is known, then now and then.
    pub(crate) fn ask_gateways(&mut self) {
        if self.next_ask > self.now.mono {
            return;
        }
        let mut unknown = false;
        let mut asks = Vec::new();
        for switch in self.fabric.switches.values() {
            for port in &switch.ports {
                let Some(exit) = &port.exit else { continue };
                let place = Location { switch: switch.dpid, port: port.number };
                let doubted = self.next_hops.get(&place).is_some_and(|h| h.doubted.is_some());
                unknown |= exit.gateway_mac.is_none() || doubted;
                asks.push((place, ArpPacket::request(ROUTER_MAC, exit.address, exit.gateway)));
            }
        }
        for (place, ask) in asks {
            let Some(link) = self.links.get_mut(&place.switch) else { continue };
            if link.phase == crate::link::LinkPhase::Up {
                let message = link.packet_out(place.port, ask.to_frame(ROUTER_MAC, Mac::BROADCAST));
                let connection = link.connection;
                self.replies.push((place.switch, connection, message));
            }
        }
        self.next_ask = self.now.mono.plus(if unknown { ASK_UNKNOWN } else { ASK_AGAIN });
    }

    /// Somebody on an outside network says that it is the next hop. While the one that is known still answers, nobody else
    /// is believed: an outside network is anybody's.
    pub(crate) fn neighbour(&mut self, place: Location, frame: &Frame) {
        let Payload::Arp(arp) = &frame.payload else { return };
        let (mac, address): (_, Ipv4Addr) = (arp.sender_mac, arp.sender_ip);
        if mac != frame.source || mac.is_unusable_source() || mac.0[..3] == ROUTER_MAC.0[..3] {
            return;
        }
        let mono = self.now.mono;
        let Some(switch) = self.fabric.switches.get_mut(&place.switch) else { return };
        let Some(port) = switch.ports.iter_mut().find(|p| p.number == place.port) else { return };
        let Some(exit) = port.exit.as_mut().filter(|e| e.gateway == address) else { return };
        let hop = self.next_hops.entry(place).or_default();
        let before = exit.gateway_mac;
        if before == Some(mac) {
            *hop = NextHop { answered: mono, doubted: None };
            return;
        }
        if let Some(known) = before {
            let since = *hop.doubted.get_or_insert(mono);
            if hop.answered > since || mono.since(since) < DOUBT {
                self.next_ask = mono;
                if self.denied.first_seen((place, mac, "next hop"), mono) {
                    let at = self.place_text(place);
                    let text = format!(
                        "{mac} at {at} claims to be the next hop {address}, which is {known}; it is asked again"
                    );
                    self.event(EventKind::Spoofed, text, |e| e.mac = Some(mac.to_string()));
                }
                return;
            }
        }
        exit.gateway_mac = Some(mac);
        *hop = NextHop { answered: mono, doubted: None };
        self.put(Record::Neighbour { place, address, mac });
        let at = self.place_text(place);
        let text = match before {
            None => format!("the next hop {address} at {at} is {mac}"),
            Some(old) => format!("the next hop {address} at {at} changed from {old} to {mac}"),
        };
        self.event(EventKind::Switch, text, |_| {});
        self.refresh_externals();
    }
}
