//! Whether a policy's rows have room in the tables of switches that say how large these are. Asked before anything is sent.

use std::collections::{BTreeMap, BTreeSet};

use fseg_pipeline::{Owner, Row, Table};

use super::compile::Compiled;
use crate::controller::Controller;

/// How many permits a message names.
const NAMED: usize = 12;

impl Controller {
    /// What does not fit: for each switch and table its size, what is needed, and which permits find no room when they are
    /// taken in the order of the policy.
    pub(super) fn shortages(&self, compiled: &Compiled) -> Vec<String> {
        let mut out = Vec::new();
        for (dpid, link) in &self.links {
            let Some(can) = self.fabric.switch(*dpid).and_then(|s| s.profile.plain()) else { continue };
            let Some(owned) = compiled.rows.get(dpid).filter(|_| !can.tables.is_empty()) else { continue };
            let fresh: BTreeMap<Owner, &Vec<Row>> = owned.iter().map(|(owner, rows)| (*owner, rows)).collect();
            let mut needed: BTreeMap<Table, usize> = BTreeMap::new();
            let mut by_permit: BTreeMap<u32, usize> = BTreeMap::new();
            let mut count = |owner: Owner, table: Table| match owner {
                Owner::Permit(number) => *by_permit.entry(number).or_default() += 1,
                _ => *needed.entry(table).or_default() += 1,
            };
            for row in link.desired.iter().filter(|row| !fresh.contains_key(&row.owner)) {
                count(row.owner, row.key.table);
            }
            for row in fresh.values().flat_map(|rows| rows.iter()) {
                count(row.owner, row.key.table);
            }
            let name = self.name_of(*dpid);
            for (table, rows) in &needed {
                let permits: usize = if *table == Table::Permit { by_permit.values().sum() } else { 0 };
                let Some(size) = can.size(*table).filter(|size| rows + permits > *size as usize) else { continue };
                let head = format!(
                    "switch {name}: its table {} ({table}) takes {size} rows, and {} are needed",
                    table.number(),
                    rows + permits
                );
                out.push(match *table {
                    Table::Permit => {
                        format!("{head}; {}", self.without_room(compiled, &by_permit, size as usize, *rows))
                    }
                    _ => head,
                });
            }
        }
        out
    }

    /// Which permits find no room, in the order of the policy.
    fn without_room(&self, compiled: &Compiled, rows: &BTreeMap<u32, usize>, size: usize, taken: usize) -> String {
        let mut taken = taken;
        let mut missing = Vec::new();
        let mut seen = BTreeSet::new();
        for permit in &compiled.policy.permits {
            let Some(number) = compiled.number_of(&self.permit_numbers, &permit.id) else { continue };
            let rows = rows.get(&number).copied().unwrap_or_default();
            seen.insert(number);
            if taken + rows > size {
                missing.push(format!("`{}` ({rows} rows)", permit.id));
            } else {
                taken += rows;
            }
        }
        let more = missing.len().saturating_sub(NAMED);
        missing.truncate(NAMED);
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "without room: {}{tail}; narrow port ranges and groups, or give the switch larger tables",
            missing.join(", ")
        )
    }
}
