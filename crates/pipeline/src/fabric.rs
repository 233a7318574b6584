//! The facts rows are made from: switches, ports, endpoints, externals, permits.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use fseg_model::{ClassId, Dpid, EndpointId, Location, Mac, PortKind, PortNo, ServiceTerm, SliceId, WatchLevel};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use crate::profile::Profile;

/// All switches of a site and what they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fabric {
    /// The virtual router's address: gateway, DNS server and portal of every endpoint.
    pub router: Ipv4Addr,
    /// Networks whose addresses belong to endpoints. Never believed from outside, never routed outside.
    pub inner: Vec<Ipv4Net>,
    /// Every switch.
    pub switches: BTreeMap<Dpid, SwitchFacts>,
    /// The switch that has the node's own port.
    pub node: Dpid,
}

/// What a switch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SwitchRole {
    /// Endpoints are attached here.
    Access,
    /// The node's own bridge.
    Node,
}

/// One switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchFacts {
    /// Datapath id.
    pub dpid: Dpid,
    /// A small number unique among the fabric's switches: part of its MAC address.
    pub number: u16,
    /// What it is for.
    pub role: SwitchRole,
    /// Its ports.
    pub ports: Vec<PortFacts>,
    /// By which port each other switch is reached. Empty entry: not reachable.
    pub via: BTreeMap<Dpid, PortNo>,
    /// Which rows it is given.
    pub profile: Profile,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortFacts {
    /// Its number.
    pub number: PortNo,
    /// What is behind it.
    pub kind: PortKind,
    /// For service ports: the MAC address of the node's network stack.
    pub mac: Option<Mac>,
    /// For legacy ports: how the outside is reached.
    pub exit: Option<Exit>,
}

/// A way out of the fabric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// A number from 1, unique in the site: selects the translation zone.
    pub number: u16,
    /// The node's own address on that network.
    pub address: Ipv4Addr,
    /// The next hop's address.
    pub gateway: Ipv4Addr,
    /// The next hop's MAC address, once it is known.
    pub gateway_mac: Option<Mac>,
    /// Whether inner addresses are visible outside.
    pub mode: NatMode,
}

/// Whether inner addresses are visible outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatMode {
    /// Yes: the outside has a route back.
    Route,
    /// No: translated to the exit's address.
    Nat,
}

/// One endpoint's place, addresses and class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointFacts {
    /// Its number.
    pub id: EndpointId,
    /// Its slice.
    pub slice: SliceId,
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Where it is.
    pub location: Location,
    /// Its class; [`ClassId::STRANGER`] until it has a name.
    pub class: ClassId,
    /// How closely it is watched.
    pub watch: WatchLevel,
}

/// One prefix of the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalFacts {
    /// The prefix.
    pub prefix: IpNet,
    /// The class that stands for the externals that list it.
    pub class: ClassId,
    /// Its slice.
    pub slice: SliceId,
    /// Through which switch and port it is reached; `None` when no exit leads there.
    pub exit: Option<Location>,
}

/// One permit, as classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitFacts {
    /// Its durable number.
    pub number: u32,
    /// The slice.
    pub slice: SliceId,
    /// Classes that contain a source group.
    pub from: Vec<ClassId>,
    /// Classes that contain a destination group.
    pub to: Vec<ClassId>,
    /// What may be used.
    pub terms: Vec<ServiceTerm>,
    /// Its place among the permits on trial, from [`crate::rows::trial_places`]; `None` when it is not. New connections that
    /// pass by a permit on trial alone are shown to the node.
    pub trial: Option<u16>,
}

/// The node's port at which strangers' redirected web requests arrive. Not 80: a request made to the portal itself and one
/// that was redirected must never look alike to connection tracking.
pub const REDIRECT_PORT: u16 = 81;

/// A port of the node where nobody listens: strangers' TLS is redirected here, to be refused at once.
pub const CLOSED_PORT: u16 = 4;

/// Networks nobody is reached at, with prefix lengths: multicast and broadcast, loopback, "this network", link-local.
pub const NEVER_FORWARDED: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(224, 0, 0, 0), 3),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
];

/// Whether packets to an address are forwarded to nobody, whatever the policy says.
pub fn is_never_forwarded(address: Ipv4Addr) -> bool {
    NEVER_FORWARDED.iter().any(|(network, len)| (address.to_bits() ^ network.to_bits()) >> (32 - u32::from(*len)) == 0)
}

/// The MAC address of the virtual router, the same on every switch.
pub const ROUTER_MAC: Mac = Mac([0x02, 0xf5, 0xe6, 0, 0, 1]);

/// The MAC address under which the node's own services speak to other switches: it carries the class *node*.
pub const SERVICE_MAC: Mac = Mac([0x02, 0xf5, 0xe6, 2, 0, 1]);

/// The MAC address of streams between switches.
pub const STREAM_MAC: Mac = Mac([0x03, 0xf5, 0xe6, 1, 0, 0]);

impl SwitchFacts {
    /// The address by which other switches reach this one.
    pub fn fabric_mac(&self) -> Mac {
        let [hi, lo] = self.number.to_be_bytes();
        Mac([0x02, 0xf5, 0xe6, 1, hi, lo])
    }

    /// Ports of a kind.
    pub fn ports_of(&self, kind: PortKind) -> impl Iterator<Item = &PortFacts> {
        self.ports.iter().filter(move |p| p.kind == kind)
    }

    /// The port of that number.
    pub fn port(&self, number: PortNo) -> Option<&PortFacts> {
        self.ports.iter().find(|p| p.number == number)
    }
}

impl Fabric {
    /// A switch by its id.
    pub fn switch(&self, dpid: Dpid) -> Option<&SwitchFacts> {
        self.switches.get(&dpid)
    }

    /// The way from one switch to another: the port, and the address the frame must carry.
    pub fn way(&self, from: Dpid, to: Dpid) -> Option<(PortNo, Mac)> {
        let port = self.switch(from)?.via.get(&to)?;
        Some((*port, self.switch(to)?.fabric_mac()))
    }
}
