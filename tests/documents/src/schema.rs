//! The part of JSON Schema (draft 2020-12) that `schema/node.schema.json` uses, applied to YAML.

use fseg_yaml::{Key, Kind, Node};
use serde_json::{Map, Value};

/// A schema with what its references point to.
pub struct Schema(Value);

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }

    /// The part that a reference (`#/$defs/port`, or `#` for the whole) names.
    pub fn part(&self, reference: &str) -> Option<&Value> {
        self.0.pointer(reference.strip_prefix('#')?)
    }

    /// Checks a document.
    ///
    /// # Errors
    /// Says what is wrong and where; also when the schema uses a keyword that is not known here.
    pub fn check(&self, value: &Node) -> Result<(), String> {
        self.check_part(&self.0, value)
    }

    fn check_part(&self, schema: &Value, value: &Node) -> Result<(), String> {
        let wrong = |what: String| Err(format!("line {}, column {}: {what}", value.span.line, value.span.column));
        let rules = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Object(rules) => rules,
            other => return wrong(format!("{other} is no schema")),
        };
        for (keyword, rule) in rules {
            match keyword.as_str() {
                // Said to people and editors, or about text that the reader checks more closely.
                "$schema" | "$id" | "$defs" | "title" | "description" | "pattern" | "format" | "maxLength" => {}
                "then" | "else" => {}
                "$ref" => {
                    let target = rule.as_str().and_then(|r| self.part(r));
                    self.check_part(target.ok_or_else(|| format!("{rule} points nowhere"))?, value)?;
                }
                "type" => {
                    if !types(value)
                        .iter()
                        .any(|t| *rule == **t || rule.as_array().is_some_and(|l| l.contains(&(*t).into())))
                    {
                        return wrong(format!("it is not of type {rule}"));
                    }
                }
                "const" if rule.as_str() != text(value) => return wrong(format!("it is not {rule}")),
                "enum" if !rule.as_array().is_some_and(|l| l.iter().any(|v| v.as_str() == text(value))) => {
                    return wrong(format!("it is none of {rule}"));
                }
                "minLength" if text(value).is_some_and(|t| t.trim().is_empty()) => return wrong("it is empty".into()),
                "minimum" | "maximum" => {
                    let (number, bound) = (text(value).and_then(|t| t.parse::<i64>().ok()), rule.as_i64());
                    let outside = if keyword == "minimum" { number < bound } else { number > bound };
                    if number.is_some() && outside {
                        return wrong(format!("{keyword} {rule}"));
                    }
                }
                "minItems" if matches!(&value.value, Kind::List(l) if (l.len() as u64) < rule.as_u64().unwrap_or(0)) => {
                    return wrong("it is empty".into());
                }
                "required" => {
                    let keys = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                    if let Some(missing) =
                        keys.into_iter().find(|k| matches!(value.value, Kind::Map(_)) && value.get(k).is_none())
                    {
                        return wrong(format!("{missing} is missing"));
                    }
                }
                "properties" => {
                    for (key, inner) in entries(value) {
                        if let Some(part) = rule.get(&key.text) {
                            self.check_part(part, inner)?;
                        }
                    }
                }
                "additionalProperties" if *rule == Value::Bool(false) => {
                    if let Some((key, _)) =
                        entries(value).iter().find(|(k, _)| !properties(rules).contains_key(&k.text))
                    {
                        return wrong(format!("the key {} is unknown", key.text));
                    }
                }
                "items" => {
                    if let Kind::List(items) = &value.value {
                        items.iter().try_for_each(|item| self.check_part(rule, item))?;
                    }
                }
                "anyOf" => {
                    let parts = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                    if parts.iter().all(|part| self.check_part(part, value).is_err()) {
                        return wrong("it is none of the things that it may be".into());
                    }
                }
                "if" => {
                    let branch = if self.check_part(rule, value).is_ok() { "then" } else { "else" };
                    if let Some(schema) = rules.get(branch) {
                        self.check_part(schema, value)?;
                    }
                }
                "const" | "enum" | "minLength" | "minItems" => {}
                other => return wrong(format!("the keyword {other} is not known here")),
            }
        }
        Ok(())
    }
}

/// The properties that a schema lists.
pub fn properties(schema: &Map<String, Value>) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn entries(value: &Node) -> &[(Key, Node)] {
    match &value.value {
        Kind::Map(entries) => entries,
        _ => &[],
    }
}

fn text(value: &Node) -> Option<&str> {
    match &value.value {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// What an editor takes a YAML value for.
fn types(value: &Node) -> &'static [&'static str] {
    match &value.value {
        Kind::Null => &["null"],
        Kind::List(_) => &["array"],
        Kind::Map(_) => &["object"],
        Kind::Scalar { text, plain: true } if text.parse::<i64>().is_ok() => &["integer"],
        Kind::Scalar { text, plain: true } if matches!(text.as_ref(), "true" | "false") => &["boolean"],
        Kind::Scalar { .. } => &["string"],
    }
}
