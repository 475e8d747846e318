//! Decides how an account at or below maintenance is closed: which position, how much, at which price, and where the
//! rest goes.
//!
//! In: reports of the shards, answers of the fund, fills of the external venue. Out: postings to accounts, facts. It
//! never holds a balance, and never decides who pays.
//!
//! | file | what it decides |
//! |---|---|
//! | `plan` | which position, how much of it, its bankruptcy price |
//! | `venue` | the embedded liquidity model |
//! | `queue` | the order of liquidations, their start and end |
//! | `execute` | one order: coverage, execution, settlement |
//! | `residual` | what nobody covers or nobody bought: takeover, ADL, an unbacked loss |
//! | `external` | fills, expiry and refusal of orders that left |
//! | `inventory` | unwinding what the fund has taken over |

mod execute;
mod external;
mod inventory;
mod plan;
mod queue;
mod residual;
mod venue;

pub use plan::{Plan, choose, plan};
pub use queue::{Outcome, Queue};
pub use venue::{Quote, VenueState, quote};

use crate::event::Fact;
use crate::flow::Stop;
use crate::fund::{FundReply, FundRequest};
use crate::id::{AccountId, AssetIx, Leg, LiquidationId, MarketIx, Millis, OrderId, Side};
use crate::margin::Scope;
use crate::money::{Money, Price, Quantity};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};

/// Where the queue asks the fund. In one thread a function call, between actors a message.
#[allow(async_fn_in_trait, reason = "both implementations stay on their own thread")]
pub trait FundDesk {
    /// Asks, and waits for the answer and the facts that came with it.
    async fn ask(&mut self, request: FundRequest) -> Result<(FundReply, Vec<Fact>), Stop>;
}

/// A liquidation under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liquidation {
    /// Whose.
    pub account: AccountId,
    /// The asset.
    pub asset: AssetIx,
    /// What is being liquidated.
    pub scope: Scope,
    /// When it began.
    pub started: Millis,
    /// What each position was when it was first reduced, for the fraction policy.
    pub initial: BTreeMap<(MarketIx, Leg), Quantity>,
    /// Orders at the external venue.
    pub orders: BTreeSet<OrderId>,
    /// An external order ended unfilled: the rest goes to the residual policy.
    pub unfilled: bool,
    /// Has any of it been closed against other accounts?
    pub deleveraged: bool,
    /// Has any of it been taken over?
    pub taken_over: bool,
}

/// An order at the external venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its liquidation.
    pub liquidation: LiquidationId,
    /// Whose position it closes.
    pub account: AccountId,
    /// In which market.
    pub market: MarketIx,
    /// Which leg.
    pub leg: Leg,
    /// The side of the order.
    pub side: Side,
    /// What is still open.
    pub left: Quantity,
    /// Not to be filled at a worse price.
    pub limit: Price,
    /// The bankruptcy price of the position.
    pub bankruptcy: Price,
    /// What the scope can still bear beyond the equity allotted to the order.
    pub spare: Money,
    /// When it ends by itself.
    pub deadline: Millis,
    /// Trades booked.
    pub trades: BTreeSet<SmolStr>,
    /// Fills settled.
    pub step: u32,
    /// Does it unwind the fund's inventory?
    pub unwinds: bool,
}

impl Order {
    /// A fill of it, as a change of the position.
    pub(super) fn signed(&self, quantity: Quantity) -> Quantity {
        if self.side == Side::Sell { -quantity } else { quantity }
    }
}

/// What is left of a market's pace in this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pace {
    pub(super) time: Millis,
    pub(super) left: Money,
    pub(super) untouched: bool,
}
