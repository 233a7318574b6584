//! What a switch says it holds, compared with what it should hold.

use std::collections::HashSet;

use fseg_openflow::FlowStats;

use crate::cookie::{Cookie, Owner};
use crate::desired::{Agreement, Delta, Desired, RowKey};
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
    let mut scratch = Vec::new();
    for stat in actual {
        let cookie = Cookie::from_u64(stat.cookie);
        let Some(table) = Table::from_number(stat.table) else {
            repair.foreign += usize::from(cookie.is_none());
            repair.strangers.push(stat.clone());
            continue;
        };
        let key = RowKey { table, priority: stat.priority, matches: stat.matches.clone() };
        // A row without a cookie of ours has no owner, so it agrees with nothing.
        let owner = cookie.map_or(Owner::Permit(0), |c| c.owner);
        match desired.agrees(&key, owner, &stat.instructions, &mut scratch) {
            // A timeout would take the row away later: ours never have one.
            Agreement::Same(slot) if cookie.is_some() && stat.idle_timeout == 0 && stat.hard_timeout == 0 => {
                repair.intact += 1;
                seen.insert(slot);
            }
            Agreement::Same(_) | Agreement::Different => repair.foreign += usize::from(cookie.is_none()),
            Agreement::Absent => {
                repair.foreign += usize::from(cookie.is_none());
                repair.delta.remove.push(key);
            }
        }
    }
    if seen.len() < desired.len() {
        repair.delta.add = desired.missing(&seen).collect();
    }
    // In an order of their own, whatever the memory's was: the same reading gives the same messages.
    repair.delta.add.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    repair
}
