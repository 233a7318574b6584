//! A large site: as records of a store, so that the controller starts with it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fseg_address::{AddressConfig, Lease, LeaseState, Pool};
use fseg_admission::{Account, AdmissionConfig, Device, HashParams, Limits, MacMatcher, PasswordHash, hash_password};
use fseg_control::{NumberKind, PolicyVersion, PortConfig, Protocol, Record, SiteConfig, SwitchConfig};
use fseg_model::{
    Binding, Dpid, Endpoint, EndpointId, Identity, Location, Mac, Method, Name, PortKind, PortNo, Session, SliceId,
    Subject, Wall,
};
use fseg_pipeline::SwitchRole;

pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const NODE: Dpid = Dpid(1);
pub(crate) const SWITCH: Dpid = Dpid(2);
pub(crate) const START: Wall = Wall(1_800_000_000_000);
/// Ports of the access switch that endpoints are behind.
pub(crate) const PORTS: u32 = 1_000;
const HASH: HashParams = HashParams { memory_kib: 8, passes: 1, lanes: 1 };

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn mac(n: usize) -> Mac {
    let n = n as u32;
    Mac([2, 0, (n >> 24) as u8, (n >> 16) as u8, (n >> 8) as u8, n as u8])
}

/// The first endpoint has 10.1.0.0.
pub(crate) fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 0)) + n as u32)
}

pub(crate) fn place(n: usize) -> Location {
    Location { switch: SWITCH, port: PortNo(1 + n as u32 % PORTS) }
}

pub(crate) fn config() -> SiteConfig {
    let port = |number: u32, kind| PortConfig {
        number: PortNo(number),
        name: name(&format!("p{number}")),
        kind,
        mac: None,
        exit: None,
        requests: None,
    };
    let node = SwitchConfig {
        name: name("node"),
        dpid: NODE,
        role: SwitchRole::Node,
        ports: vec![
            port(1, PortKind::Uplink),
            PortConfig { mac: Some(Mac([2, 0, 0, 0, 9, 9])), ..port(10, PortKind::Service) },
        ],
        via: vec![(name("sw1"), PortNo(1))],
        protocol: Protocol::Ovs,
    };
    let access = SwitchConfig {
        name: name("sw1"),
        dpid: SWITCH,
        role: SwitchRole::Access,
        ports: (1..=PORTS).map(|p| port(p, PortKind::Shared)).chain([port(PORTS + 1, PortKind::Uplink)]).collect(),
        via: vec![],
        protocol: Protocol::Ovs,
    };
    let prefix = "10.0.0.0/8".parse().unwrap();
    let mut addresses = AddressConfig::flat(ROUTER, prefix);
    addresses.pools =
        vec![Pool { name: "all".into(), prefix, first: [10, 1, 0, 0].into(), last: [10, 250, 255, 255].into() }];
    addresses.lease = Duration::from_secs(43_200);
    addresses.max_strangers_per_place = 1_000_000;
    SiteConfig {
        site: name("tokyo"),
        router: ROUTER,
        inner: vec![prefix],
        switches: vec![node, access],
        address: addresses,
        admission: AdmissionConfig {
            hash: HASH,
            limits: Limits { accounts: 2_000_000, devices: 2_000_000, ..Limits::default() },
            ..AdmissionConfig::default()
        },
        locations: vec![],
        strangers_per_port: 1_000_000,
    }
}

pub(crate) fn password() -> PasswordHash {
    hash_password("correct-horse-9", [7; 16], HASH).unwrap()
}

/// The roles of endpoint `n`: one of `groups`, and for one in ten a second one.
pub(crate) fn roles(n: usize, groups: usize) -> BTreeSet<Name> {
    let mut out = BTreeSet::from([name(&format!("r{}", n % groups))]);
    if n.is_multiple_of(10) {
        out.insert(name(&format!("r{}", (n / 10 * 7 + 1) % groups)));
    }
    out
}

pub(crate) fn policy(groups: usize, permits: usize) -> String {
    let mut text = String::from("groups:\n");
    for g in 0..groups {
        writeln!(text, "  g{g}: {{ members: [\"role:r{g}\"] }}").unwrap();
    }
    text.push_str("permits:\n");
    for p in 0..permits {
        let (from, to) = (p % groups, (p * 13 + 5) % groups);
        let service = ["tcp/443", "tcp/22", "udp/5000-5099", "icmp/echo"][p % 4];
        writeln!(text, "  - {{ id: p{p}, from: g{from}, to: g{to}, services: [{service}] }}").unwrap();
    }
    text
}

pub(crate) fn identity(n: usize, groups: usize) -> Identity {
    let subject = if n.is_multiple_of(2) {
        Subject::User(name(&format!("u{n}")))
    } else {
        Subject::Device(name(&format!("d{n}")))
    };
    Identity { subject, roles: roles(n, groups) }
}

/// Everything a store would hold for `n` admitted endpoints.
pub(crate) fn records(n: usize, groups: usize, permits: usize) -> Vec<Record> {
    let hash = password();
    let mut out = vec![
        Record::Number { kind: NumberKind::Round, name: "node".into(), number: 1 },
        Record::Number { kind: NumberKind::Endpoint, name: "next".into(), number: n as u32 + 1 },
        Record::Policy(PolicyVersion {
            version: 1,
            file: "large.yaml".into(),
            text: policy(groups, permits),
            who: "bench".into(),
            at: START,
            message: None,
            state: Default::default(),
            summary: String::new(),
        }),
    ];
    for i in 0..n {
        let identity = identity(i, groups);
        let (label, method) = match &identity.subject {
            Subject::User(u) => {
                let account = Account { roles: identity.roles.clone(), ..Account::new(u.clone(), hash.clone(), START) };
                out.push(Record::Account(account));
                (u.clone(), Method::Portal)
            }
            Subject::Device(d) => {
                let device =
                    Device { roles: identity.roles.clone(), ..Device::new(d.clone(), MacMatcher::exact(mac(i))) };
                out.push(Record::Device(device));
                (d.clone(), Method::Device)
            }
            Subject::Location(_) => unreachable!("none here"),
        };
        out.push(Record::Lease(lease(i)));
        out.push(Record::Endpoint(Box::new(Endpoint {
            id: EndpointId(i as u32 + 1),
            slice: SliceId::DEFAULT,
            mac: mac(i),
            name: Some(label),
            session: Some(Session { method, identity, since: START, until: None, idle_seconds: 0 }),
            binding: Some(Binding { location: place(i), addresses: vec![IpAddr::V4(address(i))], since: START }),
            posture: Default::default(),
            watch: Default::default(),
        })));
    }
    out
}

pub(crate) fn lease(i: usize) -> Lease {
    Lease {
        mac: mac(i),
        address: address(i),
        state: LeaseState::Bound,
        client_id: None,
        hostname: None,
        place: None,
        admitted: true,
        since: START,
        seconds: 43_200,
        until: START.plus(Duration::from_secs(43_200)),
    }
}
