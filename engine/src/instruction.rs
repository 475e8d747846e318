//! A command whose names are resolved and whose form is right: what the state machines take.

use crate::command::{CreditSource, DoneStatus, MarginMode, PositionMode};
use crate::id::{AccountId, AssetIx, Leg, MarketIx, Millis, OrderId, Seq};
use crate::money::{Money, Price, Quantity, Rate};
use crate::rulebook::Pending;
use crate::rules::{Asset, Market};
use smol_str::SmolStr;
use std::num::NonZeroU64;
use std::sync::Arc;

/// One command in the one order of all commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// The type of the command.
    pub kind: &'static str,
    /// What to do.
    pub instruction: Instruction,
    /// The planned change of the rules that this carries out.
    pub change: Option<NonZeroU64>,
}

/// Takes entries through the first that is `wanted`, or all there are.
pub fn take_through(rest: &mut std::vec::IntoIter<Entry>, wanted: impl Fn(&Instruction) -> bool) -> Vec<Entry> {
    match rest.as_slice().iter().position(|entry| wanted(&entry.instruction)) {
        Some(place) => rest.by_ref().take(place.saturating_add(1)).collect(),
        // They stay where they are.
        None => std::mem::take(rest).collect(),
    }
}

/// One side of a trade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Who.
    pub account: AccountId,
    /// Its fee, negative for a rebate.
    pub fee: Money,
    /// Its leg, in hedge mode.
    pub leg: Option<Leg>,
}

/// A trade of the matching engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// The market.
    pub market: MarketIx,
    /// The price.
    pub price: Price,
    /// The quantity, above zero.
    pub quantity: Quantity,
    /// What it adds to the buyer's cost basis and takes from the seller's.
    pub value: Money,
    /// Who bought.
    pub buyer: Party,
    /// Who sold.
    pub seller: Party,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the command of the same name")]
pub enum Instruction {
    /// See the command.
    ListAsset(Arc<Asset>),
    /// See the command.
    ListMarket(Arc<Market>),
    /// See the command.
    Deposit { account: AccountId, asset: AssetIx, amount: Money },
    /// See the command.
    Withdraw { account: AccountId, asset: AssetIx, amount: Money },
    /// See the command.
    SetMarginMode { account: AccountId, market: MarketIx, mode: MarginMode },
    /// See the command.
    SetPositionMode { account: AccountId, mode: PositionMode },
    /// See the command.
    SetLeverage { account: AccountId, market: MarketIx, leverage: Rate },
    /// See the command.
    MoveMargin { account: AccountId, market: MarketIx, amount: Money, leg: Option<Leg> },
    /// See the command.
    ReserveMargin { account: AccountId, market: MarketIx, amount: Money, order: SmolStr },
    /// See the command.
    ReleaseMargin { account: AccountId, market: MarketIx, amount: Money, order: SmolStr },
    /// See the command. In its place: most commands are fills, and one on the heap costs more than it saves.
    Fill(Trade),
    /// See the command `price`.
    Observe { market: MarketIx, source: SmolStr, price: Price },
    /// See the command.
    Tick,
    /// See the command.
    FundingRate { market: MarketIx, rate: Rate, next_time: Millis, interval_ms: Millis },
    /// See the command.
    Funding { market: MarketIx, rate: Rate, id: SmolStr },
    /// See the command.
    FundingCorrection { market: MarketIx, of: SmolStr, rate: Rate },
    /// See the command.
    FundCredit { asset: AssetIx, pool: SmolStr, source: CreditSource, amount: Money },
    /// See the command.
    SetInjectionLine { asset: AssetIx, limit: Money },
    /// See the command.
    LiquidationFill { order: OrderId, trade: SmolStr, price: Price, quantity: Quantity },
    /// See the command.
    LiquidationDone { order: OrderId, status: DoneStatus },
    /// See the command.
    ScheduleRules(Arc<Pending>),
    /// See the command. `apply_rules` becomes the instruction of the change it carries out.
    VetoRules { change: Seq, by: SmolStr },
}

impl Instruction {
    /// Must everything before it have come to rest, in every state machine? The others only touch one each, so a run
    /// of them is handed over at once.
    pub fn is_barrier(&self) -> bool {
        matches!(
            self,
            Self::Tick
                | Self::Funding { .. }
                | Self::FundingCorrection { .. }
                | Self::LiquidationFill { .. }
                | Self::LiquidationDone { .. }
        )
    }
}
