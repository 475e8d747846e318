//! Measures Backstop, and breaks it on purpose.
//!
//! | command | does |
//! |---|---|
//! | `micro` (without a word) | what a tick and a fill cost |
//! | `compare` | everything side by side with rivals, written into `RESULTS.md` with plots |
//! | `crash` | kills the real daemon again and again and checks that nothing acknowledged is lost or done twice |
//! | `durable` | durable commands a second, beside the bare disk, SQLite and PostgreSQL |
//! | `damage` | what one flipped bit does to the journal, and to the same journal in SQLite |
//! | `latency` | time to a durable answer under an open-loop load |
//! | `coldstart` | time from a cold start to serving, with a million accounts and a million commands to replay |
//! | `flood` | memory and answers under an endless flood |
//! | `reads` | reads a second beside an empty handler, and what they cost the ticks; needs `wrk` |
//! | `streams` | what clients of the stream cost the engine, those that read and those that stop |
//!
//! Figures are printed as Markdown and never asserted: machines differ. The crash tester has an opinion, and so have `reads`
//! and `streams` about what is answered and told, not about how fast.
#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    clippy::arithmetic_side_effects,
    reason = "figures to look at"
)]

mod coldstart;
mod compare;
mod crash;
mod daemon;
mod damage;
mod durable;
mod fall;
mod feeder;
mod figures;
mod flood;
mod http;
mod latency;
mod micro;
mod reads;
mod scratch;
mod seen;
mod sqlite;
mod streams;
mod venue;
mod world;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What keeps a benchmark from running.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Benchmarks and the crash tester of Backstop.
#[derive(Debug, Parser)]
#[command(name = "backstop-bench", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    micro: micro::Micro,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a tick and a fill cost, in the engine alone and through the actors.
    Micro(micro::Micro),
    /// Everything side by side: naive and linear scans, Backstop, percolator-engine; burst, throughput, latency, memory.
    Compare(compare::Compare),
    /// Kill the daemon at random instants; check that nothing acknowledged is lost and nothing is done twice.
    Crash(crash::Crash),
    /// Durable commands a second, beside plain files, SQLite and PostgreSQL, in one interleaved run.
    Durable(durable::Durable),
    /// Flip one bit after another in what a crash leaves of the journal, and of the same journal in SQLite.
    Damage(damage::Damage),
    /// Time to a durable answer at a fixed rate of commands, counted from the instant each was due.
    Latency(latency::Latency),
    /// Time from a cold start to serving: newest snapshot and replay.
    Coldstart(coldstart::Coldstart),
    /// Memory and answers of the daemon while more arrives than it can take.
    Flood(flood::Flood),
    /// Reads a second beside an empty handler, while the venue is quiet and while it is busy; needs wrk on the PATH.
    Reads(reads::Reads),
    /// What clients of the stream cost the engine, those that read and those that stop; who reads must get everything.
    Streams(streams::Streams),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Micro(cli.micro)) {
        Command::Micro(options) => micro::run(&options),
        Command::Compare(options) => compare::run(&options),
        Command::Crash(options) => crash::run(&options),
        Command::Durable(options) => durable::run(&options),
        Command::Damage(options) => damage::run(&options),
        Command::Latency(options) => latency::run(&options),
        Command::Coldstart(options) => coldstart::run(&options),
        Command::Flood(options) => flood::run(&options),
        Command::Reads(options) => reads::run(&options),
        Command::Streams(options) => streams::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backstop-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
