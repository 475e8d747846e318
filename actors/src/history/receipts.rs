//! Receipts: everything that led to a liquidation or to a cut by auto-deleveraging, from the events as they are kept.
//!
//! A receipt never changes once the UTC day is over in which what it is about has ended, so that it can be proven to be
//! one of that day. What comes after (a claim paid at last) stands beside it, in `later`, and is not sealed.

mod deleveraging;
mod liquidation;
mod sentence;

pub use deleveraging::CutReceipt;
pub use liquidation::{LiquidationReceipt, Totals};

use super::reader::{LAST, Reader, number};
use super::sums::start_of;
use super::{HistoryError, integer};
use rusqlite::{OptionalExtension, params};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// Which receipt: `liquidation-7` is that of a liquidation, `adl-93` that of the cut that is event 93.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReceiptId {
    /// Of a liquidation.
    Liquidation(u64),
    /// Of a cut, by the number of its event.
    Adl(u64),
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Liquidation(number) => write!(formatter, "liquidation-{number}"),
            Self::Adl(number) => write!(formatter, "adl-{number}"),
        }
    }
}

/// Not the name of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a receipt is named liquidation-<number> or adl-<number>")]
pub struct NotAReceipt;

impl FromStr for ReceiptId {
    type Err = NotAReceipt;

    fn from_str(text: &str) -> Result<Self, NotAReceipt> {
        let (kind, digits) = text.split_once('-').ok_or(NotAReceipt)?;
        let number = digits.parse().map_err(|_| NotAReceipt)?;
        let found = match kind {
            "liquidation" => Self::Liquidation(number),
            "adl" => Self::Adl(number),
            _ => return Err(NotAReceipt),
        };
        // One name for one receipt.
        (found.to_string() == text).then_some(found).ok_or(NotAReceipt)
    }
}

impl Serialize for ReceiptId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Receipt {
    /// Of a liquidation.
    Liquidation(Box<LiquidationReceipt>),
    /// Of a cut.
    Adl(Box<CutReceipt>),
}

impl Receipt {
    /// When what it is about has ended.
    pub fn ended(&self) -> Option<u64> {
        match self {
            Self::Liquidation(receipt) => receipt.ended,
            Self::Adl(receipt) => Some(receipt.time),
        }
    }

    /// Whose it is.
    pub fn account(&self) -> &str {
        match self {
            Self::Liquidation(receipt) => &receipt.account,
            Self::Adl(receipt) => &receipt.account,
        }
    }
}

impl Reader {
    /// A receipt.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn receipt(&self, id: ReceiptId) -> Result<Option<Receipt>, HistoryError> {
        Ok(match id {
            ReceiptId::Liquidation(id) => self.liquidation(id)?.map(|found| Receipt::Liquidation(Box::new(found))),
            ReceiptId::Adl(event) => self.deleveraging(event)?.map(|found| Receipt::Adl(Box::new(found))),
        })
    }

    /// What is proven of a receipt: without what came after its day, and without the shares of others in a cut, which
    /// the receipt of the liquidation proves for all of them.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn sealed_receipt(&self, id: ReceiptId) -> Result<Option<Receipt>, HistoryError> {
        Ok(match id {
            ReceiptId::Liquidation(id) => self.liquidation(id)?.map(|mut found| {
                found.later.clear();
                Receipt::Liquidation(Box::new(found))
            }),
            ReceiptId::Adl(event) => self.cut(event)?.map(|found| Receipt::Adl(Box::new(found))),
        })
    }

    /// The receipts of a UTC day: liquidations that ended in it and cuts made in it, in the order of the events that
    /// ended or made them.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn receipts_of(&self, day: u64) -> Result<Vec<ReceiptId>, HistoryError> {
        let mut found = Vec::new();
        for (kind, cut) in [("liquidation_ended", false), ("deleveraged", true)] {
            let sql = "SELECT event, liquidation FROM events INDEXED BY events_of_type
                WHERE type = ? AND event >= ? AND event < ? ORDER BY event";
            let mut statement = self.db.prepare_cached(sql)?;
            let (from, to) = (integer(self.first_event(start_of(day))?), integer(self.end_of(day)?));
            let rows = statement.query_map(params![kind, from, to], |row| {
                let (event, liquidation) = (number(row, 0)?, number(row, 1)?);
                Ok((event, if cut { ReceiptId::Adl(event) } else { ReceiptId::Liquidation(liquidation) }))
            })?;
            for row in rows {
                found.push(row?);
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, receipt)| receipt).collect())
    }

    /// The number that the events after a day begin with.
    pub(super) fn end_of(&self, day: u64) -> Result<u64, HistoryError> {
        self.first_event(start_of(day.saturating_add(1)))
    }

    /// The bodies of the events of a liquidation, with their numbers.
    fn told(&self, liquidation: u64) -> Result<Vec<(u64, Value)>, HistoryError> {
        let sql =
            "SELECT event, body FROM events INDEXED BY events_of_liquidation WHERE liquidation = ? ORDER BY event";
        let mut statement = self.db.prepare_cached(sql)?;
        let rows =
            statement.query_map([integer(liquidation)], |row| Ok((number(row, 0)?, row.get::<_, String>(1)?)))?;
        rows.map(|row| row.map_err(HistoryError::from).and_then(|(event, body)| Ok((event, value(&body)?)))).collect()
    }

    /// The mark that was in force in a market at an event of a tick that came of it.
    fn mark_at(&self, market: &str, event: u64) -> Result<Option<Value>, HistoryError> {
        let sql = "SELECT body FROM marks WHERE market = ? AND event <= ? ORDER BY event DESC LIMIT 1";
        let mut statement = self.db.prepare_cached(sql)?;
        let found: Option<String> =
            statement.query_row(params![market, integer(event)], |row| row.get(0)).optional()?;
        found.as_deref().map(value).transpose()
    }
}

/// One past the events that a receipt knows of, where what it is about has ended at a time.
fn sealed_at(reader: &Reader, ended: Option<u64>) -> Result<u64, HistoryError> {
    ended.map_or(Ok(LAST), |ended| reader.end_of(super::day_of(ended)))
}

pub(super) fn value(body: &str) -> Result<Value, HistoryError> {
    let unreadable = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    Ok(serde_json::from_str(body).map_err(unreadable)?)
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn whole(body: &Value, name: &str) -> u64 {
    body.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// A figure; zero where there is none.
fn figure(body: &Value, name: &str) -> Decimal {
    text(body, name).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Figures are far below what a decimal holds; a sum that did not fit would stand still.
pub(super) fn plus(sum: Decimal, part: Decimal) -> Decimal {
    sum.checked_add(part).unwrap_or(sum)
}

pub(super) fn minus(sum: Decimal, part: Decimal) -> Decimal {
    sum.checked_sub(part).unwrap_or(sum)
}

pub(super) fn shown(figure: Decimal) -> String {
    figure.normalize().to_string()
}

/// What everybody may know of a cut: whose it was, how much, and why theirs.
fn share(cut: &Value) -> Value {
    let fields =
        ["seq", "time", "account", "market", "leg", "side", "quantity", "price", "policy", "score", "rank", "of"];
    let named = fields.iter().filter_map(|name| Some(((*name).to_owned(), cut.get(name)?.clone())));
    Value::Object(named.collect())
}
