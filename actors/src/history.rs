//! History: what readers look up, built from events and nothing else.

use backstop_engine::event::{Event, Fact, Outcome};
use backstop_engine::id::{AccountId, LiquidationId, Millis};
use backstop_engine::money::{Money, Notional};
use serde::Serialize;
use smol_str::SmolStr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Items of one list that are kept in memory; the oldest go first.
pub const KEPT: usize = 500_000;

/// A liquidation, from start to end.
#[derive(Debug, Clone, Serialize)]
pub struct LiquidationRecord {
    /// Its number.
    pub liquidation: LiquidationId,
    /// Whose.
    pub account: AccountId,
    /// The asset.
    pub asset: SmolStr,
    /// The market, where the scope is one isolated position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market: Option<SmolStr>,
    /// When it began.
    pub started: Millis,
    /// When it ended.
    pub ended: Option<Millis>,
    /// How.
    pub outcome: Option<Outcome>,
    /// Equity when it began.
    pub equity: Money,
    /// Maintenance margin then.
    pub maintenance_margin: Money,
    /// Σ quantity × price of its settlements, for linear contracts; Σ value for inverse ones.
    pub notional: Notional,
    /// Σ fees.
    pub fee: Money,
    /// Σ surplus after fees.
    pub surplus: Money,
    /// Σ shortfall.
    pub shortfall: Money,
    /// Each settlement.
    pub settlements: Vec<Arc<Event>>,
}

/// A list of events by sequence number.
#[derive(Debug, Default)]
pub struct Tape(VecDeque<Arc<Event>>);

impl Tape {
    fn push(&mut self, event: Arc<Event>) {
        self.0.push_back(event);
        if self.0.len() > KEPT {
            self.0.pop_front();
        }
    }

    /// Up to `limit` events after sequence number `after`, oldest first, and whether there are more.
    pub fn page(&self, after: u64, limit: usize, wanted: impl Fn(&Event) -> bool) -> (Vec<Arc<Event>>, bool) {
        let start = self.0.partition_point(|event| event.seq <= after);
        let mut found = self.0.iter().skip(start).filter(|event| wanted(event));
        let items: Vec<Arc<Event>> = found.by_ref().take(limit).cloned().collect();
        (items, found.next().is_some())
    }
}

/// Everything that is looked up.
#[derive(Debug, Default)]
pub struct History {
    ledgers: BTreeMap<SmolStr, Tape>,
    liquidations: BTreeMap<LiquidationId, LiquidationRecord>,
    adl: Tape,
    /// Inverse contracts, whose value is not quantity × price.
    inverse: BTreeMap<SmolStr, Notional>,
}

impl History {
    /// Remembers a market whose settlements are valued as `quantity × size ÷ price`.
    pub fn know_inverse(&mut self, market: SmolStr, size: Notional) {
        self.inverse.insert(market, size);
    }

    /// Takes an event; says which liquidation has just ended, and when it began.
    pub fn take(&mut self, event: &Event) {
        match &event.fact {
            Fact::FundEntry(entry) => {
                self.ledgers.entry(entry.asset.clone()).or_default().push(Arc::new(event.clone()));
            }
            Fact::AdlTriggered { .. } | Fact::Deleveraged(_) => self.adl.push(Arc::new(event.clone())),
            Fact::LiquidationStarted { liquidation, account, asset, market, equity, maintenance_margin } => {
                let record = LiquidationRecord {
                    liquidation: *liquidation,
                    account: account.clone(),
                    asset: asset.clone(),
                    market: market.clone(),
                    started: event.time,
                    ended: None,
                    outcome: None,
                    equity: *equity,
                    maintenance_margin: *maintenance_margin,
                    notional: Notional::ZERO,
                    fee: Money::ZERO,
                    surplus: Money::ZERO,
                    shortfall: Money::ZERO,
                    settlements: Vec::new(),
                };
                self.liquidations.insert(*liquidation, record);
                while self.liquidations.len() > KEPT {
                    self.liquidations.pop_first();
                }
            }
            Fact::LiquidationSettled { liquidation, .. } => {
                let size = self.notional(&event.fact);
                if let Some(record) = self.liquidations.get_mut(liquidation) {
                    settle(record, event, size);
                }
            }
            Fact::LiquidationEnded { liquidation, outcome } => {
                if let Some(record) = self.liquidations.get_mut(liquidation) {
                    record.ended = Some(event.time);
                    record.outcome = Some(*outcome);
                }
            }
            _ => {}
        }
    }

    /// The size of a settlement in its settlement asset, to 8 decimals: a figure to look at, never to post.
    pub fn notional(&self, fact: &Fact) -> Notional {
        use backstop_engine::number::{self, Rounding};
        let Fact::LiquidationSettled { market, quantity, price, .. } = fact else { return Notional::ZERO };
        let size = |found: Result<_, number::Overflow>| found.map_or(Notional::ZERO, Notional::new);
        match self.inverse.get(market) {
            Some(contract) => size(number::mul_div(quantity.get(), contract.get(), price.get(), 8, Rounding::Nearest)),
            None => size(number::mul(quantity.get(), price.get(), 8, Rounding::Nearest)),
        }
    }

    /// A page of an asset's ledger.
    pub fn ledger(&self, asset: &str, after: u64, limit: usize) -> (Vec<Arc<Event>>, bool) {
        self.ledgers.get(asset).map_or((Vec::new(), false), |tape| tape.page(after, limit, |_| true))
    }

    /// A page of the ADL tape.
    pub fn adl(&self, after: u64, limit: usize, wanted: impl Fn(&Event) -> bool) -> (Vec<Arc<Event>>, bool) {
        self.adl.page(after, limit, wanted)
    }

    /// A page of liquidations after number `after`.
    pub fn liquidations(
        &self,
        after: u64,
        limit: usize,
        wanted: impl Fn(&LiquidationRecord) -> bool,
    ) -> (Vec<LiquidationRecord>, bool) {
        let start = LiquidationId(after.saturating_add(1));
        let mut found = self.liquidations.range(start..).map(|(_, record)| record).filter(|record| wanted(record));
        let items: Vec<LiquidationRecord> = found.by_ref().take(limit).cloned().collect();
        (items, found.next().is_some())
    }
}

fn settle(record: &mut LiquidationRecord, event: &Event, size: Notional) {
    if let Fact::LiquidationSettled { fee, surplus, shortfall, .. } = &event.fact {
        let add = |sum: &mut Money, part: Money| *sum = sum.plus(part).unwrap_or(*sum);
        add(&mut record.fee, *fee);
        add(&mut record.surplus, *surplus);
        add(&mut record.shortfall, *shortfall);
        record.notional = record.notional.plus(size).unwrap_or(record.notional);
        record.settlements.push(Arc::new(event.clone()));
    }
}
