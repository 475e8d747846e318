//! Histories of what the engine makes of scenarios.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::venue::{files, read};
use backstop_actors::history::{History, Reader};
use backstop_engine::command::Envelope;
use backstop_engine::event::Event;
use backstop_engine::flow::EntryOutcome;
use backstop_engine::reference::{Options, Reference};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::fmt::Write;
use std::path::Path;

const DAY: u64 = 86_400_000;

/// What the engine makes of commands.
pub(crate) struct Played {
    pub(crate) engine: Reference,
    pub(crate) entries: Vec<EntryOutcome>,
}

pub(crate) fn play(commands: &[Envelope]) -> Played {
    let mut engine = Reference::new(Options::default());
    let mut entries = Vec::new();
    for envelope in commands {
        entries.extend(engine.submit(&envelope.command, envelope.time.unwrap()));
    }
    Played { engine, entries }
}

/// Every scenario, one after the other; their times do not run backwards within each.
pub(crate) fn scenarios() -> Vec<Played> {
    files().iter().map(|path| play(&read(&std::fs::read_to_string(path).unwrap()))).collect()
}

pub(crate) fn opened(path: &Path, played: &Played) -> History {
    let mut history = History::open(path).unwrap();
    history.know(played.engine.admission().rules());
    history
}

pub(crate) fn written(path: &Path, played: &Played) -> Reader {
    let mut history = opened(path, played);
    for entry in &played.entries {
        history.take(entry.seq, &entry.events).unwrap();
    }
    history.commit().unwrap();
    Reader::open(path).unwrap()
}

pub(crate) fn events(played: &Played) -> impl Iterator<Item = &Event> {
    played.entries.iter().flat_map(|entry| &entry.events)
}

/// Whole numbers that look like chance, the same for the same seed (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Every row of every table.
pub(crate) fn tables(path: &Path) -> Vec<(String, Vec<Vec<Value>>)> {
    let db = Connection::open(path).unwrap();
    let named = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name";
    let names: Vec<String> =
        db.prepare(named).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let rows = |name: &str| {
        let mut statement = db.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|place| row.get(place)).collect();
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    };
    names.into_iter().map(|name| (name.clone(), rows(&name))).collect()
}

/// A market whose rest is taken over, one whose rest is deleveraged, and an inverse one.
const LISTED: &str = r#"{"type":"list_asset","asset":"USDT","scale":6,"time":1000}
{"type":"list_asset","asset":"BTC","scale":8}
{"type":"list_market","market":"TAKE","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{"initial_rate":"0.05","maintenance_rate":"0.03"}],"venue":{"embedded":{"depth_per_bp":"300","recovery_ms":60000}},"liquidation":{"residual":"takeover","fee_rate":"0.002","surplus":{"fund_share":"0.5"},"pace_per_second":"20000"},"oracle":{"band":"0.05"}}
{"type":"list_market","market":"CUT","kind":"linear","asset":"USDT","contract_size":"0.1","tick_size":"0.1","lot_size":"0.01","tiers":[{"initial_rate":"0.05","maintenance_rate":"0.03"}],"venue":{"embedded":{"depth_per_bp":"300","recovery_ms":60000}},"pool":{"name":"own"},"oracle":{"band":"0.05"}}
{"type":"list_market","market":"COIN","kind":"inverse","asset":"BTC","contract_size":"100","tick_size":"0.1","lot_size":"1","tiers":[{"initial_rate":"0.05","maintenance_rate":"0.03"}]}
"#;

/// Some weeks of a venue: trades, prices that wander and jump, days without anything, money for the fund.
pub(crate) fn weeks(seed: u64) -> Played {
    play(&commands_of_weeks(seed))
}

/// The commands of it.
pub(crate) fn commands_of_weeks(seed: u64) -> Vec<Envelope> {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    let mut lines = LISTED.to_owned();
    let (mut time, mut trade) = (1_000, 0);
    let mut prices = [50_000_u64, 3_000, 40_000];
    let markets = ["TAKE", "CUT", "COIN"];
    for _ in 0..500 {
        time += if chance.below(40) == 0 { chance.below(4 * DAY) } else { chance.below(DAY / 16) };
        let market = usize::try_from(chance.below(3)).unwrap();
        let (name, price) = (markets[market], prices[market]);
        let asset = if name == "COIN" { "BTC" } else { "USDT" };
        let mut line =
            |text: String| writeln!(lines, "{}", text.replacen('{', &format!("{{\"time\":{time},"), 1)).unwrap();
        match chance.below(10) {
            0 | 1 => {
                let source =
                    ["seed_capital", "trading_fee_share", "injection"][usize::try_from(chance.below(3)).unwrap()];
                let pool = if asset == "USDT" && chance.below(3) == 0 { "own" } else { "shared" };
                let amount = if asset == "BTC" {
                    format!("0.{:04}", 1 + chance.below(9_000))
                } else {
                    format!("{}.{:06}", chance.below(300), 1 + chance.below(999_999))
                };
                line(format!(
                    r#"{{"type":"fund_credit","asset":"{asset}","pool":"{pool}","source":"{source}","amount":"{amount}"}}"#
                ));
            }
            2..=5 => {
                trade += 1;
                let (buyer, seller) = (chance.below(40), 40 + chance.below(40));
                let quantity = 1 + chance.below(5);
                // Six to ten hundredths of what it is worth.
                let margin = quantity * (60 + chance.below(40));
                let margin = match name {
                    "TAKE" => format!("{}", margin * price / 10_000),
                    "CUT" => format!("{}", margin * price / 1_000),
                    _ => format!("0.{:08}", margin * 100_000_000 / price),
                };
                let quantity = if name == "TAKE" { format!("0.{quantity}") } else { format!("{}", quantity * 10) };
                for account in [buyer, seller] {
                    line(format!(
                        r#"{{"type":"deposit","account":"a{account}","asset":"{asset}","amount":"{margin}"}}"#
                    ));
                }
                line(format!(
                    r#"{{"type":"fill","market":"{name}","price":"{price}","quantity":"{quantity}","buyer":"a{buyer}","seller":"a{seller}","trade":"t{trade}"}}"#
                ));
            }
            _ => {
                let share = if chance.below(3) == 0 { 10 } else { 150 };
                let step = 1 + chance.below(price / share);
                prices[market] = if chance.below(2) == 0 { price + step } else { price - step };
                let price = prices[market];
                for source in ["a", "b", "c"] {
                    let off = chance.below(price / 200 + 1);
                    line(format!(
                        r#"{{"type":"price","market":"{name}","source":"{source}","price":"{}"}}"#,
                        price + off
                    ));
                }
                line(r#"{"type":"tick"}"#.to_owned());
            }
        }
    }
    read(&lines)
}
