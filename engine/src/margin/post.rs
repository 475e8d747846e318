//! What liquidations, ADL and funding do to accounts. Postings are decisions already taken; a shard carries them out.

use super::Scope;
use super::account::{Account, Part, Position, trade};
use super::accounts::Place;
use super::evaluate::Report;
use super::shard::{AHEAD, RunReply, Shard};
use super::totals::Flow;
use crate::event::Fact;
use crate::id::{AccountId, AssetIx, Leg, LiquidationId, MarketIx};
use crate::money::{Money, Quantity};
use crate::reject::Reject;
use crate::rules::Market;
use std::collections::BTreeSet;

/// One change of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posting {
    /// A liquidation of a scope begins: the margin of open orders in the asset is freed.
    Begin {
        /// Who.
        account: AccountId,
        /// The asset.
        asset: AssetIx,
        /// The scope.
        scope: Scope,
        /// The liquidation.
        liquidation: LiquidationId,
    },
    /// It is over.
    End {
        /// Who.
        account: AccountId,
        /// The asset.
        asset: AssetIx,
        /// The scope.
        scope: Scope,
    },
    /// A liquidation order holds (+) or gives back (−) part of a position.
    Lock {
        /// Who.
        account: AccountId,
        /// The market.
        market: MarketIx,
        /// The leg.
        leg: Leg,
        /// Contracts.
        quantity: Quantity,
    },
    /// A trade that a liquidation makes: of the liquidated account, or of the house on the other side.
    Trade {
        /// Who.
        account: AccountId,
        /// The market.
        market: MarketIx,
        /// The leg.
        leg: Leg,
        /// Signed quantity.
        quantity: Quantity,
        /// Signed value.
        value: Money,
        /// From (+) or to (−) the fund: a shortfall paid, or fee and surplus taken.
        credit: Money,
        /// Must isolated margin bear the result (a liquidation), or is it given back in proportion (ADL)?
        liquidates: bool,
    },
    /// A funding payment.
    Pay {
        /// Who.
        account: AccountId,
        /// The market.
        market: MarketIx,
        /// The leg.
        leg: Leg,
        /// What it receives (+) or pays (−).
        amount: Money,
    },
}

impl Posting {
    /// Whose it is.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Begin { account, .. }
            | Self::End { account, .. }
            | Self::Lock { account, .. }
            | Self::Trade { account, .. }
            | Self::Pay { account, .. } => account,
        }
    }
}

/// Scopes that were touched, as they are now, and the facts that show their accounts.
pub(super) type Posted = (Vec<Report>, Vec<(AccountId, Fact)>);

impl Shard {
    /// Carries out the postings that concern this shard's accounts, and evaluates those accounts again. Facts come by
    /// account name.
    ///
    /// # Errors
    /// Overflow only, which the limits of input exclude: the daemon stops on it.
    pub(super) fn post(&mut self, postings: &[Posting]) -> Result<Posted, Reject> {
        let mut touched: Vec<Place> = Vec::with_capacity(postings.len());
        let mut markets: BTreeSet<(AccountId, MarketIx)> = BTreeSet::new();
        for next in postings.chunks(AHEAD) {
            let ids: Vec<[Option<&AccountId>; 1]> = next.iter().map(|posting| [Some(posting.account())]).collect();
            let places = self.accounts.places(&ids);
            for (posting, [known]) in next.iter().zip(places) {
                let id = posting.account();
                if !self.owns(id) {
                    continue;
                }
                touched.push(self.carry_out((id, known), posting)?);
                if let Posting::Trade { market, .. } | Posting::Pay { market, .. } = posting
                    && self.shows_accounts
                {
                    markets.insert((id.clone(), *market));
                }
            }
        }
        self.forget_undo();
        let mut reply = RunReply::default();
        let mut facts = Vec::new();
        for (id, market) in &markets {
            self.show(0, id, Some(*market), &mut reply);
            facts.extend(reply.facts.drain(..).map(|(_, fact)| (id.clone(), fact)));
        }
        touched.sort_unstable();
        touched.dedup();
        Ok((self.evaluate_some(&touched)?, facts))
    }

    /// Carries out one posting: where the account stands.
    fn carry_out(&mut self, account: (&AccountId, Option<Place>), posting: &Posting) -> Result<Place, Reject> {
        let change = match posting {
            Posting::Trade { market, leg, quantity, value, credit, liquidates, .. } => {
                let market = self.rules.market(*market)?;
                let work = |account: &mut Account, before: &Part| {
                    let mut position = before.position(account, market.index, *leg);
                    let (moved, dust) = carry_trade(market, &mut position, (*quantity, *value), *credit, *liquidates)?;
                    account.put(position);
                    account.post(market.asset, moved)?;
                    Ok(Flow { asset: Some(market.asset), revenue: dust, ..Flow::default() })
                };
                self.accounts.touch(account, |_| Ok((market.asset, Some((market.index, *leg)))), work)?
            }
            Posting::Pay { market, leg, amount, .. } => {
                let asset = self.rules.market(*market)?.asset;
                let work = |account: &mut Account, _: &Part| {
                    account.post(asset, *amount)?;
                    if let Some(position) = account.position_mut(*market, *leg)
                        && let Some(margin) = position.isolated
                    {
                        position.isolated = Some(margin.plus(*amount)?);
                    }
                    Ok(Flow::default())
                };
                self.accounts.touch(account, |_| Ok((asset, Some((*market, *leg)))), work)?
            }
            _ => return self.carry_mark(account, posting),
        };
        let place = change.place;
        self.book(usize::MAX, change)?;
        Ok(place)
    }

    /// Postings that move no money.
    fn carry_mark(&mut self, (id, known): (&AccountId, Option<Place>), posting: &Posting) -> Result<Place, Reject> {
        let place = known.unwrap_or_else(|| self.accounts.open(id));
        self.guards.touch(place);
        let Some(account) = self.accounts.at_mut(place) else { return Ok(place) };
        match posting {
            Posting::Begin { asset, scope, liquidation, .. } => {
                account.orders.retain(|_, order| order.asset != *asset);
                Self::mark_liquidation(account, *asset, *scope, Some(*liquidation));
            }
            Posting::End { asset, scope, .. } => Self::mark_liquidation(account, *asset, *scope, None),
            Posting::Lock { market, leg, quantity, .. } => {
                if let Some(position) = account.position_mut(*market, *leg) {
                    position.locked = position.locked.plus(*quantity)?.or_zero();
                }
            }
            Posting::Trade { .. } | Posting::Pay { .. } => {}
        }
        Ok(place)
    }
}

/// Changes a position by a trade that a liquidation makes: what the wallet receives, and the dust.
fn carry_trade(
    market: &Market,
    position: &mut Position,
    (quantity, value): (Quantity, Money),
    credit: Money,
    liquidates: bool,
) -> Result<(Money, Money), Reject> {
    let before = position.isolated;
    let done = trade(market, position, quantity, value)?;
    let moved = done.realised.plus(credit)?;
    match before {
        // The position's own margin bears what was realised: the rest of the wallet is not touched, and what the
        // account keeps of a surplus stays with the position while it is open.
        Some(margin) if liquidates => position.isolated = Some(margin.plus(moved)?),
        // Deleveraged: what the part that closed lost beyond the margin it gives back, the rest of the position bears.
        Some(_) => {
            let lost = done.released.plus(moved)?.min(Money::ZERO);
            position.isolated = Some(position.isolated.unwrap_or_default().plus(lost)?);
        }
        None => {}
    }
    Ok((moved, done.dust))
}
