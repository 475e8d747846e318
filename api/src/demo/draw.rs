//! Draws: the seeded source of everything random in the population, and the few distributions it needs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rust_decimal::prelude::ToPrimitive;

/// A stream of draws; the same seed gives the same stream.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Evenly from (0, 1].
    pub(super) fn unit(&mut self) -> f64 {
        let bits = (self.0.next_u64() >> 11).saturating_add(1);
        bits.to_f64().unwrap_or(1.0) / 9_007_199_254_740_992.0
    }

    /// Evenly between two bounds.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() <= probability
    }

    /// Pareto with this index, from 1 up.
    pub(super) fn pareto(&mut self, alpha: f64) -> f64 {
        self.unit().powf(-1.0 / alpha)
    }

    /// Lognormal with this median.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        median * (sigma * normal).exp()
    }

    /// A place in a list of weights.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (place, weight) in weights.enumerate() {
            last = place;
            left -= weight;
            if left <= 0.0 {
                break;
            }
        }
        last
    }
}

/// Scales `values` (each with its cap) by one factor so that their sum is `target` while none exceeds its cap; where all
/// caps together are less, the caps.
pub(super) fn fit(values: &mut [(f64, f64)], target: f64) {
    let sum = |values: &[(f64, f64)], factor: f64| values.iter().map(|(v, cap)| (v * factor).min(*cap)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    while sum(values, high) < target && high < 1e15 {
        high *= 4.0;
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if sum(values, middle) < target { low = middle } else { high = middle }
    }
    for (value, cap) in values.iter_mut() {
        *value = (*value * high).min(*cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_meets_its_target_within_the_caps() {
        let mut values = [(1.0, 10.0), (2.0, 10.0), (100.0, 10.0)];
        fit(&mut values, 16.0);
        let sum: f64 = values.iter().map(|(value, _)| value).sum();
        assert!((sum - 16.0).abs() < 1e-6 && values.iter().all(|(value, cap)| value <= cap), "{values:?}");
        assert!((values[1].0 / values[0].0 - 2.0).abs() < 1e-9, "proportions stay");
        fit(&mut values, 3.0);
        assert!((values.iter().map(|(value, _)| value).sum::<f64>() - 3.0).abs() < 1e-6);
        fit(&mut values, 1_000.0);
        assert!((values.iter().map(|(value, _)| value).sum::<f64>() - 30.0).abs() < 1e-6, "the caps win");
    }

    #[test]
    fn draws_follow_the_seed_and_their_medians() {
        let draws = |seed| (0..9_999).map(|_| Draw::new(seed).unit()).next().unwrap();
        assert!(draws(7) == draws(7) && draws(7) != draws(8));
        let mut draw = Draw::new(1);
        let mut values: Vec<f64> = (0..9_999).map(|_| draw.lognormal(0.43, 1.5)).collect();
        values.sort_by(f64::total_cmp);
        assert!((values[4_999] - 0.43).abs() < 0.03);
        let mut sizes: Vec<f64> = (0..9_999).map(|_| draw.pareto(0.8)).collect();
        sizes.sort_by(f64::total_cmp);
        assert!((sizes[4_999] - 2_f64.powf(1.25)).abs() < 0.15 && sizes[0] >= 1.0);
    }
}
