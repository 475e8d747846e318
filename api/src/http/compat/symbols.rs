//! What the venues call our markets: symbols, base and quote, and quantities in the units each venue counts in.
//!
//! A symbol is the market's name without `-`; where two markets would share one, each keeps its exact name. A symbol that is
//! asked for is first looked up as an exact name. Neither venue has a contract size for linear contracts, so quantities of
//! those are multiplied by it and count the base; inverse ones are contracts on Binance and quote (USD) on Bybit.
//! In: the rules. Out: [`Listing`].

use super::refusals::Refusal;
use crate::http::Api;
use crate::http::problem::Problem;
use crate::http::reads::{ask, unexpected};
use backstop_actors::conductor::{Answer, Query};
use backstop_engine::money::{Notional, Quantity, Rate};
use backstop_engine::number::{self, Overflow, Rounding};
use backstop_engine::rules::{Kind, Market, Rules, Tier};
use backstop_engine::view::MarkView;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The cap of an open last tier, as Binance writes it.
pub(super) const OPEN: &str = "9223372036854775807";

/// A market in the words of the venues.
pub(super) struct Listed {
    pub(super) market: Arc<Market>,
    pub(super) symbol: String,
    pub(super) base: String,
    pub(super) quote: String,
    /// The settlement asset.
    pub(super) asset: String,
    pub(super) mark: Option<MarkView>,
}

/// Every market, in the order of listing.
pub(super) struct Listing {
    pub(super) all: Vec<Listed>,
}

fn bare(name: &str) -> String {
    name.replace('-', "")
}

/// Base and quote. The base of a linear market is what is left of its name without the asset; the quote of an inverse one
/// is what follows the asset.
fn halves(market: &Market, asset: &str) -> (String, String) {
    let bare = bare(&market.name);
    match market.kind {
        Kind::Linear => {
            let base = bare.strip_suffix(asset).filter(|base| !base.is_empty());
            let first = || market.name.split('-').next().filter(|first| !first.is_empty());
            (base.or_else(first).unwrap_or(&bare).to_owned(), asset.to_owned())
        }
        Kind::Inverse => {
            let quote = bare.strip_prefix(asset).unwrap_or(&bare);
            let quote = quote.split('_').next().filter(|quote| !quote.is_empty()).unwrap_or("USD");
            (asset.to_owned(), quote.to_owned())
        }
    }
}

fn listed(rules: &Rules, marks: Vec<MarkView>) -> Vec<Listed> {
    let mut shared: BTreeMap<String, usize> = BTreeMap::new();
    for market in rules.markets() {
        let count = shared.entry(bare(&market.name)).or_default();
        *count = count.saturating_add(1);
    }
    let mut marks: BTreeMap<_, _> = marks.into_iter().map(|mark| (mark.market.clone(), mark)).collect();
    let mut taken = BTreeSet::new();
    let listed = |market: &Arc<Market>| {
        let asset = rules.asset(market.asset).map(|asset| asset.name.to_string()).unwrap_or_default();
        let bare = bare(&market.name);
        let (base, quote) = halves(market, &asset);
        // Clients key their tables by base, quote and settlement: a later market must not hide an earlier one.
        let is_first = taken.insert((base.clone(), quote.clone(), asset.clone()));
        let base = if is_first { base } else { bare.clone() };
        let symbol = if shared.get(&bare) == Some(&1) { bare } else { market.name.to_string() };
        Listed { symbol, base, quote, asset, mark: marks.remove(&market.name), market: market.clone() }
    };
    rules.markets().iter().map(listed).collect()
}

impl Listing {
    /// Of this moment.
    pub(super) async fn of(api: &Api) -> Result<Self, Problem> {
        let answered = ask(api, Query::Rules).await?;
        match answered.answer {
            Answer::Rules(rules, marks) => Ok(Self { all: listed(&rules, marks) }),
            _ => Err(unexpected()),
        }
    }

    /// The market of our own name.
    pub(super) fn named(&self, name: &str) -> Option<&Listed> {
        self.all.iter().find(|listed| listed.market.name == name)
    }

    /// The market of a symbol, of a kind where only that will do.
    pub(super) fn find(&self, symbol: &str, kind: Option<Kind>) -> Result<&Listed, Refusal> {
        let found = self.named(symbol).or_else(|| self.all.iter().find(|listed| listed.symbol == symbol));
        found.filter(|listed| listed.is_of(kind)).ok_or(Refusal::Symbol)
    }

    /// The market of a symbol, or all of a kind without one.
    pub(super) fn chosen(&self, symbol: Option<&str>, kind: Option<Kind>) -> Result<Vec<&Listed>, Refusal> {
        match symbol {
            Some(symbol) => Ok(vec![self.find(symbol, kind)?]),
            None => Ok(self.all.iter().filter(|listed| listed.is_of(kind)).collect()),
        }
    }
}

impl Listed {
    pub(super) fn is_of(&self, kind: Option<Kind>) -> bool {
        kind.is_none_or(|kind| self.market.kind == kind)
    }

    pub(super) fn is_linear(&self) -> bool {
        self.market.kind == Kind::Linear
    }

    /// Contracts times their size: base of a linear market, quote of an inverse one.
    pub(super) fn size(&self, quantity: Quantity) -> Result<Quantity, Overflow> {
        number::mul_exact(quantity.get(), self.market.contract_size.get()).map(Quantity::new)
    }

    /// A quantity as Binance counts it: base, or contracts of an inverse market.
    pub(super) fn amount(&self, quantity: Quantity) -> Result<Quantity, Overflow> {
        if self.is_linear() { self.size(quantity) } else { Ok(quantity) }
    }

    /// The place of a notional's tier, from 1, and the tier.
    pub(super) fn tier(&self, notional: Notional) -> Option<(u64, &Tier)> {
        let found = self.market.tiers.of(notional)?;
        self.tiers().find(|(_, tier)| tier.floor == found.floor)
    }

    /// Every tier with its place, from 1.
    pub(super) fn tiers(&self) -> impl Iterator<Item = (u64, &Tier)> {
        (1..).zip(self.market.tiers.all())
    }
}

/// Where a tier ends, as text.
pub(super) fn cap(tier: &Tier) -> String {
    tier.notional_limit.map_or_else(|| OPEN.to_owned(), |limit| limit.to_string())
}

/// The leverage that an initial rate allows, cut to some decimals.
pub(super) fn leverage(rate: Rate, decimals: u32) -> Result<Decimal, Overflow> {
    number::div(Decimal::ONE, rate.get(), decimals, Rounding::Floor)
}

/// The same with two decimals, as Bybit writes it.
pub(super) fn leverage_text(rate: Rate) -> Result<String, Overflow> {
    Ok(format!("{:.2}", leverage(rate, 2)?))
}

/// Decimals of a step.
pub(super) fn decimals(step: impl Into<Decimal>) -> u64 {
    u64::from(step.into().normalize().scale())
}
