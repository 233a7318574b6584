//! IPv4 packets (RFC 791) and the transport headers that decisions need: UDP (RFC 768), TCP (RFC 9293), ICMP (RFC 792).

use std::net::Ipv4Addr;

use etherparse::checksum::Sum16BitWords;
use etherparse::{Ipv4HeaderSlice, TcpHeaderSlice, UdpHeader};
use fseg_model::{Flow, IpProtocol};

use crate::error::take;
use crate::{Layer, WireError};

const HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;

/// An IPv4 packet whose lengths and header checksum are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ipv4Packet<'a> {
    /// From whom, as the packet claims.
    pub source: Ipv4Addr,
    /// To whom.
    pub destination: Ipv4Addr,
    /// The protocol of the payload.
    pub protocol: IpProtocol,
    /// Hops left.
    pub ttl: u8,
    /// Differentiated services code point, 6 bits (RFC 2474).
    pub dscp: u8,
    /// Identification, for fragments.
    pub identification: u16,
    /// Must not be fragmented on the way.
    pub dont_fragment: bool,
    /// Where it belongs when it is a fragment; `None` for a whole packet.
    pub fragment: Option<Fragment>,
    /// Header options, unread; at most 40 octets.
    pub options: &'a [u8],
    /// What it carries.
    pub transport: Transport<'a>,
}

/// The place of a fragment in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// First octet, a multiple of 8.
    pub offset: u32,
    /// More follow.
    pub more: bool,
}

/// The transport of an IPv4 packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport<'a> {
    /// UDP, checksum right or absent.
    Udp(UdpDatagram<'a>),
    /// TCP; the checksum is not looked at.
    Tcp(TcpSegment<'a>),
    /// ICMP; the checksum is not looked at.
    Icmp(IcmpMessage<'a>),
    /// A fragment: even the first one may have half a header, so none is read.
    Fragment(&'a [u8]),
    /// Another protocol, unread.
    Other(IpProtocol, &'a [u8]),
}

/// A UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UdpDatagram<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// The payload.
    pub payload: &'a [u8],
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpSegment<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// The control bits.
    pub flags: TcpFlags,
    /// The payload, behind the options.
    pub payload: &'a [u8],
}

/// The TCP control bits that open and close connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags {
    /// Opens a connection.
    pub syn: bool,
    /// Acknowledges.
    pub ack: bool,
    /// Ends this direction.
    pub fin: bool,
    /// Breaks the connection.
    pub rst: bool,
}

/// An ICMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IcmpMessage<'a> {
    /// Type; 8 asks for an echo.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// All behind the checksum.
    pub payload: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// Reads and checks a packet; octets after its total length are padding and cut off.
    ///
    /// # Errors
    /// `Short` when a length goes beyond the bytes, `Bad` for an impossible version or length, `Checksum` for the
    /// header's or UDP's. Offsets count from the packet's first octet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let layer = Layer::Ipv4;
        let bad = |offset, field, value: u64, expected| WireError::Bad { layer, offset, field, value, expected };
        let (fixed, _) = take(bytes, HEADER, layer, 0)?;
        let first = fixed.first().copied().unwrap_or_default();
        if first >> 4 != 4 {
            return Err(bad(0, "version", u64::from(first >> 4), "4"));
        }
        let header_len = usize::from(first & 0xf) * 4;
        if header_len < HEADER {
            return Err(bad(0, "header length", header_len as u64, "at least 20"));
        }
        let (head, _) = take(bytes, header_len, layer, 0)?;
        let header = Ipv4HeaderSlice::from_slice(head)
            .map_err(|_| bad(0, "header length", header_len as u64, "from 20 to 60"))?;
        // Over the octets as they came: a header rebuilt from its fields would lose the reserved bit.
        let (before, after) = (head.get(..10).unwrap_or_default(), head.get(12..).unwrap_or_default());
        let computed = Sum16BitWords::new().add_slice(before).add_slice(after).ones_complement().to_be();
        if computed != header.header_checksum() {
            return Err(WireError::Checksum { layer, offset: 10, found: header.header_checksum(), computed });
        }
        let total = usize::from(header.total_len());
        if total < header_len {
            return Err(bad(2, "total length", total as u64, "at least the header length"));
        }
        let (packet, _) = take(bytes, total, layer, 0)?;
        let (_, payload) = take(packet, header_len, layer, 0)?;
        let protocol = IpProtocol(header.protocol().0);
        let fragment = header.is_fragmenting_payload().then(|| Fragment {
            offset: u32::from(header.fragments_offset().value()) * 8,
            more: header.more_fragments(),
        });
        let transport = match protocol {
            _ if fragment.is_some() => Ok(Transport::Fragment(payload)),
            IpProtocol::UDP => parse_udp(&header, payload),
            IpProtocol::TCP => parse_tcp(payload),
            IpProtocol::ICMP => parse_icmp(payload),
            other => Ok(Transport::Other(other, payload)),
        }
        .map_err(|e| e.moved(header_len))?;
        Ok(Self {
            source: header.source_addr(),
            destination: header.destination_addr(),
            protocol,
            ttl: header.ttl(),
            dscp: header.dcp().value(),
            identification: header.identification(),
            dont_fragment: header.dont_fragment(),
            fragment,
            options: head.get(HEADER..).unwrap_or_default(),
            transport,
        })
    }

    /// What its first packet asks for, in policy's terms; `None` for fragments.
    pub fn flow(&self) -> Option<Flow> {
        let port = match &self.transport {
            Transport::Udp(u) => u.destination_port,
            Transport::Tcp(t) => t.destination_port,
            Transport::Icmp(i) => i.kind.into(),
            Transport::Other(..) => 0,
            Transport::Fragment(_) => return None,
        };
        Some(Flow { protocol: self.protocol, port })
    }
}

fn parse_udp<'a>(ip: &Ipv4HeaderSlice<'_>, bytes: &'a [u8]) -> Result<Transport<'a>, WireError> {
    let layer = Layer::Udp;
    let (head, _) = take(bytes, UDP_HEADER, layer, 0)?;
    let (header, _) = UdpHeader::from_slice(head).map_err(|_| WireError::Short {
        layer,
        offset: 0,
        needed: UDP_HEADER,
        present: bytes.len(),
    })?;
    let length = usize::from(header.length);
    if length < UDP_HEADER {
        return Err(WireError::Bad { layer, offset: 4, field: "length", value: length as u64, expected: "at least 8" });
    }
    let (datagram, _) = take(bytes, length, layer, 0)?;
    let (_, payload) = take(datagram, UDP_HEADER, layer, 0)?;
    // Zero stands for "the sender made none" (RFC 768).
    if header.checksum != 0 {
        let computed = header.calc_checksum_ipv4_raw(ip.source(), ip.destination(), payload).unwrap_or_default();
        if computed != header.checksum {
            return Err(WireError::Checksum { layer, offset: 6, found: header.checksum, computed });
        }
    }
    Ok(Transport::Udp(UdpDatagram {
        source_port: header.source_port,
        destination_port: header.destination_port,
        payload,
    }))
}

fn parse_tcp(bytes: &[u8]) -> Result<Transport<'_>, WireError> {
    let layer = Layer::Tcp;
    let (fixed, _) = take(bytes, TCP_HEADER, layer, 0)?;
    let length = usize::from(fixed.get(12).copied().unwrap_or_default() >> 4) * 4;
    let bad =
        || WireError::Bad { layer, offset: 12, field: "header length", value: length as u64, expected: "at least 20" };
    if length < TCP_HEADER {
        return Err(bad());
    }
    let (head, payload) = take(bytes, length, layer, 0)?;
    let header = TcpHeaderSlice::from_slice(head).map_err(|_| bad())?;
    Ok(Transport::Tcp(TcpSegment {
        source_port: header.source_port(),
        destination_port: header.destination_port(),
        sequence: header.sequence_number(),
        acknowledgement: header.acknowledgment_number(),
        flags: TcpFlags { syn: header.syn(), ack: header.ack(), fin: header.fin(), rst: header.rst() },
        payload,
    }))
}

fn parse_icmp(bytes: &[u8]) -> Result<Transport<'_>, WireError> {
    let (head, payload) = take(bytes, 4, Layer::Icmp, 0)?;
    let &[kind, code, _, _] = head else {
        return Err(WireError::Short { layer: Layer::Icmp, offset: 0, needed: 4, present: bytes.len() });
    };
    Ok(Transport::Icmp(IcmpMessage { kind, code, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    const A: [u8; 4] = [10, 0, 0, 5];
    const B: [u8; 4] = [10, 0, 0, 9];

    fn packet(build: impl FnOnce(etherparse::PacketBuilderStep<etherparse::IpHeaders>, &mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        let v4 = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber(0), A, B).unwrap();
        build(PacketBuilder::ip(etherparse::IpHeaders::Ipv4(v4, Default::default())), &mut out);
        out
    }

    #[test]
    fn tcp_and_icmp_headers_are_read() {
        let bytes = packet(|p, out| p.tcp(4000, 443, 7, 1024).syn().write(out, b"hi").unwrap());
        let ip = Ipv4Packet::parse(&bytes).unwrap();
        assert_eq!((ip.source.octets(), ip.destination.octets(), ip.ttl), (A, B, 64));
        assert_eq!(ip.flow(), Some(Flow::tcp(443)));
        let Transport::Tcp(tcp) = ip.transport else { panic!("{ip:?}") };
        assert_eq!((tcp.source_port, tcp.sequence, tcp.payload), (4000, 7, &b"hi"[..]));
        assert_eq!(tcp.flags, TcpFlags { syn: true, ..TcpFlags::default() });

        let bytes = packet(|p, out| p.icmpv4_echo_request(1, 2).write(out, b"x").unwrap());
        assert_eq!(Ipv4Packet::parse(&bytes).unwrap().flow(), Some(Flow::PING));
    }

    #[test]
    fn a_fragment_has_no_ports() {
        let mut bytes = packet(|p, out| p.udp(1, 2).write(out, &[0; 16]).unwrap());
        bytes[6] = 0x20; // more fragments
        bytes[7] = 0x02; // offset 16
        fix_checksum(&mut bytes);
        let ip = Ipv4Packet::parse(&bytes).unwrap();
        assert_eq!(ip.fragment, Some(Fragment { offset: 16, more: true }));
        assert_eq!(ip.flow(), None);
    }

    #[test]
    fn impossible_lengths_are_named() {
        let good = packet(|p, out| p.udp(1, 2).write(out, b"abcd").unwrap());
        let refuse = |change: &dyn Fn(&mut Vec<u8>), fix: bool| {
            let mut bytes = good.clone();
            change(&mut bytes);
            if fix {
                fix_checksum(&mut bytes);
            }
            Ipv4Packet::parse(&bytes).unwrap_err().to_string()
        };
        assert_eq!(refuse(&|b| b[0] = 0x65, true), "IPv4 at octet 0: version is 6, expected 4");
        assert_eq!(refuse(&|b| b[0] = 0x44, false), "IPv4 at octet 0: header length is 16, expected at least 20");
        assert_eq!(
            refuse(&|b| b[3] = 19, true),
            "IPv4 at octet 2: total length is 19, expected at least the header length"
        );
        assert_eq!(refuse(&|b| b[3] = 33, true), "IPv4 at octet 0: 33 octets needed, 32 present");
        assert_eq!(refuse(&|b| b[25] = 7, false), "UDP at octet 24: length is 7, expected at least 8");
        assert_eq!(refuse(&|b| b[25] = 13, false), "UDP at octet 20: 13 octets needed, 12 present");
        assert!(refuse(&|b| b[8] ^= 1, false).starts_with("IPv4 at octet 10: checksum is "));
        assert!(refuse(&|b| b[31] ^= 1, false).starts_with("UDP at octet 26: checksum is "));
    }

    #[test]
    fn an_absent_udp_checksum_is_fine() {
        let mut bytes = packet(|p, out| p.udp(1, 2).write(out, b"abcd").unwrap());
        bytes[26] = 0;
        bytes[27] = 0;
        let ip = Ipv4Packet::parse(&bytes).unwrap();
        let udp = UdpDatagram { source_port: 1, destination_port: 2, payload: b"abcd" };
        assert_eq!(ip.transport, Transport::Udp(udp));
    }

    fn fix_checksum(bytes: &mut [u8]) {
        bytes[10] = 0;
        bytes[11] = 0;
        let mut sum = 0_u32;
        for pair in bytes[..20].chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        bytes[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
}
