//! The guard index: which accounts must be looked at after prices have moved. Never all of them, and never one too few.
//!
//! # The proof
//!
//! **What is wanted.** A scope (the cross positions of an account in one asset, or one isolated position) is breached when
//! its equity is at or below its maintenance margin. Let its *health* `h` be equity less maintenance, a function of the
//! prices `x` of its markets. The index has to name every scope with `h(x) ≤ 0`; those it names are then decided in exact
//! decimals, so naming one too many costs time and nothing else.
//!
//! **A bound that is easy to reckon.** `h(x) = money + Σ f_m(x_m)`: the markets add up, because the profit and the
//! maintenance margin of a position depend on its own market only. Count `x` in steps of the price for a linear contract,
//! and of one over the price for an inverse one: then the value of a position is proportional to `x`, and its maintenance
//! margin is convex (the rates of the tiers rise), so `f_m` is concave, also as the sum of both legs of a hedge. Take a
//! base `b` for each market. Right of it `f_m` grows at least at the slope `above`, reckoned with the rate of the tier
//! that twice the base would fall into; left of it, it falls at most at the slope `below`, with the tier at half the
//! base. So from half the base to twice the base
//!
//! `h(x) ≥ H(x) = h(b) + Σ (below_m · min(x_m − b_m, 0) + above_m · max(x_m − b_m, 0))`.
//!
//! `h(b)` comes from `fixed`, less everything that rounding may take: of value, notional and margin at any price, of the
//! slopes (`below` is rounded up, `above` down), and of the price, which lies between two steps. Where a market leaves
//! the range, is listed with other tiers, or gets its first mark, all its scopes are measured again at a new base. A scope
//! that does not fit the whole numbers is looked at in every tick.
//!
//! **Guards.** Say `H(x) > 0` now. Split it: allowances `a_m ≥ 0` with `Σ a_m ≤ H(x)`. In each market there is a lowest
//! and a highest price up to which its term of `H` loses no more than `a_m`: the guards. (The term is concave, so it loses
//! on one side only, or on both for a hedge.) While every price of the scope is within its guards, `H` has lost at most
//! `Σ a_m`, so it is not below zero, and no look is needed. A guard that is *nearer* than the split asks is as good: it
//! allows for less. So guards only ever move nearer until they are reached.
//!
//! **A tick.** Reached guards are taken off the ladders, their scopes looked at: `H` again, and new guards, or else the
//! decimals. An account that was changed (a fill, a deposit, funding, a liquidation) is measured again. Scopes with
//! `H ≤ 0` that are not breached are looked at in every tick until `H` is above zero.
//!
//! **A storm.** When more guards have been reached than looking at them is worth, `H` is reckoned for *every* scope in
//! one pass over the lanes, which needs no guards, and only a part of the reached ones is taken off the ladders. What is
//! left there keeps the storm up: the tick in which nothing is left is the first calm one.
//!
//! # The split
//!
//! A price that moves at random reaches a guard at distance `d` about `(unrest ÷ d)²` times a tick. Fewest guards are
//! reached when a market's allowance grows with (slope × unrest) to the power of two thirds.
//!
//! # Where what is
//!
//! `measure`: from an account to `h(b)` and slopes. `lanes`: what is known of each scope. `market`: steps and bases.
//! `ladder`: guards by price. It depends on accounts, rules and marks and is no part of the state: a start builds it anew.

mod ladder;
mod lanes;
mod market;
mod measure;

use super::Marks;
use super::accounts::{Accounts, Place};
use super::fixed::{Contract, Figures};
use crate::id::MarketIx;
use crate::rules::Rules;
use ladder::Guard;
use lanes::{Lanes, NEAR, NONE, QUEUED, Row, Scope, Slopes, term};
use market::{Delta, Market, SIDES, range};
use measure::{Gauge, Measured};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A look costs about as much as screening so many scopes.
const LOOK: usize = 64;
/// Guards taken off in a storm, as a part of all scopes: a storm costs little more than its screen.
const STORM: usize = 256;
/// Fewer guards than this are never a storm.
const FEW: usize = 256;

/// What the index knows of an account.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// Its first scope.
    first: u32,
    /// Does it wait to be measured again?
    touched: bool,
}

/// Accounts that the decimals must decide.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Where they stand, each once.
    pub(super) places: Vec<Place>,
    /// How many scopes were looked at, or screened.
    pub(super) examined: usize,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct GuardIndex {
    markets: Vec<Option<Market>>,
    /// Contracts with their worth at the base.
    figures: Figures,
    deltas: Vec<Delta>,
    lanes: Lanes,
    known: Vec<Known>,
    touched: Vec<u32>,
    /// Accounts with a position in a market that has no mark yet.
    unmarked: BTreeSet<(MarketIx, u32)>,
    /// Scopes looked at in every tick.
    near: Vec<Scope>,
    measured: Measured,
    work: Vec<Scope>,
    reached: Vec<Guard>,
}

impl GuardIndex {
    /// An account was changed, or is new.
    pub(super) fn touch(&mut self, place: Place) {
        if self.known.len() <= place {
            self.known.resize(place.saturating_add(1), Known { first: NONE, touched: false });
        }
        if let (Some(known), Ok(place)) = (self.known.get_mut(place), u32::try_from(place))
            && !std::mem::replace(&mut known.touched, true)
        {
            self.touched.push(place);
        }
    }

    /// New marks and rules are in force: the accounts that may be breached, and those that are being liquidated.
    pub(super) fn due(&mut self, accounts: &Accounts, rules: &Rules, marks: &Marks) -> Due {
        self.set(rules, marks);
        let mut due = Due::default();
        self.measure_touched(accounts, &mut due);
        self.look_at_near(&mut due);
        let waiting = self.waiting();
        let most = self.lanes.len() / LOOK;
        if waiting <= most.max(FEW) {
            self.look_at_reached(usize::MAX, &mut due);
        } else {
            self.look_at_reached(self.lanes.len() / STORM, &mut due);
            self.screen(&mut due);
        }
        due.places.sort_unstable();
        due.places.dedup();
        due
    }

    /// Brings the markets up to date; where a base changes, the accounts exposed to it are touched.
    fn set(&mut self, rules: &Rules, marks: &Marks) {
        let count = rules.markets().len();
        self.markets.resize_with(count, || None);
        self.deltas.resize(count, Delta::default());
        for market in rules.markets() {
            let index = usize::from(market.index.0);
            let price = marks.price(market.index);
            let same = match self.figures.get(market.index) {
                Some((contract, worth)) => Arc::ptr_eq(contract.rules(), market) && worth.is_some() == price.is_some(),
                None => false,
            };
            let moved = match (self.markets.get_mut(index), price) {
                (Some(Some(known)), Some(price)) => known.move_to(price),
                _ => price.is_none(),
            };
            if !(same && moved) {
                self.rebase(market, price);
            }
            let delta = self.markets.get(index).and_then(Option::as_ref).map(Market::delta).unwrap_or_default();
            if let Some(known) = self.deltas.get_mut(index) {
                *known = delta;
            }
        }
    }

    fn rebase(&mut self, rules: &Arc<crate::rules::Market>, price: Option<crate::money::Price>) {
        let mut exposed = Vec::new();
        self.lanes.forget(rules.index.0, |owner| exposed.push(owner));
        self.unmarked.retain(|(market, owner)| {
            let here = *market == rules.index;
            if here {
                exposed.push(*owner);
            }
            !here
        });
        for owner in exposed {
            self.touch(usize::try_from(owner).unwrap_or(usize::MAX));
        }
        let contract = Contract::new(rules);
        let (market, figure) = match (contract, price) {
            (Some(contract), Some(price)) => match Market::new(&contract, price) {
                Some((market, worth)) => (Some(market), Some((contract, Some(worth)))),
                None => (None, None),
            },
            (Some(contract), None) => (None, Some((contract, None))),
            (None, _) => (None, None),
        };
        if let Some(known) = self.markets.get_mut(usize::from(rules.index.0)) {
            *known = market;
        }
        self.figures.put(rules.index, figure);
    }

    /// Measures touched accounts again. Those that are being liquidated, and those that cannot be measured, stay touched.
    fn measure_touched(&mut self, accounts: &Accounts, due: &mut Due) {
        let mut touched = std::mem::take(&mut self.touched);
        let mut measured = std::mem::take(&mut self.measured);
        touched.retain(|owner| {
            due.examined = due.examined.saturating_add(1);
            let stays = !self.measure(*owner, accounts, &mut measured, due);
            if stays {
                due.places.push(usize::try_from(*owner).unwrap_or(usize::MAX));
            } else if let Some(known) = usize::try_from(*owner).ok().and_then(|place| self.known.get_mut(place)) {
                known.touched = false;
            }
            stays
        });
        self.measured = measured;
        self.touched = touched;
    }

    /// Measures an account; false when it must be decided in the decimals at every tick.
    fn measure(&mut self, owner: u32, accounts: &Accounts, measured: &mut Measured, due: &mut Due) -> bool {
        let place = usize::try_from(owner).unwrap_or(usize::MAX);
        let account = accounts.at(place).filter(|account| !account.id.is_house());
        let (mut first, mut last) = (NONE, None);
        let mut rest = self.known.get(place).map_or(NONE, |known| known.first);
        let mut good = true;
        if let Some(account) = account.filter(|account| account.liquidations.is_empty()) {
            let (figures, markets, lanes) = (&self.figures, &self.markets, &mut self.lanes);
            let done = Gauge { figures, markets }.measure(account, measured, |measured| {
                // The row that the account had before, if it is as wide.
                let scope = match Scope::some(rest).filter(|scope| scope.lane() == measured.lane) {
                    Some(scope) => {
                        rest = lanes.row(scope).map_or(NONE, |row| row.next);
                        scope
                    }
                    None => lanes.open(measured.lane, owner)?,
                };
                lanes.write(scope, measured.health, &measured.exposures);
                lanes.link(scope, NONE);
                match last.replace(scope) {
                    Some(last) => lanes.link(last, scope.0),
                    None => first = scope.0,
                }
                Some(())
            });
            good = done.is_some();
            for position in &account.positions {
                if figures.get(position.market).is_some_and(|(_, worth)| worth.is_none()) {
                    self.unmarked.insert((position.market, owner));
                }
            }
        } else if account.is_some() {
            good = false;
        }
        self.close(rest);
        if let Some(known) = self.known.get_mut(place) {
            known.first = first;
        }
        while let Some(scope) = Scope::some(first) {
            first = self.lanes.row(scope).map_or(NONE, |row| row.next);
            self.look(scope, due);
        }
        good
    }

    /// Gives the rows of a chain back.
    fn close(&mut self, mut chain: u32) {
        while let Some(scope) = Scope::some(chain) {
            chain = self.lanes.row(scope).map_or(NONE, |row| row.next);
            self.lanes.close(scope);
        }
    }

    fn look_at_near(&mut self, due: &mut Due) {
        for scope in std::mem::take(&mut self.near) {
            self.lanes.unmark(scope, NEAR);
            due.examined = due.examined.saturating_add(1);
            self.look(scope, due);
        }
    }

    /// How many guards may have been reached.
    fn waiting(&self) -> usize {
        let markets = self.markets.iter().flatten();
        markets.flat_map(|market| SIDES.map(|side| market.reached(side))).fold(0, usize::saturating_add)
    }

    /// Takes reached guards off the ladders, at most about `most`, and looks at their scopes.
    fn look_at_reached(&mut self, most: usize, due: &mut Due) {
        let mut work = std::mem::take(&mut self.work);
        let mut reached = std::mem::take(&mut self.reached);
        let mut left = most;
        for (market, number) in self.markets.iter_mut().zip(0_u16..) {
            let Some(market) = market else { continue };
            for side in SIDES {
                market.take(side, left, &mut reached);
                left = left.saturating_sub(reached.len());
                for guard in reached.drain(..) {
                    let stood = self.lanes.unfile(guard.scope, number, side, guard.height);
                    if stood && self.lanes.mark(guard.scope, QUEUED) {
                        work.push(guard.scope);
                    }
                }
            }
        }
        due.examined = due.examined.saturating_add(work.len());
        for scope in work.drain(..) {
            self.lanes.unmark(scope, QUEUED);
            self.look(scope, due);
        }
        (self.work, self.reached) = (work, reached);
    }

    /// Reckons the health of every scope.
    fn screen(&mut self, due: &mut Due) {
        let mut work = std::mem::take(&mut self.work);
        self.lanes.screen(&self.deltas, &mut work);
        due.examined = due.examined.saturating_add(self.lanes.len());
        for scope in work.drain(..) {
            self.name(scope, due);
        }
        self.work = work;
    }

    /// A scope whose health may be used up: the decimals decide, now and in the next tick.
    fn name(&mut self, scope: Scope, due: &mut Due) {
        if self.lanes.mark(scope, NEAR) {
            self.near.push(scope);
        }
        if let Some(owner) = self.lanes.row(scope).and_then(|row| usize::try_from(row.owner).ok()) {
            due.places.push(owner);
        }
    }

    /// Looks at a scope: moves its guards, or names it.
    fn look(&mut self, scope: Scope, due: &mut Due) {
        let Some(row) = self.lanes.row(scope).filter(|row| row.owner != NONE) else { return };
        let health = self.health(&row);
        if health <= 0 {
            return self.name(scope, due);
        }
        let weights = row.markets.iter().zip(row.slopes).map(|(market, slopes)| self.weight(*market, *slopes));
        let sum = weights.fold(0_u64, u64::saturating_add).max(1);
        let share = health.unsigned_abs().checked_div(sum).unwrap_or(0);
        for place in 0..row.markets.len() {
            self.move_guards(scope, place, share);
        }
    }

    /// Moves the guards of one market of a scope nearer, if its share asks for that.
    fn move_guards(&mut self, scope: Scope, place: usize, share: u64) {
        let Some(row) = self.lanes.row(scope) else { return };
        let cells = (row.markets.get(place), row.slopes.get(place), row.filed.get(place));
        let (Some(number), Some(slopes), Some(filed)) = cells else { return };
        let (number, slopes, filed) = (*number, *slopes, *filed);
        let allowance = share.saturating_mul(self.weight(number, slopes));
        let Some(Some(market)) = self.markets.get_mut(usize::from(number)) else { return };
        let guards = guards(slopes, market, i64::try_from(allowance).unwrap_or(i64::MAX));
        for ((side, steps), filed) in SIDES.into_iter().zip(guards).zip(filed) {
            let Some(height) = steps.map(|steps| Market::turn(side, steps)).filter(|height| *height < filed) else {
                continue;
            };
            if let Some(filed) = self.lanes.filed(scope).get_mut(place).and_then(|filed| filed.get_mut(side)) {
                *filed = height;
            }
            let lanes = &self.lanes;
            let stands = |guard: &Guard| lanes.height(guard.scope, number, side) == Some(guard.height);
            market.add(side, Guard { height, scope }, stands);
        }
    }

    /// The lower bound of the health at the prices of now.
    fn health(&self, row: &Row<'_>) -> i64 {
        row.markets.iter().zip(row.slopes).fold(row.health, |health, (market, slopes)| {
            let delta = self.deltas.get(usize::from(*market)).copied().unwrap_or_default();
            health.wrapping_add(term(*slopes, delta))
        })
    }

    /// (slope × unrest)^⅔, for the split.
    fn weight(&self, market: u16, slopes: Slopes) -> u64 {
        let slope = u64::from(slopes.below.unsigned_abs().max(slopes.above.unsigned_abs()));
        let unrest = self.markets.get(usize::from(market)).and_then(Option::as_ref).map_or(0, Market::unrest);
        two_thirds(slope.saturating_mul(unrest.into()))
    }

    /// Bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        let markets = self.markets.iter().flatten().map(Market::bytes).fold(0, usize::saturating_add);
        let known = self.known.capacity().saturating_mul(size_of::<Known>());
        let touched = self.touched.capacity().saturating_mul(size_of::<u32>());
        self.lanes.bytes().saturating_add(markets).saturating_add(known).saturating_add(touched)
    }
}

/// The lowest and the highest price, in steps, up to which a market takes no more than its allowance from a health; none
/// where no price within the range of the slopes takes it.
fn guards(slopes: Slopes, market: &Market, allowance: i64) -> [Option<u32>; 2] {
    let (base, below, above) = (i64::from(market.base), i64::from(slopes.below), i64::from(slopes.above));
    let least = term(slopes, market.delta()).saturating_sub(allowance);
    // Left of the base the term is `below` times a distance at most zero, right of it `above` times one at least zero.
    let falling = (below > 0).then(|| if least <= 0 { over(least, below) } else { ceil(least, above) });
    let rising = (above < 0).then(|| if least <= 0 { over(least, above) } else { floor(least, below) });
    let (first, last) = range(market.base);
    let steps = |distance: i64| u32::try_from(base.saturating_add(distance)).ok();
    [
        falling.and_then(steps).filter(|steps| *steps > first),
        rising.and_then(steps).filter(|steps| *steps < last),
    ]
}

/// A quotient towards zero: towards the base.
fn over(numerator: i64, denominator: i64) -> i64 {
    numerator.checked_div(denominator).unwrap_or(0)
}

fn ceil(numerator: i64, denominator: i64) -> i64 {
    numerator.checked_neg().and_then(|n| n.checked_div_euclid(denominator)).map_or(i64::MAX, i64::wrapping_neg)
}

fn floor(numerator: i64, denominator: i64) -> i64 {
    ceil(numerator, denominator.wrapping_neg()).wrapping_neg()
}

/// About `value^⅔`, for no more than how a buffer is split.
fn two_thirds(value: u64) -> u64 {
    let Some(whole) = value.checked_ilog2() else { return 0 };
    // The logarithm with eight more bits, straight between powers of two.
    let rest = if whole >= 8 { value >> whole.wrapping_sub(8) } else { value << 8_u32.wrapping_sub(whole) } & 0xff;
    let log = u64::from(whole).wrapping_mul(256).wrapping_add(rest).wrapping_mul(2) / 3;
    ((256 | (log & 0xff)) << (log >> 8)) >> 8
}
