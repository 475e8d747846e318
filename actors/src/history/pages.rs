//! Pages of lists, oldest first.

use super::about::Topic;
use super::reader::{LAST, Reader, number};
use super::{HistoryError, integer};
use backstop_engine::id::Millis;
use rusqlite::{Row, ToSql, params, params_from_iter};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The ledger of an asset.
    Ledger {
        /// Which.
        asset: String,
        /// Which of its entries.
        filter: Filter,
    },
    /// The daily sums of an asset.
    Daily(String),
    /// Liquidations, by market where they settled, and by the time when they started.
    Liquidations(Filter),
    /// The ADL tape.
    Adl(Filter),
    /// All events of any of these topics: what a stream goes on after.
    Events(Vec<Topic>),
}

/// Which items of a list: what is given must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this market.
    pub market: Option<String>,
    /// Of this account.
    pub account: Option<String>,
    /// Not before this time.
    pub from: Option<Millis>,
    /// Before this time.
    pub to: Option<Millis>,
}

/// An item as it is shown, and the number that the next page begins after.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its number.
    pub number: u64,
    /// As JSON.
    pub body: Box<RawValue>,
}

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
    /// Σ size of its settlements in the settlement asset.
    notional: String,
    fee: String,
    surplus: String,
    shortfall: String,
    settlements: Vec<Box<RawValue>>,
}

impl LiquidationRecord {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            liquidation: number(row, 0)?,
            account: row.get(1)?,
            asset: row.get(2)?,
            market: row.get(3)?,
            started: number(row, 4)?,
            ended: row.get::<_, Option<i64>>(5)?.and_then(|ended| u64::try_from(ended).ok()),
            outcome: row.get(6)?,
            equity: row.get(7)?,
            maintenance_margin: row.get(8)?,
            notional: row.get(9)?,
            fee: row.get(10)?,
            surplus: row.get(11)?,
            shortfall: row.get(12)?,
            settlements: Vec::new(),
        })
    }
}

pub(super) fn raw(text: String) -> Result<Box<RawValue>, HistoryError> {
    let unreadable = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    Ok(RawValue::from_string(text).map_err(unreadable)?)
}

impl Reader {
    /// Up to `limit` items after number `after`, and whether there are more.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn page(&self, look: &Look, after: u64, limit: usize) -> Result<(Vec<Item>, bool), HistoryError> {
        let mut found = match look {
            Look::Ledger { asset, filter } => {
                let sql = "SELECT event, body FROM events INDEXED BY ledger_of_asset
                    WHERE type = 'fund_entry' AND asset = ?6 AND event > ?1 AND event < ?2
                    AND (?4 IS NULL OR market = ?4) AND (?5 IS NULL OR account = ?5) ORDER BY event LIMIT ?3";
                self.filtered(sql, filter, after, limit, &[asset])?
            }
            Look::Adl(filter) => self.adl(filter, after, limit)?,
            Look::Liquidations(filter) => self.liquidations(filter, after, limit)?,
            Look::Daily(asset) => self.days(asset, after, limit)?,
            Look::Events(topics) => self.events(topics, after, limit)?,
        };
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    /// Numbers and bodies. Parameters of the statement: after, before, limit, market, account, and more.
    fn filtered(
        &self,
        sql: &str,
        filter: &Filter,
        after: u64,
        limit: usize,
        more: &[&dyn ToSql],
    ) -> Result<Vec<Item>, HistoryError> {
        let after = match filter.from {
            Some(from) => after.max(self.first_event(from)?.saturating_sub(1)),
            None => after,
        };
        let before = filter.to.map_or(Ok(LAST), |to| self.first_event(to))?;
        let (after, before, limit) = (integer(after), integer(before), one_more(limit));
        let given: [&dyn ToSql; 5] = [&after, &before, &limit, &filter.market, &filter.account];
        self.bodies(sql, given.into_iter().chain(more.iter().copied()))
    }

    pub(super) fn bodies<'a>(
        &self,
        sql: &str,
        given: impl IntoIterator<Item = &'a dyn ToSql>,
    ) -> Result<Vec<Item>, HistoryError> {
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params_from_iter(given), |row| Ok((number(row, 0)?, row.get(1)?)))?;
        rows.map(|row| row.map_err(HistoryError::from).and_then(|(number, body)| Ok(Item { number, body: raw(body)? })))
            .collect()
    }

    fn adl(&self, filter: &Filter, after: u64, limit: usize) -> Result<Vec<Item>, HistoryError> {
        let rest = "event > ?1 AND event < ?2 AND (?4 IS NULL OR market = ?4) AND (?5 IS NULL OR account = ?5)
            ORDER BY event LIMIT ?3";
        let both = "type IN ('adl_triggered', 'deleveraged')";
        if filter.account.is_some() {
            let sql = format!(
                "SELECT event, body FROM events INDEXED BY events_of_account WHERE account = ?5 AND {both} AND {rest}"
            );
            return self.filtered(&sql, filter, after, limit, &[]);
        }
        if filter.market.is_some() {
            let sql = format!(
                "SELECT event, body FROM events INDEXED BY adl_of_market WHERE market = ?4 AND {both} AND {rest}"
            );
            return self.filtered(&sql, filter, after, limit, &[]);
        }
        let of = |kind: &str| {
            let sql =
                format!("SELECT event, body FROM events INDEXED BY events_of_type WHERE type = '{kind}' AND {rest}");
            self.filtered(&sql, filter, after, limit, &[])
        };
        Ok(merged([of("adl_triggered")?, of("deleveraged")?], limit))
    }

    fn liquidations(&self, filter: &Filter, after: u64, limit: usize) -> Result<Vec<Item>, HistoryError> {
        let source = match (&filter.market, &filter.account) {
            (Some(_), _) => "liquidation_markets AS m JOIN liquidations AS l USING (liquidation) WHERE m.market = ?4",
            (None, Some(_)) => "liquidations AS l INDEXED BY liquidations_of_account WHERE l.account = ?5",
            (None, None) => "liquidations AS l WHERE ?4 IS NULL",
        };
        let sql = format!(
            "SELECT liquidation, l.account, l.asset, l.market, l.started, l.ended, l.outcome, l.equity,
            l.maintenance_margin, l.notional, l.fee, l.surplus, l.shortfall FROM {source}
            AND liquidation > ?1 AND liquidation < ?2 AND (?5 IS NULL OR l.account = ?5) ORDER BY liquidation LIMIT ?3"
        );
        let after = match filter.from {
            Some(from) => after.max(self.first_liquidation(from)?.saturating_sub(1)),
            None => after,
        };
        let before = filter.to.map_or(Ok(LAST), |to| self.first_liquidation(to))?;
        let given = params![integer(after), integer(before), one_more(limit), filter.market, filter.account];
        let mut records = {
            let mut statement = self.db.prepare_cached(&sql)?;
            let rows = statement.query_map(given, LiquidationRecord::read)?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        self.add_settlements(&mut records)?;
        let shown = |record: &LiquidationRecord| {
            let text = serde_json::to_string(record).unwrap_or_default();
            Ok(Item { number: record.liquidation, body: raw(text)? })
        };
        records.iter().map(shown).collect()
    }

    /// Those of all liquidations of a page at once.
    fn add_settlements(&self, records: &mut [LiquidationRecord]) -> Result<(), HistoryError> {
        let numbers: Vec<u64> = records.iter().map(|record| record.liquidation).collect();
        let sql = "SELECT liquidation, body FROM events INDEXED BY events_of_liquidation
            WHERE liquidation IN (SELECT value FROM json_each(?)) AND type = 'liquidation_settled'
            ORDER BY liquidation, event";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([serde_json::to_string(&numbers).unwrap_or_default()])?;
        let mut of: BTreeMap<u64, &mut LiquidationRecord> =
            records.iter_mut().map(|record| (record.liquidation, record)).collect();
        while let Some(row) = rows.next()? {
            if let Some(record) = of.get_mut(&number(row, 0)?) {
                record.settlements.push(raw(row.get(1)?)?);
            }
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
        let rows = statement.query_map(params![asset, one_more(limit), integer(after)], read)?;
        let sums = rows.collect::<Result<Vec<DailySum>, _>>()?;
        let shown = |(number, sum): (u64, &DailySum)| {
            Ok(Item { number, body: raw(serde_json::to_string(sum).unwrap_or_default())? })
        };
        (after.saturating_add(1)..).zip(&sums).map(shown).collect()
    }
}

pub(super) fn one_more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The first of all lists together, each once, up to one past the limit.
pub(super) fn merged(lists: impl IntoIterator<Item = Vec<Item>>, limit: usize) -> Vec<Item> {
    let mut all: BTreeMap<u64, Item> = BTreeMap::new();
    for item in lists.into_iter().flatten() {
        all.insert(item.number, item);
    }
    all.into_values().take(limit.saturating_add(1)).collect()
}
