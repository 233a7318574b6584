//! Answers to "what do the tables do with this packet?": run through the rows that switches should hold, from switch to
//! switch, until it is delivered or dropped.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use fseg_model::{ClassId, Dpid, Flow, IpProtocol, Location, PortKind, PortNo};
use fseg_openflow::simulate::{
    Connections, Dropped, Event, Given, Packet, Simulator, Step, Tables, Trace, Tracker, state,
};
use fseg_openflow::{Field, Match};
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{Cookie, Owner, RowKey, Table, bits};

use crate::controller::Controller;
use crate::explain::{Party, PathRow};

/// The port that connections are opened from, in questions by name.
const CLIENT_PORT: u16 = 40_000;
/// No way through a site has more switches.
const MOST_HOPS: usize = 32;

/// Which packet of its connection a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Age {
    /// The first.
    #[default]
    First,
    /// A later one in the direction of the first, after an answer.
    Established,
    /// An answer.
    Reply,
}

/// What becomes of a packet.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The packet as it came in.
    pub packet: Match,
    /// Every switch it came to, in order.
    pub hops: Vec<Hop>,
    /// Where its copies ended; one, mostly.
    pub ends: Vec<End>,
}

/// A packet on one switch.
#[derive(Debug, Clone)]
pub struct Hop {
    /// Where it came in.
    pub at: Location,
    /// The switch is connected; otherwise it may hold older rows than these.
    pub connected: bool,
    /// What it met, table by table.
    pub steps: Vec<TracedStep>,
}

/// A search in one table.
#[derive(Debug, Clone)]
pub struct TracedStep {
    /// The table's number.
    pub table: u8,
    /// The row found.
    pub row: Option<PathRow>,
    /// What changed and what was done.
    pub events: Vec<String>,
}

/// Where a packet ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// At a port of endpoints, the node, or an outside network.
    Delivered {
        /// Where.
        place: Location,
        /// To whom: an endpoint's name, `node`, or the outside.
        to: String,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Nowhere.
    Dropped {
        /// On which switch.
        dpid: Dpid,
        /// Whose row dropped it, if one did.
        owner: Option<Owner>,
        /// Why, for people.
        reason: String,
    },
}

impl Traced {
    /// Whether it arrived anywhere.
    pub fn delivered(&self) -> bool {
        self.ends.iter().any(|end| matches!(end, End::Delivered { .. }))
    }

    /// Whose row dropped it, if it arrived nowhere.
    pub fn dropped_by(&self) -> Option<Owner> {
        self.ends.iter().find_map(|end| match end {
            End::Dropped { owner, .. } => *owner,
            End::Delivered { .. } => None,
        })
    }

    fn arrived(&self) -> Option<(&Location, &[u8])> {
        self.ends.iter().find_map(|end| match end {
            End::Delivered { place, frame, .. } => Some((place, frame.as_slice())),
            End::Dropped { .. } => None,
        })
    }
}

/// A site's tables and connections while packets are run through them.
struct Walk<'a> {
    controller: &'a Controller,
    tables: BTreeMap<Dpid, Tables>,
    connections: BTreeMap<Dpid, Connections>,
    /// The state every packet is said to have; `None`: what the connections of this walk say.
    given: Option<Given>,
}

impl Controller {
    /// The first packet of a connection and where it comes in; an error says why there is none.
    pub fn opening_packet(&self, from: &Party, to: &Party, flow: Flow) -> Result<(Location, Packet), String> {
        let v4 = |party: &Party| {
            party.addresses.iter().find_map(|address| match address {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            })
        };
        let missing = |party: &Party| format!("{} has no address now: it is not connected", party.name);
        let source = v4(from).ok_or_else(|| missing(from))?;
        let destination = v4(to).ok_or_else(|| missing(to))?;
        let known = from.endpoint.and_then(|id| self.endpoints.get(id));
        let (at, mac) = match known.and_then(|k| Some((k.endpoint.binding.as_ref()?.location, k.endpoint.mac))) {
            Some((at, mac)) => (at, mac.to_u64()),
            None => self.outside_of(source).ok_or_else(|| {
                format!("nothing comes in from {}: no exit leads there whose next hop is known", from.name)
            })?,
        };
        let mut fields = Match::new()
            .with(Field::InPort, at.port.0)
            .with(Field::EthSrc, mac)
            .with(Field::EthDst, ROUTER_MAC.to_u64())
            .with(Field::EthType, 0x0800_u16)
            .with(Field::Ipv4Src, u32::from(source))
            .with(Field::Ipv4Dst, u32::from(destination))
            .with(Field::IpProto, flow.protocol.0);
        let ports = match flow.protocol {
            IpProtocol::TCP => Some((Field::TcpSrc, Field::TcpDst)),
            IpProtocol::UDP => Some((Field::UdpSrc, Field::UdpDst)),
            IpProtocol(132) => Some((Field::SctpSrc, Field::SctpDst)),
            _ => None,
        };
        if let Some((client, service)) = ports {
            fields = fields.with(client, CLIENT_PORT).with(service, flow.port);
        }
        if flow.protocol == IpProtocol::ICMP {
            fields = fields.with(Field::Icmpv4Type, flow.port);
        }
        let packet = Packet::from_match(&fields).map_err(|error| error.to_string())?;
        Ok((at, Packet::new(&packet.with_right_checksums().frame(), at.port.0)))
    }

    /// Where packets of an outside address come in, and the MAC address they have there.
    fn outside_of(&self, address: std::net::Ipv4Addr) -> Option<(Location, u64)> {
        let at = self.exit_for(ipnet::Ipv4Net::from(address))?;
        let exit = self.fabric.switch(at.switch)?.port(at.port)?.exit.as_ref()?;
        Some((at, exit.gateway_mac?.to_u64()))
    }

    /// Where a packet would come in, by its source addresses.
    pub fn place_of(&self, packet: &Packet) -> Option<Location> {
        let mac = fseg_model::Mac::from_u64(packet.value(Field::EthSrc) as u64);
        let by_mac = self.endpoints.by_mac(mac).and_then(|id| self.endpoints.get(id));
        let sender = packet.get(Field::Ipv4Src).or_else(|| packet.get(Field::ArpSpa)).unwrap_or(0) as u32;
        let known = by_mac.or_else(|| self.endpoints.by_v4(sender.into()))?;
        known.endpoint.binding.as_ref().map(|binding| binding.location)
    }

    /// Gives a packet the MAC addresses that its sender and the virtual router have, where it has none.
    pub fn complete(&self, packet: &mut Packet) {
        let sender = packet.get(Field::Ipv4Src).or_else(|| packet.get(Field::ArpSpa)).unwrap_or(0) as u32;
        if let Some(known) = self.endpoints.by_v4(sender.into()).filter(|_| packet.value(Field::EthSrc) == 0) {
            packet.set(Field::EthSrc, known.endpoint.mac.to_u64().into(), u128::MAX);
        }
        if packet.value(Field::EthDst) == 0 {
            packet.set(Field::EthDst, ROUTER_MAC.to_u64().into(), u128::MAX);
        }
    }

    /// Runs a packet through the rows that switches should hold, from switch to switch. Of an answer or a later packet the
    /// connection is said to exist.
    pub fn trace(&self, at: Location, mut packet: Packet, age: Age) -> Traced {
        packet.set(Field::InPort, at.port.0.into(), u128::MAX);
        let given = |state| Given { states: vec![state], ..Given::default() };
        let given = match age {
            Age::First => None,
            Age::Established => Some(given(state::ESTABLISHED)),
            Age::Reply => Some(given(state::ESTABLISHED | state::REPLY)),
        };
        self.walk(given).run(at, packet)
    }

    /// Traces a connection between two parties: its first packet, or what follows when that one has been delivered. For an
    /// answer or a later packet the packets before it are run through the same tables, so that translations are known.
    pub fn trace_connection(&self, from: &Party, to: &Party, flow: Flow, age: Age) -> Result<Traced, String> {
        let (at, packet) = self.opening_packet(from, to, flow)?;
        let mut walk = self.walk(None);
        let first = walk.run(at, packet.clone());
        if age == Age::First {
            return Ok(first);
        }
        let Some((place, frame)) = first.arrived() else { return Ok(first) };
        let reply = walk.run(*place, answer(frame, place.port.0));
        Ok(if age == Age::Reply { reply } else { walk.run(at, packet) })
    }

    fn walk(&self, given: Option<Given>) -> Walk<'_> {
        Walk { controller: self, tables: BTreeMap::new(), connections: BTreeMap::new(), given }
    }

    /// Where a cable from a port of a switch ends, by the ways that switches have to each other: behind an uplink stands
    /// the one of those reached by it that reaches the others by other ports.
    fn other_end(&self, from: Location) -> Option<Location> {
        let here = self.fabric.switch(from.switch)?;
        let behind: Vec<Dpid> =
            here.via.iter().filter(|(_, port)| **port == from.port).map(|(dpid, _)| *dpid).collect();
        behind.iter().find_map(|dpid| {
            let via = &self.fabric.switch(*dpid)?.via;
            let back = *via.get(&from.switch)?;
            let between = behind.iter().any(|other| other != dpid && via.get(other) == Some(&back));
            (!between).then_some(Location { switch: *dpid, port: back })
        })
    }

    /// Who is at a place, by the frame's destination.
    fn receiver(&self, place: Location, packet: &Packet) -> String {
        let kind = self.fabric.switch(place.switch).and_then(|s| s.port(place.port)).map(|port| port.kind);
        match kind {
            Some(PortKind::Service) => "node".to_owned(),
            Some(PortKind::Legacy) => {
                let address = std::net::Ipv4Addr::from(packet.value(Field::Ipv4Dst) as u32);
                self.label_of_address(address.into())
            }
            _ => {
                let mac = fseg_model::Mac::from_u64(packet.value(Field::EthDst) as u64);
                self.endpoints.by_mac(mac).map_or_else(|| mac.to_string(), |id| self.label(id))
            }
        }
    }

    fn traced_step(&self, dpid: Dpid, tables: &Tables, step: &Step) -> TracedStep {
        let row = step.row.and_then(|id| tables.row(id)).and_then(|(table, priority, matches, _)| {
            let key = RowKey { table: Table::from_number(table)?, priority, matches: matches.clone() };
            let row = self.links.get(&dpid)?.desired.get(&key)?;
            Some(self.path_row(dpid, &row))
        });
        TracedStep { table: step.table, row, events: step.events.iter().map(|event| self.event_text(event)).collect() }
    }

    /// An event with the pipeline's names for fields.
    fn event_text(&self, event: &Event) -> String {
        let Event::Changed { field, from, to } = event else { return event.to_string() };
        if *field == Field::Metadata {
            let (before, after) = (bits::classes(*from as u64), bits::classes(*to as u64));
            let side = |name, before: u32, after: u32| {
                (before != after).then(|| format!("{name} class {}", self.class_text(after)))
            };
            let changed = [side("source", before.0, after.0), side("target", before.1, after.1)];
            let changed: Vec<String> = changed.into_iter().flatten().collect();
            return if changed.is_empty() { event.to_string() } else { changed.join(", ") };
        }
        let name = match *field {
            bits::OUT_PORT => "port to leave by",
            bits::EXIT => "exit",
            bits::OUTSIDE => "from outside",
            bits::FRAGMENT => "later fragment",
            bits::SERVICE_PORT => "service port",
            bits::SERVICE_PROTOCOL => "service protocol",
            _ => return event.to_string(),
        };
        format!("{name}: {to}")
    }

    fn class_text(&self, number: u32) -> String {
        let members = ClassId::new(number).ok().and_then(|class| self.classes.get(class));
        match members {
            Some(class) => {
                let names: Vec<&str> = class.members.iter().map(fseg_model::Name::as_str).collect();
                format!("{number} ({})", names.join(", "))
            }
            None => match number {
                1 => "1 (stranger)".to_owned(),
                2 => "2 (node)".to_owned(),
                _ => number.to_string(),
            },
        }
    }

    fn drop_reason(&self, step: Option<&Step>, dropped: Option<Dropped>) -> (Option<Owner>, String) {
        let owner = step.filter(|step| step.row.is_some()).and_then(|step| Cookie::from_u64(step.cookie));
        let owner = owner.map(|cookie| cookie.owner);
        let reason = match owner {
            Some(Owner::System(system)) => system.sentence().to_owned(),
            Some(Owner::Spoof(id)) => format!("{} sends with an address that is not its own", self.label(id)),
            Some(owner) => {
                let (kind, id) = self.owner_label(owner);
                format!("a row of {kind} {id} sends it nowhere")
            }
            None => dropped.map_or_else(|| "it was sent nowhere".to_owned(), |why| why.to_string()),
        };
        (owner, reason)
    }
}

impl Walk<'_> {
    fn run(&mut self, at: Location, packet: Packet) -> Traced {
        let mut out = Traced { packet: described(&packet), hops: Vec::new(), ends: Vec::new() };
        let mut todo = VecDeque::from([(at, packet)]);
        while let Some((at, packet)) = todo.pop_front() {
            if out.hops.len() >= MOST_HOPS {
                let reason = "it goes round in circles between switches".to_owned();
                out.ends.push(End::Dropped { dpid: at.switch, owner: None, reason });
                break;
            }
            let trace = self.on_switch(at, packet);
            let controller = self.controller;
            let link = controller.links.get(&at.switch);
            let steps = match self.tables.get(&at.switch) {
                Some(tables) => trace.steps.iter().map(|s| controller.traced_step(at.switch, tables, s)).collect(),
                None => Vec::new(),
            };
            let connected = link.is_some_and(|link| link.phase != crate::link::LinkPhase::Down);
            out.hops.push(Hop { at, connected, steps });
            for (port, packet) in trace.outputs() {
                let place = Location { switch: at.switch, port: PortNo(port) };
                if link.and_then(|link| link.port_up.get(&place.port)) == Some(&false) {
                    let reason = format!("port {port} has no link");
                    out.ends.push(End::Dropped { dpid: at.switch, owner: None, reason });
                    continue;
                }
                match controller.other_end(place) {
                    Some(next) => todo.push_back((next, Packet::new(&packet.frame(), next.port.0))),
                    None => {
                        let to = controller.receiver(place, packet);
                        out.ends.push(End::Delivered { place, to, frame: packet.frame() });
                    }
                }
            }
            if trace.outputs().next().is_none() {
                let (owner, reason) = controller.drop_reason(trace.steps.last(), trace.dropped());
                out.ends.push(End::Dropped { dpid: at.switch, owner, reason });
            }
        }
        out
    }

    fn on_switch(&mut self, at: Location, packet: Packet) -> Trace {
        let controller = self.controller;
        let tables = self.tables.entry(at.switch).or_insert_with(|| {
            let mut tables = Tables::new();
            for row in controller.links.get(&at.switch).into_iter().flat_map(|link| link.desired.iter()) {
                // A row that a switch would refuse is none of the rows made here.
                let _ = tables.apply(&row.to_add(controller.round));
            }
            tables
        });
        let mut given = self.given.clone();
        let tracker: &mut dyn Tracker = match &mut given {
            Some(given) => given,
            None => self.connections.entry(at.switch).or_default(),
        };
        Simulator::new(tables).run(packet, tracker)
    }
}

/// Whether a row of the pipeline itself says that nobody is reached there, whatever the policy says.
pub(crate) fn is_nobodys(owner: Owner) -> bool {
    matches!(owner, Owner::System(SystemRow::Unwanted | SystemRow::UnknownDestination))
}

/// A packet's fields, for people.
fn described(packet: &Packet) -> Match {
    let fields = [
        Field::InPort,
        Field::VlanVid,
        Field::EthSrc,
        Field::EthDst,
        Field::EthType,
        Field::ArpOp,
        Field::ArpSpa,
        Field::ArpTpa,
        Field::IpProto,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::TcpSrc,
        Field::TcpDst,
        Field::UdpSrc,
        Field::UdpDst,
        Field::Icmpv4Type,
    ];
    let there = |field: &Field| *field != Field::VlanVid || packet.value(Field::VlanVid) != 0;
    fields.into_iter().filter(there).fold(Match::new(), |fields, field| match packet.get(field) {
        Some(value) => fields.with(field, value),
        None => fields,
    })
}

/// The answer to a frame, as its receiver sends it.
fn answer(frame: &[u8], in_port: u32) -> Packet {
    let asked = Packet::new(frame, in_port);
    let mut reply = asked.clone();
    let swaps = [
        (Field::Ipv4Src, Field::Ipv4Dst),
        (Field::TcpSrc, Field::TcpDst),
        (Field::UdpSrc, Field::UdpDst),
        (Field::SctpSrc, Field::SctpDst),
        (Field::EthSrc, Field::EthDst),
    ];
    for (a, b) in swaps {
        if let (Some(first), Some(second)) = (asked.get(a), asked.get(b)) {
            reply.set(a, second, u128::MAX);
            reply.set(b, first, u128::MAX);
        }
    }
    reply.set(Field::EthDst, ROUTER_MAC.to_u64().into(), u128::MAX);
    reply.set(Field::TcpFlags, 0x12, u128::MAX);
    if asked.get(Field::Icmpv4Type) == Some(8) {
        reply.set(Field::Icmpv4Type, 0, u128::MAX);
    }
    Packet::new(&reply.frame(), in_port)
}
