//! What the operator decides about addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use fseg_model::Mac;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A range of addresses to give away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name, for messages and metrics.
    pub name: String,
    /// The prefix it is part of; must lie in the flat network.
    pub prefix: Ipv4Net,
    /// The first address, inclusive.
    pub first: Ipv4Addr,
    /// The last address, inclusive.
    pub last: Ipv4Addr,
}

/// The configuration of an [`AddressBook`](crate::AddressBook).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressConfig {
    /// What may be given away; ranges must not overlap.
    pub pools: Vec<Pool>,
    /// The virtual router's address (option 3).
    pub router: Ipv4Addr,
    /// This server's address (option 54): the same on every node, so that any node may extend any lease.
    pub server_id: Ipv4Addr,
    /// The length of the flat network's prefix (option 1); the network is the router's address cut to it.
    pub subnet_prefix_len: u8,
    /// Resolvers (option 6), at most 8.
    pub dns: Vec<Ipv4Addr>,
    /// Domain name (option 15), at most 253 characters.
    pub domain: Option<String>,
    /// Lease time of admitted endpoints; at least 10 seconds.
    pub lease: Duration,
    /// Lease time of endpoints nobody has admitted; at least 10 seconds. Short, so that a login shows up soon.
    pub stranger_lease: Duration,
    /// The captive portal's API (option 114, RFC 8910), at most 255 octets.
    pub portal_api: Option<String>,
    /// The links' MTU (option 26), at least 576.
    pub mtu: Option<u16>,
    /// Addresses kept for one MAC address each.
    pub reservations: BTreeMap<Mac, Ipv4Addr>,
    /// Addresses set on the device itself: never leased to others.
    pub statics: BTreeMap<Mac, Vec<Ipv4Addr>>,
    /// How many endpoints nobody has admitted may hold an address at one place.
    pub max_strangers_per_place: u32,
    /// True when no other DHCP server answers on these ports, as FSEG's guard makes sure. Then a client that comes back
    /// with an address unknown here (a lost store) keeps it if it is free, and is told at once (NAK) if it is not.
    /// False is RFC 2131's silence (4.3.2), which costs such a client about a minute.
    pub authoritative: bool,
}

impl AddressConfig {
    /// A flat network with one router, which is the server as well, one pool of all its addresses, and the defaults:
    /// leases of 12 hours, 60 seconds for strangers, 16 strangers per place.
    pub fn flat(router: Ipv4Addr, prefix: Ipv4Net) -> Self {
        let prefix = prefix.trunc();
        let pool = Pool { name: "default".into(), prefix, first: prefix.network(), last: prefix.broadcast() };
        Self {
            pools: vec![pool],
            router,
            server_id: router,
            subnet_prefix_len: prefix.prefix_len(),
            dns: vec![router],
            domain: None,
            lease: Duration::from_secs(12 * 3600),
            stranger_lease: Duration::from_secs(60),
            portal_api: None,
            mtu: None,
            reservations: BTreeMap::new(),
            statics: BTreeMap::new(),
            max_strangers_per_place: 16,
            authoritative: true,
        }
    }

    /// The flat network.
    ///
    /// # Errors
    /// When the prefix length is not from 1 to 30.
    pub fn network(&self) -> Result<Ipv4Net, ConfigError> {
        match Ipv4Net::new(self.router, self.subnet_prefix_len) {
            Ok(net) if (1..=30).contains(&self.subnet_prefix_len) => Ok(net.trunc()),
            _ => Err(ConfigError::PrefixLen(self.subnet_prefix_len)),
        }
    }

    /// The lease time for an endpoint.
    pub fn lease_time(&self, admitted: bool) -> Duration {
        if admitted { self.lease } else { self.stranger_lease }
    }

    /// Checks everything that can be wrong in itself.
    ///
    /// # Errors
    /// The first fault, with the value and its place.
    pub fn check(&self) -> Result<(), ConfigError> {
        let network = self.network()?;
        let inside = |what: &str, address: Ipv4Addr| {
            if network.contains(&address) && address != network.network() && address != network.broadcast() {
                Ok(())
            } else {
                Err(ConfigError::Outside { what: what.to_owned(), address, network })
            }
        };
        inside("the router", self.router)?;
        inside("the server", self.server_id)?;
        for pool in &self.pools {
            let named = |fault| ConfigError::Pool { name: pool.name.clone(), fault };
            if !network.contains(&pool.prefix) {
                return Err(named(PoolFault::OutsideNetwork(network)));
            }
            if !pool.prefix.contains(&pool.first) || !pool.prefix.contains(&pool.last) {
                return Err(named(PoolFault::OutsidePrefix(pool.prefix)));
            }
            if pool.first > pool.last {
                return Err(named(PoolFault::UpsideDown));
            }
        }
        let mut sorted: Vec<&Pool> = self.pools.iter().collect();
        sorted.sort_by_key(|p| p.first);
        for (a, b) in sorted.iter().zip(sorted.iter().skip(1)) {
            if b.first <= a.last {
                let fault = PoolFault::Overlaps(b.name.clone());
                return Err(ConfigError::Pool { name: a.name.clone(), fault });
            }
        }
        let mut owners: BTreeMap<Ipv4Addr, Mac> = BTreeMap::new();
        let fixed = self.reservations.iter().map(|(m, a)| (m, a, true));
        let fixed = fixed.chain(self.statics.iter().flat_map(|(m, list)| list.iter().map(move |a| (m, a, false))));
        for (&mac, &address, reserved) in fixed {
            if reserved {
                inside(&format!("the reservation of {mac}"), address)?;
            }
            if address == self.router || address == self.server_id || self.dns.contains(&address) {
                return Err(ConfigError::Infrastructure { mac, address });
            }
            if let Some(other) = owners.insert(address, mac).filter(|&o| o != mac) {
                return Err(ConfigError::TwoOwners { address, first: other, second: mac });
            }
        }
        let limit = |what, value: u64, least, most| {
            if (least..=most).contains(&value) { Ok(()) } else { Err(ConfigError::Limit { what, value, least, most }) }
        };
        limit("lease (seconds)", self.lease.as_secs(), 10, u32::MAX.into())?;
        limit("stranger_lease (seconds)", self.stranger_lease.as_secs(), 10, u32::MAX.into())?;
        limit("max_strangers_per_place", self.max_strangers_per_place.into(), 1, u32::MAX.into())?;
        limit("dns (entries)", self.dns.len() as u64, 0, 8)?;
        if let Some(domain) = &self.domain {
            limit("domain (characters)", domain.len() as u64, 1, 253)?;
        }
        if let Some(url) = &self.portal_api {
            limit("portal_api (octets)", url.len() as u64, 1, 255)?;
        }
        if let Some(mtu) = self.mtu {
            limit("mtu", mtu.into(), 576, u16::MAX.into())?;
        }
        Ok(())
    }
}

/// What is wrong with a pool.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PoolFault {
    /// Not in the flat network.
    #[error("its prefix is not in the flat network {0}")]
    OutsideNetwork(Ipv4Net),
    /// First or last not in its prefix.
    #[error("its first or last address is not in its prefix {0}")]
    OutsidePrefix(Ipv4Net),
    /// First after last.
    #[error("its first address is after its last")]
    UpsideDown,
    /// Shares addresses with another.
    #[error("it overlaps pool `{0}`")]
    Overlaps(String),
}

/// A configuration that cannot work. Names what to change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A prefix length without room for hosts.
    #[error("subnet_prefix_len is {0}, expected 1 to 30")]
    PrefixLen(u8),
    /// An address that no host of the flat network can have.
    #[error("{what} has {address}, which is not a host address of the flat network {network}")]
    Outside {
        /// Whose it is.
        what: String,
        /// The address.
        address: Ipv4Addr,
        /// The network.
        network: Ipv4Net,
    },
    /// A pool that cannot be used.
    #[error("pool `{name}`: {fault}")]
    Pool {
        /// The pool.
        name: String,
        /// What is wrong with it.
        fault: PoolFault,
    },
    /// A device with the address of the router, the server or a resolver.
    #[error("{address} of {mac} is the router's, the server's or a resolver's; give the device another")]
    Infrastructure {
        /// The device.
        mac: Mac,
        /// The address.
        address: Ipv4Addr,
    },
    /// Two devices with one address.
    #[error("{address} is given to both {first} and {second}; keep one")]
    TwoOwners {
        /// The address.
        address: Ipv4Addr,
        /// The one.
        first: Mac,
        /// The other.
        second: Mac,
    },
    /// A number out of its range.
    #[error("{what} is {value}, expected {least} to {most}")]
    Limit {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat() -> AddressConfig {
        AddressConfig::flat("10.0.0.1".parse().unwrap(), "10.0.0.0/24".parse().unwrap())
    }

    #[test]
    fn the_default_is_right() {
        flat().check().unwrap();
        assert_eq!(flat().network().unwrap().to_string(), "10.0.0.0/24");
    }

    #[test]
    fn every_fault_is_named() {
        let refuse = |change: &dyn Fn(&mut AddressConfig)| {
            let mut config = flat();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let ip = |n| Ipv4Addr::new(10, 0, 0, n);
        assert_eq!(refuse(&|c| c.subnet_prefix_len = 31), "subnet_prefix_len is 31, expected 1 to 30");
        assert_eq!(
            refuse(&|c| c.server_id = ip(255)),
            "the server has 10.0.0.255, which is not a host address of the flat network 10.0.0.0/24"
        );
        assert_eq!(
            refuse(&|c| c.pools[0].last = Ipv4Addr::new(10, 0, 1, 0)),
            "pool `default`: its first or last address is not in its prefix 10.0.0.0/24"
        );
        assert_eq!(
            refuse(&|c| c.pools[0].prefix = "10.0.0.0/23".parse().unwrap()),
            "pool `default`: its prefix is not in the flat network 10.0.0.0/24"
        );
        assert_eq!(
            refuse(&|c| (c.pools[0].first, c.pools[0].last) = (ip(9), ip(8))),
            "pool `default`: its first address is after its last"
        );
        assert_eq!(
            refuse(&|c| c.pools.push(Pool { name: "b".into(), first: ip(9), ..c.pools[0].clone() })),
            "pool `default`: it overlaps pool `b`"
        );
        assert_eq!(
            refuse(&|c| {
                c.reservations.insert(a, ip(1));
            }),
            "10.0.0.1 of 02:00:00:00:00:01 is the router's, the server's or a resolver's; give the device another"
        );
        assert_eq!(
            refuse(&|c| {
                c.reservations.insert(a, ip(7));
                c.statics.insert(b, vec![ip(7)]);
            }),
            "10.0.0.7 is given to both 02:00:00:00:00:01 and 02:00:00:00:00:02; keep one"
        );
        assert_eq!(
            refuse(&|c| c.stranger_lease = Duration::from_secs(1)),
            "stranger_lease (seconds) is 1, expected 10 to 4294967295"
        );
        assert_eq!(refuse(&|c| c.mtu = Some(500)), "mtu is 500, expected 576 to 65535");
    }
}
