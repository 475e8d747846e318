//! Who may ask for an account: keys that sign as the venue has it, tokens, our own credentials, and this machine.

use crate::common::{Ask, At, Daemon, Reply};
use crate::keys::{AHEAD_MS, Ring, hex, now, secret, token};
use crate::refusals::{is_binance, is_bybit};
use crate::{VENUE, binance, bybit};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

fn sign(secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// A request as a client of Binance signs it, at a time.
fn to_binance(key: &str, secret: &str, (path, query): (&str, &str), at: u64) -> Ask {
    let text = format!("{query}&timestamp={at}&recvWindow=10000");
    let signature = sign(secret, &text);
    Ask::get(&binance(&format!("{path}?{text}&signature={signature}"))).with("x-mbx-apikey", key)
}

/// As a client of Bybit does.
fn to_bybit(key: &str, secret: &str, (path, query): (&str, &str), at: u64) -> Ask {
    let signature = sign(secret, &format!("{at}{key}5000{query}"));
    Ask::get(&bybit(&format!("{path}?{query}")))
        .with("x-bapi-api-key", key)
        .with("x-bapi-timestamp", at.to_string())
        .with("x-bapi-recv-window", "5000")
        .with("x-bapi-sign", signature)
}

const RISK: (&str, &str) = ("/fapi/v3/positionRisk", "account=bob");
const LIST: (&str, &str) = ("/v5/position/list", "category=linear&account=bob");
const SOON: fn() -> u64 = || now() + AHEAD_MS;

fn keyed() -> (Daemon, Ring) {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file(""));
    daemon.apply_keyed(VENUE);
    (daemon, ring)
}

#[test]
fn a_signed_request_is_taken_once_and_reads_its_own_account() {
    let (daemon, _ring) = keyed();
    let ask = |ask: &Ask| daemon.ask(At::Api, ask);
    for key in ["bob-signs", "venue-signs", "operator-signs"] {
        let signed = to_binance(key, &secret(key), RISK, SOON());
        let reply = ask(&signed);
        assert!(reply.status == 200 && reply.json().as_array().unwrap().len() == 2, "{reply:?}");
        is_binance(&ask(&signed), 400, -1021);
        let signed = to_bybit(key, &secret(key), LIST, SOON());
        let reply = ask(&signed);
        assert!(
            reply.json()["retCode"] == 0 && reply.json()["result"]["list"].as_array().unwrap().len() == 2,
            "{reply:?}"
        );
        is_bybit(&ask(&signed), 200, 10_002);
    }
    // The path is not signed: the same text may go to several at once, but to each once.
    let at = SOON();
    for path in [RISK.0, "/fapi/v2/positionRisk", "/fapi/v1/forceOrders", "/fapi/v1/leverageBracket"] {
        let signed = to_binance("bob-signs", &secret("bob-signs"), (path, RISK.1), at);
        assert_eq!(ask(&signed).status, 200, "{path}");
        is_binance(&ask(&signed), 400, -1021);
    }
    // A key of an account need not name it; others must; and none reads another's.
    let own = ask(&to_binance("bob-signs", &secret("bob-signs"), (RISK.0, "x=1"), SOON()));
    assert_eq!(own.json().as_array().unwrap().len(), 2, "{own:?}");
    is_binance(&ask(&to_binance("venue-signs", &secret("venue-signs"), (RISK.0, "x=1"), SOON())), 400, -1102);
    is_binance(&ask(&to_binance("alice-signs", &secret("alice-signs"), RISK, SOON())), 401, -2015);
    is_bybit(&ask(&to_bybit("alice-signs", &secret("alice-signs"), LIST, SOON())), 200, 10_005);
    let unnamed = (LIST.0, "category=linear");
    is_bybit(&ask(&to_bybit("venue-signs", &secret("venue-signs"), unnamed, SOON())), 200, 10_001);
}

#[test]
fn what_is_not_right_opens_nothing() {
    let (daemon, _ring) = keyed();
    let ask = |ask: &Ask| daemon.ask(At::Api, ask);
    let right = secret("bob-signs");
    is_binance(&ask(&Ask::get(&binance("/fapi/v3/positionRisk?account=bob"))), 401, -2014);
    is_bybit(&ask(&Ask::get(&bybit("/v5/position/list?category=linear&account=bob"))), 200, 10_003);
    // An unknown key is answered as a wrong signature is.
    for (key, with) in [("bob-signs", "wrong".repeat(9)), ("nobody", right.clone()), ("bob", right.clone())] {
        is_binance(&ask(&to_binance(key, &with, RISK, SOON())), 400, -1022);
        is_bybit(&ask(&to_bybit(key, &with, LIST, SOON())), 200, 10_004);
    }
    let expired = secret("expired-signs");
    is_binance(&ask(&to_binance("expired-signs", &expired, RISK, SOON())), 401, -2015);
    is_bybit(&ask(&to_bybit("expired-signs", &expired, LIST, SOON())), 200, 10_003);
    for at in [now() - 3_600_000, now() + 3_600_000] {
        is_binance(&ask(&to_binance("bob-signs", &right, RISK, at)), 400, -1021);
        is_bybit(&ask(&to_bybit("bob-signs", &right, LIST, at)), 200, 10_002);
    }
    let mut other = to_binance("bob-signs", &right, RISK, SOON());
    other.target = other.target.replace("account=bob", "account=bob&x=1");
    is_binance(&ask(&other), 400, -1022);
    let mut after = to_binance("bob-signs", &right, RISK, SOON());
    after.target.push_str("&account=alice");
    is_binance(&ask(&after), 400, -1022);
    let unsigned = Ask::get(&binance("/fapi/v3/positionRisk?account=bob")).with("x-mbx-apikey", "bob-signs");
    is_binance(&ask(&unsigned), 400, -1102);
    let text = "account=bob";
    let timeless = binance(&format!("/fapi/v3/positionRisk?{text}&signature={}", sign(&right, text)));
    is_binance(&ask(&Ask::get(&timeless).with("x-mbx-apikey", "bob-signs")), 400, -1102);
}

#[test]
fn public_views_need_no_key_but_one_that_signs_must_be_right() {
    let (daemon, _ring) = keyed();
    let ask = |ask: &Ask| daemon.ask(At::Api, ask);
    let tiers = ("/fapi/v1/leverageBracket", "x=1");
    assert_eq!(ask(&Ask::get(&binance(tiers.0))).status, 200);
    assert_eq!(ask(&Ask::get(&binance(tiers.0)).with("x-mbx-apikey", "whatever")).status, 200, "shown, not signed");
    assert_eq!(ask(&to_binance("bob-signs", &secret("bob-signs"), tiers, SOON())).status, 200);
    is_binance(&ask(&to_binance("bob-signs", "wrong", tiers, SOON())), 400, -1022);
}

#[test]
fn a_token_may_stand_for_the_key_and_our_own_credentials_are_taken() {
    let (daemon, _ring) = keyed();
    let read = |ask: Ask| daemon.ask(At::Api, &ask);
    let path = binance("/fapi/v3/positionRisk?signature=none");
    let is_bobs = |reply: Reply| assert_eq!(reply.json().as_array().map(Vec::len), Some(2), "{reply:?}");
    is_bobs(read(Ask::get(&path).with("x-mbx-apikey", token("bob"))));
    is_bobs(read(Ask::get(&path).from("bob")));
    is_bobs(read(Ask::get(&path).from("bob-signs")));
    is_bobs(read(Ask::get(&binance("/fapi/v3/positionRisk?account=bob")).from("venue")));
    is_binance(&read(Ask::get(&binance("/fapi/v3/positionRisk?account=bob")).from("alice")), 401, -2015);
    is_binance(&read(Ask::get(&path).with("x-mbx-apikey", token("expired"))), 401, -2015);
    is_binance(&read(Ask::get(&path).with("authorization", "Bearer nobody")), 401, -2015);
    let list = bybit("/v5/position/list?category=linear");
    let reply = read(Ask::get(&list).with("x-bapi-api-key", token("bob")));
    assert_eq!(reply.json()["retCode"], 0, "{reply:?}");
    // The way of the venues ends where their words do.
    let mut elsewhere = to_binance("bob-signs", &secret("bob-signs"), RISK, SOON());
    elsewhere.target = "/v1/accounts/bob".to_owned();
    daemon.ask(At::Api, &elsewhere).is_problem(401, "missing_credentials");
}

#[test]
fn without_keys_the_text_of_the_key_names_the_account() {
    let daemon = Daemon::start();
    daemon.apply(VENUE);
    let path = binance("/fapi/v3/positionRisk");
    let named = daemon.read(&format!("{path}?account=bob"));
    let reply = daemon.ask(At::Api, &Ask::get(&path).with("x-mbx-apikey", "bob"));
    assert!(reply.json() == named && named != json!([]), "{reply:?}");
    let both = Ask::get(&format!("{path}?account=bob")).with("x-mbx-apikey", "carol");
    assert_eq!(daemon.ask(At::Api, &both).json(), named, "a parameter goes first");
    let list = Ask::get(&bybit("/v5/position/list?category=linear")).with("x-bapi-api-key", "bob");
    assert_eq!(daemon.ask(At::Api, &list).json()["result"]["list"].as_array().unwrap().len(), 2);
}
