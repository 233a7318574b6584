//! Reading a client's message (RFC 2131, 2; options RFC 2132; long and spread options RFC 3396).
//!
//! `dhcproto` reads the fixed header and writes replies. Options are walked here: its decoders stop without a word at
//! the first option they cannot read and lose everything behind it, so one odd host name would hide the message's type;
//! and they do not say where. Only the options that decisions need are looked into.

use std::net::Ipv4Addr;

use dhcproto::v4::{HType, MAGIC, Message, MessageType, Opcode};
use dhcproto::{Decodable, Decoder};
use fseg_model::Mac;

use crate::DhcpError;

/// The octets of the fixed header and the magic cookie.
pub(crate) const HEADER: usize = 240;
const COOKIE: usize = 236;
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

/// Option codes that decisions need (RFC 2132; 82: RFC 3046).
pub(crate) mod code {
    pub(crate) const HOSTNAME: u8 = 12;
    pub(crate) const REQUESTED: u8 = 50;
    pub(crate) const OVERLOAD: u8 = 52;
    pub(crate) const KIND: u8 = 53;
    pub(crate) const SERVER: u8 = 54;
    pub(crate) const PARAMETERS: u8 = 55;
    pub(crate) const MAX_SIZE: u8 = 57;
    pub(crate) const CLIENT_ID: u8 = 61;
    pub(crate) const RELAY: u8 = 82;
    pub(crate) const CAPTIVE_PORTAL: u8 = 114;
    pub(crate) const END: u8 = 255;
}

/// A client's message.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The fixed header; its options are empty.
    pub(crate) header: Message,
    pub(crate) mac: Mac,
    pub(crate) kind: MessageType,
    pub(crate) requested: Option<Ipv4Addr>,
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) client_id: Option<Vec<u8>>,
    pub(crate) hostname: Option<String>,
    pub(crate) parameters: Vec<u8>,
    /// The largest message the client takes, IP and UDP headers included.
    pub(crate) max_size: Option<u16>,
    pub(crate) relay: Option<Vec<u8>>,
}

impl Request {
    /// Reads and checks a message.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DhcpError> {
        let bad = |offset, what| DhcpError::Malformed { offset, what };
        let head = bytes.get(..HEADER).ok_or(bad(bytes.len(), "it ends within the header"))?;
        let header = Message::decode(&mut Decoder::new(head)).map_err(|_| bad(0, "the header cannot be read"))?;
        if header.opcode() != Opcode::BootRequest {
            return Err(bad(0, "the operation is not a request (1)"));
        }
        if header.htype() != HType::Eth {
            return Err(bad(1, "the hardware type is not Ethernet (1)"));
        }
        // Checked before anything asks dhcproto for the address, which it cuts to this length unchecked.
        if header.hlen() != 6 {
            return Err(bad(2, "the hardware address length is not 6"));
        }
        if head.get(COOKIE..) != Some(&MAGIC[..]) {
            return Err(bad(COOKIE, "the magic cookie is missing"));
        }
        let mac = <[u8; 6]>::try_from(header.chaddr()).map(Mac).map_err(|_| bad(28, "no hardware address"))?;

        let mut found = Found::default();
        found.walk(bytes, HEADER..bytes.len())?;
        match found.one(code::OVERLOAD)? {
            None => {}
            // Read once more, in the order RFC 3396, 5 gives: options, file, sname.
            Some(1) => found.walk(bytes, FILE)?,
            Some(2) => found.walk(bytes, SNAME)?,
            Some(3) => {
                found.walk(bytes, FILE)?;
                found.walk(bytes, SNAME)?;
            }
            Some(_) => return Err(bad(found.place(code::OVERLOAD), "option 52 is not 1, 2 or 3")),
        }
        let kind = found.one(code::KIND)?.ok_or(bad(HEADER, "no message type (option 53)"))?;
        let relay = found.take(code::RELAY);
        if relay.as_ref().is_some_and(|r| r.len() > 255) {
            return Err(bad(found.place(code::RELAY), "option 82 is longer than 255 octets"));
        }
        Ok(Self {
            mac,
            kind: kind.into(),
            requested: found.address(code::REQUESTED)?,
            server: found.address(code::SERVER)?,
            max_size: found.array::<2>(code::MAX_SIZE, "option 57 is not 2 octets")?.map(u16::from_be_bytes),
            client_id: found.take(code::CLIENT_ID).filter(|id| (2..=255).contains(&id.len())),
            hostname: found.take(code::HOSTNAME).and_then(|name| hostname(&name)),
            parameters: found.take(code::PARAMETERS).unwrap_or_default(),
            relay,
            header,
        })
    }

    /// The client's own address, if it says it has one.
    pub(crate) fn ciaddr(&self) -> Option<Ipv4Addr> {
        Some(self.header.ciaddr()).filter(|a| !a.is_unspecified())
    }
}

/// A host name worth keeping: printable, at most 63 characters; trailing zeros, which some clients send, are cut.
fn hostname(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    let fine = !text.is_empty() && text.chars().count() <= 63 && !text.chars().any(char::is_control);
    fine.then(|| text.to_owned())
}

/// The options that matter, with where each was first seen. Parts of one option are joined (RFC 3396, 7).
#[derive(Default)]
struct Found {
    options: Vec<(u8, usize, Vec<u8>)>,
}

impl Found {
    const WANTED: [u8; 9] = [
        code::HOSTNAME,
        code::REQUESTED,
        code::OVERLOAD,
        code::KIND,
        code::SERVER,
        code::PARAMETERS,
        code::MAX_SIZE,
        code::CLIENT_ID,
        code::RELAY,
    ];

    fn walk(&mut self, bytes: &[u8], within: std::ops::Range<usize>) -> Result<(), DhcpError> {
        let bad = |offset, what| DhcpError::Malformed { offset, what };
        let field = bytes.get(..within.end).unwrap_or(bytes);
        let mut at = within.start;
        loop {
            match field.get(at) {
                None => return Err(bad(at, "the options have no end (255)")),
                Some(&code::END) => return Ok(()),
                Some(0) => at += 1,
                Some(&number) => {
                    let length = *field.get(at + 1).ok_or(bad(at, "an option ends before its length"))?;
                    let end = at + 2 + usize::from(length);
                    let data = field.get(at + 2..end).ok_or(bad(at, "an option is longer than what is left"))?;
                    if Self::WANTED.contains(&number) {
                        match self.options.iter_mut().find(|(c, ..)| *c == number) {
                            Some((.., all)) => all.extend(data),
                            None => self.options.push((number, at, data.to_vec())),
                        }
                    }
                    at = end;
                }
            }
        }
    }

    fn place(&self, number: u8) -> usize {
        self.options.iter().find(|(c, ..)| *c == number).map_or(HEADER, |(_, at, _)| *at)
    }

    fn take(&mut self, number: u8) -> Option<Vec<u8>> {
        self.options.iter_mut().find(|(c, ..)| *c == number).map(|(.., data)| std::mem::take(data))
    }

    fn array<const N: usize>(&self, number: u8, what: &'static str) -> Result<Option<[u8; N]>, DhcpError> {
        let Some((_, at, data)) = self.options.iter().find(|(c, ..)| *c == number) else { return Ok(None) };
        <[u8; N]>::try_from(data.as_slice()).map(Some).map_err(|_| DhcpError::Malformed { offset: *at, what })
    }

    fn one(&self, number: u8) -> Result<Option<u8>, DhcpError> {
        Ok(self.array::<1>(number, "this option is not 1 octet")?.map(|[n]| n))
    }

    fn address(&self, number: u8) -> Result<Option<Ipv4Addr>, DhcpError> {
        Ok(self.array::<4>(number, "this option is not an address")?.map(Ipv4Addr::from))
    }
}
