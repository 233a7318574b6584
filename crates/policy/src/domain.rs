//! Domain names of externals, and which names they cover.

use fseg_model::{MemberSet, Name};

use crate::Policy;

/// True when a pattern covers a name. `*.office.example` covers every name below `office.example`, at any depth, and not
/// `office.example` itself; a name without a star covers itself. Both in lower case, without the final dot.
pub fn domain_covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == name,
        // At least one octet before the dot.
        Some(parent) => name.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
    }
}

/// True for a domain name (RFC 1035, 2.3.1; letters beyond ASCII allowed): labels of 1 to 63 octets with letters, digits
/// and inner hyphens, at most 253 octets in all. Underscores are allowed, since names of services have them (RFC 8552).
pub fn is_domain(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

impl Policy {
    /// The externals that list a domain name. A final dot and capitals do not count.
    pub fn externals_named(&self, name: &str) -> MemberSet {
        let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
        let lists = |e: &&crate::External| e.domains.iter().any(|pattern| domain_covers(pattern, &name));
        self.externals.values().filter(lists).map(|e| e.name.clone()).collect()
    }

    /// Every domain pattern of any external: whoever answers questions for names looks out for these.
    pub fn domain_patterns(&self) -> Vec<String> {
        let mut all: Vec<String> = self.externals.values().flat_map(|e| e.domains.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The externals of an outside address that was learned by these names: those that list one of the names, and those to
    /// which the address belongs by its number. Learning a name never takes a right away.
    pub fn externals_of_learned<'n>(
        &self,
        address: std::net::IpAddr,
        names: impl IntoIterator<Item = &'n str>,
    ) -> MemberSet {
        let mut all: MemberSet = names.into_iter().flat_map(|name| self.externals_named(name)).collect();
        all.extend(self.externals_of(address));
        all
    }

    /// The externals of an address that nothing is known of but a name: those that list the name, and those that list
    /// every address.
    pub fn externals_of_name(&self, name: &str) -> MemberSet {
        let everything = |e: &&crate::External| e.prefixes.iter().any(|p| p.prefix_len() == 0);
        let whole: Vec<Name> = self.externals.values().filter(everything).map(|e| e.name.clone()).collect();
        self.externals_named(name).into_iter().chain(whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_any_depth_and_not_for_nothing() {
        for (pattern, name, covers) in [
            ("*.office.com", "login.office.com", true),
            ("*.office.com", "a.b.c.office.com", true),
            ("*.office.com", "office.com", false),
            ("*.office.com", ".office.com", false),
            ("*.office.com", "evil-office.com", false),
            ("*.office.com", "x.evil-office.com", false),
            ("*.office.com", "office.com.evil.example", false),
            ("office.com", "office.com", true),
            ("office.com", "www.office.com", false),
            ("*.com", "office.com", true),
            ("日本.example", "日本.example", true),
        ] {
            assert_eq!(domain_covers(pattern, name), covers, "{pattern} {name}");
        }
    }

    /// By labels, one by one.
    fn naive(pattern: &str, name: &str) -> bool {
        let (mut p, mut n): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), name.split('.').collect());
        if p.first() != Some(&"*") {
            return p == n;
        }
        p.remove(0);
        while n.len() > p.len() {
            n.remove(0);
            if n == p {
                return true;
            }
        }
        false
    }

    proptest! {
        #[test]
        fn covering_is_by_whole_labels(
            pattern in proptest::collection::vec("[ab]{1,2}", 1..4),
            star in any::<bool>(),
            name in proptest::collection::vec("[ab]{1,2}", 1..5),
        ) {
            let mut pattern = pattern.join(".");
            if star {
                pattern.insert_str(0, "*.");
            }
            let name = name.join(".");
            prop_assert_eq!(domain_covers(&pattern, &name), naive(&pattern, &name), "{} {}", pattern, name);
        }
    }
}
