//! `backstop demo`: the same seed gives the same report, whatever the number of shards, and nothing is created or lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Scratch, backstop, code, text};
use serde_json::{Value, json};
use std::process::{Child, Stdio};

/// Starts a demo small enough for a test.
fn start(more: &[&str]) -> Child {
    let fixed = ["demo", "--accounts", "2000", "--exit", "--format", "json", "--tick-ms", "60000"];
    let arguments: Vec<&str> = fixed.iter().chain(more).copied().collect();
    backstop(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its report, without what depends on the machine.
fn report(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let mut report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(report.as_object_mut().unwrap().remove("timing").is_some_and(|timing| timing.is_object()));
    report
}

fn is_zero(value: &Value) -> bool {
    let digits = value.as_str().unwrap_or_else(|| panic!("not a figure: {value}"));
    digits.parse::<rust_decimal::Decimal>().unwrap().is_zero()
}

#[test]
fn the_same_seed_gives_the_same_report_on_any_number_of_shards_and_another_seed_another() {
    let (one, four) = (start(&["--shards", "1"]), start(&["--shards", "4"]));
    let (one, four) = (report(one), report(four));
    let other = report(start(&["--seed", "2"]));
    assert_eq!(one, four);
    assert_ne!(one["state_hash"], other["state_hash"]);
    assert_ne!(one["population"], other["population"]);
    for report in [&one, &other] {
        let hash = report["state_hash"].as_str().unwrap();
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
        assert!(report["note"].as_str().unwrap().contains("synthetic"), "{report}");
        assert_eq!(report["population"]["accounts"], 2000);
        assert_eq!((&report["refused"], &report["setup"]["refused"]), (&json!([]), &json!([])));
        for part in ["assets", "markets"] {
            let errors = report["conservation"][part].as_object().unwrap();
            assert!(!errors.is_empty() && errors.values().all(is_zero), "{part}: {errors:?}");
        }
        for asset in report["assets"].as_array().unwrap() {
            assert!(["ledger_difference", "reserved", "liability"].iter().all(|name| is_zero(&asset[name])), "{asset}");
            assert!(asset["liquidations"].as_array().is_some_and(|outcomes| !outcomes.is_empty()), "{asset}");
        }
    }
}

#[test]
fn the_order_inside_a_bar_can_be_chosen_and_matters() {
    let (low_first, high_first) = (start(&["--order", "olhc"]), start(&["--order", "ohlc"]));
    let (low_first, high_first) = (report(low_first), report(high_first));
    assert_eq!(low_first["population"], high_first["population"]);
    assert_ne!(low_first["input"]["path"], high_first["input"]["path"]);
    assert_ne!(low_first["state_hash"], high_first["state_hash"]);
}

#[test]
fn a_candle_file_that_is_not_there_ends_it_with_74_and_one_without_sense_with_64() {
    let nonsense = Scratch::new("candles.csv", "ts,symbol,open,high,low,close,volume\n1,BTCUSDT,a,b,c,d,e\n");
    let absent = Scratch::absent("candles.csv");
    for (file, wanted) in [(&absent, 74), (&nonsense, 64)] {
        let output = start(&["--prices", file.path()]).wait_with_output().unwrap();
        assert_eq!(code(&output), wanted, "{output:?}");
        assert!(text(&output.stderr).contains(file.path()), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}
