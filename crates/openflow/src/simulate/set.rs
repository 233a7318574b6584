//! Action sets: executed in an order of their own (OpenFlow 1.3.5, 5.10; ovs-actions(7), "Action Sets").

use crate::action::Action;
use crate::port;

/// The actions of a set in the order of execution; none when it leads nowhere.
pub(super) fn in_order(written: &[Action]) -> Vec<Action> {
    let mut out: Vec<Action> = Vec::new();
    // Of these the last one of each kind counts.
    let once: [fn(&Action) -> bool; 6] = [
        |action| matches!(action, Action::PopVlan),
        |action| matches!(action, Action::PopMpls(_)),
        |action| matches!(action, Action::PushMpls(_)),
        |action| matches!(action, Action::PushVlan(_)),
        |action| matches!(action, Action::DecNwTtl),
        |action| matches!(action, Action::DecMplsTtl),
    ];
    let last = |of: fn(&Action) -> bool| written.iter().rev().find(|action| of(action)).cloned();
    out.extend(once.into_iter().filter_map(last));
    // All of these, in the order in which they were written.
    let sets = |action: &&Action| {
        matches!(
            action,
            Action::SetField { .. }
                | Action::Load { .. }
                | Action::Move { .. }
                | Action::SetNwTtl(_)
                | Action::SetMplsTtl(_)
                | Action::SetQueue(_)
        )
    };
    out.extend(written.iter().filter(sets).cloned());
    match end(written) {
        Some(action) => {
            out.push(action.clone());
            out
        }
        None => Vec::new(),
    }
}

/// The action that sends the packet away: a group before an output before another search.
fn end(written: &[Action]) -> Option<&Action> {
    let ends: [fn(&Action) -> bool; 5] = [
        |action| matches!(action, Action::Group(_)),
        |action| matches!(action, Action::Output { .. } | Action::OutputReg { .. } | Action::Controller(_)),
        |action| matches!(action, Action::Resubmit { .. }),
        |action| matches!(action, Action::CtClear),
        |action| matches!(action, Action::Ct(_)),
    ];
    ends.into_iter().find_map(|of| written.iter().rev().find(|action| of(action)))
}

/// The port that `actset_output` shows.
pub(super) fn output(written: &[Action]) -> Option<u32> {
    match end(written) {
        Some(Action::Output { port, .. }) if *port != port::ANY => Some(*port),
        _ => None,
    }
}
