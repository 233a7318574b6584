//! Text in ovs-ofctl's spelling: `Display` of everything, and [`parse_flow`] for the syntax of `ovs-ofctl add-flow`.

mod actions;
mod errors;
mod flows;
mod matches;
mod messages;
mod parse;
mod parse_actions;
mod parse_value;
mod parts;
mod statistics;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::field::{Field, Format};
use crate::port;

pub use parse::{parse_flow, parse_match};
pub use parse_value::TextError;

/// A number as C's `%#x` writes it: 0 without a prefix.
pub(crate) struct Hex(pub(crate) u128);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

/// The names of the bits that are set, and the rest in hexadecimal; `none` if there are none.
pub(crate) struct Words<'a>(pub(crate) u32, pub(crate) &'a [(u32, &'static str)], pub(crate) &'static str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Words(value, names, none) = *self;
        let mut words: Vec<String> =
            names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
        let rest = names.iter().fold(value, |rest, (bit, _)| rest & !bit);
        if rest != 0 {
            words.push(format!("{rest:#x}"));
        }
        if words.is_empty() { f.write_str(none) } else { f.write_str(&words.join(" ")) }
    }
}

/// Seconds and nanoseconds: whole, in milliseconds, or with as many digits as it takes.
pub(crate) struct Duration(pub(crate) u32, pub(crate) u32);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (seconds, 0) => write!(f, "{seconds}"),
            (seconds, nanoseconds) if nanoseconds % 1_000_000 == 0 => {
                write!(f, "{seconds}.{:03}", nanoseconds / 1_000_000)
            }
            (seconds, nanoseconds) => {
                write!(f, "{seconds}.{}", format!("{nanoseconds:09}").trim_end_matches('0'))
            }
        }
    }
}

/// An Ethernet address.
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A port number or a reserved port's name.
pub(crate) struct PortName(pub(crate) u32);

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match port::NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// An Ethernet address from its 48 bits.
pub(crate) struct Ethernet(pub(crate) u128);

impl fmt::Display for Ethernet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [.., a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Bytes as `01.02.ff`.
pub(crate) struct Dotted<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// Bytes as lines of sixteen with their place and their letters, each on a new line.
pub(crate) struct Dump<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, bytes) in self.0.chunks(16).enumerate() {
            write!(f, "\n{:08x}  ", line * 16)?;
            for place in 0..16 {
                let gap = if place == 7 { '-' } else { ' ' };
                match bytes.get(place) {
                    Some(byte) => write!(f, "{byte:02x}{gap}")?,
                    None => f.write_str("   ")?,
                }
            }
            f.write_str("|")?;
            for place in 0..16 {
                let letter = match bytes.get(place) {
                    Some(byte @ 0x20..=0x7e) => char::from(*byte),
                    Some(_) => '.',
                    None => ' ',
                };
                write!(f, "{letter}")?;
            }
            f.write_str("|")?;
        }
        Ok(())
    }
}

/// Names of the bits of `ct_state`, from bit 0.
pub(crate) const CT_STATE: [&str; 8] = ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
/// Names of the TCP flags, from bit 0.
pub(crate) const TCP_FLAGS: [&str; 12] =
    ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
/// Names of the tunnel flags, from bit 0.
pub(crate) const TUNNEL_FLAGS: [&str; 1] = ["oam"];

/// The value of a field with its mask, as a match or `set_field` writes it.
pub(crate) struct FieldValue {
    pub(crate) field: Field,
    pub(crate) value: u128,
    pub(crate) mask: Option<u128>,
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FieldValue { field, value, mask } = *self;
        match (field.format(), mask) {
            (Format::Decimal, None) => write!(f, "{value}"),
            (Format::Port, None) if field == Field::InPort16 => write!(f, "{}", PortName(widen_port(value as u16))),
            (Format::Port, None) => write!(f, "{}", PortName(u32::try_from(value).unwrap_or(u32::MAX))),
            (Format::Hexadecimal, None) => write!(f, "{}", Hex(value)),
            (Format::Decimal | Format::Hexadecimal | Format::Port, Some(mask)) => {
                write!(f, "{}/{}", Hex(value), Hex(mask))
            }
            (Format::Ethernet, None) => write!(f, "{}", Ethernet(value)),
            (Format::Ethernet, Some(mask)) => write!(f, "{}/{}", Ethernet(value), Ethernet(mask)),
            (Format::Ipv4, mask) => {
                write!(f, "{}", Ipv4Addr::from_bits(value as u32))?;
                masked_address(f, mask, 32, |mask| Ipv4Addr::from_bits(mask as u32).to_string())
            }
            (Format::Ipv6, mask) => {
                write!(f, "{}", Ipv6Addr::from_bits(value))?;
                masked_address(f, mask, 128, |mask| Ipv6Addr::from_bits(mask).to_string())
            }
            (Format::CtState, mask) => flags(f, value, mask, &CT_STATE),
            (Format::TcpFlags, mask) => flags(f, value, mask, &TCP_FLAGS),
            // A single flag is always written with its sign.
            (Format::TunnelFlags, mask) if value <= 1 && mask.is_none_or(|mask| mask == 1) => {
                write!(f, "{}oam", if value == 1 { '+' } else { '-' })
            }
            (Format::TunnelFlags, mask) => flags(f, value, mask, &TUNNEL_FLAGS),
            (Format::Fragment, mask) => f.write_str(match (value & 3, mask.unwrap_or(3) & 3) {
                (0, 3 | 1) => "no",
                (1, 3) => "first",
                (3, 3) => "later",
                (1, 1) => "yes",
                (0, 2) => "not_later",
                (value, mask) => return write!(f, "{value}/{mask}"),
            }),
        }
    }
}

/// A 16-bit port number of OpenFlow 1.0 as a 32-bit one: the reserved ones sit at the end.
pub(crate) const fn widen_port(port: u16) -> u32 {
    if port >= 0xff00 { port as u32 | 0xffff_0000 } else { port as u32 }
}

/// `/24` where the mask is a prefix, otherwise the mask as an address.
fn masked_address(
    f: &mut fmt::Formatter<'_>,
    mask: Option<u128>,
    bits: u32,
    address: impl Fn(u128) -> String,
) -> fmt::Result {
    let Some(mask) = mask else { return Ok(()) };
    let ones = (mask << (128 - bits)).leading_ones();
    if ones == mask.count_ones() { write!(f, "/{ones}") } else { write!(f, "/{}", address(mask)) }
}

/// `+new-est` for single bits, `new|trk` where all named bits are exact.
fn flags(f: &mut fmt::Formatter<'_>, value: u128, mask: Option<u128>, names: &[&str]) -> fmt::Result {
    let all = (1u128 << names.len()) - 1;
    let mask = mask.unwrap_or(u128::MAX);
    let of = |bits: u128| {
        let bit = move |index: &usize| bits >> index & 1 == 1;
        (0..names.len()).filter(bit)
    };
    if mask & all == all {
        if value == 0 {
            return f.write_str("0");
        }
        for (count, index) in of(value).enumerate() {
            write!(f, "{}{}", if count == 0 { "" } else { "|" }, names.get(index).unwrap_or(&"?"))?;
        }
        let beyond = value & !all;
        if beyond != 0 { write!(f, "|{beyond:#x}") } else { Ok(()) }
    } else if mask & !all != 0 {
        write!(f, "{}/{}", Hex(value), Hex(mask))
    } else {
        for index in of(mask) {
            let sign = if value >> index & 1 == 1 { '+' } else { '-' };
            write!(f, "{sign}{}", names.get(index).unwrap_or(&"?"))?;
        }
        Ok(())
    }
}
