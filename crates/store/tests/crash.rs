//! A writer is killed in the middle of its commits: afterwards every acknowledged commit is there, and no half of one.
#![allow(clippy::unwrap_used, reason = "a test, its helper included")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fseg_model::Wall;
use fseg_store::{AuditEntry, Change, SqliteStore, Store, Table};
use serde_json::json;

const FILE: &str = "FSEG_STORE_CRASH_FILE";

/// The values of the two keys that each batch sets to the same number.
fn state(store: &mut SqliteStore) -> [u64; 2] {
    let records = store.load().unwrap();
    ["a", "b"].map(|key| records.iter().find(|r| r.key == key).map_or(0, |r| r.value.as_u64().unwrap()))
}

/// The writer, run as a process of its own: counts on from where the file is, a line for each acknowledged commit.
#[test]
#[ignore = "the process that the other test kills"]
fn writer() {
    let path = PathBuf::from(std::env::var_os(FILE).expect("run by the other test"));
    let mut store = SqliteStore::open(&path).unwrap();
    let [mut n, _] = state(&mut store);
    loop {
        n += 1;
        let put = |key: &str| Change::Put { table: Table::Meta, key: key.into(), value: json!(n) };
        let filler = Change::Put { table: Table::Lease, key: format!("{}", n % 50), value: json!("x".repeat(3000)) };
        let note = AuditEntry { at: Wall(n), who: "writer".into(), what: "count".into(), detail: json!(n) };
        store.commit(&[put("a"), filler, Change::Append(note), put("b")]).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {n}").and_then(|()| out.flush()).unwrap();
    }
}

#[test]
fn every_acknowledged_commit_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fseg.db");
    let mut last = 0;
    for round in 0..8u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--ignored", "--nocapture", "--test-threads=1"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        let mut counted = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(n) = line.unwrap().strip_prefix("acknowledged ").and_then(|n| n.parse::<u64>().ok()) else {
                continue;
            };
            acknowledged = n;
            counted += 1;
            // Killed once; what it still said before it died counts as acknowledged too.
            if counted == 3 + 7 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acknowledged >= last + 3 + 7 * round, "the writer stopped by itself in round {round}");
        let mut store = SqliteStore::open(&path).unwrap();
        let [a, b] = state(&mut store);
        assert_eq!(a, b, "half a batch is there");
        assert!(a >= acknowledged, "{acknowledged} was acknowledged, but the file ends at {a}");
        let page = store.audit(None, 1000).unwrap();
        let notes: Vec<u64> = page.iter().map(|r| r.entry.at.0).collect();
        assert_eq!(notes, (1..=a).rev().take(1000).collect::<Vec<_>>(), "the audit log has a gap");
        last = a;
    }
}
