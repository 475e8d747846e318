//! The fund's ledger: every movement of cash, in one chain of hashes per asset.

use super::{Fund, SHARED};
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
    let reason = serde_json::to_string(&entry.reason).unwrap_or_default();
    let optional = |text: Option<String>| text.unwrap_or_default();
    let fields = [
        entry.previous_hash.clone(),
        entry.entry.to_string(),
        seq.to_string(),
        time.to_string(),
        entry.asset.to_string(),
        entry.pool.to_string(),
        reason.trim_matches('"').to_owned(),
        entry.amount.to_string(),
        entry.balance.to_string(),
        optional(entry.market.as_ref().map(ToString::to_string)),
        optional(entry.liquidation.map(|id| id.to_string())),
        optional(entry.account.as_ref().map(ToString::to_string)),
    ];
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update(field.as_bytes());
        hasher.update(b"\n");
    }
    hex(&hasher.finalize())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Fund {
    /// Moves cash in (+) or out (−) of a pool and writes the entry. The one place that does.
    pub(super) fn enter(
        &mut self,
        asset: AssetIx,
        pool: &str,
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
        let place = fund.pools.entry(SmolStr::new(pool)).or_default();
        place.move_cash(time, amount)?;
        fund.books.entry(reason).or_default().add(amount.get())?;
        fund.ledger.entries = fund.ledger.entries.saturating_add(1);
        let mut entry = LedgerEntry {
            entry: fund.ledger.entries,
            asset: fund.asset.name.clone(),
            pool: SmolStr::new(pool),
            reason,
            amount,
            balance: place.balance,
            market,
            liquidation: about.liquidation,
            account: about.account,
            previous_hash: fund.ledger.last_hash.clone(),
            hash: String::new(),
        };
        entry.hash = entry_hash(&entry, seq, time);
        fund.ledger.last_hash = entry.hash.clone();
        self.facts.push(Fact::FundEntry(entry));
        Ok(())
    }

    /// The pool a market's fees and surpluses go to.
    pub(super) fn pool_of(&self, market: MarketIx) -> SmolStr {
        self.rules.market(market).map_or(SmolStr::new_static(SHARED), |market| market.pool.name.clone())
    }
}
