//! Streams: multicast that a policy steers to its receivers.

use std::net::{IpAddr, Ipv4Addr};

use fseg_model::{MemberSet, Name};
use fseg_yaml::Span;
use ipnet::Ipv4Net;

use crate::Policy;

/// Multicast addresses that some may send to; permits say who may receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its name; no group and no external has the same.
    pub name: Name,
    /// Its multicast networks, without host bits, sorted; at least one.
    pub addresses: Vec<Ipv4Net>,
    /// Groups that may send to them; at least one.
    pub from: Vec<Name>,
    /// Where it is defined.
    pub span: Span,
}

/// Multicast that never leaves its link (RFC 5771, section 4): discovery and routing protocols, not streams.
pub(crate) const LINK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 24);
/// All of IPv4 multicast (RFC 5771, section 3).
pub(crate) const MULTICAST: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4);
/// Where SSDP and WS-Discovery ask: passed on by permits for those services.
pub(crate) const DISCOVERY: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

impl Policy {
    /// The streams of a multicast address: those that list the longest prefix that contains it. Addresses of discovery and
    /// routing protocols belong to none, whatever network is listed.
    pub fn streams_of(&self, address: Ipv4Addr) -> MemberSet {
        if LINK.contains(&address) || address == DISCOVERY {
            return MemberSet::new();
        }
        let mut longest = None;
        let mut found = MemberSet::new();
        for stream in self.streams.values() {
            for prefix in stream.addresses.iter().filter(|p| p.contains(&address)) {
                let length = Some(prefix.prefix_len());
                if length > longest {
                    longest = length;
                    found.clear();
                }
                if length == longest {
                    found.insert(stream.name.clone());
                }
            }
        }
        found
    }

    /// The externals of an outside address, or the streams of a multicast one.
    pub fn named_by(&self, address: IpAddr) -> MemberSet {
        match address {
            IpAddr::V4(v4) if v4.is_multicast() => self.streams_of(v4),
            other => self.externals_of(other),
        }
    }

    /// True when an endpoint in these groups may send to one of these streams.
    pub fn may_send(&self, groups: &MemberSet, streams: &MemberSet) -> bool {
        let listed = streams.iter().filter_map(|name| self.streams.get(name));
        listed.flat_map(|s| &s.from).any(|name| groups.contains(name))
    }
}
