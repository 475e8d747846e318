//! An endless flood: more commands than can be taken, from many connections, large bodies and small ones, written
//! without waiting for answers. Memory must stay bounded, whatever is turned away must be told so, and when it is over
//! the daemon must answer as before.

use crate::Failed;
use crate::daemon::{Daemon, PATIENCE, Start};
use crate::durable::bring;
use crate::figures::{Latencies, grouped};
use crate::http::{Connection, Replies, Requests};
use crate::scratch::Scratch;
use crate::venue;
use crate::world::World;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How much and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Flood {
    /// The daemon's binary.
    #[arg(long)]
    binary: PathBuf,
    /// Seconds of flood.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections with bodies as large as may be.
    #[arg(long, default_value_t = 24)]
    large: usize,
    /// Connections with one command to a body.
    #[arg(long, default_value_t = 64)]
    small: usize,
    /// Margin shards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    shards: u8,
    /// Where the directory is made.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Commands of a large body; as many as one submission may bring.
const LARGE: usize = 32_768;
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(250);
/// How long a connection waits to write or read before it is given up.
const STUCK: Duration = Duration::from_secs(10);

/// What was answered: by status and code, bodies and commands.
type Counts = BTreeMap<String, (u64, u64)>;

/// Prints the table.
pub(crate) fn run(options: &Flood) -> Result<(), Failed> {
    let world = World::new(2_000, 4)?;
    let scratch = Scratch::new(options.dir.as_deref(), "flood")?;
    let start =
        Start { shards: options.shards, mark_interval_ms: 1_000, ..Start::new(&options.binary, scratch.path()) };
    let daemon = Daemon::start(&start)?;
    bring(&daemon, venue::lines(&world.setup))?;
    let fills: Vec<String> = venue::lines(&world.fills).collect();
    let large: String = fills.iter().take(LARGE).map(String::as_str).collect();
    let small = fills.first().cloned().unwrap_or_default();

    let (quiet, over, since) = (daemon.memory(), AtomicBool::new(false), Instant::now());
    let (counts, samples, mut reads) = std::thread::scope(|scope| {
        let flooding: Vec<_> = (0..options.large + options.small)
            .map(|index| {
                let (body, commands) = if index < options.large { (&large, LARGE) } else { (&small, 1) };
                let (over, daemon) = (&over, &daemon);
                scope.spawn(move || flood(daemon, body, commands as u64, over))
            })
            .collect();
        let reading = scope.spawn(|| read(&daemon, &over));
        let mut samples = Vec::new();
        while since.elapsed() < Duration::from_secs(options.seconds) {
            std::thread::sleep(SAMPLE);
            samples.extend(daemon.memory().map(|(now, _)| now));
        }
        over.store(true, Ordering::SeqCst);
        let mut counts = Counts::new();
        for (key, (bodies, commands)) in flooding.into_iter().filter_map(|thread| thread.join().ok()).flatten() {
            let count = counts.entry(key).or_default();
            *count = (count.0 + bodies, count.1 + commands);
        }
        (counts, samples, reading.join().unwrap_or_default())
    });

    let asked = Instant::now();
    let balance = daemon.read("/v1/conservation")?;
    let answered = asked.elapsed();
    let holds = balance.get("holds").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let mb = |bytes: u64| grouped(bytes as f64 / 1e6);
    println!("| what | figure |\n|---|---|");
    println!(
        "| seconds, connections with large bodies, with small ones | {}, {}, {} |",
        options.seconds, options.large, options.small
    );
    for (key, (bodies, commands)) in &counts {
        println!("| {key}: bodies, commands | {}, {} |", grouped(*bodies as f64), grouped(*commands as f64));
    }
    println!("| memory before, MB | {} |", quiet.map_or_else(|| "–".to_owned(), |(now, _)| mb(now)));
    println!("| memory, most of {} samples, MB | {} |", samples.len(), mb(samples.iter().copied().max().unwrap_or(0)));
    let half = samples.iter().skip(samples.len() / 2).copied().max().unwrap_or(0);
    println!("| … of the second half of them, MB | {} |", mb(half));
    println!("| memory, most ever, MB | {} |", daemon.memory().map_or_else(|| "–".to_owned(), |(_, most)| mb(most)));
    println!("| reads of an account meanwhile | {} |", reads.len());
    println!("| … ms, p50, p99, p99.9, max | {} |", reads.cells().replace(" | ", ", "));
    println!("| a read afterwards, ms; conservation holds | {:.1}; {} |", answered.as_secs_f64() * 1e3, holds);
    Ok(())
}

/// Writes one body after the other while somebody else reads the answers.
fn flood(daemon: &Daemon, body: &str, commands: u64, over: &AtomicBool) -> Counts {
    let mut counts = Counts::new();
    while !over.load(Ordering::SeqCst) {
        let opened = daemon.api().and_then(|api| Ok(Connection::open(api, STUCK)?));
        let Ok(Connection { mut requests, mut replies }) = opened else {
            counts.entry("connection refused".to_owned()).or_default().0 += 1;
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| write(&mut requests, body, over));
            count(&mut replies, commands, over, &mut counts);
            if writing.join().is_err() {
                counts.entry("connection lost".to_owned()).or_default().0 += 1;
            }
        });
    }
    counts
}

fn write(requests: &mut Requests, body: &str, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        if requests.commands(body).is_err() {
            break;
        }
    }
    // Whoever still reads comes to an end.
    requests.close();
}

fn count(replies: &mut Replies, commands: u64, over: &AtomicBool, counts: &mut Counts) {
    loop {
        match replies.next() {
            Ok(reply) => {
                let code = if reply.status == 200 { String::new() } else { format!(" {}", reply.code()) };
                let count = counts.entry(format!("{}{code}", reply.status)).or_default();
                *count = (count.0 + 1, count.1 + commands);
            }
            Err(_) if over.load(Ordering::SeqCst) => return,
            Err(_) => {
                counts.entry("connection lost".to_owned()).or_default().0 += 1;
                return;
            }
        }
    }
}

/// Reads an account again and again, as somebody would who has to know where he stands.
fn read(daemon: &Daemon, over: &AtomicBool) -> Latencies {
    let mut latencies = Latencies::default();
    while !over.load(Ordering::SeqCst) {
        let asked = Instant::now();
        let opened = daemon.api().and_then(|api| Ok(Connection::open(api, PATIENCE)?));
        if opened.and_then(|mut connection| Ok(connection.get("/v1/accounts/account-1")?)).is_ok() {
            latencies.push(asked.elapsed());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    latencies
}
