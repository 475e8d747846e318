//! Receipts: complete, in the account's favour checkable, and the same for ever once their day is over.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod past;
mod venue;

use backstop_actors::history::{About, CutReceipt, LiquidationReceipt, Reader, Receipt, ReceiptId, day_of};
use past::{Played, events, play, scenarios, written};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use venue::{files, read};

fn scenario(name: &str) -> Played {
    let path = files().into_iter().find(|path| path.file_stem().unwrap() == name).unwrap();
    play(&read(&std::fs::read_to_string(path).unwrap()))
}

/// A history that lasts as long as the folder.
fn kept(played: &Played) -> (tempfile::TempDir, Reader) {
    let folder = tempfile::tempdir().unwrap();
    let reader = written(&folder.path().join("history.sqlite"), played);
    (folder, reader)
}

fn all(reader: &Reader) -> Vec<LiquidationReceipt> {
    (1..).map_while(|id| reader.liquidation(id).unwrap()).collect()
}

fn summaries(name: &str) -> Vec<String> {
    let (_folder, reader) = kept(&scenario(name));
    all(&reader).into_iter().map(|receipt| receipt.summary).collect()
}

/// The numbers of the events in a list.
fn numbers(list: &[Value]) -> Vec<u64> {
    list.iter().map(|body| body["seq"].as_u64().unwrap()).collect()
}

#[test]
fn a_receipt_holds_every_event_of_its_liquidation_once_and_the_marks_of_their_ticks() {
    let mut seen = 0;
    for played in scenarios() {
        let (_folder, reader) = kept(&played);
        for receipt in all(&reader) {
            seen += 1;
            let lists = [
                &receipt.coverage,
                &receipt.orders,
                &receipt.fills,
                &receipt.taken_over,
                &receipt.claims,
                &receipt.fund_entries,
                &receipt.adl,
                &receipt.cuts,
                &receipt.later,
            ];
            let mut found: Vec<u64> = lists.into_iter().flat_map(|list| numbers(list)).collect();
            found.sort_unstable();
            let of = |event: &&backstop_engine::event::Event| {
                let about = About::of(event);
                let edges = ["liquidation_started", "liquidation_ended"];
                about.liquidation == Some(receipt.liquidation) && !edges.contains(&&*about.kind)
            };
            assert_eq!(found, events(&played).filter(of).map(|event| event.seq).collect::<Vec<_>>());
            for fill in &receipt.fills {
                let mark = receipt
                    .marks
                    .iter()
                    .rfind(|mark| mark["market"] == fill["market"] && mark["seq"].as_u64() < fill["seq"].as_u64());
                assert_eq!(mark.unwrap()["mark"], fill["mark"], "the mark that the settlement says: {fill}");
                assert!(mark.unwrap()["sources"].is_array() && mark.unwrap()["index"].is_string());
            }
            assert!(receipt.rules.as_ref().unwrap().is_string());
            assert!(receipt.summary.ends_with('.'), "{}", receipt.summary);
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_amount_of_a_receipt_is_accounted_for() {
    let decimal = |text: &Value| text.as_str().unwrap().parse::<rust_decimal::Decimal>().unwrap();
    for played in scenarios() {
        let (_folder, reader) = kept(&played);
        for receipt in all(&reader) {
            let sum = |list: &[Value], name: &str| {
                list.iter().map(|body| decimal(&body[name])).sum::<rust_decimal::Decimal>()
            };
            let totals = serde_json::to_value(&receipt.totals).unwrap();
            assert_eq!(
                decimal(&totals["fee"]) + decimal(&totals["surplus"]),
                decimal(&totals["to_fund"]) + decimal(&totals["to_account"])
            );
            assert_eq!(decimal(&totals["to_account"]), sum(&receipt.fills, "account_share"));
            assert!(decimal(&totals["paid"]) <= decimal(&totals["claimed"]));
            for entry in &receipt.fund_entries {
                assert_eq!(decimal(&entry["balance_before"]) + decimal(&entry["amount"]), decimal(&entry["balance"]));
            }
            let cut = sum(&receipt.cuts, "quantity");
            assert!(cut <= sum(&receipt.adl, "quantity"), "no more than had to be closed");
        }
    }
}

#[test]
fn the_summary_says_in_one_sentence_what_it_came_to() {
    let closed = |text: &str| format!("You were closed at {text}.");
    let expected = [
        (
            "shortfall-absorbed-by-the-fund",
            vec![closed("44000, 1000 worse than the bankruptcy price; the fund paid the shortfall of 1000")],
        ),
        (
            "fund-exhausted-then-adl",
            vec![closed(
                "an average of 44500, 500 worse than the bankruptcy price; the fund paid the shortfall of 500; 0.5 was \
                 closed against 1 position of other accounts by auto-deleveraging",
            )],
        ),
        (
            "surplus-is-shared-by-policy",
            vec![
                closed("46000, 1000 better than the bankruptcy price; 230 went to the fund; 770 was left to you"),
                closed("46000, 1000 better than the bankruptcy price; 615 went to the fund; 385 was left to you"),
            ],
        ),
        (
            "takeover-at-the-bankruptcy-price-and-unwinding",
            vec![
                closed("45000, the bankruptcy price; the fund took over 1"),
                "The fund's position was closed at 44700, 300 worse than the bankruptcy price; the fund paid the \
                 shortfall of 300."
                    .to_owned(),
            ],
        ),
        (
            "cross-account-closes-its-largest-position-first",
            vec![
                "You were closed in BTC-USDT at 47000, 1753 better than the bankruptcy price, and in ETH-USDT at 2000, \
                 74 better than the bankruptcy price; 2493 went to the fund."
                    .to_owned(),
            ],
        ),
    ];
    for (name, wanted) in expected {
        assert_eq!(summaries(name), wanted, "{name}");
    }
}

#[test]
fn a_cut_shows_why_whom_it_covered_and_who_else_was_cut() {
    let mut seen = 0;
    for played in scenarios() {
        let (_folder, reader) = kept(&played);
        for event in events(&played).filter(|event| About::of(event).kind == "deleveraged") {
            seen += 1;
            let receipt: CutReceipt = reader.deleveraging(event.seq).unwrap().unwrap();
            assert_eq!(receipt.cut, serde_json::to_value(event).unwrap());
            assert!(receipt.cut["inputs"]["equity"].is_string() && receipt.cut["fund_balance"].is_string());
            assert_eq!(receipt.mark.as_ref().unwrap()["mark"], receipt.cut["mark"]);
            let adl = receipt.adl.as_ref().unwrap();
            assert_eq!((&adl["market"], &adl["liquidation"]), (&receipt.cut["market"], &receipt.cut["liquidation"]));
            assert_eq!(receipt.liquidation.as_ref().unwrap()["type"], "liquidation_started");
            assert_eq!(numbers(&receipt.shares).iter().filter(|number| **number == event.seq).count(), 1);
            for share in &receipt.shares {
                assert_eq!(share["time"], receipt.cut["time"]);
                assert!(share.get("inputs").is_none(), "what others have is theirs: {share}");
                let other = reader.deleveraging(share["seq"].as_u64().unwrap()).unwrap().unwrap();
                assert_eq!(other.shares, receipt.shares);
            }
            let named = format!("you were rank {} of {}.", receipt.cut["rank"], receipt.cut["of"]);
            assert!(receipt.summary.ends_with(&named), "{}", receipt.summary);
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Without what is not proven.
fn emptied(mut receipt: Receipt) -> Receipt {
    match &mut receipt {
        Receipt::Liquidation(receipt) => receipt.later.clear(),
        Receipt::Adl(receipt) => receipt.shares.clear(),
    }
    receipt
}

#[test]
fn the_receipts_of_a_day_are_those_that_ended_in_it_in_the_order_of_their_ends() {
    for mut played in scenarios() {
        // Some of each scenario a day later, and some another.
        for entry in &mut played.entries {
            let days = entry.seq / 8;
            entry.time += days * 86_400_000;
            entry.events.iter_mut().for_each(|event| event.time += days * 86_400_000);
        }
        let (_folder, reader) = kept(&played);
        let mut wanted: BTreeMap<u64, Vec<ReceiptId>> = BTreeMap::new();
        for event in events(&played) {
            let about = About::of(event);
            let of_day = wanted.entry(day_of(event.time)).or_default();
            match &*about.kind {
                "liquidation_ended" => of_day.push(ReceiptId::Liquidation(about.liquidation.unwrap())),
                "deleveraged" => of_day.push(ReceiptId::Adl(event.seq)),
                _ => {}
            }
        }
        for (day, wanted) in wanted {
            assert_eq!(reader.receipts_of(day).unwrap(), wanted);
            for id in wanted {
                assert_eq!(id.to_string().parse(), Ok(id));
                let receipt = reader.receipt(id).unwrap().unwrap();
                let sealed = reader.sealed_receipt(id).unwrap().unwrap();
                assert_eq!(sealed, emptied(receipt.clone()));
                let shown = serde_json::to_value(&receipt).unwrap();
                assert_eq!(shown["receipt"], json!(id.to_string()));
                assert_eq!(shown["account"], json!(receipt.account()));
            }
        }
    }
    for not in ["", "adl", "adl-", "adl-01", "adl-+1", "liquidation-1x", "claim-1", "liquidation--1"] {
        assert!(not.parse::<ReceiptId>().is_err(), "{not}");
    }
}

#[test]
fn what_comes_after_the_day_stands_beside_the_receipt_and_changes_nothing_of_it() {
    let mut played = scenario("claims-are-paid-oldest-first");
    let last =
        events(&played).filter(|event| About::of(event).kind == "liquidation_ended").map(|event| event.seq).max();
    // All that came after both had ended comes a day later.
    let mut earlier = Played { engine: scenario("claims-are-paid-oldest-first").engine, entries: Vec::new() };
    for entry in &mut played.entries {
        if entry.events.iter().all(|event| event.seq > last.unwrap()) {
            entry.time += 86_400_000;
            entry.events.iter_mut().for_each(|event| event.time += 86_400_000);
        } else {
            earlier.entries.push(entry.clone());
        }
    }
    let (_folder, before) = kept(&earlier);
    let (_other, after) = kept(&played);
    let id = ReceiptId::Liquidation(2);
    let (sealed, first) = (after.sealed_receipt(id).unwrap(), before.receipt(id).unwrap());
    let receipt = after.receipt(id).unwrap();
    assert_ne!(first, receipt);
    let Some(Receipt::Liquidation(receipt)) = &receipt else { panic!("a liquidation") };
    assert!(receipt.later.iter().any(|event| event["type"] == "claim"), "{receipt:?}");
    assert!(receipt.summary.ends_with("is paid."), "{}", receipt.summary);
    assert_eq!(first, sealed);
    assert_eq!(before.sealed_receipt(id).unwrap(), sealed);
}
