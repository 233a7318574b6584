//! The section `permits`.

use std::collections::BTreeMap;

use fseg_model::{Name, Wall};
use fseg_yaml::{Span, Value};

use super::names::{Known, Reference, twice};
use super::{MAX_ENTRIES, services};
use crate::{Permit, parse_expiry};

pub(super) fn read(section: Value<'_>, known: &Known<'_>) -> Option<Vec<Permit>> {
    let items = section.as_list()?;
    if items.len() > MAX_ENTRIES {
        section.error(format!("{} permits; at most {MAX_ENTRIES} are accepted", items.len()));
        return None;
    }
    let mut seen: BTreeMap<Name, Span> = BTreeMap::new();
    Some(items.into_iter().filter_map(|item| permit(item, known, &mut seen)).collect())
}

fn permit(item: Value<'_>, known: &Known<'_>, seen: &mut BTreeMap<Name, Span>) -> Option<Permit> {
    let reader = item.reader();
    let mut map = item.as_map()?;
    // Every key is asked for before anything can fail, so that all that is wrong with a permit is said at once.
    let id_value = map.required("id");
    let id: Option<Name> = id_value.and_then(|v| v.parse());
    let (from, to, list) = (map.required("from"), map.required("to"), map.required("services"));
    let protect = map.optional("protect").map(|v| v.parse::<Name>());
    let owner = map.optional("owner").map(|v| v.as_text());
    let reason = map.optional("reason").map(|v| v.as_text());
    let expires = map.optional("expires").map(expiry);
    map.finish();

    let span = id_value.map_or(item.span(), |v| v.span());
    if let Some(id) = &id {
        match seen.get(id) {
            Some(first) => twice(reader, "permit", id, *first, span),
            None => {
                seen.insert(id.clone(), span);
            }
        }
    }
    let called = id.as_ref().map_or_else(|| "this permit".to_owned(), |id| format!("permit `{id}`"));
    let sides = (from.and_then(|v| known.sides(&called, v)), to.and_then(|v| known.sides(&called, v)));
    let list_span = list.map_or(span, |v| v.span());
    let list = list.and_then(|v| services::read_list(v, &called));
    let resolved = list.map(|list| known.services(reader, list_span, &called, list));
    let ((Some(from), Some(to)), Some((services, terms))) = (sides, resolved) else { return None };

    for side in from.iter().chain(&to) {
        refuse_domains(item, known, &called, side);
    }
    if from.iter().chain(&to).all(|side| known.externals.contains_key(&side.name)) {
        let message = format!("{called} joins externals only; traffic between outside networks is not FSEG's");
        reader.warn(span, message, "name a group on one side, or remove the permit");
    }
    let names = |side: Vec<Reference>| side.into_iter().map(|r| r.name).collect();
    Some(Permit {
        id: id?,
        from: names(from),
        to: names(to),
        services,
        terms,
        protect: whole(protect)?,
        owner: whole(owner)?,
        reason: whole(reason)?,
        expires: whole(expires)?,
        span,
    })
}

/// Tells an absent key (`Some(None)`) from one that cannot be read (`None`).
fn whole<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

fn expiry(value: Value<'_>) -> Option<Wall> {
    parse_expiry(value.as_str()?).map_err(|e| value.error(e.to_string())).ok()
}

/// An external of which only domains are known would silently permit nothing.
fn refuse_domains(item: Value<'_>, known: &Known<'_>, called: &str, side: &Reference) {
    let domains_only = known.externals.get(&side.name).is_some_and(|e| e.prefixes.is_empty() && !e.domains.is_empty());
    if domains_only {
        let message =
            format!("{called} uses the external `{}`, which has only domains; they are not enforced yet", side.name);
        item.reader().error_with_help(side.span, message, "give the external a `cidr`, or remove the permit");
    }
}
