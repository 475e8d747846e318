//! What an account holds, and what a trade does to a position.

use super::Scope;
use crate::command::MarginMode;
use crate::id::{AccountId, AssetIx, Leg, LiquidationId, MarketIx, Side};
use crate::money::{Money, Quantity, Rate};
use crate::number::{self, Rounding};
use crate::reject::{Code, Reject};
use crate::rules::Market;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// An open position. Flat ones are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The market.
    pub market: MarketIx,
    /// The leg.
    pub leg: Leg,
    /// Long positive, short negative; never zero.
    pub quantity: Quantity,
    /// Signed cost basis: Σ value of the fills that opened it, in the settlement asset.
    pub cost: Money,
    /// Its own margin, part of the wallet; none when cross.
    pub isolated: Option<Money>,
    /// What open liquidation orders may still close.
    pub locked: Quantity,
}

impl Position {
    /// Long is `Buy`.
    pub fn side(&self) -> Side {
        if self.quantity.is_negative() { Side::Sell } else { Side::Buy }
    }

    /// What stands behind it.
    pub fn scope(&self) -> Scope {
        match self.isolated {
            Some(_) => Scope::Isolated(self.market, self.leg),
            None => Scope::Cross,
        }
    }
}

/// How an account trades one market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The market.
    pub market: MarketIx,
    /// Cross or isolated.
    pub mode: MarginMode,
    /// The chosen leverage; none for the most the tier allows.
    pub leverage: Option<Rate>,
}

/// Margin held by an open order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderMargin {
    /// Its market.
    pub market: MarketIx,
    /// Its asset.
    pub asset: AssetIx,
    /// How much.
    pub amount: Money,
}

/// An account holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// Hedge mode?
    pub hedge: bool,
    /// Money by asset, isolated margins included. Sorted.
    pub wallets: Vec<(AssetIx, Money)>,
    /// Open positions, sorted by market and leg.
    pub positions: Vec<Position>,
    /// Settings that differ from the default, sorted by market.
    pub settings: Vec<Settings>,
    /// Open orders by name.
    pub orders: BTreeMap<SmolStr, OrderMargin>,
    /// Liquidations under way, by asset and scope.
    pub liquidations: Vec<(AssetIx, Scope, LiquidationId)>,
}

/// What a trade did beside changing the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traded {
    /// Added to the wallet: realised PnL at the asset's scale.
    pub realised: Money,
    /// Left over when the position closed: smaller than one unit of the asset, kept as venue revenue.
    pub dust: Money,
    /// Value of the part that opened, unsigned.
    pub opened: Money,
    /// Isolated margin given back to the wallet by the part that closed.
    pub released: Money,
}

impl Account {
    /// A new, empty one.
    pub fn new(id: AccountId) -> Self {
        Self {
            id,
            hedge: false,
            wallets: Vec::new(),
            positions: Vec::new(),
            settings: Vec::new(),
            orders: BTreeMap::new(),
            liquidations: Vec::new(),
        }
    }

    /// Money in the asset.
    pub fn wallet(&self, asset: AssetIx) -> Money {
        self.wallets.iter().find(|(index, _)| *index == asset).map_or(Money::ZERO, |(_, money)| *money)
    }

    /// Adds to (or takes from) the wallet.
    ///
    /// # Errors
    /// [`Code::Overflow`].
    pub fn post(&mut self, asset: AssetIx, amount: Money) -> Result<(), Reject> {
        match self.wallets.binary_search_by_key(&asset, |(index, _)| *index) {
            Ok(place) => {
                if let Some((_, money)) = self.wallets.get_mut(place) {
                    *money = money.plus(amount)?;
                }
            }
            Err(place) => self.wallets.insert(place, (asset, amount)),
        }
        Ok(())
    }

    fn place(&self, market: MarketIx, leg: Leg) -> Result<usize, usize> {
        self.positions.binary_search_by_key(&(market, leg), |position| (position.market, position.leg))
    }

    /// The position, if open.
    pub fn position(&self, market: MarketIx, leg: Leg) -> Option<&Position> {
        self.place(market, leg).ok().and_then(|place| self.positions.get(place))
    }

    /// The position, if open.
    pub fn position_mut(&mut self, market: MarketIx, leg: Leg) -> Option<&mut Position> {
        self.place(market, leg).ok().and_then(|place| self.positions.get_mut(place))
    }

    /// A flat position in the account's mode.
    pub(super) fn flat(&self, market: MarketIx, leg: Leg) -> Position {
        Position {
            market,
            leg,
            quantity: Quantity::ZERO,
            cost: Money::ZERO,
            isolated: match self.settings(market).mode {
                MarginMode::Isolated => Some(Money::ZERO),
                MarginMode::Cross => None,
            },
            locked: Quantity::ZERO,
        }
    }

    /// Puts a position in the place of the one in its market and leg; a flat one is not kept.
    pub(super) fn put(&mut self, position: Position) {
        match self.place(position.market, position.leg) {
            Ok(place) if position.quantity.is_zero() => drop(self.positions.remove(place)),
            Ok(place) => {
                if let Some(known) = self.positions.get_mut(place) {
                    *known = position;
                }
            }
            Err(_) if position.quantity.is_zero() => {}
            Err(place) => self.positions.insert(place, position),
        }
    }

    /// Settings in a market.
    pub fn settings(&self, market: MarketIx) -> Settings {
        let known = self.settings.iter().find(|settings| settings.market == market);
        known.copied().unwrap_or(Settings { market, mode: MarginMode::Cross, leverage: None })
    }

    /// Changes the settings in a market.
    pub(super) fn set(&mut self, settings: Settings) {
        match self.settings.binary_search_by_key(&settings.market, |entry| entry.market) {
            Ok(place) => {
                if let Some(entry) = self.settings.get_mut(place) {
                    *entry = settings;
                }
            }
            Err(place) => self.settings.insert(place, settings),
        }
    }

    /// Is any liquidation of the asset under way?
    pub fn under_liquidation(&self, asset: AssetIx) -> bool {
        self.liquidations.iter().any(|(index, _, _)| *index == asset)
    }

    /// The liquidation of a scope.
    pub fn liquidation(&self, asset: AssetIx, scope: Scope) -> Option<LiquidationId> {
        let found = self.liquidations.iter().find(|entry| entry.0 == asset && entry.1 == scope);
        found.map(|entry| entry.2)
    }

    /// Σ isolated margins of the asset.
    pub fn isolated_margins(&self, asset: AssetIx, of: impl Fn(MarketIx) -> Option<AssetIx>) -> Result<Money, Reject> {
        let mut sum = Money::ZERO;
        for position in &self.positions {
            if let Some(margin) = position.isolated
                && of(position.market) == Some(asset)
            {
                sum = sum.plus(margin)?;
            }
        }
        Ok(sum)
    }
}

/// What one change may touch of an account: a wallet, and at most one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) asset: AssetIx,
    pub(super) wallet: Option<Money>,
    pub(super) leg: Option<(MarketIx, Leg)>,
    pub(super) position: Option<Position>,
}

impl Part {
    /// As it is now.
    pub(super) fn of(account: &Account, asset: AssetIx, leg: Option<(MarketIx, Leg)>) -> Self {
        let wallet = account.wallets.iter().find(|(index, _)| *index == asset).map(|(_, money)| *money);
        let position = leg.and_then(|(market, leg)| account.position(market, leg)).cloned();
        Self { asset, wallet, leg, position }
    }

    /// The position, or a flat one.
    pub(super) fn position(&self, account: &Account, market: MarketIx, leg: Leg) -> Position {
        self.position.clone().unwrap_or_else(|| account.flat(market, leg))
    }

    /// Puts it back as it was.
    pub(super) fn put_back(self, account: &mut Account) {
        if let Ok(place) = account.wallets.binary_search_by_key(&self.asset, |(index, _)| *index) {
            match (self.wallet, account.wallets.get_mut(place)) {
                (Some(before), Some((_, money))) => *money = before,
                _ => drop(account.wallets.remove(place)),
            }
        }
        match (self.position, self.leg) {
            (Some(position), _) => account.put(position),
            (None, Some((market, leg))) => account.positions.retain(|open| (open.market, open.leg) != (market, leg)),
            (None, None) => {}
        }
    }
}

/// Changes a position by a trade of `quantity` (signed) worth `value` (signed, same direction of quantity for linear
/// contracts). The part against the position closes and realises; the rest opens.
///
/// Shape:  realised = −value(closing part) − cost × closed ÷ quantity
/// Rounds: the share of cost up, the posting down, both at their scale and both against the account; what the posting
///         leaves over stays in the cost basis, and goes to the venue when the position closes.
/// Errors: overflow only.
pub fn trade(market: &Market, position: &mut Position, quantity: Quantity, value: Money) -> Result<Traded, Reject> {
    let held = position.quantity;
    let same_side = held.is_zero() || held.is_negative() == quantity.is_negative();
    if same_side {
        position.quantity = held.plus(quantity)?;
        position.cost = position.cost.plus(value)?;
        return Ok(Traded { opened: value.abs(), ..Traded::default() });
    }
    let closes_all = quantity.abs() >= held.abs();
    let closing_value = if quantity.abs() > held.abs() {
        let scale = market.value_scale;
        let part = number::mul_div(value.get(), held.abs().get(), quantity.abs().get(), scale, Rounding::Nearest)?;
        Money::new(part)
    } else {
        value
    };
    let share = if closes_all {
        position.cost
    } else {
        let scale = market.value_scale;
        let part = number::mul_div(position.cost.get(), quantity.abs().get(), held.abs().get(), scale, Rounding::Ceil)?;
        Money::new(part)
    };
    let gain = (-closing_value).minus(share)?;
    let realised = gain.quantise(market.asset_scale, Rounding::Floor)?;
    let over = gain.minus(realised)?;
    let mut done = Traded { realised, ..Traded::default() };
    if let Some(margin) = position.isolated {
        done.released = if closes_all {
            margin
        } else {
            let (scale, part) = (market.asset_scale, quantity.abs().get());
            Money::new(number::mul_div(margin.get(), part, held.abs().get(), scale, Rounding::Floor)?)
        };
        position.isolated = Some(margin.minus(done.released)?);
    }
    let opening_value = value.minus(closing_value)?;
    position.quantity = held.plus(quantity)?;
    if closes_all {
        done.dust = over;
        done.opened = opening_value.abs();
        position.cost = opening_value;
    } else {
        position.cost = position.cost.minus(share)?.minus(over)?;
    }
    Ok(done)
}

/// A quantity may not leave less open than liquidation orders may still close.
pub(super) fn check_lock(position: &Position, quantity: Quantity) -> Result<(), Reject> {
    if position.locked.is_zero() {
        return Ok(());
    }
    let after = position.quantity.plus(quantity)?;
    let flips = after.is_negative() != position.quantity.is_negative();
    if flips || after.abs() < position.locked {
        return Err(Reject::limit(Code::UnderLiquidation, "quantity", quantity.get(), position.locked.get()));
    }
    Ok(())
}
