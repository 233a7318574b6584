//! Which address is whose: records, their deadlines, and the queue of addresses that may be used again.
//!
//! Every address of the pools is in exactly one of these conditions:
//! - *fixed*: it has a fixed owner ([`Space`]); such an owner may have a record as well;
//! - *held*: a record has it (`by_address`) — offered, bound, or former, the last being in the queue as well;
//! - *resting*: declined, until a deadline;
//! - *ownerless*: used before, in the queue, nobody's;
//! - *fresh*: never used. What is below its pool's mark is never fresh.
//!
//! Ordered trees throughout: O(log n), no random seed, and no input that degrades them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use fseg_model::{Mac, Mono, Wall};

use crate::places::{PlaceId, Places};
use crate::space::Space;
use crate::{Lease, LeaseState};

/// Where a record stands, with its place in the matching queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Offered until.
    Offered(Mono),
    /// Bound until.
    Bound(Mono),
    /// Ended; the number is its place in the queue for reuse.
    Former(u64),
}

impl Phase {
    fn deadline(self) -> Option<Mono> {
        match self {
            Self::Offered(t) | Self::Bound(t) => Some(t),
            Self::Former(_) => None,
        }
    }

    pub(crate) fn is_live(self) -> bool {
        !matches!(self, Self::Former(_))
    }
}

/// All that is known of one MAC address.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) address: Ipv4Addr,
    pub(crate) phase: Phase,
    pub(crate) place: Option<PlaceId>,
    pub(crate) admitted: bool,
    /// The store has a record of this MAC address with this address.
    pub(crate) stored: bool,
    pub(crate) since: Wall,
    pub(crate) until: Wall,
    pub(crate) seconds: u32,
    pub(crate) client_id: Option<Box<[u8]>>,
    pub(crate) hostname: Option<Box<str>>,
}

impl Record {
    /// The place whose strangers it counts among.
    fn stranger_at(&self) -> Option<PlaceId> {
        self.place.filter(|_| !self.admitted && self.phase.is_live())
    }

    pub(crate) fn is_stranger_at(&self, place: PlaceId) -> bool {
        self.stranger_at() == Some(place)
    }
}

/// A declined address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rest {
    pub(crate) until: Mono,
    pub(crate) mac: Mac,
    pub(crate) place: Option<PlaceId>,
}

/// How many addresses of a pool are in which condition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) offered: u64,
    pub(crate) bound: u64,
    pub(crate) former: u64,
    pub(crate) resting: u64,
    pub(crate) ownerless: u64,
}

/// What reached its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Record(Mac),
    Rest(Ipv4Addr),
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) space: Space,
    pub(crate) places: Places,
    records: BTreeMap<Mac, Record>,
    by_address: BTreeMap<Ipv4Addr, Mac>,
    deadlines: BTreeSet<(Mono, Mac)>,
    resting: BTreeMap<Ipv4Addr, Rest>,
    rests: BTreeSet<(Mono, Ipv4Addr)>,
    // Oldest first.
    reuse: BTreeMap<u64, Ipv4Addr>,
    ownerless: BTreeMap<Ipv4Addr, u64>,
    turn: u64,
    counts: Vec<Counts>,
    offers: usize,
}

impl Table {
    pub(crate) fn new(space: Space) -> Self {
        let counts = vec![Counts::default(); space.pools()];
        Self {
            space,
            places: Places::default(),
            records: BTreeMap::new(),
            by_address: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            resting: BTreeMap::new(),
            rests: BTreeSet::new(),
            reuse: BTreeMap::new(),
            ownerless: BTreeMap::new(),
            turn: 0,
            counts,
            offers: 0,
        }
    }

    pub(crate) fn get(&self, mac: Mac) -> Option<&Record> {
        self.records.get(&mac)
    }

    pub(crate) fn holder(&self, address: Ipv4Addr) -> Option<(Mac, &Record)> {
        let mac = *self.by_address.get(&address)?;
        Some((mac, self.records.get(&mac)?))
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (Mac, &Record)> {
        self.records.iter().map(|(m, r)| (*m, r))
    }

    pub(crate) fn resting(&self) -> impl Iterator<Item = (Ipv4Addr, &Rest)> {
        self.resting.iter().map(|(a, r)| (*a, r))
    }

    pub(crate) fn rest_of(&self, address: Ipv4Addr) -> Option<&Rest> {
        self.resting.get(&address)
    }

    pub(crate) fn offers(&self) -> usize {
        self.offers
    }

    pub(crate) fn counts(&self, pool: usize) -> Counts {
        self.counts.get(pool).copied().unwrap_or_default()
    }

    /// The next number of the queue for reuse.
    pub(crate) fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    /// True when nobody holds the address, nobody had it last, and it does not rest: fresh or ownerless.
    pub(crate) fn is_nobodys(&self, address: Ipv4Addr) -> bool {
        !self.by_address.contains_key(&address) && !self.resting.contains_key(&address)
    }

    /// Adds a record. Neither the MAC address nor the address may have one; a fixed or ownerless address is taken over.
    pub(crate) fn insert(&mut self, mac: Mac, record: Record) {
        debug_assert!(!self.records.contains_key(&mac) && self.is_nobodys(record.address));
        self.drop_ownerless(record.address);
        self.by_address.insert(record.address, mac);
        self.count(mac, &record, true);
        self.records.insert(mac, record);
    }

    /// Removes a record and leaves its address ownerless.
    pub(crate) fn remove(&mut self, mac: Mac) -> Option<Record> {
        let record = self.records.remove(&mac)?;
        self.count(mac, &record, false);
        self.by_address.remove(&record.address);
        self.leave(record.address);
        Some(record)
    }

    /// Changes a record in place; `change` must not touch the address. `None` when there is none.
    pub(crate) fn change(&mut self, mac: Mac, change: impl FnOnce(&mut Record)) -> Option<&Record> {
        // Taken out and put back, so that every index follows whatever changed.
        let mut record = self.records.remove(&mac)?;
        self.count(mac, &record, false);
        let address = record.address;
        change(&mut record);
        debug_assert_eq!(address, record.address);
        self.count(mac, &record, true);
        Some(self.records.entry(mac).or_insert(record))
    }

    fn count(&mut self, mac: Mac, record: &Record, more: bool) {
        let address = record.address;
        if let Some(deadline) = record.phase.deadline() {
            if more {
                self.deadlines.insert((deadline, mac))
            } else {
                self.deadlines.remove(&(deadline, mac))
            };
        }
        if let Phase::Former(turn) = record.phase
            && self.space.is_dynamic(address)
        {
            if more {
                self.reuse.insert(turn, address)
            } else {
                self.reuse.remove(&turn)
            };
        }
        if matches!(record.phase, Phase::Offered(_)) {
            self.offers = if more { self.offers + 1 } else { self.offers.saturating_sub(1) };
        }
        self.places.count_stranger(record.stranger_at(), more);
        self.tally(address, more, |c| match record.phase {
            Phase::Offered(_) => &mut c.offered,
            Phase::Bound(_) => &mut c.bound,
            Phase::Former(_) => &mut c.former,
        });
    }

    fn tally(&mut self, address: Ipv4Addr, more: bool, which: impl Fn(&mut Counts) -> &mut u64) {
        // Fixed addresses have a column of their own.
        let pool = self.space.pool_of(address).filter(|_| self.space.is_dynamic(address));
        if let Some(counts) = pool.and_then(|p| self.counts.get_mut(p)) {
            let n = which(counts);
            *n = if more { *n + 1 } else { n.saturating_sub(1) };
        }
    }

    /// Puts an address that nobody has any more into the queue for reuse.
    pub(crate) fn leave(&mut self, address: Ipv4Addr) {
        if self.space.is_dynamic(address) && self.is_nobodys(address) && !self.ownerless.contains_key(&address) {
            let turn = self.next_turn();
            self.reuse.insert(turn, address);
            self.ownerless.insert(address, turn);
            self.tally(address, true, |c| &mut c.ownerless);
        }
    }

    fn drop_ownerless(&mut self, address: Ipv4Addr) {
        if let Some(turn) = self.ownerless.remove(&address) {
            self.reuse.remove(&turn);
            self.tally(address, false, |c| &mut c.ownerless);
        }
    }

    /// An address never used before.
    pub(crate) fn take_fresh(&mut self) -> Option<Ipv4Addr> {
        let Self { space, by_address, resting, ownerless, .. } = self;
        space.take_fresh(|a| by_address.contains_key(&a) || resting.contains_key(&a) || ownerless.contains_key(&a))
    }

    /// The address longest free, with the MAC address whose former it is, if it is anybody's.
    pub(crate) fn oldest(&self) -> Option<(Ipv4Addr, Option<Mac>)> {
        let address = *self.reuse.values().next()?;
        Some((address, self.by_address.get(&address).copied()))
    }

    /// Lets an address rest.
    pub(crate) fn rest(&mut self, address: Ipv4Addr, rest: Rest) {
        debug_assert!(self.is_nobodys(address));
        self.drop_ownerless(address);
        self.places.count_resting(rest.place, true);
        self.tally(address, true, |c| &mut c.resting);
        self.rests.insert((rest.until, address));
        self.resting.insert(address, rest);
    }

    /// Ends an address's rest; it becomes ownerless.
    pub(crate) fn end_rest(&mut self, address: Ipv4Addr) -> Option<Rest> {
        let rest = self.resting.remove(&address)?;
        self.rests.remove(&(rest.until, address));
        self.tally(address, false, |c| &mut c.resting);
        self.places.count_resting(rest.place, false);
        self.leave(address);
        Some(rest)
    }

    /// Gives an address a static owner; it must be nobody's, or this owner's.
    pub(crate) fn fix(&mut self, mac: Mac, address: Ipv4Addr) {
        self.drop_ownerless(address);
        self.refix(address, |space| space.add_static(mac, address));
    }

    /// Takes an address from its static owner. True when it was that owner's.
    pub(crate) fn unfix(&mut self, mac: Mac, address: Ipv4Addr) -> bool {
        let mut found = false;
        self.refix(address, |space| found = space.remove_static(mac, address));
        self.leave(address);
        found
    }

    // What is counted depends on whether the address is fixed, so a record is taken out of the counts meanwhile.
    fn refix(&mut self, address: Ipv4Addr, change: impl FnOnce(&mut Space)) {
        let held = self.by_address.get(&address).copied().and_then(|m| self.records.remove_entry(&m));
        if let Some((mac, record)) = &held {
            self.count(*mac, record, false);
        }
        change(&mut self.space);
        if let Some((mac, record)) = held {
            self.count(mac, &record, true);
            self.records.insert(mac, record);
        }
    }

    /// The first deadline.
    pub(crate) fn first_deadline(&self) -> Option<(Mono, Due)> {
        let record = self.deadlines.first().map(|&(t, mac)| (t, Due::Record(mac)));
        let rest = self.rests.first().map(|&(t, address)| (t, Due::Rest(address)));
        match (record, rest) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// A record as it is stored and shown.
    pub(crate) fn lease(&self, mac: Mac, record: &Record) -> Lease {
        Lease {
            mac,
            address: record.address,
            state: match record.phase {
                Phase::Offered(_) => LeaseState::Offered,
                Phase::Bound(_) => LeaseState::Bound,
                Phase::Former(_) => LeaseState::Former,
            },
            client_id: record.client_id.as_deref().map(<[u8]>::to_vec),
            hostname: record.hostname.as_deref().map(str::to_owned),
            place: record.place.and_then(|p| self.places.path(p)).cloned(),
            admitted: record.admitted,
            since: record.since,
            seconds: record.seconds,
            until: record.until,
        }
    }

    /// Checks every sentence of this module's head; for tests.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        assert_eq!(self.records.len(), self.by_address.len());
        let mut strangers: BTreeMap<PlaceId, u32> = BTreeMap::new();
        let mut formers = 0;
        for (mac, r) in &self.records {
            assert_eq!(self.by_address.get(&r.address), Some(mac));
            assert!(self.space.may_have(*mac, r.address), "{mac} has {}", r.address);
            assert!(!self.resting.contains_key(&r.address) && !self.ownerless.contains_key(&r.address));
            match r.phase {
                Phase::Offered(t) | Phase::Bound(t) => assert!(self.deadlines.contains(&(t, *mac))),
                Phase::Former(turn) if self.space.is_dynamic(r.address) => {
                    formers += 1;
                    assert_eq!(self.reuse.get(&turn), Some(&r.address));
                }
                Phase::Former(_) => {}
            }
            if let Some(p) = r.stranger_at() {
                *strangers.entry(p).or_default() += 1;
            }
        }
        assert_eq!(self.deadlines.len(), self.records.values().filter(|r| r.phase.is_live()).count());
        assert_eq!(self.offers, self.records.values().filter(|r| matches!(r.phase, Phase::Offered(_))).count());
        assert_eq!(self.reuse.len(), formers + self.ownerless.len());
        assert_eq!(self.rests.len(), self.resting.len());
        for (p, n) in strangers {
            assert_eq!(self.places.strangers(p), n);
        }
        for pool in 0..self.space.pools() {
            let c = self.counts(pool);
            let live = |f: fn(&Phase) -> bool| {
                let mine = |a: Ipv4Addr| self.space.pool_of(a) == Some(pool) && self.space.is_dynamic(a);
                self.records.values().filter(|r| mine(r.address) && f(&r.phase)).count() as u64
            };
            assert_eq!(c.offered, live(|p| matches!(p, Phase::Offered(_))));
            assert_eq!(c.bound, live(|p| matches!(p, Phase::Bound(_))));
            assert_eq!(c.former, live(|p| matches!(p, Phase::Former(_))));
        }
    }
}
