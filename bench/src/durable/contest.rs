//! Contestants that are measured in turn, round after round.

use crate::Failed;
use crate::figures::Figures;

/// Measures something once: how many a second.
type Measure = Box<dyn FnMut() -> Result<f64, Failed>>;

struct Entry {
    what: &'static str,
    how: String,
    measure: Measure,
    figures: Figures,
}

/// All of them.
#[derive(Default)]
pub(super) struct Contest(Vec<Entry>);

impl Contest {
    /// One more.
    pub(super) fn enter(
        &mut self,
        what: &'static str,
        how: String,
        measure: impl FnMut() -> Result<f64, Failed> + 'static,
    ) {
        self.0.push(Entry { what, how, measure: Box::new(measure), figures: Figures::default() });
    }

    /// Measures everybody once.
    pub(super) fn round(&mut self) -> Result<(), Failed> {
        for entry in &mut self.0 {
            let figure = (entry.measure)().map_err(|error| format!("{}, {}: {error}", entry.what, entry.how))?;
            entry.figures.push(figure);
        }
        Ok(())
    }

    /// The table.
    pub(super) fn print(&self) {
        println!("| what | how | a second |\n|---|---|---|");
        for entry in &self.0 {
            println!("| {} | {} | {} |", entry.what, entry.how, entry.figures.whole());
        }
    }

    /// The best median of one, over all ways, or in one way.
    pub(super) fn best(&self, what: &str, how: &str) -> Option<f64> {
        let wanted = |entry: &&Entry| entry.what == what && (how.is_empty() || entry.how == how);
        self.0.iter().filter(wanted).map(|entry| entry.figures.median()).max_by(f64::total_cmp)
    }

    /// The best median of several.
    pub(super) fn best_of(&self, whats: &[&str], how: &str) -> Option<f64> {
        whats.iter().filter_map(|what| self.best(what, how)).max_by(f64::total_cmp)
    }
}
