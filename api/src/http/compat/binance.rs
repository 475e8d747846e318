//! Binance, for anybody: markets, prices, funds, tiers and the constants that clients ask for first.
//!
//! | view | from |
//! |---|---|
//! | `exchangeInfo` | the rules; limits of a command as largest price and quantity |
//! | `premiumIndex` | the mark and the index; what is estimated for funding is in no view: empty, as for contracts without |
//! | `insuranceBalance` | one element for each pool, with the markets that draw on it first |
//! | `symbolAdlRisk` | `level` of `/v1/warnings`; `low` before the first mark, when nothing can be liquidated |
//! | `leverageBracket` | the tiers; leverages are whole numbers, so that of a rate of 0.3 is 3 |
//!
//! `fapi` has the linear contracts, `dapi` the inverse ones, where an answer is a list even with a symbol.

use super::access::Asked;
use super::answers::{Cell, Number, Row, clock, or, plain, row};
use super::pools::{Pool, Pools};
use super::refusals::Refusal;
use super::symbols::{self, Listed, Listing, OPEN, decimals};
use super::view;
use crate::http::operations::Operation;
use crate::http::{Api, warned};
use actix_web::{HttpResponse, web};
use backstop_engine::money::limit;
use backstop_engine::number::Overflow;
use backstop_engine::rules::{Kind, Tier};
use backstop_engine::view::WarningLevel;
use rust_decimal::Decimal;

/// The delivery date of every perpetual contract on Binance.
const NO_DELIVERY: u64 = 4_133_404_800_000;
/// Decimals that clients shall assume of assets: which they have is in no view of a venue.
const ASSET_DECIMALS: u64 = 8;

type Answered = Result<HttpResponse, Refusal>;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        view("/compat/binance/fapi/v1/ping", || web::to(ping)),
        view("/compat/binance/dapi/v1/ping", || web::to(ping)),
        view("/compat/binance/fapi/v1/time", || web::to(time)),
        view("/compat/binance/dapi/v1/time", || web::to(time)),
        // The spot market, currencies and margin pairs, of which there are none.
        view("/compat/binance/api/v3/exchangeInfo", || web::to(nothing_listed)),
        view("/compat/binance/sapi/v1/capital/config/getall", || web::to(none)),
        view("/compat/binance/sapi/v1/margin/allPairs", || web::to(none)),
        view("/compat/binance/sapi/v1/margin/isolated/allPairs", || web::to(none)),
        view("/compat/binance/fapi/v1/exchangeInfo", || web::to(exchange_info)),
        view("/compat/binance/dapi/v1/exchangeInfo", || web::to(exchange_info)),
        view("/compat/binance/fapi/v1/premiumIndex", || web::to(premium_index)),
        view("/compat/binance/dapi/v1/premiumIndex", || web::to(premium_index)),
        view("/compat/binance/fapi/v1/insuranceBalance", || web::to(insurance_balance)),
        view("/compat/binance/fapi/v1/symbolAdlRisk", || web::to(symbol_adl_risk)),
        view("/compat/binance/fapi/v1/leverageBracket", || web::to(leverage_bracket)),
        view("/compat/binance/dapi/v2/leverageBracket", || web::to(leverage_bracket)),
    ]
}

async fn ping() -> HttpResponse {
    plain(Row::default())
}

async fn time() -> HttpResponse {
    plain(row! { "serverTime": clock() })
}

async fn none() -> HttpResponse {
    plain(Vec::<Row>::new())
}

fn exchange(time: u64, symbols: Vec<Row>) -> Row {
    let nothing = Vec::<Row>::new;
    row! { "timezone": "UTC", "serverTime": time, "rateLimits": nothing(), "exchangeFilters": nothing(), "symbols": symbols }
}

async fn nothing_listed() -> HttpResponse {
    plain(exchange(0, Vec::new()))
}

/// An object for a symbol, else a list.
fn one_or_all(asked: &Asked, rows: Vec<Row>) -> Cell {
    let alone = asked.text("symbol").is_some() && asked.kind() == Kind::Linear;
    match rows.first().filter(|_| alone) {
        Some(row) => row.clone().into(),
        None => rows.into(),
    }
}

/// The markets of a path; inverse ones may be asked for by their pair, which is the same.
fn chosen<'a>(listing: &'a Listing, asked: &Asked) -> Result<Vec<&'a Listed>, Refusal> {
    let pair = || asked.text("pair").filter(|_| asked.kind() == Kind::Inverse);
    listing.chosen(asked.text("symbol").or_else(pair), Some(asked.kind()))
}

async fn exchange_info(api: web::Data<Api>, asked: Asked) -> Answered {
    let listing = Listing::of(&api).await?;
    let shown = chosen(&listing, &asked)?.into_iter().map(contract).collect::<Result<_, _>>()?;
    Ok(plain(exchange(clock(), shown)))
}

fn contract(listed: &Listed) -> Result<Row, Overflow> {
    let (market, symbol) = (&listed.market, listed.symbol.as_str());
    let (tick, step) = (market.tick_size, listed.amount(market.lot_size)?);
    let price = row! {
        "filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": limit::PRICE.to_string(), "tickSize": tick,
    };
    let lot = row! {
        "filterType": "LOT_SIZE", "minQty": step, "maxQty": limit::QUANTITY.to_string(), "stepSize": step,
    };
    let row = row! {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": NO_DELIVERY,
        "onboardDate": 0_u64,
        "baseAsset": listed.base.as_str(),
        "quoteAsset": listed.quote.as_str(),
        "marginAsset": listed.asset.as_str(),
        "pricePrecision": decimals(tick),
        "quantityPrecision": decimals(step),
        "baseAssetPrecision": ASSET_DECIMALS,
        "quotePrecision": ASSET_DECIMALS,
        "filters": vec![price, lot],
        "orderTypes": Vec::<Row>::new(),
        "timeInForce": Vec::<Row>::new(),
    };
    // A degraded market trades on.
    Ok(if listed.is_linear() {
        row.with("status", "TRADING")
    } else {
        row.with("contractStatus", "TRADING").with("contractSize", Number(market.contract_size.get()))
    })
}

async fn premium_index(api: web::Data<Api>, asked: Asked) -> Answered {
    let listing = Listing::of(&api).await?;
    let premium = |listed: &Listed| {
        let mark = listed.mark.as_ref();
        let index = || or(mark.and_then(|mark| mark.index), "");
        let row = row! {
            "symbol": listed.symbol.as_str(),
            "markPrice": or(mark.and_then(|mark| mark.mark), ""),
            "indexPrice": index(),
            // What it would settle at.
            "estimatedSettlePrice": index(),
            "lastFundingRate": "",
            "interestRate": "",
            "nextFundingTime": 0_u64,
            "time": mark.and_then(|mark| mark.time).unwrap_or(0),
        };
        if listed.is_linear() { row } else { row.with("pair", listed.symbol.as_str()) }
    };
    let rows = chosen(&listing, &asked)?.into_iter().map(premium).collect();
    Ok(plain(one_or_all(&asked, rows)))
}

async fn insurance_balance(api: web::Data<Api>, asked: Asked) -> Answered {
    let (listing, pools) = (Listing::of(&api).await?, Pools::of(&api).await?);
    let balance = |pool: &Pool<'_>| {
        let asset = row! { "asset": pool.asset, "marginBalance": pool.view.balance, "updateTime": pools.time };
        row! { "symbols": pool.symbols.clone(), "assets": vec![asset] }
    };
    let all = pools.all(&listing);
    let Some(symbol) = asked.text("symbol") else { return Ok(plain(all.iter().map(balance).collect::<Vec<_>>())) };
    let listed = listing.find(symbol, None)?;
    let own = all.iter().find(|pool| pool.symbols.contains(&listed.symbol));
    // A pool comes with the first market that draws on it.
    let missing = || row! { "symbols": vec![listed.symbol.clone()], "assets": Vec::<Row>::new() };
    Ok(plain(own.map_or_else(missing, balance)))
}

async fn symbol_adl_risk(api: web::Data<Api>, asked: Asked) -> Answered {
    let listing = Listing::of(&api).await?;
    let (_, warnings) = warned::warnings(&api, None).await?;
    let time = api.progress().time;
    let risk = |listed: &Listed| {
        let warning = warnings.iter().find(|warning| warning.market == listed.market.name);
        let risk = match warning.map(|warning| warning.level) {
            Some(WarningLevel::High) => "high",
            Some(WarningLevel::Medium) => "medium",
            Some(WarningLevel::Low) | None => "low",
        };
        row! { "symbol": listed.symbol.as_str(), "adlRisk": risk, "updateTime": time }
    };
    let rows = chosen(&listing, &asked)?.into_iter().map(risk).collect();
    Ok(plain(one_or_all(&asked, rows)))
}

async fn leverage_bracket(api: web::Data<Api>, asked: Asked) -> Answered {
    let listing = Listing::of(&api).await?;
    let brackets = |listed: &Listed| {
        let rows = listed.tiers().map(|(place, tier)| bracket(listed, place, tier)).collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Overflow>(row! { "symbol": listed.symbol.as_str(), "brackets": rows })
    };
    let rows = chosen(&listing, &asked)?.into_iter().map(brackets).collect::<Result<_, _>>()?;
    Ok(plain(one_or_all(&asked, rows)))
}

fn bracket(listed: &Listed, place: u64, tier: &Tier) -> Result<Row, Overflow> {
    let (cap, floor) = if listed.is_linear() { ("notionalCap", "notionalFloor") } else { ("qtyCap", "qtyFloor") };
    let open = || OPEN.parse::<Decimal>().map_err(|_| Overflow);
    let end = tier.notional_limit.map_or_else(open, |end| Ok(end.get()))?;
    Ok(row! { "bracket": place, "initialLeverage": Number(symbols::leverage(tier.initial_rate, 0)?) }
        .with(cap, Number(end))
        .with(floor, Number(tier.floor.get()))
        .with("maintMarginRatio", Number(tier.maintenance_rate.get()))
        .with("cum", Number(tier.deduction.get())))
}
