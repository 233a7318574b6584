//! Properties that this library has no name for.

/// A property (type, length, value) of a queue or a packet-in that this library has no name for, kept as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownProperty {
    /// Its type; 0xffff means an experimenter's.
    pub type_: u16,
    /// Everything behind its length, without padding.
    pub body: Vec<u8>,
}
