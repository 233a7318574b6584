//! A run of bits within a field, as the Nicira actions name it.

use crate::error::DecodeError;
use crate::field::Field;

/// Bits `offset` to `offset + bits - 1` of a field, bit 0 being the least significant. Text: `NXM_NX_REG0[0..15]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subfield {
    /// The field.
    pub field: Field,
    /// The lowest bit.
    pub offset: u16,
    /// How many bits, from 1.
    pub bits: u16,
}

impl Subfield {
    /// `bits` bits of `field` from bit `offset` on.
    pub const fn new(field: Field, offset: u16, bits: u16) -> Self {
        Subfield { field, offset, bits }
    }

    /// All bits of `field`. Of a VLAN id these are 12: the bit that says "a tag is there" is not addressed. Of a tunnel
    /// option they are the 124 bytes it may have; name the bits it really has where they are loaded or moved.
    pub const fn whole(field: Field) -> Self {
        Subfield { field, offset: 0, bits: addressable(field) }
    }

    /// Whether all bits of the field are named.
    pub const fn is_whole(&self) -> bool {
        self.offset == 0 && self.bits == addressable(self.field)
    }

    /// The bits within the field.
    pub const fn mask(&self) -> u128 {
        let ones = if self.bits >= 128 { u128::MAX } else { (1 << self.bits) - 1 };
        if self.offset >= 128 { 0 } else { ones << self.offset }
    }

    /// Offset in the upper ten bits, length minus one in the lower six (`ofs_nbits` of nicira-ext.h).
    pub(crate) const fn packed(&self) -> u16 {
        self.offset << 6 | self.bits.saturating_sub(1) & 0x3f
    }

    pub(crate) const fn unpack(field: Field, packed: u16) -> Self {
        Subfield { field, offset: packed >> 6, bits: (packed & 0x3f) + 1 }
    }

    /// Refuses bits that the field does not have.
    pub(crate) fn checked(self, at: usize) -> Result<Self, DecodeError> {
        let width = match self.field {
            Field::TunMetadata(_) => 992,
            // Open vSwitch counts bytes here: 16 bits for a VLAN id, of which 13 may be set.
            field => field.bytes() * 8,
        };
        let end = usize::from(self.offset) + usize::from(self.bits);
        if self.bits == 0 || end > width {
            return Err(DecodeError::Length { what: "bits of a field", at, value: end });
        }
        Ok(self)
    }
}

/// How many bits of a field actions can name.
const fn addressable(field: Field) -> u16 {
    match field {
        Field::VlanVid => 12,
        Field::TunMetadata(_) => 992,
        field => field.width(),
    }
}
