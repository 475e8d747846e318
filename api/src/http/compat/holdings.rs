//! Binance, for an account: its positions and their places in the queue of deleveraging, and what was closed by force.
//!
//! The initial margin and the leverage of a position are in no view: its tier's rate times notional, and the leverage of
//! that rate, stand in for them. That is too little, and too much, for an account that has set less leverage. Open orders
//! are not kept by market in a view: `"0"`. `updateTime` is the time of the state.

use super::access::Asked;
use super::answers::{Row, or, plain, row};
use super::refusals::Refusal;
use super::symbols::{self, Listed, Listing, cap};
use super::{forced, own};
use crate::http::Api;
use crate::http::operations::Operation;
use crate::http::reads::{ask, unexpected};
use actix_web::{HttpResponse, web};
use backstop_actors::conductor::{Answer, Query};
use backstop_engine::command::MarginMode;
use backstop_engine::id::{AccountId, Leg, Millis};
use backstop_engine::money::{Money, Notional, Price};
use backstop_engine::number::{Overflow, Rounding};
use backstop_engine::rules::{Kind, Tier};
use backstop_engine::view::PositionView;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        own("/compat/binance/fapi/v1/adlQuantile", || web::to(adl_quantile)),
        own("/compat/binance/dapi/v1/adlQuantile", || web::to(adl_quantile)),
        own("/compat/binance/fapi/v1/positionRisk", || web::to(position_risk)),
        own("/compat/binance/fapi/v2/positionRisk", || web::to(position_risk)),
        own("/compat/binance/fapi/v3/positionRisk", || web::to(position_risk)),
        own("/compat/binance/dapi/v1/positionRisk", || web::to(position_risk)),
        own("/compat/binance/fapi/v1/forceOrders", || web::to(forced::force_orders)),
        own("/compat/binance/dapi/v1/forceOrders", || web::to(forced::force_orders)),
    ]
}

/// An open position with its market.
pub(super) struct Holding<'a> {
    pub(super) listed: &'a Listed,
    pub(super) view: PositionView,
    /// Its size at the mark.
    pub(super) notional: Notional,
    /// The place of its tier, from 1, and the tier.
    pub(super) place: u64,
    pub(super) tier: &'a Tier,
}

impl<'a> Holding<'a> {
    fn new(listed: &'a Listed, view: PositionView) -> Result<Self, Overflow> {
        let market = &listed.market;
        let notional = view.mark.map_or(Ok(Notional::ZERO), |mark| market.notional(view.quantity, mark));
        let notional = notional.map_err(|_| Overflow)?;
        let (place, tier) = listed.tier(notional).ok_or(Overflow)?;
        Ok(Self { listed, view, notional, place, tier })
    }

    /// What its tier asks for.
    pub(super) fn initial_margin(&self) -> Result<Money, Overflow> {
        self.notional.times(self.tier.initial_rate, self.listed.market.asset_scale, Rounding::FromZero)
    }

    fn signed_notional(&self) -> Result<Money, Overflow> {
        let notional = Money::new(self.notional.get());
        if self.view.quantity.is_negative() { Money::ZERO.minus(notional) } else { Ok(notional) }
    }

    fn is_isolated(&self) -> bool {
        self.view.mode == MarginMode::Isolated
    }

    /// Backstop counts 1 to 5, Binance 0 to 4; no place without a mark.
    fn quantile(&self) -> u64 {
        u64::from(self.view.adl_quantile.unwrap_or(1).saturating_sub(1))
    }
}

/// The open positions of an account in one kind of contract, and the time of the state; none of one that is not there.
pub(super) async fn holdings<'a>(
    api: &Api,
    listing: &'a Listing,
    account: AccountId,
    kind: Kind,
) -> Result<(Millis, Vec<Holding<'a>>), Refusal> {
    let answered = ask(api, Query::Account(account)).await?;
    let Answer::Account(view) = answered.answer else { return Err(unexpected().into()) };
    let open = view.into_iter().flat_map(|view| view.positions).filter(|position| !position.quantity.is_zero());
    let listed = open.filter_map(|position| Some((listing.named(&position.market)?, position)));
    let of_kind = listed.filter(|(listed, _)| listed.is_of(Some(kind)));
    let holdings = of_kind.map(|(listed, position)| Holding::new(listed, position)).collect::<Result<_, _>>()?;
    Ok((answered.time, holdings))
}

/// The name of a leg.
pub(super) fn side(leg: Leg) -> &'static str {
    match leg {
        Leg::Net => "BOTH",
        Leg::Long => "LONG",
        Leg::Short => "SHORT",
    }
}

/// One element for each symbol. `HEDGE` marks cross positions of hedge mode, and `BOTH` isolated ones: signs, no values.
async fn adl_quantile(api: web::Data<Api>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let account = asked.account()?;
    let listing = Listing::of(&api).await?;
    let symbol = asked.text("symbol").map(|symbol| listing.find(symbol, Some(asked.kind()))).transpose()?;
    let (_, holdings) = holdings(&api, &listing, account, asked.kind()).await?;
    let mut shown: Vec<(&str, Row)> = Vec::new();
    for holding in holdings.iter().filter(|holding| is_chosen(holding, symbol)) {
        let name = holding.listed.symbol.as_str();
        let legs = match shown.iter().position(|(known, _)| *known == name) {
            Some(place) => shown.remove(place).1,
            None => row! { "LONG": 0_u64, "SHORT": 0_u64 },
        };
        let legs = legs.with(side(holding.view.leg), holding.quantile());
        let legs = match (holding.view.leg, holding.is_isolated()) {
            (Leg::Net, _) => legs,
            (_, false) => legs.with("HEDGE", 0_u64),
            (_, true) => legs.with("BOTH", 0_u64),
        };
        shown.push((name, legs));
    }
    let rows: Vec<Row> = shown.into_iter().map(|(name, legs)| row! { "symbol": name, "adlQuantile": legs }).collect();
    Ok(plain(rows))
}

fn is_chosen(holding: &Holding<'_>, symbol: Option<&Listed>) -> bool {
    symbol.is_none_or(|listed| listed.symbol == holding.listed.symbol)
}

/// v3, or the older list, which `fapi` has as v2 (and v1) and `dapi` as v1.
async fn position_risk(api: web::Data<Api>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let account = asked.account()?;
    let listing = Listing::of(&api).await?;
    let name = asked.text("symbol").or_else(|| asked.text("pair").filter(|_| asked.kind() == Kind::Inverse));
    let symbol = name.map(|symbol| listing.find(symbol, Some(asked.kind()))).transpose()?;
    let asset = asked.text("marginAsset");
    let (time, holdings) = holdings(&api, &listing, account, asked.kind()).await?;
    let chosen = holdings.iter().filter(|holding| is_chosen(holding, symbol));
    let chosen = chosen.filter(|holding| asset.is_none_or(|asset| holding.listed.asset == asset));
    let shown = |holding: &Holding<'_>| {
        let of_all = risk(holding, time)?;
        Ok::<_, Overflow>(of_all.and(if asked.is_version("v3") { newer(holding)? } else { older(holding)? }))
    };
    Ok(plain(chosen.map(shown).collect::<Result<Vec<_>, _>>()?))
}

/// What every version has. By `isolatedMargin` of `"0"` clients tell a cross position.
fn risk(holding: &Holding<'_>, time: Millis) -> Result<Row, Overflow> {
    let (view, listed) = (&holding.view, holding.listed);
    let wallet = view.isolated_margin.unwrap_or_default();
    let margin = if holding.is_isolated() { wallet.plus(view.unrealised_pnl)? } else { Money::ZERO };
    let price = |price: Option<Price>| or(price, "0");
    // A row with `notional` is one of a linear contract to clients.
    let notional = if listed.is_linear() { "notional" } else { "notionalValue" };
    Ok(row! {
        "symbol": listed.symbol.as_str(),
        "positionSide": side(view.leg),
        "positionAmt": listed.amount(view.quantity)?,
        "entryPrice": price(view.entry_price),
        // Fees are no part of a cost basis.
        "breakEvenPrice": price(view.entry_price),
        "markPrice": price(view.mark),
        "unRealizedProfit": view.unrealised_pnl,
        "liquidationPrice": price(view.liquidation_price),
        "isolatedMargin": margin,
        "isolatedWallet": wallet,
        "updateTime": time,
    }
    .with(notional, holding.signed_notional()?))
}

fn newer(holding: &Holding<'_>) -> Result<Row, Overflow> {
    let initial = holding.initial_margin()?;
    Ok(row! {
        "marginAsset": holding.listed.asset.as_str(),
        "initialMargin": initial,
        "maintMargin": holding.view.maintenance_margin,
        "positionInitialMargin": initial,
        "openOrderInitialMargin": "0",
        "adl": holding.quantile(),
        "bidNotional": "0",
        "askNotional": "0",
    })
}

fn older(holding: &Holding<'_>) -> Result<Row, Overflow> {
    let row = row! {
        "leverage": symbols::leverage(holding.tier.initial_rate, 0)?.to_string(),
        "marginType": if holding.is_isolated() { "isolated" } else { "cross" },
        "isAutoAddMargin": "false",
    };
    Ok(if holding.listed.is_linear() {
        row.with("maxNotionalValue", cap(holding.tier))
    } else {
        row.with("maxQty", cap(holding.tier)).with("maintMargin", holding.view.maintenance_margin)
    })
}
