//! Signatures that have been taken, as long as their timestamp could be taken again.

use std::collections::{BTreeSet, VecDeque};

/// Most that are remembered; beyond it signed requests wait: 30,000 a second.
const SEEN_MAX: usize = 2_000_000;
/// Longer than a timestamp can be taken: the longest window and what a clock may be ahead.
pub(super) const KEPT_MS: u64 = 62_000;

#[derive(Default)]
pub(super) struct Seen {
    signatures: BTreeSet<[u8; 32]>,
    /// By the time they came.
    order: VecDeque<(u64, [u8; 32])>,
}

impl Seen {
    /// Remembers a signature: was it new? None where there is no room.
    pub(super) fn enter(&mut self, signature: [u8; 32], now: u64, timestamp: u64) -> Option<bool> {
        while let Some((until, old)) = self.order.front() {
            if *until >= now {
                break;
            }
            self.signatures.remove(old);
            self.order.pop_front();
        }
        if self.signatures.contains(&signature) {
            return Some(false);
        }
        if self.order.len() >= SEEN_MAX {
            return None;
        }
        self.signatures.insert(signature);
        // A clock that runs back must not let one out early: the queue stays in order.
        let until = now.max(timestamp).saturating_add(KEPT_MS);
        let last = self.order.back().map_or(0, |(last, _)| *last);
        self.order.push_back((until.max(last), signature));
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_new_once_until_its_timestamp_is_too_old_for_any_window() {
        let mut seen = Seen::default();
        assert_eq!(seen.enter([1; 32], 1_000, 1_000), Some(true));
        assert_eq!(seen.enter([1; 32], 1_001, 1_000), Some(false));
        assert_eq!(seen.enter([2; 32], 1_001, 1_000), Some(true));
        assert_eq!(seen.enter([1; 32], 1_000 + KEPT_MS, 1_000), Some(false));
        assert_eq!(seen.enter([1; 32], 1_001 + KEPT_MS, 1_000), Some(true), "stale by then, and forgotten");
        assert_eq!(seen.order.len(), 2, "what is forgotten takes no room");
    }
}
