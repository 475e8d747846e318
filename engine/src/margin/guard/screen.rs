//! The storm: the health of every scope, without guards.
//!
//! Not even then is all of it reckoned each time. Count the move of a market since some instant in *strides*, its usual move
//! of a tick. When no market has fallen by more than `down` strides or risen by more than `up` of them, a scope has lost at
//! most `down · Σ` (what a stride costs where it is long) `+ up · Σ` (what one costs where it is short). A row that is
//! reckoned notes both sums as shares of its health, its *wear*. The rows of a block are reckoned together, so they share
//! the prices they start from, and until the two shares times the two moves come to the whole of a health, four bytes are
//! all that is read of a row. A row that has been written since is always reckoned. When a block has had a part of its rows
//! reckoned, here and there in memory, it pays to reckon all of it again in one go.

use super::lanes::{Cell, Lane, Lanes, Scope, reckon};
use super::market::Spot;

/// Rows of a block.
const BLOCK: usize = 4_096;
/// A block is reckoned again when one in so many of its rows was, since it last was.
const SPENT: usize = 2;
/// A stride is counted in 64 parts.
const PARTS: u64 = 64;
/// A usual move is known in sixteenths of a step.
const SIXTEENTHS: u64 = 16;
/// The whole of a health, for wear times parts of strides.
const WHOLE: u64 = 1 << 24;
/// Of so many blocks that need it, one gets new reaches in a tick: that costs twice what reckoning does.
const TURNS: usize = 4;

/// What a part of a stride takes off a health where the scope is long, and where it is short, out of [`WHOLE`]; the most
/// that fits means that the row is always reckoned.
pub(super) type Wear = [u16; 2];

/// The wear of a row that has been written.
pub(super) const WORN: Wear = [u16::MAX; 2];

/// Where a market stood when a block was reckoned, and its stride then.
#[derive(Debug, Clone, Copy)]
struct Mark {
    now: u32,
    stride: u32,
}

/// Where prices stood when a block was reckoned.
#[derive(Debug, Default)]
struct Anchor {
    marks: Vec<Mark>,
    spent: usize,
}

/// The blocks of all lanes.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lanes: Vec<Vec<Anchor>>,
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
            let Some(anchors) = self.lanes.get_mut(index) else { continue };
            anchors.resize_with(lane.health.len().div_ceil(BLOCK), Anchor::default);
            let (turn, beyond) = (self.turn, &mut self.beyond);
            reckoned = reckoned.saturating_add(match number {
                0 => sweep::<1>(lane, anchors, beyond, (number, turn), spots, out),
                1 => sweep::<2>(lane, anchors, beyond, (number, turn), spots, out),
                2 => sweep::<4>(lane, anchors, beyond, (number, turn), spots, out),
                3 => sweep::<8>(lane, anchors, beyond, (number, turn), spots, out),
                _ => wide(lane, number, spots, out),
            });
        }
        reckoned
    }
}

impl Anchor {
    /// How far down and up markets have moved from here at most, in parts of their strides, rounded up.
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
        Some(most)
    }

    fn set(&mut self, spots: &[Spot]) {
        self.marks.clear();
        self.marks.extend(spots.iter().map(|spot| Mark { now: spot.now, stride: spot.unrest }));
        self.spent = 0;
    }
}

/// The wear of a row with a health above zero.
fn wear(health: i64, cells: &[Cell], spots: &[Spot]) -> Wear {
    let (mut long, mut short) = (0_u64, 0_u64);
    for cell in cells {
        let stride = spots.get(usize::from(cell.market)).map_or(0, |spot| spot.unrest);
        let falling = u64::try_from(cell.slopes.below.max(cell.slopes.above)).unwrap_or(0);
        let rising = cell.slopes.below.min(cell.slopes.above).min(0).unsigned_abs();
        long = long.saturating_add(falling.wrapping_mul(stride.into()));
        short = short.saturating_add(u64::from(rising).wrapping_mul(stride.into()));
    }
    // A stride takes a sum ÷ 16 off, a part of one ÷ 64 more: ×2^24 ÷ 2^10.
    let left = u64::try_from(health).unwrap_or(0);
    [long, short].map(|sum| {
        let share = (sum << 14).checked_div(left).map_or(u64::MAX, |share| share.saturating_add(1));
        u16::try_from(share).unwrap_or(u16::MAX)
    })
}

fn sweep<const WIDTH: usize>(
    lane: &mut Lane,
    anchors: &mut [Anchor],
    beyond: &mut Vec<u32>,
    (number, turn): (u32, usize),
    spots: &[Spot],
    out: &mut Vec<Scope>,
) -> usize {
    let (cells, _) = lane.cells.as_chunks::<WIDTH>();
    let blocks = lane.health.chunks(BLOCK).zip(cells.chunks(BLOCK)).zip(lane.wear.chunks_mut(BLOCK));
    let mut first = Scope::first(number).0;
    let mut reckoned = 0_usize;
    for (((health, cells), worn), (anchor, turn)) in blocks.zip(anchors.iter_mut().zip(turn..)) {
        let known = anchor.moves(spots).filter(|_| anchor.spent < health.len() / SPENT);
        let count = match known {
            Some(moves) => {
                pick(worn, moves, beyond);
                for row in beyond.iter().copied() {
                    let place = usize::try_from(row).unwrap_or(usize::MAX);
                    if let (Some(health), Some(cells)) = (health.get(place), cells.get(place))
                        && reckon(*health, cells, spots) <= 0
                    {
                        out.push(Scope(first.saturating_add(row)));
                    }
                }
                anchor.spent = anchor.spent.saturating_add(beyond.len());
                beyond.len()
            }
            None => {
                let renews = turn.checked_rem(TURNS) == Some(0);
                for (((health, cells), row), known) in health.iter().zip(cells).zip(first..).zip(worn) {
                    let left = reckon(*health, cells, spots);
                    if left <= 0 {
                        out.push(Scope(row));
                    }
                    if renews {
                        *known = wear(left, cells, spots);
                    }
                }
                if renews {
                    anchor.set(spots);
                }
                health.len()
            }
        };
        reckoned = reckoned.saturating_add(count);
        first = first.saturating_add(u32::try_from(health.len()).unwrap_or(0));
    }
    reckoned
}

/// The rows whose health may be used up. They are written down before any of them is read, without a branch, so that the
/// processor fetches many at a time.
fn pick(worn: &[Wear], [down, up]: [u64; 2], beyond: &mut Vec<u32>) {
    beyond.resize(worn.len(), 0);
    let mut count = 0_usize;
    for ([long, short], row) in worn.iter().zip(0_u32..) {
        if let Some(place) = beyond.get_mut(count) {
            *place = row;
        }
        let used = down.wrapping_mul(u64::from(*long)).wrapping_add(up.wrapping_mul(u64::from(*short)));
        count = count.saturating_add(usize::from((used >= WHOLE) | (*long == u16::MAX) | (*short == u16::MAX)));
    }
    beyond.truncate(count);
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
