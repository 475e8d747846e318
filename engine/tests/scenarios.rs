//! Every scenario file, on the engine alone, with 1, 2, 7 and 16 shards: every expectation holds, and the events and the
//! state hash are the same, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic)]

use backstop_engine::command::{Command, Envelope};
use backstop_engine::flow::EntryOutcome;
use backstop_engine::id::{AccountId, Millis};
use backstop_engine::reference::{Options, Reference};
use backstop_engine::reject::Reject;
use backstop_engine::scenario::{self, Report, Subject};
use backstop_engine::snapshot::{self, Core};
use backstop_engine::view::{AccountView, Conservation, FundView, MarkView};
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

/// An engine that is written down and read again after every command, each time with another number of shards. Its
/// commands take the journal's way too: to their binary and JSON forms and back.
struct Restarting {
    engine: Reference,
    shards: usize,
}

impl Restarting {
    fn restart(&mut self) {
        let (core, accounts) = self.engine.write().unwrap();
        let core: Core = postcard::from_bytes(&postcard::to_stdvec(&core).unwrap()).unwrap();
        self.shards = if self.shards >= 7 { 1 } else { self.shards.saturating_add(1) };
        let options = Options { shards: self.shards, shows_accounts: true };
        let restored = Reference::restore(options, &core, &accounts).unwrap();
        let (mut written, count) = snapshot::hash_accounts(&accounts).unwrap();
        written.merge(core.state_hash());
        assert_eq!(written.text(), self.engine.state_hash().unwrap(), "the hash of what is written");
        assert_eq!(count, u64::try_from(snapshot::read_accounts(&accounts).unwrap().len()).unwrap());
        self.engine = restored;
    }
}

impl Subject for Restarting {
    fn submit(&mut self, command: &Command, time: Millis) -> Result<EntryOutcome, Reject> {
        let binary: Command = postcard::from_bytes(&postcard::to_stdvec(command).unwrap()).unwrap();
        assert_eq!(&binary, command);
        let envelope = Envelope { command: binary, time: Some(time), producer: Some("p".into()), number: Some(7) };
        let line = Envelope::read(&envelope.to_json()).unwrap();
        assert_eq!(line, envelope);
        let outcome = self.engine.submit(&line.command, time);
        self.restart();
        outcome
    }

    fn account(&mut self, account: &AccountId) -> Option<AccountView> {
        self.engine.account(account)
    }

    fn marks(&mut self) -> Vec<MarkView> {
        self.engine.marks()
    }

    fn fund(&mut self, asset: &str) -> Option<FundView> {
        self.engine.fund(asset)
    }

    fn conservation(&mut self) -> Result<Conservation, Reject> {
        let (balance, sound) = self.engine.audit()?;
        assert!(sound);
        Ok(balance)
    }

    fn state_hash(&mut self) -> Result<String, Reject> {
        self.engine.state_hash()
    }
}

#[test]
fn a_restart_after_every_command_changes_nothing() {
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = scenario::read(&text).unwrap();
        let whole = play(&path, 1);
        let engine = Reference::new(Options { shards: 1, shows_accounts: true });
        let restarted = scenario::run(&lines, &mut Restarting { engine, shards: 1 });
        assert!(restarted.differences.is_empty(), "{}: {:?}", path.display(), restarted.differences);
        assert_eq!(tape(&whole), tape(&restarted), "{}", path.display());
        assert_eq!(whole.state_hash, restarted.state_hash, "{}", path.display());
    }
}
