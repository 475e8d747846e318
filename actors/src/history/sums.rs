//! Sums of a UTC day, exact: added up here, written with the transaction they belong to.

use super::{HistoryError, integer};
use backstop_engine::id::Millis;
use rusqlite::{Connection, OptionalExtension, params};
use rust_decimal::Decimal;
use smol_str::SmolStr;
use std::collections::BTreeMap;

const DAY_MS: Millis = 86_400_000;

/// The UTC day of a time, counted from 1970-01-01.
pub fn day_of(time: Millis) -> u64 {
    time.checked_div(DAY_MS).unwrap_or_default()
}

/// When a day begins.
pub(super) fn start_of(day: u64) -> Millis {
    day.saturating_mul(DAY_MS)
}

/// Asset, day, part, line.
type Key = (SmolStr, u64, SmolStr, SmolStr);

/// The sums that have changed since they were last written.
#[derive(Debug, Default)]
pub(super) struct Sums(BTreeMap<Key, (i64, Decimal)>);

impl Sums {
    pub(super) fn add(
        &mut self,
        db: &Connection,
        time: Millis,
        asset: &SmolStr,
        (part, line): (&str, &str),
        amount: Decimal,
    ) -> Result<(), HistoryError> {
        let key = (asset.clone(), day_of(time), SmolStr::new(part), SmolStr::new(line));
        let (count, sum) = match self.0.get(&key) {
            Some(known) => *known,
            None => written(db, &key)?,
        };
        // A sum that did not fit would stand still; amounts are far below what a decimal holds.
        self.0.insert(key, (count.saturating_add(1), sum.checked_add(amount).unwrap_or(sum)));
        Ok(())
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self, db: &Connection) -> Result<(), HistoryError> {
        let sql = "INSERT INTO sums VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (asset, day, part, line) DO UPDATE SET count = ?5, amount = ?6";
        for ((asset, day, part, line), (count, amount)) in std::mem::take(&mut self.0) {
            let amount = amount.normalize().to_string();
            let row = params![asset.as_str(), integer(day), part.as_str(), line.as_str(), count, amount];
            db.prepare_cached(sql)?.execute(row)?;
        }
        Ok(())
    }
}

fn written(db: &Connection, (asset, day, part, line): &Key) -> Result<(i64, Decimal), HistoryError> {
    let sql = "SELECT count, amount FROM sums WHERE asset = ? AND day = ? AND part = ? AND line = ?";
    let found: Option<(i64, String)> = db
        .prepare_cached(sql)?
        .query_row(params![asset.as_str(), integer(*day), part.as_str(), line.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    Ok(found.map_or((0, Decimal::ZERO), |(count, amount)| (count, amount.parse().unwrap_or_default())))
}
