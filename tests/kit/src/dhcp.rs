//! A DHCP client's frames, and what it reads of the answers.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use fseg_model::Mac;
use fseg_wire::{Frame, Payload, Transport};

use crate::frames;

fn message(mac: Mac, kind: MessageType, ciaddr: Ipv4Addr, options: Vec<DhcpOption>) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(0x5eed, ciaddr, none, none, none, &mac.0);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    message.to_vec().unwrap()
}

fn broadcast(mac: Mac, payload: &[u8]) -> Vec<u8> {
    frames::udp(mac, Mac::BROADCAST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, 68, 67, payload)
}

/// Who gives me an address?
pub fn discover(mac: Mac) -> Vec<u8> {
    broadcast(mac, &message(mac, MessageType::Discover, Ipv4Addr::UNSPECIFIED, vec![]))
}

/// I take what you offered.
pub fn select(mac: Mac, server: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let options = vec![DhcpOption::ServerIdentifier(server), DhcpOption::RequestedIpAddress(wanted)];
    broadcast(mac, &message(mac, MessageType::Request, Ipv4Addr::UNSPECIFIED, options))
}

/// I had this one; may I have it again?
pub fn reboot(mac: Mac, wanted: Ipv4Addr) -> Vec<u8> {
    let options = vec![DhcpOption::RequestedIpAddress(wanted)];
    broadcast(mac, &message(mac, MessageType::Request, Ipv4Addr::UNSPECIFIED, options))
}

/// I use this one and go on, asked of the server itself.
pub fn renew(mac: Mac, router_mac: Mac, server: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let payload = message(mac, MessageType::Request, address, vec![]);
    frames::udp(mac, router_mac, address, server, 68, 67, &payload)
}

/// I need it no more.
pub fn release(mac: Mac, router_mac: Mac, server: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let payload = message(mac, MessageType::Release, address, vec![DhcpOption::ServerIdentifier(server)]);
    frames::udp(mac, router_mac, address, server, 68, 67, &payload)
}

/// Somebody else uses it.
pub fn decline(mac: Mac, server: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let options = vec![DhcpOption::ServerIdentifier(server), DhcpOption::RequestedIpAddress(address)];
    broadcast(mac, &message(mac, MessageType::Decline, Ipv4Addr::UNSPECIFIED, options))
}

/// What a server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// To whom, by the client's own address in the message.
    pub mac: Mac,
    /// Offer, ack or nak.
    pub kind: MessageType,
    /// The client's address.
    pub address: Ipv4Addr,
    /// For how many seconds, if it says so.
    pub seconds: Option<u32>,
}

/// Reads an answer; `None` for a frame that is none.
pub fn read(frame: &[u8]) -> Option<Reply> {
    let frame = Frame::parse(frame).ok()?;
    let Payload::Ipv4(packet) = frame.payload else { return None };
    let Transport::Udp(udp) = packet.transport else { return None };
    if (udp.source_port, udp.destination_port) != (67, 68) {
        return None;
    }
    let message = Message::decode(&mut Decoder::new(udp.payload)).ok()?;
    let mac = Mac(message.chaddr().get(..6)?.try_into().ok()?);
    let seconds = match message.opts().get(OptionCode::AddressLeaseTime) {
        Some(DhcpOption::AddressLeaseTime(n)) => Some(*n),
        _ => None,
    };
    Some(Reply { mac, kind: message.opts().msg_type()?, address: message.yiaddr(), seconds })
}
