//! Walking references between definitions: order and cycles.

use std::collections::BTreeMap;

use fseg_model::Name;
use fseg_yaml::Span;

use super::names::Reference;

/// What a walk over all references finds.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Every name once, those it refers to first (where there is no cycle).
    pub(super) order: Vec<Name>,
    /// Each cycle as it is met: the names along it, the first again at the end, and where the last reference stands.
    pub(super) cycles: Vec<(Vec<Name>, Span)>,
}

/// Depth first, with its own stack: a chain of definitions may be as long as the file. References to what does not exist
/// are passed over.
pub(super) fn walk(edges: &BTreeMap<Name, Vec<Reference>>) -> Walk {
    let mut found = Walk::default();
    // `false` while a name is on the path, `true` when it is done.
    let mut done: BTreeMap<&Name, bool> = BTreeMap::new();
    for (root, references) in edges {
        if done.contains_key(root) {
            continue;
        }
        done.insert(root, false);
        let mut path = vec![(root, references.iter())];
        while let Some((name, rest)) = path.last_mut() {
            let Some(reference) = rest.next() else {
                done.insert(name, true);
                found.order.push((*name).clone());
                path.pop();
                continue;
            };
            let Some((next, references)) = edges.get_key_value(&reference.name) else { continue };
            match done.get(next) {
                Some(true) => {}
                Some(false) => {
                    let cycle = path.iter().map(|(n, _)| *n).skip_while(|n| *n != next).chain([next]);
                    found.cycles.push((cycle.cloned().collect(), reference.span));
                }
                None => {
                    done.insert(next, false);
                    path.push((next, references.iter()));
                }
            }
        }
    }
    found
}

/// `a → b → a`, with the middle left out when it is long.
pub(super) fn cycle_text(cycle: &[Name]) -> String {
    let quoted = |names: &[Name]| names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" → ");
    match (cycle.get(..4), cycle.get(cycle.len().saturating_sub(4)..)) {
        (Some(first), Some(last)) if cycle.len() > 10 => {
            format!("{} → ({} more) → {}", quoted(first), cycle.len() - 8, quoted(last))
        }
        _ => quoted(cycle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(list: &[(&str, &[&str])]) -> BTreeMap<Name, Vec<Reference>> {
        let name = |n: &str| Name::new(n).unwrap();
        let reference = |n: &&str| Reference { name: name(n), span: Span::point(1, 1) };
        list.iter().map(|(n, to)| (name(n), to.iter().map(reference).collect())).collect()
    }

    #[test]
    fn what_is_referred_to_comes_first() {
        let found = walk(&edges(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d", "gone"]), ("d", &[])]));
        assert!(found.cycles.is_empty());
        assert_eq!(found.order.iter().map(Name::as_str).collect::<Vec<_>>(), ["d", "b", "c", "a"]);
    }

    #[test]
    fn every_cycle_is_met() {
        let found = walk(&edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["b", "c"])]));
        let shown: Vec<String> = found.cycles.iter().map(|(c, _)| cycle_text(c)).collect();
        assert_eq!(shown, ["`b` → `c` → `b`", "`c` → `c`"]);
        assert_eq!(found.order.len(), 3);
    }

    #[test]
    fn a_chain_as_long_as_a_file_is_walked() {
        let name = |n: usize| Name::new(&format!("g{n}")).unwrap();
        let chain =
            (0..50_000).map(|n| (name(n), vec![Reference { name: name((n + 1) % 50_000), span: Span::point(1, 1) }]));
        let found = walk(&chain.collect());
        assert_eq!(found.order.len(), 50_000);
        assert_eq!(found.cycles.len(), 1);
        assert_eq!(
            cycle_text(&found.cycles[0].0),
            "`g0` → `g1` → `g2` → `g3` → (49993 more) → `g49997` → `g49998` → `g49999` → `g0`"
        );
    }
}
