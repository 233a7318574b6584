//! One function per decoder of bytes that strangers send. Each takes any bytes, and panics where a promise of the decoder
//! is broken: that alone is a failure.
//!
//! `fuzz/fuzz_targets` has a program for each, a single call, which libFuzzer feeds; `fuzz/corpus` keeps the input that
//! reached something new. The test beside this file replays that input, and a little more of its kind, in every
//! `make test`. To add a decoder: a function here and in [`TARGETS`], a program, a corpus of a few good inputs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a panic is how a target fails")]

mod dhcp;
mod openflow;
mod text;
mod wire;

pub use dhcp::dhcp;
pub use openflow::{openflow_message, openflow_row, openflow_stream};
pub use text::{policy, yaml};
pub use wire::{frame, packets};

/// A target: its name, which is that of its program and its corpus, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("openflow_message", openflow_message),
    ("openflow_stream", openflow_stream),
    ("openflow_row", openflow_row),
    ("frame", frame),
    ("packets", packets),
    ("dhcp", dhcp),
    ("yaml", yaml),
    ("policy", policy),
];
