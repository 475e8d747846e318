//! One step of a liquidation: ask for coverage, execute, settle, and hand the rest to the residual policy.

use super::plan::{Plan, share};
use super::{FundDesk, Order, Queue, VenueState, quote};
use crate::event::{AdlReason, Fact, Settled};
use crate::flow::Stop;
use crate::fund::{FundReply, FundRequest};
use crate::id::{AccountId, Leg, LiquidationId, OrderId, Side};
use crate::margin::{Posting, Report, Scope};
use crate::money::{Money, Notional, Price, Quantity};
use crate::number::{self, Rounding};
use crate::oracle::Observation;
use crate::reject::Reject;
use crate::rules::{EmbeddedVenue, Market, Surplus, Venue};

/// What a trade is measured against.
#[derive(Debug, Clone)]
pub(super) struct Deal {
    pub(super) liquidation: LiquidationId,
    pub(super) order: OrderId,
    pub(super) step: u32,
    pub(super) account: AccountId,
    pub(super) leg: Leg,
    /// The change of the account's position, signed.
    pub(super) signed: Quantity,
    /// What that is worth at the price it was done.
    pub(super) value: Money,
    /// What it would be worth at the bankruptcy price.
    pub(super) par: Money,
    pub(super) price: Price,
    pub(super) bankruptcy: Price,
    /// What the scope has beyond the equity allotted to this trade: the account's margin comes before the fund.
    pub(super) spare: Money,
    /// Do fee and surplus apply (an order), or is what is left the account's (a rounding remainder)?
    pub(super) charges: bool,
}

/// A step of a liquidation: what is to be closed, whose, and where.
#[derive(Debug, Clone)]
pub(super) struct Step<'s> {
    pub(super) liquidation: LiquidationId,
    pub(super) account: AccountId,
    pub(super) scope: Scope,
    /// What the scope can lose without the fund, see [`spare`].
    pub(super) spare: Money,
    pub(super) market: &'s Market,
    pub(super) plan: &'s Plan,
}

impl Step<'_> {
    /// The side of the order that closes the position.
    pub(super) fn side(&self) -> Side {
        if self.plan.position.quantity.is_positive() { Side::Sell } else { Side::Buy }
    }

    /// A trade of `quantity` of the position, worth `value` at `price`.
    pub(super) fn deal(
        &self,
        order: OrderId,
        quantity: Quantity,
        value: Money,
        price: Price,
        charges: bool,
    ) -> Result<Deal, Reject> {
        let signed = signed(self.side(), quantity);
        Ok(Deal {
            liquidation: self.liquidation,
            order,
            step: 1,
            account: self.account.clone(),
            leg: self.plan.position.leg,
            signed,
            value,
            par: self.market.trade_value(signed, self.plan.bankruptcy)?,
            price,
            bankruptcy: self.plan.bankruptcy,
            spare: self.spare,
            charges,
        })
    }
}

impl Queue {
    /// Executes a plan. `unfilled`: an external order for it has ended; go straight to the residual.
    pub(super) async fn execute(
        &mut self,
        step: &Step<'_>,
        unfilled: bool,
        desk: &mut impl FundDesk,
    ) -> Result<(), Stop> {
        let (market, plan) = (step.market, step.plan);
        if unfilled {
            return self.residual(step, plan.quantity, AdlReason::Unfilled, desk).await;
        }
        let asked = self.worst_loss(step, plan.quantity)?;
        let order = self.order_id();
        let (granted, bound) = self.reserve(order, step, asked, desk).await?;
        let mut covered = plan.quantity;
        if granted < asked {
            let part = number::mul_div(
                plan.quantity.get(),
                granted.get(),
                asked.get(),
                market.lot_size.get().normalize().scale(),
                Rounding::Floor,
            )?;
            covered = market.to_lot(Quantity::new(part), Rounding::Floor)?;
            // Rounding each loss up may take a lot more than the share: give one back until it fits.
            while covered.is_positive() && self.worst_loss(step, covered)? > granted {
                covered = covered.minus(market.lot_size)?;
            }
        }
        let rest = plan.quantity.minus(covered)?;
        if covered.is_positive() {
            self.use_pace(market, covered, plan.mark)?;
            let limit = self.tell_order(step, order, covered, (granted, granted))?;
            match &market.venue {
                Venue::External => self.send(step, order, covered, limit)?,
                Venue::Embedded(model) => {
                    let deal = self.trade(step, order, model, covered)?;
                    self.settle(market, deal, desk).await?;
                    self.release(order, desk).await?;
                }
            }
        } else {
            self.release(order, desk).await?;
        }
        if rest.is_positive() {
            self.residual(step, rest, bound, desk).await?;
        }
        Ok(())
    }

    pub(super) async fn reserve(
        &mut self,
        order: OrderId,
        step: &Step<'_>,
        asked: Money,
        desk: &mut impl FundDesk,
    ) -> Result<(Money, AdlReason), Stop> {
        let request = FundRequest::Reserve {
            order,
            liquidation: step.liquidation,
            account: step.account.clone(),
            scope: step.scope,
            market: step.market.index,
            asked,
        };
        let (reply, facts) = desk.ask(request).await?;
        self.out.facts.extend(facts);
        match reply {
            FundReply::Granted { amount, bound } => Ok((amount, bound)),
            _ => Ok((Money::ZERO, AdlReason::FundEmpty)),
        }
    }

    pub(super) async fn release(&mut self, order: OrderId, desk: &mut impl FundDesk) -> Result<(), Stop> {
        let (_, facts) = desk.ask(FundRequest::Release { order }).await?;
        self.out.facts.extend(facts);
        Ok(())
    }

    /// The worst loss that closing `quantity` may cost the fund: at the depth of the embedded venue, at the mark of an
    /// external one, less what the scope can bear itself. Rounded up at the asset's scale.
    pub(super) fn worst_loss(&self, step: &Step<'_>, quantity: Quantity) -> Result<Money, Reject> {
        let (market, plan, side) = (step.market, step.plan, step.side());
        let price = match &market.venue {
            Venue::External => plan.mark,
            Venue::Embedded(model) => {
                let state = self.venues.get(&market.index).copied().unwrap_or_default();
                quote(market, model, state, side, quantity, plan.mark, self.time)?.price
            }
        };
        let signed = signed(side, quantity);
        let gain = market.trade_value(signed, plan.bankruptcy)?.minus(market.trade_value(signed, price)?)?;
        let loss = (-gain).minus(step.spare)?;
        Ok(loss.or_zero().quantise(market.asset_scale, Rounding::Ceil)?)
    }

    /// Tells of an order: its limit price. `worst` is the loss the limit allows for.
    pub(super) fn tell_order(
        &mut self,
        step: &Step<'_>,
        order: OrderId,
        quantity: Quantity,
        (coverage, worst): (Money, Money),
    ) -> Result<Price, Reject> {
        let borne = worst.plus(step.spare)?;
        let limit_price = limit_price(step.market, step.plan, step.side(), quantity, borne)?;
        self.out.facts.push(Fact::LiquidationOrder {
            liquidation: step.liquidation,
            order,
            market: step.market.name.clone(),
            side: step.side(),
            quantity,
            limit_price,
            bankruptcy_price: step.plan.bankruptcy,
            coverage,
        });
        Ok(limit_price)
    }

    /// Leaves an order with the external venue.
    pub(super) fn send(
        &mut self,
        step: &Step<'_>,
        order: OrderId,
        quantity: Quantity,
        limit: Price,
    ) -> Result<(), Reject> {
        let (account, market, leg) = (step.account.clone(), step.market.index, step.plan.position.leg);
        let open = Order {
            liquidation: step.liquidation,
            account: account.clone(),
            market,
            leg,
            side: step.side(),
            left: quantity,
            limit,
            bankruptcy: step.plan.bankruptcy,
            spare: step.spare,
            deadline: self.time.saturating_add(step.market.liquidation.order_ttl_ms),
            trades: std::collections::BTreeSet::new(),
            step: 0,
            unwinds: account.is_house(),
        };
        self.orders.insert(order, open);
        if let Some(known) = self.liquidations.get_mut(&step.liquidation) {
            known.orders.insert(order);
        }
        self.out.postings.push(Posting::Lock { account, market, leg, quantity });
        Ok(())
    }

    pub(super) fn trade(
        &mut self,
        step: &Step<'_>,
        order: OrderId,
        model: &EmbeddedVenue,
        quantity: Quantity,
    ) -> Result<Deal, Reject> {
        let price = self.execute_embedded(step.market, model, step.side(), quantity, step.plan.mark)?;
        let value = step.market.trade_value(signed(step.side(), quantity), price)?;
        step.deal(order, quantity, value, price, true)
    }

    /// Executes on the liquidity model: the average price.
    pub(super) fn execute_embedded(
        &mut self,
        market: &Market,
        model: &EmbeddedVenue,
        side: Side,
        quantity: Quantity,
        mark: Price,
    ) -> Result<Price, Reject> {
        let state = self.venues.get(&market.index).copied().unwrap_or_default();
        let found = quote(market, model, state, side, quantity, mark, self.time)?;
        if model.depth_per_bp.is_some() {
            self.venues.insert(market.index, VenueState::after(&found));
            let seen = Observation { price: found.last, time: self.time };
            self.out.trades.push((market.index, seen));
        }
        Ok(found.price)
    }

    /// Settles a trade against an order's coverage, and posts both sides of it. The other side is the venue's.
    pub(super) async fn settle(&mut self, market: &Market, deal: Deal, desk: &mut impl FundDesk) -> Result<(), Stop> {
        let credit = self.settle_money(market, &deal, desk).await?;
        self.post_trade(market, &deal, credit);
        self.out.postings.push(Posting::Trade {
            account: AccountId::venue(),
            market: market.index,
            leg: Leg::Net,
            quantity: -deal.signed,
            value: -deal.value,
            credit: Money::ZERO,
            liquidates: false,
        });
        Ok(())
    }

    /// Is all of the scope closed, and did it end below zero?
    pub(super) fn has_deficit(&self, report: &Report) -> bool {
        report.positions.is_empty() && report.equity.is_negative() && self.last_market(report).is_some()
    }

    fn last_market(&self, report: &Report) -> Option<crate::id::MarketIx> {
        let liquidation = self.liquidations.get(&report.liquidation?)?;
        liquidation.initial.keys().next_back().map(|(market, _)| *market)
    }

    /// Claims what a scope lacks after its last position is closed: a loss larger than its positions, which no bankruptcy
    /// price above zero can express. It is booked on the last market it held.
    pub(super) async fn claim_deficit(&mut self, report: &Report, desk: &mut impl FundDesk) -> Result<(), Stop> {
        let (Some(liquidation), Some(market)) = (report.liquidation, self.last_market(report)) else { return Ok(()) };
        let market = self.rules.market(market)?.clone();
        let shortfall = (-report.equity).quantise(market.asset_scale, Rounding::Ceil)?;
        let order = self.order_id();
        let request = FundRequest::Reserve {
            order,
            liquidation,
            account: report.account.clone(),
            scope: report.scope,
            market: market.index,
            asked: shortfall,
        };
        let (_, facts) = desk.ask(request).await?;
        self.out.facts.extend(facts);
        let (fee, surplus) = (Money::ZERO, Money::ZERO);
        let (_, facts) = desk.ask(FundRequest::Settle { order, step: 1, fee, surplus, shortfall }).await?;
        self.out.facts.extend(facts);
        self.release(order, desk).await?;
        self.out.postings.push(Posting::Trade {
            account: report.account.clone(),
            market: market.index,
            leg: Leg::Net,
            quantity: Quantity::ZERO,
            value: Money::ZERO,
            credit: shortfall,
            liquidates: false,
        });
        Ok(())
    }

    /// Fee, surplus and shortfall of a trade: what the account is credited (+) or charged (−) by the fund.
    pub(super) async fn settle_money(
        &mut self,
        market: &Market,
        deal: &Deal,
        desk: &mut impl FundDesk,
    ) -> Result<Money, Stop> {
        let gain = deal.par.minus(deal.value)?;
        let (fee, surplus, kept_by_fund) = if deal.charges && gain.is_positive() {
            charges(market, deal, gain)?
        } else {
            (Money::ZERO, Money::ZERO, Money::ZERO)
        };
        // Beyond what the scope can bear itself. Rounded up, so that it ends at zero and not one unit below.
        let shortfall = (-gain).minus(deal.spare)?.or_zero().quantise(market.asset_scale, Rounding::Ceil)?;
        if fee.is_positive() || kept_by_fund.is_positive() || shortfall.is_positive() {
            let (order, step) = (deal.order, deal.step);
            let request = FundRequest::Settle { order, step, fee, surplus: kept_by_fund, shortfall };
            let (_, facts) = desk.ask(request).await?;
            self.out.facts.extend(facts);
        }
        self.out.facts.push(Fact::LiquidationSettled {
            liquidation: deal.liquidation,
            order: deal.order,
            account: deal.account.clone(),
            market: market.name.clone(),
            quantity: deal.signed.abs(),
            price: deal.price,
            bankruptcy_price: deal.bankruptcy,
            fee,
            surplus,
            shortfall,
            detail: self.detail(market, deal.signed, surplus, kept_by_fund)?,
        });
        Ok(shortfall.minus(fee)?.minus(kept_by_fund)?)
    }

    /// What else is told of a settlement that changes a position by `signed`.
    pub(super) fn detail(
        &self,
        market: &Market,
        signed: Quantity,
        surplus: Money,
        kept_by_fund: Money,
    ) -> Result<Box<Settled>, Reject> {
        Ok(Box::new(Settled {
            side: if signed.is_negative() { Side::Sell } else { Side::Buy },
            mark: self.marks.price(market.index),
            fund_share: kept_by_fund,
            account_share: surplus.minus(kept_by_fund)?,
        }))
    }

    pub(super) fn post_trade(&mut self, market: &Market, deal: &Deal, credit: Money) {
        self.out.postings.push(Posting::Trade {
            account: deal.account.clone(),
            market: market.index,
            leg: deal.leg,
            quantity: deal.signed,
            value: deal.value,
            credit,
            liquidates: true,
        });
    }
}

/// What the scope has beyond the equity allotted to all that a step closes, and so can lose without the fund; zero when
/// it has none.
///
/// Shape:  max(0, equity − allotted × step ÷ position)
/// Rounds: down at the asset's scale.
pub(super) fn spare(market: &Market, plan: &Plan, equity: Money) -> Result<Money, Reject> {
    let taken = share(plan.allotted, plan.quantity, plan.position.quantity.abs())?;
    Ok(equity.minus(taken)?.or_zero().quantise(market.asset_scale, Rounding::Floor)?)
}

/// A quantity as a change of a position.
pub(super) fn signed(side: Side, quantity: Quantity) -> Quantity {
    if side == Side::Sell { -quantity } else { quantity }
}

/// Fee, surplus after it, and what of that the fund keeps.
///
/// Shape:  fee = min(fee rate × notional of the fill, gain); surplus = gain − fee; the fund's part by the surplus policy
/// Rounds: gain down (the account has no more), fee and the fund's part up within it.
/// Source: DESIGN §6.4; vectors bitmex-fund-credit-003, gate-fund-credit-001.
fn charges(market: &Market, deal: &Deal, gain: Money) -> Result<(Money, Money, Money), Reject> {
    let scale = market.asset_scale;
    let gain = gain.quantise(scale, Rounding::Floor)?;
    let notional = Notional::new(deal.value.get().abs());
    let fee = notional.times(market.liquidation.fee_rate, scale, Rounding::Ceil)?.min(gain);
    let surplus = gain.minus(fee)?;
    let kept = match market.liquidation.surplus {
        // There is no account to share with when the fund unwinds its own.
        _ if deal.account.is_house() => surplus,
        Surplus::Fund => surplus,
        Surplus::Account => Money::ZERO,
        Surplus::FundShare(part) => {
            Money::new(number::mul(surplus.get(), part.get(), scale, Rounding::Ceil)?).min(surplus)
        }
    };
    Ok((fee, surplus, kept))
}

/// The bankruptcy price, worsened per contract by what is covered and what the account has to spare.
///
/// Rounds: to the tick; for an external order so that a fill at it never costs more than the coverage, for the embedded
///         venue (whose price is no multiple of the tick) away from that.
/// Source: BitMEX-style "aggressed" limit (vectors: bitmex-fund-aggress-005, bybit-fund-sign-011).
fn limit_price(market: &Market, plan: &Plan, side: Side, quantity: Quantity, coverage: Money) -> Result<Price, Reject> {
    let strict = market.venue == Venue::External;
    let rounding = if (side == Side::Sell) == strict { Rounding::Ceil } else { Rounding::Floor };
    let held = -signed(side, quantity);
    let found = market.price_after_gain(held, plan.bankruptcy, -coverage, number::SCALE_MAX, rounding)?;
    let price = match found {
        Some(price) => market.to_tick(price, rounding)?,
        None => market.tick_size,
    };
    let price = if price.is_positive() { price } else { market.tick_size };
    if !strict {
        return Ok(price);
    }
    // Values of inverse contracts are rounded, so the coverage may say a tick less than it pays for: what covers a fill
    // at the mark reaches the mark.
    let mark = market.to_tick(plan.mark, rounding)?;
    let change = signed(side, quantity);
    let loss = market.trade_value(change, mark)?.minus(market.trade_value(change, plan.bankruptcy)?)?;
    let reaches = loss <= coverage && (side == Side::Sell) == (mark < price);
    Ok(if reaches { mark } else { price })
}
