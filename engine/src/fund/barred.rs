//! Who is being liquidated in this tick, and so is cut for nobody.

use crate::id::AccountId;
use crate::margin::Scope;
use std::collections::BTreeSet;

/// The scopes of one asset. Every liquidation adds to them and only a deleveraging asks, so they are sorted then.
#[derive(Debug, Clone, Default)]
pub(super) struct Barred {
    sorted: BTreeSet<(AccountId, Scope)>,
    new: Vec<(AccountId, Scope)>,
}

impl Barred {
    /// One more.
    pub(super) fn add(&mut self, account: &AccountId, scope: Scope) {
        self.new.push((account.clone(), scope));
    }

    /// All of them.
    pub(super) fn scopes(&mut self) -> &BTreeSet<(AccountId, Scope)> {
        self.sorted.extend(self.new.drain(..));
        &self.sorted
    }
}
