//! The burst: one tick at new prices makes thousands of accounts bankrupt in every market, while the fund is empty and the
//! venue buys nothing at the limit. Everything is closed against others, in the engine alone and through all actors with
//! the journal on a disk.

use super::report::{Section, Table};
use super::{Failed, say};
use crate::figures::{Figures, grouped};
use crate::scratch::Scratch;
use crate::venue::{self, Kept};
use backstop_actors::history::{Filter, Look};
use backstop_actors::publisher::Read;
use backstop_actors::topology::Placement;
use backstop_engine::command::Envelope;
use backstop_engine::event::Fact;
use backstop_engine::reference::{Options, Reference};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// How large it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) accounts: usize,
    pub(crate) markets: usize,
    /// ADL fills of the one tick.
    pub(crate) fills: usize,
}

/// Contracts of the accounts that fall, in turn: as many as others are needed to close them against.
const CONTRACTS: [usize; 4] = [1, 2, 3, 4];

/// What leads up to it, and the burst itself.
struct Burst {
    setup: Vec<Envelope>,
    fall: Vec<Envelope>,
}

fn deposit(account: &str, amount: &str) -> String {
    format!(r#"{{"type":"deposit","account":"{account}","asset":"USDT","amount":"{amount}"}}"#)
}

fn fill(market: usize, buyer: &str, seller: &str, trade: usize) -> String {
    format!(
        r#"{{"type":"fill","market":"M{market}","price":"100","quantity":"1","buyer":"{buyer}","seller":"{seller}","trade":"t{trade}"}}"#
    )
}

impl Burst {
    /// In every market some are long on thin margins, against as many shorts of one contract each; the rest are pairs of a
    /// long and a short that can bear it.
    fn new(size: Size) -> Result<Self, Failed> {
        let mut lines = vec![r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned()];
        for market in 0..size.markets {
            lines.push(format!(
                r#"{{"type":"list_market","market":"M{market}","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{{"initial_rate":"0.05","maintenance_rate":"0.03"}}],"venue":{{"embedded":{{"depth_per_bp":"1"}}}},"liquidation":{{"residual":"adl"}},"oracle":{{"stale_after_ms":604800000}}}}"#
            ));
        }
        let (mut left, mut trade) = (size.accounts, 0);
        for market in 0..size.markets {
            // The first markets take what does not divide.
            let mut open = size.fills / size.markets + usize::from(market < size.fills % size.markets);
            let mut turn = 0;
            while open > 0 {
                let contracts = CONTRACTS.get(turn % CONTRACTS.len()).copied().unwrap_or(1).min(open);
                let loser = format!("l{market}-{turn}");
                // Bankrupt between 88 and 92.
                let cents = contracts * (800 + (market * 31 + turn * 57) % 400);
                lines.push(deposit(&loser, &format!("{}.{:02}", cents / 100, cents % 100)));
                for _ in 0..contracts {
                    let winner = format!("w{market}-{trade}");
                    lines.push(deposit(&winner, "1000"));
                    lines.push(fill(market, &loser, &winner, trade));
                    trade += 1;
                }
                left = left.checked_sub(contracts + 1).ok_or("too few accounts")?;
                (open, turn) = (open - contracts, turn + 1);
            }
        }
        for pair in 0..left / 2 {
            let (long, short) = (format!("b{pair}"), format!("s{pair}"));
            lines.extend([
                deposit(&long, "1000"),
                deposit(&short, "1000"),
                fill(pair % size.markets, &long, &short, trade),
            ]);
            trade += 1;
        }
        if left % 2 == 1 {
            lines.push(deposit("odd", "1000"));
        }
        let prices = |price: &str| {
            let quote = |market| format!(r#"{{"type":"price","market":"M{market}","source":"a","price":"{price}"}}"#);
            (0..size.markets).map(quote).chain([r#"{"type":"tick"}"#.to_owned()]).collect::<Vec<_>>()
        };
        // Two ticks: the second finds everything built that ticks search by.
        lines.extend(prices("100"));
        lines.extend(prices("100.1"));
        let read = |lines: &[String]| lines.iter().map(|line| Envelope::read(line)).collect::<Result<Vec<_>, _>>();
        Ok(Self { setup: read(&lines)?, fall: read(&prices("80"))? })
    }
}

/// What one tick did.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    events: usize,
    liquidations: usize,
    fills: usize,
    claims: usize,
    /// Quantities that ADL was asked to close.
    needs: usize,
}

fn in_engine(burst: &Burst) -> Result<(f64, Done), Failed> {
    let mut engine = Reference::new(Options { shards: 1, shows_accounts: false });
    for batch in burst.setup.chunks(1_000) {
        let entries = batch.iter().map(|one| engine.admit(&one.command, 0)).collect::<Result<Vec<_>, _>>()?;
        if let Some(refused) = engine.apply(entries)?.entries.iter().find(|entry| entry.result.is_err()) {
            return Err(format!("a command was refused: {:?}", refused.result).into());
        }
    }
    let entries = burst.fall.iter().map(|one| engine.admit(&one.command, 1_000)).collect::<Result<Vec<_>, _>>()?;
    let since = Instant::now();
    let outcome = engine.apply(entries)?;
    let took = since.elapsed().as_secs_f64() * 1e3;
    let mut done = Done::default();
    for event in outcome.entries.iter().flat_map(|entry| &entry.events) {
        done.events += 1;
        match event.fact {
            Fact::LiquidationStarted { .. } => done.liquidations += 1,
            Fact::Deleveraged(_) => done.fills += 1,
            Fact::Coverage { .. } => done.claims += 1,
            Fact::AdlTriggered { .. } => done.needs += 1,
            _ => {}
        }
    }
    if !engine.conservation()?.holds() {
        return Err("the burst does not conserve".into());
    }
    Ok((took, done))
}

fn through_actors(burst: &Burst, dir: &Path, shards: usize, fills: usize) -> Result<f64, Failed> {
    let scratch = Scratch::new(Some(dir), "burst")?;
    venue::with(Kept::new(scratch.path())?, shards, Placement::Spread, &burst.setup, async |topology| {
        let reads = venue::reads(&burst.fall);
        let since = Instant::now();
        let answers = topology.gateway.submit(reads).await?;
        let took = since.elapsed().as_secs_f64() * 1e3;
        venue::all_taken(&answers)?;
        let look = Look::Adl(Filter::default());
        let (_, items, _) = topology.publisher.read(Read { look, after: 0, limit: fills * 2 + 1 }).await??;
        // The tape has what ADL was asked for as well.
        let told = items.iter().filter(|item| item.body.get().contains(r#""type":"deleveraged""#)).count();
        if told != fills {
            return Err(format!("{told} of {fills} ADL fills are in the history").into());
        }
        Ok(took)
    })
}

/// In the child: one burst in the engine alone (no shards), or through the actors.
pub(crate) fn child(size: Size, shards: usize, dir: &Path) -> Result<(), Failed> {
    let burst = Burst::new(size)?;
    if shards > 0 {
        println!("{}", through_actors(&burst, dir, shards, size.fills)?);
        return Ok(());
    }
    let (took, Done { events, liquidations, fills, claims, needs }) = in_engine(&burst)?;
    println!("{took} {events} {liquidations} {fills} {claims} {needs}");
    Ok(())
}

/// Has a burst run in a process of its own, as in a daemon: memory that an earlier one has left behind changes the time.
fn apart(size: Size, shards: usize, dir: &Path) -> Result<Vec<f64>, Failed> {
    let Size { accounts, markets, fills } = size;
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["compare", "--child-burst", &format!("{accounts},{markets},{fills},{shards}"), "--dir"]).arg(dir);
    let output = child.output()?;
    if !output.status.success() {
        return Err(format!("a child failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// Runs it, round after round.
pub(crate) fn run(size: Size, rounds: u32, dir: Option<&Path>) -> Result<Section, Failed> {
    let scratch = Scratch::new(dir, "bursts")?;
    let (mut engine, mut one, mut two, mut done) =
        (Figures::default(), Figures::default(), Figures::default(), Done::default());
    for round in 1..=rounds {
        let found = apart(size, 0, scratch.path())?;
        let [took, events, liquidations, fills, claims, needs] = found.as_slice() else {
            return Err("a child said something else".into());
        };
        engine.push(*took);
        let count = |figure: &f64| *figure as usize;
        done = Done {
            events: count(events),
            liquidations: count(liquidations),
            fills: count(fills),
            claims: count(claims),
            needs: count(needs),
        };
        for (shards, figures) in [(1, &mut one), (2, &mut two)] {
            figures.push(*apart(size, shards, scratch.path())?.first().ok_or("a child said nothing")?);
        }
        say(&format!("burst: round {round} of {rounds}"));
    }
    let mut section = Section::new(
        "burst",
        "The burst",
        format!(
            "{} accounts in {} markets, all prices 20 % down in one tick, an empty fund and a venue that buys nothing at the \
             limit: {} liquidations, {} claims on the fund, {} of them left to ADL, {} ADL fills, {} events in that tick. From the submission of the \
             {} commands to their answer, each burst in a process of its own; {rounds} rounds.",
            grouped(size.accounts as f64),
            size.markets,
            grouped(done.liquidations as f64),
            grouped(done.claims as f64),
            grouped(done.needs as f64),
            grouped(done.fills as f64),
            grouped(done.events as f64),
            size.markets + 1
        ),
    );
    let mut table = Table::new("To rest", &["where", "ms", "µs a claim", "µs an ADL fill"]);
    for (place, figures) in [
        ("engine alone", &engine),
        ("all actors, 1 shard, journal on a disk", &one),
        ("all actors, 2 shards, journal on a disk", &two),
    ] {
        let each = |count: usize| format!("{:.2}", figures.median() * 1e3 / count as f64);
        table.row([place.into(), figures.short(), each(done.claims), each(done.fills)]);
    }
    section.table(table);
    section.data(json!({
        "accounts": size.accounts, "markets": size.markets, "liquidations": done.liquidations, "claims": done.claims,
        "adl_fills": done.fills, "events": done.events, "engine_ms": engine.json(), "actors_1_ms": one.json(),
        "actors_2_ms": two.json(),
    }));
    Ok(section)
}
