//! How long ticks took, exactly: every one is kept, four bytes each.

use std::time::Duration;

/// Microseconds of every tick.
#[derive(Default)]
pub(super) struct Times(Vec<u32>);

impl Times {
    pub(super) fn push(&mut self, took: Duration) {
        // A week of ticks a second; then it starts over.
        if self.0.len() >= 604_800 {
            self.0.clear();
        }
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Count, median, 99th percentile and maximum, in microseconds.
    pub(super) fn summary(&self) -> (usize, u32, u32, u32) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let place = sorted.len().saturating_mul(percent).checked_div(100).unwrap_or(0);
            sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        (sorted.len(), at(50), at(99), at(100))
    }
}
