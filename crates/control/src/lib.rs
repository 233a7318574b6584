//! The controller's brain: inputs to decisions, decisions to effects
