//! Who is recognised without a login, and whether a session still stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fseg_model::{Identity, Mac, Method, Name, PlacePath, PortKind, Session, Subject};

use crate::device::Devices;
use crate::lockout::Lockouts;
use crate::login::InFlight;
use crate::{Account, AdmissionConfig, Device, Grant, LocationRule, ManageError, NameWish};

/// Accounts, device list and location rules, with the counters of wrong passwords: decides who may join.
#[derive(Debug)]
pub struct Admission {
    pub(crate) config: AdmissionConfig,
    pub(crate) accounts: BTreeMap<Name, Account>,
    pub(crate) devices: Devices,
    pub(crate) rules: Vec<LocationRule>,
    pub(crate) lockouts: Lockouts,
    pub(crate) in_flight: InFlight,
}

/// What has become of a session after accounts, devices or rules changed, or its endpoint moved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Standing {
    /// It stands as it is.
    Same,
    /// It stands, with these roles from now on.
    Roles(Identity),
    /// The endpoint is now something else: this grant takes the session's place.
    Replaced(Grant),
    /// It ends.
    Ended,
}

impl Admission {
    /// Takes over what the store has. Fails where it contradicts itself (as after editing by hand), naming the culprit.
    pub fn new(
        config: AdmissionConfig,
        accounts: Vec<Account>,
        devices: Vec<Device>,
        rules: Vec<LocationRule>,
    ) -> Result<Self, ManageError> {
        let mut new = Self {
            lockouts: Lockouts::new(config.lockout, config.limits.lockouts),
            config,
            accounts: BTreeMap::new(),
            devices: Devices::default(),
            rules: Vec::new(),
            in_flight: InFlight::default(),
        };
        for account in accounts {
            new.check_account(&account)?;
            new.accounts.insert(account.name.clone(), account);
        }
        for device in devices {
            new.check_device(&device)?;
            new.devices.put(device);
        }
        new.check_rules(&rules)?;
        new.rules = rules;
        Ok(new)
    }

    /// The settings.
    pub fn config(&self) -> &AdmissionConfig {
        &self.config
    }

    /// An account.
    pub fn account(&self, name: &Name) -> Option<&Account> {
        self.accounts.get(name)
    }

    /// All accounts, by name.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// A device entry.
    pub fn device(&self, name: &Name) -> Option<&Device> {
        self.devices.get(name)
    }

    /// All device entries, by name.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    /// The device entry that counts for a MAC address, disabled or not: the one with the longest prefix.
    pub fn device_of(&self, mac: Mac) -> Option<&Device> {
        self.devices.find(mac)
    }

    /// The location rules, in order.
    pub fn rules(&self) -> &[LocationRule] {
        &self.rules
    }

    /// Names that only their own account or device gets: what [`crate::Names::reserve`] wants.
    pub fn reserved_names(&self) -> BTreeSet<Name> {
        let devices = self.devices.iter().filter(|d| d.matcher.as_exact().is_some()).map(|d| &d.name);
        self.accounts.keys().chain(devices).cloned().collect()
    }

    /// Whether a name is one of [`Admission::reserved_names`].
    pub fn reserves(&self, name: &Name) -> bool {
        self.accounts.contains_key(name) || self.devices.get(name).is_some_and(|d| d.matcher.as_exact().is_some())
    }

    /// True when the device list keeps this MAC address out, whoever sits at it.
    pub fn is_barred(&self, mac: Mac) -> bool {
        self.devices.find(mac).is_some_and(|d| d.disabled)
    }

    /// Admits without a login: by the device list, else by the first location rule that fits. `None` leaves the portal
    /// (which a barred device does not get past either).
    pub fn recognise(&self, mac: Mac, place: &PlacePath, kind: PortKind) -> Option<Grant> {
        if !kind.admits() || mac.is_unusable_source() {
            return None;
        }
        let grant = |subject, roles: &BTreeSet<Name>, method, name| Grant {
            identity: Identity { subject, roles: roles.clone() },
            method,
            name,
            until: None,
            idle: Duration::ZERO,
        };
        if let Some(device) = self.devices.find(mac) {
            let name = NameWish { base: device.name.clone(), numbered: device.matcher.as_exact().is_none() };
            let subject = Subject::Device(device.name.clone());
            return (!device.disabled).then(|| grant(subject, &device.roles, Method::Device, name));
        }
        let rule = self.rules.iter().find(|rule| rule.matches(mac, place))?;
        let name = rule.name.wish(place)?;
        Some(grant(Subject::Location(place.clone()), &rule.roles, Method::Location, name))
    }

    /// What has become of the session of the endpoint with this MAC address, which is now at this place.
    pub fn standing(&self, session: &Session, mac: Mac, place: &PlacePath, kind: PortKind) -> Standing {
        let same_or_roles = |now: Identity| {
            if now == session.identity { Standing::Same } else { Standing::Roles(now) }
        };
        match &session.identity.subject {
            Subject::User(name) => match self.accounts.get(name) {
                Some(account) if !account.disabled && !self.is_barred(mac) && kind.admits() => {
                    same_or_roles(Identity { subject: session.identity.subject.clone(), roles: account.roles.clone() })
                }
                _ => Standing::Ended,
            },
            subject => match self.recognise(mac, place, kind) {
                None => Standing::Ended,
                Some(grant) if grant.identity.subject == *subject => same_or_roles(grant.identity),
                Some(grant) => Standing::Replaced(grant),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use fseg_model::Wall;

    use super::*;
    use crate::{HashParams, hash_password};

    fn device(name: &str, matcher: &str) -> Device {
        Device::new(name.parse().unwrap(), matcher.parse().unwrap())
    }

    fn rule(place: &str, name: &str) -> LocationRule {
        LocationRule {
            place: place.parse().unwrap(),
            name: name.parse().unwrap(),
            mac: None,
            roles: BTreeSet::from(["fixed".parse().unwrap()]),
        }
    }

    fn admission() -> Admission {
        let devices = vec![
            device("crm-1", "52:54:00:00:00:01"),
            device("camera", "00:11:22:*"),
            Device { disabled: true, ..device("stolen", "00:11:22:00:00:05") },
        ];
        let rules = vec![rule("tokyo/sw3/p7", "printer-3f-{n}"), rule("tokyo/sw3/*", "{switch}-{port}")];
        Admission::new(AdmissionConfig::default(), Vec::new(), devices, rules).unwrap()
    }

    fn subject(a: &Admission, mac: &str, place: &str, kind: PortKind) -> Option<String> {
        let grant = a.recognise(mac.parse().unwrap(), &place.parse().unwrap(), kind)?;
        let number = if grant.name().numbered { "-N" } else { "" };
        Some(format!("{} as {}{number}", grant.identity().subject, grant.name().base))
    }

    #[test]
    fn the_device_list_comes_before_the_place() {
        use PortKind::{Access, Legacy, Service, Shared, Tunnel, Uplink};
        let a = admission();
        for (mac, place, kind, expected) in [
            ("52:54:00:00:00:01", "tokyo/sw3/p7", Access, Some("device:crm-1 as crm-1")),
            ("00:11:22:00:00:01", "tokyo/sw1/p1", Shared, Some("device:camera as camera-N")),
            ("52:54:00:00:00:02", "tokyo/sw3/p7", Access, Some("location:tokyo/sw3/p7 as printer-3f-N")),
            ("52:54:00:00:00:02", "tokyo/sw3/p8", Access, Some("location:tokyo/sw3/p8 as sw3-p8")),
            ("52:54:00:00:00:02", "tokyo/sw1/p1", Access, None),
            ("00:11:22:00:00:05", "tokyo/sw3/p7", Access, None),
            ("01:54:00:00:00:02", "tokyo/sw3/p7", Access, None),
            ("52:54:00:00:00:01", "tokyo/sw3/p7", Uplink, None),
            ("52:54:00:00:00:01", "tokyo/sw3/p7", Tunnel, None),
            ("52:54:00:00:00:01", "tokyo/sw3/p7", Service, None),
            ("52:54:00:00:00:01", "tokyo/sw3/p7", Legacy, None),
        ] {
            assert_eq!(subject(&a, mac, place, kind).as_deref(), expected, "{mac} at {place}");
        }
    }

    #[test]
    fn sessions_follow_what_operators_change_and_where_endpoints_go() {
        let mut a = admission();
        let mac: Mac = "52:54:00:00:00:02".parse().unwrap();
        let at = |p: &str| p.parse::<PlacePath>().unwrap();
        let session = a.recognise(mac, &at("tokyo/sw3/p8"), PortKind::Access).unwrap().session(Wall(0));
        let standing = |a: &Admission, p: &str| a.standing(&session, mac, &at(p), PortKind::Access);
        assert_eq!(standing(&a, "tokyo/sw3/p8"), Standing::Same);
        assert!(matches!(standing(&a, "tokyo/sw3/p7"), Standing::Replaced(_)));
        assert_eq!(standing(&a, "tokyo/sw1/p1"), Standing::Ended);

        let mut rules = a.rules().to_vec();
        rules[1].roles.clear();
        let update = a.put_rules(rules).unwrap();
        a.apply(update.change);
        assert_eq!(
            standing(&a, "tokyo/sw3/p8"),
            Standing::Roles(Identity::plain("location:tokyo/sw3/p8".parse().unwrap()))
        );

        let update = a.put_device(device("pc", "52:54:00:00:00:02")).unwrap();
        a.apply(update.change);
        assert!(matches!(standing(&a, "tokyo/sw3/p8"), Standing::Replaced(g) if g.method() == Method::Device));
    }

    #[test]
    fn a_user_session_stands_while_account_and_device_are_enabled() {
        let hash =
            hash_password("anna's password", [1; 16], HashParams { memory_kib: 8, passes: 1, lanes: 1 }).unwrap();
        let account = Account::new("anna".parse().unwrap(), hash, Wall(0));
        let mut a = Admission::new(AdmissionConfig::default(), vec![account.clone()], Vec::new(), Vec::new()).unwrap();
        let session = Session {
            method: Method::Portal,
            identity: Identity::plain("user:anna".parse().unwrap()),
            since: Wall(0),
            until: None,
            idle_seconds: 0,
        };
        let (mac, place): (Mac, PlacePath) = ("52:54:00:00:00:02".parse().unwrap(), "tokyo/sw1/p1".parse().unwrap());
        assert_eq!(a.standing(&session, mac, &place, PortKind::Access), Standing::Same);
        let barred = Device { disabled: true, ..device("x", "52:54:00:00:00:02") };
        let update = a.put_device(barred).unwrap();
        a.apply(update.change);
        assert_eq!(a.standing(&session, mac, &place, PortKind::Access), Standing::Ended);
        let update = a.remove_device(&"x".parse().unwrap()).unwrap();
        a.apply(update.change);
        let update = a.put_account(Account { disabled: true, ..account }, Wall(5)).unwrap();
        a.apply(update.change);
        assert_eq!(a.standing(&session, mac, &place, PortKind::Access), Standing::Ended);
    }

    #[test]
    fn a_store_that_contradicts_itself_is_refused() {
        let twice = vec![device("a", "52:54:*"), device("b", "52:54:*")];
        let error = Admission::new(AdmissionConfig::default(), Vec::new(), twice, Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "device `b`: 52:54:* already belongs to device `a`; remove or change that one first"
        );
    }
}
