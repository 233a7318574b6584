//! Endpoints: a namespace with one network card and real clients.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;

use crate::cable::{self, Jack};
use crate::lab::Shared;
use crate::namespace::Namespace;
use crate::{LabError, dhcp};

/// A device on the network: everything a [`Namespace`] can do, and a network card that can be plugged.
#[derive(Clone)]
pub struct Endpoint {
    namespace: Namespace,
    mac: Arc<str>,
    cable: Arc<str>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}, {})", self.name(), self.mac)
    }
}

impl Deref for Endpoint {
    type Target = Namespace;
    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Endpoint {
    pub(crate) fn make(shared: &Arc<Shared>, name: &str, mac: &str) -> Result<Self, LabError> {
        check_mac(mac)?;
        let namespace = Namespace::make(shared, name)?;
        let cable = cable::make_cable(shared, &namespace, mac)?.into();
        Ok(Self { namespace, mac: mac.into(), cable })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.namespace.name().unwrap_or_default()
    }

    /// The MAC address of its `eth0`, as given.
    #[must_use]
    pub fn mac(&self) -> &str {
        &self.mac
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Plugs its cable into a jack, which is made if it does not exist, taking it out of the one it was in. A jack that
    /// holds another cable is refused, and nothing changes.
    ///
    /// When this returns, both sides have carrier; the switch notices on its own time.
    pub fn plug(&self, jack: impl Into<Jack>) -> Result<(), LabError> {
        cable::plug(&self.shared, &self.cable, &jack.into())
    }

    /// Pulls its cable: both sides lose carrier. Addresses and connections inside stay.
    pub fn unplug(&self) -> Result<(), LabError> {
        cable::unplug(&self.shared, &self.cable)
    }

    /// Moves its cable to another jack. The same as [`Endpoint::plug`], for the reader.
    pub fn move_to(&self, jack: impl Into<Jack>) -> Result<(), LabError> {
        self.plug(jack)
    }

    /// Sets a fixed address (`10.0.0.5/24`) and the default route; what was there before goes.
    pub fn static_address(&self, cidr: &str, gateway: Option<Ipv4Addr>) -> Result<(), LabError> {
        self.ip(&["address", "flush", "dev", "eth0"])?;
        self.add_address("eth0", cidr)?;
        match gateway {
            Some(gateway) => self.add_route("default", gateway),
            None => Ok(()),
        }
    }

    /// Its IPv4 address, if it has one.
    pub fn address(&self) -> Result<Option<Ipv4Addr>, LabError> {
        Ok(self.address_of("eth0")?.map(|(address, _)| address))
    }

    /// Gets an address by DHCP with a real client, which then ends: address, default route and resolver are set.
    pub fn dhcp(&self, client: dhcp::Client) -> Result<dhcp::Lease, LabError> {
        dhcp::once(self, client)
    }

    /// Gets an address by DHCP with a client that stays and renews, until the value is dropped.
    pub fn dhcp_daemon(&self, client: dhcp::Client) -> Result<dhcp::Running, LabError> {
        dhcp::daemon(self, client)
    }
}

fn check_mac(mac: &str) -> Result<(), LabError> {
    let octet = |text: &str| text.len() == 2 && text.chars().all(|c| c.is_ascii_hexdigit());
    let shaped = mac.split(':').count() == 6 && mac.split(':').all(octet);
    let first = mac.get(..2).and_then(|octet| u8::from_str_radix(octet, 16).ok());
    match (shaped, first) {
        (true, Some(first)) if first & 1 == 0 => Ok(()),
        (true, _) => {
            Err(LabError::Usage(format!("`{mac}` is a group address; a network card needs an even first octet")))
        }
        _ => Err(LabError::Usage(format!("`{mac}` is not a MAC address (expected 02:00:00:00:00:01)"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_station_addresses_are_taken() {
        check_mac("02:00:00:00:00:01").unwrap();
        check_mac("0A:bc:00:00:00:FF").unwrap();
        for bad in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02-00-00-00-00-01", "gg:00:00:00:00:00"]
        {
            assert!(check_mac(bad).unwrap_err().to_string().contains("not a MAC"), "{bad}");
        }
        assert!(check_mac("01:00:5e:00:00:01").unwrap_err().to_string().contains("group"));
    }
}
