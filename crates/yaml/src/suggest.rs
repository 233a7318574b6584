//! "Did you mean …?"

/// Words longer than this are not compared: the work grows with the product of the lengths.
const LONGEST: usize = 64;

/// The candidate that is most likely meant by a mistyped word, if one is near enough: one slip for short words, one for
/// every three characters of longer ones. A slip is a character too many, missing, wrong, or swapped with its
/// neighbour. Of equally near candidates the first wins.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    let allowed = (word.len() / 3).max(1);
    if word.len() > LONGEST {
        return None;
    }
    let mut best = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
        if letters.len().abs_diff(word.len()) > allowed {
            continue;
        }
        let slips = distance(&word, &letters);
        // A one-letter word is one slip from every other: that is no likeness.
        if slips <= allowed && slips < word.len().max(letters.len()) && best.is_none_or(|(least, _)| slips < least) {
            best = Some((slips, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: Levenshtein's, with swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut a_before = None;
    for (row, &x) in a.iter().enumerate() {
        let mut now = Vec::with_capacity(last.len());
        now.push(row + 1);
        let mut b_before = None;
        for (column, &y) in b.iter().enumerate() {
            let at = |line: &[usize], i: usize| line.get(i).copied().unwrap_or(usize::MAX - 1);
            let change = at(&last, column) + usize::from(x != y);
            let mut least = change.min(at(&last, column + 1) + 1).min(at(&now, column) + 1);
            if column > 0 && a_before == Some(y) && b_before == Some(x) {
                least = least.min(at(&before, column - 1) + 1);
            }
            now.push(least);
            b_before = Some(y);
        }
        before = std::mem::replace(&mut last, now);
        a_before = Some(x);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, n) in
            [("", "", 0), ("crm", "crm", 0), ("crmm", "crm", 1), ("slaes", "sales", 1), ("kitten", "sitting", 3)]
        {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(distance(&a, &b), n);
            assert_eq!(distance(&b, &a), n);
        }
    }

    #[test]
    fn only_near_words_are_offered() {
        let words = ["sales", "crm", "cameras", "営業部"];
        for (word, meant) in [
            ("crmm", Some("crm")),
            ("Slaes", Some("sales")),
            ("camera", Some("cameras")),
            ("営業", Some("営業部")),
            ("xyz", None),
            ("sa", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(word, words), meant, "{word}");
        }
        assert_eq!(did_you_mean("a", ["b"]), None);
        let long = "x".repeat(1000);
        assert_eq!(did_you_mean(&long, [long.as_str()]), None);
    }
}
