//! How far the rules may go at all: bounds set where the daemon is configured, out of reach of whoever sends commands.

use crate::admission::Admission;
use crate::command::{ListAsset, ListMarket, RuleChange};
use crate::id::Millis;
use crate::money::{Money, Notional, Rate};
use crate::number;
use crate::reject::{Code, Reject};
use crate::rules::{
    AdlPolicy, AdlPrice, MarkRule, OracleRules, Reduce, Residual, Surplus, Venue, WhenDegraded, WhenUnbacked,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeSet;

/// How much of a position may be closed at a time, without the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReduceKind {
    /// All of it.
    Full,
    /// To the tier that equity supports.
    TierStep,
    /// A share.
    Fraction,
}

/// Where orders are executed, without the model's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VenueKind {
    /// Outside.
    External,
    /// Inside.
    Embedded,
}

/// One optional bound for every parameter; none binds nothing. Bounds include their own value. Figures are decimal strings,
/// in the units of the command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ceilings {
    /// Most assets listed or planned.
    pub max_assets: Option<u64>,
    /// Most markets listed or planned.
    pub max_markets: Option<u64>,
    /// What `when_unbacked` may be.
    pub allowed_when_unbacked: Option<Vec<WhenUnbacked>>,
    /// Most an injection line may be.
    pub max_injection_line: Option<Money>,
    /// Least initial margin of any tier.
    pub min_initial_rate: Option<Rate>,
    /// Least maintenance margin of any tier.
    pub min_maintenance_rate: Option<Rate>,
    /// Most the last tier may reach; an open one passes it.
    pub max_notional_limit: Option<Notional>,
    /// How positions may be reduced.
    pub allowed_reduce: Option<Vec<ReduceKind>>,
    /// Least fraction closed at a time, where `reduce` is one.
    pub min_reduce_fraction: Option<Rate>,
    /// Least restore ratio.
    pub min_restore_ratio: Option<Rate>,
    /// Most restore ratio.
    pub max_restore_ratio: Option<Rate>,
    /// Most liquidation fee.
    pub max_fee_rate: Option<Rate>,
    /// Least share of a surplus that goes to the fund: 1 is all of it.
    pub min_surplus_fund_share: Option<Rate>,
    /// Most of it.
    pub max_surplus_fund_share: Option<Rate>,
    /// What may become of an unfilled rest.
    pub allowed_residual: Option<Vec<Residual>>,
    /// Least notional per second; no pace is endless.
    pub min_pace_per_second: Option<Notional>,
    /// Most notional per second; no pace passes it.
    pub max_pace_per_second: Option<Notional>,
    /// Longest life of an external order.
    pub max_order_ttl_ms: Option<Millis>,
    /// Who may be first in ADL.
    pub allowed_adl_policy: Option<Vec<AdlPolicy>>,
    /// At which price.
    pub allowed_adl_price: Option<Vec<AdlPrice>>,
    /// Largest fall at which ADL starts; no drawdown rule passes it.
    pub max_drawdown_start: Option<Rate>,
    /// Largest fall at which it stops again; no drawdown rule passes it.
    pub max_drawdown_stop: Option<Rate>,
    /// Shortest window of the peak; no drawdown rule passes it.
    pub min_drawdown_window_ms: Option<Millis>,
    /// Groups a market may be hedged in; none of them is always allowed.
    pub allowed_hedge_groups: Option<Vec<SmolStr>>,
    /// Most a market may draw on the shared pool; no cap passes it.
    pub max_shared_draw_cap: Option<Money>,
    /// Shortest window of that cap.
    pub min_draw_window_ms: Option<Millis>,
    /// Where orders may be executed.
    pub allowed_venue: Option<Vec<VenueKind>>,
    /// Most depth the embedded venue may claim; endless depth passes it.
    pub max_depth_per_bp: Option<Notional>,
    /// Shortest recovery it may claim.
    pub min_recovery_ms: Option<Millis>,
    /// What a mark may be made of.
    pub allowed_mark: Option<Vec<MarkRule>>,
    /// Least number of fresh sources.
    pub min_sources: Option<u32>,
    /// Longest time an observation counts.
    pub max_stale_after_ms: Option<Millis>,
    /// Widest band around the median.
    pub max_band: Option<Rate>,
    /// Largest part of all weights that one source may have, where weights are named.
    pub max_source_share: Option<Rate>,
    /// Largest jump that passes the breaker; no breaker passes it.
    pub max_breaker: Option<Rate>,
    /// What liquidations may do while the price is not to be trusted.
    pub allowed_when_degraded: Option<Vec<WhenDegraded>>,
}

/// No more than the ceiling; none stands for no bound, which passes every ceiling.
fn most<T: Ord + Into<Decimal>>(field: &'static str, value: Option<T>, ceiling: Option<T>) -> Result<(), Reject> {
    match (value, ceiling) {
        (Some(value), Some(ceiling)) if value > ceiling => Err(passed(field, value, ceiling)),
        (None, Some(_)) => Err(Reject::new(Code::AboveCeiling, field)),
        _ => Ok(()),
    }
}

/// No less than the floor.
fn least<T: Ord + Into<Decimal>>(field: &'static str, value: T, floor: Option<T>) -> Result<(), Reject> {
    match floor {
        Some(floor) if value < floor => Err(passed(field, value, floor)),
        _ => Ok(()),
    }
}

fn passed<T: Into<Decimal>>(field: &'static str, value: T, limit: T) -> Reject {
    Reject::limit(Code::AboveCeiling, field, value.into(), limit.into())
}

/// One of those allowed.
fn one_of<T: PartialEq>(field: &'static str, value: &T, allowed: Option<&Vec<T>>) -> Result<(), Reject> {
    match allowed {
        Some(allowed) if !allowed.contains(value) => Err(Reject::new(Code::AboveCeiling, field)),
        _ => Ok(()),
    }
}

impl Ceilings {
    /// Is the change within every bound? Whether it is valid is admission's to say.
    ///
    /// # Errors
    /// [`Code::AboveCeiling`] with the first parameter, in the order of `list_market`, that passes its bound.
    pub fn check(&self, admission: &Admission, change: &RuleChange) -> Result<(), Reject> {
        match change {
            RuleChange::ListAsset(list) => self.check_asset(admission, list),
            RuleChange::ListMarket(list) => {
                self.check_count(admission, list)?;
                self.check_tiers(list)?;
                self.check_liquidation(list)?;
                self.check_adl(list)?;
                self.check_venue(list)?;
                self.check_oracle(&list.oracle)
            }
            RuleChange::SetInjectionLine { limit, .. } => most("limit", Some(*limit), self.max_injection_line),
        }
    }

    fn check_asset(&self, admission: &Admission, list: &ListAsset) -> Result<(), Reject> {
        let known = admission.rules().assets().iter().map(|asset| &asset.name);
        let planned = admission.pending().filter_map(|pending| match &pending.proposal {
            RuleChange::ListAsset(list) => Some(&list.asset),
            _ => None,
        });
        count("asset", known.chain(planned), &list.asset, self.max_assets)?;
        one_of("when_unbacked", &list.when_unbacked, self.allowed_when_unbacked.as_ref())
    }

    fn check_count(&self, admission: &Admission, list: &ListMarket) -> Result<(), Reject> {
        let known = admission.rules().markets().iter().map(|market| &market.name);
        let planned = admission.pending().filter_map(|pending| match &pending.proposal {
            RuleChange::ListMarket(list) => Some(&list.market),
            _ => None,
        });
        count("market", known.chain(planned), &list.market, self.max_markets)
    }

    fn check_tiers(&self, list: &ListMarket) -> Result<(), Reject> {
        for tier in &list.tiers {
            least("tiers.initial_rate", tier.initial_rate, self.min_initial_rate)?;
            least("tiers.maintenance_rate", tier.maintenance_rate, self.min_maintenance_rate)?;
        }
        let last = list.tiers.last().and_then(|tier| tier.notional_limit);
        most("tiers.notional_limit", last, self.max_notional_limit)
    }

    fn check_liquidation(&self, list: &ListMarket) -> Result<(), Reject> {
        let rules = &list.liquidation;
        let kind = match rules.reduce {
            Reduce::Full => ReduceKind::Full,
            Reduce::TierStep => ReduceKind::TierStep,
            Reduce::Fraction(_) => ReduceKind::Fraction,
        };
        one_of("liquidation.reduce", &kind, self.allowed_reduce.as_ref())?;
        if let Reduce::Fraction(fraction) = rules.reduce {
            least("liquidation.reduce.fraction", fraction, self.min_reduce_fraction)?;
        }
        least("liquidation.restore_ratio", rules.restore_ratio, self.min_restore_ratio)?;
        most("liquidation.restore_ratio", Some(rules.restore_ratio), self.max_restore_ratio)?;
        most("liquidation.fee_rate", Some(rules.fee_rate), self.max_fee_rate)?;
        let share = match rules.surplus {
            Surplus::Fund => Rate::new(Decimal::ONE),
            Surplus::Account => Rate::ZERO,
            Surplus::FundShare(share) => share,
        };
        least("liquidation.surplus", share, self.min_surplus_fund_share)?;
        most("liquidation.surplus", Some(share), self.max_surplus_fund_share)?;
        one_of("liquidation.residual", &rules.residual, self.allowed_residual.as_ref())?;
        if let Some(pace) = rules.pace_per_second {
            least("liquidation.pace_per_second", pace, self.min_pace_per_second)?;
        }
        most("liquidation.pace_per_second", rules.pace_per_second, self.max_pace_per_second)?;
        most("liquidation.order_ttl_ms", Some(rules.order_ttl_ms), self.max_order_ttl_ms)
    }

    fn check_adl(&self, list: &ListMarket) -> Result<(), Reject> {
        let (rules, pool) = (&list.adl, &list.pool);
        one_of("adl.policy", &rules.policy, self.allowed_adl_policy.as_ref())?;
        one_of("adl.price", &rules.price, self.allowed_adl_price.as_ref())?;
        let drawdown = rules.drawdown.as_ref();
        most("adl.drawdown.start", drawdown.map(|rule| rule.start), self.max_drawdown_start)?;
        most("adl.drawdown.stop", drawdown.map(|rule| rule.stop), self.max_drawdown_stop)?;
        // No rule is as a rule with no window at all.
        let window = drawdown.map_or(0, |rule| rule.window_ms);
        least("adl.drawdown.window_ms", window, self.min_drawdown_window_ms)?;
        if let Some(group) = &rules.hedge_group {
            one_of("adl.hedge_group", group, self.allowed_hedge_groups.as_ref())?;
        }
        most("pool.shared_draw_cap", pool.shared_draw_cap, self.max_shared_draw_cap)?;
        least("pool.window_ms", pool.window_ms, self.min_draw_window_ms)
    }

    fn check_venue(&self, list: &ListMarket) -> Result<(), Reject> {
        let Venue::Embedded(model) = &list.venue else {
            return one_of("venue", &VenueKind::External, self.allowed_venue.as_ref());
        };
        one_of("venue", &VenueKind::Embedded, self.allowed_venue.as_ref())?;
        most("venue.embedded.depth_per_bp", model.depth_per_bp, self.max_depth_per_bp)?;
        least("venue.embedded.recovery_ms", model.recovery_ms, self.min_recovery_ms)
    }

    fn check_oracle(&self, rules: &OracleRules) -> Result<(), Reject> {
        one_of("oracle.mark", &rules.mark, self.allowed_mark.as_ref())?;
        least("oracle.min_sources", rules.min_sources, self.min_sources)?;
        most("oracle.stale_after_ms", Some(rules.stale_after_ms), self.max_stale_after_ms)?;
        most("oracle.band", Some(rules.band), self.max_band)?;
        if let Some(share) = self.max_source_share {
            let total = rules.weights.values().try_fold(Rate::ZERO, |sum, weight| sum.plus(*weight))?;
            let bound = number::mul_exact(total.get(), share.get())?;
            if let Some(weight) = rules.weights.values().max().filter(|weight| weight.get() > bound) {
                return Err(Reject::limit(Code::AboveCeiling, "oracle.weights", weight.get(), bound));
            }
        }
        most("oracle.breaker", rules.breaker, self.max_breaker)?;
        one_of("oracle.when_degraded", &rules.when_degraded, self.allowed_when_degraded.as_ref())
    }
}

/// Would the name be one too many?
fn count<'n>(
    field: &'static str,
    names: impl Iterator<Item = &'n SmolStr>,
    name: &'n SmolStr,
    ceiling: Option<u64>,
) -> Result<(), Reject> {
    let Some(ceiling) = ceiling else { return Ok(()) };
    let mut names: BTreeSet<&SmolStr> = names.collect();
    if !names.insert(name) {
        return Ok(());
    }
    most(field, Some(u64::try_from(names.len()).unwrap_or(u64::MAX)), Some(ceiling))
}
