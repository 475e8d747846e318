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
    /// Check an export of the record offline: every hash, every sum, every signature.
    Verify(Verify),
    /// Print the reports of days from a data directory.
    Report(Report),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(Config),
    /// Make an API key: prints a secret or token, and the lines of the configuration that take it.
    Key(Key),
}

/// What is checked, and by which key.
#[derive(Debug, Clone, Args)]
pub(crate) struct Verify {
    /// What `/v1/export` gave; `-` for standard input.
    pub(crate) export: PathBuf,
    /// The public key of the venue, 64 hexadecimal digits, or a file that holds it. Without it the export is only held to
    /// the key it names itself.
    #[arg(long, value_name = "PUB")]
    pub(crate) key: Option<String>,
}

/// Which days.
#[derive(Debug, Clone, Args)]
pub(crate) struct Report {
    /// A settlement asset.
    pub(crate) asset: String,
    /// One UTC day, as 2025-10-10.
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(crate) day: Option<String>,
    /// The first day; the first there is when left out.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// The last day; the last there is when left out.
    #[arg(long)]
    pub(crate) to: Option<String>,
    /// The data directory.
    #[arg(long, env = "BACKSTOP__DATA_DIR", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = ReportFormat::Json)]
    pub(crate) format: ReportFormat,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// One JSON object a day.
    Json,
    /// Rows for a spreadsheet.
    Csv,
}

/// What is asked of the configuration.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Config {
    /// Can it be used? 0, or 78 and why not.
    Check(Settings),
    /// Print every value that is in force, and where it comes from.
    Print(Settings),
}

/// Which key is made.
#[derive(Debug, Clone, Args)]
pub(crate) struct Key {
    /// Its name, as logs and rule changes show it.
    pub(crate) id: String,
    /// What it may do.
    #[arg(long, value_enum, default_value_t = Role::Venue)]
    pub(crate) role: Role,
    /// The account it reads, with `--role account`.
    #[arg(long, required_if_eq("role", "account"))]
    pub(crate) account: Option<String>,
    /// A bearer token instead of a secret to sign with.
    #[arg(long)]
    pub(crate) token: bool,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Reads one account.
    Account,
    /// Reads accounts, sends commands.
    Venue,
    /// Reads accounts, changes rules and capital.
    Operator,
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
#[command(group = clap::ArgGroup::new("whose").required(true).multiple(false))]
pub(crate) struct Snapshot {
    /// The admin listener of a running daemon.
    #[arg(long, value_name = "ADDRESS", group = "whose")]
    pub(crate) admin: Option<SocketAddr>,
    /// A data directory that no daemon uses.
    #[arg(long, group = "whose")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The bearer token of an operator, where the daemon has keys; better in the environment than on a command line.
    #[arg(long, env = "BACKSTOP_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
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

/// Flags of the daemon; what is not given comes from the environment, the file, or the defaults.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Settings {
    /// A configuration file (TOML); see backstop.toml for every name and its default.
    #[arg(long, env = "BACKSTOP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where metrics, health and operator commands are served.
    #[arg(long)]
    admin: Option<SocketAddr>,
    /// Margin shards, 1 to 16. Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    shards: Option<u8>,
    /// Milliseconds between the ticks that the daemon emits itself; 0 for none.
    #[arg(long)]
    mark_interval_ms: Option<u64>,
    /// Take a snapshot after so many batches; 0 for never.
    #[arg(long)]
    snapshot_batches: Option<u64>,
    /// Take a snapshot after so many seconds, if anything has happened; 0 for never.
    #[arg(long)]
    snapshot_seconds: Option<u64>,
    /// Snapshots to keep; older ones are removed.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    snapshots_kept: Option<u16>,
    /// Turn commands away when fewer mebibytes than this are free on the disk.
    #[arg(long)]
    min_free_mb: Option<u64>,
}

impl Settings {
    /// What was given, by the name in the configuration.
    pub(crate) fn given(&self) -> Vec<(&'static str, String)> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let flags = [
            ("data_dir", self.data_dir.as_ref().map(path)),
            ("listen", self.listen.map(|address| address.to_string())),
            ("admin", self.admin.map(|address| address.to_string())),
            ("shards", self.shards.map(|count| count.to_string())),
            ("mark_interval_ms", self.mark_interval_ms.map(|ms| ms.to_string())),
            ("snapshot_batches", self.snapshot_batches.map(|count| count.to_string())),
            ("snapshot_seconds", self.snapshot_seconds.map(|count| count.to_string())),
            ("snapshots_kept", self.snapshots_kept.map(|count| count.to_string())),
            ("min_free_mb", self.min_free_mb.map(|count| count.to_string())),
        ];
        flags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl From<&crate::config::Config> for Keep {
    fn from(config: &crate::config::Config) -> Self {
        Self {
            snapshot_batches: config.snapshot_batches,
            snapshot_seconds: config.snapshot_seconds,
            snapshots_kept: config.snapshots_kept,
            min_free_mb: config.min_free_mb,
        }
    }
}

/// The daemon.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) settings: Settings,
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
