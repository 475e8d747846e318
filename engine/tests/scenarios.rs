//! Every scenario file, on the engine alone, with 1, 2, 7 and 16 shards: every expectation holds, and the events and the
//! state hash are the same, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic)]

use backstop_engine::reference::{Options, Reference};
use backstop_engine::scenario::{self, Report};
use std::path::{Path, PathBuf};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "ndjson"));
    files.sort();
    assert!(files.len() > 1, "the corpus is there");
    files
}

fn play(path: &Path, shards: usize) -> Report {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = scenario::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut engine = Reference::new(Options { shards, shows_accounts: true });
    let report = scenario::run(&lines, &mut engine);
    let (balance, sound) = engine.audit().unwrap();
    assert!(balance.holds() && sound, "{}: the audit fails: {balance:?}", path.display());
    report
}

fn tape(report: &Report) -> Vec<String> {
    report.events.iter().map(|event| serde_json::to_string(event).unwrap()).collect()
}

#[test]
fn every_expectation_holds() {
    for path in files() {
        let report = play(&path, 1);
        let shown =
            |d: &scenario::Difference| format!("{}:{}\n  wanted {}\n  got {}", path.display(), d.line, d.wanted, d.got);
        let differences: Vec<String> = report.differences.iter().map(shown).collect();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        assert!(report.refusals.is_empty(), "{}: refused: {:?}", path.display(), report.refusals);
        assert!(report.expectations > 0, "{} expects nothing", path.display());
    }
}

#[test]
fn the_number_of_shards_changes_nothing() {
    for path in files() {
        let one = play(&path, 1);
        for shards in [2, 7, 16] {
            let many = play(&path, shards);
            assert_eq!(tape(&one), tape(&many), "{} on {shards} shards", path.display());
            assert_eq!(one.state_hash, many.state_hash, "{} on {shards} shards", path.display());
        }
    }
}
