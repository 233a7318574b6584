//! Observing instead of enforcing: what no permit allows passes, and the first packet of each connection is shown to the
//! node. Strangers stay out, and forged packets were dropped long before.

use fseg_model::{ClassId, SliceId, WatchLevel};
use fseg_openflow::{Action, ControllerAction, Field, Instruction, Match};

use super::{Rows, ip, metered, set};
use crate::bits;
use crate::cookie::{Owner, SystemRow};
use crate::desired::Row;
use crate::fabric::SwitchFacts;
use crate::meter;
use crate::table::Table;

const TRACKED_NEW: u32 = 0x21;
/// Above what is observed: who is not admitted.
const KEPT_OUT: u16 = 20;
/// Below every permit.
const OBSERVED: u16 = 10;

/// What is observed in a slice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObserveFacts {
    /// The whole slice.
    pub everything: bool,
    /// Everything from and to these classes.
    pub classes: Vec<ClassId>,
    /// A permit is on trial: its connections are to be shown too.
    pub trials: bool,
}

/// What a permit on trial, or no permit at all, does with a packet that passes all the same.
pub(super) fn pass() -> Vec<Instruction> {
    vec![Instruction::ApplyActions(vec![set(bits::OBSERVED, 1_u32)]), Instruction::GotoTable(Table::Inspect.number())]
}

/// The rows of what is observed on one switch; none when everything is enforced. A switch without extensions cannot tell a
/// connection's first packet from the others, so there the packets pass and nothing is shown.
pub fn observe_rows(switch: &SwitchFacts, slice: SliceId, facts: &ObserveFacts) -> Vec<Row> {
    let mut rows = Rows::of(Owner::System(SystemRow::Observe));
    let plain = switch.profile.plain().is_some();
    let through = || if plain { vec![Instruction::GotoTable(Table::Inspect.number())] } else { pass() };
    let source = |class| {
        let value = bits::source(slice, WatchLevel::Log, class);
        ip().with_masked(Field::Metadata, value, bits::PERMIT_SOURCE_MASK)
    };
    let target = |class: ClassId| {
        let slice = u64::from(slice.0) << 48;
        let mask = bits::SLICE_MASK | bits::PERMIT_DESTINATION_MASK;
        ip().with_masked(Field::Metadata, slice | u64::from(class.get()), mask)
    };
    if facts.everything || !facts.classes.is_empty() {
        // On a plain switch a row that says nothing would send what `locate` wrote.
        let denied = || if plain { vec![Instruction::ClearActions] } else { metered(meter::DENIED.id, super::FULL) };
        for class in [ClassId::NONE, ClassId::STRANGER, ClassId::QUARANTINE] {
            rows.add(Table::Permit, KEPT_OUT, source(class), denied());
            // One row each, since a packet from a stranger to a stranger would match two of one priority.
            rows.add(Table::Permit, KEPT_OUT + 1, target(class), denied());
        }
    }
    if facts.everything {
        let all = ip().with_masked(Field::Metadata, u64::from(slice.0) << 48, bits::SLICE_MASK);
        rows.add(Table::Permit, OBSERVED, all, through());
    } else {
        for &class in &facts.classes {
            rows.add(Table::Permit, OBSERVED, source(class), through());
            rows.add(Table::Permit, OBSERVED + 1, target(class), through());
        }
    }
    if !plain && (facts.everything || facts.trials || !facts.classes.is_empty()) {
        let new: Match = ip().with_masked(Field::CtState, TRACKED_NEW, TRACKED_NEW).with(bits::OBSERVED, 1_u32);
        // The meter stands in the action, not in the row: beyond it only the copy is dropped.
        let copy = ControllerAction { meter_id: Some(meter::OBSERVED.id), ..ControllerAction::default() };
        let goto = Instruction::GotoTable(Table::Deliver.number());
        rows.add(Table::Inspect, 10, new, vec![Instruction::ApplyActions(vec![Action::Controller(copy)]), goto]);
    }
    rows.done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::SwitchRole;
    use crate::profile::Profile;

    fn rows(facts: &ObserveFacts) -> Vec<Row> {
        let switch = SwitchFacts {
            dpid: fseg_model::Dpid(1),
            number: 1,
            role: SwitchRole::Access,
            ports: vec![],
            via: Default::default(),
            profile: Profile::Ovs,
        };
        observe_rows(&switch, SliceId::DEFAULT, facts)
    }

    #[test]
    fn rows_keep_to_the_tables_and_exist_only_when_something_is_observed() {
        assert!(rows(&ObserveFacts::default()).is_empty());
        let classes = vec![ClassId::FIRST, ClassId::new(17).unwrap()];
        for (facts, count) in [
            (ObserveFacts { trials: true, ..Default::default() }, 1),
            (ObserveFacts { everything: true, ..Default::default() }, 8),
            (ObserveFacts { classes, ..Default::default() }, 11),
        ] {
            let rows = rows(&facts);
            assert_eq!(rows.len(), count, "{facts:?}");
            assert!(rows.iter().all(|r| crate::table::violation(r).is_none()));
            let mut keys: Vec<_> = rows.iter().map(|r| &r.key).collect();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), count);
        }
    }
}
