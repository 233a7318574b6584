//! Packets that switches show the node: addresses asked for, first packets, forgeries, denials, neighbours.

use std::net::{IpAddr, Ipv4Addr};

use fseg_address::{DhcpAnswer, DhcpContext, DhcpEvent, DhcpReply, LeaseChange, LeaseState};
use fseg_admission::Standing;
use fseg_model::{Binding, Dpid, Endpoint, EndpointId, Location, Mac, PortKind, PortNo, Posture, SliceId, WatchLevel};
use fseg_openflow::{Field, PacketIn};
use fseg_pipeline::cookie::SystemRow;
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{Cookie, Owner};
use fseg_wire::{Frame, Payload, Transport};

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::link::LinkPhase;
use crate::record::{NumberKind, Record, RecordKey};
use crate::world::Known;

/// A MAC address that may be where it is.
#[derive(Debug, Clone, Copy)]
enum Arrived {
    /// Of an endpoint that is known.
    Known(EndpointId),
    /// Not seen before.
    New,
}

/// Whether only this network sends with this MAC address.
fn is_ours(mac: Mac) -> bool {
    mac.0[..3] == ROUTER_MAC.0[..3]
}

impl Controller {
    pub(crate) fn packet_in(&mut self, dpid: Dpid, packet: &PacketIn) {
        let Some(port) = packet.matches.get(Field::InPort).map(|v| PortNo(v.value as u32)) else { return };
        let place = Location { switch: dpid, port };
        if !self.within_budget(place) {
            return;
        }
        let owner = Cookie::from_u64(packet.cookie).map(|c| c.owner);
        let frame = match Frame::parse(&packet.data) {
            Ok(frame) => frame,
            Err(e) => return self.malformed(place, &e.to_string()),
        };
        let metadata = packet.matches.get(Field::Metadata).map(|v| v.value as u64);
        let unknown = matches!(owner, Some(Owner::System(SystemRow::Dhcp | SystemRow::FirstPacket)));
        if unknown && is_ours(frame.source) && self.port_kind(place).is_some_and(PortKind::admits) {
            self.looped(place, frame.source);
            return;
        }
        match owner {
            Some(Owner::System(SystemRow::Dhcp)) => self.dhcp(place, &frame, &packet.data),
            Some(Owner::System(SystemRow::FirstPacket)) if self.speaks_first(place, &frame, &packet.data) => {
                self.again(place, &packet.data);
            }
            Some(Owner::System(SystemRow::AddressResolution)) => self.resolve(place, &frame),
            Some(Owner::System(SystemRow::Discovery)) => self.discovered(place, &frame, &packet.data, metadata),
            Some(Owner::System(SystemRow::Memberships)) => self.membership(place, &frame),
            Some(Owner::System(SystemRow::Wake)) => self.wake(place, &frame, &packet.data, metadata),
            Some(Owner::System(SystemRow::ExitNeighbour)) => self.neighbour(place, &frame),
            Some(Owner::System(SystemRow::DefaultDeny)) if self.taken_up(place, packet, &frame) => {}
            Some(Owner::System(SystemRow::DefaultDeny | SystemRow::UnknownDestination)) => {
                self.denied_packet(place, &frame, metadata);
            }
            Some(Owner::System(SystemRow::Observe)) => self.observed_packet(place, &frame),
            Some(Owner::Spoof(id)) => self.forged(place, id, &frame),
            _ => {}
        }
    }

    fn malformed(&mut self, place: Location, why: &str) {
        if self.denied.first_seen((place, "malformed"), self.now.mono) {
            let path = self.config.place(place);
            let at = path.as_ref().map_or_else(|| place.to_string(), ToString::to_string);
            self.event(EventKind::Refused, format!("unreadable packet from {at}: {why}"), |e| e.place = path);
        }
    }

    pub(crate) fn port_kind(&self, place: Location) -> Option<PortKind> {
        Some(self.config.switch(place.switch)?.port(place.port)?.kind)
    }

    /// The endpoint with this MAC address at this place: known, moved here, or new. `None` when it is refused, with the
    /// reason in the log, or when it is asked for at its former place first; then `packet` is taken up again.
    fn arrive(&mut self, mac: Mac, place: Location, packet: &[u8]) -> Option<Arrived> {
        if !self.port_kind(place).is_some_and(PortKind::admits) {
            return None;
        }
        if mac.is_unusable_source() || is_ours(mac) {
            self.refuse(place, mac, "this MAC address cannot belong to a device");
            return None;
        }
        let known = self.endpoints.by_mac(mac);
        if let Some(id) = known {
            let there = self.endpoints.get(id).and_then(|k| k.endpoint.binding.as_ref()).map(|b| b.location);
            match there {
                Some(old) if old != place && self.held_at(id) == Some(old) => {
                    let (label, at) = (self.label(id), self.place_text(old));
                    self.refuse(place, mac, &format!("{label} jumped too often and is held at {at}"));
                    return None;
                }
                Some(old) if old != place && !self.has_left(old) => {
                    if self.ask_at(id, old, place, packet) {
                        return None;
                    }
                    let at = self.place_text(old);
                    let reach = self.links.get(&old.switch).is_some_and(|l| l.phase != LinkPhase::Down);
                    let still = if reach { "is still attached at" } else { "was last at (its switch is out of reach)" };
                    let label = self.label(id);
                    self.refuse(place, mac, &format!("{label} has this MAC address and {still} {at}"));
                    return None;
                }
                // Who is here already needs no room, however many have become strangers since.
                Some(old) if old == place => return Some(Arrived::Known(id)),
                _ => {}
            }
        }
        if self.is_looped(place) {
            return None; // said when it began
        }
        self.room_at(place, mac, known).then_some(known.map_or(Arrived::New, Arrived::Known))
    }

    /// The endpoint of a MAC address that arrived, made when it is new. Only who gets an address becomes an endpoint: who
    /// merely asks under a thousand names leaves nothing behind.
    fn enrol(&mut self, mac: Mac, arrived: Arrived) -> EndpointId {
        if let Arrived::Known(id) = arrived {
            return id;
        }
        let id = EndpointId(self.next_endpoint);
        self.next_endpoint += 1;
        self.put(Record::Number { kind: NumberKind::Endpoint, name: "next".into(), number: self.next_endpoint });
        let endpoint = Endpoint {
            id,
            slice: SliceId::DEFAULT,
            mac,
            name: None,
            session: None,
            binding: None,
            posture: Posture::White,
            watch: WatchLevel::Log,
        };
        let now = self.now.mono;
        self.endpoints.insert(Known {
            endpoint,
            class: None,
            active: now,
            away: Some(now),
            clock: None,
            forged: 0,
            counted: 0,
        });
        id
    }

    /// True when nobody can be at that place any more: its switch says that the link is down. A switch that is out of reach
    /// says nothing, and goes on forwarding: whoever was there is there still, and nobody may take the place over.
    fn has_left(&self, place: Location) -> bool {
        self.links.get(&place.switch).is_none_or(|l| l.port_is_down(place.port))
    }

    /// An access port has room for one endpoint, a shared port for a number of them.
    fn room_at(&mut self, place: Location, mac: Mac, id: Option<EndpointId>) -> bool {
        match self.port_kind(place) {
            Some(PortKind::Access) => {
                if let Some(first) = self.endpoints.at(place).iter().copied().find(|o| Some(*o) != id) {
                    let holder = self.label(first);
                    self.refuse(
                        place,
                        mac,
                        &format!(
                            "{holder} is attached here already; make the port `shared` if several devices belong on it"
                        ),
                    );
                    return false;
                }
                true
            }
            Some(PortKind::Shared) => {
                let me = id.and_then(|id| self.endpoints.get(id)).is_some_and(|k| {
                    k.endpoint.session.is_none() && k.endpoint.binding.as_ref().is_some_and(|b| b.location == place)
                });
                if self.endpoints.strangers_at(place) - usize::from(me) >= self.config.strangers_per_port {
                    self.refuse(place, mac, "there are too many devices without a name on this port");
                    return false;
                }
                true
            }
            _ => false,
        }
    }

    pub(crate) fn refuse(&mut self, place: Location, mac: Mac, why: &str) {
        if !self.denied.first_seen((place, mac, why.to_owned()), self.now.mono) {
            return;
        }
        let path = self.config.place(place);
        let at = self.place_text(place);
        self.event(EventKind::Refused, format!("{mac} at {at} is refused: {why}"), |e| {
            e.mac = Some(mac.to_string());
            e.place = path;
        });
    }

    pub(crate) fn place_text(&self, place: Location) -> String {
        self.config.place(place).map_or_else(|| place.to_string(), |p| p.to_string())
    }

    /// Gives an endpoint its place and address, admits it if a list or rule knows it, and brings its rows up to date.
    /// Says whether that was news.
    fn bind(&mut self, id: EndpointId, place: Location, address: Ipv4Addr) -> bool {
        let wall = self.now.wall;
        let address = IpAddr::V4(address);
        let before = self.endpoints.get(id).and_then(|k| k.endpoint.binding.clone());
        let same = before.as_ref().is_some_and(|b| b.location == place && b.addresses == [address]);
        let former = self.last_place.get(&id).copied().or(before.as_ref().map(|b| b.location));
        let mono = self.now.mono;
        let over = self.endpoints.change(id, |k| {
            if !same {
                k.endpoint.binding = Some(Binding { location: place, addresses: vec![address], since: wall });
            }
            k.active = mono;
            k.away = None;
            k.clock.as_mut().is_some_and(|clock| clock.returned(mono).is_err())
        });
        if over == Some(true) {
            self.end_session(id, "it was away for too long");
        }
        self.last_place.insert(id, place);
        if !same && let Some(old) = former.filter(|old| *old != place) {
            self.jumped(id, old, place);
            if old.switch != place.switch {
                self.resuming.begin(id, mono);
            }
            let (from, to) = (self.place_text(old), self.place_text(place));
            let path = self.config.place(place);
            let label = self.label(id);
            self.event(EventKind::Moved, format!("{label} moved from {from} to {to}"), |e| {
                e.endpoint = Some(label.clone());
                e.place = path;
            });
        }
        self.recognise(id, place);
        if !same {
            self.save_endpoint(id);
        }
        self.refresh_endpoint(id);
        !same
    }

    /// Asks the device list and the location rules. A location's session does not move with the device.
    pub(crate) fn recognise(&mut self, id: EndpointId, place: Location) {
        let (Some(path), Some(kind)) = (self.config.place(place), self.port_kind(place)) else { return };
        let Some(known) = self.endpoints.get(id) else { return };
        let mac = known.endpoint.mac;
        let standing = match &known.endpoint.session {
            Some(session) => self.admission.standing(session, mac, &path, kind),
            None => match self.admission.recognise(mac, &path, kind) {
                Some(grant) => Standing::Replaced(grant),
                None => return,
            },
        };
        match standing {
            Standing::Same => {}
            Standing::Roles(identity) => {
                self.endpoints.change(id, |k| {
                    if let Some(s) = &mut k.endpoint.session {
                        s.identity = identity;
                    }
                });
                self.save_endpoint(id);
            }
            Standing::Replaced(grant) => self.admit(id, grant),
            Standing::Ended => {
                self.end_session(id, "what admitted it does not hold here any more");
            }
        }
    }

    pub(crate) fn dhcp(&mut self, place: Location, frame: &Frame, data: &[u8]) {
        let Payload::Ipv4(packet) = &frame.payload else { return };
        let Transport::Udp(udp) = &packet.transport else { return };
        let mac = frame.source;
        let Some(arrived) = self.arrive(mac, place, data) else { return };
        let Some(path) = self.config.place(place) else { return };
        let session = |id| self.endpoints.get(id).is_some_and(|k| k.endpoint.session.is_some());
        let admitted = matches!(arrived, Arrived::Known(id) if session(id))
            || self.port_kind(place).is_some_and(|kind| self.admission.recognise(mac, &path, kind).is_some());
        let context = DhcpContext { mac, place: &path, admitted };
        match self.book.handle_dhcp(&context, udp.payload, self.now.mono, self.now.wall) {
            DhcpAnswer::Reply { reply, store, event } => {
                self.leases_changed(store);
                if let DhcpEvent::Bound { address, .. } | DhcpEvent::Renewed { address, .. } = &event {
                    let id = self.enrol(mac, arrived);
                    self.bind(id, place, *address);
                }
                self.lease_event(mac, &event);
                self.send_dhcp(place, &reply);
            }
            DhcpAnswer::Silent { store, event } => {
                self.leases_changed(store);
                if let (DhcpEvent::Released { .. } | DhcpEvent::Declined { .. }, Arrived::Known(id)) = (&event, arrived)
                {
                    self.detach(id);
                }
                self.lease_event(mac, &event);
            }
            DhcpAnswer::Refused(why) => self.refuse(place, mac, &why.to_string()),
        }
    }

    fn lease_event(&mut self, mac: Mac, event: &DhcpEvent) {
        let label = self.endpoints.by_mac(mac).map_or_else(|| mac.to_string(), |id| self.label(id));
        let text = match event {
            DhcpEvent::Bound { address, .. } => format!("{label} has the address {address}"),
            DhcpEvent::Released { address, .. } => format!("{label} gave back the address {address}"),
            DhcpEvent::Declined { address, .. } => {
                format!("{label} says that {address} is in use already; the address rests for a while")
            }
            _ => return,
        };
        self.event(EventKind::Address, text, |e| {
            e.endpoint = Some(label.clone());
            e.mac = Some(mac.to_string());
        });
    }

    fn leases_changed(&mut self, changes: Vec<LeaseChange>) {
        for change in changes {
            self.lease_changed(change);
        }
    }

    pub(crate) fn lease_changed(&mut self, change: LeaseChange) {
        let (mac, holds) = match change {
            LeaseChange::Put(lease) => {
                let holds = lease.state == LeaseState::Bound;
                let mac = lease.mac;
                self.put(Record::Lease(lease));
                (mac, holds)
            }
            LeaseChange::Delete(mac) => {
                self.delete(RecordKey::Lease(mac));
                (mac, false)
            }
        };
        // Without its lease an endpoint has no address any more, unless the address is its own.
        if !holds
            && !self.admission.device_of(mac).is_some_and(|d| d.is_static)
            && let Some(id) = self.endpoints.by_mac(mac)
        {
            self.detach(id);
        }
    }

    fn send_dhcp(&mut self, place: Location, reply: &DhcpReply) {
        if let Some(frame) = reply.to_frame(ROUTER_MAC, self.config.router) {
            self.reply(place, frame);
        }
    }

    fn reply(&mut self, place: Location, frame: Vec<u8>) {
        if let Some(link) = self.links.get_mut(&place.switch) {
            let message = link.packet_out(place.port, frame);
            let connection = link.connection;
            self.replies.push((place.switch, connection, message));
        }
    }

    /// A device speaks that the port's rows do not know: one with an address of its own, or one that moved here with its
    /// lease. Who has neither must ask for an address first.
    /// True when the device's rows are there from now on.
    pub(crate) fn speaks_first(&mut self, place: Location, frame: &Frame, data: &[u8]) -> bool {
        let source = match &frame.payload {
            Payload::Arp(arp) if arp.sender_mac == frame.source => arp.sender_ip,
            Payload::Ipv4(packet) => packet.source,
            _ => return false,
        };
        let mac = frame.source;
        if source.is_unspecified() || source.is_link_local() {
            return false;
        }
        let leased = self.book.lease_of(mac).is_some_and(|l| l.address == source && l.state == LeaseState::Bound);
        let own = self.admission.device_of(mac).is_some_and(|d| d.is_static && d.address == Some(source));
        if !leased && !own {
            if let Some(id) = self.endpoints.by_address(IpAddr::V4(source)) {
                let known = self.endpoints.get(id).map(|k| k.endpoint.mac);
                if known.is_some_and(|m| m != mac) {
                    let holder = self.label(id);
                    self.refuse(place, mac, &format!("it uses the address {source}, which belongs to {holder}"));
                }
            }
            return false;
        }
        let Some(arrived) = self.arrive(mac, place, data) else { return false };
        if own && let Err(conflict) = self.book.claim_static(mac, source) {
            self.refuse(place, mac, &conflict.to_string());
            return false;
        }
        // A packet that comes again although its rows are there must not go round and round.
        let id = self.enrol(mac, arrived);
        self.bind(id, place, source)
    }

    /// Lets a packet meet the rows that it has just caused, so that its sender need not repeat it.
    pub(crate) fn again(&mut self, place: Location, data: &[u8]) {
        if let Some(link) = self.links.get_mut(&place.switch) {
            let message = link.packet_again(place.port, data.to_vec());
            self.replies.push((place.switch, link.connection, message));
        }
    }

    fn forged(&mut self, place: Location, id: EndpointId, frame: &Frame) {
        let claimed = match &frame.payload {
            Payload::Arp(arp) => format!("ARP for {}", arp.sender_ip),
            Payload::Ipv4(packet) => format!("source {}", packet.source),
            _ => return,
        };
        if !self.denied.first_seen((place, id, claimed.clone()), self.now.mono) {
            return;
        }
        let label = self.label(id);
        let (path, mac) = (self.config.place(place), frame.source);
        let at = self.place_text(place);
        self.event(
            EventKind::Spoofed,
            format!("{label} at {at} sent a forged packet ({claimed}); it was dropped"),
            |e| {
                e.endpoint = Some(label.clone());
                e.mac = Some(mac.to_string());
                e.place = path;
            },
        );
    }

    /// A port came up or went down.
    pub(crate) fn port_changed(&mut self, place: Location, up: bool) {
        if up {
            if self.port_kind(place) == Some(PortKind::Legacy) {
                self.next_ask = self.now.mono;
            }
            return;
        }
        for id in self.endpoints.at(place).to_vec() {
            let (label, at) = (self.label(id), self.place_text(place));
            let path = self.config.place(place);
            self.event(EventKind::Moved, format!("{label} left {at}: the link is down"), |e| {
                e.endpoint = Some(label.clone());
                e.place = path;
            });
            self.detach(id);
        }
    }

    /// After a switch was read: who was bound to a port that has no link any more has left.
    pub(crate) fn check_ports(&mut self, dpid: Dpid) {
        let Some(switch) = self.config.switch(dpid) else { return };
        let places: Vec<_> = switch
            .ports
            .iter()
            .filter(|p| p.kind.admits())
            .map(|p| Location { switch: dpid, port: p.number })
            .collect();
        for place in places {
            if self.has_left(place) {
                self.port_changed(place, false);
            }
        }
    }

    /// Takes an endpoint's place and addresses away, and with them its rows. Its session waits a while.
    pub(crate) fn detach(&mut self, id: EndpointId) {
        let mono = self.now.mono;
        let bound = self.endpoints.change(id, |k| {
            k.away.get_or_insert(mono);
            if let Some(clock) = &mut k.clock {
                clock.left(mono);
            }
            k.endpoint.binding.take().is_some()
        });
        if bound == Some(true) {
            self.refresh_endpoint(id);
            self.save_endpoint(id);
        }
    }
}
