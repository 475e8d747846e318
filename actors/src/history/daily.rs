//! Sums of a UTC day, exact: kept as they are, written with the transaction they belong to.

use super::HistoryError;
use backstop_engine::id::Millis;
use rusqlite::{Connection, OptionalExtension, params};
use rust_decimal::Decimal;
use serde::Serialize;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// A line of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DailySum {
    /// The day, as `2025-10-10`.
    pub day: String,
    /// What is summed.
    pub line: String,
    /// Of how many.
    pub count: u64,
    /// The sum.
    pub amount: String,
}

const DAY_MS: Millis = 86_400_000;

/// Day, asset, line.
type Key = (u64, SmolStr, String);

/// The sums that have changed since they were last written.
#[derive(Debug, Default)]
pub(super) struct Daily(BTreeMap<Key, (i64, Decimal)>);

impl Daily {
    pub(super) fn add(
        &mut self,
        db: &Connection,
        time: Millis,
        asset: &SmolStr,
        line: &str,
        amount: Decimal,
    ) -> Result<(), HistoryError> {
        let day = time.checked_div(DAY_MS).unwrap_or_default();
        let key = (day, asset.clone(), line.to_owned());
        let known = match self.0.get(&key) {
            Some(known) => *known,
            None => written(db, &key)?,
        };
        // A sum that did not fit would stand still; amounts are far below what a decimal holds.
        let sum = known.1.checked_add(amount).unwrap_or(known.1);
        self.0.insert(key, (known.0.saturating_add(1), sum));
        Ok(())
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self, db: &Connection) -> Result<(), HistoryError> {
        let sql = "INSERT INTO daily VALUES (date(?1 * 86400, 'unixepoch'), ?2, ?3, ?4, ?5)
            ON CONFLICT (asset, day, line) DO UPDATE SET count = ?4, amount = ?5";
        for ((day, asset, line), (count, amount)) in std::mem::take(&mut self.0) {
            let day = i64::try_from(day).unwrap_or(i64::MAX);
            let amount = amount.normalize().to_string();
            db.prepare_cached(sql)?.execute(params![day, asset.as_str(), line, count, amount])?;
        }
        Ok(())
    }
}

fn written(db: &Connection, (day, asset, line): &Key) -> Result<(i64, Decimal), HistoryError> {
    let sql = "SELECT count, amount FROM daily
        WHERE day = date(?1 * 86400, 'unixepoch') AND asset = ?2 AND line = ?3";
    let day = i64::try_from(*day).unwrap_or(i64::MAX);
    let found: Option<(i64, String)> = db
        .prepare_cached(sql)?
        .query_row(params![day, asset.as_str(), line], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.map_or((0, Decimal::ZERO), |(count, amount)| (count, amount.parse().unwrap_or_default())))
}
