//! Rival (a): the scan that most open engines do. A hash map of accounts in decimals, everybody looked at in every tick.

use super::book::{Book, id, index};
use super::scene::{ASSET_SCALE, Scene};
use backstop_engine::id::AccountId;
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::HashMap;

struct Position {
    market: usize,
    quantity: Decimal,
    cost: Decimal,
}

struct Account {
    wallet: Decimal,
    positions: Vec<Position>,
}

struct Tier {
    limit: Option<Decimal>,
    rate: Decimal,
    deduction: Decimal,
}

/// All accounts.
pub(crate) struct Naive {
    accounts: HashMap<AccountId, Account>,
    tiers: Vec<Vec<Tier>>,
}

impl Naive {
    /// Of a book.
    pub(crate) fn new(scene: &Scene, book: &Book) -> Self {
        let tier = |tier: &backstop_engine::rules::Tier| Tier {
            limit: tier.notional_limit.map(|limit| limit.get()),
            rate: tier.maintenance_rate.get(),
            deduction: tier.deduction.get(),
        };
        let tiers = scene.markets.iter().map(|market| market.rules.tiers.all().iter().map(tier).collect()).collect();
        let mut naive = Self { accounts: HashMap::with_capacity(book.len()), tiers };
        (0..book.len()).for_each(|account| naive.put(scene, book, account));
        naive
    }

    /// Puts an account in, as the book has it.
    pub(crate) fn put(&mut self, scene: &Scene, book: &Book, account: usize) {
        let position = |holding: &super::book::Holding| {
            let market = usize::from(holding.market);
            let listed = scene.markets.get(market)?;
            let quantity = Decimal::new(holding.units, listed.lot_scale);
            Some(Position { market, quantity, cost: Decimal::new(holding.cost, listed.rules.value_scale) })
        };
        let wallet = Decimal::new(book.wallets.get(account).copied().unwrap_or_default(), ASSET_SCALE);
        let positions = book.holdings(account).iter().filter_map(position).collect();
        self.accounts.insert(id(account), Account { wallet, positions });
    }

    /// Accounts at or below maintenance.
    pub(crate) fn scan(&self, marks: &[Decimal]) -> Vec<&AccountId> {
        self.accounts.iter().filter(|(_, account)| self.is_breached(account, marks)).map(|(id, _)| id).collect()
    }

    fn is_breached(&self, account: &Account, marks: &[Decimal]) -> bool {
        let (mut equity, mut maintenance) = (account.wallet, Decimal::ZERO);
        for position in &account.positions {
            let (Some(mark), Some(tiers)) = (marks.get(position.market), self.tiers.get(position.market)) else {
                continue;
            };
            let value = position.quantity * mark;
            let notional = value.abs();
            equity += value - position.cost;
            let inside = |tier: &&Tier| tier.limit.is_none_or(|limit| notional <= limit);
            if let Some(tier) = tiers.iter().find(inside).or(tiers.last()) {
                let exact = notional * tier.rate - tier.deduction;
                maintenance += exact.round_dp_with_strategy(ASSET_SCALE, RoundingStrategy::ToPositiveInfinity);
            }
        }
        !account.positions.is_empty() && equity <= maintenance
    }

    /// Closes everything of some accounts.
    pub(crate) fn close(&mut self, accounts: &[u32]) {
        for account in accounts {
            let known = usize::try_from(*account).ok().and_then(|account| self.accounts.get_mut(&id(account)));
            if let Some(account) = known {
                account.positions.clear();
            }
        }
    }
}

/// Numbers of accounts, sorted.
pub(crate) fn numbers(ids: &[&AccountId]) -> Vec<u32> {
    let mut found: Vec<u32> = ids.iter().filter_map(|id| index(id)).collect();
    found.sort_unstable();
    found
}
