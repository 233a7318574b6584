//! What an answer teaches: the addresses of the name that was asked for, along its chain of aliases (RFC 1034, 3.6.2).

use std::net::Ipv4Addr;

use hickory_proto::rr::{Name, RData, Record};

/// How many aliases are followed.
const ALIASES: usize = 16;
/// An address counts for a day at most, so nobody is told that it may be kept for longer.
pub(super) const LONGEST: u32 = 24 * 3600;

/// The forms of a name under which an external may list it: as it is on the wire, and with its letters (RFC 5891); in
/// lower case, without the final dot.
pub(super) fn forms(name: &Name) -> [String; 2] {
    [name.to_ascii(), name.to_utf8()].map(|text| text.to_lowercase().trim_end_matches('.').to_owned())
}

/// The addresses that records give a name, each with its time in seconds: the shortest along its chain. Records of other
/// names are not looked at, whatever they say.
pub(super) fn addresses(name: &Name, records: &[Record]) -> Vec<(Ipv4Addr, u32)> {
    let mut current = name.clone();
    let mut ttl = LONGEST;
    for _ in 0..ALIASES {
        let own = || records.iter().filter(|r| r.name == current);
        let found: Vec<(Ipv4Addr, u32)> = own()
            .filter_map(|r| match &r.data {
                RData::A(a) => Some((a.0, r.ttl.min(ttl))),
                _ => None,
            })
            .collect();
        if !found.is_empty() {
            return found;
        }
        let alias = own().find_map(|r| match &r.data {
            RData::CNAME(target) => Some((target.0.clone(), r.ttl)),
            _ => None,
        });
        let Some((target, time)) = alias else { break };
        ttl = ttl.min(time);
        current = target;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use hickory_proto::rr::rdata::{A, CNAME};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn alias(from: &str, ttl: u32, to: &str) -> Record {
        Record::from_rdata(name(from), ttl, RData::CNAME(CNAME(name(to))))
    }

    fn address(of: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(of), ttl, RData::A(A([198, 51, 100, last].into())))
    }

    fn found(records: &[Record]) -> Vec<(u8, u32)> {
        addresses(&name("login.office.com."), records).into_iter().map(|(a, ttl)| (a.octets()[3], ttl)).collect()
    }

    #[test]
    fn chains_are_followed_in_any_order_and_the_shortest_time_counts() {
        let direct = [address("login.office.com.", 60, 1), address("Login.Office.com.", 30, 2)];
        assert_eq!(found(&direct), [(1, 60), (2, 30)]);
        let chain = [
            address("edge.example.", 300, 3),
            alias("b.example.", 20, "edge.example."),
            alias("login.office.com.", 500, "b.example."),
        ];
        assert_eq!(found(&chain), [(3, 20)]);
        assert_eq!(found(&[address("login.office.com.", u32::MAX, 4)]), [(4, LONGEST)]);
    }

    #[test]
    fn what_is_said_of_other_names_does_not_count() {
        assert_eq!(found(&[address("evil.example.", 60, 6)]), []);
        let beside = [alias("login.office.com.", 60, "a.example."), address("b.example.", 60, 6)];
        assert_eq!(found(&beside), []);
        let circle = [alias("login.office.com.", 60, "a.example."), alias("a.example.", 60, "login.office.com.")];
        assert_eq!(found(&circle), []);
    }

    #[test]
    fn names_have_two_forms() {
        assert_eq!(forms(&name("Login.Office.COM.")), ["login.office.com", "login.office.com"]);
        let [wire, letters] = forms(&name("xn--wgv71a119e.example."));
        assert_eq!((wire.as_str(), letters.as_str()), ("xn--wgv71a119e.example", "日本語.example"));
    }

    proptest! {
        #[test]
        fn any_tangle_of_aliases_ends(links in proptest::collection::vec((0_u8..6, 0_u8..6, any::<bool>()), 0..40)) {
            let host = |n: u8| if n == 0 { "login.office.com.".to_owned() } else { format!("n{n}.example.") };
            let records: Vec<Record> = links
                .iter()
                .map(|&(from, to, is_alias)| match is_alias {
                    true => alias(&host(from), 60, &host(to)),
                    false => address(&host(from), 60, to),
                })
                .collect();
            for (given, _) in found(&records) {
                prop_assert!(links.iter().any(|&(_, to, is_alias)| !is_alias && to == given));
            }
        }
    }
}
