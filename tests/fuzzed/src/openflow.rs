//! What a switch sends.

use fseg_openflow::{
    Body, Effect, FlowStats, Framer, Input, Message, Outcome, RoleClaim, Session, SessionConfig, Transactions,
    parse_flow, parse_match, switch::Role,
};

/// One message: what is accepted can be said again and then means the same, in bytes and in text.
pub fn openflow_message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    let text = message.to_string();
    assert!(!text.is_empty());
    let Ok(again) = message.try_encode() else { return };
    match Message::decode(&again) {
        Ok(read) => {
            assert_eq!(read.encode(), again, "what we say is canonical: {text}");
            assert_eq!(read.to_string(), text, "both mean the same");
        }
        Err(error) => panic!("we cannot read what we say: {error}: {text}"),
    }
    if let Body::MultipartReply(reply) = &message.body
        && let fseg_openflow::Answer::Flow(rows) = &reply.answer
    {
        rows.iter().for_each(row_text);
    }
}

/// The text of a row is read or refused, but not taken for another row.
fn row_text(row: &FlowStats) {
    let text = row.to_string();
    if let Ok(flow) = parse_flow(&text) {
        let again = FlowStats { matches: flow.matches, instructions: flow.instructions, ..row.clone() };
        assert_eq!(parse_flow(&again.to_string()).map(|flow| flow.instructions), Ok(again.instructions), "{text}");
    }
}

/// A whole connection: a byte stream in pieces into the session, and everything it delivers into the books.
pub fn openflow_stream(bytes: &[u8]) {
    let (mut session, _) = Session::new(0, SessionConfig::default());
    let mut framer = Framer::new();
    let mut book: Transactions<u32> = Transactions::new(16);
    let mut claim = RoleClaim::new(Role::Master, 1);
    claim.request(2);
    for number in 0..4 {
        let _ = book.change(number);
    }
    book.barrier();
    // The first byte says how long the pieces are.
    let (piece, stream) = bytes.split_first().map_or((1, bytes), |(first, rest)| (usize::from(*first).max(1), rest));
    for (now, piece) in stream.chunks(piece).enumerate() {
        framer.push(piece);
        while let Ok(Some(whole)) = framer.next_bytes() {
            let input = match Message::decode(whole) {
                Ok(message) => Input::Message(message),
                Err(error) => Input::Undecodable { bytes: whole.to_vec(), error },
            };
            for effect in session.handle(input, now as u64) {
                if let Effect::Deliver(message) = effect {
                    if let Outcome::Confirmed(changes) = book.handle(&message) {
                        assert!(changes.len() <= 4);
                    }
                    claim.handle(&message);
                }
            }
        }
        assert!(framer.waiting() <= stream.len());
    }
    session.handle(Input::Timeout, u64::MAX / 2);
}

/// A row in words: what is read is written and read again.
pub fn openflow_row(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = parse_match(text);
    if let Ok(flow) = parse_flow(text) {
        let message = Message { xid: 1, body: Body::FlowMod(flow) };
        if let Ok(bytes) = message.try_encode() {
            match Message::decode(&bytes) {
                Ok(read) => assert_eq!(read.encode(), bytes, "{text}"),
                Err(error) => panic!("we cannot read the bytes of {text}: {error}"),
            }
        }
    }
}
