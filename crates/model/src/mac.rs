//! MAC addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// A 48-bit MAC address, most significant octet first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// 00:00:00:00:00:00
    pub const ZERO: Mac = Mac([0; 6]);

    /// The address as a number, for a 48-bit match field.
    pub fn to_u64(self) -> u64 {
        self.0.iter().fold(0, |n, &b| (n << 8) | u64::from(b))
    }

    /// The low 48 bits of a number.
    pub fn from_u64(n: u64) -> Self {
        let b = n.to_be_bytes();
        Self([b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    /// True for addresses that no single device can own (group bit set) and for all zeros.
    pub fn is_unusable_source(self) -> bool {
        self.0[0] & 1 == 1 || self == Self::ZERO
    }

    /// True when the locally-administered bit is set, as randomised addresses of phones have it.
    pub fn is_local(self) -> bool {
        self.0[0] & 2 == 2
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = ModelError;
    fn from_str(s: &str) -> Result<Self, ModelError> {
        let refuse = || ModelError::Mac(s.chars().take(40).collect());
        let mut out = [0; 6];
        let mut parts = s.split([':', '-']);
        for byte in &mut out {
            let part = parts.next().ok_or_else(refuse)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(refuse());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        if parts.next().is_some() {
            return Err(refuse());
        }
        Ok(Self(out))
    }
}

impl TryFrom<String> for Mac {
    type Error = ModelError;
    fn try_from(s: String) -> Result<Self, ModelError> {
        s.parse()
    }
}

impl From<Mac> for String {
    fn from(m: Mac) -> String {
        m.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_round_trip() {
        let m: Mac = "02:F5-e6:00:00:01".parse().unwrap();
        assert_eq!(m.to_string(), "02:f5:e6:00:00:01");
        assert_eq!(Mac::from_u64(m.to_u64()), m);
        for bad in
            ["", "02:f5:e6:00:00", "02:f5:e6:00:00:01:02", "02:f5:e6:00:00:+1", "0:0:0:0:0:0", "zz:00:00:00:00:00"]
        {
            assert!(bad.parse::<Mac>().is_err(), "{bad:?} was accepted");
        }
    }
}
