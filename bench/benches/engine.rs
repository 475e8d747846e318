//! The parts that a tick, a fill and a liquidation are made of, by Criterion: `cargo bench -p backstop-bench`.
#![allow(missing_docs, reason = "Criterion's macros make functions without")]
#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::arithmetic_side_effects,
    reason = "accounts are drawn in floats"
)]

#[path = "../src/compare/book.rs"]
#[allow(dead_code, reason = "shared with the comparison")]
mod book;
#[path = "../src/compare/guarded.rs"]
#[allow(dead_code, reason = "shared with the comparison")]
mod guarded;
#[path = "../src/compare/paths.rs"]
#[allow(dead_code, reason = "shared with the comparison")]
mod paths;
#[path = "../src/compare/scene.rs"]
#[allow(dead_code, reason = "shared with the comparison")]
mod scene;

use backstop_actors::journal::record;
use backstop_actors::journal::{Position, Written};
use backstop_engine::adl::Ranking;
use backstop_engine::command::Envelope;
use backstop_engine::id::{AssetIx, Side};
use backstop_engine::margin::{MarginReport, Marks, Shard, value};
use backstop_engine::money::Quantity;
use backstop_engine::reference::{Options, Reference};
use book::{Book, Leverage};
use criterion::{BatchSize, Criterion};
use guarded::Guarded;
use paths::path;
use rust_decimal::Decimal;
use scene::Scene;
use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Accounts of every bench, with four positions each.
const ACCOUNTS: usize = 10_000;
const FILL: &str =
    r#"{"type":"fill","market":"M10","price":"0.5","quantity":"7","buyer":"a1","seller":"a2","trade":"t"}"#;

fn guarded(scene: &Scene, leverage: Leverage) -> Result<Guarded, Failed> {
    let mut guarded = Guarded::new(scene, &Book::new(scene, ACCOUNTS, 4, leverage, 1))?;
    let first = scene.marks(&scene.first());
    guarded.tick(&first)?;
    guarded.tick(&first)?;
    Ok(guarded)
}

fn one_account(criterion: &mut Criterion, shard: &Shard) -> Result<(), Failed> {
    let account = shard.account(&book::id(7)).ok_or("no account")?;
    let position = account.positions.first().ok_or("no position")?;
    let (market, mark) = (shard.rules().market(position.market)?, shard.marks().price(position.market));
    criterion.bench_function("value of a position", |bench| {
        bench.iter(|| value(market, black_box(position), black_box(mark), None));
    });
    criterion.bench_function("report of an account × 4", |bench| {
        bench.iter(|| MarginReport::cross(black_box(account), AssetIx(0), shard.rules(), shard.marks()));
    });
    criterion.bench_function("audit scan, 10,000 accounts × 4", |bench| bench.iter(|| shard.evaluate()));
    Ok(())
}

fn marks_of(scene: &Scene, kind: paths::Kind) -> Vec<Arc<Marks>> {
    // A calm path is long, because everything is built anew at its end.
    let ticks = if kind == paths::Kind::Calm { 40 * paths::CRASH } else { paths::CRASH };
    path(scene, kind, ticks, 1).iter().map(|marks| scene.marks(marks)).collect()
}

/// A tick after another along a path; what breaches is closed outside of what is timed.
fn ticks(
    criterion: &mut Criterion,
    scene: &Scene,
    name: &str,
    (kind, leverage): (paths::Kind, Leverage),
) -> Result<(), Failed> {
    let path = marks_of(scene, kind);
    let book = Book::new(scene, ACCOUNTS, 4, leverage, 1);
    // Checked before, so that nothing can fail while it is timed.
    drop(guarded(scene, leverage)?);
    criterion.bench_function(name, |bench| {
        bench.iter_custom(|rounds| {
            let (mut whole, mut done) = (Duration::ZERO, 0);
            while done < rounds {
                let Ok(mut guarded) = Guarded::new(scene, &book) else { break };
                let first = scene.marks(&scene.first());
                let _ = (guarded.tick(&first), guarded.tick(&first));
                for marks in path.iter().take(usize::try_from(rounds - done).unwrap_or(usize::MAX)) {
                    let since = std::time::Instant::now();
                    let reply = guarded.tick(marks);
                    whole += since.elapsed();
                    let _ = reply.and_then(|reply| guarded.close(&reply.reports, marks));
                    done += 1;
                }
            }
            whole
        });
    });
    Ok(())
}

fn commands(criterion: &mut Criterion) -> Result<(), Failed> {
    criterion.bench_function("decode a fill from a line", |bench| bench.iter(|| Envelope::read(black_box(FILL))));
    let mut engine = Reference::new(Options { shards: 1, shows_accounts: false });
    for line in [
        r#"{"type":"list_asset","asset":"USDT","scale":6}"#,
        r#"{"type":"list_market","market":"M10","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{"initial_rate":"0.02","maintenance_rate":"0.01"}]}"#,
        r#"{"type":"deposit","account":"a1","asset":"USDT","amount":"1000000000"}"#,
        r#"{"type":"deposit","account":"a2","asset":"USDT","amount":"1000000000"}"#,
    ] {
        engine.submit(&Envelope::read(line)?.command, 0)?.result?;
    }
    let fill = Envelope::read(FILL)?;
    // There and back, so that the positions stay as they are.
    let back = Envelope::read(&FILL.replace("a1", "a3").replace("a2", "a1").replace("a3", "a2"))?;
    engine.submit(&fill.command, 0)?.result?;
    criterion.bench_function("two fills, in the engine", |bench| {
        bench.iter(|| (engine.submit(&fill.command, 0), engine.submit(&back.command, 0)));
    });
    let batch: Vec<Written> =
        (0..100).map(|_| Written::Command { time: 1, command: fill.command.clone(), numbered: None }).collect();
    criterion.bench_function("journal record of 100 fills, with its hash", |bench| {
        bench.iter(|| record::encode(record::Kind::Batch, &Position::default(), black_box(&batch), 1));
    });
    Ok(())
}

fn adl(criterion: &mut Criterion, shard: &Shard) -> Result<(), Failed> {
    let market = shard.rules().market_named("M10")?.clone();
    let mark = shard.marks().price(market.index).ok_or("no mark")?;
    let candidates = shard.candidates(market.index, Side::Sell)?;
    let name = format!("ADL ranking of {} candidates", candidates.len());
    criterion.bench_function(&name, |bench| {
        let again = || candidates.clone();
        bench.iter_batched(again, |held| Ranking::new(&market, Side::Sell, mark, held), BatchSize::LargeInput);
    });
    let ranking = Ranking::new(&market, Side::Sell, mark, candidates.clone())?;
    // Two in a hundred of what there is.
    let open: Decimal = candidates.iter().map(|candidate| candidate.quantity.get()).sum();
    let need = market.to_lot(Quantity::new(open / Decimal::from(50)), backstop_engine::number::Rounding::Ceil)?;
    criterion.bench_function("ADL selection of a fiftieth", |bench| {
        let fresh = || (ranking.clone(), BTreeMap::new());
        let select = |(mut ranking, mut spent): (Ranking, _)| {
            ranking.select(&market, need, mark, &BTreeSet::new(), &mut spent).map(|cuts| cuts.len())
        };
        bench.iter_batched(fresh, select, BatchSize::LargeInput);
    });
    Ok(())
}

fn all(criterion: &mut Criterion) -> Result<(), Failed> {
    let scene = Scene::new()?;
    let guarded = guarded(&scene, Leverage::Mixed)?;
    one_account(criterion, &guarded.shard)?;
    ticks(criterion, &scene, "calm tick, mixed leverage", (paths::Kind::Calm, Leverage::Mixed))?;
    ticks(criterion, &scene, "crash tick, high leverage", (paths::Kind::CrashAll, Leverage::High))?;
    commands(criterion)?;
    adl(criterion, &guarded.shard)
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .sample_size(30)
        .configure_from_args();
    if let Err(error) = all(&mut criterion) {
        eprintln!("{error}");
        std::process::exit(1);
    }
    criterion.final_summary();
}
