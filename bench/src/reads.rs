//! Reads a second: several paths of the real daemon in turn with a handler that does nothing, while the venue is quiet and
//! while prices move; and what the readers cost its ticks. Each measurement has a daemon of its own over a copy of the same
//! directory, so that each begins with the same state and the daemon's own figures are those of that measurement.

mod empty;
mod wrk;

use crate::Failed;
use crate::daemon::{Daemon, Start};
use crate::durable::bring;
use crate::fall;
use crate::feeder::{Body, Feeder};
use crate::figures::{Figures, grouped};
use crate::scratch::{self, Scratch};
use crate::seen::{self, Ticks};
use crate::venue;
use crate::world::World;
use empty::Empty;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wrk::{Load, Wrk};

/// How much and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Reads {
    /// The daemon's binary.
    #[arg(long)]
    binary: PathBuf,
    /// Seconds of each measurement; in fewer than ten the first tick after a start is the p99 of the engine.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Runs; each measures everything once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: u32,
    /// Connections that read.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=1_000))]
    connections: u16,
    /// Margin shards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    shards: u8,
    /// Where directories are made.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// A file for the figures as JSON.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What is read. The last is private: open to this machine as long as there are no keys, and never remembered.
const PATHS: [&str; 4] = ["/v1/markets", "/v1/fund/USDT", "/v1/liquidations?limit=100", "/v1/accounts/account-1"];
/// Accounts of the venue, and positions of each.
const WORLD: (usize, usize) = (2_000, 4);
/// Liquidations that have been: jumps of the price, accounts at each.
const FALLS: (u64, usize) = (8, 25);
/// How often prices and a tick are sent, and how many fills with them.
const EVERY: Duration = Duration::from_millis(100);
const FILLS: usize = 5;
/// Ticks before the readers come. The first after a start builds the index of accounts, which no other does.
const LEAD: u64 = 5;

/// What reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Nobody,
    /// The handler that does nothing is read while the daemon has only its prices.
    Empty,
    Path(&'static str),
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Empty => "an empty handler",
            Self::Path(path) => path,
        }
    }
}

/// What is measured again and again.
struct Case {
    reader: Reader,
    busy: bool,
    bytes: usize,
    per_second: Figures,
    /// To what the empty handler has in the same run.
    ratio: Figures,
    /// Milliseconds: p50 and p99 of an answer.
    answers: [Figures; 2],
    late: u64,
    /// Milliseconds: p50 and p99 of a tick in the engine; p50, p99 and max of its answer.
    ticks: [Figures; 2],
    answered: [Figures; 3],
}

impl Case {
    fn new(reader: Reader, busy: bool) -> Self {
        let (figures, none) = (Figures::default, Default::default);
        let (per_second, ratio) = (figures(), figures());
        Self {
            reader,
            busy,
            bytes: 0,
            per_second,
            ratio,
            answers: none(),
            late: 0,
            ticks: Default::default(),
            answered: Default::default(),
        }
    }
}

/// What every measurement has.
struct Bench<'a> {
    options: &'a Reads,
    wrk: Wrk,
    empty: Empty,
    world: Arc<World>,
    prepared: PathBuf,
    scratch: &'a Path,
}

/// Prints the tables.
pub(crate) fn run(options: &Reads) -> Result<(), Failed> {
    let (wrk, empty) = (Wrk::find()?, Empty::start()?);
    let scratch = Scratch::new(options.dir.as_deref(), "reads")?;
    let world = Arc::new(World::new(WORLD.0, WORLD.1)?);
    let prepared = scratch.path().join("prepared");
    let bench = Bench { options, wrk, empty, world, prepared, scratch: scratch.path() };
    bench.prepare()?;
    let mut cases = Vec::new();
    for busy in [false, true] {
        cases.extend(busy.then(|| Case::new(Reader::Nobody, busy)));
        cases.push(Case::new(Reader::Empty, busy));
        cases.extend(PATHS.map(|path| Case::new(Reader::Path(path), busy)));
    }
    let mut wrong = Vec::new();
    for run in 1..=options.runs {
        let mut base = f64::NAN;
        for case in &mut cases {
            let name = format!("run {run}, {} while {}", case.reader.name(), if case.busy { "busy" } else { "quiet" });
            let load = bench.measure(case, &mut wrong).map_err(|error| format!("{name}: {error}"))?;
            if let Some(load) = load {
                if case.reader == Reader::Empty {
                    base = load.per_second;
                }
                case.ratio.push(load.per_second / base);
            }
        }
        eprintln!("run {run} of {} is done", options.runs);
    }
    print(options, &cases, &wrong);
    if let Some(out) = &options.out {
        std::fs::write(out, format!("{:#}\n", to_json(options, &cases, &wrong)))?;
    }
    match wrong.len() {
        0 => Ok(()),
        count => Err(format!("{count} checks failed").into()),
    }
}

impl Bench<'_> {
    fn start(&self, directory: &Path) -> Result<Daemon, Failed> {
        let start = Start::new(&self.options.binary, directory);
        Daemon::start(&Start { shards: self.options.shards, ..start })
    }

    /// The state that every measurement begins with.
    fn prepare(&self) -> Result<(), Failed> {
        let mut daemon = self.start(&self.prepared)?;
        bring(&daemon, venue::lines(&self.world.setup))?;
        let jumps = (0..FALLS.0).flat_map(|jump| [fall::positions(jump, FALLS.1), fall::jump(jump)]);
        let first = venue::lines(&self.world.prices(0)?).collect();
        bring(&daemon, [fall::setup()].into_iter().chain(jumps).chain([first]))?;
        // From a snapshot it starts without a tick.
        let taken = daemon.snapshot()?;
        if taken.status != 200 {
            return Err(format!("no snapshot: {}", taken.body).into());
        }
        daemon.stop().map(drop)
    }

    /// One measurement.
    fn measure(&self, case: &mut Case, wrong: &mut Vec<String>) -> Result<Option<Load>, Failed> {
        let copy = self.scratch.join("measured");
        scratch::copy(&self.prepared, &copy)?;
        let mut daemon = self.start(&copy)?;
        let (before, begun) = (Ticks::of(&daemon)?.count, daemon.state()?.0);
        let feeder = if case.busy { Some(self.feed(&daemon)?) } else { None };
        if case.busy {
            std::thread::sleep(EVERY * u32::try_from(LEAD)?);
        }
        let load = self.load(case, &daemon);
        let answered = feeder.map(Feeder::stop);
        let load = load?;
        let (ticks, ended) = (Ticks::of(&daemon)?, daemon.state()?.0);
        let mut check = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("{}, {}: {what}", case.reader.name(), if case.busy { "busy" } else { "quiet" }));
            }
        };
        check(before == 0, format!("{before} ticks before the first"));
        check((ended > begun) == case.busy, format!("commands {begun} to {ended}"));
        check(seen::conserves(&daemon)?, "conservation does not hold".into());
        if let Some(answered) = answered {
            let mut latencies = answered?;
            check(
                ticks.count == latencies.len() as u64 + LEAD,
                format!("{} ticks, {} timed", ticks.count, latencies.len()),
            );
            let [p50, p99, _, max] = latencies.quantiles();
            case.ticks.iter_mut().zip(ticks.quantiles).for_each(|(figures, time)| figures.push(time));
            case.answered.iter_mut().zip([p50, p99, max]).for_each(|(figures, time)| figures.push(time));
        }
        if let Some(load) = &load {
            check(load.refused == 0, format!("{} answers were refusals", load.refused));
            check(load.broken == 0, format!("{} connections, reads or writes failed", load.broken));
            case.per_second.push(load.per_second);
            case.answers.iter_mut().zip([load.p50, load.p99]).for_each(|(figures, time)| figures.push(time));
            case.late += load.late;
        }
        daemon.stop()?;
        std::fs::remove_dir_all(&copy)?;
        Ok(load)
    }

    /// Has it read, or waits as long.
    fn load(&self, case: &mut Case, daemon: &Daemon) -> Result<Option<Load>, Failed> {
        let (connections, seconds) = (usize::from(self.options.connections), self.options.seconds);
        match case.reader {
            Reader::Nobody => {
                std::thread::sleep(Duration::from_secs(seconds));
                Ok(None)
            }
            Reader::Empty => self.wrk.run(self.empty.at(), "/", connections, seconds).map(Some),
            Reader::Path(path) => {
                let mut connection = daemon.connect()?;
                let answer = connection.get(path)?;
                let items = answer.json().get("items").and_then(Value::as_array).map(Vec::len);
                if answer.status != 200 || (path.contains("limit=100") && items != Some(100)) {
                    return Err(format!("status {}, {items:?} items: {}", answer.status, answer.body).into());
                }
                case.bytes = answer.body.len();
                let load = self.wrk.run(daemon.api()?, path, connections, seconds)?;
                let changed = connection.get(path)?.body != answer.body;
                if changed == case.busy { Ok(Some(load)) } else { Err(format!("changed meanwhile: {changed}").into()) }
            }
        }
    }

    /// Prices of all markets, some fills and a tick, again and again.
    fn feed(&self, daemon: &Daemon) -> Result<Feeder, Failed> {
        let world = Arc::clone(&self.world);
        let fills: Vec<String> = venue::lines(&self.world.fills).collect();
        let bodies = fills.len() / FILLS;
        Feeder::start(daemon.api()?, EVERY, move |place| {
            let place = usize::try_from(place)?;
            let prices = venue::lines(&world.prices(place)?).collect::<String>();
            let first = place % bodies * FILLS;
            let fills = fills.get(first..first + FILLS).unwrap_or_default().concat();
            Ok(Body { lines: format!("{prices}{fills}{{\"type\":\"tick\"}}\n"), timed: place as u64 >= LEAD })
        })
    }
}

fn print(options: &Reads, cases: &[Case], wrong: &[String]) {
    let every = EVERY.as_millis();
    println!(
        "`wrk -t2 -c{}`, medians of {} interleaved runs (least–most) of {} s; the ratio is to the empty handler in the same run. Busy: \
         every {every} ms prices of 20 markets, {FILLS} fills and a tick. {} accounts with {} positions each.\n",
        options.connections,
        options.runs,
        options.seconds,
        grouped(WORLD.0 as f64),
        WORLD.1,
    );
    println!("| path | bytes | venue | requests a second | : empty | p50, ms | p99, ms | later than 2 s |");
    println!("|---|---|---|---|---|---|---|---|");
    for case in cases.iter().filter(|case| case.reader != Reader::Nobody) {
        let [p50, p99] = case.answers.each_ref().map(Figures::short);
        println!(
            "| {} | {} | {} | {} | {} | {p50} | {p99} | {} |",
            case.reader.name(),
            grouped(case.bytes as f64),
            if case.busy { "busy" } else { "quiet" },
            case.per_second.whole(),
            case.ratio.share(),
            case.late,
        );
    }
    println!("\n| who reads what meanwhile | tick in the engine, ms: p50 | p99 | tick answered, ms: p50 | p99 | max |");
    println!("|---|---|---|---|---|---|");
    for case in cases.iter().filter(|case| case.busy) {
        let cells: Vec<String> = case.ticks.iter().chain(&case.answered).map(Figures::short).collect();
        println!("| {} | {} |", case.reader.name(), cells.join(" | "));
    }
    println!("\nViolations: {}.", wrong.len());
    wrong.iter().for_each(|error| eprintln!("violation: {error}"));
}

fn to_json(options: &Reads, cases: &[Case], wrong: &[String]) -> Value {
    let named = |figures: &[Figures]| -> Value {
        let of = ["p50", "p99", "max"].iter().zip(figures).map(|(name, one)| ((*name).to_owned(), one.json()));
        Value::Object(of.collect())
    };
    let show = |case: &Case| {
        json!({
            "reader": case.reader.name(), "busy": case.busy, "bytes": case.bytes, "late": case.late,
            "requests_per_second": case.per_second.json(), "ratio_to_empty": case.ratio.json(),
            "answer_ms": named(&case.answers), "tick_engine_ms": named(&case.ticks), "tick_answered_ms": named(&case.answered),
        })
    };
    json!({
        "seconds": options.seconds, "runs": options.runs, "connections": options.connections, "shards": options.shards,
        "cases": cases.iter().map(show).collect::<Vec<_>>(), "violations": wrong,
    })
}
