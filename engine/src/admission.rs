//! Decides whether a command may take a place in the order of commands: its names exist, its figures are on the grid,
//! its time does not run backwards.
//!
//! In: a [`Command`]. Out: an [`Entry`], or a [`Reject`] that left nothing changed. It knows the rules, and no balance.

use crate::command::{Command, Fill};
use crate::id::{Millis, Seq};
use crate::instruction::{Entry, Instruction, Party, Trade};
use crate::money::limit;
use crate::reject::{Code, Reject};
use crate::rules::Rules;
use serde::{Deserialize, Serialize};

/// The first check of every command, and the clock hand of the order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    rules: Rules,
    last_seq: Seq,
    last_time: Millis,
}

impl Admission {
    /// As it was when everything admitted had been applied: `rules` are those in force and those that come next.
    pub(crate) fn after(rules: Rules, last_seq: Seq, last_time: Millis) -> Self {
        Self { rules, last_seq, last_time }
    }

    /// The rules as they will be when everything admitted has been applied.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The last sequence number given.
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// The time of the last command admitted.
    pub fn last_time(&self) -> Millis {
        self.last_time
    }

    /// Gives the command its place.
    ///
    /// # Errors
    /// A [`Reject`]; the command takes no sequence number then.
    pub fn admit(&mut self, command: &Command, time: Millis) -> Result<Entry, Reject> {
        let instruction = self.resolve(command)?;
        if time < self.last_time {
            return Err(Reject::limit(Code::TimeBackwards, "time", time.into(), self.last_time.into()));
        }
        let seq = self.last_seq.checked_add(1).ok_or(Reject::new(Code::Overflow, ""))?;
        match &instruction {
            Instruction::ListAsset(asset) => self.rules.put_asset(asset.clone()),
            Instruction::ListMarket(market) => self.rules.put_market(market.clone()),
            _ => {}
        }
        self.last_seq = seq;
        self.last_time = time;
        Ok(Entry { seq, time, kind: command.kind(), instruction })
    }

    fn resolve(&self, command: &Command) -> Result<Instruction, Reject> {
        let asset = |name: &str| self.rules.asset_named(name).map(|asset| asset.index);
        let market = |name: &str| self.rules.market_named(name).map(|market| market.index);
        Ok(match command {
            Command::ListAsset(list) => Instruction::ListAsset(self.rules.check_asset(list)?),
            Command::ListMarket(list) => Instruction::ListMarket(self.rules.check_market(list)?),
            Command::Deposit { account, asset: name, amount } => {
                let amount = self.on_scale(name, *amount)?;
                Instruction::Deposit { account: account.clone(), asset: asset(name)?, amount }
            }
            Command::Withdraw { account, asset: name, amount } => {
                let amount = self.on_scale(name, *amount)?;
                Instruction::Withdraw { account: account.clone(), asset: asset(name)?, amount }
            }
            Command::SetMarginMode { account, market: name, mode } => {
                Instruction::SetMarginMode { account: account.clone(), market: market(name)?, mode: *mode }
            }
            Command::SetPositionMode { account, mode } => {
                Instruction::SetPositionMode { account: account.clone(), mode: *mode }
            }
            Command::SetLeverage { account, market: name, leverage } => {
                Instruction::SetLeverage { account: account.clone(), market: market(name)?, leverage: *leverage }
            }
            Command::MoveMargin { account, market: name, amount, leg } => Instruction::MoveMargin {
                account: account.clone(),
                market: market(name)?,
                amount: self.on_market_scale(name, *amount, "amount")?,
                leg: *leg,
            },
            Command::ReserveMargin { account, market: name, amount, order } => Instruction::ReserveMargin {
                account: account.clone(),
                market: market(name)?,
                amount: self.on_market_scale(name, *amount, "amount")?,
                order: order.clone(),
            },
            Command::ReleaseMargin { account, market: name, amount, order } => Instruction::ReleaseMargin {
                account: account.clone(),
                market: market(name)?,
                amount: self.on_market_scale(name, *amount, "amount")?,
                order: order.clone(),
            },
            Command::Fill(fill) => Instruction::Fill(self.trade(fill)?),
            Command::Price { market: name, source, price } => {
                Instruction::Observe { market: market(name)?, source: source.clone(), price: *price }
            }
            Command::Tick => Instruction::Tick,
            Command::FundingRate { market: name, rate, next_time, interval_ms } => Instruction::FundingRate {
                market: market(name)?,
                rate: *rate,
                next_time: *next_time,
                interval_ms: *interval_ms,
            },
            Command::Funding { market: name, rate, id } => {
                Instruction::Funding { market: market(name)?, rate: *rate, id: id.clone() }
            }
            Command::FundingCorrection { market: name, of, rate } => {
                Instruction::FundingCorrection { market: market(name)?, of: of.clone(), rate: *rate }
            }
            Command::FundCredit { asset: name, pool, source, amount } => Instruction::FundCredit {
                asset: asset(name)?,
                pool: pool.clone(),
                source: *source,
                amount: self.on_scale(name, *amount)?,
            },
            Command::SetInjectionLine { asset: name, limit } => {
                Instruction::SetInjectionLine { asset: asset(name)?, limit: self.on_scale(name, *limit)? }
            }
            Command::LiquidationFill { order, trade, price, quantity } => {
                Instruction::LiquidationFill { order: *order, trade: trade.clone(), price: *price, quantity: *quantity }
            }
            Command::LiquidationDone { order, status } => {
                Instruction::LiquidationDone { order: *order, status: *status }
            }
        })
    }

    fn on_scale(&self, asset: &str, amount: crate::money::Money) -> Result<crate::money::Money, Reject> {
        let scale = self.rules.asset_named(asset)?.scale;
        check_scale(amount, scale, "amount")
    }

    fn on_market_scale(
        &self,
        market: &str,
        amount: crate::money::Money,
        field: &'static str,
    ) -> Result<crate::money::Money, Reject> {
        check_scale(amount, self.rules.market_named(market)?.asset_scale, field)
    }

    fn trade(&self, fill: &Fill) -> Result<Trade, Reject> {
        let market = self.rules.market_named(&fill.market)?;
        market.check_tick(fill.price)?;
        market.check_lot(fill.quantity)?;
        let fee = |amount, field| check_scale(amount, market.asset_scale, field);
        let value = market.trade_value(fill.quantity, fill.price)?;
        if value.abs().get() > limit::MONEY {
            return Err(Reject::limit(Code::OutOfRange, "quantity", value.get(), limit::MONEY));
        }
        Ok(Trade {
            market: market.index,
            price: fill.price,
            quantity: fill.quantity,
            value,
            buyer: Party { account: fill.buyer.clone(), fee: fee(fill.buyer_fee, "buyer_fee")?, leg: fill.buyer_leg },
            seller: Party {
                account: fill.seller.clone(),
                fee: fee(fill.seller_fee, "seller_fee")?,
                leg: fill.seller_leg,
            },
        })
    }
}

fn check_scale(amount: crate::money::Money, scale: u32, field: &'static str) -> Result<crate::money::Money, Reject> {
    if amount.get().normalize().scale() > scale {
        return Err(Reject::limit(Code::TooPrecise, field, amount.get(), scale.into()));
    }
    Ok(amount)
}
