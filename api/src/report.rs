//! `backstop report`: the reports of days, from the history of a data directory.

use crate::cli::{Report, ReportFormat};
use backstop_actors::history::{DailyReport, HistoryError, Reader, write_csv};
use std::io::Write;
use std::process::ExitCode;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the history cannot be read: {0}")]
    History(#[from] HistoryError),
    #[error("{0}: a day is written as 2025-10-10")]
    Day(String),
    #[error("nothing is known of {0}")]
    Asset(String),
    #[error("nothing is known of that day")]
    Unknown,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Prints them: 0, or why not.
pub(crate) fn run(options: &Report) -> ExitCode {
    crate::ended(print(options), |error| match error {
        ReportError::History(_) | ReportError::Io(_) => crate::exit::IO,
        _ => crate::exit::USAGE,
    })
}

fn print(options: &Report) -> Result<(), ReportError> {
    let reader = Reader::open(&options.data_dir.join("history.sqlite"))?;
    let named = |name: &Option<String>| match name {
        None => Ok(None),
        Some(name) => reader.day_named(name)?.map(Some).ok_or_else(|| ReportError::Day(name.clone())),
    };
    let known = reader.reported_days(&options.asset)?;
    let (first, last) = known.ok_or_else(|| ReportError::Asset(options.asset.clone()))?;
    let (first, last) = match named(&options.day)? {
        Some(day) => (day, day),
        None => (named(&options.from)?.unwrap_or(first), named(&options.to)?.unwrap_or(last)),
    };
    let mut reports: Vec<DailyReport> = Vec::new();
    for day in first..=last {
        reports.extend(reader.report(&options.asset, day)?);
    }
    if reports.is_empty() {
        return Err(ReportError::Unknown);
    }
    let mut out = std::io::stdout().lock();
    match options.format {
        ReportFormat::Json => {
            for report in &reports {
                writeln!(out, "{}", serde_json::to_string(report).unwrap_or_default())?;
            }
        }
        ReportFormat::Csv => write_csv(&reports, &mut out).map_err(std::io::Error::other)?,
    }
    Ok(())
}
