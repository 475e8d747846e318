//! Which commands are whose, and where they are taken; and that no key is ever written down.

use crate::common::{Ask, At, Daemon, Reply};
use crate::crash;
use crate::keys::{Ring, Signature, hex, is_of_operators, secret, token};
use serde_json::json;
use sha2::{Digest, Sha256};

const MARKET: &str = r#"{"type":"list_market","market":"XRP-USDT","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.005"}]}"#;

/// Commands of operators: rules and capital. Each would be taken from one.
const OF_OPERATORS: [&str; 7] = [
    r#"{"type":"list_asset","asset":"EUR","scale":2}"#,
    MARKET,
    r#"{"type":"fund_credit","asset":"USDT","source":"seed_capital","amount":"1"}"#,
    r#"{"type":"fund_credit","asset":"USDT","source":"injection","amount":"1"}"#,
    r#"{"type":"set_injection_line","asset":"USDT","limit":"1"}"#,
    r#"{"type":"schedule_rules","change":{"type":"set_injection_line","asset":"USDT","limit":"2"},"effective_time":253402300799000}"#,
    r#"{"type":"veto_rules","change":1}"#,
];

/// Commands of the venue.
const OF_VENUE: [&str; 6] = [
    r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"1"}"#,
    r#"{"type":"withdraw","account":"bob","asset":"USDT","amount":"1"}"#,
    r#"{"type":"price","market":"BTC-USDT","source":"a","price":"49000"}"#,
    r#"{"type":"fill","market":"BTC-USDT","price":"49000","quantity":"0.001","buyer":"bob","seller":"erin","trade":"t"}"#,
    r#"{"type":"fund_credit","asset":"USDT","source":"trading_fee_share","amount":"1"}"#,
    r#"{"type":"tick"}"#,
];

fn keyed() -> (Daemon, Ring) {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file(""));
    daemon.apply_keyed(crash::OPENED);
    (daemon, ring)
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, line: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{line}\n{reply:?}");
}

#[test]
fn rules_and_capital_are_an_operators_and_on_the_admin_listener_only() {
    let (daemon, _ring) = keyed();
    let before = daemon.keyed_hash();
    for line in OF_OPERATORS {
        refused(&daemon.ask_as("alice", At::Api, Ask::commands(line)), 403, "forbidden", line);
        for id in ["operator", "operator-signs", "venue", "venue-signs"] {
            refused(&daemon.ask_as(id, At::Api, Ask::commands(line)), 403, "operator_listener", line);
        }
        for id in ["venue", "venue-signs", "alice", "alice-signs"] {
            refused(&daemon.ask_as(id, At::Admin, Ask::commands(line)), 403, "forbidden", line);
        }
        refused(&daemon.ask(At::Admin, &Ask::commands(line)), 401, "missing_credentials", line);
    }
    assert_eq!(daemon.keyed_hash(), before);
    for line in OF_OPERATORS {
        let reply = daemon.ask_as("operator-signs", At::Admin, Ask::commands(line));
        assert_eq!(reply.status, 200, "{line}\n{reply:?}");
        let answer = &reply.lines()[0];
        assert!(answer["seq"].is_u64() || answer["code"] == "unknown_change", "{line}\n{answer}");
    }
    assert_ne!(daemon.keyed_hash(), before);
}

#[test]
fn trading_is_the_venues_on_either_listener() {
    let (daemon, _ring) = keyed();
    let before = daemon.keyed_hash();
    for line in OF_VENUE {
        for at in [At::Api, At::Admin] {
            for id in ["operator", "operator-signs", "alice", "alice-signs"] {
                refused(&daemon.ask_as(id, at, Ask::commands(line)), 403, "forbidden", line);
            }
        }
    }
    assert_eq!(daemon.keyed_hash(), before);
    for line in OF_VENUE {
        for (id, at) in [("venue", At::Api), ("venue-signs", At::Api), ("venue", At::Admin)] {
            let reply = daemon.ask_as(id, at, Ask::commands(line));
            assert_eq!(reply.status, 200, "{line}\n{reply:?}");
            let answer = &reply.lines()[0];
            assert!(answer["seq"].is_u64(), "{line}\n{answer}");
        }
    }
}

#[test]
fn one_command_that_its_sender_may_not_send_keeps_the_whole_request_out() {
    let (daemon, _ring) = keyed();
    let before = daemon.keyed_hash();
    let mixed = [OF_VENUE[0], OF_OPERATORS[2], OF_VENUE[5]].join("\n");
    for at in [At::Api, At::Admin] {
        let code = if at == At::Api { "operator_listener" } else { "forbidden" };
        for id in ["venue", "venue-signs", "operator", "alice"] {
            // Whoever begins with a command of its own role is refused at the first of another.
            let code = if matches!(id, "operator" | "alice") { "forbidden" } else { code };
            refused(&daemon.ask_as(id, at, Ask::commands(&mixed)), 403, code, &mixed);
        }
    }
    let array = Ask {
        headers: vec![("content-type", "application/json".to_owned())],
        ..Ask::commands(&format!("[{}]", mixed.replace('\n', ",")))
    };
    refused(&daemon.ask_as("venue", At::Api, array), 403, "operator_listener", &mixed);
    assert_eq!(daemon.keyed_hash(), before);
}

#[test]
fn a_command_that_cannot_be_read_is_answered_in_its_place_to_whoever_may_send_any() {
    let (daemon, _ring) = keyed();
    let broken = Ask::commands("hello\n{\"type\":\"destroy\"}");
    for id in ["venue", "operator", "venue-signs"] {
        let reply = daemon.ask_as(id, At::Api, broken.clone());
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!([&reply.lines()[0]["code"], &reply.lines()[1]["code"]], ["malformed", "unknown_type"]);
    }
    for id in ["alice", "alice-signs"] {
        daemon.ask_as(id, At::Api, broken.clone()).is_problem(403, "forbidden");
    }
}

#[test]
fn without_keys_this_machine_may_send_everything_to_either_listener() {
    let daemon = Daemon::start();
    for (place, line) in crash::OPENED.lines().filter(|line| !line.is_empty()).enumerate() {
        let at = if place % 2 == 0 { At::Api } else { At::Admin };
        let reply = daemon.ask(at, &Ask::commands(line));
        assert_eq!(reply.status, 200, "{line}\n{reply:?}");
        assert_eq!(reply.lines()[0]["seq"], place + 1, "{line}\n{reply:?}");
        assert!(!is_of_operators("tick"));
    }
}

#[test]
fn an_accounts_key_reads_no_other_account_by_any_spelling_of_its_name() {
    let (daemon, _ring) = keyed();
    for path in [
        "/v1/accounts/bob",
        "/v1/accounts/bob/positions",
        "/v1/accounts/nobody",
        "/v1/accounts/ALICE",
        "/v1/accounts/alice:",
        "/v1/accounts/house:fund",
    ] {
        daemon.ask_as("alice", At::Api, Ask::get(path)).is_problem(403, "forbidden");
    }
    daemon.ask_as("venue", At::Api, Ask::get("/v1/accounts/nobody")).is_problem(404, "unknown_account");
    let own = daemon.ask_as("alice", At::Api, Ask::get("/v1/accounts/alice"));
    assert_eq!(own.json()["account"], "alice");
    // What is read with a key is kept by nobody in between.
    assert!(own.header("cache-control").contains("no-cache"), "{own:?}");
    assert!(own.header("vary").is_empty() || own.header("vary").contains("uthorization"), "{own:?}");
    daemon.ask(At::Api, &Ask::get("/v1/accounts/alice")).is_problem(401, "missing_credentials");
    let tag = own.header("etag").to_owned();
    assert!(!tag.is_empty(), "{own:?}");
    daemon
        .ask(At::Api, &Ask::get("/v1/accounts/alice").with("if-none-match", tag))
        .is_problem(401, "missing_credentials");
}

#[test]
fn an_audit_is_read_by_those_who_may_and_remembered_for_nobody_else() {
    let (daemon, _ring) = keyed();
    let audit = || Ask::get("/v1/conservation?audit=true");
    for id in ["venue", "operator-signs"] {
        let reply = daemon.ask_as(id, At::Api, audit());
        assert_eq!(reply.status, 200, "{id}: {reply:?}");
        assert_eq!(reply.json()["holds"], json!(true));
    }
    daemon.ask(At::Api, &audit()).is_problem(401, "missing_credentials");
    daemon.ask_as("alice", At::Api, audit()).is_problem(403, "forbidden");
    for path in ["/v1/conservation", "/v1/conservation?audit=false"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
    }
}

#[test]
fn the_log_never_has_a_secret_a_token_or_a_signature() {
    let mut ring = Ring::new();
    ring.add("short", "venue", "");
    let file = ring.file("log = \"trace\"\n");
    let daemon = Daemon::configured(&file);
    daemon.apply_keyed(crash::OPENED);
    let mut never: Vec<String> = vec![token("nobody"), hex(&Sha256::digest(token("venue").as_bytes()))];
    for id in ["alice", "bob", "venue", "operator", "expired"] {
        let signs = format!("{id}-signs");
        never.extend([token(id), secret(&signs)]);
        for ask in [Ask::get("/v1/accounts/alice"), Ask::get("/v1/status"), Ask::commands(OF_VENUE[0])] {
            let signature = Signature::of(&signs);
            never.push(signature.text(&ask));
            let signed = ask.clone().signed(&signature);
            // Taken, and once more: replayed.
            for ask in [signed.clone(), signed, ask.clone().bearing(id), ask.bearing("nobody")] {
                daemon.ask(At::Api, &ask);
                daemon.ask(At::Admin, &ask);
            }
        }
    }
    // Neither when the file is read again, nor when it cannot be used.
    daemon.signal("HUP");
    daemon.logged("the configuration was read again", 1);
    let (status, log) = daemon.end_by("TERM");
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "the log says much: {log}");
    for text in never {
        assert!(!log.contains(&text), "{text} is in the log");
    }
}
