//! A permit's rows: products of classes and services while they are few, conjunctions when they are many.
//!
//! Every permit has a priority of its own. It decides nothing (all rows permit) but keeps permits apart: two permits for
//! the same pair have two rows with two counters, and conjunctions of different permits never mix (ovs-fields(7),
//! "Conjunctive Match Fields").

use std::collections::{BTreeMap, BTreeSet};

use fseg_model::{PortRange, ServiceTerm};
use fseg_openflow::{Action, Field, Instruction, Match};

use super::{Rows, ip};
use crate::bits;
use crate::cookie::Owner;
use crate::desired::Row;
use crate::fabric::{PermitFacts, SwitchFacts};
use crate::profile::Misfit;
use crate::table::Table;

/// How a permit becomes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitShape {
    /// One row per source class, destination class and service mask.
    Product(usize),
    /// One row per source class, per destination class, per service mask, and one more.
    Conjunction(usize),
}

impl PermitShape {
    /// How many rows.
    pub fn rows(self) -> usize {
        match self {
            Self::Product(n) | Self::Conjunction(n) => n,
        }
    }
}

/// The cheaper of the two, with a liking for products: they need one lookup and their counters are finer. A permit of
/// number 0 is always a product: 0 is the `conj_id` of every packet that met no conjunction, so its last row would permit
/// everything.
pub fn shape(permit: &PermitFacts) -> PermitShape {
    let services = service_masks(&permit.terms).len();
    let (from, to) = (permit.from.len(), permit.to.len());
    let product = from * to * services;
    let sum = from + to + services + 1;
    if permit.number == 0 || product <= 16 || product <= 2 * sum {
        PermitShape::Product(product)
    } else {
        PermitShape::Conjunction(sum)
    }
}

/// The rows of a permit on one switch, or why it cannot have them. They depend on the switch's profile only.
pub fn permit_rows_on(switch: &SwitchFacts, permit: &PermitFacts) -> Result<Vec<Row>, Misfit> {
    let Some(can) = switch.profile.plain() else { return Ok(permit_rows(permit)) };
    super::plain::permit_rows(can, permit).map_err(|needed| Misfit {
        owner: Owner::Permit(permit.number),
        table: Table::Permit,
        why: format!(
            "it would be {needed} rows, more than {}: without extensions a port range is one row for each of its ports",
            super::MOST_ROWS
        ),
    })
}

/// The most permits that may be on trial at a time: each has a priority of its own, and they stand below all others.
pub const MOST_TRIALS: u16 = 900;

/// A place of its own for each permit on trial, by number. The same numbers have the same places wherever they are asked
/// for; a permit's place changes only when one with a smaller number, [`MOST_TRIALS`] or a multiple of it away, comes or
/// goes. Beyond [`MOST_TRIALS`] there is no place: the policy language refuses more.
pub fn trial_places(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<u32, u16> {
    let numbers: BTreeSet<u32> = numbers.into_iter().collect();
    let mut taken = BTreeSet::new();
    let mut out = BTreeMap::new();
    for number in numbers.into_iter().take(MOST_TRIALS.into()) {
        let own = (number % u32::from(MOST_TRIALS)) as u16;
        if let Some(place) = (own..MOST_TRIALS).chain(0..own).find(|place| taken.insert(*place)) {
            out.insert(number, place);
        }
    }
    out
}

/// Above what is only observed; permits on trial stand below all others, so that they count, and show to the node, only what
/// no other permit allows.
pub(crate) fn priority(permit: &PermitFacts) -> u16 {
    match permit.trial {
        Some(place) => 100 + place % MOST_TRIALS,
        None => 1_000 + (permit.number % 64_000) as u16,
    }
}

/// The rows of a permit on Open vSwitch: the same on every one.
pub fn permit_rows(permit: &PermitFacts) -> Vec<Row> {
    let mut rows = Rows::of(Owner::Permit(permit.number));
    let services = service_masks(&permit.terms);
    if permit.from.is_empty() || permit.to.is_empty() || services.is_empty() {
        return rows.done(); // nobody yet: nothing to permit
    }
    let priority = priority(permit);
    let from: Vec<_> = permit.from.iter().map(|c| u64::from(permit.slice.0) << 48 | u64::from(c.get()) << 24).collect();
    let to: Vec<_> = permit.to.iter().map(|c| u64::from(c.get())).collect();
    let pass = || {
        if permit.trial.is_some() {
            super::observe::pass()
        } else {
            vec![Instruction::GotoTable(Table::Inspect.number())]
        }
    };
    match shape(permit) {
        PermitShape::Product(_) => {
            for &f in &from {
                for &t in &to {
                    for s in &services {
                        let mask = bits::PERMIT_SOURCE_MASK | bits::PERMIT_DESTINATION_MASK;
                        let m = s.clone().with_masked(Field::Metadata, f | t, mask);
                        rows.add(Table::Permit, priority, m, pass());
                    }
                }
            }
        }
        PermitShape::Conjunction(_) => {
            let clause = |clause| {
                let part = Action::Conjunction { id: permit.number, clause, of: 3 };
                vec![Instruction::ApplyActions(vec![part])]
            };
            for &f in &from {
                let m = ip().with_masked(Field::Metadata, f, bits::PERMIT_SOURCE_MASK);
                rows.add(Table::Permit, priority, m, clause(1));
            }
            for &t in &to {
                let m = ip().with_masked(Field::Metadata, t, bits::PERMIT_DESTINATION_MASK);
                rows.add(Table::Permit, priority, m, clause(2));
            }
            for s in services {
                rows.add(Table::Permit, priority, s, clause(3));
            }
            rows.add(Table::Permit, priority, ip().with(Field::ConjId, permit.number), pass());
        }
    }
    rows.done()
}

/// The fewest matches on protocol and port registers that cover the terms, and later fragments of their protocols.
fn service_masks(terms: &[ServiceTerm]) -> Vec<Match> {
    let mut out: Vec<Match> = Vec::new();
    let mut add = |m: Match| {
        if !out.contains(&m) {
            out.push(m);
        }
    };
    for term in terms {
        let Some(protocol) = term.protocol else {
            return vec![ip()]; // any service: nothing else matters
        };
        let m = ip().with(bits::SERVICE_PROTOCOL, protocol.0);
        for (value, mask) in term.ports.masks() {
            add(m.clone().with_masked(bits::SERVICE_PORT, value, u32::from(mask)));
        }
        if term.ports != PortRange::ALL {
            add(m.with(bits::FRAGMENT, 1_u8));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use fseg_model::{ClassId, SliceId};

    use super::*;

    fn permit(from: u32, to: u32, terms: &[&str]) -> PermitFacts {
        let classes = |n| (0..n).map(|i| ClassId::new(16 + i).unwrap()).collect();
        PermitFacts {
            number: 5,
            slice: SliceId::DEFAULT,
            from: classes(from),
            to: classes(to),
            terms: terms.iter().map(|t| t.parse().unwrap()).collect(),
            trial: None,
        }
    }

    #[test]
    fn an_empty_side_permits_nothing() {
        assert!(permit_rows(&permit(0, 3, &["any"])).is_empty());
        assert!(permit_rows(&permit(3, 0, &["any"])).is_empty());
        assert!(permit_rows(&permit(3, 3, &[])).is_empty());
    }

    #[test]
    fn number_0_is_never_a_conjunction() {
        let p = PermitFacts { number: 0, ..permit(40, 30, &["tcp/80"]) };
        assert!(matches!(shape(&p), PermitShape::Product(2400)));
        assert!(permit_rows(&p).iter().all(|r| r.key.matches.get(Field::ConjId).is_none()));
    }

    #[test]
    fn every_permit_on_trial_has_a_place_of_its_own() {
        let places = trial_places([5, 905, 6, 1805, 899, 1799]);
        assert_eq!(places, [(5, 5), (6, 6), (899, 899), (905, 7), (1799, 0), (1805, 8)].into());
        let all = trial_places((0..2_000).map(|n| n * 450));
        assert_eq!(all.len(), usize::from(MOST_TRIALS));
        assert_eq!(all.values().collect::<BTreeSet<_>>().len(), all.len());
        assert!(all.values().all(|place| *place < MOST_TRIALS));
    }

    #[test]
    fn rows_are_as_many_as_announced() {
        for p in [
            permit(1, 1, &["tcp/80"]),
            permit(4, 4, &["tcp/80"]),
            permit(40, 30, &["tcp/80", "udp/5000-5100"]),
            permit(100, 1, &["any"]),
        ] {
            assert_eq!(permit_rows(&p).len(), shape(&p).rows());
            assert!(permit_rows(&p).iter().all(|r| crate::table::violation(r).is_none()));
        }
        assert!(matches!(shape(&permit(100, 100, &["tcp/80"])), PermitShape::Conjunction(203)));
        assert!(matches!(shape(&permit(100, 1, &["tcp/80"])), PermitShape::Product(200)));
    }
}
