//! Endpoints that turn up at another place: asked for at their former one, held when they jump to and fro.
//!
//! A link that goes down says that its endpoint left. Behind a shared port no link tells: there the node asks. It sends an
//! ARP request to the endpoint's address by its former port, and looks whether the endpoint's rows there count anything
//! afterwards. Who is heard there stays there, and the other one is refused; who is not, has moved.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fseg_model::{Dpid, EndpointId, Location, Mac, Mono, PortKind};
use fseg_openflow::multipart::{FlowQuery, Query};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{Cookie, Owner};
use fseg_wire::{ArpPacket, Frame, Payload, Transport};

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::link::LinkPhase;

/// The counters are read, so that what counted before the question is known.
const BEFORE: Duration = Duration::from_millis(400);
/// The counters are read again; Open vSwitch brings them up to date twice a second.
const AFTER: Duration = Duration::from_millis(1600);
/// A switch that has not told its counters by then has not said that the endpoint left.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Questions under way at a time, for all endpoints. Who finds no room is refused, and asked for when it tries again.
const ASKING: usize = 256;

/// So many moves within [`WINDOW`] are no moves.
const JUMPS: usize = 6;
const WINDOW: Duration = Duration::from_secs(10);
/// How long an endpoint that jumps is held where it is.
const HOLD: Duration = Duration::from_secs(20);
/// How long a port by which the network's own frames come back takes nobody new.
const LOOP_HOLD: Duration = Duration::from_secs(10);

/// A question under way.
#[derive(Debug)]
struct Asking {
    from: Location,
    to: Location,
    since: Mono,
    /// What its rows had counted when it was asked; `None` until then.
    before: Option<u64>,
    /// It was called a second time: one packet may be lost.
    called_twice: bool,
    /// Its counters were asked for again.
    again: bool,
    /// And told since then.
    told: bool,
    /// The packet that turned up, to be taken up again when it has moved.
    packet: Vec<u8>,
}

#[derive(Debug, Default)]
struct Jumps {
    at: VecDeque<Mono>,
    held: Option<Mono>,
}

/// What is known about endpoints on the move. Forgotten at a restart.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    asking: BTreeMap<EndpointId, Asking>,
    jumps: BTreeMap<EndpointId, Jumps>,
    /// Ports by which the network's own frames came back, and until when.
    looped: BTreeMap<Location, Mono>,
}

impl Moves {
    /// The switch told the counters of an endpoint's guard rows.
    pub(crate) fn told(&mut self, id: EndpointId, dpid: Dpid) {
        if let Some(asking) = self.asking.get_mut(&id).filter(|a| a.from.switch == dpid) {
            asking.told = asking.again;
        }
    }

    /// The endpoint is forgotten.
    pub(crate) fn forget(&mut self, id: EndpointId) {
        self.asking.remove(&id);
        self.jumps.remove(&id);
    }
}

impl Controller {
    /// Whether whoever is at that place can leave it without a link going down.
    pub(crate) fn leaves_unseen(&self, place: Location) -> bool {
        let up = self.links.get(&place.switch).is_some_and(|l| l.phase == LinkPhase::Up);
        up && self.port_kind(place) == Some(PortKind::Shared)
    }

    /// An endpoint turned up at `to` while it may still be at `from`: begins to ask for it there. True when it is being
    /// asked for.
    pub(crate) fn ask_at(&mut self, id: EndpointId, from: Location, to: Location, packet: &[u8]) -> bool {
        let now = self.now.mono;
        if let Some(asking) = self.moves.asking.get(&id) {
            // A third place must wait for the answer; the first one to turn up is answered.
            return asking.from == from;
        }
        if self.moves.asking.len() >= ASKING || !self.leaves_unseen(from) {
            return false;
        }
        let asking = Asking {
            from,
            to,
            since: now,
            before: None,
            called_twice: false,
            again: false,
            told: false,
            packet: packet.to_vec(),
        };
        self.moves.asking.insert(id, asking);
        self.ask_counters(id, from.switch);
        true
    }

    fn ask_counters(&mut self, id: EndpointId, dpid: Dpid) {
        // The round of a row may be an older one.
        const NOT_ROUND: u64 = !(0xffff << 32);
        let Some(link) = self.links.get_mut(&dpid) else { return };
        let cookie = Cookie { owner: Owner::Endpoint(id), round: 0 }.to_u64();
        let question = link.ask(Query::Flow(FlowQuery { cookie, cookie_mask: NOT_ROUND, ..FlowQuery::default() }));
        self.outgoing.push((dpid, link.connection, vec![question]));
    }

    fn call(&mut self, id: EndpointId, from: Location) {
        let Some(known) = self.endpoints.get(id) else { return };
        let address = known.endpoint.binding.as_ref().and_then(|b| {
            b.addresses.iter().find_map(|a| match a {
                IpAddr::V4(v4) => Some(*v4),
                IpAddr::V6(_) => None,
            })
        });
        let (Some(address), Some(link)) = (address, self.links.get_mut(&from.switch)) else { return };
        let frame =
            ArpPacket::request(ROUTER_MAC, self.config.router, address).to_frame(ROUTER_MAC, known.endpoint.mac);
        let message = link.packet_out(from.port, frame);
        self.outgoing.push((from.switch, link.connection, vec![message]));
    }

    /// Goes on with the questions under way.
    pub(crate) fn ask_movers(&mut self) {
        let now = self.now.mono;
        self.moves.looped.retain(|_, until| *until > now);
        self.moves.jumps.retain(|_, jumps| {
            while jumps.at.front().is_some_and(|at| now.since(*at) >= WINDOW) {
                jumps.at.pop_front();
            }
            jumps.held = jumps.held.filter(|until| *until > now);
            jumps.held.is_some() || !jumps.at.is_empty()
        });
        for id in self.moves.asking.keys().copied().collect::<Vec<_>>() {
            let counted = self.endpoints.get(id).map(|k| (k.counted, k.endpoint.binding.as_ref().map(|b| b.location)));
            let Some(asking) = self.moves.asking.get_mut(&id) else { continue };
            let from = asking.from;
            let Some((counted, Some(place))) = counted.filter(|(_, place)| *place == Some(from)) else {
                // It was detached or bound anew meanwhile: nothing is left to ask.
                self.moves.asking.remove(&id);
                continue;
            };
            debug_assert_eq!(place, from);
            let waited = now.since(asking.since);
            match (asking.before, asking.again) {
                (None, _) if waited >= BEFORE => {
                    asking.before = Some(counted);
                    self.call(id, from);
                }
                (Some(before), _) if counted > before => self.is_there(id),
                (Some(_), false) if waited >= AFTER => {
                    asking.again = true;
                    self.ask_counters(id, from.switch);
                }
                (Some(_), false) if waited >= 2 * BEFORE && !asking.called_twice => {
                    asking.called_twice = true;
                    self.call(id, from);
                }
                (Some(_), true) if asking.told => self.has_moved(id),
                (Some(_), true) if waited >= GIVE_UP => self.is_there(id),
                _ => {}
            }
        }
    }

    fn is_there(&mut self, id: EndpointId) {
        let Some(asking) = self.moves.asking.remove(&id) else { return };
        let Some(mac) = self.endpoints.get(id).map(|k| k.endpoint.mac) else { return };
        let (label, at) = (self.label(id), self.place_text(asking.from));
        self.refuse(asking.to, mac, &format!("{label} has this MAC address and is still heard at {at}"));
    }

    fn has_moved(&mut self, id: EndpointId) {
        let Some(asking) = self.moves.asking.remove(&id) else { return };
        let (label, at) = (self.label(id), self.place_text(asking.from));
        let path = self.config.place(asking.from);
        self.event(EventKind::Moved, format!("{label} left {at}: it does not answer there any more"), |e| {
            e.endpoint = Some(label.clone());
            e.place = path;
        });
        self.detach(id);
        let Ok(frame) = Frame::parse(&asking.packet) else { return };
        let dhcp = matches!(&frame.payload, Payload::Ipv4(p) if matches!(&p.transport, Transport::Udp(u) if u.destination_port == 67));
        if dhcp {
            self.dhcp(asking.to, &frame, &asking.packet);
        } else if self.speaks_first(asking.to, &frame, &asking.packet) {
            self.again(asking.to, &asking.packet);
        }
    }

    /// Counts a move from one place to another; says so when there are too many of them.
    pub(crate) fn jumped(&mut self, id: EndpointId, from: Location, to: Location) {
        let now = self.now.mono;
        let jumps = self.moves.jumps.entry(id).or_default();
        jumps.at.push_back(now);
        while jumps.at.len() > JUMPS || jumps.at.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            jumps.at.pop_front();
        }
        if jumps.at.len() < JUMPS || jumps.held.is_some_and(|until| until > now) {
            return;
        }
        jumps.held = Some(now.plus(HOLD));
        let (label, from, at) = (self.label(id), self.place_text(from), self.place_text(to));
        let path = self.config.place(to);
        let text = format!(
            "{label} moved {JUMPS} times within {} s, last from {from} to {at}: a loop, or two devices with one MAC \
             address; it is held at {at} for {} s",
            WINDOW.as_secs(),
            HOLD.as_secs()
        );
        self.event(EventKind::Spoofed, text, |e| {
            e.endpoint = Some(label.clone());
            e.place = path;
        });
    }

    /// Where an endpoint that jumps is held, if it is.
    pub(crate) fn held_at(&self, id: EndpointId) -> Option<Location> {
        let held = self.moves.jumps.get(&id)?.held?;
        if held > self.now.mono { self.last_place.get(&id).copied() } else { None }
    }

    /// Whether a port takes nobody new, since it is part of a loop.
    pub(crate) fn is_looped(&self, place: Location) -> bool {
        self.moves.looped.get(&place).is_some_and(|until| *until > self.now.mono)
    }

    /// A frame that only this network sends came in by an endpoint's port.
    pub(crate) fn looped(&mut self, place: Location, mac: Mac) {
        let now = self.now.mono;
        let held = self.moves.looped.insert(place, now.plus(LOOP_HOLD)).is_some_and(|until| until > now);
        if !held {
            let (at, path) = (self.place_text(place), self.config.place(place));
            let text = format!(
                "frames of the network itself ({mac}) come back at {at}: its cable makes a loop, or a device there pretends \
                 to be the router; the port takes nobody new until {} s after the last one",
                LOOP_HOLD.as_secs()
            );
            self.event(EventKind::Spoofed, text, |e| {
                e.mac = Some(mac.to_string());
                e.place = path;
            });
        }
    }

    /// Somebody else than the wanted device has an address now, by a lease that runs: who, for an operator.
    pub(crate) fn leased_to_another(&self, address: Ipv4Addr, wanted: Option<Mac>) -> Option<String> {
        let mac = match self.book.owner_of(address)? {
            fseg_address::Holder::Leased(mac) if Some(mac) != wanted => mac,
            _ => return None,
        };
        let label = self.endpoints.by_mac(mac).map_or_else(|| mac.to_string(), |id| self.label(id));
        let left = self.book.lease_of(mac).map_or(0, |l| l.until.since(self.now.wall).as_secs().div_ceil(60));
        Some(format!("{address} is leased to {label} ({mac}) for another {left} min; choose another address, or wait"))
    }
}
