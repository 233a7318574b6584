//! Frames: kinds, the chain, and packets without what they carried.

/// The first octets of a recording.
pub(super) const MAGIC: &[u8; 8] = b"FSEGREC\n";
/// The version of the format. Another one is refused: the core that wrote it decided otherwise anyway.
pub(super) const VERSION: u16 = 1;
/// Octets before the first frame.
pub(super) const HEADER: usize = MAGIC.len() + 2;
/// Octets of a frame besides its body.
pub(super) const OVERHEAD: usize = 1 + 4 + 8;

/// Kinds of frames.
pub(super) mod kind {
    /// Configuration, records, program version (JSON).
    pub(crate) const START: u8 = 1;
    /// A message of a switch: both times, datapath id, connection (64 bit each), OpenFlow.
    pub(crate) const MESSAGE: u8 = 2;
    /// Any other input (JSON).
    pub(crate) const INPUT: u8 = 3;
    /// A login is taken up (JSON).
    pub(crate) const LOGIN_START: u8 = 4;
    /// A login's password was checked (JSON).
    pub(crate) const LOGIN_FINISHED: u8 = 5;
    /// The digests of one flush's effects.
    pub(crate) const FLUSH: u8 = 6;
    /// The recording ends here on purpose; why (UTF-8).
    pub(crate) const END: u8 = 7;
}

/// FNV-1a, 64 bit: http://www.isthe.com/chongo/tech/comp/fnv/.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fnv(pub(super) u64);

impl Fnv {
    pub(super) const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The chain behind a frame.
pub(super) fn chain(before: Fnv, kind: u8, body: &[u8]) -> Fnv {
    let mut chain = before;
    chain.add(&before.0.to_be_bytes());
    chain.add(&[kind]);
    chain.add(&(body.len() as u64).to_be_bytes());
    chain.add(body);
    chain
}

/// UDP ports whose packets the node reads: DHCP, DNS, discovery protocols, magic packets.
const READ: [u16; 9] = [53, 67, 68, 1900, 3702, 5353, 5355, 7, 9];
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
/// An ICMP error repeats an IP header with options and 8 octets (RFC 792).
const ICMP_KEPT: usize = 8 + 60 + 8;

/// Overwrites what people's programs sent in a packet; addresses, ports and lengths stay.
pub(super) fn blank(frame: &mut [u8]) {
    let word = |f: &[u8], at: usize| f.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let mut at = 12;
    // Tags: 802.1Q and 802.1ad.
    while matches!(word(frame, at), Some(0x8100 | 0x88a8)) {
        at += 4;
    }
    let (protocol, transport, later) = match word(frame, at) {
        Some(0x0800) => {
            let ip = at + 2;
            let (Some(first), Some(protocol)) = (frame.get(ip).copied(), frame.get(ip + 9).copied()) else { return };
            let later = word(frame, ip + 6).is_some_and(|w| w & 0x1fff != 0);
            (protocol, ip + usize::from(first & 0x0f) * 4, later)
        }
        Some(0x86dd) => {
            let ip = at + 2;
            let Some(protocol) = frame.get(ip + 6).copied() else { return };
            (protocol, ip + 40, false)
        }
        _ => return,
    };
    let from = match protocol {
        _ if later => transport,
        TCP => transport + frame.get(transport + 12).map_or(20, |b| usize::from(b >> 4) * 4).max(20),
        UDP => {
            let known = |p: Option<u16>| p.is_some_and(|p| READ.contains(&p));
            if known(word(frame, transport)) || known(word(frame, transport + 2)) {
                return;
            }
            // Without a checksum (RFC 768): the right one would be of what is not there any more.
            if let Some(checksum) = frame.get_mut(transport + 6..transport + 8) {
                checksum.fill(0);
            }
            transport + 8
        }
        ICMP => transport + ICMP_KEPT,
        _ => return,
    };
    if let Some(payload) = frame.get_mut(from..) {
        payload.fill(0);
    }
}
