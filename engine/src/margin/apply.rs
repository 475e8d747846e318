//! What each account command does. Trades and deposits, which are many, are made in place and taken back when refused; the
//! others work on a draft, and a refused draft is thrown away.

use super::account::{Account, OrderMargin, Part, Position, Settings, check_lock, trade};
use super::accounts::{Change, Place};
use super::assess::{MarginReport, Marks, initial_margin, isolated_equity, value};
use super::shard::{Haircut, Known, RunReply, Shard};
use super::totals::Flow;
use crate::command::{MarginMode, PositionMode};
use crate::id::{AccountId, AssetIx, Leg, MarketIx, Seq};
use crate::instruction::{Instruction, Trade};
use crate::money::{Money, Notional, Quantity, Rate, limit};
use crate::number::{self, Rounding};
use crate::reject::{Code, Reject};
use crate::rules::{Market, Rules};
use rust_decimal::Decimal;

impl Shard {
    /// Applies a command that concerns one account, if the account is this shard's.
    pub(super) fn account_command(
        &mut self,
        index: usize,
        seq: Seq,
        instruction: &Instruction,
        known: Known,
        reply: &mut RunReply,
    ) -> Result<(), Reject> {
        let (id, market) = match instruction {
            Instruction::ListAsset(asset) => {
                self.list(Some(asset), None);
                return Ok(());
            }
            Instruction::ListMarket(market) => {
                self.list(None, Some(market));
                return Ok(());
            }
            Instruction::Deposit { account, .. }
            | Instruction::Withdraw { account, .. }
            | Instruction::SetPositionMode { account, .. } => (account, None),
            Instruction::SetMarginMode { account, market, .. }
            | Instruction::SetLeverage { account, market, .. }
            | Instruction::MoveMargin { account, market, .. }
            | Instruction::ReserveMargin { account, market, .. }
            | Instruction::ReleaseMargin { account, market, .. } => (account, Some(*market)),
            _ => return Ok(()),
        };
        if !self.owns(id) {
            return Ok(());
        }
        let flow = if let Instruction::Deposit { asset, amount, .. } = instruction {
            let change = self.deposit((id, known[0]), *asset, *amount)?;
            let flow = change.flow;
            self.book(index, change)?;
            flow
        } else {
            let mut draft = self.draft(id);
            let flow = self.change(&mut draft, instruction)?;
            self.commit(index, draft, flow)?;
            flow
        };
        if let (Some(asset), true) = (flow.asset, flow.haircut.is_positive()) {
            reply.haircuts.push((index, Haircut { seq, asset, amount: flow.haircut }));
        }
        self.show(index, id, market, reply);
        Ok(())
    }

    fn deposit(
        &mut self,
        account: (&AccountId, Option<Place>),
        asset: AssetIx,
        amount: Money,
    ) -> Result<Change, Reject> {
        let work = |account: &mut Account, _: &Part| {
            account.post(asset, amount)?;
            check_wallet(account.wallet(asset))?;
            Ok(Flow { asset: Some(asset), inflow: amount, ..Flow::default() })
        };
        self.accounts.touch(account, |_| Ok((asset, None)), work)
    }

    fn change(&self, draft: &mut Account, instruction: &Instruction) -> Result<Flow, Reject> {
        match instruction {
            Instruction::Withdraw { asset, amount, .. } => self.withdraw(draft, *asset, *amount),
            Instruction::SetMarginMode { market, mode, .. } => {
                if draft.positions.iter().any(|position| position.market == *market) {
                    return Err(Reject::new(Code::PositionOpen, "market"));
                }
                let settings = draft.settings(*market);
                draft.set(Settings { mode: *mode, ..settings });
                Ok(Flow::default())
            }
            Instruction::SetPositionMode { mode, .. } => {
                if !draft.positions.is_empty() {
                    return Err(Reject::new(Code::PositionOpen, "mode"));
                }
                draft.hedge = *mode == PositionMode::Hedge;
                Ok(Flow::default())
            }
            Instruction::SetLeverage { market, leverage, .. } => self.set_leverage(draft, *market, *leverage),
            Instruction::MoveMargin { market, amount, leg, .. } => self.move_margin(draft, *market, *amount, *leg),
            Instruction::ReserveMargin { market, amount, order, .. } => {
                let market = self.rules.market(*market)?;
                if draft.orders.contains_key(order) {
                    return Err(Reject::new(Code::OrderOpen, "order"));
                }
                refuse_under_liquidation(draft, market.asset)?;
                let available = self.report(draft, market.asset)?.available()?;
                if available < *amount {
                    return Err(Self::deny(*amount, available));
                }
                let held = OrderMargin { market: market.index, asset: market.asset, amount: *amount };
                draft.orders.insert(order.clone(), held);
                Ok(Flow::default())
            }
            Instruction::ReleaseMargin { market, amount, order, .. } => {
                let held = draft.orders.get_mut(order).filter(|held| held.market == *market);
                let held = held.ok_or(Reject::new(Code::UnknownOrder, "order"))?;
                if *amount > held.amount {
                    return Err(Reject::limit(Code::ExceedsOrder, "amount", amount.get(), held.amount.get()));
                }
                held.amount = held.amount.minus(*amount)?;
                if held.amount.is_zero() {
                    draft.orders.remove(order);
                }
                Ok(Flow::default())
            }
            _ => Ok(Flow::default()),
        }
    }

    pub(super) fn report(&self, account: &Account, asset: AssetIx) -> Result<MarginReport, Reject> {
        MarginReport::cross(account, asset, &self.rules, &self.marks)
    }

    fn withdraw(&self, draft: &mut Account, asset: AssetIx, amount: Money) -> Result<Flow, Reject> {
        let notice = self.notices.get(&asset).copied().unwrap_or_default();
        if notice.halted {
            return Err(Reject::new(Code::WithdrawalsHalted, "asset"));
        }
        refuse_under_liquidation(draft, asset)?;
        let free = self.report(draft, asset)?.withdrawable()?;
        if free < amount {
            return Err(Self::deny(amount, free.or_zero()));
        }
        draft.post(asset, -amount)?;
        let scale = self.rules.asset(asset)?.scale;
        // Rounded up: the account bears at least its share.
        let kept = Money::new(number::mul(amount.get(), notice.haircut.get(), scale, Rounding::Ceil)?);
        Ok(Flow { asset: Some(asset), outflow: amount.minus(kept)?, haircut: kept, ..Flow::default() })
    }

    fn set_leverage(&self, draft: &mut Account, market: MarketIx, leverage: Rate) -> Result<Flow, Reject> {
        let market = self.rules.market(market)?.clone();
        let before = draft.clone();
        let settings = draft.settings(market.index);
        let mark = self.marks.price(market.index);
        let held: Vec<_> = draft.positions.iter().filter(|position| position.market == market.index).cloned().collect();
        let sizes = held.iter().map(|position| value(&market, position, mark, None).map(|valued| valued.notional));
        let largest = sizes.collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or(Notional::ZERO);
        let rate = market.tiers.of(largest).map_or(Rate::new(Decimal::ONE), |tier| tier.initial_rate);
        if number::mul_exact(leverage.get(), rate.get())? > Decimal::ONE {
            let most = number::div(Decimal::ONE, rate.get(), 2, Rounding::Floor)?;
            return Err(Reject::limit(Code::LeverageOutOfRange, "leverage", leverage.get(), most));
        }
        draft.set(Settings { leverage: Some(leverage), ..settings });
        for position in held.iter().filter(|position| position.isolated.is_some()) {
            // A lower leverage posts what is missing; a higher one gives nothing back by itself (`move_margin` does).
            let valued = value(&market, position, mark, Some(leverage))?;
            let missing = valued.initial.minus(position.isolated.unwrap_or_default())?.or_zero();
            if let Some(open) = draft.position_mut(position.market, position.leg) {
                open.isolated = Some(position.isolated.unwrap_or_default().plus(missing)?);
            }
        }
        let after = self.report(draft, market.asset)?.available()?;
        if after.is_negative() && after < self.report(&before, market.asset)?.available()? {
            return Err(Self::deny(after, Money::ZERO));
        }
        Ok(Flow::default())
    }

    fn move_margin(
        &self,
        draft: &mut Account,
        market: MarketIx,
        amount: Money,
        leg: Option<Leg>,
    ) -> Result<Flow, Reject> {
        let market = self.rules.market(market)?.clone();
        let leg = pick_leg(draft, leg, "leg")?;
        refuse_under_liquidation(draft, market.asset)?;
        let available = self.report(draft, market.asset)?.withdrawable()?;
        let leverage = draft.settings(market.index).leverage;
        let not_isolated = Reject::new(Code::NotIsolated, "market");
        let position = draft.position_mut(market.index, leg).ok_or(not_isolated)?;
        let margin = position.isolated.ok_or(not_isolated)?;
        if amount > available {
            return Err(Self::deny(amount, available.or_zero()));
        }
        let after = margin.plus(amount)?;
        if amount.is_negative() {
            let valued = value(&market, position, self.marks.price(market.index), leverage)?;
            // Unrealised profit does not count, as for a withdrawal.
            let free = margin.plus(valued.pnl.min(Money::ZERO))?.minus(valued.initial)?.or_zero();
            if amount.abs() > free {
                return Err(Self::deny(amount.abs(), free));
            }
        }
        position.isolated = Some(after);
        Ok(Flow::default())
    }

    /// One side of a trade, made in place.
    pub(super) fn side(&mut self, fill: &Trade, seller: bool, known: Option<Place>) -> Result<Change, Reject> {
        let (rules, marks) = (&self.rules, &self.marks);
        let market = rules.market(fill.market)?;
        let (party, quantity, value, fields) = if seller {
            (&fill.seller, -fill.quantity, -fill.value, SELLER)
        } else {
            (&fill.buyer, fill.quantity, fill.value, BUYER)
        };
        let house = party.account.is_house();
        let part = |account: &Account| {
            let leg = if house { Leg::Net } else { pick_leg(account, party.leg, fields.leg)? };
            Ok((market.asset, Some((market.index, leg))))
        };
        let work = |account: &mut Account, before: &Part| {
            let leg = before.leg.map_or(Leg::Net, |(_, leg)| leg);
            let mut position = before.position(account, market.index, leg);
            check_lock(&position, quantity)?;
            check_leg(&position.quantity.plus(quantity)?, leg, fields.leg)?;
            let done = trade(market, &mut position, quantity, value)?;
            check_size(market, &position, fill, done.opened, house)?;
            if let Some(mark) = marks.price(market.index) {
                market.notional(position.quantity, mark)?;
            }
            if let Some(margin) = position.isolated
                && !done.opened.is_zero()
            {
                let leverage = account.settings(market.index).leverage;
                let needed = initial_margin(market, Notional::new(done.opened.get()), leverage)?;
                position.isolated = Some(margin.plus(needed)?);
            }
            account.put(position);
            account.post(market.asset, done.realised.minus(party.fee)?)?;
            if !house {
                let posts = !done.opened.is_zero() && account.settings(market.index).mode == MarginMode::Isolated;
                check_margin(account, market.asset, (rules, marks), posts, fields.account)?;
            }
            check_wallet(account.wallet(market.asset))?;
            let revenue = party.fee.plus(done.dust)?;
            Ok(Flow { asset: Some(market.asset), revenue, ..Flow::default() })
        };
        self.accounts.touch((&party.account, known), part, work)
    }

    /// Equity of one isolated position, for those who hold a reference to both.
    pub(super) fn isolated(
        &self,
        account: &Account,
        position: &Position,
    ) -> Result<(Money, super::assess::Valued), Reject> {
        let market = self.rules.market(position.market)?;
        let leverage = account.settings(position.market).leverage;
        let valued = value(market, position, self.marks.price(position.market), leverage)?;
        Ok((isolated_equity(position, &valued)?, valued))
    }
}

#[derive(Clone, Copy)]
struct PartyFields {
    account: &'static str,
    leg: &'static str,
}

const BUYER: PartyFields = PartyFields { account: "buyer", leg: "buyer_leg" };
const SELLER: PartyFields = PartyFields { account: "seller", leg: "seller_leg" };

/// A trade is a fact of the matching engine, and may leave an account below maintenance until the next tick. It may not
/// post isolated margin that is not there (`posts`), nor leave a flat account in debt that no liquidation could settle.
fn check_margin(
    account: &Account,
    asset: AssetIx,
    (rules, marks): (&Rules, &Marks),
    posts: bool,
    field: &'static str,
) -> Result<(), Reject> {
    let missing = |value: Money| Reject::limit(Code::InsufficientMargin, field, value.get(), Decimal::ZERO);
    if posts {
        let available = MarginReport::cross(account, asset, rules, marks)?.available()?;
        if available.is_negative() {
            return Err(missing(available));
        }
    }
    let mut balance = account.wallet(asset);
    for position in &account.positions {
        if rules.market(position.market)?.asset != asset {
            continue;
        }
        match position.isolated {
            Some(margin) => balance = balance.minus(margin)?,
            None => return Ok(()),
        }
    }
    if balance.is_negative() { Err(missing(balance)) } else { Ok(()) }
}

fn refuse_under_liquidation(account: &Account, asset: AssetIx) -> Result<(), Reject> {
    if account.under_liquidation(asset) {
        return Err(Reject::new(Code::UnderLiquidation, "account"));
    }
    Ok(())
}

fn pick_leg(account: &Account, leg: Option<Leg>, field: &'static str) -> Result<Leg, Reject> {
    match (account.hedge, leg) {
        (true, Some(leg)) => Ok(leg),
        (true, None) => Err(Reject::new(Code::LegRequired, field)),
        (false, None) => Ok(Leg::Net),
        (false, Some(_)) => Err(Reject::new(Code::LegNotAllowed, field)),
    }
}

/// A long leg is never short, and the other way round.
fn check_leg(after: &Quantity, leg: Leg, field: &'static str) -> Result<(), Reject> {
    let wrong = match leg {
        Leg::Net => false,
        Leg::Long => after.is_negative(),
        Leg::Short => after.is_positive(),
    };
    if wrong { Err(Reject::limit(Code::ExceedsPosition, field, after.get(), Decimal::ZERO)) } else { Ok(()) }
}

/// A position may be opened up to the last tier's limit, at the price of the trade.
fn check_size(market: &Market, position: &Position, fill: &Trade, opened: Money, house: bool) -> Result<(), Reject> {
    let after = position.quantity;
    check_wallet(position.cost)?;
    if after.abs().get() > limit::QUANTITY {
        return Err(Reject::limit(Code::OutOfRange, "quantity", after.abs().get(), limit::QUANTITY));
    }
    if house || opened.is_zero() {
        return Ok(());
    }
    let notional = market.notional(after, fill.price)?;
    match market.tiers.ceiling() {
        Some(ceiling) if notional > ceiling => {
            Err(Reject::limit(Code::NoTier, "quantity", notional.get(), ceiling.get()))
        }
        _ => Ok(()),
    }
}

/// No wallet grows beyond what every later product can hold.
fn check_wallet(wallet: Money) -> Result<(), Reject> {
    if wallet.abs().get() > limit::MONEY {
        return Err(Reject::limit(Code::OutOfRange, "amount", wallet.get(), limit::MONEY));
    }
    Ok(())
}
