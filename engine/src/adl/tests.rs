//! Worked numbers of what accounts are told beforehand.

use super::*;
use crate::command::{Command, Envelope};
use crate::id::{AccountId, Side};
use crate::money::{Money, Price, Quantity, Rate};
use crate::number::parse;
use crate::reference::{Options, Reference};
use crate::rules::{Market, Rules};
use crate::view::WarningLevel;
use std::sync::Arc;

fn p(text: &str) -> Price {
    Price::new(parse(text).unwrap())
}

fn q(text: &str) -> Quantity {
    Quantity::new(parse(text).unwrap())
}

fn m(text: &str) -> Money {
    Money::new(parse(text).unwrap())
}

fn read(text: &str) -> Command {
    Envelope::read(text).unwrap().command
}

/// Linear in USDT, a contract a coin; inverse in BTC, a contract 100 USD.
fn market(kind: &str) -> Arc<Market> {
    let (asset, scale, size) = if kind == "linear" { ("USDT", 6, "1") } else { ("BTC", 8, "100") };
    let mut rules = Rules::default();
    if let Command::ListAsset(list) = read(&format!(r#"{{"type":"list_asset","asset":"{asset}","scale":{scale}}}"#)) {
        rules.put_asset(rules.check_asset(&list).unwrap());
    }
    let list = format!(
        r#"{{"type":"list_market","market":"M","kind":"{kind}","asset":"{asset}","contract_size":"{size}","tick_size":"1",
            "lot_size":"1","tiers":[{{"initial_rate":"0.1","maintenance_rate":"0.05"}}]}}"#
    );
    let Command::ListMarket(list) = read(&list) else { panic!("a market") };
    rules.check_market(&list).unwrap()
}

fn absorption(side: Side, positions: &[(&str, &str)]) -> Absorption {
    Absorption::new(side, p("100"), positions.iter().map(|(price, quantity)| (p(price), q(quantity))).collect())
        .unwrap()
}

#[test]
fn the_price_at_which_the_next_contract_would_have_to_be_absorbed() {
    let longs = absorption(Side::Buy, &[("80", "1"), ("90", "1"), ("80", "1")]);
    let at = |contracts: &str| longs.price_at(q(contracts));
    assert_eq!(
        [at("0"), at("0.5"), at("1"), at("2.9"), at("3")],
        [Some(p("90")), Some(p("90")), Some(p("80")), Some(p("80")), None]
    );
    let shorts = absorption(Side::Sell, &[("120", "2"), ("110", "1")]);
    assert_eq!([shorts.price_at(q("0")), shorts.price_at(q("1"))], [Some(p("110")), Some(p("120"))]);
    assert_eq!(absorption(Side::Buy, &[]).price_at(q("0")), None, "nobody is there");
}

/// Headroom, and the price that exhausts it.
fn check(market: &Market, absorption: &Absorption, rows: &[(&str, Option<&str>)]) {
    for (headroom, price) in rows {
        assert_eq!(absorption.price_exhausting(market, m(headroom)), Ok(price.map(p)), "{headroom}");
    }
}

#[test]
fn the_gap_that_exhausts_the_headroom_of_a_linear_market() {
    let market = market("linear");
    // 1 contract beyond 90 and 2 more beyond 80: 10 at 80, then 3 a step.
    let longs = absorption(Side::Buy, &[("90", "1"), ("80", "2")]);
    check(
        &market,
        &longs,
        &[
            ("-1", Some("100")),
            ("0", Some("90")),
            ("4", Some("86")),
            ("10", Some("80")),
            ("25", Some("75")),
            ("249", Some("0.3334")),
            ("250", None),
        ],
    );
    let shorts = absorption(Side::Sell, &[("110", "1"), ("120", "2")]);
    check(&market, &shorts, &[("0", Some("110")), ("10", Some("120")), ("11", Some("120.3333")), ("25", Some("125"))]);
    // Bankrupt already: what is lost at the mark counts, and the price is never beyond the mark.
    let under = absorption(Side::Buy, &[("105", "1")]);
    check(&market, &under, &[("0", Some("100")), ("5", Some("100")), ("7", Some("98"))]);
    check(&market, &absorption(Side::Sell, &[]), &[("-1", None), ("0", None), ("1", None)]);
}

#[test]
fn the_gap_that_exhausts_the_headroom_of_an_inverse_market() {
    let market = market("inverse");
    // 100 USD beyond 100: 100/p − 1 coins. From 50 on 200 USD: one coin more, and 200/p − 4.
    let longs = absorption(Side::Buy, &[("100", "1"), ("50", "1")]);
    check(&market, &longs, &[("0", Some("100")), ("0.6", Some("62.5")), ("1", Some("50")), ("3", Some("33.3334"))]);
    // A short of 100 USD beyond 100 loses a coin at most, however far the price goes.
    let shorts = absorption(Side::Sell, &[("100", "1")]);
    check(&market, &shorts, &[("0.5", Some("200")), ("0.75", Some("400")), ("1", None), ("2", None)]);
}

#[test]
fn the_level_follows_the_nearest_move() {
    let market = market("linear");
    let shorts = absorption(Side::Sell, &[]);
    let level = |bankruptcy: &str, headroom: &str, triggered: bool| {
        let longs = absorption(Side::Buy, &[(bankruptcy, "1")]);
        let view = warning(&market, p("100"), m(headroom), triggered, (&longs, &shorts)).unwrap();
        (view.level, view.move_down.map(Rate::get), view.price_up)
    };
    let down = |text: &str| Some(parse(text).unwrap());
    assert_eq!(level("96", "0.5", false), (WarningLevel::High, down("0.045"), None));
    assert_eq!(level("96", "1", false), (WarningLevel::Medium, down("0.05"), None));
    assert_eq!(level("86", "0.9", false), (WarningLevel::Medium, down("0.149"), None));
    assert_eq!(level("86", "1", false), (WarningLevel::Low, down("0.15"), None));
    assert_eq!(level("86", "1", true).0, WarningLevel::High, "triggered");
    assert_eq!(level("50", "0", false), (WarningLevel::High, down("0.5"), None), "nothing to give");
    assert_eq!(level("50", "1000", false), (WarningLevel::Low, None, None));
}

/// alice long 1 from 50000 on 5000 (bankrupt at 45000), erin long 1 on 10000 (at 40000); bob short 1, carol short 1.
fn venue(pool: &str) -> Reference {
    let mut engine = Reference::new(Options { shards: 7, shows_accounts: false });
    let list = format!(
        r#"{{"type":"list_market","market":"BTC-USDT","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"0.001","tiers":[{{"initial_rate":"0.1","maintenance_rate":"0.05"}}],"pool":{pool}}}"#
    );
    let deposit = |account: &str, amount: &str| {
        format!(r#"{{"type":"deposit","account":"{account}","asset":"USDT","amount":"{amount}"}}"#)
    };
    let fill = |buyer: &str, seller: &str| {
        format!(
            r#"{{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"{buyer}","seller":"{seller}","trade":"{buyer}"}}"#
        )
    };
    let lines = [
        r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned(),
        list,
        r#"{"type":"fund_credit","asset":"USDT","source":"seed_capital","amount":"3000"}"#.to_owned(),
        r#"{"type":"set_injection_line","asset":"USDT","limit":"500"}"#.to_owned(),
        deposit("alice", "5000"),
        deposit("erin", "10000"),
        deposit("bob", "5000"),
        deposit("carol", "50000"),
        fill("alice", "bob"),
        fill("erin", "carol"),
        r#"{"type":"price","market":"BTC-USDT","source":"a","price":"50000"}"#.to_owned(),
    ];
    for line in lines {
        engine.submit(&read(&line), 0).unwrap();
    }
    engine
}

#[test]
fn a_market_is_warned_of_what_all_layers_of_the_fund_can_bear() {
    let mut engine = venue(r#"{"shared_draw_cap":"1000"}"#);
    assert_eq!(engine.warning("BTC-USDT"), Ok(None), "no mark yet");
    engine.submit(&Command::Tick, 0).unwrap();
    let view = engine.warning("BTC-USDT").unwrap().unwrap();
    // 1000 of the shared pool within the cap, and 500 of the line: alice at 43500. bob is bankrupt at 55000.
    assert_eq!((view.headroom, view.price_down, view.price_up), (m("1500"), Some(p("43500")), Some(p("56500"))));
    assert_eq!((view.move_down, view.move_up), (Some(Rate::new(parse("0.13").unwrap())), view.move_down));
    assert_eq!((view.level, view.triggered, view.pool.as_str()), (WarningLevel::Medium, false, "shared"));
    let mut endless = venue("{}");
    endless.submit(&Command::Tick, 0).unwrap();
    let view = endless.warning("BTC-USDT").unwrap().unwrap();
    assert_eq!((view.headroom, view.price_down), (m("3500"), Some(p("41500"))));
    assert!(engine.warning("ETH-USDT").is_err());
}

#[test]
fn an_account_is_told_at_which_price_it_would_be_deleveraged() {
    let mut engine = venue("{}");
    engine.submit(&Command::Tick, 0).unwrap();
    let told = |engine: &Reference, name: &str| {
        let view = engine.account(&AccountId(name.into())).unwrap();
        view.positions.first().map(|open| (open.adl_contracts_ahead, open.adl_price)).unwrap()
    };
    // At the mark nobody has a profit; then bob (leverage 10) goes before carol: one contract ahead of her.
    assert_eq!(told(&engine, "bob"), (Some(q("0")), Some(p("45000"))));
    assert_eq!(told(&engine, "carol"), (Some(q("1")), Some(p("40000"))));
    assert_eq!(told(&engine, "alice").1, Some(p("55000")));
}
