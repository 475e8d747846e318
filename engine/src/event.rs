//! What happened: one event type makes the streams, the history and the expectations of scenario files.

use crate::id::{AccountId, ClaimId, Leg, LiquidationId, Millis, OrderId, Seq, Side};
use crate::money::{Money, Notional, Price, Quantity, Rate};
use crate::rulebook::RulesHash;
use crate::rules::AdlPolicy;
use crate::view::{AssetView, PendingChange, PositionView};
use serde::Serialize;
use serde_json::Value;
use smol_str::SmolStr;
use std::sync::Arc;

/// An event with its place, its time and the command that caused it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Counts events from 1, without a gap.
    pub seq: u64,
    /// The time of the command.
    pub time: Millis,
    /// The sequence number of the command.
    pub cause: Seq,
    /// The rules it was decided by, see [`crate::rulebook`].
    pub rules: RulesHash,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// How a source's observation was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// As it is.
    Ok,
    /// Too old: not used.
    Stale,
    /// Moved to the edge of the band.
    Clamped,
    /// Too far from the median: not used.
    Excluded,
}

/// One source of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceView {
    /// Its name.
    pub source: SmolStr,
    /// What it said.
    pub price: Price,
    /// How that was used.
    pub state: SourceState,
}

/// Can a market's price be trusted?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MarketState {
    /// Yes.
    Ok,
    /// No: the last mark stays.
    Degraded,
}

/// Why a market is degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DegradedReason {
    /// No price has ever come.
    NoPrice,
    /// Fewer fresh sources than the rules ask for.
    TooFewSources,
    /// The index jumped beyond the breaker.
    Breaker,
}

/// How a liquidation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Equity is above maintenance again.
    Restored,
    /// Nothing is left to close.
    Closed,
    /// The rest was closed against other accounts.
    Deleveraged,
    /// The rest was taken over by the fund.
    TakenOver,
}

/// A layer of the waterfall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The isolated pool of the market.
    MarketPool,
    /// The shared pool.
    SharedPool,
    /// The injection line.
    InjectionLine,
}

/// What one layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LayerAmount {
    /// The layer.
    pub layer: Layer,
    /// The amount.
    pub amount: Money,
}

/// Is a claim paid?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClaimStatus {
    /// Nothing of it.
    Open,
    /// All of it.
    Paid,
    /// Some of it.
    PartPaid,
}

/// Why an entry stands in the fund's ledger. There is one way out: `shortfall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// In: the fee of a liquidation.
    LiquidationFee,
    /// In: what a liquidation fetched above the bankruptcy price.
    Surplus,
    /// In: a share of trading fees.
    TradingFeeShare,
    /// In: the venue's first endowment.
    SeedCapital,
    /// In: capital put in by the venue.
    Injection,
    /// Out: the loss of a liquidation beyond its margin.
    Shortfall,
}

impl Reason {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LiquidationFee => "liquidation_fee",
            Self::Surplus => "surplus",
            Self::TradingFeeShare => "trading_fee_share",
            Self::SeedCapital => "seed_capital",
            Self::Injection => "injection",
            Self::Shortfall => "shortfall",
        }
    }
}

/// Why positions were auto-deleveraged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdlReason {
    /// The fund has nothing left to give.
    FundEmpty,
    /// The pool has fallen too far from its peak.
    Drawdown,
    /// The market has drawn its share of the shared pool.
    MarketCap,
    /// Nobody bought within the limit.
    Unfilled,
}

/// A fact. Those with many figures are boxed, so that the others stay small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of INTERFACE, documented with the API")]
pub enum Fact {
    /// A mark, or what it is made of, changed.
    MarkUpdated { market: SmolStr, mark: Price, index: Price, sources: Vec<SourceView> },
    /// A market's price can be trusted again, or no more.
    MarketState {
        market: SmolStr,
        state: MarketState,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<DegradedReason>,
    },
    /// An account is at or below maintenance. Its open orders are to be cancelled.
    LiquidationStarted {
        liquidation: LiquidationId,
        account: AccountId,
        asset: SmolStr,
        #[serde(skip_serializing_if = "Option::is_none")]
        market: Option<SmolStr>,
        equity: Money,
        maintenance_margin: Money,
    },
    /// An order to close (part of) a position.
    LiquidationOrder {
        liquidation: LiquidationId,
        #[serde(serialize_with = "crate::id::order_text")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        order: OrderId,
        market: SmolStr,
        side: Side,
        quantity: Quantity,
        limit_price: Price,
        bankruptcy_price: Price,
        coverage: Money,
    },
    /// A fill of such an order, settled.
    LiquidationSettled {
        liquidation: LiquidationId,
        #[serde(serialize_with = "crate::id::order_text")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        order: OrderId,
        account: AccountId,
        market: SmolStr,
        quantity: Quantity,
        price: Price,
        bankruptcy_price: Price,
        fee: Money,
        surplus: Money,
        shortfall: Money,
        #[serde(flatten)]
        detail: Box<Settled>,
    },
    /// A liquidation is over.
    LiquidationEnded { liquidation: LiquidationId, outcome: Outcome, account: AccountId, asset: SmolStr },
    /// The fund has taken over (part of) a position, at its bankruptcy price. `quantity` has the sign of the position.
    TakenOver {
        liquidation: LiquidationId,
        account: AccountId,
        market: SmolStr,
        quantity: Quantity,
        price: Price,
        mark: Price,
    },
    /// What the fund was asked for and gave.
    Coverage { liquidation: LiquidationId, asked: Money, granted: Money, layers: Vec<LayerAmount> },
    /// A claim on the fund was opened or paid.
    Claim { claim: ClaimId, liquidation: LiquidationId, amount: Money, paid: Money, status: ClaimStatus },
    /// A line of the fund's ledger.
    FundEntry(Box<LedgerEntry>),
    /// Auto-deleveraging begins for a quantity.
    AdlTriggered {
        market: SmolStr,
        side: Side,
        quantity: Quantity,
        reason: AdlReason,
        liquidation: LiquidationId,
        candidates: u64,
        profit: Money,
    },
    /// A position was reduced against a liquidated one.
    Deleveraged(Box<Deleveraged>),
    /// What the fund owes and nobody backs.
    Unbacked { asset: SmolStr, liability: Money },
    /// An account, as the API shows it.
    AccountUpdated {
        account: AccountId,
        #[serde(flatten)]
        asset: Box<AssetView>,
    },
    /// A position, as the API shows it.
    PositionUpdated {
        account: AccountId,
        #[serde(flatten)]
        position: Box<PositionView>,
    },
    /// A command was refused.
    Rejected { code: &'static str, message: String, field: &'static str },
    /// A change of the rules is planned.
    RulesScheduled(Box<PendingChange>),
    /// A planned change was dropped.
    RulesVetoed {
        change: Seq,
        #[serde(skip_serializing_if = "SmolStr::is_empty")]
        by: SmolStr,
    },
    /// Rules have come into force.
    RulesChanged(Box<RulesChanged>),
}

/// Rules that have come into force: of a market, or of an asset with its injection line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RulesChanged {
    /// The planned change that this carries out, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Seq>,
    /// The market.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<SmolStr>,
    /// Or the asset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<SmolStr>,
    /// Counts the versions of a market's rules from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The rules, as the API shows them.
    pub in_force: Value,
}

/// What else is told of a settled fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Settled {
    /// The side of the order: `sell` closes a long position.
    pub side: Side,
    /// The mark of the last tick.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Price>,
    /// What of the surplus the fund keeps.
    pub fund_share: Money,
    /// And what the account is left.
    pub account_share: Money,
}

/// A line of the fund's ledger. The hash chain is over a canonical form, see [`crate::fund::Ledger`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LedgerEntry {
    /// Counts the entries of the asset from 1.
    pub entry: u64,
    /// The fund's asset.
    pub asset: SmolStr,
    /// The pool.
    pub pool: SmolStr,
    /// Why.
    pub reason: Reason,
    /// Signed: in is positive.
    pub amount: Money,
    /// The pool after it.
    pub balance: Money,
    /// The market, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<SmolStr>,
    /// The liquidation, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liquidation: Option<LiquidationId>,
    /// The account, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Hash of the entry before, in hex; zeros on the first.
    pub previous_hash: String,
    /// Hash of this entry, in hex.
    pub hash: String,
}

/// What an account that was deleveraged is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deleveraged {
    /// The liquidation it covered.
    pub liquidation: LiquidationId,
    /// The account.
    pub account: AccountId,
    /// The market.
    pub market: SmolStr,
    /// The leg, in hedge mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg: Option<Leg>,
    /// The side of its position: `buy` is long.
    pub side: Side,
    /// How much was closed.
    pub quantity: Quantity,
    /// At which price.
    pub price: Price,
    /// What that realised.
    pub realised_pnl: Money,
    /// By which policy.
    pub policy: AdlPolicy,
    /// Its score.
    pub score: Rate,
    /// Its rank, from 1.
    pub rank: u64,
    /// Of how many.
    pub of: u64,
    /// Does it hold the offsetting leg elsewhere?
    pub hedged: bool,
    /// Notional at the mark.
    pub notional: Notional,
    /// The fund's balance in the asset then.
    pub fund_balance: Money,
    /// The mark of the last tick.
    pub mark: Price,
    /// What the score was computed from.
    pub inputs: Arc<ScoreInputs>,
}

/// What a score is computed from, as it was when the ranking was made. All amounts in the settlement asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScoreInputs {
    /// Unrealised PnL of the position at the mark.
    pub unrealised_pnl: Money,
    /// Its cost basis, signed.
    pub cost: Money,
    /// Its size at the mark.
    pub notional: Notional,
    /// Its size net of what hedges it.
    pub net_notional: Notional,
    /// Equity of what stands behind it: its own when isolated, the account's when cross.
    pub equity: Money,
    /// Maintenance margin of that.
    pub maintenance_margin: Money,
    /// Σ unrealised PnL of that.
    pub scope_pnl: Money,
    /// Σ |cost basis| of that.
    pub scope_cost: Money,
}
