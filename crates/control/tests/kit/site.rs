//! The site that the tests play on: a node bridge with a way out, two access switches, a policy.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_address::{AddressConfig, Pool};
use fseg_admission::{
    Account, AdmissionConfig, Device, HashParams, LocationRule, MacMatcher, PasswordHash, hash_password,
};
use fseg_control::{ExitConfig, PortConfig, SiteConfig, SwitchConfig};
use fseg_model::{Dpid, Location, Mac, Name, PortKind, PortNo, Wall};
use fseg_openflow::table::TableFeatures;
use fseg_pipeline::{NatMode, SwitchRole};

pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const NODE: Dpid = Dpid(1);
pub(crate) const SW1: Dpid = Dpid(11);
pub(crate) const SW2: Dpid = Dpid(12);
pub(crate) const SWITCHES: [Dpid; 3] = [NODE, SW1, SW2];
pub(crate) const NODE_MAC: Mac = Mac([2, 0, 0, 0, 9, 9]);
pub(crate) const GATEWAY: Location = Location { switch: NODE, port: PortNo(12) };
pub(crate) const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0, 8, 2]);
pub(crate) const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(crate) const WEBSITE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
pub(super) const UP: u32 = 24;
/// The port of each access switch behind which an ordinary switch is.
pub(crate) const SHARED: u32 = 8;
/// The port of each access switch that a location rule names.
pub(crate) const NAMED: u32 = 6;
/// When the story begins.
pub(crate) const START: Wall = Wall(1_800_000_000_000);

/// Groups of a person, of a role, of devices and of a place.
pub(crate) const POLICY: &str = "
groups:
  sales:    { members: [user:anna, user:bert] }
  dev:      { members: [role:dev] }
  staff:    { members: [group:sales, group:dev] }
  crm:      { members: [device:crm-1, device:crm-2] }
  printers: { members: [\"location:tokyo/*/p6\"] }
externals:
  net: { cidr: [0.0.0.0/0] }
services:
  web: [tcp/80, tcp/443]
permits:
  - { id: sales-crm, from: sales, to: crm, services: [web] }
  - { id: staff-print, from: staff, to: printers, services: [tcp/9100] }
  - { id: staff-ping, from: staff, to: [crm, printers, staff], services: [icmp/echo] }
  - { id: staff-net, from: staff, to: net, services: [web] }
tests:
  - { from: user:anna, to: device:crm-1, service: web, expect: permit }
";

pub(crate) fn at(switch: Dpid, port: u32) -> Location {
    Location { switch, port: PortNo(port) }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn mac(n: u8) -> Mac {
    Mac([2, 0, 0, 1, 0, n])
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
    let exit = ExitConfig {
        address: Ipv4Addr::new(203, 0, 113, 2),
        gateway: GATEWAY_ADDRESS,
        mode: NatMode::Nat,
        networks: vec!["0.0.0.0/0".parse().unwrap()],
    };
    let node = SwitchConfig {
        name: name("node"),
        dpid: NODE,
        role: SwitchRole::Node,
        ports: vec![
            port(1, PortKind::Uplink),
            port(2, PortKind::Uplink),
            PortConfig { mac: Some(NODE_MAC), ..port(10, PortKind::Service) },
            PortConfig { exit: Some(exit), ..port(12, PortKind::Legacy) },
        ],
        via: vec![(name("sw1"), PortNo(1)), (name("sw2"), PortNo(2))],
        protocol: fseg_control::Protocol::Ovs,
    };
    let access = |n: &str, dpid| SwitchConfig {
        name: name(n),
        dpid,
        role: SwitchRole::Access,
        ports: (1..=8)
            .map(|p| port(p, if p == SHARED { PortKind::Shared } else { PortKind::Access }))
            .chain([port(UP, PortKind::Uplink)])
            .collect(),
        via: vec![],
        protocol: fseg_control::Protocol::Ovs,
    };
    let prefix = "10.0.0.0/8".parse().unwrap();
    let mut address = AddressConfig::flat(ROUTER, prefix);
    address.pools = vec![Pool { name: "all".into(), prefix, first: [10, 0, 1, 1].into(), last: [10, 0, 1, 30].into() }];
    address.lease = Duration::from_secs(3600);
    address.stranger_lease = Duration::from_secs(120);
    address.max_strangers_per_place = 3;
    let rule = LocationRule {
        place: format!("tokyo/*/p{NAMED}").parse().unwrap(),
        name: "printer-{n}".parse().unwrap(),
        mac: None,
        roles: BTreeSet::new(),
    };
    SiteConfig {
        site: name("tokyo"),
        router: ROUTER,
        inner: vec![prefix],
        switches: vec![node, access("sw1", SW1), access("sw2", SW2)],
        address,
        admission: AdmissionConfig { hash: HASH, ..AdmissionConfig::default() },
        locations: vec![rule],
        strangers_per_port: 3,
    }
}

const HASH: HashParams = HashParams { memory_kib: 8, passes: 1, lanes: 1 };

pub(crate) fn password() -> PasswordHash {
    hash_password("correct-horse-9", [7; 16], HASH).unwrap()
}

pub(crate) fn account(who: &str, roles: &[&str]) -> Account {
    Account { roles: roles.iter().map(|r| name(r)).collect(), ..Account::new(name(who), password(), START) }
}

pub(crate) fn device(who: &str, mac: Mac) -> Device {
    Device::new(name(who), MacMatcher::exact(mac))
}

/// What a switch without extensions says of its tables.
pub(crate) fn features(tables: u8, rows: u32) -> Vec<TableFeatures> {
    (0..tables)
        .map(|table| TableFeatures {
            table,
            metadata_match: u64::MAX,
            metadata_write: u64::MAX,
            max_entries: rows,
            ..TableFeatures::default()
        })
        .collect()
}
