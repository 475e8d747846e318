//! Without keys: everything for this machine, public reads for everybody else, and nothing for a page of another site.

use crate::common::{Ask, At, Daemon, Reply, Scratch};
use crate::crash;

const PUBLIC: [&str; 9] = [
    "/",
    "/openapi.json",
    "/problems",
    "/v1/markets",
    "/v1/markets/BTC-USDT/mark",
    "/v1/fund/USDT",
    "/v1/fund/USDT/ledger",
    "/v1/liquidations",
    "/v1/conservation",
];

#[test]
fn this_machine_may_do_anything_and_the_log_says_so() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    for path in PUBLIC.iter().chain(&["/v1/accounts/alice", "/v1/status", "/v1/conservation?audit=true"]) {
        assert_eq!(daemon.get(path).status, 200, "{path}");
    }
    assert_eq!(daemon.admin_post("/snapshot").status, 200);
    let log = daemon.logged("NO KEYS ARE CONFIGURED", 2);
    assert!(log.contains("WARN") && log.contains("may do anything"), "{log}");
}

#[test]
fn with_keys_the_log_does_not_warn_of_none() {
    let ring = crate::keys::Ring::new();
    let daemon = Daemon::configured(&ring.file(""));
    let (_, log) = daemon.end_by("TERM");
    assert!(!log.contains("NO KEYS"), "{log}");
}

#[test]
fn an_address_that_others_reach_serves_public_reads_only() {
    // What is there was put there while only this machine could.
    let data = Scratch::absent("data");
    let near = Daemon::over(&data, &["--mark-interval-ms", "0"]);
    near.apply(crash::OPENED);
    near.end_by("TERM");
    let file = format!("listen = \"0.0.0.0:0\"\nadmin = \"0.0.0.0:0\"\ndata_dir = \"{}\"\n", data.path());
    let daemon = Daemon::configured(&Scratch::new("config.toml", file));
    for path in PUBLIC {
        assert_eq!(daemon.get(path).status, 200, "{path}");
        // By whatever name: the record is public.
        assert_eq!(daemon.ask(At::Api, &Ask::get(path).with("host", "venue.example")).status, 200, "{path}");
    }
    let seq = daemon.read("/v1/markets")["seq"].clone();
    let refused = |at, ask: Ask| daemon.ask(at, &ask).is_problem(403, "keys_required");
    for path in ["/v1/accounts/alice", "/v1/accounts/alice/positions", "/v1/status", "/v1/conservation?audit=true"] {
        refused(At::Api, Ask::get(path));
        // A token of nobody is no key.
        refused(At::Api, Ask::get(path).with("authorization", "Bearer x"));
    }
    for at in [At::Api, At::Admin] {
        refused(at, Ask::commands(r#"{"type":"tick"}"#));
    }
    refused(At::Admin, Ask::get("/snapshot").by("POST"));
    assert_eq!(daemon.admin("/healthz").status, 200);
    assert_eq!(daemon.read("/v1/markets")["seq"], seq, "nothing was applied");
    let log = daemon.logged("serves public reads only", 2);
    assert!(log.contains("NO KEYS ARE CONFIGURED"), "{log}");
}

/// A request with these lines for a host.
fn named(daemon: &Daemon, target: &str, hosts: &[&str]) -> String {
    let lines: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
    daemon.raw(format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").as_bytes())
}

#[test]
fn a_name_that_is_not_of_this_machine_is_misdirected() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let port = daemon.api.rsplit_once(':').unwrap().1;
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "127.8.9.10"] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            assert!(named(&daemon, "/v1/status", &[&host]).starts_with("HTTP/1.1 200 "), "{host}");
        }
    }
    let foreign = [
        "venue.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "10.0.0.1",
        "[::2]",
        "0.0.0.0",
        "localhost.",
        "",
        "127.0.0.1@evil.example",
    ];
    for host in foreign {
        let answer = named(&daemon, "/v1/status", &[host]);
        assert!(answer.starts_with("HTTP/1.1 421 ") || answer.starts_with("HTTP/1.1 400 "), "{host:?}: {answer}");
        assert!(!answer.contains("state_hash"), "{host:?}: {answer}");
        let page = named(&daemon, "/v1/markets", &[host]);
        assert!(page.starts_with("HTTP/1.1 200 ") || page.starts_with("HTTP/1.1 400 "), "public for all: {page}");
    }
    for host in ["venue.example", "localhost.evil.example", "10.0.0.1"] {
        let misdirected = |reply: Reply| reply.is_problem(421, "misdirected");
        for path in ["/v1/accounts/alice", "/v1/status"] {
            misdirected(daemon.ask(At::Api, &Ask::get(path).with("host", host)));
        }
        // A public read goes on, but for what costs as much as there are accounts.
        let audit = Ask::get("/v1/conservation?audit=true").with("host", host);
        daemon.ask(At::Api, &audit).is_problem(403, "keys_required");
        for at in [At::Api, At::Admin] {
            misdirected(daemon.ask(at, &Ask::commands(r#"{"type":"tick"}"#).with("host", host)));
        }
        misdirected(daemon.ask(At::Admin, &Ask::get("/snapshot").by("POST").with("host", host)));
    }
}

#[test]
fn a_request_without_a_name_or_with_two_opens_nothing() {
    let daemon = Daemon::start();
    for hosts in [&[][..], &["localhost", "venue.example"], &["venue.example", "localhost"]] {
        let answer = named(&daemon, "/v1/status", hosts);
        assert!(!answer.starts_with("HTTP/1.1 200 ") || !hosts.contains(&"venue.example"), "{hosts:?}: {answer}");
    }
    // A whole address in the first line goes before the header.
    let answer = named(&daemon, "http://venue.example/v1/status", &["venue.example"]);
    assert!(!answer.contains("state_hash"), "{answer}");
}

#[test]
fn with_keys_the_name_does_not_matter() {
    let ring = crate::keys::Ring::new();
    let daemon = Daemon::configured(&ring.file(""));
    let reply = daemon.ask_as("venue", At::Api, Ask::get("/v1/status").with("host", "venue.example"));
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn a_page_of_another_site_does_nothing_by_a_name_that_is_right() {
    // What a browser sends of such a page bears its origin, and no other trace of it.
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    let before = daemon.state_hash();
    for origin in ["https://evil.example", "http://127.0.0.1.evil.example:8080", "null", "http://10.0.0.1"] {
        for (at, ask) in [
            (At::Admin, Ask::get("/snapshot").by("POST")),
            (At::Api, Ask::commands(r#"{"type":"tick"}"#)),
            (At::Api, Ask::get("/v1/accounts/alice")),
        ] {
            let reply = daemon.ask(at, &ask.with("origin", origin));
            assert!(matches!(reply.status, 403 | 421), "{origin}: {reply:?}");
        }
    }
    assert_eq!(daemon.state_hash(), before);
    // The page that tries the API is of this machine.
    let own = format!("http://{}", daemon.api);
    assert_eq!(daemon.ask(At::Api, &Ask::commands(r#"{"type":"tick"}"#).with("origin", own)).status, 200);
}
