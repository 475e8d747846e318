//! What the index knows of each scope, in arrays that are read from one end to the other.
//!
//! Scopes with up to 1, 2, 4, 8, … markets each have a lane of that width, so a row is found by its number, and reckoning
//! the health of everybody is a walk over two arrays.

use super::market::{SIDES, Spot};

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

    /// The first of a lane.
    pub(super) fn first(lane: u32) -> Self {
        Self(lane << ROW_BITS)
    }

    /// Its lane.
    pub(super) fn lane(self) -> u32 {
        self.0 >> ROW_BITS
    }

    fn row(self) -> usize {
        usize::try_from(self.0 & ((1 << ROW_BITS) - 1)).unwrap_or(0)
    }
}

/// What a step of a market's price does to the health of a scope: at most `below` under the base, at least `above` over
/// it (so that a health reckoned with them is never too high).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Slopes {
    pub(super) below: i16,
    pub(super) above: i16,
}

impl Slopes {
    /// The steeper of the two.
    pub(super) fn steepest(self) -> u16 {
        self.below.unsigned_abs().max(self.above.unsigned_abs())
    }
}

/// A market that a scope is exposed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) market: u16,
    pub(super) slopes: Slopes,
}

const UNUSED: Cell = Cell { market: NOWHERE, slopes: Slopes { below: 0, above: 0 } };

/// Heights of the guards in the falling and the rising ladder of a market; [`NONE`] without.
pub(super) type Filed = [u32; 2];

/// The scope waits in the list of this tick's work.
pub(super) const QUEUED: u8 = 1;
/// The scope is looked at in every tick.
pub(super) const NEAR: u8 = 2;

/// Whose a row is.
#[derive(Debug, Clone, Copy)]
struct Head {
    owner: u32,
    /// The next scope of the same account.
    next: u32,
    marks: u8,
}

/// The scopes of one width.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Lower bound of the health with every market at its base.
    pub(super) health: Vec<i64>,
    pub(super) cells: Vec<Cell>,
    /// Rows that have been written since the screen has seen them; when there are too many, none.
    pub(super) written: Vec<u32>,
    many_written: bool,
    filed: Vec<Filed>,
    heads: Vec<Head>,
    free: Vec<u32>,
}

impl Lane {
    fn note_written(&mut self, row: usize) {
        if self.written.len() > self.heads.len() / MANY {
            self.many_written = true;
            self.written = Vec::new();
        }
        if let (false, Ok(row)) = (self.many_written, u32::try_from(row)) {
            self.written.push(row);
        }
    }

    /// Have so many rows been written that it is not known which?
    pub(super) fn starts_anew(&mut self) -> bool {
        std::mem::take(&mut self.many_written)
    }
}

/// When more than one in so many rows have been written, the screen starts anew.
const MANY: usize = 8;

/// A row, its guards to change.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) health: i64,
    pub(super) cells: &'a [Cell],
    pub(super) filed: &'a mut [Filed],
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

    /// All, by number.
    pub(super) fn each(&mut self) -> impl Iterator<Item = (u32, &mut Lane)> {
        (0_u32..).zip(&mut self.lanes)
    }

    /// A free row for a scope of an account, with no markets yet.
    pub(super) fn open(&mut self, lane: u32, owner: u32) -> Option<Scope> {
        let index = usize::try_from(lane).ok()?;
        if self.lanes.len() <= index {
            self.lanes.resize_with(index.saturating_add(1), Lane::default);
        }
        let width = 1_usize.checked_shl(lane)?;
        let lane_rows = self.lanes.get_mut(index)?;
        let head = Head { owner, next: NONE, marks: 0 };
        let row = match lane_rows.free.pop() {
            Some(row) => {
                let known = lane_rows.heads.get_mut(usize::try_from(row).ok()?)?;
                // Whoever had it before may have left it in the list of those that are near.
                *known = Head { marks: known.marks & NEAR, ..head };
                row
            }
            None => {
                let row = u32::try_from(lane_rows.heads.len()).ok().filter(|row| *row < (1 << ROW_BITS) - 1)?;
                let cells = lane_rows.cells.len().checked_add(width)?;
                lane_rows.cells.resize(cells, UNUSED);
                lane_rows.filed.resize(cells, [NONE; 2]);
                lane_rows.health.push(ENDLESS);
                lane_rows.heads.push(head);
                row
            }
        };
        self.rows = self.rows.saturating_add(1);
        Some(Scope((lane << ROW_BITS) | row))
    }

    /// Gives a row back. Guards that were filed for it no longer stand; `dropped` hears their markets and sides.
    pub(super) fn close(&mut self, scope: Scope, dropped: impl FnMut(u16, usize)) {
        let row = scope.row();
        self.write(scope, ENDLESS, &[], dropped);
        let Some(lane) = self.lanes.get_mut(lane(scope)) else { return };
        let Some(head) = lane.heads.get_mut(row).filter(|head| head.owner != NONE) else { return };
        head.owner = NONE;
        if let Ok(row) = u32::try_from(row) {
            lane.free.push(row);
        }
        self.rows = self.rows.saturating_sub(1);
    }

    /// Writes a row. Guards of markets that keep their place stay filed; of the others `dropped` hears market and side.
    pub(super) fn write(&mut self, scope: Scope, health: i64, cells: &[Cell], mut dropped: impl FnMut(u16, usize)) {
        let places = places(scope);
        let Some(lane) = self.lanes.get_mut(lane(scope)) else { return };
        if let Some(known) = lane.health.get_mut(scope.row()) {
            *known = health.clamp(-ENDLESS, ENDLESS);
        }
        lane.note_written(scope.row());
        let (Some(known), Some(filed)) = (lane.cells.get_mut(places.clone()), lane.filed.get_mut(places)) else {
            return;
        };
        let new = cells.iter().copied().chain(std::iter::repeat(UNUSED));
        for ((known, filed), cell) in known.iter_mut().zip(filed).zip(new) {
            if known.market != cell.market {
                let before = std::mem::replace(filed, [NONE; 2]);
                for (side, _) in SIDES.into_iter().zip(before).filter(|(_, height)| *height != NONE) {
                    dropped(known.market, side);
                }
            }
            *known = cell;
        }
    }

    /// A row; none when it is free.
    pub(super) fn row(&mut self, scope: Scope) -> Option<Row<'_>> {
        let (lane, row, places) = (self.lanes.get_mut(lane(scope))?, scope.row(), places(scope));
        lane.heads.get(row).filter(|head| head.owner != NONE)?;
        Some(Row {
            health: *lane.health.get(row)?,
            cells: lane.cells.get(places.clone())?,
            filed: lane.filed.get_mut(places)?,
        })
    }

    fn head(&self, scope: Scope) -> Option<&Head> {
        self.lanes.get(lane(scope))?.heads.get(scope.row())
    }

    fn head_mut(&mut self, scope: Scope) -> Option<&mut Head> {
        self.lanes.get_mut(lane(scope))?.heads.get_mut(scope.row())
    }

    /// The account of a scope; none of a free row.
    pub(super) fn owner(&self, scope: Scope) -> Option<usize> {
        self.head(scope).filter(|head| head.owner != NONE).and_then(|head| usize::try_from(head.owner).ok())
    }

    /// The next scope of the same account.
    pub(super) fn next(&self, scope: Scope) -> u32 {
        self.head(scope).map_or(NONE, |head| head.next)
    }

    /// Links a row to the next of its account.
    pub(super) fn link(&mut self, scope: Scope, next: u32) {
        if let Some(head) = self.head_mut(scope) {
            head.next = next;
        }
    }

    /// Sets a mark of a row: was it new?
    pub(super) fn mark(&mut self, scope: Scope, bit: u8) -> bool {
        self.head_mut(scope).is_some_and(|head| {
            let new = head.marks & bit == 0;
            head.marks |= bit;
            new
        })
    }

    /// Takes a mark off a row.
    pub(super) fn unmark(&mut self, scope: Scope, bit: u8) {
        if let Some(head) = self.head_mut(scope) {
            head.marks &= !bit;
        }
    }

    /// The height that a scope has filed on a side of a market.
    pub(super) fn height(&self, scope: Scope, market: u16, side: usize) -> Option<u32> {
        let (lane, places) = (self.lanes.get(lane(scope))?, places(scope));
        let place = lane.cells.get(places.clone())?.iter().position(|cell| cell.market == market)?;
        lane.filed.get(places)?.get(place)?.get(side).copied()
    }

    /// Takes back the guard of a side of a market that has been reached. Did the scope still go by it?
    pub(super) fn unfile(&mut self, scope: Scope, market: u16, side: usize, height: u32) -> bool {
        let Some(row) = self.row(scope) else { return false };
        let Some(place) = row.cells.iter().position(|cell| cell.market == market) else { return false };
        match row.filed.get_mut(place).and_then(|filed| filed.get_mut(side)) {
            Some(filed) if *filed == height => {
                *filed = NONE;
                true
            }
            _ => false,
        }
    }

    /// Some markets have a new base: nothing is filed for them any more. `found` hears the accounts that are exposed to one.
    pub(super) fn forget(&mut self, rebased: impl Fn(u16) -> bool, mut found: impl FnMut(u32)) {
        for (number, lane) in (0_u32..).zip(&mut self.lanes) {
            let width = 1_usize << number;
            let rows = lane.cells.chunks_exact(width).zip(lane.filed.chunks_exact_mut(width)).zip(&lane.heads);
            for ((cells, filed), head) in rows.filter(|(_, head)| head.owner != NONE) {
                let mut exposed = false;
                for (_, filed) in cells.iter().zip(filed).filter(|(cell, _)| rebased(cell.market)) {
                    *filed = [NONE; 2];
                    exposed = true;
                }
                if exposed {
                    found(head.owner);
                }
            }
        }
    }

    /// Bytes they hold.
    pub(super) fn bytes(&self) -> usize {
        let of = |lane: &Lane| {
            let cell = size_of::<Cell>().saturating_add(size_of::<Filed>()).saturating_mul(lane.cells.capacity());
            let row = size_of::<i64>().saturating_add(size_of::<Head>());
            row.saturating_mul(lane.heads.capacity()).saturating_add(cell)
        };
        self.lanes.iter().map(of).fold(0, usize::saturating_add)
    }
}

fn lane(scope: Scope) -> usize {
    usize::try_from(scope.lane()).unwrap_or(0)
}

/// Where the markets of a scope stand in the arrays of its lane.
fn places(scope: Scope) -> std::ops::Range<usize> {
    let (lane, row) = (scope.lane(), scope.row());
    row.saturating_mul(1 << lane)..row.saturating_add(1).saturating_mul(1 << lane)
}

/// What a market adds to a health so far from its base. A slope has 15 bits, a distance 24, and there are at most 2^15
/// markets, so with a health of 60 bits nothing leaves 63.
pub(super) fn term(slopes: Slopes, below: i32, above: i32) -> i64 {
    let term = i64::from(slopes.below).wrapping_mul(below.into());
    term.wrapping_add(i64::from(slopes.above).wrapping_mul(above.into()))
}

/// The lower bound of a health at the prices of now.
pub(super) fn reckon(health: i64, cells: &[Cell], spots: &[Spot]) -> i64 {
    cells.iter().fold(health, |health, cell| match spots.get(usize::from(cell.market)) {
        Some(spot) => health.wrapping_add(term(cell.slopes, spot.below, spot.above)),
        None => health,
    })
}
