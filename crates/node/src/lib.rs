//! `fsegd`: the shell around the controller: runtime, sockets, TLS, disk and clock.

pub mod backlog;
pub mod bridges;
pub mod config;
pub mod core;
pub mod dns;
pub mod http;
pub mod outlets;
pub mod persist;
pub mod portal;
pub mod proof;
pub mod recording;
pub mod run;
pub mod service;
pub mod switches;
pub mod trust;
