//! Proof, over all packets, that the rows a switch holds treat them exactly as facts and policy say.
//!
//! Pure. [`Facts`] say what is true, [`spec`] what follows from it for every table, [`treatment`] what rows do, and
//! [`diagram`] compares the two for every packet there can be. [`Verifier`] puts them together, table part by table part,
//! and remembers which parts it has proved.

pub mod diagram;
mod domain;
pub mod facts;
pub mod packet;
pub mod report;
pub mod space;
pub mod spec;
pub mod treatment;
pub mod verifier;

pub use facts::Facts;
pub use packet::Witness;
pub use report::{Blame, Finding, Report};
pub use verifier::{Part, Verifier};
