//! Arithmetic on service terms.

use fseg_model::{PortRange, ServiceTerm};

/// The shortest sorted list that covers exactly the same connections: overlapping and adjoining ranges of one protocol
/// become one, and `any` swallows all others.
pub fn merge_terms(terms: impl IntoIterator<Item = ServiceTerm>) -> Vec<ServiceTerm> {
    let mut sorted: Vec<ServiceTerm> = terms.into_iter().collect();
    if sorted.contains(&ServiceTerm::ANY) {
        return vec![ServiceTerm::ANY];
    }
    sorted.sort();
    let mut merged: Vec<ServiceTerm> = Vec::new();
    for term in sorted {
        match merged.last_mut() {
            Some(last)
                if last.protocol == term.protocol
                    && u32::from(term.ports.first()) <= u32::from(last.ports.last()) + 1 =>
            {
                let end = last.ports.last().max(term.ports.last());
                last.ports = PortRange::new(last.ports.first(), end).unwrap_or(last.ports);
            }
            _ => merged.push(term),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use fseg_model::{Flow, IpProtocol};
    use proptest::prelude::*;

    use super::*;

    fn merged(terms: &[&str]) -> Vec<String> {
        merge_terms(terms.iter().map(|t| t.parse().unwrap())).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ranges_join() {
        assert_eq!(merged(&["tcp/443", "tcp/80", "tcp/80"]), ["tcp/80", "tcp/443"]);
        assert_eq!(merged(&["tcp/80-90", "tcp/85", "tcp/91", "udp/92"]), ["tcp/80-91", "udp/92"]);
        assert_eq!(merged(&["icmp/echo", "icmp"]), ["icmp"]);
        assert_eq!(merged(&["tcp/1", "any", "udp/2"]), ["any"]);
        assert_eq!(merged(&["tcp/65535", "tcp/0"]), ["tcp/0", "tcp/65535"]);
        assert_eq!(merged(&[]), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn merging_covers_exactly_the_same(
            list in proptest::collection::vec((prop_oneof![Just(6_u8), Just(17)], 0_u16..30, 0_u16..6), 0..8),
        ) {
            let terms: Vec<ServiceTerm> = list
                .iter()
                .map(|&(p, first, more)| ServiceTerm {
                    protocol: Some(IpProtocol(p)),
                    ports: PortRange::new(first, first + more).unwrap(),
                })
                .collect();
            let merged = merge_terms(terms.clone());
            for protocol in [IpProtocol::TCP, IpProtocol::UDP, IpProtocol::ICMP] {
                for port in 0..40 {
                    let flow = Flow { protocol, port };
                    prop_assert_eq!(merged.iter().filter(|t| t.covers(flow)).count(),
                        usize::from(terms.iter().any(|t| t.covers(flow))), "{}", flow);
                }
            }
        }
    }
}
