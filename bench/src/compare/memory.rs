//! Bytes of an account and of a position: what a process of its own grows by, with everything built that ticks search by.

use super::book::{Book, Leverage};
use super::guarded::Guarded;
use super::race::SEED;
use super::report::{Section, Table};
use super::scene::Scene;
use super::{Failed, say};
use crate::figures::{Figures, grouped};
use serde_json::json;
use std::process::Command;

/// Bytes in memory that are this process's own.
fn resident() -> Result<f64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no resident size")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0)
}

/// In the child: builds, lets two ticks pass, prints the bytes that took.
pub(crate) fn child(accounts: usize, positions: usize) -> Result<(), Failed> {
    let scene = Scene::new()?;
    let before = resident()?;
    let book = Book::new(&scene, accounts, positions, Leverage::Mixed, SEED);
    let mut guarded = Guarded::new(&scene, &book)?;
    drop(book);
    let built = resident()? - before;
    let first = scene.marks(&scene.first());
    for _ in 0..2 {
        guarded.tick(&first)?;
    }
    println!("{built} {} {}", resident()? - before, guarded.shard.index_bytes());
    Ok(())
}

/// Starts a child for every figure.
pub(crate) fn run(accounts: usize, rounds: u32) -> Result<Section, Failed> {
    let mut section = Section::new(
        "memory",
        "Memory",
        format!(
            "What a fresh process grows by (resident size) when it builds a shard of {} accounts and two ticks pass; mixed \
             leverage, {rounds} processes of each.",
            grouped(accounts as f64)
        ),
    );
    let mut table = Table::new(
        "Resident bytes",
        &[
            "positions an account",
            "MB",
            "bytes an account",
            "before the first tick, bytes an account",
            "of the guard index, bytes an account",
            "bytes a position more",
        ],
    );
    let (mut data, mut before) = (Vec::new(), None::<(usize, f64)>);
    for positions in [1, 4, 8] {
        let (mut whole, mut each, mut built, mut index) =
            (Figures::default(), Figures::default(), Figures::default(), Figures::default());
        for _ in 0..rounds {
            let asked = ["compare", "--child-memory", &format!("{accounts},{positions}")].map(str::to_owned);
            let output = Command::new(std::env::current_exe()?).args(asked).output()?;
            if !output.status.success() {
                return Err(format!("a child failed: {}", String::from_utf8_lossy(&output.stderr)).into());
            }
            let text = String::from_utf8(output.stdout)?;
            let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            let [first, last, guards] = figures.as_slice() else { return Err("a child said something else".into()) };
            whole.push(last / 1e6);
            each.push(last / accounts as f64);
            built.push(first / accounts as f64);
            index.push(guards / accounts as f64);
        }
        let more = before.map(|(known, bytes)| (each.median() - bytes) / (positions - known) as f64);
        before = Some((positions, each.median()));
        let more = more.map_or("–".to_owned(), |more| format!("{more:.0}"));
        table.row([positions.to_string(), whole.whole(), each.whole(), built.whole(), index.whole(), more.clone()]);
        data.push(json!({ "positions": positions, "bytes_account": each.json(), "before_ticks": built.json(), "index": index.json() }));
        say(&format!("memory of {accounts} × {positions} is done"));
    }
    section.table(table);
    section.data(json!({ "accounts": accounts, "rows": data }));
    Ok(section)
}
