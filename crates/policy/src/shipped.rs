//! Services that everybody means the same by: usable without being defined. A policy that defines one of these names means
//! its own.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fseg_model::{Name, ServiceTerm};

use crate::merge_terms;

/// A service that comes with FSEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShippedService {
    /// Its name.
    pub name: Name,
    /// What it covers: sorted, without overlaps.
    pub terms: Vec<ServiceTerm>,
    /// What it is, in a few words.
    pub what: &'static str,
}

/// Name, terms, meaning. Ports are those of IANA's registry (RFC 6335), unless the meaning names something else.
const TABLE: &[(&str, &[&str], &str)] = &[
    ("bgp", &["tcp/179"], "routes between networks"),
    ("coap", &["udp/5683", "udp/5684"], "things, with and without DTLS"),
    ("dicom", &["tcp/104", "tcp/2762", "tcp/11112"], "medical images"),
    ("dns", &["udp/53", "tcp/53", "tcp/853"], "names, also over TLS"),
    ("ftp", &["tcp/21"], "files; the control connection only, so passive data needs ports of its own"),
    ("git", &["tcp/9418"], "git's own protocol"),
    ("hl7", &["tcp/2575"], "medical messages"),
    ("http", &["tcp/80"], "the web without TLS"),
    ("https", &["tcp/443"], "the web over TLS"),
    ("imap", &["tcp/143", "tcp/993"], "reading mail"),
    ("ipp", &["tcp/631"], "printing, also driverless"),
    ("iscsi", &["tcp/3260"], "disks over the network"),
    ("jetdirect", &["tcp/9100"], "raw printing"),
    ("kerberos", &["tcp/88", "udp/88", "tcp/464", "udp/464"], "tickets and passwords of a domain"),
    ("ldap", &["tcp/389", "udp/389", "tcp/636", "tcp/3268", "tcp/3269"], "directories, also over TLS"),
    ("llmnr", &["udp/5355"], "names by multicast (Windows); questions are passed on by this permit"),
    ("lpd", &["tcp/515"], "printing, the old way"),
    ("mdns", &["udp/5353"], "finding by multicast DNS (Bonjour); questions are passed on by this permit"),
    ("modbus", &["tcp/502"], "controllers of machines"),
    ("mqtt", &["tcp/1883", "tcp/8883"], "messages of things, also over TLS"),
    ("mssql", &["tcp/1433", "udp/1434"], "Microsoft SQL Server"),
    ("mysql", &["tcp/3306"], "MySQL and MariaDB"),
    ("nfs", &["tcp/2049", "udp/2049"], "files (NFS version 4)"),
    ("ntp", &["udp/123"], "time"),
    ("opc-ua", &["tcp/4840"], "data of machines"),
    ("ping", &["icmp/echo"], "is it there?"),
    ("pop3", &["tcp/110", "tcp/995"], "fetching mail"),
    ("postgresql", &["tcp/5432"], "PostgreSQL"),
    ("radius", &["udp/1812", "udp/1813"], "authentication and accounting"),
    ("rdp", &["tcp/3389", "udp/3389"], "Windows desktops"),
    ("rsync", &["tcp/873"], "copies of files"),
    ("rtp", &["udp/5004-5005"], "media streams"),
    ("rtsp", &["tcp/554", "udp/554"], "control of media streams"),
    ("s7", &["tcp/102"], "Siemens controllers"),
    ("sip", &["udp/5060", "tcp/5060", "tcp/5061"], "telephony: signalling only"),
    ("smb", &["tcp/445"], "Windows files"),
    ("smtp", &["tcp/25", "tcp/465", "tcp/587"], "sending mail"),
    ("snmp", &["udp/161"], "asking devices how they are"),
    ("snmp-trap", &["udp/162"], "devices that say how they are"),
    ("ssdp", &["udp/1900"], "finding by SSDP (UPnP); questions are passed on by this permit"),
    ("ssh", &["tcp/22"], "remote shells and file copies"),
    ("syslog", &["udp/514", "tcp/514", "tcp/6514"], "logs, also over TLS"),
    ("telnet", &["tcp/23"], "remote shells without protection"),
    ("tftp", &["udp/69"], "files for starting devices"),
    ("vnc", &["tcp/5900-5909"], "remote desktops"),
    ("wake-on-lan", &["udp/7", "udp/9"], "waking sleeping endpoints; magic packets are passed on by this permit"),
    ("web", &["tcp/80", "tcp/443"], "the web"),
    ("ws-discovery", &["udp/3702"], "finding by WS-Discovery; questions are passed on by this permit"),
    ("x11", &["tcp/6000-6063"], "X displays"),
];

/// Services that list others.
const LISTS: &[(&str, &[&str], &str)] =
    &[("discovery", &["mdns", "ssdp", "llmnr", "ws-discovery"], "all four ways of finding by multicast")];

static SHIPPED: LazyLock<BTreeMap<Name, ShippedService>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    for (name, terms, what) in TABLE {
        let Ok(name) = Name::new(name) else { continue };
        let terms = merge_terms(terms.iter().filter_map(|t| t.parse().ok()));
        all.insert(name.clone(), ShippedService { name, terms, what });
    }
    for (name, names, what) in LISTS {
        let Ok(name) = Name::new(name) else { continue };
        let listed = names.iter().filter_map(|n| Name::new(n).ok());
        let terms: Vec<_> =
            listed.filter_map(|n| all.get(&n)).flat_map(|s: &ShippedService| s.terms.iter().copied()).collect();
        all.insert(name.clone(), ShippedService { name, terms: merge_terms(terms), what });
    }
    all
});

/// Every service that comes with FSEG, by name.
pub fn shipped_services() -> &'static BTreeMap<Name, ShippedService> {
    &SHIPPED
}

#[cfg(test)]
mod tests {
    use fseg_model::Flow;

    use super::*;

    #[test]
    fn every_line_is_a_service() {
        for (name, terms, _) in TABLE {
            let shipped = &shipped_services()[&Name::new(name).unwrap()];
            let parsed = merge_terms(terms.iter().map(|t| t.parse().unwrap()));
            assert_eq!(shipped.terms, parsed, "{name}");
            assert!(!parsed.is_empty() && !shipped.what.is_empty(), "{name}");
        }
        assert_eq!(shipped_services().len(), TABLE.len() + LISTS.len(), "a name twice");
        assert!(TABLE.is_sorted_by_key(|(name, ..)| *name));
    }

    #[test]
    fn lists_cover_what_they_list() {
        for (name, names, _) in LISTS {
            let all = &shipped_services()[&Name::new(name).unwrap()].terms;
            let each: Vec<_> = names.iter().map(|n| &shipped_services()[&Name::new(n).unwrap()].terms).collect();
            for port in 0..=u16::MAX {
                let covered = |terms: &[ServiceTerm]| terms.iter().any(|t| t.covers(Flow::udp(port)));
                assert_eq!(covered(all), each.iter().any(|t| covered(t)), "{name} {port}");
            }
        }
    }
}
