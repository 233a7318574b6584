//! Answers that the node gives itself: for strangers, for endpoints' names, for their addresses.

use std::net::IpAddr;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::policy::{Client, DnsConfig, DnsPolicy};
use super::request::Request;

/// Strangers become admitted within seconds: nothing they were told may be kept.
const STRANGER_TTL: u32 = 1;
/// Endpoints keep their addresses while they move; a lease may still end.
const LOCAL_TTL: u32 = 10;

/// The node's own answer; `None` when an upstream resolver must be asked.
pub(super) fn local(config: &DnsConfig, policy: &dyn DnsPolicy, client: IpAddr, request: &Request) -> Option<Message> {
    match policy.who(client) {
        Client::Unknown => Some(request.reply(ResponseCode::Refused)),
        Client::Stranger => Some(stranger(config, request)),
        Client::Admitted => admitted(config, policy, request),
    }
}

/// RFC 7710's successor RFC 8910 asks networks not to do this to clients that are signed in; strangers need it, because
/// captive-portal checks start with a name.
fn stranger(config: &DnsConfig, request: &Request) -> Message {
    let mut reply = request.reply(ResponseCode::NoError);
    if request.query.query_type == RecordType::A {
        let data = RData::A(A(config.portal));
        reply.add_answer(Record::from_rdata(request.query.name.clone(), STRANGER_TTL, data));
    }
    reply
}

fn admitted(config: &DnsConfig, policy: &dyn DnsPolicy, request: &Request) -> Option<Message> {
    let name = &request.query.name;
    if config.portal_name.as_ref() == Some(name) {
        return Some(addresses(config, request, &[config.portal.into()]));
    }
    if !config.domain.is_root() && config.domain.zone_of(name) {
        return Some(zone(config, policy, request));
    }
    // Only whole addresses: a prefix such as 10.in-addr.arpa belongs to no endpoint.
    let net = name.parse_arpa_name().ok().filter(|net| net.prefix_len() == net.max_prefix_len())?;
    reverse(config, policy, request, net.addr())
}

/// A name of the domain.
fn zone(config: &DnsConfig, policy: &dyn DnsPolicy, request: &Request) -> Message {
    let name = &request.query.name;
    let depth = usize::from(name.num_labels().saturating_sub(config.domain.num_labels()));
    if depth == 0 {
        let mut reply = authoritative(request, ResponseCode::NoError);
        match request.query.query_type {
            RecordType::SOA => reply.add_answer(soa(config)),
            _ => reply.add_authority(soa(config)),
        };
        return reply;
    }
    let found = Name::from_labels(name.iter().take(depth)).ok().and_then(|host| {
        // `to_utf8` turns `xn--` labels into letters: endpoint names may be Japanese (RFC 5891).
        let host = host.to_utf8().to_lowercase();
        policy.lookup(host.trim_end_matches('.'))
    });
    match found {
        Some(found) => addresses(config, request, &found),
        None => {
            let mut reply = authoritative(request, ResponseCode::NXDomain);
            reply.add_authority(soa(config));
            reply
        }
    }
}

/// Those of the addresses that were asked for; with none of that kind, "no data" (RFC 2308, section 2.2).
fn addresses(config: &DnsConfig, request: &Request, found: &[IpAddr]) -> Message {
    let mut reply = authoritative(request, ResponseCode::NoError);
    for address in found {
        let data = match (address, request.query.query_type) {
            (IpAddr::V4(a), RecordType::A) => RData::A(A(*a)),
            (IpAddr::V6(a), RecordType::AAAA) => RData::AAAA(AAAA(*a)),
            _ => continue,
        };
        reply.add_answer(Record::from_rdata(request.query.name.clone(), LOCAL_TTL, data));
    }
    if reply.answers.is_empty() {
        reply.add_authority(soa(config));
    }
    reply
}

/// An address's name. Private addresses that no endpoint has are unknown here and everywhere (RFC 6303); others are
/// somebody else's to name.
fn reverse(config: &DnsConfig, policy: &dyn DnsPolicy, request: &Request, address: IpAddr) -> Option<Message> {
    let endpoint = policy.reverse(address).filter(|_| !config.domain.is_root()).and_then(|name| {
        let host = Name::from_utf8(&name).or_else(|_| Name::from_str_relaxed(&name)).ok()?;
        host.append_domain(&config.domain).ok()
    });
    let name = endpoint.or_else(|| config.portal_name.clone().filter(|_| address == config.portal));
    if let Some(name) = name {
        let mut reply = authoritative(request, ResponseCode::NoError);
        match request.query.query_type {
            RecordType::PTR => {
                let data = RData::PTR(PTR(name));
                reply.add_answer(Record::from_rdata(request.query.name.clone(), LOCAL_TTL, data))
            }
            _ => reply.add_authority(soa(config)),
        };
        return Some(reply);
    }
    is_private(address).then(|| authoritative(request, ResponseCode::NXDomain))
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            let shared = first == 100 && (second & 0xc0) == 64;
            a.is_private() || a.is_loopback() || a.is_link_local() || shared
        }
        IpAddr::V6(a) => a.is_loopback() || a.is_unique_local() || a.is_unicast_link_local(),
    }
}

fn authoritative(request: &Request, code: ResponseCode) -> Message {
    let mut reply = request.reply(code);
    reply.metadata.authoritative = true;
    reply
}

/// How long "no such name" may be kept (RFC 2308, section 5).
fn soa(config: &DnsConfig) -> Record {
    let person = Name::from_ascii("hostmaster").and_then(|n| n.append_domain(&config.domain));
    let person = person.unwrap_or_else(|_| config.domain.clone());
    let data = SOA::new(config.domain.clone(), person, 1, 3600, 600, 86_400, LOCAL_TTL);
    Record::from_rdata(config.domain.clone(), LOCAL_TTL, RData::SOA(data))
}
