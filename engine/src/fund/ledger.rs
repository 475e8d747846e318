//! The fund's ledger: every movement of cash, in one chain of hashes per asset.

use super::Fund;
use crate::event::{Fact, LedgerEntry, Reason};
use crate::id::{AccountId, AssetIx, LiquidationId, MarketIx, Millis, Seq};
use crate::money::Money;
use crate::reject::{Code, Reject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

/// The hash before the first entry.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    entries: u64,
    last_hash: String,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { entries: 0, last_hash: GENESIS.to_owned() }
    }
}

impl Ledger {
    /// How many entries there are.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The hash of the last one.
    pub fn last_hash(&self) -> &str {
        &self.last_hash
    }
}

/// What an entry is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) market: Option<MarketIx>,
    pub(super) liquidation: Option<LiquidationId>,
    pub(super) account: Option<AccountId>,
}

/// The hash of an entry: SHA-256 over its canonical form, in lower-case hex.
///
/// The canonical form is these fields as text, each followed by a line feed, empty where there is none: previous hash,
/// entry, sequence number, time, asset, pool, reason, amount, balance, market, liquidation, account. Amounts are plain
/// decimals without trailing zeros.
pub fn entry_hash(entry: &LedgerEntry, seq: Seq, time: Millis) -> String {
    let mut text = String::with_capacity(320);
    let mut line = |field: &str| {
        text.push_str(field);
        text.push('\n');
    };
    line(&entry.previous_hash);
    line(&entry.entry.to_string());
    line(&seq.to_string());
    line(&time.to_string());
    line(&entry.asset);
    line(&entry.pool);
    line(entry.reason.as_str());
    line(&entry.amount.to_string());
    line(&entry.balance.to_string());
    line(entry.market.as_deref().unwrap_or_default());
    line(&entry.liquidation.map(|id| id.to_string()).unwrap_or_default());
    line(entry.account.as_ref().map_or("", |account| account.0.as_str()));
    hex(&Sha256::digest(text.as_bytes()))
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
    let mut text = Vec::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    String::from_utf8(text).unwrap_or_default()
}

impl Fund {
    /// Moves cash in (+) or out (−) of a pool and writes the entry. The one place that does.
    pub(super) fn enter(
        &mut self,
        asset: AssetIx,
        pool: &SmolStr,
        reason: Reason,
        amount: Money,
        about: About,
    ) -> Result<(), Reject> {
        if amount.is_zero() {
            return Ok(());
        }
        assert!(
            amount.is_positive() || reason == Reason::Shortfall,
            "cash leaves the fund for a shortfall and for nothing else"
        );
        let market = match about.market {
            Some(market) => Some(self.rules.market(market)?.name.clone()),
            None => None,
        };
        let (seq, time) = (self.seq, self.time);
        let fund = self.funds.get_mut(&asset).ok_or(Reject::new(Code::UnknownAsset, "asset"))?;
        let place = match fund.pools.get_mut(pool) {
            Some(place) => place,
            None => fund.pools.entry(pool.clone()).or_default(),
        };
        place.move_cash(time, amount)?;
        fund.books.entry(reason).or_default().add(amount.get())?;
        fund.ledger.entries = fund.ledger.entries.saturating_add(1);
        let mut entry = LedgerEntry {
            entry: fund.ledger.entries,
            asset: fund.asset.name.clone(),
            pool: pool.clone(),
            reason,
            amount,
            balance: place.balance,
            market,
            liquidation: about.liquidation,
            account: about.account,
            previous_hash: std::mem::take(&mut fund.ledger.last_hash),
            hash: String::new(),
        };
        entry.hash = entry_hash(&entry, seq, time);
        fund.ledger.last_hash.clone_from(&entry.hash);
        self.facts.push(Fact::FundEntry(Box::new(entry)));
        Ok(())
    }
}
