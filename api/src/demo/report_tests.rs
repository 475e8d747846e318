use super::*;
use crate::demo::text;
use serde_json::json;

fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn ledger() -> Vec<Entry> {
    serde_json::from_value(json!([
        {"seq": 1, "time": 0, "reason": "seed_capital", "amount": "1000", "balance": "1000", "entry": 1},
        {"seq": 2, "time": 60_000, "reason": "liquidation_fee", "amount": "10.5", "pool": "shared"},
        {"seq": 3, "time": 61_000, "reason": "shortfall", "amount": "-400"},
        {"seq": 4, "time": 120_000, "reason": "surplus", "amount": "5"},
        {"seq": 5, "time": 180_000, "reason": "shortfall", "amount": "-0.25"},
        {"seq": 6, "time": 181_000, "reason": "liquidation_fee", "amount": "100"},
    ]))
    .unwrap()
}

fn liquidations() -> Vec<Liquidation> {
    serde_json::from_value(json!([
        {"liquidation": 1, "account": "a", "asset": "USDT", "started": 60_500, "ended": 61_000, "outcome": "closed",
         "notional": "5000", "fee": "10.5", "surplus": "0", "shortfall": "400", "settlements": []},
        {"liquidation": 2, "account": "b", "asset": "USDT", "started": 119_999, "ended": null, "outcome": null,
         "notional": "100", "fee": "0", "surplus": "5", "shortfall": "0"},
        {"liquidation": 3, "account": "c", "asset": "USDT", "started": 180_000, "ended": 180_000, "outcome": "closed",
         "notional": "5000", "fee": "100", "surplus": "0", "shortfall": "0.25"},
    ]))
    .unwrap()
}

fn adl() -> Vec<Adl> {
    serde_json::from_value(json!([
        {"type": "adl_triggered", "seq": 1, "time": 180_000, "market": "X", "side": "sell", "quantity": "-3",
         "reason": "fund_empty", "profit": "100", "candidates": 2},
        {"type": "deleveraged", "time": 180_000, "market": "X", "side": "sell", "quantity": "2", "price": "50",
         "account": "w", "realised_pnl": "30", "score": "1.5", "rank": 1, "of": 2, "hedged": false},
        {"type": "deleveraged", "time": 180_000, "market": "X", "side": "sell", "quantity": "1", "price": "50",
         "account": "v", "realised_pnl": "10", "hedged": true},
        {"type": "adl_triggered", "time": 240_000, "market": "X", "side": "sell", "quantity": "1",
         "reason": "drawdown", "profit": "120"},
        {"type": "deleveraged", "time": 240_000, "market": "X", "side": "sell", "quantity": "1", "price": "40",
         "account": "w", "realised_pnl": "24", "hedged": false},
    ]))
    .unwrap()
}

fn asset() -> AssetReport {
    let fund = Fund { balance: Figure(d("715.25")), ..Fund::default() };
    let (liquidations, adl) = (liquidations(), adl());
    let liquidations: Vec<&Liquidation> = liquidations.iter().collect();
    let cuts: Vec<(&Adl, Figure)> = adl
        .iter()
        .filter(|event| event.kind == "deleveraged")
        .map(|event| (event, cut_notional(event, false)))
        .collect();
    AssetReport::new("USDT", false, &fund, &ledger(), &liquidations, &cuts)
}

#[test]
fn the_fund_is_followed_from_its_seed_to_its_lowest_and_its_end() {
    let asset = asset();
    assert_eq!((asset.before.0, asset.lowest.0, asset.after.0), (d("1000"), d("610.5"), d("715.25")));
    assert_eq!(asset.lowest_time, Some(61_000));
    assert_eq!(asset.ledger_difference.0, Decimal::ZERO);
    let flow = |reason: &str| asset.flows.iter().find(|flow| flow.reason == reason).unwrap();
    assert_eq!((flow("liquidation_fee").count, flow("liquidation_fee").amount.0), (2, d("110.5")));
    assert_eq!((flow("shortfall").direction, flow("shortfall").amount.0), ("out", d("-400.25")));
}

#[test]
fn liquidations_add_up_by_outcome() {
    let asset = asset();
    let names: Vec<&str> = asset.liquidations.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(names, ["closed", "still open"]);
    let total = Outcome::total(&asset.liquidations);
    assert_eq!((total.count, total.short, total.notional.0, total.shortfall.0), (3, 2, d("10100"), d("400.25")));
}

#[test]
fn the_worst_minute_counts_what_was_liquidated_and_what_was_cut() {
    let minute = asset().worst_minute.unwrap();
    assert_eq!((minute.time, minute.liquidations, minute.deleveraged), (180_000, 1, 2));
    assert_eq!((minute.notional.0, minute.deleveraged_notional.0), (d("5000"), d("150")));
    assert_eq!(minute.fund_change.0, d("99.75"));
}

#[test]
fn profit_that_was_taken_before_still_counts_as_available() {
    let events = adl();
    let events: Vec<&Adl> = events.iter().collect();
    let report = AdlReport::new("X", "USDT", false, &events);
    assert_eq!((report.count, report.accounts, report.hedged), (3, 2, 1));
    assert_eq!(report.notional.0, d("190"));
    assert_eq!((report.profit_taken.0, report.profit_available.0), (d("64"), d("160")));
    assert_eq!(report.profit_share, Some(Figure(d("0.4"))));
    assert_eq!(report.triggers, BTreeMap::from([("drawdown".to_owned(), 1), ("fund_empty".to_owned(), 1)]));
    assert_eq!(cut_notional(events[1], true).0, d("0.04"), "inverse: contracts by price");
}

fn report() -> Report {
    let events = adl();
    let events: Vec<&Adl> = events.iter().collect();
    Report {
        note: NOTE,
        input: Input { title: "A day".to_owned(), bar_ms: 60_000, tick_ms: 15_000, ..Input::default() },
        population: Summary::default(),
        setup: Setup::default(),
        assets: vec![asset()],
        adl: vec![AdlReport::new("X", "USDT", false, &events)],
        conservation: ConservationReport::default(),
        commands: 12_345,
        refused: vec![Refused { code: "no_mark".to_owned(), count: 2, ..Refused::default() }],
        state_hash: "ab12".to_owned(),
        timing: Timing { shards: 2, ..Timing::default() },
    }
}

#[test]
fn json_has_raw_decimals_and_keeps_the_machine_apart() {
    let value = serde_json::to_value(report()).unwrap();
    assert_eq!(value["assets"][0]["lowest"], "610.5");
    assert_eq!(value["assets"][0]["flows"][0]["amount"], "110.5");
    assert_eq!(value["timing"]["shards"], 2);
    let mut other = report();
    other.timing = Timing { shards: 16, play_ms: 9, ..Timing::default() };
    let strip = |report: Report| {
        let mut value = serde_json::to_value(report).unwrap();
        value.as_object_mut().unwrap().remove("timing");
        value
    };
    assert_eq!(strip(report()), strip(other));
}

#[test]
fn text_is_aligned() {
    let mut out = Vec::new();
    text::write(&report(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("synthetic"), "{text}");
    let row = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap().to_owned();
    let end = |line: &str, what: &str| line.find(what).map(|at| at + what.len());
    assert_eq!(end(&row("before"), "1,000.00"), end(&row("lowest"), "610.50"));
    assert!(row("X ").contains("40.00 %") && row("X ").contains("drawdown 1, fund_empty 1"), "{text}");
    assert!(row("12,345 commands").contains("set up in"), "{text}");
}
