//! `backstop run`: scenario files, in process.

use crate::cli::{Format, Run};
use backstop_engine::event::Event;
use backstop_engine::reference::{Options, Reference};
use backstop_engine::scenario::{self, Report};
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// One expectation did not hold.
const DIFFERS: u8 = 1;
/// A file could not be read.
const UNREADABLE: u8 = 2;

#[derive(Serialize)]
struct FileReport {
    file: PathBuf,
    #[serde(flatten)]
    report: Report,
}

/// Applies the files: 0 when every expectation held, 1 when some did not, 2 when a file could not be read.
pub(crate) fn run(options: &Run) -> ExitCode {
    let mut reports = Vec::with_capacity(options.files.len());
    for file in &options.files {
        match play(file, usize::from(options.shards)) {
            Ok(report) => reports.push(FileReport { file: file.clone(), report }),
            Err(message) => {
                eprintln!("{}: {message}", file.display());
                return ExitCode::from(UNREADABLE);
            }
        }
    }
    let written = options.events.as_ref().map_or(Ok(()), |out| write_events(out, &reports));
    if let Err(error) = written.and_then(|()| print(&reports, options.format)) {
        eprintln!("cannot write the result: {error}");
        return ExitCode::from(crate::exit::IO);
    }
    let held = reports.iter().all(|report| report.report.differences.is_empty());
    if held { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) }
}

fn play(file: &Path, shards: usize) -> Result<Report, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    let lines = scenario::read(&text).map_err(|error| error.to_string())?;
    let mut engine = Reference::new(Options { shards, shows_accounts: true });
    Ok(scenario::run(&lines, &mut engine))
}

fn write_events(out: &Path, reports: &[FileReport]) -> io::Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(out)?);
    for event in reports.iter().flat_map(|report| &report.report.events) {
        serde_json::to_writer(&mut file, event)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

fn print(reports: &[FileReport], format: Format) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if format == Format::Json {
        let last = reports.last().map(|report| report.report.state_hash.clone()).unwrap_or_default();
        let whole = serde_json::json!({ "files": reports, "state_hash": last });
        serde_json::to_writer_pretty(&mut out, &whole)?;
        return writeln!(out);
    }
    for FileReport { file, report } in reports {
        let name = file.display();
        for refusal in &report.refusals {
            let field = if refusal.field.is_empty() { String::new() } else { format!(" ({})", refusal.field) };
            writeln!(out, "{name}:{}: refused: {}{field}: {}", refusal.line, refusal.code, refusal.message)?;
        }
        for difference in &report.differences {
            writeln!(out, "{name}:{}:", difference.line)?;
            writeln!(out, "  wanted {}", difference.wanted)?;
            writeln!(out, "  got    {}", difference.got)?;
        }
        let failed = report.differences.len();
        let held = report.expectations.saturating_sub(failed.min(report.expectations));
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        let (commands, wanted) = (report.commands, report.expectations);
        let refused = match report.refusals.len() {
            0 => String::new(),
            count => format!(", {count} of them refused that no line expects"),
        };
        writeln!(out, "{verdict} {name}: {commands} commands{refused}, {held} of {wanted} expectations held")?;
        writeln!(out, "{}", kinds(&report.events))?;
        writeln!(out, "{}", report.state_hash)?;
    }
    Ok(())
}

/// What happened, by type of event.
fn kinds(events: &[Event]) -> String {
    let mut counts: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for event in events {
        let kind = serde_json::to_value(&event.fact).ok();
        let kind = kind.as_ref().and_then(|fact| fact.get("type")).and_then(serde_json::Value::as_str);
        let count = counts.entry(kind.unwrap_or_default().to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    let shown: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("  events: {}", if shown.is_empty() { "none".to_owned() } else { shown.join(", ") })
}
