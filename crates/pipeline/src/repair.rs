//! What a switch says it holds, compared with what it should hold.

use std::collections::HashSet;

use fseg_openflow::FlowStats;

use crate::cookie::Cookie;
use crate::desired::{Delta, Desired, RowKey};
use crate::table::Table;

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Repair {
    /// What makes the switch right.
    pub delta: Delta,
    /// Rows that are as they should be.
    pub intact: usize,
    /// Rows in tables outside the pipeline; taken away by [`Repair::strangers`].
    pub strangers: Vec<FlowStats>,
    /// How many of the rows that had to go did not carry a cookie of ours.
    pub foreign: usize,
}

/// Compares. A row is right when key, owner and instructions agree; the round of its cookie does not matter, so that
/// a restart touches nothing.
pub fn compare(desired: &Desired, actual: &[FlowStats]) -> Repair {
    let mut repair = Repair::default();
    let mut seen = HashSet::with_capacity(actual.len());
    for stat in actual {
        let cookie = Cookie::from_u64(stat.cookie);
        let Some(table) = Table::from_number(stat.table) else {
            repair.foreign += usize::from(cookie.is_none());
            repair.strangers.push(stat.clone());
            continue;
        };
        let key = RowKey { table, priority: stat.priority, matches: stat.matches.clone() };
        match desired.get(&key) {
            // A timeout would take the row away later: ours never have one.
            Some(row)
                if cookie.is_some_and(|c| c.owner == row.owner)
                    && row.instructions == stat.instructions
                    && stat.idle_timeout == 0
                    && stat.hard_timeout == 0 =>
            {
                repair.intact += 1;
                seen.insert(key);
            }
            Some(_) => repair.foreign += usize::from(cookie.is_none()),
            None => {
                repair.foreign += usize::from(cookie.is_none());
                repair.delta.remove.push(key);
            }
        }
    }
    repair.delta.add = desired.iter().filter(|r| !seen.contains(&r.key)).cloned().collect();
    repair
}
