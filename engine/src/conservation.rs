//! The balance that must be zero: nothing is created, nothing is lost (DESIGN §2, rule 2).
//!
//! `Σ wallets − Σ cost basis + fund cash + venue revenue − unbacked liability = inflow − withdrawals`, an equality both
//! ways, per asset; and per market `Σ quantity = 0`.

use crate::fund::Fund;
use crate::margin::Totals;
use crate::money::{Money, Quantity};
use crate::number::Sum;
use crate::reject::Reject;
use crate::rules::Rules;
use crate::view::{AssetBalance, Conservation, MarketBalance};

/// Computes both balances from the sums of the shards and the fund.
///
/// # Errors
/// Overflow only.
pub fn conservation(rules: &Rules, totals: &Totals, fund: &Fund) -> Result<Conservation, Reject> {
    let mut assets = Vec::with_capacity(rules.assets().len());
    for asset in rules.assets() {
        let sums = totals.assets.get(&asset.index).copied().unwrap_or_default();
        let (cash, liability) = (fund.balance(asset.index), fund.liability(asset.index));
        let mut inflow = sums.inflow;
        inflow.merge(fund.inflow(asset.index)?)?;
        let mut error: Sum = sums.wallets;
        error.take(sums.costs.get()?)?;
        error.add(cash.get())?;
        error.add(sums.revenue.get()?)?;
        error.take(liability.get())?;
        error.take(inflow.get()?)?;
        error.add(sums.outflow.get()?)?;
        assets.push(AssetBalance {
            asset: asset.name.clone(),
            wallets: Money::new(sums.wallets.get()?),
            cost_basis: Money::new(sums.costs.get()?),
            fund: cash,
            revenue: Money::new(sums.revenue.get()?),
            liability,
            inflow: Money::new(inflow.get()?),
            outflow: Money::new(sums.outflow.get()?),
            error: Money::new(error.get()?),
        });
    }
    let mut markets = Vec::with_capacity(rules.markets().len());
    for market in rules.markets() {
        let sums = totals.markets.get(&market.index).copied().unwrap_or_default();
        markets.push(MarketBalance {
            market: market.name.clone(),
            error: Quantity::new(sums.quantity.get()?),
            open_interest: Quantity::new(sums.long.get()?),
        });
    }
    Ok(Conservation { assets, markets })
}
