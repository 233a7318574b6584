//! What a switch can do, and rows cut to it.
//!
//! There is one program of tables and two profiles of it. [`Profile::Ovs`] uses what Open vSwitch adds: registers, connection
//! tracking, conjunctions, bundles. [`Profile::OpenFlow13`] keeps to what every OpenFlow 1.3 switch may be asked for, within
//! the [`Capabilities`] that this one tells (OpenFlow 1.3.5, 7.3.5.5 "Table Features").

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fseg_openflow::table::{TableFeatures, TableProperty};
use fseg_openflow::{Action, Field, Instruction};

use crate::cookie::Owner;
use crate::desired::Row;
use crate::table::{PLAIN, Table};

/// Which rows a switch is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Profile {
    /// Open vSwitch with all its extensions.
    #[default]
    Ovs,
    /// OpenFlow 1.3 and nothing else, as far as this switch goes.
    OpenFlow13(Capabilities),
}

impl Profile {
    /// The capabilities of a plain switch; `None` for Open vSwitch, which has them all.
    pub fn plain(&self) -> Option<&Capabilities> {
        match self {
            Self::Ovs => None,
            Self::OpenFlow13(capabilities) => Some(capabilities),
        }
    }

    /// The rows as this switch can take them, and what it cannot.
    pub fn fit(&self, rows: Vec<Row>) -> (Vec<Row>, Vec<Misfit>) {
        let Some(capabilities) = self.plain() else { return (rows, vec![]) };
        let mut misfits = Vec::new();
        let mut fitting = Vec::with_capacity(rows.len());
        for row in rows {
            let owner = row.owner;
            let table = row.key.table;
            match capabilities.fit(row) {
                Ok(row) => fitting.push(row),
                Err(why) => misfits.push(Misfit { owner, table, why }),
            }
        }
        (fitting, misfits)
    }
}

/// The name in the configuration and in listings.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ovs => "ovs",
            Self::OpenFlow13(_) => "openflow13",
        })
    }
}

/// A row that a switch cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Whose row.
    pub owner: Owner,
    /// Where it would have been.
    pub table: Table,
    /// What the table lacks, for people.
    pub why: String,
}

/// What a plain switch can do. What it does not tell is taken for possible; it may still refuse a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Its tables by number; empty when it did not tell.
    pub tables: BTreeMap<u8, TableCapability>,
    /// Whether it has meters.
    pub meters: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { tables: BTreeMap::new(), meters: true }
    }
}

/// What one table can do. `None` where the switch told nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableCapability {
    /// How many rows it takes.
    pub max_entries: u32,
    /// Bits of metadata it can match.
    pub metadata_match: u64,
    /// Bits of metadata it can write.
    pub metadata_write: u64,
    /// Fields it matches, each with whether a mask is possible.
    pub matches: Option<BTreeMap<Field, bool>>,
    /// Instruction types (OpenFlow 1.3.5, 7.2.4).
    pub instructions: Option<BTreeSet<u16>>,
    /// Fields that its rows can write into the action set.
    pub written: Option<BTreeSet<Field>>,
}

const WRITE_METADATA: u16 = 2;
const CLEAR_ACTIONS: u16 = 5;

impl Capabilities {
    /// From the switch's own words. `meters` is its highest meter, where it told.
    pub fn read(features: &[TableFeatures], meters: Option<u32>) -> Self {
        let mut tables: BTreeMap<u8, TableCapability> = BTreeMap::new();
        for t in features {
            let entry = tables.entry(t.table).or_default();
            entry.max_entries = t.max_entries;
            (entry.metadata_match, entry.metadata_write) = (t.metadata_match, t.metadata_write);
            for property in &t.properties {
                match property {
                    TableProperty::Match(fields) => {
                        entry.matches.get_or_insert_default().extend(fields.iter().copied());
                    }
                    TableProperty::Instructions { miss: false, types } => {
                        entry.instructions.get_or_insert_default().extend(types.iter().map(|t| t.type_));
                    }
                    TableProperty::WriteSetField { miss: false, fields } => {
                        entry.written.get_or_insert_default().extend(fields.iter().map(|(field, _)| *field));
                    }
                    _ => {}
                }
            }
        }
        Self { tables, meters: meters.is_none_or(|most| most >= crate::meter::HIGHEST) }
    }

    /// How many rows a table takes; `None` when the switch did not tell.
    pub fn size(&self, table: Table) -> Option<u32> {
        self.tables.get(&table.number()).map(|t| t.max_entries)
    }

    /// Why the pipeline cannot run on this switch at all, whatever the policy says.
    pub fn complaint(&self) -> Option<String> {
        if self.tables.is_empty() {
            return None;
        }
        let wanted: Vec<String> = PLAIN.iter().map(|d| d.table.number().to_string()).collect();
        for d in &PLAIN {
            let number = d.table.number();
            let Some(table) = self.tables.get(&number) else {
                let has: Vec<String> = self.tables.keys().map(ToString::to_string).collect();
                return Some(format!(
                    "it has no table {number} ({}): the tables {} are needed, and it has {}",
                    d.table,
                    wanted.join(", "),
                    list(&has)
                ));
            };
            let lacks = |instruction| table.instructions.as_ref().is_some_and(|all| !all.contains(&instruction));
            if lacks(WRITE_METADATA) && matches!(d.table, Table::Guard | Table::Locate) {
                return Some(format!(
                    "its table {number} ({}) cannot write metadata, which carries the classes",
                    d.table
                ));
            }
            if lacks(CLEAR_ACTIONS) && d.table == Table::Permit {
                return Some(format!(
                    "its table {number} ({}) has no clear-actions, without which it cannot deny",
                    d.table
                ));
            }
        }
        None
    }

    /// Bits of metadata that every table which needs them can write or match.
    pub fn metadata(&self) -> u64 {
        let of = |t: Table| self.tables.get(&t.number());
        let written = [Table::Guard, Table::Locate].into_iter().filter_map(|t| Some(of(t)?.metadata_write));
        let matched = [Table::Onboard, Table::Permit].into_iter().filter_map(|t| Some(of(t)?.metadata_match));
        written.chain(matched).fold(u64::MAX, |all, bits| all & bits)
    }

    /// Whether rows of the table can match the field under a mask.
    pub fn masks(&self, table: Table, field: Field) -> bool {
        let told = self.tables.get(&table.number()).and_then(|t| t.matches.as_ref());
        // OpenFlow 1.3 itself (7.2.3.7, table 11) has no masks for transport ports.
        told.and_then(|fields| fields.get(&field)).copied().unwrap_or(false)
    }

    /// Whether the switch can turn a request for an address into its answer.
    pub fn answers_arp(&self) -> bool {
        const NEEDED: [Field; 7] =
            [Field::EthDst, Field::EthSrc, Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha];
        [Table::Guard, Table::Answer].into_iter().all(|table| {
            let told = self.tables.get(&table.number()).and_then(|t| t.written.as_ref());
            told.is_none_or(|fields| NEEDED.iter().all(|f| fields.contains(f)))
        })
    }

    fn fit(&self, mut row: Row) -> Result<Row, String> {
        if let Some(why) = crate::rows::plain::extension(&row) {
            return Err(why);
        }
        let usable = self.metadata();
        let table = row.key.table;
        if let Some(metadata) = row.key.matches.get(Field::Metadata).copied() {
            let mask = metadata.mask.unwrap_or(u128::from(u64::MAX)) as u64;
            let value = self.narrow(metadata.value as u64)?;
            row.key.matches = std::mem::take(&mut row.key.matches).with_masked(Field::Metadata, value, mask & usable);
        }
        let told = self.tables.get(&table.number());
        if let Some(fields) = told.and_then(|t| t.matches.as_ref()) {
            for (field, value) in row.key.matches.iter() {
                match fields.get(field) {
                    None => return Err(format!("table {} cannot match {}", table.number(), field.name())),
                    Some(false) if value.mask.is_some() => {
                        return Err(format!("table {} cannot match {} under a mask", table.number(), field.name()));
                    }
                    Some(_) => {}
                }
            }
        }
        // Behind `locate` the way out waits in the action set: who does not let a packet through must empty it.
        let goes_on =
            row.instructions.iter().any(|i| matches!(i, Instruction::GotoTable(_) | Instruction::ClearActions));
        if table == Table::Permit && !goes_on {
            row.instructions.push(Instruction::ClearActions);
        }
        if !self.meters {
            row.instructions.retain(|i| !matches!(i, Instruction::Meter(_)));
        }
        for instruction in &mut row.instructions {
            match instruction {
                Instruction::WriteMetadata { value, mask } => {
                    *value = self.narrow(*value)?;
                    *mask &= usable;
                }
                Instruction::WriteActions(actions) => {
                    let Some(written) = told.and_then(|t| t.written.as_ref()) else { continue };
                    for action in actions {
                        if let Action::SetField { field, .. } = action
                            && !written.contains(field)
                        {
                            return Err(format!("table {} cannot write {}", table.number(), field.full_name()));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(row)
    }

    /// A metadata value whose bits the switch has; the bits that it lacks are zero in all of them, so that leaving them out
    /// of masks changes no answer.
    fn narrow(&self, value: u64) -> Result<u64, String> {
        let usable = self.metadata();
        if value & !usable == 0 {
            return Ok(value);
        }
        let (source, target) = crate::bits::classes(value);
        Err(format!(
            "its tables have the metadata bits {usable:#x} only, and class {} needs {value:#x}: too many different sets of groups",
            source.max(target)
        ))
    }
}

/// `0, 1 and 2`; at most the first eight.
fn list(items: &[String]) -> String {
    match items {
        [] => "none".into(),
        [one] => one.clone(),
        many if many.len() > 8 => format!("{} and {} more", many[..8].join(", "), many.len() - 8),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use fseg_openflow::Match;

    use super::*;
    use crate::cookie::SystemRow;
    use crate::desired::RowKey;

    fn features(table: u8, bits: u64, properties: Vec<TableProperty>) -> TableFeatures {
        TableFeatures {
            table,
            metadata_match: bits,
            metadata_write: bits,
            max_entries: 100,
            properties,
            ..TableFeatures::default()
        }
    }

    fn row(table: Table, matches: Match, instructions: Vec<Instruction>) -> Row {
        let owner = Owner::System(SystemRow::Frame);
        Row { key: RowKey { table, priority: 1, matches }, owner, instructions }
    }

    #[test]
    fn a_switch_with_too_few_tables_is_told_which() {
        let all: Vec<_> = (0..4).map(|n| features(n, u64::MAX, vec![])).collect();
        let why = Capabilities::read(&all, None).complaint().unwrap();
        assert_eq!(why, "it has no table 6 (permit): the tables 0, 1, 2, 3, 6, 7 are needed, and it has 0, 1, 2 and 3");
        let all: Vec<_> = (0..8).map(|n| features(n, u64::MAX, vec![])).collect();
        assert_eq!(Capabilities::read(&all, None).complaint(), None);
        assert_eq!(Capabilities::default().complaint(), None);
    }

    #[test]
    fn a_table_that_cannot_carry_classes_or_deny_is_refused() {
        let mut all: Vec<_> = (0..8).map(|n| features(n, u64::MAX, vec![])).collect();
        all[3].properties =
            vec![TableProperty::Instructions { miss: false, types: [1, 3, 4].map(Into::into).to_vec() }];
        assert!(Capabilities::read(&all, None).complaint().unwrap().contains("table 3 (locate) cannot write metadata"));
        all[3].properties.clear();
        all[6].properties =
            vec![TableProperty::Instructions { miss: false, types: [1, 2, 3, 4].map(Into::into).to_vec() }];
        assert!(Capabilities::read(&all, None).complaint().unwrap().contains("cannot deny"));
    }

    #[test]
    fn masks_are_cut_to_the_bits_that_all_tables_have() {
        let mut all: Vec<_> = (0..8).map(|n| features(n, u64::MAX, vec![])).collect();
        all[6].metadata_match = 0x0000_00ff_ff00_ffff;
        let profile = Profile::OpenFlow13(Capabilities::read(&all, Some(0)));
        let matched =
            Match::new().with_masked(Field::Metadata, 0x11_0000_0012_u64, crate::bits::PERMIT_SOURCE_MASK | 0x3f_ffff);
        let written = vec![
            Instruction::Meter(1),
            Instruction::WriteMetadata { value: 0x11_0000_0000, mask: crate::bits::SOURCE_MASK },
        ];
        let (rows, misfits) =
            profile.fit(vec![row(Table::Permit, matched, vec![]), row(Table::Guard, Match::new(), written)]);
        assert_eq!(misfits, []);
        let value = rows[0].key.matches.get(Field::Metadata).unwrap();
        assert_eq!((value.value, value.mask), (0x11_0000_0012, Some(0xff_ff00_ffff)));
        // Who does not let through, denies.
        assert_eq!(rows[0].instructions, [Instruction::ClearActions]);
        // Without meters there is none, and only bits that exist are written.
        let cut = Instruction::WriteMetadata { value: 0x11_0000_0000, mask: 0xff_ff00_0000 };
        assert_eq!(rows[1].instructions, [cut]);
        // A class that needs more is said, not cut.
        let far = Match::new().with_masked(Field::Metadata, 0x2_0001_u64, 0x3f_ffff_u64);
        let (rows, misfits) = profile.fit(vec![row(Table::Permit, far, vec![])]);
        assert!(rows.is_empty() && misfits[0].why.contains("class 131073"), "{misfits:?}");
    }

    #[test]
    fn fields_and_masks_that_a_table_lacks_are_said() {
        let fields = vec![(Field::EthType, false), (Field::Ipv4Dst, false)];
        let all: Vec<_> = (0..8).map(|n| features(n, u64::MAX, vec![TableProperty::Match(fields.clone())])).collect();
        let profile = Profile::OpenFlow13(Capabilities::read(&all, None));
        let ip = || Match::new().with(Field::EthType, 0x800_u16);
        let rows = vec![
            row(Table::Locate, ip().with(Field::Ipv4Dst, 1_u8), vec![]),
            row(Table::Locate, ip().with_masked(Field::Ipv4Dst, 0_u8, 0xff00_0000_u32), vec![]),
            row(Table::Locate, ip().with(Field::IpProto, 6_u8), vec![]),
        ];
        let (fitting, misfits) = profile.fit(rows);
        let why: Vec<_> = misfits.iter().map(|m| m.why.as_str()).collect();
        assert_eq!(
            (fitting.len(), why),
            (1, vec!["table 3 cannot match nw_dst under a mask", "table 3 cannot match nw_proto"])
        );
    }
}
