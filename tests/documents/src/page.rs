//! Markdown, as far as tests need it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// All pages below a folder, and the README.
///
/// # Errors
/// When a folder cannot be read.
pub fn pages() -> io::Result<Vec<PathBuf>> {
    let mut out = vec![repository("README.md")];
    let mut folders = vec![repository("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                out.push(path);
            }
        }
    }
    out.sort();
    Ok(out)
}

/// Lines outside fenced blocks.
pub fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of links that lead to files, without `#…`.
pub fn links(page: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in prose(page) {
        for rest in line.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") {
                out.push(file.to_owned());
            }
        }
    }
    out
}

/// The file that a link on a page leads to.
pub fn target(page: &Path, link: &str) -> PathBuf {
    page.parent().unwrap_or(Path::new("")).join(link)
}

/// The rows of all tables below each heading, as cells. The heading is its text without `#`.
pub fn tables(page: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut out: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let mut heading = String::new();
    for line in prose(page) {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        } else if let Some(row) = line.strip_prefix("| ")
            && !row.starts_with("---")
        {
            let cells = row.trim_end_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect();
            out.entry(heading.clone()).or_default().push(cells);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A\nsee [b](b.md#x), [c](https://example.com) and [d](#here)\n\
        ```\n[no](no.md)\n| a | b |\n```\n| x | y |\n| --- | --- |\n| `1` | two |\n";

    #[test]
    fn links_and_tables_are_found_outside_blocks() {
        assert_eq!(links(PAGE), ["b.md"]);
        assert_eq!(tables(PAGE)["A"], [["x", "y"], ["`1`", "two"]]);
    }
}
