//! What applying a policy would do, by name: who gains and loses what, how many rows change where, and who talks now over
//! what vanishes. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fseg_model::{ClassId, Identity, IpProtocol, MemberSet, Name, PortRange, ServiceTerm, Subject};
use fseg_openflow::Field;
use fseg_pipeline::{Owner, RowKey, Table, bits};
use fseg_policy::{Member, PartyKind, Permit, Policy, PolicyDiff, Services, reach_changes};

use crate::controller::Controller;
use crate::effect::RowsTouched;
use crate::link::LinkPhase;

/// The most pairs of kinds of endpoints that are compared.
const MOST_PAIRS: usize = 100_000;
/// The most conversations that are named.
const MOST_TALKS: usize = 1_000;
/// Whose rows counted within this time talks now; counters are read every two seconds.
const RECENT: Duration = Duration::from_secs(10);

/// What applying a policy would do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The version in force, with which this compares.
    pub version: u64,
    /// What the file says otherwise.
    pub diff: PolicyDiff,
    /// How many rows change, by switch.
    pub rows: Vec<RowsTouched>,
    /// Switches that are not connected: they would get it when they are back.
    pub missing: Vec<Name>,
    /// What switches cannot hold: with any of these the policy is refused.
    pub misfits: Vec<String>,
    /// Who gains and loses what.
    pub pairs: Vec<PlanPair>,
    /// False when there are more pairs than were compared.
    pub complete: bool,
    /// Who talks now over what vanishes.
    pub ending: Vec<Talk>,
}

/// Endpoints or externals that are alike in what changes for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanSide {
    /// How the policy calls them: their groups, or the one name when there is one.
    pub label: String,
    /// Who they are: endpoints by name, members that are not here now as the policy writes them, externals.
    pub members: Vec<String>,
}

/// One change of who may use what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanPair {
    /// Who asks.
    pub from: Arc<PlanSide>,
    /// Who is asked.
    pub to: Arc<PlanSide>,
    /// Services that pass only afterwards.
    pub gained: Vec<String>,
    /// Services that pass only before.
    pub lost: Vec<String>,
}

/// Traffic that was seen a moment ago and would not pass any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// The permit whose rows counted.
    pub permit: Name,
    /// Who may be talking: counters are kept for sets of groups, not for each endpoint.
    pub from: Arc<PlanSide>,
    /// With whom.
    pub to: Arc<PlanSide>,
    /// The services that vanish.
    pub lost: Vec<String>,
    /// How long ago the rows last counted, at most.
    pub idle: Duration,
    /// False when the row stands for several pairs, and all are named that may be meant.
    pub precise: bool,
}

impl Controller {
    /// What putting this policy in force would do now.
    pub fn plan(&self, policy: &Policy) -> Plan {
        let compiled = self.compile(policy);
        let kinds = self.kinds(&self.policy, policy);
        let (changes, complete) = reach_changes(&self.policy, policy, &kinds, self.now.wall, MOST_PAIRS);
        let sides: Vec<Arc<PlanSide>> = kinds.iter().map(|k| Arc::new(side(&self.policy, policy, k))).collect();
        let pair = |c: &fseg_policy::KindChange| PlanPair {
            from: sides[c.from].clone(),
            to: sides[c.to].clone(),
            gained: policy.service_names(&c.gained),
            lost: self.policy.service_names(&c.lost),
        };
        let down = self.links.iter().filter(|(_, l)| l.phase != LinkPhase::Up);
        Plan {
            version: self.version.as_ref().map_or(0, |v| v.version),
            diff: self.policy.diff(policy),
            rows: self.rows_touched(&compiled),
            missing: down.map(|(dpid, _)| self.name_of(*dpid)).collect(),
            misfits: self.obstacles(&compiled),
            pairs: changes.iter().map(pair).collect(),
            complete,
            ending: self.ending(policy, &kinds),
        }
    }

    /// The same between two policies of any time, for those who are here now: who would gain and lose what.
    pub fn compare(&self, old: &Policy, new: &Policy) -> (Vec<PlanPair>, bool) {
        let kinds = self.kinds(old, new);
        let (changes, complete) = reach_changes(old, new, &kinds, self.now.wall, MOST_PAIRS);
        let sides: Vec<Arc<PlanSide>> = kinds.iter().map(|k| Arc::new(side(old, new, k))).collect();
        let pair = |c: &fseg_policy::KindChange| PlanPair {
            from: sides[c.from].clone(),
            to: sides[c.to].clone(),
            gained: new.service_names(&c.gained),
            lost: old.service_names(&c.lost),
        };
        (changes.iter().map(pair).collect(), complete)
    }

    /// Everybody: endpoints with a session, members that the policies name and that are not here, and externals.
    fn kinds(&self, old: &Policy, new: &Policy) -> Vec<PartyKind> {
        let mut kinds: BTreeMap<(MemberSet, MemberSet, bool), Vec<String>> = BTreeMap::new();
        let mut here: BTreeSet<Subject> = BTreeSet::new();
        let mut roles: BTreeSet<Name> = BTreeSet::new();
        for known in self.endpoints.iter() {
            let Some(session) = &known.endpoint.session else { continue };
            let key = (old.groups_of(&session.identity), new.groups_of(&session.identity), false);
            kinds.entry(key).or_default().push(self.label(known.endpoint.id));
            here.insert(session.identity.subject.clone());
            roles.extend(session.identity.roles.iter().cloned());
        }
        let members: BTreeSet<&Member> =
            [old, new].iter().flat_map(|p| p.groups.values()).flat_map(|g| &g.members).collect();
        for member in members {
            let subject = match member {
                Member::User(name) => Subject::User(name.clone()),
                Member::Device(name) => Subject::Device(name.clone()),
                Member::Location(pattern) => match pattern.to_string().parse() {
                    Ok(place) => Subject::Location(place),
                    Err(_) => continue, // a pattern: whoever is there is an endpoint
                },
                Member::Role(role) if !roles.contains(role) => {
                    let party = fseg_policy::Party::Role(role.clone());
                    let key = (old.members_of(&party), new.members_of(&party), false);
                    kinds.entry(key).or_default().push(format!("role:{role}"));
                    continue;
                }
                _ => continue,
            };
            if !here.contains(&subject) {
                let identity = Identity::plain(subject);
                let key = (old.groups_of(&identity), new.groups_of(&identity), false);
                kinds.entry(key).or_default().push(member.to_string());
            }
        }
        let prefixes: BTreeSet<_> = [old, new].iter().flat_map(|p| p.external_prefixes().into_keys()).collect();
        for prefix in prefixes {
            let at: IpAddr = prefix.network();
            let key = (old.externals_of(at), new.externals_of(at), true);
            kinds.entry(key).or_default().push(prefix.to_string());
        }
        let kind = |((before, after, outside), parties)| PartyKind { before, after, outside, parties };
        kinds.into_iter().map(kind).collect()
    }

    /// Permit rows that counted a moment ago, and whose traffic would not pass under the other policy.
    fn ending(&self, policy: &Policy, kinds: &[PartyKind]) -> Vec<Talk> {
        // Who is not here does not talk.
        let here = |kind: &PartyKind| -> Option<PartyKind> {
            let mut kind = kind.clone();
            kind.parties.retain(|party| kind.outside || party.parse::<Member>().is_err());
            (!kind.parties.is_empty()).then_some(kind)
        };
        let kinds: Vec<PartyKind> = kinds.iter().filter_map(here).collect();
        let sides: Vec<Arc<PlanSide>> = kinds.iter().map(|k| Arc::new(side(&self.policy, policy, k))).collect();
        let names: HashMap<u32, &Permit> =
            self.policy.permits.iter().filter_map(|p| Some((*self.permit_numbers.get(&p.id)?, p))).collect();
        // Permit, both sides, and what is lost.
        type Key = (Name, usize, usize, Vec<String>);
        let mut found: BTreeMap<Key, (Duration, bool)> = BTreeMap::new();
        let mut recent: Vec<_> = self
            .talking
            .iter()
            .map(|((dpid, key), at)| (self.now.mono.since(*at), *dpid, key))
            .filter(|(idle, ..)| *idle <= RECENT)
            .collect();
        recent.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
        for (idle, dpid, key) in recent {
            if key.table != Table::Permit || found.len() >= MOST_TALKS {
                continue;
            }
            let owner = self.links.get(&dpid).and_then(|l| l.desired.get(key)).map(|r| r.owner);
            let Some(Owner::Permit(number)) = owner else { continue };
            let Some(permit) = names.get(&number) else { continue };
            let classes = classes_of(key);
            let sets = classes.and_then(|(f, t)| Some((&self.classes.get(f)?.members, &self.classes.get(t)?.members)));
            let carried = services_of(key, permit);
            let fits = |set: Option<&MemberSet>, names: &[Name], kind: &PartyKind| match set {
                Some(set) => kind.before == *set,
                None => names.iter().any(|n| kind.before.contains(n)),
            };
            let (from_set, to_set) = (sets.map(|s| s.0), sets.map(|s| s.1));
            for (f, from) in kinds.iter().enumerate().filter(|(_, k)| fits(from_set, &permit.from, k)) {
                for (t, to) in kinds.iter().enumerate().filter(|(_, k)| fits(to_set, &permit.to, k)) {
                    let after = policy.reach(&from.after, &to.after, self.now.wall);
                    let lost = carried.minus(&after);
                    if lost.is_empty() || found.len() >= MOST_TALKS {
                        continue;
                    }
                    let entry = (permit.id.clone(), f, t, self.policy.service_names(&lost));
                    let seen = found.entry(entry).or_insert((idle, sets.is_some()));
                    seen.0 = seen.0.min(idle);
                }
            }
        }
        let talk = |((permit, f, t, lost), (idle, precise)): (Key, (Duration, bool))| Talk {
            permit,
            from: sides[f].clone(),
            to: sides[t].clone(),
            lost,
            idle,
            precise,
        };
        found.into_iter().map(talk).collect()
    }
}

fn side(old: &Policy, new: &Policy, kind: &PartyKind) -> PlanSide {
    let join = |names: Vec<Name>| names.iter().map(Name::as_str).collect::<Vec<_>>().join(" + ");
    let label = match kind.parties.as_slice() {
        [one] if !kind.outside => one.clone(),
        _ if !kind.after.is_empty() => join(new.leaf_groups(&kind.after)),
        _ if !kind.before.is_empty() => join(old.leaf_groups(&kind.before)),
        _ => "in no group".to_owned(),
    };
    PlanSide { label, members: kind.parties.clone() }
}

/// Source and target class of a row that has both.
fn classes_of(key: &RowKey) -> Option<(ClassId, ClassId)> {
    let value = key.matches.get(Field::Metadata)?;
    let both = u128::from(bits::PERMIT_SOURCE_MASK | bits::PERMIT_DESTINATION_MASK);
    if value.mask.is_some_and(|mask| mask & both != both) {
        return None;
    }
    let (from, to) = bits::classes(value.value as u64);
    Some((ClassId::new(from).ok()?, ClassId::new(to).ok()?))
}

/// What a permit's row carries: its own service where it has one, else all of the permit's.
fn services_of(key: &RowKey, permit: &Permit) -> Services {
    let all = || Services { all_but: permit.terms.contains(&ServiceTerm::ANY), terms: terms_but_any(permit) };
    let (Some(protocol), Some(port)) = (key.matches.get(bits::SERVICE_PROTOCOL), key.matches.get(bits::SERVICE_PORT))
    else {
        return all();
    };
    let first = port.value as u16;
    let last = port.mask.map_or(first, |mask| first | !(mask as u16));
    match PortRange::new(first, last) {
        Some(ports) => {
            let term = ServiceTerm { protocol: Some(IpProtocol(protocol.value as u8)), ports };
            Services { all_but: false, terms: vec![term] }
        }
        None => all(),
    }
}

fn terms_but_any(permit: &Permit) -> Vec<ServiceTerm> {
    if permit.terms.contains(&ServiceTerm::ANY) { vec![] } else { permit.terms.clone() }
}
