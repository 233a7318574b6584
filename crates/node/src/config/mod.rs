//! `node.yaml`: what an administrator decides before the node starts.
//!
//! Read with the same reader as the policy, so errors show file, line, column and the line itself. The schema for editors
//! is `schema/node.schema.json`; a test keeps the two in step.

mod read;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use fseg_control::SiteConfig;
use fseg_model::{Dpid, Name};
use fseg_yaml::{Diagnostic, Limits, Reader, Source};

use crate::trust::Sharing;

/// Everything in the file.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The site: switches, addresses, admission.
    pub site: SiteConfig,
    /// Where committed state is kept.
    pub state: PathBuf,
    /// Where switches connect to.
    pub openflow: Vec<OpenFlowListener>,
    /// How each switch is reached and finds the node.
    pub access: Vec<SwitchAccess>,
    /// The local API socket.
    pub api_unix: PathBuf,
    /// The API over TLS, if it is offered.
    pub api_tls: Option<ApiTls>,
    /// The network's name as its users know it.
    pub network_name: String,
    /// The portal.
    pub portal: Portal,
    /// The DNS domain of endpoints' names.
    pub domain: Option<String>,
    /// Where names that are not of this network are asked for.
    pub upstream: Vec<SocketAddr>,
    /// Bridges the node creates and owns.
    pub bridges: Vec<BridgeConfig>,
    /// A policy to start with when none is committed yet.
    pub policy: Option<PathBuf>,
}

/// How switches talk to the node at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TLS, with a certificate of this node's for each switch.
    Tls,
    /// Plain TCP: whoever reaches the address can say that it is a switch.
    Tcp,
}

/// Where switches connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFlowListener {
    /// The address.
    pub address: SocketAddr,
    /// How they talk there.
    pub transport: Transport,
}

impl OpenFlowListener {
    /// As Open vSwitch takes it: `ssl:192.0.2.1:6653`.
    pub fn target(&self) -> String {
        match self.transport {
            Transport::Tls => format!("ssl:{}", self.address),
            Transport::Tcp => format!("tcp:{}", self.address),
        }
    }
}

/// How a switch is reached and finds the node: for its enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchAccess {
    /// The switch.
    pub switch: Name,
    /// Its datapath id.
    pub dpid: Dpid,
    /// Its database, where the node keeps the bridge.
    pub database: Option<String>,
    /// The bridge's name.
    pub bridge: String,
    /// Where it finds the node.
    pub controllers: Vec<String>,
}

impl SwitchAccess {
    /// True when the node itself installs the switch's certificate: it shares a machine with it.
    pub fn is_automatic(&self) -> bool {
        self.database.as_ref().is_some_and(|d| d.starts_with("unix:"))
            && self.controllers.iter().any(|c| c.starts_with("ssl:"))
    }
}

/// The captive portal.
#[derive(Debug, Clone, Default)]
pub struct Portal {
    /// Its DNS name, answered by the node's DNS.
    pub name: Option<String>,
    /// Certificate chain and key, which browsers trust for that name: then it is reached by TLS.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// The API over TLS.
#[derive(Debug, Clone)]
pub struct ApiTls {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate chain and key; a self-signed certificate is made when there are none.
    pub files: Option<(PathBuf, PathBuf)>,
    /// Names and addresses of a self-signed certificate.
    pub names: Vec<String>,
}

/// A bridge of an Open vSwitch that the node creates and owns.
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// The switch it is.
    pub switch: Name,
    /// Its datapath id.
    pub dpid: Dpid,
    /// The database: `unix:/run/openvswitch/db.sock`, `ssl:192.0.2.1:6640`.
    pub database: String,
    /// The bridge's name.
    pub bridge: String,
    /// `netdev` (userspace) or `system` (kernel).
    pub datapath: String,
    /// Where it finds its controller: `ssl:192.0.2.1:6653`.
    pub controllers: Vec<String>,
    /// Interfaces: OpenFlow number, device name, Open vSwitch type, MAC address.
    pub ports: Vec<BridgePort>,
}

/// An interface of a bridge.
#[derive(Debug, Clone)]
pub struct BridgePort {
    /// OpenFlow port number.
    pub number: u32,
    /// The network device.
    pub device: String,
    /// True for the node's own port, which the bridge makes.
    pub internal: bool,
    /// The MAC address to give it.
    pub mac: Option<String>,
}

impl NodeConfig {
    /// The file's settings, or all that is wrong with it.
    pub fn parse(source: &Source) -> Result<Self, Vec<Diagnostic>> {
        let reader = Reader::new(source);
        let root = reader.parse(Limits::default());
        let config = root.as_ref().and_then(|root| read::node(reader.value(root)));
        let failed = reader.has_errors();
        match config {
            Some(config) if !failed => Ok(config),
            _ => Err(reader.into_diagnostics()),
        }
    }

    /// The switches that share a switch's Open vSwitch, and with it its certificate; the first of them names it.
    pub fn sharing(&self, switch: &Name) -> Option<Sharing> {
        let this = self.access.iter().find(|a| a.switch == *switch)?;
        let beside = |a: &&SwitchAccess| a.switch == *switch || (a.database.is_some() && a.database == this.database);
        let all: Vec<_> = self.access.iter().filter(beside).collect();
        let first = all.first()?;
        Some(Sharing { switch: first.switch.clone(), dpids: all.iter().map(|a| a.dpid).collect() })
    }

    /// The device of the node's own port, and the network to put on it.
    pub fn own_port(&self) -> Option<(&str, IpAddr, u8)> {
        let port = self.bridges.iter().flat_map(|b| &b.ports).find(|p| p.internal)?;
        Some((&port.device, self.site.router.into(), self.site.address.subnet_prefix_len))
    }
}

#[cfg(test)]
pub(crate) mod tests;
