//! What Cargo says about the crates, compared with the plan.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};

use crate::plan::{Kind, Plan};

/// Crates that bring a runtime, sockets, files or a database: not even behind something else in a pure crate.
pub const WORLDLY: &[&str] = &[
    "async-std",
    "axum",
    "futures-util",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "netlink-sys",
    "nix",
    "redb",
    "reqwest",
    "rtnetlink",
    "rusqlite",
    "rustix",
    "rustls",
    "signal-hook",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
];

/// Crates that a pure crate does not name itself, although protocol libraries may bring them: clocks, random numbers,
/// system calls, logs.
pub const UNNAMED: &[&str] =
    &["chrono", "fastrand", "getrandom", "libc", "log", "parking_lot", "rand", "rand_core", "tracing"];

const PREFIX: &str = "fseg-";

/// The name by which the plan knows a crate of the workspace: `fseg-test-kit` is `test-kit`.
fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Everything in which the workspace differs from the plan, one sentence each.
pub fn violations(metadata: &Metadata, plan: &Plan) -> Vec<String> {
    let mut out = Vec::new();
    let packages: BTreeMap<&PackageId, &Package> = metadata.packages.iter().map(|p| (&p.id, p)).collect();
    let members: BTreeMap<&str, &Package> =
        metadata.workspace_packages().into_iter().map(|p| (short(p.name.as_str()), p)).collect();
    for missing in plan.keys().filter(|n| !members.contains_key(n.as_str())) {
        out.push(format!("{missing}: docs/architecture.md has a row for it, but there is no such crate"));
    }
    for (name, package) in &members {
        let Some(planned) = plan.get(*name) else {
            out.push(format!("{name}: it has no row in the table of docs/architecture.md"));
            continue;
        };
        if package.license.as_deref() != Some("Apache-2.0") {
            out.push(format!("{name}: its license is {:?}, not Apache-2.0", package.license));
        }
        for d in &package.dependencies {
            let local = members.get(short(&d.name)).filter(|_| d.name.starts_with(PREFIX));
            match (d.kind, local) {
                (DependencyKind::Development, Some(_)) => {
                    let kind = plan.get(short(&d.name)).map(|c| c.kind);
                    if planned.kind == Kind::Pure && kind == Some(Kind::Shell) {
                        out.push(format!("{name}: its tests use the shell {}", d.name));
                    }
                }
                (_, Some(_)) if !planned.may_use.contains(short(&d.name)) => {
                    out.push(format!("{name}: it uses {}, which its layer may not", d.name));
                }
                (DependencyKind::Normal, None) if planned.kind == Kind::Pure && UNNAMED.contains(&d.name.as_str()) => {
                    out.push(format!("{name}: it is pure, but depends on {}", d.name));
                }
                _ => {}
            }
        }
        if planned.kind == Kind::Pure {
            for id in reached(metadata, &package.id) {
                let reached = packages.get(id).map(|p| p.name.as_str()).unwrap_or_default();
                if WORLDLY.contains(&reached) {
                    out.push(format!("{name}: it is pure, but {reached} is linked into it"));
                }
            }
        }
    }
    out
}

/// All packages that are linked into one, itself included.
fn reached<'a>(metadata: &'a Metadata, from: &'a PackageId) -> BTreeSet<&'a PackageId> {
    let nodes: BTreeMap<&PackageId, _> = metadata.resolve.iter().flat_map(|r| &r.nodes).map(|n| (&n.id, n)).collect();
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        let linked = nodes
            .get(id)
            .into_iter()
            .flat_map(|n| &n.deps)
            .filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
        next.extend(linked.map(|d| &d.pkg));
    }
    seen
}

/// True when a manifest takes the workspace's lints.
pub fn takes_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|l| *l != "[lints]").skip(1);
    lines.find(|l| !l.is_empty() && !l.starts_with('#')) == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_are_taken_or_not() {
        assert!(takes_lints("[package]\nname = 'x'\n[lints]\nworkspace = true\n"));
        assert!(!takes_lints("[package]\nname = 'x'\n"));
        assert!(!takes_lints("[lints]\n[dependencies]\nworkspace = true\n"));
        assert!(!takes_lints("[lints.rust]\nunsafe_code = 'allow'\n"));
    }
}
