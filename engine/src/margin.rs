//! Accounts: what they hold, what margin they need, and which of them are at or below maintenance.
//!
//! | file | what it decides |
//! |---|---|
//! | `account` | what an account is, and what a trade does to a position |
//! | `accounts` | where each account of a shard stands |
//! | `assess` | equity, initial and maintenance margin |
//! | `fixed` | the same health in whole numbers, with a bound on what rounding can change |
//! | `guard` | who must be looked at after prices have moved |
//! | `price` | liquidation price, bankruptcy price |
//! | `totals` | what a shard holds in sum |
//! | `shard` | the state machine: commands in, outcomes out |
//! | `apply` | what each account command does |
//! | `evaluate` | breaches, funding dues, views |
//! | `bankruptcies` | at which price each position would be bankrupt |
//! | `candidates` | who could be deleveraged |
//! | `post` | what liquidations, ADL and funding do to accounts |

mod account;
mod accounts;
mod apply;
mod assess;
mod bankruptcies;
mod candidates;
mod evaluate;
mod fixed;
mod guard;
mod post;
mod price;
mod shard;
mod totals;

pub use account::{Account, OrderMargin, Position, Settings, Traded, trade};
pub use assess::{MarginReport, Mark, Marks, Valued, isolated_equity, value};
pub use candidates::Candidate;
pub(crate) use evaluate::share_of;
pub use evaluate::{Due, Inventory, PositionReport, Report};
pub use post::Posting;
pub use price::{Standing, bankruptcy_price, liquidation_price};
pub use shard::{FundNotice, Haircut, Objection, RunReply, Shard};
pub use totals::{AssetTotals, MarketTotals, Totals};

use crate::id::{Leg, MarketIx};
use serde::{Deserialize, Serialize};

/// What stands behind a position: the wallet together with others, or its own margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// All cross positions of the account in one asset.
    Cross,
    /// One isolated position.
    Isolated(MarketIx, Leg),
}
