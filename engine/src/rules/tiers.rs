//! Risk tiers: the larger a position, the more margin it needs.

use crate::command::ListTier;
use crate::money::{Money, Notional, Rate, limit};
use crate::number::{self, Rounding, SCALE_MAX};
use crate::reject::{Code, Reject};
use serde::{Deserialize, Serialize};

/// One bracket of notional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tier {
    /// Where the bracket starts: the limit of the one before.
    pub floor: Notional,
    /// Where it ends, itself included; none on an open last tier.
    pub notional_limit: Option<Notional>,
    /// Initial margin as a fraction of notional.
    pub initial_rate: Rate,
    /// Maintenance margin as a fraction of notional.
    pub maintenance_rate: Rate,
    /// What makes maintenance continuous across brackets, in the settlement asset.
    ///
    /// Shape:  deduction(n) = deduction(n−1) + floor(n) × (rate(n) − rate(n−1))
    /// Source: Binance "maintenance amount", Bybit "mm deduction" (vectors: binance-tier-*).
    pub deduction: Money,
}

/// The brackets of a market, in rising order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierTable(Vec<Tier>);

impl TierTable {
    /// Builds the table and computes the deductions.
    ///
    /// # Errors
    /// [`Code::InvalidTiers`] when there is none, limits do not rise, only the last may be open, a rate is not in
    /// (0, 1], maintenance exceeds initial, or maintenance rates fall (so that a deduction would fall).
    pub fn new(rows: &[ListTier]) -> Result<Self, Reject> {
        let invalid = Reject::new(Code::InvalidTiers, "tiers");
        let mut tiers: Vec<Tier> = Vec::with_capacity(rows.len());
        for ListTier { notional_limit, initial_rate, maintenance_rate } in rows.iter().copied() {
            let in_range = |rate: Rate| rate.is_positive() && rate.get() <= rust_decimal::Decimal::ONE;
            if !in_range(initial_rate) || !in_range(maintenance_rate) || maintenance_rate > initial_rate {
                return Err(invalid);
            }
            let (floor, deduction) = match tiers.last() {
                None => (Notional::ZERO, Money::ZERO),
                Some(before) => {
                    let floor = before.notional_limit.ok_or(invalid)?;
                    if maintenance_rate < before.maintenance_rate || initial_rate < before.initial_rate {
                        return Err(invalid);
                    }
                    let step = maintenance_rate.minus(before.maintenance_rate)?;
                    // Exact: a deduction has as many decimals as its limit and rate have together.
                    let rise = number::mul_exact(floor.get(), step.get()).map_err(|_| invalid)?;
                    if rise.normalize().scale() > SCALE_MAX {
                        return Err(invalid);
                    }
                    (floor, before.deduction.plus(Money::new(rise.normalize()))?)
                }
            };
            if notional_limit.is_some_and(|end| end <= floor || end.get() > limit::MONEY) {
                return Err(invalid);
            }
            tiers.push(Tier { floor, notional_limit, initial_rate, maintenance_rate, deduction });
        }
        if tiers.is_empty() { Err(invalid) } else { Ok(Self(tiers)) }
    }

    /// All brackets.
    pub fn all(&self) -> &[Tier] {
        &self.0
    }

    /// The bracket of a notional; beyond the last limit the last one (a price may carry a position there).
    pub fn of(&self, notional: Notional) -> Option<&Tier> {
        let found = self.0.iter().find(|tier| tier.notional_limit.is_none_or(|end| notional <= end));
        found.or(self.0.last())
    }

    /// Largest notional a position may be opened to.
    pub fn ceiling(&self) -> Option<Notional> {
        self.0.last().and_then(|tier| tier.notional_limit)
    }

    /// Maintenance margin of one position.
    ///
    /// Shape:  notional × rate(tier) − deduction(tier)
    /// Units:  notional and deduction in the settlement asset; rate is a fraction, not percent.
    /// Rounds: up at the asset's scale (against the account).
    /// Source: tier tables with cumulative deduction, as Binance and Bybit publish them (vectors: binance-tier-*).
    ///
    /// # Errors
    /// [`Code::Overflow`] when it has more digits than fit.
    pub fn maintenance(&self, notional: Notional, scale: u32) -> Result<Money, Reject> {
        let Some(tier) = self.of(notional) else {
            return Err(Reject::new(Code::InvalidTiers, "tiers"));
        };
        // Rounded up twice in the same direction, which is rounded once: a deduction has no more decimals than the first.
        let gross = number::mul(notional.get(), tier.maintenance_rate.get(), SCALE_MAX, Rounding::Ceil)?;
        let net = number::sub(gross, tier.deduction.get())?;
        Ok(Money::new(number::quantise(net, scale, Rounding::Ceil)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> rust_decimal::Decimal {
        number::parse(text).unwrap()
    }

    fn table(rows: &[(&str, &str, &str)]) -> Result<TierTable, Reject> {
        let rows: Vec<_> = rows
            .iter()
            .map(|(end, initial, maintenance)| {
                let notional_limit = (!end.is_empty()).then(|| Notional::new(d(end)));
                ListTier {
                    notional_limit,
                    initial_rate: Rate::new(d(initial)),
                    maintenance_rate: Rate::new(d(maintenance)),
                }
            })
            .collect();
        TierTable::new(&rows)
    }

    #[test]
    fn maintenance_is_continuous_across_tiers() {
        let tiers = table(&[("50000", "0.008", "0.004"), ("250000", "0.01", "0.005"), ("", "0.02", "0.01")]).unwrap();
        let at = |notional: &str| tiers.maintenance(Notional::new(d(notional)), 6).unwrap();
        assert_eq!(at("50000"), Money::new(d("200")));
        assert_eq!(at("50000.0002"), Money::new(d("200.000001")));
        // Binance FAQ: 264,000 USDT is 1 % and 1,300.
        assert_eq!(at("264000"), Money::new(d("1340")));
    }

    #[test]
    fn a_table_that_would_let_the_deduction_fall_is_refused() {
        for rows in [
            &[][..],
            &[("100", "0.1", "0.05"), ("100", "0.2", "0.1")],
            &[("", "0.1", "0.05"), ("100", "0.2", "0.1")],
            &[("100", "0.1", "0.05"), ("", "0.2", "0.04")],
            &[("", "0.1", "0.2")],
            &[("", "1.1", "0.2")],
            &[("", "0.1", "0")],
        ] {
            assert_eq!(table(rows).unwrap_err().code, Code::InvalidTiers, "{rows:?}");
        }
    }
}
