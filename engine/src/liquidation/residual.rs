//! What nobody covers or nobody bought: taken over by the fund, closed against other accounts, or at last closed without
//! anybody backing the loss.

use super::execute::{Step, signed};
use super::{FundDesk, Queue};
use crate::event::{AdlReason, Fact};
use crate::flow::Stop;
use crate::fund::{FundReply, FundRequest};
use crate::id::{AccountId, Leg, Side};
use crate::margin::Posting;
use crate::money::{Money, Quantity};
use crate::number::Rounding;
use crate::rules::{AdlPrice, Residual, Venue};

impl Queue {
    /// What nobody covers or nobody bought: taken over, or closed against other accounts, or at last closed without
    /// anybody backing the loss.
    pub(super) async fn residual(
        &mut self,
        step: &Step<'_>,
        quantity: Quantity,
        reason: AdlReason,
        desk: &mut impl FundDesk,
    ) -> Result<(), Stop> {
        // What the account had to spare belongs to the part that was covered: it is not spent twice.
        let step = &Step { spare: Money::ZERO, ..step.clone() };
        if step.market.liquidation.residual == Residual::Takeover && self.take_over(step, quantity, desk).await? {
            return Ok(());
        }
        let closed = self.deleverage(step, quantity, reason, desk).await?;
        let rest = quantity.minus(closed)?;
        if !rest.is_positive() {
            return Ok(());
        }
        // Nobody is left on the other side. Inside, the position is closed at the venue's price and what the fund cannot
        // pay is owed; outside, nothing can be invented: the next tick tries again.
        if let Venue::Embedded(model) = &step.market.venue {
            let asked = self.worst_loss(step, rest)?;
            let order = self.order_id();
            let (granted, _) = self.reserve(order, step, asked, desk).await?;
            self.tell_order(step, order, rest, (granted, asked))?;
            let deal = self.trade(step, order, model, rest)?;
            self.settle(step.market, deal, desk).await?;
            self.release(order, desk).await?;
        }
        Ok(())
    }

    /// The fund takes the position at its bankruptcy price, if it could bear the loss at the mark.
    async fn take_over(&mut self, step: &Step<'_>, quantity: Quantity, desk: &mut impl FundDesk) -> Result<bool, Stop> {
        let (market, plan) = (step.market, step.plan);
        let signed = signed(step.side(), quantity);
        let par = market.trade_value(signed, plan.bankruptcy)?;
        let gain = par.minus(market.trade_value(signed, plan.mark)?)?;
        let loss = (-gain).or_zero().quantise(market.asset_scale, Rounding::Ceil)?;
        let order = self.order_id();
        let (granted, _) = self.reserve(order, step, loss, desk).await?;
        self.release(order, desk).await?;
        if granted < loss {
            return Ok(false);
        }
        let deal = step.deal(order, quantity, par, plan.bankruptcy, false)?;
        let credit = self.settle_money(market, &deal, desk).await?;
        self.post_trade(market, &deal, credit);
        self.out.postings.push(Posting::Trade {
            account: AccountId::fund(),
            market: market.index,
            leg: Leg::Net,
            quantity: -signed,
            value: -par,
            credit: Money::ZERO,
            liquidates: false,
        });
        self.out.facts.push(Fact::TakenOver {
            liquidation: step.liquidation,
            account: step.account.clone(),
            market: market.name.clone(),
            quantity: -signed,
            price: plan.bankruptcy,
            mark: plan.mark,
        });
        if let Some(known) = self.liquidations.get_mut(&step.liquidation) {
            known.taken_over = true;
        }
        Ok(true)
    }

    /// Closes against other accounts: how much.
    async fn deleverage(
        &mut self,
        step: &Step<'_>,
        quantity: Quantity,
        reason: AdlReason,
        desk: &mut impl FundDesk,
    ) -> Result<Quantity, Stop> {
        let (market, plan) = (step.market, step.plan);
        // Those who are short close a long position, and the order sells: the same word.
        let side = step.side();
        let price = match market.adl.price {
            AdlPrice::Bankruptcy => plan.bankruptcy,
            AdlPrice::Mark => plan.mark,
        };
        let order = self.order_id();
        let market_ix = market.index;
        let request = FundRequest::Deleverage {
            order,
            liquidation: step.liquidation,
            market: market_ix,
            side,
            quantity,
            price,
            reason,
        };
        let (reply, facts) = desk.ask(request).await?;
        self.out.facts.extend(facts);
        let FundReply::Cuts(cuts) = reply else { return Ok(Quantity::ZERO) };
        let (mut closed, mut value) = (Quantity::ZERO, Money::ZERO);
        for cut in &cuts {
            closed = closed.plus(cut.quantity)?;
            value = value.minus(cut.value)?;
        }
        if !closed.is_positive() {
            return Ok(closed);
        }
        let signed = signed(side, closed);
        let par = market.trade_value(signed, plan.bankruptcy)?;
        let loss = value.minus(par)?.or_zero().quantise(market.asset_scale, Rounding::Ceil)?;
        self.reserve(order, step, loss, desk).await?;
        let deal = step.deal(order, closed, value, price, market.adl.price == AdlPrice::Mark)?;
        let credit = self.settle_money(market, &deal, desk).await?;
        self.release(order, desk).await?;
        self.post_trade(market, &deal, credit);
        for cut in cuts {
            let quantity = if side == Side::Sell { cut.quantity } else { -cut.quantity };
            self.out.postings.push(Posting::Trade {
                account: cut.account,
                market: market.index,
                leg: cut.leg,
                quantity,
                value: cut.value,
                credit: Money::ZERO,
                liquidates: false,
            });
        }
        if let Some(known) = self.liquidations.get_mut(&step.liquidation) {
            known.deleveraged = true;
        }
        Ok(closed)
    }
}
