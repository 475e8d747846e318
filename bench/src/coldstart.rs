//! From exec to ready, with a snapshot of many accounts and many commands after it.

use crate::Failed;
use crate::daemon::{Daemon, Start};
use crate::durable::bring;
use crate::figures::{Figures, grouped};
use crate::scratch::{self, Scratch};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// How much there is to come back to.
#[derive(Debug, clap::Args)]
pub(crate) struct Coldstart {
    /// The daemon's binary.
    #[arg(long)]
    binary: PathBuf,
    /// Accounts in the snapshot, each with a position.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: u64,
    /// Commands after the snapshot.
    #[arg(long, default_value_t = 1_000_000)]
    commands: u64,
    /// Starts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    starts: u32,
    /// Margin shards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    shards: u8,
    /// Where the directory is made.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Markets of the venue.
const MARKETS: u64 = 20;
/// No snapshot is taken but the one that is asked for.
const NEVER: u64 = 0;

fn fill(buyer: u64, seller: u64, trade: u64) -> String {
    let market = buyer % MARKETS;
    format!(
        r#"{{"type":"fill","market":"M{market}","price":"{}","quantity":"0.01","buyer":"a{buyer}","seller":"a{seller}","trade":"t{trade}"}}"#,
        1_000 + market * 100
    ) + "\n"
}

/// The venue and its accounts.
fn before(accounts: u64) -> impl Iterator<Item = String> {
    let markets = (0..MARKETS).map(|market| {
        format!(
            r#"{{"type":"list_market","market":"M{market}","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{{"initial_rate":"0.02","maintenance_rate":"0.01"}}],"oracle":{{"stale_after_ms":604800000}}}}"#
        ) + "\n"
    });
    let deposits = (0..accounts)
        .map(|account| format!(r#"{{"type":"deposit","account":"a{account}","asset":"USDT","amount":"1000"}}"#) + "\n");
    let fills = (0..accounts / 2).map(|pair| fill(2 * pair, 2 * pair + 1, pair));
    let listed = std::iter::once(r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned() + "\n");
    let prices = (0..MARKETS).map(|market| price(market, 0));
    listed.chain(markets).chain(deposits).chain(fills).chain(prices)
}

fn price(market: u64, tenths: u64) -> String {
    format!(
        r#"{{"type":"price","market":"M{market}","source":"a","price":"{}.{}"}}"#,
        1_000 + market * 100,
        tenths % 10
    ) + "\n"
}

/// What is replayed: mostly fills; deposits, withdrawals and prices among them, a tick every 100,000.
fn after(accounts: u64, commands: u64) -> impl Iterator<Item = String> {
    (0..commands).map(move |place| {
        let (one, other) = (place * 7_919 % accounts, (place * 104_729 + 1) % accounts);
        match place % 20 {
            _ if place % 100_000 == 99_999 => r#"{"type":"tick"}"#.to_owned() + "\n",
            0 => format!(r#"{{"type":"deposit","account":"a{one}","asset":"USDT","amount":"10"}}"#) + "\n",
            1 => format!(r#"{{"type":"withdraw","account":"a{one}","asset":"USDT","amount":"1"}}"#) + "\n",
            2 => price(place / 20 % MARKETS, place / 400),
            _ if one == other => price(one % MARKETS, place / 400),
            _ => fill(one, other, place),
        }
    })
}

/// Prints the table.
pub(crate) fn run(options: &Coldstart) -> Result<(), Failed> {
    let scratch = Scratch::new(options.dir.as_deref(), "coldstart")?;
    let start = Start { shards: options.shards, ..Start::new(&options.binary, &scratch.path().join("data")) };
    let start = start.with("--snapshot-batches", NEVER).with("--snapshot-seconds", NEVER);
    let (state, snapshot) = make(options, &start)?;
    let bytes = scratch::bytes(&start.data_dir)?;
    let (mut ready, mut log) = (Figures::default(), String::new());
    for _ in 0..options.starts {
        forget(&start.data_dir)?;
        let mut daemon = Daemon::spawn(&start)?;
        ready.push(daemon.ready()?.as_secs_f64());
        if daemon.state()? != state {
            return Err("the state is another after the start".into());
        }
        daemon.kill()?;
        log = daemon.log();
    }
    println!("| what | figure |\n|---|---|");
    println!("| accounts in the snapshot, each with a position | {} |", grouped(options.accounts as f64));
    println!("| commands after it | {} |", grouped(options.commands as f64));
    println!("| the directory, MB | {} |", grouped(bytes as f64 / 1e6));
    println!("| taking the snapshot, s | {snapshot:.1} |");
    let (median, low, high) = (ready.median(), ready.low(), ready.high());
    println!(
        "| exec to ready, s, {} starts, files not in the page cache | {median:.2} ({low:.2}–{high:.2}) |",
        options.starts
    );
    println!("\nThe daemon's log of the last start:\n\n```text\n{log}\n```");
    Ok(())
}

/// Makes the directory and leaves it as a kill does; its state, and the seconds of the snapshot.
fn make(options: &Coldstart, start: &Start) -> Result<((u64, String), f64), Failed> {
    let mut daemon = Daemon::start(start)?;
    bring(&daemon, before(options.accounts))?;
    let since = Instant::now();
    let reply = daemon.snapshot()?;
    if !(200..300).contains(&reply.status) {
        return Err(format!("no snapshot: status {}: {}", reply.status, reply.body).into());
    }
    let took = since.elapsed().as_secs_f64();
    bring(&daemon, after(options.accounts, options.commands))?;
    let state = daemon.state()?;
    daemon.kill()?;
    Ok((state, took))
}

/// Has the system drop the files from its cache, where it does that for us.
fn forget(dir: &Path) -> Result<(), Failed> {
    for file in scratch::files(dir)? {
        std::fs::File::open(&file)?.sync_all()?;
        let mut name = std::ffi::OsString::from("if=");
        name.push(&file);
        let _ = Command::new("dd").arg(name).args(["iflag=nocache", "count=0", "status=none"]).status();
    }
    Ok(())
}
