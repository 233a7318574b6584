//! A client for the Open vSwitch database: JSON-RPC as in RFC 7047, over a unix socket, TCP or TLS, and on top of it
//! what FSEG needs of it: a bridge as specified ([`ensure_bridge`]), and gone ([`remove_bridge`]); and the TLS settings
//! that all bridges of an Open vSwitch share ([`ensure_tls`]).
//!
//! One task per connection reads, writes and answers the server's echo requests; a [`Client`] hands it calls. Nothing
//! reconnects by itself: whoever lost a connection knows best what it has to ask again.

mod bridge;
mod client;
mod connection;
mod error;
mod framing;
mod notation;
mod plan;
mod remote;
mod snapshot;
mod spec;
mod tls;

pub use bridge::{ensure_bridge, remove_bridge};
pub use client::{Client, Monitor, Tls};
pub use error::OvsdbError;
pub use plan::Applied;
pub use remote::Remote;
pub use spec::{BridgeSpec, PortSpec};
pub use tls::{TlsFiles, ensure_tls};
