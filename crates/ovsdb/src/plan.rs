//! From what is and what is to be: the one transaction between them. Pure: nothing is sent here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use crate::notation::{map, named, set, uuid};
use crate::snapshot::{BridgeRow, ControllerRow, InterfaceRow, OWNER, Snapshot};
use crate::{BridgeSpec, OvsdbError, PortSpec};

/// Something that was done, or that was found and left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The bridge is new.
    BridgeCreated(String),
    /// The bridge is gone.
    BridgeRemoved(String),
    /// The bridge was taken over from this owner.
    BridgeAdopted(String, String),
    /// A column of the bridge has another value.
    BridgeChanged {
        /// The column, with its key for a map: `other_config:datapath-id`.
        column: String,
        /// The value before; empty for none.
        from: String,
        /// The value now; empty for none.
        to: String,
    },
    /// The bridge has a new controller.
    ControllerAdded(String),
    /// The settings of a controller were put right.
    ControllerChanged(String),
    /// The bridge no longer has this controller.
    ControllerRemoved(String),
    /// A port is new.
    PortAdded(String),
    /// A port of ours that the specification no longer has is gone.
    PortRemoved(String),
    /// A port was taken over from this owner.
    PortAdopted(String, String),
    /// A column of a port's interface has another value.
    PortChanged {
        /// The port.
        port: String,
        /// The column.
        column: &'static str,
        /// The value before; empty for none.
        from: String,
        /// The value now; empty for none.
        to: String,
    },
    /// Found: a port of this other owner, which was left alone.
    PortLeft(String, String),
    /// Found: Open vSwitch cannot use the interface, as when its device does not exist (yet).
    InterfaceFailed {
        /// The port.
        port: String,
        /// What Open vSwitch says.
        error: String,
    },
    /// Found: the port has another OpenFlow number than asked for, because that was taken.
    NumberRefused {
        /// The port.
        port: String,
        /// The number asked for.
        wanted: u32,
        /// The number it has.
        got: i64,
    },
}

impl Applied {
    /// True when this changed the database, false when it was only found.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::PortLeft(..) | Self::InterfaceFailed { .. } | Self::NumberRefused { .. })
    }
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        match self {
            Self::BridgeCreated(name) => write!(f, "bridge {name} created"),
            Self::BridgeRemoved(name) => write!(f, "bridge {name} removed"),
            Self::BridgeAdopted(name, owner) => write!(f, "bridge {name} taken over from {owner}"),
            Self::BridgeChanged { column, from, to } => write!(f, "{column}: {} → {}", or_none(from), or_none(to)),
            Self::ControllerAdded(target) => write!(f, "controller {target} added"),
            Self::ControllerChanged(target) => write!(f, "controller {target}: settings put right"),
            Self::ControllerRemoved(target) => write!(f, "controller {target} removed"),
            Self::PortAdded(name) => write!(f, "port {name} added"),
            Self::PortRemoved(name) => write!(f, "port {name} removed"),
            Self::PortAdopted(name, owner) => write!(f, "port {name} taken over from {owner}"),
            Self::PortChanged { port, column, from, to } => {
                write!(f, "port {port}, {column}: {} → {}", or_none(from), or_none(to))
            }
            Self::PortLeft(name, owner) => write!(f, "port {name} belongs to {owner} and was left alone"),
            Self::InterfaceFailed { port, error } => write!(f, "port {port} does not work: {error}"),
            Self::NumberRefused { port, wanted, got } => write!(f, "port {port} has number {got} instead of {wanted}"),
        }
    }
}

/// The operations of the transaction (none when nothing is to be changed) and what they do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) ops: Vec<Value>,
    pub(crate) applied: Vec<Applied>,
}

/// Milliseconds without a message after which a controller is probed, and as long again until it counts as lost.
const INACTIVITY_PROBE: i64 = 5000;
/// The longest pause between attempts to connect, in milliseconds: the least Open vSwitch allows.
const MAX_BACKOFF: i64 = 1000;

/// Whose a row is.
fn owner_of(external_ids: &BTreeMap<String, String>) -> String {
    external_ids.get(OWNER).map_or_else(|| "somebody else (no fseg-owner)".into(), |o| format!("`{o}`"))
}

fn is_ours(external_ids: &BTreeMap<String, String>, owner: &str) -> bool {
    external_ids.get(OWNER).is_some_and(|o| o == owner)
}

fn by_id(table: &str, id: &str) -> Map<String, Value> {
    Map::from_iter([("table".into(), json!(table)), ("where".into(), json!([["_uuid", "==", uuid(id)]]))])
}

fn update(table: &str, id: &str, row: Map<String, Value>) -> Value {
    let mut op = by_id(table, id);
    op.extend([("op".into(), json!("update")), ("row".into(), Value::Object(row))]);
    Value::Object(op)
}

fn mutate(table: &str, id: &str, column: &str, mutator: &str, value: &Value) -> Value {
    let mut op = by_id(table, id);
    op.extend([("op".into(), json!("mutate")), ("mutations".into(), json!([[column, mutator, value]]))]);
    Value::Object(op)
}

/// Fails the transaction unless these columns still have these values.
fn guard(table: &str, id: &str, row: Map<String, Value>) -> Value {
    let columns: Vec<_> = row.keys().cloned().collect();
    let mut op = by_id(table, id);
    let rest = json!({ "op": "wait", "timeout": 0, "columns": columns, "until": "==", "rows": [row] });
    op.extend(rest.as_object().cloned().unwrap_or_default());
    Value::Object(op)
}

fn guard_bridge(bridge: &BridgeRow) -> Value {
    let columns = ["ports", "controller", "other_config", "external_ids"];
    let row = columns.iter().filter_map(|c| bridge.raw.get(*c).map(|v| ((*c).to_owned(), v.clone()))).collect();
    guard("Bridge", &bridge.uuid, row)
}

fn insert(table: &str, name: &str, row: &Value) -> Value {
    json!({ "op": "insert", "table": table, "uuid-name": name, "row": row })
}

/// Asks ovs-vswitchd to say when it has taken this over; the last operation's result has the number to wait for.
fn bump(snapshot: &Snapshot) -> [Value; 2] {
    let mut select = by_id("Open_vSwitch", &snapshot.root);
    select.extend([("op".into(), json!("select")), ("columns".into(), json!(["next_cfg"]))]);
    [mutate("Open_vSwitch", &snapshot.root, "next_cfg", "+=", &json!(1)), Value::Object(select)]
}

/// Plans what makes the bridge as specified.
pub(crate) fn ensure(snapshot: &Snapshot, spec: &BridgeSpec, owner: &str) -> Result<Plan, OvsdbError> {
    spec.check()?;
    let mut plan = Plan::default();
    let current = snapshot.bridge(&spec.name);
    if let Some(bridge) = current
        && !is_ours(&bridge.external_ids, owner)
    {
        let from = owner_of(&bridge.external_ids);
        if !spec.adopt {
            return Err(OvsdbError::Foreign { bridge: spec.name.clone(), owner: from });
        }
        plan.applied.push(Applied::BridgeAdopted(spec.name.clone(), from));
    }
    let ports = plan.ports(snapshot, spec, owner, current)?;
    let controllers = plan.controllers(snapshot, spec, current);
    plan.bridge(snapshot, spec, owner, current, ports, controllers);
    if !plan.ops.is_empty() {
        let guard = match current {
            Some(bridge) => guard_bridge(bridge),
            None => {
                let row = Map::from_iter([("bridges".into(), snapshot.raw_bridges.clone())]);
                guard("Open_vSwitch", &snapshot.root, row)
            }
        };
        plan.ops.insert(0, guard);
        plan.ops.extend(bump(snapshot));
    }
    Ok(plan)
}

/// Plans what removes the bridge; its ports, interfaces and controllers go with it.
pub(crate) fn remove(snapshot: &Snapshot, name: &str, owner: &str) -> Result<Plan, OvsdbError> {
    let mut plan = Plan::default();
    let Some(bridge) = snapshot.bridge(name) else { return Ok(plan) };
    if !is_ours(&bridge.external_ids, owner) {
        return Err(OvsdbError::Foreign { bridge: name.into(), owner: owner_of(&bridge.external_ids) });
    }
    if let Some((_, port)) = snapshot.ports_of(bridge).find(|(_, p)| !is_ours(&p.external_ids, owner)) {
        let owner = owner_of(&port.external_ids);
        return Err(OvsdbError::ForeignPort { port: port.name.clone(), bridge: name.into(), owner });
    }
    plan.applied.push(Applied::BridgeRemoved(name.into()));
    plan.ops.push(guard_bridge(bridge));
    plan.ops.push(mutate("Open_vSwitch", &snapshot.root, "bridges", "delete", &uuid(&bridge.uuid)));
    plan.ops.extend(bump(snapshot));
    Ok(plan)
}

impl Plan {
    fn changed(&mut self, column: &str, from: &str, to: &str) {
        self.applied.push(Applied::BridgeChanged { column: column.into(), from: from.into(), to: to.into() });
    }

    /// Returns the references the bridge's `ports` is to have, when they change.
    fn ports(
        &mut self,
        snapshot: &Snapshot,
        spec: &BridgeSpec,
        owner: &str,
        current: Option<&BridgeRow>,
    ) -> Result<Option<Vec<Value>>, OvsdbError> {
        let here: BTreeMap<&str, _> = current
            .iter()
            .flat_map(|b| snapshot.ports_of(b))
            .map(|(id, port)| (port.name.as_str(), (id, port)))
            .collect();
        let wanted: Vec<_> = spec.all_ports().collect();
        let names: BTreeSet<&str> = wanted.iter().map(|(p, _)| p.name.as_str()).collect();
        let (mut references, mut moved) = (Vec::new(), current.is_none());
        for (name, (id, port)) in &here {
            if names.contains(name) {
                continue;
            }
            if is_ours(&port.external_ids, owner) {
                self.applied.push(Applied::PortRemoved((*name).into()));
                moved = true;
            } else {
                self.applied.push(Applied::PortLeft((*name).into(), owner_of(&port.external_ids)));
                references.push(uuid(id));
            }
        }
        for (index, (port, is_local)) in wanted.into_iter().enumerate() {
            let Some((id, row)) = here.get(port.name.as_str()) else {
                let elsewhere =
                    snapshot.bridges.iter().find(|b| snapshot.ports_of(b).any(|(_, p)| p.name == port.name));
                if let Some(other) = elsewhere {
                    let owner = owner_of(&other.external_ids);
                    return Err(OvsdbError::ForeignPort { port: port.name, bridge: other.name.clone(), owner });
                }
                self.applied.push(Applied::PortAdded(port.name.clone()));
                references.push(self.insert_port(index, &port, owner));
                moved = true;
                continue;
            };
            if !is_ours(&row.external_ids, owner) {
                let from = owner_of(&row.external_ids);
                if !spec.adopt {
                    let (port, bridge) = (port.name, spec.name.clone());
                    return Err(OvsdbError::ForeignPort { port, bridge, owner: from });
                }
                self.applied.push(Applied::PortAdopted(port.name.clone(), from));
                let mut ids = row.external_ids.clone();
                ids.insert(OWNER.into(), owner.into());
                self.ops.push(update("Port", id, Map::from_iter([("external_ids".into(), map(&ids))])));
            }
            let interface = match row.interfaces.first().filter(|_| row.interfaces.len() == 1) {
                Some(id) => snapshot.interfaces.get(id).filter(|i| i.name == port.name).map(|i| (id, i)),
                None => None,
            };
            match interface {
                Some((interface_id, interface)) => {
                    self.interface(interface_id, interface, &port, is_local);
                    references.push(uuid(id));
                }
                None => {
                    // A bond, or an interface of another name: not what was asked for, so it is made anew.
                    self.applied.push(Applied::PortRemoved(port.name.clone()));
                    self.applied.push(Applied::PortAdded(port.name.clone()));
                    references.push(self.insert_port(index, &port, owner));
                    moved = true;
                }
            }
        }
        Ok(moved.then_some(references))
    }

    fn insert_port(&mut self, index: usize, port: &PortSpec, owner: &str) -> Value {
        let (port_name, interface_name) = (format!("port{index}"), format!("interface{index}"));
        let mut interface = json!({ "name": port.name, "type": port.interface_type, "options": map(&port.options) });
        if let Some(row) = interface.as_object_mut() {
            if port.number != 0 {
                row.insert("ofport_request".into(), json!(port.number));
            }
            if let Some(mac) = &port.mac {
                row.insert("mac".into(), json!(mac));
            }
        }
        let ids = BTreeMap::from([(OWNER.to_owned(), owner.to_owned())]);
        let row = json!({ "name": port.name, "interfaces": named(&interface_name), "external_ids": map(&ids) });
        self.ops.push(insert("Interface", &interface_name, &interface));
        self.ops.push(insert("Port", &port_name, &row));
        named(&port_name)
    }

    /// Puts an interface's columns right.
    fn interface(&mut self, id: &str, row: &InterfaceRow, port: &PortSpec, is_local: bool) {
        let mut columns = Map::new();
        let mut differs = |column: &'static str, from: String, to: String, value: Value| {
            if from != to {
                columns.insert(column.into(), value);
                self.applied.push(Applied::PortChanged { port: port.name.clone(), column, from, to });
            }
        };
        // "" and "system" are the same type.
        let kind = |k: &str| if k.is_empty() { "system".to_owned() } else { k.to_owned() };
        differs("type", kind(&row.kind), kind(&port.interface_type), json!(port.interface_type));
        if !is_local {
            let pairs =
                |m: &BTreeMap<String, String>| m.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ");
            differs("options", pairs(&row.options), pairs(&port.options), map(&port.options));
            let lower = |m: &Option<String>| m.as_deref().unwrap_or_default().to_lowercase();
            differs("mac", lower(&row.mac), lower(&port.mac), set(port.mac.iter().map(|m| json!(m))));
            let request = row.ofport_request.map(|n| n.to_string()).unwrap_or_default();
            differs("ofport_request", request, port.number.to_string(), json!(port.number));
        }
        if !columns.is_empty() {
            self.ops.push(update("Interface", id, columns));
        }
    }

    /// Returns the references the bridge's `controller` is to have, when they change.
    fn controllers(
        &mut self,
        snapshot: &Snapshot,
        spec: &BridgeSpec,
        current: Option<&BridgeRow>,
    ) -> Option<Vec<Value>> {
        let rows = |id: &String| snapshot.controllers.get(id).map(|row| (id.clone(), row.clone()));
        let mut here: Vec<(String, ControllerRow)> =
            current.iter().flat_map(|b| &b.controllers).filter_map(rows).collect();
        let targets: BTreeSet<&String> = spec.controllers.iter().collect();
        let (mut references, mut moved) = (Vec::new(), current.is_none());
        for (index, target) in targets.into_iter().enumerate() {
            let settings = json!({
                "target": target,
                "connection_mode": "out-of-band",
                "inactivity_probe": INACTIVITY_PROBE,
                "max_backoff": MAX_BACKOFF,
            });
            if let Some(found) = here.iter().position(|(_, row)| row.target == *target) {
                let (id, row) = here.swap_remove(found);
                let right = row.connection_mode.as_deref() == Some("out-of-band")
                    && row.inactivity_probe == Some(INACTIVITY_PROBE)
                    && row.max_backoff == Some(MAX_BACKOFF);
                if !right {
                    self.applied.push(Applied::ControllerChanged(target.clone()));
                    self.ops.push(update("Controller", &id, settings.as_object().cloned().unwrap_or_default()));
                }
                references.push(uuid(&id));
            } else {
                let name = format!("controller{index}");
                self.applied.push(Applied::ControllerAdded(target.clone()));
                self.ops.push(insert("Controller", &name, &settings));
                references.push(named(&name));
                moved = true;
            }
        }
        for (_, row) in here {
            self.applied.push(Applied::ControllerRemoved(row.target));
            moved = true;
        }
        moved.then_some(references)
    }

    fn bridge(
        &mut self,
        snapshot: &Snapshot,
        spec: &BridgeSpec,
        owner: &str,
        current: Option<&BridgeRow>,
        ports: Option<Vec<Value>>,
        controllers: Option<Vec<Value>>,
    ) {
        let mut columns = Map::new();
        columns.extend(ports.map(|p| ("ports".to_owned(), set(p))));
        columns.extend(controllers.map(|c| ("controller".to_owned(), set(c))));

        let mut config = spec.other_config.clone();
        config.insert("datapath-id".into(), format!("{:016x}", spec.datapath_id));
        config.insert("disable-in-band".into(), "true".into());
        config.extend(spec.mac.iter().map(|mac| ("hwaddr".to_owned(), mac.clone())));
        let protocols: BTreeSet<String> = spec.protocols.iter().cloned().collect();
        let fail_mode = spec.fail_mode_secure.then(|| "secure".to_owned());

        let Some(row) = current else {
            let ids = BTreeMap::from([(OWNER.to_owned(), owner.to_owned())]);
            columns.extend([
                ("name".to_owned(), json!(spec.name)),
                ("datapath_type".to_owned(), json!(spec.datapath_type)),
                ("protocols".to_owned(), set(protocols.iter().map(|p| json!(p)))),
                ("fail_mode".to_owned(), set(fail_mode.iter().map(|m| json!(m)))),
                ("other_config".to_owned(), map(&config)),
                ("external_ids".to_owned(), map(&ids)),
            ]);
            self.ops.push(insert("Bridge", "bridge", &Value::Object(columns)));
            self.ops.push(mutate("Open_vSwitch", &snapshot.root, "bridges", "insert", &set([named("bridge")])));
            self.applied.insert(0, Applied::BridgeCreated(spec.name.clone()));
            return;
        };
        if row.datapath_type != spec.datapath_type {
            self.changed("datapath_type", &row.datapath_type, &spec.datapath_type);
            columns.insert("datapath_type".into(), json!(spec.datapath_type));
        }
        if row.protocols != protocols {
            let list = |p: &BTreeSet<String>| p.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            self.changed("protocols", &list(&row.protocols), &list(&protocols));
            columns.insert("protocols".into(), set(protocols.iter().map(|p| json!(p))));
        }
        if row.fail_mode != fail_mode {
            let text = |m: &Option<String>| m.clone().unwrap_or_default();
            self.changed("fail_mode", &text(&row.fail_mode), &text(&fail_mode));
            columns.insert("fail_mode".into(), set(fail_mode.iter().map(|m| json!(m))));
        }
        let mut merged = row.other_config.clone();
        for (key, value) in config {
            let before = merged.insert(key.clone(), value.clone());
            if before.as_ref() != Some(&value) {
                self.changed(&format!("other_config:{key}"), &before.unwrap_or_default(), &value);
            }
        }
        if merged != row.other_config {
            columns.insert("other_config".into(), map(&merged));
        }
        if !is_ours(&row.external_ids, owner) {
            let mut ids = row.external_ids.clone();
            ids.insert(OWNER.into(), owner.into());
            columns.insert("external_ids".into(), map(&ids));
        }
        if !columns.is_empty() {
            self.ops.push(update("Bridge", &row.uuid, columns));
        }
    }
}

#[cfg(test)]
mod tests;
