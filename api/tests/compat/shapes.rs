//! What the views show, field by field.

use crate::common::Daemon;
use crate::{VENUE, binance, bybit};
use serde_json::{Value, json};

fn venue() -> Daemon {
    let daemon = Daemon::start();
    daemon.apply(VENUE);
    daemon
}

/// The result of an answer of Bybit.
#[track_caller]
fn result(daemon: &Daemon, path: &str) -> Value {
    let body = daemon.read(&bybit(path));
    assert_eq!((&body["retCode"], &body["retMsg"]), (&json!(0), &json!("OK")), "{body}");
    assert!(body["time"].is_u64() && body["retExtInfo"] == json!({}), "{body}");
    body["result"].clone()
}

/// Holds that all these fields are there; others may be.
#[track_caller]
fn holds(found: &Value, wanted: &Value) {
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name} in {found}");
    }
}

#[test]
fn what_clients_ask_first_is_constant() {
    let daemon = Daemon::start();
    for (path, wanted) in [
        ("/fapi/v1/ping", json!({})),
        ("/dapi/v1/ping", json!({})),
        ("/sapi/v1/capital/config/getall", json!([])),
        ("/sapi/v1/margin/allPairs", json!([])),
        ("/sapi/v1/margin/isolated/allPairs", json!([])),
    ] {
        assert_eq!(daemon.read(&binance(path)), wanted, "{path}");
    }
    assert_eq!(daemon.read(&binance("/api/v3/exchangeInfo"))["symbols"], json!([]));
    assert!(daemon.read(&binance("/fapi/v1/time"))["serverTime"].is_u64());
    assert_eq!(result(&daemon, "/v5/asset/coin/query-info"), json!({ "rows": [] }));
    let time = result(&daemon, "/v5/market/time");
    assert!(time["timeNano"].as_str().unwrap().starts_with(time["timeSecond"].as_str().unwrap()), "{time}");
}

#[test]
fn markets_have_the_names_and_steps_of_the_venue() {
    let daemon = venue();
    let listed = daemon.read(&binance("/fapi/v1/exchangeInfo"));
    let symbols = listed["symbols"].as_array().unwrap();
    assert_eq!(symbols.len(), 2);
    holds(
        &symbols[1],
        &json!({ "symbol": "SOLUSDT", "baseAsset": "SOL", "quoteAsset": "USDT", "marginAsset": "USDT", "status": "TRADING",
            "contractType": "PERPETUAL", "pricePrecision": 2, "quantityPrecision": 0 }),
    );
    // Ten coins a contract: the venue counts coins.
    assert_eq!(symbols[1]["filters"][1]["stepSize"], "10");
    let inverse = &daemon.read(&binance("/dapi/v1/exchangeInfo"))["symbols"][0];
    holds(
        inverse,
        &json!({ "symbol": "BTCUSD", "quoteAsset": "USD", "contractStatus": "TRADING", "contractSize": 100 }),
    );
    let row = &result(&daemon, "/v5/market/instruments-info?category=inverse")["list"][0];
    holds(row, &json!({ "symbol": "BTCUSD", "settleCoin": "BTC", "quoteCoin": "USD", "fundingInterval": 480 }));
    assert_eq!(row["lotSizeFilter"], json!({ "minOrderQty": "1", "maxOrderQty": "1000000000000", "qtyStep": "100" }));
    for none in ["category=spot", "category=option&baseCoin=BTC", "category=linear&status=PreLaunch"] {
        let found = result(&daemon, &format!("/v5/market/instruments-info?{none}&limit=1000"));
        assert_eq!((&found["list"], &found["nextPageCursor"]), (&json!([]), &json!("")), "{none}");
    }
}

#[test]
fn a_symbol_is_the_name_without_dashes_unless_two_markets_would_share_it() {
    let daemon = Daemon::start();
    let market = |name: &str| {
        format!(
            r#"{{"type":"list_market","market":"{name}","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"1","tiers":[{{"initial_rate":"0.1","maintenance_rate":"0.05"}}]}}"#
        )
    };
    let lines =
        [r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned(), market("BTC-USDT"), market("ETH-USDT")];
    daemon.apply(&lines.join("\n"));
    let symbol = |asked: &str| {
        let reply = daemon.get(&binance(&format!("/fapi/v1/premiumIndex?symbol={asked}")));
        reply.json()["symbol"].as_str().unwrap_or_default().to_owned()
    };
    for (asked, found) in [("BTC-USDT", "BTCUSDT"), ("BTCUSDT", "BTCUSDT"), ("ETHUSDT", "ETHUSDT"), ("btcusdt", "")] {
        assert_eq!(symbol(asked), found, "{asked}");
    }
    daemon.apply(&market("BTCUSDT"));
    for (asked, found) in [("BTC-USDT", "BTC-USDT"), ("BTCUSDT", "BTCUSDT"), ("ETHUSDT", "ETHUSDT")] {
        assert_eq!(symbol(asked), found, "{asked}");
    }
    let listed = daemon.read(&binance("/fapi/v1/exchangeInfo"));
    let bases: Vec<&Value> = listed["symbols"].as_array().unwrap().iter().map(|row| &row["baseAsset"]).collect();
    assert_eq!(bases, ["BTC", "ETH", "BTCUSDT"], "none hides another");
    // Before the first price.
    let row = daemon.read(&binance("/fapi/v1/premiumIndex?symbol=ETHUSDT"));
    holds(&row, &json!({ "markPrice": "", "indexPrice": "", "time": 0, "lastFundingRate": "", "nextFundingTime": 0 }));
    assert_eq!(daemon.read(&binance("/fapi/v1/symbolAdlRisk?symbol=ETHUSDT"))["adlRisk"], "low");
    let pooled = market("SOL-USDT").replace("\"tick", "\"pool\":{\"name\":\"sol\"},\"tick");
    daemon.apply(&pooled);
    let own = daemon.read(&binance("/fapi/v1/insuranceBalance?symbol=SOLUSDT"));
    assert_eq!(own["symbols"], json!(["SOLUSDT"]), "a pool is there before its first credit");
    holds(&own["assets"][0], &json!({ "asset": "USDT", "marginBalance": "0" }));
}

#[test]
fn prices_and_risk_are_those_of_the_state() {
    let daemon = venue();
    let one = daemon.read(&binance("/fapi/v1/premiumIndex?symbol=BTCUSDT&recvWindow=1&nonsense=x"));
    holds(&one, &json!({ "symbol": "BTCUSDT", "markPrice": "44000", "indexPrice": "44000" }));
    let inverse = daemon.read(&binance("/dapi/v1/premiumIndex?pair=BTCUSD"));
    holds(&inverse[0], &json!({ "symbol": "BTCUSD", "pair": "BTCUSD", "markPrice": "44000" }));
    assert_eq!(daemon.read(&binance("/fapi/v1/premiumIndex")).as_array().unwrap().len(), 2);
    let tickers = result(&daemon, "/v5/market/tickers?category=linear&symbol=SOLUSDT");
    holds(&tickers["list"][0], &json!({ "markPrice": "91.7", "fundingRate": "", "openInterestValue": "0" }));
    let warnings = daemon.read("/v1/warnings");
    for warning in warnings["items"].as_array().unwrap().iter().filter(|warning| warning["market"] != "BTC-USD") {
        let path = format!("/fapi/v1/symbolAdlRisk?symbol={}", warning["market"].as_str().unwrap());
        assert_eq!(daemon.read(&binance(&path))["adlRisk"], warning["level"], "{warning}");
    }
}

#[test]
fn tiers_are_exact_numbers_on_binance_and_text_on_bybit() {
    let daemon = venue();
    let body = daemon.get(&binance("/fapi/v1/leverageBracket?symbol=BTCUSDT")).body;
    let wanted = concat!(
        r#"{"symbol":"BTCUSDT","brackets":["#,
        r#"{"bracket":1,"initialLeverage":10,"notionalCap":50000,"notionalFloor":0,"maintMarginRatio":0.005,"cum":0},"#,
        r#"{"bracket":2,"initialLeverage":8,"notionalCap":250000,"notionalFloor":50000,"maintMarginRatio":0.01,"cum":250},"#,
        r#"{"bracket":3,"initialLeverage":3,"notionalCap":9223372036854775807,"notionalFloor":250000,"maintMarginRatio":0.025,"cum":4000}]}"#
    );
    assert_eq!(body, wanted);
    let inverse = daemon.read(&binance("/dapi/v2/leverageBracket?symbol=BTCUSD"));
    holds(&inverse[0]["brackets"][1], &json!({ "qtyCap": 50, "qtyFloor": 5, "cum": 0.075 }));
    let rows = result(&daemon, "/v5/market/risk-limit?category=linear&symbol=BTCUSDT")["list"].clone();
    let second = json!({ "id": 2, "symbol": "BTCUSDT", "riskLimitValue": "250000", "maintenanceMargin": "0.01",
        "initialMargin": "0.125", "isLowestRisk": 0, "maxLeverage": "8.00", "mmDeduction": "250" });
    assert_eq!(rows[1], second);
    holds(&rows[0], &json!({ "isLowestRisk": 1, "mmDeduction": "" }));
    holds(&rows[2], &json!({ "riskLimitValue": "9223372036854775807", "maxLeverage": "3.33" }));
}

#[test]
fn pools_are_shown_with_the_markets_that_draw_on_them() {
    let daemon = venue();
    let pool = |name: &str| {
        let fund = daemon.read("/v1/fund/USDT");
        fund["pools"].as_array().unwrap().iter().find(|pool| pool["pool"] == name).unwrap().clone()
    };
    let own = daemon.read(&binance("/fapi/v1/insuranceBalance?symbol=SOLUSDT"));
    assert_eq!(own["symbols"], json!(["SOLUSDT"]));
    assert_eq!(own["assets"][0]["marginBalance"], pool("sol")["balance"]);
    assert_eq!(daemon.read(&binance("/fapi/v1/insuranceBalance")).as_array().unwrap().len(), 3);
    let found = result(&daemon, "/v5/market/insurance?coin=BTC");
    holds(&found["list"][0], &json!({ "coin": "BTC", "symbols": "BTCUSD", "value": "" }));
    let alert = &result(&daemon, "/v5/market/adlAlert?symbol=SOLUSDT")["list"][0];
    let (balance, peak) = (&pool("sol")["balance"], &pool("sol")["peak"]);
    holds(
        alert,
        &json!({ "balance": balance, "maxBalance": peak, "insurancePnlRatio": "-0.3", "adlStopRatio": "-0.25" }),
    );
    let without = &result(&daemon, "/v5/market/adlAlert?symbol=BTCUSDT")["list"][0];
    holds(without, &json!({ "insurancePnlRatio": "", "adlStopRatio": "", "adlTriggerThreshold": "0" }));
}

#[test]
fn positions_are_told_in_every_version() {
    let daemon = venue();
    let own = daemon.read("/v1/accounts/bob/positions")["items"].clone();
    let linear = own.as_array().unwrap().iter().find(|position| position["market"] == "BTC-USDT").unwrap();
    let found = daemon.read(&binance("/fapi/v3/positionRisk?account=bob&symbol=BTCUSDT"))[0].clone();
    holds(
        &found,
        &json!({ "positionSide": "BOTH", "positionAmt": linear["quantity"], "entryPrice": linear["entry_price"],
            "maintMargin": linear["maintenance_margin"], "unRealizedProfit": linear["unrealised_pnl"],
            "isolatedMargin": "0", "adl": linear["adl_quantile"].as_u64().unwrap_or(1) - 1 }),
    );
    for path in ["/fapi/v2/positionRisk", "/fapi/v1/positionRisk"] {
        let found = daemon.read(&binance(&format!("{path}?account=bob")))[0].clone();
        holds(&found, &json!({ "marginType": "cross", "leverage": "10", "maxNotionalValue": "50000" }));
    }
    let inverse = daemon.read(&binance("/dapi/v1/positionRisk?account=bob&marginAsset=BTC"))[0].clone();
    holds(&inverse, &json!({ "symbol": "BTCUSD", "positionAmt": "40", "notional": null, "maxQty": "5" }));
    assert_eq!(daemon.read(&binance("/dapi/v1/positionRisk?account=bob&marginAsset=ETH")), json!([]));
    let rows = result(&daemon, "/v5/position/list?category=inverse&account=bob");
    holds(
        &rows["list"][0],
        &json!({ "symbol": "BTCUSD", "size": "4000", "side": "Buy", "positionIdx": 0, "tradeMode": 0 }),
    );
    assert_eq!(result(&daemon, "/v5/position/list?category=linear&account=dave")["list"][0]["positionIdx"], 1);
    // Hedge mode: a value for each leg, and a sign.
    let legs = daemon.read(&binance("/fapi/v1/adlQuantile?account=dave"))[0]["adlQuantile"].clone();
    assert!(legs["LONG"].is_u64() && legs["SHORT"].is_u64() && legs["HEDGE"] == 0 && legs["BOTH"].is_null(), "{legs}");
    let alone = daemon.read(&binance("/fapi/v1/adlQuantile?account=bob&symbol=BTCUSDT"));
    assert!(alone.as_array().unwrap().len() == 1 && alone[0]["adlQuantile"]["BOTH"].is_u64(), "{alone}");
    for nobody in ["/fapi/v1/adlQuantile", "/fapi/v3/positionRisk", "/fapi/v1/forceOrders"] {
        assert_eq!(daemon.read(&binance(&format!("{nobody}?account=nobody"))), json!([]), "{nobody}");
    }
}

#[test]
fn what_was_closed_by_force_is_told_by_order_newest_last() {
    let daemon = venue();
    let forced = |rest: &str| {
        let found = daemon.read(&binance(&format!("/fapi/v1/forceOrders?account=alice{rest}")));
        found.as_array().unwrap().clone()
    };
    let liquidations = daemon.read("/v1/liquidations?account=alice");
    let mut orders: Vec<&str> = Vec::new();
    for settlement in
        liquidations["items"].as_array().unwrap().iter().flat_map(|item| item["settlements"].as_array().unwrap())
    {
        let order = settlement["order"].as_str().unwrap();
        if !orders.contains(&order) {
            orders.push(order);
        }
    }
    let all = forced("&autoCloseType=LIQUIDATION");
    let clients: Vec<String> = orders.iter().map(|order| format!("autoclose-{order}")).collect();
    assert_eq!(all.iter().map(|row| row["clientOrderId"].as_str().unwrap()).collect::<Vec<_>>(), clients);
    assert!(clients.len() > 1, "{liquidations}");
    holds(&all[0], &json!({ "side": "SELL", "symbol": "BTCUSDT", "price": "45000", "status": "FILLED" }));
    assert_eq!(forced("&limit=1"), forced("")[all.len() - 1..]);
    let time = all[0]["time"].as_u64().unwrap();
    for (rest, wanted) in [
        (format!("&endTime={time}"), all.len()),
        (format!("&endTime={}", time - 1), 0),
        (format!("&startTime={time}"), all.len()),
        (format!("&startTime={}", time + 1), 0),
        ("&symbol=SOLUSDT".to_owned(), 0),
        ("&autoCloseType=ADL".to_owned(), 0),
        ("&limit=9999".to_owned(), all.len()),
    ] {
        assert_eq!(forced(&rest).len(), wanted, "{rest}");
    }
    let cuts = daemon.read("/v1/adl?account=carol");
    let cuts = cuts["items"].as_array().unwrap().iter().filter(|event| event["market"] == "BTC-USDT").count();
    let shown = daemon.read(&binance("/fapi/v1/forceOrders?account=carol&autoCloseType=ADL"));
    assert!(cuts > 0 && shown.as_array().unwrap().len() == cuts, "{shown}");
    holds(&shown[0], &json!({ "clientOrderId": "adl_autoclose", "side": "BUY", "positionSide": "BOTH" }));
}

#[test]
fn they_are_not_described_as_the_api() {
    let daemon = Daemon::start();
    let described = daemon.read("/openapi.json");
    assert!(described["paths"].as_object().unwrap().keys().all(|path| !path.starts_with("/compat")));
}
