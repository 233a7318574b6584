//! The section `externals`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fseg_model::Name;
use fseg_yaml::{Entry, Value, quote};
use ipnet::IpNet;

use super::groups::Draft;
use super::names::{Defined, define};
use crate::{External, is_domain};

pub(super) fn read(section: Value<'_>, groups: &BTreeMap<Name, Draft>) -> Option<BTreeMap<Name, External>> {
    define(section, "external", |name, entry| {
        if let Some(group) = groups.get(&name) {
            let message = format!("`{name}` is already the name of a group (line {})", group.span().line);
            entry.value.reader().error_with_help(entry.key.span, message, "give the external another name");
        }
        let mut external = External { name, prefixes: Vec::new(), domains: Vec::new(), span: entry.key.span };
        // `None` means that the reason has been reported.
        let _ = fill(&mut external, entry);
        external
    })
}

fn fill(external: &mut External, entry: &Entry<'_>) -> Option<()> {
    let mut map = entry.value.as_map()?;
    let (cidr, domains) = (map.optional("cidr"), map.optional("domains"));
    if !map.has("cidr") && !map.has("domains") {
        let message = format!("external `{}` has neither `cidr` nor `domains`", external.name);
        let help = "write `cidr: [192.0.2.0/24]`; the whole Internet is `cidr: [0.0.0.0/0, \"::/0\"]`";
        entry.value.error_with_help(message, help);
    }
    map.finish();
    for item in cidr.and_then(|v| v.as_one_or_many()).unwrap_or_default() {
        external.prefixes.extend(prefix(item));
    }
    external.prefixes.sort();
    external.prefixes.dedup();
    let items = domains.and_then(|v| v.as_one_or_many()).unwrap_or_default();
    external.domains.extend(items.into_iter().filter_map(domain));
    Some(())
}

fn prefix(item: Value<'_>) -> Option<IpNet> {
    let word = item.as_str()?;
    let Ok(prefix) = word.parse::<IpNet>() else {
        let help = match word.parse::<IpAddr>() {
            Ok(address) => format!("write `{}` for this one address", IpNet::from(address)),
            Err(_) => "write an address and a length, such as 192.0.2.0/24 or \"2001:db8::/32\"".to_owned(),
        };
        item.error_with_help(format!("{} is not a network", quote(word)), help);
        return None;
    };
    let masked = prefix.trunc();
    if masked != prefix {
        let message = format!("`{prefix}` has bits set behind its /{}", prefix.prefix_len());
        let one = IpNet::from(prefix.addr());
        item.error_with_help(message, format!("write `{masked}` for the network, or `{one}` for the one address"));
        return None;
    }
    Some(prefix)
}

/// A domain name (RFC 1035, 2.3.1, letters beyond ASCII allowed), perhaps with `*.` in front.
fn domain(item: Value<'_>) -> Option<String> {
    let word = item.as_str()?;
    let plain = word.strip_prefix("*.").unwrap_or(word);
    if !is_domain(plain) {
        item.error_with_help(
            format!("{} is not a domain name", quote(word)),
            "write office.example, or \"*.office.example\" for all names below it",
        );
        return None;
    }
    Some(word.to_lowercase())
}
