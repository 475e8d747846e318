//! History: what readers look up, built from events and nothing else, in an SQLite file that any SQL tool can read.
//!
//! It is a function of the journal: events that are in it already are passed over when the journal is replayed, and the
//! whole of it can be built anew. So it need not be safe at once, only before a snapshot that would start after it.

mod daily;
mod pages;

pub use daily::DailySum;
pub use pages::{Item, Look};

use backstop_engine::event::{Event, Fact, LedgerEntry};
use backstop_engine::id::{LiquidationId, Seq};
use backstop_engine::money::Notional;
use backstop_engine::rules::{Kind, Market, Rules};
use daily::Daily;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the tables. Another one is built anew.
const VERSION: i64 = 1;

/// What the store says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HistoryError(#[from] rusqlite::Error);

/// Everything that is looked up.
pub struct History {
    db: Connection,
    /// Is a transaction open?
    open: bool,
    /// Has a write failed? Then nothing is written any more.
    failed: bool,
    /// The last command whose events are here.
    through: Seq,
    /// Inverse contracts, whose value is not quantity × price.
    inverse: BTreeMap<SmolStr, Notional>,
    /// Assets of the liquidations under way.
    assets: BTreeMap<LiquidationId, SmolStr>,
    daily: Daily,
}

fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned))
}

pub(crate) fn body(event: &Event) -> String {
    // Events are plain data: writing them to memory does not fail.
    serde_json::to_string(event).unwrap_or_default()
}

/// Numbers count from 1 and stay far below 2^63.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl History {
    /// In a file, as far as it goes; a file of another version is begun anew.
    ///
    /// # Errors
    /// [`HistoryError`]: the file cannot be used.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // What is not safe yet is rebuilt from the journal.
        db.pragma_update(None, "synchronous", "NORMAL")?;
        Self::over(db)
    }

    /// In memory: it ends with the daemon.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn in_memory() -> Result<Self, HistoryError> {
        Self::over(Connection::open_in_memory()?)
    }

    fn over(db: Connection) -> Result<Self, HistoryError> {
        db.set_prepared_statement_cache_capacity(64);
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            let tables: Vec<String> = db
                .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for table in tables {
                db.execute_batch(&format!("DROP TABLE \"{table}\""))?;
            }
            db.execute_batch(&format!(
                "BEGIN; {} PRAGMA user_version = {VERSION}; COMMIT",
                include_str!("history/schema.sql")
            ))?;
        }
        let through: i64 = db.query_row("SELECT seq FROM progress", [], |row| row.get(0))?;
        let assets = db
            .prepare("SELECT liquidation, asset FROM liquidations WHERE ended IS NULL")?
            .query_map([], |row| {
                let (liquidation, asset): (i64, String) = (row.get(0)?, row.get(1)?);
                Ok((LiquidationId(u64::try_from(liquidation).unwrap_or_default()), asset.into()))
            })?
            .collect::<Result<_, _>>()?;
        let through = u64::try_from(through).unwrap_or_default();
        Ok(Self { db, open: false, failed: false, through, inverse: BTreeMap::new(), assets, daily: Daily::default() })
    }

    /// The last command whose events are here.
    pub fn through(&self) -> Seq {
        self.through
    }

    /// Knows the markets of these rules.
    pub fn know(&mut self, rules: &Rules) {
        rules.markets().iter().for_each(|market| self.know_market(market));
    }

    /// Remembers a market whose settlements are valued as `quantity × size ÷ price`.
    pub fn know_market(&mut self, market: &Market) {
        if market.kind == Kind::Inverse {
            self.inverse.insert(market.name.clone(), Notional::new(market.contract_size.get()));
        }
    }

    /// Takes the events of a command, unless they are here already.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn take(&mut self, seq: Seq, events: &[Event]) -> Result<(), HistoryError> {
        if seq <= self.through {
            return Ok(());
        }
        self.sound(|history| {
            history.through = seq;
            events.iter().try_for_each(|event| history.record(event))
        })
    }

    /// Does work that writes, unless a write has failed before. SQLite may have rolled back by itself then (a full disk), and
    /// what came after would stand outside of any transaction, ahead of what `progress` says.
    fn sound(&mut self, work: impl FnOnce(&mut Self) -> Result<(), HistoryError>) -> Result<(), HistoryError> {
        if self.failed {
            let aborted = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT);
            return Err(rusqlite::Error::SqliteFailure(aborted, Some("an earlier write failed".into())).into());
        }
        let done = work(self);
        if done.is_err() {
            self.failed = true;
            // Fails where SQLite has done so already; the file ends with the last commit either way.
            drop(self.db.execute_batch("ROLLBACK"));
        }
        done
    }

    fn begin(&mut self) -> Result<&Connection, HistoryError> {
        if !self.open {
            self.db.execute_batch("BEGIN")?;
            self.open = true;
        }
        Ok(&self.db)
    }

    /// Everything taken so far is safe when this returns.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn commit(&mut self) -> Result<(), HistoryError> {
        if self.open {
            self.save()?;
        }
        self.sound(|history| {
            // This transaction ends with a sync of the write-ahead log, and so of all before it.
            history.db.pragma_update(None, "synchronous", "FULL")?;
            let saved = history.end();
            history.db.pragma_update(None, "synchronous", "NORMAL")?;
            saved
        })
    }

    /// Ends the transaction: another connection sees everything taken so far.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn save(&mut self) -> Result<(), HistoryError> {
        self.sound(Self::end)
    }

    fn end(&mut self) -> Result<(), HistoryError> {
        let through = integer(self.through);
        let db = self.begin()?;
        db.prepare_cached("UPDATE progress SET seq = ?")?.execute([through])?;
        self.daily.write(&self.db)?;
        self.db.execute_batch("COMMIT")?;
        self.open = false;
        Ok(())
    }

    fn record(&mut self, event: &Event) -> Result<(), HistoryError> {
        let (number, time) = (integer(event.seq), integer(event.time));
        match &event.fact {
            Fact::FundEntry(entry) => self.enter(event, entry)?,
            Fact::AdlTriggered { market, liquidation, .. } => {
                let sql = "INSERT INTO adl VALUES (?, ?, ?, NULL, ?, ?)";
                self.begin()?.prepare_cached(sql)?.execute(params![
                    number,
                    time,
                    market.as_str(),
                    integer(liquidation.0),
                    body(event)
                ])?;
            }
            Fact::Deleveraged(cut) => {
                let sql = "INSERT INTO adl VALUES (?, ?, ?, ?, ?, ?)";
                self.begin()?.prepare_cached(sql)?.execute(params![
                    number,
                    time,
                    cut.market.as_str(),
                    cut.account.0.as_str(),
                    integer(cut.liquidation.0),
                    body(event)
                ])?;
                self.sum(event, cut.liquidation, "adl", cut.notional)?;
            }
            Fact::LiquidationStarted { liquidation, account, asset, market, equity, maintenance_margin } => {
                let sql = "INSERT INTO liquidations VALUES (?, ?, ?, ?, ?, NULL, NULL, ?, ?)";
                self.begin()?.prepare_cached(sql)?.execute(params![
                    integer(liquidation.0),
                    account.0.as_str(),
                    asset.as_str(),
                    market.as_deref(),
                    time,
                    equity.to_string(),
                    maintenance_margin.to_string()
                ])?;
                self.assets.insert(*liquidation, asset.clone());
                self.sum(event, *liquidation, "liquidations", Notional::ZERO)?;
            }
            Fact::LiquidationSettled { liquidation, shortfall, .. } => {
                let notional = self.notional(&event.fact);
                self.settle(event, notional)?;
                self.sum(event, *liquidation, "liquidation_settlements", notional)?;
                if shortfall.is_positive() {
                    self.sum(event, *liquidation, "liquidation_shortfalls", Notional::new(shortfall.get()))?;
                }
            }
            Fact::LiquidationEnded { liquidation, outcome, .. } => {
                let sql = "UPDATE liquidations SET ended = ?, outcome = ? WHERE liquidation = ?";
                self.begin()?.prepare_cached(sql)?.execute(params![time, word(outcome), integer(liquidation.0)])?;
                self.assets.remove(liquidation);
            }
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, event: &Event, entry: &LedgerEntry) -> Result<(), HistoryError> {
        let sql = "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.begin()?.prepare_cached(sql)?.execute(params![
            integer(event.seq),
            integer(event.time),
            entry.asset.as_str(),
            entry.pool.as_str(),
            word(&entry.reason),
            entry.amount.to_string(),
            entry.balance.to_string(),
            entry.market.as_deref(),
            entry.liquidation.map(|liquidation| integer(liquidation.0)),
            entry.account.as_ref().map(|account| account.0.as_str()),
            body(event)
        ])?;
        let line = word(&entry.reason).unwrap_or_default();
        self.daily.add(&self.db, event.time, &entry.asset, &line, entry.amount.get())?;
        Ok(())
    }

    fn settle(&mut self, event: &Event, notional: Notional) -> Result<(), HistoryError> {
        let Fact::LiquidationSettled {
            liquidation,
            market,
            quantity,
            price,
            bankruptcy_price,
            fee,
            surplus,
            shortfall,
            ..
        } = &event.fact
        else {
            return Ok(());
        };
        let sql = "INSERT INTO settlements VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.begin()?.prepare_cached(sql)?.execute(params![
            integer(event.seq),
            integer(liquidation.0),
            market.as_str(),
            quantity.to_string(),
            price.to_string(),
            bankruptcy_price.to_string(),
            notional.to_string(),
            fee.to_string(),
            surplus.to_string(),
            shortfall.to_string(),
            body(event)
        ])?;
        Ok(())
    }

    fn sum(
        &mut self,
        event: &Event,
        liquidation: LiquidationId,
        line: &str,
        amount: Notional,
    ) -> Result<(), HistoryError> {
        let asset = match self.assets.get(&liquidation) {
            Some(asset) => asset.clone(),
            None => {
                let sql = "SELECT asset FROM liquidations WHERE liquidation = ?";
                let found: Option<String> =
                    self.db.prepare_cached(sql)?.query_row([integer(liquidation.0)], |row| row.get(0)).optional()?;
                found.unwrap_or_default().into()
            }
        };
        self.daily.add(&self.db, event.time, &asset, line, amount.get())?;
        Ok(())
    }

    /// The size of a settlement in its settlement asset, to 8 decimals: a figure to look at, never to post.
    pub fn notional(&self, fact: &Fact) -> Notional {
        use backstop_engine::number::{self, Rounding};
        let Fact::LiquidationSettled { market, quantity, price, .. } = fact else { return Notional::ZERO };
        let size = |found: Result<_, number::Overflow>| found.map_or(Notional::ZERO, Notional::new);
        match self.inverse.get(market) {
            Some(contract) => size(number::mul_div(quantity.get(), contract.get(), price.get(), 8, Rounding::Nearest)),
            None => size(number::mul(quantity.get(), price.get(), 8, Rounding::Nearest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstop_engine::event::AdlReason;
    use backstop_engine::id::Side;
    use backstop_engine::money::{Money, Quantity};

    fn event(seq: Seq) -> Event {
        let (quantity, profit) = (Quantity::ZERO, Money::ZERO);
        let (market, liquidation) = ("a name that takes some room, so that pages fill".into(), LiquidationId(seq));
        let (side, reason) = (Side::Buy, AdlReason::FundEmpty);
        let fact = Fact::AdlTriggered { market, side, quantity, reason, liquidation, candidates: 0, profit };
        Event { seq, time: 0, cause: seq, rules: Default::default(), fact }
    }

    #[test]
    fn after_a_full_disk_nothing_is_written_that_a_replay_would_write_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.sqlite");
        let mut history = History::open(&path).unwrap();
        let pages = |history: &History, pages: i64| history.db.pragma_update(None, "max_page_count", pages).unwrap();
        // Little of it stays in memory, so that a full disk shows in the middle of a transaction.
        history.db.pragma_update(None, "cache_size", 4).unwrap();
        history.take(1, &[event(1)]).unwrap();
        history.save().unwrap();
        let used: i64 = history.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        pages(&history, used + 20);
        let full = (2..10_000).find(|seq| history.take(*seq, &[event(*seq)]).is_err()).unwrap();
        pages(&history, 1_000_000);
        assert!(history.take(full + 1, &[event(full + 1)]).is_err() && history.save().is_err());
        drop(history);
        let mut history = History::open(&path).unwrap();
        assert_eq!(history.through(), 1);
        for seq in 1..=full + 10 {
            history.take(seq, &[event(seq)]).unwrap();
        }
        history.commit().unwrap();
    }
}
