//! Decides what a change of the rules does, and who waits for it.
//!
//! In: the commands that change rules. Out: the same commands, or planned ones ([`Policy`], before a command takes a place
//! in the order), and the facts of what is planned, dropped and in force ([`Rulebook`], as the flow applies them). It never
//! touches a balance.
//!
//! | file | what it decides |
//! |---|---|
//! | `direction` | does a change loosen, parameter by parameter |
//! | `ceilings` | how far the rules may go at all |
//! | `policy` | what is held back, and for how long |
//!
//! # The hash of the rules
//!
//! Every event carries the hash of the rules it was decided by: SHA-256 over one line for each asset and then for each
//! market, in the order of their names: `asset` or `market`, a space, the name, a space, the SHA-256 in lower-case hex of
//! the canonical JSON ([`crate::canonical`]) of its rules, a line feed. The rules are what [`asset_rules`] (with the
//! injection line) and [`market_rules`] show, without `version`: the same rules have the same hash, whenever they are in
//! force.

mod ceilings;
mod direction;
mod policy;

#[cfg(test)]
mod tests;

pub use ceilings::{Ceilings, ReduceKind, VenueKind};
pub use direction::{MARKET, loosens};
pub use policy::Policy;

use crate::canonical;
use crate::command::RuleChange;
use crate::event::{Fact, RulesChanged};
use crate::hash::StateHash;
use crate::id::{AssetIx, MarketIx, Millis, Seq};
use crate::money::Money;
use crate::rules::{Asset, Market, Rules};
use crate::view::PendingChange;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

/// The injection lines, by asset; none is zero.
pub type Lines = BTreeMap<AssetIx, Money>;

/// Most changes planned at a time.
pub const PENDING_MAX: usize = 1_000;

/// A change that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its number: the sequence number of the command that planned it.
    pub change: Seq,
    /// It may be carried out from this time on.
    pub effective_time: Millis,
    /// Who proposed it; empty when nobody is known.
    pub by: SmolStr,
    /// The parameters that it loosened when it was planned.
    pub loosens: Vec<SmolStr>,
    /// What it will do.
    pub proposal: RuleChange,
}

impl Pending {
    /// As readers see it.
    pub fn view(&self) -> PendingChange {
        PendingChange {
            change: self.change,
            effective_time: self.effective_time,
            by: self.by.clone(),
            loosens: self.loosens.clone(),
            proposal: self.proposal.to_value(),
        }
    }
}

/// The hash of the rules in force, see the module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RulesHash([u8; 32]);

impl RulesHash {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Default for RulesHash {
    /// That of no rules at all.
    fn default() -> Self {
        Digests::default().hash()
    }
}

impl fmt::Display for RulesHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&crate::fund::hex(&self.0))
    }
}

impl fmt::Debug for RulesHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for RulesHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The rules of an asset, and its injection line.
pub fn asset_rules(asset: &Asset, line: Money) -> Value {
    json!({
        "asset": asset.name,
        "scale": asset.scale,
        "when_unbacked": asset.when_unbacked,
        "injection_line": line,
    })
}

/// The rules of a market that settles in `asset`, with their version.
pub fn market_rules(market: &Market, asset: &str) -> Value {
    json!({
        "market": market.name,
        "version": market.version,
        "kind": market.kind,
        "asset": asset,
        "contract_size": market.contract_size,
        "tick_size": market.tick_size,
        "lot_size": market.lot_size,
        "tiers": market.tiers.all(),
        "liquidation": market.liquidation,
        "adl": market.adl,
        "pool": market.pool,
        "venue": market.venue,
        "oracle": market.oracle,
    })
}

/// The hash of all rules, see the module.
pub fn hash(rules: &Rules, lines: &Lines) -> RulesHash {
    Digests::of(rules, lines).hash()
}

/// The hash of the rules of each asset and market, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Digests {
    assets: BTreeMap<SmolStr, [u8; 32]>,
    markets: BTreeMap<SmolStr, [u8; 32]>,
}

impl Digests {
    fn of(rules: &Rules, lines: &Lines) -> Self {
        let mut digests = Self::default();
        for asset in rules.assets() {
            digests.put_asset(&asset.name, &asset_rules(asset, line_of(lines, asset.index)));
        }
        for market in rules.markets() {
            digests.put_market(&market.name, market_rules(market, asset_name(rules, market)));
        }
        digests
    }

    fn put_asset(&mut self, name: &SmolStr, rules: &Value) {
        self.assets.insert(name.clone(), digest(rules));
    }

    fn put_market(&mut self, name: &SmolStr, mut rules: Value) {
        if let Value::Object(fields) = &mut rules {
            fields.remove("version");
        }
        self.markets.insert(name.clone(), digest(&rules));
    }

    fn hash(&self) -> RulesHash {
        let mut hasher = Sha256::new();
        let assets = self.assets.iter().map(|entry| ("asset", entry));
        for (kind, (name, digest)) in assets.chain(self.markets.iter().map(|entry| ("market", entry))) {
            hasher.update(format!("{kind} {name} {}\n", crate::fund::hex(digest)));
        }
        RulesHash(hasher.finalize().into())
    }
}

/// Rules hold strings and whole numbers only, so they have a canonical form.
fn digest(rules: &Value) -> [u8; 32] {
    canonical::digest(rules).unwrap_or_default()
}

fn line_of(lines: &Lines, asset: AssetIx) -> Money {
    lines.get(&asset).copied().unwrap_or_default()
}

fn asset_name<'r>(rules: &'r Rules, market: &Market) -> &'r str {
    rules.asset(market.asset).map_or("", |asset| asset.name.as_str())
}

/// What of the rulebook is written down: the rest follows from the rules and the fund.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// By number.
    pub pending: BTreeMap<Seq, Arc<Pending>>,
    /// The planned changes that the versions of markets carry out which come into force at the next tick.
    staged: BTreeMap<(MarketIx, u32), Seq>,
}

impl Book {
    /// Is nothing planned or about to come into force by plan?
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.staged.is_empty()
    }

    /// Adds its part of the state hash. Plans count where there are any.
    pub(crate) fn hash_into(&self, hash: &mut StateHash) {
        if !self.is_empty() {
            hash.part("rulebook", self);
        }
    }
}

/// The rules as they are applied: what is planned, and the hash of what is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rulebook {
    book: Book,
    lines: Lines,
    digests: Digests,
    hash: RulesHash,
}

impl Rulebook {
    /// As it was: with what was written down, the rules in force and the lines of the fund.
    pub(crate) fn resume(book: Book, rules: &Rules, lines: Lines) -> Self {
        let digests = Digests::of(rules, &lines);
        let hash = digests.hash();
        Self { book, lines, digests, hash }
    }

    /// What of it is written down.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The hash of the rules in force.
    pub fn hash(&self) -> RulesHash {
        self.hash
    }

    /// The injection lines in force.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// What is planned, by number.
    pub fn pending(&self) -> impl Iterator<Item = PendingChange> {
        self.book.pending.values().map(|pending| pending.view())
    }

    /// A change is planned.
    pub(crate) fn schedule(&mut self, pending: &Arc<Pending>) -> Fact {
        self.book.pending.insert(pending.change, pending.clone());
        Fact::RulesScheduled(Box::new(pending.view()))
    }

    /// A planned change is dropped.
    pub(crate) fn veto(&mut self, change: Seq, by: &SmolStr) -> Fact {
        self.book.pending.remove(&change);
        Fact::RulesVetoed { change, by: by.clone() }
    }

    /// A planned change is carried out.
    pub(crate) fn carry_out(&mut self, change: Option<NonZeroU64>) {
        if let Some(change) = change {
            self.book.pending.remove(&change.get());
        }
    }

    /// A version of a market comes into force at the next tick.
    pub(crate) fn stage(&mut self, market: &Market, change: Option<NonZeroU64>) {
        if let Some(change) = change {
            self.book.staged.insert((market.index, market.version), change.get());
        }
    }

    /// The rules of an asset, or its injection line, are in force.
    pub(crate) fn put_asset(&mut self, asset: &Asset, line: Option<Money>, change: Option<NonZeroU64>) -> Fact {
        if let Some(line) = line {
            self.lines.insert(asset.index, line);
        }
        let in_force = asset_rules(asset, line_of(&self.lines, asset.index));
        self.digests.put_asset(&asset.name, &in_force);
        self.hash = self.digests.hash();
        let (asset, change) = (Some(asset.name.clone()), change.map(NonZeroU64::get));
        Fact::RulesChanged(Box::new(RulesChanged { change, market: None, asset, version: None, in_force }))
    }

    /// The rules of a market are in force. `rules` know its asset.
    pub(crate) fn put_market(&mut self, market: &Market, rules: &Rules, change: Option<NonZeroU64>) -> Fact {
        let staged = self.book.staged.remove(&(market.index, market.version));
        let in_force = market_rules(market, asset_name(rules, market));
        self.digests.put_market(&market.name, in_force.clone());
        self.hash = self.digests.hash();
        let (change, version) = (staged.or(change.map(NonZeroU64::get)), Some(market.version));
        let market = Some(market.name.clone());
        Fact::RulesChanged(Box::new(RulesChanged { change, market, asset: None, version, in_force }))
    }
}
