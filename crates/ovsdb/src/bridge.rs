//! A bridge as specified, and gone.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::notation::optional;
use crate::plan::{self, Plan};
use crate::snapshot::{DB, Snapshot, rows};
use crate::{Applied, BridgeSpec, Client, OvsdbError};

/// How often a transaction is planned anew because others changed the same rows meanwhile.
const ATTEMPTS: usize = 5;

/// Makes the bridge as specified, and waits until ovs-vswitchd has taken that over.
///
/// Idempotent: reads what is there, changes only what differs, in one transaction that fails (and is planned anew) when
/// somebody else changed the same rows meanwhile. The bridge and its ports are marked with `owner` in
/// `external_ids:fseg-owner`. A bridge or port of that name that belongs to somebody else is refused unless
/// [`BridgeSpec::adopt`]; ports of ours that are not specified any more are removed, those of others are left and reported.
///
/// Returns what was changed and what was found; an interface that does not work (its device may come later) is not an
/// error. After [`OvsdbError::NotApplied`] or a timeout the change may be in the database: call it again.
pub async fn ensure_bridge(client: &Client, spec: &BridgeSpec, owner: &str) -> Result<Vec<Applied>, OvsdbError> {
    let (mut applied, generation) = commit(client, &spec.name, |snapshot| plan::ensure(snapshot, spec, owner)).await?;
    wait_applied(client, &spec.name, generation).await?;
    applied.extend(faults(client, spec).await?);
    Ok(applied)
}

/// Removes a bridge of ours, and waits until ovs-vswitchd has. Not being there is fine; belonging to somebody else, or
/// having ports of somebody else, is not.
pub async fn remove_bridge(client: &Client, name: &str, owner: &str) -> Result<Vec<Applied>, OvsdbError> {
    let (applied, generation) = commit(client, name, |snapshot| plan::remove(snapshot, name, owner)).await?;
    wait_applied(client, name, generation).await?;
    Ok(applied)
}

/// Reads, plans and commits; returns what was done and the configuration number to wait for.
async fn commit(
    client: &Client,
    bridge: &str,
    plan: impl Fn(&Snapshot) -> Result<Plan, OvsdbError>,
) -> Result<(Vec<Applied>, i64), OvsdbError> {
    for _ in 0..ATTEMPTS {
        let snapshot = Snapshot::read(client).await?;
        let Plan { ops, applied } = plan(&snapshot)?;
        if ops.is_empty() {
            return Ok((applied, snapshot.next_cfg));
        }
        match client.transact(DB, &ops).await {
            Ok(results) => {
                let next = results.last().map(rows).and_then(|r| r.first()?.get("next_cfg")?.as_i64());
                let next =
                    next.ok_or_else(|| OvsdbError::Answer { call: "select next_cfg".into(), what: "next_cfg" })?;
                return Ok((applied, next));
            }
            Err(OvsdbError::Operation { op, error, .. }) if op == "wait" && error == "timed out" => {}
            Err(other) => return Err(other),
        }
    }
    Err(OvsdbError::Contention { bridge: bridge.into(), attempts: ATTEMPTS })
}

/// Waits until ovs-vswitchd says that it has taken over this configuration or a later one.
async fn wait_applied(client: &Client, bridge: &str, generation: i64) -> Result<(), OvsdbError> {
    let mut monitor = client.monitor(DB, json!({ "Open_vSwitch": { "columns": ["cur_cfg"] } })).await?;
    let reached = |updates: &Value| {
        let rows = updates.get("Open_vSwitch").and_then(Value::as_object);
        rows.into_iter()
            .flatten()
            .filter_map(|(_, row)| row.get("new")?.get("cur_cfg")?.as_i64())
            .any(|n| n >= generation)
    };
    let mut done = reached(monitor.initial());
    let waiting = async {
        while !done {
            done = reached(&monitor.next().await?);
        }
        Ok(())
    };
    let outcome = timeout(client.timeout(), waiting).await;
    client.cancel(monitor).await?;
    outcome.unwrap_or_else(|_| Err(OvsdbError::NotApplied { bridge: bridge.into(), after: client.timeout() }))
}

/// What Open vSwitch says of the specified ports' interfaces.
async fn faults(client: &Client, spec: &BridgeSpec) -> Result<Vec<Applied>, OvsdbError> {
    let columns = ["name", "error", "ofport"];
    let ops: Vec<_> = spec
        .all_ports()
        .map(|(p, _)| json!({ "op": "select", "table": "Interface", "where": [["name", "==", p.name]], "columns": columns }))
        .collect();
    let results = client.transact(DB, &ops).await?;
    let wanted: BTreeMap<_, _> = spec.all_ports().map(|(p, _)| (p.name, p.number)).collect();
    let found = results.iter().flat_map(rows).filter_map(|row| fault(row, &wanted));
    Ok(found.collect())
}

fn fault(row: &Value, wanted: &BTreeMap<String, u32>) -> Option<Applied> {
    let port = row.get("name")?.as_str()?.to_owned();
    let wanted = wanted.get(&port).copied()?;
    let error = row.get("error").and_then(optional).and_then(Value::as_str).filter(|e| !e.is_empty());
    let number = row.get("ofport").and_then(optional).and_then(Value::as_i64);
    match (error, number) {
        (Some(error), _) => Some(Applied::InterfaceFailed { port, error: error.into() }),
        (None, None | Some(-1)) => {
            Some(Applied::InterfaceFailed { port, error: "Open vSwitch gave it no port number".into() })
        }
        (None, Some(got)) if wanted != 0 && got != i64::from(wanted) => {
            Some(Applied::NumberRefused { port, wanted, got })
        }
        _ => None,
    }
}
