//! The command line.

use crate::demo;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rust_decimal::Decimal;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The engine that stands behind a derivatives venue when prices crash: price oracle, margin, liquidation queue,
/// insurance fund and auto-deleveraging.
#[derive(Debug, Parser)]
#[command(name = "backstop", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What to do; without a word: serve.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Options of `serve`.
    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon.
    Serve(Serve),
    /// Play a crash against a freshly started daemon and report what it cost.
    Demo(Demo),
    /// Apply scenario files in process and compare what they expect.
    Run(Run),
    /// Check, inspect or export the journal of a daemon that has ended, or of a copy.
    #[command(subcommand)]
    Journal(Journal),
    /// Write the state down now: of a running daemon, or of a data directory that none uses.
    Snapshot(Snapshot),
    /// Build what readers look up anew from the journal.
    Reindex(Reindex),
}

/// What to do with a journal.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Journal {
    /// Check every checksum and the chain; name the first bad batch.
    Verify(Look),
    /// Show every batch, one JSON object a line.
    Inspect(Look),
    /// Show every command, one JSON object a line: a scenario file that `backstop run` takes.
    Export(Export),
}

/// Where a data directory is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Look {
    /// The data directory: a copy, or that of a daemon that has ended.
    #[arg(long, env = "BACKSTOP__DATA_DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
}

/// What is exported.
#[derive(Debug, Clone, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) look: Look,
    /// Show events instead of commands: what came of them, computed anew.
    #[arg(long)]
    pub(crate) events: bool,
}

/// Whose state is written down.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Snapshot {
    /// The admin listener of a running daemon.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,
    /// A data directory that no daemon uses.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Whose history is built.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reindex {
    /// A data directory that no daemon uses.
    #[arg(long, env = "BACKSTOP__DATA_DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
}

/// Where everything is kept when nobody says where.
const DATA_DIR: &str = "backstop-data";

/// How everything is kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct Keep {
    /// Take a snapshot after so many batches; 0 for never.
    #[arg(long, env = "BACKSTOP__SNAPSHOT_BATCHES", default_value_t = 100_000)]
    pub(crate) snapshot_batches: u64,
    /// Take a snapshot after so many seconds, if anything has happened; 0 for never.
    #[arg(long, env = "BACKSTOP__SNAPSHOT_SECONDS", default_value_t = 900)]
    pub(crate) snapshot_seconds: u64,
    /// Snapshots to keep; older ones are removed.
    #[arg(long, env = "BACKSTOP__SNAPSHOTS_KEPT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) snapshots_kept: u16,
    /// Turn commands away when fewer mebibytes than this are free on the disk.
    #[arg(long, env = "BACKSTOP__MIN_FREE_MB", default_value_t = 256)]
    pub(crate) min_free_mb: u64,
}

/// How the daemon listens and works.
#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Where everything is kept.
    #[arg(long, env = "BACKSTOP__DATA_DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) keep: Keep,
    /// Where the API listens.
    #[arg(long, env = "BACKSTOP__LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Where metrics and health are shown.
    #[arg(long, env = "BACKSTOP__ADMIN", default_value = "127.0.0.1:9464")]
    pub(crate) admin: SocketAddr,
    /// Margin shards, 1 to 16. Results do not depend on it.
    #[arg(long, env = "BACKSTOP__SHARDS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) shards: u8,
    /// Milliseconds between the ticks that the daemon emits itself; 0 for none.
    #[arg(long, env = "BACKSTOP__MARK_INTERVAL_MS", default_value_t = 1_000)]
    pub(crate) mark_interval_ms: u64,
}

/// The order of low and high inside a bar, which no candle tells.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Order {
    /// Open, low, high, close.
    Olhc,
    /// Open, high, low, close.
    Ohlc,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to play.
#[derive(Debug, Clone, Args)]
pub(crate) struct Demo {
    /// Keep everything here, as the daemon does; without it nothing is kept.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keep: Keep,
    /// Candle files (`ts,symbol,open,high,low,close,volume` or Binance's public kline columns, plain or .gz); without
    /// any, the crash of 10 October 2025.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) prices: Vec<PathBuf>,
    /// Accounts of the synthetic population.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=5_000_000))]
    pub(crate) accounts: u32,
    /// Everything random follows from this number.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Margin shards, 1 to 16. The report does not depend on it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) shards: u8,
    /// The order of low and high inside a bar.
    #[arg(long, value_enum, default_value_t = Order::Olhc)]
    pub(crate) order: Order,
    /// Milliseconds between ticks; by default as many as suit the bars.
    #[arg(long)]
    pub(crate) tick_ms: Option<u64>,
    /// Seed capital of the fund as a fraction of open interest.
    #[arg(long, default_value = demo::FUND_SHARE, value_parser = demo::fund_share)]
    pub(crate) fund: Decimal,
    /// Play candle files from end to end, not only the hours around the worst one.
    #[arg(long)]
    pub(crate) all: bool,
    /// End after the report instead of leaving the daemon up for a look.
    #[arg(long)]
    pub(crate) exit: bool,
    /// How the report is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

impl Demo {
    /// As the demo takes them.
    pub(crate) fn options(&self) -> demo::Options {
        demo::Options {
            prices: self.prices.clone(),
            accounts: usize::try_from(self.accounts).unwrap_or(usize::MAX),
            seed: self.seed,
            order: match self.order {
                Order::Olhc => demo::BarOrder::Olhc,
                Order::Ohlc => demo::BarOrder::Ohlc,
            },
            format: match self.format {
                Format::Text => demo::Format::Text,
                Format::Json => demo::Format::Json,
            },
            shards: usize::from(self.shards),
            fund: self.fund,
            tick_ms: self.tick_ms,
            all: self.all,
        }
    }
}

/// Scenario files.
#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// Each is applied to an engine of its own.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Margin shards, 1 to 16. Results do not depend on it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) shards: u8,
    /// Write every event to this file, one a line.
    #[arg(long, value_name = "OUT.ndjson")]
    pub(crate) events: Option<PathBuf>,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}
