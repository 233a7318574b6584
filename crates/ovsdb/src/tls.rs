//! The TLS settings of an Open vSwitch: one set of files, which all its bridges share (table `SSL`, ovs-vswitchd.conf.db(5)).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::notation::{map, named, read_map};
use crate::snapshot::{DB, OWNER, rows};
use crate::{Client, OvsdbError};

/// Where ovs-vswitchd and ovsdb-server find what they need, on their own machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The private key (PEM).
    pub key: PathBuf,
    /// Its certificate (PEM).
    pub certificate: PathBuf,
    /// The certificates that vouch for controllers and managers (PEM).
    pub authority: PathBuf,
}

/// Makes the settings name these files; true when they did not. Settings that somebody else made are refused.
pub async fn ensure_tls(client: &Client, files: &TlsFiles, owner: &str) -> Result<bool, OvsdbError> {
    let text = |path: &PathBuf| path.display().to_string();
    let wanted = [
        ("private_key", text(&files.key)),
        ("certificate", text(&files.certificate)),
        ("ca_cert", text(&files.authority)),
    ];
    let select = json!({ "op": "select", "table": "SSL", "where": [],
        "columns": ["_uuid", "private_key", "certificate", "ca_cert", "bootstrap_ca_cert", "external_ids"] });
    let found = client.transact(DB, &[select]).await?;
    let present: &[Value] = found.first().map(rows).unwrap_or_default();
    let mut row: serde_json::Map<String, Value> =
        wanted.iter().map(|(column, value)| ((*column).to_owned(), json!(value))).collect();
    row.insert("bootstrap_ca_cert".into(), json!(false));
    if let [only] = present {
        let ids = only.get("external_ids").map(read_map).unwrap_or_default();
        if ids.get(OWNER).map(String::as_str) != Some(owner) {
            let owner = ids.get(OWNER).map_or_else(|| "somebody else".to_owned(), |o| format!("`{o}`"));
            return Err(OvsdbError::ForeignTls { owner });
        }
        let same = row.iter().all(|(column, value)| only.get(column) == Some(value));
        if same {
            return Ok(false);
        }
        let id = only.get("_uuid").cloned().unwrap_or(Value::Null);
        client
            .transact(DB, &[json!({ "op": "update", "table": "SSL", "where": [["_uuid", "==", id]], "row": row })])
            .await?;
        return Ok(true);
    }
    row.insert("external_ids".into(), map(&BTreeMap::from([(OWNER.to_owned(), owner.to_owned())])));
    let insert = json!({ "op": "insert", "table": "SSL", "uuid-name": "tls", "row": row });
    let refer = json!({ "op": "update", "table": "Open_vSwitch", "where": [], "row": { "ssl": named("tls") } });
    client.transact(DB, &[insert, refer]).await?;
    Ok(true)
}
