//! One pool: its cash, what of it is reserved, and its peak over a rolling window.

use crate::id::Millis;
use crate::money::Money;
use crate::reject::Reject;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The window of the peak that is shown when no market has a drawdown rule.
pub(super) const DEFAULT_WINDOW_MS: Millis = 28_800_000;
/// Longest window a rule may have: the limit of `window_ms`.
const KEPT_MS: Millis = 3_024_000_000;

/// A balance, and when it was no longer in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Level {
    balance: Money,
    until: Option<Millis>,
}

/// Cash set aside for shortfalls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The cash.
    pub balance: Money,
    /// Granted as coverage, not used yet: never more than the cash.
    pub reserved: Money,
    /// Falling balances: one that a later one exceeds can be no peak any more.
    levels: VecDeque<Level>,
}

impl Pool {
    /// Cash that is not promised.
    pub fn free(&self) -> Result<Money, Reject> {
        Ok(self.balance.minus(self.reserved)?)
    }

    /// Changes the cash.
    ///
    /// # Errors
    /// Overflow only; it asserts that cash stays at or above zero.
    pub(super) fn move_cash(&mut self, now: Millis, amount: Money) -> Result<(), Reject> {
        if let Some(last) = self.levels.back_mut() {
            last.until.get_or_insert(now);
        } else if self.balance.is_positive() {
            self.levels.push_back(Level { balance: self.balance, until: Some(now) });
        }
        self.balance = self.balance.plus(amount)?;
        assert!(!self.balance.is_negative(), "a pool never pays what it does not have");
        while self.levels.back().is_some_and(|level| level.balance <= self.balance) {
            self.levels.pop_back();
        }
        self.levels.push_back(Level { balance: self.balance, until: None });
        let horizon = now.saturating_sub(KEPT_MS);
        while self.levels.front().is_some_and(|level| level.until.is_some_and(|until| until < horizon)) {
            self.levels.pop_front();
        }
        Ok(())
    }

    /// The highest balance that was in force within the window.
    pub fn peak(&self, now: Millis, window_ms: Millis) -> Money {
        let start = now.saturating_sub(window_ms);
        // A later level ended later, so those out of the window come first.
        let past = self.levels.partition_point(|level| level.until.is_some_and(|until| until < start));
        self.levels.get(past).map_or(self.balance, |level| level.balance.max(self.balance))
    }
}
