//! Orders at the external venue: fills, late and repeated ones, and orders that fill no more.

use super::execute::Deal;
use super::{FundDesk, Queue, queue::Outcome};
use crate::flow::Stop;
use crate::id::{OrderId, Side};
use crate::margin::Posting;
use crate::money::{Price, Quantity};
use crate::reject::{Code, Reject};
use smol_str::SmolStr;

/// Closed orders whose trades are remembered: a venue repeats its latest fills.
const CLOSED_KEPT: usize = 1_024;

impl Queue {
    /// Books a fill of an external order, or refuses it: [`Code::UnknownOrder`]; [`Code::OrderClosed`] for a late fill,
    /// whose contracts stay with the venue's account; [`Code::DuplicateTrade`]; [`Code::OffTick`], [`Code::OffLot`];
    /// [`Code::ExceedsOrder`]; [`Code::LimitViolated`].
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn fill(
        &mut self,
        order: OrderId,
        trade: &SmolStr,
        price: Price,
        quantity: Quantity,
        desk: &mut impl FundDesk,
    ) -> Result<Result<Outcome, Reject>, Stop> {
        let deal = match self.deal(order, trade, price, quantity) {
            Ok(deal) => deal,
            Err(reject) => return Ok(Err(reject)),
        };
        let Some(open) = self.orders.get_mut(&order) else { return Ok(Ok(Outcome::default())) };
        open.left = open.left.minus(quantity)?;
        open.step = deal.step;
        // What this fill costs beyond its bankruptcy price is spent; what it leaves is there for the next.
        let cost = deal.value.minus(deal.par)?.or_zero();
        open.spare = open.spare.minus(cost)?.or_zero();
        open.trades.insert(trade.clone());
        let filled = open.left.is_zero();
        let (account, leg, market) = (open.account.clone(), open.leg, open.market);
        let market = self.rules.market(market)?.clone();
        self.out.postings.push(Posting::Lock { account, market: market.index, leg, quantity: -quantity });
        self.settle(&market, deal, desk).await?;
        if filled {
            self.close_order(order, desk).await?;
        }
        Ok(Ok(std::mem::take(&mut self.out)))
    }

    /// Checks a fill.
    fn deal(&self, order: OrderId, trade: &SmolStr, price: Price, quantity: Quantity) -> Result<Deal, Reject> {
        if self.closed.get(&order).is_some_and(|trades| trades.contains(trade)) {
            return Err(Reject::new(Code::DuplicateTrade, "trade"));
        }
        let open = self.orders.get(&order).ok_or_else(|| self.no_order(order))?;
        if open.trades.contains(trade) {
            return Err(Reject::new(Code::DuplicateTrade, "trade"));
        }
        let market = self.rules.market(open.market)?;
        market.check_tick(price)?;
        market.check_lot(quantity)?;
        if quantity > open.left {
            return Err(Reject::limit(Code::ExceedsOrder, "quantity", quantity.get(), open.left.get()));
        }
        let worse = match open.side {
            Side::Sell => price < open.limit,
            Side::Buy => price > open.limit,
        };
        if worse {
            return Err(Reject::limit(Code::LimitViolated, "price", price.get(), open.limit.get()));
        }
        let signed = open.signed(quantity);
        Ok(Deal {
            liquidation: open.liquidation,
            order,
            step: open.step.saturating_add(1),
            account: open.account.clone(),
            leg: open.leg,
            signed,
            value: market.trade_value(signed, price)?,
            par: market.trade_value(signed, open.bankruptcy)?,
            price,
            bankruptcy: open.bankruptcy,
            spare: open.spare,
            charges: true,
        })
    }

    fn no_order(&self, order: OrderId) -> Reject {
        Reject::new(if self.is_past(order) { Code::OrderClosed } else { Code::UnknownOrder }, "order")
    }

    /// An external order fills no more: [`Code::UnknownOrder`], [`Code::OrderClosed`]. What is left of it goes to the
    /// residual policy at the next tick.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn done(&mut self, order: OrderId, desk: &mut impl FundDesk) -> Result<Result<Outcome, Reject>, Stop> {
        if !self.orders.contains_key(&order) {
            return Ok(Err(self.no_order(order)));
        }
        self.close_order(order, desk).await?;
        Ok(Ok(std::mem::take(&mut self.out)))
    }

    /// Closes the orders whose time is over.
    pub(super) async fn expire_orders(&mut self, desk: &mut impl FundDesk) -> Result<(), Stop> {
        let over: Vec<OrderId> =
            self.orders.iter().filter(|(_, order)| order.deadline <= self.time).map(|(id, _)| *id).collect();
        for order in over {
            self.close_order(order, desk).await?;
        }
        Ok(())
    }

    async fn close_order(&mut self, order: OrderId, desk: &mut impl FundDesk) -> Result<(), Stop> {
        let Some(closed) = self.orders.remove(&order) else { return Ok(()) };
        self.release(order, desk).await?;
        self.closed.insert(order, closed.trades);
        while self.closed.len() > CLOSED_KEPT {
            self.closed.pop_first();
        }
        if let Some(liquidation) = self.liquidations.get_mut(&closed.liquidation) {
            liquidation.orders.remove(&order);
            liquidation.unfilled |= closed.left.is_positive() && !closed.unwinds;
        }
        // Even an order that is filled touches its account, so that the shards report what is left of it.
        self.out.postings.push(Posting::Lock {
            account: closed.account,
            market: closed.market,
            leg: closed.leg,
            quantity: -closed.left,
        });
        Ok(())
    }
}
