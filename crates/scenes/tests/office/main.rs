//! The office with real switches, the real node and real clients: who reaches whom, faults, sessions, the operator.
//!
//! Needs root and the lab's tools, and `cargo build --bins` before it (`fsegd`, `fseg` and the lab's prober are run as
//! programs). Each test has a network of its own in private namespaces, so they run beside each other. Nothing here is
//! judged by how long it took: what is waited for is waited for generously.

mod change;
mod crash;
mod discovery;
mod domains;
mod everybody;
mod failure;
mod http;
mod openflow;
mod operator;
mod plain;
mod sessions;
mod support;
mod tls;
mod verify;
mod wire;
