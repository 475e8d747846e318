//! Decides who holds what before the fall: a seeded, synthetic, zero-sum population of accounts.
//!
//! No venue has published its account book before a crash. This one is drawn so that its statistics are those of two
//! public records, of which no row is copied: the auto-deleveraging of 10 October 2025 (19,337 accounts, all of them
//! winners) and the minute bars and liquidations of `BitMEX`, 2015–2019.
//!
//! | figure | here | reason |
//! |---|---|---|
//! | size of an account | Pareto, α 0.8 | tail index of the accounts deleveraged 0.7–0.9; their top 100 held 75.8 % |
//! | largest position | 15 % of its market, half of the last bracket | one account was 16 % of all that was deleveraged; the cap holds the top 100 down to some 55 % |
//! | leverage of shorts | lognormal, median 0.43, σ 1.5 | winners: median 0.43, 90 % below 3.2, 95 % below 6.5 |
//! | leverage of longs | lognormal, median 0.86, σ 1.5 | assumed: twice the winners', whom a profit had already deleveraged |
//! | crowded tail | 20–100×, about 60× on average once the brackets have cut it | traders liquidated on `BitMEX` |
//! | tail's share of open interest | 3.5 % long, 1.9 % short | what is liquidated there on a day |
//! | tail's share of accounts | 6 % of longs, 1.8 % of shorts | small accounts; keeps the shorts' 95 % quantile at 6.5 |
//! | hedged accounts | 25 % of accounts, a fifth of open interest | assumed: two thirds hold the offsetting leg in another market, a third both legs of one (hedge mode) |
//! | sides | 45 % long, 30 % short | retail is net long; the rest of the short side are hedges and dealers |
//! | dealers | 1 account in 2,500, 12 % of the short side | assumed: they take what the others leave open, at half their capital |
//! | isolated margin | 60 % of the tail, 30 % of others above 1× | assumed: isolated is the small, leveraged trader's mode |
//! | markets | 75 % hold one, 20 % two, 5 % three | assumed; which ones follows the markets' weights |
//!
//! Positions are paired into trades at the opening price, so every market sums to zero.

use super::contracts::{Contract, Listing, rounded_up};
use super::draw::{Draw, fit};
use super::figure::Figure;
use super::pairing::{self, Trade};
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use serde::Serialize;

/// Fewer accounts than this cannot show a distribution.
pub(super) const ACCOUNTS_MIN: usize = 100;
/// More than this belongs into a load test.
pub(super) const ACCOUNTS_MAX: usize = 5_000_000;

const PARETO_ALPHA: f64 = 0.8;
const POSITION_SHARE_MAX: f64 = 0.15;
const LEVERAGE_MEDIAN_SHORT: f64 = 0.43;
const LEVERAGE_MEDIAN_LONG: f64 = 0.86;
const LEVERAGE_SIGMA: f64 = 1.5;
const LEVERAGE_MIN: f64 = 0.02;
const TAIL_FROM: f64 = 20.0;
/// Settings of the tail with their weights: what traders choose are round numbers.
const TAIL_LEVERAGE: [(f64, f64); 5] = [(20.0, 0.09), (25.0, 0.09), (50.0, 0.24), (75.0, 0.22), (100.0, 0.36)];
const TAIL_INTEREST: [f64; 2] = [0.035, 0.019];
const TAIL_ACCOUNTS: [f64; 2] = [0.06, 0.018];
const HEDGED_ACCOUNTS: f64 = 0.25;
const HEDGED_INTEREST: f64 = 0.20;
const HEDGE_MODE_SHARE: f64 = 1.0 / 3.0;
const LONG_ACCOUNTS: f64 = 0.45;
const DEALERS_ONE_IN: usize = 2_500;
const DEALERS_INTEREST: f64 = 0.12;
const DEALER_LEVERAGE: f64 = 0.5;
const ISOLATED_TAIL: f64 = 0.60;
const ISOLATED_BODY: f64 = 0.30;
/// Leverage settings a cross account picks from: the next above what it uses.
const LADDER: [u32; 11] = [1, 2, 3, 5, 10, 20, 25, 50, 75, 100, 125];
/// Deposits are this much above the margin they must post, for the rounding of both.
const MARGIN_SLACK: f64 = 1.002;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Long,
    Short,
}

impl Side {
    fn place(self) -> usize {
        usize::from(self == Self::Short)
    }
}

/// Why an account is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// One-sided, moderate leverage.
    Body,
    /// One-sided, 20–100×.
    Tail,
    /// Two offsetting legs.
    Hedged,
    /// Takes what is left open.
    Dealer,
}

/// One position before the fall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Leg {
    /// Place of the contract in the listing.
    pub(super) contract: usize,
    pub(super) side: Side,
    /// While drawn: its size in the settlement asset.
    size: f64,
    pub(super) lots: u64,
    /// The setting of the account in this market.
    pub(super) leverage: Decimal,
}

/// One account before the fall.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Account {
    pub(super) class: Class,
    /// Place of its asset in the listing.
    pub(super) asset: usize,
    pub(super) legs: Vec<Leg>,
    /// Gross notional over deposit.
    leverage: f64,
    pub(super) is_isolated: bool,
    pub(super) is_hedge_mode: bool,
    pub(super) deposit: Figure,
}

impl Account {
    fn new(class: Class, asset: usize, leverage: f64) -> Self {
        let deposit = Figure::default();
        Self { class, asset, legs: Vec::new(), leverage, is_isolated: false, is_hedge_mode: false, deposit }
    }

    fn gross(&self, listing: &Listing) -> f64 {
        let notional = |leg: &Leg| listing.contracts.get(leg.contract).map_or(0.0, |c| c.notional_of_lots(leg.lots));
        self.legs.iter().map(notional).sum()
    }
}

/// What the population came out as, to be printed beside every result.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Summary {
    /// Accounts, and how many are hedged or hold isolated margin.
    pub(super) accounts: usize,
    pub(super) hedged: usize,
    pub(super) isolated: usize,
    /// Leverage of one-sided short accounts at the median, 90 % and 95 %; of longs; and the tail's mean.
    pub(super) short_leverage: [f64; 3],
    pub(super) long_leverage: [f64; 3],
    pub(super) tail_leverage_mean: f64,
    /// The tail's share of open interest, long and short, in percent.
    pub(super) tail_interest_percent: [f64; 2],
    /// Share of the 100 largest accounts in all notional, in percent; tail index (Hill) over the top 2 %.
    pub(super) top_100_percent: f64,
    pub(super) tail_index: f64,
}

/// The accounts and the trades that opened their positions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Population {
    /// In the order of their names.
    pub(super) accounts: Vec<Account>,
    /// By contract.
    pub(super) trades: Vec<Trade>,
    /// Open interest of each contract, in contracts.
    pub(super) interest: Vec<Decimal>,
}

impl Population {
    /// Draws `count` accounts for what is listed.
    pub(super) fn new(listing: &Listing, count: usize, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let dealers = (count / DEALERS_ONE_IN).max(2) * listing.assets.len().max(1);
        let mut accounts: Vec<Account> =
            (0..count.saturating_sub(dealers)).map(|_| account(listing, &mut draw)).collect();
        scale_hedges(listing, &mut accounts);
        scale_sides(listing, &mut accounts);
        for account in &mut accounts {
            for leg in &mut account.legs {
                leg.lots = listing.contracts.get(leg.contract).map_or(0, |contract| contract.lots(leg.size));
            }
        }
        let assets = listing.assets.len().max(1);
        accounts.extend((0..dealers).map(|place| Account::new(Class::Dealer, place % assets, DEALER_LEVERAGE)));
        close_with_dealers(listing, &mut accounts);
        let trades = pairing::pair(&mut accounts, listing.contracts.len());
        for account in &mut accounts {
            settle(listing, account, &mut draw);
        }
        let interest = listing.contracts.iter().enumerate().map(|(place, contract)| {
            let lots = trades.iter().filter(|trade| trade.contract == place).map(|trade| trade.lots).sum();
            contract.quantity(lots)
        });
        let interest = interest.collect();
        Self { accounts, trades, interest }
    }

    /// The name of the account at a place.
    pub(super) fn name(place: usize) -> String {
        format!("a{:06}", place + 1)
    }

    /// Is the account of this name hedged from the start?
    pub(super) fn is_hedged(&self, name: &str) -> bool {
        let place = name.strip_prefix('a').and_then(|digits| digits.parse::<usize>().ok());
        let account = place.and_then(|place| self.accounts.get(place.checked_sub(1)?));
        account.is_some_and(|account| account.class == Class::Hedged)
    }

    /// Its statistics.
    pub(super) fn summary(&self, listing: &Listing) -> Summary {
        let usd = |account: &Account| {
            account.gross(listing) * listing.assets.get(account.asset).map_or(1.0, |asset| asset.usd)
        };
        let mut sizes: Vec<f64> = self.accounts.iter().filter(|a| a.class != Class::Dealer).map(usd).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let total: f64 = sizes.iter().sum();
        let one_sided = |account: &&Account| matches!(account.class, Class::Body | Class::Tail);
        let leverage = |side: Side| {
            let of_side = |account: &&Account| account.legs.first().is_some_and(|leg| leg.side == side);
            let chosen = self.accounts.iter().filter(one_sided).filter(of_side);
            let mut values: Vec<f64> = chosen.map(|account| used(account, listing)).collect();
            values.sort_by(f64::total_cmp);
            [0.5, 0.9, 0.95].map(|share| round2(quantile(&values, share)))
        };
        let tail: Vec<&Account> = self.accounts.iter().filter(|account| account.class == Class::Tail).collect();
        let mean = tail.iter().map(|account| used(account, listing)).sum::<f64>() / as_float(tail.len()).max(1.0);
        Summary {
            accounts: self.accounts.len(),
            hedged: self.accounts.iter().filter(|account| account.class == Class::Hedged).count(),
            isolated: self.accounts.iter().filter(|account| account.is_isolated).count(),
            short_leverage: leverage(Side::Short),
            long_leverage: leverage(Side::Long),
            tail_leverage_mean: round2(mean),
            tail_interest_percent: [Side::Long, Side::Short].map(|side| round2(tail_share(&tail, side, self, listing))),
            top_100_percent: round2(100.0 * sizes.iter().take(100).sum::<f64>() / total.max(f64::MIN_POSITIVE)),
            tail_index: round2(hill(&sizes)),
        }
    }
}

fn tail_share(tail: &[&Account], side: Side, population: &Population, listing: &Listing) -> f64 {
    let usd =
        |leg: &Leg| listing.contracts.get(leg.contract).map_or(0.0, |c| c.notional_of_lots(leg.lots) * listing.usd(c));
    let held: f64 = tail.iter().flat_map(|account| &account.legs).filter(|leg| leg.side == side).map(usd).sum();
    let all = population.accounts.iter().flat_map(|account| &account.legs).filter(|leg| leg.side == side);
    100.0 * held / all.map(usd).sum::<f64>().max(f64::MIN_POSITIVE)
}

fn used(account: &Account, listing: &Listing) -> f64 {
    account.gross(listing) / account.deposit.0.to_f64().unwrap_or(0.0).max(f64::MIN_POSITIVE)
}

fn round2(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn as_float(count: usize) -> f64 {
    count.to_f64().unwrap_or(0.0)
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (as_float(sorted.len()) * share).to_usize().unwrap_or(0);
    sorted.get(place).or(sorted.last()).copied().unwrap_or(0.0)
}

/// The Hill estimate of the tail index over the largest 2 %, `sizes` falling.
fn hill(sizes: &[f64]) -> f64 {
    let count = (sizes.len() / 50).max(2);
    let threshold = sizes.get(count).copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
    let sum: f64 = sizes.iter().take(count).map(|size| (size / threshold).ln()).sum();
    if sum > 0.0 { as_float(count) / sum } else { 0.0 }
}

fn account(listing: &Listing, draw: &mut Draw) -> Account {
    let size = draw.pareto(PARETO_ALPHA);
    let is_hedged = draw.chance(HEDGED_ACCOUNTS);
    let first = draw.weighted(listing.contracts.iter().map(|contract| contract.weight));
    let asset = listing.contracts.get(first).map_or(0, |contract| contract.asset);
    let leg = |contract: usize, side: Side, size: f64| {
        let usd = listing.contracts.get(contract).map_or(1.0, |contract| listing.usd(contract));
        Leg { contract, side, size: size / usd, lots: 0, leverage: Decimal::ONE }
    };
    if is_hedged {
        let leverage = body_leverage(LEVERAGE_MEDIAN_SHORT, draw);
        let mut account = Account::new(Class::Hedged, asset, leverage);
        let other = another(listing, asset, &[first], draw);
        account.is_hedge_mode = other.is_none() || draw.chance(HEDGE_MODE_SHARE);
        let second = if account.is_hedge_mode { first } else { other.unwrap_or(first) };
        // The offset is seldom exact.
        let ratio = draw.between(0.7, 1.0);
        account.legs = vec![leg(first, Side::Long, size), leg(second, Side::Short, size * ratio)];
        return account;
    }
    let side = if draw.chance(LONG_ACCOUNTS / (1.0 - HEDGED_ACCOUNTS)) { Side::Long } else { Side::Short };
    let is_tail = draw.chance(TAIL_ACCOUNTS.get(side.place()).copied().unwrap_or(0.0));
    let median = if side == Side::Long { LEVERAGE_MEDIAN_LONG } else { LEVERAGE_MEDIAN_SHORT };
    let leverage = if is_tail { tail_leverage(draw) } else { body_leverage(median, draw) };
    let class = if is_tail { Class::Tail } else { Class::Body };
    let mut account = Account::new(class, asset, leverage);
    let may_isolate = leverage > 1.0;
    account.is_isolated = draw.chance(if is_tail { ISOLATED_TAIL } else { ISOLATED_BODY }) && may_isolate;
    let mut held = vec![first];
    let more = draw.unit();
    for threshold in [0.25, 0.05] {
        if !is_tail && more <= threshold {
            held.extend(another(listing, asset, &held, draw));
        }
    }
    let part = size / as_float(held.len());
    account.legs = held.into_iter().map(|contract| leg(contract, side, part)).collect();
    account
}

/// Another market of the same asset, by weight.
fn another(listing: &Listing, asset: usize, held: &[usize], draw: &mut Draw) -> Option<usize> {
    let free = |(place, contract): (usize, &Contract)| {
        if contract.asset == asset && !held.contains(&place) { contract.weight } else { 0.0 }
    };
    let weights = listing.contracts.iter().enumerate().map(free);
    let any = weights.clone().any(|weight| weight > 0.0);
    any.then(|| draw.weighted(weights)).filter(|place| !held.contains(place))
}

fn body_leverage(median: f64, draw: &mut Draw) -> f64 {
    loop {
        let leverage = draw.lognormal(median, LEVERAGE_SIGMA);
        if leverage < TAIL_FROM {
            return leverage.max(LEVERAGE_MIN);
        }
    }
}

fn tail_leverage(draw: &mut Draw) -> f64 {
    let place = draw.weighted(TAIL_LEVERAGE.iter().map(|(_, weight)| *weight));
    TAIL_LEVERAGE.get(place).map_or(TAIL_FROM, |(leverage, _)| *leverage)
}

/// Largest position in a contract, in its asset.
fn cap(contract: &Contract) -> f64 {
    let ceiling = contract.tiers.last().and_then(|tier| tier.limit.to_f64()).unwrap_or(f64::MAX);
    (contract.interest * POSITION_SHARE_MAX).min(ceiling / 2.0)
}

/// Hedged accounts keep the ratio of their legs: they are scaled together, within the caps of both markets.
fn scale_hedges(listing: &Listing, accounts: &mut [Account]) {
    for asset in 0..listing.assets.len() {
        let of_asset = |account: &&mut Account| account.class == Class::Hedged && account.asset == asset;
        let interest: f64 = listing.contracts.iter().filter(|c| c.asset == asset).map(|c| c.interest).sum();
        let mut sizes: Vec<(f64, f64)> = accounts
            .iter_mut()
            .filter(of_asset)
            .map(|account| {
                let caps = account.legs.iter().filter_map(|leg| listing.contracts.get(leg.contract)).map(cap);
                (account.legs.first().map_or(0.0, |leg| leg.size), caps.fold(f64::MAX, f64::min))
            })
            .collect();
        let before: Vec<f64> = sizes.iter().map(|(size, _)| *size).collect();
        fit(&mut sizes, interest * HEDGED_INTEREST);
        let factors = sizes.iter().zip(before).map(|((after, _), before)| after / before.max(f64::MIN_POSITIVE));
        for (account, factor) in accounts.iter_mut().filter(of_asset).zip(factors) {
            account.legs.iter_mut().for_each(|leg| leg.size *= factor);
        }
    }
}

/// Every market's tail and body are scaled to what the table says of its open interest.
fn scale_sides(listing: &Listing, accounts: &mut [Account]) {
    for (place, contract) in listing.contracts.iter().enumerate() {
        for side in [Side::Long, Side::Short] {
            let of_market = |leg: &Leg| leg.contract == place && leg.side == side;
            let hedged: f64 = accounts
                .iter()
                .filter(|account| account.class == Class::Hedged)
                .flat_map(|account| &account.legs)
                .filter(|leg| of_market(leg))
                .map(|leg| leg.size)
                .sum();
            let tail = contract.interest * TAIL_INTEREST.get(side.place()).copied().unwrap_or(0.0);
            let whole = if side == Side::Long { 1.0 } else { 1.0 - DEALERS_INTEREST };
            let body = (contract.interest * whole - tail - hedged).max(contract.interest * 0.05);
            for (class, target) in [(Class::Tail, tail), (Class::Body, body)] {
                let limit = if class == Class::Tail { contract.notional_max(TAIL_FROM) } else { f64::MAX };
                let limit = cap(contract).min(limit * 0.9);
                let chosen = accounts.iter_mut().filter(|account| account.class == class);
                let legs = chosen.flat_map(|account| &mut account.legs);
                let mut legs: Vec<&mut Leg> = legs.filter(|leg| of_market(leg)).collect();
                let mut sizes: Vec<(f64, f64)> = legs.iter().map(|leg| (leg.size, limit)).collect();
                fit(&mut sizes, target);
                legs.iter_mut().zip(sizes).for_each(|(leg, (size, _))| leg.size = size);
            }
        }
    }
}

/// The dealers of an asset share, lot by lot, what its markets leave open.
fn close_with_dealers(listing: &Listing, accounts: &mut [Account]) {
    for (place, contract) in listing.contracts.iter().enumerate() {
        let lots = |side: Side| {
            let legs = accounts.iter().flat_map(|account| &account.legs);
            legs.filter(|leg| leg.contract == place && leg.side == side).map(|leg| leg.lots).sum::<u64>()
        };
        let (long, short) = (lots(Side::Long), lots(Side::Short));
        let side = if long > short { Side::Short } else { Side::Long };
        let open = long.abs_diff(short);
        let of_asset = |account: &&mut Account| account.class == Class::Dealer && account.asset == contract.asset;
        let count = u64::try_from(accounts.iter_mut().filter(of_asset).count()).unwrap_or(1).max(1);
        for (number, dealer) in (0_u64..).zip(accounts.iter_mut().filter(of_asset)) {
            let lots = open / count + u64::from(number < open % count);
            if lots > 0 {
                dealer.legs.push(Leg { contract: place, side, size: 0.0, lots, leverage: Decimal::ONE });
            }
        }
    }
}

/// Sets the leverage of every market and the deposit, once the positions are known.
fn settle(listing: &Listing, account: &mut Account, draw: &mut Draw) {
    let mut allowed = f64::MAX;
    let gross_in = |legs: &[Leg], contract: usize| -> f64 {
        let found = listing.contracts.get(contract);
        let of = |leg: &&Leg| leg.contract == contract;
        legs.iter().filter(of).map(|leg| found.map_or(0.0, |c| c.notional_of_lots(leg.lots))).sum()
    };
    let limits: Vec<f64> = account
        .legs
        .iter()
        .map(|leg| {
            let found = listing.contracts.get(leg.contract);
            let max = found.map(|c| c.leverage_max(gross_in(&account.legs, leg.contract) * 1.02));
            max.and_then(|max| max.to_f64()).unwrap_or(1.0)
        })
        .collect();
    allowed = limits.iter().copied().fold(allowed, f64::min);
    account.leverage = account.leverage.min(allowed * if account.class == Class::Tail { 1.0 } else { 0.95 });
    account.is_isolated &= account.leverage >= 1.0;
    // A tail account in cross mode keeps a little more than it must.
    let slack = if account.class == Class::Tail { draw.between(1.0, 1.1) } else { 1.0 };
    let mut margin = 0.0;
    let sizes: Vec<f64> = account
        .legs
        .iter()
        .map(|leg| listing.contracts.get(leg.contract).map_or(0.0, |c| c.notional_of_lots(leg.lots)))
        .collect();
    for ((leg, limit), size) in account.legs.iter_mut().zip(&limits).zip(&sizes) {
        let used = account.leverage;
        let step = LADDER.iter().map(|step| f64::from(*step)).find(|step| *step >= used).unwrap_or(used);
        let set = if account.is_isolated { used } else { step.min(*limit) };
        let set = (set.max(1.0) * 100.0).floor() / 100.0;
        leg.leverage = Decimal::from_f64(set).unwrap_or(Decimal::ONE).round_dp(2).normalize();
        margin += size / set;
    }
    let decimals = listing.assets.get(account.asset).map_or(2, |asset| if asset.usd > 1.0 { asset.scale } else { 2 });
    let backing = sizes.iter().sum::<f64>() / account.leverage * slack;
    account.deposit = rounded_up(backing.max(margin * MARGIN_SLACK), decimals);
}

#[cfg(test)]
#[path = "population_tests.rs"]
mod tests;
