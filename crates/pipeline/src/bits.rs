//! The one file that names the bits which travel with a packet through the tables.
//!
//! ```text
//!  metadata  63..48   47..46     45..24      23..22      21..0
//!            slice    src watch  src class   dst watch   dst class
//! ```
//! Plain OpenFlow 1.3 hardware has the 64-bit metadata field, and nothing else is needed there. Registers are used on
//! Open vSwitch only.

use fseg_model::{ClassId, SliceId, WatchLevel};
use fseg_openflow::{Field, Subfield};

/// Bits 0..=21: class of the destination.
pub const DESTINATION_CLASS: Subfield = Subfield::new(Field::Metadata, 0, 22);
/// Bits 0..=23: class and watch level of the destination.
pub const DESTINATION: Subfield = Subfield::new(Field::Metadata, 0, 24);
/// Bits 24..=47: class and watch level of the source.
pub const SOURCE: Subfield = Subfield::new(Field::Metadata, 24, 24);
/// Bits 24..=45: class of the source.
pub const SOURCE_CLASS: Subfield = Subfield::new(Field::Metadata, 24, 22);

/// Mask of slice, source watch and source class.
pub const SOURCE_MASK: u64 = 0xffff_ffff_ff00_0000;
/// Mask of destination watch and destination class.
pub const DESTINATION_MASK: u64 = 0x0000_0000_00ff_ffff;
/// Mask of slice and source class, as permits match them: at whatever watch level.
pub const PERMIT_SOURCE_MASK: u64 = 0xffff_0000_0000_0000 | CLASS_MASK << 24;
/// Mask of the destination class.
pub const PERMIT_DESTINATION_MASK: u64 = CLASS_MASK;
/// Mask of the slice.
pub const SLICE_MASK: u64 = 0xffff << 48;
const CLASS_MASK: u64 = 0x3f_ffff;

/// Slice, watch level and class of a source, in place.
pub fn source(slice: SliceId, watch: WatchLevel, class: ClassId) -> u64 {
    u64::from(slice.0) << 48 | (watch as u64) << 46 | u64::from(class.get()) << 24
}

/// Watch level and class of a destination, in place.
pub fn destination(watch: WatchLevel, class: ClassId) -> u64 {
    (watch as u64) << 22 | u64::from(class.get())
}

/// The class numbers in a metadata value: source, destination.
pub fn classes(metadata: u64) -> (u32, u32) {
    ((metadata >> 24 & CLASS_MASK) as u32, (metadata & CLASS_MASK) as u32)
}

/// The port a packet is to leave by; 0 for none.
pub const OUT_PORT: Field = Field::Reg(0);
/// Which network address translation a packet leaves through: an exit's number, or 0.
pub const EXIT: Field = Field::Reg(1);
/// 1 when the packet came from an outside network.
pub const OUTSIDE: Field = Field::Reg(2);
/// 1 for a later fragment of a datagram: it has no ports to be judged by.
pub const FRAGMENT: Field = Field::Reg(3);
/// Scratch while source and destination change places.
pub const SCRATCH: Field = Field::Reg(4);
/// Service port of the original direction (ICMP: type), in the low 16 bits.
pub const SERVICE_PORT: Field = Field::Reg(5);
/// IP protocol of the original direction, in the low 8 bits.
pub const SERVICE_PROTOCOL: Field = Field::Reg(6);

/// 1 when the packet passes only because something is observed and not enforced.
pub const OBSERVED: Field = Field::Reg(7);

/// Connection tracking zone of a slice.
pub fn zone(slice: SliceId) -> u16 {
    // Zone 0 is left to whoever else uses the switch; the portal and the exits have theirs at the top.
    (slice.0 % ZONE_PORTAL_BASE) + 1
}
const ZONE_PORTAL_BASE: u16 = 60_000;
/// Zone in which strangers' connections are redirected to the portal.
pub const ZONE_PORTAL: u16 = ZONE_PORTAL_BASE + 1;
/// Zone of an exit's address translation.
pub fn zone_exit(exit: u16) -> u16 {
    ZONE_PORTAL_BASE + 2 + exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_tile_the_word() {
        let all = ClassId::new(ClassId::MAX).unwrap();
        let s = source(SliceId(u16::MAX), WatchLevel::Inline, all);
        let d = destination(WatchLevel::Inline, all);
        assert_eq!(s & !SOURCE_MASK, 0);
        assert_eq!(d & !DESTINATION_MASK, 0);
        assert_eq!(SOURCE_MASK ^ DESTINATION_MASK, u64::MAX);
        assert_eq!(classes(s | d), (ClassId::MAX, ClassId::MAX));
        assert_eq!(PERMIT_SOURCE_MASK & (3 << 46), 0, "permits must not see the watch level");
    }
}
