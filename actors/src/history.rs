//! History: what readers look up, built from events and nothing else, in an SQLite file that any SQL tool can read.
//!
//! It is a function of the journal: events that are in it already are passed over when the journal is replayed, and the
//! whole of it can be built anew. So it need not be safe at once, only before a snapshot that would start after it.
//!
//! One connection writes, here; readers have their own ([`Reader`]) and see what was last saved.

mod about;
mod contract;
mod extremes;
mod heads;
mod holdings;
mod marks;
mod pages;
mod reader;
mod receipts;
mod record;
mod report;
mod running;
mod sums;
mod temporary;
mod topics;

pub use about::{About, Topic};
pub use heads::Head;
pub use pages::{DailySum, Filter, Item, Look};
pub use reader::{Reader, Readers};
pub use receipts::{CutReceipt, LiquidationReceipt, NotAReceipt, Receipt, ReceiptId, Totals};
pub use report::{Adl, Cut, DailyReport, Deviation, Held, Line, Liquidations, Pool, Shortfall, Shortfalls, write_csv};
pub use sums::day_of;

use backstop_engine::event::Event;
use backstop_engine::id::{Millis, Seq};
use backstop_engine::money::Notional;
use backstop_engine::rules::{Market, Rules};
use contract::Contracts;
use extremes::Extremes;
use holdings::Holdings;
use marks::Marks;
use reader::number;
use running::Running;
use rusqlite::{Connection, Row};
use serde::Serialize;
use smol_str::SmolStr;
use std::path::{Path, PathBuf};
use sums::Sums;
use temporary::Temporary;

/// The version of the tables. Another one is built anew.
const VERSION: i64 = 2;

/// What the store says.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite.
    #[error("{0}")]
    Store(#[from] rusqlite::Error),
    /// A folder for what is not kept.
    #[error("no temporary folder: {0}")]
    Temporary(#[from] std::io::Error),
}

/// Everything that is looked up, as it is written.
pub struct History {
    db: Connection,
    path: PathBuf,
    /// Where nothing is kept: removed at the end.
    temporary: Option<Temporary>,
    /// Is a transaction open?
    open: bool,
    /// Is there anything that readers do not see yet?
    unsaved: bool,
    /// Has a write failed? Then nothing is written any more.
    failed: bool,
    /// The last command whose events are here.
    through: Seq,
    /// The time of the last event.
    time: Millis,
    /// How many claims have been opened.
    claims: u64,
    contracts: Contracts,
    running: Running,
    marks: Marks,
    sums: Sums,
    holdings: Holdings,
    extremes: Extremes,
}

fn word(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned))
}

/// An event as the API shows it.
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
        // What is not safe yet is rebuilt from the journal.
        Self::over(path, "NORMAL")
    }

    /// In a temporary file: it ends with the daemon.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn temporary() -> Result<Self, HistoryError> {
        let folder = Temporary::within(&std::env::temp_dir())?;
        let history = Self::over(&folder.file(), "OFF")?;
        Ok(Self { temporary: Some(folder), ..history })
    }

    fn over(path: &Path, synchronous: &str) -> Result<Self, HistoryError> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "synchronous", synchronous)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.set_prepared_statement_cache_capacity(64);
        let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            begin_anew(&db)?;
        }
        let read = |row: &Row<'_>| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?));
        let (through, time, claims) = db.query_row("SELECT seq, time, claims FROM progress", [], read)?;
        Ok(Self {
            contracts: Contracts::load(&db)?,
            marks: Marks::load(&db)?,
            path: path.to_owned(),
            temporary: None,
            open: false,
            unsaved: false,
            failed: false,
            holdings: Holdings::load(&db)?,
            extremes: Extremes::default(),
            through,
            time,
            claims,
            running: Running::default(),
            sums: Sums::default(),
            db,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last command whose events are here.
    pub fn through(&self) -> Seq {
        self.through
    }

    /// Knows the markets of these rules.
    pub fn know(&mut self, rules: &Rules) {
        for market in rules.markets() {
            if let Ok(asset) = rules.asset(market.asset) {
                self.know_market(market, &asset.name);
            }
        }
    }

    /// Remembers what a market settles in and how its quantities are valued.
    pub fn know_market(&mut self, market: &Market, asset: &SmolStr) {
        self.contracts.know(market, asset);
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
            (history.through, history.unsaved) = (seq, true);
            history.time = events.last().map_or(history.time, |event| event.time);
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

    fn begin(&mut self) -> Result<(), HistoryError> {
        if !self.open {
            self.db.execute_batch("BEGIN")?;
            self.open = true;
        }
        Ok(())
    }

    /// Everything taken so far is safe when this returns.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn commit(&mut self) -> Result<(), HistoryError> {
        self.save()?;
        if self.temporary.is_some() {
            return Ok(());
        }
        self.sound(|history| {
            // This transaction ends with a sync of the write-ahead log, and so of all before it.
            history.db.pragma_update(None, "synchronous", "FULL")?;
            let saved = history.end();
            history.db.pragma_update(None, "synchronous", "NORMAL")?;
            saved
        })
    }

    /// Ends the transaction, if there is anything in it: readers see everything taken so far.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn save(&mut self) -> Result<(), HistoryError> {
        if !self.unsaved && !self.failed {
            return Ok(());
        }
        self.sound(Self::end)
    }

    fn end(&mut self) -> Result<(), HistoryError> {
        self.begin()?;
        let progress = [integer(self.through), integer(self.time), integer(self.claims)];
        self.db.prepare_cached("UPDATE progress SET seq = ?, time = ?, claims = ?")?.execute(progress)?;
        self.contracts.write(&self.db)?;
        self.running.write(&self.db)?;
        self.marks.write(&self.db)?;
        self.sums.write(&self.db)?;
        self.holdings.write(&self.db)?;
        self.extremes.write(&self.db)?;
        self.db.execute_batch("COMMIT")?;
        (self.open, self.unsaved) = (false, false);
        Ok(())
    }

    /// Nothing more will be taken: what is not kept is removed.
    pub fn close(&mut self) {
        self.temporary = None;
    }

    /// The size of a settlement in its settlement asset, to 8 decimals: a figure to look at, never to post.
    pub fn notional(&self, event: &Event) -> Notional {
        record::notional(&self.contracts, &event.fact)
    }
}

/// Makes the tables, in the place of those of another version.
fn begin_anew(db: &Connection) -> Result<(), HistoryError> {
    let named = "SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'";
    let found: Vec<(String, String)> = db
        .prepare(&format!("{named} ORDER BY type DESC"))?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let drops = found.iter().map(|(kind, name)| format!("DROP {kind} \"{name}\"; ")).collect::<String>();
    let schema = include_str!("history/schema.sql");
    Ok(db.execute_batch(&format!("BEGIN; {drops}{schema} PRAGMA user_version = {VERSION}; COMMIT"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstop_engine::event::{AdlReason, Fact};
    use backstop_engine::id::{LiquidationId, Side};
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
