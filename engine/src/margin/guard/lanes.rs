//! What the index knows of each scope, in arrays that are read from one end to the other.
//!
//! Scopes with up to 1, 2, 4, 8, … markets each have a lane of that width, so a row is found by its number and a screen of
//! everybody is a walk over three arrays.

use super::market::Delta;

/// A scope in the lanes: the lane in the upper four bits, the row in the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope(pub(super) u32);

/// No scope, no account, no guard.
pub(super) const NONE: u32 = u32::MAX;
/// What a cell that is not in use has for a market: one that never moves.
const NOWHERE: u16 = u16::MAX;
const ROW_BITS: u32 = 28;
const LANES: u32 = 16;

impl Scope {
    /// The scope of a link, if it leads to one.
    pub(super) fn some(link: u32) -> Option<Self> {
        (link != NONE).then_some(Self(link))
    }

    /// Its lane.
    pub(super) fn lane(self) -> u32 {
        self.0 >> ROW_BITS
    }

    fn row(self) -> usize {
        usize::try_from(self.0 & ((1 << ROW_BITS) - 1)).unwrap_or(0)
    }
}

/// What a step of a market's price does to the health of a scope: at most this below the base, at least this above it
/// (so that a health reckoned with it is never too high).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slopes {
    pub(super) below: i32,
    pub(super) above: i32,
}

/// Heights of the guards in the falling and the rising ladder of its market; [`NONE`] without.
pub(super) type Filed = [u32; 2];

/// A market that a scope is exposed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exposure {
    pub(super) market: u16,
    pub(super) slopes: Slopes,
}

/// The scope waits in the list of this tick's work.
pub(super) const QUEUED: u8 = 1;
/// The scope is looked at in every tick.
pub(super) const NEAR: u8 = 2;

/// The scopes of one width.
#[derive(Debug, Default)]
struct Lane {
    /// Lower bound of the health with every market at its base.
    health: Vec<i64>,
    markets: Vec<u16>,
    slopes: Vec<Slopes>,
    filed: Vec<Filed>,
    owner: Vec<u32>,
    /// The next scope of the same account.
    next: Vec<u32>,
    marks: Vec<u8>,
    free: Vec<u32>,
}

/// A row, to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) owner: u32,
    pub(super) next: u32,
    pub(super) health: i64,
    pub(super) markets: &'a [u16],
    pub(super) slopes: &'a [Slopes],
    pub(super) filed: &'a [Filed],
}

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    rows: usize,
}

/// A health that no move of prices uses up: the row is free.
const ENDLESS: i64 = 1 << 60;

impl Lanes {
    /// How many scopes there are.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The lane for so many markets, if there is one.
    pub(super) fn lane_for(markets: usize) -> Option<u32> {
        let lane = markets.max(1).checked_next_power_of_two()?.ilog2();
        (lane < LANES).then_some(lane)
    }

    /// A free row for a scope of an account, with no markets yet.
    pub(super) fn open(&mut self, lane: u32, owner: u32) -> Option<Scope> {
        let index = usize::try_from(lane).ok()?;
        if self.lanes.len() <= index {
            self.lanes.resize_with(index.saturating_add(1), Lane::default);
        }
        let width = 1_usize.checked_shl(lane)?;
        let lane_rows = self.lanes.get_mut(index)?;
        let row = match lane_rows.free.pop() {
            Some(row) => row,
            None => {
                let row = u32::try_from(lane_rows.owner.len()).ok().filter(|row| *row < (1 << ROW_BITS) - 1)?;
                let cells = lane_rows.markets.len().checked_add(width)?;
                lane_rows.markets.resize(cells, NOWHERE);
                lane_rows.slopes.resize(cells, Slopes::default());
                lane_rows.filed.resize(cells, [NONE; 2]);
                lane_rows.health.push(ENDLESS);
                lane_rows.owner.push(NONE);
                lane_rows.next.push(NONE);
                lane_rows.marks.push(0);
                row
            }
        };
        let place = usize::try_from(row).ok()?;
        *lane_rows.owner.get_mut(place)? = owner;
        *lane_rows.next.get_mut(place)? = NONE;
        *lane_rows.marks.get_mut(place)? = 0;
        self.rows = self.rows.saturating_add(1);
        Some(Scope((lane << ROW_BITS) | row))
    }

    /// Gives a row back. Guards that were filed for it no longer stand.
    pub(super) fn close(&mut self, scope: Scope) {
        let row = scope.row();
        self.write(scope, ENDLESS, &[]);
        let Some(lane) = self.lanes.get_mut(lane(scope)) else { return };
        let Some(owner) = lane.owner.get_mut(row).filter(|owner| **owner != NONE) else { return };
        *owner = NONE;
        if let Ok(row) = u32::try_from(row) {
            lane.free.push(row);
        }
        self.rows = self.rows.saturating_sub(1);
    }

    /// Writes a row. Guards of markets that keep their place stay filed.
    pub(super) fn write(&mut self, scope: Scope, health: i64, exposures: &[Exposure]) {
        let cells = cells(scope);
        let Some(lane) = self.lanes.get_mut(lane(scope)) else { return };
        if let Some(known) = lane.health.get_mut(scope.row()) {
            *known = health.clamp(-ENDLESS, ENDLESS);
        }
        let (Some(markets), Some(slopes), Some(filed)) =
            (lane.markets.get_mut(cells.clone()), lane.slopes.get_mut(cells.clone()), lane.filed.get_mut(cells))
        else {
            return;
        };
        let mut new = exposures.iter();
        for ((market, slopes), filed) in markets.iter_mut().zip(slopes).zip(filed) {
            let exposure = new.next();
            if exposure.is_none_or(|exposure| exposure.market != *market) {
                *filed = [NONE; 2];
            }
            *market = exposure.map_or(NOWHERE, |exposure| exposure.market);
            *slopes = exposure.map_or(Slopes::default(), |exposure| exposure.slopes);
        }
    }

    /// A row.
    pub(super) fn row(&self, scope: Scope) -> Option<Row<'_>> {
        let (lane, row, cells) = (self.lanes.get(lane(scope))?, scope.row(), cells(scope));
        Some(Row {
            owner: *lane.owner.get(row)?,
            next: *lane.next.get(row)?,
            health: *lane.health.get(row)?,
            markets: lane.markets.get(cells.clone())?,
            slopes: lane.slopes.get(cells.clone())?,
            filed: lane.filed.get(cells)?,
        })
    }

    /// The guards of a row, to change.
    pub(super) fn filed(&mut self, scope: Scope) -> &mut [Filed] {
        let lane = self.lanes.get_mut(lane(scope));
        lane.and_then(|lane| lane.filed.get_mut(cells(scope))).unwrap_or_default()
    }

    /// The height that a scope has filed on a side of a market.
    pub(super) fn height(&self, scope: Scope, market: u16, side: usize) -> Option<u32> {
        let row = self.row(scope)?;
        let place = row.markets.iter().position(|known| *known == market)?;
        row.filed.get(place)?.get(side).copied()
    }

    /// Takes back the guard of a side of a market that has been reached. Did the scope still go by it?
    pub(super) fn unfile(&mut self, scope: Scope, market: u16, side: usize, height: u32) -> bool {
        let Some(place) = self.row(scope).and_then(|row| row.markets.iter().position(|known| *known == market)) else {
            return false;
        };
        match self.filed(scope).get_mut(place).and_then(|filed| filed.get_mut(side)) {
            Some(filed) if *filed == height => {
                *filed = NONE;
                true
            }
            _ => false,
        }
    }

    /// Links a row to the next of its account.
    pub(super) fn link(&mut self, scope: Scope, next: u32) {
        if let Some(known) = self.lanes.get_mut(lane(scope)).and_then(|lane| lane.next.get_mut(scope.row())) {
            *known = next;
        }
    }

    /// Sets a mark of a row: was it new?
    pub(super) fn mark(&mut self, scope: Scope, bit: u8) -> bool {
        let marks = self.lanes.get_mut(lane(scope)).and_then(|lane| lane.marks.get_mut(scope.row()));
        marks.is_some_and(|marks| {
            let new = *marks & bit == 0;
            *marks |= bit;
            new
        })
    }

    /// Takes a mark off a row.
    pub(super) fn unmark(&mut self, scope: Scope, bit: u8) {
        if let Some(marks) = self.lanes.get_mut(lane(scope)).and_then(|lane| lane.marks.get_mut(scope.row())) {
            *marks &= !bit;
        }
    }

    /// Every scope whose health may be used up.
    pub(super) fn screen(&self, deltas: &[Delta], out: &mut Vec<Scope>) {
        for (lane, number) in self.lanes.iter().zip(0_u32..) {
            let first = number << ROW_BITS;
            match number {
                0 => lane.screen::<1>(first, deltas, out),
                1 => lane.screen::<2>(first, deltas, out),
                2 => lane.screen::<4>(first, deltas, out),
                3 => lane.screen::<8>(first, deltas, out),
                _ => lane.screen_wide(1 << number, first, deltas, out),
            }
        }
    }

    /// A market has a new base: nothing is filed for it any more. `found` hears the accounts that are exposed to it.
    pub(super) fn forget(&mut self, market: u16, mut found: impl FnMut(u32)) {
        for (lane, number) in self.lanes.iter_mut().zip(0_u32..) {
            let width = 1_usize << number;
            let cells = lane.markets.chunks_exact(width).zip(lane.filed.chunks_exact_mut(width));
            for ((markets, filed), owner) in cells.zip(&lane.owner).filter(|(_, owner)| **owner != NONE) {
                if let Some(place) = markets.iter().position(|known| *known == market) {
                    if let Some(filed) = filed.get_mut(place) {
                        *filed = [NONE; 2];
                    }
                    found(*owner);
                }
            }
        }
    }

    /// Bytes they hold.
    pub(super) fn bytes(&self) -> usize {
        let of = |lane: &Lane| {
            let cell = size_of::<u16>().saturating_add(size_of::<Slopes>()).saturating_add(size_of::<Filed>());
            let row = size_of::<i64>().saturating_add(size_of::<u32>().saturating_mul(2)).saturating_add(1);
            lane.markets.capacity().saturating_mul(cell).saturating_add(lane.owner.capacity().saturating_mul(row))
        };
        self.lanes.iter().map(of).fold(0, usize::saturating_add)
    }
}

fn lane(scope: Scope) -> usize {
    usize::try_from(scope.lane()).unwrap_or(0)
}

/// Where the markets of a scope stand in the arrays of its lane.
fn cells(scope: Scope) -> std::ops::Range<usize> {
    let (lane, row) = (scope.lane(), scope.row());
    row.saturating_mul(1 << lane)..row.saturating_add(1).saturating_mul(1 << lane)
}

/// What a market adds to a health. Neither the products nor their sum leave 63 bits: see `scope::BITS`.
pub(super) fn term(slopes: Slopes, delta: Delta) -> i64 {
    let below = i64::from(slopes.below).wrapping_mul(i64::from(delta.below));
    below.wrapping_add(i64::from(slopes.above).wrapping_mul(i64::from(delta.above)))
}

impl Lane {
    fn screen<const WIDTH: usize>(&self, first: u32, deltas: &[Delta], out: &mut Vec<Scope>) {
        let (markets, _) = self.markets.as_chunks::<WIDTH>();
        let (slopes, _) = self.slopes.as_chunks::<WIDTH>();
        for (((health, markets), slopes), row) in self.health.iter().zip(markets).zip(slopes).zip(first..) {
            let mut left = *health;
            for (market, slopes) in markets.iter().zip(slopes) {
                let delta = deltas.get(usize::from(*market)).copied().unwrap_or_default();
                left = left.wrapping_add(term(*slopes, delta));
            }
            if left <= 0 {
                out.push(Scope(row));
            }
        }
    }

    fn screen_wide(&self, width: usize, first: u32, deltas: &[Delta], out: &mut Vec<Scope>) {
        let rows = self.markets.chunks_exact(width).zip(self.slopes.chunks_exact(width));
        for ((health, (markets, slopes)), row) in self.health.iter().zip(rows).zip(first..) {
            let mut left = *health;
            for (market, slopes) in markets.iter().zip(slopes) {
                let delta = deltas.get(usize::from(*market)).copied().unwrap_or_default();
                left = left.wrapping_add(term(*slopes, delta));
            }
            if left <= 0 {
                out.push(Scope(row));
            }
        }
    }
}
