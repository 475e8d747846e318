//! What a reader is shown of the state: twins of the inner types, in the names of the API.

use crate::command::MarginMode;
use crate::event::{DegradedReason, MarketState, SourceView};
use crate::id::{AccountId, Leg, LiquidationId, Millis, OrderId, Seq, Side};
use crate::money::{Money, Price, Quantity, Rate};
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;

/// An account in one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AssetView {
    /// The settlement asset.
    pub asset: SmolStr,
    /// Money in it, isolated margins included.
    pub wallet: Money,
    /// Cross equity: wallet − isolated margins + unrealised PnL of cross positions.
    pub equity: Money,
    /// Initial margin of the cross positions and of open orders.
    pub initial_margin: Money,
    /// Maintenance margin of the cross positions.
    pub maintenance_margin: Money,
    /// Maintenance over equity; liquidation at 1. None without cross positions, or when equity is not above zero.
    pub margin_ratio: Option<Rate>,
    /// What new positions may use: equity less initial margin and order margin. A withdrawal is also bounded by the
    /// wallet less isolated margins: it never draws on unrealised profit.
    pub available: Money,
}

/// A position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PositionView {
    /// The market.
    pub market: SmolStr,
    /// `net`, `long` or `short`.
    pub leg: Leg,
    /// Long positive, short negative.
    pub quantity: Quantity,
    /// The average price of what is open.
    pub entry_price: Option<Price>,
    /// The mark it is valued at.
    pub mark: Option<Price>,
    /// Value at the mark less cost.
    pub unrealised_pnl: Money,
    /// Cross or isolated.
    pub mode: MarginMode,
    /// Its own margin, when isolated.
    pub isolated_margin: Option<Money>,
    /// Its maintenance margin.
    pub maintenance_margin: Money,
    /// Maintenance over equity of what stands behind it: its own when isolated, the account's when cross. Liquidation
    /// at 1; none when equity is not above zero.
    pub margin_ratio: Option<Rate>,
    /// The mark at which its scope is breached, everything else unchanged.
    pub liquidation_price: Option<Price>,
    /// The price at which the equity allotted to it is zero.
    pub bankruptcy_price: Option<Price>,
    /// 1 to 5; 5 is deleveraged first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adl_quantile: Option<u8>,
    /// From 1: the first to be deleveraged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adl_rank: Option<u64>,
    /// Of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adl_of: Option<u64>,
    /// Contracts that would be taken before this position's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adl_contracts_ahead: Option<Quantity>,
    /// The price it would be deleveraged at if that many contracts of the other side, and one more, had to be absorbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adl_price: Option<Price>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountView {
    /// Its name.
    pub account: AccountId,
    /// By asset.
    pub assets: Vec<AssetView>,
    /// By market and leg.
    pub positions: Vec<PositionView>,
}

/// A market's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MarkView {
    /// The market.
    pub market: SmolStr,
    /// Can it be trusted?
    pub state: MarketState,
    /// Why not.
    pub reason: Option<DegradedReason>,
    /// The mark.
    pub mark: Option<Price>,
    /// The index.
    pub index: Option<Price>,
    /// The time of the tick that made it.
    pub time: Option<Millis>,
    /// The sources of that tick.
    pub sources: Vec<SourceView>,
}

/// One pool of a fund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolView {
    /// Its name.
    pub pool: SmolStr,
    /// Its cash.
    pub balance: Money,
    /// Granted as coverage and not used yet.
    pub reserved: Money,
    /// Its highest balance within the window of its tightest drawdown rule (8 h without one).
    pub peak: Money,
    /// Below this balance ADL starts.
    pub trigger: Money,
    /// Balance less trigger.
    pub headroom: Money,
}

/// What a market has drawn on the shared pool within its window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrawView {
    /// The market.
    pub market: SmolStr,
    /// Most it may draw; none without a cap.
    pub cap: Option<Money>,
    /// Drawn, or held for its orders.
    pub drawn: Money,
}

/// The fund of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FundView {
    /// The asset.
    pub asset: SmolStr,
    /// Cash of all pools.
    pub balance: Money,
    /// Granted and not used yet.
    pub reserved: Money,
    /// Claims that nobody has paid.
    pub liability: Money,
    /// What the venue commits before ADL.
    pub injection_line: Money,
    /// What of it is drawn.
    pub injection_drawn: Money,
    /// Entries in the ledger.
    pub entries: u64,
    /// Hash of the last one.
    pub last_hash: String,
    /// Its pools.
    pub pools: Vec<PoolView>,
    /// Draws on the shared pool, by market that has any or a cap.
    pub draws: Vec<DrawView>,
}

/// How near auto-deleveraging is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WarningLevel {
    /// No move of less than 15 % exhausts what the fund may give.
    Low,
    /// A move of less than 15 % does.
    Medium,
    /// A move of less than 5 % does, there is nothing to give, or ADL is triggered.
    High,
}

/// How near a market is to auto-deleveraging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WarningView {
    /// The market.
    pub market: SmolStr,
    /// Its pool.
    pub pool: SmolStr,
    /// What all layers of the fund could grant it now, in the settlement asset.
    pub headroom: Money,
    /// The mark would have to fall to this at once to exhaust that; none when no fall does.
    pub price_down: Option<Price>,
    /// As a fraction of the mark, above zero.
    pub move_down: Option<Rate>,
    /// The mark would have to rise to this at once.
    pub price_up: Option<Price>,
    /// As a fraction of the mark.
    pub move_up: Option<Rate>,
    /// How near that is.
    pub level: WarningLevel,
    /// Is the drawdown trigger of the market on?
    pub triggered: bool,
}

/// A liquidation order that is open at an external venue: what a matching engine has to know that has just connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenOrderView {
    /// The liquidation it belongs to.
    pub liquidation: LiquidationId,
    /// Its number.
    #[serde(serialize_with = "crate::id::order_text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub order: OrderId,
    /// The market.
    pub market: SmolStr,
    /// Its side.
    pub side: Side,
    /// What is still to be filled.
    pub quantity: Quantity,
    /// Not to be filled at a worse price.
    pub limit_price: Price,
    /// The bankruptcy price of the position it closes.
    pub bankruptcy_price: Price,
    /// It ends by itself with the first tick at this time or later; until then fills are taken.
    pub expires: Millis,
}

/// A planned change of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PendingChange {
    /// Its number: the sequence number of the command that planned it.
    pub change: Seq,
    /// It may be carried out from this time on.
    pub effective_time: Millis,
    /// Who proposed it.
    #[serde(skip_serializing_if = "SmolStr::is_empty")]
    pub by: SmolStr,
    /// The parameters that it loosens; empty when it loosens none.
    pub loosens: Vec<SmolStr>,
    /// The command that it stands for.
    pub proposal: Value,
}

/// The balance of one asset: what came in against what is there. `error` is zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AssetBalance {
    /// The asset.
    pub asset: SmolStr,
    /// Σ wallets, house accounts included.
    pub wallets: Money,
    /// Σ cost basis.
    pub cost_basis: Money,
    /// Cash of the fund.
    pub fund: Money,
    /// Fees earned, rebates paid, and the rounding of closed positions.
    pub revenue: Money,
    /// Claims that nobody has paid.
    pub liability: Money,
    /// Deposits, seed capital, fee share and injections.
    pub inflow: Money,
    /// Withdrawals.
    pub outflow: Money,
    /// wallets − cost basis + fund + revenue − liability − (inflow − outflow).
    pub error: Money,
}

/// The balance of one market: Σ quantity, which is zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MarketBalance {
    /// The market.
    pub market: SmolStr,
    /// Σ quantity over all accounts.
    pub error: Quantity,
    /// Σ quantity of the long positions.
    pub open_interest: Quantity,
}

/// Both balances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Conservation {
    /// By asset.
    pub assets: Vec<AssetBalance>,
    /// By market.
    pub markets: Vec<MarketBalance>,
}

impl Conservation {
    /// Does everything balance?
    pub fn holds(&self) -> bool {
        self.assets.iter().all(|asset| asset.error.is_zero())
            && self.markets.iter().all(|market| market.error.is_zero())
    }
}
