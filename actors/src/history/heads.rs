//! What a day of the record is proven by: the ledgers as they stood when it began, and their entries in it.

use super::reader::{Reader, number};
use super::receipts::value;
use super::sums::start_of;
use super::{HistoryError, day_of, integer};
use rusqlite::{OptionalExtension, params};
use serde_json::Value;
use std::collections::BTreeMap;

/// The ledger of an asset at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The asset.
    pub asset: String,
    /// The number of its last entry, 0 before the first, and the hash of that entry.
    pub last: Option<(u64, String)>,
    /// The balance of each pool.
    pub pools: BTreeMap<String, String>,
}

impl Reader {
    /// The first day on which anything happened.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn first_day(&self) -> Result<Option<u64>, HistoryError> {
        let sql = "SELECT time FROM events ORDER BY event LIMIT 1";
        let first = self.db.prepare_cached(sql)?.query_row([], |row| number(row, 0)).optional()?;
        Ok(first.map(day_of))
    }

    /// The ledgers of all assets that have had an entry, as they stood when a day began.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn heads(&self, day: u64) -> Result<Vec<Head>, HistoryError> {
        let before = integer(self.first_event(start_of(day))?);
        let mut assets = self.db.prepare_cached("SELECT DISTINCT asset FROM balances ORDER BY asset")?;
        let assets = assets.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        let last = "SELECT body FROM events INDEXED BY ledger_of_asset
            WHERE type = 'fund_entry' AND asset = ? AND event < ? ORDER BY event DESC LIMIT 1";
        let pools = "SELECT pool, balance FROM balances AS b WHERE asset = ?1 AND day = (SELECT MAX(day) FROM balances
            WHERE asset = ?1 AND pool = b.pool AND day < ?2)";
        let mut heads = Vec::with_capacity(assets.len());
        for asset in assets {
            let entry: Option<String> =
                self.db.prepare_cached(last)?.query_row(params![asset, before], |row| row.get(0)).optional()?;
            let entry = entry.as_deref().map(value).transpose()?;
            let last =
                entry.and_then(|entry| Some((entry.get("entry")?.as_u64()?, entry.get("hash")?.as_str()?.to_owned())));
            let mut statement = self.db.prepare_cached(pools)?;
            let rows = statement.query_map(params![asset, integer(day)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            heads.push(Head { pools: rows.collect::<Result<_, _>>()?, asset, last });
        }
        Ok(heads)
    }

    /// The entries of all ledgers on a day, in order.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn entries_of(&self, day: u64) -> Result<Vec<Value>, HistoryError> {
        let (from, to) = (integer(self.first_event(start_of(day))?), integer(self.end_of(day)?));
        let sql = "SELECT body FROM events INDEXED BY events_of_type
            WHERE type = 'fund_entry' AND event >= ? AND event < ? ORDER BY event";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![from, to], |row| row.get::<_, String>(0))?;
        rows.map(|row| value(&row?)).collect()
    }
}
