//! What is held at the end of a UTC day: cash of the fund's pools, and what the fund has taken over.

use super::{HistoryError, day_of, integer};
use backstop_engine::id::Millis;
use rusqlite::{Connection, params};
use rust_decimal::Decimal;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// What has changed since it was last written.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// By asset, pool and day.
    balances: BTreeMap<(SmolStr, SmolStr, u64), Decimal>,
    /// By market: what is held now.
    held: BTreeMap<SmolStr, Decimal>,
    /// By market and day.
    inventory: BTreeMap<(SmolStr, u64), Decimal>,
}

impl Holdings {
    pub(super) fn load(db: &Connection) -> Result<Self, HistoryError> {
        // SQLite takes the other columns from the row of the maximum.
        let mut statement = db.prepare("SELECT market, quantity, max(day) FROM inventory GROUP BY market")?;
        let held = statement.query_map([], |row| {
            let (market, quantity): (String, String) = (row.get(0)?, row.get(1)?);
            Ok((market.into(), quantity.parse().unwrap_or_default()))
        })?;
        Ok(Self { held: held.collect::<Result<_, _>>()?, ..Self::default() })
    }

    /// A pool holds this now.
    pub(super) fn balance(&mut self, asset: &SmolStr, pool: &SmolStr, time: Millis, balance: Decimal) {
        self.balances.insert((asset.clone(), pool.clone(), day_of(time)), balance);
    }

    /// The fund holds so much more of a market.
    pub(super) fn take(&mut self, market: &SmolStr, time: Millis, quantity: Decimal) {
        let held = self.held.entry(market.clone()).or_default();
        // What did not fit would stand still.
        *held = held.checked_add(quantity).unwrap_or(*held);
        self.inventory.insert((market.clone(), day_of(time)), *held);
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self, db: &Connection) -> Result<(), HistoryError> {
        for ((asset, pool, day), balance) in std::mem::take(&mut self.balances) {
            let balance = balance.normalize().to_string();
            let row = params![asset.as_str(), pool.as_str(), integer(day), balance];
            db.prepare_cached("INSERT OR REPLACE INTO balances VALUES (?, ?, ?, ?)")?.execute(row)?;
        }
        for ((market, day), quantity) in std::mem::take(&mut self.inventory) {
            let quantity = quantity.normalize().to_string();
            let row = params![market.as_str(), integer(day), quantity];
            db.prepare_cached("INSERT OR REPLACE INTO inventory VALUES (?, ?, ?)")?.execute(row)?;
        }
        Ok(())
    }
}
