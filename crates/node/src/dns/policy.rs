//! What the forwarder needs of the node behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_proto::rr::Name;

/// How a client is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// No endpoint has this address: refused.
    Unknown,
    /// Not admitted: every name is the portal.
    Stranger,
    /// Admitted.
    Admitted,
}

/// The node as the forwarder sees it. Called for every query, so it must not wait: it reads a snapshot.
pub trait DnsPolicy: Send + Sync + 'static {
    /// How this client is treated.
    fn who(&self, client: IpAddr) -> Client;
    /// The addresses of the endpoint with this name (lower case, without the domain); `None` when there is no such
    /// endpoint, empty when it has no address now.
    fn lookup(&self, name: &str) -> Option<Vec<IpAddr>>;
    /// The name (without the domain) of the endpoint with this address.
    fn reverse(&self, address: IpAddr) -> Option<String>;
}

/// How the forwarder answers.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// The domain of endpoint names, fully qualified: `anna` is `anna.DOMAIN`.
    pub domain: Name,
    /// The portal's own DNS name, fully qualified, if it has one; answered for everybody.
    pub portal_name: Option<Name>,
    /// The portal's address.
    pub portal: Ipv4Addr,
    /// Resolvers for everything else, in order of preference. With none, names outside the domain fail.
    pub upstreams: Vec<SocketAddr>,
}
