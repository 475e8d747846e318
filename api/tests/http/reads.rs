//! Every read after a small crash: figures, pages, filters, and a ledger that anybody can check.

use crate::common::Daemon;
use crate::crash;
use backstop_engine::event::LedgerEntry;
use backstop_engine::fund::{GENESIS, entry_hash};
use backstop_engine::id::{AccountId, LiquidationId};
use serde_json::{Value, json};

fn fallen() -> Daemon {
    let daemon = Daemon::with(&["--mark-interval-ms", "0", "--shards", "2"]);
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    daemon
}

/// The last sequence number given.
fn commands() -> usize {
    format!("{}{}", crash::OPENED, crash::FALLEN).lines().filter(|line| !line.is_empty()).count()
}

/// Does the value have what is named?
#[track_caller]
fn has(found: &Value, wanted: &Value) {
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name} in {found}");
    }
}

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap_or_else(|| panic!("{page}"))
}

fn texts<'a>(items: &'a [Value], name: &str) -> Vec<&'a str> {
    items.iter().map(|item| item[name].as_str().unwrap_or_else(|| panic!("{name} in {item}"))).collect()
}

/// Every page of a list, one item at a time.
fn walk(daemon: &Daemon, path: &str) -> Vec<Value> {
    let mark = if path.contains('?') { '&' } else { '?' };
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = daemon.read(&format!("{path}{mark}limit=1{cursor}"));
        let here = items(&page);
        assert!(here.len() <= 1, "{page}");
        found.extend_from_slice(here);
        assert!(found.len() < 1_000, "the walk does not end: {page}");
        match page["next"].as_str() {
            Some(next) => {
                assert_eq!(here.len(), 1, "a page before another is full: {page}");
                cursor = format!("&cursor={next}");
            }
            None => return found,
        }
    }
}

#[test]
fn an_account_before_the_fall_shows_margin_prices_and_its_place_in_the_queue() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let alice = daemon.read("/v1/accounts/alice");
    assert_eq!(alice["account"], "alice");
    assert!(alice["seq"].as_u64() > Some(20), "{alice}");
    let asset = &alice["assets"][0];
    has(
        asset,
        &json!({"asset": "USDT", "wallet": "5000", "equity": "4000", "maintenance_margin": "245", "available": "0"}),
    );
    assert_eq!(asset["margin_ratio"], "0.0613", "maintenance over equity: {asset}");
    let position = &alice["positions"][0];
    has(
        position,
        &json!({"market": "BTC-USDT", "leg": "net", "quantity": "1", "entry_price": "50000", "mark": "49000",
                "unrealised_pnl": "-1000", "mode": "cross", "isolated_margin": null, "maintenance_margin": "245",
                "bankruptcy_price": "45000"}),
    );
    let liquidation: f64 = position["liquidation_price"].as_str().unwrap().parse().unwrap();
    assert!((liquidation - 45226.13).abs() < 0.11, "{position}");

    let bob = daemon.read("/v1/accounts/bob/positions");
    let carol = daemon.read("/v1/accounts/carol/positions");
    has(&carol["items"][0], &json!({"quantity": "-0.5", "adl_rank": 1, "adl_of": 2, "adl_contracts_ahead": "0"}));
    has(&bob["items"][0], &json!({"quantity": "-0.5", "adl_rank": 2, "adl_of": 2, "adl_contracts_ahead": "0.5"}));
    let quantile = |page: &Value| page["items"][0]["adl_quantile"].as_u64().unwrap();
    assert!(quantile(&carol) <= 5 && quantile(&bob) >= 1 && quantile(&carol) >= quantile(&bob), "{bob} {carol}");
    assert_eq!(carol["items"], daemon.read("/v1/accounts/carol")["positions"], "the same, by itself");

    let frank = daemon.read("/v1/accounts/frank");
    has(&frank["assets"][0], &json!({"wallet": "1000", "equity": "0", "available": "0", "margin_ratio": null}));
    has(
        &frank["positions"][0],
        &json!({"mode": "isolated", "isolated_margin": "1000", "bankruptcy_price": "90", "quantity": "100"}),
    );
}

#[test]
fn accounts_after_the_fall_hold_what_the_waterfall_left_them() {
    let daemon = fallen();
    let wallets = [
        ("alice", "0"),
        ("bob", "100000"),
        ("carol", "7500"),
        ("dave", "0"),
        ("erin", "13000"),
        ("frank", "0"),
        ("grace", "10000"),
    ];
    for (account, wallet) in wallets {
        let shown = daemon.read(&format!("/v1/accounts/{account}"));
        has(&shown, &json!({"account": account, "seq": commands()}));
        has(&shown["assets"][0], &json!({"asset": "USDT", "wallet": wallet}));
        let open = matches!(account, "bob" | "grace");
        assert_eq!(shown["positions"].as_array().unwrap().is_empty(), !open, "{shown}");
        let page = daemon.read(&format!("/v1/accounts/{account}/positions"));
        assert_eq!((&page["items"], &page["next"]), (&shown["positions"], &Value::Null), "{page}");
    }
    let bob = daemon.read("/v1/accounts/bob");
    has(&bob["positions"][0], &json!({"quantity": "-0.5", "mark": "44000", "unrealised_pnl": "3000"}));
}

#[test]
fn markets_show_their_rules_and_a_mark_shows_its_sources() {
    let daemon = fallen();
    let page = daemon.read("/v1/markets");
    has(&page, &json!({"next": null, "seq": commands()}));
    assert_eq!(texts(items(&page), "market"), ["BTC-USDT", "ETH-USDT", "SOL-USDT"]);
    assert_eq!(texts(items(&page), "mark"), ["44000", "2650", "90.4"]);
    has(
        &items(&page)[2],
        &json!({"kind": "linear", "asset": "USDT", "contract_size": "1", "tick_size": "0.1", "lot_size": "1",
                "state": "ok"}),
    );
    assert_eq!(items(&page)[2]["liquidation"]["fee_rate"], "0.001", "{page}");
    assert_eq!(items(&page)[0]["oracle"]["min_sources"], 2, "{page}");
    assert_eq!(items(&page)[0]["tiers"][0]["maintenance_rate"], "0.005", "{page}");

    let mark = daemon.read("/v1/markets/BTC-USDT/mark");
    has(&mark, &json!({"market": "BTC-USDT", "state": "ok", "mark": "44000", "index": "44000", "seq": commands()}));
    assert!(mark["time"].is_u64(), "{mark}");
    let sources = mark["sources"].as_array().unwrap();
    assert_eq!(texts(sources, "source"), ["a", "b", "c", "high", "wild"]);
    assert_eq!(texts(sources, "state"), ["ok", "ok", "ok", "excluded", "excluded"]);
    assert_eq!(texts(sources, "price"), ["44000", "44000", "44000", "51940", "60000"]);
}

#[test]
fn a_source_beyond_the_band_is_shown_clamped_and_a_market_without_enough_sources_degraded() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let mark = daemon.read("/v1/markets/BTC-USDT/mark");
    assert_eq!(texts(mark["sources"].as_array().unwrap(), "state"), ["ok", "ok", "ok", "clamped", "excluded"]);
    assert_eq!(mark["mark"], "49000");
    let listed = crash::OPENED.lines().find(|line| line.contains("\"list_market\"")).unwrap();
    daemon.apply(&listed.replace("BTC-USDT", "XRP-USDT"));
    has(&daemon.read("/v1/markets/XRP-USDT/mark"), &json!({"mark": null, "sources": []}));
    daemon.apply("{\"type\":\"price\",\"market\":\"XRP-USDT\",\"source\":\"a\",\"price\":\"1\"}\n{\"type\":\"tick\"}");
    let mark = daemon.read("/v1/markets/XRP-USDT/mark");
    has(&mark, &json!({"mark": null, "state": "degraded", "reason": "too_few_sources"}));
    assert_eq!(mark["sources"][0]["state"], "ok", "{mark}");
}

#[test]
fn the_fund_shows_balance_pools_and_the_end_of_its_chain() {
    let daemon = fallen();
    let fund = daemon.read("/v1/fund/USDT");
    has(
        &fund,
        &json!({"asset": "USDT", "balance": "40", "reserved": "0", "liability": "0", "injection_line": "0",
                "injection_drawn": "0", "entries": 6, "seq": commands()}),
    );
    let pools = fund["pools"].as_array().unwrap();
    assert_eq!(pools.len(), 1, "{fund}");
    has(&pools[0], &json!({"pool": "shared", "balance": "40", "reserved": "0", "peak": "500"}));
    for name in ["trigger", "headroom"] {
        assert!(pools[0][name].is_string(), "{name} in {fund}");
    }
    // A loss in one asset never touches another's fund.
    has(&daemon.read("/v1/fund/BTC"), &json!({"balance": "1.5", "entries": 1}));
}

/// The entry of an event, as it was hashed.
fn entry(event: &Value) -> LedgerEntry {
    let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{name} in {event}"));
    fn read<T: serde::de::DeserializeOwned>(event: &Value, name: &str) -> T {
        serde_json::from_value(event[name].clone()).unwrap_or_else(|error| panic!("{name}: {error} in {event}"))
    }
    LedgerEntry {
        entry: read(event, "entry"),
        asset: text("asset").into(),
        pool: text("pool").into(),
        reason: read(event, "reason"),
        amount: read(event, "amount"),
        balance: read(event, "balance"),
        market: event["market"].as_str().map(Into::into),
        liquidation: event["liquidation"].as_u64().map(LiquidationId),
        account: event["account"].as_str().map(|name| AccountId(name.into())),
        previous_hash: text("previous_hash").to_owned(),
        hash: text("hash").to_owned(),
    }
}

#[test]
fn the_ledger_is_a_chain_that_anybody_can_compute() {
    let daemon = fallen();
    let ledger = walk(&daemon, "/v1/fund/USDT/ledger");
    let reasons = ["seed_capital", "trading_fee_share", "injection", "shortfall", "liquidation_fee", "surplus"];
    assert_eq!(texts(&ledger, "reason"), reasons);
    assert_eq!(texts(&ledger, "amount"), ["400", "60", "40", "-500", "9.04", "30.96"]);
    assert_eq!(texts(&ledger, "balance"), ["400", "460", "500", "0", "9.04", "40"]);
    assert_eq!(texts(&ledger, "type"), ["fund_entry"; 6]);
    has(&ledger[3], &json!({"account": "alice", "market": "BTC-USDT", "pool": "shared", "asset": "USDT"}));
    assert!(ledger[3]["liquidation"].is_u64(), "{}", ledger[3]);

    let mut previous = GENESIS.to_owned();
    for (place, event) in ledger.iter().enumerate() {
        let entry = entry(event);
        assert_eq!(entry.entry, u64::try_from(place + 1).unwrap());
        assert_eq!(entry.previous_hash, previous, "{event}");
        let (seq, time) = (event["cause"].as_u64().unwrap(), event["time"].as_u64().unwrap());
        assert_eq!(entry_hash(&entry, seq, time), entry.hash, "{event}");
        // Whatever is changed is seen.
        assert_ne!(entry_hash(&LedgerEntry { balance: entry.amount, ..entry.clone() }, seq, time + 1), entry.hash);
        assert_ne!(
            entry_hash(&LedgerEntry { account: Some(AccountId::fund()), ..entry.clone() }, seq, time),
            entry.hash
        );
        previous.clone_from(&entry.hash);
    }
    assert_eq!(daemon.read("/v1/fund/USDT")["last_hash"], previous);
    assert_eq!(daemon.read("/v1/fund/BTC/ledger")["items"][0]["previous_hash"], GENESIS, "a chain of its own");
}

#[test]
fn liquidations_and_adl_tell_who_lost_what_and_who_was_cut_for_it() {
    let daemon = fallen();
    let page = daemon.read("/v1/liquidations");
    has(&page, &json!({"next": null, "seq": commands()}));
    let all = items(&page);
    assert_eq!(texts(all, "account"), ["alice", "dave", "frank"], "most under water first");
    assert_eq!(texts(all, "outcome"), ["deleveraged", "deleveraged", "closed"]);
    assert_eq!(texts(all, "shortfall"), ["500", "0", "0"]);
    has(
        &all[0],
        &json!({"asset": "USDT", "equity": "-1000", "maintenance_margin": "220", "notional": "44500", "fee": "0"}),
    );
    assert!(all[0].get("market").is_none(), "a cross account is liquidated as a whole: {}", all[0]);
    has(&all[2], &json!({"market": "SOL-USDT", "equity": "40", "fee": "9.04", "surplus": "30.96", "notional": "9040"}));
    assert_eq!(all[2]["started"], all[2]["ended"], "within one tick");
    let settled = all[0]["settlements"].as_array().unwrap();
    assert_eq!(settled.len(), 2, "half sold, half against carol: {}", all[0]);
    assert_eq!(texts(settled, "price"), ["44000", "45000"]);
    assert_eq!(texts(settled, "shortfall"), ["500", "0"]);
    has(
        &settled[0],
        &json!({"type": "liquidation_settled", "account": "alice", "quantity": "0.5", "price": "44000",
                "bankruptcy_price": "45000", "shortfall": "500"}),
    );

    let page = daemon.read("/v1/adl");
    let adl = items(&page);
    assert_eq!(texts(adl, "type"), ["adl_triggered", "deleveraged", "adl_triggered", "deleveraged"]);
    has(&adl[0], &json!({"market": "BTC-USDT", "side": "sell", "quantity": "0.5", "reason": "fund_empty"}));
    has(
        &adl[1],
        &json!({"account": "carol", "market": "BTC-USDT", "side": "sell", "quantity": "0.5", "price": "45000",
                "realised_pnl": "2500", "policy": "queue", "rank": 1, "of": 2, "liquidation": all[0]["liquidation"]}),
    );
    has(
        &adl[3],
        &json!({"account": "erin", "market": "ETH-USDT", "quantity": "10", "price": "2700", "realised_pnl": "3000",
                "liquidation": all[1]["liquidation"]}),
    );
}

#[test]
fn conservation_is_exact_from_running_sums_and_anew() {
    let daemon = fallen();
    let balance = daemon.read("/v1/conservation");
    let audited = daemon.read("/v1/conservation?audit=true");
    assert_eq!(balance, audited);
    has(&balance, &json!({"holds": true, "seq": commands()}));
    let (assets, markets) = (balance["assets"].as_array().unwrap(), balance["markets"].as_array().unwrap());
    assert_eq!(texts(assets, "asset"), ["USDT", "BTC"]);
    assert_eq!(texts(assets, "error"), ["0", "0"]);
    has(&assets[0], &json!({"fund": "40", "inflow": "134500", "outflow": "0", "liability": "0"}));
    has(&assets[1], &json!({"fund": "1.5", "inflow": "1.5", "wallets": "0"}));
    assert_eq!(texts(markets, "market"), ["BTC-USDT", "ETH-USDT", "SOL-USDT"]);
    assert_eq!(texts(markets, "error"), ["0", "0", "0"]);
    assert_eq!(texts(markets, "open_interest"), ["0.5", "0", "100"], "the venue holds the rest long");
}

#[test]
fn the_status_names_the_state() {
    let daemon = fallen();
    let status = daemon.read("/v1/status");
    has(&status, &json!({"seq": commands(), "shards": 2, "version": env!("CARGO_PKG_VERSION")}));
    let hash = status["state_hash"].as_str().unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{status}");
    assert!(status["accounts"].as_u64() >= Some(7), "{status}");
    assert_eq!(status["tick_seconds"]["count"], 2, "{status}");
    for name in ["p50", "p99", "max"] {
        assert!(status["tick_seconds"][name].as_f64() > Some(0.0), "{status}");
    }
}

#[test]
fn pages_of_one_walk_every_list_once_and_in_order() {
    let daemon = fallen();
    let lists = [
        ("/v1/fund/USDT/ledger", 6),
        ("/v1/fund/BTC/ledger", 1),
        ("/v1/liquidations", 3),
        ("/v1/adl", 4),
        ("/v1/adl?market=ETH-USDT", 2),
        ("/v1/adl?account=carol", 1),
        ("/v1/liquidations?account=frank", 1),
        ("/v1/liquidations?account=nobody", 0),
    ];
    for (path, count) in lists {
        let whole = daemon.read(path);
        assert_eq!(whole["next"], Value::Null, "{path}");
        assert_eq!(items(&whole).len(), count, "{path}: {whole}");
        assert_eq!(walk(&daemon, path), items(&whole), "{path}");
    }
    // Half a list has a next page; exactly the whole has none.
    assert!(daemon.read("/v1/fund/USDT/ledger?limit=5")["next"].is_string());
    assert_eq!(daemon.read("/v1/fund/USDT/ledger?limit=6")["next"], Value::Null);
}

#[test]
fn a_walk_that_has_begun_goes_on_where_it_was_when_the_list_grows() {
    let daemon = fallen();
    let first = daemon.read("/v1/fund/USDT/ledger?limit=4");
    daemon.apply(r#"{"type":"fund_credit","asset":"USDT","source":"injection","amount":"1"}"#);
    let rest = daemon.read(&format!("/v1/fund/USDT/ledger?cursor={}", first["next"].as_str().unwrap()));
    assert_eq!(texts(items(&rest), "amount"), ["9.04", "30.96", "1"]);
}

#[test]
fn filters_narrow_by_market_and_account() {
    let daemon = fallen();
    let liquidated = |query: &str| {
        let page = daemon.read(&format!("/v1/liquidations?{query}"));
        texts(items(&page), "account").join(" ")
    };
    assert_eq!(liquidated("market=BTC-USDT"), "alice");
    assert_eq!(liquidated("market=SOL-USDT"), "frank");
    assert_eq!(liquidated("account=dave"), "dave");
    assert_eq!(liquidated("account=frank&market=SOL-USDT"), "frank");
    assert_eq!(liquidated("account=frank&market=BTC-USDT"), "");
    let cut = |query: &str| {
        let page = daemon.read(&format!("/v1/adl?{query}"));
        texts(items(&page), "type").join(" ")
    };
    assert_eq!(cut("market=BTC-USDT"), "adl_triggered deleveraged");
    assert_eq!(cut("account=erin"), "deleveraged");
    assert_eq!(cut("account=erin&market=BTC-USDT"), "");
    assert_eq!(cut("account=alice"), "");
}

#[test]
fn a_liquidation_by_adl_alone_is_found_by_its_market() {
    // dave's ether was never sold: all of it went to erin.
    let daemon = fallen();
    let page = daemon.read("/v1/liquidations?market=ETH-USDT");
    assert_eq!(texts(items(&page), "account"), ["dave"]);
}

#[test]
fn reading_changes_nothing() {
    let daemon = fallen();
    let before = daemon.read("/v1/status");
    let paths = [
        "/",
        "/v1/accounts/alice",
        "/v1/accounts/nobody",
        "/v1/accounts/alice/positions",
        "/v1/markets",
        "/v1/markets/BTC-USDT/mark",
        "/v1/fund/USDT",
        "/v1/fund/USDT/ledger",
        "/v1/liquidations",
        "/v1/adl",
        "/v1/conservation?audit=true",
        "/v1/status",
        "/v1/nowhere",
    ];
    paths.iter().for_each(|path| drop(daemon.get(path)));
    let after = daemon.read("/v1/status");
    assert_eq!((&before["state_hash"], &before["seq"]), (&after["state_hash"], &after["seq"]));
}

#[test]
fn many_reads_at_once_keep_no_batch_out() {
    let daemon = Daemon::with(&["--mark-interval-ms", "1"]);
    daemon.apply(r#"{"type":"list_asset","asset":"USDT","scale":6}"#);
    let deposit =
        |account| format!("{{\"type\":\"deposit\",\"account\":\"a{account}\",\"asset\":\"USDT\",\"amount\":\"1\"}}\n");
    daemon.apply(&(0..2_000).map(deposit).collect::<String>());
    // More than wait in the conductor's mailbox, while ticks go on.
    std::thread::scope(|scope| {
        for _ in 0..700 {
            scope.spawn(|| assert_eq!(daemon.get("/v1/conservation?audit=true").status, 200));
        }
    });
    daemon.apply(&deposit(1));
}
