//! Nothing acknowledged is lost and nothing is done twice: the real daemon, ended by every means, started again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod common;
#[path = "common/crash.rs"]
mod crash;

use common::{Daemon, Scratch, backstop, code, ended, text};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};

const STILL: [&str; 2] = ["--mark-interval-ms", "0"];

/// The commands of a text, numbered by a producer from a number on.
fn numbered(lines: &str, first: u64) -> String {
    let numbered = |(line, number): (&str, u64)| {
        let mut command: Value = serde_json::from_str(line).unwrap();
        command["producer"] = json!("feed");
        command["number"] = json!(number);
        format!("{command}\n")
    };
    lines.lines().filter(|line| !line.trim().is_empty()).zip(first..).map(numbered).collect()
}

fn files(data: &Scratch, folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(data.0.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What readers look up.
fn looked_up(daemon: &Daemon) -> Vec<Value> {
    let paths = ["/v1/fund/USDT/ledger", "/v1/fund/BTC/ledger", "/v1/fund/USDT/daily", "/v1/liquidations", "/v1/adl"];
    paths.iter().map(|path| daemon.read(path)["items"].clone()).collect()
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged_and_a_retry_does_nothing_twice() {
    let data = Scratch::absent("kill");
    let refused = r#"{"type":"withdraw","account":"bob","asset":"USDT","amount":"900000"}
{"type":"deposit","account":"bob","asset":"EUR","amount":"1"}"#;
    let body = format!("{}{}{}", numbered(crash::OPENED, 1), numbered(crash::FALLEN, 31), numbered(refused, 37));
    let daemon = Daemon::over(&data, &STILL);
    let first = daemon.send(&body);
    assert_eq!(first.last().unwrap()["code"], "unknown_asset", "refused before it took a place: its number is used");
    let (hash, lists) = (daemon.state_hash(), looked_up(&daemon));
    assert!(lists.iter().all(|list| !list.as_array().unwrap().is_empty()), "{lists:?}");
    daemon.end_by("KILL");

    for shards in ["1", "3", "16"] {
        let daemon = Daemon::over(&data, &["--mark-interval-ms", "0", "--shards", shards]);
        assert_eq!(daemon.state_hash(), hash, "{shards} shards");
        assert_eq!(looked_up(&daemon), lists, "{shards} shards");
        assert_eq!(daemon.send(&body), first, "the first answers, word for word");
        assert_eq!(daemon.state_hash(), hash, "nothing was done twice");
        let gap = daemon.send(&numbered(r#"{"type":"tick"}"#, 99));
        assert_eq!(
            (&gap[0]["code"], gap[0]["message"].as_str().unwrap().contains("39")),
            (&json!("out_of_order"), true)
        );
        assert_eq!(daemon.read("/v1/conservation?audit=true")["holds"], true);
        daemon.end_by("KILL");
    }
}

#[test]
fn an_end_in_good_order_leaves_a_snapshot_and_the_next_start_replays_nothing() {
    let data = Scratch::absent("order");
    let daemon = Daemon::over(&data, &STILL);
    let first = daemon.send(&numbered(crash::OPENED, 1));
    daemon.apply(crash::FALLEN);
    let (hash, lists, funds) = (daemon.state_hash(), looked_up(&daemon), daemon.read("/v1/fund/USDT"));
    let (status, log) = daemon.end_by("TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("snapshot taken"), "{log}");

    let daemon = Daemon::over(&data, &["--mark-interval-ms", "0", "--shards", "2"]);
    assert_eq!(daemon.state_hash(), hash);
    assert_eq!(looked_up(&daemon), lists);
    assert_eq!(daemon.read("/v1/fund/USDT"), funds);
    assert_eq!(daemon.send(&numbered(crash::OPENED, 1)), first, "answers are remembered by the snapshot");
    // Events go on where they were: the ledger has no number twice.
    daemon.apply(r#"{"type":"fund_credit","asset":"USDT","source":"injection","amount":"7"}"#);
    let ledger = daemon.read("/v1/fund/USDT/ledger");
    let numbers: Vec<u64> =
        ledger["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let (_, log) = daemon.end_by("TERM");
    assert!(log.contains(r#"snapshot="36""#) && log.contains("commands=0"), "{log}");
}

#[test]
fn a_bad_snapshot_falls_back_to_the_one_before_and_says_so() {
    let data = Scratch::absent("fallback");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    assert_eq!(daemon.admin_post("/snapshot").json()["seq"], 30);
    daemon.apply(crash::FALLEN);
    assert_eq!(daemon.admin_post("/snapshot").json()["seq"], 36);
    let hash = daemon.state_hash();
    daemon.end_by("KILL");
    let snapshots = files(&data, "snapshots");
    assert_eq!(snapshots.len(), 2);
    flip(&snapshots[1], 300);
    let daemon = Daemon::over(&data, &STILL);
    assert_eq!(daemon.state_hash(), hash);
    let (_, log) = daemon.end_by("KILL");
    assert!(log.contains("this snapshot cannot be used") && log.contains("checksum"), "{log}");
    assert!(log.contains(r#"snapshot="30""#), "{log}");
    flip(&snapshots[0], 300);
    let daemon = Daemon::over(&data, &STILL);
    assert_eq!(daemon.state_hash(), hash);
    let (_, log) = daemon.end_by("KILL");
    assert!(log.contains(r#"snapshot="none""#), "{log}");
}

#[test]
fn only_so_many_snapshots_are_kept_and_they_are_taken_after_so_many_batches() {
    let data = Scratch::absent("kept");
    let flags = ["--mark-interval-ms", "0", "--snapshot-batches", "1", "--snapshots-kept", "2"];
    let daemon = Daemon::over(&data, &flags);
    for line in crash::OPENED.lines().filter(|line| !line.is_empty()) {
        daemon.apply(line);
    }
    let (status, log) = daemon.end_by("TERM");
    assert_eq!(status.code(), Some(0));
    assert!(log.matches("snapshot taken").count() > 2, "{log}");
    let snapshots = files(&data, "snapshots");
    assert_eq!(snapshots.len(), 2, "{snapshots:?}");
    assert!(snapshots[1].ends_with("00000000000000000030.snapshot"), "{snapshots:?}");
}

#[test]
fn a_write_that_was_under_way_is_cut_and_said() {
    let data = Scratch::absent("torn");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    let hash = daemon.state_hash();
    daemon.end_by("KILL");
    let segment = files(&data, "journal").remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    let whole = bytes.len();
    bytes.extend_from_within(96..160);
    std::fs::write(&segment, &bytes).unwrap();
    let said = ended(&["journal", "verify", "--data-dir", data.path()]);
    assert_eq!(code(&said), 0);
    assert!(text(&said.stdout).contains(&format!("64 bytes at offset {whole}")), "{said:?}");
    let daemon = Daemon::over(&data, &STILL);
    assert_eq!(daemon.state_hash(), hash);
    let (_, log) = daemon.end_by("KILL");
    assert!(log.contains("the end of the journal was cut") && log.contains(&format!("offset={whole}")), "{log}");
    assert_eq!(std::fs::read(&segment).unwrap().len(), whole);
}

#[test]
fn damage_before_sound_records_refuses_to_start_and_says_where() {
    let data = Scratch::absent("damage");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    daemon.end_by("KILL");
    let segment = files(&data, "journal").remove(0);
    flip(&segment, 200);
    let refused = ended(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", data.path()]);
    let verified = ended(&["journal", "verify", "--data-dir", data.path()]);
    for output in [refused, verified] {
        assert_eq!(code(&output), 65, "{output:?}");
        let said = text(&output.stderr);
        for part in ["offset 96", "after sequence number 0", "checksum", "backstop journal verify"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn a_journal_that_lost_what_others_have_seen_refuses_to_start() {
    let data = Scratch::absent("behind");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    daemon.end_by("TERM");
    let segment = files(&data, "journal").remove(0);
    let bytes = std::fs::read(&segment).unwrap();
    // The last batch and the seal are gone, as if the file had been restored from an older copy.
    let inspected = text(&ended(&["journal", "inspect", "--data-dir", data.path()]).stdout);
    let second: Value = serde_json::from_str(inspected.lines().nth(1).unwrap()).unwrap();
    let cut = usize::try_from(second["offset"].as_u64().unwrap()).unwrap();
    std::fs::write(&segment, &bytes[..cut]).unwrap();
    let refused = ended(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", data.path()]);
    assert_eq!(code(&refused), 65, "{refused:?}");
    assert!(text(&refused.stderr).contains("acknowledged commands are missing"), "{refused:?}");
}

#[test]
fn a_directory_that_cannot_be_served_ends_with_78_and_says_why() {
    let data = Scratch::absent("locked");
    let daemon = Daemon::over(&data, &STILL);
    let start = |root: &str| ended(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", root]);
    let refused = |output: std::process::Output, part: &str| {
        assert_eq!(code(&output), 78, "{output:?}");
        assert!(text(&output.stderr).contains(part), "{part}: {output:?}");
    };
    refused(start(data.path()), "in use by another daemon");
    refused(ended(&["journal", "verify", "--data-dir", data.path()]), "in use by another daemon");
    daemon.end_by("TERM");
    std::fs::write(data.0.join("format"), "backstop data directory, format 2\n").unwrap();
    refused(start(data.path()), "in format 2");
    let foreign = Scratch::absent("foreign");
    std::fs::create_dir(&foreign.0).unwrap();
    std::fs::write(foreign.0.join("thesis.tex"), "years of work").unwrap();
    refused(start(foreign.path()), "not a data directory of Backstop");
    assert_eq!(std::fs::read_dir(&foreign.0).unwrap().count(), 1, "nothing was put beside it");
    let absent = Scratch::absent("absent");
    refused(ended(&["journal", "verify", "--data-dir", absent.path()]), "there is no data directory");
}

#[test]
fn a_first_start_that_was_cut_short_is_begun_again() {
    let data = Scratch::absent("first");
    for folder in ["journal", "snapshots"] {
        std::fs::create_dir_all(data.0.join(folder)).unwrap();
    }
    std::fs::write(data.0.join("format.draft"), "back").unwrap();
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
}

#[test]
fn a_snapshot_of_another_journal_is_noticed_before_anything_is_served() {
    let (data, other) = (Scratch::absent("mine"), Scratch::absent("other"));
    for (place, lines) in [(&data, crash::OPENED), (&other, &crash::OPENED.replace("5000", "6000"))] {
        let daemon = Daemon::over(place, &STILL);
        daemon.apply(lines);
        daemon.end_by("TERM");
    }
    std::fs::copy(&files(&other, "snapshots")[0], &files(&data, "snapshots")[0]).unwrap();
    let refused = ended(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", data.path()]);
    assert_eq!(code(&refused), 65, "{refused:?}");
    let said = text(&refused.stderr);
    assert!(
        said.contains("is not of this journal") && !said.contains("recovered") && !said.contains("serving"),
        "{said}"
    );
}

#[test]
fn reindex_changes_nothing_where_the_journal_cannot_be_read_to_its_end() {
    let data = Scratch::absent("unread");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    daemon.end_by("TERM");
    flip(&files(&data, "journal")[0], 200);
    let history = std::fs::read(data.0.join("history.sqlite")).unwrap();
    let refused = ended(&["reindex", "--data-dir", data.path()]);
    assert_eq!(code(&refused), 65, "{refused:?}");
    assert_eq!(std::fs::read(data.0.join("history.sqlite")).unwrap(), history);
}

#[test]
fn the_exported_journal_is_a_scenario_that_ends_in_the_same_state() {
    let data = Scratch::absent("export");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    daemon.send(r#"{"type":"withdraw","account":"bob","asset":"USDT","amount":"900000"}"#);
    daemon.apply(crash::FALLEN);
    let hash = daemon.state_hash();
    daemon.end_by("TERM");
    let exported = ended(&["journal", "export", "--data-dir", data.path()]);
    let scenario = Scratch::new("export.ndjson", &exported.stdout);
    let events = Scratch::absent("events.ndjson");
    for shards in ["1", "16"] {
        let run = ended(&["run", scenario.path(), "--format", "json", "--shards", shards, "--events", events.path()]);
        assert_eq!(code(&run), 0, "{run:?}");
        let report: Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!(report["state_hash"], json!(hash));
    }
    // The events are the same too; a scenario shows accounts beside.
    let shown = text(&ended(&["journal", "export", "--events", "--data-dir", data.path()]).stdout);
    let kinds = |tape: &str| -> Vec<Value> {
        let all = tape.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut kept: Vec<Value> = all.filter(|event| !event["type"].as_str().unwrap().ends_with("_updated")).collect();
        kept.iter_mut().for_each(|event| drop(event.as_object_mut().unwrap().remove("seq")));
        kept
    };
    let played = std::fs::read_to_string(&events.0).unwrap();
    assert_eq!(kinds(&shown), kinds(&played));
    assert!(shown.contains("\"rejected\"") && shown.contains("\"deleveraged\""), "{shown}");
}

#[test]
fn the_history_is_built_anew_from_the_journal() {
    let data = Scratch::absent("reindex");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    let lists = looked_up(&daemon);
    daemon.end_by("TERM");
    std::fs::write(data.0.join("history.sqlite"), "no database at all ".repeat(500)).unwrap();
    let _ = std::fs::remove_file(data.0.join("history.sqlite-wal"));
    let refused = ended(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", data.path()]);
    assert_eq!(code(&refused), 65, "{refused:?}");
    assert!(text(&refused.stderr).contains("backstop reindex"), "{refused:?}");
    let done = ended(&["reindex", "--data-dir", data.path()]);
    assert_eq!(code(&done), 0, "{done:?}");
    let daemon = Daemon::over(&data, &STILL);
    assert_eq!(looked_up(&daemon), lists);
    let (_, log) = daemon.end_by("TERM");
    assert!(log.contains(r#"snapshot="36""#), "the snapshot can be used again: {log}");
}

#[test]
fn a_snapshot_is_taken_of_a_running_daemon_and_of_a_directory() {
    let data = Scratch::absent("snapshot");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    let hash = daemon.state_hash();
    let asked = ended(&["snapshot", "--admin", &daemon.admin]);
    let taken: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!((&taken["seq"], &taken["state_hash"]), (&json!(30), &json!(hash)));
    daemon.apply(crash::FALLEN);
    let hash = daemon.state_hash();
    daemon.end_by("KILL");
    let asked = ended(&["snapshot", "--data-dir", data.path()]);
    let taken: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!((&taken["seq"], &taken["state_hash"]), (&json!(36), &json!(hash)));
    assert_eq!(files(&data, "snapshots").len(), 2);
}

#[test]
fn a_disk_nearly_full_turns_commands_away_and_changes_nothing() {
    let data = Scratch::absent("full");
    let daemon = Daemon::over(&data, &["--mark-interval-ms", "0", "--min-free-mb", "17592186044415"]);
    let before = daemon.state_hash();
    let reply = daemon.post("application/x-ndjson", numbered(crash::OPENED, 1));
    reply.is_problem(507, "storage_full");
    assert_eq!(daemon.state_hash(), before);
    daemon.end_by("TERM");
    let daemon = Daemon::over(&data, &STILL);
    assert!(daemon.send(&numbered(crash::OPENED, 1)).iter().all(|answer| answer["seq"].is_u64()), "no number was used");
}

#[test]
fn a_directory_that_cannot_be_written_ends_with_74() {
    let file = Scratch::new("file", "in the way");
    let output = backstop(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--data-dir", &format!("{}/below", file.path())])
        .output()
        .unwrap();
    assert_eq!(code(&output), 74, "{output:?}");
}

#[test]
fn a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    let data = Scratch::absent("twice");
    let daemon = Daemon::over(&data, &STILL);
    daemon.apply(crash::OPENED);
    let hash = daemon.state_hash();
    // A request that never ends holds the first one up.
    let mut held = daemon.connect();
    let head =
        "POST /v1/commands HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: 99\r\n\r\n{";
    held.write_all(head.as_bytes()).unwrap();
    // It is being read when the next one is answered.
    assert_eq!(daemon.get("/v1/status").status, 200);
    daemon.signal("TERM");
    while daemon.admin("/readyz").status == 200 {}
    daemon.admin("/readyz").is_problem(503, "shutting_down");
    let (status, log) = daemon.end_by("TERM");
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("ended at once"), "{log}");
    assert_eq!(Daemon::over(&data, &STILL).state_hash(), hash);
}

#[test]
fn the_demo_keeps_a_journal_that_replays_to_the_same_state_on_any_number_of_shards() {
    let data = Scratch::absent("demo");
    let played = ended(&[
        "demo",
        "--accounts",
        "300",
        "--tick-ms",
        "600000",
        "--exit",
        "--format",
        "json",
        "--data-dir",
        data.path(),
    ]);
    assert_eq!(code(&played), 0, "{}", text(&played.stderr));
    let again = ended(&["demo", "--accounts", "300", "--exit", "--data-dir", data.path()]);
    assert_eq!(code(&again), 64, "it does not go on from what is there: {again:?}");
    let exported = Scratch::new("demo.ndjson", ended(&["journal", "export", "--data-dir", data.path()]).stdout);
    let hashes: Vec<Value> = ["1", "16"]
        .iter()
        .map(|shards| {
            let run = ended(&["run", exported.path(), "--shards", shards, "--format", "json"]);
            serde_json::from_slice::<Value>(&run.stdout).unwrap()["state_hash"].clone()
        })
        .collect();
    let daemon = Daemon::over(&data, &["--mark-interval-ms", "0", "--shards", "16"]);
    let hash = json!(daemon.state_hash());
    assert_eq!(hashes, [hash.clone(), hash]);
}

/// A data directory as format 1 writes it, ended by a kill: later versions must read it.
#[test]
fn a_directory_of_format_1_is_read() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-1");
    let data = Scratch::absent("golden");
    for folder in ["journal", "snapshots"] {
        std::fs::create_dir_all(data.0.join(folder)).unwrap();
        for entry in std::fs::read_dir(golden.join(folder)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), data.0.join(folder).join(entry.file_name())).unwrap();
        }
    }
    std::fs::copy(golden.join("format"), data.0.join("format")).unwrap();
    let verified = ended(&["journal", "verify", "--data-dir", data.path()]);
    assert_eq!(code(&verified), 0, "{verified:?}");
    let lines = |name: &str| std::fs::read_to_string(golden.join(name)).unwrap();
    let expected: Value = serde_json::from_str(&lines("expected.json")).unwrap();
    let answers: Vec<Value> = lines("answers.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Its snapshot is of a version that counted fewer events: it is passed over, and everything is replayed. So events are
    // numbered anew, and bear the hash of the rules; what happened is the same.
    let same = |mut answers: Vec<Value>| {
        for event in answers.iter_mut().filter_map(|answer| answer["events"].as_array_mut()).flatten() {
            event.as_object_mut().unwrap().retain(|field, _| field != "seq" && field != "rules");
        }
        answers
    };
    for _ in 0..2 {
        let daemon = Daemon::over(&data, &STILL);
        assert_eq!(daemon.state_hash(), expected["state_hash"].as_str().unwrap());
        assert_eq!(same(daemon.send(&lines("commands.ndjson"))), same(answers.clone()));
        let (_, log) = daemon.end_by("KILL");
        assert!(log.contains(r#"snapshot="none""#) && log.contains("this snapshot cannot be used"), "{log}");
    }
}
