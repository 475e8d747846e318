//! How much is taken: requests of an address and of a key, bodies, heads, connections.

use crate::common::{Ask, At, Daemon, PATIENCE, Reply, Scratch};
use crate::keys::Ring;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

fn configured(lines: &str) -> Daemon {
    Daemon::configured(&Scratch::new("config.toml", lines))
}

/// Asks until the answer is "later".
#[track_caller]
fn until_limited(mut ask: impl FnMut() -> Reply) -> Reply {
    let began = Instant::now();
    loop {
        let reply = ask();
        if reply.status == 429 {
            reply.is_problem(429, "rate_limited");
            let after: u64 = reply.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&after), "{reply:?}");
            return reply;
        }
        assert!(began.elapsed() < PATIENCE, "never too many: {reply:?}");
    }
}

/// Asks until the answer is no longer "later".
#[track_caller]
fn until_free(mut ask: impl FnMut() -> Reply) {
    let began = Instant::now();
    while ask().status == 429 {
        assert!(began.elapsed() < PATIENCE, "never free again");
    }
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let daemon = configured("[limits]\naddress_per_second = 1\naddress_burst = 3\nloopback = true\n");
    for _ in 0..3 {
        assert_eq!(daemon.get("/v1/markets").status, 200, "as many as may come at once");
    }
    until_limited(|| daemon.get("/v1/markets"));
    // Every path of either listener counts, those that are not there too.
    until_limited(|| daemon.get("/nowhere"));
    until_limited(|| daemon.post("application/x-ndjson", r#"{"type":"tick"}"#));
    until_limited(|| daemon.admin("/readyz"));
    until_free(|| daemon.get("/v1/markets"));
}

#[test]
fn this_machine_is_not_limited_unless_told_to() {
    let daemon = configured("[limits]\naddress_per_second = 1\naddress_burst = 1\n");
    for _ in 0..50 {
        assert_eq!(daemon.get("/v1/markets").status, 200);
    }
}

#[test]
fn nothing_is_limited_where_the_limit_is_0() {
    let daemon = configured(
        "[limits]\naddress_per_second = 0\naddress_burst = 0\nkey_per_second = 0\nkey_burst = 0\nloopback = true\n",
    );
    for _ in 0..50 {
        assert_eq!(daemon.get("/v1/markets").status, 200);
    }
}

/// A request from another address of this machine.
#[cfg(target_os = "linux")]
fn status_from(source: &str, daemon: &Daemon) -> String {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    let target: SocketAddr = daemon.api.parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&target.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /v1/markets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn each_address_has_its_own_measure() {
    let daemon = configured("[limits]\naddress_per_second = 1\naddress_burst = 2\nloopback = true\n");
    let began = Instant::now();
    while status_from("127.0.0.1", &daemon) != "429" {
        assert!(began.elapsed() < PATIENCE);
    }
    for _ in 0..2 {
        assert_eq!(status_from("127.0.0.2", &daemon), "200", "another address is another measure");
    }
}

#[test]
fn each_key_has_its_own_measure_however_it_is_shown() {
    let ring = Ring::new();
    let daemon = Daemon::configured(&ring.file("[limits]\nkey_per_second = 1\nkey_burst = 3\n"));
    let status = |id: &str| daemon.ask_as(id, At::Api, Ask::get("/v1/status"));
    for id in ["venue", "venue-signs"] {
        for _ in 0..3 {
            assert_eq!(status(id).status, 200, "{id}");
        }
        until_limited(|| status(id));
        // Commands too, and on either listener.
        until_limited(|| daemon.ask_as(id, At::Api, Ask::commands(r#"{"type":"tick"}"#)));
        until_limited(|| daemon.ask_as(id, At::Admin, Ask::commands(r#"{"type":"tick"}"#)));
    }
    assert_eq!(status("operator").status, 200, "another key is another measure");
    // What needs no key is not limited by one, and a key that is not right has no measure.
    for _ in 0..20 {
        assert_eq!(daemon.get("/v1/markets").status, 200);
        daemon.ask_as("nobody", At::Api, Ask::get("/v1/status")).is_problem(401, "invalid_credentials");
    }
    until_free(|| status("venue"));
}

const HEAD: &str = "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n";

/// Reads one answer's head, of a connection that may stay open.
fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_body_that_does_not_come_in_time_is_given_up() {
    let daemon = configured("[limits]\nbody_ms = 50\n");
    let before = daemon.state_hash();
    for announced in [
        "Content-Length: 1000\r\n\r\n{\"type\":\"tick\"}\n",
        "Transfer-Encoding: chunked\r\n\r\n10\r\n{\"type\":\"tick\"}\n\r\n",
    ] {
        let mut stream = daemon.connect();
        stream.write_all(format!("{HEAD}{announced}").as_bytes()).unwrap();
        let said = answer(&mut stream);
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(said.contains("nosniff"), "{said}");
    }
    assert_eq!(daemon.state_hash(), before, "nothing of it was taken");
    assert_eq!(daemon.post("application/x-ndjson", r#"{"type":"tick"}"#).status, 200);
}

#[test]
fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let daemon = configured("[limits]\nhead_ms = 1000\n");
    for begun in ["", "GET /v1/markets HTTP/1.1\r\nHost: localh"] {
        let mut stream = daemon.connect();
        stream.write_all(begun.as_bytes()).unwrap();
        let mut said = String::new();
        // Nothing more is sent: the daemon ends it.
        stream.read_to_string(&mut said).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    assert_eq!(daemon.get("/v1/markets").status, 200);
}

#[test]
fn more_connections_than_configured_wait_until_one_ends() {
    // Each of the two workers takes half of them.
    let daemon = configured("[limits]\nconnections = 2\nhead_ms = 3600000\n");
    let idle: Vec<TcpStream> = (0..2).map(|_| daemon.connect()).collect();
    // Idle connections count: this one waits for one of them.
    let mut waits = daemon.connect();
    waits.write_all(b"GET /v1/markets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    waits.set_nonblocking(true).unwrap();
    // The admin listener is another: the operator still sees what is going on.
    for _ in 0..20 {
        assert_eq!(daemon.admin("/readyz").status, 200);
        assert_eq!(waits.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    waits.set_nonblocking(false).unwrap();
    drop(idle);
    assert!(answer(&mut waits).starts_with("HTTP/1.1 200 "));
}

#[test]
fn more_bytes_of_commands_at_once_than_there_is_room_for_are_turned_away() {
    let daemon = Daemon::start();
    // Twice as much as there is room for, and of none the last byte: what the system holds in between is less than half.
    let body = vec![b' '; (16 << 20) - 1];
    let begin = |_| {
        let mut stream = daemon.connect();
        write!(stream, "{HEAD}Content-Length: {}\r\n\r\n", 16 << 20).unwrap();
        stream.write_all(&body).unwrap();
        stream
    };
    let held: Vec<TcpStream> = (0..8).map(begin).collect();
    let end = |mut stream: TcpStream| {
        stream.write_all(b" ").unwrap();
        answer(&mut stream).to_ascii_lowercase()
    };
    let answers: Vec<String> = held.into_iter().map(end).collect();
    let (refused, read): (Vec<&String>, Vec<&String>) =
        answers.iter().partition(|answer| answer.starts_with("http/1.1 503 "));
    assert!(!refused.is_empty(), "{answers:?}");
    assert!(refused.iter().all(|answer| answer.contains("\r\nretry-after: 1\r\n")), "{answers:?}");
    assert!(!read.is_empty() && read.iter().all(|answer| answer.starts_with("http/1.1 400 ")), "{answers:?}");
    // The room comes back.
    assert_eq!(daemon.post("application/x-ndjson", r#"{"type":"tick"}"#).status, 200);
}
