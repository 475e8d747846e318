//! Rival (b): the best exact linear scan we can write. Accounts in arrays, positions packed into eight bytes, coefficients of
//! 64 bits into sums of 128.
//!
//! Equity less maintenance is linear in each price within a tier. So wallet and costs are summed once, and a tick needs one
//! multiplication a position, by a coefficient that is computed once a tick, market, tier and side:
//!
//! Shape:  X = wallet − Σ cost + Σ (units × price × (1 ∓ rate) + deduction)
//!
//! A maintenance margin is rounded up at the asset's scale, position by position: by less than one unit each. So an account
//! with X ≥ one unit a position is above maintenance, one with X ≤ 0 is at or below, and only those between are computed
//! with the roundings. The decision is the engine's, bit for bit (`tests`).

use super::Failed;
use super::book::Book;
use super::scene::{ASSET_SCALE, Scene, mantissa};

/// Tiers of a market at most.
const TIERS: usize = 5;
/// Bits of a packed position that are the market.
const MARKET_BITS: u32 = 8;
/// An account that has been closed is far above everything.
const CLOSED: i128 = i128::MAX / 4;

/// What a market's positions are multiplied with in this tick.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// The most units that are within each tier but the last.
    most: [u64; TIERS - 1],
    /// By tier: of a long position, of a short one.
    factor: [[i64; 2]; TIERS],
    /// By tier.
    deduction: [i128; TIERS],
    /// One unit at this tick's price, without rates.
    price: i64,
}

/// A tier in units of the scan.
#[derive(Debug, Clone, Copy)]
struct Tier {
    limit: Option<i128>,
    rate: i64,
    deduction: i128,
}

struct Market {
    /// What lifts a price of a unit to the scan's scale.
    power: i64,
    tiers: Vec<Tier>,
}

/// All accounts, `K` positions each.
pub(crate) struct Linear<const K: usize> {
    /// Wallet less costs, by account.
    base: Vec<i128>,
    /// Units and market, by account.
    packed: Vec<[i64; K]>,
    rows: Box<[Row; 256]>,
    markets: Vec<Market>,
    /// 10 to the decimals of a rate.
    rate_one: i64,
    /// One unit of the asset at the scan's scale, rates included.
    unit: i128,
}

fn power(exponent: u32) -> Result<i128, Failed> {
    Ok(10_i128.checked_pow(exponent).ok_or("a scale is too large")?)
}

impl<const K: usize> Linear<K> {
    /// Of a book with `K` positions an account.
    pub(crate) fn new(scene: &Scene, book: &Book) -> Result<Self, Failed> {
        let rates = scene.markets.iter().flat_map(|market| market.rules.tiers.all());
        let rate_scale = rates.map(|tier| tier.maintenance_rate.get().normalize().scale()).max().unwrap_or_default();
        let of_value = |market: &super::scene::Listed| {
            (market.lot_scale + market.rules.mark_scale).max(market.rules.value_scale).max(ASSET_SCALE)
        };
        let scale = scene.markets.iter().map(of_value).max().unwrap_or_default();
        let rate_one = i64::try_from(power(rate_scale)?)?;
        let mut markets = Vec::new();
        for market in &scene.markets {
            let mut tiers = Vec::new();
            for tier in market.rules.tiers.all() {
                tiers.push(Tier {
                    limit: tier.notional_limit.map(|limit| wide(limit.get(), scale)).transpose()?,
                    rate: mantissa(tier.maintenance_rate.get(), rate_scale)?,
                    deduction: wide(tier.deduction.get(), scale + rate_scale)?,
                });
            }
            if tiers.len() > TIERS {
                return Err("more tiers than the scan was built for".into());
            }
            let power = i64::try_from(power(scale - market.lot_scale - market.rules.mark_scale)?)?;
            markets.push(Market { power, tiers });
        }
        let (mut base, mut packed) = (Vec::with_capacity(book.len()), Vec::with_capacity(book.len()));
        for (account, wallet) in book.wallets.iter().enumerate() {
            let mut sum = i128::from(*wallet) * power(scale - ASSET_SCALE)?;
            let mut positions = [0; K];
            for (place, holding) in positions.iter_mut().zip(book.holdings(account)) {
                let listed = scene.markets.get(usize::from(holding.market)).ok_or("no such market")?;
                sum -= i128::from(holding.cost) * power(scale - listed.rules.value_scale)?;
                *place = pack(holding.units, holding.market)?;
            }
            base.push(sum * i128::from(rate_one));
            packed.push(positions);
        }
        let unit = power(scale + rate_scale - ASSET_SCALE)?;
        Ok(Self { base, packed, rows: Box::new([Row::default(); 256]), markets, rate_one, unit })
    }

    /// Computes the coefficients of a tick.
    fn prepare(&mut self, marks: &[i64]) -> Result<(), Failed> {
        for ((row, market), mark) in self.rows.iter_mut().zip(&self.markets).zip(marks) {
            row.price = mark.checked_mul(market.power).ok_or("a price does not fit 64 bits")?;
            row.most = [u64::MAX; TIERS - 1];
            // Beyond the last tier the last one goes on.
            let last = market.tiers.len().saturating_sub(1);
            for (most, tier) in row.most.iter_mut().zip(market.tiers.iter().take(last)) {
                let limit = tier.limit.unwrap_or(i128::MAX) / i128::from(row.price);
                *most = u64::try_from(limit).unwrap_or(u64::MAX);
            }
            for ((tier, factor), deduction) in market.tiers.iter().zip(&mut row.factor).zip(&mut row.deduction) {
                let of = |rate: i64| row.price.checked_mul(rate).ok_or("a coefficient does not fit 64 bits");
                *factor = [of(self.rate_one - tier.rate)?, of(self.rate_one + tier.rate)?];
                *deduction = tier.deduction;
            }
        }
        Ok(())
    }

    /// Accounts at or below maintenance, in order.
    pub(crate) fn scan(&mut self, marks: &[i64]) -> Result<Vec<u32>, Failed> {
        self.prepare(marks)?;
        let (rows, sure) = (&*self.rows, self.unit * i128::try_from(K)?);
        let mut found = Vec::new();
        for (account, (base, positions)) in self.base.iter().zip(&self.packed).enumerate() {
            let mut sum = *base;
            for position in positions {
                sum += term(rows, *position);
            }
            if sum < sure && (sum <= 0 || self.is_breached(*base, positions)) {
                found.push(u32::try_from(account)?);
            }
        }
        Ok(found)
    }

    /// The same with every rounding.
    #[cold]
    #[inline(never)]
    fn is_breached(&self, base: i128, positions: &[i64; K]) -> bool {
        let (mut equity, mut maintenance) = (base, 0);
        for position in positions {
            let (units, market) = unpack(*position);
            let (Some(row), Some(known)) = (self.rows.get(market), self.markets.get(market)) else { continue };
            let value = i128::from(units) * i128::from(row.price);
            let inside = |tier: &&Tier| tier.limit.is_none_or(|limit| value.abs() <= limit);
            let Some(tier) = known.tiers.iter().find(inside).or(known.tiers.last()) else { continue };
            equity += value * i128::from(self.rate_one);
            let exact = value.abs() * i128::from(tier.rate) - tier.deduction;
            maintenance += exact.div_euclid(self.unit) + i128::from(exact.rem_euclid(self.unit) > 0);
        }
        equity <= maintenance * self.unit
    }

    /// Closes everything of some accounts.
    pub(crate) fn close(&mut self, accounts: &[u32]) {
        for account in accounts {
            let Ok(account) = usize::try_from(*account) else { continue };
            if let (Some(base), Some(positions)) = (self.base.get_mut(account), self.packed.get_mut(account)) {
                (*base, *positions) = (CLOSED, [0; K]);
            }
        }
    }
}

/// A linear scan of any number of positions an account.
pub(crate) trait Scan {
    /// Accounts at or below maintenance, in order.
    fn find(&mut self, marks: &[i64]) -> Result<Vec<u32>, Failed>;
    /// Closes everything of some accounts.
    fn shut(&mut self, accounts: &[u32]);
}

impl<const K: usize> Scan for Linear<K> {
    fn find(&mut self, marks: &[i64]) -> Result<Vec<u32>, Failed> {
        self.scan(marks)
    }
    fn shut(&mut self, accounts: &[u32]) {
        self.close(accounts);
    }
}

/// The scan for a book.
pub(crate) fn scan_of(scene: &Scene, book: &Book) -> Result<Box<dyn Scan>, Failed> {
    Ok(match book.each {
        1 => Box::new(Linear::<1>::new(scene, book)?),
        4 => Box::new(Linear::<4>::new(scene, book)?),
        8 => Box::new(Linear::<8>::new(scene, book)?),
        _ => return Err("the scan is built for 1, 4 or 8 positions".into()),
    })
}

/// What a position adds to equity less maintenance.
#[allow(clippy::indexing_slicing, reason = "a table of 256 by a byte, and a tier that is the sum of four comparisons")]
#[inline(always)]
fn term(rows: &[Row; 256], position: i64) -> i128 {
    let row = &rows[usize::from(position as u8)];
    let units = position >> MARKET_BITS;
    let size = units.unsigned_abs();
    let tier: usize = row.most.iter().map(|most| usize::from(size > *most)).sum();
    let factor = row.factor[tier][usize::from(units < 0)];
    i128::from(units) * i128::from(factor) + row.deduction[tier]
}

fn wide(value: rust_decimal::Decimal, scale: u32) -> Result<i128, Failed> {
    let value = value.normalize();
    let lift = power(scale.checked_sub(value.scale()).ok_or("a figure is finer than the scan's scale")?)?;
    Ok(value.mantissa().checked_mul(lift).ok_or("a figure is too large")?)
}

fn pack(units: i64, market: u8) -> Result<i64, Failed> {
    let room = 1_i64 << (63 - MARKET_BITS);
    if units >= room || units < -room {
        return Err("a position does not fit 56 bits".into());
    }
    Ok((units << MARKET_BITS) | i64::from(market))
}

fn unpack(position: i64) -> (i64, usize) {
    (position >> MARKET_BITS, usize::from(position as u8))
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
