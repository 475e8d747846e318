//! The pools of the funds, each with the markets that draw on it first.

use super::symbols::{Listed, Listing};
use crate::http::Api;
use crate::http::problem::Problem;
use crate::http::reads::{ask, unexpected};
use backstop_actors::conductor::{Answer, Query};
use backstop_engine::id::Millis;
use backstop_engine::view::{FundView, PoolView};

/// All funds, and the time of the last command.
pub(super) struct Pools {
    funds: Vec<FundView>,
    pub(super) time: Millis,
}

/// A pool.
pub(super) struct Pool<'a> {
    pub(super) asset: &'a str,
    pub(super) view: &'a PoolView,
    /// Markets whose own pool it is, in the order of listing.
    pub(super) symbols: Vec<String>,
}

impl Pools {
    /// Of this moment.
    pub(super) async fn of(api: &Api) -> Result<Self, Problem> {
        let answered = ask(api, Query::Funds).await?;
        match answered.answer {
            Answer::Funds(funds) => Ok(Self { funds, time: answered.time }),
            _ => Err(unexpected()),
        }
    }

    /// Every pool there is.
    pub(super) fn all<'a>(&'a self, listing: &Listing) -> Vec<Pool<'a>> {
        let of = |asset: &'a str, view: &'a PoolView| {
            let members = listing.all.iter().filter(|listed| is_of(listed, asset, view));
            Pool { asset, view, symbols: members.map(|listed| listed.symbol.clone()).collect() }
        };
        let pools = |fund: &'a FundView| fund.pools.iter().map(move |view| of(&fund.asset, view)).collect::<Vec<_>>();
        self.funds.iter().flat_map(pools).collect()
    }

    /// A market's own pool.
    pub(super) fn own(&self, listed: &Listed) -> Option<&PoolView> {
        let fund = self.funds.iter().find(|fund| fund.asset == listed.asset)?;
        fund.pools.iter().find(|view| is_of(listed, &fund.asset, view))
    }
}

fn is_of(listed: &Listed, asset: &str, view: &PoolView) -> bool {
    listed.asset == asset && listed.market.pool.name == view.pool
}
