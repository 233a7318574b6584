//! The recorded messages in `tests/corpus`: they decode, encode to the same bytes, and read as ovs-ofctl reads them.

use fseg_openflow::{Answer, Body, Message, MultipartReply, Query};

use crate::generated::same;
use crate::oracle::{hex, print_all, tidy};

/// Every message of every file, with the file's name and the line.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut messages = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "hex")) {
        for (index, line) in std::fs::read_to_string(file).unwrap().lines().enumerate() {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
            let place = format!("{}:{}", file.file_name().unwrap().display(), index + 1);
            messages.push((place, (0..line.len()).step_by(2).map(byte).collect()));
        }
    }
    messages
}

#[test]
fn recorded_messages_keep_their_bytes() {
    let messages = corpus();
    assert!(messages.len() > 130, "only {} messages", messages.len());
    for (place, bytes) in messages {
        let message = Message::decode(&bytes).unwrap_or_else(|error| panic!("{place}: {error}"));
        let again = message.encode();
        assert_eq!(Message::decode(&again).as_ref(), Ok(&message), "{place}");
        // Of rows the matches are sent in an order, and fields in words, of our own; all else byte for byte.
        let is_row = matches!(&message.body, Body::FlowMod(_) | Body::BundleAdd(_));
        if !is_row && message.body.name() != "OFPST_FLOW reply" {
            assert_eq!(hex(&again), hex(&bytes), "{place}: {message}");
        }
    }
}

#[test]
fn recorded_messages_read_as_ovs_ofctl_reads_them() {
    let (places, messages): (Vec<_>, Vec<_>) = corpus().into_iter().unzip();
    let Some(texts) = print_all(&messages) else { return };
    let mut compared = 0;
    for ((place, bytes), theirs) in places.iter().zip(&messages).zip(&texts) {
        let message = Message::decode(bytes).unwrap();
        let ours = tidy(&message.to_string());
        let alike = match &message.body {
            // Tables have a form of their own, and of a refused message ovs-ofctl shows the bytes.
            Body::MultipartReply(MultipartReply { answer: Answer::TableFeatures(_), .. }) => continue,
            Body::MultipartRequest(request) if matches!(request.query, Query::TableFeatures(_)) => continue,
            Body::Error(_) => ours.lines().next() == theirs.lines().next(),
            _ => same(&message, &ours, theirs),
        };
        assert!(alike, "{place} {}\nours:\n{ours}\novs-ofctl:\n{theirs}", hex(bytes));
        compared += 1;
    }
    assert!(compared > 130, "only {compared} messages were compared");
}
