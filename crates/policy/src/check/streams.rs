//! The section `streams`.

use std::collections::BTreeMap;

use fseg_model::Name;
use fseg_yaml::{Entry, Kind, Value, quote};
use ipnet::Ipv4Net;

use super::groups::Draft;
use super::names::{Defined, define, unknown};
use crate::stream::{DISCOVERY, LINK, MULTICAST};
use crate::{External, Stream};

/// The most networks of one stream.
const MAX_ADDRESSES: usize = 256;

impl Defined for Stream {
    fn span(&self) -> fseg_yaml::Span {
        self.span
    }
}

pub(super) fn read(
    section: Value<'_>,
    groups: &BTreeMap<Name, Draft>,
    externals: &BTreeMap<Name, External>,
) -> Option<BTreeMap<Name, Stream>> {
    define(section, "stream", |name, entry| {
        let taken = groups.get(&name).map(|g| ("a group", g.span()));
        if let Some((what, at)) = taken.or(externals.get(&name).map(|e| ("an external", e.span))) {
            let message = format!("`{name}` is already the name of {what} (line {})", at.line);
            entry.value.reader().error_with_help(entry.key.span, message, "give the stream another name");
        }
        let mut stream = Stream { name, addresses: Vec::new(), from: Vec::new(), span: entry.key.span };
        // `None` means that the reason has been reported.
        let _ = fill(&mut stream, entry, groups);
        stream
    })
}

fn fill(stream: &mut Stream, entry: &Entry<'_>, groups: &BTreeMap<Name, Draft>) -> Option<()> {
    let mut map = entry.value.as_map()?;
    let (addresses, from) = (map.required("addresses"), map.required("from"));
    map.finish();
    for item in addresses.and_then(|v| v.as_one_or_many()).unwrap_or_default() {
        stream.addresses.extend(network(item));
    }
    stream.addresses.sort();
    stream.addresses.dedup();
    let senders = from.and_then(|v| v.as_one_or_many());
    for (value, what) in [(addresses, "an address"), (from, "a group that sends")] {
        if let Some(value) = value.filter(|v| matches!(&v.node().value, Kind::List(items) if items.is_empty())) {
            value.error_with_help(format!("stream `{}` lacks {what}", stream.name), "name one, or remove the stream");
        }
    }
    if stream.addresses.len() > MAX_ADDRESSES {
        let message = format!(
            "stream `{}` has {} networks; at most {MAX_ADDRESSES} are accepted",
            stream.name,
            stream.addresses.len()
        );
        entry.value.error_with_help(message, "join neighbouring networks, or split the stream");
    }
    for item in senders.unwrap_or_default() {
        let Some(name) = item.parse::<Name>() else { continue };
        if groups.contains_key(&name) {
            stream.from.push(name);
        } else {
            let message = || format!("stream `{}` names the group `{name}`, which does not exist", stream.name);
            let instead = "define it under `groups:`; only endpoints can send";
            unknown(item.reader(), item.span(), message, name.as_str(), groups.keys(), instead);
        }
    }
    Some(())
}

fn network(item: Value<'_>) -> Option<Ipv4Net> {
    let word = item.as_str()?;
    let parsed = word.parse::<Ipv4Net>().ok().or_else(|| word.parse::<std::net::Ipv4Addr>().ok().map(Ipv4Net::from));
    let Some(net) = parsed else {
        let message = format!("{} is not a multicast address", quote(word));
        item.error_with_help(message, "write an IPv4 address such as 239.10.1.1, or a network such as 239.10.0.0/16");
        return None;
    };
    if net.trunc() != net {
        let message = format!("`{net}` has bits set behind its /{}", net.prefix_len());
        item.error_with_help(message, format!("write `{}`", net.trunc()));
        return None;
    }
    if !MULTICAST.contains(&net) {
        item.error_with_help(
            format!("`{net}` is not multicast"),
            "IPv4 multicast is 224.0.0.0/4; 239.0.0.0/8 is for a site's own use",
        );
        return None;
    }
    if LINK.contains(&net) || net == Ipv4Net::from(DISCOVERY) {
        let message = format!("`{net}` belongs to discovery or routing protocols");
        let help = "leave out 224.0.0.0/24 and 239.255.255.250; a permit for `discovery` passes questions on";
        item.error_with_help(message, help);
        return None;
    }
    Some(net)
}
