//! The whole of Backstop, every answer awaited: in this process, and over HTTP. The commands are fills, each of which
//! changes two accounts.

use super::Durable;
use super::contest::Contest;
use crate::Failed;
use crate::daemon::{Daemon, Start};
use crate::scratch::Scratch;
use crate::venue::{self, Kept};
use crate::world::World;
use backstop_actors::topology::Placement;
use futures_util::stream::{self, StreamExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// In this process.
pub(super) const PROCESS: &str = "Backstop, in process, fills";
/// Over HTTP.
const HTTP: &str = "Backstop, over HTTP, fills";
/// Commands to a submission.
const SIZES: [usize; 3] = [1, 100, 1_000];
/// Submissions in flight.
pub(super) const IN_FLIGHT: [usize; 3] = [1, 8, 32];

/// How it is named.
pub(crate) fn place(size: usize, flight: usize) -> String {
    format!("{} to a submission, {flight} in flight", crate::figures::grouped(size as f64))
}

/// Enters it in process.
pub(super) fn enter_process(contest: &mut Contest, options: &Durable, dir: &Path, world: &Rc<World>) {
    let (shards, time) = (usize::from(options.shards), Duration::from_secs(options.seconds));
    for size in SIZES {
        for flight in IN_FLIGHT {
            let (dir, world) = (dir.to_path_buf(), Rc::clone(world));
            contest.enter(PROCESS, place(size, flight), move || {
                let scratch = Scratch::new(Some(&dir), "whole")?;
                in_process(Kept::new(scratch.path())?, shards, &world, (size, flight), time)
            });
        }
    }
}

/// Fills a second, so many to a submission and so many submissions in flight.
pub(crate) fn in_process(
    kept: Kept,
    shards: usize,
    world: &World,
    (size, flight): (usize, usize),
    time: Duration,
) -> Result<f64, Failed> {
    venue::with(kept, shards, Placement::Spread, &world.setup, async |topology| {
        let (started, mut taken) = (Instant::now(), 0);
        let chunks = world.fills.chunks_exact(size).cycle();
        let sent = chunks.take_while(|_| started.elapsed() < time);
        let mut answers = stream::iter(sent.map(|chunk| topology.gateway.submit(venue::reads(chunk)))).buffered(flight);
        while let Some(answered) = answers.next().await {
            let answered = answered?;
            venue::all_taken(&answered)?;
            taken += answered.len();
        }
        Ok(taken as f64 / started.elapsed().as_secs_f64())
    })
}

/// A fill as HTTP takes it.
fn line(place: usize) -> String {
    format!(
        r#"{{"type":"fill","market":"M{}","price":"{}","quantity":"0.01","buyer":"account-{}","seller":"account-{}","trade":"t{place}"}}"#,
        place % 20,
        1_000 + place % 20 * 100,
        2 * (place % 1_000),
        2 * (place * 7 % 1_000) + 1
    ) + "\n"
}

/// Brings commands in over HTTP; all must be taken.
pub(crate) fn bring(daemon: &Daemon, lines: impl Iterator<Item = String>) -> Result<(), Failed> {
    let mut connection = daemon.connect()?;
    let mut lines = lines.peekable();
    while lines.peek().is_some() {
        let body: String = lines.by_ref().take(10_000).collect();
        let reply = connection.commands(&body)?;
        if reply.status != 200 || reply.body.contains("\"code\"") {
            let shown: String = reply.body.lines().find(|line| line.contains("code")).unwrap_or_default().into();
            return Err(format!("a command was refused: status {}: {shown}", reply.status).into());
        }
    }
    Ok(())
}

/// Enters it over HTTP, on one daemon for all rounds.
pub(super) fn enter_http(
    contest: &mut Contest,
    options: &Durable,
    binary: &Path,
    dir: &Path,
    world: &World,
) -> Result<Rc<Daemon>, Failed> {
    let start = Start { shards: options.shards, ..Start::new(binary, &dir.join("daemon")) };
    let daemon = Rc::new(Daemon::start(&start)?);
    bring(&daemon, venue::lines(&world.setup))?;
    let time = Duration::from_secs(options.seconds);
    for size in SIZES {
        for flight in IN_FLIGHT {
            let daemon = Rc::clone(&daemon);
            contest.enter(HTTP, place(size, flight), move || over_http(&daemon, (size, flight), time));
        }
    }
    Ok(daemon)
}

/// Fills a second over HTTP, as many to a body and as many connections.
pub(crate) fn over_http(daemon: &Daemon, (size, flight): (usize, usize), time: Duration) -> Result<f64, Failed> {
    let (api, started, taken) = (daemon.api()?, Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (taken, started) = (&taken, &started);
        let each = move |index: usize| -> Result<(), Failed> {
            let mut connection = crate::http::Connection::open(api, crate::daemon::PATIENCE)?;
            let body: String = (0..size).map(|place| line(index * 131 + place)).collect();
            while started.elapsed() < time {
                let reply = connection.commands(&body)?;
                if reply.status != 200 || reply.body.contains("\"code\"") {
                    return Err(format!("status {}: {}", reply.status, reply.body).into());
                }
                taken.fetch_add(size as u64, Ordering::Relaxed);
            }
            Ok(())
        };
        let running: Vec<_> = (0..flight).map(|index| scope.spawn(move || each(index))).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    Ok(taken.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}
