//! Time to a durable answer under an open-loop load. The instants at which commands are due are fixed beforehand and the
//! time counts from them, so a stall is counted for everybody it would have met (no coordinated omission).

use crate::Failed;
use crate::daemon::{Daemon, PATIENCE, Start};
use crate::durable::bring;
use crate::figures::{Latencies, grouped};
use crate::http::Connection;
use crate::scratch::Scratch;
use crate::venue::{self, Kept};
use crate::world::World;
use backstop_actors::gateway::Refusal;
use backstop_actors::topology::Placement;
use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Rates to hold and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Latency {
    /// The daemon's binary, to measure over HTTP as well.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Commands a second.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
    rates: Vec<u64>,
    /// Seconds of each.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Margin shards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    shards: u8,
    /// Where files are written.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Submissions a second at most: above, a submission brings several commands.
const SUBMISSIONS_MAX: u64 = 10_000;
/// Requests a second at most over HTTP.
const REQUESTS_MAX: u64 = 1_000;
/// Connections.
const CONNECTIONS: usize = 16;
/// Bytes of a fill in a plain file.
const FILL_BYTES: usize = 130;

/// When what is due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    rate: u64,
    size: u64,
    count: u64,
    seconds: u64,
}

impl Schedule {
    fn new(rate: u64, most: u64, seconds: u64) -> Self {
        let size = rate.div_ceil(most);
        Self { rate, size, count: rate * seconds / size, seconds }
    }

    /// Calls at each instant that is due, with the instant.
    fn pace(&self, mut due: impl FnMut(u64, Instant) -> Result<(), Failed>) -> Result<(), Failed> {
        let after = |place: usize| Duration::from_nanos(place as u64 * self.size * 1_000_000_000 / self.rate);
        pace(usize::try_from(self.count)?, after, |place, at| due(place as u64, at))
    }
}

/// Calls so many times, each at an instant fixed beforehand: so long after the start. Late is late: the next are not moved.
pub(crate) fn pace(
    count: usize,
    after: impl Fn(usize) -> Duration,
    mut due: impl FnMut(usize, Instant) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let start = Instant::now() + Duration::from_millis(50);
    for place in 0..count {
        let at = start + after(place);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        due(place, at)?;
    }
    Ok(())
}

/// What came of a load.
#[derive(Default)]
struct Outcome {
    latencies: Latencies,
    refused: u64,
}

/// Prints the table.
pub(crate) fn run(options: &Latency) -> Result<(), Failed> {
    let world = World::new(2_000, 4)?;
    println!("Milliseconds from the instant a command was due to its durable answer, {} s each.\n", options.seconds);
    println!("| commands a second | where | commands at a time | answered | turned away | p50 | p99 | p99.9 | max |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for rate in options.rates.iter().copied().filter(|rate| *rate > 0) {
        let schedule = Schedule::new(rate, SUBMISSIONS_MAX, options.seconds);
        let scratch = Scratch::new(options.dir.as_deref(), "latency")?;
        show(schedule, "plain append + fdatasync", plain(schedule, scratch.path())?);
        show(schedule, "Backstop, in process", process(schedule, options, scratch.path(), &world)?);
        if let Some(binary) = &options.binary {
            let schedule = Schedule::new(rate, REQUESTS_MAX, options.seconds);
            show(schedule, "Backstop, over HTTP", over_http(schedule, options, binary, scratch.path(), &world)?);
        }
    }
    Ok(())
}

fn show(schedule: Schedule, place: &str, mut outcome: Outcome) {
    let answered = outcome.latencies.len() as u64 * schedule.size;
    println!(
        "| {} | {place} | {} | {} | {} | {} |",
        grouped(schedule.rate as f64),
        schedule.size,
        grouped(answered as f64),
        grouped((outcome.refused * schedule.size) as f64),
        outcome.latencies.cells()
    );
    let wanted = schedule.rate * schedule.seconds;
    if answered + outcome.refused * schedule.size < wanted - wanted / 100 {
        println!("| | | | fewer than {} | | | | | |", grouped(wanted as f64));
    }
}

/// The bare disk: what is due while one sync runs goes into the next.
fn plain(schedule: Schedule, dir: &Path) -> Result<Outcome, Failed> {
    let (sender, due) = mpsc::channel::<Instant>();
    let mut file = File::create(dir.join("plain"))?;
    let bytes = vec![7; FILL_BYTES * usize::try_from(schedule.size)?];
    let writer = std::thread::spawn(move || -> std::io::Result<Outcome> {
        let (mut outcome, mut batch) = (Outcome::default(), Vec::new());
        while let Ok(first) = due.recv() {
            batch.push(first);
            batch.extend(due.try_iter());
            file.write_all(&bytes.repeat(batch.len()))?;
            file.sync_data()?;
            let now = Instant::now();
            batch.drain(..).for_each(|at| outcome.latencies.push(now.saturating_duration_since(at)));
        }
        Ok(outcome)
    });
    schedule.pace(|_, at| Ok(sender.send(at)?))?;
    drop(sender);
    Ok(writer.join().map_err(|_| "the writer panicked")??)
}

/// The whole of Backstop in this process.
fn process(schedule: Schedule, options: &Latency, dir: &Path, world: &World) -> Result<Outcome, Failed> {
    let kept = Kept::new(&dir.join("journal"))?;
    venue::with(kept, usize::from(options.shards), Placement::Spread, &world.setup, async |topology| {
        let (sender, mut due) = tokio::sync::mpsc::unbounded_channel();
        let (size, fills) = (usize::try_from(schedule.size)?, world.fills.clone());
        let pacer = std::thread::spawn(move || {
            schedule.pace(|place, at| {
                let start = usize::try_from(place)? * size % (fills.len() - size);
                let reads = venue::reads(fills.get(start..start + size).unwrap_or_default());
                Ok(sender.send((at, reads)).map_err(|_| "nobody takes what is due")?)
            })
        });
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        let mut running = Vec::new();
        while let Some((at, reads)) = due.recv().await {
            let (gateway, outcome) = (topology.gateway.clone(), Rc::clone(&outcome));
            running.push(actix::spawn(async move {
                let answered = gateway.submit(reads).await;
                let mut outcome = outcome.borrow_mut();
                match answered {
                    Ok(answers) => {
                        outcome.latencies.push(at.elapsed());
                        venue::all_taken(&answers)
                    }
                    Err(Refusal::Overloaded { .. }) => {
                        outcome.refused += 1;
                        Ok(())
                    }
                    Err(refusal) => Err(refusal.into()),
                }
            }));
        }
        for task in running {
            task.await??;
        }
        pacer.join().map_err(|_| "the pacer panicked")??;
        Ok(outcome.take())
    })
}

/// The daemon, over HTTP: requests are written when they are due, whether or not the one before has its answer.
fn over_http(
    schedule: Schedule,
    options: &Latency,
    binary: &Path,
    dir: &Path,
    world: &World,
) -> Result<Outcome, Failed> {
    let start = Start { shards: options.shards, ..Start::new(binary, &dir.join("daemon")) };
    let daemon = Daemon::start(&start)?;
    bring(&daemon, venue::lines(&world.setup))?;
    let size = usize::try_from(schedule.size)?;
    let bodies: Vec<String> = world.fills.chunks(size).take(1_000).map(|fills| venue::lines(fills).collect()).collect();
    let (mut requests, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let Connection { requests: ask, mut replies } = Connection::open(daemon.api()?, PATIENCE)?;
        let (sender, due) = mpsc::channel::<Instant>();
        requests.push((ask, sender));
        readers.push(std::thread::spawn(move || -> std::io::Result<Outcome> {
            let mut outcome = Outcome::default();
            for at in due {
                match replies.next()?.status {
                    200 => outcome.latencies.push(at.elapsed()),
                    _ => outcome.refused += 1,
                }
            }
            Ok(outcome)
        }));
    }
    schedule.pace(|place, at| {
        let place = usize::try_from(place)?;
        let body = bodies.get(place % bodies.len()).ok_or("no body")?;
        let (ask, sender) = requests.get_mut(place % CONNECTIONS).ok_or("no connection")?;
        sender.send(at)?;
        Ok(ask.commands(body)?)
    })?;
    drop(requests);
    let mut whole = Outcome::default();
    for reader in readers {
        let outcome = reader.join().map_err(|_| "a reader panicked")??;
        whole.latencies.extend(&outcome.latencies);
        whole.refused += outcome.refused;
    }
    Ok(whole)
}
