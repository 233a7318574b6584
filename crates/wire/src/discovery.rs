//! Finding each other by multicast: which protocol a packet is of, and whether it asks or answers. The contents are the
//! endpoints' own business.

use std::net::Ipv4Addr;

/// A protocol by which endpoints find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Discovery {
    /// Multicast DNS (RFC 6762).
    Mdns,
    /// SSDP of UPnP (UPnP Device Architecture 2.0, section 1).
    Ssdp,
    /// Link-local multicast name resolution (RFC 4795).
    Llmnr,
    /// Web Services Dynamic Discovery (OASIS WS-Discovery 1.1).
    WsDiscovery,
}

/// What a packet of such a protocol is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// It asks who is there.
    Question,
    /// It says who is there: an answer, an announcement, a farewell.
    Statement,
}

impl Discovery {
    /// All of them.
    pub const ALL: [Discovery; 4] = [Self::Mdns, Self::Ssdp, Self::Llmnr, Self::WsDiscovery];

    /// Where it asks.
    pub fn group(self) -> Ipv4Addr {
        match self {
            Self::Mdns => Ipv4Addr::new(224, 0, 0, 251),
            Self::Llmnr => Ipv4Addr::new(224, 0, 0, 252),
            Self::Ssdp | Self::WsDiscovery => Ipv4Addr::new(239, 255, 255, 250),
        }
    }

    /// Its UDP port.
    pub fn port(self) -> u16 {
        match self {
            Self::Mdns => 5353,
            Self::Ssdp => 1900,
            Self::Llmnr => 5355,
            Self::WsDiscovery => 3702,
        }
    }

    /// The protocol of a UDP port.
    pub fn of_port(port: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.port() == port)
    }

    /// Its name, as the policy has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mdns => "mdns",
            Self::Ssdp => "ssdp",
            Self::Llmnr => "llmnr",
            Self::WsDiscovery => "ws-discovery",
        }
    }

    /// What a UDP payload is for; `None` when it is not of this protocol.
    pub fn purpose(self, payload: &[u8]) -> Option<Purpose> {
        match self {
            // RFC 1035, 4.1.1: twelve octets of header; the top bit of the third says "response".
            Self::Mdns | Self::Llmnr => match payload {
                &[_, _, flags, _, _, _, _, _, _, _, _, _, ..] if flags & 0x78 == 0 => {
                    Some(if flags & 0x80 == 0 { Purpose::Question } else { Purpose::Statement })
                }
                _ => None,
            },
            Self::Ssdp => [
                (&b"M-SEARCH * HTTP/1.1\r\n"[..], Purpose::Question),
                (b"NOTIFY * HTTP/1.1\r\n", Purpose::Statement),
                (b"HTTP/1.1 200 OK\r\n", Purpose::Statement),
            ]
            .into_iter()
            .find(|(start, _)| payload.starts_with(start))
            .map(|(_, purpose)| purpose),
            Self::WsDiscovery => web_service(payload),
        }
    }
}

/// The action of a SOAP envelope: the last word of its URI says what it is (WS-Discovery 1.1, appendix A; the same words
/// stand in the URIs of the version of 2005, which printers speak).
fn web_service(payload: &[u8]) -> Option<Purpose> {
    let text = std::str::from_utf8(payload).ok()?;
    let (_, rest) = text.split_once("Action")?;
    let uri = rest.split_once('>')?.1.split('<').next()?.trim();
    let (before, word) = uri.rsplit_once('/')?;
    if !before.contains("discovery") {
        return None;
    }
    match word {
        "Probe" | "Resolve" => Some(Purpose::Question),
        "Hello" | "Bye" | "ProbeMatches" | "ResolveMatches" => Some(Purpose::Statement),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn questions_and_statements_are_told_apart() {
        use Purpose::{Question, Statement};
        let dns = |flags| [0, 0, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let soap = |action: &str| {
            format!("<?xml version=\"1.0\"?><e:Envelope><e:Header><w:Action e:mustUnderstand=\"1\">{action}</w:Action>")
        };
        let old = "http://schemas.xmlsoap.org/ws/2005/04/discovery";
        let new = "http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01";
        for (protocol, payload, purpose) in [
            (Discovery::Mdns, dns(0).to_vec(), Some(Question)),
            (Discovery::Mdns, dns(0x84).to_vec(), Some(Statement)),
            (Discovery::Llmnr, dns(0x80).to_vec(), Some(Statement)),
            (Discovery::Mdns, dns(0x28).to_vec(), None),
            (Discovery::Mdns, dns(0)[..11].to_vec(), None),
            (Discovery::Ssdp, b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n".to_vec(), Some(Question)),
            (Discovery::Ssdp, b"NOTIFY * HTTP/1.1\r\n".to_vec(), Some(Statement)),
            (Discovery::Ssdp, b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Some(Statement)),
            (Discovery::Ssdp, b"GET / HTTP/1.1\r\n".to_vec(), None),
            (Discovery::WsDiscovery, soap(&format!("{old}/Probe")).into(), Some(Question)),
            (Discovery::WsDiscovery, soap(&format!("{new}/ProbeMatches")).into(), Some(Statement)),
            (Discovery::WsDiscovery, soap(&format!("{new}/Hello")).into(), Some(Statement)),
            (Discovery::WsDiscovery, soap("http://evil.example/Probe").into(), None),
            (Discovery::WsDiscovery, b"<Action".to_vec(), None),
            (Discovery::WsDiscovery, vec![0xff, 0xfe], None),
        ] {
            assert_eq!(protocol.purpose(&payload), purpose, "{protocol:?} {payload:02x?}");
        }
    }

    #[test]
    fn ports_lead_back() {
        for d in Discovery::ALL {
            assert_eq!(Discovery::of_port(d.port()), Some(d));
            assert!(d.group().is_multicast());
        }
        assert_eq!(Discovery::of_port(53), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for d in Discovery::ALL {
                let _ = d.purpose(&bytes);
            }
        }

        #[test]
        fn any_text_is_survived(text in ".{0,20}Action.{0,20}>.{0,20}") {
            let _ = Discovery::WsDiscovery.purpose(text.as_bytes());
        }
    }
}
