//! What the crash tester has seen, as a table.

use super::inspect::Checked;
use super::producer::{Producer, Tally};
use crate::figures::{Figures, grouped};
use std::collections::BTreeMap;
use std::time::Duration;

/// The figures.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// SIGKILLs.
    pub(super) kills: u64,
    /// Ends by SIGTERM under traffic.
    pub(super) terminated: u64,
    /// What became of the scenarios.
    pub(super) scenarios: Vec<(&'static str, String)>,
    by_ending: BTreeMap<&'static str, u64>,
    recovery: Figures,
    replayed: Figures,
    full_replay: Figures,
    stopping: Figures,
    exported: Figures,
    whole: Tally,
    checks: u64,
}

/// The figure after `name=` in a log.
pub(crate) fn logged(log: &str, name: &str) -> Option<f64> {
    let found = log.lines().rev().find_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix(name)));
    found.and_then(|text| text.parse().ok())
}

impl Report {
    /// A kill.
    pub(super) fn killed(&mut self, how: &'static str) {
        self.kills += 1;
        *self.by_ending.entry(how).or_default() += 1;
    }

    /// A start that came up.
    pub(super) fn recovered(&mut self, took: Duration, log: &str) {
        self.recovery.push(took.as_secs_f64() * 1e3);
        if let Some(commands) = logged(log, "commands=") {
            self.replayed.push(commands);
        }
    }

    /// About how long a start takes, in microseconds, and a little more.
    pub(super) fn recovery_micros(&self) -> u64 {
        if self.recovery.is_empty() { 20_000 } else { (self.recovery.median() * 1_300.0) as u64 }
    }

    /// A full check.
    pub(super) fn checked(&mut self, checked: &Checked) {
        self.checks += 1;
        self.exported.push(checked.exported as f64);
        self.stopping.push(checked.stopping * 1e3);
        self.full_replay.push(checked.full_replay * 1e3);
    }

    /// What the producers of a directory have seen.
    pub(super) fn add(&mut self, producers: &[Producer]) {
        for producer in producers {
            let (whole, tally) = (&mut self.whole, &producer.tally);
            whole.answered += tally.answered;
            whole.refused += tally.refused;
            whole.recovered += tally.recovered;
            whole.repeated += tally.repeated;
            for (code, count) in &tally.turned_away {
                *whole.turned_away.entry(code.clone()).or_default() += count;
            }
        }
    }

    /// The table.
    pub(super) fn print(&self, took: Duration) {
        let whole = &self.whole;
        let count = |figure: u64| grouped(figure as f64);
        println!("\n| what | figure |\n|---|---|");
        println!("| SIGKILLs | {} |", count(self.kills));
        for (how, kills) in &self.by_ending {
            println!("| … {how} | {} |", count(*kills));
        }
        println!("| ends by SIGTERM under traffic, all with 0 | {} |", count(self.terminated));
        println!("| commands acknowledged | {} |", count(whole.answered - whole.recovered));
        println!("| … of all outcomes, refusals | {} |", count(whole.refused));
        println!("| commands recovered though never acknowledged | {} |", count(whole.recovered));
        println!("| answers asked for again, all the same | {} |", count(whole.repeated));
        for (code, times) in &whole.turned_away {
            println!("| bodies turned away with {code} | {} |", count(*times));
        }
        println!("| start to ready, ms, median (least–most) | {} |", self.recovery.whole());
        if !self.replayed.is_empty() {
            println!("| commands replayed at a start | {} |", self.replayed.whole());
        }
        println!("| full checks: verify, export, replay, other shards, no snapshots | {} |", count(self.checks));
        println!("| … commands in the journal | {} |", self.exported.whole());
        println!("| … start to ready without snapshots, ms | {} |", self.full_replay.whole());
        println!("| … SIGTERM to exit, ms | {} |", self.stopping.whole());
        for (what, outcome) in &self.scenarios {
            println!("| {what} | {outcome} |");
        }
        println!("| violations | 0 |\n| minutes | {:.1} |", took.as_secs_f64() / 60.0);
    }
}
