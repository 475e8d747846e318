//! Figures of several runs: median, least and most, and how they are written.

/// Figures of one thing, run by run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    /// One more run.
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    fn at(&self, place: usize) -> f64 {
        self.0.get(place).copied().unwrap_or(f64::NAN)
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        self.at(self.0.len() / 2)
    }

    /// The least.
    pub(crate) fn low(&self) -> f64 {
        self.at(0)
    }

    /// The most.
    pub(crate) fn high(&self) -> f64 {
        self.at(self.0.len().saturating_sub(1))
    }

    /// `median (least–most)` in whole numbers.
    pub(crate) fn whole(&self) -> String {
        format!("{} ({}–{})", grouped(self.median()), grouped(self.low()), grouped(self.high()))
    }

    /// `median (least–most)` with about three digits.
    pub(crate) fn short(&self) -> String {
        format!("{} ({}–{})", three(self.median()), three(self.low()), three(self.high()))
    }

    /// `median (least–most)` of a ratio, with two or more digits after the point.
    pub(crate) fn share(&self) -> String {
        let digits = |figure: f64| if figure < 0.1 { format!("{figure:.4}") } else { format!("{figure:.2}") };
        format!("{} ({}–{})", digits(self.median()), digits(self.low()), digits(self.high()))
    }

    /// For other programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "median": self.median(), "least": self.low(), "most": self.high() })
    }

    /// Is there none?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A figure, zero or more, in whole numbers with thousands apart.
pub(crate) fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure, zero or more, with about three digits.
pub(crate) fn three(figure: f64) -> String {
    match figure {
        figure if figure.is_nan() => "–".into(),
        figure if figure < 10.0 => format!("{figure:.2}"),
        figure if figure < 100.0 => format!("{figure:.1}"),
        _ => grouped(figure),
    }
}

/// Microseconds of many answers, and what most of them took no longer than.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// One more.
    pub(crate) fn push(&mut self, took: std::time::Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Those of another.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// p50, p99, p99.9 and max in milliseconds.
    pub(crate) fn quantiles(&mut self) -> [f64; 4] {
        self.0.sort_unstable();
        let at = |thousandths: usize| {
            let place = (self.0.len() * thousandths / 1_000).min(self.0.len().saturating_sub(1));
            self.0.get(place).copied().map_or(f64::NAN, |micros| f64::from(micros) / 1e3)
        };
        [500, 990, 999, 1_000].map(at)
    }

    /// `p50 | p99 | p99.9 | max` in milliseconds.
    pub(crate) fn cells(&mut self) -> String {
        self.quantiles().map(|millis| format!("{millis:.2}")).join(" | ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_by_thousands() {
        assert_eq!([grouped(7.0), grouped(1_234.0), grouped(123_456.4)], ["7", "1,234", "123,456"]);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let mut figures = Figures::default();
        [3.0, 1.0, 2.0].into_iter().for_each(|figure| figures.push(figure));
        assert_eq!(figures.whole(), "2 (1–3)");
    }
}
