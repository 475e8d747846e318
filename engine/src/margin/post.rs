//! What liquidations, ADL and funding do to accounts. Postings are decisions already taken; a shard carries them out.

use super::Scope;
use super::account::{Account, trade};
use super::evaluate::Report;
use super::shard::{Flow, RunReply, Shard};
use crate::event::Fact;
use crate::id::{AccountId, AssetIx, Leg, LiquidationId, MarketIx};
use crate::money::{Money, Quantity};
use crate::reject::Reject;
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
        let mut touched: BTreeSet<AccountId> = BTreeSet::new();
        let mut markets: BTreeSet<(AccountId, MarketIx)> = BTreeSet::new();
        for posting in postings {
            if !self.owns(posting.account()) {
                continue;
            }
            let id = posting.account().clone();
            let mut draft = self.draft(&id);
            let flow = self.carry_out(&mut draft, posting)?;
            self.commit(usize::MAX, draft, flow)?;
            if let Posting::Trade { market, .. } | Posting::Pay { market, .. } = posting {
                markets.insert((id.clone(), *market));
            }
            touched.insert(id);
        }
        self.forget_undo();
        let mut reply = RunReply::default();
        let mut facts = Vec::new();
        for (id, market) in &markets {
            self.show(0, id, Some(*market), &mut reply);
            facts.extend(reply.facts.drain(..).map(|(_, fact)| (id.clone(), fact)));
        }
        Ok((self.evaluate_some(&touched)?, facts))
    }

    fn carry_out(&self, draft: &mut Account, posting: &Posting) -> Result<Flow, Reject> {
        match posting {
            Posting::Begin { asset, scope, liquidation, .. } => {
                draft.orders.retain(|_, order| order.asset != *asset);
                Self::mark_liquidation(draft, *asset, *scope, Some(*liquidation));
            }
            Posting::End { asset, scope, .. } => Self::mark_liquidation(draft, *asset, *scope, None),
            Posting::Lock { market, leg, quantity, .. } => {
                if let Some(position) = draft.position_mut(*market, *leg) {
                    position.locked = position.locked.plus(*quantity)?.or_zero();
                }
            }
            Posting::Trade { market, leg, quantity, value, credit, liquidates, .. } => {
                return self.carry_trade(draft, (*market, *leg), *quantity, *value, *credit, *liquidates);
            }
            Posting::Pay { market, leg, amount, .. } => {
                let asset = self.rules.market(*market)?.asset;
                draft.post(asset, *amount)?;
                if let Some(position) = draft.position_mut(*market, *leg)
                    && let Some(margin) = position.isolated
                {
                    position.isolated = Some(margin.plus(*amount)?);
                }
            }
        }
        Ok(Flow::default())
    }

    fn carry_trade(
        &self,
        draft: &mut Account,
        (market, leg): (MarketIx, Leg),
        quantity: Quantity,
        value: Money,
        credit: Money,
        liquidates: bool,
    ) -> Result<Flow, Reject> {
        let market = self.rules.market(market)?.clone();
        let mut position = draft.take(market.index, leg);
        let before = position.isolated;
        let done = trade(&market, &mut position, quantity, value)?;
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
        draft.put(position);
        draft.post(market.asset, moved)?;
        Ok(Flow { asset: Some(market.asset), revenue: done.dust, ..Flow::default() })
    }
}
