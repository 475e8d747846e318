//! Who could be deleveraged on one side of a market.

use super::Scope;
use super::account::{Account, Position};
use super::accounts::Place;
use super::assess::value_for_breach;
use super::shard::{AHEAD, Shard};
use crate::id::{AccountId, Leg, MarketIx, Side};
use crate::money::{Money, Notional, Quantity};
use crate::reject::Reject;
use crate::rules::Market;

/// A position that could be deleveraged, with what every policy ranks by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The account.
    pub account: AccountId,
    /// The leg.
    pub leg: Leg,
    /// How many contracts, unsigned.
    pub quantity: Quantity,
    /// Cost basis, signed.
    pub cost: Money,
    /// Unrealised PnL at the mark.
    pub pnl: Money,
    /// Size at the mark.
    pub notional: Notional,
    /// Its size net of what hedges it, for its leverage.
    pub net_notional: Notional,
    /// Equity of the scope behind it.
    pub equity: Money,
    /// Maintenance margin of that scope.
    pub maintenance: Money,
    /// Σ unrealised PnL of that scope.
    pub scope_pnl: Money,
    /// Σ |cost basis| of that scope.
    pub scope_cost: Money,
    /// What stands behind it.
    pub scope: Scope,
    /// Does an offsetting leg hedge it, in part or whole?
    pub hedged: bool,
}

impl Shard {
    /// Everybody who could be deleveraged on one side of a market: open there, neither the house nor in trouble
    /// themselves. In no particular order.
    ///
    /// # Errors
    /// Overflow only.
    pub fn candidates(&self, market: MarketIx, side: Side) -> Result<Vec<Candidate>, Reject> {
        let rules = self.rules.market(market)?;
        let places = self.holders_of(market);
        let mut found = Vec::with_capacity(places.len());
        for next in places.chunks(AHEAD) {
            self.accounts.fetch(next.iter().copied());
            for account in next.iter().filter_map(|place| self.accounts.at(*place)) {
                for position in account.positions.iter().filter(|open| open.market == market && open.side() == side) {
                    found.extend(self.candidate(rules, account, position)?);
                }
            }
        }
        Ok(found)
    }

    /// Who holds a position in a market, but for the house.
    pub(super) fn holders_of(&self, market: MarketIx) -> &[Place] {
        let holders = self.holders.get_or_init(|| self.count_holders());
        holders.get(usize::from(market.0)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who holds a position in each market, but for the house: nobody else opens one within a tick.
    fn count_holders(&self) -> Vec<Vec<Place>> {
        let mut holders = vec![Vec::new(); self.rules.markets().len()];
        for (place, account) in self.accounts.values().enumerate().filter(|(_, account)| !account.id.is_house()) {
            for position in &account.positions {
                if let Some(holders) = holders.get_mut(usize::from(position.market.0))
                    && holders.last() != Some(&place)
                {
                    holders.push(place);
                }
            }
        }
        holders
    }

    fn candidate(&self, market: &Market, account: &Account, position: &Position) -> Result<Option<Candidate>, Reject> {
        if account.liquidation(market.asset, position.scope()).is_some() {
            return Ok(None);
        }
        let valued = value_for_breach(market, position, self.marks.price(position.market))?;
        let mut scope = Candidate {
            account: account.id.clone(),
            leg: position.leg,
            quantity: position.quantity.abs(),
            cost: position.cost,
            pnl: valued.pnl,
            notional: valued.notional,
            net_notional: valued.notional,
            equity: position.isolated.unwrap_or_default().plus(valued.pnl)?,
            maintenance: valued.maintenance,
            scope_pnl: valued.pnl,
            scope_cost: position.cost.abs(),
            scope: position.scope(),
            hedged: false,
        };
        if position.isolated.is_none() {
            scope.equity = account.wallet(market.asset).plus(valued.pnl)?;
            for open in
                account.positions.iter().filter(|open| (open.market, open.leg) != (position.market, position.leg))
            {
                let rules = self.rules.market(open.market)?;
                if rules.asset != market.asset {
                    continue;
                }
                if let Some(margin) = open.isolated {
                    scope.equity = scope.equity.minus(margin)?;
                    continue;
                }
                let other = value_for_breach(rules, open, self.marks.price(open.market))?;
                scope.equity = scope.equity.plus(other.pnl)?;
                scope.maintenance = scope.maintenance.plus(other.maintenance)?;
                scope.scope_pnl = scope.scope_pnl.plus(other.pnl)?;
                scope.scope_cost = scope.scope_cost.plus(open.cost.abs())?;
            }
        }
        if scope.equity <= scope.maintenance {
            return Ok(None);
        }
        if account.positions.len() > 1 {
            let offset = self.offset(market, account, position)?;
            scope.net_notional = valued.notional.minus(offset)?.or_zero();
            scope.hedged = offset.is_positive();
        }
        Ok(Some(scope))
    }

    /// Notional that the account holds the other way: the other leg, and other markets of the same hedge group.
    fn offset(&self, market: &Market, account: &Account, position: &Position) -> Result<Notional, Reject> {
        let mut offset = Notional::ZERO;
        for other in account.positions.iter().filter(|other| other.side() != position.side()) {
            let rules = self.rules.market(other.market)?;
            let grouped = rules.adl.hedge_group.is_some() && rules.adl.hedge_group == market.adl.hedge_group;
            if rules.asset == market.asset && (other.market == position.market || grouped) {
                let mark = self.marks.price(other.market);
                offset = offset.plus(value_for_breach(rules, other, mark)?.notional)?;
            }
        }
        Ok(offset)
    }
}
