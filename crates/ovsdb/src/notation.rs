//! OVSDB's notation for sets, maps and references in JSON (RFC 7047, 5.1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

pub(crate) fn set(items: impl IntoIterator<Item = Value>) -> Value {
    json!(["set", items.into_iter().collect::<Vec<_>>()])
}

pub(crate) fn map(items: &BTreeMap<String, String>) -> Value {
    json!(["map", items.iter().map(|(k, v)| json!([k, v])).collect::<Vec<_>>()])
}

pub(crate) fn uuid(id: &str) -> Value {
    json!(["uuid", id])
}

pub(crate) fn named(id: &str) -> Value {
    json!(["named-uuid", id])
}

/// The items of a set; a single value is a set of one.
pub(crate) fn items(value: &Value) -> Vec<&Value> {
    match value.as_array().map(Vec::as_slice) {
        Some([tag, Value::Array(items)]) if tag == "set" => items.iter().collect(),
        _ => vec![value],
    }
}

/// The id in `["uuid", id]`.
pub(crate) fn read_uuid(value: &Value) -> Option<String> {
    match value.as_array().map(Vec::as_slice) {
        Some([tag, Value::String(id)]) if tag == "uuid" => Some(id.clone()),
        _ => None,
    }
}

pub(crate) fn uuids(value: &Value) -> BTreeSet<String> {
    items(value).into_iter().filter_map(read_uuid).collect()
}

pub(crate) fn strings(value: &Value) -> BTreeSet<String> {
    items(value).into_iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The value of an optional column.
pub(crate) fn optional(value: &Value) -> Option<&Value> {
    items(value).first().copied().filter(|v| !v.is_null())
}

pub(crate) fn read_map(value: &Value) -> BTreeMap<String, String> {
    let Some([tag, Value::Array(pairs)]) = value.as_array().map(Vec::as_slice) else { return BTreeMap::new() };
    if tag != "map" {
        return BTreeMap::new();
    }
    let pair = |p: &Value| Some((p.get(0)?.as_str()?.to_owned(), p.get(1)?.as_str()?.to_owned()));
    pairs.iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_maps_and_references_are_read() {
        assert_eq!(strings(&json!(["set", ["a", "b"]])).len(), 2);
        assert_eq!(strings(&json!("a")), BTreeSet::from(["a".to_owned()]));
        assert_eq!(uuids(&json!(["uuid", "x"])), BTreeSet::from(["x".to_owned()]));
        assert_eq!(uuids(&json!(["set", [["uuid", "x"], ["uuid", "y"]]])).len(), 2);
        assert_eq!((optional(&json!(["set", []])), optional(&json!(7))), (None, Some(&json!(7))));
        let pairs = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        assert_eq!(read_map(&map(&pairs)), pairs);
        for odd in [
            json!(null),
            json!([]),
            json!(["map"]),
            json!(["map", 1]),
            json!(["map", [1, ["k"], ["k", 2]]]),
            json!("x"),
        ] {
            assert!(read_map(&odd).is_empty() && read_uuid(&odd).is_none(), "{odd}");
        }
    }
}
