//! All versions of the policy that are kept: what was applied, by whom, and what became of it.

use std::collections::BTreeMap;

use crate::controller::Controller;
use crate::effect::EventKind;
use crate::record::{PolicyVersion, Record, RecordKey, VersionState};

/// The most versions that are kept; the oldest go first.
pub const MOST_VERSIONS: usize = 1_000;
/// The most text of all kept versions together, in bytes; the oldest go first.
pub const MOST_BYTES: usize = 64 << 20;

/// The kept versions by number.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    all: BTreeMap<u64, PolicyVersion>,
    bytes: usize,
}

impl Versions {
    /// Adds one, or replaces the one of its number.
    pub(crate) fn load(&mut self, version: PolicyVersion) {
        self.bytes += version.text.len();
        if let Some(old) = self.all.insert(version.version, version) {
            self.bytes -= old.text.len();
        }
    }

    /// The one in force: the newest that was applied and not undone.
    pub fn in_force(&self) -> Option<&PolicyVersion> {
        self.all.values().rev().find(|v| v.state == VersionState::Applied)
    }

    /// One of them.
    pub fn get(&self, version: u64) -> Option<&PolicyVersion> {
        self.all.get(&version)
    }

    /// All, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &PolicyVersion> {
        self.all.values().rev()
    }

    pub(crate) fn next(&self) -> u64 {
        self.all.last_key_value().map_or(1, |(n, _)| n + 1)
    }

    /// Lets the oldest go until the rest keeps to the bounds; never the one in force, nor one on its way.
    fn trim(&mut self) -> Vec<u64> {
        let keep = self.in_force().map(|v| v.version);
        let mut gone = Vec::new();
        while self.all.len() > MOST_VERSIONS || self.bytes > MOST_BYTES {
            let oldest = self.all.values().find(|v| Some(v.version) != keep && v.state != VersionState::Pending);
            let Some(number) = oldest.map(|v| v.version) else { break };
            if let Some(old) = self.all.remove(&number) {
                self.bytes -= old.text.len();
            }
            gone.push(number);
        }
        gone
    }
}

impl Controller {
    /// All kept versions of the policy.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Keeps a version, or what became of it.
    pub(super) fn keep_version(&mut self, version: PolicyVersion) {
        self.versions.load(version.clone());
        self.put(Record::Policy(version));
        for old in self.versions.trim() {
            self.delete(RecordKey::Policy(old));
        }
    }

    /// At start: a version that was on its way when the node stopped was never acknowledged, and some switches may not have
    /// it. It is undone; reading the switches takes it from those that have.
    pub(crate) fn undo_pending_version(&mut self) {
        let pending: Vec<PolicyVersion> =
            self.versions.newest_first().filter(|v| v.state == VersionState::Pending).cloned().collect();
        for version in pending {
            let number = version.version;
            self.keep_version(PolicyVersion { state: VersionState::Undone, ..version });
            let kept = self.versions.in_force().map_or(0, |v| v.version);
            let detail =
                serde_json::json!({ "version": number, "in_force": kept, "why": "the node stopped meanwhile" });
            self.audit("system", "policy.undone", detail);
            let text = format!(
                "policy version {number} was being put in force when the node stopped; it is undone, version {kept} holds"
            );
            self.event(EventKind::Policy, text, |_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use fseg_model::Wall;

    use super::*;

    fn version(n: u64, bytes: usize, state: VersionState) -> PolicyVersion {
        PolicyVersion {
            version: n,
            file: "p".into(),
            text: "x".repeat(bytes),
            who: "op".into(),
            at: Wall(n),
            message: None,
            state,
            summary: String::new(),
        }
    }

    #[test]
    fn the_oldest_go_and_the_one_in_force_stays() {
        let mut kept = Versions::default();
        kept.load(version(1, 10, VersionState::Applied));
        for n in 2..MOST_VERSIONS as u64 + 20 {
            kept.load(version(n, 10, VersionState::Undone));
        }
        assert_eq!(kept.in_force().map(|v| v.version), Some(1));
        assert_eq!(kept.trim(), (2..21).collect::<Vec<_>>());
        assert!(kept.get(1).is_some() && kept.get(21).is_some());
        assert_eq!(kept.next(), MOST_VERSIONS as u64 + 20);
        kept.load(version(5000, MOST_BYTES, VersionState::Applied));
        assert_eq!(kept.trim().len(), MOST_VERSIONS);
        assert_eq!(kept.newest_first().map(|v| v.version).collect::<Vec<_>>(), [5000]);
        assert!(kept.trim().is_empty());
    }
}
