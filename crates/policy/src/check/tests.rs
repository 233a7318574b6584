//! The section `tests`.

use std::collections::BTreeSet;

use fseg_model::Name;
use fseg_yaml::{Reader, Value, did_you_mean, quote};

use super::names::{Known, unknown};
use super::{MAX_ENTRIES, services};
use crate::{Expect, Party, Policy, PolicyTest};

pub(super) fn read(section: Value<'_>, known: &Known<'_>) -> Option<Vec<PolicyTest>> {
    let items = section.as_list()?;
    if items.len() > MAX_ENTRIES {
        section.error(format!("{} tests; at most {MAX_ENTRIES} are accepted", items.len()));
        return None;
    }
    Some(items.into_iter().filter_map(|item| test(item, known)).collect())
}

fn test(item: Value<'_>, known: &Known<'_>) -> Option<PolicyTest> {
    let mut map = item.as_map()?;
    let from = map.required("from").and_then(|v| party(v, known));
    let to = map.required("to").and_then(|v| party(v, known));
    let service = map.required("service");
    let expect = map.required("expect").and_then(expectation);
    map.finish();
    let service = service?;
    let word = service.as_str()?;
    let list = services::read_list(service, "this test")?;
    let (_, terms) = known.services(item.reader(), service.span(), "this test", list);
    Some(PolicyTest { from: from?, to: to?, service: word.to_owned(), terms, expect: expect?, span: item.span() })
}

fn party(value: Value<'_>, known: &Known<'_>) -> Option<Party> {
    let word = value.as_str()?;
    let party = match word.parse::<Party>() {
        Ok(party) => party,
        Err(error) => {
            let bare = word.parse::<Name>().ok();
            match bare {
                Some(name) if known.groups.contains_key(&name) => {
                    value.error_with_help(error.to_string(), format!("did you mean `group:{name}`?"));
                }
                Some(name) if known.externals.contains_key(&name) => {
                    value.error_with_help(error.to_string(), "write one address or name of this external");
                }
                Some(name) if known.streams.contains_key(&name) => {
                    value.error_with_help(error.to_string(), format!("did you mean `stream:{name}`?"));
                }
                _ => value.error(error.to_string()),
            }
            return None;
        }
    };
    if let Party::Group(name) = &party
        && !known.groups.contains_key(name)
    {
        let message = || format!("this test names the group `{name}`, which does not exist");
        let instead = if known.externals.contains_key(name) {
            "it is an external: write one of its addresses"
        } else {
            "define it under `groups:`"
        };
        unknown(value.reader(), value.span(), message, name.as_str(), known.groups.keys(), instead);
        return None;
    }
    if let Party::Stream(name) = &party
        && !known.streams.contains_key(name)
    {
        let message = || format!("this test names the stream `{name}`, which does not exist");
        unknown(
            value.reader(),
            value.span(),
            message,
            name.as_str(),
            known.streams.keys(),
            "define it under `streams:`",
        );
        return None;
    }
    Some(party)
}

fn expectation(value: Value<'_>) -> Option<Expect> {
    match value.as_str()? {
        "permit" => Some(Expect::Permit),
        "deny" => Some(Expect::Deny),
        other => {
            value.error(format!("`expect` must be `permit` or `deny`, not {}", quote(other)));
            None
        }
    }
}

/// How many strangers are compared with all members: each comparison is a walk through the whole policy.
const MAX_STRANGERS: usize = 100;

/// A mistyped name in a test that expects a denial passes for the wrong reason: say so when a near name exists.
pub(super) fn warn_of_strangers(reader: &Reader<'_>, policy: &Policy) {
    let members: BTreeSet<String> = policy.groups.values().flat_map(|g| &g.members).map(ToString::to_string).collect();
    let sides = policy.tests.iter().flat_map(|test| [(test, &test.from), (test, &test.to)]);
    let nameless = sides.filter(|(_, party)| {
        matches!(party, Party::Subject(_) | Party::Role(_)) && policy.members_of(party).is_empty()
    });
    for (test, party) in nameless.take(MAX_STRANGERS) {
        let word = party.to_string();
        let kind = word.split(':').next().unwrap_or_default().to_owned() + ":";
        let same_kind = members.iter().map(String::as_str).filter(|m| m.starts_with(&kind));
        if let Some(meant) = did_you_mean(&word, same_kind) {
            let message = format!("`{word}` is in no group, so this test can only be denied");
            reader.warn(test.span, message, format!("did you mean `{meant}`?"));
        }
    }
}
