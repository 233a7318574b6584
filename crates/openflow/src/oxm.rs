//! Flow matches: OpenFlow extensible match, OpenFlow 1.3.5 section 7.2.3.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------+-+---------------+
//! |             class             |    field    |M|    length     |  value, then mask if M
//! +-------------------------------+-------------+-+---------------+
//! ```

use crate::error::DecodeError;
use crate::field::{CLASS_EXPERIMENTER, Field};
use crate::wire::{Reader, Result, Writer};

/// The most fields that are read of one match. OpenFlow and Open vSwitch together have fewer than 200.
const MAX_FIELDS: usize = 512;

/// What a field must be: `value` exactly, or `value` in the bits of `mask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The bits, right-justified.
    pub value: u128,
    /// Which bits count; `None` means all of them.
    pub mask: Option<u128>,
}

impl Value {
    /// Whether `actual` satisfies this value.
    pub const fn matches(&self, actual: u128) -> bool {
        match self.mask {
            None => self.value == actual,
            Some(mask) => actual & mask == self.value,
        }
    }
}

/// A conjunction of field values. Canonical: sorted by field, values within their masks, full masks written as exact,
/// empty masks left out. Equal questions therefore compare equal.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    fields: Vec<(Field, Value)>,
    unnamed: Vec<UnnamedField>,
}

/// A field of a match that this library cannot keep as a number: one of more than 128 bits, or one without a name whose
/// mask is not in canonical form. It is kept as it came, and sent behind all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnnamedField {
    /// OXM class.
    pub class: u16,
    /// Field code within the class (7 bits).
    pub code: u8,
    /// The experimenter id where `class` is [`CLASS_EXPERIMENTER`].
    pub experimenter: Option<u32>,
    /// Whether the second half of `bytes` is a mask.
    pub masked: bool,
    /// The value, and the mask if there is one.
    pub bytes: Vec<u8>,
}

impl Match {
    /// The match that every packet satisfies.
    pub const fn new() -> Self {
        Match { fields: Vec::new(), unnamed: Vec::new() }
    }

    /// Requires `field` to be exactly `value`; replaces what was required of the field. Bits beyond the field's width
    /// are dropped.
    #[must_use]
    pub fn with(self, field: Field, value: impl Into<u128>) -> Self {
        self.with_masked(field, value, u128::MAX)
    }

    /// Requires `field` to be `value` in the bits of `mask`; replaces what was required of the field. A mask of all the
    /// field's bits is stored as exact, an empty one removes the field; the value is cut to the mask.
    #[must_use]
    pub fn with_masked(mut self, field: Field, value: impl Into<u128>, mask: impl Into<u128>) -> Self {
        self.set(field, value.into(), mask.into());
        self
    }

    /// Requires nothing of `field` any more.
    #[must_use]
    pub fn without(self, field: Field) -> Self {
        self.with_masked(field, 0u8, 0u8)
    }

    fn set(&mut self, field: Field, value: u128, mask: u128) {
        let mask = mask & field.full_mask();
        let value = Value { value: value & mask, mask: (mask != field.full_mask()).then_some(mask) };
        match self.fields.binary_search_by_key(&field, |(known, _)| *known) {
            Ok(place) if mask == 0 => drop(self.fields.remove(place)),
            Ok(place) => {
                if let Some((_, known)) = self.fields.get_mut(place) {
                    *known = value;
                }
            }
            Err(_) if mask == 0 => {}
            Err(place) => {
                if self.fields.capacity() == 0 {
                    self.fields.reserve_exact(6); // most matches have four to six fields: one allocation for all
                }
                self.fields.insert(place, (field, value));
            }
        }
    }

    /// What is required of `field`.
    pub fn get(&self, field: Field) -> Option<&Value> {
        let place = self.fields.binary_search_by_key(&field, |(known, _)| *known).ok()?;
        self.fields.get(place).map(|(_, value)| value)
    }

    /// The value of `field` if all its bits are required.
    pub fn exact(&self, field: Field) -> Option<u128> {
        self.get(field).filter(|value| value.mask.is_none()).map(|value| value.value)
    }

    /// The requirements, sorted by field: what a field needs comes before it. Without [`Match::unnamed`].
    pub fn iter(&self) -> std::slice::Iter<'_, (Field, Value)> {
        self.fields.iter()
    }

    /// What else is required, of fields that this library does not understand.
    pub fn unnamed(&self) -> &[UnnamedField] {
        &self.unnamed
    }

    /// Whether every packet matches.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.unnamed.is_empty()
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len() + self.unnamed.len()
    }

    /// The first field whose prerequisite is not in the match, with that prerequisite: a switch would refuse the match
    /// with `OFPBMC_BAD_PREREQ`.
    pub fn missing_prerequisite(&self) -> Option<(Field, Field)> {
        self.iter().find_map(|(field, _)| {
            let missing = field.prerequisites().iter().find(|(required, values)| {
                !self.get(*required).is_some_and(|value| match required {
                    Field::CtState => knows_tuple(value),
                    _ => values.is_empty() || value.mask.is_none() && values.contains(&value.value),
                })
            })?;
            Some((*field, missing.0))
        })
    }

    /// Appends `struct ofp_match`, padded to eight bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(1); // OFPMT_OXM
        out.u16(0);
        self.encode_fields(out);
        out.patch_length(start + 2, start);
        out.pad_from(start);
    }

    /// Appends the fields alone.
    pub(crate) fn encode_fields(&self, out: &mut Vec<u8>) {
        for (field, value) in self.iter() {
            encode_entry(*field, value.value, value.mask, out);
        }
        self.unnamed.iter().for_each(|field| field.encode(out));
    }

    /// Reads `struct ofp_match` with its padding.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Match> {
        let at = reader.at();
        let (type_, mut fields) = reader.type_length("match")?;
        if type_ != 1 {
            return Err(DecodeError::Unknown { what: "match type", at, value: type_.into() });
        }
        let padding = (fields.left() + 4).next_multiple_of(8) - fields.left() - 4;
        let matches = Match::decode_fields(&mut fields)?;
        reader.skip(padding, "match padding")?;
        Ok(matches)
    }

    /// Reads fields until the reader is empty.
    pub(crate) fn decode_fields(reader: &mut Reader<'_>) -> Result<Match> {
        let mut matches = Match::new();
        while !reader.is_empty() {
            let at = reader.at();
            if matches.len() >= MAX_FIELDS {
                return Err(DecodeError::TooMany { at, limit: MAX_FIELDS });
            }
            let twice = |class: u16, code: u8| {
                let value = u64::from(class) << 16 | u64::from(code) << 9;
                DecodeError::Unknown { what: "second occurrence of a match field", at, value }
            };
            match decode_entry(reader)? {
                Entry::Plain { field, value, mask } if matches.get(field).is_none() => {
                    matches.set(field, value, mask.unwrap_or(u128::MAX));
                }
                Entry::Plain { field, .. } => return Err(twice(field.header().0, field.header().1)),
                Entry::Unnamed(field) => {
                    let id = |field: &UnnamedField| (field.class, field.code, field.experimenter);
                    if matches.unnamed.iter().any(|known| id(known) == id(&field)) {
                        return Err(twice(field.class, field.code));
                    }
                    matches.unnamed.push(field);
                }
            }
        }
        Ok(matches)
    }
}

/// Whether a packet of this connection state has a connection, as Open vSwitch demands of a match on the original
/// direction: tracked, and either not invalid or something that only a valid packet can be.
fn knows_tuple(state: &Value) -> bool {
    const NEW_TO_REPLY: u128 = 0x0f;
    const INVALID: u128 = 0x10;
    const TRACKED: u128 = 0x20;
    let mask = state.mask.unwrap_or(u128::MAX);
    let not_invalid = mask & INVALID != 0 && state.value & INVALID == 0;
    state.value & TRACKED != 0 && (not_invalid || state.value & NEW_TO_REPLY != 0)
}

impl FromIterator<(Field, Value)> for Match {
    fn from_iter<I: IntoIterator<Item = (Field, Value)>>(iter: I) -> Self {
        let mut matches = Match::new();
        for (field, value) in iter {
            matches.set(field, value.value, value.mask.unwrap_or(u128::MAX));
        }
        matches
    }
}

impl<'a> IntoIterator for &'a Match {
    type Item = &'a (Field, Value);
    type IntoIter = std::slice::Iter<'a, (Field, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Length of one value on the wire. Tunnel options have no fixed length: a switch reads them right-justified, so the
/// shortest of 4, 8 and 16 bytes that holds value and mask is sent.
fn payload_len(field: Field, bits: u128) -> usize {
    match (field, bits.leading_zeros()) {
        (Field::TunMetadata(_), 96..) => 4,
        (Field::TunMetadata(_), 64..) => 8,
        _ => field.bytes(),
    }
}

/// Appends one header with value and mask.
pub(crate) fn encode_entry(field: Field, value: u128, mask: Option<u128>, out: &mut Vec<u8>) {
    let len = payload_len(field, value | mask.unwrap_or(0));
    let payload = if mask.is_some() { 2 * len } else { len };
    encode_header_with(field, mask.is_some(), payload, out);
    out.uint(value, len);
    if let Some(mask) = mask {
        out.uint(mask, len);
    }
}

/// Appends a header without value, as actions name fields: 4 bytes, 8 with an experimenter id.
pub(crate) fn encode_header(field: Field, out: &mut Vec<u8>) {
    let len = payload_len(field, 0);
    // Actions name the whole of a tunnel option; its header must carry the full length there.
    let len = if matches!(field, Field::TunMetadata(_)) { 124 } else { len };
    encode_header_with(field, false, len, out);
}

fn encode_header_with(field: Field, masked: bool, payload: usize, out: &mut Vec<u8>) {
    let (class, code) = field.header();
    let experimenter = field.experimenter();
    let length = payload + experimenter.map_or(0, |_| 4);
    out.u16(class);
    out.u8(code << 1 | u8::from(masked));
    out.u8(u8::try_from(length).unwrap_or(u8::MAX));
    if let Some(experimenter) = experimenter {
        out.u32(experimenter);
    }
}

impl UnnamedField {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let length = self.bytes.len() + self.experimenter.map_or(0, |_| 4);
        out.u16(self.class);
        out.u8(self.code << 1 | u8::from(self.masked));
        out.u8(u8::try_from(length).unwrap_or(u8::MAX));
        if let Some(experimenter) = self.experimenter {
            out.u32(experimenter);
        }
        out.bytes(&self.bytes);
    }
}

/// One header with value and mask.
pub(crate) enum Entry {
    /// A field whose value fits into a number.
    Plain { field: Field, value: u128, mask: Option<u128> },
    /// Any other.
    Unnamed(UnnamedField),
}

/// Reads one header with value and mask, as they stand on the wire.
pub(crate) fn decode_entry(reader: &mut Reader<'_>) -> Result<Entry> {
    let at = reader.at();
    let header = decode_raw_header(reader)?;
    let (masked, payload) = (header.masked, header.payload);
    if payload == 0 || masked && payload % 2 == 1 {
        return Err(DecodeError::Length { what: "match field", at, value: payload });
    }
    let len = if masked { payload / 2 } else { payload };
    let bytes = reader.take(payload, "match field value")?;
    let (value, mask) = bytes.split_at_checked(len).unwrap_or((bytes, &[]));
    let field = Field::from_header(header.class, header.code, header.experimenter, len);
    let (value, mask) = (to_uint(value), if masked { Some(to_uint(mask)) } else { None });
    // Of a field without a name nobody knows whether an empty mask means nothing: it stays.
    let canonical = match (field, value, mask) {
        (Field::Other { len, .. }, _, _) if len > 16 => false,
        (Field::Other { .. }, Some(value), Some(Some(mask))) => {
            mask != 0 && mask != field.full_mask() && value & !mask == 0
        }
        _ => true,
    };
    Ok(match (value, mask) {
        (Some(value), None) if canonical => Entry::Plain { field, value, mask: None },
        (Some(value), Some(Some(mask))) if canonical => Entry::Plain { field, value, mask: Some(mask) },
        _ => {
            let RawHeader { class, code, masked, experimenter, .. } = header;
            Entry::Unnamed(UnnamedField { class, code, experimenter, masked, bytes: bytes.to_vec() })
        }
    })
}

/// Reads a header as actions carry it: no value follows.
pub(crate) fn decode_header(reader: &mut Reader<'_>) -> Result<Field> {
    let at = reader.at();
    let header = decode_raw_header(reader)?;
    let field = Field::from_header(header.class, header.code, header.experimenter, header.payload);
    let wide = !matches!(field, Field::TunMetadata(_)) && header.payload > 16;
    if header.payload == 0 || header.masked || wide {
        return Err(DecodeError::Length { what: "field named by an action", at, value: header.payload });
    }
    Ok(field)
}

struct RawHeader {
    class: u16,
    code: u8,
    masked: bool,
    experimenter: Option<u32>,
    payload: usize,
}

fn decode_raw_header(reader: &mut Reader<'_>) -> Result<RawHeader> {
    let at = reader.at();
    let class = reader.u16("match field header")?;
    let code = reader.u8("match field header")?;
    let length = usize::from(reader.u8("match field header")?);
    let (experimenter, payload) = if class == CLASS_EXPERIMENTER {
        let Some(payload) = length.checked_sub(4) else {
            return Err(DecodeError::Length { what: "experimenter match field", at, value: length });
        };
        (Some(reader.u32("experimenter of a match field")?), payload)
    } else {
        (None, length)
    };
    Ok(RawHeader { class, code: code >> 1, masked: code & 1 == 1, experimenter, payload })
}

/// The bytes as a number, unless they need more than 128 bits.
fn to_uint(bytes: &[u8]) -> Option<u128> {
    let (high, low) = bytes.split_at_checked(bytes.len().saturating_sub(16))?;
    let fits = high.iter().all(|byte| *byte == 0);
    fits.then(|| low.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_canonical() {
        let masked = Match::new().with(Field::IpProto, 6u8).with_masked(Field::EthType, 0x0800u16, 0xffffu16);
        let plain = Match::new().with(Field::EthType, 0x0800u16).with(Field::IpProto, 6u8);
        assert_eq!(masked, plain);
        let cut = Match::new().with_masked(Field::Ipv4Src, 0x0a00_00ffu32, 0xffff_ff00u32);
        assert_eq!(cut.get(Field::Ipv4Src), Some(&Value { value: 0x0a00_0000, mask: Some(0xffff_ff00) }));
        assert!(cut.with_masked(Field::Ipv4Src, 1u8, 0u8).is_empty());
    }

    #[test]
    fn a_missing_prerequisite_is_named() {
        let matches = Match::new().with(Field::EthType, 0x0800u16).with(Field::TcpDst, 80u16);
        assert_eq!(matches.missing_prerequisite(), Some((Field::TcpDst, Field::IpProto)));
        assert_eq!(matches.with(Field::IpProto, 6u8).missing_prerequisite(), None);
        let original = Match::new().with(Field::EthType, 0x0800u16).with(Field::CtNwProto, 6u8);
        let with_state = |value: u8, mask: u8| original.clone().with_masked(Field::CtState, value, mask);
        let missing = Some((Field::CtNwProto, Field::CtState));
        assert_eq!(original.missing_prerequisite(), missing);
        assert_eq!(with_state(0x20, 0x20).missing_prerequisite(), missing, "+trk alone may be invalid");
        assert_eq!(with_state(0x20, 0x30).missing_prerequisite(), None, "+trk-inv");
        assert_eq!(with_state(0x22, 0x22).missing_prerequisite(), None, "+trk+est");
    }

    #[test]
    fn there_is_an_end_to_the_fields_of_a_match() {
        let fields: Vec<u8> =
            (0..600u16).flat_map(|number| [0x12, (number >> 7) as u8, ((number & 0x7f) << 1) as u8, 1, 7]).collect();
        let error = Match::decode_fields(&mut Reader::new(&fields)).unwrap_err();
        assert_eq!(error, DecodeError::TooMany { at: 5 * 512, limit: 512 });
    }

    #[test]
    fn the_specification_s_layout() {
        let mut out = Vec::new();
        Match::new().with(Field::InPort, 1u8).with_masked(Field::Metadata, 2u8, 0xffu8).encode(&mut out);
        let expected =
            [0, 1, 0, 32, 0x80, 0, 0, 4, 0, 0, 0, 1, 0x80, 0, 5, 16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xff];
        assert_eq!(out, expected);
    }

    #[test]
    fn a_field_twice_is_refused_and_a_wide_one_kept() {
        let twice = [0x80, 0, 10 << 1, 1, 6, 0x80, 0, 10 << 1, 1, 17];
        let error = Match::decode_fields(&mut Reader::new(&twice)).unwrap_err();
        assert!(matches!(error, DecodeError::Unknown { at: 5, .. }), "{error}");
        let mut wide = vec![0, 1, 40 << 1, 17, 1];
        wide.resize(4 + 17, 0);
        let unnamed = Match::decode_fields(&mut Reader::new(&wide)).unwrap();
        assert_eq!((unnamed.len(), unnamed.unnamed().len(), unnamed.is_empty()), (1, 1, false));
        let mut again = Vec::new();
        unnamed.unnamed()[0].encode(&mut again);
        assert_eq!(again, wide);
        wide[4] = 0;
        wide[20] = 9;
        assert_eq!(
            Match::decode_fields(&mut Reader::new(&wide)).unwrap(),
            Match::new().with(Field::TunMetadata(0), 9u8)
        );
    }
}
