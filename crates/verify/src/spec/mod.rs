//! What each table should do with every packet, from the facts and the policy alone.
//!
//! Written from docs/pipeline.md, not from the code that makes rows: it shares with that the numbers of tables, bits and
//! meters, and nothing else. Each table's answer is a list of cases of which the first that fits counts; the permits'
//! answer is made from the policy's own permits for each pair of classes.

mod access;
mod does;
mod guard;
mod locate;
mod permit;
mod plain;
mod stream;
mod tail;
mod turn;

pub use permit::{Plan, Verdicts};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use fseg_model::{ClassId, Dpid, Mac, PortKind, PortNo};
use fseg_openflow::{Field, Match};
use fseg_pipeline::profile::Capabilities;
use fseg_pipeline::{EndpointFacts, Exit, ExternalFacts, PortFacts, SwitchFacts, Table, bits};
use ipnet::{IpNet, Ipv4Net};

use crate::facts::Facts;
use crate::treatment::{Live, Treatment};

/// One case: packets that fit are treated so, if no case before it fits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Case {
    /// Which packets.
    pub matches: Match,
    /// What happens to them.
    pub treatment: Treatment,
}

pub(crate) fn case(matches: Match, treatment: Treatment) -> Case {
    Case { matches, treatment }
}

const ETH_IPV4: u16 = 0x0800;
const ETH_ARP: u16 = 0x0806;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

pub(crate) fn ip() -> Match {
    Match::new().with(Field::EthType, ETH_IPV4)
}

pub(crate) fn arp() -> Match {
    Match::new().with(Field::EthType, ETH_ARP)
}

pub(crate) fn tcp_to(m: Match, port: u16) -> Match {
    m.with(Field::IpProto, TCP).with(Field::TcpDst, port)
}

pub(crate) fn tcp_from(m: Match, port: u16) -> Match {
    m.with(Field::IpProto, TCP).with(Field::TcpSrc, port)
}

pub(crate) fn udp_to(m: Match, port: u16) -> Match {
    m.with(Field::IpProto, UDP).with(Field::UdpDst, port)
}

pub(crate) fn echo(m: Match) -> Match {
    m.with(Field::IpProto, ICMP).with(Field::Icmpv4Type, 8_u8)
}

pub(crate) fn dhcp_request(m: Match) -> Match {
    udp_to(m, 67).with(Field::UdpSrc, 68_u16)
}

pub(crate) fn within(m: Match, field: Field, net: Ipv4Net) -> Match {
    m.with_masked(field, u32::from(net.network()), u32::from(net.netmask()))
}

pub(crate) fn v4(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(a) => Some(*a),
        IpAddr::V6(_) => None,
    }
}

/// A prefix of the outside with everything about it that one switch needs.
#[derive(Debug, Clone)]
pub(crate) struct Outside<'a> {
    pub(crate) net: Ipv4Net,
    pub(crate) facts: &'a ExternalFacts,
    pub(crate) home: &'a SwitchFacts,
    pub(crate) port: PortNo,
    pub(crate) exit: &'a Exit,
}

/// The facts of one switch, in the order the tables ask for them.
pub struct Spec<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) switch: &'a SwitchFacts,
    pub(crate) live: &'a Live,
    /// What the switch can do, where it has no extensions.
    pub(crate) plain: Option<&'a Capabilities>,
    /// Streams with receivers, by address.
    pub(crate) streams: BTreeMap<Ipv4Addr, stream::Stream>,
    /// Endpoints attached here, by port and MAC address.
    pub(crate) here: HashMap<(u32, Mac), Vec<&'a EndpointFacts>>,
    /// Endpoints attached elsewhere, by the fabric MAC address of their switch.
    pub(crate) elsewhere: HashMap<Mac, Vec<&'a EndpointFacts>>,
    /// Prefixes of the outside, the longest first.
    pub(crate) outside: Vec<Outside<'a>>,
    /// Inside networks, the longest first.
    pub(crate) inner: Vec<Ipv4Net>,
    /// Endpoints by address.
    pub(crate) by_address: BTreeMap<Ipv4Addr, &'a EndpointFacts>,
}

impl<'a> Spec<'a> {
    /// The facts as one switch needs them; `None` for a switch the site does not have.
    pub fn new(facts: &'a Facts, switch: Dpid, live: &'a Live) -> Option<Self> {
        let switch = facts.switch(switch)?;
        let mut this = Self {
            facts,
            switch,
            live,
            plain: switch.profile.plain(),
            streams: Self::streams_of(facts, switch),
            here: HashMap::new(),
            elsewhere: HashMap::new(),
            outside: Vec::new(),
            inner: facts.fabric.inner.clone(),
            by_address: BTreeMap::new(),
        };
        for who in &facts.endpoints {
            if who.location.switch == switch.dpid {
                this.here.entry((who.location.port.0, who.mac)).or_default().push(who);
            } else if let Some(home) = facts.switch(who.location.switch) {
                this.elsewhere.entry(home.fabric_mac()).or_default().push(who);
            }
            for address in who.addresses.iter().filter_map(v4) {
                this.by_address.insert(address, who);
            }
        }
        for external in &facts.externals {
            let (IpNet::V4(net), Some(place)) = (external.prefix, external.exit) else { continue };
            let Some(home) = facts.switch(place.switch) else { continue };
            let Some(exit) = home.port(place.port).and_then(|p| p.exit.as_ref()) else { continue };
            this.outside.push(Outside { net: net.trunc(), facts: external, home, port: place.port, exit });
        }
        this.outside.sort_by_key(|o| std::cmp::Reverse(o.net.prefix_len()));
        this.inner.sort_by_key(|n| std::cmp::Reverse(n.prefix_len()));
        Some(this)
    }

    pub(crate) fn router(&self) -> u32 {
        u32::from(self.facts.fabric.router)
    }

    pub(crate) fn admitting(&self) -> impl Iterator<Item = &'a PortFacts> {
        self.switch.ports.iter().filter(|p| p.kind.admits())
    }

    /// The port of the node's own stack. A switch has at most one.
    pub(crate) fn service_port(&self) -> Option<&'a PortFacts> {
        self.switch.ports.iter().find(|p| p.kind == PortKind::Service)
    }

    /// The cases of a table that is small enough to be looked at as a whole. `guard`, `locate` and `permit` are not.
    pub fn small(&self, table: Table) -> Vec<Case> {
        match table {
            Table::Onboard => self.onboard(),
            Table::Answer => self.answer(),
            Table::Track => self.track(),
            Table::Turn => self.turn(),
            Table::Inspect if self.plain.is_some() => self.plain_inspect(),
            Table::Inspect => self.inspect(),
            Table::Deliver => self.deliver(),
            Table::Emit => self.emit(),
            Table::Guard | Table::Locate | Table::Permit => vec![],
        }
    }

    /// Metadata (the upper 40 bits, in place) of every source that a packet here may have.
    pub fn sources(&self) -> BTreeSet<u64> {
        let mut out: BTreeSet<u64> = self.facts.endpoints.iter().map(source_of).collect();
        let log = fseg_model::WatchLevel::Log;
        out.extend(self.outside.iter().map(|o| bits::source(o.facts.slice, log, o.facts.class)));
        // In the name of others the portal answers between switches only.
        let portal = (self.switch.role == fseg_pipeline::SwitchRole::Access).then_some(ClassId::PORTAL);
        for class in [Some(ClassId::NODE), portal].into_iter().flatten() {
            out.insert(bits::source(fseg_model::SliceId::DEFAULT, log, class));
        }
        out
    }

    /// Metadata (the lower 24 bits) of every destination that a packet here may have; 0 for none.
    pub fn destinations(&self) -> BTreeSet<u64> {
        let mut out: BTreeSet<u64> = self.facts.endpoints.iter().map(|e| bits::destination(e.watch, e.class)).collect();
        out.extend(self.outside.iter().map(|o| bits::destination(fseg_model::WatchLevel::Log, o.facts.class)));
        out
    }
}

/// What a packet of this endpoint carries in its metadata.
pub(crate) fn source_of(who: &EndpointFacts) -> u64 {
    bits::source(who.slice, who.watch, who.class)
}

impl<'a> Spec<'a> {
    /// The switch these facts are about.
    pub fn switch(&self) -> &'a SwitchFacts {
        self.switch
    }

    /// Blocks of 256 addresses in which somebody is, or that are cut by a longer prefix: their upper 24 bits.
    pub fn blocks(&self) -> BTreeSet<u32> {
        let mut out: BTreeSet<u32> = self.by_address.keys().map(|a| u32::from(*a) >> 8).collect();
        let long = self.outside.iter().map(|o| &o.net).chain(&self.inner).filter(|n| n.prefix_len() > 24);
        out.extend(long.map(|n| u32::from(n.network()) >> 8));
        out.insert(self.router() >> 8);
        out.extend(self.streams.keys().map(|a| u32::from(*a) >> 8));
        out
    }

    /// The classes that packets judged here may come from: of senders, and of those whose answers are turned round.
    pub fn judged(&self) -> BTreeSet<(fseg_model::SliceId, ClassId)> {
        let own = [ClassId::STRANGER, ClassId::NODE, ClassId::PORTAL];
        let mut out: BTreeSet<_> = self.facts.endpoints.iter().map(|e| (e.slice, e.class)).collect();
        out.extend(self.outside.iter().map(|o| (o.facts.slice, o.facts.class)));
        out.retain(|(_, class)| !own.contains(class));
        if self.plain.is_some() {
            // There is no `track` for them to leave at.
            out.extend([ClassId::NODE, ClassId::PORTAL].map(|class| (fseg_model::SliceId::DEFAULT, class)));
        }
        out
    }

    /// What changes when the facts of a part change.
    pub(crate) fn digest(&self, part: crate::Part, h: &mut impl Hasher) {
        let none = Vec::new();
        match part {
            crate::Part::Guard(Some(port), Some(mac)) => {
                let mac = Mac::from_u64(mac);
                for who in self.here.get(&(port, mac)).unwrap_or(&none) {
                    digest_endpoint(who, h);
                }
                if self.switch.ports.iter().any(|p| p.number.0 == port && p.kind == PortKind::Uplink) {
                    for who in self.elsewhere.get(&mac).unwrap_or(&none) {
                        digest_endpoint(who, h);
                    }
                    self.streams.hash(h);
                }
            }
            crate::Part::Locate(None) => self.streams.hash(h),
            crate::Part::Whole(Table::Answer) if self.plain.is_some() => self.by_address.keys().for_each(|a| a.hash(h)),
            crate::Part::Locate(Some(block)) => {
                self.streams.iter().filter(|(a, _)| u32::from(**a) >> 8 == block).for_each(|s| s.hash(h));
                let range = Ipv4Addr::from(block << 8)..=Ipv4Addr::from(block << 8 | 0xff);
                for (address, who) in self.by_address.range(range) {
                    h.write_u32(u32::from(*address));
                    digest_endpoint(who, h);
                }
            }
            _ => {}
        }
    }
}

fn digest_endpoint(who: &EndpointFacts, h: &mut impl Hasher) {
    h.write_u64(who.mac.to_u64());
    h.write_u64(who.location.switch.0);
    h.write_u32(who.location.port.0);
    h.write_u32(who.class.get());
    h.write_u32(u32::from(who.slice.0) << 8 | who.watch as u32);
    for address in who.addresses.iter().filter_map(v4) {
        h.write_u32(u32::from(address));
    }
}
