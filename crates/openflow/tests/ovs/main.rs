//! Against the real Open vSwitch: `ovs-ofctl` as the oracle of bytes and text, over generated messages and over what a
//! switch of our own sends. Without an installed Open vSwitch (and, for the switch, without root) these tests say so and
//! check nothing; `FSEG_LAB_REQUIRED=1` makes that a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../round_trip/actions.rs"]
#[allow(dead_code, reason = "shared with the round trips")]
mod actions;
mod corpus;
mod generated;
mod live;
#[path = "../round_trip/messages.rs"]
#[allow(dead_code, reason = "shared with the round trips")]
mod messages;
mod oracle;
mod sane;
mod sane_actions;
mod switch;
