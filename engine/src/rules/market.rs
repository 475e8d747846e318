//! One market: the contract and its risk rules, and the value of a position in it.

use super::{Asset, TierTable};
use crate::command::ListMarket;
use crate::id::{AssetIx, MarketIx, Millis};
use crate::money::{Money, Notional, Price, Quantity, Rate};
use crate::number::{self, Rounding, SCALE_MAX};
use crate::reject::{Code, Reject};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// How the value of a contract depends on its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Quoted and settled in the same asset: `q·m·p`.
    Linear,
    /// Quoted in another asset, settled in the coin: `−q·m/p`.
    Inverse,
}

/// How much of a position a liquidation order closes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// All of it.
    #[default]
    Full,
    /// Just enough to fall to a tier the equity supports.
    TierStep,
    /// This share of what it was when the liquidation started.
    Fraction(Rate),
}

/// Who keeps what a liquidation fetches above the bankruptcy price, after the fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Surplus {
    /// The insurance fund (clawback).
    #[default]
    Fund,
    /// The account.
    Account,
    /// The fund this share of it, the account the rest.
    FundShare(Rate),
}

/// What becomes of a quantity that nobody bought within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// Auto-deleveraging at once.
    #[default]
    Adl,
    /// The fund takes it over at the bankruptcy price while it can bear the loss at the mark; else ADL.
    Takeover,
}

/// The rules of liquidation in one market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LiquidationRules {
    /// How much at a time.
    pub reduce: Reduce,
    /// A liquidation stops when equity ≥ maintenance × this.
    pub restore_ratio: Rate,
    /// Liquidation fee as a fraction of the notional closed.
    pub fee_rate: Rate,
    /// Who keeps the surplus.
    pub surplus: Surplus,
    /// What becomes of the unfilled rest.
    pub residual: Residual,
    /// Most notional sent per second.
    pub pace_per_second: Option<Notional>,
    /// How long an external order may stay open.
    pub order_ttl_ms: Millis,
}

impl Default for LiquidationRules {
    fn default() -> Self {
        Self {
            reduce: Reduce::Full,
            restore_ratio: Rate::new(Decimal::ONE),
            fee_rate: Rate::ZERO,
            surplus: Surplus::Fund,
            residual: Residual::Adl,
            pace_per_second: None,
            order_ttl_ms: 1_000,
        }
    }
}

/// Who is deleveraged first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdlPolicy {
    /// By profit ratio × effective leverage.
    #[default]
    Queue,
    /// Everybody in profit, in proportion to size.
    ProRata,
    /// The most leveraged are lowered until they are level.
    LeverageWaterFilling,
    /// By the account's profit ratio × margin ratio.
    AccountRatio,
}

/// The price of an ADL fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdlPrice {
    /// The bankruptcy price of the position that is covered.
    #[default]
    Bankruptcy,
    /// The mark; the loss beyond bankruptcy is then claimed from the fund.
    Mark,
}

/// The drawdown trigger: ADL starts when the pool has fallen this far from its peak.
///
/// Source: Bybit ADL alert rules, 8 h and 30 % (vectors: bybit-adl-drawdown-*, bybit-adl-hysteresis-*).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Drawdown {
    /// The rolling window of the peak.
    pub window_ms: Millis,
    /// Starts at a fall of this fraction, equality included.
    pub start: Rate,
    /// Stops when the fall is less than this fraction.
    pub stop: Rate,
}

/// The rules of auto-deleveraging in one market.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdlRules {
    /// Who is first.
    pub policy: AdlPolicy,
    /// At which price.
    pub price: AdlPrice,
    /// The drawdown trigger, if any.
    pub drawdown: Option<Drawdown>,
    /// Markets of one group hedge one another: an account is ranked by its net exposure to the group.
    pub hedge_group: Option<SmolStr>,
}

/// Which pool of the fund a market draws on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolRules {
    /// Its name; `shared` is the shared pool.
    pub name: SmolStr,
    /// Most it may draw from the shared pool within the window.
    pub shared_draw_cap: Option<Money>,
    /// The window of the cap.
    pub window_ms: Millis,
}

impl Default for PoolRules {
    fn default() -> Self {
        Self { name: SmolStr::new_static("shared"), shared_draw_cap: None, window_ms: 86_400_000 }
    }
}

/// The deterministic liquidity model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EmbeddedVenue {
    /// Notional that moves the price by one basis point; none for endless depth at the mark.
    pub depth_per_bp: Option<Notional>,
    /// How long the price takes to come back.
    pub recovery_ms: Millis,
}

impl Default for EmbeddedVenue {
    fn default() -> Self {
        Self { depth_per_bp: None, recovery_ms: 60_000 }
    }
}

/// Where liquidation orders are executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Venue {
    /// On the matching engine outside: orders leave as events, fills come back as commands.
    External,
    /// On the liquidity model inside.
    Embedded(EmbeddedVenue),
}

impl Default for Venue {
    fn default() -> Self {
        Self::Embedded(EmbeddedVenue::default())
    }
}

/// What the mark price is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MarkRule {
    /// The index.
    #[default]
    Index,
    /// The median of index × (1 + funding basis), index + moving average of the basis, and the last trade.
    MedianOfThree,
}

/// What liquidations do while the price is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenDegraded {
    /// They wait.
    #[default]
    Wait,
    /// They go on at the last mark.
    Liquidate,
}

/// The rules of a market's oracle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OracleRules {
    /// What the mark is made of.
    pub mark: MarkRule,
    /// Fewer fresh sources than this: degraded.
    pub min_sources: u32,
    /// An observation older than this is not used.
    pub stale_after_ms: Millis,
    /// A source farther than this fraction from the median is clamped to the edge; farther than twice this, excluded.
    pub band: Rate,
    /// Weight of each source; one that is not named has weight 1, or none when any is named.
    pub weights: BTreeMap<SmolStr, Rate>,
    /// A jump of the index beyond this fraction of the last one: degraded until it is confirmed.
    pub breaker: Option<Rate>,
    /// What liquidations do then.
    pub when_degraded: WhenDegraded,
}

impl Default for OracleRules {
    fn default() -> Self {
        Self {
            mark: MarkRule::Index,
            min_sources: 1,
            stale_after_ms: 10_000,
            band: Rate::new(Decimal::from_parts(5, 0, 0, false, 2)),
            weights: BTreeMap::new(),
            breaker: None,
            when_degraded: WhenDegraded::Wait,
        }
    }
}

/// A contract and its risk rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Market {
    /// Its number.
    pub index: MarketIx,
    /// Its name.
    pub name: SmolStr,
    /// Counts the changes of its rules from 1.
    pub version: u32,
    /// Its settlement asset.
    pub asset: AssetIx,
    /// The scale of that asset.
    pub asset_scale: u32,
    /// Linear or inverse.
    pub kind: Kind,
    /// Size of one contract: in the base for linear, in the quote for inverse.
    pub contract_size: Quantity,
    /// Prices of fills are multiples of this.
    pub tick_size: Price,
    /// Quantities are multiples of this.
    pub lot_size: Quantity,
    /// Decimals of a mark price: some more than the tick's.
    pub mark_scale: u32,
    /// Decimals of a cost basis: exact for linear contracts, the asset's for inverse ones.
    pub value_scale: u32,
    /// Risk tiers.
    pub tiers: TierTable,
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

impl Market {
    pub(super) fn new(command: &ListMarket, asset: &Asset, index: MarketIx, version: u32) -> Result<Self, Reject> {
        let decimals = |value: Decimal| value.normalize().scale();
        let (size, tick, lot) = (command.contract_size, command.tick_size, command.lot_size);
        let exact = decimals(size.get()).saturating_add(decimals(tick.get())).saturating_add(decimals(lot.get()));
        let precise = SCALE_MAX.saturating_sub(2);
        if exact > precise {
            return Err(Reject::limit(Code::TooPrecise, "tick_size", exact.into(), precise.into()));
        }
        // As many more decimals for the mark as keep its exact value within 14.
        let finer = SCALE_MAX.saturating_sub(exact).min(4);
        Ok(Self {
            index,
            name: command.market.clone(),
            version,
            asset: asset.index,
            asset_scale: asset.scale,
            kind: command.kind,
            contract_size: size,
            tick_size: tick,
            lot_size: lot,
            mark_scale: decimals(tick.get()).saturating_add(finer),
            value_scale: match command.kind {
                Kind::Linear => exact.max(asset.scale),
                Kind::Inverse => asset.scale,
            },
            tiers: TierTable::new(&command.tiers)?,
            liquidation: command.liquidation.clone(),
            adl: command.adl.clone(),
            pool: command.pool.clone(),
            venue: command.venue.clone(),
            oracle: command.oracle.clone(),
        })
    }

    pub(super) fn check_successor(&self, after: &Self) -> Result<(), Reject> {
        let immutable = |same: bool, field: &'static str| {
            if same { Ok(()) } else { Err(Reject::new(Code::Immutable, field)) }
        };
        immutable(self.kind == after.kind, "kind")?;
        immutable(self.asset == after.asset, "asset")?;
        immutable(self.contract_size == after.contract_size, "contract_size")?;
        immutable(self.tick_size == after.tick_size, "tick_size")?;
        immutable(self.lot_size == after.lot_size, "lot_size")?;
        immutable(self.pool.name == after.pool.name, "pool.name")
    }

    /// Value of `quantity` contracts at `price`, signed, at `scale` decimals.
    ///
    /// Shape:  linear `q·m·p`, inverse `−q·m/p` (DESIGN §5)
    /// Units:  the settlement asset.
    /// Errors: overflow beyond 28 digits.
    fn value_at(&self, quantity: Quantity, price: Price, scale: u32, rounding: Rounding) -> Result<Money, Reject> {
        let size = number::mul_exact(quantity.get(), self.contract_size.get())?;
        Ok(Money::new(match self.kind {
            Kind::Linear => number::mul(size, price.get(), scale, rounding)?,
            Kind::Inverse => number::div(-size, price.get(), scale, rounding)?,
        }))
    }

    /// What a trade adds to the cost basis. One figure, which the two sides share with opposite signs: exact for linear
    /// contracts, to the nearest unit of the asset for inverse ones.
    pub fn trade_value(&self, quantity: Quantity, price: Price) -> Result<Money, Reject> {
        self.value_at(quantity, price, self.value_scale, Rounding::Nearest)
    }

    /// Value at the mark. Exact for linear contracts; rounded down at the asset's scale (against the account) for
    /// inverse ones.
    pub fn mark_value(&self, quantity: Quantity, mark: Price) -> Result<Money, Reject> {
        match self.kind {
            Kind::Linear => self.value_at(quantity, mark, SCALE_MAX, Rounding::Floor),
            Kind::Inverse => self.value_at(quantity, mark, self.asset_scale, Rounding::Floor),
        }
    }

    /// What `quantity` contracts are worth less at `price` than at `mark`; negative when they are worth more.
    ///
    /// Rounds: up at 14 decimals, whatever the scale of the asset: it is multiplied by a quantity afterwards.
    pub fn loss_between(&self, quantity: Quantity, mark: Price, price: Price) -> Result<Money, Reject> {
        let before = self.value_at(quantity, mark, SCALE_MAX, Rounding::Ceil)?;
        Ok(before.minus(self.value_at(quantity, price, SCALE_MAX, Rounding::Floor)?)?)
    }

    /// Size of a position: the absolute value, rounded up for inverse contracts.
    pub fn notional(&self, quantity: Quantity, mark: Price) -> Result<Notional, Reject> {
        let scale = match self.kind {
            Kind::Linear => SCALE_MAX,
            Kind::Inverse => self.asset_scale,
        };
        let value = self.value_at(quantity.abs(), mark, scale, Rounding::FromZero)?;
        Ok(Notional::new(value.get().abs()))
    }

    /// Most contracts (in lots) whose notional at `price` is no more than `notional`.
    pub fn quantity_of(&self, notional: Notional, price: Price) -> Result<Quantity, Reject> {
        let (size, lot) = (self.contract_size.get(), self.lot_size.get());
        let lots = match self.kind {
            Kind::Linear => {
                let lot_value = number::mul(number::mul_exact(size, lot)?, price.get(), SCALE_MAX, Rounding::Ceil)?;
                number::div(notional.get(), lot_value, 0, Rounding::Floor)?
            }
            Kind::Inverse => {
                number::mul_div(notional.get(), price.get(), number::mul_exact(size, lot)?, 0, Rounding::Floor)?
            }
        };
        Ok(Quantity::new(number::mul_exact(lots, lot)?))
    }

    /// The price at which a position of `quantity` contracts, worth what it is at `price`, has gained `gain`; none when
    /// no price above zero does. `scale` decimals, rounded as named.
    ///
    /// Shape:  linear `p + gain/(q·m)`, inverse `q·m·p / (q·m − gain·p)`
    pub fn price_after_gain(
        &self,
        quantity: Quantity,
        price: Price,
        gain: Money,
        scale: u32,
        rounding: Rounding,
    ) -> Result<Option<Price>, Reject> {
        let size = number::mul_exact(quantity.get(), self.contract_size.get())?;
        if size.is_zero() {
            return Ok(None);
        }
        let found = match self.kind {
            Kind::Linear => {
                // One division for the whole: (p·q·m + gain) / (q·m).
                let value = number::mul(size, price.get(), SCALE_MAX, Rounding::Nearest)?;
                number::div(number::add(value, gain.get())?, size, scale, rounding)?
            }
            Kind::Inverse => {
                let moved = number::mul(gain.get(), price.get(), SCALE_MAX, Rounding::Nearest)?;
                let rest = number::sub(size, moved)?;
                if rest.is_zero() || rest.is_sign_negative() != size.is_sign_negative() {
                    return Ok(None);
                }
                number::mul_div(size, price.get(), rest, scale, rounding)?
            }
        };
        Ok((found.is_sign_positive() && !found.is_zero()).then(|| Price::new(found)))
    }

    /// A price on the tick grid.
    pub fn to_tick(&self, price: Price, rounding: Rounding) -> Result<Price, Reject> {
        Ok(Price::new(number::to_step(price.get(), self.tick_size.get(), rounding)?))
    }

    /// A quantity on the lot grid.
    pub fn to_lot(&self, quantity: Quantity, rounding: Rounding) -> Result<Quantity, Reject> {
        Ok(Quantity::new(number::to_step(quantity.get(), self.lot_size.get(), rounding)?))
    }

    /// Refuses a price that is not on the tick grid.
    pub fn check_tick(&self, price: Price) -> Result<(), Reject> {
        if number::is_multiple(price.get(), self.tick_size.get()) {
            return Ok(());
        }
        Err(Reject::limit(Code::OffTick, "price", price.get(), self.tick_size.get()))
    }

    /// Refuses a quantity that is not on the lot grid.
    pub fn check_lot(&self, quantity: Quantity) -> Result<(), Reject> {
        if number::is_multiple(quantity.get(), self.lot_size.get()) {
            return Ok(());
        }
        Err(Reject::limit(Code::OffLot, "quantity", quantity.get(), self.lot_size.get()))
    }
}
