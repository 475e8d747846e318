//! What is followed: a snapshot first, then every event, each with the one before; and what cannot be followed.

use crate::common::{Ask, At, Daemon, PATIENCE, Scratch};
use crate::crash;
use crate::ws::{Collected, Ws};
use serde_json::{Value, json};
use std::time::Instant;
use tungstenite::Message;

/// Every topic without an account.
pub(crate) const NAMED: [&str; 8] =
    ["fund", "ledger", "liquidations", "adl", "marks", "market_state", "orders", "rules"];

/// Topics whose events are kept.
pub(crate) const KEPT: [&str; 9] =
    ["fund", "ledger", "liquidations", "adl", "market_state", "orders", "rules", "account:alice", "account:carol"];

const TICK: &str = r#"{"type":"tick"}"#;

fn opened() -> Daemon {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    daemon
}

/// Everything that has been acknowledged has been told.
fn settled(daemon: &Daemon) {
    let seq = daemon.apply(TICK)[0]["seq"].as_u64().unwrap();
    daemon.read(&format!("/v1/markets?wait_for={seq}"));
}

#[test]
fn a_stream_begins_with_a_welcome_that_says_where_the_daemon_is() {
    let daemon = opened();
    daemon.read("/v1/markets?wait_for=30");
    let mut stream = Ws::ask(&daemon, &Ask::get("/v1/stream")).unwrap_or_else(|refused| panic!("{refused:?}"));
    let welcome = stream.hear();
    assert_eq!((&welcome["type"], &welcome["cause"]), (&json!("welcome"), &json!(30)), "{welcome}");
    let all = Collected::all(&mut stream, &["fund"]);
    assert!(welcome["seq"].as_u64().unwrap() >= all.last("fund"), "{welcome} {all:?}");
    assert!(welcome["time"].as_u64() > Some(1_600_000_000_000), "{welcome}");
    assert!(stream.so_far().is_empty(), "nothing is followed unasked");
}

#[test]
fn a_topic_begins_with_what_a_read_shows_at_the_same_sequence_number() {
    let daemon = opened();
    let mut stream = Ws::open(&daemon, "");
    let mut topics: Vec<&str> = NAMED.to_vec();
    topics.push("account:alice");
    stream.subscribe(&topics, None);
    let begun = stream.so_far();
    assert_eq!(begun.len(), topics.len(), "{begun:?}");
    let of = |topic: &str| begun.iter().find(|message| message["topic"] == topic).unwrap_or_else(|| panic!("{topic}"));
    for topic in topics {
        let message = of(topic);
        assert_eq!((&message["type"], &message["resumed"]), (&json!("subscribed"), &json!(false)), "{message}");
        assert_eq!(message["cause"], 30, "{message}");
        assert!(message["previous"].as_u64() > Some(0), "{message}");
    }
    let without_seq = |path: &str| {
        let mut value = daemon.read(path);
        value.as_object_mut().unwrap().remove("seq");
        value
    };
    assert_eq!(of("account:alice")["snapshot"], without_seq("/v1/accounts/alice"));
    let funds = of("fund")["snapshot"].as_array().unwrap();
    assert_eq!(funds.len(), 2, "{funds:?}");
    for fund in funds {
        assert_eq!(*fund, without_seq(&format!("/v1/fund/{}", fund["asset"].as_str().unwrap())));
    }
    let marks = of("marks")["snapshot"].as_array().unwrap();
    assert_eq!(marks.len(), 3, "{marks:?}");
    for mark in marks {
        assert_eq!(*mark, without_seq(&format!("/v1/markets/{}/mark", mark["market"].as_str().unwrap())));
    }
    let states: Vec<&Value> = of("market_state")["snapshot"].as_array().unwrap().iter().collect();
    assert!(states.iter().all(|state| state["state"] == "ok"), "{states:?}");
    let heads = of("ledger")["snapshot"].as_array().unwrap();
    let entries = daemon.read("/v1/fund/USDT/ledger")["items"].as_array().unwrap().clone();
    let head = heads.iter().find(|head| head["asset"] == "USDT").unwrap();
    assert_eq!((&head["last_hash"], &head["entries"]), (&entries[2]["hash"], &json!(3)), "{head}");
    assert_eq!(of("orders")["snapshot"], json!([]), "none is open");
}

#[test]
fn topics_may_be_named_when_the_stream_is_opened() {
    let daemon = opened();
    for (query, resumed) in
        [("?topics=fund,adl,account:alice", false), ("?topics=fund,adl,account%3Aalice&resume_from=0", true)]
    {
        let mut stream = Ws::open(&daemon, query);
        let begun: Vec<Value> = stream.so_far().into_iter().filter(|message| message["type"] == "subscribed").collect();
        let topics: Vec<&str> = begun.iter().map(|message| message["topic"].as_str().unwrap()).collect();
        assert_eq!(topics, ["fund", "adl", "account:alice"]);
        assert!(begun.iter().all(|message| message["resumed"] == resumed), "{begun:?}");
    }
}

#[test]
fn every_event_comes_once_with_the_one_before_it_and_as_the_history_has_it() {
    let daemon = opened();
    let mut live = Ws::open(&daemon, "");
    let all: Vec<&str> = NAMED.iter().copied().chain(["account:alice", "account:carol"]).collect();
    live.subscribe(&all, None);
    let begun = live.so_far();
    daemon.apply(crash::FALLEN);
    settled(&daemon);
    let whole = Collected::all(&mut Ws::open(&daemon, ""), &KEPT);
    // What came live chains on from the snapshot; the rest is what the history had before.
    let mut found = Collected::default();
    for message in begun {
        let (topic, previous) = (message["topic"].as_str().unwrap(), message["previous"].as_u64().unwrap());
        found.0.entry(topic.to_owned()).or_default().push((previous, Value::Null));
    }
    let firsts = found.clone();
    while KEPT.iter().any(|topic| found.last(topic) < whole.last(topic)) {
        found.take(&live.hear());
    }
    for topic in KEPT {
        let first = firsts.last(topic);
        let wanted: Vec<&(u64, Value)> =
            whole.0.get(topic).into_iter().flatten().filter(|(seq, _)| *seq > first).collect();
        let got: Vec<&(u64, Value)> = found.0[topic].iter().skip(1).collect();
        assert_eq!(got, wanted, "{topic}");
    }
    for (topic, least) in
        [("fund", 4), ("ledger", 2), ("liquidations", 9), ("adl", 4), ("account:alice", 3), ("account:carol", 1)]
    {
        assert!(found.0[topic].len() > least, "{topic}: {:?}", found.0[topic]);
    }
    let marks: Vec<&str> = found.0["marks"][1..].iter().map(|(_, event)| event["market"].as_str().unwrap()).collect();
    assert!(["BTC-USDT", "ETH-USDT", "SOL-USDT"].iter().all(|market| marks.contains(market)), "{marks:?}");
}

#[test]
fn a_topic_holds_the_events_of_its_kinds_and_no_other() {
    let daemon = opened();
    daemon.apply(crash::FALLEN);
    settled(&daemon);
    let whole = Collected::all(&mut Ws::open(&daemon, ""), &KEPT);
    let kinds = |topic: &str| {
        let mut kinds: Vec<String> =
            whole.of(topic).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    assert_eq!(
        kinds("fund"),
        ["claim", "coverage", "fund_entry", "unbacked"]
            .map(str::to_owned)
            .into_iter()
            .filter(|kind| kind != "unbacked" || kinds("fund").contains(kind))
            .collect::<Vec<_>>()
    );
    assert_eq!(kinds("ledger"), ["fund_entry"]);
    assert_eq!(
        kinds("liquidations"),
        ["liquidation_ended", "liquidation_order", "liquidation_settled", "liquidation_started"]
    );
    assert_eq!(kinds("orders"), ["liquidation_ended", "liquidation_order", "liquidation_settled"]);
    assert_eq!(kinds("adl"), ["adl_triggered", "deleveraged"]);
    assert_eq!(kinds("rules"), ["rules_changed"]);
    for (topic, account) in [("account:alice", "alice"), ("account:carol", "carol")] {
        let events = whole.of(topic);
        assert!(!events.is_empty() && events.iter().all(|event| event["account"] == account), "{events:?}");
    }
    // The tapes and the ledger say the same.
    let items = |path: &str| daemon.read(path)["items"].as_array().unwrap().clone();
    assert_eq!(whole.of("adl"), items("/v1/adl?limit=1000"));
    let mut ledger = [items("/v1/fund/USDT/ledger?limit=1000"), items("/v1/fund/BTC/ledger?limit=1000")].concat();
    ledger.sort_by_key(|entry| entry["seq"].as_u64());
    assert_eq!(whole.of("ledger"), ledger);
    assert_eq!(whole.of("rules"), items("/v1/rules/history?limit=1000"));
    let started: Vec<Value> = whole
        .of("liquidations")
        .into_iter()
        .filter(|event| event["type"] == "liquidation_started")
        .map(|event| event["liquidation"].clone())
        .collect();
    let taped: Vec<Value> =
        items("/v1/liquidations?limit=1000").iter().map(|item| item["liquidation"].clone()).collect();
    assert_eq!(started, taped);
}

#[test]
fn what_is_followed_no_more_is_not_told() {
    let daemon = opened();
    let mut stream = Ws::open(&daemon, "?topics=marks,liquidations");
    stream.so_far();
    stream.say(&json!({"op": "unsubscribe", "topics": ["marks", "adl"]}));
    let said = stream.so_far();
    let topics: Vec<&Value> =
        said.iter().filter(|message| message["type"] == "unsubscribed").map(|message| &message["topic"]).collect();
    assert_eq!(topics, ["marks", "adl"]);
    daemon.apply(crash::FALLEN);
    loop {
        let heard = stream.hear();
        assert_eq!(heard["topic"], "liquidations", "{heard}");
        if heard["event"]["type"] == "liquidation_ended" {
            return;
        }
    }
}

#[test]
fn going_on_after_an_event_brings_what_came_since_and_nothing_before() {
    let daemon = opened();
    daemon.apply(crash::FALLEN);
    settled(&daemon);
    let mut stream = Ws::open(&daemon, "");
    let whole = Collected::all(&mut stream, &["liquidations"]);
    let all = &whole.0["liquidations"];
    for (place, (seq, _)) in all.iter().enumerate() {
        stream.subscribe(&["liquidations"], Some(*seq));
        let said = stream.so_far();
        assert_eq!(
            (&said[0]["type"], &said[0]["resumed"], &said[0]["previous"]),
            (&json!("subscribed"), &json!(true), &json!(seq))
        );
        let found: Vec<(u64, Value)> =
            said[1..].iter().map(|message| (message["seq"].as_u64().unwrap(), message["event"].clone())).collect();
        assert_eq!(found, all[place + 1..], "after {seq}");
    }
    // What has not happened yet cannot be gone on from.
    stream.subscribe(&["liquidations"], Some(9_007_199_254_740_991));
    let refused = stream.so_far().remove(0);
    assert_eq!(
        (&refused["type"], &refused["code"], &refused["field"]),
        (&json!("error"), &json!("out_of_range"), &json!("liquidations"))
    );
}

#[test]
fn what_a_snapshot_names_can_be_gone_on_from_at_once() {
    let daemon = opened();
    let (mut first, mut second) = (Ws::open(&daemon, ""), Ws::open(&daemon, ""));
    let began = Instant::now();
    for round in 0..90 {
        let credit = r#"{"type":"fund_credit","asset":"USDT","source":"injection","amount":"1"}"#;
        daemon.apply(&format!("{credit}\n{credit}\n{TICK}"));
        first.subscribe(&["fund"], None);
        let snapshot = first.hear_of("subscribed");
        second.subscribe(&["fund"], snapshot["previous"].as_u64());
        let answer = second.hear();
        assert!(answer["type"] != "error", "round {round}: {answer}");
    }
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn marks_are_not_kept_so_going_on_begins_with_a_snapshot() {
    let daemon = opened();
    let mut stream = Ws::open(&daemon, "?topics=marks&resume_from=1");
    let begun = stream.so_far().remove(0);
    assert_eq!((&begun["type"], &begun["resumed"]), (&json!("subscribed"), &json!(false)), "{begun}");
    assert_eq!(begun["snapshot"].as_array().unwrap().len(), 3);
    daemon.apply(crash::FALLEN);
    let first = stream.hear();
    assert_eq!((&first["event"]["type"], &first["previous"]), (&json!("mark_updated"), &begun["previous"]), "{first}");
}

#[test]
fn what_makes_no_sense_is_answered_and_the_stream_goes_on() {
    let daemon = opened();
    let mut stream = Ws::open(&daemon, "");
    let nested = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let wrong = [
        ("", "malformed"),
        ("hello", "malformed"),
        ("null", "malformed"),
        ("[]", "malformed"),
        ("{}", "malformed"),
        ("{\"op\":\"destroy\"}", "malformed"),
        ("{\"op\":\"subscribe\"}", "malformed"),
        ("{\"op\":\"subscribe\",\"topics\":\"fund\"}", "malformed"),
        ("{\"op\":\"subscribe\",\"topics\":[\"fund\"],\"resume_from\":-1}", "malformed"),
        ("{\"op\":\"subscribe\",\"topics\":[\"fund\"],\"colour\":1}", "malformed"),
        ("{\"op\":\"subscribe\",\"topics\":[\"nothing\"]}", "invalid_value"),
        ("{\"op\":\"subscribe\",\"topics\":[\"\"]}", "invalid_value"),
        ("{\"op\":\"subscribe\",\"topics\":[\"account:\"]}", "invalid_value"),
        ("{\"op\":\"subscribe\",\"topics\":[\"account:a b\"]}", "invalid_value"),
        ("{\"op\":\"subscribe\",\"topics\":[\"Fund\"]}", "invalid_value"),
        ("{\"op\":\"unsubscribe\",\"topics\":[\"nothing\"]}", "invalid_value"),
        ("{\"op\":\"authenticate\"}", "missing_credentials"),
        (nested.as_str(), "malformed"),
    ];
    for (text, code) in wrong {
        stream.send(Message::text(text));
        let told = stream.hear();
        assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!(code)), "{text}: {told}");
        assert_eq!(told["page"], format!("/problems/{code}"), "{told}");
        assert!(told["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{told}");
    }
    stream.send(Message::binary(vec![1, 2, 3]));
    assert_eq!(stream.hear()["code"], "malformed");
    // One that is wrong among some: none is followed.
    stream.subscribe(&["fund", "nothing"], None);
    assert_eq!(stream.so_far()[0]["code"], "invalid_value");
    stream.subscribe(&["fund"], None);
    assert_eq!(stream.so_far()[0]["type"], "subscribed", "it goes on");
}

#[test]
fn a_stream_that_cannot_be_opened_is_a_problem_like_any_other() {
    let daemon = opened();
    for (query, status, code) in [
        ("?topics=nothing", 400, "invalid_value"),
        ("?topics=", 400, "invalid_value"),
        ("?topics=fund,,adl", 400, "invalid_value"),
        ("?topics=account:a%20b", 400, "invalid_value"),
        ("?resume_from=-1", 400, "invalid_value"),
        ("?colour=red", 400, "unknown_parameter"),
        ("?topics=fund&topics=adl", 400, "duplicate_parameter"),
    ] {
        let Err((found, body)) = Ws::ask(&daemon, &Ask::get(&format!("/v1/stream{query}"))) else {
            panic!("{query} opens")
        };
        assert_eq!(found, status, "{query}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], code, "{query}: {body}");
    }
    daemon.get("/v1/stream").is_problem(400, "malformed");
    daemon.ask(At::Api, &Ask::get("/v1/stream").by("POST")).is_problem(405, "method_not_allowed");
    // What has failed to open takes no place.
    let metrics = daemon.admin("/metrics").body;
    assert!(metrics.contains("backstop_streams 0"), "{metrics}");
}

#[test]
fn no_more_streams_and_topics_than_configured() {
    let daemon = Daemon::configured(&Scratch::new("config.toml", "[stream]\nconnections = 2\ntopics = 3\n"));
    daemon.apply(crash::OPENED);
    let mut first = Ws::open(&daemon, "?topics=fund,adl,marks,rules");
    let said = first.so_far();
    let refused = said.last().unwrap();
    assert_eq!((&refused["code"], &refused["field"]), (&json!("too_many_streams"), &json!("rules")), "{said:?}");
    // One that is followed already is no other, and what is followed no more makes room.
    first.subscribe(&["fund"], None);
    assert_eq!(first.so_far()[0]["type"], "subscribed");
    first.say(&json!({"op": "unsubscribe", "topics": ["marks"]}));
    first.subscribe(&["rules"], None);
    assert!(first.so_far().iter().any(|message| message["topic"] == "rules" && message["type"] == "subscribed"));

    let second = Ws::open(&daemon, "");
    let Err((status, body)) = Ws::ask(&daemon, &Ask::get("/v1/stream")) else { panic!("a third is open") };
    assert!(status == 429 && body.contains("too_many_streams"), "{status} {body}");
    drop(second);
    let began = Instant::now();
    while Ws::ask(&daemon, &Ask::get("/v1/stream")).is_err() {
        assert!(began.elapsed() < PATIENCE, "its place is not free again");
    }
}
