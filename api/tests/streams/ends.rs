//! How a stream ends: by its client, by silence, by a reader that does not read, by too much, and with the daemon.

use crate::common::{Ask, Daemon, PATIENCE, Scratch};
use crate::crash;
use crate::ws::{Heard, Ws};
use serde_json::json;
use std::io::Read;
use std::time::{Duration, Instant};
use tungstenite::Message;

fn configured(lines: &str) -> Daemon {
    let daemon = Daemon::configured(&Scratch::new("config.toml", lines));
    daemon.apply(crash::OPENED);
    daemon
}

/// How many streams the daemon has cut for a reason.
fn cuts(daemon: &Daemon, reason: &str) -> u64 {
    let name = format!("backstop_stream_cuts_total{{reason=\"{reason}\"}} ");
    let metrics = daemon.admin("/metrics").body;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(name.as_str())?.parse().ok())
        .unwrap_or_else(|| panic!("{metrics}"))
}

/// How many streams are open.
fn open(daemon: &Daemon) -> u64 {
    let metrics = daemon.admin("/metrics").body;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix("backstop_streams ")?.parse().ok())
        .unwrap_or_else(|| panic!("{metrics}"))
}

#[test]
fn a_ping_is_answered_by_a_pong_of_the_same_bytes() {
    let daemon = configured("");
    let mut stream = Ws::open(&daemon, "");
    stream.send(Message::Ping(b"are you there"[..].into()));
    loop {
        match stream.message() {
            Message::Pong(bytes) => {
                assert_eq!(&bytes[..], b"are you there");
                break;
            }
            // The daemon's own question.
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    stream.say(&json!({"op": "ping"}));
    assert_eq!(stream.hear(), json!({"type": "pong"}));
}

#[test]
fn a_client_that_answers_no_ping_is_cut_and_one_that_does_is_not() {
    let daemon = configured("[stream]\nping_ms = 500\n");
    let (mut answers, mut silent) = (Ws::open(&daemon, ""), Ws::open(&daemon, ""));
    // A client that reads answers the pings by that alone.
    answers.hurry(Duration::from_millis(20));
    let said = std::thread::scope(|scope| {
        let silent = scope.spawn(move || {
            // Read as bytes, a ping is answered by nobody.
            let mut bytes = Vec::new();
            silent.connection().read_to_end(&mut bytes).unwrap();
            bytes
        });
        while !silent.is_finished() {
            assert!(matches!(answers.next(), Heard::Nothing));
        }
        silent.join().unwrap()
    });
    // The last frame closes it: 1008, and why.
    assert!(said.ends_with(b"\x03\xf0no_answer"), "{said:?}");
    answers.hurry(PATIENCE);
    assert!(answers.so_far().is_empty());
    assert_eq!(cuts(&daemon, "no_answer"), 1);
}

#[test]
fn a_client_that_goes_leaves_its_place() {
    let daemon = configured("");
    let streams: Vec<Ws> = (0..3).map(|_| Ws::open(&daemon, "?topics=marks")).collect();
    assert_eq!(open(&daemon), 3);
    let mut streams = streams.into_iter();
    // In good order, and without a word.
    let mut polite = streams.next().unwrap();
    polite.send(Message::Close(None));
    polite.closed();
    drop(streams);
    let began = Instant::now();
    while open(&daemon) > 0 {
        assert!(began.elapsed() < PATIENCE, "their places are not free");
    }
}

#[test]
fn a_message_that_is_too_large_or_no_message_ends_the_stream_with_a_reason() {
    let daemon = configured("");
    let mut large = Ws::open(&daemon, "");
    // The daemon may end it before all of it is sent.
    large.try_send(Message::text(format!("{{\"op\":\"subscribe\",\"topics\":[\"{}\"]}}", "x".repeat(1 << 20))));
    let (code, reason) = large.closed();
    assert!(matches!(code, 1002 | 1009 | 0), "{code} {reason}");
    // Bytes that are no frame.
    let mut broken = Ws::open(&daemon, "");
    std::io::Write::write_all(broken.connection(), &[0xff; 64]).unwrap();
    let (code, reason) = broken.closed();
    assert!(matches!(code, 1002 | 0), "{code} {reason}");
    let began = Instant::now();
    while cuts(&daemon, "malformed") < 2 {
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(daemon.get("/v1/markets").status, 200);
}

#[test]
fn a_client_that_asks_without_end_is_cut() {
    let daemon = configured("");
    let mut stream = Ws::open(&daemon, "");
    while stream.try_send(Message::text("{\"op\":\"ping\"}")) {
        if cuts(&daemon, "rate_limited") > 0 {
            break;
        }
    }
    assert_eq!(stream.closed(), (1008, "rate_limited".to_owned()));
}

#[test]
fn a_reader_that_does_not_read_is_cut_and_holds_nobody_up() {
    let daemon = configured("[stream]\nslow_ms = 100\n");
    let mut reads = Ws::open(&daemon, "?topics=liquidations");
    let mut stopped = Ws::open(&daemon, "?topics=marks,fund");
    let seen = stopped.so_far();
    assert_eq!(seen.len(), 2, "{seen:?}");
    // Marks without end, until what the system holds between the two is full.
    let price = |market: &str, source: &str, price: String| {
        format!("{}\n", json!({"type": "price", "market": market, "source": source, "price": price}))
    };
    let moved = |step: usize| {
        let of = |source| price("BTC-USDT", source, format!("49000.{step}"));
        format!(
            "{}{}{}{}{{\"type\":\"tick\"}}\n",
            of("a"),
            of("b"),
            of("c"),
            price("SOL-USDT", "a", format!("100.{step}"))
        )
    };
    let body: String = (0..100).map(|step| moved(step % 10)).collect();
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    while cuts(&daemon, "slow_reader") == 0 {
        let asked = Instant::now();
        daemon.apply(&body);
        longest = longest.max(asked.elapsed());
        assert!(began.elapsed() < PATIENCE, "it is never cut");
    }
    assert!(longest < Duration::from_secs(30), "commands were answered meanwhile: {longest:?}");
    // Whoever reads has lost nothing by it.
    assert!(reads.so_far().iter().all(|message| message["type"] != "error"));
    let began = Instant::now();
    while open(&daemon) > 1 {
        assert!(began.elapsed() < PATIENCE, "its place is not free");
    }
    let mut rest = Vec::new();
    let _ = stopped.connection().read_to_end(&mut rest);
    assert_eq!(daemon.read("/v1/conservation?audit=true")["holds"], true);
}

#[test]
fn a_daemon_that_stops_says_so_to_every_stream() {
    let daemon = configured("");
    let mut streams: Vec<Ws> = (0..5).map(|_| Ws::open(&daemon, "?topics=fund,account:alice")).collect();
    for stream in &mut streams {
        assert_eq!(stream.so_far().len(), 2);
    }
    let ended = std::thread::scope(|scope| {
        let ended = scope.spawn(|| daemon.end_by("TERM"));
        for stream in &mut streams {
            assert_eq!(stream.closed(), (1001, "shutting_down".to_owned()));
        }
        ended.join().unwrap()
    });
    assert_eq!(ended.0.code(), Some(0), "{}", ended.1);
}

#[test]
fn what_was_applied_before_the_end_is_told_before_it() {
    let daemon = configured("");
    let mut stream = Ws::open(&daemon, "?topics=liquidations");
    stream.so_far();
    daemon.apply(crash::FALLEN);
    let told = std::thread::scope(|scope| {
        scope.spawn(|| daemon.end_by("TERM"));
        let mut told = Vec::new();
        while let Heard::Said(message) = stream.next() {
            told.push(message);
        }
        told
    });
    // Alice and dave and frank: all of it was acknowledged, so all of it comes.
    let ended = told.iter().filter(|message| message["event"]["type"] == "liquidation_ended").count();
    assert_eq!(ended, 3, "{told:?}");
}

#[test]
fn a_stream_is_no_way_around_the_limits_of_requests() {
    let lines = "[limits]\naddress_per_second = 1\naddress_burst = 3\nloopback = true\n";
    let daemon = Daemon::configured(&Scratch::new("config.toml", lines));
    let began = Instant::now();
    loop {
        match Ws::ask(&daemon, &Ask::get("/v1/stream")) {
            Err((status, body)) => {
                assert!(status == 429 && body.contains("rate_limited"), "{status} {body}");
                break;
            }
            Ok(_) => assert!(began.elapsed() < PATIENCE, "as many as it likes"),
        }
    }
}
