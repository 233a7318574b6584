//! `guard`: who is this? One answer for each ingress port and source MAC address.

use std::collections::BTreeSet;

use fseg_model::{ClassId, Mac, PortKind, SliceId, WatchLevel};
use fseg_openflow::{Field, Match, NatAction};
use fseg_pipeline::fabric::{CLOSED_PORT, REDIRECT_PORT, SERVICE_MAC};
use fseg_pipeline::{EndpointFacts, NatMode, PortFacts, SwitchRole, Table, bits, meter};

use super::does::{Does, Track, dropped};
use super::{Case, Spec, arp, case, dhcp_request, ip, source_of, tcp_from, v4, within};
use crate::treatment::Treatment;

impl<'a> Spec<'a> {
    /// Port and source MAC addresses that are told apart; every other MAC address of a port is treated alike.
    pub fn guarded(&self) -> BTreeSet<(u32, u64)> {
        let mut out: BTreeSet<(u32, u64)> = self.here.keys().map(|(port, mac)| (*port, mac.to_u64())).collect();
        let mut homes: BTreeSet<u64> = self.elsewhere.keys().map(|m| m.to_u64()).collect();
        homes.extend(self.outside.iter().map(|o| o.home.fabric_mac().to_u64()));
        homes.insert(SERVICE_MAC.to_u64());
        for port in self.switch.ports.iter().filter(|p| p.kind == PortKind::Uplink) {
            out.extend(homes.iter().map(|mac| (port.number.0, *mac)));
        }
        out
    }

    /// What happens to frames of this port and source MAC address, first case first. `None` for a port or address that
    /// nothing is known of.
    pub fn guard(&self, port: Option<u32>, mac: Option<u64>) -> Vec<Case> {
        // A tag would hide what the cases below look at.
        let mut out = vec![case(Match::new().with_masked(Field::VlanVid, 0x1000_u16, 0x1000_u16), dropped())];
        let facts = port.and_then(|n| self.switch.ports.iter().find(|p| p.number.0 == n));
        match facts {
            Some(p) if p.kind == PortKind::Uplink => self.uplink(p, mac, &mut out),
            Some(p) if p.kind == PortKind::Service && self.service_port().is_some_and(|s| s.number == p.number) => {
                self.service(&mut out);
            }
            Some(PortFacts { kind: PortKind::Legacy, exit: Some(_), .. }) => {
                if let Some(p) = facts {
                    self.legacy(p, &mut out);
                }
            }
            _ => self.edge(port, mac, &mut out),
        }
        out
    }

    fn known(&self, source: u64, next: Table) -> Treatment {
        Does::new().set_bits(Field::Metadata, source, bits::SOURCE_MASK).goto(next, self.live)
    }

    fn special(&self, class: ClassId) -> u64 {
        bits::source(SliceId::DEFAULT, WatchLevel::Log, class)
    }

    fn outsider(&self, source: u64) -> Treatment {
        Does::new()
            .set(bits::OUTSIDE, 1_u8)
            .set_bits(Field::Metadata, source, bits::SOURCE_MASK)
            .goto(Table::Locate, self.live)
    }

    /// A port where endpoints are, or one that nothing is known of.
    fn edge(&self, port: Option<u32>, mac: Option<u64>, out: &mut Vec<Case>) {
        let asks = Does::new().goto(Table::Onboard, self.live);
        out.push(case(dhcp_request(ip()), asks.clone()));
        if let Some(p) = self.admitting().find(|p| Some(p.number.0) == port).filter(|_| self.facts.shown.wake) {
            // A magic packet without IP.
            out.push(case(Match::new().with(Field::EthType, 0x0842_u16), self.shown(p.number)));
        }
        let own: Vec<&EndpointFacts> =
            port.zip(mac).and_then(|(p, m)| self.here.get(&(p, Mac::from_u64(m)))).map_or_else(Vec::new, Clone::clone);
        let resolution =
            |mac: Mac, a: std::net::Ipv4Addr| arp().with(Field::ArpSha, mac.to_u64()).with(Field::ArpSpa, u32::from(a));
        for who in &own {
            for a in who.addresses.iter().filter_map(v4) {
                out.push(case(resolution(who.mac, a).with(Field::ArpTpa, u32::from(a)), dropped()));
            }
        }
        out.push(case(arp().with(Field::ArpSpa, 0_u32), dropped()));
        if let Ok(link_local) = "169.254.0.0/16".parse() {
            out.push(case(within(ip(), Field::Ipv4Src, link_local), dropped()));
        }
        for who in &own {
            let named = match who.class {
                ClassId::STRANGER => {
                    let meter = meter::stranger(who.location.port).id;
                    let does = Does::new().meter(meter).set_bits(Field::Metadata, source_of(who), bits::SOURCE_MASK);
                    does.goto(Table::Onboard, self.live)
                }
                _ => self.known(source_of(who), Table::Locate),
            };
            for a in who.addresses.iter().filter_map(v4) {
                out.push(case(ip().with(Field::Ipv4Src, u32::from(a)), named.clone()));
                out.push(case(resolution(who.mac, a), self.asks(who.mac, a)));
            }
        }
        if let Some(who) = own.first() {
            // Somebody who is known, with an address that is not its own.
            let seen = Does::new().meter(meter::control(who.location.port).id).shown_to_node().ends();
            out.push(case(ip(), seen.clone()));
            out.push(case(arp(), seen));
        }
        out.push(case(Match::new(), asks));
    }

    /// A cable to another switch of the site.
    fn uplink(&self, port: &PortFacts, mac: Option<u64>, out: &mut Vec<Case>) {
        for (other, way) in self.switch.via.iter().filter(|(_, way)| **way != port.number) {
            if let Some(peer) = self.facts.switch(*other) {
                let m = ip().with(Field::EthDst, peer.fabric_mac().to_u64());
                out.push(case(m, Does::new().out(way.0).ends()));
            }
        }
        let for_me = || ip().with(Field::EthDst, self.switch.fabric_mac().to_u64());
        if self.switch.role == SwitchRole::Access && mac == Some(SERVICE_MAC.to_u64()) {
            let node = for_me().with(Field::Ipv4Src, self.router());
            out.push(case(node, self.known(self.special(ClassId::NODE), Table::Locate)));
            for asked in [80, 443] {
                let portal = self.known(self.special(ClassId::PORTAL), Table::Locate);
                out.push(case(tcp_from(for_me(), asked), portal));
            }
        }
        self.streams_arriving(port.number, mac, out);
        let home = mac.map(Mac::from_u64);
        for who in home.and_then(|m| self.elsewhere.get(&m)).into_iter().flatten() {
            let next = if who.class == ClassId::STRANGER { Table::Onboard } else { Table::Locate };
            for a in who.addresses.iter().filter_map(v4) {
                let m = for_me().with(Field::Ipv4Src, u32::from(a));
                out.push(case(m, self.known(source_of(who), next)));
            }
        }
        // The longest prefix decides, inside ones among them: those are nobody's at this place.
        let mut prefixes: Vec<(u8, Case)> = Vec::new();
        for net in &self.inner {
            prefixes.push((net.prefix_len(), case(within(ip(), Field::Ipv4Src, *net), dropped())));
        }
        for o in self.outside.iter().filter(|o| o.home.dpid != self.switch.dpid && Some(o.home.fabric_mac()) == home) {
            let source = bits::source(o.facts.slice, WatchLevel::Log, o.facts.class);
            let m = within(for_me(), Field::Ipv4Src, o.net);
            prefixes.push((o.net.prefix_len(), case(m, self.outsider(source))));
        }
        prefixes.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
        out.extend(prefixes.into_iter().map(|(_, c)| c));
        out.push(case(Match::new(), dropped()));
    }

    /// The node's own stack.
    fn service(&self, out: &mut Vec<Case>) {
        let node = self.special(ClassId::NODE);
        let own = || ip().with(Field::Ipv4Src, self.router());
        for served in [REDIRECT_PORT, CLOSED_PORT] {
            let back = Track { next: Some(Table::Locate), translation: vec![NatAction::default()], ..Track::default() };
            let does = Does::new().set(Field::Metadata, node).track(bits::ZONE_PORTAL, back, self.live);
            out.push(case(tcp_from(own(), served), does.ends()));
        }
        out.push(case(own(), self.known(node, Table::Locate)));
        out.push(case(arp(), Does::new().goto(Table::Answer, self.live)));
        out.push(case(Match::new(), dropped()));
    }

    /// An outside network.
    fn legacy(&self, port: &PortFacts, out: &mut Vec<Case>) {
        let Some(exit) = &port.exit else { return };
        let asks = arp().with(Field::ArpOp, 1_u16).with(Field::ArpTpa, u32::from(exit.address));
        out.push(case(asks, Does::new().goto(Table::Answer, self.live)));
        let says = arp().with(Field::ArpOp, 2_u16).with(Field::ArpSpa, u32::from(exit.gateway));
        out.push(case(says, Does::new().meter(meter::control(port.number).id).shown_to_node().ends()));
        out.push(case(ip().with(Field::Ipv4Dst, self.router()), dropped()));
        for net in &self.inner {
            out.push(case(within(ip(), Field::Ipv4Src, *net), dropped()));
        }
        for o in self.outside.iter().filter(|o| o.home.dpid == self.switch.dpid && o.port == port.number) {
            let source = bits::source(o.facts.slice, WatchLevel::Log, o.facts.class);
            let treatment = match exit.mode {
                NatMode::Route => self.outsider(source),
                NatMode::Nat => {
                    let back = Track {
                        next: Some(Table::Locate),
                        translation: vec![NatAction::default()],
                        ..Track::default()
                    };
                    let does = Does::new().set(bits::OUTSIDE, 1_u8).set(Field::Metadata, source);
                    does.track(bits::zone_exit(exit.number), back, self.live).ends()
                }
            };
            out.push(case(within(ip(), Field::Ipv4Src, o.net), treatment));
        }
        out.push(case(Match::new(), dropped()));
    }
}
