//! Topics that are not everybody's, and who may follow them.

use crate::common::{Ask, At, Daemon, PATIENCE};
use crate::crash;
use crate::keys::{Ring, Signature, now, token};
use crate::ws::{Heard, Ws};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn keyed() -> (Daemon, Ring) {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file(""));
    daemon.apply_keyed(crash::OPENED);
    (daemon, ring)
}

/// What is said to each topic.
#[track_caller]
fn answers(stream: &mut Ws, topics: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for topic in topics {
        stream.subscribe(&[topic], None);
        let said = stream.so_far();
        let answer = said.iter().find(|message| message["topic"] == *topic || message["field"] == *topic);
        let answer = answer.unwrap_or_else(|| panic!("{topic}: {said:?}"));
        found.push(answer["code"].as_str().or(answer["type"].as_str()).unwrap().to_owned());
    }
    found
}

const ASKED: [&str; 5] = ["fund", "marks", "orders", "account:alice", "account:bob"];

/// What a role is answered.
fn wanted(role: &str) -> [&'static str; 5] {
    let (yes, no) = ("subscribed", "forbidden");
    match role {
        "alice" => [yes, yes, no, yes, no],
        "bob" => [yes, yes, no, no, yes],
        "venue" | "operator" => [yes; 5],
        _ => [yes, yes, "missing_credentials", "missing_credentials", "missing_credentials"],
    }
}

#[test]
fn private_topics_are_for_those_who_may_whether_the_key_comes_with_the_upgrade() {
    let (daemon, _ring) = keyed();
    assert_eq!(answers(&mut Ws::open(&daemon, ""), &ASKED), wanted("nobody"));
    for role in ["alice", "bob", "venue", "operator"] {
        for id in [role.to_owned(), format!("{role}-signs")] {
            let mut stream = Ws::welcomed(&daemon, &Ask::get("/v1/stream").from(&id));
            assert_eq!(answers(&mut stream, &ASKED), wanted(role), "{id}");
            let query = Ask::get("/v1/stream?topics=account:alice").from(&id);
            let said = Ws::welcomed(&daemon, &query).so_far();
            let may = wanted(role)[3] == "subscribed";
            assert_eq!(said[0]["type"] == "subscribed", may, "{id}: {said:?}");
        }
    }
}

/// A signature as a message.
fn message(signature: &Signature, over: &Ask) -> Value {
    json!({
        "op": "authenticate", "key": signature.key, "timestamp": signature.timestamp.to_string(),
        "nonce": signature.nonce, "signature": signature.text(over),
    })
}

#[test]
fn a_key_may_be_shown_by_message_too() {
    let (daemon, _ring) = keyed();
    let over = Ask::get("/v1/stream");
    for role in ["alice", "bob", "venue", "operator"] {
        let shown = [
            (role.to_owned(), json!({"op": "authenticate", "token": token(role)})),
            (format!("{role}-signs"), message(&Signature::of(&format!("{role}-signs")), &over)),
        ];
        for (id, shown) in shown {
            let mut stream = Ws::open(&daemon, "?topics=fund");
            assert_eq!(answers(&mut stream, &ASKED), wanted("nobody"), "{id}");
            stream.say(&shown);
            let said = stream.hear_of("authenticated");
            assert_eq!(said["key"], id, "{said}");
            assert_eq!(answers(&mut stream, &ASKED), wanted(role), "{id}");
        }
    }
}

#[test]
fn a_key_that_is_not_right_opens_no_topic_and_the_stream_goes_on() {
    let (daemon, _ring) = keyed();
    let mut stream = Ws::open(&daemon, "");
    let over = Ask::get("/v1/stream");
    let venue = || Signature::of("venue-signs");
    let taken = message(&venue(), &over);
    stream.say(&taken);
    assert_eq!(stream.hear()["type"], "authenticated");
    let mut stream = Ws::open(&daemon, "");
    let wrong = [
        (json!({"op": "authenticate", "token": "nobody"}), "invalid_credentials"),
        (json!({"op": "authenticate", "token": token("expired")}), "expired_credentials"),
        (json!({"op": "authenticate", "token": token("venue"), "key": "venue"}), "missing_credentials"),
        (json!({"op": "authenticate", "key": "venue-signs"}), "missing_credentials"),
        (message(&Signature { secret: "y".repeat(40), ..venue() }, &over), "invalid_credentials"),
        (message(&Signature::of("nobody"), &over), "invalid_credentials"),
        (message(&Signature::of("expired-signs"), &over), "expired_credentials"),
        (message(&Signature { timestamp: now() - 60_000, ..venue() }, &over), "stale_timestamp"),
        (message(&venue(), &Ask::get("/v1/status")), "invalid_credentials"),
        (message(&venue(), &over.clone().by("POST")), "invalid_credentials"),
        (taken, "replayed"),
    ];
    for (shown, code) in wrong {
        stream.say(&shown);
        let told = stream.hear();
        assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!(code)), "{shown}: {told}");
        assert!(!told.to_string().contains("of-venue"), "{told}");
    }
    assert_eq!(answers(&mut stream, &ASKED), wanted("nobody"));
    for ask in [Ask::get("/v1/stream").bearing("nobody"), Ask::get("/v1/stream").bearing("expired")] {
        let Err((status, _)) = Ws::ask(&daemon, &ask) else { panic!("it opens") };
        assert_eq!(status, 401);
    }
}

#[test]
fn a_wrong_key_after_a_right_one_takes_nothing_away_and_gives_nothing() {
    let (daemon, _ring) = keyed();
    let mut stream = Ws::welcomed(&daemon, &Ask::get("/v1/stream?topics=account:alice").from("alice"));
    assert_eq!(stream.so_far()[0]["type"], "subscribed");
    stream.say(&json!({"op": "authenticate", "token": "nobody"}));
    assert_eq!(stream.hear()["code"], "invalid_credentials");
    assert_eq!(answers(&mut stream, &ASKED), wanted("alice"));
}

#[test]
fn without_keys_a_page_of_another_site_opens_no_private_topic() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    for host in ["venue.example", "127.0.0.1.evil.example"] {
        let mut stream = Ws::welcomed(&daemon, &Ask::get("/v1/stream").with("host", host));
        assert_eq!(answers(&mut stream, &ASKED), wanted("nobody"), "{host}: what is public is for all");
    }
    let mut stream = Ws::open(&daemon, "");
    assert_eq!(answers(&mut stream, &ASKED), ["subscribed"; 5], "this machine may follow anything");
}

#[test]
fn without_keys_a_page_of_another_site_that_calls_by_the_right_name_opens_none_either() {
    // A browser lets any page open a WebSocket to this machine; only the header Origin tells.
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    match Ws::ask(&daemon, &Ask::get("/v1/stream").with("origin", "https://evil.example")) {
        Err((status, body)) => assert!(status == 403 || status == 421, "{status} {body}"),
        Ok(mut stream) => {
            assert_eq!(stream.hear()["type"], "welcome");
            let found = answers(&mut stream, &ASKED);
            assert!(found[2..].iter().all(|answer| answer != "subscribed"), "{found:?}");
        }
    }
    // The daemon's own pages may.
    let own = format!("http://{}", daemon.api);
    assert!(Ws::ask(&daemon, &Ask::get("/v1/stream").with("origin", own)).is_ok());
}

#[test]
fn an_account_is_told_what_happens_to_it_and_to_nobody_else() {
    let (daemon, _ring) = keyed();
    let follow = |id: &str| {
        let mut stream = Ws::welcomed(&daemon, &Ask::get(&format!("/v1/stream?topics=account:{id}")).from(id));
        assert_eq!(stream.so_far()[0]["type"], "subscribed");
        stream
    };
    let (mut alice, mut bob) = (follow("alice"), follow("bob"));
    daemon.apply_keyed(crash::FALLEN);
    let ended = loop {
        let heard = alice.hear();
        assert!(heard["type"] == "warning" || heard["event"]["account"] == "alice", "{heard}");
        if heard["event"]["type"] == "liquidation_ended" {
            break heard;
        }
    };
    assert_eq!(ended["event"]["outcome"], "deleveraged");
    for heard in bob.so_far() {
        assert!(heard["type"] == "warning" || heard["event"]["account"] == "bob", "{heard}");
    }
}

#[test]
fn an_account_is_warned_when_its_class_in_the_queue_of_deleveraging_changes() {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file("[stream]\naccount_ms = 1\n"));
    daemon.apply_keyed(crash::OPENED);
    let mut stream = Ws::welcomed(&daemon, &Ask::get("/v1/stream?topics=account:carol").from("venue-signs"));
    let begun = stream.so_far().remove(0);
    let class = |positions: &Value| positions[0]["adl_quantile"].clone();
    let before = class(&begun["snapshot"]["positions"]);
    // henry is short as she is, with more leverage: he is before her in the queue.
    daemon.apply_keyed(
        r#"{"type":"deposit","account":"henry","asset":"USDT","amount":"5000"}
{"type":"deposit","account":"ivan","asset":"USDT","amount":"20000"}
{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"0.9","buyer":"ivan","seller":"henry","trade":"h1"}
{"type":"tick"}"#,
    );
    let warning = stream.hear_of("warning");
    assert_eq!(warning["topic"], "account:carol");
    let after = class(&warning["positions"]);
    assert_ne!(after, before, "{warning}");
    assert!(before.is_u64() && after.is_u64(), "{before} {after}");
    let shown = daemon.ask_as("venue", At::Api, Ask::get("/v1/accounts/carol")).json();
    assert_eq!(warning["positions"], shown["positions"], "as a read shows it");
    assert!(warning["cause"].as_u64() > begun["cause"].as_u64() && warning["time"].is_u64(), "{warning}");
    // Nothing changes any more: nobody is warned again.
    assert!(stream.so_far().iter().all(|message| message["type"] != "warning"));
}

#[test]
fn a_key_that_is_taken_away_ends_what_it_had_opened() {
    let ring = Ring::new();
    let file = ring.file("[stream]\naccount_ms = 10\n");
    let daemon = Daemon::configured(&file);
    daemon.apply_keyed(crash::OPENED);
    let mut alice = Ws::welcomed(&daemon, &Ask::get("/v1/stream?topics=account:alice").from("alice"));
    assert_eq!(alice.so_far()[0]["type"], "subscribed");
    let mut left = Ring::empty();
    left.add("venue", "venue", "");
    left.add("operator", "operator", "");
    std::fs::write(&file.0, &left.toml).unwrap();
    daemon.signal("HUP");
    daemon.logged("the configuration was read again", 1);
    daemon.apply_keyed(crash::FALLEN);
    // It is told nothing more of the account, at the latest after the next look at it; best, it is closed and told why.
    alice.hurry(Duration::from_secs(20));
    let (mut told, began) = (Vec::new(), Instant::now());
    loop {
        match alice.next() {
            Heard::Closed(code, reason) => {
                assert_eq!((code, reason.as_str()), (1008, "invalid_credentials"));
                break;
            }
            Heard::Said(value) => told.push(value),
            Heard::Nothing => panic!("it goes on with a key that is no more: {told:?}"),
        }
        assert!(began.elapsed() < PATIENCE);
    }
}
