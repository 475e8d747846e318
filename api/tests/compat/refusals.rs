//! Refusals have the form of the venue, whoever refuses.

use crate::common::{Ask, At, Daemon, PATIENCE, Reply, Scratch};
use crate::{VENUE, binance, bybit};
use serde_json::{Value, json};
use std::time::Instant;

/// Is it a refusal of Binance?
#[track_caller]
pub(crate) fn is_binance(reply: &Reply, status: u16, code: i64) {
    let body = reply.json();
    assert_eq!((reply.status, &body["code"]), (status, &json!(code)), "{reply:?}");
    assert_eq!(reply.kind, "application/json", "{reply:?}");
    let fields: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert!(fields == ["code", "msg"] && body["msg"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{reply:?}");
}

/// Is it one of Bybit?
#[track_caller]
pub(crate) fn is_bybit(reply: &Reply, status: u16, code: i64) {
    let body = reply.json();
    assert_eq!((reply.status, &body["retCode"]), (status, &json!(code)), "{reply:?}");
    assert_eq!(reply.kind, "application/json", "{reply:?}");
    assert!(body["retMsg"].is_string() && body["time"].is_u64(), "{body}");
    assert_eq!((&body["result"], &body["retExtInfo"]), (&json!({}), &json!({})), "{body}");
}

#[test]
fn handlers_refuse_in_the_words_of_the_venue() {
    let daemon = Daemon::start();
    daemon.apply(VENUE);
    for (path, status, code) in [
        ("/fapi/v1/premiumIndex?symbol=NOSUCH", 400, -1121),
        // Of the other kind.
        ("/fapi/v1/premiumIndex?symbol=BTCUSD", 400, -1121),
        ("/dapi/v1/premiumIndex?symbol=BTCUSDT", 400, -1121),
        ("/fapi/v1/leverageBracket?symbol=", 400, -1121),
        ("/fapi/v1/forceOrders?account=alice&limit=x", 400, -1130),
        ("/fapi/v1/forceOrders?account=alice&limit=0", 400, -1130),
        ("/fapi/v1/forceOrders?account=alice&startTime=-1", 400, -1130),
        ("/fapi/v1/forceOrders?account=alice&endTime=99999999999999999999", 400, -1130),
        ("/fapi/v1/forceOrders?account=alice&autoCloseType=adl", 400, -1130),
        ("/fapi/v1/adlQuantile?account=a%00b", 400, -1130),
        ("/fapi/v1/adlQuantile", 401, -2014),
        ("/fapi/v1/openInterest?symbol=BTCUSDT", 404, -5000),
        ("/dapi/v1/insuranceBalance", 404, -5000),
        ("/", 404, -5000),
    ] {
        is_binance(&daemon.get(&binance(path)), status, code);
    }
    for (path, status, code) in [
        ("/v5/market/risk-limit", 200, 10_001),
        ("/v5/market/risk-limit?category=spot", 200, 10_001),
        ("/v5/market/risk-limit?category=linear&symbol=NOSUCH", 200, 10_001),
        ("/v5/market/risk-limit?category=linear&symbol=BTCUSD", 200, 10_001),
        ("/v5/market/instruments-info?category=perpetual", 200, 10_001),
        ("/v5/market/adlAlert?symbol=NOSUCH", 200, 10_001),
        ("/v5/position/list?category=linear", 200, 10_003),
        ("/v5/position/list?account=alice", 200, 10_001),
        ("/v5/market/delivery-price", 404, 10_017),
    ] {
        is_bybit(&daemon.get(&bybit(path)), status, code);
    }
    // Elsewhere nothing has changed.
    daemon.get("/compat/kraken/x").is_problem(404, "unknown_path");
    daemon.get("/compat").is_problem(404, "unknown_path");
}

#[test]
fn other_methods_are_named_and_nothing_is_sent_there() {
    let daemon = Daemon::start();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let reply = daemon.request(method, &binance("/fapi/v1/ping"));
        is_binance(&reply, 405, -5000);
        assert_eq!(reply.allow.as_deref(), Some("GET, HEAD"), "{method}");
        let reply = daemon.request(method, &bybit("/v5/market/time"));
        is_bybit(&reply, 405, 10_017);
        assert_eq!(reply.allow.as_deref(), Some("GET, HEAD"), "{method}");
    }
    assert_eq!(daemon.request("HEAD", &binance("/fapi/v1/ping")).status, 200);
}

#[test]
fn whoever_asks_too_often_is_told_in_the_words_of_the_venue() {
    let lines = "[limits]\naddress_per_second = 1\naddress_burst = 3\nloopback = true\n";
    let daemon = Daemon::configured(&Scratch::new("config.toml", lines));
    let limited = |path: &str| {
        let began = Instant::now();
        loop {
            let reply = daemon.get(path);
            if reply.status == 429 {
                assert!(reply.header("retry-after").parse::<u64>().is_ok(), "{reply:?}");
                return reply;
            }
            assert!(began.elapsed() < PATIENCE, "never too many: {reply:?}");
        }
    };
    is_binance(&limited(&binance("/fapi/v1/ping")), 429, -1003);
    is_bybit(&limited(&bybit("/v5/market/time")), 429, 10_018);
    limited("/v1/markets").is_problem(429, "rate_limited");
}

#[test]
fn a_name_that_is_not_of_this_machine_opens_no_account() {
    let daemon = Daemon::start();
    daemon.apply(VENUE);
    let ask = |path: String| daemon.ask(At::Api, &Ask::get(&path).with("host", "venue.example"));
    is_binance(&ask(binance("/fapi/v3/positionRisk?account=bob")), 401, -2015);
    is_bybit(&ask(bybit("/v5/position/list?category=linear&account=bob")), 200, 10_005);
    assert_eq!(ask(binance("/fapi/v1/premiumIndex")).status, 200, "public for all");
    let body: Value = ask("/compat/%62inance/fapi/v3/positionRisk?account=bob".to_owned()).json();
    assert_eq!(body["code"], -2015, "however the path is written");
}
