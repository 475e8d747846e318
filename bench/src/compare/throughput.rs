//! Fills a second, kept and not, in process and over HTTP; ticks a second, in the engine alone and through all actors.

use super::report::{Section, Table};
use super::{Failed, say};
use crate::daemon::{Daemon, Start};
use crate::durable;
use crate::figures::Figures;
use crate::scratch::Scratch;
use crate::venue::{self, Kept};
use crate::world::World;
use backstop_actors::topology::Placement;
use backstop_engine::command::Envelope;
use backstop_engine::reference::{Options, Reference};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long, how often, and on what.
pub(crate) struct Scope {
    pub(crate) rounds: u32,
    /// Of each measurement of fills.
    pub(crate) time: Duration,
    /// Accounts of the venue whose ticks are measured, with four positions each.
    pub(crate) accounts: usize,
    pub(crate) ticks: usize,
    pub(crate) dir: Option<PathBuf>,
    /// The daemon's binary, if there is one.
    pub(crate) binary: Option<PathBuf>,
}

/// Fills to a submission and submissions in flight.
const WAYS: [(usize, usize); 3] = [(1, 32), (100, 8), (1_000, 8)];
/// A file system in memory: nothing written there waits for a disk.
const MEMORY: &str = "/dev/shm";
/// Accounts of the venue whose fills are measured.
const TRADERS: usize = 2_000;

struct Entry {
    what: &'static str,
    how: String,
    figures: Figures,
}

/// Measures everything in turn, round after round.
pub(crate) fn run(scope: &Scope) -> Result<Section, Failed> {
    let scratch = Scratch::new(scope.dir.as_deref(), "throughput")?;
    let world = World::new(TRADERS, 4)?;
    let in_memory =
        Path::new(MEMORY).is_dir().then(|| Scratch::new(Some(Path::new(MEMORY)), "throughput")).transpose()?;
    let mut daemons = Vec::new();
    if let Some(binary) = &scope.binary {
        let places = [("over HTTP, kept on a disk", Some(&scratch)), ("over HTTP, kept in memory", in_memory.as_ref())];
        for (what, place) in places.into_iter().filter_map(|(what, place)| Some((what, place?))) {
            let daemon = Daemon::start(&Start::new(binary, &place.path().join("daemon")))?;
            durable::bring(&daemon, venue::lines(&world.setup))?;
            daemons.push((what, daemon));
        }
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut push = |what: &'static str, how: String, figure: f64| match entries
        .iter_mut()
        .find(|entry| entry.what == what && entry.how == how)
    {
        Some(entry) => entry.figures.push(figure),
        None => {
            let mut figures = Figures::default();
            figures.push(figure);
            entries.push(Entry { what, how, figures });
        }
    };
    for round in 1..=scope.rounds {
        for way in WAYS {
            let kept = Scratch::new(Some(scratch.path()), "kept")?;
            let durably = durable::in_process(Kept::new(kept.path())?, 1, &world, way, scope.time)?;
            push("fills, in process, kept on a disk", durable::place(way.0, way.1), durably);
            let freely = durable::in_process(Kept::nothing()?, 1, &world, way, scope.time)?;
            push("fills, in process, nothing kept", durable::place(way.0, way.1), freely);
            for (what, daemon) in &daemons {
                push(what, durable::place(way.0, way.1), durable::over_http(daemon, way, scope.time)?);
            }
        }
        let how = format!("{} accounts × 4, 20 prices and a tick", crate::figures::grouped(scope.accounts as f64));
        push("ticks, engine alone", how.clone(), ticks_in_engine(scope)?);
        push("ticks, all actors, kept on a disk", how, ticks_through_actors(scope, scratch.path())?);
        say(&format!("fills and ticks: round {round} of {}", scope.rounds));
    }
    let missing = if daemons.is_empty() { " The daemon's binary was not there, so HTTP is left out." } else { "" };
    let intro = format!(
        "Every answer awaited; {} interleaved rounds. Kept in memory means a data directory on a file system in memory: the \
         daemon always keeps what it acknowledges.{missing}",
        scope.rounds
    );
    let mut section = Section::new("fills", "Fills and ticks a second", intro);
    let mut table = Table::new("A second", &["what", "how", "a second"]);
    for entry in &entries {
        table.row([entry.what.into(), entry.how.clone(), entry.figures.short()]);
    }
    section.table(table);
    let row = |entry: &Entry| json!({ "what": entry.what, "how": entry.how, "a_second": entry.figures.json() });
    section.data(entries.iter().map(row).collect());
    Ok(section)
}

/// Prices and a tick, so many times.
fn ticks(world: &World, count: usize) -> Result<Vec<Vec<Envelope>>, Failed> {
    let one = |run: usize| -> Result<Vec<Envelope>, Failed> {
        let mut commands = world.prices(run)?;
        commands.push(Envelope::read(r#"{"type":"tick"}"#)?);
        Ok(commands)
    };
    (0..count).map(one).collect()
}

fn ticks_in_engine(scope: &Scope) -> Result<f64, Failed> {
    let world = World::new(scope.accounts, 4)?;
    let mut engine = Reference::new(Options { shards: 1, shows_accounts: false });
    for batch in world.setup.chunks(1_000) {
        let entries = batch.iter().map(|one| engine.admit(&one.command, 0)).collect::<Result<Vec<_>, _>>()?;
        engine.apply(entries)?;
    }
    // The first two ticks build what the others search by.
    let (first, later) = (ticks(&world, 2)?, ticks(&world, scope.ticks)?);
    let mut all = |ticks: &[Vec<Envelope>]| -> Result<(), Failed> {
        for tick in ticks {
            let entries = tick.iter().map(|one| engine.admit(&one.command, 0)).collect::<Result<Vec<_>, _>>()?;
            engine.apply(entries)?;
        }
        Ok(())
    };
    all(&first)?;
    let since = Instant::now();
    all(&later)?;
    Ok(later.len() as f64 / since.elapsed().as_secs_f64())
}

fn ticks_through_actors(scope: &Scope, dir: &Path) -> Result<f64, Failed> {
    let (world, scratch) = (World::new(scope.accounts, 4)?, Scratch::new(Some(dir), "ticks")?);
    let (first, later) = (ticks(&world, 2)?, ticks(&world, scope.ticks)?);
    venue::with(Kept::new(scratch.path())?, 1, Placement::Spread, &world.setup, async |topology| {
        for tick in &first {
            venue::all_taken(&topology.gateway.submit(venue::reads(tick)).await?)?;
        }
        let since = Instant::now();
        for tick in &later {
            venue::all_taken(&topology.gateway.submit(venue::reads(tick)).await?)?;
        }
        Ok(later.len() as f64 / since.elapsed().as_secs_f64())
    })
}
