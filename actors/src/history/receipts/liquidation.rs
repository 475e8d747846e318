//! The receipt of a liquidation.

use super::{Reader, ReceiptId, figure, minus, plus, sealed_at, share, shown, text, whole};
use crate::history::HistoryError;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that led to a liquidation and what became of it. What comes from events is as the API shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LiquidationReceipt {
    /// Its name: `liquidation-<number>`.
    pub receipt: String,
    /// The liquidation.
    pub liquidation: u64,
    /// Who was liquidated.
    pub account: String,
    /// The settlement asset.
    pub asset: String,
    /// The market, where the scope is one isolated position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<String>,
    /// When it started.
    pub started: u64,
    /// When it ended; none while it is under way.
    pub ended: Option<u64>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Equity when it started.
    pub equity: String,
    /// And maintenance margin.
    pub maintenance_margin: String,
    /// The hash of the rules that it was decided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Value>,
    /// In one sentence, for the account.
    pub summary: String,
    /// Its sums.
    pub totals: Totals,
    /// The marks in force, with index and sources: `mark_updated`.
    pub marks: Vec<Value>,
    /// `coverage`: asked, granted, and by which layers.
    pub coverage: Vec<Value>,
    /// `liquidation_order`.
    pub orders: Vec<Value>,
    /// `liquidation_settled`, each with `better_by`: per contract, better than the bankruptcy price (worse is negative).
    pub fills: Vec<Value>,
    /// `taken_over`.
    pub taken_over: Vec<Value>,
    /// `claim`, at each change.
    pub claims: Vec<Value>,
    /// `fund_entry`, each with `balance_before`.
    pub fund_entries: Vec<Value>,
    /// `adl_triggered`.
    pub adl: Vec<Value>,
    /// Every account's share in it.
    pub cuts: Vec<Value>,
    /// What happened after the day in which it ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Value>,
}

/// The sums of a liquidation, in the settlement asset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Liquidation fees.
    pub fee: String,
    /// What was fetched above the bankruptcy price.
    pub surplus: String,
    /// What the fund received: fees and its part of the surplus.
    pub to_fund: String,
    /// What of the surplus was left to the account.
    pub to_account: String,
    /// The loss beyond the margin: what was claimed from the fund.
    pub claimed: String,
    /// What of that was paid.
    pub paid: String,
}

/// The same as figures.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) fee: Decimal,
    pub(super) surplus: Decimal,
    pub(super) to_fund: Decimal,
    pub(super) claimed: Decimal,
    pub(super) paid: Decimal,
}

impl Sums {
    pub(super) fn to_account(self) -> Decimal {
        minus(plus(self.fee, self.surplus), self.to_fund)
    }

    fn shown(self) -> Totals {
        Totals {
            fee: shown(self.fee),
            surplus: shown(self.surplus),
            to_fund: shown(self.to_fund),
            to_account: shown(self.to_account()),
            claimed: shown(self.claimed),
            paid: shown(self.paid),
        }
    }
}

impl Reader {
    /// The receipt of a liquidation: of what is known of it as yet, where it is under way.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn liquidation(&self, id: u64) -> Result<Option<LiquidationReceipt>, HistoryError> {
        let told = self.told(id)?;
        let Some((_, first)) = told.iter().find(|(_, body)| text(body, "type") == Some("liquidation_started")) else {
            return Ok(None);
        };
        let owned = |name| text(first, name).map(str::to_owned);
        let mut receipt = LiquidationReceipt {
            receipt: ReceiptId::Liquidation(id).to_string(),
            liquidation: id,
            account: owned("account").unwrap_or_default(),
            asset: owned("asset").unwrap_or_default(),
            market: owned("market"),
            started: whole(first, "time"),
            equity: owned("equity").unwrap_or_default(),
            maintenance_margin: owned("maintenance_margin").unwrap_or_default(),
            rules: first.get("rules").cloned(),
            ..LiquidationReceipt::default()
        };
        let ended = told.iter().find(|(_, body)| text(body, "type") == Some("liquidation_ended"));
        let ended = ended.map(|(_, body)| whole(body, "time"));
        let sealed = sealed_at(self, ended)?;
        let mut marks = BTreeMap::new();
        for (event, body) in told {
            if event >= sealed {
                receipt.later.push(body);
                continue;
            }
            if text(&body, "type") != Some("fund_entry")
                && let Some(market) = text(&body, "market")
                && let Some(mark) = self.mark_at(market, event)?
            {
                marks.insert(whole(&mark, "seq"), mark);
            }
            receipt.sort_in(body);
        }
        receipt.marks = marks.into_values().collect();
        let sums = receipt.sums();
        receipt.totals = sums.shown();
        receipt.summary = super::sentence::liquidation(&receipt, sums);
        Ok(Some(receipt))
    }
}

impl LiquidationReceipt {
    /// Puts an event where it belongs.
    fn sort_in(&mut self, mut body: Value) {
        match text(&body, "type").unwrap_or_default() {
            "liquidation_ended" => {
                self.ended = Some(whole(&body, "time"));
                self.outcome = text(&body, "outcome").map(str::to_owned);
            }
            "coverage" => self.coverage.push(body),
            "liquidation_order" => self.orders.push(body),
            "liquidation_settled" => {
                let better = self.better_by(&body);
                if let (Some(better), Value::Object(fields)) = (better, &mut body) {
                    fields.insert("better_by".to_owned(), Value::String(shown(better)));
                }
                self.fills.push(body);
            }
            "taken_over" => self.taken_over.push(body),
            "claim" => self.claims.push(body),
            "fund_entry" => {
                let before = minus(figure(&body, "balance"), figure(&body, "amount"));
                if let Value::Object(fields) = &mut body {
                    fields.insert("balance_before".to_owned(), Value::String(shown(before)));
                }
                self.fund_entries.push(body);
            }
            "adl_triggered" => self.adl.push(body),
            "deleveraged" => self.cuts.push(share(&body)),
            // The start is the receipt's head.
            _ => {}
        }
    }

    /// Selling above the bankruptcy price is better, and buying below it. The side is that of the fill, or of its order.
    fn better_by(&self, fill: &Value) -> Option<Decimal> {
        let order = || self.orders.iter().find(|order| order.get("order") == fill.get("order"));
        let side = text(fill, "side").or_else(|| text(order()?, "side"))?;
        let (price, bankruptcy) = (figure(fill, "price"), figure(fill, "bankruptcy_price"));
        Some(if side == "sell" { minus(price, bankruptcy) } else { minus(bankruptcy, price) })
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for fill in &self.fills {
            sums.fee = plus(sums.fee, figure(fill, "fee"));
            sums.surplus = plus(sums.surplus, figure(fill, "surplus"));
        }
        for entry in &self.fund_entries {
            if matches!(text(entry, "reason"), Some("liquidation_fee" | "surplus")) {
                sums.to_fund = plus(sums.to_fund, figure(entry, "amount"));
            }
        }
        // A claim is told again whenever more of it is paid.
        let last: BTreeMap<u64, &Value> = self.claims.iter().map(|claim| (whole(claim, "claim"), claim)).collect();
        for claim in last.into_values() {
            sums.claimed = plus(sums.claimed, figure(claim, "amount"));
            sums.paid = plus(sums.paid, figure(claim, "paid"));
        }
        sums
    }
}
