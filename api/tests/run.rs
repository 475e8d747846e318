//! `backstop run`: exit codes, readable differences, and one result whatever the number of shards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

mod common;

use common::{Scratch, code, ended, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Two accounts and a market: every file here starts so, in five lines.
const LISTED: &str = r#"{"type":"list_asset","asset":"USDT","scale":6}
{"type":"list_market","market":"BTC-USDT","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.005"}]}
{"type":"deposit","account":"alice","asset":"USDT","amount":"5000"}
{"type":"deposit","account":"bob","asset":"USDT","amount":"20000"}
{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"alice","seller":"bob","trade":"t1"}
"#;

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "ndjson"));
    files.sort();
    assert!(files.len() > 1, "the corpus is there");
    files
}

fn run(arguments: &[&str]) -> Output {
    let with_word: Vec<&str> = std::iter::once("run").chain(arguments.iter().copied()).collect();
    ended(&with_word)
}

#[track_caller]
fn run_json(arguments: &[&str]) -> Value {
    let output = run(&[&["--format", "json"], arguments].concat());
    assert_eq!(code(&output), 0, "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
fn is_hash(text: &str) {
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    assert!(text.len() == 64 && hex, "not a hash: {text:?}");
}

#[test]
fn every_scenario_of_the_engine_ends_with_0_and_the_same_hash_on_any_number_of_shards() {
    let files = scenarios();
    let names: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let one = run_json(&names);
    for shards in ["1", "2", "7", "16"] {
        let many = run_json(&[&["--shards", shards], names.as_slice()].concat());
        assert_eq!(one, many, "on {shards} shards");
    }
    let reports = one["files"].as_array().unwrap();
    assert_eq!(reports.len(), names.len());
    for (report, name) in reports.iter().zip(&names) {
        assert_eq!(report["file"], *name);
        assert_eq!(report["differences"], Value::Array(Vec::new()), "{name}");
        assert!(report["expectations"].as_u64() > Some(0), "{name}");
        is_hash(report["state_hash"].as_str().unwrap());
    }
    assert_eq!(one["state_hash"], reports.last().unwrap()["state_hash"], "the last one's");
}

#[test]
fn the_last_line_of_text_is_the_state_hash_of_json() {
    for path in scenarios() {
        let name = path.to_str().unwrap();
        let output = run(&[name]);
        assert_eq!(code(&output), 0, "{output:?}");
        let shown = text(&output.stdout);
        let last = shown.lines().last().unwrap();
        is_hash(last);
        assert_eq!(run_json(&[name])["state_hash"], last);
        assert!(shown.contains(&format!("ok {name}: ")), "{shown}");
    }
}

#[test]
fn events_are_written_one_a_line_and_are_the_same_bytes_on_any_number_of_shards() {
    for path in scenarios() {
        let tapes: Vec<Vec<u8>> = ["1", "2", "7"]
            .iter()
            .map(|shards| {
                let out = Scratch::absent("events.ndjson");
                let output = run(&[path.to_str().unwrap(), "--shards", shards, "--events", out.path()]);
                assert_eq!(code(&output), 0, "{output:?}");
                std::fs::read(&out.0).unwrap()
            })
            .collect();
        assert!(tapes.iter().all(|tape| *tape == tapes[0]), "{}", path.display());
        let tape = text(&tapes[0]);
        for (place, line) in tape.lines().enumerate() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["seq"], place + 1, "{line}");
            assert!(event["type"].is_string() && event["time"].is_u64() && event["cause"].is_u64(), "{line}");
        }
        assert!(!tape.is_empty(), "{}", path.display());
    }
}

#[test]
fn a_refusal_by_the_state_is_an_event_and_its_time_is_that_of_the_next_line() {
    let late = r#"{"type":"withdraw","account":"alice","asset":"USDT","amount":"4000","time":1000}"#;
    let rejected = r#"{"expect":"rejected","code":"insufficient_margin"}"#;
    let file = Scratch::new("late.ndjson", format!("{LISTED}{late}\n{rejected}\n{{\"type\":\"tick\"}}\n"));
    let out = Scratch::absent("events.ndjson");
    let report = run_json(&[file.path(), "--events", out.path()]);
    assert_eq!(report["files"][0]["refusals"], Value::Array(Vec::new()), "the tick is taken: {report}");
    let tape = std::fs::read_to_string(&out.0).unwrap();
    let events: Vec<Value> = tape.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused = events.iter().find(|event| event["type"] == "rejected").unwrap_or_else(|| panic!("{tape}"));
    assert_eq!(
        (&refused["code"], &refused["time"]),
        (&Value::from("insufficient_margin"), &Value::from(1000)),
        "{tape}"
    );
}

#[test]
fn a_difference_names_file_line_wanted_and_got_and_ends_with_1() {
    let wrong = r#"{"expect":"account","account":"alice","asset":"USDT","wallet":"4999.5"}"#;
    let right = r#"{"expect":"account","account":"bob","asset":"USDT","wallet":"20000"}"#;
    let file = Scratch::new("wrong.ndjson", format!("{LISTED}# a comment\n\n{wrong}\n{right}\n"));
    let output = run(&[file.path()]);
    assert_eq!(code(&output), 1, "{output:?}");
    let shown = text(&output.stdout);
    let mut lines = shown.lines().skip_while(|line| *line != format!("{}:8:", file.path()));
    assert!(lines.next().is_some(), "file and line: {shown}");
    let wanted = lines.next().unwrap();
    assert!(wanted.trim_start().starts_with("wanted ") && wanted.contains("4999.5"), "{shown}");
    let got = lines.next().unwrap();
    assert!(got.trim_start().starts_with("got ") && got.contains("\"5000\""), "{shown}");
    assert!(shown.contains("FAILED") && shown.contains("1 of 2 expectations held"), "{shown}");
    is_hash(shown.lines().last().unwrap());

    let output = run(&[file.path(), "--format", "json"]);
    assert_eq!(code(&output), 1, "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let differences = report["files"][0]["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1, "{report}");
    assert_eq!(differences[0]["line"], 8);
    assert!(differences[0]["got"].as_str().unwrap().contains("5000"), "{report}");
}

#[test]
fn every_kind_of_expectation_can_fail() {
    let price = r#"{"type":"price","market":"BTC-USDT","source":"a","price":"50000"}"#;
    let held = format!("{LISTED}{price}\n{{\"type\":\"tick\"}}\n");
    let wrong = [
        r#"{"expect":"account","account":"alice","asset":"USDT","equity":"1"}"#,
        r#"{"expect":"position","account":"alice","market":"BTC-USDT","quantity":"2"}"#,
        r#"{"expect":"position","account":"alice","market":"BTC-USDT","liquidation_price":"45227","tolerance":"0.5"}"#,
        r#"{"expect":"market","market":"BTC-USDT","mark":"1"}"#,
        r#"{"expect":"market","market":"nowhere","mark":"1"}"#,
        r#"{"expect":"fund","asset":"USDT","balance":"1"}"#,
        r#"{"expect":"fund","asset":"USDT","pool":"nowhere","balance":"1"}"#,
        r#"{"expect":"event","type":"deleveraged"}"#,
        r#"{"expect":"event","type":"mark_updated","mark":"1"}"#,
        r#"{"expect":"no_event","type":"mark_updated"}"#,
        r#"{"expect":"rejected","code":"insufficient_margin"}"#,
    ];
    for line in wrong {
        let file = Scratch::new("fails.ndjson", format!("{held}{line}\n"));
        let output = run(&[file.path()]);
        assert_eq!(code(&output), 1, "{line}\n{output:?}");
        assert!(text(&output.stdout).contains(&format!("{}:8:", file.path())), "{line}\n{output:?}");
    }
    let all = Scratch::new("all.ndjson", format!("{held}{}\n", wrong.join("\n")));
    let output = run(&[all.path()]);
    assert_eq!(code(&output), 1);
    assert!(text(&output.stdout).contains(&format!("0 of {} expectations held", wrong.len())), "{output:?}");
}

#[test]
fn what_cannot_be_read_ends_with_2_and_says_where() {
    let broken: &[(&str, &[u8], &str)] = &[
        ("cut.ndjson", b"{\"type\":\"tick\"}\n{\"type\":\n", "line 2"),
        ("text.ndjson", b"# fine\n\nhello\n", "line 3"),
        ("utf8.ndjson", b"{\"type\":\"tick\"}\n\"\xff\xfe\"\n", "UTF-8"),
        ("unknown.ndjson", b"{\"expect\":\"miracle\"}\n", "line 1"),
        ("half.ndjson", b"{\"expect\":\"account\",\"account\":\"alice\"}\n", "asset"),
        ("tolerance.ndjson", b"{\"expect\":\"market\",\"market\":\"M\",\"tolerance\":0.1}\n", "tolerance"),
        ("array.ndjson", b"[{\"type\":\"tick\"}]\n", "line 1"),
    ];
    for (name, content, said) in broken {
        let file = Scratch::new(name, content);
        let output = run(&[file.path()]);
        assert_eq!(code(&output), 2, "{name}: {output:?}");
        let shown = text(&output.stderr);
        assert!(shown.contains(file.path()) && shown.contains(said), "{name}: {shown}");
    }
    let absent = Scratch::absent("nowhere.ndjson");
    let folder = std::env::temp_dir();
    for path in [absent.path(), folder.to_str().unwrap()] {
        let output = run(&[path]);
        assert_eq!(code(&output), 2, "{path}: {output:?}");
        assert!(text(&output.stderr).contains(path), "{output:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_outweighs_one_that_differs() {
    let wrong = r#"{"expect":"account","account":"alice","asset":"USDT","wallet":"1"}"#;
    let differs = Scratch::new("differs.ndjson", format!("{LISTED}{wrong}\n"));
    let holds = Scratch::new("holds.ndjson", LISTED);
    let absent = Scratch::absent("nowhere.ndjson");
    assert_eq!(code(&run(&[holds.path(), differs.path(), holds.path()])), 1);
    assert_eq!(code(&run(&[differs.path(), absent.path()])), 2);
}

#[test]
fn each_file_has_an_engine_of_its_own() {
    let file = Scratch::new("twice.ndjson", LISTED);
    let twice = run_json(&[file.path(), file.path()]);
    assert_eq!(twice["files"][0], twice["files"][1]);
    assert_eq!(twice["files"][0]["refusals"], Value::Array(Vec::new()), "{twice}");
}

#[test]
fn a_refusal_that_nobody_expects_is_shown_and_an_expected_one_is_not() {
    let withdraw = r#"{"type":"withdraw","account":"alice","asset":"USDT","amount":"4000"}"#;
    let unknown = r#"{"type":"deposit","account":"alice","asset":"EUR","amount":"1"}"#;
    let rejected = r#"{"expect":"rejected","code":"insufficient_margin","field":"account"}"#;
    let file = Scratch::new("refused.ndjson", format!("{LISTED}{withdraw}\n{rejected}\n{unknown}\n"));
    let output = run(&[file.path()]);
    assert_eq!(code(&output), 0, "{output:?}");
    let shown = text(&output.stdout);
    assert!(shown.contains(&format!("{}:8: refused: unknown_asset (asset)", file.path())), "{shown}");
    assert!(!shown.contains("insufficient_margin"), "{shown}");
}

#[test]
fn a_refused_command_leaves_the_hash_as_it_was() {
    let plain = Scratch::new("plain.ndjson", LISTED);
    let refused = [
        r#"{"type":"withdraw","account":"alice","asset":"USDT","amount":"4000"}"#,
        r#"{"type":"deposit","account":"alice","asset":"USDT","amount":5}"#,
        r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"0.0000001"}"#,
        r#"{"type":"fill","market":"BTC-USDT","price":"50000.05","quantity":"1","buyer":"alice","seller":"bob","trade":"t2"}"#,
    ];
    let more = Scratch::new("refused.ndjson", format!("{LISTED}{}\n", refused.join("\n")));
    let (plain, more) = (run_json(&[plain.path()]), run_json(&[more.path()]));
    assert_eq!(more["files"][0]["refusals"].as_array().unwrap().len(), refused.len(), "{more}");
    assert_eq!(plain["state_hash"], more["state_hash"]);
}

#[test]
fn an_empty_file_holds_and_has_a_hash() {
    for content in ["", "\n", "# nothing\n"] {
        let file = Scratch::new("empty.ndjson", content);
        let output = run(&[file.path()]);
        assert_eq!(code(&output), 0, "{output:?}");
        is_hash(text(&output.stdout).lines().last().unwrap());
    }
}

#[test]
fn lines_may_end_with_carriage_returns() {
    let (plain, windows) =
        (Scratch::new("lf.ndjson", LISTED), Scratch::new("crlf.ndjson", LISTED.replace('\n', "\r\n")));
    assert_eq!(run_json(&[plain.path()])["state_hash"], run_json(&[windows.path()])["state_hash"]);
}

#[test]
fn events_that_cannot_be_written_end_with_74() {
    let file = Scratch::new("fine.ndjson", LISTED);
    let nowhere = Scratch::absent("no-folder").0.join("events.ndjson");
    let output = run(&[file.path(), "--events", nowhere.to_str().unwrap()]);
    assert_eq!(code(&output), 74, "{output:?}");
    assert!(!text(&output.stderr).is_empty());
}

#[test]
fn a_command_line_without_sense_ends_with_64() {
    let file = Scratch::new("fine.ndjson", LISTED);
    let wrong: [&[&str]; 5] = [
        &[],
        &["--shards", "0", file.path()],
        &["--shards", "17", file.path()],
        &["--format", "xml", file.path()],
        &["--nonsense", file.path()],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(code(&output), 64, "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
    }
}
