//! What a tick and a fill cost, in the engine alone and through the actors, side by side in one run: medians of seven
//! runs with minimum and maximum, as a Markdown table.

use crate::Failed;
use crate::figures::Figures;
use crate::venue::{self, Kept};
use crate::world::World;
use backstop_actors::topology::Placement;
use backstop_engine::command::Envelope;
use backstop_engine::reference::{Options, Reference};
use futures_util::stream::{self, StreamExt};
use std::time::Instant;

/// Runs of each figure.
const RUNS: usize = 7;
/// Commands of a batch, as a matching engine would send them.
const BATCH: usize = 1_000;

/// What to measure on.
#[derive(Debug, clap::Args)]
pub(crate) struct Micro {
    /// Accounts of the venue, each with four positions.
    #[arg(default_value_t = 20_000)]
    accounts: usize,
}

/// Prints the table.
pub(crate) fn run(options: &Micro) -> Result<(), Failed> {
    let accounts = options.accounts;
    let world = World::new(accounts, 4)?;
    println!("{accounts} accounts × 4 positions, medians of {RUNS} runs (minimum–maximum)\n");
    println!("| what | where | figure |\n|---|---|---|");
    for shards in [1, 2] {
        ticks(&world, shards)?;
    }
    fills_in_engine(&world)?;
    for (shards, placement) in [(1, Placement::Single), (1, Placement::Spread), (2, Placement::Spread)] {
        fills_through_actors(&world, shards, placement)?;
    }
    Ok(())
}

fn show(what: &str, place: &str, unit: &str, figures: &Figures) {
    let (median, low, high) = (figures.median(), figures.low(), figures.high());
    println!("| {what} | {place} | {median:.1} {unit} ({low:.1}–{high:.1}) |");
}

/// A calm tick looks at those whose guards were reached, a full scan at everybody: what does that cost?
fn ticks(world: &World, shards: usize) -> Result<(), Failed> {
    let mut engine = Reference::new(Options { shards, shows_accounts: false });
    for envelope in &world.setup {
        engine.submit(&envelope.command, 0)?;
    }
    let (mut calm, mut full) = (Figures::default(), Figures::default());
    let tick = Envelope::read(r#"{"type":"tick"}"#)?;
    // The first tick builds what the others search by.
    for run in 0..=RUNS {
        for envelope in world.prices(run)? {
            engine.submit(&envelope.command, 0)?;
        }
        let started = Instant::now();
        engine.submit(&tick.command, 0)?;
        if run > 0 {
            calm.push(started.elapsed().as_secs_f64() * 1e6);
        }
        let started = Instant::now();
        for shard in engine.shards() {
            shard.evaluate()?;
        }
        full.push(started.elapsed().as_secs_f64() * 1e9 / (world.accounts * world.positions) as f64);
    }
    let place = format!("engine, {shards} shards, one thread");
    show("calm tick, from prices to rest", &place, "µs", &calm);
    show("full scan, every account examined", &place, "ns a position", &full);
    Ok(())
}

fn fills_in_engine(world: &World) -> Result<(), Failed> {
    let mut figures = Figures::default();
    for _ in 0..RUNS {
        let mut engine = Reference::new(Options { shards: 1, shows_accounts: false });
        for envelope in &world.setup {
            engine.submit(&envelope.command, 0)?;
        }
        let started = Instant::now();
        for batch in world.fills.chunks(BATCH) {
            let mut entries = Vec::with_capacity(batch.len());
            for envelope in batch {
                entries.push(engine.admit(&envelope.command, 0)?);
            }
            engine.apply(entries)?;
        }
        figures.push(world.fills.len() as f64 / started.elapsed().as_secs_f64() / 1e3);
    }
    show("fills, 1,000 to a batch", "engine, 1 shard", "thousand a second", &figures);
    Ok(())
}

fn fills_through_actors(world: &World, shards: usize, placement: Placement) -> Result<(), Failed> {
    let mut figures = Figures::default();
    for _ in 0..RUNS {
        let took = venue::with(Kept::nothing()?, shards, placement, &world.setup, async |topology| {
            let batches: Vec<Vec<_>> = world.fills.chunks(BATCH).map(venue::reads).collect();
            let started = Instant::now();
            // Eight submissions on their way, as from eight connections.
            let sent = batches.into_iter().map(|batch| topology.gateway.submit(batch));
            let mut answers = stream::iter(sent).buffered(8);
            while let Some(answer) = answers.next().await {
                answer?;
            }
            Ok(started.elapsed().as_secs_f64())
        })?;
        figures.push(world.fills.len() as f64 / took / 1e3);
    }
    let place = format!("actors, {shards} shards, {placement:?}").to_lowercase();
    show("fills, 1,000 to a batch, answered", &place, "thousand a second", &figures);
    Ok(())
}
