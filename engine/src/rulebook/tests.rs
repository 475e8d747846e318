//! Each parameter alone: loosened it is named, tightened it passes at once, and every ceiling refuses.

use super::*;
use crate::command::{Command, Envelope};
use crate::reference::{Options, Reference};
use crate::reject::{Code, Reject};
use std::collections::BTreeSet;

const ASSET: &str = r#"{"type":"list_asset","asset":"USDT","scale":6}"#;

/// A market with a figure for everything.
fn market() -> Value {
    json!({
        "type": "list_market", "market": "BTC-USDT", "kind": "linear", "asset": "USDT", "tick_size": "1",
        "lot_size": "0.001",
        "tiers": [
            {"notional_limit": "1000", "initial_rate": "0.1", "maintenance_rate": "0.05"},
            {"notional_limit": "5000", "initial_rate": "0.2", "maintenance_rate": "0.1"},
        ],
        "liquidation": {
            "reduce": {"fraction": "0.2"}, "restore_ratio": "1.1", "fee_rate": "0.005", "surplus": {"fund_share": "0.5"},
            "residual": "adl", "pace_per_second": "1000", "order_ttl_ms": 1000,
        },
        "adl": {"policy": "queue", "price": "bankruptcy", "drawdown": {"window_ms": 1000, "start": "0.3", "stop": "0.2"}},
        "pool": {"name": "shared", "shared_draw_cap": "1000", "window_ms": 1000},
        "venue": {"embedded": {"depth_per_bp": "1000", "recovery_ms": 1000}},
        "oracle": {
            "mark": "index", "min_sources": 2, "stale_after_ms": 1000, "band": "0.05", "weights": {"a": "1", "b": "1"},
            "breaker": "0.1", "when_degraded": "wait",
        },
    })
}

/// The market with one field set to a JSON text; removed when it is `null`.
fn with(path: &str, to: &str) -> Value {
    let mut list = market();
    *list.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap_or_else(|| panic!("no {path}")) =
        serde_json::from_str(to).unwrap();
    list
}

fn read(text: &str) -> Command {
    Envelope::read(text).unwrap_or_else(|bad| panic!("{text}: {bad}")).command
}

fn venue() -> Reference {
    let mut engine = Reference::new(Options::default());
    for text in [ASSET, &market().to_string(), r#"{"type":"set_injection_line","asset":"USDT","limit":"100"}"#] {
        engine.submit(&read(text), 1_000).unwrap();
    }
    engine
}

fn change(text: &str) -> RuleChange {
    match read(text) {
        Command::ListAsset(list) => RuleChange::ListAsset(list),
        Command::ListMarket(list) => RuleChange::ListMarket(list),
        Command::SetInjectionLine { asset, limit } => RuleChange::SetInjectionLine { asset, limit },
        other => panic!("{other:?} changes no rules"),
    }
}

fn named(engine: &Reference, text: &str) -> Vec<&'static str> {
    loosens(engine.admission().rules(), engine.admission().lines(), &change(text)).unwrap()
}

/// Parameter, where it stands, a looser value, and a tighter one where the two can be put in an order.
const STEPS: &[(&str, &str, &str, Option<&str>)] = &[
    ("tiers.initial_rate", "tiers.0.initial_rate", r#""0.09""#, Some(r#""0.15""#)),
    ("tiers.initial_rate", "tiers.1.initial_rate", r#""0.19""#, Some(r#""0.25""#)),
    ("tiers.maintenance_rate", "tiers.1.maintenance_rate", r#""0.09""#, Some(r#""0.11""#)),
    ("tiers.notional_limit", "tiers.1.notional_limit", r#""5001""#, Some(r#""4999""#)),
    ("tiers.notional_limit", "tiers.1.notional_limit", "null", None),
    ("liquidation.reduce", "liquidation.reduce", r#"{"fraction":"0.1"}"#, Some(r#"{"fraction":"0.3"}"#)),
    ("liquidation.reduce", "liquidation.reduce", r#""tier_step""#, Some(r#""full""#)),
    ("liquidation.restore_ratio", "liquidation.restore_ratio", r#""1""#, Some(r#""1.2""#)),
    ("liquidation.fee_rate", "liquidation.fee_rate", r#""0.006""#, Some(r#""0.004""#)),
    ("liquidation.surplus", "liquidation.surplus", r#""account""#, None),
    ("liquidation.surplus", "liquidation.surplus", r#""fund""#, None),
    ("liquidation.residual", "liquidation.residual", r#""takeover""#, None),
    ("liquidation.pace_per_second", "liquidation.pace_per_second", r#""1001""#, Some(r#""999""#)),
    ("liquidation.pace_per_second", "liquidation.pace_per_second", "null", None),
    ("liquidation.order_ttl_ms", "liquidation.order_ttl_ms", "1001", Some("999")),
    ("adl.policy", "adl.policy", r#""pro_rata""#, None),
    ("adl.price", "adl.price", r#""mark""#, None),
    ("adl.drawdown.start", "adl.drawdown.start", r#""0.31""#, Some(r#""0.29""#)),
    ("adl.drawdown.start", "adl.drawdown", "null", None),
    ("adl.drawdown.stop", "adl.drawdown.stop", r#""0.21""#, Some(r#""0.19""#)),
    ("adl.drawdown.window_ms", "adl.drawdown.window_ms", "999", Some("1001")),
    ("pool.shared_draw_cap", "pool.shared_draw_cap", r#""1001""#, Some(r#""999""#)),
    ("pool.shared_draw_cap", "pool.shared_draw_cap", "null", None),
    ("pool.window_ms", "pool.window_ms", "999", Some("1001")),
    ("venue", "venue", r#""external""#, None),
    ("venue.embedded.depth_per_bp", "venue.embedded.depth_per_bp", r#""1001""#, Some(r#""999""#)),
    ("venue.embedded.depth_per_bp", "venue.embedded.depth_per_bp", "null", None),
    ("venue.embedded.recovery_ms", "venue.embedded.recovery_ms", "999", Some("1001")),
    ("oracle.mark", "oracle.mark", r#""median_of_three""#, None),
    ("oracle.min_sources", "oracle.min_sources", "1", Some("3")),
    ("oracle.stale_after_ms", "oracle.stale_after_ms", "1001", Some("999")),
    ("oracle.band", "oracle.band", r#""0.06""#, Some(r#""0.04""#)),
    ("oracle.weights", "oracle.weights", r#"{"a":"1","b":"2"}"#, None),
    ("oracle.breaker", "oracle.breaker", r#""0.11""#, Some(r#""0.09""#)),
    ("oracle.breaker", "oracle.breaker", "null", None),
    ("oracle.when_degraded", "oracle.when_degraded", r#""liquidate""#, None),
];

#[test]
fn each_parameter_loosened_alone_is_named_and_tightened_alone_is_not() {
    let engine = venue();
    assert!(named(&engine, &market().to_string()).is_empty(), "the same rules");
    for (name, path, looser, tighter) in STEPS {
        assert_eq!(named(&engine, &with(path, looser).to_string()), [*name], "{path} {looser}");
        if let Some(tighter) = tighter {
            assert!(named(&engine, &with(path, tighter).to_string()).is_empty(), "{path} {tighter}");
        }
    }
    let mut grouped = market();
    grouped["adl"]["hedge_group"] = "btc".into();
    assert_eq!(named(&engine, &grouped.to_string()), ["adl.hedge_group"]);
    let shown: BTreeSet<&str> = STEPS.iter().map(|(name, ..)| *name).chain(["adl.hedge_group"]).collect();
    let known: BTreeSet<&str> = MARKET.iter().map(|(name, _)| *name).collect();
    assert_eq!(shown, known, "the table of tests names every parameter");

    let mut other = market();
    other["market"] = "ETH-USDT".into();
    assert_eq!(named(&engine, &other.to_string()), ["market"]);
    assert!(named(&engine, r#"{"type":"list_asset","asset":"BTC","scale":8}"#).is_empty(), "an asset risks nothing");
    let asset =
        |policy: &str| format!(r#"{{"type":"list_asset","asset":"USDT","scale":6,"when_unbacked":"{policy}"}}"#);
    assert_eq!(named(&engine, &asset("haircut")), ["when_unbacked"]);
    assert!(named(&engine, &asset("halt")).is_empty());
    let line = |limit: &str| format!(r#"{{"type":"set_injection_line","asset":"USDT","limit":"{limit}"}}"#);
    assert_eq!(named(&engine, &line("101")), ["limit"]);
    assert!(named(&engine, &line("100")).is_empty() && named(&engine, &line("99")).is_empty());
}

#[test]
fn a_tier_more_in_the_middle_loosens_where_its_rate_is_lower() {
    let engine = venue();
    let mut list = market();
    let row =
        |limit: &str, rate: &str| json!({"notional_limit": limit, "initial_rate": rate, "maintenance_rate": "0.1"});
    list["tiers"] = json!([row("500", "0.1"), row("1000", "0.2"), row("5000", "0.2")]);
    assert!(named(&engine, &list.to_string()).is_empty(), "higher between 500 and 1000");
    list["tiers"] = json!([row("2000", "0.1"), row("5000", "0.2")]);
    assert_eq!(named(&engine, &list.to_string()), ["tiers.initial_rate"], "lower between 1000 and 2000");
}

/// The ceiling as configuration has it, where it bounds, a value at it, a value beyond, the name it is refused by.
const BOUNDS: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("min_initial_rate", r#""0.1""#, "tiers.0.initial_rate", r#""0.1""#, r#""0.09""#, "tiers.initial_rate"),
    (
        "min_maintenance_rate",
        r#""0.05""#,
        "tiers.0.maintenance_rate",
        r#""0.05""#,
        r#""0.04""#,
        "tiers.maintenance_rate",
    ),
    ("max_notional_limit", r#""5000""#, "tiers.1.notional_limit", r#""5000""#, r#""5001""#, "tiers.notional_limit"),
    ("max_notional_limit", r#""5000""#, "tiers.1.notional_limit", r#""5000""#, "null", "tiers.notional_limit"),
    (
        "allowed_reduce",
        r#"["full","fraction"]"#,
        "liquidation.reduce",
        r#""full""#,
        r#""tier_step""#,
        "liquidation.reduce",
    ),
    (
        "min_reduce_fraction",
        r#""0.2""#,
        "liquidation.reduce.fraction",
        r#""0.2""#,
        r#""0.1""#,
        "liquidation.reduce.fraction",
    ),
    ("min_restore_ratio", r#""1.1""#, "liquidation.restore_ratio", r#""1.1""#, r#""1""#, "liquidation.restore_ratio"),
    ("max_restore_ratio", r#""1.1""#, "liquidation.restore_ratio", r#""1.1""#, r#""1.2""#, "liquidation.restore_ratio"),
    ("max_fee_rate", r#""0.005""#, "liquidation.fee_rate", r#""0.005""#, r#""0.0051""#, "liquidation.fee_rate"),
    ("min_surplus_fund_share", r#""0.5""#, "liquidation.surplus", r#""fund""#, r#""account""#, "liquidation.surplus"),
    ("max_surplus_fund_share", r#""0.5""#, "liquidation.surplus", r#""account""#, r#""fund""#, "liquidation.surplus"),
    ("allowed_residual", r#"["adl"]"#, "liquidation.residual", r#""adl""#, r#""takeover""#, "liquidation.residual"),
    (
        "min_pace_per_second",
        r#""1000""#,
        "liquidation.pace_per_second",
        r#""1000""#,
        r#""999""#,
        "liquidation.pace_per_second",
    ),
    (
        "max_pace_per_second",
        r#""1000""#,
        "liquidation.pace_per_second",
        r#""1000""#,
        r#""1001""#,
        "liquidation.pace_per_second",
    ),
    (
        "max_pace_per_second",
        r#""1000""#,
        "liquidation.pace_per_second",
        r#""1000""#,
        "null",
        "liquidation.pace_per_second",
    ),
    ("max_order_ttl_ms", "1000", "liquidation.order_ttl_ms", "1000", "1001", "liquidation.order_ttl_ms"),
    ("allowed_adl_policy", r#"["queue"]"#, "adl.policy", r#""queue""#, r#""pro_rata""#, "adl.policy"),
    ("allowed_adl_price", r#"["bankruptcy"]"#, "adl.price", r#""bankruptcy""#, r#""mark""#, "adl.price"),
    ("max_drawdown_start", r#""0.3""#, "adl.drawdown.start", r#""0.3""#, r#""0.31""#, "adl.drawdown.start"),
    ("max_drawdown_start", r#""0.3""#, "adl.drawdown.start", r#""0.3""#, "none", "adl.drawdown.start"),
    ("max_drawdown_stop", r#""0.2""#, "adl.drawdown.stop", r#""0.2""#, r#""0.21""#, "adl.drawdown.stop"),
    ("min_drawdown_window_ms", "1000", "adl.drawdown.window_ms", "1000", "999", "adl.drawdown.window_ms"),
    ("max_shared_draw_cap", r#""1000""#, "pool.shared_draw_cap", r#""1000""#, r#""1001""#, "pool.shared_draw_cap"),
    ("max_shared_draw_cap", r#""1000""#, "pool.shared_draw_cap", r#""1000""#, "null", "pool.shared_draw_cap"),
    ("min_draw_window_ms", "1000", "pool.window_ms", "1000", "999", "pool.window_ms"),
    ("allowed_venue", r#"["embedded"]"#, "venue", r#""embedded""#, r#""external""#, "venue"),
    (
        "max_depth_per_bp",
        r#""1000""#,
        "venue.embedded.depth_per_bp",
        r#""1000""#,
        r#""1001""#,
        "venue.embedded.depth_per_bp",
    ),
    (
        "max_depth_per_bp",
        r#""1000""#,
        "venue.embedded.depth_per_bp",
        r#""1000""#,
        "null",
        "venue.embedded.depth_per_bp",
    ),
    ("min_recovery_ms", "1000", "venue.embedded.recovery_ms", "1000", "999", "venue.embedded.recovery_ms"),
    ("allowed_mark", r#"["index"]"#, "oracle.mark", r#""index""#, r#""median_of_three""#, "oracle.mark"),
    ("min_sources", "2", "oracle.min_sources", "2", "1", "oracle.min_sources"),
    ("max_stale_after_ms", "1000", "oracle.stale_after_ms", "1000", "1001", "oracle.stale_after_ms"),
    ("max_band", r#""0.05""#, "oracle.band", r#""0.05""#, r#""0.06""#, "oracle.band"),
    (
        "max_source_share",
        r#""0.5""#,
        "oracle.weights",
        r#"{"a":"1","b":"1"}"#,
        r#"{"a":"1","b":"2"}"#,
        "oracle.weights",
    ),
    ("max_breaker", r#""0.1""#, "oracle.breaker", r#""0.1""#, r#""0.11""#, "oracle.breaker"),
    ("max_breaker", r#""0.1""#, "oracle.breaker", r#""0.1""#, "null", "oracle.breaker"),
    (
        "allowed_when_degraded",
        r#"["wait"]"#,
        "oracle.when_degraded",
        r#""wait""#,
        r#""liquidate""#,
        "oracle.when_degraded",
    ),
];

fn policy(ceiling: &str, value: &str) -> Policy {
    let text = format!(r#"{{"ceilings":{{"{ceiling}":{value}}}}}"#);
    serde_json::from_str(&text).unwrap_or_else(|bad| panic!("{text}: {bad}"))
}

/// The answer of a ceiling, asked directly and by way of a plan.
fn reviewed(engine: &Reference, policy: &Policy, text: &str) -> Result<(), Reject> {
    let direct = policy.review(engine.admission(), read(text), 1_000, "ops-1");
    let plan = format!(r#"{{"type":"schedule_rules","change":{text},"effective_time":5000}}"#);
    let planned = policy.review(engine.admission(), read(&plan), 1_000, "ops-1");
    assert_eq!(direct.as_ref().err(), planned.as_ref().err(), "{text}");
    direct.map(|command| assert_eq!(command, read(text)))
}

#[test]
fn every_ceiling_refuses_what_passes_it_and_nothing_at_it() {
    let engine = venue();
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for (ceiling, bound, path, at, beyond, field) in BOUNDS {
        let policy = policy(ceiling, bound);
        assert_eq!(reviewed(&engine, &policy, &with(path, at).to_string()), Ok(()), "{ceiling} {at}");
        let beyond = if *beyond == "none" { with("adl.drawdown", "null") } else { with(path, beyond) };
        let refused = reviewed(&engine, &policy, &beyond.to_string()).unwrap_err();
        assert_eq!((refused.code, refused.field), (Code::AboveCeiling, *field), "{ceiling} {beyond}");
        shown.insert((*ceiling).to_owned());
    }
    let mut grouped = market();
    grouped["adl"]["hedge_group"] = "btc".into();
    let mut other = market();
    other["market"] = "ETH-USDT".into();
    let asset = |name: &str, policy: &str| {
        format!(r#"{{"type":"list_asset","asset":"{name}","scale":6,"when_unbacked":"{policy}"}}"#)
    };
    let line = |limit: &str| format!(r#"{{"type":"set_injection_line","asset":"USDT","limit":"{limit}"}}"#);
    let rest = [
        ("allowed_hedge_groups", r#"["eth"]"#, market().to_string(), grouped.to_string(), "adl.hedge_group"),
        ("max_markets", "1", market().to_string(), other.to_string(), "market"),
        ("max_assets", "1", asset("USDT", "halt"), asset("BTC", "halt"), "asset"),
        ("allowed_when_unbacked", r#"["halt"]"#, asset("USDT", "halt"), asset("USDT", "haircut"), "when_unbacked"),
        ("max_injection_line", r#""100""#, line("100"), line("101"), "limit"),
    ];
    for (ceiling, bound, at, beyond, field) in rest {
        let policy = policy(ceiling, bound);
        assert_eq!(reviewed(&engine, &policy, &at), Ok(()), "{ceiling}");
        let refused = reviewed(&engine, &policy, &beyond).unwrap_err();
        assert_eq!((refused.code, refused.field), (Code::AboveCeiling, field), "{ceiling}");
        shown.insert(ceiling.to_owned());
    }
    let Value::Object(known) = serde_json::to_value(Ceilings::default()).unwrap() else { panic!("an object") };
    assert_eq!(shown, known.keys().cloned().collect::<BTreeSet<_>>(), "the table of tests names every ceiling");
}

#[test]
fn planned_listings_count_as_listed() {
    let mut engine = venue();
    let mut other = market();
    other["market"] = "ETH-USDT".into();
    let policy = Policy { delay_ms: 10, ..policy("max_markets", "2") };
    let planned = policy.review(engine.admission(), read(&other.to_string()), 1_000, "ops-1").unwrap();
    engine.submit(&planned, 1_000).unwrap();
    assert!(policy.review(engine.admission(), read(&other.to_string()), 1_000, "ops-1").is_ok());
    other["market"] = "SOL-USDT".into();
    let refused = policy.review(engine.admission(), read(&other.to_string()), 1_000, "ops-1").unwrap_err();
    assert_eq!((refused.code, refused.value, refused.limit), (Code::AboveCeiling, Some(3.into()), Some(2.into())));
}

#[test]
fn what_loosens_waits_and_what_tightens_does_not() {
    let engine = venue();
    let policy = Policy { delay_ms: 3_600_000, ..Policy::default() };
    let review = |text: &str, by: &str| policy.review(engine.admission(), read(text), 2_000, by);
    for (_, path, looser, tighter) in STEPS {
        let text = with(path, looser).to_string();
        let (change, effective_time, by) = (Box::new(change(&text)), 3_602_000, "ops-1".into());
        assert_eq!(
            review(&text, "ops-1"),
            Ok(Command::ScheduleRules { change, effective_time, by }),
            "{path} {looser}"
        );
        if let Some(tighter) = tighter {
            let text = with(path, tighter).to_string();
            assert_eq!(review(&text, "ops-1"), Ok(read(&text)), "{path} {tighter}");
        }
    }
    // A plan is given its proposer, and no earlier time than the delay allows.
    let plan = |limit: &str, time: u64, by: &str| {
        let change = json!({"type": "set_injection_line", "asset": "USDT", "limit": limit});
        json!({"type": "schedule_rules", "change": change, "effective_time": time, "by": by}).to_string()
    };
    assert_eq!(review(&plan("101", 5, "x"), "ops-1"), Ok(read(&plan("101", 3_602_000, "ops-1"))));
    assert_eq!(review(&plan("101", 9_000_000, "x"), ""), Ok(read(&plan("101", 9_000_000, "x"))));
    assert_eq!(review(&plan("99", 5, "x"), "ops-1"), Ok(read(&plan("99", 2_000, "ops-1"))));
    let veto = |by: &str| format!(r#"{{"type":"veto_rules","change":4,"by":"{by}"}}"#);
    assert_eq!(review(&veto("x"), "ops-2"), Ok(read(&veto("ops-2"))));
    assert_eq!(review(&veto("x"), "nobody here").unwrap_err(), Reject::new(Code::InvalidName, "by"));
    for text in [r#"{"type":"tick"}"#, r#"{"type":"apply_rules","change":4}"#] {
        assert_eq!(review(text, "ops-1"), Ok(read(text)));
    }
    assert_eq!(
        review(r#"{"type":"set_injection_line","asset":"BTC","limit":"1"}"#, "").unwrap_err().code,
        Code::UnknownAsset
    );
}

#[test]
fn what_is_due_is_said_in_the_order_of_time_and_only_what_can_be_done() {
    let mut engine = venue();
    let mut plan = |limit: &str, time: u64| {
        let text = json!({"type": "schedule_rules", "effective_time": time,
            "change": {"type": "set_injection_line", "asset": "USDT", "limit": limit}});
        engine.submit(&read(&text.to_string()), 1_000).unwrap().seq
    };
    let (late, early, tighter) = (plan("500", 3_000), plan("400", 2_000), plan("99", 2_500));
    let due = |engine: &Reference, time| engine.admission().due(time);
    assert_eq!(due(&engine, 1_999), None);
    assert_eq!(due(&engine, 2_000), Some(early));
    let apply = |engine: &mut Reference, change, time| engine.submit(&Command::ApplyRules { change }, time).map(drop);
    assert_eq!(apply(&mut engine, late, 2_999).unwrap_err().code, Code::TooEarly);
    apply(&mut engine, early, 3_000).unwrap();
    assert_eq!(due(&engine, 3_000), Some(tighter));
    apply(&mut engine, tighter, 3_000).unwrap();
    assert_eq!(due(&engine, 3_000), Some(late), "it said that it would raise the line");
    apply(&mut engine, late, 3_000).unwrap();
    assert_eq!(due(&engine, u64::MAX), None);
}

#[test]
fn the_hash_is_that_of_the_rules_and_of_nothing_else() {
    let mut engine = venue();
    let whole = |engine: &Reference| hash(engine.flow().rules(), engine.flow().rulebook().lines());
    let first = engine.flow().rules_hash();
    assert_eq!(first, whole(&engine));
    let outcome = engine.submit(&read(&with("oracle.band", r#""0.04""#).to_string()), 2_000).unwrap();
    assert!(outcome.events.is_empty() && engine.flow().rules_hash() == first, "in force from the next tick");
    let outcome = engine.submit(&Command::Tick, 2_000).unwrap();
    let second = engine.flow().rules_hash();
    assert!(second != first && second == whole(&engine));
    assert!(outcome.events.iter().all(|event| event.rules == second));
    engine.submit(&read(&market().to_string()), 3_000).unwrap();
    engine.submit(&Command::Tick, 3_000).unwrap();
    assert_eq!(engine.flow().rules_hash(), first, "the same rules, though in a third version");
    engine.submit(&read(r#"{"type":"set_injection_line","asset":"USDT","limit":"0"}"#), 3_000).unwrap();
    assert!(engine.flow().rules_hash() != first);
    let (core, _) = engine.write().unwrap();
    assert_eq!(core.flow().rules_hash(), engine.flow().rules_hash(), "after a restart");
    assert_eq!(RulesHash::default().to_string().get(..8), Some("e3b0c442"), "no rules: SHA-256 of nothing");
}

#[test]
fn the_rules_of_each_command_in_a_batch_are_those_at_its_place() {
    let commands = [
        ASSET,
        r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"5"}"#,
        r#"{"type":"set_injection_line","asset":"USDT","limit":"7"}"#,
        r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"5"}"#,
    ];
    let mut single = Reference::new(Options::default());
    let each: Vec<_> = commands.iter().flat_map(|text| single.submit(&read(text), 0).unwrap().events).collect();
    let mut batched = Reference::new(Options::default());
    let entries = commands.iter().map(|text| batched.admit(&read(text), 0).unwrap()).collect();
    let whole: Vec<_> = batched.apply(entries).unwrap().entries.into_iter().flat_map(|entry| entry.events).collect();
    assert_eq!(each, whole);
}
