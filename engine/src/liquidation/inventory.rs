//! Unwinding what the fund has taken over, at the market's pace, from the tick after the takeover.
//!
//! A position of the fund is closed like any other, with its average cost in the place of the bankruptcy price: what it
//! brings above is surplus, what it lacks is a shortfall. A loss that nobody covers waits: the fund is not made to sell.

use super::execute::{Deal, Step, signed};
use super::plan::Plan;
use super::{FundDesk, Queue};
use crate::event::Fact;
use crate::flow::Stop;
use crate::fund::FundRequest;
use crate::id::{AccountId, Leg, LiquidationId, MarketIx, Side};
use crate::margin::{Inventory, PositionReport, Posting, Scope};
use crate::money::{Money, Notional, Price, Quantity};
use crate::number::{self, Rounding};
use crate::reject::Reject;
use crate::rules::{Market, Venue};

impl Queue {
    pub(super) async fn unwind(&mut self, inventory: &[Inventory], desk: &mut impl FundDesk) -> Result<(), Stop> {
        let held = |market: &MarketIx| inventory.iter().any(|held| held.market == *market);
        let flat: Vec<MarketIx> = self.unwinding.keys().filter(|market| !held(market)).copied().collect();
        for market in flat {
            if let Some(id) = self.unwinding.remove(&market) {
                self.end_unwinding(id)?;
            }
        }
        for position in inventory {
            let Some(mark) = self.marks.get(position.market).filter(|mark| !mark.waits) else { continue };
            let id = self.unwinding_of(position, mark.price)?;
            if self.liquidations.get(&id).is_some_and(|known| known.orders.is_empty()) {
                self.unwind_one(id, position, mark.price, desk).await?;
            }
        }
        Ok(())
    }

    fn unwinding_of(&mut self, position: &Inventory, mark: Price) -> Result<LiquidationId, Reject> {
        if let Some(id) = self.unwinding.get(&position.market) {
            return Ok(*id);
        }
        let market = self.rules.market(position.market)?.clone();
        let scope = Scope::Isolated(position.market, Leg::Net);
        let id = self.begin(AccountId::fund(), market.asset, scope);
        self.unwinding.insert(position.market, id);
        self.out.facts.push(Fact::LiquidationStarted {
            liquidation: id,
            account: AccountId::fund(),
            asset: self.rules.asset(market.asset)?.name.clone(),
            market: Some(market.name.clone()),
            equity: market.mark_value(position.quantity, mark)?.minus(position.cost)?,
            maintenance_margin: Money::ZERO,
        });
        Ok(id)
    }

    async fn unwind_one(
        &mut self,
        id: LiquidationId,
        position: &Inventory,
        mark: Price,
        desk: &mut impl FundDesk,
    ) -> Result<(), Stop> {
        let market = self.rules.market(position.market)?.clone();
        let side = if position.quantity.is_positive() { Side::Sell } else { Side::Buy };
        let mut quantity = self.within_pace(&market, position.quantity.abs(), mark)?;
        if !quantity.is_positive() {
            return Ok(());
        }
        let order = self.order_id();
        let asked = self.unwinding_loss(&market, position, side, quantity, mark)?;
        let plan = self.unwinding_plan(&market, position, quantity, mark)?;
        let (account, scope) = (AccountId::fund(), Scope::Cross);
        let step = Step { liquidation: id, account, scope, spare: Money::ZERO, market: &market, plan: &plan };
        let (granted, _) = self.reserve(order, &step, asked, desk).await?;
        if granted < asked {
            let scale = market.lot_size.get().normalize().scale();
            let part = number::mul_div(quantity.get(), granted.get(), asked.get(), scale, Rounding::Floor)?;
            quantity = market.to_lot(Quantity::new(part), Rounding::Floor)?;
            while quantity.is_positive() && self.unwinding_loss(&market, position, side, quantity, mark)? > granted {
                quantity = quantity.minus(market.lot_size)?;
            }
        }
        if !quantity.is_positive() {
            return self.release(order, desk).await;
        }
        self.use_pace(&market, quantity, mark)?;
        let limit = self.tell_order(&step, order, quantity, (granted, granted))?;
        let Venue::Embedded(model) = &market.venue else {
            return Ok(self.send(&step, order, quantity, limit)?);
        };
        let price = self.execute_embedded(&market, model, side, quantity, mark)?;
        let value = market.trade_value(signed(side, quantity), price)?;
        // Measured against what it cost, not against a price on the tick grid.
        let par = -cost_share(&market, position, quantity)?;
        let deal = Deal { par, ..step.deal(order, quantity, value, price, false)? };
        self.settle_unwinding(&market, deal, desk).await?;
        self.release(order, desk).await
    }

    /// All of the gain is the fund's: there is no account to share it with.
    async fn settle_unwinding(&mut self, market: &Market, deal: Deal, desk: &mut impl FundDesk) -> Result<(), Stop> {
        let gain = deal.par.minus(deal.value)?;
        let surplus = gain.or_zero().quantise(market.asset_scale, Rounding::Floor)?;
        let shortfall = (-gain).or_zero().quantise(market.asset_scale, Rounding::Ceil)?;
        let (order, step) = (deal.order, deal.step);
        if surplus.is_positive() || shortfall.is_positive() {
            let request = FundRequest::Settle { order, step, fee: Money::ZERO, surplus, shortfall };
            let (_, facts) = desk.ask(request).await?;
            self.out.facts.extend(facts);
        }
        self.out.facts.push(Fact::LiquidationSettled {
            liquidation: deal.liquidation,
            order,
            account: deal.account.clone(),
            market: market.name.clone(),
            quantity: deal.signed.abs(),
            price: deal.price,
            bankruptcy_price: deal.bankruptcy,
            fee: Money::ZERO,
            surplus,
            shortfall,
            detail: self.detail(market, deal.signed, surplus, surplus)?,
        });
        let (quantity, value, credit) = (deal.signed, deal.value, shortfall.minus(surplus)?);
        let post = |account, quantity, value, credit| Posting::Trade {
            account,
            market: market.index,
            leg: Leg::Net,
            quantity,
            value,
            credit,
            liquidates: false,
        };
        self.out.postings.push(post(AccountId::fund(), quantity, value, credit));
        self.out.postings.push(post(AccountId::venue(), -quantity, -value, Money::ZERO));
        Ok(())
    }

    fn unwinding_loss(
        &self,
        market: &Market,
        position: &Inventory,
        side: Side,
        quantity: Quantity,
        mark: Price,
    ) -> Result<Money, Reject> {
        let price = match &market.venue {
            Venue::External => mark,
            Venue::Embedded(model) => {
                let state = self.venues.get(&market.index).copied().unwrap_or_default();
                super::quote(market, model, state, side, quantity, mark, self.time)?.price
            }
        };
        let value = market.trade_value(signed(side, quantity), price)?;
        let gain = (-cost_share(market, position, quantity)?).minus(value)?;
        Ok((-gain).or_zero().quantise(market.asset_scale, Rounding::Ceil)?)
    }

    fn unwinding_plan(
        &self,
        market: &Market,
        position: &Inventory,
        quantity: Quantity,
        mark: Price,
    ) -> Result<Plan, Reject> {
        let value = market.mark_value(position.quantity, mark)?;
        let rounding = if position.quantity.is_positive() { Rounding::Ceil } else { Rounding::Floor };
        let gain = position.cost.minus(value)?;
        let cost_price = market.price_after_gain(position.quantity, mark, gain, number::SCALE_MAX, rounding)?;
        let bankruptcy = match cost_price {
            Some(price) => market.to_tick(price, rounding)?,
            None => market.tick_size,
        };
        let report = PositionReport {
            market: position.market,
            leg: Leg::Net,
            quantity: position.quantity,
            cost: position.cost,
            notional: Notional::ZERO,
            maintenance: Money::ZERO,
            locked: position.locked,
        };
        Ok(Plan { position: report, quantity, allotted: Money::ZERO, bankruptcy, mark })
    }
}

/// The cost of part of the inventory, rounded as a trade rounds it.
fn cost_share(market: &Market, position: &Inventory, quantity: Quantity) -> Result<Money, Reject> {
    if quantity == position.quantity.abs() {
        return Ok(position.cost);
    }
    let (part, whole) = (quantity.get(), position.quantity.abs().get());
    Ok(Money::new(number::mul_div(position.cost.get(), part, whole, market.value_scale, Rounding::Ceil)?))
}
