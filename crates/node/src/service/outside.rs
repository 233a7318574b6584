//! Externals, services and streams as the API shows them.

use fseg_api::{ExternalView, LearnedName, LearnedView, ServiceView, StreamView};
use fseg_control::{Controller, Now};
use fseg_model::{EndpointId, Name};
use fseg_policy::{Permit, shipped_services};

fn texts<T: ToString>(list: impl IntoIterator<Item = T>) -> Vec<String> {
    list.into_iter().map(|t| t.to_string()).collect()
}

fn permits(c: &Controller, speaks: impl Fn(&Permit) -> bool) -> Vec<String> {
    texts(c.policy().permits.iter().filter(|p| speaks(p)).map(|p| &p.id))
}

pub(super) fn externals(c: &Controller, _: Now) -> Vec<ExternalView> {
    let learned: Vec<_> = c.learned_addresses().collect();
    let of = |name: &Name| {
        let own = learned.iter().filter(|l| l.externals.contains(name));
        own.map(|l| LearnedView {
            address: l.address,
            names: l
                .names
                .iter()
                .map(|(name, left)| LearnedName { name: name.clone(), seconds: left.as_secs() })
                .collect(),
            externals: texts(&l.externals),
            packets: l.packets,
            bytes: l.bytes,
        })
        .collect()
    };
    c.policy()
        .externals
        .values()
        .map(|e| ExternalView {
            name: e.name.to_string(),
            networks: texts(&e.prefixes),
            domains: e.domains.clone(),
            addresses: of(&e.name),
            permits: permits(c, |p| p.from.contains(&e.name) || p.to.contains(&e.name)),
        })
        .collect()
}

pub(super) fn services(c: &Controller, _: Now) -> Vec<ServiceView> {
    let own = &c.policy().services;
    let view = |name: &Name, terms: &[fseg_model::ServiceTerm], description: Option<&str>| ServiceView {
        name: name.to_string(),
        terms: texts(terms),
        description: description.map(ToOwned::to_owned),
        defined: description.is_none(),
        permits: permits(c, |p| p.services.contains(name)),
    };
    let mut all: Vec<ServiceView> = own.values().map(|s| view(&s.name, &s.terms, None)).collect();
    let shipped = shipped_services().values().filter(|s| !own.contains_key(&s.name));
    all.extend(shipped.map(|s| view(&s.name, &s.terms, Some(s.what))));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

pub(super) fn streams(c: &Controller, _: Now) -> Vec<StreamView> {
    let called = |ids: Vec<EndpointId>| {
        let label = |id: EndpointId| {
            let endpoint = c.endpoints().find(|(e, ..)| e.id == id).map(|(e, ..)| e)?;
            Some(endpoint.name.as_ref().map_or_else(|| endpoint.mac.to_string(), ToString::to_string))
        };
        ids.into_iter().filter_map(label).collect()
    };
    c.streams()
        .map(|s| StreamView {
            streams: texts(&s.streams),
            group: s.group,
            senders: called(s.senders),
            receivers: called(s.receivers),
            denied: called(s.denied),
            packets: s.packets,
            bytes: s.bytes,
        })
        .collect()
}
