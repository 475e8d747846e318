//! Decides when ticks happen and which price inside a bar each of them sees.
//!
//! A candle gives no path: open, low, high, close is one guess, open, high, low, close the other, and between these
//! points prices move in straight lines. Spot and perpetual of one contract move in step.

use super::candles::{Bar, Tape};
use rust_decimal::Decimal;

/// A bar is at least its four points.
const TICKS_MIN: u64 = 4;
/// A bar of five minutes or more is cut into this many ticks: four seconds each in a bar of five minutes.
const TICKS_OF_A_LONG_BAR: u64 = 75;
const LONG_BAR_MS: u64 = 300_000;

/// Which of the two extremes of a bar comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BarOrder {
    /// Open, low, high, close: first the fall.
    #[default]
    Olhc,
    /// Open, high, low, close: first the rise.
    Ohlc,
}

impl BarOrder {
    /// As printed.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Olhc => "open-low-high-close",
            Self::Ohlc => "open-high-low-close",
        }
    }
}

/// The ticks of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    /// Time of the first tick.
    pub(super) start: u64,
    /// Time between ticks.
    pub(super) step_ms: u64,
    /// Ticks of one bar.
    pub(super) per_bar: u64,
    /// Length of a bar.
    pub(super) bar_ms: u64,
    /// Number of bars.
    pub(super) bars: u64,
    /// Which extreme is first.
    pub(super) order: BarOrder,
}

impl Grid {
    /// The ticks of `tape`, `tick_ms` apart or as far as suits its bars.
    pub(super) fn new(tape: &Tape, tick_ms: Option<u64>, order: BarOrder) -> Self {
        let suited = if tape.bar_ms >= LONG_BAR_MS { TICKS_OF_A_LONG_BAR } else { TICKS_MIN };
        let per_bar = tick_ms.map_or(suited, |tick_ms| (tape.bar_ms / tick_ms.max(1)).max(TICKS_MIN));
        let per_bar = per_bar.min(tape.bar_ms).max(1);
        let bars = u64::try_from(tape.bars).unwrap_or(0);
        Self { start: tape.start, step_ms: tape.bar_ms / per_bar, per_bar, bar_ms: tape.bar_ms, bars, order }
    }

    /// Number of ticks.
    pub(super) fn ticks(&self) -> u64 {
        self.bars * self.per_bar
    }

    /// Time from the first tick to the last.
    pub(super) fn span_ms(&self) -> u64 {
        self.time(self.ticks().saturating_sub(1)) - self.start
    }

    /// Time of a tick.
    pub(super) fn time(&self, tick: u64) -> u64 {
        self.start + tick / self.per_bar * self.bar_ms + tick % self.per_bar * self.step_ms
    }

    /// The bar of a tick.
    pub(super) fn bar(&self, tick: u64) -> usize {
        usize::try_from(tick / self.per_bar).unwrap_or(usize::MAX)
    }

    /// An observation older than this is stale: a bar without a trade makes its market wait, one missed tick does not.
    pub(super) fn stale_after_ms(&self) -> u64 {
        (self.step_ms * 3).max(self.bar_ms.min(60_000))
    }

    /// The price that a tick sees in its bar, rounded to `decimals`.
    pub(super) fn price(&self, tick: u64, bar: &Bar, decimals: u32) -> Decimal {
        let (first, second) = match self.order {
            BarOrder::Olhc => (bar.low, bar.high),
            BarOrder::Ohlc => (bar.high, bar.low),
        };
        let (at, last) = (tick % self.per_bar, self.per_bar.saturating_sub(1));
        // The extremes fall on ticks, so that none of them is missed.
        let (one, two) = ((last + 1) / 3, (last * 2 + 1) / 3);
        let (from, to, begin, end) = if at <= one {
            (bar.open, first, 0, one)
        } else if at <= two {
            (first, second, one, two)
        } else {
            (second, bar.close, two, last)
        };
        let share = Decimal::from(at - begin) / Decimal::from((end - begin).max(1));
        let price = (from + (to - from) * share).round_dp(decimals);
        if price.is_zero() { from.min(to) } else { price }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::candles::Track;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn bar() -> Bar {
        Bar { open: d("100"), high: d("120"), low: d("70"), close: d("90") }
    }

    fn grid(bar_ms: u64, order: BarOrder) -> Grid {
        let tape = Tape { title: String::new(), start: 1_000, bar_ms, bars: 2, tracks: vec![Track::default()] };
        Grid::new(&tape, None, order)
    }

    #[test]
    fn a_minute_is_its_four_points() {
        for (order, wanted) in
            [(BarOrder::Olhc, ["100", "70", "120", "90"]), (BarOrder::Ohlc, ["100", "120", "70", "90"])]
        {
            let grid = grid(60_000, order);
            assert_eq!((grid.per_bar, grid.step_ms, grid.ticks()), (4, 15_000, 8));
            let path: Vec<Decimal> = (4..8).map(|tick| grid.price(tick, &bar(), 1)).collect();
            assert_eq!(path, wanted.map(d));
            assert_eq!(grid.time(5), 1_000 + 75_000);
        }
    }

    #[test]
    fn a_long_bar_touches_every_point_and_moves_in_straight_lines() {
        let grid = grid(300_000, BarOrder::Olhc);
        assert_eq!((grid.per_bar, grid.step_ms), (75, 4_000));
        let path: Vec<Decimal> = (0..75).map(|tick| grid.price(tick, &bar(), 4)).collect();
        let (low, high) = (path.iter().position(|p| *p == d("70")), path.iter().position(|p| *p == d("120")));
        assert_eq!((low, high), (Some(25), Some(49)));
        assert_eq!((path[0], path[74]), (d("100"), d("90")));
        assert!(path[..26].is_sorted_by(|a, b| a > b) && path[25..50].is_sorted_by(|a, b| a < b));
        assert_eq!(path[10], d("88"));
    }

    #[test]
    fn a_price_never_rounds_to_zero() {
        let bar = Bar { open: d("0.4"), high: d("0.4"), low: d("0.2"), close: d("0.3") };
        assert!((0..4).all(|tick| grid(60_000, BarOrder::Olhc).price(tick, &bar, 0) > Decimal::ZERO));
    }
}
