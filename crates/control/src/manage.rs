//! Accounts and devices, changed by operators.

use std::collections::BTreeSet;

use fseg_address::AddressConfig;
use fseg_admission::{Account, Device, Recheck, Update};
use fseg_model::{Method, Name, Subject};

use crate::controller::Controller;
use crate::effect::{Answer, EventKind, Refusal, Ticket};
use crate::record::{Change, Record, RecordKey};
use crate::world::Known;

/// Puts the fixed addresses of the device list into the address configuration.
pub(crate) fn fixed_addresses(config: &mut AddressConfig, devices: &[Device]) {
    for device in devices {
        let (Some(mac), Some(address)) = (device.matcher.as_exact(), device.address) else { continue };
        if device.is_static {
            config.statics.entry(mac).or_default().push(address);
        } else {
            config.reservations.insert(mac, address);
        }
    }
}

impl Controller {
    pub(crate) fn put_account(&mut self, ticket: Ticket, who: &str, account: Account) {
        let name = account.name.clone();
        let result = self.admission.put_account(account, self.now.wall);
        self.managed(ticket, who, "account.put", &name, result);
    }

    pub(crate) fn delete_account(&mut self, ticket: Ticket, who: &str, name: &Name) {
        let result = self.admission.remove_account(name);
        self.managed(ticket, who, "account.delete", name, result);
    }

    pub(crate) fn put_device(&mut self, ticket: Ticket, who: &str, device: Device) {
        let name = device.name.clone();
        let result = self.admission.put_device(device);
        self.managed(ticket, who, "device.put", &name, result);
    }

    pub(crate) fn delete_device(&mut self, ticket: Ticket, who: &str, name: &Name) {
        let result = self.admission.remove_device(name);
        self.managed(ticket, who, "device.delete", name, result);
    }

    fn managed(
        &mut self,
        ticket: Ticket,
        who: &str,
        what: &str,
        name: &Name,
        result: Result<Update, fseg_admission::ManageError>,
    ) {
        let update = match result {
            Ok(update) => update,
            Err(e) => {
                let refusal = match &e {
                    fseg_admission::ManageError::NoSuchAccount(_) | fseg_admission::ManageError::NoSuchDevice(_) => {
                        Refusal::NotFound(e.to_string())
                    }
                    _ => Refusal::Conflict(e.to_string()),
                };
                return self.answer(ticket, Answer::Refused(refusal));
            }
        };
        use fseg_admission::Change as C;
        // Refused before anything is written: what is written must be good for the next start as well.
        if let C::PutDevice(d) = &update.change
            && self.moves_fixed_addresses(&update.change)
            && let Err(e) = self.with_device(d).check()
        {
            return self.answer(ticket, Answer::Refused(Refusal::Conflict(format!("device {name}: {e}"))));
        }
        if let C::PutDevice(d) = &update.change
            && let Some(address) = d.address
            && !self.config.inner.iter().any(|n| n.contains(&address))
        {
            let networks: Vec<String> = self.config.inner.iter().map(ToString::to_string).collect();
            let why =
                format!("device {name}: {address} is not in {}, the addresses of this network", networks.join(", "));
            return self.answer(ticket, Answer::Refused(Refusal::Conflict(why)));
        }
        if let C::PutDevice(d) = &update.change
            && let Some(taken) = d.address.and_then(|a| self.leased_to_another(a, d.matcher.as_exact()))
        {
            return self.answer(ticket, Answer::Refused(Refusal::Conflict(format!("device {name}: {taken}"))));
        }
        let fixed = self.moves_fixed_addresses(&update.change);
        match &update.change {
            C::PutAccount(a) => self.put(Record::Account(a.clone())),
            C::RemoveAccount(n) => self.delete(RecordKey::Account(n.clone())),
            C::PutDevice(d) => self.put(Record::Device(d.clone())),
            C::RemoveDevice(n) => self.delete(RecordKey::Device(n.clone())),
            C::PutRules(_) => {} // rules come from the node's configuration
        }
        self.changes.push(Change::Audit {
            at: self.now.wall,
            who: who.into(),
            what: what.into(),
            detail: serde_json::json!({ "name": name }),
        });
        self.admission.apply(update.change);
        self.names.reserve_one(name, self.admission.reserves(name));
        if fixed && let Err(e) = self.fixed_addresses_changed() {
            self.event(EventKind::System, format!("fixed addresses are not changed: {e}"), |_| {});
        }
        if let Some(subject) = &update.ends {
            self.end_sessions_of(subject);
        }
        self.recheck(&update.recheck);
        self.in_force.push((ticket, Answer::Done(format!("{name}: done"))));
    }

    /// Whether a change of the device list gives or takes a fixed address.
    fn moves_fixed_addresses(&self, change: &fseg_admission::Change) -> bool {
        let fixed = |d: &Device| d.address.map(|a| (d.matcher, a, d.is_static));
        match change {
            fseg_admission::Change::PutDevice(new) => fixed(new) != self.admission.device(&new.name).and_then(fixed),
            fseg_admission::Change::RemoveDevice(name) => self.admission.device(name).and_then(fixed).is_some(),
            _ => false,
        }
    }

    fn fixed_addresses_changed(&mut self) -> Result<(), fseg_address::ConfigError> {
        let mut fixed = self.config.address.clone();
        let devices: Vec<Device> = self.admission.devices().cloned().collect();
        fixed_addresses(&mut fixed, &devices);
        for change in self.book.reconfigure(fixed)? {
            self.lease_changed(change);
        }
        Ok(())
    }

    /// The address configuration as it would be with this device on the list.
    fn with_device(&self, device: &Device) -> AddressConfig {
        let mut config = self.config.address.clone();
        let mut devices: Vec<Device> = self.admission.devices().filter(|d| d.name != device.name).cloned().collect();
        devices.push(device.clone());
        fixed_addresses(&mut config, &devices);
        config
    }

    /// Sessions that may not be right any more are judged again; strangers may be known now.
    fn recheck(&mut self, what: &[Recheck]) {
        let mut concerned = BTreeSet::new();
        for one in what {
            match one {
                Recheck::Subject(subject) => concerned.extend(self.endpoints.of_subject(subject)),
                Recheck::Macs(matcher) if let Some(mac) = matcher.as_exact() => {
                    concerned.extend(self.endpoints.by_mac(mac));
                }
                Recheck::Macs(matcher) => {
                    let those = self.endpoints.iter().filter(|k| matcher.matches(k.endpoint.mac));
                    concerned.extend(those.map(|k| k.endpoint.id));
                }
                Recheck::Locations => {
                    let placed = |k: &&Known| k.endpoint.session.as_ref().is_none_or(|s| s.method == Method::Location);
                    concerned.extend(self.endpoints.iter().filter(placed).map(|k| k.endpoint.id));
                }
            }
        }
        for id in concerned {
            let Some(known) = self.endpoints.get(id) else { continue };
            match known.endpoint.binding.as_ref().map(|b| b.location) {
                Some(place) => {
                    self.recognise(id, place);
                    self.refresh_endpoint(id);
                }
                // It is judged when it comes back.
                None => continue,
            }
        }
    }

    fn end_sessions_of(&mut self, subject: &Subject) {
        let mut theirs = self.endpoints.of_subject(subject).to_vec();
        theirs.sort_unstable(); // the same order in every run
        for id in theirs {
            self.end_session(id, "the account was changed by an operator");
        }
    }
}
