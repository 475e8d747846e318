//! What a comparison found: tables and plots, printed, written as JSON, and put into `RESULTS.md` between two comments.

use super::Failed;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::Path;

/// Where the part of `RESULTS.md` begins that this program writes.
const BEGIN: &str = "<!-- compare:begin -->";
/// And where it ends.
const END: &str = "<!-- compare:end -->";

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With a caption and the names of its columns.
    pub(crate) fn new(caption: &str, head: &[&str]) -> Self {
        Self { caption: caption.into(), head: head.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn json(&self) -> Value {
        json!({ "caption": self.caption, "head": self.head, "rows": self.rows })
    }
}

/// A plot: the name of its file and what it shows.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    pub(crate) file: String,
    pub(crate) caption: String,
    pub(crate) svg: String,
}

/// One part of the comparison.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    name: &'static str,
    title: &'static str,
    intro: String,
    tables: Vec<Table>,
    plots: Vec<Plot>,
    data: Value,
}

impl Section {
    /// A part without figures yet.
    pub(crate) fn new(name: &'static str, title: &'static str, intro: impl Into<String>) -> Self {
        let (tables, plots) = (Vec::new(), Vec::new());
        Self { name, title, intro: intro.into(), tables, plots, data: Value::Null }
    }

    /// One more table.
    pub(crate) fn table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// One more plot.
    pub(crate) fn plot(&mut self, plot: Plot) {
        self.plots.push(plot);
    }

    /// The figures as they are.
    pub(crate) fn data(&mut self, data: Value) {
        self.data = data;
    }

    fn json(&self, machine: &str) -> Value {
        let plot = |plot: &Plot| json!({ "file": plot.file, "caption": plot.caption });
        json!({
            "machine": machine,
            "title": self.title,
            "intro": self.intro,
            "tables": self.tables.iter().map(Table::json).collect::<Vec<_>>(),
            "plots": self.plots.iter().map(plot).collect::<Vec<_>>(),
            "data": self.data,
        })
    }

    /// As it is printed.
    pub(crate) fn markdown(&self) -> String {
        markdown(&self.json(""))
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn cells(row: &Value) -> String {
    let cells: Vec<&str> = row.as_array().into_iter().flatten().map(|cell| cell.as_str().unwrap_or("–")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A part as Markdown.
fn markdown(section: &Value) -> String {
    let mut out = format!("### {}\n\n{}\n", text(section, "title"), text(section, "intro"));
    for table in list(section, "tables") {
        let head = table.get("head").cloned().unwrap_or_default();
        let columns = head.as_array().map_or(0, Vec::len);
        let (caption, line) = (text(table, "caption"), "---|".repeat(columns));
        let _ = writeln!(out, "\n{caption}\n\n{}|{line}", cells(&head));
        list(table, "rows").iter().for_each(|row| out.push_str(&cells(row)));
    }
    for plot in list(section, "plots") {
        let _ = write!(out, "\n![{}](compare/{})\n", text(plot, "caption"), text(plot, "file"));
    }
    out
}

/// The order of the parts.
const ORDER: [&str; 6] = ["paths", "audit", "burst", "fills", "latency", "memory"];

/// Writes the parts beside those of earlier runs: `compare/results.json`, the plots, and the part of `RESULTS.md`.
pub(crate) fn write(dir: &Path, machine: &str, sections: &[Section]) -> Result<(), Failed> {
    let folder = dir.join("compare");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("results.json");
    // By name: a run of some parts leaves the others as they are.
    let mut whole: Map<String, Value> = match std::fs::read_to_string(&file) {
        Ok(known) => serde_json::from_str(&known)?,
        Err(_) => Map::new(),
    };
    for section in sections {
        whole.insert(section.name.to_owned(), section.json(machine));
        for plot in &section.plots {
            std::fs::write(folder.join(&plot.file), &plot.svg)?;
        }
    }
    std::fs::write(&file, serde_json::to_string_pretty(&whole)? + "\n")?;
    let mut part = format!("{BEGIN}\n");
    for name in ORDER {
        if let Some(section) = whole.get(name) {
            let _ = write!(part, "\n{}", markdown(section));
        }
    }
    let _ = write!(part, "\n{END}");
    let results = dir.join("RESULTS.md");
    let before = std::fs::read_to_string(&results)?;
    let after = match (before.split_once(BEGIN), before.split_once(END)) {
        (Some((head, _)), Some((_, tail))) => format!("{head}{part}{tail}"),
        _ => format!("{before}\n## Side by side\n\n{part}\n"),
    };
    std::fs::write(&results, after)?;
    Ok(())
}

/// What it ran on.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    format!("{cores} cores of {}", model.unwrap_or("an unknown processor"))
}
