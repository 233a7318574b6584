//! What is there: endpoints by number, MAC and address; classes; durable numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fseg_admission::SessionClock;
use fseg_model::{
    Class, ClassId, Endpoint, EndpointId, Location, Mac, MemberSet, Method, Mono, Name, SliceId, Subject,
};

/// An endpoint and what need not survive a restart.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) endpoint: Endpoint,
    /// Its class on the switches at the moment; `None` while it has no binding.
    pub(crate) class: Option<ClassId>,
    /// When traffic of it was last seen.
    pub(crate) active: Mono,
    /// Since when it is not attached anywhere.
    pub(crate) away: Option<Mono>,
    /// The deadlines of its session.
    pub(crate) clock: Option<SessionClock>,
    /// Packets with forged sources.
    pub(crate) forged: u64,
    /// Packets its guard rows counted when last looked at.
    pub(crate) counted: u64,
}

/// A device without a name, without an address and without a link is forgotten after this.
const FORGET_STRANGER: Duration = Duration::from_secs(300);
/// What only its place named is forgotten after a day away; phones change their MAC address.
const FORGET_PLACED: Duration = Duration::from_secs(24 * 3600);
/// People's and listed devices' endpoints keep their names for a month.
const FORGET_NAMED: Duration = Duration::from_secs(30 * 24 * 3600);

impl Known {
    /// When it will have been away for so long that it is forgotten.
    pub(crate) fn forgotten_at(&self) -> Option<Mono> {
        let keep = match (&self.endpoint.name, &self.endpoint.session) {
            (None, _) => FORGET_STRANGER,
            (Some(_), Some(s)) if s.method == Method::Device => FORGET_NAMED,
            (Some(_), Some(_)) => FORGET_PLACED,
            (Some(_), None) => FORGET_NAMED,
        };
        self.away.map(|since| since.plus(keep))
    }

    /// When its time has to be looked at next: the end of its session, or its being forgotten.
    fn due(&self) -> Option<Mono> {
        let session = self.clock.as_ref().and_then(SessionClock::deadline).map(|(at, _)| at);
        [session, self.forgotten_at()].into_iter().flatten().min()
    }
}

/// All endpoints, with indices that are kept in step.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    all: BTreeMap<EndpointId, Known>,
    by_mac: HashMap<(SliceId, Mac), EndpointId>,
    by_address: HashMap<(SliceId, IpAddr), EndpointId>,
    by_name: HashMap<Name, EndpointId>,
    by_place: HashMap<Location, Vec<EndpointId>>,
    by_subject: HashMap<Subject, Vec<EndpointId>>,
    /// How many are attached at a place without a session.
    strangers: HashMap<Location, usize>,
    /// When to look at whose time. Activity moves an end away without moving its entry here, which is then found early.
    due: BTreeSet<(Mono, EndpointId)>,
    queued: HashMap<EndpointId, Mono>,
}

impl Endpoints {
    pub(crate) fn get(&self, id: EndpointId) -> Option<&Known> {
        self.all.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.all.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn by_mac(&self, mac: Mac) -> Option<EndpointId> {
        self.by_mac.get(&(SliceId::DEFAULT, mac)).copied()
    }

    pub(crate) fn by_address(&self, address: IpAddr) -> Option<EndpointId> {
        self.by_address.get(&(SliceId::DEFAULT, address)).copied()
    }

    pub(crate) fn by_v4(&self, address: Ipv4Addr) -> Option<&Known> {
        self.get(self.by_address(IpAddr::V4(address))?)
    }

    pub(crate) fn by_name(&self, name: &Name) -> Option<EndpointId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn at(&self, place: Location) -> &[EndpointId] {
        self.by_place.get(&place).map_or(&[], Vec::as_slice)
    }

    /// How many are attached at that place without a session.
    pub(crate) fn strangers_at(&self, place: Location) -> usize {
        self.strangers.get(&place).copied().unwrap_or(0)
    }

    /// Those whose time may be over, in the order of their numbers. Each is looked at again when its time comes.
    pub(crate) fn take_due(&mut self, now: Mono) -> Vec<EndpointId> {
        let mut out = Vec::new();
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id));
            self.queued.remove(&id);
            match self.all.get(&id).and_then(Known::due) {
                Some(end) if end > now => self.queue(id, end),
                Some(_) => out.push(id),
                None => {}
            }
        }
        out.sort_unstable();
        out
    }

    /// Puts those that are still there back into the queue.
    pub(crate) fn queue_again(&mut self, ids: &[EndpointId]) {
        for id in ids {
            if let Some(at) = self.all.get(id).and_then(Known::due) {
                self.queue(*id, at);
            }
        }
    }

    fn queue(&mut self, id: EndpointId, at: Mono) {
        match self.queued.get(&id).copied() {
            Some(earlier) if earlier <= at => {}
            later => {
                if let Some(later) = later {
                    self.due.remove(&(later, id));
                }
                self.due.insert((at, id));
                self.queued.insert(id, at);
            }
        }
    }

    /// Those whose session is this subject's.
    pub(crate) fn of_subject(&self, subject: &Subject) -> &[EndpointId] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn insert(&mut self, known: Known) {
        let id = known.endpoint.id;
        self.remove(id);
        let e = &known.endpoint;
        self.by_mac.insert((e.slice, e.mac), id);
        if let Some(name) = &e.name {
            self.by_name.insert(name.clone(), id);
        }
        if let Some(binding) = &e.binding {
            for a in &binding.addresses {
                self.by_address.insert((e.slice, *a), id);
            }
            self.by_place.entry(binding.location).or_default().push(id);
            if e.session.is_none() {
                *self.strangers.entry(binding.location).or_default() += 1;
            }
        }
        if let Some(session) = &e.session {
            self.by_subject.entry(session.identity.subject.clone()).or_default().push(id);
        }
        let due = known.due();
        self.all.insert(id, known);
        if let Some(at) = due {
            self.queue(id, at);
        }
    }

    pub(crate) fn remove(&mut self, id: EndpointId) -> Option<Known> {
        let known = self.all.remove(&id)?;
        let e = &known.endpoint;
        self.by_mac.remove(&(e.slice, e.mac));
        if let Some(name) = &e.name {
            self.by_name.remove(name);
        }
        if let Some(binding) = &e.binding {
            for a in &binding.addresses {
                if self.by_address.get(&(e.slice, *a)) == Some(&id) {
                    self.by_address.remove(&(e.slice, *a));
                }
            }
            forget(&mut self.by_place, &binding.location, id);
            if e.session.is_none()
                && let Some(n) = self.strangers.get_mut(&binding.location)
            {
                *n = n.saturating_sub(1);
            }
        }
        if let Some(session) = &e.session {
            forget(&mut self.by_subject, &session.identity.subject, id);
        }
        Some(known)
    }

    /// Changes one endpoint and keeps the indices right.
    pub(crate) fn change<T>(&mut self, id: EndpointId, with: impl FnOnce(&mut Known) -> T) -> Option<T> {
        let mut known = self.remove(id)?;
        let out = with(&mut known);
        self.insert(known);
        Some(out)
    }

    /// Changes what no index depends on.
    pub(crate) fn touch(&mut self, id: EndpointId) -> Option<&mut Known> {
        self.all.get_mut(&id)
    }
}

/// Takes an endpoint off a list of an index; an empty list goes.
fn forget<K: Eq + Hash>(index: &mut HashMap<K, Vec<EndpointId>>, key: &K, id: EndpointId) {
    if let Some(there) = index.get_mut(key) {
        if let Some(at) = there.iter().position(|other| *other == id) {
            there.swap_remove(at);
        }
        if there.is_empty() {
            index.remove(key);
        }
    }
}

/// Which number stands for which set, and how many endpoints have it now.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    by_set: HashMap<(SliceId, MemberSet), ClassId>,
    sets: BTreeMap<ClassId, Class>,
    /// In order: what is made from those in use must come out the same in every life.
    used: BTreeMap<ClassId, usize>,
    /// The classes in use that have a name among their members.
    by_member: HashMap<Name, BTreeSet<ClassId>>,
}

impl Classes {
    pub(crate) fn load(&mut self, class: Class) {
        self.by_set.insert((class.slice, class.members.clone()), class.id);
        self.sets.insert(class.id, class);
    }

    pub(crate) fn get(&self, id: ClassId) -> Option<&Class> {
        self.sets.get(&id)
    }

    pub(crate) fn find(&self, slice: SliceId, members: &MemberSet) -> Option<ClassId> {
        self.by_set.get(&(slice, members.clone())).copied()
    }

    /// The class of a set; the second value is the class to commit when it is new. `None` when all 4 million are used.
    pub(crate) fn obtain(&mut self, slice: SliceId, members: &MemberSet) -> Option<(ClassId, Option<Class>)> {
        if let Some(id) = self.find(slice, members) {
            return Some((id, None));
        }
        let next = self.next_free();
        let class = Class { id: ClassId::new(next).ok()?, slice, members: members.clone() };
        self.load(class.clone());
        Some((class.id, Some(class)))
    }

    /// The number that the next new set gets.
    pub(crate) fn next_free(&self) -> u32 {
        self.sets.last_key_value().map_or(ClassId::FIRST.get(), |(id, _)| id.get() + 1)
    }

    /// One more user; true when it is the first.
    pub(crate) fn hold(&mut self, id: ClassId) -> bool {
        let n = self.used.entry(id).or_default();
        *n += 1;
        let first = *n == 1;
        if first && let Some(class) = self.sets.get(&id) {
            for name in class.members.iter() {
                self.by_member.entry(name.clone()).or_default().insert(id);
            }
        }
        first
    }

    /// One user less; true when it was the last.
    pub(crate) fn release(&mut self, id: ClassId) -> bool {
        match self.used.get_mut(&id) {
            Some(n) if *n > 1 => {
                *n -= 1;
                false
            }
            Some(_) => {
                self.used.remove(&id);
                for name in self.sets.get(&id).iter().flat_map(|class| class.members.iter()) {
                    if let Some(classes) = self.by_member.get_mut(name) {
                        classes.remove(&id);
                        if classes.is_empty() {
                            self.by_member.remove(name);
                        }
                    }
                }
                true
            }
            None => false,
        }
    }

    /// Classes somebody has now, in order.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &Class> {
        self.used.keys().filter_map(|id| self.sets.get(id))
    }

    /// Classes that somebody has now and that have one of these names among their members, in order.
    pub(crate) fn with_any(&self, names: &[Name]) -> Vec<ClassId> {
        let mut out: Vec<ClassId> = names.iter().filter_map(|n| self.by_member.get(n)).flatten().copied().collect();
        out.sort_unstable();
        out.dedup();
        out
    }
}
