//! Which certificates were issued for which switch, and which of them no longer count.
//!
//! A switch is let in by this list, not by its certificate alone: what is not on it does not count, whoever signed it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fseg_model::{Dpid, Name, Wall};
use fseg_store::{AuditEntry, Change, Record, Table};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;

use super::authority::hex;

/// More certificates than this are not kept; ended ones go first.
const MOST: usize = 10_000;

/// Why a certificate no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// An administrator took it back.
    Revoked,
    /// The switch uses a newer one.
    Replaced,
}

/// When and why a certificate ceased to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: Wall,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: EndReason,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The switch it was issued for.
    pub switch: Name,
    /// The datapath ids it is good for: the switch's, and those of other bridges of the same Open vSwitch, which share it.
    pub dpids: Vec<Dpid>,
    /// SHA-256 of the certificate, 64 hexadecimal digits.
    pub fingerprint: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// When it was issued.
    pub issued: Wall,
    /// By whom.
    pub by: String,
    /// From when on it does not count any more.
    pub expires: Wall,
    /// True when the node installs and renews it itself, through the local database.
    pub automatic: bool,
    /// When it ceased to count before that, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// Why a certificate does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotCounted {
    /// It is not on the list.
    #[error(
        "this node knows nothing of its certificate (was the state restored from an older copy?): enrol the switch again with `fseg switch enroll NAME`"
    )]
    Unknown,
    /// It ended.
    #[error("the certificate of {switch} (serial {serial}) was {}: `fseg switch enroll {switch}` issues another", match end.reason { EndReason::Revoked => format!("revoked by {}", end.by), EndReason::Replaced => "replaced by a newer one, which the switch has used already".to_owned() })]
    Ended {
        /// Whose it was.
        switch: Name,
        /// Which.
        serial: String,
        /// Why.
        end: End,
    },
}

/// All certificates, by fingerprint.
pub(super) struct Register {
    all: Mutex<BTreeMap<String, Enrolment>>,
    changes: watch::Sender<u64>,
}

/// SHA-256 of a certificate in DER.
pub(super) fn fingerprint(certificate: &[u8]) -> String {
    hex(digest(&SHA256, certificate).as_ref())
}

impl Register {
    /// From the store's rows; rows that cannot be read are left out and named.
    pub(super) fn load(rows: &[Record]) -> (Self, Vec<String>) {
        let (mut all, mut bad) = (BTreeMap::new(), Vec::new());
        for row in rows.iter().filter(|r| r.table == Table::Certificate) {
            match serde_json::from_value::<Enrolment>(row.value.clone()) {
                Ok(e) => {
                    all.insert(e.fingerprint.clone(), e);
                }
                Err(_) => bad.push(row.key.clone()),
            }
        }
        (Self { all: Mutex::new(all), changes: watch::channel(0).0 }, bad)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Enrolment>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The certificate with this fingerprint, if it counts. Its validity is not looked at: the handshake does that.
    pub(super) fn judge(&self, fingerprint: &str) -> Result<Enrolment, NotCounted> {
        let all = self.lock();
        let found = all.get(fingerprint).ok_or(NotCounted::Unknown)?;
        match &found.end {
            None => Ok(found.clone()),
            Some(end) => {
                Err(NotCounted::Ended { switch: found.switch.clone(), serial: found.serial.clone(), end: end.clone() })
            }
        }
    }

    /// Every certificate of a switch, the newest first.
    pub(super) fn of(&self, switch: &Name) -> Vec<Enrolment> {
        let mut list: Vec<_> = self.lock().values().filter(|e| e.switch == *switch).cloned().collect();
        list.sort_by(|a, b| b.issued.cmp(&a.issued).then(a.serial.cmp(&b.serial)));
        list
    }

    /// The certificates that others than `used` keep for the same switch, and that still count.
    pub(super) fn older(&self, used: &Enrolment) -> Vec<Enrolment> {
        let list = self.of(&used.switch);
        list.into_iter()
            .filter(|e| e.fingerprint != used.fingerprint && e.end.is_none() && e.issued <= used.issued)
            .collect()
    }

    /// Takes what is durable already.
    pub(super) fn put(&self, enrolments: impl IntoIterator<Item = Enrolment>) {
        let mut all = self.lock();
        for e in enrolments {
            all.insert(e.fingerprint.clone(), e);
        }
        drop(all);
        self.changes.send_modify(|n| *n += 1);
    }

    /// Forgets those that are over by more than their own validity anyway; the changes for the store.
    pub(super) fn sweep(&self, now: Wall) -> Vec<Change> {
        let mut all = self.lock();
        let over = |e: &Enrolment| e.expires < now;
        // The newest of each switch stays, so that `fseg switch list` can say that it expired.
        let mut newest: BTreeMap<Name, (Wall, String)> = BTreeMap::new();
        for e in all.values() {
            let entry = newest.entry(e.switch.clone()).or_insert_with(|| (e.issued, e.fingerprint.clone()));
            if e.issued > entry.0 {
                *entry = (e.issued, e.fingerprint.clone());
            }
        }
        let gone: Vec<String> = all
            .values()
            .filter(|e| over(e) && newest.get(&e.switch).is_none_or(|(_, f)| *f != e.fingerprint))
            .map(|e| e.fingerprint.clone())
            .collect();
        gone.iter()
            .filter_map(|f| all.remove(f))
            .map(|e| Change::Delete { table: Table::Certificate, key: e.serial })
            .collect()
    }

    /// True when no more certificates can be kept.
    pub(super) fn is_full(&self) -> bool {
        self.lock().len() >= MOST
    }
}

/// How an enrolment is stored.
pub(super) fn put(e: &Enrolment) -> Change {
    // Plain maps and strings, which cannot fail.
    let value = serde_json::to_value(e).unwrap_or(serde_json::Value::Null);
    Change::Put { table: Table::Certificate, key: e.serial.clone(), value }
}

/// The audit log's entry about one.
pub(super) fn audit(e: &Enrolment, at: Wall, who: &str, what: &str) -> Change {
    let detail = serde_json::json!({
        "switch": e.switch, "serial": e.serial, "fingerprint": e.fingerprint, "expires": e.expires,
    });
    Change::Append(AuditEntry { at, who: who.into(), what: what.into(), detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrolment(switch: &str, serial: &str, issued: u64) -> Enrolment {
        Enrolment {
            switch: Name::new(switch).unwrap(),
            dpids: vec![Dpid(1)],
            fingerprint: format!("f-{serial}"),
            serial: serial.into(),
            issued: Wall(issued),
            by: "admin".into(),
            expires: Wall(issued + 1000),
            automatic: false,
            end: None,
        }
    }

    #[test]
    fn only_what_is_on_the_list_and_has_not_ended_counts() {
        let (register, bad) = Register::load(&[]);
        assert!(bad.is_empty());
        assert_eq!(register.judge("f-1"), Err(NotCounted::Unknown));
        let one = enrolment("sw1", "1", 1);
        register.put([one.clone()]);
        assert_eq!(register.judge("f-1"), Ok(one.clone()));
        let end = End { at: Wall(2), by: "anna".into(), reason: EndReason::Revoked };
        register.put([Enrolment { end: Some(end), ..one }]);
        let said = register.judge("f-1").unwrap_err().to_string();
        assert!(
            said.contains("sw1") && said.contains("revoked by anna") && said.contains("fseg switch enroll sw1"),
            "{said}"
        );
    }

    #[test]
    fn it_survives_the_store_and_names_what_it_cannot_read() {
        let one = enrolment("sw1", "1", 1);
        let Change::Put { table, key, value } = put(&one) else { panic!("a put") };
        let row = |value, key: &str| Record { table, key: key.into(), value, changed: Wall(0) };
        let rows = [row(value, &key), row(serde_json::json!({ "switch": "x" }), "broken")];
        let (register, bad) = Register::load(&rows);
        assert_eq!(bad, ["broken"]);
        assert_eq!(register.judge("f-1"), Ok(one));
    }

    #[test]
    fn older_ones_are_found_and_expired_ones_are_swept_but_the_newest() {
        let (register, _) = Register::load(&[]);
        let (old, new, other) = (enrolment("sw1", "1", 1), enrolment("sw1", "2", 500), enrolment("sw2", "3", 1));
        register.put([old.clone(), new.clone(), other]);
        assert_eq!(register.older(&new), [old]);
        assert_eq!(register.older(&enrolment("sw1", "1", 1)), []);
        assert_eq!(register.sweep(Wall(900)).len(), 0);
        assert_eq!(register.sweep(Wall(1200)).len(), 1, "the old one of sw1; that of sw2 is its newest");
        assert_eq!(register.of(&new.switch), [new]);
    }
}
