//! What an administrator decides about a site before anything runs.

use std::net::Ipv4Addr;

use fseg_address::AddressConfig;
use fseg_admission::{AdmissionConfig, LocationRule};
use fseg_model::{Dpid, Mac, Name, PlacePath, PortKind, PortNo};
use fseg_pipeline::{NatMode, SwitchRole};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// One site.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SiteConfig {
    /// Its name: the first part of every place.
    pub site: Name,
    /// The virtual router's address.
    pub router: Ipv4Addr,
    /// Networks whose addresses belong to endpoints.
    pub inner: Vec<Ipv4Net>,
    /// The switches; exactly one has the role [`SwitchRole::Node`].
    pub switches: Vec<SwitchConfig>,
    /// Addresses.
    pub address: AddressConfig,
    /// Logins.
    pub admission: AdmissionConfig,
    /// Rules that name what is plugged in at a place.
    pub locations: Vec<LocationRule>,
    /// How many devices without a name one port may have at a time.
    pub strangers_per_port: usize,
}

/// One switch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SwitchConfig {
    /// Its name: the second part of a place.
    pub name: Name,
    /// Its datapath id.
    pub dpid: Dpid,
    /// What it is for.
    pub role: SwitchRole,
    /// Its ports.
    pub ports: Vec<PortConfig>,
    /// Which port leads to which other switch. One uplink and nothing here: that uplink leads to all.
    pub via: Vec<(Name, PortNo)>,
    /// What it speaks.
    pub protocol: Protocol,
}

/// What a switch is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// Open vSwitch with its extensions.
    #[default]
    Ovs,
    /// OpenFlow 1.3 and nothing else.
    OpenFlow13,
    /// It is asked whenever it connects.
    Auto,
}

/// One port.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PortConfig {
    /// Its number.
    pub number: PortNo,
    /// Its name: the third part of a place.
    pub name: Name,
    /// What is behind it.
    pub kind: PortKind,
    /// For the service port: the MAC address of the node's own network stack.
    pub mac: Option<Mac>,
    /// For legacy ports.
    pub exit: Option<ExitConfig>,
    /// How many packets a second it may send to the node (DHCP, first packets); `None` for the usual number.
    #[serde(default)]
    pub requests: Option<u32>,
}

/// How the outside is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExitConfig {
    /// The node's address there.
    pub address: Ipv4Addr,
    /// The next hop.
    pub gateway: Ipv4Addr,
    /// Whether inner addresses are visible there.
    pub mode: NatMode,
    /// Networks that are reached here; the longest prefix over all exits decides.
    pub networks: Vec<Ipv4Net>,
}

impl SwitchConfig {
    /// The port of that number.
    pub fn port(&self, number: PortNo) -> Option<&PortConfig> {
        self.ports.iter().find(|p| p.number == number)
    }
}

impl SiteConfig {
    /// A switch by its id.
    pub fn switch(&self, dpid: Dpid) -> Option<&SwitchConfig> {
        self.switches.iter().find(|s| s.dpid == dpid)
    }

    /// The name of a place.
    pub fn place(&self, location: fseg_model::Location) -> Option<PlacePath> {
        let switch = self.switch(location.switch)?;
        let port = switch.port(location.port)?;
        Some(PlacePath { site: self.site.clone(), switch: switch.name.clone(), port: port.name.clone() })
    }

    /// The place of a name.
    pub fn location(&self, place: &PlacePath) -> Option<fseg_model::Location> {
        let switch = self.switches.iter().find(|s| s.name == place.switch && self.site == place.site)?;
        let port = switch.ports.iter().find(|p| p.name == place.port)?;
        Some(fseg_model::Location { switch: switch.dpid, port: port.number })
    }

    /// How a switch is called, in sentences.
    pub fn switch_name(&self, dpid: Dpid) -> String {
        self.switch(dpid).map_or_else(|| dpid.to_string(), |s| s.name.to_string())
    }
}
