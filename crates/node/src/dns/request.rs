//! A query as received, checked as far as every answer needs it; and the frame of its answer.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

/// The largest UDP answer (DNS flag day 2020: no fragments on any sensible path).
pub(super) const UDP_MAX: u16 = 1232;
/// What a client without EDNS takes by UDP (RFC 1035, section 4.2.1).
const UDP_MIN: u16 = 512;
/// A message by TCP.
pub(super) const TCP_MAX: usize = 65_535;

/// A query that can be answered.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) query: Query,
    metadata: Metadata,
    edns: bool,
    /// The largest UDP answer that the client takes and we send, in bytes.
    pub(super) udp_limit: usize,
}

/// What to do with received bytes.
#[derive(Debug)]
pub(super) enum Received {
    /// Answer this.
    Request(Request),
    /// It is a query, and this is what is wrong with it.
    Reply(Message),
    /// It is not even a query: an answer to it could only feed a loop.
    Drop,
}

/// Reads a message from a client.
pub(super) fn read(bytes: &[u8]) -> Received {
    // RFC 1035, section 4.1.1: twelve bytes of header; QR is the top bit of the third.
    let &[id0, id1, flags, _, _, _, _, _, _, _, _, _, ..] = bytes else { return Received::Drop };
    if flags & 0x80 != 0 {
        return Received::Drop;
    }
    let id = u16::from_be_bytes([id0, id1]);
    let Ok(message) = Message::from_vec(bytes) else {
        return Received::Reply(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr));
    };
    let metadata = message.metadata;
    let refuse = |code| {
        let mut reply = Message::error_msg(id, metadata.op_code, code);
        reply.metadata.recursion_desired = metadata.recursion_desired;
        reply.add_queries(message.queries.iter().take(1).cloned());
        Received::Reply(reply)
    };
    if metadata.message_type != MessageType::Query {
        return Received::Drop;
    }
    if metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    let [query] = message.queries.as_slice() else { return refuse(ResponseCode::FormErr) };
    if message.edns.as_ref().is_some_and(|e| e.version() != 0) {
        // RFC 6891, section 6.1.3; the code needs the OPT record's upper bits.
        let mut reply = Message::error_msg(id, OpCode::Query, ResponseCode::BADVERS);
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_MAX).set_version(0).set_rcode_high(ResponseCode::BADVERS.high());
        reply.add_query(query.clone());
        reply.set_edns(edns);
        return Received::Reply(reply);
    }
    if query.query_class != DNSClass::IN || matches!(query.query_type, RecordType::AXFR | RecordType::IXFR) {
        return refuse(ResponseCode::Refused);
    }
    if query.query_type == RecordType::ANY {
        // RFC 8482 lets us; nobody needs the amplification.
        return refuse(ResponseCode::NotImp);
    }
    let edns = message.edns.is_some();
    let payload = message.edns.as_ref().map_or(UDP_MIN, Edns::max_payload);
    let udp_limit = payload.clamp(UDP_MIN, UDP_MAX).into();
    Received::Request(Request { query: query.clone(), metadata, edns, udp_limit })
}

impl Request {
    /// An answer without records: the client's id, question and flags.
    pub(super) fn reply(&self, code: ResponseCode) -> Message {
        let mut reply = Message::response(self.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = self.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = code;
        reply.add_query(self.query.clone());
        if self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_MAX).set_version(0);
            reply.set_edns(edns);
        }
        reply
    }
}

/// The answer's bytes; when they are more than `limit`, the truncated form, which makes the client come by TCP.
pub(super) fn write(reply: &Message, limit: usize) -> Option<Vec<u8>> {
    let whole = reply.to_vec().ok().filter(|b| b.len() <= limit);
    whole.or_else(|| reply.truncate().to_vec().ok().filter(|b| b.len() <= limit))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use hickory_proto::rr::Name;
    use proptest::prelude::*;

    use super::*;

    fn query_bytes(kind: RecordType, payload: Option<u16>) -> Vec<u8> {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_str("www.example.com.").unwrap(), kind));
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn code(received: Received) -> Option<ResponseCode> {
        match received {
            Received::Reply(m) => Some(m.metadata.response_code),
            _ => None,
        }
    }

    #[test]
    fn limits_follow_what_the_client_takes() {
        for (payload, limit) in [(None, 512), (Some(0), 512), (Some(900), 900), (Some(1232), 1232), (Some(65535), 1232)]
        {
            let Received::Request(r) = read(&query_bytes(RecordType::A, payload)) else { panic!("not a request") };
            assert_eq!(r.udp_limit, limit, "{payload:?}");
            assert_eq!(r.reply(ResponseCode::NoError).edns.is_some(), payload.is_some());
        }
    }

    #[test]
    fn wrong_queries_get_the_right_code() {
        assert_eq!(code(read(&query_bytes(RecordType::ANY, None))), Some(ResponseCode::NotImp));
        assert_eq!(code(read(&query_bytes(RecordType::AXFR, None))), Some(ResponseCode::Refused));
        let mut update = query_bytes(RecordType::A, None);
        update[2] |= 5 << 3;
        assert!(matches!(code(read(&update)), Some(ResponseCode::NotImp | ResponseCode::FormErr)));
        let mut two = query_bytes(RecordType::A, None);
        two[5] = 2;
        assert_eq!(code(read(&two)), Some(ResponseCode::FormErr), "a question is missing");
        let mut answer = query_bytes(RecordType::A, None);
        answer[2] |= 0x80;
        assert!(matches!(read(&answer), Received::Drop), "answers are never answered");
        let mut chaos = query_bytes(RecordType::TXT, None);
        *chaos.last_mut().unwrap() = 3;
        assert_eq!(code(read(&chaos)), Some(ResponseCode::Refused));
        let mut version = query_bytes(RecordType::A, Some(1232));
        // OPT: root name, type, payload, extended code, version (RFC 6891, section 6.1.3).
        let at = version.len() - 11 + 6;
        version[at] = 1;
        let Received::Reply(reply) = read(&version) else { panic!("not a reply") };
        let back = Message::from_vec(&reply.to_vec().unwrap()).unwrap();
        // Code 16 is also BADSIG, which is what the decoder calls it.
        assert_eq!(u16::from(back.metadata.response_code), 16);
    }

    #[test]
    fn cut_queries_are_dropped_or_malformed() {
        let whole = query_bytes(RecordType::A, Some(1232));
        for end in 0..whole.len() {
            match read(&whole[..end]) {
                Received::Drop => assert!(end < 12, "dropped at {end}"),
                Received::Reply(m) => assert_eq!(m.metadata.response_code, ResponseCode::FormErr, "at {end}"),
                Received::Request(_) => panic!("cut at {end} and accepted"),
            }
        }
    }

    #[test]
    fn long_answers_are_truncated() {
        let Received::Request(r) = read(&query_bytes(RecordType::TXT, None)) else { panic!("not a request") };
        let mut reply = r.reply(ResponseCode::NoError);
        let name = r.query.name.clone();
        let text = hickory_proto::rr::rdata::TXT::new(vec!["x".repeat(200); 4]);
        reply.add_answer(hickory_proto::rr::Record::from_rdata(name, 60, hickory_proto::rr::RData::TXT(text)));
        let short = write(&reply, r.udp_limit).unwrap();
        assert!(short.len() <= 512);
        let short = Message::from_vec(&short).unwrap();
        assert!(short.metadata.truncation && short.answers.is_empty() && short.metadata.id == 7);
        assert!(!Message::from_vec(&write(&reply, TCP_MAX).unwrap()).unwrap().metadata.truncation);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn changed_queries_are_survived(at in 0usize..44, to in any::<u8>()) {
            let mut bytes = query_bytes(RecordType::A, Some(1232));
            let at = at % bytes.len();
            bytes[at] = to;
            if let Received::Request(r) = read(&bytes) {
                prop_assert!(write(&r.reply(ResponseCode::NoError), r.udp_limit).is_some());
            }
        }
    }
}
