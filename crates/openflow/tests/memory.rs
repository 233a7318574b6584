//! What decoding takes from memory is a small multiple of what came in, whatever came in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::alloc::System;

use fseg_openflow::{Framer, Message};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes asked for in all while a message is decoded, those given back included, for each byte of it.
const PER_BYTE: usize = 48;
/// What even the shortest message may take.
const START: usize = 2_048;

fn check(what: &str, bytes: &[u8]) -> f64 {
    let region = Region::new(MEMORY);
    let _message = Message::decode(bytes);
    let stats = region.change();
    let taken = stats.bytes_allocated + usize::try_from(stats.bytes_reallocated.max(0)).unwrap();
    assert!(taken <= START + PER_BYTE * bytes.len(), "{what}: {} bytes took {taken}", bytes.len());
    taken as f64 / bytes.len() as f64
}

fn message(type_: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + body.len()).unwrap();
    [&[4, type_], &length.to_be_bytes()[..], &[0, 0, 0, 1], body].concat()
}

fn multipart(kind: u16, body: &[u8]) -> Vec<u8> {
    message(19, &[&kind.to_be_bytes()[..], &[0; 6], body].concat())
}

/// As many items as fit.
fn full(item: &[u8], room: usize) -> Vec<u8> {
    item.iter().copied().cycle().take(room / item.len() * item.len()).collect()
}

#[test]
fn decoding_takes_little_memory() {
    const ROOM: usize = 65_480;
    let property = |type_: u8, item: &[u8]| {
        let list = full(item, ROOM - 1_000);
        let length = u16::try_from(4 + list.len()).unwrap();
        let mut property = [&[0, type_], &length.to_be_bytes()[..], &list].concat();
        property.resize(property.len().next_multiple_of(8), 0);
        let length = u16::try_from(64 + property.len()).unwrap();
        [&length.to_be_bytes()[..], &[0; 62], &property].concat()
    };
    let row = [&[0u8, 56][..], &[0; 46], &[0, 1, 0, 4, 0, 0, 0, 0]].concat();
    let actions = |action: &[u8]| {
        let list = full(action, ROOM - 200);
        let length = u16::try_from(list.len()).unwrap();
        message(13, &[&[0; 8], &length.to_be_bytes()[..], &[0; 6], &list].concat())
    };
    let mut worst: f64 = 0.0;
    for (what, bytes) in [
        ("rows", multipart(1, &full(&row, ROOM))),
        ("tables", multipart(3, &full(&[0; 24], ROOM))),
        ("ports", multipart(13, &full(&[0; 64], ROOM))),
        ("groups of no bucket", multipart(7, &full(&[0, 8, 0, 0, 0, 0, 0, 1], ROOM))),
        ("meters of no band", multipart(10, &full(&[0, 8, 0, 0, 0, 0, 0, 1], ROOM))),
        (
            "queues",
            message(23, &[&[0; 8][..], &full(&[0, 0, 0, 1, 0, 0, 0, 1, 0, 16, 0, 0, 0, 0, 0, 0], ROOM)].concat()),
        ),
        ("fields of a table", multipart(12, &property(8, &[0x80, 0, 0, 4]))),
        ("actions of a table", multipart(12, &property(4, &[0, 1, 0, 4]))),
        ("actions without fields", actions(&[0, 18, 0, 8, 0, 0, 0, 0])),
        ("unknown actions", actions(&[0, 99, 0, 8, 1, 2, 3, 4])),
        ("clones", actions(&[0xff, 0xff, 0, 16, 0, 0, 0x23, 0x20, 0, 42, 0, 0, 0, 0, 0, 0])),
        ("options", message(4, &[&[0, 0, 0x23, 0x20, 0, 0, 0, 26][..], &[0; 16], &full(&[0; 8], ROOM)].concat())),
        (
            "packet-in properties",
            message(4, &[&[0, 0, 0x23, 0x20, 0, 0, 0, 30][..], &full(&[0, 99, 0, 4, 0, 0, 0, 0], ROOM)].concat()),
        ),
        (
            "unknown fields",
            multipart(1, &{
                let fields: Vec<u8> = (0..127u8).flat_map(|code| [0x12, 0x34, code << 1, 1, 7]).collect();
                let length = u16::try_from(4 + fields.len()).unwrap();
                let mut row = [&[0, 0][..], &[0; 46], &[0, 1], &length.to_be_bytes(), &fields].concat();
                row.resize(row.len().next_multiple_of(8), 0);
                let length = u16::try_from(row.len()).unwrap();
                row[..2].copy_from_slice(&length.to_be_bytes());
                full(&row, ROOM)
            }),
        ),
    ] {
        assert!(Message::decode(&bytes).is_ok(), "{what}: {:?}", Message::decode(&bytes).err());
        let ratio = check(what, &bytes);
        println!("{what}: {ratio:.1} bytes for each byte");
        worst = worst.max(ratio);
    }
    println!("at worst {worst:.1}");

    // Recorded messages, each byte of them changed to what lengths and counts like to be.
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/openvswitch-3.1.hex");
    for line in std::fs::read_to_string(folder).unwrap().lines().filter(|line| !line.starts_with('#')) {
        let bytes: Vec<u8> =
            (0..line.len()).step_by(2).map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap()).collect();
        for at in (4..bytes.len().min(1_500)).filter(|at| bytes.len() < 300 || at % 5 == 0) {
            for value in [0, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                check(line, &bytes);
            }
        }
    }
}

#[test]
fn a_stream_keeps_one_message_at_most() {
    let mut framer = Framer::new();
    let bytes = message(2, &[7; 60_000]);
    let region = Region::new(MEMORY);
    for _ in 0..50 {
        for piece in bytes.chunks(1_000) {
            framer.push(piece);
            while let Ok(Some(_)) = framer.next_bytes() {}
        }
    }
    let stats = region.change();
    let kept = stats.bytes_allocated as isize + stats.bytes_reallocated - stats.bytes_deallocated as isize;
    assert!(kept < 4 * 65_536, "{kept} bytes are kept after 50 messages");
}
