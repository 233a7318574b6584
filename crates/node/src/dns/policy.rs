//! What the forwarder needs of the node behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures::future::BoxFuture;
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
    /// Whether an external lists this name (lower case, without the final dot): then its addresses must be learned before
    /// they are told.
    fn is_watched(&self, name: &str) -> bool;
    /// An endpoint is about to be told these addresses of a watched name, each with its time in seconds. Comes back when the
    /// switches know them, with the addresses that must not be told; `None` when that takes too long.
    fn learn(
        &self,
        client: IpAddr,
        name: String,
        addresses: Vec<(Ipv4Addr, u32)>,
    ) -> BoxFuture<'_, Option<Vec<Ipv4Addr>>>;
}

/// How the forwarder answers.
#[derive(Debug, Clone)]
pub struct DnsConfig {
    /// The domain of endpoint names: `anna` is `anna.DOMAIN`. With the root, endpoints have no names in DNS.
    pub domain: Name,
    /// The portal's own DNS name, if it has one; answered for everybody.
    pub portal_name: Option<Name>,
    /// The portal's address.
    pub portal: Ipv4Addr,
    /// Resolvers for everything else, in order of preference. With none, names outside the domain fail.
    pub upstreams: Vec<SocketAddr>,
}

impl DnsConfig {
    /// The same with fully qualified names: what was written without the final dot never equals a name off the wire.
    pub(super) fn qualified(mut self) -> Self {
        self.domain.set_fqdn(true);
        if let Some(name) = &mut self.portal_name {
            name.set_fqdn(true);
        }
        self
    }
}
