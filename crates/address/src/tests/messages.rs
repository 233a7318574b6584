//! What replies contain, octet for octet where it matters.

use std::net::Ipv4Addr;

use dhcproto::Encodable;
use dhcproto::v4::relay::{RelayAgentInformation, RelayInfo};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use fseg_model::{Mono, Wall};
use fseg_wire::{Frame, Payload, Transport};

use super::client::{ROUTER, broadcast, config, discover, mac, message, place, read, with_address};
use crate::{AddressBook, AddressConfig, DhcpAnswer, DhcpContext, DhcpError, DhcpReply, LeaseChange, ReplyTo};

fn ask(config: AddressConfig, bytes: &[u8], admitted: bool) -> DhcpAnswer {
    let mut book = AddressBook::new(config, vec![], Wall(0), Mono(0)).unwrap();
    book.handle_dhcp(&DhcpContext { mac: mac(1), place: &place(1), admitted }, bytes, Mono(0), Wall(0))
}

fn reply(config: AddressConfig, bytes: &[u8], admitted: bool) -> DhcpReply {
    match ask(config, bytes, admitted) {
        DhcpAnswer::Reply { reply, .. } => reply,
        other => panic!("{other:?}"),
    }
}

fn refused(bytes: &[u8]) -> DhcpError {
    match ask(config("10.0.0.0/24"), bytes, true) {
        DhcpAnswer::Refused(e) => e,
        other => panic!("{other:?}"),
    }
}

fn full() -> AddressConfig {
    let mut config = config("10.0.0.0/16");
    config.pools[0].name = "all".into();
    config.dns = vec![ROUTER, Ipv4Addr::new(10, 0, 0, 2)];
    config.domain = Some("fseg.example".into());
    config.mtu = Some(1400);
    config.portal_api = Some("http://10.0.0.1/captive-portal/api".into());
    config
}

#[test]
fn an_offer_has_all_options() {
    let mut request = message(mac(1), MessageType::Discover, vec![DhcpOption::ClientIdentifier(vec![1, 2, 3])]);
    request.set_flags(Flags::new(0x0001)).set_secs(9).set_hops(3);
    let reply = reply(full(), &request.to_vec().unwrap(), false);
    assert_eq!(reply.to, ReplyTo::Unicast { mac: mac(1), address: Ipv4Addr::new(10, 0, 0, 3) });
    let m = read(&reply.payload);
    assert_eq!(m.opcode(), Opcode::BootReply);
    assert_eq!((m.xid(), m.secs(), m.hops(), u16::from(m.flags())), (0x1234_5678, 0, 0, 1));
    assert_eq!((m.chaddr(), m.yiaddr()), (&mac(1).0[..], Ipv4Addr::new(10, 0, 0, 3)));
    let mut options: Vec<_> = m.opts().iter().map(|(_, o)| o.clone()).collect();
    options.sort();
    assert_eq!(
        options,
        [
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 0, 0)),
            DhcpOption::Router(vec![ROUTER]),
            DhcpOption::DomainNameServer(vec![ROUTER, Ipv4Addr::new(10, 0, 0, 2)]),
            DhcpOption::DomainName("fseg.example".into()),
            DhcpOption::InterfaceMtu(1400),
            DhcpOption::AddressLeaseTime(60),
            DhcpOption::MessageType(MessageType::Offer),
            DhcpOption::ServerIdentifier(ROUTER),
            DhcpOption::Renewal(30),
            DhcpOption::Rebinding(53),
            DhcpOption::ClientIdentifier(vec![1, 2, 3]),
            DhcpOption::CaptivePortal("http://10.0.0.1/captive-portal/api".into()),
        ]
    );
    assert!(reply.payload.len() >= 300);
}

#[test]
fn the_portal_is_for_strangers_and_for_who_asks() {
    let has_portal = |bytes: &[u8], admitted| {
        read(&reply(full(), bytes, admitted).payload).opts().contains(OptionCode::CaptivePortal)
    };
    let asks = DhcpOption::ParameterRequestList(vec![OptionCode::Router, OptionCode::CaptivePortal]);
    let asking = message(mac(1), MessageType::Discover, vec![asks]).to_vec().unwrap();
    assert!(has_portal(&discover(mac(1), None), false));
    assert!(!has_portal(&discover(mac(1), None), true));
    assert!(has_portal(&asking, true));
}

#[test]
fn replies_go_where_the_client_hears_them() {
    let to = |bytes: &[u8]| reply(config("10.0.0.0/24"), bytes, true).to;
    let address = Ipv4Addr::new(10, 0, 0, 2);
    assert_eq!(to(&broadcast(message(mac(1), MessageType::Discover, vec![]))), ReplyTo::Broadcast);
    assert_eq!(to(&discover(mac(1), None)), ReplyTo::Unicast { mac: mac(1), address });
    assert_eq!(to(&with_address(mac(1), MessageType::Request, address)), ReplyTo::Unicast { mac: mac(1), address });
    // A refused client cannot be reached at the address it must not use.
    assert_eq!(to(&with_address(mac(1), MessageType::Request, ROUTER)), ReplyTo::Broadcast);

    let reply = reply(config("10.0.0.0/24"), &discover(mac(1), None), true);
    let frame = reply.to_frame(mac(9), ROUTER).unwrap();
    let frame = Frame::parse(&frame).unwrap();
    assert_eq!((frame.source, frame.destination), (mac(9), mac(1)));
    let Payload::Ipv4(ip) = frame.payload else { panic!() };
    assert_eq!((ip.source, ip.destination), (ROUTER, address));
    let Transport::Udp(udp) = ip.transport else { panic!() };
    assert_eq!((udp.source_port, udp.destination_port, udp.payload), (67, 68, &reply.payload[..]));
}

#[test]
fn option_82_comes_back_as_it_came_and_last() {
    let mut info = RelayAgentInformation::default();
    info.insert(RelayInfo::AgentCircuitId(b"sw1/p7".to_vec()));
    let request = message(mac(1), MessageType::Discover, vec![DhcpOption::RelayAgentInformation(info)]);
    let payload = reply(full(), &request.to_vec().unwrap(), false).payload;
    let mut tail = vec![82, 8, 1, 6];
    tail.extend(b"sw1/p7");
    tail.push(255);
    let end = payload.iter().rposition(|b| *b == 255).unwrap();
    assert_eq!(payload[end + 1 - tail.len()..=end], tail);
}

#[test]
fn a_long_reply_leaves_the_least_important_out() {
    let mut config = full();
    config.domain = Some("d".repeat(253));
    config.portal_api = Some("p".repeat(255));
    let sizes = |max: u16| {
        let request = message(mac(1), MessageType::Discover, vec![DhcpOption::MaxMessageSize(max)]);
        let payload = reply(config.clone(), &request.to_vec().unwrap(), false).payload;
        let m = read(&payload);
        (payload.len() <= usize::from(max.max(576)) - 28, m.opts().clone())
    };
    let (fits, options) = sizes(576);
    assert!(fits && options.contains(OptionCode::CaptivePortal) && !options.contains(OptionCode::DomainName));
    assert!(!sizes(0).1.contains(OptionCode::DomainName), "nobody takes less than 576");
    let (fits, options) = sizes(1400);
    assert!(fits && options.contains(OptionCode::CaptivePortal) && options.contains(OptionCode::DomainName));
}

#[test]
fn forged_and_foreign_messages_are_refused_by_name() {
    assert_eq!(
        refused(&discover(mac(2), None)).to_string(),
        "02:00:00:00:00:01 asks in the name of 02:00:00:00:00:02: refused as forged"
    );
    let with = |change: &dyn Fn(&mut Message)| {
        let mut m = message(mac(1), MessageType::Discover, vec![]);
        change(&mut m);
        refused(&m.to_vec().unwrap()).to_string()
    };
    assert_eq!(
        with(&|m| {
            m.set_giaddr([10, 9, 9, 9]);
        }),
        "the message claims to come through the relay 10.9.9.9; this server has none"
    );
    assert_eq!(
        with(&|m| {
            m.set_opcode(Opcode::BootReply);
        }),
        "malformed DHCP message at octet 0: the operation is not a request (1)"
    );
    assert_eq!(
        with(&|m| {
            m.set_chaddr(&[2; 16]);
        }),
        "malformed DHCP message at octet 2: the hardware address length is not 6"
    );
    assert_eq!(
        with(&|m| {
            m.opts_mut().insert(DhcpOption::MessageType(MessageType::Offer));
        }),
        "DHCP message type 2 is not a client's"
    );
    assert_eq!(
        with(&|m| {
            m.opts_mut().insert(DhcpOption::MessageType(MessageType::Request));
        }),
        "a DHCP REQUEST without any address (option 50 or ciaddr)"
    );
}

#[test]
fn options_may_be_split_and_spread() {
    // The message type in `file`, a host name in two parts, one of them in `sname` (RFC 3396, RFC 2131 option 52).
    let mut bytes = message(mac(1), MessageType::Discover, vec![]).to_vec().unwrap();
    bytes.truncate(240);
    bytes.extend([52, 1, 3, 12, 2, b'l', b'a', 255]);
    bytes[108..112].copy_from_slice(&[53, 1, 3, 255]);
    bytes[44..49].copy_from_slice(&[12, 1, b'b', 0, 255]);
    bytes.splice(240..240, [50, 2, 10, 0, 50, 2, 0, 7]);
    let DhcpAnswer::Reply { store, .. } = ask(config("10.0.0.0/24"), &bytes, true) else { panic!() };
    let [LeaseChange::Put(lease)] = &store[..] else { panic!("{store:?}") };
    assert_eq!(lease.hostname.as_deref(), Some("lab"));
    assert_eq!(lease.address, Ipv4Addr::new(10, 0, 0, 7));
}

#[test]
fn odd_host_names_do_not_hide_the_rest() {
    for name in [&b"\xff\xfe"[..], b"a\nb", b"", &[b'x'; 64]] {
        let mut bytes = message(mac(1), MessageType::Discover, vec![]).to_vec().unwrap();
        bytes.truncate(240);
        bytes.extend([12, name.len() as u8]);
        bytes.extend(name);
        bytes.extend([53, 1, 3, 50, 4, 10, 0, 0, 9, 255]);
        let DhcpAnswer::Reply { store, .. } = ask(config("10.0.0.0/24"), &bytes, true) else { panic!("{name:?}") };
        let [LeaseChange::Put(lease)] = &store[..] else { panic!("{store:?}") };
        assert_eq!((lease.hostname.as_deref(), lease.address), (None, Ipv4Addr::new(10, 0, 0, 9)));
    }
}
