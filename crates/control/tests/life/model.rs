//! Who everybody may be, by the plainest of rules: written down from the answers that people and operators were given, and
//! nothing else. Knows no sessions, leases, rows or switches.

use std::collections::{BTreeMap, BTreeSet};

use fseg_model::{Identity, Name, Subject};

/// What is believed about one person at one client: nobody, or an account. Several where nobody was told how it ended.
type Believed = BTreeSet<Option<&'static str>>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Accounts: roles, disabled. `None` in the second place: it may be either.
    accounts: BTreeMap<&'static str, (Vec<&'static str>, bool)>,
    /// Accounts of which the last change was not answered.
    doubtful: BTreeSet<&'static str>,
    /// Devices by client: disabled.
    devices: BTreeMap<usize, bool>,
    doubtful_devices: BTreeSet<usize>,
    people: BTreeMap<usize, Believed>,
}

/// How something ended for who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Yes,
    No,
    Nothing,
}

impl Model {
    pub(crate) fn account(&mut self, name: &'static str, roles: &[&'static str], disabled: bool, told: Told) {
        match told {
            Told::No => return,
            Told::Yes => {
                self.doubtful.remove(name);
                self.accounts.insert(name, (roles.to_vec(), disabled));
            }
            Told::Nothing => {
                self.doubtful.insert(name);
            }
        }
        if disabled {
            self.out(name, told);
        }
    }

    pub(crate) fn no_account(&mut self, name: &'static str, told: Told) {
        match told {
            Told::No => return,
            Told::Yes => {
                self.doubtful.remove(name);
                self.accounts.remove(name);
            }
            Told::Nothing => {
                self.doubtful.insert(name);
            }
        }
        self.out(name, told);
    }

    /// Nobody is that person any more.
    fn out(&mut self, name: &'static str, told: Told) {
        for believed in self.people.values_mut() {
            if believed.contains(&Some(name)) {
                believed.insert(None);
                if told == Told::Yes {
                    believed.remove(&Some(name));
                }
            }
        }
    }

    pub(crate) fn device(&mut self, n: usize, disabled: Option<bool>, told: Told) {
        match (told, disabled) {
            (Told::No, _) => return,
            (Told::Nothing, _) => {
                self.doubtful_devices.insert(n);
            }
            (Told::Yes, Some(disabled)) => {
                self.doubtful_devices.remove(&n);
                self.devices.insert(n, disabled);
            }
            (Told::Yes, None) => {
                self.doubtful_devices.remove(&n);
                self.devices.remove(&n);
            }
        }
        if disabled == Some(true) {
            self.ended(n, told);
        }
    }

    pub(crate) fn login(&mut self, n: usize, name: &'static str, told: Told) {
        match told {
            Told::No => {}
            Told::Yes => drop(self.people.insert(n, BTreeSet::from([Some(name)]))),
            Told::Nothing => drop(self.person(n).insert(Some(name))),
        }
    }

    pub(crate) fn ended(&mut self, n: usize, told: Told) {
        match told {
            Told::No => {}
            Told::Yes => drop(self.people.insert(n, BTreeSet::from([None]))),
            Told::Nothing => drop(self.person(n).insert(None)),
        }
    }

    /// So much time passed, or the clock jumped, that sessions may have ended by themselves.
    pub(crate) fn long_time(&mut self) {
        for believed in self.people.values_mut() {
            believed.insert(None);
        }
    }

    fn person(&mut self, n: usize) -> &mut Believed {
        self.people.entry(n).or_insert_with(|| BTreeSet::from([None]))
    }

    /// Everybody that client `n` may be at this place, if the place has a name; `None` for a stranger.
    pub(crate) fn may_be(&self, n: usize, device: &str, named_place: Option<&str>) -> BTreeSet<Option<Subject>> {
        let mut out = BTreeSet::new();
        let nobody = Believed::from([None]);
        for person in self.people.get(&n).unwrap_or(&nobody) {
            if let Some(name) = person {
                out.insert(Some(Subject::User(Name::new(name).unwrap())));
                continue;
            }
            // Whoever is recognised is recognised when it speaks, so that it may still be a stranger.
            out.insert(None);
            let listed = self.devices.get(&n);
            let doubtful = self.doubtful_devices.contains(&n);
            if listed == Some(&false) || doubtful {
                out.insert(Some(Subject::Device(Name::new(device).unwrap())));
            }
            if listed.is_none() || doubtful {
                out.extend(named_place.map(|p| Some(Subject::Location(p.parse().unwrap()))));
            }
        }
        out
    }

    /// Whether these are the roles of that identity's account today.
    pub(crate) fn right_roles(&self, identity: &Identity) -> bool {
        let Subject::User(name) = &identity.subject else { return identity.roles.is_empty() };
        self.doubtful.contains(name.as_str())
            || self.accounts.get(name.as_str()).is_some_and(|(roles, disabled)| {
                !disabled && identity.roles.iter().map(Name::as_str).eq(roles.iter().copied())
            })
    }
}
