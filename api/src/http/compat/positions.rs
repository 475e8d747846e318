//! Bybit's `position/list`: the positions of an account.
//!
//! Initial margin and leverage are those of the position's tier, see [`super::holdings`]. `adlRankIndicator` is
//! `adl_quantile` itself, 0 without one. `updatedTime` is the time of the state.

use super::access::Asked;
use super::answers::{Row, or, row};
use super::bybit::{category, list};
use super::holdings::{Holding, holdings};
use super::own;
use super::refusals::Refusal;
use super::symbols::{Listing, cap, leverage_text};
use crate::http::Api;
use crate::http::operations::Operation;
use actix_web::{HttpResponse, web};
use backstop_engine::command::MarginMode;
use backstop_engine::id::{Leg, Millis};
use backstop_engine::number::Overflow;

pub(super) fn operations() -> Vec<Operation> {
    vec![own("/compat/bybit/v5/position/list", || web::to(position_list))]
}

async fn position_list(api: web::Data<Api>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let account = asked.account()?;
    let (category, kind) = category(&asked)?;
    let Some(kind) = kind else { return Ok(list(category, Vec::new())) };
    let listing = Listing::of(&api).await?;
    let symbol = asked.text("symbol").map(|symbol| listing.find(symbol, Some(kind))).transpose()?;
    let coin = asked.text("settleCoin");
    let (time, holdings) = holdings(&api, &listing, account, kind).await?;
    let chosen = holdings.iter().filter(|holding| {
        symbol.is_none_or(|listed| listed.symbol == holding.listed.symbol)
            && coin.is_none_or(|coin| coin == holding.listed.asset)
    });
    let rows = chosen.map(|holding| shown(holding, time)).collect::<Result<_, _>>()?;
    Ok(list(category, rows))
}

fn shown(holding: &Holding<'_>, time: Millis) -> Result<Row, Overflow> {
    let (view, listed) = (&holding.view, holding.listed);
    Ok(row! {
        "positionIdx": match view.leg {
            Leg::Net => 0_u64,
            Leg::Long => 1,
            Leg::Short => 2,
        },
        "riskId": holding.place,
        "riskLimitValue": cap(holding.tier),
        "symbol": listed.symbol.as_str(),
        "side": if view.quantity.is_negative() { "Sell" } else { "Buy" },
        "size": listed.size(view.quantity.abs())?,
        "avgPrice": or(view.entry_price, ""),
        "positionValue": holding.notional,
        "tradeMode": u64::from(view.mode == MarginMode::Isolated),
        "positionStatus": "Normal",
        "leverage": leverage_text(holding.tier.initial_rate)?,
        "markPrice": or(view.mark, ""),
        "liqPrice": or(view.liquidation_price, ""),
        "bustPrice": or(view.bankruptcy_price, ""),
        "positionIM": holding.initial_margin()?,
        "positionMM": view.maintenance_margin,
        "positionBalance": or(view.isolated_margin, ""),
        "unrealisedPnl": view.unrealised_pnl,
        "adlRankIndicator": u64::from(view.adl_quantile.unwrap_or(0)),
        "createdTime": "",
        "updatedTime": time.to_string(),
    })
}
