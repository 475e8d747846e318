//! `list_asset` and `list_market`, with their optional parts.

use crate::decode::{Fields, Malformed};
use crate::money::{Notional, Price, Quantity, Rate};
use crate::reject::Code;
use crate::rules::{
    AdlPolicy, AdlPrice, AdlRules, Drawdown, EmbeddedVenue, Kind, LiquidationRules, MarkRule, OracleRules, PoolRules,
    Reduce, Residual, Surplus, Venue, WhenDegraded, WhenUnbacked,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// A settlement asset and its number of decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListAsset {
    /// Its name.
    pub asset: SmolStr,
    /// Its number of decimals, 0 to 12.
    pub scale: u32,
    /// What withdrawals do while claims on the fund are unpaid.
    pub when_unbacked: WhenUnbacked,
}

/// A contract and its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListMarket {
    /// Its name.
    pub market: SmolStr,
    /// Linear or inverse.
    pub kind: Kind,
    /// The settlement asset.
    pub asset: SmolStr,
    /// Size of one contract.
    pub contract_size: Quantity,
    /// Step of the price.
    pub tick_size: Price,
    /// Step of the quantity.
    pub lot_size: Quantity,
    /// Risk tiers, in rising order.
    pub tiers: Vec<ListTier>,
    /// Liquidation rules.
    pub liquidation: LiquidationRules,
    /// ADL rules.
    pub adl: AdlRules,
    /// Fund pool.
    pub pool: PoolRules,
    /// Venue of liquidation orders.
    pub venue: Venue,
    /// Oracle rules.
    pub oracle: OracleRules,
}

/// A tier as it is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListTier {
    /// Where it ends, itself included; none on an open last tier.
    pub notional_limit: Option<Notional>,
    /// Initial margin as a fraction of notional.
    pub initial_rate: Rate,
    /// Maintenance margin as a fraction of notional.
    pub maintenance_rate: Rate,
}

const WEEK_MS: u64 = 604_800_000;

pub(super) fn read_asset(f: &mut Fields<'_>) -> Result<ListAsset, Malformed> {
    let asset = f.name("asset")?;
    let scale = f.whole_within("scale", 0, 12)?.ok_or_else(|| f.bad(Code::MissingField, "scale"))?;
    let policies = [("halt", WhenUnbacked::Halt), ("haircut", WhenUnbacked::Haircut)];
    Ok(ListAsset {
        asset,
        scale: u32::try_from(scale).map_err(|_| f.bad(Code::OutOfRange, "scale"))?,
        when_unbacked: f.word_opt("when_unbacked", &policies)?.unwrap_or_default(),
    })
}

pub(super) fn read_market(f: &mut Fields<'_>) -> Result<ListMarket, Malformed> {
    let market = f.name("market")?;
    let kind = f.word("kind", &[("linear", Kind::Linear), ("inverse", Kind::Inverse)])?;
    let asset = f.name("asset")?;
    let contract_size = f.quantity_opt("contract_size")?.unwrap_or(Quantity::new(Decimal::ONE));
    let tick_size = f.price("tick_size")?;
    let lot_size = f.quantity("lot_size")?;
    let tiers = f.objects("tiers")?.into_iter().map(read_tier).collect::<Result<Vec<_>, _>>()?;
    Ok(ListMarket {
        market,
        kind,
        asset,
        contract_size,
        tick_size,
        lot_size,
        tiers,
        liquidation: f.object("liquidation")?.map(read_liquidation).transpose()?.unwrap_or_default(),
        adl: f.object("adl")?.map(read_adl).transpose()?.unwrap_or_default(),
        pool: f.object("pool")?.map(read_pool).transpose()?.unwrap_or_default(),
        venue: read_venue(f)?,
        oracle: f.object("oracle")?.map(read_oracle).transpose()?.unwrap_or_default(),
    })
}

fn read_tier(mut f: Fields<'_>) -> Result<ListTier, Malformed> {
    let row = ListTier {
        notional_limit: f.notional_opt("notional_limit")?,
        initial_rate: f.rate("initial_rate")?,
        maintenance_rate: f.rate("maintenance_rate")?,
    };
    f.finish()?;
    Ok(row)
}

/// A rate strictly above zero and no more than `max`.
fn share(f: &mut Fields<'_>, name: &str, max: u32) -> Result<Option<Rate>, Malformed> {
    let found = f.rate_within(name, 0, max)?;
    if found.is_some_and(Rate::is_zero) { Err(f.bad(Code::OutOfRange, name)) } else { Ok(found) }
}

fn read_liquidation(mut f: Fields<'_>) -> Result<LiquidationRules, Malformed> {
    let default = LiquidationRules::default();
    let reduce = if f.is_text("reduce") {
        f.word_opt("reduce", &[("full", Reduce::Full), ("tier_step", Reduce::TierStep)])?.unwrap_or_default()
    } else {
        let path = f.object("reduce")?;
        let mut inner = path.ok_or_else(|| f.bad(Code::WrongType, "reduce"))?;
        let fraction = share(&mut inner, "fraction", 1)?.ok_or_else(|| inner.bad(Code::MissingField, "fraction"))?;
        inner.finish()?;
        Reduce::Fraction(fraction)
    };
    let surplus = if f.is_text("surplus") {
        f.word_opt("surplus", &[("fund", Surplus::Fund), ("account", Surplus::Account)])?.unwrap_or_default()
    } else {
        let path = f.object("surplus")?;
        let mut inner = path.ok_or_else(|| f.bad(Code::WrongType, "surplus"))?;
        let part = inner.rate_within("fund_share", 0, 1)?;
        let part = part.ok_or_else(|| inner.bad(Code::MissingField, "fund_share"))?;
        inner.finish()?;
        Surplus::FundShare(part)
    };
    let rules = LiquidationRules {
        reduce,
        restore_ratio: f.rate_within("restore_ratio", 1, 100)?.unwrap_or(default.restore_ratio),
        fee_rate: f.rate_within("fee_rate", 0, 1)?.unwrap_or(default.fee_rate),
        surplus,
        residual: f
            .word_opt("residual", &[("adl", Residual::Adl), ("takeover", Residual::Takeover)])?
            .unwrap_or_default(),
        pace_per_second: f.notional_opt("pace_per_second")?,
        order_ttl_ms: f.whole_within("order_ttl_ms", 1, WEEK_MS)?.unwrap_or(default.order_ttl_ms),
    };
    f.finish()?;
    Ok(rules)
}

fn read_adl(mut f: Fields<'_>) -> Result<AdlRules, Malformed> {
    let drawdown = match f.object("drawdown")? {
        None => None,
        Some(mut inner) => {
            let window_ms = inner
                .whole_within("window_ms", 1, 5 * WEEK_MS)?
                .ok_or_else(|| inner.bad(Code::MissingField, "window_ms"))?;
            let start = share(&mut inner, "start", 1)?.ok_or_else(|| inner.bad(Code::MissingField, "start"))?;
            let stop = inner.rate_within("stop", 0, 1)?.unwrap_or(start);
            if stop > start {
                return Err(inner.bad(Code::OutOfRange, "stop"));
            }
            inner.finish()?;
            Some(Drawdown { window_ms, start, stop })
        }
    };
    let rules = AdlRules {
        policy: f
            .word_opt(
                "policy",
                &[
                    ("queue", AdlPolicy::Queue),
                    ("pro_rata", AdlPolicy::ProRata),
                    ("leverage_water_filling", AdlPolicy::LeverageWaterFilling),
                    ("account_ratio", AdlPolicy::AccountRatio),
                ],
            )?
            .unwrap_or_default(),
        price: f
            .word_opt("price", &[("bankruptcy", AdlPrice::Bankruptcy), ("mark", AdlPrice::Mark)])?
            .unwrap_or_default(),
        drawdown,
        hedge_group: f.name_opt("hedge_group")?,
    };
    f.finish()?;
    Ok(rules)
}

fn read_pool(mut f: Fields<'_>) -> Result<PoolRules, Malformed> {
    let default = PoolRules::default();
    let rules = PoolRules {
        name: f.name_opt("name")?.unwrap_or(default.name),
        shared_draw_cap: f.signed_opt("shared_draw_cap")?,
        window_ms: f.whole_within("window_ms", 1, 5 * WEEK_MS)?.unwrap_or(default.window_ms),
    };
    if rules.shared_draw_cap.is_some_and(crate::money::Money::is_negative) {
        return Err(f.bad(Code::OutOfRange, "shared_draw_cap"));
    }
    f.finish()?;
    Ok(rules)
}

fn read_venue(f: &mut Fields<'_>) -> Result<Venue, Malformed> {
    if f.is_text("venue") {
        let words = [("external", true), ("embedded", false)];
        let external = f.word_opt("venue", &words)?.unwrap_or(false);
        return Ok(if external { Venue::External } else { Venue::default() });
    }
    let mut outer = f.object("venue")?.ok_or_else(|| f.bad(Code::WrongType, "venue"))?;
    let mut inner = outer.object("embedded")?.ok_or_else(|| outer.bad(Code::MissingField, "embedded"))?;
    let model = EmbeddedVenue {
        depth_per_bp: inner.notional_opt("depth_per_bp")?,
        recovery_ms: inner.whole_within("recovery_ms", 0, WEEK_MS)?.unwrap_or(EmbeddedVenue::default().recovery_ms),
    };
    inner.finish()?;
    outer.finish()?;
    Ok(Venue::Embedded(model))
}

fn read_oracle(mut f: Fields<'_>) -> Result<OracleRules, Malformed> {
    let default = OracleRules::default();
    let min_sources = f.whole_within("min_sources", 1, 100)?.unwrap_or(1);
    let rules = OracleRules {
        mark: f
            .word_opt("mark", &[("index", MarkRule::Index), ("median_of_three", MarkRule::MedianOfThree)])?
            .unwrap_or_default(),
        min_sources: u32::try_from(min_sources).map_err(|_| f.bad(Code::OutOfRange, "min_sources"))?,
        stale_after_ms: f.whole_within("stale_after_ms", 1, 5 * WEEK_MS)?.unwrap_or(default.stale_after_ms),
        band: share(&mut f, "band", 1)?.unwrap_or(default.band),
        weights: match f.object("weights")? {
            Some(table) => table.rates()?.into_iter().collect(),
            None => default.weights,
        },
        breaker: share(&mut f, "breaker", 1)?,
        when_degraded: f
            .word_opt("when_degraded", &[("wait", WhenDegraded::Wait), ("liquidate", WhenDegraded::Liquidate)])?
            .unwrap_or_default(),
    };
    f.finish()?;
    Ok(rules)
}
