//! The plots of the paths: growth with the number of accounts, a crash tick by tick, speed-ups.

use super::course::Row;
use super::report::Plot;
use super::svg::{Chart, Line};

const NAMES: [&str; 3] = ["(a) decimals", "(b) linear exact", "(c) Backstop"];

/// Microseconds a tick over accounts, calm and crash, mixed and high leverage.
pub(crate) fn growth(rows: &[&Row], positions: usize) -> Vec<Plot> {
    let one = |path: &'static str, slug: &str| {
        let mut lines = Vec::new();
        for leverage in ["mixed", "high"] {
            let mut of: Vec<&&Row> = rows
                .iter()
                .filter(|row| row.positions == positions && row.path == path && row.leverage == leverage)
                .collect();
            of.sort_by_key(|row| row.accounts);
            for (place, name) in NAMES.into_iter().enumerate() {
                let at = |row: &&&Row| (row.accounts as f64, row.means().get(place).copied().unwrap_or(f64::NAN));
                let points = of.iter().map(at).collect();
                let style = (place, leverage == "high");
                lines.push(Line { name: format!("{name}, {leverage} leverage"), points, marks: true, style });
            }
        }
        let title = format!("Time of a tick with the number of accounts × {positions} positions: {path}");
        let chart = Chart { title: &title, x: "accounts", y: "µs a tick, on average", log: (true, true), lines };
        Plot { file: format!("growth-{slug}.svg"), caption: title.clone(), svg: chart.svg() }
    };
    vec![one("calm", "calm"), one("crash, all markets", "crash")]
}

/// Milliseconds of every tick of a crash.
pub(crate) fn crash(rows: &[Row]) -> Plot {
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| row.path == "crash, all markets" && row.leverage != "low") {
        for (place, times) in [(1, &row.lap.linear), (2, &row.lap.backstop)] {
            let name = NAMES.get(place).copied().unwrap_or_default();
            let points = times.all().iter().enumerate().map(|(tick, micros)| (tick as f64, micros / 1e3)).collect();
            let style = (place, row.leverage == "high");
            lines.push(Line { name: format!("{name}, {} leverage", row.leverage), points, marks: false, style });
        }
    }
    let title = "A fall of 20 % in 300 ticks, all markets together: time of each tick";
    let chart = Chart { title, x: "tick (second)", y: "ms", log: (false, false), lines };
    Plot { file: "crash-ticks.svg".into(), caption: title.into(), svg: chart.svg() }
}

/// How many times faster than the linear scan, tick by tick sorted from the fastest to the slowest.
pub(crate) fn speed_up(rows: &[Row]) -> Plot {
    let mut lines = Vec::new();
    for row in rows.iter().filter(|row| row.path == "calm" || row.path == "crash, all markets") {
        let mut ratios: Vec<f64> = row.lap.backstop.all().iter().map(|micros| row.lap.linear.mean() / micros).collect();
        ratios.sort_by(|a, b| b.total_cmp(a));
        let last = ratios.len().saturating_sub(1).max(1) as f64;
        let points =
            ratios.into_iter().enumerate().map(|(place, ratio)| (place as f64 / last * 100.0, ratio)).collect();
        let path = row.path.split(',').next().unwrap_or_default();
        let colour = ["low", "mixed", "high"].iter().position(|known| *known == row.leverage).unwrap_or_default();
        let style = (colour, path != "calm");
        lines.push(Line { name: format!("{path}, {} leverage", row.leverage), points, marks: false, style });
    }
    let title = "How many times faster than the linear exact scan, by share of ticks";
    let chart = Chart { title, x: "% of ticks that are at least so fast", y: "(b) : (c)", log: (false, true), lines };
    Plot { file: "speed-up.svg".into(), caption: title.into(), svg: chart.svg() }
}
