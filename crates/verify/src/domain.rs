//! Which packets can come into a table at all, with which metadata and registers: a difference elsewhere is nobody's.
//!
//! These sets are never too small: what is proved within them is proved. Where one is larger than it need be, a difference
//! may be told that no packet meets.

use std::collections::{BTreeMap, BTreeSet};

use fseg_model::{ClassId, PortKind, SliceId, WatchLevel};
use fseg_openflow::Field;
use fseg_pipeline::{SwitchRole, Table, bits};

use crate::diagram::{Diagrams, NO, Node, YES};
use crate::spec::{Spec, source_of};
use crate::verifier::Part;

/// The sets of one switch.
pub(crate) struct Domain<'a> {
    spec: &'a Spec<'a>,
    /// Metadata of sources (upper 40 bits, right-justified).
    sources: BTreeSet<u64>,
    strangers: BTreeSet<u64>,
    /// Classes of the outside.
    outside: BTreeSet<u32>,
    /// The sources that come in by each port.
    by_port: BTreeMap<u32, BTreeSet<u64>>,
    /// Watch level and class of whoever can be a destination.
    targets: BTreeSet<u64>,
}

const IP: u128 = 0x0800;
const ARP: u128 = 0x0806;

fn class_of(upper: u64) -> u32 {
    bits::classes(upper << 24).0
}

impl<'a> Domain<'a> {
    pub(crate) fn new(spec: &'a Spec<'a>) -> Self {
        let all: BTreeSet<u64> = spec.sources().into_iter().map(|m| m >> 24).collect();
        let (strangers, sources) = all.into_iter().partition(|s| class_of(*s) == ClassId::STRANGER.get());
        let outside = spec.outside.iter().map(|o| o.facts.class.get()).collect();
        Self { spec, sources, strangers, outside, by_port: by_port(spec), targets: spec.destinations() }
    }

    /// The packets of a part that can come in.
    pub(crate) fn of(&self, part: Part, parts: &[Part], d: &mut Diagrams) -> Node {
        let table = part.table();
        let mut set = self.common(table, d);
        let more = match table {
            Table::Guard => self.elsewhere(part, parts, d),
            Table::Onboard => self.onboarding(d),
            Table::Answer => {
                // From endpoints, from the node, and from beyond an exit.
                let own = self.spec.switch().ports.iter();
                let own = own.filter(|p| p.kind == PortKind::Service || p.exit.is_some()).map(|p| p.number.0);
                let ports =
                    own.chain(self.spec.here.keys().map(|(port, _)| *port)).map(u128::from).collect::<BTreeSet<_>>();
                let ports = is(d, Field::InPort, &ports.into_iter().collect::<Vec<_>>(), 32);
                let arp = is(d, Field::EthType, &[ARP], 16);
                d.and(ports, arp)
            }
            Table::Locate => {
                let sources = self.arriving(d);
                let rest = self.elsewhere(part, parts, d);
                d.and(sources, rest)
            }
            Table::Track => {
                let targets = self.targets.clone();
                self.metadata(d, &self.sources, &targets)
            }
            Table::Turn => {
                let (outside, inside) =
                    self.judged(None).into_iter().partition(|s| self.outside.contains(&class_of(*s)));
                let targets = self.targets.clone();
                let metadata = self.metadata(d, &inside, &targets);
                let within = is(d, bits::OUTSIDE, &[0], 32);
                let within = d.and(metadata, within);
                let metadata = self.metadata(d, &outside, &targets);
                let from = is(d, bits::OUTSIDE, &[1], 32);
                let from = d.and(metadata, from);
                let metadata = d.or(within, from);
                let states: Vec<u128> = Spec::connection_states().into_iter().map(u128::from).collect();
                let states = is(d, Field::CtState, &states, 32);
                d.and(metadata, states)
            }
            Table::Permit | Table::Inspect if self.spec.plain.is_some() => {
                let class = if let Part::Permit(slice, class) = part { Some((slice, class)) } else { None };
                self.sent(class, d)
            }
            Table::Permit => {
                let class = if let Part::Permit(slice, class) = part { Some((slice, class)) } else { None };
                let metadata = self.turned(class, d);
                let services = services(d);
                d.and(metadata, services)
            }
            Table::Inspect | Table::Deliver => {
                let metadata = self.turned(None, d);
                let states: Vec<u128> =
                    Spec::connection_states().into_iter().filter(|s| s & 0x10 == 0).map(u128::from).collect();
                let states = is(d, Field::CtState, &states, 32);
                d.and(metadata, states)
            }
            Table::Emit => {
                let exits: Vec<u128> = self.spec.exits().into_iter().map(u128::from).collect();
                is(d, bits::EXIT, &exits, 32)
            }
        };
        set = d.and(set, more);
        if matches!(
            table,
            Table::Locate | Table::Track | Table::Turn | Table::Permit | Table::Inspect | Table::Deliver | Table::Emit
        ) {
            let ip = is(d, Field::EthType, &[IP], 16);
            set = d.and(set, ip);
        }
        set
    }

    /// Packets as they are met every day, to show a difference by one of them where one is among them: new connections by
    /// TCP, and ICMP errors where something belongs to another connection.
    pub(crate) fn likely(&self, part: Part, d: &mut Diagrams) -> Node {
        if part.table() != Table::Turn {
            return YES;
        }
        let related: Vec<u128> =
            Spec::connection_states().into_iter().filter(|s| s & 0x04 != 0).map(u128::from).collect();
        let states = is(d, Field::CtState, &related, 32);
        let error = is(d, Field::Icmpv4Type, &[3], 8);
        let error = d.and(states, error);
        let unrelated: Vec<(u128, Node)> = related.iter().map(|s| (*s, NO)).collect();
        let unrelated = d.cases(Field::CtState, 0, 32, &unrelated, YES);
        let mut begun = |field: Field, port: u128| {
            let port = is(d, field, &[port], field.width());
            d.and(unrelated, port)
        };
        let (tcp, udp) = (begun(Field::TcpDst, 80), begun(Field::UdpDst, 53));
        let (sctp, echo) = (begun(Field::SctpDst, 100), begun(Field::Icmpv4Type, 8));
        let icmp = d.or(error, echo);
        d.cases(Field::IpProto, 0, 8, &[(1, icmp), (6, tcp), (17, udp), (132, sctp), (47, unrelated)], NO)
    }

    /// What holds for every packet that comes into a table: what nothing before has written is 0.
    fn common(&self, table: Table, d: &mut Diagrams) -> Node {
        // Any fragment, not one, or a later one; a tag says that it is there.
        let mut set = is(d, Field::IpFrag, &[0, 1, 3], 2);
        let untagged = is(d, Field::VlanVid, &[0], 13);
        match table {
            Table::Guard => {
                let here = d.cases(Field::VlanVid, 12, 1, &[(1, YES)], untagged);
                set = d.and(set, here);
            }
            _ => set = d.and(set, untagged),
        }
        if table < Table::Locate {
            let metadata = if table == Table::Onboard { YES } else { is(d, Field::Metadata, &[0], 64) };
            set = d.and(set, metadata);
        }
        let plain = self.spec.plain.is_some();
        if table < Table::Turn || plain {
            let state = is(d, Field::CtState, &[0], 32);
            set = d.and(set, state);
        }
        for n in 0..16 {
            let field = Field::Reg(n);
            let written = match field {
                _ if plain => false,
                f if f == bits::OUTSIDE => table > Table::Guard,
                f if f == bits::OUT_PORT || f == bits::EXIT => table > Table::Locate,
                f if f == bits::SERVICE_PORT
                    || f == bits::SERVICE_PROTOCOL
                    || f == bits::FRAGMENT
                    || f == bits::SCRATCH =>
                {
                    table > Table::Turn
                }
                _ => false,
            };
            let values = match field {
                f if f == bits::OUTSIDE && written && table > Table::Onboard => is(d, field, &[0, 1], 32),
                f if f == bits::OBSERVED && table > Table::Permit && !plain => is(d, field, &[0, 1], 32),
                _ if written => YES,
                _ => is(d, field, &[0], 32),
            };
            set = d.and(set, values);
        }
        set
    }

    /// Ports, MAC addresses and blocks that have no part of their own.
    fn elsewhere(&self, part: Part, named: &[Part], d: &mut Diagrams) -> Node {
        match part {
            Part::Guard(Some(port), None) => {
                let taken: BTreeSet<u128> = named
                    .iter()
                    .filter_map(|p| match p {
                        Part::Guard(Some(q), Some(mac)) if *q == port => Some(u128::from(*mac)),
                        _ => None,
                    })
                    .collect();
                not(d, Field::EthSrc, 0, 48, &taken)
            }
            Part::Guard(None, _) => {
                let taken: BTreeSet<u128> = named
                    .iter()
                    .filter_map(|p| if let Part::Guard(Some(q), _) = p { Some(u128::from(*q)) } else { None })
                    .collect();
                not(d, Field::InPort, 0, 32, &taken)
            }
            Part::Locate(None) => {
                let taken: BTreeSet<u128> = named
                    .iter()
                    .filter_map(|p| if let Part::Locate(Some(b)) = p { Some(u128::from(*b)) } else { None })
                    .collect();
                not(d, Field::Ipv4Dst, 8, 24, &taken)
            }
            _ => YES,
        }
    }

    /// Without metadata from where devices may be, or as a stranger.
    fn onboarding(&self, d: &mut Diagrams) -> Node {
        let unnamed = is(d, Field::Metadata, &[0], 64);
        let strangers = self.metadata(d, &self.strangers, &[0].into());
        let either = {
            let upper: Vec<(u128, Node)> =
                self.strangers.iter().chain(&[0]).map(|s| (u128::from(*s) << 24, YES)).collect();
            d.cases(Field::Metadata, 0, 64, &upper, NO)
        };
        let mut cases = Vec::new();
        for port in &self.spec.switch().ports {
            let set = match port.kind {
                k if k.admits() => either,
                PortKind::Uplink => strangers,
                PortKind::Legacy if port.exit.is_none() => unnamed,
                _ => NO,
            };
            cases.push((u128::from(port.number.0), set));
        }
        d.cases(Field::InPort, 0, 32, &cases, unnamed)
    }

    /// Who comes in by which port, as far as `locate`; strangers for the node's services only.
    fn arriving(&self, d: &mut Diagrams) -> Node {
        let router = is(d, Field::Ipv4Dst, &[self.spec.router().into()], 32);
        let mut ports = Vec::new();
        for (port, sources) in &self.by_port {
            let set = |s: &u64| if self.strangers.contains(s) { router } else { YES };
            let cases: Vec<(u128, Node)> = sources.iter().map(|s| (u128::from(*s) << 24, set(s))).collect();
            ports.push((u128::from(*port), d.cases(Field::Metadata, 0, 64, &cases, NO)));
        }
        d.cases(Field::InPort, 0, 32, &ports, NO)
    }

    /// These sources with these targets.
    fn metadata(&self, d: &mut Diagrams, sources: &BTreeSet<u64>, targets: &BTreeSet<u64>) -> Node {
        let lower: Vec<(u128, Node)> = targets.iter().map(|t| (u128::from(*t), YES)).collect();
        let lower = d.cases(Field::Metadata, 0, 24, &lower, NO);
        let upper: Vec<(u128, Node)> = sources.iter().map(|s| (u128::from(*s), lower)).collect();
        d.cases(Field::Metadata, 24, 40, &upper, NO)
    }

    /// Sources that are judged: not the node's own.
    fn judged(&self, class: Option<(SliceId, ClassId)>) -> BTreeSet<u64> {
        let own = [ClassId::NODE.get(), ClassId::PORTAL.get()];
        let fits = |s: &u64| match class {
            Some((slice, class)) => class_of(*s) == class.get() && s >> 24 == u64::from(slice.0),
            None => true,
        };
        self.sources.iter().copied().filter(|s| !own.contains(&class_of(*s)) && fits(s)).collect()
    }

    /// As they were sent, by port, where nothing turns them round. Strangers reach the node's services only, past `permit`.
    fn sent(&self, class: Option<(SliceId, ClassId)>, d: &mut Diagrams) -> Node {
        let fits = |s: &u64| match class {
            Some((slice, class)) => class_of(*s) == class.get() && s >> 24 == u64::from(slice.0),
            None => true,
        };
        let mut ports = Vec::new();
        for (port, all) in &self.by_port {
            let here: BTreeSet<u64> = all.intersection(&self.sources).copied().filter(fits).collect();
            ports.push((u128::from(*port), self.metadata(d, &here, &self.targets)));
        }
        d.cases(Field::InPort, 0, 32, &ports, NO)
    }

    /// As they were sent, and turned round, by port. Strangers open nothing.
    fn turned(&self, class: Option<(SliceId, ClassId)>, d: &mut Diagrams) -> Node {
        let judged = self.judged(None);
        let fits = |s: &u64| class.is_none_or(|(_, class)| class_of(*s) == class.get());
        let slice = u64::from(SliceId::DEFAULT.0) << 24;
        let turned: BTreeSet<u64> = self.targets.iter().map(|t| slice | t).filter(fits).collect();
        let mut ports = Vec::new();
        for (port, all) in &self.by_port {
            let here: BTreeSet<u64> = all.intersection(&judged).copied().collect();
            let sent = here.iter().copied().filter(fits).collect();
            let sent = self.metadata(d, &sent, &self.targets);
            let answered = here.iter().map(|s| s & 0xff_ffff).collect();
            let answered = self.metadata(d, &turned, &answered);
            ports.push((u128::from(*port), d.or(sent, answered)));
        }
        d.cases(Field::InPort, 0, 32, &ports, NO)
    }
}

/// The sources (upper 40 bits of the metadata) that come in by each port of a switch.
fn by_port(spec: &Spec<'_>) -> BTreeMap<u32, BTreeSet<u64>> {
    let own = spec.switch();
    let mut out: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    let mut add = |port: u32, metadata: u64| {
        out.entry(port).or_default().insert(metadata >> 24);
    };
    for who in &spec.facts.endpoints {
        let port = match who.location.switch {
            here if here == own.dpid => Some(who.location.port),
            // Each of its cables believes the address of the far switch.
            _ => None,
        };
        match port {
            Some(port) => add(port.0, source_of(who)),
            None => own.ports_of(PortKind::Uplink).for_each(|p| add(p.number.0, source_of(who))),
        }
    }
    let special = |class| bits::source(SliceId::DEFAULT, WatchLevel::Log, class);
    for o in &spec.outside {
        let metadata = bits::source(o.facts.slice, WatchLevel::Log, o.facts.class);
        match o.home.dpid == own.dpid {
            true => add(o.port.0, metadata),
            false => own.ports_of(PortKind::Uplink).for_each(|p| add(p.number.0, metadata)),
        }
    }
    if let Some(port) = spec.service_port() {
        add(port.number.0, special(ClassId::NODE));
    }
    if own.role == SwitchRole::Access {
        for port in own.ports_of(PortKind::Uplink) {
            add(port.number.0, special(ClassId::NODE));
            add(port.number.0, special(ClassId::PORTAL));
        }
    }
    out
}

/// One of these values.
fn is(d: &mut Diagrams, field: Field, values: &[u128], width: u16) -> Node {
    let cases: Vec<(u128, Node)> = values.iter().map(|v| (*v, YES)).collect();
    d.cases(field, 0, width, &cases, NO)
}

/// None of these values.
fn not(d: &mut Diagrams, field: Field, low: u16, width: u16, values: &BTreeSet<u128>) -> Node {
    let cases: Vec<(u128, Node)> = values.iter().map(|v| (*v, NO)).collect();
    d.cases(field, low, width, &cases, YES)
}

/// What `turn` leaves in the service registers.
fn services(d: &mut Diagrams) -> Node {
    let whole = is(d, bits::FRAGMENT, &[0], 32);
    let either = is(d, bits::FRAGMENT, &[0, 1], 32);
    let any_port = d.ranges(bits::SERVICE_PORT, &[(1, u16::MAX)], whole, either);
    let upper = d.cases(bits::SERVICE_PORT, 16, 16, &[(0, YES)], NO);
    let with_ports = d.and(upper, any_port);
    let small = d.ranges(bits::SERVICE_PORT, &[(1, 255)], whole, NO);
    let none = d.cases(bits::SERVICE_PORT, 0, 32, &[(0, either)], small);
    let small = d.and(upper, none);
    let without = d.cases(bits::SERVICE_PORT, 0, 32, &[(0, either)], NO);
    let of = |p: u128| match p {
        6 | 17 | 132 => with_ports,
        1 => small,
        _ => without,
    };
    let any: Vec<(u128, Node)> = (0..=255_u128).map(|p| (p, of(p))).collect();
    // An ICMP error is judged by the protocol of what it is about; every other packet by its own.
    let any = d.cases(bits::SERVICE_PROTOCOL, 0, 32, &any, NO);
    let own: Vec<(u128, Node)> = (0..=255_u128)
        .map(|p| (p, if p == 1 { any } else { d.cases(bits::SERVICE_PROTOCOL, 0, 32, &[(p, of(p))], NO) }))
        .collect();
    d.cases(Field::IpProto, 0, 8, &own, NO)
}
