//! The DNS forwarder on the router's address (RFC 1035; RFC 7766 for TCP; RFC 6891 for EDNS).
//!
//! Three kinds of clients get three different answers. Who is unknown is refused. Strangers are told that every name is
//! the portal, and nothing of theirs ever leaves the node, so DNS is no tunnel out. Who is admitted gets the names and
//! addresses of endpoints from the node itself, and everything else from the upstream resolvers, through a small cache.

mod answer;
mod cache;
mod learn;
mod policy;
mod rate;
mod request;
mod server;
mod upstream;

#[cfg(test)]
mod tests;

pub use policy::{Client, DnsConfig, DnsPolicy};
pub use server::serve;
