//! Checksums of IPv4, TCP, UDP, ICMP and ICMPv6.

use crate::simulate::packet::Network;

/// The Internet checksum (RFC 1071) of `data`, on top of the checksum of what came before (0 for nothing).
pub fn checksum(before: u16, data: &[u8]) -> u16 {
    let word = |pair: &[u8]| match pair {
        [high, low] => u32::from(*high) << 8 | u32::from(*low),
        [high] => u32::from(*high) << 8,
        _ => 0,
    };
    let mut sum: u32 = u32::from(before) + data.chunks(2).map(word).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Makes the checksums of a frame right whose network header is `network`. Those of fragments cannot be known; a UDP
/// datagram without one keeps none.
pub(super) fn mend(bytes: &mut [u8], network: Network) {
    if network.version == 4 {
        put(bytes, network.at + 10, 0);
        let sum = bytes.get(network.at..network.payload).map_or(0, |header| checksum(0, header));
        put(bytes, network.at + 10, sum);
    }
    let at = match network.protocol {
        6 => network.payload + 16,
        17 => network.payload + 6,
        1 | 58 => network.payload + 2,
        _ => return,
    };
    let unused = network.protocol == 17 && bytes.get(at..at + 2) == Some(&[0, 0]);
    if network.fragment != 0 || at + 2 > network.end || unused {
        return;
    }
    let mut pseudo = Vec::new();
    let addresses =
        if network.version == 4 { network.at + 12..network.at + 20 } else { network.at + 8..network.at + 40 };
    if network.protocol != 1 {
        pseudo.extend_from_slice(bytes.get(addresses).unwrap_or_default());
        pseudo.extend([0, network.protocol]);
        pseudo.extend(u16::try_from(network.end - network.payload).unwrap_or(0).to_be_bytes());
    }
    put(bytes, at, 0);
    let sum = match bytes.get(network.payload..network.end) {
        Some(segment) => checksum(!checksum(0, &pseudo), segment),
        None => return,
    };
    // Zero would mean "none" (RFC 768).
    put(bytes, at, if sum == 0 && network.protocol == 17 { 0xffff } else { sum });
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
