//! At which price each position of a market would be bankrupt.

use super::account::{Account, Position};
use super::assess::Valued;
use super::evaluate::share_of;
use super::price::bankruptcy_price;
use super::shard::{AHEAD, Shard};
use crate::id::{MarketIx, Side};
use crate::money::{Price, Quantity};
use crate::reject::Reject;
use crate::rules::Market;

impl Shard {
    /// The bankruptcy price, as the API shows it, and the unsigned quantity of every position on one side of a market; but
    /// for the house's, and for those that no price above zero makes bankrupt. In no particular order.
    ///
    /// # Errors
    /// Overflow only.
    pub fn bankruptcies(&self, market: MarketIx, side: Side) -> Result<Vec<(Price, Quantity)>, Reject> {
        let rules = self.rules.market(market)?;
        let mut found = Vec::new();
        for next in self.holders_of(market).chunks(AHEAD) {
            self.accounts.fetch(next.iter().copied());
            for account in next.iter().filter_map(|place| self.accounts.at(*place)) {
                for position in account.positions.iter().filter(|open| open.market == market && open.side() == side) {
                    let (_, valued) = self.isolated(account, position)?;
                    if let Some(price) = self.bankruptcy_of(rules, account, position, &valued)? {
                        found.push((price, position.quantity.abs()));
                    }
                }
            }
        }
        Ok(found)
    }

    /// The bankruptcy price of a position: at the equity allotted to it by its share of its scope's maintenance margin.
    pub(super) fn bankruptcy_of(
        &self,
        market: &Market,
        account: &Account,
        position: &Position,
        valued: &Valued,
    ) -> Result<Option<Price>, Reject> {
        let (equity, maintenance) = self.backing(market, account, position, valued)?;
        let allotted = share_of(equity, valued.maintenance, maintenance)?;
        match self.marks.price(position.market).or(super::evaluate::entry_price(market, position)) {
            Some(price) => bankruptcy_price(market, position.quantity, price, allotted),
            None => Ok(None),
        }
    }
}
