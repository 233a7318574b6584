//! Switches, ports and where they stand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ModelError, Name};

/// A switch's datapath id (OpenFlow 1.3, A.3.1), written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dpid(pub u64);

impl fmt::Display for Dpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
impl fmt::Debug for Dpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Dpid {
    type Err = ModelError;
    fn from_str(s: &str) -> Result<Self, ModelError> {
        let digits = s.strip_prefix("0x").unwrap_or(s);
        if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ModelError::Dpid(s.chars().take(40).collect()));
        }
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| ModelError::Dpid(s.to_owned()))
    }
}
impl TryFrom<String> for Dpid {
    type Error = ModelError;
    fn try_from(s: String) -> Result<Self, ModelError> {
        s.parse()
    }
}
impl From<Dpid> for String {
    fn from(d: Dpid) -> String {
        d.to_string()
    }
}

/// An OpenFlow port number. Reserved numbers (OpenFlow 1.3, A.2.1) start at 0xffffff00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortNo(pub u32);

impl PortNo {
    /// The largest number of a physical or logical port.
    pub const MAX: PortNo = PortNo(0xffff_ff00);
    /// Send out of the port the packet came in by.
    pub const IN_PORT: PortNo = PortNo(0xffff_fff8);
    /// The controller.
    pub const CONTROLLER: PortNo = PortNo(0xffff_fffd);
    /// The switch's own network stack.
    pub const LOCAL: PortNo = PortNo(0xffff_fffe);
    /// No port.
    pub const ANY: PortNo = PortNo(0xffff_ffff);
}

impl fmt::Display for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LOCAL => f.pad("LOCAL"),
            Self::CONTROLLER => f.pad("CONTROLLER"),
            Self(n) => fmt::Display::fmt(&n, f),
        }
    }
}

/// Where an endpoint is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The switch.
    pub switch: Dpid,
    /// The port.
    pub port: PortNo,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.switch, self.port)
    }
}

/// What is behind a port, and so what may be believed of frames that come in by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// One endpoint.
    Access,
    /// An ordinary switch with several endpoints; traffic between them cannot be seen here.
    Shared,
    /// Another switch of this site.
    Uplink,
    /// Another site.
    Tunnel,
    /// A security function, or the node's own network stack.
    Service,
    /// A network outside FSEG: a legacy network or the Internet.
    Legacy,
}

impl PortKind {
    /// True for ports where unknown endpoints may ask to be admitted.
    pub fn admits(self) -> bool {
        matches!(self, Self::Access | Self::Shared)
    }
}

/// A place by name: site, switch, port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlacePath {
    /// The site.
    pub site: Name,
    /// The switch's name.
    pub switch: Name,
    /// The port's name.
    pub port: Name,
}

impl fmt::Display for PlacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}/{}", self.site, self.switch, self.port))
    }
}
impl FromStr for PlacePath {
    type Err = ModelError;
    fn from_str(s: &str) -> Result<Self, ModelError> {
        let refuse = || ModelError::Place(s.chars().take(200).collect());
        let mut parts = s.split('/');
        let mut next = || parts.next().ok_or_else(refuse).and_then(|p| Name::new(p).map_err(|_| refuse()));
        let place = Self { site: next()?, switch: next()?, port: next()? };
        if parts.next().is_some() { Err(refuse()) } else { Ok(place) }
    }
}
impl TryFrom<String> for PlacePath {
    type Error = ModelError;
    fn try_from(s: String) -> Result<Self, ModelError> {
        s.parse()
    }
}
impl From<PlacePath> for String {
    fn from(p: PlacePath) -> String {
        p.to_string()
    }
}

/// Places by pattern: each of site, switch and port is a name or `*`, as in `tokyo/sw3/*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlacePattern([Option<Name>; 3]);

impl PlacePattern {
    /// True when the place fits.
    pub fn matches(&self, place: &PlacePath) -> bool {
        let [site, switch, port] = &self.0;
        site.as_ref().is_none_or(|n| *n == place.site)
            && switch.as_ref().is_none_or(|n| *n == place.switch)
            && port.as_ref().is_none_or(|n| *n == place.port)
    }
}

impl fmt::Display for PlacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = self.0.each_ref().map(|n| n.as_ref().map_or("*", Name::as_str));
        f.pad(&format!("{a}/{b}/{c}"))
    }
}
impl FromStr for PlacePattern {
    type Err = ModelError;
    fn from_str(s: &str) -> Result<Self, ModelError> {
        let refuse = || ModelError::Place(s.chars().take(200).collect());
        let mut parts = s.split('/');
        let mut next = || match parts.next() {
            Some("*") => Ok(None),
            Some(p) => Name::new(p).map(Some).map_err(|_| refuse()),
            None => Err(refuse()),
        };
        let pattern = Self([next()?, next()?, next()?]);
        if parts.next().is_some() { Err(refuse()) } else { Ok(pattern) }
    }
}
impl TryFrom<String> for PlacePattern {
    type Error = ModelError;
    fn try_from(s: String) -> Result<Self, ModelError> {
        s.parse()
    }
}
impl From<PlacePattern> for String {
    fn from(p: PlacePattern) -> String {
        p.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_part() {
        let place: PlacePath = "tokyo/sw3/p7".parse().unwrap();
        for (pattern, fits) in [
            ("tokyo/sw3/*", true),
            ("*/*/*", true),
            ("tokyo/sw3/p7", true),
            ("tokyo/sw3/p8", false),
            ("osaka/*/*", false),
        ] {
            assert_eq!(pattern.parse::<PlacePattern>().unwrap().matches(&place), fits, "{pattern}");
        }
        for bad in ["", "tokyo", "tokyo/sw3", "tokyo/sw3/p7/x", "tokyo//p7", "to*/sw3/p7"] {
            assert!(bad.parse::<PlacePattern>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn dpids_are_hexadecimal() {
        assert_eq!("0x2a".parse::<Dpid>().unwrap(), Dpid(42));
        assert_eq!(Dpid(42).to_string(), "000000000000002a");
        for bad in ["", "0x", "+1", "12345678901234567", "g"] {
            assert!(bad.parse::<Dpid>().is_err(), "{bad:?} was accepted");
        }
    }
}
