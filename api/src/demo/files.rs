//! Decides what a line of a candle file means, plain or gzipped: a bar of one contract, or an error that names the line.
//!
//! Three forms are known by their first line:
//! * `ts,symbol,open,high,low,close,volume` in any order, further columns ignored; `ts` is the start of the bar;
//! * the same with the columns `trades` and `foreignNotional` (BitMEX minute bars): `ts` is the END of the bar and
//!   `open` the close before it, the last price known when the bar began;
//! * Binance's public kline columns `open_time,open,high,low,close,volume,close_time,…`, with a header or without,
//!   in milliseconds or microseconds; the symbol is the file's name up to the first dash or point.

use super::candles::{Bar, Candle, CandleError};
use flate2::read::MultiGzDecoder;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Bars of a file whose timestamps are ends are this long when only one line tells.
const MINUTE_MS: u64 = 60_000;
/// A timestamp from here on is in microseconds: as milliseconds it would lie in the year 5138.
const MICROSECONDS_FROM: u64 = 100_000_000_000_000;
/// Decimals of a price that are kept; finer ones are artefacts of floating point.
const PRICE_DECIMALS: u32 = 10;

/// Where the columns are.
struct Columns {
    time: usize,
    symbol: Option<usize>,
    /// Open, high, low, close.
    prices: [usize; 4],
    volume: usize,
    trades: Option<usize>,
    /// Taken off the timestamp to get the bar's start.
    length_ms: u64,
}

impl Columns {
    const KLINE: Self = Self { time: 0, symbol: None, prices: [1, 2, 3, 4], volume: 5, trades: Some(8), length_ms: 0 };

    /// From the first line: the columns, and whether that line is a header.
    fn of(first: &csv::StringRecord) -> Result<(Self, bool), String> {
        let leading = first.get(0).unwrap_or_default().trim();
        if leading.bytes().all(|byte| byte.is_ascii_digit()) && !leading.is_empty() {
            return Ok((Self::KLINE, false));
        }
        if leading == "open_time" {
            return Ok((Self::KLINE, true));
        }
        let column = |name: &str| first.iter().position(|field| field.trim() == name);
        let needed = |name: &str| column(name).ok_or_else(|| format!("the header has no column {name}"));
        let ends = column("trades").is_some() && column("foreignNotional").is_some();
        let columns = Self {
            time: needed("ts")?,
            symbol: Some(needed("symbol")?),
            prices: [needed("open")?, needed("high")?, needed("low")?, needed("close")?],
            volume: needed("volume")?,
            trades: None,
            length_ms: if ends { MINUTE_MS } else { 0 },
        };
        Ok((columns, true))
    }
}

/// Reads one file's candles.
///
/// # Errors
/// [`CandleError`] with file and line.
pub(super) fn read(path: &Path, candles: &mut Vec<Candle>) -> Result<(), CandleError> {
    let file = path.display().to_string();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let io = |error| CandleError::Io { file: file.clone(), error };
    let reader = BufReader::new(File::open(path).map_err(io)?);
    let plain: Box<dyn Read> =
        if name.ends_with(".gz") { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    parse(plain, &file, symbol_of(&name), candles)
}

/// Reads candles from text. `named` is the symbol that the file's name tells.
pub(super) fn parse(text: impl Read, file: &str, named: &str, candles: &mut Vec<Candle>) -> Result<(), CandleError> {
    let mut lines = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut columns = None;
    let mut record = csv::StringRecord::new();
    loop {
        let line = lines.position().line();
        let bad = |message: String| CandleError::Line { file: file.to_owned(), line, message };
        match lines.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(bad(explain(error))),
        }
        if columns.is_none() {
            let (found, is_header) = Columns::of(&record).map_err(bad)?;
            columns = Some(found);
            if is_header {
                continue;
            }
        }
        if let Some(columns) = &columns {
            candles.push(candle(&record, columns, named).map_err(bad)?);
        }
    }
    if columns.is_none() {
        return Err(CandleError::Line { file: file.to_owned(), line: 1, message: "the file is empty".to_owned() });
    }
    Ok(())
}

fn explain(error: csv::Error) -> String {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.to_string(),
        csv::ErrorKind::Utf8 { .. } => "the line is not UTF-8".to_owned(),
        _ => "the line is not CSV".to_owned(),
    }
}

fn candle(record: &csv::StringRecord, columns: &Columns, named: &str) -> Result<Candle, String> {
    let field =
        |place: usize| record.get(place).map(str::trim).ok_or_else(|| format!("column {} is missing", place + 1));
    let stamp: u64 =
        field(columns.time)?.parse().map_err(|_| shown("not a time in Unix milliseconds", field(columns.time)))?;
    let stamp = if stamp >= MICROSECONDS_FROM { stamp / 1_000 } else { stamp };
    let start = stamp.checked_sub(columns.length_ms).ok_or_else(|| format!("{stamp} is before 1970"))?;
    let symbol = columns.symbol.map_or(Ok(named), field)?;
    if !is_name(symbol) {
        return Err(shown("not the name of a contract", Ok(symbol)));
    }
    let mut prices = [Decimal::ZERO; 4];
    for (slot, place) in prices.iter_mut().zip(columns.prices) {
        *slot = price(field(place)?).ok_or_else(|| shown("not a price above zero", field(place)))?;
    }
    let [open, high, low, close] = prices;
    if low > high || close < low || close > high {
        return Err(format!("low {low}, close {close} and high {high} are out of order"));
    }
    let volume = field(columns.volume)?;
    let volume = volume.parse::<f64>().ok().filter(|volume| volume.is_finite() && *volume >= 0.0);
    let volume = volume.ok_or_else(|| shown("not a volume", field(columns.volume)))?;
    let idle = columns.trades.and_then(|place| record.get(place)).is_some_and(|trades| trades.trim() == "0");
    let bar = (volume > 0.0 && !idle).then_some(Bar { open, high, low, close });
    Ok(Candle { start, symbol: symbol.to_owned(), bar, volume })
}

fn shown(message: &str, value: Result<&str, String>) -> String {
    let short: String = value.unwrap_or_default().chars().take(40).collect();
    format!("{message}: {short:?}")
}

/// A price above zero and no more than 10^12, in plain or scientific notation.
pub(super) fn price(text: &str) -> Option<Decimal> {
    let value = match Decimal::from_str_exact(text) {
        Ok(value) => value,
        Err(_) if text.contains(['e', 'E']) => Decimal::from_scientific(text).ok()?,
        Err(_) => return None,
    };
    let value = value.round_dp(PRICE_DECIMALS).normalize();
    let size = value.to_f64()?;
    (size > 0.0 && size <= 1e12).then_some(value)
}

fn is_name(symbol: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-');
    (1..=64).contains(&symbol.len()) && symbol.bytes().all(allowed)
}

/// `BTCUSDT` of `BTCUSDT-1m-2021-05-19.csv.gz`.
fn symbol_of(name: &str) -> &str {
    name.split(['-', '.']).next().unwrap_or_default()
}

/// The line number of a place in a list of lines.
pub(super) fn line_number(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX).saturating_add(1)
}
