//! Changes: a difference touches what changed and nothing else, denials come first, and a comparison with what a switch
//! says repairs exactly what is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod site;

use std::collections::{BTreeMap, BTreeSet};

use fseg_model::{EndpointId, Flow};
use fseg_openflow::{Action, FlowCommand, FlowStats, Instruction};
use fseg_pipeline::rows::permit_rows;
use fseg_pipeline::{Cookie, Delta, Desired, Owner, Row, RowKey, Table, Unsent, repair};
use fseg_test_kit::Tables;
use proptest::prelude::*;
use site::{Host, NODE, SW1, SW2, Site, at};

const POLICY: &str = "
groups:
  a: { members: [] }
  b: { members: [] }
permits:
  - { id: web, from: a, to: b, services: [tcp/80] }
  - { id: web-again, from: a, to: b, services: [tcp/80] }
  - { id: ping, from: b, to: a, services: [icmp/echo] }
";

fn office() -> Site {
    let hosts =
        vec![Host::inside(1, at(SW1, 1), "a"), Host::inside(2, at(SW1, 2), "b"), Host::inside(3, at(SW2, 1), "b")];
    Site::new(hosts, POLICY)
}

fn stats(tables: &Tables) -> Vec<FlowStats> {
    tables.stats(0xff, 0, 0, &fseg_openflow::Match::new())
}

#[test]
fn replacing_rows_by_the_same_rows_touches_nothing() {
    let mut site = office();
    for dpid in [NODE, SW1, SW2] {
        let owners: Vec<Owner> = site.desired[&dpid].owners().collect();
        assert!(owners.len() > 10);
        for owner in owners {
            let rows: Vec<Row> = site.desired[&dpid].of_owner(owner).collect();
            let delta = site.desired.get_mut(&dpid).unwrap().replace(owner, rows);
            assert!(delta.is_empty(), "{owner}: {delta:?}");
        }
    }
}

#[test]
fn moving_one_endpoint_touches_only_its_rows() {
    let mut site = office();
    site.hosts[0].place = at(SW2, 7);
    let facts = site.facts(0);
    for dpid in [NODE, SW1, SW2] {
        let switch = site.fabric.switch(dpid).unwrap().clone();
        let rows = fseg_pipeline::rows::endpoint_rows(&site.fabric, &switch, &facts);
        let before: BTreeSet<RowKey> =
            site.desired[&dpid].of_owner(Owner::Endpoint(facts.id)).map(|r| r.key.clone()).collect();
        let delta = site.replace(dpid, Owner::Endpoint(facts.id), rows.clone());
        assert!(!delta.is_empty());
        assert!(delta.remove.iter().all(|k| before.contains(k) && !rows.iter().any(|r| r.key == *k)));
        assert!(delta.add.iter().all(|r| rows.contains(r)));
    }
}

#[test]
fn two_permits_for_one_pair_have_rows_and_counters_of_their_own() {
    let mut site = office();
    let of = |site: &Site, n: u32| -> Vec<Row> { site.desired[&SW1].of_owner(Owner::Permit(n)).collect() };
    let (one, two) = (of(&site, 1), of(&site, 2));
    // The service's row, and that of later fragments.
    assert_eq!((one.len(), two.len()), (2, 2));
    let keys = |rows: &[Row]| rows.iter().map(|r| r.key.clone()).collect::<BTreeSet<_>>();
    let matches = |rows: &[Row]| rows.iter().map(|r| r.key.matches.clone()).collect::<BTreeSet<_>>();
    assert!(keys(&one).is_disjoint(&keys(&two)));
    assert_eq!(matches(&one), matches(&two));
    // Taking one away leaves the other's permission.
    site.on_all(Owner::Permit(2), |_, _| vec![]);
    site.check_one(0, 1, Flow::tcp(80), true);
    site.on_all(Owner::Permit(1), |_, _| vec![]);
    site.check_one(0, 1, Flow::tcp(80), false);
}

#[test]
fn what_takes_rights_away_comes_first() {
    let mut site = office();
    let facts = |n: usize, site: &Site| {
        let permit = site.policy.permits[n].clone();
        permit_rows(&site.permit_facts(n as u32 + 1, &permit))
    };
    let mut unsent = Unsent::default();
    unsent.push(Delta { remove: vec![], add: facts(0, &site) });
    unsent.push(site.desired.get_mut(&SW1).unwrap().replace(Owner::Permit(3), vec![]));
    let ping = facts(2, &site);
    assert_eq!(unsent.counts(), (2, 2));
    let commands: Vec<_> = unsent.clone().take().flow_mods(1).iter().map(|m| m.command).collect();
    let (delete, add) = (FlowCommand::DeleteStrict, FlowCommand::Add);
    assert_eq!(commands, [delete, delete, add, add]);
    // Taken away and given back before anything was sent: it is not taken away any more.
    unsent.push(site.desired.get_mut(&SW1).unwrap().replace(Owner::Permit(3), ping));
    assert!(unsent.take().flow_mods(1).iter().all(|m| m.command == FlowCommand::Add));
}

#[test]
fn a_comparison_with_what_is_right_finds_nothing() {
    let site = office();
    for dpid in [NODE, SW1, SW2] {
        let switch = &site.net.switches[&dpid];
        let found = repair::compare(&site.desired[&dpid], &stats(&switch.tables));
        assert!(found.delta.is_empty() && found.strangers.is_empty());
        assert_eq!((found.intact, found.foreign), (site.desired[&dpid].len(), 0));
        // Another round is not a difference: a restart touches nothing.
        let mut later = Tables::default();
        for row in site.desired[&dpid].iter() {
            later.apply(&row.to_add(77)).unwrap();
        }
        assert!(repair::compare(&site.desired[&dpid], &stats(&later)).delta.is_empty());
    }
}

#[test]
fn every_row_survives_the_wire() {
    // What a switch reports is compared with what was made: both must spell a row alike.
    let site = office();
    for row in site.desired.values().flat_map(Desired::iter) {
        let m = row.to_add(1);
        let message = fseg_openflow::Message { xid: 1, body: fseg_openflow::Body::FlowMod(m) };
        assert_eq!(fseg_openflow::Message::decode(&message.encode()).unwrap(), message);
        assert_eq!(row.key.matches.missing_prerequisite(), None, "{row:?}");
        assert_eq!(fseg_pipeline::table::violation(&row), None);
    }
}

/// What can happen to a switch's tables behind the controller's back.
#[derive(Debug, Clone)]
enum Damage {
    Lose(prop::sample::Index),
    ChangeInstructions(prop::sample::Index),
    ChangeOwner(prop::sample::Index),
    ForeignCookie(prop::sample::Index),
    AddTimeout(prop::sample::Index),
    AddForeign(u8, u16),
    AddLeftover(u16),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Lose),
        index().prop_map(Damage::ChangeInstructions),
        index().prop_map(Damage::ChangeOwner),
        index().prop_map(Damage::ForeignCookie),
        index().prop_map(Damage::AddTimeout),
        (0..20_u8, 1..400_u16).prop_map(|(t, p)| Damage::AddForeign(t, p)),
        (1..400_u16).prop_map(Damage::AddLeftover),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_repair_mends_exactly_what_is_damaged(list in prop::collection::vec(damage(), 0..12)) {
        let site = office();
        let desired = &site.desired[&SW1];
        let mut tables = site.net.switches[&SW1].tables.clone();
        let mut rows: Vec<Row> = desired.iter().collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        // What must be put back, and what taken away.
        let mut wrong: BTreeMap<RowKey, ()> = BTreeMap::new();
        let mut extra: BTreeSet<(u8, u16)> = BTreeSet::new();
        for one in list {
            let mut alter = |index: prop::sample::Index, with: &dyn Fn(&mut fseg_openflow::FlowMod)| {
                let row = index.get(&rows);
                let mut m = row.to_add(1);
                with(&mut m);
                tables.apply(&m).unwrap();
                wrong.insert(row.key.clone(), ());
            };
            match one {
                Damage::Lose(i) => {
                    let key = &i.get(&rows).key;
                    tables.apply(&fseg_pipeline::desired::to_delete(key)).unwrap();
                    wrong.insert(key.clone(), ());
                }
                Damage::ChangeInstructions(i) => {
                    alter(i, &|m| m.instructions = vec![Instruction::ApplyActions(vec![Action::output(7)])]);
                }
                Damage::ChangeOwner(i) => {
                    alter(i, &|m| m.cookie = Cookie { owner: Owner::Endpoint(EndpointId(999)), round: 1 }.to_u64());
                }
                Damage::ForeignCookie(i) => alter(i, &|m| m.cookie = 0x1234),
                Damage::AddTimeout(i) => alter(i, &|m| m.idle_timeout = 5),
                Damage::AddForeign(table, priority) => {
                    let mut m = fseg_openflow::FlowMod::add(table, 60_000 + priority);
                    m.cookie = 0xdead;
                    tables.apply(&m).unwrap();
                    extra.insert((table, 60_000 + priority));
                }
                Damage::AddLeftover(priority) => {
                    let mut m = fseg_openflow::FlowMod::add(0, 50_000 + priority);
                    m.cookie = Cookie { owner: Owner::Endpoint(EndpointId(7)), round: 1 }.to_u64();
                    tables.apply(&m).unwrap();
                    extra.insert((0, 50_000 + priority));
                }
            }
        }
        let found = repair::compare(desired, &stats(&tables));
        let strangers: BTreeSet<_> = found.strangers.iter().map(|s| (s.table, s.priority)).collect();
        let mut removed: BTreeSet<_> = found.delta.remove.iter().map(|k| (k.table.number(), k.priority)).collect();
        prop_assert!(strangers.iter().all(|(t, _)| Table::from_number(*t).is_none()));
        removed.extend(strangers);
        prop_assert_eq!(removed, extra);
        let mended: BTreeMap<RowKey, ()> = found.delta.add.iter().map(|r| (r.key.clone(), ())).collect();
        // A row that was changed and lost and so on is put back once.
        prop_assert_eq!(mended, wrong.clone());
        prop_assert_eq!(found.intact, desired.len() - wrong.len());
        // Carried out, nothing is left to do.
        for s in &found.strangers {
            tables.apply(&fseg_openflow::FlowMod::delete_strict(s.table, s.priority, s.matches.clone())).unwrap();
        }
        for m in found.delta.flow_mods(2) {
            tables.apply(&m).unwrap();
        }
        let again = repair::compare(desired, &stats(&tables));
        prop_assert!(again.delta.is_empty() && again.strangers.is_empty());
        prop_assert_eq!(again.intact, desired.len());
    }

    /// Several changes sent as one leave the same rows as one after the other.
    #[test]
    fn changes_add_up(steps in prop::collection::vec((0..3_usize, 0..4_usize), 1..10)) {
        let site = office();
        let mut desired = site.desired[&SW1].clone();
        let mut tables = site.net.switches[&SW1].tables.clone();
        let owners = [Owner::Permit(1), Owner::Permit(3), Owner::Endpoint(EndpointId(1))];
        let all: Vec<Vec<Row>> = owners.iter().map(|o| desired.of_owner(*o).collect()).collect();
        let mut sum = Unsent::default();
        for (owner, keep) in steps {
            let rows: Vec<Row> = all[owner].iter().take(keep).cloned().collect();
            sum.push(desired.replace(owners[owner], rows));
        }
        for m in sum.take().flow_mods(1) {
            tables.apply(&m).unwrap();
        }
        let found = repair::compare(&desired, &stats(&tables));
        prop_assert!(found.delta.is_empty(), "{:?}", found.delta);
    }
}

#[test]
fn a_row_that_changes_owners_is_never_lost() {
    let row = |owner, port: u32| {
        let mut rows = facts_row();
        rows.owner = owner;
        rows.instructions = vec![fseg_openflow::Instruction::ApplyActions(vec![fseg_openflow::Action::output(port)])];
        rows
    };
    fn facts_row() -> Row {
        let matches = fseg_openflow::Match::new().with(fseg_openflow::Field::EthType, 0x0800_u16);
        let key = fseg_pipeline::RowKey { table: fseg_pipeline::Table::Emit, priority: 7, matches };
        Row { key, owner: Owner::External(16), instructions: vec![] }
    }
    let (a, b) = (Owner::External(16), Owner::External(17));
    // Whichever of the two is replaced first.
    for first_gives in [true, false] {
        let mut desired = Desired::new();
        desired.replace(b, vec![row(b, 2)]);
        if first_gives {
            desired.replace(b, vec![]);
            desired.replace(a, vec![row(a, 1)]);
        } else {
            assert!(desired.replace(a, vec![row(a, 1)]).is_empty(), "the other one holds it");
            let delta = desired.replace(b, vec![]);
            assert_eq!((delta.remove.len(), delta.add.len()), (0, 1), "it changes hands in one step");
        }
        assert_eq!(desired.len(), 1);
        assert_eq!(desired.get(&facts_row().key).map(|r| r.owner), Some(a));
        assert_eq!(desired.of_owner(a).count(), 1);
        // And it goes when its new owner lets go.
        assert_eq!(desired.replace(a, vec![]).remove.len(), 1);
        assert!(desired.is_empty());
    }
}

/// [`Desired`] against a plain list: each key has one owner, who was first; the others wait in the order of owners.
#[derive(Debug, Default)]
struct PlainList {
    wants: BTreeMap<Owner, BTreeMap<RowKey, Row>>,
    holds: BTreeMap<RowKey, Owner>,
}

impl PlainList {
    fn replace(&mut self, owner: Owner, rows: &[Row]) {
        self.wants.insert(owner, rows.iter().map(|r| (r.key.clone(), r.clone())).collect());
        let wants = &self.wants;
        self.holds.retain(|key, holder| *holder != owner || wants[&owner].contains_key(key));
        for (other, rows) in wants {
            for key in rows.keys() {
                self.holds.entry(key.clone()).or_insert(*other);
            }
        }
    }

    fn rows(&self) -> BTreeMap<RowKey, Row> {
        self.holds.iter().map(|(key, owner)| (key.clone(), self.wants[owner][key].clone())).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_desired_agrees_with_a_plain_list(
        steps in prop::collection::vec((0..4_u32, prop::collection::vec((0..6_u16, 1..4_u32), 0..6)), 1..30)
    ) {
        let (mut desired, mut list) = (Desired::new(), PlainList::default());
        let mut on_switch: BTreeMap<RowKey, Row> = BTreeMap::new();
        for (number, rows) in steps {
            let owner = Owner::External(16 + number);
            let mut wanted: BTreeMap<RowKey, Row> = BTreeMap::new();
            let rows: Vec<Row> = rows.into_iter().map(|(priority, port)| {
                let matches = fseg_openflow::Match::new().with(fseg_openflow::Field::EthType, 0x0800_u16);
                let key = RowKey { table: Table::Emit, priority, matches };
                let instructions = vec![Instruction::ApplyActions(vec![Action::output(port)])];
                Row { key, owner, instructions }
            }).collect();
            wanted.extend(rows.iter().map(|r| (r.key.clone(), r.clone())));
            let twice = wanted.len() < rows.len();
            list.replace(owner, &wanted.into_values().collect::<Vec<_>>());
            let delta = desired.replace(owner, rows);
            for key in &delta.remove {
                prop_assert!(on_switch.remove(key).is_some(), "{:?} was not there", key);
            }
            for row in delta.add {
                prop_assert!(twice || on_switch.get(&row.key) != Some(&row), "{:?} was there already", row);
                on_switch.insert(row.key.clone(), row);
            }
            prop_assert_eq!(&on_switch, &list.rows());
            let held: BTreeMap<RowKey, Row> = desired.iter().map(|r| (r.key.clone(), r)).collect();
            prop_assert_eq!(&held, &on_switch);
            prop_assert_eq!(desired.len(), on_switch.len());
            for owner in (0..4).map(|n| Owner::External(16 + n)) {
                let own: Vec<Row> = on_switch.values().filter(|r| r.owner == owner).cloned().collect();
                prop_assert_eq!(desired.of_owner(owner).collect::<Vec<_>>(), own);
            }
            prop_assert!(on_switch.values().all(|r| desired.get(&r.key).as_ref() == Some(r)));
        }
    }
}
