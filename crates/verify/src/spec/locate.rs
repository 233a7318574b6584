//! `locate`: where does it go? One answer for each destination address.

use std::net::Ipv4Addr;

use fseg_model::{Dpid, Mac, PortNo, WatchLevel};
use fseg_openflow::{Field, Match};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{EndpointFacts, NatMode, SwitchRole, Table, bits, meter};
use ipnet::Ipv4Net;

use super::does::{Does, dropped};
use super::{Case, Outside, Spec, case, ip, udp_to, within};
use crate::treatment::Treatment;

/// Addresses that are never anybody's: multicast and above, loopback, "this network", link-local.
const NEVER: [&str; 4] = ["224.0.0.0/3", "127.0.0.0/8", "0.0.0.0/8", "169.254.0.0/16"];

impl Spec<'_> {
    /// What happens to packets for addresses of a block, first case first; `None`: for every other address.
    pub fn locate(&self, block: Option<Ipv4Net>) -> Vec<Case> {
        let touches = |net: &Ipv4Net| block.is_none_or(|b| b.contains(net) || net.contains(&b));
        let mut out = Vec::new();
        self.shown_here(&touches, &mut out);
        self.streams_copied(&touches, &mut out);
        for net in NEVER.iter().filter_map(|n| n.parse::<Ipv4Net>().ok()).filter(touches) {
            out.push(case(within(ip(), Field::Ipv4Dst, net), dropped()));
        }
        if touches(&Ipv4Net::from(self.facts.fabric.router)) {
            if let Some(to_node) = self.to_node() {
                out.extend(self.services(ip()).into_iter().map(|m| case(m, to_node.clone())));
            }
            out.push(case(ip().with(Field::Ipv4Dst, self.router()), dropped()));
        }
        if let Some(block) = block {
            for (address, who) in self.by_address.range(block.network()..=block.broadcast()) {
                out.extend(self.to_endpoint(*address, who).into_iter().flatten());
            }
        }
        if self.facts.shown.wake {
            for p in self.admitting() {
                for (net, port) in self.inner.iter().filter(|n| touches(n)).flat_map(|n| [(n, 7), (n, 9)]) {
                    let m = udp_to(ip().with(Field::InPort, p.number.0), port);
                    out.push(case(within(m, Field::Ipv4Dst, *net), self.shown(p.number)));
                }
            }
        }
        let denied = Does::new().meter(meter::DENIED.id).shown_to_node().ends();
        // The longest prefix decides, inside ones among them: there is nobody left in those.
        let mut prefixes: Vec<(u8, Case)> = Vec::new();
        for net in self.inner.iter().filter(|n| touches(n)) {
            prefixes.push((net.prefix_len(), case(within(ip(), Field::Ipv4Dst, *net), denied.clone())));
        }
        for o in self.outside.iter().filter(|o| touches(&o.net)) {
            // A way that does not lead anywhere yet denies; it does not fall through to a shorter prefix.
            let to = within(ip(), Field::Ipv4Dst, o.net);
            let cases = self.to_outside(o, &to).unwrap_or_else(|| vec![case(to, denied.clone())]);
            prefixes.extend(cases.into_iter().map(|c| (o.net.prefix_len(), c)));
        }
        prefixes.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
        out.extend(prefixes.into_iter().map(|(_, c)| c));
        out.push(case(Match::new(), denied));
        out
    }

    /// To the node, metered for the port it came in by.
    pub(crate) fn shown(&self, port: PortNo) -> Treatment {
        Does::new().meter(meter::discovery(port).id).shown_to_node().ends()
    }

    /// Questions by multicast, memberships and magic packets, as far as a permit speaks of them.
    fn shown_here(&self, touches: &impl Fn(&Ipv4Net) -> bool, out: &mut Vec<Case>) {
        let shown = &self.facts.shown;
        for p in self.admitting() {
            let here = || ip().with(Field::InPort, p.number.0);
            for (group, port) in shown.discovery.iter().filter(|(g, _)| touches(&Ipv4Net::from(*g))) {
                out.push(case(udp_to(here().with(Field::Ipv4Dst, u32::from(*group)), *port), self.shown(p.number)));
            }
            if shown.memberships {
                out.push(case(here().with(Field::IpProto, 2_u8), self.shown(p.number)));
            }
            if shown.wake && touches(&Ipv4Net::from(Ipv4Addr::BROADCAST)) {
                for port in [7, 9] {
                    let m = here().with(Field::Ipv4Dst, u32::from(Ipv4Addr::BROADCAST));
                    out.push(case(udp_to(m, port), self.shown(p.number)));
                }
            }
        }
    }

    /// Past `permit`: the node's services are everybody's.
    fn to_node(&self) -> Option<Treatment> {
        let local = self.service_port().filter(|_| self.switch.role == SwitchRole::Node);
        let (port, macs) = match local {
            Some(port) => (port.number, (ROUTER_MAC, port.mac?)),
            None => {
                let (port, mac) = self.facts.fabric.way(self.switch.dpid, self.facts.fabric.node)?;
                (port, (self.switch.fabric_mac(), mac))
            }
        };
        let does = Does::new().macs(macs.0, macs.1);
        if self.plain.is_some() {
            return Some(does.out(port.0).ends());
        }
        Some(does.set(bits::OUT_PORT, port.0).goto(Table::Emit, self.live))
    }

    /// The port to another switch, and the MAC addresses of a frame to it.
    fn cable(&self, to: Dpid) -> Option<(PortNo, (Mac, Mac))> {
        let (port, mac) = self.facts.fabric.way(self.switch.dpid, to)?;
        Some((port, (self.switch.fabric_mac(), mac)))
    }

    fn to_endpoint(&self, address: Ipv4Addr, who: &EndpointFacts) -> Option<Vec<Case>> {
        let (port, macs) = if who.location.switch == self.switch.dpid {
            (who.location.port, (ROUTER_MAC, who.mac))
        } else {
            self.cable(who.location.switch)?
        };
        let to = ip().with(Field::Ipv4Dst, u32::from(address));
        let class = bits::destination(who.watch, who.class);
        if self.plain.is_some() {
            return Some(self.plain_way(&to, port, macs, class, false));
        }
        let does = Does::new().macs(macs.0, macs.1).set(bits::OUT_PORT, port.0);
        let does = does.set_bits(Field::Metadata, class, bits::DESTINATION_MASK);
        Some(vec![case(to, does.goto(Table::Track, self.live))])
    }

    fn to_outside(&self, o: &Outside<'_>, to: &Match) -> Option<Vec<Case>> {
        let leaves = o.home.dpid == self.switch.dpid;
        let (port, macs) = if leaves { (o.port, (ROUTER_MAC, o.exit.gateway_mac?)) } else { self.cable(o.home.dpid)? };
        let class = bits::destination(WatchLevel::Log, o.facts.class);
        if self.plain.is_some() {
            return Some(self.plain_way(to, port, macs, class, leaves));
        }
        let mut does = Does::new().macs(macs.0, macs.1).set(bits::OUT_PORT, port.0);
        if leaves {
            does = does.hop();
            if o.exit.mode == NatMode::Nat {
                does = does.set(bits::EXIT, o.exit.number);
            }
        }
        let does = does.set_bits(Field::Metadata, class, bits::DESTINATION_MASK);
        Some(vec![case(to.clone(), does.goto(Table::Track, self.live))])
    }
}
