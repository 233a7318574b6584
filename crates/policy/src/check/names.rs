//! Names: defining them once, and finding what they refer to.

use std::collections::BTreeMap;

use fseg_model::Name;
use fseg_yaml::{Entry, Reader, Span, Value, did_you_mean, quote};

use super::MAX_ENTRIES;
use crate::{External, Group, Service, Stream};

/// A name that is used, and where.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) name: Name,
    pub(super) span: Span,
}

/// All that can be referred to.
pub(super) struct Known<'p> {
    pub(super) groups: &'p BTreeMap<Name, Group>,
    pub(super) services: &'p BTreeMap<Name, Service>,
    pub(super) externals: &'p BTreeMap<Name, External>,
    pub(super) streams: &'p BTreeMap<Name, Stream>,
}

/// Something that has a name and a place.
pub(super) trait Defined {
    fn span(&self) -> Span;
}
impl Defined for Group {
    fn span(&self) -> Span {
        self.span
    }
}
impl Defined for Service {
    fn span(&self) -> Span {
        self.span
    }
}
impl Defined for External {
    fn span(&self) -> Span {
        self.span
    }
}

/// Reads a section of named entries. What cannot be read is kept as far as it can, so that whoever refers to it is not
/// reported as well; the error that was reported prevents its use.
pub(super) fn define<'a, T: Defined>(
    section: Value<'a>,
    what: &str,
    read: impl Fn(Name, &Entry<'a>) -> T,
) -> Option<BTreeMap<Name, T>> {
    let entries = section.as_entries()?;
    if entries.len() > MAX_ENTRIES {
        section.error(format!("{} {what}s; at most {MAX_ENTRIES} are accepted", entries.len()));
        return None;
    }
    let mut all: BTreeMap<Name, T> = BTreeMap::new();
    for entry in entries {
        let Some(name) = entry.parse_key::<Name>() else { continue };
        // Capital and small letters are one: YAML sees two keys here, people one name.
        if let Some(first) = all.get(&name) {
            twice(section.reader(), what, &name, first.span(), entry.key.span);
            continue;
        }
        let value = read(name.clone(), &entry);
        all.insert(name, value);
    }
    Some(all)
}

/// Reports a name that is defined twice.
pub(super) fn twice(reader: &Reader<'_>, what: &str, name: &Name, first: Span, second: Span) {
    let message =
        format!("{what} `{name}` is defined twice; the first is in line {}, column {}", first.line, first.column);
    reader.error_with_help(second, message, "join the two, or rename one (capital and small letters are the same)");
}

/// Reports a name that nothing is called. `instead` is the advice when no known name is near.
pub(super) fn unknown<'n>(
    reader: &Reader<'_>,
    at: Span,
    message: impl FnOnce() -> String,
    word: &str,
    known: impl Iterator<Item = &'n Name>,
    instead: &str,
) {
    // Comparing with every known name is work: not for what will not be shown.
    if reader.is_full() {
        return reader.error(at, "");
    }
    let help = match did_you_mean(word, known.map(Name::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => instead.to_owned(),
    };
    reader.error_with_help(at, message(), help);
}

impl Known<'_> {
    /// Reads the groups and externals that a permit names; all that are wrong are reported.
    pub(super) fn sides(&self, permit: &str, value: Value<'_>) -> Option<Vec<Reference>> {
        let items = value.as_one_or_many()?;
        if items.is_empty() {
            value.error_with_help(format!("{permit} names nobody here"), "name a group, or remove the permit");
            return None;
        }
        let found: Vec<Option<Reference>> = items.iter().map(|item| self.side(permit, *item)).collect();
        found.into_iter().collect()
    }

    fn side(&self, permit: &str, item: Value<'_>) -> Option<Reference> {
        let word = item.as_str()?;
        let address = word.parse::<ipnet::IpNet>().is_ok() || word.parse::<std::net::IpAddr>().is_ok();
        let Some(name) = word.parse::<Name>().ok().filter(|_| !address) else {
            let help = if address {
                format!("give the network a name under `externals:`, and write that name instead of {}", quote(word))
            } else if word.contains(':') {
                format!("make {} a member of a group, and write that group's name here", quote(word))
            } else {
                "write the name of a group or an external".to_owned()
            };
            item.error_with_help(format!("{permit} names {}, which is no group and no external", quote(word)), help);
            return None;
        };
        if self.groups.contains_key(&name) || self.externals.contains_key(&name) || self.streams.contains_key(&name) {
            return Some(Reference { name, span: item.span() });
        }
        let message = || format!("{permit} names the group `{name}`, which does not exist");
        let instead = match name.as_str() {
            "any" | "all" | "everyone" | "everybody" => {
                "there is no group of everybody: name the groups that are meant"
            }
            _ => "define it under `groups:` or `externals:`",
        };
        let candidates = self.groups.keys().chain(self.externals.keys()).chain(self.streams.keys());
        unknown(item.reader(), item.span(), message, name.as_str(), candidates, instead);
        None
    }
}
