//! `permit`: may this class use this service of that class? From the policy's permits, for each pair of classes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use fseg_model::{ClassId, MemberSet, ServiceTerm, Wall};
use fseg_openflow::Field;
use fseg_pipeline::{Table, bits, meter};
use fseg_policy::{Mode, Policy};

use super::Spec;
use super::does::{Does, dropped};
use super::plain::{Asked, above_permits};
use crate::diagram::{Diagrams, Node, Quick, leaf};
use crate::facts::Facts;
use crate::treatment::Treatment;

/// What a packet must be like to use a service, in the registers `turn` fills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Services {
    /// Everything.
    any: bool,
    /// By protocol: ranges of ports (ICMP: types).
    by_protocol: BTreeMap<u8, Vec<(u16, u16)>>,
}

impl Services {
    /// Everything these terms cover.
    fn of<'a>(terms: impl IntoIterator<Item = &'a ServiceTerm>) -> Self {
        let mut out = Self::default();
        for term in terms {
            match term.protocol {
                None => out.any = true,
                Some(p) => {
                    out.by_protocol.entry(p.0).or_default().push((term.ports.first(), term.ports.last()));
                }
            }
        }
        out.by_protocol.values_mut().for_each(|ranges| {
            ranges.sort_unstable();
            ranges.dedup();
        });
        out
    }

    /// The packets that these services permit. A later fragment passes where its protocol is permitted at all.
    fn node(&self, d: &mut Diagrams, pass: Node, deny: Node) -> Node {
        if self.any {
            return pass;
        }
        let fragment = d.cases(bits::FRAGMENT, 0, 32, &[(1, pass)], deny);
        let mut cases = Vec::with_capacity(self.by_protocol.len());
        for (protocol, ranges) in &self.by_protocol {
            cases.push((u128::from(*protocol), d.ranges(bits::SERVICE_PORT, ranges, pass, fragment)));
        }
        d.cases(bits::SERVICE_PROTOCOL, 0, 32, &cases, deny)
    }
}

/// What every class may use of every other one. Made when the policy, the classes or the permits in force change.
#[derive(Debug, Default)]
pub struct Plan {
    policy: Option<Arc<Policy>>,
    classes: BTreeMap<ClassId, MemberSet>,
    in_force: Vec<bool>,
    /// What is permitted, and what permits on trial add to it.
    services: Vec<(Services, Services)>,
    /// Whose denials are only observed.
    observed: BTreeSet<ClassId>,
    everything: bool,
    trials: bool,
    /// For each source class: its targets with the number of what it may use of them.
    by_source: BTreeMap<ClassId, Vec<(ClassId, u32)>>,
    digests: BTreeMap<ClassId, u64>,
    /// The same the other way round, for switches that know answers by their port: for each class, those who may use
    /// something of it.
    by_target: BTreeMap<ClassId, Vec<(ClassId, u32)>>,
}

/// What becomes of packets, as numbers.
#[derive(Debug, Clone)]
pub struct Verdicts {
    /// They are permitted.
    pub pass: u32,
    /// They pass, and are only observed.
    pub observed: u32,
    /// They are denied, and the node is shown some.
    pub denied: u32,
    /// They are dropped unseen.
    pub dropped: u32,
    /// By port and UDP source port: what is shown to the node before it is denied.
    pub shown: Vec<(u32, u16, u32)>,
}

impl Plan {
    /// Brings the plan up to date; cheap when nothing changed.
    pub fn update(&mut self, facts: &Facts) {
        let in_force: Vec<bool> = facts.policy.permits.iter().map(|p| p.in_force(facts.now)).collect();
        let same = self.policy.as_ref().is_some_and(|p| Arc::ptr_eq(p, &facts.policy))
            && self.in_force == in_force
            && self.classes == facts.classes;
        if same {
            return;
        }
        *self =
            Self { policy: Some(facts.policy.clone()), classes: facts.classes.clone(), in_force, ..Self::default() };
        self.make(facts.now);
    }

    fn make(&mut self, now: Wall) {
        let Some(policy) = self.policy.clone() else { return };
        let permits: Vec<_> = policy.permits.iter().filter(|p| p.in_force(now)).collect();
        let holds = |names: &[fseg_model::Name], set: &MemberSet| names.iter().any(|n| set.contains(n));
        self.everything = policy.observed.everything;
        self.trials = permits.iter().any(|p| p.mode == Mode::Observe);
        let watched = |set: &MemberSet| policy.observed.groups.iter().any(|g| set.contains(g));
        self.observed = self.classes.iter().filter(|(_, set)| watched(set)).map(|(id, _)| *id).collect();
        // Which classes each permit leads to.
        let targets: Vec<Vec<ClassId>> = permits
            .iter()
            .map(|p| self.classes.iter().filter(|(_, set)| holds(&p.to, set)).map(|(id, _)| *id).collect())
            .collect();
        let mut numbers: BTreeMap<Vec<u32>, u32> = BTreeMap::new();
        let mut alike: BTreeMap<Vec<u32>, Vec<(ClassId, u32)>> = BTreeMap::new();
        for (from, set) in &self.classes {
            let mine: Vec<u32> = (0..permits.len() as u32)
                .filter(|i| permits.get(*i as usize).is_some_and(|p| holds(&p.from, set)))
                .collect();
            let reached = alike.entry(mine.clone()).or_insert_with(|| {
                let mut by_target: BTreeMap<ClassId, Vec<u32>> = BTreeMap::new();
                for i in &mine {
                    for to in targets.get(*i as usize).into_iter().flatten() {
                        by_target.entry(*to).or_default().push(*i);
                    }
                }
                by_target
                    .into_iter()
                    .map(|(to, list)| {
                        let services = &mut self.services;
                        let number = *numbers.entry(list.clone()).or_insert_with(|| {
                            let of = |mode| {
                                let those = list.iter().filter_map(|i| permits.get(*i as usize));
                                Services::of(those.filter(|p| p.mode == mode).flat_map(|p| &p.terms))
                            };
                            services.push((of(Mode::Enforce), of(Mode::Observe)));
                            services.len() as u32 - 1
                        });
                        (to, number)
                    })
                    .collect()
            });
            let reached = reached.clone();
            let mut digest = Quick::default();
            (self.everything, &self.observed).hash(&mut digest);
            for (to, number) in &reached {
                to.hash(&mut digest);
                self.services.get(*number as usize).hash(&mut digest);
            }
            self.digests.insert(*from, digest.finish());
            self.by_source.insert(*from, reached);
        }
    }

    /// How many pairs of classes are joined.
    pub fn pairs(&self) -> usize {
        self.by_source.values().map(Vec::len).sum()
    }

    /// What changes when what this class may use changes.
    pub fn digest(&self, from: ClassId) -> u64 {
        let mut digest = Quick::default();
        self.digests.get(&from).hash(&mut digest);
        for (user, number) in self.by_target.get(&from).into_iter().flatten() {
            user.hash(&mut digest);
            self.services.get(*number as usize).hash(&mut digest);
        }
        digest.finish()
    }

    /// Looks up users by what they use, for a switch without extensions.
    pub fn turn_round(&mut self) {
        if self.by_target.is_empty() {
            for (from, list) in &self.by_source {
                for (to, number) in list {
                    self.by_target.entry(*to).or_default().push((*from, *number));
                }
            }
        }
    }

    /// Whether new connections that pass only because something is observed are shown to the node.
    pub fn shows(&self) -> bool {
        self.everything || self.trials || !self.observed.is_empty()
    }

    /// What happens to packets of a source class.
    pub fn node(&self, d: &mut Diagrams, from: ClassId, verdicts: &Verdicts) -> Node {
        let deny = leaf(verdicts.denied);
        let mut known: BTreeMap<u32, Node> = BTreeMap::new();
        let mut cases = Vec::new();
        for (to, number) in self.by_source.get(&from).into_iter().flatten() {
            let Some((services, trial)) = self.services.get(*number as usize) else { continue };
            let node = *known.entry(*number).or_insert_with(|| {
                let services = services.node(d, leaf(verdicts.pass), deny);
                let trial = trial.node(d, leaf(verdicts.observed), deny);
                let both = d.otherwise(services, verdicts.denied, trial);
                ip_only(d, both, deny)
            });
            cases.push((u128::from(to.get()), node));
        }
        let permitted = d.cases(Field::Metadata, 0, 22, &cases, deny);
        self.below_permits(d, from, permitted, verdicts.denied, verdicts)
    }

    /// The same on a switch without extensions: who may ask, and who may answer by the port that was asked.
    pub fn plain_node(&self, d: &mut Diagrams, from: ClassId, verdicts: &Verdicts) -> Node {
        let (pass, deny) = (leaf(verdicts.pass), leaf(verdicts.denied));
        let of = |d: &mut Diagrams, number: u32, answers: bool| {
            let mut node = deny;
            if let Some((services, trial)) = self.services.get(number as usize) {
                for s in [services, trial] {
                    let asked = Asked { any: s.any, by_protocol: &s.by_protocol };
                    let more = if answers { asked.answers(d, pass, deny) } else { asked.asks(d, pass, deny) };
                    node = d.otherwise(node, verdicts.denied, more);
                }
            }
            ip_only(d, node, deny)
        };
        let mut cases: BTreeMap<u128, Node> = BTreeMap::new();
        for (list, answers) in [(&self.by_source, false), (&self.by_target, true)] {
            let mut known: BTreeMap<u32, Node> = BTreeMap::new();
            for (to, number) in list.get(&from).into_iter().flatten() {
                let node = *known.entry(*number).or_insert_with(|| of(d, *number, answers));
                let entry = cases.entry(to.get().into()).or_insert(deny);
                *entry = d.otherwise(*entry, verdicts.denied, node);
            }
        }
        let cases: Vec<(u128, Node)> = cases.into_iter().collect();
        let permitted = d.cases(Field::Metadata, 0, 22, &cases, deny);
        let judged = self.below_permits(d, from, permitted, verdicts.dropped, verdicts);
        above_permits(d, from, judged, verdicts.pass, verdicts.dropped)
    }

    /// What is only observed, what is shown to the node, and who stays out (`out`: how) although something is observed.
    fn below_permits(&self, d: &mut Diagrams, from: ClassId, permitted: Node, out: u32, verdicts: &Verdicts) -> Node {
        let deny = leaf(verdicts.denied);
        let passes = ip_only(d, leaf(verdicts.observed), deny);
        // Who is not admitted stays out.
        let kept_out = ip_only(d, leaf(out), deny);
        let out: Vec<(u128, Node)> = [ClassId::NONE, ClassId::STRANGER, ClassId::QUARANTINE]
            .iter()
            .map(|c| (u128::from(c.get()), kept_out))
            .collect();
        let observing = self.everything || !self.observed.is_empty();
        let rest = if self.everything || self.observed.contains(&from) {
            d.cases(Field::Metadata, 0, 22, &out, passes)
        } else {
            let mut to: Vec<(u128, Node)> = self.observed.iter().map(|c| (u128::from(c.get()), passes)).collect();
            if observing {
                to.extend(&out);
            }
            d.cases(Field::Metadata, 0, 22, &to, deny)
        };
        let mut node = d.otherwise(permitted, verdicts.denied, rest);
        for (port, from, treatment) in &verdicts.shown {
            let answer = d.cases(Field::UdpSrc, 0, 16, &[((*from).into(), leaf(*treatment))], deny);
            let answer = d.cases(Field::IpProto, 0, 8, &[(17, answer)], deny);
            let mut answer = ip_only(d, answer, deny);
            if observing {
                let out: Vec<(u128, Node)> = out.iter().map(|(class, _)| (*class, deny)).collect();
                answer = d.cases(Field::Metadata, 0, 22, &out, answer);
            }
            let answer = d.cases(Field::InPort, 0, 32, &[((*port).into(), answer)], deny);
            node = d.otherwise(node, verdicts.denied, answer);
        }
        node
    }
}

/// `node` for IPv4, `other` for everything else.
fn ip_only(d: &mut Diagrams, node: Node, other: Node) -> Node {
    d.cases(Field::EthType, 0, 16, &[(0x0800, node)], other)
}

impl Spec<'_> {
    /// What becomes of a permitted packet, of one that is only observed, of every other one, and of one that nobody is shown.
    pub fn verdicts(&self) -> [Treatment; 4] {
        let pass = Does::new().goto(Table::Inspect, self.live);
        let observed = match self.plain {
            // Without connections nobody can tell a first packet, so nothing is marked or shown.
            Some(_) => pass.clone(),
            None => Does::new().set(bits::OBSERVED, 1_u8).goto(Table::Inspect, self.live),
        };
        [pass, observed, Does::new().meter(meter::DENIED.id).shown_to_node().ends(), dropped()]
    }

    /// Answers to questions by multicast, which no permit opens that way: by port and UDP source port.
    pub fn answers(&self) -> Vec<(u32, u16, Treatment)> {
        let ports = self.admitting();
        ports
            .flat_map(|p| self.facts.shown.discovery.iter().map(move |(_, n)| (p.number, *n)))
            .map(|(port, n)| (port.0, n, self.shown(port)))
            .collect()
    }
}
