//! Decides who pays a loss larger than the trader's margin: the pools, the injection line, then other accounts.
//!
//! In: requests of the liquidation queue and credits, one at a time. Out: grants, payments, cuts, facts. It is the only
//! place that moves the fund's cash, in one total order; nothing in it can send cash anywhere but to a shortfall.
//!
//! | file | what it decides |
//! |---|---|
//! | `pool` | cash, reservations and the peak of one pool |
//! | `ledger` | the hash-chained entries |
//! | `coverage` | reserve → settle → release |
//! | `draws` | what a market has drawn on the shared pool |
//! | `open` | the claims that are open, by age and by market |
//! | `claims` | what is owed, and paying it when money comes |
//! | `barred` | who is cut for nobody in this tick |
//! | `deleverage` | who is cut when nothing is left |

mod barred;
mod claims;
mod coverage;
mod deleverage;
mod draws;
mod ledger;
mod open;
mod pool;

pub use coverage::Coverage;
pub use ledger::hex;
pub use ledger::{GENESIS, Ledger, entry_hash};
pub use pool::Pool;

use barred::Barred;
use draws::Draws;
use open::OpenClaims;

use crate::adl::{Cut, Ranking};
use crate::command::CreditSource;
use crate::event::{AdlReason, Fact, Reason};
use crate::id::{AccountId, AssetIx, LiquidationId, MarketIx, Millis, OrderId, Seq, Side};
use crate::instruction::{Entry, Instruction};
use crate::margin::{Haircut, Scope};
use crate::money::{Money, Price, Quantity};
use crate::number::Sum;
use crate::reject::Reject;
use crate::rules::{Asset, Market, Rules};
use crate::view::{DrawView, FundView, PoolView};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The pool that every market may draw on.
pub const SHARED: &str = "shared";
static SHARED_POOL: SmolStr = SmolStr::new_static(SHARED);

/// What the liquidation queue asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FundRequest {
    /// Reserve coverage for an order. Asked again for the same order, it gives the same answer and reserves nothing.
    Reserve {
        /// The order.
        order: OrderId,
        /// Its liquidation.
        liquidation: LiquidationId,
        /// Who is liquidated.
        account: AccountId,
        /// And with which scope.
        scope: Scope,
        /// The market.
        market: MarketIx,
        /// The worst loss the order may cost.
        asked: Money,
    },
    /// These scopes are being liquidated: they are barred from ADL until the tick is over.
    Bar {
        /// By asset.
        scopes: Vec<(AssetIx, AccountId, Scope)>,
    },
    /// A fill of the order: what it brings or costs. Steps of one order count from 1; a repeated step changes nothing.
    Settle {
        /// The order.
        order: OrderId,
        /// Which fill of it.
        step: u32,
        /// Fee taken.
        fee: Money,
        /// Surplus the fund keeps.
        surplus: Money,
        /// Loss to be paid.
        shortfall: Money,
    },
    /// The order will fill no more: what is left of its coverage is free again.
    Release {
        /// The order.
        order: OrderId,
    },
    /// Close `quantity` of positions on `side` at `price`, to close the rest of a liquidation. Asked again for the same
    /// order, it gives the same answer and closes nothing more.
    Deleverage {
        /// The order that books it.
        order: OrderId,
        /// The liquidation.
        liquidation: LiquidationId,
        /// The market.
        market: MarketIx,
        /// The side of the positions to be closed.
        side: Side,
        /// How much.
        quantity: Quantity,
        /// At which price.
        price: Price,
        /// Why.
        reason: AdlReason,
    },
}

/// What the fund answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FundReply {
    /// To `Reserve`.
    Granted {
        /// How much.
        amount: Money,
        /// What kept it from being more.
        bound: AdlReason,
    },
    /// To `Settle`, `Release` and `Bar`.
    Settled {
        /// Of the shortfall, paid now.
        paid: Money,
        /// And owed.
        owed: Money,
    },
    /// To `Deleverage`.
    Cuts(Vec<Cut>),
}

/// A ranking is missing: supply it and ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeedRanking {
    /// The market.
    pub market: MarketIx,
    /// The side.
    pub side: Side,
}

/// What stops a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FundStop {
    /// A ranking is missing.
    Ranking(NeedRanking),
    /// A figure does not fit: the daemon stops.
    Reject(Reject),
}

impl<T: Into<Reject>> From<T> for FundStop {
    fn from(reject: T) -> Self {
        Self::Reject(reject.into())
    }
}

/// A claim that is not paid in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OpenClaim {
    liquidation: LiquidationId,
    account: AccountId,
    market: MarketIx,
    amount: Money,
    paid: Money,
}

/// The fund of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct AssetFund {
    asset: Arc<Asset>,
    pools: BTreeMap<SmolStr, Pool>,
    line: Money,
    line_drawn: Money,
    line_reserved: Money,
    claims: OpenClaims,
    liability: Money,
    ledger: Ledger,
    books: BTreeMap<Reason, Sum>,
    haircuts: Sum,
}

impl AssetFund {
    fn new(asset: Arc<Asset>) -> Self {
        Self {
            asset,
            pools: BTreeMap::from([(SHARED_POOL.clone(), Pool::default())]),
            line: Money::ZERO,
            line_drawn: Money::ZERO,
            line_reserved: Money::ZERO,
            claims: OpenClaims::default(),
            liability: Money::ZERO,
            ledger: Ledger::default(),
            books: BTreeMap::new(),
            haircuts: Sum::default(),
        }
    }

    fn balance(&self) -> Result<Money, Reject> {
        Ok(self.pools.values().try_fold(Money::ZERO, |sum, pool| sum.plus(pool.balance))?)
    }

    /// Could anything at all be paid now?
    fn has_free(&self) -> Result<bool, Reject> {
        for pool in self.pools.values() {
            if pool.free()?.is_positive() {
                return Ok(true);
            }
        }
        Ok(self.line_left()?.is_positive())
    }

    /// What is left of the injection line; below zero when it was lowered.
    fn line_left(&self) -> Result<Money, Reject> {
        Ok(self.line.minus(self.line_drawn)?.minus(self.line_reserved)?)
    }
}

/// The funds of all assets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fund {
    rules: Rules,
    staged: Vec<Arc<Market>>,
    funds: BTreeMap<AssetIx, AssetFund>,
    coverages: BTreeMap<OrderId, Box<Coverage>>,
    /// Orders that are done with, kept until the tick after so that a repeated message finds its answer.
    closed: BTreeMap<OrderId, Box<Coverage>>,
    highest_order: OrderId,
    /// The highest order of the ticks before: up to it, an order that is not known is done with.
    past_order: OrderId,
    draws: BTreeMap<MarketIx, Draws>,
    /// Markets whose drawdown trigger is on.
    drawdown: BTreeSet<MarketIx>,
    next_claim: u64,
    seq: Seq,
    time: Millis,
    #[serde(skip)]
    marks: Marked,
    #[serde(skip)]
    facts: Vec<Fact>,
}

/// What belongs to one tick only.
#[derive(Debug, Clone, Default)]
struct Marked {
    rankings: BTreeMap<(MarketIx, Side), Ranking>,
    /// By asset, for assets share nothing: who is being liquidated, and what cuts have cost each scope.
    barred: BTreeMap<AssetIx, Barred>,
    spent: BTreeMap<AssetIx, BTreeMap<(AccountId, Scope), Money>>,
    /// Answers already given, by order.
    cuts: BTreeMap<OrderId, Vec<Cut>>,
}

impl PartialEq for Marked {
    /// Never part of the state.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Marked {}

impl Fund {
    /// What follows belongs to this command.
    pub fn at(&mut self, seq: Seq, time: Millis) {
        self.seq = seq;
        self.time = time;
    }

    /// Staged rules come into force; what belonged to the last tick is dropped; claims are paid if they can be.
    ///
    /// # Errors
    /// Overflow only.
    pub fn begin_tick(&mut self) -> Result<Vec<Fact>, Reject> {
        for market in std::mem::take(&mut self.staged) {
            self.rules.put_market(market);
        }
        self.marks = Marked::default();
        self.closed.clear();
        self.past_order = self.highest_order;
        let assets: Vec<AssetIx> = self.funds.keys().copied().collect();
        for asset in assets {
            self.expire(asset)?;
            self.pay_claims(asset)?;
        }
        Ok(std::mem::take(&mut self.facts))
    }

    /// Applies a command that concerns the fund.
    ///
    /// # Errors
    /// Overflow only.
    pub fn apply(&mut self, instruction: &Instruction) -> Result<Vec<Fact>, Reject> {
        match instruction {
            Instruction::ListAsset(asset) => {
                self.rules.put_asset(asset.clone());
                let fund = self.funds.entry(asset.index);
                fund.and_modify(|fund| fund.asset = asset.clone()).or_insert_with(|| AssetFund::new(asset.clone()));
            }
            Instruction::ListMarket(market) => {
                if self.rules.market(market.index).is_ok() {
                    self.staged.push(market.clone());
                } else {
                    self.rules.put_market(market.clone());
                }
                if let Some(fund) = self.funds.get_mut(&market.asset) {
                    fund.pools.entry(market.pool.name.clone()).or_default();
                }
            }
            Instruction::FundCredit { asset, pool, source, amount } => {
                let reason = match source {
                    CreditSource::SeedCapital => Reason::SeedCapital,
                    CreditSource::TradingFeeShare => Reason::TradingFeeShare,
                    CreditSource::Injection => Reason::Injection,
                };
                self.enter(*asset, pool, reason, *amount, ledger::About::default())?;
                self.pay_claims(*asset)?;
            }
            Instruction::SetInjectionLine { asset, limit } => {
                if let Some(fund) = self.funds.get_mut(asset) {
                    fund.line = *limit;
                }
                self.pay_claims(*asset)?;
            }
            _ => {}
        }
        Ok(std::mem::take(&mut self.facts))
    }

    /// Applies what concerns it of a run, haircuts in their place: the facts by entry.
    ///
    /// # Errors
    /// Overflow only.
    pub fn run(&mut self, entries: &[Entry], haircuts: Vec<(usize, Haircut)>) -> Result<Vec<(usize, Fact)>, Reject> {
        let mut by_entry: BTreeMap<usize, Vec<Haircut>> = BTreeMap::new();
        for (index, haircut) in haircuts {
            by_entry.entry(index).or_default().push(haircut);
        }
        let mut facts = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            self.at(entry.seq, entry.time);
            facts.extend(self.apply(&entry.instruction)?.into_iter().map(|fact| (index, fact)));
            for haircut in by_entry.remove(&index).unwrap_or_default() {
                facts.extend(self.haircut(&haircut)?.into_iter().map(|fact| (index, fact)));
            }
        }
        Ok(facts)
    }

    /// The injection lines that are set, by asset.
    pub fn lines(&self) -> BTreeMap<AssetIx, Money> {
        let set = self.funds.iter().filter(|(_, fund)| !fund.line.is_zero());
        set.map(|(asset, fund)| (*asset, fund.line)).collect()
    }

    /// What is owed, by asset.
    pub fn liabilities(&self) -> BTreeMap<AssetIx, Money> {
        self.funds.iter().map(|(asset, fund)| (*asset, fund.liability)).collect()
    }

    /// The fund as the state hash sees it: without the place and time of the last command.
    pub fn hashed(&self) -> Self {
        Self { seq: 0, time: 0, ..self.clone() }
    }

    /// A withdrawal left its share behind: that much less is owed.
    ///
    /// # Errors
    /// Overflow only.
    pub fn haircut(&mut self, haircut: &Haircut) -> Result<Vec<Fact>, Reject> {
        self.write_down(haircut.asset, haircut.amount)?;
        Ok(std::mem::take(&mut self.facts))
    }

    /// Answers the queue. The facts that come with it stand in the order they happened.
    ///
    /// # Errors
    /// [`FundStop::Ranking`] when a ranking must be supplied first; nothing has changed then.
    pub fn ask(&mut self, request: &FundRequest) -> Result<(FundReply, Vec<Fact>), FundStop> {
        let reply = match request {
            FundRequest::Reserve { order, liquidation, account, scope, market, asked } => {
                let asset = self.rules.market(*market)?.asset;
                self.marks.barred.entry(asset).or_default().add(account, *scope);
                self.reserve(*order, *liquidation, account, *market, *asked)?
            }
            FundRequest::Settle { order, step, fee, surplus, shortfall } => {
                self.settle(*order, *step, *fee, *surplus, *shortfall)?
            }
            FundRequest::Release { order } => self.release(*order)?,
            FundRequest::Bar { scopes } => {
                for (asset, account, scope) in scopes {
                    self.marks.barred.entry(*asset).or_default().add(account, *scope);
                }
                FundReply::Settled { paid: Money::ZERO, owed: Money::ZERO }
            }
            FundRequest::Deleverage { order, liquidation, market, side, quantity, price, reason } => {
                if let Some(cuts) = self.cuts_of(*order) {
                    return Ok((FundReply::Cuts(cuts), Vec::new()));
                }
                let cuts = self.deleverage(*liquidation, (*market, *side), *quantity, *price, *reason)?;
                self.highest_order = self.highest_order.max(*order);
                self.marks.cuts.insert(*order, cuts.clone());
                FundReply::Cuts(cuts)
            }
        };
        Ok((reply, std::mem::take(&mut self.facts)))
    }

    /// A ranking for this tick.
    pub fn supply(&mut self, ranking: Ranking) {
        self.marks.rankings.insert((ranking.market(), ranking.side()), ranking);
    }

    /// What the fund owes in an asset.
    pub fn liability(&self, asset: AssetIx) -> Money {
        self.funds.get(&asset).map_or(Money::ZERO, |fund| fund.liability)
    }

    /// The fund's cash in an asset.
    pub fn balance(&self, asset: AssetIx) -> Money {
        self.funds.get(&asset).and_then(|fund| fund.balance().ok()).unwrap_or_default()
    }

    /// Is the drawdown trigger of the market on?
    pub fn in_drawdown(&self, market: MarketIx) -> bool {
        self.drawdown.contains(&market)
    }

    /// What came into the fund from outside.
    ///
    /// # Errors
    /// Overflow only.
    pub fn inflow(&self, asset: AssetIx) -> Result<Sum, Reject> {
        let mut sum = Sum::default();
        if let Some(fund) = self.funds.get(&asset) {
            for reason in [Reason::SeedCapital, Reason::TradingFeeShare, Reason::Injection] {
                sum.merge(fund.books.get(&reason).copied().unwrap_or_default())?;
            }
        }
        Ok(sum)
    }

    /// Do the books balance? Every entry of a pool stands against its reason, so both must sum to the same; no pool and
    /// no reservation is below zero; what is reserved is what coverages hold; what is owed is what claims lack.
    ///
    /// # Errors
    /// Overflow only.
    pub fn audit(&self) -> Result<bool, Reject> {
        let mut sound = true;
        for (asset, fund) in &self.funds {
            let mut books = Sum::default();
            for sum in fund.books.values() {
                books.merge(*sum)?;
            }
            let owed =
                fund.claims.values().try_fold(Money::ZERO, |sum, claim| sum.plus(claim.amount)?.minus(claim.paid))?;
            let mut reserved = fund.line_reserved;
            for pool in fund.pools.values() {
                sound &= !pool.balance.is_negative() && !pool.reserved.is_negative();
                sound &= pool.reserved <= pool.balance;
                reserved = reserved.plus(pool.reserved)?;
            }
            let mut held = Money::ZERO;
            for coverage in self.coverages.values().filter(|coverage| coverage.asset == *asset) {
                held = held.plus(coverage.left()?)?;
            }
            sound &= books.get()? == fund.balance()?.get() && owed == fund.liability && held == reserved;
            // A line may be lowered below what it has granted: grants are kept, and nothing new is granted.
            sound &= !fund.line_drawn.is_negative() && !fund.line_reserved.is_negative();
        }
        Ok(sound)
    }

    /// What readers see of a fund.
    pub fn view(&self, name: &str) -> Option<FundView> {
        let asset = self.rules.asset_named(name).ok()?;
        let fund = self.funds.get(&asset.index)?;
        let pools: Vec<PoolView> =
            fund.pools.iter().filter_map(|(name, pool)| self.pool_view(asset.index, name, pool).ok()).collect();
        let reserved = fund.pools.values().try_fold(fund.line_reserved, |sum, pool| sum.plus(pool.reserved)).ok()?;
        Some(FundView {
            asset: asset.name.clone(),
            balance: fund.balance().ok()?,
            reserved,
            liability: fund.liability,
            injection_line: fund.line,
            injection_drawn: fund.line_drawn,
            entries: fund.ledger.entries(),
            last_hash: fund.ledger.last_hash().to_owned(),
            pools,
            draws: self.draw_views(asset.index).ok()?,
        })
    }

    fn draw_views(&self, asset: AssetIx) -> Result<Vec<DrawView>, Reject> {
        let mut views = Vec::new();
        for market in self.rules.markets().iter().filter(|market| market.asset == asset) {
            let (cap, drawn) = (market.pool.shared_draw_cap, self.drawn(market)?);
            if cap.is_some() || drawn.is_positive() {
                views.push(DrawView { market: market.name.clone(), cap, drawn });
            }
        }
        Ok(views)
    }

    fn pool_view(&self, asset: AssetIx, name: &SmolStr, pool: &Pool) -> Result<PoolView, Reject> {
        // The tightest rule of the markets that draw on the pool.
        let mut trigger = Money::ZERO;
        let mut peak = pool.peak(self.time, pool::DEFAULT_WINDOW_MS);
        for market in self.rules.markets().iter().filter(|market| market.asset == asset) {
            let draws = name == SHARED || market.pool.name == *name;
            if let (Some(rule), true) = (&market.adl.drawdown, draws) {
                let line = self.line_of(market.index, rule, pool)?;
                if line > trigger {
                    trigger = line;
                    peak = pool.peak(self.time, rule.window_ms);
                }
            }
        }
        Ok(PoolView {
            pool: name.clone(),
            balance: pool.balance,
            reserved: pool.reserved,
            peak,
            trigger,
            headroom: pool.balance.minus(pool.reserved)?.minus(trigger)?,
        })
    }
}
