//! Externals, services and streams of the policy in force, as listed.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An external of the policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExternalView {
    /// Its name.
    pub name: String,
    /// Its networks.
    pub networks: Vec<String>,
    /// Its domain names.
    pub domains: Vec<String>,
    /// Addresses that were learned by its domain names.
    pub addresses: Vec<LearnedView>,
    /// Permits that name it.
    pub permits: Vec<String>,
}

/// An outside address that was learned by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LearnedView {
    /// The address.
    #[schema(value_type = String, format = "ipv4")]
    pub address: Ipv4Addr,
    /// The names by which it was learned.
    pub names: Vec<LearnedName>,
    /// All externals it belongs to.
    pub externals: Vec<String>,
    /// Packets to and from it, at its exit.
    pub packets: u64,
    /// Bytes to and from it.
    pub bytes: u64,
}

/// A name by which an address was learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LearnedName {
    /// The name.
    pub name: String,
    /// For how many seconds the answer still holds; 0 when only use keeps the address.
    pub seconds: u64,
}

/// A service that a policy can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// What it covers, as terms.
    pub terms: Vec<String>,
    /// What it is, where FSEG brings it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// True when the policy in force defines it; otherwise it comes with FSEG.
    pub defined: bool,
    /// Permits that name it.
    pub permits: Vec<String>,
}

/// A multicast address that an endpoint wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamView {
    /// The streams it belongs to.
    pub streams: Vec<String>,
    /// The address.
    #[schema(value_type = String, format = "ipv4")]
    pub group: Ipv4Addr,
    /// Endpoints that may send it now.
    pub senders: Vec<String>,
    /// Endpoints that joined it and get it.
    pub receivers: Vec<String>,
    /// Endpoints that joined it and have no permit for it.
    pub denied: Vec<String>,
    /// Packets that its senders sent since the rows exist.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}
