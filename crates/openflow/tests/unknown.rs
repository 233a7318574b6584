//! What has no name here survives byte for byte, wherever it stands, and is shown in text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use fseg_openflow::{DecodeError, Message};

fn message(type_: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + body.len()).unwrap();
    [&[4, type_], &length.to_be_bytes()[..], &[0, 0, 0, 1], body].concat()
}

fn multipart(type_: u8, kind: u16, body: &[u8]) -> Vec<u8> {
    message(type_, &[&kind.to_be_bytes()[..], &[0; 6], body].concat())
}

/// A flow-mod with these bytes as match fields and as instructions.
fn row(fields: &[u8], instructions: &[u8]) -> Vec<u8> {
    let start = [&[0; 24][..], &[0xff; 12], &[0; 4]].concat();
    let length = u16::try_from(4 + fields.len()).unwrap();
    let mut matches = [&[0, 1][..], &length.to_be_bytes(), fields].concat();
    matches.resize(matches.len().next_multiple_of(8), 0);
    message(14, &[start, matches, instructions.to_vec()].concat())
}

/// A row whose only instruction applies this action.
fn acting(action: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + action.len()).unwrap();
    row(&[], &[&[0, 4][..], &length.to_be_bytes(), &[0; 4], action].concat())
}

const SOMEBODY: [u8; 4] = [0x00, 0xab, 0xcd, 0xef];
const NICIRA: [u8; 4] = [0, 0, 0x23, 0x20];

#[test]
fn what_has_no_name_survives_byte_for_byte() {
    let wide: Vec<u8> = [&[0x12, 0x34, 5 << 1, 40][..], &[0xee; 40]].concat();
    let wide_option: Vec<u8> = [&[0, 1, 40 << 1 | 1, 64][..], &[0xdd; 64]].concat();
    let written: Vec<u8> = [&[0, 25, 0, 40][..], &[0, 1, 40 << 1, 32], &[0xcc; 32]].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("message", message(99, b"what is this")),
        ("experimenter's message", message(4, &[&SOMEBODY[..], &[0, 0, 0, 9], b"unheard of"].concat())),
        ("Nicira's message", message(4, &[&NICIRA[..], &[0, 0, 3, 9], b"later than us"].concat())),
        ("question", multipart(18, 77, b"why")),
        ("answer", multipart(19, 77, b"because")),
        ("experimenter's question", multipart(18, 0xffff, &[&SOMEBODY[..], &[0, 0, 0, 1], b"why"].concat())),
        ("experimenter's answer", multipart(19, 0xffff, &[&SOMEBODY[..], &[0, 0, 0, 1], b"because"].concat())),
        ("error", message(1, &[0x12, 0x34, 0x56, 0x78, 1, 2, 3])),
        ("experimenter's error", message(1, &[&[0xff, 0xff, 0, 9][..], &SOMEBODY, b"no"].concat())),
        ("field", row(&[0x12, 0x34, 3 << 1, 2, 0xaa, 0xbb], &[])),
        ("field of an experimenter", row(&[&[0xff, 0xff, 3 << 1, 6][..], &SOMEBODY, &[1, 2]].concat(), &[])),
        ("field with a mask", row(&[0x12, 0x34, 3 << 1 | 1, 4, 0xaa, 0, 0xff, 0], &[])),
        ("field with a full mask", row(&[0x12, 0x34, 3 << 1 | 1, 4, 0xaa, 0xbb, 0xff, 0xff], &[])),
        ("field with an empty mask", row(&[0x12, 0x34, 3 << 1 | 1, 4, 0, 0, 0, 0], &[])),
        ("field beyond its mask", row(&[0x12, 0x34, 3 << 1 | 1, 4, 0xaa, 0xbb, 0xff, 0], &[])),
        ("wide field", row(&wide, &[])),
        ("wide tunnel option", row(&wide_option, &[])),
        ("known field of a strange length", row(&[0x80, 0, 11 << 1, 3, 10, 0, 0], &[])),
        ("action", acting(&[0, 99, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
        ("action of an experimenter", acting(&[&[0xff, 0xff, 0, 16][..], &SOMEBODY, &[1; 8]].concat())),
        ("action of Nicira", acting(&[&[0xff, 0xff, 0, 16][..], &NICIRA, &[3, 9, 1, 2, 3, 4, 5, 6]].concat())),
        ("wide written field", acting(&[&written[..], &[0; 0]].concat())),
        (
            "controller with an unknown property",
            acting(
                &[&[0xff, 0xff, 0, 24][..], &NICIRA, &[0, 37, 0, 0, 0, 0, 0, 0], &[0, 99, 0, 7, 1, 2, 3, 0]].concat(),
            ),
        ),
        ("instruction", row(&[], &[0, 99, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])),
        ("instruction of an experimenter", row(&[], &[&[0xff, 0xff, 0, 16][..], &SOMEBODY, &[7; 8]].concat())),
        ("band", message(29, &[0, 0, 0, 1, 0, 0, 0, 1, 0, 9, 0, 16, 0, 0, 0, 5, 0, 0, 0, 6, 1, 2, 3, 4])),
        (
            "band of an experimenter",
            message(
                29,
                &[&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 16, 0, 0, 0, 5, 0, 0, 0, 6][..], &SOMEBODY].concat(),
            ),
        ),
        ("group type", message(15, &[0, 0, 200, 0, 0, 0, 0, 1])),
        (
            "property of a queue",
            message(
                23,
                &[
                    &[0; 8][..],
                    &[0, 0, 0, 1, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0],
                    &[0xff, 0xff, 0, 16, 0, 0, 0, 0],
                    &[9; 8],
                ]
                .concat(),
            ),
        ),
        (
            "property of a table",
            multipart(
                19,
                12,
                &[&[0, 80][..], &[0; 62], &[0xff, 0xfe, 0, 13], &SOMEBODY, &[1, 2, 3, 4, 5, 0, 0, 0]].concat(),
            ),
        ),
        (
            "actions of an experimenter in a table",
            multipart(
                19,
                12,
                &[&[0, 80][..], &[0; 62], &[0, 4, 0, 16, 0, 0, 0, 4, 0xff, 0xff, 0, 8], &SOMEBODY].concat(),
            ),
        ),
        (
            "fields of a table with a strange length",
            multipart(19, 12, &[&[0, 72][..], &[0; 62], &[0, 8, 0, 8, 0x12, 0x34, 5, 77]].concat()),
        ),
        (
            "property of a packet-in",
            message(
                4,
                &[
                    &NICIRA[..],
                    &[0, 0, 0, 30],
                    &[0, 0, 0, 4, 0, 0, 0, 0],
                    &[0, 3, 0, 5, 0, 0, 0, 0],
                    &[0, 5, 0, 5, 0, 0, 0, 0],
                    &[0, 6, 0, 4, 0, 0, 0, 0],
                    &[0, 99, 0, 7, 1, 2, 3, 0],
                ]
                .concat(),
            ),
        ),
        (
            "restriction of a flush",
            message(4, &[&NICIRA[..], &[0, 0, 0, 32], &[6, 0, 0, 0, 0, 0, 0, 0], &[0, 99, 0, 8, 1, 2, 3, 4]].concat()),
        ),
        (
            "property of a bundle",
            message(
                4,
                &[
                    &[0x4f, 0x4e, 0x46, 0][..],
                    &[0, 0, 8, 0xfc],
                    &[0, 0, 0, 1, 0, 0, 0, 3],
                    &[0xff, 0xff, 0, 12],
                    &SOMEBODY,
                    &[0, 0, 0, 1, 0, 0, 0, 0],
                ]
                .concat(),
            ),
        ),
    ];
    for (what, bytes) in cases {
        let message = Message::decode(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(message.encode(), bytes, "{what}: {message:?}");
        assert!(!message.to_string().is_empty());
    }
}

#[test]
fn short_trailing_and_absurd_are_told_apart() {
    let refused = |bytes: &[u8]| Message::decode(bytes).unwrap_err();
    // An output of eight bytes, of twenty-four, and of two.
    let short = refused(&acting(&[0, 0, 0, 8, 0, 0, 0, 1]));
    assert_eq!(short, DecodeError::Short { what: "output max_len", at: 72, needed: 2, had: 0 });
    let long = refused(&acting(&[0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(long, DecodeError::Trailing { what: "output", at: 80, extra: 8 });
    let absurd = refused(&acting(&[0, 0, 0, 2, 0, 0, 0, 1]));
    assert_eq!(absurd, DecodeError::Length { what: "action", at: 64, value: 2 });
    // Nicira's actions are no exception.
    let long = refused(&acting(&[&[0xff, 0xff, 0, 24][..], &NICIRA, &[0, 43], &[0; 14]].concat()));
    assert_eq!(long, DecodeError::Trailing { what: "action", at: 74, extra: 14 });
    // A list that says it is longer than what is there.
    let count = refused(&acting(&[&[0xff, 0xff, 0, 24][..], &NICIRA, &[0, 21, 0xff, 0xff], &[0; 12]].concat()));
    assert_eq!(count, DecodeError::Length { what: "number of controllers", at: 74, value: 0xffff });
    assert_eq!(refused(&[4, 20, 0, 8, 0, 0]), DecodeError::Short { what: "header", at: 4, needed: 4, had: 2 });
    let length = refused(&[4, 20, 0, 16, 0, 0, 0, 1]);
    assert_eq!(length, DecodeError::Short { what: "message", at: 0, needed: 16, had: 8 });
    assert_eq!(refused(&[4, 20, 0, 7, 0, 0, 0, 1]), DecodeError::Length { what: "message", at: 2, value: 7 });
}
