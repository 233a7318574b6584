//! Warnings about what has no effect.

use std::collections::BTreeSet;

use fseg_model::Name;
use fseg_yaml::Reader;
use ipnet::IpNet;

use crate::{Member, Party, Policy};

/// Warns of groups, services and externals that no permit uses, not even through others, and that have no other effect.
pub(super) fn warn(reader: &Reader<'_>, policy: &Policy) {
    let sides = policy.permits.iter().flat_map(|p| p.from.iter().chain(&p.to));
    // A group may exist for the sake of a test.
    let tested = policy.tests.iter().flat_map(|t| [&t.from, &t.to]).filter_map(|party| match party {
        Party::Group(name) => Some(name),
        _ => None,
    });
    let senders = policy.streams.values().flat_map(|s| &s.from);
    let used = closure(sides.chain(tested).chain(senders), |name| {
        let members = policy.groups.get(name).into_iter().flat_map(|group| &group.members);
        members.filter_map(|member| if let Member::Group(nested) = member { Some(nested) } else { None }).collect()
    });
    let services = closure(policy.permits.iter().flat_map(|p| &p.services), |name| {
        policy.services.get(name).into_iter().flat_map(|service| &service.lists).collect()
    });
    let help = "name it in a permit, or remove it";
    for group in policy.groups.values().filter(|group| !used.contains(&group.name)) {
        reader.warn(group.span, format!("group `{}` is used by no permit", group.name), help);
    }
    let prefixes = policy.external_prefixes();
    for external in policy.externals.values().filter(|external| !used.contains(&external.name)) {
        // It takes its addresses out of a wider external: without it, the wider one's permits would cover them.
        let carves =
            |p: &IpNet| (0..p.prefix_len()).any(|len| supernet(p, len).is_some_and(|w| prefixes.contains_key(&w)));
        if external.prefixes.iter().any(carves) {
            continue;
        }
        reader.warn(external.span, format!("external `{}` is used by no permit", external.name), help);
    }
    for stream in policy.streams.values().filter(|stream| !used.contains(&stream.name)) {
        let help = "write who receives it: a permit with the stream in `to`";
        reader.warn(stream.span, format!("stream `{}` is used by no permit, so nobody receives it", stream.name), help);
    }
    for service in policy.services.values().filter(|service| !services.contains(&service.name)) {
        reader.warn(service.span, format!("service `{}` is used by no permit", service.name), help);
    }
}

/// The network of another length that contains a prefix.
fn supernet(prefix: &IpNet, length: u8) -> Option<IpNet> {
    IpNet::new(prefix.addr(), length).ok().map(|net| net.trunc())
}

/// These names and all that they lead to.
fn closure<'p>(names: impl Iterator<Item = &'p Name>, next: impl Fn(&'p Name) -> Vec<&'p Name>) -> BTreeSet<&'p Name> {
    let mut all: BTreeSet<&Name> = names.collect();
    let mut todo: Vec<&Name> = all.iter().copied().collect();
    while let Some(name) = todo.pop() {
        for reached in next(name) {
            if all.insert(reached) {
                todo.push(reached);
            }
        }
    }
    all
}
