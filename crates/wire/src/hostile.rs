//! Hostile input for every decoder: cut at every length, one bit flipped at every place, noise. None may panic, and
//! what is accepted must be consistent.

use std::net::Ipv4Addr;

use fseg_model::Mac;
use proptest::prelude::*;

use crate::{ArpPacket, Frame, Ipv4Packet, Ipv6Packet, Layer, MIN_FRAME, Payload, WireError, build_udp_v4};

fn samples() -> Vec<Vec<u8>> {
    let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
    let (x, y) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 0, 0, 1));
    let udp = build_udp_v4(a, b, x, y, 68, 67, &[0x5a; 64]).unwrap();
    let mut tagged = udp[..12].to_vec();
    tagged.extend([0x81, 0, 0, 7]);
    tagged.extend(&udp[12..]);
    let mut tcp = Vec::new();
    etherparse::PacketBuilder::ethernet2(a.0, b.0)
        .ipv4(x.octets(), y.octets(), 9)
        .tcp(1, 2, 3, 4)
        .options(&[etherparse::TcpOptionElement::MaximumSegmentSize(1400)])
        .unwrap()
        .write(&mut tcp, b"hello")
        .unwrap();
    let mut v6 = Vec::new();
    etherparse::PacketBuilder::ethernet2(a.0, b.0)
        .ipv6([1; 16], [2; 16], 9)
        .udp(1, 2)
        .write(&mut v6, b"hello")
        .unwrap();
    vec![ArpPacket::request(a, x, y).to_frame(a, Mac::BROADCAST), udp, tagged, tcp, v6]
}

#[test]
fn cut_at_every_length() {
    for bytes in samples() {
        assert!(Frame::parse(&bytes).is_ok());
        for n in 0..bytes.len() {
            match Frame::parse(&bytes[..n]) {
                Err(WireError::Short { offset, needed, present, .. }) => {
                    assert!(offset <= n, "the place is inside what was given");
                    assert!(needed > present);
                }
                Err(other) => panic!("cut at {n}: {other}"),
                // Only the padding of the ARP frame may be missing without harm.
                Ok(frame) => assert!(matches!(frame.payload, Payload::Arp(_)) && n >= 42, "cut at {n}: {frame:?}"),
            }
        }
    }
}

#[test]
fn one_flipped_bit_never_passes_a_checksum() {
    for bytes in samples() {
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let parsed = Frame::parse(&bad);
            // The IPv4 header is fully covered by its checksum, so no flip inside it may be accepted.
            let is_v4 = bytes[12..14] == [8, 0];
            if is_v4 && (14 * 8..34 * 8).contains(&bit) {
                assert!(parsed.is_err(), "bit {bit} of {bytes:02x?}");
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_udp_is_a_checksum_error() {
    let bytes = &samples()[1];
    for bit in 42 * 8..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Frame::parse(&bad), Err(WireError::Checksum { layer: Layer::Udp, offset: 40, .. })));
    }
    assert!(bytes.len() > MIN_FRAME);
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..5) {
        let mut framed = vec![0; 12];
        framed.extend([[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0], [0x88, 0x8e]][kind]);
        framed.extend(&bytes);
        let _ = Frame::parse(&framed);
        let _ = Frame::parse(&bytes);
        let _ = Ipv4Packet::parse(&bytes);
        let _ = Ipv6Packet::parse(&bytes);
        let _ = ArpPacket::decode(&bytes);
    }

    #[test]
    fn noise_behind_a_good_header_never_panics(
        protocol in prop::sample::select(vec![1_u8, 6, 17, 50]), payload in prop::collection::vec(any::<u8>(), 0..80)
    ) {
        let mut ip = etherparse::Ipv4Header::new(payload.len() as u16, 1, protocol.into(), [1; 4], [2; 4]).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        let mut bytes = ip.to_bytes().to_vec();
        bytes.extend(&payload);
        if let Ok(packet) = Ipv4Packet::parse(&bytes) {
            prop_assert_eq!(packet.protocol.0, protocol);
        }
    }
}
