//! From a shortfall to its decision: an open loop in which each price and tick that makes one account bankrupt is due at an
//! instant fixed beforehand. The time counts from that instant to the durable answer, whatever came before (no coordinated
//! omission).

use super::report::{Section, Table};
use super::{Failed, say};
use crate::figures::{Figures, Latencies, grouped};
use crate::latency::pace;
use crate::scratch::Scratch;
use crate::venue::{self, Kept};
use crate::world::World;
use backstop_actors::gateway::Read;
use backstop_actors::history::{Filter, Look};
use backstop_actors::publisher;
use backstop_actors::topology::Placement;
use backstop_engine::command::Envelope;
use serde_json::json;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Rates to hold, how long, among how many accounts.
pub(crate) struct Scope<'d> {
    /// Shortfalls a second.
    pub(crate) rates: Vec<u32>,
    pub(crate) seconds: u32,
    pub(crate) rounds: u32,
    pub(crate) accounts: usize,
    pub(crate) dir: Option<&'d Path>,
}

/// The market whose price kills, beside those of the venue: nobody buys at the limit, and the fund is empty.
const MARKET: &str = r#"{"type":"list_market","market":"X","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{"initial_rate":"0.02","maintenance_rate":"0.01"}],"venue":{"embedded":{"depth_per_bp":"1"}},"oracle":{"stale_after_ms":604800000}}"#;

fn read(lines: &[String]) -> Result<Vec<Envelope>, Failed> {
    Ok(lines.iter().map(|line| Envelope::read(line)).collect::<Result<_, _>>()?)
}

fn price(price: &str) -> [String; 2] {
    [format!(r#"{{"type":"price","market":"X","source":"a","price":"{price}"}}"#), r#"{"type":"tick"}"#.to_owned()]
}

/// The price is back, and somebody takes a thin position against somebody who can bear it.
fn prepare(event: usize) -> Result<Vec<Envelope>, Failed> {
    let mut lines = price("100").to_vec();
    lines.push(format!(r#"{{"type":"deposit","account":"v{event}","asset":"USDT","amount":"3"}}"#));
    lines.push(format!(
        r#"{{"type":"fill","market":"X","price":"100","quantity":"1","buyer":"v{event}","seller":"rich","trade":"x{event}"}}"#
    ));
    read(&lines)
}

/// One load: the latencies, and how many liquidations and ADL fills there were.
fn load(scope: &Scope<'_>, rate: u32, dir: &Path) -> Result<(Latencies, usize, usize), Failed> {
    let world = World::new(scope.accounts, 4)?;
    let mut setup = world.setup.clone();
    let rich = r#"{"type":"deposit","account":"rich","asset":"USDT","amount":"100000000"}"#.to_owned();
    setup.extend(read(&[MARKET.to_owned(), rich])?);
    setup.extend(world.prices(0)?);
    setup.extend(read(&price("100"))?);
    setup.extend(read(&price("100"))?);
    let events = usize::try_from(rate * scope.seconds)?;
    let fall = read(&price("96"))?;
    let prepared = (0..events).map(prepare).collect::<Result<Vec<_>, _>>()?;
    let scratch = Scratch::new(Some(dir), "shortfall")?;
    venue::with(Kept::new(scratch.path())?, 1, Placement::Spread, &setup, async |topology| {
        let (sender, mut due) = tokio::sync::mpsc::unbounded_channel();
        let gap = Duration::from_secs(1) / rate / 2;
        let pacer = std::thread::spawn(move || {
            // Half a gap before each shortfall the account that it meets comes in.
            pace(
                prepared.len() * 2,
                |place| gap * u32::try_from(place).unwrap_or(u32::MAX),
                |place, at| {
                    let commands =
                        if place % 2 == 0 { prepared.get(place / 2).ok_or("nothing is due")? } else { &fall };
                    let counts = place % 2 == 1;
                    Ok(sender.send((at, counts, venue::reads(commands))).map_err(|_| "nobody takes what is due")?)
                },
            )
        });
        let (latencies, mut running) = (Rc::new(RefCell::new(Latencies::default())), Vec::new());
        while let Some((at, counts, reads)) = due.recv().await {
            let reads: Vec<Read> = reads;
            let (gateway, latencies) = (topology.gateway.clone(), Rc::clone(&latencies));
            running.push(actix::spawn(async move {
                let answers = gateway.submit(reads).await?;
                if counts {
                    latencies.borrow_mut().push(std::time::Instant::now().saturating_duration_since(at));
                }
                venue::all_taken(&answers)
            }));
        }
        for task in running {
            task.await??;
        }
        pacer.join().map_err(|_| "the pacer panicked")??;
        let page = |look| publisher::Read { look, after: 0, limit: events * 2 + 1 };
        let look = Look::Liquidations(Filter::default());
        let (_, liquidations, _) = topology.publisher.read(page(look)).await??;
        let (_, cuts, _) = topology.publisher.read(page(Look::Adl(Filter::default()))).await??;
        if liquidations.len() != events {
            return Err(format!("{} of {events} accounts were liquidated", liquidations.len()).into());
        }
        let cuts = cuts.iter().filter(|item| item.body.get().contains(r#""type":"deleveraged""#)).count();
        Ok((latencies.take(), liquidations.len(), cuts))
    })
}

/// Runs every rate, round after round.
pub(crate) fn run(scope: &Scope<'_>) -> Result<Section, Failed> {
    let scratch = Scratch::new(scope.dir, "shortfalls")?;
    let mut section = Section::new(
        "latency",
        "From a shortfall to its decision",
        format!(
            "An open loop: each price and tick that makes one account bankrupt is due at a fixed instant, and its time counts \
             from there to the durable answer, in process, the journal on a disk, among {} accounts × 4 positions. {} s a \
             round, {} rounds.",
            grouped(scope.accounts as f64),
            scope.seconds,
            scope.rounds
        ),
    );
    let mut table =
        Table::new("Milliseconds", &["shortfalls a second", "decided", "ADL fills", "p50", "p99", "p99.9", "most"]);
    let mut data = Vec::new();
    for rate in &scope.rates {
        let mut figures: [Figures; 4] = Default::default();
        let (mut decided, mut cuts) = (0, 0);
        for round in 1..=scope.rounds {
            let (mut latencies, liquidations, fills) = load(scope, *rate, scratch.path())?;
            (decided, cuts) = (decided + liquidations, cuts + fills);
            figures.iter_mut().zip(latencies.quantiles()).for_each(|(figures, millis)| figures.push(millis));
            say(&format!("{rate} shortfalls a second: round {round} of {}", scope.rounds));
        }
        let counts = [rate.to_string(), grouped(decided as f64), grouped(cuts as f64)];
        table.row(counts.into_iter().chain(figures.iter().map(Figures::short)));
        let [p50, p99, p999, most] = figures.map(|figures| figures.json());
        data.push(json!({ "rate": rate, "p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "most_ms": most }));
    }
    section.table(table);
    section.data(json!(data));
    Ok(section)
}
