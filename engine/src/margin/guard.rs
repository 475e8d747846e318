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
//! and strictly so: `h(b)` comes from `fixed`, less everything that rounding may take, which is always more than it does take:
//! of value, notional and margin at any price, of the slopes (`below` is rounded up, `above` down), and of the price, which lies between two steps. Where a market leaves
//! the range, is listed with other tiers, or gets its first mark, all its scopes are measured again at a new base. A scope
//! that does not fit the whole numbers is looked at in every tick.
//!
//! **Guards.** Say `H(x) > 0` now. Split it: allowances `a_m ≥ 0` with `Σ a_m ≤ H(x)`. In each market there is a lowest
//! and a highest price up to which its term of `H` loses no more than `a_m`: the guards. (The term is concave, so it loses
//! on one side only, or on both for a hedge.) While every price of the scope is within its guards, `H` has lost at most
//! `Σ a_m`, so it is not below zero, so `h` is above zero, and no look is needed. A guard that is *nearer* than the split asks is as good: it
//! allows for less. So guards only ever move nearer until they are reached.
//!
//! **A tick.** Reached guards are taken off the ladders, their scopes looked at: `H` again, and new guards, or else the
//! decimals. An account that was changed (a fill, a deposit, funding, a liquidation) is measured again. Scopes with
//! `H ≤ 0` that are not breached are looked at in every tick until `H` is above zero.
//!
//! **A storm.** When more guards have been reached than looking at them is worth, `H` is reckoned without guards, in one
//! pass over the lanes, for every scope or for all but those that prices cannot have used up yet (`screen` says why), and
//! only a part of the reached guards is taken off the ladders. What is left there keeps the storm up: the tick in which
//! little enough is left is the first calm one.
//!
//! # The split
//!
//! A price that moves at random reaches a guard at distance `d` about `(unrest ÷ d)²` times a tick. Fewest guards are
//! reached when a market's allowance grows with (slope × unrest) to the power of two thirds. A guard that is nearer than
//! that stays where it is, and what it leaves of its share goes to the others.
//!
//! # Where what is
//!
//! `measure`: from an account to `h(b)` and slopes. `lanes`: what is known of each scope. `market`: steps and bases.
//! `ladder`: guards by price. `screen`: the storm. The index depends on accounts, rules and marks and is no part of the state: a start builds it anew.

mod ladder;
mod lanes;
mod market;
mod measure;
mod screen;

use super::Marks;
use super::accounts::{Accounts, Place};
use super::fixed::{Contract, Figures};
use crate::id::MarketIx;
use crate::money::Price;
use crate::rules::{Market as Listed, Rules};
use ladder::{Guard, Ladder};
use lanes::{Cell, Filed, Lanes, NEAR, NONE, QUEUED, Scope, Slopes, reckon, term};
use market::{Market, SIDES, Spot, distances, range};
use measure::{Gauge, Measured};
use screen::Screen;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Looks at one of so many scopes cost about as much as a sweep over all.
const LOOKS: usize = 192;
/// Guards taken off in a storm while it grows, and while it does not, as a part of all scopes.
const GROWING: usize = 4_096;
const ENDING: usize = 1_024;
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
    /// Markets that do not fit the whole numbers: with these rules, at this price.
    unfit: BTreeMap<MarketIx, (Arc<Listed>, Option<Price>)>,
    spots: Vec<Spot>,
    lanes: Lanes,
    screen: Screen,
    known: Vec<Known>,
    touched: Vec<u32>,
    /// Accounts with a position in a market that has no mark yet.
    unmarked: BTreeSet<(MarketIx, u32)>,
    /// Scopes looked at in every tick.
    near: Vec<Scope>,
    measured: Measured,
    work: Vec<Scope>,
    reached: Vec<Guard>,
    shares: Vec<Share>,
    moves: Vec<Move>,
    /// Guards that no longer stand, by market and side.
    dropped: Vec<(u16, usize)>,
    /// Guards reached in the tick before.
    waited: usize,
}

/// A market's part in the split of a health.
#[derive(Debug, Clone, Copy)]
struct Share {
    weight: u64,
    /// What its guards allow for already; none where one is missing.
    held: Option<u64>,
}

/// A guard on its way to a ladder.
#[derive(Debug, Clone, Copy)]
struct Move {
    market: u16,
    side: usize,
    height: u32,
    /// There was another one.
    instead: bool,
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
        if waiting <= (self.lanes.len() / LOOKS).max(FEW) {
            self.look_at_reached(usize::MAX, &mut due);
        } else {
            let scopes = self.lanes.len();
            let part = if waiting > self.waited { scopes / GROWING } else { scopes / ENDING };
            self.look_at_reached(part.max(FEW), &mut due);
            self.sweep(&mut due);
        }
        self.waited = waiting;
        due.places.sort_unstable();
        due.places.dedup();
        due
    }

    /// Brings the markets up to date; where a base changes, the accounts exposed to it are touched.
    fn set(&mut self, rules: &Rules, marks: &Marks) {
        let count = rules.markets().len();
        self.markets.resize_with(count, || None);
        self.spots.resize(count, Spot::default());
        let mut rebased = vec![false; count];
        for (market, rebased) in rules.markets().iter().zip(&mut rebased) {
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
            let unfit = |(rules, at): &(Arc<Listed>, Option<Price>)| Arc::ptr_eq(rules, market) && *at == price;
            let stays = (same && moved) || self.unfit.get(&market.index).is_some_and(unfit);
            if !stays {
                self.rebase(market, price);
                *rebased = true;
            }
            let spot = self.markets.get(index).and_then(Option::as_ref).map(Market::spot).unwrap_or_default();
            if let Some(known) = self.spots.get_mut(index) {
                *known = spot;
            }
        }
        if rebased.contains(&true) {
            self.touch_exposed(&rebased);
        }
    }

    /// Touches the accounts that are exposed to markets with a new base.
    fn touch_exposed(&mut self, rebased: &[bool]) {
        let is_rebased = |market: u16| rebased.get(usize::from(market)).copied().unwrap_or(false);
        let mut exposed = Vec::new();
        self.screen.forget();
        self.lanes.forget(is_rebased, |owner| exposed.push(owner));
        self.unmarked.retain(|(market, owner)| {
            let here = is_rebased(market.0);
            if here {
                exposed.push(*owner);
            }
            !here
        });
        for owner in exposed {
            self.touch(usize::try_from(owner).unwrap_or(usize::MAX));
        }
    }

    /// Gives a market its price for a base. One that does not fit the whole numbers has none: all who hold it are looked at
    /// in every tick.
    fn rebase(&mut self, rules: &Arc<Listed>, price: Option<Price>) {
        let found = Contract::new(rules).and_then(|contract| match price {
            Some(price) => {
                let (market, worth) = Market::new(&contract, price)?;
                Some((Some(market), (contract, Some(worth))))
            }
            None => Some((None, (contract, None))),
        });
        let (market, figure) = match found {
            Some((market, figure)) => {
                self.unfit.remove(&rules.index);
                (market, Some(figure))
            }
            None => {
                self.unfit.insert(rules.index, (rules.clone(), price));
                (None, None)
            }
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
            let dropped = &mut self.dropped;
            let done = Gauge { figures, markets }.measure(account, measured, |measured| {
                // The row that the account had before, if it is as wide.
                let scope = match Scope::some(rest).filter(|scope| scope.lane() == measured.lane) {
                    Some(scope) => {
                        rest = lanes.next(scope);
                        scope
                    }
                    None => lanes.open(measured.lane, owner)?,
                };
                lanes.write(scope, measured.health, &measured.cells, |market, side| dropped.push((market, side)));
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
            first = self.lanes.next(scope);
            self.look(scope, due);
        }
        good
    }

    /// Gives the rows of a chain back, and tells the ladders of all guards that have been dropped.
    fn close(&mut self, mut chain: u32) {
        while let Some(scope) = Scope::some(chain) {
            chain = self.lanes.next(scope);
            let dropped = &mut self.dropped;
            self.lanes.close(scope, |market, side| dropped.push((market, side)));
        }
        for (market, side) in self.dropped.drain(..) {
            let market = self.markets.get_mut(usize::from(market)).and_then(Option::as_mut);
            market.and_then(|market| market.ladder(side)).into_iter().for_each(Ladder::has_moved);
        }
    }

    fn look_at_near(&mut self, due: &mut Due) {
        for scope in std::mem::take(&mut self.near) {
            self.lanes.unmark(scope, NEAR);
            due.examined = due.examined.saturating_add(1);
            self.look(scope, due);
        }
    }

    /// How many guards have been reached, about.
    fn waiting(&self) -> usize {
        self.markets.iter().flatten().map(Market::reached).fold(0, usize::saturating_add)
    }

    /// Takes reached guards off the ladders, at most about `most`, and looks at their scopes.
    fn look_at_reached(&mut self, most: usize, due: &mut Due) {
        let mut work = std::mem::take(&mut self.work);
        let mut left = most;
        for (market, number) in self.markets.iter_mut().zip(0_u16..) {
            let Some(market) = market else { continue };
            for side in SIDES {
                market.take(side, left, &mut self.reached);
                left = left.saturating_sub(self.reached.len());
                for guard in self.reached.drain(..) {
                    if !self.lanes.unfile(guard.scope, number, side, guard.height) {
                        market.ladder(side).into_iter().for_each(Ladder::had_moved);
                    } else if self.lanes.mark(guard.scope, QUEUED) {
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
        self.work = work;
    }

    /// Reckons the health of every scope that prices can have used up.
    fn sweep(&mut self, due: &mut Due) {
        let mut work = std::mem::take(&mut self.work);
        let reckoned = self.screen.sweep(&mut self.lanes, &self.spots, &mut work);
        due.examined = due.examined.saturating_add(reckoned);
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
        due.places.extend(self.lanes.owner(scope));
    }

    /// Looks at a scope: moves its guards, or names it.
    fn look(&mut self, scope: Scope, due: &mut Due) {
        let Some(row) = self.lanes.row(scope) else { return };
        let health = reckon(row.health, row.cells, &self.spots);
        if health <= 0 {
            return self.name(scope, due);
        }
        self.shares.clear();
        for (cell, filed) in row.cells.iter().zip(row.filed.iter()) {
            let spot = self.spots.get(usize::from(cell.market)).copied().unwrap_or_default();
            let weight = two_thirds(u64::from(cell.slopes.steepest()).saturating_mul(spot.unrest.into()));
            self.shares.push(Share { weight, held: held(cell, *filed, spot) });
        }
        let unit = split(health.unsigned_abs(), &mut self.shares);
        let cells = row.cells.iter().zip(row.filed).zip(&self.shares);
        for ((cell, filed), share) in cells.filter(|(_, share)| share.held.is_none()) {
            let spot = self.spots.get(usize::from(cell.market)).copied().unwrap_or_default();
            let allowance = i64::try_from(unit.saturating_mul(share.weight)).unwrap_or(i64::MAX);
            for ((side, steps), filed) in SIDES.into_iter().zip(guards(cell.slopes, spot, allowance)).zip(filed) {
                let Some(height) = steps.map(|steps| Market::turn(side, steps)).filter(|height| height < filed) else {
                    continue;
                };
                let instead = std::mem::replace(filed, height) != NONE;
                self.moves.push(Move { market: cell.market, side, height, instead });
            }
        }
        let lanes = &self.lanes;
        for Move { market, side, height, instead } in self.moves.drain(..) {
            let stands = |guard: &Guard| lanes.height(guard.scope, market, side) == Some(guard.height);
            let known = self.markets.get_mut(usize::from(market)).and_then(Option::as_mut);
            if let Some(ladder) = known.and_then(|known| known.ladder(side)) {
                ladder.add(Guard { height, scope }, instead, stands);
            }
        }
    }

    /// Bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        let markets = self.markets.iter().flatten().map(Market::bytes).fold(0, usize::saturating_add);
        let known = self.known.capacity().saturating_mul(size_of::<Known>());
        let touched = self.touched.capacity().saturating_mul(size_of::<u32>());
        self.lanes.bytes().saturating_add(markets).saturating_add(known).saturating_add(touched)
    }
}

/// What the guards of a market allow for, from where it stands; none where one is missing that it needs.
fn held(cell: &Cell, filed: Filed, spot: Spot) -> Option<u64> {
    let adverse = [cell.slopes.below > 0, cell.slopes.above < 0];
    let now = term(cell.slopes, spot.below, spot.above);
    let mut most = 0;
    for ((side, height), _) in SIDES.into_iter().zip(filed).zip(adverse).filter(|(_, adverse)| *adverse) {
        if height == NONE {
            return None;
        }
        let (below, above) = distances(spot.base, Market::turn(side, height));
        let loss = now.saturating_sub(term(cell.slopes, below, above));
        most = most.max(u64::try_from(loss).unwrap_or(0));
    }
    Some(most)
}

/// Splits a health: those that hold less than their share keep what they hold, the others (`held` becomes none) get their
/// weight times what is returned.
fn split(health: u64, shares: &mut [Share]) -> u64 {
    let (mut left, mut sum) = (health, shares.iter().fold(0, |sum: u64, share| sum.saturating_add(share.weight)));
    let mut unit = left.checked_div(sum).unwrap_or(0);
    // Each that keeps what it holds raises the share of the others; after two turns hardly anything changes.
    for turn in 0..2 {
        let (mut kept, mut weight) = (0_u64, 0_u64);
        for share in shares.iter_mut() {
            match share.held {
                Some(held) if held <= unit.saturating_mul(share.weight) => {
                    kept = kept.saturating_add(held);
                    weight = weight.saturating_add(share.weight);
                }
                _ if turn == 1 => share.held = None,
                _ => {}
            }
        }
        (left, sum) =
            (health.saturating_sub(kept), shares.iter().fold(0, |sum: u64, share| sum.saturating_add(share.weight)));
        sum = sum.saturating_sub(weight);
        if turn == 0 {
            unit = left.checked_div(sum).unwrap_or(0);
        }
    }
    left.checked_div(sum).unwrap_or(0)
}

/// The lowest and the highest price, in steps, up to which a market takes no more than its allowance from a health; none
/// where no price within the range of the slopes takes it.
fn guards(slopes: Slopes, spot: Spot, allowance: i64) -> [Option<u32>; 2] {
    let (base, below, above) = (i64::from(spot.base), i64::from(slopes.below), i64::from(slopes.above));
    let least = term(slopes, spot.below, spot.above).saturating_sub(allowance);
    // Left of the base the term is `below` times a distance at most zero, right of it `above` times one at least zero.
    let falling = (below > 0).then(|| if least <= 0 { over(least, below) } else { ceil(least, above) });
    let rising = (above < 0).then(|| if least <= 0 { over(least, above) } else { floor(least, below) });
    let (first, last) = range(spot.base);
    let steps = |distance: i64| u32::try_from(base.saturating_add(distance)).ok();
    [falling.and_then(steps).filter(|steps| *steps > first), rising.and_then(steps).filter(|steps| *steps < last)]
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
