//! Which way a change of the rules goes: parameter by parameter, does it loosen?
//!
//! A parameter is loosened when it lets positions be larger or thinner, lets more be taken from an account or the fund, or
//! lets a worse price be trusted. What cannot be put in an order counts as loosened whenever it differs: it waits rather
//! than slip through. What can no longer change after listing (kind, asset, contract size, tick, lot, pool) is not here.
//!
//! | parameter | loosened when |
//! |---|---|
//! | a new market | always; a new asset risks nothing by itself |
//! | tier rates | lower at any notional |
//! | tier limits | the last is higher, or open |
//! | `liquidation.reduce` | a smaller fraction, or any other change but to `full` |
//! | `liquidation.restore_ratio` | lower |
//! | `liquidation.fee_rate` | higher: more is taken from an account |
//! | `liquidation.surplus`, `.residual` | differs |
//! | `liquidation.pace_per_second`, `.order_ttl_ms` | higher, or no pace |
//! | `adl.policy`, `.price`, `.hedge_group` | differs |
//! | `adl.drawdown` | a higher start or stop, a shorter window, or none |
//! | `pool.shared_draw_cap`, `.window_ms` | a higher cap or none, a shorter window |
//! | `venue` | differs in kind; inside, deeper (or endless) or sooner recovered |
//! | `oracle.min_sources` | fewer |
//! | `oracle.stale_after_ms`, `.band`, `.breaker` | longer, wider, larger or none |
//! | `oracle.when_degraded` | `liquidate` |
//! | `oracle.mark`, `.weights` | differs |
//! | `when_unbacked` | `haircut`: money leaves while the fund owes |
//! | the injection line | larger |

use super::Lines;
use crate::command::RuleChange;
use crate::reject::Reject;
use crate::rules::{
    Drawdown, EmbeddedVenue, Market, Reduce, Rules, Tier, TierTable, Venue, WhenDegraded, WhenUnbacked,
};

/// Does the second set of rules loosen the parameter?
type Loosens = fn(&Market, &Market) -> bool;

/// Every parameter of a market that can change, by the name it has in `list_market`.
pub const MARKET: &[(&str, Loosens)] = &[
    ("tiers.initial_rate", |a, b| lower_anywhere(&a.tiers, &b.tiers, |tier| tier.initial_rate)),
    ("tiers.maintenance_rate", |a, b| lower_anywhere(&a.tiers, &b.tiers, |tier| tier.maintenance_rate)),
    ("tiers.notional_limit", |a, b| higher_or_none(a.tiers.ceiling(), b.tiers.ceiling())),
    ("liquidation.reduce", |a, b| match (a.liquidation.reduce, b.liquidation.reduce) {
        (_, Reduce::Full) => false,
        (Reduce::Fraction(before), Reduce::Fraction(after)) => after < before,
        (before, after) => before != after,
    }),
    ("liquidation.restore_ratio", |a, b| b.liquidation.restore_ratio < a.liquidation.restore_ratio),
    ("liquidation.fee_rate", |a, b| b.liquidation.fee_rate > a.liquidation.fee_rate),
    ("liquidation.surplus", |a, b| a.liquidation.surplus != b.liquidation.surplus),
    ("liquidation.residual", |a, b| a.liquidation.residual != b.liquidation.residual),
    ("liquidation.pace_per_second", |a, b| {
        higher_or_none(a.liquidation.pace_per_second, b.liquidation.pace_per_second)
    }),
    ("liquidation.order_ttl_ms", |a, b| b.liquidation.order_ttl_ms > a.liquidation.order_ttl_ms),
    ("adl.policy", |a, b| a.adl.policy != b.adl.policy),
    ("adl.price", |a, b| a.adl.price != b.adl.price),
    ("adl.drawdown.start", |a, b| higher_or_none(start(a), start(b))),
    ("adl.drawdown.stop", |a, b| drawdowns(a, b).is_some_and(|(before, after)| after.stop > before.stop)),
    ("adl.drawdown.window_ms", |a, b| {
        drawdowns(a, b).is_some_and(|(before, after)| after.window_ms < before.window_ms)
    }),
    ("adl.hedge_group", |a, b| a.adl.hedge_group != b.adl.hedge_group),
    ("pool.shared_draw_cap", |a, b| higher_or_none(a.pool.shared_draw_cap, b.pool.shared_draw_cap)),
    ("pool.window_ms", |a, b| {
        // Without a cap there is nothing that a window could bound.
        a.pool.shared_draw_cap.is_some() && b.pool.window_ms < a.pool.window_ms
    }),
    ("venue", |a, b| matches!(a.venue, Venue::External) != matches!(b.venue, Venue::External)),
    ("venue.embedded.depth_per_bp", |a, b| {
        models(a, b).is_some_and(|(before, after)| higher_or_none(before.depth_per_bp, after.depth_per_bp))
    }),
    ("venue.embedded.recovery_ms", |a, b| {
        models(a, b).is_some_and(|(before, after)| after.recovery_ms < before.recovery_ms)
    }),
    ("oracle.mark", |a, b| a.oracle.mark != b.oracle.mark),
    ("oracle.min_sources", |a, b| b.oracle.min_sources < a.oracle.min_sources),
    ("oracle.stale_after_ms", |a, b| b.oracle.stale_after_ms > a.oracle.stale_after_ms),
    ("oracle.band", |a, b| b.oracle.band > a.oracle.band),
    ("oracle.weights", |a, b| a.oracle.weights != b.oracle.weights),
    ("oracle.breaker", |a, b| higher_or_none(a.oracle.breaker, b.oracle.breaker)),
    ("oracle.when_degraded", |a, b| {
        a.oracle.when_degraded == WhenDegraded::Wait && b.oracle.when_degraded == WhenDegraded::Liquidate
    }),
];

/// What a change would loosen against the rules as they are known; empty when it only tightens, or does nothing.
///
/// # Errors
/// Those of the command that the change stands for.
pub fn loosens(rules: &Rules, lines: &Lines, change: &RuleChange) -> Result<Vec<&'static str>, Reject> {
    match change {
        RuleChange::ListAsset(list) => {
            let after = rules.check_asset(list)?;
            let before = rules.asset_named(&list.asset).map(|asset| asset.when_unbacked);
            let loosened = before == Ok(WhenUnbacked::Halt) && after.when_unbacked == WhenUnbacked::Haircut;
            Ok(loosened.then_some("when_unbacked").into_iter().collect())
        }
        RuleChange::ListMarket(list) => {
            let after = rules.check_market(list)?;
            let Ok(before) = rules.market_named(&list.market) else { return Ok(vec!["market"]) };
            Ok(MARKET.iter().filter(|(_, loosens)| loosens(before, &after)).map(|(name, _)| *name).collect())
        }
        RuleChange::SetInjectionLine { asset, limit } => {
            let known = lines.get(&rules.asset_named(asset)?.index).copied().unwrap_or_default();
            Ok((*limit > known).then_some("limit").into_iter().collect())
        }
    }
}

/// None stands for no bound.
fn higher_or_none<T: Ord>(before: Option<T>, after: Option<T>) -> bool {
    match (before, after) {
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
        (None, _) => false,
    }
}

fn start(market: &Market) -> Option<crate::money::Rate> {
    market.adl.drawdown.as_ref().map(|rule| rule.start)
}

fn drawdowns<'m>(before: &'m Market, after: &'m Market) -> Option<(&'m Drawdown, &'m Drawdown)> {
    before.adl.drawdown.as_ref().zip(after.adl.drawdown.as_ref())
}

fn models<'m>(before: &'m Market, after: &'m Market) -> Option<(&'m EmbeddedVenue, &'m EmbeddedVenue)> {
    match (&before.venue, &after.venue) {
        (Venue::Embedded(before), Venue::Embedded(after)) => Some((before, after)),
        _ => None,
    }
}

/// Is the rate lower at any notional? It steps at the limits of either table only, and a limit belongs to the bracket it
/// ends.
fn lower_anywhere<T: Ord>(before: &TierTable, after: &TierTable, rate: fn(&Tier) -> T) -> bool {
    let limits = before.all().iter().chain(after.all()).filter_map(|tier| tier.notional_limit);
    let lower = |old: Option<&Tier>, new: Option<&Tier>| new.map(rate) < old.map(rate);
    let (last_old, last_new) = (before.all().last(), after.all().last());
    lower(last_old, last_new) || limits.into_iter().any(|at| lower(before.of(at), after.of(at)))
}
