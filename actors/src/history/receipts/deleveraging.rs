//! The receipt of a cut by auto-deleveraging.

use super::{LAST, Reader, ReceiptId, share, text, value, whole};
use crate::history::{HistoryError, integer};
use rusqlite::OptionalExtension;
use serde::Serialize;
use serde_json::Value;

/// Why a position was cut, by which rule, and who else was. What comes from events is as the API shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CutReceipt {
    /// Its name: `adl-<event>`.
    pub receipt: String,
    /// The number of the event.
    pub event: u64,
    /// When.
    pub time: u64,
    /// Who was cut.
    pub account: String,
    /// The market.
    pub market: String,
    /// The hash of the rules that it was decided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Value>,
    /// In one sentence, for the account.
    pub summary: String,
    /// `deleveraged`: rank, score, policy, what the score was computed from, and the fund's balance then.
    pub cut: Value,
    /// The mark in force, with index and sources: `mark_updated`.
    pub mark: Option<Value>,
    /// `adl_triggered`: how much had to be closed, and why.
    pub adl: Option<Value>,
    /// `liquidation_started` of the liquidation that it covered.
    pub liquidation: Option<Value>,
    /// The receipt of that liquidation: there everybody's share is proven.
    pub covers: String,
    /// Everybody's share in it, this one's among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Value>,
}

impl Reader {
    /// The receipt of the cut that is an event.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn deleveraging(&self, event: u64) -> Result<Option<CutReceipt>, HistoryError> {
        let Some(mut receipt) = self.cut(event)? else { return Ok(None) };
        let begun = receipt.adl.as_ref().map_or(event, |adl| whole(adl, "seq"));
        let next = "SELECT event FROM events INDEXED BY events_of_type WHERE type = 'adl_triggered' AND event > ?
            ORDER BY event LIMIT 1";
        let next = self.db.prepare_cached(next)?.query_row([integer(event)], |row| super::number(row, 0)).optional()?;
        // Each trigger is followed by its cuts.
        let sql = "SELECT body FROM events INDEXED BY events_of_type
            WHERE type = 'deleveraged' AND event > ? AND event < ? ORDER BY event";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([integer(begun), integer(next.unwrap_or(LAST))])?;
        while let Some(row) = rows.next()? {
            receipt.shares.push(share(&value(&row.get::<_, String>(0)?)?));
        }
        Ok(Some(receipt))
    }

    /// Without the shares.
    pub(super) fn cut(&self, event: u64) -> Result<Option<CutReceipt>, HistoryError> {
        let one = |sql: &str, number: u64| -> Result<Option<Value>, HistoryError> {
            let mut statement = self.db.prepare_cached(sql)?;
            let body: Option<String> = statement.query_row([integer(number)], |row| row.get(0)).optional()?;
            body.as_deref().map(value).transpose()
        };
        let Some(cut) = one("SELECT body FROM events WHERE event = ? AND type = 'deleveraged'", event)? else {
            return Ok(None);
        };
        let adl = "SELECT body FROM events INDEXED BY events_of_type WHERE type = 'adl_triggered' AND event < ?
            ORDER BY event DESC LIMIT 1";
        // A liquidation begins with its start.
        let started = "SELECT body FROM events INDEXED BY events_of_liquidation WHERE liquidation = ?
            ORDER BY event LIMIT 1";
        let owned = |name| text(&cut, name).unwrap_or_default().to_owned();
        let mut receipt = CutReceipt {
            receipt: ReceiptId::Adl(event).to_string(),
            event,
            time: whole(&cut, "time"),
            account: owned("account"),
            market: owned("market"),
            rules: cut.get("rules").cloned(),
            mark: self.mark_at(&owned("market"), event)?,
            adl: one(adl, event)?,
            liquidation: one(started, whole(&cut, "liquidation"))?,
            covers: ReceiptId::Liquidation(whole(&cut, "liquidation")).to_string(),
            cut,
            ..CutReceipt::default()
        };
        receipt.summary = super::sentence::cut(&receipt);
        Ok(Some(receipt))
    }
}
