//! Decision diagrams with treatments as their leaves, kept reduced and shared: two functions of packets are the same
//! exactly when their nodes are the same number (Bryant 1986; with more than two leaves, Fujita, McGeer and Yang 1997).
//!
//! A diagram is made from the top: the list of rows that still may win is split by the next bit that any of them asks
//! for. That costs what the rows have in bits, and never more than the diagram has; adding rows one by one to a growing
//! diagram costs their product.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use fseg_openflow::Field;

use crate::space::{self, Demand, Level, Rank};

/// A node; the upper bit tells a leaf, whose lower bits are its number.
pub type Node = u32;

const LEAF: u32 = 1 << 31;

/// The leaf of a number.
pub const fn leaf(number: u32) -> Node {
    LEAF | number
}

/// The number of a leaf; `None` for an inner node.
pub const fn number(node: Node) -> Option<u32> {
    if node & LEAF != 0 { Some(node & !LEAF) } else { None }
}

/// Outside of a set.
pub const NO: Node = leaf(0);
/// Inside of a set.
pub const YES: Node = leaf(1);

/// A fast hasher for small keys of this crate's own making (multiply and rotate).
#[derive(Default, Clone, Copy)]
pub struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(a, b)| *a = *b);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n.into());
    }
    fn write_u16(&mut self, n: u16) {
        self.write_u64(n.into());
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn write_u128(&mut self, n: u128) {
        self.write_u64(n as u64);
        self.write_u64((n >> 64) as u64);
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
}

/// A map with [`Quick`].
pub type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// What a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// It decides.
    Decides,
    /// It is a clause of conjunctions: id, clause from 1, number of clauses.
    Clauses(Vec<(u32, u8, u8)>),
    /// It decides when a conjunction is met (or when `conj_id` is otherwise as this demands): value, mask.
    Met(u32, u32),
}

/// One row as a function: what it demands, and the leaf it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Higher wins.
    pub priority: u32,
    /// What it is for.
    pub part: Part,
    /// What it demands, sorted by rank; without `conj_id`.
    pub demands: Vec<Demand>,
    /// The leaf's number.
    pub leaf: u32,
}

impl Rule {
    /// A rule that decides.
    pub fn new(priority: u32, demands: Vec<Demand>, leaf: u32) -> Self {
        Self { priority, part: Part::Decides, demands, leaf }
    }

    /// What is left of a rule where these bits of a field are known; `None` when it cannot match there.
    pub fn within(&self, known: &[Demand]) -> Option<Rule> {
        let mut out = self.clone();
        for k in known {
            if let Some(at) = out.demands.iter().position(|d| d.rank == k.rank) {
                let d = out.demands.get_mut(at)?;
                if (d.value ^ k.value) & d.mask & k.mask != 0 {
                    return None;
                }
                d.mask &= !k.mask;
                d.value &= d.mask;
                if d.mask == 0 {
                    out.demands.remove(at);
                }
            }
        }
        Some(out)
    }

    /// The next bit this rule asks for, from a level on.
    fn next(&self, cursor: &mut u16, from: Level) -> Option<Level> {
        let (rank, bit) = space::at(from);
        while let Some(d) = self.demands.get(usize::from(*cursor)) {
            if d.rank > rank {
                return Some(d.rank << 7 | d.mask.leading_zeros());
            }
            let rest = if d.rank == rank { d.mask & (u128::MAX >> bit) } else { 0 };
            if rest != 0 {
                return Some(d.rank << 7 | rest.leading_zeros());
            }
            *cursor += 1;
        }
        None
    }
}

/// A rule that may still win, and how far its demands are met.
type Candidate = (u32, u16);

/// All diagrams of one comparison.
#[derive(Default)]
pub struct Diagrams {
    nodes: Vec<(Level, Node, Node)>,
    unique: QuickMap<(Level, Node, Node), Node>,
    built: QuickMap<(Level, Vec<u32>), Node>,
    both: QuickMap<(Node, Node), Node>,
}

/// Bits that lead somewhere: level and value.
pub type Path = Vec<(Level, bool)>;

/// The leaf for packets that no rule decides.
pub const NOTHING: u32 = 0;

/// The leaf of packets for which two rules of one priority say different things: the switch may choose.
pub const UNDECIDED: u32 = 1;

impl Diagrams {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// No nodes at all.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Forgets every diagram, when they have become many.
    pub fn trim(&mut self, most: usize) {
        if self.nodes.len() > most {
            *self = Self::new();
        }
    }

    /// The node that asks for one bit.
    pub fn ask(&mut self, level: Level, zero: Node, one: Node) -> Node {
        if zero == one {
            return zero;
        }
        let nodes = &mut self.nodes;
        *self.unique.entry((level, zero, one)).or_insert_with(|| {
            nodes.push((level, zero, one));
            (nodes.len() - 1) as Node
        })
    }

    fn open(&self, node: Node) -> Option<(Level, Node, Node)> {
        if node & LEAF != 0 { None } else { self.nodes.get(node as usize).copied() }
    }

    fn level(&self, node: Node) -> Level {
        self.open(node).map_or(Level::MAX, |(level, _, _)| level)
    }

    /// Both halves of a node as a level sees them.
    fn halves(&self, node: Node, level: Level) -> (Node, Node) {
        match self.open(node) {
            Some((at, zero, one)) if at == level => (zero, one),
            _ => (node, node),
        }
    }

    /// The function of rules: for every packet the leaf of the rule that wins. The list is in descending priority.
    pub fn build(&mut self, rules: &[Rule]) -> Node {
        self.built.clear();
        let all: Vec<Candidate> = (0..rules.len() as u32).map(|i| (i, 0)).collect();
        self.split(rules, all, 0)
    }

    fn split(&mut self, rules: &[Rule], mut list: Vec<Candidate>, from: Level) -> Node {
        let mut first: Option<Level> = None;
        let mut decided: Option<(u32, u32)> = None;
        let mut clauses = false;
        list.retain_mut(|(i, cursor)| {
            let Some(rule) = rules.get(*i as usize) else { return false };
            if let Some((priority, leaf)) = decided
                && (rule.priority < priority || rule.part == Part::Decides && rule.leaf == leaf)
            {
                return false;
            }
            match rule.next(cursor, from) {
                Some(level) => first = Some(first.map_or(level, |f| f.min(level))),
                None if rule.part == Part::Decides && decided.is_none() => decided = Some((rule.priority, rule.leaf)),
                None => {}
            }
            clauses |= rule.part != Part::Decides;
            true
        });
        if clauses && prune(rules, &mut list) {
            first = None;
            for (i, cursor) in &mut list {
                if let Some(level) = rules.get(*i as usize).and_then(|r| r.next(cursor, from)) {
                    first = Some(first.map_or(level, |f| f.min(level)));
                }
            }
        }
        let Some(level) = first else { return leaf(winner(rules, &list)) };
        let key = (level, list.iter().map(|c| c.0).collect::<Vec<_>>());
        if let Some(node) = self.built.get(&key) {
            return *node;
        }
        let node = self.by_value(rules, &list, level).unwrap_or_else(|| self.by_bit(rules, &list, level));
        self.built.insert(key, node);
        node
    }

    /// Where whole fields are asked for, their values are told apart at once.
    fn by_value(&mut self, rules: &[Rule], list: &[Candidate], level: Level) -> Option<Node> {
        let (rank, bit) = space::at(level);
        if bit != 0 {
            return None;
        }
        let demand = |c: &Candidate| {
            let d = rules.get(c.0 as usize)?.demands.get(usize::from(c.1))?;
            (d.rank == rank).then_some(d)
        };
        let mut field = None;
        let mut values: Vec<u128> = Vec::new();
        for c in list {
            if let Some(d) = demand(c) {
                if !d.is_exact() {
                    return None;
                }
                field = Some(d.field);
                values.push(d.value);
            }
        }
        values.sort_unstable();
        values.dedup();
        let field = field?;
        let index: QuickMap<u128, usize> = values.iter().enumerate().map(|(i, v)| (*v, i)).collect();
        let mut lists: Vec<Vec<Candidate>> = vec![Vec::new(); values.len()];
        let mut rest = Vec::new();
        for c in list {
            match demand(c) {
                Some(d) => {
                    if let Some(l) = index.get(&d.value).and_then(|i| lists.get_mut(*i)) {
                        l.push(*c);
                    }
                }
                None => {
                    lists.iter_mut().for_each(|l| l.push(*c));
                    rest.push(*c);
                }
            }
        }
        let next = (rank + 1) << 7;
        let default = self.split(rules, rest, next);
        let mut cases = Vec::with_capacity(values.len());
        for (value, list) in values.into_iter().zip(lists) {
            cases.push((value, self.split(rules, list, next)));
        }
        Some(self.trie(rank, 0, u32::from(field.width()), &cases, default))
    }

    fn by_bit(&mut self, rules: &[Rule], list: &[Candidate], level: Level) -> Node {
        let (rank, bit) = space::at(level);
        let here = 1_u128 << (127 - bit);
        let mut halves = [Vec::new(), Vec::new()];
        for c in list {
            let demand = rules.get(c.0 as usize).and_then(|r| r.demands.get(usize::from(c.1)));
            match demand.filter(|d| d.rank == rank && d.mask & here != 0) {
                Some(d) => halves[usize::from(d.value & here != 0)].push(*c),
                None => halves.iter_mut().for_each(|h| h.push(*c)),
            }
        }
        let [zero, one] = halves;
        let zero = self.split(rules, zero, level + 1);
        let one = self.split(rules, one, level + 1);
        self.ask(level, zero, one)
    }

    /// Some values of a run of bits of a field lead to nodes, all others to `default`. Values are left-justified in the
    /// field, sorted, without repetition; `end` is the bit behind the last one.
    fn trie(&mut self, rank: Rank, bit: u32, end: u32, cases: &[(u128, Node)], default: Node) -> Node {
        match cases {
            [] => default,
            [(_, node), ..] if bit == end => *node,
            _ => {
                let here = 1_u128 << (127 - bit);
                let (zeros, ones) = cases.split_at(cases.partition_point(|(v, _)| v & here == 0));
                let zero = self.trie(rank, bit + 1, end, zeros, default);
                let one = self.trie(rank, bit + 1, end, ones, default);
                self.ask(rank << 7 | bit, zero, one)
            }
        }
    }

    /// Some values of the bits `low..low + bits` of a field lead to nodes, all others to `default`.
    pub fn cases(&mut self, field: Field, low: u16, bits: u16, cases: &[(u128, Node)], default: Node) -> Node {
        let width = field.width();
        let start = u32::from(width.saturating_sub(low + bits));
        let mut left: Vec<(u128, Node)> =
            cases.iter().map(|(v, n)| (v << (128 - u32::from(width) + u32::from(low)), *n)).collect();
        left.sort_unstable_by_key(|c| c.0);
        left.dedup_by_key(|c| c.0);
        self.trie(space::rank(field), start, start + u32::from(bits), &left, default)
    }

    /// The values of the lowest 16 bits of a field that lie in these ranges lead to `inside`, all others to `outside`.
    pub fn ranges(&mut self, field: Field, ranges: &[(u16, u16)], inside: Node, outside: Node) -> Node {
        let start = space::first_level(field) + u32::from(field.width().saturating_sub(16));
        self.range_at(start, 0, 0, ranges, inside, outside)
    }

    fn range_at(&mut self, start: Level, depth: u32, low: u32, ranges: &[(u16, u16)], yes: Node, no: Node) -> Node {
        let high = low + (0xffff >> depth);
        let touching: Vec<(u16, u16)> =
            ranges.iter().copied().filter(|(a, b)| u32::from(*a) <= high && u32::from(*b) >= low).collect();
        if touching.is_empty() {
            return no;
        }
        if touching.iter().any(|(a, b)| u32::from(*a) <= low && u32::from(*b) >= high) {
            return yes;
        }
        let zero = self.range_at(start, depth + 1, low, &touching, yes, no);
        let one = self.range_at(start, depth + 1, low + (0x8000 >> depth), &touching, yes, no);
        self.ask(start + depth, zero, one)
    }

    /// Both sets at once.
    pub fn and(&mut self, a: Node, b: Node) -> Node {
        match (a, b) {
            (NO, _) | (_, NO) => return NO,
            (YES, x) | (x, YES) => return x,
            _ if a == b => return a,
            _ => {}
        }
        let key = (a.min(b), a.max(b));
        if let Some(node) = self.both.get(&key) {
            return *node;
        }
        let level = self.level(a).min(self.level(b));
        let ((a0, a1), (b0, b1)) = (self.halves(a, level), self.halves(b, level));
        let zero = self.and(a0, b0);
        let one = self.and(a1, b1);
        let node = self.ask(level, zero, one);
        self.both.insert(key, node);
        node
    }

    /// Either set.
    pub fn or(&mut self, a: Node, b: Node) -> Node {
        let (a, b) = (self.not(a), self.not(b));
        let neither = self.and(a, b);
        self.not(neither)
    }

    /// Everything else.
    pub fn not(&mut self, set: Node) -> Node {
        self.instead(set, &mut QuickMap::default(), &|n| match n {
            NO => Some(YES),
            YES => Some(NO),
            _ => None,
        })
    }

    fn instead(
        &mut self,
        node: Node,
        known: &mut QuickMap<Node, Node>,
        leaves: &impl Fn(Node) -> Option<Node>,
    ) -> Node {
        let Some((level, zero, one)) = self.open(node) else { return leaves(node).unwrap_or(node) };
        if let Some(done) = known.get(&node) {
            return *done;
        }
        let zero = self.instead(zero, known, leaves);
        let one = self.instead(one, known, leaves);
        let out = self.ask(level, zero, one);
        known.insert(node, out);
        out
    }

    /// The function `first`, and where its leaf is `open` the function `then`.
    pub fn otherwise(&mut self, first: Node, open: u32, then: Node) -> Node {
        self.fall(first, leaf(open), then, &mut QuickMap::default())
    }

    fn fall(&mut self, first: Node, open: Node, then: Node, known: &mut QuickMap<(Node, Node), Node>) -> Node {
        if first == open || number(first).is_some() {
            return if first == open { then } else { first };
        }
        if let Some(done) = known.get(&(first, then)) {
            return *done;
        }
        let level = self.level(first).min(self.level(then));
        let ((f0, f1), (t0, t1)) = (self.halves(first, level), self.halves(then, level));
        let zero = self.fall(f0, open, t0, known);
        let one = self.fall(f1, open, t1, known);
        let out = self.ask(level, zero, one);
        known.insert((first, then), out);
        out
    }

    /// A packet of the set `among` for which the two functions have different leaves: the bits that matter, and the
    /// leaves. `None` when there is none.
    pub fn difference(&self, a: Node, b: Node, among: Node) -> Option<(Path, u32, u32)> {
        let mut same = HashSet::new();
        let mut path = Vec::new();
        self.seek(a, b, among, &mut same, &mut path)
    }

    fn seek(
        &self,
        a: Node,
        b: Node,
        among: Node,
        same: &mut HashSet<(Node, Node, Node)>,
        path: &mut Path,
    ) -> Option<(Path, u32, u32)> {
        if a == b || among == NO || same.contains(&(a, b, among)) {
            return None;
        }
        if let (Some(x), Some(y), Some(_)) = (number(a), number(b), number(among)) {
            return Some((path.clone(), x, y));
        }
        let level = self.level(a).min(self.level(b)).min(self.level(among));
        let ((a0, a1), (b0, b1), (s0, s1)) = (self.halves(a, level), self.halves(b, level), self.halves(among, level));
        for (bit, (a, b, s)) in [(false, (a0, b0, s0)), (true, (a1, b1, s1))] {
            path.push((level, bit));
            if let Some(found) = self.seek(a, b, s, same, path) {
                return Some(found);
            }
            path.pop();
        }
        same.insert((a, b, among));
        None
    }

    /// The leaf for one packet; `bit` says the value of a level.
    pub fn follow(&self, mut node: Node, bit: impl Fn(Level) -> bool) -> u32 {
        while let Some((level, zero, one)) = self.open(node) {
            node = if bit(level) { one } else { zero };
        }
        node & !LEAF
    }
}

/// Takes away clauses of conjunctions that can no longer be met here, and what waits for them. True when something went.
fn prune(rules: &[Rule], list: &mut Vec<Candidate>) -> bool {
    let mut there: QuickMap<(u32, u32), (u64, u8)> = QuickMap::default();
    let mut waiting: Vec<(u32, u32)> = Vec::new();
    for (i, _) in list.iter() {
        let Some(rule) = rules.get(*i as usize) else { continue };
        match &rule.part {
            Part::Clauses(clauses) => {
                for (id, clause, of) in clauses {
                    let entry = there.entry((rule.priority, *id)).or_insert((0, *of));
                    entry.0 |= 1_u64.checked_shl(u32::from(clause.saturating_sub(1))).unwrap_or(0);
                }
            }
            Part::Met(id, mask) => waiting.push((*id, *mask)),
            Part::Decides => {}
        }
    }
    let whole = |priority: u32, id: u32| {
        there.get(&(priority, id)).is_some_and(|(seen, of)| {
            seen.count_ones() >= u32::from(*of) && waiting.iter().any(|(value, mask)| id & mask == *value)
        })
    };
    let before = list.len();
    let possible: HashSet<u32> = there.keys().filter(|(p, id)| whole(*p, *id)).map(|(_, id)| *id).collect();
    list.retain(|(i, _)| {
        let Some(rule) = rules.get(*i as usize) else { return false };
        match &rule.part {
            Part::Clauses(clauses) => clauses.iter().any(|(id, _, _)| whole(rule.priority, *id)),
            Part::Met(value, mask) => value & mask == 0 || possible.iter().any(|id| id & mask == *value),
            Part::Decides => true,
        }
    });
    list.len() != before
}

/// Which leaf a packet gets that meets every demand of these rules but those on `conj_id` (ovs-fields(7), "Conjunctive
/// Match Fields"; `classifier_lookup__` of Open vSwitch): clauses count only above the rule that would decide otherwise;
/// of the conjunctions that are met, the one of the highest priority is tried first, by a second search with its id.
pub fn winner(rules: &[Rule], list: &[Candidate]) -> u32 {
    let rules: Vec<&Rule> = list.iter().filter_map(|(i, _)| rules.get(*i as usize)).collect();
    let by_id = |id: u32| -> Vec<(u32, u32)> {
        rules
            .iter()
            .filter(|r| match r.part {
                Part::Decides => true,
                Part::Met(value, mask) => id & mask == value,
                Part::Clauses(_) => false,
            })
            .map(|r| (r.priority, r.leaf))
            .collect()
    };
    let top = |found: &[(u32, u32)]| {
        let best = found.iter().map(|f| f.0).max()?;
        let mut leaves = found.iter().filter(|f| f.0 == best).map(|f| f.1);
        let one = leaves.next()?;
        Some((best, if leaves.all(|l| l == one) { one } else { UNDECIDED }))
    };
    let hard = top(&by_id(0));
    let mut met: Vec<(u32, u32)> = Vec::new();
    let mut seen: QuickMap<(u32, u32), (u64, u8)> = QuickMap::default();
    for rule in &rules {
        let Part::Clauses(clauses) = &rule.part else { continue };
        for (id, clause, of) in clauses {
            let entry = seen.entry((rule.priority, *id)).or_insert((0, *of));
            entry.0 |= 1_u64.checked_shl(u32::from(clause.saturating_sub(1))).unwrap_or(0);
            if entry.0.count_ones() >= u32::from(entry.1) && !met.contains(&(rule.priority, *id)) {
                met.push((rule.priority, *id));
            }
        }
    }
    met.sort_unstable_by(|a, b| b.cmp(a));
    for (priority, id) in met {
        if hard.is_some_and(|(p, _)| p >= priority) {
            break;
        }
        if let Some((_, leaf)) = top(&by_id(id)) {
            return leaf;
        }
    }
    hard.map_or(NOTHING, |(_, leaf)| leaf)
}
