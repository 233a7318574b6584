//! The device list: devices that are admitted by their MAC address, without a person.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use fseg_model::{Mac, Name};
use serde::{Deserialize, Serialize};

use crate::{MacMatcher, ManageError};

/// An entry of the device list.
///
/// An entry for one MAC address names its device `NAME`; an entry for a prefix names them `NAME-1`, `NAME-2`, ….
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its name, as policies refer to it (`device:NAME`).
    pub name: Name,
    /// Which MAC addresses it is for.
    #[serde(rename = "mac")]
    pub matcher: MacMatcher,
    /// Roles, to which `role:` members of groups refer.
    #[serde(default)]
    pub roles: BTreeSet<Name>,
    /// The address that is kept for it, or that it is set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// True when the device is set to `address` itself and never asks DHCP.
    #[serde(default, rename = "static")]
    pub is_static: bool,
    /// True while it is kept out: not by the list, not by a location rule, not by a login.
    #[serde(default)]
    pub disabled: bool,
}

impl Device {
    /// An enabled device without roles and address.
    pub fn new(name: Name, matcher: MacMatcher) -> Self {
        Self { name, matcher, roles: BTreeSet::new(), address: None, is_static: false, disabled: false }
    }

    fn check(&self) -> Result<(), ManageError> {
        let name = || self.name.clone();
        match self.address {
            None if self.is_static => Err(ManageError::StaticWithoutAddress(name())),
            Some(address) if self.matcher.as_exact().is_none() => {
                Err(ManageError::AddressOfMany { name: name(), matcher: self.matcher, address })
            }
            Some(address)
                if address.is_unspecified()
                    || address.is_loopback()
                    || address.is_multicast()
                    || address.is_broadcast() =>
            {
                Err(ManageError::AddressUnusable { name: name(), address })
            }
            _ => Ok(()),
        }
    }
}

/// The device list with its indexes.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    by_name: BTreeMap<Name, Device>,
    by_matcher: BTreeMap<MacMatcher, Name>,
    by_address: BTreeMap<Ipv4Addr, Name>,
    /// How many entries there are of each prefix length, so that a lookup tries only those.
    lengths: BTreeMap<u8, usize>,
}

impl Devices {
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Device> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Device> {
        self.by_name.values()
    }

    /// The entry for this address: the one with the longest prefix, disabled or not.
    pub(crate) fn find(&self, mac: Mac) -> Option<&Device> {
        self.lengths
            .keys()
            .rev()
            .filter_map(|&bits| MacMatcher::prefix(mac, bits))
            .find_map(|matcher| self.by_matcher.get(&matcher))
            .and_then(|name| self.by_name.get(name))
    }

    /// Whether the entry could be put in, replacing the one of its name.
    pub(crate) fn check(&self, device: &Device) -> Result<(), ManageError> {
        device.check()?;
        let name = || device.name.clone();
        let other = |owner: Option<&Name>| owner.filter(|o| **o != device.name).cloned();
        if let Some(owner) = other(self.by_matcher.get(&device.matcher)) {
            return Err(ManageError::MatcherTaken { name: name(), matcher: device.matcher, owner });
        }
        if let Some(address) = device.address
            && let Some(owner) = other(self.by_address.get(&address))
        {
            return Err(ManageError::AddressTaken { name: name(), address, owner });
        }
        Ok(())
    }

    pub(crate) fn put(&mut self, device: Device) {
        self.remove(&device.name);
        self.by_matcher.insert(device.matcher, device.name.clone());
        *self.lengths.entry(device.matcher.bits()).or_default() += 1;
        if let Some(address) = device.address {
            self.by_address.insert(address, device.name.clone());
        }
        self.by_name.insert(device.name.clone(), device);
    }

    pub(crate) fn remove(&mut self, name: &Name) -> Option<Device> {
        let device = self.by_name.remove(name)?;
        self.by_matcher.remove(&device.matcher);
        if let Some(address) = device.address {
            self.by_address.remove(&address);
        }
        let bits = device.matcher.bits();
        if let Some(count) = self.lengths.get_mut(&bits) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&bits);
            }
        }
        Some(device)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(name: &str, matcher: &str) -> Device {
        Device::new(name.parse().unwrap(), matcher.parse().unwrap())
    }

    #[test]
    fn the_longest_prefix_counts() {
        let mut list = Devices::default();
        for (name, matcher) in [("any", "52:*"), ("maker", "52:54:00:*"), ("one", "52:54:00:00:00:01")] {
            list.put(device(name, matcher));
        }
        let found = |list: &Devices, mac: &str| list.find(mac.parse().unwrap()).map(|d| d.name.to_string());
        assert_eq!(found(&list, "52:54:00:00:00:01").as_deref(), Some("one"));
        assert_eq!(found(&list, "52:54:00:00:00:02").as_deref(), Some("maker"));
        assert_eq!(found(&list, "52:55:00:00:00:02").as_deref(), Some("any"));
        assert_eq!(found(&list, "54:55:00:00:00:02"), None);
        list.remove(&"one".parse().unwrap());
        assert_eq!(found(&list, "52:54:00:00:00:01").as_deref(), Some("maker"));
    }

    #[test]
    fn conflicts_and_nonsense_are_refused_by_name() {
        let mut list = Devices::default();
        let crm = Device { address: Some(Ipv4Addr::new(10, 0, 0, 5)), ..device("crm", "52:54:00:00:00:01") };
        list.put(crm.clone());
        assert_eq!(list.check(&crm), Ok(()), "an entry conflicts with itself");
        let refused = |d: Device| list.check(&d).unwrap_err().to_string();
        assert!(refused(device("x", "52:54:00:00:00:01")).contains("device `crm`"));
        let same_address = Device { address: crm.address, ..device("x", "52:54:00:00:00:02") };
        assert!(refused(same_address).contains("10.0.0.5 already belongs to device `crm`"));
        let many = Device { address: Some(Ipv4Addr::new(10, 0, 0, 6)), ..device("x", "52:54:*") };
        assert!(refused(many).contains("52:54:*"));
        assert!(refused(Device { is_static: true, ..device("x", "52:54:00:00:00:02") }).contains("no address"));
        for bad in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
            let bad = Device { address: Some(bad.into()), ..device("x", "52:54:00:00:00:02") };
            assert!(matches!(list.check(&bad), Err(ManageError::AddressUnusable { .. })), "{:?}", bad.address);
        }
    }

    proptest! {
        /// The indexes answer as a scan over the entries would, after any puts and removals.
        #[test]
        fn lookups_agree_with_a_scan(
            steps in prop::collection::vec((0u8..8, 0u64..16, 44u8..=48, prop::bool::weighted(0.3)), 1..40),
            probes in prop::collection::vec(0u64..16, 8),
        ) {
            let mut list = Devices::default();
            for (name, value, bits, remove) in steps {
                let name: Name = format!("d{name}").parse().unwrap();
                if remove {
                    list.remove(&name);
                } else {
                    let matcher = MacMatcher::prefix(Mac::from_u64(0x5254_0000_0000 | value), bits).unwrap();
                    let new = Device::new(name, matcher);
                    if list.check(&new).is_ok() {
                        list.put(new);
                    }
                }
            }
            for probe in probes {
                let mac = Mac::from_u64(0x5254_0000_0000 | probe);
                let scan = list.iter().filter(|d| d.matcher.matches(mac)).max_by_key(|d| d.matcher.bits());
                prop_assert_eq!(list.find(mac), scan);
            }
            prop_assert_eq!(list.lengths.values().sum::<usize>(), list.len());
        }
    }
}
