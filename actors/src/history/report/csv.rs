//! Reports as CSV: one line a figure, so that days can be put under each other.

use super::{DailyReport, Line, Pool};
use std::io::Write;

/// What every line has: asset, day, section, name, count, amount, and what else is known of it.
const HEAD: [&str; 7] = ["asset", "day", "section", "name", "count", "amount", "detail"];

/// Writes reports, under one head.
///
/// # Errors
/// The writer's.
pub fn write_csv<'a>(
    reports: impl IntoIterator<Item = &'a DailyReport>,
    writer: impl Write,
) -> Result<(), ::csv::Error> {
    let mut csv = ::csv::Writer::from_writer(writer);
    csv.write_record(HEAD)?;
    for report in reports {
        for [section, name, count, amount, detail] in lines(report) {
            csv.write_record([&report.asset, &report.day, &section, &name, &count, &amount, &detail])?;
        }
    }
    csv.flush()?;
    Ok(())
}

type Row = [String; 5];

fn row(section: &str, name: &str, count: Option<u64>, amount: &str, detail: String) -> Row {
    let count = count.map(|count| count.to_string()).unwrap_or_default();
    [section.to_owned(), name.to_owned(), count, amount.to_owned(), detail]
}

fn pool(section: &str, pool: &Pool, rows: &mut Vec<Row>) {
    let sums = |kind: &str, lines: &[Line]| -> Vec<Row> {
        lines.iter().map(|line| row(section, &line.name, Some(line.count), &line.amount, kind.to_owned())).collect()
    };
    rows.push(row(section, "opening", None, &pool.opening, String::new()));
    rows.extend(sums("in", &pool.inflows));
    rows.extend(sums("out", &pool.outflows));
    rows.push(row(section, "net", None, &pool.net, String::new()));
    rows.push(row(section, "closing", None, &pool.closing, String::new()));
}

fn lines(report: &DailyReport) -> Vec<Row> {
    let none = String::new;
    let mut rows = Vec::new();
    pool("fund", &report.fund, &mut rows);
    for part in &report.pools {
        pool(&format!("pool {}", part.pool), part, &mut rows);
    }
    let liquidations = &report.liquidations;
    rows.push(row("liquidations", "started", Some(liquidations.started), "", none()));
    rows.push(row("liquidations", "settlements", Some(liquidations.settlements), &liquidations.volume, none()));
    for line in &liquidations.outcomes {
        rows.push(row("liquidations", &line.name, Some(line.count), &line.amount, none()));
    }
    rows.push(row("shortfalls", "all", Some(report.shortfalls.count), &report.shortfalls.amount, none()));
    if let Some(largest) = &report.shortfalls.largest {
        rows.push(row("shortfalls", "largest", None, &largest.amount, largest.receipt.clone()));
    }
    rows.push(row("adl", "all", Some(report.adl.count), &report.adl.volume, none()));
    for cut in &report.adl.largest {
        rows.push(row("adl", "cut", None, &cut.notional, cut.receipt.clone()));
    }
    rows.push(row("unwinding", &report.unwinding.name, Some(report.unwinding.count), &report.unwinding.amount, none()));
    if let Some(worst) = &report.oracle {
        let detail = format!("{} {} against {} at {}", worst.source, worst.price, worst.index, worst.time);
        rows.push(row("oracle", &worst.market, None, &worst.deviation, detail));
    }
    for held in &report.inventory {
        let mark = held.mark.as_deref().unwrap_or("no mark");
        let worth = held.value.as_deref().unwrap_or_default();
        rows.push(row("inventory", &held.market, None, worth, format!("{} at {mark}", held.quantity)));
    }
    rows
}
