//! Do the crates keep to the layers that `docs/architecture.md` draws?
//!
//! The table of crates on that page is the rule: [`plan`] reads it, [`graph`] compares it with what Cargo says the
//! crates depend on, and [`source`] looks into the pure ones for what belongs to shells: sockets, files, clocks, threads.

pub mod graph;
pub mod plan;
pub mod source;
