//! `fsegd`: the shell around the controller: runtime, sockets, TLS, disk and clock.

pub mod dns;
pub mod http;
pub mod portal;
