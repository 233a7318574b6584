//! Frames as ordinary hosts send them.

use std::net::Ipv4Addr;

use fseg_model::{Flow, IpProtocol, Mac};
use fseg_wire::ArpPacket;

use fseg_openflow::simulate::checksum;

/// The source port of connections that [`first_of`] opens.
pub const CLIENT_PORT: u16 = 40_000;

/// An IPv4 packet of any protocol.
pub fn ip(from: Mac, to: Mac, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(34 + payload.len());
    out.extend(to.0);
    out.extend(from.0);
    out.extend([0x08, 0x00, 0x45, 0]);
    out.extend(u16::try_from(20 + payload.len()).unwrap().to_be_bytes());
    out.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    out.extend(source.octets());
    out.extend(destination.octets());
    let sum = checksum(0, &out[14..34]);
    out[24..26].copy_from_slice(&sum.to_be_bytes());
    out.extend(payload);
    // Fills in the transport's checksum too.
    crate::Packet::new(&out, 0).with_right_checksums().frame()
}

/// A UDP datagram.
pub fn udp(
    from: Mac,
    to: Mac,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    source_port: u16,
    port: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(source_port.to_be_bytes());
    body.extend(port.to_be_bytes());
    body.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
    body.extend([0xff, 0xff]); // any but zero: the right one is filled in
    body.extend(payload);
    ip(from, to, source, destination, 17, &body)
}

/// TCP control bits.
pub mod tcp_flags {
    /// Opens.
    pub const SYN: u8 = 2;
    /// Breaks.
    pub const RST: u8 = 4;
    /// Answers an opening.
    pub const SYN_ACK: u8 = 0x12;
    /// Carries on.
    pub const ACK: u8 = 0x10;
}

/// A TCP segment without data.
pub fn tcp(
    from: Mac,
    to: Mac,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    source_port: u16,
    port: u16,
    flags: u8,
) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(source_port.to_be_bytes());
    body.extend(port.to_be_bytes());
    body.extend([0; 8]);
    body.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    ip(from, to, source, destination, 6, &body)
}

/// An ICMP message; `rest` begins behind the checksum.
pub fn icmp(from: Mac, to: Mac, source: Ipv4Addr, destination: Ipv4Addr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![kind, code, 0, 0];
    body.extend(rest);
    let sum = checksum(0, &body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(from, to, source, destination, 1, &body)
}

/// The first packet of a connection.
pub fn first_of(flow: Flow, from: Mac, to: Mac, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    match flow.protocol {
        IpProtocol::TCP => tcp(from, to, source, destination, CLIENT_PORT, flow.port, tcp_flags::SYN),
        IpProtocol::UDP => udp(from, to, source, destination, CLIENT_PORT, flow.port, b"question"),
        IpProtocol::ICMP => icmp(from, to, source, destination, flow.port as u8, 0, &[0x12, 0x34, 0, 1]),
        IpProtocol(n) => ip(from, to, source, destination, n, &[0; 16]),
    }
}

/// The answer to a frame that [`first_of`] made, as its receiver sends it.
pub fn answer_to(frame: &[u8], to: Mac) -> Vec<u8> {
    use fseg_openflow::Field;
    let packet = crate::Packet::new(frame, 0);
    let get = |field| packet.get(field).unwrap();
    let mac = |field| Mac::from_u64(get(field) as u64);
    let (from, source) = (mac(Field::EthDst), Ipv4Addr::from(get(Field::Ipv4Dst) as u32));
    let destination = Ipv4Addr::from(get(Field::Ipv4Src) as u32);
    match get(Field::IpProto) {
        6 => {
            let (a, b) = (get(Field::TcpDst) as u16, get(Field::TcpSrc) as u16);
            tcp(from, to, source, destination, a, b, tcp_flags::SYN_ACK)
        }
        17 => udp(from, to, source, destination, get(Field::UdpDst) as u16, get(Field::UdpSrc) as u16, b"answer"),
        1 => {
            let at = packet.transport_at().unwrap() + 4;
            icmp(from, to, source, destination, 0, 0, &frame[at..at + 4])
        }
        n => ip(from, to, source, destination, n as u8, &[0; 16]),
    }
}

/// An ICMP error "port unreachable" about a frame, from whoever got it or stands on its way.
pub fn unreachable(frame: &[u8], from: Mac, to: Mac, source: Ipv4Addr) -> Vec<u8> {
    use fseg_openflow::Field;
    let asked = Ipv4Addr::from(crate::Packet::new(frame, 0).get(Field::Ipv4Src).unwrap() as u32);
    let mut rest = vec![0; 4];
    rest.extend(&frame[14..frame.len().min(14 + 28)]);
    icmp(from, to, source, asked, 3, 3, &rest)
}

/// An ARP request.
pub fn who_has(sender: Mac, sender_ip: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    ArpPacket::request(sender, sender_ip, target).to_frame(sender, Mac::BROADCAST)
}

#[cfg(test)]
mod tests {
    use fseg_openflow::Field;
    use fseg_wire::{Frame, Payload};

    use super::*;
    use crate::Packet;

    #[test]
    fn a_rewritten_packet_has_right_checksums() {
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let frame = udp(a, b, [10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 1000, 53, b"odd");
        let mut packet = Packet::new(&frame, 1);
        packet.set(Field::Ipv4Dst, 0xc000_0201, u128::MAX);
        packet.set(Field::UdpDst, 5353, u128::MAX);
        let out = packet.frame();
        // The reader checks both checksums.
        let read = Frame::parse(&out).unwrap();
        let Payload::Ipv4(ip) = read.payload else { panic!("{read:?}") };
        assert_eq!(ip.destination.to_string(), "192.0.2.1");
        assert_eq!(Packet::new(&out, 1).get(Field::UdpDst), Some(5353));
        assert_eq!(Packet::new(&out, 1).get(Field::TcpDst), None);
    }
}
