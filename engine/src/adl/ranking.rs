//! The order in which positions would be deleveraged, built once a tick and used up by the claims of that tick.
//!
//! Candidates are scored once and sorted only as far as somebody asks: choosing k of n costs a look at n for the scores, one at
//! what is not sorted yet each time k doubles, and a sort of no more than about twice k. Later claims of the tick pass over
//! those that have nothing left.

use super::share;
use crate::event::ScoreInputs;
use crate::id::{AccountId, Leg, MarketIx, Side};
use crate::margin::{Candidate, Position, Scope, trade};
use crate::money::{Money, Notional, Price, Quantity, Rate};
use crate::number::{self, Rounding};
use crate::reject::Reject;
use crate::rules::{AdlPolicy, Market};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The place of a candidate, and what earlier cuts have left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// By the market's policy.
    pub score: Rate,
    /// From 1; 0 as long as nobody has asked that far.
    pub rank: u64,
    /// What is left of the position.
    pub left: Quantity,
    /// What is left of its cost.
    pub cost: Money,
}

/// A decision to close part of a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Whose.
    pub account: AccountId,
    /// Which leg.
    pub leg: Leg,
    /// How much, unsigned.
    pub quantity: Quantity,
    /// What that adds to the cost basis of the position, signed.
    pub value: Money,
    /// What it realises for the account.
    pub realised: Money,
    /// The score it was chosen by.
    pub score: Rate,
    /// The rank it was chosen by.
    pub rank: u64,
    /// Is the position hedged elsewhere?
    pub hedged: bool,
    /// What was cut, at the mark.
    pub notional: Notional,
    /// What the score was computed from.
    pub inputs: Arc<ScoreInputs>,
}

/// What an account may know of its place before anything happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// From 1.
    pub rank: u64,
    /// Of how many.
    pub of: u64,
    /// 1 to 5; 5 is first.
    pub quantile: u8,
    /// Contracts that would be taken before.
    pub ahead: Quantity,
}

/// One side of a market, in the order of deleveraging.
#[derive(Debug, Clone)]
pub struct Ranking {
    market: MarketIx,
    side: Side,
    policy: AdlPolicy,
    mark: Price,
    candidates: Vec<Candidate>,
    /// Of each candidate.
    entries: Vec<Ranked>,
    profit: Money,
    /// Entries by rank, as far as they are sorted; the others follow in any order.
    order: Vec<usize>,
    sorted: usize,
    /// How many are in profit: they come first.
    winners: usize,
    /// From each place the next that may have something left: itself, or further on.
    next: Vec<usize>,
}

/// What every account may know of its place on one side of a market.
#[derive(Debug, Clone, Default)]
pub struct Standings(Vec<(AccountId, Leg, Standing)>);

impl Standings {
    /// The places of one account, by leg. Costs no more than the logarithm of how many there are.
    pub fn of(&self, account: &AccountId) -> impl Iterator<Item = (Leg, Standing)> {
        let first = self.0.partition_point(|(known, _, _)| known < account);
        let found = self.0.get(first..).unwrap_or_default().iter().take_while(move |(known, _, _)| known == account);
        found.map(|(_, leg, standing)| (*leg, *standing))
    }
}

/// Fewer than this are not worth sorting apart.
const CHUNK: usize = 64;

impl Ranking {
    /// Scores everybody.
    ///
    /// # Errors
    /// Overflow only.
    pub fn new(market: &Market, side: Side, mark: Price, candidates: Vec<Candidate>) -> Result<Self, Reject> {
        let policy = market.adl.policy;
        let (mut profit, mut winners) = (Money::ZERO, 0_usize);
        let mut entries = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            if candidate.pnl.is_positive() {
                profit = profit.plus(candidate.pnl)?;
                winners = winners.saturating_add(1);
            }
            let (left, cost, score) = (candidate.quantity, candidate.cost, share::score(policy, candidate)?);
            entries.push(Ranked { score, rank: 0, left, cost });
        }
        let order = (0..entries.len()).collect();
        let next = (0..=entries.len()).collect();
        let market = market.index;
        Ok(Self { market, side, policy, mark, candidates, entries, profit, order, sorted: 0, winners, next })
    }

    /// Sorts at least so many: winners first, then by score, then by account name and leg.
    fn sort_to(&mut self, count: usize) {
        if count <= self.sorted || self.sorted == self.order.len() {
            return;
        }
        let until = count.max(self.sorted.saturating_mul(2)).max(CHUNK).min(self.order.len());
        let (candidates, entries) = (&self.candidates, &self.entries);
        let key = |place: &usize| {
            let (candidate, entry) = (candidates.get(*place)?, entries.get(*place)?);
            let score = (candidate.pnl.is_positive(), entry.score);
            Some((std::cmp::Reverse(score), &candidate.account, candidate.leg))
        };
        let earlier = |a: &usize, b: &usize| key(a).cmp(&key(b));
        let first = self.sorted;
        if let Some(rest) = self.order.get_mut(first..) {
            let next = until.saturating_sub(first);
            if next < rest.len() {
                rest.select_nth_unstable_by(next, earlier);
            }
            if let Some(next) = rest.get_mut(..next) {
                next.sort_unstable_by(earlier);
            }
        }
        for (place, rank) in self.order.iter().zip(1_u64..).take(until).skip(first) {
            if let Some(entry) = self.entries.get_mut(*place) {
                entry.rank = rank;
            }
        }
        self.sorted = until;
    }

    /// The entry of a rank less one, sorted by then.
    pub(super) fn at(&self, place: usize) -> Option<(&Candidate, &Ranked)> {
        let place = *self.order.get(place)?;
        self.candidates.get(place).zip(self.entries.get(place))
    }

    /// The market.
    pub fn market(&self) -> MarketIx {
        self.market
    }

    /// The side of the positions in it.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The mark it was made at.
    pub fn mark(&self) -> Price {
        self.mark
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    /// Is nobody there?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Σ unrealised profit of the winners.
    pub fn profit(&self) -> Money {
        self.profit
    }

    /// Everybody, in the order in which they came.
    pub fn entries(&self) -> impl Iterator<Item = (&Candidate, &Ranked)> {
        self.candidates.iter().zip(&self.entries)
    }

    /// Chooses who closes `need` contracts at `price`. `barred` are being liquidated themselves; `spent` is what scopes
    /// have lost to earlier cuts of this tick.
    ///
    /// # Errors
    /// Overflow only.
    pub fn select(
        &mut self,
        market: &Market,
        need: Quantity,
        price: Price,
        barred: &BTreeSet<(AccountId, Scope)>,
        spent: &mut BTreeMap<(AccountId, Scope), Money>,
    ) -> Result<Vec<Cut>, Reject> {
        let loss = self.loss_per_contract(market, price)?;
        let mut cuts: BTreeMap<usize, Quantity> = BTreeMap::new();
        let mut open = need;
        for winners in [true, false] {
            for net in [true, false] {
                if !open.is_positive() {
                    break;
                }
                let room = self.room(market, (winners, net), (loss, open), barred, spent, &cuts)?;
                let chosen = share::choose(market, self.policy, self, &room, open)?;
                for (place, quantity) in chosen {
                    open = open.minus(quantity)?;
                    let sum = cuts.get(&place).copied().unwrap_or_default().plus(quantity)?;
                    cuts.insert(place, sum);
                }
            }
        }
        cuts.into_iter().map(|(place, quantity)| self.cut(market, place, quantity, price, loss, spent)).collect()
    }

    /// What a contract closed at `price` costs its holder against the mark; zero or less when it gains.
    fn loss_per_contract(&self, market: &Market, price: Price) -> Result<Money, Reject> {
        let one = Quantity::new(Decimal::ONE);
        let held = if self.side == Side::Sell { -one } else { one };
        market.loss_between(held, self.mark, price)
    }

    /// What each entry of a class may still give: what is left, within what its scope can lose. First only the part that
    /// no other leg hedges (`net`), then the rest.
    fn room(
        &mut self,
        market: &Market,
        (winners, net): (bool, bool),
        (loss, need): (Money, Quantity),
        barred: &BTreeSet<(AccountId, Scope)>,
        spent: &BTreeMap<(AccountId, Scope), Money>,
        cuts: &BTreeMap<usize, Quantity>,
    ) -> Result<Vec<(usize, Quantity)>, Reject> {
        // A policy that goes in order needs no more room than it fills.
        let in_order = matches!(self.policy, AdlPolicy::Queue | AdlPolicy::AccountRatio);
        let (mut room, mut found) = (Vec::new(), Quantity::ZERO);
        let (mut place, end) = if winners { (0, self.winners) } else { (self.winners, self.order.len()) };
        loop {
            place = self.open_from(place);
            if place >= end || (in_order && found >= need) {
                break;
            }
            self.sort_to(if in_order { place.saturating_add(1) } else { end });
            let here = place;
            place = place.saturating_add(1);
            let Some((candidate, entry)) = self.at(here) else { break };
            let key = (candidate.account.clone(), candidate.scope);
            if barred.contains(&key) {
                continue;
            }
            let taken = cuts.get(&here).copied().unwrap_or_default();
            let mut most = entry.left;
            if net && candidate.hedged {
                let part = number::mul_div(
                    candidate.quantity.get(),
                    candidate.net_notional.get(),
                    candidate.notional.get(),
                    market.lot_size.get().normalize().scale(),
                    Rounding::Floor,
                )?;
                let gone = candidate.quantity.minus(entry.left)?;
                most = most.min(Quantity::new(part).minus(gone)?.or_zero());
            }
            if loss.is_positive() {
                let lost = spent.get(&key).copied().unwrap_or_default();
                let equity = candidate.equity.minus(lost)?.or_zero();
                let bearable = number::div(equity.get(), loss.get(), 12, Rounding::Floor)?;
                most = most.min(Quantity::new(bearable));
            }
            let most = market.to_lot(most.minus(taken)?.or_zero(), Rounding::Floor)?;
            if most.is_positive() {
                found = found.plus(most)?;
                room.push((here, most));
            }
        }
        Ok(room)
    }

    /// The first place from this one on that may have something left. What was passed on the way points there afterwards.
    fn open_from(&mut self, place: usize) -> usize {
        let mut open = place;
        while let Some(next) = self.next.get(open).copied().filter(|next| *next != open) {
            open = next;
        }
        let mut passed = place;
        while let Some(next) = self.next.get_mut(passed).filter(|next| **next != open) {
            passed = std::mem::replace(next, open);
        }
        open
    }

    fn cut(
        &mut self,
        market: &Market,
        place: usize,
        quantity: Quantity,
        price: Price,
        loss: Money,
        spent: &mut BTreeMap<(AccountId, Scope), Money>,
    ) -> Result<Cut, Reject> {
        let none = Reject::new(crate::reject::Code::UnknownAccount, "account");
        let index = *self.order.get(place).ok_or(none)?;
        let (candidate, entry) = self.candidates.get(index).zip(self.entries.get_mut(index)).ok_or(none)?;
        let closes_short = self.side == Side::Sell;
        let signed = if closes_short { quantity } else { -quantity };
        let value = market.trade_value(signed, price)?;
        let mut shadow = Position {
            market: self.market,
            leg: candidate.leg,
            quantity: if closes_short { -entry.left } else { entry.left },
            cost: entry.cost,
            isolated: None,
            locked: Quantity::ZERO,
        };
        let done = trade(market, &mut shadow, signed, value)?;
        entry.left = shadow.quantity.abs();
        entry.cost = shadow.cost;
        if let (true, Some(next)) = (entry.left.is_zero(), self.next.get_mut(place)) {
            *next = place.saturating_add(1);
        }
        if loss.is_positive() {
            let key = (candidate.account.clone(), candidate.scope);
            let lost = number::mul(loss.get(), quantity.get(), number::SCALE_MAX, Rounding::Ceil)?;
            let sum = spent.get(&key).copied().unwrap_or_default().plus(Money::new(lost))?;
            spent.insert(key, sum);
        }
        Ok(Cut {
            account: candidate.account.clone(),
            leg: candidate.leg,
            quantity,
            value,
            realised: done.realised,
            score: entry.score,
            rank: entry.rank,
            hedged: candidate.hedged,
            notional: market.notional(quantity, self.mark)?,
            inputs: Arc::new(ScoreInputs {
                unrealised_pnl: candidate.pnl,
                cost: candidate.cost,
                notional: candidate.notional,
                net_notional: candidate.net_notional,
                equity: candidate.equity,
                maintenance_margin: candidate.maintenance,
                scope_pnl: candidate.scope_pnl,
                scope_cost: candidate.scope_cost,
            }),
        })
    }

    /// What every account may know of its place.
    pub fn standings(mut self) -> Standings {
        self.sort_to(self.order.len());
        let total = self.entries.iter().try_fold(Quantity::ZERO, |sum, entry| sum.plus(entry.left).ok());
        let (total, of) = (total.unwrap_or_default(), self.len());
        let mut ahead = Quantity::ZERO;
        let mut found = Vec::with_capacity(self.entries.len());
        for (candidate, entry) in (0..self.order.len()).filter_map(|place| self.at(place)) {
            let after = ahead.plus(entry.left).unwrap_or(ahead);
            let standing = Standing { rank: entry.rank, of, quantile: quantile(after, total), ahead };
            found.push((candidate.account.clone(), candidate.leg, standing));
            ahead = after;
        }
        found.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        Standings(found)
    }
}

/// 5 for the fifth of the contracts that goes first, 1 for the last. Contract-weighted, as BitMEX shows it (vectors:
/// bitmex-adl-percentile-002).
fn quantile(up_to: Quantity, total: Quantity) -> u8 {
    let fifth = number::mul_div(up_to.get(), Decimal::from(5), total.get(), 0, Rounding::Ceil);
    let place = fifth.ok().and_then(|fifth| u8::try_from(fifth).ok()).unwrap_or(5);
    6_u8.saturating_sub(place.clamp(1, 5))
}
