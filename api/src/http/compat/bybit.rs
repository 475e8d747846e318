//! Bybit, for anybody: markets, funds, the alert of deleveraging, tiers and prices.
//!
//! | view | from |
//! |---|---|
//! | `instruments-info` | the rules; `spot` and `option` are known and empty |
//! | `insurance` | one row for each pool; `value` is in dollars, and so empty for assets that are none |
//! | `adlAlert` | the market's own pool and its drawdown rule; `pnlRatio` is the fall of the whole pool from its peak |
//! | `risk-limit` | the tiers, all on one page |
//! | `tickers` | mark and index; funding, last price and open interest are in no view: empty |

use super::access::Asked;
use super::answers::{Row, clock, enveloped, or, row};
use super::pools::Pools;
use super::refusals::Refusal;
use super::symbols::{Listed, Listing, cap, decimals, leverage_text};
use super::view;
use crate::http::Api;
use crate::http::operations::Operation;
use actix_web::{HttpResponse, web};
use backstop_engine::money::{Money, Rate, limit};
use backstop_engine::number::{self, Overflow, Rounding};
use backstop_engine::rules::{Kind, Tier};
use backstop_engine::view::PoolView;

/// Minutes between funding payments, as long as no view tells them.
const FUNDING_INTERVAL: u64 = 480;

type Answered = Result<HttpResponse, Refusal>;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        view("/compat/bybit/v5/market/time", || web::to(time)),
        // Of currencies there are none.
        view("/compat/bybit/v5/asset/coin/query-info", || web::to(coins)),
        view("/compat/bybit/v5/market/instruments-info", || web::to(instruments_info)),
        view("/compat/bybit/v5/market/insurance", || web::to(insurance)),
        view("/compat/bybit/v5/market/adlAlert", || web::to(adl_alert)),
        view("/compat/bybit/v5/market/risk-limit", || web::to(risk_limit)),
        view("/compat/bybit/v5/market/tickers", || web::to(tickers)),
    ]
}

async fn time() -> HttpResponse {
    let millis = clock();
    let seconds = millis.checked_div(1_000).unwrap_or_default();
    enveloped(row! { "timeSecond": seconds.to_string(), "timeNano": format!("{millis}000000") })
}

async fn coins() -> HttpResponse {
    enveloped(row! { "rows": Vec::<Row>::new() })
}

/// A category: a kind of contract, or none of those we have.
pub(super) fn category(asked: &Asked) -> Result<(&'static str, Option<Kind>), Refusal> {
    match asked.text("category") {
        Some("linear") => Ok(("linear", Some(Kind::Linear))),
        Some("inverse") => Ok(("inverse", Some(Kind::Inverse))),
        Some("spot") => Ok(("spot", None)),
        Some("option") => Ok(("option", None)),
        Some(_) => Err(Refusal::Malformed("category")),
        None => Err(Refusal::Missing("category")),
    }
}

/// The markets of a category, or the one of a symbol.
fn chosen<'a>(listing: &'a Listing, asked: &Asked, kind: Option<Kind>) -> Result<Vec<&'a Listed>, Refusal> {
    match kind {
        Some(_) => listing.chosen(asked.text("symbol"), kind),
        None => Ok(Vec::new()),
    }
}

/// A list of a category, which ends with its first page.
pub(super) fn list(category: &'static str, rows: Vec<Row>) -> HttpResponse {
    enveloped(row! { "category": category, "nextPageCursor": "", "list": rows })
}

async fn instruments_info(api: web::Data<Api>, asked: Asked) -> Answered {
    let (category, kind) = category(&asked)?;
    let listing = Listing::of(&api).await?;
    let chosen = chosen(&listing, &asked, kind)?;
    // All trade. Clients ask for those before their launch too, and join what they get.
    let trading = asked.text("status").is_none_or(|status| status == "Trading");
    let rows = chosen.into_iter().filter(|_| trading).map(instrument).collect::<Result<_, _>>()?;
    Ok(list(category, rows))
}

fn instrument(listed: &Listed) -> Result<Row, Overflow> {
    let market = &listed.market;
    let (tick, step) = (market.tick_size, listed.size(market.lot_size)?.to_string());
    let most = listed.tiers().next().map_or(Ok(String::new()), |(_, tier)| leverage_text(tier.initial_rate))?;
    // Clients take the least quantity of an inverse contract for its size: quantities are in the quote.
    let (name, least) = match market.kind {
        Kind::Linear => ("LinearPerpetual", step.clone()),
        Kind::Inverse => ("InversePerpetual", "1".to_owned()),
    };
    Ok(row! {
        "symbol": listed.symbol.as_str(),
        "contractType": name,
        "status": "Trading",
        "baseCoin": listed.base.as_str(),
        "quoteCoin": listed.quote.as_str(),
        "settleCoin": listed.asset.as_str(),
        "launchTime": "0",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": decimals(tick).to_string(),
        "leverageFilter": row! { "minLeverage": "1", "maxLeverage": most, "leverageStep": "0.01" },
        "priceFilter": row! { "minPrice": tick, "maxPrice": limit::PRICE.to_string(), "tickSize": tick },
        "lotSizeFilter": row! { "minOrderQty": least, "maxOrderQty": limit::QUANTITY.to_string(), "qtyStep": step },
        "unifiedMarginTrade": true,
        "fundingInterval": FUNDING_INTERVAL,
    })
}

async fn insurance(api: web::Data<Api>, asked: Asked) -> Answered {
    let (listing, pools) = (Listing::of(&api).await?, Pools::of(&api).await?);
    let all = pools.all(&listing).into_iter();
    let wanted = all.filter(|pool| asked.text("coin").is_none_or(|coin| coin == pool.asset));
    let rows: Vec<Row> = wanted
        .map(|pool| {
            let balance = pool.view.balance;
            let value = Some(balance).filter(|_| pool.asset.starts_with("USD"));
            row! { "coin": pool.asset, "symbols": pool.symbols.join(","), "balance": balance, "value": or(value, "") }
        })
        .collect();
    Ok(enveloped(row! { "updatedTime": pools.time.to_string(), "list": rows }))
}

async fn adl_alert(api: web::Data<Api>, asked: Asked) -> Answered {
    let (listing, pools) = (Listing::of(&api).await?, Pools::of(&api).await?);
    let alert = |listed: &Listed| {
        // A pool comes with the first market that draws on it.
        let (balance, peak) = pools.own(listed).map_or_else(Default::default, |pool| (pool.balance, pool.peak));
        let rule = listed.market.adl.drawdown.as_ref();
        Ok::<_, Overflow>(row! {
            "coin": listed.asset.as_str(),
            "symbol": listed.symbol.as_str(),
            "balance": balance,
            "maxBalance": peak,
            "insurancePnlRatio": or(rule.map(|rule| Rate::ZERO.minus(rule.start)).transpose()?, ""),
            "pnlRatio": pools.own(listed).map_or(Ok(Rate::ZERO), fall)?,
            // The rule holds at any balance.
            "adlTriggerThreshold": "0",
            "adlStopRatio": or(rule.map(|rule| Rate::ZERO.minus(rule.stop)).transpose()?, ""),
        })
    };
    let chosen = listing.chosen(asked.text("symbol"), None)?;
    let rows = chosen.into_iter().map(alert).collect::<Result<Vec<_>, _>>()?;
    Ok(enveloped(row! { "updatedTime": pools.time.to_string(), "list": rows }))
}

/// How far a pool is below its peak, as a fraction: zero or below.
fn fall(pool: &PoolView) -> Result<Rate, Overflow> {
    if !pool.peak.is_positive() {
        return Ok(Rate::ZERO);
    }
    let lost: Money = pool.balance.minus(pool.peak)?;
    number::div(lost.get(), pool.peak.get(), 6, Rounding::Nearest).map(Rate::new)
}

async fn risk_limit(api: web::Data<Api>, asked: Asked) -> Answered {
    let (category, kind) = category(&asked)?;
    if kind.is_none() {
        return Err(Refusal::Malformed("category"));
    }
    let listing = Listing::of(&api).await?;
    let chosen = chosen(&listing, &asked, kind)?;
    let tiers = chosen.into_iter().flat_map(|listed| listed.tiers().map(move |(place, tier)| (listed, place, tier)));
    let rows = tiers.map(|(listed, place, tier)| limits(listed, place, tier)).collect::<Result<_, _>>()?;
    Ok(list(category, rows))
}

fn limits(listed: &Listed, place: u64, tier: &Tier) -> Result<Row, Overflow> {
    let deduction = Some(tier.deduction).filter(|_| place > 1);
    Ok(row! {
        "id": place,
        "symbol": listed.symbol.as_str(),
        "riskLimitValue": cap(tier),
        "maintenanceMargin": tier.maintenance_rate,
        "initialMargin": tier.initial_rate,
        "isLowestRisk": u64::from(place == 1),
        "maxLeverage": leverage_text(tier.initial_rate)?,
        "mmDeduction": or(deduction, ""),
    })
}

async fn tickers(api: web::Data<Api>, asked: Asked) -> Answered {
    let (category, kind) = category(&asked)?;
    let listing = Listing::of(&api).await?;
    let ticker = |listed: &Listed| {
        let mark = listed.mark.as_ref();
        row! {
            "symbol": listed.symbol.as_str(),
            "lastPrice": "",
            "indexPrice": or(mark.and_then(|mark| mark.index), ""),
            "markPrice": or(mark.and_then(|mark| mark.mark), ""),
            "openInterest": "",
            // Clients take a row without it for spot.
            "openInterestValue": "0",
            "fundingRate": "",
            "nextFundingTime": "",
        }
    };
    let rows: Vec<Row> = chosen(&listing, &asked, kind)?.into_iter().map(ticker).collect();
    Ok(enveloped(row! { "category": category, "list": rows }))
}
