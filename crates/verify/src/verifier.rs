//! Puts rows and facts together: table part by table part, proving again only what changed.
//!
//! `guard` is cut by ingress port and source MAC address, `locate` by blocks of 256 addresses, `permit` by source class;
//! the other tables are small. Packets that belong to no part by name are proved in parts of their own ("every other port",
//! "every other address"), so that the parts together are all packets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::Ipv4Addr;

use fseg_model::{ClassId, Dpid, Mac, SliceId};
use fseg_openflow::{Action, Field, FlowStats, Instruction};
use fseg_pipeline::{Cookie, Desired, Row, Table, bits};
use ipnet::Ipv4Net;

use crate::diagram::{Diagrams, NOTHING, Node, Part as Role, Quick, QuickMap, Rule, UNDECIDED};
use crate::domain::Domain;
use crate::facts::Facts;
use crate::packet::Point;
use crate::report::{Blame, Finding, Report};
use crate::space::{Demand, demands};
use crate::spec::{Case, Plan, Spec, Verdicts};
use crate::treatment::{Live, Treatment};

/// A part of a table that is proved by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// `guard`: this ingress port and source MAC address; `None` is every other one.
    Guard(Option<u32>, Option<u64>),
    /// `locate`: the 256 addresses of which these are the upper 24 bits; `None` is every other one.
    Locate(Option<u32>),
    /// `permit`: this slice and source class.
    Permit(SliceId, ClassId),
    /// A whole table.
    Whole(Table),
}

impl Part {
    /// The table it is a part of.
    pub fn table(self) -> Table {
        match self {
            Self::Guard(..) => Table::Guard,
            Self::Locate(_) => Table::Locate,
            Self::Permit(..) => Table::Permit,
            Self::Whole(table) => table,
        }
    }

    /// What is known of every packet of this part.
    pub(crate) fn known(self) -> Vec<Demand> {
        let exact = |field, value: u128| Demand::new(field, value, u128::MAX);
        match self {
            Self::Guard(port, mac) => port
                .map(|p| exact(Field::InPort, p.into()))
                .into_iter()
                .chain(mac.map(|m| exact(Field::EthSrc, m.into())))
                .collect(),
            Self::Locate(block) => {
                block.map(|b| Demand::new(Field::Ipv4Dst, u128::from(b) << 8, 0xffff_ff00)).into_iter().collect()
            }
            Self::Permit(slice, class) => {
                let value = bits::source(slice, fseg_model::WatchLevel::Log, class);
                vec![Demand::new(Field::Metadata, value.into(), bits::PERMIT_SOURCE_MASK.into())]
            }
            Self::Whole(_) => vec![],
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table())?;
        match *self {
            Self::Guard(None, _) => f.write_str(", ports nothing is known of"),
            Self::Guard(Some(p), None) => write!(f, ", port {p}, devices nothing is known of"),
            Self::Guard(Some(p), Some(m)) => write!(f, ", port {p}, {}", Mac::from_u64(m)),
            Self::Locate(None) => f.write_str(", addresses outside"),
            Self::Locate(Some(b)) => write!(f, ", {}/24", Ipv4Addr::from(b << 8)),
            Self::Permit(_, class) => write!(f, ", from class {class}"),
            Self::Whole(_) => Ok(()),
        }
    }
}

/// Proves one switch again and again, remembering what is proved.
#[derive(Default)]
pub struct Verifier {
    proved: HashMap<Part, (u64, u64)>,
    plan: Plan,
    diagrams: Diagrams,
}

/// So many parts with a difference are told; how many more there are is counted.
const MOST_FINDINGS: usize = 20;
/// So many rows are blamed for one, of each kind.
const MOST_BLAMED: usize = 8;
/// Diagrams are thrown away when they have so many nodes (24 bytes each, index included).
const MOST_NODES: usize = 2_000_000;

/// Treatments by number.
#[derive(Default)]
struct Treatments {
    numbers: HashMap<Treatment, u32>,
    list: Vec<Treatment>,
}

impl Treatments {
    /// `empty`: packets come into the table with an empty action set. Then what no row decides is dropped (OpenFlow 1.3.5,
    /// 5.4); otherwise Open vSwitch carries out what was to be done, and others drop.
    fn number(&mut self, treatment: &Treatment, empty: bool) -> u32 {
        if treatment.is_drop() && empty {
            return NOTHING;
        }
        if let Some(n) = self.numbers.get(treatment) {
            return *n;
        }
        self.list.push(treatment.clone());
        let n = self.list.len() as u32 + UNDECIDED;
        self.numbers.insert(treatment.clone(), n);
        n
    }

    fn text(&self, number: u32, empty: bool) -> String {
        match number {
            NOTHING if !empty => "no row decides; the switch may drop it or send it".to_owned(),
            NOTHING => Treatment::default().to_string(),
            UNDECIDED => "two rows of one priority disagree; the switch may choose either".to_owned(),
            n => self.list.get((n - UNDECIDED - 1) as usize).map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// The rows of one switch, by part.
struct Sorted<'a> {
    rows: &'a [FlowStats],
    digests: Vec<u64>,
    parts: HashMap<Part, Vec<u32>>,
    /// Rows of a port, whatever the MAC address.
    ports: BTreeMap<u32, Vec<u32>>,
    /// Rows that are in no part alone, by table.
    common: BTreeMap<Table, Vec<u32>>,
}

fn digest_of(row: &FlowStats) -> u64 {
    let mut h = Quick::default();
    h.write_u16(row.priority);
    row.matches.hash(&mut h);
    row.instructions.hash(&mut h);
    h.finish()
}

impl<'a> Sorted<'a> {
    fn new(rows: &'a [FlowStats]) -> Self {
        let mut this = Self {
            rows,
            digests: rows.iter().map(digest_of).collect(),
            parts: HashMap::new(),
            ports: BTreeMap::new(),
            common: BTreeMap::new(),
        };
        for (i, row) in rows.iter().enumerate() {
            let Some(table) = Table::from_number(row.table) else { continue };
            let i = i as u32;
            let port = row.matches.exact(Field::InPort).map(|p| p as u32);
            let mac = row.matches.exact(Field::EthSrc).map(|m| m as u64);
            let part = match table {
                Table::Guard => match (port, mac) {
                    (Some(_), Some(_)) => Some(Part::Guard(port, mac)),
                    (Some(port), None) => {
                        this.ports.entry(port).or_default().push(i);
                        continue;
                    }
                    _ => None,
                },
                Table::Locate => row
                    .matches
                    .get(Field::Ipv4Dst)
                    .filter(|v| v.mask.is_none_or(|m| m & 0xffff_ff00 == 0xffff_ff00))
                    .map(|v| Part::Locate(Some((v.value >> 8) as u32))),
                Table::Permit => row.matches.get(Field::Metadata).and_then(|v| {
                    let whole = u128::from(bits::PERMIT_SOURCE_MASK);
                    let class = ClassId::new(bits::classes(v.value as u64).0).ok()?;
                    let slice = SliceId((v.value >> 48) as u16);
                    v.mask.is_none_or(|m| m & whole == whole).then_some(Part::Permit(slice, class))
                }),
                whole => Some(Part::Whole(whole)),
            };
            match part {
                Some(part) => this.parts.entry(part).or_default().push(i),
                None => this.common.entry(table).or_default().push(i),
            }
        }
        this
    }

    fn sum(&self, list: Option<&Vec<u32>>) -> u64 {
        let sum = list.into_iter().flatten().filter_map(|i| self.digests.get(*i as usize));
        sum.fold(0_u64, |a, d| a.wrapping_add(d.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// The rows that may decide about packets of a part.
    fn of(&self, part: Part) -> impl Iterator<Item = u32> + '_ {
        let port = match part {
            Part::Guard(Some(port), _) => self.ports.get(&port),
            _ => None,
        };
        let lists = [self.parts.get(&part), port, self.common.get(&part.table())];
        lists.into_iter().flatten().flatten().copied()
    }
}

impl Verifier {
    /// A verifier that has proved nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Compares what a switch holds with what facts and policy say, for every packet. `desired`, the rows the node believes
    /// to be there, plays no part in the proof; it names the owner of a row that is missing.
    pub fn verify(&mut self, facts: &Facts, dpid: Dpid, rows: &[FlowStats], desired: Option<&Desired>) -> Report {
        let mut report = Report::new(dpid, rows.len());
        let live = Live::of(
            rows.iter().map(|r| (&r.matches, r.instructions.as_slice())),
            &[
                Field::Metadata,
                bits::OUT_PORT,
                bits::EXIT,
                bits::OUTSIDE,
                bits::FRAGMENT,
                bits::SERVICE_PORT,
                bits::SERVICE_PROTOCOL,
                bits::OBSERVED,
            ],
        );
        let Some(spec) = Spec::new(facts, dpid, &live) else { return report };
        let sorted = Sorted::new(rows);
        for row in rows {
            if Cookie::from_u64(row.cookie).is_none() {
                report.foreign.push(row.to_string());
            }
            if row.idle_timeout != 0 || row.hard_timeout != 0 {
                report.temporary.push(row.to_string());
            }
        }
        self.plan.update(facts);
        if spec.plain.is_some() {
            self.plan.turn_round();
        }
        report.pairs = self.plan.pairs();
        let mut work = Work {
            facts,
            spec: &spec,
            live: &live,
            sorted: &sorted,
            treatments: Treatments::default(),
            by_instructions: QuickMap::default(),
            conjunctions: HashMap::new(),
            free: Vec::new(),
            plain: Vec::new(),
            domain: Domain::new(&spec),
            desired,
        };
        work.index_conjunctions();
        let context = context_digest(facts, dpid, &live);
        let mut proved = HashMap::with_capacity(self.proved.len());
        for part in work.parts() {
            report.parts += 1;
            let state = (work.observed_digest(part), work.expected_digest(part, context, &self.plan));
            if self.proved.get(&part) == Some(&state) {
                report.remembered += 1;
                proved.insert(part, state);
                continue;
            }
            self.diagrams.trim(MOST_NODES);
            match work.prove(part, &mut self.diagrams, &self.plan) {
                None => {
                    proved.insert(part, state);
                }
                Some(finding) => {
                    report.different += 1;
                    if report.findings.len() < MOST_FINDINGS {
                        report.findings.push(finding);
                    }
                }
            }
        }
        self.proved = proved;
        if let Some(desired) = desired {
            report.extra = extra(rows, desired);
        }
        report
    }
}

/// Rows that the node did not write like this: harmless where nothing differs.
fn extra(rows: &[FlowStats], desired: &Desired) -> Vec<String> {
    let mut out = Vec::new();
    for row in rows {
        let known = Table::from_number(row.table).and_then(|table| {
            let key = fseg_pipeline::RowKey { table, priority: row.priority, matches: row.matches.clone() };
            desired.get(&key).filter(|d| d.instructions == row.instructions)
        });
        if known.is_none() {
            out.push(row.to_string());
        }
    }
    out
}

fn context_digest(facts: &Facts, dpid: Dpid, live: &Live) -> u64 {
    let mut h = Quick::default();
    h.write(format!("{dpid:?}{:?}{:?}{:?}", facts.fabric, facts.externals, facts.shown).as_bytes());
    live.hash(&mut h);
    h.finish()
}

/// One run.
struct Work<'a> {
    facts: &'a Facts,
    spec: &'a Spec<'a>,
    live: &'a Live,
    sorted: &'a Sorted<'a>,
    treatments: Treatments,
    by_instructions: QuickMap<(bool, &'a [Instruction]), u32>,
    /// Rows of `permit` that are in no part alone, by the conjunction they serve.
    conjunctions: HashMap<u32, Vec<u32>>,
    /// Conjunctions that a packet of any class may meet.
    free: Vec<u32>,
    /// Rows of `permit` that are in no part alone and serve no conjunction.
    plain: Vec<u32>,
    domain: Domain<'a>,
    desired: Option<&'a Desired>,
}

/// The clauses a row is, if it is one.
fn clauses(instructions: &[Instruction]) -> Vec<(u32, u8, u8)> {
    let lists = instructions.iter().filter_map(|i| match i {
        Instruction::ApplyActions(list) => Some(list),
        _ => None,
    });
    lists
        .flatten()
        .filter_map(|a| match a {
            Action::Conjunction { id, clause, of } => Some((*id, *clause, *of)),
            _ => None,
        })
        .collect()
}

impl<'a> Work<'a> {
    fn index_conjunctions(&mut self) {
        let mut covered: BTreeMap<u32, (u64, u8)> = BTreeMap::new();
        for i in self.sorted.common.get(&Table::Permit).into_iter().flatten() {
            let Some(row) = self.sorted.rows.get(*i as usize) else { continue };
            let parts = clauses(&row.instructions);
            for (id, clause, of) in &parts {
                self.conjunctions.entry(*id).or_default().push(*i);
                let entry = covered.entry(*id).or_insert((0, *of));
                entry.0 |= 1_u64.checked_shl(u32::from(clause.saturating_sub(1))).unwrap_or(0);
            }
            match row.matches.exact(Field::ConjId) {
                Some(id) => self.conjunctions.entry(id as u32).or_default().push(*i),
                None if parts.is_empty() => self.plain.push(*i),
                None => {}
            }
        }
        let whole = |(_, (seen, of)): &(&u32, &(u64, u8))| seen.count_ones() >= u32::from(*of);
        self.free = covered.iter().filter(whole).map(|(id, _)| *id).collect();
    }

    /// All parts that rows or facts have.
    fn parts(&self) -> BTreeSet<Part> {
        let guard = |(port, mac): (u32, u64)| Part::Guard(Some(port), Some(mac));
        let mut out: BTreeSet<Part> = self.sorted.parts.keys().copied().collect();
        out.extend(self.spec.guarded().into_iter().map(guard));
        out.extend(self.spec.switch().ports.iter().map(|p| Part::Guard(Some(p.number.0), None)));
        let named: Vec<u32> = out
            .iter()
            .filter_map(|p| if let Part::Guard(Some(port), _) = p { Some(*port) } else { None })
            .chain(self.sorted.ports.keys().copied())
            .collect();
        out.extend(named.into_iter().map(|port| Part::Guard(Some(port), None)));
        out.insert(Part::Guard(None, None));
        out.extend(self.spec.blocks().into_iter().map(|b| Part::Locate(Some(b))));
        out.insert(Part::Locate(None));
        // Rows of classes that nobody has meet no packet.
        out.retain(|p| !matches!(p, Part::Permit(..)));
        out.extend(self.spec.judged().into_iter().map(|(slice, class)| Part::Permit(slice, class)));
        out.extend(
            Table::all().filter(|t| !matches!(t, Table::Guard | Table::Locate | Table::Permit)).map(Part::Whole),
        );
        if self.spec.plain.is_some() {
            // Nothing leads to the other tables, which the parts before them prove.
            let used = |t: Table| fseg_pipeline::table::PLAIN.iter().any(|d| d.table == t);
            out.retain(|p| used(p.table()));
        }
        out
    }

    fn observed_digest(&self, part: Part) -> u64 {
        let port = match part {
            Part::Guard(Some(port), _) => self.sorted.sum(self.sorted.ports.get(&port)),
            _ => 0,
        };
        let mut h = Quick::default();
        h.write_u64(self.sorted.sum(self.sorted.parts.get(&part)));
        h.write_u64(port);
        h.write_u64(self.sorted.sum(self.sorted.common.get(&part.table())));
        h.finish()
    }

    fn expected_digest(&self, part: Part, context: u64, plan: &Plan) -> u64 {
        let mut h = Quick::default();
        h.write_u64(context);
        h.write_u8(u8::from(part == Part::Whole(Table::Inspect) && plan.shows()));
        match part {
            Part::Permit(_, class) => h.write_u64(plan.digest(class)),
            other => self.spec.digest(other, &mut h),
        }
        h.finish()
    }

    /// Whether packets come into a table with an empty action set: on Open vSwitch nothing is ever left in it.
    fn empty(&self, table: Table) -> bool {
        self.spec.plain.is_none() || matches!(table, Table::Guard | Table::Onboard | Table::Locate)
    }

    /// The number of a treatment that is expected.
    fn expected(&mut self, treatment: &Treatment, table: Table) -> u32 {
        let empty = self.empty(table);
        self.treatments.number(&self.spec.fitted(treatment), empty)
    }

    fn rule(&mut self, index: u32, known: &[Demand]) -> Option<Rule> {
        let row = self.sorted.rows.get(index as usize)?;
        let parts = clauses(&row.instructions);
        let role = match row.matches.get(Field::ConjId) {
            _ if !parts.is_empty() => Role::Clauses(parts),
            Some(v) => Role::Met(v.value as u32, v.mask.map_or(u32::MAX, |m| m as u32)),
            None => Role::Decides,
        };
        let empty = Table::from_number(row.table).is_none_or(|t| self.empty(t));
        let leaf = match self.by_instructions.get(&(empty, row.instructions.as_slice())) {
            Some(n) => *n,
            None => {
                let n = self.treatments.number(&Treatment::of(&row.instructions, self.live, empty), empty);
                self.by_instructions.insert((empty, &row.instructions), n);
                n
            }
        };
        let demands = demands(&row.matches.clone().without(Field::ConjId));
        Rule { priority: row.priority.into(), part: role, demands, leaf }.within(known)
    }

    /// The rows that may decide about packets of a part, as rules, with their numbers.
    fn observed(&mut self, part: Part, known: &[Demand]) -> Vec<(Rule, u32)> {
        let rows: Vec<u32> = match part {
            // Of the conjunctions, only those one of whose sources is this class: the others are not met here.
            Part::Permit(..) => self.of_class(part),
            _ => self.sorted.of(part).collect(),
        };
        let mut out: Vec<(Rule, u32)> = rows.into_iter().filter_map(|i| Some((self.rule(i, known)?, i))).collect();
        out.sort_by_key(|(r, _)| std::cmp::Reverse(r.priority));
        out
    }

    /// Of the conjunctions, those that packets of this class can meet.
    fn of_class(&self, part: Part) -> Vec<u32> {
        let own = self.sorted.parts.get(&part).map_or(&[][..], Vec::as_slice);
        let mut ids: BTreeSet<u32> = self.free.iter().copied().collect();
        for row in own.iter().filter_map(|i| self.sorted.rows.get(*i as usize)) {
            ids.extend(clauses(&row.instructions).iter().map(|(id, _, _)| *id));
        }
        let mut out: BTreeSet<u32> = own.iter().chain(&self.plain).copied().collect();
        for id in ids {
            out.extend(self.conjunctions.get(&id).into_iter().flatten());
        }
        out.into_iter().collect()
    }

    fn cases(&self, part: Part) -> Vec<Case> {
        match part {
            Part::Guard(port, mac) => self.spec.guard(port, mac),
            Part::Locate(block) => self.spec.locate(block.and_then(|b| Ipv4Net::new(Ipv4Addr::from(b << 8), 24).ok())),
            Part::Whole(table) => self.spec.small(table),
            Part::Permit(..) => vec![],
        }
    }

    fn prove(&mut self, part: Part, d: &mut Diagrams, plan: &Plan) -> Option<Finding> {
        let known = part.known();
        let observed = self.observed(part, &known);
        let rules: Vec<Rule> = observed.iter().map(|(r, _)| r.clone()).collect();
        let found = d.build(&rules);
        let expected = match part {
            Part::Permit(_, class) => {
                let [pass, observed, denied, dropped] = self.spec.verdicts().map(|t| self.expected(&t, Table::Permit));
                let shown = self.spec.answers();
                let shown = shown.into_iter().map(|(port, from, t)| (port, from, self.expected(&t, Table::Permit)));
                let verdicts = Verdicts { pass, observed, denied, dropped, shown: shown.collect() };
                match self.spec.plain {
                    Some(_) => plan.plain_node(d, class, &verdicts),
                    None => plan.node(d, class, &verdicts),
                }
            }
            _ => {
                let cases = self.cases(part);
                self.function(part.table(), &cases, &known, d)
            }
        };
        if found == expected {
            return None;
        }
        let named: Vec<Part> = match part {
            Part::Guard(_, None) | Part::Locate(None) => self.parts().into_iter().collect(),
            _ => vec![],
        };
        let among = self.domain.of(part, &named, d);
        let (found, expected) = self.followed(part, found, expected, d);
        let likely = self.domain.likely(part, d);
        let likely = d.and(among, likely);
        let (path, is, should) =
            d.difference(found, expected, likely).or_else(|| d.difference(found, expected, among))?;
        let point = Point::new(part, &path);
        let mut finding = Finding {
            part,
            packet: point.witness(part.table(), self.facts, self.spec),
            inputs: point.to_string(),
            expected: self.treatments.text(should, self.empty(part.table())),
            found: self.treatments.text(is, self.empty(part.table())),
            blamed: Vec::new(),
        };
        self.blame(part, &point, &observed, &mut finding);
        Some(finding)
    }

    /// Both functions, led on through the small tables behind, as those should be, where a packet goes on as it came: two ways
    /// to one end are no difference. What those tables really do is proved in parts of their own.
    fn followed(&mut self, part: Part, mut found: Node, mut expected: Node, d: &mut Diagrams) -> (Node, Node) {
        let small = [Table::Onboard, Table::Answer, Table::Inspect, Table::Deliver, Table::Emit];
        for table in small.into_iter().filter(|t| *t > part.table()) {
            if self.empty(table) != self.empty(part.table()) {
                continue;
            }
            let goes = Treatment { next: Some(table.number()), ..Treatment::default() };
            let goes = self.treatments.number(&goes, true);
            let cases = self.spec.small(table);
            let then = self.function(table, &cases, &part.known(), d);
            found = d.otherwise(found, goes, then);
            expected = d.otherwise(expected, goes, then);
        }
        (found, expected)
    }

    /// The function of cases of which the first that fits counts.
    fn function(&mut self, table: Table, cases: &[Case], known: &[Demand], d: &mut Diagrams) -> Node {
        let count = cases.len() as u32;
        let rules: Vec<Rule> = (0..count)
            .zip(cases)
            .filter_map(|(i, c)| {
                let leaf = self.expected(&c.treatment, table);
                Rule::new(count - i, demands(&c.matches), leaf).within(known)
            })
            .collect();
        d.build(&rules)
    }

    /// The rows to blame for a packet's treatment: those that are there and should not be like this, those that should be and
    /// are not; and where that is unknown, those that decide.
    fn blame(&self, part: Part, point: &Point, observed: &[(Rule, u32)], finding: &mut Finding) {
        let meets = |r: &Rule| r.demands.iter().all(|d| point.meets(d));
        let hit: Vec<&(Rule, u32)> = observed.iter().filter(|(r, _)| meets(r)).collect();
        let blame = |row: &FlowStats| Blame {
            row: row.to_string(),
            cookie: row.cookie,
            owner: Cookie::from_u64(row.cookie).map(|c| c.owner),
            missing: false,
        };
        if let Some(desired) = self.desired {
            let there = |w: &Row| {
                self.sorted.of(part).filter_map(|i| self.sorted.rows.get(i as usize)).any(|r| {
                    r.priority == w.key.priority && r.matches == w.key.matches && r.instructions == w.instructions
                })
            };
            let met = |r: &Row| {
                r.key.table == part.table()
                    && demands(&r.key.matches.clone().without(Field::ConjId)).iter().all(|d| point.meets(d))
            };
            for w in desired.iter().filter(met).filter(|w| !there(w)).take(MOST_BLAMED) {
                finding.blamed.push(Blame {
                    row: w.to_add(0).to_string().trim_start_matches("ADD ").to_owned(),
                    cookie: Cookie { owner: w.owner, round: 0 }.to_u64(),
                    owner: Some(w.owner),
                    missing: true,
                });
            }
            let foreign = |row: &&FlowStats| {
                let key =
                    fseg_pipeline::RowKey { table: part.table(), priority: row.priority, matches: row.matches.clone() };
                desired.get(&key).is_none_or(|w| w.instructions != row.instructions)
            };
            let rows = hit.iter().filter_map(|(_, i)| self.sorted.rows.get(*i as usize)).filter(foreign);
            finding.blamed.extend(rows.take(MOST_BLAMED).map(blame));
        }
        if finding.blamed.is_empty() {
            let decides = hit.iter().filter(|(r, _)| r.part == Role::Decides).map(|(r, _)| r.priority).max();
            let rows = hit.iter().filter(|(r, _)| Some(r.priority) >= decides);
            let rows = rows.filter_map(|(_, i)| self.sorted.rows.get(*i as usize));
            finding.blamed.extend(rows.take(MOST_BLAMED).map(blame));
        }
    }
}
