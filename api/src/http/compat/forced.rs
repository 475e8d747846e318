//! Binance's `forceOrders`: what was closed of an account by force, the newest orders, oldest of them first.
//!
//! | `autoCloseType` | an order is |
//! |---|---|
//! | `LIQUIDATION` | the settlements (`liquidation_settled`) of one order of a liquidation of the account |
//! | `ADL` | one `deleveraged` of the account |
//!
//! `orderId` is the number of its first event, for the numbers of orders and of events would meet. What was asked for and not
//! filled is not kept, so `origQty` is what was executed; nor is the leg of a settlement: `BOTH`. The part of a liquidation
//! that ended in deleveraging is a settlement to the liquidated account, and a cut to the other. At most the last
//! [`EVENTS_MAX`] events are looked at, before `endTime` where one is given.

use super::access::Asked;
use super::answers::{Row, plain, row};
use super::holdings::side;
use super::refusals::Refusal;
use super::symbols::{Listed, Listing};
use crate::http::Api;
use crate::http::problem::{Kind, Problem};
use actix_web::{HttpResponse, web};
use backstop_actors::history::{HistoryError, Item, Look, Reader, Topic};
use backstop_engine::id::{Leg, Millis, Side};
use backstop_engine::money::{Money, Price, Quantity};
use backstop_engine::number::{self, Overflow, Rounding, SCALE_MAX};
use backstop_engine::rules;
use rust_decimal::Decimal;
use serde::Deserialize;

/// Settlements and cuts that are looked at.
const EVENTS_MAX: usize = 1_000;
/// Orders that are shown when nobody says how many, and at most.
const ORDERS: (u64, u64) = (50, 100);
/// Decimals of a mean price and of a value.
const DECIMALS: u32 = 8;
/// Above every number of an event.
const LAST: u64 = 1 << 62;

/// A settlement or a cut, as the history shows it.
#[derive(Deserialize)]
struct Forced {
    seq: u64,
    time: Millis,
    market: String,
    /// Of a settlement: of the order. Of a cut: of the position.
    side: Side,
    leg: Option<Leg>,
    quantity: Quantity,
    price: Price,
    bankruptcy_price: Option<Price>,
    /// None for a cut.
    order: Option<String>,
}

/// An order in the making.
struct Order {
    first: Forced,
    time: Millis,
    quantity: Decimal,
    value: Decimal,
}

fn topic(account: &str, market: Option<&str>, types: Option<&str>) -> Result<Topic, Refusal> {
    let types: &[&str] = match types {
        None => &["liquidation_settled", "deleveraged"],
        Some("LIQUIDATION") => &["liquidation_settled"],
        Some("ADL") => &["deleveraged"],
        Some(_) => return Err(Refusal::Malformed("autoCloseType")),
    };
    Ok(Topic {
        types: types.iter().map(|kind| (*kind).to_owned()).collect(),
        account: Some(account.to_owned()),
        market: market.map(str::to_owned),
        asset: None,
    })
}

/// The last events of a topic until a time.
fn newest(reader: &Reader, topic: &Topic, until: Option<Millis>) -> Result<Vec<Item>, HistoryError> {
    let look = Look::Events(vec![topic.clone()]);
    let mut first = match until {
        Some(until) => first_after(reader, &look, until)?,
        None => LAST,
    };
    let end = first;
    for _ in 0..EVENTS_MAX {
        match reader.previous(topic, first)? {
            Some(before) => first = before,
            None => break,
        }
    }
    let (items, _) = reader.page(&look, first.saturating_sub(1), EVENTS_MAX)?;
    Ok(items.into_iter().filter(|item| item.number < end).collect())
}

/// A number that every event after a time has at least. Times rise with the numbers, so halving what is left finds it.
fn first_after(reader: &Reader, look: &Look, time: Millis) -> Result<u64, HistoryError> {
    let (mut low, mut high) = (1_u64, LAST);
    while low < high {
        let middle = low.midpoint(high);
        let (found, _) = reader.page(look, middle.saturating_sub(1), 1)?;
        let found = found.first().and_then(|item| Some((item.number, read(item)?.time)));
        match found {
            Some((number, at)) if at <= time => low = number.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok(low)
}

fn read(item: &Item) -> Option<Forced> {
    serde_json::from_str(item.body.get()).ok()
}

pub(super) async fn force_orders(api: web::Data<Api>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let account = asked.account()?;
    let (from, until) = (asked.whole("startTime")?.unwrap_or(0), asked.whole("endTime")?);
    let limit = asked.whole("limit")?.unwrap_or(ORDERS.0).min(ORDERS.1);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or(Refusal::Malformed("limit"))?;
    let listing = Listing::of(&api).await?;
    let symbol = asked.text("symbol").map(|symbol| listing.find(symbol, Some(asked.kind()))).transpose()?;
    let market = symbol.map(|listed| listed.market.name.as_str());
    let topic = topic(&account.0, market, asked.text("autoCloseType"))?;
    let found = api.topology.publisher.look_up(move |reader| newest(reader, &topic, until)).await?;
    let (_, items) = found.map_err(Problem::from)?;
    let mut orders: Vec<Order> = Vec::new();
    for item in &items {
        let unreadable = || Problem::new(Kind::Internal, format!("event {} cannot be read", item.number));
        let forced = read(item).ok_or_else(unreadable)?;
        let Some(listed) = listing.named(&forced.market).filter(|listed| listed.is_of(Some(asked.kind()))) else {
            continue;
        };
        enter(&mut orders, listed, forced)?;
    }
    orders.retain(|order| order.first.time >= from);
    let shown = orders.split_off(orders.len().saturating_sub(limit));
    let shown = shown.iter().filter_map(|order| Some(order.row(listing.named(&order.first.market)?)));
    Ok(plain(shown.collect::<Result<Vec<_>, _>>()?))
}

/// Adds a fill to its order, or begins one.
fn enter(orders: &mut Vec<Order>, listed: &Listed, forced: Forced) -> Result<(), Overflow> {
    let size = listed.size(forced.quantity.abs())?.get();
    let value = match listed.market.kind {
        rules::Kind::Linear => number::mul(size, forced.price.get(), SCALE_MAX, Rounding::Nearest)?,
        rules::Kind::Inverse => number::div(size, forced.price.get(), SCALE_MAX, Rounding::Nearest)?,
    };
    let same = |order: &&mut Order| forced.order.is_some() && order.first.order == forced.order;
    match orders.iter_mut().rev().find(same) {
        Some(order) => {
            order.quantity = number::add(order.quantity, forced.quantity.abs().get())?;
            order.value = number::add(order.value, value)?;
            order.time = forced.time;
        }
        None => {
            let (time, quantity) = (forced.time, forced.quantity.abs().get());
            orders.push(Order { first: forced, time, quantity, value });
        }
    }
    Ok(())
}

impl Order {
    fn row(&self, listed: &Listed) -> Result<Row, Overflow> {
        let first = &self.first;
        let quantity = Quantity::new(self.quantity);
        let (size, amount) = (listed.size(quantity)?.get(), listed.amount(quantity)?);
        // The price at which the whole is worth as much: for inverse contracts not the mean of the prices.
        let mean = match listed.market.kind {
            rules::Kind::Linear => number::div(self.value, size, DECIMALS, Rounding::Nearest)?,
            rules::Kind::Inverse => number::div(size, self.value, DECIMALS, Rounding::Nearest)?,
        };
        let value = Money::new(number::quantise(self.value, DECIMALS, Rounding::Nearest)?);
        let (client, side_of_order) = match &first.order {
            Some(order) => (format!("autoclose-{order}"), first.side),
            None => ("adl_autoclose".to_owned(), first.side.opposite()),
        };
        let row = row! {
            "orderId": first.seq,
            "symbol": listed.symbol.as_str(),
            "status": "FILLED",
            "clientOrderId": client,
            "price": first.bankruptcy_price.unwrap_or(first.price),
            "avgPrice": Price::new(mean),
            "origQty": amount,
            "executedQty": amount,
            "timeInForce": "IOC",
            "type": "LIMIT",
            "reduceOnly": true,
            "closePosition": false,
            "side": if side_of_order == Side::Buy { "BUY" } else { "SELL" },
            "positionSide": side(first.leg.unwrap_or(Leg::Net)),
            "stopPrice": "0",
            "workingType": "MARK_PRICE",
            "origType": "LIMIT",
            "time": first.time,
            "updateTime": self.time,
        };
        Ok(if listed.is_linear() {
            row.with("cumQuote", value)
        } else {
            row.with("cumBase", value).with("pair", listed.symbol.as_str()).with("priceProtect", false)
        })
    }
}
