//! Is a request meant for the portal itself, or for a site that a stranger tried to reach?

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{Request, header};

/// The portal's own names, compared as lower case, without port and final dot.
#[derive(Debug, Clone)]
pub(super) struct OwnHosts {
    name: Option<String>,
    addresses: Vec<IpAddr>,
}

impl OwnHosts {
    pub(super) fn new(name: Option<&str>, addresses: &[IpAddr]) -> Self {
        Self { name: name.map(plain_name), addresses: addresses.to_vec() }
    }

    /// True when the request's target (its absolute URI, else its one `Host`) is the portal.
    pub(super) fn is_own<B>(&self, request: &Request<B>) -> bool {
        if let Some(authority) = request.uri().authority() {
            return self.matches(authority.as_str());
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().is_ok_and(|h| self.matches(h)),
            _ => false,
        }
    }

    /// True when this `Origin` header is one of the portal's own.
    pub(super) fn is_own_origin(&self, origin: &str) -> bool {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).is_some_and(|h| self.matches(h))
    }

    fn matches(&self, host: &str) -> bool {
        if let Some(rest) = host.strip_prefix('[') {
            let Some((inside, port)) = rest.split_once(']') else { return false };
            let port_ok = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            return port_ok && inside.parse::<Ipv6Addr>().is_ok_and(|a| self.addresses.contains(&a.into()));
        }
        let host = match host.split_once(':') {
            Some((host, port)) if is_port(port) => host,
            Some(_) => return false,
            None => host,
        };
        match host.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.name.as_deref().is_some_and(|own| own == plain_name(host)),
        }
    }
}

fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_names_are_own() {
        let own =
            OwnHosts::new(Some("portal.fseg.internal"), &["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()]);
        for yes in [
            "portal.fseg.internal",
            "PORTAL.fseg.internal.:80",
            "10.0.0.1",
            "10.0.0.1:80",
            "[fd00::1]",
            "[fd00:0::1]:80",
        ] {
            assert!(own.matches(yes), "{yes:?}");
        }
        for no in [
            "",
            ":80",
            "10.0.0.2",
            "10.0.0.1.evil.example",
            "evil.example",
            "portal.fseg.internal.evil.example",
            "user@portal.fseg.internal",
            "portal.fseg.internal:80:80",
            "portal.fseg.internal:x",
            "[fd00::1",
            "[fd00::1]x",
            "[fd00::2]",
            "fd00::1",
            "portal.fseg.internal/",
        ] {
            assert!(!own.matches(no), "{no:?}");
        }
        assert!(own.is_own_origin("http://10.0.0.1") && own.is_own_origin("https://portal.fseg.internal"));
        assert!(!own.is_own_origin("null") && !own.is_own_origin("ftp://10.0.0.1") && !own.is_own_origin("10.0.0.1"));
    }

    #[test]
    fn two_hosts_are_nobodys() {
        let own = OwnHosts::new(Some("portal"), &[]);
        let two = Request::builder().header("host", "portal").header("host", "evil").body(()).unwrap();
        let absolute = Request::builder().uri("http://evil/").header("host", "portal").body(()).unwrap();
        let none = Request::builder().body(()).unwrap();
        assert!(!own.is_own(&two) && !own.is_own(&absolute) && !own.is_own(&none));
        assert!(own.is_own(&Request::builder().header("host", "portal").body(()).unwrap()));
    }
}
