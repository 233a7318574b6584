//! What the database holds of bridges, read in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::notation::{optional, read_map, read_uuid, strings, uuids};
use crate::{Client, OvsdbError};

/// The database of Open vSwitch.
pub(crate) const DB: &str = "Open_vSwitch";

/// The key in `external_ids` of bridges and ports that says whose they are.
pub(crate) const OWNER: &str = "fseg-owner";

const BRIDGE: [&str; 9] =
    ["_uuid", "name", "ports", "controller", "datapath_type", "protocols", "fail_mode", "other_config", "external_ids"];
const PORT: [&str; 4] = ["_uuid", "name", "interfaces", "external_ids"];
const INTERFACE: [&str; 6] = ["_uuid", "name", "type", "options", "mac", "ofport_request"];
const CONTROLLER: [&str; 5] = ["_uuid", "target", "connection_mode", "inactivity_probe", "max_backoff"];

/// A bridge's row.
#[derive(Debug, Clone)]
pub(crate) struct BridgeRow {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) ports: BTreeSet<String>,
    pub(crate) controllers: BTreeSet<String>,
    pub(crate) datapath_type: String,
    pub(crate) protocols: BTreeSet<String>,
    pub(crate) fail_mode: Option<String>,
    pub(crate) other_config: BTreeMap<String, String>,
    pub(crate) external_ids: BTreeMap<String, String>,
    /// As it was read, to make sure of it when writing.
    pub(crate) raw: Map<String, Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct PortRow {
    pub(crate) name: String,
    pub(crate) interfaces: BTreeSet<String>,
    pub(crate) external_ids: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(crate) struct InterfaceRow {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) mac: Option<String>,
    pub(crate) ofport_request: Option<i64>,
}

#[derive(Debug, Clone)]
pub(crate) struct ControllerRow {
    pub(crate) target: String,
    pub(crate) connection_mode: Option<String>,
    pub(crate) inactivity_probe: Option<i64>,
    pub(crate) max_backoff: Option<i64>,
}

/// What the database holds of bridges.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The id of the one row of `Open_vSwitch`.
    pub(crate) root: String,
    /// Its `bridges` as read.
    pub(crate) raw_bridges: Value,
    pub(crate) next_cfg: i64,
    pub(crate) bridges: Vec<BridgeRow>,
    pub(crate) ports: BTreeMap<String, PortRow>,
    pub(crate) interfaces: BTreeMap<String, InterfaceRow>,
    pub(crate) controllers: BTreeMap<String, ControllerRow>,
}

/// The column of a row, or an error that names both.
fn column<'a>(table: &str, row: &'a Value, name: &str) -> Result<&'a Value, OvsdbError> {
    row.get(name).ok_or_else(|| OvsdbError::Answer {
        call: format!("select {table}.{name}"),
        what: "this column; is the schema Open vSwitch's?",
    })
}

fn text(table: &str, row: &Value, name: &str) -> Result<String, OvsdbError> {
    let value = column(table, row, name)?.as_str();
    value
        .map(str::to_owned)
        .ok_or_else(|| OvsdbError::Answer { call: format!("select {table}.{name}"), what: "a string" })
}

fn optional_text(table: &str, row: &Value, name: &str) -> Result<Option<String>, OvsdbError> {
    Ok(optional(column(table, row, name)?).and_then(Value::as_str).map(str::to_owned))
}

fn optional_number(table: &str, row: &Value, name: &str) -> Result<Option<i64>, OvsdbError> {
    Ok(optional(column(table, row, name)?).and_then(Value::as_i64))
}

fn id(table: &str, row: &Value) -> Result<String, OvsdbError> {
    read_uuid(column(table, row, "_uuid")?)
        .ok_or_else(|| OvsdbError::Answer { call: format!("select {table}._uuid"), what: "a uuid" })
}

/// The rows of a `select`'s result.
pub(crate) fn rows(result: &Value) -> &[Value] {
    result.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

impl Snapshot {
    /// Reads it.
    pub(crate) async fn read(client: &Client) -> Result<Self, OvsdbError> {
        let select =
            |table: &str, columns: &[&str]| json!({ "op": "select", "table": table, "where": [], "columns": columns });
        let ops = [
            select("Open_vSwitch", &["_uuid", "bridges", "next_cfg"]),
            select("Bridge", &BRIDGE),
            select("Port", &PORT),
            select("Interface", &INTERFACE),
            select("Controller", &CONTROLLER),
        ];
        Self::from_results(&client.transact(DB, &ops).await?)
    }

    pub(crate) fn from_results(results: &[Value]) -> Result<Self, OvsdbError> {
        let [roots, bridges, ports, interfaces, controllers] = results else {
            return Err(OvsdbError::Answer { call: "select".into(), what: "five results" });
        };
        let root = rows(roots).first().ok_or_else(|| OvsdbError::Answer {
            call: "select Open_vSwitch".into(),
            what: "its one row; run `ovs-vsctl --no-wait init` once",
        })?;
        let bridge = |row: &Value| {
            Ok(BridgeRow {
                uuid: id("Bridge", row)?,
                name: text("Bridge", row, "name")?,
                ports: uuids(column("Bridge", row, "ports")?),
                controllers: uuids(column("Bridge", row, "controller")?),
                datapath_type: text("Bridge", row, "datapath_type")?,
                protocols: strings(column("Bridge", row, "protocols")?),
                fail_mode: optional_text("Bridge", row, "fail_mode")?,
                other_config: read_map(column("Bridge", row, "other_config")?),
                external_ids: read_map(column("Bridge", row, "external_ids")?),
                raw: row.as_object().cloned().unwrap_or_default(),
            })
        };
        let port = |row: &Value| {
            let port = PortRow {
                name: text("Port", row, "name")?,
                interfaces: uuids(column("Port", row, "interfaces")?),
                external_ids: read_map(column("Port", row, "external_ids")?),
            };
            Ok((id("Port", row)?, port))
        };
        let interface = |row: &Value| {
            let interface = InterfaceRow {
                name: text("Interface", row, "name")?,
                kind: text("Interface", row, "type")?,
                options: read_map(column("Interface", row, "options")?),
                mac: optional_text("Interface", row, "mac")?,
                ofport_request: optional_number("Interface", row, "ofport_request")?,
            };
            Ok((id("Interface", row)?, interface))
        };
        let controller = |row: &Value| {
            let controller = ControllerRow {
                target: text("Controller", row, "target")?,
                connection_mode: optional_text("Controller", row, "connection_mode")?,
                inactivity_probe: optional_number("Controller", row, "inactivity_probe")?,
                max_backoff: optional_number("Controller", row, "max_backoff")?,
            };
            Ok((id("Controller", row)?, controller))
        };
        Ok(Self {
            root: id("Open_vSwitch", root)?,
            raw_bridges: column("Open_vSwitch", root, "bridges")?.clone(),
            next_cfg: column("Open_vSwitch", root, "next_cfg")?.as_i64().unwrap_or(0),
            bridges: rows(bridges).iter().map(bridge).collect::<Result<_, OvsdbError>>()?,
            ports: rows(ports).iter().map(port).collect::<Result<_, OvsdbError>>()?,
            interfaces: rows(interfaces).iter().map(interface).collect::<Result<_, OvsdbError>>()?,
            controllers: rows(controllers).iter().map(controller).collect::<Result<_, OvsdbError>>()?,
        })
    }

    pub(crate) fn bridge(&self, name: &str) -> Option<&BridgeRow> {
        self.bridges.iter().find(|b| b.name == name)
    }

    /// The ports of a bridge with their ids.
    pub(crate) fn ports_of<'a>(&'a self, bridge: &'a BridgeRow) -> impl Iterator<Item = (&'a String, &'a PortRow)> {
        bridge.ports.iter().filter_map(|id| self.ports.get(id).map(|port| (id, port)))
    }
}
