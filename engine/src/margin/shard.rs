//! The margin shard: the accounts whose names fall to it, in one state machine.
//!
//! In: runs of entries, marks, postings. Out: refusals, reports, facts. A shard sees every entry of a run and acts on its
//! own accounts. A trade between two shards is decided by both: each applies its side and objects if it cannot; the flow
//! takes the first objection of any shard as final (everything before it was agreed), and has all of them undo and redo
//! from there. So the outcome is that of one command after another, however many shards there are.

use super::account::Account;
use super::accounts::{Accounts, Change, Place};
use super::assess::Marks;
use super::evaluate::Report;
use super::fixed::Figures;
use super::guard::GuardIndex;
use super::post::Posting;
use super::totals::{Flow, MarketTotals, Totals};
use crate::event::Fact;
use crate::flow::ShardReply;
use crate::hash::StateHash;
use crate::id::{AccountId, AssetIx, LiquidationId, MarketIx, Seq};
use crate::instruction::{Entry, Instruction, Trade};
use crate::margin::Scope;
use crate::money::{Money, Rate};
use crate::number::Sum;
use crate::reject::{Code, Reject};
use crate::rules::{Asset, Market, Rules};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What the shards know of the fund. It changes at a tick only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FundNotice {
    /// Withdrawals wait.
    pub halted: bool,
    /// Share that a withdrawal leaves behind; zero for none.
    pub haircut: Rate,
}

/// What a withdrawal left behind for the fund's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Haircut {
    /// The withdrawal.
    pub seq: Seq,
    /// The asset.
    pub asset: AssetIx,
    /// The amount.
    pub amount: Money,
}

/// One side of a trade cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objection {
    /// Which entry of the run.
    pub index: usize,
    /// The buyer's side is asked first.
    pub seller: bool,
    /// Why.
    pub reject: Reject,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct RunReply {
    /// The first trade this shard cannot take its side of; it stopped there.
    pub objection: Option<Objection>,
    /// Entries refused.
    pub refused: Vec<(usize, Reject)>,
    /// Facts by entry.
    pub facts: Vec<(usize, Fact)>,
    /// Effects on the fund.
    pub haircuts: Vec<(usize, Haircut)>,
}

/// How many entries are looked ahead: enough to hide the way to memory, few enough to stay near the processor.
pub(super) const AHEAD: usize = 32;

/// Where the accounts of an entry stand: of a trade, buyer and seller.
pub(super) type Known = [Option<Place>; 2];

enum Undo {
    Change(Box<Change>),
    /// A whole account; none when it is new.
    Account(Place, Option<Box<Account>>),
    Sums(Flow),
}

/// The accounts of one shard.
pub struct Shard {
    pub(super) index: usize,
    pub(super) count: usize,
    pub(super) rules: Rules,
    pub(super) staged: Vec<Arc<Market>>,
    pub(super) marks: Arc<Marks>,
    /// The markets at these marks, in whole numbers.
    pub(super) figures: Figures,
    pub(super) notices: BTreeMap<AssetIx, FundNotice>,
    pub(super) accounts: Accounts,
    pub(super) guards: GuardIndex,
    /// Who holds a position in each market, once somebody has asked since the last run or tick: only a run opens positions.
    pub(super) holders: OnceCell<Vec<Vec<Place>>>,
    pub(super) totals: Totals,
    /// Show accounts and positions as facts after each change?
    pub(super) shows_accounts: bool,
    undo: Vec<(usize, Undo)>,
}

impl Shard {
    /// An empty shard, number `index` of `count`.
    pub fn new(index: usize, count: usize, shows_accounts: bool) -> Self {
        Self {
            index,
            count,
            rules: Rules::default(),
            staged: Vec::new(),
            marks: Arc::default(),
            figures: Figures::default(),
            notices: BTreeMap::new(),
            accounts: Accounts::default(),
            guards: GuardIndex::default(),
            holders: OnceCell::new(),
            totals: Totals::default(),
            shows_accounts,
            undo: Vec::new(),
        }
    }

    /// A shard as it was: the accounts are those of its own, the sums are computed anew.
    ///
    /// # Errors
    /// Overflow only.
    pub(crate) fn refill(&mut self, accounts: Vec<Account>, core: &crate::snapshot::Core) -> Result<(), Reject> {
        let (rules, staged, marks) = core.flow.known();
        self.rules = rules.clone();
        self.staged = staged.to_vec();
        self.marks = marks.clone();
        self.figures.set(self.rules.markets(), &self.marks);
        self.notices = core.notices.clone();
        for account in &accounts {
            self.totals.add(account, &self.rules)?;
        }
        for account in accounts {
            let place = self.accounts.add(account);
            self.guards.touch(place);
        }
        if self.index == 0 {
            for (asset, [revenue, inflow, outflow]) in &core.sums {
                let sums = self.totals.assets.entry(*asset).or_default();
                (sums.revenue, sums.inflow, sums.outflow) = (*revenue, *inflow, *outflow);
            }
        }
        Ok(())
    }

    /// What it knows of the fund.
    pub fn notices(&self) -> &BTreeMap<AssetIx, FundNotice> {
        &self.notices
    }

    /// Is the account this shard's?
    pub fn owns(&self, account: &AccountId) -> bool {
        self.count <= 1 || account.shard(self.count) == self.index
    }

    /// Its accounts, by name.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.by_name()
    }

    /// One of its accounts.
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// What it holds in sum.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The marks in force.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The sums, computed anew from the accounts.
    ///
    /// # Errors
    /// Overflow only.
    pub fn audit(&self) -> Result<Totals, Reject> {
        let mut totals = self.totals.clone();
        for sums in totals.assets.values_mut() {
            (sums.wallets, sums.costs) = (Sum::default(), Sum::default());
        }
        totals.markets.values_mut().for_each(|sums| *sums = MarketTotals::default());
        for account in self.accounts.values() {
            totals.add(account, &self.rules)?;
        }
        Ok(totals)
    }

    /// Applies a run of entries from place `from` on, as far as they concern this shard. `decided` are trades that some
    /// shard has objected to before; anything this shard did from `from` on is undone first.
    pub fn run(&mut self, entries: &[Entry], from: usize, decided: &BTreeMap<usize, Reject>) -> RunReply {
        // The first pass over a run has nothing decided yet: what came before it stays done.
        if decided.is_empty() {
            self.undo.clear();
        }
        self.undo_to(from);
        self.holders.take();
        let mut reply = RunReply::default();
        let mut known = VecDeque::new();
        for (index, entry) in entries.iter().enumerate().skip(from) {
            if known.is_empty() {
                known.extend(self.look_ahead(entries.iter().skip(index)));
            }
            let known = known.pop_front().unwrap_or_default();
            if decided.contains_key(&index) {
                continue;
            }
            let outcome = match &entry.instruction {
                Instruction::Fill(fill) => match self.fill(index, fill, known, &mut reply) {
                    Ok(done) => done,
                    Err(objection) => {
                        reply.objection = Some(objection);
                        return reply;
                    }
                },
                instruction => self.account_command(index, entry.seq, instruction, known, &mut reply),
            };
            if let Err(reject) = outcome {
                reply.refused.push((index, reject));
            }
        }
        reply
    }

    /// Where the accounts of the next entries stand, as far as they are known already.
    fn look_ahead<'e>(&self, entries: impl Iterator<Item = &'e Entry>) -> Vec<Known> {
        let named = |entry: &'e Entry| match &entry.instruction {
            Instruction::Fill(fill) => [Some(&fill.buyer.account), Some(&fill.seller.account)],
            Instruction::Deposit { account, .. } => [Some(account), None],
            _ => [None, None],
        };
        let ids: Vec<[Option<&AccountId>; 2]> = entries.take(AHEAD).map(named).collect();
        self.accounts.places(&ids)
    }

    fn undo_to(&mut self, from: usize) {
        while self.undo.last().is_some_and(|(index, _)| *index >= from) {
            // The sums held these very figures before, so taking them back cannot overflow.
            if let Some((_, undo)) = self.undo.pop() {
                let undone = match undo {
                    Undo::Change(change) => self.take_back(*change),
                    Undo::Account(place, before) => self.restore(place, before),
                    Undo::Sums(flow) => self.totals.add_flow(flow.reversed()),
                };
                assert!(undone.is_ok(), "a change that fitted can be undone");
            }
        }
    }

    fn take_back(&mut self, change: Change) -> Result<(), Reject> {
        self.guards.touch(change.place);
        self.totals.replace(&change.after, &change.before)?;
        self.totals.add_flow(change.flow.reversed())?;
        self.accounts.take_back(change);
        Ok(())
    }

    fn restore(&mut self, place: Place, before: Option<Box<Account>>) -> Result<(), Reject> {
        self.guards.touch(place);
        if let Some(after) = self.accounts.at(place) {
            self.totals.take(after, &self.rules)?;
        }
        match (before, self.accounts.at_mut(place)) {
            (Some(before), Some(account)) => {
                self.totals.add(&before, &self.rules)?;
                *account = *before;
            }
            // It came last: whatever came after it has been undone.
            _ => drop(self.accounts.drop_last()),
        }
        Ok(())
    }

    /// A copy of the account, or a new one.
    pub(super) fn draft(&self, id: &AccountId) -> Account {
        self.accounts.get(id).cloned().unwrap_or_else(|| Account::new(id.clone()))
    }

    /// Puts a changed account in the place of the old one and keeps the sums true. Refused changes never get here.
    pub(super) fn commit(&mut self, index: usize, after: Account, flow: Flow) -> Result<(), Reject> {
        let place = self.accounts.place(&after.id);
        let known = place.and_then(|place| self.accounts.at_mut(place));
        if let Some(before) = &known {
            self.totals.take(before, &self.rules)?;
        }
        self.totals.add(&after, &self.rules)?;
        let (place, before) = match (place, known) {
            (Some(place), Some(known)) => (place, Some(std::mem::replace(known, after))),
            _ => (self.accounts.add(after), None),
        };
        self.guards.touch(place);
        self.totals.add_flow(flow)?;
        if self.count > 1 {
            self.undo.push((index, Undo::Account(place, before.map(Box::new))));
            self.undo.push((index, Undo::Sums(flow)));
        }
        Ok(())
    }

    /// Keeps the sums true after a change made in place.
    pub(super) fn book(&mut self, index: usize, change: Change) -> Result<(), Reject> {
        self.guards.touch(change.place);
        self.totals.replace(&change.before, &change.after)?;
        self.totals.add_flow(change.flow)?;
        if self.count > 1 {
            self.undo.push((index, Undo::Change(Box::new(change))));
        }
        Ok(())
    }

    /// Both sides here: decided here. One side here: applied, or objected to. None: nothing.
    fn fill(
        &mut self,
        index: usize,
        fill: &Trade,
        known: Known,
        reply: &mut RunReply,
    ) -> Result<Result<(), Reject>, Objection> {
        let (buys, sells) = (self.owns(&fill.buyer.account), self.owns(&fill.seller.account));
        if !buys && !sells {
            return Ok(Ok(()));
        }
        match (self.fill_sides(index, fill, (buys, sells), known, reply), buys && sells) {
            (Ok(()), _) => Ok(Ok(())),
            (Err((_, reject)), true) => Ok(Err(reject)),
            (Err((seller, reject)), false) => Err(Objection { index, seller, reject }),
        }
    }

    fn fill_sides(
        &mut self,
        index: usize,
        fill: &Trade,
        (buys, sells): (bool, bool),
        [buyer, seller]: Known,
        reply: &mut RunReply,
    ) -> Result<(), (bool, Reject)> {
        let buyer = buys.then(|| self.side(fill, false, buyer)).transpose().map_err(|reject| (false, reject))?;
        let seller = match sells.then(|| self.side(fill, true, seller)).transpose() {
            Ok(seller) => seller,
            Err(reject) => {
                if let Some(buyer) = buyer {
                    self.accounts.take_back(buyer);
                }
                return Err((true, reject));
            }
        };
        for change in buyer.into_iter().chain(seller) {
            self.book(index, change).map_err(|reject| (false, reject))?;
        }
        let (buyer, seller) = (&fill.buyer.account, &fill.seller.account);
        if buys {
            self.show(index, buyer, Some(fill.market), reply);
        }
        if sells && !(buys && buyer == seller) {
            self.show(index, seller, Some(fill.market), reply);
        }
        Ok(())
    }

    /// Adds what the account and its positions look like now, where that is asked for.
    pub(super) fn show(&self, index: usize, id: &AccountId, market: Option<MarketIx>, reply: &mut RunReply) {
        if !self.shows_accounts || id.is_house() {
            return;
        }
        let facts = self.facts_of(id, market);
        reply.facts.extend(facts.into_iter().map(|fact| (index, fact)));
    }

    /// Lists or changes an asset or a market. New ones are in force at once, new rules of old ones from the next tick.
    pub(super) fn list(&mut self, asset: Option<&Arc<Asset>>, market: Option<&Arc<Market>>) {
        if let Some(asset) = asset {
            self.rules.put_asset(asset.clone());
        }
        if let Some(market) = market {
            if self.rules.market(market.index).is_ok() {
                self.staged.push(market.clone());
            } else {
                self.rules.put_market(market.clone());
            }
        }
    }

    /// A new tick: staged rules come into force, with the marks and what the shards know of the fund.
    pub fn begin_tick(&mut self, marks: Arc<Marks>, notices: &BTreeMap<AssetIx, FundNotice>) {
        for market in std::mem::take(&mut self.staged) {
            self.rules.put_market(market);
        }
        self.marks = marks;
        self.figures.set(self.rules.markets(), &self.marks);
        self.notices = notices.clone();
        self.holders.take();
        self.undo.clear();
    }

    /// New marks: everybody who may be breached, or is being liquidated, is evaluated. The guard index says who.
    ///
    /// # Errors
    /// Overflow only.
    pub fn tick(&mut self, marks: &Arc<Marks>, notices: &BTreeMap<AssetIx, FundNotice>) -> Result<ShardReply, Reject> {
        self.begin_tick(marks.clone(), notices);
        let due = self.guards.due(&self.accounts, &self.rules, &self.marks);
        let examined = u64::try_from(due.examined).unwrap_or(u64::MAX);
        let (reports, inventory) = (self.evaluate_some(&due.places)?, self.inventory());
        debug_assert!(same_scopes(&reports, &self.evaluate()?), "the guard index names all whom a full scan finds");
        Ok(ShardReply { reports, inventory, facts: Vec::new(), examined })
    }

    /// Bytes of the guard index, but for what it notes in a storm.
    pub fn index_bytes(&self) -> usize {
        self.guards.bytes()
    }

    /// Carries out postings: what they touched is evaluated.
    ///
    /// # Errors
    /// Overflow only, which the limits of input exclude: the daemon stops on it.
    pub fn carry(&mut self, postings: &[Posting]) -> Result<ShardReply, Reject> {
        let (reports, facts) = self.post(postings)?;
        let examined = u64::try_from(reports.len()).unwrap_or(u64::MAX);
        Ok(ShardReply { reports, inventory: Vec::new(), facts, examined })
    }

    /// The hash of its accounts and of what it knows for itself.
    pub fn state_hash(&self) -> StateHash {
        let mut hash = StateHash::default();
        for account in self.accounts.values() {
            hash.part("account", account);
        }
        hash
    }

    /// What it may know of the fund until the next tick.
    pub fn notice(&mut self, notices: &BTreeMap<AssetIx, FundNotice>) {
        self.notices = notices.clone();
    }

    /// What was done stays done.
    pub(super) fn forget_undo(&mut self) {
        self.undo.clear();
    }

    /// The liquidation of a scope ended or began.
    pub(super) fn mark_liquidation(
        account: &mut Account,
        asset: AssetIx,
        scope: Scope,
        liquidation: Option<LiquidationId>,
    ) {
        account.liquidations.retain(|entry| (entry.0, entry.1) != (asset, scope));
        if let Some(id) = liquidation {
            account.liquidations.push((asset, scope, id));
            account.liquidations.sort();
        }
    }

    /// Is the margin above zero that a trade leaves behind? See [`Code::InsufficientMargin`] in `apply`.
    pub(super) fn deny(value: Money, limit: Money) -> Reject {
        Reject::limit(Code::InsufficientMargin, "account", value.get(), limit.get())
    }
}

/// Do two sets of reports say the same, in whatever order?
fn same_scopes(some: &[Report], all: &[Report]) -> bool {
    let sorted = |reports: &[Report]| {
        let mut sorted = reports.to_vec();
        sorted.sort_by(|a, b| (&a.account, a.asset, a.scope).cmp(&(&b.account, b.asset, b.scope)));
        sorted
    };
    sorted(some) == sorted(all)
}
