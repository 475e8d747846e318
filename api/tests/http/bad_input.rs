//! Bad input is answered, never absorbed: every refusal has its code, the state is what it was, and the daemon goes on.

use crate::common::{Daemon, Reply};
use crate::crash;
use std::io::{Read, Write};

const LINES: &str = "application/x-ndjson";
const ARRAY: &str = "application/json";

/// Commands that are refused, with code and field.
fn refused() -> Vec<(String, &'static str, &'static str)> {
    let amount = |amount: &str| format!(r#"{{"type":"deposit","account":"alice","asset":"USDT","amount":{amount}}}"#);
    let fill = |changed: &str, to: &str| {
        let plain = r#"{"type":"fill","market":"BTC-USDT","price":"44000","quantity":"1","buyer":"bob","seller":"carol","trade":"x"}"#;
        assert!(plain.contains(changed));
        plain.replace(changed, to)
    };
    let name = "n".repeat(65);
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    vec![
        ("hello".to_owned(), "malformed", ""),
        ("{".to_owned(), "malformed", ""),
        ("null".to_owned(), "malformed", ""),
        ("17".to_owned(), "malformed", ""),
        ("[]".to_owned(), "malformed", ""),
        (r#"{"type":"tick"} {"type":"tick"}"#.to_owned(), "malformed", ""),
        (nested.clone(), "malformed", ""),
        (objects.clone(), "missing_field", "type"),
        (format!(r#"{{"type":{nested}}}"#), "wrong_type", "type"),
        (amount(&nested), "wrong_type", "amount"),
        (amount(&objects), "wrong_type", "amount"),
        ("{}".to_owned(), "missing_field", "type"),
        (r#"{"type":"destroy"}"#.to_owned(), "unknown_type", "type"),
        (r#"{"type":"Tick"}"#.to_owned(), "unknown_type", "type"),
        (r#"{"type":"tick","force":true}"#.to_owned(), "unknown_field", "force"),
        (r#"{"type":"tick","type":"tick"}"#.to_owned(), "duplicate_field", "type"),
        (r#"{"type":"tick","time":1760130960000}"#.to_owned(), "unknown_field", "time"),
        (r#"{"type":"tick","time":"now"}"#.to_owned(), "wrong_type", "time"),
        (r#"{"type":"tick","producer":"feed"}"#.to_owned(), "missing_field", "number"),
        (r#"{"type":"tick","number":1}"#.to_owned(), "missing_field", "producer"),
        (r#"{"type":"tick","producer":"feed","number":0}"#.to_owned(), "out_of_range", "number"),
        (r#"{"type":"tick","producer":"feed","number":-1}"#.to_owned(), "wrong_type", "number"),
        (r#"{"type":"tick","producer":"feed","number":7}"#.to_owned(), "out_of_order", "number"),
        (r#"{"type":"tick","producer":"","number":1}"#.to_owned(), "invalid_name", "producer"),
        (amount("NaN"), "malformed", ""),
        (amount("Infinity"), "malformed", ""),
        (amount("5"), "wrong_type", "amount"),
        (amount("1e400"), "wrong_type", "amount"),
        (amount("null"), "missing_field", "amount"),
        (amount(r#""NaN""#), "not_a_decimal", "amount"),
        (amount(r#""1e3""#), "not_a_decimal", "amount"),
        (amount(r#""0x10""#), "not_a_decimal", "amount"),
        (amount(r#"" 1""#), "not_a_decimal", "amount"),
        (amount(r#""1,000""#), "not_a_decimal", "amount"),
        (amount(r#""１""#), "not_a_decimal", "amount"),
        (amount(r#""""#), "not_a_decimal", "amount"),
        (amount(r#""0""#), "out_of_range", "amount"),
        (amount(r#""-1""#), "out_of_range", "amount"),
        (amount(r#""12345678901234567890123456789""#), "out_of_range", "amount"),
        (amount(r#""0.12345678901234567890123456789""#), "too_precise", "amount"),
        (amount(r#""0.0000001""#), "too_precise", "amount"),
        (amount(r#""9999999999999999999999999999""#), "out_of_range", "amount"),
        (format!(r#"{{"type":"deposit","account":"{name}","asset":"USDT","amount":"1"}}"#), "invalid_name", "account"),
        (r#"{"type":"deposit","account":"a b","asset":"USDT","amount":"1"}"#.to_owned(), "invalid_name", "account"),
        (r#"{"type":"deposit","account":"\u0000","asset":"USDT","amount":"1"}"#.to_owned(), "invalid_name", "account"),
        (
            r#"{"type":"deposit","account":"house:fund","asset":"USDT","amount":"1"}"#.to_owned(),
            "reserved_account",
            "account",
        ),
        (
            r#"{"type":"withdraw","account":"house:fund","asset":"USDT","amount":"1"}"#.to_owned(),
            "reserved_account",
            "account",
        ),
        (r#"{"type":"deposit","account":"bob","asset":"EUR","amount":"1"}"#.to_owned(), "unknown_asset", "asset"),
        (
            r#"{"type":"withdraw","account":"bob","asset":"USDT","amount":"99999999"}"#.to_owned(),
            "insufficient_margin",
            "account",
        ),
        (r#"{"type":"price","market":"X","source":"a","price":"1"}"#.to_owned(), "unknown_market", "market"),
        (r#"{"type":"fund_credit","asset":"USDT","source":"hack","amount":"1"}"#.to_owned(), "invalid_value", "source"),
        (r#"{"type":"fund_debit","asset":"USDT","amount":"1"}"#.to_owned(), "unknown_type", "type"),
        (r#"{"type":"liquidation_done","order":"99","status":"expired"}"#.to_owned(), "unknown_order", "order"),
        (r#"{"type":"list_asset","asset":"USDT","scale":2}"#.to_owned(), "immutable", "scale"),
        (r#"{"type":"list_asset","asset":"EUR","scale":13}"#.to_owned(), "out_of_range", "scale"),
        (fill("44000", "44000.05"), "off_tick", "price"),
        (fill(r#""quantity":"1""#, r#""quantity":"0.0005""#), "off_lot", "quantity"),
        (fill("bob", "house:fund"), "reserved_account", "buyer"),
        (fill(r#","trade":"x""#, ""), "missing_field", "trade"),
    ]
}

#[test]
fn every_refused_command_has_its_code_and_field_and_changes_nothing() {
    let daemon = Daemon::with(&["--mark-interval-ms", "0", "--shards", "2"]);
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    let before = daemon.state_hash();
    let refused = refused();
    // Everything is looked at before anything is said, so that one run shows all that is wrong.
    let mut wrong = Vec::new();
    for (line, code, field) in &refused {
        let shown: String = line.chars().take(160).collect();
        let answers = daemon.send(line);
        let found = (answers[0]["code"].as_str(), answers[0]["field"].as_str());
        if found != (Some(code), Some(field)) {
            wrong.push(format!("{shown}\n  wanted {code} ({field})\n  got    {}", answers[0]));
        }
        if daemon.state_hash() != before {
            wrong.push(format!("{shown}\n  changed the state"));
            break;
        }
        assert!(answers[0]["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", answers[0]);
        assert!(answers[0].to_string().len() < 1_000, "a refusal is short: {shown}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // All together, between two that are taken.
    let (first, last) = (r#"{"type":"set_injection_line","asset":"USDT","limit":"0"}"#, r#"{"type":"tick"}"#);
    let body: Vec<&str> = refused.iter().map(|(line, ..)| line.as_str()).collect();
    let answers = daemon.send(&format!("{first}\n{}\n{last}\n", body.join("\n")));
    assert!(answers[0]["code"].is_null() && answers[answers.len() - 1]["code"].is_null(), "{answers:?}");
    for (answer, (line, code, _)) in answers[1..].iter().zip(&refused) {
        assert_eq!(answer["code"], *code, "{line}");
    }
    assert_eq!(daemon.read("/v1/conservation?audit=true")["holds"], true);
}

#[test]
fn a_body_of_which_nothing_can_be_read_is_a_problem() {
    let daemon = Daemon::start();
    let before = daemon.state_hash();
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let unreadable: [(&str, &[u8]); 12] = [
        (LINES, b""),
        (LINES, b"\n \n\t\r\n"),
        (ARRAY, b""),
        (ARRAY, b"[]"),
        (ARRAY, b"{\"type\":\"tick\"}"),
        (ARRAY, b"null"),
        (ARRAY, b"[{\"type\":\"tick\"}"),
        (ARRAY, b"[{\"type\":\"tick\"}] trailing"),
        (ARRAY, b"[{\"type\":\"tick\",\"n\":NaN}]"),
        (ARRAY, b"[{\"type\":\"\xff\"}]"),
        (ARRAY, b"\xff\xfe[\x00]\x00"),
        (ARRAY, b"[[[[[["),
    ];
    for (kind, body) in unreadable {
        let reply = daemon.post(kind, body);
        assert_eq!(reply.status, 400, "{body:?}");
        reply.is_problem(400, "malformed");
    }
    // As deep as it gets: one element, which is no command.
    let reply = daemon.post(ARRAY, deep);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.json()[0]["code"], "too_large");
    assert_eq!(daemon.state_hash(), before);
}

#[test]
fn another_content_type_is_a_problem() {
    let daemon = Daemon::start();
    for kind in ["text/plain", "application/xml", "application/jsonx", "", "application/x-www-form-urlencoded"] {
        daemon.post(kind, r#"{"type":"tick"}"#).is_problem(415, "unsupported_media_type");
    }
    let silent = daemon.raw(
        b"POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 15\r\n\r\n{\"type\":\"tick\"}",
    );
    assert!(silent.starts_with("HTTP/1.1 415 "), "{silent}");
    for kind in ["application/x-ndjson; charset=utf-8", "Application/X-NDJSON"] {
        assert_eq!(daemon.post(kind, r#"{"type":"tick"}"#).status, 200, "{kind}");
    }
}

#[test]
fn what_is_not_there_is_a_problem() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let absent = [
        ("/v1/nowhere", "unknown_path"),
        ("/v2/status", "unknown_path"),
        ("/metrics", "unknown_path"),
        ("/v1/accounts", "unknown_path"),
        ("/v1/accounts/nobody", "unknown_account"),
        ("/v1/accounts/nobody/positions", "unknown_account"),
        ("/v1/markets/nowhere/mark", "unknown_market"),
        ("/v1/markets/BTC-USDT", "unknown_path"),
        ("/v1/fund/EUR", "unknown_asset"),
        ("/v1/fund/EUR/ledger", "unknown_asset"),
        ("/../etc/passwd", "unknown_path"),
    ];
    for (path, code) in absent {
        daemon.get(path).is_problem(404, code);
    }
    for path in ["/v1/accounts/%FF%FE", "/v1/accounts/a%20b"] {
        daemon.get(path).is_problem(400, "invalid_value");
    }
}

#[test]
fn a_query_without_sense_is_a_problem() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let wrong = [
        ("/v1/adl?limit=0", "out_of_range", "limit"),
        ("/v1/adl?limit=1001", "out_of_range", "limit"),
        ("/v1/liquidations?limit=-1", "invalid_value", "limit"),
        ("/v1/liquidations?limit=many", "invalid_value", "limit"),
        ("/v1/liquidations?cursor=yesterday", "invalid_value", "cursor"),
        ("/v1/fund/USDT/ledger?cursor=-1", "invalid_value", "cursor"),
        ("/v1/fund/USDT/ledger?cursor=99999999999999999999", "invalid_value", "cursor"),
        ("/v1/fund/USDT/ledger?cursor=9007199254740992", "out_of_range", "cursor"),
        ("/v1/adl?colour=red", "unknown_parameter", "colour"),
        ("/v1/conservation?audit=perhaps", "invalid_value", "audit"),
        ("/v1/conservation?audits=true", "unknown_parameter", "audits"),
    ];
    for (path, code, field) in wrong {
        let reply = daemon.get(path);
        reply.is_problem(400, code);
        assert_eq!(reply.json()["field"], field, "{path}");
    }
    assert_eq!(daemon.get("/v1/adl?limit=1000").status, 200);
}

#[test]
fn another_method_is_a_problem_that_names_the_right_one() {
    let daemon = Daemon::start();
    let check = |reply: Reply, allowed: &str| {
        reply.is_problem(405, "method_not_allowed");
        let allow = reply.allow.clone().unwrap_or_default();
        assert!(allow.split(", ").any(|method| method == allowed), "{reply:?}");
    };
    for method in ["GET", "DELETE", "OPTIONS"] {
        check(daemon.request(method, "/v1/commands"), "POST");
    }
    let reads = [
        "/v1/accounts/alice",
        "/v1/accounts/alice/positions",
        "/v1/markets",
        "/v1/markets/BTC-USDT/mark",
        "/v1/fund/USDT",
        "/v1/fund/USDT/ledger",
        "/v1/liquidations",
        "/v1/adl",
        "/v1/conservation",
        "/v1/status",
        "/",
    ];
    for path in reads {
        check(daemon.request("DELETE", path), "GET");
        let head = daemon.request("HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (daemon.get(path).status, ""), "{path}");
    }
}

#[test]
fn a_body_over_the_limit_is_a_problem() {
    let daemon = Daemon::start();
    let command = format!("{}\n", r#"{"type":"tick"}"#);
    let many = command.repeat(32_769);
    daemon.post(LINES, many).is_problem(413, "too_large");
    // Announced as too large before a byte of it is sent: the answer comes at once.
    let mut stream = daemon.connect();
    let head = "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n";
    write!(stream, "{head}Content-Length: 17000000\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    drop(stream);
    assert_eq!(daemon.read("/v1/status")["seq"], 0, "nothing of it was taken");
    daemon.apply(&command);
}

/// Streams a body and says what the daemon answered, if the connection was not cut before.
fn stream(daemon: &Daemon, head: &str, piece: &[u8], times: usize, end: &[u8]) -> String {
    let mut stream = daemon.connect();
    stream.write_all(head.as_bytes()).unwrap();
    // A cut connection is an answer; a daemon that stops reading for ever is none.
    for _ in 0..times {
        if let Err(error) = stream.write_all(piece) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the daemon neither reads nor closes");
            break;
        }
    }
    let _ = stream.write_all(end);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the daemon does not close");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_stream_of_100_megabytes_does_no_harm() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let before = daemon.state_hash();
    let fixed =
        "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n";
    let piece = vec![b'x'; 1 << 20];
    let announced = stream(&daemon, &format!("{fixed}Content-Length: {}\r\n\r\n", 100 << 20), &piece, 100, b"");
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(&piece);
    chunk.extend_from_slice(b"\r\n");
    let chunked = stream(&daemon, &format!("{fixed}Transfer-Encoding: chunked\r\n\r\n"), &chunk, 100, b"0\r\n\r\n");
    for answer in [announced, chunked] {
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
    assert_eq!(daemon.state_hash(), before);
    daemon.apply(crash::FALLEN);
}

#[test]
fn broken_requests_and_connections_do_no_harm() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let before = daemon.state_hash();
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
    {
        let answer = daemon.raw(bytes);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
    // Half a body, then gone.
    let mut stream = daemon.connect();
    let head = "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n";
    writeln!(stream, "{head}{{\"type\":\"tick\"}}").unwrap();
    drop(stream);
    assert_eq!(daemon.state_hash(), before);
    // A whole body, and gone before the answer: it may count or not, nothing else may suffer.
    let mut stream = daemon.connect();
    write!(stream, "{}16\r\n\r\n{{\"type\":\"tick\"}}\n", head.split("1000").next().unwrap()).unwrap();
    drop(stream);
    daemon.apply(crash::FALLEN);
}
