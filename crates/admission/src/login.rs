//! A login at the portal, in two steps around the slow check of the password.
//!
//! What a person is told never depends on whether the account exists: an unknown account is checked against a dummy hash,
//! counted and locked like any other. The log may say it: [`Attempt::is_known`].

use std::collections::BTreeMap;
use std::time::Duration;

use fseg_model::{Identity, Mac, Method, Mono, Name, PlacePath, Subject};
use thiserror::Error;

use crate::lockout::Key;
use crate::{Admission, Grant, NameWish, PasswordHash};

/// What to do with a login form.
#[derive(Debug)]
#[must_use]
pub enum LoginStart {
    /// Run [`crate::verify_password`] with this hash on a worker, then call [`Admission::login_finish`] with its answer.
    Check {
        /// The account's hash, or a dummy when there is no such account.
        hash: PasswordHash,
        /// Names this try.
        attempt: Attempt,
    },
    /// Too many wrong passwords; the password is not even looked at.
    Locked {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too many logins are being checked at this moment.
    Busy,
}

/// A login whose password is being checked. It can be finished once.
#[derive(Debug)]
#[must_use = "an attempt that is never finished counts as a wrong password for a minute"]
pub struct Attempt {
    id: u64,
    account: Box<str>,
    /// The account's name and the hash its password is checked against.
    known: Option<(Name, PasswordHash)>,
    mac: Mac,
    place: PlacePath,
}

impl Attempt {
    /// Its number: never given twice in the life of one [`Admission`].
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The account as it was typed, folded to lower case and cut to 63 characters.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Whether there is such an account. For the log only.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// From which MAC address.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// At which place.
    pub fn place(&self) -> &PlacePath {
        &self.place
    }

    fn keys(&self) -> [Key; 3] {
        [Key::Account(self.account.clone()), Key::Mac(self.mac), Key::Place(self.place.clone())]
    }
}

/// Why a login is refused, in words for the person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoginRefused {
    /// The password is wrong, or there is no such account.
    #[error("account or password is wrong; {left} more tries")]
    WrongPassword {
        /// Tries left before the lock.
        left: u32,
    },
    /// The password is right, but the account or the device is disabled.
    #[error("this account or device is disabled; ask the administrator")]
    Disabled,
    /// Too many wrong passwords.
    #[error("too many wrong passwords; try again in {} s", retry_after.as_secs().max(1))]
    Locked {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The check took more than a minute.
    #[error("the login took too long; try again")]
    Stale,
}

/// How long a check may take before its attempt is given up.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts being checked.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    next: u64,
    open: BTreeMap<u64, (Mono, [Key; 3])>,
}

impl InFlight {
    fn drop_old(&mut self, now: Mono) {
        self.open.retain(|_, (started, _)| now.since(*started) < CHECK_TIMEOUT);
    }

    fn count(&self, key: &Key) -> u32 {
        u32::try_from(self.open.values().filter(|(_, keys)| keys.contains(key)).count()).unwrap_or(u32::MAX)
    }
}

/// How an account is counted: as its name if it is one, else as typed, so that no form makes a large key.
fn fold(account: &str) -> Box<str> {
    let account = account.trim();
    match Name::new(account) {
        Ok(name) => name.as_str().into(),
        Err(_) => account.chars().take(Name::MAX).flat_map(char::to_lowercase).collect::<String>().into(),
    }
}

impl Admission {
    /// Takes up a login: says whether the password is to be checked at all, and against what.
    pub fn login_start(&mut self, account: &str, mac: Mac, place: &PlacePath, now: Mono) -> LoginStart {
        self.in_flight.drop_old(now);
        let folded = fold(account);
        let known = Name::new(&folded).ok().and_then(|name| self.accounts.get(&name));
        let known = known.map(|a| (a.name.clone(), a.password.clone()));
        let attempt = Attempt { id: self.in_flight.next, account: folded, known, mac, place: place.clone() };
        let keys = attempt.keys();
        let locked = keys.iter().filter_map(|key| self.lockouts.locked(key, self.in_flight.count(key), now)).max();
        if let Some(retry_after) = locked {
            return LoginStart::Locked { retry_after };
        }
        if self.in_flight.open.len() >= self.config.limits.logins {
            return LoginStart::Busy;
        }
        self.in_flight.next += 1;
        self.in_flight.open.insert(attempt.id, (now, keys));
        let hash = attempt.known.as_ref().map_or_else(|| PasswordHash::dummy(self.config.hash), |(_, h)| h.clone());
        LoginStart::Check { hash, attempt }
    }

    /// Ends a login with the answer of the check.
    ///
    /// A right password grants nothing when meanwhile the account was disabled, removed, or given another password.
    pub fn login_finish(&mut self, attempt: Attempt, verified: bool, now: Mono) -> Result<Grant, LoginRefused> {
        self.in_flight.drop_old(now);
        let Some((_, keys)) = self.in_flight.open.remove(&attempt.id) else { return Err(LoginRefused::Stale) };
        if let Some(retry_after) = keys.iter().filter_map(|key| self.lockouts.locked(key, 0, now)).max() {
            return Err(LoginRefused::Locked { retry_after });
        }
        let account = attempt
            .known
            .filter(|_| verified)
            .and_then(|(name, hash)| self.accounts.get(&name).filter(|account| account.password == hash));
        let Some(account) = account else {
            let left = keys.into_iter().map(|key| self.lockouts.failed(key, now)).min().unwrap_or(0);
            return Err(match left {
                0 => LoginRefused::Locked { retry_after: self.config.lockout.ban },
                left => LoginRefused::WrongPassword { left },
            });
        };
        // Of MAC and place the wrong passwords still count: who has one account must not get endless tries at others.
        self.lockouts.forgive(&keys[0]);
        if account.disabled || self.is_barred(attempt.mac) {
            return Err(LoginRefused::Disabled);
        }
        let never_if_zero = |d: Duration| (!d.is_zero()).then_some(d);
        Ok(Grant {
            identity: Identity { subject: Subject::User(account.name.clone()), roles: account.roles.clone() },
            method: Method::Portal,
            name: NameWish { base: account.name.clone(), numbered: false },
            until: never_if_zero(self.config.session),
            idle: self.config.idle,
        })
    }
}

#[cfg(test)]
mod tests {
    use fseg_model::Wall;
    use proptest::prelude::*;

    use super::*;
    use crate::{Account, AdmissionConfig, Device, HashParams, hash_password, verify_password};

    const QUICK: HashParams = HashParams { memory_kib: 8, passes: 1, lanes: 1 };

    fn admission(accounts: &[&str]) -> Admission {
        let accounts = accounts.iter().map(|name| {
            let hash = hash_password(&format!("password of {name}"), [1; 16], QUICK).unwrap();
            Account::new(name.parse().unwrap(), hash, Wall(0))
        });
        let config = AdmissionConfig { hash: QUICK, ..AdmissionConfig::default() };
        Admission::new(config, accounts.collect(), Vec::new(), Vec::new()).unwrap()
    }

    fn mac(n: u64) -> Mac {
        Mac::from_u64(0x5254_0000_0000 + n)
    }

    fn place(n: u64) -> PlacePath {
        format!("tokyo/sw1/p{n}").parse().unwrap()
    }

    /// A login from machine `from` at its own port; `None` for locked at the start.
    fn login(
        a: &mut Admission,
        account: &str,
        password: &str,
        from: u64,
        now: Mono,
    ) -> Option<Result<Grant, LoginRefused>> {
        match a.login_start(account, mac(from), &place(from), now) {
            LoginStart::Check { hash, attempt } => {
                let verified = verify_password(&hash, password);
                Some(a.login_finish(attempt, verified, now))
            }
            LoginStart::Locked { .. } => None,
            LoginStart::Busy => panic!("busy without a login in flight"),
        }
    }

    #[test]
    fn the_right_password_is_granted_with_todays_roles() {
        let mut a = admission(&["anna"]);
        let grant = login(&mut a, " Anna ", "password of anna", 1, Mono(0)).unwrap().unwrap();
        assert_eq!(grant.identity(), &Identity::plain("user:anna".parse().unwrap()));
        assert_eq!((grant.method(), grant.until()), (Method::Portal, Some(Duration::from_secs(12 * 3600))));
        let session = grant.session(Wall(1000));
        assert_eq!((session.until, session.idle_seconds), (Some(Wall(1000 + 12 * 3_600_000)), 7200));
    }

    #[test]
    fn a_hundred_wrong_passwords_lock_one_account_only_and_not_for_ever() {
        let mut a = admission(&["anna", "bob"]);
        let mut checked = 0;
        for n in 0..100 {
            checked += u32::from(login(&mut a, "anna", "wrong", 1, Mono(n)).is_some());
        }
        assert_eq!(checked, 5, "passwords that were looked at");
        assert!(login(&mut a, "anna", "password of anna", 2, Mono(100)).is_none(), "the lock opens to another machine");
        assert!(login(&mut a, "bob", "password of bob", 3, Mono(100)).unwrap().is_ok(), "bob is locked out too");
        assert!(login(&mut a, "anna", "password of anna", 1, Mono(4 + 600_000)).unwrap().is_ok(), "the ban never ends");
    }

    #[test]
    fn guessing_many_accounts_locks_the_place_whatever_the_mac() {
        let mut a = admission(&["anna"]);
        for n in 0..20 {
            let LoginStart::Check { attempt, .. } = a.login_start(&format!("user{n}"), mac(n), &place(1), Mono(0))
            else {
                panic!("locked after {n} tries");
            };
            let _ = a.login_finish(attempt, false, Mono(0));
        }
        assert!(matches!(a.login_start("anna", mac(99), &place(1), Mono(1)), LoginStart::Locked { .. }));
        assert!(matches!(a.login_start("anna", mac(99), &place(2), Mono(1)), LoginStart::Check { .. }));
    }

    #[test]
    fn unknown_accounts_look_like_known_ones() {
        let mut a = admission(&["anna"]);
        for (known, unknown) in [("anna", "nobody"), ("anna", "not a name!")] {
            let mut a1 = admission(&["anna"]);
            for now in 0..7 {
                let x = login(&mut a1, known, "wrong", 1, Mono(now));
                let y = login(&mut a, unknown, "wrong", 2, Mono(now));
                assert_eq!(x, y, "try {now}");
            }
            a = admission(&["anna"]);
        }
        let LoginStart::Check { hash, attempt } = a.login_start("nobody", mac(1), &place(1), Mono(0)) else { panic!() };
        assert_eq!((hash.params(), attempt.is_known()), (QUICK, false));
        assert!(a.login_finish(attempt, true, Mono(0)).is_err(), "an unknown account was granted");
    }

    #[test]
    fn parallel_tries_are_not_more_tries() {
        let mut a = admission(&["anna"]);
        let started: Vec<_> = (0..10).map(|n| a.login_start("anna", mac(n), &place(n), Mono(0))).collect();
        let open = started.iter().filter(|s| matches!(s, LoginStart::Check { .. })).count();
        assert_eq!(open, 5);
        // Workers that never answer are given up.
        assert!(matches!(a.login_start("anna", mac(1), &place(1), Mono(60_000)), LoginStart::Check { .. }));
        for late in started {
            if let LoginStart::Check { attempt, .. } = late {
                assert_eq!(a.login_finish(attempt, true, Mono(60_000)), Err(LoginRefused::Stale));
            }
        }
    }

    #[test]
    fn too_many_logins_at_once_are_told_to_wait() {
        let mut a = admission(&[]);
        for n in 0..64 {
            assert!(matches!(a.login_start(&format!("u{n}"), mac(n), &place(n), Mono(0)), LoginStart::Check { .. }));
        }
        assert!(matches!(a.login_start("u64", mac(64), &place(64), Mono(0)), LoginStart::Busy));
    }

    #[test]
    fn what_changes_during_the_check_counts() {
        for (edit, expected) in [
            (Some((true, None)), LoginRefused::Disabled),
            (Some((false, Some("another password"))), LoginRefused::WrongPassword { left: 4 }),
            (None, LoginRefused::WrongPassword { left: 4 }),
        ] {
            let mut a = admission(&["anna"]);
            let LoginStart::Check { attempt, .. } = a.login_start("anna", mac(1), &place(1), Mono(0)) else { panic!() };
            let anna: Name = "anna".parse().unwrap();
            let update = match edit {
                None => a.remove_account(&anna).unwrap(),
                Some((disabled, password)) => {
                    let mut account = a.account(&anna).unwrap().clone();
                    account.disabled = disabled;
                    if let Some(p) = password {
                        account.password = hash_password(p, [2; 16], QUICK).unwrap();
                    }
                    a.put_account(account, Wall(1)).unwrap()
                }
            };
            a.apply(update.change);
            assert_eq!(a.login_finish(attempt, true, Mono(1)), Err(expected));
        }
    }

    #[test]
    fn a_disabled_device_does_not_get_in_by_a_login() {
        let mut a = admission(&["anna"]);
        let device = Device { disabled: true, ..Device::new("lost".parse().unwrap(), "52:54:00:*".parse().unwrap()) };
        let update = a.put_device(device).unwrap();
        a.apply(update.change);
        let answer = login(&mut a, "anna", "password of anna", 1, Mono(0)).unwrap();
        assert_eq!(answer, Err(LoginRefused::Disabled));
    }

    #[test]
    fn nothing_shows_a_password_or_hash() {
        let mut a = admission(&["anna"]);
        let start = a.login_start("anna", mac(1), &place(1), Mono(0));
        let shown = format!("{start:?} {a:?}");
        assert!(!shown.contains("$argon2") && !shown.contains("password of"), "{shown}");
    }

    proptest! {
        /// Random logins, right and wrong, from few machines at few accounts: a grant comes exactly when the password is
        /// right, account and device are enabled, and none of the three counters is locked.
        #[test]
        fn a_grant_needs_everything(steps in prop::collection::vec((0u64..4, 0u64..3, any::<bool>(), 0u64..120_000, 0u8..12), 1..80)) {
            let names = ["anna", "bob", "carol", "nobody"];
            let mut a = admission(&names[..3]);
            // Per counter: the times of wrong passwords that count, and until when it is locked.
            let mut counters: BTreeMap<String, (Vec<u64>, u64)> = BTreeMap::new();
            let mut disabled = [false; 3];
            let mut now = 0;
            for (who, from, right, later, toggle) in steps {
                now += later;
                if let Some(flag) = disabled.get_mut(usize::from(toggle)) {
                    *flag = !*flag;
                    let mut account = a.account(&names[usize::from(toggle)].parse().unwrap()).unwrap().clone();
                    account.disabled = *flag;
                    let update = a.put_account(account, Wall(now)).unwrap();
                    a.apply(update.change);
                }
                let name = names[who as usize];
                let keys = [(format!("account {name}"), 5), (format!("mac {from}"), 20), (format!("place {from}"), 20)];
                let locked = keys.iter().any(|(k, _)| counters.get(k).is_some_and(|c| now < c.1));
                let password = if right { format!("password of {name}") } else { "wrong".into() };
                let answer = login(&mut a, name, &password, from, Mono(now));
                prop_assert_eq!(answer.is_none(), locked);
                let Some(answer) = answer else { continue };
                let correct = right && who < 3;
                let off = disabled.get(who as usize).copied().unwrap_or(false);
                prop_assert_eq!(answer.is_ok(), correct && !off);
                if correct {
                    counters.remove(&keys[0].0);
                } else {
                    for (key, limit) in keys {
                        let counter = counters.entry(key).or_default();
                        counter.0.push(now);
                        counter.0.retain(|&t| now - t < 600_000);
                        if counter.0.len() >= limit {
                            *counter = (Vec::new(), now + 600_000);
                        }
                    }
                }
            }
        }
    }
}
