//! Rival (b): the best exact linear scan we can write. Accounts in arrays, positions packed into eight bytes, coefficients of
//! 64 bits into sums of 128, and no branch but one an account.
//!
//! Equity less maintenance is linear in each price within a tier. So wallet, costs and deductions are summed once, and a
//! tick needs one multiplication a position, by a coefficient computed once a tick, market, tier and side:
//!
//! Shape:  X = wallet − Σ cost + Σ deduction + Σ (units × price × (1 ∓ rate))
//!
//! A position remembers its tier. Beside the product a tick only asks whether it is still inside, and an account of which
//! one position is not is put right. A maintenance margin is rounded up at the asset's scale, position by position: by less
//! than one unit each. So an account with X ≥ one unit a position is above maintenance, one with X ≤ 0 is at or below, and
//! only those between are computed with the roundings. The decision is the engine's, bit for bit (`tests`).

use super::Failed;
use super::book::Book;
use super::scene::{ASSET_SCALE, Scene, mantissa};

/// Tiers of a market at most.
const TIERS: usize = 5;
/// Rows of a market: a tier's long positions and its short ones.
const ROWS: usize = 2 * TIERS;
/// Bits of a packed position that are its row.
const ROW_BITS: u32 = 8;
/// An account that has been closed is far above everything.
const CLOSED: i128 = i128::MAX / 4;

/// What the positions of a market, tier and side are multiplied with in this tick, and which are within the tier.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    factor: i64,
    /// The least units, signed.
    low: i64,
    /// How many more the most are.
    width: u64,
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
    /// One unit at this tick's price, without rates.
    price: i64,
    tiers: Vec<Tier>,
}

/// All accounts, `K` positions each.
pub(crate) struct Linear<const K: usize> {
    /// Wallet less costs and with deductions, by account.
    base: Vec<i128>,
    /// Units and row, by account.
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
            markets.push(Market { power, price: 0, tiers });
        }
        if markets.len() * ROWS > 1 << ROW_BITS {
            return Err("more markets than the scan was built for".into());
        }
        let (mut base, mut packed) = (Vec::with_capacity(book.len()), Vec::with_capacity(book.len()));
        for (account, wallet) in book.wallets.iter().enumerate() {
            let mut sum = i128::from(*wallet) * power(scale - ASSET_SCALE)?;
            let mut positions = [0; K];
            for (place, holding) in positions.iter_mut().zip(book.holdings(account)) {
                let listed = scene.markets.get(usize::from(holding.market)).ok_or("no such market")?;
                sum -= i128::from(holding.cost) * power(scale - listed.rules.value_scale)?;
                // In the first tier; the first tick puts that right.
                *place = pack(holding.units, usize::from(holding.market) * ROWS + usize::from(holding.units < 0))?;
            }
            base.push(sum * i128::from(rate_one));
            packed.push(positions);
        }
        let unit = power(scale + rate_scale - ASSET_SCALE)?;
        Ok(Self { base, packed, rows: Box::new([Row::default(); 256]), markets, rate_one, unit })
    }

    /// Computes the coefficients of a tick.
    fn prepare(&mut self, marks: &[i64]) -> Result<(), Failed> {
        for ((rows, market), mark) in self.rows.chunks_exact_mut(ROWS).zip(&mut self.markets).zip(marks) {
            market.price = mark.checked_mul(market.power).ok_or("a price does not fit 64 bits")?;
            let (mut least, last) = (0, market.tiers.len().saturating_sub(1));
            for (index, (sides, tier)) in rows.chunks_exact_mut(2).zip(&market.tiers).enumerate() {
                // Beyond the last tier the last one goes on.
                let limit = tier.limit.filter(|_| index < last).map(|limit| limit / i128::from(market.price));
                let most = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
                let of = |rate: i64| market.price.checked_mul(rate).ok_or("a coefficient does not fit 64 bits");
                let [long, short] = sides else { continue };
                let width = most.abs_diff(least);
                *long = Row { factor: of(self.rate_one - tier.rate)?, low: least, width };
                *short = Row { factor: of(self.rate_one + tier.rate)?, low: -most, width };
                least = most.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Accounts at or below maintenance, in order.
    pub(crate) fn scan(&mut self, marks: &[i64]) -> Result<Vec<u32>, Failed> {
        self.prepare(marks)?;
        let (rows, markets, sure) = (&*self.rows, self.markets.as_slice(), self.unit * i128::try_from(K)?);
        let mut found = Vec::new();
        for (account, (base, positions)) in self.base.iter_mut().zip(&mut self.packed).enumerate() {
            let (mut sum, outside) = sum_of(rows, *base, positions);
            if outside {
                put_right(rows, markets, base, positions);
                sum = sum_of(rows, *base, positions).0;
            }
            if sum < sure && (sum <= 0 || sum <= padding(markets, self.unit, positions)) {
                found.push(u32::try_from(account)?);
            }
        }
        Ok(found)
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

/// Equity less maintenance without its roundings, and whether a position has left the tier it remembers.
#[allow(clippy::indexing_slicing, reason = "a table of 256 by a byte")]
#[inline(always)]
fn sum_of<const K: usize>(rows: &[Row; 256], base: i128, positions: &[i64; K]) -> (i128, bool) {
    let (mut sum, mut outside) = (base, false);
    for position in positions {
        let (row, units) = (&rows[usize::from(*position as u8)], position >> ROW_BITS);
        sum += i128::from(units) * i128::from(row.factor);
        outside |= units.wrapping_sub(row.low) as u64 > row.width;
    }
    (sum, outside)
}

/// Gives every position the tier it is in now.
#[cold]
#[inline(never)]
fn put_right<const K: usize>(rows: &[Row; 256], markets: &[Market], base: &mut i128, positions: &mut [i64; K]) {
    for position in positions {
        let (units, row) = unpack(*position);
        let deduction = |row: usize| {
            let tier = markets.get(row / ROWS).and_then(|market| market.tiers.get(row % ROWS / 2));
            tier.map_or(0, |tier| tier.deduction)
        };
        let is_inside = |row: &usize| rows.get(*row).is_some_and(|row| units.wrapping_sub(row.low) as u64 <= row.width);
        let first = row / ROWS * ROWS + usize::from(units < 0);
        if let Some(now) = (first..first + ROWS).step_by(2).find(is_inside) {
            *base += deduction(now) - deduction(row);
            *position = (units << ROW_BITS) | now as i64;
        }
    }
}

/// What the roundings of the maintenance margins add.
#[cold]
#[inline(never)]
fn padding<const K: usize>(markets: &[Market], unit: i128, positions: &[i64; K]) -> i128 {
    let of = |position: &i64| {
        let (units, row) = unpack(*position);
        let market = markets.get(row / ROWS)?;
        let tier = market.tiers.get(row % ROWS / 2)?;
        let notional = i128::from(units.unsigned_abs()) * i128::from(market.price);
        Some((tier.deduction - notional * i128::from(tier.rate)).rem_euclid(unit))
    };
    positions.iter().filter_map(of).sum()
}

fn wide(value: rust_decimal::Decimal, scale: u32) -> Result<i128, Failed> {
    let value = value.normalize();
    let lift = power(scale.checked_sub(value.scale()).ok_or("a figure is finer than the scan's scale")?)?;
    Ok(value.mantissa().checked_mul(lift).ok_or("a figure is too large")?)
}

fn pack(units: i64, row: usize) -> Result<i64, Failed> {
    let room = 1_i64 << (63 - ROW_BITS);
    if units >= room || units <= -room {
        return Err("a position does not fit 56 bits".into());
    }
    Ok((units << ROW_BITS) | i64::try_from(row)?)
}

fn unpack(position: i64) -> (i64, usize) {
    (position >> ROW_BITS, usize::from(position as u8))
}

#[cfg(test)]
#[path = "linear_tests.rs"]
mod tests;
