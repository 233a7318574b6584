//! What the tables do with a packet, as the API shows it.

use fseg_api::{ApiError, PacketAge, TraceHop, TraceRequest, TraceStep, TraceView};
use fseg_control::{Age, Controller, End, Hop, Party, SwitchConfig, Traced};
use fseg_model::{Flow, Location, PortNo};
use fseg_openflow::simulate::Packet;
use fseg_openflow::{Field, port};
use fseg_pipeline::Table;

use super::views;

/// Somebody of a question.
pub(super) fn party(c: &Controller, text: &str) -> Result<Party, ApiError> {
    c.party(text).ok_or_else(|| {
        ApiError::not_found("endpoint, external or address", text).help(
            "`fseg endpoints` lists who is known; accounts and devices are asked about as user:NAME and device:NAME",
        )
    })
}

/// What a question asks for.
pub(super) fn flows(c: &Controller, service: &str) -> Result<Vec<Flow>, ApiError> {
    c.flows_of(service)
        .ok_or_else(|| ApiError::not_found("service", service).help("write a service of the policy, or tcp/443"))
}

/// The answer to a question about a packet.
pub(super) fn trace(c: &Controller, question: &TraceRequest) -> Result<TraceView, ApiError> {
    let age = match question.age {
        PacketAge::First => Age::First,
        PacketAge::Established => Age::Established,
        PacketAge::Reply => Age::Reply,
    };
    let traced = match (&question.packet, &question.from, &question.to, &question.service) {
        (Some(text), None, None, None) => {
            let (at, packet) = packet(c, text, question)?;
            c.trace(at, packet, age)
        }
        (None, Some(from), Some(to), Some(service)) => {
            let (from, to) = (party(c, from)?, party(c, to)?);
            let flow = flows(c, service)?.into_iter().next();
            let flow = flow.ok_or_else(|| ApiError::internal("a service without ports"))?;
            c.trace_connection(&from, &to, flow, age).map_err(ApiError::bad_request)?
        }
        _ => {
            let help = "give either a packet, or who, to whom, and for which service";
            return Err(ApiError::bad_request("a packet and names at once, or neither").help(help));
        }
    };
    Ok(view(c, &traced))
}

/// A packet from text, and where it comes in: as said, or where its sender is.
fn packet(c: &Controller, text: &str, question: &TraceRequest) -> Result<(Location, Packet), ApiError> {
    let mut packet =
        Packet::from_text(text).map_err(|error| ApiError::bad_request(format!("this is no packet: {error}")))?;
    c.complete(&mut packet);
    let sender = c.place_of(&packet);
    let switch = match (&question.switch, sender) {
        (Some(name), _) => {
            c.config()
                .switches
                .iter()
                .find(|switch| switch.name.as_str() == name || switch.dpid.to_string() == *name)
                .ok_or_else(|| ApiError::not_found("switch", name).help("`fseg switches` lists them"))?
                .dpid
        }
        (None, Some(place)) => place.switch,
        (None, None) => {
            let help = "say --switch and --port, or give the source address of an endpoint that is connected";
            return Err(
                ApiError::bad_request("nobody known sends this packet, so it could come in anywhere").help(help)
            );
        }
    };
    let port = match (&question.port, packet.in_port(), sender) {
        (Some(text), ..) => port_of(c.config().switch(switch), text)
            .ok_or_else(|| ApiError::not_found("port", text).help("`fseg switches` lists ports"))?,
        (None, 0, Some(place)) if place.switch == switch => place.port,
        (None, 0, _) => {
            return Err(ApiError::bad_request("by which port?").help("say --port, or in_port=… in the packet"));
        }
        (None, number, _) => PortNo(number),
    };
    packet.set(Field::InPort, port.0.into(), u128::MAX);
    Ok((Location { switch, port }, packet))
}

fn port_of(switch: Option<&SwitchConfig>, text: &str) -> Option<PortNo> {
    let named = switch?.ports.iter().find(|port| port.name.as_str() == text).map(|port| port.number);
    let number = || text.parse().ok().filter(|number| *number < port::MAX).map(PortNo);
    named.or_else(number)
}

fn view(c: &Controller, traced: &Traced) -> TraceView {
    TraceView {
        packet: traced.packet.to_string(),
        delivered: traced.delivered(),
        ends: traced.ends.iter().map(|e| end(c, e)).collect(),
        hops: traced.hops.iter().map(|h| hop(c, h)).collect(),
    }
}

/// Where a packet ended, in one sentence.
pub(super) fn end(c: &Controller, end: &End) -> String {
    match end {
        End::Delivered { place, to, .. } => format!("delivered to {to} at {}", place_text(c, *place)),
        End::Dropped { dpid, reason, .. } => format!("dropped on {}: {reason}", c.config().switch_name(*dpid)),
    }
}

fn place_text(c: &Controller, place: Location) -> String {
    match c.config().place(place) {
        Some(path) => path.to_string(),
        None => format!("{}, port {}", c.config().switch_name(place.switch), place.port),
    }
}

fn hop(c: &Controller, hop: &Hop) -> TraceHop {
    let steps = hop.steps.iter().map(|step| TraceStep {
        table: step.table,
        table_name: Table::from_number(step.table).map(|table| table.to_string()).unwrap_or_default(),
        row: step.row.as_ref().map(|row| views::row(c, row)),
        events: step.events.clone(),
    });
    TraceHop {
        switch: c.config().switch_name(hop.at.switch),
        port: place_text(c, hop.at),
        connected: hop.connected,
        steps: steps.collect(),
    }
}
