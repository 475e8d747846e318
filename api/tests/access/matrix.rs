//! Every operation of both listeners by every caller, with the status and the code of each answer.

use crate::common::{Ask, At, Daemon, Reply};
use crate::crash;
use crate::keys::{AHEAD_MS, Ring, Signature, now};
use serde_json::Value;
use std::collections::BTreeSet;

/// Who may do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Anybody; but a key that is shown must be right.
    All,
    /// alice, the venue, operators.
    Alice,
    /// The venue and operators.
    Venue,
    /// Operators.
    Operators,
    /// The venue here; what operators send here, see `roles`.
    Commands,
}

/// An operation: method and path as /openapi.json names them, where it is served, what is asked for, who may.
type Row = (&'static str, &'static str, &'static [At], &'static str, For);

const API: &[At] = &[At::Api];
const ADMIN: &[At] = &[At::Admin];
const BOTH: &[At] = &[At::Api, At::Admin];

const OPERATIONS: &[Row] = &[
    ("GET", "/", API, "/", For::All),
    ("GET", "/docs", BOTH, "/docs", For::All),
    ("GET", "/openapi.json", BOTH, "/openapi.json", For::All),
    ("GET", "/problems", API, "/problems", For::All),
    ("GET", "/problems/{code}", API, "/problems/forbidden", For::All),
    ("GET", "/v1/accounts/{account}", API, "/v1/accounts/alice", For::Alice),
    ("GET", "/v1/accounts/{account}/positions", API, "/v1/accounts/alice/positions", For::Alice),
    ("GET", "/v1/adl", API, "/v1/adl", For::All),
    ("GET", "/v1/conservation", API, "/v1/conservation", For::All),
    ("GET", "/v1/fund/{asset}", API, "/v1/fund/USDT", For::All),
    ("GET", "/v1/fund/{asset}/daily", API, "/v1/fund/USDT/daily", For::All),
    ("GET", "/v1/fund/{asset}/ledger", API, "/v1/fund/USDT/ledger", For::All),
    ("GET", "/v1/liquidations", API, "/v1/liquidations", For::All),
    ("GET", "/v1/markets", API, "/v1/markets", For::All),
    ("GET", "/v1/markets/{market}/mark", API, "/v1/markets/BTC-USDT/mark", For::All),
    ("GET", "/v1/export", API, "/v1/export?from=1999-01-01", For::All),
    ("GET", "/v1/markets/{market}/warning", API, "/v1/markets/BTC-USDT/warning", For::All),
    ("GET", "/v1/proof", API, "/v1/proof", For::All),
    ("GET", "/v1/proof/days", API, "/v1/proof/days", For::All),
    ("GET", "/v1/proof/days/{day}", API, "/v1/proof/days/1999-01-01", For::All),
    ("GET", "/v1/receipts/{receipt}/proof", API, "/v1/receipts/adl-1/proof", For::All),
    ("GET", "/v1/reports/{asset}", API, "/v1/reports/USDT", For::All),
    ("GET", "/v1/reports/{asset}/{day}", API, "/v1/reports/USDT/1999-01-01", For::All),
    ("GET", "/v1/warnings", API, "/v1/warnings", For::All),
    ("GET", "/v1/receipts/{receipt}", API, "/v1/receipts/liquidation-1", For::All),
    ("GET", "/v1/rules", API, "/v1/rules", For::All),
    ("GET", "/v1/rules/history", API, "/v1/rules/history", For::All),
    ("GET", "/v1/status", API, "/v1/status", For::Venue),
    ("GET", "/v1/stream", API, "/v1/stream", For::All),
    ("POST", "/v1/commands", BOTH, "/v1/commands", For::Commands),
    ("GET", "/healthz", ADMIN, "/healthz", For::All),
    ("GET", "/metrics", ADMIN, "/metrics", For::All),
    ("GET", "/readyz", ADMIN, "/readyz", For::All),
    ("POST", "/snapshot", ADMIN, "/snapshot", For::Operators),
];

/// Operations that only a parameter restricts, and files of the page that /openapi.json does not name.
const MORE: &[Row] = &[
    ("GET", "", API, "/v1/conservation?audit=true", For::Venue),
    ("GET", "", BOTH, "/docs/", For::All),
    ("GET", "", BOTH, "/docs/swagger-ui.css", For::All),
];

/// Commands that change the state when they are taken, and that are the venue's.
const DEPOSIT: &str = r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"1"}"#;

fn keyed() -> (Daemon, Ring) {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file(""));
    daemon.apply_keyed(crash::OPENED);
    daemon.apply_keyed(crash::FALLEN);
    (daemon, ring)
}

fn request(row: &Row) -> Ask {
    match row.4 {
        For::Commands => Ask::commands(DEPOSIT),
        _ => Ask::get(row.3).by(row.0),
    }
}

/// What an operation answers to whoever may.
fn granted(row: &Row) -> (u16, &'static str) {
    match row.3 {
        "/docs" => (308, ""),
        "/v1/proof/days/1999-01-01" | "/v1/reports/USDT/1999-01-01" | "/v1/export?from=1999-01-01" => {
            (404, "unknown_day")
        }
        "/v1/receipts/adl-1/proof" => (404, "unknown_receipt"),
        // Without the words of a WebSocket.
        "/v1/stream" => (400, "malformed"),
        _ => (200, ""),
    }
}

/// What is answered to a caller whose key is right.
fn answer(row: &Row, at: At, who: &str) -> (u16, &'static str) {
    let may = match (row.4, who) {
        (For::All, _) | (For::Venue | For::Commands | For::Alice, "venue") => true,
        (For::Venue | For::Operators | For::Alice, "operator") | (For::Alice, "alice") => true,
        // An operator has no business with deposits, here or there.
        _ => false,
    };
    match (row.2.contains(&at), may) {
        (false, _) => (404, "unknown_path"),
        (true, true) => granted(row),
        (true, false) => (403, "forbidden"),
    }
}

/// What is answered to a caller whose key is wrong.
fn refused(row: &Row, at: At, code: &'static str) -> (u16, &'static str) {
    match row.4 {
        _ if !row.2.contains(&at) => (404, "unknown_path"),
        For::All if code == "missing_credentials" => granted(row),
        _ => (401, code),
    }
}

/// Keys that are wrong, by what is wrong with them.
fn wrong(ask: &Ask) -> Vec<(&'static str, Ask, &'static str)> {
    let venue = || Signature::of("venue-signs");
    let sent = |signature: Signature| ask.clone().signed(&signature);
    let header = |value: &str| ask.clone().with("authorization", value);
    let mut other = ask.clone();
    other.body.push(b'\n');
    let elsewhere = Ask { target: format!("{}?", ask.target), ..ask.clone() };
    let otherwise = ask.clone().by(if ask.method == "GET" { "POST" } else { "GET" });
    let without = |name: &str| {
        let mut signed = sent(venue());
        signed.headers.retain(|(header, _)| *header != name);
        signed
    };
    let nonce = {
        let mut signed = sent(venue());
        signed.headers.iter_mut().filter(|(name, _)| *name == "backstop-nonce").for_each(|(_, nonce)| nonce.push('0'));
        signed
    };
    let invalid = "invalid_credentials";
    vec![
        ("no key", ask.clone(), "missing_credentials"),
        ("wrong token", ask.clone().bearing("nobody"), invalid),
        ("a hash as token", header(&format!("Bearer {}", "0".repeat(64))), invalid),
        ("an empty token", header("Bearer "), invalid),
        ("another scheme", header("Basic dmVudWU6dmVudWU="), invalid),
        ("a secret as token", header(&format!("Bearer {}", crate::keys::secret("venue-signs"))), invalid),
        ("expired token", ask.clone().bearing("expired"), "expired_credentials"),
        ("wrong signature", sent(Signature { secret: "y".repeat(64), ..venue() }), invalid),
        ("unknown key", sent(Signature::of("nobody")), invalid),
        ("a key that signs nothing", sent(Signature { key: "venue".into(), ..venue() }), invalid),
        (
            "a key of that name without secret",
            sent(Signature { secret: "\0".repeat(32), ..Signature::of("nobody") }),
            invalid,
        ),
        ("another key's name", sent(Signature { key: "operator-signs".into(), ..venue() }), invalid),
        ("expired key", sent(Signature::of("expired-signs")), "expired_credentials"),
        ("stale", sent(Signature { timestamp: now() - 60_000, ..venue() }), "stale_timestamp"),
        ("of the future", sent(Signature { timestamp: now() + 60_000, ..venue() }), "stale_timestamp"),
        ("no number as time", sent(venue()).with("backstop-window", "soon"), invalid),
        ("without a time", without("backstop-timestamp"), invalid),
        ("without a signature", without("backstop-signature"), invalid),
        ("over another body", sent(venue().over(other)), invalid),
        ("over another target", sent(venue().over(elsewhere)), invalid),
        ("over another method", sent(venue().over(otherwise)), invalid),
        ("with another nonce", nonce, invalid),
    ]
}

/// What is wrong, all of it.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn look(&mut self, what: &str, reply: &Reply, wanted: (u16, &str)) {
        let found = (reply.status, reply.code());
        if found != (wanted.0, wanted.1.to_owned()) {
            self.0.push(format!("{what}: wanted {wanted:?}, got {found:?}"));
        }
    }
}

impl Drop for Findings {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

#[test]
fn every_operation_that_the_daemon_describes_has_a_row_in_this_table() {
    let daemon = Daemon::start();
    // Each listener describes what it serves.
    let described = [daemon.read("/openapi.json"), daemon.admin("/openapi.json").json()];
    let mut found = BTreeSet::new();
    let paths = described.iter().flat_map(|described| described["paths"].as_object().unwrap());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            found.insert(format!("{} {path}", method.to_uppercase()));
            let on_admin = operation["description"].as_str().unwrap().ends_with("On the admin listener.");
            let row = OPERATIONS.iter().find(|row| row.0.eq_ignore_ascii_case(method) && row.1 == path);
            if let Some(row) = row {
                assert_eq!(row.2 == ADMIN, on_admin, "{method} {path}");
                let secured = row.4 != For::All;
                assert_eq!(operation["security"] != Value::Null, secured, "{method} {path}: who may is described");
            }
        }
    }
    let listed: BTreeSet<String> = OPERATIONS.iter().map(|row| format!("{} {}", row.0, row.1)).collect();
    assert_eq!(found, listed, "left: the daemon, right: the table");
}

#[test]
fn every_caller_gets_from_every_operation_what_its_role_allows() {
    let (daemon, _ring) = keyed();
    let mut findings = Findings::default();
    for row in OPERATIONS.iter().chain(MORE) {
        for at in [At::Api, At::Admin] {
            for who in ["alice", "bob", "venue", "operator"] {
                for id in [who.to_owned(), format!("{who}-signs")] {
                    let reply = daemon.ask_as(&id, at, request(row));
                    findings.look(&format!("{} {} at {at:?} by {id}", row.0, row.3), &reply, answer(row, at, who));
                }
            }
        }
    }
}

#[test]
fn a_key_that_is_not_right_opens_nothing_and_nothing_of_its_request_is_applied() {
    let (daemon, _ring) = keyed();
    let before = daemon.keyed_hash();
    let mut findings = Findings::default();
    for row in OPERATIONS.iter().chain(MORE) {
        for at in [At::Api, At::Admin] {
            for (what, ask, code) in wrong(&request(row)) {
                let reply = daemon.ask(at, &ask);
                findings.look(&format!("{} {} at {at:?}, {what}", row.0, row.3), &reply, refused(row, at, code));
                if reply.status == 401 {
                    let ways = reply.header("www-authenticate");
                    assert!(ways.contains("Bearer") && ways.contains("Backstop-Signature"), "{reply:?}");
                }
            }
        }
    }
    drop(findings);
    assert_eq!(daemon.keyed_hash(), before);
}

#[test]
fn a_signed_request_is_taken_once_wherever_it_is_sent() {
    let (daemon, _ring) = keyed();
    let mut findings = Findings::default();
    let restricted = OPERATIONS.iter().filter(|row| row.4 != For::All);
    for row in restricted {
        let at = row.2[0];
        let id = if row.4 == For::Operators { "operator-signs" } else { "venue-signs" };
        let ask = request(row).from(id);
        let what = format!("{} {}", row.0, row.3);
        findings.look(&what, &daemon.ask(at, &ask), granted(row));
        let after = daemon.keyed_hash();
        for at in row.2 {
            findings.look(&format!("{what} again at {at:?}"), &daemon.ask(*at, &ask), (401, "replayed"));
        }
        assert_eq!(daemon.keyed_hash(), after, "{what}");
    }
}

#[test]
fn a_request_may_ask_for_a_shorter_window_but_not_for_a_longer_one() {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file("[auth]\nwindow_ms = 60000\n"));
    let status = || Ask::get("/v1/status");
    let signed = |timestamp, window| status().signed(&Signature { timestamp, window, ..Signature::of("venue-signs") });
    for window in [None, Some(0), Some(5_000), Some(60_000), Some(u64::MAX)] {
        let reply = daemon.ask(At::Api, &signed(now() + AHEAD_MS, window));
        assert_eq!(reply.status, 200, "{window:?}: {reply:?}");
    }
    for (age, window) in [(1_000, Some(10)), (61_000, None), (61_000, Some(u64::MAX)), (61_000, Some(3_600_000))] {
        daemon.ask(At::Api, &signed(now() - age, window)).is_problem(401, "stale_timestamp");
    }
    // What could have been taken by a daemon before this one is not taken by this one.
    daemon.ask(At::Api, &signed(now() - 30_000, None)).is_problem(401, "stale_timestamp");
}

#[test]
fn a_signature_covers_the_query_as_it_is_sent() {
    let (daemon, _ring) = keyed();
    let path = "/v1/accounts/alice?wait_for=1";
    assert_eq!(daemon.ask_as("alice-signs", At::Api, Ask::get(path)).status, 200);
    let other = Ask::get("/v1/accounts/alice?wait_for=2");
    let swapped = Ask { target: path.to_owned(), ..other.from("alice-signs") };
    daemon.ask(At::Api, &swapped).is_problem(401, "invalid_credentials");
    // Another way to write the same path is another text.
    let written =
        Ask { target: "/v1/accounts/%61lice".to_owned(), ..Ask::get("/v1/accounts/alice").from("alice-signs") };
    daemon.ask(At::Api, &written).is_problem(401, "invalid_credentials");
    assert_eq!(daemon.ask_as("alice-signs", At::Api, Ask::get("/v1/accounts/%61lice")).status, 200);
    daemon.ask_as("alice-signs", At::Api, Ask::get("/v1/accounts/%62ob")).is_problem(403, "forbidden");
}
