//! Equity, initial margin and maintenance margin of an account at given marks.

use super::account::{Account, Position};
use crate::command::MarginMode;
use crate::id::{AssetIx, MarketIx};
use crate::money::{Money, Notional, Price, Rate};
use crate::number::{self, Rounding};
use crate::reject::Reject;
use crate::rules::{Kind, Market, Rules};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A mark price, and whether liquidations may act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The price.
    pub price: Price,
    /// The market is degraded and its rules say to wait.
    pub waits: bool,
}

/// The marks of one tick, by market.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks(pub Vec<Option<Mark>>);

impl Marks {
    /// The mark of a market, once it has one.
    pub fn get(&self, market: MarketIx) -> Option<Mark> {
        self.0.get(usize::from(market.0)).copied().flatten()
    }

    /// Its price.
    pub fn price(&self, market: MarketIx) -> Option<Price> {
        self.get(market).map(|mark| mark.price)
    }
}

/// A position at a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Valued {
    /// Value at the mark less cost.
    pub pnl: Money,
    /// Its size at the mark.
    pub notional: Notional,
    /// Maintenance margin.
    pub maintenance: Money,
    /// Initial margin at the account's leverage.
    pub initial: Money,
}

/// Values a position. Without a mark it is valued at its cost: no PnL, and its cost for a size.
///
/// Shape:  PnL = V(mark) − cost; initial = notional × max(1/leverage, rate of the tier); maintenance see
///         [`crate::rules::TierTable::maintenance`]
/// Rounds: margins up, values of inverse contracts down, at the asset's scale.
/// Errors: overflow only.
pub fn value(
    market: &Market,
    position: &Position,
    mark: Option<Price>,
    leverage: Option<Rate>,
) -> Result<Valued, Reject> {
    let Exposure { pnl, notional, maintenance } = value_for_breach(market, position, mark)?;
    Ok(Valued { pnl, notional, maintenance, initial: initial_margin(market, notional, leverage)? })
}

/// What a breach depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exposure {
    pub(super) pnl: Money,
    pub(super) notional: Notional,
    pub(super) maintenance: Money,
}

/// The same figures as [`value`], without the initial margin. The hot path of every tick.
///
/// # Errors
/// Overflow only.
pub(super) fn value_for_breach(market: &Market, position: &Position, mark: Option<Price>) -> Result<Exposure, Reject> {
    let (pnl, notional) = match mark {
        Some(mark) => {
            let worth = market.mark_value(position.quantity, mark)?;
            // The value of a linear position is its notional with a sign; that of an inverse one is rounded the other way.
            let notional = match market.kind {
                Kind::Linear => Notional::new(worth.get().abs()),
                Kind::Inverse => market.notional(position.quantity, mark)?,
            };
            (worth.minus(position.cost)?, notional)
        }
        None => (Money::ZERO, Notional::new(position.cost.get().abs())),
    };
    Ok(Exposure { pnl, notional, maintenance: market.tiers.maintenance(notional, market.asset_scale)? })
}

/// Initial margin of a notional: the greater of `notional ÷ leverage` and `notional × initial rate of its tier`.
pub(super) fn initial_margin(market: &Market, notional: Notional, leverage: Option<Rate>) -> Result<Money, Reject> {
    let scale = market.asset_scale;
    let rate = market.tiers.of(notional).map_or(Rate::new(Decimal::ONE), |tier| tier.initial_rate);
    let by_tier = notional.times(rate, scale, Rounding::Ceil)?;
    let by_choice = match leverage {
        Some(leverage) => Money::new(number::div(notional.get(), leverage.get(), scale, Rounding::Ceil)?),
        None => Money::ZERO,
    };
    Ok(by_tier.max(by_choice))
}

/// The margin of the cross scope of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarginReport {
    /// Wallet less isolated margins.
    pub balance: Money,
    /// Σ unrealised PnL of cross positions.
    pub pnl: Money,
    /// Balance + PnL.
    pub equity: Money,
    /// Σ maintenance margin of cross positions.
    pub maintenance: Money,
    /// Σ initial margin of cross positions.
    pub initial: Money,
    /// Margin of open orders.
    pub orders: Money,
    /// Has it a cross position?
    pub open: bool,
}

impl MarginReport {
    /// Assesses the cross scope.
    ///
    /// # Errors
    /// Overflow only.
    pub fn cross(account: &Account, asset: AssetIx, rules: &Rules, marks: &Marks) -> Result<Self, Reject> {
        let mut report = Self { balance: account.wallet(asset), ..Self::default() };
        for position in &account.positions {
            let market = rules.market(position.market)?;
            if market.asset != asset {
                continue;
            }
            if let Some(margin) = position.isolated {
                report.balance = report.balance.minus(margin)?;
                continue;
            }
            let leverage = account.settings(position.market).leverage;
            let valued = value(market, position, marks.price(position.market), leverage)?;
            report.open = true;
            report.pnl = report.pnl.plus(valued.pnl)?;
            report.maintenance = report.maintenance.plus(valued.maintenance)?;
            report.initial = report.initial.plus(valued.initial)?;
        }
        for order in account.orders.values().filter(|order| order.asset == asset) {
            report.orders = report.orders.plus(order.amount)?;
        }
        report.equity = report.balance.plus(report.pnl)?;
        Ok(report)
    }

    /// Is it at or below maintenance with a position open?
    pub fn is_breached(&self) -> bool {
        self.open && self.equity <= self.maintenance
    }

    /// What new orders may use: equity − initial margin − margin of open orders. May be negative.
    pub fn available(&self) -> Result<Money, Reject> {
        Ok(self.equity.minus(self.initial)?.minus(self.orders)?)
    }

    /// What may leave: equity stays at or above initial margin and order margin, and the money is there without any
    /// unrealised profit. May be negative.
    pub fn withdrawable(&self) -> Result<Money, Reject> {
        Ok(self.available()?.min(self.balance))
    }

    /// Maintenance ÷ equity at 4 decimals, rounded up; none without positions or at equity ≤ 0.
    pub fn ratio(&self) -> Option<Rate> {
        self.open.then(|| margin_ratio(self.maintenance, self.equity)).flatten()
    }
}

/// Maintenance ÷ equity at 4 decimals, rounded up; none at equity ≤ 0.
pub(super) fn margin_ratio(maintenance: Money, equity: Money) -> Option<Rate> {
    let ratio = || number::div(maintenance.get(), equity.get(), 4, Rounding::Ceil).ok().map(Rate::new);
    equity.is_positive().then(ratio).flatten()
}

/// Equity of an isolated position: its margin + its PnL.
pub fn isolated_equity(position: &Position, valued: &Valued) -> Result<Money, Reject> {
    Ok(position.isolated.unwrap_or_default().plus(valued.pnl)?)
}

/// Margin mode as the API names it.
pub(super) fn mode_of(position: &Position) -> MarginMode {
    if position.isolated.is_some() { MarginMode::Isolated } else { MarginMode::Cross }
}
