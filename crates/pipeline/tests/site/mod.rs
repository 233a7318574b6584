//! A site in memory, compiled from facts and a policy's text: the node bridge, two access switches, endpoints in every set
//! of groups, an outside by route and one by translation.
#![allow(dead_code)] // each test program uses a part of it

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use fseg_model::{
    ClassId, Dpid, EndpointId, Flow, Location, Mac, MemberSet, Name, PortKind, PortNo, SliceId, Wall, WatchLevel,
};
use fseg_openflow::Field;
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::rows::{
    endpoint_rows, exit_rows, external_rows, permit_rows_on, spoof_rows, system_rows, trial_places,
};
use fseg_pipeline::{
    Capabilities, Delta, Desired, EndpointFacts, Exit, ExternalFacts, Fabric, NatMode, Owner, PermitFacts, PortFacts,
    Profile, Row, SwitchFacts, SwitchRole,
};
use fseg_policy::Policy;
use fseg_test_kit::{FakeSwitch, Network, Packet, frames};
use fseg_yaml::Source;

pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const NODE: Dpid = Dpid(1);
pub(crate) const SW1: Dpid = Dpid(11);
pub(crate) const SW2: Dpid = Dpid(12);
pub(crate) const NODE_MAC: Mac = Mac([2, 0, 0, 0, 9, 9]);
const UP: PortNo = PortNo(24);
/// The node bridge's port to its own network stack, to the legacy network, and to the Internet.
pub(crate) const LOCAL: Location = Location { switch: NODE, port: PortNo(10) };
pub(crate) const LEGACY: Location = Location { switch: NODE, port: PortNo(11) };
pub(crate) const INTERNET: Location = Location { switch: NODE, port: PortNo(12) };
pub(crate) const LEGACY_GATEWAY: Mac = Mac([2, 0, 0, 0, 8, 1]);
pub(crate) const INTERNET_GATEWAY: Mac = Mac([2, 0, 0, 0, 8, 2]);
pub(crate) const EXIT_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

pub(crate) fn at(switch: Dpid, port: u32) -> Location {
    Location { switch, port: PortNo(port) }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn members(text: &str) -> MemberSet {
    text.split_whitespace().map(name).collect()
}

pub(crate) fn policy(text: &str) -> Policy {
    let checked = fseg_policy::check(&Source::new("test.yaml", text));
    let why: Vec<_> = checked.diagnostics.iter().map(ToString::to_string).collect();
    checked.policy.unwrap_or_else(|| panic!("{}\n{text}", why.join("\n")))
}

pub(crate) fn fabric() -> Fabric {
    let port = |number, kind| PortFacts { number: PortNo(number), kind, mac: None, exit: None };
    let exit = |number, n, address: [u8; 4], gateway: [u8; 4], mac, mode| PortFacts {
        exit: Some(Exit { number: n, address: address.into(), gateway: gateway.into(), gateway_mac: Some(mac), mode }),
        ..port(number, PortKind::Legacy)
    };
    let node = SwitchFacts {
        dpid: NODE,
        number: 1,
        role: SwitchRole::Node,
        ports: vec![
            port(1, PortKind::Uplink),
            port(2, PortKind::Uplink),
            PortFacts { mac: Some(NODE_MAC), ..port(10, PortKind::Service) },
            exit(11, 1, [192, 168, 50, 254], [192, 168, 50, 1], LEGACY_GATEWAY, NatMode::Route),
            exit(12, 2, EXIT_ADDRESS.octets(), [203, 0, 113, 1], INTERNET_GATEWAY, NatMode::Nat),
        ],
        via: [(SW1, PortNo(1)), (SW2, PortNo(2))].into(),
        profile: Profile::Ovs,
    };
    let access = |dpid, number, other| SwitchFacts {
        dpid,
        number,
        role: SwitchRole::Access,
        ports: (1..=10)
            .map(|p| port(p, if p == 10 { PortKind::Shared } else { PortKind::Access }))
            .chain([port(UP.0, PortKind::Uplink)])
            .collect(),
        via: [(NODE, UP), (other, UP)].into(),
        profile: Profile::Ovs,
    };
    let switches = [(NODE, node), (SW1, access(SW1, 2, SW2)), (SW2, access(SW2, 3, SW1))].into();
    Fabric { router: ROUTER, inner: vec!["10.0.0.0/8".parse().unwrap()], switches, node: NODE }
}

/// Somebody who sends and receives.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) mac: Mac,
    pub(crate) address: Ipv4Addr,
    pub(crate) place: Location,
    /// `None` for a stranger.
    pub(crate) members: Option<MemberSet>,
    /// Whether it stands outside.
    pub(crate) outside: bool,
}

impl Host {
    /// An endpoint in these groups; its number makes its addresses.
    pub(crate) fn inside(n: u8, place: Location, groups: &str) -> Self {
        let (mac, address) = (Mac([2, 0, 0, 1, 0, n]), Ipv4Addr::new(10, 0, 1, n));
        Self { mac, address, place, members: Some(members(groups)), outside: false }
    }

    pub(crate) fn stranger(n: u8, place: Location) -> Self {
        Self { members: None, ..Self::inside(n, place, "") }
    }

    /// A host of the legacy network, whose address is visible, seen through its gateway.
    pub(crate) fn legacy(last: u8) -> Self {
        let address = Ipv4Addr::new(192, 168, 50, last);
        Self { mac: LEGACY_GATEWAY, address, place: LEGACY, members: Some(MemberSet::new()), outside: true }
    }

    /// A host of the Internet, seen through its gateway.
    pub(crate) fn internet(last: u8) -> Self {
        let address = Ipv4Addr::new(198, 51, 100, last);
        Self { mac: INTERNET_GATEWAY, address, place: INTERNET, members: Some(MemberSet::new()), outside: true }
    }
}

/// What came of sending one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrived where it should, and nowhere else.
    Delivered(Vec<u8>),
    /// It arrived at the node's own network stack.
    Node(Vec<u8>),
    /// It arrived nowhere.
    Dropped,
}

pub(crate) struct Site {
    pub(crate) fabric: Fabric,
    pub(crate) policy: Policy,
    pub(crate) hosts: Vec<Host>,
    pub(crate) net: Network,
    pub(crate) desired: BTreeMap<Dpid, Desired>,
    classes: BTreeMap<MemberSet, ClassId>,
    /// How far apart the numbers of two permits are.
    apart: u32,
}

impl Site {
    /// A site with these hosts, all admitted but the strangers, and a policy in force.
    pub(crate) fn new(hosts: Vec<Host>, text: &str) -> Self {
        Self::with(fabric(), hosts, text, 1)
    }

    /// The same, permits having numbers that are so far apart.
    pub(crate) fn with_numbers_apart(hosts: Vec<Host>, text: &str, apart: u32) -> Self {
        Self::with(fabric(), hosts, text, apart)
    }

    /// The same with these access switches speaking OpenFlow 1.3 only.
    pub(crate) fn plain(switches: &[(Dpid, Capabilities)], hosts: Vec<Host>, text: &str) -> Self {
        let mut fabric = fabric();
        for (dpid, can) in switches {
            fabric.switches.get_mut(dpid).unwrap().profile = Profile::OpenFlow13(can.clone());
        }
        Self::with(fabric, hosts, text, 1)
    }

    fn with(fabric: Fabric, hosts: Vec<Host>, text: &str, apart: u32) -> Self {
        let mut net = Network::default();
        for switch in fabric.switches.values() {
            net.add(FakeSwitch::new(switch.dpid, switch.ports.iter().map(|p| p.number)));
        }
        net.cable(at(SW1, UP.0), at(NODE, 1));
        net.cable(at(SW2, UP.0), at(NODE, 2));
        let desired = fabric.switches.keys().map(|d| (*d, Desired::new())).collect();
        let mut site = Self { fabric, policy: Policy::empty(), hosts, net, desired, classes: BTreeMap::new(), apart };
        for dpid in [NODE, SW1, SW2] {
            let switch = site.fabric.switch(dpid).unwrap().clone();
            for (owner, rows) in system_rows(&site.fabric, &switch).into_iter().chain(exit_rows(&site.fabric, &switch))
            {
                site.replace(dpid, owner, rows);
            }
        }
        site.apply(text);
        for n in 0..site.hosts.len() {
            site.refresh(n);
        }
        site
    }

    pub(crate) fn replace(&mut self, dpid: Dpid, owner: Owner, rows: Vec<Row>) -> Delta {
        let profile = &self.fabric.switch(dpid).unwrap().profile;
        let (rows, misfits) = profile.fit(rows);
        assert_eq!(misfits, [], "on {dpid}");
        if profile.plain().is_some() {
            for row in &rows {
                assert_eq!(fseg_pipeline::table::plain_violation(row), None, "{row:?}");
            }
        }
        let delta = self.desired.get_mut(&dpid).unwrap().replace(owner, rows);
        for m in delta.flow_mods(1) {
            self.net.switch(dpid).tables.apply(&m).unwrap();
        }
        delta
    }

    /// Puts a policy in force.
    pub(crate) fn apply(&mut self, text: &str) {
        let next = policy(text);
        for n in 0..self.policy.permits.len().max(next.permits.len()) {
            self.on_all(Owner::Permit(self.number(n)), |_, _| vec![]);
        }
        let before: Vec<ClassId> = self.classes.values().copied().collect();
        self.policy = next;
        for class in before {
            self.on_all(Owner::External(class.get()), |_, _| vec![]);
        }
        let mut by_class: BTreeMap<ClassId, Vec<ExternalFacts>> = BTreeMap::new();
        for (prefix, names) in self.policy.external_prefixes() {
            let legacy = prefix.to_string().starts_with("192.168.50.");
            let class = self.class_of(&names);
            let exit = Some(if legacy { LEGACY } else { INTERNET });
            by_class.entry(class).or_default().push(ExternalFacts { prefix, class, slice: SliceId::DEFAULT, exit });
        }
        for (class, facts) in by_class {
            self.on_all(Owner::External(class.get()), |f, s| external_rows(f, s, class.get(), &facts));
        }
        for host in self.hosts.clone() {
            if let Some(set) = host.members.filter(|_| !host.outside) {
                self.class_of(&set);
            }
        }
        self.refresh_permits();
    }

    pub(crate) fn refresh_permits(&mut self) {
        for (n, permit) in self.policy.permits.clone().iter().enumerate() {
            let number = self.number(n);
            let facts = self.permit_facts(number, permit);
            self.on_all(Owner::Permit(number), |_, s| permit_rows_on(s, &facts).unwrap());
        }
    }

    /// The number of the permit at this position.
    fn number(&self, n: usize) -> u32 {
        n as u32 * self.apart + 1
    }

    fn trial_places(&self) -> BTreeMap<u32, u16> {
        let on_trial = |n: &usize| self.policy.permits[*n].mode == fseg_policy::Mode::Observe;
        trial_places((0..self.policy.permits.len()).filter(on_trial).map(|n| self.number(n)))
    }

    pub(crate) fn permit_facts(&self, number: u32, permit: &fseg_policy::Permit) -> PermitFacts {
        let side = |names: &[Name]| {
            self.classes.iter().filter(|(set, _)| names.iter().any(|n| set.contains(n))).map(|(_, c)| *c).collect()
        };
        let (from, to) = (side(&permit.from), side(&permit.to));
        PermitFacts {
            number,
            slice: SliceId::DEFAULT,
            from,
            to,
            terms: permit.terms.clone(),
            trial: self.trial_places().get(&number).copied(),
        }
    }

    pub(crate) fn on_all(&mut self, owner: Owner, rows: impl Fn(&Fabric, &SwitchFacts) -> Vec<Row>) {
        for dpid in [NODE, SW1, SW2] {
            let made = rows(&self.fabric, self.fabric.switch(dpid).unwrap());
            self.replace(dpid, owner, made);
        }
    }

    fn class_of(&mut self, set: &MemberSet) -> ClassId {
        let next = ClassId::FIRST.get() + self.classes.len() as u32;
        *self.classes.entry(set.clone()).or_insert_with(|| ClassId::new(next).unwrap())
    }

    pub(crate) fn facts(&mut self, n: usize) -> EndpointFacts {
        let host = self.hosts[n].clone();
        let class = host.members.as_ref().map_or(ClassId::STRANGER, |set| self.class_of(set));
        EndpointFacts {
            id: EndpointId(n as u32 + 1),
            slice: SliceId::DEFAULT,
            mac: host.mac,
            addresses: vec![IpAddr::V4(host.address)],
            location: host.place,
            class,
            watch: WatchLevel::Log,
        }
    }

    /// Brings a host's rows up to date with its place and groups.
    pub(crate) fn refresh(&mut self, n: usize) {
        if self.hosts[n].outside {
            return;
        }
        let facts = self.facts(n);
        self.on_all(Owner::Endpoint(facts.id), |f, s| endpoint_rows(f, s, &facts));
        self.on_all(Owner::Spoof(facts.id), |_, s| spoof_rows(s, &facts));
    }

    /// Whose groups, or which externals, a host has.
    pub(crate) fn set_of(&self, n: usize) -> Option<MemberSet> {
        let host = &self.hosts[n];
        if host.outside {
            return Some(self.policy.externals_of(IpAddr::V4(host.address)));
        }
        host.members.clone()
    }

    /// The reference answer.
    pub(crate) fn decide(&self, from: usize, to: usize, flow: Flow) -> bool {
        match (self.set_of(from), self.set_of(to)) {
            (Some(a), Some(b)) => self.policy.decide(&a, &b, flow, Wall(0)).is_permit(),
            _ => false,
        }
    }

    /// The first packet of a connection, as its sender sends it.
    pub(crate) fn first(&self, from: usize, to: usize, flow: Flow) -> Vec<u8> {
        let (a, b) = (&self.hosts[from], &self.hosts[to]);
        frames::first_of(flow, a.mac, ROUTER_MAC, a.address, b.address)
    }

    /// Sends a frame by a host's port and says what became of it: delivered means to `to`'s port, MAC and address, and
    /// nothing else anywhere. An outside host sees an address translated to the exit's.
    pub(crate) fn send(&mut self, from: usize, to: usize, frame: &[u8]) -> Fate {
        self.net.arrived.clear();
        self.net.said.clear();
        self.net.send(self.hosts[from].place, frame);
        let host = &self.hosts[to];
        let arrived = std::mem::take(&mut self.net.arrived);
        match arrived.as_slice() {
            [] => Fate::Dropped,
            [one] if one.place == LOCAL => {
                let packet = Packet::new(&one.frame, 0);
                assert_eq!(packet.get(Field::EthDst), Some(NODE_MAC.to_u64().into()));
                assert_eq!(packet.get(Field::Ipv4Dst), Some(u32::from(ROUTER).into()), "the node is asked for others");
                Fate::Node(one.frame.clone())
            }
            [one] => {
                assert_eq!(one.place, host.place, "it came out at the wrong port");
                let packet = Packet::new(&one.frame, 0);
                assert_eq!(packet.get(Field::EthDst), Some(host.mac.to_u64().into()), "for the wrong MAC address");
                assert_eq!(packet.get(Field::EthSrc), Some(ROUTER_MAC.to_u64().into()), "from the wrong MAC address");
                assert_eq!(packet.get(Field::Ipv4Dst), Some(u32::from(host.address).into()), "to the wrong address");
                Fate::Delivered(one.frame.clone())
            }
            many => panic!("{} frames came out of one", many.len()),
        }
    }

    /// Forgets all connections.
    pub(crate) fn forget(&mut self) {
        for switch in self.net.switches.values_mut() {
            switch.conntrack.clear();
        }
    }

    /// Every connection from everybody to everybody: delivered exactly if permitted, and then its answer comes back.
    /// Says how many were permitted.
    pub(crate) fn check_all(&mut self, flows: &[Flow]) -> usize {
        let mut permitted = 0;
        for from in 0..self.hosts.len() {
            for to in (0..self.hosts.len()).filter(|to| *to != from) {
                if self.hosts[from].outside && self.hosts[to].outside {
                    continue;
                }
                for flow in flows {
                    let wanted = self.decide(from, to, *flow);
                    permitted += usize::from(wanted);
                    self.check_one(from, to, *flow, wanted);
                }
            }
        }
        permitted
    }

    pub(crate) fn check_one(&mut self, from: usize, to: usize, flow: Flow, wanted: bool) {
        self.forget();
        let frame = self.first(from, to, flow);
        let fate = self.send(from, to, &frame);
        let what = format!("{:?} to {:?}, {flow}", self.hosts[from], self.hosts[to]);
        match fate {
            Fate::Delivered(there) => {
                assert!(wanted, "{what}: delivered, but decide() denies it");
                let answer = frames::answer_to(&there, ROUTER_MAC);
                let back = self.send(to, from, &Self::from_host(&self.hosts[to], answer));
                assert!(matches!(back, Fate::Delivered(_)), "{what}: its answer was dropped");
            }
            Fate::Node(_) => {
                assert_eq!(self.hosts[from].members, None, "{what}: sent to the node instead");
                assert_eq!(flow, Flow::tcp(80), "{what}: only web requests are sent to the portal");
            }
            Fate::Dropped => assert!(!wanted, "{what}: dropped, but decide() permits it"),
        }
    }

    /// Puts a host's own MAC address into a frame.
    pub(crate) fn from_host(host: &Host, frame: Vec<u8>) -> Vec<u8> {
        let mut packet = Packet::new(&frame, 0);
        packet.set(Field::EthSrc, host.mac.to_u64().into(), u128::MAX);
        packet.frame()
    }
}
