//! The full check of a directory: the daemon stopped in order, its journal verified, exported and replayed by itself,
//! and the same state found on other shards and without snapshots.

use super::producer::{Producer, Violation};
use crate::Failed;
use crate::daemon::{Daemon, Start, ended};
use crate::scratch;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

/// Longest that a command of the binary may take.
const LIMIT: Duration = Duration::from_secs(600);

/// What a full check went through.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Commands in the journal.
    pub(super) exported: u64,
    /// Seconds to stop by SIGTERM.
    pub(super) stopping: f64,
    /// Seconds to ready with every snapshot deleted.
    pub(super) full_replay: f64,
}

/// Runs `backstop` with words; its standard output, or why it did not exit with 0.
fn backstop(binary: &Path, words: &[&str], tail: &[OsString], out: &Path) -> Result<(), Failed> {
    let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    arguments.extend_from_slice(tail);
    let output = ended(binary, &arguments, Some(out), LIMIT)?;
    if output.status.code() == Some(0) {
        return Ok(());
    }
    Err(format!("`backstop {}` ended with {}: {}", words.join(" "), output.status, said(&output.stderr)).into())
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Checks the directory of `start`. No daemon runs on it, before or after.
pub(super) fn check(start: &Start, producers: &[Producer], room: &Path) -> Result<Checked, Failed> {
    let quiet = |shards: u8| Start { shards, mark_interval_ms: 0, ..start.clone() };
    let mut checked = Checked::default();
    let mut daemon = Daemon::start(&quiet(start.shards))?;
    let state = daemon.state()?;
    checked.stopping = daemon.stop()?.as_secs_f64();

    let data = ["--data-dir".into(), start.data_dir.clone().into_os_string()];
    backstop(&start.binary, &["journal", "verify"], &data, &room.join("verify.txt"))?;
    let journal = room.join("export.ndjson");
    backstop(&start.binary, &["journal", "export"], &data, &journal)?;
    checked.exported = compare(&journal, producers)?;

    let report = room.join("run.txt");
    backstop(&start.binary, &["run"], &[journal.clone().into()], &report)?;
    let replayed = last_line(&report)?;
    if replayed != state.1 {
        return Err(format!("replay of the export gives {replayed}, the daemon had {} at {}", state.1, state.0).into());
    }

    let other = if start.shards == 1 { 3 } else { 1 };
    let mut daemon = Daemon::start(&quiet(other))?;
    same("on other shards", &state, &daemon.state()?)?;
    daemon.stop()?;

    let bare = Start { data_dir: room.join("without-snapshots"), ..quiet(start.shards) };
    scratch::copy(&start.data_dir, &bare.data_dir)?;
    for file in scratch::files(&bare.data_dir.join("snapshots"))? {
        std::fs::remove_file(file)?;
    }
    let mut daemon = Daemon::spawn(&bare)?;
    checked.full_replay = daemon.ready()?.as_secs_f64();
    same("without snapshots", &state, &daemon.state()?)?;
    daemon.kill()?;
    std::fs::remove_dir_all(&bare.data_dir)?;
    Ok(checked)
}

fn same(how: &str, wanted: &(u64, String), got: &(u64, String)) -> Result<(), Violation> {
    if wanted == got {
        return Ok(());
    }
    Err(format!("{how}: wanted seq {} and hash {}, got {} and {}", wanted.0, wanted.1, got.0, got.1))
}

fn last_line(file: &Path) -> Result<String, Failed> {
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().next_back().unwrap_or_default().trim().to_owned())
}

/// Everything acknowledged is in the export, at its place, and nothing is there twice.
fn compare(journal: &Path, producers: &[Producer]) -> Result<u64, Failed> {
    let mut found: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut place = 0;
    for line in BufReader::new(std::fs::File::open(journal)?).lines() {
        let line = line?;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        place += 1;
        let command: Value = serde_json::from_str(&line)?;
        let producer = command.get("producer").and_then(Value::as_str);
        let Some((producer, number)) = producer.zip(command.get("number").and_then(Value::as_u64)) else { continue };
        let numbers = found.entry(producer.to_owned()).or_default();
        if let Some(before) = numbers.insert(number, place) {
            return Err(format!("{producer} {number} is in the journal twice: at {before} and at {place}").into());
        }
    }
    for producer in producers {
        let name = producer.name();
        let numbers = found.remove(&name).unwrap_or_default();
        for (number, seq) in producer.places() {
            if numbers.get(&number) != Some(&seq) {
                let there = numbers.get(&number);
                return Err(format!("{name} {number} was acknowledged at {seq}, the export has it at {there:?}").into());
            }
        }
    }
    Ok(place)
}
