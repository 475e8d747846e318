//! Coverage: cash promised to one order, reserved before it leaves, used by its fills, released after.
//!
//! Keyed by order, so that every step can be repeated: a repeated message finds the answer the first one got.

use super::ledger::About;
use super::{Fund, FundReply, SHARED, SHARED_POOL};
use crate::event::{AdlReason, Fact, Layer, LayerAmount, Reason};
use crate::fund::Pool;
use crate::id::{AccountId, AssetIx, LiquidationId, MarketIx, OrderId};
use crate::money::Money;
use crate::number::{self, Rounding};
use crate::reject::{Code, Reject};
use crate::rules::{Drawdown, Market};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What one layer granted, and what of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) layer: Layer,
    pub(super) granted: Money,
    pub(super) used: Money,
}

/// The coverage of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub(super) liquidation: LiquidationId,
    pub(super) account: AccountId,
    pub(super) asset: AssetIx,
    pub(super) market: MarketIx,
    pub(super) parts: Vec<Part>,
    /// The answer to `Reserve`, which stands even after what is left has been given back.
    granted: Money,
    bound: AdlReason,
    step: u32,
    last: (Money, Money),
}

impl Coverage {
    /// Granted and not used.
    pub(super) fn left(&self) -> Result<Money, Reject> {
        Ok(self.parts.iter().try_fold(Money::ZERO, |sum, part| sum.plus(part.granted)?.minus(part.used))?)
    }

    /// Granted by layer.
    pub(super) fn granted_layers(&self) -> Vec<LayerAmount> {
        self.parts.iter().map(|part| LayerAmount { layer: part.layer, amount: part.granted }).collect()
    }
}

impl Fund {
    pub(super) fn reserve(
        &mut self,
        order: OrderId,
        liquidation: LiquidationId,
        account: &AccountId,
        market: MarketIx,
        asked: Money,
    ) -> Result<FundReply, Reject> {
        if let Some(known) = self.coverages.get(&order).or_else(|| self.closed.get(&order)) {
            return Ok(FundReply::Granted { amount: known.granted, bound: known.bound });
        }
        if order <= self.past_order {
            // An order that came and went in an earlier tick: asked again, nothing is promised twice.
            return Ok(FundReply::Granted { amount: Money::ZERO, bound: AdlReason::FundEmpty });
        }
        self.highest_order = self.highest_order.max(order);
        let rules = self.rules.market(market)?.clone();
        let (parts, bound) = self.layers_for(&rules, asked)?;
        let mut granted = Money::ZERO;
        for part in &parts {
            self.hold(&rules, part.layer, part.granted)?;
            granted = granted.plus(part.granted)?;
        }
        let coverage = Coverage {
            liquidation,
            account: account.clone(),
            asset: rules.asset,
            market,
            parts,
            granted,
            bound,
            step: 0,
            last: (Money::ZERO, Money::ZERO),
        };
        if asked.is_positive() {
            let layers = coverage.granted_layers();
            self.facts.push(Fact::Coverage { liquidation, asked, granted, layers });
        }
        self.coverages.insert(order, Box::new(coverage));
        Ok(FundReply::Granted { amount: granted, bound })
    }

    /// What each layer can give, in the order of the waterfall, and what keeps it from being more.
    fn layers_for(&mut self, market: &Arc<Market>, asked: Money) -> Result<(Vec<Part>, AdlReason), Reject> {
        // One layer is the usual case.
        let mut parts = Vec::with_capacity(usize::from(asked.is_positive()));
        let mut bound = AdlReason::FundEmpty;
        let mut open = asked;
        let own = market.pool.name != SHARED;
        let layers = [own.then_some(Layer::MarketPool), Some(Layer::SharedPool), Some(Layer::InjectionLine)];
        for layer in layers.into_iter().flatten() {
            if !open.is_positive() {
                break;
            }
            let (free, limit) = self.free_for(market, layer, market.adl.drawdown.as_ref())?;
            let granted = open.min(free).or_zero();
            if granted < open
                && let Some(limit) = limit
            {
                bound = limit;
                if limit == AdlReason::Drawdown {
                    self.drawdown.insert(market.index);
                }
            }
            if granted.is_positive() {
                parts.push(Part { layer, granted, used: Money::ZERO });
                open = open.minus(granted)?;
            }
        }
        Ok((parts, bound))
    }

    /// What the layers together could grant a market now: its own pool and the shared one above the lines of its drawdown
    /// rule and within its cap, and the injection line.
    ///
    /// # Errors
    /// Overflow only.
    pub fn headroom(&self, market: MarketIx) -> Result<Money, Reject> {
        let market = self.rules.market(market)?;
        let own = market.pool.name != SHARED;
        let layers = [own.then_some(Layer::MarketPool), Some(Layer::SharedPool), Some(Layer::InjectionLine)];
        let mut sum = Money::ZERO;
        for layer in layers.into_iter().flatten() {
            sum = sum.plus(self.free_for(market, layer, market.adl.drawdown.as_ref())?.0.or_zero())?;
        }
        Ok(sum)
    }

    /// What a layer could give a market now, and which rule (if any) makes that less than its free cash.
    fn free_for(
        &self,
        market: &Market,
        layer: Layer,
        drawdown: Option<&Drawdown>,
    ) -> Result<(Money, Option<AdlReason>), Reject> {
        let fund = self.funds.get(&market.asset).ok_or(Reject::new(Code::UnknownAsset, "asset"))?;
        let name = match layer {
            Layer::MarketPool => market.pool.name.as_str(),
            Layer::SharedPool => SHARED,
            Layer::InjectionLine => return Ok((fund.line_left()?.or_zero(), None)),
        };
        let Some(pool) = fund.pools.get(name) else { return Ok((Money::ZERO, None)) };
        let (mut free, mut limit) = (pool.free()?, None);
        if let Some(rule) = drawdown {
            let above = free.minus(self.line_of(market.index, rule, pool)?)?.or_zero();
            if above < free {
                (free, limit) = (above, Some(AdlReason::Drawdown));
            }
        }
        if layer == Layer::SharedPool
            && let Some(cap) = market.pool.shared_draw_cap
        {
            let left = cap.minus(self.drawn(market)?)?.or_zero();
            if left < free {
                (free, limit) = (left, Some(AdlReason::MarketCap));
            }
        }
        Ok((free, limit))
    }

    /// The balance a pool may not fall below for a market: `peak × (1 − start)`, and once the trigger is on,
    /// `peak × (1 − stop)` until the pool has recovered above it.
    ///
    /// Rounds: up, at 12 decimals.
    /// Source: Bybit ADL alert rules (vectors: bybit-adl-drawdown-001, bybit-adl-hysteresis-*).
    pub(super) fn line_of(&self, market: MarketIx, rule: &Drawdown, pool: &Pool) -> Result<Money, Reject> {
        let fall = if self.drawdown.contains(&market) { rule.stop } else { rule.start };
        let kept = number::sub(Decimal::ONE, fall.get())?;
        let peak = pool.peak(self.time, rule.window_ms);
        Ok(Money::new(number::mul(peak.get(), kept, 12, Rounding::Ceil)?))
    }

    /// Paid to and held for a market out of the shared pool within its window.
    pub(super) fn drawn(&self, market: &Market) -> Result<Money, Reject> {
        let Some(draws) = self.draws.get(&market.index) else { return Ok(Money::ZERO) };
        let start = self.time.saturating_sub(market.pool.window_ms);
        Ok(draws.since(start)?)
    }

    /// Drops draws that are out of every window, and turns drawdown triggers off whose pool has recovered.
    pub(super) fn expire(&mut self, asset: AssetIx) -> Result<(), Reject> {
        let markets: Vec<Arc<Market>> =
            self.rules.markets().iter().filter(|market| market.asset == asset).cloned().collect();
        for market in markets {
            let start = self.time.saturating_sub(market.pool.window_ms);
            if let Some(draws) = self.draws.get_mut(&market.index) {
                draws.expire(start)?;
            }
            self.check_recovery(&market)?;
        }
        Ok(())
    }

    fn check_recovery(&mut self, market: &Market) -> Result<(), Reject> {
        if !self.drawdown.contains(&market.index) {
            return Ok(());
        }
        let Some(rule) = &market.adl.drawdown else {
            self.drawdown.remove(&market.index);
            return Ok(());
        };
        let pools = self.funds.get(&market.asset).and_then(|fund| fund.pools.get(&market.pool.name));
        if let Some(pool) = pools
            && pool.balance > self.line_of(market.index, rule, pool)?
        {
            self.drawdown.remove(&market.index);
        }
        Ok(())
    }

    fn hold(&mut self, market: &Market, layer: Layer, amount: Money) -> Result<(), Reject> {
        if amount.is_zero() {
            return Ok(());
        }
        let fund = self.funds.get_mut(&market.asset).ok_or(Reject::new(Code::UnknownAsset, "asset"))?;
        let name = match layer {
            Layer::InjectionLine => {
                fund.line_reserved = fund.line_reserved.plus(amount)?;
                return Ok(());
            }
            Layer::MarketPool => market.pool.name.as_str(),
            Layer::SharedPool => SHARED,
        };
        if let Some(pool) = fund.pools.get_mut(name) {
            pool.reserved = pool.reserved.plus(amount)?;
            assert!(!pool.reserved.is_negative() && pool.reserved <= pool.balance, "coverage is never promised twice");
        }
        if layer == Layer::SharedPool {
            let draws = self.draws.entry(market.index).or_default();
            draws.held = draws.held.plus(amount)?;
        }
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        order: OrderId,
        step: u32,
        fee: Money,
        surplus: Money,
        shortfall: Money,
    ) -> Result<FundReply, Reject> {
        let Some(mut coverage) = self.coverages.remove(&order) else {
            // Done with, or never asked for: the money has moved already, or never will.
            let (paid, owed) = self.closed.get(&order).map_or((Money::ZERO, Money::ZERO), |done| done.last);
            return Ok(FundReply::Settled { paid, owed });
        };
        if step <= coverage.step {
            let (paid, owed) = coverage.last;
            self.coverages.insert(order, coverage);
            return Ok(FundReply::Settled { paid, owed });
        }
        coverage.step = step;
        let market = self.rules.market(coverage.market)?.clone();
        let about = About {
            market: Some(coverage.market),
            liquidation: Some(coverage.liquidation),
            account: Some(coverage.account.clone()),
        };
        // Fees and surpluses go to the market's own pool.
        self.enter(market.asset, &market.pool.name, Reason::LiquidationFee, fee, about.clone())?;
        self.enter(market.asset, &market.pool.name, Reason::Surplus, surplus, about.clone())?;
        let (mut paid, mut open) = (Money::ZERO, shortfall);
        for part in &mut coverage.parts {
            let amount = open.min(part.granted.minus(part.used)?).or_zero();
            if amount.is_positive() {
                self.hold(&market, part.layer, -amount)?;
                self.pay(&market, part.layer, amount, about.clone())?;
                part.used = part.used.plus(amount)?;
                paid = paid.plus(amount)?;
                open = open.minus(amount)?;
            }
        }
        coverage.last = (paid, open);
        if shortfall.is_positive() {
            self.claim(&market, &coverage, shortfall, paid)?;
        }
        self.coverages.insert(order, coverage);
        if fee.is_positive() || surplus.is_positive() {
            self.pay_claims(market.asset)?;
        }
        Ok(FundReply::Settled { paid, owed: open })
    }

    /// Pays a shortfall out of a layer. The injection line's money passes through the market's pool.
    pub(super) fn pay(&mut self, market: &Market, layer: Layer, amount: Money, about: About) -> Result<(), Reject> {
        let pool = match layer {
            Layer::MarketPool => &market.pool.name,
            Layer::SharedPool => &SHARED_POOL,
            Layer::InjectionLine => {
                let pool = &market.pool.name;
                self.enter(market.asset, pool, Reason::Injection, amount, about.clone())?;
                if let Some(fund) = self.funds.get_mut(&market.asset) {
                    fund.line_drawn = fund.line_drawn.plus(amount)?;
                }
                pool
            }
        };
        self.enter(market.asset, pool, Reason::Shortfall, -amount, about)?;
        if layer == Layer::SharedPool {
            let time = self.time;
            self.draws.entry(market.index).or_default().pay(time, amount)?;
        }
        Ok(())
    }

    pub(super) fn release(&mut self, order: OrderId) -> Result<FundReply, Reject> {
        if let Some(mut coverage) = self.coverages.remove(&order) {
            let market = self.rules.market(coverage.market)?.clone();
            for part in &mut coverage.parts {
                let left = part.granted.minus(part.used)?;
                self.hold(&market, part.layer, -left)?;
                // What was given back is granted no more.
                part.granted = part.used;
            }
            self.closed.insert(order, coverage);
            self.pay_claims(market.asset)?;
        }
        Ok(FundReply::Settled { paid: Money::ZERO, owed: Money::ZERO })
    }

    /// What claims of a market may be paid from, now: its own pool, the shared pool within its cap, the injection line.
    /// The drawdown line does not hold back what is owed already.
    pub(super) fn payable(&self, market: &Market, layer: Layer) -> Result<Money, Reject> {
        Ok(self.free_for(market, layer, None)?.0.or_zero())
    }
}
