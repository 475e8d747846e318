//! Decides what the prices of the day were: bars of equal length for every contract, side by side in time.
//!
//! In: the built-in table of 10 October 2025, or candle files. Out: a [`Tape`]. A bar in which nothing traded is a gap:
//! its price was not observed, which is how a stall of the venue reaches the oracle as staleness. It never fills a gap.

use super::figure::{minute_text, parse_minute};
use super::files;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Ten contracts, spot and perpetual, 20:45 to 22:05 UTC in bars of five minutes. Source: public Binance market data.
const OCTOBER: &str = include_str!("../../data/october_2025.csv");

const HOUR_MS: u64 = 3_600_000;
/// What is played of a long file: the hours before the end of its worst hour, and after.
const HOURS_BEFORE: u64 = 15;
const HOURS_AFTER: u64 = 13;
/// Most bars of one tape, so that a stray timestamp cannot ask for endless memory.
const BARS_MAX: u64 = 2_000_000;

/// Why candles cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CandleError {
    /// The file cannot be opened or unpacked.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A line is not a candle.
    #[error("{file}:{line}: {message}")]
    Line {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// The candles do not make a tape.
    #[error("{0}")]
    Tape(String),
}

/// One bar of one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bar {
    /// The first price; in some files the last one of the bar before, so it may lie outside low and high.
    pub(super) open: Decimal,
    /// The highest.
    pub(super) high: Decimal,
    /// The lowest.
    pub(super) low: Decimal,
    /// The last.
    pub(super) close: Decimal,
}

/// One bar as a file has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candle {
    /// Start of the bar, Unix milliseconds.
    pub(super) start: u64,
    /// The contract.
    pub(super) symbol: String,
    /// The prices; none when nothing traded.
    pub(super) bar: Option<Bar>,
    /// What traded.
    pub(super) volume: f64,
}

/// The bars of one contract, as many as the tape has.
#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    /// The contract.
    pub(super) symbol: String,
    /// What the oracle's index observes: spot, or the only price there is.
    pub(super) index: Vec<Option<Bar>>,
    /// The contract's own last trade, where the source has it apart.
    pub(super) last: Option<Vec<Option<Bar>>>,
    /// Volume and volume × close over the tape, for the relative size of the markets; zero when unknown.
    pub(super) volume: f64,
    /// Volume × close.
    pub(super) turnover: f64,
}

impl Track {
    /// The price before the fall: the first one observed, of the contract itself where known.
    pub(super) fn opening(&self) -> Option<Decimal> {
        let bars = self.last.as_ref().unwrap_or(&self.index);
        bars.iter().flatten().next().map(|bar| bar.open)
    }

    /// All bars, of both prices.
    pub(super) fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.index.iter().chain(self.last.iter().flatten()).flatten()
    }
}

/// The prices of all contracts on one grid of time.
#[derive(Debug, Clone)]
pub(super) struct Tape {
    /// What it is, for people.
    pub(super) title: String,
    /// Start of the first bar, Unix milliseconds.
    pub(super) start: u64,
    /// Length of a bar.
    pub(super) bar_ms: u64,
    /// Number of bars.
    pub(super) bars: usize,
    /// The contracts, by symbol.
    pub(super) tracks: Vec<Track>,
}

impl Tape {
    /// The crash of 10 October 2025.
    pub(super) fn october() -> Result<Self, CandleError> {
        let (mut spot, mut perpetual) = (Vec::new(), Vec::new());
        for (place, line) in OCTOBER.lines().enumerate().skip(1) {
            let (first, second) = october_line(line).ok_or_else(|| CandleError::Line {
                file: "october_2025.csv".to_owned(),
                line: files::line_number(place),
                message: "not a row of bar_start,symbol,spot_*,perp_*".to_owned(),
            })?;
            spot.push(first);
            perpetual.push(second);
        }
        let mut tape = Self::align(spot)?;
        let last = Self::align(perpetual)?;
        for (track, own) in tape.tracks.iter_mut().zip(last.tracks) {
            track.last = Some(own.index);
        }
        tape.title = format!("The crash of 10 October 2025, {}", tape.span());
        Ok(tape)
    }

    /// The candles of all files together.
    ///
    /// # Errors
    /// [`CandleError`] with file and line.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, CandleError> {
        let mut candles = Vec::new();
        for path in paths {
            files::read(path, &mut candles)?;
        }
        let mut tape = Self::align(candles)?;
        tape.title = format!("Candle files, {}", tape.span());
        Ok(tape)
    }

    fn align(candles: Vec<Candle>) -> Result<Self, CandleError> {
        let mut by_symbol: BTreeMap<String, BTreeMap<u64, Candle>> = BTreeMap::new();
        for candle in candles {
            by_symbol.entry(candle.symbol.clone()).or_default().insert(candle.start, candle);
        }
        by_symbol.retain(|_, bars| bars.values().any(|candle| candle.bar.is_some()));
        let starts = || by_symbol.values().flat_map(BTreeMap::keys).copied();
        let (Some(start), Some(end)) = (starts().min(), starts().max()) else {
            return Err(CandleError::Tape("no candle in which anything traded".to_owned()));
        };
        let step = |bars: &BTreeMap<u64, Candle>| {
            bars.keys().zip(bars.keys().skip(1)).map(|(before, after)| after - before).min()
        };
        let Some(bar_ms) = by_symbol.values().filter_map(step).min() else {
            return Err(CandleError::Tape("one candle a contract tells no bar length".to_owned()));
        };
        let bars = (end - start) / bar_ms + 1;
        if bars > BARS_MAX {
            return Err(CandleError::Tape(format!("{bars} bars of {bar_ms} ms are too many, at most {BARS_MAX}")));
        }
        let bars = usize::try_from(bars).unwrap_or(0);
        let tracks = by_symbol.into_iter().map(|(symbol, found)| track(symbol, &found, start, bar_ms, bars)).collect();
        Ok(Self { title: String::new(), start, bar_ms, bars, tracks })
    }

    /// `2025-10-10 20:45 to 22:05 UTC`.
    pub(super) fn span(&self) -> String {
        format!("{} to {} UTC", minute_text(self.start), minute_text(self.end()))
    }

    /// End of the last bar.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bar_ms * u64::try_from(self.bars).unwrap_or(0)
    }

    /// The day of the worst hour: the hour over which the contracts fell most on average, with 15 hours up to its end
    /// and 13 after it. A shorter tape is left as it is.
    pub(super) fn around_the_worst_hour(self) -> Self {
        let in_bars = |hours: u64| usize::try_from((hours * HOUR_MS) / self.bar_ms).unwrap_or(usize::MAX).max(1);
        let (before, after, hour) = (in_bars(HOURS_BEFORE), in_bars(HOURS_AFTER), in_bars(1));
        if self.bars <= before + after {
            return self;
        }
        let falls = self.tracks.iter().map(|track| hourly_log_return(&track.index, hour));
        let mut mean = vec![0.0; self.bars];
        for fall in falls {
            mean.iter_mut().zip(fall).for_each(|(sum, value)| *sum += value);
        }
        let worst = mean.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(place, _)| place);
        let first = (worst + 1).saturating_sub(before).min(self.bars - before - after);
        self.cut(first, before + after)
    }

    fn cut(self, first: usize, bars: usize) -> Self {
        let part = |all: &[Option<Bar>]| all.iter().skip(first).take(bars).copied().collect::<Vec<_>>();
        let tracks = self.tracks.into_iter().map(|track| Track {
            index: part(&track.index),
            last: track.last.as_deref().map(part),
            ..track
        });
        let tracks = tracks.filter(|track| track.opening().is_some()).collect();
        let start = self.start + self.bar_ms * u64::try_from(first).unwrap_or(0);
        let mut tape = Self { tracks, start, bars, ..self };
        tape.title = format!("Candle files, the hours around the worst one, {}", tape.span());
        tape
    }
}

fn track(symbol: String, found: &BTreeMap<u64, Candle>, start: u64, bar_ms: u64, bars: usize) -> Track {
    let mut track = Track { symbol, index: vec![None; bars], ..Track::default() };
    for candle in found.values() {
        let place = usize::try_from((candle.start - start) / bar_ms).ok();
        if let (Some(slot), Some(bar)) = (place.and_then(|place| track.index.get_mut(place)), candle.bar) {
            *slot = Some(bar);
            track.volume += candle.volume;
            track.turnover += candle.volume * bar.close.to_f64().unwrap_or(0.0);
        }
    }
    track
}

/// ln(close / close an hour before), over gaps with the last close known.
fn hourly_log_return(bars: &[Option<Bar>], hour: usize) -> Vec<f64> {
    let mut last = bars.iter().flatten().next().map(|bar| bar.open);
    let closes: Vec<f64> = bars
        .iter()
        .map(|bar| {
            last = bar.map(|bar| bar.close).or(last);
            last.and_then(|price| price.to_f64()).unwrap_or(1.0).ln()
        })
        .collect();
    let first = closes.first().copied().unwrap_or(0.0);
    let earlier = std::iter::repeat_n(first, hour).chain(closes.iter().copied());
    closes.iter().zip(earlier).map(|(now, before)| now - before).collect()
}

fn october_line(line: &str) -> Option<(Candle, Candle)> {
    let mut fields = line.split(',');
    let start = parse_minute(fields.next()?)?;
    let symbol = fields.next()?.to_owned();
    let prices: Vec<Decimal> = fields.map(files::price).collect::<Option<_>>()?;
    let candle = |prices: &[Decimal]| match *prices {
        [open, high, low, close] => {
            let bar = Some(Bar { open, high, low, close });
            Some(Candle { start, symbol: symbol.clone(), bar, volume: 0.0 })
        }
        _ => None,
    };
    let (spot, perpetual) = prices.split_at_checked(4)?;
    Some((candle(spot)?, candle(perpetual)?))
}

#[cfg(test)]
#[path = "candles_tests.rs"]
mod tests;
