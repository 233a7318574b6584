//! Replays what the fuzzers kept, and goes a little way on from it: cut, changed and joined, the same way in every run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fseg_fuzzed::TARGETS;

fn folder(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(part)
}

/// The kept input of a target, with the names of the files.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let place = folder("corpus").join(target);
    let files = std::fs::read_dir(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = files
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target, and says which input it was if that fails.
fn run(name: &str, target: fn(&[u8]), what: &str, bytes: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| target(bytes)) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{name} fails with {what}: {hex}");
        std::panic::resume_unwind(panic);
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

#[test]
fn kept_input_breaks_no_promise() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 5, "{name} has only {} inputs", inputs.len());
        inputs.iter().for_each(|(file, bytes)| run(name, *target, file, bytes));
        println!("{name}: {} inputs", inputs.len());
    }
}

#[test]
fn what_resembles_it_breaks_none_either() {
    const INTERESTING: [u8; 9] = [0, 1, 4, 7, 8, 0x7f, 0x80, 0xfe, 0xff];
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for round in 0..2_000 {
            let (_, bytes) = &inputs[numbers.below(inputs.len())];
            let mut bytes = bytes.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                match numbers.below(6) {
                    0 if !bytes.is_empty() => bytes[at] = INTERESTING[numbers.below(INTERESTING.len())],
                    1 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
                    2 => bytes.truncate(at),
                    3 => bytes.insert(at, INTERESTING[numbers.below(INTERESTING.len())]),
                    4 if !bytes.is_empty() => drop(bytes.remove(at)),
                    _ => {
                        let (_, other) = &inputs[numbers.below(inputs.len())];
                        bytes.truncate(at);
                        bytes.extend_from_slice(&other[numbers.below(other.len())..]);
                    }
                }
            }
            run(name, *target, &format!("round {round}"), &bytes);
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_corpus() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let listed = |part: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder(part)).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned()).collect()
    };
    assert_eq!(listed("fuzz_targets"), names, "fuzz/fuzz_targets");
    assert_eq!(listed("corpus"), names, "fuzz/corpus");
    let manifest = std::fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml does not know {name}");
        let program = std::fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(program.contains(&format!("fseg_fuzzed::{name}(bytes)")), "{name}.rs calls something else");
    }
}
