//! The section `services`, and lists of services wherever they stand.

use std::collections::BTreeMap;

use fseg_model::{Name, ServiceTerm};
use fseg_yaml::{Reader, Span, Value, quote};

use super::MAX_TERMS;
use super::graph::{cycle_text, walk};
use super::names::{Defined, Known, Reference, define, unknown};
use crate::{Service, merge_terms, shipped_services};

/// Words that are terms, or nearly: no service may be called so.
const RESERVED: [&str; 7] = ["any", "tcp", "udp", "sctp", "icmp", "icmp6", "ip"];

/// A list of services as it stands in the file; what cannot be read is reported and left out.
#[derive(Debug, Default)]
pub(super) struct ServiceList {
    named: Vec<Reference>,
    terms: Vec<ServiceTerm>,
}

#[derive(Debug)]
pub(super) struct Draft {
    span: Span,
    list: ServiceList,
}

impl Defined for Draft {
    fn span(&self) -> Span {
        self.span
    }
}

pub(super) fn read(section: Value<'_>) -> Option<BTreeMap<Name, Draft>> {
    define(section, "service", |name, entry| {
        let reader = entry.value.reader();
        if RESERVED.contains(&name.as_str()) {
            let message = format!("`{name}` is built in and cannot be the name of a service");
            reader.error_with_help(entry.key.span, message, "choose another name");
        }
        let list = if entry.value.is_null() {
            reader.error_with_help(
                entry.key.span,
                format!("service `{name}` covers nothing"),
                format!("write `{name}: [tcp/443]`"),
            );
            None
        } else {
            read_list(entry.value, &format!("service `{name}`"))
        };
        Draft { span: entry.key.span, list: list.unwrap_or_default() }
    })
}

/// Reads a list of terms and names of services. An empty one is an error.
pub(super) fn read_list(value: Value<'_>, owner: &str) -> Option<ServiceList> {
    let items = value.as_one_or_many()?;
    if items.is_empty() {
        value.error_with_help(format!("{owner} covers nothing"), "name a service, or write a term such as tcp/443");
        return None;
    }
    let mut list = ServiceList::default();
    for item in items {
        let Some(word) = item.as_str() else { continue };
        if word.contains('/') || RESERVED.contains(&word) {
            list.terms.extend(item.parse::<ServiceTerm>());
        } else if let Ok(name) = word.parse::<Name>() {
            list.named.push(Reference { name, span: item.span() });
        } else {
            let message = format!("{} is not a service", quote(word));
            item.error_with_help(message, "write the name of a service, or a term such as tcp/443 or udp/5000-5100");
        }
    }
    Some(list)
}

/// Replaces services that list others by what they cover, and refuses cycles.
pub(super) fn resolve(reader: &Reader<'_>, drafts: BTreeMap<Name, Draft>) -> BTreeMap<Name, Service> {
    for (name, draft) in &drafts {
        for named in draft.list.named.iter().filter(|named| !exists(&drafts, &named.name)) {
            missing(reader, &format!("service `{name}` lists"), named, drafts.keys());
        }
    }
    let edges = drafts.iter().map(|(name, draft)| (name.clone(), draft.list.named.clone())).collect();
    let found = walk(&edges);
    for (cycle, span) in found.cycles {
        let message = format!("services list each other: {}", cycle_text(&cycle));
        reader.error_with_help(span, message, "remove one of these names");
    }
    let mut done: BTreeMap<Name, Service> = BTreeMap::new();
    for name in found.order {
        let Some(draft) = drafts.get(&name) else { continue };
        let nested = draft.list.named.iter().filter_map(|r| done.get(&r.name)).flat_map(|s| s.terms.iter().copied());
        let shipped = draft.list.named.iter().filter(|r| !drafts.contains_key(&r.name));
        let shipped = shipped.filter_map(|r| shipped_services().get(&r.name)).flat_map(|s| s.terms.iter().copied());
        let terms = merged(
            reader,
            draft.span,
            &format!("service `{name}`"),
            draft.list.terms.iter().copied().chain(nested).chain(shipped),
        );
        let lists = draft.list.named.iter().map(|named| named.name.clone()).collect();
        done.insert(name.clone(), Service { name, terms, lists, span: draft.span });
    }
    done
}

/// Merges terms; more than a table row can bear is refused.
fn merged(reader: &Reader<'_>, at: Span, owner: &str, terms: impl Iterator<Item = ServiceTerm>) -> Vec<ServiceTerm> {
    let mut terms = merge_terms(terms);
    if terms.len() > MAX_TERMS {
        let message = format!("{owner} covers {} separate port ranges; at most {MAX_TERMS} are accepted", terms.len());
        reader.error_with_help(at, message, "join neighbouring ports into ranges, or split it");
        terms.truncate(MAX_TERMS);
    }
    terms
}

fn exists(drafts: &BTreeMap<Name, Draft>, name: &Name) -> bool {
    drafts.contains_key(name) || shipped_services().contains_key(name)
}

fn missing<'n>(reader: &Reader<'_>, owner: &str, named: &Reference, known: impl Iterator<Item = &'n Name>) {
    let message = || format!("{owner} the service `{}`, which does not exist", named.name);
    let instead = "define it under `services:`, or write a protocol and port such as tcp/443";
    let known = known.chain(shipped_services().keys());
    unknown(reader, named.span, message, named.name.as_str(), known, instead);
}

impl Known<'_> {
    /// Looks up a list of services: their names in order, and all they cover together.
    pub(super) fn services(
        &self,
        reader: &Reader<'_>,
        at: Span,
        owner: &str,
        list: ServiceList,
    ) -> (Vec<Name>, Vec<ServiceTerm>) {
        let mut terms = list.terms;
        for named in &list.named {
            let own = self.services.get(&named.name).map(|s| &s.terms);
            match own.or_else(|| shipped_services().get(&named.name).map(|s| &s.terms)) {
                Some(covered) => terms.extend_from_slice(covered),
                None => missing(reader, &format!("{owner} names"), named, self.services.keys()),
            }
        }
        let names = list.named.into_iter().map(|named| named.name).collect();
        (names, merged(reader, at, owner, terms.into_iter()))
    }
}
