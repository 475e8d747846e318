//! Decides whether a command may take a place in the order of commands: its names exist, its figures are on the grid,
//! its time does not run backwards.
//!
//! In: a [`Command`]. Out: an [`Entry`], or a [`Reject`] that left nothing changed. It knows the rules, and no balance.

use crate::command::{Command, Fill, RuleChange};
use crate::id::{Millis, Seq};
use crate::instruction::{Entry, Instruction, Party, Trade};
use crate::money::limit;
use crate::reject::{Code, Reject};
use crate::rulebook::{self, Lines, PENDING_MAX, Pending};
use crate::rules::Rules;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

/// The first check of every command, and the clock hand of the order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    rules: Rules,
    lines: Lines,
    pending: BTreeMap<Seq, Arc<Pending>>,
    last_seq: Seq,
    last_time: Millis,
}

impl Admission {
    /// As it was when everything admitted had been applied: `rules` are those in force and those that come next.
    pub(crate) fn after(
        (rules, lines, pending): (Rules, Lines, BTreeMap<Seq, Arc<Pending>>),
        last_seq: Seq,
        last_time: Millis,
    ) -> Self {
        Self { rules, lines, pending, last_seq, last_time }
    }

    /// The rules as they will be when everything admitted has been applied.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The injection lines as they will be then.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// The changes that will be planned then, by number.
    pub fn pending(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.pending.values()
    }

    /// The planned change to be carried out next: of those whose time has come and that can be carried out, the one with
    /// the earliest time, then the lowest number. It costs nothing while nothing is planned.
    pub fn due(&self, time: Millis) -> Option<Seq> {
        let due = self.pending.values().filter(|pending| pending.effective_time <= time);
        let able = due.filter(|pending| self.proposed(pending).is_ok());
        able.min_by_key(|pending| (pending.effective_time, pending.change)).map(|pending| pending.change)
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
        let seq = self.last_seq.checked_add(1).ok_or(Reject::new(Code::Overflow, ""))?;
        let instruction = self.resolve(command, seq, time)?;
        if time < self.last_time {
            return Err(Reject::limit(Code::TimeBackwards, "time", time.into(), self.last_time.into()));
        }
        let change = match command {
            Command::ApplyRules { change } => NonZeroU64::new(*change),
            _ => None,
        };
        if let Some(change) = change {
            self.pending.remove(&change.get());
        }
        match &instruction {
            Instruction::ListAsset(asset) => self.rules.put_asset(asset.clone()),
            Instruction::ListMarket(market) => self.rules.put_market(market.clone()),
            Instruction::SetInjectionLine { asset, limit } => drop(self.lines.insert(*asset, *limit)),
            Instruction::ScheduleRules(pending) => drop(self.pending.insert(seq, pending.clone())),
            Instruction::VetoRules { change, .. } => drop(self.pending.remove(change)),
            _ => {}
        }
        self.last_seq = seq;
        self.last_time = time;
        Ok(Entry { seq, time, kind: command.kind(), instruction, change })
    }

    /// What a change of the rules does when it is carried out now.
    fn change(&self, change: &RuleChange) -> Result<Instruction, Reject> {
        Ok(match change {
            RuleChange::ListAsset(list) => Instruction::ListAsset(self.rules.check_asset(list)?),
            RuleChange::ListMarket(list) => Instruction::ListMarket(self.rules.check_market(list)?),
            RuleChange::SetInjectionLine { asset, limit } => self.line(asset, *limit)?,
        })
    }

    fn line(&self, asset: &str, limit: crate::money::Money) -> Result<Instruction, Reject> {
        let index = self.rules.asset_named(asset)?.index;
        Ok(Instruction::SetInjectionLine { asset: index, limit: self.on_scale(asset, limit)? })
    }

    /// Plans a change, which would have to be valid now.
    fn plan(&self, change: &RuleChange, seq: Seq, effective_time: Millis, by: &SmolStr) -> Result<Instruction, Reject> {
        self.change(change)?;
        if self.pending.len() >= PENDING_MAX {
            return Err(Reject::limit(Code::OutOfRange, "change", self.pending.len().into(), PENDING_MAX.into()));
        }
        let loosens = rulebook::loosens(&self.rules, &self.lines, change)?;
        Ok(Instruction::ScheduleRules(Arc::new(Pending {
            change: seq,
            effective_time,
            by: by.clone(),
            loosens: loosens.into_iter().map(SmolStr::new_static).collect(),
            proposal: change.clone(),
        })))
    }

    fn planned(&self, change: Seq) -> Result<&Arc<Pending>, Reject> {
        self.pending.get(&change).ok_or(Reject::new(Code::UnknownChange, "change"))
    }

    /// What a planned change does now. One that has come to loosen more than it said when it was planned, because the rules
    /// were tightened since, is refused: nobody has been told of that.
    fn proposed(&self, pending: &Pending) -> Result<Instruction, Reject> {
        let instruction = self.change(&pending.proposal)?;
        let loosens = rulebook::loosens(&self.rules, &self.lines, &pending.proposal)?;
        match loosens.into_iter().find(|field| !pending.loosens.iter().any(|said| said == field)) {
            Some(field) => Err(Reject::new(Code::StaleChange, field)),
            None => Ok(instruction),
        }
    }

    fn resolve(&self, command: &Command, seq: Seq, time: Millis) -> Result<Instruction, Reject> {
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
            Command::SetInjectionLine { asset: name, limit } => self.line(name, *limit)?,
            Command::LiquidationFill { order, trade, price, quantity } => {
                Instruction::LiquidationFill { order: *order, trade: trade.clone(), price: *price, quantity: *quantity }
            }
            Command::LiquidationDone { order, status } => {
                Instruction::LiquidationDone { order: *order, status: *status }
            }
            Command::ScheduleRules { change, effective_time, by } => self.plan(change, seq, *effective_time, by)?,
            Command::VetoRules { change, by } => {
                if !by.is_empty() && self.planned(*change)?.by == *by {
                    return Err(Reject::new(Code::OwnChange, "by"));
                }
                self.planned(*change)?;
                Instruction::VetoRules { change: *change, by: by.clone() }
            }
            Command::ApplyRules { change } => {
                let pending = self.planned(*change)?;
                if time < pending.effective_time {
                    let (value, limit) = (time.into(), pending.effective_time.into());
                    return Err(Reject::limit(Code::TooEarly, "change", value, limit));
                }
                self.proposed(pending)?
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
