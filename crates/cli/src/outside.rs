//! `fseg externals`, `fseg services`, `fseg streams`.

use fseg_api::{ExternalView, ServiceView, StreamView};
use fseg_model::Wall;

use crate::output::{Rows, Screen, Tone, count, list};
use crate::when::span;

/// `fseg externals`: a line for each external, and one for each address that was learned.
pub(crate) fn externals(items: &[ExternalView], _: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["EXTERNAL", "NETWORKS", "DOMAINS", "ADDRESS", "NAME", "HOLDS", "PACKETS#", "BYTES#", "PERMITS"],
        "The policy in force has no externals: nobody reaches the outside. `fseg apply FILE` puts a policy in force.",
    );
    for e in items {
        let head = [e.name.clone(), list(&e.networks), list(&e.domains)];
        let [name, networks, domains] = head;
        let empty = String::new;
        let permits = list(&e.permits);
        rows.add(Tone::Plain, [name, networks, domains, empty(), empty(), empty(), empty(), empty(), permits]);
        for a in &e.addresses {
            let names: Vec<String> = a.names.iter().map(|n| n.name.clone()).collect();
            let longest = a.names.iter().map(|n| n.seconds).max().unwrap_or_default();
            let others: Vec<String> = a.externals.iter().filter(|x| **x != e.name).cloned().collect();
            let shared = if others.is_empty() { empty() } else { format!("also in {}", list(&others)) };
            let holds = if longest == 0 { "while used".to_owned() } else { span(longest) };
            rows.add(
                if longest == 0 { Tone::Faint } else { Tone::Plain },
                [
                    e.name.clone(),
                    shared,
                    empty(),
                    a.address.to_string(),
                    list(&names),
                    holds,
                    count(a.packets),
                    count(a.bytes),
                    empty(),
                ],
            );
        }
    }
    rows.render(screen)
}

/// `fseg services`
pub(crate) fn services(items: &[ServiceView], _: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(&["SERVICE", "COVERS", "FROM", "PERMITS", "WHAT"], "There are no services.");
    for s in items {
        let (tone, from) = if s.defined { (Tone::Plain, "policy") } else { (Tone::Faint, "FSEG") };
        let what = s.description.clone().unwrap_or_default();
        rows.add(tone, [s.name.clone(), list(&s.terms), from.to_owned(), list(&s.permits), what]);
    }
    rows.render(screen)
}

/// `fseg streams`
pub(crate) fn streams(items: &[StreamView], _: Wall, screen: &Screen) -> String {
    let mut rows = Rows::new(
        &["STREAM", "ADDRESS", "SENDERS", "RECEIVERS", "WITHOUT PERMIT", "PACKETS#", "BYTES#"],
        "Nobody has joined a stream of the policy in force.",
    );
    for s in items {
        rows.add(
            if s.receivers.is_empty() { Tone::Warning } else { Tone::Plain },
            [
                list(&s.streams),
                s.group.to_string(),
                list(&s.senders),
                list(&s.receivers),
                list(&s.denied),
                count(s.packets),
                count(s.bytes),
            ],
        );
    }
    rows.render(screen)
}
