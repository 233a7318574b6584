//! The section `permits`.

use std::collections::BTreeMap;

use fseg_model::{Name, Wall};
use fseg_yaml::{Span, Value};

use super::names::{Known, Reference, twice};
use super::{MAX_ENTRIES, services};
use crate::{Mode, Permit, parse_expiry, parse_start};

/// The most permits on trial: each takes a priority of its own in the switches (`fseg_pipeline::rows::MOST_TRIALS`).
const MOST_TRIALS: usize = 900;

pub(super) fn read(section: Value<'_>, known: &Known<'_>) -> Option<Vec<Permit>> {
    let items = section.as_list()?;
    if items.len() > MAX_ENTRIES {
        section.error(format!("{} permits; at most {MAX_ENTRIES} are accepted", items.len()));
        return None;
    }
    let mut seen: BTreeMap<Name, Span> = BTreeMap::new();
    let permits: Vec<Permit> = items.into_iter().filter_map(|item| permit(item, known, &mut seen)).collect();
    let mut on_trial = permits.iter().filter(|p| p.mode == Mode::Observe);
    if let Some(beyond) = on_trial.nth(MOST_TRIALS) {
        let message =
            format!("permit `{}` is one too many on trial; at most {MOST_TRIALS} may have `mode: observe`", beyond.id);
        section.reader().error_with_help(
            beyond.span,
            message,
            "enforce some of them, or observe a whole group instead",
        );
    }
    Some(permits)
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
    let starts_value = map.optional("starts");
    let starts = starts_value.map(start);
    let expires = map.optional("expires").map(expiry);
    let mode = map.optional("mode").map(|v| v.parse::<Mode>());
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

    for side in from.iter().filter(|side| known.streams.contains_key(&side.name)) {
        let message = format!("{called} has the stream `{}` in `from`; a stream opens no connections", side.name);
        let help = "write who receives it in `from` and the stream in `to`; its senders stand in its own `from`";
        reader.error_with_help(side.span, message, help);
    }
    if from.iter().chain(&to).all(|side| known.externals.contains_key(&side.name)) {
        let message = format!("{called} joins externals only; traffic between outside networks is not FSEG's");
        reader.warn(span, message, "name a group on one side, or remove the permit");
    }
    let (starts, expires, mode) = (whole(starts)?, whole(expires)?, whole(mode)?.unwrap_or_default());
    if let (Some(begin), Some(end)) = (starts, expires)
        && end <= begin
    {
        let at = starts_value.map_or(span, |v| v.span());
        reader.error_with_help(at, format!("{called} ends before it starts"), "mend `starts` or `expires`");
        return None;
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
        starts,
        expires,
        mode,
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

fn start(value: Value<'_>) -> Option<Wall> {
    parse_start(value.as_str()?).map_err(|e| value.error(e.to_string())).ok()
}

fn expiry(value: Value<'_>) -> Option<Wall> {
    parse_expiry(value.as_str()?).map_err(|e| value.error(e.to_string())).ok()
}
