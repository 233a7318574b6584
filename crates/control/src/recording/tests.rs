use super::format::blank;
use super::*;

#[test]
fn what_is_no_recording_is_said() {
    assert_eq!(Reader::new(b"SQLite format 3\0").err(), Some(RecordingError::Foreign));
    assert_eq!(Reader::new(b"").err(), Some(RecordingError::Empty));
    assert_eq!(Reader::new(b"FSEG").err(), Some(RecordingError::Empty));
    assert_eq!(Reader::new(b"FSEX").err(), Some(RecordingError::Foreign));
    assert_eq!(Reader::new(b"FSEGREC\n\0\x01").err(), Some(RecordingError::Empty));
    assert_eq!(Reader::new(b"FSEGREC\n\0\x63").err(), Some(RecordingError::Version { found: 99 }));
    // A length that no file has.
    assert_eq!(Reader::new(b"FSEGREC\n\0\x01\x01\xff\xff\xff\xffabc").err(), Some(RecordingError::Empty));
}

/// An Ethernet frame with an IPv4 packet of this protocol.
fn frame(protocol: u8, fragment: u16, rest: &[u8]) -> Vec<u8> {
    let mut out = vec![2; 12];
    out.extend([8, 0, 0x45, 0, 0, 0, 0, 0]);
    out.extend(fragment.to_be_bytes());
    out.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    out.extend(rest);
    out
}

#[test]
fn packets_lose_what_they_carried_and_nothing_else() {
    let tcp = [&[0, 80, 1, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 2, 0, 0, 9, 9, 0, 0, 7, 7, 7, 7][..], b"secret"].concat();
    let mut packet = frame(6, 0, &tcp);
    let before = packet.clone();
    blank(&mut packet);
    let payload = packet.len() - 6;
    assert_eq!((&packet[..payload], &packet[payload..]), (&before[..payload], &[0; 6][..]));
    // UDP: the checksum goes with the payload.
    let mut packet = frame(17, 0, b"\x30\x39\x07\x0c\0\x0e\x12\x34secret");
    blank(&mut packet);
    assert_eq!(&packet[34..], b"\x30\x39\x07\x0c\0\x0e\0\0\0\0\0\0\0\0");
    // What the node reads stays, and so does what is no IP.
    for kept in [frame(17, 0, b"\0\x44\0\x43\0\x0e\x12\x34secret"), vec![8; 60]] {
        let mut packet = kept.clone();
        blank(&mut packet);
        assert_eq!(packet, kept);
    }
    // A later fragment has no header to keep.
    let mut packet = frame(6, 100, b"the rest of a secret");
    blank(&mut packet);
    assert!(packet[34..].iter().all(|b| *b == 0));
    // Cut anywhere, it is no reason to fall over.
    for end in 0..before.len() {
        blank(&mut before[..end].to_vec());
    }
}
