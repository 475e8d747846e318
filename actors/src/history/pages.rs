//! Pages of lists, oldest first.

use super::{DailySum, History, HistoryError, integer};
use backstop_engine::money::{Money, Notional};
use rusqlite::{Row, ToSql, params_from_iter};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The ledger of an asset.
    Ledger(String),
    /// The daily sums of an asset.
    Daily(String),
    /// Liquidations, of one market or account where given.
    Liquidations {
        /// Settled in this market.
        market: Option<String>,
        /// Of this account.
        account: Option<String>,
    },
    /// The ADL tape.
    Adl {
        /// In this market.
        market: Option<String>,
        /// Of this account.
        account: Option<String>,
    },
}

/// An item as it is shown, and the number that the next page begins after.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its number.
    pub number: u64,
    /// As JSON.
    pub body: Box<RawValue>,
}

/// A liquidation, from start to end.
#[derive(Serialize)]
struct LiquidationRecord {
    liquidation: u64,
    account: String,
    asset: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    market: Option<String>,
    started: u64,
    ended: Option<u64>,
    outcome: Option<String>,
    equity: String,
    maintenance_margin: String,
    /// Σ quantity × price of its settlements, for linear contracts; Σ value for inverse ones.
    notional: Notional,
    fee: Money,
    surplus: Money,
    shortfall: Money,
    settlements: Vec<Box<RawValue>>,
}

fn raw(text: String) -> Result<Box<RawValue>, HistoryError> {
    let unreadable = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    Ok(RawValue::from_string(text).map_err(unreadable)?)
}

fn number(row: &Row<'_>, place: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(place).map(|number| u64::try_from(number).unwrap_or_default())
}

impl History {
    /// Up to `limit` items after number `after`, and whether there are more.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn page(&mut self, look: &Look, after: u64, limit: usize) -> Result<(Vec<Item>, bool), HistoryError> {
        let mut found = match look {
            Look::Ledger(asset) => {
                let sql = "SELECT event, body FROM ledger WHERE asset = ?3 AND event > ?1 ORDER BY event LIMIT ?2";
                self.bodies(sql, after, limit, &[asset])?
            }
            Look::Adl { market, account } => {
                let sql = "SELECT event, body FROM adl WHERE event > ?1 AND (?3 IS NULL OR market = ?3)
                    AND (?4 IS NULL OR account = ?4) ORDER BY event LIMIT ?2";
                self.bodies(sql, after, limit, &[market, account])?
            }
            Look::Liquidations { market, account } => self.liquidations(after, limit, market, account)?,
            Look::Daily(asset) => {
                self.daily.write(&self.db)?;
                self.days(asset, after, limit)?
            }
        };
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    fn bodies(&self, sql: &str, after: u64, limit: usize, filters: &[&dyn ToSql]) -> Result<Vec<Item>, HistoryError> {
        let (after, limit) = (integer(after), one_more(limit));
        let given = [&after as &dyn ToSql, &limit].into_iter().chain(filters.iter().copied());
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params_from_iter(given), |row| Ok((number(row, 0)?, row.get(1)?)))?;
        rows.map(|row| row.map_err(HistoryError::from).and_then(|(number, body)| Ok(Item { number, body: raw(body)? })))
            .collect()
    }

    fn liquidations(
        &self,
        after: u64,
        limit: usize,
        market: &Option<String>,
        account: &Option<String>,
    ) -> Result<Vec<Item>, HistoryError> {
        let sql = "SELECT liquidation, account, asset, market, started, ended, outcome, equity, maintenance_margin
            FROM liquidations AS l WHERE liquidation > ?1 AND (?4 IS NULL OR account = ?4)
            AND (?3 IS NULL OR market = ?3 OR EXISTS (SELECT 1 FROM settlements AS s
                WHERE s.liquidation = l.liquidation AND s.market = ?3)) ORDER BY liquidation LIMIT ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        let read = |row: &Row<'_>| {
            Ok(LiquidationRecord {
                liquidation: number(row, 0)?,
                account: row.get(1)?,
                asset: row.get(2)?,
                market: row.get(3)?,
                started: number(row, 4)?,
                ended: row.get::<_, Option<i64>>(5)?.and_then(|ended| u64::try_from(ended).ok()),
                outcome: row.get(6)?,
                equity: row.get(7)?,
                maintenance_margin: row.get(8)?,
                notional: Notional::ZERO,
                fee: Money::ZERO,
                surplus: Money::ZERO,
                shortfall: Money::ZERO,
                settlements: Vec::new(),
            })
        };
        let given = rusqlite::params![integer(after), one_more(limit), market, account];
        let records = statement.query_map(given, read)?.collect::<Result<Vec<_>, _>>()?;
        let whole = |mut record| {
            self.add_settlements(&mut record)?;
            let text = serde_json::to_string(&record).unwrap_or_default();
            Ok(Item { number: record.liquidation, body: raw(text)? })
        };
        records.into_iter().map(whole).collect()
    }

    fn add_settlements(&self, record: &mut LiquidationRecord) -> Result<(), HistoryError> {
        let sql =
            "SELECT notional, fee, surplus, shortfall, body FROM settlements WHERE liquidation = ? ORDER BY event";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([integer(record.liquidation)])?;
        while let Some(row) = rows.next()? {
            let figure = |place| row.get::<_, String>(place).map(|text| text.parse::<Decimal>().unwrap_or_default());
            record.notional = record.notional.plus(Notional::new(figure(0)?)).unwrap_or(record.notional);
            let add = |sum: &mut Money, part: Decimal| *sum = sum.plus(Money::new(part)).unwrap_or(*sum);
            add(&mut record.fee, figure(1)?);
            add(&mut record.surplus, figure(2)?);
            add(&mut record.shortfall, figure(3)?);
            record.settlements.push(raw(row.get(4)?)?);
        }
        Ok(())
    }

    /// Pages of days begin after a number of items: days are few.
    fn days(&self, asset: &str, after: u64, limit: usize) -> Result<Vec<Item>, HistoryError> {
        let sql = "SELECT day, line, count, amount FROM daily WHERE asset = ?1 ORDER BY day, line LIMIT ?2 OFFSET ?3";
        let mut statement = self.db.prepare_cached(sql)?;
        let read = |row: &Row<'_>| {
            Ok(DailySum { day: row.get(0)?, line: row.get(1)?, count: number(row, 2)?, amount: row.get(3)? })
        };
        let rows = statement.query_map(rusqlite::params![asset, one_more(limit), integer(after)], read)?;
        let sums = rows.collect::<Result<Vec<DailySum>, _>>()?;
        let shown = |(number, sum): (u64, &DailySum)| {
            Ok(Item { number, body: raw(serde_json::to_string(sum).unwrap_or_default())? })
        };
        (after.saturating_add(1)..).zip(&sums).map(shown).collect()
    }
}

fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
