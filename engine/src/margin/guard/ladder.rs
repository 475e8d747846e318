//! The guards of one side of a market, in the order in which a moving price reaches them.
//!
//! A height grows as the price moves in the adverse direction: upwards in the rising ladder, downwards in the falling
//! one. Guards lie in buckets of a basis point or two; only the bucket that the price stands in is looked through.

use super::Scope;

/// The guard of a scope: reached when the price stands higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) height: u32,
    pub(super) scope: Scope,
}

/// Buckets of a page: a ladder is long, and mostly empty.
const PAGE: usize = 64;
/// A bucket smaller than this grows without being looked through for guards that have been moved.
const SMALL: usize = 16;

/// Guards by height.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// Height of the first bucket.
    foot: u32,
    /// A bucket is 2^this heights.
    shift: u32,
    pages: Vec<Vec<Vec<Guard>>>,
    /// No guard lies in a bucket before this.
    lowest: usize,
    guards: usize,
    /// How many of them have been moved since.
    moved: usize,
}

impl Ladder {
    /// An empty ladder from a height on.
    pub(super) fn new(foot: u32, shift: u32) -> Self {
        Self { foot, shift, pages: Vec::new(), lowest: usize::MAX, guards: 0, moved: 0 }
    }

    fn bucket_of(&self, height: u32) -> usize {
        usize::try_from(height.saturating_sub(self.foot) >> self.shift).unwrap_or(usize::MAX)
    }

    fn bucket_mut(&mut self, bucket: usize) -> Option<&mut Vec<Guard>> {
        self.pages.get_mut(bucket / PAGE)?.get_mut(bucket % PAGE)
    }

    /// Adds a guard, in the place of another one of the same scope if it is `instead`. `stands` tells whether a guard is
    /// still the one its scope goes by: when half of all do not, a full bucket is rid of those before it grows.
    pub(super) fn add(&mut self, guard: Guard, instead: bool, stands: impl Fn(&Guard) -> bool) {
        self.moved = self.moved.saturating_add(usize::from(instead));
        self.guards = self.guards.saturating_add(1);
        let place = self.bucket_of(guard.height);
        self.lowest = self.lowest.min(place);
        let (page, place) = (place / PAGE, place % PAGE);
        if self.pages.len() <= page {
            self.pages.resize_with(page.saturating_add(1), Vec::new);
        }
        let Some(page) = self.pages.get_mut(page) else { return };
        if page.is_empty() {
            page.resize_with(PAGE, Vec::new);
        }
        let Some(bucket) = page.get_mut(place) else { return };
        if bucket.len() == bucket.capacity() && bucket.len() >= SMALL && self.moved > self.guards / 2 {
            let before = bucket.len();
            // A row that changes hands may have filed this very guard before.
            bucket.retain(|known| *known != guard && stands(known));
            let gone = before.saturating_sub(bucket.len());
            self.moved = self.moved.saturating_sub(gone);
            self.guards = self.guards.saturating_sub(gone);
            // Not looked through again before a quarter of it is new.
            if bucket.len().saturating_mul(4) > bucket.capacity().saturating_mul(3) {
                bucket.reserve(bucket.capacity());
            }
        }
        bucket.push(guard);
    }

    /// How many guards have been reached at a height, but for those in its own bucket.
    pub(super) fn reached(&self, height: u32) -> usize {
        let last = self.bucket_of(height);
        let mut count = 0_usize;
        let mut bucket = self.lowest;
        while bucket < last {
            match self.pages.get(bucket / PAGE) {
                None => break,
                Some(page) if page.is_empty() => bucket = next_page(bucket),
                Some(page) => {
                    count = count.saturating_add(page.get(bucket % PAGE).map_or(0, Vec::len));
                    bucket = bucket.saturating_add(1);
                }
            }
        }
        count
    }

    /// Takes out guards that are lower than `height`, at most about `most` of them.
    pub(super) fn take(&mut self, height: u32, most: usize, out: &mut Vec<Guard>) {
        let before = out.len();
        self.drain(height, most, out);
        self.guards = self.guards.saturating_sub(out.len().saturating_sub(before));
    }

    /// A guard in here no longer stands.
    pub(super) fn has_moved(&mut self) {
        self.moved = self.moved.saturating_add(1);
    }

    /// A guard that was taken out no longer stood.
    pub(super) fn had_moved(&mut self) {
        self.moved = self.moved.saturating_sub(1);
    }

    fn drain(&mut self, height: u32, most: usize, out: &mut Vec<Guard>) {
        let last = self.bucket_of(height);
        let until = out.len().saturating_add(most);
        while self.lowest < last {
            match self.pages.get_mut(self.lowest / PAGE) {
                None => {
                    self.lowest = usize::MAX;
                    return;
                }
                Some(page) if page.is_empty() => self.lowest = next_page(self.lowest).min(last),
                Some(page) => {
                    if let Some(bucket) = page.get_mut(self.lowest % PAGE) {
                        let room = until.saturating_sub(out.len());
                        let kept = bucket.len().saturating_sub(room);
                        out.extend(bucket.drain(kept..));
                        if kept > 0 {
                            return;
                        }
                        // What a crash has filled is not kept for the next one.
                        *bucket = Vec::new();
                    }
                    self.lowest = self.lowest.saturating_add(1);
                }
            }
        }
        if let Some(bucket) = self.bucket_mut(last) {
            bucket.retain(|guard| {
                let stays = guard.height >= height;
                if !stays {
                    out.push(*guard);
                }
                stays
            });
        }
    }

    /// Bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        let buckets = self.pages.iter().flatten();
        let guards = buckets.map(|bucket| bucket.capacity().saturating_mul(size_of::<Guard>()));
        let pages = self.pages.iter().map(|page| page.capacity().saturating_mul(size_of::<Vec<Guard>>()));
        guards.chain(pages).fold(0, usize::saturating_add)
    }
}

fn next_page(bucket: usize) -> usize {
    (bucket / PAGE).saturating_add(1).saturating_mul(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(ladder: &mut Ladder, height: u32, most: usize) -> Vec<u32> {
        let mut out = Vec::new();
        ladder.take(height, most, &mut out);
        out.iter().map(|guard| guard.height).collect()
    }

    #[test]
    fn guards_come_out_when_the_price_stands_higher_and_not_before() {
        let mut ladder = Ladder::new(1_000, 4);
        let heights = [1_000, 1_003, 1_016, 1_017, 1_100, 9_000];
        for (scope, height) in heights.into_iter().enumerate() {
            ladder.add(Guard { height, scope: Scope(u32::try_from(scope).unwrap()) }, false, |_| true);
        }
        assert!(taken(&mut ladder, 1_000, 9).is_empty());
        assert_eq!(taken(&mut ladder, 1_017, 9), [1_000, 1_003, 1_016]);
        assert!(taken(&mut ladder, 1_017, 9).is_empty());
        assert_eq!(ladder.reached(9_001), 2, "but for the bucket that the price stands in");
        assert_eq!(taken(&mut ladder, 9_001, 1).len(), 1, "no more than asked for");
        assert_eq!(taken(&mut ladder, 9_001, 9).len(), 2);
        assert_eq!(ladder.reached(u32::MAX), 0);
    }

    #[test]
    fn a_full_bucket_is_rid_of_guards_that_have_been_moved() {
        let mut ladder = Ladder::new(0, 8);
        for scope in 0..100_000 {
            ladder
                .add(Guard { height: 7, scope: Scope(scope) }, scope % 1_000 != 0, |guard| guard.scope.0 % 1_000 == 0);
        }
        assert!(ladder.bytes() < 20_000);
        assert!(taken(&mut ladder, 8, usize::MAX).len() < 1_000);
    }
}
