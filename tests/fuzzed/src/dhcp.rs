//! DHCP messages of strangers.

use std::net::Ipv4Addr;

use fseg_address::{AddressBook, AddressConfig, DhcpAnswer, DhcpContext};
use fseg_model::{Mac, Mono, PlacePath, Wall};

/// Several messages into one address book, each behind two bytes of its length.
pub fn dhcp(bytes: &[u8]) {
    let router = Ipv4Addr::new(10, 0, 0, 1);
    let config = AddressConfig::flat(router, "10.0.0.0/28".parse().unwrap());
    let mut book = AddressBook::new(config, Vec::new(), Wall(0), Mono(0)).unwrap();
    let place: PlacePath = "site/sw1/1".parse().unwrap();
    let mut rest = bytes;
    let mut now = 0;
    while let Some(([high, low], tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (message, tail) = tail.split_at(length);
        rest = tail;
        now += 1_000;
        let mac = message.get(28..34).and_then(|mac| mac.try_into().ok()).map_or(Mac([2, 0, 0, 0, 0, 1]), Mac);
        let ctx = DhcpContext { mac, place: &place, admitted: low % 2 == 0 };
        match book.handle_dhcp(&ctx, message, Mono(now), Wall(now)) {
            DhcpAnswer::Refused(error) => assert!(!error.to_string().is_empty()),
            answer => assert!(!format!("{answer:?}").is_empty()),
        }
    }
}
