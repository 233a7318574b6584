//! The REST API: authentication, limits and JSON around a [`NodeService`].
//!
//! The routes are those of [`fseg_api::OPERATIONS`]; who may use which is checked in one place, before a body is read.
//! Two ways in: the node's own unix socket ([`serve_unix`]), where root and the daemon's user need no token, and TLS
//! ([`serve_tls`]). HTTP/1.1 only (RFC 9112).

mod auth;
mod body;
mod events;
mod handlers;
mod limit;
mod router;
mod serve;
mod service;
mod tls;

#[cfg(test)]
pub(crate) mod tests;

pub use auth::{Caller, Peer, TokenHash, new_token};
pub use limit::{Slot, Slots};
pub use router::router;
pub use serve::{Shutdown, bind_unix, serve_tls, serve_unix, stopped};
pub use service::{Answer, NodeService, Page};
pub use tls::{TlsError, TlsIdentity, TlsSource};

pub(crate) use serve::{ConnectionLimits, drain, next, serve_connection};
