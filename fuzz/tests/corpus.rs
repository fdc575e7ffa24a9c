//! The corpora are replayed, and each of their files with seeded changes.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::panic::catch_unwind;
use std::path::PathBuf;

use oc_fuzz::{TARGETS, Target};

/// Changed forms of each file.
const CHANGES: u64 = 150;
/// Larger files are replayed and not changed.
const LARGEST: usize = 64 << 10;

fn corpus(target: &Target) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("corpus").join(target.name)
}

fn files(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(corpus(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// SplitMix64: the same numbers from the same seed for ever.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Some bytes changed, taken out, doubled or put in.
fn changed(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = bytes.to_vec();
    for _ in 0..=next(&mut state) % 3 {
        if bytes.is_empty() {
            break;
        }
        let at = next(&mut state) as usize % bytes.len();
        let end = (at + 1 + next(&mut state) as usize % 24).min(bytes.len());
        match next(&mut state) % 5 {
            0 => bytes[at] = next(&mut state) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes.truncate(at),
            _ => {
                let signs = b"{}[]()$\"\\'*&!-0123456789.,:;#|<>\n\t\0\x7f";
                bytes.insert(at, signs[next(&mut state) as usize % signs.len()]);
            }
        }
    }
    bytes
}

fn take(target: &Target, what: &str, bytes: &[u8]) -> bool {
    catch_unwind(|| (target.take)(bytes))
        .unwrap_or_else(|_| panic!("{}: {what}: {}", target.name, bytes.escape_ascii()))
}

#[test]
fn every_file_of_every_corpus_is_accepted_or_refused_and_nothing_else() {
    for target in TARGETS {
        let taken = files(target)
            .into_iter()
            .map(|(name, bytes)| take(target, &name, &bytes));
        let taken: Vec<bool> = taken.collect();
        assert!(
            taken.contains(&true),
            "{}: nothing is accepted",
            target.name
        );
        assert!(
            taken.contains(&false),
            "{}: nothing is refused",
            target.name
        );
    }
}

#[test]
fn every_file_with_seeded_changes_is_accepted_or_refused_and_nothing_else() {
    for target in TARGETS {
        for (name, bytes) in files(target)
            .iter()
            .filter(|(_, bytes)| bytes.len() <= LARGEST)
        {
            for seed in 0..CHANGES {
                take(
                    target,
                    &format!("{name}, seed {seed}"),
                    &changed(bytes, seed),
                );
            }
        }
    }
}

#[test]
fn what_is_known_to_be_good_lies_in_the_corpora_and_is_accepted() {
    let bless = std::env::var_os("OC_BLESS").is_some();
    for target in TARGETS {
        for (name, seed) in (target.seeds)() {
            let file = corpus(target).join(format!("good-{name}"));
            if bless {
                std::fs::create_dir_all(corpus(target)).unwrap();
                std::fs::write(&file, &seed).unwrap();
            }
            let found = std::fs::read(&file).unwrap_or_default();
            assert!(
                found == seed,
                "{} is not what the target makes: run this test with OC_BLESS=1",
                file.display()
            );
            assert!(
                take(target, name, &seed),
                "{}: {name} is refused",
                target.name
            );
        }
    }
}
