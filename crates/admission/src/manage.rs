//! Operators' changes: planned here, committed by the store, then applied.

use fseg_model::{Name, Subject, Wall};
use serde::{Deserialize, Serialize};

use crate::{Account, Admission, Device, LocationRule, MacMatcher, ManageError};

/// A change to accounts, devices or rules: what the store writes and [`Admission::apply`] takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The account is now this.
    PutAccount(Account),
    /// The account is gone.
    RemoveAccount(Name),
    /// The device entry is now this.
    PutDevice(Device),
    /// The device entry is gone.
    RemoveDevice(Name),
    /// The location rules are now these, in this order.
    PutRules(Vec<LocationRule>),
}

/// A planned change and which sessions it touches once applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing has changed yet: commit the change, then apply it"]
pub struct Update {
    /// To be committed, then applied.
    pub change: Change,
    /// All sessions of this subject end.
    pub ends: Option<Subject>,
    /// These endpoints are to be asked about with [`Admission::standing`] (those with a session) or
    /// [`Admission::recognise`] (strangers).
    pub recheck: Vec<Recheck>,
}

/// A set of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recheck {
    /// Those with a session of this subject.
    Subject(Subject),
    /// Those with such a MAC address.
    Macs(MacMatcher),
    /// Those admitted by their location, and strangers.
    Locations,
}

fn too_many(what: &'static str, count: usize, max: usize) -> Result<(), ManageError> {
    if count > max { Err(ManageError::TooMany { what, max }) } else { Ok(()) }
}

impl Admission {
    pub(crate) fn check_account(&self, account: &Account) -> Result<(), ManageError> {
        let limits = self.config.limits;
        let is_new = !self.accounts.contains_key(&account.name);
        too_many("accounts", self.accounts.len() + usize::from(is_new), limits.accounts)?;
        too_many("roles of one account", account.roles.len(), limits.roles)?;
        match &account.display_name {
            Some(text) if text.chars().count() > 128 || text.chars().any(char::is_control) => {
                Err(ManageError::DisplayName(account.name.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_device(&self, device: &Device) -> Result<(), ManageError> {
        let limits = self.config.limits;
        let is_new = self.devices.get(&device.name).is_none();
        too_many("devices", self.devices.len() + usize::from(is_new), limits.devices)?;
        too_many("roles of one device", device.roles.len(), limits.roles)?;
        self.devices.check(device)
    }

    pub(crate) fn check_rules(&self, rules: &[LocationRule]) -> Result<(), ManageError> {
        too_many("location rules", rules.len(), self.config.limits.rules)?;
        rules.iter().try_for_each(|r| too_many("roles of one location rule", r.roles.len(), self.config.limits.roles))
    }

    /// Plans a new account, or a change to the one of this name. `created` and `changed` are set here.
    ///
    /// Disabling the account or changing its password ends its sessions; changed roles are to be rechecked.
    pub fn put_account(&self, account: Account, now: Wall) -> Result<Update, ManageError> {
        self.check_account(&account)?;
        let old = self.accounts.get(&account.name);
        let subject = Subject::User(account.name.clone());
        let ends = old.is_some_and(|old| account.disabled || old.password != account.password);
        let roles = old.is_some_and(|old| old.roles != account.roles);
        let created = old.map_or(now, |old| old.created);
        Ok(Update {
            recheck: if roles && !ends { vec![Recheck::Subject(subject.clone())] } else { Vec::new() },
            ends: ends.then_some(subject),
            change: Change::PutAccount(Account { created, changed: now, ..account }),
        })
    }

    /// Plans the removal of an account: its sessions end.
    pub fn remove_account(&self, name: &Name) -> Result<Update, ManageError> {
        if !self.accounts.contains_key(name) {
            return Err(ManageError::NoSuchAccount(name.clone()));
        }
        let ends = Some(Subject::User(name.clone()));
        Ok(Update { change: Change::RemoveAccount(name.clone()), ends, recheck: Vec::new() })
    }

    /// Plans a new device entry, or a change to the one of this name. Endpoints it was for and is for are rechecked.
    pub fn put_device(&self, device: Device) -> Result<Update, ManageError> {
        self.check_device(&device)?;
        let mut recheck = vec![Recheck::Macs(device.matcher)];
        if let Some(old) = self.devices.get(&device.name).filter(|old| old.matcher != device.matcher) {
            recheck.push(Recheck::Macs(old.matcher));
        }
        Ok(Update { change: Change::PutDevice(device), ends: None, recheck })
    }

    /// Plans the removal of a device entry. Endpoints it was for are rechecked: a shorter prefix or a location rule may
    /// be for them.
    pub fn remove_device(&self, name: &Name) -> Result<Update, ManageError> {
        let device = self.devices.get(name).ok_or_else(|| ManageError::NoSuchDevice(name.clone()))?;
        let recheck = vec![Recheck::Macs(device.matcher)];
        Ok(Update { change: Change::RemoveDevice(name.clone()), ends: None, recheck })
    }

    /// Plans new location rules in place of all the old ones.
    pub fn put_rules(&self, rules: Vec<LocationRule>) -> Result<Update, ManageError> {
        self.check_rules(&rules)?;
        Ok(Update { change: Change::PutRules(rules), ends: None, recheck: vec![Recheck::Locations] })
    }

    /// Applies a committed change. Applying one twice is like applying it once.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::PutAccount(account) => {
                self.accounts.insert(account.name.clone(), account);
            }
            Change::RemoveAccount(name) => {
                self.accounts.remove(&name);
            }
            Change::PutDevice(device) => self.devices.put(device),
            Change::RemoveDevice(name) => {
                self.devices.remove(&name);
            }
            Change::PutRules(rules) => self.rules = rules,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdmissionConfig, HashParams, Limits, hash_password};

    fn account(name: &str, password: &str) -> Account {
        let quick = HashParams { memory_kib: 8, passes: 1, lanes: 1 };
        Account::new(name.parse().unwrap(), hash_password(password, [9; 16], quick).unwrap(), Wall(1))
    }

    fn admission(limits: Limits) -> Admission {
        let config = AdmissionConfig { limits, ..AdmissionConfig::default() };
        Admission::new(config, vec![account("anna", "first password")], Vec::new(), Vec::new()).unwrap()
    }

    #[test]
    fn an_account_change_says_which_sessions_it_touches() {
        let a = admission(Limits::default());
        let anna: Subject = "user:anna".parse().unwrap();
        let old = account("anna", "first password");
        let role = || std::collections::BTreeSet::from(["sales".parse().unwrap()]);
        for (new, ends, recheck) in [
            (Account { disabled: true, ..old.clone() }, true, false),
            (account("anna", "other password"), true, false),
            (Account { roles: role(), ..old.clone() }, false, true),
            (Account { display_name: Some("Anna Ito".into()), ..old.clone() }, false, false),
        ] {
            let update = a.put_account(new, Wall(7)).unwrap();
            assert_eq!(update.ends, ends.then(|| anna.clone()));
            assert_eq!(update.recheck, if recheck { vec![Recheck::Subject(anna.clone())] } else { vec![] });
            let Change::PutAccount(stored) = update.change else { panic!("another change") };
            assert_eq!((stored.created, stored.changed), (Wall(1), Wall(7)));
        }
        let update = a.put_account(account("bob", "bob's password"), Wall(7)).unwrap();
        assert_eq!((update.ends, update.recheck), (None, vec![]));
        assert_eq!(a.remove_account(&"anna".parse().unwrap()).unwrap().ends, Some(anna));
        assert!(a.account(&"bob".parse().unwrap()).is_none(), "planning changed something");
    }

    #[test]
    fn a_device_change_rechecks_old_and_new_addresses() {
        let mut a = admission(Limits::default());
        let device = |matcher: &str| Device::new("crm".parse().unwrap(), matcher.parse().unwrap());
        let update = a.put_device(device("52:54:00:00:00:01")).unwrap();
        a.apply(update.change.clone());
        a.apply(update.change);
        let update = a.put_device(device("52:54:00:00:00:02")).unwrap();
        let both = ["52:54:00:00:00:02", "52:54:00:00:00:01"].map(|m| Recheck::Macs(m.parse().unwrap()));
        assert_eq!(update.recheck, both);
    }

    #[test]
    fn limits_and_nonsense_are_refused() {
        let a = admission(Limits { accounts: 1, devices: 0, rules: 0, roles: 0, ..Limits::default() });
        let refused = |e: Result<Update, ManageError>| e.unwrap_err().to_string();
        assert!(refused(a.put_account(account("bob", "bob's password"), Wall(0))).contains("already 1 accounts"));
        assert!(a.put_account(account("anna", "first password"), Wall(0)).is_ok());
        let mut many = account("anna", "first password");
        many.roles.insert("x".parse().unwrap());
        assert!(refused(a.put_account(many, Wall(0))).contains("roles"));
        let shouting = Account { display_name: Some("a\u{7}".into()), ..account("anna", "first password") };
        assert_eq!(a.put_account(shouting, Wall(0)), Err(ManageError::DisplayName("anna".parse().unwrap())));
        let device = Device::new("crm".parse().unwrap(), "52:54:*".parse().unwrap());
        assert!(refused(a.put_device(device)).contains("already 0 devices"));
        let nobody = "nobody".parse().unwrap();
        assert_eq!(a.remove_account(&nobody), Err(ManageError::NoSuchAccount(nobody.clone())));
        assert_eq!(a.remove_device(&nobody), Err(ManageError::NoSuchDevice(nobody)));
    }

    #[test]
    fn changes_survive_the_store() {
        for change in [
            Change::PutAccount(account("anna", "first password")),
            Change::RemoveAccount("anna".parse().unwrap()),
            Change::PutDevice(Device::new("crm".parse().unwrap(), "52:54:*".parse().unwrap())),
            Change::PutRules(vec![LocationRule {
                place: "*/sw1/*".parse().unwrap(),
                name: "{switch}-{n}".parse().unwrap(),
                mac: Some("52:54:00:*".parse().unwrap()),
                roles: Default::default(),
            }]),
        ] {
            let json = serde_json::to_string(&change).unwrap();
            assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change, "{json}");
        }
    }
}
