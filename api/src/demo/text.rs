//! Writes the report for people: aligned tables, thousands separated, every table under a line that says what it is.

use super::figure::{grouped, percent};
use super::report::{AssetReport, Outcome, Refused, Report, when};
use rust_decimal::Decimal;
use std::io::{self, Write};

/// Decimals shown of a dollar coin and of any other coin.
const PLACES_DOLLAR: u32 = 2;
const PLACES_COIN: u32 = 6;

/// A table whose first column is aligned left and every other one right.
struct Table(Vec<Vec<String>>);

impl Table {
    fn new<const N: usize>(head: [&str; N]) -> Self {
        Self(vec![head.map(str::to_owned).to_vec()])
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.to_vec());
    }

    fn is_empty(&self) -> bool {
        self.0.len() <= 1
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let mut line = String::from("  ");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                let (left, right) = if column == 0 { ("", padding.as_str()) } else { (padding.as_str(), "") };
                line.push_str(&format!("{left}{cell}{right}  "));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes the whole report.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    head(report, out)?;
    refusals("Refused while the positions were opened", &report.setup.refused, out)?;
    for asset in &report.assets {
        fund(asset, out)?;
        liquidations(asset, out)?;
        worst_minute(asset, out)?;
    }
    adl(report, out)?;
    if report.refused != report.setup.refused {
        refusals("Refused in all", &report.refused, out)?;
    }
    foot(report, out)
}

fn count(value: u64) -> String {
    grouped(Decimal::from(value), 0)
}

fn head(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let input = &report.input;
    writeln!(out, "\n{}", input.title)?;
    writeln!(
        out,
        "{} markets · {} bars of {} s · {} ticks of {} s · path {} · seed {}",
        input.markets.len(),
        count(u64::try_from(input.bars).unwrap_or(0)),
        input.bar_ms / 1_000,
        count(input.ticks),
        grouped(
            Decimal::new(i64::try_from(input.tick_ms).unwrap_or(0), 3).normalize(),
            if input.tick_ms.is_multiple_of(1_000) { 0 } else { 1 }
        ),
        input.path,
        input.seed,
    )?;
    writeln!(out, "{}", report.note)?;
    let drawn = &report.population;
    let [short, short90, short95] = drawn.short_leverage;
    let [long, long90, long95] = drawn.long_leverage;
    let [tail_long, tail_short] = drawn.tail_interest_percent;
    writeln!(
        out,
        "{} accounts, {} hedged, {} with isolated margin; leverage (median, 90 %, 95 %) of shorts {short} {short90} \
         {short95}, of longs {long} {long90} {long95}; the tail is {}x on average and holds {tail_long} % of longs, \
         {tail_short} % of shorts; the 100 largest hold {} %, tail index {}.",
        count(u64::try_from(drawn.accounts).unwrap_or(0)),
        count(u64::try_from(drawn.hedged).unwrap_or(0)),
        count(u64::try_from(drawn.isolated).unwrap_or(0)),
        drawn.tail_leverage_mean,
        drawn.top_100_percent,
        drawn.tail_index,
    )?;
    writeln!(out, "\nOpen interest before")?;
    let mut table = Table::new(["market", "contracts", "notional", "asset"]);
    for row in &report.setup.interest {
        let notional = grouped(row.notional.0, 0);
        table.row([row.market.clone(), grouped(row.quantity.0, 0), notional, row.asset.clone()]);
    }
    table.write(out)
}

fn refusals(title: &str, refused: &[Refused], out: &mut impl Write) -> io::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    let mut table = Table::new(["code", "count"]);
    for one in refused {
        table.row([one.code.clone(), count(one.count)]);
    }
    table.write(out)?;
    for one in refused {
        writeln!(out, "  first {}: {} ({})", one.code, one.message, one.first)?;
    }
    Ok(())
}

fn places(asset: &AssetReport) -> u32 {
    if asset.is_coin { PLACES_COIN } else { PLACES_DOLLAR }
}

fn fund(asset: &AssetReport, out: &mut impl Write) -> io::Result<()> {
    let places = places(asset);
    let money = |value: Decimal| grouped(value, places);
    writeln!(out, "\nInsurance fund, {}", asset.asset)?;
    let mut table = Table::new(["", "balance", "of before", "when"]);
    let of_before = |value: Decimal| percent(value, asset.before.0, 1);
    table.row(["before".to_owned(), money(asset.before.0), of_before(asset.before.0), String::new()]);
    table.row(["lowest".to_owned(), money(asset.lowest.0), of_before(asset.lowest.0), when(asset.lowest_time)]);
    table.row(["after".to_owned(), money(asset.after.0), of_before(asset.after.0), String::new()]);
    for (name, value) in [
        ("of it reserved", asset.reserved.0),
        ("liability", asset.liability.0),
        ("ledger difference", asset.ledger_difference.0),
    ] {
        if !value.is_zero() {
            table.row([name.to_owned(), money(value), String::new(), String::new()]);
        }
    }
    table.write(out)?;
    let mut table = Table::new(["fund flow", "direction", "entries", "amount"]);
    for flow in &asset.flows {
        table.row([flow.reason.clone(), flow.direction.to_owned(), count(flow.count), money(flow.amount.0)]);
    }
    if table.is_empty() { Ok(()) } else { table.write(out) }
}

fn liquidations(asset: &AssetReport, out: &mut impl Write) -> io::Result<()> {
    let places = places(asset);
    let money = |value: Decimal| grouped(value, places);
    writeln!(out, "\nLiquidations, {}", asset.asset)?;
    if asset.liquidations.is_empty() {
        return writeln!(out, "  none");
    }
    let mut table = Table::new(["outcome", "count", "notional", "fee", "surplus", "fell short", "shortfall"]);
    let total = Outcome::total(&asset.liquidations);
    for one in asset.liquidations.iter().chain([&total]) {
        table.row([
            one.outcome.clone(),
            count(one.count),
            money(one.notional.0),
            money(one.fee.0),
            money(one.surplus.0),
            count(one.short),
            money(one.shortfall.0),
        ]);
    }
    table.write(out)
}

fn worst_minute(asset: &AssetReport, out: &mut impl Write) -> io::Result<()> {
    let Some(minute) = &asset.worst_minute else { return Ok(()) };
    let money = |value: Decimal| grouped(value, places(asset));
    writeln!(
        out,
        "\nWorst minute, {}: {} UTC\n  {} liquidations of {} begun, falling short by {}; {} positions deleveraged, {}; fund {}{}",
        asset.asset,
        when(Some(minute.time)),
        count(minute.liquidations),
        money(minute.notional.0),
        money(minute.shortfall.0),
        count(minute.deleveraged),
        money(minute.deleveraged_notional.0),
        if minute.fund_change.0.is_sign_negative() { "" } else { "+" },
        money(minute.fund_change.0),
    )
}

fn adl(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\nAuto-deleveraging by market")?;
    if report.adl.is_empty() {
        return writeln!(out, "  none");
    }
    let mut table =
        Table::new(["market", "cuts", "accounts", "hedged", "notional", "profit taken", "share", "asset", "triggers"]);
    for one in &report.adl {
        let is_coin = report.assets.iter().any(|asset| asset.asset == one.asset && asset.is_coin);
        let places = if is_coin { PLACES_COIN } else { PLACES_DOLLAR };
        let triggers: Vec<String> = one.triggers.iter().map(|(reason, n)| format!("{reason} {}", count(*n))).collect();
        table.row([
            one.market.clone(),
            count(one.count),
            count(u64::try_from(one.accounts).unwrap_or(0)),
            count(u64::try_from(one.hedged).unwrap_or(0)),
            grouped(one.notional.0, places),
            grouped(one.profit_taken.0, places),
            percent(one.profit_taken.0, one.profit_available.0, 2),
            one.asset.clone(),
            triggers.join(", "),
        ]);
    }
    table.write(out)?;
    writeln!(out, "  share: profit realised by the cuts, of the most the ranked side ever had")
}

fn foot(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let timing = &report.timing;
    writeln!(out, "\nProof")?;
    writeln!(out, "  conservation error {}", report.conservation.error().normalize())?;
    writeln!(out, "  state hash         {}", report.state_hash)?;
    writeln!(out, "\nSpeed, on this machine with {} shards", timing.shards)?;
    writeln!(
        out,
        "  tick  p50 {:.3} ms · p99 {:.3} ms · max {:.3} ms ({} ticks)",
        timing.tick_p50_ms,
        timing.tick_p99_ms,
        timing.tick_max_ms,
        count(timing.ticks),
    )?;
    let seconds = |ms: u64| Decimal::new(i64::try_from(ms).unwrap_or(0), 3).round_dp(1);
    writeln!(
        out,
        "  {} commands in all; set up in {} s, played in {} s: {} times real time",
        count(report.commands),
        seconds(timing.set_up_ms),
        seconds(timing.play_ms),
        timing.times_real_time,
    )
}
