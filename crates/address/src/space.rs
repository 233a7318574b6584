//! The addresses there are: pools with the mark up to which they have been used, and the addresses with a fixed owner.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use fseg_model::Mac;
use ipnet::Ipv4Net;

use crate::{AddressConfig, ConfigError, Holder};

/// A pool's range. Everything below `next` has been given out at least once (or was skipped because it was known).
#[derive(Debug, Clone)]
struct Span {
    first: u32,
    last: u32,
    // One wider than an address, so that it can stand behind 255.255.255.255.
    next: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Space {
    network: Ipv4Net,
    // In the order of the configuration: the first pool is used up first.
    spans: Vec<Span>,
    // Ends of the spans, sorted, to find an address's pool in O(log pools).
    by_last: BTreeMap<u32, usize>,
    fixed: BTreeMap<Ipv4Addr, Holder>,
    reservations: BTreeMap<Mac, Ipv4Addr>,
    statics: BTreeMap<Mac, Vec<Ipv4Addr>>,
}

impl Space {
    pub(crate) fn new(config: &AddressConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let network = config.network()?;
        let spans: Vec<Span> = config
            .pools
            .iter()
            .map(|p| Span { first: p.first.into(), last: p.last.into(), next: u32::from(p.first).into() })
            .collect();
        let by_last = spans.iter().enumerate().map(|(i, s)| (s.last, i)).collect();
        let mut fixed = BTreeMap::new();
        for (&mac, list) in &config.statics {
            fixed.extend(list.iter().map(|&a| (a, Holder::Static(mac))));
        }
        fixed.extend(config.reservations.iter().map(|(&mac, &a)| (a, Holder::Reserved(mac))));
        let own = [config.router, config.server_id, network.network(), network.broadcast()];
        fixed.extend(own.iter().chain(&config.dns).map(|&a| (a, Holder::Network)));
        Ok(Self {
            network,
            spans,
            by_last,
            fixed,
            reservations: config.reservations.clone(),
            statics: config.statics.clone(),
        })
    }

    pub(crate) fn network(&self) -> Ipv4Net {
        self.network
    }

    pub(crate) fn pools(&self) -> usize {
        self.spans.len()
    }

    /// The number of addresses in a pool, fixed ones included.
    pub(crate) fn size(&self, pool: usize) -> u64 {
        self.spans.get(pool).map_or(0, |s| u64::from(s.last) - u64::from(s.first) + 1)
    }

    /// The pool an address is in.
    pub(crate) fn pool_of(&self, address: Ipv4Addr) -> Option<usize> {
        let n = u32::from(address);
        let (_, &i) = self.by_last.range(n..).next()?;
        self.spans.get(i).filter(|s| s.first <= n).map(|_| i)
    }

    /// The fixed owner of an address.
    pub(crate) fn fixed(&self, address: Ipv4Addr) -> Option<Holder> {
        self.fixed.get(&address).copied()
    }

    /// The address this device gets and no other.
    pub(crate) fn reserved_for(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.reservations.get(&mac).copied()
    }

    /// True when the pools may give the address to anybody.
    pub(crate) fn is_dynamic(&self, address: Ipv4Addr) -> bool {
        self.pool_of(address).is_some() && !self.fixed.contains_key(&address)
    }

    /// True when this MAC address may have this address at all.
    pub(crate) fn may_have(&self, mac: Mac, address: Ipv4Addr) -> bool {
        match self.reserved_for(mac) {
            Some(reserved) => reserved == address,
            None => {
                let own = self.network.contains(&address) && self.fixed(address) == Some(Holder::Static(mac));
                own || self.is_dynamic(address)
            }
        }
    }

    /// Takes the next address never used before. Whoever takes it must make it known.
    pub(crate) fn take_fresh(&mut self, known: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        for span in &mut self.spans {
            while span.next <= u64::from(span.last) {
                let address = Ipv4Addr::from(u32::try_from(span.next).unwrap_or(u32::MAX));
                span.next += 1;
                if !self.fixed.contains_key(&address) && !known(address) {
                    return Some(address);
                }
            }
        }
        None
    }

    pub(crate) fn add_static(&mut self, mac: Mac, address: Ipv4Addr) {
        // A reservation of the same device already keeps others away.
        self.fixed.entry(address).or_insert(Holder::Static(mac));
        let list = self.statics.entry(mac).or_default();
        if !list.contains(&address) {
            list.push(address);
        }
    }

    /// True when it was a static address of this device.
    pub(crate) fn remove_static(&mut self, mac: Mac, address: Ipv4Addr) -> bool {
        let Some(list) = self.statics.get_mut(&mac) else { return false };
        let before = list.len();
        list.retain(|a| *a != address);
        let found = list.len() < before;
        if list.is_empty() {
            self.statics.remove(&mac);
        }
        if self.fixed.get(&address) == Some(&Holder::Static(mac)) {
            self.fixed.remove(&address);
        }
        found
    }

    /// How many addresses of each pool have a fixed owner.
    pub(crate) fn fixed_per_pool(&self) -> Vec<u64> {
        let mut out = vec![0; self.spans.len()];
        for pool in self.fixed.keys().filter_map(|&a| self.pool_of(a)) {
            if let Some(n) = out.get_mut(pool) {
                *n += 1;
            }
        }
        out
    }
}
