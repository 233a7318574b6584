//! Tests of the whole machine, from bytes to effects.

mod client;
mod hostile;
mod life;
mod messages;
mod steps;
