//! Records of the controller as rows of the store, and back.

use fseg_control::{Change, NumberKind, Record, RecordKey};
use fseg_model::{EndpointId, Location, PortNo};
use fseg_store::{AuditEntry, Table};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

/// A stored row that the controller cannot read.
#[derive(Debug, Error)]
#[error("table {table}, key {key}: {reason}; the row was written by another version, or by hand")]
pub struct Unreadable {
    table: Table,
    key: String,
    reason: String,
}

fn text<T: Serialize>(value: &T) -> Value {
    // The types of the model serialise to plain maps and strings, which cannot fail.
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn kind_name(kind: NumberKind) -> &'static str {
    match kind {
        NumberKind::Permit => "permit",
        NumberKind::Endpoint => "endpoint",
        NumberKind::Round => "round",
    }
}

fn place(key: &RecordKey) -> (Table, String) {
    match key {
        RecordKey::Endpoint(id) => (Table::Endpoint, id.to_string()),
        RecordKey::Lease(mac) => (Table::Lease, mac.to_string()),
        RecordKey::Account(name) => (Table::Account, name.to_string()),
        RecordKey::Device(name) => (Table::Device, name.to_string()),
        RecordKey::Policy(version) => (Table::Policy, format!("{version:010}")),
        RecordKey::Class(id) => (Table::Class, id.get().to_string()),
        RecordKey::Learned(address) => (Table::Meta, format!("learned/{address}")),
        RecordKey::Memberships(endpoint) => (Table::Meta, format!("streams/{endpoint}")),
        RecordKey::LastPlace(endpoint) => (Table::Meta, format!("place/{endpoint}")),
        RecordKey::Usage(permit) => (Table::Meta, format!("usage/{permit}")),
        RecordKey::Neighbour(place, address) => {
            (Table::Meta, format!("neighbour/{}/{}/{address}", place.switch, place.port.0))
        }
        RecordKey::Number(kind, name) => (Table::Number, format!("{}/{name}", kind_name(*kind))),
    }
}

/// A change as the store takes it.
pub fn to_store(change: &Change) -> fseg_store::Change {
    match change {
        Change::Put(record) => {
            let (table, key) = place(&record.key());
            let value = match record {
                Record::Endpoint(e) => text(e),
                Record::Lease(l) => text(l),
                Record::Account(a) => text(a),
                Record::Device(d) => text(d),
                Record::Policy(p) => text(p),
                Record::Class(c) => text(c),
                Record::Neighbour { mac, .. } => text(mac),
                Record::Learned(l) => text(l),
                Record::Memberships { groups, .. } => text(groups),
                Record::LastPlace { place, .. } => text(place),
                Record::Usage { usage, .. } => text(usage),
                Record::Number { number, .. } => json!(number),
            };
            fseg_store::Change::Put { table, key, value }
        }
        Change::Delete(key) => {
            let (table, key) = place(key);
            fseg_store::Change::Delete { table, key }
        }
        Change::Audit { at, who, what, detail } => fseg_store::Change::Append(AuditEntry {
            at: *at,
            who: who.clone(),
            what: what.clone(),
            detail: detail.clone(),
        }),
    }
}

/// A stored row as the controller takes it; `None` for tables that are not the controller's.
pub fn from_store(row: fseg_store::Record) -> Result<Option<Record>, Unreadable> {
    let fseg_store::Record { table, key, value, .. } = row;
    let bad = |reason: String| Unreadable { table, key: key.clone(), reason };
    fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
        serde_json::from_value(value).map_err(|e| e.to_string())
    }
    let record = match table {
        Table::Endpoint => Record::Endpoint(Box::new(read(value).map_err(bad)?)),
        Table::Lease => Record::Lease(read(value).map_err(bad)?),
        Table::Account => Record::Account(read(value).map_err(bad)?),
        Table::Device => Record::Device(read(value).map_err(bad)?),
        Table::Policy => Record::Policy(read(value).map_err(bad)?),
        Table::Class => Record::Class(read(value).map_err(bad)?),
        Table::Number => {
            let number = read(value).map_err(&bad)?;
            let (kind, name) = key.split_once('/').ok_or_else(|| bad("expected KIND/NAME".into()))?;
            let kind = match kind {
                "permit" => NumberKind::Permit,
                "endpoint" => NumberKind::Endpoint,
                "round" => NumberKind::Round,
                other => return Err(bad(format!("unknown kind `{other}`"))),
            };
            Record::Number { kind, name: name.into(), number }
        }
        Table::Meta => match key.split_once('/') {
            Some(("neighbour", rest)) => {
                let mut parts = rest.split('/');
                let mut next = || parts.next().unwrap_or_default();
                let parsed = (next().parse(), next().parse(), next().parse());
                let (Ok(switch), Ok(port), Ok(address)) = parsed else {
                    return Err(bad("expected neighbour/SWITCH/PORT/ADDRESS".into()));
                };
                let place = Location { switch, port: PortNo(port) };
                Record::Neighbour { place, address, mac: read(value).map_err(bad)? }
            }
            Some(("learned", _)) => Record::Learned(read(value).map_err(bad)?),
            Some(("streams", id)) => {
                let endpoint = id.parse().map(EndpointId).map_err(|_| bad("expected streams/NUMBER".into()))?;
                Record::Memberships { endpoint, groups: read(value).map_err(bad)? }
            }
            Some(("place", id)) => {
                let endpoint = id.parse().map(EndpointId).map_err(|_| bad("expected place/NUMBER".into()))?;
                Record::LastPlace { endpoint, place: read(value).map_err(bad)? }
            }
            Some(("usage", permit)) => {
                let permit = permit.parse().map_err(|_| bad("expected usage/NUMBER".into()))?;
                Record::Usage { permit, usage: read(value).map_err(bad)? }
            }
            _ => return Ok(None),
        },
        Table::Token | Table::Certificate | Table::Rule => return Ok(None),
    };
    Ok(Some(record))
}
