//! Location rules: whatever is plugged in here is admitted, and named after the place.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use fseg_model::{Mac, Name, PlacePath, PlacePattern};
use serde::{Deserialize, Serialize};

use crate::{MacMatcher, NameWish, TemplateError};

/// Admits what is plugged in at these places. The first rule that fits counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationRule {
    /// Where.
    pub place: PlacePattern,
    /// How endpoints there are named.
    pub name: NameTemplate,
    /// Only these MAC addresses; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacMatcher>,
    /// Roles, to which `role:` members of groups refer.
    #[serde(default)]
    pub roles: BTreeSet<Name>,
}

impl LocationRule {
    /// True when the rule is for this address at this place.
    pub fn matches(&self, mac: Mac, place: &PlacePath) -> bool {
        self.place.matches(place) && self.mac.is_none_or(|m| m.matches(mac))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Text(Box<str>),
    Site,
    Switch,
    Port,
}

/// How a rule names endpoints: text with `{site}`, `{switch}`, `{port}`, and at the end perhaps `-{n}`, the counter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NameTemplate {
    parts: Vec<Part>,
    numbered: bool,
}

impl NameTemplate {
    /// The name to ask for at this place; `None` when the place's own names make one that is no name (never for places
    /// and templates that were read from text).
    pub fn wish(&self, place: &PlacePath) -> Option<NameWish> {
        let mut text = String::new();
        for part in &self.parts {
            text.push_str(match part {
                Part::Text(t) => t,
                Part::Site => place.site.as_str(),
                Part::Switch => place.switch.as_str(),
                Part::Port => place.port.as_str(),
            });
        }
        // Three long names may not fit into one: the end is cut off, and the counter keeps names apart.
        let text: String = text.chars().take(Name::MAX).collect();
        Some(NameWish { base: Name::new(&text).ok()?, numbered: self.numbered })
    }
}

impl fmt::Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            f.write_str(match part {
                Part::Text(t) => t,
                Part::Site => "{site}",
                Part::Switch => "{switch}",
                Part::Port => "{port}",
            })?;
        }
        f.write_str(if self.numbered { "-{n}" } else { "" })
    }
}

impl FromStr for NameTemplate {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let refuse = |reason| TemplateError { value: text.chars().take(80).collect(), reason };
        let (body, numbered) = match text.strip_suffix("-{n}") {
            Some(body) => (body, true),
            None => (text, false),
        };
        let mut parts = Vec::new();
        let mut rest = body;
        while !rest.is_empty() {
            let (literal, tail) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if !literal.is_empty() {
                // A letter in front: that a name begins well is checked below, on the whole.
                Name::new(&format!("x{literal}")).map_err(|_| {
                    refuse("its text may have letters, digits, '-', '_' and '.', 62 characters at most")
                })?;
                parts.push(Part::Text(literal.to_lowercase().into()));
            }
            let Some(tail) = tail.strip_prefix('{') else { break };
            let (word, after) = tail.split_once('}').ok_or_else(|| refuse("a `{` is not closed"))?;
            parts.push(match word {
                "site" => Part::Site,
                "switch" => Part::Switch,
                "port" => Part::Port,
                "n" => return Err(refuse("the counter stands only at the end, as in `printer-{n}`")),
                _ => return Err(refuse("only {site}, {switch}, {port} and {n} can be filled in")),
            });
            rest = after;
        }
        match parts.first() {
            None => Err(refuse("it is empty")),
            Some(Part::Text(t)) if !t.starts_with(char::is_alphanumeric) => {
                Err(refuse("it must start with a letter or a digit"))
            }
            Some(_) if parts.len() > 16 => Err(refuse("it has too many parts")),
            Some(_) => Ok(Self { parts, numbered }),
        }
    }
}

impl TryFrom<String> for NameTemplate {
    type Error = TemplateError;
    fn try_from(text: String) -> Result<Self, TemplateError> {
        text.parse()
    }
}

impl From<NameTemplate> for String {
    fn from(template: NameTemplate) -> String {
        template.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn templates_are_filled_in() {
        let place: PlacePath = "tokyo/sw3/p7".parse().unwrap();
        for (template, base, numbered) in [
            ("printer-3f-{n}", "printer-3f", true),
            ("{switch}-{port}", "sw3-p7", false),
            ("{site}.Cam_{port}-{n}", "tokyo.cam_p7", true),
            ("会議室-{n}", "会議室", true),
            ("lobby", "lobby", false),
        ] {
            let parsed: NameTemplate = template.parse().unwrap();
            assert_eq!(parsed.to_string(), template.to_lowercase());
            let wish = parsed.wish(&place).unwrap();
            assert_eq!((wish.base.as_str(), wish.numbered), (base, numbered));
        }
    }

    #[test]
    fn long_places_are_cut_to_a_name() {
        let long = "x".repeat(63);
        let place: PlacePath = format!("{long}/{long}/{long}").parse().unwrap();
        let wish = "{site}-{switch}-{port}".parse::<NameTemplate>().unwrap().wish(&place).unwrap();
        assert_eq!(wish.base.as_str(), long);
    }

    #[test]
    fn bad_templates_are_refused() {
        for bad in [
            "",
            "-{n}",
            "{n}",
            "{n}-x",
            "a{n}",
            "a-{n}-b",
            "{site",
            "site}",
            "{rack}",
            "-{site}",
            "a b",
            "a/b",
            "{}",
            "a{",
            &"x".repeat(63),
        ] {
            assert!(bad.parse::<NameTemplate>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again(text in "[a-z{}\\-n0-9]{0,12}|(\\{(site|port|switch)\\}|[a-z.-]{1,3}){1,6}(-\\{n\\})?") {
            if let Ok(template) = text.parse::<NameTemplate>() {
                prop_assert_eq!(template.to_string(), text);
                prop_assert!(template.wish(&"a/b/c".parse().unwrap()).is_some());
            }
        }
    }
}
