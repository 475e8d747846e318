//! What accounts, markets and matching engines are told of liquidations before they happen: the same on any number of
//! shards as the engine alone says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod venue;

use backstop_actors::conductor::{Answer, Query};
use backstop_actors::topology::{Placement, Topology};
use backstop_engine::command::{Command, Envelope};
use backstop_engine::id::AccountId;
use backstop_engine::reference::{Options, Reference};
use backstop_engine::view::{AccountView, OpenOrderView, WarningLevel, WarningView};
use serde_json::json;
use std::collections::BTreeSet;
use venue::{files, read, submit, with};

const SHARDS: [usize; 3] = [1, 2, 7];

async fn accounts(topology: &Topology, ids: &BTreeSet<AccountId>) -> Vec<Option<AccountView>> {
    let ids = ids.iter().cloned().collect();
    let Answer::Accounts(views) = topology.conductor.ask(Query::Accounts(ids)).await.unwrap().answer else {
        panic!("accounts")
    };
    views
}

async fn warning(topology: &Topology, market: &str) -> Option<WarningView> {
    let Answer::Warning(view) = topology.conductor.ask(Query::Warning(market.to_owned())).await.unwrap().answer else {
        panic!("a warning")
    };
    view
}

async fn warnings(topology: &Topology) -> Vec<WarningView> {
    let Answer::Warnings(views) = topology.conductor.ask(Query::Warnings).await.unwrap().answer else {
        panic!("warnings")
    };
    views
}

async fn orders(topology: &Topology) -> Vec<OpenOrderView> {
    let Answer::Orders(views) = topology.conductor.ask(Query::Orders).await.unwrap().answer else { panic!("orders") };
    views
}

fn take(engine: &mut Reference, commands: &[Envelope]) {
    for envelope in commands {
        // What is refused is refused to the actors as well.
        let _ = engine.submit(&envelope.command, envelope.time.unwrap());
    }
}

fn is_tick(envelope: &Envelope) -> bool {
    matches!(envelope.command, Command::Tick)
}

fn depositor(envelope: &Envelope) -> Option<AccountId> {
    match &envelope.command {
        Command::Deposit { account, .. } => Some(account.clone()),
        _ => None,
    }
}

#[test]
fn after_every_tick_accounts_and_warnings_are_those_of_the_reference() {
    let (mut priced, mut levels) = (0, BTreeSet::new());
    for path in files() {
        let commands = read(&std::fs::read_to_string(&path).unwrap());
        let ids: BTreeSet<AccountId> = commands.iter().filter_map(depositor).collect();
        for shards in SHARDS {
            let what = format!("{} on {shards} shards", path.display());
            let mut engine = Reference::new(Options::default());
            with(shards, Placement::Spread, async |topology| {
                for piece in commands.split_inclusive(is_tick).filter(|piece| piece.last().is_some_and(is_tick)) {
                    take(&mut engine, piece);
                    submit(topology, piece).await;
                    let wanted: Vec<_> = ids.iter().map(|id| engine.account(id)).collect();
                    assert_eq!(accounts(topology, &ids).await, wanted, "{what}");
                    priced += wanted
                        .iter()
                        .flatten()
                        .flat_map(|view| &view.positions)
                        .filter(|open| open.adl_price.is_some())
                        .count();
                    let markets = engine.flow().rules().markets();
                    let wanted: Vec<_> =
                        markets.iter().filter_map(|market| engine.warning(&market.name).unwrap()).collect();
                    assert_eq!(warnings(topology).await, wanted, "{what}");
                    levels.extend(wanted.iter().map(|warning| warning.level));
                    for market in markets {
                        let wanted = engine.warning(&market.name).unwrap();
                        assert_eq!(warning(topology, &market.name).await, wanted, "{what}: {}", market.name);
                    }
                }
            });
        }
    }
    assert!(priced > 0, "somebody has a price");
    assert_eq!(levels.into_iter().collect::<Vec<_>>(), [WarningLevel::Low, WarningLevel::Medium, WarningLevel::High]);
}

const OPENED: &str = r#"{"type":"list_asset","asset":"USDT","scale":6,"time":0}
{"type":"list_market","market":"BTC-USDT","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"0.001","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}],"venue":"external","liquidation":{"order_ttl_ms":2000}}
{"type":"fund_credit","asset":"USDT","source":"seed_capital","amount":"5000"}
{"type":"deposit","account":"alice","asset":"USDT","amount":"5000"}
{"type":"deposit","account":"dora","asset":"USDT","amount":"5000"}
{"type":"deposit","account":"bob","asset":"USDT","amount":"40000"}
{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"alice","seller":"bob","trade":"t1"}
{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"1","buyer":"dora","seller":"bob","trade":"t2"}
{"type":"price","market":"BTC-USDT","source":"a","price":"50000"}"#;
const FALLEN: &str = r#"{"type":"price","market":"BTC-USDT","source":"a","price":"44000","time":1000}
{"type":"tick","time":1000}"#;

#[test]
fn a_market_without_a_mark_is_warned_of_with_its_first_tick_and_an_unknown_one_never() {
    for shards in SHARDS {
        with(shards, Placement::Spread, async |topology| {
            submit(topology, &read(OPENED)).await;
            assert_eq!((warning(topology, "BTC-USDT").await, warnings(topology).await), (None, Vec::new()));
            submit(topology, &read(r#"{"type":"tick","time":1}"#)).await;
            let found = warning(topology, "BTC-USDT").await.unwrap();
            // Both longs are bankrupt at 45000 and lose 2 a point from there: 5000 are gone at 42500.
            assert_eq!(json!(found.price_down), json!("42500"));
            assert_eq!(warnings(topology).await, [found]);
            assert_eq!(warning(topology, "ETH-USDT").await, None);
        });
    }
}

#[test]
fn what_is_told_of_positions_is_that_of_the_last_tick_until_the_next() {
    with(2, Placement::Spread, async |topology| {
        submit(topology, &read(OPENED)).await;
        submit(topology, &read(r#"{"type":"tick","time":1}"#)).await;
        let before = warning(topology, "BTC-USDT").await;
        submit(topology, &read(r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"1000","time":2}"#))
            .await;
        assert_eq!(warning(topology, "BTC-USDT").await, before);
        submit(topology, &read(r#"{"type":"tick","time":3}"#)).await;
        // Alice is bankrupt at 44000 now: 1000 are gone there, and 4000 more at 2 a point.
        assert_eq!(json!(warning(topology, "BTC-USDT").await.unwrap().price_down), json!("42000"));
    });
}

#[test]
fn orders_are_told_while_they_are_open_with_what_is_left_of_them() {
    let order = |number: u64, quantity: &str| {
        json!({
            "liquidation": number, "order": number.to_string(), "market": "BTC-USDT", "side": "sell",
            "quantity": quantity, "limit_price": "44000", "bankruptcy_price": "45000", "expires": 3000,
        })
    };
    let steps = [
        (OPENED, vec![]),
        (FALLEN, vec![order(1, "1"), order(2, "1")]),
        (
            r#"{"type":"liquidation_fill","order":"2","trade":"v1","price":"44500","quantity":"0.4","time":1500}"#,
            vec![order(1, "1"), order(2, "0.6")],
        ),
        (
            r#"{"type":"liquidation_fill","order":"1","trade":"v2","price":"45000","quantity":"1","time":1500}"#,
            vec![order(2, "0.6")],
        ),
        (r#"{"type":"tick","time":2999}"#, vec![order(2, "0.6")]),
        (r#"{"type":"tick","time":3000}"#, vec![]),
    ];
    for shards in SHARDS {
        let mut engine = Reference::new(Options::default());
        with(shards, Placement::Spread, async |topology| {
            for (commands, wanted) in &steps {
                let commands = read(commands);
                take(&mut engine, &commands);
                submit(topology, &commands).await;
                let found = orders(topology).await;
                assert_eq!(found, engine.queue().open_orders().unwrap());
                assert_eq!(json!(found), json!(wanted));
            }
        });
    }
}
