//! A client's side of DHCP: messages made by `dhcproto`, and replies read by it.

use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use fseg_model::{Mac, PlacePath};

use crate::AddressConfig;

pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

pub(super) fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, n])
}

pub(super) fn place(n: u8) -> PlacePath {
    format!("tokyo/sw1/p{n}").parse().unwrap()
}

/// A flat network with short leases (admitted 600 s, strangers 60 s) and two strangers per place.
pub(super) fn config(prefix: &str) -> AddressConfig {
    let mut config = AddressConfig::flat(ROUTER, prefix.parse().unwrap());
    config.lease = Duration::from_secs(600);
    config.stranger_lease = Duration::from_secs(60);
    config.max_strangers_per_place = 2;
    config
}

pub(super) fn message(mac: Mac, kind: MessageType, options: Vec<DhcpOption>) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(0x1234_5678, none, none, none, none, &mac.0);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option);
    }
    message
}

pub(super) fn discover(mac: Mac, wanted: Option<Ipv4Addr>) -> Vec<u8> {
    let options = wanted.map(DhcpOption::RequestedIpAddress).into_iter().collect();
    message(mac, MessageType::Discover, options).to_vec().unwrap()
}

pub(super) fn select(mac: Mac, server: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let options = vec![DhcpOption::ServerIdentifier(server), DhcpOption::RequestedIpAddress(wanted)];
    message(mac, MessageType::Request, options).to_vec().unwrap()
}

pub(super) fn reboot(mac: Mac, wanted: Ipv4Addr) -> Vec<u8> {
    message(mac, MessageType::Request, vec![DhcpOption::RequestedIpAddress(wanted)]).to_vec().unwrap()
}

/// A message with ciaddr: RENEWING, REBINDING, RELEASE, INFORM.
pub(super) fn with_address(mac: Mac, kind: MessageType, address: Ipv4Addr) -> Vec<u8> {
    let options = if kind == MessageType::Release { vec![DhcpOption::ServerIdentifier(ROUTER)] } else { vec![] };
    let mut message = message(mac, kind, options);
    message.set_ciaddr(address);
    message.to_vec().unwrap()
}

pub(super) fn decline(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let options = vec![DhcpOption::ServerIdentifier(ROUTER), DhcpOption::RequestedIpAddress(address)];
    message(mac, MessageType::Decline, options).to_vec().unwrap()
}

pub(super) fn broadcast(mut message: Message) -> Vec<u8> {
    message.set_flags(Flags::default().set_broadcast());
    message.to_vec().unwrap()
}

pub(super) fn read(payload: &[u8]) -> Message {
    Message::decode(&mut Decoder::new(payload)).unwrap()
}

pub(super) fn lease_time(message: &Message) -> Option<u32> {
    match message.opts().get(OptionCode::AddressLeaseTime) {
        Some(DhcpOption::AddressLeaseTime(n)) => Some(*n),
        _ => None,
    }
}
