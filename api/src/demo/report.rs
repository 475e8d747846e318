//! Decides what the figures say: the fund before, at its lowest and after, who paid whom and why, and who was
//! deleveraged. In: what the daemon reported. Out: [`Report`], in which only `timing` depends on the machine.

use super::candles::Tape;
use super::client::{Client, Refusals, Status};
use super::figure::{Figure, minute_text};
use super::gather::{Adl, Entry, Fund, Liquidation};
use super::path::Grid;
use super::population::Summary;
use super::script::Script;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Said beside every result.
pub(super) const NOTE: &str = "The population is synthetic: seeded, zero-sum, calibrated on the accounts deleveraged on \
10 October 2025 (leverage and size of winners) and on BitMEX's liquidated traders 2015-2019 (a crowded tail around 60x); \
prices are real, the path inside a bar is assumed.";

const MINUTE_MS: u64 = 60_000;
const SEED: &str = "seed_capital";

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) note: &'static str,
    pub(super) input: Input,
    pub(super) population: Summary,
    pub(super) setup: Setup,
    pub(super) assets: Vec<AssetReport>,
    pub(super) adl: Vec<AdlReport>,
    pub(super) conservation: ConservationReport,
    pub(super) commands: u64,
    pub(super) refused: Vec<Refused>,
    pub(super) state_hash: String,
    pub(super) timing: Timing,
}

/// What was played.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Input {
    pub(super) title: String,
    pub(super) markets: Vec<String>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) bars: usize,
    pub(super) bar_ms: u64,
    pub(super) ticks: u64,
    pub(super) tick_ms: u64,
    pub(super) path: &'static str,
    pub(super) seed: u64,
}

impl Input {
    /// Of a tape and how it is played.
    pub(super) fn new(tape: &Tape, grid: &Grid, options: &super::Options) -> Self {
        Self {
            title: tape.title.clone(),
            markets: tape.tracks.iter().map(|track| track.symbol.clone()).collect(),
            start: tape.start,
            end: tape.end(),
            bars: tape.bars,
            bar_ms: tape.bar_ms,
            ticks: grid.ticks(),
            tick_ms: grid.step_ms,
            path: grid.order.text(),
            seed: options.seed,
        }
    }
}

/// How the opening positions went.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Setup {
    pub(super) commands: u64,
    pub(super) trades: usize,
    /// Open interest by market, in contracts and in the settlement asset.
    pub(super) interest: Vec<Interest>,
    pub(super) refused: Vec<Refused>,
}

/// Open interest of one market before the fall.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Interest {
    pub(super) market: String,
    pub(super) asset: String,
    pub(super) quantity: Figure,
    pub(super) notional: Figure,
}

impl Setup {
    /// As it stands when the last position is open.
    pub(super) fn new(client: &Client, script: &Script<'_>) -> Self {
        let both = script.listing.contracts.iter().zip(&script.population.interest);
        let interest = both.map(|(contract, quantity)| Interest {
            market: contract.symbol.clone(),
            asset: script.listing.assets.get(contract.asset).map(|asset| asset.name.clone()).unwrap_or_default(),
            quantity: Figure(*quantity),
            notional: Figure(contract.notional(*quantity).round_dp(8)),
        });
        Self {
            commands: client.sent,
            trades: script.population.trades.len(),
            interest: interest.collect(),
            refused: refusals(&client.refused),
        }
    }
}

/// Commands refused for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) count: u64,
    pub(super) first: String,
    pub(super) message: String,
}

/// By code.
pub(super) fn refusals(found: &BTreeMap<String, Refusals>) -> Vec<Refused> {
    let refused = |(code, refusals): (&String, &Refusals)| Refused {
        code: code.clone(),
        count: refusals.count,
        first: refusals.command.clone(),
        message: refusals.message.clone(),
    };
    found.iter().map(refused).collect()
}

/// One settlement asset.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct AssetReport {
    pub(super) asset: String,
    /// Shown with more decimals than a dollar.
    #[serde(skip)]
    pub(super) is_coin: bool,
    pub(super) before: Figure,
    pub(super) lowest: Figure,
    /// When it was lowest first, Unix milliseconds.
    pub(super) lowest_time: Option<u64>,
    pub(super) after: Figure,
    pub(super) reserved: Figure,
    pub(super) liability: Figure,
    /// Balance minus the sum of the ledger: zero.
    pub(super) ledger_difference: Figure,
    pub(super) flows: Vec<Flow>,
    pub(super) liquidations: Vec<Outcome>,
    pub(super) worst_minute: Option<Minute>,
}

/// All entries of one reason and direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Flow {
    pub(super) reason: String,
    pub(super) direction: &'static str,
    pub(super) count: u64,
    pub(super) amount: Figure,
}

/// All liquidations that ended one way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outcome {
    pub(super) outcome: String,
    pub(super) count: u64,
    pub(super) notional: Figure,
    pub(super) fee: Figure,
    pub(super) surplus: Figure,
    pub(super) shortfall: Figure,
    /// How many fell short.
    pub(super) short: u64,
}

impl Outcome {
    /// Of all of them together.
    pub(super) fn total(outcomes: &[Self]) -> Self {
        let mut total = Self { outcome: "all".to_owned(), ..Self::default() };
        for one in outcomes {
            total.count += one.count;
            total.short += one.short;
            total.notional += one.notional;
            total.fee += one.fee;
            total.surplus += one.surplus;
            total.shortfall += one.shortfall;
        }
        total
    }
}

/// What happened within one minute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Minute {
    pub(super) time: u64,
    pub(super) liquidations: u64,
    pub(super) notional: Figure,
    pub(super) shortfall: Figure,
    pub(super) deleveraged: u64,
    pub(super) deleveraged_notional: Figure,
    pub(super) fund_change: Figure,
}

impl AssetReport {
    /// Of the fund, its ledger, and the asset's liquidations and cuts (each with its notional).
    pub(super) fn new(
        asset: &str,
        is_coin: bool,
        fund: &Fund,
        ledger: &[Entry],
        liquidations: &[&Liquidation],
        cuts: &[(&Adl, Figure)],
    ) -> Self {
        let before: Figure = ledger.iter().filter(|entry| entry.reason == SEED).map(|entry| entry.amount).sum();
        let (mut sum, mut lowest, mut lowest_time) = (before, before, None);
        for entry in ledger.iter().filter(|entry| entry.reason != SEED) {
            sum += entry.amount;
            if sum < lowest {
                lowest = sum;
                lowest_time = Some(entry.time);
            }
        }
        Self {
            asset: asset.to_owned(),
            is_coin,
            before,
            lowest,
            lowest_time,
            after: fund.balance,
            reserved: fund.reserved,
            liability: fund.liability,
            ledger_difference: Figure(fund.balance.0 - sum.0),
            flows: flows(ledger),
            liquidations: outcomes(liquidations),
            worst_minute: worst_minute(ledger, liquidations, cuts),
        }
    }
}

fn flows(ledger: &[Entry]) -> Vec<Flow> {
    let mut found: BTreeMap<(bool, &str), Flow> = BTreeMap::new();
    for entry in ledger {
        let is_out = entry.amount.0.is_sign_negative();
        let flow = found.entry((is_out, &entry.reason)).or_insert_with(|| Flow {
            reason: entry.reason.clone(),
            direction: if is_out { "out" } else { "in" },
            ..Flow::default()
        });
        flow.count += 1;
        flow.amount += entry.amount;
    }
    found.into_values().collect()
}

fn outcomes(liquidations: &[&Liquidation]) -> Vec<Outcome> {
    let mut found: BTreeMap<&str, Outcome> = BTreeMap::new();
    for one in liquidations {
        let name = one.outcome.as_deref().unwrap_or("still open");
        let outcome = found.entry(name).or_insert_with(|| Outcome { outcome: name.to_owned(), ..Outcome::default() });
        outcome.count += 1;
        outcome.short += u64::from(!one.shortfall.0.is_zero());
        outcome.notional += one.notional;
        outcome.fee += one.fee;
        outcome.surplus += one.surplus;
        outcome.shortfall += one.shortfall;
    }
    found.into_values().collect()
}

/// The minute in which most notional was liquidated or deleveraged, the first one of equals.
fn worst_minute(ledger: &[Entry], liquidations: &[&Liquidation], cuts: &[(&Adl, Figure)]) -> Option<Minute> {
    let mut minutes: BTreeMap<u64, Minute> = BTreeMap::new();
    let mut at = |time: u64, change: &dyn Fn(&mut Minute)| {
        let time = time - time % MINUTE_MS;
        change(minutes.entry(time).or_insert_with(|| Minute { time, ..Minute::default() }));
    };
    for one in liquidations {
        at(one.started, &|minute| {
            minute.liquidations += 1;
            minute.notional += one.notional;
            minute.shortfall += one.shortfall;
        });
    }
    for (event, notional) in cuts {
        at(event.time, &|minute| {
            minute.deleveraged += 1;
            minute.deleveraged_notional += *notional;
        });
    }
    for entry in ledger.iter().filter(|entry| entry.reason != SEED) {
        at(entry.time, &|minute| minute.fund_change += entry.amount);
    }
    let size = |minute: &Minute| minute.notional.0 + minute.deleveraged_notional.0;
    minutes.into_values().rev().max_by_key(size).filter(|minute| minute.liquidations + minute.deleveraged > 0)
}

/// ADL in one market.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct AdlReport {
    pub(super) market: String,
    pub(super) asset: String,
    /// How often it was triggered, by reason.
    pub(super) triggers: BTreeMap<String, u64>,
    /// Positions cut, and how many accounts they belong to.
    pub(super) count: u64,
    pub(super) accounts: usize,
    /// Of these accounts, hedged before the fall or ranked as hedged.
    pub(super) hedged: usize,
    pub(super) notional: Figure,
    /// Profit the cut accounts realised by it.
    pub(super) profit_taken: Figure,
    /// The most profit the ranked sides ever had: unrealised at a trigger, plus what had been taken before.
    pub(super) profit_available: Figure,
    /// The one by the other, a fraction.
    pub(super) profit_share: Option<Figure>,
}

impl AdlReport {
    /// Of one market's events, in order.
    pub(super) fn new(market: &str, asset: &str, inverse: bool, events: &[&Adl]) -> Self {
        let mut report = Self { market: market.to_owned(), asset: asset.to_owned(), ..Self::default() };
        let (mut accounts, mut hedged) = (BTreeSet::new(), BTreeSet::new());
        let mut sides: BTreeMap<&str, (Figure, Figure)> = BTreeMap::new();
        for event in events {
            let (taken, available) = sides.entry(&event.side).or_default();
            if event.kind == "adl_triggered" {
                *report.triggers.entry(event.reason.clone()).or_default() += 1;
                *available = (*available).max(Figure(event.profit.0 + taken.0));
            } else {
                report.count += 1;
                accounts.insert(&event.account);
                if event.hedged {
                    hedged.insert(&event.account);
                }
                report.notional += cut_notional(event, inverse);
                *taken += event.realised_pnl;
            }
        }
        report.accounts = accounts.len();
        report.hedged = hedged.len();
        report.profit_taken = sides.values().map(|(taken, _)| *taken).sum();
        report.profit_available = sides.values().map(|(_, available)| *available).sum();
        let share = report.profit_taken.0.checked_div(report.profit_available.0);
        report.profit_share = share.map(|share| Figure(share.round_dp(6)));
        report
    }
}

/// Size of a cut in the settlement asset, at its price.
pub(super) fn cut_notional(event: &Adl, inverse: bool) -> Figure {
    let (quantity, price) = (event.quantity.0.abs(), event.price.0);
    let notional = if inverse { quantity.checked_div(price) } else { quantity.checked_mul(price) };
    Figure(notional.unwrap_or_default().round_dp(8))
}

/// What the daemon finds when it adds everything up.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct ConservationReport {
    pub(super) assets: BTreeMap<String, Figure>,
    pub(super) markets: BTreeMap<String, Figure>,
}

impl ConservationReport {
    /// The largest deviation, without its sign.
    pub(super) fn error(&self) -> Decimal {
        let all = self.assets.values().chain(self.markets.values());
        all.map(|figure| figure.0.abs()).max().unwrap_or_default()
    }
}

/// What depends on the machine.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Timing {
    pub(super) shards: usize,
    pub(super) set_up_ms: u64,
    pub(super) play_ms: u64,
    /// Time played by time taken.
    pub(super) times_real_time: f64,
    /// Engine time of a tick, as the daemon measures it.
    pub(super) tick_p50_ms: f64,
    pub(super) tick_p99_ms: f64,
    pub(super) tick_max_ms: f64,
    pub(super) ticks: u64,
}

impl Timing {
    /// From the daemon's own measure of ticks and the demo's of everything.
    pub(super) fn new(status: &Status, grid: &Grid, shards: usize, set_up_ms: u64, play_ms: u64) -> Self {
        let ms = |seconds: f64| (seconds * 1e6).round() / 1e3;
        let played = grid.span_ms().to_f64().unwrap_or(0.0);
        Self {
            shards,
            set_up_ms,
            play_ms,
            times_real_time: (played / play_ms.max(1).to_f64().unwrap_or(1.0) * 10.0).round() / 10.0,
            tick_p50_ms: ms(status.tick_seconds.p50),
            tick_p99_ms: ms(status.tick_seconds.p99),
            tick_max_ms: ms(status.tick_seconds.max),
            ticks: status.tick_seconds.count,
        }
    }
}

/// `2025-10-10 21:16` of an entry's time, or a dash.
pub(super) fn when(time: Option<u64>) -> String {
    time.map_or("–".to_owned(), minute_text)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
