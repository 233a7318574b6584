//! Names for endpoints: unique in a slice, and the same again for the same device.

use std::collections::{BTreeMap, BTreeSet};

use fseg_model::{Mac, Name};

use crate::{NameWish, NamesExhausted};

/// The names of one slice's endpoints. A MAC address has at most one; it keeps it until it is released.
#[derive(Debug, Default)]
pub struct Names {
    owner: BTreeMap<Name, Mac>,
    of: BTreeMap<Mac, Name>,
    reserved: BTreeSet<Name>,
    /// For each wish, a number below which every counter is taken: where the search for the lowest free begins.
    lowest: BTreeMap<NameWish, u32>,
}

/// The largest counter: six digits.
const MAX_NUMBER: u32 = 999_999;

/// `base-n`, the base cut where both do not fit.
fn numbered(base: &Name, n: u32) -> Option<Name> {
    let suffix = format!("-{n}");
    let head: String = base.as_str().chars().take(Name::MAX - suffix.len()).collect();
    Name::new(&(head + &suffix)).ok()
}

/// The counter at the end of a name.
fn number_of(name: &Name) -> Option<u32> {
    name.as_str().rsplit_once('-')?.1.parse().ok().filter(|n| (1..=MAX_NUMBER).contains(n))
}

/// The first counter of a wish: where the first endpoint has none, the second gets 2.
fn first(wish: &NameWish) -> u32 {
    if wish.numbered { 1 } else { 2 }
}

/// True when the name is one that this wish can lead to.
fn fits(name: &Name, wish: &NameWish) -> bool {
    let counted = number_of(name).is_some_and(|n| n >= first(wish) && numbered(&wish.base, n).as_ref() == Some(name));
    counted || (!wish.numbered && *name == wish.base)
}

impl Names {
    /// No names in use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps these names for those who wish exactly them: accounts and single devices ([`crate::Admission::reserved_names`]).
    /// Without it, `crm-1` of the device list might find that a numbered `crm` was given its name.
    pub fn reserve(&mut self, names: BTreeSet<Name>) {
        self.reserved = names;
        self.lowest.clear();
    }

    /// Keeps one more name, or no longer.
    pub fn reserve_one(&mut self, name: &Name, kept: bool) {
        let changed = if kept { self.reserved.insert(name.clone()) } else { self.reserved.remove(name) };
        if changed {
            self.lowest.clear();
        }
    }

    /// Who has a name.
    pub fn owner(&self, name: &Name) -> Option<Mac> {
        self.owner.get(name).copied()
    }

    /// The name of a MAC address.
    pub fn of(&self, mac: Mac) -> Option<&Name> {
        self.of.get(&mac)
    }

    /// Gives the MAC address a name that fits the wish.
    ///
    /// That is the one it has, else `previous` (which it had once, and the store remembers), if these fit the wish and are
    /// free; else the base, or with a counter the lowest free number. Another name it had before becomes free. Fails when
    /// all numbers are taken.
    pub fn assign(&mut self, wish: &NameWish, mac: Mac, previous: Option<&Name>) -> Result<Name, NamesExhausted> {
        let free = |name: &Name| {
            self.owner.get(name).is_none_or(|owner| *owner == mac)
                && (*name == wish.base || !self.reserved.contains(name))
        };
        let again = [self.of.get(&mac), previous].into_iter().flatten().find(|n| fits(n, wish) && free(n)).cloned();
        let plain = || (!wish.numbered && free(&wish.base)).then(|| wish.base.clone());
        let from = self.lowest.get(wish).copied().unwrap_or(0).max(first(wish));
        let counted = || {
            (from..=MAX_NUMBER).find_map(|n| numbered(&wish.base, n).filter(|name| free(name)).map(|name| (name, n)))
        };
        let (name, number) = match again.or_else(plain) {
            Some(name) => (name, None),
            None => {
                let (name, n) = counted().ok_or_else(|| NamesExhausted { base: wish.base.clone() })?;
                (name, Some(n))
            }
        };
        if self.of.get(&mac) != Some(&name) {
            // A name given up here was not a candidate of this wish (it would have been kept), so `n` is still the lowest.
            self.release(mac);
            self.owner.insert(name.clone(), mac);
            self.of.insert(mac, name.clone());
            if let Some(n) = number {
                self.lowest.insert(wish.clone(), n + 1);
            }
        }
        Ok(name)
    }

    /// Sets the name an endpoint has by the store, at start. False when another endpoint has it: then it needs a new one.
    pub fn restore(&mut self, name: &Name, mac: Mac) -> bool {
        if self.owner.get(name).is_some_and(|owner| *owner != mac) {
            return false;
        }
        self.release(mac);
        self.owner.insert(name.clone(), mac);
        self.of.insert(mac, name.clone());
        true
    }

    /// Frees the name of a MAC address, when its endpoint is forgotten.
    pub fn release(&mut self, mac: Mac) -> Option<Name> {
        let name = self.of.remove(&mac)?;
        self.owner.remove(&name);
        if let Some(n) = number_of(&name) {
            self.lowest.retain(|wish, low| n >= *low || numbered(&wish.base, n).as_ref() != Some(&name));
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn wish(text: &str) -> NameWish {
        match text.strip_suffix("-N") {
            Some(base) => NameWish { base: name(base), numbered: true },
            None => NameWish { base: name(text), numbered: false },
        }
    }

    fn mac(n: u64) -> Mac {
        Mac::from_u64(0x5254_0000_0000 + n)
    }

    #[test]
    fn names_are_counted_kept_and_given_back() {
        let mut names = Names::new();
        let mut give = |w: &str, m: u64, previous: Option<&str>| {
            names.assign(&wish(w), mac(m), previous.map(name).as_ref()).unwrap().to_string()
        };
        assert_eq!(give("anna", 1, None), "anna");
        assert_eq!(give("anna", 2, None), "anna-2");
        assert_eq!(give("anna", 3, None), "anna-3");
        assert_eq!(give("anna", 2, None), "anna-2", "the same device again");
        assert_eq!(give("guest-N", 4, None), "guest-1");
        assert_eq!(give("guest-N", 5, None), "guest-2");
        assert_eq!(give("guest-N", 4, None), "guest-1");
        assert_eq!(give("guest-N", 6, Some("guest-9")), "guest-9", "its former name is free");
        assert_eq!(give("guest-N", 7, Some("guest-9")), "guest-3", "its former name is taken");
        assert_eq!(give("guest-N", 8, Some("anna-7")), "guest-4", "its former name does not fit");
        assert_eq!(give("anna", 8, None), "anna-4", "another person at the same machine");
        assert_eq!(give("guest-N", 9, None), "guest-4", "the name that was given up");
        assert_eq!(names.release(mac(4)), Some(name("guest-1")));
        assert_eq!(names.assign(&wish("guest-N"), mac(10), None), Ok(name("guest-1")));
    }

    #[test]
    fn reserved_names_go_to_their_own() {
        let mut names = Names::new();
        names.reserve(BTreeSet::from([name("crm-1"), name("anna-2")]));
        assert_eq!(names.assign(&wish("crm-N"), mac(1), None), Ok(name("crm-2")));
        assert_eq!(names.assign(&wish("crm-N"), mac(2), Some(&name("crm-1"))), Ok(name("crm-3")));
        assert_eq!(names.assign(&wish("crm-1"), mac(3), None), Ok(name("crm-1")));
        assert_eq!(names.assign(&wish("anna"), mac(4), None), Ok(name("anna")));
        assert_eq!(names.assign(&wish("anna"), mac(5), None), Ok(name("anna-3")));
    }

    #[test]
    fn long_bases_are_cut_and_stay_unique() {
        let long = "x".repeat(63);
        let mut names = Names::new();
        for (m, expected) in [(1, long.clone()), (2, format!("{}-2", &long[2..])), (3, format!("{}-3", &long[2..]))] {
            assert_eq!(names.assign(&wish(&long), mac(m), None), Ok(name(&expected)));
        }
        assert_eq!(names.assign(&wish(&long), mac(3), None), Ok(name(&format!("{}-3", &long[2..]))));
    }

    #[test]
    fn restoring_refuses_a_second_owner() {
        let mut names = Names::new();
        assert!(names.restore(&name("anna"), mac(1)) && names.restore(&name("anna"), mac(1)));
        assert!(!names.restore(&name("anna"), mac(2)));
        assert_eq!(names.assign(&wish("anna"), mac(2), None), Ok(name("anna-2")));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Assign(usize, u64, Option<usize>),
        Restore(usize, u64),
        Release(u64),
        Reserve(Vec<usize>),
        ReserveOne(usize, bool),
    }

    const WISHES: [&str; 5] = ["a", "a-N", "a-2", "a-2-N", "b-N"];
    const NAMES: [&str; 7] = ["a", "a-1", "a-2", "a-3", "a-2-1", "b-2", "b-02"];

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..WISHES.len(), 0u64..8, prop::option::of(0..NAMES.len())).prop_map(|(w, m, p)| Step::Assign(w, m, p)),
            1 => (0..NAMES.len(), 0u64..8).prop_map(|(n, m)| Step::Restore(n, m)),
            2 => (0u64..8).prop_map(Step::Release),
            1 => prop::collection::vec(0..NAMES.len(), 0..3).prop_map(Step::Reserve),
            1 => (0..NAMES.len(), any::<bool>()).prop_map(|(n, kept)| Step::ReserveOne(n, kept)),
        ];
        prop::collection::vec(step, 1..60)
    }

    proptest! {
        /// Against a plain list of (MAC, name): unique, stable, and the lowest free number.
        #[test]
        fn agrees_with_a_plain_list(steps in steps()) {
            let mut names = Names::new();
            let mut list: Vec<(Mac, Name)> = Vec::new();
            let mut reserved = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Assign(w, m, previous) => {
                        let (wish, mac, previous) = (wish(WISHES[w]), mac(m), previous.map(|p| name(NAMES[p])));
                        let got = names.assign(&wish, mac, previous.as_ref()).unwrap();
                        let free = |n: &Name| {
                            list.iter().all(|(o, taken)| taken != n || *o == mac) && (*n == wish.base || !reserved.contains(n))
                        };
                        let mut candidates: Vec<Name> = if wish.numbered { vec![] } else { vec![wish.base.clone()] };
                        let from = if wish.numbered { 1 } else { 2 };
                        candidates.extend((from..30).map(|n| name(&format!("{}-{n}", wish.base))));
                        let own = list.iter().find(|(o, _)| *o == mac).map(|(_, n)| n.clone());
                        let kept = own.into_iter().chain(previous).find(|n| candidates.contains(n) && free(n));
                        let expected = kept.or_else(|| candidates.into_iter().find(free)).unwrap();
                        prop_assert_eq!(&got, &expected);
                        list.retain(|(o, _)| *o != mac);
                        list.push((mac, got));
                    }
                    Step::Restore(n, m) => {
                        let (n, mac) = (name(NAMES[n]), mac(m));
                        let free = list.iter().all(|(o, taken)| *taken != n || *o == mac);
                        prop_assert_eq!(names.restore(&n, mac), free);
                        if free {
                            list.retain(|(o, _)| *o != mac);
                            list.push((mac, n));
                        }
                    }
                    Step::Release(m) => {
                        let held = list.iter().find(|(o, _)| *o == mac(m)).map(|(_, n)| n.clone());
                        prop_assert_eq!(names.release(mac(m)), held);
                        list.retain(|(o, _)| *o != mac(m));
                    }
                    Step::Reserve(picked) => {
                        reserved = picked.into_iter().map(|p| name(NAMES[p])).collect();
                        names.reserve(reserved.clone());
                    }
                    Step::ReserveOne(n, kept) => {
                        let n = name(NAMES[n]);
                        names.reserve_one(&n, kept);
                        if kept { reserved.insert(n); } else { reserved.remove(&n); }
                    }
                }
                for (owner, n) in &list {
                    prop_assert_eq!(names.owner(n), Some(*owner));
                    prop_assert_eq!(names.of(*owner), Some(n));
                }
                prop_assert_eq!(names.owner.len(), list.len());
            }
        }
    }
}
