//! All laps: sizes, leverages and paths, round after round, and what they come to.

use super::book::{Book, Leverage};
use super::paths::{self, CRASH, Kind};
use super::percolator::{self, Percolator};
use super::plots;
use super::race::{Effort, Field, Lap, SEED};
use super::report::{Section, Table};
use super::scene::Scene;
use super::{Failed, say};
use crate::figures::{Figures, grouped};
use serde_json::{Value, json};

/// What is run.
pub(crate) struct Scope {
    pub(crate) accounts: Vec<usize>,
    pub(crate) positions: Vec<usize>,
    pub(crate) rounds: u32,
    /// The size of the main table.
    pub(crate) main: (usize, usize),
    /// Ticks of the steady state; 0 for none.
    pub(crate) steady: usize,
    pub(crate) leverages: Vec<Leverage>,
    pub(crate) kinds: Vec<Kind>,
}

/// Figures of one setting over all rounds.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) accounts: usize,
    pub(crate) positions: usize,
    pub(crate) leverage: &'static str,
    pub(crate) path: &'static str,
    pub(crate) ticks: usize,
    rounds: u32,
    naive: Figures,
    linear: Figures,
    linear_worst: Figures,
    pub(crate) mean: Figures,
    median: Figures,
    worst: Figures,
    build: Figures,
    by_naive: Figures,
    by_linear: Figures,
    of_linear: Figures,
    worst_of_linear: Figures,
    examined: Figures,
    breached: usize,
    /// The last lap, for plots.
    pub(crate) lap: Lap,
}

impl Row {
    fn add(&mut self, lap: Lap) {
        self.rounds += 1;
        let (naive, linear, mean) = (lap.naive.mean(), lap.linear.mean(), lap.backstop.mean());
        self.naive.push(naive);
        self.linear.push(linear);
        self.linear_worst.push(lap.linear.worst());
        self.mean.push(mean);
        self.median.push(lap.backstop.median());
        self.worst.push(lap.backstop.worst());
        self.build.push(lap.build.all().iter().sum::<f64>() / 1e3);
        self.by_naive.push(naive / mean);
        self.by_linear.push(linear / mean);
        self.of_linear.push(mean / linear);
        self.worst_of_linear.push(lap.backstop.worst() / linear);
        self.examined.push(lap.examined.iter().sum::<u64>() as f64 / lap.examined.len() as f64);
        self.breached = lap.breached;
        self.lap = lap;
    }

    /// The middle of naive, linear and Backstop on average.
    pub(crate) fn means(&self) -> [f64; 3] {
        [self.naive.median(), self.linear.median(), self.mean.median()]
    }

    fn name(&self) -> Vec<String> {
        let size = format!("{} × {}", grouped(self.accounts as f64), self.positions);
        vec![size, self.leverage.into(), self.path.into()]
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = self.name();
        cells.extend([&self.naive, &self.linear, &self.mean, &self.median, &self.worst].map(Figures::short));
        cells.extend([&self.examined, &self.by_naive, &self.by_linear].map(Figures::short));
        cells.push(grouped(self.breached as f64));
        cells
    }

    fn json(&self) -> Value {
        json!({
            "accounts": self.accounts, "positions": self.positions, "leverage": self.leverage, "path": self.path,
            "ticks": self.ticks, "rounds": self.rounds, "breached": self.breached,
            "naive_us": self.naive.json(), "linear_us": self.linear.json(), "linear_worst_us": self.linear_worst.json(),
            "backstop_mean_us": self.mean.json(), "backstop_median_us": self.median.json(),
            "backstop_worst_us": self.worst.json(), "first_two_ticks_ms": self.build.json(),
            "examined_a_tick": self.examined.json(), "naive_over_backstop": self.by_naive.json(),
            "linear_over_backstop": self.by_linear.json(), "backstop_over_linear": self.of_linear.json(),
            "worst_over_linear": self.worst_of_linear.json(),
        })
    }
}

const HEAD: [&str; 11] = [
    "accounts × positions",
    "leverage",
    "path",
    "(a) decimals, µs",
    "(b) linear exact, µs",
    "(c) Backstop, mean µs",
    "median µs",
    "worst µs",
    "accounts examined",
    "a : c",
    "b : c",
];

/// Runs one size and leverage over some paths, round after round.
fn laps(
    scene: &Scene,
    (accounts, positions): (usize, usize),
    leverage: Leverage,
    plan: &[(Kind, usize, Effort)],
    rounds: u32,
) -> Result<Vec<Row>, Failed> {
    let mut field = Field::new(scene, accounts, positions, leverage);
    let row = |(kind, ticks, _): &(Kind, usize, Effort)| {
        let path = if *ticks > CRASH { "calm, steady state" } else { kind.name() };
        Row { accounts, positions, leverage: leverage.name(), path, ticks: *ticks, ..Row::default() }
    };
    let mut rows: Vec<Row> = plan.iter().map(row).collect();
    for round in 1..=rounds {
        for (row, (kind, ticks, effort)) in rows.iter_mut().zip(plan) {
            let path = paths::path(scene, *kind, *ticks, SEED + u64::from(round));
            row.add(field.lap(&path, *effort)?);
        }
        say(&format!("{accounts} × {positions}, {} leverage: round {round} of {rounds}", field.leverage.name()));
    }
    Ok(rows)
}

fn plan(scope: &Scope, accounts: usize, is_main: bool) -> Vec<(Kind, usize, Effort)> {
    let crashes = |kind| kind == Kind::CrashAll || kind == Kind::CrashOne;
    let ticks = |kind| {
        if crashes(kind) || is_main {
            CRASH
        } else if accounts >= 1_000_000 {
            60
        } else {
            150
        }
    };
    let naive = if is_main || accounts <= 10_000 { 5 } else { 2 };
    let effort = Effort { naive, linear_every: 1, full: 2 };
    scope.kinds.iter().map(|kind| (*kind, ticks(*kind), effort)).collect()
}

/// Runs everything.
pub(crate) fn run(scope: &Scope) -> Result<Section, Failed> {
    let scene = Scene::new()?;
    let (mut main, mut steady, mut grid) = (Vec::new(), Vec::new(), Vec::new());
    for leverage in scope.leverages.iter().copied() {
        main.extend(laps(&scene, scope.main, leverage, &plan(scope, scope.main.0, true), scope.rounds)?);
        if scope.steady == 0 {
            continue;
        }
        let effort = Effort { naive: 1, linear_every: (scope.steady / 50).max(1), full: 2 };
        let plan = [(Kind::Calm, scope.steady, effort)];
        steady.extend(laps(&scene, scope.main, leverage, &plan, scope.rounds)?);
    }
    for accounts in &scope.accounts {
        for positions in &scope.positions {
            if (*accounts, *positions) == scope.main {
                continue;
            }
            // Five rounds where they are cheap; a large size costs what it costs, and is a point of the growth only.
            let rounds = if *accounts >= 1_000_000 { 1 } else { scope.rounds };
            for leverage in scope.leverages.iter().copied() {
                grid.extend(laps(&scene, (*accounts, *positions), leverage, &plan(scope, *accounts, false), rounds)?);
            }
        }
    }
    let mut section = Section::new("paths", "Finding who is under water", intro(&scene, scope));
    section.table(table("The main size", &main));
    section.table(crash_table(&main));
    if !steady.is_empty() {
        section.table(table(&format!("Steady state: calm, {} ticks", grouped(scope.steady as f64)), &steady));
    }
    section.table(rival(&scene, scope.rounds)?);
    if !grid.is_empty() {
        section.table(table("The other sizes (one round at a million accounts)", &grid));
    }
    let all: Vec<&Row> = main.iter().chain(&grid).collect();
    plots::growth(&all, scope.main.1).into_iter().for_each(|plot| section.plot(plot));
    section.plot(plots::crash(&main));
    section.plot(plots::speed_up(&main));
    let rows: Vec<Value> = main.iter().chain(&steady).chain(&grid).map(Row::json).collect();
    section.data(json!({ "rows": rows }));
    Ok(section)
}

fn intro(scene: &Scene, scope: &Scope) -> String {
    let drawn = |leverage| {
        let (median, high) = Book::new(scene, 20_000, scope.main.1, leverage, SEED).leverage(scene);
        format!("{} {median:.1}× and {high:.0}×", leverage.name())
    };
    format!(
        "One thread, {} linear markets priced from 0.00001 to 100,000, five tiers from 0.4 % to 5 %, cross margin. Leverage \
         drawn, median and 99th percentile: {}. Microseconds of the search alone, medians of {} interleaved rounds \
         (least–most), each on another path; what breaches is closed between ticks in all books alike. In every tick that \
         (b) sees, the accounts that Backstop reports are those that (b) finds; they are those of `Shard::evaluate` too at \
         sampled ticks and at every end of a path.",
        scene.markets.len(),
        Leverage::ALL.map(drawn).join(", "),
        scope.rounds
    )
}

fn table(caption: &str, rows: &[Row]) -> Table {
    let mut table = Table::new(caption, &HEAD.into_iter().chain(["breached"]).collect::<Vec<_>>());
    rows.iter().for_each(|row| table.row(row.cells()));
    table
}

fn crash_table(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Backstop as a share of the linear exact scan (1 is as slow)",
        &["accounts × positions", "leverage", "path", "on average", "worst tick", "first two ticks, ms"],
    );
    for row in rows {
        let mut cells = row.name();
        cells.extend([&row.of_linear, &row.worst_of_linear].map(Figures::share));
        cells.push(row.build.short());
        table.row(cells);
    }
    table
}

/// One market, as many accounts as `percolator-engine` holds, calm.
fn rival(scene: &Scene, rounds: u32) -> Result<Table, Failed> {
    const MARKET: usize = 6;
    let size = format!("{} × 1", grouped(percolator::ACCOUNTS as f64));
    let mut table = Table::new(
        "One market, calm: percolator-engine 1.0 cranks all its accounts (it has one rate and no tiers)",
        &["accounts × positions", "leverage", "(a) µs", "(b) µs", "(c) mean µs", "(d) percolator-engine µs", "d : c"],
    );
    for leverage in [Leverage::Mixed, Leverage::High] {
        let book = Book::within(scene, &[MARKET], (percolator::ACCOUNTS, 1), leverage, SEED);
        let mut field = Field::over(scene, book, leverage);
        let (mut row, mut theirs, mut ratio) = (Row::default(), Figures::default(), Figures::default());
        for round in 1..=rounds {
            let path = paths::path(scene, Kind::Calm, CRASH, SEED + u64::from(round));
            row.add(field.lap(&path, Effort { naive: 20, linear_every: 1, full: 2 })?);
            let mut other = Percolator::new(scene, &field.book, MARKET, leverage)?;
            let mut whole = 0.0;
            for marks in &path {
                whole += other.tick(scene, MARKET, *marks.get(MARKET).ok_or("no mark")?)?;
            }
            let mean = whole / path.len() as f64;
            theirs.push(mean);
            ratio.push(mean / row.lap.backstop.mean());
        }
        let mut cells = vec![size.clone(), leverage.name().into()];
        cells.extend([&row.naive, &row.linear, &row.mean, &theirs, &ratio].map(Figures::short));
        table.row(cells);
    }
    Ok(table)
}
