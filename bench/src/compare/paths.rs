//! Price paths: computed once, the same for every rival. Seconds are ticks.

use super::book::Dice;
use super::scene::{MARKETS, Scene};

/// What prices do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A volatility of 1 to 5 basis points a second, by market.
    Calm,
    /// Five times that.
    Volatile,
    /// 20 % down in 300 ticks, all markets together, on top of calm.
    CrashAll,
    /// The same in one market alone.
    CrashOne,
}

/// Ticks of a crash.
pub(crate) const CRASH: usize = 300;
/// What is left after it.
const LEFT: f64 = 0.8;
/// The market that crashes alone.
const ALONE: usize = 7;

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Calm, Self::Volatile, Self::CrashAll, Self::CrashOne];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Volatile => "volatile",
            Self::CrashAll => "crash, all markets",
            Self::CrashOne => "crash, one market",
        }
    }

    fn drift(self, market: usize) -> f64 {
        match self {
            Self::CrashAll => LEFT.ln() / CRASH as f64,
            Self::CrashOne if market == ALONE => LEFT.ln() / CRASH as f64,
            _ => 0.0,
        }
    }
}

/// Marks of each tick, by market, in units of the market's mark scale.
pub(crate) type Path = Vec<Vec<i64>>;

/// A path of so many ticks from the first marks on.
pub(crate) fn path(scene: &Scene, kind: Kind, ticks: usize, seed: u64) -> Path {
    let mut dice = Dice::new(seed);
    let mut prices: Vec<f64> = scene.markets.iter().map(|market| market.mark as f64).collect();
    let times = if kind == Kind::Volatile { 5.0 } else { 1.0 };
    let step = |prices: &mut Vec<f64>, dice: &mut Dice| {
        for (market, price) in prices.iter_mut().enumerate() {
            let volatility = times * (1.0 + 4.0 * market as f64 / (MARKETS - 1) as f64) / 10_000.0;
            *price *= (kind.drift(market) + volatility * dice.normal()).exp();
        }
        prices.iter().map(|price| price.round().max(1.0) as i64).collect()
    };
    (0..ticks).map(|_| step(&mut prices, &mut dice)).collect()
}
