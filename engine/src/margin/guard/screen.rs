//! The storm: the health of every scope, without guards.
//!
//! Not even then is all of it reckoned each time. Count the move of a market since some instant in *strides*, its usual move
//! of a tick. When no market has fallen by more than `down` strides or risen by more than `up` of them, a scope has lost at
//! most `down · Σ` (what a stride costs where it is long) `+ up · Σ` (what one costs where it is short). The rows of a block
//! are reckoned together, so they share the prices they start from. Those that hold out for [`HORIZON`] strides in both
//! directions are not read again before that; of the others both sums are noted as shares of their health, their *wear*,
//! and only those are reckoned of which the wear times the moves comes to the whole of a health. A row that has been
//! written since is always reckoned. Blocks take their notes in turns, each before prices have come to the horizon; where
//! they have, a block is reckoned in one go.

use super::lanes::{Cell, Lane, Lanes, Scope, reckon};
use super::market::Spot;

/// Rows of a block.
const BLOCK: usize = 4_096;
/// How many strides a row must hold out for not to be noted: then most are not, and a storm passes some ticks before that.
const HORIZON: u64 = 16;
/// A stride is counted in 64 parts.
const PARTS: u64 = 64;
/// A usual move is known in sixteenths of a step.
const SIXTEENTHS: u64 = 16;
/// The whole of a health, for wear times parts of strides.
const WHOLE: u64 = 1 << 24;
/// The same, for a sum of slopes times sixteenths, of which a part of a stride takes one in so many.
const WHOLE_OF_SUM: u64 = WHOLE / (PARTS * SIXTEENTHS);
/// One in so many blocks takes new notes in a tick, which cost about as much as reckoning: so a storm has no tick in which
/// all do.
const TURNS: usize = 12;

/// What a part of a stride takes off a health where the scope is long, and where it is short, out of [`WHOLE`].
#[derive(Debug, Clone, Copy)]
struct Worn {
    row: u32,
    wear: [u32; 2],
}

/// Where a market stood when a block was reckoned, and its stride then.
#[derive(Debug, Clone, Copy)]
struct Mark {
    now: u32,
    stride: u32,
}

/// What is known of a block since it was reckoned.
#[derive(Debug, Default)]
struct Block {
    marks: Vec<Mark>,
    worn: Vec<Worn>,
}

/// The blocks of all lanes.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lanes: Vec<Vec<Block>>,
    turn: usize,
    /// Rows of a block that prices may have used up.
    beyond: Vec<u32>,
}

impl Screen {
    /// A market has a new base.
    pub(super) fn forget(&mut self) {
        self.lanes.clear();
    }

    /// Every scope whose health may be used up, and how many were reckoned.
    pub(super) fn sweep(&mut self, lanes: &mut Lanes, spots: &[Spot], out: &mut Vec<Scope>) -> usize {
        self.turn = self.turn.wrapping_add(1);
        let mut reckoned = 0_usize;
        for (number, lane) in lanes.each() {
            let index = usize::try_from(number).unwrap_or(0);
            if self.lanes.len() <= index {
                self.lanes.resize_with(index.saturating_add(1), Vec::new);
            }
            let Some(blocks) = self.lanes.get_mut(index) else { continue };
            if lane.starts_anew() {
                blocks.clear();
            }
            blocks.resize_with(lane.health.len().div_ceil(BLOCK), Block::default);
            let (turn, beyond) = (self.turn, &mut self.beyond);
            reckoned = reckoned.saturating_add(match number {
                0 => sweep::<1>(lane, blocks, beyond, (number, turn), spots, out),
                1 => sweep::<2>(lane, blocks, beyond, (number, turn), spots, out),
                2 => sweep::<4>(lane, blocks, beyond, (number, turn), spots, out),
                3 => sweep::<8>(lane, blocks, beyond, (number, turn), spots, out),
                _ => wide(lane, number, spots, out),
            });
        }
        reckoned
    }
}

impl Block {
    /// How far down and up markets have moved since at most, in parts of their strides, rounded up and never zero both, so
    /// that a row without health is always found worn out; none when nothing is known at such a distance.
    fn moves(&self, spots: &[Spot]) -> Option<[u64; 2]> {
        if self.marks.len() != spots.len() {
            return None;
        }
        let mut most = [0_u64; 2];
        for (mark, spot) in self.marks.iter().zip(spots) {
            let parts = u64::from(mark.now.abs_diff(spot.now)).wrapping_mul(PARTS.wrapping_mul(SIXTEENTHS));
            let parts = parts.checked_div(mark.stride.into()).map_or(0, |parts| parts.saturating_add(1));
            let [down, up] = &mut most;
            let side = if spot.now < mark.now { down } else { up };
            *side = parts.max(*side);
        }
        most.iter().all(|parts| *parts <= HORIZON.wrapping_mul(PARTS)).then_some(most)
    }

    /// The rows of which wear times moves comes to a whole. They are written down before any is reckoned, without a
    /// branch, so that the processor fetches many at a time.
    fn pick(&self, [down, up]: [u64; 2], beyond: &mut Vec<u32>) {
        beyond.resize(self.worn.len(), 0);
        let mut count = 0_usize;
        for Worn { row, wear: [long, short] } in &self.worn {
            if let Some(place) = beyond.get_mut(count) {
                *place = *row;
            }
            let used = down.wrapping_mul(u64::from(*long)).wrapping_add(up.wrapping_mul(u64::from(*short)));
            count = count.saturating_add(usize::from(used >= WHOLE));
        }
        beyond.truncate(count);
    }

    /// Notes start here.
    fn start(&mut self, spots: &[Spot]) {
        self.marks.clear();
        self.marks.extend(spots.iter().map(|spot| Mark { now: spot.now, stride: spot.unrest }));
        self.worn.clear();
    }

    /// Notes a row, unless it holds out up to the horizon. One without health is always reckoned.
    fn note(&mut self, row: u32, health: i64, cells: &[Cell], spots: &[Spot]) {
        let (mut long, mut short) = (0_u64, 0_u64);
        for cell in cells {
            let stride = spots.get(usize::from(cell.market)).map_or(0, |spot| spot.unrest);
            let falling = i64::from(cell.slopes.below.max(cell.slopes.above).max(0)).unsigned_abs();
            let rising = i64::from(cell.slopes.below.min(cell.slopes.above).min(0)).unsigned_abs();
            long = long.saturating_add(falling.wrapping_mul(stride.into()));
            short = short.saturating_add(rising.wrapping_mul(stride.into()));
        }
        let left = u64::try_from(health).unwrap_or(0);
        if long.saturating_add(short).saturating_mul(HORIZON) < left.saturating_mul(SIXTEENTHS) {
            return;
        }
        // A stride takes a sixteenth of a sum off, a part of one a 64th of that.
        let share = |sum: u64| {
            let share = sum.saturating_mul(WHOLE_OF_SUM).checked_div(left);
            u32::try_from(share.unwrap_or(u64::MAX).saturating_add(1)).unwrap_or(u32::MAX)
        };
        self.worn.push(Worn { row, wear: [share(long), share(short)] });
    }
}

fn sweep<const WIDTH: usize>(
    lane: &mut Lane,
    blocks: &mut [Block],
    beyond: &mut Vec<u32>,
    (number, turn): (u32, usize),
    spots: &[Spot],
    out: &mut Vec<Scope>,
) -> usize {
    let (cells, _) = lane.cells.as_chunks::<WIDTH>();
    let first = Scope::first(number).0;
    let health = &lane.health;
    let reckon_some = |rows: &[u32], out: &mut Vec<Scope>| {
        for row in rows {
            let place = usize::try_from(*row).unwrap_or(usize::MAX);
            if let (Some(health), Some(cells)) = (health.get(place), cells.get(place))
                && reckon(*health, cells, spots) <= 0
            {
                out.push(Scope(first.saturating_add(*row)));
            }
        }
        rows.len()
    };
    let mut reckoned = reckon_some(&lane.written, out);
    let mut start = 0_u32;
    for ((health, cells), (block, turn)) in
        health.chunks(BLOCK).zip(cells.chunks(BLOCK)).zip(blocks.iter_mut().zip(turn..))
    {
        let rows = u32::try_from(health.len()).unwrap_or(0);
        let moves = block.moves(spots);
        // Notes that still tell rows apart well are kept.
        let fresh = moves.is_some_and(|moves| moves.iter().all(|parts| *parts < HORIZON.wrapping_mul(PARTS) / 4));
        let notes = !fresh && turn.checked_rem(TURNS) == Some(0);
        if let Some(moves) = moves.filter(|_| !notes) {
            block.pick(moves, beyond);
            reckoned = reckoned.saturating_add(reckon_some(beyond, out));
        } else {
            if notes {
                block.start(spots);
                lane.written.retain(|row| !(start..start.saturating_add(rows)).contains(row));
            }
            for ((health, cells), row) in health.iter().zip(cells).zip(start..) {
                let left = reckon(*health, cells, spots);
                if left <= 0 {
                    out.push(Scope(first.saturating_add(row)));
                }
                if notes {
                    block.note(row, left, cells, spots);
                }
            }
            reckoned = reckoned.saturating_add(health.len());
        }
        start = start.saturating_add(rows);
    }
    reckoned
}

/// A lane of many markets: few scopes are in one, so all are reckoned.
fn wide(lane: &Lane, number: u32, spots: &[Spot], out: &mut Vec<Scope>) -> usize {
    let first = Scope::first(number).0;
    for ((health, cells), row) in lane.health.iter().zip(lane.cells.chunks_exact(1 << number)).zip(first..) {
        if reckon(*health, cells, spots) <= 0 {
            out.push(Scope(row));
        }
    }
    lane.health.len()
}
