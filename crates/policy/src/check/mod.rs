//! From text to a checked policy.
//!
//! One file per section. Each section is read completely before names are looked up, so that order in the file does not
//! matter, and everything wrong is reported at once. A policy comes out only when there is no error at all.

mod externals;
mod graph;
mod groups;
mod names;
mod permits;
mod services;
mod streams;
mod tests;
mod unused;

use std::collections::{BTreeMap, BTreeSet};

use fseg_model::{IpProtocol, Name, ServiceTerm, Wall};
use fseg_yaml::{Diagnostic, Limits, Reader, Source, Span, Value};

use crate::policy::Observed;
use crate::{Group, Mode, Policy, expiry_text};

/// The most entries of one section.
const MAX_ENTRIES: usize = 65_536;
/// The most port ranges of one service or permit, after merging.
const MAX_TERMS: usize = 256;

/// What came out of checking a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The policy, when there is no error.
    pub policy: Option<Policy>,
    /// Errors and warnings in the order of the file, at most [`fseg_yaml::MAX_DIAGNOSTICS`] and a line that counts the
    /// rest.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// Adds a warning for each permit that asks for a protection: no function in the path provides any yet, and its traffic
    /// must not be believed to be inspected. A check of its own, since what is provided is the network's matter.
    pub fn warn_of_missing_protection(&mut self, source: &Source) {
        let asking = self.policy.iter().flat_map(|p| &p.permits).filter_map(|p| Some((p, p.protect.as_ref()?)));
        let warnings = asking.map(|(permit, wanted)| {
            let text = format!("permit `{}` asks for the protection `{wanted}`, which is not provided yet", permit.id);
            Diagnostic::warning(source, permit.span, text).with_help("its traffic passes without being inspected")
        });
        let warnings: Vec<_> = warnings.collect();
        self.diagnostics.extend(warnings);
    }

    /// Adds warnings for what a policy permits beyond its words between switches that track no connections: there an answer is
    /// known by the service's port only. `plain` names these switches; without any, nothing is said.
    pub fn warn_of_plain_switches(&mut self, source: &Source, plain: &[Name]) {
        if plain.is_empty() {
            return;
        }
        let Some(permits) = self.policy.as_ref().map(|p| &p.permits) else { return };
        let names = plain.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let mut warnings = Vec::new();
        // ICMP's answers have a type of their own.
        let stays_open = |t: &ServiceTerm| t.protocol != Some(IpProtocol::ICMP);
        if let Some(first) = permits.iter().find(|p| p.terms.iter().any(stays_open)) {
            let text = format!(
                "between endpoints on switches without connection tracking ({names}), whoever a permit lets answer from a \
                 port may also send from that port unasked"
            );
            let help =
                "attach servers to Open vSwitch, or name narrow ports; it holds for all permits, and is said once";
            warnings.push(Diagnostic::warning(source, first.span, text).with_help(help));
        }
        let both_ways = |t: &ServiceTerm| stays_open(t) && t.ports.first() <= 1 && t.ports.last() == u16::MAX;
        for permit in permits.iter().filter(|p| p.terms.iter().any(both_ways)) {
            let text = format!("permit `{}` names no ports: on {names} it is open in both directions", permit.id);
            warnings.push(Diagnostic::warning(source, permit.span, text).with_help("name the ports that are needed"));
        }
        self.diagnostics.extend(warnings);
    }

    /// The policy with its warnings, or everything that was found.
    pub fn into_result(self) -> Result<(Policy, Vec<Diagnostic>), Vec<Diagnostic>> {
        match self.policy {
            Some(policy) => Ok((policy, self.diagnostics)),
            None => Err(self.diagnostics),
        }
    }
}

/// Checks a policy file. Whether permits have expired is not looked at: see [`check_at`].
pub fn check(source: &Source) -> Checked {
    run(source, None)
}

/// Checks a policy file, and warns of permits that have expired at the time `now`.
pub fn check_at(source: &Source, now: Wall) -> Checked {
    run(source, Some(now))
}

fn run(source: &Source, now: Option<Wall>) -> Checked {
    let reader = Reader::new(source);
    let policy = read(&reader);
    let policy = policy.filter(|_| !reader.has_errors());
    if let Some(policy) = &policy {
        unused::warn(&reader, policy);
        if let Some(now) = now {
            warn_of_expired(&reader, policy, now);
        }
    }
    Checked { policy, diagnostics: reader.into_diagnostics() }
}

/// Reads everything that can be read. What comes out counts only when the reader has no errors.
fn read(reader: &Reader<'_>) -> Option<Policy> {
    let root = reader.parse(Limits::default())?;
    let root = reader.value(&root);
    if root.is_null() {
        reader.error_with_help(Span::FILE, "the policy is empty", "write `permits: []` to permit nothing");
        return None;
    }
    let mut file = root.as_map()?;
    let groups = section(file.section("groups"), groups::read);
    let services = section(file.section("services"), services::read);
    let externals = section(file.section("externals"), |value| externals::read(value, &groups));
    let streams = section(file.section("streams"), |value| streams::read(value, &groups, &externals));
    let permits = file.required_value("permits", "write `permits: []` to permit nothing");
    let tests = file.section("tests");
    let mode = file.optional("mode").and_then(|v| Some((v, v.parse::<Mode>()?)));
    let observe = file.optional("observe");
    file.finish();

    let groups = groups::resolve(reader, groups);
    let services = services::resolve(reader, services);
    let known = names::Known { groups: &groups, services: &services, externals: &externals, streams: &streams };
    let permits = permits.and_then(|value| permits::read(value, &known)).unwrap_or_default();
    let tests = tests.and_then(|value| tests::read(value, &known)).unwrap_or_default();
    let groups_observed = observe.and_then(|value| observed_groups(value, &groups)).unwrap_or_default();
    let everything = mode.is_some_and(|(_, mode)| mode == Mode::Observe);
    if let Some((value, Mode::Observe)) = mode {
        value.warn(
            "observe-only: NOTHING IS ENFORCED; what would be denied between admitted endpoints passes and is logged",
            "remove `mode: observe` (or write `mode: enforce`) when `fseg logs --kind observed` stays quiet",
        );
    }
    let observed = Observed { everything, groups: groups_observed };
    let policy = Policy::new(groups, services, externals, streams, permits, tests, observed);
    if !reader.has_errors() {
        tests::warn_of_strangers(reader, &policy);
    }
    Some(policy)
}

/// A section of named entries; absent or empty means that there are none.
fn section<K: Ord, T>(
    value: Option<Value<'_>>,
    read: impl FnOnce(Value<'_>) -> Option<BTreeMap<K, T>>,
) -> BTreeMap<K, T> {
    value.and_then(read).unwrap_or_default()
}

/// The groups that are only observed, each with a warning.
fn observed_groups(value: Value<'_>, groups: &BTreeMap<Name, Group>) -> Option<BTreeSet<Name>> {
    let items = value.as_one_or_many()?;
    let mut found = BTreeSet::new();
    for item in items {
        let Some(name) = item.parse::<Name>() else { continue };
        if !groups.contains_key(&name) {
            let message = || format!("`observe` names the group `{name}`, which does not exist");
            let at = item.span();
            names::unknown(item.reader(), at, message, name.as_str(), groups.keys(), "define it under `groups:`");
            continue;
        }
        item.warn(
            format!(
                "group `{name}` is only observed: what would be denied from or to its members passes and is logged"
            ),
            "take it out of `observe` when `fseg logs --kind observed` stays quiet",
        );
        found.insert(name);
    }
    Some(found)
}

fn warn_of_expired(reader: &Reader<'_>, policy: &Policy, now: Wall) {
    for permit in policy.permits.iter().filter(|permit| permit.has_expired(now)) {
        let until = permit.expires.map(expiry_text).unwrap_or_default();
        let message = format!("permit `{}` has expired (it held until {until}) and permits nothing", permit.id);
        reader.warn(permit.span, message, "remove it, or give it a later date");
    }
    for permit in policy.permits.iter().filter(|permit| permit.mode == Mode::Observe) {
        let message = format!("permit `{}` is on trial: what only it permits passes and is logged", permit.id);
        reader.warn(
            permit.span,
            message,
            "remove the permit when `fseg logs --kind observed` stays quiet, or its `mode`",
        );
    }
}
