//! What each event changes in the tables.

use super::contract::Contracts;
use super::running::{Figures, Liquidation};
use super::{About, History, HistoryError, body, integer, word};
use backstop_engine::event::{Event, Fact};
use backstop_engine::id::LiquidationId;
use backstop_engine::money::Notional;
use rusqlite::params;
use rust_decimal::Decimal;
use smol_str::SmolStr;

/// The part of the sums that the daily lists show.
const DAILY: &str = "daily";

/// The size of a settlement.
pub(super) fn notional(contracts: &Contracts, fact: &Fact) -> Notional {
    match fact {
        Fact::LiquidationSettled { market, quantity, price, .. } => contracts.notional(market, *quantity, *price),
        _ => Notional::ZERO,
    }
}

impl History {
    pub(super) fn record(&mut self, event: &Event) -> Result<(), HistoryError> {
        if let Fact::MarkUpdated { market, .. } = &event.fact {
            self.marks.update(market, event);
            return Ok(());
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
                self.add(event, &entry.asset, (DAILY, entry.reason.as_str()), entry.amount.get())?;
            }
            Fact::Deleveraged(cut) => self.sum(event, cut.liquidation, "adl", cut.notional.get())?,
            Fact::LiquidationStarted { liquidation, account, asset, market, equity, maintenance_margin, .. } => {
                let mut begun = Liquidation::default();
                (begun.account, begun.asset, begun.market) = (account.0.clone(), asset.clone(), market.clone());
                (begun.equity, begun.maintenance_margin) = (equity.to_string(), maintenance_margin.to_string());
                begun.started = event.time;
                self.running.start(*liquidation, begun);
                self.add(event, asset, (DAILY, "liquidations"), Decimal::ZERO)?;
            }
            Fact::LiquidationSettled { liquidation, market, fee, surplus, shortfall, .. } => {
                let notional = notional(&self.contracts, &event.fact).get();
                let (fee, surplus, shortfall) = (fee.get(), surplus.get(), shortfall.get());
                let figures = Figures { notional, fee, surplus, shortfall };
                self.running.settle(&self.db, *liquidation, market, &figures)?;
                self.sum(event, *liquidation, "liquidation_settlements", notional)?;
                if !shortfall.is_zero() {
                    self.sum(event, *liquidation, "liquidation_shortfalls", shortfall)?;
                }
            }
            Fact::LiquidationEnded { liquidation, outcome, .. } => {
                self.running.end(&self.db, *liquidation, event.time, word(outcome))?;
            }
            _ => {}
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

    /// Adds to a daily sum of the asset of a liquidation.
    fn sum(
        &mut self,
        event: &Event,
        liquidation: LiquidationId,
        line: &str,
        amount: Decimal,
    ) -> Result<(), HistoryError> {
        let asset = self.running.asset(&self.db, liquidation)?;
        self.add(event, &asset, (DAILY, line), amount)
    }
}
