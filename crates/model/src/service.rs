//! Services as protocols and ports, and one connection's protocol and port.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ModelError;

/// An IP protocol number (IPv4 protocol, IPv6 next header; IANA registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    /// ICMP for IPv4.
    pub const ICMP: IpProtocol = IpProtocol(1);
    /// TCP.
    pub const TCP: IpProtocol = IpProtocol(6);
    /// UDP.
    pub const UDP: IpProtocol = IpProtocol(17);
    /// ICMP for IPv6.
    pub const ICMPV6: IpProtocol = IpProtocol(58);
    /// SCTP.
    pub const SCTP: IpProtocol = IpProtocol(132);

    /// True when the protocol has 16-bit source and destination ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

impl fmt::Display for IpProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.pad("icmp"),
            Self::TCP => f.pad("tcp"),
            Self::UDP => f.pad("udp"),
            Self::ICMPV6 => f.pad("icmp6"),
            Self::SCTP => f.pad("sctp"),
            Self(n) => f.pad(&format!("ip/{n}")),
        }
    }
}

/// An inclusive range of 16-bit ports (or ICMP types), `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: PortRange = PortRange { first: 0, last: u16::MAX };

    /// A range; `None` when it is upside down.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }
    /// One port.
    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }
    /// The lowest port.
    pub fn first(self) -> u16 {
        self.first
    }
    /// The highest port.
    pub fn last(self) -> u16 {
        self.last
    }
    /// True when the port is in the range.
    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// The fewest `(value, mask)` pairs that together cover exactly this range: at most 30.
    pub fn masks(self) -> Vec<(u16, u16)> {
        let mut out = Vec::new();
        let (mut low, high) = (u32::from(self.first), u32::from(self.last));
        while low <= high {
            // The largest aligned block that starts at `low` and does not pass `high`.
            let align = if low == 0 { 16 } else { low.trailing_zeros().min(16) };
            let room = (high - low + 1).ilog2();
            let bits = align.min(room);
            let mask = (0xffff_u32 << bits) & 0xffff;
            out.push((low as u16, mask as u16));
            low += 1 << bits;
        }
        out
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// What one connection asks for: the protocol and destination port of its first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// The IP protocol.
    pub protocol: IpProtocol,
    /// Destination port; for ICMP the type; 0 for protocols that have neither.
    pub port: u16,
}

impl Flow {
    /// TCP to a port.
    pub fn tcp(port: u16) -> Self {
        Self { protocol: IpProtocol::TCP, port }
    }
    /// UDP to a port.
    pub fn udp(port: u16) -> Self {
        Self { protocol: IpProtocol::UDP, port }
    }
    /// An ICMP echo request (type 8), as `ping` sends it.
    pub const PING: Flow = Flow { protocol: IpProtocol::ICMP, port: 8 };
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            IpProtocol::ICMP if self.port == 8 => f.pad("icmp/echo"),
            p if p.has_ports() || p == IpProtocol::ICMP || p == IpProtocol::ICMPV6 => {
                f.pad(&format!("{p}/{}", self.port))
            }
            p => f.pad(&p.to_string()),
        }
    }
}

impl FromStr for Flow {
    type Err = ModelError;
    /// `tcp/80`, `udp/53`, `icmp/echo`, `ip/47`: a service term that names exactly one port.
    fn from_str(s: &str) -> Result<Self, ModelError> {
        let term: ServiceTerm = s.parse()?;
        let refuse = |reason| ModelError::Service { value: s.chars().take(80).collect(), reason };
        let protocol = term.protocol.ok_or_else(|| refuse("one connection has one protocol"))?;
        if term.ports == PortRange::ALL
            && !(protocol.has_ports() || matches!(protocol, IpProtocol::ICMP | IpProtocol::ICMPV6))
        {
            return Ok(Self { protocol, port: 0 });
        }
        if term.ports.first() != term.ports.last() {
            return Err(refuse("one connection has one port"));
        }
        Ok(Self { protocol, port: term.ports.first() })
    }
}

/// One line of a service: `any`, `tcp/80`, `udp/5000-5100`, `icmp/echo`, `icmp`, `ip/47`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceTerm {
    /// The protocol; `None` stands for every protocol.
    pub protocol: Option<IpProtocol>,
    /// Destination ports, or ICMP types; `ALL` where the protocol has neither.
    pub ports: PortRange,
}

impl ServiceTerm {
    /// Every protocol and port.
    pub const ANY: ServiceTerm = ServiceTerm { protocol: None, ports: PortRange::ALL };

    /// True when this term covers the connection.
    pub fn covers(&self, flow: Flow) -> bool {
        self.protocol.is_none_or(|p| p == flow.protocol) && self.ports.contains(flow.port)
    }
}

impl fmt::Display for ServiceTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            None => f.pad("any"),
            Some(p) if self.ports == PortRange::ALL && !p.has_ports() => f.pad(&p.to_string()),
            Some(IpProtocol::ICMP) if self.ports == PortRange::one(8) => f.pad("icmp/echo"),
            Some(p) => f.pad(&format!("{p}/{}", self.ports)),
        }
    }
}

impl FromStr for ServiceTerm {
    type Err = ModelError;
    fn from_str(s: &str) -> Result<Self, ModelError> {
        let refuse = |reason| ModelError::Service { value: s.chars().take(80).collect(), reason };
        let number = |t: &str| -> Result<u16, ModelError> {
            if t.is_empty() || !t.bytes().all(|b| b.is_ascii_digit()) {
                return Err(refuse("a port is a number from 0 to 65535"));
            }
            t.parse().map_err(|_| refuse("a port is a number from 0 to 65535"))
        };
        let range = |t: &str| -> Result<PortRange, ModelError> {
            match t.split_once('-') {
                Some((a, b)) => {
                    PortRange::new(number(a)?, number(b)?).ok_or_else(|| refuse("the range is upside down"))
                }
                None => number(t).map(PortRange::one),
            }
        };
        let (word, rest) = match s.split_once('/') {
            Some((w, r)) => (w, Some(r)),
            None => (s, None),
        };
        let with = |protocol, ports| Ok(Self { protocol: Some(protocol), ports });
        match (word, rest) {
            ("any", None) => Ok(Self::ANY),
            ("tcp" | "udp" | "sctp", None) => Err(refuse("say which ports, for example tcp/443 or tcp/0-65535")),
            ("tcp", Some(r)) => with(IpProtocol::TCP, range(r)?),
            ("udp", Some(r)) => with(IpProtocol::UDP, range(r)?),
            ("sctp", Some(r)) => with(IpProtocol::SCTP, range(r)?),
            ("icmp", None) => with(IpProtocol::ICMP, PortRange::ALL),
            ("icmp", Some("echo")) => with(IpProtocol::ICMP, PortRange::one(8)),
            ("icmp6", None) => with(IpProtocol::ICMPV6, PortRange::ALL),
            ("icmp6", Some("echo")) => with(IpProtocol::ICMPV6, PortRange::one(128)),
            ("icmp" | "icmp6", Some(r)) => {
                let types = range(r)?;
                if types.last() > 255 {
                    return Err(refuse("an ICMP type is a number from 0 to 255"));
                }
                with(if word == "icmp" { IpProtocol::ICMP } else { IpProtocol::ICMPV6 }, types)
            }
            ("ip", Some(r)) => match u8::try_from(number(r)?) {
                Ok(p) if IpProtocol(p).has_ports() => Err(refuse("write tcp/PORT, udp/PORT or sctp/PORT")),
                Ok(p) => with(IpProtocol(p), PortRange::ALL),
                Err(_) => Err(refuse("an IP protocol is a number from 0 to 255")),
            },
            _ => Err(refuse("expected tcp/PORT, udp/PORT, sctp/PORT, icmp, icmp/TYPE, icmp6, ip/NUMBER or any")),
        }
    }
}
impl TryFrom<String> for ServiceTerm {
    type Error = ModelError;
    fn try_from(s: String) -> Result<Self, ModelError> {
        s.parse()
    }
}
impl From<ServiceTerm> for String {
    fn from(t: ServiceTerm) -> String {
        t.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cover_exactly_the_range() {
        for (a, b) in [(0, 0), (80, 80), (5000, 5100), (1, 65534), (0, 65535), (1024, 65535), (65535, 65535), (6, 9)] {
            let masks = PortRange::new(a, b).unwrap().masks();
            assert!(masks.len() <= 30);
            for p in 0..=u16::MAX {
                let hits = masks.iter().filter(|(v, m)| p & m == *v).count();
                assert_eq!(hits, usize::from((a..=b).contains(&p)), "{p} in {a}-{b}");
            }
        }
    }

    #[test]
    fn terms_round_trip_and_refuse() {
        for ok in [
            "any",
            "tcp/80",
            "tcp/0-65535",
            "udp/5000-5100",
            "icmp/echo",
            "icmp",
            "icmp/3",
            "ip/47",
            "sctp/36412",
            "icmp6/128",
        ] {
            assert_eq!(ok.parse::<ServiceTerm>().unwrap().to_string(), ok);
        }
        for bad in [
            "",
            "tcp",
            "tcp/",
            "tcp/x",
            "tcp/65536",
            "tcp/90-80",
            "tcp/80-",
            "ip/6",
            "ip/300",
            "icmp/256",
            "TCP/80",
            "tcp/+1",
            "http",
        ] {
            assert!(bad.parse::<ServiceTerm>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_flow_is_one_port() {
        assert_eq!("tcp/80".parse::<Flow>().unwrap(), Flow::tcp(80));
        assert_eq!("icmp/echo".parse::<Flow>().unwrap(), Flow::PING);
        assert_eq!("ip/47".parse::<Flow>().unwrap(), Flow { protocol: IpProtocol(47), port: 0 });
        for bad in ["any", "tcp/1-2", "icmp"] {
            assert!(bad.parse::<Flow>().is_err(), "{bad:?} was accepted");
        }
    }
}
