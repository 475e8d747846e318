//! Orders at the external venue: fills, late and repeated ones, and orders that fill no more.

use super::execute::Deal;
use super::{FundDesk, Queue, queue::Outcome};
use crate::id::{OrderId, Side};
use crate::margin::Posting;
use crate::money::{Price, Quantity};
use crate::reject::{Code, Reject};
use smol_str::SmolStr;

impl Queue {
    /// Books a fill of an external order.
    ///
    /// # Errors
    /// [`Code::UnknownOrder`]; [`Code::OrderClosed`] for a late fill, whose contracts stay with the venue's account;
    /// [`Code::DuplicateTrade`]; [`Code::OffTick`], [`Code::OffLot`]; [`Code::ExceedsOrder`]; [`Code::LimitViolated`].
    pub async fn fill(
        &mut self,
        order: OrderId,
        trade: &SmolStr,
        price: Price,
        quantity: Quantity,
        desk: &mut impl FundDesk,
    ) -> Result<Outcome, Reject> {
        let Some(open) = self.orders.get(&order) else {
            let code = if self.is_past(order) { Code::OrderClosed } else { Code::UnknownOrder };
            return Err(Reject::new(code, "order"));
        };
        if open.trades.contains(trade) {
            return Err(Reject::new(Code::DuplicateTrade, "trade"));
        }
        let market = self.rules.market(open.market)?.clone();
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
        let deal = Deal {
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
            charges: true,
        };
        let (account, leg, left) = (open.account.clone(), open.leg, open.left.minus(quantity)?);
        if let Some(open) = self.orders.get_mut(&order) {
            open.left = left;
            open.step = deal.step;
            open.trades.insert(trade.clone());
        }
        self.out.postings.push(Posting::Lock { account, market: market.index, leg, quantity: -quantity });
        self.settle(&market, deal, desk).await?;
        if left.is_zero() {
            self.close_order(order, desk).await?;
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// An external order fills no more. What is left of it goes to the residual policy at the next tick.
    ///
    /// # Errors
    /// [`Code::UnknownOrder`], [`Code::OrderClosed`].
    pub async fn done(&mut self, order: OrderId, desk: &mut impl FundDesk) -> Result<Outcome, Reject> {
        if !self.orders.contains_key(&order) {
            let code = if self.is_past(order) { Code::OrderClosed } else { Code::UnknownOrder };
            return Err(Reject::new(code, "order"));
        }
        self.close_order(order, desk).await?;
        Ok(std::mem::take(&mut self.out))
    }

    /// Closes the orders whose time is over.
    pub(super) async fn expire_orders(&mut self, desk: &mut impl FundDesk) -> Result<(), Reject> {
        let over: Vec<OrderId> =
            self.orders.iter().filter(|(_, order)| order.deadline <= self.time).map(|(id, _)| *id).collect();
        for order in over {
            self.close_order(order, desk).await?;
        }
        Ok(())
    }

    async fn close_order(&mut self, order: OrderId, desk: &mut impl FundDesk) -> Result<(), Reject> {
        let Some(closed) = self.orders.remove(&order) else { return Ok(()) };
        self.release(order, desk).await?;
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
