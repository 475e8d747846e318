//! A receipt in one plain sentence, for the account it is about.

use super::deleveraging::CutReceipt;
use super::liquidation::{LiquidationReceipt, Sums};
use super::{figure, plus, shown, text, whole};
use backstop_engine::number::{self, Rounding};
use rust_decimal::Decimal;
use serde_json::Value;

/// The fills of one market together.
#[derive(Default)]
struct Closed<'a> {
    market: &'a str,
    quantity: Decimal,
    /// Σ quantity × price, and the same above the bankruptcy price.
    value: Decimal,
    gain: Decimal,
    /// The one price, if there is no other.
    price: Option<Decimal>,
}

fn closed(fills: &[Value]) -> Vec<Closed<'_>> {
    let mut all: Vec<Closed<'_>> = Vec::new();
    for fill in fills {
        let (market, quantity, price) =
            (text(fill, "market").unwrap_or_default(), figure(fill, "quantity"), figure(fill, "price"));
        let place = match all.iter().position(|closed| closed.market == market) {
            Some(place) => place,
            None => {
                all.push(Closed { market, price: Some(price), ..Closed::default() });
                all.len().saturating_sub(1)
            }
        };
        let Some(closed) = all.get_mut(place) else { continue };
        let times = |figure| quantity.checked_mul(figure).unwrap_or_default();
        closed.quantity = plus(closed.quantity, quantity);
        closed.value = plus(closed.value, times(price));
        closed.gain = plus(closed.gain, times(figure(fill, "better_by")));
        closed.price = closed.price.filter(|known| *known == price);
    }
    all
}

/// A figure to read: to 8 decimals.
fn per(sum: Decimal, quantity: Decimal) -> Decimal {
    number::div(sum, quantity, 8, Rounding::Nearest).unwrap_or_default()
}

impl Closed<'_> {
    /// `at 44000, 1000 worse than the bankruptcy price`.
    fn told(&self) -> String {
        let at = match self.price {
            Some(price) => shown(price),
            None => format!("an average of {}", shown(per(self.value, self.quantity))),
        };
        let better = per(self.gain, self.quantity);
        if better.is_zero() {
            return format!("at {at}, the bankruptcy price");
        }
        let word = if better.is_sign_negative() { "worse" } else { "better" };
        format!("at {at}, {} {word} than the bankruptcy price", shown(better.abs()))
    }
}

fn sum(bodies: &[Value], name: &str) -> Decimal {
    bodies.iter().fold(Decimal::ZERO, |sum, body| plus(sum, figure(body, name).abs()))
}

/// What happened to an account that was liquidated.
pub(super) fn liquidation(receipt: &LiquidationReceipt, sums: Sums) -> String {
    let house = receipt.account.starts_with("house:");
    let (subject, whose) = if house { ("The fund's position was", "it") } else { ("You were", "you") };
    let closed = closed(&receipt.fills);
    let mut parts = Vec::new();
    match closed.as_slice() {
        [] => parts.push(match receipt.outcome.as_deref() {
            None => format!("{subject} below maintenance margin and nothing has been closed yet"),
            Some("restored") => format!("{subject} above maintenance margin again before anything was closed"),
            Some(_) => format!("{subject} below maintenance margin and nothing was left to close"),
        }),
        [one] => parts.push(format!("{subject} closed {}", one.told())),
        several => {
            let each: Vec<String> =
                several.iter().map(|closed| format!("in {} {}", closed.market, closed.told())).collect();
            parts.push(format!("{subject} closed {}", each.join(", and ")));
        }
    }
    if sums.to_fund.is_sign_positive() && !sums.to_fund.is_zero() {
        parts.push(format!("{} went to the fund", shown(sums.to_fund)));
    }
    if sums.to_account().is_sign_positive() && !sums.to_account().is_zero() {
        parts.push(format!("{} was left to {whose}", shown(sums.to_account())));
    }
    if !sums.claimed.is_zero() {
        parts.push(if sums.paid == sums.claimed {
            format!("the fund paid the shortfall of {}", shown(sums.claimed))
        } else {
            format!("of the shortfall of {} {} is paid", shown(sums.claimed), shown(sums.paid))
        });
    }
    if !receipt.taken_over.is_empty() {
        parts.push(format!("the fund took over {}", shown(sum(&receipt.taken_over, "quantity"))));
    }
    if !receipt.cuts.is_empty() {
        let (quantity, count) = (shown(sum(&receipt.cuts, "quantity")), receipt.cuts.len());
        let of = if count == 1 { "1 position" } else { &format!("{count} positions") };
        parts.push(format!("{quantity} was closed against {of} of other accounts by auto-deleveraging"));
    }
    format!("{}.", parts.join("; "))
}

/// What happened to an account that was cut.
pub(super) fn cut(receipt: &CutReceipt) -> String {
    let cut = &receipt.cut;
    let word = |name| text(cut, name).unwrap_or_default();
    let side = if word("side") == "sell" { "short" } else { "long" };
    let why = match receipt.adl.as_ref().and_then(|adl| text(adl, "reason")).unwrap_or_default() {
        "drawdown" => "the fund had fallen too far from its peak to cover",
        "market_cap" => "the market had drawn its share of the fund, which could not cover",
        "unfilled" => "nobody bought",
        _ => "the fund could not cover",
    };
    format!(
        "{} of your {side} position in {} was closed at {}, realising {}, because {why} liquidation {}; you were rank {} of {}.",
        word("quantity"),
        receipt.market,
        word("price"),
        word("realised_pnl"),
        whole(cut, "liquidation"),
        whole(cut, "rank"),
        whole(cut, "of"),
    )
}
