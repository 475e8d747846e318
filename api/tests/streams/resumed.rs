//! A client that is cut off a thousand times, and a daemon that is killed: nothing is missed and nothing comes twice.

use crate::common::{Daemon, Scratch};
use crate::crash;
use crate::topics::KEPT;
use crate::ws::{Collected, Heard, Ws};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the seed is: every run is the same market.
const SEED: u64 = 20_251_010;
/// How often the client is cut off.
const CUTS: usize = 1_000;

/// Small numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A market that falls and rises under accounts with too much leverage.
struct Load {
    dice: Dice,
    price: u64,
    rounds: u64,
}

impl Load {
    fn new() -> Self {
        Self { dice: Dice(SEED), price: 50_000, rounds: 0 }
    }

    /// The next commands, some of which may be refused.
    fn next(&mut self) -> String {
        let mut lines = Vec::new();
        let price = self.price.to_string();
        for trade in 0..4 {
            let (buyer, seller) = (self.dice.below(6), 6 + self.dice.below(6));
            for account in [buyer, seller] {
                let account = format!("trader-{account}");
                lines.push(json!({"type": "deposit", "account": account, "asset": "USDT", "amount": "700"}));
            }
            lines.push(json!({"type": "fill", "market": "BTC-USDT", "price": price, "quantity": "0.1",
                "buyer": format!("trader-{buyer}"), "seller": format!("trader-{seller}"),
                "trade": format!("load-{}-{trade}", self.rounds)}));
        }
        // Down by a third, and up again.
        self.rounds += 1;
        let step = self.price * (20 + self.dice.below(30)) / 1_000;
        self.price = if (self.rounds / 10).is_multiple_of(2) { self.price - step } else { self.price + step };
        let price = self.price.to_string();
        lines.extend(
            ["a", "b", "c"]
                .map(|source| json!({"type": "price", "market": "BTC-USDT", "source": source, "price": price})),
        );
        lines.push(json!({"type": "tick"}));
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// The topics of this test: those that are kept, and an account of the load.
fn followed() -> Vec<&'static str> {
    KEPT.iter().copied().chain(["account:trader-3"]).collect()
}

/// Opens a stream that goes on where the client is, topic by topic: one by the query, the others by message.
fn resumed(daemon: &Daemon, found: &Collected, dice: &mut Dice) -> Ws {
    let topics = followed();
    let by_query = dice.below(topics.len() as u64);
    let first = topics[usize::try_from(by_query).unwrap()];
    let mut stream = Ws::open(daemon, &format!("?topics={first}&resume_from={}", found.last(first)));
    for topic in topics {
        if topic != first {
            stream.subscribe(&[topic], Some(found.last(topic)));
        }
    }
    stream
}

#[test]
fn a_client_cut_off_a_thousand_times_has_every_event_once_and_in_order() {
    let daemon = Daemon::with(&["--mark-interval-ms", "0", "--shards", "2"]);
    daemon.apply(crash::OPENED);
    let over = AtomicBool::new(false);
    let mut found = Collected::default();
    let seq = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut load, mut last) = (Load::new(), 0);
            while !over.load(Ordering::Acquire) {
                let answers = daemon.send(&load.next());
                last = answers.last().unwrap()["seq"].as_u64().unwrap();
            }
            last
        });
        let mut dice = Dice(SEED);
        for _ in 0..CUTS {
            let mut stream = resumed(&daemon, &found, &mut dice);
            // So many messages, or as many as come at once; then the connection is gone without a word.
            stream.hurry(Duration::from_millis(5));
            for _ in 0..dice.below(80) {
                match stream.next() {
                    Heard::Said(message) => found.take(&message),
                    Heard::Nothing => break,
                    Heard::Closed(code, reason) => panic!("closed: {code} {reason}"),
                }
            }
        }
        over.store(true, Ordering::Release);
        load.join().unwrap()
    });
    daemon.read(&format!("/v1/markets?wait_for={seq}"));
    let mut dice = Dice(SEED);
    let last = resumed(&daemon, &found, &mut dice).so_far();
    last.iter().for_each(|message| found.take(message));
    let whole = Collected::all(&mut Ws::open(&daemon, ""), &followed());
    for topic in followed() {
        let (got, wanted) = (found.0.get(topic), whole.0.get(topic));
        assert_eq!(got.map(Vec::len), wanted.map(Vec::len), "{topic}");
        assert!(got == wanted, "{topic}");
    }
    as_the_reads_show(&daemon, &whole);
    for (topic, least) in [("fund", 50), ("ledger", 20), ("liquidations", 50), ("orders", 20), ("account:trader-3", 1)]
    {
        assert!(whole.of(topic).len() >= least, "{topic}: {}", whole.of(topic).len());
    }
    assert_eq!(daemon.read("/v1/conservation?audit=true")["holds"], true);
}

/// Every item of a list.
fn listed(daemon: &Daemon, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = daemon.read(&format!("{path}?limit=1000{cursor}"));
        items.extend_from_slice(page["items"].as_array().unwrap());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// The streams and the reads tell the same.
#[track_caller]
fn as_the_reads_show(daemon: &Daemon, whole: &Collected) {
    assert!(whole.of("adl") == listed(daemon, "/v1/adl"), "the tape of deleveraging");
    let mut ledger = [listed(daemon, "/v1/fund/USDT/ledger"), listed(daemon, "/v1/fund/BTC/ledger")].concat();
    ledger.sort_by_key(|entry| entry["seq"].as_u64());
    assert!(whole.of("ledger") == ledger, "the ledger");
    let told: Vec<Value> = whole
        .of("liquidations")
        .into_iter()
        .filter(|event| event["type"] == "liquidation_started")
        .map(|event| event["liquidation"].clone())
        .collect();
    let taped: Vec<Value> =
        listed(daemon, "/v1/liquidations").iter().map(|liquidation| liquidation["liquidation"].clone()).collect();
    assert_eq!(told, taped, "the tape of liquidations");
}

#[test]
fn a_client_goes_on_over_kills_of_the_daemon() {
    let data = Scratch::absent("resumed");
    let flags = ["--mark-interval-ms", "0"];
    let mut daemon = Daemon::over(&data, &flags);
    daemon.apply(crash::OPENED);
    let (mut load, mut dice, mut found) = (Load::new(), Dice(SEED), Collected::default());
    for round in 0..5 {
        let mut stream = resumed(&daemon, &found, &mut dice);
        for _ in 0..6 {
            let answers = daemon.send(&load.next());
            let seq = answers.last().unwrap()["seq"].as_u64().unwrap();
            daemon.read(&format!("/v1/markets?wait_for={seq}"));
            // Some of it: the kill comes when it comes.
            stream.hurry(Duration::from_millis(5));
            for _ in 0..dice.below(40) {
                match stream.next() {
                    Heard::Said(message) => found.take(&message),
                    _ => break,
                }
            }
        }
        daemon.end_by(if round % 2 == 0 { "KILL" } else { "TERM" });
        // What had been on its way is read, or lost with the connection.
        stream.hurry(Duration::from_millis(200));
        while let Heard::Said(message) = stream.next() {
            found.take(&message);
        }
        daemon = Daemon::over(&data, &flags);
    }
    resumed(&daemon, &found, &mut dice).so_far().iter().for_each(|message| found.take(message));
    let whole = Collected::all(&mut Ws::open(&daemon, ""), &followed());
    for topic in followed() {
        assert!(found.0.get(topic) == whole.0.get(topic), "{topic}");
    }
    as_the_reads_show(&daemon, &whole);
    assert!(whole.of("liquidations").len() > 10);
}
