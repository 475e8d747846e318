//! Daily reports: over long runs of chance they equal, figure for figure, what the events of each day say.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod past;
mod venue;

use backstop_actors::history::{About, DailyReport, Filter, Line, Look, Reader, ReceiptId, day_of, write_csv};
use backstop_engine::event::{Event, Fact, SourceState};
use backstop_engine::id::AccountId;
use past::{Played, events, weeks, written};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::BTreeMap;

const DAY: u64 = 86_400_000;

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Every event with a day of its own and its asset, as far as it has one.
fn asset_of(played: &Played, event: &Event) -> Option<String> {
    let about = About::of(event);
    if let Some(asset) = &about.asset {
        return Some(asset.to_string());
    }
    let started = |other: &&Event| {
        let other = About::of(other);
        other.kind == "liquidation_started" && other.liquidation == about.liquidation
    };
    let found = events(played).find(started)?;
    About::of(found).asset.map(|asset| asset.into_owned())
}

fn by_name(lines: &[Line]) -> BTreeMap<String, (u64, Decimal)> {
    lines.iter().map(|line| (line.name.clone(), (line.count, decimal(&line.amount)))).collect()
}

fn ledger(reader: &Reader, asset: &str, day: u64) -> Vec<Value> {
    let filter = Filter { from: Some(day * DAY), to: Some((day + 1) * DAY), ..Filter::default() };
    let look = Look::Ledger { asset: asset.to_owned(), filter };
    let (items, more) = reader.page(&look, 0, 100_000).unwrap();
    assert!(!more);
    items.iter().map(|item| serde_json::from_str(item.body.get()).unwrap()).collect()
}

/// Sums and balances against the rows of the ledger.
fn assert_ledger(report: &DailyReport, rows: &[Value]) {
    for pool in std::iter::once(&report.fund).chain(&report.pools) {
        let mut wanted: BTreeMap<String, (u64, Decimal)> = BTreeMap::new();
        let mut last = None;
        for row in rows.iter().filter(|row| pool.pool.is_empty() || row["pool"] == pool.pool.as_str()) {
            let sum = wanted.entry(row["reason"].as_str().unwrap().to_owned()).or_default();
            *sum = (sum.0 + 1, sum.1 + decimal(row["amount"].as_str().unwrap()));
            last = Some(decimal(row["balance"].as_str().unwrap()));
        }
        let mut found = by_name(&pool.inflows);
        assert!(found.values().all(|(_, sum)| *sum >= Decimal::ZERO));
        for (reason, sum) in by_name(&pool.outflows) {
            assert!(sum.1 < Decimal::ZERO && found.insert(reason, sum).is_none());
        }
        assert_eq!(found, wanted, "{} {} {}", report.asset, report.day, pool.pool);
        let net: Decimal = wanted.values().map(|(_, sum)| sum).sum();
        assert_eq!(decimal(&pool.net), net);
        assert_eq!(decimal(&pool.opening) + net, decimal(&pool.closing), "{} {}", report.day, pool.pool);
        if let (false, Some(last)) = (pool.pool.is_empty(), last) {
            assert_eq!(decimal(&pool.closing), last, "the ledger's own balance");
        }
    }
}

/// Everything else against the events of the day.
fn assert_events(report: &DailyReport, played: &Played, of_day: &[&Event]) {
    let (mut started, mut settled, mut unwound) = (0, (0, Decimal::ZERO), 0);
    let (mut cuts, mut claims): (Vec<(Decimal, u64)>, Vec<Decimal>) = (Vec::new(), Vec::new());
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut worst: Option<Decimal> = None;
    for event in of_day {
        match &event.fact {
            Fact::LiquidationStarted { account, .. } if !account.is_house() => started += 1,
            Fact::LiquidationSettled { account, .. } if account.is_house() => unwound += 1,
            Fact::LiquidationSettled { market, quantity, price, .. } => {
                let size = match market.as_str() {
                    "COIN" => (quantity.get() * Decimal::from(100) / price.get()).round_dp(8),
                    "CUT" => quantity.get() * price.get() * decimal("0.1"),
                    _ => quantity.get() * price.get(),
                };
                settled = (settled.0 + 1, settled.1 + size);
            }
            Fact::LiquidationEnded { outcome, account, .. } if !account.is_house() => {
                let outcome = serde_json::to_value(outcome).unwrap();
                *outcomes.entry(outcome.as_str().unwrap().to_owned()).or_default() += 1;
            }
            Fact::Deleveraged(cut) => cuts.push((cut.notional.get(), event.seq)),
            Fact::Claim { claim, amount, .. } => {
                let before = |other: &Event| {
                    other.seq < event.seq && matches!(&other.fact, Fact::Claim { claim: other, .. } if other == claim)
                };
                if !events(played).any(before) {
                    claims.push(amount.get());
                }
            }
            Fact::MarkUpdated { index, sources, .. } => {
                for source in sources.iter().filter(|source| source.state != SourceState::Stale) {
                    worst = worst.max(Some(((source.price.get() - index.get()).abs() / index.get()).round_dp(9)));
                }
            }
            _ => {}
        }
    }
    let liquidations = &report.liquidations;
    assert_eq!(
        (liquidations.started, liquidations.settlements, decimal(&liquidations.volume).round_dp(6)),
        (started, settled.0, settled.1.round_dp(6))
    );
    assert_eq!(report.unwinding.count, unwound);
    let found: BTreeMap<String, u64> =
        liquidations.outcomes.iter().map(|line| (line.name.clone(), line.count)).collect();
    assert_eq!(found, outcomes);
    let sum = |all: &[(Decimal, u64)]| all.iter().map(|(size, _)| *size).sum::<Decimal>();
    assert_eq!((usize::try_from(report.adl.count).unwrap(), decimal(&report.adl.volume)), (cuts.len(), sum(&cuts)));
    cuts.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    let wanted: Vec<String> = cuts.iter().take(10).map(|(_, event)| ReceiptId::Adl(*event).to_string()).collect();
    assert_eq!(report.adl.largest.iter().map(|cut| cut.receipt.clone()).collect::<Vec<_>>(), wanted);
    let shortfalls = &report.shortfalls;
    assert_eq!(
        (usize::try_from(shortfalls.count).unwrap(), decimal(&shortfalls.amount)),
        (claims.len(), claims.iter().sum())
    );
    assert_eq!(shortfalls.largest.as_ref().map(|largest| decimal(&largest.amount)), claims.iter().max().copied());
    assert_eq!(report.oracle.as_ref().map(|worst| decimal(&worst.deviation).round_dp(9)), worst);
}

#[test]
fn reports_equal_the_ledger_and_the_events_of_each_day_and_each_opens_as_the_one_before_closed() {
    let markets = [("USDT", &["TAKE", "CUT"][..]), ("BTC", &["COIN"][..])];
    let (mut days, mut quiet, mut held, mut cuts, mut shortfalls) = (0, 0, 0, 0, 0);
    for seed in 1..=4 {
        let played = weeks(seed);
        let folder = tempfile::tempdir().unwrap();
        let reader = written(&folder.path().join("history.sqlite"), &played);
        let last = day_of(events(&played).last().unwrap().time);
        for (asset, markets) in markets {
            let (first, end) = reader.reported_days(asset).unwrap().unwrap();
            assert_eq!(end, last);
            assert!(first == 0 || reader.report(asset, first - 1).unwrap().is_none());
            assert!(reader.report(asset, end + 1).unwrap().is_none());
            let mut before: Option<DailyReport> = None;
            for day in first..=end {
                let report = reader.report(asset, day).unwrap().unwrap();
                assert_eq!((report.from, report.to, &report.asset[..]), (day * DAY, (day + 1) * DAY, asset));
                assert_eq!(reader.day_named(&report.day).unwrap(), Some(day));
                let rows = ledger(&reader, asset, day);
                assert_ledger(&report, &rows);
                let concerned = |event: &&Event| {
                    let about = About::of(event);
                    let marked =
                        matches!(&event.fact, Fact::MarkUpdated { market, .. } if markets.contains(&market.as_str()));
                    day_of(event.time) == day
                        && (marked || about.liquidation.is_some() && asset_of(&played, event).as_deref() == Some(asset))
                };
                let of_day: Vec<&Event> = events(&played).filter(concerned).collect();
                assert_events(&report, &played, &of_day);
                let opening = before.as_ref().map_or("0", |before| before.fund.closing.as_str());
                assert_eq!(report.fund.opening, opening, "the chain of {asset} on {}", report.day);
                for pool in &report.pools {
                    let known =
                        before.as_ref().and_then(|before| before.pools.iter().find(|one| one.pool == pool.pool));
                    assert_eq!(pool.opening, known.map_or("0", |known| known.closing.as_str()));
                }
                days += 1;
                quiet += usize::from(rows.is_empty());
                held += report.inventory.len();
                cuts += report.adl.count;
                shortfalls += report.shortfalls.count;
                before = Some(report);
            }
            // At the end, the state itself.
            let report = before.unwrap();
            assert_eq!(report.fund.closing, played.engine.fund(asset).unwrap().balance.to_string());
            let house = played.engine.account(&AccountId::fund()).map(|house| house.positions).unwrap_or_default();
            let house = house.iter().filter(|position| markets.contains(&position.market.as_str()));
            let wanted: Vec<(String, String)> =
                house.map(|position| (position.market.to_string(), position.quantity.to_string())).collect();
            let found: Vec<(String, String)> =
                report.inventory.iter().map(|held| (held.market.clone(), held.quantity.clone())).collect();
            assert_eq!(found, wanted);
        }
        assert!(reader.report("EUR", last).unwrap().is_none());
    }
    let seen = (days, quiet, held, cuts, shortfalls);
    assert!(days > 100 && quiet > 10 && held > 5 && cuts > 10 && shortfalls > 10, "{seen:?}");
}

#[test]
fn a_report_as_csv_has_every_figure_on_a_line_of_its_own() {
    let played = weeks(1);
    let folder = tempfile::tempdir().unwrap();
    let reader = written(&folder.path().join("history.sqlite"), &played);
    let (first, last) = reader.reported_days("USDT").unwrap().unwrap();
    let reports: Vec<DailyReport> = (first..=last).map(|day| reader.report("USDT", day).unwrap().unwrap()).collect();
    let mut bytes = Vec::new();
    write_csv(&reports, &mut bytes).unwrap();
    let mut csv = csv::Reader::from_reader(&bytes[..]);
    let head = csv.headers().unwrap().clone();
    assert_eq!(head.iter().collect::<Vec<_>>(), ["asset", "day", "section", "name", "count", "amount", "detail"]);
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    for report in &reports {
        let of = |section: &str, name: &str| -> Vec<&csv::StringRecord> {
            let wanted = [report.asset.as_str(), &report.day, section, name];
            rows.iter().filter(|row| (0..4).all(|place| row[place] == *wanted[place])).collect()
        };
        let one = |section: &str, name: &str| decimal(&of(section, name)[0][5]);
        let flows =
            rows.iter().filter(|row| row[1] == report.day && row[2] == *"fund" && ["in", "out"].contains(&&row[6]));
        let flows: Decimal = flows.map(|row| decimal(&row[5])).sum();
        assert_eq!(one("fund", "opening") + flows, one("fund", "closing"));
        assert_eq!((one("fund", "net"), one("adl", "all")), (flows, decimal(&report.adl.volume)));
        assert_eq!(of("adl", "cut").len(), report.adl.largest.len());
        assert_eq!(of("shortfalls", "largest").len(), usize::from(report.shortfalls.largest.is_some()));
        for held in &report.inventory {
            assert!(of("inventory", &held.market)[0][6].starts_with(&format!("{} at ", held.quantity)));
        }
    }
}
