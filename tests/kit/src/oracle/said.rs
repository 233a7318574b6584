//! What `ovs-appctl` prints, read.

use std::collections::BTreeMap;

/// A search: the table, and the cookie of the row found.
pub(super) type Search = (u8, Option<u64>);

/// One pass of `ofproto/trace`: from the beginning, or from where connection tracking let a packet go on.
#[derive(Debug, Clone, Default)]
pub(super) struct Pass {
    /// What the packet was.
    pub(super) flow: String,
    /// What it became; `unchanged` is spelled out.
    pub(super) end: String,
    /// The tables searched.
    pub(super) searches: Vec<Search>,
    /// What the datapath does.
    pub(super) actions: Vec<String>,
    /// The translation was given up.
    pub(super) failed: bool,
}

/// The passes of an answer.
pub(super) fn passes(text: &str) -> Vec<Pass> {
    let mut passes: Vec<Pass> = Vec::new();
    for line in text.lines() {
        if let Some(flow) = line.strip_prefix("Flow: ") {
            passes.push(Pass { flow: flow.to_owned(), ..Pass::default() });
            continue;
        }
        let Some(pass) = passes.last_mut() else { continue };
        if let Some(end) = line.strip_prefix("Final flow: ") {
            pass.end = if end == "unchanged" { pass.flow.clone() } else { end.to_owned() };
        } else if let Some(actions) = line.strip_prefix("Datapath actions: ") {
            pass.actions = list(actions);
        } else if line.starts_with("Translation failed") {
            pass.failed = true;
        } else if let Some(search) = search(line) {
            pass.searches.push(search);
        }
    }
    passes
}

/// ` 4. ip, priority 9, cookie 0x41`, ` 4. No match.`
fn search(line: &str) -> Option<Search> {
    let (table, rest) = line.trim_start().split_once(". ")?;
    let table = table.parse().ok()?;
    if rest == "No match." {
        return Some((table, None));
    }
    let cookie = rest.rsplit_once("cookie 0x")?.1;
    Some((table, Some(u64::from_str_radix(cookie.trim(), 16).ok()?)))
}

/// Items between commas that are in no parentheses.
pub(super) fn list(text: &str) -> Vec<String> {
    let (mut out, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(text[start..at].to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(text[start..].to_owned());
    out
}

/// `name(inside)`.
pub(super) fn call(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('(')?;
    Some((name, rest.strip_suffix(')')?))
}

/// OpenFlow port numbers by the datapath's, from `dpif/show`: `    p1 1/1: (dummy)`.
pub(super) fn ports(text: &str) -> BTreeMap<u32, u32> {
    let numbers = |line: &str| {
        let (ours, datapath) = line.trim().split_once(' ')?.1.split_once(':')?.0.split_once('/')?;
        Some((datapath.trim().parse().ok()?, ours.trim().parse().unwrap_or(fseg_openflow::port::LOCAL)))
    };
    text.lines().filter_map(numbers).map(|(a, b): (u32, u32)| (a, if b == 0xfffe { 0xffff_fffe } else { b })).collect()
}
