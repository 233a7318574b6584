//! Frames and small protocols to values and back
