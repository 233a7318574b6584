//! Hostile bytes: cut, flipped, random. No panic, a place in every refusal, no growth.

use dhcproto::Encodable;
use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use fseg_model::{Mono, Wall};
use proptest::prelude::*;

use super::client::{ROUTER, config, mac, message, place};
use crate::request::HEADER;
use crate::{AddressBook, DhcpAnswer, DhcpContext, DhcpError};

fn book() -> AddressBook {
    AddressBook::new(config("10.0.0.0/24"), vec![], Wall(0), Mono(0)).unwrap()
}

fn hand(book: &mut AddressBook, bytes: &[u8]) -> DhcpAnswer {
    book.handle_dhcp(&DhcpContext { mac: mac(1), place: &place(1), admitted: false }, bytes, Mono(0), Wall(0))
}

fn sample() -> Vec<u8> {
    let options = vec![
        DhcpOption::RequestedIpAddress([10, 0, 0, 9].into()),
        DhcpOption::ServerIdentifier(ROUTER),
        DhcpOption::Hostname("laptop".into()),
        DhcpOption::ClientIdentifier(vec![1, 2, 0, 0, 0, 0, 1]),
        DhcpOption::ParameterRequestList(vec![OptionCode::Router]),
        DhcpOption::MaxMessageSize(1400),
    ];
    message(mac(1), MessageType::Request, options).to_vec().unwrap()
}

#[test]
fn cut_at_every_length() {
    let bytes = sample();
    assert!(matches!(hand(&mut book(), &bytes), DhcpAnswer::Reply { .. }));
    for n in 0..bytes.len() {
        let mut book = book();
        match hand(&mut book, &bytes[..n]) {
            DhcpAnswer::Refused(DhcpError::Malformed { offset, .. }) => {
                assert!(offset <= n);
                assert!(n < HEADER || offset >= HEADER);
            }
            other => panic!("cut at {n}: {other:?}"),
        }
        assert_eq!(book.leases().count(), 0);
    }
}

#[test]
fn every_flipped_bit() {
    let bytes = sample();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut book = book();
        let answer = hand(&mut book, &bad);
        book.table.check();
        // A wrong MAC address, operation, hardware type, length or cookie is never let through.
        let guarded = [0..24, 28 * 8..34 * 8, 236 * 8..240 * 8].iter().any(|r| r.contains(&bit));
        assert!(!guarded || matches!(answer, DhcpAnswer::Refused(_)), "bit {bit}: {answer:?}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(matches!(hand(&mut book(), &bytes), DhcpAnswer::Refused(_)));
    }

    #[test]
    fn noise_as_options_never_panics(
        options in prop::collection::vec(any::<u8>(), 0..300),
        kind in 1_u8..10,
        overload in 0_u8..5,
        fields in prop::collection::vec(any::<u8>(), 192),
    ) {
        let mut bytes = sample();
        bytes.truncate(HEADER);
        bytes[44..236].copy_from_slice(&fields);
        bytes.extend([53, 1, kind, 52, 1, overload]);
        bytes.extend(options);
        bytes.push(255);
        let mut book = book();
        for _ in 0..2 {
            if let DhcpAnswer::Reply { reply, .. } = hand(&mut book, &bytes) {
                prop_assert!(reply.payload.len() <= 1472);
            }
            book.table.check();
        }
    }
}
