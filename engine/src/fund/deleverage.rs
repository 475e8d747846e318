//! The last layer but one: other accounts' positions.

use super::{Fund, FundStop, NeedRanking};
use crate::adl::Cut;
use crate::event::{AdlReason, Deleveraged, Fact};
use crate::id::{LiquidationId, MarketIx, OrderId, Side};
use crate::money::{Price, Quantity};

impl Fund {
    /// What was answered to this order before; nothing for an order of an earlier tick, which has had its answer.
    pub(super) fn cuts_of(&self, order: OrderId) -> Option<Vec<Cut>> {
        let past = (order <= self.past_order).then(Vec::new);
        self.marks.cuts.get(&order).cloned().or(past)
    }

    pub(super) fn deleverage(
        &mut self,
        liquidation: LiquidationId,
        (market, side): (MarketIx, Side),
        quantity: Quantity,
        price: Price,
        reason: AdlReason,
    ) -> Result<Vec<Cut>, FundStop> {
        let rules = self.rules.market(market)?.clone();
        let Some(ranking) = self.marks.rankings.get_mut(&(market, side)) else {
            return Err(FundStop::Ranking(NeedRanking { market, side }));
        };
        let barred = self.marks.barred.entry(rules.asset).or_default().scopes();
        let spent = self.marks.spent.entry(rules.asset).or_default();
        let cuts = ranking.select(&rules, quantity, price, barred, spent)?;
        let (candidates, profit, mark) = (ranking.len(), ranking.profit(), ranking.mark());
        let name = rules.name.clone();
        self.facts.push(Fact::AdlTriggered {
            market: name.clone(),
            side,
            quantity,
            reason,
            liquidation,
            candidates,
            profit,
        });
        let fund_balance = self.balance(rules.asset);
        for cut in &cuts {
            self.facts.push(Fact::Deleveraged(Box::new(Deleveraged {
                liquidation,
                account: cut.account.clone(),
                market: name.clone(),
                leg: (cut.leg != crate::id::Leg::Net).then_some(cut.leg),
                side,
                quantity: cut.quantity,
                price,
                realised_pnl: cut.realised,
                policy: rules.adl.policy,
                score: cut.score,
                rank: cut.rank,
                of: candidates,
                hedged: cut.hedged,
                notional: cut.notional,
                fund_balance,
                mark,
                inputs: cut.inputs.clone(),
            })));
        }
        Ok(cuts)
    }
}
