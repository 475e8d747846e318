//! The venue that is compared on: twenty linear markets whose prices lie between 0.00001 and 100,000, realistic risk tiers.
//! The rules are made by the engine itself, so all rivals decide by the same ones.

use super::Failed;
use backstop_engine::command::Envelope;
use backstop_engine::margin::{Mark, Marks};
use backstop_engine::money::Price;
use backstop_engine::reference::{Options, Reference};
use backstop_engine::rules::Market;
use backstop_engine::snapshot::Core;
use rust_decimal::Decimal;
use std::sync::Arc;

/// Markets of the venue.
pub(crate) const MARKETS: usize = 20;
/// Decimals of the settlement asset.
pub(crate) const ASSET_SCALE: u32 = 6;
/// Where a tier ends, and its maintenance rate. The initial rate is twice that.
const TIERS: [(&str, &str, &str); 5] = [
    (r#""notional_limit":"50000","#, "0.008", "0.004"),
    (r#""notional_limit":"250000","#, "0.01", "0.005"),
    (r#""notional_limit":"1000000","#, "0.02", "0.01"),
    (r#""notional_limit":"5000000","#, "0.05", "0.025"),
    ("", "0.1", "0.05"),
];

/// A market as the generators see it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// The rules.
    pub(crate) rules: Arc<Market>,
    /// The first mark, in units of `mark_scale`.
    pub(crate) mark: i64,
    /// Decimals of a quantity.
    pub(crate) lot_scale: u32,
}

/// The venue before anybody trades.
#[derive(Clone)]
pub(crate) struct Scene {
    /// The state without accounts: shards are made of it.
    pub(crate) core: Core,
    /// By index.
    pub(crate) markets: Vec<Listed>,
}

/// Price, decimals of its tick, decimals of a lot: a lot is worth about one unit of the asset, or less.
fn contract(market: usize) -> (f64, i32, i32) {
    let price = 10_f64.powf(5.0 - 10.0 * market as f64 / (MARKETS - 1) as f64);
    let digits = price.log10().floor() as i32;
    (price, (4 - digits).max(1), digits.max(0))
}

impl Scene {
    /// Lists everything and lets one tick pass.
    pub(crate) fn new() -> Result<Self, Failed> {
        let mut engine = Reference::new(Options { shards: 1, shows_accounts: false });
        let mut submit = |line: &str| -> Result<(), Failed> {
            engine.submit(&Envelope::read(line)?.command, 0)?.result?;
            Ok(())
        };
        submit(&format!(r#"{{"type":"list_asset","asset":"USDT","scale":{ASSET_SCALE}}}"#))?;
        let tier = |(limit, initial, maintenance): (&str, &str, &str)| {
            format!(r#"{{{limit}"initial_rate":"{initial}","maintenance_rate":"{maintenance}"}}"#)
        };
        let tiers = TIERS.map(tier).join(",");
        for market in 0..MARKETS {
            let (_, tick, lot) = contract(market);
            let step = |decimals: i32| Decimal::new(1, decimals.unsigned_abs());
            submit(&format!(
                r#"{{"type":"list_market","market":"M{market}","kind":"linear","asset":"USDT","tick_size":"{}","lot_size":"{}","tiers":[{tiers}],"oracle":{{"stale_after_ms":604800000}}}}"#,
                step(tick),
                step(lot)
            ))?;
        }
        for market in 0..MARKETS {
            let (price, tick, _) = contract(market);
            let price = format!("{price:.0$}", tick.unsigned_abs() as usize);
            submit(&format!(r#"{{"type":"price","market":"M{market}","source":"a","price":"{price}"}}"#))?;
        }
        submit(r#"{"type":"tick"}"#)?;
        let shard = engine.shards().first().ok_or("no shard")?;
        let (rules, marks) = (shard.rules().clone(), shard.marks().clone());
        let mut markets = Vec::new();
        for listed in rules.markets() {
            let mark = marks.price(listed.index).ok_or("no mark")?;
            let lot_scale = listed.lot_size.get().normalize().scale();
            markets.push(Listed { rules: listed.clone(), mark: mantissa(mark.get(), listed.mark_scale)?, lot_scale });
        }
        Ok(Self { core: engine.write()?.0, markets })
    }

    /// The first marks.
    pub(crate) fn first(&self) -> Vec<i64> {
        self.markets.iter().map(|market| market.mark).collect()
    }

    /// Marks as decimals.
    pub(crate) fn decimals(&self, marks: &[i64]) -> Vec<Decimal> {
        self.markets.iter().zip(marks).map(|(market, mark)| Decimal::new(*mark, market.rules.mark_scale)).collect()
    }

    /// Marks as the shards take them.
    pub(crate) fn marks(&self, marks: &[i64]) -> Arc<Marks> {
        let mark = |price: Decimal| Some(Mark { price: Price::new(price), waits: false });
        Arc::new(Marks(self.decimals(marks).into_iter().map(mark).collect()))
    }
}

/// A decimal in units of a scale no smaller than its own.
pub(crate) fn mantissa(value: Decimal, scale: u32) -> Result<i64, Failed> {
    let value = value.normalize();
    let digits = scale.checked_sub(value.scale()).ok_or("a figure is finer than its scale")?;
    let power = 10_i128.checked_pow(digits).ok_or("a figure is too large")?;
    Ok(i64::try_from(value.mantissa().checked_mul(power).ok_or("a figure is too large")?)?)
}
