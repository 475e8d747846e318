//! Malformed and impossible commands: each is refused with its stable code and field, and changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use backstop_engine::command::Envelope;
use backstop_engine::reference::{Options, Reference};
use backstop_engine::reject::Code;
use std::collections::BTreeSet;

/// A venue in the middle of a day: an open position, an isolated one, a hedged account, an order, a liquidation order
/// outside, a funding payment, and a time of 1000.
const SETTING: &str = include_str!("bad_input/setting.ndjson");

fn send(engine: &mut Reference, text: &str) -> Result<(), (Code, String)> {
    let envelope = Envelope::read(text).map_err(|malformed| (malformed.code, malformed.field))?;
    let time = envelope.time.unwrap_or(engine.admission().last_time());
    let named = |reject: backstop_engine::reject::Reject| (reject.code, reject.field.to_owned());
    engine.submit(&envelope.command, time).map_err(named)?.result.map_err(named)
}

fn setting(shards: usize) -> Reference {
    let mut engine = Reference::new(Options { shards, shows_accounts: true });
    for line in SETTING.lines().filter(|line| !line.starts_with('#')) {
        send(&mut engine, line).unwrap_or_else(|refused| panic!("{line}: {refused:?}"));
    }
    engine
}

/// Sends every line to the venue; each must be refused as it says, and leave the state hash as it was.
fn check(table: &[(&str, Code, &str)]) {
    for shards in [1, 7] {
        let mut engine = setting(shards);
        let before = engine.state_hash().unwrap();
        for (text, code, field) in table {
            let found = send(&mut engine, text);
            assert_eq!(found, Err((*code, (*field).to_owned())), "{text} on {shards} shards");
            assert_eq!(engine.state_hash().unwrap(), before, "{text} changed the state on {shards} shards");
            let (balance, sound) = engine.audit().unwrap();
            assert!(balance.holds() && sound, "{text}: {balance:?}");
        }
    }
}

#[test]
fn text_that_is_no_command_is_refused() {
    check(&[
        ("", Code::Malformed, ""),
        ("   ", Code::Malformed, ""),
        ("{", Code::Malformed, ""),
        ("nonsense", Code::Malformed, ""),
        ("[]", Code::Malformed, ""),
        ("null", Code::Malformed, ""),
        ("42", Code::Malformed, ""),
        (r#""tick""#, Code::Malformed, ""),
        (r#"{"type":"tick"} {"type":"tick"}"#, Code::Malformed, ""),
        (r#"{"type":"tick",}"#, Code::Malformed, ""),
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":NaN}"#, Code::Malformed, ""),
        (r#"{"type":"deposit","account":"al"#, Code::Malformed, ""),
        ("{\"type\":\"tick\"}\u{0}", Code::Malformed, ""),
        (r#"{'type':'tick'}"#, Code::Malformed, ""),
        ("\u{feff}{\"type\":\"tick\"}", Code::Malformed, ""),
        ("{}", Code::MissingField, "type"),
        (r#"{"type":null}"#, Code::MissingField, "type"),
        (r#"{"type":7}"#, Code::WrongType, "type"),
        (r#"{"type":"Tick"}"#, Code::UnknownType, "type"),
        (r#"{"type":"fund_withdraw","asset":"USDT","amount":"1"}"#, Code::UnknownType, "type"),
    ]);
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = "[".repeat(100_000);
    let nested = format!(r#"{{"type":"tick","time":{deep}"#);
    let closed = format!(
        r#"{{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":{}1{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let objects = format!(r#"{{"type":"tick","x":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let long = format!(r#"{{"type":"deposit","account":"{}","asset":"USDT","amount":"1"}}"#, "a".repeat(1_000_000));
    let digits =
        format!(r#"{{"type":"deposit","account":"alice","asset":"USDT","amount":"{}"}}"#, "9".repeat(1_000_000));
    check(&[
        (&nested, Code::Malformed, ""),
        (&closed, Code::WrongType, "tiers[0]"),
        (&objects, Code::UnknownField, "x"),
        (&long, Code::InvalidName, "account"),
        (&digits, Code::OutOfRange, "amount"),
    ]);
}

#[test]
fn fields_are_all_there_once_and_known() {
    check(&[
        (r#"{"type":"deposit","asset":"USDT","amount":"1"}"#, Code::MissingField, "account"),
        (r#"{"type":"deposit","account":"alice","asset":"USDT"}"#, Code::MissingField, "amount"),
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":null}"#, Code::MissingField, "amount"),
        (r#"{"type":"tick","extra":1}"#, Code::UnknownField, "extra"),
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"1","note":"x"}"#, Code::UnknownField, "note"),
        (
            r#"{"type":"deposit","account":"alice","account":"bob","asset":"USDT","amount":"1"}"#,
            Code::DuplicateField,
            "account",
        ),
        (r#"{"type":"tick","time":1,"time":2}"#, Code::DuplicateField, "time"),
        (r#"{"type":"tick","producer":"p"}"#, Code::MissingField, "number"),
        (r#"{"type":"tick","number":1}"#, Code::MissingField, "producer"),
        (r#"{"type":"tick","producer":"p","number":0}"#, Code::OutOfRange, "number"),
        (
            r#"{"type":"funding_rate","market":"BTC-USDT","rate":"0.1","next_time":5}"#,
            Code::MissingField,
            "interval_ms",
        ),
        (r#"{"type":"set_injection_line","asset":"USDT"}"#, Code::MissingField, "limit"),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1"}"#,
            Code::MissingField,
            "tiers",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1"}]}"#,
            Code::MissingField,
            "tiers[0].maintenance_rate",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05","x":1}]}"#,
            Code::UnknownField,
            "tiers[0].x",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}],"venue":{"embedded":{"depth":"1"}}}"#,
            Code::UnknownField,
            "venue.embedded.depth",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}],"liquidation":{"reduce":{}}}"#,
            Code::MissingField,
            "liquidation.reduce.fraction",
        ),
    ]);
}

#[test]
fn types_are_those_of_the_interface() {
    check(&[
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":1}"#, Code::WrongType, "amount"),
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":1e3}"#, Code::WrongType, "amount"),
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":["1"]}"#, Code::WrongType, "amount"),
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":true}"#, Code::WrongType, "amount"),
        (r#"{"type":"deposit","account":5,"asset":"USDT","amount":"1"}"#, Code::WrongType, "account"),
        (r#"{"type":"tick","time":"5"}"#, Code::WrongType, "time"),
        (r#"{"type":"tick","time":-1}"#, Code::WrongType, "time"),
        (r#"{"type":"tick","time":1000.5}"#, Code::WrongType, "time"),
        (r#"{"type":"tick","time":18446744073709551616}"#, Code::WrongType, "time"),
        (r#"{"type":"list_asset","asset":"X","scale":"6"}"#, Code::WrongType, "scale"),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":{}}"#,
            Code::WrongType,
            "tiers",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[1]}"#,
            Code::WrongType,
            "tiers[0]",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}],"adl":"queue"}"#,
            Code::WrongType,
            "adl",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}],"venue":7}"#,
            Code::WrongType,
            "venue",
        ),
        (
            r#"{"type":"liquidation_fill","order":1,"trade":"v9","price":"940","quantity":"1"}"#,
            Code::WrongType,
            "order",
        ),
    ]);
}

#[test]
fn figures_are_plain_decimals_within_their_range() {
    let deposit =
        |amount: &str| format!(r#"{{"type":"deposit","account":"alice","asset":"USDT","amount":"{amount}"}}"#);
    let figures = [
        ("", Code::NotADecimal),
        ("NaN", Code::NotADecimal),
        ("inf", Code::NotADecimal),
        ("-Infinity", Code::NotADecimal),
        ("1e3", Code::NotADecimal),
        ("+1", Code::NotADecimal),
        ("1_000", Code::NotADecimal),
        ("1,5", Code::NotADecimal),
        (" 1", Code::NotADecimal),
        (".5", Code::NotADecimal),
        ("5.", Code::NotADecimal),
        ("0x10", Code::NotADecimal),
        ("١", Code::NotADecimal),
        ("12345678901234567890123456789", Code::OutOfRange),
        ("99999999999999999999999999999", Code::OutOfRange),
        ("0.00000000000000000000000000001", Code::TooPrecise),
        ("0.0000000000001", Code::TooPrecise),
        ("0.0000001", Code::TooPrecise),
        ("0", Code::OutOfRange),
        ("-0", Code::OutOfRange),
        ("-1", Code::OutOfRange),
        ("100000000000001", Code::OutOfRange),
        ("9999999999999999999999999999", Code::OutOfRange),
    ];
    let texts: Vec<(String, Code)> = figures.iter().map(|(amount, code)| (deposit(amount), *code)).collect();
    let table: Vec<(&str, Code, &str)> = texts.iter().map(|(text, code)| (text.as_str(), *code, "amount")).collect();
    check(&table);
    check(&[
        (r#"{"type":"price","market":"BTC-USDT","source":"a","price":"0"}"#, Code::OutOfRange, "price"),
        (r#"{"type":"price","market":"BTC-USDT","source":"a","price":"-50000"}"#, Code::OutOfRange, "price"),
        (r#"{"type":"price","market":"BTC-USDT","source":"a","price":"1000000000001"}"#, Code::OutOfRange, "price"),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"0","buyer":"alice","seller":"bob","trade":"t"}"#,
            Code::OutOfRange,
            "quantity",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"-1","buyer":"alice","seller":"bob","trade":"t"}"#,
            Code::OutOfRange,
            "quantity",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000.05","quantity":"1","buyer":"alice","seller":"bob","trade":"t"}"#,
            Code::OffTick,
            "price",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"0.0005","buyer":"alice","seller":"bob","trade":"t"}"#,
            Code::OffLot,
            "quantity",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"alice","seller":"bob","trade":"t","buyer_fee":"0.0000001"}"#,
            Code::TooPrecise,
            "buyer_fee",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"999999999999","quantity":"999999999999","buyer":"alice","seller":"bob","trade":"t"}"#,
            Code::OutOfRange,
            "quantity",
        ),
        (
            r#"{"type":"set_leverage","account":"alice","market":"BTC-USDT","leverage":"0"}"#,
            Code::OutOfRange,
            "leverage",
        ),
        (
            r#"{"type":"set_leverage","account":"alice","market":"BTC-USDT","leverage":"1001"}"#,
            Code::OutOfRange,
            "leverage",
        ),
        (
            r#"{"type":"set_leverage","account":"alice","market":"BTC-USDT","leverage":"10.1"}"#,
            Code::LeverageOutOfRange,
            "leverage",
        ),
        (r#"{"type":"move_margin","account":"bob","market":"SOL-USDT","amount":"0"}"#, Code::OutOfRange, "amount"),
        (r#"{"type":"funding","market":"BTC-USDT","rate":"1001","id":"f9"}"#, Code::OutOfRange, "rate"),
        (
            r#"{"type":"funding_rate","market":"BTC-USDT","rate":"0.1","next_time":5,"interval_ms":0}"#,
            Code::OutOfRange,
            "interval_ms",
        ),
        (r#"{"type":"list_asset","asset":"X","scale":13}"#, Code::OutOfRange, "scale"),
        (r#"{"type":"set_injection_line","asset":"USDT","limit":"-1"}"#, Code::OutOfRange, "limit"),
        (r#"{"type":"deposit","account":"bob","asset":"USDT","amount":"100000000000000"}"#, Code::OutOfRange, "amount"),
    ]);
}

#[test]
fn rules_of_a_market_make_sense() {
    let list = |rest: &str| {
        format!(
            r#"{{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1",{rest}}}"#
        )
    };
    let tiers = r#""tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]"#;
    let cases = [
        (list(r#""tiers":[]"#), Code::InvalidTiers, "tiers"),
        (list(r#""tiers":[{"initial_rate":"0.1","maintenance_rate":"0.2"}]"#), Code::InvalidTiers, "tiers"),
        (list(r#""tiers":[{"initial_rate":"0.1","maintenance_rate":"0"}]"#), Code::InvalidTiers, "tiers"),
        (
            list(
                r#""tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"},{"initial_rate":"0.2","maintenance_rate":"0.1"}]"#,
            ),
            Code::InvalidTiers,
            "tiers",
        ),
        (
            list(
                r#""tiers":[{"notional_limit":"10","initial_rate":"0.2","maintenance_rate":"0.1"},{"initial_rate":"0.2","maintenance_rate":"0.05"}]"#,
            ),
            Code::InvalidTiers,
            "tiers",
        ),
        (list(&format!(r#"{tiers},"liquidation":{{"reduce":"half"}}"#)), Code::InvalidValue, "liquidation.reduce"),
        (
            list(&format!(r#"{tiers},"liquidation":{{"reduce":{{"fraction":"0"}}}}"#)),
            Code::OutOfRange,
            "liquidation.reduce.fraction",
        ),
        (
            list(&format!(r#"{tiers},"liquidation":{{"restore_ratio":"0.9"}}"#)),
            Code::OutOfRange,
            "liquidation.restore_ratio",
        ),
        (
            list(&format!(r#"{tiers},"liquidation":{{"pace_per_second":"0"}}"#)),
            Code::OutOfRange,
            "liquidation.pace_per_second",
        ),
        (
            list(&format!(r#"{tiers},"liquidation":{{"surplus":{{"fund_share":"1.1"}}}}"#)),
            Code::OutOfRange,
            "liquidation.surplus.fund_share",
        ),
        (list(&format!(r#"{tiers},"liquidation":{{"order_ttl_ms":0}}"#)), Code::OutOfRange, "liquidation.order_ttl_ms"),
        (list(&format!(r#"{tiers},"adl":{{"policy":"random"}}"#)), Code::InvalidValue, "adl.policy"),
        (
            list(&format!(r#"{tiers},"adl":{{"drawdown":{{"window_ms":1000,"start":"0.25","stop":"0.3"}}}}"#)),
            Code::OutOfRange,
            "adl.drawdown.stop",
        ),
        (list(&format!(r#"{tiers},"pool":{{"shared_draw_cap":"-1"}}"#)), Code::OutOfRange, "pool.shared_draw_cap"),
        (list(&format!(r#"{tiers},"venue":"dark_pool""#)), Code::InvalidValue, "venue"),
        (list(&format!(r#"{tiers},"oracle":{{"band":"0"}}"#)), Code::OutOfRange, "oracle.band"),
        (list(&format!(r#"{tiers},"oracle":{{"weights":{{"a b":"1"}}}}"#)), Code::InvalidName, "oracle.weights.a b"),
        (list(&format!(r#"{tiers},"oracle":{{"min_sources":0}}"#)), Code::OutOfRange, "oracle.min_sources"),
    ];
    let table: Vec<(&str, Code, &str)> =
        cases.iter().map(|(text, code, field)| (text.as_str(), *code, *field)).collect();
    check(&table);
    check(&[
        (
            r#"{"type":"list_market","market":"X","kind":"quanto","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]}"#,
            Code::InvalidValue,
            "kind",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"EUR","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]}"#,
            Code::UnknownAsset,
            "asset",
        ),
        (
            r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"0.0000001","lot_size":"0.0000001","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]}"#,
            Code::TooPrecise,
            "tick_size",
        ),
        (
            r#"{"type":"list_market","market":"BTC-USDT","kind":"linear","asset":"BTC","tick_size":"0.1","lot_size":"0.001","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]}"#,
            Code::Immutable,
            "asset",
        ),
        (
            r#"{"type":"list_market","market":"BTC-USDT","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.01","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]}"#,
            Code::Immutable,
            "lot_size",
        ),
        (r#"{"type":"list_asset","asset":"USDT","scale":8}"#, Code::Immutable, "scale"),
        (r#"{"type":"list_asset","asset":"X","scale":6,"when_unbacked":"pay"}"#, Code::InvalidValue, "when_unbacked"),
    ]);
}

#[test]
fn names_are_known_and_not_the_houses() {
    check(&[
        (r#"{"type":"deposit","account":"","asset":"USDT","amount":"1"}"#, Code::InvalidName, "account"),
        (r#"{"type":"deposit","account":"a b","asset":"USDT","amount":"1"}"#, Code::InvalidName, "account"),
        (r#"{"type":"deposit","account":"älice","asset":"USDT","amount":"1"}"#, Code::InvalidName, "account"),
        (r#"{"type":"deposit","account":"a\u0000","asset":"USDT","amount":"1"}"#, Code::InvalidName, "account"),
        (r#"{"type":"deposit","account":"house:fund","asset":"USDT","amount":"1"}"#, Code::ReservedAccount, "account"),
        (
            r#"{"type":"withdraw","account":"house:venue","asset":"USDT","amount":"1"}"#,
            Code::ReservedAccount,
            "account",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"house:fund","seller":"bob","trade":"t"}"#,
            Code::ReservedAccount,
            "buyer",
        ),
        (r#"{"type":"deposit","account":"alice","asset":"EUR","amount":"1"}"#, Code::UnknownAsset, "asset"),
        (r#"{"type":"deposit","account":"alice","asset":"usdt","amount":"1"}"#, Code::UnknownAsset, "asset"),
        (r#"{"type":"price","market":"DOGE-USDT","source":"a","price":"1"}"#, Code::UnknownMarket, "market"),
        (
            r#"{"type":"fill","market":"DOGE-USDT","price":"1","quantity":"1","buyer":"alice","seller":"bob","trade":"t"}"#,
            Code::UnknownMarket,
            "market",
        ),
        (r#"{"type":"fund_credit","asset":"EUR","source":"injection","amount":"1"}"#, Code::UnknownAsset, "asset"),
        (r#"{"type":"fund_credit","asset":"USDT","source":"withdrawal","amount":"1"}"#, Code::InvalidValue, "source"),
        (
            r#"{"type":"liquidation_fill","order":"one","trade":"v9","price":"940","quantity":"1"}"#,
            Code::UnknownOrder,
            "order",
        ),
        (
            r#"{"type":"liquidation_fill","order":"-1","trade":"v9","price":"940","quantity":"1"}"#,
            Code::UnknownOrder,
            "order",
        ),
        (
            r#"{"type":"liquidation_fill","order":"99","trade":"v9","price":"940","quantity":"1"}"#,
            Code::UnknownOrder,
            "order",
        ),
        (r#"{"type":"liquidation_done","order":"0","status":"expired"}"#, Code::UnknownOrder, "order"),
        (r#"{"type":"liquidation_done","order":"1","status":"filled"}"#, Code::InvalidValue, "status"),
        (
            r#"{"type":"set_margin_mode","account":"alice","market":"BTC-USDT","mode":"portfolio"}"#,
            Code::InvalidValue,
            "mode",
        ),
    ]);
}

#[test]
fn what_the_state_does_not_allow_is_refused() {
    check(&[
        (r#"{"type":"tick","time":999}"#, Code::TimeBackwards, "time"),
        (r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"1","time":0}"#, Code::TimeBackwards, "time"),
        (
            r#"{"type":"withdraw","account":"alice","asset":"USDT","amount":"20000"}"#,
            Code::InsufficientMargin,
            "account",
        ),
        (r#"{"type":"withdraw","account":"nobody","asset":"USDT","amount":"1"}"#, Code::InsufficientMargin, "account"),
        (r#"{"type":"withdraw","account":"carol","asset":"USDT","amount":"0.01"}"#, Code::UnderLiquidation, "account"),
        (
            r#"{"type":"reserve_margin","account":"alice","market":"BTC-USDT","amount":"1","order":"o1"}"#,
            Code::OrderOpen,
            "order",
        ),
        (
            r#"{"type":"reserve_margin","account":"alice","market":"BTC-USDT","amount":"1000000","order":"o2"}"#,
            Code::InsufficientMargin,
            "account",
        ),
        (
            r#"{"type":"release_margin","account":"alice","market":"BTC-USDT","amount":"101","order":"o1"}"#,
            Code::ExceedsOrder,
            "amount",
        ),
        (
            r#"{"type":"release_margin","account":"alice","market":"ETH-USDT","amount":"1","order":"o1"}"#,
            Code::UnknownOrder,
            "order",
        ),
        (
            r#"{"type":"release_margin","account":"bob","market":"BTC-USDT","amount":"1","order":"o1"}"#,
            Code::UnknownOrder,
            "order",
        ),
        (
            r#"{"type":"set_margin_mode","account":"alice","market":"BTC-USDT","mode":"isolated"}"#,
            Code::PositionOpen,
            "market",
        ),
        (r#"{"type":"set_position_mode","account":"alice","mode":"hedge"}"#, Code::PositionOpen, "mode"),
        (r#"{"type":"move_margin","account":"alice","market":"BTC-USDT","amount":"1"}"#, Code::NotIsolated, "market"),
        (
            r#"{"type":"move_margin","account":"alice","market":"BTC-USDT","amount":"1","leg":"long"}"#,
            Code::LegNotAllowed,
            "leg",
        ),
        (
            r#"{"type":"move_margin","account":"bob","market":"SOL-USDT","amount":"-1"}"#,
            Code::InsufficientMargin,
            "account",
        ),
        (
            r#"{"type":"move_margin","account":"bob","market":"SOL-USDT","amount":"1000000"}"#,
            Code::InsufficientMargin,
            "account",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"dora","seller":"bob","trade":"t"}"#,
            Code::LegRequired,
            "buyer_leg",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"alice","seller":"bob","trade":"t","seller_leg":"short"}"#,
            Code::LegNotAllowed,
            "seller_leg",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"0.2","buyer":"bob","seller":"dora","trade":"t","seller_leg":"long"}"#,
            Code::ExceedsPosition,
            "seller_leg",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"0.1","buyer":"dora","seller":"bob","trade":"t","buyer_leg":"short"}"#,
            Code::ExceedsPosition,
            "buyer_leg",
        ),
        (
            r#"{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"20","buyer":"alice","seller":"bob","trade":"t"}"#,
            Code::NoTier,
            "quantity",
        ),
        (
            r#"{"type":"fill","market":"SOL-USDT","price":"100","quantity":"100000","buyer":"bob","seller":"alice","trade":"t"}"#,
            Code::InsufficientMargin,
            "buyer",
        ),
        (
            r#"{"type":"fill","market":"SOL-USDT","price":"100","quantity":"10","buyer":"nobody","seller":"nobody","trade":"t","seller_fee":"1"}"#,
            Code::InsufficientMargin,
            "seller",
        ),
        (
            r#"{"type":"fill","market":"ETH-USDT","price":"940","quantity":"5","buyer":"bob","seller":"carol","trade":"t"}"#,
            Code::UnderLiquidation,
            "quantity",
        ),
        (
            r#"{"type":"liquidation_fill","order":"1","trade":"v1","price":"940","quantity":"1"}"#,
            Code::DuplicateTrade,
            "trade",
        ),
        (
            r#"{"type":"liquidation_fill","order":"1","trade":"v2","price":"940.005","quantity":"1"}"#,
            Code::OffTick,
            "price",
        ),
        (
            r#"{"type":"liquidation_fill","order":"1","trade":"v2","price":"940","quantity":"0.001"}"#,
            Code::OffLot,
            "quantity",
        ),
        (
            r#"{"type":"liquidation_fill","order":"1","trade":"v2","price":"940","quantity":"10"}"#,
            Code::ExceedsOrder,
            "quantity",
        ),
        (
            r#"{"type":"liquidation_fill","order":"1","trade":"v2","price":"0.01","quantity":"1"}"#,
            Code::LimitViolated,
            "price",
        ),
        (r#"{"type":"funding","market":"BTC-USDT","rate":"0.0001","id":"f1"}"#, Code::DuplicateFunding, "id"),
        (r#"{"type":"funding_correction","market":"BTC-USDT","of":"f0","rate":"0.0001"}"#, Code::UnknownFunding, "of"),
        (r#"{"type":"funding_correction","market":"ETH-USDT","of":"f1","rate":"0.0001"}"#, Code::UnknownFunding, "of"),
        (
            r#"{"type":"set_leverage","account":"bob","market":"BTC-USDT","leverage":"20"}"#,
            Code::LeverageOutOfRange,
            "leverage",
        ),
    ]);
}

#[test]
fn a_closed_order_and_a_market_without_a_price_are_refused_by_name() {
    let mut engine = setting(2);
    send(&mut engine, r#"{"type":"liquidation_done","order":"1","status":"expired"}"#).unwrap();
    let list = r#"{"type":"list_market","market":"NEW","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]}"#;
    send(&mut engine, list).unwrap();
    let before = engine.state_hash().unwrap();
    let late =
        send(&mut engine, r#"{"type":"liquidation_fill","order":"1","trade":"v7","price":"940","quantity":"1"}"#);
    assert_eq!(late, Err((Code::OrderClosed, "order".to_owned())));
    let twice = send(&mut engine, r#"{"type":"liquidation_done","order":"1","status":"expired"}"#);
    assert_eq!(twice, Err((Code::OrderClosed, "order".to_owned())));
    let unpriced = send(&mut engine, r#"{"type":"funding","market":"NEW","rate":"0.01","id":"f1"}"#);
    assert_eq!(unpriced, Err((Code::NoMark, "market".to_owned())));
    assert_eq!(engine.state_hash().unwrap(), before);
}

#[test]
fn every_code_has_a_text_of_its_own() {
    let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    assert!(texts.iter().all(|text| plain(text)), "{texts:?}");
}
