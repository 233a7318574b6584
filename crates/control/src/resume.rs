//! Connections of an endpoint that moved, taken up by its new switch before the endpoint says anything there.
//!
//! The new switch did not see them begin, so to it an answer looks like somebody's wish to open a connection, which no permit
//! allows. The node has the connection remembered there in the direction in which it was asked for, and lets the answer meet
//! the tables again, which judge it as what it is. It does so only for what the other end's own switch has judged already,
//! from having seen the connection begin: see docs/decisions/0021-taking-up-connections.md.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fseg_model::{EndpointId, Flow, Location, Mono, PortKind};
use fseg_openflow::{Action, CtAction, CtZone, Field, PacketIn};
use fseg_pipeline::fabric::ROUTER_MAC;
use fseg_pipeline::{Table, bits};
use fseg_policy::Decision;
use fseg_wire::{Frame, Payload, TcpFlags, TcpSegment, Transport, build_tcp_v4, build_udp_v4};

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::link::LinkPhase;

/// How long after a move connections are taken up.
const TIME: Duration = Duration::from_secs(60);
/// How many of them, for each move. Those beyond wait for the endpoint to say something.
const CONNECTIONS: u8 = 32;

/// Endpoints that came to another switch a short while ago.
#[derive(Debug, Default)]
pub(crate) struct Resuming(BTreeMap<EndpointId, (Mono, u8)>);

impl Resuming {
    /// It came from another switch now.
    pub(crate) fn begin(&mut self, id: EndpointId, now: Mono) {
        self.0.retain(|_, (since, _)| now.since(*since) < TIME);
        self.0.insert(id, (now, CONNECTIONS));
    }

    /// The endpoint is forgotten.
    pub(crate) fn forget(&mut self, id: EndpointId) {
        self.0.remove(&id);
    }

    fn left(&self, id: EndpointId, now: Mono) -> u8 {
        self.0.get(&id).map_or(0, |(since, left)| if now.since(*since) < TIME { *left } else { 0 })
    }

    fn take(&mut self, id: EndpointId) {
        if let Some((_, left)) = self.0.get_mut(&id) {
            *left = left.saturating_sub(1);
        }
    }
}

/// A packet that may be an answer: what its connection asked for, and the packet by which it would have.
struct Answering {
    flow: Flow,
    asking: Vec<u8>,
}

impl Controller {
    /// A packet that was denied by `permit`: if it goes on with what the receiver asked for before it moved, the receiver's
    /// new switch learns that connection, and the packet passes. True when it was so.
    pub(crate) fn taken_up(&mut self, place: Location, packet: &PacketIn, frame: &Frame) -> bool {
        self.take_up(place, packet, frame).is_some()
    }

    fn take_up(&mut self, place: Location, packet: &PacketIn, frame: &Frame) -> Option<()> {
        let Payload::Ipv4(ip) = &frame.payload else { return None };
        let now = self.now.mono;
        // Who gets it is at this switch, has a name, and came from another one a short while ago.
        let receiver = self.endpoints.by_v4(ip.destination)?;
        let (id, session) = (receiver.endpoint.id, receiver.endpoint.session.is_some());
        let at = receiver.endpoint.binding.as_ref()?.location;
        if packet.table != Table::Permit.number()
            || at.switch != place.switch
            || !session
            || self.resuming.left(id, now) == 0
        {
            return None;
        }
        // It comes from another switch, which tracks connections and judges by the policy of today.
        let home = self.home_of(ip.source)?;
        let here = self.fabric.switch(place.switch)?;
        let vouches = self.fabric.switch(home)?.profile.plain().is_none()
            && self.links.get(&home).is_some_and(|l| l.phase == LinkPhase::Up && l.unfit.is_none());
        if !vouches
            || here.profile.plain().is_some()
            || self.port_kind(place) != Some(PortKind::Uplink)
            || here.via.get(&home) != Some(&place.port)
        {
            return None;
        }
        let answering = answering(ip.source, ip.destination, receiver.endpoint.mac, &ip.transport)?;
        let (asks, serves) = (self.members_of(id), self.members_of_address(IpAddr::V4(ip.source))?);
        let Decision::Permit { .. } = self.policy.decide(&asks, &serves, answering.flow, self.now.wall) else {
            return None;
        };
        // As whom `guard` knows the sender: the first target of the connection. An answer that was turned round and denied has
        // the receiver's class there, and is of a connection that is known.
        let metadata = packet.matches.get(Field::Metadata)?.value as u64;
        let (class, to) = bits::classes(metadata);
        if receiver.class?.get() != to {
            return None;
        }
        let zone = CtZone::Immediate(bits::zone(fseg_model::SliceId::DEFAULT));
        let mark = Action::SetField { field: Field::CtMark, value: class.into(), mask: None };
        let remember = CtAction { commit: true, zone, exec: vec![mark], ..CtAction::default() };
        let set = |field, value: u64| Action::SetField { field, value: value.into(), mask: None };
        let judge = CtAction { zone, table: Some(Table::Turn.number()), ..CtAction::default() };
        let again = vec![set(Field::Metadata, metadata), set(bits::OUT_PORT, at.port.0.into()), Action::Ct(judge)];
        let link = self.links.get_mut(&place.switch)?;
        let first = link.packet_by(fseg_model::PortNo::CONTROLLER, vec![Action::Ct(remember)], answering.asking);
        let second = link.packet_by(place.port, again, packet.data.clone());
        let connection = link.connection;
        self.replies.push((place.switch, connection, first));
        self.replies.push((place.switch, connection, second));
        self.resuming.take(id);
        let (who, whom) = (self.label(id), self.label_of_address(IpAddr::V4(ip.source)));
        let (path, flow) = (self.config.place(at), answering.flow);
        let text = format!("{who} moved while it used {flow} of {whom}: its new switch knows that connection now");
        self.event(EventKind::Moved, text, |e| {
            e.endpoint = Some(who.clone());
            e.peer = Some(whom.clone());
            e.service = Some(flow.to_string());
            e.place = path;
        });
        Some(())
    }

    /// The switch by which a sender's packets come into this network, if it has not just come there itself.
    fn home_of(&self, address: Ipv4Addr) -> Option<fseg_model::Dpid> {
        if let Some(known) = self.endpoints.by_v4(address) {
            let stays = self.resuming.left(known.endpoint.id, self.now.mono) == 0;
            return known.endpoint.binding.as_ref().filter(|_| stays).map(|b| b.location.switch);
        }
        self.exit_for(ipnet::Ipv4Net::from(address)).map(|place| place.switch)
    }
}

/// What a packet answers, if it can be in the midst of a connection: UDP, or TCP that neither opens nor breaks one.
fn answering(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    mac: fseg_model::Mac,
    transport: &Transport<'_>,
) -> Option<Answering> {
    match transport {
        Transport::Tcp(t) if t.flags.ack && !t.flags.syn && !t.flags.rst => {
            let asking = TcpSegment {
                source_port: t.destination_port,
                destination_port: t.source_port,
                sequence: t.acknowledgement,
                acknowledgement: t.sequence,
                flags: TcpFlags { ack: true, ..TcpFlags::default() },
                payload: &[],
            };
            let asking = build_tcp_v4(mac, ROUTER_MAC, destination, source, &asking)?;
            Some(Answering { flow: Flow::tcp(t.source_port), asking })
        }
        Transport::Udp(u) => {
            let asking = build_udp_v4(mac, ROUTER_MAC, destination, source, u.destination_port, u.source_port, &[])?;
            Some(Answering { flow: Flow::udp(u.source_port), asking })
        }
        _ => None,
    }
}
