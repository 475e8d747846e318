//! Plays a market crash against a running daemon, through its HTTP API alone, and reports what became of the insurance
//! fund: candles in, commands out, a report at the end; it knows nothing of the engine inside.
#![allow(
    clippy::float_arithmetic,
    reason = "floats draw the synthetic population and summarise it; money stays in decimals"
)]
#![allow(
    clippy::arithmetic_side_effects,
    reason = "candle figures are bounded where they are read, the daemon's where it accepts them"
)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test stops where it fails")
)]

mod candles;
mod client;
mod contracts;
mod draw;
mod figure;
mod files;
mod gather;
mod pairing;
mod path;
mod population;
mod report;
mod script;
mod text;

use candles::Tape;
use client::Client;
use contracts::Listing;
use path::Grid;
use population::Population;
use report::{Input, Report, Timing};
use rust_decimal::Decimal;
use script::Script;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

pub(crate) use contracts::{FUND_SHARE, fund_share};
pub(crate) use path::BarOrder;

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Format {
    /// Aligned tables for people.
    #[default]
    Text,
    /// One JSON object; what depends on the machine stands under `timing`.
    Json,
}

/// What to play, and with whom.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Candle files; none for the built-in crash of 10 October 2025.
    pub(crate) prices: Vec<PathBuf>,
    /// Accounts of the synthetic population.
    pub(crate) accounts: usize,
    /// Everything random follows from this number.
    pub(crate) seed: u64,
    /// The order of low and high inside a bar, which no candle tells.
    pub(crate) order: BarOrder,
    /// Text or JSON.
    pub(crate) format: Format,
    /// Shards of the daemon, to be printed beside its timings.
    pub(crate) shards: usize,
    /// The fund's seed capital as a fraction of the open interest.
    pub(crate) fund: Decimal,
    /// Milliseconds between ticks; by default a 75th of a bar of five minutes or more, else a quarter of a bar.
    pub(crate) tick_ms: Option<u64>,
    /// Play candle files from end to end, not only the hours around the worst one.
    pub(crate) all: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prices: Vec::new(),
            accounts: 50_000,
            seed: 1,
            order: BarOrder::default(),
            format: Format::default(),
            shards: 1,
            fund: fund_share(FUND_SHARE).unwrap_or(Decimal::ONE),
            tick_ms: None,
            all: false,
        }
    }
}

/// Why the demo could not be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A candle file cannot be read.
    #[error(transparent)]
    Candles(#[from] candles::CandleError),
    /// An option makes no sense.
    #[error("{0}")]
    Options(String),
    /// The daemon did not answer, or not as agreed.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// The daemon refused a command without which nothing can be played.
    #[error("the daemon refused {command}: {code}: {message}")]
    Refused {
        /// The type of the command.
        command: String,
        /// The refusal's code.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// The report or the progress cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// The report is not JSON.
    #[error("cannot write the report: {0}")]
    Json(#[from] serde_json::Error),
}

impl DemoError {
    /// How the process ends.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Candles(candles::CandleError::Io { .. }) | Self::Output(_) => crate::exit::IO,
            Self::Candles(_) | Self::Options(_) => crate::exit::USAGE,
            Self::Client(_) | Self::Refused { .. } | Self::Json(_) => crate::exit::SOFTWARE,
        }
    }
}

/// Plays the prices against the daemon at `api` (and `admin`), shows progress on `progress`, writes the report to `out`.
///
/// # Errors
/// [`DemoError`], with the file and line where a candle file is at fault.
pub(crate) fn run(
    options: &Options,
    api: &str,
    admin: &str,
    out: &mut impl Write,
    progress: &mut impl Write,
) -> Result<(), DemoError> {
    check(options)?;
    let begun = Instant::now();
    let tape = read_tape(options)?;
    let grid = Grid::new(&tape, options.tick_ms, options.order);
    let listing = Listing::new(&tape, options.accounts);
    let population = Population::new(&listing, options.accounts, options.seed);
    writeln!(progress, "{}: {} markets, {} accounts drawn", tape.title, tape.tracks.len(), population.accounts.len())?;

    let mut client = Client::new(api, admin);
    client.wait_until_ready()?;
    let script = Script::new(&tape, &grid, &listing, &population, options.fund);
    let setup = script.set_up(&mut client, progress)?;
    let set_up_ms = elapsed_ms(begun);

    let played = Instant::now();
    script.play(&mut client, progress)?;
    let play_ms = elapsed_ms(played);

    let input = Input::new(&tape, &grid, options);
    let mut report = gather::gather(&mut client, input, &script, setup)?;
    report.timing = Timing::new(&client.status()?, &grid, options.shards, set_up_ms, play_ms);
    write_report(&report, options.format, out)
}

fn check(options: &Options) -> Result<(), DemoError> {
    let refuse = |message: &str| Err(DemoError::Options(message.to_owned()));
    if options.accounts < population::ACCOUNTS_MIN {
        return refuse(&format!("accounts {} are too few, at least {}", options.accounts, population::ACCOUNTS_MIN));
    }
    if options.accounts > population::ACCOUNTS_MAX {
        return refuse(&format!("accounts {} are too many, at most {}", options.accounts, population::ACCOUNTS_MAX));
    }
    if options.fund.is_sign_negative() || options.fund > Decimal::ONE {
        return refuse(&format!("fund {} is not a fraction of the open interest between 0 and 1", options.fund));
    }
    if options.tick_ms == Some(0) {
        return refuse("the tick needs at least 1 ms");
    }
    Ok(())
}

fn read_tape(options: &Options) -> Result<Tape, DemoError> {
    if options.prices.is_empty() {
        return Ok(Tape::october()?);
    }
    let tape = Tape::read(&options.prices)?;
    Ok(if options.all { tape } else { tape.around_the_worst_hour() })
}

fn write_report(report: &Report, format: Format, out: &mut impl Write) -> Result<(), DemoError> {
    match format {
        Format::Text => text::write(report, out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
