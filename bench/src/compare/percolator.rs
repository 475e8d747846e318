//! Rival (d): `percolator-engine` 1.0, where it can express the work: one market, 4,096 accounts. Its crank is given every
//! account as a candidate, which it settles at the new price and checks against maintenance; it liquidates nobody, because
//! no candidate carries an order to. It has one rate for all sizes instead of tiers.

use super::Failed;
use super::book::{Book, Leverage};
use super::scene::Scene;
use percolator::{LiquidationPolicy, MAX_ACCOUNTS, RiskEngine, RiskParams, U128};
use std::time::Instant;

/// Accounts it can hold.
pub(crate) const ACCOUNTS: usize = MAX_ACCOUNTS;
/// Its prices and money are millionths.
const UNIT: f64 = 1e6;

fn params() -> RiskParams {
    RiskParams {
        warmup_period_slots: 0,
        maintenance_margin_bps: 40,
        initial_margin_bps: 50,
        trading_fee_bps: 0,
        max_accounts: ACCOUNTS as u64,
        new_account_fee: U128::new(0),
        maintenance_fee_per_slot: U128::new(0),
        max_crank_staleness_slots: u64::MAX,
        liquidation_fee_bps: 0,
        liquidation_fee_cap: U128::new(0),
        min_liquidation_abs: U128::new(0),
        min_initial_deposit: U128::new(2),
        min_nonzero_mm_req: 1,
        min_nonzero_im_req: 2,
        insurance_floor: U128::ZERO,
    }
}

/// Its engine over the sizes of a book, long and short in turn so that they balance, and the price they are opened at.
pub(crate) struct Percolator {
    engine: Box<RiskEngine>,
    candidates: Vec<(u16, Option<LiquidationPolicy>)>,
    slot: u64,
}

fn price(scene: &Scene, market: usize, mark: i64) -> u64 {
    let scale = scene.markets.get(market).map_or(0, |listed| listed.rules.mark_scale);
    (mark as f64 / 10_f64.powi(scale as i32) * UNIT) as u64
}

impl Percolator {
    /// Of a book in one market.
    pub(crate) fn new(scene: &Scene, book: &Book, market: usize, leverage: Leverage) -> Result<Self, Failed> {
        let refused =
            |error: percolator::RiskError| -> Failed { format!("percolator-engine refused: {error:?}").into() };
        let listed = scene.markets.get(market).ok_or("no such market")?;
        let start = price(scene, market, listed.mark);
        let mut engine = Box::new(RiskEngine::new_with_market(params(), 0, start));
        let lot = 10_f64.powi(-(listed.lot_scale as i32));
        let margin = if leverage == Leverage::High { 0.03 } else { 0.2 };
        for (buyer, seller) in (0..ACCOUNTS).step_by(2).map(|first| (first, first + 1)) {
            let held = book.holdings(buyer).first().ok_or("no position")?;
            let size = (held.units.unsigned_abs() as f64 * lot * UNIT) as i128;
            let equity = (size as f64 / UNIT * start as f64 * margin) as u128 + 1_000;
            let (buyer, seller) = (u16::try_from(buyer)?, u16::try_from(seller)?);
            engine.deposit(buyer, equity, start, 0).map_err(refused)?;
            engine.deposit(seller, equity, start, 0).map_err(refused)?;
            engine.execute_trade_not_atomic(buyer, seller, start, 0, size.max(1), start, 0).map_err(refused)?;
        }
        let candidates = (0..ACCOUNTS).map(|index| Ok((u16::try_from(index)?, None))).collect::<Result<_, Failed>>()?;
        Ok(Self { engine, candidates, slot: 0 })
    }

    /// A tick: microseconds of the crank over everybody.
    pub(crate) fn tick(&mut self, scene: &Scene, market: usize, mark: i64) -> Result<f64, Failed> {
        self.slot += 1;
        let (price, most) = (price(scene, market, mark), u16::try_from(ACCOUNTS)?);
        let since = Instant::now();
        let outcome = self.engine.keeper_crank_not_atomic(self.slot, price, &self.candidates, most, 0);
        let took = since.elapsed().as_secs_f64() * 1e6;
        outcome.map_err(|error| format!("percolator-engine refused: {error:?}"))?;
        Ok(took)
    }
}
