//! The liquidation queue: which liquidations are under way, in which order they are served, when they end.

use super::execute::{Step, spare};
use super::plan::restored_at;
use super::{FundDesk, Liquidation, Order, Pace, VenueState, choose};
use crate::event::{Fact, Outcome as Ended};
use crate::flow::Stop;
use crate::fund::FundRequest;
use crate::id::{AccountId, AssetIx, LiquidationId, MarketIx, Millis, OrderId};
use crate::instruction::Instruction;
use crate::margin::{Inventory, Marks, Posting, Report, Scope};
use crate::money::{Money, Price, Quantity};
use crate::number::{self, Rounding};
use crate::oracle::Observation;
use crate::reject::Reject;
use crate::rules::{Market, Rules};
use crate::view::OpenOrderView;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a round or a fill decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Facts, in order.
    pub facts: Vec<Fact>,
    /// For the shards, in order.
    pub postings: Vec<Posting>,
    /// Last trades of the embedded venue, for the oracle.
    pub trades: Vec<(MarketIx, Observation)>,
}

/// The liquidations of all markets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub(super) rules: Rules,
    staged: Vec<Arc<Market>>,
    pub(super) marks: Arc<Marks>,
    pub(super) time: Millis,
    next_liquidation: u64,
    next_order: u64,
    pub(super) liquidations: BTreeMap<LiquidationId, Liquidation>,
    pub(super) orders: BTreeMap<OrderId, Order>,
    pub(super) venues: BTreeMap<MarketIx, VenueState>,
    pub(super) paces: BTreeMap<MarketIx, Pace>,
    pub(super) unwinding: BTreeMap<MarketIx, LiquidationId>,
    /// Trades of the latest closed orders, so that a repeated fill is known as one.
    pub(super) closed: BTreeMap<OrderId, std::collections::BTreeSet<smol_str::SmolStr>>,
    #[serde(skip)]
    pub(super) out: Outcome,
}

impl Queue {
    /// Takes what concerns it.
    pub fn apply(&mut self, instruction: &Instruction) {
        match instruction {
            Instruction::ListAsset(asset) => self.rules.put_asset(asset.clone()),
            Instruction::ListMarket(market) if self.rules.market(market.index).is_ok() => {
                self.staged.push(market.clone());
            }
            Instruction::ListMarket(market) => self.rules.put_market(market.clone()),
            _ => {}
        }
    }

    /// A new tick: staged rules come into force, and each market's pace is what time has brought since the last.
    ///
    /// # Errors
    /// Overflow only.
    pub fn begin_tick(&mut self, now: Millis, marks: Arc<Marks>) -> Result<(), Reject> {
        for market in std::mem::take(&mut self.staged) {
            self.rules.put_market(market);
        }
        self.marks = marks;
        self.time = now;
        for market in self.rules.markets() {
            let Some(pace) = market.liquidation.pace_per_second else { continue };
            // The first tick has a second's worth.
            let since = self.paces.get(&market.index).map_or(1_000, |pace| now.saturating_sub(pace.time));
            let scale = market.asset_scale;
            let thousand = Decimal::from(1_000_u32);
            let left = number::mul_div(pace.get(), Decimal::from(since), thousand, scale, Rounding::Floor)?;
            self.paces.insert(market.index, Pace { time: now, left: Money::new(left), untouched: since > 0 });
        }
        Ok(())
    }

    /// Serves the reports of the shards, most under water first. `first` is the first round of a tick: then orders whose
    /// time is over end, and the fund's inventory is unwound.
    ///
    /// # Errors
    /// Overflow only.
    pub async fn round(
        &mut self,
        first: Option<&[Inventory]>,
        reports: Vec<Report>,
        desk: &mut impl FundDesk,
    ) -> Result<Outcome, Stop> {
        if let Some(inventory) = first {
            self.expire_orders(desk).await?;
            self.unwind(inventory, desk).await?;
        }
        let reports = sorted(&reports)?;
        if !reports.is_empty() {
            // Nobody who waits to be served here is cut for another: its report would be out of date.
            let scope = |report: &&Report| (report.asset, report.account.clone(), report.scope);
            let (_, facts) = desk.ask(FundRequest::Bar { scopes: reports.iter().map(scope).collect() }).await?;
            self.out.facts.extend(facts);
            // What a liquidation usually tells and posts in a round.
            self.out.facts.reserve(reports.len().saturating_mul(6));
            self.out.postings.reserve(reports.len().saturating_mul(3));
        }
        for report in reports {
            if self.has_deficit(report) {
                self.claim_deficit(report, desk).await?;
            } else if let Some(id) = self.attend(report, true)? {
                self.step(id, report, desk).await?;
            }
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// Ends the liquidations that a fill between ticks has completed; nothing new is started there.
    ///
    /// # Errors
    /// Overflow only.
    pub fn look(&mut self, reports: Vec<Report>) -> Result<Outcome, Reject> {
        for report in sorted(&reports)? {
            // What it lacks is claimed at the next tick.
            if self.has_deficit(report) {
                continue;
            }
            self.attend(report, false)?;
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// Starts, ends or leaves alone; the liquidation to go on with, if any.
    fn attend(&mut self, report: &Report, in_tick: bool) -> Result<Option<LiquidationId>, Reject> {
        let Some(id) = report.liquidation else {
            return in_tick.then(|| self.start(report)).transpose();
        };
        let Some(liquidation) = self.liquidations.get(&id) else { return Ok(None) };
        if !liquidation.orders.is_empty() {
            return Ok(None);
        }
        if report.positions.is_empty() {
            let outcome = if liquidation.taken_over {
                Ended::TakenOver
            } else if liquidation.deleveraged {
                Ended::Deleveraged
            } else {
                Ended::Closed
            };
            self.end(id, outcome)?;
            return Ok(None);
        }
        if report.equity > report.maintenance && report.equity >= self.restored_at(report)? {
            self.end(id, Ended::Restored)?;
            return Ok(None);
        }
        Ok(in_tick.then_some(id))
    }

    /// The strictest restore ratio of the markets in the scope.
    fn restored_at(&self, report: &Report) -> Result<Money, Reject> {
        let mut most = report.maintenance;
        for position in &report.positions {
            most = most.max(restored_at(self.rules.market(position.market)?, report.maintenance)?);
        }
        Ok(most)
    }

    fn start(&mut self, report: &Report) -> Result<LiquidationId, Reject> {
        let id = self.begin(report.account.clone(), report.asset, report.scope);
        let market = match report.scope {
            Scope::Cross => None,
            Scope::Isolated(market, _) => Some(self.rules.market(market)?.name.clone()),
        };
        self.out.facts.push(Fact::LiquidationStarted {
            liquidation: id,
            account: report.account.clone(),
            asset: self.rules.asset(report.asset)?.name.clone(),
            market,
            equity: report.equity,
            maintenance_margin: report.maintenance,
        });
        self.out.postings.push(Posting::Begin {
            account: report.account.clone(),
            asset: report.asset,
            scope: report.scope,
            liquidation: id,
        });
        Ok(id)
    }

    /// A new liquidation.
    pub(super) fn begin(&mut self, account: AccountId, asset: AssetIx, scope: Scope) -> LiquidationId {
        self.next_liquidation = self.next_liquidation.saturating_add(1);
        let id = LiquidationId(self.next_liquidation);
        let liquidation = Liquidation {
            account,
            asset,
            scope,
            started: self.time,
            initial: BTreeMap::new(),
            orders: std::collections::BTreeSet::new(),
            unfilled: false,
            deleveraged: false,
            taken_over: false,
        };
        self.liquidations.insert(id, liquidation);
        id
    }

    fn end(&mut self, id: LiquidationId, outcome: Ended) -> Result<(), Reject> {
        if let Some(done) = self.close(id, outcome)? {
            self.out.postings.push(Posting::End { account: done.account, asset: done.asset, scope: done.scope });
        }
        Ok(())
    }

    /// The fund's account has no flags to clear.
    pub(super) fn end_unwinding(&mut self, id: LiquidationId) -> Result<(), Reject> {
        self.close(id, Ended::Closed).map(drop)
    }

    fn close(&mut self, id: LiquidationId, outcome: Ended) -> Result<Option<Liquidation>, Reject> {
        let Some(done) = self.liquidations.remove(&id) else { return Ok(None) };
        let (account, asset) = (done.account.clone(), self.rules.asset(done.asset)?.name.clone());
        self.out.facts.push(Fact::LiquidationEnded { liquidation: id, outcome, account, asset });
        Ok(Some(done))
    }

    /// The next order's number.
    pub(super) fn order_id(&mut self) -> OrderId {
        self.next_order = self.next_order.saturating_add(1);
        OrderId(self.next_order)
    }

    /// Has an order of this number ever left?
    pub(super) fn is_past(&self, order: OrderId) -> bool {
        order.0 >= 1 && order.0 <= self.next_order
    }

    async fn step(&mut self, id: LiquidationId, report: &Report, desk: &mut impl FundDesk) -> Result<(), Stop> {
        let marks = self.marks.clone();
        let Some(position) = choose(report, &marks) else { return Ok(()) };
        let Some(mark) = marks.price(position.market) else { return Ok(()) };
        let market = self.rules.market(position.market)?.clone();
        let held = position.quantity.abs();
        let (initial, unfilled) = match self.liquidations.get_mut(&id) {
            Some(known) => {
                let initial = *known.initial.entry((position.market, position.leg)).or_insert(held);
                (initial, std::mem::take(&mut known.unfilled))
            }
            None => (held, false),
        };
        let mut plan = super::plan(&market, report, position, mark, initial)?;
        if !unfilled {
            plan.quantity = self.within_pace(&market, plan.quantity, mark)?;
        }
        if plan.quantity.is_positive() {
            let (account, scope) = (report.account.clone(), report.scope);
            let spare = spare(&market, &plan, report.equity)?;
            let step = Step { liquidation: id, account, scope, spare, market: &market, plan: &plan };
            self.execute(&step, unfilled, desk).await?;
        }
        Ok(())
    }

    /// As much of a quantity as the market's pace allows now.
    pub(super) fn within_pace(&self, market: &Market, quantity: Quantity, mark: Price) -> Result<Quantity, Reject> {
        let Some(pace) = self.paces.get(&market.index).filter(|_| market.liquidation.pace_per_second.is_some()) else {
            return Ok(quantity);
        };
        let most = market.quantity_of(crate::money::Notional::new(pace.left.or_zero().get()), mark)?;
        // A lot larger than the whole pace goes alone.
        let most = if most.is_zero() && pace.untouched { market.lot_size } else { most };
        Ok(quantity.min(most))
    }

    /// Takes an order's notional out of its market's pace.
    pub(super) fn use_pace(&mut self, market: &Market, quantity: Quantity, mark: Price) -> Result<(), Reject> {
        let notional = market.notional(quantity, mark)?;
        if let Some(pace) = self.paces.get_mut(&market.index) {
            pace.left = pace.left.minus(Money::new(notional.get()))?;
            pace.untouched = false;
        }
        Ok(())
    }

    /// Liquidations under way: their number, and when the oldest began.
    pub fn open(&self) -> (usize, Option<Millis>) {
        (self.liquidations.len(), self.liquidations.values().map(|open| open.started).min())
    }

    /// Orders at the external venue.
    pub fn orders(&self) -> impl Iterator<Item = (&OrderId, &Order)> {
        self.orders.iter()
    }

    /// Orders at the external venue, as the API shows them, in the order of sending.
    ///
    /// # Errors
    /// An order in a market that is not listed: a bug.
    pub fn open_orders(&self) -> Result<Vec<OpenOrderView>, Reject> {
        let shown = |(id, order): (&OrderId, &Order)| {
            Ok(OpenOrderView {
                liquidation: order.liquidation,
                order: *id,
                market: self.rules.market(order.market)?.name.clone(),
                side: order.side,
                quantity: order.left,
                limit_price: order.limit,
                bankruptcy_price: order.bankruptcy,
                expires: order.deadline,
            })
        };
        self.orders.iter().map(shown).collect()
    }
}

/// Most under water first: by what equity lacks to maintenance; then by account, then by scope. Assets share nothing.
fn sorted(reports: &[Report]) -> Result<Vec<&Report>, Reject> {
    let mut keyed = Vec::with_capacity(reports.len());
    for report in reports {
        let lacks = report.equity.minus(report.maintenance)?;
        keyed.push((report.asset, number::rank(lacks.get()), lacks, report));
    }
    keyed.sort_unstable_by(|(asset_a, rank_a, a, x), (asset_b, rank_b, b, y)| {
        (asset_a, rank_a).cmp(&(asset_b, rank_b)).then_with(|| (a, &x.account, x.scope).cmp(&(b, &y.account, y.scope)))
    });
    Ok(keyed.into_iter().map(|(.., report)| report).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::parse;

    #[test]
    fn the_most_under_water_is_served_first_and_names_break_ties() {
        let report = |account: &str, equity: &str| Report {
            account: AccountId(account.into()),
            asset: AssetIx(0),
            scope: Scope::Cross,
            equity: Money::new(parse(equity).unwrap()),
            maintenance: Money::new(parse("10").unwrap()),
            positions: Vec::new(),
            liquidation: None,
        };
        let reports = [report("d", "5"), report("b", "-3"), report("a", "5"), report("c", "-40")];
        let served = sorted(&reports).unwrap();
        let names: Vec<&str> = served.iter().map(|report| report.account.0.as_str()).collect();
        assert_eq!(names, ["c", "b", "a", "d"]);
    }
}
