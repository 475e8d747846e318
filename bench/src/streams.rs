//! What streams cost the engine: its ticks and its answers while nobody reads, while many clients read, and while some of
//! them have stopped reading. Every client that reads must get every event of its topics once and in order, and those that
//! do not must be cut.

mod reader;

use crate::Failed;
use crate::daemon::{Daemon, Start};
use crate::durable::bring;
use crate::fall;
use crate::feeder::{Body, Feeder};
use crate::figures::{Figures, grouped};
use crate::scratch::Scratch;
use crate::seen::{self, Ticks};
use reader::{Client, Heard};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How many and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Streams {
    /// The daemon's binary.
    #[arg(long)]
    binary: PathBuf,
    /// Clients.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    readers: u16,
    /// How many of them stop reading, in the third measurement of each round.
    #[arg(long, default_value_t = 10)]
    slow: u16,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Rounds; each measures all three.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Accounts that each tick liquidates.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(4..=1_000))]
    accounts: u16,
    /// Milliseconds between two ticks.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=2_000))]
    every_ms: u64,
    /// Margin shards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    shards: u8,
    /// Where directories are made.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What everybody follows.
const TOPICS: [&str; 5] = ["fund", "liquidations", "adl", "orders", MARKS];
/// The topic that is not kept: whoever lags behind gets a new snapshot of it.
const MARKS: &str = "marks";
/// A reader that takes nothing for so long is cut.
const SLOW_MS: u64 = 1_000;
/// How often somebody asks how long a command takes.
const PROBE: Duration = Duration::from_millis(10);
/// Longest that a cut stream takes to end for a client that reads on.
const AWAKE: Duration = Duration::from_secs(10);

/// A little longer than the daemon tries to tell somebody who is cut why.
const FAREWELL: Duration = Duration::from_secs(2);

/// What was measured in all rounds, with so many clients of which so many stop reading.
struct Case {
    name: String,
    reading: usize,
    stopped: usize,
    /// p50, p99 and max in milliseconds: of a tick in the engine, of its answer, of the answer to another command.
    times: [[Figures; 3]; 3],
    ticks: Figures,
    events: Figures,
    told: Figures,
    memory: Figures,
}

impl Case {
    fn new(name: String, reading: usize, stopped: usize) -> Self {
        let (times, none) = (Default::default(), Figures::default);
        Self { name, reading, stopped, times, ticks: none(), events: none(), told: none(), memory: none() }
    }
}

/// What was cut and what was wrong, over all rounds.
#[derive(Default)]
struct Verdict {
    streams: u64,
    cut: u64,
    /// Of those that were cut: the daemon still held the connection afterwards.
    held: u64,
    anew: u64,
    /// How the streams of those that were cut ended for them, when they read on.
    ends: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

/// Prints the tables.
pub(crate) fn run(options: &Streams) -> Result<(), Failed> {
    let readers = usize::from(options.readers);
    let slow = usize::from(options.slow).min(readers);
    let mut cases = [
        Case::new("nobody".into(), 0, 0),
        Case::new(format!("{readers} reading"), readers, 0),
        Case::new(format!("{} reading, {slow} stopped", readers - slow), readers - slow, slow),
    ];
    let mut verdict = Verdict::default();
    for round in 1..=options.rounds {
        for case in &mut cases {
            let name = case.name.clone();
            measure(options, case, &mut verdict).map_err(|error| format!("round {round}, {name}: {error}"))?;
        }
        eprintln!("round {round} of {} is done", options.rounds);
    }
    print(options, &cases, &verdict);
    match verdict.wrong.len() {
        0 => Ok(()),
        count => Err(format!("{count} checks failed").into()),
    }
}

fn measure(options: &Streams, case: &mut Case, verdict: &mut Verdict) -> Result<(), Failed> {
    let scratch = Scratch::new(options.dir.as_deref(), "streams")?;
    let start = Start { shards: options.shards, ..Start::new(&options.binary, scratch.path()) };
    let daemon = Daemon::start(&start.under("BACKSTOP__STREAM__SLOW_MS", SLOW_MS))?;
    let asset = r#"{"type":"list_asset","asset":"USDT","scale":6}"#;
    let prober = r#"{"type":"deposit","account":"prober","asset":"USDT","amount":"1"}"#;
    bring(&daemon, [format!("{asset}\n{}{prober}\n", fall::setup())].into_iter())?;

    let (api, goal) = (daemon.api()?, OnceLock::new());
    let mut stopped = Vec::new();
    for place in 0..case.stopped {
        stopped.push(Client::narrow(api, &reader::topics(place))?);
    }
    let mut reading = Vec::new();
    for place in 0..case.reading {
        let topics = reader::topics(place);
        let mut client = Client::open(api, &topics, "")?;
        let begun = client.begin(topics.len())?;
        reading.push((client, begun));
    }
    let (heard, all, times) = std::thread::scope(|scope| -> Result<_, Failed> {
        let read = |(client, begun): (Client, Heard)| {
            let goal = &goal;
            scope.spawn(move || client.read(begun, goal))
        };
        let reading: Vec<_> = reading.into_iter().map(read).collect();
        let driven = drive(options, &daemon).and_then(|times| Ok((times, history(&daemon)?)));
        // Without a goal they are let go, so that this ends.
        let known = driven.as_ref().map(|(_, all)| all.goal()).unwrap_or_default();
        let _ = goal.set((Instant::now(), known));
        let joined: Result<Vec<_>, Failed> =
            reading.into_iter().map(|thread| thread.join().map_err(|_| "a reader panicked")?).collect();
        let (times, all) = driven?;
        Ok((joined?, all, times))
    })?;
    for (figures, times) in case.times.iter_mut().zip(times) {
        figures.iter_mut().zip(times).for_each(|(figures, time)| figures.push(time));
    }
    case.ticks.push(Ticks::of(&daemon)?.count as f64);
    let happened = all.topics.iter().filter(|(topic, _)| !topic.contains(':'));
    case.events.push(happened.map(|(_, chain)| chain.events.len() as f64).sum());
    case.memory.push(daemon.memory().map_or(f64::NAN, |(_, most)| most as f64 / 1e6));
    check(daemon, case, verdict, &heard, (&all, stopped))
}

/// Drives ticks for the time of a measurement. Milliseconds of a tick in the engine, of its answer, of another answer.
fn drive(options: &Streams, daemon: &Daemon) -> Result<[[f64; 3]; 3], Failed> {
    let (api, accounts) = (daemon.api()?, usize::from(options.accounts));
    let ticks = Feeder::start(api, Duration::from_millis(options.every_ms) / 2, move |place| {
        let (jump, timed) = (place / 2, place % 2 == 1);
        Ok(Body { lines: if timed { fall::jump(jump) } else { fall::positions(jump, accounts) }, timed })
    })?;
    let deposit = r#"{"type":"deposit","account":"prober","asset":"USDT","amount":"0.01"}"#;
    let probes = Feeder::start(api, PROBE, move |_| Ok(Body { lines: format!("{deposit}\n"), timed: true }))?;
    std::thread::sleep(Duration::from_secs(options.seconds));
    let (answered, probed) = (ticks.stop(), probes.stop());
    let engine = Ticks::of(daemon)?.quantiles;
    let [answered, probed] = [answered?, probed?].map(|mut latencies| {
        let [p50, p99, _, max] = latencies.quantiles();
        [p50, p99, max]
    });
    Ok([engine, answered, probed])
}

/// Everything that has happened, from the history: what the streams are held to.
fn history(daemon: &Daemon) -> Result<Heard, Failed> {
    let named = TOPICS.iter().filter(|topic| **topic != MARKS).map(|topic| (*topic).to_owned());
    let accounts = (0..fall::MAKERS).flat_map(|place| [true, false].map(|falls| fall::maker(falls, place)));
    let topics: Vec<String> = named.chain(accounts.map(|account| format!("account:{account}"))).collect();
    let mut all = Heard::default();
    // A stream follows 64 topics at most.
    for topics in topics.chunks(50) {
        all.topics.extend(Client::all(daemon.api()?, topics)?.topics);
    }
    Ok(all)
}

/// Holds the streams of a measurement to what has happened.
fn check(
    mut daemon: Daemon,
    case: &mut Case,
    verdict: &mut Verdict,
    heard: &[Heard],
    (all, stopped): (&Heard, Vec<Client>),
) -> Result<(), Failed> {
    let (mut wrong, mut told, clients) = (Vec::new(), 0, stopped.len());
    for one in heard {
        match one.check(all) {
            Ok(events) => told += events,
            Err(error) => wrong.push(format!("a client that reads: {error}")),
        }
        verdict.anew += one.anew;
    }
    for topic in ["liquidations", "adl", "fund"] {
        if all.topics.get(topic).is_none_or(|chain| chain.events.is_empty()) {
            wrong.push(format!("nothing has happened on {topic}"));
        }
    }
    let cut = settled(&daemon, r#"backstop_stream_cuts_total{reason="slow_reader"}"#, clients as f64)?;
    if cut != clients as f64 {
        wrong.push(format!("{cut} streams were cut with slow_reader, {clients} had stopped reading"));
    }
    if clients > 0 {
        std::thread::sleep(FAREWELL);
    }
    let api = daemon.api()?;
    for client in &stopped {
        verdict.held += u64::from(client.is_held(api)?);
    }
    for client in stopped {
        let woken = client.wake(AWAKE)?;
        match (&woken.wrong, woken.ended.as_deref()) {
            (Some(error), _) => wrong.push(format!("a client that had stopped: {error}")),
            (None, None) => wrong.push("a client that had stopped reads on and its stream does not end".into()),
            (None, Some(reason)) => *verdict.ends.entry(reason.to_owned()).or_default() += 1,
        }
    }
    let open = settled(&daemon, "backstop_streams", 0.0)?;
    if open != 0.0 {
        wrong.push(format!("{open} streams are still open when all clients have gone"));
    }
    if !seen::conserves(&daemon)? {
        wrong.push("conservation does not hold".into());
    }
    daemon.stop()?;
    case.told.push(told as f64);
    verdict.streams += heard.len() as u64;
    verdict.cut += clients as u64;
    verdict.wrong.extend(wrong.into_iter().map(|error| format!("{}: {error}", case.name)));
    Ok(())
}

/// A metric, once it has come to what is expected, or at last.
fn settled(daemon: &Daemon, series: &str, expected: f64) -> Result<f64, Failed> {
    let since = Instant::now();
    loop {
        let now = seen::metric(daemon, series)?;
        if now == expected || since.elapsed() > AWAKE {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn print(options: &Streams, cases: &[Case], verdict: &Verdict) {
    println!(
        "Milliseconds; medians of {} interleaved rounds (least–most) of {} s. Every {} ms a tick liquidates {} accounts; every {} ms \
         another command is sent. Each client follows {} and an account.\n",
        options.rounds,
        options.seconds,
        options.every_ms,
        options.accounts,
        PROBE.as_millis(),
        TOPICS.join(", "),
    );
    println!("| clients | what | p50 | p99 | max |\n|---|---|---|---|---|");
    for (place, what) in ["tick, in the engine", "tick, answered", "another command, answered"].iter().enumerate() {
        for case in cases {
            let Some([p50, p99, max]) = case.times.get(place) else { continue };
            println!("| {} | {what} | {} | {} | {} |", case.name, p50.short(), p99.short(), max.short());
        }
    }
    println!("\n| clients | ticks | events | events sent | memory, most ever, MB |\n|---|---|---|---|---|");
    for case in cases {
        let [ticks, events, told] = [&case.ticks, &case.events, &case.told].map(Figures::whole);
        println!("| {} | {ticks} | {events} | {told} | {} |", case.name, case.memory.whole());
    }
    println!("\n| check, all rounds | figure |\n|---|---|");
    println!("| streams read to the end, each held to the history | {} |", grouped(verdict.streams as f64));
    println!("| … snapshots of {MARKS} anew, the only topic that is not kept | {} |", grouped(verdict.anew as f64));
    println!("| streams that stopped reading, all to be cut as slow_reader | {} |", grouped(verdict.cut as f64));
    println!("| … whose connection the daemon still held two seconds later | {} |", grouped(verdict.held as f64));
    for (end, count) in &verdict.ends {
        println!("| … what their client found at the end when it read on: {end} | {} |", grouped(*count as f64));
    }
    println!("| violations | {} |", verdict.wrong.len());
    verdict.wrong.iter().for_each(|error| eprintln!("violation: {error}"));
}
