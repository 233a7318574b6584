//! Between `perfdhcp` and a switch: gives each simulated client the MAC address that it claims inside its request.
//!
//! perfdhcp sends the requests of thousands of clients from one socket, so that all frames have one source address, as if a
//! relay had sent them. Clients on a switch port send frames of their own. This program, between two interfaces, makes the
//! one into the other: source address from `chaddr`, IP source 0.0.0.0, no relay address (RFC 2131 section 2).

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recvfrom, sendto, socket,
};

struct Side {
    socket: OwnedFd,
    address: LinkAddr,
}

fn side(interface: &str) -> Side {
    let found = getifaddrs().expect("interfaces").find_map(|i| {
        let address = i.address.filter(|a| a.family() == Some(AddressFamily::Packet))?;
        (i.interface_name == interface).then(|| *address.as_link_addr().expect("a link address"))
    });
    let address = found.unwrap_or_else(|| panic!("there is no interface {interface}"));
    let socket =
        socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll).expect("a socket");
    bind(socket.as_raw_fd(), &address).expect("bound");
    Side { socket, address }
}

/// Ethernet, IPv4 without options, UDP, then the message.
const IP: usize = 14;
const UDP: usize = IP + 20;
const DHCP: usize = UDP + 8;

/// A request as its client would have sent it; false for what is not a request.
fn as_client(frame: &mut [u8], sender: &AtomicU64) -> bool {
    if frame.len() < DHCP + 236 || frame[12..14] != [8, 0] || frame[IP] != 0x45 || frame[UDP + 2..UDP + 4] != [0, 67] {
        return false;
    }
    let own = frame[6..12].iter().fold(0, |mac, octet| mac << 8 | u64::from(*octet));
    sender.store(own, Ordering::Relaxed);
    frame.copy_within(DHCP + 28..DHCP + 34, 6); // chaddr
    frame[DHCP + 24..DHCP + 28].fill(0); // giaddr
    frame[DHCP + 3] = 0; // hops
    frame[0..6].fill(0xff);
    frame[IP + 12..IP + 16].fill(0);
    frame[IP + 16..IP + 20].fill(0xff);
    frame[UDP..UDP + 2].copy_from_slice(&[0, 68]);
    frame[UDP + 6..UDP + 8].fill(0); // no checksum (RFC 768)
    checksum(frame);
    true
}

/// An answer as the relay gets it that perfdhcp takes itself for.
fn as_relay(frame: &mut [u8], sender: &AtomicU64, relay: [u8; 4]) -> bool {
    if frame.len() < DHCP || frame[12..14] != [8, 0] || frame[IP] != 0x45 || frame[UDP..UDP + 2] != [0, 67] {
        return false;
    }
    frame[0..6].copy_from_slice(&sender.load(Ordering::Relaxed).to_be_bytes()[2..]);
    frame[IP + 16..IP + 20].copy_from_slice(&relay);
    frame[UDP + 2..UDP + 4].copy_from_slice(&[0, 67]);
    frame[UDP + 6..UDP + 8].fill(0);
    checksum(frame);
    true
}

/// RFC 791, 3.1.
fn checksum(frame: &mut [u8]) {
    frame[IP + 10..IP + 12].fill(0);
    let mut sum: u32 = frame[IP..UDP].chunks(2).map(|b| u32::from(b[0]) << 8 | u32::from(b[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[IP + 10..IP + 12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn carry(from: &Side, to: &Side, change: impl Fn(&mut [u8]) -> bool) {
    const OUTGOING: u8 = 4; // PACKET_OUTGOING, packet(7)
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((n, Some(source))) = recvfrom::<LinkAddr>(from.socket.as_raw_fd(), &mut buffer) else { continue };
        if source.pkttype() == OUTGOING {
            continue;
        }
        let frame = &mut buffer[..n];
        if !change(frame) {
            continue;
        }
        let _ = sendto(to.socket.as_raw_fd(), frame, &to.address, MsgFlags::empty());
    }
}

/// Carries requests from `inside` to `outside` and answers back to the relay's address, until it is ended.
pub(crate) fn run(inside: &str, outside: &str, relay: std::net::Ipv4Addr) -> ! {
    let (inside, outside) = (side(inside), side(outside));
    println!("ready");
    let sender = AtomicU64::new(0);
    let sender = &sender;
    std::thread::scope(|scope| {
        scope.spawn(|| carry(&inside, &outside, |frame| as_client(frame, sender)));
        carry(&outside, &inside, |frame| as_relay(frame, sender, relay.octets()));
    });
    unreachable!("both sides go on for ever")
}
