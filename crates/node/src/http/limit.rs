//! How many at once: in all, and per source address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what is in progress, in all and per source address, and refuses beyond its limits. One address can therefore
/// not shut out the others.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Slots,
    address: IpAddr,
}

impl Slots {
    /// Limits: so many in all, so many for each address.
    pub fn new(all: usize, each: usize) -> Self {
        Self(Arc::new(Inner { all, each, taken: Mutex::default() }))
    }

    /// Takes a place for this address; `None` when there is none left.
    pub fn take(&self, address: IpAddr) -> Option<Slot> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.each.get(&address).copied().unwrap_or(0);
        if taken.all >= self.0.all || here >= self.0.each {
            return None;
        }
        taken.all += 1;
        taken.each.insert(address, here + 1);
        drop(taken);
        Some(Slot { slots: self.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.each.get_mut(&self.address) {
            Some(n) if *n > 1 => *n -= 1,
            _ => {
                taken.each.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_places_come_back() {
        let [a, b, c] = [1, 2, 3].map(|n| IpAddr::from([10, 0, 0, n]));
        let slots = Slots::new(3, 2);
        let first = slots.take(a).unwrap();
        let _second = slots.take(a).unwrap();
        assert!(slots.take(a).is_none(), "a third place for one address");
        let _third = slots.take(b).unwrap();
        assert!(slots.take(c).is_none(), "a fourth place in all");
        drop(first);
        let fourth = slots.take(c).unwrap();
        drop(fourth);
        assert!(slots.take(a).is_some());
        assert_eq!(slots.0.taken.lock().unwrap().each.len(), 2, "addresses without places are forgotten");
    }
}
