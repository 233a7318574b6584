//! Looks into the source of pure crates for what belongs to shells. Code of tests does not count.
//!
//! This reads text, not syntax: it relies on rustfmt for where a block ends. What it misses a reviewer must see; what
//! it finds is named with its line.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Paths (and all below them) that pure code does not use.
pub const FORBIDDEN: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Words that give it away wherever they come from: clocks and random numbers of other crates, and printing.
pub const WORDS: &[&str] =
    &["OsRng", "ThreadRng", "dbg!", "eprintln!", "now_local", "now_utc", "print!", "println!", "thread_rng"];

/// Everything forbidden in the source folder of a crate, as `file:line: what`.
///
/// # Errors
/// When a file cannot be read.
pub fn scan_folder(folder: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    let texts: Vec<(PathBuf, String)> =
        files.into_iter().map(|f| fs::read_to_string(&f).map(|t| (f, t))).collect::<io::Result<_>>()?;
    let tests: Vec<PathBuf> = texts.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
    let counts = |file: &Path| !tests.iter().any(|t| file.starts_with(t) || file == t.with_extension("rs"));
    Ok(texts
        .iter()
        .filter(|(file, _)| counts(file))
        .flat_map(|(file, text)| {
            let shown = file.strip_prefix(folder).unwrap_or(file).display().to_string();
            scan(text).into_iter().map(move |(line, what)| format!("{shown}:{line}: {what}"))
        })
        .collect())
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    Ok(())
}

/// The files (without `.rs`) or folders of modules that `file` declares for tests only.
fn test_modules(file: &Path, text: &str) -> Vec<PathBuf> {
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let parent = file.parent().unwrap_or(Path::new(""));
    let home = if matches!(stem, "lib" | "main" | "mod") { parent.to_owned() } else { parent.join(stem) };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(|name| home.join(name))
        .collect()
}

/// Everything forbidden in one file: line number and what it is.
pub fn scan(text: &str) -> Vec<(usize, String)> {
    let code = without_tests(text);
    let mut out = Vec::new();
    for (start, statement) in uses(&code) {
        for path in expand(&statement) {
            if let Some(hit) = FORBIDDEN.iter().find(|f| below(&path, f)) {
                out.push((start, format!("use of {hit}")));
            }
        }
    }
    for (number, line) in &code {
        if line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ") {
            continue;
        }
        for hit in FORBIDDEN.iter().chain(WORDS).filter(|f| contains_word(line, f)) {
            out.push((*number, format!("use of {hit}")));
        }
    }
    out.sort();
    out.dedup();
    out
}

/// The lines that are neither comments nor code of tests, with their numbers.
fn without_tests(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    // The line that ends what is skipped.
    let mut until: Option<String> = None;
    let mut attribute = false;
    for (i, line) in text.lines().enumerate() {
        if let Some(end) = &until {
            if line == end {
                until = None;
            }
            continue;
        }
        let code = line.split("//").next().unwrap_or_default();
        let trimmed = code.trim();
        if trimmed == "#[cfg(test)]" {
            attribute = true;
            continue;
        }
        if attribute {
            if trimmed.starts_with("#[") {
                continue;
            }
            attribute = false;
            if trimmed.ends_with('{') {
                let indent: String = code.chars().take_while(|c| c.is_whitespace()).collect();
                until = Some(format!("{indent}}}"));
            }
            continue;
        }
        if !trimmed.is_empty() {
            out.push((i + 1, code.to_owned()));
        }
    }
    out
}

/// `use` statements, each with the number of its first line and without white space.
fn uses(code: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in code {
        let trimmed = line.trim();
        let begins =
            ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().find_map(|p| trimmed.strip_prefix(p));
        let part = match (open, begins) {
            (false, Some(rest)) => {
                out.push((*number, String::new()));
                rest
            }
            (true, _) => trimmed,
            (false, None) => continue,
        };
        open = !part.ends_with(';');
        if let Some((_, statement)) = out.last_mut() {
            statement.extend(part.trim_end_matches(';').chars().filter(|c| !c.is_whitespace()));
        }
    }
    out
}

/// The single paths of a use tree: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        let path = tree.trim_end_matches("::*");
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let (head, rest) = tree.split_at(open);
    let inside = rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')).unwrap_or_default();
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (i, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&inside[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts.into_iter().filter(|p| !p.is_empty()).flat_map(|p| expand(&format!("{head}{p}"))).collect()
}

fn below(path: &str, forbidden: &str) -> bool {
    path.strip_prefix(forbidden).is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || rest.starts_with("as"))
}

/// True when the text stands there as a word of its own, not as part of a longer one.
fn contains_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        scan(text).into_iter().map(|(line, what)| format!("{line} {what}")).collect()
    }

    #[test]
    fn what_belongs_to_shells_is_found() {
        for (text, expected) in [
            ("use std::fs;\n", "1 use of std::fs"),
            (
                "use std::{\n    collections::BTreeMap,\n    net::{IpAddr, UdpSocket},\n};\n",
                "1 use of std::net::UdpSocket",
            ),
            ("\nuse std::time::{Duration, Instant};\n", "2 use of std::time::Instant"),
            ("use std::thread::*;\n", "1 use of std::thread"),
            ("use std::fs::{self, File};\n", "1 use of std::fs"),
            ("fn f() {\n    let t = std::time::SystemTime::now();\n}\n", "2 use of std::time::SystemTime"),
            ("fn f() {\n    let t = time::OffsetDateTime::now_utc();\n}\n", "2 use of now_utc"),
            ("fn f() {\n    println!(\"x\");\n}\n", "2 use of println!"),
            ("fn f() {\n    let v = std::env::var(\"X\");\n}\n", "2 use of std::env"),
            ("#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n\nuse std::process::exit;\n", "6 use of std::process"),
        ] {
            assert_eq!(found(text), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_pure_is_not() {
        for text in [
            "use std::net::{IpAddr, Ipv4Addr};\nuse std::time::Duration;\n",
            "// std::fs would be wrong here\n/// Not `std::time::Instant`.\nfn f() {}\n",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() {\n        std::thread::yield_now();\n    }\n}\n",
            "#[cfg(test)]\n#[allow(dead_code)]\nfn f() {\n    std::fs::read(\"x\").ok();\n}\n",
            "fn known_utc() {}\nfn blueprint() {}\n",
            "use std::env_like::x;\n",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn modules_for_tests_are_known_by_their_declaration() {
        let text = "mod a;\n#[cfg(test)]\nmod tests;\n";
        assert_eq!(test_modules(Path::new("src/lib.rs"), text), [Path::new("src/tests")]);
        assert_eq!(test_modules(Path::new("src/plan.rs"), text), [Path::new("src/plan/tests")]);
        assert_eq!(test_modules(Path::new("src/plan/mod.rs"), text), [Path::new("src/plan/tests")]);
    }
}
