//! The address book: everything about addresses that is not DHCP's conversation.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_model::{Mac, Mono, PlacePath, Wall};
use serde::{Deserialize, Serialize};

use crate::reply::seconds_of;
use crate::space::Space;
use crate::table::{Due, Phase, Record, Rest, Table};
use crate::{
    AddressConfig, ConfigError, Conflict, DECLINE_REST, Holder, Lease, LeaseChange, LeaseState, MAX_EXPIRED_PER_CALL,
    RESTART_GRACE,
};

/// Leases, pools and static addresses of one flat network. See the crate's head for the rules.
#[derive(Debug, Clone)]
pub struct AddressBook {
    pub(crate) config: AddressConfig,
    pub(crate) table: Table,
    /// Changes that had no answer to go with; the next answer or [`expire`](Self::expire) hands them out, first of all.
    pub(crate) pending: Vec<LeaseChange>,
    /// Static addresses claimed at run time, as opposed to configured ones.
    claimed: BTreeSet<(Mac, Ipv4Addr)>,
}

/// Why [`AddressBook::expire`] wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// A lease or an offer of this endpoint ends.
    Lease(Mac),
    /// A declined address has rested enough.
    Rested(Ipv4Addr),
    /// Changes wait to be stored.
    Changes,
}

/// How much of a pool is used. `size` is the sum of all the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolUse {
    /// The pool's name.
    pub name: String,
    /// Addresses in it.
    pub size: u64,
    /// Of a fixed owner: reserved, static, or the network's own.
    pub fixed: u64,
    /// Leased.
    pub bound: u64,
    /// Offered.
    pub offered: u64,
    /// Free, but kept for their last holder while others last.
    pub former: u64,
    /// Declined and resting.
    pub resting: u64,
    /// Free.
    pub free: u64,
}

/// A lease on its way from the store, or from a former configuration.
struct Adopted {
    lease: Lease,
    deadline: Mono,
    stored: bool,
    order: u64,
}

impl AddressBook {
    /// A book with what the store has. Records that contradict the configuration or each other are dropped, running
    /// leases winning over ended ones; the first answer or [`expire`](Self::expire) says so to the store.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn new(config: AddressConfig, leases: Vec<Lease>, wall: Wall, now: Mono) -> Result<Self, ConfigError> {
        let table = Table::new(Space::new(&config)?);
        let mut book = Self { config, table, pending: Vec::new(), claimed: BTreeSet::new() };
        let adopt = |mut lease: Lease| {
            // Not longer than the client was told, whatever the wall clock says, and not shorter than the grace.
            let least = if lease.state == LeaseState::Bound { RESTART_GRACE } else { Duration::ZERO };
            let longest = Duration::from_secs(lease.seconds.into());
            let left = lease.until.since(wall).min(longest).max(least);
            let order = lease.until.0;
            if lease.state == LeaseState::Bound {
                lease.until = wall.plus(left);
            }
            Adopted { lease, deadline: now.plus(left), stored: true, order }
        };
        let adopted = leases.into_iter().map(adopt).collect();
        book.adopt_all(adopted);
        Ok(book)
    }

    /// Takes a new configuration over. Leases keep their deadlines; those that it does not allow any more end. Static
    /// addresses claimed at run time stay where they do not contradict it.
    ///
    /// # Errors
    /// When the configuration cannot work; nothing has changed then.
    pub fn reconfigure(&mut self, config: AddressConfig) -> Result<Vec<LeaseChange>, ConfigError> {
        let mut table = Table::new(Space::new(&config)?);
        self.claimed.retain(|&(mac, address)| {
            let mine = table.space.fixed(address).is_none_or(|h| h.mac() == Some(mac));
            if mine {
                table.fix(mac, address);
            }
            mine
        });
        let old = std::mem::replace(&mut self.table, table);
        self.config = config;
        let records = old.records().map(|(mac, r)| {
            let (deadline, order) = match r.phase {
                Phase::Offered(t) | Phase::Bound(t) => (t, t.0),
                Phase::Former(turn) => (Mono::default(), turn),
            };
            Adopted { lease: old.lease(mac, r), deadline, stored: r.stored, order }
        });
        let rests = old.resting().map(|(address, rest)| {
            let place = rest.place.and_then(|p| old.places.path(p)).cloned();
            let lease = declined(rest.mac, address, place, Wall::default(), Wall::default());
            Adopted { lease, deadline: rest.until, stored: false, order: rest.until.0 }
        });
        let adopted = records.chain(rests).collect();
        self.adopt_all(adopted);
        Ok(std::mem::take(&mut self.pending))
    }

    fn adopt_all(&mut self, mut adopted: Vec<Adopted>) {
        // Running leases first, then rests, then former ones from the longest ended on.
        adopted.sort_by_key(|a| (a.lease.state, a.order, a.lease.mac));
        for one in adopted {
            self.adopt(one);
        }
    }

    fn adopt(&mut self, Adopted { lease, deadline, stored, .. }: Adopted) {
        let Lease { mac, address, .. } = lease;
        if lease.state != LeaseState::Declined && self.table.get(mac).is_some() {
            return; // The record that won is stored under the same key.
        }
        let allowed = self.table.space.may_have(mac, address) && self.table.is_nobodys(address);
        let place = lease.place.as_ref().map(|p| self.table.places.id(p));
        match lease.state {
            LeaseState::Declined if allowed && self.table.space.is_dynamic(address) => {
                self.table.rest(address, Rest { until: deadline, mac, place });
                return;
            }
            LeaseState::Bound | LeaseState::Former if allowed => {}
            LeaseState::Offered if allowed && !stored => {}
            _ => {
                if stored {
                    self.pending.push(LeaseChange::Delete(mac));
                }
                return;
            }
        }
        let phase = match lease.state {
            LeaseState::Bound => Phase::Bound(deadline),
            LeaseState::Offered => Phase::Offered(deadline),
            LeaseState::Former | LeaseState::Declined => Phase::Former(self.table.next_turn()),
        };
        let record = Record {
            address,
            phase,
            place,
            admitted: lease.admitted,
            stored,
            since: lease.since,
            until: lease.until,
            seconds: lease.seconds,
            client_id: lease.client_id.map(Vec::into_boxed_slice),
            hostname: lease.hostname.map(String::into_boxed_str),
        };
        self.table.insert(mac, record);
    }

    /// Ends what has reached its deadline, at most [`MAX_EXPIRED_PER_CALL`] of it, and hands out what must be stored:
    /// leases that ended as `Put` of a [`LeaseState::Former`]. Losing these changes is harmless; they come again after
    /// a restart.
    pub fn expire(&mut self, now: Mono, wall: Wall) -> Vec<LeaseChange> {
        let mut changes = std::mem::take(&mut self.pending);
        for _ in 0..MAX_EXPIRED_PER_CALL {
            match self.table.first_deadline() {
                Some((at, due)) if at <= now => match due {
                    Due::Record(mac) => self.end(mac, wall, &mut changes),
                    Due::Rest(address) => {
                        let rest = self.table.end_rest(address);
                        let gone = rest.filter(|r| self.table.get(r.mac).is_none_or(|record| !record.stored));
                        changes.extend(gone.map(|r| LeaseChange::Delete(r.mac)));
                    }
                },
                _ => break,
            }
        }
        changes
    }

    /// Ends an offer or a lease; the address stays the endpoint's former one if it ever was its own.
    pub(crate) fn end(&mut self, mac: Mac, wall: Wall, changes: &mut Vec<LeaseChange>) {
        let Some(record) = self.table.get(mac) else { return };
        match record.phase {
            Phase::Offered(_) if !record.stored => {
                self.table.remove(mac);
            }
            Phase::Offered(_) => {
                let turn = self.table.next_turn();
                self.table.change(mac, |r| r.phase = Phase::Former(turn));
            }
            Phase::Bound(_) => {
                let turn = self.table.next_turn();
                self.table.change(mac, |r| (r.phase, r.until) = (Phase::Former(turn), wall));
                changes.extend(self.lease_of(mac).map(LeaseChange::Put));
            }
            Phase::Former(_) => {}
        }
    }

    /// Removes a record as if it had never been; its address is free.
    pub(crate) fn forget(&mut self, mac: Mac, changes: &mut Vec<LeaseChange>) {
        if self.table.remove(mac).is_some_and(|r| r.stored) {
            changes.push(LeaseChange::Delete(mac));
        }
    }

    /// When [`expire`](Self::expire) should be called next, and why. A time in the past means now.
    pub fn poll_timeout(&self) -> Option<(Mono, Wake)> {
        if !self.pending.is_empty() {
            return Some((Mono::default(), Wake::Changes));
        }
        self.table.first_deadline().map(|(at, due)| match due {
            Due::Record(mac) => (at, Wake::Lease(mac)),
            Due::Rest(address) => (at, Wake::Rested(address)),
        })
    }

    /// The configuration in force.
    pub fn config(&self) -> &AddressConfig {
        &self.config
    }

    /// What is known of an endpoint: its offer, its lease, or its former lease.
    pub fn lease_of(&self, mac: Mac) -> Option<Lease> {
        self.table.get(mac).map(|r| self.table.lease(mac, r))
    }

    /// Everything known, ordered by MAC address: offers, leases and former leases.
    pub fn leases(&self) -> impl Iterator<Item = Lease> {
        self.table.records().map(|(mac, r)| self.table.lease(mac, r))
    }

    /// Who has an address now. A running lease or offer goes before a fixed owner's mere right to it; a former lease
    /// does not count.
    pub fn owner_of(&self, address: Ipv4Addr) -> Option<Holder> {
        let leased = self.table.holder(address).filter(|(_, r)| r.phase.is_live()).map(|(mac, _)| Holder::Leased(mac));
        let resting = || self.table.rest_of(address).map(|_| Holder::Unknown);
        leased.or_else(|| self.table.space.fixed(address)).or_else(resting)
    }

    /// An endpoint was admitted, or lost its admission: it counts among its place's strangers, or no longer. Its lease
    /// time follows when it renews.
    pub fn mark_admitted(&mut self, mac: Mac, admitted: bool) -> Option<LeaseChange> {
        self.table.get(mac).filter(|r| r.admitted != admitted)?;
        self.table.change(mac, |r| r.admitted = admitted)?;
        // An offer is never stored, and of a former lease nobody asks whether it was admitted.
        self.lease_of(mac).filter(|l| l.state == LeaseState::Bound).map(LeaseChange::Put)
    }

    /// Ends an endpoint's lease from this side. The client learns it when it renews.
    pub fn revoke(&mut self, mac: Mac, wall: Wall) -> Vec<LeaseChange> {
        let mut changes = Vec::new();
        self.end(mac, wall, &mut changes);
        changes
    }

    /// An endpoint uses an address that was set on the device itself. From now on nobody else gets it; the endpoint
    /// need not release a lease it may have. Addresses outside the flat network are noted too.
    ///
    /// # Errors
    /// When somebody else has the address: the first stays.
    pub fn claim_static(&mut self, mac: Mac, address: Ipv4Addr) -> Result<(), Conflict> {
        let conflict = |holder| Err(Conflict { address, holder });
        match self.table.space.fixed(address) {
            Some(holder) if holder.mac() != Some(mac) => return conflict(holder),
            Some(Holder::Static(_)) => return Ok(()),
            _ => {}
        }
        match self.table.holder(address) {
            Some((other, record)) if other != mac => {
                if record.phase.is_live() {
                    return conflict(Holder::Leased(other));
                }
                let mut changes = Vec::new();
                self.forget(other, &mut changes);
                self.pending.append(&mut changes);
            }
            _ => {}
        }
        // Who claims a declined address is most likely whom the other client met there.
        if let Some(rest) = self.table.end_rest(address)
            && self.table.get(rest.mac).is_none_or(|r| !r.stored)
        {
            self.pending.push(LeaseChange::Delete(rest.mac));
        }
        self.table.fix(mac, address);
        self.claimed.insert((mac, address));
        Ok(())
    }

    /// An endpoint uses a static address no more. True when it had it.
    pub fn release_static(&mut self, mac: Mac, address: Ipv4Addr) -> bool {
        self.claimed.remove(&(mac, address));
        let found = self.table.unfix(mac, address);
        // A lease of the static address itself may be nothing the pools could give.
        if self.table.holder(address).is_some_and(|(m, _)| !self.table.space.may_have(m, address)) {
            let mut changes = Vec::new();
            self.forget(mac, &mut changes);
            self.pending.append(&mut changes);
        }
        found
    }

    /// How full the pools are, in the order of the configuration. Costs O(fixed addresses), not O(leases).
    pub fn utilisation(&self) -> Vec<PoolUse> {
        let fixed = self.table.space.fixed_per_pool();
        let pools = self.config.pools.iter().zip(fixed).enumerate();
        pools
            .map(|(i, (pool, fixed))| {
                let c = self.table.counts(i);
                let size = self.table.space.size(i);
                let used = fixed + c.bound + c.offered + c.former + c.resting;
                PoolUse {
                    name: pool.name.clone(),
                    size,
                    fixed,
                    bound: c.bound,
                    offered: c.offered,
                    former: c.former,
                    resting: c.resting,
                    free: size.saturating_sub(used),
                }
            })
            .collect()
    }
}

/// The record of a declined address.
pub(crate) fn declined(mac: Mac, address: Ipv4Addr, place: Option<PlacePath>, since: Wall, until: Wall) -> Lease {
    Lease {
        mac,
        address,
        state: LeaseState::Declined,
        client_id: None,
        hostname: None,
        place,
        admitted: false,
        since,
        seconds: seconds_of(DECLINE_REST),
        until,
    }
}
