//! IGMP: who wants which multicast (RFC 1112, RFC 2236, RFC 3376), read from hosts; queries, built.
//!
//! ```text
//!  version 1, 2:  type(8) | response time(8) | checksum(16) | group(32)
//!  version 3:     0x22 | 0 | checksum(16) | 0(16) | records(16) | record…
//!  record:        type(8) | aux words(8) | sources(16) | group(32) | source(32)… | aux
//! ```

use std::net::Ipv4Addr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{IpNumber, Ipv4Header};
use fseg_model::{IpProtocol, Mac};

use crate::error::take;
use crate::{ETHERNET_HEADER, EtherType, Layer, MIN_FRAME, WireError};

const HEADER: usize = 8;
const ADDRESS: usize = 4;
const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT_V3: u8 = 0x22;
/// The most records that are read of one report: a full frame holds fewer.
const RECORDS: usize = 256;

/// The IP protocol number of IGMP.
pub const IGMP: IpProtocol = IpProtocol(2);

/// What a host says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IgmpMessage {
    /// It asks who is there: only routers do.
    Query,
    /// It wants these groups, or no longer wants them.
    Membership(Vec<IgmpRecord>),
    /// Another type.
    Other(u8),
}

/// One group that a host joins or leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IgmpRecord {
    /// Which.
    pub group: Ipv4Addr,
    /// True when it wants packets of this group from anybody or from some sources; false when from nobody.
    pub wanted: bool,
}

impl IgmpMessage {
    /// Reads and checks a message. Source lists are read for whether they are empty; a host filters sources itself.
    ///
    /// # Errors
    /// `Short` when a count promises more than there is, `Checksum`, or `Bad` for too many records. Offsets count from the
    /// message's first octet.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let layer = Layer::Igmp;
        let (head, mut rest) = take(bytes, HEADER, layer, 0)?;
        let &[kind, _, _, _, a, b, c, d] = head else {
            return Err(WireError::Short { layer, offset: 0, needed: HEADER, present: bytes.len() });
        };
        let (before, after) = (bytes.get(..2).unwrap_or_default(), bytes.get(4..).unwrap_or_default());
        let computed = Sum16BitWords::new().add_slice(before).add_slice(after).ones_complement().to_be();
        let found = u16::from_be_bytes([head.get(2).copied().unwrap_or(0), head.get(3).copied().unwrap_or(0)]);
        if computed != found {
            return Err(WireError::Checksum { layer, offset: 2, found, computed });
        }
        let one = |wanted| Self::Membership(vec![IgmpRecord { group: Ipv4Addr::new(a, b, c, d), wanted }]);
        match kind {
            QUERY => return Ok(Self::Query),
            REPORT_V1 | REPORT_V2 => return Ok(one(true)),
            LEAVE => return Ok(one(false)),
            REPORT_V3 => {}
            other => return Ok(Self::Other(other)),
        }
        let count = usize::from(u16::from_be_bytes([c, d]));
        if count > RECORDS {
            return Err(WireError::Bad {
                layer,
                offset: 6,
                field: "records",
                value: count as u64,
                expected: "at most 256",
            });
        }
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let offset = bytes.len() - rest.len();
            let (record, after) = take(rest, HEADER, layer, offset)?;
            let &[kind, aux, s0, s1, a, b, c, d] = record else { break };
            let sources = usize::from(u16::from_be_bytes([s0, s1]));
            let (_, after) = take(after, (sources + usize::from(aux)) * ADDRESS, layer, offset + HEADER)?;
            rest = after;
            let group = Ipv4Addr::new(a, b, c, d);
            // RFC 3376, 4.2.12: MODE_IS_INCLUDE, MODE_IS_EXCLUDE, CHANGE_TO_INCLUDE, CHANGE_TO_EXCLUDE, ALLOW, BLOCK.
            let wanted = match (kind, sources) {
                (1 | 3, 0) => false,
                (1 | 3, _) | (2 | 4, _) | (5, 1..) => true,
                _ => continue,
            };
            records.push(IgmpRecord { group, wanted });
        }
        Ok(Self::Membership(records))
    }
}

/// The Ethernet address of a multicast group (RFC 1112, 6.4).
pub fn multicast_mac(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

/// A general query of version 3 (RFC 3376, 4.1) to one host: "which groups do you want?", to be answered within the time
/// given, in tenths of a second (at most 127). Hosts that know only older versions understand it. Padded to
/// [`MIN_FRAME`]; hop limit 1 and the router alert option, as section 4 asks.
pub fn igmp_query(source_mac: Mac, destination_mac: Mac, source: Ipv4Addr, tenths: u8) -> Option<Vec<u8>> {
    let mut message = vec![QUERY, tenths.min(127), 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
    let sum = Sum16BitWords::new().add_slice(&message).ones_complement().to_be().to_be_bytes();
    message.splice(2..4, sum);
    let all = Ipv4Addr::new(224, 0, 0, 1);
    let mut ip = Ipv4Header::new(message.len() as u16, 1, IpNumber::IGMP, source.octets(), all.octets()).ok()?;
    ip.options = [148, 4, 0, 0].into();
    ip.set_payload_len(message.len()).ok()?;
    ip.header_checksum = ip.calc_header_checksum();
    let mut out = Vec::with_capacity(MIN_FRAME);
    out.extend(destination_mac.0);
    out.extend(source_mac.0);
    out.extend(EtherType::IPV4.0.to_be_bytes());
    out.extend_from_slice(&ip.to_bytes());
    out.extend(message);
    debug_assert!(out.len() > ETHERNET_HEADER);
    if out.len() < MIN_FRAME {
        out.resize(MIN_FRAME, 0);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Frame, Payload, Transport};

    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[2] = 0;
        bytes[3] = 0;
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        bytes[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        bytes
    }

    type Record<'a> = (u8, &'a [[u8; 4]], [u8; 4]);

    fn v3(records: &[Record<'_>]) -> Vec<u8> {
        let mut out = vec![0x22, 0, 0, 0, 0, 0, 0, records.len() as u8];
        for (kind, sources, group) in records {
            out.extend([*kind, 0, 0, sources.len() as u8]);
            out.extend(group);
            sources.iter().for_each(|s| out.extend(s));
        }
        summed(out)
    }

    const G: [u8; 4] = [239, 10, 1, 1];
    const S: [u8; 4] = [10, 0, 0, 9];

    #[test]
    fn every_version_joins_and_leaves() {
        let record = |wanted| IgmpMessage::Membership(vec![IgmpRecord { group: G.into(), wanted }]);
        let old = |kind| summed([vec![kind, 0, 0, 0], G.to_vec()].concat());
        for (bytes, expected) in [
            (old(0x12), record(true)),
            (old(0x16), record(true)),
            (old(0x17), record(false)),
            (old(0x11), IgmpMessage::Query),
            (old(0x42), IgmpMessage::Other(0x42)),
            (v3(&[(4, &[], G)]), record(true)),
            (v3(&[(2, &[], G)]), record(true)),
            (v3(&[(2, &[S], G)]), record(true)),
            (v3(&[(1, &[S], G)]), record(true)),
            (v3(&[(3, &[], G)]), record(false)),
            (v3(&[(5, &[S], G)]), record(true)),
            (v3(&[(6, &[S], G)]), IgmpMessage::Membership(vec![])),
            (v3(&[]), IgmpMessage::Membership(vec![])),
        ] {
            assert_eq!(IgmpMessage::parse(&bytes), Ok(expected), "{bytes:02x?}");
        }
    }

    #[test]
    fn cut_and_flipped_messages_are_refused() {
        let whole = v3(&[(4, &[], G), (1, &[S, S], [239, 10, 1, 2])]);
        for end in 0..whole.len() {
            assert!(IgmpMessage::parse(&whole[..end]).is_err(), "cut at {end}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(IgmpMessage::parse(&bad).is_err(), "bit {bit}");
        }
        let greedy = summed(vec![0x22, 0, 0, 0, 0, 0, 0xff, 0xff]);
        assert!(matches!(IgmpMessage::parse(&greedy), Err(WireError::Bad { field: "records", .. })));
        let promised = summed(vec![0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0xff, 0xff, 239, 10, 1, 1]);
        assert!(matches!(IgmpMessage::parse(&promised), Err(WireError::Short { .. })));
    }

    #[test]
    fn a_query_is_one() {
        let bytes = igmp_query(Mac([2; 6]), multicast_mac([224, 0, 0, 1].into()), [10, 0, 0, 1].into(), 100).unwrap();
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!(frame.destination.to_string(), "01:00:5e:00:00:01");
        let Payload::Ipv4(ip) = frame.payload else { panic!("not IPv4") };
        assert_eq!((ip.ttl, ip.destination.octets(), ip.options), (1, [224, 0, 0, 1], &[148, 4, 0, 0][..]));
        let Transport::Other(IGMP, message) = ip.transport else { panic!("{:?}", ip.transport) };
        assert_eq!(IgmpMessage::parse(message), Ok(IgmpMessage::Query));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = IgmpMessage::parse(&bytes);
            if bytes.len() >= 4 {
                let _ = IgmpMessage::parse(&summed(bytes));
            }
        }
    }
}
