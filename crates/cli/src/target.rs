//! Which node, and by which way.

use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The port of a node's API where an address names none.
const PORT: u16 = 7443;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// This machine's own, by its socket.
    Unix(PathBuf),
    /// Any, by TLS.
    Https {
        /// DNS name or address, IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// Why a text is no node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected unix:/path/to/socket or https://host[:port]")]
pub(crate) struct TargetError;

impl FromStr for Target {
    type Err = TargetError;
    fn from_str(s: &str) -> Result<Self, TargetError> {
        if let Some(path) = s.strip_prefix("unix:") {
            return if path.is_empty() { Err(TargetError) } else { Ok(Self::Unix(path.into())) };
        }
        let rest = s.strip_prefix("https://").ok_or(TargetError)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(TargetError)?,
            None => rest.find(':').map_or((rest, ""), |at| rest.split_at(at)),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| TargetError)?,
            None if port.is_empty() => PORT,
            None => return Err(TargetError),
        };
        let plain = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_'));
        if host.is_empty() || !plain { Err(TargetError) } else { Ok(Self::Https { host: host.to_owned(), port }) }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Https { host, port } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Https { host, port } => write!(f, "https://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_shown() {
        for (text, shown) in [
            ("unix:/run/fseg/api.sock", "unix:/run/fseg/api.sock"),
            ("https://node", "https://node:7443"),
            ("https://10.0.0.1:1/", "https://10.0.0.1:1"),
            ("https://[fd00::1]", "https://[fd00::1]:7443"),
            ("https://[fd00::1]:443", "https://[fd00::1]:443"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "unix:",
            "http://node",
            "https://",
            "https://:1",
            "https://node:",
            "https://node:x",
            "https://node:70000",
            "https://node/api",
            "https://[fd00::1",
            "https://[fd00::1]1",
            "https://user@node",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?} was accepted");
        }
    }
}
