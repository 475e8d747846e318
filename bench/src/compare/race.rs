//! One lap: every rival over the same accounts and the same prices. Each goes the whole path by itself, as it would in a
//! process of its own; accounts that breach are closed between ticks, outside of what is timed. In every tick that the exact
//! scan sees, what Backstop reported must be what it finds; in some, and at the end, what `Shard::evaluate` finds as well.

use super::Failed;
use super::book::{Book, Leverage};
use super::guarded::{self, Guarded};
use super::linear::scan_of;
use super::naive::{self, Naive};
use super::paths::Path;
use super::scene::Scene;
use std::time::Instant;

/// Accounts that all rivals hold.
pub(crate) struct Field<'s> {
    scene: &'s Scene,
    pub(crate) book: Book,
    pub(crate) leverage: Leverage,
    naive: Naive,
}

/// How often who runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Ticks of the naive scan in all.
    pub(crate) naive: usize,
    /// The linear scan runs every so many ticks.
    pub(crate) linear_every: usize,
    /// `Shard::evaluate` runs so often, spread over the path; the last tick is always among them.
    pub(crate) full: usize,
}

/// Microseconds of ticks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<f64>);

impl Times {
    fn push(&mut self, since: Instant) {
        self.0.push(since.elapsed().as_secs_f64() * 1e6);
    }

    /// In the order of ticks.
    pub(crate) fn all(&self) -> &[f64] {
        &self.0
    }

    /// On average.
    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// In the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// At worst.
    pub(crate) fn worst(&self) -> f64 {
        self.0.iter().copied().fold(f64::NAN, f64::max)
    }
}

/// What came of a lap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lap {
    pub(crate) naive: Times,
    pub(crate) linear: Times,
    pub(crate) backstop: Times,
    /// Backstop's first two ticks, in which it builds what it searches by.
    pub(crate) build: Times,
    /// Accounts that Backstop looked at, by tick.
    pub(crate) examined: Vec<u64>,
    /// Accounts that breached in all.
    pub(crate) breached: usize,
}

impl<'s> Field<'s> {
    /// Draws the accounts.
    pub(crate) fn new(scene: &'s Scene, accounts: usize, each: usize, leverage: Leverage) -> Self {
        Self::over(scene, Book::new(scene, accounts, each, leverage, SEED), leverage)
    }

    /// Over a book.
    pub(crate) fn over(scene: &'s Scene, book: Book, leverage: Leverage) -> Self {
        let naive = Naive::new(scene, &book);
        Self { scene, book, leverage, naive }
    }

    /// Everybody runs over the path.
    pub(crate) fn lap(&mut self, path: &Path, effort: Effort) -> Result<Lap, Failed> {
        let mut lap = Lap::default();
        let found = self.backstop(path, effort, &mut lap)?;
        self.linear(path, effort, &found, &mut lap)?;
        self.naive(path, effort, &found, &mut lap)?;
        lap.breached = found.iter().map(Vec::len).sum();
        Ok(lap)
    }

    fn backstop(&self, path: &Path, effort: Effort, lap: &mut Lap) -> Result<Vec<Vec<u32>>, Failed> {
        let mut guarded = Guarded::new(self.scene, &self.book)?;
        let first = self.scene.marks(&self.scene.first());
        for _ in 0..2 {
            let since = Instant::now();
            let reply = guarded.tick(&first)?;
            lap.build.push(since);
            if !reply.reports.is_empty() {
                return Err("accounts are under water to begin with".into());
            }
        }
        let (mut found, every) = (Vec::with_capacity(path.len()), (path.len() / effort.full.max(1)).max(1));
        for (tick, marks) in path.iter().enumerate() {
            let marks = self.scene.marks(marks);
            let since = Instant::now();
            let reply = guarded.tick(&marks)?;
            lap.backstop.push(since);
            lap.examined.push(reply.examined);
            let breached = guarded::numbers(&reply.reports);
            if (tick % every == every - 1 || tick + 1 == path.len()) && guarded.full()? != breached {
                return Err(format!("tick {tick}: Backstop reported others than its full scan finds").into());
            }
            guarded.close(&reply.reports, &marks)?;
            found.push(breached);
        }
        Ok(found)
    }

    fn linear(&self, path: &Path, effort: Effort, found: &[Vec<u32>], lap: &mut Lap) -> Result<(), Failed> {
        let mut linear = scan_of(self.scene, &self.book)?;
        linear.find(&self.scene.first())?;
        for (tick, (marks, expected)) in path.iter().zip(found).enumerate() {
            if tick % effort.linear_every == 0 || tick + 1 == path.len() {
                let since = Instant::now();
                let breached = linear.find(marks)?;
                lap.linear.push(since);
                if breached != *expected {
                    return Err(format!("tick {tick}: Backstop reported others than the linear scan finds").into());
                }
            }
            linear.shut(expected);
        }
        Ok(())
    }

    fn naive(&mut self, path: &Path, effort: Effort, found: &[Vec<u32>], lap: &mut Lap) -> Result<(), Failed> {
        let every = (path.len() / effort.naive.max(1)).max(1);
        for (tick, (marks, expected)) in path.iter().zip(found).enumerate() {
            if tick % every == every - 1 && lap.naive.all().len() < effort.naive {
                let marks = self.scene.decimals(marks);
                let since = Instant::now();
                let breached = self.naive.scan(&marks);
                lap.naive.push(since);
                if naive::numbers(&breached) != *expected {
                    return Err(format!("tick {tick}: Backstop reported others than the naive scan finds").into());
                }
            }
            self.naive.close(expected);
        }
        // As they were, for the next lap.
        for account in found.iter().flatten() {
            self.naive.put(self.scene, &self.book, usize::try_from(*account)?);
        }
        Ok(())
    }
}

/// Of all books.
pub(crate) const SEED: u64 = 20_251_010;
