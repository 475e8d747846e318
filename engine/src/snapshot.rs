//! The whole state, to be written down and read again; the same for any number of shards.
//!
//! The [`Core`] is everything but the accounts. Accounts are written one after another, each as its length (four bytes,
//! little endian) and its canonical binary form: the very bytes that the state hash is taken of, so the hash of what is
//! written needs no state.

use crate::admission::Admission;
use crate::flow::Flow;
use crate::fund::Fund;
use crate::hash::StateHash;
use crate::id::{AssetIx, Millis, Seq};
use crate::liquidation::Queue;
use crate::margin::{Account, FundNotice, Shard};
use crate::number::Sum;
use crate::oracle::Oracle;
use crate::reject::Reject;
use crate::rulebook::Book;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything but the accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// The last command applied.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// How many events there have been.
    pub events: u64,
    /// The flow.
    pub flow: Flow,
    /// Prices.
    pub oracle: Oracle,
    /// Liquidations.
    pub queue: Queue,
    /// The fund.
    pub fund: Fund,
    /// What the shards know of the fund.
    pub notices: BTreeMap<AssetIx, FundNotice>,
    /// Revenue, inflow and outflow, which no account shows.
    pub sums: Vec<(AssetIx, [Sum; 3])>,
    /// Planned changes of the rules. Last, so that what was written before there were any is the same but for its end.
    pub rulebook: Book,
}

/// What was written cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes are not those of a state.
    #[error("the bytes are not those of a state")]
    Form,
    /// A sum does not fit.
    #[error("a sum does not fit: {0}")]
    Sum(Reject),
}

impl Core {
    /// Takes the place of a flow after a restart.
    pub fn flow(&self) -> Flow {
        let mut flow = self.flow.clone();
        flow.resume(self.events, self.rulebook.clone(), self.fund.lines());
        flow
    }

    /// The first check of commands, as it was.
    pub fn admission(&self) -> Admission {
        let (rules, staged, _) = self.flow.known();
        let mut rules = rules.clone();
        staged.iter().for_each(|market| rules.put_market(market.clone()));
        let pending = self.rulebook.pending.clone();
        Admission::after((rules, self.fund.lines(), pending), self.seq, self.time)
    }

    /// The shards with their accounts.
    ///
    /// # Errors
    /// [`Unreadable::Sum`].
    pub fn shards(&self, accounts: Vec<Account>, count: usize, shows_accounts: bool) -> Result<Vec<Shard>, Unreadable> {
        let count = count.max(1);
        let mut parts: Vec<Vec<Account>> = (0..count).map(|_| Vec::new()).collect();
        for account in accounts {
            let place = account.id.shard(count);
            if let Some(part) = parts.get_mut(place) {
                part.push(account);
            }
        }
        let filled = parts.into_iter().enumerate().map(|(index, part)| {
            let mut shard = Shard::new(index, count, shows_accounts);
            shard.refill(part, self).map(|()| shard)
        });
        filled.collect::<Result<_, _>>().map_err(Unreadable::Sum)
    }

    /// Its part of the state hash.
    pub fn state_hash(&self) -> StateHash {
        let mut hash = StateHash::default();
        hash.part("sums", &self.sums);
        hash.part("flow", &self.flow);
        self.rulebook.hash_into(&mut hash);
        hash.part("oracle", &self.oracle);
        hash.part("queue", &self.queue);
        hash.part("fund", &self.fund.hashed());
        hash
    }
}

impl Shard {
    /// Writes its accounts down.
    pub fn write_accounts(&self, out: &mut Vec<u8>) {
        let mut one = Vec::new();
        for account in self.accounts() {
            one.clear();
            // Writing an account to memory does not fail.
            one = postcard::to_extend(account, one).unwrap_or_default();
            out.extend_from_slice(&u32::try_from(one.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(&one);
        }
    }
}

/// The accounts written down, one after another, as they stand.
fn pieces(mut bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], Unreadable>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let split = bytes.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let (piece, rest) = split.unwrap_or_default();
        let found = if split.is_some() { Ok(piece) } else { Err(Unreadable::Form) };
        bytes = rest;
        Some(found)
    })
}

/// Reads accounts.
///
/// # Errors
/// [`Unreadable::Form`].
pub fn read_accounts(bytes: &[u8]) -> Result<Vec<Account>, Unreadable> {
    pieces(bytes).map(|piece| postcard::from_bytes(piece?).map_err(|_| Unreadable::Form)).collect()
}

/// The part of the state hash that the accounts are, and how many they are.
///
/// # Errors
/// [`Unreadable::Form`].
pub fn hash_accounts(bytes: &[u8]) -> Result<(StateHash, u64), Unreadable> {
    let (mut hash, mut count) = (StateHash::default(), 0_u64);
    for piece in pieces(bytes) {
        hash.written("account", piece?);
        count = count.saturating_add(1);
    }
    Ok((hash, count))
}
