//! Every problem there is: its page, its status, and a request that meets it, or why no request from outside can.

use crate::common::{Ask, At, Daemon, Reply, Scratch};
use crate::crash;
use crate::keys::{Ring, Signature, now};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

/// Problems that no request can provoke, and why.
const OUT_OF_REACH: &[(&str, &str)] = &[
    ("internal", "it stands for a mistake of the daemon"),
    ("history_failed", "the file of the history would have to fail under a running daemon"),
    ("proof_failed", "a day would have to end while its folder fails"),
    ("not_kept", "only the demo runs without a data directory, and it serves when it has ended its play"),
    ("halted", "the journal would have to fail under a running daemon: see the tests of durability"),
    ("starting", "it lasts as long as a replay"),
];

/// A market without a price.
const UNPRICED: &str = r#"{"type":"list_market","market":"XRP-USDT","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.005"}]}"#;

/// What is asked of which daemon.
struct Met {
    daemons: Daemons,
    met: BTreeMap<String, u16>,
}

struct Daemons {
    /// Without keys, with short patience.
    open: Daemon,
    /// With keys.
    keyed: Daemon,
    _ring: Ring,
}

fn daemons() -> Daemons {
    let lines = "[limits]\nbody_ms = 100\nwait_ms = 20\n[stream]\nconnections = 1\n";
    let ring = Ring::new();
    let open = Daemon::configured(&Scratch::new("config.toml", lines));
    let keyed = Daemon::configured(&ring.file(""));
    open.apply(crash::OPENED);
    open.apply(UNPRICED);
    Daemons { open, keyed, _ring: ring }
}

impl Met {
    #[track_caller]
    fn meets(&mut self, status: u16, code: &str, reply: &Reply) {
        reply.is_problem(status, code);
        self.met.insert(code.to_owned(), status);
    }

    /// A problem that a connection meets.
    #[track_caller]
    fn is_told(&mut self, status: u16, code: &str, answer: &str) {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
        self.met.insert(code.to_owned(), status);
    }
}

fn of_parameters(met: &mut Met) {
    let get = |path: &str| met.daemons.open.get(path);
    let found = [
        (400, "invalid_value", get("/v1/adl?limit=many")),
        (400, "out_of_range", get("/v1/adl?limit=0")),
        (400, "unknown_parameter", get("/v1/adl?colour=red")),
        (400, "duplicate_parameter", get("/v1/adl?limit=1&limit=1")),
        (404, "unknown_path", get("/nowhere")),
        (404, "unknown_account", get("/v1/accounts/nobody")),
        (404, "unknown_market", get("/v1/markets/nowhere/mark")),
        (404, "unknown_asset", get("/v1/fund/EUR")),
        (404, "unknown_receipt", get("/v1/receipts/adl-99")),
        (404, "unknown_day", get("/v1/reports/USDT/1999-01-01")),
        (404, "no_mark", get("/v1/markets/XRP-USDT/warning")),
        (404, "unknown_problem", get("/problems/nothing")),
        (503, "not_reached", get("/v1/adl?wait_for=99999")),
        (405, "method_not_allowed", met.daemons.open.request("DELETE", "/v1/adl")),
    ];
    for (status, code, reply) in found {
        met.meets(status, code, &reply);
    }
}

fn of_bodies(met: &mut Met) {
    let open = &met.daemons.open;
    let post = |kind, body: &str| open.post(kind, body);
    let found = [
        (400, "malformed", post("application/json", "{")),
        (415, "unsupported_media_type", post("text/plain", "{}")),
        (413, "too_large", post("application/x-ndjson", &"{}\n".repeat(32_769))),
        (421, "misdirected", open.ask(At::Api, &Ask::get("/v1/status").with("host", "evil.example"))),
    ];
    let head =
        "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n";
    let late = open.raw(format!("{head}Content-Length: 9\r\n\r\n{{").as_bytes());
    for (status, code, reply) in found {
        met.meets(status, code, &reply);
    }
    met.is_told(408, "timeout", &late);
}

fn of_keys(met: &mut Met) {
    let keyed = &met.daemons.keyed;
    let ask = || Ask::get("/v1/status");
    let stale = Signature { timestamp: now() - 60_000, ..Signature::of("venue-signs") };
    let once = ask().from("venue-signs");
    assert_eq!(keyed.ask(At::Api, &once).status, 200);
    let list = Ask::commands(r#"{"type":"list_asset","asset":"USDT","scale":6}"#);
    let found = [
        (401, "missing_credentials", keyed.ask(At::Api, &ask())),
        (401, "invalid_credentials", keyed.ask_as("nobody", At::Api, ask())),
        (401, "expired_credentials", keyed.ask_as("expired", At::Api, ask())),
        (401, "stale_timestamp", keyed.ask(At::Api, &ask().signed(&stale))),
        (401, "replayed", keyed.ask(At::Api, &once)),
        (403, "forbidden", keyed.ask_as("alice", At::Api, ask())),
        (403, "operator_listener", keyed.ask_as("operator", At::Api, list)),
    ];
    for (status, code, reply) in found {
        met.meets(status, code, &reply);
    }
    let wide = Daemon::configured(&Scratch::new("config.toml", "listen = \"0.0.0.0:0\"\n"));
    met.meets(403, "keys_required", &wide.get("/v1/status"));
}

fn of_load(met: &mut Met) {
    let limited = Daemon::configured(&Scratch::new(
        "config.toml",
        "[limits]\naddress_per_second = 1\naddress_burst = 1\nloopback = true\n",
    ));
    let reply = (0..10_000).map(|_| limited.get("/v1/markets")).find(|reply| reply.status != 200).unwrap();
    met.meets(429, "rate_limited", &reply);

    let upgrade = "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut first = met.daemons.open.connect();
    first.write_all(upgrade.as_bytes()).unwrap();
    let mut begun = [0; 12];
    first.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 101");
    let second = met.daemons.open.ask(At::Api, &Ask::get("/v1/stream"));
    met.meets(429, "too_many_streams", &second);
    drop(first);

    // The room for bodies, twice over: see `limits` for what is turned away.
    let daemon = Daemon::start();
    let body = vec![b' '; (16 << 20) - 1];
    let head =
        "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n";
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = daemon.connect();
        write!(stream, "{head}Content-Length: {}\r\n\r\n", 16 << 20).unwrap();
        stream.write_all(&body).unwrap();
        held.push(stream);
    }
    let end = |mut stream: std::net::TcpStream| {
        let mut answer = String::new();
        stream.write_all(b" ").unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answers: Vec<String> = held.into_iter().map(end).collect();
    let refused = answers.iter().find(|answer| answer.starts_with("HTTP/1.1 503")).unwrap();
    met.is_told(503, "overloaded", refused);
}

fn of_the_disk(met: &mut Met) {
    let full = Daemon::with(&["--mark-interval-ms", "0", "--min-free-mb", "1000000000"]);
    let reply = full.post("application/x-ndjson", r#"{"type":"tick"}"#);
    met.meets(507, "storage_full", &reply);
    assert!(!reply.header("retry-after").is_empty(), "{reply:?}");
    assert_eq!(full.get("/v1/markets").status, 200, "reads go on");

    let data = Scratch::absent("data");
    let daemon = Daemon::over(&data, &["--mark-interval-ms", "0"]);
    daemon.apply(crash::OPENED);
    // A file where the folder of snapshots was.
    let folder = data.0.join("snapshots");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::write(&folder, "").unwrap();
    met.meets(500, "snapshot_failed", &daemon.admin_post("/snapshot"));
    assert_eq!(daemon.get("/v1/status").status, 200, "everything else goes on");
}

fn of_the_end(met: &mut Met) {
    let daemon = Daemon::start();
    let mut stream = daemon.connect();
    let body = r#"{"type":"tick"}"#;
    let head =
        "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{{", body.len()).unwrap();
    // The daemon has begun with it for sure once it has answered what came later.
    assert_eq!(daemon.get("/v1/status").status, 200);
    daemon.signal("TERM");
    daemon.logged("stopping", 1);
    stream.write_all(&body.as_bytes()[1..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    met.is_told(503, "shutting_down", &answer);
}

/// The codes of the page of all problems, with their status; none for those of commands.
fn listed(page: &str) -> BTreeMap<String, Option<u16>> {
    let rows = page.split("<tr><td><a href=\"/problems/").skip(1);
    let read = |row: &str| {
        let code = row.split('"').next().unwrap().to_owned();
        let status = row.split("<td>").nth(1).unwrap().parse().ok();
        (code, status)
    };
    rows.map(read).collect()
}

#[test]
fn every_problem_of_a_request_is_met_here_with_its_status_or_out_of_reach_for_a_reason() {
    let mut met = Met { daemons: daemons(), met: BTreeMap::new() };
    for part in [of_parameters, of_bodies, of_keys, of_load, of_the_disk, of_the_end] {
        part(&mut met);
    }
    let page = met.daemons.open.get("/problems");
    let listed = listed(&page.body);
    let of_requests: BTreeMap<&String, u16> =
        listed.iter().filter_map(|(code, status)| Some((code, (*status)?))).collect();
    for (code, status) in &met.met {
        assert_eq!(of_requests.get(code), Some(status), "{code}");
    }
    let known: BTreeSet<&str> =
        met.met.keys().map(String::as_str).chain(OUT_OF_REACH.iter().map(|(code, _)| *code)).collect();
    let all: BTreeSet<&str> = of_requests.keys().map(|code| code.as_str()).collect();
    assert_eq!(known, all, "left: this file, right: the daemon");
}

#[test]
fn every_problem_has_a_page_that_says_what_it_means_and_what_to_do() {
    let daemon = Daemon::start();
    let list = daemon.get("/problems");
    assert_eq!((list.status, list.kind.as_str()), (200, "text/html; charset=utf-8"));
    let listed = listed(&list.body);
    assert!(listed.len() > 60, "those of commands too: {listed:?}");
    for (code, status) in &listed {
        let page = daemon.get(&format!("/problems/{code}"));
        assert_eq!((page.status, page.kind.as_str()), (200, "text/html; charset=utf-8"), "{code}");
        for said in ["Means: ", "What to do: ", code.as_str()] {
            assert!(page.body.contains(said), "{said} at {code}");
        }
        if let Some(status) = status {
            assert!((400..600).contains(status) && page.body.contains(&status.to_string()), "{code}");
        }
    }
    for code in ["nothing", "Forbidden", "forbidden%20"] {
        let reply = daemon.get(&format!("/problems/{code}"));
        assert!(reply.status == 404 || reply.status == 400, "{reply:?}");
    }
}

#[test]
fn what_a_command_is_refused_with_has_a_page_too() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let listed = listed(&daemon.get("/problems").body);
    let refused = [
        "hello",
        r#"{"type":"destroy"}"#,
        r#"{"type":"tick","x":1}"#,
        r#"{"type":"withdraw","account":"bob","asset":"USDT","amount":"9000000"}"#,
        r#"{"type":"veto_rules","change":"77"}"#,
        r#"{"type":"tick","producer":"feed","number":7}"#,
    ];
    for line in refused {
        let answer = daemon.send(line).remove(0);
        let code = answer["code"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(listed.contains_key(code), "{answer}");
    }
}
