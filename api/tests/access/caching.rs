//! What every answer bears, what need not be sent again, reading one's own writes, parameters and pages.

use crate::common::{Ask, At, Daemon, PATIENCE, Reply, Scratch};
use crate::crash;
use crate::keys::Ring;
use serde_json::Value;
use std::time::Instant;

/// Reads whose answer holds at a sequence number.
const STEADY: [&str; 16] = [
    "/v1/accounts/alice",
    "/v1/accounts/bob/positions",
    "/v1/markets",
    "/v1/markets/BTC-USDT/mark",
    "/v1/fund/USDT",
    "/v1/fund/USDT/ledger?limit=3",
    "/v1/fund/USDT/daily",
    "/v1/liquidations",
    "/v1/adl",
    "/v1/conservation",
    "/v1/receipts/liquidation-1",
    "/v1/reports/USDT",
    "/v1/proof",
    "/v1/proof/days",
    "/v1/rules",
    "/v1/rules/history",
];

/// Reads whose answer is another each time.
const FLEETING: [&str; 6] =
    ["/v1/status", "/openapi.json", "/problems", "/problems/halted", "/v1/warnings", "/v1/markets/BTC-USDT/warning"];

const TICK: &str = r#"{"type":"tick"}"#;

fn fallen() -> Daemon {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    daemon
}

#[track_caller]
fn bears_what_every_answer_bears(reply: &Reply) {
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
    {
        assert_eq!(reply.header(name), value, "{name}: {reply:?}");
    }
    let policy = reply.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") || policy.contains("default-src 'self'"), "{reply:?}");
    assert!(policy.contains("frame-ancestors 'none'"), "{reply:?}");
    let caching = if reply.headers.contains_key("etag") { "no-cache" } else { "no-store" };
    assert_eq!(reply.header("cache-control"), caching, "{reply:?}");
    assert!(
        !reply.headers.contains_key("server") && !reply.headers.contains_key("strict-transport-security"),
        "{reply:?}"
    );
    assert!(!reply.headers.contains_key("access-control-allow-origin"), "no page of another site reads it: {reply:?}");
}

#[test]
fn every_answer_bears_the_headers_of_security_errors_too() {
    let daemon = fallen();
    for path in STEADY.iter().chain(&FLEETING).chain(&["/", "/docs", "/docs/", "/docs/swagger-ui.css"]) {
        bears_what_every_answer_bears(&daemon.get(path));
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        bears_what_every_answer_bears(&daemon.admin(path));
    }
    let errors = [
        (At::Api, Ask::get("/nowhere"), 404),
        (At::Api, Ask::get("/v1/accounts/nobody"), 404),
        (At::Api, Ask::get("/v1/adl?limit=0"), 400),
        (At::Api, Ask::get("/v1/markets").by("DELETE"), 405),
        (At::Api, Ask::get("/v1/markets").by("OPTIONS").with("origin", "https://evil.example"), 405),
        (At::Api, Ask::get("/v1/status").with("host", "evil.example"), 421),
        (At::Api, Ask::get("/v1/commands").by("POST"), 415),
        (At::Api, Ask::commands(""), 400),
        (At::Admin, Ask::get("/v1/markets"), 404),
        (At::Admin, Ask::get("/snapshot"), 405),
    ];
    for (at, ask, status) in errors {
        let reply = daemon.ask(at, &ask);
        assert_eq!(reply.status, status, "{ask:?}: {reply:?}");
        assert!(reply.json()["seq"].is_u64(), "a problem says when it was one: {reply:?}");
        bears_what_every_answer_bears(&reply);
    }
    let reply = daemon.ask(At::Api, &Ask::commands(TICK));
    bears_what_every_answer_bears(&reply);
    let tag = daemon.get("/v1/markets").header("etag").to_owned();
    bears_what_every_answer_bears(&daemon.ask(At::Api, &Ask::get("/v1/markets").with("if-none-match", tag)));
}

#[test]
fn an_answer_is_tagged_with_its_sequence_number_and_not_sent_again_while_nothing_happens() {
    let daemon = fallen();
    for path in STEADY {
        let first = daemon.get(path);
        let tag = first.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", first.json()["seq"]), "{path}");
        assert_eq!(daemon.get(path).body, first.body, "{path}");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"1\", {tag}"), format!("{tag} , \"1\"")] {
            let reply = daemon.ask(At::Api, &Ask::get(path).with("if-none-match", known.as_str()));
            assert_eq!((reply.status, reply.body.as_str()), (304, ""), "{path} {known}");
            assert_eq!(reply.header("etag"), tag, "{path}");
        }
        for unknown in ["\"1\"", "\"99999999\"", "", "nonsense"] {
            let reply = daemon.ask(At::Api, &Ask::get(path).with("if-none-match", unknown));
            assert_eq!((reply.status, &reply.body), (200, &first.body), "{path} {unknown}");
        }
        // Something happens.
        daemon.apply(TICK);
        let reply = daemon.ask(At::Api, &Ask::get(path).with("if-none-match", tag.as_str()));
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.json()["seq"].as_u64() > first.json()["seq"].as_u64(), "{path}: {reply:?}");
    }
    for path in FLEETING {
        assert!(!daemon.get(path).headers.contains_key("etag"), "{path}");
    }
    // What is not there is not known either.
    let reply = daemon.ask(At::Api, &Ask::get("/v1/accounts/nobody").with("if-none-match", "\"1\""));
    reply.is_problem(404, "unknown_account");
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let daemon = fallen();
    for path in STEADY.iter().chain(&FLEETING).chain(&[
        "/",
        "/docs",
        "/docs/",
        "/v1/accounts/nobody",
        "/nowhere",
        "/v1/adl?limit=0",
    ]) {
        let (get, head) = (daemon.get(path), daemon.ask(At::Api, &Ask::get(path).by("HEAD")));
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "etag", "cache-control", "content-security-policy", "location"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        let (get, head) = (daemon.admin(path), daemon.ask(At::Admin, &Ask::get(path).by("HEAD")));
        assert_eq!((head.status, head.body.as_str(), head.kind), (get.status, "", get.kind), "{path}");
    }
    let tag = daemon.get("/v1/markets").header("etag").to_owned();
    let head = daemon.ask(At::Api, &Ask::get("/v1/markets").by("HEAD").with("if-none-match", tag.as_str()));
    assert_eq!((head.status, head.header("etag")), (304, tag.as_str()));
}

#[test]
fn whoever_waits_for_its_own_command_reads_it() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let deposit = r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"1"}"#;
    let read = |path: &str, seq: u64| daemon.read(&format!("{path}?wait_for={seq}"));
    let wallet = |account: &Value| account["assets"][0]["wallet"].as_str().unwrap().parse::<u64>().unwrap();
    let first = wallet(&daemon.read("/v1/accounts/alice"));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let seq = daemon.apply(deposit)[0]["seq"].as_u64().unwrap();
                    assert!(read("/v1/markets", seq)["seq"].as_u64() >= Some(seq));
                    let account = read("/v1/accounts/alice", seq);
                    assert!(account["seq"].as_u64() >= Some(seq), "{account}");
                    // Without being asked to wait: whoever has been answered finds what it wrote.
                    assert!(daemon.read("/v1/fund/USDT")["seq"].as_u64() >= Some(seq));
                }
            });
        }
    });
    assert_eq!(wallet(&daemon.read("/v1/accounts/alice")), first + 150);
    // Waiting before the command is there: answered once it is.
    let next = daemon.read("/v1/markets")["seq"].as_u64().unwrap() + 1;
    std::thread::scope(|scope| {
        let waits = scope.spawn(move || read("/v1/accounts/alice", next));
        daemon.apply(deposit);
        assert_eq!(wallet(&waits.join().unwrap()), first + 151);
    });
}

#[test]
fn a_command_that_does_not_come_is_not_waited_for_longer_than_configured() {
    let daemon = Daemon::configured(&Scratch::new("config.toml", "[limits]\nwait_ms = 20\n"));
    daemon.apply(crash::OPENED);
    let began = Instant::now();
    for path in ["/v1/markets", "/v1/accounts/alice", "/v1/adl", "/v1/status", "/openapi.json"] {
        let reply = daemon.get(&format!("{path}?wait_for=9007199254740991"));
        reply.is_problem(503, "not_reached");
        assert_eq!((&reply.json()["field"], reply.header("retry-after")), (&Value::from("wait_for"), "1"), "{reply:?}");
    }
    assert!(began.elapsed() < PATIENCE);
    // An unknown account is refused no sooner: nobody knows yet what will be there.
    daemon.get("/v1/accounts/nobody?wait_for=1").is_problem(404, "unknown_account");
}

#[test]
fn waiting_opens_nothing() {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file("[limits]\nwait_ms = 3600000\n"));
    daemon.apply_keyed(crash::OPENED);
    let path = "/v1/accounts/alice?wait_for=9007199254740991";
    daemon.ask(At::Api, &Ask::get(path)).is_problem(401, "missing_credentials");
    daemon.ask_as("bob", At::Api, Ask::get(path)).is_problem(403, "forbidden");
}

#[test]
fn a_parameter_that_is_unknown_or_stands_twice_is_refused_at_every_path() {
    let daemon = fallen();
    for path in STEADY.iter().chain(&FLEETING).chain(&["/", "/docs", "/v1/stream"]) {
        let mark = if path.contains('?') { '&' } else { '?' };
        for (query, code, field) in [
            ("colour=red", "unknown_parameter", "colour"),
            ("%63olour", "unknown_parameter", "colour"),
            ("Limit=1", "unknown_parameter", "Limit"),
            ("wait_for=0&wait_for=0", "duplicate_parameter", "wait_for"),
            ("wait_for=0&wait%5ffor=1", "duplicate_parameter", "wait_for"),
            ("wait_for=-1", "invalid_value", "wait_for"),
            ("wait_for", "invalid_value", "wait_for"),
            ("wait_for=9007199254740992", "out_of_range", "wait_for"),
        ] {
            let reply = daemon.get(&format!("{path}{mark}{query}"));
            reply.is_problem(400, code);
            assert_eq!(reply.json()["field"], field, "{path} {query}");
        }
    }
    // The path's own parameter is none of the query.
    daemon.get("/v1/accounts/alice?account=bob").is_problem(400, "unknown_parameter");
    daemon.get("/v1/adl?limit=1&cursor=0&limit=1").is_problem(400, "duplicate_parameter");
    let long = "x".repeat(5_000);
    daemon.get(&format!("/v1/adl?market={long}")).is_problem(400, "invalid_value");
}

/// Does an item have this at a field? A liquidation is of every market it sold in.
fn has(item: &Value, name: &str, value: &str) -> bool {
    let settled = item["settlements"].as_array().into_iter().flatten();
    item[name] == value || settled.into_iter().any(|settled| settled[name] == value)
}

/// All items of a list, page by page, and how many pages there were.
fn pages(daemon: &Daemon, path: &str, limit: usize) -> (Vec<Value>, usize) {
    let mark = if path.contains('?') { '&' } else { '?' };
    let (mut found, mut cursor, mut count) = (Vec::new(), String::new(), 0);
    loop {
        let page = daemon.read(&format!("{path}{mark}limit={limit}{cursor}"));
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit, "{page}");
        found.extend_from_slice(items);
        count += 1;
        match page["next"].as_str() {
            None => return (found, count),
            Some(next) => {
                assert_eq!(items.len(), limit, "a page before another is full: {page}");
                cursor = format!("&cursor={next}");
            }
        }
    }
}

#[test]
fn pages_of_any_size_and_any_filter_are_parts_of_the_same_list() {
    let daemon = fallen();
    // Another fall, later.
    daemon.apply(
        r#"{"type":"deposit","account":"henry","asset":"USDT","amount":"6000"}
{"type":"deposit","account":"bob","asset":"USDT","amount":"1000"}
{"type":"fill","market":"BTC-USDT","price":"44000","quantity":"1","buyer":"henry","seller":"bob","trade":"h1"}
{"type":"price","market":"BTC-USDT","source":"a","price":"39000"}
{"type":"price","market":"BTC-USDT","source":"b","price":"39000"}
{"type":"price","market":"BTC-USDT","source":"c","price":"39000"}
{"type":"tick"}"#,
    );
    for list in ["/v1/fund/USDT/ledger", "/v1/liquidations", "/v1/adl", "/v1/rules/history"] {
        let (whole, one) = pages(&daemon, list, 1_000);
        assert!(one == 1 && whole.len() > 2, "{list}: {whole:?}");
        for limit in [1, 2, 7] {
            let (paged, count) = pages(&daemon, list, limit);
            assert_eq!(paged, whole, "{list} by {limit}");
            assert_eq!(count, whole.len().div_ceil(limit), "{list} by {limit}: no page is empty");
        }
        let names = |name: &str| {
            let mut names: Vec<String> =
                whole.iter().filter_map(|item| Some(item[name].as_str()?.to_owned())).collect();
            names.sort();
            names.dedup();
            names
        };
        if list == "/v1/rules/history" {
            continue;
        }
        for name in ["market", "account"] {
            for value in names(name).iter().map(String::as_str).chain(["nobody"]) {
                let (found, _) = pages(&daemon, &format!("{list}?{name}={value}"), 2);
                let wanted: Vec<Value> = whole.iter().filter(|item| has(item, name, value)).cloned().collect();
                assert_eq!(found, wanted, "{list} of {name} {value}");
            }
        }
        // A liquidation stands where it started.
        let time =
            |item: &Value| item["time"].as_u64().or(item["started"].as_u64()).unwrap_or_else(|| panic!("{item}"));
        let times: Vec<u64> = whole.iter().map(time).collect();
        let (first, last) = (times[0], times[times.len() - 1]);
        for (from, to) in [
            (0, first),
            (0, first + 1),
            (first, last),
            (first, last + 1),
            (last, last + 1),
            (last + 1, last + 2),
            (last, first),
        ] {
            let (found, _) = pages(&daemon, &format!("{list}?from={from}&to={to}"), 2);
            let wanted: Vec<Value> = whole
                .iter()
                .zip(&times)
                .filter(|(_, time)| (from..to).contains(time))
                .map(|(item, _)| item.clone())
                .collect();
            assert_eq!(found, wanted, "{list} from {from} to {to}");
        }
        let (found, _) = pages(&daemon, &format!("{list}?market=BTC-USDT&account=alice&from={first}"), 1);
        let wanted: Vec<Value> = whole
            .iter()
            .filter(|item| has(item, "market", "BTC-USDT") && has(item, "account", "alice"))
            .cloned()
            .collect();
        assert_eq!(found, wanted, "{list}");
        // A cursor after the end is the end.
        let page = daemon.read(&format!("{list}?cursor=9007199254740991"));
        assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (0, &Value::Null));
    }
}
