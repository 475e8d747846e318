//! The report of a UTC day for one asset: what the fund held, what came and went and why, and what went wrong.
//!
//! Sums are those of the day's events, and balances those that the ledger states, so that the one can be checked against
//! the other: `closing = opening + net`, exactly, for the fund and for each pool.

mod csv;

pub use csv::write_csv;

use super::contract::Contracts;
use super::reader::{Reader, number};
use super::receipts::{ReceiptId, plus, shown, value};
use super::record::{CUT, LIQUIDATIONS, OUTCOMES, POOL, SHORTFALL, SHORTFALLS, UNWINDING};
use super::sums::start_of;
use super::{HistoryError, day_of, integer};
use backstop_engine::id::Millis;
use backstop_engine::money::{Price, Quantity};
use rusqlite::{OptionalExtension, Row, params};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A count and a sum, by name. Amounts are those of the ledger: what goes out is negative.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The reason, or the outcome.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Their sum.
    pub amount: String,
}

/// A pool of the fund, or all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pool: String,
    /// What it held when the day began: what the day before closed with.
    pub opening: String,
    /// What came in, by reason.
    pub inflows: Vec<Line>,
    /// What went out, by reason.
    pub outflows: Vec<Line>,
    /// The sum of both.
    pub net: String,
    /// What it held when the day ended.
    pub closing: String,
}

/// Liquidations of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Liquidations {
    /// How many started.
    pub started: u64,
    /// How many fills were settled.
    pub settlements: u64,
    /// Their size.
    pub volume: String,
    /// Those that ended, with the size of all that they settled.
    pub outcomes: Vec<Line>,
}

/// Losses beyond margin: what was claimed from the fund.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shortfalls {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub amount: String,
    /// The largest.
    pub largest: Option<Shortfall>,
}

/// A loss beyond margin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shortfall {
    /// The receipt of the liquidation.
    pub receipt: String,
    /// When.
    pub time: Millis,
    /// How much.
    pub amount: String,
}

/// Auto-deleveraging.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Adl {
    /// How many positions were cut.
    pub count: u64,
    /// The size of the cuts.
    pub volume: String,
    /// The ten largest.
    pub largest: Vec<Cut>,
}

/// A cut.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Its receipt.
    pub receipt: String,
    /// When.
    pub time: Millis,
    /// The market.
    pub market: String,
    /// How many contracts.
    pub quantity: String,
    /// At which price.
    pub price: String,
    /// Its size at the mark.
    pub notional: String,
}

/// The fresh source that stood farthest from its index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// The market.
    pub market: String,
    /// |source − index| ÷ index.
    pub deviation: String,
    /// The source.
    pub source: String,
    /// How it was used.
    pub state: String,
    /// What it said.
    pub price: String,
    /// The index.
    pub index: String,
    /// When.
    pub time: Millis,
}

/// What the fund had taken over and not sold yet when the day ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The market.
    pub market: String,
    /// Contracts: long positive, short negative.
    pub quantity: String,
    /// The last mark of the day or of one before.
    pub mark: Option<String>,
    /// The size at that mark.
    pub value: Option<String>,
}

/// The report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DailyReport {
    /// The asset.
    pub asset: String,
    /// The day, as `2025-10-10`.
    pub day: String,
    /// When it begins.
    pub from: Millis,
    /// When the next one begins.
    pub to: Millis,
    /// The whole fund.
    #[serde(flatten)]
    pub fund: Pool,
    /// Its pools.
    pub pools: Vec<Pool>,
    /// Liquidations of accounts.
    pub liquidations: Liquidations,
    /// Losses beyond margin.
    pub shortfalls: Shortfalls,
    /// Auto-deleveraging.
    pub adl: Adl,
    /// Fills that sold what the fund had taken over, and their size.
    pub unwinding: Line,
    /// The worst source of the asset's markets.
    pub oracle: Option<Deviation>,
    /// What the fund had taken over and not sold yet.
    pub inventory: Vec<Held>,
}

/// Sums of a day by part and line.
type Sums = BTreeMap<(String, String), (u64, Decimal)>;

impl Reader {
    /// The report of a UTC day for an asset; none before its first day or after the last day of which anything is known.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn report(&self, asset: &str, day: u64) -> Result<Option<DailyReport>, HistoryError> {
        let Some((first, last)) = self.reported_days(asset)? else { return Ok(None) };
        if day < first || day > last {
            return Ok(None);
        }
        let sums = self.sums(asset, day)?;
        let of = |part: &str, line: &str| sums.get(&(part.to_owned(), line.to_owned())).copied().unwrap_or_default();
        let pools = self.pools(asset, day, &sums)?;
        let (settled, cuts, claimed) = (of(LIQUIDATIONS, "settlements"), of("daily", "adl"), of(SHORTFALLS, "claimed"));
        let unwound = of(UNWINDING, "settlements");
        let outcomes = sums.iter().filter(|((part, _), _)| part == OUTCOMES);
        Ok(Some(DailyReport {
            asset: asset.to_owned(),
            day: self.day_name(day)?,
            from: start_of(day),
            to: start_of(day.saturating_add(1)),
            fund: together(&pools),
            pools: pools.into_iter().map(Counted::shown).collect(),
            liquidations: Liquidations {
                started: of(LIQUIDATIONS, "started").0,
                settlements: settled.0,
                volume: shown(settled.1),
                outcomes: outcomes.map(|((_, outcome), sum)| line(outcome, *sum)).collect(),
            },
            shortfalls: Shortfalls {
                count: claimed.0,
                amount: shown(claimed.1),
                largest: self.largest(asset, day, SHORTFALL, 1)?.iter().map(shortfall).next(),
            },
            adl: Adl {
                count: cuts.0,
                volume: shown(cuts.1),
                largest: self.largest(asset, day, CUT, 10)?.iter().map(cut).collect(),
            },
            unwinding: line("settlements", unwound),
            oracle: self.deviation(asset, day)?,
            inventory: self.inventory(asset, day)?,
        }))
    }

    /// The first day of which there are sums of an asset, and the last of which anything is known.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn reported_days(&self, asset: &str) -> Result<Option<(u64, u64)>, HistoryError> {
        let first = "SELECT day FROM sums WHERE asset = ? ORDER BY day LIMIT 1";
        let first = self.db.prepare_cached(first)?.query_row([asset], |row| number(row, 0)).optional()?;
        let last = "SELECT time FROM progress";
        let last = self.db.prepare_cached(last)?.query_row([], |row| number(row, 0))?;
        Ok(first.map(|first| (first, day_of(last))))
    }

    /// The name of a day, as `2025-10-10`.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn day_name(&self, day: u64) -> Result<String, HistoryError> {
        let mut statement = self.db.prepare_cached("SELECT date(? * 86400, 'unixepoch')")?;
        Ok(statement.query_row([integer(day)], |row| row.get::<_, Option<String>>(0))?.unwrap_or_default())
    }

    /// The day of a name; none where it is none.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn day_named(&self, name: &str) -> Result<Option<u64>, HistoryError> {
        let mut statement = self.db.prepare_cached("SELECT unixepoch(?) / 86400")?;
        let found: Option<i64> = statement.query_row([name], |row| row.get(0))?;
        let Some(day) = found.and_then(|day| u64::try_from(day).ok()) else { return Ok(None) };
        Ok((self.day_name(day)? == name).then_some(day))
    }

    fn sums(&self, asset: &str, day: u64) -> Result<Sums, HistoryError> {
        let sql = "SELECT part, line, count, amount FROM sums WHERE asset = ? AND day = ?";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![asset, integer(day)], |row| {
            Ok(((row.get(0)?, row.get(1)?), (number(row, 2)?, decimal(row, 3)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Every pool that has ever held anything.
    fn pools(&self, asset: &str, day: u64, sums: &Sums) -> Result<Vec<Counted>, HistoryError> {
        let sql = "SELECT pool, balance, max(day) FROM balances WHERE asset = ? AND day < ? GROUP BY pool";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut balances = |before: u64| -> Result<BTreeMap<String, Decimal>, HistoryError> {
            let rows =
                statement.query_map(params![asset, integer(before)], |row| Ok((row.get(0)?, decimal(row, 1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let (opening, closing) = (balances(day)?, balances(day.saturating_add(1))?);
        let counted = |(pool, closing): (String, Decimal)| {
            let part = format!("{POOL}{pool}");
            let reasons = sums.iter().filter(|((of, _), _)| *of == part);
            let reasons = reasons.map(|((_, reason), sum)| (reason.clone(), *sum)).collect();
            Counted { opening: opening.get(&pool).copied().unwrap_or_default(), pool, reasons, closing }
        };
        Ok(closing.into_iter().map(counted).collect())
    }

    /// The bodies of the largest of a day, largest first.
    fn largest(&self, asset: &str, day: u64, what: &str, count: usize) -> Result<Vec<Value>, HistoryError> {
        let sql = "SELECT l.amount, l.event, e.body FROM largest AS l JOIN events AS e USING (event)
            WHERE l.asset = ? AND l.day = ? AND l.what = ?";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![asset, integer(day), what], |row| {
            Ok((decimal(row, 0)?, number(row, 1)?, row.get::<_, String>(2)?))
        })?;
        let mut found = rows.collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
        found.iter().take(count).map(|(_, _, body)| value(body)).collect()
    }

    fn deviation(&self, asset: &str, day: u64) -> Result<Option<Deviation>, HistoryError> {
        let sql = "SELECT d.deviation, market, d.source, d.state, d.price, d.index_price, d.time
            FROM deviations AS d JOIN markets AS m USING (market) WHERE m.asset = ? AND d.day = ? ORDER BY market";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map(params![asset, integer(day)], |row| {
            let found = Deviation {
                deviation: row.get(0)?,
                market: row.get(1)?,
                source: row.get(2)?,
                state: row.get(3)?,
                price: row.get(4)?,
                index: row.get(5)?,
                time: number(row, 6)?,
            };
            Ok((decimal(row, 0)?, found))
        })?;
        let mut found = rows.collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(found.into_iter().next().map(|(_, found)| found))
    }

    fn inventory(&self, asset: &str, day: u64) -> Result<Vec<Held>, HistoryError> {
        let contracts = Contracts::load(&self.db)?;
        let sql = "SELECT market, quantity, max(day) FROM inventory WHERE day <= ? GROUP BY market ORDER BY market";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows = statement.query_map([integer(day)], |row| Ok((row.get::<_, String>(0)?, decimal(row, 1)?)))?;
        let mark = "SELECT body FROM latest_marks WHERE market = ? AND day <= ? ORDER BY day DESC LIMIT 1";
        let mut mark = self.db.prepare_cached(mark)?;
        let mut held = Vec::new();
        for row in rows {
            let (market, quantity) = row?;
            let Some(contract) = contracts.of(&market).filter(|contract| contract.asset == asset) else { continue };
            if quantity.is_zero() {
                continue;
            }
            let body: Option<String> = mark.query_row(params![market, integer(day)], |row| row.get(0)).optional()?;
            let body = body.as_deref().map(value).transpose()?;
            let text = body.as_ref().and_then(|body| body.get("mark")).and_then(Value::as_str);
            let price: Option<Price> = text.and_then(|text| text.parse().ok()).map(Price::new);
            let worth = price.map(|price| contract.notional(Quantity::new(quantity), price).to_string());
            held.push(Held { market, quantity: shown(quantity), mark: text.map(str::to_owned), value: worth });
        }
        Ok(held)
    }
}

/// A pool in figures.
struct Counted {
    pool: String,
    opening: Decimal,
    reasons: BTreeMap<String, (u64, Decimal)>,
    closing: Decimal,
}

impl Counted {
    fn shown(self) -> Pool {
        let sum = |lines: &BTreeMap<String, (u64, Decimal)>| {
            lines.values().fold(Decimal::ZERO, |sum, line| plus(sum, line.1))
        };
        let net = sum(&self.reasons);
        let (outflows, inflows): (Vec<_>, Vec<_>) =
            self.reasons.iter().partition(|(_, (_, amount))| amount.is_sign_negative());
        let lines =
            |all: Vec<(&String, &(u64, Decimal))>| all.into_iter().map(|(name, sum)| line(name, *sum)).collect();
        Pool {
            pool: self.pool,
            opening: shown(self.opening),
            inflows: lines(inflows),
            outflows: lines(outflows),
            net: shown(net),
            closing: shown(self.closing),
        }
    }
}

/// All pools as one.
fn together(pools: &[Counted]) -> Pool {
    let mut all =
        Counted { pool: String::new(), opening: Decimal::ZERO, reasons: BTreeMap::new(), closing: Decimal::ZERO };
    for pool in pools {
        all.opening = plus(all.opening, pool.opening);
        all.closing = plus(all.closing, pool.closing);
        for (reason, (count, amount)) in &pool.reasons {
            let sum = all.reasons.entry(reason.clone()).or_default();
            *sum = (sum.0.saturating_add(*count), plus(sum.1, *amount));
        }
    }
    all.shown()
}

fn line(name: &str, (count, amount): (u64, Decimal)) -> Line {
    Line { name: name.to_owned(), count, amount: shown(amount) }
}

fn decimal(row: &Row<'_>, place: usize) -> rusqlite::Result<Decimal> {
    row.get::<_, String>(place).map(|text| text.parse().unwrap_or_default())
}

fn text(body: &Value, name: &str) -> String {
    body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn whole(body: &Value, name: &str) -> u64 {
    body.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn shortfall(claim: &Value) -> Shortfall {
    Shortfall {
        receipt: ReceiptId::Liquidation(whole(claim, "liquidation")).to_string(),
        time: whole(claim, "time"),
        amount: text(claim, "amount"),
    }
}

fn cut(body: &Value) -> Cut {
    Cut {
        receipt: ReceiptId::Adl(whole(body, "seq")).to_string(),
        time: whole(body, "time"),
        market: text(body, "market"),
        quantity: text(body, "quantity"),
        price: text(body, "price"),
        notional: text(body, "notional"),
    }
}
