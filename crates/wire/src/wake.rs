//! Magic packets: what wakes a sleeping device (AMD, "Magic Packet Technology", 1995). Six octets 0xff, then the device's
//! MAC address sixteen times, anywhere in the payload.

use fseg_model::Mac;

/// The EtherType of magic packets without IP, by convention.
pub const WAKE_ETHER_TYPE: u16 = 0x0842;
/// The UDP ports to which they are sent, by convention.
pub const WAKE_PORTS: [u16; 2] = [7, 9];
/// How far into a payload the six octets are looked for. Tools put them at the start.
const SEARCHED: usize = 256;
const TIMES: usize = 16;

/// Whom a payload wakes; `None` when it is no magic packet.
pub fn woken(payload: &[u8]) -> Option<Mac> {
    let starts = 0..payload.len().min(SEARCHED);
    starts.filter_map(|at| payload.get(at..)).find_map(|rest| {
        let rest = rest.strip_prefix(&[0xff; 6])?;
        let mac: [u8; 6] = rest.get(..6)?.try_into().ok()?;
        let named = rest.get(..6 * TIMES)?;
        (named.chunks_exact(6).all(|m| m == mac) && mac != [0xff; 6]).then_some(Mac(mac))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn magic(mac: [u8; 6]) -> Vec<u8> {
        let mut out = vec![0xff; 6];
        (0..16).for_each(|_| out.extend(mac));
        out
    }

    #[test]
    fn a_magic_packet_names_one_device() {
        let mac = [2, 0, 0, 0, 3, 1];
        assert_eq!(woken(&magic(mac)), Some(Mac(mac)));
        let mut behind = vec![0xff, 0, 0xff, 0xff];
        behind.extend(magic(mac));
        behind.extend(b"secure on");
        assert_eq!(woken(&behind), Some(Mac(mac)));
        for end in 0..102 {
            assert_eq!(woken(&magic(mac)[..end]), None, "cut at {end}");
        }
        let mut wrong = magic(mac);
        wrong[101] ^= 1;
        assert_eq!(woken(&wrong), None);
        assert_eq!(woken(&magic([0xff; 6])), None);
        assert_eq!(woken(&[0xff; 2000]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..300)) {
            let _ = woken(&bytes);
        }
    }
}
