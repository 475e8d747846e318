//! What each event changes in the tables.

use super::contract::Contracts;
use super::running::{Figures, Liquidation};
use super::{About, History, HistoryError, body, integer, word};
use backstop_engine::event::{Event, Fact};
use backstop_engine::id::{AccountId, LiquidationId, Side};
use backstop_engine::money::Notional;
use rusqlite::params;
use rust_decimal::Decimal;
use smol_str::SmolStr;

/// The part of the sums that the daily lists show.
const DAILY: &str = "daily";
/// Ledger entries of a pool, by reason; its name follows.
pub(super) const POOL: &str = "pool:";
/// Liquidations of accounts: `started`, and `settlements` by their size.
pub(super) const LIQUIDATIONS: &str = "liquidations";
/// Liquidations of accounts that have ended, by outcome, with the size of what they settled.
pub(super) const OUTCOMES: &str = "outcomes";
/// `settlements` of what the fund had taken over, by their size.
pub(super) const UNWINDING: &str = "unwinding";
/// Losses beyond margin: `claimed`.
pub(super) const SHORTFALLS: &str = "shortfalls";
/// What is compared: cuts by size, and shortfalls.
pub(super) const CUT: &str = "cut";
pub(super) const SHORTFALL: &str = "shortfall";

/// The size of a settlement.
pub(super) fn notional(contracts: &Contracts, fact: &Fact) -> Notional {
    match fact {
        Fact::LiquidationSettled { market, quantity, price, .. } => contracts.notional(market, *quantity, *price),
        _ => Notional::ZERO,
    }
}

impl History {
    pub(super) fn record(&mut self, event: &Event) -> Result<(), HistoryError> {
        if let Fact::MarkUpdated { market, index, sources, .. } = &event.fact {
            self.begin()?;
            self.extremes.observe(&self.db, event, market, *index, sources)?;
            return self.marks.update(&self.db, market, event);
        }
        let about = About::of(event);
        if !about.is_kept() {
            return Ok(());
        }
        self.begin()?;
        let sql = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.db.prepare_cached(sql)?.execute(params![
            integer(event.seq),
            integer(event.time),
            integer(event.cause),
            about.kind,
            about.market,
            about.asset,
            about.account,
            about.liquidation.map(integer),
            body(event),
        ])?;
        // A ledger entry beside it says nothing about a mark that the settlement has not.
        if let (Some(market), Some(_)) = (&about.market, about.liquidation)
            && about.kind != "fund_entry"
        {
            self.marks.keep(&self.db, market)?;
        }
        self.reckon(event)
    }

    /// Sums of liquidations and days.
    fn reckon(&mut self, event: &Event) -> Result<(), HistoryError> {
        match &event.fact {
            Fact::FundEntry(entry) => {
                let (reason, amount) = (entry.reason.as_str(), entry.amount.get());
                self.add(event, &entry.asset, (DAILY, reason), amount)?;
                self.add(event, &entry.asset, (&format!("{POOL}{}", entry.pool), reason), amount)?;
                self.holdings.balance(&entry.asset, &entry.pool, event.time, entry.balance.get());
            }
            Fact::Deleveraged(cut) => {
                let size = cut.notional.get();
                let asset = self.sum(event, cut.liquidation, (DAILY, "adl"), size)?;
                self.extremes.compare(&self.db, event, &asset, CUT, size)?;
            }
            // A claim is told again whenever more of it is paid.
            Fact::Claim { claim, liquidation, amount, .. } if claim.0 > self.claims => {
                self.claims = claim.0;
                let asset = self.sum(event, *liquidation, (SHORTFALLS, "claimed"), amount.get())?;
                self.extremes.compare(&self.db, event, &asset, SHORTFALL, amount.get())?;
            }
            Fact::TakenOver { market, quantity, .. } => self.holdings.take(market, event.time, quantity.get()),
            Fact::LiquidationStarted { .. } => self.started(event)?,
            Fact::LiquidationSettled { .. } => self.settled(event)?,
            Fact::LiquidationEnded { liquidation, outcome, account, asset } => {
                let outcome = word(outcome).unwrap_or_default();
                let size = self.running.end(&self.db, *liquidation, event.time, &outcome)?;
                if !account.is_house() {
                    self.add(event, asset, (OUTCOMES, &outcome), size)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn started(&mut self, event: &Event) -> Result<(), HistoryError> {
        let Fact::LiquidationStarted { liquidation, account, asset, market, equity, maintenance_margin } = &event.fact
        else {
            return Ok(());
        };
        let mut begun = Liquidation::default();
        (begun.account, begun.asset, begun.market) = (account.0.clone(), asset.clone(), market.clone());
        (begun.equity, begun.maintenance_margin) = (equity.to_string(), maintenance_margin.to_string());
        begun.started = event.time;
        self.running.start(*liquidation, begun);
        self.add(event, asset, (DAILY, "liquidations"), Decimal::ZERO)?;
        if !account.is_house() {
            self.add(event, asset, (LIQUIDATIONS, "started"), Decimal::ZERO)?;
        }
        Ok(())
    }

    fn settled(&mut self, event: &Event) -> Result<(), HistoryError> {
        let Fact::LiquidationSettled {
            liquidation, account, market, quantity, fee, surplus, shortfall, detail, ..
        } = &event.fact
        else {
            return Ok(());
        };
        let size = notional(&self.contracts, &event.fact).get();
        let (fee, surplus, shortfall) = (fee.get(), surplus.get(), shortfall.get());
        self.running.settle(&self.db, *liquidation, market, &Figures { notional: size, fee, surplus, shortfall })?;
        self.sum(event, *liquidation, (DAILY, "liquidation_settlements"), size)?;
        if !shortfall.is_zero() {
            self.sum(event, *liquidation, (DAILY, "liquidation_shortfalls"), shortfall)?;
        }
        let part = if account.is_house() { UNWINDING } else { LIQUIDATIONS };
        self.sum(event, *liquidation, (part, "settlements"), size)?;
        if *account == AccountId::fund() {
            let sold = if detail.side == Side::Sell { quantity.get() } else { Decimal::ZERO };
            let bought = if detail.side == Side::Buy { quantity.get() } else { Decimal::ZERO };
            self.holdings.take(market, event.time, bought.checked_sub(sold).unwrap_or_default());
        }
        Ok(())
    }

    fn add(
        &mut self,
        event: &Event,
        asset: &SmolStr,
        place: (&str, &str),
        amount: Decimal,
    ) -> Result<(), HistoryError> {
        self.sums.add(&self.db, event.time, asset, place, amount)
    }

    /// Adds to a sum of the day, of the asset of a liquidation.
    fn sum(
        &mut self,
        event: &Event,
        liquidation: LiquidationId,
        place: (&str, &str),
        amount: Decimal,
    ) -> Result<SmolStr, HistoryError> {
        let asset = self.running.asset(&self.db, liquidation)?;
        self.add(event, &asset, place, amount)?;
        Ok(asset)
    }
}
