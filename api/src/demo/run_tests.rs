//! The whole demo against a stand-in for the daemon that reads every command as the engine would and answers with a
//! fund, no liquidations and no ADL.

use super::*;
use backstop_engine::command::{Command, Envelope};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the stand-in has been told.
#[derive(Default)]
struct Seen {
    commands: BTreeMap<&'static str, u64>,
    time: u64,
    positions: BTreeMap<String, Decimal>,
}

impl Seen {
    fn command(&mut self, line: &str) {
        let envelope = Envelope::read(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let time = envelope.time.unwrap();
        assert!(time >= self.time, "time runs backwards: {line}");
        self.time = time;
        *self.commands.entry(envelope.command.kind()).or_default() += 1;
        if let Command::Fill(fill) = envelope.command {
            assert_ne!(fill.buyer, fill.seller, "{line}");
            *self.positions.entry(fill.market.to_string()).or_default() += fill.quantity.get();
        }
    }

    fn answer(&mut self, request: &str, body: &str) -> String {
        let path = request.split(' ').nth(1).unwrap();
        match path.split('?').next().unwrap() {
            "/v1/commands" => {
                body.lines().for_each(|line| self.command(line));
                body.lines().map(|_| "{\"seq\":1,\"time\":1}\n").collect()
            }
            "/v1/fund/USDT" => {
                r#"{"asset":"USDT","balance":"100","reserved":"0","liability":"0","pools":[]}"#.to_owned()
            }
            "/v1/fund/USDT/ledger" => {
                r#"{"items":[{"time":1,"reason":"seed_capital","amount":"100"}],"next":null,"seq":1}"#.to_owned()
            }
            "/v1/liquidations" | "/v1/adl" => r#"{"items":[],"next":null,"seq":1}"#.to_owned(),
            "/v1/conservation" => {
                r#"{"seq":1,"assets":[{"asset":"USDT","error":"0"}],"markets":[{"market":"X","error":"0"}]}"#.to_owned()
            }
            "/v1/status" => {
                r#"{"state_hash":"ab","tick_seconds":{"count":3,"p50":0.001,"p99":0.002,"max":0.5}}"#.to_owned()
            }
            "/readyz" => String::new(),
            other => panic!("nothing at {other}"),
        }
    }
}

fn converse(stream: TcpStream, seen: &Mutex<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    stream.set_nodelay(true).unwrap();
    loop {
        let (mut request, mut length) = (String::new(), 0);
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let answer = seen.lock().unwrap().answer(&request, std::str::from_utf8(&body).unwrap());
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).unwrap();
    }
}

fn stand_in() -> (String, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || converse(stream.unwrap(), &shared));
        }
    });
    (url, seen)
}

#[test]
fn the_crash_is_played_in_commands_the_engine_reads_and_reported() {
    let (url, seen) = stand_in();
    let options = Options { accounts: 400, format: Format::Json, ..Options::default() };
    let (mut out, mut progress) = (Vec::new(), Vec::new());
    run(&options, &url, &url, &mut out, &mut progress).unwrap();
    let seen = seen.lock().unwrap();
    let count = |kind: &str| seen.commands.get(kind).copied().unwrap_or(0);
    assert_eq!((count("list_asset"), count("list_market"), count("fund_credit")), (1, 10, 1));
    assert!((390..=400).contains(&count("deposit")), "{:?}", seen.commands);
    assert_eq!((count("tick"), count("price")), (1_201, 1_201 * 20), "one before the fall");
    assert!(count("set_leverage") > 50 && count("set_margin_mode") > 10 && count("set_position_mode") > 10);
    assert_eq!(seen.positions.len(), 10);
    let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(report["state_hash"], "ab");
    assert_eq!(report["assets"][0]["before"], "100");
    assert_eq!(report["timing"]["tick_max_ms"], 500.0);
    assert_eq!(report["refused"], serde_json::json!([]));
    let progress = String::from_utf8(progress).unwrap();
    assert!(progress.contains("BTCUSDT") && progress.contains("100 %"), "{progress}");
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_is_sent() {
    for (options, wanted) in [
        (Options { accounts: 3, ..Options::default() }, "accounts 3 are too few, at least 100"),
        (
            Options { fund: Decimal::TWO, ..Options::default() },
            "fund 2 is not a fraction of the open interest between 0 and 1",
        ),
        (Options { tick_ms: Some(0), ..Options::default() }, "the tick needs at least 1 ms"),
    ] {
        let error = run(&options, "http://127.0.0.1:1", "http://127.0.0.1:1", &mut Vec::new(), &mut Vec::new());
        assert_eq!(error.unwrap_err().to_string(), wanted);
    }
}

/// With `BACKSTOP_DATA`, days of candle files are played too.
#[test]
fn other_days_are_played_from_candle_files() {
    let Some(folder) = std::env::var_os("BACKSTOP_DATA").map(PathBuf::from) else { return };
    for file in [
        "bitmex_xbtusd_1m/bitmex_xbtusd_1m_2020-03-10_14.csv.gz",
        "crash_2021_05_19_binance_spot_1m/binance_spot_usdt_1m_2021-05-17_20.csv.gz",
    ] {
        let options = Options { prices: vec![folder.join(file)], accounts: 2_000, ..Options::default() };
        let tape = read_tape(&options).unwrap();
        let grid = Grid::new(&tape, None, options.order);
        let listing = Listing::new(&tape, options.accounts);
        let population = Population::new(&listing, options.accounts, 1);
        let script = Script::new(&tape, &grid, &listing, &population, options.fund);
        assert_eq!((grid.ticks(), grid.step_ms), (28 * 60 * 4, 15_000));
        assert!(script.seeds.iter().all(|seed| *seed > Decimal::ZERO));
        assert!(population.interest.iter().all(|quantity| *quantity > Decimal::ZERO));
    }
}
