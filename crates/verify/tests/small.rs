//! Diagrams against a naive evaluator, over every packet of small worlds: overlaps, masks, equal priorities, conjunctions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use fseg_openflow::Field;
use fseg_verify::diagram::{Diagrams, NO, NOTHING, Part, Rule, UNDECIDED, YES, leaf, number};
use fseg_verify::space::{self, Demand, Level};
use proptest::prelude::*;

/// Two fields of which only the lowest bits are used: 2 + 3 bits, 32 packets.
const FIELDS: [(Field, u32); 2] = [(Field::IpFrag, 2), (Field::Reg(3), 3)];

type Packet = [u128; 2];

fn packets() -> impl Iterator<Item = Packet> {
    (0..4).flat_map(|a| (0..8).map(move |b| [a, b]))
}

fn bit(packet: Packet) -> impl Fn(Level) -> bool {
    move |level| {
        let (rank, from_top) = space::at(level);
        let at = FIELDS.iter().position(|(f, _)| space::rank(*f) == rank).unwrap();
        packet[at] >> (u32::from(FIELDS[at].0.width()) - 1 - from_top) & 1 != 0
    }
}

fn meets(rule: &Rule, packet: Packet) -> bool {
    rule.demands.iter().all(|d| {
        let at = FIELDS.iter().position(|(f, _)| *f == d.field).unwrap();
        let shift = 128 - u32::from(d.field.width());
        packet[at] & (d.mask >> shift) == d.value >> shift
    })
}

/// As ovs-fields(7) says it, word for word: of the rules that match, the highest decides; above it a conjunction counts whose
/// clauses all match at one priority, and then the search is made again with its id.
fn naive(rules: &[Rule], packet: Packet) -> u32 {
    let search = |id: u32| -> Option<(u32, u32)> {
        let there: Vec<&Rule> = rules
            .iter()
            .filter(|r| meets(r, packet))
            .filter(|r| match r.part {
                Part::Decides => true,
                Part::Met(value, mask) => id & mask == value,
                Part::Clauses(_) => false,
            })
            .collect();
        let best = there.iter().map(|r| r.priority).max()?;
        let mut leaves: Vec<u32> = there.iter().filter(|r| r.priority == best).map(|r| r.leaf).collect();
        leaves.sort_unstable();
        leaves.dedup();
        Some((best, if leaves.len() == 1 { leaves[0] } else { UNDECIDED }))
    };
    let hard = search(0);
    let mut priorities: Vec<u32> = rules.iter().map(|r| r.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    for priority in priorities.into_iter().rev() {
        if hard.is_some_and(|(p, _)| p >= priority) {
            break;
        }
        for id in (1..=3).rev() {
            let clause = |n: u8| {
                rules.iter().any(|r| {
                    r.priority == priority
                        && meets(r, packet)
                        && matches!(&r.part, Part::Clauses(list) if list.contains(&(id, n, 2)))
                })
            };
            if clause(1)
                && clause(2)
                && let Some((_, found)) = search(id)
            {
                return found;
            }
        }
    }
    hard.map_or(NOTHING, |(_, l)| l)
}

fn rule() -> impl Strategy<Value = Rule> {
    let part = prop_oneof![
        4 => Just(Part::Decides),
        2 => (1..=3_u32, 1..=2_u8).prop_map(|(id, clause)| Part::Clauses(vec![(id, clause, 2)])),
        1 => (1..=3_u32).prop_map(|id| Part::Met(id, u32::MAX)),
    ];
    (0..5_u32, part, 2..6_u32, 0..4_u128, 0..4_u128, 0..8_u128, 0..8_u128, any::<bool>()).prop_map(
        |(priority, part, leaf, a, am, b, bm, whole)| {
            // Whole fields are told apart in another way than bits.
            let bm = if whole { u128::MAX } else { bm };
            let mut demands = vec![Demand::new(Field::IpFrag, a, am), Demand::new(Field::Reg(3), b, bm)];
            demands.retain(|d| d.mask != 0);
            demands.sort_by_key(|d| d.rank);
            Rule { priority, part, demands, leaf }
        },
    )
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    proptest::collection::vec(rule(), 0..12).prop_map(|mut list| {
        list.sort_by_key(|r| std::cmp::Reverse(r.priority));
        list
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_diagram_says_what_the_rules_say(list in rules()) {
        let mut d = Diagrams::new();
        let node = d.build(&list);
        for packet in packets() {
            prop_assert_eq!(d.follow(node, bit(packet)), naive(&list, packet), "{:?}", packet);
        }
    }

    #[test]
    fn a_difference_is_one_and_none_is_none(one in rules(), other in rules(), inside in rules()) {
        let mut d = Diagrams::new();
        let (a, b) = (d.build(&one), d.build(&other));
        let within: Vec<Rule> = inside.iter().map(|r| Rule { leaf: r.leaf % 2, part: Part::Decides, ..r.clone() }).collect();
        // Rules of one priority that disagree give a third leaf: neither in nor out is meant.
        let within: Vec<Rule> = (0..).zip(within).map(|(i, r)| Rule { priority: 100 - i, ..r }).collect();
        // The world has three bits of the register.
        let set = d.build(&within);
        let small = d.cases(Field::Reg(3), 3, 29, &[(0, YES)], NO);
        let set = d.and(set, small);
        let differs = |p: &Packet| naive(&one, *p) != naive(&other, *p) && naive(&within, *p) == 1;
        match d.difference(a, b, set) {
            None => prop_assert_eq!(packets().find(differs), None),
            Some((path, x, y)) => {
                let fits = |p: &Packet| path.iter().all(|(level, one)| bit(*p)(*level) == *one);
                let shown: Vec<Packet> = packets().filter(fits).collect();
                prop_assert!(!shown.is_empty());
                for p in shown {
                    prop_assert!(differs(&p));
                    prop_assert_eq!((naive(&one, p), naive(&other, p)), (x, y));
                }
            }
        }
    }

    #[test]
    fn sets_are_joined_and_turned_as_sets_are(one in rules(), other in rules()) {
        let mut d = Diagrams::new();
        let only = |list: &[Rule]| -> Vec<Rule> {
            (0..).zip(list).map(|(i, r)| Rule { priority: 100 - i, leaf: r.leaf % 2, part: Part::Decides, ..r.clone() }).collect()
        };
        let (one, other) = (only(&one), only(&other));
        let (a, b) = (d.build(&one), d.build(&other));
        let (and, or, not) = (d.and(a, b), d.or(a, b), d.not(a));
        for p in packets() {
            let (x, y) = (naive(&one, p) == 1, naive(&other, p) == 1);
            prop_assert_eq!(d.follow(and, bit(p)) == 1, x && y);
            prop_assert_eq!(d.follow(or, bit(p)) == 1, x || y);
            prop_assert_eq!(d.follow(not, bit(p)) == 1, !x);
        }
    }
}

#[test]
fn ranges_of_ports_are_exact() {
    let mut d = Diagrams::new();
    for ranges in [vec![(80, 80)], vec![(0, 0), (5000, 5100)], vec![(0, 65535)], vec![(1, 65534), (7, 9)], vec![]] {
        let node = d.ranges(Field::TcpDst, &ranges, YES, NO);
        for port in 0..=u16::MAX {
            let bit = |level: Level| port >> (15 - space::at(level).1) & 1 != 0;
            let wanted = ranges.iter().any(|(a, b)| (*a..=*b).contains(&port));
            assert_eq!(leaf(d.follow(node, bit)), if wanted { YES } else { NO }, "{port} in {ranges:?}");
        }
    }
    assert_eq!(number(YES), Some(1));
}
