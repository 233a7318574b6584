//! The section `groups`.

use std::collections::BTreeMap;

use fseg_model::Name;
use fseg_yaml::{Entry, Kind, Reader, Span, Value};

use super::graph::{cycle_text, walk};
use super::names::{Defined, Reference, define, unknown};
use crate::{Group, Member};

/// A group as it stands in the file.
#[derive(Debug)]
pub(super) struct Draft {
    group: Group,
    nested: Vec<Reference>,
}

impl Defined for Draft {
    fn span(&self) -> Span {
        self.group.span
    }
}

pub(super) fn read(section: Value<'_>) -> Option<BTreeMap<Name, Draft>> {
    define(section, "group", |name, entry| {
        let mut draft = Draft {
            group: Group { name, members: Vec::new(), description: None, span: entry.key.span },
            nested: Vec::new(),
        };
        // `None` means that the reason has been reported.
        let _ = fill(&mut draft, entry);
        draft
    })
}

fn fill(draft: &mut Draft, entry: &Entry<'_>) -> Option<()> {
    if !matches!(entry.value.node().value, Kind::Map(_)) {
        let message = format!("group `{}` must be a mapping with the key `members`", draft.group.name);
        let span = if entry.value.is_null() { entry.key.span } else { entry.value.span() };
        let help = format!("write `{}: {{ members: [user:anna, role:sales] }}`", draft.group.name);
        entry.value.reader().error_with_help(span, message, help);
        return None;
    }
    let mut map = entry.value.as_map()?;
    let members = map.required("members");
    draft.group.description = map.optional("description").and_then(|v| v.as_text());
    map.finish();
    for item in members?.as_list()? {
        let Some(member) = item.parse::<Member>() else { continue };
        if let Member::Group(name) = &member {
            draft.nested.push(Reference { name: name.clone(), span: item.span() });
        }
        draft.group.members.push(member);
    }
    Some(())
}

/// Looks up nested groups and refuses cycles.
pub(super) fn resolve(reader: &Reader<'_>, drafts: BTreeMap<Name, Draft>) -> BTreeMap<Name, Group> {
    for (name, draft) in &drafts {
        for nested in draft.nested.iter().filter(|nested| !drafts.contains_key(&nested.name)) {
            let message = || format!("group `{name}` contains the group `{}`, which does not exist", nested.name);
            unknown(reader, nested.span, message, nested.name.as_str(), drafts.keys(), "define it under `groups:`");
        }
    }
    let (groups, edges): (BTreeMap<_, _>, BTreeMap<_, _>) =
        drafts.into_iter().map(|(name, draft)| ((name.clone(), draft.group), (name, draft.nested))).unzip();
    for (cycle, span) in walk(&edges).cycles {
        let message = format!("groups contain each other: {}", cycle_text(&cycle));
        reader.error_with_help(span, message, "remove one of these members");
    }
    groups
}
