//! Writing replies (RFC 2131, 4.3.1, table 3).

use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::Encodable;
use dhcproto::v4::{DhcpOption, DhcpOptions, MessageType, Opcode, OptionCode, UnknownOption};
use fseg_model::Mac;
use ipnet::Ipv4Net;

use crate::request::{Request, code};
use crate::{AddressConfig, DhcpError, DhcpReply, ReplyTo};

/// The shortest BOOTP message (RFC 1542, 2.1); older clients drop shorter ones.
const MIN_MESSAGE: usize = 300;
/// What every client takes, IP and UDP headers included (RFC 2131, 2).
const MIN_MAX_SIZE: u16 = 576;
/// What is never exceeded: an Ethernet packet.
const MAX_SIZE: u16 = 1500;
const IP_AND_UDP: usize = 28;

/// What a reply says.
pub(crate) enum Say {
    /// Take this address.
    Offer(Ipv4Addr, Duration),
    /// This address is yours.
    Lease(Ipv4Addr, Duration),
    /// These are the other parameters (answer to INFORM).
    Parameters,
    /// Begin anew.
    Nak(String),
}

/// A time as options carry it.
pub(crate) fn seconds_of(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// Encodes a reply to a request.
pub(crate) fn reply(
    request: &Request,
    say: Say,
    config: &AddressConfig,
    network: Ipv4Net,
    admitted: bool,
) -> Result<DhcpReply, DhcpError> {
    let none = Ipv4Addr::UNSPECIFIED;
    let (kind, ciaddr, yiaddr, time) = match &say {
        Say::Offer(address, time) => (MessageType::Offer, none, *address, Some(*time)),
        Say::Lease(address, time) => (MessageType::Ack, request.header.ciaddr(), *address, Some(*time)),
        Say::Parameters => (MessageType::Ack, request.header.ciaddr(), none, None),
        Say::Nak(_) => (MessageType::Nak, none, none, None),
    };
    // Transaction, flags and hardware address are copied from the request, as table 3 wants.
    let mut message = request.header.clone();
    message.clear_sname();
    message.clear_fname();
    message.clear_addrs();
    message.set_opcode(Opcode::BootReply).set_hops(0).set_secs(0).set_ciaddr(ciaddr).set_yiaddr(yiaddr);

    let mut options = DhcpOptions::new();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(config.server_id));
    if let Some(id) = &request.client_id {
        options.insert(DhcpOption::ClientIdentifier(id.clone()));
    }
    // What may be left out when the message gets too long; the last goes first.
    let mut optional = Vec::new();
    match say {
        Say::Nak(why) => {
            options.insert(DhcpOption::Message(why));
        }
        Say::Offer(..) | Say::Lease(..) | Say::Parameters => {
            if let Some(time) = time {
                let seconds = seconds_of(time);
                options.insert(DhcpOption::AddressLeaseTime(seconds));
                // Half, and seven eighths (RFC 2131, 4.4.5).
                options.insert(DhcpOption::Renewal(seconds / 2));
                options.insert(DhcpOption::Rebinding(seconds - seconds / 8));
            }
            options.insert(DhcpOption::SubnetMask(network.netmask()));
            options.insert(DhcpOption::Router(vec![config.router]));
            if !config.dns.is_empty() {
                options.insert(DhcpOption::DomainNameServer(config.dns.clone()));
            }
            let wants_portal = !admitted || request.parameters.contains(&code::CAPTIVE_PORTAL);
            if let Some(url) = config.portal_api.as_ref().filter(|_| wants_portal) {
                options.insert(DhcpOption::CaptivePortal(url.clone()));
                optional.push(OptionCode::CaptivePortal);
            }
            if let Some(mtu) = config.mtu {
                options.insert(DhcpOption::InterfaceMtu(mtu));
                optional.push(OptionCode::InterfaceMtu);
            }
            if let Some(domain) = &config.domain {
                options.insert(DhcpOption::DomainName(domain.clone()));
                optional.push(OptionCode::DomainName);
            }
        }
    }
    let limit = usize::from(request.max_size.unwrap_or_default().clamp(MIN_MAX_SIZE, MAX_SIZE)) - IP_AND_UDP;
    let payload = loop {
        message.set_opts(options.clone());
        let payload = encode(&message, request.relay.as_deref())?;
        match optional.pop() {
            Some(leave_out) if payload.len() > limit => options.remove(leave_out),
            _ => break payload,
        };
    };
    Ok(DhcpReply { payload, to: destination(request, kind, yiaddr) })
}

fn encode(message: &dhcproto::v4::Message, relay: Option<&[u8]>) -> Result<Vec<u8>, DhcpError> {
    let failed = |e: dhcproto::error::EncodeError| DhcpError::Encode(e.to_string());
    let mut bytes = message.to_vec().map_err(failed)?;
    if let Some(relay) = relay {
        // As it came, octet by octet, and last (RFC 3046, 2.2): so it is written behind the encoder's back.
        bytes.pop_if(|last| *last == code::END);
        let echo = UnknownOption::new(OptionCode::RelayAgentInformation, relay.to_vec());
        bytes.extend(echo.to_vec().map_err(failed)?);
        bytes.push(code::END);
    }
    if bytes.len() < MIN_MESSAGE {
        bytes.resize(MIN_MESSAGE, 0);
    }
    Ok(bytes)
}

/// RFC 2131, 4.1, without relays, which are refused before.
fn destination(request: &Request, kind: MessageType, yiaddr: Ipv4Addr) -> ReplyTo {
    let mac: Mac = request.mac;
    match request.ciaddr() {
        _ if kind == MessageType::Nak => ReplyTo::Broadcast,
        Some(address) => ReplyTo::Unicast { mac, address },
        None if request.header.flags().broadcast() || yiaddr.is_unspecified() => ReplyTo::Broadcast,
        None => ReplyTo::Unicast { mac, address: yiaddr },
    }
}
