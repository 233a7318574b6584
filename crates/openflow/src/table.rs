//! Tables: modification, statistics, features (OpenFlow 1.3.5 sections 7.3.3, 7.3.5.4, 7.3.5.5).

use crate::error::DecodeError;
use crate::field::{CLASS_EXPERIMENTER, Field};
use crate::wire::{Reader, Result, Writer};

/// `OFPT_TABLE_MOD`; without meaning in OpenFlow 1.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TableMod {
    /// The table, or [`crate::flow::TABLE_ALL`].
    pub table: u8,
    /// Bits that are all deprecated.
    pub config: u32,
}

impl TableMod {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.table);
        out.zeros(3);
        out.u32(self.config);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let table = reader.u8("table")?;
        reader.skip(3, "table-mod padding")?;
        Ok(TableMod { table, config: reader.u32("table config")? })
    }
}

/// `struct ofp_table_stats`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TableStats {
    /// The table.
    pub table: u8,
    /// Rows in it.
    pub active_count: u32,
    /// Packets looked up.
    pub lookup_count: u64,
    /// Packets that matched a row.
    pub matched_count: u64,
}

impl TableStats {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.table);
        out.zeros(3);
        out.u32(self.active_count);
        out.u64(self.lookup_count);
        out.u64(self.matched_count);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let table = reader.u8("table")?;
        reader.skip(3, "table statistics padding")?;
        Ok(TableStats {
            table,
            active_count: reader.u32("row count")?,
            lookup_count: reader.u64("lookup count")?,
            matched_count: reader.u64("match count")?,
        })
    }
}

/// `struct ofp_table_features`: what a table can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TableFeatures {
    /// The table.
    pub table: u8,
    /// Its name, at most 31 bytes.
    pub name: String,
    /// Bits of metadata it can match.
    pub metadata_match: u64,
    /// Bits of metadata it can write.
    pub metadata_write: u64,
    /// Bits that are all deprecated.
    pub config: u32,
    /// How many rows it takes.
    pub max_entries: u32,
    /// What it can do.
    pub properties: Vec<TableProperty>,
}

/// The type of an instruction or action that a table supports.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SupportedType {
    /// Its number; 0xffff means an experimenter's.
    pub type_: u16,
    /// What an experimenter's says about itself, beginning with its id of four bytes; empty otherwise.
    pub experimenter: Vec<u8>,
}

impl From<u16> for SupportedType {
    fn from(type_: u16) -> Self {
        SupportedType { type_, experimenter: Vec::new() }
    }
}

impl PartialEq<u16> for SupportedType {
    fn eq(&self, type_: &u16) -> bool {
        self.type_ == *type_ && self.experimenter.is_empty()
    }
}

/// A property of a table. `miss` tells whether it is about the row for misses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TableProperty {
    /// Instruction types.
    Instructions {
        /// About the row for misses.
        miss: bool,
        /// Numbers as in [`crate::Instruction`].
        types: Vec<SupportedType>,
    },
    /// Tables that can follow.
    NextTables {
        /// About the row for misses.
        miss: bool,
        /// Their numbers.
        tables: Vec<u8>,
    },
    /// Action types in write-actions.
    WriteActions {
        /// About the row for misses.
        miss: bool,
        /// Action types.
        types: Vec<SupportedType>,
    },
    /// Action types in apply-actions.
    ApplyActions {
        /// About the row for misses.
        miss: bool,
        /// Action types.
        types: Vec<SupportedType>,
    },
    /// Fields it matches, each with whether a mask is possible.
    Match(Vec<(Field, bool)>),
    /// Fields that may be left out.
    Wildcards(Vec<(Field, bool)>),
    /// Fields that write-actions can set.
    WriteSetField {
        /// About the row for misses.
        miss: bool,
        /// The fields.
        fields: Vec<(Field, bool)>,
    },
    /// Fields that apply-actions can set.
    ApplySetField {
        /// About the row for misses.
        miss: bool,
        /// The fields.
        fields: Vec<(Field, bool)>,
    },
    /// A property this library has no name for.
    Unknown {
        /// Its type.
        type_: u16,
        /// The rest of it, without padding.
        body: Vec<u8>,
    },
}

impl TableProperty {
    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let type_ = match self {
            TableProperty::Instructions { miss, .. } => u16::from(*miss),
            TableProperty::NextTables { miss, .. } => 2 + u16::from(*miss),
            TableProperty::WriteActions { miss, .. } => 4 + u16::from(*miss),
            TableProperty::ApplyActions { miss, .. } => 6 + u16::from(*miss),
            TableProperty::Match(_) => 8,
            TableProperty::Wildcards(_) => 10,
            TableProperty::WriteSetField { miss, .. } => 12 + u16::from(*miss),
            TableProperty::ApplySetField { miss, .. } => 14 + u16::from(*miss),
            TableProperty::Unknown { type_, .. } => *type_,
        };
        out.u16(type_);
        out.u16(0);
        match self {
            TableProperty::Instructions { types, .. }
            | TableProperty::WriteActions { types, .. }
            | TableProperty::ApplyActions { types, .. } => {
                for type_ in types {
                    let start = out.len();
                    out.u16(type_.type_);
                    out.u16(0);
                    out.bytes(&type_.experimenter);
                    out.patch_length(start + 2, start);
                }
            }
            TableProperty::NextTables { tables, .. } => out.bytes(tables),
            TableProperty::Match(fields)
            | TableProperty::Wildcards(fields)
            | TableProperty::WriteSetField { fields, .. }
            | TableProperty::ApplySetField { fields, .. } => {
                fields.iter().for_each(|(field, maskable)| encode_field(*field, *maskable, out));
            }
            TableProperty::Unknown { body, .. } => out.bytes(body),
        }
        out.patch_length(start + 2, start);
        out.pad_from(start);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (type_, mut body) = reader.type_length("table property")?;
        let length = body.left() + 4;
        let mut whole = body.clone();
        let body = &mut body;
        let miss = type_ & 1 == 1;
        let property = match type_ {
            0 | 1 => TableProperty::Instructions { miss, types: decode_types(body)? },
            2 | 3 => TableProperty::NextTables { miss, tables: body.rest().to_vec() },
            4 | 5 => TableProperty::WriteActions { miss, types: decode_types(body)? },
            6 | 7 => TableProperty::ApplyActions { miss, types: decode_types(body)? },
            8 => TableProperty::Match(decode_fields(body)?),
            10 => TableProperty::Wildcards(decode_fields(body)?),
            12 | 13 => TableProperty::WriteSetField { miss, fields: decode_fields(body)? },
            14 | 15 => TableProperty::ApplySetField { miss, fields: decode_fields(body)? },
            _ => TableProperty::Unknown { type_, body: body.rest().to_vec() },
        };
        reader.skip(length.next_multiple_of(8) - length, "table property padding")?;
        // A field without a name whose length cannot be repeated: the property stays as it came.
        let keeps = |field: &Field| !matches!(field, Field::Other { len, .. } if !(1..=16).contains(len));
        if property.fields().iter().all(|(field, _)| keeps(field)) {
            return Ok(property);
        }
        Ok(TableProperty::Unknown { type_, body: whole.rest().to_vec() })
    }

    /// The fields of a property that lists fields, each with whether a mask is possible.
    pub fn fields(&self) -> &[(Field, bool)] {
        match self {
            TableProperty::Match(fields)
            | TableProperty::Wildcards(fields)
            | TableProperty::WriteSetField { fields, .. }
            | TableProperty::ApplySetField { fields, .. } => fields,
            _ => &[],
        }
    }
}

/// Types of instructions or actions.
fn decode_types(reader: &mut Reader<'_>) -> Result<Vec<SupportedType>> {
    let mut types = Vec::new();
    while !reader.is_empty() {
        let (type_, mut rest) = reader.type_length("supported type")?;
        types.push(SupportedType { type_, experimenter: rest.rest().to_vec() });
    }
    Ok(types)
}

fn encode_field(field: Field, maskable: bool, out: &mut Vec<u8>) {
    let (class, code) = field.header();
    // A tunnel option is as long as it can be.
    let bytes = if matches!(field, Field::TunMetadata(_)) { 124 } else { field.bytes() };
    let values = if maskable { 2 * bytes } else { bytes };
    let length = values + field.experimenter().map_or(0, |_| 4);
    out.u16(class);
    out.u8(code << 1 | u8::from(maskable));
    out.u8(u8::try_from(length).unwrap_or(u8::MAX));
    if let Some(experimenter) = field.experimenter() {
        out.u32(experimenter);
    }
}

/// Field headers without values. Switches disagree whether a maskable field's length counts the mask: both are taken.
fn decode_fields(reader: &mut Reader<'_>) -> Result<Vec<(Field, bool)>> {
    let mut fields = Vec::new();
    while !reader.is_empty() {
        let class = reader.u16("supported field")?;
        let code = reader.u8("supported field")?;
        let length = usize::from(reader.u8("supported field")?);
        let is_experimenter = class == CLASS_EXPERIMENTER;
        let experimenter = if is_experimenter { Some(reader.u32("experimenter of a field")?) } else { None };
        let payload = if is_experimenter { length.saturating_sub(4) } else { length };
        let (code, maskable) = (code >> 1, code & 1 == 1);
        let field = match Field::from_header(class, code, experimenter, payload) {
            Field::Other { .. } if maskable && payload % 2 == 0 => {
                Field::from_header(class, code, experimenter, payload / 2)
            }
            Field::Other { class, field, experimenter, .. } if maskable => {
                Field::Other { class, field, experimenter, len: 0 }
            }
            field => field,
        };
        fields.push((field, maskable));
    }
    Ok(fields)
}

impl TableFeatures {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(0);
        out.u8(self.table);
        out.zeros(5);
        out.text(&self.name, 32);
        out.u64(self.metadata_match);
        out.u64(self.metadata_write);
        out.u32(self.config);
        out.u32(self.max_entries);
        self.properties.iter().for_each(|property| property.encode(out));
        out.patch_length(start, start);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let at = reader.at();
        let length = usize::from(reader.u16("table features length")?);
        let Some(rest) = length.checked_sub(2) else {
            return Err(DecodeError::Length { what: "table features", at, value: length });
        };
        let mut body = reader.sub(rest, "table features")?;
        let table = body.u8("table")?;
        body.skip(5, "table features padding")?;
        let mut features = TableFeatures {
            table,
            name: body.text(32, "table name")?,
            metadata_match: body.u64("metadata bits")?,
            metadata_write: body.u64("metadata bits")?,
            config: body.u32("table config")?,
            max_entries: body.u32("table size")?,
            properties: Vec::new(),
        };
        while !body.is_empty() {
            features.properties.push(TableProperty::decode(&mut body)?);
        }
        Ok(features)
    }
}
