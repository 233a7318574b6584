//! Which MAC addresses an entry is for: one address, or all that begin alike (a maker's block, say).

use std::fmt;
use std::str::FromStr;

use fseg_model::Mac;
use serde::{Deserialize, Serialize};

use crate::MatcherError;

/// One MAC address, or a prefix of 1 to 47 bits.
///
/// Text: `52:54:00:00:00:01`, `52:54:00:*` (whole octets), `52:54:00:00:00:00/23`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacMatcher {
    /// Zero beyond the prefix.
    value: Mac,
    /// 1 to 48.
    bits: u8,
}

fn mask(bits: u8) -> u64 {
    u64::MAX << 48u32.saturating_sub(bits.into())
}

impl MacMatcher {
    /// Exactly this address.
    pub fn exact(mac: Mac) -> Self {
        Self { value: mac, bits: 48 }
    }

    /// All addresses that have the same first `bits` bits; `None` unless there are 1 to 48 of them.
    pub fn prefix(mac: Mac, bits: u8) -> Option<Self> {
        (1..=48).contains(&bits).then(|| Self::cut(mac, bits))
    }

    fn cut(mac: Mac, bits: u8) -> Self {
        Self { value: Mac::from_u64(mac.to_u64() & mask(bits)), bits }
    }

    /// True when the address fits.
    pub fn matches(&self, mac: Mac) -> bool {
        (mac.to_u64() ^ self.value.to_u64()) & mask(self.bits) == 0
    }

    /// The single address it is for, if it is for one.
    pub fn as_exact(&self) -> Option<Mac> {
        (self.bits == 48).then_some(self.value)
    }

    /// How many bits are fixed, 1 to 48: of two matchers that fit, the one with more bits counts.
    pub fn bits(&self) -> u8 {
        self.bits
    }
}

impl fmt::Display for MacMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = usize::from(self.bits / 8);
        match (self.bits % 8, octets) {
            (0, 6) => fmt::Display::fmt(&self.value, f),
            (0, n) => {
                let mut text: String = self.value.0.iter().take(n).map(|b| format!("{b:02x}:")).collect();
                text.push('*');
                f.pad(&text)
            }
            _ => f.pad(&format!("{}/{}", self.value, self.bits)),
        }
    }
}

impl FromStr for MacMatcher {
    type Err = MatcherError;
    fn from_str(text: &str) -> Result<Self, MatcherError> {
        let refuse = |reason| MatcherError { value: text.chars().take(40).collect(), reason };
        let address = |t: &str| t.parse::<Mac>().map_err(|_| refuse("it is not a MAC address"));
        if let Some(head) = text.strip_suffix('*') {
            let octets = head.matches([':', '-']).count();
            if !(1..=5).contains(&octets) {
                return Err(refuse("one to five octets stand before the `*`"));
            }
            let rest = vec!["00"; 6 - octets].join(":");
            let bits = u8::try_from(octets * 8).map_err(|_| refuse("the prefix is too long"))?;
            return Ok(Self::cut(address(&format!("{head}{rest}"))?, bits));
        }
        let Some((head, bits)) = text.split_once('/') else {
            let mac = address(text)?;
            if mac.is_unusable_source() {
                return Err(refuse("no single device can have this address"));
            }
            return Ok(Self::exact(mac));
        };
        if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse("the prefix length is not a number"));
        }
        let mac = address(head)?;
        let bits = bits.parse().map_err(|_| refuse("the prefix length is from 1 to 48"))?;
        let matcher = Self::prefix(mac, bits).ok_or_else(|| refuse("the prefix length is from 1 to 48"))?;
        if matcher.value != mac {
            return Err(refuse("bits beyond the prefix are set"));
        }
        Ok(matcher)
    }
}

impl TryFrom<String> for MacMatcher {
    type Error = MatcherError;
    fn try_from(text: String) -> Result<Self, MatcherError> {
        text.parse()
    }
}

impl From<MacMatcher> for String {
    fn from(matcher: MacMatcher) -> String {
        matcher.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        for (text, shown, fits, does_not) in [
            ("52:54:00:00:00:01", "52:54:00:00:00:01", "52:54:00:00:00:01", "52:54:00:00:00:00"),
            ("52-54-00-*", "52:54:00:*", "52:54:00:ff:ff:ff", "52:54:01:00:00:00"),
            ("52:54:00:00:00:00/24", "52:54:00:*", "52:54:00:00:00:01", "52:55:00:00:00:01"),
            ("52:54:00:00:00:00/23", "52:54:00:00:00:00/23", "52:54:01:ff:00:01", "52:54:02:00:00:01"),
            ("52:54:00:00:00:02/47", "52:54:00:00:00:02/47", "52:54:00:00:00:03", "52:54:00:00:00:01"),
            ("52:54:00:00:00:02/48", "52:54:00:00:00:02", "52:54:00:00:00:02", "52:54:00:00:00:03"),
        ] {
            let matcher: MacMatcher = text.parse().unwrap();
            assert_eq!(matcher.to_string(), shown);
            assert!(matcher.matches(fits.parse().unwrap()), "{text} does not fit {fits}");
            assert!(!matcher.matches(does_not.parse().unwrap()), "{text} fits {does_not}");
        }
    }

    #[test]
    fn bad_texts_are_refused() {
        for bad in [
            "",
            "*",
            ":*",
            "52*",
            "52:54:00:00:00:01:*",
            "52:54:0:*",
            "52:*:00:00:00:00",
            "52:54:00:00:00:00/0",
            "52:54:00:00:00:00/49",
            "52:54:00:00:00:00/300",
            "52:54:00:00:00:00/+8",
            "52:54:00:00:00:00/",
            "52:54:00:00:00:01/24",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "あ*",
        ] {
            assert!(bad.parse::<MacMatcher>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips_and_matching_is_by_leading_bits(a in 0u64..1 << 48, b in 0u64..1 << 48, bits in 1u8..=48) {
            let matcher = MacMatcher::prefix(Mac::from_u64(a & !(1 << 40)), bits).unwrap();
            if matcher.value != Mac::ZERO || bits < 48 {
                prop_assert_eq!(matcher.to_string().parse::<MacMatcher>(), Ok(matcher));
            }
            let naive = format!("{:048b}", matcher.value.to_u64())[..bits.into()] == format!("{b:048b}")[..bits.into()];
            prop_assert_eq!(matcher.matches(Mac::from_u64(b)), naive);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<MacMatcher>();
        }
    }
}
