//! What switches can hold and what they lack, as the API shows it.

use fseg_api::{LackingView, TableView};
use fseg_control::{Controller, Lacking, TableUse};
use fseg_model::Dpid;

pub(super) fn table(t: TableUse) -> TableView {
    TableView { number: t.table.number(), name: t.table.to_string(), rows: t.rows as u64, size: u64::from(t.size) }
}

pub(super) fn lacking((kind, owner, l): (&'static str, String, Lacking)) -> LackingView {
    LackingView { kind: kind.into(), owner, table: l.table.to_string(), rows: l.rows as u64, why: l.why }
}

/// Whether a switch holds all that it should, and a sentence about what it does not: for health, so the first few.
pub(super) fn sentence(c: &Controller, dpid: Dpid) -> (bool, String) {
    let Some(fit) = c.switch_fit(dpid) else { return (true, String::new()) };
    if let Some(why) = fit.unfit {
        return (false, format!("; it cannot be used and passes nothing: {why}"));
    }
    let named: Vec<String> =
        fit.lacking.iter().take(3).map(|(kind, id, l)| format!("{kind} {id} ({})", l.why)).collect();
    match fit.lacking.len() {
        0 => (true, String::new()),
        n if n > named.len() => {
            (false, format!("; rows are missing for {} and {} more", named.join(", "), n - named.len()))
        }
        _ => (false, format!("; rows are missing for {}", named.join(", "))),
    }
}
