//! Wrong passwords, counted per account, MAC address and place.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fseg_model::{Mac, Mono, PlacePath};

use crate::Lockout;

/// What wrong passwords are counted for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The account as it was typed, folded and cut, whether it exists or not: the count must not tell.
    Account(Box<str>),
    Mac(Mac),
    Place(PlacePath),
}

#[derive(Debug, Default)]
struct Failures {
    /// Oldest first; never more than the limit.
    at: VecDeque<Mono>,
    banned_until: Option<Mono>,
}

impl Failures {
    fn drop_old(&mut self, window: Duration, now: Mono) {
        while self.at.front().is_some_and(|&t| now.since(t) >= window) {
            self.at.pop_front();
        }
        self.banned_until = self.banned_until.filter(|&t| now < t);
    }

    fn is_empty(&self) -> bool {
        self.at.is_empty() && self.banned_until.is_none()
    }

    /// When this entry last mattered: bans sort after mere failures of the same time.
    fn weight(&self) -> (Option<Mono>, Option<Mono>) {
        (self.banned_until, self.at.back().copied())
    }
}

#[derive(Debug)]
pub(crate) struct Lockouts {
    config: Lockout,
    max: usize,
    table: BTreeMap<Key, Failures>,
}

/// How long to wait when every remaining try is being checked at this moment.
const ALL_IN_FLIGHT: Duration = Duration::from_secs(1);

impl Lockouts {
    pub(crate) fn new(config: Lockout, max: usize) -> Self {
        Self { config, max: max.max(1), table: BTreeMap::new() }
    }

    fn limit(&self, key: &Key) -> u32 {
        match key {
            Key::Account(_) => self.config.attempts.max(1),
            Key::Mac(_) | Key::Place(_) => self.config.place_attempts.max(1),
        }
    }

    /// How long the key is locked from now on, when `in_flight` logins of it are being checked; `None` when it is not.
    ///
    /// A login being checked counts like a wrong password: many at the same time are not more tries.
    pub(crate) fn locked(&mut self, key: &Key, in_flight: u32, now: Mono) -> Option<Duration> {
        let limit = self.limit(key);
        let mut count = 0;
        if let Some(failures) = self.table.get_mut(key) {
            failures.drop_old(self.config.window, now);
            if let Some(until) = failures.banned_until {
                return Some(until.since(now));
            }
            count = u32::try_from(failures.at.len()).unwrap_or(u32::MAX);
        }
        (count.saturating_add(in_flight) >= limit).then_some(ALL_IN_FLIGHT)
    }

    /// Counts a wrong password; returns how many more are allowed, 0 when this one locked the key.
    pub(crate) fn failed(&mut self, key: Key, now: Mono) -> u32 {
        let limit = self.limit(&key);
        if !self.table.contains_key(&key) {
            self.make_room(now);
        }
        let failures = self.table.entry(key).or_default();
        failures.drop_old(self.config.window, now);
        failures.at.push_back(now);
        let left = limit.saturating_sub(u32::try_from(failures.at.len()).unwrap_or(u32::MAX));
        if left == 0 {
            failures.at.clear();
            failures.banned_until = Some(now.plus(self.config.ban));
        }
        left
    }

    /// Forgets the wrong passwords of a key.
    pub(crate) fn forgive(&mut self, key: &Key) {
        self.table.remove(key);
    }

    /// Keeps the table within its bound: first goes what no longer counts, then what matters least.
    fn make_room(&mut self, now: Mono) {
        if self.table.len() < self.max {
            return;
        }
        let window = self.config.window;
        self.table.retain(|_, failures| {
            failures.drop_old(window, now);
            !failures.is_empty()
        });
        while self.table.len() >= self.max {
            let Some(key) = self.table.iter().min_by_key(|(_, f)| f.weight()).map(|(k, _)| k.clone()) else { return };
            self.table.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(n: u32) -> Key {
        Key::Account(format!("a{n}").into())
    }

    #[test]
    fn the_table_is_bounded_and_keeps_bans_longest() {
        let config = Lockout { attempts: 2, ..Lockout::default() };
        let mut lockouts = Lockouts::new(config, 10);
        lockouts.failed(account(0), Mono(0));
        lockouts.failed(account(0), Mono(0));
        for n in 1..1000 {
            lockouts.failed(account(n), Mono(n.into()));
            assert!(lockouts.table.len() <= 10);
        }
        assert!(lockouts.locked(&account(0), 0, Mono(1000)).is_some(), "the ban was pushed out by mere failures");
    }

    #[test]
    fn logins_being_checked_count_as_tries() {
        let mut lockouts = Lockouts::new(Lockout::default(), 10);
        assert_eq!(lockouts.locked(&account(1), 4, Mono(0)), None);
        assert_eq!(lockouts.locked(&account(1), 5, Mono(0)), Some(ALL_IN_FLIGHT));
        lockouts.failed(account(1), Mono(0));
        assert_eq!(lockouts.locked(&account(1), 4, Mono(0)), Some(ALL_IN_FLIGHT));
    }

    /// All that ever happened, replayed from the start for each question.
    struct Naive(Vec<(u32, u64, bool)>);

    impl Naive {
        fn locked(&self, key: u32, now: u64, c: Lockout) -> Option<Duration> {
            let (window, ban) = (c.window.as_millis() as u64, c.ban.as_millis() as u64);
            let (mut counted, mut until) = (Vec::<u64>::new(), 0);
            for &(_, at, wrong) in self.0.iter().filter(|e| e.0 == key) {
                if !wrong {
                    (counted, until) = (Vec::new(), 0);
                    continue;
                }
                counted.push(at);
                if counted.iter().filter(|&&t| at - t < window).count() as u32 >= c.attempts {
                    (counted, until) = (Vec::new(), at + ban);
                }
            }
            (now < until).then(|| Duration::from_millis(until - now))
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_replay_of_the_whole_history(
            steps in prop::collection::vec((0u32..3, 0u64..200, prop::bool::weighted(0.85)), 0..120),
            attempts in 1u32..5, window in 1u64..600, ban in 1u64..600,
        ) {
            let config = Lockout {
                attempts,
                place_attempts: 1000,
                window: Duration::from_millis(window),
                ban: Duration::from_millis(ban),
            };
            let mut lockouts = Lockouts::new(config, 100);
            let (mut naive, mut now) = (Naive(Vec::new()), 0);
            for (key, later, wrong) in steps {
                now += later;
                for k in 0..3 {
                    prop_assert_eq!(lockouts.locked(&account(k), 0, Mono(now)), naive.locked(k, now, config));
                }
                if naive.locked(key, now, config).is_some() {
                    continue;
                }
                if wrong { lockouts.failed(account(key), Mono(now)); } else { lockouts.forgive(&account(key)) }
                naive.0.push((key, now, wrong));
            }
        }
    }
}
