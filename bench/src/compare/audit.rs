//! The full audit scan: `Shard::evaluate`, exact, every account, without an index.

use super::book::{Book, Leverage};
use super::guarded::Guarded;
use super::linear::scan_of;
use super::race::SEED;
use super::report::{Section, Table};
use super::scene::Scene;
use super::{Failed, say};
use crate::figures::{Figures, grouped};
use serde_json::json;
use std::time::Instant;

/// Runs it at several sizes.
pub(crate) fn run(accounts: usize, rounds: u32) -> Result<Section, Failed> {
    let scene = Scene::new()?;
    let mut section = Section::new(
        "audit",
        "The full audit scan",
        format!(
            "`Shard::evaluate` over {} accounts, one thread, mixed leverage; {rounds} rounds.",
            grouped(accounts as f64)
        ),
    );
    let mut table = Table::new(
        "Exact, every account, without an index",
        &["positions an account", "ms", "ns an account", "ns a position", "(b) linear exact, ns a position"],
    );
    let mut data = Vec::new();
    for positions in [1, 4, 8] {
        let book = Book::new(&scene, accounts, positions, Leverage::Mixed, SEED);
        let guarded = Guarded::new(&scene, &book)?;
        let mut linear = scan_of(&scene, &book)?;
        let (mut whole, mut account, mut position, mut rival) =
            (Figures::default(), Figures::default(), Figures::default(), Figures::default());
        guarded.full()?;
        linear.find(&scene.first())?;
        let places = (accounts * positions) as f64;
        for _ in 0..rounds {
            let since = Instant::now();
            let reports = guarded.shard.evaluate()?;
            let took = since.elapsed().as_secs_f64();
            if !reports.is_empty() {
                return Err("accounts are under water to begin with".into());
            }
            whole.push(took * 1e3);
            account.push(took * 1e9 / accounts as f64);
            position.push(took * 1e9 / places);
            let since = Instant::now();
            linear.find(&scene.first())?;
            rival.push(since.elapsed().as_secs_f64() * 1e9 / places);
        }
        table.row([positions.to_string()].into_iter().chain([&whole, &account, &position, &rival].map(Figures::short)));
        data.push(json!({
            "positions": positions, "ms": whole.json(), "ns_account": account.json(), "ns_position": position.json(),
            "linear_ns_position": rival.json(),
        }));
        say(&format!("audit of {accounts} × {positions} is done"));
    }
    section.table(table);
    section.data(json!({ "accounts": accounts, "rows": data }));
    Ok(section)
}
