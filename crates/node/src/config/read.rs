//! YAML to settings.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use fseg_address::{AddressConfig, Pool};
use fseg_admission::{AdmissionConfig, LocationRule};
use fseg_control::{ExitConfig, PortConfig, Protocol, SiteConfig, SwitchConfig};
use fseg_model::{Dpid, Mac, Name, PortKind, PortNo};
use fseg_pipeline::{NatMode, SwitchRole};
use fseg_yaml::{Kind, MapReader, Value};
use ipnet::Ipv4Net;

use super::{ApiTls, BridgeConfig, BridgePort, NodeConfig, OpenFlowListener, Portal, SwitchAccess, Transport};

/// The node's own stack at its bridge; the last octet tells it from the router's and the switches' addresses.
const OWN_MAC: Mac = Mac([0x02, 0xf5, 0xe6, 3, 0, 1]);

/// Endpoints' counters are read every 8 s: a session must outlive two rounds of that.
const SHORTEST_IDLE: Duration = Duration::from_secs(20);

/// Meters are numbered after ports, with 14 bits for the port: above this, two ports would share one meter.
const HIGHEST_PORT: u64 = 0x3fff;

/// IANA's port for OpenFlow.
const OPENFLOW_PORT: u16 = 6653;

pub(super) fn node(root: Value<'_>) -> Option<NodeConfig> {
    let mut map = root.as_map()?;
    let site = map.required("site").and_then(|v| v.parse::<Name>());
    let state = path(map.optional("state")).unwrap_or_else(|| "/var/lib/fseg".into());
    let policy = path(map.optional("policy"));
    let network_name = map.optional("name").and_then(|v| v.as_text());
    let openflow = map.optional("openflow").and_then(listeners);
    let api = map.section("api").and_then(|v| v.as_map()).map(api);
    let portal = map.section("portal").and_then(|v| v.as_map()).map(portal).unwrap_or_default();
    let network = map.required("network").and_then(|v| v.as_map()).and_then(|m| network(m, &portal));
    let admission = map.section("admission").and_then(|v| v.as_map()).map(admission).unwrap_or_default();
    let locations = map.section("locations").and_then(|v| v.as_list()).unwrap_or_default();
    let locations: Vec<LocationRule> = locations.iter().filter_map(|v| location(v.as_map()?)).collect();
    let openflow = openflow.unwrap_or_else(|| {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), OPENFLOW_PORT);
        vec![OpenFlowListener { address, transport: Transport::Tls }]
    });
    let mut switches = Vec::new();
    let mut bridges = Vec::new();
    let mut accesses = Vec::new();
    let list = map.required("switches");
    for value in list.as_ref().and_then(|v| v.as_list()).unwrap_or_default() {
        if let Some((switch, access, bridge)) = value.as_map().and_then(|m| switch(m, &openflow)) {
            if switches.iter().any(|s: &SwitchConfig| s.name == switch.name || s.dpid == switch.dpid) {
                value.error(format!("switch `{}`: another switch has the same name or dpid", switch.name));
            }
            switches.push(switch);
            accesses.push(access);
            bridges.extend(bridge);
        }
    }
    if let Some(list) = &list {
        let nodes = switches.iter().filter(|s| s.role == SwitchRole::Node).count();
        if nodes != 1 {
            list.error_with_help(
                format!("{nodes} switches have `role: node`, expected one"),
                "the node's own bridge has the portal's port and the exits",
            );
        }
        for s in &switches {
            for (name, _) in &s.via {
                if !switches.iter().any(|other| other.name == *name) {
                    list.error(format!("switch `{}` has an uplink to `{name}`, which does not exist", s.name));
                }
            }
        }
    }
    map.finish();
    let (api_unix, api_tls) = api.unwrap_or_default();
    let site = site?;
    let network = network?;
    Some(NodeConfig {
        portal,
        network_name: network_name.unwrap_or_else(|| site.to_string()),
        domain: network.address.domain.clone(),
        upstream: network.upstream,
        site: SiteConfig {
            site,
            router: network.address.router,
            inner: network.inner,
            switches,
            strangers_per_port: network.address.max_strangers_per_place as usize,
            address: network.address,
            admission,
            locations,
        },
        state,
        openflow,
        access: accesses,
        api_unix: api_unix.unwrap_or_else(|| "/run/fseg/api.sock".into()),
        api_tls,
        bridges,
        policy,
    })
}

/// `[ADDRESS, …]` for TLS; `{ listen: ADDRESS or [ADDRESS, …], transport: tls or tcp }`; or a list of both.
fn listeners(value: Value<'_>) -> Option<Vec<OpenFlowListener>> {
    let one = |value: Value<'_>| -> Option<Vec<OpenFlowListener>> {
        if !matches!(value.node().value, Kind::Map(_)) {
            let address = value.parse::<SocketAddr>()?;
            return Some(vec![OpenFlowListener { address, transport: Transport::Tls }]);
        }
        let mut map = value.as_map()?;
        let listen = map.required("listen").and_then(|v| v.as_one_or_many());
        let transport = match map.optional("transport") {
            None => Transport::Tls,
            Some(v) => match v.as_str() {
                Some("tls") => Transport::Tls,
                Some("tcp") => Transport::Tcp,
                _ => {
                    v.error_with_help(
                        "a listener's transport is `tls` or `tcp`",
                        "with `tcp` whoever reaches the address can say that it is a switch",
                    );
                    Transport::Tls
                }
            },
        };
        map.finish();
        let addresses: Vec<_> = listen?.iter().map(|v| v.parse::<SocketAddr>()).collect();
        addresses.into_iter().map(|a| a.map(|address| OpenFlowListener { address, transport })).collect()
    };
    let list = match &value.node().value {
        Kind::Map(_) => one(value)?,
        _ => {
            value.as_list()?.into_iter().map(one).collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?.concat()
        }
    };
    for (at, listener) in list.iter().enumerate() {
        if list.iter().take(at).any(|other| other.address == listener.address) {
            value.error(format!("{} is there twice", listener.address));
        }
    }
    Some(list)
}

fn path(value: Option<Value<'_>>) -> Option<PathBuf> {
    value.and_then(|v| v.as_text()).map(PathBuf::from)
}

fn api(mut map: MapReader<'_>) -> (Option<PathBuf>, Option<ApiTls>) {
    let unix = path(map.optional("unix"));
    let listen = map.optional("listen").and_then(|v| v.parse::<SocketAddr>());
    let names = map.optional("names").and_then(|v| v.parse_list::<String>()).unwrap_or_default();
    let files = certificate(&mut map);
    map.finish();
    (unix, listen.map(|listen| ApiTls { listen, files, names }))
}

fn certificate(map: &mut MapReader<'_>) -> Option<(PathBuf, PathBuf)> {
    let certificate = map.optional("certificate");
    let key = map.optional("key");
    if certificate.is_some() != key.is_some() {
        map.reader().error(map.span(), "`certificate` and `key` belong together: give both or none");
    }
    path(certificate).zip(path(key))
}

fn portal(mut map: MapReader<'_>) -> Portal {
    let value = map.optional("name");
    let name = value.as_ref().and_then(|v| v.parse::<hickory_proto::rr::Name>()).and(value.and_then(|v| v.as_text()));
    let files = certificate(&mut map);
    if files.is_some() && name.is_none() {
        map.reader().error(map.span(), "a certificate is for a name: give the portal's `name` too");
    }
    map.finish();
    Portal { name, files }
}

struct Network {
    address: AddressConfig,
    inner: Vec<Ipv4Net>,
    upstream: Vec<SocketAddr>,
}

fn network(mut map: MapReader<'_>, portal: &Portal) -> Option<Network> {
    let span = map.span();
    let prefix_value = map.required("prefix");
    let prefix = prefix_value.as_ref().and_then(|v| v.parse::<Ipv4Net>());
    let router = map.required("router").and_then(|v| v.parse::<Ipv4Addr>());
    let pools = map.required("pools").and_then(|v| v.as_list()).unwrap_or_default();
    let pools: Vec<Pool> = pools.iter().filter_map(|v| pool(v.as_map()?, prefix?)).collect();
    let networks = map.optional("networks").and_then(|v| v.parse_list::<Ipv4Net>()).unwrap_or_default();
    let lease = map.optional("lease").and_then(|v| v.as_duration());
    let stranger_lease = map.optional("stranger-lease").and_then(|v| v.as_duration());
    let domain = map.optional("domain").and_then(|v| {
        // A root or unreadable domain would turn endpoints' names off.
        v.parse::<hickory_proto::rr::Name>().filter(|n| {
            if n.is_root() {
                v.error("a domain has at least one label, for example office.example");
            }
            !n.is_root()
        })?;
        v.as_text()
    });
    let mtu = map.optional("mtu").and_then(|v| v.as_u64_in(576..=9000)).map(|n| n as u16);
    let strangers = map.optional("strangers-per-port").and_then(|v| v.as_u64_in(1..=1_000_000));
    let upstream = map.optional("dns").and_then(|v| v.parse_list::<SocketAddr>()).unwrap_or_default();
    let reader = map.reader();
    map.finish();
    let (prefix, router) = (prefix?, router?);
    if prefix.trunc() != prefix {
        let value = prefix_value?;
        value.error_with_help(format!("`{prefix}` has host bits set"), format!("write {}", prefix.trunc()));
    }
    let mut address = AddressConfig::flat(router, prefix);
    address.pools = pools;
    address.domain = domain;
    address.mtu = mtu;
    if let Some(lease) = lease {
        address.lease = lease;
    }
    if let Some(lease) = stranger_lease {
        address.stranger_lease = lease;
    }
    if let Some(n) = strangers {
        address.max_strangers_per_place = n as u32;
    }
    let host = portal.name.clone().unwrap_or_else(|| router.to_string());
    let scheme = if portal.files.is_some() { "https" } else { "http" };
    address.portal_api = Some(format!("{scheme}://{host}/captive-portal/api"));
    if let Err(e) = address.check() {
        reader.error(span, e.to_string());
    }
    let inner = std::iter::once(prefix).chain(networks).collect();
    Some(Network { address, inner, upstream })
}

fn pool(mut map: MapReader<'_>, prefix: Ipv4Net) -> Option<Pool> {
    let name = map.optional("name").and_then(|v| v.as_text()).unwrap_or_else(|| "default".into());
    let first = map.required("first").and_then(|v| v.parse::<Ipv4Addr>());
    let last = map.required("last").and_then(|v| v.parse::<Ipv4Addr>());
    map.finish();
    Some(Pool { name, prefix, first: first?, last: last? })
}

fn admission(mut map: MapReader<'_>) -> AdmissionConfig {
    let mut config = AdmissionConfig::default();
    let mut duration = |key, field: &mut Duration| {
        if let Some(d) = map.optional(key).and_then(|v| v.as_duration()) {
            *field = d;
        }
    };
    duration("session", &mut config.session);
    duration("readmit", &mut config.readmit);
    duration("lockout-window", &mut config.lockout.window);
    duration("lockout-time", &mut config.lockout.ban);
    let idle = map.optional("idle");
    if let Some((value, idle)) = idle.and_then(|v| v.as_duration().map(|d| (v, d))) {
        if idle < SHORTEST_IDLE && !idle.is_zero() {
            value.error_with_help(
                format!("`idle` is shorter than {} s", SHORTEST_IDLE.as_secs()),
                "traffic is counted every few seconds, so a shorter pause cannot be told from work; 0s is for never",
            );
        }
        config.idle = idle;
    }
    if let Some(n) = map.optional("lockout-attempts").and_then(|v| v.as_u64_in(1..=1000)) {
        config.lockout.attempts = n as u32;
    }
    map.finish();
    config
}

fn location(mut map: MapReader<'_>) -> Option<LocationRule> {
    let place = map.required("place").and_then(|v| v.parse());
    let name = map.required("name").and_then(|v| v.parse());
    let mac = map.optional("mac").and_then(|v| v.parse());
    let roles = map.optional("roles").and_then(|v| v.parse_list::<Name>()).unwrap_or_default();
    map.finish();
    Some(LocationRule { place: place?, name: name?, mac, roles: BTreeSet::from_iter(roles) })
}

type ReadSwitch = (SwitchConfig, SwitchAccess, Option<BridgeConfig>);

fn switch(mut map: MapReader<'_>, openflow: &[OpenFlowListener]) -> Option<ReadSwitch> {
    let name = map.required("name").and_then(|v| v.parse::<Name>());
    let dpid = map.required("dpid").and_then(|v| v.parse::<Dpid>());
    let role = match map.optional("role") {
        None => SwitchRole::Access,
        Some(v) => match v.as_str() {
            Some("access") => SwitchRole::Access,
            Some("node") => SwitchRole::Node,
            _ => {
                v.error("a switch's role is `access` or `node`");
                SwitchRole::Access
            }
        },
    };
    let protocol = protocol(&mut map, role);
    let database_value = map.optional("ovsdb");
    let database = database_value.as_ref().and_then(|v| v.as_text());
    let bridge = map.optional("bridge").and_then(|v| v.as_text());
    let datapath = map.optional("datapath").and_then(|v| v.as_text()).unwrap_or_else(|| "system".into());
    let controllers_value = map.optional("controllers");
    let controllers = controllers_value.as_ref().and_then(|v| v.parse_list::<String>());
    if let (Some(value), Some(list)) = (&controllers_value, &controllers) {
        controllers_fit(value, list, openflow);
    }
    let (mut ports, mut via, mut devices) = (Vec::new(), Vec::new(), Vec::new());
    for value in map.required("ports").and_then(|v| v.as_list()).unwrap_or_default() {
        let Some((port, device, leads_to)) = value.as_map().and_then(port) else { continue };
        if ports.iter().any(|p: &PortConfig| p.number == port.number || p.name == port.name) {
            value.error(format!("port `{}`: another port has the same name or number", port.name));
        }
        via.extend(leads_to.into_iter().map(|to| (to, port.number)));
        devices.push(BridgePort {
            number: port.number.0,
            device,
            internal: port.kind == PortKind::Service,
            mac: port.mac.map(|m| m.to_string()),
        });
        ports.push(port);
    }
    if let Some(database) = &database_value
        && controllers.is_none()
        && database.as_str().is_some_and(|d| !is_near(d))
        && openflow.iter().any(|l| l.address.ip().is_loopback() || l.address.ip().is_unspecified())
    {
        let own: Vec<String> = openflow.iter().map(|l| l.address.to_string()).collect();
        database.error_with_help(
            format!("a switch elsewhere does not find the node at {}", own.join(", ")),
            "list the node's address on the control network under `openflow`, or give the switch `controllers`",
        );
    }
    if protocol != Protocol::Ovs && ports.iter().any(|p| p.exit.as_ref().is_some_and(|e| e.mode == NatMode::Nat)) {
        let text = "an exit with `mode: nat` needs Open vSwitch, and this switch's `protocol` is another";
        map.reader().error(map.span(), text);
    }
    map.finish();
    let (name, dpid) = (name?, dpid?);
    let access = SwitchAccess {
        switch: name.clone(),
        dpid,
        database,
        bridge: bridge.unwrap_or_else(|| name.to_string()),
        controllers: controllers.unwrap_or_else(|| openflow.iter().map(OpenFlowListener::target).collect()),
    };
    let bridge = access.database.clone().map(|database| BridgeConfig {
        switch: name.clone(),
        dpid,
        database,
        bridge: access.bridge.clone(),
        datapath,
        controllers: access.controllers.clone(),
        ports: devices,
    });
    Some((SwitchConfig { name, dpid, role, ports, via, protocol }, access, bridge))
}

/// Whether a database is of this machine.
fn is_near(database: &str) -> bool {
    ["unix:", "tcp:127.", "tcp:[::1]", "ssl:127.", "ssl:[::1]"].iter().any(|near| database.starts_with(near))
}

/// A switch that speaks plain TCP to a port that asks for TLS, or the other way round, never comes in.
fn controllers_fit(value: &Value<'_>, controllers: &[String], openflow: &[OpenFlowListener]) {
    let offers = |transport| openflow.iter().any(|l| l.transport == transport);
    for target in controllers {
        match target.split_once(':') {
            Some(("tcp", rest)) if !offers(Transport::Tcp) => value.error_with_help(
                format!("`{target}` is plain TCP, and the node takes switches by TLS only"),
                format!(
                    "write ssl:{rest}, or let the node listen for it with `openflow: {{ listen: …, transport: tcp }}`"
                ),
            ),
            Some(("ssl", _)) if !offers(Transport::Tls) => value.error_with_help(
                format!("`{target}` is TLS, and the node takes switches by plain TCP only"),
                "leave out `transport: tcp` under `openflow`",
            ),
            Some(("tcp" | "ssl" | "unix", _)) => {}
            _ => value.error_with_help(format!("`{target}` is not a controller"), "write ssl:ADDRESS:6653"),
        }
    }
}

fn protocol(map: &mut MapReader<'_>, role: SwitchRole) -> Protocol {
    let Some(value) = map.optional("protocol") else { return Protocol::Ovs };
    let protocol = match value.as_str() {
        Some("ovs") => Protocol::Ovs,
        Some("openflow13") => Protocol::OpenFlow13,
        Some("auto") => Protocol::Auto,
        _ => {
            value.error("a switch's protocol is `ovs`, `openflow13` or `auto`");
            return Protocol::Ovs;
        }
    };
    if role == SwitchRole::Node && protocol != Protocol::Ovs {
        value.error_with_help(
            "the node's own bridge is Open vSwitch",
            "it translates addresses and sends strangers to the portal; leave `protocol` out here",
        );
        return Protocol::Ovs;
    }
    protocol
}

fn port(mut map: MapReader<'_>) -> Option<(PortConfig, String, Vec<Name>)> {
    let number = map.required("number").and_then(port_number);
    let name = map.required("name").and_then(|v| v.parse::<Name>());
    let device = map.optional("device").and_then(|v| v.as_text());
    let kind = match map.optional("kind") {
        None => PortKind::Access,
        Some(v) => match v.as_str() {
            Some("access") => PortKind::Access,
            Some("shared") => PortKind::Shared,
            Some("uplink") => PortKind::Uplink,
            Some("service") => PortKind::Service,
            Some("legacy") => PortKind::Legacy,
            _ => {
                v.error("a port's kind is `access`, `shared`, `uplink`, `service` or `legacy`");
                PortKind::Access
            }
        },
    };
    let to = map.optional("to").and_then(|v| v.parse_list::<Name>()).unwrap_or_default();
    let requests = map.optional("requests").and_then(|v| v.as_u64_in(1..=1_000_000)).map(|n| n as u32);
    let exit = (kind == PortKind::Legacy).then(|| exit(&mut map));
    map.finish();
    let (number, name) = (PortNo(u32::try_from(number?).ok()?), name?);
    let exit = match exit {
        Some(exit) => Some(exit?),
        None => None,
    };
    let mac = (kind == PortKind::Service).then_some(OWN_MAC);
    let device = device.unwrap_or_else(|| name.to_string());
    Some((PortConfig { number, name, kind, mac, exit, requests }, device, to))
}

fn port_number(value: Value<'_>) -> Option<u64> {
    let number = value.as_u64()?;
    if !(1..=HIGHEST_PORT).contains(&number) {
        value.error_with_help(
            format!("port number {number} is not from 1 to {HIGHEST_PORT}"),
            "meters are numbered after ports, with 14 bits for the port: give the port another OpenFlow number",
        );
        return None;
    }
    Some(number)
}

fn exit(map: &mut MapReader<'_>) -> Option<ExitConfig> {
    let address = map.required("address").and_then(|v| v.parse::<Ipv4Addr>());
    let gateway = map.required("gateway").and_then(|v| v.parse::<Ipv4Addr>());
    let networks = map.required("networks").and_then(|v| v.parse_list::<Ipv4Net>());
    let mode = map.required("mode").and_then(|v| match v.as_str() {
        Some("route") => Some(NatMode::Route),
        Some("nat") => Some(NatMode::Nat),
        _ => {
            v.error_with_help(
                "an exit's mode is `route` or `nat`",
                "`route` when the outside has a route back to the endpoints' addresses, `nat` when it has not",
            );
            None
        }
    });
    Some(ExitConfig { address: address?, gateway: gateway?, mode: mode?, networks: networks? })
}
