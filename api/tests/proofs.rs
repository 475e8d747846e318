//! The record as outsiders check it: a real crash is played, its days are over, and what the daemon says of them is held
//! to what it has sealed, without the daemon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

mod common;

use backstop_engine::proof::{DayRoot, Inclusion, read_public_key, verify_inclusion};
use common::{Daemon, Scratch, code, ended, text};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;

/// A small crash of 10 October 2025, kept; and a daemon that lives long after it.
fn after_a_crash() -> (Scratch, Daemon) {
    let data = Scratch::absent("crash");
    let small = ["--accounts", "300", "--tick-ms", "60000", "--exit", "--format", "json"];
    let demo: Vec<&str> = ["demo", "--data-dir", data.path()].into_iter().chain(small).collect();
    let played = ended(&demo);
    assert_eq!(code(&played), 0, "{played:?}");
    let daemon = Daemon::over(&data, &["--mark-interval-ms", "0"]);
    // Time goes on with a command, and the days of the crash are over.
    daemon.apply(r#"{"type":"tick"}"#);
    (data, daemon)
}

/// All items of a list.
fn all(daemon: &Daemon, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let page =
            daemon.read(&format!("{path}{}limit=1000&cursor={cursor}", if path.contains('?') { '&' } else { '?' }));
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return items,
        }
    }
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn what_is_exported_verifies_offline_and_nothing_of_it_can_be_changed() {
    let (_data, daemon) = after_a_crash();
    let key = daemon.read("/v1/proof")["key"].as_str().unwrap().to_owned();
    let export = daemon.get("/v1/export").body;
    let file = Scratch::new("export.ndjson", &export);
    let verify = |file: &Scratch, key: &str| ended(&["verify", file.path(), "--key", key]);
    let sound = verify(&file, &key);
    assert_eq!(code(&sound), 0, "{sound:?}");
    let summary: Value = serde_json::from_slice(&sound.stdout).unwrap();
    let ledger = all(&daemon, "/v1/fund/USDT/ledger");
    assert_eq!(summary["entries"], ledger.len());
    assert!(summary["receipts"].as_u64().unwrap() > 0 && summary["days"].as_u64().unwrap() > 0, "{summary}");

    // Another key, a changed figure, a missing line, a missing end: each is refused, and the line is named.
    let other = "a".repeat(64);
    assert_ne!(code(&verify(&file, &other)), 0);
    let lines: Vec<&str> = export.lines().collect();
    let changed = export.replacen(r#""reason":"seed_capital""#, r#""reason":"injection""#, 1);
    let shorter = [&lines[..1], &lines[2..]].concat().join("\n") + "\n";
    let cut = lines[..lines.len() - 1].join("\n") + "\n";
    for bad in [changed, shorter, cut] {
        let refused = verify(&Scratch::new("bad.ndjson", &bad), &key);
        assert_eq!(code(&refused), 65, "{refused:?}");
        assert!(text(&refused.stderr).contains("it does not hold: "), "{refused:?}");
    }
}

#[test]
fn an_account_proves_its_own_receipts_under_the_signed_root_of_their_day() {
    let (_data, daemon) = after_a_crash();
    let key = read_public_key(daemon.read("/v1/proof")["key"].as_str().unwrap()).unwrap();
    let liquidations = all(&daemon, "/v1/liquidations");
    let cuts = all(&daemon, "/v1/adl");
    let mut names: Vec<String> = liquidations
        .iter()
        .filter(|liquidation| !liquidation["ended"].is_null())
        .take(5)
        .map(|liquidation| format!("liquidation-{}", liquidation["liquidation"]))
        .collect();
    names.extend(
        cuts.iter().filter(|cut| cut["type"] == "deleveraged").take(5).map(|cut| format!("adl-{}", cut["seq"])),
    );
    assert!(!names.is_empty());
    for name in names {
        let shown = daemon.read(&format!("/v1/receipts/{name}"));
        let proven = daemon.read(&format!("/v1/receipts/{name}/proof"));
        assert_eq!((&proven["receipt"]["id"], &proven["receipt"]["account"]), (&shown["receipt"], &shown["account"]));
        let root: DayRoot = serde_json::from_value(proven["root"].clone()).unwrap();
        let proof: Inclusion = serde_json::from_value(proven["proof"].clone()).unwrap();
        let signed: backstop_engine::proof::SignedRoot = serde_json::from_value(
            serde_json::json!({ "root": proven["root"], "signature": proven["signature"], "key": proven["key"] }),
        )
        .unwrap();
        let signature = signed.signature().unwrap();
        verify_inclusion(&proven["receipt"], &proof, &root, &signature, &key).unwrap();
        let mut forged = proven["receipt"].clone();
        forged["account"] = "somebody".into();
        assert!(verify_inclusion(&forged, &proof, &root, &signature, &key).is_err(), "{name}");
    }
}

#[test]
fn the_reports_of_days_are_the_sums_of_the_ledger_and_close() {
    let (data, daemon) = after_a_crash();
    let mut sums: BTreeMap<(String, String), (u64, Decimal)> = BTreeMap::new();
    for entry in all(&daemon, "/v1/fund/USDT/ledger") {
        let day = backstop_engine::proof::day_of(entry["time"].as_u64().unwrap());
        let sum = sums.entry((day, entry["reason"].as_str().unwrap().to_owned())).or_default();
        *sum = (sum.0 + 1, sum.1 + decimal(&entry["amount"]));
    }
    let days: Vec<String> = sums.keys().map(|(day, _)| day.clone()).collect();
    let mut told: BTreeMap<(String, String), (u64, Decimal)> = BTreeMap::new();
    let mut closing = None;
    let (first, last) = (days.first().unwrap(), days.last().unwrap());
    let reports = daemon.read(&format!("/v1/reports/USDT?from={first}&to={last}"));
    for report in reports["items"].as_array().unwrap() {
        let opening = decimal(&report["opening"]);
        assert_eq!(opening, closing.unwrap_or_default(), "a day opens with what the one before closed with");
        let lines = report["inflows"].as_array().unwrap().iter().chain(report["outflows"].as_array().unwrap());
        let mut net = Decimal::ZERO;
        for line in lines {
            let key = (report["day"].as_str().unwrap().to_owned(), line["name"].as_str().unwrap().to_owned());
            net += decimal(&line["amount"]);
            told.insert(key, (line["count"].as_u64().unwrap(), decimal(&line["amount"])));
        }
        assert_eq!(net, decimal(&report["net"]));
        assert_eq!(opening + net, decimal(&report["closing"]));
        closing = Some(decimal(&report["closing"]));
    }
    assert_eq!(told, sums);
    assert_eq!(closing, Some(decimal(&daemon.read("/v1/fund/USDT")["balance"])));
    // The command line says the same of the directory.
    let printed = ended(&["report", "USDT", "--data-dir", data.path(), "--from", first, "--to", last]);
    assert_eq!(code(&printed), 0, "{printed:?}");
    let lines: Vec<Value> = text(&printed.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, reports["items"].as_array().unwrap());
    let unknown = ended(&["report", "EUR", "--data-dir", data.path()]);
    assert_eq!(code(&unknown), 64, "{unknown:?}");
}

#[test]
fn a_day_that_is_sealed_stays_as_it_is_after_a_kill_and_a_new_start() {
    let (data, daemon) = after_a_crash();
    let roots = all(&daemon, "/v1/proof/days");
    daemon.end_by("KILL");
    let daemon = Daemon::over(&data, &["--mark-interval-ms", "0"]);
    assert_eq!(all(&daemon, "/v1/proof/days"), roots);
    // A history that is built anew changes nothing of it either.
    daemon.end_by("TERM");
    assert_eq!(code(&ended(&["reindex", "--data-dir", data.path()])), 0);
    let daemon = Daemon::over(&data, &["--mark-interval-ms", "0"]);
    assert_eq!(all(&daemon, "/v1/proof/days"), roots);
    let key = daemon.read("/v1/proof")["key"].as_str().unwrap().to_owned();
    let file = Scratch::new("export.ndjson", daemon.get("/v1/export").body);
    assert_eq!(code(&ended(&["verify", file.path(), "--key", &key])), 0);
}
