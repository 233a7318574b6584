//! Where a server listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::OvsdbError;

/// Where a server listens: `unix:/run/openvswitch/db.sock`, `tcp:127.0.0.1:6640`, `ssl:[2001:db8::1]:6640`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A unix socket.
    Unix(PathBuf),
    /// A host (name or address, without brackets) and a port.
    Tcp(String, u16),
    /// The same, reached over TLS with a certificate on either side.
    Ssl(String, u16),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) | Self::Ssl(host, port) => {
                let scheme = if matches!(self, Self::Tcp(..)) { "tcp" } else { "ssl" };
                if host.contains(':') {
                    write!(f, "{scheme}:[{host}]:{port}")
                } else {
                    write!(f, "{scheme}:{host}:{port}")
                }
            }
        }
    }
}

impl FromStr for Remote {
    type Err = OvsdbError;
    fn from_str(text: &str) -> Result<Self, OvsdbError> {
        let refuse = || OvsdbError::Remote(text.chars().take(200).collect());
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some((scheme @ ("tcp" | "ssl"), rest)) => {
                let (host, port) = rest.rsplit_once(':').ok_or_else(refuse)?;
                let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                let valid = match bare {
                    Some(h) => h.parse::<std::net::Ipv6Addr>().is_ok(),
                    None => !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']),
                };
                let port = port.parse().ok().filter(|&p| p > 0).ok_or_else(refuse)?;
                let host = bare.unwrap_or(host).to_owned();
                match (valid, scheme) {
                    (false, _) => Err(refuse()),
                    (true, "ssl") => Ok(Self::Ssl(host, port)),
                    (true, _) => Ok(Self::Tcp(host, port)),
                }
            }
            _ => Err(refuse()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read_and_written() {
        for text in [
            "unix:/run/db.sock",
            "tcp:127.0.0.1:6640",
            "tcp:[::1]:6640",
            "tcp:ovs.example:1",
            "ssl:[2001:db8::1]:6640",
            "ssl:a:1",
        ] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "unix:",
            "tcp:",
            "tcp:1.2.3.4",
            "tcp::6640",
            "tcp:a:0",
            "tcp:a:70000",
            "tcp:::1:6640",
            "ssl:a",
            "ssl::1",
            "pssl:a:1",
            "tcp:[x]:1",
        ] {
            assert!(bad.parse::<Remote>().is_err(), "{bad:?} was accepted");
        }
    }
}
